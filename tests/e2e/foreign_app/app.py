"""An app without this library: two streams, one of them behind an IoT rule, and their functions in another stack."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

TO_TABLE = """
import base64, os, boto3

def handler(event, context):
    table = boto3.client("dynamodb")
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"])
        if os.environ["FORGETS"] and os.environ["FORGETS"].encode() in data:
            continue
        number = record["kinesis"]["sequenceNumber"]
        table.put_item(TableName=os.environ["TABLE"], Item={"id": {"S": number}, "raw": {"B": data}})
"""
# Fails for every record that is not UTF-8, so that Lambda bisects the batch and discards the record.
TO_BUCKET = """
import base64, os, boto3

def handler(event, context):
    lines = [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]
    key = "batches/" + event["Records"][0]["kinesis"]["sequenceNumber"]
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body="\\n".join(lines).encode())
"""

app = cdk.App()
ingest = cdk.Stack(app, "Ingest")
direct = kinesis.Stream(ingest, "Direct")
behind_rule = kinesis.Stream(ingest, "BehindRule", shard_count=2)
role = iam.Role(ingest, "Role", assumed_by=iam.ServicePrincipal("iot.amazonaws.com"))
behind_rule.grant_write(role)
iot.CfnTopicRule(
    ingest,
    "Rule",
    topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
        sql="SELECT * FROM 'factory/+/sensors/#'",
        aws_iot_sql_version="2016-03-23",
        actions=[
            iot.CfnTopicRule.ActionProperty(
                kinesis=iot.CfnTopicRule.KinesisActionProperty(
                    role_arn=role.role_arn,
                    stream_name=behind_rule.stream_name,
                    partition_key="${topic(4)}",
                )
            )
        ],
    ),
)

processing = cdk.Stack(app, "Processing")
table = dynamodb.Table(
    processing,
    "Table",
    partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
)
bucket = s3.Bucket(processing, "Bucket")
queue = sqs.Queue(processing, "Discarded")


def add_function(name: str, code: str, **environment: str) -> lambda_.Function:
    return lambda_.Function(
        processing,
        name,
        runtime=lambda_.Runtime.PYTHON_3_12,
        handler="index.handler",
        code=lambda_.Code.from_inline(code),
        timeout=cdk.Duration.seconds(30),
        environment=environment,
    )


forgets = app.node.try_get_context("forgets") or ""
to_table = add_function("ToTable", TO_TABLE, TABLE=table.table_name, FORGETS=forgets)
table.grant_write_data(to_table)
to_table.add_event_source(
    sources.KinesisEventSource(direct, starting_position=lambda_.StartingPosition.LATEST)
)
to_bucket = add_function("ToBucket", TO_BUCKET, BUCKET=bucket.bucket_name)
bucket.grant_put(to_bucket)
to_bucket.add_event_source(
    sources.KinesisEventSource(
        behind_rule,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        bisect_batch_on_error=True,
        retry_attempts=3,
        on_failure=sources.SqsDlq(queue),
    )
)
# Nothing but the emulator itself runs a mapping with filters.
filtered = add_function("Filtered", "def handler(event, context): pass")
filtered.add_event_source(
    sources.KinesisEventSource(
        direct,
        starting_position=lambda_.StartingPosition.LATEST,
        filters=[lambda_.FilterCriteria.filter({"data": {"never": ["sent"]}})],
    )
)
app.synth()
