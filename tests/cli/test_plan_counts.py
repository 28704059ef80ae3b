"""What a plan says is what the simulation counts, within 5 %: the real processor, behind the models of AWS.

Counted: records and invocations, DynamoDB calls, units and item sizes, objects of the archive. Not counted, because
nothing here can: KMS requests. One for each object and one every five minutes for each user of a key are assumptions.
"""

from __future__ import annotations

import io
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from math import ceil
from typing import Any

import pytest

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import MB
from iot_constructs.cli.planning.assumptions import DASHBOARD_DEVICES
from iot_constructs.cli.planning.usage import Usage, estimate_usage
from iot_constructs.cli.planning.workload import Workload
from iot_constructs.local.mapping_decisions import Rules
from iot_constructs.processor.batches import Processor
from iot_constructs.processor.handler import process_event
from iot_constructs.processor.retries import RetryPolicy
from iot_constructs.processor.settings import Settings
from iot_constructs.processor.time_series import WRITE_THREADS
from iot_constructs.testing.dynamodb import DynamoDB, item_bytes
from iot_constructs.testing.event_source_mapping import EventSourceMapping
from iot_constructs.testing.faults import FaultPlan
from iot_constructs.testing.history import History
from iot_constructs.testing.kinesis import Kinesis
from iot_constructs.testing.lambda_functions import Context, Environment, Function, Handler
from iot_constructs.testing.processes import Process, World
from iot_constructs.testing.scheduler import START, Scheduler, executor
from tests.cli.test_plan_processor import telemetry, written
from tests.cli.workloads import build_workload
from tests.processor.aws_fakes import (
    NOW,
    SERIES,
    SETTINGS,
    STATE,
    FakeDynamoDB,
    make_processor,
    make_records,
)

WITHIN = 0.05
STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/stream"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:function"
TICK = 0.25
WARM_UP = 15.0


@dataclass
class Counts:
    """What a simulation counted in its time."""

    records: int = 0
    invocations: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    item_bytes: int = 0
    reads: int = 0
    read_units: float = 0

    def by_name(self) -> dict[str, float]:
        """Return all of them."""
        tables = {
            f"{kind} {table}": value
            for kind, counter in (
                ("calls", self.calls),
                ("units", self.units),
                ("items", self.items),
            )
            for table, value in counter.items()
        }
        return {
            "records": self.records,
            "invocations": self.invocations,
            "item bytes": self.item_bytes,
            "reads of states": self.reads,
            "read units": self.read_units,
            **tables,
        }


class Fleet:
    """Devices that start at any time and then send regularly, their stream, its mapping, and the processor."""

    def __init__(self, usage: Usage, seconds: float) -> None:
        workload = usage.workload
        self.workload, self.counts = workload, Counts()
        # Whole batches: from some time after the first record on, while devices send.
        self._begin = workload.batching_window_seconds + WARM_UP
        self._end = self._begin + seconds
        self._random = random.Random(str(workload))
        self._scheduler = Scheduler(str(workload))
        self._world = World(self._scheduler, FaultPlan(0, ()), History())
        self._world.on_call = self._count
        self._dynamodb = DynamoDB()
        self._dynamodb.create_table(SERIES, "deviceId", "timestamp")
        states = self._dynamodb.create_table(STATE, "deviceId").items
        for device in range(workload.devices):  # a plan is of a fleet that is there
            name = self._name(device)
            states[name,] = {"deviceId": {"S": name}, "timestamp": {"N": self._state_of_before()}}
        interval = workload.device_state_interval_seconds
        self._settings: Settings = replace(
            SETTINGS, device_state_interval_seconds=None if interval is None else round(interval)
        )
        if not workload.device_state:
            self._settings = replace(SETTINGS, device_state_table=None)
        self._kinesis = Kinesis(self._scheduler, STREAM, shards=usage.shards)
        self._function = Function(self._world, "function", self._create_handler)
        self._function.on_begin = self._receive
        self._world.services = {
            "kinesis": self._kinesis,
            "dynamodb": self._dynamodb,
            "lambda": self._function,
        }
        self._mapping = EventSourceMapping(
            self._world,
            stream_arn=STREAM,
            function_arn=FUNCTION,
            rules=Rules(
                batch_size=workload.batch_size,
                batching_window=workload.batching_window_seconds,
                parallelization_factor=workload.parallelization_factor,
                report_item_failures=True,
            ),
            destination_arn=None,
        )

    def _state_of_before(self) -> str:
        """Return a timestamp that is old, or as old as the interval makes the states of devices that send."""
        workload = self.workload
        if workload.device_state_interval_seconds is None:
            return "1"
        oldest = workload.device_state_interval_seconds + workload.message_seconds
        return str(round((START - self._random.uniform(0, oldest)) * 1000))

    def run(self) -> Counts:
        """Send, process, and count."""
        logging.disable(logging.CRITICAL)
        try:
            with redirect_stdout(io.StringIO()):
                self._scheduler.run(self._main)
        finally:
            logging.disable(logging.NOTSET)
        return self.counts

    def _main(self) -> None:
        self._start = self._scheduler.now
        self._mapping.start()
        pending: list[dict[str, Any]] = []
        until = 0.0
        for at, device in arrivals(self.workload, self._end, self._random):
            while at > until:
                self._put(pending)
                self._scheduler.sleep(TICK)
                until += TICK
            pending.append(self._message(device, self._start + at))

    def _put(self, pending: list[dict[str, Any]]) -> None:
        while pending:
            self._kinesis.put_records(StreamARN=STREAM, Records=pending[:100])
            del pending[:100]

    def _message(self, device: int, at: float) -> dict[str, Any]:
        of, milliseconds = self.workload, int(at * 1000)
        readings = [
            telemetry(self._random, milliseconds - number, of.reading_bytes)
            for number in range(of.readings_per_message)
        ]
        data = readings[0] if len(readings) == 1 else b"[%b]" % b",".join(readings)
        return {"PartitionKey": self._name(device), "Data": data}

    @staticmethod
    def _name(device: int) -> str:
        return f"sensor-{device:09d}"

    def _create_handler(self, environment: Environment) -> Handler:
        processor = Processor(
            environment.client("dynamodb"),
            environment.client("sns"),
            self._settings,
            RetryPolicy(environment.sleep, self._scheduler.random.random),
            executor=partial(executor, self._scheduler, WRITE_THREADS),
        )

        def handler(event: dict[str, Any], context: Context) -> Any:
            return process_event(processor, event, context)

        return handler

    def _is_counted(self) -> bool:
        return self._begin <= self._scheduler.now - self._start < self._end

    def _receive(self, process: Process, event: Mapping[str, Any]) -> None:
        if self._is_counted():
            self.counts.invocations += 1
            self.counts.records += len(event["Records"])

    def _count(self, process: Process, operation: str, request: Mapping[str, Any]) -> None:
        if process.role != "function" or not self._is_counted():
            return
        if operation == "batch_get_item":
            self.counts.reads += 1
            self.counts.read_units += len(request["RequestItems"][STATE]["Keys"]) / 2
            return
        table, sizes = written(dict(request))
        self.counts.calls[table] += 1
        self.counts.items[table] += len(sizes)
        self.counts.units[table] += sum(ceil(size / 1024) for size in sizes)
        if table == SERIES:
            self.counts.item_bytes += sum(sizes)


def arrivals(workload: Workload, end: float, rng: random.Random) -> Iterator[tuple[float, int]]:
    """Yield the times and devices of all messages in order: devices start at any time, then send regularly."""
    every = workload.message_seconds
    first = sorted((rng.uniform(0, every), device) for device in range(workload.devices))
    for number in count():
        for at, device in first:
            if at + number * every >= end:
                return
            yield at + number * every, device


# Intervals of 70 s do not repeat the same batches in a cycle. Where most batches have about 25 readings, which take one
# call or two, the calls of a few shards differ by more than 5 % from the average of all hashes. Where a few records
# arrive in each second of a window of 5 s, the next window begins at once or 1 s later, depending on the polls' phase.
SHAPES: dict[str, tuple[dict[str, Any], float]] = {
    "two messages a minute": (
        {"devices": 400, "every_seconds": 3 * 3600, "shard_count": 1},
        3 * 3600,
    ),
    "batches of 20 to 50": ({"devices": 1950, "shard_count": 5}, 150),
    "full batches": ({"devices": 7000, "shard_count": 2}, 30),
    "one shard": ({"devices": 1000, "shard_count": 1}, 240),
    "larger batches": ({"devices": 3500, "shard_count": 2, "batch_size": 500}, 90),
    "batches of 10": ({"devices": 1000, "batch_size": 10}, 120),
    "a longer window": ({"devices": 1000, "batching_window_seconds": 30, "batch_size": 500}, 310),
    "no window": ({"devices": 1000, "batching_window_seconds": 0}, 120),
    "a parallelization factor of 4": (
        {"devices": 14_000, "shard_count": 2, "parallelization_factor": 4},
        90,
    ),
    "5 readings in a message": ({"devices": 2000, "readings_per_message": 5}, 300),
    "20 readings in a message": (
        {"devices": 2000, "readings_per_message": 20, "batching_window_seconds": 30},
        1000,
    ),
    "20 readings in full batches": (
        {"devices": 2000, "readings_per_message": 20, "batch_size": 20, "every_seconds": 5},
        60,
    ),
    "items of 2 KB": ({"devices": 600, "reading_bytes": 2000}, 180),
    "arrays of 5 KB": (
        {"devices": 300, "reading_bytes": 5000, "readings_per_message": 5},
        350,
    ),
    "devices that send each second": ({"devices": 40, "every_seconds": 1}, 180),
    "states every 100 s": (
        {"devices": 600, "every_seconds": 30, "device_state_interval_seconds": 100},
        480,
    ),
    "states every 100 s in larger batches": (
        {
            "devices": 3000,
            "every_seconds": 30,
            "batch_size": 500,
            "device_state_interval_seconds": 100,
        },
        240,
    ),
    "states every 7 s of devices that send each second": (
        {"devices": 40, "every_seconds": 1, "device_state_interval_seconds": 7},
        210,
    ),
    "no device-state table": ({"devices": 600, "device_state": False}, 240),
    "batches of --optimize": (
        {
            "devices": 7000,
            "shard_count": 1,
            "batch_size": 500,
            "batching_window_seconds": 30,
            "parallelization_factor": 2,
        },
        50,
    ),
}


# Each takes eight seconds, and another shape has its setting.
LONG = {
    "20 readings in a message",
    "20 readings in full batches",
    "states every 100 s in larger batches",
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(it, marks=[pytest.mark.full] if it in LONG else []) for it in SHAPES],
)
def test_a_plan_is_what_the_simulation_counts(name: str) -> None:
    settings, seconds = SHAPES[name]
    usage = estimate_usage(
        build_workload(**{"every_seconds": 70, "reading_bytes": 400, **settings})
    )
    counted = Fleet(usage, seconds).run()
    average, sent = usage.average, usage.workload
    batches = average.per_second * seconds
    planned = {
        "records": sent.messages_per_second * seconds,
        "invocations": batches,
        f"calls {SERIES}": average.calls.time_series * batches,
        f"units {SERIES}": usage.tables[0].writes * seconds,
        f"items {SERIES}": sent.readings_per_second * seconds,
        "item bytes": sent.item_bytes * sent.readings_per_second * seconds,
        "reads of states": average.calls.state_reads * batches,
        "read units": 0.0,
    }
    if sent.device_state_interval_seconds is not None:
        dashboard = min(sent.devices, DASHBOARD_DEVICES) / sent.dashboard_seconds / 2
        planned["read units"] = (usage.tables[1].reads - dashboard) * seconds
    if sent.device_state:
        planned |= {
            f"calls {STATE}": average.calls.device_state * batches,
            f"units {STATE}": usage.tables[1].writes * seconds,
            f"items {STATE}": average.states * usage.written_states * batches,
        }
    assert counted.by_name() == {
        name: pytest.approx(value, rel=WITHIN) for name, value in planned.items()
    }


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"devices": 1000}, 12 * 3600),
        ({"devices": 1000, "buffering_interval_seconds": 900}, 24 * 3600),
        ({"devices": 30, "every_seconds": 4 * 3600}, 90 * 86_400),
        ({"devices": 5000, "every_seconds": 10, "reading_bytes": 100_000}, 100),
    ],
    ids=str,
)
def test_objects_of_the_archive(settings: dict[str, Any], seconds: float) -> None:
    """An object when the buffer is full, or the interval after its first record ended."""
    usage = estimate_usage(
        build_workload(**{"every_seconds": 60, "reading_bytes": 400, **settings})
    )
    workload = usage.workload
    objects, buffered, since = 0, 0, 0.0
    for at, _ in arrivals(workload, seconds, random.Random(1)):
        if buffered and at >= since + workload.buffering_interval_seconds:
            objects, buffered = objects + 1, 0
        if not buffered:
            since = at
        buffered += workload.message_bytes
        if buffered >= defaults.BUFFERING_SIZE_MIB * MB:
            objects, buffered = objects + 1, 0
    assert usage.objects * seconds == pytest.approx(objects, rel=WITHIN)


def test_read_units_of_a_query_for_a_day() -> None:
    """What the processor stores of a device in a day, as DynamoDB reads it: half a unit for each 4 KB."""
    workload = build_workload(
        devices=1, every_seconds=300, reading_bytes=400, batch_size=100, age_seconds=86_400
    )
    tables = FakeDynamoDB()
    rng = random.Random(1)
    day = [("sensor-000000042", telemetry(rng, NOW + n * 300_000, 400)) for n in range(288)]
    records = make_records(*day, arrival=NOW / 1000 + 86_400)
    assert make_processor(tables).process(records, lambda: 60_000).stored == 288
    read = sum(item_bytes(item) for item in tables.tables[SERIES].items.values())
    [series, state] = estimate_usage(workload).tables
    assert series.reads * 86_400 == pytest.approx(ceil(read / 4096) / 2, rel=WITHIN)
    # and the dashboard's: one item each minute
    [item] = tables.tables[STATE].items.values()
    assert state.reads * 60 == pytest.approx(ceil(item_bytes(item) / 4096) / 2)
