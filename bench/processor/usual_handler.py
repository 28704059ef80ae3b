"""The usual function: record after record, one call after the other."""

from __future__ import annotations

from typing import Any

from bench.processor.three_puts import store


def handler(event: dict[str, Any], _context: Any) -> None:
    """Stores each record."""
    for record in event["Records"]:
        store(record["kinesis"]["data"])
