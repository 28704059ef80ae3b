"""IOT_09 and IOT_10: alarms use metrics and dimensions that AWS emits."""

from __future__ import annotations

from collections.abc import Iterator

from iot_constructs.rules.alarm_metrics import AlarmMetric
from iot_constructs.rules.metric_catalogue import (
    DimensionNames,
    closest_metric_name,
    emitted,
    is_unknown_metric,
)
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding

DIMENSIONS = "IOT_09_ALARM_DIMENSIONS"
EMITTED = "IOT_10_EMITTED_METRIC"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find alarms that never receive data."""
    for metric in pipeline.alarms.metrics:
        if metric.namespace is None or metric.metric is None:
            continue
        if is_unknown_metric(metric.namespace, metric.metric):
            near = closest_metric_name(metric.namespace, metric.metric)
            meant = f"; did you mean {near}?" if near is not None else ""
            yield _finding(
                EMITTED, metric, f"{metric.namespace} has no metric {metric.metric!r}{meant}"
            )
            continue
        known = emitted(metric.namespace, metric.metric)
        if known is None or metric.dimensions is None or known.has(metric.dimensions):
            continue
        name = f"{metric.namespace} {metric.metric}"
        emitted_as = f"AWS emits it {_alternatives(known.dimension_sets)} ({known.page})"
        if not metric.dimensions:
            yield _finding(
                DIMENSIONS, metric, f"{name} without dimensions never receives data; {emitted_as}"
            )
        else:
            given = ", ".join(sorted(metric.dimensions))
            yield _finding(EMITTED, metric, f"{name} by {given} never receives data; {emitted_as}")


def _finding(rule: str, metric: AlarmMetric, detail: str) -> Finding:
    alarm = metric.alarm
    property_path = metric.property_path
    if rule == DIMENSIONS:
        property_path += "/Dimensions"
    return Finding(rule, alarm.template.path, alarm.logical_id, detail, property_path)


def _alternatives(dimension_sets: frozenset[DimensionNames]) -> str:
    texts = sorted(f"by {', '.join(sorted(it))}" if it else "" for it in dimension_sets)
    return " or ".join(text or "without dimensions" for text in texts)
