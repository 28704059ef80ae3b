"""The logical ids of every construct: a renamed one replaces the resource, so they are API once released.

CloudFormation's logical id is made of the path of a construct. ``Resource``, the id of the L1 in an L2 of CDK, is left
out here, and so are the alarms, whose ids are in the alarm table and in the snapshot of the example.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_sns_subscriptions import EmailSubscription
from constructs import Construct

from iot_constructs import (
    DevicePolicy,
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    QueryableArchive,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    TelemetryProcessor,
    TelemetryRule,
    TimeSeriesTable,
)
from tests.synth_support import fresh_stack, inline_code

_IDS = """
AutoDeleteObjectsLogs AWS::Logs::LogGroup
BucketNotificationsHandler050a0587b7544547bf325f094a3db834 AWS::Lambda::Function
BucketNotificationsHandler050a0587b7544547bf325f094a3db834/Role AWS::IAM::Role
Custom::S3AutoDeleteObjectsCustomResourceProvider/Handler AWS::Lambda::Function
Custom::S3AutoDeleteObjectsCustomResourceProvider/Role AWS::IAM::Role
DevicePolicy/Policy AWS::IoT::Policy
DeviceStateTable AWS::DynamoDB::GlobalTable
InVpc/DlqQueue AWS::SQS::Queue
InVpc/DlqQueue/Policy AWS::SQS::QueuePolicy
InVpc/DlqSubscription AWS::SNS::Subscription
InVpc/DlqTopic AWS::SNS::Topic
InVpc/DlqTopic/Policy AWS::SNS::TopicPolicy
InVpc/FailedBatchesSubscription AWS::SNS::Subscription
InVpc/FailedBatchesTopic AWS::SNS::Topic
InVpc/FailedBatchesTopic/Policy AWS::SNS::TopicPolicy
InVpc/Function AWS::Lambda::Function
InVpc/Function/EventInvokeConfig AWS::Lambda::EventInvokeConfig
InVpc/Function/SecurityGroup AWS::EC2::SecurityGroup
InVpc/Logs AWS::Logs::LogGroup
InVpc/Mapping AWS::Lambda::EventSourceMapping
InVpc/Role AWS::IAM::Role
InVpc/Role/DefaultPolicy AWS::IAM::Policy
InVpc/Tracing AWS::IAM::Policy
InVpc/Vpc AWS::IAM::Policy
IotConstructsKey AWS::KMS::Key
MonitoredStream AWS::Kinesis::Stream
OfOwnFunction/EventInvokeConfig AWS::Lambda::EventInvokeConfig
OfOwnFunction/Mapping AWS::Lambda::EventSourceMapping
OfPlainStream/Dashboard AWS::CloudWatch::Dashboard
OfPlainStream/Health AWS::CloudWatch::CompositeAlarm
PipelineAlarms/AlarmTopic AWS::SNS::Topic
PipelineAlarms/AlarmTopic/Policy AWS::SNS::TopicPolicy
PipelineAlarms/AlarmTopic/ops@example.com AWS::SNS::Subscription
PipelineAlarms/Dashboard AWS::CloudWatch::Dashboard
PipelineAlarms/Health AWS::CloudWatch::CompositeAlarm
QueryableArchive/Database AWS::Glue::Database
QueryableArchive/LastDay AWS::Athena::NamedQuery
QueryableArchive/Results AWS::S3::Bucket
QueryableArchive/Results/AutoDeleteObjectsCustomResource/Default Custom::S3AutoDeleteObjects
QueryableArchive/Results/Policy AWS::S3::BucketPolicy
QueryableArchive/ResultsAccessLogs AWS::S3::Bucket
QueryableArchive/ResultsAccessLogs/AutoDeleteObjectsCustomResource/Default Custom::S3AutoDeleteObjects
QueryableArchive/ResultsAccessLogs/Policy AWS::S3::BucketPolicy
QueryableArchive/Table AWS::Glue::Table
QueryableArchive/WorkGroup AWS::Athena::WorkGroup
SecureDataBucket AWS::S3::Bucket
SecureDataBucket/AutoDeleteObjectsCustomResource/Default Custom::S3AutoDeleteObjects
SecureDataBucket/Notifications Custom::S3BucketNotifications
SecureDataBucket/Notifications/HandlerPolicy AWS::IAM::Policy
SecureDataBucket/Policy AWS::S3::BucketPolicy
SecureDataBucketAccessLogs AWS::S3::Bucket
SecureDataBucketAccessLogs/AutoDeleteObjectsCustomResource/Default Custom::S3AutoDeleteObjects
SecureDataBucketAccessLogs/Policy AWS::S3::BucketPolicy
StreamArchive/DeliveryStream AWS::KinesisFirehose::DeliveryStream
StreamArchive/Logs AWS::Logs::LogGroup
StreamArchive/Logs/S3Destination AWS::Logs::LogStream
StreamArchive/Role AWS::IAM::Role
StreamArchive/Role/DefaultPolicy AWS::IAM::Policy
StreamProcessor/DlqQueue AWS::SQS::Queue
StreamProcessor/DlqQueue/Policy AWS::SQS::QueuePolicy
StreamProcessor/DlqSubscription AWS::SNS::Subscription
StreamProcessor/DlqTopic AWS::SNS::Topic
StreamProcessor/DlqTopic/Policy AWS::SNS::TopicPolicy
StreamProcessor/Function AWS::Lambda::Function
StreamProcessor/Function/EventInvokeConfig AWS::Lambda::EventInvokeConfig
StreamProcessor/Logs AWS::Logs::LogGroup
StreamProcessor/Mapping AWS::Lambda::EventSourceMapping
StreamProcessor/Role AWS::IAM::Role
StreamProcessor/Role/DefaultPolicy AWS::IAM::Policy
StreamProcessor/Tracing AWS::IAM::Policy
TelemetryProcessor/DlqQueue AWS::SQS::Queue
TelemetryProcessor/DlqQueue/Policy AWS::SQS::QueuePolicy
TelemetryProcessor/DlqSubscription AWS::SNS::Subscription
TelemetryProcessor/DlqTopic AWS::SNS::Topic
TelemetryProcessor/DlqTopic/Policy AWS::SNS::TopicPolicy
TelemetryProcessor/Function AWS::Lambda::Function
TelemetryProcessor/Function/EventInvokeConfig AWS::Lambda::EventInvokeConfig
TelemetryProcessor/Logs AWS::Logs::LogGroup
TelemetryProcessor/Mapping AWS::Lambda::EventSourceMapping
TelemetryProcessor/Role AWS::IAM::Role
TelemetryProcessor/Role/DefaultPolicy AWS::IAM::Policy
TelemetryProcessor/Tracing AWS::IAM::Policy
TelemetryRule/ErrorActionRole AWS::IAM::Role
TelemetryRule/ErrorActionRole/DefaultPolicy AWS::IAM::Policy
TelemetryRule/Role AWS::IAM::Role
TelemetryRule/Role/DefaultPolicy AWS::IAM::Policy
TelemetryRule/Rule AWS::IoT::TopicRule
TimeSeriesTable AWS::DynamoDB::GlobalTable
"""


def _ids(suffix: str) -> list[str]:
    """``path type`` of each resource, where the id of each construct is the name of its class."""
    stack = fresh_stack(suffix)
    given = Construct(stack, "Given")
    stream = MonitoredStream(stack, "MonitoredStream")
    readings = TimeSeriesTable(stack, "TimeSeriesTable")
    state = DeviceStateTable(stack, "DeviceStateTable")
    processor = StreamProcessor(
        stack, "StreamProcessor", stream=stream, code=inline_code(), handler="index.handler"
    )
    TelemetryProcessor(
        stack,
        "TelemetryProcessor",
        stream=stream,
        time_series_table=readings,
        device_state_table=state,
        name_prefix="telemetry",
    )
    rule = TelemetryRule(stack, "TelemetryRule", stream=stream, dlq_topic=processor.dlq_topic)
    DevicePolicy(stack, "DevicePolicy")
    data = SecureDataBucket(stack, "SecureDataBucket")
    archive = StreamArchive(stack, "StreamArchive", stream=stream, bucket=data)
    QueryableArchive(stack, "QueryableArchive", bucket=data)
    alarms = PipelineAlarms(
        stack,
        "PipelineAlarms",
        stream=stream,
        processor=processor,
        time_series_table=readings,
        device_state_table=state,
        archive=archive,
        rule=rule,
        subscriptions=[EmailSubscription("ops@example.com")],
    )
    PipelineAlarms(
        stack,
        "OfPlainStream",
        stream=kinesis.Stream(given, "Stream"),
        alarm_topic=alarms.alarm_topic,
        name_prefix="plain",
    )
    StreamProcessor(
        stack,
        "OfOwnFunction",
        stream=stream,
        function=lambda_.Function(
            given,
            "Function",
            code=inline_code(),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
        ),
        dlq_topic=alarms.alarm_topic,
    )
    StreamProcessor(
        stack,
        "InVpc",
        stream=stream,
        code=inline_code(),
        handler="index.handler",
        vpc=ec2.Vpc(given, "Vpc"),
        on_failure=data,
        name_prefix="vpc",
    )
    return [
        f"{child.node.path.removeprefix('Test/').removesuffix('/Resource')} {child.cfn_resource_type}"
        for child in stack.node.find_all()
        if isinstance(child, cdk.CfnResource)
        and not isinstance(child, cloudwatch.CfnAlarm)
        and not child.node.path.startswith("Test/Given/")
    ]


def test_logical_ids() -> None:
    assert sorted(_ids("dev")) == sorted(_IDS.split("\n")[1:-1])


def test_a_protected_environment_has_the_same_but_for_the_deletion_of_objects() -> None:
    ephemeral = [id for id in _ids("dev") if "AutoDelete" not in id]
    assert _ids("prod") == ephemeral
