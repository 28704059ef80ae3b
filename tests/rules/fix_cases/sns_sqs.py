"""Cases of the rules for encryption at rest and TLS of streams, queues and topics."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

STREAM: Final = "AWS::Kinesis::Stream"
TOPIC: Final = "AWS::SNS::Topic"
QUEUE: Final = "AWS::SQS::Queue"

# The fix of a topic has to leave the way of its alarms open.
_ALARM: Final = """
alarm = cloudwatch.Alarm(
    self,
    "Alarm",
    metric=cloudwatch.Metric(
        namespace="AWS/Lambda", metric_name="Errors", dimensions_map={"FunctionName": "processor"}
    ),
    evaluation_periods=1,
    threshold=1,
)
alarm.add_alarm_action(cloudwatch_actions.SnsAction(topic))
"""
_ALARM_RESOURCES: Final = """
Alerts: {Type: AWS::SNS::Topic}
Alarm:
  Type: AWS::CloudWatch::Alarm
  Properties:
    Namespace: AWS/Lambda
    MetricName: Errors
    Dimensions: [{Name: FunctionName, Value: processor}]
    ComparisonOperator: GreaterThanThreshold
    EvaluationPeriods: 1
    Threshold: 1
    AlarmActions: [{Ref: Alerts}]
"""

CASES: Final = (
    FixCase(
        "IOT_29_ENCRYPTION_AT_REST",
        STREAM,
        """
stream = kinesis.Stream(
    self,
    "Stream",
    <fix>encryption=kinesis.StreamEncryption.UNENCRYPTED</fix>
)
""",
        "Stream: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: 1}}",
    ),
    FixCase(
        "IOT_29_ENCRYPTION_AT_REST",
        QUEUE,
        """
queue = sqs.Queue(
    self,
    "Queue",
    <fix>encryption=sqs.QueueEncryption.UNENCRYPTED</fix>
)
""",
        "Queue: {Type: AWS::SQS::Queue, Properties: {SqsManagedSseEnabled: false}}",
    ),
    FixCase(
        "IOT_29_ENCRYPTION_AT_REST",
        TOPIC,
        f"""
topic = sns.Topic(
    self,
    "Alerts",
    <fix></fix>
)
{_ALARM}
""",
        _ALARM_RESOURCES,
    ),
    FixCase(
        "IOT_30_TLS_ONLY_MESSAGING",
        QUEUE,
        """
queue = sqs.Queue(
    self,
    "Queue",
    <fix></fix>
)
""",
        "Queue: {Type: AWS::SQS::Queue}",
    ),
    FixCase(
        "IOT_30_TLS_ONLY_MESSAGING",
        TOPIC,
        f"""
topic = sns.Topic(self, "Alerts")
{_ALARM}
<fix></fix>
""",
        _ALARM_RESOURCES,
    ),
)
