"""Writes docs/benchmarks.md, with a profile and a reason for each missed target of the synth."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.figure import Figure

_APPS: Final = {
    "example": "our example",
    "solutions_constructs": "AWS Solutions Constructs",
    "monitoring_constructs": "cdk-monitoring-constructs",
    "plain_l2": "plain L2s",
    "one_bucket": "one bucket",
}
_REASONS: Final = {
    "synth.example_by_solutions_constructs": "Our template has twice as many resources, and CDK validates "
    "each.",
    "synth.one_more_pipeline_by_plain_l2s": "The L2s are as many, but have their defaults. Ours state two to three "
    "times as many properties, policy statements, and texts, which Python sends, CDK renders, and its validator reads; "
    "and before anything is created, each argument's stack, environment, and key are compared, a request to Node each.",
    **dict.fromkeys(
        (
            f"processor.records_per_second_ratio.batch_writer{shape}"
            for shape in (
                "",
                ".devices_10",
                ".devices_100",
                ".records_500_devices_200",
                ".latency_4_ms",
            )
        ),
        "The emulator takes most of the time of both, one call at a time, and both write the readings in the same four "
        "calls (bench/processor/README.md).",
    ),
}
_ABOUT: Final = """\
# Benchmarks

Written by `make bench` on {date}: Python {python}, aws-cdk-lib {cdk}, {cores} cores, {machine}; the peers with the
versions in `bench/peers/requirements-*.txt`. Times depend on the machine and on what else it did. The ratios are what
to look at, and on a busy machine only roughly. `make bench` prints one line of JSON per figure, and exits with 0 if all
was measured, whether or not a target is met.

## Synth

Every app is a process of its own, timed by [hyperfine](https://github.com/sharkdp/hyperfine): the same Python without
flags, the same Node, started without a launcher, and CDK's template validation as CDK has it, which is on. The apps run
in turn. Times are medians, and a ratio is the median of the ratios of neighboring runs. "One more pipeline" is what
each of the 2nd to 100th in one app takes, divided by what the plain L2s take with more alarms, to as many resources.

| app | wall, s | CPU, s |
|---|---|---|
{apps}

## Targets

| figure | value | target | met |
|---|---|---|---|
{figures}
{unmet}"""


def write_report(figures: Sequence[Figure], page: Path) -> None:
    """The page of these figures."""
    page.write_text(
        _ABOUT.format(
            date=datetime.now(tz=timezone.utc).date(),
            python=platform.python_version(),
            cdk=version("aws-cdk-lib"),
            cores=os.cpu_count(),
            machine=platform.machine(),
            apps="\n".join(
                f"| {_APPS[app]} | {it.value:.2f} | {it.detail['cpu']:.2f} |"
                for it in figures
                for app in [it.figure.removeprefix("synth.")]
                if app in _APPS
            ),
            figures="\n".join(_row(it) for it in figures if _has_a_row(it)),
            unmet="".join(_unmet(it, figures) for it in figures if it.met is False),
        ),
        encoding="utf-8",
    )


def _has_a_row(figure: Figure) -> bool:
    return figure.target is not None or not figure.figure.startswith("synth.")


def _row(figure: Figure) -> str:
    sign = "at most" if figure.at_most else "at least"
    target = "" if figure.target is None else f"{sign} {figure.target:g}"
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    return f"| `{figure.figure}` | {figure.value:g} {figure.unit} | {target} | {met} |"


def _unmet(figure: Figure, figures: Sequence[Figure]) -> str:
    lines = [f"\n## Unmet: `{figure.figure}`\n", *_profile(figure, figures)]
    if figure.figure in _REASONS:
        lines.insert(1, f"{_REASONS[figure.figure]}\n")
    return "\n".join(lines) + "\n"


def _profile(figure: Figure, figures: Sequence[Figure]) -> Iterator[str]:
    """Where Node's time goes on both sides, in milliseconds, and how often Python asks it."""
    prefix = f"{figure.figure}.profile."
    sides = {it.figure.removeprefix(prefix): it for it in figures if it.figure.startswith(prefix)}
    if sides:
        yield f"| of one synth, in ms by Node's profiler | {' | '.join(_APPS[it] for it in sides)} |"
        yield f"|---|{'---|' * len(sides)}"
        for part in next(iter(sides.values())).detail:
            yield f"| {part} | {' | '.join(str(it.detail[part]) for it in sides.values())} |"
