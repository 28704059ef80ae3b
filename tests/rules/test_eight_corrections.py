"""Each of the eight mistakes in plain CDK: the rule finds it, not the corrected form, and no construct can make it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_lambda_destinations import SqsDestination
from aws_cdk.aws_lambda_event_sources import SqsDlq

from iot_constructs import (
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    SecureDataBucket,
    StreamProcessor,
    SuffixedStack,
    TimeSeriesTable,
)
from iot_constructs.rules import IotPipelineChecks
from tests.rules.test_plugin import synth, violations
from tests.synth_support import fresh_app, fresh_stack, one, resources, template_of

KEY = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
CODE = lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")
IDS = (
    "IOT_01_ENVIRONMENT_SUFFIX",
    "IOT_02_POINT_IN_TIME_RECOVERY",
    "IOT_03_BATCHING_WINDOW",
    "IOT_04_PRIVATE_TLS_BUCKET",
    "IOT_05_TERMINATION_PROTECTION",
    "IOT_06_STREAM_FAILURE_DESTINATION",
    "IOT_07_PIPELINE_ALARMS",
    "IOT_08_NO_TIMESTREAM",
)


def function_of(stack: cdk.Stack, **settings: Any) -> lambda_.Function:
    return lambda_.Function(
        stack,
        "Processor",
        code=CODE,
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        **settings,
    )


def mapping_of(
    stack: cdk.Stack, function: lambda_.Function | None = None, **settings: Any
) -> lambda_.EventSourceMapping:
    stream = kinesis.Stream(stack, "Stream")
    function = function if function is not None else function_of(stack)
    return lambda_.EventSourceMapping(
        stack,
        "Mapping",
        target=function,
        event_source_arn=stream.stream_arn,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        **settings,
    )


def wrong_1(stack: cdk.Stack) -> None:
    dynamodb.Table(stack, "Table", partition_key=KEY, table_name="iot-device-state")


def right_1(stack: cdk.Stack) -> None:
    dynamodb.Table(stack, "Table", partition_key=KEY, table_name="iot-device-state-prod")


def wrong_2(stack: cdk.Stack) -> None:
    table: Any = dynamodb.Table(stack, "Table", partition_key=KEY).node.default_child
    table.add_property_override("PointInTimeRecovery", True)


def right_2(stack: cdk.Stack) -> None:
    recovery = dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True)
    dynamodb.Table(stack, "Table", partition_key=KEY, point_in_time_recovery_specification=recovery)


def wrong_3(stack: cdk.Stack) -> None:
    mapping: Any = mapping_of(stack).node.default_child
    mapping.add_property_override("MaxBatchingWindowInSeconds", 5)


def right_3(stack: cdk.Stack) -> None:
    mapping_of(stack, max_batching_window=cdk.Duration.seconds(5))


def wrong_4(stack: cdk.Stack) -> None:
    s3.Bucket(stack, "Data")


def right_4(stack: cdk.Stack) -> None:
    s3.Bucket(stack, "Data", block_public_access=s3.BlockPublicAccess.BLOCK_ALL, enforce_ssl=True)


def nothing(stack: cdk.Stack) -> None:
    """5 is about the stack itself."""
    cdk.CfnOutput(stack, "Output", value="a stack needs something in it")


def wrong_6(stack: cdk.Stack) -> None:
    """The asynchronous path only, which never sees a Kinesis record."""
    mapping_of(stack, function_of(stack, on_failure=SqsDestination(sqs.Queue(stack, "Dlq"))))


def right_6(stack: cdk.Stack) -> None:
    mapping_of(stack, on_failure=SqsDlq(sqs.Queue(stack, "Dlq")))


def watched(stack: cdk.Stack, *, dlq: bool, table: bool) -> None:
    queue = sqs.Queue(stack, "Dlq")
    state = dynamodb.Table(stack, "Table", partition_key=KEY)
    function = function_of(stack)
    mapping_of(stack, function, on_failure=SqsDlq(queue))
    age = function.metric("IteratorAge", statistic="Maximum")
    metrics: dict[str, cloudwatch.IMetric] = {"Age": age, "Errors": function.metric_errors()}
    if dlq:
        metrics["Dlq"] = queue.metric_approximate_number_of_messages_visible()
    if table:
        metrics["Throttled"] = state.metric("WriteThrottleEvents", statistic="Sum")
    for id, metric in metrics.items():
        cloudwatch.Alarm(stack, f"{id}Alarm", metric=metric, threshold=1, evaluation_periods=1)


def wrong_7(stack: cdk.Stack) -> None:
    watched(stack, dlq=False, table=False)


def right_7(stack: cdk.Stack) -> None:
    watched(stack, dlq=True, table=True)


def wrong_8(stack: cdk.Stack) -> None:
    cdk.CfnResource(stack, "Database", type="AWS::Timestream::Database")


def right_8(stack: cdk.Stack) -> None:
    timestamp = dynamodb.Attribute(name="timestamp", type=dynamodb.AttributeType.NUMBER)
    dynamodb.TableV2(stack, "Readings", partition_key=KEY, sort_key=timestamp)


FORMS: dict[str, tuple[Callable[[cdk.Stack], None], Callable[[cdk.Stack], None]]] = dict(
    zip(
        IDS,
        (
            (wrong_1, right_1),
            (wrong_2, right_2),
            (wrong_3, right_3),
            (wrong_4, right_4),
            (nothing, nothing),
            (wrong_6, right_6),
            (wrong_7, right_7),
            (wrong_8, right_8),
        ),
        strict=True,
    )
)


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """By rule, the names of the stacks in which it found something."""
    app = fresh_app()
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="prod"))
    for number, (rule, (wrong, right)) in enumerate(FORMS.items(), start=1):
        unsaid = None if rule == "IOT_05_TERMINATION_PROTECTION" else True
        wrong(cdk.Stack(app, f"wrong-{number}-prod", termination_protection=unsaid))
        right(cdk.Stack(app, f"right-{number}-prod", termination_protection=True))
    assert synth(app) is not None
    result: dict[str, set[str]] = {}
    for each in violations(app):
        result.setdefault(each.rule, set()).add(each.construct.split("/")[0])
    return result


@pytest.mark.parametrize(("number", "rule"), list(enumerate(IDS, start=1)))
def test_the_wrong_form_is_found_and_the_corrected_one_is_not(
    number: int, rule: str, found: dict[str, set[str]]
) -> None:
    assert f"wrong-{number}-prod" in found[rule]
    assert f"right-{number}-prod" not in found[rule]


@pytest.fixture
def stack() -> SuffixedStack:
    return fresh_stack("prod")


def processor(stack: SuffixedStack, **settings: Any) -> StreamProcessor:
    stream = MonitoredStream(stack, "Stream")
    return StreamProcessor(
        stack, "Processor", stream=stream, code=CODE, handler="index.handler", **settings
    )


def test_1_no_construct_has_a_name_without_the_suffix(stack: SuffixedStack) -> None:
    DeviceStateTable(stack, "State", table_name="iot-device-state")
    table = one(template_of(stack), "AWS::DynamoDB::GlobalTable")
    assert table["TableName"] == "iot-device-state-prod"


def test_2_no_table_takes_the_misspelt_recovery_or_none(stack: SuffixedStack) -> None:
    misspelt: Any = {"pointInTimeRecovery": True}
    with pytest.raises(TypeError, match="pointInTimeRecovery"):
        TimeSeriesTable(stack, "A", **misspelt)
    with pytest.raises(ValueError, match="point_in_time_recovery=False"):
        TimeSeriesTable(stack, "B", point_in_time_recovery=False)


def test_3_no_processor_takes_the_wrong_option(stack: SuffixedStack) -> None:
    with pytest.raises(TypeError, match="max_batching_window_in_seconds"):
        processor(stack, max_batching_window_in_seconds=5)


@pytest.mark.parametrize("setting", ["block_public_access", "enforce_ssl"])
def test_4_no_data_bucket_is_open(setting: str, stack: SuffixedStack) -> None:
    wrong: Any = {setting: False}
    with pytest.raises((TypeError, ValueError), match=setting):
        SecureDataBucket(stack, "Data", **wrong)


def test_5_every_suffixed_stack_sets_termination_protection(stack: SuffixedStack) -> None:
    assert stack.termination_protection is True


def test_6_no_processor_is_without_the_mapping_s_own_destination(stack: SuffixedStack) -> None:
    processor(stack, dlq_topic=None)
    mapping = one(template_of(stack), "AWS::Lambda::EventSourceMapping")
    assert "Destination" in mapping["DestinationConfig"]["OnFailure"]


def test_7_what_alarms_are_made_for_has_all_of_them(stack: SuffixedStack) -> None:
    PipelineAlarms(
        stack, "Alarms", processor=processor(stack), device_state_table=DeviceStateTable(stack, "T")
    )
    alarms = resources(template_of(stack), "AWS::CloudWatch::Alarm").values()
    names = {alarm["Properties"]["AlarmName"] for alarm in alarms}
    assert "iot-lambda-dlq-messages-prod" in names
    assert any("throttl" in name and "dynamodb" in name for name in names)


def test_8_readings_are_kept_in_dynamodb(stack: SuffixedStack) -> None:
    TimeSeriesTable(stack, "Readings")
    types = {each["Type"] for each in template_of(stack)["Resources"].values()}
    assert "AWS::DynamoDB::GlobalTable" in types
    assert not any("Timestream" in each for each in types)
