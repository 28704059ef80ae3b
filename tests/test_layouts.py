"""Any layout: the constructs of the example, the key and the topics in any stacks of an app.

Every assignment synthesizes, without a cycle in any template, or ends in a ValueError that names the argument, the
places and the remedy. ``--full`` tries 25 times as many; hypothesis shrinks an assignment that fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct
from hypothesis import event, given, settings
from hypothesis import strategies as st

from iot_constructs import (
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    SuffixedStack,
    TelemetryProcessor,
    TelemetryRule,
    TimeSeriesTable,
)
from tests.synth_support import (
    Json,
    fresh_app,
    inline_code,
    one,
    one_resource,
    permissions,
    plain,
    resources,
    template_of,
    the_id,
)

ITEMS = (
    "key",
    "alarm_topic",
    "dlq_topic",
    "stream",
    "time_series",
    "device_state",
    "data",
    "processor",
    "rule",
    "archive",
    "alarms",
)
REGIONS = ("eu-central-1", "us-east-1")
ACCOUNTS = ("123456789012", "210987654321")


@dataclass(frozen=True)
class Place:
    """A stack, or a stack nested in it."""

    stage: str | None
    stack: str
    nested: bool
    account: str
    region: str


@dataclass(frozen=True)
class Layout:
    """Where everything stands."""

    places: Mapping[str, Place]
    named: bool
    """Whether the topics of your own have a physical name."""
    given: frozenset[str]
    """Which of the key and the topics are your own; the others are created by the constructs."""
    to_bucket: bool
    """Whether failed batches go to the bucket."""
    alarms_before_rule: bool


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    stages = draw(st.sampled_from([(None,), (None,), (None,), ("Live",), ("One", "Two")]))
    # Some have something in another region or account.
    accounts = draw(st.sampled_from([ACCOUNTS[:1]] * 4 + [ACCOUNTS]))
    regions = draw(st.sampled_from([REGIONS[:1]] * 4 + [REGIONS]))
    place = st.builds(
        Place,
        st.sampled_from(stages),
        st.sampled_from("AB"),
        st.booleans(),
        st.sampled_from(accounts),
        st.sampled_from(regions),
    )
    some = draw(st.lists(place, min_size=1, max_size=4, unique=True))
    return Layout(
        {item: draw(st.sampled_from(some)) for item in ITEMS},
        draw(st.booleans()),
        frozenset(draw(st.sets(st.sampled_from(["key", "alarm_topic", "dlq_topic"])))),
        draw(st.booleans()),
        draw(st.booleans()),
    )


class Pipeline:
    """Builds the example's constructs, each in its place."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.app = fresh_app({"environmentSuffix": "dev"})
        self._scopes: dict[Any, Construct] = {}
        given = layout.given
        key = kms.Key(self._scope("key"), "Key") if "key" in given else None
        alarm_topic, dlq_topic = (
            sns.Topic(
                self._scope(item),
                item,
                topic_name=item if layout.named else None,
                master_key=key,
            )
            if item in given
            else None
            for item in ("alarm_topic", "dlq_topic")
        )
        self.stream = MonitoredStream(self._scope("stream"), "Stream", encryption_key=key)
        time_series = TimeSeriesTable(self._scope("time_series"), "Series", encryption_key=key)
        state = DeviceStateTable(self._scope("device_state"), "State", encryption_key=key)
        data = SecureDataBucket(self._scope("data"), "Data", encryption_key=key)
        self.processor = TelemetryProcessor(
            self._scope("processor"),
            "Processor",
            stream=self.stream,
            time_series_table=time_series,
            device_state_table=state,
            on_failure=data if layout.to_bucket else None,
            dlq_topic=dlq_topic,
            encryption_key=key,
        )
        rule = None if layout.alarms_before_rule else self._rule()
        archive = StreamArchive(
            self._scope("archive"),
            "Archive",
            stream=self.stream,
            bucket=data,
            log_encryption_key=key,
        )
        self.alarms = PipelineAlarms(
            self._scope("alarms"),
            "Alarms",
            stream=self.stream,
            processor=self.processor,
            time_series_table=time_series,
            device_state_table=state,
            archive=archive,
            rule=rule,
            alarm_topic=alarm_topic,
            encryption_key=key if alarm_topic is None else None,
        )
        if layout.alarms_before_rule:
            self._rule()

    def _rule(self) -> TelemetryRule:
        scope = self._scope("rule")
        return TelemetryRule(scope, "Rule", stream=self.stream, dlq_topic=self.processor.dlq_topic)

    def _scope(self, item: str) -> Construct:
        place = self.layout.places[item]
        if place not in self._scopes:
            self._scopes[place] = self._create(place)
        return self._scopes[place]

    def _create(self, place: Place) -> Construct:
        env = cdk.Environment(account=place.account, region=place.region)
        parent: Construct = self.app
        if place.stage is not None:
            if place.stage not in self._scopes:
                self._scopes[place.stage] = cdk.Stage(self.app, place.stage)
            parent = self._scopes[place.stage]
        key = (place.stage, place.stack, place.account, place.region)
        if key not in self._scopes:
            id = f"{place.stack}{ACCOUNTS.index(place.account)}{REGIONS.index(place.region)}"
            self._scopes[key] = SuffixedStack(parent, id, env=env)
        return cdk.NestedStack(self._scopes[key], "Nested") if place.nested else self._scopes[key]


def cycles(template: Json) -> list[str]:
    """A resource that depends on itself, by Ref, Fn::GetAtt, Fn::Sub or DependsOn."""
    resources = template.get("Resources", {})
    uses = {id: set(_used(body, resources)) for id, body in resources.items()}
    while True:
        free = {id for id, used in uses.items() if not used & uses.keys()}
        if not free:
            return sorted(uses)
        uses = {id: used for id, used in uses.items() if id not in free}


def _used(value: object, resources: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("Ref", "Fn::GetAtt", "DependsOn", "Fn::Sub"):
                for word in re.findall(r"\w+", json.dumps(item)):
                    if word in resources:
                        yield word
            yield from _used(item, resources)
    elif isinstance(value, list):
        for item in value:
            yield from _used(item, resources)


def synthesized(app: cdk.App) -> list[Json]:
    """Every template, nested ones included."""
    folder = Path(app.synth().directory)
    return [json.loads(path.read_text("utf-8")) for path in folder.rglob("*.template.json")]


@given(layouts())
def synthesize_or_see_what_to_change(layout: Layout) -> None:
    try:
        pipeline = Pipeline(layout)
    except ValueError as error:
        message = str(error)
        assert re.match(r"\w+\(\w+='[\w/]+'\): ", message), message
        assert re.search("; (create|give|pass) ", message), message
        assert "Error:" not in message, message
        event(re.sub(r"'[^']*'", "...", message.split(":", maxsplit=1)[0]))
        return
    event("synthesizes")
    for template in synthesized(pipeline.app):
        assert cycles(template) == []


def test_every_assignment_synthesizes_or_says_what_to_change(full: bool) -> None:
    examples = settings(
        max_examples=1000 if full else 40, deadline=None, derandomize=True, database=None
    )
    examples(synthesize_or_see_what_to_change)()


# --- what stands for a reference


def _stacks(*ids: str) -> tuple[SuffixedStack, ...]:
    app = fresh_app({"environmentSuffix": "dev"})
    return tuple(SuffixedStack(app, id) for id in ids)


def _processor(scope: Construct, stream: kinesis.IStream, **props: Any) -> StreamProcessor:
    return StreamProcessor(scope, "Processor", stream=stream, code=inline_code(), **props)


def _alarm_actions(template: Json) -> list[object]:
    return [
        action
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        for action in alarm["Properties"].get("AlarmActions", [])
    ]


def test_alarms_of_another_stack_name_the_topic() -> None:
    data, monitoring = _stacks("Data", "Monitoring")
    stream = MonitoredStream(data, "Stream")
    archive = StreamArchive(data, "Archive", stream=stream, bucket=SecureDataBucket(data, "Bucket"))
    alarms = PipelineAlarms(monitoring, "Alarms", stream=stream, archive=archive)
    actions = _alarm_actions(template_of(data))
    name = one(template_of(monitoring), "AWS::SNS::Topic")["TopicName"]
    assert len(actions) == len(stream.alarms) + len(archive.alarms)
    assert {plain(action) for action in actions} == {_named(name)}
    assert set(stream.alarms) <= set(alarms.alarms)


def test_topic_without_a_name_gets_alarms_of_its_own_stack() -> None:
    data, monitoring = _stacks("Data", "Monitoring")
    stream = MonitoredStream(
        data, "Stream", iterator_age_threshold=cdk.Duration.hours(3), throttles_threshold=7
    )
    archive = StreamArchive(data, "Archive", stream=stream, bucket=SecureDataBucket(data, "Bucket"))
    topic = sns.Topic(monitoring, "Own")
    PipelineAlarms(monitoring, "Alarms", stream=stream, archive=archive, alarm_topic=topic)
    theirs, ours = template_of(data), template_of(monitoring)
    assert _alarm_actions(theirs) == []
    assert _alarm_actions(ours) == [{"Ref": the_id(ours, "AWS::SNS::Topic")}] * 4
    settings_of = [
        sorted(
            (
                alarm["Properties"]["MetricName"],
                alarm["Properties"]["Threshold"],
                alarm["Properties"]["EvaluationPeriods"],
            )
            for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        )
        for template in (theirs, ours)
    ]
    assert settings_of[0] == settings_of[1]


def test_topic_without_a_name_above_both_stacks_is_referred_to() -> None:
    shared, data, monitoring = _stacks("Shared", "Data", "Monitoring")
    stream = MonitoredStream(data, "Stream")
    alarms = PipelineAlarms(
        monitoring, "Alarms", stream=stream, alarm_topic=sns.Topic(shared, "Own")
    )
    assert set(stream.alarms) <= set(alarms.alarms)
    actions = _alarm_actions(template_of(data))
    assert {tuple(action) for action in actions if isinstance(action, dict)} == {
        ("Fn::ImportValue",)
    }


def _named(topic_name: str) -> str:
    return f"arn:${{AWS::Partition}}:sns:${{AWS::Region}}:${{AWS::AccountId}}:{topic_name}"


def test_own_alarm_of_another_stack_names_the_topic() -> None:
    """The composite alarm refers to it, so it cannot refer to a topic of the stack of that."""
    data, monitoring = _stacks("Data", "Monitoring")
    alarms = PipelineAlarms(monitoring, "Alarms", stream=MonitoredStream(monitoring, "Stream"))
    metric = cloudwatch.Metric(namespace="Own", metric_name="Own")
    alarms.add_alarm(metric.create_alarm(data, "Own", threshold=1, evaluation_periods=1))
    name = one(template_of(monitoring), "AWS::SNS::Topic")["TopicName"]
    assert [plain(action) for action in _alarm_actions(template_of(data))] == [_named(name)]


def test_topic_of_a_stack_that_refers_to_the_alarms_is_named() -> None:
    data, compute = _stacks("Data", "Compute")
    stream = MonitoredStream(data, "Stream")
    _processor(compute, stream)
    topic = sns.Topic(compute, "Own", topic_name="own")
    alarms = PipelineAlarms(data, "Alarms", stream=stream, alarm_topic=topic)
    actions = _alarm_actions(template_of(data))
    assert [plain(action) for action in actions] == [_named("own")] * len(alarms.alarms)


def test_rule_beside_the_stream_names_the_dlq_topic_of_the_processor() -> None:
    """The key of the topic names the rule's role: its stack refers to that of the rule already."""
    data, compute = _stacks("Data", "Compute")
    stream = MonitoredStream(data, "Stream")
    processor = _processor(compute, stream)
    rule = TelemetryRule(data, "Rule", stream=stream, dlq_topic=processor.dlq_topic)
    theirs, ours = template_of(compute), template_of(data)
    name = one(theirs, "AWS::SNS::Topic")["TopicName"]
    arn = f"arn:${{AWS::Partition}}:sns:${{AWS::Region}}:${{AWS::AccountId}}:{name}"
    error_action = one(ours, "AWS::IoT::TopicRule")["TopicRulePayload"]["ErrorAction"]
    assert plain(error_action["Sns"]["TargetArn"]) == arn
    role = data.resolve(rule.error_action_role.role_arn)
    assert permissions(ours, role) == {("sns:Publish", arn)}
    (allowed,) = (
        statement
        for statement in one(theirs, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
        if "ErrorActionRole" in json.dumps(statement)
    )
    assert allowed["Effect"] == "Allow"
    assert allowed["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_topic_without_a_name_that_refers_to_the_rules_stack_is_refused() -> None:
    data, compute = _stacks("Data", "Compute")
    stream = MonitoredStream(data, "Stream")
    topic = sns.Topic(compute, "Own")
    _processor(compute, stream, dlq_topic=topic)
    with pytest.raises(
        ValueError,
        match=r"^TelemetryRule\(dlq_topic='Compute/Own'\): 'Data/Rule' in the stack 'Data' would refer to the stack "
        r"'Compute', which refers to it already by StreamProcessor\(stream='Data/Stream'\); create",
    ):
        TelemetryRule(data, "Rule", stream=stream, dlq_topic=topic)


def test_stream_of_yours_depends_on_its_key() -> None:
    data, compute = _stacks("Data", "Compute")
    stream = kinesis.Stream(data, "Own", encryption_key=kms.Key(compute, "Key"))
    with pytest.raises(
        ValueError,
        match=r"^StreamProcessor\(stream='Data/Own'\): .* refers to it already by the key of 'Data/Own'; create",
    ):
        _processor(compute, stream)


def test_part_of_a_construct_depends_on_what_the_construct_takes() -> None:
    """The function waits for a policy that names the stream of the nested stack."""
    (parent,) = _stacks("Parent")
    nested = cdk.NestedStack(parent, "Nested")
    processor = _processor(parent, MonitoredStream(nested, "Stream"))
    with pytest.raises(
        ValueError,
        match=r"^PipelineAlarms\(processor='Parent/Processor/Function'\): .* by StreamProcessor\(stream=",
    ):
        PipelineAlarms(nested, "Alarms", processor=processor.function)


def test_log_group_of_another_stack_than_its_key() -> None:
    """AWS::StackName in the policy of the key would be the name of the key's stack."""
    keys, data = _stacks("Keys", "Data")
    key = kms.Key(keys, "Key")
    SecureDataBucket(data, "Bucket", encryption_key=key)
    SecureDataBucket(cdk.NestedStack(data, "Nested"), "Other", bucket_name="b", encryption_key=key)
    conditions = json.dumps(one(template_of(keys), "AWS::KMS::Key")["KeyPolicy"])
    assert ":log-group:Data-dev-AutoDeleteObjectsLogs*" in conditions
    assert ":log-group:*AutoDeleteObjectsLogs*" in conditions
    assert "AWS::StackName" not in conditions


# --- the rule is last


@pytest.mark.parametrize("rule_first", [False, True])
def test_rule_is_created_after_whatever_has_to_catch(rule_first: bool) -> None:
    (stack,) = _stacks("Pipeline")
    stream = MonitoredStream(stack, "Stream")
    processor = _processor(stack, stream)
    topic = processor.dlq_topic

    def rule() -> TelemetryRule:
        return TelemetryRule(stack, "Rule", stream=stream, dlq_topic=topic)

    def archive() -> StreamArchive:
        bucket = SecureDataBucket(stack, "Bucket")
        return StreamArchive(stack, "Archive", stream=stream, bucket=bucket)

    for create in (rule, archive) if rule_first else (archive, rule):
        create()
    template = template_of(stack)
    waits_for = set(one_resource(template, "AWS::IoT::TopicRule")["DependsOn"])
    assert waits_for >= {
        the_id(template, type)
        for type in (
            "AWS::KinesisFirehose::DeliveryStream",
            "AWS::Lambda::EventSourceMapping",
            "AWS::SNS::Subscription",
        )
    }
    subscription = one_resource(template, "AWS::SNS::Subscription")
    assert the_id(template, "AWS::SQS::QueuePolicy") in subscription["DependsOn"]


def test_rule_does_not_wait_for_another_stack() -> None:
    """Its stack would depend on that of the archive, which depends on it."""
    data, archives = _stacks("Data", "Archives")
    stream = MonitoredStream(data, "Stream")
    TelemetryRule(data, "Rule", stream=stream, dlq_topic=sns.Topic(data, "Dlq"))
    StreamArchive(archives, "Archive", stream=stream, bucket=SecureDataBucket(data, "Bucket"))
    assert template_of(archives)
