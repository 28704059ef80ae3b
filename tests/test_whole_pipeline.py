"""All constructs together, in every kind of stack: what CDK finds, physical names, retention, tags, and the key.

A second process synthesizes the same apps with CDK's own validation; its output is compared byte by byte.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from constructs import Construct

from iot_constructs import NamePrefix, SuffixedStack
from iot_constructs import _defaults as defaults
from tests.synth_support import (
    ENV,
    FAST_CONTEXT,
    NAMED_TYPES,
    Json,
    WholePipeline,
    as_list,
    needs,
    one,
    physical_names,
    plain,
    recommended_flags,
    resources,
    the_id,
    too_early,
    unvalidated_app,
)

_ROOT = Path(__file__).resolve().parent.parent
# The stacks, with their suffix and the pattern of their template's path.
_STACKS = {
    "Agnostic": ("qa7", "flags-True/Agnostic.template.json"),
    "Placed": ("qa7", "flags-True/Placed.template.json"),
    "Two": ("qa8", "flags-True/Two.template.json"),
    "Agnostic, no flags": ("qa7", "flags-False/Agnostic.template.json"),
    "Placed, no flags": ("qa7", "flags-False/Placed.template.json"),
    "Prod": ("prod", "flags-True/Prod.template.json"),
    "Live": ("live", "flags-True/Live.template.json"),
    "Nested": ("pr-12", "flags-True/OuterNested*.nested.template.json"),
    "InStage": ("test", "flags-True/assembly-Blue/BlueInStage*.template.json"),
}
_PROTECTED = ("Prod", "Live")
_DATA = {
    "AWS::DynamoDB::GlobalTable",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::Logs::LogStream",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
}
# A rollback cannot delete a protected table, and the table needs its key.
_LEFT_BY_A_ROLLBACK = {"AWS::DynamoDB::GlobalTable", "AWS::KMS::Key"}
_AUTO_DELETE = ("CustomS3AutoDelete", "AutoDeleteObjectsLogs")  # CDK's function, and what is its


def build(outdir: Path, *, validate: bool) -> None:
    """Two apps, with and without feature flags, that have the pipeline in every kind of stack."""
    for flags in (True, False):
        app = (cdk.App if validate else unvalidated_app)(
            analytics_reporting=False,
            outdir=str(outdir / f"flags-{flags}"),
            context={**FAST_CONTEXT, **(recommended_flags() if flags else {})},
        )
        WholePipeline(SuffixedStack(app, "Agnostic", environment_suffix="qa7"))
        WholePipeline(SuffixedStack(app, "Placed", environment_suffix="qa7", env=ENV))
        if flags:
            two = SuffixedStack(app, "Two", environment_suffix="qa8")
            for site in ("north", "south"):
                scope = Construct(two, site)
                NamePrefix(site).attach_to(scope)
                WholePipeline(scope)
            WholePipeline(SuffixedStack(app, "Prod", environment_suffix="prod"))
            WholePipeline(SuffixedStack(app, "Live", environment_suffix="live", env=ENV))
            outer = SuffixedStack(app, "Outer", environment_suffix="pr-12")
            WholePipeline(cdk.NestedStack(outer, "Nested"))
            stage = cdk.Stage(app, "Blue", env=ENV)
            WholePipeline(SuffixedStack(stage, "InStage", environment_suffix="test"))
        # What CDK's validation is known to find: a report without it would mean that nothing was validated.
        cdk.CfnResource(cdk.Stack(app, "Control"), "Closed", type="AWS::Timestream::Database")
        app.synth()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same apps of this process, and of another that validates them, at the same time."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    program = (
        "import sys, tests.test_whole_pipeline as t; t.build(t.Path(sys.argv[1]), validate=True)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(there)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        build(here, validate=False)
    finally:
        output, _ = other.communicate()
    assert other.returncode == 0, output
    return here, there


@pytest.fixture(scope="module")
def templates(both: tuple[Path, Path]) -> dict[str, Json]:
    found = {}
    for name, (_, pattern) in _STACKS.items():
        (path,) = both[0].glob(pattern)
        found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=list(_STACKS))
def name(request: pytest.FixtureRequest) -> str:
    """Each of the stacks."""
    return str(request.param)


@pytest.fixture
def template(name: str, templates: dict[str, Json]) -> Json:
    return templates[name]


# --- what CDK finds ----------------------------------------------------------------------------------------------


def test_the_validation_of_cdk_finds_nothing(both: tuple[Path, Path]) -> None:
    """Nor does the other process call anything deprecated, which tests/conftest.py makes an error."""
    reports = list(both[1].rglob("validation-report.json"))
    assert len(reports) == 2
    for report in reports:
        found = [
            (violation["ruleName"], place["constructPath"])
            for plugin in json.loads(report.read_text(encoding="utf-8"))["pluginReports"]
            for violation in plugin["violations"]
            for place in violation["violatingConstructs"]
        ]
        assert found == [("W3697", "Control/Closed")]


def test_no_stack_has_a_warning_or_an_error(both: tuple[Path, Path]) -> None:
    found = []
    for manifest in both[0].rglob("manifest.json"):
        for artifact in json.loads(manifest.read_text(encoding="utf-8"))["artifacts"].values():
            metadata = artifact.get("metadata", {})
            if "additionalMetadataFile" in artifact:
                file = manifest.parent / artifact["additionalMetadataFile"]
                metadata = json.loads(file.read_text(encoding="utf-8"))
            found += [
                entry
                for entries in metadata.values()
                for entry in entries
                if entry["type"] in ("aws:cdk:warning", "aws:cdk:error", "aws:cdk:info")
            ]
    assert found == []


def test_two_synths_are_identical_to_the_byte(both: tuple[Path, Path]) -> None:
    here, there = ({p.relative_to(root): p for p in root.rglob("*.json")} for root in both)
    compared = {path for path in here if "template" in path.name or path.name == "manifest.json"}
    assert len(compared) > len(_STACKS)
    assert [p for p in compared if here[p].read_bytes() != there[p].read_bytes()] == []


def test_no_resource_depends_on_itself(template: Json) -> None:
    known = set(template["Resources"])
    uses = {name: set(needs(body)) & known for name, body in template["Resources"].items()}
    assert len(list(TopologicalSorter(uses).static_order())) == len(known)  # raises CycleError


def test_who_uses_a_role_waits_for_its_policies(template: Json) -> None:
    assert too_early(template) == {}


def test_the_template_has_nothing_unused(template: Json) -> None:
    assert "Mappings" not in template


# --- names, retention, tags --------------------------------------------------------------------------------------


def test_every_resource_that_aws_names_has_a_name_with_the_suffix(
    name: str, template: Json
) -> None:
    suffix = _STACKS[name][0]
    names = physical_names(template)
    unnamed = {
        key
        for key, body in template["Resources"].items()
        if body["Type"] in NAMED_TYPES and not key.startswith(_AUTO_DELETE)
    } - names.keys()
    assert unnamed == set()
    endings = (f"-{suffix}", f"_{suffix.replace('-', '_')}")
    assert {key: it for key, it in names.items() if not it.endswith(endings)} == {}
    # Roles and the like are named by CloudFormation. The name of an inline policy is one within its role.
    others = {
        (body["Type"], key)
        for body in template["Resources"].values()
        if body["Type"] not in NAMED_TYPES
        for key, value in body.get("Properties", {}).items()
        if key.endswith("Name") and isinstance(value, str)
    }
    assert others <= {("AWS::IAM::Policy", "PolicyName")}


@pytest.mark.parametrize("name", _PROTECTED)
def test_everything_that_holds_data_outlives_a_protected_stack(
    name: str, templates: dict[str, Json]
) -> None:
    bodies = templates[name]["Resources"].values()
    policies = {
        (body["Type"], body.get("DeletionPolicy"), body.get("UpdateReplacePolicy"))
        for body in bodies
        if body["Type"] in _DATA
    }
    except_on_create = _DATA - _LEFT_BY_A_ROLLBACK
    assert policies == {
        *((type, "Retain", "Retain") for type in _LEFT_BY_A_ROLLBACK),
        *((type, "RetainExceptOnCreate", "Retain") for type in except_on_create),
    }
    found = {body.get("DeletionPolicy") for body in bodies}
    assert found == {"Retain", "RetainExceptOnCreate", None}
    assert not [body for body in bodies if body["Type"].startswith("Custom::S3AutoDelete")]


@pytest.mark.parametrize("name", [name for name in _STACKS if name not in _PROTECTED])
def test_nothing_outlives_an_ephemeral_stack(name: str, templates: dict[str, Json]) -> None:
    bodies = templates[name]["Resources"].values()
    assert {body.get("DeletionPolicy") for body in bodies} == {"Delete", None}
    assert {body.get("UpdateReplacePolicy") for body in bodies} == {"Delete", None}
    assert {body["Type"] for body in bodies if body.get("DeletionPolicy") is None} & _DATA == set()
    # A bucket that holds objects cannot be deleted.
    emptied = resources(templates[name], "Custom::S3AutoDeleteObjects").values()
    buckets = resources(templates[name], "AWS::S3::Bucket")
    assert {body["Properties"]["BucketName"]["Ref"] for body in emptied} == buckets.keys()


def test_every_resource_is_tagged(name: str, template: Json) -> None:
    untagged = []
    for logical_id, body in template["Resources"].items():
        tags = body.get("Properties", {}).get("Tags")
        if body["Type"] == "AWS::DynamoDB::GlobalTable":
            tags = body["Properties"]["Replicas"][0]["Tags"]
        if tags is not None:
            found = {tag["Key"]: tag["Value"] for tag in tags}
            expected = (_STACKS[name][0], defaults.MANAGED_BY)
            if (found["Environment"], found["ManagedBy"]) != expected:
                untagged.append(logical_id)
        elif body["Type"] in _DATA - {"AWS::Logs::LogStream"}:
            untagged.append(logical_id)
    assert untagged == []


# --- the key -----------------------------------------------------------------------------------------------------


def test_one_key_encrypts_everything_but_access_logs(template: Json) -> None:
    """S3 delivers access logs under its own key only, and the Glue catalog's encryption is the account's."""
    arn = {"Fn::GetAtt": [the_id(template, "AWS::KMS::Key"), "Arn"]}
    keys: dict[str, Callable[[Json], Any]] = {
        "AWS::Kinesis::Stream": lambda p: p["StreamEncryption"]["KeyId"],
        "AWS::SQS::Queue": lambda p: p["KmsMasterKeyId"],
        "AWS::SNS::Topic": lambda p: p["KmsMasterKeyId"],
        "AWS::Logs::LogGroup": lambda p: p["KmsKeyId"],
        "AWS::DynamoDB::GlobalTable": lambda p: p["Replicas"][0]["SSESpecification"][
            "KMSMasterKeyId"
        ],
        "AWS::S3::Bucket": lambda p: p["BucketEncryption"]["ServerSideEncryptionConfiguration"][0][
            "ServerSideEncryptionByDefault"
        ].get("KMSMasterKeyID"),
    }
    for type, key_of in keys.items():
        for logical_id, body in resources(template, type).items():
            if "AccessLogs" in logical_id:
                assert key_of(body["Properties"]) is None
            elif not logical_id.startswith(_AUTO_DELETE):
                assert key_of(body["Properties"]) == arn, logical_id


def test_services_may_use_the_key_for_this_account_or_these_log_groups_only(template: Json) -> None:
    by_service: dict[str, set[str]] = {}
    log_groups = set()
    for statement in one(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]:
        for service in as_list(statement["Principal"].get("Service", [])):
            (condition,) = statement["Condition"].values()
            by_service.setdefault(plain(service), set()).update(condition)
            arn = plain(condition.get("kms:EncryptionContext:aws:logs:arn", ""))
            if arn:
                log_groups.add(arn.split(":log-group:")[1])
    logs = next(service for service in by_service if service.startswith("logs."))
    assert by_service == {
        "cloudwatch.amazonaws.com": {"aws:SourceAccount"},
        "sns.amazonaws.com": {"aws:SourceArn"},
        logs: {"kms:EncryptionContext:aws:logs:arn"},
    }
    assert log_groups == {
        plain(body["Properties"].get("LogGroupName", "${AWS::StackName}-AutoDeleteObjectsLogs*"))
        for body in resources(template, "AWS::Logs::LogGroup").values()
    }
