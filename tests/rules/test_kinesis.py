"""IOT_17: retention of the stream, age of its records."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.compliant_pipeline import Json, att, check, compliant, ref, resource, template


def pipeline(hours: Any, seconds: Any) -> dict[str, Json]:
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


def found(resources: dict[str, Json]) -> list[tuple[str | None, str]]:
    return [
        (it.logical_id, it.detail)
        for it in check(template(resources))
        if it.rule_id == "IOT_17_RETENTION_ABOVE_AGE"
    ]


def either(one: Any, other: Any) -> Json:
    return {"Fn::If": ["Condition", one, other]}


@pytest.mark.parametrize(
    ("hours", "seconds"),
    [
        (24, 86400),
        (24, 90000),
        (168, 604800),
        (None, 86400),
        ("24", "86400"),
        (either(24, 48), 172800),
        (either(24, ref("AWS::NoValue")), either(86400, 90000)),
    ],
)
def test_not_above(hours: Any, seconds: Any) -> None:
    [(logical_id, detail)] = found(pipeline(hours, seconds))
    assert logical_id == "Stream"
    assert "Mapping retries it" in detail


@pytest.mark.parametrize(
    ("hours", "seconds"),
    [
        (24, 86399),
        (168, 360000),
        (169, 604800),
        (None, 3600),
        (24, None),  # unbounded: another rule's matter
        (24, -1),
        (24, ref("Age")),
        (ref("Hours"), 86400),
        (either(24, 168), 86400),
        (either(24, ref("Hours")), 86400),
        (24, either(86400, 3600)),
        (24, either(86400, ref("AWS::NoValue"))),
    ],
)
def test_above_or_not_known(hours: Any, seconds: Any) -> None:
    assert found(pipeline(hours, seconds)) == []


@pytest.mark.parametrize("consumer", [att("Consumer", "ConsumerARN"), ref("Consumer")])
def test_through_a_consumer_with_fan_out(consumer: Json) -> None:
    resources = pipeline(24, 86400)
    resources["Consumer"] = resource("AWS::Kinesis::StreamConsumer", StreamARN=att("Stream"))
    for source in (consumer, either(consumer, att("Stream"))):
        resources["Mapping"]["Properties"]["EventSourceArn"] = source
        assert [logical_id for logical_id, _ in found(resources)] == ["Stream"]


def test_a_consumer_of_itself() -> None:
    resources = pipeline(24, 86400)
    resources["Consumer"] = resource("AWS::Kinesis::StreamConsumer", StreamARN=ref("Consumer"))
    resources["Mapping"]["Properties"]["EventSourceArn"] = ref("Consumer")
    assert found(resources) == []


def test_through_a_pipe() -> None:
    resources = pipeline(24, None)
    settings = {"StartingPosition": "TRIM_HORIZON", "MaximumRecordAgeInSeconds": 86400}
    resources["Pipe"] = resource(
        "AWS::Pipes::Pipe",
        Source=att("Stream"),
        SourceParameters={"KinesisStreamParameters": settings},
    )
    [(logical_id, detail)] = found(resources)
    assert logical_id == "Stream"
    assert "Pipe retries it" in detail
    settings["MaximumRecordAgeInSeconds"] = 3600
    assert found(resources) == []


def test_a_stream_of_another_app() -> None:
    resources = pipeline(24, 86400)
    resources["Mapping"]["Properties"]["EventSourceArn"] = "arn:aws:kinesis:x:1:stream/other"
    assert found(resources) == []
