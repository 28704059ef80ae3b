"""Cases of resources that are declared with their L1 constructs, for which the code of a fix is another."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase
from tests.rules.fix_cases.cloudwatch import DELIVERY_STREAM, FUNCTION, QUEUE, STREAM, TABLE, TOPIC
from tests.rules.fix_cases.dynamodb import GLOBAL_TABLE
from tests.rules.fix_cases.naming import RULE_ID as IOT_01
from tests.rules.fix_cases.streams import MAPPING

ALARM: Final = "AWS::CloudWatch::Alarm"
BUCKET: Final = "AWS::S3::Bucket"

_STREAM: Final = 'stream = kinesis.CfnStream(self, "Stream", shard_count=1)\n'
_READER: Final = f"""
{_STREAM}
own_role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
function = lambda_.CfnFunction(
    self,
    "Function",
    code={{"zipFile": "def handler(event, context): return {{'batchItemFailures': []}}"}},
    handler="index.handler",
    role=own_role.role_arn,
    runtime="python3.13",
)
mapping = lambda_.CfnEventSourceMapping(
    self,
    "Mapping",
    event_source_arn=stream.attr_arn,
    function_name=function.ref,
    starting_position="LATEST",
)
<fix></fix>
"""
_TABLE: Final = """
kinesis.CfnStream(self, "Stream", shard_count=1)
table = dynamodb.CfnTable(
    self,
    "State",
    key_schema=[
        {"attributeName": "deviceId", "keyType": "HASH"},
        {"attributeName": "timestamp", "keyType": "RANGE"},
    ],
    attribute_definitions=[
        {"attributeName": "deviceId", "attributeType": "S"},
        {"attributeName": "timestamp", "attributeType": "N"},
    ],
    billing_mode="PAY_PER_REQUEST",
)
table.apply_removal_policy(RemovalPolicy.RETAIN)
<fix></fix>
"""
_REPLICAS: Final = """
table = dynamodb.CfnGlobalTable(
    self,
    "State",
    key_schema=[{"attributeName": "deviceId", "keyType": "HASH"}],
    attribute_definitions=[{"attributeName": "deviceId", "attributeType": "S"}],
    billing_mode="PAY_PER_REQUEST",
    replicas=[
        {
            "region": "eu-west-1",
            "deletionProtectionEnabled": True,
            "pointInTimeRecoverySpecification": {"pointInTimeRecoveryEnabled": True},
        },
        {"region": "eu-central-1"},
    ],
)
table.apply_removal_policy(RemovalPolicy.RETAIN)
<fix></fix>
"""
_BUCKET: Final = 'bucket = s3.CfnBucket(self, "Data")\n<fix></fix>'
_TOPIC: Final = """
topic = sns.CfnTopic(self, "Failures")
lambda_.CfnFunction(
    self,
    "Function",
    code={"zipFile": "def handler(event, context): pass"},
    dead_letter_config={"targetArn": topic.ref},
    role="arn:aws:iam::123456789012:role/processor",
)
<fix></fix>
"""
_QUEUE: Final = """
queue = sqs.CfnQueue(self, "Queue", sqs_managed_sse_enabled=False)
sqs.CfnQueue(
    self,
    "Source",
    redrive_policy={"deadLetterTargetArn": queue.attr_arn, "maxReceiveCount": 3},
)
<fix></fix>
"""
_DELIVERY: Final = """
delivery_stream = firehose.CfnDeliveryStream(
    self,
    "Archive",
    DESTINATION={"bucketArn": "arn:aws:s3:::data", "roleArn": "arn:aws:iam::123456789012:role/r"},
)
<fix></fix>
"""
_ALARM: Final = """
topic = sns.CfnTopic(self, "Alerts")
alarm = cloudwatch.CfnAlarm(
    self,
    "Alarm",
    comparison_operator="GreaterThanThreshold",
    evaluation_periods=1,
    metric_name="Orders",
    namespace="Mine",
    threshold=1,
    ACTIONS
)
<fix></fix>
"""

CASES: Final = (
    FixCase(
        IOT_01,
        "AWS::Kinesis::Stream",
        'kinesis.CfnStream(self, "It", shard_count=1, <fix>name="telemetry"</fix>)',
    ),
    FixCase(
        IOT_01,
        "AWS::Glue::Database",
        """
database = glue.CfnDatabase(
    self, "It", catalog_id=self.account, database_input={"name": "telemetry"}
)
<fix></fix>
""",
    ),
    FixCase("IOT_02_POINT_IN_TIME_RECOVERY", TABLE, _TABLE),
    FixCase("IOT_02_POINT_IN_TIME_RECOVERY", GLOBAL_TABLE, _REPLICAS),
    FixCase("IOT_03_BATCHING_WINDOW", MAPPING, _READER),
    FixCase("IOT_04_PRIVATE_TLS_BUCKET", BUCKET, _BUCKET),
    FixCase("IOT_06_STREAM_FAILURE_DESTINATION", MAPPING, _READER),
    FixCase("IOT_07_PIPELINE_ALARMS", STREAM, _READER),
    FixCase("IOT_07_PIPELINE_ALARMS", FUNCTION, _READER),
    FixCase("IOT_07_PIPELINE_ALARMS", QUEUE, _QUEUE),
    FixCase("IOT_07_PIPELINE_ALARMS", TOPIC, _TOPIC),
    FixCase("IOT_07_PIPELINE_ALARMS", TABLE, _TABLE),
    FixCase(
        "IOT_07_PIPELINE_ALARMS",
        DELIVERY_STREAM,
        _DELIVERY.replace("DESTINATION", "extended_s3_destination_configuration"),
    ),
    FixCase("IOT_12_DLQ_SUBSCRIBER", TOPIC, _TOPIC),
    FixCase("IOT_13_TRIM_HORIZON", MAPPING, _READER),
    FixCase("IOT_14_BOUNDED_RETRIES", MAPPING, _READER),
    FixCase("IOT_15_PARTIAL_BATCHES", MAPPING, _READER),
    FixCase("IOT_16_BISECT", MAPPING, _READER),
    FixCase("IOT_21_TIME_SERIES_TTL", TABLE, _TABLE),
    FixCase("IOT_22_DELETION_PROTECTION", TABLE, _TABLE),
    FixCase("IOT_22_DELETION_PROTECTION", GLOBAL_TABLE, _REPLICAS),
    FixCase("IOT_23_ASYNC_FAILURE_PATH", FUNCTION, _READER),
    FixCase("IOT_24_BUCKET_VERSIONING", BUCKET, _BUCKET),
    FixCase("IOT_25_BUCKET_ACCESS_LOGS", BUCKET, _BUCKET),
    FixCase("IOT_26_ALARM_ACTION", ALARM, _ALARM.replace("ACTIONS", "")),
    FixCase(
        "IOT_27_ALARM_TOPIC_SUBSCRIBER",
        TOPIC,
        _ALARM.replace("ACTIONS", "alarm_actions=[topic.ref]"),
    ),
    FixCase("IOT_29_ENCRYPTION_AT_REST", STREAM, f"{_STREAM}<fix></fix>"),
    FixCase("IOT_29_ENCRYPTION_AT_REST", QUEUE, _QUEUE),
    FixCase("IOT_29_ENCRYPTION_AT_REST", TOPIC, _TOPIC),
    FixCase("IOT_30_TLS_ONLY_MESSAGING", QUEUE, 'queue = sqs.CfnQueue(self, "Queue")\n<fix></fix>'),
    FixCase("IOT_30_TLS_ONLY_MESSAGING", TOPIC, _TOPIC),
)
