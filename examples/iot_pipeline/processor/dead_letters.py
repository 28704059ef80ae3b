"""Sending what can never be stored to the dead-letter topic, payload and reason included.

Delivery is at least once: a record that is delivered again after its message went out is published
again. `streamArn`, `shardId` and `sequenceNumber` together identify a message.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from invalid_records import InvalidRecordError
from retry_policy import Deadline, RetryPolicy, error_code
from stream_records import StreamRecord

# sns/latest/dg/sns-batch-api-actions.html: 10 messages and 256 KiB in one call, attributes
# included; the same limit for one message.
MAX_MESSAGES_PER_CALL = 10
MAX_BYTES_PER_CALL = 262_144
# SNS wraps the message in an envelope of its own when it hands it to the queue.
ENVELOPE_RESERVE_BYTES = 4_096
MAX_BODY_BYTES = MAX_BYTES_PER_CALL - ENVELOPE_RESERVE_BYTES

KIND = "rejected-record"
_NOT_IN_MESSAGE = (
    "too large for a message: read the record at shardId and sequenceNumber from the stream while "
    "it retains it, or find it in the archive"
)


class SNSClient(Protocol):
    def publish_batch(self, **request: Any) -> dict[str, Any]: ...


@dataclass(frozen=True)
class DeadLetter:
    record: StreamRecord
    rejected: InvalidRecordError


class DeadLetterTopic:
    def __init__(self, client: SNSClient, topic_arn: str, retries: RetryPolicy) -> None:
        self._client = client
        self._topic_arn = topic_arn
        self._retries = retries

    def publish(self, letters: Sequence[DeadLetter], deadline: Deadline) -> dict[int, str]:
        """Publishes `letters` in order; returns the indexes that failed, each with its error.

        Nothing is published after a call with a failure: the later records are delivered again with
        the failed one, and their messages would be sent twice.
        """
        for group in _batch_entries(
            [_entry(index, letter) for index, letter in enumerate(letters)]
        ):
            failed = self._publish_batch(group, deadline)
            if failed:
                return failed
        return {}

    def _publish_batch(self, group: list[dict[str, Any]], deadline: Deadline) -> dict[int, str]:
        pending = {entry["Id"]: entry for entry in group}
        errors = dict.fromkeys(pending, "no time left")
        for _ in self._retries.attempts(deadline):
            try:
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
    """The message body: JSON that says where the record comes from, what was wrong, what it held.

    A payload that is too large is compressed; one that still is too large is left out, and
    `payloadLocation` says where to find it.
    """
    data = letter.record.data_base64
    body = _body(letter, "base64", data)
    if len(body) > MAX_BODY_BYTES:
        # mtime=0: the same record gives the same message.
        data = base64.b64encode(gzip.compress(letter.record.data, mtime=0)).decode()
        body = _body(letter, "gzip+base64", data)
    if len(body) > MAX_BODY_BYTES:
        body = _body(letter, "none", None)
    return body


def decode_payload(message: Mapping[str, Any]) -> bytes | None:
    """The record's payload from a decoded message; None if the message says it lies elsewhere."""
    encoding, payload = message["payloadEncoding"], message["payload"]
    if encoding == "none":
        return None
    if encoding == "base64":
        return base64.b64decode(payload, validate=True)
    if encoding == "gzip+base64":
        return gzip.decompress(base64.b64decode(payload, validate=True))
    raise ValueError(f"payloadEncoding is {encoding!r}; known are base64, gzip+base64 and none")


def _body(letter: DeadLetter, encoding: str, payload: str | None) -> str:
    record, rejected = letter.record, letter.rejected
    # json.dumps escapes everything beyond ASCII, so characters are bytes and SNS takes them all.
    return json.dumps(
        {
            "kind": KIND,
            "reason": rejected.reason.value,
            "detail": rejected.detail,
            "deviceId": record.device_id,
            "streamArn": record.stream_arn,
            "shardId": record.shard_id,
            "sequenceNumber": record.sequence_number,
            "approximateArrivalTimestamp": record.arrival,
            "payloadEncoding": encoding,
            "payload": payload,
            "payloadLocation": _NOT_IN_MESSAGE if payload is None else None,
        }
    )


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


def _batch_entries(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        entry_bytes = _entry_bytes(entry)
        full = len(group) == MAX_MESSAGES_PER_CALL
        if group and (full or size + entry_bytes > MAX_BYTES_PER_CALL):
            yield group
            group, size = [], 0
        group.append(entry)
        size += entry_bytes
    if group:
        yield group
