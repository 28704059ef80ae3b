"""How long a function takes until it can handle its first batch: imports, and the first client.

Each start is a process of its own. Our function is started from the
folder that is its deployment package, without bytecode, as Lambda would find it; boto3 and Powertools' peers are
installed packages. The time of
starting Python itself is left out on both sides.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.processor import emulator
from bench.processor.tables import Tables

ROOT = Path(__file__).resolve().parents[2]
STARTS = {
    # What handler.py leaves to its first invocation is part of it.
    "ours": "from processor import handler; handler._processor()",
    "bare": "import bench.processor.bare_handler",
    "usual": "import bench.processor.usual_handler",
    "powertools": "import bench.processor.powertools_handler",
}
_PROGRAM = """
import sys, time
sys.path[:0] = {paths!r}
wall, cpu = time.perf_counter(), time.process_time()
{start}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


@dataclass(frozen=True)
class Start:
    """Medians, in milliseconds."""

    wall_ms: float
    cpu_ms: float


def measure(rounds: int) -> dict[str, Start]:
    """Starts each contender so many times, one after the other, and once more before that."""
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(rounds + 1):
        for contender in STARTS:
            seconds = _start(contender)
            if number:
                taken[contender].append(seconds)
    return {
        contender: Start(
            statistics.median(wall for wall, _ in each) * 1000,
            statistics.median(cpu for _, cpu in each) * 1000,
        )
        for contender, each in taken.items()
    }


def _start(contender: str) -> tuple[float, float]:
    # As Lambda finds it: the folder of the package alone.
    paths = [str(ROOT / "src" / "iot_constructs" if contender == "ours" else ROOT)]
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            # -B: our package stays without bytecode.
            [sys.executable, "-B", "-c", _PROGRAM.format(paths=paths, start=STARTS[contender])],
            env={
                **emulator.environment("http://127.0.0.1:9"),
                **Tables("", "cold").environment(),
                "PATH": os.environ.get("PATH", ""),
            },
            cwd=nowhere,
            check=True,
            capture_output=True,
            text=True,
        )
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu
