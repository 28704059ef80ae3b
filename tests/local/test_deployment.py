"""Only unsupported resources are removed from a template."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.local import toolchain
from iot_constructs.local.certificates import make_certificates
from iot_constructs.local.deployment import (
    ALARM,
    AUTO_DELETE,
    COMPOSITE_ALARM,
    AppError,
    Deployer,
    Resolver,
    UnresolvedError,
    UnsupportedResource,
    alarm_arn,
    alarm_request,
    check_app,
    check_environments,
    emulator_statements,
    remove_unsupported,
    split_template,
    templates,
)
from iot_constructs.local.emulator import HOST, Emulator
from iot_constructs.local.toolchain import ToolError


def template() -> dict[str, Any]:
    return {
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {}},
            "Plain": {"Type": ALARM, "Properties": {"AlarmName": "plain", "MetricName": "m"}},
            "Math": {
                "Type": ALARM,
                "Properties": {
                    "AlarmName": "math",
                    "Metrics": [{"Id": "e", "Expression": "a/b"}],
                    "AlarmActions": [{"Ref": "Topic"}],
                },
            },
            "All": {
                "Type": COMPOSITE_ALARM,
                "Properties": {
                    "AlarmName": "all",
                    "AlarmRule": {
                        "Fn::Join": [
                            "",
                            [
                                'ALARM("',
                                {"Fn::GetAtt": ["Plain", "Arn"]},
                                '") OR ALARM("',
                                {"Fn::GetAtt": ["Math", "Arn"]},
                                '")',
                            ],
                        ]
                    },
                },
                "DependsOn": ["Math", "Plain"],
            },
            "Empty": {
                "Type": AUTO_DELETE,
                "Properties": {"BucketName": {"Ref": "Bucket"}},
                "Metadata": {"aws:cdk:path": "Stack/Bucket/AutoDelete"},
            },
            "Dashboard": {
                "Type": "AWS::CloudWatch::Dashboard",
                "Properties": {"DashboardBody": {"Fn::GetAtt": ["All", "Arn"]}},
                "DependsOn": ["All", "Plain"],
            },
        },
        "Outputs": {"Alarm": {"Value": {"Ref": "Math"}}},
    }


def test_only_unsupported_resources_are_removed() -> None:
    stripped, unsupported = split_template("Stack", template())
    assert {each.logical_id for each in unsupported} == {"Math", "All", "Empty"}
    assert set(stripped["Resources"]) == {"Topic", "Plain", "Dashboard"}
    assert stripped["Resources"]["Plain"] == template()["Resources"]["Plain"]
    assert all(each.reason for each in unsupported)
    assert {each.name for each in unsupported} == {"math", "all", "Stack/Bucket/AutoDelete"}


def test_references_to_removed_resources_become_literals() -> None:
    stripped, _ = split_template("Stack", template())
    dashboard = stripped["Resources"]["Dashboard"]
    assert dashboard["Properties"]["DashboardBody"] == alarm_arn("all")
    assert dashboard["DependsOn"] == ["Plain"]
    assert stripped["Outputs"]["Alarm"]["Value"] == "math"


def test_a_supported_template_is_unchanged() -> None:
    plain = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": {}}
    assert split_template("Stack", plain) == (plain, [])


def test_an_alarm_without_a_name_gets_one() -> None:
    unnamed = template()
    del unnamed["Resources"]["Math"]["Properties"]["AlarmName"]
    stripped, unsupported = split_template("Stack", unnamed)
    (math,) = [each for each in unsupported if each.logical_id == "Math"]
    assert math.name == math.properties["AlarmName"] == "Stack-Math"
    assert stripped["Outputs"]["Alarm"]["Value"] == "Stack-Math"


def test_an_alarm_without_a_literal_name_is_an_error() -> None:
    unnamed = template()
    unnamed["Resources"]["Math"]["Properties"]["AlarmName"] = {"Ref": "Name"}
    with pytest.raises(UnresolvedError, match="Math must have a literal AlarmName"):
        split_template("Stack", unnamed)


def resolver() -> Resolver:
    types = {key: value["Type"] for key, value in template()["Resources"].items()}
    types["Queue"] = "AWS::SQS::Queue"
    ids = {"Topic": "arn:topic", "Plain": "plain", "Queue": "https://host/000000000000/queue"}
    return Resolver("Stack", types, ids)


def test_a_removed_alarm_becomes_a_request() -> None:
    _, unsupported = split_template("Stack", template())
    requests = {each.name: alarm_request(each, resolver()) for each in unsupported[:2]}
    assert requests["math"]["AlarmActions"] == ["arn:topic"]
    rule = f'ALARM("{alarm_arn("plain")}") OR ALARM("{alarm_arn("math")}")'
    assert requests["all"]["AlarmRule"] == rule


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Fn::Sub": "a-${AWS::AccountId}-${Topic}"}, "a-000000000000-arn:topic"),
        ({"Fn::GetAtt": ["Queue", "QueueName"]}, "queue"),
        ({"a": [{"Ref": "Topic"}, 1]}, {"a": ["arn:topic", 1]}),
    ],
)
def test_resolver(value: Any, expected: Any) -> None:
    assert resolver().resolve(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Nobody"},
        {"Fn::GetAtt": ["Topic", "Color"]},
        {"Fn::ImportValue": "x"},
        {"Fn::Sub": ["${a}", {"a": 1}]},
    ],
)
def test_resolver_rejects_unsupported_values(value: Any) -> None:
    with pytest.raises(UnresolvedError):
        resolver().resolve(value)


def test_the_assembly_is_copied_not_changed(tmp_path: Path) -> None:
    assembly = tmp_path / "assembly"
    assembly.mkdir()
    file = assembly / "Stack.template.json"
    file.write_text(json.dumps(template()))
    artifact = {
        "type": "aws:cloudformation:stack",
        "properties": {"templateFile": file.name, "stackName": "stack-dev"},
    }
    (assembly / "manifest.json").write_text(json.dumps({"artifacts": {"Stack": artifact}}))
    copy, unsupported = remove_unsupported(assembly)
    assert json.loads(file.read_text()) == template()
    assert "All" not in json.loads((copy / file.name).read_text())["Resources"]
    assert {each.stack for each in unsupported} == {"stack-dev"}
    assert all(isinstance(each, UnsupportedResource) for each in unsupported)


def test_emulator_actions_follow_the_corresponding_aws_actions() -> None:
    def statement(action: Any, effect: str = "Allow", resource: str = "it") -> dict[str, Any]:
        return {"Effect": effect, "Action": action, "Resource": resource}

    statements = [
        statement("sns:Publish"),
        statement(["kms:Decrypt", "sns:Publish"], resource="another"),
        statement("sns:Publish", "Deny"),
        statement("sns:PublishBatch"),
        statement(["dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"]),
        statement("dynamodb:PutItem"),
    ]
    assert emulator_statements({"Statement": statements}) == [
        statement("sns:PublishBatch"),
        statement("sns:PublishBatch", resource="another"),
        statement("dynamodb:BatchExecuteStatement", resource="*"),
    ]


def write_assembly(folder: Path, environment: str) -> None:
    """An assembly with a stack, and another stack in a stage."""
    for part, artifacts in {
        "": {
            "One": {
                "type": "aws:cloudformation:stack",
                "environment": "aws://unknown-account/unknown-region",
                "properties": {"templateFile": "One.template.json"},
            },
            "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
            "Prod": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "prod"}},
        },
        "prod": {
            "Two": {
                "type": "aws:cloudformation:stack",
                "environment": environment,
                "properties": {"templateFile": "Two.template.json", "stackName": "prod-Two"},
            },
        },
    }.items():
        (folder / part).mkdir(exist_ok=True)
        manifest = json.dumps({"artifacts": artifacts})
        (folder / part / "manifest.json").write_text(manifest, encoding="utf-8")


def test_the_stacks_of_a_stage_belong_to_the_assembly(tmp_path: Path) -> None:
    write_assembly(tmp_path, "aws://000000000000/us-east-1")
    assert templates(tmp_path) == {
        "One": tmp_path / "One.template.json",
        "prod-Two": tmp_path / "prod" / "Two.template.json",
    }
    check_environments(tmp_path)


@pytest.mark.parametrize(
    "environment", ["aws://123456789012/us-east-1", "aws://000000000000/eu-west-1"]
)
def test_a_stack_for_another_account_or_region_is_an_error(
    tmp_path: Path, environment: str
) -> None:
    write_assembly(tmp_path, environment)
    with pytest.raises(AppError, match=r"stack Two is for account .* CDK_DEFAULT_ACCOUNT"):
        check_environments(tmp_path)


def test_a_folder_without_an_app_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"has no cdk.json: .* iot-constructs init DIR"):
        check_app(tmp_path)
    tmp_path.joinpath("cdk.json").write_text("{}", encoding="utf-8")
    check_app(tmp_path)


Cdk = Callable[[list[str], Mapping[str, str]], None]


def deployer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cdk: Cdk) -> Deployer:
    """A deployer with a stand-in for the CDK CLI, which gets its arguments and its environment."""

    def run(arguments: list[str], *, environment: Mapping[str, str], **options: object) -> None:
        cdk(arguments, environment)

    monkeypatch.setattr(toolchain, "cdk", lambda: Path("cdk"))
    monkeypatch.setattr(toolchain, "run", run)
    process = subprocess.Popen(["true"])
    process.wait()
    emulator = Emulator(1, 2, tmp_path, make_certificates(tmp_path, HOST), process)
    return Deployer(emulator, app_directory=tmp_path)


@pytest.mark.parametrize(
    ("name", "type", "text"),
    [
        ("manifest.json", AppError, r"end app\.py with app\.synth\(\)"),
        ("data.json", ToolError, "no such file"),
    ],
)
def test_an_app_that_does_not_call_synth(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    type: type[Exception],
    text: str,
) -> None:
    def cdk(arguments: list[str], environment: Mapping[str, str]) -> None:
        output = Path(arguments[arguments.index("--output") + 1])
        raise ToolError(f"failed\nENOENT: no such file or directory, open '{output / name}'")

    with pytest.raises(type, match=text):
        deployer(tmp_path, monkeypatch, cdk).synthesize("dev")


@pytest.mark.parametrize("variable", ["HOME", "JSII_RUNTIME_PACKAGE_CACHE_ROOT"])
def test_a_cache_that_cannot_be_written_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    found: list[str] = []

    def cdk(arguments: list[str], environment: Mapping[str, str]) -> None:
        found.append(environment["JSII_RUNTIME_PACKAGE_CACHE_ROOT"])

    monkeypatch.delenv("JSII_RUNTIME_PACKAGE_CACHE_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "emulator").mkdir()
    run = deployer(tmp_path / "emulator", monkeypatch, cdk)
    run.synthesize("dev")
    monkeypatch.setenv(variable, "/dev/null")
    run.synthesize("dev")
    users, other = map(Path, found)
    assert tmp_path / "home" in users.parents
    assert tmp_path / "emulator" in other.parents
