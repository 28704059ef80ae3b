"""The Lambda handler: response, metrics, logs, and settings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from bench.processor.worker import Context
from iot_constructs.processor import handler
from iot_constructs.processor.settings import Settings
from iot_constructs.rules.metric_catalogue import SERVICES

from .aws_fakes import (
    NOW,
    SERIES,
    SETTINGS,
    STATE,
    FakeDynamoDB,
    FakeSNS,
    Fault,
    always,
    aws_error,
    kinesis_event,
    make_processor,
    make_readings,
    once,
    sequence,
)

SECRET = "payload-must-not-be-logged"


CONTEXT = cast(Any, Context())


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> FakeDynamoDB:
    fake = FakeDynamoDB()
    use(monkeypatch, fake)
    return fake


def use(monkeypatch: pytest.MonkeyPatch, dynamodb: FakeDynamoDB) -> None:
    monkeypatch.setattr(handler, "_processor", lambda: make_processor(dynamodb, FakeSNS()))


def test_a_successful_batch_reports_no_failures(dynamodb: FakeDynamoDB) -> None:
    event = kinesis_event(*make_readings("d1", range(3)), ("d2", b"junk"))
    assert handler.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert len(dynamodb.items(SERIES)) == 3


def test_a_partial_failure_reports_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = always("batch_write_item", Fault(error=aws_error("ThrottlingException")))
    use(monkeypatch, FakeDynamoDB(throttled))
    event = kinesis_event(("d1", b"junk"), *make_readings("d1", range(3)))
    response = handler.handler(event, CONTEXT)
    assert response == {"batchItemFailures": [{"itemIdentifier": sequence(1)}]}


def test_raise_on_failure_raises_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = always("batch_write_item", Fault(error=aws_error("ThrottlingException")))
    use(monkeypatch, FakeDynamoDB(throttled))
    event = {**kinesis_event(*make_readings("d1", range(3))), "raiseOnFailure": True}
    with pytest.raises(handler.BatchProcessingError, match="3 of 3 records"):
        handler.handler(event, CONTEXT)


@pytest.mark.parametrize("raises", [False, True])
def test_a_record_that_lambda_delivers_again_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], raises: bool
) -> None:
    """Two stored ones and a duplicate, a rejected one and a mismatch come before a state that fails, and after it."""
    hot = once("statement d9", *[Fault(error=aws_error("ThrottlingError"))] * 6)
    use(monkeypatch, FakeDynamoDB(hot))
    some = [
        ("d1", {"timestamp": NOW}),
        ("d1", [{"timestamp": NOW}, {"timestamp": NOW + 1}]),
        ("d2", b"junk"),
        ("d3", {"timestamp": NOW, "deviceId": "d4"}),
    ]
    others = [(device.replace("d", "e"), payload) for device, payload in some]
    event = kinesis_event(*some, ("d9", {"timestamp": NOW}), *others)
    again = {"Records": event["Records"] if raises else event["Records"][len(some) :]}
    if raises:
        with pytest.raises(handler.BatchProcessingError, match="of 9 records"):
            handler.handler({**event, "raiseOnFailure": True}, CONTEXT)
    else:
        response = handler.handler(event, CONTEXT)
        assert response == {"batchItemFailures": [{"itemIdentifier": sequence(len(some))}]}
    assert handler.handler(again, CONTEXT) == {"batchItemFailures": []}
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    counts = {name: sum(line[name] for line in lines) for name in METRICS}
    assert counts == {
        "RecordsStored": 7,
        "RecordsRejected": 2,
        "RecordsFailed": 9 if raises else 5,
        "DuplicateReadings": 2,
        "DeviceIdMismatches": 2,
    }


@pytest.mark.parametrize("event", [{}, {"Records": [{}]}, {"Records": [{"kinesis": {}}]}])
def test_an_event_that_is_not_a_kinesis_batch_fails(
    dynamodb: FakeDynamoDB, event: dict[str, Any]
) -> None:
    with pytest.raises(KeyError):
        handler.handler(event, CONTEXT)


def test_metrics_and_logs_contain_no_payload(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    hot = always("statement d9", Fault(error=aws_error("Oops", SECRET)))
    use(monkeypatch, FakeDynamoDB(hot))
    event = kinesis_event(
        ("d1", {"timestamp": NOW, "value": SECRET}),
        ("d1", {"timestamp": NOW, "value": SECRET}),
        ("d2", {"timestamp": NOW, "deviceId": SECRET}),
        ("d3", f"not json {SECRET}".encode()),
        ("d9", {"timestamp": NOW, "value": SECRET}),
        ("d1", {"timestamp": NOW + 1, "value": 1}),
    )
    response = handler.handler(event, CONTEXT)
    assert response == {"batchItemFailures": [{"itemIdentifier": sequence(4)}]}
    printed = capfd.readouterr()
    logged = [str(vars(record)) for record in caplog.records]  # the runtime writes every attribute
    assert len(logged) == 3
    assert SECRET not in printed.out + printed.err + "".join(logged)
    [emf] = [json.loads(line) for line in printed.out.splitlines() if '"_aws"' in line]
    assert {name: emf[name] for name in METRICS} == {
        "RecordsStored": 3,
        "RecordsRejected": 1,
        "RecordsFailed": 2,
        "DuplicateReadings": 1,
        "DeviceIdMismatches": 1,
    }
    assert emf["rejectedByReason"] == {"not-json": 1}
    [declared] = emf["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "IotConstructs"
    assert declared["Dimensions"] == [["FunctionName"]]
    assert emf["FunctionName"] == CONTEXT.function_name
    assert {metric["Name"] for metric in declared["Metrics"]} == set(METRICS)
    assert SERVICES["IotConstructs"].metrics == {
        name: {frozenset({"FunctionName"})} for name in METRICS
    }


METRICS = (
    "RecordsStored",
    "RecordsRejected",
    "RecordsFailed",
    "DuplicateReadings",
    "DeviceIdMismatches",
)


def test_metrics_without_events_are_zero_not_missing_and_nothing_is_logged(
    dynamodb: FakeDynamoDB, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    handler.handler(kinesis_event(*make_readings("d1", [1])), CONTEXT)
    [emf] = [json.loads(line) for line in capfd.readouterr().out.splitlines() if '"_aws"' in line]
    assert [emf[name] for name in METRICS] == [1, 0, 0, 0, 0]
    assert caplog.records == []


ENVIRONMENT = {
    "DEVICE_STATE_TABLE_NAME": STATE,
    "TIME_SERIES_TABLE_NAME": SERIES,
    "TIME_SERIES_RETENTION_SECONDS": str(SETTINGS.retention_seconds),
    "DLQ_TOPIC_ARN": SETTINGS.dlq_topic_arn,
}


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_environment(ENVIRONMENT) == SETTINGS


@pytest.mark.parametrize("name", ["TIME_SERIES_RETENTION_SECONDS", "DLQ_TOPIC_ARN"])
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is not set"):
        Settings.from_environment({**ENVIRONMENT, name: ""})


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "a year"])
def test_an_invalid_retention_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match=f"{value!r}; set a positive whole number"):
        Settings.from_environment({**ENVIRONMENT, "TIME_SERIES_RETENTION_SECONDS": value})


def test_settings_of_payloads_come_from_the_environment() -> None:
    settings = Settings.from_environment(
        {
            **ENVIRONMENT,
            "TIMESTAMP_FIELD": "time",
            "USE_ARRIVAL_TIME": "true",
            "DEVICE_ID_FIELD": "serialNumber",
        }
    )
    assert settings == replace(
        SETTINGS, timestamp_field="time", use_arrival_time=True, device_id_field="serialNumber"
    )


@pytest.mark.parametrize("value", ["", "True", "1", "yes"])
def test_an_invalid_arrival_setting_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match=f"USE_ARRIVAL_TIME is {value!r}; set true or false"):
        Settings.from_environment({**ENVIRONMENT, "USE_ARRIVAL_TIME": value})
