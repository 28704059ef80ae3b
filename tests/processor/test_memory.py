"""The memory of records that are rejected. test_payloads.py holds what a slice takes."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any

import pytest

from iot_constructs.processor.batches import Processor

from .aws_fakes import SETTINGS, make_records
from .payload_kinds import value_of

LARGEST_MIB = 60
"""Less than what is rejected here would take if it was decoded, or if it was kept."""


class Sink:
    """Accepts everything, and keeps nothing."""

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        return {}

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        return {"Responses": [{}] * len(request["Statements"])}

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        return {"Responses": {}}

    def put_item(self, **request: Any) -> dict[str, Any]:
        return {}

    def publish_batch(self, **request: Any) -> dict[str, Any]:
        return {}


def values(value: str, size: int) -> bytes:
    count = size // (len(value) + 1) - 20
    return value_of(f"[{f'{value},' * count}0]")


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (values("[" * 28 + "]" * 28, 1_000_000), 1),
        (gzip.compress(b" " * 10_000_000 + b"?"), 6),
    ],
    ids=["nested", "gzip rejected"],
)
def test_rejected_records_take_little_memory(data: bytes, records: int) -> None:
    batch = make_records(*[("d1", data)] * records)
    processor = Processor(Sink(), Sink(), SETTINGS)
    tracemalloc.start()
    try:
        outcome = processor.process(batch, lambda: 10**9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome.rejected.total() == records
    assert peak < LARGEST_MIB * 2**20
