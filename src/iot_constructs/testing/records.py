"""Creates the records of a simulation, each of which can be recognized in what a handler writes."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from iot_constructs.testing.scheduler import START

Data = bytes | str | Mapping[str, Any]
Given = tuple[str, Data]
"""The partition key and the data of a record."""

_MALFORMED = b'{"id": "cut off'


@dataclass(frozen=True)
class Record:
    """A record that the stream accepts."""

    number: int
    """Its position in the order of the stream."""
    partition_key: str
    data: bytes
    marks: tuple[str, ...] = ()
    """What its data has and no other record's. Empty for data that is not valid, which a handler can drop."""

    def __str__(self) -> str:
        name = f"record {self.number} of {self.partition_key}"
        return name if self.marks else f"{name} (not valid)"


@dataclass(frozen=True)
class Records:
    """The records of one simulation."""

    all: list[Record]
    by_id: Mapping[str, int]


@dataclass(frozen=True)
class RecordSource:
    """Creates the records of each seed: readings, or what the caller passes."""

    given: int | Iterable[Given] | Callable[[random.Random], Iterable[Given]]
    devices: int = 5
    malformed: int = 0
    record_id: Callable[[bytes], str | None] | None = None

    def create(self, rng: random.Random) -> Records:
        """Return the records.

        Raises:
            ValueError: no record has an ID, or two have the same one.
        """
        if isinstance(self.given, int):
            readings = [_reading(number, rng, self.devices) for number in range(self.given)]
        else:
            given = self.given(rng) if callable(self.given) else self.given
            readings = [(key, _encode(data)) for key, data in given]
        for _ in range(self.malformed):
            position = rng.randrange(len(readings) + 1)
            readings.insert(position, (f"device-{rng.randrange(self.devices):02d}", _MALFORMED))
        ids = [self._id(data) for _, data in readings]
        by_id = {id: number for number, id in enumerate(ids) if id is not None}
        if not by_id and readings:
            raise ValueError("no record has a member 'id': pass record_id=")
        if len(by_id) < sum(id is not None for id in ids):
            raise ValueError("two records have the same id")
        every = [
            Record(number, key, data, _marks(data, id, is_reading=isinstance(self.given, int)))
            for number, ((key, data), id) in enumerate(zip(readings, ids, strict=True))
        ]
        return Records(every, by_id)

    def _id(self, data: bytes) -> str | None:
        if self.record_id is not None:
            return self.record_id(data)
        try:
            document = json.loads(data)
        except ValueError:
            return None
        id = document.get("id") if isinstance(document, dict) else None
        return None if id is None else str(id)


def _reading(number: int, rng: random.Random, devices: int) -> tuple[str, bytes]:
    """Return a reading, each of whose members except deviceId is unique and as long as in all other readings."""
    device = f"device-{rng.randrange(devices):02d}"
    moment = datetime.fromtimestamp(START + number / 10, tz=timezone.utc)
    reading = {
        "id": f"reading-{number:06d}",
        "deviceId": device,
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "temperature": 20 + (number * 10 + 1) / 10**7,
    }
    return device, _encode(reading)


def _marks(data: bytes, id: str | None, *, is_reading: bool) -> tuple[str, ...]:
    if id is None:
        return ()
    encoded = base64.b64encode(data).decode()  # as in the event
    if not is_reading:
        return (id, encoded)
    reading = json.loads(data)
    return (id, encoded, reading["timestamp"], str(reading["temperature"]))


def _encode(data: Data) -> bytes:
    if isinstance(data, bytes):
        return data
    return (data if isinstance(data, str) else json.dumps(data)).encode()
