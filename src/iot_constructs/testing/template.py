"""Reads the function, its event source mapping, and what it writes to from a CloudFormation template.

References are resolved to the names that the simulation gives: a resource without a name in the template has its
logical ID. What ``Ref`` returns is in the resource's page of the template reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from iot_constructs.testing.aws_calls import ACCOUNT, REGION

_NAMES = {
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "table/"),
    "AWS::DynamoDB::GlobalTable": ("TableName", "dynamodb", "table/"),
    "AWS::SQS::Queue": ("QueueName", "sqs", ""),
    "AWS::SNS::Topic": ("TopicName", "sns", ""),
    "AWS::S3::Bucket": ("BucketName", "s3", ""),
}
"""Resource type -> the property with its name, and its ARN's service and prefix."""

_PSEUDO_PARAMETERS = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}


class CdkTemplate(Protocol):
    """`aws_cdk.assertions.Template`."""

    def to_json(self) -> Mapping[str, Any]:
        """Return the template."""


@dataclass(frozen=True)
class Deployed:
    """What a template says about a function."""

    mapping: Mapping[str, Any] = field(default_factory=dict)
    """The properties of its event source mapping."""
    timeout: float = 3.0
    """In seconds. Lambda's default is 3 (AWS::Lambda::Function, Timeout)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    queues: Sequence[str] = ()
    topics: Sequence[str] = ()
    buckets: Sequence[str] = ()


def read_template(
    template: Mapping[str, Any] | CdkTemplate | Path | str, handler: object
) -> Deployed:
    """Return the function with the Kinesis mapping, and the resources of the template.

    Args:
        template: a template, `aws_cdk.assertions.Template`, or the path of a JSON file.
        handler: selects the function by its handler, if several have a mapping.

    Raises:
        ValueError: there is no such function, or several.
    """
    document: Mapping[str, Any]
    if isinstance(template, (str, Path)):
        document = json.loads(Path(template).read_text(encoding="utf-8"))
    else:
        document = template if isinstance(template, Mapping) else template.to_json()
    return _Reader(document["Resources"]).read(handler)


class _Reader:
    def __init__(self, resources: Mapping[str, Mapping[str, Any]]) -> None:
        self._resources = resources

    def read(self, handler: object) -> Deployed:
        mapping, function = self._function(handler)
        variables = function.get("Environment", {}).get("Variables", {})
        return Deployed(
            {key: value for key, value in mapping.items() if key not in ("FunctionName", "Tags")},
            float(function.get("Timeout", Deployed.timeout)),
            {name: str(self._resolve(value)) for name, value in variables.items()},
            {
                self._name(id): self._key(resource["Properties"])
                for id, resource in self._of_service("dynamodb").items()
            },
            [self._name(id) for id in self._of_service("sqs")],
            [self._name(id) for id in self._of_service("sns")],
            [self._name(id) for id in self._of_service("s3")],
        )

    def _function(self, handler: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        found = [
            (mapping, self._resources[id].get("Properties", {}))
            for each in self._resources.values()
            if each["Type"] == "AWS::Lambda::EventSourceMapping"
            and "StartingPosition" in (mapping := each["Properties"])
            and (id := _logical_id(mapping["FunctionName"])) in self._resources
        ]
        if len(found) > 1:
            found = [each for each in found if each[1].get("Handler") == handler]
        if len(found) != 1:
            raise ValueError(
                f"template: {len(found)} functions with the handler {handler!r} and a mapping of a stream"
            )
        return found[0]

    def _of_service(self, service: str) -> dict[str, Mapping[str, Any]]:
        return {
            id: each
            for id, each in self._resources.items()
            if _NAMES.get(each["Type"], ("", ""))[1] == service
        }

    def _name(self, id: str) -> str:
        resource = self._resources[id]
        given = resource.get("Properties", {}).get(_NAMES[resource["Type"]][0])
        name = id if given is None else str(self._resolve(given))
        return name.lower() if resource["Type"] == "AWS::S3::Bucket" else name

    @staticmethod
    def _key(properties: Mapping[str, Any]) -> list[str]:
        types = {
            each["AttributeName"]: each["AttributeType"]
            for each in properties["AttributeDefinitions"]
        }
        # HASH is before RANGE (AWS::DynamoDB::Table, KeySchema).
        names = [each["AttributeName"] for each in properties["KeySchema"]]
        return [f"{name}:{types[name]}" for name in names]

    def _resolve(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if "Ref" in value:
            return self._ref(value["Ref"])
        if "Fn::GetAtt" in value:
            return self._attribute(*value["Fn::GetAtt"])
        if "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return separator.join(str(self._resolve(part)) for part in parts)
        return "unresolved"

    def _ref(self, id: str) -> str:
        type = self._resources.get(id, {}).get("Type")
        if type not in _NAMES:
            return _PSEUDO_PARAMETERS.get(id, id)
        if type == "AWS::SNS::Topic":
            return self._attribute(id, "Arn")
        if type == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{self._name(id)}"
        return self._name(id)

    def _attribute(self, id: str, attribute: str) -> str:
        type = self._resources.get(id, {}).get("Type")
        if type not in _NAMES:
            return f"{id}.{attribute}"
        if not attribute.endswith("Arn"):
            return self._name(id)
        _, service, prefix = _NAMES[type]
        place = "::" if service == "s3" else f"{REGION}:{ACCOUNT}:"
        return f"arn:aws:{service}:{place}{prefix}{self._name(id)}"


def _logical_id(reference: Any) -> str:
    """Return the logical ID in a reference to a function."""
    if isinstance(reference, Mapping):
        return str(reference.get("Ref") or reference.get("Fn::GetAtt", [""])[0])
    return str(reference)
