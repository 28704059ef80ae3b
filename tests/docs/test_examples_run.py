"""Whoever copies code from the documentation gets code that runs: docstrings and guide pages."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_

from iot_constructs import MonitoredStream, StreamProcessor
from tests.synth_support import fresh_app

_ROOT = Path(__file__).resolve().parents[2]
_SECTIONS = (_ROOT / "API.md").read_text(encoding="utf-8").split("\n## ")
_EXAMPLES = {
    section.split("\n")[0]: block  # the other blocks are signatures
    for section in _SECTIONS
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    if re.match(r"(import|from) ", block)
}
_GUIDES = {
    page.stem: blocks
    for page in sorted((_ROOT / "docs" / "guide").glob("*.md"))
    if (blocks := re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
}


def _namespace(app: cdk.App) -> dict[str, Any]:
    return {"app": app, "stack": cdk.Stack(app, "Docs")}


def _around(stack: cdk.Stack) -> dict[str, Any]:
    """What the examples take as given, under names that they do not use."""
    stream = MonitoredStream(stack, "Given", name_prefix="given")
    processor = StreamProcessor(
        stack,
        "GivenProcessor",
        stream=stream,
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        handler="index.handler",
        name_prefix="given",
    )
    return {"stream": stream, "processor": processor}


@pytest.mark.parametrize("name", _EXAMPLES)
def test_the_example_of_a_docstring_runs(name: str) -> None:
    app = fresh_app()
    namespace = _namespace(app)
    exec(
        compile(_EXAMPLES[name], f"example of {name}", "exec"),
        {**namespace, **_around(namespace["stack"])},
    )
    app.synth()


def test_there_is_an_example_of_most_names() -> None:
    assert len(_EXAMPLES) >= 12


def test_most_guide_pages_have_blocks() -> None:
    assert len(_GUIDES) >= 7


@pytest.mark.parametrize("page", _GUIDES)
def test_the_blocks_of_a_guide_page_run_one_after_the_other(page: str) -> None:
    app = fresh_app()
    namespace = _namespace(app)
    for number, block in enumerate(_GUIDES[page]):
        exec(compile(textwrap.dedent(block), f"{page}.md block {number}", "exec"), namespace)
    app.synth()
