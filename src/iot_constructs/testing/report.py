"""What a simulation of a function found, with the history of each record that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iot_constructs.testing.history import History
from iot_constructs.testing.observations import Observations
from iot_constructs.testing.records import Record

_SHOWN = 2


@dataclass(frozen=True)
class Finding:
    """A record with which something went wrong."""

    kind: str
    """``lost``, ``failed``, ``stuck``, ``doubled``, or ``reordered``."""
    seed: int
    record: Record
    reason: str
    history: Sequence[str]
    """The lines of the history that are about the record."""

    def __str__(self) -> str:
        return "\n".join([f"{self.record} {self.reason}:", *self.history])


@dataclass
class Run:
    """The simulation of one seed."""

    seed: int
    records: int
    invocations: int
    cold_starts: int
    faults: Mapping[tuple[str, str], int]
    """(operation, kind of fault) -> how often it was injected."""
    history: History
    findings: Sequence[Finding]
    error: str
    """The traceback of the last exception of the handler."""
    items: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Name of a table -> its items in the end, with the types of boto3's table resource."""


@dataclass
class Report:
    """The simulations of all seeds."""

    runs: Sequence[Run]
    notes: Sequence[str] = ()

    def findings(self, *kinds: str) -> list[Finding]:
        """Return the findings of some kinds, or all of them."""
        return [
            each for run in self.runs for each in run.findings if not kinds or each.kind in kinds
        ]

    @property
    def lost(self) -> list[Finding]:
        """Records that Lambda takes for processed, without an effect and not in the failure destination."""
        return self.findings("lost")

    @property
    def failed(self) -> list[Finding]:
        """Records that went to the failure destination without an effect."""
        return self.findings("failed")

    @property
    def stuck(self) -> list[Finding]:
        """Records that were not processed in time, although no call fails any more."""
        return self.findings("stuck")

    @property
    def doubled(self) -> list[Finding]:
        """Records with two effects in the same table, queue, topic, stream, or bucket."""
        return self.findings("doubled")

    @property
    def reordered(self) -> list[Finding]:
        """Records that took effect after a newer one of their partition key, or replaced what it wrote."""
        return self.findings("reordered")

    def assert_all_stored(self) -> None:
        """Raise an AssertionError unless every record took effect."""
        self._assert("lost", "failed", "stuck")

    def assert_nothing_lost(self) -> None:
        """Raise an AssertionError unless every record took effect or is in the failure destination."""
        self._assert("lost", "stuck")

    def assert_nothing_doubled(self) -> None:
        """Raise an AssertionError if a record has two effects."""
        self._assert("doubled")

    def assert_order_kept(self) -> None:
        """Raise an AssertionError if a record took effect after a newer one."""
        self._assert("reordered")

    def _assert(self, *kinds: str) -> None:
        found = self.findings(*kinds)
        if found:
            raise AssertionError(self._describe(kinds, found))

    def _describe(self, kinds: Sequence[str], found: Sequence[Finding]) -> str:
        return "\n".join(self._lines(kinds, found))

    def _lines(self, kinds: Sequence[str], found: Sequence[Finding]) -> Iterator[str]:
        run = next(each for each in self.runs if each.seed == found[0].seed)
        here = [each for each in found if each.seed == run.seed]
        counts = ", ".join(
            f"{count} {kind}"
            for kind in kinds
            if (count := sum(each.kind == kind for each in here))
        )
        failing = len({each.seed for each in found})
        if len(self.runs) > 1:
            yield f"{failing} of {len(self.runs)} seeds fail, the first one is seed={run.seed}"
        yield f"{counts} of {run.records} records with seed={run.seed}"
        shown = 0
        for group in list(_groups(here))[:_SHOWN]:
            yield ""
            yield str(group[0])
            if len(group) > 1:
                yield f"The same is true of {len(group) - 1} more records."
            shown += len(group)
        if len(here) > shown:
            yield ""
            yield f"and {len(here) - shown} more records"
        if run.error and "stuck" in kinds:
            yield ""
            yield "The last exception of the handler:"
            yield run.error.rstrip()
        yield ""
        yield from self.notes
        yield f"To repeat this history, pass seed={run.seed} and the same arguments."


def _groups(found: Sequence[Finding]) -> Iterator[list[Finding]]:
    """Group findings that follow each other and have the same history."""
    group: list[Finding] = []
    for finding in found:
        if group and finding.history != group[0].history:
            yield group
            group = []
        group.append(finding)
    if group:
        yield group


def findings(
    seed: int,
    seen: Observations,
    *,
    stored: Mapping[int, int] | None,
    targets: Sequence[str],
    unfinished: set[int],
    discarded: set[int],
) -> list[Finding]:
    """Compare the records with their effects.

    Args:
        seed: of the simulation.
        seen: its observations.
        stored: record -> how many times it is stored, if the caller determines that.
        targets: where each record has to take effect.
        unfinished: the records that the mapping has not completed.
        discarded: the records in the failure destination.
    """
    effects = seen.stored(targets) if stored is None else {n for n in stored if stored[n]}
    doubled = (
        seen.doubled()
        if stored is None
        else {n: f"is stored {count} times" for n, count in stored.items() if count > 1}
    )
    found: list[Finding] = []

    def add(kind: str, number: int, reason: str) -> None:
        found.append(Finding(kind, seed, seen.records[number], reason, seen.story(number)))

    for record in seen.records:
        if not record.marks or record.number in effects:
            continue
        if record.number in unfinished:
            add("stuck", record.number, "is not processed in time")
        elif record.number in discarded:
            add("failed", record.number, "is in the failure destination")
        else:
            add("lost", record.number, "is lost: Lambda does not deliver it again")
    for number, reason in sorted(doubled.items()):
        add("doubled", number, reason)
    for number, reason in sorted(seen.reordered().items()):
        add("reordered", number, reason)
    return found
