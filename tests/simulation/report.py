"""What several seeds found, as a table or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from iot_constructs.testing.faults import Rate
from tests.simulation.bugs import BUGS
from tests.simulation.pipeline import Result
from tests.simulation.runs import Catch, Explanation
from tests.simulation.shrink import invariant


@dataclass
class Totals:
    """The sums of several seeds."""

    first: int = 0
    last: int = 0
    seeds: int = 0
    failed: list[int] = field(default_factory=list)
    """The seeds with a violation."""
    counts: Counter[str] = field(default_factory=Counter)
    virtual_seconds: float = 0.0
    violations: Counter[str] = field(default_factory=Counter)
    """Invariant -> number."""
    faults_by_kind: Counter[str] = field(default_factory=Counter)
    faults_by_call: Counter[str] = field(default_factory=Counter)
    injected: set[tuple[str, str]] = field(default_factory=set)
    """(operation, kind)."""
    events: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Add a seed."""
        seed = result.options.seed
        self.first = seed if not self.seeds else min(self.first, seed)
        self.last = max(self.last, seed)
        self.seeds += 1
        if result.violations:
            self.failed.append(seed)
        for name in ("sent", "accepted", "stored", "dead_lettered", "invocations"):
            self.counts[name] += getattr(result, name)
        self.virtual_seconds += result.virtual_seconds
        self.violations.update(map(invariant, result.violations))
        for (operation, name), number in result.faults.items():
            kind = name.partition(" (")[0]
            self.faults_by_kind[kind] += number
            self.faults_by_call[operation] += number
            self.injected.add((operation, kind))
        self.events.update(result.events)

    def never_injected(self, rates: Iterable[Rate]) -> list[str]:
        """Return the faults of `rates` that no seed had."""
        names = dict.fromkeys((rate.operation, rate.kind.value) for rate in rates)
        return [
            f"{operation}: {kind}"
            for operation, kind in names
            if (operation, kind) not in self.injected
        ]

    def document(self, rates: Iterable[Rate], seconds: float) -> dict[str, Any]:
        """Return everything for `--json`."""
        return {
            "seeds": {"first": self.first, "last": self.last, "failed": self.failed},
            "records": dict(self.counts),
            "violations": {name: self.violations[name] for name in self._invariants()},
            "virtualSeconds": round(self.virtual_seconds),
            "faultsByKind": dict(self.faults_by_kind.most_common()),
            "faultsByCall": dict(self.faults_by_call.most_common()),
            "faultsNeverInjected": self.never_injected(rates),
            "events": dict(self.events.most_common()),
            "seconds": round(seconds, 1),
        }

    def format(self, rates: Iterable[Rate], seconds: float) -> str:
        """Return the table."""
        of, never = self.counts, self.never_injected(rates)
        rows = [
            ("seeds", f"{self.first} to {self.last}, {len(self.failed)} with violations"),
            ("records sent", f"{of['sent']:,}"),
            ("records accepted", f"{of['accepted']:,}, with redriven ones"),
            ("readings stored", f"{of['stored']:,}"),
            ("dead-letter messages", f"{of['dead_lettered']:,}"),
            *((name, f"{self.violations[name]}") for name in self._invariants()),
            ("invocations", f"{of['invocations']:,}"),
            ("virtual time", f"{self.virtual_seconds / 3600:,.1f} h"),
            ("injected faults", f"{self.faults_by_kind.total():,}"),
            *((f"  {name}", f"{number:,}") for name, number in self.faults_by_kind.most_common()),
            ("faults by call", ""),
            *((f"  {name}", f"{number:,}") for name, number in self.faults_by_call.most_common()),
            ("events", ""),
            *((f"  {_words(name)}", f"{number:,}") for name, number in self.events.most_common()),
            ("faults never injected", str(len(never))),
            *((f"  {name}", "") for name in never),
            ("time", f"{seconds:.1f} s, {of['sent'] / max(seconds, 0.001):,.0f} records/s"),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)

    def _invariants(self) -> list[str]:
        """Return the known invariants, and those that were violated."""
        known = [name for bug in BUGS.values() for name in bug.invariants]
        return list(dict.fromkeys([*known, *self.violations]))


def format_explanation(found: Explanation) -> str:
    """Return the violations of a seed, the command that repeats them, and the shortest history."""
    records, faults = _count(found.records, "record"), _count(found.faults, "fault")
    return "\n".join(
        [
            *(f"seed {found.seed}: {violation}" for violation in found.violations),
            f"Repeat it with: {found.command}",
            f"The shortest history of {found.runs} runs has {records} and {faults}:",
            *found.history,
            "",
        ]
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def format_catches(catches: Sequence[Catch]) -> str:
    """Return the table of deliberate bugs in Markdown, as docs/simulation.md has it."""
    lines = [
        "| Component | Deliberate bug | Found by the invariant | First seed | Shortest history |",
        "|---|---|---|---|---|",
    ]
    for catch in catches:
        bug, found = BUGS[catch.bug], ("not found", "", "")
        if catch.seed is not None:
            size = ", ".join(
                _count(getattr(catch, f"{noun}s"), noun) for noun in ("record", "fault", "line")
            )
            found = (invariant(catch.violation), str(catch.seed), size)
        lines.append(f"| {' | '.join((bug.component, f'{bug.name}: {bug.description}', *found))} |")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
