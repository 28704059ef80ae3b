"""Templates as people write them: YAML, JSON, and what is neither."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.rules import reader
from iot_constructs.rules.reader import Location, extra, parse, read

PATH = Path("template.yaml")

YAML = """\
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties:
      TopicName: !Sub
        - a-${B}
        - B: !Ref C
      Tags:
        - Key: a
          Value: b
        - {Key: c, Value: d}
"""


def body(text: str) -> Any:
    return parse(text, PATH).body


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !Ref B", {"a": {"Ref": "B"}}),
        ("a: !Condition B", {"a": {"Condition": "B"}}),
        ("a: !GetAtt B.C.D", {"a": {"Fn::GetAtt": ["B", "C.D"]}}),
        ("a: !GetAtt [B, C]", {"a": {"Fn::GetAtt": ["B", "C"]}}),
        ("a: !Join ['-', [!Ref B, c]]", {"a": {"Fn::Join": ["-", [{"Ref": "B"}, "c"]]}}),
        ("a: !Sub x", {"a": {"Fn::Sub": "x"}}),
        ("a: !Ref 5", {"a": {"Ref": "5"}}),
        ("a: !Transform {Name: b}", {"a": {"Fn::Transform": {"Name": "b"}}}),
        ("a: !!str 5", {"a": "5"}),
        ("a: ! b", {"a": "b"}),
    ],
)
def test_short_functions_and_tags(text: str, expected: Any) -> None:
    assert body(text) == expected


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("'5'", "5"),
        ("1.5", 1.5),
        ("true", True),
        ("No", False),
        ("~", None),
        ("2012-10-17", "2012-10-17"),
        ("2012-10-17T00:00:00Z", "2012-10-17T00:00:00Z"),
        ("a b", "a b"),
        ("1" * 5000, "1" * 5000),
    ],
)
def test_plain_values(written: str, value: Any) -> None:
    found = body(f"a: {written}")["a"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_texts_as_in_json() -> None:
    # Account ids are keys of mappings; as a number, this one would lose its zero.
    assert body("012345678901: a\ntrue: b") == {"012345678901": "a", "true": "b"}


def test_anchors_and_merge_keys() -> None:
    text = "a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, b: 3}\nf: {<<: [*x, {g: 4}]}"
    found = body(text)
    assert found["d"] == {"b": 1, "c": 2}
    assert found["e"] == {"b": 3, "c": 2}
    assert found["f"] == {"b": 1, "c": 2, "g": 4}


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_json_with_tabs(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes((mark + '{\n\t"a": {\n\t\t"b": [1, "x\\n"]\n\t}\n}').encode())
    assert read(path).body == {"a": {"b": [1, "x\n"]}}


def test_flow_style_yaml_that_looks_like_json() -> None:
    assert body("{a: !Ref B}") == {"a": {"Ref": "B"}}


def test_broken_json_with_another_ending() -> None:
    with pytest.raises(ValueError, match=r"template\.yaml:1:9: not JSON: Expecting ',' delimiter"):
        body('{"a": 1 "b": 2}')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings_of_windows(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("a: ü".encode(encoding))
    assert read(path).body == {"a": "ü"}


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"a: !Ref B"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert read(Path("-")).body == {"a": {"Ref": "B"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        (" \n# only a comment\n", "empty"),
        ("a: 1\nb: [", "3:1: not YAML: did not find expected node content"),
        ("a:\n\t- b", "2:1: not YAML: found character that cannot start any token"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "4:3: duplicate key 'c', first in line 3"),
        ('{"a": 1,\n "a": 2}', "2:2: duplicate key 'a', first in line 1"),
        ('{"a": {"b": 1,\n}', "1:15: not JSON: Illegal trailing comma"),
        ('{"a": ' + "1" * 5000 + "}", "not JSON: Exceeds the limit"),
        ("a: *b", "1:4: undefined alias 'b'"),
        ("a: &x [*x]", "1:8: undefined alias 'x'"),
        ("a: 1\n---\nb: 2", "2:1: more than one YAML document"),
        ("? [a]\n: b", "1:3: the key of a mapping is not text"),
        ("~: b", "1:1: the key of a mapping is empty"),
        ("a: b\x00", "not YAML: unacceptable character"),
        (b"a: b\nc: \xff", "2:4: not UTF-8 text"),
        (b"\xff\xfea", "1:3: not UTF-16 text"),
        ("- " * 5000, "nested deeper than 1000 levels"),
        ("[" * 100_000, "nested deeper than 1000 levels"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested deeper than 1000 levels"),
    ],
    ids=range(19),
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = tmp_path / "template.json" if b"{" in _bytes(content)[:1] else tmp_path / PATH
    path.write_bytes(_bytes(content))
    with pytest.raises(ValueError) as error:
        read(path)
    if "trailing comma" in message and sys.version_info < (3, 13):
        message = "2:1: not JSON: Expecting property name"
    assert str(error.value).startswith(f"{path}:")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


def test_aliases_that_multiply() -> None:
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    with pytest.raises(ValueError, match="more than 1000000 values"):
        body("a0: &a0 x\n" + levels)


@pytest.mark.parametrize("depth", [300, 900])
@pytest.mark.parametrize("mark", ["[]", "{}"])
def test_deep_nesting_is_read(depth: int, mark: str) -> None:
    opening = '{"a":' if mark == "{}" else "["
    text = opening * depth + "1" + mark[1] * depth
    found, levels = body(text), 0
    while not isinstance(found, int):
        found = found["a"] if mark == "{}" else found[0]
        levels += 1
    assert levels == depth


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("Resources", "Topic"), Location(2, 3, 2, 8)),
        (("Resources", "Topic", "Properties", "TopicName"), Location(5, 7, 5, 16)),
        (("Resources", "Topic", "Properties", "Tags", 1, "Value"), Location(11, 20, 11, 25)),
        (("Resources", "Topic", "Properties", "Tags", "1", "Value"), Location(11, 20, 11, 25)),
        (("Resources", "Topic", "Properties", "Tags", 0), Location(9, 11, 9, 11)),
        (("Resources", "Topic", "Properties", "TopicName", "Fn::Sub", 1, "B"), (7, 11, 7, 12)),
    ],
)
def test_locations(path: tuple[str | int, ...], expected: Location) -> None:
    assert parse(YAML, PATH).location(path) == expected


@pytest.mark.parametrize(
    "path",
    [("Resources", "Topic", "Properties", "Gone", "Below"), ("Resources", "Topic", "Properties")],
)
def test_the_location_of_what_is_not_set_is_that_of_its_parent(path: tuple[str, ...]) -> None:
    assert parse(YAML, PATH).location(path) == (4, 5, 4, 15)


@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_locations_in_json(indent: int | str | None) -> None:
    text = json.dumps({"a": '{\\"é', "b": {"c": [1, {"d": True, "e": -1.5e3}]}}, indent=indent)
    document = parse(text, Path("a.json"))
    location = document.location(("b", "c", 1, "e"))
    line = text.splitlines()[location.line - 1]
    assert line[location.column - 1 : location.end_column - 1] == '"e"'


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ValueError, match=r"pip install 'iot-constructs\[check\]'"):
        body("a: b")
    assert body('{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="no_such_package is not installed"):
        extra("no_such_package.module")


def test_yaml_without_its_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(extra("yaml"), "CSafeLoader")
    assert parse(YAML, PATH).location(("Resources", "Topic")) == (2, 3, 2, 8)
    assert reader.parse(YAML, PATH).body["Resources"]["Topic"]["Type"] == "AWS::SNS::Topic"
