"""The findings in a plain app with and without the injectors, as in docs/injectors.md."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import aws_cdk as cdk
import pytest

from iot_constructs.rules import (
    RULES,
    IotPipelineChecks,
    property_injectors,
)
from tests.plain_pipeline import PlainPipelineStack
from tests.rules.test_plugin import OURS, synth, violations
from tests.synth_support import fresh_app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "injectors.md"
RESOLVED = {
    "IOT_02_POINT_IN_TIME_RECOVERY",
    "IOT_03_BATCHING_WINDOW",
    "IOT_04_PRIVATE_TLS_BUCKET",
    "IOT_16_BISECT",
    "IOT_22_DELETION_PROTECTION",
    "IOT_24_BUCKET_VERSIONING",
}


def findings(*, injected: bool) -> Counter[str]:
    app = fresh_app()
    stack_injectors = property_injectors() if injected else []
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev", strict=False))
    PlainPipelineStack(app, "Plain", property_injectors=stack_injectors)
    assert synth(app) is None
    return Counter(found.rule for found in violations(app) if found.plugin == OURS)


@pytest.fixture(scope="module")
def before() -> Counter[str]:
    return findings(injected=False)


@pytest.fixture(scope="module")
def after() -> Counter[str]:
    return findings(injected=True)


def test_the_injectors_resolve_some_rules_and_add_no_findings(
    before: Counter[str], after: Counter[str]
) -> None:
    assert set(before) - set(after) == RESOLVED
    assert set(after) <= set(before)
    assert all(after[rule] == before[rule] for rule in after)


def test_the_page_shows_both_lists(before: Counter[str], after: Counter[str]) -> None:
    rows = [
        f"| `{rule.id}` | {before[rule.id]} | {after[rule.id]} |"
        for rule in RULES
        if before[rule.id]
    ]
    rows.append(f"| total | {before.total()} | {after.total()} |")
    assert "\n".join(rows) in PAGE.read_text(encoding="utf-8"), "\n".join(rows)
