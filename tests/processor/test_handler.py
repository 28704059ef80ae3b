"""The Lambda handler: response, metrics, logs, and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from bench.processor import emulator
from bench.processor.worker import Context
from iot_constructs.processor import handler
from iot_constructs.processor.readings import parse_readings
from iot_constructs.processor.retries import Deadline, RetryPolicy
from iot_constructs.processor.settings import Settings
from iot_constructs.processor.time_series import TimeSeriesWriter
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
    make_records,
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


REQUESTS: dict[str, dict[str, Any]] = {
    "batch_write_item": {
        "RequestItems": {SERIES: [{"PutRequest": {"Item": {"a": {"S": "\u00e9"}}}}]}
    },
    "batch_execute_statement": {
        "Statements": [{"Statement": "DELETE", "Parameters": [{"N": "1"}]}]
    },
    "put_item": {"TableName": SERIES, "Item": {"a": {"L": [{"S": "\u00e9"}]}}},
}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in emulator.aws_variables("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    return handler._client("dynamodb")


def respond(client: Any, *statuses: int) -> list[Any]:
    """Let the client receive a response with each of the statuses. Returns the requests that it sends."""
    sent: list[Any] = []

    class Raw:
        @staticmethod
        def stream(**_: Any) -> Iterator[bytes]:
            yield b"{}" if statuses[len(sent) - 1] == 200 else b'{"__type": "x#Oops"}'

    def send(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, statuses[len(sent) - 1], {}, Raw)

    client.meta.events.register("before-send", send)
    return sent


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_request_is_what_botocore_makes_of_the_same_parameters(
    client: Any, operation: str
) -> None:
    plain = botocore.session.get_session().create_client("dynamodb")
    ours, theirs = respond(client, 200), respond(plain, 200)
    signed: list[bytes] = []
    client.meta.events.register("before-sign", lambda request, **_: signed.append(request.body))
    for each in (client, plain):
        getattr(each, operation)(**REQUESTS[operation])
    [one], [other] = ours, theirs
    assert json.loads(one.body) == json.loads(other.body) == REQUESTS[operation]
    assert (one.url, one.method, one.headers["X-Amz-Target"]) == (
        *(other.url, other.method, other.headers["X-Amz-Target"]),
    )
    assert signed == [one.body]
    assert int(one.headers["Content-Length"]) == len(one.body)


def test_a_handler_of_the_parameters_has_them_and_can_change_them(client: Any) -> None:
    """As tools for tracing and for tests do."""
    statements = [{"Statement": "DELETE", "Parameters": [{"N": str(n)}]} for n in range(2)]
    seen: list[Any] = []

    def remove_last(params: dict[str, Any], **_: Any) -> None:
        seen.extend(params["Statements"])
        params["Statements"] = params["Statements"][:1]

    client.meta.events.register("before-parameter-build", remove_last)
    sent = respond(client, 200)
    client.batch_execute_statement(Statements=statements)
    assert seen == statements
    assert json.loads(sent[0].body) == {"Statements": statements[:1]}


def test_a_request_is_not_longer_than_its_readings_say(client: Any) -> None:
    sent = respond(client, 200)
    [record] = make_records(("d1", {"timestamp": NOW, "text": "\u00e9" * 1000}))
    [reading] = parse_readings(record, SETTINGS)
    TimeSeriesWriter(client, SERIES, RetryPolicy()).store([reading], Deadline(lambda: 60_000))
    assert 2000 < len(sent[0].body) <= reading.request_bytes


def test_a_failed_request_is_sent_again_and_raises_the_service_error(client: Any) -> None:
    sent = respond(client, 500, 500)
    with pytest.raises(ClientError, match="Oops"):
        client.batch_write_item(**REQUESTS["batch_write_item"])
    assert [json.loads(each.body) for each in sent] == [REQUESTS["batch_write_item"]] * 2


def test_a_request_without_its_body_is_not_a_valid_one(client: Any) -> None:
    """A ValidationException would reject the records; DynamoDB answers SerializationException to this."""
    client.meta.events.unregister("before-call", handler._write_body)
    sent = respond(client, 200)
    client.batch_write_item(**REQUESTS["batch_write_item"])
    assert json.loads(sent[0].body) == {"RequestItems": {}, "ReturnConsumedCapacity": {}}


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


@pytest.mark.parametrize("name", ["TIME_SERIES_RETENTION_SECONDS", "DEVICE_STATE_INTERVAL_SECONDS"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "a year"])
def test_an_invalid_number_of_seconds_is_an_error(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value!r}; set a positive whole number"):
        Settings.from_environment({**ENVIRONMENT, name: value})


def test_settings_of_payloads_come_from_the_environment() -> None:
    settings = Settings.from_environment(
        {
            **ENVIRONMENT,
            "TIMESTAMP_FIELD": "time",
            "USE_ARRIVAL_TIME": "true",
            "DEVICE_ID_FIELD": "serialNumber",
            "DEVICE_STATE_INTERVAL_SECONDS": "900",
        }
    )
    assert settings == replace(
        SETTINGS,
        timestamp_field="time",
        use_arrival_time=True,
        device_id_field="serialNumber",
        device_state_interval_seconds=900,
    )


@pytest.mark.parametrize("value", ["", "True", "1", "yes"])
def test_an_invalid_arrival_setting_is_an_error(value: str) -> None:
    with pytest.raises(ValueError, match=f"USE_ARRIVAL_TIME is {value!r}; set true or false"):
        Settings.from_environment({**ENVIRONMENT, "USE_ARRIVAL_TIME": value})
