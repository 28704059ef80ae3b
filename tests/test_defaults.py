"""The table of defaults: each row has a reason, is used, and is what the docstrings state.

That a default reaches the template is a test of its construct.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from importlib.resources import files

import pytest

import iot_constructs
from iot_constructs import _defaults as defaults
from iot_constructs import _props

_PACKAGE = files("iot_constructs")
_SOURCE = _PACKAGE.joinpath("_defaults.py").read_text(encoding="utf-8")
_ROWS = {
    row.target.id: row
    for row in ast.parse(_SOURCE).body
    if isinstance(row, ast.AnnAssign) and isinstance(row.target, ast.Name)
}
_LIMITS = {"NUMBER_LIMITS", "DURATION_LIMITS", "TEXT_LIMITS"}
_PLAIN = [name for name in _ROWS if not name.startswith("_") and name not in _LIMITS]


def _reason(row: ast.AnnAssign) -> str:
    lines = range(row.lineno, (row.end_lineno or row.lineno) + 1)
    tokens = tokenize.generate_tokens(io.StringIO(_SOURCE).readline)
    comments = [t.string for t in tokens if t.type == tokenize.COMMENT and t.start[0] in lines]
    return " ".join(comments).lstrip("# ")


@pytest.mark.parametrize("name", _PLAIN)
def test_a_row_is_final_and_plain_and_has_a_reason(name: str) -> None:
    """Plain, so that importing the table starts no Node process."""
    value = getattr(defaults, name)
    assert ast.unparse(_ROWS[name].annotation) == "Final"
    assert isinstance(value, (bool, int, float, str, tuple, defaults.DurationLimit))
    if not name.endswith("_NAME") and not isinstance(value, defaults.DurationLimit):
        assert len(_reason(_ROWS[name]).split()) >= 2


@pytest.mark.parametrize("table", sorted(_LIMITS))
def test_a_limit_is_in_order_and_has_a_source(table: str) -> None:
    for keyword, limit in getattr(defaults, table).items():
        assert limit.source, keyword
        if isinstance(limit, defaults.TextLimit):
            assert limit.description, keyword
            assert not re.fullmatch(limit.pattern, "\n" * 2000), keyword
        else:
            assert limit.low < limit.high, keyword


def test_every_limit_is_that_of_an_argument() -> None:
    """A misspelled keyword would limit nothing."""
    known = {key for it in vars(_props).values() for key in getattr(it, "__annotations__", ())}
    for name in iot_constructs.__all__:
        for _, function in inspect.getmembers(getattr(iot_constructs, name), inspect.isfunction):
            known |= set(inspect.signature(function).parameters)
    keywords = {keyword for table in _LIMITS for keyword in getattr(defaults, table)}
    assert {keyword.split(".")[-1] for keyword in keywords} - known == set()


def test_every_row_is_used_and_every_use_is_a_row() -> None:
    used = set()
    for module in _PACKAGE.iterdir():
        if module.name.endswith(".py"):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "defaults":
                    used.add(node.attr)
                elif isinstance(node, ast.Name) and module.name == "_defaults.py":
                    used |= {node.id} if isinstance(node.ctx, ast.Load) else set()
    assert _ROWS.keys() - used == set()
    assert {name for name in used if name.isupper()} <= vars(defaults).keys()


def test_a_person_is_called_before_records_are_given_up() -> None:
    iterator_age = defaults.ITERATOR_AGE_SHARE_OF_RETENTION
    assert iterator_age < defaults.RECORD_AGE_SHARE_OF_RETENTION < 1
    assert iterator_age < defaults.EXISTING_RECORD_AGE_SHARE < 1
