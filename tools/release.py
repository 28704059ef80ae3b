"""The steps of a release (CONTRIBUTING.md, Releases): ``python -m tools.release bump|dry-run|check``."""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = str(Path(sys.executable).with_name("uv"))
LEVELS = ("patch", "minor", "major")
# The headings of Keep a Changelog, and which version an entry below each asks for.
HEADINGS = {
    **dict.fromkeys(("Fixed", "Security"), "patch"),
    **dict.fromkeys(("Added", "Changed", "Deprecated"), "minor"),
    "Removed": "major",
}
_VERSION = re.compile(r'(?<=^VERSION = ")\d+\.\d+\.\d+(?="$)', re.MULTILINE)
_SECTION = re.compile(r"^## \[([^\]]+)\].*\n((?:(?!## |\[[^\]]+\]: ).*\n)*)", re.MULTILINE)


class ReleaseError(Exception):
    """Something to correct before a release."""


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run one step and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("step", choices=("bump", "dry-run", "check"))
    parser.add_argument(
        "level",
        nargs="?",
        choices=LEVELS,
        help="default: what the headings of the changelog ask for",
    )
    options = parser.parse_args(arguments)
    # Without locks, git leaves its own index as it is, too.
    git_status = ["git", "--no-optional-locks", "status", "--porcelain"]
    try:
        if options.step != "check" and subprocess.check_output(git_status, cwd=root):
            raise ReleaseError("commit your changes first: a release is made of commits")
        if options.step == "bump":
            print(f"{bump(root, options.level)}: look at `git diff`, then commit")
        elif options.step == "dry-run":
            dry_run(root, options.level)
        else:
            check(root)
    except (ReleaseError, subprocess.CalledProcessError) as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    return 0


def bump(root: Path, level: str | None) -> str:
    """Write the next version, and put the changelog's entries under it. Returns the version."""
    path, projenrc = root / "CHANGELOG.md", root / ".projenrc.py"
    text = path.read_text(encoding="utf-8")
    sections = changelog(text)
    version = next_version(_version(root), sections["Unreleased"], level, first=len(sections) == 1)
    if version in sections:
        raise ReleaseError(f"CHANGELOG.md already has a section {version}")
    heading, day = "## [Unreleased]\n", datetime.datetime.now(datetime.timezone.utc).date()
    path.write_text(text.replace(heading, f"{heading}\n## [{version}] - {day}\n", 1), "utf-8")
    projenrc.write_text(_VERSION.sub(version, projenrc.read_text(encoding="utf-8")), "utf-8")
    _run(sys.executable, ".projenrc.py", cwd=root)
    return version


def changelog(text: str) -> dict[str, str]:
    """Return the sections of a changelog, newest first: version -> text."""
    sections = {version: body.strip() for version, body in _SECTION.findall(text)}
    if next(iter(sections), None) != "Unreleased":
        raise ReleaseError("CHANGELOG.md does not start with a section `## [Unreleased]`")
    return sections


def next_version(version: str, unreleased: str, level: str | None, *, first: bool) -> str:
    """Return the version that the entries ask for, or a higher one. The first release keeps `version`."""
    _, *parts = re.split(r"^### (.*)\n", f"### \n{unreleased}\n", flags=re.MULTILINE)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    headings = {heading for heading, body in pairs if body.strip()}
    if not headings or headings - HEADINGS.keys():
        raise ReleaseError(f"Unreleased needs entries, each below one of {', '.join(HEADINGS)}")
    asked = max(LEVELS.index(HEADINGS[heading]) for heading in headings)
    if re.search(r"^[-*] \**breaking\b", unreleased, re.MULTILINE | re.IGNORECASE):
        asked = LEVELS.index("major")
    major, minor, patch = map(int, version.split("."))
    if not major:
        asked = min(asked, LEVELS.index("minor"))  # before 1.0.0, a minor version may break
    if first and level is None:
        return version
    named = asked if level is None else LEVELS.index(level)
    if named < asked:
        raise ReleaseError(f"the entries of Unreleased ask for a {LEVELS[asked]} version")
    return (f"{major}.{minor}.{patch + 1}", f"{major}.{minor + 1}.0", f"{major + 1}.0.0")[named]


def check(root: Path) -> None:
    """Check that dist has the changelog's newest version and nothing else, that PyPI takes it, and that it runs."""
    version = _version(root)
    sections = changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if [*sections][1:2] != [version] or sections["Unreleased"]:
        raise ReleaseError(f"CHANGELOG.md has entries that are not in {version}: run `make bump`")
    names = [f"iot_constructs-{version}-py3-none-any.whl", f"iot_constructs-{version}.tar.gz"]
    found = sorted(path.name for path in root.glob("dist/[!.]*"))
    if found != names:
        raise ReleaseError(f"dist has {found} instead of {names}: run `make build`")
    files = [str(root / "dist" / name) for name in names]
    _run(sys.executable, "-m", "twine", "check", "--strict", *files)
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        bin, constraints = folder / "venv" / "bin", str(root / "constraints.txt")
        _run(UV, "venv", "--quiet", "--python", sys.executable, "venv", cwd=folder)
        install = [UV, "pip", "install", "--quiet", "--python", str(bin / "python")]
        _run(*install, "--constraint", constraints, files[0])
        _run(str(bin / "iot-constructs"), "init", "my-pipeline", cwd=folder)
        # A public name loads aws-cdk-lib, which starts Node.
        _run(str(bin / "python"), "-c", "from iot_constructs import MonitoredStream", cwd=folder)


def dry_run(root: Path, level: str | None) -> None:
    """Bump, build and check what is committed, in a clone. The work tree stays as it is."""
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        clone = Path(name, "clone")
        _run("git", "clone", "--quiet", "--no-hardlinks", str(root), str(clone))
        version = bump(clone, level)
        print(f"{_version(root)} -> {version}")
        _run("git", "diff", "--stat", cwd=clone)
        _run(UV, "build", "--quiet", "--build-constraint", "constraints.txt", cwd=clone)
        check(clone)
    print(f"{version} passed. Nothing was uploaded, and no file here was changed.")


def _version(root: Path) -> str:
    [version] = _VERSION.findall((root / ".projenrc.py").read_text(encoding="utf-8"))
    return str(version)


def _run(*command: str, cwd: Path = ROOT) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, cwd=cwd, check=True)


if __name__ == "__main__":
    sys.exit(main())
