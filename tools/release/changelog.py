"""CHANGELOG.md: what stands under ``Unreleased``, and its move under a version."""

from __future__ import annotations

import datetime
import re

from tools.release import RefusedError

# The addresses at the end of the file, which Keep a Changelog gives the versions, belong to none.
_SECTION_ENDS = r"(?=^## |^\[[^\]]+\]: |\Z)"
_UNRELEASED = re.compile(
    rf"^## \[Unreleased\][ \t]*\n(?P<body>.*?){_SECTION_ENDS}", re.MULTILINE | re.DOTALL
)
_VERSIONS = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


class Changelog:
    """The text of CHANGELOG.md."""

    def __init__(self, text: str) -> None:
        self.text = text
        match = _UNRELEASED.search(text)
        if not match:
            raise RefusedError("CHANGELOG.md has no line `## [Unreleased]`")
        self._start, self._end = match.span()
        self.unreleased = match["body"].strip()

    @property
    def released(self) -> list[str]:
        """The versions that have a section, newest first."""
        return _VERSIONS.findall(self.text)

    @property
    def entries(self) -> dict[str, list[str]]:
        """The entries under ``Unreleased``: heading to texts. Those before any heading are under ``""``."""
        found: dict[str, list[str]] = {}
        heading = ""
        for line in self.unreleased.splitlines():
            if line.startswith("### "):
                heading = line.removeprefix("### ").strip()
                found.setdefault(heading, [])
            elif line.startswith(("- ", "* ")):
                found.setdefault(heading, []).append(line[2:].strip())
        return found

    def moved(self, version: str, day: datetime.date) -> str:
        """The text with everything from ``Unreleased`` under ``version``."""
        if version in self.released:
            raise RefusedError(f"CHANGELOG.md has a section {version} already")
        section = f"## [Unreleased]\n\n## [{version}] - {day.isoformat()}\n\n{self.unreleased}\n"
        rest = self.text[self._end :]
        return self.text[: self._start] + section + (f"\n{rest}" if rest else "")

    def section(self, version: str) -> str:
        """What stands under a released version, with its heading."""
        heading = rf"^## \[{re.escape(version)}\]"
        match = re.search(rf"{heading}.*?{_SECTION_ENDS}", self.text, re.MULTILINE | re.DOTALL)
        if not match:
            raise RefusedError(f"CHANGELOG.md has no section {version}: run `make bump` first")
        return match[0].strip()
