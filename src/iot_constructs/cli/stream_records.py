"""Reads records back from the stream, by shard and sequence number.

A shard that was closed by resharding is read like any other until its last record is past the retention
(streams/latest/dev/kinesis-using-sdk-java-after-resharding.html).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from iot_constructs.cli.aws_errors import AWS_ERRORS, Attempts, code_of, described
from iot_constructs.cli.dead_letter_messages import OnStream
from iot_constructs.cli.kinesis_records import Record

# kinesis APIReference API_GetRecords.html
MAX_RECORDS_PER_CALL = 10_000

# AWS does not say what happens at a sequence number that is no longer there. Any of these is taken for it:
# ResourceNotFoundException (the whole shard is gone), InvalidArgumentException (the number is not one of this
# stream, as when the stream was made anew under its name), and an iterator at the oldest record that is left.
_GONE = ("ResourceNotFoundException", "InvalidArgumentException")


class KinesisReader(Protocol):
    """The calls that are made."""

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        """A place on the stream."""

    def get_records(self, **request: Any) -> dict[str, Any]:
        """What is there."""


@dataclass(frozen=True)
class RangeRead:
    """What came of reading one range."""

    records: tuple[Record, ...]
    missing: int = 0
    """How many the stream no longer has, at the least."""
    problem: str | None = None


class StreamReader:
    """Reads ranges of one or more streams."""

    def __init__(
        self, client: KinesisReader, attempts: Attempts, keep_alive: Callable[[], None]
    ) -> None:
        self._client = client
        self._attempts = attempts
        self._keep_alive = keep_alive

    def read(self, wanted: OnStream) -> RangeRead:
        """All records of the range that the stream still has."""
        try:
            records = self._records(wanted)
        except AWS_ERRORS as error:
            if code_of(error) in _GONE:
                return RangeRead(
                    (),
                    wanted.batch_size,
                    f"out of retention, or not of this stream ({described(error)})",
                )
            return RangeRead((), 0, f"the stream could not be read ({described(error)})")
        return _judged(wanted, records)

    def _records(self, wanted: OnStream) -> tuple[Record, ...]:
        iterator: Any = self._attempts.call(
            self._client.get_shard_iterator,
            StreamARN=wanted.stream_arn,
            ShardId=wanted.shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=wanted.first,
        )["ShardIterator"]
        first, last = int(wanted.first), int(wanted.last)
        records: list[Record] = []
        # The iterator of a closed shard is null behind its last record.
        while iterator is not None:
            self._keep_alive()
            answer: Any = self._attempts.call(
                self._client.get_records,
                StreamARN=wanted.stream_arn,
                ShardIterator=iterator,
                Limit=min(max(wanted.batch_size, 1), MAX_RECORDS_PER_CALL),
            )
            for raw in answer["Records"]:
                number = int(raw["SequenceNumber"])
                if first <= number <= last:
                    records.append(_record(wanted, raw))
                if number >= last:
                    return tuple(records)
            # An empty answer is not the end: it can take several calls to get to a record. At the tip it is.
            if not answer["Records"] and not answer.get("MillisBehindLatest"):
                break
            iterator = answer.get("NextShardIterator")
        return tuple(records)


def _record(wanted: OnStream, raw: dict[str, Any]) -> Record:
    arrival = raw.get("ApproximateArrivalTimestamp")
    return Record(
        partition_key=raw["PartitionKey"],
        data=raw["Data"],
        stream_arn=wanted.stream_arn,
        shard_id=wanted.shard_id,
        sequence_number=raw["SequenceNumber"],
        arrival=arrival.timestamp() if arrival is not None else None,
    )


def _judged(wanted: OnStream, records: tuple[Record, ...]) -> RangeRead:
    """Whether these are all of the batch.

    There can be more than the batch had: with a parallelization factor above 1 a batch has only some of the shard's
    records between its first and its last. Putting the others back as well does no harm. There can never be fewer.
    """
    numbers = {int(record.sequence_number or 0) for record in records}
    ends = {int(wanted.first), int(wanted.last)}
    if ends <= numbers and len(records) >= wanted.batch_size:
        return RangeRead(records)
    missing = max(wanted.batch_size - len(records), len(ends - numbers))
    return RangeRead(
        records,
        missing,
        f"out of retention: the stream has {len(records)} of {wanted.batch_size} records; "
        "take the others from the archive",
    )
