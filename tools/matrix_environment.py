"""The environment of a combination: made once, and again when what belongs into it has changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from tools.matrix_pythons import UV, Found
from tools.matrix_versions import ROOT, Wanted


class NotInstalledError(Exception):
    """No environment, and what the installer said."""


class Environment:
    """A virtual environment with exactly the packages that were resolved for it, and the work tree's sources."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.python: Final = folder / "bin" / "python"

    def make(self, found: Found, wanted: Wanted) -> dict[str, str]:
        """Bring it up to date; what is installed then, as name: version.

        Raises:
            NotInstalledError: the requirements do not go together, or something of it could not be had.
        """
        pins = self._resolved(found, wanted)
        ready, fingerprint = self._folder / ".ready", _fingerprint(found, pins)
        if not (ready.is_file() and ready.read_text(encoding="utf-8") == fingerprint):
            # A set-up that broke off may have left anything.
            shutil.rmtree(self._folder, ignore_errors=True)
            _uv("venv", "--python", str(found.program), str(self._folder))
            constraints = str(ROOT / "constraints.txt")
            _uv(
                *["pip", "install", "--python", str(self.python), "--requirement", "-"],
                *["--build-constraint", constraints, "--no-deps", "--editable", str(ROOT)],
                input="\n".join(pins),
            )
            # Whether the package's own requirements are met by what was chosen for it.
            _uv("pip", "check", "--python", str(self.python))
            ready.write_text(fingerprint, encoding="utf-8")
        listed = json.loads(_uv("pip", "list", "--python", str(self.python), "--format", "json"))
        return {canonicalize_name(each["name"]): each["version"] for each in listed}

    def _resolved(self, found: Found, wanted: Wanted) -> list[str]:
        """Name==version of everything to install, for this Python."""
        constraints = self._folder.parent / f"{self._folder.name}.constraints.txt"
        constraints.parent.mkdir(parents=True, exist_ok=True)
        constraints.write_text("\n".join(wanted.constraints), encoding="utf-8")
        answer = _uv(
            *["pip", "compile", "--python", str(found.program), "--constraint", str(constraints)],
            *["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "-"],
            input="\n".join(wanted.requirements),
        )
        return sorted(line for line in answer.splitlines() if "==" in line)

    def variables(self) -> dict[str, str]:
        """Those of this process, with this environment's programs before any others on the PATH."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        kept.pop("VIRTUAL_ENV", None)
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        return {**kept, "PATH": path}


def _fingerprint(found: Found, pins: Sequence[str]) -> str:
    # The project's own requirements too: they are in the metadata of an editable installation.
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = "\n".join([found.version, str(found.program), project, *pins])
    return hashlib.sha256(text.encode()).hexdigest()


def _uv(*arguments: str, input: str | None = None) -> str:
    done = subprocess.run(
        [UV, "--quiet", *arguments],
        input=input,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode != 0:
        raise NotInstalledError((done.stderr or done.stdout).strip() or f"uv {arguments[0]} failed")
    return done.stdout
