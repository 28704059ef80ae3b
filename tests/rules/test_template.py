"""Templates as they lie in an assembly, with what the manifest and the asset manifests add."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.rules.template import (
    StackInfo,
    Template,
    load,
    load_assembly,
    load_templates,
)
from tests.rules.compliant_pipeline import Json, resource

HASH = "46672ca0a12de538909d20b57210fe66774dcd1bb407166473bfaf15af04bd11"


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def stack_artifact(file: str, **properties: Any) -> Json:
    return {
        "type": "aws:cloudformation:stack",
        "environment": properties.pop("environment", "aws://unknown-account/unknown-region"),
        "properties": {"templateFile": file, **properties},
    }


def nested_stack(metadata: str | None = None, url: Any = None) -> Json:
    found = resource("AWS::CloudFormation::Stack", TemplateURL=url)
    if metadata is not None:
        found["Metadata"] = {"aws:asset:path": metadata, "aws:asset:property": "TemplateURL"}
    return found


def asset_url(hash: str) -> Json:
    bucket = {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}
    return {"Fn::Join": ["", ["https://s3.", {"Ref": "AWS::Region"}, "/", bucket, f"/{hash}.json"]]}


QUEUE = {"Resources": {"Queue": resource("AWS::SQS::Queue", QueueName="q")}}


def loaded_from(path: Path) -> Template:
    return load([path])[0]


class TestManifest:
    def test_facts_of_a_stack(self, tmp_path: Path) -> None:
        write(tmp_path / "A.template.json", QUEUE)
        artifact = stack_artifact(
            "A.template.json",
            stackName="Stage-A",
            terminationProtection=False,
            tags={"Team": "iot"},
            environment="aws://123456789012/eu-central-1",
        )
        write(tmp_path / "manifest.json", {"artifacts": {"A": artifact}})
        (loaded,) = load_templates([tmp_path / "A.template.json"])
        assert loaded.stack == StackInfo(
            "Stage-A", False, {"Team": "iot"}, "123456789012", "eu-central-1"
        )
        assert loaded.suffix is None

    def test_a_stack_named_like_its_artifact_bound_to_nothing(self, tmp_path: Path) -> None:
        write(tmp_path / "A.template.json", QUEUE)
        write(tmp_path / "manifest.json", {"artifacts": {"A": stack_artifact("A.template.json")}})
        assert loaded_from(tmp_path / "A.template.json").stack == StackInfo("A", None)

    def test_the_suffix_of_a_suffixed_stack(self, tmp_path: Path) -> None:
        tags = {"ManagedBy": "iot-constructs", "Environment": "pr-123"}
        write(tmp_path / "A.template.json", QUEUE)
        artifact = stack_artifact("A.template.json", tags=tags)
        write(tmp_path / "manifest.json", {"artifacts": {"A": artifact}})
        loaded = loaded_from(tmp_path / "A.template.json")
        assert loaded.suffix == "pr-123"
        assert loaded.stack is not None
        assert loaded.stack.suffixed

    @pytest.mark.parametrize(
        "manifest", ["[]", "{", '{"name": "a web application"}', '{"artifacts": []}']
    )
    def test_a_manifest_of_something_else(self, tmp_path: Path, manifest: str) -> None:
        write(tmp_path / "A.template.json", QUEUE)
        write(tmp_path / "manifest.json", manifest)
        assert loaded_from(tmp_path / "A.template.json").stack is None

    def test_none(self, tmp_path: Path) -> None:
        assert loaded_from(write(tmp_path / "A.json", QUEUE)).stack is None


class TestAssembly:
    def test_stacks_of_stages_are_found(self, tmp_path: Path) -> None:
        write(tmp_path / "A.template.json", QUEUE)
        write(tmp_path / "assembly-Stage" / "StageB.template.json", QUEUE)
        write(
            tmp_path / "manifest.json",
            {
                "artifacts": {
                    "A": stack_artifact("A.template.json"),
                    "A.assets": {"type": "cdk:asset-manifest", "properties": {"file": "x"}},
                    "assembly-Stage": {
                        "type": "cdk:cloud-assembly",
                        "properties": {"directoryName": "assembly-Stage"},
                    },
                }
            },
        )
        inner = {"artifacts": {"StageB": stack_artifact("StageB.template.json")}}
        write(tmp_path / "assembly-Stage" / "manifest.json", inner)
        names = [it.stack.name for it in load_assembly(tmp_path) if it.stack is not None]
        assert names == ["A", "StageB"]

    def test_a_folder_without_a_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError) as error:
            load_assembly(tmp_path)
        assert str(tmp_path) in str(error.value)


class TestNested:
    @pytest.mark.parametrize("by", ["metadata", "asset manifest", "relative url"])
    def test_is_found(self, tmp_path: Path, by: str) -> None:
        write(tmp_path / "ANested.nested.template.json", QUEUE)
        if by == "metadata":
            nested = nested_stack("ANested.nested.template.json", asset_url("f" * 64))
        elif by == "relative url":
            nested = nested_stack(url="ANested.nested.template.json")
        else:  # without the CLI's context there is no metadata
            nested = nested_stack(url=asset_url(HASH))
            files = {HASH: {"source": {"path": "ANested.nested.template.json"}}}
            write(tmp_path / "A.assets.json", {"files": files})
        path = write(tmp_path / "A.template.json", {"Resources": {"Nested": nested}})
        loaded = loaded_from(path)
        inner = loaded.nested["Nested"]
        assert inner.path.name == "ANested.nested.template.json"
        assert inner.parent is loaded.resources["Nested"]
        assert inner.root is loaded
        assert list(loaded.walk()) == [loaded, inner]
        assert inner.stack is None

    def test_two_levels(self, tmp_path: Path) -> None:
        write(tmp_path / "C.json", QUEUE)
        write(tmp_path / "B.json", {"Resources": {"C": nested_stack("C.json")}})
        path = write(tmp_path / "A.json", {"Resources": {"B": nested_stack("B.json")}})
        assert [it.path.name for it in loaded_from(path).walk()] == ["A.json", "B.json", "C.json"]

    def test_one_that_is_elsewhere(self, tmp_path: Path) -> None:
        stacks = {
            "Url": nested_stack(url="https://s3.amazonaws.com/bucket/template.json"),
            "Parameter": nested_stack(url={"Ref": "Url"}),
            "Gone": nested_stack("gone.json"),
        }
        assert loaded_from(write(tmp_path / "A.json", {"Resources": stacks})).nested == {}

    def test_one_that_contains_itself(self, tmp_path: Path) -> None:
        path = write(tmp_path / "A.json", {"Resources": {"A": nested_stack("A.json")}})
        assert loaded_from(path).nested == {}

    def test_is_not_repeated_when_it_is_named_by_itself_as_well(self, tmp_path: Path) -> None:
        inner = write(tmp_path / "B.json", QUEUE)
        outer = write(tmp_path / "A.json", {"Resources": {"B": nested_stack("B.json")}})
        assert [it.path for it in load_templates([inner, outer])] == [outer]
        assert [it.path for it in load_templates([inner])] == [inner]


class TestUnreadable:
    @pytest.mark.parametrize(
        "text", ["", "Resources: [", "[]", '{"Resources": []}', '{"Outputs": {}}']
    )
    def test_what_is_no_template(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(ValueError) as error:
            loaded_from(write(tmp_path / "A.json", text))
        assert "A.json" in str(error.value)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(OSError):
            loaded_from(tmp_path / "A.json")

    def test_loops_of_the_language_extensions_are_passed_over(self, tmp_path: Path) -> None:
        resources = {
            "Fn::ForEach::Topics": ["Name", ["a"], {}],
            "Bare": {"Type": "AWS::SNS::Topic"},
        }
        loaded = loaded_from(write(tmp_path / "A.json", {"Resources": resources}))
        assert list(loaded.resources) == ["Bare"]
        assert loaded.resources["Bare"].properties == {}
