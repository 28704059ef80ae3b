"""Runs seeds of the simulation: one process, virtual time, and every fault.

Prints the totals, and for a violated invariant the shortest history that was found. The exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from iot_constructs.cli.options import positive_integer
from iot_constructs.cli.progress import Progress
from tests.simulation import bugs
from tests.simulation.faults import RATES
from tests.simulation.pipeline import Options, Result, simulate
from tests.simulation.report import Totals, format_catches, format_explanation
from tests.simulation.runs import apply_bug, explain, find_bug, run_seed
from tests.simulation.shrink import invariant

T = TypeVar("T")
R = TypeVar("R")

_SEEDS = 20
_SEEDS_PER_BUG = 200
_RECORDS = 500
# One history for each invariant: the seeds that follow usually have the same cause.
_MAX_HISTORIES = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = _parse(arguments)
    if options.bugs:
        return _run_bugs(options)
    if options.history:
        return _print_history(options)
    return _run_seeds(options)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument(
        "--seed",
        type=positive_integer,
        default=os.environ.get("SEED") or None,
        metavar="N",
        help="the only seed, or the first one with --seeds; default: $SEED",
    )
    parser.add_argument(
        "--seeds",
        type=positive_integer,
        metavar="N",
        help=f"number of seeds; default: {_SEEDS}, or {_SEEDS_PER_BUG} for each bug with --bugs",
    )
    parser.add_argument(
        "--records",
        type=positive_integer,
        metavar="N",
        help=f"records that each seed sends; default: {_RECORDS}, or {bugs.RECORDS} with a bug",
    )
    parser.add_argument(
        "--jobs",
        type=positive_integer,
        default=os.cpu_count() or 1,
        metavar="N",
        help="number of processes; default: one for each CPU",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument("--history", action="store_true", help="print the whole history of a seed")
    parser.add_argument(
        "--bug", choices=sorted(bugs.BUGS), metavar="NAME", help="add a deliberate bug"
    )
    parser.add_argument(
        "--bugs", action="store_true", help="find each deliberate bug and print the table"
    )
    options = parser.parse_args(arguments)
    if options.history and (options.seed is None or options.seeds not in (None, 1)):
        parser.error("--history needs one seed: use --seed N")
    if options.records is None:
        options.records = bugs.RECORDS if options.bug or options.bugs else _RECORDS
    return options


def _run_seeds(options: argparse.Namespace) -> int:
    first = options.seed if options.seed is not None else 1
    count = options.seeds
    if count is None:
        count = _SEEDS if options.seed is None else 1
    began = time.monotonic()
    totals = Totals()
    failed: list[Result] = []
    run = partial(run_seed, records=options.records, bug=options.bug)
    for result in _map(run, range(first, first + count), options.jobs, "seeds"):
        totals.add(result)
        if result.violations:
            failed.append(result)
    seconds = time.monotonic() - began
    explanations = [
        explain(each.options.seed, records=options.records, bug=options.bug)
        for each in _one_for_each_invariant(failed)
    ]
    if options.json:
        document = totals.document(RATES, seconds)
        print(json.dumps({**document, "violated": list(map(vars, explanations))}, indent=2))
    else:
        for each in explanations:
            print(format_explanation(each))
        print(totals.format(RATES, seconds))
    return int(bool(failed))


def _one_for_each_invariant(failed: Iterable[Result]) -> list[Result]:
    by_invariant: dict[str, Result] = {}
    for result in failed:
        by_invariant.setdefault(invariant(result.violations[0]), result)
    return list(by_invariant.values())[:_MAX_HISTORIES]


def _print_history(options: argparse.Namespace) -> int:
    with apply_bug(options.bug):
        result = simulate(Options(options.seed, records=options.records))
    for event in result.history:
        print(event)
    return int(bool(result.violations))


def _run_bugs(options: argparse.Namespace) -> int:
    first = options.seed if options.seed is not None else 1
    count = options.seeds if options.seeds is not None else _SEEDS_PER_BUG
    find = partial(find_bug, seeds=range(first, first + count), records=options.records)
    catches = list(_map(find, list(bugs.BUGS), options.jobs, "bugs"))
    if options.json:
        print(json.dumps([vars(each) for each in catches], indent=2))
    else:
        print(format_catches(catches))
    return int(any(each.seed is None for each in catches))


def _map(function: Callable[[T], R], items: Sequence[T], jobs: int, noun: str) -> Iterator[R]:
    """Yield the results in the order of the items, and show the progress."""
    progress = Progress(sys.stderr, len(items))
    if jobs == 1 or len(items) == 1:
        yield from _shown(map(function, items), progress, len(items), noun)
        return
    # A new interpreter: nothing that this one has imported or changed decides what a seed does.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(items)), mp_context=spawn) as pool:
        yield from _shown(pool.map(function, items), progress, len(items), noun)


def _shown(results: Iterable[R], progress: Progress, count: int, noun: str) -> Iterator[R]:
    for done, result in enumerate(results, 1):
        progress.show(done, count, f"{done} of {count} {noun}")
        yield result
    progress.close()


if __name__ == "__main__":
    sys.exit(main())
