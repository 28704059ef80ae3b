"""Kinesis records and batches in the event format of Lambda (lambda/latest/dg/with-kinesis.html)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The payload quota of a synchronous invocation (lambda/latest/dg/gettingstarted-limits.html).
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024

_SEPARATORS = (",", ":")
_EMPTY_EVENT_BYTES = len('{"Records":[]}')


@dataclass(frozen=True)
class Record:
    """One record of a shard."""

    sequence_number: str
    partition_key: str
    arrival: float
    """ApproximateArrivalTimestamp, in seconds since the epoch."""
    event: Mapping[str, Any]
    """The record in the function's event."""
    size: int
    """Its size in the event, in bytes."""

    @property
    def position(self) -> int:
        """The sequence number as an integer, for comparisons."""
        return int(self.sequence_number)


@dataclass(frozen=True)
class Response:
    """The data of an invocation that a failure record contains."""

    request_id: str
    status_code: int = 200
    executed_version: str = "$LATEST"
    function_error: str | None = None


@dataclass(frozen=True)
class Batch:
    """Records of a shard, in order, for one invocation."""

    records: tuple[Record, ...]
    retries: int = 0
    """The retries used."""
    invocations: int = 0
    """The invocations with these records, including those of larger batches."""
    response: Response | None = None
    """The last invocation that failed."""

    def __len__(self) -> int:
        return len(self.records)

    def part(self, start: int, end: int | None = None) -> Batch:
        """Return a part of the batch with the same history."""
        return Batch(self.records[start:end], self.retries, self.invocations, self.response)


@dataclass(frozen=True)
class EventTemplate:
    """Creates the records of one mapping."""

    stream_arn: str
    region: str
    role_arn: str

    def record(self, shard_id: str, read: Mapping[str, Any]) -> Record:
        """Convert a record from the response of GetRecords."""
        arrival = float(read["ApproximateArrivalTimestamp"].timestamp())
        event = {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": read["PartitionKey"],
                "sequenceNumber": read["SequenceNumber"],
                "data": base64.b64encode(read["Data"]).decode("ascii"),
                "approximateArrivalTimestamp": round(arrival, 3),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{read['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self.role_arn,
            "awsRegion": self.region,
            "eventSourceARN": self.stream_arn,
        }
        return Record(
            sequence_number=read["SequenceNumber"],
            partition_key=read["PartitionKey"],
            arrival=arrival,
            event=event,
            size=len(json.dumps(event, separators=_SEPARATORS)),
        )


def invocation_payload(records: Iterable[Record]) -> str:
    """Return the payload of an invocation as JSON."""
    return json.dumps({"Records": [each.event for each in records]}, separators=_SEPARATORS)


def batch_length(
    sizes: Sequence[int], batch_size: int, payload_bytes: int = MAX_PAYLOAD_BYTES
) -> int:
    """Return how many records from the start fit into one batch.

    A record larger than the payload quota is a batch of its own.
    """
    total = _EMPTY_EVENT_BYTES
    for count, size in enumerate(sizes[:batch_size]):
        total += size + (1 if count else 0)  # plus a comma
        if count and total > payload_bytes:
            return count
    return min(len(sizes), batch_size)
