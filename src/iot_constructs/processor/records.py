"""A Kinesis record in a Lambda event (lambda/latest/dg/with-kinesis.html)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The `eventSourceARN` in an event of `iot-constructs redrive` for a record that never reached a stream.
NO_STREAM = "none"


@dataclass(frozen=True)
class StreamRecord:
    """A record with what the processor needs of it."""

    partition_key: str
    """The device ID, if an IoT rule takes it from the topic, which the device's IoT policy
    restricts. A device ID in the payload is not authenticated."""
    sequence_number: str
    shard_id: str
    stream_arn: str
    arrival: float
    """ApproximateArrivalTimestamp, in epoch seconds."""
    data_base64: str

    @property
    def data(self) -> bytes:
        """The payload."""
        return base64.b64decode(self.data_base64)

    @property
    def is_on_stream(self) -> bool:
        """Whether it reached the stream; otherwise shard and sequence number are substitutes."""
        return self.stream_arn != NO_STREAM

    @classmethod
    def from_event(cls, raw: Mapping[str, Any]) -> StreamRecord:
        """Read a member of the event's `Records`."""
        kinesis = raw["kinesis"]
        return cls(
            partition_key=kinesis["partitionKey"],
            sequence_number=kinesis["sequenceNumber"],
            shard_id=raw["eventID"].partition(":")[0],
            stream_arn=raw["eventSourceARN"],
            arrival=float(kinesis["approximateArrivalTimestamp"]),
            data_base64=kinesis["data"],
        )
