"""The settings of a deployed mapping are read, and unsupported ones rejected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from iot_constructs.local.mapping_configuration import (
    UnsupportedMappingError,
    find_mapping,
    read_configuration,
    template_only,
    template_properties,
)
from iot_constructs.local.mapping_decisions import UNLIMITED, Rules

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/readings"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:processor"
TOPIC = "arn:aws:sns:us-east-1:000000000000:dlq"


def deployed(**changes: Any) -> dict[str, Any]:
    return {
        "UUID": "a-uuid",
        "EventSourceArn": STREAM,
        "FunctionArn": FUNCTION,
        "State": "Enabled",
        "StartingPosition": "TRIM_HORIZON",
        **changes,
    }


def test_every_setting_is_read() -> None:
    found = read_configuration(
        deployed(
            BatchSize=7,
            MaximumBatchingWindowInSeconds=8,
            ParallelizationFactor=9,
            MaximumRetryAttempts=0,
            MaximumRecordAgeInSeconds=60,
            BisectBatchOnFunctionError=True,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            DestinationConfig={"OnFailure": {"Destination": TOPIC}},
            MetricsConfig={"Metrics": ["EventCount"]},
        )
    )
    assert found.rules == Rules(7, 8, 9, 0, 60, bisect=True, report_item_failures=True)
    assert found.destination_arn == TOPIC
    assert found.event_count_metrics
    assert (found.uuid, found.stream_arn, found.function_arn) == ("a-uuid", STREAM, FUNCTION)
    assert (found.function_name, found.region) == ("processor", "us-east-1")
    assert found.state == "Enabled"


def test_missing_settings_have_the_documented_defaults() -> None:
    found = read_configuration(deployed())
    assert found.rules == Rules(100, 0, 1, UNLIMITED, UNLIMITED, False, False)
    assert found.destination_arn is None
    assert not found.event_count_metrics


def test_an_alias_is_invoked_and_its_function_has_the_metrics() -> None:
    found = read_configuration(deployed(FunctionArn=f"{FUNCTION}:live"))
    assert found.function_arn == f"{FUNCTION}:live"
    assert found.function_name == "processor"


def test_values_can_be_strings_as_in_a_template() -> None:
    found = read_configuration(
        deployed(MaximumRetryAttempts="3", BisectBatchOnFunctionError="false")
    )
    assert found.rules.maximum_retry_attempts == 3
    assert not found.rules.bisect
    assert read_configuration(deployed(BisectBatchOnFunctionError="true")).rules.bisect


def test_a_timestamp_can_be_a_datetime_or_a_number() -> None:
    timestamp = datetime(2026, 1, 2, tzinfo=timezone.utc)
    for value in (timestamp, timestamp.timestamp()):
        found = read_configuration(
            deployed(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=value)
        )
        assert found.starting_timestamp == timestamp


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"EventSourceArn": f"{STREAM}/consumer/c:1"}, "enhanced fan-out"),
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}, "not a Kinesis stream"),
        ({"EventSourceArn": ""}, "not a Kinesis stream"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "FilterCriteria"),
        ({"TumblingWindowInSeconds": 30}, "TumblingWindowInSeconds"),
        ({"TumblingWindowInSeconds": "30"}, "TumblingWindowInSeconds"),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 1}}, "ProvisionedPollerConfig"),
        ({"ScalingConfig": {"MaximumConcurrency": 2}}, "ScalingConfig"),
        ({"SourceAccessConfigurations": [{"Type": "VPC_SUBNET"}]}, "SourceAccessConfigurations"),
        ({"FunctionResponseTypes": ["Something"]}, "FunctionResponseTypes"),
        ({"MetricsConfig": {"Metrics": ["EventCount", "KafkaMetrics"]}}, "KafkaMetrics"),
        ({"DestinationConfig": {"OnSuccess": {"Destination": TOPIC}}}, "OnSuccess"),
        ({"DestinationConfig": {"OnFailure": {"Destination": f"{TOPIC}.fifo"}}}, "standard"),
        (
            {
                "DestinationConfig": {
                    "OnFailure": {"Destination": "arn:aws:lambda:us-east-1:0:function:f"}
                }
            },
            "standard",
        ),
        ({"DestinationConfig": {"OnFailure": {"Destination": "nonsense"}}}, "standard"),
        ({"StartingPosition": None}, "StartingPosition"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp"),
        ({"BatchSize": 0}, "BatchSize"),
        ({"BatchSize": 10_001}, "BatchSize"),
        ({"MaximumBatchingWindowInSeconds": 301}, "MaximumBatchingWindowInSeconds"),
        ({"ParallelizationFactor": 0}, "ParallelizationFactor"),
        ({"ParallelizationFactor": 11}, "ParallelizationFactor"),
        ({"MaximumRetryAttempts": -2}, "MaximumRetryAttempts"),
        ({"MaximumRetryAttempts": 10_001}, "MaximumRetryAttempts"),
        ({"MaximumRecordAgeInSeconds": 0}, "MaximumRecordAgeInSeconds"),
        ({"MaximumRecordAgeInSeconds": 59}, "MaximumRecordAgeInSeconds"),
        ({"MaximumRecordAgeInSeconds": 604_801}, "MaximumRecordAgeInSeconds"),
    ],
)
def test_unsupported_settings_are_rejected(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedMappingError) as error:
        read_configuration(deployed(**changes))
    assert named in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"FilterCriteria": {"Filters": []}},
        {"TumblingWindowInSeconds": 0},
        {"DestinationConfig": {"OnFailure": {"Destination": ""}}},
        {"MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": -1},
    ],
)
def test_empty_settings_are_accepted(changes: dict[str, Any]) -> None:
    assert read_configuration(deployed(**changes)).destination_arn is None


class Paginated:
    """A client with predefined pages."""

    def __init__(self, **pages: list[dict[str, Any]]) -> None:
        self._pages = pages

    def get_paginator(self, name: str) -> Any:
        pages = self._pages[name]

        class Paginator:
            def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
                wanted = request.get("StackName")
                return (page for page in pages if page.get("of") in (None, wanted))

        return Paginator()


def test_the_mapping_of_a_function_is_found() -> None:
    queue = {"UUID": "other", "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}
    stream = {"UUID": "this", "EventSourceArn": STREAM}
    pages = [{"EventSourceMappings": [queue]}, {"EventSourceMappings": [stream]}]
    assert find_mapping(Paginated(list_event_source_mappings=pages), "f") == "this"
    for bad in ([], [stream, stream]):
        client = Paginated(list_event_source_mappings=[{"EventSourceMappings": bad}])
        with pytest.raises(UnsupportedMappingError):
            find_mapping(client, "f")


class CloudFormation(Paginated):
    def __init__(self, body: Any) -> None:
        resource = {
            "ResourceType": "AWS::Lambda::EventSourceMapping",
            "LogicalResourceId": "Mapping",
            "PhysicalResourceId": "a-uuid",
        }
        super().__init__(
            list_stacks=[
                {"StackSummaries": [{"StackName": "gone", "StackStatus": "DELETE_COMPLETE"}]},
                {"StackSummaries": [{"StackName": "other", "StackStatus": "CREATE_COMPLETE"}]},
                {"StackSummaries": [{"StackName": "ours", "StackStatus": "UPDATE_COMPLETE"}]},
            ],
            list_stack_resources=[
                {"of": "other", "StackResourceSummaries": [{**resource, "ResourceType": "x"}]},
                {"of": "ours", "StackResourceSummaries": [resource]},
            ],
        )
        self._body = body

    def get_template(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803  (boto3's name)
        assert StackName == "ours"
        return {"TemplateBody": self._body}


@pytest.mark.parametrize("as_text", [True, False])
def test_properties_that_the_api_omits_come_from_the_template(as_text: bool) -> None:
    metrics = {"Metrics": ["EventCount"]}
    properties = {"MetricsConfig": metrics, "BatchSize": 5, "FunctionName": {"Ref": "Function"}}
    template = {"Resources": {"Mapping": {"Properties": properties}}}
    client = CloudFormation(json.dumps(template) if as_text else template)
    assert template_properties(client, "a-uuid") == {"MetricsConfig": metrics}
    assert template_properties(client, "another") == {}


def test_a_value_with_an_intrinsic_function_is_rejected() -> None:
    for value in ({"Ref": "Window"}, {"Fn::If": ["a", 1, 2]}, [{"a": {"Ref": "b"}}]):
        with pytest.raises(UnsupportedMappingError):
            template_only({"TumblingWindowInSeconds": value})
