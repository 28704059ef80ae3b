"""Reads the messages of ``--payload``: a file with one message a line.

A line is sent as it is, with two exceptions, both only in JSON:

- An object, or each object of an array, gets a member ``messageId`` in front, by which the accounting finds it.
- A string that is exactly a placeholder is replaced: ``"$nowMs"`` by the time in epoch milliseconds (a number),
  ``"$nowIso"`` by the time in ISO 8601 with the zone, ``"$deviceId"`` by the ID of the device that sends the message.

Such JSON is written anew, so spaces and the notation of numbers can differ from the file. Any other line (text, CSV, a
number) counts as one record, however often it is sent, and the accounting finds it by its bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from iot_constructs.local.plan import Kind, Message, device_names, identity


class PayloadError(ValueError):
    """The file of the messages can't be used."""


def read_payload(file: Path) -> list[bytes]:
    """Return the lines of a file that are not empty.

    Raises:
        PayloadError: the file can't be read, or has no such line.
    """
    try:
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise PayloadError(
            f"--payload {file}: {error.strerror}; name a file with one message a line"
        ) from None
    if not lines:
        raise PayloadError(f"--payload {file} is empty; write one message a line into it")
    return lines


def plan_payload(
    lines: Sequence[bytes], *, devices: int, readings: int, seed: int, now_ms: int
) -> list[Message]:
    """Return `devices` times `readings` messages: the lines in turn, from each device in turn."""
    run = random.Random(seed).randrange(16**6)
    names = device_names(devices)
    messages: list[Message] = []
    used = 0

    def next_identity() -> str:
        nonlocal used
        used += 1
        return identity(run, used - 1)

    for number in range(devices * readings):
        device, line = names[number % devices], number % len(lines)
        payload, found = _filled(lines[line], device, now_ms + number, next_identity)
        name = found if found is not None else f"line {line + 1}"
        messages.append(Message(name, device, Kind.PAYLOAD, payload, None))
    return messages


def _filled(
    line: bytes, device_id: str, now_ms: int, next_identity: Callable[[], str]
) -> tuple[bytes, str | None]:
    """Return the message of a line, and its first ID if it has one."""
    now = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
    values: dict[str, object] = {
        "$nowMs": now_ms,
        "$nowIso": now.isoformat(timespec="milliseconds"),
        "$deviceId": device_id,
    }
    first: str | None = None

    def marked(value: Any) -> Any:
        nonlocal first
        if not isinstance(value, dict):
            return value
        name = next_identity()
        first = first if first is not None else name
        return {
            "messageId": name,
            **{key: each for key, each in value.items() if key != "messageId"},
        }

    try:
        content = _replaced(json.loads(line), values)
    except (ValueError, RecursionError):
        return line, None
    content = [marked(each) for each in content] if isinstance(content, list) else marked(content)
    return (line, None) if first is None else (json.dumps(content).encode(), first)


def _replaced(value: Any, values: dict[str, object]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, values) for each in value]
    return values.get(value, value) if isinstance(value, str) else value
