"""Processes a batch: stores readings, updates the latest state, and publishes invalid records.

Each record ends up in the tables, on the dead-letter topic, or at or after the checkpoint from which
Lambda retries the batch (lambda/latest/dg/services-kinesis-batchfailurereporting.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .chunks import split_chunks
from .dead_letters import DeadLetter, DeadLetterTopic, SNSClient
from .device_state import DeviceStateWriter, ExecutorFactory, create_threads
from .readings import Reading, parse_readings
from .records import StreamRecord
from .rejections import InvalidRecordError, Reason
from .retries import Deadline, RetryPolicy, error_code
from .settings import Settings
from .time_series import DynamoDBClient, TimeSeriesWriter, WriteReport
from .transform import TransformError

# Each slice is completed, including its dead letters, before the next one starts. Otherwise, a batch
# of 10,000 records could use every invocation for its first step and never advance the checkpoint.
# A slice is decoded when it starts, so the limits also bound the memory. A record that exceeds one of
# them is a slice of its own. Items of plain JSON records don't reach the second one: an event has up
# to 6 MB in base64 (lambda/latest/dg/gettingstarted-limits.html).
SLICE_READINGS = 500
SLICE_BYTES = 5_000_000
# A kilobyte of gzip can take a second to decode, and so can a user's step: without this limit, an invocation could end
# before its first slice does.
SLICE_TIME_SHARE = 0.25


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

    def store(self, readings: Sequence[Reading], deadline: Deadline) -> WriteReport:
        """Store `readings`, which have unique keys."""


@dataclass(slots=True)
class _ParsedRecord:
    """A record with its readings, or else the reason for which it has none."""

    record: StreamRecord
    readings: list[Reading] = field(default_factory=list)
    rejected: InvalidRecordError | None = None
    failed: str | None = None
    time_share: float = 0.0
    """How much of the invocation's remaining time it took to decode it."""

    def count(self) -> int:
        """Return how many readings of a slice it takes, or the time of how many."""
        of_time = int(self.time_share / SLICE_TIME_SHARE * SLICE_READINGS)
        return max(1, len(self.readings), of_time)

    def stored_bytes(self) -> int:
        """Return the size of its items."""
        return sum([reading.stored_bytes for reading in self.readings])


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
            self._writers["time series"] = TimeSeriesWriter(
                dynamodb, settings.time_series_table, retries
            )
        if settings.device_state_table is not None:
            self._writers["device state"] = DeviceStateWriter(
                dynamodb, settings.device_state_table, retries, executor
            )
        self._dead_letters = DeadLetterTopic(sns, settings.dlq_topic_arn, retries)

    def process(self, records: Sequence[StreamRecord], remaining_ms: Callable[[], int]) -> Outcome:
        """Process the records of one shard in order."""
        deadline = Deadline(remaining_ms)
        outcome = Outcome()
        completed = 0
        for part in split_chunks(
            (self._parse(record, remaining_ms) for record in records),
            _ParsedRecord.stored_bytes,
            max_items=SLICE_READINGS,
            max_bytes=SLICE_BYTES,
            count=_ParsedRecord.count,
        ):
            done = self._process_slice(part, deadline, outcome)
            completed += done
            if done < len(part):
                outcome.retry_from = part[done].record.sequence_number
                outcome.failed = len(records) - completed
                break
        return outcome

    def _parse(self, record: StreamRecord, remaining_ms: Callable[[], int]) -> _ParsedRecord:
        parsed, before = _ParsedRecord(record), remaining_ms()
        try:
            parsed.readings = parse_readings(record, self._settings)
        except InvalidRecordError as rejection:
            parsed.rejected = rejection
        except TransformError as error:
            parsed.failed = str(error)
        except Exception as error:  # a bug in the parser must not lose the record
            parsed.failed = f"reading: {error_code(error)}"
        parsed.time_share = (before - remaining_ms()) / max(before, 1)
        return parsed

    def _process_slice(
        self, part: Sequence[_ParsedRecord], deadline: Deadline, outcome: Outcome
    ) -> int:
        """Return how many records from the start are completed."""
        rejected = {n: parsed.rejected for n, parsed in enumerate(part) if parsed.rejected}
        failed = {n: parsed.failed for n, parsed in enumerate(part) if parsed.failed}
        pending = {reading.key: reading for parsed in part for reading in parsed.readings}
        for table, writer in self._writers.items():
            report = writer.store(list(pending.values()), deadline)
            if not report.refused and not report.failed:
                continue
            for position, parsed in enumerate(part):
                for number, reading in enumerate(parsed.readings, 1):
                    if reading.key in report.failed:
                        failed[position] = f"{table}: {report.failed[reading.key]}"
                    elif reading.key in report.refused:
                        # The other readings of the record are stored, and again after a redrive.
                        where = table if number == 1 else f"{table}, reading {number}"
                        context = f"{where}: {report.refused[reading.key]}"
                        rejected[position] = InvalidRecordError(Reason.REFUSED_BY_TABLE, context)
            pending = {
                key: reading
                for key, reading in pending.items()
                if key not in report.refused and key not in report.failed
            }

        # Lambda retries everything after the first failure, so publishing it now would duplicate it.
        first_failure = min(failed, default=len(part))
        letters = [position for position in sorted(rejected) if position < first_failure]
        unpublished = self._dead_letters.publish(
            [DeadLetter(part[position].record, rejected[position]) for position in letters],
            deadline,
        )
        for index, code in unpublished.items():
            failed[letters[index]] = f"dead letters: {code}"

        done = min(failed, default=len(part))
        outcome.errors.update(failed.values())
        _count(outcome, part[:done], rejected)
        return done


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
