"""What the devices of a simulation send."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from iot_constructs.testing.scheduler import START


class Fate(str, Enum):
    """Where a record has to be in the end."""

    STORED = "stored"
    DEAD_LETTERED = "dead-lettered"


@dataclass(frozen=True)
class Sent:
    """A record that a device sends."""

    number: int
    device_id: str
    payload: bytes
    readings: tuple[str, ...]
    """The ids of its readings, if it is valid. Equal readings have one id."""
    fate: Fate

    @property
    def content(self) -> tuple[str, bytes]:
        """What identifies the record: a redriven one has another sequence number."""
        return self.device_id, self.payload


_INVALID = (
    b"",
    b"\xff\xfe",
    b"not JSON",
    b"[]",
    b'{"timestamp": NaN}',
    b'{"temperature": 1}',
    b'{"timestamp": "yesterday"}',
)
# Epoch milliseconds.
_START_MS = int(START) * 1000
_DAY_MS = 86_400_000


def records(seed: object, count: int, devices: int) -> Iterator[Sent]:
    """Yield the records in the order in which they are sent."""
    random_ = random.Random(f"workload {seed}")
    skew = {f"device-{n}": int(random_.gauss(0, 60_000)) for n in range(devices)}
    names = list(skew)
    sequence = dict.fromkeys(names, 0)
    earlier: list[Sent] = []
    for number in range(count):
        # Some devices send much more than others.
        device = names[int(devices * random_.random() ** 2)]
        draw = random_.random()
        if draw < 0.03:
            payload = random_.choice(_INVALID) + b" " * number  # each of them differs
            sent = Sent(number, device, payload, (), Fate.DEAD_LETTERED)
        elif draw < 0.06 and earlier:
            repeated = random_.choice(earlier[-200:])
            sent = Sent(
                number, repeated.device_id, repeated.payload, repeated.readings, repeated.fate
            )
        elif draw < 0.065:
            reading = {"timestamp": _START_MS + 2 * _DAY_MS, "id": f"future-{number}"}
            sent = Sent(number, device, _dump(reading), (), Fate.DEAD_LETTERED)
        else:
            sent = _valid(random_, number, device, sequence, skew[device])
        earlier.append(sent)
        yield sent


def _valid(
    random_: random.Random, number: int, device: str, sequence: dict[str, int], skew: int
) -> Sent:
    readings = []
    several = random_.random()
    size = 1 if several < 0.9 else 60 if several > 0.999 else 2 + int(random_.random() * 4)
    for _ in range(size):
        sequence[device] += 1
        # Out of order: some readings are late by up to an hour, and some share a millisecond.
        late = int(random_.random() * 3_600_000) if random_.random() < 0.1 else 0
        reading: dict[str, object] = {
            "timestamp": _START_MS + sequence[device] // 2 * 1000 + skew - late,
            "id": f"{device}/{sequence[device]}",
            "temperature": round(20 + 10 * random_.random(), 2),
        }
        if random_.random() < 0.002:
            reading["waveform"] = "x" * random_.choice((10_000, 100_000, 200_000))
        readings.append(reading)
    ids = tuple(str(reading["id"]) for reading in readings)
    form = random_.random()
    data = b"\n".join(map(_dump, readings)) if form < 0.5 else _dump(readings[0])
    if len(readings) > 1 and form >= 0.5:
        data = json.dumps(readings).encode()
    if form > 0.95:
        data = gzip.compress(data, mtime=0)
    return Sent(number, device, data, ids, Fate.STORED)


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()
