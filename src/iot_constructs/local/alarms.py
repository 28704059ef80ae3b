"""Alarm states, and the metric of the queues.

The emulator's services publish no metrics, so alarms have no data. This module publishes the depth
that SQS reports of each queue, with the dimensions of the alarm. The alarm then goes to ALARM, and so does
the composite alarm.

Limitations: the emulator matches a metric to an alarm by namespace and name and ignores dimensions,
it does not check whether the policy of the topic and its key allow CloudWatch to publish, and it
never evaluates metric math.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iot_constructs.local.emulator import Emulator

QUEUE_NAMESPACE = "AWS/SQS"
QUEUE_DEPTH = "ApproximateNumberOfMessagesVisible"


@dataclass(frozen=True)
class AlarmState:
    """An alarm and its state."""

    name: str
    state: str
    metric: str


def publish_queue_depth(emulator: Emulator, queue_url: str) -> int:
    """Publish the depth of a queue. Returns the depth."""
    attributes = emulator.client("sqs").get_queue_attributes(
        QueueUrl=queue_url,
        # The count made some messages temporarily invisible.
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    depth = sum(int(value) for value in attributes.values())
    emulator.client("cloudwatch").put_metric_data(
        Namespace=QUEUE_NAMESPACE,
        MetricData=[
            {
                "MetricName": QUEUE_DEPTH,
                "Dimensions": [{"Name": "QueueName", "Value": queue_url.rsplit("/", 1)[-1]}],
                "Value": float(depth),
                "Unit": "Count",
            }
        ],
    )
    return depth


def alarm_states(emulator: Emulator) -> list[AlarmState]:
    """Return every alarm of the account, those in ALARM first."""
    order = {"ALARM": 0, "OK": 1, "INSUFFICIENT_DATA": 2}
    pages = (
        emulator.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    )
    states = [
        AlarmState(
            name=alarm["AlarmName"],
            state=alarm["StateValue"],
            metric=_metric(alarm),
        )
        for page in pages
        for alarm in [*page.get("CompositeAlarms", []), *page.get("MetricAlarms", [])]
    ]
    return sorted(states, key=lambda each: (order.get(each.state, 3), each.name))


def _metric(alarm: Mapping[str, Any]) -> str:
    if alarm.get("AlarmRule"):
        return f"{str(alarm['AlarmRule']).count('ALARM(')} other alarms"
    if alarm.get("MetricName"):
        return f"{alarm.get('Namespace')} {alarm['MetricName']}"
    return "metric math"
