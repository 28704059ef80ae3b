"""The alarms' states, and the one metric for which this run has a true value.

AWS services publish metrics to CloudWatch, and alarms watch those. The emulator's services publish
none, so every alarm would stay without data. For the depth of the DLQ queue the true value is known
(SQS is asked), so it is published in AWS's stead, under the dimensions that the alarm watches: the
alarm fires, and with it the composite alarm over all.

What that does not show: the emulator matches a metric to an alarm by namespace and name and ignores
the dimensions, so an alarm that fires here proves its wiring and not its dimensions; it does not
ask the alert topic's policy or its key whether CloudWatch may publish; and it never evaluates an
alarm on metric math.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from examples.iot_pipeline.local.emulator import Emulator

QUEUE_NAMESPACE = "AWS/SQS"
QUEUE_DEPTH = "ApproximateNumberOfMessagesVisible"


@dataclass(frozen=True)
class AlarmState:
    """One alarm and what it says."""

    name: str
    state: str
    watches: str
    reason: str


def publish_queue_depth(emulator: Emulator, queue_url: str, depth: int) -> int:
    """Publish the depth of a queue for every alarm that watches it; returns how many do."""
    name = queue_url.rsplit("/", 1)[-1]
    cloudwatch = emulator.client("cloudwatch")
    watching = [
        alarm
        for alarm in _all_alarms(cloudwatch)
        if alarm.get("Namespace") == QUEUE_NAMESPACE
        and alarm.get("MetricName") == QUEUE_DEPTH
        and {"Name": "QueueName", "Value": name} in alarm.get("Dimensions", [])
    ]
    if watching:
        cloudwatch.put_metric_data(
            Namespace=QUEUE_NAMESPACE,
            MetricData=[
                {
                    "MetricName": QUEUE_DEPTH,
                    "Dimensions": [{"Name": "QueueName", "Value": name}],
                    "Value": float(depth),
                    "Unit": "Count",
                }
            ],
        )
    return len(watching)


def alarm_states(emulator: Emulator) -> list[AlarmState]:
    """Every alarm of the account, those that fire first."""
    order = {"ALARM": 0, "OK": 1, "INSUFFICIENT_DATA": 2}
    alarms = _all_alarms(emulator.client("cloudwatch"))
    states = [
        AlarmState(
            name=alarm["AlarmName"],
            state=alarm["StateValue"],
            watches=_watches(alarm),
            reason=alarm.get("StateReason", ""),
        )
        for alarm in alarms
    ]
    return sorted(states, key=lambda each: (order.get(each.state, 3), each.name))


def _all_alarms(cloudwatch: Any) -> Iterable[Mapping[str, Any]]:
    pages = cloudwatch.get_paginator("describe_alarms").paginate(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    return [
        alarm
        for page in pages
        for alarm in [*page.get("CompositeAlarms", []), *page.get("MetricAlarms", [])]
    ]


def _watches(alarm: Mapping[str, Any]) -> str:
    if alarm.get("AlarmRule"):
        return f"{str(alarm['AlarmRule']).count('ALARM(')} other alarms"
    if alarm.get("MetricName"):
        return f"{alarm.get('Namespace')} {alarm['MetricName']}"
    return "metric math"
