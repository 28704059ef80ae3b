"""What `make bench` leaves for the docs: benchmarks.md and a chart of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from bench.figure import Figure

PAGE: Final = "benchmarks.md"
CHART: Final = "pictures/bench.png"
_APPS: Final = {
    "one_bucket": "one bucket (the floor)",
    "example": "our example",
    "solutions_constructs": "AWS Solutions Constructs",
    "monitoring_constructs": "cdk-monitoring-constructs",
    "plain_l2": "plain L2s",
}
_PROFILED: Final = ("one_bucket", "example", "solutions_constructs")
_PARTS: Final = {
    "validator": "CDK's validator, WebAssembly that is compiled first",
    "loading": "loading modules",
    "waiting_for_python": "waiting for Python, its imports above all",
    "garbage_collector": "garbage collector",
    "cdk": "CDK's constructs and synthesis",
    "rest": "jsii and Node",
}
_ABOUT = """\
# Benchmarks

Written by `make bench` on {date}: Python {python}, aws-cdk-lib {cdk}, {cores} cores, {machine}; the peers with the
versions in `bench/peers/requirements-*.txt`. Times are those of that machine and of what else it did; the ratios are
what to look at. `make bench` measures again and prints one line of JSON a figure.

The apps run in turn, each as a process of its own, and what is shown is the median; a ratio is the median of the ratios
of neighboring runs.

![CPU seconds of one synth]({chart})

| app | wall, s | CPU, s | round trips | largest process, MB |
|---|---|---|---|---|
{apps}

| figure | value | target | met |
|---|---|---|---|
{figures}

## Unmet targets

* **Synth time beside Solutions Constructs.** One bucket takes {floor:.0%} of the time of their pipeline: Node,
  aws-cdk-lib and its validator, which nobody can leave out. Of what is left ours takes {rest:.0%}, for a template
  with nearly twice as many resources, each of which is validated. Where the time goes, by Node's own profile of
  one run each, in milliseconds:

  | part | {profiled} |
  |---|---|---|---|
{profiles}
* **Write units, when every record of a batch is of another device.** Ours are (1 + devices / records) / 3 of the
  usual ones: half, where a batch has two records of each device or more; two thirds, where it has one. DynamoDB has
  no cheaper write.
"""


def write_report(figures: Sequence[Figure], folder: Path) -> None:
    """Page and chart into ``folder``."""
    values = {figure.figure: figure.value for figure in figures}
    (folder / PAGE).write_text(
        _ABOUT.format(
            date=datetime.now(tz=timezone.utc).date(),
            python=platform.python_version(),
            cdk=version("aws-cdk-lib"),
            cores=os.cpu_count(),
            machine=platform.machine(),
            chart=CHART,
            apps="\n".join(_app_row(app, values) for app in _APPS),
            figures="\n".join(_figure_row(figure) for figure in figures if _is_worth_a_row(figure)),
            floor=values["synth.one_bucket.wall"] / values["synth.solutions_constructs.wall"],
            rest=(values["synth.example.wall"] - values["synth.one_bucket.wall"])
            / (values["synth.solutions_constructs.wall"] - values["synth.one_bucket.wall"]),
            profiled=" | ".join(_APPS[app] for app in _PROFILED),
            profiles="\n".join(_profile_row(part, values) for part in _PARTS),
        ),
        encoding="utf-8",
    )
    _draw(values, folder / CHART)


def _app_row(app: str, values: dict[str, float]) -> str:
    wall, cpu, trips, memory = (
        values[f"synth.{app}.{measured}"] for measured in ("wall", "cpu", "round_trips", "memory")
    )
    return f"| {_APPS[app]} | {wall:.2f} | {cpu:.2f} | {trips:.0f} | {memory:.0f} |"


def _profile_row(part: str, values: dict[str, float]) -> str:
    cells = [f"{values[f'synth.{app}.profile.{part}']:.0f}" for app in _PROFILED]
    return f"  | {_PARTS[part]} | {' | '.join(cells)} |"


def _is_worth_a_row(figure: Figure) -> bool:
    return figure.target is not None or not figure.figure.startswith("synth.")


def _figure_row(figure: Figure) -> str:
    sign = "at most" if figure.at_most else "at least"
    target = "" if figure.target is None else f"{sign} {figure.target:g}"
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    return f"| `{figure.figure}` | {figure.value:g} {figure.unit} | {target} | {met} |"


def _draw(values: dict[str, float], path: Path) -> None:
    chart, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    axes.barh(list(_APPS.values()), [values[f"synth.{app}.cpu"] for app in _APPS])
    axes.invert_yaxis()
    axes.set_xlabel("CPU seconds of one synth")
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, dpi=110)
    plt.close(chart)
