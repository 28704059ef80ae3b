"""Makes a virtual environment of its own for each peer: ``python bench/peers/environments.py``.

The peers do not fit into .venv: the Solutions Constructs want an older aws-cdk-lib. A second run does nothing unless
a peer's requirements have changed. Downloads are shared through the package installer's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent.parent
ENVIRONMENTS = _ROOT / ".venv-peers"
PEERS = ("plain_l2", "solutions_constructs", "monitoring_constructs")
"""Each is a module here, with requirements beside it."""


def python_of(peer: str) -> Path:
    """The Python program of the peer's environment, which is made first if it is missing or out of date.

    Raises:
        ValueError: there is no such peer.
        subprocess.CalledProcessError: its packages could not be installed.
    """
    if peer not in PEERS:
        raise ValueError(f"no peer {peer!r}; there are {', '.join(PEERS)}")
    folder = ENVIRONMENTS / peer
    python = folder / "bin" / "python"
    ready, wanted = folder / ".ready", _fingerprint(peer)
    if not (ready.is_file() and ready.read_text() == wanted):
        # A set-up that broke off may have left anything.
        shutil.rmtree(folder, ignore_errors=True)
        ENVIRONMENTS.mkdir(exist_ok=True)
        _make(folder, python, requirements(peer))
        ready.write_text(wanted)
    return python


def requirements(peer: str) -> Path:
    """The file with the peer's pinned versions."""
    return _HERE / f"requirements-{peer.replace('_', '-')}.txt"


def process_environment(**more: str) -> dict[str, str]:
    """The variables for a peer's process: this one's, with Node from .venv, which `make setup` puts there."""
    node = _ROOT / ".venv" / "cdk" / "bin" / "node"
    found = {"JSII_NODE": str(node)} if node.is_file() else {}
    # PYTHONPATH and the like would bring packages of this environment into the peer's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**found, **kept, **more}


def _fingerprint(peer: str) -> str:
    pins = requirements(peer).read_bytes()
    return f"{hashlib.sha256(pins).hexdigest()} {sys.version}\n"


def _make(folder: Path, python: Path, pins: Path) -> None:
    uv = Path(sys.prefix) / "bin" / "uv"
    if uv.is_file():
        _run([uv, "venv", "--quiet", "--python", sys.executable, folder])
        _run([uv, "pip", "install", "--quiet", "--python", python, "--requirement", pins])
    else:
        # Not compiled: of the 300 services of aws-cdk-lib a peer imports ten.
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        _run([sys.executable, "-m", "venv", folder])
        _run([python, *install, "--requirement", pins])


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    for name in PEERS:
        print(f"{name}: {python_of(name).relative_to(_ROOT)}")
