"""IOT_05: termination protection, which only the manifest has."""

from __future__ import annotations

import pytest

from tests.rules.compliant_pipeline import (
    check,
    facts,
    places,
    resource,
    template,
)

QUEUE = {"It": resource("AWS::SQS::Queue")}
SUFFIXED = {"ManagedBy": "iot-constructs", "Environment": "dev", "Project": "telemetry"}


@pytest.mark.parametrize("said", [None, False])
def test_unsaid(said: bool | None) -> None:
    findings = check(template(QUEUE, facts(termination_protection=said)))
    assert places(findings) == [("IOT_05", None)]
    assert "'Telemetry-dev'" in findings[0].detail


def test_on() -> None:
    assert check(template(QUEUE)) == []


def test_off_in_a_stack_that_always_says_it() -> None:
    assert check(template(QUEUE, facts(termination_protection=False, tags=SUFFIXED))) == []


@pytest.mark.parametrize("tag", ["ManagedBy", "Environment"])
def test_tags_of_somebody_else_say_nothing(tag: str) -> None:
    tags = {**SUFFIXED, tag: "terraform"} if tag == "ManagedBy" else {"ManagedBy": "iot-constructs"}
    findings = check(template(QUEUE, facts(termination_protection=False, tags=tags)))
    assert places(findings) == [("IOT_05", None)]


def test_nothing_is_known_without_a_manifest() -> None:
    alone = template(QUEUE)
    alone.stack = None
    assert check(alone) == []
