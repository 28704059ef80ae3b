"""The readings that each contender gets: what Lambda would deliver of one shard, batch after batch.

They follow from the shape and a seed, so each contender, in a process of its own, makes the same.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FLEET = 200
FIRST_ARRIVAL_MS = 1_760_000_000_000
BATCH_INTERVAL_MS = 10_000
STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/iot-sensor-data-stream-bench"
SHARD = "shardId-000000000000"
FIRST_SEQUENCE = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898
_WORDS = ["north", "south", "line", "pump", "valve", "nominal", "degraded", "cooling", "mixer"]


@dataclass(frozen=True)
class Shape:
    """What one batch looks like."""

    records: int
    devices: int
    """So many different ones among the records, each of them at least once."""


@dataclass(frozen=True)
class Reading:
    """One message of a device."""

    device_id: str
    payload: dict[str, Any]

    @property
    def data(self) -> bytes:
        """As it is on the stream: 200 to 400 bytes of JSON."""
        return json.dumps(self.payload).encode()


def fleet() -> list[str]:
    """The ids of all devices."""
    return [f"sensor-{number:04d}" for number in range(FLEET)]


def readings(shape: Shape, batches: int, seed: int = 7) -> Iterator[list[Reading]]:
    """Batch after batch. A device's clock only goes forward, and no two readings share a time."""
    randomness = random.Random(f"{seed} {shape}")
    for number in range(batches):
        present = randomness.sample(fleet(), shape.devices)
        senders = present + randomness.choices(present, k=shape.records - shape.devices)
        randomness.shuffle(senders)
        offsets = sorted(randomness.sample(range(BATCH_INTERVAL_MS), shape.records))
        start = FIRST_ARRIVAL_MS + number * BATCH_INTERVAL_MS
        yield [
            Reading(sender, _payload(sender, start + offset, randomness))
            for sender, offset in zip(senders, offsets, strict=True)
        ]


def kinesis_event(batch: list[Reading], first_sequence: int = FIRST_SEQUENCE) -> dict[str, Any]:
    """The batch as Lambda hands it to the function (lambda/latest/dg/with-kinesis.html)."""
    return {
        "Records": [
            {
                "eventID": f"{SHARD}:{number}",
                "eventSource": "aws:kinesis",
                "eventSourceARN": STREAM,
                "kinesis": {
                    "partitionKey": reading.device_id,
                    "sequenceNumber": str(number),
                    "data": base64.b64encode(reading.data).decode(),
                    "approximateArrivalTimestamp": reading.payload["timestamp"] / 1000 + 0.2,
                },
            }
            for number, reading in enumerate(batch, first_sequence)
        ]
    }


def _payload(device_id: str, milliseconds: int, randomness: random.Random) -> dict[str, Any]:
    def between(low: float, high: float, digits: int = 2) -> float:
        return round(randomness.uniform(low, high), digits)

    return {
        "deviceId": device_id,
        "timestamp": milliseconds,
        "metrics": {"temperature": between(15, 35), "humidity": between(20, 80)},
        "firmware": f"4.{randomness.randrange(10)}.{randomness.randrange(20)}",
        "battery": between(2.9, 4.2, 3),
        "location": {"latitude": between(47, 55, 6), "longitude": between(6, 15, 6)},
        "note": " ".join(randomness.choices(_WORDS, k=randomness.randrange(3, 22))),
    }
