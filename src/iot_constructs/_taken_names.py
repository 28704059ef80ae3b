"""Which names an app has given away.

Two resources of one type with one name fail at deploy, after half of the stack exists; here the second one is an
error when it is made.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from constructs import Construct, IConstruct

from iot_constructs._place import Place
from iot_constructs._validate import is_token

_TAKEN: WeakKeyDictionary[IConstruct, dict[tuple[str, str, str, str], IConstruct]] = (
    WeakKeyDictionary()
)


def take_name(scope: Construct, resource: str, name: str) -> None:
    """Give ``name`` to the ``resource`` of ``scope``.

    Raises:
        ValueError: another resource of this type, in the same account and region, has it.
    """
    place = Place.of(scope)
    key = (resource, _known(place.account), _known(place.region), name)
    taken = _TAKEN.setdefault(place.root, {})
    if key in taken:
        first, second = taken[key].node.path, scope.node.path
        raise ValueError(
            f"{resource} name {name!r} is used by {first!r} and by {second!r}; "
            "give one of them another name stem or environment suffix"
        )
    taken[key] = scope


def _known(value: str) -> str:
    """Account and region, with all tokens alike: two open stacks may well land in one account."""
    return "?" if is_token(value) else value
