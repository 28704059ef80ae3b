"""Reading a stream through the Kinesis API: its shards, their order, and their records.

Kinesis keeps the order of a partition key across a reshard by closing the parent shards before the
children are written to; a consumer keeps it by reading a child only after its parents are read to
the end (streams/latest/dev/kinesis-using-sdk-java-after-resharding.html).

The emulator deletes a parent shard with all its records as soon as it is split or merged, and
UpdateShardCount replaces every shard by an empty one, most of them under the old names (seen in
ministack 1.5.33). What was not read by then is gone; whoever reshards has to wait until the mapping
is idle. Its iterators are places in a list which then belongs to another shard, and they expire
after five minutes as AWS's do. So each read starts with a new iterator after the last sequence
number: nothing is skipped, and nothing expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from examples.iot_pipeline.local.mapping_configuration import TRIM_HORIZON
from examples.iot_pipeline.local.mapping_records import EventTemplate, Record
from examples.iot_pipeline.local.shard_batches import ShardBatches

RECORDS_PER_READ = 1000
NOT_FOUND = "ResourceNotFoundException"


@dataclass(frozen=True)
class ListedShard:
    """A shard as ListShards returns it."""

    shard_id: str
    parents: tuple[str, ...] = ()
    first_sequence_number: str = ""


@dataclass(frozen=True)
class Read:
    """The answer to one read."""

    records: tuple[Record, ...]
    ended: bool
    """There will never be more: the shard is closed and read to its end."""
    behind: bool
    """There are more records already."""


@dataclass(frozen=True)
class StartPosition:
    """Where reading a shard begins."""

    iterator_type: str
    timestamp: datetime | None = None

    def request(self) -> dict[str, Any]:
        """The arguments of GetShardIterator."""
        if self.timestamp is None:
            return {"ShardIteratorType": self.iterator_type}
        return {"ShardIteratorType": self.iterator_type, "Timestamp": self.timestamp}


FROM_TRIM_HORIZON = StartPosition(TRIM_HORIZON)


class StreamReader:
    """The calls to Kinesis."""

    def __init__(self, kinesis: Any, template: EventTemplate) -> None:
        self._kinesis = kinesis
        self._template = template

    def shards(self) -> list[ListedShard]:
        """All shards of the stream, closed ones included for as long as Kinesis keeps them."""
        pages = self._kinesis.get_paginator("list_shards").paginate(
            StreamARN=self._template.stream_arn
        )
        return [_listed(shard) for page in pages for shard in page["Shards"]]

    def read(self, shard_id: str, after: str | None, start: StartPosition) -> Read:
        """The records that follow a sequence number, or the first ones."""
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
            answer = self._kinesis.get_records(
                ShardIterator=iterator["ShardIterator"], Limit=RECORDS_PER_READ, **stream
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == NOT_FOUND and self._is_gone(shard_id):
                return Read((), ended=True, behind=False)
            raise
        records = tuple(self._template.record(shard_id, each) for each in answer["Records"])
        return Read(
            records,
            ended=answer.get("NextShardIterator") is None,
            behind=bool(answer.get("MillisBehindLatest")),
        )

    def _is_gone(self, shard_id: str) -> bool:
        """Whether it is this shard that is not found, and not the stream."""
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
    """When the last read began, if it found nothing."""

    @property
    def is_drained(self) -> bool:
        """Whether all that will ever be in it is done with."""
        return self.ended and self.batches.is_empty

    def add_read(self, read: Read, now: float) -> None:
        """Take the answer to a read."""
        if read.records:
            self.last_read = read.records[-1].sequence_number
            self.batches.add(read.records, now)
        if read.ended:
            self.ended = True
            self.batches.close()


@dataclass
class Shards:
    """All shards that were ever seen, and the order between parents and children."""

    known: dict[str, OpenShard] = field(default_factory=dict)

    def unknown(self, listed: Iterable[ListedShard]) -> list[ListedShard]:
        """Those that have to be opened."""
        return [shard for shard in listed if shard.shard_id not in self.known]

    def add(self, shard: OpenShard) -> None:
        """Begin to read a shard."""
        self.known[shard.shard_id] = shard

    def compare(self, listed: Sequence[ListedShard]) -> None:
        """Take the news of a listing about the shards that are known.

        One that is no longer listed has ended: nothing of it can be read. One whose first sequence
        number is another has begun again under the same name.
        """
        news = {each.shard_id: each for each in listed}
        for shard in self.known.values():
            each = news.get(shard.shard_id)
            if each is None:
                shard.ended = True
                shard.batches.close()
            elif shard.first_sequence_number != each.first_sequence_number:
                shard.first_sequence_number = each.first_sequence_number
                shard.parents = each.parents
                shard.ended = False
                shard.batches.open()

    def readable(self) -> Sequence[OpenShard]:
        """The shards whose next records may be read now."""
        return [
            shard
            for shard in self.known.values()
            if not shard.ended and all(self._is_drained(parent) for parent in shard.parents)
        ]

    def checkpoints(self) -> Mapping[str, str]:
        """Of each shard the sequence number up to which all is done with."""
        return {
            shard_id: shard.batches.checkpoint
            for shard_id, shard in self.known.items()
            if shard.batches.checkpoint is not None
        }

    def _is_drained(self, shard_id: str) -> bool:
        # A parent that was never seen had expired before: nothing of it is left to wait for.
        shard = self.known.get(shard_id)
        return shard is None or shard.is_drained


def _listed(shard: Mapping[str, Any]) -> ListedShard:
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return ListedShard(
        shard["ShardId"],
        tuple(parent for parent in parents if parent),
        shard.get("SequenceNumberRange", {}).get("StartingSequenceNumber", ""),
    )
