"""Publishes the CloudWatch metrics of a mapping and its function.

Metrics: lambda/latest/dg/monitoring-metrics-types.html. The event count metrics have the dimension
EventSourceMappingUUID and require EventCount in MetricsConfig. The other metrics have the dimension
FunctionName.

The emulator already publishes Invocations, Errors, Throttles, and Duration for each invocation
(ministack 1.5.33, which counts a throttle twice and also as an invocation), so this module does not
publish those.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

NAMESPACE = "AWS/Lambda"

POLLED = "PolledEventCount"
INVOKED = "InvokedEventCount"
FAILED_INVOKE = "FailedInvokeEventCount"
DROPPED = "DroppedEventCount"
DELIVERED = "OnFailureDestinationDeliveredEventCount"
EVENT_COUNTS = (POLLED, INVOKED, FAILED_INVOKE, DROPPED, DELIVERED)

ITERATOR_AGE = "IteratorAge"
DELIVERY_FAILURES = "DestinationDeliveryFailures"
INVOCATIONS, ERRORS, THROTTLES, DURATION = "Invocations", "Errors", "Throttles", "Duration"
EMULATOR_METRICS = (INVOCATIONS, ERRORS, THROTTLES, DURATION)

# PutMetricData accepts 1000 metrics per call, each with up to 150 unique values.
DATA_PER_CALL = 1000
VALUES_PER_DATUM = 150


class Metrics:
    """Collects values and publishes them in batches. Thread-safe."""

    def __init__(self, *, function_name: str, mapping_uuid: str, event_counts: bool) -> None:
        self._function = [{"Name": "FunctionName", "Value": function_name}]
        self._mapping = [{"Name": "EventSourceMappingUUID", "Value": mapping_uuid}]
        self._excluded = {*EMULATOR_METRICS, *(() if event_counts else EVENT_COUNTS)}
        self._values: defaultdict[str, Counter[float]] = defaultdict(Counter)
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, name: str, value: float) -> None:
        """Record one value."""
        with self._lock:
            self._totals[name] += value
            if name not in self._excluded:
                self._values[name][float(value)] += 1

    @property
    def totals(self) -> Mapping[str, float]:
        """The sum of all values of each metric, published or not."""
        with self._lock:
            return dict(self._totals)

    def publish(self, cloudwatch: Any, now: float) -> None:
        """Publish the values since the last call. Keeps them if the call fails."""
        with self._lock:
            values, self._values = self._values, defaultdict(Counter)
        data = [datum for name in values for datum in self._data(name, values[name], now)]
        try:
            while data:
                cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data[:DATA_PER_CALL])
                del data[:DATA_PER_CALL]
        except Exception:
            self._put_back(data)
            raise

    def _data(self, name: str, values: Counter[float], now: float) -> Iterator[dict[str, Any]]:
        pairs = list(values.items())
        for start in range(0, len(pairs), VALUES_PER_DATUM):
            part = pairs[start : start + VALUES_PER_DATUM]
            yield {
                "MetricName": name,
                "Dimensions": self._mapping if name in EVENT_COUNTS else self._function,
                "Timestamp": now,
                "Unit": "Milliseconds" if name == ITERATOR_AGE else "Count",
                "Values": [value for value, _ in part],
                "Counts": [float(count) for _, count in part],
            }

    def _put_back(self, data: list[dict[str, Any]]) -> None:
        with self._lock:
            for datum in data:
                for value, count in zip(datum["Values"], datum["Counts"], strict=True):
                    self._values[datum["MetricName"]][value] += int(count)
