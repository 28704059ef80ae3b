"""What is written by hand is the example's template: it may call resources otherwise, and nothing else."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from bench.peers.environments import process_environment, python_of
from bench.synth.by_hand import ByHandStack
from examples.iot_pipeline.function_asset import function_asset
from examples.iot_pipeline.stack import IotPipelineStack
from tests.synth_support import ENV, Json, fresh_app, template_of

_ROOT = Path(__file__).resolve().parents[2]
_FLAGS = json.loads((_ROOT / "examples" / "iot_pipeline" / "cdk.json").read_text())["context"]
_NAMES = (
    "AlarmName",
    "BucketName",
    "DashboardName",
    "DeliveryStreamName",
    "FunctionName",
    "LogGroupName",
    "Name",
    "QueueName",
    "RuleName",
    "TableName",
    "TopicName",
)


@pytest.fixture(scope="module")
def templates() -> tuple[Json, Json]:
    return _synthesize(None, {})


def test_the_templates_are_the_same(templates: tuple[Json, Json]) -> None:
    assert _differences(*templates) == []


def test_the_templates_are_the_same_with_an_environment() -> None:
    assert _differences(*_synthesize(ENV, {})) == []


def test_the_templates_are_the_same_under_the_flags_of_a_new_app() -> None:
    assert _differences(*_synthesize(None, _FLAGS)) == []


def test_both_stacks_are_deployed_alike() -> None:
    """What stands in the assembly and not in the template."""
    app, other_app = fresh_app(), fresh_app()
    ours = IotPipelineStack(app, "IotPipeline", environment_suffix="dev")
    by_hand = ByHandStack(other_app, "IotPipeline")
    assert by_hand.stack_name == ours.stack_name
    assert by_hand.termination_protection == ours.termination_protection
    assert by_hand.tags.tag_values() == ours.tags.tag_values()


def test_it_runs_where_only_aws_cdk_lib_is(templates: tuple[Json, Json], tmp_path: Path) -> None:
    subprocess.run(
        [python_of("plain_l2"), _ROOT / "bench" / "synth" / "by_hand.py"],
        env=process_environment(
            CDK_OUTDIR=str(tmp_path), CDK_VALIDATION="false", PROCESSOR_CODE=str(function_asset())
        ),
        check=True,
    )
    template = json.loads((tmp_path / "IotPipeline.template.json").read_text())
    assert _differences(templates[0], template) == []


@pytest.mark.parametrize(
    ("type", "path", "value"),
    [
        ("AWS::Kinesis::Stream", ("Properties", "RetentionPeriodHours"), 24),
        ("AWS::Kinesis::Stream", ("DeletionPolicy",), "Retain"),
        ("AWS::Lambda::Function", ("Metadata", "cfn-lint"), {}),
        ("AWS::Lambda::Function", ("Properties", "Code", "S3Key"), "other.zip"),
        ("AWS::Lambda::EventSourceMapping", ("DependsOn",), []),
        ("AWS::Lambda::EventSourceMapping", ("Properties", "MaximumRecordAgeInSeconds"), -1),
        ("AWS::CloudWatch::Alarm", ("Properties", "Dimensions", 0, "Value", "Ref"), "Health"),
        ("AWS::CloudWatch::CompositeAlarm", ("Properties", "AlarmRule", "Fn::Join", 1, 0), "("),
        ("AWS::IAM::Policy", ("Properties", "PolicyName"), "Mine"),
        ("AWS::KMS::Key", ("Properties", "KeyPolicy", "Statement", 1, "Resource"), "arn"),
    ],
)
def test_a_change_is_a_difference(
    templates: tuple[Json, Json], type: str, path: tuple[str | int, ...], value: object
) -> None:
    changed = copy.deepcopy(templates[1])
    place: Any = next(r for r in changed["Resources"].values() if r["Type"] == type)
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    assert _differences(templates[0], changed) != []


def test_what_is_missing_or_more_is_a_difference(templates: tuple[Json, Json]) -> None:
    ours, by_hand = templates
    for section, id in (("Outputs", "StreamName"), ("Resources", next(iter(by_hand["Resources"])))):
        less = copy.deepcopy(by_hand)
        del less[section][id]
        assert _differences(ours, less) != []
        assert _differences(less, ours) != []


def _synthesize(env: cdk.Environment | None, context: Mapping[str, Any]) -> tuple[Json, Json]:
    ours = IotPipelineStack(fresh_app(context), "IotPipeline", environment_suffix="dev", env=env)
    by_hand = ByHandStack(fresh_app(context), "IotPipeline", env=env)
    return template_of(ours), template_of(by_hand)


def _differences(one: Json, other: Json) -> list[str]:
    """Each value that only one of them has, with its place; nothing if they differ in logical ids alone."""
    left, right = set(_leaves(_renamed(one))), set(_leaves(_renamed(other)))
    return sorted(f"- {leaf}" for leaf in left - right) + sorted(
        f"+ {leaf}" for leaf in right - left
    )


def _renamed(template: Json) -> Json:
    """The template with every logical id replaced by what the resource is."""
    new_ids = _new_ids(template["Resources"])

    def rename(value: Any) -> Any:
        if isinstance(value, list):
            return [rename(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {key: _rename_reference(key, rename(item), new_ids) for key, item in value.items()}

    resources: Json = {}
    for id, resource in template["Resources"].items():
        renamed = rename(resource)
        if renamed.get("Properties", {}).get("PolicyName") == id:  # CDK's own: the logical id
            renamed["Properties"]["PolicyName"] = new_ids[id]
        resources[new_ids[id]] = renamed
    return {**rename(template), "Resources": resources}


def _new_ids(resources: Json) -> dict[str, str]:
    """A resource is its type and physical name, or its position among the nameless ones of its type."""
    nameless: Counter[str] = Counter()
    new_ids: dict[str, str] = {}
    for id, resource in resources.items():
        type, properties = resource["Type"], resource.get("Properties", {})
        names = [json.dumps(properties[key]) for key in _NAMES if key in properties]
        # A name that is a reference to another resource is the other one's.
        own = [name for name in names if not any(f'"{other}"' in name for other in resources)]
        if not own:
            nameless[type] += 1
        new_ids[id] = f"{type} {own[0] if own else nameless[type]}"
    assert len(set(new_ids.values())) == len(new_ids)
    return new_ids


def _rename_reference(key: str, value: Any, new_ids: Mapping[str, str]) -> Any:
    if key == "Ref":
        return new_ids.get(value, value)
    if key == "Fn::GetAtt":
        id, *attribute = value.split(".", 1) if isinstance(value, str) else value
        return [new_ids.get(id, id), *attribute]
    if key == "Fn::Sub":
        text, *more = [value] if isinstance(value, str) else value
        return [
            re.sub(r"\$\{([A-Za-z0-9]+)", lambda m: "${" + new_ids.get(m[1], m[1]), text),
            *more,
        ]
    if key == "DependsOn":  # CDK sorts them by logical id
        return sorted(new_ids[id] for id in ([value] if isinstance(value, str) else value))
    if key == "Statement":  # of a policy, which any statement denies or else any allows: no order
        return sorted(value, key=json.dumps)
    return value


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else None
    )
    if children is None or not value:  # an empty list or object is a value, too
        yield f"{path} = {json.dumps(value)}"
        return
    for key, child in children:
        yield from _leaves(child, f"{path}/{key}")
