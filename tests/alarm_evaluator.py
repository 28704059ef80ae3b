"""What CloudWatch would make of data points: the state of an alarm, after the rules in AWS's user guide.

For what the emulator leaves out: it looks at no dimension, no unit and no missing data, and takes all evaluation
periods for one. The rules are those of "Evaluating an alarm" and "Configuring how CloudWatch alarms treat missing data"
(AmazonCloudWatch/latest/monitoring/alarm-evaluation.html and alarms-and-missing-data.html). Alarms are in the words of
DescribeAlarms. Only what alarms of this library use is known here, and anything else is an error: no metric math, for
one, because no alarm is on any.
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
# "CloudWatch attempts to retrieve a higher number of data points": 5 where 3 are evaluated, in its examples.
_FURTHER_PERIODS: Final = 2


@dataclass(frozen=True)
class DataPoint:
    """One data point as a service publishes it."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    unit: str
    value: float
    time: float
    """Seconds since the epoch."""


def state_of(alarm: Alarm, points: Iterable[DataPoint], now: float) -> str:
    """The alarm's state at ``now``: OK or ALARM."""
    if alarm.get("Metrics"):
        raise ValueError(f"{alarm['AlarmName']} is on metric math: teach this module its functions")
    return _state(alarm, _values(alarm, points, now))


def _values(alarm: Alarm, points: Iterable[DataPoint], now: float) -> list[float | None]:
    """The statistic of each period of the evaluation range, the latest last; None where there is no data."""
    statistic = _STATISTICS[alarm["Statistic"]]
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    periods: list[list[float]] = [[] for _ in range(alarm["EvaluationPeriods"] + _FURTHER_PERIODS)]
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
    """As many real values as are evaluated, the latest ones; where there are fewer, the rest counts as good."""
    if alarm["TreatMissingData"] != "notBreaching":
        raise ValueError(f"TreatMissingData={alarm['TreatMissingData']} is not known here")
    real = [value for value in values if value is not None][-alarm["EvaluationPeriods"] :]
    breaches = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = sum(breaches(value, alarm["Threshold"]) for value in real)
    return ALARM if breaching >= alarm["DatapointsToAlarm"] else OK
