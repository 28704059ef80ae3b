"""DevicePolicy: a device can speak for itself and for no other, whatever it is called and whatever it tries.

AWS's decision is taken by an evaluator (iot_policy_evaluator.py) over the policy of the template. tests/e2e has the
same with a broker that evaluates it on its own.
"""

from __future__ import annotations

import inspect
import itertools
import json
import re
import textwrap
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from examples.iot_pipeline.local.rule_engine import parse_topic_filter, topic_matches
from examples.iot_pipeline.local.rule_engine import substitute as key_of
from iot_constructs import DevicePolicy, MonitoredStream, TelemetryRule
from tests.iot_policy_evaluator import Connection, is_allowed
from tests.synth_support import ACCOUNT, ENV, REGION, Json, fresh_stack, one, template_of
from tests.test_whole_pipeline import plain, the_id

_POLICY = "AWS::IoT::Policy"
_ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
_THING = "${iot:Connection.Thing.ThingName}"
_ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
_COMMANDS = ["device/+/commands"]


def _in_place(value: Any) -> Any:
    """A template value with what CloudFormation puts into it."""
    if isinstance(value, dict) and value.keys().isdisjoint({"Ref", "Fn::Join"}):
        return {key: _in_place(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_in_place(each) for each in value]
    text = plain(value)
    for name, known in (("Partition", "aws"), ("Region", REGION), ("AccountId", ACCOUNT)):
        text = text.replace(f"${{AWS::{name}}}", known)
    return text


def _template(suffix: str = "qa7", env: cdk.Environment | None = None, **arguments: Any) -> Json:
    stack = fresh_stack(suffix, env=env)
    DevicePolicy(stack, "Devices", **arguments)
    return template_of(stack)


def _document(**arguments: Any) -> Json:
    document: Json = _in_place(one(_template(**arguments), _POLICY)["PolicyDocument"])
    return document


@pytest.fixture(scope="module")
def policy() -> Json:
    """With commands: the default has less."""
    return _document(subscribe_topics=_COMMANDS)


# --- what is in the template ----------------------------------------------------------------------


@pytest.mark.parametrize("env", [None, ENV])
def test_a_device_connects_and_publishes_and_that_is_all(env: cdk.Environment | None) -> None:
    assert _document(env=env) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": [f"{_ARN}client/{_THING}"],
                "Condition": _ATTACHED,
            },
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": [f"{_ARN}topic/device/{_THING}/telemetry"],
                "Condition": _ATTACHED,
            },
        ],
    }


def test_what_it_subscribes_to_it_may_receive_each_on_its_own_type_of_resource(
    policy: Json,
) -> None:
    assert policy["Statement"][2:] == [
        {
            "Effect": "Allow",
            "Action": f"iot:{action}",
            "Resource": [f"{_ARN}{kind}/device/{_THING}/commands"],
            "Condition": _ATTACHED,
        }
        for action, kind in (("Subscribe", "topicfilter"), ("Receive", "topic"))
    ]


def test_no_statement_has_a_wildcard_and_each_is_about_this_thing(policy: Json) -> None:
    for statement in policy["Statement"]:
        assert not set("*?") & set(json.dumps(statement))
        assert all(_THING in resource for resource in statement["Resource"])
        assert statement["Condition"] == _ATTACHED


def test_a_device_that_only_listens_may_publish_nothing() -> None:
    statements = _document(publish_topics=[], subscribe_topics=_COMMANDS)["Statement"]
    assert [each["Action"] for each in statements] == [
        "iot:Connect",
        "iot:Subscribe",
        "iot:Receive",
    ]


def test_values_of_the_caller() -> None:
    template = _template(
        policy_name="lorry",
        publish_topics=("fleet/+/data", "$aws/things/+/shadow/update"),
        environment_suffix="green",
    )
    assert one(template, _POLICY)["PolicyName"] == "lorry-green"
    published = _in_place(one(template, _POLICY)["PolicyDocument"])["Statement"][1]["Resource"]
    assert published == [
        f"{_ARN}topic/fleet/{_THING}/data",
        f"{_ARN}topic/$aws/things/{_THING}/shadow/update",
    ]


def test_name_arn_and_id() -> None:
    stack = fresh_stack("pr-1")
    devices = DevicePolicy(stack, "Devices")
    assert devices.policy_name == "iot-telemetry-device-pr-1"
    assert [child.node.id for child in devices.node.children] == ["Policy"]
    cdk.CfnOutput(stack, "Arn", value=devices.policy_arn)
    template = template_of(stack)
    arn = {"Fn::GetAtt": [the_id(template, _POLICY), "Arn"]}
    assert template["Outputs"]["Arn"]["Value"] == arn
    assert {"Key": "Environment", "Value": "pr-1"} in one(template, _POLICY)["Tags"]


def test_the_example_of_the_docstring_runs() -> None:
    code = (inspect.getdoc(DevicePolicy) or "").split("Example::")[1]
    stack = fresh_stack()
    exec(compile(textwrap.dedent(code), "docstring", "exec"), {"stack": stack})
    assert len(one(template_of(stack), _POLICY)["PolicyDocument"]["Statement"]) == 4


# --- what devices can do --------------------------------------------------------------------------

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
    for topic in (tried, f"device/{mine}/telemetry"):
        seen = topic_matches(parse_topic_filter(payload["Sql"]), topic)
        if is_allowed(policy, _connected(mine), "iot:Publish", f"{_ARN}topic/{topic}"):
            assert seen
            assert key_of(key, topic) == mine


@pytest.fixture(scope="module")
def rule() -> Json:
    stack = fresh_stack()
    TelemetryRule(
        stack, "Rule", stream=MonitoredStream(stack, "Stream"), dlq_topic=sns.Topic(stack, "Dlq")
    )
    return one(template_of(stack), "AWS::IoT::TopicRule")


# --- what a caller can ask for --------------------------------------------------------------------

_TOPICS = st.lists(st.sampled_from(["+", "+", "a", "b", "c"]), min_size=1, max_size=3).map("/".join)
_stacks = itertools.count()


@given(topics=st.lists(_TOPICS, min_size=1, max_size=3), things=st.permutations("abc"))
@example(topics=["a/+", "+/b"], things=["b", "a", "c"])
@settings(deadline=None)
def test_whatever_topics_are_accepted_no_two_things_share_one(
    topics: list[str], things: list[str], one_stack: cdk.Stack
) -> None:
    number = next(_stacks)
    try:
        made = DevicePolicy(
            one_stack, f"Devices{number}", policy_name=f"p{number}", publish_topics=topics
        )
    except ValueError:
        assume(False)
    document = _in_place(one_stack.resolve(made.policy.policy_document))
    mine, other, _ = things
    for topic in topics:
        own = _ARN + "topic/" + topic.replace("+", mine)
        assert is_allowed(document, _connected(mine), "iot:Publish", own)
        assert not is_allowed(document, _connected(other), "iot:Publish", own)


@pytest.fixture(scope="module")
def one_stack() -> cdk.Stack:
    return fresh_stack(env=ENV)


_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"publish_topics": "device/+/telemetry"},
        "publish_topics='device/+/telemetry' is one topic",
        "pass a list: publish_topics=['device/+/telemetry']",
    ),
    ({"publish_topics": ["telemetry"]}, "'telemetry', in which 0 levels", "'device/+/telemetry'"),
    ({"publish_topics": [""]}, "'', in which 0 levels are '+'", "'device/+/telemetry'"),
    ({"publish_topics": ["+/+/x"]}, "'+/+/x', in which 2 levels", "'device/+/telemetry'"),
    ({"publish_topics": ["d+/x"]}, "'d+/x', in which 0 levels", "exactly one"),
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
        "one level '+' for the name of the thing",
    ),
    ({"subscribe_topics": "device/+/x"}, "subscribe_topics='device/+/x' is one", "['device/+/x']"),
    (
        {"publish_topics": ["a/+/c"], "subscribe_topics": ["a/b/+"]},
        "'a/+/c' and 'a/b/+' are both 'a/b/c', one for the thing 'b' and one for the thing 'c'",
        "put the '+' into the same level of both",
    ),
    ({"policy_name": "iot/device"}, "'iot/device' has '/'", "AWS allows a-zA-Z0-9_+=,.@-"),
    ({"policy_name": ""}, "stem is empty", "leave the argument out"),
    ({"policy_name": "x" * 125}, "129 characters and AWS allows 128", "by 1"),
]


@pytest.mark.parametrize(("arguments", "value", "fix"), _REFUSED)
def test_what_it_refuses_names_the_value_and_the_fix(
    arguments: dict[str, Any], value: str, fix: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(value)) as refusal:
        DevicePolicy(fresh_stack("qa7"), "Devices", **arguments)
    assert fix in str(refusal.value)


def test_topics_that_are_the_same_for_the_same_thing_only_are_fine() -> None:
    one_level_differs = ["a/+/c", "+/x/y"]
    for topics in (
        ["a/+", "+/a"],
        ["a/+", "a/+/b"],
        ["a/+", "b/+"],
        ["a/+", "a/+"],
        one_level_differs,
    ):
        DevicePolicy(fresh_stack(), "Devices", publish_topics=topics)


def test_a_topic_that_cannot_be_read_here_is_refused() -> None:
    stack = fresh_stack()
    topic = cdk.CfnParameter(stack, "Topic").value_as_string
    with pytest.raises(ValueError, match="a token, which cannot be checked; pass a literal"):
        DevicePolicy(stack, "Devices", publish_topics=[topic])


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

    room = 2048 - length(_document(env=env, publish_topics=["+/"]))
    batch_length = _document(env=env, publish_topics=["+/" + "x" * room])
    assert length(batch_length) == 2048
    with pytest.raises(ValueError, match="up to 2049 characters and AWS allows 2048") as refusal:
        _document(env=env, publish_topics=["+/" + "x" * (room + 1)])
    assert "put some topics into a second DevicePolicy" in str(refusal.value)


def test_two_policies_under_one_name_are_refused() -> None:
    stack = fresh_stack()
    DevicePolicy(stack, "Devices")
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        DevicePolicy(stack, "Others")
    assert "IoT policy name 'iot-telemetry-device-dev'" in str(refusal.value)


# --- the evaluator itself -------------------------------------------------------------------------

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
