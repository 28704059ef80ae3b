"""Simulates Kinesis: shards, resharding, retention, and the calls of a mapping, a producer, and a redrive.

Pages, in kinesis/latest/APIReference except for the last one:

- API_PutRecords.html: 500 records and 10 MiB with the partition keys; a failed record is in the response with an
  ErrorCode, and the others are put; no deduplication. API_PutRecordsRequestEntry.html: keys of 1 to 256 characters.
- API_GetShardIterator.html: the types, and that an iterator expires after 5 minutes.
- API_GetRecords.html: up to 10,000 records and 10 MiB; "it might take multiple calls to get to a portion of the shard
  that contains records"; the iterator after the last record of a closed shard is null.
- API_ListShards.html: open shards, and closed ones within the retention period.
- API_SplitShard.html, API_MergeShards.html, and streams/latest/dev/kinesis-using-sdk-java-after-resharding.html: the
  parents are closed and stay readable until their records expire.

Throughput (1 MB/s of writes, 2 MB/s and 5 reads per second, for each shard) is not simulated: throttling is a fault.
"""

# ruff: noqa: N803  # the parameters have the names of the API

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from iot_constructs.testing.processes import aws_error
from iot_constructs.testing.scheduler import Time

_HASH_KEYS = 2**128
_FIRST_SEQUENCE = 49_590_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
_MAX_RECORDS_PER_PUT = 500
_MAX_BYTES_PER_PUT = 10 * 2**20
_MAX_BYTES_PER_READ = 10 * 2**20
_MAX_RECORDS_PER_READ = 10_000
_MAX_KEY_CHARACTERS = 256
_ITERATOR_SECONDS = 300


@dataclass(frozen=True)
class StoredRecord:
    """A record in a shard."""

    sequence_number: int
    partition_key: str
    data: bytes
    arrival: float
    """ApproximateArrivalTimestamp, in epoch seconds."""


@dataclass
class Shard:
    """A shard with the hash keys from `first` up to, but not including, `end`."""

    id: str
    first: int
    end: int
    starting_sequence_number: int
    parents: tuple[str, ...] = ()
    closed_at: float | None = None
    last_sequence_number: int | None = None
    """EndingSequenceNumber of a closed shard."""
    records: list[StoredRecord] = field(default_factory=list)
    trimmed: int = 0
    """How many records have expired, so that an iterator's position does not change."""

    @property
    def closed(self) -> bool:
        """Whether it accepts no more records."""
        return self.closed_at is not None


class Kinesis:
    """A Region with one stream."""

    def __init__(
        self, time: Time, arn: str, *, shards: int = 1, retention_seconds: float = 86_400
    ) -> None:
        self.arn = arn
        self.name = arn.rpartition("/")[2]
        self.retention_seconds = retention_seconds
        self.shards: dict[str, Shard] = {}
        self.accepted: list[StoredRecord] = []
        """All records in the order of their acceptance."""
        self.on_accept: Callable[[Shard, StoredRecord], None] = lambda shard, record: None
        self.reads_nothing: Callable[[], bool] = lambda: False
        """Whether a read returns no records although there are some."""
        self.records_per_read = _MAX_RECORDS_PER_READ
        self._time = time
        self._sequence = _FIRST_SEQUENCE
        self._created = 0
        width = _HASH_KEYS // shards
        for number in range(shards):
            end = _HASH_KEYS if number == shards - 1 else (number + 1) * width
            self._add_shard(number * width, end)

    def put_records(
        self,
        *,
        Records: Sequence[Mapping[str, Any]],
        StreamName: str | None = None,
        StreamARN: str | None = None,
        fails: Callable[[int], str | None] | None = None,
    ) -> dict[str, Any]:
        """PutRecords."""
        self._check_stream(StreamName, StreamARN)
        sizes = [len(each["Data"]) + len(each["PartitionKey"].encode()) for each in Records]
        if not 1 <= len(sizes) <= _MAX_RECORDS_PER_PUT or sum(sizes) > _MAX_BYTES_PER_PUT:
            raise _invalid("too many or too large records")
        if not all(1 <= len(each["PartitionKey"]) <= _MAX_KEY_CHARACTERS for each in Records):
            raise _invalid("a partition key has 1 to 256 characters")
        results: list[dict[str, Any]] = []
        for index, each in enumerate(Records):
            code = fails(index) if fails is not None else None
            if code is not None:
                results.append({"ErrorCode": code, "ErrorMessage": "injected"})
                continue
            shard, record = self._accept(each["PartitionKey"], bytes(each["Data"]))
            number = str(record.sequence_number)
            results.append({"SequenceNumber": number, "ShardId": shard.id})
        failed = sum("ErrorCode" in each for each in results)
        return {"FailedRecordCount": failed, "Records": results}

    def list_shards(
        self,
        *,
        StreamName: str | None = None,
        StreamARN: str | None = None,
    ) -> dict[str, Any]:
        """ListShards: open shards, and closed ones whose records have not expired."""
        self._check_stream(StreamName, StreamARN)
        self._expire()
        return {"Shards": [_describe(shard) for shard in self.shards.values()]}

    def get_shard_iterator(
        self,
        *,
        ShardId: str,
        ShardIteratorType: str,
        StreamARN: str,
        StartingSequenceNumber: str = "0",
        Timestamp: datetime | None = None,
    ) -> dict[str, Any]:
        """GetShardIterator. The iterator is the shard and the position in it."""
        self._check_stream(None, StreamARN)
        self._expire()
        shard = self._shard(ShardId)
        start = int(StartingSequenceNumber)
        tests: dict[str, Callable[[StoredRecord], bool]] = {
            "TRIM_HORIZON": lambda record: True,
            "LATEST": lambda record: False,
            "AT_SEQUENCE_NUMBER": lambda record: record.sequence_number >= start,
            "AFTER_SEQUENCE_NUMBER": lambda record: record.sequence_number > start,
            "AT_TIMESTAMP": lambda record: (
                Timestamp is not None and record.arrival >= Timestamp.timestamp()
            ),
        }
        matches = tests[ShardIteratorType]
        position = _first_match(shard.records, matches)
        return {"ShardIterator": self._iterator(shard, shard.trimmed + position)}

    def get_records(
        self,
        *,
        ShardIterator: str,
        StreamARN: str,
        Limit: int = 10_000,
    ) -> dict[str, Any]:
        """GetRecords."""
        self._check_stream(None, StreamARN)
        self._expire()
        if not 1 <= Limit <= _MAX_RECORDS_PER_READ:
            raise _invalid("Limit is 1 to 10,000")
        shard, position = self._position(ShardIterator)
        limit = 0 if self.reads_nothing() else min(Limit, self.records_per_read)
        found: list[StoredRecord] = []
        size = 0
        for record in shard.records[position - shard.trimmed :][:limit]:
            size += len(record.data)
            if found and size > _MAX_BYTES_PER_READ:
                break
            found.append(record)
        position += len(found)
        behind = shard.trimmed + len(shard.records) - position
        ended = shard.closed and not behind
        return {
            "Records": [
                {
                    "SequenceNumber": str(record.sequence_number),
                    "PartitionKey": record.partition_key,
                    "Data": record.data,
                    "ApproximateArrivalTimestamp": datetime.fromtimestamp(
                        record.arrival, timezone.utc
                    ),
                }
                for record in found
            ],
            "NextShardIterator": None if ended else self._iterator(shard, position),
            "MillisBehindLatest": 1000 if behind else 0,
        }

    def split_shard(self, shard_id: str) -> None:
        """Split a shard in the middle of its hash keys."""
        shard = self._shard(shard_id)
        middle = (shard.first + shard.end) // 2
        self._close(shard)
        self._add_shard(shard.first, middle, shard)
        self._add_shard(middle, shard.end, shard)

    def merge_shards(self, first_id: str, second_id: str) -> None:
        """Merge two adjacent shards."""
        first, second = self._shard(first_id), self._shard(second_id)
        if first.closed or second.closed or first.end != second.first:
            raise _invalid("the shards are not open and adjacent")
        self._close(first)
        self._close(second)
        self._add_shard(first.first, second.end, first, second)

    def open_shards(self) -> list[Shard]:
        """Return the shards that accept records, in the order of their hash keys."""
        shards = [shard for shard in self.shards.values() if not shard.closed]
        return sorted(shards, key=lambda shard: shard.first)

    def _accept(self, partition_key: str, data: bytes) -> tuple[Shard, StoredRecord]:
        hash_key = int.from_bytes(hashlib.md5(partition_key.encode()).digest(), "big")
        shard = next(
            each
            for each in self.shards.values()
            if not each.closed and each.first <= hash_key < each.end
        )
        self._sequence += 1 + self._time.random.getrandbits(4)
        record = StoredRecord(self._sequence, partition_key, data, round(self._time.now, 3))
        shard.records.append(record)
        self.accepted.append(record)
        self.on_accept(shard, record)
        return shard, record

    def _shard(self, shard_id: str) -> Shard:
        try:
            return self.shards[shard_id]
        except KeyError:
            raise aws_error("ResourceNotFoundException", f"no shard {shard_id}") from None

    def _add_shard(self, first: int, end: int, *parents: Shard) -> Shard:
        shard_id = f"shardId-{self._created:012d}"
        self._created += 1
        self._sequence += 1
        shard = Shard(shard_id, first, end, self._sequence, tuple(each.id for each in parents))
        self.shards[shard_id] = shard
        return shard

    def _close(self, shard: Shard) -> None:
        self._sequence += 1
        shard.closed_at, shard.last_sequence_number = self._time.now, self._sequence

    def _iterator(self, shard: Shard, position: int) -> str:
        return f"{shard.id}/{position}/{self._time.now!r}"

    def _position(self, iterator: str) -> tuple[Shard, int]:
        """Return the shard and the position in it, from which records can have expired since."""
        try:
            shard_id, position, issued = iterator.split("/")
            age = self._time.now - float(issued)
        except ValueError:
            raise _invalid("not an iterator") from None
        if age > _ITERATOR_SECONDS:
            raise aws_error("ExpiredIteratorException", f"the iterator is {age:.0f} s old")
        shard = self._shard(shard_id)
        return shard, max(int(position), shard.trimmed)

    def _expire(self) -> None:
        oldest = self._time.now - self.retention_seconds
        for shard in list(self.shards.values()):
            if shard.records and shard.records[0].arrival < oldest:
                count = _first_match(shard.records, lambda record: record.arrival >= oldest)
                del shard.records[:count]
                shard.trimmed += count
            if shard.closed_at is not None and shard.closed_at < oldest:
                del self.shards[shard.id]

    def _check_stream(self, name: str | None, arn: str | None) -> None:
        if (arn if arn is not None else name) not in (self.arn, self.name):
            raise aws_error("ResourceNotFoundException", f"no stream {arn or name}")


def _first_match(records: Sequence[StoredRecord], matches: Callable[[StoredRecord], bool]) -> int:
    """Return the index of the first match: all records after it match as well."""
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        if matches(records[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def _invalid(message: str) -> Exception:
    error: Exception = aws_error("InvalidArgumentException", message)
    return error


def _describe(shard: Shard) -> dict[str, Any]:
    ends = {"StartingSequenceNumber": str(shard.starting_sequence_number)}
    if shard.last_sequence_number is not None:
        ends["EndingSequenceNumber"] = str(shard.last_sequence_number)
    names = ("ParentShardId", "AdjacentParentShardId")
    return {
        "ShardId": shard.id,
        "HashKeyRange": {
            "StartingHashKey": str(shard.first),
            "EndingHashKey": str(shard.end - 1),
        },
        "SequenceNumberRange": ends,
        **dict(zip(names, shard.parents, strict=False)),
    }
