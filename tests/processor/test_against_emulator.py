"""The processor against the emulator's DynamoDB, SNS, and SQS.

Verifies the behavior of the fakes (conditions, batches, limits) against another implementation.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3  # type: ignore[import-untyped,unused-ignore]
import pytest
from boto3.dynamodb.conditions import Key  # type: ignore[import-untyped,unused-ignore]

from bench.processor import emulator, tables
from iot_constructs.processor import handler
from iot_constructs.processor.attribute_values import AttributeValue
from iot_constructs.processor.batches import Processor
from iot_constructs.processor.dead_letters import decode_payload
from iot_constructs.processor.readings import Reading
from iot_constructs.processor.retries import Deadline, RetryPolicy
from iot_constructs.processor.settings import Settings
from iot_constructs.processor.time_series import TimeSeriesWriter

from .aws_fakes import NOW, RETENTION, Clock, kinesis_event, make_readings, make_records, plain
from .test_handler import CONTEXT
from .test_readings import nested, payload_of_item_size, read


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with emulator.plain_emulator() as url:
        yield url


@dataclass
class Cloud:
    dynamodb: Any
    sns: Any
    sqs: Any
    state: str
    series: str
    topic: str
    queue_url: str
    environment: dict[str, str]

    def processor(self) -> Processor:
        settings = Settings(self.topic, self.series, self.state, RETENTION)
        return Processor(self.dynamodb, self.sns, settings, RetryPolicy(sleep=Clock().sleep))

    def items(self, table: str) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [plain(item) for page in pages for item in page["Items"]]

    def dead_letters(self) -> list[dict[str, Any]]:
        found = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                found.append(json.loads(json.loads(message["Body"])["Message"]))
                self.sqs.delete_message(
                    QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
            if not answer.get("Messages"):
                return found


@pytest.fixture
def cloud(endpoint: str) -> Cloud:
    suffix = uuid.uuid4().hex[:8]
    dynamodb, sns, sqs = (emulator.client(each, endpoint) for each in ("dynamodb", "sns", "sqs"))
    series, state = f"iot-sensor-metrics-{suffix}", f"iot-device-state-{suffix}"
    tables.create(dynamodb, series, state)
    topic = sns.create_topic(Name=f"iot-pipeline-dlq-{suffix}")["TopicArn"]
    queue = sqs.create_queue(QueueName=f"iot-pipeline-dlq-{suffix}")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn["Attributes"]["QueueArn"])
    return Cloud(
        dynamodb,
        sns,
        sqs,
        state,
        series,
        topic,
        queue,
        {
            **emulator.aws_variables(endpoint),
            "DEVICE_STATE_TABLE_NAME": state,
            "TIME_SERIES_TABLE_NAME": series,
            "TIME_SERIES_RETENTION_SECONDS": str(RETENTION),
            "DLQ_TOPIC_ARN": topic,
        },
    )


def test_the_handler_stores_a_batch_and_publishes_the_rest(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    handler._processor.cache_clear()
    sent = [*make_readings("d1", range(60)), ("d2", b"\xff\x00"), *make_readings("d2", [0.1, "a"])]
    try:
        # Twice, because Lambda delivers at least once.
        for _ in range(2):
            assert handler.handler(kinesis_event(*sent), CONTEXT) == {"batchItemFailures": []}
    finally:
        handler._processor.cache_clear()
    assert len(cloud.items(cloud.series)) == 62
    state = {item["deviceId"]: item for item in cloud.items(cloud.state)}
    assert state["d1"]["reading"] == {"timestamp": NOW + 59, "value": 59}
    assert state["d2"]["reading"] == {"timestamp": NOW + 1, "value": "a"}
    letters = cloud.dead_letters()
    assert [letter["reason"] for letter in letters] == ["not-utf8"] * 2
    assert decode_payload(letters[0]) == b"\xff\x00"


def test_late_data_never_overwrites_the_state_in_any_order(cloud: Cloud) -> None:
    sent = [("d1", {"timestamp": NOW + offset // 2, "value": offset}) for offset in range(6)]
    states = []
    for device, order in (("up", sent), ("down", sent[::-1]), ("mixed", sent[::2] + sent[1::2])):
        for _, payload in order:
            records = make_records((device, payload))
            assert cloud.processor().process(records, Clock().remaining_ms).retry_from is None
        [state] = [
            plain(item)
            for item in cloud.dynamodb.scan(TableName=cloud.state)["Items"]
            if item["deviceId"]["S"] == device
        ]
        states.append((state["timestamp"], state["reading"]))
    assert states[0] == states[1] == states[2]
    assert int(states[0][0]) == NOW + 2


def test_new_existing_and_late_devices_in_one_batch(cloud: Cloud) -> None:
    def process(*sent: tuple[str, object]) -> None:
        assert (
            cloud.processor().process(make_records(*sent), Clock().remaining_ms).retry_from is None
        )

    def offset(device: int) -> int:
        return (-1, 0, 1)[device % 3]  # late, duplicate, newer

    process(*[(f"d{n}", {"timestamp": NOW, "at": 0}) for n in range(40)])
    process(*[(f"d{n}", {"timestamp": NOW + offset(n), "at": offset(n)}) for n in range(60)])
    states = {i["deviceId"]: i["reading"]["at"] for i in cloud.items(cloud.state)}
    known = {f"d{n}": max(offset(n), 0) for n in range(40)}
    assert states == known | {f"d{n}": offset(n) for n in range(40, 60)}


def test_readings_of_one_millisecond_are_all_stored_and_found_by_milliseconds(cloud: Cloud) -> None:
    sent = [("d1", {"timestamp": NOW + ms, "value": v}) for ms in range(4) for v in range(3)]
    cloud.processor().process(make_records(*sent, *sent), Clock().remaining_ms)
    table = boto3.resource(
        "dynamodb",
        endpoint_url=cloud.environment["AWS_ENDPOINT_URL"],
        region_name=emulator.REGION,
        aws_access_key_id=emulator.CREDENTIAL,
        aws_secret_access_key=emulator.CREDENTIAL,
    ).Table(cloud.series)
    found = table.query(
        KeyConditionExpression=Key("deviceId").eq("d1") & Key("timestamp").between(NOW + 1, NOW + 3)
    )["Items"]
    assert [int(item["timestamp"]) for item in found] == [NOW + 1] * 3 + [NOW + 2] * 3
    assert {item["reading"]["value"] for item in found} == {0, 1, 2}


def test_the_table_accepts_readings_at_the_limits(cloud: Cloud) -> None:
    sent = [
        # Slightly below the limit: the documented size of a number is approximate.
        ("d1", payload_of_item_size(409_500)),
        ("d1", nested(31)),
        (
            "d1",
            b'{"timestamp": 1700000000000, "value": 9.9999999999999999999999999999999999999e125}',
        ),
        ("d1", b'{"timestamp": 1700000000000, "value": -1e-130}'),
        ("d1", {"timestamp": NOW, "value": ["", {}, [], None, "\u0000", "Gr\u00fc\u00dfe"]}),
    ]
    outcome = cloud.processor().process(make_records(*sent), Clock().remaining_ms)
    assert (outcome.stored, outcome.rejected, cloud.dead_letters()) == (5, {}, [])


@pytest.mark.parametrize(
    "content",
    [
        payload_of_item_size(409_600),
        {"timestamp": NOW, "value": "deep"},
        {"timestamp": NOW, "value": "39 digits"},
    ],
    ids=["409601 bytes", "33 levels", "39 digits"],
)
def test_the_table_refuses_readings_beyond_the_limits(
    cloud: Cloud, content: dict[str, Any]
) -> None:
    """The processor's limits are not stricter than the table's."""
    good, beyond = read({"timestamp": NOW, "value": "good"}), one_step_beyond(read(content))
    writer = TimeSeriesWriter(cloud.dynamodb, cloud.series, RetryPolicy(sleep=Clock().sleep))
    report = writer.store([good, beyond], Deadline(Clock().remaining_ms))
    # The valid reading was in the same refused call.
    assert list(report.refused) == [beyond.key]
    assert report.failed == {}
    [item] = cloud.items(cloud.series)
    assert item["reading"]["value"] == "good"


def one_step_beyond(reading: Reading) -> Reading:
    members: dict[str, AttributeValue] = dict(reading.content["M"])
    if "text" in members:
        members["text"] = {"S": members["text"]["S"] + "x"}
    elif members["value"] == {"S": "deep"}:
        value: AttributeValue = {"N": "1"}
        for _ in range(31):
            value = {"L": [value]}
        members["value"] = value
    else:
        members["value"] = {"N": "1" * 39}
    return replace(reading, content={"M": members})


def test_a_missing_table_is_a_failure_not_an_invalid_record(cloud: Cloud) -> None:
    records = make_records(*make_readings("d1", range(3)))
    cloud.dynamodb.delete_table(TableName=cloud.series)
    outcome = cloud.processor().process(records, Clock().remaining_ms)
    assert outcome.retry_from == records[0].sequence_number
    assert outcome.errors == {"time series: ResourceNotFoundException": 3}
    assert cloud.dead_letters() == []
