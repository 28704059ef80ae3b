"""Every alarm of the deployed example goes to ALARM, notifies a queue through the alert topic, and returns to OK.

The emulator verifies the path: metric, alarm, alert topic, queue, and composite alarm. It ignores dimensions, the
number of evaluation periods, and missing data, so `alarm_evaluator` evaluates the same data points with AWS's rules. A
test requires both results. The emulator does not evaluate metric math and does not even keep it: there, the state that
`alarm_evaluator` finds is set with SetAlarmState, and the emulator verifies only the path from the alarm on.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from iot_constructs.local import deployment as cloudformation
from iot_constructs.local.deployment import (
    Deployer,
    Deployment,
    alarm_arn,
    alarm_request,
    templates,
)
from iot_constructs.local.emulator import ACCOUNT, REGION, Emulator
from tests.alarm_evaluator import ALARM, NEW, OK, Alarm, DataPoint, evaluate_alarm
from tests.e2e.alarm_data import INCIDENTS, data_points, period_times, put, resource_names
from tests.e2e.programs import EXAMPLE

_SUFFIX = "qa7"
_HEALTH = f"iot-pipeline-health-{_SUFFIX}"
# The time until the data points leave the emulator's evaluation window. They must arrive within the window, and they
# must not keep an alarm in ALARM after it.
_MARGIN = 5.0


@dataclass(frozen=True)
class Message:
    """A state change of an alarm, received by the queue."""

    alarm: str
    state: str
    description: str
    topic: str


@dataclass(frozen=True)
class Step:
    """The published data points of one alarm and the states before and after."""

    time: float
    points: list[DataPoint]
    before: dict[str, str]
    after: dict[str, str]
    evaluated: dict[str, str]
    """The states according to `alarm_evaluator` after all data points of this wave."""

    def changed(self) -> dict[str, str]:
        """Return the new states of the alarms that changed in the emulator."""
        return {name: state for name, state in self.after.items() if self.before[name] != state}


@dataclass
class Run:
    """The observations of the test run."""

    in_template: list[str]
    """The names of the alarms in the template, including the composite alarm."""
    alarms: dict[str, Alarm]
    """The deployed alarms in the format of DescribeAlarms, with their metric math."""
    composite: dict[str, Any]
    alert_topic: str
    new: dict[str, str]
    """The states before any data."""
    ok_before: dict[str, Step] = field(default_factory=dict)
    """By alarm name without the suffix, like the next two attributes."""
    breaching: dict[str, Step] = field(default_factory=dict)
    ok_after: dict[str, Step] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def lasts(self, stem: str) -> bool:
        """Return whether the emulator's window of an alarm exceeds the duration of the test.

        Such an alarm is triggered last and does not return to OK.
        """
        alarm = self.alarms[_name(stem)]
        return alarm["EvaluationPeriods"] > 1 and not alarm.get("Metrics")

    def steps(self) -> list[Step]:
        """Return the steps of all phases."""
        phases = (self.ok_before, self.breaching, self.ok_after)
        return [step for phase in phases for step in phase.values()]

    def notified_states(self, name: str) -> list[str]:
        """Return the states of an alarm in the order of its messages."""
        return [message.state for message in self.messages if message.alarm == name]


def _name(stem: str) -> str:
    return f"{stem}-{_SUFFIX}"


class _Watcher:
    """Publishes data, observes the alarms, and reads the queue."""

    def __init__(self, emulator: Emulator, run: Run, names: Mapping[str, str], queue: str) -> None:
        self._cloudwatch = emulator.client("cloudwatch")
        self._sqs = emulator.client("sqs")
        self._run, self._names, self._queue = run, names, queue
        self._wave: list[DataPoint] = []

    def put_for(self, stem: str, *, breaching: bool) -> Step:
        """Publish data at the threshold of an alarm, or just below it, for each evaluation period."""
        alarm = self._run.alarms[_name(stem)]
        before = states(self._cloudwatch)
        value = alarm["Threshold"] - (0 if breaching else 1)
        now = time.time()
        points = data_points(INCIDENTS[stem], self._names, value, period_times(alarm, now, _MARGIN))
        put(self._cloudwatch, points)
        self._wave += points
        alarms = self._run.alarms.items()
        evaluated = {name: evaluate_alarm(each, self._wave, now) for name, each in alarms}
        if alarm.get("Metrics"):
            self._cloudwatch.set_alarm_state(
                AlarmName=_name(stem),
                StateValue=evaluated[_name(stem)],
                StateReason="the emulator does not evaluate metric math",
            )
        return Step(now, points, before, states(self._cloudwatch), evaluated)

    def wait_until_outdated(self) -> None:
        """Wait until the data points have left the emulator's window of alarms with one period."""
        time.sleep(_MARGIN + 0.5)

    def begin_wave(self) -> None:
        """Ignore the data of earlier waves in the evaluation."""
        self._wave = []

    def read_queue(self) -> None:
        """Read until the queue is empty. The emulator delivers messages synchronously."""
        while True:
            received = self._sqs.receive_message(
                QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
            ).get("Messages", [])
            if not received:
                return
            for each in received:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=each["ReceiptHandle"])
                envelope = json.loads(each["Body"])
                change = json.loads(envelope["Message"])
                self._run.messages.append(
                    Message(
                        change["AlarmName"],
                        change["NewStateValue"],
                        change["AlarmDescription"],
                        envelope["TopicArn"],
                    )
                )


def states(cloudwatch: Any) -> dict[str, str]:
    """Return the state of every alarm of the account, including the composite alarm."""
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


def _with_metric_math(
    alarms: Iterable[Alarm], deployer: Deployer, deployment: Deployment
) -> dict[str, Alarm]:
    """Return the alarms by name; the emulator does not return what an alarm with metric math was created with."""
    requested = {
        each.name: alarm_request(each, deployer.resolver(deployment.assembly, each.stack))
        for each in deployment.unsupported
        if each.type == cloudformation.ALARM
    }
    return {each["AlarmName"]: {**each, **requested.get(each["AlarmName"], {})} for each in alarms}


def _subscribe(emulator: Emulator, topic: str) -> str:
    """Subscribe a queue to a topic. Returns the queue URL."""
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
    deployer = Deployer(emulator, app_directory=EXAMPLE)
    assembly = deployer.prepare(_SUFFIX)
    deployment = deployer.deploy(assembly)
    cloudwatch = emulator.client("cloudwatch")
    alarms, (composite,) = _describe(cloudwatch)
    topic = deployment.output("AlarmTopicArn")
    run = Run(
        in_template=[
            resource["Properties"]["AlarmName"]
            for file in templates(assembly).values()
            for resource in json.loads(file.read_text("utf-8"))["Resources"].values()
            if resource["Type"] in (cloudformation.ALARM, cloudformation.COMPOSITE_ALARM)
        ],
        alarms=_with_metric_math(alarms, deployer, deployment),
        composite=composite,
        alert_topic=topic,
        new=states(cloudwatch),
    )
    queue = _subscribe(emulator, topic)
    watcher = _Watcher(emulator, run, resource_names(emulator, deployment), queue)
    for stem in INCIDENTS:
        run.ok_before[stem] = watcher.put_for(stem, breaching=False)
    lasting = [stem for stem in INCIDENTS if run.lasts(stem)]
    others = [stem for stem in INCIDENTS if not run.lasts(stem)]
    watcher.begin_wave()
    for stem in others:
        run.breaching[stem] = watcher.put_for(stem, breaching=True)
    watcher.wait_until_outdated()
    for stem in others:
        run.ok_after[stem] = watcher.put_for(stem, breaching=False)
    watcher.begin_wave()
    for stem in lasting:
        run.breaching[stem] = watcher.put_for(stem, breaching=True)
    watcher.read_queue()
    return run


@pytest.fixture(params=list(INCIDENTS))
def stem(request: pytest.FixtureRequest) -> str:
    """The name of each alarm without the suffix."""
    name: str = request.param
    return name


def _in_alarm(states: Mapping[str, str]) -> set[str]:
    return {name for name, state in states.items() if state == ALARM}


def test_every_alarm_of_the_template_was_triggered_and_notified(run: Run) -> None:
    triggered = {
        _name(stem)
        for stem, step in run.breaching.items()
        if step.changed().get(_name(stem)) == step.evaluated[_name(stem)] == ALARM
        and ALARM in run.notified_states(_name(stem))
    }
    if run.composite["StateValue"] == OK and ALARM in run.notified_states(_HEALTH):
        triggered.add(_HEALTH)
    assert len(run.in_template) == len(set(run.in_template)) > 0
    assert triggered == set(run.in_template)


def test_the_deployed_alarms_are_those_of_the_template(run: Run) -> None:
    assert {*run.alarms, run.composite["AlarmName"]} == set(run.in_template)


def test_data_at_the_threshold_triggers_only_this_alarm(run: Run, stem: str) -> None:
    step = run.breaching[stem]
    evaluated = {
        name: evaluate_alarm(alarm, step.points, step.time) for name, alarm in run.alarms.items()
    }
    assert _in_alarm(evaluated) == {_name(stem)}
    assert step.before[_name(stem)] == OK
    assert step.changed()[_name(stem)] == ALARM
    assert set(step.changed()) <= {_name(stem), _HEALTH}


def test_data_below_the_threshold_does_not_trigger_the_alarm(run: Run, stem: str) -> None:
    step = run.ok_before[stem]
    assert step.after[_name(stem)] == OK
    assert _in_alarm(step.evaluated) == _in_alarm(step.after) == set()


def test_data_below_the_threshold_returns_the_alarm_to_ok(run: Run, stem: str) -> None:
    if run.lasts(stem):  # with the evaluator only: the emulator would take up to half an hour
        alarm, triggered = run.alarms[_name(stem)], run.breaching[stem]
        later, last = alarm["Period"], triggered.points[-1]
        below = replace(last, value=last.value - 1, time=last.time + later)
        assert evaluate_alarm(alarm, [*triggered.points, below], triggered.time + later) == OK
        return
    step = run.ok_after[stem]
    assert step.before[_name(stem)] == ALARM
    assert step.changed()[_name(stem)] == OK
    assert set(step.changed()) <= {_name(stem), _HEALTH}
    assert step.evaluated[_name(stem)] == OK


def test_without_data_the_alarm_is_ok(run: Run, stem: str) -> None:
    """Missing data is not breaching. In the emulator, an alarm without data keeps its state."""
    alarm, step = run.alarms[_name(stem)], run.breaching[stem]
    assert run.new[_name(stem)] == NEW
    assert alarm["TreatMissingData"] == "notBreaching"
    assert evaluate_alarm(alarm, [], step.time) == OK
    assert evaluate_alarm(alarm, step.points, step.time + 86_400) == OK


def test_data_of_another_resource_is_ignored(run: Run, stem: str) -> None:
    """With the evaluator only: the emulator ignores dimensions."""
    alarm, step = run.alarms[_name(stem)], run.breaching[stem]
    for dimensions in ({}, {INCIDENTS[stem].dimension: "another"}):
        points = [replace(point, dimensions=dimensions) for point in step.points]
        assert evaluate_alarm(alarm, points, step.time) == OK


def test_every_evaluation_period_must_breach(run: Run, stem: str) -> None:
    alarm, step = run.alarms[_name(stem)], run.breaching[stem]
    assert len(step.points) == alarm["EvaluationPeriods"]
    assert evaluate_alarm(alarm, step.points, step.time) == ALARM
    assert evaluate_alarm(alarm, step.points[1:], step.time) == OK


def test_the_unit_matches_the_data(run: Run, stem: str) -> None:
    """With a wrong unit, an alarm has no data (AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html)."""
    assert run.alarms[_name(stem)].get("Unit") in (None, INCIDENTS[stem].unit)


def test_each_state_change_is_published_to_the_alert_topic(run: Run, stem: str) -> None:
    name = _name(stem)
    expected = [OK, ALARM] if run.lasts(stem) else [OK, ALARM, OK]
    assert run.notified_states(name) == expected
    for message in run.messages:
        if message.alarm == name:
            assert message.topic == run.alert_topic
            assert message.description == run.alarms[name]["AlarmDescription"]
            assert " First: " in message.description


def test_no_other_alarm_is_published(run: Run) -> None:
    assert {message.alarm for message in run.messages} == set(run.in_template)


def test_the_composite_alarm_includes_and_follows_every_alarm(run: Run) -> None:
    children = re.findall(r'ALARM\("?([^")]+)"?\)', run.composite["AlarmRule"])
    assert sorted(children) == sorted(map(alarm_arn, run.alarms))
    assert run.composite["AlarmName"] == _HEALTH
    for step in run.steps():
        any_in_alarm = bool(_in_alarm(step.after) - {_HEALTH})
        assert step.after[_HEALTH] == (ALARM if any_in_alarm else OK)
    assert run.notified_states(_HEALTH) == [ALARM, OK, ALARM]
    (first, *_) = [message for message in run.messages if message.alarm == _HEALTH]
    assert (first.topic, first.description) == (run.alert_topic, run.composite["AlarmDescription"])
