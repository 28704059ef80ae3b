"""The tables of one contender, and what has to be in them afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bench.processor.emulator import client
from bench.processor.workload import FIRST_ARRIVAL_MS, Reading, fleet

RETENTION_SECONDS = 365 * 24 * 60 * 60


@dataclass(frozen=True)
class Tables:
    """Both tables and the topic."""

    url: str
    series: str
    states: str

    def environment(self) -> dict[str, str]:
        """The variables that tell a function of them."""
        return {
            "DEVICE_STATE_TABLE_NAME": self.states,
            "TIME_SERIES_TABLE_NAME": self.series,
            "TIME_SERIES_RETENTION_SECONDS": str(RETENTION_SECONDS),
            "DLQ_TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:dlq",
            "POWERTOOLS_SERVICE_NAME": "stream-processor",
        }

    def check(self, sent: list[Reading]) -> None:
        """Raise RuntimeError unless the tables have each reading, and the newest one of each device as its state."""
        keys = sorted((reading.device_id, reading.payload["timestamp"]) for reading in sent)
        rows = sorted(_key(item) for item in self._items(self.series))
        if rows != keys:
            raise RuntimeError(f"{len(rows)} rows are not the {len(sent)} readings that were sent")
        states = dict(_key(item) for item in self._items(self.states) if "reading" in item)
        if states != dict(keys):  # the last one of each device
            raise RuntimeError("the states are not the newest readings")

    def _items(self, table: str) -> list[dict[str, Any]]:
        pages = client("dynamodb", self.url).get_paginator("scan").paginate(TableName=table)
        return [item for page in pages for item in page["Items"]]


def _key(item: dict[str, Any]) -> tuple[str, int]:
    return item["deviceId"]["S"], int(Decimal(item["timestamp"]["N"]))


def create(dynamodb: Any, series: str, states: str) -> None:
    """Create both tables with the keys that the constructs give them."""
    device_id, time = ("deviceId", "S", "HASH"), ("timestamp", "N", "RANGE")
    for table, keys in ((series, (device_id, time)), (states, (device_id,))):
        dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": type} for name, type, _ in keys
            ],
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, _, kind in keys],
        )


@contextmanager
def made_tables(url: str) -> Iterator[Tables]:
    """Make the tables. Each device has sent something an hour before, as in a pipeline that has been running."""
    dynamodb = client("dynamodb", url)
    suffix = uuid.uuid4().hex[:8]
    tables = Tables(url, f"iot-sensor-metrics-{suffix}", f"iot-device-state-{suffix}")
    create(dynamodb, tables.series, tables.states)
    earlier = str(FIRST_ARRIVAL_MS - 3_600_000)
    states = [{"deviceId": {"S": device}, "timestamp": {"N": earlier}} for device in fleet()]
    for state in states:
        dynamodb.put_item(TableName=tables.states, Item=state)
    try:
        yield tables
    finally:
        for table in (tables.series, tables.states):
            dynamodb.delete_table(TableName=table)
