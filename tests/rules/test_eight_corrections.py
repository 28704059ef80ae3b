"""The eight corrections: the rules find each mistake in plain CDK, and the constructs have the corrected values.

The values are the mission's: with the example's snapshot this is the only place that repeats a default.
"""

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
    SecureDataBucket,
    StreamProcessor,
    TimeSeriesTable,
)
from iot_constructs.rules import IotPipelineChecks
from tests.rules.test_plugin import synth, violations
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    WholePipeline,
    fresh_app,
    fresh_stack,
    one,
    resources,
    template_of,
)

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


@pytest.fixture(scope="module")
def template() -> Json:
    """Every construct, for prod."""
    stack = fresh_stack("prod", env=ENV)
    assert stack.termination_protection is True  # correction 5
    WholePipeline(stack)
    return template_of(stack)


def test_1_names_end_in_the_suffix(template: Json) -> None:
    names = {
        value
        for resource in template["Resources"].values()
        for key, value in resource.get("Properties", {}).items()
        if key in ("BucketName", "FunctionName", "Name", "TableName", "TopicName")
        and isinstance(value, str)
    }
    assert names >= {
        f"iot-sensor-data-{ACCOUNT}-{REGION}-prod",
        "iot-device-state-prod",
        "iot-sensor-metrics-prod",
        "iot-sensor-data-stream-prod",
        "iot-stream-processor-prod",
        "iot-pipeline-dlq-prod",
    }


def test_2_tables_recover_to_a_point_in_time(template: Json) -> None:
    tables = resources(template, "AWS::DynamoDB::GlobalTable").values()
    recovery = [
        table["Properties"]["Replicas"][0]["PointInTimeRecoverySpecification"] for table in tables
    ]
    assert [each["PointInTimeRecoveryEnabled"] for each in recovery] == [True, True]


def test_3_the_batching_window_is_5_seconds(template: Json) -> None:
    mapping = one(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["MaximumBatchingWindowInSeconds"] == 5


def test_4_the_bucket_is_private_and_tls_only(template: Json) -> None:
    name = f"iot-sensor-data-{ACCOUNT}-{REGION}-prod"
    bucket = one(template, "AWS::S3::Bucket", BucketName=name)
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    policies = [p["Properties"] for p in resources(template, "AWS::S3::BucketPolicy").values()]
    denies = [
        statement["Condition"]
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    assert denies.count({"Bool": {"aws:SecureTransport": "false"}}) == len(
        resources(template, "AWS::S3::Bucket")
    )


def test_6_both_failure_paths_end_at_the_dlq_topic(template: Json) -> None:
    (topic,) = [
        {"Ref": id}
        for id, topic in resources(template, "AWS::SNS::Topic").items()
        if topic["Properties"]["TopicName"] == "iot-pipeline-dlq-prod"
    ]
    to_the_topic = {"OnFailure": {"Destination": topic}}
    invoke = one(template, "AWS::Lambda::EventInvokeConfig")
    assert (invoke["MaximumEventAgeInSeconds"], invoke["MaximumRetryAttempts"]) == (21600, 2)
    assert invoke["DestinationConfig"] == to_the_topic
    assert one(template, "AWS::Lambda::EventSourceMapping")["DestinationConfig"] == to_the_topic


def test_7_dead_letters_and_throttling_have_alarms(template: Json) -> None:
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    assert {alarm["Properties"]["AlarmName"] for alarm in alarms} >= {
        "iot-lambda-dlq-messages-prod",
        "iot-dynamodb-metrics-throttling-prod",
    }


def test_8_readings_are_in_dynamodb(template: Json) -> None:
    table = one(template, "AWS::DynamoDB::GlobalTable", TableName="iot-sensor-metrics-prod")
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    keys = [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
    assert types == {"deviceId": "S", "timestamp": "N"}
    assert keys == [("deviceId", "HASH"), ("timestamp", "RANGE")]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert not any("Timestream" in each["Type"] for each in template["Resources"].values())


@pytest.mark.parametrize(
    ("construct", "wrong"),
    [
        (TimeSeriesTable, {"pointInTimeRecovery": True}),
        (TimeSeriesTable, {"point_in_time_recovery": False}),
        (DeviceStateTable, {"point_in_time_recovery": False}),
        (StreamProcessor, {"max_batching_window_in_seconds": 5}),
        (SecureDataBucket, {"block_public_access": s3.BlockPublicAccess.BLOCK_ACLS_ONLY}),
        (SecureDataBucket, {"enforce_ssl": False}),
    ],
)
def test_no_construct_can_be_made_to_do_it_wrong(construct: Any, wrong: dict[str, Any]) -> None:
    (keyword,) = wrong
    stack = fresh_stack("prod")
    if construct is StreamProcessor:
        wrong = {**wrong, "stream": kinesis.Stream(stack, "Stream"), "code": CODE}
    with pytest.raises((TypeError, ValueError), match=keyword):
        construct(stack, "It", **wrong)
