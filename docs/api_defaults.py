"""The table of defaults, read from its source: the reasons are comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs import api_text

_GROUP = re.compile(r"# --- (?P<title>.+?) -+")


@dataclass(frozen=True)
class Default:
    """One row: what it is called, what it is, why, and the heading it stands under."""

    name: str
    value: Any
    reason: str
    group: str


def read(source: Path) -> dict[str, Default]:
    """Every row of ``_defaults.py``, by name."""
    text = source.read_text(encoding="utf-8")
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    titles = {line: match["title"] for line, c in comments.items() if (match := _GROUP.match(c))}
    rows = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            continue
        name, last = ast.unparse(node.target), node.end_lineno or node.lineno
        reason = " ".join(
            comments[line].lstrip("# ") for line in range(node.lineno, last + 1) if line in comments
        )
        title = titles[max(line for line in titles if line < node.lineno)]
        rows[name] = Default(name, ast.literal_eval(node.value), reason, title.split(";")[0])
    return rows


def names_in(source: str) -> set[str]:
    """Which rows a module reads, as ``defaults.NAME``."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "defaults"
    }


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


def link(group: str) -> str:
    """To the group's table."""
    anchor = re.sub(r"[^\w -]", "", group.lower()).replace(" ", "-")
    return f"[{group}](#defaults-{anchor})"


def chapter(rows: Mapping[str, Default]) -> str:
    """All of them, with their reasons."""
    parts = [
        "## Defaults",
        "What an argument is that you leave out, and the limits that arguments are held to, each with its reason. The "
        "unit is in the name.",
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
    return "\n\n".join(parts)


def _shown(value: Any) -> str:
    return ast.unparse(ast.Constant(value)).replace("'", '"')
