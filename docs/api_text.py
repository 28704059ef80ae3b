"""Docstrings as Markdown: literal blocks, code, and links to the evidence."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

_AWS = "https://docs.aws.amazon.com/"
_CDK = f"{_AWS}cdk/api/v2/python/"
_LITERAL_BLOCK = re.compile(r"^(?P<before>.*)::\n\n(?P<block>(?:(?: {4}.*)?(?:\n|\Z))+)", re.M)
_LINKS = (
    (re.compile(r"\bFACTS \d+(?:, \d+)*"), "docs/FACTS.md"),
    (re.compile(r"(?<!/)\bRULES\.md"), "RULES.md"),
)
_AWS_PAGE = re.compile(
    r"(?:(?:https://)?docs\.aws\.amazon\.com/)?\b(?P<page>(?:[\w-]+/)+latest/[\w/-]+(?:\.html(?:#[\w-]+)?|/))"
)
_ISSUE = re.compile(r"https://github\.com/(?P<issue>[\w/-]+)")
_CDK_CLASS = re.compile(r":class:`(?P<module>aws_cdk(?:\.\w+)?)\.(?P<name>[A-Z]\w+)`")
_CODE = re.compile(r"(`[^`]+`)")


def markdown(text: str) -> str:
    """A docstring's prose, which may have lists and literal blocks in it."""
    parts: list[str] = []
    end = 0
    for match in _LITERAL_BLOCK.finditer(text):
        before = match["before"]
        # "Example::" by itself announces nothing that the block does not show.
        parts.append(
            inline(text[end : match.start()] + (f"{before}:" if before != "Example" else ""))
        )
        parts.append(code_block(textwrap.dedent(match["block"])))
        end = match.end()
    parts.append(inline(text[end:]))
    return "\n\n".join(part.strip() for part in parts if part.strip())


def inline(text: str) -> str:
    """Prose without blocks: code in single backticks, links to FACTS, to AWS's pages and to CDK's classes."""
    text = _CDK_CLASS.sub(rf"[`\g<module>.\g<name>`]({_CDK}\g<module>/\g<name>.html)", text)
    text = re.sub(r":\w+:`([\w.]+)`", r"`\1`", text.replace("``", "`"))
    return "".join(
        piece if piece.startswith("`") else _linked(piece) for piece in _CODE.split(text)
    )


def _linked(text: str) -> str:
    for pattern, page in _LINKS:
        text = pattern.sub(rf"[\g<0>]({page})", text)
    if _CDK in text:  # the second half of a link to a class
        return text
    text = _ISSUE.sub(r"[\g<issue>](\g<0>)", text)
    return _AWS_PAGE.sub(rf"[\g<page>]({_AWS}\g<page>)", text)


def cell(text: str) -> str:
    """The same on one line of a table."""
    return inline(" ".join(text.split())).replace("|", "\\|")


def code(text: str) -> str:
    """Code within a line of a table."""
    return f"`{text}`".replace("|", "\\|")


def code_block(text: str) -> str:
    """A block of Python."""
    return f"```python\n{text.strip()}\n```"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are Markdown already."""
    titles = list(header)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
