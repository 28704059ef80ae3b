"""The tables of one run, and what has to be in them afterwards."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bench.processor.emulator import client
from bench.processor.workload import FIRST_ARRIVAL_MS, METRICS, Reading, fleet

RETENTION_SECONDS = 365 * 24 * 60 * 60
_ITEMS_PER_CALL = 25


@dataclass(frozen=True)
class Tables:
    """Both tables and the topic, empty but for the states of the devices."""

    url: str
    suffix: str

    @property
    def series(self) -> str:
        """The name of the time-series table."""
        return f"iot-sensor-metrics-{self.suffix}"

    @property
    def states(self) -> str:
        """The name of the device-state table."""
        return f"iot-device-state-{self.suffix}"

    def environment(self) -> dict[str, str]:
        """The variables that tell a function of them."""
        return {
            "DEVICE_STATE_TABLE_NAME": self.states,
            "TIME_SERIES_TABLE_NAME": self.series,
            "TIME_SERIES_RETENTION_SECONDS": str(RETENTION_SECONDS),
            "DLQ_TOPIC_ARN": f"arn:aws:sns:eu-central-1:000000000000:dlq-{self.suffix}",
            "POWERTOOLS_SERVICE_NAME": "stream-processor",
            "POWERTOOLS_METRICS_NAMESPACE": "IotPipeline",
        }

    def items(self, table: str) -> list[dict[str, Any]]:
        """All of them, as DynamoDB writes them."""
        pages = client("dynamodb", self.url).get_paginator("scan").paginate(TableName=table)
        return [item for page in pages for item in page["Items"]]


@dataclass(frozen=True)
class Found:
    """What a contender's tables hold, against what was sent."""

    rows: int
    rows_expected: int
    wrong_states: int
    """Devices whose state is not their newest reading."""

    @property
    def rows_lost(self) -> int:
        """Rows that were written and are not there."""
        return self.rows_expected - self.rows


def create(dynamodb: Any, series: str, states: str) -> None:
    """Creates both tables with the keys that the example's have."""
    for table, keys in ((series, ("deviceId", "timestamp")), (states, ("deviceId",))):
        dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S" if name == "deviceId" else "N"}
                for name in keys
            ],
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )


@contextmanager
def made_tables(url: str, *, known_devices: bool = True) -> Iterator[Tables]:
    """Makes the tables; with `known_devices` each device has sent something an hour before."""
    dynamodb = client("dynamodb", url)
    tables = Tables(url, uuid.uuid4().hex[:8])
    create(dynamodb, tables.series, tables.states)
    earlier = str(FIRST_ARRIVAL_MS - 3_600_000)
    states = [{"deviceId": {"S": device}, "timestamp": {"N": earlier}} for device in fleet()]
    for start in range(0, len(states) if known_devices else 0, _ITEMS_PER_CALL):
        puts = [{"PutRequest": {"Item": s}} for s in states[start : start + _ITEMS_PER_CALL]]
        dynamodb.batch_write_item(RequestItems={tables.states: puts})
    try:
        yield tables
    finally:
        for table in (tables.series, tables.states):
            dynamodb.delete_table(TableName=table)


def compare(tables: Tables, sent: list[Reading], *, rows_per_reading: int) -> Found:
    """Counts rows and states. How a row looks differs; the key and the numbers are the payload's."""
    newest: dict[str, Reading] = {}
    for reading in sent:
        known = newest.get(reading.device_id)
        if known is None or known.payload["timestamp"] < reading.payload["timestamp"]:
            newest[reading.device_id] = reading
    states = {item["deviceId"]["S"]: item for item in tables.items(tables.states)}
    wrong = [
        device
        for device, reading in newest.items()
        if device not in states or not _shows(states[device], reading)
    ]
    rows = Counter(
        (item["deviceId"]["S"], int(Decimal(item["timestamp"]["N"])))
        for item in tables.items(tables.series)
    )
    expected = {(reading.device_id, reading.payload["timestamp"]) for reading in sent}
    if set(rows) != expected:
        raise RuntimeError(
            f"{len(expected - set(rows))} of {len(expected)} readings are missing and "
            f"{len(set(rows) - expected)} are there that were not sent; the bench measures nothing"
        )
    return Found(rows.total(), len(sent) * rows_per_reading, len(wrong))


def _shows(state: dict[str, Any], reading: Reading) -> bool:
    content = state["reading"]["M"] if "reading" in state else state
    metrics = content.get("metrics", {}).get("M", {})
    return int(Decimal(content["timestamp"]["N"])) == reading.payload["timestamp"] and all(
        Decimal(metrics[name]["N"]) == Decimal(str(reading.payload["metrics"][name]))
        for name in METRICS
    )
