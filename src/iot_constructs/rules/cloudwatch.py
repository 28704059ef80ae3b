"""Rules for the metrics of alarms: those that AWS emits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from iot_constructs.rules.alarm_metrics import ALARM, AlarmMetric
from iot_constructs.rules.metric_catalogue import (
    DimensionNames,
    closest_metric_name,
    emitted,
    is_unknown_metric,
)
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.remediations import Remediation, set_properties
from iot_constructs.rules.rule import DOCS, Finding, Rule

_GUIDE: Final = f"{DOCS}/AmazonCloudWatch/latest/monitoring"

# Dimension -> its value in code and in YAML, with the names that a fix assumes.
_IDENTITIES: Final = {
    "BucketName": ("bucket.bucket_name", "{Ref: Bucket}"),
    "DeliveryStreamName": ("delivery_stream.delivery_stream_name", "{Ref: DeliveryStream}"),
    "EventSourceMappingUUID": ("mapping.event_source_mapping_id", "{Ref: Mapping}"),
    "FunctionName": ("function.function_name", "{Ref: Function}"),
    "QueueName": ("queue.queue_name", "{Fn::GetAtt: [Queue, QueueName]}"),
    "RuleName": ("rule.ref", "{Ref: Rule}"),
    "StreamName": ("stream.stream_name", "{Ref: Stream}"),
    "TableName": ("table.table_name", "{Ref: Table}"),
    "TopicName": ("topic.topic_name", "{Fn::GetAtt: [Topic, TopicName]}"),
    # constants
    "ActionType": ('"Kinesis"', "Kinesis"),
    "FilterId": ('"EntireBucket"', "EntireBucket"),
    "Operation": ('"PutItem"', "PutItem"),
    "OperationName": ('"BatchUpdateDevicePosition"', "BatchUpdateDevicePosition"),
    "Protocol": ('"MQTT"', "MQTT"),
    "ShardId": ('"shardId-000000000000"', "shardId-000000000000"),
    "StorageType": ('"StandardStorage"', "StandardStorage"),
}
# For a metric that does not exist and is no misspelling.
_USUAL: Final = {
    "AWS/DynamoDB": "WriteThrottleEvents",
    "AWS/Kinesis": "GetRecords.IteratorAgeMilliseconds",
    "AWS/Location": "CallCount",
    "AWS/SNS": "NumberOfNotificationsFailed",
    "AWS/SQS": "ApproximateNumberOfMessagesVisible",
}


def _metric_fix(
    namespace: str, metric: str, query: int | None = None, replaced: int = 0
) -> Remediation:
    """Return the fix that sets a metric with dimensions that AWS emits.

    Args:
        namespace: the namespace, which the catalogue contains.
        metric: the name of the metric; one that does not exist is replaced.
        query: the index of the query in ``Metrics``; None if the alarm has one metric.
        replaced: the number of dimensions that the alarm has.
    """
    if emitted(namespace, metric) is None:
        metric = closest_metric_name(namespace, metric) or _USUAL[namespace]
    known = emitted(namespace, metric)
    sets = known.dimension_sets if known is not None else frozenset()
    # One resource, if possible: an index or an account is not what was meant.
    names = sorted(min(sets, key=lambda it: (not it, len(it), sorted(it)), default=()))
    values = [(name, *_IDENTITIES.get(name, (f'"{name}"', name))) for name in names]
    code = f'cloudwatch.Metric(namespace="{namespace}", metric_name="{metric}"'
    if values:
        code += f", dimensions_map={{{', '.join(f'{chr(34)}{it}{chr(34)}: {of}' for it, of, _ in values)}}}"
    items = [f"{{Name: {name}, Value: {value}}}" for name, _, value in values]
    # Items that are more than AWS emits are removed, not only written over.
    dimensions = ", ".join([*items, *["{Ref: AWS::NoValue}"] * (replaced - len(items))])
    yaml = (
        f"Namespace: {namespace}\nMetricName: {metric}\n"
        f"Dimensions: {f'[{dimensions}]' if values else '{Ref: AWS::NoValue}'}"
    )
    if query is not None:
        # The queries before it are merged with nothing.
        nothing = "{}, " * query
        flow = ", ".join(yaml.splitlines())
        yaml = f"Metrics: [{nothing}{{MetricStat: {{Metric: {{{flow}}}}}}}]"
    return set_properties(f"metric={code})", yaml)


class _MetricRule(Rule):
    remediations: ClassVar = {ALARM: _metric_fix("AWS/Lambda", "Errors")}

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix with the metric that the alarm was meant to have."""
        namespace, replaced, metric = finding.value.split(" ", 2)
        _, _, query = finding.property_path.partition("/Metrics/")
        index = int(query.split("/")[0]) if query else None
        return _metric_fix(namespace, metric, index, int(replaced))


class AlarmDimensions(_MetricRule):
    """Reports alarms on a metric of a resource without the resource."""

    id = "IOT_09_ALARM_DIMENSIONS"
    info = "Every alarm on an AWS metric has dimensions that identify the resource."
    explanation = (
        "AWS does not emit the metric without dimensions, so the alarm never receives data."
    )
    source_url = f"{_GUIDE}/cloudwatch_concepts.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find metrics without dimensions that AWS emits only with them."""
        for branches in pipeline.alarms.alternatives():
            if all(it.dimensions == {} and not it.can_receive_data() for it in branches):
                metric = branches[0]
                path = f"{metric.property_path}/Dimensions"
                name = f"{metric.namespace} {metric.metric}"
                detail = f"{name} without dimensions never receives data; {_emitted_as(metric)}"
                yield self.finding(metric.alarm, detail, path, _value(metric))


class EmittedMetric(_MetricRule):
    """Reports alarms on metrics that AWS does not emit, or not with these dimensions."""

    id = "IOT_10_EMITTED_METRIC"
    info = "Every alarm on an AWS metric uses a metric and dimensions that AWS emits."
    explanation = (
        "An alarm on a metric that does not exist, such as UserErrors of one table, never receives "
        "data."
    )
    source_url = f"{_GUIDE}/aws-services-cloudwatch-metrics.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find metrics that never have data."""
        for branches in pipeline.alarms.alternatives():
            metric, *others = branches
            detail = _never_emitted(metric)
            if detail is not None and all(_never_emitted(it) is not None for it in others):
                yield self.finding(metric.alarm, detail, metric.property_path, _value(metric))


def _never_emitted(metric: AlarmMetric) -> str | None:
    """Return why AWS does not emit the metric; None if it does, or if it is unknown."""
    namespace, name = metric.namespace, metric.metric
    if namespace is None or name is None:
        return None
    if is_unknown_metric(namespace, name):
        near = closest_metric_name(namespace, name)
        meant = f"; did you mean {near}?" if near is not None else ""
        return f"{namespace} has no metric {name!r}{meant}"
    if not metric.dimensions or metric.can_receive_data():
        return None
    given = ", ".join(sorted(metric.dimensions))
    return f"{namespace} {name} by {given} never receives data; {_emitted_as(metric)}"


def _value(metric: AlarmMetric) -> str:
    """Return what the fix needs: namespace, number of dimensions and name."""
    return f"{metric.namespace} {len(metric.dimensions or ())} {metric.metric}"


def _emitted_as(metric: AlarmMetric) -> str:
    known = emitted(metric.namespace or "", metric.metric or "")
    assert known is not None
    return f"AWS emits it {_alternatives(known.dimension_sets)} ({known.page})"


def _alternatives(dimension_sets: frozenset[DimensionNames]) -> str:
    texts = sorted(f"by {', '.join(sorted(it))}" if it else "" for it in dimension_sets)
    return " or ".join(text or "without dimensions" for text in texts)


RULES: Final = (AlarmDimensions(), EmittedMetric())
