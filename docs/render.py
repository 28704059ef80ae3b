"""Templates of the generated pages (docs/templates), and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)


def render(template: str, **values: Any) -> str:
    """Return the page."""
    return _TEMPLATES.get_template(template).render(values, table=table)


def table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table whose cells are Markdown already."""
    titles = list(header)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def cell(text: str) -> str:
    """Return a text as it is written within a table."""
    return text.replace("|", "\\|")
