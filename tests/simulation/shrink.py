"""Shortens a failing run: fewer faults, simpler settings, and fewer records that still violate the same invariant.

The search is delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002) over
what a seed decides. It is greedy and bounded by a number of runs: the result is short, not minimal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from iot_constructs.testing.history import Event, History
from tests.simulation.pipeline import Result, simulate

T = TypeVar("T")

MAX_RUNS = 200
MAX_LINES = 40
VIOLATION = "VIOLATION"

# Each is tried alone: fewer events, then what makes the order of everything easier to follow.
_SIMPLER: tuple[tuple[str, Any], ...] = (
    *((name, 0) for name in ("outages", "reshards", "restarts", "updates", "redrives")),
    *(("reconfigurations", 0), ("replays", 0), ("refusing", "")),
    *((name, False) for name in ("transform", "rule_errors", "expires", "heavy")),
    ("state_interval", 0),
    *((name, False) for name in ("hot_device", "poison", "use_latest", "to_bucket")),
    *(("shards", 1), ("concurrency", 1000), ("timeout_seconds", 60.0), ("minutes", 0.5)),
    *((name, 1) for name in ("outages", "reshards", "restarts", "updates", "redrives")),
)
_SIMPLER_RULES: tuple[tuple[str, Any], ...] = (
    *(("parallelization_factor", 1), ("parallelization_factor", 2), ("batching_window", 5.0)),
    *(("bisect", False), ("maximum_record_age", -1), ("maximum_retry_attempts", 2)),
)


def invariant(violation: str) -> str:
    """Return the invariant that a violation is of."""
    return violation.partition(":")[0]


@dataclass(frozen=True)
class Shrunk:
    """The shortest run that was found."""

    result: Result
    runs: int


def shrink(result: Result, *, max_runs: int = MAX_RUNS) -> Shrunk:
    """Return a shorter run that violates the invariant of the first violation of `result`."""
    return _Search(result, max_runs).run()


class _OutOfRuns(Exception):
    """The search ends."""


class _Search:
    def __init__(self, result: Result, max_runs: int) -> None:
        self._best = result
        self._invariant = invariant(result.violations[0])
        self._left = max_runs
        self._max_runs = max_runs

    def run(self) -> Shrunk:
        try:
            self._simplify_once()
            size = -1
            while size != (size := _size(self._best)):
                self._simplify_configuration()
                self._halve_records()
                self._leave_out_records()
                self._leave_out_faults()
        except _OutOfRuns:
            pass
        return Shrunk(self._best, self._max_runs - self._left)

    def _fails(self, **changes: Any) -> bool:
        """Try the best run with other options, and keep it if it violates the invariant."""
        if not self._left:
            raise _OutOfRuns
        self._left -= 1
        result = simulate(replace(self._best.options, **changes))
        if self._invariant not in map(invariant, result.violations):
            return False
        self._best = result
        return True

    def _simplify_once(self) -> None:
        """Take the large steps first: they make all others faster."""
        self._halve_records()
        options = self._best.options
        if self._fails(rates=()):
            return
        operations = sorted({rate.operation for rate in options.rates})

        def with_operations(kept: Sequence[str]) -> bool:
            return self._fails(rates=[r for r in options.rates if r.operation in kept])

        kept = _shorten(operations, with_operations)
        rates = [rate for rate in options.rates if rate.operation in kept]
        _shorten(rates, lambda some: self._fails(rates=list(some)))

    def _halve_records(self) -> None:
        while (count := self._best.options.records) > 1:
            if not self._fails(records=count // 2):
                return

    def _simplify_configuration(self) -> None:
        for name, value in _SIMPLER:
            of = self._best.configuration
            if _is_simpler(getattr(of, name), value):
                self._fails(configuration=replace(of, **{name: value}))
        for name, value in _SIMPLER_RULES:
            of = self._best.configuration
            if _is_simpler(getattr(of.rules, name), value):
                self._fails(configuration=replace(of, rules=replace(of.rules, **{name: value})))

    def _leave_out_records(self) -> None:
        options = self._best.options
        numbers = [n for n in range(options.records) if n not in options.skipped_records]
        everything = frozenset(range(options.records))
        _shorten(numbers, lambda kept: self._fails(skipped_records=everything - frozenset(kept)))

    def _leave_out_faults(self) -> None:
        """Without a fault, later calls can have others, so the ids are those of the last run."""
        tried: set[str] = set()
        while untried := [id for id in self._best.fault_ids if id not in tried]:
            half = untried[: max(1, len(untried) // 2)] if len(untried) > 4 else untried[:1]
            tried.update(half)
            if self._fails(disabled_faults=self._best.options.disabled_faults | set(half)):
                continue
            if len(half) > 1:
                tried.difference_update(half)
                tried.add(half[0])
                self._fails(disabled_faults=self._best.options.disabled_faults | {half[0]})


def _is_simpler(old: object, new: object) -> bool:
    """Whether a step towards `new` is one: a number of events never grows again."""
    if isinstance(old, int) and isinstance(new, int) and not isinstance(old, bool):
        return new < old or new == 1000 > old
    return old != new


def _size(result: Result) -> int:
    options = result.options
    return (
        len(result.history)
        + options.records
        - len(options.skipped_records)
        + len(result.fault_ids)
        + len(options.rates)
    )


def _shorten(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """Leave out items, in chunks that become smaller, as long as the rest fails."""
    chunk = max(1, len(items) // 2)
    while items:
        start = 0
        while start < len(items):
            rest = [*items[:start], *items[start + chunk :]]
            if fails(rest):
                items = rest
            else:
                start += chunk
        if chunk == 1:
            break
        chunk = max(1, chunk // 2)
    return items


def relevant(result: Result, kind: str, *, max_lines: int = MAX_LINES) -> list[str]:
    """Return the lines of a history that show the first violation of an invariant, which is the last one."""
    events = list(_until_violation(result.history, kind))
    while events and events[0].actor == "mapping":  # polling, before the first record
        events.pop(0)
    if len(events) > max_lines:
        events = _related(events)
    lines = [str(event) for event in events]
    if len(lines) > max_lines:
        left_out = len(lines) - max_lines + 1
        first = max_lines // 4
        lines[first : first + left_out] = [f"{'…':>10}  {left_out} lines"]
    return lines


def _until_violation(history: History, kind: str) -> Iterator[Event]:
    for event in history:
        yield event
        if event.actor == VIOLATION and invariant(event.text) == kind:
            return


def _related(events: Sequence[Event]) -> list[Event]:
    """Return the events with an actor, a device, a message, or a shard that the violation names."""
    names = set(re.findall(r"[\w-]*\w[ -]\d+", events[-1].text))
    found = [
        event for event in events if event.actor in names or any(_has(event, n) for n in names)
    ]
    actors = {event.actor for event in found if event.actor != "mapping"}
    return [event for event in events if event in found or event.actor in actors]


def _has(event: Event, name: str) -> bool:
    return re.search(rf"{re.escape(name)}(?!\d)", event.text) is not None
