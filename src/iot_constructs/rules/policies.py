"""The statements of a resource policy, as far as the rules use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iot_constructs.rules.graph import UNKNOWN, Graph, is_function
from iot_constructs.rules.template import Template


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
        return self.effect == "Allow" and self._has(action)

    @property
    def may_allow(self) -> bool:
        """Whether the effect can be Allow."""
        return self.effect != "Deny"

    @property
    def may_deny(self) -> bool:
        """Whether the effect can be Deny."""
        return self.effect != "Allow"

    def _has(self, action: str) -> bool:
        wanted = action.lower()
        return any(
            wanted == given.lower()
            or (given.endswith("*") and wanted.startswith(given[:-1].lower()))
            for given in self.actions
        )


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
