"""What the simulated devices are going to send, and where every message has to end.

A plan is made from a seed and a clock alone, so a run can be repeated. Every message carries an
identity by which it is found again wherever it ends, also when it is not JSON: the accounting never
has to trust a count. An exact duplicate carries the identity of its original, because it has to
end as one record with it.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

IDENTITY = re.compile(rb"rec-[0-9a-f]{6}-[0-9]{6}")

# Readings are spread over this time before the run, so that a chart has a shape.
SPAN_MS = 2 * 60 * 60 * 1000
# A message of each kind in every so many of a device, the rest being plain readings.
BLOCK = 20


class Kind(str, Enum):
    """The kinds of messages that devices send."""

    READING = "reading"
    DEVICE_ID_MISMATCH = "forged deviceId"
    SAME_TIMESTAMP = "second reading at one timestamp"
    LATE = "late"
    DUPLICATE = "exact duplicate"
    NOT_JSON = "not JSON"
    NO_TIMESTAMP = "no timestamp"
    NOT_A_NUMBER = "NaN or Infinity"


class Fate(str, Enum):
    """Where a record can end without being lost."""

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
"""What the pipeline promises for each kind; the run compares it with what it finds."""

_IRREGULAR_KINDS = tuple(kind for kind in Kind if kind is not Kind.READING)


@dataclass(frozen=True)
class Message:
    """One MQTT message of one device."""

    identity: str
    device_id: str
    kind: Kind
    payload: bytes
    timestamp: int | None
    """Epoch milliseconds; None where the payload has none that can be stored."""

    @property
    def expected(self) -> Fate:
        """Where it has to end."""
        return EXPECTED[self.kind]


def make_plan(*, devices: int, readings: int, seed: int, now_ms: int) -> list[Message]:
    """All messages in the order of sending: `devices` times `readings` records, plus duplicates."""
    if devices < 1 or readings < 1:
        raise ValueError(f"devices and readings must be at least 1, not {devices} and {readings}")
    randomness = random.Random(seed)
    run = f"{randomness.randrange(16**6):06x}"
    names = [f"sensor-{number:03d}" for number in range(1, devices + 1)]
    streams = [
        _Device(
            name,
            others=[other for other in names if other != name] or ["sensor-of-somebody-else"],
            identities=[f"rec-{run}-{position * readings + at:06d}" for at in range(readings)],
            start=now_ms - SPAN_MS,
            randomness=randomness,
        ).messages()
        for position, name in enumerate(names)
    ]
    # Interleaved, as the devices of a fleet send: one message each, round after round.
    longest = max(len(stream) for stream in streams)
    return [stream[at] for at in range(longest) for stream in streams if at < len(stream)]


def newest_timestamps(messages: Iterable[Message]) -> dict[str, int]:
    """Of each device the newest timestamp that can be stored: what its latest state has to show."""
    newest: dict[str, int] = {}
    for message in messages:
        if message.timestamp is not None:
            newest[message.device_id] = max(
                message.timestamp, newest.get(message.device_id, message.timestamp)
            )
    return newest


class _Device:
    """Makes the messages of one device."""

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
        """The device's messages in the order in which it sends them."""
        sent: list[Message] = []
        pending: list[Message] = []
        for index, kind in enumerate(self._kinds()):
            if kind is Kind.DUPLICATE:
                message = self._message(index, Kind.READING, sent)
                # The copy follows later, so that it does not always land in the same batch.
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
        """One kind a reading; the first is a plain one, which a late one can be later than."""
        kinds: list[Kind] = [Kind.READING]
        while len(kinds) < len(self._identities):
            block = [*_IRREGULAR_KINDS, *[Kind.READING] * (BLOCK - len(_IRREGULAR_KINDS))]
            self._random.shuffle(block)
            kinds += block
        return kinds[: len(self._identities)]

    def _message(self, index: int, kind: Kind, sent: list[Message]) -> Message:
        identity = self._identities[index]
        moment = self._start + index * self._step
        newest = max((each.timestamp for each in sent if each.timestamp is not None), default=0)
        if kind is Kind.SAME_TIMESTAMP:
            moment = newest
        elif kind is Kind.LATE:
            # Taken between two earlier readings, and held back by the device until now.
            moment = newest - self._random.randrange(1, 5) * self._step + self._step // 3
        content = {
            "messageId": identity,
            "deviceId": self._name,
            "timestamp": moment,
            **self._measurements((moment - self._start) / SPAN_MS),
        }
        payload = json.dumps(content).encode()
        timestamp: int | None = moment
        if kind is Kind.DEVICE_ID_MISMATCH:
            content["deviceId"] = self._random.choice(self._others)
            payload = json.dumps(content).encode()
        elif kind is Kind.NOT_JSON:
            # Cut off in the middle, or no text at all.
            noise = payload[: len(payload) // 2]
            payload = noise if self._random.random() < 0.5 else b"\xff\xfe " + identity.encode()
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

    def _measurements(self, moment: float) -> dict[str, float]:
        """Values that look like a day in a greenhouse, from its start (0) to its end (1)."""
        turn = 2 * math.pi * (moment + self._phase)
        return {
            "temperature": round(21 + 4 * math.sin(turn) + self._random.gauss(0, 0.3), 2),
            "humidity": round(55 - 9 * math.sin(turn) + self._random.gauss(0, 0.8), 1),
            "battery": round(3.7 - 0.4 * moment, 3),
        }
