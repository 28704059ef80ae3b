"""The rule for the alarms that a pipeline needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from iot_constructs.rules.cloudwatch_actions import (
    ALERT_TOPIC_CDK,
    ALERT_TOPIC_YAML,
    EMAIL_SUBSCRIPTION,
)
from iot_constructs.rules.graph import UNKNOWN
from iot_constructs.rules.pipeline import (
    FUNCTION,
    QUEUE,
    STREAM,
    TABLES,
    TOPIC,
    TOPIC_RULE,
    Pipeline,
)
from iot_constructs.rules.rule import DOCS, Finding, Fix, Rule
from iot_constructs.rules.template import Resource

DELIVERY_STREAM: Final = "AWS::KinesisFirehose::DeliveryStream"

_ITERATOR_AGE: Final = frozenset({"GetRecords.IteratorAgeMilliseconds"})
_FUNCTION_AGE: Final = frozenset({"IteratorAge"})
_CONSUMER_AGE: Final = frozenset({"SubscribeToShardEvent.MillisBehindLatest"})
_FIREHOSE_AGE: Final = frozenset({"KinesisMillisBehindLatest"})
_ERRORS: Final = frozenset({"Errors"})
_PUBLISHED: Final = frozenset({"NumberOfMessagesPublished"})
# NumberOfMessagesSent does not count messages that a redrive policy moves to the queue.
_MESSAGES_WAITING: Final = frozenset(
    {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}
)
_THROTTLES: Final = frozenset(
    {"ReadThrottleEvents", "WriteThrottleEvents", "ThrottledRequests"}
    | {
        f"{operation}{cause}ThrottleEvents"
        for operation in ("Read", "Write")
        for cause in (
            "ProvisionedThroughput",
            "MaxOnDemandThroughput",
            "KeyRangeThroughput",
            "AccountLimit",
        )
    }
)
# Destination of a delivery stream -> its metrics, the current one first:
# https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html
_FRESHNESS: Final = {
    "AmazonOpenSearchServerlessDestinationConfiguration": ("AmazonOpenSearchServerless",),
    "AmazonopensearchserviceDestinationConfiguration": ("AmazonOpenSearchService",),
    "ElasticsearchDestinationConfiguration": ("AmazonOpenSearchService", "Elasticsearch"),
    "ExtendedS3DestinationConfiguration": ("S3",),
    "HttpEndpointDestinationConfiguration": ("HttpEndpoint",),
    "IcebergDestinationConfiguration": ("Iceberg",),
    "RedshiftDestinationConfiguration": ("Redshift",),
    "S3DestinationConfiguration": ("S3",),
    "SnowflakeDestinationConfiguration": ("Snowflake",),
    "SplunkDestinationConfiguration": ("Splunk",),
}
_S3_FRESHNESS: Final = "DeliveryToS3.DataFreshness"


def _alarm_yaml(metric: str, dimension: str, value: str, *, threshold: int, statistic: str) -> str:
    namespace, name = metric.split()
    return f"""\
<LogicalId>Alarm:
  Type: AWS::CloudWatch::Alarm
  Properties:
    Namespace: {namespace}
    MetricName: {name}
    Dimensions: [{{Name: {dimension}, Value: {value}}}]
    Statistic: {statistic}
    Period: 300
    EvaluationPeriods: 3
    Threshold: {threshold}
    ComparisonOperator: GreaterThanOrEqualToThreshold
    TreatMissingData: notBreaching
    AlarmActions: [{{Ref: AlertTopic}}]
{ALERT_TOPIC_YAML}"""


def _pipeline_alarms(keyword: str, variable: str) -> str:
    return (
        "# One PipelineAlarms takes the stream, the processor, the queue and both tables.\n"
        f'PipelineAlarms(self, "Alarms", {keyword}={variable}, '
        'subscriptions=[subscriptions.EmailSubscription("ops@example.com")])'
    )


_REF: Final = "{Ref: <LogicalId>}"
_AGE_YAML: Final = _alarm_yaml(
    "AWS/Kinesis GetRecords.IteratorAgeMilliseconds",
    "StreamName",
    _REF,
    threshold=900000,
    statistic="Maximum",
)
_ERRORS_YAML: Final = _alarm_yaml(
    "AWS/Lambda Errors", "FunctionName", _REF, threshold=1, statistic="Sum"
)
_MESSAGES_YAML: Final = _alarm_yaml(
    "AWS/SQS ApproximateNumberOfMessagesVisible",
    "QueueName",
    "{Fn::GetAtt: [<LogicalId>, QueueName]}",
    threshold=1,
    statistic="Maximum",
)
_THROTTLES_YAML: Final = _alarm_yaml(
    "AWS/DynamoDB WriteThrottleEvents", "TableName", _REF, threshold=1, statistic="Sum"
)
_FRESHNESS_YAML: Final = _alarm_yaml(
    f"AWS/Firehose {_S3_FRESHNESS}",
    "DeliveryStreamName",
    _REF,
    threshold=900,
    statistic="Maximum",
)


def _freshness_cdk(metric: str) -> str:
    # Only the destination S3 has an L2.
    of_stream = (
        f'delivery_stream.metric("{metric}", statistic="Maximum")'
        if metric == _S3_FRESHNESS
        else f'cloudwatch.Metric(namespace="AWS/Firehose", metric_name="{metric}", '
        'statistic="Maximum", dimensions_map={"DeliveryStreamName": delivery_stream.ref})'
    )
    return (
        f"{ALERT_TOPIC_CDK}"
        f'alarm = {of_stream}.create_alarm(self, "Freshness", threshold=900, evaluation_periods=3)\n'
        "alarm.add_alarm_action(cloudwatch_actions.SnsAction(alerts))"
    )


class PipelineAlarmsExist(Rule):
    """Reports resources of a pipeline that no alarm monitors."""

    id = "IOT_07_PIPELINE_ALARMS"
    info = (
        "Alarms monitor the iterator age of each consumed stream, the errors of its function, the "
        "messages in each dead-letter queue, or published to a failure topic without subscription, "
        "the throttling of each table of an app with a part of a pipeline, and the data freshness of "
        "each Firehose stream."
    )
    explanation = "Without alarms, a delayed, failing or throttled pipeline goes unnoticed until data is lost."
    fixes: ClassVar = {
        STREAM: Fix(_pipeline_alarms("stream", "stream"), _AGE_YAML),
        FUNCTION: Fix(_pipeline_alarms("processor", "function"), _ERRORS_YAML),
        QUEUE: Fix(_pipeline_alarms("dlq_queue", "queue"), _MESSAGES_YAML),
        TOPIC: EMAIL_SUBSCRIPTION,
        **dict.fromkeys(
            TABLES, Fix(_pipeline_alarms("time_series_table", "table"), _THROTTLES_YAML)
        ),
        DELIVERY_STREAM: Fix(_freshness_cdk(_S3_FRESHNESS), _FRESHNESS_YAML),
    }
    source_url = f"{DOCS}/AmazonCloudWatch/latest/monitoring/Best_Practice_Recommended_Alarms_AWS_Services.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find resources without the alarm that they need."""
        yield from self._streams(pipeline)
        yield from self._functions(pipeline)
        yield from self._dead_letters(pipeline)
        yield from self._tables(pipeline)
        yield from self._delivery_streams(pipeline)

    def fix_of(self, finding: Finding) -> Fix:
        """Return the fix with the metric of the delivery stream's destination."""
        fix = super().fix_of(finding)
        if finding.resource_type != DELIVERY_STREAM:
            return fix
        yaml = fix.cloudformation.replace(_S3_FRESHNESS, finding.value)
        return Fix(_freshness_cdk(finding.value), yaml)

    def _streams(self, pipeline: Pipeline) -> Iterator[Finding]:
        alarms = pipeline.alarms
        functions: dict[Resource, list[Resource]] = {}
        firehoses: dict[Resource, list[Resource]] = {}
        for reader in pipeline.stream_readers:
            if isinstance(reader.stream, Resource):
                readers = functions.setdefault(reader.stream, [])
                readers += [reader.function] if isinstance(reader.function, Resource) else []
        for delivery in pipeline.graph.of_type(DELIVERY_STREAM):
            for source in pipeline.graph.at(
                delivery.properties, "KinesisStreamSourceConfiguration", "KinesisStreamARN"
            ):
                stream = pipeline.stream(source, delivery) if source is not UNKNOWN else UNKNOWN
                if isinstance(stream, Resource):
                    firehoses.setdefault(stream, []).append(delivery)
        for stream in pipeline.graph.of_type(STREAM):
            if stream not in functions and stream not in firehoses:
                continue  # its consumers, which emit the metric, are in another app
            if (
                alarms.monitors(stream, "AWS/Kinesis", _ITERATOR_AGE, "StreamName")
                or alarms.monitors(stream, "AWS/Kinesis", _CONSUMER_AGE, "StreamName")
                or any(
                    alarms.monitors(it, "AWS/Lambda", _FUNCTION_AGE, "FunctionName")
                    for it in functions.get(stream, ())
                )
                or any(
                    alarms.monitors(it, "AWS/Firehose", _FIREHOSE_AGE, "DeliveryStreamName")
                    for it in firehoses.get(stream, ())
                )
            ):
                continue
            yield self.finding(
                stream,
                "no alarm that receives data on GetRecords.IteratorAgeMilliseconds of this stream, "
                "or on IteratorAge of its function: consumers can fall behind until records expire",
            )

    def _functions(self, pipeline: Pipeline) -> Iterator[Finding]:
        for function in pipeline.stream_functions:
            if not pipeline.alarms.monitors(function, "AWS/Lambda", _ERRORS, "FunctionName"):
                yield self.finding(function, "no alarm on Errors of this stream function")

    def _dead_letters(self, pipeline: Pipeline) -> Iterator[Finding]:
        alarms = pipeline.alarms
        watched_topics = {
            topic
            for topic in pipeline.failure_topics
            if alarms.monitors(topic, "AWS/SNS", _PUBLISHED, "TopicName")
        }
        for queue, path in pipeline.failure_queues.items():
            if alarms.monitors(queue, "AWS/SQS", _MESSAGES_WAITING, "QueueName"):
                continue
            if watched_topics & pipeline.source_topics(queue):
                continue
            yield self.finding(
                queue,
                "no alarm on ApproximateNumberOfMessagesVisible of this queue, which receives "
                f"{path.description}",
            )
        for topic, path in pipeline.failure_topics.items():
            # A subscriber other than a queue is notified.
            if topic not in watched_topics and topic not in pipeline.subscribed_topics:
                yield self.finding(
                    topic,
                    "no alarm on NumberOfMessagesPublished of this topic, which receives "
                    f"{path.description}, or on a subscribed queue",
                )

    def _tables(self, pipeline: Pipeline) -> Iterator[Finding]:
        parts = pipeline.graph.of_type(STREAM, TOPIC_RULE, DELIVERY_STREAM)
        if not (parts or any(reader.certain for reader in pipeline.stream_readers)):
            return
        for table in pipeline.graph.of_type(*TABLES):
            if not pipeline.alarms.monitors(table, "AWS/DynamoDB", _THROTTLES, "TableName"):
                yield self.finding(
                    table,
                    "no alarm that receives data on throttling of this table (WriteThrottleEvents or "
                    "ReadThrottleEvents by TableName, ThrottledRequests by TableName and Operation)",
                )

    def _delivery_streams(self, pipeline: Pipeline) -> Iterator[Finding]:
        for delivery in pipeline.graph.of_type(DELIVERY_STREAM):
            # Without a known destination, the metric of any is sufficient.
            names = [
                f"DeliveryTo{name}.DataFreshness"
                for configuration, found in sorted(_FRESHNESS.items())
                if pipeline.graph.at(delivery.properties, configuration) != [None]
                for name in found
            ] or [f"DeliveryTo{name}.DataFreshness" for name, *_ in _FRESHNESS.values()]
            if not pipeline.alarms.monitors(
                delivery, "AWS/Firehose", frozenset(names), "DeliveryStreamName"
            ):
                yield self.finding(delivery, f"no alarm on {names[0]} of this stream", "", names[0])


RULES: Final = (PipelineAlarmsExist(),)
