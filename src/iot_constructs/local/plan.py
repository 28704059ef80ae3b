"""Generates the messages of the simulated devices and the expected result of each.

A plan depends only on a seed and a start time, so a run is reproducible. Every message has a unique ID,
even if it is not JSON, by which the accounting finds it. A duplicate has the ID of its original, because
both must end up as one record.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

IDENTITY = re.compile(rb"rec-[0-9a-f]{6}-[0-9]{6,}")

# The timestamps of the readings are spread over this period before the run.
SPAN_MS = 2 * 60 * 60 * 1000
# Each block of this many messages of a device has one message of each irregular kind.
BLOCK = 20


class Kind(str, Enum):
    """The kind of a message."""

    READING = "reading"
    DEVICE_ID_MISMATCH = "device ID mismatch"
    SAME_TIMESTAMP = "same timestamp"
    LATE = "late"
    DUPLICATE = "duplicate"
    NOT_JSON = "not JSON"
    NO_TIMESTAMP = "no timestamp"
    NOT_A_NUMBER = "NaN or Infinity"
    PAYLOAD = "from the payload file"


class Fate(str, Enum):
    """Where a record ends up."""

    STORED = "stored"
    DEAD_LETTERED = "dead-lettered"


EXPECTED = {
    Kind.READING: Fate.STORED,
    Kind.DEVICE_ID_MISMATCH: Fate.STORED,
    Kind.SAME_TIMESTAMP: Fate.STORED,
    Kind.LATE: Fate.STORED,
    Kind.DUPLICATE: Fate.STORED,
    Kind.NOT_JSON: Fate.DEAD_LETTERED,
    Kind.NO_TIMESTAMP: Fate.DEAD_LETTERED,
    Kind.NOT_A_NUMBER: Fate.DEAD_LETTERED,
}
"""The expected result of each kind. That of a user's own messages is unknown."""

_IRREGULAR_KINDS = tuple(kind for kind in EXPECTED if kind is not Kind.READING)


@dataclass(frozen=True)
class Message:
    """An MQTT message of a device."""

    identity: str
    device_id: str
    kind: Kind
    payload: bytes
    timestamp: int | None
    """Epoch milliseconds, or None if the message is invalid or the user's own."""

    @property
    def identities(self) -> tuple[str, ...]:
        """The IDs in the payload, or the message's own if it contains none."""
        found = IDENTITY.findall(self.payload)
        return tuple(each.decode("ascii") for each in found) if found else (self.identity,)

    @property
    def expected(self) -> Fate:
        """The expected result."""
        return EXPECTED[self.kind]


def make_plan(*, devices: int, readings: int, seed: int, now_ms: int) -> list[Message]:
    """Return all messages in order: `devices` times `readings` records, plus duplicates."""
    if devices < 1 or readings < 1:
        raise ValueError(f"devices and readings must be at least 1, not {devices} and {readings}")
    randomness = random.Random(seed)
    run = randomness.randrange(16**6)
    names = device_names(devices)
    streams = [
        _Device(
            name,
            others=[other for other in names if other != name] or ["unknown-sensor"],
            identities=[identity(run, position * readings + at) for at in range(readings)],
            start=now_ms - SPAN_MS,
            randomness=randomness,
        ).messages()
        for position, name in enumerate(names)
    ]
    # Interleave the devices.
    longest = max(len(stream) for stream in streams)
    return [stream[at] for at in range(longest) for stream in streams if at < len(stream)]


def device_names(devices: int) -> list[str]:
    """Return the IDs of the simulated devices."""
    return [f"sensor-{number:03d}" for number in range(1, devices + 1)]


def identity(run: int, number: int) -> str:
    """Return the ID of a record, which `IDENTITY` matches."""
    return f"rec-{run:06x}-{number:06d}"


def newest_timestamps(messages: Iterable[Message]) -> dict[str, int]:
    """Return the newest valid timestamp of each device, which its latest state must have."""
    newest: dict[str, int] = {}
    for message in messages:
        if message.timestamp is not None:
            newest[message.device_id] = max(
                message.timestamp, newest.get(message.device_id, message.timestamp)
            )
    return newest


class _Device:
    """Generates the messages of one device."""

    def __init__(
        self,
        name: str,
        *,
        others: list[str],
        identities: list[str],
        start: int,
        randomness: random.Random,
    ) -> None:
        self._name = name
        self._others = others
        self._identities = identities
        self._start = start
        self._step = SPAN_MS // len(identities)
        self._random = randomness
        self._phase = randomness.random()

    def messages(self) -> list[Message]:
        """Return the messages in the order of sending."""
        sent: list[Message] = []
        pending: list[Message] = []
        for index, kind in enumerate(self._kinds()):
            if kind is Kind.DUPLICATE:
                message = self._message(index, Kind.READING, sent)
                # The duplicate follows later, so that it is not always in the same batch.
                copy = Message(
                    message.identity, self._name, kind, message.payload, message.timestamp
                )
                pending.append(copy)
            else:
                message = self._message(index, kind, sent)
            sent.append(message)
            if pending and self._random.random() < 0.3:
                sent.append(pending.pop(0))
        return sent + pending

    def _kinds(self) -> list[Kind]:
        """Return the kind of each message. The first one is a plain reading."""
        kinds: list[Kind] = [Kind.READING]
        while len(kinds) < len(self._identities):
            block = [*_IRREGULAR_KINDS, *[Kind.READING] * (BLOCK - len(_IRREGULAR_KINDS))]
            self._random.shuffle(block)
            kinds += block
        return kinds[: len(self._identities)]

    def _message(self, index: int, kind: Kind, sent: list[Message]) -> Message:
        identity = self._identities[index]
        timestamp_ms = self._start + index * self._step
        newest = max((each.timestamp for each in sent if each.timestamp is not None), default=0)
        if kind is Kind.SAME_TIMESTAMP:
            timestamp_ms = newest
        elif kind is Kind.LATE:
            # A timestamp between two earlier readings.
            timestamp_ms = newest - self._random.randrange(1, 5) * self._step + self._step // 3
        content = {
            "messageId": identity,
            "deviceId": self._name,
            "timestamp": timestamp_ms,
            **self._measurements((timestamp_ms - self._start) / SPAN_MS),
        }
        payload = json.dumps(content).encode()
        timestamp: int | None = timestamp_ms
        if kind is Kind.DEVICE_ID_MISMATCH:
            content["deviceId"] = self._random.choice(self._others)
            payload = json.dumps(content).encode()
        elif kind is Kind.NOT_JSON:
            # Truncated, or not UTF-8.
            truncated = payload[: len(payload) // 2]
            payload = truncated if self._random.random() < 0.5 else b"\xff\xfe " + identity.encode()
            timestamp = None
        elif kind is Kind.NO_TIMESTAMP:
            del content["timestamp"]
            payload = json.dumps(content).encode()
            timestamp = None
        elif kind is Kind.NOT_A_NUMBER:
            content["temperature"] = self._random.choice([math.nan, math.inf, -math.inf])
            payload = json.dumps(content).encode()
            timestamp = None
        return Message(identity, self._name, kind, payload, timestamp)

    def _measurements(self, progress: float) -> dict[str, float]:
        """Return values like those of a day in a greenhouse. `progress` runs from 0 to 1."""
        turn = 2 * math.pi * (progress + self._phase)
        return {
            "temperature": round(21 + 4 * math.sin(turn) + self._random.gauss(0, 0.3), 2),
            "humidity": round(55 - 9 * math.sin(turn) + self._random.gauss(0, 0.8), 1),
            "battery": round(3.7 - 0.4 * progress, 3),
        }
