"""Whoever copies code from a guide page gets code that runs."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from tests.synth_support import fresh_app

_ROOT = Path(__file__).resolve().parents[2]
_GUIDES = {
    page.stem: blocks
    for page in sorted((_ROOT / "docs" / "guide").glob("*.md"))
    if (blocks := re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
}


def _namespace(app: cdk.App) -> dict[str, Any]:
    return {"app": app, "stack": cdk.Stack(app, "Docs")}


def test_most_guide_pages_have_blocks() -> None:
    assert len(_GUIDES) >= 7


@pytest.mark.parametrize("page", _GUIDES)
def test_the_blocks_of_a_guide_page_run_one_after_the_other(page: str) -> None:
    app = fresh_app()
    namespace = _namespace(app)
    for number, block in enumerate(_GUIDES[page]):
        exec(compile(textwrap.dedent(block), f"{page}.md block {number}", "exec"), namespace)
    app.synth()
    for name in [name for name in namespace if name.startswith("test_")]:
        namespace[name]()
