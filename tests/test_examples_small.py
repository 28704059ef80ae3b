"""The small examples: each README's command works as printed, CDK finds nothing in them, and each is what it says."""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import cast

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from botocore.exceptions import ClientError

from examples.existing_app.stack import ExistingAppStack
from iot_constructs import _defaults as defaults
from iot_constructs._warnings import NO_SUBSCRIPTION
from iot_constructs.processor.transform import load_transform
from tests.alarm_evaluator import metrics_with_dimensions
from tests.processor.aws_fakes import (
    NOW,
    SERIES,
    FakeDynamoDB,
    FakeSNS,
    make_processor,
    make_records,
)
from tests.synth_support import (
    Json,
    one,
    one_resource,
    permissions,
    plain,
    resources,
    the_id,
    too_early,
    unvalidated_app,
)

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_NAMES = ("existing_app", "two_environments", "own_processor", "queryable_archive")
_PROJECTS = ("existing_app",)  # which `iot-constructs init` writes: tests/cli/test_init.py runs it
_OTHERS = [name for name in _NAMES if name not in _PROJECTS]
_EVERY_EXAMPLE = pytest.mark.parametrize("name", _NAMES)


# --- as a user runs them --------------------------------------------------------------------------


def _command(name: str) -> str:
    """The README's one command: the only block without a language."""
    readme = (_EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", readme, re.M | re.S)
    (command,) = [text for language, text in blocks if not language]
    return str(command)


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each example copied to an empty folder, and its command run there, all at once; a project is synthesized here."""
    # The CDK command line and Python of this environment, also when pytest was started without it.
    paths = [Path(sys.prefix) / part for part in ("bin", "cdk/bin", "cdk/node_modules/.bin")]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("CDK_", "AWS_"))},
        "PATH": os.pathsep.join([*map(str, paths), os.environ["PATH"]]),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    folders = {name: tmp_path_factory.mktemp(name) / name for name in _OTHERS}
    commands = {name: _command(name) for name in _OTHERS}
    started = {}
    for name, folder in folders.items():
        shutil.copytree(_EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        started[name] = subprocess.Popen(
            commands[name],
            shell=True,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    app = unvalidated_app(
        outdir=str(tmp_path_factory.mktemp("project")), context=_context("existing_app")
    )
    ExistingAppStack(app, "ExistingApp")
    app.synth()
    said = {name: process.communicate()[0] for name, process in started.items()}
    failed = {name: said[name] for name, process in started.items() if process.returncode != 0}
    assert failed == {}
    out = {name: folder / "cdk.out" for name, folder in folders.items()}
    return {**out, "existing_app": Path(app.outdir)}


def _context(name: str) -> Json:
    cdk_json: Json = json.loads((_EXAMPLES / name / "cdk.json").read_text(encoding="utf-8"))
    return cast(Json, cdk_json["context"])


def _template(synthesized: dict[str, Path], name: str, pattern: str) -> Json:
    (path,) = synthesized[name].glob(pattern)
    template: Json = json.loads(path.read_text(encoding="utf-8"))
    return template


@pytest.mark.parametrize("name", _OTHERS)
def test_the_command_of_the_readme_works_as_printed(
    synthesized: dict[str, Path], name: str
) -> None:
    assert _command(name).startswith("cdk synth")
    # Findings are errors.
    assert _context(name) == {"@aws-cdk/core:validateAgainstDefaultRules": True}
    reports = list(synthesized[name].rglob("validation-report.json"))
    assert reports
    for report in reports:
        plugins = json.loads(report.read_text(encoding="utf-8"))["pluginReports"]
        assert [plugin["violations"] for plugin in plugins] == [[] for _ in plugins]


@_EVERY_EXAMPLE
def test_who_uses_a_role_waits_for_its_policies(synthesized: dict[str, Path], name: str) -> None:
    templates = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in synthesized[name].rglob("*.template.json")
    ]
    assert templates
    assert [too_early(template) for template in templates] == [{} for _ in templates]


@_EVERY_EXAMPLE
def test_the_only_warning_is_to_subscribe_to_the_alarms(
    synthesized: dict[str, Path], name: str
) -> None:
    metadata = [
        path.read_text(encoding="utf-8") for path in synthesized[name].rglob("*.metadata.json")
    ]
    code = (_EXAMPLES / name / "app.py").read_text(encoding="utf-8")
    found = {id for text in metadata for id in re.findall(r"\[ack: (.*?)\]", text)}
    assert found == ({NO_SUBSCRIPTION} if "PipelineAlarms(" in code else set())
    assert not [text for text in metadata if "aws:cdk:error" in text]


# --- existing_app ---------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["AWS::Kinesis::Stream", "AWS::DynamoDB::GlobalTable"])
def test_an_existing_stream_and_table_stay_as_they_are(
    synthesized: dict[str, Path], type: str
) -> None:
    before = unvalidated_app(context=_context("existing_app"))
    stack = cdk.Stack(before, "ExistingApp")
    kinesis.Stream(stack, "Positions", retention_period=cdk.Duration.hours(48))
    key = dynamodb.Attribute(name="vehicle", type=dynamodb.AttributeType.STRING)
    time = dynamodb.Attribute(name="time", type=dynamodb.AttributeType.NUMBER)
    dynamodb.TableV2(stack, "PositionHistory", partition_key=key, sort_key=time)
    plain_template = before.synth().get_stack_by_name("ExistingApp").template

    template = _template(synthesized, "existing_app", "ExistingApp.template.json")
    assert the_id(template, type) == the_id(plain_template, type)
    assert one(template, type) == one(plain_template, type)


def test_an_existing_stream_gets_a_processor_with_a_failure_destination_and_alarms(
    synthesized: dict[str, Path],
) -> None:
    template = _template(synthesized, "existing_app", "ExistingApp.template.json")
    mapping = one(template, "AWS::Lambda::EventSourceMapping")
    stream = the_id(template, "AWS::Kinesis::Stream")
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [stream, "Arn"]}
    age = defaults.EXISTING_RECORD_AGE_SHARE * 48 * 3600
    assert mapping["MaximumRecordAgeInSeconds"] == int(age)
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"]
    watched = {
        (dimension["Name"], plain(dimension["Value"]))
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        for metric, _ in metrics_with_dimensions(alarm["Properties"])
        for dimension in metric["Dimensions"]
    }
    assert ("StreamName", f"${{{stream}}}") in watched
    assert ("TableName", f"${{{the_id(template, 'AWS::DynamoDB::GlobalTable')}}}") in watched


def test_an_existing_table_is_written_and_nothing_else(synthesized: dict[str, Path]) -> None:
    template = _template(synthesized, "existing_app", "ExistingApp.template.json")
    function = one(template, "AWS::Lambda::Function", Handler="handler.handler")
    table = the_id(template, "AWS::DynamoDB::GlobalTable")
    may = permissions(template, function["Role"])
    assert {(action, arn) for action, arn in may if action.startswith("dynamodb:")} == {
        ("dynamodb:PutItem", f"${{{table}.Arn}}")
    }


class _Table:
    """A table that holds what was put, refuses an item without its key, and fails for one vehicle."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, int], Json] = {}

    def put_item(self, *, Item: Json) -> None:  # noqa: N803 - boto3's name
        if Item["vehicle"] == "throttled":
            raise _client_error("ProvisionedThroughputExceededException")
        if "time" not in Item:
            raise _client_error("ValidationException")
        self.items[Item["vehicle"], Item["time"]] = Item


def _client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "PutItem")


@pytest.fixture
def vehicles(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, _Table]:
    table = _Table()

    class Resource:
        def Table(self, name: str) -> _Table:  # noqa: N802 - boto3's name
            assert name == "position-history"
            return table

    monkeypatch.setenv("TABLE_NAME", "position-history")
    monkeypatch.setattr("boto3.resource", lambda name: Resource())
    return _loaded("examples.existing_app.function.handler"), table


def _loaded(module: str) -> ModuleType:
    """The function's module as Lambda loads it: anew, with the environment of now."""
    sys.modules.pop(module, None)
    return importlib.import_module(module)


def _event(*records: tuple[str, str]) -> Json:
    """A batch of (partition key, data), as a Kinesis mapping passes it."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": partition_key,
                    "sequenceNumber": str(number),
                    "data": base64.b64encode(data.encode()).decode(),
                    "approximateArrivalTimestamp": 1767225600.0,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000000:{number}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/processor",
                "awsRegion": "eu-central-1",
                "eventSourceARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/given",
            }
            for number, (partition_key, data) in enumerate(records)
        ]
    }


def _position(time: int, latitude: float = 48.5) -> str:
    return json.dumps({"time": time, "latitude": latitude, "longitude": 9.25})


def test_the_function_of_the_existing_app_keeps_each_position_once(
    vehicles: tuple[ModuleType, _Table],
) -> None:
    module, table = vehicles
    event = _event(("lorry", _position(2, 1.5)), ("lorry", _position(1)), ("van", _position(7)))
    for _ in range(2):  # a batch that comes again changes nothing
        assert module.handler(event, None) == {"batchItemFailures": []}
        assert set(table.items) == {("lorry", 2), ("lorry", 1), ("van", 7)}
    assert table.items["lorry", 2] == {
        "vehicle": "lorry",
        "time": 2,
        "latitude": Decimal("1.5"),
        "longitude": Decimal("9.25"),
    }


def test_the_function_of_the_existing_app_reports_what_failed(
    vehicles: tuple[ModuleType, _Table], capsys: pytest.CaptureFixture[str]
) -> None:
    module, table = vehicles
    event = _event(("a", "not json"), ("throttled", _position(1)), ("b", "{}"), ("c", _position(3)))
    assert module.handler(event, None) == {
        "batchItemFailures": [{"itemIdentifier": number} for number in ("0", "1", "2")]
    }
    assert list(table.items) == [("c", 3)]
    assert capsys.readouterr().out.count("could not store shardId-000000000000:") == 3


# --- two_environments -----------------------------------------------------------------------------


_NAMED_BY = ("Name", "TableName", "FunctionName", "TopicName", "QueueName", "AlarmName")


def test_two_environments_have_no_name_in_common(synthesized: dict[str, Path]) -> None:
    dev = _template(synthesized, "two_environments", "assembly-Dev/*.template.json")
    staging = _template(synthesized, "two_environments", "assembly-Staging/*.template.json")
    names = [
        {
            value
            for body in template["Resources"].values()
            for key, value in body.get("Properties", {}).items()
            if key in _NAMED_BY and isinstance(value, str)
        }
        for template in (dev, staging)
    ]
    assert {name.removesuffix("-dev") for name in names[0]} == {
        name.removesuffix("-staging") for name in names[1]
    }
    assert names[0] & names[1] == set()
    assert {"iot-sensor-data-stream-dev", "iot-stream-processor-dev"} < names[0]


@pytest.mark.parametrize(
    ("stage", "name", "protected", "policies"),
    [
        ("Dev", "Dev-Telemetry-dev", False, {"Delete"}),
        ("Staging", "Staging-Telemetry-staging", True, {"Retain", "RetainExceptOnCreate"}),
    ],
)
def test_one_is_protected_and_keeps_its_data_and_one_leaves_nothing(
    synthesized: dict[str, Path], stage: str, name: str, protected: bool, policies: set[str]
) -> None:
    folder = synthesized["two_environments"] / f"assembly-{stage}"
    artifacts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    (stack,) = [a["properties"] for a in artifacts.values() if "stackName" in a["properties"]]
    assert (stack["stackName"], stack["terminationProtection"]) == (name, protected)
    template = _template(synthesized, "two_environments", f"assembly-{stage}/*.template.json")
    kept = (
        "AWS::Kinesis::Stream",
        "AWS::DynamoDB::GlobalTable",
        "AWS::KMS::Key",
        "AWS::SQS::Queue",
    )
    for type in kept:
        assert one_resource(template, type)["DeletionPolicy"] in policies, type
    readme = (_EXAMPLES / "two_environments" / "README.md").read_text(encoding="utf-8")
    assert f"`{name}`" in readme


# --- own_processor --------------------------------------------------------------------------------


@pytest.fixture
def overheating(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The step as the function imports it."""
    monkeypatch.setenv("HOTTEST", "85")
    monkeypatch.setenv("TRANSFORM_MODULE", "step")
    monkeypatch.syspath_prepend(_EXAMPLES / "own_processor")
    load_transform.cache_clear()
    yield
    load_transform.cache_clear()
    del sys.modules["step"]


_MACHINES = (
    ("press-1", {"timestamp": NOW, "temperature": 212}),
    ("lathe-7", {"timestamp": NOW, "temperature": 185, "unit": "F"}),
    ("drill-2", {"timestamp": NOW, "temperature": -40.5}),
    ("press-3", {"timestamp": NOW, "temperature": "hot"}),
    ("press-4", {"timestamp": NOW}),
)


@pytest.mark.usefixtures("overheating")
def test_the_own_step_converts_and_enriches_each_reading_and_rejects_the_others() -> None:
    dynamodb, sns = FakeDynamoDB(), FakeSNS()
    for _ in range(2):  # Lambda delivers the batch again
        outcome = make_processor(dynamodb, sns).process(make_records(*_MACHINES), lambda: 60_000)
        assert outcome.retry_from is None
    stored = {item["deviceId"]: item["reading"] for item in dynamodb.items(SERIES)}
    assert len(dynamodb.items(SERIES)) == 3
    assert stored == {
        "press-1": {"timestamp": NOW, "temperature": 100, "line": "A", "hot": True},
        "lathe-7": {"timestamp": NOW, "temperature": 85, "line": "B", "hot": False, "unit": "F"},
        "drill-2": {
            "timestamp": NOW,
            "temperature": Decimal("-40.28"),
            "line": "unknown",
            "hot": False,
        },
    }
    rejected = {message["partitionKey"]: message for message in sns.messages}
    assert rejected.keys() == {"press-3", "press-4"}
    assert {message["reason"] for message in rejected.values()} == {"rejected-by-transform"}
    assert rejected["press-3"]["detail"].endswith(": temperature is not a number")


def test_the_own_step_is_called_as_the_readme_says() -> None:
    readme = (_EXAMPLES / "own_processor" / "README.md").read_text(encoding="utf-8")
    (setting,) = re.findall(r"`(\w+=\w+)`", readme)
    (call,) = re.findall(r"`(transform\(.+\))`", readme)
    returned = {"temperature": 100, "line": "A", "hot": True}
    imports = "from decimal import Decimal; from step import transform"
    called = subprocess.run(
        [sys.executable, "-c", f"{imports}; print({call} == {returned!r})"],
        cwd=_EXAMPLES / "own_processor",
        env=dict([setting.split("=")]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert called.stdout == "True\n"


def test_the_own_step_is_in_the_asset_beside_the_processor(synthesized: dict[str, Path]) -> None:
    template = _template(synthesized, "own_processor", "Overheating.template.json")
    function = one(template, "AWS::Lambda::Function", Handler="processor.handler.handler")
    asset = synthesized["own_processor"] / f"asset.{function['Code']['S3Key'].removesuffix('.zip')}"
    assert {path.name for path in asset.iterdir()} == {"processor", "step.py"}
    variables = function["Environment"]["Variables"]
    assert (variables["TRANSFORM_MODULE"], variables["HOTTEST"]) == ("step", "85")


# --- queryable_archive ----------------------------------------------------------------------------


def test_the_archive_is_a_table_with_two_saved_queries(synthesized: dict[str, Path]) -> None:
    template = _template(synthesized, "queryable_archive", "Telemetry.template.json")
    table = one(template, "AWS::Glue::Table")["TableInput"]
    location = plain(table["StorageDescriptor"]["Location"])
    prefix = one(template, "AWS::KinesisFirehose::DeliveryStream")[
        "ExtendedS3DestinationConfiguration"
    ]["Prefix"]
    assert prefix.startswith(location.split("/", 3)[3])
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]] == [
        "timestamp",
        "temperature",
    ]
    queries = {
        body["Properties"]["Name"]: body["Properties"]["QueryString"]
        for body in resources(template, "AWS::Athena::NamedQuery").values()
    }
    assert queries.keys() == {"iot-archive-last-day-dev", "warmest-hours-dev"}
    for sql in queries.values():
        assert 'FROM "iot_archive_dev"."telemetry_dev"\nWHERE year IN (' in sql


def test_the_readme_of_the_archive_names_what_is_there(synthesized: dict[str, Path]) -> None:
    template = _template(synthesized, "queryable_archive", "Telemetry.template.json")
    readme = (_EXAMPLES / "queryable_archive" / "README.md").read_text(encoding="utf-8")
    assert template["Outputs"]["TableReference"]["Value"] in readme
    assert f"`{template['Outputs']['WorkGroupName']['Value']}`" in readme
    partitions = [
        key["Name"] for key in one(template, "AWS::Glue::Table")["TableInput"]["PartitionKeys"]
    ]
    for query in re.findall(r"```sql\n(.*?)```", readme, re.S):
        assert set(re.findall(r"(\w+) (?:=|BETWEEN) '", query)) <= set(partitions)
