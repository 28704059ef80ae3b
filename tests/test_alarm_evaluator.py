"""The evaluator against the tables and sentences of AWS's user guide."""

from __future__ import annotations

from typing import Any

import pytest

from tests.alarm_evaluator import DataPoint, state_of

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


# alarms-and-missing-data.html: the column NOT BREACHING; the latest data point is the last, "-" is a missing one.
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
    assert state_of({**_ALARM, "DatapointsToAlarm": of_three}, points, _NOW) == state


_ONE = {**_ALARM, "EvaluationPeriods": 1, "DatapointsToAlarm": 1}


def test_a_period_is_one_value() -> None:
    assert state_of(_ONE, [_point(1), _point(1)], _NOW) == "ALARM"
    assert state_of(_ONE, [_point(1), _point(1, 1)], _NOW) == "OK"
    assert state_of({**_ONE, "Statistic": "Maximum"}, [_point(1), _point(1)], _NOW) == "OK"
    assert state_of({**_ONE, "Statistic": "Maximum"}, [_point(2), _point(1)], _NOW) == "ALARM"


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
def test_data_that_is_not_the_alarms_does_not_count(other: dict[str, Any]) -> None:
    assert state_of(_ONE, [_point(9)], _NOW) == "ALARM"
    assert state_of(_ONE, [_point(9, **other)], _NOW) == "OK"


def test_a_unit_counts_where_the_alarm_has_one() -> None:
    assert state_of({**_ONE, "Unit": "Count"}, [_point(9)], _NOW) == "ALARM"
    assert state_of({**_ONE, "Unit": "Seconds"}, [_point(9)], _NOW) == "OK"


@pytest.mark.parametrize(
    "other",
    [
        {"TreatMissingData": "breaching"},
        {"ComparisonOperator": "LessThanThreshold"},
        {"Statistic": "Average"},
        {"Metrics": [{"Expression": "FILL(m1, 0)"}]},
    ],
)
def test_what_it_does_not_know_is_said(other: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        state_of({**_ONE, **other}, [_point(9)], _NOW)
