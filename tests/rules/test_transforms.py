"""Includes, macros, modules and mappings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iot_constructs.rules.graph import UNKNOWN, Graph
from iot_constructs.rules.not_judged import NotJudged
from iot_constructs.rules.reader import parse
from iot_constructs.rules.template import Template


def loaded(text: str, folder: Path = Path()) -> Template:
    document = parse(text, folder / "t.yaml")
    return Template(document.path, document.body, document=document)


QUEUE = "Queue: {Type: AWS::SQS::Queue}"


class TestMacros:
    @pytest.mark.parametrize(
        "transform",
        ["Macro", "[Macro]", "{Name: Macro}", "[AWS::LanguageExtensions, {Name: Macro}]"],
    )
    def test_one_of_the_template(self, transform: str) -> None:
        template = loaded(f"Transform: {transform}\nResources: {{{QUEUE}}}")
        assert list(template.resources) == ["Queue"]
        assert template.not_judged == [
            NotJudged("the macro Macro is not applied", None, "Transform")
        ]

    @pytest.mark.parametrize(
        "transform", ["AWS::LanguageExtensions", "AWS::CodeDeployBlueGreen", "[]", "~", "[{}]"]
    )
    def test_transforms_that_hide_nothing(self, transform: str) -> None:
        assert loaded(f"Transform: {transform}\nResources: {{{QUEUE}}}").not_judged == []

    @pytest.mark.parametrize("macro", ["{Name: Macro}", "[{Name: Macro}]"])
    def test_one_in_a_resource(self, macro: str) -> None:
        text = f"Resources: {{Queue: {{Type: AWS::SQS::Queue, Properties: {{Fn::Transform: {macro}}}}}}}"
        assert loaded(text).not_judged == [
            NotJudged("the macro Macro is not applied", "Queue", "Properties/Fn::Transform")
        ]

    def test_one_of_several_resources(self) -> None:
        properties = "&P {Fn::Transform: {Name: Macro}}"
        text = f"Resources: {{A: {{Type: A::B::C, P: {properties}}}, B: {{Type: A::B::C, P: *P}}}}"
        assert {it.logical_id for it in loaded(text).not_judged} == {"A", "B"}

    def test_one_among_the_resources(self) -> None:
        template = loaded(f"Resources: {{{QUEUE}, Fn::Transform: {{Name: Macro}}}}")
        assert list(template.resources) == ["Queue"]
        assert template.not_judged == [
            NotJudged("the macro Macro is not applied", None, "Resources/Fn::Transform")
        ]


class TestIncludes:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "part.yaml").write_text(QUEUE)
        (tmp_path / "properties.yaml").write_text("QueueName: a\nDelaySeconds: 5")
        (tmp_path / "resources.yaml").write_text(f"Resources: {{{QUEUE}}}\nOutputs: {{}}")
        (tmp_path / "list.yaml").write_text("[a]")
        (tmp_path / "broken.yaml").write_text("a: [")
        return tmp_path

    def include(self, location: str) -> str:
        return f"{{Name: AWS::Include, Parameters: {{Location: {location}}}}}"

    def test_a_local_file_among_the_resources(self, folder: Path) -> None:
        text = f"Resources: {{T: {{Type: A::B::C}}, Fn::Transform: {self.include('part.yaml')}}}"
        template = loaded(text, folder)
        assert list(template.resources) == ["Queue", "T"]
        assert template.not_judged == []
        location = template.location("Queue", "Properties/QueueName")
        assert location is not None
        assert location[:2] == (1, 1)

    def test_a_local_file_in_a_resource(self, folder: Path) -> None:
        include = self.include("properties.yaml")
        text = f"Resources: {{Q: {{Type: A::B::C, Properties: {{QueueName: b, Fn::Transform: {include}}}}}}}"
        template = loaded(text, folder)
        assert template.resources["Q"].properties == {"QueueName": "b", "DelaySeconds": 5}
        assert template.not_judged == []

    def test_a_local_file_of_the_template(self, folder: Path) -> None:
        text = f"Transform: {self.include('resources.yaml')}\nResources: {{T: {{Type: A::B::C}}}}"
        template = loaded(text, folder)
        assert list(template.resources) == ["Queue", "T"]
        assert template.body["Outputs"] == {}
        assert template.not_judged == []

    @pytest.mark.parametrize(
        ("location", "reason"),
        [
            ("s3://bucket/key", "is not local: s3://bucket/key"),
            ("!Ref Location", "is not local: a location known at deployment only"),
            ("gone.yaml", "cannot be read: gone.yaml: No such file or directory"),
            ("broken.yaml", "cannot be read: broken.yaml: "),
            ("list.yaml", "is not a mapping: list.yaml"),
        ],
    )
    @pytest.mark.parametrize("top", [True, False])
    def test_other_files(self, folder: Path, location: str, reason: str, top: bool) -> None:
        include = self.include(location)
        text = (
            f"Resources: {{Q: {{Type: AWS::SQS::Queue, Properties: {{Fn::Transform: {include}}}}}}}"
        )
        if top:
            text = f"Transform: {include}\nResources: {{Q: {{Type: AWS::SQS::Queue}}}}"
        template = loaded(text, folder)
        (skipped,) = template.not_judged
        assert skipped.detail.startswith(f"the file of AWS::Include {reason}")
        assert skipped.logical_id == (None if top else "Q")
        assert list(template.resources) == ["Q"]

    def test_a_definition_of_an_api(self) -> None:
        include = self.include("s3://a/b")
        (skipped,) = loaded(
            f"Resources: {{A: {{Type: AWS::ApiGateway::RestApi, Properties: {{Body: {{Fn::Transform: {include}}}}}}}}}"
        ).not_judged
        assert (skipped.logical_id, skipped.property_path) == ("A", "Properties/Body/Fn::Transform")

    def test_deep_values_beside_one(self, folder: Path) -> None:
        deep = f"Metadata: {'[' * 900}{']' * 900}\n"
        text = f"{deep}Resources: {{Fn::Transform: {self.include('part.yaml')}}}"
        assert list(loaded(text, folder).resources) == ["Queue"]


class TestDirectives:
    def test_modules(self) -> None:
        template = loaded("Resources: {M: {Type: 'My::S3::Bucket::MODULE'}, C: {Type: Custom::X}}")
        assert template.not_judged == [
            NotJudged("the module My::S3::Bucket::MODULE is not expanded", "M", "Type")
        ]

    def test_resources_without_a_type(self) -> None:
        template = loaded(f"Resources: {{{QUEUE}, A: {{Properties: {{}}}}, B: text}}")
        assert list(template.resources) == ["Queue"]
        assert [it.logical_id for it in template.not_judged] == ["A", "B"]

    def test_rain(self) -> None:
        text = f"Rain: {{}}\nModules: {{}}\nResources: {{{QUEUE}, A: {{Type: A::B::C, P: !Rain::Embed a.txt}}}}"
        assert loaded(text).not_judged == [
            NotJudged("the directive Rain::Embed of Rain is not applied", "A", "P/Fn::Rain::Embed"),
            NotJudged("the section Rain is not applied", None, "Rain"),
            NotJudged("the section Modules is not applied", None, "Modules"),
        ]


class TestMappings:
    HEAD = "Mappings: {M: {eu: {Name: a, Size: 5, List: [x, y]}, us: {Name: b, Size: 5}, default: {Zone: z}}}\n"

    def value(self, function: str) -> Any:
        template = loaded(
            f"{self.HEAD}Resources: {{T: {{Type: A::B::C, Properties: {{V: {function}}}}}}}"
        )
        return Graph([template]).at(template.resources["T"].properties, "V")

    @pytest.mark.parametrize(
        ("function", "values"),
        [
            ("!FindInMap [M, eu, Name]", ["a"]),
            ("!FindInMap [M, eu, List]", [["x", "y"]]),
            ("!FindInMap [M, !Ref AWS::Region, Name]", ["a", "b"]),
            ("!FindInMap [M, !Ref AWS::Region, Size]", [5]),
            ("!FindInMap [M, us, !Ref Key]", ["b", 5]),
            ("!FindInMap [!Ref Map, us, Name]", ["b"]),
            ("!FindInMap [M, us, Name, {DefaultValue: c}]", ["b"]),
            ("!FindInMap [M, gone, Name, {DefaultValue: c}]", ["c"]),
            ("!FindInMap [M, !Ref AWS::Region, Zone, {DefaultValue: c}]", ["z", "c"]),
            ("!If [C, !FindInMap [M, !Ref AWS::Region, Name], c]", ["a", "b", "c"]),
        ],
    )
    def test_possible_values(self, function: str, values: list[Any]) -> None:
        assert self.value(function) == values

    @pytest.mark.parametrize("function", ["!FindInMap [M, eu, Gone]", "!FindInMap [N, eu, Name]"])
    def test_what_is_not_in_the_mapping(self, function: str) -> None:
        template = loaded(
            f"{self.HEAD}Resources: {{T: {{Type: A::B::C, Properties: {{V: {function}}}}}}}"
        )
        values = Graph([template]).at(template.resources["T"].properties, "V", "Below")
        assert values == [UNKNOWN]

    def test_in_text(self) -> None:
        template = loaded(
            f"{self.HEAD}Resources: {{T: {{Type: A::B::C, Properties: "
            "{V: !Join ['-', [!FindInMap [M, eu, Name], x]], W: !Sub ['${A}', {A: !FindInMap [M, !Ref K, Name]}]}}}"
        )
        properties = template.resources["T"].properties
        assert Graph([template]).text(properties["V"], template) == "a-x"
        assert Graph([template]).text(properties["W"], template) is None

    def test_deep_values_beside_one(self) -> None:
        deep = f"{'[' * 900}{']' * 900}"
        function = (
            f"Resources: {{T: {{Type: A::B::C, Metadata: {deep}, V: !FindInMap [M, eu, Name]}}}}"
        )
        assert loaded(self.HEAD + function).resources["T"].body["V"] == "a"
