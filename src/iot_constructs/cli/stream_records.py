"""Reads records from the stream by shard and sequence number.

A shard that was closed by resharding can be read until its records expire
(https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from iot_constructs.cli.accepted_ranges import AcceptedRanges
from iot_constructs.cli.aws_errors import AWS_ERRORS, RetryPolicy, format_error
from iot_constructs.cli.dead_letter_messages import StreamRange
from iot_constructs.cli.kinesis_records import Record

# kinesis APIReference API_GetRecords.html
MAX_RECORDS_PER_CALL = 10_000


class KinesisReader(Protocol):
    """The Kinesis calls that `StreamReader` uses."""

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        """Get a shard iterator."""

    def get_records(self, **request: Any) -> dict[str, Any]:
        """Get records from a shard iterator."""


@dataclass(frozen=True)
class RangeRead:
    """The result of reading a range."""

    records: tuple[Record, ...]
    missing: int = 0
    """The minimum number of records that have expired."""
    problem: str | None = None
    covered: StreamRange | None = None
    """The range without the ends that have expired: once the records are accepted, all in it are."""


class StreamReader:
    """Reads ranges of records from streams, each in the Region of its ARN.

    ``client_in`` returns the client of a Region.
    """

    def __init__(
        self,
        client_in: Callable[[str], KinesisReader],
        retry_policy: RetryPolicy,
        keep_alive: Callable[[], None],
    ) -> None:
        self._client_in = client_in
        self._retry_policy = retry_policy
        self._keep_alive = keep_alive

    def read(self, wanted: StreamRange, accepted: AcceptedRanges) -> RangeRead:
        """Return the records of the range that have not expired and that this run has not delivered yet.

        A record counts as expired only if its shard was read and does not have it. After an error, this is unknown:
        ResourceNotFoundException stands for a shard that has expired and for a stream that is not there
        (https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html).
        """
        remaining = accepted.remaining(wanted)
        if remaining is None:
            return RangeRead(())
        _, _, _, region, account, stream = wanted.stream_arn.split(":")
        try:
            client = self._client_in(region)
            records = self._records(client, remaining)
            if remaining != wanted and not _missing_ends(remaining, records):
                return _select(wanted, records, accepted)
            if remaining != wanted:  # some of them expired during this run
                records = self._records(client, wanted)
        except AWS_ERRORS as error:
            name = stream.removeprefix("stream/")
            where = f"{name} in {region} (account {account})"
            return RangeRead((), 0, f"could not read {where}: {format_error(error)}")
        return _check_complete(wanted, records, _select(wanted, records, accepted))

    def _records(self, client: KinesisReader, wanted: StreamRange) -> tuple[Record, ...]:
        iterator: Any = self._retry_policy.call(
            client.get_shard_iterator,
            StreamARN=wanted.stream_arn,
            ShardId=wanted.shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=wanted.first,
        )["ShardIterator"]
        first, last = int(wanted.first), int(wanted.last)
        records: list[Record] = []
        # The iterator of a closed shard is null after its last record.
        while iterator is not None:
            self._keep_alive()
            response: Any = self._retry_policy.call(
                client.get_records,
                StreamARN=wanted.stream_arn,
                ShardIterator=iterator,
                Limit=min(max(wanted.batch_size, 1), MAX_RECORDS_PER_CALL),
            )
            for raw in response["Records"]:
                number = int(raw["SequenceNumber"])
                if first <= number <= last:
                    records.append(_record(wanted, raw))
                if number >= last:
                    return tuple(records)
            # An empty response is the end only at the tip of the shard: it can take several calls to reach a record.
            if not response["Records"] and not response.get("MillisBehindLatest"):
                break
            iterator = response.get("NextShardIterator")
        return tuple(records)


def _record(wanted: StreamRange, raw: dict[str, Any]) -> Record:
    arrival = raw.get("ApproximateArrivalTimestamp")
    return Record(
        partition_key=raw["PartitionKey"],
        data=raw["Data"],
        stream_arn=wanted.stream_arn,
        shard_id=wanted.shard_id,
        sequence_number=raw["SequenceNumber"],
        arrival=arrival.timestamp() if arrival is not None else None,
    )


def _select(
    wanted: StreamRange, records: tuple[Record, ...], accepted: AcceptedRanges
) -> RangeRead:
    """Leave out the records that this run has delivered."""
    if not records:
        return RangeRead(())
    first, last = str(_number(records[0])), str(_number(records[-1]))
    new = tuple(record for record in records if not accepted.has(wanted, _number(record)))
    return RangeRead(new, covered=replace(wanted, first=first, last=last))


def _check_complete(wanted: StreamRange, records: tuple[Record, ...], read: RangeRead) -> RangeRead:
    """Return what was read, and whether the records are the whole batch."""
    missing = max(wanted.batch_size - len(records), _missing_ends(wanted, records))
    if missing <= 0:
        return read
    return replace(
        read,
        missing=missing,
        problem=f"expired: the stream has {len(records)} of {wanted.batch_size} records; "
        "restore the others from the archive",
    )


def _missing_ends(wanted: StreamRange, records: tuple[Record, ...]) -> int:
    return len({int(wanted.first), int(wanted.last)} - set(map(_number, records)))


def _number(record: Record) -> int:
    return int(record.sequence_number or 0)
