"""Metrics are published with the names, dimensions, and units of AWS."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from iot_constructs.local.mapping_metrics import EMULATOR_METRICS, EVENT_COUNTS, Metrics


class CloudWatch:
    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.failing = 0

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        assert Namespace == "AWS/Lambda"
        if self.failing:
            self.failing -= 1
            raise ConnectionError("down")
        self.sizes.append(len(MetricData))
        self.data += MetricData

    def sums(self) -> dict[str, float]:
        sums: Counter[str] = Counter()
        for datum in self.data:
            pairs = zip(datum["Values"], datum["Counts"], strict=True)
            sums[datum["MetricName"]] += sum(value * count for value, count in pairs)
        return dict(sums)


def metrics(*, event_counts: bool = True) -> Metrics:
    return Metrics(function_name="f", mapping_uuid="m", event_counts=event_counts)


ALL = (*EVENT_COUNTS, *EMULATOR_METRICS, "IteratorAge", "DestinationDeliveryFailures")


def published(subject: Metrics) -> dict[str, tuple[str, str, str]]:
    for name in ALL:
        subject.add(name, 3)
    cloudwatch = CloudWatch()
    subject.publish(cloudwatch, 1000.0)
    return {
        each["MetricName"]: (
            each["Dimensions"][0]["Name"],
            each["Dimensions"][0]["Value"],
            each["Unit"],
        )
        for each in cloudwatch.data
    }


def test_each_metric_has_its_dimension_and_unit() -> None:
    assert published(metrics()) == {
        **dict.fromkeys(EVENT_COUNTS, ("EventSourceMappingUUID", "m", "Count")),
        "IteratorAge": ("FunctionName", "f", "Milliseconds"),
        "DestinationDeliveryFailures": ("FunctionName", "f", "Count"),
    }


def test_event_counts_require_the_metrics_config_of_the_mapping() -> None:
    assert not set(EVENT_COUNTS) & set(published(metrics(event_counts=False)))


def test_metrics_of_the_emulator_are_counted_but_not_published() -> None:
    subject = metrics()
    assert not set(EMULATOR_METRICS) & set(published(subject))
    assert set(EMULATOR_METRICS) < set(subject.totals)


def test_values_are_aggregated_without_loss() -> None:
    subject, cloudwatch = metrics(), CloudWatch()
    for value in range(400):
        subject.add("IteratorAge", value)
        subject.add("PolledEventCount", value % 2)
    subject.publish(cloudwatch, 1000.0)
    assert cloudwatch.sizes == [4]  # 150, 150, and 100 unique values, and one datum with two
    assert all(len(each["Values"]) <= 150 for each in cloudwatch.data)
    assert cloudwatch.sums() == {"IteratorAge": 400 * 399 / 2, "PolledEventCount": 200}
    subject.publish(cloudwatch, 1001.0)
    assert cloudwatch.sizes == [4]
    assert subject.totals["PolledEventCount"] == 200


def test_values_are_kept_after_a_failed_call() -> None:
    subject, cloudwatch = metrics(), CloudWatch()
    subject.add("DroppedEventCount", 2)
    cloudwatch.failing = 1
    with pytest.raises(ConnectionError):
        subject.publish(cloudwatch, 1000.0)
    subject.add("DroppedEventCount", 2)
    subject.publish(cloudwatch, 1001.0)
    assert cloudwatch.sums() == {"DroppedEventCount": 4}
