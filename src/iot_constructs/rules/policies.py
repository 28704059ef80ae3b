"""The statements of resource policies, as far as the rules use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from iot_constructs.rules.graph import (
    UNKNOWN,
    Graph,
    Reference,
    Unknown,
    is_function,
    physical_name_in,
)
from iot_constructs.rules.names import NAME_PROPERTIES
from iot_constructs.rules.pipeline import QUEUE, TOPIC
from iot_constructs.rules.template import Resource, Template

BUCKET: Final = "AWS::S3::Bucket"

# The policies of a resource type, with the property that names their resources.
_POLICIES: Final[Mapping[str, Mapping[str, str]]] = {
    BUCKET: {"AWS::S3::BucketPolicy": "Bucket"},
    TOPIC: {"AWS::SNS::TopicPolicy": "Topics", "AWS::SNS::TopicInlinePolicy": "TopicArn"},
    QUEUE: {"AWS::SQS::QueuePolicy": "Queues", "AWS::SQS::QueueInlinePolicy": "Queue"},
}

# Calls of AWS services on behalf of somebody, which always use TLS.
_CALLS_OF_AWS: Final = frozenset({"aws:principalisawsservice", "aws:viaawsservice"})


@dataclass(frozen=True)
class Statement:
    """A policy statement.

    Attributes:
        template: the template that contains it.
        effect: Allow or Deny; None if known only at deployment.
        any_principal: whether the principal is ``*``.
        services: the service principals.
        accounts: whether the principals include accounts, roles or users.
        actions: as in the template.
        resources: as in the template.
        conditions: operator -> key -> value.
        unknown: whether a relevant part is known only at deployment.
    """

    template: Template
    effect: str | None
    any_principal: bool
    services: frozenset[str]
    accounts: bool
    actions: frozenset[str]
    resources: tuple[Any, ...]
    conditions: Mapping[str, Any]
    unknown: bool

    def allows(self, action: str) -> bool:
        """Return whether it allows this action, or can allow it."""
        if self.unknown:
            return self.may_allow
        return self.effect == "Allow" and self.has(action)

    @property
    def may_allow(self) -> bool:
        """Whether the effect can be Allow."""
        return self.effect != "Deny"

    @property
    def may_deny(self) -> bool:
        """Whether the effect can be Deny."""
        return self.effect != "Allow"

    def has(self, action: str) -> bool:
        """Return whether ``action`` is one of its actions."""
        wanted = action.lower()
        return any(
            wanted == given.lower()
            or (given.endswith("*") and wanted.startswith(given[:-1].lower()))
            for given in self.actions
        )


class ResourcePolicies:
    """The policies of all resources of a type.

    A resource can have several; a policy can have several resources, and its resource can be known only at deployment.
    """

    def __init__(self, graph: Graph, type: str) -> None:
        self._graph = graph
        self._type = type
        self._statements: dict[Resource, list[Statement]] = {}
        # Of policies whose resource is unknown: by the resource that a statement names.
        self._elsewhere: dict[Resource | Unknown, list[Statement]] = {}
        for policy_type, property_name in _POLICIES[type].items():
            for policy in graph.of_type(policy_type):
                document = policy.properties.get("PolicyDocument")
                written = list(statements(graph, document, policy.template))
                for value in graph.items(policy.properties.get(property_name)):
                    target = graph.target(value, policy.template, type)
                    if isinstance(target, Resource):
                        self._statements.setdefault(target, []).extend(written)
                    for statement in written if target is UNKNOWN else ():
                        for named in self._named_in(statement):
                            self._elsewhere.setdefault(named, []).append(statement)

    def of(self, resource: Resource) -> list[Statement]:
        """Return the statements of the policies that certainly are those of ``resource``."""
        return self._statements.get(resource, [])

    def has_own(self, resource: Resource) -> bool:
        """Return whether a policy certainly is that of ``resource``."""
        return resource in self._statements

    def denials_of_plain_http(self, resource: Resource) -> list[Statement] | None:
        """Return the statements that deny everybody something without TLS; None if there can be more of them.

        Those of a policy whose resource is unknown are included: the statement itself names a resource.
        """
        elsewhere = (self._elsewhere.get(it, ()) for it in (resource, UNKNOWN))
        possible = [*self.of(resource), *chain.from_iterable(elsewhere)]
        if any(statement.unknown and statement.may_deny for statement in possible):
            return None
        return [
            statement
            for statement in possible
            if statement.effect == "Deny"
            and statement.any_principal
            and _requires_plain_http(self._graph, statement)
        ]

    def _named_in(self, statement: Statement) -> set[Resource | Unknown]:
        """Return the resources that ``statement`` refers to; UNKNOWN can be any."""
        found: set[Resource | Unknown] = {UNKNOWN} if statement.unknown else set()
        for value in statement.resources:
            parts = self._graph.parts(value, statement.template)
            named = {part.resource for part in parts if isinstance(part, Reference)}
            found |= named if named and UNKNOWN not in parts else {UNKNOWN}
        return found

    def covers(self, resource: Resource, value: Any, statement: Statement) -> bool:
        """Return whether ``value``, a resource in ``statement``, is or can be ``resource`` or something in it."""
        parts = self._graph.parts(value, statement.template)
        if UNKNOWN in parts:
            return True
        references = [part.resource for part in parts if isinstance(part, Reference)]
        if references:
            return resource in references
        name = physical_name_in(self._graph.text(value, statement.template) or "")
        if name.endswith("*"):
            own = resource.properties.get(NAME_PROPERTIES[self._type])
            own_name = self._graph.text(own, resource.template)
            return own_name is None or own_name.startswith(name[:-1])
        return self._graph.target(name, statement.template, self._type) is resource


def _requires_plain_http(graph: Graph, statement: Statement) -> bool:
    """Return whether the statement's only condition is, or can be, that aws:SecureTransport is false."""
    found = False
    for operator, tests in statement.conditions.items():
        for key, value in tests.items() if isinstance(tests, Mapping) else ():
            if key.lower() in _CALLS_OF_AWS:
                continue
            if key.lower() != "aws:securetransport" or not operator.startswith("Bool"):
                return False  # all conditions must be met: it denies fewer requests
            if all(graph.flag(it, statement.template) is True for it in graph.items(value)):
                return False
            found = True
    return found


def statements(graph: Graph, document: Any, template: Template) -> Iterator[Statement]:
    """Return all statements of a policy document, with an unknown one for each unknown part."""
    for branch in graph.branches(document):
        for written in graph.at(branch, "Statement"):
            for statement in graph.items(written):
                if isinstance(statement, Mapping) and "Effect" in statement:
                    yield _statement(graph, statement, template)
                else:
                    yield _unknown(template)


def _unknown(template: Template) -> Statement:
    nothing: frozenset[str] = frozenset()
    return Statement(template, None, False, nothing, False, nothing, (), {}, True)


def _statement(graph: Graph, statement: Mapping[str, Any], template: Template) -> Statement:
    effect = graph.text(statement["Effect"], template)
    principal = statement.get("Principal")
    any_principal = principal == "*"
    services: set[str] = set()
    accounts = False
    # The rules do not evaluate exclusions.
    unknown = any(key in statement for key in ("NotPrincipal", "NotAction", "NotResource"))
    unknown = unknown or effect not in ("Allow", "Deny") or is_function(principal)
    for kind, written in principal.items() if isinstance(principal, Mapping) else ():
        for one in graph.items(written):
            text = graph.text(one, template)
            if kind == "Service" and text is not None:
                services.add(text)
            elif text == "*":
                any_principal = True
            elif kind == "Service" or (
                effect != "Allow" and graph.parts(one, template) == (UNKNOWN,)
            ):
                unknown = True  # in a Deny, it can be any principal
            else:
                accounts = True
    actions = [graph.text(it, template) for it in graph.items(statement.get("Action"))]
    conditions = statement.get("Condition")
    found = conditions if isinstance(conditions, Mapping) else {}
    return Statement(
        template,
        effect,
        any_principal,
        frozenset(services),
        accounts,
        frozenset(it for it in actions if it is not None),
        tuple(graph.items(statement.get("Resource"))),
        found,
        unknown or None in actions or is_function(found) or any(map(is_function, found.values())),
    )
