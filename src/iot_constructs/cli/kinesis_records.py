"""Kinesis records, and their representation in a Lambda event.

The functions make no AWS calls and raise only `MalformedMessageError`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iot_constructs.processor.records import NO_STREAM

# kinesis/latest/APIReference/API_PutRecordsRequestEntry.html
MAX_PARTITION_KEY_CHARACTERS = 256

_SEQUENCE_NUMBER = re.compile(r"[0-9]{1,129}")
# An event source mapping of an enhanced fan-out consumer has the consumer's ARN, which begins with the stream's.
_STREAM_ARN = re.compile(
    r"(arn:[a-z-]+:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128})(/consumer/.+)?"
)
_SHARD_ID = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


class MalformedMessageError(ValueError):
    """The JSON does not have the expected structure."""


@dataclass(frozen=True)
class Record:
    """A record, and its position on the stream if it reached the stream."""

    partition_key: str
    data: bytes
    stream_arn: str | None = None
    """None if it never reached a stream; it then has no position either."""
    shard_id: str | None = None
    sequence_number: str | None = None
    arrival: float | None = None
    """The arrival time on the stream, in epoch seconds."""

    @property
    def size(self) -> int:
        """The size of payload and partition key in bytes, which count towards the limits of Kinesis."""
        return len(self.data) + len(self.partition_key.encode())

    @property
    def position(self) -> float:
        """A sort key for the order of arrival.

        Sequence numbers of a partition key generally increase over time
        (https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html). Records that did not reach the stream are
        last.
        """
        return int(self.sequence_number) if self.sequence_number is not None else math.inf


def is_kinesis_event(value: object) -> bool:
    """Return whether ``value`` is an event of a Kinesis event source mapping."""
    if not isinstance(value, dict):
        return False
    records = value.get("Records")
    return (
        isinstance(records, list)
        and bool(records)
        and all(isinstance(record, dict) and "kinesis" in record for record in records)
    )


def parse_event(event: object) -> tuple[Record, ...]:
    """Return the records of a Kinesis event (https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html)."""
    if not isinstance(event, dict) or not is_kinesis_event(event):
        raise MalformedMessageError(
            "not a Kinesis event: each of its 'Records' must have 'kinesis'"
        )
    return tuple(_parse_event_record(raw) for raw in event["Records"])


def _parse_event_record(raw: Mapping[str, Any]) -> Record:
    kinesis = raw["kinesis"]
    if not isinstance(kinesis, dict):
        raise MalformedMessageError(f"'kinesis' is {reprlib.repr(kinesis)}, not an object")
    arrival = parse_arrival_time(kinesis.get("approximateArrivalTimestamp"))
    key, data = parse_partition_key(kinesis.get("partitionKey")), require_base64(kinesis, "data")
    if raw.get("eventSourceARN") == NO_STREAM:
        return Record(key, data, arrival=arrival)
    shard_id = require_string(raw, "eventID").partition(":")[0]
    return Record(
        partition_key=key,
        data=data,
        stream_arn=parse_stream_arn(raw, "eventSourceARN"),
        shard_id=parse_shard_id({"eventID": shard_id}, "eventID"),
        sequence_number=parse_sequence_number(kinesis, "sequenceNumber"),
        arrival=arrival,
    )


def build_event(records: Sequence[Record]) -> dict[str, Any]:
    """Return the event with which Lambda would invoke a function for these records."""
    return {"Records": [_event_record(record) for record in records]}


def event_record_size(record: Record) -> int:
    """Return an upper bound of the size of one record in an event, in bytes."""
    return len(json.dumps(_event_record(record))) + len(", ") + MAX_PARTITION_KEY_CHARACTERS


def item_identifier(record: Record) -> str:
    """Return the sequence number, which a function reports as ``itemIdentifier``.

    A record that never reached a stream has none. Functions also use the sequence number as a key, so its substitute
    differs for each content and arrival, and is the same in each run. It begins with a zero, as no other number of
    several digits does (the pattern in kinesis/latest/APIReference/API_SequenceNumberRange.html).
    """
    if record.sequence_number is not None:
        return record.sequence_number
    content = repr((record.partition_key, record.data, record.arrival)).encode()
    return f"0{int(hashlib.sha256(content).hexdigest()[:32], 16):039}"


def _event_record(record: Record) -> dict[str, Any]:
    shard_id = record.shard_id if record.shard_id is not None else "shardId-none"
    stream_arn = record.stream_arn if record.stream_arn is not None else NO_STREAM
    sequence_number = item_identifier(record)
    region = stream_arn.split(":")[3] if record.stream_arn is not None else "none"
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": sequence_number,
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrival,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "none",
        "awsRegion": region,
        "eventSourceARN": stream_arn,
    }


def require_string(source: Mapping[str, Any], name: str) -> str:
    """Return a field that must be a string."""
    value = source.get(name)
    if not isinstance(value, str):
        raise MalformedMessageError(f"{name} is {reprlib.repr(value)}, not a string")
    if not _is_encodable(value):
        raise MalformedMessageError(f"{name} is {reprlib.repr(value)}, which is not valid Unicode")
    return value


def _is_encodable(value: str) -> bool:
    """Return whether an AWS call accepts the string: JSON can contain an unpaired surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_base64(source: Mapping[str, Any], name: str) -> bytes:
    """Return a decoded base64 field. The error does not show the value, which is a device's payload."""
    try:
        return base64.b64decode(require_string(source, name), validate=True)
    except MalformedMessageError:
        raise MalformedMessageError(f"{name} is not a base64 string") from None
    except ValueError as error:
        raise MalformedMessageError(f"{name} is not base64: {error}") from None


def parse_partition_key(value: object) -> str:
    """Return a valid partition key."""
    if (
        isinstance(value, str)
        and 0 < len(value) <= MAX_PARTITION_KEY_CHARACTERS
        and _is_encodable(value)
    ):
        return value
    raise MalformedMessageError(
        f"the partition key is {reprlib.repr(value)}, not a string of 1 to "
        f"{MAX_PARTITION_KEY_CHARACTERS} characters"
    )


def arn_region(name_or_arn: str) -> str | None:
    """Return the Region of an ARN, or None for a name."""
    found = re.match(r"arn:[^:]*:[^:]*:([^:]+):", name_or_arn)
    return found[1] if found else None


def parse_stream_arn(source: Mapping[str, Any], name: str) -> str:
    """Return the ARN of a stream, also for the ARN of one of its consumers."""
    found = _STREAM_ARN.fullmatch(require_string(source, name))
    if found is None:
        raise MalformedMessageError(f"{name} is {reprlib.repr(source[name])}, not a stream ARN")
    return found[1]


def parse_shard_id(source: Mapping[str, Any], name: str) -> str:
    """Return a shard id."""
    value = require_string(source, name)
    if not _SHARD_ID.fullmatch(value):
        raise MalformedMessageError(f"{name} is {reprlib.repr(value)}, not a shard id")
    return value


def parse_sequence_number(source: Mapping[str, Any], name: str) -> str:
    """Return a sequence number as a string, as the Kinesis API takes it."""
    value = require_string(source, name)
    if not _SEQUENCE_NUMBER.fullmatch(value):
        raise MalformedMessageError(f"{name} is {reprlib.repr(value)}, not a sequence number")
    return value


def parse_arrival_time(value: object) -> float | None:
    """Return a time in epoch seconds, or None if it is not valid."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
