"""Which files are templates: files, folders, cloud assemblies, nested stacks."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from iot_constructs.rules import catalogue, reader, template
from iot_constructs.rules.not_judged import NotJudged
from iot_constructs.rules.reader import Document
from iot_constructs.rules.template import Template, load, load_assembly
from tests.rules.test_template import QUEUE, nested_stack, stack_artifact, write

BUCKET = "Resources: {B: {Type: AWS::S3::Bucket}}"
BUCKET_VERSION = "AWSTemplateFormatVersion: '2010-09-09'\n" + BUCKET


def names(templates: Sequence[Template]) -> list[str]:
    return [template.path.name for template in templates]


def record_reads(monkeypatch: pytest.MonkeyPatch, method: str) -> list[str]:
    read: list[str] = []
    original = getattr(Path, method)

    def recorded(path: Path, *args: object, **options: object) -> object:
        read.append(path.name)
        return original(path, *args, **options)

    monkeypatch.setattr(Path, method, recorded)
    return read


def reasons(templates: Sequence[Template]) -> list[str]:
    return [it.detail for root in templates for each in root.walk() for it in each.not_judged]


class TestFolders:
    def test_templates_in_and_below(self, tmp_path: Path) -> None:
        write(tmp_path / "a.json", QUEUE)
        write(tmp_path / "b.yaml", BUCKET)
        write(tmp_path / "c.template", BUCKET_VERSION)
        write(tmp_path / "below" / "d.yml", "Transform: [X]\nResources: {}")
        write(tmp_path / "e.yaml", "Resources: {'Fn::ForEach::L': [I, [a], {}]}")
        write(tmp_path / "package-lock.json", {"Resources": 5})
        write(tmp_path / "list.json", '["Resources"]')
        write(tmp_path / "openapi.yaml", "Resources: {a: {}}")
        write(tmp_path / "notes.txt", BUCKET)
        write(tmp_path / "values.yaml", "Resources: {{ if .x }}")
        for skipped in (".aws-sam", "node_modules", "below/.git"):
            write(tmp_path / skipped / "no.yaml", BUCKET)
        found = names(load([tmp_path]))
        assert found == ["a.json", "b.yaml", "c.template", "e.yaml", "d.yml"]

    def test_other_files_are_not_parsed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "a.yaml", BUCKET)
        write(tmp_path / "values.yaml", "a: b")
        parsed = []

        def read(path: Path) -> Document:
            parsed.append(path.name)
            return reader.read(path)

        monkeypatch.setattr(template, "read", read)
        load([tmp_path])
        assert parsed == ["a.yaml"]

    def test_a_broken_template_does_not_hide_the_others(self, tmp_path: Path) -> None:
        write(tmp_path / "a.yaml", BUCKET_VERSION + "\n\tx")
        write(tmp_path / "b.yaml", BUCKET)
        write(tmp_path / "c.json", '{"Resources": {"A": {"Type": "AWS::S3::Bucket"},}}')
        templates = load([tmp_path])
        assert names(templates) == ["a.yaml", "b.yaml", "c.json"]
        assert [it.split(":")[0] for it in reasons(templates)] == ["a.yaml", "c.json"]

    def test_one_without_templates(self, tmp_path: Path) -> None:
        write(tmp_path / "a.txt", BUCKET)
        with pytest.raises(ValueError, match="no CloudFormation template in this folder"):
            load([tmp_path])

    def test_each_file_once(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", BUCKET)
        assert names(load([tmp_path, path, tmp_path])) == ["a.yaml"]

    @pytest.mark.parametrize("given", [".", "./a.yaml"])
    def test_stacks_that_contain_each_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name, other in (("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")):
            write(tmp_path / name, {"Resources": {"N": nested_stack(url=other)}})
        templates = load([Path(given)])
        assert [each.path.name for root in templates for each in root.walk()] == [
            "a.yaml",
            "b.yaml",
        ]
        assert reasons(templates) == ["the nested stack contains itself: a.yaml"]

    @pytest.mark.parametrize("skip_others", [False, True])
    def test_a_file_without_permission_is_not_judged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skip_others: bool
    ) -> None:
        write(tmp_path / "a.yaml", BUCKET)
        write(tmp_path / "b.yaml", BUCKET)
        readable = Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            if path.name == "b.yaml":
                raise PermissionError(13, "Permission denied", str(path))
            return readable(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        assert reasons(load([tmp_path])) == ["b.yaml: Permission denied"]
        with pytest.raises(PermissionError):
            load([tmp_path / "b.yaml"], skip_others=skip_others)

    def test_a_folder_without_permission_is_not_judged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "a.yaml", BUCKET)
        write(tmp_path / "closed" / "b.yaml", BUCKET)
        readable = os.scandir

        def scandir(path: str) -> object:
            if Path(path).name == "closed":
                raise PermissionError(13, "Permission denied", path)
            return readable(path)

        monkeypatch.setattr(os, "scandir", scandir)
        assert reasons(load([tmp_path])) == ["closed: Permission denied"]
        assert reasons(load([tmp_path / "closed"])) == ["closed: Permission denied"]

    def test_links(self, tmp_path: Path) -> None:
        write(tmp_path / "elsewhere" / "a.yaml", BUCKET)
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a.yaml").symlink_to(tmp_path / "elsewhere" / "a.yaml")
        (folder / "broken.yaml").symlink_to("nowhere.yaml")
        (folder / "loop.yaml").symlink_to("loop.yaml")
        (folder / "up").symlink_to("..")
        assert names(load([folder])) == ["a.yaml"]
        for name, reason in (("broken.yaml", "No such file"), ("loop.yaml", "Too many levels")):
            with pytest.raises(OSError, match=reason):
                load([folder / name])

    def test_an_assembly_below(self, tmp_path: Path) -> None:
        write(tmp_path / "cdk.out" / "A.template.json", QUEUE)
        write(tmp_path / "cdk.out" / "old.template.json", QUEUE)
        write(tmp_path / "cdk.out" / "asset.1" / "template.yaml", BUCKET)
        manifest = {"artifacts": {"A": stack_artifact("A.template.json")}}
        write(tmp_path / "cdk.out" / "manifest.json", manifest)
        (template,) = load([tmp_path])
        assert template.stack is not None


class TestAssemblies:
    @pytest.mark.parametrize(
        "manifest", ["[]", "{", '{"name": "a web application"}', '{"artifacts": []}', "[" * 100_000]
    )
    def test_another_manifest(self, tmp_path: Path, manifest: str) -> None:
        write(tmp_path / "manifest.json", manifest)
        with pytest.raises(ValueError, match="no CloudFormation template"):
            load([tmp_path])
        write(tmp_path / "A.template.json", QUEUE)
        assert names(load([tmp_path])) == ["A.template.json"]
        with pytest.raises(ValueError, match="not a cloud assembly"):
            load_assembly(tmp_path)

    @pytest.mark.parametrize("by", ["folder", "file"])
    def test_a_stack_without_resources(self, tmp_path: Path, by: str) -> None:
        write(tmp_path / "Empty.template.json", {"Parameters": {}})
        write(tmp_path / "Full.template.json", QUEUE)
        stacks = {name: stack_artifact(f"{name}.template.json") for name in ("Empty", "Full")}
        write(tmp_path / "manifest.json", {"artifacts": stacks})
        files = [tmp_path / f"{name}.template.json" for name in ("Empty", "Full")]
        templates = load([tmp_path] if by == "folder" else files)
        assert [len(template.resources) for template in templates] == [0, 1]
        assert reasons(templates) == []

    def test_a_missing_template(self, tmp_path: Path) -> None:
        write(tmp_path / "A.template.json", QUEUE)
        stacks = {name: stack_artifact(f"{name}.template.json") for name in ("Gone", "A")}
        write(tmp_path / "manifest.json", {"artifacts": stacks})
        templates = load([tmp_path])
        assert reasons(templates) == ["Gone.template.json: No such file or directory"]
        assert len(templates[1].resources) == 1

    @pytest.mark.parametrize("properties", [5, {"directoryName": "."}, {}, {"directoryName": "x"}])
    def test_an_odd_stage(
        self, tmp_path: Path, properties: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = record_reads(monkeypatch, "read_text")
        write(tmp_path / "A.template.json", QUEUE)
        stage = {"type": "cdk:cloud-assembly", "properties": properties}
        artifacts = {"A": stack_artifact("A.template.json"), "S": stage}
        write(tmp_path / "manifest.json", {"artifacts": artifacts})
        assert names(load([tmp_path])) == ["A.template.json"]
        assert len(read) < 10  # a stage in the same folder ends


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"A": {}}', "not a CloudFormation template: no Resources"),
            ("A: {}", "not a CloudFormation template: no Resources"),
            ("just text", "not a CloudFormation template: Resources is not a mapping"),
            ("Resources: []", "not a CloudFormation template: Resources is not a mapping"),
            ("", "empty"),
        ],
    )
    def test_what_is_no_template(self, tmp_path: Path, text: str, message: str) -> None:
        path = write(tmp_path / "a.yaml", text)
        with pytest.raises(ValueError) as error:
            load([path])
        assert str(error.value) == f"{path}: {message}"

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            load([tmp_path / "a.yaml"])

    def test_paths_are_shown_as_they_were_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "a.yaml", BUCKET)
        write(tmp_path / "b.yaml", "a: [")
        monkeypatch.chdir(tmp_path)
        (template,) = load([Path("a.yaml"), tmp_path / "a.yaml"])
        assert template.path == Path("a.yaml")
        with pytest.raises(ValueError, match=r"^b.yaml:2:1: not YAML"):
            load([Path("b.yaml")])

    def test_nothing_was_looked_at(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.yaml", "Resources: {}")
        assert reasons(load([path])) == ["the template has no resources"]

    def test_a_file_of_more_than_10_mb(self, tmp_path: Path) -> None:
        body = {**QUEUE, "Metadata": {"Text": "x" * 11_000_000}}
        (template,) = load([write(tmp_path / "a.json", body)])
        assert list(template.resources) == ["Queue"]


class TestNested:
    def child(self, tmp_path: Path, stack: object) -> list[Template]:
        write(tmp_path / "child.yaml", BUCKET)
        return load([write(tmp_path / "a.json", {"Resources": {"N": stack}})])

    @pytest.mark.parametrize("url", ["child.yaml", "./child.yaml", "../{folder}/child.yaml"])
    def test_a_local_file_in_yaml(self, tmp_path: Path, url: str) -> None:
        (template,) = self.child(tmp_path, nested_stack(url=url.format(folder=tmp_path.name)))
        assert list(template.nested["N"].resources) == ["B"]
        assert reasons([template]) == []
        location = template.nested["N"].location("B", "Properties/BucketName")
        assert location is not None
        assert (location.line, location.column) == (1, 13)

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("https://a/b.yaml", "the nested stack is not a local file: https://a/b.yaml"),
            ("{{resolve:ssm:a}}", "the nested stack is not a local file: {{resolve:ssm:a}}"),
            (
                {"Ref": "Url"},
                "the nested stack is not a local file: its URL is known at deployment only",
            ),
            (None, "the nested stack is not a local file: its URL is known at deployment only"),
            (
                "gone.yaml",
                "the nested template cannot be read: gone.yaml: No such file or directory",
            ),
            ("a.json", "the nested stack contains itself: a.json"),
            ("./x/../a.json", "the nested stack contains itself: ./x/../a.json"),
        ],
    )
    def test_what_is_not_judged(self, tmp_path: Path, url: object, reason: str) -> None:
        templates = self.child(tmp_path, nested_stack(url=url))
        assert templates[0].not_judged == [NotJudged(reason, "N", "Properties/TemplateURL")]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("a: [", "the nested template cannot be read: child.yaml:2:1: not YAML: "),
            ("a: 1", "the nested template has no Resources: child.yaml"),
            ("5", "the nested template has no Resources: child.yaml"),
        ],
    )
    def test_a_broken_child(self, tmp_path: Path, text: str, reason: str) -> None:
        write(tmp_path / "child.yaml", text)
        stack = nested_stack(url="child.yaml")
        found = reasons(load([write(tmp_path / "a.json", {"Resources": {"N": stack}})]))
        assert len(found) == 1
        assert found[0].startswith(reason)

    def test_stack_sets(self, tmp_path: Path) -> None:
        templates = self.child(tmp_path, {"Type": "AWS::CloudFormation::StackSet"})
        assert reasons(templates) == ["the template of a stack set is not read"]

    def test_stacks_that_multiply(self, tmp_path: Path) -> None:
        """12 files of 3 nested stacks each would be 265,720 templates."""
        for level in range(12):
            stack = nested_stack(url=f"{level + 1}.json")
            write(tmp_path / f"{level}.json", {"Resources": {"A": stack, "B": stack, "C": stack}})
        write(tmp_path / "12.json", QUEUE)
        templates = load([tmp_path / "0.json"])
        assert len(list(templates[0].walk())) == 501
        assert "there are more than 500 nested stacks" in reasons(templates)

    def test_a_url_that_is_nested_deeply(self, tmp_path: Path) -> None:
        text = '{"Resources": {"N": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": %s}}}}'
        deep = '{"a":' * 990 + "1" + "}" * 990
        path = write(tmp_path / "a.json", text % deep)
        assert "known at deployment only" in reasons(load([path]))[0]


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / "child.yaml", BUCKET)
    text = json.dumps({"Resources": {"N": nested_stack(url="child.yaml")}})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    monkeypatch.chdir(tmp_path)
    (loaded,) = load([Path("-")])
    assert list(loaded.nested["N"].resources) == ["B"]


def test_a_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="empty"):
        load([Path("-")])


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks = {name: nested_stack(url="child.json") for name in ("A", "B", "C")}
    write(tmp_path / "child.json", QUEUE)
    write(tmp_path / "a.json", {"Resources": stacks})
    read = record_reads(monkeypatch, "read_bytes")
    load([tmp_path / "a.json"])
    assert sorted(read) == ["a.json", "child.json"]


def test_deep_json_of_any_kind_ends_in_a_line(tmp_path: Path) -> None:
    deep = json.dumps(QUEUE)[:-1] + ', "Metadata": ' + "[" * 5000 + "]" * 5000 + "}"
    with pytest.raises(ValueError, match="nested deeper than 1000 levels"):
        load([write(tmp_path / "a.json", deep)])


def test_deep_metadata_hides_nothing(tmp_path: Path) -> None:
    deep = "[" * 300 + "]" * 300
    text = f'{{"Metadata": {deep}, "Resources": {{"T": {{"Type": "AWS::DynamoDB::Table"}}}}}}'
    templates = load([write(tmp_path / "a.json", text)])
    rules = {finding.rule_id for finding in catalogue.check(templates, None)}
    assert "IOT_02_POINT_IN_TIME_RECOVERY" in rules


def test_conditions_are_not_combined(tmp_path: Path) -> None:
    """n conditions have 2^n combinations."""
    tags = [{"Fn::If": [f"C{i}", {"Key": f"k{i}"}, {"Ref": "AWS::NoValue"}]} for i in range(5000)]
    recovery = {"PointInTimeRecoveryEnabled": True}
    properties = {
        "Tags": tags,
        "PointInTimeRecoverySpecification": {"Fn::If": ["C0", recovery, recovery]},
    }
    table = {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Delete", "Properties": properties}
    templates = load([write(tmp_path / "a.json", {"Resources": {"T": table}})])
    assert catalogue.check(templates, None) == []
