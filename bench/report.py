"""docs/benchmarks.md, with a profile and a reason for each missed target."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Final

from bench.figure import Figure
from bench.peers import ROOT

PAGE: Final = ROOT / "docs" / "benchmarks.md"
_APPS: Final = {
    "example": "our example",
    "solutions_constructs": "AWS Solutions Constructs",
    "monitoring_constructs": "cdk-monitoring-constructs",
    "plain_l2": "plain L2s",
    "one_bucket": "one bucket",
}
_REASONS: Final = {  # by the beginning of the figure's name
    "synth.example_by_solutions_constructs": "Our template has twice as many resources, and CDK validates each.",
    "synth.one_more_pipeline_by_plain_l2s": "The L2s are as many, but have their defaults. Ours state two to three "
    "times as many properties, policy statements, and texts, which Python sends, CDK renders, and its validator reads. "
    "Before anything is created, the stack and the environment of each argument are read, a request to Node each.",
    "processor.records_per_second_ratio.batch_writer": "The emulator takes most of the time of both, one call at a "
    "time, and both write the readings in the same four calls (bench/processor/README.md).",
}
_ABOUT: Final = """\
# Benchmarks

Written by `make bench` on {date}: Python {python}, aws-cdk-lib {cdk}, {cores} cores, {machine}; the peers with the
versions in `bench/peers/requirements-*.txt` and `constraints.txt`. Times depend on the machine and on what else it
did. The ratios are what to look at, and on a busy machine only roughly. `make bench` prints one line of JSON per
figure, and exits with 0 if all was measured, whether or not a target is met.

## Synth

Every app is a process of its own, timed by [hyperfine](https://github.com/sharkdp/hyperfine): the same Python without
flags, the same Node, started without a launcher, and CDK's template validation as CDK has it, which is on. The apps run
in turn. Times are medians, and a ratio is the median of the ratios of neighboring runs. "One more pipeline" is what
each of the 2nd to 100th in one app takes, divided by what the plain L2s take with more alarms, to as many resources.

{apps}

## Targets

{figures}
{unmet}"""


def page(figures: Sequence[Figure]) -> str:
    """The page of these figures."""
    named = {figure.figure: figure for figure in figures}
    apps = [(label, named.get(f"synth.{app}")) for app, label in _APPS.items()]
    rows = [it for it in figures if it.target is not None or not it.figure.startswith("synth.")]
    return _ABOUT.format(
        date=datetime.now(tz=timezone.utc).date(),
        python=platform.python_version(),
        cdk=version("aws-cdk-lib"),
        cores=os.cpu_count(),
        machine=platform.machine(),
        apps=_table(
            ["app", "wall, s", "CPU, s"],
            *([label, f"{it.value:.2f}", f"{it.detail['cpu']:.2f}"] for label, it in apps if it),
        ),
        figures=_table(["figure", "value", "target", "met"], *map(_row, rows)),
        unmet="".join(_unmet(it, figures) for it in rows if it.met is False),
    )


def _table(*rows: Sequence[str]) -> str:
    head, *others = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *others))


def _row(figure: Figure) -> list[str]:
    sign = "at most" if figure.at_most else "at least"
    target = "" if figure.target is None else f"{sign} {figure.target:g}"
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    return [f"`{figure.figure}`", f"{figure.value:g} {figure.unit}".strip(), target, met]


def _unmet(figure: Figure, figures: Sequence[Figure]) -> str:
    """Why, and for a synth where Node's time goes on both sides, and how often Python asks it."""
    parts = [why for name, why in _REASONS.items() if figure.figure.startswith(name)]
    profiles = [it for it in figures if it.figure.startswith(f"{figure.figure}.profile.")]
    if profiles:
        sides = (_APPS[it.figure.rpartition(".")[2]] for it in profiles)
        values = (map(str, it.detail.values()) for it in profiles)
        rows = ([side, *row] for side, row in zip(sides, values, strict=True))
        parts.append(_table(["one synth, ms by Node's profiler", *profiles[0].detail], *rows))
    return "\n\n".join(["", f"## Unmet: `{figure.figure}`", *parts]) + "\n"
