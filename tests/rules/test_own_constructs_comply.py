"""The Python rules against what CDK really writes: this library's constructs, plain L2s, and CDK's own helpers."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.aws_sns_subscriptions import EmailSubscription
from constructs import Construct

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs import (
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    SuffixedStack,
    TelemetryRule,
    TimeSeriesTable,
)
from iot_constructs.rules import catalogue
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import load_assembly
from tests.plain_pipeline import PlainPipelineStack
from tests.synth_support import ENV, WholePipeline, fresh_app, inline_code


def findings(app: cdk.App, suffix: str | None = "dev") -> list[Finding]:
    return catalogue.check(load_assembly(Path(app.synth().directory)), suffix)


def short(found: list[Finding]) -> list[tuple[str, str | None]]:
    """Rule and resource, without the hash at the end of a logical id."""
    return [
        (it.rule_id[:6], it.logical_id and re.sub("[0-9A-F]{8}$", "", it.logical_id))
        for it in found
    ]


class TestExample:
    @pytest.mark.parametrize("suffix", ["dev", "prod", "qa7"])
    def test_has_no_finding(self, suffix: str) -> None:
        app = fresh_app()
        IotPipelineStack(
            app, "IotPipeline", environment_suffix=suffix, env=ENV, alarm_email="ops@example.com"
        )
        assert findings(app, suffix) == []
        assert findings(app, None) == []

    def test_without_an_address_nobody_gets_the_alarms(self) -> None:
        app = fresh_app()
        IotPipelineStack(app, "IotPipeline", environment_suffix="dev", env=ENV)
        assert short(findings(app)) == [("IOT_27", "AlarmsAlarmTopic")]


def processor(scope: Construct, stream: MonitoredStream) -> StreamProcessor:
    return StreamProcessor(
        scope, "Processor", stream=stream, code=inline_code(), handler="index.handler"
    )


def alarm_topic(scope: Construct) -> sns.Topic:
    return sns.Topic(scope, "Topic", enforce_ssl=True, master_key=kms.Key(scope, "Key"))


class TestConstructs:
    """Several apps are slow to synthesize: constructs that have nothing to do with each other share one."""

    def test_alone_in_a_stack_of_their_own(self) -> None:
        app = fresh_app()
        MonitoredStream(SuffixedStack(app, "S", environment_suffix="dev"), "It")
        TimeSeriesTable(SuffixedStack(app, "T", environment_suffix="dev"), "It")
        DeviceStateTable(SuffixedStack(app, "D", environment_suffix="dev"), "It")
        SecureDataBucket(SuffixedStack(app, "B", environment_suffix="dev"), "It")
        # The alarms of a stream notify nobody until PipelineAlarms includes them.
        assert short(findings(app)) == [
            ("IOT_07", "It"),
            ("IOT_07", "It"),
            ("IOT_26", "ItIteratorAgeAlarm"),
            ("IOT_26", "ItWriteThrottleAlarm"),
            ("IOT_26", "ItReadThrottleAlarm"),
        ]

    def test_a_processor_wants_alarms(self) -> None:
        app = fresh_app()
        stack = SuffixedStack(app, "P", environment_suffix="dev")
        processor(stack, MonitoredStream(stack, "Stream"))
        assert short(findings(app)) == [
            ("IOT_07", "ProcessorFunction"),
            ("IOT_07", "ProcessorDlqQueue"),
            ("IOT_26", "StreamIteratorAgeAlarm"),
            ("IOT_26", "StreamWriteThrottleAlarm"),
            ("IOT_26", "StreamReadThrottleAlarm"),
        ]

    def test_a_processor_with_alarms(self) -> None:
        app = fresh_app()
        stack = SuffixedStack(app, "P", environment_suffix="dev")
        stream = MonitoredStream(stack, "Stream")
        PipelineAlarms(
            stack,
            "Alarms",
            stream=stream,
            processor=processor(stack, stream),
            subscriptions=[EmailSubscription("ops@example.com")],
        )
        assert findings(app) == []

    def test_in_a_plain_stack_only_the_stack_is_wrong(self) -> None:
        app = fresh_app()
        WholePipeline(cdk.Stack(app, "Plain"))
        assert short(findings(app)) == [("IOT_01", None), ("IOT_05", None)]
        assert short(findings(app, None)) == [("IOT_05", None)]

    def test_in_nested_stacks(self) -> None:
        app = fresh_app()
        stack = SuffixedStack(app, "Nested", environment_suffix="dev")

        def inner(name: str) -> cdk.NestedStack:
            return cdk.NestedStack(stack, name)

        stream = MonitoredStream(inner("A"), "It")
        table = TimeSeriesTable(inner("B"), "It")
        made = processor(inner("C"), stream)
        archive = StreamArchive(
            inner("D"), "It", stream=stream, bucket=SecureDataBucket(inner("E"), "It")
        )
        rule = TelemetryRule(inner("F"), "It", stream=stream, dlq_topic=made.dlq_topic)
        PipelineAlarms(
            inner("G"),
            "It",
            stream=stream,
            processor=made,
            time_series_table=table,
            archive=archive,
            rule=rule,
            alarm_topic=alarm_topic(inner("H")),
            subscriptions=[EmailSubscription("ops@example.com")],
        )
        assert findings(app) == []

    def test_in_the_stages_of_two_environments(self) -> None:
        app = fresh_app()
        for name in ("dev", "prod"):
            WholePipeline(
                SuffixedStack(cdk.Stage(app, name.title()), "Telemetry", environment_suffix=name)
            )
        assert findings(app, None) == []


def test_alarms_in_another_stack_than_what_they_watch() -> None:
    app = fresh_app()
    topics, pipeline, alarms = (
        SuffixedStack(app, name, environment_suffix="dev") for name in ("T", "P", "A")
    )
    stream = MonitoredStream(pipeline, "Stream")
    PipelineAlarms(
        alarms,
        "Alarms",
        stream=stream,
        processor=processor(pipeline, stream),
        alarm_topic=alarm_topic(topics),
        subscriptions=[EmailSubscription("ops@example.com")],
    )
    assert findings(app) == []


def test_the_plain_pipeline() -> None:
    app = fresh_app()
    PlainPipelineStack(app, "Plain")
    mapping = "ProcessorKinesisEventSourcePlainStream11BB8233"
    assert short(findings(app)) == [
        ("IOT_01", None),
        ("IOT_02", "State"),
        ("IOT_02", "Readings"),
        ("IOT_03", mapping),
        ("IOT_04", "Data"),
        ("IOT_04", "Data"),
        ("IOT_05", None),
        ("IOT_06", mapping),
        ("IOT_07", "Stream"),
        ("IOT_07", "Processor"),
        ("IOT_07", "State"),
        ("IOT_07", "Readings"),
        ("IOT_07", "Archive"),
        ("IOT_13", mapping),
        ("IOT_14", mapping),
        ("IOT_14", mapping),
        ("IOT_15", mapping),
        ("IOT_16", mapping),
        ("IOT_18", "Rule"),
        ("IOT_19", "Rule"),
        ("IOT_21", "Readings"),
        ("IOT_22", "State"),
        ("IOT_22", "Readings"),
        ("IOT_23", "Processor"),
        ("IOT_24", "Data"),
        ("IOT_25", "Data"),
    ]


def test_cdks_own_helpers_have_no_finding(tmp_path: Path) -> None:
    # By name: mypy would have to read three large modules for this one test.
    deployment, notifications, custom_resources = (
        import_module(f"aws_cdk.{name}")
        for name in ("aws_s3_deployment", "aws_s3_notifications", "custom_resources")
    )

    app = fresh_app()
    stack = SuffixedStack(app, "Helpers", environment_suffix="dev")
    private = s3.BlockPublicAccess.BLOCK_ALL
    target = s3.Bucket(stack, "Logs", block_public_access=private, enforce_ssl=True)
    bucket = s3.Bucket(
        stack,
        "Data",
        auto_delete_objects=True,
        removal_policy=cdk.RemovalPolicy.DESTROY,
        block_public_access=private,
        enforce_ssl=True,
        versioned=True,
        server_access_logs_bucket=target,
    )
    function = lambda_.Function(
        stack,
        "Function",
        code=inline_code(),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    logs.LogRetention(
        stack, "Retention", log_group_name="/of/others", retention=logs.RetentionDays.ONE_DAY
    )
    (tmp_path / "index.html").write_text("", encoding="utf-8")
    deployment.BucketDeployment(
        stack,
        "Deployment",
        sources=[deployment.Source.asset(str(tmp_path))],
        destination_bucket=bucket,
    )
    bucket.add_event_notification(
        s3.EventType.OBJECT_CREATED, notifications.LambdaDestination(function)
    )
    custom_resources.Provider(stack, "Provider", on_event_handler=function)
    custom_resources.AwsCustomResource(
        stack,
        "Call",
        on_create=custom_resources.AwsSdkCall(
            service="S3",
            action="listBuckets",
            physical_resource_id=custom_resources.PhysicalResourceId.of("x"),
        ),
        policy=custom_resources.AwsCustomResourcePolicy.from_statements(
            [iam.PolicyStatement(actions=["s3:ListAllMyBuckets"], resources=["*"])]
        ),
    )
    s3.Bucket.from_bucket_name(stack, "Imported", "somebody-elses").grant_read(function)
    assert findings(app) == []
