"""A record of the stream, and the two shapes of JSON that hold one: Lambda's event and a base64 string.

Pure: no AWS call, and what cannot be understood is a `Malformed`, whatever it is.
"""

from __future__ import annotations

import base64
import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# kinesis/latest/APIReference/API_PutRecordsRequestEntry.html
MAX_PARTITION_KEY_CHARACTERS = 256

_SEQUENCE_NUMBER = re.compile(r"[0-9]{1,129}")
# A mapping on an enhanced fan-out consumer names the consumer, whose ARN begins with the stream's.
_STREAM_ARN = re.compile(
    r"(arn:[a-z-]+:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128})(/consumer/.+)?"
)
_SHARD_ID = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


class Malformed(ValueError):
    """The JSON at hand does not have the shape that it should."""


@dataclass(frozen=True)
class Record:
    """One record, and where it was on the stream if it ever got there."""

    partition_key: str
    data: bytes
    stream_arn: str | None = None
    shard_id: str | None = None
    sequence_number: str | None = None
    arrival: float | None = None
    """When the stream accepted it, in epoch seconds."""

    @property
    def size(self) -> int:
        """What counts against the limits of Kinesis: payload and partition key, in bytes."""
        return len(self.data) + len(self.partition_key.encode())

    @property
    def position(self) -> float:
        """Sorts the records of one partition key in the order in which the stream took them.

        Sequence numbers of a partition key generally increase over time
        (streams/latest/dev/key-concepts.html). What never got to the stream comes last.
        """
        return int(self.sequence_number) if self.sequence_number is not None else math.inf


def is_kinesis_event(value: object) -> bool:
    """Whether this is what Lambda hands to a function that reads a stream."""
    if not isinstance(value, dict):
        return False
    records = value.get("Records")
    return (
        isinstance(records, list)
        and bool(records)
        and all(isinstance(record, dict) and "kinesis" in record for record in records)
    )


def records_of_event(event: object) -> tuple[Record, ...]:
    """The records of a Kinesis event (lambda/latest/dg/with-kinesis.html)."""
    if not isinstance(event, dict) or not is_kinesis_event(event):
        raise Malformed("it is not a kinesis event: 'Records' with 'kinesis' in each of them")
    return tuple(_record_of_event(raw) for raw in event["Records"])


def _record_of_event(raw: Mapping[str, Any]) -> Record:
    kinesis = raw["kinesis"]
    if not isinstance(kinesis, dict):
        raise Malformed(f"'kinesis' is {reprlib.repr(kinesis)}, not an object")
    shard_id = text(raw, "eventID").partition(":")[0]
    return Record(
        partition_key=partition_key_of(kinesis.get("partitionKey")),
        data=bytes_of(kinesis, "data"),
        stream_arn=stream_arn_of(raw, "eventSourceARN"),
        shard_id=shard_id_of({"eventID": shard_id}, "eventID"),
        sequence_number=sequence_number_of(kinesis, "sequenceNumber"),
        arrival=arrival_of(kinesis.get("approximateArrivalTimestamp")),
    )


def event_of(records: Sequence[Record]) -> dict[str, Any]:
    """The event with which Lambda would hand these records to a function."""
    return {"Records": [_event_record(number, record) for number, record in enumerate(records, 1)]}


def event_bytes(record: Record) -> int:
    """How many bytes of an event one record takes, at the most."""
    return len(json.dumps(_event_record(1, record))) + len(", ") + MAX_PARTITION_KEY_CHARACTERS


def identifier_in_event(number: int, record: Record) -> str:
    """The sequence number, by which a function says what failed.

    A record that never got to the stream has none; its number in the event is far below the numbers
    that Kinesis gives.
    """
    return record.sequence_number if record.sequence_number is not None else str(number)


def _event_record(number: int, record: Record) -> dict[str, Any]:
    shard_id = record.shard_id if record.shard_id is not None else "shardId-none"
    stream_arn = record.stream_arn if record.stream_arn is not None else "none"
    sequence_number = identifier_in_event(number, record)
    region = stream_arn.split(":")[3] if record.stream_arn is not None else "none"
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": sequence_number,
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrival if record.arrival is not None else 0.0,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "none",
        "awsRegion": region,
        "eventSourceARN": stream_arn,
    }


def text(source: Mapping[str, Any], name: str) -> str:
    """A field that must be a string."""
    value = source.get(name)
    if not isinstance(value, str):
        raise Malformed(f"{name} is {reprlib.repr(value)}, not a string")
    if not _can_be_sent(value):
        raise Malformed(f"{name} is {reprlib.repr(value)}, which is not Unicode")
    return value


def _can_be_sent(value: str) -> bool:
    """JSON can hold half of a surrogate pair, which no AWS call can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def bytes_of(source: Mapping[str, Any], name: str) -> bytes:
    """A field that must be base64. The error does not show it: it is a device's payload."""
    try:
        return base64.b64decode(text(source, name), validate=True)
    except Malformed:
        raise Malformed(f"{name} is not a string of base64") from None
    except ValueError as error:
        raise Malformed(f"{name} is not base64: {error}") from None


def partition_key_of(value: object) -> str:
    """A string that Kinesis takes as a partition key."""
    if (
        isinstance(value, str)
        and 0 < len(value) <= MAX_PARTITION_KEY_CHARACTERS
        and _can_be_sent(value)
    ):
        return value
    raise Malformed(
        f"the partition key is {reprlib.repr(value)}, not a string of 1 to "
        f"{MAX_PARTITION_KEY_CHARACTERS} characters"
    )


def stream_arn_of(source: Mapping[str, Any], name: str) -> str:
    """The ARN of a stream, also from that of one of its consumers."""
    found = _STREAM_ARN.fullmatch(text(source, name))
    if found is None:
        raise Malformed(f"{name} is {reprlib.repr(source[name])}, not the ARN of a stream")
    return found[1]


def shard_id_of(source: Mapping[str, Any], name: str) -> str:
    """The name of a shard."""
    value = text(source, name)
    if not _SHARD_ID.fullmatch(value):
        raise Malformed(f"{name} is {reprlib.repr(value)}, not a shard id")
    return value


def sequence_number_of(source: Mapping[str, Any], name: str) -> str:
    """A sequence number, as it is written: the stream is asked for the same string."""
    value = text(source, name)
    if not _SEQUENCE_NUMBER.fullmatch(value):
        raise Malformed(f"{name} is {reprlib.repr(value)}, not a sequence number")
    return value


def arrival_of(value: object) -> float | None:
    """Epoch seconds, if this is a number that can be; nothing depends on it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
