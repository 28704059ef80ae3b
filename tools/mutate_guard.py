"""The rules in Guard: without a rule, with a clause less, or, where a clause cannot go, with the opposite in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tools.mutant import Mutant, excerpt

_HEAD: Final = re.compile(r"(?:rule|let) (\w+)\b")
_OPERATORS: Final = re.compile(
    r" (?:!?exists\b|!?empty\b|not in (?=\[|%)|in (?=\[|%)|== |!= |is_\w+)"
)
_CHOICES: Final = re.compile(r" in \[([^\]]*)\]")


def mutate_guard(file: str, source: str) -> Iterator[Mutant]:
    """Every rule and every filter (``let``) of the file."""
    place = ""
    began = 0
    lines = list(_lines(source))
    for number, (start, line) in enumerate(lines):
        head = _HEAD.match(line)
        if head:
            place, began = head[1], start
        if line == "}" and source.startswith("rule ", began):
            yield Mutant(file, place, "rule removed", began, start + len(line), "")
        if not _is_clause(line):
            continue
        yield from _fewer_choices(file, place, start, line)
        span = _droppable(lines, number)
        if span is not None:
            yield Mutant(file, place, f"dropped: {excerpt(line)}", *span, "")
        else:
            yield from _other_operators(file, place, start, line)


def _lines(source: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in source.splitlines(keepends=True):
        yield start, line.rstrip("\n")
        start += len(line)


def _is_clause(line: str) -> bool:
    """Whether a line asks something: not a comment, a message, a bracket or the rest of a list."""
    return not line.strip().startswith(("#", "<<", "}", "]", "'")) and bool(line.strip())


def _other_operators(file: str, place: str, start: int, line: str) -> Iterator[Mutant]:
    for found in _OPERATORS.finditer(line):
        if line.startswith("rule "):
            continue  # without anything to look at, the engine reports the template as such, and we leave that out
        opposite = _opposite(found[0])
        change = f"{excerpt(line)}:{found[0].rstrip()} ->{opposite.rstrip()}"
        yield Mutant(file, place, change, start + found.start(), start + found.end(), opposite)


def _opposite(operator: str) -> str:
    if operator in (" == ", " != "):
        return " != " if operator == " == " else " == "
    if operator.endswith("in "):
        return " in " if operator == " not in " else " not in "
    return operator.replace("!", "") if "!" in operator else f" !{operator[1:]}"


def _fewer_choices(file: str, place: str, start: int, line: str) -> Iterator[Mutant]:
    for found in _CHOICES.finditer(line):
        choices = found[1].split(", ")
        for choice in choices if len(choices) > 1 else ():
            rest = ", ".join(it for it in choices if it != choice)
            change = f"{excerpt(line)}: without {choice}"
            yield Mutant(file, place, change, start + found.start(1), start + found.end(1), rest)


def _droppable(lines: list[tuple[int, str]], number: int) -> tuple[int, int] | None:
    """What goes with a clause: the ``or`` before or behind it, or its message. None: its block would be empty."""
    start, line = lines[number]
    before, (after_start, after) = lines[number - 1], lines[number + 1]
    if line.endswith(("{", "[")) or line.strip().startswith(("let ", "when ")):
        return None
    if line.endswith(" or"):
        return start, after_start
    if before[1].endswith(" or"):
        return before[0] + len(before[1]) - len(" or"), start + len(line)
    if not after.strip().startswith("<<"):
        return start, after_start
    behind_start, behind = lines[number + 2]
    alone = before[1].endswith("{") and behind.strip() == "}"
    return None if alone else (start, behind_start)
