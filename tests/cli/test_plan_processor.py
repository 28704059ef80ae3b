"""A plan's calls and write units are those of the processor's own code, within 5 %."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from typing import Any

import pytest

from iot_constructs.cli.planning.batches import (
    calls_per_batch,
    estimate_item_bytes,
    estimate_state_bytes,
    states_per_batch,
    write_units,
)
from tests.processor.aws_fakes import (
    NOW,
    SERIES,
    STATE,
    Clock,
    FakeDynamoDB,
    make_processor,
    make_records,
)

WITHIN = 0.05


class Counting:
    """A client that counts calls and write units by table."""

    def __init__(self) -> None:
        self._client = FakeDynamoDB()
        self._lock = threading.Lock()
        self.start()

    def start(self) -> None:
        """Begin at zero."""
        self.made = {SERIES: 0, STATE: 0}
        self.items = {SERIES: 0, STATE: 0}
        self.units = {SERIES: 0, STATE: 0}
        self.largest = {SERIES: 0, STATE: 0}

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            with self._lock:
                self._count(*written(request))
            return getattr(self._client, operation)(**request)

        return call

    def _count(self, table: str, sizes: Sequence[int]) -> None:
        self.made[table] += 1
        self.items[table] += len(sizes)
        self.units[table] += sum(ceil(size / 1024) for size in sizes)
        self.largest[table] = max(self.largest[table], *sizes)


def written(request: dict[str, Any]) -> tuple[str, list[int]]:
    """The table that a call writes to, and the sizes of the items."""
    if "RequestItems" in request:
        [(table, puts)] = request["RequestItems"].items()
        return table, [size_of(put["PutRequest"]["Item"]) for put in puts]
    if "Statements" in request:
        # Whichever statement it is, the first three parameters are id, timestamp and reading in some order.
        names = ("deviceId", "timestamp", "reading")
        return STATE, [
            size_of(dict(zip(names, statement["Parameters"], strict=False)))
            for statement in request["Statements"]
        ]
    return request["TableName"], [size_of(request["Item"])]


def size_of(item: dict[str, Any]) -> int:
    return sum(len(name) + require_base64(value) for name, value in item.items())


def require_base64(value: dict[str, Any]) -> int:
    """As amazondynamodb/latest/developerguide/CapacityUnitCalculations.html has it."""
    [(kind, content)] = value.items()
    if kind == "M":
        return 3 + sum(len(name) + require_base64(member) + 1 for name, member in content.items())
    if kind == "N":
        digits = Decimal(content).normalize().as_tuple().digits
        return ceil(len(digits) / 2) + 1 + str(content).startswith("-")
    assert kind == "S", f"telemetry of this test has no {kind}"
    return len(str(content).encode())


def telemetry(rng: random.Random, milliseconds: int, size: int) -> bytes:
    """A JSON object of named numbers, of ``size`` bytes or a member more."""
    members = [f'"timestamp":{milliseconds}']
    length = len(members[0]) + 2
    while length < size:
        members.append(f'"temperature{len(members):03d}":{rng.uniform(-20, 60):.2f}')
        length += len(members[-1]) + 1
    return ("{" + ",".join(members) + "}").encode()


def processed(batch: Sequence[tuple[str, bytes]], into: Any) -> None:
    outcome = make_processor(into, clock=Clock()).process(make_records(*batch), lambda: 60_000)
    assert (outcome.retry_from, outcome.stored) == (None, len(batch))


def know(devices: int, client: Counting) -> None:
    """Let each device be heard of once before: a plan is of a fleet that is there."""
    for first in range(0, devices, 100):
        known = range(first, min(first + 100, devices))
        processed(
            [(f"sensor-{n:09d}", telemetry(random.Random(n), NOW - 1, 1)) for n in known], client
        )
    client.start()


@pytest.mark.parametrize(
    ("records", "devices", "size"),
    [
        (1, 1, 400),
        (7, 7, 400),
        (25, 25, 400),
        (26, 26, 400),
        (100, 100, 400),
        (100, 50, 300),
        (100, 10, 300),
        (500, 200, 300),
        (100, 1, 400),
        (100, 100, 100),
        (100, 100, 2000),
        (60, 10, 30_000),
        (30, 30, 100_000),
        (1000, 300, 400),
        (1200, 1200, 400),
    ],
)
def test_calls_and_write_units_of_a_batch(records: int, devices: int, size: int) -> None:
    rng = random.Random(records)
    batch = [
        (f"sensor-{position % devices:09d}", telemetry(rng, NOW + position, size))
        for position in range(records)
    ]
    counted = Counting()
    know(devices, counted)
    processed(batch, counted)

    item = estimate_item_bytes(size)
    calls = calls_per_batch(records, devices, item)
    assert calls.time_series == pytest.approx(counted.made[SERIES], rel=WITHIN)
    assert calls.device_state == pytest.approx(counted.made[STATE], rel=WITHIN)
    assert records * write_units(item) == pytest.approx(counted.units[SERIES], rel=WITHIN)
    states = states_per_batch(records, devices) * write_units(estimate_state_bytes(item))
    assert states == pytest.approx(counted.units[STATE], rel=WITHIN)
    assert item == pytest.approx(counted.largest[SERIES], rel=0.1)
    assert estimate_state_bytes(item) == pytest.approx(counted.largest[STATE], rel=0.1)


@pytest.mark.parametrize(
    ("records", "devices", "readings", "size"),
    [
        (100, 100, 5, 400),
        (100, 10, 5, 400),
        (26, 26, 20, 400),
        (100, 100, 20, 400),
        (40, 7, 20, 1500),
    ],
)
def test_several_readings_in_a_message(
    records: int, devices: int, readings: int, size: int
) -> None:
    """Each reading is an item; the state of a device is written once for each slice of 500 readings."""
    rng = random.Random(records)
    batch = [
        (
            f"sensor-{position % devices:09d}",
            b"[%b]"
            % b",".join(
                telemetry(rng, NOW + position * 100 + number, size) for number in range(readings)
            ),
        )
        for position in range(records)
    ]
    counted = Counting()
    know(devices, counted)
    processed(batch, counted)

    item = estimate_item_bytes(size)
    calls = calls_per_batch(records, devices, item, readings)
    assert calls.time_series == pytest.approx(counted.made[SERIES], rel=WITHIN)
    assert calls.device_state == pytest.approx(counted.made[STATE], rel=WITHIN)
    assert counted.items[SERIES] == records * readings
    assert states_per_batch(records, devices, readings) == pytest.approx(
        counted.items[STATE], rel=WITHIN
    )
    assert records * readings * write_units(item) == pytest.approx(
        counted.units[SERIES], rel=WITHIN
    )
