"""Kinesis records as Lambda hands them to a function, and batches of them.

The shape of an event is that of "Using Lambda to process records from Amazon Kinesis Data Streams"
(lambda/latest/dg/with-kinesis.html), which also names the payload limit of 6 MB.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# "Invocation payload (request and response): 6 MB each for synchronous"
# (lambda/latest/dg/gettingstarted-limits.html).
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
    """The record as the function gets it."""
    size: int
    """The bytes it takes in the event."""

    @property
    def position(self) -> int:
        """Where in its shard the record is: sequence numbers are compared as numbers."""
        return int(self.sequence_number)


@dataclass(frozen=True)
class Response:
    """What of an invocation goes into a failure record."""

    request_id: str
    status_code: int = 200
    executed_version: str = "$LATEST"
    function_error: str | None = None


@dataclass(frozen=True)
class Batch:
    """Records in the order of their shard that are invoked together."""

    records: tuple[Record, ...]
    retries: int = 0
    """How many of the mapping's retries are used up."""
    invocations: int = 0
    """How often the function has run with these records, as part of larger batches too."""
    response: Response | None = None
    """The last invocation that failed."""

    def __len__(self) -> int:
        return len(self.records)

    def part(self, start: int, end: int | None = None) -> Batch:
        """Some of its records, with the same history."""
        return Batch(self.records[start:end], self.retries, self.invocations, self.response)


@dataclass(frozen=True)
class EventTemplate:
    """What the records of one mapping have in common."""

    stream_arn: str
    region: str
    role_arn: str

    def record(self, shard_id: str, read: Mapping[str, Any]) -> Record:
        """A record as GetRecords of boto3 returns it."""
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


def event_of(records: Iterable[Record]) -> str:
    """The payload of an invocation, as JSON text."""
    return json.dumps({"Records": [each.event for each in records]}, separators=_SEPARATORS)


def batch_length(
    sizes: Sequence[int], batch_size: int, payload_bytes: int = MAX_PAYLOAD_BYTES
) -> int:
    """How many records from the start make one batch.

    A record that alone is larger than the payload limit is a batch of its own: nothing is gained by
    never trying it.
    """
    total = _EMPTY_EVENT_BYTES
    for count, size in enumerate(sizes[:batch_size]):
        total += size + (1 if count else 0)  # and the comma
        if count and total > payload_bytes:
            return count
    return min(len(sizes), batch_size)
