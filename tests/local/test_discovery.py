"""What runs and where records can be, from the resources of an account."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, cast

import pytest

from iot_constructs.local import discovery
from iot_constructs.local.discovery import (
    PROCESSOR_HANDLER,
    NoMappingError,
    Pipeline,
    Places,
    Route,
    TelemetryTables,
    discover,
)
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.rule_engine import KinesisRule

LOCAL = Path(discovery.__file__).parent
ARN = "arn:aws:{}:us-east-1:000000000000:{}"
TABLES = {"TIME_SERIES_TABLE_NAME": "series", "DEVICE_STATE_TABLE_NAME": "states"}
TELEMETRY = {**TABLES, "DLQ_TOPIC_ARN": "arn", "TIME_SERIES_RETENTION_SECONDS": "86400"}


def mapping(function: str, source: str, state: str = "Enabled") -> dict[str, Any]:
    return {
        "UUID": f"uuid-{function}",
        "EventSourceArn": ARN.format(*source.split(":", 1)),
        "FunctionArn": ARN.format("lambda", f"function:{function}"),
        "State": state,
    }


def rule(name: str, stream: str, **changes: Any) -> dict[str, Any]:
    action = {"streamName": stream, "partitionKey": "${topic(2)}", "roleArn": "role"}
    return {
        "ruleName": name,
        "sql": "SELECT * FROM 'device/+/telemetry'",
        "awsIotSqlVersion": "2016-03-23",
        "actions": [{"kinesis": action}],
        **changes,
    }


class Account:
    """The resources of an account, as the clients of its services return them."""

    def __init__(self) -> None:
        self.mappings = [mapping("own", "kinesis:stream/a")]
        self.rules: list[dict[str, Any]] = []
        self.environment = dict(TELEMETRY)
        self.handler = PROCESSOR_HANDLER
        self.destinations: list[dict[str, Any]] = []

    def client(self, service: str) -> Account:
        return self

    def get_paginator(self, operation: str) -> Any:
        class Paginator:
            def __init__(self, pages: list[Any]) -> None:
                self.pages = pages

            def paginate(self, **request: Any) -> list[Any]:
                return self.pages

        pages: dict[str, list[Any]] = {
            "list_event_source_mappings": [{"EventSourceMappings": self.mappings}],
            "list_topic_rules": [{"rules": self.rules[:1]}, {"rules": self.rules[1:]}],
            "list_tables": [{"TableNames": ["series", "states"]}],
            "list_queues": [{"QueueUrls": ["https://h/0/dlq", "https://h/0/work"]}],
            "list_stack_resources": [{"StackResourceSummaries": [{"PhysicalResourceId": "cdk"}]}],
        }
        return Paginator(pages[operation])

    def get_topic_rule(self, *, ruleName: str) -> dict[str, Any]:  # noqa: N803
        return {"rule": next(each for each in self.rules if each["ruleName"] == ruleName)}

    def get_function_configuration(self, **request: Any) -> dict[str, Any]:
        return {"Handler": self.handler, "Environment": {"Variables": self.environment}}

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        name = request["QueueUrl"].rsplit("/", 1)[-1]
        return {"Attributes": {"QueueArn": ARN.format("sqs", name)}}

    def list_buckets(self) -> dict[str, Any]:
        return {"Buckets": [{"Name": "cdk"}, {"Name": "data"}]}

    def list_delivery_streams(self) -> dict[str, Any]:
        return {"DeliveryStreamNames": ["archive"]}

    def describe_delivery_stream(self, **request: Any) -> dict[str, Any]:
        return {"DeliveryStreamDescription": {"Destinations": self.destinations}}


def discovered(account: Account, *, basic_ingest: bool = False) -> Pipeline:
    return discover(cast(Emulator, account), basic_ingest=basic_ingest)


def test_our_pipeline() -> None:
    account = Account()
    account.rules = [rule("telemetry", "a"), rule("other", "not-read")]
    account.destinations = [
        {
            "ExtendedS3DestinationDescription": {
                "BucketARN": "arn:aws:s3:::data",
                "Prefix": "telemetry/!{timestamp:yyyy}/",
            }
        }
    ]
    found = discovered(account)
    assert found.mappings == {"uuid-own": "own"}
    assert [(each.stream_name, each.rule and each.rule.name) for each in found.routes] == [
        ("a", "telemetry")
    ]
    assert found.notes == ()
    assert found.places == Places(
        tables=("series", "states"),
        queues=("https://h/0/dlq", "https://h/0/work"),
        buckets=("data",),
        archives=("data/telemetry/",),
        telemetry=(TelemetryTables("series", "states"),),
        known_fates=True,
    )


def test_several_mappings_and_rules_and_what_does_not_run() -> None:
    account = Account()
    account.mappings = [
        mapping("one", "kinesis:stream/a"),
        mapping("two", "kinesis:stream/a"),
        mapping("three", "kinesis:stream/b"),
        mapping("off", "kinesis:stream/c", "Disabled"),
        mapping("worker", "sqs:work"),
    ]
    account.rules = [
        rule("plain", "a"),
        rule("second", "a"),
        rule("filtered", "b", sql="SELECT * FROM 'x' WHERE t > 1"),
        rule("switched_off", "b", ruleDisabled=True),
    ]
    found = discovered(account)
    assert list(found.mappings.values()) == ["one", "two", "three"]
    assert [(each.stream_name, each.rule and each.rule.name) for each in found.routes] == [
        ("a", "plain"),
        ("a", "second"),
        ("b", None),
    ]
    # A function takes what is on this queue away.
    assert found.places.queues == ("https://h/0/dlq",)
    assert not found.places.known_fates
    off, filtered, switched_off = found.notes
    assert "off is disabled" in off
    assert "WHERE" in filtered
    assert "switched_off is disabled" in switched_off


@pytest.mark.parametrize(
    "mappings", [[], [mapping("w", "sqs:work")], [mapping("o", "kinesis:stream/a", "Disabled")]]
)
def test_without_a_kinesis_mapping_nothing_can_run(mappings: list[dict[str, Any]]) -> None:
    account = Account()
    account.mappings = mappings
    with pytest.raises(NoMappingError, match="no enabled event source mapping"):
        discovered(account)


def test_the_stream_of_a_consumer() -> None:
    account = Account()
    account.mappings = [mapping("own", "kinesis:stream/a/consumer/c:1")]
    assert discovered(account).routes == (Route("a"),)


def test_of_a_container_image_no_fate_is_known() -> None:
    account = Account()
    account.get_function_configuration = lambda **request: {"PackageType": "Image"}  # type: ignore[method-assign]
    assert not discovered(account).places.known_fates


def test_with_another_setting_no_fate_is_known() -> None:
    account = Account()
    account.environment["TRANSFORM_MODULE"] = "own"
    found = discovered(account)
    assert found.places.telemetry == (TelemetryTables("series", "states"),)
    assert not found.places.known_fates


def test_with_an_interval_the_states_may_be_older() -> None:
    account = Account()
    account.environment["DEVICE_STATE_INTERVAL_SECONDS"] = "900"
    found = discovered(account)
    assert found.places.telemetry == (TelemetryTables("series", "states", 900_000),)
    assert not found.places.known_fates


def test_of_another_function_no_fate_is_known() -> None:
    account = Account()
    account.handler = "index.handler"
    account.environment = {}
    found = discovered(account)
    assert (found.places.telemetry, found.places.known_fates) == ((), False)


@pytest.mark.parametrize(
    ("topic_filter", "partition_key", "topic"),
    [
        ("device/+/telemetry", "${topic(2)}", "device/d/telemetry"),
        ("factory/+/sensors/#", "${topic(4)}", "factory/d/sensors/d"),
        ("a/#", "${topic(2)}-${topic(4)}", "a/d/d/d"),
        ("a/#", "${topic()}", "a/d"),
        ("fixed", "${newuuid()}", "fixed"),
    ],
)
def test_devices_publish_where_the_rule_listens(
    topic_filter: str, partition_key: str, topic: str
) -> None:
    telemetry = KinesisRule("r", topic_filter, "s", partition_key, "role", None, None, False)
    assert Route("s", telemetry).topic("d") == topic
    assert telemetry.matches(topic)


@pytest.mark.parametrize(
    ("topic_filter", "partition_key", "topic"),
    [
        ("device/+/telemetry", "${topic(2)}", "device/d/telemetry"),
        (None, "${topic(2)}", "d/d"),
        (None, "${newuuid()}", "d"),
    ],
)
def test_with_basic_ingest_devices_publish_to_the_rule(
    topic_filter: str | None, partition_key: str, topic: str
) -> None:
    telemetry = KinesisRule("r", topic_filter, "s", partition_key, "role", None, None, False)
    assert Route("s", telemetry, basic_ingest=True).topic("d") == f"$aws/rules/r/{topic}"


@pytest.mark.parametrize("basic_ingest", [False, True])
def test_a_rule_without_from_implies_basic_ingest(basic_ingest: bool) -> None:
    account = Account()
    account.rules = [rule("own", "a"), rule("without_from", "a", sql="SELECT *")]
    found = discovered(account, basic_ingest=basic_ingest)
    assert [each.basic_ingest for each in found.routes] == [basic_ingest, True]
    assert found.notes == ()


def test_the_handler_is_that_of_the_telemetry_processor() -> None:
    source = LOCAL.parent.joinpath("telemetry.py").read_text(encoding="utf-8")
    assert f'_HANDLER: Final = "{PROCESSOR_HANDLER}"' in source


STAND_INS = {"event_source_mapping", "rule_engine", "shard_batches", "mqtt"} | {
    path.stem for path in LOCAL.glob("mapping_*.py")
}


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_what_could_be_offered_upstream_depends_only_on_the_emulator(name: str) -> None:
    tree = ast.parse(LOCAL.joinpath(f"{name}.py").read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("iot_constructs"):
            parts = (node.module or "").split(".")
            imported |= {
                ".".join([*parts, each.name]) if len(parts) < 3 else node.module
                for each in node.names
            }
        elif isinstance(node, ast.Import):
            imported |= {each.name for each in node.names if "iot_constructs" in each.name}
    allowed = {f"iot_constructs.local.{each}" for each in STAND_INS | {"emulator"}}
    assert imported <= allowed
