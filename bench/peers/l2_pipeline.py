"""The pipeline in aws-cdk-lib's own L2 constructs, as one writes it who trusts their defaults; without alarms."""

from __future__ import annotations

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

from bench.peers import PROCESSOR


class L2Pipeline(cdk.Stack):
    """IoT rule -> stream -> function -> two tables; stream -> delivery stream -> bucket."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.stream = kinesis.Stream(self, "Stream")
        self._create_tables()
        self._create_processor()
        self._create_rule()
        self.archive = firehose.DeliveryStream(
            self,
            "Archive",
            source=firehose.KinesisStreamSource(self.stream),
            destination=firehose.S3Bucket(s3.Bucket(self, "Data")),
        )

    def _create_tables(self) -> None:
        device_id = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
        timestamp = dynamodb.Attribute(name="timestamp", type=dynamodb.AttributeType.NUMBER)
        self.state = dynamodb.TableV2(self, "DeviceState", partition_key=device_id)
        self.metrics = dynamodb.TableV2(
            self, "Metrics", partition_key=device_id, sort_key=timestamp
        )

    def _create_processor(self) -> None:
        self.processor = lambda_.Function(
            self,
            "Processor",
            code=lambda_.Code.from_asset(PROCESSOR),
            handler="handler.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            timeout=cdk.Duration.minutes(1),
            environment={
                "DEVICE_STATE_TABLE_NAME": self.state.table_name,
                "METRICS_TABLE_NAME": self.metrics.table_name,
            },
        )
        self.processor.add_event_source(
            KinesisEventSource(
                self.stream, batch_size=100, starting_position=lambda_.StartingPosition.LATEST
            )
        )
        self.state.grant_write_data(self.processor)
        self.metrics.grant_write_data(self.processor)

    def _create_rule(self) -> None:
        # There is no L2 of an IoT rule (aws-cdk #16602).
        role = iam.Role(self, "RuleRole", assumed_by=iam.ServicePrincipal("iot.amazonaws.com"))
        self.stream.grant_write(role)
        iot.CfnTopicRule(
            self,
            "Rule",
            topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
                sql="SELECT * FROM 'device/+/telemetry'",
                actions=[
                    iot.CfnTopicRule.ActionProperty(
                        kinesis=iot.CfnTopicRule.KinesisActionProperty(
                            stream_name=self.stream.stream_name,
                            partition_key="${deviceId}",
                            role_arn=role.role_arn,
                        )
                    )
                ],
            ),
        )
