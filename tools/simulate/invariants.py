"""What has to be true at every step and at the end of a simulation.

Nothing here uses the processor's code: the expected values come from what the devices sent.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from iot_constructs.local.mapping_decisions import Outcome, PartiallyFailed, Succeeded
from iot_constructs.local.mapping_records import Batch
from iot_constructs.testing.dynamodb import Item
from iot_constructs.testing.kinesis import Shard, StoredRecord
from iot_constructs.testing.processes import Process
from iot_constructs.testing.sns_sqs import StoredMessage
from tools.simulate.workload import Fate, Sent

if TYPE_CHECKING:
    from tools.simulate.pipeline import Pipeline

Content = tuple[str, bytes]
_MAX_VIOLATIONS = 20


class Invariants:
    """Watches one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.violations: list[str] = []
        self.pauses: list[tuple[float, float]] = []
        """When an outage began and ended."""
        self._pipeline = pipeline
        self._sent: dict[Content, Sent] = {each.content: each for each in pipeline.sent}
        self._keys: dict[str, tuple[str, Decimal]] = {}
        """Id of a reading -> its key in the time series."""
        self._newest: dict[str, Decimal] = {}
        self._letters: set[Content] = set()
        """The records in messages of the processor."""
        self._accepted: dict[Content, float] = {}
        """When a record was last put on the stream, or processed by an invocation."""
        self._messages: dict[str, list[Content] | None] = {}
        """Id of a message -> the records that it stands for, or None if a redrive cannot help."""
        self._by_shard: dict[str, list[tuple[int, Content]]] = defaultdict(list)
        self._acknowledged: dict[tuple[str, str], int] = {}
        pipeline.kinesis.on_accept = self._accept
        pipeline.dynamodb.on_write = self._write
        pipeline.sqs.on_send = self._send
        pipeline.sqs.on_delete = self._delete
        pipeline.function.on_end = self._end_invocation
        pipeline.mapping.on_outcome = self._complete

    def violated(self, invariant: str, text: str) -> None:
        """Report a violation, which ends up in the history as well."""
        if len(self.violations) < _MAX_VIOLATIONS:
            self.violations.append(f"{invariant}: {text}")
            self._pipeline.history.add(
                self._pipeline.scheduler.now, "VIOLATION", f"{invariant}: {text}"
            )

    def content(self, record: Mapping[str, Any]) -> Content:
        """Return what identifies a record of a function's event."""
        kinesis = record["kinesis"]
        return kinesis["partitionKey"], base64.b64decode(kinesis["data"])

    def redrivable(self) -> int:
        """Return the number of messages that a redrive has to bring back."""
        messages = self._pipeline.sqs.messages
        return sum(self._messages[id] is not None for id in messages)

    # --- at every step

    def _accept(self, shard: Shard, record: StoredRecord) -> None:
        content = (record.partition_key, record.data)
        self._accepted[content] = self._pipeline.scheduler.now
        self._by_shard[shard.id].append((record.sequence_number, content))

    def _write(self, table: str, old: Item | None, new: Item) -> None:
        device, timestamp = new["deviceId"]["S"], Decimal(new["timestamp"]["N"])
        id = new["reading"]["M"]["id"]["S"]
        if "ttl" in new:
            known = self._keys.setdefault(id, (device, timestamp))
            if known != (device, timestamp):
                self.violated("stored twice", f"{id} has the keys {known} and {timestamp}")
            return
        if old is not None and Decimal(old["timestamp"]["N"]) > timestamp:
            self.violated("state goes back", f"{device}: {old['timestamp']['N']} to {timestamp}")
        if self._keys.get(id) != (device, timestamp):
            self.violated("order", f"the state of {device} has {id} before the time series")

    def _send(self, message: StoredMessage) -> None:
        document = json.loads(message.body)
        if document.get("Type") == "Notification":
            document = json.loads(document["Message"])
        if document.get("kind") == "rejected-record":
            content = (document["partitionKey"], _payload(document))
            self._letters.add(content)
            self._messages[message.id] = None
        elif "KinesisBatchInfo" in document:
            self._messages[message.id] = self._batch(document["KinesisBatchInfo"])
        else:
            key = document["Records"][0]["s3"]["object"]["key"]
            body = json.loads(self._pipeline.s3.objects[_unquote(key)])
            event = json.loads(body["payload"])
            self._messages[message.id] = [self.content(record) for record in event["Records"]]

    def _batch(self, info: Mapping[str, Any]) -> list[Content]:
        first, last = int(info["startSequenceNumber"]), int(info["endSequenceNumber"])
        return [
            content
            for number, content in self._by_shard[info["shardId"]]
            if first <= number <= last
        ]

    def _delete(self, message: StoredMessage) -> None:
        contents = self._messages[message.id]
        if contents is None:
            document = json.loads(json.loads(message.body)["Message"])
            contents = [(document["partitionKey"], _payload(document))]
        for content in contents:
            if self._accepted[content] < message.sent:
                self.violated("deleted too early", f"{message.id}: {_name(content)}")

    def _end_invocation(self, process: Process, event: Mapping[str, Any], response: Any) -> None:
        if not isinstance(response, dict):
            return
        failures = response["batchItemFailures"]
        failed = {failure["itemIdentifier"] for failure in failures}
        for record in event["Records"]:
            if record["kinesis"]["sequenceNumber"] in failed:
                if record is event["Records"][0] and not process.faulty:
                    pass
                break
            content = self.content(record)
            self._accepted[content] = self._pipeline.scheduler.now
            self._check_durable(content, process.name)

    def _complete(self, batch: Batch, outcome: Outcome) -> None:
        if not isinstance(outcome, Succeeded | PartiallyFailed):
            return

    def _check_durable(self, content: Content, where: str) -> None:
        """A record that an invocation reports as done is in the tables or on the topic."""
        sent = self._sent[content]
        if sent.fate is Fate.DEAD_LETTERED:
            if content not in self._letters:
                self.violated("lost", f"{where}: {_name(content)} is not on the topic")
            return
        states = self._pipeline.dynamodb.tables["iot-device-state-dev"].items
        state = states.get((sent.device_id,))
        for id in sent.readings:
            key = self._keys.get(id)
            if key is None:
                self.violated("lost", f"{where}: {id} is not stored")
            elif state is None or Decimal(state["timestamp"]["N"]) < key[1]:
                self.violated("stale state", f"{where}: {sent.device_id} does not have {id}")

    # --- at the end

    def check_end(self, metrics: str) -> None:
        """Account for every record."""
        pipeline = self._pipeline
        on_queue = self._letters_on_queue()
        for content in {(each.partition_key, each.data) for each in pipeline.kinesis.accepted}:
            sent = self._sent[content]
            if sent.fate is Fate.DEAD_LETTERED:
                if content not in on_queue:
                    self.violated("lost", f"{_name(content)} is not on the queue")
                continue
            for id in sent.readings:
                if id not in self._keys:
                    self.violated("lost", f"{id} is neither stored nor on the queue")
        for failure in pipeline.mapping.undelivered:
            self.violated("lost", f"a failure record was not delivered: {failure.document()}")
        unknown = [each for each in pipeline.sent if each.content not in self._accepted]
        if unknown:
            self.violated("lost", f"{len(unknown)} records never reached the stream")
        series = pipeline.dynamodb.tables["iot-sensor-metrics-dev"].items
        if len(series) != len(self._keys):
            self.violated("stored twice", f"{len(series)} items of {len(self._keys)} readings")
        newest: dict[str, Decimal] = {}
        for device, timestamp in self._keys.values():
            newest[device] = max(timestamp, newest.get(device, timestamp))
        for device, timestamp in newest.items():
            state = pipeline.dynamodb.tables["iot-device-state-dev"].items.get((device,))
            if state is None or Decimal(state["timestamp"]["N"]) != timestamp:
                self.violated("stale state", f"{device}: {state} instead of {timestamp}")

    def _letters_on_queue(self) -> Counter[Content]:
        found: Counter[Content] = Counter()
        for message in self._pipeline.sqs.messages.values():
            if self._messages[message.id] is None:
                document = json.loads(json.loads(message.body)["Message"])
                found[document["partitionKey"], _payload(document)] += 1
        return found


def _payload(document: Mapping[str, Any]) -> bytes:
    data = base64.b64decode(document["payload"])
    return gzip.decompress(data) if document["payloadEncoding"] == "gzip+base64" else data


def _unquote(key: str) -> str:
    return key.replace("%3A", ":")


def _name(content: Content) -> str:
    return f"{content[0]} {content[1][:40]!r}"
