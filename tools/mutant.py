"""One change to one file, made to see whether a test notices."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

LONGEST_EXCERPT: Final = 80


@dataclass(frozen=True)
class Mutant:
    """A text edit, and the name that it goes by in reports."""

    file: str
    """From the root of the repository, with slashes."""
    place: str
    """The row, function or rule that is changed: names stay the same when lines are added above."""
    change: str
    start: int
    end: int
    replacement: str

    @property
    def name(self) -> str:
        """What is reported: short file, place, change."""
        return f"{self.file.removeprefix('src/iot_constructs/')} | {self.place} | {self.change}"

    def apply(self, source: str) -> str:
        """The file with the change in it."""
        return source[: self.start] + self.replacement + source[self.end :]


@dataclass(frozen=True)
class Job:
    """A mutant with the file as it becomes, and the tests that may notice, the likeliest first."""

    mutant: Mutant
    text: str
    tests: tuple[str, ...]
    """Files."""


def numbered(mutants: Iterable[Mutant]) -> list[Mutant]:
    """The same, each with a name of its own: a second one like another is called ``(2)``."""
    seen: Counter[str] = Counter()
    named = []
    for mutant in mutants:
        seen[mutant.name] += 1
        count = seen[mutant.name]
        named.append(mutant if count == 1 else replace(mutant, change=f"{mutant.change} ({count})"))
    return named


class Text:
    """A source whose nodes can be found again as spans of characters: `ast` counts in bytes of a line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        """Where the node begins and ends."""
        line, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self._offset(node.lineno, node.col_offset), self._offset(line, column)

    def of(self, node: ast.expr | ast.stmt | ast.keyword) -> str:
        """The node as it is written."""
        start, end = self.span(node)
        return self.source[start:end]

    def _offset(self, line: int, column: int) -> int:
        before = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(before)


def excerpt(text: str) -> str:
    """One line of a length that fits into a report."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_EXCERPT else f"{line[: LONGEST_EXCERPT - 4]} ..."
