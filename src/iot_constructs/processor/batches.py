"""Processes a batch: stores readings, updates the latest state, and publishes invalid records.

Each record ends up in the tables, on the dead-letter topic, or at or after the checkpoint from which
Lambda retries the batch (lambda/latest/dg/services-kinesis-batchfailurereporting.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import ceil
from typing import NamedTuple, Protocol

from .dead_letters import MAX_MESSAGES_PER_CALL, DeadLetter, DeadLetterTopic, SNSClient
from .device_state import MAX_CALLS_PER_CHUNK, DeviceStateWriter, max_calls
from .payloads import Room
from .readings import Reading, ReadingKey, parse_readings
from .records import StreamRecord
from .rejections import InvalidRecordError, Reason
from .retries import NO_TIME, Deadline, RetryPolicy, error_code
from .settings import Settings
from .time_series import (
    DynamoDBClient,
    ExecutorFactory,
    TimeSeriesWriter,
    WriteReport,
    create_threads,
)
from .transform import TransformError

# Each slice is completed, including its dead letters, before the next one starts. Otherwise, a batch
# of 10,000 records could use every invocation for its first step and never advance the checkpoint.
# A slice is decoded while its first readings are written, and takes no more `payloads.Room` than a single record may.
# This bounds the memory.
SLICE_READINGS = 500
# A kilobyte of gzip can take a second to decode, and so can a user's step: without this limit, an invocation could end
# before its first slice does.
SLICE_TIME_SHARE = 0.25
_TIME_SERIES, _DEVICE_STATE = "time series", "device state"
_NO_ROOM = {Reason.TOO_MANY_VALUES, Reason.DECOMPRESSED_TOO_LARGE}
# The calls for a few records, one after another: to the time series, to the state, and to the topic.
_CALLS_PER_RECORD = 1 + MAX_CALLS_PER_CHUNK + 1


@dataclass
class Outcome:
    """The result of a batch.

    Only records before the checkpoint count as stored or rejected. Lambda retries the others, which
    counts them then.
    """

    retry_from: str | None = None
    """The checkpoint: the lowest sequence number that Lambda has to retry."""
    stored: int = 0
    """Records, of which each can have several readings."""
    rejected: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    """Readings that equal another one of their slice."""
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    device_id_mismatches: list[str] = field(default_factory=list)
    """The device IDs of the records whose payload has a different one, once for each record."""


class Writer(Protocol):
    """Writes readings to one table."""

    def store(
        self,
        readings: Iterable[Reading],
        deadline: Deadline,
        first: Sequence[Reading],
        calls_after: Callable[[], int],
    ) -> WriteReport:
        """Store `readings`, which have unique keys.

        Those of `first`, which complete the first record, as long as there is time. The others only if it suffices for
        `calls_after()` calls of the next stages, which is final when `readings` ends.
        """


@dataclass(slots=True)
class _ParsedRecord:
    """A record with its readings, or else the reason for which it has none."""

    record: StreamRecord
    readings: list[Reading] = field(default_factory=list)
    rejected: InvalidRecordError | None = None
    failed: str | None = None


class _Failure(NamedTuple):
    """Why Lambda has to retry a record."""

    error: str
    stage: str | None = None

    def __str__(self) -> str:
        return self.error if self.stage is None else f"{self.stage}: {self.error}"


class _Slice:
    """Records that are completed together. The later ones are decoded while the readings of the first are written."""

    def __init__(self, part: list[_ParsedRecord], following: Iterator[_ParsedRecord]) -> None:
        """Take the decoded records, and those that follow, which are added to `part` when they are decoded."""
        self.part = part
        self.rejected: dict[int, InvalidRecordError] = {}
        """By position, as in `failed`."""
        self.failed: dict[int, _Failure] = {}
        self.devices: set[str] = set()
        self._unique: dict[ReadingKey, Reading] = {}
        self._unread = enumerate(chain(tuple(part), map(self._add, following)))

    def _add(self, parsed: _ParsedRecord) -> _ParsedRecord:
        self.part.append(parsed)
        return parsed

    def readings(self) -> Iterator[Reading]:
        """Yield the readings that no table lacks so far, one of each key."""
        yield from tuple(self._unique.values())
        for position, parsed in self._unread:
            if parsed.rejected:
                self.rejected[position] = parsed.rejected
            elif parsed.failed:
                self.failed[position] = _Failure(parsed.failed)
            for reading in parsed.readings:
                if self._unique.setdefault(reading.key, reading) is reading:
                    self.devices.add(reading.device_id)
                    yield reading

    def remove(self, report: WriteReport, table: str) -> None:
        """Remove the readings that `table` lacks; their records are rejected, or have failed."""
        for position, parsed in enumerate(self.part):
            for number, reading in enumerate(parsed.readings, 1):
                if reading.key in report.failed:
                    self.failed[position] = _Failure(report.failed[reading.key], table)
                elif reading.key in report.refused:
                    # The other readings of the record are stored, and again after a redrive.
                    where = table if number == 1 else f"{table}, reading {number}"
                    context = f"{where}: {report.refused[reading.key]}"
                    self.rejected[position] = InvalidRecordError(Reason.REFUSED_BY_TABLE, context)
        for key in (*report.refused, *report.failed):
            self._unique.pop(key, None)


class Processor:
    """Processes the batches of one function."""

    def __init__(
        self,
        dynamodb: DynamoDBClient,
        sns: SNSClient,
        settings: Settings,
        retries: RetryPolicy | None = None,
        executor: ExecutorFactory = create_threads,
    ) -> None:
        retries = retries if retries is not None else RetryPolicy()
        self._settings = settings
        # In this order: the state never shows a reading that the time series lacks.
        self._writers: dict[str, Writer] = {}
        if settings.time_series_table is not None:
            self._writers[_TIME_SERIES] = TimeSeriesWriter(
                dynamodb, settings.time_series_table, retries, executor
            )
        if settings.device_state_table is not None:
            self._writers[_DEVICE_STATE] = DeviceStateWriter(
                dynamodb,
                settings.device_state_table,
                retries,
                executor,
                settings.device_state_interval_seconds,
            )
        self._dead_letters = DeadLetterTopic(sns, settings.dlq_topic_arn, retries)

    def process(self, records: Sequence[StreamRecord], remaining_ms: Callable[[], int]) -> Outcome:
        """Process the records of one shard in order."""
        deadline = Deadline(remaining_ms)
        outcome = Outcome()
        completed = 0
        part: list[_ParsedRecord] = []
        while completed < len(records):
            following: Iterator[_ParsedRecord] = iter(())
            if not part:
                following = self._decode_slice(records, completed, remaining_ms)
                part.append(next(following))
            done, failed = self._process_slice(_Slice(part, following), deadline, outcome)
            completed += done
            part = part[done:]
            out_of_time = done and failed and failed[done].error == NO_TIME
            if (part and not out_of_time) or not _can_go_on(deadline):
                outcome.errors.update(str(failure) for failure in failed.values())
                break
        if completed < len(records):
            outcome.retry_from = records[completed].sequence_number
            outcome.failed = len(records) - completed
            outcome.errors = outcome.errors or Counter({NO_TIME: outcome.failed})
        return outcome

    def _decode_slice(
        self, records: Sequence[StreamRecord], start: int, remaining_ms: Callable[[], int]
    ) -> Iterator[_ParsedRecord]:
        """Decode records from `start` on: at least one, and as many as a slice takes."""
        readings, room, time = 0, Room(), remaining_ms()
        for position in range(start, len(records)):
            less = Room(room.decompressed_bytes, room.values)
            parsed = self._parse(records[position], less)
            if parsed.readings:
                room = less
            elif room != Room() and parsed.rejected and parsed.rejected.reason in _NO_ROOM:
                break  # it starts the next slice, which has more room
            yield parsed
            readings += max(1, len(parsed.readings))
            if readings >= SLICE_READINGS or remaining_ms() < time * (1 - SLICE_TIME_SHARE):
                break

    def _parse(self, record: StreamRecord, room: Room) -> _ParsedRecord:
        parsed = _ParsedRecord(record)
        try:
            parsed.readings = parse_readings(record, self._settings, room)
        except InvalidRecordError as rejection:
            # The traceback of `rejection` refers to everything that was decoded.
            parsed.rejected = InvalidRecordError(rejection.reason, rejection.context)
        except TransformError as error:
            parsed.failed = str(error)
        except Exception as error:  # a bug in the parser must not lose the record
            parsed.failed = f"reading: {error_code(error)}"
        return parsed

    def _calls_after(self, table: str, records: _Slice) -> int:
        """Return how many calls, one after another, the stages after `table` take at most, without retries.

        What is not decoded yet does not count: a call that starts meanwhile ends no later than one that waits for it.
        """
        calls = ceil(len(records.rejected) / MAX_MESSAGES_PER_CALL)
        if table == _TIME_SERIES and _DEVICE_STATE in self._writers:
            calls += max_calls(len(records.devices))
        return calls

    def _process_slice(
        self, records: _Slice, deadline: Deadline, outcome: Outcome
    ) -> tuple[int, dict[int, _Failure]]:
        """Return how many records from the start are completed, and the failures by position."""
        part, rejected, failed = records.part, records.rejected, records.failed
        for table, writer in self._writers.items():
            report = writer.store(
                records.readings(),
                deadline,
                part[0].readings,
                partial(self._calls_after, table, records),
            )
            if report.refused or report.failed:
                records.remove(report, table)

        # Lambda retries everything after the first failure, so publishing it now would duplicate it.
        first_failure = min(failed, default=len(part))
        letters = [position for position in sorted(rejected) if position < first_failure]
        unpublished = self._dead_letters.publish(
            [DeadLetter(part[position].record, rejected[position]) for position in letters],
            deadline,
        )
        for index, code in unpublished.items():
            failed[letters[index]] = _Failure(code, "dead letters")

        done = min(failed, default=len(part))
        _count(outcome, part[:done], rejected)
        return done, failed


def _can_go_on(deadline: Deadline) -> bool:
    """Whether there is time for another record."""
    return deadline.leaving(_CALLS_PER_RECORD - 1).has_time()


def _count(
    outcome: Outcome, done: Sequence[_ParsedRecord], rejected: Mapping[int, InvalidRecordError]
) -> None:
    seen = set()
    for position, parsed in enumerate(done):
        mismatches = [r.device_id for r in parsed.readings if r.device_id_mismatch]
        outcome.device_id_mismatches += mismatches[:1]
        if position in rejected:
            outcome.rejected[rejected[position].reason.value] += 1
            continue
        outcome.stored += 1
        for reading in parsed.readings:
            outcome.duplicates += reading.key in seen
            seen.add(reading.key)
