"""The same pipeline in plain CDK with the fewest settings that work: what docs/comparison.md compares with."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.aws_lambda_event_sources import KinesisEventSource
from constructs import Construct


class PlainPipelineStack(cdk.Stack):
    """Rule, stream, function, two tables, archive."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        property_injectors: Sequence[cdk.IPropertyInjector] | None = None,
    ) -> None:
        super().__init__(scope, id, property_injectors=property_injectors)
        stream = kinesis.Stream(self, "Stream")
        function = lambda_.Function(
            self,
            "Processor",
            code=lambda_.Code.from_inline("def handler(event, context): pass"),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
        )
        function.add_event_source(
            KinesisEventSource(stream, starting_position=lambda_.StartingPosition.LATEST)
        )
        device_id = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
        timestamp = dynamodb.Attribute(name="timestamp", type=dynamodb.AttributeType.NUMBER)
        state = dynamodb.TableV2(self, "State", partition_key=device_id)
        readings = dynamodb.TableV2(self, "Readings", partition_key=device_id, sort_key=timestamp)
        state.grant_write_data(function)
        readings.grant_write_data(function)
        firehose.DeliveryStream(
            self,
            "Archive",
            source=firehose.KinesisStreamSource(stream),
            destination=firehose.S3Bucket(s3.Bucket(self, "Data")),
        )
        role = iam.Role(self, "RuleRole", assumed_by=iam.ServicePrincipal("iot.amazonaws.com"))
        stream.grant_write(role)
        iot.CfnTopicRule(
            self,
            "Rule",
            topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
                sql="SELECT * FROM 'device/+/telemetry'",
                actions=[
                    iot.CfnTopicRule.ActionProperty(
                        kinesis=iot.CfnTopicRule.KinesisActionProperty(
                            stream_name=stream.stream_name, role_arn=role.role_arn
                        )
                    )
                ],
            ),
        )
