"""Runs the benches: ``python -m bench`` prints one line of JSON a figure and writes docs/benchmarks.md.

The exit code is 0 if all was measured, whether a target is met or not: a ratio on a shared machine is no verdict on a
change. A missed target says ``"met": false``, and the page says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import synth
from bench.figure import Figure
from bench.peers import ROOT
from bench.processor import measure as processor
from bench.report import write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    figures = []
    for figure in _figures(options.only, options.rounds):
        print(figure.line(), flush=True)
        figures.append(figure)
    if not options.only:
        write_report(figures, options.report)
    return 0


def _figures(only: str, rounds: int) -> Iterator[Figure]:
    if only in ("", "processor"):
        yield from processor.figures()
    if only in ("", "synth"):
        yield from synth.measure(rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", choices=("synth", "processor"), help="one of the two")
    parser.add_argument("--rounds", type=int, default=synth.ROUNDS, help="runs of each app")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "benchmarks.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
