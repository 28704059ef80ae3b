"""Runs a seed, explains a violation, and finds a deliberate bug. Other processes import this module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from iot_constructs.testing.history import History
from tests.simulation.bugs import BUGS
from tests.simulation.pipeline import Options, Result, simulate
from tests.simulation.shrink import MAX_LINES, invariant, relevant, shrink

_MAX_VIOLATIONS = 3
_MAX_WIDTH = 160


@dataclass(frozen=True)
class Explanation:
    """A violation for a person."""

    seed: int
    violations: Sequence[str]
    command: str
    """Repeats it."""
    records: int
    """How many records the shortest run sends."""
    faults: int
    runs: int
    """How many runs it took to find it."""
    history: Sequence[str]
    """The lines that show the violation, which is the last one."""


@dataclass(frozen=True)
class Catch:
    """The first seed that finds a deliberate bug."""

    bug: str
    seed: int | None
    """None if no seed found it."""
    violation: str = ""
    records: int = 0
    """The records of the shortest run."""
    faults: int = 0
    lines: int = 0
    """The lines of its history that show the violation."""


def run_seed(seed: int, *, records: int, bug: str | None = None) -> Result:
    """Run a seed. The result has no history, so that it is small and another process can return it."""
    with apply_bug(bug):
        result = simulate(Options(seed, records=records))
    return replace(result, history=History(), fault_ids=())


def explain(seed: int, *, records: int, bug: str | None = None) -> Explanation:
    """Find the shortest history of a seed with violations."""
    option = f' --bug "{bug}"' if bug is not None else ""
    with apply_bug(bug):
        result = simulate(Options(seed, records=records))
        shrunk = shrink(result)
    short = shrunk.result
    return Explanation(
        seed,
        result.violations[:_MAX_VIOLATIONS],
        f"python -m tests.simulation --seed {seed} --records {records}{option}",
        short.sent,
        sum(short.faults.values()),
        shrunk.runs,
        [line[:_MAX_WIDTH] for line in relevant(short, invariant(result.violations[0]))],
    )


def find_bug(name: str, *, seeds: Iterable[int], records: int) -> Catch:
    """Find the first seed that violates an expected invariant, and violates none without the bug."""
    bug = BUGS[name]
    for seed in seeds:
        options = Options(seed, records=records)
        with bug.apply():
            result = simulate(options)
        found = [each for each in result.violations if invariant(each) in bug.invariants]
        if found and not simulate(options).violations:
            result.violations[:] = found
            with bug.apply():
                short = shrink(result).result
            lines = relevant(short, invariant(found[0]), max_lines=10 * MAX_LINES)
            faults = sum(short.faults.values())
            return Catch(name, seed, found[0], short.sent, faults, len(lines))
    return Catch(name, None)


def apply_bug(name: str | None) -> AbstractContextManager[Any]:
    """Return a context manager with a deliberate bug, or with none."""
    return nullcontext() if name is None else BUGS[name].apply()
