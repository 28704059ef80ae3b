"""What the packs look at: the example, each construct alone, and the same pipeline in plain CDK to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.aws_cloudwatch_actions import SnsAction

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs import (
    DevicePolicy,
    DeviceStateTable,
    EnvironmentSuffix,
    MonitoredStream,
    PipelineAlarms,
    QueryableArchive,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    SuffixedStack,
    TelemetryProcessor,
    TelemetryRule,
    TimeSeriesTable,
)
from tests.packs import nag_suppressions
from tests.plain_pipeline import PlainPipelineStack
from tests.synth_support import ACCOUNT, REGION, fresh_app, inline_code, recommended_flags

_PLACE = f"{REGION}:{ACCOUNT}"
_PATHS = {"aws:cdk:enable-path-metadata": True}  # as the CDK command line has it


def _stream(stack: cdk.Stack) -> kinesis.IStream:
    return kinesis.Stream.from_stream_attributes(
        stack,
        "GivenStream",
        stream_arn=f"arn:aws:kinesis:{_PLACE}:stream/given",
        encryption_key=_key(stack),
    )


def _bucket(stack: cdk.Stack) -> s3.IBucket:
    return s3.Bucket.from_bucket_attributes(
        stack, "GivenBucket", bucket_name="given", encryption_key=_key(stack)
    )


def _topic(stack: cdk.Stack) -> sns.ITopic:
    arn = f"arn:aws:sns:{_PLACE}:given"
    return sns.Topic.from_topic_arn(stack, f"GivenTopic{len(stack.node.children)}", arn)


def _key(stack: cdk.Stack) -> kms.IKey:
    arn = f"arn:aws:kms:{_PLACE}:key/00000000-0000-0000-0000-000000000000"
    return kms.Key.from_key_arn(stack, f"GivenKey{len(stack.node.children)}", arn)


def _table(stack: cdk.Stack, name: str) -> dynamodb.ITableV2:
    return dynamodb.TableV2.from_table_name(stack, name, name)


def _processor(stack: cdk.Stack, **more: Any) -> StreamProcessor:
    return StreamProcessor(
        stack,
        "Processor",
        stream=_stream(stack),
        code=inline_code(),
        handler="index.handler",
        **more,
    )


Maker = Callable[[cdk.Stack], object]

ALONE: dict[str, Maker] = {
    "MonitoredStream": lambda stack: MonitoredStream(stack, "Stream"),
    "TimeSeriesTable": lambda stack: TimeSeriesTable(stack, "TimeSeries"),
    "DeviceStateTable": lambda stack: DeviceStateTable(stack, "DeviceState"),
    "StreamProcessor": _processor,
    "StreamProcessor with on_failure": lambda stack: _processor(
        stack, on_failure=SecureDataBucket(stack, "Data")
    ),
    "StreamProcessor with what is given": lambda stack: _processor(
        stack,
        dlq_topic=_topic(stack),
        on_failure=_bucket(stack),
        reserved_concurrent_executions=5,
    ),
    "TelemetryProcessor": lambda stack: TelemetryProcessor(
        stack,
        "Processor",
        stream=_stream(stack),
        time_series_table=_table(stack, "Readings"),
        device_state_table=_table(stack, "Devices"),
    ),
    "TelemetryRule": lambda stack: TelemetryRule(
        stack, "Telemetry", stream=_stream(stack), dlq_topic=_topic(stack)
    ),
    "DevicePolicy": lambda stack: DevicePolicy(stack, "DevicePolicy"),
    "SecureDataBucket": lambda stack: SecureDataBucket(stack, "Data"),
    "StreamArchive": lambda stack: StreamArchive(
        stack, "Archive", stream=_stream(stack), bucket=_bucket(stack)
    ),
    "StreamArchive into a SecureDataBucket": lambda stack: StreamArchive(
        stack,
        "Archive",
        stream=MonitoredStream(stack, "Stream"),
        bucket=SecureDataBucket(stack, "Data"),
    ),
    "QueryableArchive": lambda stack: QueryableArchive(stack, "Queries", bucket=_bucket(stack)),
    "PipelineAlarms": lambda stack: PipelineAlarms(stack, "Alarms", stream=_stream(stack)),
}
"""Each construct with no more than it needs, and in the forms that have resources of their own."""


def _do_as_a_user_does(stack: cdk.Stack) -> None:
    """Give each alarm somebody to tell, and decide what the example decides."""
    resources = [
        child.cfn_resource_type
        for child in stack.node.find_all()
        if isinstance(child, cdk.CfnResource)
    ]
    topic = _topic(stack) if "AWS::CloudWatch::Alarm" in resources else None
    for child in stack.node.find_all():
        if isinstance(child, (MonitoredStream, StreamArchive)) and topic is not None:
            for alarm in child.alarms:
                alarm.add_alarm_action(SnsAction(topic))
    if "AWS::IAM::Policy" in resources:
        nag_suppressions.suppress_inline_policies(stack)
    if "AWS::Lambda::Function" in resources and stack.node.try_find_child("Processor"):
        nag_suppressions.suppress_vpc(stack)
    if "AWS::S3::Bucket" in resources:
        nag_suppressions.suppress_bucket_rules(stack)


def add_example(app: cdk.App, suffix: str) -> IotPipelineStack:
    """The example, with the decisions of whoever runs compliance packs on it."""
    stack = IotPipelineStack(app, "IotPipeline", environment_suffix=suffix)
    nag_suppressions.suppress_inline_policies(stack)
    nag_suppressions.suppress_vpc(stack.processor.function)
    for bucket in (stack.data, stack.data.access_logs_bucket):
        nag_suppressions.suppress_bucket_rules(bucket)
    return stack


def _example(suffix: str) -> Callable[[cdk.App], None]:
    def build(app: cdk.App) -> None:
        add_example(app, suffix)

    return build


def _alone(suffix: str, *, plain_stack: bool) -> Callable[[cdk.App], None]:
    def build(app: cdk.App) -> None:
        for number, make in enumerate(ALONE.values()):
            own_suffix = f"{suffix}-{number}"
            id = f"Alone{number}"
            if plain_stack:
                stack = cdk.Stack(app, id)
                EnvironmentSuffix(own_suffix).attach_to(stack)
            else:
                stack = SuffixedStack(app, id, environment_suffix=own_suffix)
            make(stack)
            _do_as_a_user_does(stack)

    return build


def plain_pipeline() -> cdk.App:
    """The same pipeline in plain CDK, with the fewest settings that work."""
    app = fresh_app(_PATHS)
    PlainPipelineStack(app, "Plain")
    return app


_FLAGS = {"cdk init's feature flags": recommended_flags(), "no feature flags": {}}
_BUILDERS = {
    "the example, dev": _example("dev"),
    "the example, prod": _example("prod"),
    "each construct alone, dev": _alone("dev", plain_stack=False),
    "each construct alone, prod": _alone("prod", plain_stack=False),
    "each construct alone in a plain Stack": _alone("plain", plain_stack=True),
}
EXAMPLES = {f"{what}, {flags}" for what in _BUILDERS for flags in _FLAGS if "example" in what}


NOT_SCANNED = {
    f"{what}, {flags}"
    for what, flags in (
        ("each construct alone, dev", "no feature flags"),
        ("each construct alone, prod", "cdk init's feature flags"),
        ("each construct alone, prod", "no feature flags"),
        ("each construct alone in a plain Stack", "cdk init's feature flags"),
    )
}
"""Whose templates cfn-lint and checkov do not see, because of the time: the resources are those of the other apps."""


def our_apps() -> dict[str, cdk.App]:
    """Every app that has to be without an unanswered finding, by what it is."""
    apps = {}
    for what, build in _BUILDERS.items():
        for which, context in _FLAGS.items():
            app = fresh_app({**_PATHS, **context})
            build(app)
            apps[f"{what}, {which}"] = app
    return apps
