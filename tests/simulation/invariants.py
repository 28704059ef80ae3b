"""What has to be true at every step and at the end of a simulation.

Nothing here uses the processor's code: the expected values come from what the devices sent.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from iot_constructs.cli.dead_letter_messages import Kind
from iot_constructs.cli.report import Report
from iot_constructs.testing.dynamodb import Item
from iot_constructs.testing.kinesis import Shard, StoredRecord
from iot_constructs.testing.processes import Process
from iot_constructs.testing.sns_sqs import StoredMessage
from tests.simulation.invocation_invariants import InvocationInvariants
from tests.simulation.mapping_invariants import MappingInvariants
from tests.simulation.workload import Fate, Sent, Trouble, device_of

if TYPE_CHECKING:
    from tests.simulation.pipeline import Pipeline

Content = tuple[str, bytes]
_Position = tuple[str, int]
"""The shard and the sequence number."""
_MAX_VIOLATIONS = 20
_EXACT = Context(prec=60)  # a timestamp has 31 digits
_OPERATOR = "operator"


@dataclass(frozen=True)
class _Letter:
    """A message on the queue."""

    kind: Kind
    contents: Sequence[Content]
    positions: Sequence[_Position] = ()
    """Where the records are on the stream, if the message does not have them."""


class Invariants:
    """Watches one pipeline.

    Lost: what an invocation acknowledges is in both tables or on the topic, what the mapping discards is in a message,
    and in the end each record is stored or, if it is not valid, on the queue. If the records of a message have expired,
    the redrive reports them and keeps the message.

    Stored twice: a reading has one key in the time series, however often its record is delivered.

    State goes back, stale state: the state of a device never becomes older, and is as new as each acknowledged reading,
    or older by no more than the interval, if there is one.

    Order: the time series has a reading before the state has it.

    Deleted too early: whoever deletes a message has delivered each of its records after the message was sent: the
    stream has accepted them, or an invocation has acknowledged them.

    Report: what a redrive reports as deleted is what it deleted, and its exit code is 0 only if the queue is empty.

    Redriven once: a redrive that had no failures delivers a record in the ranges of several failed batches once.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.violations: list[str] = []
        self._pipeline = pipeline
        self._sent: dict[Content, Sent] = {each.content: each for each in pipeline.sent}
        self._keys: dict[str, tuple[str, Decimal]] = {}
        """Id of a reading -> its key in the time series."""
        self._rejected: set[Content] = set()
        """The records in messages of the processor."""
        self._messages: dict[str, _Letter] = {}
        self._in_messages: set[_Position] = set()
        """The records that messages of the mapping stand for."""
        self._records: dict[str, list[tuple[int, Content]]] = defaultdict(list)
        """Shard -> the records that it accepted, in their order."""
        self._contents: dict[_Position, Content] = {}
        self._reached: set[Content] = set()
        """The records that the stream accepted, or that an invocation acknowledged."""
        self._delivered: dict[tuple[str, Content], float] = {}
        """When an operator last delivered a record."""
        self._deleted: dict[str, set[str]] = defaultdict(set)
        """Operator -> the messages that it deleted."""
        self.mapping = MappingInvariants(pipeline, self.violated)
        self.invocations = InvocationInvariants(pipeline, self.sent_of, self.violated)
        pipeline.kinesis.on_accept = self._accept
        pipeline.dynamodb.on_write = self._write
        pipeline.sqs.on_send = self._send
        pipeline.sqs.on_delete = self._delete
        pipeline.function.on_begin = self._begin_invocation
        pipeline.function.on_end = self._end_invocation

    def violated(self, invariant: str, text: str) -> None:
        """Report a violation, which ends up in the history as well."""
        if len(self.violations) < _MAX_VIOLATIONS:
            self.violations.append(f"{invariant}: {text}")
            self._pipeline.history.add(
                self._pipeline.scheduler.now, "VIOLATION", f"{invariant}: {text}"
            )

    def sent_of(self, record: Mapping[str, Any]) -> Sent:
        """Return what a device sent, for a record of a function's event."""
        return self._sent[_content(record)]

    def redrivable(self) -> Mapping[str, Kind]:
        """Return the id and the kind of each message that a redrive has to bring back."""
        letters = {id: self._messages[id] for id in self._pipeline.sqs.messages}
        return {id: each.kind for id, each in letters.items() if self._is_redrivable(each)}

    def _is_redrivable(self, letter: _Letter) -> bool:
        if letter.kind is Kind.REJECTED_RECORD:
            # The processor rejects an invalid record again, but not one that a table has refused.
            valid = any(self._sent[content].fate is Fate.STORED for content in letter.contents)
            return valid and not self._pipeline.refusing
        return not self._has_expired(letter)

    def _has_expired(self, letter: _Letter) -> bool:
        shards = self._pipeline.kinesis.shards
        for shard_id, number in letter.positions:
            shard = shards.get(shard_id)
            if shard is None or not shard.records or shard.records[0].sequence_number > number:
                return True
        return False

    # --- at every step

    def _accept(self, shard: Shard, record: StoredRecord) -> None:
        content = (record.partition_key, record.data)
        self._reached.add(content)
        self._records[shard.id].append((record.sequence_number, content))
        self._contents[shard.id, record.sequence_number] = content
        caller = self._pipeline.world.caller
        assert caller is not None
        if caller.role == _OPERATOR:
            self._delivered[caller.name, content] = self._pipeline.scheduler.now
        self.mapping.accept(shard, record)

    def _write(self, table: str, old: Item | None, new: Item) -> None:
        device, timestamp = new["deviceId"]["S"], Decimal(new["timestamp"]["N"])
        id = new["reading"]["M"]["id"]["S"]
        if "ttl" in new:
            known = self._keys.setdefault(id, (device, timestamp))
            if known != (device, timestamp) or device != device_of(id):
                text = f"{id} has the keys {known} and {device}, {timestamp}"
                self.violated("stored twice", text)
            return
        if old is not None and Decimal(old["timestamp"]["N"]) > timestamp:
            self.violated("state goes back", f"{device}: {old['timestamp']['N']} to {timestamp}")
        if self._keys.get(id) != (device, timestamp):
            self.violated("order", f"the state of {device} has {id} before the time series")

    def _send(self, message: StoredMessage) -> None:
        document = json.loads(message.body)
        if document.get("Type") == "Notification":
            document = json.loads(document["Message"])
        letter = self._letter(document)
        if letter.kind is Kind.REJECTED_RECORD:
            self._rejected.update(letter.contents)
        self._messages[message.id] = letter

    def _letter(self, document: Mapping[str, Any]) -> _Letter:
        if document.get("kind") == "rejected-record":
            return self._rejected_record(document)
        if "KinesisBatchInfo" in document:
            batch = document["KinesisBatchInfo"]
            first, last = int(batch["startSequenceNumber"]), int(batch["endSequenceNumber"])
            shard = batch["shardId"]
            found = [each for each in self._records[shard] if first <= each[0] <= last]
            positions = [(shard, number) for number, _ in found]
            self._in_messages.update(positions)
            return _Letter(Kind.FAILED_BATCH, [content for _, content in found], positions)
        if "base64OriginalPayload" in document:
            device = document["topic"].split("/")[-2]
            payload = base64.b64decode(document["base64OriginalPayload"])
            return _Letter(Kind.RULE_ERROR, [(device, payload)])
        if "requestPayload" in document:
            records = document["requestPayload"]["Records"]
            return _Letter(Kind.ASYNC_FAILURE, list(map(_content, records)))
        key = unquote_plus(document["Records"][0]["s3"]["object"]["key"])
        records = json.loads(json.loads(self._pipeline.s3.objects[key])["payload"])["Records"]
        self._in_messages.update(map(_position, records))
        return _Letter(Kind.STORED_BATCH, list(map(_content, records)))

    def _rejected_record(self, document: Mapping[str, Any]) -> _Letter:
        if document["payload"] is None:
            position = document["shardId"], int(document["sequenceNumber"])
            return _Letter(Kind.REJECTED_RECORD, [self._contents[position]], [position])
        data = base64.b64decode(document["payload"])
        if document["payloadEncoding"] == "gzip+base64":
            data = gzip.decompress(data)
        return _Letter(Kind.REJECTED_RECORD, [(document["partitionKey"], data)])

    def _delete(self, message: StoredMessage) -> None:
        caller = self._pipeline.world.caller
        assert caller is not None
        self._deleted[caller.name].add(message.id)
        for content in self._messages[message.id].contents:
            if self._delivered.get((caller.name, content), 0.0) < message.sent:
                self.violated("deleted too early", f"{message.id}: {_name(content)}")

    def _begin_invocation(self, process: Process, event: Mapping[str, Any]) -> None:
        self.mapping.begin(process, event)
        self.invocations.begin(process, event)

    def _end_invocation(self, process: Process, event: Mapping[str, Any], response: Any) -> None:
        self.mapping.end(process, event)
        caller = process.caller
        for sent in self.invocations.end(process, response):
            self._reached.add(sent.content)
            self._check_durable(sent, process.name)
            if caller is not None and caller.role == _OPERATOR:
                self._delivered[caller.name, sent.content] = self._pipeline.scheduler.now

    def _check_durable(self, sent: Sent, where: str) -> None:
        """A record that an invocation reports as done is in the tables or on the topic."""
        content = sent.content
        if content in self._rejected and (
            sent.fate is Fate.DEAD_LETTERED or sent.trouble is Trouble.REFUSED
        ):
            return
        if sent.fate is Fate.DEAD_LETTERED:
            self.violated("lost", f"{where}: {_name(content)} is not on the topic")
            return
        states = self._pipeline.states
        for id in sent.readings:
            key = self._keys.get(id)
            if key is None:
                self.violated("lost", f"{where}: {id} is not stored")
                continue
            state = states.get((key[0],))
            if state is None or self._is_stale(Decimal(state["timestamp"]["N"]), key[1]):
                self.violated("stale state", f"{where}: {key[0]} does not have {id}")

    def _is_stale(self, state: Decimal, newest: Decimal) -> bool:
        allowed = self._pipeline.configuration.state_interval * 1000
        return state < _EXACT.subtract(newest, Decimal(allowed))

    # --- after each redrive

    def waiting(self, kinds: Collection[Kind]) -> list[str]:
        """Return the messages that a redrive of these kinds finds at the moment."""
        return [id for id in self._pipeline.sqs.visible() if self._messages[id].kind in kinds]

    def check_redrive(self, process: Process, report: Report, before: Collection[str]) -> None:
        """The report of a redrive agrees with the queue. `before` is what it has to find, if nobody else redrives."""
        messages, name = self._pipeline.sqs.messages, process.name
        deleted = self._deleted[name]
        reported = {row.message_id for row in report.rows if row.deleted}
        for id in reported - deleted:
            # With the handle of an earlier receive, SQS succeeds without an effect.
            if id in messages and messages[id].receives == 1:
                self.violated("report", f"{name}: {id} is reported as deleted")
        if deleted - reported and not process.faulty:
            self.violated("report", f"{name}: {len(deleted - reported)} are not reported")
        for row in report.rows:
            if self._has_expired(self._messages[row.message_id]) and not row.deleted:
                self._pipeline.count("expired and reported")
                if row.problem is None:
                    self.violated("report", f"{name}: {row.message_id} has expired")
        batches = [row for row in report.rows if row.kind is Kind.FAILED_BATCH]
        positions = {each for row in batches for each in self._messages[row.message_id].positions}
        accepted = sum(row.accepted for row in batches)
        if all(row.deleted for row in batches) and accepted > len(positions):
            text = f"{name}: {accepted} records of {len(positions)} positions"
            self.violated("redriven once", text)
        is_done = all(row.deleted for row in report.rows) and report.read_to_end
        if (report.exit_code == 0) != (is_done and report.error is None):
            self.violated("report", f"{name}: exit code {report.exit_code}")
        left = [id for id in before if id in messages]
        if report.exit_code == 0 and left:
            self.violated("report", f"{name}: {len(left)} messages are left, such as {left[0]}")

    # --- at the end

    def check_end(self) -> None:
        """Account for every record."""
        pipeline = self._pipeline
        self.mapping.check_end()
        self.invocations.check_end()
        on_queue: Counter[Content] = Counter()
        expired: set[Content] = set()
        for id in pipeline.sqs.messages:
            letter = self._messages[id]
            if letter.kind is Kind.REJECTED_RECORD:
                on_queue.update(letter.contents)
            elif self._has_expired(letter):
                expired.update(letter.contents)
        for content, sent in self._sent.items():
            if content in expired:
                continue
            if sent.fate is Fate.DEAD_LETTERED and content not in on_queue:
                self.violated("lost", f"{_name(content)} is not on the queue")
            for id in sent.readings:
                if id not in self._keys:
                    self.violated("lost", f"{id} is neither stored nor on the queue")
        silent = self.mapping.discarded - self._in_messages
        if silent:
            self.violated("lost", f"{len(silent)} discarded records are in no message")
        for failure in pipeline.mapping.undelivered:
            self.violated("lost", f"a failure record was not delivered: {failure.document()}")
        unknown = self._sent.keys() - self._reached
        if unknown:
            self.violated("lost", f"{len(unknown)} records never reached the stream")
        if expired and not pipeline.configuration.expires:
            self.violated("lost", f"{len(expired)} records have expired")
        self._check_tables(expired)

    def _check_tables(self, expired: Collection[Content]) -> None:
        stored = len(self._pipeline.series)
        if stored != len(self._keys):
            self.violated("stored twice", f"{stored} items of {len(self._keys)} readings")
        unsure = {id for content in expired for id in self._sent[content].readings}
        newest: dict[str, Decimal] = {}
        for id, (device, timestamp) in self._keys.items():
            if id not in unsure:
                newest[device] = max(timestamp, newest.get(device, timestamp))
        known = set(self._keys.values())
        for device, timestamp in newest.items():
            state = self._pipeline.states.get((device,))
            found = None if state is None else Decimal(state["timestamp"]["N"])
            if found is None or self._is_stale(found, timestamp) or (device, found) not in known:
                self.violated("stale state", f"{device}: {found} instead of {timestamp}")


def _content(record: Mapping[str, Any]) -> Content:
    """Return what identifies a record of a function's event."""
    kinesis = record["kinesis"]
    return kinesis["partitionKey"], base64.b64decode(kinesis["data"])


def _position(record: Mapping[str, Any]) -> _Position:
    return str(record["eventID"]).partition(":")[0], int(record["kinesis"]["sequenceNumber"])


def _name(content: Content) -> str:
    return f"{content[0]} {content[1][:40]!r}"
