"""The rows of the table of defaults, each with another value."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Final

from tools.mutant import Mutant, Text, excerpt

# Where a letter more would not be another legal value. All other strings are names and patterns: they get one.
OTHER_STRINGS: Final = {
    "LOG_RETENTION": "SIX_MONTHS",
    "PARTITION_COLUMN_TYPE": "int",
    "PARTITION_KEY_TEMPLATE": "${topic(3)}",
    "SQL_VERSION": "2015-10-08",
}


def mutate_defaults(file: str, source: str) -> Iterator[Mutant]:
    """Every row: booleans flipped, numbers one up and one down, strings changed, tuples without one of their items."""
    text = Text(source)
    for row in ast.parse(source).body:
        if isinstance(row, ast.AnnAssign) and isinstance(row.target, ast.Name) and row.value:
            name = row.target.id
            value = ast.literal_eval(row.value)
            start, end = text.span(row.value)
            for other in _others(name, value):
                change = f"{value!r} -> {other!r}"
                yield Mutant(file, name, excerpt(change), start, end, repr(other))


def _others(name: str, value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1] if value > 1 else [value + 1]
    if isinstance(value, float):
        return [round(value + 0.1, 3)]
    if isinstance(value, tuple):
        return [value[:index] + value[index + 1 :] for index in range(len(value))]
    if name in OTHER_STRINGS:
        return [OTHER_STRINGS[name]]
    return [f"{value[:-1]}x/" if value.endswith("/") else f"{value}x"]
