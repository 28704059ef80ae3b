"""Templates of the AWS Serverless Application Model."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from cfnlint import decode

from iot_constructs.rules import catalogue, sam
from iot_constructs.rules.reader import parse
from iot_constructs.rules.template import Resource, Template, load

HEAD = "Transform: AWS::Serverless-2016-10-31\n"
FUNCTION = """
Resources:
  Stream: {Type: AWS::Kinesis::Stream}
  F:
    Type: AWS::Serverless::Function
    Metadata: {Note: mine}
    Properties:
      Runtime: python3.13
      Handler: a.b
      CodeUri: src/
      Policies: [AmazonDynamoDBFullAccess, DynamoDBCrudPolicy: {TableName: T}]
      Events:
        K:
          Type: Kinesis
          Properties:
            Stream: !GetAtt Stream.Arn
            StartingPosition: LATEST
        KI:
          Type: IoTRule
          Properties:
            Sql: SELECT 1
"""


def loaded(text: str, head: str = HEAD) -> Template:
    document = parse(head + text, Path("t.yaml"))
    return Template(document.path, document.body, document=document)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, no region, no network."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "one-that-does-not-exist")

    def refuse(*_: object) -> None:
        raise AssertionError("a network call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def type_of(template: Template, logical_id: str) -> str:
    return template.resources[logical_id].type


def test_events_become_resources_and_keep_their_author() -> None:
    template = loaded(FUNCTION)
    assert template.not_judged == []
    assert type_of(template, "F") == "AWS::Lambda::Function"
    assert template.resources["F"].body["Metadata"] == {"Note": "mine"}
    assert template.resources["FRole"].body["Metadata"] == {"Note": "mine"}
    mapping = template.resources["FK"]
    assert mapping.type == "AWS::Lambda::EventSourceMapping"
    assert mapping.properties["StartingPosition"] == "LATEST"
    assert type_of(template, "FKI") == "AWS::IoT::TopicRule"
    assert [template.author(it) for it in ("FK", "FKI", "FRole", "F", "Stream")] == [
        "F",
        "F",
        "F",
        "F",
        "Stream",
    ]


def test_the_author_is_not_guessed_from_the_name() -> None:
    template = loaded("""
Resources:
  FK: {Type: AWS::Kinesis::Stream}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: a.b
      Events:
        KX: {Type: Kinesis, Properties: {Stream: !GetAtt FK.Arn, StartingPosition: LATEST}}
""")
    assert template.author("FKX") == "F"
    assert template.path_in_file("FKX")[-2:] == ("Events", "KX")


@pytest.mark.parametrize(
    ("logical_id", "property_path", "path", "line"),
    [
        (
            "FK",
            "Properties/StartingPosition",
            "F/Properties/Events/K/Properties/StartingPosition",
            18,
        ),
        (
            "FK",
            "Properties/DestinationConfig",
            "F/Properties/Events/K/Properties/DestinationConfig",
            16,
        ),
        ("FKI", "Properties/TopicRulePayload/Sql", "F/Properties/Events/KI/Properties/Sql", 22),
        ("F", "Properties/Handler", "F/Properties/Handler", 10),
        ("FRole", "Properties", "F/Properties", 8),
        ("Stream", "", "Stream", 4),
    ],
)
def test_findings_are_at_the_line_of_the_author(
    logical_id: str, property_path: str, path: str, line: int
) -> None:
    template = loaded(FUNCTION)
    assert (
        "/".join(map(str, template.path_in_file(logical_id, property_path))) == f"Resources/{path}"
    )
    location = template.location(logical_id, property_path)
    assert location is not None
    assert location.line == line


def test_globals_and_parameters() -> None:
    """A parameter is known at deployment only, whatever its default is."""
    template = loaded("""
Parameters:
  Name: {Type: String, Default: reader}
  Start: {Type: String, Default: LATEST}
Globals:
  Function: {Runtime: python3.13, Handler: a.b, CodeUri: ., Timeout: 5}
Conditions:
  C: !Equals [!Ref Name, x]
Resources:
  F:
    Type: AWS::Serverless::Function
    Condition: C
    Properties:
      FunctionName: !Ref Name
      Events:
        K:
          Type: Kinesis
          Properties:
            Stream: !ImportValue S
            StartingPosition: !Ref Start
            FunctionResponseTypes: !If [C, [ReportBatchItemFailures], !Ref AWS::NoValue]
""")
    assert template.not_judged == []
    assert template.resources["F"].properties["Timeout"] == 5
    assert template.resources["F"].properties["FunctionName"] == {"Ref": "Name"}
    mapping = template.resources["FK"].properties
    assert mapping["StartingPosition"] == {"Ref": "Start"}
    assert mapping["FunctionResponseTypes"]["Fn::If"][1] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize(
    "resource",
    [
        "Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, Handler: a.b}",
        "Type: AWS::Serverless::Function, Properties: {Runtime: python3.13, Handler: a.b, InlineCode: x}",
        "Type: AWS::Serverless::Function, Properties: {PackageType: Image}",
        "Type: AWS::Serverless::Function, Properties: {PackageType: Image, ImageUri: local}",
        "Type: AWS::Serverless::Function, "
        "Properties: {Runtime: python3.13, Handler: a.b, CodeUri: {Bucket: !Ref B}}",
        "Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layer/}",
        "Type: AWS::Serverless::StateMachine, Properties: {DefinitionUri: machine.json}",
        "Type: AWS::Serverless::Api, Properties: {StageName: a, DefinitionUri: api.yaml}",
        "Type: AWS::Serverless::HttpApi, Properties: {DefinitionUri: api.yaml}",
        "Type: AWS::Serverless::SimpleTable",
    ],
)
def test_local_code_is_accepted_as_before_sam_package(resource: str) -> None:
    template = loaded(f"Resources: {{R: {{{resource}}}}}")
    assert template.not_judged == []
    assert "R" in template.resources or any(it.startswith("R") for it in template.resources)


def test_a_definition_in_a_file_that_is_missing() -> None:
    template = loaded(
        "Resources: {R: {Type: AWS::Serverless::Api, Properties: {StageName: a, Cors: \"'*'\", DefinitionBody: "
        "{'Fn::Transform': {Name: AWS::Include, Parameters: {Location: gone.yaml}}}}}}"
    )
    assert [skipped.logical_id for skipped in template.not_judged] == ["R"]
    assert "R" in template.resources


def test_serverless_resources_without_the_transform() -> None:
    text = "Resources: {S: {Type: AWS::Serverless::SimpleTable}, Q: {Type: AWS::SQS::Queue}}"
    (skipped,) = loaded(text, head="").not_judged
    assert "without Transform: AWS::Serverless-2016-10-31" in skipped.detail


def test_connectors_and_implicit_apis() -> None:
    template = loaded("""
Resources:
  Queue: {Type: AWS::SQS::Queue}
  F:
    Type: AWS::Serverless::Function
    Connectors:
      C: {Properties: {Destination: {Id: Queue}, Permissions: [Write]}}
    Properties:
      Runtime: python3.13
      Handler: a.b
      Events:
        A: {Type: Api, Properties: {Path: /a, Method: get}}
""")
    assert template.not_judged == []
    assert type_of(template, "ServerlessRestApi") == "AWS::ApiGateway::RestApi"
    assert type_of(template, "FCPolicy") == "AWS::IAM::ManagedPolicy"
    assert template.author("FCPolicy") == "F"
    assert template.author("ServerlessRestApi") == "ServerlessRestApi"


def test_loops_come_before_sam() -> None:
    template = loaded("""
Resources:
  Fn::ForEach::Functions:
    - Name
    - [A, B]
    - F${Name}:
        Type: AWS::Serverless::Function
        Properties:
          Runtime: python3.13
          Handler: a.b
          Events:
            K: {Type: Kinesis, Properties: {Stream: !ImportValue S, StartingPosition: LATEST}}
""")
    assert type_of(template, "FBK") == "AWS::Lambda::EventSourceMapping"
    assert template.author("FBK") == "FB"
    location = template.location("FBK", "Properties/StartingPosition")
    assert location is not None
    assert (location.line, location.column) == (13, 69)


@pytest.mark.parametrize("bad", ["{Runtime: 5, Handler: [], Events: x}", "text", "[]"])
def test_a_rejected_resource_does_not_hide_the_others(bad: str) -> None:
    template = loaded(f"""
Resources:
  Stream: {{Type: AWS::Kinesis::Stream}}
  Bad: {{Type: AWS::Serverless::Function, Properties: {bad}}}
  Good:
    Type: AWS::Serverless::Function
    Properties: {{Runtime: python3.13, Handler: a.b}}
""")
    assert {it.logical_id for it in template.not_judged} == {"Bad"}
    assert all("aws-sam-translator rejects it" in it.detail for it in template.not_judged)
    assert {"Stream", "Good", "GoodRole"} <= set(template.resources)
    assert "Bad" not in template.resources


@pytest.mark.parametrize(
    "text",
    [
        "Parameters: 5\nResources: {Stream: {Type: AWS::Kinesis::Stream}, F: {Type: AWS::Serverless::Function}}",
        "Globals: {Function: {Unheard: 5}}\n"
        "Resources: {Stream: {Type: AWS::Kinesis::Stream}, F: {Type: AWS::Serverless::Function}}",
    ],
)
def test_a_rejected_template_keeps_its_plain_resources(text: str) -> None:
    template = loaded(text)
    assert list(template.resources) == ["Stream"]
    assert template.not_judged


def test_a_translator_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("Ref")

    monkeypatch.setattr("samtranslator.translator.translator.Translator.translate", fail)
    template = loaded(FUNCTION)
    assert list(template.resources) == ["Stream"]
    assert [it.detail for it in template.not_judged] == [
        "the serverless resources are not expanded: aws-sam-translator fails with KeyError: 'Ref'"
    ]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "samtranslator", None)
    for name in [it for it in sys.modules if it.startswith("samtranslator.")]:
        monkeypatch.setitem(sys.modules, name, None)
    template = loaded(FUNCTION)
    assert list(template.resources) == ["Stream"]
    assert template.not_judged[0].detail == (
        "the serverless resources are not expanded: "
        "samtranslator is not installed; type: pip install 'iot-constructs[check]'"
    )


def test_a_rejected_resource_alone() -> None:
    template = loaded(
        "Resources: {Bad: {Type: AWS::Serverless::Function, Properties: {Events: x}}}"
    )
    assert template.resources == {}
    assert {it.logical_id for it in template.not_judged} == {"Bad"}


def test_what_is_no_resource_does_not_hide_the_others() -> None:
    template = loaded(FUNCTION + "  Odd: text\n  Untyped: {Properties: {}}\n")
    assert "FK" in template.resources
    assert [it.logical_id for it in template.not_judged] == ["Odd", "Untyped"]


@pytest.mark.parametrize("depth", [300, 900])
def test_deep_nesting(depth: int) -> None:
    deep: Any = "x"
    for _ in range(depth):
        deep = {"a": deep}
    stream = {"Type": "AWS::Kinesis::Stream", "Metadata": deep}
    body = {"Transform": sam.TRANSFORM, "Resources": {"Stream": stream}}
    template = Template(Path("t.json"), body)
    assert list(template.resources) == ["Stream"]
    assert [it.detail for it in template.not_judged] in (
        [],
        [
            "the serverless resources are not expanded: "
            "it is nested too deeply for aws-sam-translator"
        ],
    )


def test_applications(tmp_path: Path) -> None:
    (tmp_path / "child.yaml").write_text("Resources: {B: {Type: AWS::S3::Bucket}}")
    repository = "{ApplicationId: 'arn:aws:serverlessrepo:x', SemanticVersion: 1.0.0}"
    (tmp_path / "t.yaml").write_text(f"""{HEAD}
Resources:
  Local: {{Type: AWS::Serverless::Application, Properties: {{Location: child.yaml}}}}
  Remote: {{Type: AWS::Serverless::Application, Properties: {{Location: {repository}}}}}
""")
    (template,) = load([tmp_path / "t.yaml"])
    assert isinstance(template.nested["Local"].resources["B"], Resource)
    (skipped,) = template.not_judged
    assert skipped.logical_id == "Remote"
    assert "not a local file" in skipped.detail


def test_a_template_that_cfn_lint_has_read() -> None:
    body = decode.decode_str(HEAD + FUNCTION + "      Tags: {Since: 2026-01-31}")[0]
    template = Template(Path("t.yaml"), body)
    assert template.not_judged == []
    assert template.resources["FK"].properties["StartingPosition"] == "LATEST"


def test_the_template_of_the_user_is_not_changed() -> None:
    document = parse(HEAD + FUNCTION, Path("t.yaml"))
    Template(document.path, document.body)
    assert document.body == parse(HEAD + FUNCTION, Path("t.yaml")).body


def found(template: Template) -> list[str]:
    """The rules with a finding, once for each; those that judge the stream alone are left out."""
    ids = [finding.rule_id[4:6] for finding in catalogue.check([template], None)]
    return [each for each in ids if each not in ("29",)]


def test_the_rules_judge_what_sam_generates() -> None:
    template = loaded("""
Resources:
  S: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: 1}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: reader
      Runtime: python3.12
      Handler: a.b
      CodeUri: s3://b/k
      Events:
        K: {Type: Kinesis, Properties: {Stream: !GetAtt S.Arn, StartingPosition: LATEST}}
        I: {Type: IoTRule, Properties: {Sql: SELECT * FROM 'a/b'}}
""")
    mapping = ["03", "06", "13", "14", "14", "15", "16"]
    others = ["01", "07", "07", "18", "19", "23"]
    assert found(template) == sorted([*mapping, *others])


@pytest.mark.parametrize(
    ("event", "judged", "monitored"), [("Kinesis", True, True), ("DynamoDB", False, False)]
)
def test_the_type_of_an_event_tells_what_a_parameter_is(
    event: str, judged: bool, monitored: bool
) -> None:
    text = FUNCTION.replace("Type: Kinesis\n", f"Type: {event}\n")
    text = text.replace("!GetAtt Stream.Arn", "!Ref DynamoDBStreamArn")
    parameters = "Parameters: {DynamoDBStreamArn: {Type: String}}\n"
    rules = {it.rule_id[:6] for it in catalogue.check([loaded(parameters + text)], "dev")}
    assert "IOT_00" not in rules
    assert ("IOT_13" in rules, "IOT_23" in rules) == (judged, monitored)


def test_an_alias_that_is_a_parameter() -> None:
    text = "Parameters: {Stage: {Type: String}}\n" + FUNCTION.replace(
        "Handler: a.b", "Handler: a.b\n      AutoPublishAlias: !Ref Stage"
    )
    template = loaded(text)
    assert template.not_judged == []
    assert "AWS::Lambda::Alias" in {it.type for it in template.resources.values()}
