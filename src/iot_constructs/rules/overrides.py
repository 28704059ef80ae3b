"""Fixes of L1 constructs: property overrides, from the YAML of a fix.

The base package has no parser of YAML, and needs none: these fixes consist of keys and plain scalars.
"""

from __future__ import annotations

import re
from typing import Final

_VARIABLES: Final = {
    "AWS::CloudWatch::CompositeAlarm": "alarm",
    "AWS::DynamoDB::GlobalTable": "table",
    "AWS::IoT::TopicRule": "rule",
    "AWS::Lambda::EventSourceMapping": "mapping",
}
_LINE: Final = re.compile(
    r"(?P<indent> {4,})(?P<item>- )?(?P<key>\w+:)? ?(?P<value>\[\w+\]|\{\}|[\w./-]*)(  # .*)?"
)


def variable(type: str) -> str:
    """Return the conventional variable for a construct of ``type``: ``delivery_stream``, ``mapping`` ..."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", type.rpartition("::")[2])
    return _VARIABLES.get(type, "_".join(words).lower())


def overrides(cloudformation: str, type: str) -> str:
    """Return statements that set the same properties; empty if the YAML has anything else."""
    own, _, properties = cloudformation.partition("\n  Properties:\n")
    if "\n" in own:
        return ""
    statements: list[str] = []
    path: list[tuple[int, str]] = []
    items = 0
    for line in properties.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            return ""
        depth, key, value = len(found["indent"]), found["key"], found["value"]
        path = [it for it in path if it[0] < depth]
        if found["item"]:
            path.append((depth, str(items)))
            depth += 2
            items += 1
        if key is None:
            if value != "{}":
                return ""
            continue  # an item that stays as it is
        path.append((depth, key[:-1]))
        if value:
            name = ".".join(it for _, it in path)
            statements.append(
                f'{variable(type)}.add_property_override("{name}", {_in_python(value)})'
            )
    return "\n".join(statements)


def _in_python(value: str) -> str:
    if value.startswith("["):
        return f'["{value[1:-1]}"]'
    if value in ("true", "false"):
        return value.title()
    return value if value.isdigit() else f'"{value}"'
