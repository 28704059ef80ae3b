"""IOT_05: termination protection, which only the manifest has."""

from __future__ import annotations

import pytest

from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template
from tests.rules import compliant_pipeline as pipeline
from tests.rules.compliant_pipeline import (
    Json,
    places,
    resource,
    stack_info,
    template,
)

OWN = ("IOT_05",)


def check(*templates: Template) -> list[Finding]:
    """The findings of these rules."""
    return [it for it in pipeline.check(*templates) if it.rule_id[:6] in OWN]


def found(resources: dict[str, Json]) -> list[tuple[str, str | None]]:
    return places(check(template(resources)))


QUEUE = {"It": resource("AWS::SQS::Queue")}
SUFFIXED = {"ManagedBy": "iot-constructs", "Environment": "dev", "Project": "telemetry"}


@pytest.mark.parametrize("said", [None, False])
def test_no_protection_is_reported(said: bool | None) -> None:
    findings = check(template(QUEUE, stack_info(termination_protection=said)))
    assert places(findings) == [("IOT_05", None)]
    assert "'Telemetry-dev'" in findings[0].detail


def test_on() -> None:
    assert check(template(QUEUE)) == []


def test_explicitly_off_in_a_suffixed_stack() -> None:
    assert check(template(QUEUE, stack_info(termination_protection=False, tags=SUFFIXED))) == []


@pytest.mark.parametrize("tag", ["ManagedBy", "Environment"])
def test_other_tags_do_not_count(tag: str) -> None:
    tags = {**SUFFIXED, tag: "terraform"} if tag == "ManagedBy" else {"ManagedBy": "iot-constructs"}
    findings = check(template(QUEUE, stack_info(termination_protection=False, tags=tags)))
    assert places(findings) == [("IOT_05", None)]


def test_nothing_is_known_without_a_manifest() -> None:
    alone = template(QUEUE)
    alone.stack = None
    assert check(alone) == []
