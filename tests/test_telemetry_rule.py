"""TelemetryRule: what it selects, where it puts it, and what happens to a message it cannot put."""

from __future__ import annotations

import json
import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns

from iot_constructs import MonitoredStream, TelemetryRule
from tests.synth_support import ENV, Json, fresh_stack, one, one_resource, resources, template_of
from tests.test_whole_pipeline import permissions, plain, the_id

_RULE = "AWS::IoT::TopicRule"
_ROLE = "AWS::IAM::Role"
_STREAM = "AWS::Kinesis::Stream"
_TOPIC = "AWS::SNS::Topic"
_KEY = "AWS::KMS::Key"


def _rule(
    stack: cdk.Stack, stream: MonitoredStream | kinesis.IStream | None = None, **settings: Any
) -> TelemetryRule:
    return TelemetryRule(
        stack,
        "Rule",
        stream=stream if stream is not None else MonitoredStream(stack, "Stream"),
        dlq_topic=settings.pop("dlq_topic", None) or sns.Topic(stack, "Dlq"),
        **settings,
    )


def _template(suffix: str = "qa7", env: cdk.Environment | None = None, **settings: Any) -> Json:
    stack = fresh_stack(suffix, env=env)
    _rule(stack, **settings)
    return template_of(stack)


@pytest.fixture(scope="module")
def template() -> Json:
    return _template()


def _payload(template: Json) -> Json:
    payload: Json = one(template, _RULE)["TopicRulePayload"]
    return payload


def _role_arn(template: Json) -> Json:
    return {"Fn::GetAtt": [the_id(template, _ROLE), "Arn"]}


# --- defaults -------------------------------------------------------------------------------------


def test_it_selects_all_of_every_message_of_every_device(template: Json) -> None:
    assert _payload(template)["Sql"] == "SELECT * FROM 'device/+/telemetry'"


def test_it_says_which_sql_it_means(template: Json) -> None:
    assert _payload(template)["AwsIotSqlVersion"] == "2016-03-23"


def test_it_is_on_and_says_what_it_does(template: Json) -> None:
    assert _payload(template)["RuleDisabled"] is False
    assert "device/+/telemetry" in _payload(template)["Description"]


def test_it_puts_messages_on_the_stream_by_the_device_in_the_topic(template: Json) -> None:
    assert _payload(template)["Actions"] == [
        {
            "Kinesis": {
                "StreamName": {"Ref": the_id(template, _STREAM)},
                "PartitionKey": "${topic(2)}",
                "RoleArn": _role_arn(template),
            }
        }
    ]


def test_what_it_cannot_put_goes_to_the_dlq_topic(template: Json) -> None:
    assert _payload(template)["ErrorAction"] == {
        "Sns": {
            "TargetArn": {"Ref": the_id(template, _TOPIC)},
            "RoleArn": _role_arn(template),
            "MessageFormat": "RAW",
        }
    }


@pytest.mark.parametrize(
    ("suffix", "name"), [("qa7", "iot_telemetry_qa7"), ("pr-123", "iot_telemetry_pr_123")]
)
def test_its_name_has_underscores_only(suffix: str, name: str) -> None:
    assert one(_template(suffix), _RULE)["RuleName"] == name


# --- permissions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "account", "region"),
    [(None, "${AWS::AccountId}", "${AWS::Region}"), (ENV, "123456789012", "eu-central-1")],
)
def test_its_role_is_for_this_rule_of_this_account(
    env: cdk.Environment | None, account: str, region: str
) -> None:
    role = one(_template(env=env), _ROLE)
    assert role["Description"] == "IoT rule iot_telemetry_qa7"
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "iot.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
    conditions = statement["Condition"]
    assert sorted(conditions) == ["ArnEquals", "StringEquals"]
    assert {k: plain(v) for k, v in conditions["StringEquals"].items()} == {
        "aws:SourceAccount": account
    }
    (source,) = conditions["ArnEquals"].items()
    assert source[0] == "aws:SourceArn"
    assert plain(source[1]).replace("${AWS::Partition}", "aws") == (
        f"arn:aws:iot:{region}:{account}:rule/iot_telemetry_qa7"
    )


def test_its_role_may_put_records_and_publish_and_nothing_else() -> None:
    stack = fresh_stack()
    topic_key = kms.Key(stack, "TopicKey")
    _rule(stack, dlq_topic=sns.Topic(stack, "Dlq", master_key=topic_key))
    template = template_of(stack)
    (of_topic,) = [key for key in resources(template, _KEY) if key.startswith("TopicKey")]
    (of_stream,) = [key for key in resources(template, _KEY) if not key.startswith("TopicKey")]
    assert permissions(template, _role_arn(template)) == {
        ("kinesis:PutRecord", f"${{{the_id(template, _STREAM)}.Arn}}"),
        ("kms:GenerateDataKey", f"${{{of_stream}.Arn}}"),
        ("sns:Publish", f"${{{the_id(template, _TOPIC)}}}"),
        ("kms:Decrypt", f"${{{of_topic}.Arn}}"),
        ("kms:GenerateDataKey", f"${{{of_topic}.Arn}}"),
    }
    assert "ManagedPolicyArns" not in one(template, _ROLE)


def test_it_waits_for_its_permissions(template: Json) -> None:
    """Else the first messages are refused by the stream and by the topic: lost."""
    assert the_id(template, "AWS::IAM::Policy") in one_resource(template, _RULE)["DependsOn"]


def test_ids_below_it_are_kept() -> None:
    """An id is API: a resource under another one is a new resource."""
    rule = _rule(fresh_stack())
    assert {child.node.id for child in rule.node.children} == {"Role", "Rule"}


# --- custom values --------------------------------------------------------------------------------


def test_values_of_the_caller() -> None:
    template = _template(
        rule_name="lorries",
        topic_filter="fleet/lorry/+/data",
        partition_key="${topic(3)}",
        environment_suffix="green",
    )
    assert one(template, _RULE)["RuleName"] == "lorries_green"
    payload = _payload(template)
    assert payload["Sql"] == "SELECT * FROM 'fleet/lorry/+/data'"
    assert payload["Actions"][0]["Kinesis"]["PartitionKey"] == "${topic(3)}"


def test_an_imported_stream_without_a_key_and_with_a_token_for_an_arn() -> None:
    stack = fresh_stack()
    arn = cdk.Fn.import_value("stream-arn")
    _rule(stack, kinesis.Stream.from_stream_arn(stack, "Stream", arn))
    template = template_of(stack)
    assert permissions(template, _role_arn(template)) == {
        ("kinesis:PutRecord", '{"Fn::ImportValue": "stream-arn"}'),
        ("sns:Publish", f"${{{the_id(template, _TOPIC)}}}"),
    }
    name = _payload(template)["Actions"][0]["Kinesis"]["StreamName"]
    assert "stream-arn" in json.dumps(name)


def test_a_plain_stream() -> None:
    stack = fresh_stack()
    _rule(stack, kinesis.Stream(stack, "Stream"))
    template = template_of(stack)
    assert _payload(template)["Actions"][0]["Kinesis"]["StreamName"] == {
        "Ref": the_id(template, _STREAM)
    }


# --- refusals -------------------------------------------------------------------------------------

_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"partition_key": "${deviceId}"},
        "partition_key='${deviceId}' is not taken from the topic",
        "pass for example partition_key='${topic(2)}'",
    ),
    ({"partition_key": "constant"}, "partition_key='constant'", "partition_key='${topic(2)}'"),
    ({"partition_key": ""}, "partition_key=''", "partition_key='${topic(2)}'"),
    ({"topic_filter": "a' WHERE 'b"}, "topic_filter=\"a' WHERE 'b\"", "device/+/telemetry"),
    ({"topic_filter": ""}, "topic_filter=''", "device/+/telemetry"),
    ({"rule_name": "iot-telemetry"}, "'iot-telemetry' has '-'", "AWS allows a-zA-Z0-9_"),
    ({"rule_name": ""}, "stem is empty", "leave the argument out"),
    ({"rule_name": "x" * 125}, "129 characters and AWS allows 128", "by 1"),
]


@pytest.mark.parametrize(("arguments", "value", "fix"), _REFUSED)
def test_what_it_refuses_names_the_value_and_the_fix(
    arguments: dict[str, Any], value: str, fix: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(value)) as refusal:
        _rule(fresh_stack("qa7"), **arguments)
    assert fix in str(refusal.value)


def test_a_partition_key_that_cannot_be_read_here_is_refused() -> None:
    stack = fresh_stack()
    parameter = cdk.CfnParameter(stack, "Template")
    with pytest.raises(ValueError, match="is not taken from the topic"):
        _rule(stack, partition_key="${topic(2)}" + parameter.value_as_string)


def test_a_fifo_topic_is_refused() -> None:
    stack = fresh_stack()
    with pytest.raises(ValueError, match="pass a topic without fifo=True") as refusal:
        _rule(stack, dlq_topic=sns.Topic(stack, "Queueing", fifo=True))
    assert "dlq_topic='Test/Queueing' is a FIFO topic" in str(refusal.value)


def test_the_error_action_cannot_be_left_out() -> None:
    stack = fresh_stack()
    incomplete: Any = TelemetryRule
    with pytest.raises(TypeError, match="dlq_topic"):
        incomplete(stack, "Rule", stream=MonitoredStream(stack, "Stream"))


def test_two_rules_under_one_name_are_refused() -> None:
    stack = fresh_stack()
    _rule(stack)
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        TelemetryRule(
            stack, "Other", stream=kinesis.Stream(stack, "S"), dlq_topic=sns.Topic(stack, "T")
        )
    assert "IoT rule name 'iot_telemetry_dev'" in str(refusal.value)


# --- what it offers -------------------------------------------------------------------------------


def test_name_arn_and_metrics() -> None:
    stack = fresh_stack("pr-1")
    rule = _rule(stack)
    cdk.CfnOutput(stack, "Arn", value=rule.rule_arn)
    metrics = [rule.metric_throttled(), rule.metric_matched()]
    assert [(m.namespace, m.metric_name) for m in metrics] == [
        ("AWS/IoT", "RuleMessageThrottled"),
        ("AWS/IoT", "TopicMatch"),
    ]
    for metric in metrics:
        assert metric.dimensions == {"RuleName": "iot_telemetry_pr_1"}
        assert (metric.statistic, metric.period.to_seconds()) == ("Sum", 300)
    assert rule.rule_name == "iot_telemetry_pr_1"
    template = template_of(stack)
    assert template["Outputs"]["Arn"]["Value"] == {"Fn::GetAtt": [the_id(template, _RULE), "Arn"]}
