"""Finds what to run and where records can end up, from the deployed resources.

The emulator runs only one app, so every resource of its account is the app's, except for the bucket of
``cdk bootstrap``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from iot_constructs.local.emulator import Emulator
from iot_constructs.local.rule_engine import (
    TOPIC_CALL,
    KinesisRule,
    UnsupportedRuleError,
    read_rule,
)
from iot_constructs.processor.settings import Settings

PROCESSOR_HANDLER = "processor.handler.handler"
"""The handler of TelemetryProcessor."""
_DEFAULT_VARIABLES = {
    "DEVICE_STATE_TABLE_NAME",
    "DLQ_TOPIC_ARN",
    "TIME_SERIES_RETENTION_SECONDS",
    "TIME_SERIES_TABLE_NAME",
}
"""The variables of a TelemetryProcessor with default settings. Any other can change what is stored."""
BOOTSTRAP_STACK = "CDKToolkit"


class NoMappingError(ValueError):
    """No function of the app reads a Kinesis stream."""


@dataclass(frozen=True)
class Route:
    """A way from the devices to a stream: through a rule, or PutRecord."""

    stream_name: str
    rule: KinesisRule | None = None
    basic_ingest: bool = False
    """Whether devices publish to the rule itself (iot/latest/developerguide/iot-basic-ingest.html)."""

    def topic(self, device_id: str) -> str:
        """Return the topic of a device: the filter of the rule with the device ID as each wildcard.

        ``#`` stands for as many levels as the partition key needs, and so does a missing filter. With Basic Ingest,
        the topic begins with ``$aws/rules/<rule>/``, which ``topic(n)`` does not count.
        """
        assert self.rule is not None
        topic_filter = self.rule.topic_filter if self.rule.topic_filter is not None else "#"
        levels = [device_id if level in ("+", "#") else level for level in topic_filter.split("/")]
        needed = [int(call) for call in TOPIC_CALL.findall(self.rule.partition_key) if call]
        topic = "/".join([*levels, *[device_id] * (max(needed, default=0) - len(levels))])
        return f"$aws/rules/{self.rule.name}/{topic}" if self.basic_ingest else topic


@dataclass(frozen=True)
class TelemetryTables:
    """The tables of a TelemetryProcessor."""

    time_series: str | None
    state: str | None
    interval_ms: int = 0
    """How much older than its newest reading the state of a device may be."""


@dataclass(frozen=True)
class Places:
    """Where records can end up."""

    tables: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    """The URLs of the queues that no function reads."""
    buckets: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    """``bucket/prefix`` of the objects that Firehose writes. What is only there was not processed."""
    telemetry: tuple[TelemetryTables, ...] = ()
    known_fates: bool = False
    """Whether one TelemetryProcessor with the default settings reads everything, so that each kind has a known fate."""

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Places:
        """Read the places from the JSON of ``dataclasses.asdict``."""
        telemetry = tuple(TelemetryTables(**each) for each in saved["telemetry"])
        names = {key: tuple(saved[key]) for key in ("tables", "queues", "buckets", "archives")}
        return cls(**names, telemetry=telemetry, known_fates=saved["known_fates"])


@dataclass(frozen=True)
class Pipeline:
    """What a run needs to know of a deployed app."""

    mappings: Mapping[str, str]
    """The enabled Kinesis mappings: UUID to function name."""
    routes: tuple[Route, ...]
    places: Places
    notes: tuple[str, ...]
    """What does not run as deployed, for the user."""


def discover(emulator: Emulator, *, basic_ingest: bool = False) -> Pipeline:
    """Find the mappings, rules, tables, queues, and buckets of the deployed app.

    Args:
        emulator: where the app is deployed.
        basic_ingest: whether devices publish to each rule itself. To a rule without FROM, they always do.

    Raises:
        NoMappingError: no function reads a Kinesis stream.
    """
    all_mappings = _all(emulator, "lambda", "list_event_source_mappings", "EventSourceMappings")
    notes: list[str] = []
    mappings = []
    for each in all_mappings:
        if ":kinesis:" not in each["EventSourceArn"]:
            continue
        if each["State"] == "Disabled":
            notes.append(
                f"the mapping of {_name(each['FunctionArn'])} is disabled: it does not run"
            )
        else:
            mappings.append(each)
    if not mappings:
        raise NoMappingError(
            "the app has no enabled event source mapping of a Kinesis stream: add a function that reads the stream, "
            "such as a TelemetryProcessor or a KinesisEventSource"
        )
    streams = dict.fromkeys(_stream_name(each["EventSourceArn"]) for each in mappings)
    rules, rule_notes = _rules(emulator, streams)
    functions = [
        emulator.client("lambda").get_function_configuration(FunctionName=each["FunctionArn"])
        for each in mappings
    ]
    variables = [
        each["Environment"]["Variables"]
        for each in functions
        if each.get("Handler") == PROCESSOR_HANDLER
    ]
    settings = [Settings.from_environment(each) for each in variables]
    routes = [
        Route(rule.stream_name, rule, basic_ingest or rule.topic_filter is None) for rule in rules
    ]
    routes += [Route(name) for name in streams if name not in {rule.stream_name for rule in rules}]
    polled = {each["EventSourceArn"] for each in all_mappings}
    return Pipeline(
        mappings={each["UUID"]: _name(each["FunctionArn"]) for each in mappings},
        routes=tuple(routes),
        places=Places(
            tables=tuple(_all(emulator, "dynamodb", "list_tables", "TableNames")),
            queues=tuple(_queues(emulator, polled)),
            buckets=tuple(_buckets(emulator)),
            archives=tuple(_archives(emulator)),
            telemetry=tuple(
                TelemetryTables(
                    each.time_series_table,
                    each.device_state_table,
                    (each.device_state_interval_seconds or 0) * 1000,
                )
                for each in settings
            ),
            known_fates=len(mappings) == len(variables) == 1
            and variables[0].keys() <= _DEFAULT_VARIABLES,
        ),
        notes=(*notes, *rule_notes),
    )


def _rules(emulator: Emulator, streams: Iterable[str]) -> tuple[list[KinesisRule], list[str]]:
    """Return the rules that put messages on the streams, and why others do not run."""
    iot = emulator.client("iot")
    rules: list[KinesisRule] = []
    notes: list[str] = []
    for each in _all(emulator, "iot", "list_topic_rules", "rules"):
        name = each["ruleName"]
        deployed = iot.get_topic_rule(ruleName=name)["rule"]
        to = {
            action["kinesis"]["streamName"] for action in deployed["actions"] if "kinesis" in action
        }
        if not to & set(streams):
            continue
        try:
            rule = read_rule(name, deployed)
        except UnsupportedRuleError as error:
            notes.append(f"{error}: its records are put on the stream directly")
            continue
        if rule.disabled:
            notes.append(f"rule {name} is disabled: its records are put on the stream directly")
        else:
            rules.append(rule)
    return rules, notes


def _queues(emulator: Emulator, polled: set[str]) -> list[str]:
    sqs = emulator.client("sqs")
    urls = _all(emulator, "sqs", "list_queues", "QueueUrls")
    arns = {
        url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        for url in urls
    }
    return [url for url in urls if arns[url]["QueueArn"] not in polled]


def _buckets(emulator: Emulator) -> list[str]:
    bootstrap = {
        each["PhysicalResourceId"]
        for page in emulator.client("cloudformation")
        .get_paginator("list_stack_resources")
        .paginate(StackName=BOOTSTRAP_STACK)
        for each in page["StackResourceSummaries"]
    }
    buckets = emulator.client("s3").list_buckets()["Buckets"]
    return [each["Name"] for each in buckets if each["Name"] not in bootstrap]


def _archives(emulator: Emulator) -> Iterable[str]:
    firehose = emulator.client("firehose")
    for name in firehose.list_delivery_streams()["DeliveryStreamNames"]:
        found = firehose.describe_delivery_stream(DeliveryStreamName=name)
        for each in found["DeliveryStreamDescription"]["Destinations"]:
            s3 = each.get("ExtendedS3DestinationDescription") or each.get(
                "S3DestinationDescription"
            )
            if s3:
                # Expressions such as !{timestamp:yyyy} follow the constant part of the prefix.
                prefix = s3.get("Prefix", "").partition("!{")[0]
                yield f"{s3['BucketARN'].rsplit(':', 1)[-1]}/{prefix}"


def _all(emulator: Emulator, service: str, operation: str, key: str) -> list[Any]:
    pages = emulator.client(service).get_paginator(operation).paginate()
    return [each for page in pages for each in page.get(key, [])]


def _stream_name(arn: str) -> str:
    # The ARN of a consumer with enhanced fan-out continues after the name.
    return arn.split("/")[1]


def _name(function_arn: str) -> str:
    return function_arn.split(":")[6]
