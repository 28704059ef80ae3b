"""The API pages have every public name, and docstrings describe whatever has one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

import iot_constructs
from iot_constructs import _defaults as defaults
from iot_constructs import rules, testing

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = "".join(page.read_text(encoding="utf-8") for page in (_ROOT / "docs/api").glob("*.md"))
_PUBLIC = [
    f"{module.__name__}.{name}"
    for module in (iot_constructs, rules, testing)
    for name in module.__all__
]


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    loaded = griffe.load(
        "iot_constructs",
        search_paths=[str(_ROOT / "src")],
        allow_inspection=False,
        extensions=griffe.load_extensions(str(_ROOT / "docs/griffe_docstrings.py"), "dataclasses"),
    )
    assert isinstance(loaded, griffe.Module)
    return loaded


def _target(package: griffe.Module, name: str) -> griffe.Object:
    member = package[name.removeprefix("iot_constructs.")]
    return member.final_target if isinstance(member, griffe.Alias) else member


def _undescribed(documented: griffe.Object) -> Iterator[str]:
    """What the site would leave out or show without a text."""
    if not documented.docstring:
        yield documented.path
        return
    if isinstance(documented, griffe.Class):
        for name, member in documented.members.items():
            if not name.startswith("_") and isinstance(member, griffe.Object):
                yield from _undescribed(member)
    described = {
        item.name.lstrip("*")
        for section in documented.docstring.parse("google", warnings=False)
        if isinstance(section, griffe.DocstringSectionParameters)
        for item in section.value
    }
    if described and isinstance(documented, griffe.Class | griffe.Function):
        taken = {each.name for each in documented.parameters} - {"self", "cls", "scope", "id"}
        yield from (f"{documented.path}({name}=)" for name in taken - described)


@pytest.mark.parametrize("name", _PUBLIC)
def test_every_public_name_is_on_a_page(name: str) -> None:
    assert re.search(rf"^::: {re.escape(name)}$", _PAGES, re.M)


@pytest.mark.parametrize("name", [name for name in _PUBLIC if ".testing." not in name])
def test_everything_that_is_public_is_described(package: griffe.Module, name: str) -> None:
    assert list(_undescribed(_target(package, name))) == []


def test_every_warning_is_described(package: griffe.Module) -> None:
    warnings = package["_warnings"].attributes
    assert len(warnings) >= 10
    assert [name for name, each in warnings.items() if not each.docstring] == []


def test_signatures_have_values(package: griffe.Module) -> None:
    thresholds = _target(package, "iot_constructs.AlarmThresholds")
    assert isinstance(thresholds, griffe.Class)
    shown = {each.name: str(each.default) for each in thresholds.parameters}
    assert shown["processor_duration_share"] == str(defaults.DURATION_SHARE_OF_TIMEOUT)
    assert shown["processing_delay"] == "..."


def test_docstrings_are_markdown(package: griffe.Module) -> None:
    docstring = _target(package, "iot_constructs.SecureDataBucket").docstring
    assert docstring
    page = "https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_s3/Bucket.html"
    assert f"[`aws_cdk.aws_s3.Bucket`]({page})" in docstring.value
    assert "**props: properties of ``s3.Bucket``" in docstring.value
    assert "\n```python\nfrom iot_constructs import SecureDataBucket\n" in docstring.value
    assert docstring.value.rstrip().endswith("```")
