"""What the devices of a simulation send."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from iot_constructs.testing.scheduler import START


class Fate(str, Enum):
    """Where a record has to be in the end."""

    STORED = "stored"
    DEAD_LETTERED = "dead-lettered"


class Trouble(str, Enum):
    """Why the function cannot store a valid record until an operator does something."""

    REFUSED = "refused"
    """A table refuses an item with this member."""
    TRANSFORM = "transformFails"
    """The user's own step raises an exception for a reading with this member."""


@dataclass(frozen=True)
class Sent:
    """A record that a device sends."""

    number: int
    device_id: str
    """Its partition key."""
    payload: bytes
    readings: tuple[str, ...] = ()
    """The ids of its readings, if it is valid. Equal readings have one id, which begins with the device's id."""
    fate: Fate = Fate.DEAD_LETTERED
    trouble: Trouble | None = None
    mismatch: bool = False
    """Whether a payload names another device than the partition key."""
    aggregate: bool = False
    """Whether the KPL aggregated it, so that it has readings of several devices."""

    @property
    def content(self) -> tuple[str, bytes]:
        """What identifies the record: a redriven one has another sequence number."""
        return self.device_id, self.payload


def device_of(reading_id: str) -> str:
    """Return the device of a reading."""
    return reading_id.rpartition("/")[0]


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
# With base64, more than the 256 KiB of a message, and less than the 1 MiB of a record.
_NOT_FOR_A_MESSAGE = 220_000
# Of these records of one device, one after another, each decompresses to nearly the 10 MiB that a record may have.
HEAVY_RECORDS = 4
_HEAVY_READINGS, _HEAVY_BYTES = 28, 330_000
_FIRST_HEAVY = 20


def records(seed: object, count: int, devices: int, *, heavy: bool = False) -> Iterator[Sent]:
    """Yield the records in the order in which they are sent."""
    workload = _Workload(random.Random(f"workload {seed}"), devices)
    for number in range(count):
        if heavy and 0 <= number - _FIRST_HEAVY < HEAVY_RECORDS:
            yield workload.heavy(number)
        else:
            yield workload.next(number)


class _Workload:
    def __init__(self, random_: random.Random, devices: int) -> None:
        self._random = random_
        self._names = [f"device-{n}" for n in range(devices)]
        # The clocks of the devices differ.
        self._skew = {name: int(random_.gauss(0, 60_000)) for name in self._names}
        self._sequence = dict.fromkeys(self._names, 0)
        self._earlier: list[Sent] = []

    def next(self, number: int) -> Sent:
        some = self._random
        # Some devices send much more than others.
        device = self._names[int(len(self._names) * some.random() ** 2)]
        draw = some.random()
        if draw < 0.03:
            payload = some.choice(_INVALID) + b" " * number  # each of them differs
            sent = Sent(number, device, payload)
        elif draw < 0.031:
            sent = Sent(number, device, some.randbytes(_NOT_FOR_A_MESSAGE))
        elif draw < 0.06 and self._earlier:
            repeated = some.choice(self._earlier[-200:])
            sent = replace(repeated, number=number)
        elif draw < 0.065:
            reading = {"timestamp": _START_MS + 60 * _DAY_MS, "id": f"{device}/future-{number}"}
            sent = Sent(number, device, _dump(reading))
        elif draw < 0.08:
            sent = self._aggregate(number, device)
        else:
            sent = self._valid(number, device)
        self._earlier.append(sent)
        return sent

    def heavy(self, number: int) -> Sent:
        """Return a small record that decompresses to nearly 10 MiB."""
        device = self._names[0]
        readings = [self._reading(device) for _ in range(_HEAVY_READINGS)]
        for reading in readings:
            reading["waveform"] = "x" * _HEAVY_BYTES
        data = gzip.compress(b"\n".join(map(_dump, readings)), 1, mtime=0)
        return Sent(number, device, data, _ids(readings), Fate.STORED)

    def _valid(self, number: int, device: str) -> Sent:
        some = self._random
        several, size = some.random(), 1
        if several > 0.999:
            size = 60
        elif several > 0.9:
            size = 2 + int(some.random() * 4)
        readings = [self._reading(device) for _ in range(size)]
        trouble, mismatch = self._special(readings)
        form = some.random()
        data = _dump(readings[0]) if size == 1 else json.dumps(readings).encode()
        if form < 0.5:
            data = b"\n".join(map(_dump, readings))
        if form > 0.95:
            data = gzip.compress(data, mtime=0)
        return Sent(number, device, data, _ids(readings), Fate.STORED, trouble, mismatch)

    def _aggregate(self, number: int, device: str) -> Sent:
        others = [self._random.choice(self._names) for _ in range(int(self._random.random() * 4))]
        parts = [(each, self._reading(each)) for each in (device, *others)]
        data = _kpl([(each, _dump(reading)) for each, reading in parts])
        ids = _ids([reading for _, reading in parts])
        return Sent(number, device, data, ids, Fate.STORED, aggregate=True)

    def _reading(self, device: str) -> dict[str, object]:
        some = self._random
        self._sequence[device] += 1
        sequence = self._sequence[device]
        # Out of order: some readings are late by up to an hour, and some share a millisecond.
        late = int(some.random() * 3_600_000) if some.random() < 0.1 else 0
        return {
            "timestamp": _START_MS + sequence // 2 * 1000 + self._skew[device] - late,
            "id": f"{device}/{sequence}",
            "temperature": round(20 + 10 * some.random(), 2),
        }

    def _special(self, readings: Sequence[dict[str, object]]) -> tuple[Trouble | None, bool]:
        """Make some readings large, refused, or of another device."""
        draw = self._random.random()
        if draw < 0.002:
            readings[0]["waveform"] = "x" * self._random.choice((10_000, 100_000, 380_000))
        elif draw < 0.003:
            # Nearly the 1 MiB of a record.
            for reading in readings[:3]:
                reading["waveform"] = "x" * 330_000
        elif draw < 0.013:
            readings[-1][Trouble.REFUSED.value] = True
            return Trouble.REFUSED, False
        elif draw < 0.018:
            readings[-1][Trouble.TRANSFORM.value] = True
            return Trouble.TRANSFORM, False
        elif draw < 0.038:
            readings[-1]["deviceId"] = "another-device"
            return None, True
        return None, False


def _ids(readings: Sequence[dict[str, object]]) -> tuple[str, ...]:
    return tuple(str(reading["id"]) for reading in readings)


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()


def _kpl(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """Return an aggregate (github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md)."""
    keys = list(dict.fromkeys(key for key, _ in parts))
    message = b"".join(_field(1, key.encode()) for key in keys)
    for key, data in parts:
        message += _field(3, b"\x08" + _varint(keys.index(key)) + _field(3, data))
    return b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message, usedforsecurity=False).digest()


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
