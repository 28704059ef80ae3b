"""Parses messages on the dead-letter queue: their kind, their reason and the location of their records.

Parsing does no I/O and never raises. A message that is not recognized has the kind `unknown`, and a malformed one is
`Unreadable`; both stay on the queue.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

from iot_constructs.cli.kinesis_records import (
    MalformedMessageError,
    Record,
    is_kinesis_event,
    parse_arrival_time,
    parse_event,
    parse_partition_key,
    parse_sequence_number,
    parse_shard_id,
    parse_stream_arn,
    require_base64,
    require_string,
)
from iot_constructs.processor import dead_letters
from iot_constructs.processor.records import NO_STREAM

TOPIC_LEVEL = 2
"""The level of the device id in ``device/<device id>/telemetry``, as in TelemetryRule."""
_BASIC_INGEST_LEVELS = ["$aws", "rules"]


class Kind(str, Enum):
    """The kinds of messages on the dead-letter queue, with their names on the command line."""

    REJECTED_RECORD = dead_letters.KIND
    FAILED_BATCH = "failed-batch"
    STORED_BATCH = "stored-batch"
    RULE_ERROR = "rule-error"
    ASYNC_FAILURE = "async-failure"
    TEST_EVENT = "test-event"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class InlineRecords:
    """The message contains the records."""

    records: tuple[Record, ...]


@dataclass(frozen=True)
class StreamRange:
    """The records are on the stream, in an inclusive range of sequence numbers."""

    stream_arn: str
    shard_id: str
    first: str
    last: str
    batch_size: int

    def overlaps(self, other: StreamRange) -> bool:
        """Return whether both have a position on the stream in common."""
        return (
            (self.stream_arn, self.shard_id) == (other.stream_arn, other.shard_id)
            and int(self.first) <= int(other.last)
            and int(other.first) <= int(self.last)
        )


@dataclass(frozen=True)
class StoredObject:
    """The S3 object of a failed batch."""

    bucket: str
    key: str
    version: str | None


@dataclass(frozen=True)
class S3Location:
    """The records are in S3 objects."""

    objects: tuple[StoredObject, ...]


@dataclass(frozen=True)
class OpaqueEvent:
    """The function's event is not a Kinesis event, so only the function can process it."""

    event: Any


@dataclass(frozen=True)
class NoRecords:
    """The message refers to no records."""


@dataclass(frozen=True)
class Unreadable:
    """The message stays on the queue because of ``problem``."""

    problem: str


Source = InlineRecords | StreamRange | S3Location | OpaqueEvent | NoRecords | Unreadable


@dataclass(frozen=True)
class DeadLetter:
    """A message of the dead-letter queue."""

    kind: Kind
    reason: str
    """The reason for the failure, as in the message."""
    cause: str
    """The part of the reason that many messages have in common."""
    source: Source


def parse_dead_letter(body: str, topic_level: int = TOPIC_LEVEL) -> DeadLetter:
    """Parse a message that was delivered raw or in an SNS envelope."""
    document = _unwrap_sns_envelope(_json(body))
    if not isinstance(document, dict):
        return DeadLetter(Kind.UNKNOWN, "", "", Unreadable("the message is not a JSON object"))
    kind = _detect_kind(document)
    parts = _reason_parts(kind, document)
    # The second part is a detail of the record or of AWS's error, except for Lambda's: there, it is the error's type.
    common = parts if kind in (Kind.FAILED_BATCH, Kind.ASYNC_FAILURE) else parts[:1]
    source: Source
    try:
        source = _PARSERS[kind](document, topic_level)
    except MalformedMessageError as error:
        source = Unreadable(str(error))
    return DeadLetter(kind, _join(parts), _join(common), source)


def parse_stored_batch(body: str) -> tuple[Record, ...]:
    """Return the records of an S3 object that Lambda wrote to an on-failure destination.

    Its ``payload`` is the whole event as a JSON string
    (https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html).
    """
    document = _json(body)
    if not isinstance(document, dict) or "payload" not in document:
        raise MalformedMessageError("not a failed batch: no 'payload'")
    payload = document["payload"]
    return parse_event(_json(payload) if isinstance(payload, str) else payload)


class _NotJson:
    """The result for a body that is not JSON; ``None`` is valid JSON."""


def _json(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _NotJson()


def _unwrap_sns_envelope(document: Any) -> Any:
    """Remove the SNS envelope (https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html)."""
    if (
        isinstance(document, dict)
        and document.get("Type") == "Notification"
        and isinstance(document.get("Message"), str)
    ):
        return _json(document["Message"])
    return document


def _detect_kind(document: Mapping[str, Any]) -> Kind:
    if document.get("kind") == Kind.REJECTED_RECORD.value:
        return Kind.REJECTED_RECORD
    if "KinesisBatchInfo" in document:
        return Kind.FAILED_BATCH
    if "base64OriginalPayload" in document:
        return Kind.RULE_ERROR
    if "requestPayload" in document:
        return Kind.ASYNC_FAILURE
    if document.get("Event") == "s3:TestEvent":
        return Kind.TEST_EVENT
    records = document.get("Records")
    if (
        isinstance(records, list)
        and records
        and all(isinstance(record, dict) and "s3" in record for record in records)
    ):
        return Kind.STORED_BATCH
    return Kind.UNKNOWN


def _join(parts: Sequence[Any]) -> str:
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def _reason_parts(kind: Kind, document: Mapping[str, Any]) -> list[Any]:
    """Return the reason for the report, the general part first; a message can lack any of them."""
    if kind is Kind.REJECTED_RECORD:
        return [document.get("reason"), document.get("detail")]
    if kind in (Kind.FAILED_BATCH, Kind.ASYNC_FAILURE):
        return [
            _field(document, "requestContext", "condition"),
            _field(document, "responseContext", "functionError"),
        ]
    if kind is Kind.RULE_ERROR:
        failures = document.get("failures")
        first = failures[0] if isinstance(failures, list) and failures else None
        return [_field({"": first}, "", name) for name in ("failedAction", "errorMessage")]
    if kind is Kind.STORED_BATCH:
        return [_field({"": document["Records"][0]}, "", "eventName")]
    return []


def _field(document: Mapping[str, Any], outer: str, inner: str) -> Any:
    value = document.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def _rejected_record(document: Mapping[str, Any], topic_level: int) -> Source:
    # Null for a record that never reached a stream: an IoT rule error that was redriven to the function.
    stream_arn = shard_id = sequence_number = None
    if document.get(dead_letters.STREAM_ARN) not in (None, NO_STREAM):
        stream_arn = parse_stream_arn(document, dead_letters.STREAM_ARN)
        shard_id = parse_shard_id(document, dead_letters.SHARD_ID)
        sequence_number = parse_sequence_number(document, dead_letters.SEQUENCE_NUMBER)
    try:
        data = dead_letters.decode_payload(document)
    except ValueError as error:
        raise MalformedMessageError(str(error)) from None
    if data is not None:
        key = parse_partition_key(document.get(dead_letters.PARTITION_KEY))
        arrival = parse_arrival_time(document.get(dead_letters.ARRIVAL))
        return InlineRecords((Record(key, data, stream_arn, shard_id, sequence_number, arrival),))
    if stream_arn is None or shard_id is None or sequence_number is None:
        raise MalformedMessageError("the message has neither the payload nor its position")
    return StreamRange(stream_arn, shard_id, sequence_number, sequence_number, 1)


def _failed_batch(document: Mapping[str, Any], topic_level: int) -> Source:
    if "payload" in document:
        payload = document["payload"]
        return InlineRecords(parse_event(_json(payload) if isinstance(payload, str) else payload))
    batch = document["KinesisBatchInfo"]
    if not isinstance(batch, dict):
        raise MalformedMessageError("KinesisBatchInfo is not an object")
    first = parse_sequence_number(batch, "startSequenceNumber")
    last = parse_sequence_number(batch, "endSequenceNumber")
    if int(first) > int(last):
        raise MalformedMessageError(
            f"startSequenceNumber {first} is greater than endSequenceNumber {last}"
        )
    size = batch.get("batchSize")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise MalformedMessageError(f"batchSize is {reprlib.repr(size)}, not a positive integer")
    return StreamRange(
        parse_stream_arn(batch, "streamArn"), parse_shard_id(batch, "shardId"), first, last, size
    )


def _stored_batch(document: Mapping[str, Any], topic_level: int) -> Source:
    return S3Location(tuple(_stored_object(record) for record in document["Records"]))


def _stored_object(record: Mapping[str, Any]) -> StoredObject:
    event = require_string(record, "eventName")
    if not event.startswith("ObjectCreated:"):
        raise MalformedMessageError(
            f"eventName is {event[:40]!r}, not ObjectCreated; delete the message"
        )
    bucket, stored = _field(record, "s3", "bucket"), _field(record, "s3", "object")
    if not isinstance(bucket, dict) or not isinstance(stored, dict):
        raise MalformedMessageError("s3 has no bucket or no object")
    version = stored.get("versionId")
    return StoredObject(
        require_string(bucket, "name"),
        # The object key is URL encoded (AmazonS3/latest/userguide/notification-content-structure.html).
        unquote_plus(require_string(stored, "key")),
        version if isinstance(version, str) and version else None,
    )


def _rule_error(document: Mapping[str, Any], topic_level: int) -> Source:
    """Parse an IoT rule error (https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html)."""
    topic = require_string(document, "topic")
    levels = topic.split("/")
    # With Basic Ingest, topic(n) does not count $aws/rules/<rule>; whether the error's topic has it is not documented.
    # No other topic begins like this, because rules cannot subscribe to these
    # (https://docs.aws.amazon.com/iot/latest/developerguide/iot-basic-ingest.html).
    if levels[:2] == _BASIC_INGEST_LEVELS:
        levels = levels[3:]
    if len(levels) < topic_level or not levels[topic_level - 1]:
        raise MalformedMessageError(
            f"topic {topic[:80]!r} has no level {topic_level} for the partition key; "
            "set --topic-level"
        )
    key = parse_partition_key(levels[topic_level - 1])
    return InlineRecords((Record(key, require_base64(document, "base64OriginalPayload")),))


def _async_failure(document: Mapping[str, Any], topic_level: int) -> Source:
    """Parse the invocation record of a failed asynchronous invocation.

    See https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html.
    """
    event = document["requestPayload"]
    if is_kinesis_event(event):
        return InlineRecords(parse_event(event))
    return OpaqueEvent(event)


def _test_event(document: Mapping[str, Any], topic_level: int) -> Source:
    """S3 sends one test event when notifications are configured."""
    return NoRecords()


def _unknown(document: Mapping[str, Any], topic_level: int) -> Source:
    return Unreadable("unknown kind of message; inspect it and delete it manually")


_PARSERS: dict[Kind, Callable[[Mapping[str, Any], int], Source]] = {
    Kind.REJECTED_RECORD: _rejected_record,
    Kind.FAILED_BATCH: _failed_batch,
    Kind.STORED_BATCH: _stored_batch,
    Kind.RULE_ERROR: _rule_error,
    Kind.ASYNC_FAILURE: _async_failure,
    Kind.TEST_EVENT: _test_event,
    Kind.UNKNOWN: _unknown,
}
