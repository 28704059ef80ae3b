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
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import DOCS, Finding, Rule
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


def _periods(threshold: int) -> int:
    """Return 1 for a count, such as errors, each of which matters; more for a delay, which can be a peak."""
    return 1 if threshold == 1 else 3


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
    EvaluationPeriods: {_periods(threshold)}
    Threshold: {threshold}
    ComparisonOperator: GreaterThanOrEqualToThreshold
    TreatMissingData: notBreaching
    AlarmActions: [{{Ref: AlertTopic}}]
{ALERT_TOPIC_YAML}"""


def _alarm_cdk(resource: str, id: str, metric: str, *, threshold: int) -> str:
    return (
        "# PipelineAlarms makes the alarms of a whole pipeline at once.\n"
        f"{ALERT_TOPIC_CDK}"
        f'alarm = {metric}.create_alarm({resource}, "{id}", threshold={threshold}, '
        f"evaluation_periods={_periods(threshold)})\n"
        "alarm.add_alarm_action(cloudwatch_actions.SnsAction(alerts))"
    )


def _fix(
    resource: str, id: str, metrics: tuple[str, str], threshold: int, yaml: str
) -> Remediation:
    """Return the fix with an alarm, by the metrics of the L2 and of the L1 construct."""
    l2, l1 = (_alarm_cdk(resource, id, it, threshold=threshold) for it in metrics)
    return Remediation(l2, yaml, l1)


def _metric_cdk(metric: str, dimension: str, name: str, statistic: str) -> str:
    namespace, metric_name = metric.split()
    return (
        f'cloudwatch.Metric(namespace="{namespace}", metric_name="{metric_name}", '
        f'statistic="{statistic}", dimensions_map={{"{dimension}": {name}}})'
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


def _freshness_fix(metric: str) -> Remediation:
    yaml = _FRESHNESS_YAML.replace(_S3_FRESHNESS, metric)
    l1 = _metric_cdk(
        f"AWS/Firehose {metric}", "DeliveryStreamName", "delivery_stream.ref", "Maximum"
    )
    # Only the destination S3 has an L2.
    l2 = f'delivery_stream.metric("{metric}", statistic="Maximum")'
    metrics = (l2 if metric == _S3_FRESHNESS else l1, l1)
    return _fix("delivery_stream", "FreshnessAlarm", metrics, 900, yaml)


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
    remediations: ClassVar = {
        STREAM: _fix(
            "stream",
            "IteratorAgeAlarm",
            (
                'stream.metric_get_records_iterator_age_milliseconds(statistic="Maximum")',
                _metric_cdk(
                    "AWS/Kinesis GetRecords.IteratorAgeMilliseconds",
                    "StreamName",
                    "stream.ref",
                    "Maximum",
                ),
            ),
            900000,
            _AGE_YAML,
        ),
        FUNCTION: _fix(
            "function",
            "ErrorsAlarm",
            (
                "function.metric_errors()",
                _metric_cdk("AWS/Lambda Errors", "FunctionName", "function.ref", "Sum"),
            ),
            1,
            _ERRORS_YAML,
        ),
        QUEUE: _fix(
            "queue",
            "MessagesAlarm",
            (
                "queue.metric_approximate_number_of_messages_visible()",
                _metric_cdk(
                    "AWS/SQS ApproximateNumberOfMessagesVisible",
                    "QueueName",
                    "queue.attr_queue_name",
                    "Maximum",
                ),
            ),
            1,
            _MESSAGES_YAML,
        ),
        TOPIC: EMAIL_SUBSCRIPTION,
        **dict.fromkeys(
            TABLES,
            _fix(
                "table",
                "ThrottlesAlarm",
                (
                    'table.metric("WriteThrottleEvents", statistic="Sum")',
                    _metric_cdk(
                        "AWS/DynamoDB WriteThrottleEvents", "TableName", "table.ref", "Sum"
                    ),
                ),
                1,
                _THROTTLES_YAML,
            ),
        ),
        DELIVERY_STREAM: _freshness_fix(_S3_FRESHNESS),
    }
    source_url = f"{DOCS}/AmazonCloudWatch/latest/monitoring/Best_Practice_Recommended_Alarms_AWS_Services.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find resources without the alarm that they need."""
        yield from self._streams(pipeline)
        yield from self._functions(pipeline)
        yield from self._dead_letters(pipeline)
        yield from self._tables(pipeline)
        yield from self._delivery_streams(pipeline)

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix with the metric of the delivery stream's destination."""
        if finding.resource_type == DELIVERY_STREAM:
            return _freshness_fix(finding.value)
        return super().variant(finding)

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
