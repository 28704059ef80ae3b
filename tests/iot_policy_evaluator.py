"""AWS IoT Core's decision about one request of a device, as the AWS documentation describes it.

I = docs.aws.amazon.com/iot/latest/developerguide/
* In a resource ``*`` is any run of characters, slashes included, and ``?`` is any one. ``+`` and ``#`` are characters
  like others, in the policy and in the filter a device asks for (I pub-sub-policy.html, I iot-policy-variables.html).
* A variable is replaced by its value. A statement with one that has no value does not apply
  (I thing-policy-examples.html).
* Nothing is allowed that no statement allows; a Deny that applies wins (I iot-policies.html).

Where the documentation leaves something open, this reads it in the device's favour: what is refused here is refused by
any reading of it. What it does not know it does not guess: NotImplementedError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_WILDCARDS = {"*": ".*", "?": "."}


@dataclass(frozen=True)
class Connection:
    """An MQTT connection: the client id the device chose, and the things its certificate is attached to."""

    client_id: str
    certificate_of: frozenset[str]
    exclusive: bool = False
    """Whether the certificate is attached to its only thing exclusively; otherwise the client id says which thing
    it is (I exclusive-thing.html)."""

    def variables(self) -> Mapping[str, str]:
        """The policy variables of I thing-policy-variables.html that depend on the connection."""
        thing = self.client_id
        if self.exclusive:
            (thing,) = self.certificate_of
        attached = thing in self.certificate_of
        return {
            "iot:ClientId": self.client_id,
            # Whether it has a value for a thing that the certificate is not attached to is left open.
            "iot:Connection.Thing.ThingName": thing,
            "iot:Connection.Thing.IsAttached": "true" if attached else "false",
        }


def is_allowed(
    policy: Mapping[str, Any], connection: Connection, action: str, resource: str
) -> bool:
    """Whether the policy lets the connection do ``action`` on ``resource`` (a whole ARN)."""
    variables = connection.variables()
    effects = {
        statement["Effect"]
        for statement in policy["Statement"]
        if _applies(statement, variables, action, resource)
    }
    return "Allow" in effects and "Deny" not in effects


def _applies(
    statement: Mapping[str, Any], variables: Mapping[str, str], action: str, resource: str
) -> bool:
    unknown = statement.keys() - {"Effect", "Action", "Resource", "Condition"}
    if unknown:
        raise NotImplementedError(f"statement with {sorted(unknown)}")
    return (
        any(_matches(each, {}, action) for each in _as_list(statement["Action"]))
        and any(_matches(each, variables, resource) for each in _as_list(statement["Resource"]))
        and _holds(statement.get("Condition", {}), variables)
    )


def _holds(condition: Mapping[str, Any], variables: Mapping[str, str]) -> bool:
    if condition.keys() - {"Bool"}:
        raise NotImplementedError(f"condition {condition}")
    return all(
        variables.get(key) in _as_list(wanted) for key, wanted in condition.get("Bool", {}).items()
    )


def _matches(pattern: str, variables: Mapping[str, str], text: str) -> bool:
    expression, position = "", 0
    for variable in _VARIABLE.finditer(pattern):
        if variable[1] not in variables:
            return False
        expression += _with_wildcards(pattern[position : variable.start()])
        expression += re.escape(variables[variable[1]])
        position = variable.end()
    expression += _with_wildcards(pattern[position:])
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _with_wildcards(pattern: str) -> str:
    return "".join(_WILDCARDS.get(character, re.escape(character)) for character in pattern)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
