"""An app that was there before: its stream and its table stay as they are, a processor and alarms are added."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import PipelineAlarms, StreamProcessor


class VehiclesStack(cdk.Stack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)

        # Yours, in plain CDK.
        stream = kinesis.Stream(self, "Positions", retention_period=cdk.Duration.hours(48))
        table = dynamodb.TableV2(
            self,
            "LastPositions",
            partition_key=dynamodb.Attribute(name="vehicle", type=dynamodb.AttributeType.STRING),
        )

        # Added.
        processor = StreamProcessor(
            self,
            "Processor",
            stream=stream,
            code=lambda_.Code.from_asset(str(Path(__file__).with_name("function"))),
            environment={"TABLE_NAME": table.table_name},
        )
        table.grant(processor, "dynamodb:PutItem")
        alarms = PipelineAlarms(
            self, "Alarms", stream=stream, processor=processor, device_state_table=table
        )
        cdk.CfnOutput(self, "AlarmTopicArn", value=alarms.alarm_topic.topic_arn)


if __name__ == "__main__":
    app = cdk.App()
    VehiclesStack(app, "Vehicles")
    app.synth()
