"""Helpers shared by the tests: create a stack, synthesize it once, look things up in plain JSON."""

from __future__ import annotations

import atexit
import inspect
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
from aws_cdk import assertions
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_sns_subscriptions import EmailSubscription
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
    SuffixedStack,
    TelemetryProcessor,
    TelemetryRule,
    TimeSeriesTable,
)

Json = dict[str, Any]

ACCOUNT = "123456789012"
REGION = "eu-central-1"
ENV = cdk.Environment(account=ACCOUNT, region=REGION)

# Cloud assemblies of a test run go here and are deleted with it.
_ASSEMBLIES = tempfile.mkdtemp(prefix="iot-constructs-tests-")
atexit.register(shutil.rmtree, _ASSEMBLIES, ignore_errors=True)

FAST_CONTEXT: Mapping[str, Any] = {"aws:cdk:disable-asset-staging": True}


def unvalidated_app(**arguments: Any) -> cdk.App:
    """An app without CDK's own template validation, which costs time and changes no template.

    aws-cdk-lib has a switch for it since 2.275. Older ones validate all the same.
    """
    switch = "builtin_cloud_formation_validation"
    if switch in inspect.signature(cdk.App.__init__).parameters:
        arguments[switch] = False
    return cdk.App(**arguments)


def fresh_app(context: Mapping[str, Any] | None = None) -> cdk.App:
    """An app of its own, so that no name in it is taken.

    Without copies of assets and without CDK's own template validation: they cost seconds and change nothing that
    tests of properties look at.
    """
    return unvalidated_app(
        outdir=tempfile.mkdtemp(dir=_ASSEMBLIES),
        analytics_reporting=False,
        context={**FAST_CONTEXT, **(context or {})},
    )


def fresh_stack(
    suffix: str | None = "dev",
    *,
    id: str = "Test",
    app: cdk.App | None = None,
    context: Mapping[str, Any] | None = None,
    env: cdk.Environment | None = None,
    ephemeral: bool | None = None,
) -> SuffixedStack:
    """A SuffixedStack, in an app of its own unless one is given."""
    return SuffixedStack(
        app if app is not None else fresh_app(context),
        id,
        environment_suffix=suffix,
        env=env,
        ephemeral=ephemeral,
    )


def template_of(stack: cdk.Stack) -> Json:
    """The template of ``stack`` as plain JSON. Synthesizes the whole app: call it once per app, at the end."""
    return cast(Json, assertions.Template.from_stack(stack).to_json())


def resources(template: Json, type: str) -> dict[str, Json]:
    """Every resource of ``type``, whole (Type, Properties, DeletionPolicy ...), by logical id."""
    found = template.get("Resources", {})
    return {key: value for key, value in found.items() if value["Type"] == type}


def one_resource(template: Json, type: str, **properties: Any) -> Json:
    """The only resource of ``type`` with these property values, whole; AssertionError if there is not exactly one."""
    wanted = properties.items()
    found = {
        key: value
        for key, value in resources(template, type).items()
        if all(value.get("Properties", {}).get(name) == expected for name, expected in wanted)
    }
    assert len(found) == 1, f"{len(found)} of {type} {properties}: {sorted(found)}"
    return next(iter(found.values()))


def one(template: Json, type: str, **properties: Any) -> Json:
    """The properties of the only resource of ``type`` (with these property values)."""
    return cast(Json, one_resource(template, type, **properties).get("Properties", {}))


def the_id(template: Json, type: str) -> str:
    """The logical id of the only resource of ``type``."""
    found = list(resources(template, type))
    assert len(found) == 1, found
    return found[0]


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


def needs(value: object) -> Iterator[str]:
    """What a part of a template refers to or depends on."""
    if isinstance(value, list):
        for each in value:
            yield from needs(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in ("Ref", "DependsOn"):
                yield from [each] if isinstance(each, str) else each
            elif key == "Fn::GetAtt":
                yield each[0] if isinstance(each, list) else each.split(".")[0]
            else:
                yield from needs(each)


def too_early(template: Json) -> dict[str, set[str]]:
    """Resources that are created before a policy of the role that they use, and the policies.

    AWS checks at creation whether a function may write traces, a mapping read its stream, and so on.
    """
    known = template["Resources"]
    direct = {id: set(needs(body)) & known.keys() for id, body in known.items()}
    policies: dict[str, set[str]] = {}
    for id, policy in resources(template, "AWS::IAM::Policy").items():
        for role in policy["Properties"].get("Roles", []):
            if "Ref" in role:
                policies.setdefault(role["Ref"], set()).add(id)
    early = {}
    for id, body in known.items():
        uses = direct[id]
        if body["Type"] == "AWS::Lambda::EventSourceMapping":  # by its function
            uses = uses | {one for function in uses for one in direct[function]}
        elif body["Type"] not in USES_A_ROLE:
            continue
        wanted = {policy for role in policies.keys() & uses for policy in policies[role]}
        missing = wanted - _all_before(id, direct)
        if missing:
            early[id] = missing
    return early


USES_A_ROLE = (
    "AWS::IoT::TopicRule",
    "AWS::KinesisFirehose::DeliveryStream",
    "AWS::Lambda::Function",
)


def _all_before(id: str, direct: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    queue = [id]
    while queue:
        new = direct[queue.pop()] - found
        found |= new
        queue += new
    return found


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
NAMED_TYPES = frozenset(_NAMES)


def physical_names(template: Json) -> dict[str, str]:
    """The physical name of each resource that has one, by logical id."""
    names = {}
    for logical_id, resource in template["Resources"].items():
        value = resource.get("Properties", {})
        for key in _NAMES.get(resource["Type"], "none").split("."):
            value = value.get(key, {})
        if value:
            names[logical_id] = plain(value)
    return names


def as_list(value: Any) -> list[Any]:
    """IAM writes a list of one as its only element."""
    return value if isinstance(value, list) else [value]


def permissions(template: Json, role: Json) -> set[tuple[str, str]]:
    """Every (action, resource) that inline policies allow a role, which is given as a reference to its ARN."""
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


def warnings_of(scope: cdk.Stack) -> list[str]:
    """The warnings in a stack. Synthesizes the whole app."""
    any_value = assertions.Match.any_value()
    found = assertions.Annotations.from_stack(scope).find_warning("*", any_value)
    return [str(message.entry.data) for message in found]


def inline_code() -> lambda_.InlineCode:
    """A function that accepts everything: no asset, so nothing to stage."""
    return lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")


class WholePipeline:
    """Every construct of the library in one scope."""

    def __init__(self, scope: Construct, *, thresholds: AlarmThresholds | None = None) -> None:
        self.stream = MonitoredStream(scope, "Stream")
        self.time_series = TimeSeriesTable(scope, "TimeSeries")
        self.device_state = DeviceStateTable(scope, "DeviceState")
        self.processor = TelemetryProcessor(
            scope,
            "Processor",
            stream=self.stream,
            time_series_table=self.time_series,
            device_state_table=self.device_state,
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
            subscriptions=[EmailSubscription("ops@example.com")],
        )

    def watched(self) -> dict[str, Any]:
        """The names of what has alarms as they stand in the template, by the keys of ``e2e.alarm_data``."""
        queue = self.processor.dlq_queue
        assert queue is not None
        names = {
            "stream": self.stream.stream_name,
            "function": self.processor.function.function_name,
            "mapping": self.processor.event_source_mapping.event_source_mapping_id,
            "DLQ queue": queue.queue_name,
            "DLQ topic": self.processor.dlq_topic.topic_name,
            "time series table": self.time_series.table_name,
            "device state table": self.device_state.table_name,
            "rule": self.rule.rule_name,
            "delivery stream": self.archive.delivery_stream.delivery_stream_name,
        }
        return cast(dict[str, Any], cdk.Stack.of(self.alarms).resolve(names))


def recommended_flags() -> Json:
    """The feature flags that ``cdk init`` puts into a new app's cdk.json, as the installed CDK CLI has them."""
    name = Path("node_modules/aws-cdk/lib/init-templates/.recommended-feature-flags.json")
    candidates = [Path(sys.prefix) / "cdk" / name]
    cli = shutil.which("cdk")
    if cli is not None:  # .../node_modules/aws-cdk/bin/cdk behind a link
        candidates += [parent / name for parent in Path(cli).resolve().parents]
    for candidate in candidates:
        if candidate.is_file():
            return cast(Json, json.loads(candidate.read_text(encoding="utf-8")))
    raise FileNotFoundError(f"no CDK CLI: looked for {candidates[0]} and beside {cli}")
