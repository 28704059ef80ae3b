"""Who may do what in the example: the complete list, and nothing wider than it has to be.

``tests/permissions.txt`` is the list. A new permission is a line in its diff; to write it anew:
``UPDATE_SNAPSHOT=1 pytest tests/test_permissions.py``.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs import MonitoredStream, SecureDataBucket, StreamProcessor
from tests.permission_list import ACCOUNT, EVERYONE, ITSELF, Permission, permissions_of
from tests.permission_reasons import CONFUSED_DEPUTY, UNCONDITIONAL, WILDCARDS
from tests.synth_support import Json, fresh_app, fresh_stack, inline_code, template_of

_LIST = Path(__file__).parent / "permissions.txt"
_ROOT = Path(__file__).resolve().parent.parent
_CODE = _ROOT / "src" / "iot_constructs" / "processor"
_EXAMPLE = _ROOT / "examples" / "iot_pipeline"
_WITH_PATHS: Json = {"aws:cdk:enable-path-metadata": True}
_FLAGS: Json = json.loads((_EXAMPLE / "cdk.json").read_text(encoding="utf-8"))["context"]
_COMMAND = "UPDATE_SNAPSHOT=1 python -m pytest tests/test_permissions.py"


def _template(suffix: str, flags: Json = _FLAGS) -> Json:
    app = fresh_app({**flags, **_WITH_PATHS})
    return template_of(IotPipelineStack(app, "IotPipeline", environment_suffix=suffix))


@pytest.fixture(scope="module")
def dev() -> set[Permission]:
    return permissions_of(_template("dev"), "dev")


@pytest.fixture(scope="module")
def prod() -> set[Permission]:
    return permissions_of(_template("prod"), "prod")


@pytest.fixture(scope="module")
def to_a_bucket() -> set[Permission]:
    """What the example does not use: whole failed batches in a bucket, of which S3 notifies the DLQ topic."""
    stack = fresh_stack("prod", context=_WITH_PATHS)
    StreamProcessor(
        stack,
        "Processor",
        stream=MonitoredStream(stack, "Stream"),
        code=inline_code(),
        on_failure=SecureDataBucket(stack, "Data"),
    )
    return permissions_of(template_of(stack), "prod")


@pytest.fixture
def every(
    dev: set[Permission], prod: set[Permission], to_a_bucket: set[Permission]
) -> set[Permission]:
    return dev | prod | to_a_bucket


# --- the list -------------------------------------------------------------------------------------


def test_the_list_of_permissions_is_complete(
    dev: set[Permission], prod: set[Permission], to_a_bucket: set[Permission]
) -> None:
    assert prod <= dev, "prod allows what dev does not: give it a section of its own here"
    text = "\n".join(
        [
            "principal | effect | action | resource | condition",
            "",
            *sorted(map(str, prod)),
            "",
            "only in a short-lived environment, where CDK empties the buckets before it deletes them",
            "",
            *sorted(map(str, dev - prod)),
            "",
            "only with StreamProcessor(on_failure=bucket), which the example does not have",
            "",
            *sorted(map(str, to_a_bucket - prod)),
            "",
        ]
    )
    if os.environ.get("UPDATE_SNAPSHOT"):
        _LIST.write_text(text, encoding="utf-8")
    kept = _LIST.read_text(encoding="utf-8") if _LIST.is_file() else ""
    changed = [
        line
        for line in difflib.unified_diff(kept.splitlines(), text.splitlines(), lineterm="", n=0)
        if line[0] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert changed == [], "\n".join(
        ["who may do what has changed; if that is meant:", f"  {_COMMAND}", *changed]
    )


def test_the_list_is_the_same_without_feature_flags(dev: set[Permission]) -> None:
    assert permissions_of(_template("dev", flags={}), "dev") == dev


def test_a_policy_where_none_is_expected_is_an_error() -> None:
    hidden: list[Json] = [
        {"Deep": [{"Policy": {"Statement": []}}]},
        {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]},
        {"PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"},
    ]
    for properties in hidden:
        template = {"Resources": {"New": {"Type": "AWS::New::Thing", "Properties": properties}}}
        with pytest.raises(NotImplementedError, match=r"New .*permits something in"):
            permissions_of(template, "dev")
    with pytest.raises(NotImplementedError, match="Permission New permits something"):
        permissions_of({"Resources": {"New": {"Type": "AWS::Lambda::Permission"}}}, "dev")


# --- what needs it --------------------------------------------------------------------------------


def test_the_function_may_call_what_its_code_calls(prod: set[Permission]) -> None:
    calls = {
        call
        for path in _CODE.glob("*.py")
        for call in re.findall(r"\bself\._client\.(\w+)\(", path.read_text(encoding="utf-8"))
    }
    actions = {
        "batch_write_item": ["dynamodb:BatchWriteItem"],
        "batch_get_item": [],  # only with device_state_interval: tests/test_telemetry.py
        "put_item": ["dynamodb:PutItem"],
        "batch_execute_statement": ["dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"],
        "publish_batch": ["sns:Publish"],
    }
    assert calls == set(actions)
    allowed = {row.action for row in prod if row.principal == "Processor/Role"}
    needed = {action for each in actions.values() for action in each}
    assert {a for a in allowed if a.startswith(("dynamodb:", "sns:"))} == needed


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# --- nothing wider than it has to be --------------------------------------------------------------


def test_wildcards_are_those_for_which_there_is_nothing_narrower(every: set[Permission]) -> None:
    assert _wildcards(every) == WILDCARDS.keys()


def _wildcards(rows: set[Permission]) -> set[tuple[str, str, str]]:
    """Of what is allowed: an action with a ``*``, or a resource that is nothing but one."""
    found = set()
    for row in rows:
        if row.effect != "Allow":
            continue
        if "*" in row.action or "?" in row.action:
            found.add((row.kind, row.principal, row.action))
        if not re.search(r"[^*:]", row.resource):
            found.add((row.kind, row.principal, f"Resource of {row.action}"))
    return found


def test_wildcards_are_found() -> None:
    row = ("Allow", "", "identity")
    wide = {
        Permission("a", row[0], "s3:*", "Bucket", *row[1:]),
        Permission("b", row[0], "s3:Get*", "Bucket", *row[1:]),
        Permission("c", row[0], "s3:GetObject", "*", *row[1:]),
        Permission("d", row[0], "s3:GetObject", "Bucket/*", *row[1:]),
    }
    assert {(principal, what) for _, principal, what in _wildcards(wide)} == {
        ("a", "s3:*"),
        ("b", "s3:Get*"),
        ("c", "Resource of s3:GetObject"),
    }


def test_a_part_of_a_resource_is_open_only_below_our_own_buckets(every: set[Permission]) -> None:
    open_parts = {row.resource for row in every if "*" in row.resource.removesuffix("*")}
    assert open_parts == set()
    below = {row.resource for row in every if row.resource.endswith("*") and row.resource != "*"}
    assert below == {"DataAccessLogs/*", "Data/*", "Data/aws/lambda/*"}


def test_key_policies_are_about_the_key_itself(every: set[Permission]) -> None:
    of_keys = {row.resource for row in every if row.kind == "key"}
    assert of_keys == {f"IotConstructsKey {ITSELF}"}
    assert [row for row in every if ITSELF in row.resource and row.kind != "key"] == []


def test_everyone_is_only_ever_denied(every: set[Permission]) -> None:
    assert {row.effect for row in every if row.principal == EVERYONE} == {"Deny"}
    assert {row.principal for row in every if row.effect == "Deny"} == {EVERYONE}
    assert {row.kind for row in every if row.principal == ACCOUNT} == {"key"}


# --- whom it is given to --------------------------------------------------------------------------


def test_a_service_acts_for_this_account_only(every: set[Permission]) -> None:
    """The confused deputy: another account has the service use what is ours."""
    services = {
        row
        for row in every
        if row.principal.endswith(".amazonaws.com") and row.resource not in UNCONDITIONAL
    }
    for row in services:
        conditions = CONFUSED_DEPUTY[row.principal, row.kind]
        found = row.condition.split(" and ")
        assert len(found) == len(conditions), row
        for part, expected in zip(found, conditions, strict=True):
            assert part.startswith(expected), row
    assert {(row.principal, row.kind) for row in services} == CONFUSED_DEPUTY.keys()


def test_roles_are_for_services_and_each_for_one(every: set[Permission]) -> None:
    trust = [row for row in every if row.kind == "trust"]
    assert {row.action for row in trust} == {"sts:AssumeRole"}
    assert {row.principal for row in trust} == {
        "firehose.amazonaws.com",
        "iot.amazonaws.com",
        "lambda.amazonaws.com",
    }
    trusting = sorted({(row.resource, row.principal) for row in trust})
    assert len(trusting) == len({resource for resource, _ in trusting})


def test_a_trust_policy_names_no_resource_so_nothing_waits_for_itself() -> None:
    """The rule waits for its roles, so their ARN of the rule is composed from the name that we give it."""
    template = _template("prod")
    known = set(template["Resources"])
    waits = {name: _names(body) & known - {name} for name, body in template["Resources"].items()}
    for name, body in template["Resources"].items():
        if body["Type"] == "AWS::IAM::Role":
            assert _names(body["Properties"]["AssumeRolePolicyDocument"]) & known == set(), name
    assert len(list(TopologicalSorter(waits).static_order())) == len(known)
    (rule,) = [b for b in template["Resources"].values() if b["Type"] == "AWS::IoT::TopicRule"]
    sources = {
        row.resource: row.condition
        for row in permissions_of(template, "prod")
        if row.principal == "iot.amazonaws.com"
    }
    assert sources.keys() == {"Telemetry/Role", "Telemetry/ErrorActionRole"}
    name = rule["Properties"]["RuleName"].replace("prod", "{suffix}")
    for source in sources.values():
        assert f":rule/{name} and " in source


def _names(value: Any) -> set[str]:
    """Every logical id that is referred to."""
    if isinstance(value, list):
        return set().union(*map(_names, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found = set()
    for key, each in value.items():
        if key in ("Ref", "DependsOn"):
            found |= {str(name) for name in _as_list(each)}
        elif key == "Fn::GetAtt":
            found.add(str(each[0]))
        else:
            found |= _names(each)
    return found
