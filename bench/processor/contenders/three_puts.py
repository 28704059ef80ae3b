"""The usual function: for each record, its state whatever is there, and a row for each of its two metrics.

The second metric has the key of the first and replaces it, as in the pipeline that many have copied.
"""

from __future__ import annotations

from typing import Any

from bench.processor.contenders.tables import SERIES, STATES, parse


def handler(event: dict[str, Any], _context: object) -> None:
    """Store each record, one call after the other."""
    for record in event["Records"]:
        item = parse(record["kinesis"]["data"])
        STATES.put_item(Item=item["reading"])
        for name, value in item["reading"]["metrics"].items():
            key = {each: item[each] for each in ("deviceId", "timestamp", "ttl")}
            SERIES.put_item(Item={**key, "metricName": name, "value": value})
