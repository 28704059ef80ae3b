"""The cost of a synth: our example beside its peers, one more pipeline beside plain L2s, and the import.

hyperfine times a process and all below it. What it does not do is here: contenders in turn, and ratios of neighbors.
"""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from bench.figure import Figure
from bench.peers import ROOT
from bench.peers.environments import app, process_environment, synthesize
from bench.profile import profile, round_trips

ROUNDS: Final = 4
GROWTH_ROUNDS: Final = 2
PIPELINES: Final = 100
PROFILED: Final = 10
BELOW_SOLUTIONS_CONSTRUCTS: Final = 1.0
LIKE_PLAIN_L2S: Final = 1.1
IMPORT_MS: Final = 60.0

_IMPORT_ALL = "import iot_constructs as it; [getattr(it, name) for name in it.__all__]"
Commands = Mapping[str, list[str]]


class Run(NamedTuple):
    """What one process and all below it took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""


def in_turn(commands: Commands, rounds: int, *, warm_up: bool = True) -> dict[str, list[Run]]:
    """Each command in turn, ``rounds`` times, so that what else the machine does meets all of them.

    Every second round is the other way round. ``warm_up`` is a round before them, which writes byte code and does not
    count.

    Raises:
        RuntimeError: a command failed.
    """
    found: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(-1 if warm_up else 0, rounds):
        order = list(commands)[:: -1 if number % 2 else 1]
        for name, run in zip(order, _run([commands[name] for name in order]), strict=True):
            if number >= 0:
                found[name].append(run)
    return found


def _run(commands: list[list[str]]) -> list[Run]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        result = Path(folder) / "result.json"
        options = ["--shell=none", "--runs=1", "--show-output", f"--export-json={result}"]
        done = subprocess.run(
            ["hyperfine", *options, *map(shlex.join, commands)],
            env=process_environment(CDK_OUTDIR=f"{folder}/cdk.out"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        results = json.loads(result.read_text(encoding="utf-8"))["results"]
    measured = [each["measurements"][0] for each in results]
    return [Run(it["time_wall_clock"]["value"], it["time_cpu"]["value"]) for it in measured]


def measure(
    rounds: int = ROUNDS, growth: tuple[int, int] = (PIPELINES, GROWTH_ROUNDS)
) -> Iterator[Figure]:
    """Every figure as soon as it is known."""
    names = ("example", "solutions_constructs", "monitoring_constructs", "plain_l2", "one_bucket")
    commands = {name: app(name) for name in names}
    found = in_turn(commands, rounds)
    for name, runs in found.items():
        wall, cpu = (round(statistics.median(each), 2) for each in zip(*runs, strict=True))
        yield Figure(f"synth.{name}", wall, unit="s", detail={"cpu": cpu})
    pair = ("example", "solutions_constructs")
    ratio = ratio_of(zip(*(found[name] for name in pair), strict=True))
    target = BELOW_SOLUTIONS_CONSTRUCTS
    yield from _explained(
        "synth.example_by_solutions_constructs", ratio, target, {it: commands[it] for it in pair}
    )
    yield Figure("synth.import", round(import_ms(), 1), IMPORT_MS, unit="ms")
    yield from _growth(*growth)


def ratio_of(pairs: Iterable[tuple[Run, Run]]) -> Run:
    """The medians of the ratios of neighbors."""
    ratios = [Run(one.wall / other.wall, one.cpu / other.cpu) for one, other in pairs]
    return Run(*(round(statistics.median(each), 3) for each in zip(*ratios, strict=True)))


def _growth(pipelines: int, rounds: int) -> Iterator[Figure]:
    """What one more pipeline takes, by what a stack of plain L2s takes with alarms to as many resources."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ours, theirs = (len(synthesize(it, Path(folder, it))) for it in ("example", "plain_l2"))

    def pair(count: int) -> Commands:
        return {"example": app("example", count), "plain_l2": app("plain_l2", count, ours - theirs)}

    commands = {f"{name}{at}": it for at in (1, pipelines) for name, it in pair(at).items()}
    found = in_turn(commands, rounds, warm_up=False)
    more = [
        [_less(*runs) for runs in zip(found[f"{it}{pipelines}"], found[f"{it}1"], strict=True)]
        for it in pair(1)
    ]
    ratio = ratio_of(zip(*more, strict=True))
    name = "synth.one_more_pipeline_by_plain_l2s"
    yield from _explained(name, ratio, LIKE_PLAIN_L2S, pair(PROFILED))


def _less(one: Run, other: Run) -> Run:
    return Run(one.wall - other.wall, one.cpu - other.cpu)


def _explained(name: str, ratio: Run, target: float, commands: Commands) -> Iterator[Figure]:
    """A ratio, by what a person waits for; if its target is missed, with a profile of both sides."""
    figure = Figure(name, ratio.wall, target, unit="ratio", detail={"cpu": ratio.cpu})
    yield figure
    if not figure.met:
        for side, command in commands.items():
            parts = profile(command)
            detail = parts | {"requests of Python to Node, in number": round_trips(command)}
            yield Figure(f"{name}.profile.{side}", sum(parts.values()), unit="ms", detail=detail)


def import_ms() -> float:
    """What all public names take to import after the modules of aws_cdk that they use: the median of five processes."""
    used = _python(
        f"{_IMPORT_ALL}; import sys; print([it for it in sys.modules if it.split('.')[0] in "
        "('aws_cdk', 'constructs', 'jsii')])"
    )
    timed = (
        f"import importlib, time; [importlib.import_module(it) for it in {used}]; began = "
        f"time.perf_counter(); {_IMPORT_ALL}; print(1000 * (time.perf_counter() - began))"
    )
    _python(timed)  # writes byte code
    return statistics.median(float(_python(timed)) for _ in range(5))


def _python(code: str) -> str:
    command = [sys.executable, "-c", code]
    environment = process_environment()
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout
