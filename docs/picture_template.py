"""What the template of examples/iot_pipeline is made of: its resources, and which of them hands what to which.

Logical ids are shown without the hash at their end.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import aws_cdk as cdk
from aws_cdk import assertions

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs._warnings import NO_SUBSCRIPTION

Json = Mapping[str, Any]

ALARMS = "every alarm"
"""Stands for all metric alarms."""
DEVICES = "devices"
"""Not in the template: they are outside, and what the rule's SQL selects comes from them."""

_EXAMPLE = Path(__file__).parent.parent / "examples" / "iot_pipeline"
_HASH = re.compile(r"[0-9A-F]{8}$")
# The condition of a Metrics Insights query.
_CONDITION = re.compile(r"WHERE (\w+) = '([^']+)'")
# Of what a role may do, that which moves data.
_MOVES = re.compile(
    r"kinesis:(PutRecords?|GetRecords)|sns:Publish|sqs:SendMessage|s3:PutObject"
    r"|dynamodb:(PutItem|UpdateItem|DeleteItem|BatchWriteItem|PartiQL(?:Insert|Update|Delete))"
)


class Example(NamedTuple):
    """The example, synthesized."""

    template: Json
    constructs: Mapping[str, str]
    """The class of each construct of this library in the stack, by id."""


class Edge(NamedTuple):
    """Something goes from one resource to another, by way of a property of the template."""

    source: str
    target: str
    by: str


@dataclass(frozen=True)
class Parts:
    """What a picture can show."""

    resources: Mapping[str, Json]
    """Whole resources by logical id without the hash."""
    edges: frozenset[Edge]
    alarms_of: Mapping[str, int]
    """How many alarms watch a resource."""
    constructs: Mapping[str, str]
    """The class of the construct that made a resource, where it is one of the library's."""

    def of_type(self, type_: str) -> dict[str, Json]:
        """The properties of the resources of a type."""
        return {
            name: each.get("Properties", {})
            for name, each in self.resources.items()
            if each["Type"] == type_
        }


@cache
def example() -> Example:
    """The example as CloudFormation gets it, for the environment ``dev``."""
    settings = json.loads((_EXAMPLE / "cdk.json").read_text(encoding="utf-8"))["context"]
    with tempfile.TemporaryDirectory(prefix="iot-pictures-") as directory:
        app = cdk.App(
            outdir=directory,
            analytics_reporting=False,
            builtin_cloud_formation_validation=False,
            context={**settings, "aws:cdk:disable-asset-staging": True},
        )
        stack = IotPipelineStack(app, "IotPipeline", environment_suffix="dev")
        cdk.Annotations.of(stack).acknowledge_warning(NO_SUBSCRIPTION)  # a picture alarms nobody
        template: Json = assertions.Template.from_stack(stack).to_json()
    ours = (each for each in stack.node.children if type(each).__module__.startswith("iot_"))
    return Example(template, {each.node.id: type(each).__name__ for each in ours})


def short(logical_id: str) -> str:
    """A logical id without the hash."""
    return _HASH.sub("", logical_id)


def physical_name(value: Any) -> str:
    """A name of the template, with an ellipsis for account and region."""
    if isinstance(value, str):
        return value
    pieces = [each if isinstance(each, str) else "…" for each in value["Fn::Join"][1]]
    return "".join(pieces).replace("…-…", "…")


def read_parts(made: Example) -> Parts:
    """Resources and edges.

    Raises:
        ValueError: something is connected that its role may not use, or an alarm watches nothing of the template.
    """
    resources = {short(name): each for name, each in made.template["Resources"].items()}
    if len(resources) != len(made.template["Resources"]):
        raise ValueError("two resources have the same logical id but for the hash")
    constructs = {
        name: class_
        for id_, class_ in sorted(made.constructs.items(), key=lambda each: len(each[0]))
        for name in resources
        if name.startswith(id_)  # that of the longest id wins
    }
    parts = Parts(resources, frozenset(), {}, constructs)
    edges = frozenset(
        [*_rule_edges(parts), *_function_edges(parts), *_archive_edges(parts), *_alarm_edges(parts)]
    )
    return Parts(resources, edges, Counter(_watched(parts)), constructs)


def referred(value: Any) -> list[str]:
    """The logical ids to which a value refers."""
    if isinstance(value, dict):
        if "Ref" in value:
            return [] if "::" in value["Ref"] else [short(value["Ref"])]
        if "Fn::GetAtt" in value:
            return [short(value["Fn::GetAtt"][0])]
        return [each for part in value.values() for each in referred(part)]
    if isinstance(value, list):
        return [each for part in value for each in referred(part)]
    return []


def _one(value: Any) -> str:
    found = referred(value)
    if len(found) != 1:
        raise ValueError(f"not the name of one resource: {value}")
    return found[0]


def _rule_edges(parts: Parts) -> Iterator[Edge]:
    for rule, properties in parts.of_type("AWS::IoT::TopicRule").items():
        payload = properties["TopicRulePayload"]
        yield Edge(DEVICES, rule, "SQL")
        for action in payload["Actions"]:
            yield from _rule_action(parts, rule, action, "action")
        if "ErrorAction" in payload:
            yield from _rule_action(parts, rule, payload["ErrorAction"], "error action")


def _rule_action(parts: Parts, rule: str, action: Json, by: str) -> Iterator[Edge]:
    ((_, settings),) = action.items()
    (target,) = referred({key: value for key, value in settings.items() if key != "RoleArn"})
    _may(parts, _one(settings["RoleArn"]), target, rule)
    yield Edge(rule, target, by)


def _function_edges(parts: Parts) -> Iterator[Edge]:
    read_by_mapping: dict[str, set[str]] = {}
    for mapping, properties in parts.of_type("AWS::Lambda::EventSourceMapping").items():
        source, function = _one(properties["EventSourceArn"]), _one(properties["FunctionName"])
        read_by_mapping.setdefault(function, set()).add(source)
        yield Edge(source, mapping, "mapping")
        yield Edge(mapping, function, "mapping")
        yield from _on_failure(parts, mapping, function, properties)
    for properties in parts.of_type("AWS::Lambda::EventInvokeConfig").values():
        function = _one(properties["FunctionName"])
        yield from _on_failure(parts, function, function, properties)
    for function, properties in parts.of_type("AWS::Lambda::Function").items():
        grants = _grants(parts, _one(properties["Role"]))
        for target in grants.keys() - read_by_mapping.get(function, set()):
            yield Edge(function, target, "grant")


def _on_failure(parts: Parts, source: str, function: str, properties: Json) -> Iterator[Edge]:
    failure = properties.get("DestinationConfig", {}).get("OnFailure")
    if failure is not None:
        target = _one(failure["Destination"])
        _may(parts, _one(parts.resources[function]["Properties"]["Role"]), target, source)
        yield Edge(source, target, "on failure")


def _archive_edges(parts: Parts) -> Iterator[Edge]:
    for archive, properties in parts.of_type("AWS::KinesisFirehose::DeliveryStream").items():
        source = properties["KinesisStreamSourceConfiguration"]
        target = properties["ExtendedS3DestinationConfiguration"]
        stream, bucket = _one(source["KinesisStreamARN"]), _one(target["BucketARN"])
        _may(parts, _one(source["RoleARN"]), stream, archive)
        _may(parts, _one(target["RoleARN"]), bucket, archive)
        yield Edge(stream, archive, "delivery")
        yield Edge(archive, bucket, "delivery")
    for bucket, properties in parts.of_type("AWS::S3::Bucket").items():
        if "LoggingConfiguration" in properties:
            target = properties["LoggingConfiguration"]["DestinationBucketName"]
            yield Edge(bucket, _one(target), "access logs")
    for properties in parts.of_type("AWS::SNS::Subscription").values():
        yield Edge(_one(properties["TopicArn"]), _one(properties["Endpoint"]), "subscription")


def _alarm_edges(parts: Parts) -> Iterator[Edge]:
    """Of the metric alarms only what they all have: an alarm without an action takes the edge away."""
    alarms = parts.of_type("AWS::CloudWatch::Alarm")
    actions = [set(referred(each.get("AlarmActions", []))) for each in alarms.values()]
    for target in set.intersection(*actions) if actions else ():
        yield Edge(ALARMS, target, "alarm action")
    for composite, properties in parts.of_type("AWS::CloudWatch::CompositeAlarm").items():
        if set(alarms) <= set(referred(properties["AlarmRule"])):
            yield Edge(ALARMS, composite, "alarm rule")
        for target in referred(properties.get("AlarmActions", [])):
            yield Edge(composite, target, "alarm action")
    for dashboard, properties in parts.of_type("AWS::CloudWatch::Dashboard").items():
        if set(alarms) <= set(referred(properties["DashboardBody"])):
            yield Edge(ALARMS, dashboard, "dashboard body")


def _watched(parts: Parts) -> Iterator[str]:
    """The resource that each alarm's dimensions name, by a reference or by its physical name.

    Where metric math puts metrics of several together, it is the one with most of them.
    """
    for alarm, properties in parts.of_type("AWS::CloudWatch::Alarm").items():
        found = Counter(
            each
            for name, value in _dimensions(properties)
            for each in referred(value) or _named(parts, name, value)
        ).most_common()
        if not found or [count for _, count in found].count(found[0][1]) > 1:
            watched = sorted(each for each, _ in found)
            raise ValueError(f"{alarm} watches {watched or 'nothing of the template'}")
        yield found[0][0]


def _dimensions(alarm: Json) -> Iterator[tuple[str, Any]]:
    for query in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
        if "MetricStat" in query:
            metric = query["MetricStat"]["Metric"]
            yield from ((each["Name"], each["Value"]) for each in metric["Dimensions"])
        else:
            yield from _CONDITION.findall(query["Expression"])


def _named(parts: Parts, property_: str, value: str) -> Iterable[str]:
    return (
        name
        for name, each in parts.resources.items()
        if each.get("Properties", {}).get(property_) == value
    )


def _may(parts: Parts, role: str, target: str, user: str) -> None:
    if target not in _grants(parts, role):
        raise ValueError(f"{user} is connected with {target}, but {role} may not use it")


def _grants(parts: Parts, role: str) -> dict[str, set[str]]:
    """The resources whose data a role may move, and how."""
    grants: dict[str, set[str]] = {}
    for properties in parts.of_type("AWS::IAM::Policy").values():
        if role not in referred(properties["Roles"]):
            continue
        for statement in properties["PolicyDocument"]["Statement"]:
            actions = statement["Action"]
            names = [actions] if isinstance(actions, str) else actions
            moves = {name for name in names if _MOVES.fullmatch(name)}
            if moves and statement["Effect"] == "Allow":
                for target in referred(statement["Resource"]):
                    grants.setdefault(target, set()).update(moves)
    return grants
