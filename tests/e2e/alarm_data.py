"""What AWS services publish when something goes wrong in the deployed example, and puts it where they would.

The table is AWS's side: which service counts what, under which dimension, in which unit (the pages of
`metric_catalogue`). Names come from the services themselves, not from the alarms: an alarm on the name of another
resource, or of none, stays without data here as on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from examples.iot_pipeline.local.deployment import Deployment
from examples.iot_pipeline.local.emulator import Emulator
from tests.alarm_evaluator import Alarm, DataPoint


@dataclass(frozen=True)
class Published:
    """One metric of one resource of the example."""

    namespace: str
    metric: str
    unit: str
    dimension: str
    resource: str
    """Which one, in the words of `resource_names`."""


def _of_function(metric: str, unit: str = "Count") -> Published:
    return Published("AWS/Lambda", metric, unit, "FunctionName", "function")


def _of_mapping(metric: str) -> Published:
    return Published("AWS/Lambda", metric, "Count", "EventSourceMappingUUID", "mapping")


def _of_stream(metric: str, unit: str = "Count") -> Published:
    return Published("AWS/Kinesis", metric, unit, "StreamName", "stream")


def _of_table(metric: str, table: str) -> Published:
    return Published("AWS/DynamoDB", metric, "Count", "TableName", table)


# Name of the alarm, without the suffix -> what is published when that happens of which it speaks.
INCIDENTS: Final[Mapping[str, Published]] = {
    "iot-kinesis-iterator-age": _of_stream("GetRecords.IteratorAgeMilliseconds", "Milliseconds"),
    "iot-kinesis-write-throttling": _of_stream("WriteProvisionedThroughputExceeded"),
    "iot-kinesis-read-throttling": _of_stream("ReadProvisionedThroughputExceeded"),
    "iot-lambda-errors": _of_function("Errors"),
    "iot-lambda-throttles": _of_function("Throttles"),
    "iot-lambda-duration": _of_function("Duration", "Milliseconds"),
    "iot-lambda-iterator-age": _of_function("IteratorAge", "Milliseconds"),
    "iot-lambda-failed-events": _of_mapping("FailedInvokeEventCount"),
    "iot-lambda-failed-batches": _of_mapping("OnFailureDestinationDeliveredEventCount"),
    "iot-lambda-dropped-events": _of_mapping("DroppedEventCount"),
    "iot-lambda-destination-failures": _of_function("DestinationDeliveryFailures"),
    "iot-lambda-async-events-dropped": _of_function("AsyncEventsDropped"),
    "iot-lambda-dlq-messages": Published(
        "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Count", "QueueName", "DLQ queue"
    ),
    "iot-sns-dlq-delivery-failures": Published(
        "AWS/SNS", "NumberOfNotificationsFailed", "Count", "TopicName", "DLQ topic"
    ),
    "iot-dynamodb-metrics-throttling": _of_table("WriteThrottleEvents", "time series table"),
    "iot-dynamodb-metrics-read-throttling": _of_table("ReadThrottleEvents", "time series table"),
    "iot-dynamodb-state-throttling": _of_table("WriteThrottleEvents", "device state table"),
    "iot-dynamodb-state-read-throttling": _of_table("ReadThrottleEvents", "device state table"),
    "iot-rule-throttling": Published(
        "AWS/IoT", "RuleMessageThrottled", "Count", "RuleName", "rule"
    ),
    "iot-firehose-freshness": Published(
        "AWS/Firehose",
        "DeliveryToS3.DataFreshness",
        "Seconds",
        "DeliveryStreamName",
        "delivery stream",
    ),
}


def resource_names(emulator: Emulator, deployment: Deployment) -> dict[str, str]:
    """What the resources of the example are called, by the outputs of the stack and by the services."""
    function = deployment.output("FunctionName")
    mappings = emulator.client("lambda").list_event_source_mappings(FunctionName=function)
    (mapping,) = mappings["EventSourceMappings"]
    (archive,) = emulator.client("firehose").list_delivery_streams()["DeliveryStreamNames"]
    return {
        "stream": deployment.output("StreamName"),
        "function": function,
        "mapping": mapping["UUID"],
        "DLQ queue": deployment.output("DlqQueueUrl").rsplit("/", 1)[-1],
        "DLQ topic": deployment.output("DlqTopicArn").rsplit(":", 1)[-1],
        "time series table": deployment.output("TimeSeriesTableName"),
        "device state table": deployment.output("DeviceStateTableName"),
        "rule": deployment.output("TelemetryRuleName"),
        "delivery stream": archive,
    }


def data_points(
    published: Published, names: Mapping[str, str], value: float, times: Sequence[float]
) -> list[DataPoint]:
    """The same value at each of these times."""
    dimensions = {published.dimension: names[published.resource]}
    return [
        DataPoint(published.namespace, published.metric, dimensions, published.unit, value, each)
        for each in times
    ]


def put(cloudwatch: Any, points: Sequence[DataPoint]) -> None:
    """Publish them in the service's stead."""
    for point in points:
        cloudwatch.put_metric_data(
            Namespace=point.namespace,
            MetricData=[
                {
                    "MetricName": point.metric,
                    "Dimensions": [
                        {"Name": name, "Value": value} for name, value in point.dimensions.items()
                    ],
                    "Unit": point.unit,
                    "Value": point.value,
                    "Timestamp": point.time,
                }
            ],
        )


def period_times(alarm: Alarm, now: float, margin: float) -> list[float]:
    """One moment in each period that the alarm looks at, ``margin`` seconds before it leaves the period."""
    period = alarm["Period"]
    return [
        now - (ago + 1) * period + margin for ago in reversed(range(alarm["EvaluationPeriods"]))
    ]
