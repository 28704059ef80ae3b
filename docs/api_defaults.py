"""The table of defaults, run for its values and read for its reasons, which are comments."""

from __future__ import annotations

import ast
import io
import re
import runpy
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs import api_text

_GROUP = re.compile(r"# --- (?P<title>.+?) -+$")
_LITERALS = (bool, float, int, str, tuple)


@dataclass(frozen=True)
class Default:
    """One row: its name, its value, its reason, and the heading that it stands under."""

    name: str
    value: Any
    reason: str
    group: str


def read(source: Path) -> dict[str, Default]:
    """Every row of ``_defaults.py`` with a literal value, by name."""
    text = source.read_text(encoding="utf-8")
    values = runpy.run_path(str(source))
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    titles = {line: match["title"] for line, c in comments.items() if (match := _GROUP.match(c))}
    rows = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.AnnAssign):
            continue
        name, last = ast.unparse(node.target), node.end_lineno or node.lineno
        if name.startswith("_") or type(values[name]) not in _LITERALS:
            continue
        reason = " ".join(
            comments[line].lstrip("# ") for line in range(node.lineno, last + 1) if line in comments
        )
        title = titles[max(line for line in titles if line < node.lineno)]
        rows[name] = Default(name, values[name], reason, title.split(";")[0])
    return rows


class _Values(ast.NodeTransformer):
    def __init__(self, rows: Mapping[str, Default]) -> None:
        self._rows = rows

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if ast.unparse(node.value) == "defaults":
            return ast.Constant(self._rows[node.attr].value)
        return node


def resolved(expression: str, rows: Mapping[str, Default]) -> str:
    """``defaults.NAME`` as the value that it has."""
    tree = _Values(rows).visit(ast.parse(expression, mode="eval"))
    return ast.unparse(tree).replace("'", '"')


def links(class_name: str, rows: Mapping[str, Default]) -> str:
    """To the tables of a class, whose headings name it; empty if it has none."""
    groups = dict.fromkeys(row.group for row in rows.values() if class_name in row.group)
    found = ", ".join(f"[{group}](#{_anchor(f'Defaults: {group}')})" for group in groups)
    return f"Defaults and their reasons: {found}." if found else ""


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def chapter(rows: Mapping[str, Default], source: Path) -> str:
    """All of them, with their reasons, and the limits of the arguments."""
    parts = [
        "## Defaults",
        "The value of an argument that you omit, with its reason. The unit is in the name.",
    ]
    for group in dict.fromkeys(row.group for row in rows.values()):
        parts += [
            f"### Defaults: {group}",
            api_text.table(
                ("default", "value", "why"),
                (
                    (f"`{row.name}`", api_text.code(_shown(row.value)), api_text.cell(row.reason))
                    for row in rows.values()
                    if row.group == group
                ),
            ),
        ]
    parts += [
        "## Limits",
        "A value outside of these is a `ValueError` at synth. Durations are in seconds.",
        api_text.table(("argument", "limit", "source"), _limits(source)),
    ]
    return "\n\n".join(parts)


def _limits(source: Path) -> Iterator[tuple[str, str, str]]:
    values = runpy.run_path(str(source))
    for table in ("NUMBER_LIMITS", "DURATION_LIMITS", "TEXT_LIMITS"):
        for keyword, limit in values[table].items():
            text = limit.description if table == "TEXT_LIMITS" else f"{limit.low} to {limit.high}"
            step = getattr(limit, "step", 1)
            text += f", in steps of {step}" if step > 1 else ""
            yield api_text.code(keyword), api_text.cell(text), api_text.cell(limit.source)


def _shown(value: Any) -> str:
    return ast.unparse(ast.Constant(value)).replace("'", '"')
