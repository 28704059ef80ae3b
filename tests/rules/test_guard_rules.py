"""Each Guard rule on resources that break it and on resources that do not, in CDK's own engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import PolicyViolatingResource, PolicyViolation

from iot_constructs.rules import guard_rules
from iot_constructs.rules.catalogue import CLASSES
from iot_constructs.rules.graph import Graph
from iot_constructs.rules.guard_rules import GUARD_FILE, guard_findings
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.rule_table import TABLE_RULES
from iot_constructs.rules.template import load_templates

Json = dict[str, Any]

IF = {"Fn::If": ["Condition", {"Ref": "One"}, {"Ref": "Other"}]}
LEFT_OUT = object()


def changed(properties: Json, changes: Json) -> Json:
    merged = {**properties, **changes}
    return {key: value for key, value in merged.items() if value is not LEFT_OUT}


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


def keys(sort_key: str, type: str = "N") -> Json:
    return {
        "KeySchema": [KEYS["KeySchema"][0], {"AttributeName": sort_key, "KeyType": "RANGE"}],
        "AttributeDefinitions": [
            {"AttributeName": "deviceId", "AttributeType": "N"},
            {"AttributeName": sort_key, "AttributeType": type},
        ],
    }


def table(deletion_policy: Any = "Retain", **changes: Any) -> Json:
    """A compliant table, changed."""
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": deletion_policy,
        "Properties": changed({**KEYS, **PROTECTED, **TTL}, changes),
    }


def replica(**changes: Any) -> Json:
    return changed({"Region": "eu-west-1", **PROTECTED}, changes)


def global_table(*replicas: Any, deletion_policy: Any = "Retain", **changes: Any) -> Json:
    """A compliant global table, changed."""
    compliant = {**KEYS, **TTL, "Replicas": list(replicas) if replicas else [replica()]}
    return {
        "Type": "AWS::DynamoDB::GlobalTable",
        "DeletionPolicy": deletion_policy,
        "Properties": changed(compliant, changes),
    }


COMPLIANT: dict[str, Json] = {
    "TableRetained": table(),
    "TableInTexts": table(
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": "true"},
        DeletionProtectionEnabled="true",
        TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": "true"},
    ),
    "TableInCapitals": table(
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": "True"},
        DeletionProtectionEnabled="True",
        TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": "True"},
    ),
    "TableOfParameters": table(
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": {"Ref": "Parameter"}},
        DeletionProtectionEnabled={"Ref": "Parameter"},
        TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": {"Ref": "Parameter"}},
    ),
    "TableOfConditions": table(PointInTimeRecoverySpecification=IF, TimeToLiveSpecification=IF),
    "TableDestroyed": table("Delete", DeletionProtectionEnabled=False),
    "TableWithoutPolicy": table(LEFT_OUT, DeletionProtectionEnabled=False),
    "TableOfStates": table(
        KeySchema=[{"AttributeName": "deviceId", "KeyType": "HASH"}],
        TimeToLiveSpecification=LEFT_OUT,
    ),
    "TableOfVersions": table(**keys("version"), TimeToLiveSpecification=LEFT_OUT),
    "TableOfUpdates": table(**keys("updates"), TimeToLiveSpecification=LEFT_OUT),
    "TableByText": table(**keys("timestamp", "S"), TimeToLiveSpecification=LEFT_OUT),
    "TableOfUnknownKeys": table(
        KeySchema=IF, AttributeDefinitions=IF, TimeToLiveSpecification=LEFT_OUT
    ),
    "TableOfUnknownKeySchema": table(KeySchema=IF, TimeToLiveSpecification=LEFT_OUT),
    "TableOfUnknownTypes": table(AttributeDefinitions=IF, TimeToLiveSpecification=LEFT_OUT),
    "TableByMoment": table(
        KeySchema=[
            {"AttributeName": "timestamp", "KeyType": "HASH"},
            {"AttributeName": "deviceId", "KeyType": "RANGE"},
        ],
        TimeToLiveSpecification=LEFT_OUT,
    ),
    "GlobalTable": global_table(),
    "GlobalTableOfThree": global_table(replica(), replica(Region="eu-west-2"), IF),
    "GlobalTableInTexts": global_table(
        *(
            replica(
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": value},
                DeletionProtectionEnabled=value,
            )
            for value in ("true", "True", {"Ref": "Parameter"})
        ),
        replica(PointInTimeRecoverySpecification=IF),
    ),
    "GlobalTableOfConditions": global_table(Replicas=IF),
    "GlobalTableOfParameter": global_table(Replicas={"Ref": "Parameter"}),
    "GlobalTableOfMap": global_table(Replicas={"Fn::FindInMap": ["Replicas", "Of", "Region"]}),
    "GlobalTableDestroyed": global_table(
        replica(DeletionProtectionEnabled=False), deletion_policy="Delete"
    ),
    "GlobalTableWithoutReplicas": global_table(Replicas=[]),
    "InfluxDb": {"Type": "AWS::Timestream::InfluxDBInstance", "Properties": {}},
}

NON_COMPLIANT: dict[str, tuple[Json, list[str]]] = {
    "NoRecovery": (
        table(PointInTimeRecoverySpecification=LEFT_OUT),
        ["IOT_02_POINT_IN_TIME_RECOVERY"],
    ),
    "RecoveryOff": (
        table(PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}),
        ["IOT_02_POINT_IN_TIME_RECOVERY"],
    ),
    "NoReplicaRecovery": (
        global_table(replica(PointInTimeRecoverySpecification=LEFT_OUT)),
        ["IOT_02_POINT_IN_TIME_RECOVERY"],
    ),
    "SecondReplicaRecoveryOff": (
        global_table(
            replica(),
            replica(PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}),
        ),
        ["IOT_02_POINT_IN_TIME_RECOVERY"],
    ),
    "NoTtl": (table(TimeToLiveSpecification=LEFT_OUT), ["IOT_21_TIME_SERIES_TTL"]),
    "TtlOff": (
        table(TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": False}),
        ["IOT_21_TIME_SERIES_TTL"],
    ),
    "GlobalTableNoTtl": (
        global_table(TimeToLiveSpecification=LEFT_OUT),
        ["IOT_21_TIME_SERIES_TTL"],
    ),
    **{
        f"NoTtlBy{index}": (
            table(**keys(sort_key), TimeToLiveSpecification=LEFT_OUT),
            ["IOT_21_TIME_SERIES_TTL"],
        )
        for index, sort_key in enumerate(
            ("ts", "time", "eventTime", "recorded_at", "createdAt", "Date", "epochMillis")
        )
    },
    "NoProtection": (table(DeletionProtectionEnabled=LEFT_OUT), ["IOT_22_DELETION_PROTECTION"]),
    "ProtectionOff": (table(DeletionProtectionEnabled=False), ["IOT_22_DELETION_PROTECTION"]),
    "ProtectionOffRetainedOnUpdates": (
        table("RetainExceptOnCreate", DeletionProtectionEnabled=False),
        ["IOT_22_DELETION_PROTECTION"],
    ),
    "ReplicasNoProtection": (
        global_table(
            replica(DeletionProtectionEnabled=LEFT_OUT),
            replica(DeletionProtectionEnabled=False),
            replica(),
        ),
        ["IOT_22_DELETION_PROTECTION"] * 2,
    ),
    "ReplicaProtectionOffRetainedOnUpdates": (
        global_table(
            replica(DeletionProtectionEnabled=False), deletion_policy="RetainExceptOnCreate"
        ),
        ["IOT_22_DELETION_PROTECTION"],
    ),
    "Database": ({"Type": "AWS::Timestream::Database"}, ["IOT_08_NO_TIMESTREAM"]),
    "DatabaseTable": (
        {"Type": "AWS::Timestream::Table", "Properties": {"DatabaseName": "d"}},
        ["IOT_08_NO_TIMESTREAM"],
    ),
    "Query": (
        {"Type": "AWS::Timestream::ScheduledQuery", "Properties": {}},
        ["IOT_08_NO_TIMESTREAM"],
    ),
}

# What Guard itself stumbles over: a template without anything, and things in the places of others.
ODD: dict[str, Json] = {
    "nothing": {"Resources": {}},
    "outputs": {"Outputs": {"Some": {"Value": "text"}}},
    "loop": {
        "Transform": "AWS::LanguageExtensions",
        "Resources": {
            "Fn::ForEach::Topics": ["N", ["a", "b"], {"T${N}": {"Type": "AWS::SNS::Topic"}}]
        },
    },
    "odd": {
        "Resources": {
            "Number": 3,
            "NoType": {"Properties": []},
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    **PROTECTED,
                    "KeySchema": [IF, 3],
                    "AttributeDefinitions": [IF, "a"],
                },
            },
        }
    },
}


def run_guard(folder: Path, templates: dict[str, Json]) -> list[Finding]:
    """All of ``templates`` through one call of the engine."""
    for name, template in templates.items():
        (folder / f"{name}.json").write_text(json.dumps(template))
    paths = [folder / f"{name}.json" for name in templates]
    loaded = load_templates(paths)
    ported = [found for rule in CLASSES for found in rule.check(Pipeline(Graph(loaded)))]
    return [*guard_rules.run(loaded), *ported]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    whole = {**COMPLIANT, **{name: body for name, (body, _) in NON_COMPLIANT.items()}}
    resources = {
        name: {key: value for key, value in body.items() if value is not LEFT_OUT}
        for name, body in whole.items()
    }
    return run_guard(
        tmp_path_factory.mktemp("guard"), {"resources": {"Resources": resources}, **ODD}
    )


def rules_of(findings: list[Finding], logical_id: str) -> list[str]:
    return [
        finding.rule_id
        for finding in findings
        if finding.logical_id == logical_id and finding.template.stem == "resources"
    ]


@pytest.mark.parametrize("name", COMPLIANT)
def test_compliant_resources_have_no_findings(findings: list[Finding], name: str) -> None:
    assert rules_of(findings, name) == []


@pytest.mark.parametrize("name", NON_COMPLIANT)
def test_each_violation_is_found_exactly(findings: list[Finding], name: str) -> None:
    assert rules_of(findings, name) == NON_COMPLIANT[name][1]


@pytest.mark.parametrize("name", ODD)
def test_unusual_templates_have_no_findings(findings: list[Finding], name: str) -> None:
    assert [finding for finding in findings if finding.template.stem == name] == []


def test_every_guard_rule_has_both_kinds_of_fixture() -> None:
    caught = {rule for _, rules in NON_COMPLIANT.values() for rule in rules}
    assert caught >= {rule.id for rule in TABLE_RULES if rule.engine == "guard"}


def test_the_guard_file_has_the_rules_of_the_table_and_no_others() -> None:
    lines = GUARD_FILE.read_text(encoding="utf-8").splitlines()
    written = [line.split()[1] for line in lines if line.startswith("rule ")]
    assert written == [rule.id for rule in TABLE_RULES if rule.engine == "guard"]


def test_a_detail_is_the_message_alone_and_the_property_where_it_is(
    findings: list[Finding],
) -> None:
    by_id = {finding.logical_id: finding for finding in findings}
    assert by_id["NoTtl"].detail == (
        "time-series data without a TTL: TimeToLiveSpecification.Enabled is not true"
    )
    assert by_id["SecondReplicaRecoveryOff"].property_path.startswith("Properties/Replicas/1")
    # A message of the evaluator's own would begin like this: some clause has none of ours.
    assert [finding for finding in findings if "Guard check" in finding.detail] == []


@pytest.mark.parametrize(
    ("place", "reported"),
    [
        ({"resource_logical_id": "Database"}, ["Database"]),
        # What has this id is no resource yet: Fn::ForEach.
        ({"resource_logical_id": "Looped"}, ["Looped"]),
        ({}, []),
        ({"resource_logical_id": "Database", "template_path": None}, []),
    ],
)
def test_a_finding_is_about_a_resource_of_a_template(
    tmp_path: Path, place: Json, reported: list[str]
) -> None:
    path = tmp_path / "it.json"
    resource = PolicyViolatingResource(**{"locations": [], "template_path": str(path), **place})
    violation = PolicyViolation(
        rule_name="IOT_08_NO_TIMESTREAM", description="it is", violating_resources=[resource]
    )
    found = guard_findings([violation])
    assert [it.logical_id for it in found] == reported
