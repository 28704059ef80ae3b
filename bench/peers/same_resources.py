"""As many resources of each type as a template has, each by one plain L2: ``same_resources STACKS TEMPLATE``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

Of = Callable[[str], Any]
KEY, ROLE, STREAM, TOPIC = "KMS::Key", "IAM::Role", "Kinesis::Stream", "SNS::Topic"
FUNCTION, BUCKET, ALARM = "Lambda::Function", "S3::Bucket", "CloudWatch::Alarm"


def _put(of: Of) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=["kinesis:PutRecord"], resources=[of(STREAM).stream_arn])


def _put_record(of: Of) -> dict[str, Any]:
    return {"kinesis": {"streamName": of(STREAM).stream_name, "roleArn": of(ROLE).role_arn}}


def _policy(l2: Callable[..., Any]) -> Callable[..., Any]:
    def make(scope: cdk.Stack, id: str, **arguments: Any) -> Any:
        policy = l2(scope, id, **arguments)
        deny = iam.PolicyStatement(
            effect=iam.Effect.DENY, actions=["*"], resources=["*"], principals=[iam.AnyPrincipal()]
        )
        policy.document.add_statements(deny)
        return policy

    return make


L2S: Final[dict[str, tuple[Callable[..., Any], Callable[[Of], dict[str, Any]]]]] = {
    KEY: (kms.Key, lambda _: {}),
    ROLE: (iam.Role, lambda _: {"assumed_by": iam.ServicePrincipal("iot.amazonaws.com")}),
    STREAM: (kinesis.Stream, lambda of: {"encryption_key": of(KEY)}),
    "IAM::Policy": (iam.Policy, lambda of: {"roles": [of(ROLE)], "statements": [_put(of)]}),
    "Logs::LogGroup": (logs.LogGroup, lambda _: {}),
    "Logs::LogStream": (logs.LogStream, lambda of: {"log_group": of("Logs::LogGroup")}),
    "DynamoDB::GlobalTable": (
        dynamodb.TableV2,
        lambda _: {
            "partition_key": dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            "encryption": dynamodb.TableEncryptionV2.aws_managed_key(),
        },
    ),
    BUCKET: (s3.Bucket, lambda of: {"encryption_key": of(KEY)}),
    "S3::BucketPolicy": (_policy(s3.BucketPolicy), lambda of: {"bucket": of(BUCKET)}),
    TOPIC: (sns.Topic, lambda of: {"master_key": of(KEY)}),
    "SNS::TopicPolicy": (sns.TopicPolicy, lambda of: {"topics": [of(TOPIC)], "enforce_ssl": True}),
    "SQS::Queue": (sqs.Queue, lambda of: {"encryption_master_key": of(KEY)}),
    "SQS::QueuePolicy": (_policy(sqs.QueuePolicy), lambda of: {"queues": [of("SQS::Queue")]}),
    "SNS::Subscription": (
        sns.Subscription,
        lambda of: {
            "topic": of(TOPIC),
            "endpoint": of("SQS::Queue").queue_arn,
            "protocol": sns.SubscriptionProtocol.SQS,
        },
    ),
    FUNCTION: (
        lambda_.Function,
        lambda of: {
            "code": lambda_.Code.from_inline("def handler(event, context): pass"),
            "handler": "index.handler",
            "runtime": lambda_.Runtime.PYTHON_3_14,
            "role": of(ROLE).without_policy_updates(),
            "log_group": of("Logs::LogGroup"),
            "environment": {"TABLE_NAME": of("DynamoDB::GlobalTable").table_name},
        },
    ),
    "Lambda::EventInvokeConfig": (
        lambda_.EventInvokeConfig,
        lambda of: {"function": of(FUNCTION), "retry_attempts": 2},
    ),
    "Lambda::EventSourceMapping": (
        lambda_.EventSourceMapping,
        lambda of: {
            "target": of(FUNCTION),
            "event_source_arn": of(STREAM).stream_arn,
            "starting_position": lambda_.StartingPosition.TRIM_HORIZON,
        },
    ),
    # There is no L2 of an IoT rule (aws-cdk #16602).
    "IoT::TopicRule": (
        iot.CfnTopicRule,
        lambda of: {"topic_rule_payload": {"sql": "SELECT *", "actions": [_put_record(of)]}},
    ),
    "KinesisFirehose::DeliveryStream": (
        firehose.DeliveryStream,
        lambda of: {
            "role": of(ROLE).without_policy_updates(),
            "source": firehose.KinesisStreamSource(of(STREAM)),
            "destination": firehose.S3Bucket(
                of(BUCKET),
                role=of(ROLE).without_policy_updates(),
                logging_config=firehose.DisableLogging(),  # type: ignore[arg-type]
            ),
        },
    ),
    ALARM: (
        cloudwatch.Alarm,
        lambda of: {
            "metric": of(STREAM).metric_get_records_iterator_age_milliseconds(),
            "threshold": 60_000,
            "evaluation_periods": 3,
        },
    ),
    "CloudWatch::CompositeAlarm": (
        cloudwatch.CompositeAlarm,
        lambda of: {"alarm_rule": cloudwatch.AlarmRule.any_of(of(ALARM))},
    ),
    "CloudWatch::Dashboard": (
        cloudwatch.Dashboard,
        lambda of: {"widgets": [[cloudwatch.AlarmWidget(alarm=of(ALARM))]]},
    ),
    "S3AutoDeleteObjects": (
        cdk.CustomResource,
        lambda of: {"service_token": of(FUNCTION).function_arn},
    ),
}
"""By type: what makes one resource of it and no other, and its arguments. What others refer to comes first."""


def build(app: cdk.App, id: str, counts: Counter[str]) -> None:
    """Add a stack with so many resources of each type, each of which refers to the first ones of others."""
    stack = cdk.Stack(app, id)
    made: dict[str, Any] = {}
    for type in sorted(counts, key=list(L2S).index):
        l2, arguments = L2S[type]
        for number in range(counts[type]):
            id = f"{type.replace('::', '')}{number}"
            made.setdefault(type, l2(stack, id, **arguments(made.__getitem__)))


if __name__ == "__main__":
    resources = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))["Resources"].values()
    types = Counter(it["Type"].removeprefix("AWS::").removeprefix("Custom::") for it in resources)
    app = cdk.App()
    for stack in range(int(sys.argv[1])):
        build(app, f"SameResources{stack}", types)
    app.synth()
