"""All figures: `figures` starts the emulator and the contenders."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.figure import Figure
from bench.processor import cold_start, emulator
from bench.processor.tables import Found, compare, made_tables
from bench.processor.workload import Reading, Shape, readings
from iot_constructs.cli.planning.batches import calls_per_batch, states_per_batch, write_units

ROOT = Path(__file__).resolve().parents[2]
MAIN = Shape(records=100, devices=50)
# What a batch costs depends on how many devices are in it: none of these is left out.
OTHERS = {
    "devices_10": Shape(records=100, devices=10),
    "devices_100": Shape(records=100, devices=100),
    "records_500_devices_200": Shape(records=500, devices=200),
}
NEW_DEVICES = Shape(records=100, devices=100)
RECORDS = 20_000
ROUNDS = 5
COLD_STARTS = 15
# A stand-in for the way to DynamoDB and back, of which the emulator has next to nothing.
LATENCY_MS = 4.0

FEWER_CALLS = 10.0
MORE_RECORDS_PER_SECOND = 5.0
WRITE_UNITS_SHARE = 0.5
INIT_RATIO = 1.5
PLAN_DEVIATION = 0.05


@dataclass
class Measured:
    """What one contender did with one shape, over all rounds."""

    shape: Shape
    records_per_second: list[float] = field(default_factory=list)
    """Of each round."""
    batch_seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    operations: Counter[str] = field(default_factory=Counter)
    write_units: int = 0
    largest_item_bytes: int = 0
    found: list[Found] = field(default_factory=list)

    @property
    def batches(self) -> int:
        """The measured ones."""
        return len(self.batch_seconds)

    @property
    def records(self) -> int:
        """The measured ones."""
        return self.batches * self.shape.records

    def per_1000_records(self, number: float) -> float:
        """A number of this run for each 1000 records."""
        return number * 1000 / self.records

    def percentile_ms(self, share: float) -> float:
        """So many of the batches took no longer; 100 records or whatever the shape has."""
        ordered = sorted(self.batch_seconds)
        return 1000 * ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    def add(self, result: dict[str, Any], found: Found) -> None:
        """Adds what one process answered."""
        seconds = result["seconds"]
        self.records_per_second.append(len(seconds) * self.shape.records / sum(seconds))
        self.batch_seconds += seconds
        self.cpu_seconds += result["cpu_seconds"]
        self.operations.update(result["operations"])
        self.write_units += result["write_units"]
        self.largest_item_bytes = max(self.largest_item_bytes, result["largest_item_bytes"])
        self.found.append(found)


def compared(
    url: str,
    shape: Shape,
    contenders: tuple[str, ...],
    *,
    records: int,
    rounds: int = 1,
    latency_ms: float = 0,
    known_devices: bool = True,
) -> dict[str, Measured]:
    """Each round gives each contender the same batches, in a new process and with new tables.

    Raises:
        RuntimeError: a contender failed, or ours has stored something wrong.
    """
    measured = {contender: Measured(shape) for contender in contenders}
    warm_up = 1 if known_devices else 0
    batches = max(1, records // shape.records // rounds) + warm_up
    sent = [reading for batch in readings(shape, batches) for reading in batch]
    job = {
        "shape": asdict(shape),
        "batches": batches,
        "warm_up": warm_up,
        "latency_ms": latency_ms,
    }
    for number in range(rounds):
        # Nobody always has the first turn.
        for contender in (
            contenders[number % len(contenders) :] + contenders[: number % len(contenders)]
        ):
            result, found = _run_once(url, contender, job, sent, known_devices=known_devices)
            measured[contender].add(result, found)
    return measured


def _run_once(
    url: str, contender: str, job: dict[str, Any], sent: list[Reading], *, known_devices: bool
) -> tuple[dict[str, Any], Found]:
    with made_tables(url, known_devices=known_devices) as tables:
        done = subprocess.run(
            [sys.executable, "-m", "bench.processor.run_contender"],
            input=json.dumps({**job, "contender": contender}),
            env={
                **emulator.environment(url),
                **tables.environment(),
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            },
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{contender} failed:\n{done.stderr}")
        ours = contender == "ours"
        found = compare(tables, sent, rows_per_reading=1 if ours else 2)
    if ours and (found.rows_lost or found.wrong_states):
        raise RuntimeError(f"our processor stored something wrong: {found}")
    return json.loads(done.stdout), found


def run(records: int = RECORDS, **options: Any) -> list[Figure]:
    """All that `figures` measures."""
    return list(figures(records, **options))


def figures(
    records: int = RECORDS,
    *,
    rounds: int = ROUNDS,
    cold_starts: int = COLD_STARTS,
    latency_ms: float = 0,
) -> Iterator[Figure]:
    """Measures everything and yields what is known already; most of the time is the usual function's.

    Args:
        records: what each contender gets of the main shape; of the other shapes a fifth.
        rounds: into so many parts the records of the main shape are divided.
        cold_starts: of each contender.
        latency_ms: each call of each contender is held up for so long.
    """
    yield from init_figures(cold_start.measure(cold_starts))
    with emulator.plain_emulator() as url:
        new = compared(url, NEW_DEVICES, ("ours",), records=100, known_devices=False)["ours"]
        yield from count_figures("ours", new, ".new_devices_100")
        for name, shape in OTHERS.items():
            other = compared(
                url, shape, ("ours", "usual"), records=records // 5, latency_ms=latency_ms
            )
            yield from figures_of(other, f".{name}")
        slow = compared(url, MAIN, ("ours", "usual"), records=records // 10, latency_ms=LATENCY_MS)
        yield from time_figures(slow, f".latency_{LATENCY_MS:g}_ms", targets=False)
        yield from figures_of(
            compared(
                url,
                MAIN,
                ("ours", "usual", "powertools"),
                records=records,
                rounds=rounds,
                latency_ms=latency_ms,
            )
        )


def figures_of(measured: dict[str, Measured], suffix: str = "") -> list[Figure]:
    """Every contender's numbers, and ours against each of the others."""
    found = [
        figure
        for contender, each in measured.items()
        for figure in count_figures(contender, each, suffix)
    ]
    ours = measured["ours"]
    found += planner_figures(ours, suffix)
    for contender, other in measured.items():
        if contender == "ours":
            continue
        name = _prefix(contender, against=True)
        shape = _shape_detail(ours)
        found += [
            Figure(
                f"{name}calls_ratio{suffix}",
                round(other.operations.total() / ours.operations.total(), 2),
                FEWER_CALLS,
                at_most=False,
                unit="times fewer",
                detail=shape,
            ),
            Figure(
                f"{name}write_units_ratio{suffix}",
                round(ours.write_units / other.write_units, 3),
                WRITE_UNITS_SHARE,
                unit="of theirs",
                detail=shape,
            ),
        ]
    return found + time_figures(measured, suffix)


def planner_figures(ours: Measured, suffix: str = "") -> list[Figure]:
    """How far `iot-constructs plan` is from what was counted."""
    records, devices = ours.shape.records, ours.shape.devices
    item = ours.largest_item_bytes
    units = (records + states_per_batch(records, devices)) * write_units(item)
    planned = {
        "calls": (calls_per_batch(records, devices, item).total, ours.operations.total()),
        "write_units": (units, ours.write_units),
    }
    return [
        Figure(
            f"processor.plan_deviation.{name}{suffix}",
            round(abs(of_a_batch * ours.batches / counted - 1), 4),
            PLAN_DEVIATION,
            unit="of what was counted",
            detail={**_shape_detail(ours), "planned_per_batch": of_a_batch},
        )
        for name, (of_a_batch, counted) in planned.items()
    ]


def time_figures(
    measured: dict[str, Measured], suffix: str = "", *, targets: bool = True
) -> list[Figure]:
    """Records per second and the time of a batch."""
    found = []
    for contender, each in measured.items():
        name, detail = _prefix(contender), _shape_detail(each)
        rate = statistics.median(each.records_per_second)
        found += [
            Figure(
                f"{name}records_per_second{suffix}",
                round(rate, 1),
                unit="1/s",
                detail={
                    **detail,
                    "rounds": [round(number, 1) for number in each.records_per_second],
                    # The rest is spent waiting, which here means: for the emulator.
                    "own_cpu_share": round(each.cpu_seconds / sum(each.batch_seconds), 3),
                },
            ),
            Figure(
                f"{name}cpu_ms_per_1000_records{suffix}",
                round(each.per_1000_records(each.cpu_seconds * 1000), 1),
                unit="ms",
                detail=detail,
            ),
            Figure(
                f"{name}batch_p50_ms{suffix}",
                round(each.percentile_ms(0.50), 1),
                unit="ms",
                detail=detail,
            ),
            Figure(
                f"{name}batch_p99_ms{suffix}",
                round(each.percentile_ms(0.99), 1),
                unit="ms",
                detail=detail,
            ),
        ]
        if contender != "ours":
            ours = statistics.median(measured["ours"].records_per_second)
            found.append(
                Figure(
                    f"{_prefix(contender, against=True)}records_per_second_ratio{suffix}",
                    round(ours / rate, 2),
                    MORE_RECORDS_PER_SECOND if targets else None,
                    at_most=False,
                    unit="times as many",
                    detail=detail,
                )
            )
    return found


def init_figures(starts: dict[str, cold_start.Start]) -> list[Figure]:
    """The cold start of each, and ours against the bare one."""
    found = [
        Figure(
            f"{_prefix(contender)}init_ms",
            round(start.cpu_ms, 1),
            unit="ms of processor time",
            detail={"wall_ms": round(start.wall_ms, 1)},
        )
        for contender, start in starts.items()
    ]
    ours, bare = starts["ours"], starts["bare"]
    # Of processor time: to import is nothing but to compute, and other processes do not count.
    found.append(
        Figure(
            "processor.init_ratio",
            round(ours.cpu_ms / bare.cpu_ms, 3),
            INIT_RATIO,
            unit="of a bare boto3 function",
            detail={"wall_ratio": round(ours.wall_ms / bare.wall_ms, 3)},
        )
    )
    return found


def count_figures(contender: str, measured: Measured, suffix: str) -> list[Figure]:
    """Calls and write units of one contender."""
    detail = {
        **_shape_detail(measured),
        "calls_per_batch": measured.operations.total() / measured.batches,
        "write_units_per_batch": measured.write_units / measured.batches,
        "operations": dict(measured.operations),
        "largest_item_bytes": measured.largest_item_bytes,
        "rows_lost": sum(each.rows_lost for each in measured.found),
        "wrong_states": sum(each.wrong_states for each in measured.found),
    }
    name = _prefix(contender)
    return [
        Figure(
            f"{name}calls_per_1000_records{suffix}",
            round(measured.per_1000_records(measured.operations.total()), 1),
            unit="calls",
            detail=detail,
        ),
        Figure(
            f"{name}write_units_per_1000_records{suffix}",
            round(measured.per_1000_records(measured.write_units), 1),
            unit="write units",
            detail=detail,
        ),
    ]


def _shape_detail(measured: Measured) -> dict[str, Any]:
    return {
        "records": measured.records,
        "records_per_batch": measured.shape.records,
        "distinct_devices_per_batch": measured.shape.devices,
    }


def _prefix(contender: str, *, against: bool = False) -> str:
    """Ours has none, and what is held against the usual one neither."""
    unnamed = {"ours", "usual"} if against else {"ours"}
    return "processor." if contender in unnamed else f"processor.{contender}."
