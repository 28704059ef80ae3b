"""Every fix, typed literally into CDK code and into a template: its finding ends, and no other one begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import aws_cdk as cdk
import pytest

from iot_constructs.rules import catalogue
from iot_constructs.rules.rule import Finding, Fix
from iot_constructs.rules.template import StackInfo, Template, load_assembly
from tests.rules.fix_cases import (
    NAMES,
    FixCase,
    cloudwatch,
    dynamodb,
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
    app = fresh_app()
    stack = cdk.Stack(app, "Telemetry-dev", termination_protection=True)
    names = {**NAMES, "app": app, "self": stack}
    exec(compile(case.code(fix), name_of(case), "exec"), names)
    return catalogue.check(load_assembly(Path(app.synth().directory)), SUFFIX)


def fix_of(case: FixCase, findings: list[Finding]) -> Fix:
    """Return the fix of the findings of the rule, which are about one resource of the type."""
    found = [it for it in findings if it.rule_id == case.rule_id]
    assert {it.resource_type for it in found} == {case.type}, found
    assert len({it.logical_id for it in found}) == 1, found
    return catalogue.RULE_BY_ID[case.rule_id].fix_of(found[0])


def places(findings: list[Finding]) -> set[Place]:
    """Return where the findings are, without their details, which may name values."""
    return {(it.rule_id, it.template.name, it.logical_id) for it in findings}


def assert_fixed(case: FixCase, before: list[Finding], after: list[Finding]) -> None:
    assert [it for it in after if it.rule_id == case.rule_id] == []
    begun = places(after) - places(before)
    assert [it for it in after if places([it]) <= begun] == []


def test_every_rule_has_a_case_for_each_resource_type() -> None:
    wanted = {(rule.id, type) for rule in catalogue.RULES for type in rule.fixes}
    missing = wanted - {(case.rule_id, case.type) for case in CASES}
    # test_naming.py has a test for each of the several hundred types with a name. The fix of IOT_00 is a file.
    assert {it for it in missing if not it[0].startswith(("IOT_00", "IOT_01"))} == set()
    assert {(case.rule_id, case.type) for case in CASES} <= wanted


@every_case
def test_the_cloudformation_fix(case: FixCase) -> None:
    if not case.cloudformation:
        assert catalogue.RULE_BY_ID[case.rule_id].fixes[case.type].cloudformation == ""
        return
    before = judge_resources(case)
    after = judge_resources(case, fix_of(case, before).cloudformation)
    assert_fixed(case, before, after)


@every_case
def test_the_cdk_fix(case: FixCase) -> None:
    if "<fix>" not in case.cdk:
        assert catalogue.RULE_BY_ID[case.rule_id].fixes[case.type].cdk == ""
        return
    before = judge_code(case)
    after = judge_code(case, fix_of(case, before).cdk)
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
    fix = fix_of(case, before).cloudformation
    with pytest.raises(AssertionError, match="IOT_01"):
        assert_fixed(case, before, judge_resources(case, f"{fix}\n    TableName: state"))
