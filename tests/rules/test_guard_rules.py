"""Each Guard rule on resources that break it and on resources that do not, in CDK's own engine."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import PolicyViolatingResource, PolicyViolation
from packaging.specifiers import SpecifierSet

from iot_constructs.rules import guard_rules
from iot_constructs.rules.guard_rules import GUARD_FILE, guard_findings
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.rule_table import TABLE_RULES
from iot_constructs.rules.template import load_templates

Json = dict[str, Any]

KINESIS_ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
IF = {"Fn::If": ["Condition", {"Ref": "One"}, {"Ref": "Other"}]}
LEFT_OUT = object()


def changed(properties: Json, changes: Json) -> Json:
    merged = {**properties, **changes}
    return {key: value for key, value in merged.items() if value is not LEFT_OUT}


def mapping(**changes: Any) -> Json:
    """A compliant mapping of a Kinesis stream, changed."""
    compliant = {
        "EventSourceArn": KINESIS_ARN,
        "FunctionName": "processor",
        "StartingPosition": "TRIM_HORIZON",
        "MaximumBatchingWindowInSeconds": 5,
        "MaximumRetryAttempts": 10,
        "MaximumRecordAgeInSeconds": 86_400,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": {"OnFailure": {"Destination": {"Ref": "Dlq"}}},
    }
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": changed(compliant, changes)}


def latest(source: Any, **more: Any) -> Json:
    """A mapping of ``source`` that IOT_13 has something to say about, if it is one of Kinesis."""
    return mapping(EventSourceArn=source, StartingPosition="LATEST", **more)


def kinesis_action(partition_key: Any) -> Json:
    return {"Kinesis": {"StreamName": "s", "RoleArn": "r", "PartitionKey": partition_key}}


def topic_rule(*actions: Any, **changes: Any) -> Json:
    """A compliant rule, changed."""
    compliant = {
        "Sql": "SELECT * FROM 'device/+/telemetry'",
        "AwsIotSqlVersion": "2016-03-23",
        "ErrorAction": {"Sns": {"TargetArn": "t", "RoleArn": "r"}},
        "Actions": list(actions) if actions else [kinesis_action("${topic(2)}")],
    }
    return {
        "Type": "AWS::IoT::TopicRule",
        "Properties": {"TopicRulePayload": changed(compliant, changes)},
    }


COMPLIANT: dict[str, Json] = {
    "Mapping": mapping(),
    "MappingAtTimestamp": mapping(
        StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=1_700_000_000
    ),
    "MappingInTexts": mapping(
        MaximumBatchingWindowInSeconds="1",
        MaximumRetryAttempts="0",
        MaximumRecordAgeInSeconds="60",
        BisectBatchOnFunctionError="true",
    ),
    "MappingInCapitals": mapping(BisectBatchOnFunctionError="True"),
    "MappingWithoutRetries": mapping(MaximumRetryAttempts=0),
    "MappingOfParameters": mapping(
        StartingPosition={"Ref": "Parameter"},
        MaximumBatchingWindowInSeconds={"Ref": "Parameter"},
        MaximumRetryAttempts={"Ref": "Parameter"},
        MaximumRecordAgeInSeconds={"Ref": "Parameter"},
        BisectBatchOnFunctionError={"Ref": "Parameter"},
        FunctionResponseTypes=[{"Ref": "Parameter"}],
        DestinationConfig={"OnFailure": IF},
    ),
    "MappingOfConditions": mapping(
        StartingPosition=IF, FunctionResponseTypes=IF, DestinationConfig=IF
    ),
    "MappingOfListParameter": mapping(FunctionResponseTypes={"Ref": "Parameter"}),
    # Not of Kinesis, and as wrong as can be.
    "MappingOfQueue": {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
            "FunctionName": "processor",
        },
    },
    "MappingOfTableStream": latest({"Fn::GetAtt": ["Table", "StreamArn"]}),
    "MappingOfTableStreamInText": latest({"Fn::GetAtt": "Table.StreamArn"}),
    "MappingOfTableStreamArn": latest("arn:aws:dynamodb:eu-central-1:1:table/x/stream/y"),
    "MappingOfTableStreamInSub": latest({"Fn::Sub": "${Table.StreamArn}"}),
    "MappingOfTableStreamFromParent": latest({"Ref": "referencetoSTableE9EB1E14StreamArn"}),
    "MappingOfTableStreamFromOtherStack": latest(
        {"Fn::ImportValue": "S:ExportsOutputFnGetAttTableCD117FA1StreamArnB270E65B"}
    ),
    "MappingOfKafkaCluster": latest({"Fn::GetAtt": ["Cluster", "Arn"]}, Topics=["readings"]),
    "MappingOfOwnKafka": latest(
        LEFT_OUT, SelfManagedEventSource={"Endpoints": {"KafkaBootstrapServers": ["a:9092"]}}
    ),
    "MappingOfDocumentDb": latest(
        {"Ref": "KinesisLikeName"}, DocumentDBEventSourceConfig={"DatabaseName": "d"}
    ),
    "MappingOfWhatIsNotKnown": latest({"Ref": "Parameter"}),
    "MappingWithoutProperties": {"Type": "AWS::Lambda::EventSourceMapping"},
    "RuleOfTopic": topic_rule(),
    "RuleOfClient": topic_rule(kinesis_action("${clientid()}")),
    "RuleOfPrincipal": topic_rule(kinesis_action("${principal()}")),
    "RuleOfChance": topic_rule(kinesis_action("reading-${newuuid()}")),
    "RuleOfTime": topic_rule(kinesis_action("${timestamp()}")),
    "RuleOfSeveral": topic_rule(kinesis_action("${concat(topic(2), '-', clientid())}")),
    "RuleOfConstant": topic_rule(kinesis_action("all")),
    "RuleOfParameter": topic_rule(
        kinesis_action({"Ref": "Parameter"}),
        kinesis_action({"Fn::Sub": "${!topic(2)}${Parameter}"}),
    ),
    "RuleWithoutKey": topic_rule({"Kinesis": {"StreamName": "s", "RoleArn": "r"}}),
    "RuleToFunction": topic_rule({"Lambda": {"FunctionArn": "f"}}, IF),
    "RuleOfConditions": topic_rule(AwsIotSqlVersion=IF, ErrorAction=IF, Actions=IF),
    "RuleWhole": {"Type": "AWS::IoT::TopicRule", "Properties": {"TopicRulePayload": IF}},
    "RuleWithoutProperties": {"Type": "AWS::IoT::TopicRule"},
}

LATEST = ["IOT_13_TRIM_HORIZON"]
NON_COMPLIANT: dict[str, tuple[Json, list[str]]] = {
    # The many ways to say which stream it is.
    "SourceGetAtt": (latest({"Fn::GetAtt": ["Stream", "Arn"]}), LATEST),
    "SourceGetAttInText": (latest({"Fn::GetAtt": "Stream.Arn"}), LATEST),
    "SourceArn": (latest(KINESIS_ARN), LATEST),
    "SourceJoin": (
        latest({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":kinesis:x:1:stream/y"]]}),
        LATEST,
    ),
    "SourceSub": (latest({"Fn::Sub": "arn:aws:kinesis:${AWS::Region}:1:stream/x"}), LATEST),
    "SourceSubOfAttribute": (latest({"Fn::Sub": "${Stream.Arn}"}), LATEST),
    "SourceSubOfVariables": (
        latest({"Fn::Sub": ["arn:aws:kinesis:x:1:stream/${Name}", {"Name": "y"}]}),
        LATEST,
    ),
    "SourceConsumer": (latest({"Fn::GetAtt": ["Consumer", "ConsumerARN"]}), LATEST),
    "SourceConsumerByRef": (latest({"Ref": "FanOutConsumer"}), LATEST),
    "SourceFromParent": (latest({"Ref": "referencetoSStream4F40C641Arn"}), LATEST),
    "SourceConsumerFromParent": (latest({"Ref": "referencetoSConsEC50E4E2ConsumerARN"}), LATEST),
    "SourceFromOtherStack": (
        latest({"Fn::ImportValue": "S:ExportsOutputFnGetAttStream790BDEE4ArnB60CF6B6"}),
        LATEST,
    ),
    "SourceFromOtherTool": (latest({"Fn::ImportValue": "telemetry-KinesisStreamArn"}), LATEST),
    "SourceParameter": (latest({"Ref": "KinesisStreamArn"}), LATEST),
    # One thing wrong at a time.
    "NoWindow": (mapping(MaximumBatchingWindowInSeconds=LEFT_OUT), ["IOT_03_BATCHING_WINDOW"]),
    "WindowOfZero": (mapping(MaximumBatchingWindowInSeconds=0), ["IOT_03_BATCHING_WINDOW"]),
    "WindowOfZeroText": (mapping(MaximumBatchingWindowInSeconds="0"), ["IOT_03_BATCHING_WINDOW"]),
    "NoDestinations": (
        mapping(DestinationConfig=LEFT_OUT),
        ["IOT_06_STREAM_FAILURE_DESTINATION"],
    ),
    "NoFailureDestination": (
        mapping(DestinationConfig={"OnFailure": {}}),
        ["IOT_06_STREAM_FAILURE_DESTINATION"],
    ),
    "NoRetries": (mapping(MaximumRetryAttempts=LEFT_OUT), ["IOT_14_BOUNDED_RETRIES"]),
    "RetriesForEver": (mapping(MaximumRetryAttempts=-1), ["IOT_14_BOUNDED_RETRIES"]),
    "RetriesForEverText": (mapping(MaximumRetryAttempts="-1"), ["IOT_14_BOUNDED_RETRIES"]),
    "NoAge": (mapping(MaximumRecordAgeInSeconds=LEFT_OUT), ["IOT_14_BOUNDED_RETRIES"]),
    "AgeForEver": (mapping(MaximumRecordAgeInSeconds=-1), ["IOT_14_BOUNDED_RETRIES"]),
    "AgeForEverText": (mapping(MaximumRecordAgeInSeconds="-1"), ["IOT_14_BOUNDED_RETRIES"]),
    "NoBounds": (
        mapping(MaximumRetryAttempts=LEFT_OUT, MaximumRecordAgeInSeconds=LEFT_OUT),
        ["IOT_14_BOUNDED_RETRIES"] * 2,
    ),
    "NoPartialBatches": (mapping(FunctionResponseTypes=LEFT_OUT), ["IOT_15_PARTIAL_BATCHES"]),
    "EmptyPartialBatches": (mapping(FunctionResponseTypes=[]), ["IOT_15_PARTIAL_BATCHES"]),
    "NoBisect": (mapping(BisectBatchOnFunctionError=LEFT_OUT), ["IOT_16_BISECT"]),
    "BisectOff": (mapping(BisectBatchOnFunctionError=False), ["IOT_16_BISECT"]),
    "BisectOffText": (mapping(BisectBatchOnFunctionError="false"), ["IOT_16_BISECT"]),
    "NoErrorAction": (topic_rule(ErrorAction=LEFT_OUT), ["IOT_18_RULE_ERROR_ACTION"]),
    "NoSqlVersion": (topic_rule(AwsIotSqlVersion=LEFT_OUT), ["IOT_19_RULE_SQL_VERSION"]),
    "OldSqlVersion": (topic_rule(AwsIotSqlVersion="2015-10-08"), ["IOT_19_RULE_SQL_VERSION"]),
    **{
        f"PayloadKey{index}": (
            topic_rule({"Lambda": {"FunctionArn": "f"}}, kinesis_action(key)),
            ["IOT_20_RULE_PARTITION_KEY"],
        )
        for index, key in enumerate(
            (
                "${deviceId}",
                "${ deviceId }",
                "site-${state.reported.id}",
                "${upper(deviceId)}",
                "${topic(1)}-${deviceId}",
                {"Fn::Sub": "${!deviceId}"},
            )
        )
    },
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
            "Rule": topic_rule(3, "text", IF),
            "Mapping": mapping(EventSourceArn=3),
        }
    },
}


def run_guard(folder: Path, templates: dict[str, Json]) -> list[Finding]:
    """All of ``templates`` through one call of the engine."""
    for name, template in templates.items():
        (folder / f"{name}.json").write_text(json.dumps(template))
    paths = [folder / f"{name}.json" for name in templates]
    loaded = load_templates(paths)
    return guard_rules.run(loaded)


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
    if version("aws-cdk-lib") in SpecifierSet(">=2.274"):
        message = "no batching window: MaximumBatchingWindowInSeconds is 0"
    else:  # CDK has one message per rule, so it must hold for every clause
        [rule] = [rule for rule in TABLE_RULES if rule.id == "IOT_03_BATCHING_WINDOW"]
        message = (
            "no batching window: MaximumBatchingWindowInSeconds is not set and defaults to 0 "
            f"(or another violation of: {rule.info})"
        )
    assert by_id["WindowOfZero"].detail == message
    assert by_id["WindowOfZero"].property_path == "Properties/MaximumBatchingWindowInSeconds"
    # A message of the evaluator's own would begin like this: some clause has none of ours.
    assert [finding for finding in findings if "Guard check" in finding.detail] == []


def test_a_message_explains_that_the_async_configuration_does_not_apply(
    findings: list[Finding],
) -> None:
    [detail] = [it.detail for it in findings if it.logical_id == "NoDestinations"]
    assert "EventInvokeConfig" in detail
    assert "lambda/latest/dg/with-kinesis.html" in detail


@pytest.mark.parametrize(
    ("place", "reported"),
    [
        ({"resource_logical_id": "Mapping"}, ["Mapping"]),
        # What has this id is no resource yet: Fn::ForEach.
        ({"resource_logical_id": "Looped"}, ["Looped"]),
        ({}, []),
        ({"resource_logical_id": "Mapping", "template_path": None}, []),
    ],
)
def test_a_finding_is_about_a_resource_of_a_template(
    tmp_path: Path, place: Json, reported: list[str]
) -> None:
    path = tmp_path / "it.json"
    path.write_text(json.dumps({"Resources": {"Mapping": latest(KINESIS_ARN)}}))
    resource = PolicyViolatingResource(**{"locations": [], "template_path": str(path), **place})
    violation = PolicyViolation(
        rule_name=LATEST[0], description="it is", violating_resources=[resource]
    )
    found = guard_findings([violation], load_templates([path]))
    assert [it.logical_id for it in found] == reported


def test_a_stream_of_the_app_is_one_of_kinesis(tmp_path: Path) -> None:
    stream = {"Type": "AWS::Kinesis::Stream", "Properties": {}}
    reader = latest({"Fn::GetAtt": ["Stream", "Arn"]})
    found = run_guard(tmp_path, {"it": {"Resources": {"Mapping": reader, "Stream": stream}}})
    assert [it.rule_id for it in found] == LATEST


def test_what_the_other_stack_shows_not_to_be_kinesis_is_not_reported(tmp_path: Path) -> None:
    export = "S:ExportsOutputFnGetAttTableStreamArn0123ABCD"  # an L1 table's id ends in no digits
    reader = {"Resources": {"Mapping": latest({"Fn::ImportValue": export})}}
    exports = {
        "Resources": {"Table": {"Type": "AWS::DynamoDB::Table"}},
        "Outputs": {
            "Arn": {"Value": {"Fn::GetAtt": ["Table", "StreamArn"]}, "Export": {"Name": export}}
        },
    }
    alone = run_guard(tmp_path, {"reader": reader})
    assert [it.rule_id for it in alone] == LATEST
    assert run_guard(tmp_path, {"reader": reader, "exports": exports}) == []
