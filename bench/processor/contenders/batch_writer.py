"""boto3's `batch_writer` for the readings, and a conditional put for the newest reading of each device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.processor.contenders.tables import SERIES, THREADS, parse, put_state


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Store the records before the first one that cannot be read; Lambda retries from there."""
    items, failures = [], []
    for record in event["Records"]:
        try:
            items.append(parse(record["kinesis"]["data"]))
        except (ValueError, KeyError, TypeError):
            failures = [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]
            break
    try:
        _store(items)
    except Exception:
        first = event["Records"][0]["kinesis"]["sequenceNumber"]
        failures = [{"itemIdentifier": first}]
    return {"batchItemFailures": failures}


def _store(items: list[dict[str, Any]]) -> None:
    with SERIES.batch_writer(overwrite_by_pkeys=["deviceId", "timestamp"]) as writer:
        for item in items:
            writer.put_item(Item=item)
    newest: dict[str, dict[str, Any]] = {}
    for item in items:
        known = newest.get(item["deviceId"])
        if known is None or known["timestamp"] < item["timestamp"]:
            newest[item["deviceId"]] = item
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(put_state, newest.values()))
