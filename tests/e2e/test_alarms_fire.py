"""Every alarm of the deployed example fires, says so in a queue behind the alert topic, and goes out again.

The emulator shows the wiring: metric -> alarm -> alert topic -> queue, and the composite alarm over all. It takes data
of any dimension for an alarm's, lets one that waits for three periods fire in the first, and knows nothing of missing
data. So the same data points go through `alarm_evaluator`, which keeps AWS's rules. An alarm counts as fired when both
say so.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from examples.iot_pipeline.local import deployment as cloudformation
from examples.iot_pipeline.local.deployment import Deployer, alarm_arn, templates
from examples.iot_pipeline.local.emulator import ACCOUNT, REGION, Emulator
from tests.alarm_evaluator import ALARM, OK, Alarm, DataPoint, state_of
from tests.e2e.alarm_data import INCIDENTS, data_points, period_times, put, resource_names

_SUFFIX = "qa7"
_NEW = "INSUFFICIENT_DATA"
_HEALTH = f"iot-pipeline-health-{_SUFFIX}"
# Data points are put this long before the emulator's window leaves them behind: they have to arrive within it, and
# after it they do not keep an alarm from going out.
_MARGIN = 5.0

# The emulator fires all alarms of one metric at once, whatever their dimensions: those of the second table come later.
_SECOND_TABLE = ("iot-dynamodb-state-throttling", "iot-dynamodb-state-read-throttling")
# Its window is three periods, of which the last two outlast the test: it fires last and goes out with the emulator.
_LASTING = ("iot-lambda-failed-events",)
_FIRST = tuple(stem for stem in INCIDENTS if stem not in (*_SECOND_TABLE, *_LASTING))


@dataclass(frozen=True)
class Message:
    """What arrived in the queue: which alarm is now in which state."""

    alarm: str
    state: str
    description: str
    topic: str


@dataclass(frozen=True)
class Step:
    """The data points of one alarm, put."""

    time: float
    points: list[DataPoint]
    before: dict[str, str]
    after: dict[str, str]
    by_the_rules: dict[str, str]
    """What AWS would say after all data points of this wave."""

    def changed(self) -> dict[str, str]:
        """The alarms that the emulator changed, and to what."""
        return {name: state for name, state in self.after.items() if self.before[name] != state}


@dataclass
class Run:
    """All that was seen."""

    in_template: list[str]
    """Names of the alarms in the template that was synthesized, the composite one included."""
    alarms: dict[str, Alarm]
    """As they are deployed, in the words of DescribeAlarms."""
    composite: dict[str, Any]
    alert_topic: str
    new: dict[str, str]
    """States before any data."""
    good_at_first: dict[str, Step] = field(default_factory=dict)
    """By the alarm's name without the suffix, like the two that follow."""
    breaching: dict[str, Step] = field(default_factory=dict)
    good_again: dict[str, Step] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def steps(self) -> list[Step]:
        """All of them."""
        phases = (self.good_at_first, self.breaching, self.good_again)
        return [step for phase in phases for step in phase.values()]

    def said(self, name: str) -> list[str]:
        """The states of one alarm in the order of its messages."""
        return [message.state for message in self.messages if message.alarm == name]


def _name(stem: str) -> str:
    return f"{stem}-{_SUFFIX}"


class _Watcher:
    """Puts data, looks at the alarms, and reads the queue."""

    def __init__(self, emulator: Emulator, run: Run, names: Mapping[str, str], queue: str) -> None:
        self._cloudwatch = emulator.client("cloudwatch")
        self._sqs = emulator.client("sqs")
        self._run, self._names, self._queue = run, names, queue
        self._wave: list[DataPoint] = []

    def put_for(self, stem: str, *, breaching: bool) -> Step:
        """Data at the threshold of one alarm, or just below it, in every period that it looks at."""
        alarm = self._run.alarms[_name(stem)]
        before = states(self._cloudwatch)
        value = alarm["Threshold"] - (0 if breaching else 1)
        now = time.time()
        points = data_points(INCIDENTS[stem], self._names, value, period_times(alarm, now, _MARGIN))
        put(self._cloudwatch, points)
        self._wave += points
        alarms = self._run.alarms.items()
        by_the_rules = {name: state_of(each, self._wave, now) for name, each in alarms}
        return Step(now, points, before, states(self._cloudwatch), by_the_rules)

    def wait_until_forgotten(self) -> None:
        """Until the emulator looks at none of the data points of alarms with one period."""
        time.sleep(_MARGIN + 0.5)

    def begin_wave(self) -> None:
        """As far as AWS's rules go, hours lie between: no data of an earlier wave counts."""
        self._wave = []

    def read_queue(self) -> None:
        """Until it is empty: the emulator delivers while it answers the call that made an alarm change."""
        while True:
            received = self._sqs.receive_message(
                QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
            ).get("Messages", [])
            if not received:
                return
            for each in received:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=each["ReceiptHandle"])
                envelope = json.loads(each["Body"])
                said = json.loads(envelope["Message"])
                self._run.messages.append(
                    Message(
                        said["AlarmName"],
                        said["NewStateValue"],
                        said["AlarmDescription"],
                        envelope["TopicArn"],
                    )
                )


def states(cloudwatch: Any) -> dict[str, str]:
    """The state of every alarm of the account, the composite one included."""
    found = _describe(cloudwatch)
    return {each["AlarmName"]: each["StateValue"] for each in [*found[0], *found[1]]}


def _describe(cloudwatch: Any) -> tuple[list[Any], list[Any]]:
    pages = list(
        cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
    )
    return (
        [each for page in pages for each in page["MetricAlarms"]],
        [each for page in pages for each in page["CompositeAlarms"]],
    )


def _subscribe(emulator: Emulator, topic: str) -> str:
    """A queue that gets what is published to the topic; returns its URL."""
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:on-call"
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    created = emulator.client("sqs").create_queue(
        QueueName="on-call",
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allow]})},
    )
    emulator.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    url: str = created["QueueUrl"]
    return url


@pytest.fixture(scope="module")
def run(emulator: Emulator) -> Run:
    deployer = Deployer(emulator)
    assembly = deployer.prepare(_SUFFIX)
    deployment = deployer.deploy(assembly)
    cloudwatch = emulator.client("cloudwatch")
    alarms, (composite,) = _describe(cloudwatch)
    topic = deployment.output("AlertTopicArn")
    run = Run(
        in_template=[
            resource["Properties"]["AlarmName"]
            for file in templates(assembly).values()
            for resource in json.loads(file.read_text("utf-8"))["Resources"].values()
            if resource["Type"] in (cloudformation.ALARM, cloudformation.COMPOSITE_ALARM)
        ],
        alarms={each["AlarmName"]: each for each in alarms},
        composite=composite,
        alert_topic=topic,
        new=states(cloudwatch),
    )
    queue = _subscribe(emulator, topic)
    watcher = _Watcher(emulator, run, resource_names(emulator, deployment), queue)
    for stem in INCIDENTS:
        run.good_at_first[stem] = watcher.put_for(stem, breaching=False)
    for wave in (_FIRST, _SECOND_TABLE):
        watcher.begin_wave()
        for stem in wave:
            run.breaching[stem] = watcher.put_for(stem, breaching=True)
        watcher.wait_until_forgotten()
        for stem in wave:
            run.good_again[stem] = watcher.put_for(stem, breaching=False)
    watcher.begin_wave()
    for stem in _LASTING:
        run.breaching[stem] = watcher.put_for(stem, breaching=True)
    watcher.read_queue()
    return run


@pytest.fixture(params=list(INCIDENTS))
def stem(request: pytest.FixtureRequest) -> str:
    """Each alarm, by its name without the suffix."""
    name: str = request.param
    return name


def _siblings(run: Run, stem: str) -> set[str]:
    """The alarms on one metric, whose dimensions the emulator does not tell apart; this alarm is one of them."""
    metric = (INCIDENTS[stem].namespace, INCIDENTS[stem].metric)
    return {
        name
        for name, alarm in run.alarms.items()
        if (alarm["Namespace"], alarm["MetricName"]) == metric
    }


def _firing(states: Mapping[str, str]) -> set[str]:
    return {name for name, state in states.items() if state == ALARM}


def test_every_alarm_of_the_template_fired_and_was_heard(run: Run) -> None:
    fired = {
        _name(stem)
        for stem, step in run.breaching.items()
        if step.changed().get(_name(stem)) == step.by_the_rules[_name(stem)] == ALARM
        and ALARM in run.said(_name(stem))
    }
    if run.composite["StateValue"] == OK and ALARM in run.said(_HEALTH):
        fired.add(_HEALTH)
    assert len(run.in_template) == len(set(run.in_template)) > 0
    assert fired == set(run.in_template)


def test_the_deployed_alarms_are_those_of_the_template(run: Run) -> None:
    assert {*run.alarms, run.composite["AlarmName"]} == set(run.in_template)


def test_data_at_the_threshold_fires_it_and_no_other(run: Run, stem: str) -> None:
    step = run.breaching[stem]
    by_the_rules = {
        name: state_of(alarm, step.points, step.time) for name, alarm in run.alarms.items()
    }
    assert _firing(by_the_rules) == {_name(stem)}
    assert step.before[_name(stem)] == OK
    assert step.changed()[_name(stem)] == ALARM
    assert set(step.changed()) <= {*_siblings(run, stem), _HEALTH}


def test_data_just_below_the_threshold_does_not_fire_it(run: Run, stem: str) -> None:
    step = run.good_at_first[stem]
    assert step.after[_name(stem)] == OK
    assert _firing(step.by_the_rules) == _firing(step.after) == set()


def test_it_goes_out_with_good_data(run: Run, stem: str) -> None:
    if stem in _LASTING:  # by the rules alone: the emulator would take ten minutes more
        alarm, fired = run.alarms[_name(stem)], run.breaching[stem]
        later, last = alarm["Period"], fired.points[-1]
        good = replace(last, value=last.value - 1, time=last.time + later)
        assert state_of(alarm, [*fired.points, good], fired.time + later) == OK
        return
    step = run.good_again[stem]
    assert step.before[_name(stem)] == ALARM
    assert step.changed()[_name(stem)] == OK
    assert set(step.changed()) <= {*_siblings(run, stem), _HEALTH}
    assert step.by_the_rules[_name(stem)] == OK


def test_without_data_it_is_out(run: Run, stem: str) -> None:
    """What is declared: no data is good. The emulator leaves an alarm without data as it is: new ones have no state."""
    alarm, step = run.alarms[_name(stem)], run.breaching[stem]
    assert run.new[_name(stem)] == _NEW
    assert alarm["TreatMissingData"] == "notBreaching"
    assert state_of(alarm, [], step.time) == OK
    assert state_of(alarm, step.points, step.time + 86_400) == OK


def test_data_of_another_resource_or_of_none_leaves_it_out(run: Run, stem: str) -> None:
    """On AWS; the emulator takes them for the alarm's."""
    alarm, step = run.alarms[_name(stem)], run.breaching[stem]
    for dimensions in ({}, {INCIDENTS[stem].dimension: "another"}):
        points = [replace(point, dimensions=dimensions) for point in step.points]
        assert state_of(alarm, points, step.time) == OK


def test_it_waits_for_each_of_its_periods(run: Run, stem: str) -> None:
    alarm, step = run.alarms[_name(stem)], run.breaching[stem]
    assert len(step.points) == alarm["EvaluationPeriods"] == (3 if stem in _LASTING else 1)
    assert state_of(alarm, step.points, step.time) == ALARM
    assert state_of(alarm, step.points[1:], step.time) == OK


def test_its_unit_is_that_of_the_data(run: Run, stem: str) -> None:
    """Better none, says the API reference of PutMetricAlarm: a wrong one never gets data."""
    assert run.alarms[_name(stem)].get("Unit") in (None, INCIDENTS[stem].unit)


def test_each_change_is_heard_behind_the_alert_topic(run: Run, stem: str) -> None:
    name = _name(stem)
    waves = 2 if len(_siblings(run, stem)) > 1 else 1
    expected = [OK, ALARM] if stem in _LASTING else [OK, *[ALARM, OK] * waves]
    assert run.said(name) == expected
    for message in run.messages:
        if message.alarm == name:
            assert message.topic == run.alert_topic
            assert message.description == run.alarms[name]["AlarmDescription"]
            assert " First: " in message.description


def test_nothing_else_is_heard(run: Run) -> None:
    assert {message.alarm for message in run.messages} == set(run.in_template)


def test_the_composite_alarm_is_over_all_and_follows_each(run: Run) -> None:
    over = re.findall(r'ALARM\("?([^")]+)"?\)', run.composite["AlarmRule"])
    assert sorted(over) == sorted(map(alarm_arn, run.alarms))
    assert run.composite["AlarmName"] == _HEALTH
    for step in run.steps():
        any_fires = bool(_firing(step.after) - {_HEALTH})
        assert step.after[_HEALTH] == (ALARM if any_fires else OK)
    assert run.said(_HEALTH) == [ALARM, OK, ALARM, OK, ALARM]
    (said, *_) = [message for message in run.messages if message.alarm == _HEALTH]
    assert (said.topic, said.description) == (run.alert_topic, run.composite["AlarmDescription"])
