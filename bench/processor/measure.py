"""The processor beside others: what is measured, and the targets."""

from __future__ import annotations

import functools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict

from bench.figure import Figure, Run, in_turn, median, ratio
from bench.peers import ROOT
from bench.processor import emulator, latency
from bench.processor.tables import Tables, made_tables
from bench.processor.workload import Shape, readings
from iot_constructs.cli.planning.batches import calls_per_batch

OURS, BATCH_WRITER, POWERTOOLS, THREE_PUTS = "ours", "batch_writer", "powertools", "three_puts"
CONTENDERS = {
    OURS: "processor.handler:handler",
    BATCH_WRITER: "bench.processor.contenders:batch_writer",
    POWERTOOLS: "bench.processor.powertools:handler",
    THREE_PUTS: "bench.processor.contenders:three_puts",  # which loses rows
}
STARTS = {
    OURS: "from processor import handler; handler._processor()",  # left to the first invocation
    "bare": "import boto3; boto3.client('dynamodb')",
    POWERTOOLS: "import bench.processor.powertools",
}
OUR_FOLDER = ROOT / "src" / "iot_constructs"
"""What ours is imported from, as in the function's asset."""

MAIN = Shape(records=100, devices=50)
# What a batch costs depends on how many devices are in it: none of these is left out.
OTHERS = {
    "devices_10": Shape(records=100, devices=10),
    "devices_100": Shape(records=100, devices=100),
    "records_500_devices_200": Shape(records=500, devices=200),
}
LATENCY_MS = 4.0
"""A stand-in for the way to DynamoDB and back, of which the emulator has next to nothing."""
RECORDS_PER_RUN = 500
RUNS = 7
FASTER, FASTER_ELSEWHERE, CPU_SHARE, CALLS_SHARE, INIT_RATIO = 2.5, 1.8, 0.18, 0.15, 1.25
PLAN_DEVIATION = 0.05
WINDOWS = (0, 1, 5)  # seconds


def figures(runs: int = RUNS) -> Iterator[Figure]:
    """Every figure as soon as it is known."""
    starts = in_turn({name: functools.partial(_start, name) for name in STARTS}, runs)
    for name, each in starts.items():
        value = round(median("cpu_seconds", each) * 1000, 3)
        yield Figure(f"processor.init_ms.{name}", value, unit="ms of CPU")
    init = ratio("cpu_seconds", starts[OURS], starts["bare"])
    yield Figure("processor.init_ratio", init, INIT_RATIO, unit="of a bare boto3 function")
    with emulator.plain_emulator() as url:
        main = compared(url, MAIN, (BATCH_WRITER,), runs)
        yield from absolute_figures(main)
        yield from ratio_figures(main, faster=FASTER, cpu=CPU_SHARE, calls=CALLS_SHARE)
        for suffix, shape in OTHERS.items():
            other = compared(url, shape, (BATCH_WRITER,), runs)
            yield from ratio_figures(other, f".{suffix}", faster=FASTER_ELSEWHERE)
        slow = compared(url, MAIN, (BATCH_WRITER,), runs, LATENCY_MS)
        yield from ratio_figures(slow, f".latency_{LATENCY_MS:g}_ms", faster=FASTER_ELSEWHERE)
        usual = compared(url, MAIN, (POWERTOOLS, THREE_PUTS), max(2, runs // 5))
        yield from ratio_figures(usual)
    batch_seconds = median("seconds", slow[OURS]) * MAIN.records / RECORDS_PER_RUN
    for window in WINDOWS:
        percentiles = statistics.quantiles(latency.delays(window, batch_seconds), n=100)
        for percent in (50, 99):
            name = f"processor.accepted_to_stored_p{percent}.window_{window}_s"
            yield Figure(name, round(percentiles[percent - 1], 3), unit="s")


def compared(
    url: str, shape: Shape, others: tuple[str, ...], runs: int, latency_ms: float = 0
) -> dict[str, list[Run]]:
    """Let each contender process the same batches, each run in a process of its own.

    Raises:
        subprocess.CalledProcessError: a contender failed; its error is above.
        RuntimeError: its tables are wrong afterwards.
    """
    names, batches = (OURS, *others), RECORDS_PER_RUN // shape.records
    with ExitStack() as stack:
        tables = {name: stack.enter_context(made_tables(url)) for name in names}
        done = dict.fromkeys(names, 0)

        def run(name: str) -> Run:
            job = {"contender": CONTENDERS[name], "shape": asdict(shape), "first": done[name]}
            job |= {"batches": batches, "latency_ms": latency_ms}
            done[name] += 2 * batches
            worker = ["-m", "bench.processor.worker", json.dumps(job)]
            result: Run = json.loads(_python(name, worker, tables[name]))
            return result

        measured = in_turn({name: functools.partial(run, name) for name in names}, runs)
        for name in names:
            if name != THREE_PUTS:
                tables[name].check(
                    [each for batch in readings(shape, done[name]) for each in batch]
                )
    return measured


def _start(name: str) -> Run:
    """Imports and the first client, without bytecode."""
    code = (
        f"import time\ncpu = time.process_time()\n{STARTS[name]}\nprint(time.process_time() - cpu)"
    )
    tables = Tables("http://127.0.0.1:9", "a", "b")
    return {"cpu_seconds": float(_python(name, ["-B", "-c", code], tables))}


def _python(name: str, arguments: list[str], tables: Tables) -> str:
    variables = emulator.environment(tables.url) | tables.environment()
    variables["PYTHONPATH"] = f"{ROOT}:{OUR_FOLDER}" if name == OURS else str(ROOT)
    with tempfile.TemporaryDirectory() as nowhere:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, env=variables, cwd=nowhere, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def ratio_figures(
    measured: dict[str, list[Run]],
    suffix: str = "",
    *,
    faster: float | None = None,
    cpu: float | None = None,
    calls: float | None = None,
) -> Iterator[Figure]:
    """Ours beside each of the others, with targets."""
    ours = measured[OURS]
    for name, other in measured.items():
        if name != OURS:
            of = f"ratio.{name}{suffix}"
            speed = ratio("seconds", other, ours)
            yield Figure(f"processor.records_per_second_{of}", speed, faster, at_most=False)
            yield Figure(f"processor.cpu_{of}", ratio("cpu_seconds", ours, other), cpu)
            yield Figure(f"processor.calls_{of}", ratio("calls", ours, other), calls)


def absolute_figures(measured: dict[str, list[Run]]) -> Iterator[Figure]:
    """The numbers of each contender in the main shape, which are those of this machine, and the planner's."""
    per_1000 = 1000 / RECORDS_PER_RUN
    for name, each in measured.items():
        for kind, value, unit in (
            ("records_per_second", RECORDS_PER_RUN / median("seconds", each), "1/s"),
            ("cpu_ms_per_1000_records", median("cpu_seconds", each) * 1000 * per_1000, "ms"),
            ("calls_per_1000_records", median("calls", each) * per_1000, "calls"),
            ("peak_memory", median("peak_mib", each), "MiB"),
        ):
            yield Figure(f"processor.{kind}.{name}", round(value, 3), unit=unit)
    planned = calls_per_batch(MAIN.records, MAIN.devices, 1).total * 1000 / MAIN.records
    deviation = abs(planned / (median("calls", measured[OURS]) * per_1000) - 1)
    yield Figure("processor.plan_deviation.calls", round(deviation, 3), PLAN_DEVIATION)
