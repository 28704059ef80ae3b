"""Runs a seed, explains a violation, and finds a deliberate bug. Other processes import this module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from tests.simulation.bugs import BUGS
from tests.simulation.pipeline import Options, Result, simulate
from tests.simulation.shrink import MAX_LINES, invariant, relevant, shrink

_MAX_VIOLATIONS = 3
_MAX_WIDTH = 160


@dataclass(frozen=True)
class Seed:
    """What one seed did. Unlike a `Result`, it is small, so another process can return it."""

    seed: int
    sent: int
    accepted: int
    stored: int
    dead_lettered: int
    invocations: int
    virtual_seconds: float
    violations: Sequence[str]
    faults: Mapping[tuple[str, str], int]
    """(operation, kind with error code) -> number."""
    events: Mapping[str, int]


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


def run_seed(seed: int, *, records: int, bug: str | None = None) -> Seed:
    """Run a seed."""
    with apply_bug(bug):
        result = simulate(Options(seed, records=records))
    return Seed(
        seed,
        count_sent(result),
        result.accepted,
        result.stored,
        result.dead_lettered,
        result.invocations,
        result.virtual_seconds,
        result.violations,
        dict(result.faults),
        dict(result.events),
    )


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
        count_sent(short),
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
            return Catch(name, seed, found[0], count_sent(short), faults, len(lines))
    return Catch(name, None)


def count_sent(result: Result) -> int:
    """Return how many records the devices of a run send."""
    return result.options.records - len(result.options.skipped_records)


def apply_bug(name: str | None) -> AbstractContextManager[Any]:
    """Return a context manager with a deliberate bug, or with none."""
    return nullcontext() if name is None else BUGS[name].apply()
