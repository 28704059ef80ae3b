"""IOT_18, IOT_19 and IOT_20: IoT rules."""

from __future__ import annotations

from typing import Any

import pytest

from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.rule import Finding
from tests.rules.compliant_pipeline import Json, check, ref, resource, template

IF = {"Fn::If": ["Condition", ref("One"), ref("Other")]}
IDS = ("IOT_18", "IOT_19", "IOT_20")


def payload(*actions: Any, **changes: Any) -> Json:
    """A compliant payload, changed; None is not set."""
    compliant = {
        "Sql": "SELECT * FROM 'device/+/telemetry'",
        "AwsIotSqlVersion": "2016-03-23",
        "ErrorAction": {"Sns": {"TargetArn": "t", "RoleArn": "r"}},
        "Actions": list(actions) if actions else [kinesis("${topic(2)}")],
    }
    return {key: value for key, value in {**compliant, **changes}.items() if value is not None}


def kinesis(partition_key: Any) -> Json:
    return {"Kinesis": {"StreamName": "s", "RoleArn": "r", "PartitionKey": partition_key}}


def findings(payload: Any) -> list[Finding]:
    resources = {"Rule": resource("AWS::IoT::TopicRule", TopicRulePayload=payload)}
    return [it for it in check(template(resources)) if it.rule_id[:6] in IDS]


def found(payload: Any) -> list[tuple[str, str, str]]:
    return [(it.rule_id[:6], it.detail, it.property_path) for it in findings(payload)]


@pytest.mark.parametrize(
    "key",
    [
        "${topic(2)}",
        "${clientid()}",
        "${principal()}",
        "reading-${newuuid()}",
        "${timestamp()}",
        "${concat(topic(2), '-', clientid())}",
        "${concat(topic(2), 'deviceId')}",
        "${cast(topic(2) as Int)}",
        "${CASE topic(2) WHEN 'a' THEN 'b' ELSE topic(3) END}",
        "${get_thing_shadow(topic(2), 'r').state}",
        "${@device}",
        ref("Parameter"),
        {"Fn::Sub": "${!topic(2)}${Parameter}"},
        {"Fn::If": ["Condition", "${deviceId}", "${topic(2)}"]},
        {"Fn::If": ["Condition", "${deviceId}", ref("Parameter")]},
        IF,
    ],
)
def test_a_key_that_does_not_come_from_the_payload(key: Any) -> None:
    assert found(payload(kinesis(key))) == []


@pytest.mark.parametrize(
    "key",
    [
        "${deviceId}",
        "${ deviceId }",
        "site-${state.reported.id}",
        "${upper(deviceId)}",
        "${topic(1)}-${deviceId}",
        "${concat(topic(2), deviceId)}",
        "${cast(deviceId as String)}",
        "${value}",
        "${get(*, 'id')}",
        "${*}",
        {"Fn::Sub": "${!deviceId}"},
        {"Fn::Sub": "${!deviceId}-${Parameter}"},
        {"Fn::Join": ["-", ["${deviceId}", ref("Parameter")]]},
        {"Fn::If": ["Condition", "${deviceId}", "${id}"]},
    ],
)
def test_a_key_that_comes_from_the_payload(key: Any) -> None:
    [(rule_id, detail, path)] = found(payload({"Lambda": {"FunctionArn": "f"}}, IF, kinesis(key)))
    assert rule_id == "IOT_20"
    assert "a device can send any id" in detail
    assert path.endswith("Actions/3/Kinesis/PartitionKey")  # the IF is two


@pytest.mark.parametrize(
    "key", ["all", "deviceId", {"Fn::If": ["Condition", "all", "none"]}, {"Fn::Sub": "all"}]
)
def test_a_constant_key(key: Any) -> None:
    [(rule_id, detail, _)] = found(payload(kinesis(key)))
    assert rule_id == "IOT_20"
    assert "is constant" in detail


@pytest.mark.parametrize("other", ["${deviceId}", None, ref("Parameter"), "${topic(2)}"])
def test_a_key_that_is_constant_in_one_branch(other: Any) -> None:
    no_value = ref("AWS::NoValue")
    key = {"Fn::If": ["Condition", "all", no_value if other is None else other]}
    expected = ["IOT_20"] if other == "${deviceId}" else []
    assert [rule_id for rule_id, _, _ in found(payload(kinesis(key)))] == expected


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        ("SELECT * FROM 'device/+/telemetry'", "${topic(2)}"),
        ("SELECT * FROM '+/data'", "${topic(1)}"),
        ('select * from "a/b/+/c/+" where x > 1', "${topic(3)}"),
        ("SELECT * FROM 'device/data'", "${clientid()}"),
        ("SELECT * FROM 'device/#'", "${clientid()}"),
        (ref("Parameter"), "${clientid()}"),
    ],
)
def test_the_fix_has_the_level_of_the_device(sql: Any, key: str) -> None:
    [finding] = findings(payload(kinesis("${deviceId}"), Sql=sql))
    fix = RULE_BY_ID[finding.rule_id].remediation_of(finding)
    assert f'"{key}"' in fix.cdk
    assert f'PartitionKey: "{key}"' in fix.cloudformation


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "rule.add_property_override("),
        ("Stack/Rule", "rule.add_property_override("),
        ("Stack/Rule/Resource", "rule.node.default_child.add_property_override("),
    ],
)
def test_the_fix_of_an_l2_construct(path: str, expected: str) -> None:
    rule = {
        **resource("AWS::IoT::TopicRule", TopicRulePayload=payload(AwsIotSqlVersion=None)),
        "Metadata": {"aws:cdk:path": path},
    }
    [finding] = [it for it in check(template({"Rule": rule})) if it.rule_id[:6] == "IOT_19"]
    assert RULE_BY_ID[finding.rule_id].remediation_of(finding).cdk.startswith(expected)


def test_the_fix_is_for_the_action_of_the_finding() -> None:
    body = payload({"Lambda": {"FunctionArn": "f"}}, kinesis("${deviceId}"))
    [finding] = findings(body)
    fix = RULE_BY_ID[finding.rule_id].remediation_of(finding)
    assert "Actions.1.Kinesis" in fix.cdk
    assert "        - {}\n        - Kinesis" in fix.cloudformation


@pytest.mark.parametrize(
    ("changes", "rule_id", "detail"),
    [
        ({"ErrorAction": None}, "IOT_18", "no ErrorAction"),
        ({"ErrorAction": ref("AWS::NoValue")}, "IOT_18", "no ErrorAction"),
        ({"ErrorAction": {}}, "IOT_18", "no ErrorAction"),
        ({"ErrorAction": {"Sns": ref("AWS::NoValue")}}, "IOT_18", "no ErrorAction"),
        (
            {"ErrorAction": {"Fn::If": ["A", {}, ref("AWS::NoValue")]}},
            "IOT_18",
            "no ErrorAction",
        ),
        ({"AwsIotSqlVersion": None}, "IOT_19", "is not set and defaults to 2015-10-08"),
        ({"AwsIotSqlVersion": "2015-10-08"}, "IOT_19", "AwsIotSqlVersion is 2015-10-08"),
        (
            {"AwsIotSqlVersion": {"Fn::If": ["A", "2015-10-08", ref("AWS::NoValue")]}},
            "IOT_19",
            "is not set and defaults to 2015-10-08",
        ),
    ],
)
def test_what_is_not_set(changes: Json, rule_id: str, detail: str) -> None:
    [(found_id, found_detail, path)] = found(payload(**changes))
    assert found_id == rule_id
    assert detail in found_detail
    assert path == f"Properties/TopicRulePayload/{next(iter(changes))}"


@pytest.mark.parametrize(
    "body",
    [
        payload(),
        payload(AwsIotSqlVersion=IF, ErrorAction=IF, Actions=IF),
        payload(AwsIotSqlVersion={"Fn::If": ["A", "2015-10-08", "beta"]}),
        payload(ErrorAction={"Fn::If": ["A", {"Sns": {}}, ref("AWS::NoValue")]}),
        payload({"Kinesis": {"StreamName": "s", "RoleArn": "r"}}),
        payload({"Lambda": {"FunctionArn": "f"}}, IF, 3, "text"),
        IF,
        None,
        3,
    ],
)
def test_a_rule_without_findings(body: Any) -> None:
    assert found(body) == []
