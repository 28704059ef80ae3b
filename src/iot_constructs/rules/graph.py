"""Resolves values of templates: intrinsic functions, nested stacks, exports and physical names.

A value that is known only at deployment is `UNKNOWN`, and no rule reports an unknown value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

from iot_constructs.rules.names import NAME_PROPERTIES
from iot_constructs.rules.reader import mapping
from iot_constructs.rules.template import Resource, Template, text_of
from iot_constructs.rules.transforms import ONE_OF


class Unknown(Enum):
    """The type of `UNKNOWN`, a value that is known only at deployment."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN

Target = Resource | Unknown | None
"""What a value refers to; None if it is not a resource of this app."""


@dataclass(frozen=True)
class Reference:
    """An attribute of a resource of the app: ``Ref``, ``Arn``, ``QueueName`` ..."""

    resource: Resource
    attribute: str


Part = str | Reference | Unknown
Parts = tuple[Part, ...]

# Resource types whose attributes come from code or another stack.
_OPAQUE: Final = (
    "Custom::",
    "AWS::CloudFormation::",
    "AWS::SSM::",
    "AWS::SecretsManager::",
    "AWS::Serverless::Application",
)
_DEEPEST: Final = 20  # maximum depth of references; deeper ones are circular
# Values evaluated for one property: nested stacks can refer to each other in 2^n ways.
_MOST: Final = 20_000
# The name in an ARN, after service, region and account.
_ARN = re.compile(
    r"arn:[^:]*:[^:]*:[^:]*:[^:]*:(?:(?:stream|table|deliverystream|function|key|alarm)[/:])?(alias/.+|[^:/]+)(?:[:/].*)?"
)
# Service in an ARN -> namespace of its resource types: a topic and a queue can have the same name.
_SERVICES: Final[Mapping[str, str]] = {
    "cloudwatch": "AWS::CloudWatch::",
    "dynamodb": "AWS::DynamoDB::",
    "firehose": "AWS::KinesisFirehose::",
    "kinesis": "AWS::Kinesis::",
    "kms": "AWS::KMS::",
    "lambda": "AWS::Lambda::",
    "s3": "AWS::S3::",
    "sns": "AWS::SNS::",
    "sqs": "AWS::SQS::",
}
_QUEUE_URL = re.compile(r"https://sqs\.[^/]+/[^/]+/([^/]+)")
_SUB = re.compile(r"\$\{([^}]*)\}")


class Graph:
    """All templates of an app, with an index of their resources."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self.stacks: tuple[Template, ...] = tuple(templates)
        self.templates: tuple[Template, ...] = tuple(
            each for template in templates for each in template.walk()
        )
        self._stacks: dict[str, list[Template]] = {}
        for template in self.stacks:
            if template.stack is not None:
                self._stacks.setdefault(template.stack.name, []).append(template)
        self._by_type: dict[str, list[Resource]] = {}
        for template in self.templates:
            for resource in template.resources.values():
                self._by_type.setdefault(resource.type, []).append(resource)
        self._evaluated = 0
        # The template and the value of each export, by name.
        self._exports: dict[str, list[tuple[Template, Any]]] = {}
        self._add_exports()

    def of_type(self, *types: str) -> list[Resource]:
        """Return all resources of these types."""
        return [resource for type in types for resource in self._by_type.get(type, ())]

    # -- text ----------------------------------------------------------------------------------------------------

    def parts(self, value: Any, template: Template, depth: int = 0) -> Parts:
        """Return ``value`` as a sequence of text and references; adjacent texts are joined.

        Account, Region, partition and URL suffix are represented as ``<AccountId>`` and so on: names cannot contain
        these characters, and an ARN can be split at its colons.
        """
        self._evaluated = 0 if depth == 0 else self._evaluated + 1
        if depth > _DEEPEST or self._evaluated > _MOST:
            return (UNKNOWN,)
        return _joined(self._parts(value, template, depth + 1))

    def text(self, value: Any, template: Template) -> str | None:
        """Return ``value`` if it is only text, with the account and Region of the manifest."""
        return _text(self.parts(value, template), template)

    def flag(self, value: Any, template: Template) -> bool | Unknown:
        """Return ``value`` as a boolean; None is False."""
        if value is None or isinstance(value, bool):
            return bool(value)
        text = self.text(value, template)
        return UNKNOWN if text is None else text.lower() == "true"

    def none_true(self, values: Iterable[Any], template: Template) -> bool:
        """Return whether no possible value of a boolean property is true, or can be."""
        return all(self.flag(value, template) is False for value in values)

    def number(self, value: Any, template: Template) -> float | Unknown:
        """Return ``value`` as a number."""
        text = self.text(value, template)
        try:
            return UNKNOWN if text is None else float(text)
        except ValueError:
            return UNKNOWN

    # -- structure -----------------------------------------------------------------------------------------------

    def branches(self, value: Any) -> Iterator[Any]:
        """Return all possible values: both branches of each Fn::If, and None for AWS::NoValue."""
        pending = [value]
        while pending:  # not recursive: CloudFormation does not limit the nesting of Fn::If
            current = pending.pop()
            alternatives = _alternatives(current)
            if alternatives is not None:
                pending.extend(reversed(alternatives))
            elif _function(current) == "Ref" and current["Ref"] == "AWS::NoValue":
                yield None
            else:
                yield current

    def items(self, value: Any) -> list[Any]:
        """Return all possible items of the list ``value``; a single value is a list of one, as in IAM policies."""
        found = []
        for branch in self.branches(value):
            for item in branch if isinstance(branch, list) else [branch]:
                found += [each for each in self.branches(item) if each is not None]
        return found

    def at(self, value: Any, *path: str) -> list[Any]:
        """Return all possible values at ``path`` in ``value``.

        None if it is not set; UNKNOWN if a function other than Fn::If returns it.
        """
        found = list(self.branches(value))
        for step in path:
            found = [below for each in found for below in self.branches(_below(each, step))]
        return found

    # -- resources -----------------------------------------------------------------------------------------------

    def target(self, value: Any, template: Template, *types: str) -> Target:
        """Return the resource of ``value``, a reference, ARN, queue URL or physical name.

        Args:
            value: the value in the template.
            template: the template that contains it.
            types: the resource types of a physical name.

        Returns:
            None if it is not a resource of this app.
        """
        if value is None:
            return None
        parts = self.parts(value, template)
        references = [part.resource for part in parts if isinstance(part, Reference)]
        if UNKNOWN in parts or len(references) > 1:
            return self._named_alike(value, template, types)
        text = _text(parts, template)
        if text is None:
            return UNKNOWN if references[0].type.startswith(_OPAQUE) else references[0]
        if text.startswith("arn:"):
            namespace = _SERVICES.get(text.split(":")[2]) if text.count(":") > 1 else None
            types = tuple(it for it in types if namespace and it.startswith(namespace))
        return self._named(physical_name_in(text), template, types)

    def possible_names(self, resource: Resource) -> list[Parts | None]:
        """Return the physical name of ``resource`` in each branch; None if CloudFormation generates it."""
        return [
            None if value is None else self.parts(value, resource.template)
            for value in self.branches(_name(resource))
        ]

    def name_parts(self, resource: Resource, depth: int = 0) -> Parts | None:
        """Return the physical name of ``resource``; None if CloudFormation generates it."""
        value = _name(resource)
        if list(self.branches(value)) == [None]:
            return None
        return self.parts(value, resource.template, depth)

    def _named_alike(
        self, value: Any, template: Template, types: tuple[str, ...]
    ) -> Resource | Unknown:
        """Return the resource whose name is the same expression: only the deployment knows both, but they are equal."""
        alike = self._expressions.get((template, text_of(value)), ())
        found = [it for it in alike if it.type in types and _name(it) == value]
        return found[0] if len(found) == 1 else UNKNOWN

    def _named(self, name: str, template: Template, types: tuple[str, ...]) -> Target:
        found = [it for it in self._names.get(name, ()) if it.type in types]
        return _nearest(found, [it.template for it in found], template)

    @cached_property
    def _names(self) -> dict[str, list[Resource]]:
        """The resources by physical name."""
        found: dict[str, list[Resource]] = {}
        for resource in self.of_type(*NAME_PROPERTIES):
            text = _text(self.name_parts(resource) or (UNKNOWN,), resource.template)
            if text is not None:
                found.setdefault(text, []).append(resource)
        return found

    @cached_property
    def _expressions(self) -> dict[tuple[Template, str], list[Resource]]:
        """The resources by the function that returns their physical name, as JSON."""
        found: dict[tuple[Template, str], list[Resource]] = {}
        for resource in self.of_type(*NAME_PROPERTIES):
            if is_function(name := _name(resource)):
                found.setdefault((resource.template, text_of(name)), []).append(resource)
        return found

    def _add_exports(self) -> None:
        # Not lazily: the name of an export can be an import.
        for exporter in self.templates:
            for output in mapping(exporter.body.get("Outputs")).values():
                name = mapping(mapping(output).get("Export")).get("Name")
                text = self.text(name, exporter) if name is not None else None
                if text is not None:
                    value = mapping(output).get("Value")
                    self._exports.setdefault(text, []).append((exporter, value))

    # -- intrinsic functions -------------------------------------------------------------------------------------

    def _parts(self, value: Any, template: Template, depth: int) -> Parts:
        if isinstance(value, bool):
            return ("true" if value else "false",)
        if isinstance(value, (str, int, float)):
            text = str(value)
            return (UNKNOWN,) if "{{resolve:" in text else (text,)
        function = _function(value)
        argument = value[function] if function else None
        if function == "Ref":
            return self._ref(argument, template, depth)
        if function == "Fn::GetAtt":
            return self._get_att(argument, template, depth)
        if function == "Fn::Join":
            return self._join(argument, template, depth)
        if function == "Fn::Sub":
            return self._sub(argument, template, depth)
        if function in ("Fn::If", ONE_OF):
            found = {self.parts(branch, template, depth) for branch in self.branches(value)}
            return found.pop() if len(found) == 1 else (UNKNOWN,)
        if function == "Fn::Length" and isinstance(argument, list):
            return (str(len(argument)),)
        if function == "Fn::Select":
            return self._select(argument, template, depth)
        if function == "Fn::ImportValue":
            return self._import(argument, template, depth)
        if function == "Fn::GetStackOutput":
            return self._stack_output(argument, template, depth)
        return (UNKNOWN,)

    def _ref(self, name: Any, template: Template, depth: int) -> Parts:
        if not isinstance(name, str):
            return (UNKNOWN,)
        if name in template.resources:
            return (Reference(template.resources[name], "Ref"),)
        if name == "AWS::StackName":
            known = template.stack
            return (known.name,) if known is not None else (UNKNOWN,)
        if name in ("AWS::AccountId", "AWS::Region", "AWS::Partition", "AWS::URLSuffix"):
            return (f"<{name.removeprefix('AWS::')}>",)
        if template.parent is not None:
            given = template.parent.properties.get("Parameters")
            if isinstance(given, Mapping) and name in given:
                return self.parts(given[name], template.parent.template, depth)
        return (UNKNOWN,)

    def _get_att(self, argument: Any, template: Template, depth: int) -> Parts:
        path = argument.split(".") if isinstance(argument, str) else argument
        if not isinstance(path, list) or not path or not all(isinstance(it, str) for it in path):
            return (UNKNOWN,)
        logical_id, attribute = path[0], ".".join(path[1:])
        resource = template.resources.get(logical_id)
        if resource is None:
            return (UNKNOWN,)
        if resource.type == "AWS::CloudFormation::Stack":
            nested = template.nested.get(logical_id)
            output = attribute.removeprefix("Outputs.")
            return (UNKNOWN,) if nested is None else self._output(nested, output, depth)
        return (Reference(resource, attribute),)

    def _output(self, template: Template, name: str, depth: int) -> Parts:
        output = mapping(template.body.get("Outputs")).get(name)
        if not isinstance(output, Mapping) or "Value" not in output:
            return (UNKNOWN,)
        return self.parts(output["Value"], template, depth)

    def _join(self, argument: Any, template: Template, depth: int) -> Parts:
        pair = _pair(argument)
        if pair is None:
            return (UNKNOWN,)
        delimiter, values = pair
        if not isinstance(values, list):
            # The list of a nested Fn::Split.
            return (UNKNOWN,)
        found: list[Part] = []
        for index, value in enumerate(values):
            found += [str(delimiter)] if index else []
            found += self.parts(value, template, depth)
        return tuple(found)

    def _sub(self, argument: Any, template: Template, depth: int) -> Parts:
        text, variables = _pair(argument) or (argument, {})
        if not isinstance(text, str) or not isinstance(variables, Mapping):
            return (UNKNOWN,)
        found: list[Part] = []
        end = 0
        for match in _SUB.finditer(text):
            found.append(text[end : match.start()])
            end = match.end()
            name = match.group(1).strip()
            if name.startswith("!"):
                found.append("${" + name[1:] + "}")
            elif name in variables:
                found += self.parts(variables[name], template, depth)
            elif "." in name:
                found += self._get_att(name, template, depth)
            else:
                found += self._ref(name, template, depth)
        return (*found, text[end:])

    def _select(self, argument: Any, template: Template, depth: int) -> Parts:
        pair = _pair(argument)
        if pair is None or re.fullmatch("[0-9]{1,5}", str(pair[0])) is None:
            return (UNKNOWN,)
        at, values = int(pair[0]), pair[1]
        if isinstance(values, list):
            return self.parts(values[at], template, depth) if at < len(values) else (UNKNOWN,)
        if _function(values) != "Fn::Split":
            return (UNKNOWN,)
        split = _pair(values["Fn::Split"])
        if split is None or not split[0]:
            return (UNKNOWN,)
        parts = self.parts(split[1], template, depth)
        if len(parts) == 1 and isinstance(parts[0], Reference):
            return parts  # a part of the ARN still identifies the resource
        if not all(isinstance(part, str) for part in parts):
            return (UNKNOWN,)
        pieces = "".join(map(str, parts)).split(str(split[0]))
        return (pieces[at],) if at < len(pieces) else (UNKNOWN,)

    def _import(self, argument: Any, template: Template, depth: int) -> Parts:
        text = _text(self.parts(argument, template, depth), template)
        found = self._exports.get(text, []) if text is not None else []
        chosen = _nearest(found, [exporter for exporter, _ in found], template)
        if isinstance(chosen, tuple):
            return self.parts(chosen[1], chosen[0], depth)
        return (UNKNOWN,)

    def _stack_output(self, argument: Any, template: Template, depth: int) -> Parts:
        """Resolve a weak cross-stack reference of CDK."""
        argument = mapping(argument)
        stack_name, output = argument.get("StackName"), argument.get("OutputName")
        producers = self._stacks.get(stack_name, ()) if isinstance(stack_name, str) else ()
        chosen = _nearest(producers, producers, template)
        if isinstance(chosen, Template) and isinstance(output, str):
            return self._output(chosen, output, depth)
        return (UNKNOWN,)


def physical_name_in(text: str) -> str:
    """Return the name in an ARN or a queue URL; other text is the name itself."""
    found = _ARN.fullmatch(text) or _QUEUE_URL.fullmatch(text)
    return found.group(1) if found else text


def _name(resource: Resource) -> Any:
    """Return the physical name as in the template."""
    value: Any = resource.properties
    for step in NAME_PROPERTIES.get(resource.type, "").split("/"):
        value = _below(value, step)
    return value


def _below(value: Any, step: str) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping) and _function(value) is None:
        return value.get(step)
    return UNKNOWN


def _nearest(
    found: Sequence[Any], templates: Sequence[Template], template: Template
) -> Any | Unknown | None:
    """Return the candidate nearest to ``template``: two stages can have resources of the same name."""
    same_stack = [it for it, at in zip(found, templates, strict=True) if at.root is template.root]
    folder = template.path.parent
    same_stage = [it for it, at in zip(found, templates, strict=True) if at.path.parent == folder]
    for candidates in (same_stack, same_stage, found):
        if candidates:
            return candidates[0] if len(candidates) == 1 else UNKNOWN
    return None


def is_function(value: Any) -> bool:
    """Return whether ``value`` is an intrinsic function."""
    return _function(value) is not None


def _alternatives(value: Any) -> Sequence[Any] | None:
    """Return the two branches of an Fn::If, or the values of a mapping; None if ``value`` is neither."""
    function = _function(value)
    argument = value[function] if function in ("Fn::If", ONE_OF) else None
    if function == "Fn::If" and isinstance(argument, list):
        return _pair(argument[1:])
    return argument if function == ONE_OF and argument and isinstance(argument, list) else None


def _pair(argument: Any) -> tuple[Any, Any] | None:
    """Return the two arguments of a function; None if there are not two."""
    if isinstance(argument, list) and len(argument) == 2:  # noqa: PLR2004 - a pair
        return argument[0], argument[1]
    return None


def _function(value: Any) -> str | None:
    if isinstance(value, Mapping) and len(value) == 1:
        name = next(iter(value))
        if name == "Ref" or str(name).startswith("Fn::"):
            return str(name)
    return None


def _joined(parts: Parts) -> Parts:
    found: list[Part] = []
    for part in parts:
        if part == "":
            continue
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return tuple(found)


def _text(parts: Parts, template: Template) -> str | None:
    """Return ``parts`` if they are only text, with account and Region if the stack has them."""
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        return None
    text = "".join(texts)
    stack = template.root.stack
    if stack is None or "<" not in text:
        return text
    if stack.account is not None:
        text = text.replace("<AccountId>", stack.account)
    if stack.region is not None:
        text = text.replace("<Region>", stack.region)
    return text
