"""The alarm evaluator compared with the examples in the CloudWatch user guide."""

from __future__ import annotations

from typing import Any

import pytest

from tests.alarm_evaluator import DataPoint, evaluate_alarm

_NOW = 1_800_000_000.0
_PERIOD = 300
_ALARM: dict[str, Any] = {
    "AlarmName": "a",
    "Namespace": "AWS/DynamoDB",
    "MetricName": "WriteThrottleEvents",
    "Dimensions": [{"Name": "TableName", "Value": "t"}],
    "Statistic": "Sum",
    "Period": _PERIOD,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 3,
    "Threshold": 2.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
}


def _point(value: float, periods_ago: int = 0, **other: Any) -> DataPoint:
    fields: dict[str, Any] = {
        "namespace": "AWS/DynamoDB",
        "metric": "WriteThrottleEvents",
        "dimensions": {"TableName": "t"},
        "unit": "Count",
        "time": _NOW - periods_ago * _PERIOD - 1,
    }
    return DataPoint(value=value, **{**fields, **other})


def _points(data: str, **other: Any) -> list[DataPoint]:
    """The last data point is the latest, "-" is missing, and X breaches."""
    return [
        _point(2.0 if each == "X" else float(each), len(data) - 1 - index, **other)
        for index, each in enumerate(data)
        if each != "-"
    ]


# alarms-and-missing-data.html, columns NOT BREACHING and IGNORE.
@pytest.mark.parametrize(
    ("of_three", "data", "state", "ignored"),
    [
        (3, "0-X-X", "OK", "OK"),
        (3, "0----", "OK", "OK"),
        (3, "-----", "OK", "kept"),
        (3, "0XX-X", "ALARM", "ALARM"),
        (3, "--X--", "OK", "kept"),
        (2, "0-X-X", "ALARM", "ALARM"),
        (2, "00X0X", "ALARM", "ALARM"),
        (2, "0-X--", "OK", "OK"),
        (2, "----0", "OK", "OK"),
        (2, "---X-", "OK", "kept"),
    ],
)
def test_aws_tables_of_missing_data(of_three: int, data: str, state: str, ignored: str) -> None:
    alarm, points = {**_ALARM, "DatapointsToAlarm": of_three}, _points(data)
    assert evaluate_alarm(alarm, points, _NOW, state="kept") == state
    ignoring = {"state": "kept", "dynamodb_ignores_missing_data": True}
    assert evaluate_alarm(alarm, points, _NOW, **ignoring) == ignored  # type: ignore[arg-type]
    elsewhere = {**alarm, "Namespace": "AWS/Lambda"}
    points = _points(data, namespace="AWS/Lambda")
    assert evaluate_alarm(elsewhere, points, _NOW, **ignoring) == state  # type: ignore[arg-type]


_ONE = {**_ALARM, "EvaluationPeriods": 1, "DatapointsToAlarm": 1}


def test_each_period_has_one_value() -> None:
    assert evaluate_alarm(_ONE, [_point(1), _point(1)], _NOW) == "ALARM"
    assert evaluate_alarm(_ONE, [_point(1), _point(1, 1)], _NOW) == "OK"
    assert evaluate_alarm({**_ONE, "Statistic": "Maximum"}, [_point(1), _point(1)], _NOW) == "OK"
    assert evaluate_alarm({**_ONE, "Statistic": "Maximum"}, [_point(2), _point(1)], _NOW) == "ALARM"


@pytest.mark.parametrize(
    "other",
    [
        {"namespace": "AWS/Lambda"},
        {"metric": "ReadThrottleEvents"},
        {"dimensions": {}},
        {"dimensions": {"TableName": "another"}},
        {"dimensions": {"TableName": "t", "Operation": "PutItem"}},
        {"time": _NOW - 3 * _PERIOD - 1},
        {"time": _NOW + 1},
    ],
)
def test_other_data_is_ignored(other: dict[str, Any]) -> None:
    assert evaluate_alarm(_ONE, [_point(9)], _NOW) == "ALARM"
    assert evaluate_alarm(_ONE, [_point(9, **other)], _NOW) == "OK"


def test_the_unit_must_match_if_the_alarm_has_one() -> None:
    assert evaluate_alarm({**_ONE, "Unit": "Count"}, [_point(9)], _NOW) == "ALARM"
    assert evaluate_alarm({**_ONE, "Unit": "Seconds"}, [_point(9)], _NOW) == "OK"


@pytest.mark.parametrize(
    "other",
    [
        {"TreatMissingData": "breaching"},
        {"ComparisonOperator": "LessThanThreshold"},
        {"Statistic": "Average"},
        {"Metrics": [{"Expression": "FILL(m1, 0)", "Period": _PERIOD}]},
        {"Metrics": [{"Expression": "SELECT AVG(Errors) FROM x", "Period": _PERIOD}]},
    ],
)
def test_unsupported_settings_are_errors(other: dict[str, Any]) -> None:
    with pytest.raises((KeyError, SyntaxError, ValueError)):
        evaluate_alarm({**_ONE, **other}, [_point(9)], _NOW)


def _math(expression: str, *names: str) -> dict[str, Any]:
    """An alarm on 1 of an expression over the metrics called like their ids, in the latest of three periods."""
    queries: list[dict[str, Any]] = [{"Id": "e", "Expression": expression}]
    for name in names:
        metric = {"Namespace": "N", "MetricName": name, "Dimensions": []}
        stat = {"Metric": metric, "Stat": "Sum", "Period": _PERIOD}
        queries.append({"Id": name, "MetricStat": stat, "ReturnData": False})
    kept = ("AlarmName", "ComparisonOperator", "TreatMissingData")
    return {
        **{key: _ALARM[key] for key in kept},
        "Metrics": queries,
        **{"EvaluationPeriods": 1, "DatapointsToAlarm": 1, "Threshold": 1.0},
    }


# using-metric-math.html: arithmetic takes a missing value as 0, FILL fills it in, IF drops a period without condition.
@pytest.mark.parametrize(
    ("expression", "data", "state"),
    [
        ("FILL(a, 0)", {"a": "2"}, "ALARM"),
        ("FILL(a, 0)", {"a": "2-"}, "OK"),  # the latest value is 0, and not the one before
        ("IF(a > 0, 0, b)", {"a": "-", "b": "2"}, "OK"),  # no condition, no value
        ("IF(a > 0, 0, b)", {"a": "0", "b": "2"}, "ALARM"),
        ("IF(a > 0, 0, b)", {"a": "1", "b": "2"}, "OK"),
        ("IF(0 * b + a > 0, 0, b)", {"a": "-", "b": "2"}, "ALARM"),
        ("IF(0 * b + a > 0, 0, b)", {"a": "1", "b": "2"}, "OK"),
        ("IF(0 * b + a > 0, 0, b)", {"a": "-1", "b": "2-"}, "OK"),
        ("a + b", {"a": "-", "b": "1"}, "ALARM"),
        ("2 * a", {"a": "1-"}, "ALARM"),  # a missing value stays one: the value before counts
    ],
)
def test_metric_math(expression: str, data: dict[str, str], state: str) -> None:
    points = [
        point
        for name, values in data.items()
        for point in _points(values, namespace="N", metric=name, dimensions={})
    ]
    assert evaluate_alarm(_math(expression, *data), points, _NOW) == state


@pytest.mark.parametrize("expression", ["RATE(a)", "a - a", "a < 1", "FILL(a, 1)", "a.b"])
def test_other_metric_math_is_an_error(expression: str) -> None:
    with pytest.raises(ValueError, match="is not supported"):
        evaluate_alarm(_math(expression, "a"), [], _NOW)


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({}, "ALARM"),
        ({"dimensions": {"RuleName": "r", "ActionType": "Another"}}, "ALARM"),
        ({"dimensions": {"RuleName": "another", "ActionType": "Sns"}}, "OK"),
        ({"dimensions": {"ActionType": "Sns"}}, "OK"),
        ({"metric": "Failure"}, "OK"),
        ({"namespace": "AWS/Lambda"}, "OK"),
    ],
)
def test_a_metrics_insights_query(other: dict[str, Any], state: str) -> None:
    alarm = _math("SELECT SUM(ErrorActionFailure) FROM \"AWS/IoT\" WHERE RuleName = 'r'")
    alarm["Metrics"][0]["Period"] = _PERIOD
    found = {"namespace": "AWS/IoT", "metric": "ErrorActionFailure"}
    dimensions = {"RuleName": "r", "ActionType": "Sns"}
    point = _point(1, **{**found, "dimensions": dimensions, **other})
    assert evaluate_alarm(alarm, [point], _NOW) == state
