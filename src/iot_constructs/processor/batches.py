"""Processes a batch: stores readings, updates the latest state, and publishes invalid records.

Each record ends up in the tables, on the dead-letter topic, or at or after the checkpoint from which
Lambda retries the batch (lambda/latest/dg/services-kinesis-batchfailurereporting.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .dead_letters import DeadLetter, DeadLetterTopic, SNSClient
from .device_state import DeviceStateWriter
from .readings import Reading, parse_reading
from .records import StreamRecord
from .rejections import InvalidRecordError, Reason
from .retries import Deadline, RetryPolicy, error_code
from .settings import Settings
from .time_series import DynamoDBClient, TimeSeriesWriter, WriteReport
from .transform import TransformError

# Each slice is completed, including its dead letters, before the next one starts. Otherwise, a batch
# of 10,000 records could use every invocation for its first step and never advance the checkpoint.
SLICE_RECORDS = 500


@dataclass
class Outcome:
    """The result of a batch.

    Only records before the checkpoint count as stored or rejected. Lambda retries the others, which
    counts them then.
    """

    retry_from: str | None = None
    """The checkpoint: the lowest sequence number that Lambda has to retry."""
    stored: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    device_id_mismatches: list[str] = field(default_factory=list)
    """The partition keys of the readings whose payload has a different device ID."""


class Writer(Protocol):
    """Writes readings to one table."""

    def store(self, readings: Sequence[Reading], deadline: Deadline) -> WriteReport:
        """Store `readings`, which have unique keys."""


class Processor:
    """Processes the batches of one function."""

    def __init__(
        self,
        dynamodb: DynamoDBClient,
        sns: SNSClient,
        settings: Settings,
        retries: RetryPolicy | None = None,
    ) -> None:
        retries = retries if retries is not None else RetryPolicy()
        self._retention_seconds = settings.retention_seconds
        # In this order: the state never shows a reading that the time series lacks.
        self._writers: dict[str, Writer] = {}
        if settings.time_series_table is not None:
            self._writers["time series"] = TimeSeriesWriter(
                dynamodb, settings.time_series_table, retries
            )
        if settings.device_state_table is not None:
            self._writers["device state"] = DeviceStateWriter(
                dynamodb, settings.device_state_table, retries
            )
        self._dead_letters = DeadLetterTopic(sns, settings.dlq_topic_arn, retries)

    def process(self, records: Sequence[StreamRecord], remaining_ms: Callable[[], int]) -> Outcome:
        """Process the records of one shard in order."""
        deadline = Deadline(remaining_ms)
        outcome = Outcome()
        for start in range(0, len(records), SLICE_RECORDS):
            part = records[start : start + SLICE_RECORDS]
            done = self._process_slice(part, deadline, outcome)
            if done < len(part):
                outcome.retry_from = part[done].sequence_number
                outcome.failed = len(records) - start - done
                break
        return outcome

    def _process_slice(
        self, records: Sequence[StreamRecord], deadline: Deadline, outcome: Outcome
    ) -> int:
        """Return how many records from the start are completed."""
        readings: dict[int, Reading] = {}
        rejected: dict[int, InvalidRecordError] = {}
        failed: dict[int, str] = {}
        for position, record in enumerate(records):
            try:
                readings[position] = parse_reading(record, self._retention_seconds)
            except InvalidRecordError as rejection:
                rejected[position] = rejection
            except TransformError as error:
                failed[position] = str(error)
            except Exception as error:  # a bug in the parser must not lose the record
                failed[position] = f"reading: {error_code(error)}"

        pending = {reading.key: reading for reading in readings.values()}
        for table, writer in self._writers.items():
            report = writer.store(list(pending.values()), deadline)
            for position, reading in readings.items():
                if reading.key in report.failed:
                    failed[position] = f"{table}: {report.failed[reading.key]}"
                elif reading.key in report.refused:
                    context = f"{table}: {report.refused[reading.key]}"
                    rejected[position] = InvalidRecordError(Reason.REFUSED_BY_TABLE, context)
            pending = {
                key: reading
                for key, reading in pending.items()
                if key not in report.refused and key not in report.failed
            }

        # Lambda retries everything after the first failure, so publishing it now would duplicate it.
        first_failure = min(failed, default=len(records))
        letters = [position for position in sorted(rejected) if position < first_failure]
        unpublished = self._dead_letters.publish(
            [DeadLetter(records[position], rejected[position]) for position in letters], deadline
        )
        for index, code in unpublished.items():
            failed[letters[index]] = f"dead letters: {code}"

        done = min(failed, default=len(records))
        outcome.errors.update(failed.values())
        _count(outcome, records[:done], readings, rejected)
        return done


def _count(
    outcome: Outcome,
    done: Sequence[StreamRecord],
    readings: dict[int, Reading],
    rejected: dict[int, InvalidRecordError],
) -> None:
    seen = set()
    for position, record in enumerate(done):
        reading = readings.get(position)
        if reading is not None and reading.device_id_mismatch:
            outcome.device_id_mismatches.append(record.device_id)
        if position in rejected:
            outcome.rejected[rejected[position].reason.value] += 1
        elif reading is not None:
            outcome.stored += 1
            outcome.duplicates += reading.key in seen
            seen.add(reading.key)
