"""Every page and picture that a program writes is what it writes today: the only test that a changed page turns red."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from docs.generate_api import API_MD, api_md
from docs.generate_compliance import COMPLIANCE_MD, compliance_md
from docs.generate_pictures import pictures
from docs.generate_rules import RULES_MD, rules_md
from docs.generate_scale import SCALE_MD, scale_md
from docs.picture_runs import PICTURES
from examples.iot_pipeline.stack import IotPipelineStack
from tests.comparison import comparison_table
from tests.packs.results import results
from tests.plain_pipeline import PlainPipelineStack
from tests.synth_support import fresh_app, template_of

_README = Path(__file__).resolve().parents[2] / "README.md"
_PAGES: dict[Path, Callable[[], str]] = {
    API_MD: api_md,
    COMPLIANCE_MD: lambda: compliance_md(results()),
    RULES_MD: rules_md,
    SCALE_MD: scale_md,
}


def _stale() -> Iterator[str]:
    for path, write in _PAGES.items():
        if path.read_text(encoding="utf-8") != write():
            yield path.name
    drawn = pictures()
    if sorted(drawn) != sorted(each.name for each in PICTURES.glob("*.svg")):
        yield "docs/pictures has other pictures than those that are drawn"
    for name, picture in drawn.items():
        if (PICTURES / name).read_text(encoding="utf-8") != picture:
            yield name


def test_generated_pages_are_current() -> None:
    ours = template_of(IotPipelineStack(fresh_app(), "Ours", environment_suffix="prod"))
    plain = template_of(PlainPipelineStack(fresh_app(), "Plain"))
    table = comparison_table(ours["Resources"], plain["Resources"])
    stale = list(_stale())
    assert stale == [], "run `make docs`"
    assert table in _README.read_text(encoding="utf-8"), f"README.md needs this table:\n{table}"
