"""Which names an app has given away.

Two resources of one type with one name fail at deploy, after half of the stack exists; here the second one is an
error when it is made.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import aws_cdk as cdk
from constructs import Construct, IConstruct

from iot_constructs._validate import is_token

_TAKEN: WeakKeyDictionary[IConstruct, dict[tuple[str, str, str, str], str]] = WeakKeyDictionary()


def take_name(scope: Construct, resource: str, name: str) -> None:
    """Give ``name`` to the ``resource`` of ``scope``.

    Raises:
        ValueError: another resource of this type, in the same account and region, has it.
    """
    stack = cdk.Stack.of(scope)
    place = (resource, _known(stack.account), _known(stack.region), name)
    taken = _TAKEN.setdefault(scope.node.root, {})
    path = scope.node.path
    if place in taken:
        raise ValueError(
            f"{resource} name {name!r} is used by {taken[place]!r} and by {path!r}; "
            "give one of them another name stem or environment suffix"
        )
    taken[place] = path


def _known(value: str) -> str:
    """Account and region, with all tokens alike: two open stacks may well land in one account."""
    return "?" if is_token(value) else value
