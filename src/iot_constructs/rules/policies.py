"""The statements of a resource policy, as far as the rules look at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iot_constructs.rules.references import UNKNOWN, App, is_function
from iot_constructs.rules.template import Template


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        template: where it stands.
        effect: Allow or Deny; None where only the deployment knows it.
        everybody: whether the principal is ``*``.
        services: the service principals.
        accounts: whether accounts, roles or users are principals too.
        actions: as they are written.
        resources: as they are written.
        conditions: operator -> key -> value.
        unknown: whether something that decides about it is known at deploy only.
    """

    template: Template
    effect: str | None
    everybody: bool
    services: frozenset[str]
    accounts: bool
    actions: frozenset[str]
    resources: tuple[Any, ...]
    conditions: Mapping[str, Any]
    unknown: bool

    def allows(self, action: str) -> bool:
        """Whether it allows this action, or may."""
        if self.unknown:
            return self.may_allow
        return self.effect == "Allow" and self._has(action)

    @property
    def may_allow(self) -> bool:
        """Whether it is no certain Deny."""
        return self.effect != "Deny"

    @property
    def may_deny(self) -> bool:
        """Whether it is no certain Allow."""
        return self.effect != "Allow"

    def _has(self, action: str) -> bool:
        wanted = action.lower()
        return any(
            wanted == given.lower()
            or (given.endswith("*") and wanted.startswith(given[:-1].lower()))
            for given in self.actions
        )


def statements(app: App, document: Any, template: Template) -> Iterator[Statement]:
    """Every statement of a policy document; one that is unknown where the document itself is."""
    for branch in app.branches(document):
        for written in app.at(branch, "Statement"):
            for statement in app.items(written):
                if isinstance(statement, Mapping) and "Effect" in statement:
                    yield _statement(app, statement, template)
                else:
                    yield _unknown(template)


def _unknown(template: Template) -> Statement:
    nothing: frozenset[str] = frozenset()
    return Statement(template, None, False, nothing, False, nothing, (), {}, True)


def _statement(app: App, statement: Mapping[str, Any], template: Template) -> Statement:
    effect = app.text(statement["Effect"], template)
    principal = statement.get("Principal")
    everybody = principal == "*"
    services: set[str] = set()
    accounts = False
    # The rest of the world, by exclusion: nothing that a rule here could judge.
    unknown = any(key in statement for key in ("NotPrincipal", "NotAction", "NotResource"))
    unknown = unknown or effect not in ("Allow", "Deny") or is_function(principal)
    for kind, written in principal.items() if isinstance(principal, Mapping) else ():
        for one in app.items(written):
            text = app.text(one, template)
            if kind == "Service" and text is not None:
                services.add(text)
            elif text == "*":
                everybody = True
            elif kind == "Service" or (
                effect != "Allow" and app.parts(one, template) == (UNKNOWN,)
            ):
                unknown = True  # in a Deny it may well be everybody
            else:
                accounts = True
    actions = [app.text(it, template) for it in app.items(statement.get("Action"))]
    conditions = statement.get("Condition")
    found = conditions if isinstance(conditions, Mapping) else {}
    return Statement(
        template,
        effect,
        everybody,
        frozenset(services),
        accounts,
        frozenset(it for it in actions if it is not None),
        tuple(app.items(statement.get("Resource"))),
        found,
        unknown or None in actions or is_function(found) or any(map(is_function, found.values())),
    )
