"""Finds an interpreter for each Python version: the running one, one on this machine, or one that uv brings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.matrix_versions import claimed_pythons, minor

NEXT: Final = ("3.14",)
"""Tried as well, though no classifier claims them until a run of theirs has passed."""

UV: Final = Path(sys.prefix) / "bin" / "uv"
_QUESTION: Final = "import platform; print(platform.python_version())"


@dataclass(frozen=True)
class Found:
    """An interpreter of the wanted version."""

    wanted: str
    version: str
    program: Path


@dataclass(frozen=True)
class Missing:
    """No interpreter, and why."""

    wanted: str
    why: str

    def __str__(self) -> str:
        return f"python {self.wanted}: not here ({self.why})"


def supported() -> list[str]:
    """All versions to try, oldest first; the running one is always among them."""
    return sorted({*claimed_pythons(), *NEXT, running()}, key=minor)


def running() -> str:
    """The version that this program runs on, as in ``3.11``."""
    return f"3.{sys.version_info.minor}"


def find(wanted: str, folder: Path) -> Found | Missing:
    """An interpreter of version ``wanted``; what uv brings is kept in ``folder``."""
    for program in _candidates(wanted):
        version = _version(program)
        if version is not None and version.startswith(f"{wanted}."):
            return Found(wanted, version, program)
    return _brought(wanted, folder)


def _candidates(wanted: str) -> Iterator[Path]:
    if wanted == running():
        yield Path(sys.executable)
    yield from _of_pyenv(wanted)
    # Not the environment that is active: its Python is the running one.
    found = _uv("find", "--system", "--no-python-downloads", wanted)
    if found.returncode == 0:
        yield Path(found.stdout.strip())


def _of_pyenv(wanted: str) -> Iterator[Path]:
    """The interpreters behind pyenv's shims, which refuse to start a version that is installed but not selected."""
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        versions = Path(entry).parent / "versions"
        if Path(entry).name == "shims" and versions.is_dir():
            yield from sorted(versions.glob(f"{wanted}.*/bin/python{wanted}"))


def _version(program: Path) -> str | None:
    try:
        done = subprocess.run(
            [program, "-c", _QUESTION], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _brought(wanted: str, folder: Path) -> Found | Missing:
    done = _uv("install", "--no-bin", "--install-dir", str(folder), wanted)
    for program in sorted(folder.glob(f"cpython-{wanted}.*/bin/python{wanted}")):
        version = _version(program)
        if version is not None:
            return Found(wanted, version, program)
    return Missing(wanted, f"uv could not bring it: {_reason(done.stderr)}")


def _reason(stderr: str) -> str:
    """The last cause that uv names, which is the one at the bottom of it."""
    lines = [
        re.sub(r"^\s*(error|cause|caused by):\s*", "", it, flags=re.I) for it in stderr.splitlines()
    ]
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else "it did not say why"


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(UV), "python", *arguments, "--no-progress"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
