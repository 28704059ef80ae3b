"""Every fix, typed literally into CDK code and into a template: its finding ends, and no other one begins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import aws_cdk as cdk
import pytest

from iot_constructs.rules import catalogue
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import StackInfo, Template, load_assembly
from tests.rules.fix_cases import (
    NAMES,
    FixCase,
    cloudwatch,
    dynamodb,
    l1,
    merged,
    naming,
    s3,
    sns_sqs,
    streams,
    timestream,
)
from tests.synth_support import fresh_app

CASES: Final = (
    *cloudwatch.CASES,
    *dynamodb.CASES,
    *naming.CASES,
    *s3.CASES,
    *sns_sqs.CASES,
    *streams.CASES,
    *timestream.CASES,
)
SUFFIX: Final = "dev"

Place = tuple[str, str, str | None]


def name_of(case: FixCase) -> str:
    return f"{case.rule_id[:6]}-{case.type}"


every_case = pytest.mark.parametrize("case", CASES, ids=name_of)


def judge_resources(case: FixCase, fix: str | None = None) -> list[Finding]:
    """Return the findings in the template of ``case``."""
    body = json.loads(json.dumps({"Resources": case.resources(fix)}))
    stack = StackInfo("Telemetry-dev", termination_protection=True)
    return catalogue.check([Template(Path("it.json"), body, stack)], SUFFIX)


def judge_code(case: FixCase, fix: str | None = None) -> list[Finding]:
    """Return the findings in the app of ``case``."""
    return judge_stacks(case.code(fix), "Telemetry-dev")


def judge_stacks(code: str, *ids: str) -> list[Finding]:
    """Return the findings in an app in which each stack runs ``code``."""
    app = fresh_app({"aws:cdk:enable-path-metadata": True})  # as the CDK CLI
    for id in ids:
        stack = cdk.Stack(app, id, termination_protection=True)
        exec(compile(code, id, "exec"), {**NAMES, "app": app, "self": stack})
    return catalogue.check(load_assembly(Path(app.synth().directory)), SUFFIX)


def remediation_of(case: FixCase, findings: list[Finding]) -> Remediation:
    """Return the fix of the findings of the rule, which are about one resource of the type."""
    found = [it for it in findings if it.rule_id == case.rule_id]
    assert {it.resource_type for it in found} == {case.type}, found
    assert len({it.logical_id for it in found}) == 1, found
    return catalogue.RULE_BY_ID[case.rule_id].remediation_of(found[0])


def places(findings: list[Finding]) -> set[Place]:
    """Return where the findings are, without their details, which may name values."""
    return {(it.rule_id, it.template.name, it.logical_id) for it in findings}


def assert_fixed(case: FixCase, before: list[Finding], after: list[Finding]) -> None:
    assert [it for it in after if it.rule_id == case.rule_id] == []
    begun = places(after) - places(before)
    assert [it for it in after if places([it]) <= begun] == []


def test_every_rule_has_a_case_for_each_resource_type() -> None:
    wanted = {(rule.id, type) for rule in catalogue.RULES for type in rule.remediations}
    missing = wanted - {(case.rule_id, case.type) for case in CASES}
    # test_naming.py has a test for each of the several hundred types with a name. The fix of IOT_00 is a file.
    assert {it for it in missing if not it[0].startswith(("IOT_00", "IOT_01"))} == set()
    assert {(case.rule_id, case.type) for case in CASES} <= wanted


@every_case
def test_the_cloudformation_fix(case: FixCase) -> None:
    if not case.cloudformation:
        assert catalogue.RULE_BY_ID[case.rule_id].remediations[case.type].cloudformation == ""
        return
    before = judge_resources(case)
    after = judge_resources(case, remediation_of(case, before).cloudformation)
    assert_fixed(case, before, after)


@pytest.mark.parametrize("case", l1.CASES, ids=name_of)
def test_the_cdk_fix_of_an_l1_construct(case: FixCase) -> None:
    before = judge_code(case)
    own = [it for it in before if (it.rule_id, it.resource_type) == (case.rule_id, case.type)]
    assert own
    assert all(it.of_l1 for it in own)
    after = judge_code(case, remediation_of(case, own).cdk)
    places_of_own = places(own)
    assert [it for it in after if places([it]) <= places_of_own] == []
    begun = places(after) - places(before)
    assert [it for it in after if places([it]) <= begun] == []


# Two of each, so that what a fix creates can exist twice; <keywords T id> and <statements T id> are where it is typed.
TWO_OF_EACH: Final = """
stream = kinesis.Stream(self, "Source")
<statements AWS::Kinesis::Stream Source>
rule = iot.CfnTopicRule(
    self,
    "RuleA",
    topic_rule_payload={"sql": "SELECT * FROM 'a/+'", "actions": []},
)
<statements AWS::IoT::TopicRule RuleA>
rule = iot.CfnTopicRule(
    self,
    "RuleB",
    topic_rule_payload={"sql": "SELECT * FROM 'b/+'", "actions": []},
)
<statements AWS::IoT::TopicRule RuleB>
""" + "".join(
    f"""
function = lambda_.Function(
    self,
    "{id}",
    code=lambda_.Code.from_inline("def handler(event, context): return {{'batchItemFailures': []}}"),
    handler="index.handler",
    runtime=lambda_.Runtime.PYTHON_3_13,
    <keywords AWS::Lambda::Function {id}>
)
<statements AWS::Lambda::Function {id}>
function.add_event_source(
    lambda_event_sources.KinesisEventSource(
        stream,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        <keywords AWS::Lambda::EventSourceMapping {id}>
    )
)
bucket = s3.Bucket(self, "{id}Data", <keywords AWS::S3::Bucket {id}>)
queue = sqs.Queue(self, "{id}Queue", <keywords AWS::SQS::Queue {id}>)
sqs.Queue(
    self,
    "{id}Feed",
    enforce_ssl=True,
    dead_letter_queue=sqs.DeadLetterQueue(queue=queue, max_receive_count=3),
)
<statements AWS::SQS::Queue {id}>
topic = sns.Topic(self, "{id}Topic", <keywords AWS::SNS::Topic {id}>)
<statements AWS::SNS::Topic {id}>
alarm = cloudwatch.Alarm(
    self,
    "{id}Alarm",
    threshold=1,
    evaluation_periods=1,
    metric=cloudwatch.Metric(namespace="Mine", metric_name="Orders"),
)
<statements AWS::CloudWatch::Alarm {id}>
table = dynamodb.TableV2(
    self,
    "{id}Table",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
    <keywords AWS::DynamoDB::GlobalTable {id}>
)
<statements AWS::DynamoDB::GlobalTable {id}>
delivery_stream = firehose.DeliveryStream(
    self, "{id}Archive", destination=firehose.S3Bucket(bucket)
)
<statements AWS::KinesisFirehose::DeliveryStream {id}>
"""
    for id in ("First", "Second")
)
MARKER: Final = re.compile(r"<(keywords|statements) (\S+) (\S+)>")


def typed(code: str, findings: list[Finding]) -> str:
    """Return ``code`` with the remediations of ``findings`` at its markers."""

    def at_marker(found: re.Match[str]) -> str:
        kind, type, id = found.groups()
        remediations = {
            catalogue.RULE_BY_ID[it.rule_id].remediation_of(it).cdk
            for it in findings
            if it.resource_type == type and (it.logical_id or "").startswith(id)
        }
        is_keyword = re.compile(r"\w+=")
        own = sorted(
            it for it in remediations if bool(is_keyword.match(it)) == (kind == "keywords")
        )
        return (",\n" if kind == "keywords" else "\n").join(own)

    return MARKER.sub(at_marker, code)


def test_the_fixes_of_several_resources_in_several_stacks() -> None:
    untyped = typed(TWO_OF_EACH, [])
    before = judge_stacks(untyped, "One-dev", "Two-dev")
    # What a person types: each finding's fix at its resource, in one pass.
    code = typed(TWO_OF_EACH, [it for it in before if it.template.name.startswith("One")])
    assert judge_stacks(code, "One-dev", "Two-dev") == []
    for rule in ("06", "07", "18", "23", "25", "26", "29"):
        assert len({it.logical_id for it in before if it.rule_id[4:6] == rule}) > 1


def test_the_table_that_replaces_timestream_is_created_once() -> None:
    remediations = catalogue.RULE_BY_ID["IOT_08_NO_TIMESTREAM"].remediations
    code = "\n".join(fix.cdk for fix in remediations.values())
    assert judge_stacks(code, "One-dev") == []


@every_case
def test_the_cdk_fix(case: FixCase) -> None:
    if "<fix>" not in case.cdk:
        assert catalogue.RULE_BY_ID[case.rule_id].remediations[case.type].cdk == ""
        return
    before = judge_code(case)
    after = judge_code(case, remediation_of(case, before).cdk)
    assert_fixed(case, before, after)


def test_a_fix_is_merged_into_mappings_and_lists_but_replaces_functions() -> None:
    old = {"A": {"B": 1, "C": [{"D": 1}, 2]}, "E": {"Ref": "F"}}
    new = {"A": {"C": [{"G": 2}], "H": [3]}, "E": {"Fn::GetAtt": ["F", "Arn"]}, "I": {"J": 4}}
    assert merged(old, new) == {
        "A": {"B": 1, "C": [{"D": 1, "G": 2}, 2], "H": [3]},
        "E": {"Fn::GetAtt": ["F", "Arn"]},
        "I": {"J": 4},
    }


def test_a_fix_that_does_not_end_its_finding_or_begins_another_is_seen() -> None:
    [case] = [it for it in CASES if it.type == dynamodb.TABLE and it.rule_id[:6] == "IOT_02"]
    before = judge_resources(case)
    with pytest.raises(AssertionError, match="IOT_02"):
        assert_fixed(case, before, judge_resources(case, "State: {}"))
    fix = remediation_of(case, before).cloudformation
    with pytest.raises(AssertionError, match="IOT_01"):
        assert_fixed(case, before, judge_resources(case, f"{fix}\n    TableName: state"))
