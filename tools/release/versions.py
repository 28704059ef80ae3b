"""Which version comes next: the table in CONTRIBUTING.md, section Versions."""

from __future__ import annotations

import re
from enum import IntEnum

from tools.release import RefusedError
from tools.release.changelog import Changelog


class Level(IntEnum):
    """How much a user's deployment notices, least first."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


# The headings of Keep a Changelog. Breaking is also each entry that says so, under any heading.
_LEVELS = {
    "Added": Level.MINOR,
    "Changed": Level.MINOR,
    "Deprecated": Level.MINOR,
    "Removed": Level.MAJOR,
    "Fixed": Level.PATCH,
    "Security": Level.PATCH,
}


def bumped(version: str, level: Level) -> str:
    """The version after ``version``."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    if not match:
        raise RefusedError(f"the version is {version!r}, and not three numbers like 1.2.3")
    major, minor, patch = (int(number) for number in match.groups())
    if level is Level.MAJOR:
        return f"{major + 1}.0.0"
    if level is Level.MINOR:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def next_version(version: str, changelog: Changelog, named: Level | None) -> str:
    """The version to release: what the entries ask for, or what the caller names if that is more.

    Raises:
        RefusedError: There is nothing to release, an entry is under no known heading, or the named
            level is less than the entries ask for.
    """
    asked = _asked_for(changelog)
    if version.startswith("0."):
        asked = min(asked, Level.MINOR)  # before 1.0.0 a minor version may break
    if named is None:
        # Nothing was released yet: the version that stands there is the first one.
        return bumped(version, asked) if changelog.released else version
    if named < asked and changelog.released:
        raise RefusedError(
            f"the entries under Unreleased ask for a {asked.name.lower()} version, "
            f"and {named.name.lower()} is less: name {asked.name.lower()} or none, "
            "or put the entries under the heading that fits"
        )
    return bumped(version, named)


def _asked_for(changelog: Changelog) -> Level:
    entries = changelog.entries
    if not any(entries.values()):
        raise RefusedError(
            "CHANGELOG.md has no entries under Unreleased: there is nothing to release"
        )
    unknown = [heading for heading in entries if heading not in _LEVELS]
    if unknown:
        raise RefusedError(
            f"CHANGELOG.md has {', '.join(heading or 'entries without a heading' for heading in unknown)} "
            f"under Unreleased; the headings are {', '.join(_LEVELS)}"
        )
    found = [_LEVELS[heading] for heading, lines in entries.items() if lines]
    every = [entry for lines in entries.values() for entry in lines]
    return Level.MAJOR if any(map(_breaks, every)) else max(found)


def _breaks(entry: str) -> bool:
    return re.match(r"\**breaking\b", entry, re.IGNORECASE) is not None
