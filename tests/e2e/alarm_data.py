"""Publishes the metrics that AWS services publish for an incident in the deployed example.

The table lists the metric, dimension, and unit of each service (see the pages in `metric_catalogue`). Resource names
come from the services, not from the alarms, so an alarm on the wrong resource gets no data, as on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from iot_constructs.local.deployment import Deployment
from iot_constructs.local.emulator import Emulator
from tests.alarm_evaluator import Alarm, DataPoint, alarm_period


@dataclass(frozen=True)
class Published:
    """A metric of a resource of the example."""

    namespace: str
    metric: str
    unit: str
    dimension: str
    resource: str
    """A key of `resource_names`."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Further dimensions."""


def _function_metric(metric: str, unit: str = "Count") -> Published:
    return Published("AWS/Lambda", metric, unit, "FunctionName", "function")


def _mapping_metric(metric: str) -> Published:
    return Published("AWS/Lambda", metric, "Count", "EventSourceMappingUUID", "mapping")


def _stream_metric(metric: str, unit: str = "Count") -> Published:
    return Published("AWS/Kinesis", metric, unit, "StreamName", "stream")


def _table_metric(metric: str, table: str) -> Published:
    return Published("AWS/DynamoDB", metric, "Count", "TableName", table)


# Alarm name without the suffix -> the metric that triggers the alarm.
INCIDENTS: Final[Mapping[str, Published]] = {
    "iot-kinesis-iterator-age": _stream_metric(
        "GetRecords.IteratorAgeMilliseconds", "Milliseconds"
    ),
    "iot-kinesis-write-throttling": _stream_metric("WriteProvisionedThroughputExceeded"),
    "iot-kinesis-read-throttling": _stream_metric("ReadProvisionedThroughputExceeded"),
    "iot-lambda-errors": _function_metric("Errors"),
    "iot-lambda-throttles": _function_metric("Throttles"),
    "iot-lambda-duration": _function_metric("Duration", "Milliseconds"),
    "iot-lambda-iterator-age": _function_metric("IteratorAge", "Milliseconds"),
    "iot-lambda-failed-events": _mapping_metric("FailedInvokeEventCount"),
    "iot-lambda-failed-batches": _mapping_metric("OnFailureDestinationDeliveredEventCount"),
    "iot-lambda-dropped-events": _mapping_metric("DroppedEventCount"),
    "iot-lambda-unprocessed-records": _stream_metric("IncomingRecords"),
    "iot-lambda-destination-failures": _function_metric("DestinationDeliveryFailures"),
    "iot-lambda-async-events-dropped": _function_metric("AsyncEventsDropped"),
    "iot-lambda-device-id-mismatches": Published(
        "IotConstructs", "DeviceIdMismatches", "Count", "FunctionName", "function"
    ),
    "iot-lambda-dlq-messages": Published(
        "AWS/SQS", "ApproximateNumberOfMessagesVisible", "Count", "QueueName", "DLQ queue"
    ),
    "iot-sns-dlq-delivery-failures": Published(
        "AWS/SNS", "NumberOfNotificationsFailed", "Count", "TopicName", "DLQ topic"
    ),
    "iot-dynamodb-metrics-throttling": _table_metric("WriteThrottleEvents", "time series table"),
    "iot-dynamodb-metrics-read-throttling": _table_metric(
        "ReadThrottleEvents", "time series table"
    ),
    "iot-dynamodb-state-throttling": _table_metric("WriteThrottleEvents", "device state table"),
    "iot-dynamodb-state-read-throttling": _table_metric("ReadThrottleEvents", "device state table"),
    "iot-rule-throttling": Published(
        "AWS/IoT", "RuleMessageThrottled", "Count", "RuleName", "rule"
    ),
    "iot-rule-error-action-failures": Published(
        # AWS documents no values of ActionType; this one stands for whatever it is.
        *("AWS/IoT", "ErrorActionFailure", "Count", "RuleName", "rule"),
        {"ActionType": "Some action"},
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
    """Return the names of the example's resources from the stack outputs and the services."""
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
    """Return data points with the same value at each time."""
    dimensions = {published.dimension: names[published.resource], **published.more}
    return [
        DataPoint(published.namespace, published.metric, dimensions, published.unit, value, each)
        for each in times
    ]


def put(cloudwatch: Any, points: Sequence[DataPoint]) -> None:
    """Publish data points."""
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
    """Return a time in each evaluation period, ``margin`` seconds after the period starts."""
    period = alarm_period(alarm)
    return [
        now - (ago + 1) * period + margin for ago in reversed(range(alarm["EvaluationPeriods"]))
    ]
