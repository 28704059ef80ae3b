"""Evaluates the state of a CloudWatch alarm from data points.

The emulator ignores dimensions, units, and missing data, and treats all evaluation periods as one. This module follows
AmazonCloudWatch/latest/monitoring/alarm-evaluation.html and alarms-and-missing-data.html. Alarms have the format of
DescribeAlarms. It supports only what the library's alarms use. Anything else, such as metric math, is an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Alarm = Mapping[str, Any]

ALARM, OK = "ALARM", "OK"

_STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {"Sum": sum, "Maximum": max}
_COMPARISONS: Final = {"GreaterThanOrEqualToThreshold": operator.ge}
# "CloudWatch attempts to retrieve a higher number of data points": in the guide's examples, 5 for 3 periods.
_ADDITIONAL_PERIODS: Final = 2


@dataclass(frozen=True)
class DataPoint:
    """A data point of a service."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    unit: str
    value: float
    time: float
    """Seconds since the epoch."""


def evaluate_alarm(alarm: Alarm, points: Iterable[DataPoint], now: float) -> str:
    """Return the alarm's state at ``now``: OK or ALARM."""
    if alarm.get("Metrics"):
        raise ValueError(f"{alarm['AlarmName']} uses metric math, which is not supported")
    return _state(alarm, _values(alarm, points, now))


def _values(alarm: Alarm, points: Iterable[DataPoint], now: float) -> list[float | None]:
    """Return the statistic of each period in the evaluation range, the latest last. None: no data."""
    statistic = _STATISTICS[alarm["Statistic"]]
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    periods: list[list[float]] = [
        [] for _ in range(alarm["EvaluationPeriods"] + _ADDITIONAL_PERIODS)
    ]
    for point in points:
        ago = int((now - point.time) // alarm["Period"])
        if (
            (point.namespace, point.metric) == (alarm["Namespace"], alarm["MetricName"])
            and point.dimensions == dimensions
            and alarm.get("Unit") in (None, point.unit)
            and 0 <= ago < len(periods)
        ):
            periods[-1 - ago].append(point.value)
    return [statistic(values) if values else None for values in periods]


def _state(alarm: Alarm, values: Sequence[float | None]) -> str:
    """Evaluate the latest available values. Missing ones count as not breaching."""
    if alarm["TreatMissingData"] != "notBreaching":
        raise ValueError(f"TreatMissingData={alarm['TreatMissingData']} is not supported")
    real = [value for value in values if value is not None][-alarm["EvaluationPeriods"] :]
    breaches = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = sum(breaches(value, alarm["Threshold"]) for value in real)
    return ALARM if breaching >= alarm["DatapointsToAlarm"] else OK
