"""Runs contenders in turn, each in a process of its own, so that a ratio is one of neighboring runs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from bench.peers import ROOT
from bench.processor import emulator
from bench.processor.tables import Tables, made_tables
from bench.processor.workload import Shape, readings

OURS = "ours"
# Module, and the folder that it is imported from: ours as in the function's asset.
CONTENDERS = {
    OURS: ("processor.handler", ROOT / "src" / "iot_constructs"),
    "batch_writer": ("bench.processor.contenders.batch_writer", ROOT),
    "powertools": ("bench.processor.contenders.powertools", ROOT),
    "three_puts": ("bench.processor.contenders.three_puts", ROOT),
}
RECORDS_PER_RUN = 500
_LOSES_ROWS = "three_puts"
_START = """
import sys, time
sys.path[:0] = {folders!r}
cpu = time.process_time()
{start}
print(time.process_time() - cpu)
"""
# What handler.py leaves to its first invocation is part of it.
STARTS = {
    OURS: "from processor import handler; handler._processor()",
    "bare": "import boto3; boto3.client('dynamodb')",
    "powertools": "import bench.processor.contenders.powertools",
}

Run = dict[str, float]
"""``seconds``, ``cpu_seconds``, ``calls``, and ``peak_mib``, which is that of the process until then."""


def ratio(ones: Sequence[Run], others: Sequence[Run], what: str) -> float:
    """Return the median of the ratios of neighboring runs."""
    pairs = zip(ones, others, strict=True)
    return statistics.median(one[what] / other[what] for one, other in pairs)


def compared(
    url: str, shape: Shape, others: tuple[str, ...], *, runs: int, latency_ms: float = 0
) -> dict[str, list[Run]]:
    """Let each contender process the same batches: after a run that warms up, a run of each in turn.

    Raises:
        RuntimeError: a contender failed, or its tables are wrong afterwards.
    """
    names = (OURS, *others)
    measured: dict[str, list[Run]] = {name: [] for name in names}
    batches = RECORDS_PER_RUN // shape.records
    with ExitStack() as stack:
        tables = {name: stack.enter_context(made_tables(url)) for name in names}
        with ExitStack() as processes:
            run = {
                name: processes.enter_context(_started(name, tables[name], shape, latency_ms))
                for name in names
            }
            for number in range(runs + 1):
                for name in names[:: 1 if number % 2 else -1]:
                    measured[name].append(run[name](batches))
        sent = [each for batch in readings(shape, (runs + 1) * batches) for each in batch]
        for name in names:
            if name != _LOSES_ROWS:
                tables[name].check(sent)
    return {name: each[1:] for name, each in measured.items()}


def cold_starts(runs: int) -> dict[str, list[Run]]:
    """Start each contender in turn, without bytecode of its own: imports, and the first client."""
    taken = [{name: _start(name) for name in STARTS} for _ in range(runs + 1)][1:]
    return {name: [each[name] for each in taken] for name in STARTS}


def _start(name: str) -> Run:
    folders = [str(CONTENDERS[OURS][1] if name == OURS else ROOT)]
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            [sys.executable, "-B", "-c", _START.format(folders=folders, start=STARTS[name])],
            env=emulator.environment("http://127.0.0.1:9") | Tables("", "a", "b").environment(),
            cwd=nowhere,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return {"cpu_seconds": float(done.stdout)}


@contextmanager
def _started(
    name: str, tables: Tables, shape: Shape, latency_ms: float
) -> Iterator[Callable[[int], Run]]:
    """Start a process. Yields a function that lets it process a number of batches."""
    module, folder = CONTENDERS[name]
    job = {"module": module, "folder": str(folder), "shape": asdict(shape)}
    environment = emulator.environment(tables.url) | tables.environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-m", "bench.processor.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        requests, results = process.stdin, process.stdout
        assert requests is not None
        assert results is not None

        def run(batches: int) -> Run:
            print(batches, file=requests, flush=True)
            line = results.readline()
            if not line:
                raise RuntimeError(f"{name} failed; its error is above")
            result: Run = json.loads(line)
            return result

        print(json.dumps({**job, "latency_ms": latency_ms}), file=requests, flush=True)
        yield run
        requests.close()
