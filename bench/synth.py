"""The cost of a synth: our example beside its peers, one more pipeline beside plain L2s, and the import."""

from __future__ import annotations

import functools
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.figure import Figure, Run, in_turn, median, ratio
from bench.peers import ROOT
from bench.peers.environments import app, process_environment, synthesize
from bench.profile import profile, requests_to_node

ROUNDS: Final = 4
GROWTH_ROUNDS: Final = 2
PIPELINES: Final = 100
PROFILED: Final = 10
BELOW_SOLUTIONS_CONSTRUCTS: Final = 1.0
LIKE_PLAIN_L2S: Final = 1.1
IMPORT_MS: Final = 60.0
APPS: Final = ("example", "solutions_constructs", "monitoring_constructs", "plain_l2", "one_bucket")

_IMPORT_ALL = "import iot_constructs as it; [getattr(it, name) for name in it.__all__]"


def figures(rounds: int = ROUNDS, pipelines: int = PIPELINES) -> Iterator[Figure]:
    """Every figure as soon as it is known."""
    commands = {name: app(name) for name in APPS}
    found = in_turn({it: functools.partial(run, commands[it]) for it in APPS}, rounds)
    for name, runs in found.items():
        cpu = round(median("cpu", runs), 2)
        yield Figure(f"synth.{name}", round(median("wall", runs), 2), unit="s", detail={"cpu": cpu})
    sides = {name: commands[name] for name in ("example", "solutions_constructs")}
    name = "synth.example_by_solutions_constructs"
    yield from _explained(name, found, BELOW_SOLUTIONS_CONSTRUCTS, sides)
    yield Figure("synth.import", round(import_ms(), 1), IMPORT_MS, unit="ms")
    yield from _growth(pipelines, min(rounds, GROWTH_ROUNDS))


def run(command: list[str]) -> Run:
    """The seconds of one process and all below it.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "result.json"
        options = ["--shell=none", "--runs=1", "--show-output", f"--export-json={output}"]
        done = subprocess.run(
            ["hyperfine", *options, shlex.join(command)],
            env=process_environment(CDK_OUTDIR=f"{folder}/cdk.out"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        [result] = json.loads(output.read_text(encoding="utf-8"))["results"]
    [it] = result["measurements"]
    return {"wall": it["time_wall_clock"]["value"], "cpu": it["time_cpu"]["value"]}


def _growth(pipelines: int, rounds: int) -> Iterator[Figure]:
    """What one more pipeline takes, by what a stack of plain L2s takes with alarms to as many resources."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ours, theirs = (len(synthesize(it, Path(folder, it))) for it in ("example", "plain_l2"))

    def sides(count: int) -> dict[str, list[str]]:
        return {"example": app("example", count), "plain_l2": app("plain_l2", count, ours - theirs)}

    commands = {(it, count): sides(count)[it] for count in (1, pipelines) for it in sides(1)}
    runs = in_turn(
        {f"{it}{count}": functools.partial(run, each) for (it, count), each in commands.items()},
        rounds,
        warm_up=False,
    )
    more = {
        it: [
            {what: many[what] - one[what] for what in one}
            for many, one in zip(runs[f"{it}{pipelines}"], runs[f"{it}1"], strict=True)
        ]
        for it in sides(1)
    }
    name = "synth.one_more_pipeline_by_plain_l2s"
    yield from _explained(name, more, LIKE_PLAIN_L2S, sides(PROFILED))


def _explained(
    name: str, runs: dict[str, list[Run]], target: float, sides: dict[str, list[str]]
) -> Iterator[Figure]:
    """A ratio of the two sides, by what a person waits for; if its target is missed, with a profile of both."""
    ours, theirs = (runs[side] for side in sides)
    wall, cpu = (ratio(what, ours, theirs) for what in ("wall", "cpu"))
    figure = Figure(name, wall, target, unit="ratio", detail={"cpu": cpu})
    yield figure
    if not figure.met:
        for side, command in sides.items():
            parts = profile(command)
            requests = {"requests of Python to Node, in number": requests_to_node(command)}
            yield Figure(
                f"{name}.profile.{side}", sum(parts.values()), unit="ms", detail=parts | requests
            )


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
    command, variables = [sys.executable, "-c", code], process_environment()
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
