"""Each alarm of the example, fired or not, can get data, reaches a person, and tells them what to do.

That it fires is shown on the emulator (`e2e/test_alarms_fire.py`), which knows neither AWS's metrics nor the policies
of topics and keys: here the templates are held to the catalogue of metrics and walked from alarm to key.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs import (
    AlarmThresholds,
    MonitoredStream,
    PipelineAlarms,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    SuffixedStack,
)
from iot_constructs.rules.metric_catalogue import emitted
from tests.e2e.alarm_data import INCIDENTS
from tests.synth_support import Json, fresh_app, one, resources
from tests.test_whole_pipeline import as_list, inline_code, plain

_ALARM = "AWS::CloudWatch::Alarm"
_COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
_CLOUDWATCH = "cloudwatch.amazonaws.com"


@pytest.fixture(scope="module")
def templates() -> dict[str, Json]:
    """The example for two environments, and a pipeline with other settings."""
    app = fresh_app()
    for suffix in ("dev", "prod"):
        IotPipelineStack(app, f"Example-{suffix}", environment_suffix=suffix)
    _other_settings(SuffixedStack(app, "Other", environment_suffix="qa7"))
    folder = Path(app.synth().directory)
    return {
        name: json.loads((folder / f"{stack}.template.json").read_text("utf-8"))
        for name, stack in (("dev", "Example-dev"), ("prod", "Example-prod"), ("other", "Other"))
    }


def _other_settings(stack: SuffixedStack) -> None:
    stream = MonitoredStream(
        stack, "Stream", retention_period=cdk.Duration.hours(36), throttles_threshold=7
    )
    processor = StreamProcessor(
        stack,
        "Processor",
        stream=stream,
        code=inline_code(),
        handler="index.handler",
        timeout=cdk.Duration.seconds(20),
        max_record_age=cdk.Duration.minutes(10),
    )
    PipelineAlarms(
        stack,
        "Alarms",
        stream=stream,
        processor=processor,
        archive=StreamArchive(
            stack,
            "Archive",
            stream=stream,
            bucket=SecureDataBucket(stack, "Data"),
            buffering_interval=cdk.Duration.seconds(120),
        ),
        thresholds=AlarmThresholds(processor_errors=1_500_000, failed_events=4),
    )


@pytest.fixture(params=["dev", "prod", "other"])
def template(request: pytest.FixtureRequest, templates: dict[str, Json]) -> Json:
    return templates[request.param]


@pytest.fixture(params=["dev", "prod"])
def example(request: pytest.FixtureRequest, templates: dict[str, Json]) -> Json:
    return templates[request.param]


def _alarms(template: Json) -> dict[str, Json]:
    """The properties of every alarm on a metric, by its name without the suffix."""
    found = [body["Properties"] for body in resources(template, _ALARM).values()]
    return {properties["AlarmName"].rpartition("-")[0]: properties for properties in found}


# --- it can get data ------------------------------------------------------------------------------


def test_the_fire_test_has_every_alarm_of_the_example(example: Json) -> None:
    assert sorted(_alarms(example)) == sorted(INCIDENTS)


def test_every_alarm_is_on_what_aws_emits(template: Json) -> None:
    for name, alarm in _alarms(template).items():
        known = emitted(alarm["Namespace"], alarm["MetricName"])
        assert known is not None, name
        dimensions = [dimension["Name"] for dimension in alarm["Dimensions"]]
        assert dimensions, name
        assert known.has(dimensions), (name, known.page)


@pytest.mark.parametrize("stem", list(INCIDENTS))
def test_what_the_fire_test_publishes_is_what_aws_emits(stem: str) -> None:
    published = INCIDENTS[stem]
    known = emitted(published.namespace, published.metric)
    assert known is not None
    assert known.has([published.dimension])


# --- it reaches a person --------------------------------------------------------------------------


def test_cloudwatch_may_publish_what_every_alarm_says(template: Json) -> None:
    assert _gaps(template) == []
    alarms = [*resources(template, _ALARM).values(), *resources(template, _COMPOSITE).values()]
    for alarm in alarms:
        actions = alarm["Properties"]
        assert actions["AlarmActions"] == actions["OKActions"] != []
        assert actions.get("ActionsEnabled", True) is True


def _gaps(template: Json) -> list[str]:
    """Alarm -> action -> topic policy -> key -> key policy: where CloudWatch is stopped."""
    return sorted(
        {
            gap
            for body in template["Resources"].values()
            if body["Type"] in (_ALARM, _COMPOSITE)
            for kind in ("AlarmActions", "OKActions")
            for action in body["Properties"].get(kind, [])
            for gap in _gaps_behind(template, action)
        }
    )


def _gaps_behind(template: Json, action: Any) -> Iterator[str]:
    topic_id = action.get("Ref") if isinstance(action, dict) else None
    topic = template["Resources"].get(topic_id, {})
    if topic.get("Type") != "AWS::SNS::Topic":
        yield f"the action {plain(action)} is no topic of this template"
        return
    policies = [
        body["Properties"]
        for body in resources(template, "AWS::SNS::TopicPolicy").values()
        if {"Ref": topic_id} in body["Properties"]["Topics"]
    ]
    published = [
        statement
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        if _lets_cloudwatch(statement, "sns:Publish")
        and {"Ref": topic_id} in as_list(statement["Resource"])
    ]
    if not published:
        yield "the topic's policy"
    key = topic["Properties"].get("KmsMasterKeyId")
    if key is None:
        return
    key_id = key["Fn::GetAtt"][0] if isinstance(key, dict) and "Fn::GetAtt" in key else None
    policy = template["Resources"].get(key_id, {}).get("Properties", {}).get("KeyPolicy")
    if policy is None:
        yield f"the key {plain(key)} is none of this template"
        return
    for needed in ("kms:Decrypt", "kms:GenerateDataKey"):
        if not any(_lets_cloudwatch(statement, needed) for statement in policy["Statement"]):
            yield f"the key's policy: {needed}"


def _lets_cloudwatch(statement: Json, action: str) -> bool:
    """Whether CloudWatch may, on behalf of this account and without any other condition."""
    return (
        statement["Effect"] == "Allow"
        and statement["Principal"] == {"Service": _CLOUDWATCH}
        and any(
            action == given or (given.endswith("*") and action.startswith(given[:-1]))
            for given in as_list(statement["Action"])
        )
        and statement.get("Condition")
        == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    )


def _statements(template: Json, type: str, document: str) -> Iterator[Json]:
    for body in resources(template, type).values():
        yield from body["Properties"][document]["Statement"]


def _deny_topic(template: Json) -> None:
    for statement in _statements(template, "AWS::SNS::TopicPolicy", "PolicyDocument"):
        if statement["Principal"] == {"Service": _CLOUDWATCH}:
            statement["Effect"] = "Deny"


def _forget_data_key(template: Json) -> None:
    for statement in _statements(template, "AWS::KMS::Key", "KeyPolicy"):
        if statement["Principal"] == {"Service": _CLOUDWATCH}:
            statement["Action"] = "kms:Decrypt"


def _other_account(template: Json) -> None:
    for statement in _statements(template, "AWS::SNS::TopicPolicy", "PolicyDocument"):
        if statement["Principal"] == {"Service": _CLOUDWATCH}:
            statement["Condition"]["StringEquals"]["aws:SourceAccount"] = "111122223333"


def _managed_key(template: Json) -> None:
    for body in resources(template, "AWS::SNS::Topic").values():
        body["Properties"]["KmsMasterKeyId"] = "alias/aws/sns"


def _foreign_topic(template: Json) -> None:
    one(template, _COMPOSITE)["OKActions"] = ["arn:aws:sns:eu-west-1:111122223333:theirs"]


@pytest.mark.parametrize(
    ("damage", "gap"),
    [
        (_deny_topic, "the topic's policy"),
        (_other_account, "the topic's policy"),
        (_forget_data_key, "the key's policy: kms:GenerateDataKey"),
        (_managed_key, "the key alias/aws/sns is none of this template"),
        (
            _foreign_topic,
            "the action arn:aws:sns:eu-west-1:111122223333:theirs is no topic of this template",
        ),
    ],
)
def test_the_walk_sees_where_cloudwatch_is_stopped(
    templates: dict[str, Json], damage: Callable[[Json], None], gap: str
) -> None:
    damaged = copy.deepcopy(templates["prod"])
    damage(damaged)
    assert _gaps(damaged) == [gap]


# --- it tells what to do --------------------------------------------------------------------------

_FIRES = re.compile(
    r"^(?P<story>.+\. .+\.) Fires at (?P<number>[\d.]+)(?: (?P<unit>h|minutes|s))?"
    r"(?: \([^)]+\))?(?P<count> in 5 minutes)?(?:, (?P<times>\d) times in a row)?\. "
    r"First: (?P<first>.{15,}\.)$"
)
_UNITS = {"h": 3600, "minutes": 60, "s": 1, None: 1}


def _in_milliseconds(alarm: Json) -> bool:
    """By AWS's documentation, whose units stand in the fire test's table."""
    return any(
        published.unit == "Milliseconds"
        for published in INCIDENTS.values()
        if (published.namespace, published.metric) == (alarm["Namespace"], alarm["MetricName"])
    )


def test_every_description_has_the_threshold_and_what_to_do_first(template: Json) -> None:
    alarms = _alarms(template)
    assert len(alarms) >= 15
    for name, alarm in alarms.items():
        told = _FIRES.match(alarm["AlarmDescription"])
        assert told is not None, alarm["AlarmDescription"]
        factor = 1000 if _in_milliseconds(alarm) else 1
        number = float(told["number"]) * _UNITS[told["unit"]] * factor
        assert number == pytest.approx(alarm["Threshold"], rel=1e-9), name
        assert int(told["times"] or 1) == alarm["EvaluationPeriods"], name
        assert bool(told["count"]) is (told["unit"] is None), name
        assert len(alarm["AlarmDescription"]) <= 1024  # PutMetricAlarm


def test_what_is_derived_says_from_what(template: Json) -> None:
    alarms = _alarms(template)
    for name, source in {
        "iot-kinesis-iterator-age": "(0.5 of the retention)",
        "iot-lambda-duration": "(0.8 of the timeout)",
        "iot-firehose-freshness": "(3 buffering intervals, or one alarm period)",
    }.items():
        assert source in alarms[name]["AlarmDescription"]


def test_thresholds_follow_the_settings(templates: dict[str, Json]) -> None:
    for template in (templates["dev"], templates["prod"]):
        alarms = _alarms(template)
        assert alarms["iot-kinesis-iterator-age"]["Threshold"] == 84 * 3_600_000
        assert alarms["iot-lambda-duration"]["Threshold"] == 48_000
        assert alarms["iot-lambda-iterator-age"]["Threshold"] == 15 * 60_000
        assert alarms["iot-firehose-freshness"]["Threshold"] == 900
        assert alarms["iot-lambda-errors"]["Threshold"] == 1
    other = _alarms(templates["other"])
    assert other["iot-kinesis-iterator-age"]["Threshold"] == 18 * 3_600_000
    assert other["iot-kinesis-write-throttling"]["Threshold"] == 7
    assert other["iot-lambda-duration"]["Threshold"] == 16_000
    assert other["iot-lambda-iterator-age"]["Threshold"] == 5 * 60_000
    assert other["iot-firehose-freshness"]["Threshold"] == 360
    assert other["iot-lambda-errors"]["Threshold"] == 1_500_000
    assert other["iot-lambda-failed-events"]["Threshold"] == 4


def test_no_record_is_given_up_before_a_person_can_be_told(template: Json) -> None:
    """The processor never sees what is older than this: an alarm on such an age would stay out."""
    mapping = one(template, "AWS::Lambda::EventSourceMapping")
    age = mapping["MaximumRecordAgeInSeconds"] * 1000
    assert _alarms(template)["iot-lambda-iterator-age"]["Threshold"] < age


def test_no_buffer_in_normal_operation_fires(template: Json) -> None:
    settings = one(template, "AWS::KinesisFirehose::DeliveryStream")
    target = settings["ExtendedS3DestinationConfiguration"]
    interval = target["BufferingHints"]["IntervalInSeconds"]
    assert _alarms(template)["iot-firehose-freshness"]["Threshold"] > interval


# --- it is on the dashboard -----------------------------------------------------------------------


def _widgets(template: Json, type: str) -> list[Json]:
    body = json.loads(plain(one(template, "AWS::CloudWatch::Dashboard")["DashboardBody"]))
    return [each["properties"] for each in body["widgets"] if each["type"] == type]


def test_the_dashboard_draws_what_each_alarm_watches_with_its_threshold(template: Json) -> None:
    """A graph over an alarm is that of its metric, "including the alarm line" (CDK's AlarmWidget): it cannot differ."""
    drawn = [each["annotations"]["alarms"] for each in _widgets(template, "metric")]
    assert sorted(arn for (arn,) in drawn) == _arns(template)


def _arns(template: Json) -> list[str]:
    return sorted(f"${{{alarm}.Arn}}" for alarm in resources(template, _ALARM))


def test_the_dashboard_shows_the_state_of_each_alarm(template: Json) -> None:
    (states,) = _widgets(template, "alarm")
    assert sorted(states["alarms"]) == _arns(template)


def test_graphs_are_over_time_and_where_the_metrics_are(template: Json) -> None:
    for graph in _widgets(template, "metric"):
        assert graph["view"] == "timeSeries"
        assert graph["region"] == "${AWS::Region}"
        assert "metrics" not in graph  # beside the alarm's own, which the catalogue has


def test_a_person_finds_the_dashboard_by_the_composite_alarm(template: Json) -> None:
    composite = one(template, _COMPOSITE)
    assert "First: open the dashboard" in composite["AlarmDescription"]
    over = re.findall(r'ALARM\("([^"]+)"\)', plain(composite["AlarmRule"]))
    assert sorted(over) == _arns(template)
