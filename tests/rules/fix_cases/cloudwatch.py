"""Cases of the rules for stacks and alarms."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

ALARM: Final = "AWS::CloudWatch::Alarm"
COMPOSITE: Final = "AWS::CloudWatch::CompositeAlarm"
DELIVERY_STREAM: Final = "AWS::KinesisFirehose::DeliveryStream"
FUNCTION: Final = "AWS::Lambda::Function"
QUEUE: Final = "AWS::SQS::Queue"
STREAM: Final = "AWS::Kinesis::Stream"
TABLE: Final = "AWS::DynamoDB::Table"
GLOBAL_TABLE: Final = "AWS::DynamoDB::GlobalTable"
TOPIC: Final = "AWS::SNS::Topic"

_STREAM_CDK: Final = """
stream = kinesis.Stream(self, "Stream")
pipes.CfnPipe(
    self,
    "Pipe",
    role_arn="arn:aws:iam::123456789012:role/pipe",
    source=stream.stream_arn,
    target="arn:aws:sqs:eu-central-1:123456789012:elsewhere",
)
<fix></fix>
"""
_STREAM_YAML: Final = """
Stream:
  Type: AWS::Kinesis::Stream
Pipe:
  Type: AWS::Pipes::Pipe
  Properties: {Source: {Fn::GetAtt: [Stream, Arn]}}
"""
_READER_CDK: Final = """
function = lambda_.Function(
    self,
    "Function",
    code=lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}"),
    handler="index.handler",
    runtime=lambda_.Runtime.PYTHON_3_13,
)
function.add_event_source_mapping(
    "Mapping",
    event_source_arn="arn:aws:kinesis:eu-central-1:123456789012:stream/elsewhere",
    starting_position=lambda_.StartingPosition.TRIM_HORIZON,
)
<fix></fix>
"""
_READER_YAML: Final = """
Function:
  Type: AWS::Lambda::Function
  Properties: {Handler: index.handler, Runtime: python3.13}
Mapping:
  Type: AWS::Lambda::EventSourceMapping
  Properties:
    EventSourceArn: arn:aws:kinesis:eu-central-1:123456789012:stream/elsewhere
    FunctionName: {Ref: Function}
    StartingPosition: TRIM_HORIZON
"""
_TABLE_CDK: Final = """
kinesis.Stream(self, "Stream")
table = dynamodb.TABLE(
    self,
    "State",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
)
<fix></fix>
"""
_TABLE_YAML: Final = """
Stream:
  Type: AWS::Kinesis::Stream
State:
  Type: TYPE
  Properties:
    KeySchema: [{AttributeName: deviceId, KeyType: HASH}]
    AttributeDefinitions: [{AttributeName: deviceId, AttributeType: S}]
"""
_QUEUE_CDK: Final = """
queue = sqs.Queue(self, "Queue")
sqs.Queue(self, "Source", dead_letter_queue=sqs.DeadLetterQueue(queue=queue, max_receive_count=3))
<fix></fix>
"""
_QUEUE_YAML: Final = """
Queue:
  Type: AWS::SQS::Queue
Source:
  Type: AWS::SQS::Queue
  Properties:
    RedrivePolicy: {deadLetterTargetArn: {Fn::GetAtt: [Queue, Arn]}, maxReceiveCount: 3}
"""
_FAILURES_CDK: Final = """
topic = sns.Topic(self, "Failures")
lambda_.Function(
    self,
    "Function",
    code=lambda_.Code.from_inline("def handler(event, context): pass"),
    handler="index.handler",
    runtime=lambda_.Runtime.PYTHON_3_13,
    on_failure=destinations.SnsDestination(topic),
)
<fix></fix>
"""
_FAILURES_YAML: Final = """
Failures:
  Type: AWS::SNS::Topic
Function:
  Type: AWS::Lambda::Function
  Properties: {DeadLetterConfig: {TargetArn: {Ref: Failures}}}
"""
_DELIVERY_CDK: Final = """
delivery_stream = firehose.DeliveryStream(
    self, "Archive", destination=firehose.S3Bucket(s3.Bucket(self, "Data"))
)
<fix></fix>
"""
_DELIVERY_YAML: Final = """
Archive:
  Type: AWS::KinesisFirehose::DeliveryStream
  Properties:
    ExtendedS3DestinationConfiguration: {BucketARN: "arn:aws:s3:::data"}
"""
_FUNCTION_CDK: Final = """
function = lambda_.Function(
    self,
    "Function",
    code=lambda_.Code.from_inline("def handler(event, context): pass"),
    handler="index.handler",
    runtime=lambda_.Runtime.PYTHON_3_13,
)
queue = sqs.Queue(self, "Queue")
alarm = cloudwatch.Alarm(
    self,
    "Alarm",
    threshold=1,
    evaluation_periods=1,
    <fix>METRIC</fix>,
)
"""
_ALARM_YAML: Final = """
Queue:
  Type: AWS::SQS::Queue
Alarm:
  Type: AWS::CloudWatch::Alarm
  Properties:
    Namespace: AWS/SQS
    MetricName: ApproximateNumberOfMessagesVisible
    ComparisonOperator: GreaterThanOrEqualToThreshold
    EvaluationPeriods: 1
    Dimensions: DIMENSIONS
"""
_METRIC_CDK: Final = (
    'metric=cloudwatch.Metric(namespace="AWS/SQS", '
    'metric_name="ApproximateNumberOfMessagesVisible", dimensions_map=DIMENSIONS)'
)
_UNREACHABLE_CDK: Final = """
topic = sns.Topic(
    self,
    "Alerts",
    enforce_ssl=True,
    master_key=kms.Alias.from_alias_name(self, "Managed", "alias/aws/sns"),
)
topic.add_subscription(subscriptions.EmailSubscription("ops@example.com"))
alarm = cloudwatch.Alarm(
    self,
    "Alarm",
    threshold=1,
    evaluation_periods=1,
    metric=cloudwatch.Metric(namespace="Mine", metric_name="Orders"),
)
alarm.add_alarm_action(cloudwatch_actions.SnsAction(topic))
<fix></fix>
"""
_UNREACHABLE_YAML: Final = """
Alerts:
  Type: AWS::SNS::Topic
  Properties:
    KmsMasterKeyId: alias/aws/sns
    Subscription: [{Protocol: email, Endpoint: ops@example.com}]
AlertsPolicy:
  Type: AWS::SNS::TopicPolicy
  Properties:
    Topics: [{Ref: Alerts}]
    PolicyDocument:
      Statement:
        - Effect: Deny
          Principal: "*"
          Action: sns:Publish
          Resource: {Ref: Alerts}
          Condition: {Bool: {aws:SecureTransport: "false"}}
Alarm:
  Type: AWS::CloudWatch::Alarm
  Properties: {Namespace: Mine, MetricName: Orders, AlarmActions: [{Ref: Alerts}]}
"""
_SILENT_CDK: Final = """
alarm = cloudwatch.Alarm(
    self,
    "Alarm",
    threshold=1,
    evaluation_periods=1,
    metric=cloudwatch.Metric(namespace="Mine", metric_name="Orders"),
)
<fix></fix>
"""
_SILENT_YAML: Final = """
Alarm:
  Type: AWS::CloudWatch::Alarm
  Properties: {Namespace: Mine, MetricName: Orders}
"""
_COMPOSITE_CDK: Final = """
alarm = cloudwatch.CompositeAlarm(
    self, "Health", alarm_rule=cloudwatch.AlarmRule.from_string("ALARM(elsewhere)")
)
<fix></fix>
"""
_COMPOSITE_YAML: Final = """
Health:
  Type: AWS::CloudWatch::CompositeAlarm
  Properties: {AlarmRule: ALARM(elsewhere)}
"""
_UNSUBSCRIBED_CDK: Final = """
topic = sns.Topic(self, "Alerts")
alarm = cloudwatch.Alarm(
    self,
    "Alarm",
    threshold=1,
    evaluation_periods=1,
    metric=cloudwatch.Metric(namespace="Mine", metric_name="Orders"),
)
alarm.add_alarm_action(cloudwatch_actions.SnsAction(topic))
<fix></fix>
"""
_UNSUBSCRIBED_YAML: Final = """
Alerts:
  Type: AWS::SNS::Topic
Alarm:
  Type: AWS::CloudWatch::Alarm
  Properties: {Namespace: Mine, MetricName: Orders, AlarmActions: [{Ref: Alerts}]}
"""

_ALARMS: Final = "IOT_07_PIPELINE_ALARMS"


def _metric_case(rule_id: str, in_code: str, in_yaml: str) -> FixCase:
    metric = _METRIC_CDK.replace("DIMENSIONS", in_code)
    yaml = _ALARM_YAML.replace("DIMENSIONS", in_yaml)
    return FixCase(rule_id, ALARM, _FUNCTION_CDK.replace("METRIC", metric), yaml)


CASES: Final = (
    FixCase(
        "IOT_05_TERMINATION_PROTECTION",
        "",
        'cdk.CfnResource(cdk.Stack(app, "Plain-dev", <fix></fix>), "It", type="AWS::SSM::Parameter")',
    ),
    FixCase(_ALARMS, STREAM, _STREAM_CDK, _STREAM_YAML),
    FixCase(_ALARMS, FUNCTION, _READER_CDK, _READER_YAML),
    FixCase(_ALARMS, QUEUE, _QUEUE_CDK, _QUEUE_YAML),
    FixCase(_ALARMS, TOPIC, _FAILURES_CDK, _FAILURES_YAML),
    FixCase(
        _ALARMS, TABLE, _TABLE_CDK.replace("TABLE", "Table"), _TABLE_YAML.replace("TYPE", TABLE)
    ),
    FixCase(
        _ALARMS,
        GLOBAL_TABLE,
        _TABLE_CDK.replace("TABLE", "TableV2"),
        _TABLE_YAML.replace("TYPE", GLOBAL_TABLE),
    ),
    FixCase(_ALARMS, DELIVERY_STREAM, _DELIVERY_CDK, _DELIVERY_YAML),
    _metric_case("IOT_09_ALARM_DIMENSIONS", "{}", "[]"),
    _metric_case(
        "IOT_10_EMITTED_METRIC",
        '{"QueueUrl": queue.queue_url}',
        "[{Name: QueueUrl, Value: {Ref: Queue}}]",
    ),
    FixCase("IOT_11_ALARM_ACTION_REACHABLE", TOPIC, _UNREACHABLE_CDK, _UNREACHABLE_YAML),
    FixCase("IOT_12_DLQ_SUBSCRIBER", TOPIC, _FAILURES_CDK, _FAILURES_YAML),
    FixCase("IOT_26_ALARM_ACTION", ALARM, _SILENT_CDK, _SILENT_YAML),
    FixCase("IOT_26_ALARM_ACTION", COMPOSITE, _COMPOSITE_CDK, _COMPOSITE_YAML),
    FixCase("IOT_27_ALARM_TOPIC_SUBSCRIBER", TOPIC, _UNSUBSCRIBED_CDK, _UNSUBSCRIBED_YAML),
)
