"""One run of an app: wall time, CPU of all its processes, the largest of them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.synth.apps import App

_COUNT = Path(__file__).resolve().parent / "count_round_trips.py"


@dataclass(frozen=True)
class Run:
    """What one process and all below it took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""
    memory: float
    """MB of the largest process, which is the engine."""


class AppFailedError(Exception):
    """The app did not end well."""


def run(app: App) -> Run:
    """Run an app once, in a folder of its own.

    Raises:
        AppFailedError: it ended with an error or wrote no template.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder, said = Path(name) / "cdk.out", Path(name) / "said"
        with said.open("wb") as output:
            began = time.perf_counter()
            process = subprocess.Popen(
                app.command(),
                env=app.environment(folder),
                cwd=name,
                stdout=output,
                stderr=output,
            )
            # Not the sum over all children so far: that one's memory is the largest there ever was.
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not list(folder.glob("*.template.json")):
            raise AppFailedError(f"{app.name}: {said.read_text(errors='replace')[-2000:]}")
    largest = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return Run(wall, usage.ru_utime + usage.ru_stime, largest)


def interleaved(contenders: dict[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Each in turn, ``rounds`` times, so that what else the machine does meets all of them.

    Every second round is the other way round: whatever a run leaves behind is not always for the same one.
    One run of each goes before, which fills caches and does not count.
    """
    results: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(-1, rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            result = contenders[name]()
            if number >= 0:
                results[name].append(result)
    return results


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of runs that stood beside each other."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def round_trips(app: App) -> int:
    """How often the app's Python asks its Node, counted in one run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        counted = Path(name) / "counted"
        completed = subprocess.run(
            [str(app.python), str(_COUNT), str(counted), *app.program],
            env=app.environment(Path(name) / "cdk.out"),
            cwd=name,
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise AppFailedError(f"{app.name}: {completed.stderr[-2000:]}")
        return int(json.loads(counted.read_text()))
