"""Reads the messages of ``--payload``: a file with one message a line.

A line is sent as it is, with two exceptions, both only in JSON:

- An object, or each object of an array, gets a member ``messageId`` in front, by which the accounting finds it.
- A string that is exactly a placeholder is replaced: ``"$nowMs"`` by the time in epoch milliseconds (a number),
  ``"$nowIso"`` by the time in ISO 8601 with the zone, ``"$deviceId"`` by the ID of the device that sends the message.

Everything else keeps its bytes, such as the notation of numbers and a member that occurs twice; only an object with a
``messageId`` of its own is written anew. Any other line (text, CSV, a number) counts as one record, however often it is
sent, and the accounting finds it by its bytes.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
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
        "nowMs": now_ms,
        "nowIso": now.isoformat(timespec="milliseconds"),
        "deviceId": device_id,
    }
    try:
        text = _PLACEHOLDER.sub(lambda match: json.dumps(values[match[1]]), line.decode())
        objects = list(_objects(text))
    except (ValueError, RecursionError):
        return line, None
    names = [next_identity() for _ in objects]
    for (start, end, content), name in zip(reversed(objects), reversed(names), strict=True):
        if "messageId" in content:
            marked = json.dumps({**content, "messageId": name})
        else:
            comma = ", " if content else ""
            marked = f'{{"messageId": "{name}"{comma}{text[start + 1 : end]}'
        text = text[:start] + marked + text[end:]
    return (text.encode(), names[0]) if names else (line, None)


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield each object, or each one in an array, with its start and end. Raises ValueError if `text` is not JSON."""
    is_array = isinstance(json.loads(text), list)
    position = text.index("[") + 1 if is_array else 0
    while (start := _SEPARATORS.match(text, position).end()) < len(text) and text[start] != "]":  # type: ignore[union-attr]
        value, position = _DECODER.raw_decode(text, start)
        if isinstance(value, dict):
            yield start, position, value


_PLACEHOLDER = re.compile(r'"\$(nowMs|nowIso|deviceId)"(?!\s*:)')
_SEPARATORS = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()
