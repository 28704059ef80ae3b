"""A stack that was there before: its resources stay as they are, a processor and alarms are added."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from iot_constructs import PipelineAlarms, StreamProcessor


class ExistingAppStack(cdk.Stack):
    """Keeps the positions of vehicles."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)

        # Yours, in plain CDK.
        stream = kinesis.Stream(self, "Positions", retention_period=cdk.Duration.hours(48))
        table = dynamodb.TableV2(
            self,
            "PositionHistory",
            partition_key=dynamodb.Attribute(name="vehicle", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="time", type=dynamodb.AttributeType.NUMBER),
        )
        on_call = sns.Topic(self, "OnCall")

        # Added.
        processor = StreamProcessor(
            self,
            "Processor",
            stream=stream,
            code=lambda_.Code.from_asset(str(Path(__file__).with_name("function"))),
            environment={"TABLE_NAME": table.table_name},
        )
        table.grant(processor, "dynamodb:PutItem")
        PipelineAlarms(
            self,
            "Alarms",
            stream=stream,
            processor=processor,
            time_series_table=table,
            alarm_topic=on_call,
        )
