"""TelemetryRule: what it selects and where messages go. DevicePolicy: a device can speak for itself and for no other.

An evaluator (iot_policy_evaluator.py) decides on the policy of the template as AWS does. tests/e2e has the same with a
broker that evaluates it on its own.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from iot_constructs import DevicePolicy, MonitoredStream, SuffixedStack, TelemetryRule
from iot_constructs import _defaults as defaults
from iot_constructs.local.rule_engine import parse_topic_filter, topic_matches
from iot_constructs.local.rule_engine import substitute as key_of
from tests.iot_policy_evaluator import Connection, is_allowed
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    fresh_app,
    fresh_stack,
    one,
    one_resource,
    permissions,
    plain,
    resources,
    template_of,
    the_id,
)

_RULE = "AWS::IoT::TopicRule"
_ROLE = "AWS::IAM::Role"
_IAM_POLICY = "AWS::IAM::Policy"


def _rule(stack: cdk.Stack, id: str = "Rule", **props: Any) -> TelemetryRule:
    for keyword, l2 in (("stream", MonitoredStream), ("dlq_topic", sns.Topic)):
        if keyword not in props:
            props[keyword] = stack.node.try_find_child(keyword) or l2(stack, keyword)
    return TelemetryRule(stack, id, **props)


# Each entry is a stack of one app, which is synthesized once.
_BUILDERS: dict[str, Callable[[SuffixedStack], TelemetryRule]] = {}


def _builder(
    build: Callable[[SuffixedStack], TelemetryRule],
) -> Callable[[SuffixedStack], TelemetryRule]:
    _BUILDERS[build.__name__] = build
    return build


@pytest.fixture(scope="module")
def rules() -> Mapping[str, TelemetryRule]:
    app = fresh_app()
    return {
        name: build(fresh_stack(f"pr-{number}", id=name, app=app, env=ENV))
        for number, (name, build) in enumerate(_BUILDERS.items())
    }


@pytest.fixture(scope="module")
def template(rules: Mapping[str, TelemetryRule]) -> Callable[[str], Json]:
    return lambda name: template_of(cdk.Stack.of(rules[name]))


def _payload(template: Json) -> Json:
    payload: Json = one(template, _RULE)["TopicRulePayload"]
    return payload


@_builder
def default(stack: SuffixedStack) -> TelemetryRule:
    topic = sns.Topic(stack, "Dlq", master_key=kms.Key(stack, "TopicKey"))
    rule = _rule(stack, dlq_topic=topic)
    cdk.CfnOutput(stack, "Arn", value=rule.rule_arn)
    return rule


def _roles(synthesized: Json) -> tuple[str, str]:
    """That of the action and that of the error action, which have nothing in common."""
    put, publish = sorted(resources(synthesized, _ROLE), key=lambda id: "ErrorAction" in id)
    assert "ErrorAction" in publish
    return put, publish


def test_rule_defaults(template: Callable[[str], Json]) -> None:
    synthesized = template("default")
    put, publish = ({"RoleArn": {"Fn::GetAtt": [id, "Arn"]}} for id in _roles(synthesized))
    topic = {"Ref": the_id(synthesized, "AWS::SNS::Topic")}
    payload = dict(_payload(synthesized))
    assert defaults.TOPIC_FILTER in payload.pop("Description")
    assert payload == {
        "AwsIotSqlVersion": defaults.SQL_VERSION,
        "Sql": f"SELECT * FROM '{defaults.TOPIC_FILTER}'",
        "RuleDisabled": False,
        "Actions": [
            {
                "Kinesis": {
                    "StreamName": {"Ref": the_id(synthesized, "AWS::Kinesis::Stream")},
                    "PartitionKey": defaults.PARTITION_KEY_TEMPLATE,
                    **put,
                }
            }
        ],
        "ErrorAction": {"Sns": {"TargetArn": topic, "MessageFormat": "RAW", **publish}},
    }
    arn = {"Fn::GetAtt": [the_id(synthesized, _RULE), "Arn"]}
    assert synthesized["Outputs"]["Arn"]["Value"] == arn


def test_rule_name_has_underscores_only_and_metrics_have_it(
    template: Callable[[str], Json], rules: Mapping[str, TelemetryRule]
) -> None:
    rule = rules["default"]
    name = f"{defaults.NAME_PREFIX}_{defaults.RULE_NAME}_pr_0"
    assert one(template("default"), _RULE)["RuleName"] == rule.rule_name == name
    for metric, expected in (
        (rule.metric_throttled(), "RuleMessageThrottled"),
        (rule.metric_matched(), "TopicMatch"),
    ):
        assert (metric.namespace, metric.metric_name) == ("AWS/IoT", expected)
        assert (metric.statistic, metric.dimensions) == ("Sum", {"RuleName": name})
        assert metric.period.to_minutes() == defaults.ALARM_PERIOD_MINUTES


@pytest.mark.parametrize("generated", [False, True])
def test_error_action_failures_are_counted_over_all_action_types(generated: bool) -> None:
    stack = fresh_stack()
    name = cdk.PhysicalName.GENERATE_IF_NEEDED if generated else "mine"
    rule = _rule(stack, rule_name=name)
    metric = rule.metric_error_action_failures()
    assert metric.period.to_minutes() == defaults.ALARM_PERIOD_MINUTES
    query = "SELECT SUM(ErrorActionFailure) FROM \"AWS/IoT\" WHERE RuleName = '{}'"
    expected = stack.resolve(query.format(rule.rule_name))
    assert stack.resolve(metric.expression) == expected
    assert ("Ref" in str(expected)) is generated


def test_one_role_puts_and_one_publishes_for_this_rule_only(
    template: Callable[[str], Json],
) -> None:
    synthesized = template("default")
    put, publish = _roles(synthesized)
    for id in (put, publish):
        role = resources(synthesized, _ROLE)[id]["Properties"]
        assert "ManagedPolicyArns" not in role
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "iot.amazonaws.com"}
        arn = trust["Condition"].pop("ArnEquals")["aws:SourceArn"]
        name = one(synthesized, _RULE)["RuleName"]
        assert plain(arn) == f"arn:${{AWS::Partition}}:iot:{REGION}:{ACCOUNT}:rule/{name}"
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    keys = resources(synthesized, "AWS::KMS::Key")
    (of_topic,) = [key for key in keys if key.startswith("TopicKey")]
    (of_stream,) = keys.keys() - {of_topic}
    stream, topic = (the_id(synthesized, f"AWS::{t}") for t in ("Kinesis::Stream", "SNS::Topic"))
    assert permissions(synthesized, {"Fn::GetAtt": [put, "Arn"]}) == {
        ("kinesis:PutRecord", f"${{{stream}.Arn}}"),
        ("kms:GenerateDataKey", f"${{{of_stream}.Arn}}"),
    }
    assert permissions(synthesized, {"Fn::GetAtt": [publish, "Arn"]}) == {
        ("sns:Publish", f"${{{topic}}}"),
        ("kms:Decrypt", f"${{{of_topic}.Arn}}"),
        ("kms:GenerateDataKey", f"${{{of_topic}.Arn}}"),
    }


@_builder
def custom(stack: SuffixedStack) -> TelemetryRule:
    role, error_role = (
        iam.Role(stack, id, assumed_by=iam.ServicePrincipal("iot.amazonaws.com"))
        for id in ("Own", "OwnErrorAction")
    )
    queue = iot.CfnTopicRule.SqsActionProperty(queue_url="url", role_arn="arn")
    return _rule(
        stack,
        rule_name="trucks",
        topic_filter="fleet/truck/+/data",
        partition_key="truck-${topic(3)}",
        select="temperature",
        where="temperature > 50",
        description="Hot trucks",
        rule_disabled=True,
        actions=[iot.CfnTopicRule.ActionProperty(sqs=queue)],
        role=role,
        error_action_role=error_role,
        environment_suffix="green",
    )


def test_custom_values(template: Callable[[str], Json]) -> None:
    synthesized = template("custom")
    assert one(synthesized, _RULE)["RuleName"] == "trucks_green"
    payload = _payload(synthesized)
    put, more = payload["Actions"]
    own, of_error = _roles(synthesized)
    assert own.startswith("Own")
    assert of_error.startswith("OwnErrorAction")
    assert payload["ErrorAction"]["Sns"]["RoleArn"] == {"Fn::GetAtt": [of_error, "Arn"]}
    assert put["Kinesis"]["PartitionKey"] == "truck-${topic(3)}"
    assert put["Kinesis"]["RoleArn"] == {"Fn::GetAtt": [own, "Arn"]}
    assert more == {"Sqs": {"QueueUrl": "url", "RoleArn": "arn"}}
    assert payload["Sql"] == "SELECT temperature FROM 'fleet/truck/+/data' WHERE temperature > 50"
    assert (payload["Description"], payload["RuleDisabled"]) == ("Hot trucks", True)


@_builder
def generated_name(stack: SuffixedStack) -> TelemetryRule:
    return _rule(stack, rule_name=cdk.PhysicalName.GENERATE_IF_NEEDED)


def test_generated_rule_name(
    template: Callable[[str], Json], rules: Mapping[str, TelemetryRule]
) -> None:
    synthesized, rule = template("generated_name"), rules["generated_name"]
    assert "RuleName" not in one(synthesized, _RULE)
    for role in resources(synthesized, _ROLE).values():
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert plain(trust["Condition"]["ArnLike"]["aws:SourceArn"]).endswith(f"{ACCOUNT}:rule/*")
    assert cdk.Stack.of(rule).resolve(rule.rule_name) == {"Ref": the_id(synthesized, _RULE)}


@_builder
def imported_stream(stack: SuffixedStack) -> TelemetryRule:
    arn = cdk.Fn.import_value("stream-arn")
    rule = _rule(stack, stream=kinesis.Stream.from_stream_arn(stack, "Theirs", arn))
    kinesis.Stream(stack, "More").grant_write(rule)
    return rule


def test_imported_stream_and_grants_to_the_rule(template: Callable[[str], Json]) -> None:
    synthesized = template("imported_stream")
    role = {"Fn::GetAtt": [_roles(synthesized)[0], "Arn"]}
    granted = permissions(synthesized, role)
    assert ("kinesis:PutRecord", '{"Fn::ImportValue": "stream-arn"}') in granted
    more = the_id(synthesized, "AWS::Kinesis::Stream")
    assert ("kinesis:PutRecords", f"${{{more}.Arn}}") in granted
    name = _payload(synthesized)["Actions"][0]["Kinesis"]["StreamName"]
    assert "stream-arn" in json.dumps(name)


@_builder
def role_of_another_stack(stack: SuffixedStack) -> TelemetryRule:
    """Their policies are in the rule's stack: in their own they would make a cyclic reference."""
    app = stack.node.root
    assert isinstance(app, cdk.App)
    other = fresh_stack("other", id="other", app=app, env=ENV)
    put, publish = (
        iam.Role(other, id, assumed_by=iam.ServicePrincipal("iot.amazonaws.com"))
        for id in ("Own", "OwnErrorAction")
    )
    return _rule(stack, role=put, error_action_role=publish)


@pytest.mark.parametrize("name", list(_BUILDERS))
def test_rule_waits_for_its_permissions(name: str, template: Callable[[str], Json]) -> None:
    """Otherwise stream and topic reject the first messages, which are lost."""
    synthesized = template(name)
    policies = resources(synthesized, _IAM_POLICY)
    assert len(policies) == 2
    assert policies.keys() <= set(one_resource(synthesized, _RULE)["DependsOn"])


@_builder
def basic_ingest(stack: SuffixedStack) -> TelemetryRule:
    rule = _rule(stack, basic_ingest=True)
    DevicePolicy(stack, "Devices", rule=rule)
    return rule


def test_basic_ingest_changes_the_topic_of_the_devices_and_not_the_rule(
    template: Callable[[str], Json], rules: Mapping[str, TelemetryRule]
) -> None:
    """So devices can change one by one."""
    name = rules["basic_ingest"].rule_name
    assert rules["basic_ingest"].publish_topic == f"$aws/rules/{name}/{defaults.TOPIC_FILTER}"
    assert rules["default"].publish_topic == defaults.TOPIC_FILTER
    ours, usual = _payload(template("basic_ingest")), _payload(template("default"))
    assert (ours["Sql"], _key(ours)) == (usual["Sql"], _key(usual))


def _key(payload: Json) -> str:
    key: str = payload["Actions"][0]["Kinesis"]["PartitionKey"]
    return key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"topic_filter": "$aws/things/+/shadow/update", "partition_key": "${topic(3)}"},
            r"topic_filter='\$aws/things/\+/shadow/update' is a reserved topic.*; remove basic_ingest",
        ),
        (
            {"partition_key": "${topic()}"},
            r"partition_key='\$\{topic\(\)\}' is the whole topic.*; name the level of the device ID",
        ),
    ],
)
def test_what_basic_ingest_makes_impossible_is_refused(
    arguments: dict[str, Any], message: str, scope: cdk.Stack
) -> None:
    with pytest.raises(ValueError, match=f"^basic_ingest=True: {message}"):
        _numbered(scope, basic_ingest=True, **arguments)
    _numbered(scope, **arguments)


# --- topic filter and partition key

_LONG = "x" * (defaults.LONGEST_TOPIC - 2)
_ACCEPTED = [
    ("device/+/telemetry", "${topic(2)}"),
    ("+/data", "${topic(1)}"),
    ("+", "${topic()}"),
    ("#", "${topic()}"),
    ("#", "${topic(1)}"),
    ("device/#", "${topic(2)}"),
    ("device/#", "${topic(7)}"),  # a level below the wildcard
    ("a/+/b/#", "${topic(2)}"),
    ("+/b/+", "${topic(2)}-${topic(3)}"),  # one is enough
    ("/+/b", "id ${topic(2)}"),
    ("gerät/+/日本", "${topic(2)}"),
    ("a b/+", "${topic(2)}"),
    (f"+/{_LONG}", "${topic(1)}"),
    ("+" + "/a" * defaults.MOST_TOPIC_SLASHES, "${topic(1)}"),
    ("$aws/things/+/shadow/name/a/b/c/d/e", "${topic(3)}"),  # reserved topics may be deeper
]


@pytest.mark.parametrize(("topic_filter", "partition_key"), _ACCEPTED)
def test_topic_filter_and_partition_key(
    topic_filter: str, partition_key: str, scope: cdk.Stack
) -> None:
    rule = _numbered(scope, topic_filter=topic_filter, partition_key=partition_key)
    payload = scope.resolve(rule.rule.topic_rule_payload)
    assert payload["sql"] == f"SELECT * FROM '{topic_filter}'"
    assert payload["actions"][0]["kinesis"]["partitionKey"] == partition_key
    assert len(payload["description"]) <= 256  # API_TopicRulePayload


_numbers = itertools.count()


def _numbered(scope: cdk.Stack, **props: Any) -> TelemetryRule:
    number = next(_numbers)
    return _rule(scope, f"Rule{number}", rule_name=f"r{number}", **props)


@pytest.fixture(scope="module")
def scope() -> cdk.Stack:
    """A stack for many constructs, which is not synthesized."""
    return fresh_stack(env=ENV)


_HASH, _PLUS = "'#' must be the whole last level", "'+' must be a whole level"
_QUOTES, _SAME = "quotation marks and control characters", "is the same for every device"
_WRONG: list[tuple[str, str, str, str]] = [
    ("", "${topic(2)}", "topic_filter", "it is empty"),
    ("a/#/b", "${topic(2)}", "topic_filter", _HASH),
    ("#/b", "${topic(1)}", "topic_filter", _HASH),
    ("a/b#", "${topic(2)}", "topic_filter", _HASH),
    ("a/##", "${topic(2)}", "topic_filter", _HASH),
    ("a/+#", "${topic(2)}", "topic_filter", _HASH),
    ("a+b/c", "${topic(1)}", "topic_filter", _PLUS),
    ("a/++", "${topic(2)}", "topic_filter", _PLUS),
    ("a/+b/#", "${topic(3)}", "topic_filter", _PLUS),
    ("a' WHERE 'b/+", "${topic(2)}", "topic_filter", _QUOTES),
    ("a\n/+", "${topic(2)}", "topic_filter", _QUOTES),
    ("a\0/+", "${topic(2)}", "topic_filter", _QUOTES),
    (f"+/{_LONG}x", "${topic(1)}", "topic_filter", f"longer than {defaults.LONGEST_TOPIC} bytes"),
    (f"+/{_LONG[:-1]}ü", "${topic(1)}", "topic_filter", "bytes"),  # two bytes of UTF-8
    (
        "+" + "/a" * (defaults.MOST_TOPIC_SLASHES + 1),
        "${topic(1)}",
        "topic_filter",
        f"more than {defaults.MOST_TOPIC_SLASHES} slashes",
    ),
    ("$aws/rules/r/device/+", "${topic(5)}", "topic_filter", "pass basic_ingest=True"),
    ("+/data", "${topic(2)}", "partition_key", _SAME),
    ("device/1/telemetry", "${topic(2)}", "partition_key", _SAME),
    ("device/1/telemetry", "${topic()}", "partition_key", _SAME),
    ("device/+/#", "${topic(1)}", "partition_key", _SAME),
    ("device/+", "${topic(3)}", "partition_key", "has no level 3"),
    ("device/+", "${topic(0)}", "partition_key", "has no level 0"),
    ("device/#", "${topic(2)}${topic(0)}", "partition_key", "has no level 0"),
    ("device/+", "${deviceId}", "partition_key", "take the key from the topic"),
    ("device/+", "${topic(2)}${deviceId}", "partition_key", "take the key from the topic"),
    ("device/+", "${topic(x)}", "partition_key", "take the key from the topic"),
    ("device/+", "constant", "partition_key", "take the key from the topic"),
    ("device/+", "", "partition_key", "take the key from the topic"),
]


@pytest.mark.parametrize(("topic_filter", "partition_key", "keyword", "reason"), _WRONG)
def test_wrong_topic_filter_or_partition_key_is_refused(
    topic_filter: str, partition_key: str, keyword: str, reason: str, scope: cdk.Stack
) -> None:
    value = {"topic_filter": topic_filter, "partition_key": partition_key}[keyword]
    with pytest.raises(ValueError, match=re.escape(f"{keyword}={value!r}")) as error:
        _numbered(scope, topic_filter=topic_filter, partition_key=partition_key)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("topic_filter", "a token cannot be validated"),
        ("partition_key", "take the key from the topic"),
        ("rule_name", "a token cannot be validated"),
    ],
)
def test_token_that_cannot_be_validated_is_refused(keyword: str, reason: str) -> None:
    stack = fresh_stack()
    text = cdk.CfnParameter(stack, "Text").value_as_string
    value = f"${{topic(2)}}{text}" if keyword == "partition_key" else text
    with pytest.raises(ValueError, match=f"{keyword}=.*{reason}"):
        _rule(stack, **{keyword: value})


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"description": "x" * 257}, "description='x.*up to 256 characters"),
        ({"rule_name": "iot-telemetry"}, "rule_name='iot-telemetry': '-' is not allowed"),
        ({"rule_name": ""}, "rule_name='': the name is empty"),
        ({"rule_name": "x" * 125}, "129 characters and AWS allows 128; shorten rule_name"),
    ],
)
def test_wrong_text_is_refused(props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _rule(fresh_stack("qa7"), **props)


def test_fifo_topic_is_refused(scope: cdk.Stack) -> None:
    topic = sns.Topic(scope, "Fifo", fifo=True)
    with pytest.raises(ValueError, match=r"dlq_topic='Test/Fifo'.*without fifo=True"):
        _numbered(scope, dlq_topic=topic)


def test_error_action_is_mandatory(scope: cdk.Stack) -> None:
    incomplete: Any = TelemetryRule
    with pytest.raises(TypeError, match="dlq_topic"):
        incomplete(scope, "Incomplete", stream=kinesis.Stream(scope, "Other"))


@pytest.mark.parametrize("create", [_rule, lambda stack: DevicePolicy(stack, "Devices")])
def test_two_of_one_name_are_refused(create: Callable[[cdk.Stack], Any]) -> None:
    app = fresh_app()
    create(fresh_stack(id="One", app=app))
    with pytest.raises(ValueError, match=r"_name: .* of 'Two/\w+' is that of 'One/\w+' already"):
        create(cdk.Stack(app, "Two"))


# --- DevicePolicy: the template

_POLICY = "AWS::IoT::Policy"
_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
_THING = "${iot:Connection.Thing.ThingName}"
_ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
_COMMANDS = ["device/+/commands"]


def _resolved(value: Any) -> Any:
    """A template value with what CloudFormation puts into it."""
    if isinstance(value, dict) and value.keys().isdisjoint({"Ref", "Fn::Join"}):
        return {key: _resolved(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each) for each in value]
    text = plain(value)
    for name, known in (("Partition", "aws"), ("Region", REGION), ("AccountId", ACCOUNT)):
        text = text.replace(f"${{AWS::{name}}}", known)
    return text


def _devices(
    suffix: str = "qa7", env: cdk.Environment | None = None, **arguments: Any
) -> DevicePolicy:
    return DevicePolicy(fresh_stack(suffix, env=env), "Devices", **arguments)


def _document(**arguments: Any) -> Json:
    devices = _devices(**arguments)
    document: Json = _resolved(cdk.Stack.of(devices).resolve(devices.policy.policy_document))
    return document


@pytest.fixture(scope="module")
def policy() -> Json:
    """With commands: the default has less."""
    return _document(subscribe_topics=_COMMANDS)


def _statement(action: str, *resources: str) -> Json:
    return {
        "Effect": "Allow",
        "Action": f"iot:{action}",
        "Resource": [f"{_ARN}{resource}" for resource in resources],
        "Condition": _ATTACHED,
    }


_CONNECT = _statement("Connect", f"client/{_THING}")
_PUBLISH = _statement("Publish", f"topic/{defaults.TOPIC_FILTER.replace('+', _THING)}")
_LISTEN = [
    _statement("Subscribe", f"topicfilter/device/{_THING}/commands"),
    _statement("Receive", f"topic/device/{_THING}/commands"),
]


@pytest.mark.parametrize("env", [None, ENV])
@pytest.mark.parametrize(
    ("arguments", "statements"),
    [
        ({}, [_CONNECT, _PUBLISH]),
        ({"subscribe_topics": _COMMANDS}, [_CONNECT, _PUBLISH, *_LISTEN]),
        ({"publish_topics": [], "subscribe_topics": _COMMANDS}, [_CONNECT, *_LISTEN]),
        (
            {"publish_topics": ("fleet/+/data", "$aws/things/+/shadow/update")},
            [
                _CONNECT,
                _statement(
                    "Publish",
                    f"topic/fleet/{_THING}/data",
                    f"topic/$aws/things/{_THING}/shadow/update",
                ),
            ],
        ),
    ],
)
def test_policy_document(
    arguments: dict[str, Any], statements: list[Json], env: cdk.Environment | None
) -> None:
    document = _document(env=env, **arguments)
    assert document == {"Version": "2012-10-17", "Statement": statements}


@pytest.mark.parametrize(
    ("policy_name", "expected"),
    [
        (None, f"{defaults.NAME_PREFIX}-{defaults.DEVICE_POLICY_NAME}-qa7"),
        ("truck", "truck-qa7"),
        (cdk.PhysicalName.GENERATE_IF_NEEDED, None),
    ],
)
def test_policy_name_and_arn(policy_name: str | None, expected: str | None) -> None:
    devices = _devices(policy_name=policy_name)
    stack = cdk.Stack.of(devices)
    cdk.CfnOutput(stack, "Arn", value=devices.policy_arn)
    cdk.CfnOutput(stack, "Name", value=devices.policy_name)
    synthesized = template_of(stack)
    id = the_id(synthesized, _POLICY)
    assert one(synthesized, _POLICY).get("PolicyName") == expected
    assert synthesized["Outputs"]["Arn"]["Value"] == {"Fn::GetAtt": [id, "Arn"]}
    assert synthesized["Outputs"]["Name"]["Value"] == (expected or {"Ref": id})


@pytest.mark.parametrize("basic_ingest", [False, True])
@pytest.mark.parametrize(
    ("more", "and_on"),
    [({}, []), ({"publish_topics": ["device/+/telemetry"]}, ["device/+/telemetry"])],
)
def test_policy_of_a_rule(basic_ingest: bool, more: dict[str, Any], and_on: list[str]) -> None:
    """With the topic filter as well, while devices change to Basic Ingest."""
    stack = fresh_stack(env=ENV)
    rule = _rule(stack, topic_filter="fleet/+/data", basic_ingest=basic_ingest)
    devices = DevicePolicy(stack, "Devices", rule=rule, **more)
    document = _resolved(stack.resolve(devices.policy.policy_document))
    published = [rule.publish_topic, *and_on]
    topics = [f"topic/{topic.replace('+', _THING)}" for topic in published]
    assert document["Statement"] == [_CONNECT, _statement("Publish", *topics)]


def test_policy_of_a_rule_follows_its_generated_name() -> None:
    """Also to another stack; a name that is known needs no reference."""
    app = fresh_app()
    data, ours = (fresh_stack("dev", id=id, app=app, env=ENV) for id in ("Data", "Devices"))
    generated = cdk.PhysicalName.GENERATE_IF_NEEDED
    rule = _rule(data, "Generated", rule_name=generated, basic_ingest=True)
    named = _rule(data, "Named", basic_ingest=True)
    DevicePolicy(data, "Here", rule=rule, policy_name="here")
    DevicePolicy(ours, "There", rule=rule, policy_name="there")
    there = one(template_of(ours), _POLICY)["PolicyDocument"]["Statement"][1]["Resource"]
    here = one(template_of(data), _POLICY)["PolicyDocument"]["Statement"][1]["Resource"]
    topic = f"/device/{_THING}/telemetry"
    id = data.resolve(rule.rule_name)["Ref"]
    assert plain(here[0]).split("topic/")[1] == f"$aws/rules/${{{id}}}{topic}"
    assert "Fn::ImportValue" in json.dumps(there)
    known = fresh_stack("dev", id="Known", app=app, env=ENV)
    DevicePolicy(known, "Known", rule=named, policy_name="known")
    assert known.dependencies == []


def test_policy_of_a_rule_beside_what_the_rule_refers_to() -> None:
    app = fresh_app()
    data, ingestion = (fresh_stack("dev", id=id, app=app, env=ENV) for id in ("Data", "Ingestion"))
    stream = MonitoredStream(data, "Stream")
    generated = cdk.PhysicalName.GENERATE_IF_NEEDED
    rules = [
        _rule(ingestion, f"Rule{name}", stream=stream, rule_name=name, basic_ingest=True)
        for name in ("known", generated)
    ]
    DevicePolicy(data, "Known", rule=rules[0])
    with pytest.raises(
        ValueError,
        match=r"^DevicePolicy\(rule='Ingestion/Rule.*by TelemetryRule\(stream='Data/Stream'",
    ):
        DevicePolicy(data, "Generated", rule=rules[1], policy_name="generated")


@pytest.mark.parametrize(
    ("topic_filter", "partition_key", "message"),
    [
        ("device/#", "${topic(2)}", "rule has 'device/#', in which 0 levels"),
        ("site/+/device/+", "${topic(4)}", r"rule has 'site/\+/device/\+', in which 2 levels"),
        ("+/*", "${topic(1)}", r"rule has '\+/\*' with '\*' in a level"),
    ],
)
def test_policy_of_a_rule_without_one_level_for_the_thing_is_refused(
    topic_filter: str, partition_key: str, message: str, scope: cdk.Stack
) -> None:
    rule = _numbered(scope, topic_filter=topic_filter, partition_key=partition_key)
    with pytest.raises(ValueError, match=message):
        DevicePolicy(scope, f"Devices{next(_numbers)}", rule=rule)


@pytest.mark.parametrize("more", [["fleet/b/+"], ["$aws/rules/other/fleet/b/+"]])
def test_one_thing_per_topic_with_and_without_basic_ingest(
    more: list[str], scope: cdk.Stack
) -> None:
    """The rule takes ``fleet/b/data`` from ``b`` only, also if ``data`` may publish there."""
    rule = _numbered(scope, topic_filter="fleet/+/data", basic_ingest=True)
    with pytest.raises(ValueError, match="are both 'fleet/b/data', one for the thing 'b'"):
        DevicePolicy(scope, f"Devices{next(_numbers)}", rule=rule, publish_topics=more)


# --- DevicePolicy: what devices can do

_NAME = "abcXYZ019:_-"  # CreateThing API: [a-zA-Z0-9:_-]+
_THINGS = st.one_of(
    st.sampled_from(["device", "telemetry", "commands", "client", "a", "aa", "a-1"]),
    st.text(_NAME, min_size=1, max_size=8),
)
_LEVELS = st.one_of(
    st.sampled_from(
        ["device", "telemetry", "commands", "", "+", "#", "*", "?", ".*", "$aws", _THING]
    ),
    _THINGS,
)


@st.composite
def _attempts(draw: st.DrawFn) -> tuple[str, str, str]:
    """A thing, another one, and a topic or filter that the first one tries; often one that is somebody's."""
    mine, other = draw(st.tuples(_THINGS, _THINGS).filter(lambda pair: pair[0] != pair[1]))
    levels = ["device", draw(st.sampled_from([mine, other])), draw(_LEVELS)]
    for _ in range(draw(st.integers(0, 2))):
        where = draw(st.integers(0, len(levels) - 1))
        levels[where : where + draw(st.integers(0, 1))] = [draw(_LEVELS)]
    return mine, other, "/".join(levels)


def _connected(thing: str, *, exclusive: bool = False) -> Connection:
    return Connection(thing, frozenset({thing}), exclusive)


@given(attempt=_attempts(), exclusive=st.booleans())
@example(attempt=("a", "b", "device/a/telemetry"), exclusive=False)
@example(attempt=("a", "b", "device/b/telemetry"), exclusive=False)
@example(attempt=("a", "b", "device/+/telemetry"), exclusive=True)
@settings(deadline=None, max_examples=400)
def test_a_device_publishes_on_its_own_topic_and_on_no_other(
    attempt: tuple[str, str, str], exclusive: bool, policy: Json
) -> None:
    mine, _, topic = attempt
    device = _connected(mine, exclusive=exclusive)
    allowed = is_allowed(policy, device, "iot:Publish", f"{_ARN}topic/{topic}")
    assert allowed is (topic == f"device/{mine}/telemetry")
    assert not is_allowed(policy, device, "iot:RetainPublish", f"{_ARN}topic/{topic}")


@given(attempt=_attempts())
@example(attempt=("a", "b", "device/a/commands"))
@example(attempt=("a", "b", "device/b/commands"))
@example(attempt=("a", "b", "device/+/commands"))
@example(attempt=("a", "b", "#"))
@settings(deadline=None, max_examples=400)
def test_a_device_hears_what_is_meant_for_it_and_nothing_else(
    attempt: tuple[str, str, str], policy: Json
) -> None:
    mine, other, topic = attempt
    device, own = _connected(mine), f"device/{mine}/commands"
    subscribes = is_allowed(policy, device, "iot:Subscribe", f"{_ARN}topicfilter/{topic}")
    receives = is_allowed(policy, device, "iot:Receive", f"{_ARN}topic/{topic}")
    assert subscribes is receives is (topic == own)
    # Also by the rules of MQTT no filter it gets matches what is for another.
    assert not (subscribes and topic_matches(topic, f"device/{other}/commands"))


@given(
    client_id=st.one_of(_THINGS, st.sampled_from(["*", "?", "", "+", _THING])),
    things=st.frozensets(_THINGS, max_size=3),
)
@example(client_id="a", things=frozenset({"a"}))
@example(client_id="b", things=frozenset({"a"}))
@example(client_id="a", things=frozenset())
@settings(deadline=None)
def test_a_certificate_connects_as_its_own_thing_only(
    client_id: str, things: frozenset[str], policy: Json
) -> None:
    device = Connection(client_id, things)
    allowed = is_allowed(policy, device, "iot:Connect", f"{_ARN}client/{client_id}")
    assert allowed is (client_id in things)


@pytest.mark.parametrize("client_id", ["b", "*", _THING])
def test_a_certificate_of_one_thing_alone_connects_under_its_name_only(
    client_id: str, policy: Json
) -> None:
    """Attached exclusively, the thing is known whatever the client id: the id is refused all the same."""
    device = Connection(client_id, frozenset({"a"}), exclusive=True)
    assert not is_allowed(policy, device, "iot:Connect", f"{_ARN}client/{client_id}")
    assert is_allowed(policy, _connected("a", exclusive=True), "iot:Connect", f"{_ARN}client/a")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iot:Connect", "client/a"),
        ("iot:Publish", "topic/device/a/telemetry"),
        ("iot:Subscribe", "topicfilter/device/a/commands"),
        ("iot:Receive", "topic/device/a/commands"),
    ],
)
def test_a_certificate_without_a_thing_can_do_nothing(
    action: str, resource: str, policy: Json
) -> None:
    """A stolen certificate whose thing is gone, or one that was never given to a thing, under any name."""
    assert is_allowed(policy, _connected("a"), action, _ARN + resource)
    assert not is_allowed(policy, Connection("a", frozenset()), action, _ARN + resource)
    assert not is_allowed(policy, Connection("a", frozenset({"b"})), action, _ARN + resource)


@pytest.mark.parametrize(
    ("action", "kind"),
    [("iot:Publish", "topicfilter"), ("iot:Receive", "topicfilter"), ("iot:Subscribe", "topic")],
)
def test_the_types_of_resources_are_not_mixed_up(action: str, kind: str, policy: Json) -> None:
    for topic in ("device/a/telemetry", "device/a/commands"):
        assert not is_allowed(policy, _connected("a"), action, f"{_ARN}{kind}/{topic}")


def test_another_region_or_account_is_another_broker(policy: Json) -> None:
    for place in ("us-east-1:123456789012", "eu-central-1:210987654321"):
        topic = f"arn:aws:iot:{place}:topic/device/a/telemetry"
        assert not is_allowed(policy, _connected("a"), "iot:Publish", topic)


@given(attempt=_attempts())
@settings(deadline=None)
def test_what_reaches_the_rule_is_put_under_the_name_of_its_sender(
    attempt: tuple[str, str, str], policy: Json, rule: Json
) -> None:
    """This is why the partition key can be trusted: policy and rule read the same level of the topic."""
    mine, _, tried = attempt
    payload = rule["TopicRulePayload"]
    key = payload["Actions"][0]["Kinesis"]["PartitionKey"]
    topic_filter = parse_topic_filter(payload["Sql"])
    assert topic_filter is not None
    for topic in (tried, f"device/{mine}/telemetry"):
        seen = topic_matches(topic_filter, topic)
        if is_allowed(policy, _connected(mine), "iot:Publish", f"{_ARN}topic/{topic}"):
            assert seen
            assert key_of(key, topic) == mine


@given(attempt=_attempts())
@settings(deadline=None)
def test_by_basic_ingest_as_well_what_reaches_the_rule_has_the_name_of_its_sender(
    attempt: tuple[str, str, str],
    rules: Mapping[str, TelemetryRule],
    template: Callable[[str], Json],
) -> None:
    mine, _, tried = attempt
    synthesized = template("basic_ingest")
    document = _resolved(one(synthesized, _POLICY)["PolicyDocument"])
    payload = _payload(synthesized)
    prefix = f"$aws/rules/{rules['basic_ingest'].rule_name}/"
    topic_filter = parse_topic_filter(payload["Sql"])
    assert topic_filter is not None
    for topic in (tried, f"device/{mine}/telemetry"):
        allowed = is_allowed(
            document, _connected(mine), "iot:Publish", f"{_ARN}topic/{prefix}{topic}"
        )
        assert allowed is (topic == f"device/{mine}/telemetry")
        assert not is_allowed(document, _connected(mine), "iot:Publish", f"{_ARN}topic/{topic}")
        if allowed:
            assert topic_matches(topic_filter, topic)
            assert key_of(_key(payload), topic) == mine


@pytest.fixture(scope="module")
def rule(template: Callable[[str], Json]) -> Json:
    return one(template("default"), _RULE)


# --- DevicePolicy: what a caller can ask for

_TOPICS = st.lists(st.sampled_from(["+", "+", "a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@given(topics=st.lists(_TOPICS, min_size=1, max_size=3), things=st.permutations("abc"))
@example(topics=["a/+", "+/b"], things=["b", "a", "c"])
@settings(deadline=None)
def test_whatever_topics_are_accepted_no_two_things_share_one(
    topics: list[str], things: list[str], scope: cdk.Stack
) -> None:
    number = next(_numbers)
    try:
        made = DevicePolicy(
            scope, f"Devices{number}", policy_name=f"p{number}", publish_topics=topics
        )
    except ValueError:
        assume(False)
    document = _resolved(scope.resolve(made.policy.policy_document))
    mine, other, _ = things
    for topic in topics:
        own = _ARN + "topic/" + topic.replace("+", mine)
        assert is_allowed(document, _connected(mine), "iot:Publish", own)
        assert not is_allowed(document, _connected(other), "iot:Publish", own)


_NOT_A_TOPIC: list[tuple[dict[str, Any], str, str]] = [
    ({"publish_topics": ["telemetry"]}, "'telemetry', in which 0 levels", "'device/+/telemetry'"),
    ({"publish_topics": [""]}, "'', in which 0 levels are '+'", "'device/+/telemetry'"),
    ({"publish_topics": ["+/+/x"]}, "'+/+/x', in which 2 levels", "'device/+/telemetry'"),
    ({"publish_topics": ["d+/x"]}, "'d+/x', in which 0 levels", "exactly one"),
    ({"publish_topics": ["$aws/rules/+"]}, "in place of the rule", "pass rule="),
    (
        {"publish_topics": ["$aws/rules/+/device/a/telemetry", "device/+/telemetry"]},
        "'$aws/rules/+/device/a/telemetry' with '+' in place of the rule",
        "pass rule=",
    ),
    ({"publish_topics": ["+/d+"]}, "'+/d+' with '+' in a level", "name each topic"),
    ({"publish_topics": ["device/+/*"]}, "'device/+/*' with '*' in a level", "name each topic"),
    ({"publish_topics": ["device/+/x?"]}, "'device/+/x?' with '?' in a level", "name each topic"),
    (
        {"subscribe_topics": ["device/+/#"]},
        "subscribe_topics has 'device/+/#' with '#'",
        "one level '+'",
    ),
    (
        {"publish_topics": ["+/${iot:ClientId}"]},
        "publish_topics has '+/${iot:ClientId}' with '${' in a level",
        "one level '+' for the thing's name",
    ),
    (
        {"publish_topics": ["a/+/c"], "subscribe_topics": ["a/b/+"]},
        "'a/+/c' and 'a/b/+' are both 'a/b/c', one for the thing 'b' and one for the thing 'c'",
        "put the '+' into the same level of both",
    ),
    ({"policy_name": "iot/device"}, "policy_name='iot/device': '/' is not allowed", "use a-z"),
    ({"policy_name": ""}, "policy_name=''", "remove policy_name"),
    ({"policy_name": "x" * 125}, "129 characters and AWS allows 128", "shorten policy_name"),
]


@pytest.mark.parametrize(("arguments", "value", "remedy"), _NOT_A_TOPIC)
def test_wrong_topic_or_name_is_refused(arguments: dict[str, Any], value: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(value)) as error:
        _devices(**arguments)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    "topics",
    [["a/+", "+/a"], ["a/+", "a/+/b"], ["a/+", "b/+"], ["a/+", "a/+"], ["a/+/c", "+/x/y"]],
)
def test_topics_that_no_two_things_share_are_accepted(topics: list[str]) -> None:
    published = _document(publish_topics=topics)["Statement"][1]["Resource"]
    assert published == [f"{_ARN}topic/{topic.replace('+', _THING)}" for topic in topics]


def test_topic_that_is_a_token_is_refused(scope: cdk.Stack) -> None:
    topic = cdk.CfnParameter(scope, "Topic0").value_as_string
    with pytest.raises(ValueError, match="a token, which cannot be validated; pass a literal"):
        DevicePolicy(scope, "Token", publish_topics=[topic])


@pytest.mark.parametrize(
    ("env", "region"), [(None, "x" * 14), (ENV, REGION)], ids=["anywhere", "placed"]
)
def test_a_policy_as_long_as_aws_allows_and_one_that_is_longer(
    env: cdk.Environment | None, region: str
) -> None:
    """Counted as AWS does, without white space, with the longest names where they are not known yet."""

    def length(document: Json) -> int:
        text = json.dumps(document).replace(" ", "")
        return len(text.replace("arn:aws:", "arn:aws-us-gov:").replace(REGION, region))

    room = defaults.DEVICE_POLICY_MAX_LENGTH - length(_document(env=env, publish_topics=["+/"]))
    fitting = _document(env=env, publish_topics=["+/" + "x" * room])
    assert length(fitting) == defaults.DEVICE_POLICY_MAX_LENGTH
    limit = defaults.DEVICE_POLICY_MAX_LENGTH
    with pytest.raises(ValueError, match=f"up to {limit + 1} characters and AWS allows {limit}"):
        _document(env=env, publish_topics=["+/" + "x" * (room + 1)])


def test_a_generated_rule_name_counts_as_the_longest() -> None:
    def length(rule_name: str, more: int) -> None:
        stack = fresh_stack("qa7", env=ENV)
        rule = _rule(stack, rule_name=rule_name, basic_ingest=True)
        DevicePolicy(stack, "Devices", rule=rule, publish_topics=["+/" + "x" * more])

    longest = "r" * (128 - len("_qa7"))
    with pytest.raises(ValueError, match="need a policy of up to") as error:
        length(longest, defaults.DEVICE_POLICY_MAX_LENGTH)
    (needed,) = re.findall(r"up to (\d+) characters", str(error.value))
    room = 2 * defaults.DEVICE_POLICY_MAX_LENGTH - int(needed)
    for name in (longest, cdk.PhysicalName.GENERATE_IF_NEEDED):
        length(name, room)
        with pytest.raises(ValueError, match="need a policy of up to"):
            length(name, room + 1)


# --- the evaluator itself

# One statement on one resource, and what of it AWS's pages say it matches (I pub-sub-policy.html,
# I audit-chk-iot-misconfigured-policies.html).
_MATCHING = [
    ("topic/some/?????/topic", "topic/some/abcde/topic", True),
    ("topic/some/?????/topic", "topic/some/abcd/topic", False),
    ("topicfilter/some/sensor*/topic", "topicfilter/some/sensor7/topic", True),
    ("topicfilter/some/*/topic", "topicfilter/some/a/b/topic", True),
    ("topicfilter/some/+/topic", "topicfilter/some/a/topic", False),
    ("topicfilter/some/+/topic", "topicfilter/some/+/topic", True),
    ("topicfilter/building/*", "topicfilter/building/#", True),
    ("topicfilter/building/#", "topicfilter/building/room", False),
    ("topic/building/*", "topicfilter/building/room", False),
    ("topic/${iot:Connection.Thing.ThingName}/*", "topic/me/x", True),
    ("topic/${iot:Connection.Thing.ThingName}/*", "topic/you/x", False),
    ("topic/${iot:ClientId}", "topic/me", True),
    ("topic/${iot:Connection.Thing.Attributes[room]}", "topic/me", False),
    ("topic/a.c", "topic/abc", False),
]


@pytest.mark.parametrize(("resource", "asked", "matches"), _MATCHING)
def test_the_evaluator_matches_as_documented(resource: str, asked: str, matches: bool) -> None:
    statement = {"Effect": "Allow", "Action": "iot:*", "Resource": resource}
    assert is_allowed({"Statement": [statement]}, _connected("me"), "iot:Any", asked) is matches


def test_the_evaluator_lets_a_deny_win_unless_it_means_its_wildcard_literally() -> None:
    """The example of AWS's audit check: a Deny with # in it denies next to nothing."""
    allow = {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "topicfilter/building/*"}
    for denied, allowed in (("control_room/*", False), ("control_room/#", True)):
        deny = {**allow, "Effect": "Deny", "Resource": f"topicfilter/building/{denied}"}
        asked = "topicfilter/building/control_room/data1"
        document = {"Statement": [allow, deny]}
        assert is_allowed(document, _connected("me"), "iot:Subscribe", asked) is allowed


@pytest.mark.parametrize(
    "more", [{"NotResource": "x"}, {"Condition": {"StringLike": {"iot:ClientId": "*"}}}]
)
def test_the_evaluator_guesses_nothing(more: Json) -> None:
    statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "client/me", **more}
    with pytest.raises(NotImplementedError):
        is_allowed({"Statement": [statement]}, _connected("me"), "iot:Connect", "client/me")
