"""Every construct together: the eight corrections, environments side by side, nesting, and what CDK says about it.

``build`` is also run by a second process, which lets CDK validate the templates and fails on deprecated APIs. Its
output is compared byte by byte with what this process makes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import (
    AlarmThresholds,
    DevicePolicy,
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    QueryableArchive,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    SuffixedStack,
    TelemetryRule,
    TimeSeriesTable,
)
from tests.synth_support import (
    ENV,
    FAST_CONTEXT,
    Json,
    fresh_app,
    fresh_stack,
    one,
    recommended_flags,
    resources,
    template_of,
    unvalidated_app,
)

_ROOT = Path(__file__).resolve().parent.parent


def inline_code() -> lambda_.InlineCode:
    """A function that accepts everything: no asset, so nothing to stage."""
    return lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")


class WholePipeline:
    """Every construct of the library in one scope, as DESIGN.md draws it."""

    def __init__(self, scope: Construct, *, thresholds: AlarmThresholds | None = None) -> None:
        self.stream = MonitoredStream(scope, "Stream")
        self.time_series = TimeSeriesTable(scope, "TimeSeries")
        self.device_state = DeviceStateTable(scope, "DeviceState")
        self.processor = StreamProcessor(
            scope, "Processor", stream=self.stream, code=inline_code(), handler="index.handler"
        )
        self.rule = TelemetryRule(
            scope, "Telemetry", stream=self.stream, dlq_topic=self.processor.dlq_topic
        )
        self.device_policy = DevicePolicy(
            scope, "DevicePolicy", subscribe_topics=["device/+/commands"]
        )
        self.data = SecureDataBucket(scope, "Data")
        self.archive = StreamArchive(scope, "Archive", stream=self.stream, bucket=self.data)
        self.queries = QueryableArchive(scope, "Queries", bucket=self.data)
        self.alarms = PipelineAlarms(
            scope,
            "Alarms",
            stream=self.stream,
            processor=self.processor,
            time_series_table=self.time_series,
            device_state_table=self.device_state,
            archive=self.archive,
            rule=self.rule,
            thresholds=thresholds,
        )


def plain(value: Any) -> str:
    """A template value as one string: ``${LogicalId}`` and ``${LogicalId.Attribute}`` stand for references."""
    if not isinstance(value, dict):
        return str(value)
    if "Ref" in value:
        return f"${{{value['Ref']}}}"
    if "Fn::GetAtt" in value:
        return f"${{{'.'.join(value['Fn::GetAtt'])}}}"
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator.join(plain(part) for part in parts))
    return json.dumps(value, sort_keys=True)


def as_list(value: Any) -> list[Any]:
    """IAM writes a list of one as its only element."""
    return value if isinstance(value, list) else [value]


def permissions(template: Json, role: Json) -> set[tuple[str, str]]:
    """Every (action, resource) that the inline policies allow to the role, which is given as it is referred to."""
    role_id = role["Fn::GetAtt"][0]
    return {
        (action, plain(resource))
        for policy in resources(template, "AWS::IAM::Policy").values()
        if {"Ref": role_id} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def the_id(template: Json, type: str) -> str:
    """The logical id of the only resource of ``type``."""
    found = list(resources(template, type))
    assert len(found) == 1, found
    return found[0]


# --- synthesis ------------------------------------------------------------------------------------


def build(outdir: str, *, flags: bool, validate: bool) -> None:
    """One app with the pipeline in every surrounding the tests ask about."""
    app = (cdk.App if validate else unvalidated_app)(
        analytics_reporting=False,
        outdir=outdir,
        context={**FAST_CONTEXT, **(recommended_flags() if flags else {})},
    )
    WholePipeline(SuffixedStack(app, "Agnostic", environment_suffix="qa7"))
    WholePipeline(SuffixedStack(app, "Placed", environment_suffix="qa7", env=ENV))
    if flags:
        WholePipeline(SuffixedStack(app, "Prod", environment_suffix="prod"))
        WholePipeline(SuffixedStack(app, "Live", environment_suffix="live", env=ENV))
        outer = SuffixedStack(app, "Outer", environment_suffix="pr-12")
        WholePipeline(cdk.NestedStack(outer, "Nested"))
        stage = cdk.Stage(app, "Blue", env=ENV)
        WholePipeline(SuffixedStack(stage, "InStage", environment_suffix="test"))
    # What CDK's validation is known to find (FACTS 13): a report without it would mean that nothing was validated.
    cdk.CfnResource(cdk.Stack(app, "Control"), "Closed", type="AWS::Timestream::Database")
    app.synth()


def _build_all(outdir: Path, *, validate: bool) -> None:
    if validate:
        _check_that_deprecated_is_an_error()
    for flags in (True, False):
        build(str(outdir / f"flags-{flags}"), flags=flags, validate=validate)


def _check_that_deprecated_is_an_error() -> None:
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    with pytest.raises(RuntimeError, match="pointInTimeRecovery is deprecated"):
        dynamodb.Table(cdk.Stack(), "Table", partition_key=key, point_in_time_recovery=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same apps, made in this process, and with validation in one of its own, at the same time."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    program = "import sys, tests.test_whole_pipeline as t; t._build_all(t.Path(sys.argv[1]), validate=True)"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(there)],
        cwd=_ROOT,
        env={**os.environ, "JSII_DEPRECATED": "fail", "PYTHONHASHSEED": "7"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _build_all(here, validate=False)
    finally:
        said, _ = other.communicate()
    assert other.returncode == 0, said
    return here, there


@pytest.fixture(scope="module")
def out(both: tuple[Path, Path]) -> Path:
    return both[0]


_TEMPLATES = {
    "Agnostic": "flags-True/Agnostic.template.json",
    "Placed": "flags-True/Placed.template.json",
    "Agnostic, no flags": "flags-False/Agnostic.template.json",
    "Placed, no flags": "flags-False/Placed.template.json",
    "Prod": "flags-True/Prod.template.json",
    "Live": "flags-True/Live.template.json",
    "Nested": "flags-True/OuterNested*.nested.template.json",
    "InStage": "flags-True/assembly-Blue/BlueInStage*.template.json",
}
_SUFFIXES = {"Prod": "prod", "Live": "live", "Nested": "pr-12", "InStage": "test"}
_EVERYWHERE = pytest.mark.parametrize("name", list(_TEMPLATES))


@pytest.fixture(scope="module")
def templates(out: Path) -> dict[str, Json]:
    found = {}
    for name, pattern in _TEMPLATES.items():
        (path,) = out.glob(pattern)
        found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=list(_TEMPLATES))
def template(request: pytest.FixtureRequest, templates: dict[str, Json]) -> Json:
    """The template of the pipeline in one surrounding after the other."""
    return templates[request.param]


def _suffix(name: str) -> str:
    return _SUFFIXES.get(name, "qa7")


def _stack_artifact(out: Path, name: str) -> Json:
    manifest = json.loads((out / "flags-True" / "manifest.json").read_text(encoding="utf-8"))
    artifact: Json = manifest["artifacts"][name]
    return artifact


# --- what CDK says about it -----------------------------------------------------------------------


def test_cdk_validation_finds_nothing_in_the_pipeline(both: tuple[Path, Path]) -> None:
    """The second process validated every template; it also failed if anything deprecated was called."""
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


def test_no_stack_carries_a_warning_or_an_error(out: Path) -> None:
    said = []
    for manifest in out.rglob("manifest.json"):
        for artifact in json.loads(manifest.read_text(encoding="utf-8"))["artifacts"].values():
            where = artifact.get("additionalMetadataFile")
            metadata = artifact.get("metadata", {})
            if where is not None:
                metadata = json.loads((manifest.parent / where).read_text(encoding="utf-8"))
            said += [
                entry
                for entries in metadata.values()
                for entry in entries
                if entry["type"] in ("aws:cdk:warning", "aws:cdk:error", "aws:cdk:info")
            ]
    assert said == []


def test_two_synths_are_identical_to_the_byte(both: tuple[Path, Path]) -> None:
    here, there = ({p.relative_to(root): p for p in root.rglob("*.json")} for root in both)
    compared = {path for path in here if "template" in path.name or path.name == "manifest.json"}
    assert len(compared) >= 12
    differing = [p for p in compared if here[p].read_bytes() != there[p].read_bytes()]
    assert differing == []


def test_no_resource_waits_for_itself(template: Json) -> None:
    known = set(template["Resources"])
    waits = {name: set(_needs(body)) & known for name, body in template["Resources"].items()}
    assert len(list(TopologicalSorter(waits).static_order())) == len(known)  # raises CycleError


def _needs(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _needs(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in ("Ref", "DependsOn"):
                yield from as_list(each)
            elif key == "Fn::GetAtt":
                yield each[0]
            else:
                yield from _needs(each)


def test_nothing_that_nobody_uses_is_in_the_template(template: Json) -> None:
    assert "Mappings" not in template


# --- the eight corrections ------------------------------------------------------------------------


_NAMES = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::DynamoDB::GlobalTable": "TableName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::IoT::TopicRule": "RuleName",
    "AWS::IoT::Policy": "PolicyName",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
    "AWS::Glue::Database": "DatabaseInput.Name",
    "AWS::Glue::Table": "TableInput.Name",
    "AWS::Athena::WorkGroup": "Name",
    "AWS::Athena::NamedQuery": "Name",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
}
_AUTO_DELETE = (
    "CustomS3AutoDelete",
    "AutoDeleteObjectsLogs",
)  # CDK's helper and what belongs to it


def _named(template: Json) -> dict[str, str]:
    names = {}
    for logical_id, body in template["Resources"].items():
        if body["Type"] in _NAMES and not logical_id.startswith(_AUTO_DELETE):
            value = body.get("Properties", {})
            for key in _NAMES[body["Type"]].split("."):
                value = value.get(key)
            names[logical_id] = plain(value)
    return names


@_EVERYWHERE
def test_correction_1_every_physical_name_ends_in_the_suffix(
    name: str, templates: dict[str, Json]
) -> None:
    suffix = _suffix(name)
    names = _named(templates[name])
    wrong = {
        key: value
        for key, value in names.items()
        if not value.endswith((f"-{suffix}", f"_{suffix.replace('-', '_')}"))
    }
    assert wrong == {}
    account, region = (
        ("123456789012", "eu-central-1")
        if name.startswith(("Placed", "Live", "InStage"))
        else ("${AWS::AccountId}", "${AWS::Region}")
    )
    assert {
        f"iot-sensor-data-{account}-{region}-{suffix}",
        f"iot-sensor-data-logs-{account}-{region}-{suffix}",
        f"iot-device-state-{suffix}",
        f"iot-sensor-metrics-{suffix}",
        f"iot-sensor-data-stream-{suffix}",
        f"iot-stream-processor-{suffix}",
        f"/aws/lambda/iot-stream-processor-{suffix}",
        f"iot-pipeline-dlq-{suffix}",
        f"iot_telemetry_{suffix.replace('-', '_')}",
        f"iot-telemetry-device-{suffix}",
        f"iot-sensor-archive-{suffix}",
        f"/aws/kinesisfirehose/iot-sensor-archive-{suffix}",
        f"iot_archive_{suffix.replace('-', '_')}",
        f"telemetry_{suffix.replace('-', '_')}",
        f"iot-archive-{suffix}",
        f"iot-archive-last-day-{suffix}",
        f"iot-queries-{account}-{region}-{suffix}",
        f"iot-pipeline-alerts-{suffix}",
        f"iot-pipeline-health-{suffix}",
        f"iot-pipeline-{suffix}",
    } <= set(names.values())


def test_correction_1_no_other_resource_has_a_name_of_its_own(template: Json) -> None:
    """Roles and the like are named by CloudFormation. A policy's name is one within its role."""
    named = {
        (body["Type"], key)
        for body in template["Resources"].values()
        if body["Type"] not in _NAMES
        for key, value in body.get("Properties", {}).items()
        if key.endswith("Name") and isinstance(value, str)
    }
    assert named <= {("AWS::IAM::Policy", "PolicyName")}


def test_correction_2_both_tables_can_be_restored(template: Json) -> None:
    tables = resources(template, "AWS::DynamoDB::GlobalTable")
    assert len(tables) == 2
    for table in tables.values():
        (replica,) = table["Properties"]["Replicas"]
        assert replica["PointInTimeRecoverySpecification"] == {
            "PointInTimeRecoveryEnabled": True,
            "RecoveryPeriodInDays": 35,
        }


def test_correction_3_the_batching_window_is_five_seconds(template: Json) -> None:
    mapping = one(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["MaximumBatchingWindowInSeconds"] == 5


def test_correction_4_every_bucket_is_private_and_answers_over_tls_only(template: Json) -> None:
    buckets = resources(template, "AWS::S3::Bucket")
    assert len(buckets) == 4  # data, query results, and the access logs of each
    policies = [p["Properties"] for p in resources(template, "AWS::S3::BucketPolicy").values()]
    for logical_id, bucket in buckets.items():
        assert bucket["Properties"]["PublicAccessBlockConfiguration"] == {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        }
        (policy,) = [p for p in policies if p["Bucket"] == {"Ref": logical_id}]
        denied = [
            statement["Condition"]
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny" and statement["Action"] == "s3:*"
        ]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied


@pytest.mark.parametrize(
    ("stack", "protected"), [("Agnostic", False), ("Placed", False), ("Prod", True), ("Live", True)]
)
def test_correction_5_termination_protection_is_stated(
    stack: str, protected: bool, out: Path
) -> None:
    """It is in the assembly's manifest, and only the manifest (FACTS 15)."""
    properties = _stack_artifact(out, stack)["properties"]
    assert properties["terminationProtection"] is protected


def test_correction_6_both_ways_to_fail_lead_to_the_dlq_topic_and_its_queue(template: Json) -> None:
    (topic,) = [
        key
        for key, body in resources(template, "AWS::SNS::Topic").items()
        if body["Properties"]["TopicName"].startswith("iot-pipeline-dlq-")
    ]
    to_topic = {"OnFailure": {"Destination": {"Ref": topic}}}
    asynchronous = one(template, "AWS::Lambda::EventInvokeConfig")
    assert asynchronous["DestinationConfig"] == to_topic
    assert asynchronous["MaximumEventAgeInSeconds"] == 21600
    assert asynchronous["MaximumRetryAttempts"] == 2
    assert one(template, "AWS::Lambda::EventSourceMapping")["DestinationConfig"] == to_topic
    subscription = one(template, "AWS::SNS::Subscription")
    assert subscription["TopicArn"] == {"Ref": topic}
    assert subscription["Endpoint"] == {"Fn::GetAtt": [the_id(template, "AWS::SQS::Queue"), "Arn"]}


@_EVERYWHERE
def test_correction_7_the_alarms_that_were_missing(name: str, templates: dict[str, Json]) -> None:
    """The complete set, its metrics and dimensions are held by test_pipeline_alarms."""
    template, suffix = templates[name], _suffix(name)
    waiting = one(template, "AWS::CloudWatch::Alarm", AlarmName=f"iot-lambda-dlq-messages-{suffix}")
    assert waiting["MetricName"] == "ApproximateNumberOfMessagesVisible"
    throttled = one(
        template, "AWS::CloudWatch::Alarm", AlarmName=f"iot-dynamodb-metrics-throttling-{suffix}"
    )
    assert throttled["MetricName"] == "WriteThrottleEvents"
    assert throttled["Namespace"] == "AWS/DynamoDB"
    assert len(resources(template, "AWS::CloudWatch::Alarm")) == 20


def test_correction_8_readings_are_in_dynamodb_and_nothing_is_in_timestream(template: Json) -> None:
    types = {body["Type"] for body in template["Resources"].values()}
    assert [type for type in types if "Timestream" in type] == []
    (table,) = [
        body["Properties"]
        for body in resources(template, "AWS::DynamoDB::GlobalTable").values()
        if body["Properties"]["TableName"].startswith("iot-sensor-metrics-")
    ]
    assert table["KeySchema"] == [
        {"AttributeName": "deviceId", "KeyType": "HASH"},
        {"AttributeName": "timestamp", "KeyType": "RANGE"},
    ]
    assert {d["AttributeName"]: d["AttributeType"] for d in table["AttributeDefinitions"]} == {
        "deviceId": "S",
        "timestamp": "N",
    }
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


# --- environments ---------------------------------------------------------------------------------


_DATA = {
    "AWS::DynamoDB::GlobalTable",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::Logs::LogStream",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
}


@pytest.mark.parametrize("name", ["Prod", "Live"])
def test_everything_that_holds_data_outlives_a_protected_stack(
    name: str, templates: dict[str, Json]
) -> None:
    bodies = templates[name]["Resources"].values()
    policies = {
        (body["Type"], body.get("DeletionPolicy"), body.get("UpdateReplacePolicy"))
        for body in bodies
        if body["Type"] in _DATA
    }
    assert policies == {(type, "Retain", "Retain") for type in _DATA}
    assert {body.get("DeletionPolicy") for body in bodies} == {"Retain", None}
    assert not [body for body in bodies if body["Type"].startswith("Custom::S3AutoDelete")]
    for table in resources(templates[name], "AWS::DynamoDB::GlobalTable").values():
        assert table["Properties"]["Replicas"][0]["DeletionProtectionEnabled"] is True
    assert "PendingWindowInDays" not in one(templates[name], "AWS::KMS::Key")


@pytest.mark.parametrize("name", [n for n in _TEMPLATES if n not in ("Prod", "Live")])
def test_nothing_outlives_a_stack_of_a_short_lived_environment(
    name: str, templates: dict[str, Json]
) -> None:
    bodies = templates[name]["Resources"].values()
    assert {body.get("DeletionPolicy") for body in bodies} == {"Delete", None}
    assert {body.get("UpdateReplacePolicy") for body in bodies} == {"Delete", None}
    assert {body["Type"] for body in bodies if body.get("DeletionPolicy") is None} & _DATA == set()
    for table in resources(templates[name], "AWS::DynamoDB::GlobalTable").values():
        assert table["Properties"]["Replicas"][0]["DeletionProtectionEnabled"] is False
    emptied = resources(templates[name], "Custom::S3AutoDeleteObjects")
    assert len(emptied) == 4  # a bucket that holds objects cannot be deleted
    assert one(templates[name], "AWS::KMS::Key")["PendingWindowInDays"] == 7


@_EVERYWHERE
def test_every_resource_of_ours_says_whose_it_is(name: str, templates: dict[str, Json]) -> None:
    untagged = []
    for logical_id, body in templates[name]["Resources"].items():
        tags = body.get("Properties", {}).get("Tags")
        if body["Type"] == "AWS::DynamoDB::GlobalTable":
            tags = body["Properties"]["Replicas"][0]["Tags"]
        if tags is not None:
            found = {tag["Key"]: tag["Value"] for tag in tags}
            if (found["Environment"], found["ManagedBy"]) != (_suffix(name), "iot-constructs"):
                untagged.append(logical_id)
        elif body["Type"] in _DATA - {"AWS::Logs::LogStream"}:
            untagged.append(logical_id)
    assert untagged == []


def test_one_key_encrypts_everything_that_can_be(template: Json) -> None:
    """But the bucket of access logs, to which S3 delivers under its own key only (FACTS 7), and CDK's helper."""
    key = the_id(template, "AWS::KMS::Key")
    assert one(template, "AWS::KMS::Key")["EnableKeyRotation"] is True
    arn = {"Fn::GetAtt": [key, "Arn"]}
    stream = one(template, "AWS::Kinesis::Stream")
    assert stream["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": arn}
    assert one(template, "AWS::SQS::Queue")["KmsMasterKeyId"] == arn
    topics = resources(template, "AWS::SNS::Topic").values()
    assert [topic["Properties"]["KmsMasterKeyId"] for topic in topics] == [arn, arn]
    groups = {
        key: group["Properties"]
        for key, group in resources(template, "AWS::Logs::LogGroup").items()
        if not key.startswith(_AUTO_DELETE)
    }
    assert [group["KmsKeyId"] for group in groups.values()] == [arn, arn]
    for table in resources(template, "AWS::DynamoDB::GlobalTable").values():
        replica = table["Properties"]["Replicas"][0]
        assert replica["SSESpecification"] == {"KMSMasterKeyId": arn}


def test_the_key_is_only_for_services_that_act_for_this_account(template: Json) -> None:
    statements = one(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    limited_by = {
        plain(service): [key for conditions in s["Condition"].values() for key in conditions]
        for s in statements
        if "Service" in s["Principal"]
        for service in as_list(s["Principal"]["Service"])
    }
    logs = next(service for service in limited_by if service.startswith("logs."))
    assert limited_by == {
        "cloudwatch.amazonaws.com": ["aws:SourceAccount"],
        "sns.amazonaws.com": ["aws:SourceAccount"],
        logs: ["kms:EncryptionContext:aws:logs:arn"],
    }
    assert logs in ("logs.${AWS::Region}.amazonaws.com", "logs.eu-central-1.amazonaws.com")


def test_the_log_service_may_use_the_key_for_exactly_our_log_groups(template: Json) -> None:
    statements = one(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    may = {
        plain(s["Condition"]["ArnEquals"]["kms:EncryptionContext:aws:logs:arn"]): set(s["Action"])
        for s in statements
        if "ArnEquals" in s.get("Condition", {})
    }
    names = {
        # CloudFormation names it.
        "${AWS::StackName}-AutoDeleteObjectsLogs*"
        if key.startswith(_AUTO_DELETE)
        else group["Properties"]["LogGroupName"]
        for key, group in resources(template, "AWS::Logs::LogGroup").items()
    }
    assert {arn.split(":log-group:")[1] for arn in may} == names
    place = r"arn:(aws|\$\{AWS::Partition\}):logs:(eu-central-1|\$\{AWS::Region\}):(\d{12}|\$\{AWS::AccountId\}):"
    assert [arn for arn in may if not re.match(place, arn)] == []
    for actions in may.values():
        assert actions == {
            "kms:Encrypt",
            "kms:Decrypt",
            "kms:ReEncrypt*",
            "kms:GenerateDataKey*",
            "kms:DescribeKey",
        }


def test_two_environments_in_one_stack_share_a_key_and_no_name() -> None:
    stack = fresh_stack("dev")
    for suffix in ("blue", "green"):
        MonitoredStream(stack, suffix.title(), environment_suffix=suffix)
    template = template_of(stack)
    names = [s["Properties"]["Name"] for s in resources(template, "AWS::Kinesis::Stream").values()]
    assert names == ["iot-sensor-data-stream-blue", "iot-sensor-data-stream-green"]
    assert len(resources(template, "AWS::KMS::Key")) == 1


def test_a_plain_stack_retains_its_data_and_is_called_dev() -> None:
    stack = cdk.Stack(fresh_app(), "Plain")
    MonitoredStream(stack, "Stream")
    (stream,) = resources(template_of(stack), "AWS::Kinesis::Stream").values()
    assert stream["Properties"]["Name"] == "iot-sensor-data-stream-dev"
    assert stream["DeletionPolicy"] == "Retain"
