"""Publishes invalid records to the dead-letter topic, each with its payload and the reason.

This is the only definition of the message: `iot-constructs redrive` reads it with the names and `decode_payload` of
this module.

Delivery is at least once: a retried record can be published again. The combination of `streamArn`,
`shardId`, and `sequenceNumber` identifies the message of a record from a stream. They are null for
a record that never reached a stream: an IoT rule error that was redriven to the function.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .chunks import split_chunks
from .records import StreamRecord
from .rejections import InvalidRecordError
from .retries import NO_TIME, Deadline, RetryPolicy, error_code

# sns/latest/dg/sns-batch-api-actions.html: 10 messages and 256 KiB per call, including attributes.
# The same size limit applies to one message.
MAX_MESSAGES_PER_CALL = 10
MAX_BYTES_PER_CALL = 262_144
# SNS wraps the message in an envelope before it delivers it to the queue.
ENVELOPE_RESERVE_BYTES = 4_096
MAX_BODY_BYTES = MAX_BYTES_PER_CALL - ENVELOPE_RESERVE_BYTES

KIND = "rejected-record"
# The members of a message that a redrive reads, besides `kind`, `reason`, `detail`, and the payload.
STREAM_ARN = "streamArn"
SHARD_ID = "shardId"
SEQUENCE_NUMBER = "sequenceNumber"
PARTITION_KEY = "partitionKey"
ARRIVAL = "approximateArrivalTimestamp"

_BASE64, _GZIP_BASE64, _NO_PAYLOAD = "base64", "gzip+base64", "none"
_ON_STREAM = (
    "too large for a message: read the record at shardId and sequenceNumber from the stream before "
    "its retention ends, or find it in the archive"
)
_UNKNOWN_LOCATION = "too large for a message, and the record is not on a stream"


class SNSClient(Protocol):
    """The part of a boto3 SNS client that this module uses."""

    def publish_batch(self, **request: Any) -> dict[str, Any]:
        """PublishBatch."""


@dataclass(frozen=True)
class DeadLetter:
    """A record that cannot be stored, and why."""

    record: StreamRecord
    rejected: InvalidRecordError


class DeadLetterTopic:
    """Publishes to the dead-letter topic."""

    def __init__(self, client: SNSClient, topic_arn: str, retries: RetryPolicy) -> None:
        self._client = client
        self._topic_arn = topic_arn
        self._retries = retries

    def publish(self, letters: Sequence[DeadLetter], deadline: Deadline) -> dict[int, str]:
        """Publish `letters` in order. Returns the index and error code of each failed message.

        Stops after the first call with a failure: Lambda retries the later records together with
        the failed one, so their messages would be sent twice.
        """
        # One after another: all messages of a slice can take several times the memory of its records.
        entries = (_entry(index, letter) for index, letter in enumerate(letters))
        for chunk in split_chunks(
            entries, _entry_bytes, max_items=MAX_MESSAGES_PER_CALL, max_bytes=MAX_BYTES_PER_CALL
        ):
            failed = self._publish_chunk(chunk, deadline)
            if failed:
                return failed
        return {}

    def _publish_chunk(self, chunk: list[dict[str, Any]], deadline: Deadline) -> dict[int, str]:
        pending = {entry["Id"]: entry for entry in chunk}
        errors = dict.fromkeys(pending, NO_TIME)
        for _ in self._retries.attempts(deadline):
            try:
                with deadline.call():
                    response = self._client.publish_batch(
                        TopicArn=self._topic_arn, PublishBatchRequestEntries=list(pending.values())
                    )
            except Exception as error:
                return dict.fromkeys(map(int, pending), error_code(error))
            # "check for batch errors even when the call returns an HTTP status code of 200"
            # (sns APIReference API_PublishBatch).
            errors = {failed["Id"]: failed["Code"] for failed in response.get("Failed", [])}
            pending = {identifier: pending[identifier] for identifier in errors}
            if not pending:
                return {}
        return {int(identifier): code for identifier, code in errors.items()}


def format_message(letter: DeadLetter) -> str:
    """Return the message body: JSON with the record's origin, the reason, and the payload.

    A large payload is compressed. If it is still too large, it is omitted and `payloadLocation`
    explains where to find it.
    """
    data = letter.record.data_base64
    body = _body(letter, _BASE64, data)
    if len(body) > MAX_BODY_BYTES:
        # mtime=0 keeps the message deterministic.
        data = base64.b64encode(gzip.compress(letter.record.data, mtime=0)).decode()
        body = _body(letter, _GZIP_BASE64, data)
    if len(body) > MAX_BODY_BYTES:
        body = _body(letter, _NO_PAYLOAD, None)
    return body


def decode_payload(message: Mapping[str, Any]) -> bytes | None:
    """Return the record's payload from a parsed message, or None if the message omits it.

    Raises `ValueError` for a message that this module can't have written. The error does not contain the payload.
    """
    encoding, payload = message.get("payloadEncoding"), message.get("payload")
    if encoding == _NO_PAYLOAD:
        return None
    if encoding not in (_BASE64, _GZIP_BASE64):
        raise ValueError(
            f"payloadEncoding is {str(encoding)[:40]!r}; expected base64, gzip+base64 or none"
        )
    if not isinstance(payload, str):
        raise ValueError("payload is not a string")
    try:
        data = base64.b64decode(payload, validate=True)
        return gzip.decompress(data) if encoding == _GZIP_BASE64 else data
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"payload is not {encoding}: {error}") from None


def _body(letter: DeadLetter, encoding: str, payload: str | None) -> str:
    record, rejected = letter.record, letter.rejected
    on_stream = record.is_on_stream
    # json.dumps escapes non-ASCII characters, so the length in characters is the size in bytes.
    return json.dumps(
        {
            "kind": KIND,
            "reason": rejected.reason.value,
            "detail": rejected.detail,
            PARTITION_KEY: record.partition_key,
            STREAM_ARN: record.stream_arn if on_stream else None,
            SHARD_ID: record.shard_id if on_stream else None,
            SEQUENCE_NUMBER: record.sequence_number if on_stream else None,
            ARRIVAL: record.arrival,
            "payloadEncoding": encoding,
            "payload": payload,
            "payloadLocation": _location(on_stream) if payload is None else None,
        }
    )


def _location(on_stream: bool) -> str:
    return _ON_STREAM if on_stream else _UNKNOWN_LOCATION


def _entry(index: int, letter: DeadLetter) -> dict[str, Any]:
    attributes = {"kind": KIND, "reason": letter.rejected.reason.value}
    return {
        "Id": str(index),
        "Message": format_message(letter),
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    }


def _entry_bytes(entry: Mapping[str, Any]) -> int:
    return len(entry["Message"]) + sum(
        len(name) + len(attribute["DataType"]) + len(attribute["StringValue"])
        for name, attribute in entry["MessageAttributes"].items()
    )
