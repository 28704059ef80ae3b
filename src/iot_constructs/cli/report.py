"""The report of a redrive as a table, as JSON and as an exit code.

By default, both have a group per kind and reason and the first kept messages, so their length does not depend on the
length of the queue. With ``verbose``, they have every message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from iot_constructs.cli.dead_letter_messages import Kind
from iot_constructs.cli.exit_codes import FAILED

_NOT_FINISHED = "the run ended before it was processed"
_COLUMNS = ("message", "kind", "reason", "records", "from", "devices", "age", "")
_NUMBERS = {
    "messages",
    "kept",
    "records",
    "put",
    "would put",
    "expired",
    "oldest",
    "devices",
    "age",
}
MAX_GROUPS = 20
MAX_KEPT = 10
_WIDEST = {"message": 8, "reason": 44, "from": 40, "": 140}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(slots=True)
class Row:
    """A message and its result, without its body and its records."""

    message_id: str
    kind: Kind
    reason: str
    origin: str
    records: int
    deliverable: int
    """The number of records that the destination can accept."""
    missing: int
    """The number of records that have expired."""
    devices: int
    age_seconds: int | None
    problem: str | None
    """Why the message stays on the queue, or None."""
    cause: str
    """The part of the reason that many messages have in common."""
    accepted: int = 0
    deleted: bool = False


@dataclass
class Group:
    """The messages of a kind that failed for the same reason."""

    kind: Kind
    cause: str
    messages: int = 0
    kept: int = 0
    records: int = 0
    put: int = 0
    """In a dry run, the number of records that the destination can accept."""
    missing: int = 0
    oldest_seconds: int | None = None

    def add(self, row: Row, *, kept: bool, put: int) -> None:
        """Add a message."""
        self.messages += 1
        self.kept += kept
        self.records += row.records
        self.put += put
        self.missing += row.missing
        if row.age_seconds is not None:
            self.oldest_seconds = max(row.age_seconds, self.oldest_seconds or 0)


@dataclass
class Report:
    """The results of a run."""

    executed: bool
    destination: str
    verbose: bool = False
    """List every message."""
    rows: list[Row] = field(default_factory=list)
    skipped: int = 0
    """The number of messages of other kinds than the selected ones."""
    newer: int = 0
    """The number of messages that arrived during the run."""
    read_to_end: bool = True
    in_flight_elsewhere: int = 0
    """The approximate number of messages that other consumers held when the run began."""
    invisible: int = 0
    """The number of messages that the run could not make visible again."""
    invisible_seconds: int = 0
    """The time after which they are visible again."""
    interrupted: bool = False
    error: str | None = None

    @property
    def kept(self) -> list[tuple[Row, str]]:
        """The messages that stay on the queue, or would in a dry run, each with the reason."""
        if not self.executed:
            return [(row, row.problem) for row in self.rows if row.problem is not None]
        return [
            (row, row.problem if row.problem is not None else _NOT_FINISHED)
            for row in self.rows
            if not row.deleted
        ]

    @property
    def exit_code(self) -> int:
        """0 if all messages were redriven or it was a dry run; 1 if messages were kept; 2 after an error."""
        if self.error is not None:
            return FAILED
        return int(self.executed and (bool(self.kept) or not self.read_to_end))

    @property
    def groups(self) -> list[Group]:
        """The messages by kind and reason, the largest group first."""
        groups: dict[tuple[Kind, str], Group] = {}
        for row in self.rows:
            group = groups.setdefault((row.kind, row.cause), Group(row.kind, row.cause))
            kept = not row.deleted if self.executed else row.problem is not None
            group.add(row, kept=kept, put=row.accepted if self.executed else row.deliverable)
        return sorted(groups.values(), key=lambda group: -group.messages)

    def as_json(self) -> str:
        """Return a JSON document."""
        groups, kept = self.groups, self.kept
        listed = {} if not self.verbose else {"details": [self._details(row) for row in self.rows]}
        return json.dumps(
            {
                "executed": self.executed,
                "destination": self.destination,
                "messages": len(self.rows),
                "records_found": self._sum("records"),
                "records_put": self._sum("accepted"),
                "messages_deleted": sum(row.deleted for row in self.rows),
                "messages_kept": len(kept),
                "groups": [self._group_details(group) for group in groups[:MAX_GROUPS]],
                "groups_not_listed": max(0, len(groups) - MAX_GROUPS),
                "kept": [
                    {"message_id": row.message_id, "kind": row.kind.value, "reason": reason}
                    for row, reason in self._first(kept)
                ],
                "out_of_retention": self._sum("missing"),
                "unknown": sum(row.kind is Kind.UNKNOWN for row in self.rows),
                "skipped": self.skipped,
                "arrived_during_run": self.newer,
                "read_to_end": self.read_to_end,
                "in_flight_elsewhere": self.in_flight_elsewhere,
                "invisible": self.invisible,
                "invisible_seconds": self.invisible_seconds,
                "interrupted": self.interrupted,
                "error": self.error,
                **listed,
            },
            indent=2,
        )

    def _first(self, kept: list[tuple[Row, str]]) -> list[tuple[Row, str]]:
        return kept if self.verbose else kept[:MAX_KEPT]

    def _group_details(self, group: Group) -> dict[str, Any]:
        return {
            "kind": group.kind.value,
            "reason": group.cause,
            "messages": group.messages,
            "messages_kept": group.kept,
            "records": group.records,
            self._put: group.put,
            "out_of_retention": group.missing,
            "oldest_seconds": group.oldest_seconds,
        }

    def _details(self, row: Row) -> dict[str, Any]:
        return {
            "message_id": row.message_id,
            "kind": row.kind.value,
            "reason": row.reason,
            "from": row.origin,
            "records": row.records,
            "out_of_retention": row.missing,
            "devices": row.devices,
            "age_seconds": row.age_seconds,
            "outcome": self._outcome(row),
        }

    def as_table(self) -> Iterator[str]:
        """Return the lines of the tables and the summary."""
        if self.rows:
            yield from self._group_lines()
            yield ""
        kept = self.kept
        listed = self.rows if self.verbose else [row for row, _ in self._first(kept)]
        if listed:
            yield "every message:" if self.verbose else f"first {len(listed)} of {len(kept)} kept:"
            yield from _table(_COLUMNS, [self._cells(row) for row in listed])
            if len(listed) < len(kept):
                yield f"{len(kept) - len(listed)} more messages are kept; --verbose lists every message."
            yield ""
        yield from self._sums()

    @property
    def _put(self) -> str:
        return "put" if self.executed else "would_put"

    def _group_lines(self) -> Iterator[str]:
        groups = self.groups
        put = self._put.replace("_", " ")
        columns = ("kind", "reason", "messages", "kept", "records", put, "expired", "oldest")
        yield from _table(
            columns,
            [
                (
                    group.kind.value,
                    group.cause,
                    *map(str, (group.messages, group.kept, group.records, group.put)),
                    str(group.missing),
                    _age(group.oldest_seconds),
                )
                for group in groups[:MAX_GROUPS]
            ],
        )
        if len(groups) > MAX_GROUPS:
            others = sum(group.messages for group in groups[MAX_GROUPS:])
            yield f"{len(groups) - MAX_GROUPS} other reasons: {others} messages"

    def _cells(self, row: Row) -> tuple[str, ...]:
        return (
            row.message_id,
            row.kind.value,
            row.reason,
            f"{row.records}/{row.records + row.missing}" if row.missing else str(row.records),
            row.origin,
            str(row.devices),
            _age(row.age_seconds),
            self._outcome(row),
        )

    def _outcome(self, row: Row) -> str:
        if self.executed:
            if row.deleted:
                return f"put {row.accepted}, deleted" if row.records else "deleted"
            reason = row.problem if row.problem is not None else _NOT_FINISHED
            return f"put {row.accepted}, kept: {reason}" if row.accepted else f"kept: {reason}"
        put = f"would put {row.deliverable}, " if row.deliverable else "would "
        return f"{put}keep: {row.problem}" if row.problem is not None else f"{put}delete"

    def _sums(self) -> Iterator[str]:
        messages, found = len(self.rows), self._sum("records")
        if not self.executed:
            yield (
                f"dry run: {messages} messages with {found} records to {self.destination}; "
                f"{len(self.kept)} messages would be kept. "
                "Add --execute to redrive them."
            )
        else:
            deleted = sum(row.deleted for row in self.rows)
            yield (
                f"{messages} messages with {found} records; {self._sum('accepted')} records put "
                f"to {self.destination}; {deleted} messages deleted, {len(self.kept)} kept."
            )
        if self._sum("missing"):
            yield f"{self._sum('missing')} records have expired; restore them from the archive."
        if self.skipped:
            yield f"{self.skipped} messages of other kinds were skipped."
        if self.newer:
            yield f"{self.newer} messages arrived during the run and are left for the next run."
        if not self.read_to_end:
            yield "the run did not receive all messages; run the command again."
        if self.in_flight_elsewhere:
            yield (
                f"about {self.in_flight_elsewhere} messages were not received: another consumer or run holds them, or "
                "one that was killed did."
            )
        if self.invisible:
            yield (
                f"{self.invisible} messages could not be made visible again; they become visible within "
                f"{-(-self.invisible_seconds // _MINUTE)} minutes."
            )
        if self.interrupted:
            yield "interrupted: all messages that are not listed as deleted are still on the queue."

    def _sum(self, name: str) -> int:
        return sum(getattr(row, name) for row in self.rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    cells = [
        [_cut(cell, _WIDEST.get(name)) for name, cell in zip(columns, row, strict=True)]
        for row in [columns, *rows]
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ).rstrip()


def _cut(cell: str, widest: int | None) -> str:
    # A reason can contain device data: control characters must not reach the terminal.
    clean = "".join(character if character.isprintable() else "?" for character in cell)
    if widest is None or len(clean) <= widest:
        return clean
    return clean[: widest - 1] + "…"


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "?"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"
