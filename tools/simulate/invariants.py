"""What has to be true at every step and at the end of a simulation.

Nothing here uses the processor's code: the expected values come from what the devices sent.
"""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from math import ceil, inf, log2
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from iot_constructs import _defaults
from iot_constructs.local.mapping_decisions import (
    UNLIMITED,
    NotInvoked,
    Outcome,
    PartiallyFailed,
    Succeeded,
)
from iot_constructs.local.mapping_records import Batch, Record
from iot_constructs.testing.dynamodb import Item
from iot_constructs.testing.kinesis import Shard, StoredRecord
from iot_constructs.testing.processes import Process
from iot_constructs.testing.sns_sqs import StoredMessage
from tools.simulate.configuration import BATCH_SIZES
from tools.simulate.workload import Fate, Sent

if TYPE_CHECKING:
    from tools.simulate.pipeline import Pipeline

Content = tuple[str, bytes]

LOST = "lost"
"""A record that the stream accepted is neither in the tables nor on the queue; checked when it is acknowledged too."""
TWICE = "stored twice"
"""A reading has two keys in the time series."""
STALE = "stale state"
"""A device's state is older than one of its acknowledged readings."""
BACKWARDS = "state goes back"
"""A write replaces a device's state with an older one."""
ORDER = "order"
"""The mapping delivers or acknowledges a record before an earlier one of its partition key, or a state is written
before the time series has its reading."""
DELETED = "deleted too early"
"""A message left the queue before all of its records were accepted by the stream or processed by the function."""
REJECTED = "wrongly rejected"
"""A valid record is on the topic."""
DELAY = "delay"
"""A record is in more invocations that complete nothing than the retries and the bisecting of its batch allow."""
MEMORY = "memory"
"""An invocation needs more memory than half of what the function has."""
PROGRESS = "progress"
"""An invocation without a fault completes no record, times out or raises an exception; or the run never ends."""
METRICS = "metrics"
"""RecordsStored and RecordsRejected are not the number of the acknowledged records."""

_MAX_VIOLATIONS = 20
_MAX_BYTES = _defaults.MEMORY_MB * 2**20 // 2


class Invariants:
    """Watches one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.violations: list[str] = []
        self.outages: list[tuple[float, float]] = []
        """When an outage began and ended."""
        self._pipeline = pipeline
        self._sent: dict[Content, Sent] = {each.content: each for each in pipeline.sent}
        self._keys: dict[str, tuple[str, Decimal]] = {}
        """Id of a reading -> its key in the time series."""
        self._letters: set[Content] = set()
        """The records in messages of the processor."""
        self._accepted: dict[Content, float] = {}
        """When a record was last put on the stream, or completed by an invocation."""
        self._messages: dict[str, list[Content]] = {}
        """Id of a message -> the records that it stands for."""
        self._by_shard: dict[str, list[tuple[int, Content]]] = defaultdict(list)
        self._delivered: dict[str, int] = {}
        """Partition key -> the highest sequence number that the mapping has delivered."""
        self._acknowledged: dict[str, int] = {}
        self._known: set[int] = set()
        self._fruitless: defaultdict[int, int] = defaultdict(int)
        """Sequence number -> invocations with this record that completed nothing."""
        self._completed = 0
        self._memory_before = 0
        pipeline.kinesis.on_accept = self._accept
        pipeline.dynamodb.on_write = self._write
        pipeline.sqs.on_send = self._send
        pipeline.sqs.on_delete = self._delete
        pipeline.function.on_start = self._start_invocation
        pipeline.function.on_end = self._end_invocation
        pipeline.mapping.on_invoke = self._deliver
        pipeline.mapping.on_outcome = self._complete

    def violated(self, invariant: str, text: str) -> None:
        """Report a violation, which is in the history as well."""
        if len(self.violations) < _MAX_VIOLATIONS:
            self.violations.append(f"{invariant}: {text}")
            now = self._pipeline.scheduler.now
            self._pipeline.history.add(now, "VIOLATION", f"{invariant}: {text}")

    def content(self, record: Mapping[str, Any]) -> Content:
        """Return what identifies a record of a function's event."""
        kinesis = record["kinesis"]
        return kinesis["partitionKey"], base64.b64decode(kinesis["data"])

    def redrivable(self) -> int:
        """Return the number of messages that a redrive has to bring back."""
        return sum(map(self._is_redrivable, self._pipeline.sqs.messages))

    def _is_redrivable(self, id: str) -> bool:
        # An invalid record is rejected again.
        return any(
            content not in self._letters or self._sent[content].fate is Fate.STORED
            for content in self._messages[id]
        )

    # --- the stream and the mapping

    def _accept(self, shard: Shard, record: StoredRecord) -> None:
        content = (record.partition_key, record.data)
        self._accepted[content] = self._pipeline.scheduler.now
        self._by_shard[shard.id].append((record.sequence_number, content))

    def _deliver(self, batch: Batch) -> None:
        for record in batch.records:
            if record.position not in self._known:
                self._known.add(record.position)
                self._check_order(self._delivered, record, "delivered")

    def _complete(self, batch: Batch, outcome: Outcome) -> None:
        if isinstance(outcome, NotInvoked):
            return
        done = 0
        if isinstance(outcome, Succeeded):
            done = len(batch)
        elif isinstance(outcome, PartiallyFailed):
            numbers = [record.sequence_number for record in batch.records]
            done = numbers.index(outcome.checkpoint)
        for record in batch.records[:done]:
            # After a restart, records that are acknowledged already come again.
            if record.position > self._acknowledged.get(record.partition_key, 0):
                self._acknowledged[record.partition_key] = record.position
        if not done:
            limit = self._fruitless_limit()
            for record in batch.records:
                self._fruitless[record.position] += 1
                if self._fruitless[record.position] > limit:
                    self.violated(DELAY, f"{record.sequence_number}: over {limit} invocations")

    def _fruitless_limit(self) -> float:
        """Return in how many invocations a record may be that complete nothing.

        The parts of a bisected batch keep its retries, and each split halves the batch. Restarted pollers begin again.
        """
        retries = self._pipeline.mapping.rules.maximum_retry_attempts
        if retries == UNLIMITED:
            return inf
        starts = 1 + self._pipeline.configuration.restarts
        return starts * (1 + retries + ceil(log2(max(BATCH_SIZES))))

    def _check_order(self, highest: dict[str, int], record: Record, what: str) -> None:
        before = highest.get(record.partition_key, 0)
        if record.position < before:
            self.violated(ORDER, f"{record.sequence_number} is {what} after {before}")
        highest[record.partition_key] = max(before, record.position)

    # --- the tables

    def _write(self, table: str, old: Item | None, new: Item) -> None:
        device, timestamp = new["deviceId"]["S"], Decimal(new["timestamp"]["N"])
        id = new["reading"]["M"]["id"]["S"]
        if "ttl" in new:
            known = self._keys.setdefault(id, (device, timestamp))
            if known != (device, timestamp):
                self.violated(TWICE, f"{id} has the keys {known[1]} and {timestamp}")
            return
        if old is not None and Decimal(old["timestamp"]["N"]) > timestamp:
            self.violated(BACKWARDS, f"{device}: {old['timestamp']['N']} to {timestamp}")
        if self._keys.get(id) != (device, timestamp):
            self.violated(ORDER, f"the state of {device} has {id} before the time series")

    # --- the queue

    def _send(self, message: StoredMessage) -> None:
        document = json.loads(message.body)
        if document.get("Type") == "Notification":
            document = json.loads(document["Message"])
        self._messages[message.id] = self._records_of(document)

    def _records_of(self, document: Mapping[str, Any]) -> list[Content]:
        """Return the records that a message stands for."""
        if "base64OriginalPayload" in document:
            device = document["topic"].split("/")[1]
            return [(device, base64.b64decode(document["base64OriginalPayload"]))]
        if "KinesisBatchInfo" in document:
            info = document["KinesisBatchInfo"]
            first, last = int(info["startSequenceNumber"]), int(info["endSequenceNumber"])
            shard = self._by_shard[info["shardId"]]
            return [content for number, content in shard if first <= number <= last]
        if "Records" in document:
            key = unquote_plus(document["Records"][0]["s3"]["object"]["key"])
            event = json.loads(json.loads(self._pipeline.s3.objects[key])["payload"])
            return [self.content(record) for record in event["Records"]]
        content = self._content_of_letter(document)
        self._letters.add(content)
        sent = self._sent[content]
        if sent.fate is Fate.STORED and not self._pipeline.refused.intersection(sent.readings):
            self.violated(REJECTED, f"{_name(content)}: {document['reason']}")
        return [content]

    def _content_of_letter(self, document: Mapping[str, Any]) -> Content:
        if document["payload"] is not None:
            return document["partitionKey"], _payload(document)
        number = int(document["sequenceNumber"])
        return next(
            content for each, content in self._by_shard[document["shardId"]] if each == number
        )

    def _delete(self, message: StoredMessage) -> None:
        for content in self._messages[message.id]:
            if self._accepted.get(content, -inf) < message.sent:
                self.violated(DELETED, f"{message.id}: {_name(content)}")

    # --- the function

    def _start_invocation(self, process: Process) -> None:
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()
            self._memory_before = tracemalloc.get_traced_memory()[0]

    def _end_invocation(self, process: Process, event: Mapping[str, Any], response: Any) -> None:
        if tracemalloc.is_tracing():
            needed = tracemalloc.get_traced_memory()[1] - self._memory_before
            if needed > _MAX_BYTES:
                self.violated(MEMORY, f"{process.name} needs {needed >> 20} MiB")
        done = _completed(event, response)
        if not done and self._should_progress(process, event):
            self.violated(PROGRESS, f"{process.name} completes nothing: {process.ended}")
        self._completed += done
        for record in event["Records"][:done]:
            content = self.content(record)
            self._accepted[content] = self._pipeline.scheduler.now
            self._check_durable(content, process.name)

    def _should_progress(self, process: Process, event: Mapping[str, Any]) -> bool:
        """Whether nothing keeps an invocation from completing a record."""
        if process.faulty or process.ended == "killed by a record":
            return False
        if any(
            process.started < end and start < self._pipeline.scheduler.now
            for start, end in self.outages
        ):
            return False
        keys = {record["kinesis"]["partitionKey"] for record in event["Records"]}
        return self._pipeline.hot_device not in keys

    def _check_durable(self, content: Content, where: str) -> None:
        """A record that an invocation reports as done is in the tables or on the topic."""
        if content in self._letters:
            return
        sent = self._sent[content]
        if sent.fate is Fate.DEAD_LETTERED:
            self.violated(LOST, f"{where}: {_name(content)} is not on the topic")
        state = self._state(sent.device_id)
        for id in sent.readings:
            key = self._keys.get(id)
            if key is None:
                self.violated(LOST, f"{where}: {id} is not stored")
            elif state is None or state < key[1]:
                self.violated(STALE, f"{where}: the state of {sent.device_id} is before {id}")

    def _state(self, device: str) -> Decimal | None:
        item = self._pipeline.states.get((device,))
        return None if item is None else Decimal(item["timestamp"]["N"])

    # --- at the end

    def check_end(self, metrics: str) -> None:
        """Account for every record."""
        pipeline = self._pipeline
        on_queue = {each for id in pipeline.sqs.messages for each in self._messages[id]}
        for sent in pipeline.sent:
            if sent.content in on_queue and sent.fate is Fate.DEAD_LETTERED:
                continue
            if sent.content in on_queue and pipeline.configuration.expires:
                continue  # it is not on the stream any more, and the queue still says so
            missing = [id for id in sent.readings if id not in self._keys]
            if missing or sent.fate is Fate.DEAD_LETTERED:
                self.violated(LOST, f"{_name(sent.content)} is nowhere")
        for failure in pipeline.mapping.undelivered:
            self.violated(LOST, f"a failure record was not delivered: {failure.document()}")
        if len(pipeline.series) != len(self._keys):
            self.violated(TWICE, f"{len(pipeline.series)} items of {len(self._keys)} readings")
        newest: dict[str, Decimal] = {}
        for device, timestamp in self._keys.values():
            newest[device] = max(timestamp, newest.get(device, timestamp))
        for device, timestamp in newest.items():
            if self._state(device) != timestamp:
                self.violated(STALE, f"{device}: {self._state(device)} instead of {timestamp}")
        documents = [json.loads(line) for line in metrics.splitlines()]
        counted = sum(each["RecordsStored"] + each["RecordsRejected"] for each in documents)
        if counted != self._completed:
            self.violated(METRICS, f"{counted} records counted, {self._completed} completed")


def _completed(event: Mapping[str, Any], response: Any) -> int:
    """Return how many records an invocation reports as completed."""
    if not isinstance(response, dict):
        return 0
    failed = {failure["itemIdentifier"] for failure in response["batchItemFailures"]}
    numbers = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
    return min((numbers.index(each) for each in failed), default=len(numbers))


def _payload(document: Mapping[str, Any]) -> bytes:
    data = base64.b64decode(document["payload"])
    return gzip.decompress(data) if document["payloadEncoding"] == "gzip+base64" else data


def _name(content: Content) -> str:
    return f"{content[0]} {content[1][:40]!r}"
