"""The shortest function: for each record, the reading and the state of its device, whatever is there."""

from __future__ import annotations

from typing import Any

from bench.processor.contenders.tables import SERIES, STATES, parse


def handler(event: dict[str, Any], _context: object) -> None:
    """Store each record, one call after the other."""
    for record in event["Records"]:
        reading = parse(record["kinesis"]["data"])["reading"]
        SERIES.put_item(Item=reading)
        STATES.put_item(Item=reading)
