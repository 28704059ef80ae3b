"""Draws a chart of one device's readings from a query of the time-series table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

MEASUREMENTS = {
    "temperature": "temperature (°C)",
    "humidity": "humidity (%)",
    "battery": "battery (V)",
}
COLORS = {"temperature": "#b3470b", "humidity": "#1b6ca8", "battery": "#3b7a3f"}


@dataclass(frozen=True)
class Point:
    """One reading of a device."""

    time: datetime
    values: dict[str, float]


def query_readings(dynamodb: Any, table: str, device_id: str) -> list[Point]:
    """Return all readings of a device, ordered by timestamp."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="deviceId = :device",
        ExpressionAttributeValues={":device": {"S": device_id}},
        ScanIndexForward=True,
    )
    points = []
    for page in pages:
        for item in page["Items"]:
            reading = item["reading"]["M"]
            seconds = float(Decimal(item["timestamp"]["N"]) / 1000)
            values = {
                name: float(reading[name]["N"])
                for name in MEASUREMENTS
                if "N" in reading.get(name, {})
            }
            points.append(Point(datetime.fromtimestamp(seconds, timezone.utc), values))
    return points


def draw(points: list[Point], device_id: str, table: str, file: Path) -> Path:
    """Write a chart of the readings to a PNG file."""
    # Imported here because the import takes a second.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import DateFormatter
    from matplotlib.figure import Figure

    time_of_day = DateFormatter("%H:%M", tz=timezone.utc)  # type: ignore[no-untyped-call]
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(MEASUREMENTS), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, label) in zip(axes, MEASUREMENTS.items(), strict=True):
        known = [point for point in points if name in point.values]
        axis.plot(
            [point.time for point in known],
            [point.values[name] for point in known],
            marker=".",
            linewidth=1.2,
            color=COLORS[name],
        )
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_title(f"{device_id}: {len(points)} readings from {table}")
    axes[-1].xaxis.set_major_formatter(time_of_day)
    axes[-1].set_xlabel("UTC")
    file.parent.mkdir(parents=True, exist_ok=True)
    # The rename is atomic: two runs can share a directory.
    partial = file.with_name(f".{file.stem}.{os.getpid()}.png")
    figure.savefig(partial, dpi=110)
    partial.replace(file)
    return file
