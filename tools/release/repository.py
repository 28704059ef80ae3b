"""The repository: whether it is clean, a clone of it, and the version in its files."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

from tools.release import RefusedError
from tools.release.changelog import Changelog
from tools.release.versions import Level, next_version

_IN_PROJENRC = re.compile(r'^( *"version": )"([^"]*)",$', re.MULTILINE)
_IN_PYPROJECT = re.compile(r'^(name|version) = "([^"]*)"$', re.MULTILINE)


def require_clean(root: Path) -> None:
    """Refuse when files are changed or unknown: the clone, and so the release, would lack them."""
    # Without locks git does not even renew its own index.
    status = git(root, "--no-optional-locks", "status", "--porcelain")
    if status:
        raise RefusedError(f"commit these first, a release is made of commits:\n{status.rstrip()}")


def clone(root: Path, at: Path) -> str:
    """Clone what is checked out, and return its commit."""
    subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", str(root), str(at)],
        check=True,
    )
    return git(at, "rev-parse", "--short", "HEAD").strip()


def bump(root: Path, named: Level | None, day: datetime.date) -> str:
    """Write the next version, and move the changelog's entries under it.

    Nothing is written when the bump is refused.
    """
    projenrc = root / ".projenrc.py"
    source = projenrc.read_text(encoding="utf-8")
    found = _IN_PROJENRC.findall(source)
    if len(found) != 1:
        raise RefusedError(f".projenrc.py has {len(found)} lines with a version, and not one")
    changelog = Changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    version = next_version(found[0][1], changelog, named)
    moved = changelog.moved(version, day)

    projenrc.write_text(_IN_PROJENRC.sub(rf'\g<1>"{version}",', source), encoding="utf-8")
    (root / "CHANGELOG.md").write_text(moved, encoding="utf-8")
    subprocess.run([sys.executable, ".projenrc.py"], cwd=root, check=True)
    if name_and_version(root)[1] != version:
        raise RefusedError(f"pyproject.toml did not get the version {version} from .projenrc.py")
    return version


def name_and_version(root: Path) -> tuple[str, str]:
    """What pyproject.toml says. Python 3.10 has no parser for it."""
    # The first of each: those of [project] stand before any tool's.
    found = _IN_PYPROJECT.findall((root / "pyproject.toml").read_text(encoding="utf-8"))
    first = dict(reversed(found))
    return first["name"], first["version"]


def git(root: Path, *arguments: str) -> str:
    """What a git command prints."""
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
