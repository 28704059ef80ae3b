"""Fixes of resources that SAM generates, in terms of the event that the author wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import indent
from typing import Final

_PAYLOAD: Final = "    TopicRulePayload:"
_NOT_IN_SAM: Final = "ErrorAction:"


def in_file(yaml: str, logical_id: str, path: Sequence[str | int]) -> str:
    """Return a fix of the resource ``logical_id`` as YAML to merge into ``Resources`` of the author's file.

    Args:
        yaml: the fix of the generated resource; other resources in it stay as they are.
        logical_id: of the generated resource.
        path: where the author wrote the resource, from the root of the file (`Template.path_in_file`).
    """
    is_event = "Events" in path
    blocks = re.split(r"^(?=\S)", yaml, flags=re.MULTILINE)
    own = f"{logical_id}:\n"
    return "".join(
        _in_event(block, path) if is_event and block.startswith(own) else block for block in blocks
    )


def _in_event(block: str, path: Sequence[str | int]) -> str:
    lines = block.splitlines()[1:]
    if _NOT_IN_SAM in block:
        return f"# SAM has no {_NOT_IN_SAM[:-1]}: write an AWS::IoT::TopicRule instead of the event.\n{block}"
    if _PAYLOAD in lines:
        below = lines.index(_PAYLOAD) + 1
        lines = [*lines[: below - 1], *(line[2:] for line in lines[below:])]
    steps = [str(step) for step in path[1:]]
    head = [f"{'  ' * depth}{step}:" for depth, step in enumerate(steps)]
    body = indent("\n".join(lines), "  " * (len(steps) - 1))
    return "\n".join([*head, body]) + "\n"
