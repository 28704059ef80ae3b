"""Observes which records of a stream took effect, and finds what was lost, doubled, or reordered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from iot_constructs.testing.aws_operations import Write
from iot_constructs.testing.history import History
from iot_constructs.testing.records import Record


@dataclass
class Effect:
    """What one write did, of which records."""

    line: int
    """Its line of the history."""
    target: str
    key: str | None
    records: Sequence[int]


@dataclass
class Observations:
    """The writes and deliveries of one simulation."""

    records: Sequence[Record]
    history: History
    log: Callable[[str, str], None]
    """Adds a line to the history: the actor, and a text."""
    effects: list[Effect] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    """Records that a condition rejected, so the table had decided before."""
    deliveries: dict[int, list[str]] = field(default_factory=dict)
    """Record -> the invocations that received it."""
    lines: dict[int, frozenset[int]] = field(default_factory=dict)
    """Line of the history -> the records that it is about. Other lines are about all records of their actor."""

    def __post_init__(self) -> None:
        self._marks = [(mark, each.number) for each in self.records for mark in each.marks]

    def accepted(self, number: int, sequence_number: str) -> None:
        """Observe that the stream accepted a record: its sequence number is one of its marks."""
        if self.records[number].marks:
            self._marks.append((sequence_number, number))

    def received(self, actor: str, numbers: Sequence[int]) -> str:
        """Observe an event of the function, and return its line of the history."""
        for number in numbers:
            self.deliveries.setdefault(number, []).append(actor)
        return f"receives {len(numbers)} records: {_ranges(numbers)}"

    def written(self, actor: str, method: str, writes: Iterable[Write]) -> None:
        """Observe a call that took effect."""
        found = [(write, self._find(write.content)) for write in writes]
        self._log_call(actor, method, found, "")
        for write, numbers in found:
            if numbers:
                line = len(self.history) - 1
                self.effects.append(Effect(line, write.target, write.key, numbers))

    def refused(self, actor: str, method: str, writes: Iterable[Write]) -> None:
        """Observe a call whose condition was false."""
        found = [(write, self._find(write.content)) for write in writes]
        self._log_call(actor, method, found, ": its condition is false")
        self.answered.update(number for _, numbers in found for number in numbers)

    def affected(self, writes: Iterable[Write]) -> None:
        """Observe that the fault in the last line of the history is one of these writes."""
        numbers = frozenset(number for write in writes for number in self._find(write.content))
        self.lines[len(self.history) - 1] = numbers

    def failed(self, actor: str, method: str, code: str) -> None:
        """Observe a call that the service rejected."""
        self.log(actor, f"{method}: {code}")

    def _find(self, content: str) -> list[int]:
        return sorted({number for mark, number in self._marks if mark in content})

    def _log_call(
        self, actor: str, method: str, found: Sequence[tuple[Write, list[int]]], result: str
    ) -> None:
        numbers = sorted({number for _, each in found for number in each})
        if not numbers:
            return
        targets = ", ".join(sorted({write.target for write, each in found if each}))
        self.lines[len(self.history)] = frozenset(numbers)
        self.log(actor, f"{method} {targets}: record {_ranges(numbers)}{result}")

    # --- what the observations mean

    def stored(self, targets: Sequence[str]) -> set[int]:
        """Return the records with an effect: in each of the targets, or anywhere."""
        if not targets:
            return self.answered.union(*(effect.records for effect in self.effects))
        reached = [
            {number for each in self.effects if each.target == target for number in each.records}
            for target in targets
        ]
        return set.intersection(*reached) | self.answered

    def doubled(self) -> dict[int, str]:
        """Return the records with more than one effect in one target, and why."""
        times: Counter[tuple[int, str]] = Counter()
        keys: dict[tuple[int, str], set[str]] = {}
        for effect in self.effects:
            for number in effect.records:
                if effect.key is None:
                    times[number, effect.target] += 1
                else:
                    keys.setdefault((number, effect.target), set()).add(effect.key)
        for place, several in keys.items():
            times[place] += len(several)
        found: dict[int, str] = {}
        for (number, target), count in sorted(times.items()):
            if count > 1:
                before = f"{found[number]} and" if number in found else "is"
                found[number] = f"{before} {count} times in {target}"
        return found

    def reordered(self) -> dict[int, str]:
        """Return the records that took effect after a newer one, where that matters.

        That is in a sequence of messages of the partition key, and in an item that several records write.
        """
        newest: dict[tuple[str, str], int] = {}
        seen: set[tuple[int, str]] = set()
        found: dict[int, str] = {}
        for effect in self.effects:
            for number in effect.records:
                partition_key = self.records[number].partition_key
                if effect.key is None and (number, effect.target) in seen:
                    continue  # it is doubled
                seen.add((number, effect.target))
                place = (effect.target, effect.key if effect.key is not None else partition_key)
                before = newest.get(place, number)
                if before > number:
                    found.setdefault(
                        number, f"is written to {effect.target} after record {before}, a newer one"
                    )
                newest[place] = max(before, number)
        return found

    def story(self, number: int, limit: int = 24) -> list[str]:
        """Return the lines of the history that are about a record."""
        actors = set(self.deliveries.get(number, ()))
        lines = [
            str(event)
            for line, event in enumerate(self.history)
            if (number in self.lines[line] if line in self.lines else event.actor in actors)
        ]
        if len(lines) > limit:
            left_out = len(lines) - limit
            half = limit // 2
            lines[half:-half] = [f"{'...':>10}  {left_out} more lines"]
        return lines


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as text, such as ``3 to 5, 9``."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(
        str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts
    )
