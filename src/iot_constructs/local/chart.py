"""Draws the readings of one device as text, from a query of the time-series table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60
"""Characters of a line; each stands for the mean of as many readings."""


def query_measurements(dynamodb: Any, table: str, device_id: str) -> dict[str, list[Decimal]]:
    """Return the numbers in all readings of a device by name, each ordered by timestamp."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="deviceId = :device",
        ExpressionAttributeValues={":device": {"S": device_id}},
        ScanIndexForward=True,
    )
    found: dict[str, list[Decimal]] = defaultdict(list)
    for page in pages:
        for item in page["Items"]:
            for name, value in item.get("reading", {}).get("M", {}).items():
                if "N" in value and name != "timestamp":
                    found[name].append(Decimal(value["N"]))
    return dict(found)


def draw(values: Sequence[Decimal]) -> str:
    """Return a line of bars, the lowest value as the lowest bar."""
    width = min(WIDTH, len(values))
    edges = [len(values) * at // width for at in range(width + 1)]
    means = [float(sum(values[a:b])) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    top = len(BARS) - 1
    return "".join(BARS[round((each - low) / span * top) if span else 0] for each in means)
