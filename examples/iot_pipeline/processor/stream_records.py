"""One Kinesis record as Lambda hands it over.

Plain code instead of Powertools' data classes: importing those costs more at a cold start than
these lines (the field names are those of lambda/latest/dg/with-kinesis.html).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StreamRecord:
    device_id: str
    """The partition key. The IoT rule takes it from the topic, which the device's policy limits,
    so it is the only identity to trust; the payload holds what the device claims (FACTS 12)."""
    sequence_number: str
    shard_id: str
    stream_arn: str
    arrival: float
    """When the stream accepted the record, in epoch seconds."""
    data_base64: str

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.data_base64)

    @classmethod
    def from_event(cls, raw: Mapping[str, Any]) -> StreamRecord:
        kinesis = raw["kinesis"]
        return cls(
            device_id=kinesis["partitionKey"],
            sequence_number=kinesis["sequenceNumber"],
            shard_id=raw["eventID"].partition(":")[0],
            stream_arn=raw["eventSourceARN"],
            arrival=float(kinesis["approximateArrivalTimestamp"]),
            data_base64=kinesis["data"],
        )
