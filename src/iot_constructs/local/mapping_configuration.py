"""Reads the settings of a deployed event source mapping and rejects unsupported ones.

The settings come from the Lambda API. The emulator's API omits some of them, such as MetricsConfig,
TumblingWindowInSeconds, and StartingPositionTimestamp (ministack 1.5.33). Those come from the
deployed template (CloudFormation GetTemplate), or from the caller if the mapping has no stack.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from iot_constructs.local.mapping_decisions import UNLIMITED, Rules

RESOURCE_TYPE = "AWS::Lambda::EventSourceMapping"
TEMPLATE_ONLY_PROPERTIES = (
    "MetricsConfig",
    "TumblingWindowInSeconds",
    "StartingPositionTimestamp",
    "ProvisionedPollerConfig",
    "SourceAccessConfigurations",
    "KmsKeyArn",
)
"""Template properties that the emulator's Lambda API does not return."""

TRIM_HORIZON, LATEST, AT_TIMESTAMP = "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"
REPORT_ITEM_FAILURES = "ReportBatchItemFailures"
EVENT_COUNT = "EventCount"

# Settings of other event sources, and settings that change which records the function receives.
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
    """The deployed mapping has a setting that the simulation does not support."""


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
        """The function name without a version or an alias."""
        return self.function_arn.split(":")[6]

    @property
    def region(self) -> str:
        """The stream's Region."""
        return self.stream_arn.split(":")[3]


def read_configuration(mapping: Mapping[str, Any]) -> Configuration:
    """Read the response of GetEventSourceMapping, completed with the template-only properties.

    Raises:
        UnsupportedMappingError: a setting is unsupported or invalid.
    """
    _reject_unsupported(mapping)
    position = mapping.get("StartingPosition")
    if position not in (TRIM_HORIZON, LATEST, AT_TIMESTAMP):
        raise UnsupportedMappingError(f"unsupported StartingPosition {position!r}")
    if position == AT_TIMESTAMP and mapping.get("StartingPositionTimestamp") is None:
        raise UnsupportedMappingError(
            "StartingPosition AT_TIMESTAMP requires StartingPositionTimestamp"
        )
    # Defaults: lambda/latest/dg/services-kinesis-parameters.html
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
    """Return the UUID of the function's only Kinesis mapping."""
    pages = lambda_.get_paginator("list_event_source_mappings").paginate(FunctionName=function_name)
    found = [
        each["UUID"]
        for page in pages
        for each in page["EventSourceMappings"]
        if ":kinesis:" in each["EventSourceArn"]
    ]
    if len(found) != 1:
        raise UnsupportedMappingError(
            f"function {function_name} has {len(found)} Kinesis mappings; pass mapping_uuid"
        )
    return str(found[0])


def template_properties(cloudformation: Any, uuid: str) -> dict[str, Any]:
    """Return the mapping's template-only properties, or nothing if no stack contains it."""
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
    """Return the properties that the Lambda API omits. Their values must be literals."""
    found = {key: properties[key] for key in TEMPLATE_ONLY_PROPERTIES if key in properties}
    for key, value in found.items():
        if _has_intrinsic(value):
            raise UnsupportedMappingError(f"{key} must be a literal in the template, not {value!r}")
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
        raise UnsupportedMappingError(f"enhanced fan-out is not supported: {source}")
    if (mapping.get("FilterCriteria") or {}).get("Filters"):
        raise UnsupportedMappingError("FilterCriteria is not supported")
    if int(mapping.get("TumblingWindowInSeconds") or 0):
        raise UnsupportedMappingError("TumblingWindowInSeconds is not supported")
    for key in _UNSUPPORTED:
        if mapping.get(key):
            raise UnsupportedMappingError(f"{key} is not supported for a Kinesis stream")
    unknown = set(mapping.get("FunctionResponseTypes") or []) - {REPORT_ITEM_FAILURES}
    if unknown:
        raise UnsupportedMappingError(f"unsupported FunctionResponseTypes {sorted(unknown)}")
    unknown = set((mapping.get("MetricsConfig") or {}).get("Metrics", [])) - {EVENT_COUNT}
    if unknown:
        raise UnsupportedMappingError(f"unsupported MetricsConfig {sorted(unknown)}")


def _destination(config: Mapping[str, Any]) -> str | None:
    if (config.get("OnSuccess") or {}).get("Destination"):
        raise UnsupportedMappingError("OnSuccess is not supported for a Kinesis stream")
    # An empty string removes the destination (kinesis-on-failure-destination.html).
    arn = str((config.get("OnFailure") or {}).get("Destination") or "")
    if not arn:
        return None
    if arn.split(":")[2:3] not in (["sns"], ["sqs"], ["s3"]) or arn.endswith(".fifo"):
        raise UnsupportedMappingError(
            f"failure destination {arn!r} must be a standard queue, a standard topic, or a bucket"
        )
    return arn


def _integer(mapping: Mapping[str, Any], key: str, default: int, lowest: int, highest: int) -> int:
    value = mapping.get(key)
    number = default if value is None else int(value)
    if not lowest <= number <= highest:
        raise UnsupportedMappingError(f"{key} must be between {lowest} and {highest}, not {number}")
    return number


def _record_age(mapping: Mapping[str, Any]) -> int:
    age = _integer(mapping, "MaximumRecordAgeInSeconds", UNLIMITED, UNLIMITED, 604_800)
    if UNLIMITED < age < 60:
        raise UnsupportedMappingError(
            f"MaximumRecordAgeInSeconds must be {UNLIMITED} or at least 60, not {age}"
        )
    return age


def _flag(mapping: Mapping[str, Any], key: str) -> bool:
    value = mapping.get(key)
    # The emulator returns the template's value, where a Boolean can be a string.
    return str(value).lower() == "true"


def _timestamp(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromtimestamp(float(value), tz=timezone.utc)
