"""The files that are published: built, checked, and handed to publib."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tools.release import RefusedError

# By number: publib gets the right to publish.
PUBLIB: Final = "publib@0.2.1061"
# What publib installs and runs. Pinned for the same reason: `make constraints` writes it.
REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")

_UV: Final = str(Path(sys.executable).with_name("uv"))
_NEVER_SENT: Final = "not-a-password"


def build(root: Path, dist: Path) -> None:
    """The source distribution and the wheel, as `make build` makes them."""
    constraints = str(root / "constraints.txt")
    _run(
        *[_UV, "build", "--quiet", "--build-constraint", constraints],
        *["--out-dir", str(dist), str(root)],
    )


def files(dist: Path, name: str, version: str) -> list[Path]:
    """The two files. publib uploads whatever is in the folder, so nothing else may be there."""
    base_name = f"{name.replace('-', '_')}-{version}"
    wanted = {f"{base_name}.tar.gz", f"{base_name}-py3-none-any.whl"}
    # uv's .gitignore is hidden from the shell, and so from publib.
    found = {path.name for path in dist.glob("*") if not path.name.startswith(".")}
    if found != wanted:
        raise RefusedError(
            f"{dist} must have {sorted(wanted)} and nothing else, but has {sorted(found)}"
        )
    return [dist / file for file in sorted(wanted)]


class Publisher:
    """An environment with twine, in which publib runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._venv = folder / "venv"
        # publib installs with `pip --user`. That works where the user's packages are visible, and they are
        # wherever PYTHONUSERBASE says: in the folder.
        _run(
            *[_UV, "venv", "--quiet", "--seed", "--system-site-packages"],
            *["--python", sys.executable, str(self._venv)],
        )
        _run(
            *[_UV, "pip", "install", "--quiet", "--python", str(self._venv / "bin" / "python")],
            *["--requirement", str(REQUIREMENTS)],
        )

    def check(self, paths: list[Path]) -> None:
        """What PyPI would refuse. Warnings are refused here."""
        python = str(self._venv / "bin" / "python")
        _run(python, "-m", "twine", "check", "--strict", *map(str, paths))

    def publib(self, dist: Path, *, dry_run: bool) -> None:
        """Upload, or in a dry run name what would be uploaded."""
        _run(*command(dist), env=self.environment(os.environ, dry_run=dry_run))

    def environment(self, base: Mapping[str, str], *, dry_run: bool) -> dict[str, str]:
        """The variables publib runs with."""
        variables = dict(base)
        variables["PATH"] = f"{self._venv / 'bin'}{os.pathsep}{base['PATH']}"
        variables["PYTHONUSERBASE"] = str(self._folder / "user")
        variables["PIP_CONSTRAINT"] = str(REQUIREMENTS)
        variables["PIP_DISABLE_PIP_VERSION_CHECK"] = variables["PIP_QUIET"] = "1"
        # publib-pypi is a shell script: nothing that comes with publib has to run when it is installed.
        variables["npm_config_ignore_scripts"] = "true"
        if dry_run:
            # publib asks for credentials even then. It gets none that are good for anything, and is not
            # to fetch any: as a trusted publisher it would before it looks whether the run is dry.
            variables["PUBLIB_DRYRUN"] = "true"
            variables["TWINE_USERNAME"] = "__token__"
            variables["TWINE_PASSWORD"] = _NEVER_SENT
            variables.pop("PYPI_TRUSTED_PUBLISHER", None)
        else:
            variables.pop("PUBLIB_DRYRUN", None)
        return variables


def command(dist: Path) -> list[str]:
    """The command that publishes what is in a folder."""
    return ["npx", "--yes", "--package", PUBLIB, "publib-pypi", str(dist)]


def _run(*arguments: str, env: Mapping[str, str] | None = None) -> None:
    subprocess.run(arguments, check=True, env=env)
