"""The simulation of IoT rules runs the deployed rule or rejects it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from iot_constructs.local.rule_engine import (
    ATTEMPTS,
    Delivery,
    KinesisRule,
    Received,
    UnsupportedRuleError,
    parse_topic_filter,
    read_rule,
    substitute,
    topic_matches,
)

ROLE = "arn:aws:iam::000000000000:role/rule"
TOPIC = "arn:aws:sns:us-east-1:000000000000:dlq"


def deployed(**changes: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "sql": "SELECT * FROM 'device/+/telemetry'",
        "awsIotSqlVersion": "2016-03-23",
        "ruleDisabled": False,
        "actions": [
            {
                "kinesis": {
                    "streamName": "stream",
                    "partitionKey": "${topic(2)}",
                    "roleArn": ROLE,
                }
            }
        ],
        "errorAction": {"sns": {"targetArn": TOPIC, "roleArn": ROLE, "messageFormat": "RAW"}},
    }
    return {**rule, **changes}


def kinesis_action(**changes: Any) -> list[dict[str, Any]]:
    return [{"kinesis": {**deployed()["actions"][0]["kinesis"], **changes}}]


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("device/+/telemetry", "device/a/telemetry", True),
        ("device/+/telemetry", "device//telemetry", True),
        ("device/+/telemetry", "device/a/b/telemetry", False),
        ("device/+/telemetry", "device/a/telemetry/x", False),
        ("device/+/telemetry", "Device/a/telemetry", False),
        ("device/#", "device/a", True),
        ("device/#", "device/a/b/c", True),
        ("device/#", "device", False),
        ("device/a", "device/a", True),
        ("#", "device", True),
        ("#", "$aws/things/a", False),
        ("+/a", "$aws/a", False),
        ("$aws/#", "$aws/a", True),
    ],
)
def test_topic_filters(topic_filter: str, topic: str, expected: bool) -> None:
    assert topic_matches(topic_filter, topic) is expected


def test_filter_is_read_from_the_sql() -> None:
    assert parse_topic_filter("select  *\n from 'a/+/b'") == "a/+/b"


@pytest.mark.parametrize("sql", ["SELECT *", " select\n* "])
def test_a_rule_without_from_matches_no_topic(sql: str) -> None:
    rule = read_rule("telemetry", deployed(sql=sql))
    assert rule.topic_filter is None
    assert not rule.matches("a")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT *, topic(2) AS deviceId FROM 'a/+'",
        "SELECT temperature FROM 'a/+'",
        "SELECT * FROM 'a/+' WHERE temperature > 1",
        'SELECT * FROM "a/+"',
        "SELECT * FROM 'a/#/b'",
        "SELECT * FROM 'a/b+'",
        "SELECT * WHERE temperature > 1",
        "SELECT * FROM",
        "",
    ],
)
def test_other_sql_is_rejected(sql: str) -> None:
    with pytest.raises(UnsupportedRuleError):
        parse_topic_filter(sql)


@pytest.mark.parametrize(
    ("template", "topic", "expected"),
    [
        ("${topic(2)}", "device/a/telemetry", "a"),
        ("${topic()}", "device/a/telemetry", "device/a/telemetry"),
        ("${ topic( 3 ) }", "device/a/telemetry", "telemetry"),
        ("x-${topic(1)}-${topic(2)}", "device/a/telemetry", "x-device-a"),
        ("constant", "device/a/telemetry", "constant"),
    ],
)
def test_partition_key_templates(template: str, topic: str, expected: str) -> None:
    assert substitute(template, topic) == expected


def test_newuuid_is_unique() -> None:
    assert substitute("${newuuid()}", "a") != substitute("${newuuid()}", "a")


@pytest.mark.parametrize("template", ["${deviceId}", "${clientid()}", "${topic(2) + 'x'}", "${}"])
def test_unsupported_expression_is_rejected(template: str) -> None:
    with pytest.raises(UnsupportedRuleError):
        substitute(template, "device/a/telemetry")


@pytest.mark.parametrize(("template", "topic"), [("${topic(4)}", "a/b/c"), ("${topic(2)}", "a//c")])
def test_invalid_partition_key_is_an_error(template: str, topic: str) -> None:
    with pytest.raises(ValueError, match=r"level|256 characters"):
        substitute(template, topic)


def test_rule_is_read() -> None:
    rule = read_rule("telemetry", deployed())
    assert rule == KinesisRule(
        name="telemetry",
        topic_filter="device/+/telemetry",
        stream_name="stream",
        partition_key="${topic(2)}",
        role_arn=ROLE,
        error_topic_arn=TOPIC,
        error_role_arn=ROLE,
        disabled=False,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"awsIotSqlVersion": "2015-10-08"},
        {"awsIotSqlVersion": None},
        {"actions": []},
        {"actions": [{"sns": {}}]},
        {"actions": kinesis_action(partitionKey="")},
        {"actions": kinesis_action(partitionKey="${deviceId}")},
        {"errorAction": {"s3": {}}},
    ],
)
def test_unsupported_rule_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRuleError):
        read_rule("telemetry", deployed(**changes))


class FakeAws:
    """Kinesis and SNS clients with injected failures."""

    def __init__(self, *, kinesis_failures: int = 0, sns_fails: bool = False) -> None:
        self.kinesis_failures = kinesis_failures
        self.sns_fails = sns_fails
        self.records: list[tuple[str, bytes]] = []
        self.messages: list[dict[str, Any]] = []

    def put_record(self, **request: Any) -> dict[str, Any]:
        if self.kinesis_failures:
            self.kinesis_failures -= 1
            raise RuntimeError("ProvisionedThroughputExceededException")
        self.records.append((request["PartitionKey"], request["Data"]))
        return {}

    def publish(self, **request: Any) -> dict[str, Any]:
        if self.sns_fails:
            raise RuntimeError("AuthorizationError")
        self.messages.append(json.loads(request["Message"]))
        return {}


def delivery(aws: FakeAws, **changes: Any) -> Delivery:
    rule = read_rule("telemetry", deployed(**changes))
    return Delivery(rule, aws, aws, sleep=lambda seconds: None)


def test_payload_is_unchanged() -> None:
    aws = FakeAws()
    delivery(aws).deliver(Received("device/a/telemetry", b"\xff\x00 not JSON"))
    assert aws.records == [("a", b"\xff\x00 not JSON")]


@pytest.mark.parametrize(
    ("client_id", "expected"), [({"clientId": "a"}, "a"), ({}, "N/A")], ids=["MQTT", "HTTPS"]
)
def test_what_the_rule_of_the_emulator_republishes(client_id: Any, expected: str) -> None:
    """With Basic Ingest, the topic is the one that the rule sees."""
    payload = b"\xff\x00 not JSON"
    document = {"payload": base64.b64encode(payload).decode(), "topic": "device/a/telemetry"}
    message = Received.from_republished(json.dumps({**document, **client_id}).encode())
    assert message == Received("device/a/telemetry", payload, expected)
    aws = FakeAws(kinesis_failures=ATTEMPTS)
    delivery(aws).deliver(message)
    assert aws.messages[0]["clientId"] == expected


def test_failure_is_retried() -> None:
    aws = FakeAws(kinesis_failures=ATTEMPTS - 1)
    delivery(aws).deliver(Received("device/a/telemetry", b"x"))
    assert aws.records == [("a", b"x")]
    assert not aws.messages


def test_a_failed_message_goes_to_the_error_action() -> None:
    aws = FakeAws(kinesis_failures=ATTEMPTS)
    target = delivery(aws)
    target.deliver(Received("device/a/telemetry", b"x"))
    assert (target.put, target.failed, target.dropped) == (0, 1, [])
    [document] = aws.messages
    assert document["ruleName"] == "telemetry"
    assert document["topic"] == "device/a/telemetry"
    assert base64.b64decode(document["base64OriginalPayload"]) == b"x"
    assert "ProvisionedThroughput" in document["failures"][0]["errorMessage"]


def test_message_without_a_key_goes_to_the_error_action() -> None:
    aws = FakeAws()
    delivery(aws).deliver(Received("device//telemetry", b"x"))
    assert not aws.records
    assert len(aws.messages) == 1


@pytest.mark.parametrize("changes", [{"errorAction": None}, {}])
def test_a_dropped_message_is_reported(changes: dict[str, Any]) -> None:
    target = delivery(FakeAws(kinesis_failures=ATTEMPTS, sns_fails=True), **changes)
    target.deliver(Received("device/a/telemetry", b"x"))
    assert len(target.dropped) == 1
