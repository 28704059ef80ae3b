"""Writes the templates of the peers' apps: ``python bench/peers/synthesize.py build/peers``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __package__:
    from .environments import PEERS, process_environment, python_of
else:  # run as a script
    from environments import (  # type: ignore[import-not-found,no-redef]
        PEERS,
        process_environment,
        python_of,
    )


def synthesize_peer(peer: str, folder: Path, **variables: str) -> Path:
    """Runs the peer's app in its own environment and answers the template that it wrote below ``folder``.

    ``variables`` are added to the process's environment, such as ``CDK_VALIDATION="false"``.

    Raises:
        subprocess.CalledProcessError: the app failed; ``stderr`` says how.
    """
    program = Path(__file__).resolve().parent / f"{peer}.py"
    subprocess.run(
        [python_of(peer), program],
        env=process_environment(CDK_OUTDIR=str(folder.resolve()), **variables),
        check=True,
        capture_output=True,
        text=True,
    )
    (template,) = folder.glob("*.template.json")
    return template


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.exit("usage: synthesize.py FOLDER")
    for name in PEERS:
        print(synthesize_peer(name, Path(sys.argv[1]) / name))
