"""The settings of a deployed event source mapping, and a refusal of those that are not modelled.

They are read through the Lambda API. The emulator's API forgets some of them (MetricsConfig,
TumblingWindowInSeconds and StartingPositionTimestamp among them, seen in ministack 1.5.33), which
then come from the deployed template (GetTemplate of CloudFormation), or from the caller for a
mapping that no stack has made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from examples.iot_pipeline.local.mapping_decisions import UNLIMITED, Rules

RESOURCE_TYPE = "AWS::Lambda::EventSourceMapping"
TEMPLATE_ONLY_PROPERTIES = (
    "MetricsConfig",
    "TumblingWindowInSeconds",
    "StartingPositionTimestamp",
    "ProvisionedPollerConfig",
    "SourceAccessConfigurations",
    "KmsKeyArn",
)
"""Properties that a template can have and the emulator's Lambda API does not return."""

TRIM_HORIZON, LATEST, AT_TIMESTAMP = "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"
REPORT_ITEM_FAILURES = "ReportBatchItemFailures"
EVENT_COUNT = "EventCount"

# Settings of other sources, and settings that change which records a function gets in which shape.
_UNSUPPORTED = (
    "ProvisionedPollerConfig",
    "ScalingConfig",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "Topics",
    "Queues",
)


class UnsupportedMappingError(ValueError):
    """The deployed mapping says something that this stand-in does not do."""


@dataclass(frozen=True)
class Configuration:
    """A deployed mapping of a Kinesis stream."""

    uuid: str
    stream_arn: str
    function_arn: str
    state: str
    starting_position: str
    starting_timestamp: datetime | None
    rules: Rules
    destination_arn: str | None
    event_count_metrics: bool

    @property
    def function_name(self) -> str:
        """The function's name, without a qualifier."""
        return self.function_arn.split(":")[6]

    @property
    def region(self) -> str:
        """The region of the stream."""
        return self.stream_arn.split(":")[3]


def read_configuration(mapping: Mapping[str, Any]) -> Configuration:
    """Read a mapping as GetEventSourceMapping returns it, completed with what that leaves out.

    Raises:
        UnsupportedMappingError: it asks for something that is not done here, or is not valid.
    """
    _reject_unsupported(mapping)
    position = mapping.get("StartingPosition")
    if position not in (TRIM_HORIZON, LATEST, AT_TIMESTAMP):
        raise UnsupportedMappingError(f"StartingPosition is {position!r}")
    if position == AT_TIMESTAMP and mapping.get("StartingPositionTimestamp") is None:
        raise UnsupportedMappingError("StartingPosition AT_TIMESTAMP has no timestamp")
    # What is absent has the default of services-kinesis-parameters.html (FACTS 3).
    rules = Rules(
        batch_size=_integer(mapping, "BatchSize", 100, 1, 10_000),
        batching_window=_integer(mapping, "MaximumBatchingWindowInSeconds", 0, 0, 300),
        parallelization_factor=_integer(mapping, "ParallelizationFactor", 1, 1, 10),
        maximum_retry_attempts=_integer(
            mapping, "MaximumRetryAttempts", UNLIMITED, UNLIMITED, 10_000
        ),
        maximum_record_age=_record_age(mapping),
        bisect=_flag(mapping, "BisectBatchOnFunctionError"),
        report_item_failures=REPORT_ITEM_FAILURES in (mapping.get("FunctionResponseTypes") or []),
    )
    return Configuration(
        uuid=mapping["UUID"],
        stream_arn=mapping["EventSourceArn"],
        function_arn=mapping["FunctionArn"],
        state=mapping.get("State", "Enabled"),
        starting_position=position,
        starting_timestamp=_timestamp(mapping.get("StartingPositionTimestamp")),
        rules=rules,
        destination_arn=_destination(mapping.get("DestinationConfig") or {}),
        event_count_metrics=EVENT_COUNT in (mapping.get("MetricsConfig") or {}).get("Metrics", []),
    )


def find_mapping(lambda_: Any, function_name: str) -> str:
    """The UUID of the one Kinesis mapping of a function."""
    pages = lambda_.get_paginator("list_event_source_mappings").paginate(FunctionName=function_name)
    found = [
        each["UUID"]
        for page in pages
        for each in page["EventSourceMappings"]
        if ":kinesis:" in each["EventSourceArn"]
    ]
    if len(found) != 1:
        raise UnsupportedMappingError(
            f"function {function_name} has {len(found)} Kinesis mappings; say which one"
        )
    return str(found[0])


def template_properties(cloudformation: Any, uuid: str) -> dict[str, Any]:
    """The settings of a mapping that only its template knows; empty when no stack has made it."""
    for page in cloudformation.get_paginator("list_stacks").paginate():
        for stack in page["StackSummaries"]:
            if stack["StackStatus"].startswith("DELETE"):
                continue
            logical_id = _logical_id(cloudformation, stack["StackName"], uuid)
            if logical_id is not None:
                body = cloudformation.get_template(StackName=stack["StackName"])["TemplateBody"]
                template = json.loads(body) if isinstance(body, str) else body
                return template_only(template["Resources"][logical_id].get("Properties", {}))
    return {}


def template_only(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Of a template's properties those that the Lambda API leaves out. They must be literal."""
    found = {key: properties[key] for key in TEMPLATE_ONLY_PROPERTIES if key in properties}
    for key, value in found.items():
        if _has_intrinsic(value):
            raise UnsupportedMappingError(f"{key} is computed by CloudFormation: {value!r}")
    return found


def _logical_id(cloudformation: Any, stack: str, uuid: str) -> str | None:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for each in page["StackResourceSummaries"]:
            if each["ResourceType"] == RESOURCE_TYPE and each.get("PhysicalResourceId") == uuid:
                return str(each["LogicalResourceId"])
    return None


def _has_intrinsic(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_intrinsic(each) for each in value)
    if not isinstance(value, Mapping):
        return False
    return any(
        key == "Ref" or key.startswith("Fn::") or _has_intrinsic(each)
        for key, each in value.items()
    )


def _reject_unsupported(mapping: Mapping[str, Any]) -> None:
    source = mapping.get("EventSourceArn", "")
    parts = source.split(":", 5)
    if len(parts) != 6 or parts[2] != "kinesis" or not parts[5].startswith("stream/"):
        raise UnsupportedMappingError(f"event source {source!r} is not a Kinesis stream")
    if "/" in parts[5].removeprefix("stream/"):
        raise UnsupportedMappingError(f"enhanced fan-out is not modelled: {source}")
    if (mapping.get("FilterCriteria") or {}).get("Filters"):
        raise UnsupportedMappingError("FilterCriteria is not modelled: every record is invoked")
    if int(mapping.get("TumblingWindowInSeconds") or 0):
        raise UnsupportedMappingError("TumblingWindowInSeconds is not modelled")
    for key in _UNSUPPORTED:
        if mapping.get(key):
            raise UnsupportedMappingError(f"{key} is not modelled for a Kinesis stream")
    unknown = set(mapping.get("FunctionResponseTypes") or []) - {REPORT_ITEM_FAILURES}
    if unknown:
        raise UnsupportedMappingError(f"FunctionResponseTypes has {sorted(unknown)}")
    unknown = set((mapping.get("MetricsConfig") or {}).get("Metrics", [])) - {EVENT_COUNT}
    if unknown:
        raise UnsupportedMappingError(f"MetricsConfig has {sorted(unknown)}")


def _destination(config: Mapping[str, Any]) -> str | None:
    if (config.get("OnSuccess") or {}).get("Destination"):
        raise UnsupportedMappingError("a Kinesis mapping has no destination for success")
    # An empty string removes a destination (kinesis-on-failure-destination.html).
    arn = str((config.get("OnFailure") or {}).get("Destination") or "")
    if not arn:
        return None
    if arn.split(":")[2:3] not in (["sns"], ["sqs"], ["s3"]) or arn.endswith(".fifo"):
        raise UnsupportedMappingError(
            f"failure destination {arn!r} is not a standard queue, a standard topic or a bucket"
        )
    return arn


def _integer(mapping: Mapping[str, Any], key: str, default: int, lowest: int, highest: int) -> int:
    value = mapping.get(key)
    number = default if value is None else int(value)
    if not lowest <= number <= highest:
        raise UnsupportedMappingError(f"{key} is {number}, not within {lowest} and {highest}")
    return number


def _record_age(mapping: Mapping[str, Any]) -> int:
    age = _integer(mapping, "MaximumRecordAgeInSeconds", UNLIMITED, UNLIMITED, 604_800)
    if UNLIMITED < age < 60:
        raise UnsupportedMappingError(
            f"MaximumRecordAgeInSeconds is {age}, not {UNLIMITED} or >= 60"
        )
    return age


def _flag(mapping: Mapping[str, Any], key: str) -> bool:
    value = mapping.get(key)
    # The emulator keeps what a template says, where a boolean may be written as a string.
    return str(value).lower() == "true"


def _timestamp(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromtimestamp(float(value), tz=timezone.utc)
