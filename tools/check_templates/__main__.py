"""``python -m tools.check_templates``: see the package's docstring."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tools.check_templates.measure import Outcome, find_templates, run
from tools.check_templates.scores import compare

COMMAND: Final = "iot-constructs check --format json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the folder, print the lines and the summary, and return the exit code."""
    options = _parse(arguments)
    templates = find_templates(options.folder)
    if not templates:
        print(f"{options.folder}: no templates", file=sys.stderr)
        return 2
    command = shlex.split(options.command)
    outcomes = []
    print("seconds  MiB  findings  not judged  exit  template")
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(lambda file: run(command, file, options.timeout), templates):
            outcomes.append(outcome)
            print(_line(outcome), flush=True)
    print("", *_summary(outcomes), sep="\n")
    if options.labels:
        print("", *compare(options.labels, outcomes), sep="\n")
    return int(any(outcome.problem for outcome in outcomes))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.check_templates")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="compare with these labels")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="of one run")
    parser.add_argument("--command", default=COMMAND, help="what to run (%(default)s)")
    return parser.parse_args(arguments)


def _line(outcome: Outcome) -> str:
    return (
        f"{outcome.seconds:7.2f} {outcome.mebibytes:4.0f} {len(outcome.findings):9} "
        f"{len(outcome.not_judged):11} {outcome.exit_code:5}  {outcome.template}"
        f"{f'  ({outcome.problem})' if outcome.problem else ''}"
    )


def _summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.mebibytes)
    clean = [each for each in outcomes if each.exit_code == 0 and not each.problem]
    yield f"{len(outcomes)} templates, {sum(len(each.findings) for each in outcomes)} findings"
    yield f"longest: {slowest.seconds:.2f} s, {slowest.template}"
    yield f"most memory: {largest.mebibytes:.0f} MiB, {largest.template}"
    yield f"with not-judged entries: {sum(bool(each.not_judged) for each in outcomes)}"
    yield f"clean: {len(clean)}"
    problems = [outcome for outcome in outcomes if outcome.problem]
    yield f"problems: {len(problems)}"
    yield from (f"  {outcome.template}: {outcome.problem}" for outcome in problems)


if __name__ == "__main__":
    sys.exit(main())
