"""Evaluates the state of a CloudWatch alarm from data points.

The emulator ignores dimensions, units, and missing data, treats all evaluation periods as one, and never evaluates
metric math. This module follows alarm-evaluation.html, alarms-and-missing-data.html, using-metric-math.html and
cloudwatch-metrics-insights-querylanguage.html of AmazonCloudWatch/latest/monitoring. Alarms have the format of
DescribeAlarms. It supports only what the library's alarms use. Anything else is an error.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Alarm = Mapping[str, Any]
Series = list[float | None]
"""The value of each period in the evaluation range, the latest last. None: no data."""

ALARM, OK, NEW = "ALARM", "OK", "INSUFFICIENT_DATA"

_STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {"Sum": sum, "Maximum": max}
_COMPARISONS: Final = {"GreaterThanOrEqualToThreshold": operator.ge}
_ARITHMETIC: Final = {ast.Add: operator.add, ast.Mult: operator.mul}
_QUERY: Final = re.compile(r"SELECT SUM\((\w+)\) FROM \"([\w/]+)\" WHERE (\w+) = '([^']+)'")
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


@dataclass(frozen=True)
class _Range:
    """The data points of the evaluation range."""

    points: Sequence[DataPoint]
    now: float
    period: int
    """Seconds."""
    periods: int

    def series(self, statistic: str, matches: Callable[[DataPoint], bool]) -> Series:
        values: list[list[float]] = [[] for _ in range(self.periods)]
        for point in self.points:
            ago = int((self.now - point.time) // self.period)
            if 0 <= ago < self.periods and matches(point):
                values[-1 - ago].append(point.value)
        return [_STATISTICS[statistic](each) if each else None for each in values]


def evaluate_alarm(
    alarm: Alarm,
    points: Iterable[DataPoint],
    now: float,
    *,
    state: str = NEW,
    dynamodb_ignores_missing_data: bool = False,
) -> str:
    """Return the alarm's state at ``now``.

    Args:
        alarm: the alarm.
        points: the data points of all metrics.
        now: seconds since the epoch.
        state: the alarm's state before.
        dynamodb_ignores_missing_data: whether an alarm on a metric of DynamoDB ignores missing data whatever its
            TreatMissingData says: AWS's pages disagree on it.
    """
    queries = alarm.get("Metrics") or []
    data = _Range(
        list(points), now, alarm_period(alarm), alarm["EvaluationPeriods"] + _ADDITIONAL_PERIODS
    )
    values = _math(queries, data) if queries else _metric(alarm, alarm["Statistic"], data)
    on_dynamodb = "AWS/DynamoDB" in {namespace for namespace, _ in alarm_metrics(alarm)}
    return _state(alarm, values, state, ignore=on_dynamodb and dynamodb_ignores_missing_data)


def alarm_metrics(alarm: Alarm) -> set[tuple[str, str]]:
    """Return the namespace and the name of each metric of an alarm."""
    metrics = [metric for metric, _ in metrics_with_dimensions(alarm)]
    expressions = [each.get("Expression", "") for each in alarm.get("Metrics") or []]
    queries = [found for each in expressions if (found := _QUERY.fullmatch(each)) is not None]
    return {
        *((each["Namespace"], each["MetricName"]) for each in metrics),
        *((each[2], each[1]) for each in queries),
    }


def metrics_with_dimensions(alarm: Alarm) -> list[tuple[Mapping[str, Any], str]]:
    """Return the metrics of an alarm, each with its statistic. A query has none: it matches what it finds."""
    if not alarm.get("Metrics"):
        return [(alarm, alarm["Statistic"])]
    stats = [each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each]
    return [(each["Metric"], each["Stat"]) for each in stats]


def alarm_period(alarm: Alarm) -> int:
    """Return the period of an alarm in seconds; its metrics must have the same one."""
    if not alarm.get("Metrics"):
        return int(alarm["Period"])
    given = [each.get("MetricStat", each).get("Period") for each in alarm["Metrics"]]
    (period,) = {each for each in given if each is not None}
    return int(period)


def _metric(metric: Mapping[str, Any], statistic: str, data: _Range) -> Series:
    dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
    key = (metric["Namespace"], metric["MetricName"], metric.get("Unit"))
    return data.series(
        statistic,
        lambda point: (
            (point.namespace, point.metric) == key[:2]
            and point.dimensions == dimensions
            and key[2] in (None, point.unit)
        ),
    )


def _math(queries: Sequence[Mapping[str, Any]], data: _Range) -> Series:
    (result,) = [each["Expression"] for each in queries if each.get("ReturnData", True)]
    if (query := _QUERY.fullmatch(result)) is not None:
        name, namespace, dimension, value = query.groups()
        return data.series(
            "Sum",
            lambda point: (
                (point.namespace, point.metric) == (namespace, name)
                and point.dimensions.get(dimension) == value
            ),
        )
    series = {
        each["Id"]: _metric(each["MetricStat"]["Metric"], each["MetricStat"]["Stat"], data)
        for each in queries
        if "MetricStat" in each
    }
    expression = ast.parse(result, mode="eval").body
    # Of a series without any data the guide does not say that it is filled in.
    fillable = {name for name, values in series.items() if any(v is not None for v in values)}
    return [
        _value(expression, {name: values[index] for name, values in series.items()}, fillable)
        for index in range(data.periods)
    ]


def _value(node: ast.expr, values: Mapping[str, float | None], fillable: set[str]) -> float | None:
    """Return the value of an expression in one period."""
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            series = [side for side in (left, right) if not isinstance(side, ast.Constant)]
            if all(_value(side, values, fillable) is None for side in series):
                return None
            # "Missing values in a time series are treated as 0."
            a, b = (_value(side, values, fillable) or 0 for side in (left, right))
            return float(_ARITHMETIC[type(op)](a, b))
        case ast.Compare(left=left, ops=[ast.Gt()], comparators=[ast.Constant(value=int(number))]):
            compared = _value(left, values, fillable)
            return None if compared is None else float(compared > number)
        case ast.Call(func=ast.Name(id="FILL"), args=[ast.Name(id=name), ast.Constant(value=0)]):
            return 0 if values[name] is None and name in fillable else values[name]
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
            chosen = _value(condition, values, fillable)
            if chosen is None:
                return None
            return _value(then if chosen else otherwise, values, fillable)
    raise ValueError(f"{ast.unparse(node)} is not supported")


def _state(alarm: Alarm, values: Sequence[float | None], state: str, *, ignore: bool) -> str:
    """Evaluate the latest available values. Missing ones count as not breaching, or keep the state."""
    if alarm["TreatMissingData"] != "notBreaching":
        raise ValueError(f"TreatMissingData={alarm['TreatMissingData']} is not supported")
    real = [value for value in values if value is not None][-alarm["EvaluationPeriods"] :]
    breaches = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = sum(breaches(value, alarm["Threshold"]) for value in real)
    if breaching >= alarm["DatapointsToAlarm"]:
        return ALARM
    return state if ignore and breaching == len(real) else OK
