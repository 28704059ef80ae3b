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


# alarms-and-missing-data.html, column NOT BREACHING. The last data point is the latest, and "-" is missing.
@pytest.mark.parametrize(
    ("of_three", "data", "state"),
    [
        (3, "0-X-X", "OK"),
        (3, "0----", "OK"),
        (3, "-----", "OK"),
        (3, "0XX-X", "ALARM"),
        (3, "--X--", "OK"),
        (2, "0-X-X", "ALARM"),
        (2, "00X0X", "ALARM"),
        (2, "0-X--", "OK"),
        (2, "----0", "OK"),
        (2, "---X-", "OK"),
    ],
)
def test_aws_tables_of_missing_data(of_three: int, data: str, state: str) -> None:
    values = {"0": 0, "X": 2}
    points = [
        _point(values[each], len(data) - 1 - index)
        for index, each in enumerate(data)
        if each != "-"
    ]
    assert evaluate_alarm({**_ALARM, "DatapointsToAlarm": of_three}, points, _NOW) == state


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
        {"Metrics": [{"Expression": "FILL(m1, 0)"}]},
    ],
)
def test_unsupported_settings_are_errors(other: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        evaluate_alarm({**_ONE, **other}, [_point(9)], _NOW)
