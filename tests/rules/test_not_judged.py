"""The rule that names what was not looked at."""

from __future__ import annotations

from pathlib import Path

from iot_constructs.rules import catalogue
from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.reader import parse
from iot_constructs.rules.template import load
from tests.rules.compliant_pipeline import template
from tests.rules.test_template import nested_stack, write

RULE = RULE_BY_ID["IOT_00_NOT_JUDGED"]


def test_each_thing_is_a_finding(tmp_path: Path) -> None:
    write(tmp_path / "inner.yaml", "Resources: {M: {Type: 'A::B::C::MODULE'}}")
    stacks = {"Inner": nested_stack(url="inner.yaml"), "Url": nested_stack(url="https://x/y")}
    path = write(tmp_path / "a.json", {"Transform": "Macro", "Resources": stacks})
    found = [
        (it.template.name, it.logical_id, it.property_path, it.resource_type)
        for it in catalogue.check(load([path]), None)
        if it.rule_id == RULE.id
    ]
    assert found == [
        ("a.json", None, "Transform", ""),
        ("a.json", "Url", "Properties/TemplateURL", "AWS::CloudFormation::Stack"),
        ("inner.yaml", "M", "Type", "A::B::C::MODULE"),
    ]


def test_it_is_a_warning() -> None:
    assert RULE.level == "warning"
    assert RULE.cfn_lint_id == "W9300"


def test_how_to_get_what_can_be_looked_at() -> None:
    one = template({"Url": nested_stack(url="https://x/y"), "M": {"Type": "A::MODULE"}})
    assert one.not_judged  # the module; nested stacks are the loader's
    stack, module = (
        RULE.remediation_of(RULE.finding(one.resources[name], "detail")).cloudformation
        for name in ("Url", "M")
    )
    assert parse(stack, Path("fix.yaml")).body["Url"]["Properties"]["TemplateURL"] == "nested.yaml"
    assert "get-template" in module
    assert "Processed" in module
