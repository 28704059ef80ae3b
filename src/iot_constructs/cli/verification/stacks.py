"""Reads deployed stacks: their templates with the references resolved, and the physical ids of their resources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

NESTED_STACK = "AWS::CloudFormation::Stack"
_NAMES = {"Arn", "Id", "QueueName", "QueueUrl", "TopicArn", "TopicName"}
"""The attributes that end in the name of their resource."""


class Clients(Protocol):
    """Creates boto3 clients with the caller's credentials."""

    def create(self, service: str, endpoint_url: str | None = None) -> Any:
        """Return the client of a service, by default at its usual endpoint."""


class StackError(ValueError):
    """A stack cannot be read; the message says which one and why."""


class Unresolved:
    """A value that only CloudFormation knows."""


UNRESOLVED = Unresolved()


@dataclass(frozen=True)
class Reference:
    """A resource of the stacks, by the name in which its id, its ARN and its URL end."""

    name: str

    def matches(self, value: object) -> bool:
        """Return whether an id, an ARN or a URL belongs to the resource."""
        text = str(value).removesuffix(":*")  # DescribeLogGroups adds it to the ARN of a log group
        return re.split(r"[:/]", text)[-1] == self.name


@dataclass(frozen=True)
class Resource:
    """A resource of the template, as it was deployed."""

    type: str
    physical_id: str
    properties: Mapping[str, Any]
    """With `Reference` and `UNRESOLVED` in place of intrinsic functions."""

    @property
    def name(self) -> str:
        """The physical id, or the name in which an ARN or a URL ends."""
        is_name = not self.physical_id.startswith(("arn:", "http"))
        return self.physical_id if is_name else self.reference.name

    @property
    def reference(self) -> Reference:
        """The reference that other resources have to this one."""
        return Reference(re.split(r"[:/]", self.physical_id)[-1])


@dataclass(frozen=True)
class Stack:
    """A deployed stack."""

    name: str
    status: str
    termination_protection: bool
    resources: tuple[Resource, ...]


@dataclass(frozen=True)
class Deployed:
    """The deployed stacks of a pipeline."""

    stacks: tuple[Stack, ...]
    region: str

    def of(self, *types: str) -> list[Resource]:
        """Return the resources of some types."""
        return [each for stack in self.stacks for each in stack.resources if each.type in types]

    def find(self, value: object, *types: str) -> Resource | None:
        """Return the resource that a property refers to, or that has an ARN, if it is in the stacks."""
        for each in self.of(*types):
            if value == each.reference or (
                isinstance(value, str) and each.reference.matches(value)
            ):
                return each
        return None


@dataclass
class _Reader:
    client: Any
    region: str
    found: list[Stack] = field(default_factory=list)

    def read(self, name: str) -> None:
        """Read a stack and its nested stacks."""
        (stack,) = self.client.describe_stacks(StackName=name)["Stacks"]
        # CloudFormation returns a JSON template as an object, and a YAML template as a string.
        template = self.client.get_template(StackName=name)["TemplateBody"]
        if not isinstance(template, Mapping):
            raise StackError(
                f"the template of {name} is not JSON; verify reads stacks that the CDK deployed"
            )
        pages = self.client.get_paginator("list_stack_resources").paginate(StackName=name)
        physical = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
            if each.get("PhysicalResourceId") and each["ResourceStatus"] != "DELETE_COMPLETE"
        }
        resolve = _Resolver(physical, stack["StackId"], stack["StackName"], self).resolve
        resources = tuple(
            Resource(each["Type"], physical[logical_id], resolve(each.get("Properties", {})))
            for logical_id, each in template["Resources"].items()
            if logical_id in physical
        )
        protected = bool(stack.get("EnableTerminationProtection"))
        self.found.append(Stack(stack["StackName"], stack["StackStatus"], protected, resources))
        for nested in resources:
            if nested.type == NESTED_STACK:
                self.read(nested.physical_id)

    @cached_property
    def exports(self) -> Mapping[str, str]:
        """The exports of all stacks of the region, by which stacks refer to each other."""
        pages = self.client.get_paginator("list_exports").paginate()
        return {each["Name"]: each["Value"] for page in pages for each in page["Exports"]}


@dataclass(frozen=True)
class _Resolver:
    physical: Mapping[str, str]
    stack_id: str
    stack_name: str
    reader: _Reader

    def resolve(self, value: Any) -> Any:
        """Return a value of the template without intrinsic functions."""
        if isinstance(value, list):
            return [self.resolve(each) for each in value]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Fn::GetAtt":
                return self._reference(argument[0]) if argument[1] in _NAMES else UNRESOLVED
            if name == "Fn::Join":
                return self._join(*argument)
            if name == "Fn::ImportValue":
                return self._import(argument)
            if name.startswith("Fn::"):
                return UNRESOLVED
        return {key: self.resolve(each) for key, each in value.items()}

    def _ref(self, name: str) -> Any:
        _, partition, _, region, account, *_ = self.stack_id.split(":")
        pseudo = {
            "AWS::AccountId": account,
            "AWS::Partition": partition,
            "AWS::Region": region,
            "AWS::StackName": self.stack_name,
        }
        return pseudo[name] if name in pseudo else self._reference(name)

    def _reference(self, name: str) -> Reference | Unresolved:
        if name not in self.physical:
            return UNRESOLVED
        return Resource("", self.physical[name], {}).reference

    def _join(self, separator: str, parts: Iterable[Any]) -> Any:
        resolved = [self.resolve(part) for part in parts]
        if not all(isinstance(part, str) for part in resolved):
            return UNRESOLVED
        return separator.join(resolved)

    def _import(self, name: Any) -> Any:
        resolved = self.resolve(name)
        if not isinstance(resolved, str):
            return UNRESOLVED
        return self.reader.exports.get(resolved, UNRESOLVED)


def read_stacks(cloudformation: Any, names: Iterable[str]) -> Deployed:
    """Read stacks and their nested stacks.

    Raises:
        StackError: a template is not JSON.
        ClientError: a stack does not exist, or the caller may not read it.
    """
    reader = _Reader(cloudformation, cloudformation.meta.region_name)
    for name in names:
        reader.read(name)
    return Deployed(tuple(reader.found), reader.region)
