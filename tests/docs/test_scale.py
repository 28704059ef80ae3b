"""docs/scale.md is what the planner says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from docs.generate_scale import FLEETS, SCALE_MD, scale_md
from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import prices
from iot_constructs.cli.planning.costs import KINESIS, list_costs, monthly_cost, total
from iot_constructs.cli.planning.levers import optimize
from iot_constructs.cli.planning.plan_report import dollars
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.cli.planning.workload import Workload

_ROOT = Path(__file__).resolve().parents[2]
_SCALE = SCALE_MD.read_text(encoding="utf-8")


def test_a_price_that_changes_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    dearer = dataclasses.replace(prices.TABLE_GB, tiers=((float("inf"), 0.26),))
    monkeypatch.setattr(prices, "TABLE_GB", dearer)
    assert scale_md() != _SCALE


def test_it_has_the_levers_of_the_plan_and_the_ratios() -> None:
    fleet = Workload(
        devices=10**6,
        every_seconds=60,
        reading_bytes=400,
        retention_seconds=30 * 86_400,
        archive_retention_seconds=365 * 86_400,
    )
    steps = optimize(fleet)
    rows = [
        f"| {step.lever.name} | {dollars(step.saved)} | {dollars(step.cost)} |" for step in steps
    ]
    assert len(rows) >= 8
    assert [row for row in rows if row not in _SCALE] == []
    assert f"| the other defaults | {dollars(monthly_cost(fleet))} | 0.36 |" in _SCALE


def test_it_goes_from_a_thousand_to_a_hundred_million_devices() -> None:
    assert (FLEETS[0], FLEETS[-1]) == (10**3, 10**8)
    assert "|  | 1,000 | 10,000 | 100,000 | 1,000,000 | 10,000,000 | 100,000,000 |" in _SCALE


def test_every_row_has_as_many_cells_as_its_heading() -> None:
    tables = [block.splitlines() for block in _SCALE.split("\n\n") if block.startswith("| ")]
    assert len(tables) >= 9
    for heading, *rows in tables:
        cells = len(re.findall(r"(?<!\\)\|", heading))
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {cells}, heading


def test_the_guide_names_the_cost_of_an_idle_environment() -> None:
    fleet = Workload(devices=0, every_seconds=60, reading_bytes=400, age_seconds=0)
    costs = list_costs(estimate_usage(fleet))
    stream = total(cost for cost in costs if cost.service == KINESIS)
    guide = (_ROOT / "docs" / "guide" / "cost-and-scale.md").read_text("utf-8")
    assert f"about ${total(costs):.0f} a month, of which ${stream:.0f} are for the" in guide
    ephemeral = dataclasses.replace(
        fleet,
        shard_count=defaults.EPHEMERAL_STREAM_SHARDS,
        stream_retention_seconds=defaults.EPHEMERAL_STREAM_RETENTION_HOURS * 3600,
    )
    least = total(list_costs(estimate_usage(ephemeral)))
    assert f"what costs least while nothing happens, about ${least:.0f}:" in guide


def test_the_guide_has_what_basic_ingest_saves() -> None:
    fleet = Workload(devices=10**6, every_seconds=60, reading_bytes=400)
    usual, basic = (
        total(list_costs(estimate_usage(dataclasses.replace(fleet, basic_ingest=on))))
        for on in (False, True)
    )
    saved = usual - basic
    guide = (_ROOT / "docs" / "guide" / "cost-and-scale.md").read_text("utf-8")
    assert re.search(
        rf"that is \${saved:,.0f} of \$[0-9,]+ a month, {100 * saved / usual:.0f} %:", guide
    )


def test_the_guide_and_the_readme_link_to_it() -> None:
    assert "](../scale.md)" in (_ROOT / "docs" / "guide" / "cost-and-scale.md").read_text("utf-8")
    assert "](docs/scale.md)" in (_ROOT / "README.md").read_text("utf-8")
    assert "docs/scale.md" in (_ROOT / "mkdocs.yml").read_text("utf-8")
