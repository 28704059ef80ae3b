"""Publishes marked messages through AWS IoT, looks where they arrive, and removes them.

The messages belong to a device of this run only. So the items to delete are those of its partition key, and a dead
letter is deleted only if every record in it is one of these messages. Other dead letters become visible again at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from iot_constructs.cli.aws_errors import RetryPolicy
from iot_constructs.cli.dead_letter_messages import (
    DeadLetter,
    InlineRecords,
    StreamRange,
    parse_dead_letter,
)
from iot_constructs.cli.dead_letter_queue import MAX_MESSAGES_PER_CALL, DeadLetterQueue, Message
from iot_constructs.cli.progress import Progress
from iot_constructs.cli.verification.archived import ArchiveReader
from iot_constructs.cli.verification.stacks import Clients

READINGS = 3
DEVICE_PREFIX = "iot-constructs-verify-"
# A queue with more messages than this is not read to its end: it would take minutes and hide the messages meanwhile.
MAX_DEAD_LETTERS = 1000
# The time in which Firehose writes an object after its buffering interval. AWS documents none.
ARCHIVE_MARGIN_SECONDS = 120
_POLL_SECONDS = 1.0
_ARCHIVE_POLL_SECONDS = 5.0
# Each look hides the other messages of the queue for a moment.
_QUEUE_POLL_SECONDS = 3.0
_FILTER = re.compile(r"\bFROM\s+'([^']+)'", re.IGNORECASE)
_TOPIC_LEVEL = re.compile(r"\$\{\s*topic\(\s*([1-9]\d*)\s*\)\s*\}", re.IGNORECASE)


class NoTopicError(ValueError):
    """The rule has no topic on which a device of its own can publish; the message says why."""


def topic_of(rule: str, sql: str, partition_key: str, device_id: str) -> str:
    """Return a topic that a rule selects and that has the device ID where the rule takes the partition key from.

    Without a FROM clause, a rule has messages of Basic Ingest only, on any topic below its name
    (https://docs.aws.amazon.com/iot/latest/developerguide/iot-basic-ingest.html).

    Raises:
        NoTopicError: the topic would be one of other devices as well.
    """
    selected = _FILTER.search(sql)
    level = _TOPIC_LEVEL.fullmatch(partition_key)
    if selected is not None:
        prefix, levels = [], selected[1].split("/")
    else:
        prefix, levels = (
            ["$aws", "rules", rule],
            ["+"] * (int(level[1]) if level is not None else 1),
        )
    if levels[-1] == "#":
        levels[-1:] = ["+"]
    if level is not None:
        position = int(level[1]) - 1
    elif "+" in levels:
        position = levels.index("+")
    else:
        position = len(levels)
    if position >= len(levels) or levels[position] != "+":
        raise NoTopicError(
            f"the topic filter {'/'.join(levels)!r} has no wildcard at the level of the device ID "
            f"(partition key {partition_key!r}), so every message belongs to an existing device"
        )
    levels[position] = device_id
    return "/".join([*prefix, *("verify" if each == "+" else each for each in levels)])


@dataclass(frozen=True)
class Route:
    """Where the messages of a rule go. A part that the stacks do not have is None."""

    rule: str
    topic: str
    stream: str
    key_is_device_id: bool
    """Whether the partition key is the device ID, so that one shard has all records."""
    mapping: str | None
    """The UUID of the event source mapping."""
    time_series: str | None
    device_state: str | None
    queue_url: str | None
    archive: Archive | None


@dataclass(frozen=True)
class Archive:
    """The delivery stream of the archive."""

    name: str
    bucket: str
    prefix: str
    interval_seconds: int
    unreadable: str | None
    """Why its objects cannot be read, or None."""


@dataclass
class Seen:
    """Where the messages of a run have arrived."""

    on_stream: set[bytes] = field(default_factory=set)
    stored: int = 0
    has_state: bool = False
    letters: list[DeadLetter] = field(default_factory=list)
    """The dead letters of this run."""
    archived: dict[bytes, str] = field(default_factory=dict)
    processing_result: str = ""
    """What Lambda reports of the last batch of the mapping."""
    queue_too_long: bool = False
    release_problem: str | None = None
    """Why the other messages of the queue are not visible again yet, or None."""


class MarkedMessages:
    """The messages of one run."""

    def __init__(
        self,
        clients: Clients,
        route: Route,
        device_id: str,
        extra: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clients = clients
        self._route = route
        self._device_id = device_id
        self._clock = clock
        self._sleep = sleep
        self._retry_policy = RetryPolicy(sleep)
        self.readings = [f"{device_id}/reading-{number}".encode() for number in range(READINGS)]
        self.bad = f"{device_id}/not-a-reading".encode()
        self._extra = extra
        self._iterators: dict[str, str] = {}
        self._positions: set[str] = set()
        self._began = clock()
        archive = route.archive
        self._archive = (
            ArchiveReader(clients.create("s3"), archive.bucket, archive.prefix)
            if archive is not None and archive.unreadable is None
            else None
        )
        self._next_archive_look = self._next_queue_look = 0.0
        self.seen = Seen()

    @property
    def marks(self) -> list[bytes]:
        """The text by which each message is found again."""
        return [*self.readings, self.bad]

    def publish(self) -> None:
        """Publish the readings, then the message that no processor accepts."""
        self._open_stream()
        client = self._data_client()
        now = int(self._clock() * 1000)
        for number, mark in enumerate(self.readings):
            # The device and the mark are those of the run, whatever the processor requires besides.
            own = {"deviceId": self._device_id, "verify": mark.decode()}
            payload = json.dumps({"timestamp": now + number, **self._extra, **own}).encode()
            client.publish(topic=self._route.topic, qos=1, payload=payload)
        client.publish(topic=self._route.topic, qos=1, payload=self.bad + b" is not JSON")

    def _data_client(self) -> Any:
        """Return a client of the account's own data endpoint, which cannot be derived from account and Region.

        https://docs.aws.amazon.com/iot/latest/developerguide/iot-connect-devices.html
        """
        client = self._clients.create("iot-data")
        if ".amazonaws.com" not in client.meta.endpoint_url:
            return client  # the endpoint of an emulator, which serves all services
        address = self._clients.create("iot").describe_endpoint(endpointType="iot:Data-ATS")
        return self._clients.create("iot-data", f"https://{address['endpointAddress']}")

    def wait(self, seconds: float, progress: Progress) -> None:
        """Wait until everything has arrived, but no longer than ``seconds``."""
        began = self._clock()
        while True:
            elapsed = self._clock() - began
            self._look(last=elapsed >= seconds)
            arrived, expected = self._counts(seconds)
            progress.show(
                arrived,
                expected,
                f"{arrived} of {expected} arrivals, {elapsed:.0f} of {seconds:.0f} s",
            )
            if arrived >= expected or elapsed >= seconds:
                break
            self._sleep(_POLL_SECONDS)
        self._look_at_archive()
        if self._route.mapping is not None:
            mapping = self._clients.create("lambda").get_event_source_mapping(
                UUID=self._route.mapping
            )
            self.seen.processing_result = str(mapping.get("LastProcessingResult", ""))

    def _counts(self, seconds: float) -> tuple[int, int]:
        """Return how many arrivals were seen, and how many a run of this length can see."""
        seen, route = self.seen, self._route
        arrived, expected = len(seen.on_stream), len(self.marks)
        if route.time_series is not None:
            arrived, expected = arrived + seen.stored, expected + READINGS
        if route.device_state is not None:
            arrived, expected = arrived + seen.has_state, expected + 1
        if route.queue_url is not None:
            arrived, expected = arrived + bool(seen.letters), expected + 1
        if route.archive is not None and is_awaited(route.archive, seconds):
            arrived, expected = arrived + len(seen.archived), expected + len(self.marks)
        return arrived, expected

    def _look(self, *, last: bool) -> None:
        if len(self.seen.on_stream) < len(self.marks):
            self._look_at_stream()
        self._look_at_tables()
        processed = self._route.time_series is None or self.seen.stored >= READINGS
        is_due = processed and self._clock() >= self._next_queue_look
        if not self.seen.letters and (is_due or last):
            self._look_at_queue()
        if self.seen.on_stream and self._clock() >= self._next_archive_look:
            self._look_at_archive()

    def _open_stream(self) -> None:
        """Get an iterator of the shard of the device, or of all shards, at the end of the stream."""
        kinesis = self._clients.create("kinesis")
        pages = kinesis.get_paginator("list_shards").paginate(StreamName=self._route.stream)
        for shard in (each for page in pages for each in page["Shards"]):
            if "EndingSequenceNumber" in shard["SequenceNumberRange"]:
                continue  # closed
            if self._route.key_is_device_id and not _has_key(shard, self._device_id):
                continue
            response = kinesis.get_shard_iterator(
                StreamName=self._route.stream, ShardId=shard["ShardId"], ShardIteratorType="LATEST"
            )
            self._iterators[shard["ShardId"]] = response["ShardIterator"]

    def _look_at_stream(self) -> None:
        kinesis = self._clients.create("kinesis")
        for shard, iterator in list(self._iterators.items()):
            # The consumers of the stream share the limit of reads per second.
            response: Any = self._retry_policy.call(kinesis.get_records, ShardIterator=iterator)
            for record in response["Records"]:
                for mark in self.marks:
                    if mark in record["Data"]:
                        self.seen.on_stream.add(mark)
                        self._positions.add(record["SequenceNumber"])
            following = response.get("NextShardIterator")
            if following is None:
                del self._iterators[shard]
            else:
                self._iterators[shard] = following

    def _look_at_tables(self) -> None:
        route, seen = self._route, self.seen
        if route.time_series is not None and seen.stored < READINGS:
            seen.stored = len(list(self._items(route.time_series)))
        if route.device_state is not None and not seen.has_state:
            seen.has_state = any(self._items(route.device_state))

    def _items(self, table: str) -> Iterator[Mapping[str, Any]]:
        """Return the items of this run's device, and of no other."""
        pages = (
            self._clients.create("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=table,
                ConsistentRead=True,
                KeyConditionExpression="deviceId = :device",
                ExpressionAttributeValues={":device": {"S": self._device_id}},
            )
        )
        for page in pages:
            yield from page["Items"]

    def _look_at_queue(self) -> None:
        """Receive every message once, delete those of this run, and make the others visible again."""
        if self._route.queue_url is None:
            return
        self._next_queue_look = self._clock() + _QUEUE_POLL_SECONDS
        queue = DeadLetterQueue(
            self._clients.create("sqs"),
            self._route.queue_url,
            retry_policy=self._retry_policy,
            clock=self._clock,
        )
        self.seen.queue_too_long = queue.waiting > MAX_DEAD_LETTERS
        received = 0
        try:
            while received < MAX_DEAD_LETTERS:
                messages = queue.receive(MAX_MESSAGES_PER_CALL)
                if not messages:
                    break
                received += len(messages)
                own = [(each, letter) for each in messages if (letter := self._own_letter(each))]
                self.seen.letters += [letter for _, letter in own]
                queue.delete(message for message, _ in own)
        finally:
            self.seen.release_problem = queue.release()

    def _own_letter(self, message: Message) -> DeadLetter | None:
        """Return the parsed message if it contains records of this run and nothing else."""
        letter = parse_dead_letter(message.body)
        source = letter.source
        if isinstance(source, InlineRecords):
            is_own = all(any(mark in each.data for mark in self.marks) for each in source.records)
            return letter if source.records and is_own else None
        # Lambda's failure record has the position of a batch. A batch of one record can be only this run's.
        if isinstance(source, StreamRange):
            return (
                letter if source.first == source.last and source.first in self._positions else None
            )
        return None

    def _look_at_archive(self) -> None:
        if self._archive is None or len(self.seen.archived) == len(self.marks):
            return
        now = self._clock()
        self._next_archive_look = now + _ARCHIVE_POLL_SECONDS
        # The clock of S3 can differ, and it has whole seconds.
        since = datetime.fromtimestamp(self._began, tz=timezone.utc) - timedelta(minutes=1)
        until = datetime.fromtimestamp(now, tz=timezone.utc)
        self.seen.archived.update(self._archive.find(self.marks, since, until))

    def remove(self) -> list[str]:
        """Delete what the messages left in the tables and on the queue. Return what stays."""
        client = self._clients.create("dynamodb")
        removed = 0
        for table, keys in (
            (self._route.time_series, ("deviceId", "timestamp")),
            (self._route.device_state, ("deviceId",)),
        ):
            for item in self._items(table) if table is not None else ():
                client.delete_item(TableName=table, Key={key: item[key] for key in keys})
                removed += 1
        if not self.seen.letters or self.seen.stored < READINGS:
            self._look_at_queue()
        notes = [
            f"removed of {self._device_id}: items {removed}, dead letters {len(self.seen.letters)}."
        ]
        if self._route.archive is not None:
            notes.append("archived objects keep its records.")
        if self.seen.release_problem is not None:
            notes.append(
                "other messages of the queue become visible again within 5 minutes "
                f"({self.seen.release_problem})."
            )
        late = self.seen.stored < READINGS and self._route.time_series is not None
        if late and self.seen.on_stream:
            notes.append(
                "its records were not all processed; what is stored or dead-lettered later stays there."
            )
        return notes


def is_awaited(archive: Archive, seconds: float) -> bool:
    """Return whether Firehose writes an object within a run of this length."""
    return seconds >= archive.interval_seconds + ARCHIVE_MARGIN_SECONDS


def _has_key(shard: Mapping[str, Any], partition_key: str) -> bool:
    """Return whether a shard has the records of a partition key.

    https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html
    """
    position = int(hashlib.md5(partition_key.encode(), usedforsecurity=False).hexdigest(), 16)
    keys = shard["HashKeyRange"]
    return int(keys["StartingHashKey"]) <= position <= int(keys["EndingHashKey"])
