"""The alarms of a whole pipeline as CloudWatch evaluates them: what fires, what does not, and what recovers.

On AWS nothing was seen; ``alarm_evaluator`` follows the guide, and where AWS's pages disagree, both ways are tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from iot_constructs import Severity, _alarms, monitoring
from iot_constructs import _defaults as defaults
from iot_constructs._alarms import AlarmSpec
from tests.alarm_evaluator import ALARM, NEW, OK, Alarm, DataPoint, alarm_period, evaluate_alarm
from tests.e2e.alarm_data import INCIDENTS, Published, data_points
from tests.synth_support import WholePipeline, fresh_stack, resources, template_of

_NOW = 1_800_000_000.0
_MINUTE, _DAY = 60, 86_400
_PERIOD = defaults.ALARM_PERIOD_MINUTES * _MINUTE
_TABLES = [stem for stem, published in INCIDENTS.items() if published.namespace == "AWS/DynamoDB"]
_UNPROCESSED = f"{defaults.NAME_PREFIX}-lambda-unprocessed-records"
_READ_THROTTLING = f"{defaults.NAME_PREFIX}-kinesis-read-throttling"
_ROWS = {
    f"{defaults.NAME_PREFIX}-{row.name}": row
    for value in (*vars(_alarms).values(), *vars(monitoring).values())
    for row in (value if isinstance(value, tuple) else (value,))
    if isinstance(row, AlarmSpec)
}
_LOST = [  # but for records that are not lost yet
    stem
    for stem, row in _ROWS.items()
    if row.severity is Severity.CRITICAL
    and row.id not in ("IteratorAgeAlarm", "UnprocessedRecords")
]
_THROTTLING = [stem for stem, row in _ROWS.items() if "throttl" in row.name and stem not in _LOST]


class _Pipeline:
    """The alarms of the template and data for them. Resources have the names that stand in the template."""

    def __init__(self) -> None:
        stack = fresh_stack("qa7")
        parts = WholePipeline(stack)
        template = template_of(stack)
        self.names: Mapping[str, Any] = parts.watched()
        self.alarms: dict[str, Alarm] = {
            body["Properties"]["AlarmName"].removesuffix("-qa7"): body["Properties"]
            for body in resources(template, "AWS::CloudWatch::Alarm").values()
        }

    def points(self, of: Published, value: float, *times: float) -> list[DataPoint]:
        return data_points(of, self.names, value, times)

    def per_period(self, of: Published, data: str, period: int) -> list[DataPoint]:
        """A digit for each period up to now; "-" is no data."""
        return [
            point
            for ago, digit in enumerate(reversed(data))
            if digit != "-"
            for point in self.points(of, float(digit), _NOW - ago * period - 1)
        ]


@pytest.fixture(scope="module")
def pipeline() -> _Pipeline:
    return _Pipeline()


def _mapping(metric: str) -> Published:
    return Published("AWS/Lambda", metric, "Count", "EventSourceMappingUUID", "mapping")


_ARRIVED, _INVOKED = INCIDENTS[_UNPROCESSED], _mapping("InvokedEventCount")


def _seen(
    alarms: Mapping[str, Alarm],
    points: Iterable[DataPoint],
    seconds: Iterable[float],
    *,
    ignore: bool,
    before: str = NEW,
) -> dict[str, list[str]]:
    """The states of each alarm, evaluated one after the other as CloudWatch does."""
    points = list(points)
    seen: dict[str, list[str]] = {name: [before] for name in alarms}
    for time in seconds:
        for name, alarm in alarms.items():
            state = evaluate_alarm(
                alarm, points, time, state=seen[name][-1], dynamodb_ignores_missing_data=ignore
            )
            seen[name].append(state)
    return seen


# --- nobody is called without a reason


@pytest.mark.parametrize("ignore", [False, True])
def test_no_alarm_without_data(pipeline: _Pipeline, ignore: bool) -> None:
    seen = _seen(pipeline.alarms, [], [_NOW, _NOW + _PERIOD, _NOW + _DAY], ignore=ignore)
    assert [name for name, states in seen.items() if ALARM in states] == []


# Minutes of the first two hours -> the count in them; ages and lengths of queues have a value all the time.
_HARMLESS: Mapping[str, Mapping[int, float]] = {
    "ReadProvisionedThroughputExceeded": dict.fromkeys(range(20, 40), 9),  # both catch up
    "WriteProvisionedThroughputExceeded": dict.fromkeys(range(50, 55), 9),  # the stream adapts
    "WriteThrottleEvents": dict.fromkeys(range(60, 65), 9),  # the table adapts
    "ReadThrottleEvents": {70: 1},
    "Throttles": {72: 5},
    "FailedInvokeEventCount": {75: 3, 80: 3},  # succeeded with the next retry
}
_ALL_THE_TIME: Mapping[str, float] = {
    "GetRecords.IteratorAgeMilliseconds": 90_000,
    "IteratorAge": 90_000,
    "Duration": 20_000,
    "DeliveryToS3.DataFreshness": 310,
    "ApproximateNumberOfMessagesVisible": 0,
    "Errors": 0,
}
_NEVER = {
    *(
        "OnFailureDestinationDeliveredEventCount",
        "DroppedEventCount",
        "DestinationDeliveryFailures",
    ),
    *("AsyncEventsDropped", "NumberOfNotificationsFailed", "RuleMessageThrottled"),
    "ErrorActionFailure",
    "DeviceIdMismatches",
}


@pytest.mark.parametrize("ignore", [False, True])
def test_no_alarm_with_the_data_of_a_working_pipeline(pipeline: _Pipeline, ignore: bool) -> None:
    metrics = {published.metric for published in INCIDENTS.values()} - {_ARRIVED.metric}
    assert metrics == {*_HARMLESS, *_ALL_THE_TIME, *_NEVER}
    start, minutes = _NOW, range(120)
    points = [
        *pipeline.points(_ARRIVED, 30, *(start + each * _MINUTE for each in minutes)),
        # The mapping is enabled some minutes after the rule.
        *pipeline.points(_INVOKED, 30, *(start + each * _MINUTE for each in minutes[12:])),
    ]
    for published in INCIDENTS.values():
        counts = _HARMLESS.get(published.metric, {})
        if published.metric in _ALL_THE_TIME:
            counts = dict.fromkeys(minutes, _ALL_THE_TIME[published.metric])
        for minute, value in counts.items():
            points += pipeline.points(published, value, start + minute * _MINUTE)
    times = [start + each * _MINUTE + 30 for each in range(120 + 60)]
    seen = _seen(pipeline.alarms, points, times, ignore=ignore)
    assert [name for name, states in seen.items() if ALARM in states] == []


def _throttled(pipeline: _Pipeline, stem: str, periods: int, *, ignore: bool = False) -> list[str]:
    """The states of an alarm, evaluated every minute, on so many throttled periods and an hour after them."""
    seconds = [_NOW + each * _MINUTE for each in range(periods * _PERIOD // _MINUTE)]
    points = pipeline.points(INCIDENTS[stem], 1, *seconds)
    times = [_NOW + each * _MINUTE + 30 for each in range(len(seconds) + 60)]
    return _seen({stem: pipeline.alarms[stem]}, points, times, ignore=ignore)[stem]


@pytest.mark.parametrize("stem", _THROTTLING)
def test_throttling_alarms_if_it_goes_on(pipeline: _Pipeline, stem: str) -> None:
    periods = pipeline.alarms[stem]["EvaluationPeriods"]
    assert periods * _PERIOD >= (1800 if stem == _READ_THROTTLING else 900)
    assert ALARM not in _throttled(pipeline, stem, 1)
    assert ALARM not in _throttled(pipeline, stem, periods - 2)
    seen = _throttled(pipeline, stem, periods)
    assert ALARM in seen
    assert seen[-1] == OK


@pytest.mark.parametrize("stem", _LOST)
def test_what_is_lost_alarms_at_once(pipeline: _Pipeline, stem: str) -> None:
    published = INCIDENTS[stem]
    point = pipeline.points(published, 1, _NOW - 1)
    assert evaluate_alarm(pipeline.alarms[stem], point, _NOW) == ALARM


def test_failed_events_wait_for_their_retries(pipeline: _Pipeline) -> None:
    alarm = pipeline.alarms[f"{defaults.NAME_PREFIX}-lambda-failed-events"]
    assert alarm["EvaluationPeriods"] == defaults.FAILED_RECORD_PERIODS > 1


# --- DynamoDB, where AWS's pages disagree about missing data


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize("stem", _TABLES)
def test_a_table_alarm_recovers_whoever_is_right(
    pipeline: _Pipeline, stem: str, ignore: bool
) -> None:
    """DynamoDB emits nothing while nothing is throttled."""
    seen = _throttled(pipeline, stem, defaults.THROTTLING_PERIODS, ignore=ignore)
    assert ALARM in seen
    last = len(seen) - 1 - seen[::-1].index(ALARM)
    assert last * _MINUTE <= (defaults.THROTTLING_PERIODS + 1) * _PERIOD
    alarm = {stem: pipeline.alarms[stem]}
    later = _seen(alarm, [], [_NOW + _DAY], ignore=ignore, before=seen[-1])
    assert {*seen[last + 1 :], *later[stem]} == {OK}


@pytest.mark.parametrize("ignore", [False, True])
def test_a_table_alarm_on_the_plain_metric_would_stay_red(
    pipeline: _Pipeline, ignore: bool
) -> None:
    """The test above can fail."""
    stem = _TABLES[0]
    (stat,) = [e["MetricStat"] for e in pipeline.alarms[stem]["Metrics"] if "MetricStat" in e]
    whole = {k: v for k, v in pipeline.alarms[stem].items() if k != "Metrics"}
    plain = {**whole, **stat["Metric"], "Statistic": stat["Stat"], "Period": stat["Period"]}
    assert alarm_period(plain) == _PERIOD
    points = pipeline.per_period(INCIDENTS[stem], "111", _PERIOD)
    seen = _seen({stem: plain}, points, [_NOW, _NOW + _DAY], ignore=ignore)[stem]
    assert seen == [NEW, ALARM, ALARM if ignore else OK]


# --- records arrive, none is processed

# Each digit is a period of 15 minutes, the last one is the latest.
_CASES: Mapping[str, tuple[str, str, str, str]] = {  # arrived, invoked, filtered out
    "disabled from the first day": ("55", "--", "--", ALARM),
    "stopped": ("5555", "55--", "----", ALARM),
    "some silence between": ("1-1", "---", "---", ALARM),
    "stopped, and nothing arrives any more": ("555---", "5-----", "------", OK),
    "one period": ("55", "5-", "--", OK),
    "processed in the next period": ("1-", "-1", "--", OK),
    "always processed in the next period": ("111", "-11", "---", OK),
    "all filtered out": ("55", "--", "55", OK),
    "all but one filtered out": ("99", "1-", "88", OK),
    "all fail": ("55", "99", "--", OK),  # has alarms of its own
    "idle": ("----", "----", "----", OK),
    "idle with zeros": ("00", "00", "00", OK),
    "working again": ("555", "--9", "---", OK),
    "catching up": ("---", "999", "---", OK),
}


@pytest.mark.parametrize("case", _CASES)
def test_records_arrive_and_none_is_processed(pipeline: _Pipeline, case: str) -> None:
    arrived, invoked, filtered, state = _CASES[case]
    period = defaults.UNPROCESSED_PERIOD_MINUTES * _MINUTE
    points = [
        *pipeline.per_period(_ARRIVED, arrived, period),
        *pipeline.per_period(_INVOKED, invoked, period),
        *pipeline.per_period(_mapping("FilteredOutEventCount"), filtered, period),
    ]
    assert evaluate_alarm(pipeline.alarms[_UNPROCESSED], points, _NOW) == state
