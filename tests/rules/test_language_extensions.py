"""Loops of AWS::LanguageExtensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.rules.reader import parse
from iot_constructs.rules.template import Template

HEAD = "Transform: AWS::LanguageExtensions\n"


def loaded(text: str) -> Template:
    document = parse(HEAD + text, Path("t.yaml"))
    return Template(document.path, document.body, document=document)


def loop(collection: str, head: str = "") -> Template:
    return loaded(f"""
{head}
Resources:
  Fn::ForEach::Topics:
    - Name
    - {collection}
    - Topic${{Name}}:
        Type: AWS::SNS::Topic
        Properties: {{TopicName: !Ref Name}}
""")


PARAMETERS = """
Parameters:
  List: {Type: CommaDelimitedList, Default: 'a, b'}
  Allowed: {Type: String, AllowedValues: [a, b]}
  One: {Type: String, Default: b}
  Comma: {Type: String, Default: 'a, b'}
  Given: {Type: CommaDelimitedList}
Mappings:
  Stages: {dev: {Names: [a, b]}, prod: {Names: [b, c]}}
  Odd: {a: {b: [[c]]}}
"""


@pytest.mark.parametrize(
    ("collection", "names"),
    [
        ("[a, b]", "ab"),
        ("[a, !Ref One]", "ab"),
        ("!Ref List", "ab"),
        ("[x, !Ref List]", "xab"),
        ("!Ref Comma", ["a, b"]),
        ("!Ref Allowed", "ab"),
        ("!FindInMap [Stages, dev, Names]", "ab"),
        ("!FindInMap [Stages, !Ref Given, Names]", "abc"),
        ("!FindInMap [Stages, gone, Names, {DefaultValue: [z]}]", "z"),
        ("[]", ""),
    ],
)
def test_collections(collection: str, names: Sequence[str]) -> None:
    template = loop(collection, PARAMETERS)
    assert list(template.resources) == [f"Topic{name}" for name in names]
    assert [it.properties["TopicName"] for it in template.resources.values()] == list(names)
    assert not [it for it in template.not_judged if it.detail != "the template has no resources"]


@pytest.mark.parametrize(
    ("collection", "reason"),
    [
        ("!Ref Given", "its collection is known at deployment only"),
        ("!Ref Gone", "its collection is known at deployment only"),
        ("!FindInMap [Gone, a, b]", "its collection is known at deployment only"),
        ("!FindInMap [Odd, a, b]", "its collection is known at deployment only"),
        ("!Split [',', 'a,b']", "its collection is known at deployment only"),
        ("[a, !Ref Given]", "its collection is known at deployment only"),
        ("~", "its collection is known at deployment only"),
        (f"[{','.join(map(str, range(10_001)))}]", "it has too many iterations"),
    ],
    ids=range(8),
)
def test_unknown_collections_are_not_judged(collection: str, reason: str) -> None:
    template = loop(collection, PARAMETERS)
    assert template.resources == {}
    (skipped,) = template.not_judged
    assert skipped.detail == f"Fn::ForEach::Topics is not expanded: {reason}"
    assert skipped.property_path == "Resources/Fn::ForEach::Topics"
    location = template.location(None, skipped.property_path)
    assert location is not None
    assert location.line == HEAD.count("\n") + PARAMETERS.count("\n") + 4


def test_one_that_is_no_loop() -> None:
    template = loaded("Resources: {'Fn::ForEach::A': [a, [b]], B: {Type: AWS::SNS::Topic}}")
    assert list(template.resources) == ["B"]
    assert "not a list of identifier" in template.not_judged[0].detail


def test_nested_loops_and_ids_without_special_characters() -> None:
    template = loaded("""
Resources:
  Fn::ForEach::Stages:
    - Stage
    - [dev-1, prod]
    - Fn::ForEach::Names:
        - Name
        - [a, b]
        - Queue&{Stage}${Name}:
            Type: AWS::SQS::Queue
            DependsOn: Key&{Stage}
            Properties:
              QueueName: !Sub '${Name}-${Stage}-${AWS::Region}'
              RedrivePolicy: {deadLetterTargetArn: !GetAtt ['Dlq${Name}', Arn]}
""")
    assert list(template.resources) == ["Queuedev1a", "Queuedev1b", "Queueproda", "Queueprodb"]
    queue = template.resources["Queuedev1b"]
    assert queue.body["DependsOn"] == "Keydev1"
    assert queue.properties["QueueName"] == {"Fn::Sub": "b-dev-1-${AWS::Region}"}
    assert queue.properties["RedrivePolicy"]["deadLetterTargetArn"] == {
        "Fn::GetAtt": ["Dlqb", "Arn"]
    }
    location = template.location("Queueprodb", "Properties/QueueName")
    assert location is not None
    assert (location.line, location.column) == (14, 15)


def test_loops_in_properties_conditions_and_outputs() -> None:
    template = loaded("""
Conditions:
  Fn::ForEach::C: [X, [A], {'Is${X}': !Equals [!Ref S, '${X}']}]
Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Environment:
        Variables:
          Fn::ForEach::V: [X, [A, B], {'${X}': 'value-${X}'}]
      Description: !Sub '${!X} ${X}'
      Timeout: 30
      Fn::ForEach::U: [X, !Ref Gone, {'${X}': 1}]
Outputs:
  Fn::ForEach::O: [X, [A], {'Out${X}': {Value: !Ref X}}]
""")
    function = template.resources["Function"]
    assert function.properties["Environment"]["Variables"] == {"A": "value-A", "B": "value-B"}
    assert function.properties["Description"] == {"Fn::Sub": "${!X} ${X}"}
    assert function.properties["Timeout"] == 30
    assert template.body["Conditions"] == {"IsA": {"Fn::Equals": [{"Ref": "S"}, "A"]}}
    assert template.body["Outputs"] == {"OutA": {"Value": "A"}}
    (skipped,) = template.not_judged
    assert (skipped.logical_id, skipped.property_path) == ("Function", "Properties/Fn::ForEach::U")


def test_fn_sub_of_the_identifier_only_is_a_text() -> None:
    """SAM takes no function for the path of an API."""
    template = loaded("""
Resources:
  Fn::ForEach::T: [X, [A], {'T${X}': {Type: A::B::C, Properties: {P: !Sub '/${X}', Q: !Sub ['a', {}]}}}]
""")
    assert template.resources["TA"].properties == {"P": "/A", "Q": {"Fn::Sub": ["a", {}]}}


@pytest.mark.parametrize("depth", [120, 900])
def test_deep_values_beside_a_loop(depth: int) -> None:
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    each = {"T${X}": {"Type": "AWS::SNS::Topic"}}
    body = {"Metadata": {"A": deep}, "Resources": {"Fn::ForEach::T": ["X", ["A"], each]}}
    assert list(Template(Path("t.json"), body).resources) == ["TA"]


def test_a_loop_that_is_skipped_several_times_is_named_once() -> None:
    inner = {"Fn::ForEach::B": ["Y", {"Ref": "Gone"}, {"T${X}${Y}": {"Type": "AWS::SNS::Topic"}}]}
    body = {"Resources": {"Fn::ForEach::A": ["X", ["a", "b"], inner]}}
    assert len(Template(Path("t.json"), body).not_judged) == 1


def test_loops_nested_deeply() -> None:
    inner: Any = {"T": {"Type": "AWS::SNS::Topic"}}
    for level in range(330):
        inner = {f"Fn::ForEach::L{level}": ["X", ["a"], inner]}
    template = Template(Path("t.json"), {"Resources": inner})
    assert "it has too many iterations" in template.not_judged[-1].detail


def test_loops_in_loops_end() -> None:
    inner: Any = {"T${X}": {"Type": "AWS::SNS::Topic"}}
    for level in range(30):
        inner = {f"Fn::ForEach::L{level}": [f"X{level}", ["a", "b", "c"], inner]}
    template = Template(Path("t.json"), {"Resources": inner})
    assert "it has too many iterations" in template.not_judged[-1].detail
