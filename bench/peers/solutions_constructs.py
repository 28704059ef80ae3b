"""The peer "AWS Solutions Constructs": four of its patterns, joined at the stream and the function."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iot as iot
from aws_cdk import aws_lambda as lambda_
from aws_solutions_constructs.aws_iot_kinesisstreams import IotToKinesisStreams
from aws_solutions_constructs.aws_kinesis_streams_kinesis_firehose_s3 import (
    KinesisStreamsToKinesisFirehoseToS3,
)
from aws_solutions_constructs.aws_kinesis_streams_lambda import KinesisStreamsToLambda
from aws_solutions_constructs.aws_lambda_dynamodb import LambdaToDynamoDB
from constructs import Construct

from bench.peers import PROCESSOR


class SolutionsPipeline(cdk.Stack):
    """Each pattern with what it demands and its own defaults for the rest."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        ingest = IotToKinesisStreams(
            self,
            "Ingest",
            iot_topic_rule_props=iot.CfnTopicRuleProps(
                topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
                    sql="SELECT * FROM 'device/+/telemetry'",
                    rule_disabled=False,
                    actions=[],
                )
            ),
        )
        process = KinesisStreamsToLambda(
            self,
            "Process",
            existing_stream_obj=ingest.kinesis_stream,
            lambda_function_props=lambda_.FunctionProps(
                code=lambda_.Code.from_asset(PROCESSOR),
                handler="handler.handler",
                runtime=lambda_.Runtime.PYTHON_3_13,
                timeout=cdk.Duration.minutes(1),
            ),
        )
        device_id = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
        LambdaToDynamoDB(
            self,
            "DeviceState",
            existing_lambda_obj=process.lambda_function,
            dynamo_table_props=dynamodb.TableProps(partition_key=device_id),
            table_environment_variable_name="DEVICE_STATE_TABLE_NAME",
            table_permissions="Write",
        )
        LambdaToDynamoDB(
            self,
            "Metrics",
            existing_lambda_obj=process.lambda_function,
            dynamo_table_props=dynamodb.TableProps(
                partition_key=device_id,
                sort_key=dynamodb.Attribute(name="timestamp", type=dynamodb.AttributeType.NUMBER),
            ),
            table_environment_variable_name="METRICS_TABLE_NAME",
            table_permissions="Write",
        )
        KinesisStreamsToKinesisFirehoseToS3(
            self, "Archive", existing_stream_obj=ingest.kinesis_stream
        )


app = cdk.App()
SolutionsPipeline(app, "SolutionsPipeline")
app.synth()
