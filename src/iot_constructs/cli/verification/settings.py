"""Compares the settings of a deployed resource with its template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iot_constructs.cli.verification.stacks import Reference, Unresolved


@dataclass(frozen=True)
class Comparison:
    """The settings of a resource against its template."""

    equal: tuple[str, ...]
    different: tuple[str, ...]
    """Each with both values."""
    unknown: tuple[str, ...]
    """Settings that the service did not report, or whose value in the template only CloudFormation knows."""


def compare(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Comparison:
    """Compare settings of the template with deployed ones of the same names.

    Args:
        wanted: the settings in the template; those that are None are not set there and not compared.
        found: the deployed settings; a setting that is missing was not reported, one that is None is not set.
    """
    equal: list[str] = []
    different: list[str] = []
    unknown: list[str] = []
    for name, value in wanted.items():
        if value is None:
            continue
        if name not in found or isinstance(value, Unresolved):
            unknown.append(name)
        elif is_equal(value, found[name]):
            equal.append(name)
        else:
            different.append(f"{name} is {_show(found[name])}, in the template {_show(value)}")
    return Comparison(tuple(equal), tuple(different), tuple(unknown))


def is_equal(wanted: Any, found: Any) -> bool:
    """Return whether a deployed value is that of the template.

    A deployed object can have more members, because services add defaults. The order of a list does not matter, and
    neither does the type of a number: attributes of SNS and SQS are strings.
    """
    if isinstance(wanted, Unresolved):
        return True
    if isinstance(wanted, Reference):
        return wanted.matches(found)
    # Some services report the key of an alias, others the alias.
    if isinstance(wanted, str) and "alias/" in wanted:
        return found is not None
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            is_equal(value, found.get(name)) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(any(is_equal(each, other) for other in found) for each in wanted)
        )
    return bool(_plain(wanted) == _plain(found))


def _plain(value: Any) -> Any:
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return value


def _show(value: Any) -> str:
    if isinstance(value, Reference):
        return value.name
    return "not set" if value is None else str(value)
