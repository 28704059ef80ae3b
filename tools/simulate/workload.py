"""What the devices of a simulation send."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from iot_constructs.testing.scheduler import START
from tools.simulate.configuration import Configuration


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
# What one invocation can receive: 6 MB with base64 (lambda/latest/dg/gettingstarted-limits.html).
_HEAVY_RECORDS, _HEAVY_BYTES = 12, 128_000
_REFUSED_SHARE, _RULE_ERROR_SHARE = 0.02, 0.02


class Workload:
    """The records of a seed, in the order in which they are sent."""

    def __init__(self, seed: object, count: int, configuration: Configuration) -> None:
        self._random = random.Random(f"workload {seed}")
        self._devices = [f"device-{n}" for n in range(configuration.devices)]
        # The devices' clocks are wrong.
        self._skew = {name: int(self._random.gauss(0, 60_000)) for name in self._devices}
        self._sequence = dict.fromkeys(self._devices, 0)
        self.sent: list[Sent] = list(self._records(count))
        if configuration.heavy:
            middle = count // 2
            self.sent[middle:middle] = [self._heavy(count + n) for n in range(_HEAVY_RECORDS)]
        chance = self._random.random
        self.refused = {
            id
            for each in self.sent
            for id in each.readings
            if configuration.refused and chance() < _REFUSED_SHARE
        }
        """The ids of the readings that the tables refuse."""
        self.rule_errors = {
            each.number
            for each in self.sent
            if configuration.rule_errors
            and chance() < _RULE_ERROR_SHARE
            and len(each.payload) < 100_000
        }
        """The numbers of the records that the IoT rule does not put on the stream."""

    def _records(self, count: int) -> Iterator[Sent]:
        earlier: list[Sent] = []
        for number in range(count):
            sent = self._record(number, earlier)
            earlier.append(sent)
            yield sent

    def _record(self, number: int, earlier: list[Sent]) -> Sent:
        # Some devices send much more than others.
        device = self._devices[int(len(self._devices) * self._random.random() ** 2)]
        draw = self._random.random()
        if draw < 0.03:
            # Spaces, so that each of them differs.
            payload = self._random.choice(_INVALID) + b" " * number
            return Sent(number, device, payload, (), Fate.DEAD_LETTERED)
        if draw < 0.06 and earlier:
            repeated = self._random.choice(earlier[-200:])
            content = (repeated.device_id, repeated.payload, repeated.readings, repeated.fate)
            return Sent(number, *content)
        if draw < 0.065:
            reading = {"timestamp": _START_MS + 2 * _DAY_MS, "id": f"future-{number}"}
            return Sent(number, device, _dump(reading), (), Fate.DEAD_LETTERED)
        if draw < 0.066:
            # More than a message takes, also compressed.
            payload = b"\xff" + self._random.randbytes(300_000)
            return Sent(number, device, payload, (), Fate.DEAD_LETTERED)
        return self._valid(number, device)

    def _valid(self, number: int, device: str) -> Sent:
        several = self._random.random()
        size = 1
        if several > 0.9:
            size = 60 if several > 0.999 else 2 + int(self._random.random() * 4)
        readings = [self._reading(device) for _ in range(size)]
        form = self._random.random()
        data = json.dumps(readings).encode() if form < 0.5 else b"\n".join(map(_dump, readings))
        if form > 0.95:
            data = gzip.compress(data, mtime=0)
        ids = tuple(str(reading["id"]) for reading in readings)
        return Sent(number, device, data, ids, Fate.STORED)

    def _reading(self, device: str) -> dict[str, object]:
        self._sequence[device] += 1
        # Out of order: some readings are late by up to an hour, and some share a millisecond.
        late = int(self._random.random() * 3_600_000) if self._random.random() < 0.1 else 0
        reading: dict[str, object] = {
            "timestamp": _START_MS + self._sequence[device] // 2 * 1000 + self._skew[device] - late,
            "id": f"{device}/{self._sequence[device]}",
            "temperature": round(20 + 10 * self._random.random(), 2),
        }
        if self._random.random() < 0.002:
            reading["waveform"] = "x" * self._random.choice((10_000, 100_000, 200_000))
        return reading

    def _heavy(self, number: int) -> Sent:
        reading = self._reading(self._devices[0])
        reading["samples"] = [{}] * (_HEAVY_BYTES // len("{}, "))
        return Sent(number, self._devices[0], _dump(reading), (str(reading["id"]),), Fate.STORED)


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()
