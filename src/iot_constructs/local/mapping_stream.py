"""Reads the shards and records of a stream with the Kinesis API.

To keep the order of a partition key after a reshard, a consumer reads a child shard only after it
has read all records of the parents (streams/latest/dev/kinesis-using-sdk-java-after-resharding.html).

The emulator deletes a parent shard and its records when it is split or merged. UpdateShardCount
replaces every shard with an empty one, most of them with the same ID (ministack 1.5.33). Unread
records are lost, so reshard only while the mapping is idle. The emulator's iterators can refer to
another shard after a reshard, and they expire after five minutes as in AWS. Therefore, each read
creates an iterator after the last sequence number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from iot_constructs.local.mapping_configuration import TRIM_HORIZON
from iot_constructs.local.mapping_records import EventTemplate, Record
from iot_constructs.local.shard_batches import ShardBatches

RECORDS_PER_READ = 1000
NOT_FOUND = "ResourceNotFoundException"


@dataclass(frozen=True)
class ListedShard:
    """A shard in the response of ListShards."""

    shard_id: str
    parents: tuple[str, ...] = ()
    first_sequence_number: str = ""


@dataclass(frozen=True)
class Read:
    """The result of one read."""

    records: tuple[Record, ...]
    ended: bool
    """Whether the shard is closed and has no more records."""
    behind: bool
    """Whether more records are available now."""


@dataclass(frozen=True)
class StartPosition:
    """Where the first read of a shard starts."""

    iterator_type: str
    timestamp: datetime | None = None

    def request(self) -> dict[str, Any]:
        """Return the arguments of GetShardIterator."""
        if self.timestamp is None:
            return {"ShardIteratorType": self.iterator_type}
        return {"ShardIteratorType": self.iterator_type, "Timestamp": self.timestamp}


FROM_TRIM_HORIZON = StartPosition(TRIM_HORIZON)


class StreamReader:
    """Calls the Kinesis API."""

    def __init__(self, kinesis: Any, template: EventTemplate) -> None:
        self._kinesis = kinesis
        self._template = template

    def shards(self) -> list[ListedShard]:
        """Return all shards of the stream, including closed ones within the retention period."""
        pages = self._kinesis.get_paginator("list_shards").paginate(
            StreamARN=self._template.stream_arn
        )
        return [_listed(shard) for page in pages for shard in page["Shards"]]

    def read(self, shard_id: str, after: str | None, start: StartPosition) -> Read:
        """Return the records after a sequence number, or the first ones."""
        if after is None:
            position = start.request()
        else:
            position = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": after,
            }
        stream = {"StreamARN": self._template.stream_arn}
        try:
            iterator = self._kinesis.get_shard_iterator(ShardId=shard_id, **position, **stream)
            result = self._kinesis.get_records(
                ShardIterator=iterator["ShardIterator"], Limit=RECORDS_PER_READ, **stream
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == NOT_FOUND and self._is_gone(shard_id):
                return Read((), ended=True, behind=False)
            raise
        return Read(
            tuple(self._template.record(shard_id, each) for each in result["Records"]),
            ended=result.get("NextShardIterator") is None,
            behind=bool(result.get("MillisBehindLatest")),
        )

    def _is_gone(self, shard_id: str) -> bool:
        """Whether the shard is missing, not the stream."""
        return shard_id not in {shard.shard_id for shard in self.shards()}


@dataclass
class OpenShard:
    """A shard that is being read."""

    shard_id: str
    parents: tuple[str, ...]
    first_sequence_number: str
    start: StartPosition
    batches: ShardBatches
    last_read: str | None = None
    ended: bool = False
    next_read: float = 0.0
    empty_since: float | None = None
    """When the last read started, if it returned no records."""

    @property
    def is_drained(self) -> bool:
        """Whether the shard is closed and all its records are completed."""
        return self.ended and self.batches.is_empty

    def add_read(self, read: Read, now: float) -> None:
        """Add the result of a read."""
        if read.records:
            self.last_read = read.records[-1].sequence_number
            self.batches.add(read.records, now)
        if read.ended:
            self.ended = True
            self.batches.close()


@dataclass
class Shards:
    """All shards seen so far, and the order of parents and children."""

    known: dict[str, OpenShard] = field(default_factory=dict)

    def unknown(self, listed: Iterable[ListedShard]) -> list[ListedShard]:
        """Return the shards that are not open yet."""
        return [shard for shard in listed if shard.shard_id not in self.known]

    def add(self, shard: OpenShard) -> None:
        """Start to read a shard."""
        self.known[shard.shard_id] = shard

    def update(self, listed: Sequence[ListedShard]) -> None:
        """Update the known shards from a listing.

        A shard that is not listed has ended. A shard with a different first sequence number is a
        new one with the same ID.
        """
        by_id = {each.shard_id: each for each in listed}
        for shard in self.known.values():
            each = by_id.get(shard.shard_id)
            if each is None:
                shard.ended = True
                shard.batches.close()
            elif shard.first_sequence_number != each.first_sequence_number:
                shard.first_sequence_number = each.first_sequence_number
                shard.parents = each.parents
                shard.ended = False
                shard.batches.open()

    def readable(self) -> Sequence[OpenShard]:
        """Return the shards that can be read now."""
        return [
            shard
            for shard in self.known.values()
            if not shard.ended and all(self._is_drained(parent) for parent in shard.parents)
        ]

    def checkpoints(self) -> Mapping[str, str]:
        """Return the checkpoint of each shard."""
        return {
            shard_id: shard.batches.checkpoint
            for shard_id, shard in self.known.items()
            if shard.batches.checkpoint is not None
        }

    def _is_drained(self, shard_id: str) -> bool:
        # A parent that was never listed has expired.
        shard = self.known.get(shard_id)
        return shard is None or shard.is_drained


def _listed(shard: Mapping[str, Any]) -> ListedShard:
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return ListedShard(
        shard["ShardId"],
        tuple(parent for parent in parents if parent),
        shard.get("SequenceNumberRange", {}).get("StartingSequenceNumber", ""),
    )
