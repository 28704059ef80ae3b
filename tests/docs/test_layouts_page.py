"""docs/guide/layouts.md has the table of regions and accounts that the code has, and its messages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from iot_constructs import _layout
from iot_constructs._layout import _OTHER_ACCOUNT, _OTHER_REGION

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "layouts.md"
_SECTIONS = _PAGE.read_text(encoding="utf-8").split("\n## ")


def _rows(heading: str) -> list[list[str]]:
    [section] = (text for text in _SECTIONS if text.startswith(heading))
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_table_is_that_of_the_code() -> None:
    table = {
        argument.strip("`"): (region, account, re.findall(r"https://[^)]+", link))
        for argument, region, account, link in _rows("Regions and accounts")
    }
    assert table == {
        argument: (
            "imported" if argument in _OTHER_REGION else "no",
            "created, imported" if shared.created else "imported",
            re.findall(r"https://[^)]+", shared.remedy),
        )
        for argument, shared in _OTHER_ACCOUNT.items()
    }


def _messages() -> list[str]:
    """Every message of the module, with … for what is filled in."""
    strings = (
        node
        for node in ast.walk(ast.parse(Path(_layout.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
    )
    return [
        "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        for node in strings
    ]


@pytest.mark.parametrize(
    "message", [cell.strip("`") for cell, _ in _rows("Error messages") if cell.startswith("`")]
)
def test_the_messages_are_those_of_the_code(message: str) -> None:
    assert [one for one in _messages() if message in one.replace("'…'", "…")]


def test_every_message_is_on_the_page() -> None:
    cells = [cell.strip("`") for cell, _ in _rows("Error messages")]
    raised = [
        one.replace("'…'", "…")
        for one in _messages()
        if re.search("; (create|pass|give|stages)", one) or "; create" in one
    ]
    assert len(raised) >= 5
    assert [one for one in raised if not any(cell in one for cell in cells)] == []
