"""What a message on the dead-letter queue says: which kind it is, why it is there, where its records are.

Pure: a body goes in, a description comes out. It never raises: what is not understood is of the kind
`unknown`, and what is understood but broken says so, and both are left on the queue.
"""

from __future__ import annotations

import gzip
import json
import reprlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

from iot_constructs.cli.kinesis_records import (
    Malformed,
    Record,
    arrival_of,
    bytes_of,
    is_kinesis_event,
    partition_key_of,
    records_of_event,
    sequence_number_of,
    shard_id_of,
    stream_arn_of,
    text,
)

TOPIC_LEVEL = 2
"""Of ``device/<device id>/telemetry``: where TelemetryRule takes its partition key from."""


class Kind(str, Enum):
    """The kinds of messages on the dead-letter queue, by their names on the command line."""

    REJECTED_RECORD = "rejected-record"
    FAILED_BATCH = "failed-batch"
    STORED_BATCH = "stored-batch"
    RULE_ERROR = "rule-error"
    ASYNC_FAILURE = "async-failure"
    TEST_EVENT = "test-event"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class InMessage:
    """The message itself holds the records."""

    records: tuple[Record, ...]


@dataclass(frozen=True)
class OnStream:
    """The stream holds the records, from one sequence number to another, both included."""

    stream_arn: str
    shard_id: str
    first: str
    last: str
    batch_size: int


@dataclass(frozen=True)
class StoredObject:
    """Where S3 holds a failed batch."""

    bucket: str
    key: str
    version: str | None


@dataclass(frozen=True)
class InBucket:
    """S3 holds the records."""

    objects: tuple[StoredObject, ...]


@dataclass(frozen=True)
class OnlyEvent:
    """What the function was given is no Kinesis event: nothing but the function can take it."""

    event: Any


@dataclass(frozen=True)
class Nothing:
    """There is no record behind this message."""


@dataclass(frozen=True)
class Unreadable:
    """The message is kept, and this is why."""

    problem: str


Source = InMessage | OnStream | InBucket | OnlyEvent | Nothing | Unreadable


@dataclass(frozen=True)
class DeadLetter:
    """One message of the dead-letter queue."""

    kind: Kind
    reason: str
    """Why it is on the queue, in the words of the message."""
    source: Source


def dead_letter_of(body: str, topic_level: int = TOPIC_LEVEL) -> DeadLetter:
    """What a message says, delivered raw or in the envelope that SNS puts around it."""
    document = _without_envelope(_json(body))
    if not isinstance(document, dict):
        return DeadLetter(Kind.UNKNOWN, "", Unreadable("the message is not a JSON object"))
    kind = _kind_of(document)
    try:
        return DeadLetter(kind, _reason_of(kind, document), _READERS[kind](document, topic_level))
    except Malformed as error:
        return DeadLetter(kind, _reason_of(kind, document), Unreadable(str(error)))


def records_of_stored_batch(body: str) -> tuple[Record, ...]:
    """The records of an object that Lambda wrote to its failure destination.

    Its `payload` is the whole event, as a string of JSON within the JSON
    (lambda/latest/dg/kinesis-on-failure-destination.html).
    """
    document = _json(body)
    if not isinstance(document, dict) or "payload" not in document:
        raise Malformed("it is not a failed batch: it has no 'payload'")
    payload = document["payload"]
    return records_of_event(_json(payload) if isinstance(payload, str) else payload)


class _NotJson:
    """Stands for what is not JSON; `None` is JSON."""


def _json(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _NotJson()


def _without_envelope(document: Any) -> Any:
    """The message without the envelope of SNS (sns/latest/dg/sns-sqs-as-subscriber.html)."""
    if (
        isinstance(document, dict)
        and document.get("Type") == "Notification"
        and isinstance(document.get("Message"), str)
    ):
        return _json(document["Message"])
    return document


def _kind_of(document: Mapping[str, Any]) -> Kind:
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


def _reason_of(kind: Kind, document: Mapping[str, Any]) -> str:
    """For the table; what is not there is left out."""
    if kind is Kind.REJECTED_RECORD:
        parts = [document.get("reason"), document.get("detail")]
    elif kind in (Kind.FAILED_BATCH, Kind.ASYNC_FAILURE):
        parts = [_field(document, "requestContext", "condition")]
        parts.append(_field(document, "responseContext", "functionError"))
    elif kind is Kind.RULE_ERROR:
        failures = document.get("failures")
        first = failures[0] if isinstance(failures, list) and failures else None
        parts = [_field({"": first}, "", name) for name in ("failedAction", "errorMessage")]
    elif kind is Kind.STORED_BATCH:
        parts = [_field({"": document["Records"][0]}, "", "eventName")]
    else:
        parts = []
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def _field(document: Mapping[str, Any], outer: str, inner: str) -> Any:
    value = document.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def _rejected_record(document: Mapping[str, Any], topic_level: int) -> Source:
    stream_arn = stream_arn_of(document, "streamArn")
    shard_id = shard_id_of(document, "shardId")
    sequence_number = sequence_number_of(document, "sequenceNumber")
    data = _payload_of(document)
    if data is None:
        return OnStream(stream_arn, shard_id, sequence_number, sequence_number, 1)
    return InMessage(
        (
            Record(
                partition_key=partition_key_of(document.get("deviceId")),
                data=data,
                stream_arn=stream_arn,
                shard_id=shard_id,
                sequence_number=sequence_number,
                arrival=arrival_of(document.get("approximateArrivalTimestamp")),
            ),
        )
    )


def _payload_of(document: Mapping[str, Any]) -> bytes | None:
    """As the processor writes it: plain, compressed if it is large, left out if it still is."""
    encoding = text(document, "payloadEncoding")
    if encoding == "none":
        return None
    if encoding == "base64":
        return bytes_of(document, "payload")
    if encoding == "gzip+base64":
        try:
            return gzip.decompress(bytes_of(document, "payload"))
        except (OSError, EOFError, zlib.error) as error:
            raise Malformed(f"payload is not gzip: {error}") from None
    raise Malformed(f"payloadEncoding is {encoding[:40]!r}; known are base64, gzip+base64 and none")


def _failed_batch(document: Mapping[str, Any], topic_level: int) -> Source:
    if "payload" in document:
        payload = document["payload"]
        return InMessage(records_of_event(_json(payload) if isinstance(payload, str) else payload))
    batch = document["KinesisBatchInfo"]
    if not isinstance(batch, dict):
        raise Malformed("KinesisBatchInfo is not an object")
    first = sequence_number_of(batch, "startSequenceNumber")
    last = sequence_number_of(batch, "endSequenceNumber")
    if int(first) > int(last):
        raise Malformed(f"startSequenceNumber {first} comes after endSequenceNumber {last}")
    size = batch.get("batchSize")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise Malformed(f"batchSize is {reprlib.repr(size)}, not a number of records")
    return OnStream(
        stream_arn_of(batch, "streamArn"), shard_id_of(batch, "shardId"), first, last, size
    )


def _stored_batch(document: Mapping[str, Any], topic_level: int) -> Source:
    return InBucket(tuple(_stored_object(record) for record in document["Records"]))


def _stored_object(record: Mapping[str, Any]) -> StoredObject:
    event = text(record, "eventName")
    if not event.startswith("ObjectCreated:"):
        raise Malformed(f"eventName is {event[:40]!r}: nothing was stored; delete the message")
    bucket, stored = _field(record, "s3", "bucket"), _field(record, "s3", "object")
    if not isinstance(bucket, dict) or not isinstance(stored, dict):
        raise Malformed("s3 names no bucket or no object")
    version = stored.get("versionId")
    return StoredObject(
        text(bucket, "name"),
        # "The object key is URL encoded" (AmazonS3 userguide notification-content-structure.html).
        unquote_plus(text(stored, "key")),
        version if isinstance(version, str) and version else None,
    )


def _rule_error(document: Mapping[str, Any], topic_level: int) -> Source:
    """The error document of an IoT rule (iot/latest/developerguide/rule-error-handling.html)."""
    topic = text(document, "topic")
    levels = topic.split("/")
    if len(levels) < topic_level or not levels[topic_level - 1]:
        raise Malformed(
            f"topic {topic[:80]!r} has no level {topic_level} to take the partition key from; "
            "see --topic-level"
        )
    key = partition_key_of(levels[topic_level - 1])
    return InMessage((Record(key, bytes_of(document, "base64OriginalPayload")),))


def _async_failure(document: Mapping[str, Any], topic_level: int) -> Source:
    """What an asynchronous invocation leaves (lambda/latest/dg/invocation-async-retain-records.html)."""
    event = document["requestPayload"]
    if is_kinesis_event(event):
        return InMessage(records_of_event(event))
    return OnlyEvent(event)


def _test_event(document: Mapping[str, Any], topic_level: int) -> Source:
    """S3 sends it once, when notifications are configured, to see whether they arrive."""
    return Nothing()


def _unknown(document: Mapping[str, Any], topic_level: int) -> Source:
    return Unreadable("the message is of no known kind; read it, then delete it by hand")


_READERS: dict[Kind, Callable[[Mapping[str, Any], int], Source]] = {
    Kind.REJECTED_RECORD: _rejected_record,
    Kind.FAILED_BATCH: _failed_batch,
    Kind.STORED_BATCH: _stored_batch,
    Kind.RULE_ERROR: _rule_error,
    Kind.ASYNC_FAILURE: _async_failure,
    Kind.TEST_EVENT: _test_event,
    Kind.UNKNOWN: _unknown,
}
