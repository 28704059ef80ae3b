"""The commands behind `make bump`, `make release-dry-run` and `make publish`."""

from __future__ import annotations

import argparse
import datetime
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.release import RefusedError, package
from tools.release.changelog import Changelog
from tools.release.repository import bump, clone, git, name_and_version, require_clean
from tools.release.versions import Level

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    named = Level[options.level.upper()] if getattr(options, "level", None) else None
    # Otherwise what the commands print comes before what this prints, when it goes to a file.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a test's stdout has it too
    try:
        if options.command == "bump":
            require_clean(root)
            print(f"{bump(root, named, _today())}: look at `git diff`, then commit")
        elif options.command == "dry-run":
            dry_run(root, named)
        else:
            publish(root)
    except RefusedError as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"no release: a command failed: {error}", file=sys.stderr)
        return 1
    return 0


def dry_run(root: Path, named: Level | None) -> None:
    """A release of what is committed, short of the upload. The work tree stays as it is."""
    require_clean(root)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        copy, dist = Path(folder, "clone"), Path(folder, "dist")
        commit = clone(root, copy)
        before = name_and_version(copy)[1]
        version = bump(copy, named, _today())
        print(f"\nversion      {before} -> {version}, of commit {commit}")
        print(f"would change {', '.join(git(copy, 'diff', '--name-only').split()) or 'nothing'}")
        name = name_and_version(copy)[0]
        package.build(copy, dist)
        paths = package.files(dist, name, version)
        publisher = package.Publisher(Path(folder))
        publisher.check(paths)
        publisher.publib(dist, dry_run=True)
        print(
            f"\n{name} {version} would be published with `{' '.join(package.command(Path('dist')))}`:"
        )
        for path in paths:
            print(f"  {path.stat().st_size:>9,} bytes  {path.name}")
        text = (copy / "CHANGELOG.md").read_text(encoding="utf-8")
        print(
            f"\n{Changelog(text).section(version)}\n\nNothing was uploaded, and no file here was changed."
        )


def publish(root: Path) -> None:
    """Upload what `make build` made of the newest version in the changelog."""
    require_clean(root)
    name, version = name_and_version(root)
    changelog = Changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if changelog.released[:1] != [version]:
        raise RefusedError(
            f"CHANGELOG.md has not {version} as its newest version: run `make bump` first"
        )
    if changelog.unreleased:
        raise RefusedError(
            f"CHANGELOG.md has entries that are not in {version}: run `make bump` first"
        )
    paths = package.files(root / "dist", name, version)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        publisher = package.Publisher(Path(folder))
        publisher.check(paths)
        # publib signs the files and leaves the signatures beside them, where a second try would find them.
        dist = Path(folder, "dist")
        dist.mkdir()
        for path in paths:
            shutil.copy2(path, dist)
        publisher.publib(dist, dry_run=False)


def _today() -> datetime.date:
    # Where the release is made is no matter: PyPI dates it in UTC.
    return datetime.datetime.now(datetime.timezone.utc).date()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    levels = [level.name.lower() for level in Level]
    for name, text in (
        ("bump", "write the next version and move the changelog's entries under it"),
        ("dry-run", "go the whole way in a clone, short of the upload"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "level",
            nargs="?",
            choices=levels,
            help="default: what the changelog's headings ask for",
        )
    commands.add_parser("publish", help="upload what is in dist")
    return parser


if __name__ == "__main__":
    sys.exit(main())
