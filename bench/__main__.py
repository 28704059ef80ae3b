"""Runs the benches: ``python -m bench`` prints one line of JSON a figure and writes docs/benchmarks.md.

The exit code is 0 if all was measured, whether a target is met or not: a ratio on a shared machine is no verdict on a
change. A missed target says ``"met": false``, and the page says why.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bench import report, synth
from bench.processor import measure as processor


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", choices=("synth", "processor"), help="one of the two")
    parser.add_argument("--runs", type=int, help="of each app or contender")
    options = parser.parse_args(arguments)
    found = []
    for bench in (processor, synth):
        if options.only in (None, bench.__name__.split(".")[1]):
            for figure in bench.figures(*([options.runs] if options.runs else [])):
                print(figure.line(), flush=True)
                found.append(figure)
    if not options.only:
        report.PAGE.write_text(report.page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
