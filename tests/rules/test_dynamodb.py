"""The rules for DynamoDB tables: IOT_02, IOT_21, IOT_22, IOT_28."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from iot_constructs.rules import catalogue
from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template
from tests.rules.fix_cases import merged

Json = dict[str, Any]

RULES = ("IOT_02", "IOT_21", "IOT_22", "IOT_28")
LEFT_OUT = object()
IF = {"Fn::If": ["Condition", {"Ref": "One"}, {"Ref": "Other"}]}
NO_VALUE = {"Ref": "AWS::NoValue"}
KEYS = {
    "KeySchema": [
        {"AttributeName": "deviceId", "KeyType": "HASH"},
        {"AttributeName": "timestamp", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "deviceId", "AttributeType": "S"},
        {"AttributeName": "timestamp", "AttributeType": "N"},
    ],
}
PROTECTED = {
    "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    "DeletionProtectionEnabled": True,
}
TTL = {"TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True}}


def changed(properties: Json, changes: Json) -> Json:
    merged = {**properties, **changes}
    return {key: value for key, value in merged.items() if value is not LEFT_OUT}


def keys(sort_key: str, type: Any = "N") -> Json:
    return {
        "KeySchema": [KEYS["KeySchema"][0], {"AttributeName": sort_key, "KeyType": "RANGE"}],
        "AttributeDefinitions": [
            {"AttributeName": "deviceId", "AttributeType": "N"},
            {"AttributeName": sort_key, "AttributeType": type},
        ],
    }


def table(deletion_policy: Any = "Retain", **changes: Any) -> Json:
    """A compliant table, changed."""
    properties = changed({**KEYS, **PROTECTED, **TTL}, changes)
    body = {"Type": "AWS::DynamoDB::Table", "Properties": properties}
    return changed(body, {"DeletionPolicy": deletion_policy})


def replica(**changes: Any) -> Json:
    return changed({"Region": "eu-west-1", **PROTECTED}, changes)


def global_table(*replicas: Any, deletion_policy: Any = "Retain", **changes: Any) -> Json:
    """A compliant global table, changed."""
    compliant = {**KEYS, **TTL, "Replicas": list(replicas) if replicas else [replica()]}
    body = {"Type": "AWS::DynamoDB::GlobalTable", "Properties": changed(compliant, changes)}
    return changed(body, {"DeletionPolicy": deletion_policy})


def check(body: Json, **sections: Any) -> list[Finding]:
    """The findings of the rules for tables in a template with one table."""
    template = Template(Path("it.json"), {"Resources": {"It": body}, **sections})
    findings = catalogue.check([template], None)
    return [it for it in findings if it.rule_id.startswith(RULES)]


COMPLIANT: dict[str, Json] = {
    "retained": table(),
    "texts": table(
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": "true"},
        DeletionProtectionEnabled="true",
        TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": "true"},
    ),
    "capitals": table(
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": "True"},
        DeletionProtectionEnabled="True",
        TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": "True"},
    ),
    "parameters": table(
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": {"Ref": "Parameter"}},
        DeletionProtectionEnabled={"Ref": "Parameter"},
        TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": {"Ref": "Parameter"}},
    ),
    "conditions": table(
        PointInTimeRecoverySpecification=IF,
        TimeToLiveSpecification=IF,
        DeletionProtectionEnabled={"Fn::If": ["IsProd", True, False]},
    ),
    "destroyed": table("Delete", DeletionProtectionEnabled=False),
    "destroyed in one stage": table(
        {"Fn::If": ["IsProd", "Retain", "Delete"]}, DeletionProtectionEnabled=False
    ),
    "policy of a mapping": table(
        {"Fn::FindInMap": ["Policy", "Of", "Stage"]}, DeletionProtectionEnabled=False
    ),
    "no policy but protected": table(LEFT_OUT),
    "no policy but can be protected": table(LEFT_OUT, DeletionProtectionEnabled=IF),
    "states": table(
        KeySchema=[{"AttributeName": "deviceId", "KeyType": "HASH"}],
        TimeToLiveSpecification=LEFT_OUT,
    ),
    "versions": table(**keys("version"), TimeToLiveSpecification=LEFT_OUT),
    "updates": table(**keys("updates"), TimeToLiveSpecification=LEFT_OUT),
    "ISO timestamps": table(**keys("timestamp", "S"), TimeToLiveSpecification=LEFT_OUT),
    "ISO timestamps beside another number": table(
        KeySchema=KEYS["KeySchema"],
        AttributeDefinitions=[
            *keys("timestamp", "S")["AttributeDefinitions"],
            {"AttributeName": "count", "AttributeType": "N"},
        ],
        TimeToLiveSpecification=LEFT_OUT,
    ),
    "type by condition": table(
        **keys("timestamp", {"Fn::If": ["A", "N", "S"]}), TimeToLiveSpecification=LEFT_OUT
    ),
    "unknown keys": table(KeySchema=IF, AttributeDefinitions=IF, TimeToLiveSpecification=LEFT_OUT),
    "unknown key schema": table(KeySchema=IF, TimeToLiveSpecification=LEFT_OUT),
    "key schema by condition": table(
        KeySchema={"Fn::If": ["A", KEYS["KeySchema"], KEYS["KeySchema"][:1]]},
        TimeToLiveSpecification=LEFT_OUT,
    ),
    "unknown types": table(AttributeDefinitions=IF, TimeToLiveSpecification=LEFT_OUT),
    "keys that are no mappings": table(
        KeySchema=[IF, 3], AttributeDefinitions=[IF, "a"], TimeToLiveSpecification=LEFT_OUT
    ),
    "time as partition key": table(
        KeySchema=[
            {"AttributeName": "timestamp", "KeyType": "HASH"},
            {"AttributeName": "deviceId", "KeyType": "RANGE"},
        ],
        TimeToLiveSpecification=LEFT_OUT,
    ),
    "global": global_table(),
    "global of three": global_table(replica(), replica(Region="eu-west-2"), IF),
    "global in texts": global_table(
        *(
            replica(
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": value},
                DeletionProtectionEnabled=value,
            )
            for value in ("true", "True", {"Ref": "Parameter"})
        ),
        replica(PointInTimeRecoverySpecification=IF),
    ),
    "global of conditions": global_table(Replicas=IF),
    "global of a parameter": global_table(Replicas={"Ref": "Parameter"}),
    "global of a map": global_table(Replicas={"Fn::FindInMap": ["Replicas", "Of", "Region"]}),
    "global destroyed": global_table(
        replica(DeletionProtectionEnabled=False), deletion_policy="Delete"
    ),
    "global without replicas": global_table(Replicas=[]),
    "global without a policy but protected": global_table(deletion_policy=LEFT_OUT),
    "global with unknown replicas and no policy": global_table(
        Replicas=IF, deletion_policy=LEFT_OUT
    ),
}

NON_COMPLIANT: dict[str, tuple[Json, list[str]]] = {
    "no recovery": (table(PointInTimeRecoverySpecification=LEFT_OUT), ["IOT_02"]),
    "recovery off": (
        table(PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}),
        ["IOT_02"],
    ),
    "no recovery in both branches": (
        table(
            PointInTimeRecoverySpecification={
                "Fn::If": ["A", {"PointInTimeRecoveryEnabled": False}, NO_VALUE]
            }
        ),
        ["IOT_02"],
    ),
    "no recovery of a replica": (
        global_table(replica(PointInTimeRecoverySpecification=LEFT_OUT)),
        ["IOT_02"],
    ),
    "no TTL": (table(TimeToLiveSpecification=LEFT_OUT), ["IOT_21"]),
    "TTL off": (
        table(TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": False}),
        ["IOT_21"],
    ),
    "TTL off in both branches": (
        table(TimeToLiveSpecification={"Fn::If": ["A", {"Enabled": False}, NO_VALUE]}),
        ["IOT_21"],
    ),
    "global without TTL": (global_table(TimeToLiveSpecification=LEFT_OUT), ["IOT_21"]),
    **{
        f"no TTL, by {sort_key}": (
            table(**keys(sort_key), TimeToLiveSpecification=LEFT_OUT),
            ["IOT_21"],
        )
        for sort_key in ("ts", "time", "eventTime", "recorded_at", "createdAt", "Date", "epochMs")
    },
    "key schema by condition, both by time": (
        table(
            KeySchema={"Fn::If": ["A", KEYS["KeySchema"], KEYS["KeySchema"][1:]]},
            TimeToLiveSpecification=LEFT_OUT,
        ),
        ["IOT_21"],
    ),
    "no protection": (table(DeletionProtectionEnabled=LEFT_OUT), ["IOT_22"]),
    "protection off": (table(DeletionProtectionEnabled=False), ["IOT_22"]),
    "protection off in both branches": (
        table(DeletionProtectionEnabled={"Fn::If": ["A", False, NO_VALUE]}),
        ["IOT_22"],
    ),
    "protection off, retained on updates": (
        table("RetainExceptOnCreate", DeletionProtectionEnabled=False),
        ["IOT_22"],
    ),
    "protection off, retained in both branches": (
        table({"Fn::If": ["A", "Retain", "RetainExceptOnCreate"]}, DeletionProtectionEnabled=False),
        ["IOT_22"],
    ),
    "two replicas without protection": (
        global_table(
            replica(DeletionProtectionEnabled=LEFT_OUT),
            replica(DeletionProtectionEnabled=False),
            replica(),
        ),
        ["IOT_22", "IOT_22"],
    ),
    "replica without protection, retained on updates": (
        global_table(
            replica(DeletionProtectionEnabled=False), deletion_policy="RetainExceptOnCreate"
        ),
        ["IOT_22"],
    ),
    "no policy": (table(LEFT_OUT, DeletionProtectionEnabled=False), ["IOT_28"]),
    "no policy by NoValue": (table(NO_VALUE, DeletionProtectionEnabled=LEFT_OUT), ["IOT_28"]),
    "global without a policy, one replica not protected": (
        global_table(replica(), replica(DeletionProtectionEnabled=False), deletion_policy=LEFT_OUT),
        ["IOT_28"],
    ),
    "global without a policy or replicas": (
        global_table(Replicas=[], deletion_policy=LEFT_OUT),
        ["IOT_28"],
    ),
    "no properties": ({"Type": "AWS::DynamoDB::Table"}, ["IOT_02", "IOT_28"]),
}


@pytest.mark.parametrize("name", COMPLIANT)
def test_compliant(name: str) -> None:
    assert check(COMPLIANT[name]) == []


@pytest.mark.parametrize("name", NON_COMPLIANT)
def test_non_compliant(name: str) -> None:
    body, expected = NON_COMPLIANT[name]
    assert [it.rule_id[:6] for it in check(body)] == expected


@pytest.mark.parametrize(
    ("setting", "rule_id"),
    [("PointInTimeRecoverySpecification", "IOT_02"), ("DeletionProtectionEnabled", "IOT_22")],
)
def test_a_finding_names_the_replica(setting: str, rule_id: str) -> None:
    [finding] = check(global_table(replica(), replica(**{setting: LEFT_OUT})))
    assert finding.rule_id.startswith(rule_id)
    assert finding.property_path == "Properties/Replicas/1"


@pytest.mark.parametrize("setting", list(PROTECTED))
def test_the_fix_is_that_of_the_replica(setting: str) -> None:
    body = global_table(replica(), replica(), replica(**{setting: LEFT_OUT}), replica())
    [finding] = check(body)
    fix = yaml.safe_load(RULE_BY_ID[finding.rule_id].remediation_of(finding).cloudformation)
    assert check(merged(body, fix["It"])) == []


def test_the_detail_names_the_property() -> None:
    [finding] = check(table(LEFT_OUT, DeletionProtectionEnabled=LEFT_OUT))
    assert "DeletionPolicy" in finding.detail
    assert "DeletionProtectionEnabled" in finding.detail


def test_deep_nesting_elsewhere_does_not_hide_a_finding() -> None:
    deep: Json = {}
    for _ in range(500):
        deep = {"a": deep}
    body = table(PointInTimeRecoverySpecification=LEFT_OUT)
    assert [it.rule_id[:6] for it in check(body, Metadata=deep)] == ["IOT_02"]
