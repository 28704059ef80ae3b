"""The memory that one invocation allocates, whatever devices send in 6 MB."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any

import pytest

from iot_constructs import _defaults as defaults
from iot_constructs.processor.batches import Processor

from .aws_fakes import NOW, SETTINGS, make_records
from .payload_kinds import dump, value_of

LARGEST_MIB = 200
"""Python and botocore take 75 MB, and the event with its records up to 45 MB."""
RECORD_BYTES = 128 * 1024  # of a message to AWS IoT Core: iot-core.html#message-broker-limits


class Sink:
    """Accepts everything, and keeps nothing."""

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        return {}

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        return {"Responses": [{}] * len(request["Statements"])}

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
        (values("[]", RECORD_BYTES), 12),
        (values("1", RECORD_BYTES), 8),
        (values("[" * 28 + "]" * 28, 2_000_000), 1),
        (values("1", RECORD_BYTES) + b"?", 6),
        (gzip.compress(b" " * 10_000_000 + b"?"), 10),
        (gzip.compress(b" " * 10_000_000 + dump({"timestamp": NOW, "text": "x" * 390_000})), 5),
    ],
    ids=["lists", "numbers", "one nested", "rejected at the end", "gzip rejected", "gzip"],
)
def test_the_memory_is_bounded(data: bytes, records: int) -> None:
    assert defaults.MEMORY_MB - LARGEST_MIB >= 2 * (75 + 45)
    batch = make_records(*[("d1", data)] * records)
    processor = Processor(Sink(), Sink(), SETTINGS)
    tracemalloc.start()
    try:
        outcome = processor.process(batch, lambda: 10**9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome.retry_from is None
    assert peak < LARGEST_MIB * 2**20
