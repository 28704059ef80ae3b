"""The rules within cfn-lint, as its own program runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from cfnlint.rules import Rules

from iot_constructs.rules.catalogue import RULE_BY_ID, RULES
from tests.rules.test_check_command import CLEAN, MACRO, NAMED, OTHER_TABLE, TABLE, write

MODULE = "iot_constructs.rules.cfn_lint"
ERROR, WARNING = 2, 4  # exit codes of cfn-lint, which adds them up

Lint = Callable[..., tuple[int, str]]


@pytest.fixture
def lint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lint:
    """Run cfn-lint in a directory of its own: exit code, and lines of `file:line:column:...:id:message`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, rules: bool = True, **options: Any) -> tuple[int, str]:
        ours = ["--append-rules", MODULE] if rules else []
        done = subprocess.run(
            [str(Path(sys.executable).with_name("cfn-lint")), *arguments, *ours],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(tmp_path)},
            **options,
        )
        return done.returncode, done.stdout

    return run


def ours(out: str) -> list[str]:
    """``file:line:column id`` of our findings in the format `parseable`; cfn-lint may find more."""
    rows = [line.split(":") for line in out.splitlines()]
    return [f"{row[0]}:{row[1]}:{row[2]} {row[5]}" for row in rows if row[5][1:3] == "93"]


def parseable(*names: str) -> list[str]:
    return ["--format", "parseable", "--template", *names]


def test_each_rule_is_one_of_cfn_lint_with_its_texts() -> None:
    rules = Rules.create_from_module(MODULE)
    assert set(rules) == {rule.cfn_lint_id for rule in RULES}
    for rule in RULES:
        theirs = rules[rule.cfn_lint_id]
        assert theirs.severity == rule.level
        assert theirs.source_url == rule.source_url
        assert rule.id == theirs.shortdesc
        assert rule.info in theirs.description


def test_findings_have_the_lines_of_yaml(lint: Lint) -> None:
    names = [write("templates/table.yaml", TABLE), write("templates/ok.yaml", CLEAN)]
    code, out = lint(*parseable("templates/*.yaml"))
    assert ours(out) == [f"{names[0]}:6:5 E9302"]
    assert code == ERROR
    assert lint(*parseable(names[1]))[0] == 0


def test_what_is_not_judged_is_a_warning(lint: Lint) -> None:
    code, out = lint(*parseable(write("macro.yaml", MACRO)))
    assert ours(out) == ["macro.yaml:1:1 W9300"]
    assert code == WARNING


def test_a_template_that_only_cfn_lint_reads_is_one_warning(lint: Lint) -> None:
    out = lint(*parseable(write("list.yaml", "Resources: []\n")))[1]
    assert ours(out) == ["list.yaml:1:1 W9300"]
    assert "Unknown exception" not in out


@pytest.mark.parametrize(
    "place", ["option", "config", "Metadata of the template", "Metadata of the resource"]
)
def test_findings_are_accepted_as_any_of_cfn_lint(lint: Lint, place: str) -> None:
    body, arguments = TABLE, []
    metadata = "Metadata: {cfn-lint: {config: {ignore_checks: [E9302]}}}\n"
    if place == "option":
        arguments = ["--ignore-checks", "E9302"]
    elif place == "config":
        write(".cfnlintrc", "ignore_checks: [E9302]\n")
    elif place == "Metadata of the template":
        body = metadata + TABLE
    else:
        body = TABLE.replace("    Properties:", f"    {metadata}    Properties:")
    out = lint(*parseable(write("table.yaml", body)), *arguments)[1]
    assert ours(out) == []


def test_metadata_of_a_resource_is_about_this_one(lint: Lint) -> None:
    metadata = "    Metadata: {cfn-lint: {config: {ignore_checks: [E9302]}}}\n"
    other = OTHER_TABLE.replace("    Properties:", f"{metadata}    Properties:")
    assert ours(lint(*parseable(write("two.yaml", TABLE + other)))[1]) == ["two.yaml:6:5 E9302"]


def test_rules_and_suffix_stand_in_the_config_file(lint: Lint) -> None:
    write(".cfnlintrc", f"append_rules: [{MODULE}]\nconfigure_rules: {{E9301: {{suffix: Dev}}}}\n")
    named = parseable(write("named.yaml", NAMED))
    names = [line for line in ours(lint(*named, rules=False)[1]) if line.endswith("E9301")]
    assert names == ["named.yaml:2:49 E9301", "named.yaml:3:50 E9301"]
    done = lint(*named, "--configure-rule", "E9301:suffix=ALERTS", rules=False)[1]
    assert "E9301" not in done


def test_serverless_and_loops_have_the_lines_of_the_author(lint: Lint) -> None:
    body = """\
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Resources:
  Fn::ForEach::Tables:
    - Name
    - [One]
    - ${Name}Table:
        Type: AWS::DynamoDB::Table
        DeletionPolicy: Delete
        Properties:
          BillingMode: PAY_PER_REQUEST
  Simple:
    Type: AWS::Serverless::SimpleTable
    DeletionPolicy: Delete
"""
    recovery = [
        line
        for line in ours(lint(*parseable(write("sam.yaml", body)))[1])
        if line.endswith("E9302")
    ]
    assert recovery == ["sam.yaml:9:9 E9302", "sam.yaml:11:3 E9302"]


def test_the_stacks_of_an_app_are_judged_together(lint: Lint) -> None:
    failures = {
        "Resources": {
            "Dlq": {"Type": "AWS::SNS::Topic"},
            "Config": {
                "Type": "AWS::Lambda::EventInvokeConfig",
                "Properties": {
                    "FunctionName": "f",
                    "Qualifier": "$LATEST",
                    "DestinationConfig": {"OnFailure": {"Destination": {"Ref": "Dlq"}}},
                },
            },
        },
        "Outputs": {"Arn": {"Value": {"Ref": "Dlq"}, "Export": {"Name": "dlq"}}},
    }
    subscription = {
        "Resources": {
            "Subscription": {
                "Type": "AWS::SNS::Subscription",
                "Properties": {
                    "Protocol": "email",
                    "TopicArn": {"Fn::ImportValue": "dlq"},
                    "Endpoint": "ops@example.com",
                },
            }
        }
    }
    names = [
        write("cdk.out/A.template.json", failures),
        write("cdk.out/B.template.json", subscription),
    ]
    assert "E9312" in lint(*parseable(names[0]))[1]
    artifacts = {
        name: {
            "type": "aws:cloudformation:stack",
            "properties": {"templateFile": f"{name}.template.json", "terminationProtection": True},
        }
        for name in ("A", "B")
    }
    write("cdk.out/manifest.json", {"version": "48.0.0", "artifacts": artifacts})
    assert "E9312" not in lint(*parseable("cdk.out/*.template.json"))[1]
    assert "E9329" in lint(*parseable(names[0]))[1]
    assert "E9329" not in lint(*parseable(names[1]))[1]  # about the other file
    # A manifest that is not of the CDK says nothing about the template beside it.
    write("cdk.out/manifest.json", {"name": "web"})
    assert "E9312" in lint(*parseable(names[0]))[1]


def test_the_standard_input(lint: Lint) -> None:
    out = lint("--format", "parseable", input=TABLE)[1]
    assert ours(out) == ["None:6:5 E9302"]


def test_sarif_and_junit(lint: Lint) -> None:
    write("table.yaml", TABLE)
    [log] = json.loads(lint("--format", "sarif", "--template", "table.yaml")[1])["runs"]
    results = {it["ruleId"]: it["locations"][0]["physicalLocation"] for it in log["results"]}
    assert results["E9302"]["region"]["startLine"] == 6
    root = Xml.fromstring(lint("--format", "junit", "--template", "table.yaml")[1])
    failed = {case.attrib["name"] for case in root.iter("testcase") if case.findall("failure")}
    assert f"E9302 {RULE_BY_ID['IOT_02_POINT_IN_TIME_RECOVERY'].id}" in failed
