"""Runs the benches: ``python -m bench``. One line of JSON a figure; a table and a chart for the docs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figure import Figure
from bench.processor import measure as processor
from bench.report import write_report
from bench.synth import measure as synth

REPORT = Path(__file__).resolve().parents[1] / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 where every target is met."""
    options = _parser().parse_args(arguments)
    figures = []
    for figure in _figures(options.only, options.rounds):
        print(figure.line(), flush=True)
        figures.append(figure)
    if not options.only:
        write_report(figures, Path(options.report))
    return int(any(figure.met is False for figure in figures))


def _figures(only: str, rounds: int) -> Iterator[Figure]:
    if only in ("", "processor"):
        yield from processor.figures()
    if only in ("", "synth"):
        yield from synth.measure(rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", choices=("synth", "processor"), help="one of the two")
    parser.add_argument("--rounds", type=int, default=synth.ROUNDS, help="runs of each app")
    parser.add_argument("--report", default=str(REPORT), help="the folder for table and chart")
    return parser


if __name__ == "__main__":
    sys.exit(main())
