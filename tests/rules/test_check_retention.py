"""IOT_17: retention of the stream, age of its records."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.compliant_pipeline import (
    att,
    check,
    compliant,
    found,
    ref,
    resource,
    template,
)


def pipeline(hours: Any, seconds: Any) -> dict[str, Any]:
    resources = compliant()
    stream, mapping = resources["Stream"]["Properties"], resources["Mapping"]["Properties"]
    for properties, name, value in (
        (stream, "RetentionPeriodHours", hours),
        (mapping, "MaximumRecordAgeInSeconds", seconds),
    ):
        properties[name] = value
        if value is None:
            del properties[name]
    return resources


@pytest.mark.parametrize(
    ("hours", "seconds"), [(24, 86400), (24, 90000), (168, 604800), (None, 86400), ("24", "86400")]
)
def test_not_above(hours: Any, seconds: Any) -> None:
    findings = check(template(pipeline(hours, seconds)))
    assert [(it.rule_id, it.logical_id) for it in findings] == [
        ("IOT_17_RETENTION_ABOVE_AGE", "Stream")
    ]
    assert "Mapping" in findings[0].detail


@pytest.mark.parametrize(
    ("hours", "seconds"),
    [
        (24, 86399),
        (168, 360000),
        (None, 3600),
        (24, None),  # unbounded: another rule's matter
        (24, -1),
        (24, ref("Age")),
        (ref("Hours"), 86400),
        ({"Fn::If": ["A", 24, 168]}, 86400),
    ],
)
def test_above_or_not_known(hours: Any, seconds: Any) -> None:
    assert found(pipeline(hours, seconds)) == []


def test_through_a_consumer_with_fan_out() -> None:
    resources = pipeline(24, 86400)
    resources["Consumer"] = resource("AWS::Kinesis::StreamConsumer", StreamARN=att("Stream"))
    resources["Mapping"]["Properties"]["EventSourceArn"] = att("Consumer", "ConsumerARN")
    assert found(resources) == [("IOT_17", "Stream")]


def test_a_stream_of_another_app() -> None:
    resources = pipeline(24, 86400)
    resources["Mapping"]["Properties"]["EventSourceArn"] = "arn:aws:kinesis:x:1:stream/other"
    assert found(resources) == []
