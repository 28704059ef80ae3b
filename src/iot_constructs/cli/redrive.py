"""A redrive of the dead-letter queue.

A run can be interrupted and repeated: a message is deleted only after all of its records are accepted, and all other
received messages become visible again at the end of the run, or after their visibility timeout if the run is killed
(see `dead_letter_queue`). A record can be put twice, which the processor stores once, but is never lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from iot_constructs.cli.accepted_ranges import AcceptedRanges
from iot_constructs.cli.dead_letter_messages import (
    DeadLetter,
    Kind,
    StreamRange,
    parse_dead_letter,
)
from iot_constructs.cli.dead_letter_queue import (
    MAX_MESSAGES_PER_CALL,
    DeadLetterQueue,
    Message,
)
from iot_constructs.cli.destinations import Destination
from iot_constructs.cli.progress import Progress
from iot_constructs.cli.recovery import Recovered, Recovery
from iot_constructs.cli.report import Report, Row


@dataclass(frozen=True)
class _Work:
    message: Message
    found: Recovered
    row: Row


class Redrive:
    """Processes each message of the queue once: fetches its records, delivers them and deletes the message."""

    def __init__(
        self,
        queue: DeadLetterQueue,
        recovery: Recovery,
        destination: Destination,
        report: Report,
        *,
        kinds: Collection[Kind],
        limit: int | None,
        topic_level: int,
        progress: Progress,
    ) -> None:
        self._queue = queue
        self._recovery = recovery
        self._destination = destination
        self._report = report
        self._kinds = kinds
        self._limit = limit
        self._topic_level = topic_level
        self._progress = progress
        self._records = 0
        self._accepted = AcceptedRanges()

    def run(self) -> None:
        """Run until the queue is empty or the limit is reached, and fill the report."""
        try:
            while (room := self._room()) > 0:
                messages = self._queue.receive(room)
                if not messages:
                    break
                self._handle(messages)
        finally:
            self._progress.close()
            self._report.newer = self._queue.newer
            self._report.read_to_end = self._queue.read_to_end
            self._report.in_flight_elsewhere = self._queue.in_flight
            self._release()

    def _release(self) -> None:
        """Make the messages that stay on the queue visible again, and report those that are not."""
        try:
            problem = self._queue.release()
        finally:
            self._report.invisible = self._queue.held
            self._report.invisible_seconds = self._queue.held_seconds
        if problem is not None and self._report.error is None:
            self._report.error = f"messages cannot be made visible again ({problem})"

    def _room(self) -> int:
        """Return the number of messages that can still be received."""
        if self._limit is None:
            return MAX_MESSAGES_PER_CALL
        return self._limit - len(self._report.rows)

    def _handle(self, messages: Sequence[Message]) -> None:
        letters = [(m, parse_dead_letter(m.body, self._topic_level)) for m in messages]
        wanted = [(m, letter) for m, letter in letters if letter.kind in self._kinds]
        self._report.skipped += len(letters) - len(wanted)
        work: list[_Work] = []
        ranges: list[StreamRange] = []
        for message, letter in wanted:
            if isinstance(letter.source, StreamRange):
                if any(map(letter.source.overlaps, ranges)):
                    # What is accepted of the messages before decides what has to be read for this one.
                    self._finish(work)
                    work, ranges = [], []
                ranges.append(letter.source)
            work.append(self._inspect(message, letter))
        self._finish(work)
        self._progress.update(len(self._report.rows) + self._report.skipped, self._records)

    def _inspect(self, message: Message, letter: DeadLetter) -> _Work:
        self._queue.keep_alive()
        # A record can be rejected because this run delivered it: the message is then the only trace of it.
        is_rejected = letter.kind is Kind.REJECTED_RECORD
        accepted = AcceptedRanges() if is_rejected else self._accepted
        found = _with_arrival(self._recovery.recover(letter.source, accepted), message)
        error = self._destination.validate(found)
        deliverable = found if error is None else Recovered(problem=error)
        row = Row(
            message_id=message.id,
            kind=letter.kind,
            reason=letter.reason,
            cause=letter.cause,
            origin=found.origin,
            records=found.count,
            deliverable=deliverable.count,
            missing=found.missing,
            devices=len({record.partition_key for record in found.records}),
            age_seconds=self._age(message),
            problem=deliverable.problem,
        )
        self._report.rows.append(row)
        return _Work(message, deliverable, row)

    def _age(self, message: Message) -> int | None:
        if message.sent is None:
            return None
        return max(0, int(self._queue.began - message.sent))

    def _finish(self, work: Sequence[_Work]) -> None:
        """Deliver the records of messages; a dry run notes only what it would deliver."""
        if self._report.executed:
            self._deliver(work)
        for each in work:
            is_accepted = each.row.accepted == each.found.count or not self._report.executed
            if each.found.covered is not None and is_accepted:
                self._accepted.add(each.found.covered)
        self._records += sum(each.row.records for each in work)

    def _deliver(self, work: Sequence[_Work]) -> None:
        outcomes = self._destination.deliver([each.found for each in work])
        done = []
        for each, outcome in zip(work, outcomes, strict=True):
            each.row.accepted = outcome.accepted
            if outcome.problem is not None:
                each.row.problem = outcome.problem
            if each.row.problem is None and outcome.accepted == each.found.count:
                done.append(each)
        problems = self._queue.delete(each.message for each in done)
        for each in done:
            problem = problems.get(each.message.id)
            if problem is None:
                each.row.deleted = True
            else:
                each.row.problem = (
                    f"its records were accepted, but it cannot be deleted ({problem})"
                )


def _with_arrival(found: Recovered, message: Message) -> Recovered:
    """Give a record that never reached the stream, as after an IoT rule error, the arrival of its message.

    An event of the function route has to have an arrival, and TelemetryProcessor compares timestamps with it.
    """
    return replace(
        found,
        records=tuple(
            record if record.arrival is not None else replace(record, arrival=message.sent)
            for record in found.records
        ),
    )
