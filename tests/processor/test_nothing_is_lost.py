"""Random batches with random faults: the test accounts for every record."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from dataclasses import replace
from decimal import Context, Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs.processor.dead_letters import decode_payload

from .aws_fakes import (
    NOW,
    SERIES,
    SETTINGS,
    Clock,
    FakeDynamoDB,
    FakeSNS,
    Fault,
    aws_error,
    group_by_device,
    make_processor,
    make_records,
)
from .payload_kinds import dump, kpl_aggregate

DEVICES = ["d1", "d2", "d3"]
READINGS = st.fixed_dictionaries(
    {
        # Few values make duplicates and readings of one millisecond common.
        "timestamp": st.sampled_from([NOW, NOW + 1, NOW + 2, NOW - 5000, NOW // 1000]),
        "value": st.sampled_from([1, 1.5, "a", None]),
    },
    optional={"deviceId": st.sampled_from(DEVICES)},
)
Sent = tuple[str, bytes, list[tuple[str, dict[str, Any]]]]
"""The partition key and the data of a record, and what is to be stored of it for which device."""


def pack(device: str, readings: list[dict[str, Any]], format: str) -> Sent:
    named = [(device, reading) for reading in readings]
    if format == "KPL":
        named = list(zip(DEVICES, readings, strict=False))
        return device, kpl_aggregate(*((name, dump(reading)) for name, reading in named)), named
    if format == "gzip":
        return device, gzip.compress(dump(*readings)), named
    return device, dump(readings) if format == "array" else dump(*readings), named


GARBAGE = st.sampled_from(
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"timestamp": NaN}',
        b'{"timestamp": 1}',
        # Its first reading must not be stored: no other record has this value.
        dump({"timestamp": NOW, "value": "never"}, 1),
    ]
)
RECORDS = st.builds(
    pack,
    st.sampled_from(DEVICES),
    st.lists(READINGS, min_size=1, max_size=3),
    st.sampled_from(["lines", "array", "gzip", "KPL"]),
)
SENT = st.lists(
    RECORDS | st.tuples(st.sampled_from(DEVICES), GARBAGE, st.just([])), min_size=1, max_size=50
)

THROTTLED = aws_error("ThrottlingException")
FAULTS: dict[str, list[Fault | None]] = {
    "batch_write_item": [
        None,
        Fault(error=THROTTLED),
        Fault(error=TimeoutError()),
        Fault(error=TimeoutError(), after=True),
        Fault(error=aws_error("ValidationException", "for no reason")),
        Fault(leaves=lambda index: index % 2 == 0),
        Fault(leaves=lambda index: index == 3),
        Fault(leaves=lambda index: True),
    ],
    "put_item": [
        None,
        Fault(error=THROTTLED),
        Fault(error=aws_error("AccessDeniedException")),
        Fault(error=ConnectionError(), after=True),
    ],
    "batch_execute_statement": [
        None,
        Fault(error=THROTTLED),
        Fault(error=aws_error("AccessDeniedException")),
        Fault(error=ConnectionError(), after=True),
    ],
    "statement": [
        None,
        Fault(error=aws_error("ThrottlingError")),
        Fault(error=aws_error("ThrottlingError"), after=True),
        Fault(error=aws_error("AccessDenied")),
        Fault(error=aws_error("TransactionConflict")),
    ],
    "batch_get_item": [
        None,
        Fault(error=THROTTLED),
        Fault(error=TimeoutError(), after=True),
        Fault(leaves=lambda index: index % 2 == 0),
    ],
    "publish_batch": [
        None,
        Fault(error=THROTTLED),
        Fault(error=TimeoutError(), after=True),
        Fault(leaves=lambda index: index % 3 == 1),
        Fault(leaves=lambda index: True),
    ],
}


class FaultPlan:
    """A finite sequence of faults that does not depend on the order of concurrent calls."""

    def __init__(self, plan: list[int], clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._calls: Counter[str] = Counter()

    def __call__(self, called: str) -> Fault | None:
        number = self._calls[called]
        self._calls[called] += 1
        if number >= len(self._plan):
            return None
        drawn = self._plan[(number + zlib.crc32(called.encode())) % len(self._plan)]
        if called == "batch_write_item" and drawn % 5 == 4:
            self._clock.remaining -= 8_000
        faults = FAULTS[called.split(maxsplit=1)[0]]
        return faults[drawn % len(faults)]


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(
    SENT,
    st.lists(st.integers(0, 1000), max_size=12),
    st.sampled_from([3_000, 25_000, 60_000]),
    st.sampled_from([None, 1]),
)
def test_each_record_is_stored_published_or_retried(
    sent: list[Sent], plan: list[int], timeout_ms: int, interval: int | None
) -> None:
    clock = Clock()
    faults = FaultPlan(plan, clock)
    dynamodb, sns = FakeDynamoDB(faults), FakeSNS(faults)
    of = replace(SETTINGS, device_state_interval_seconds=interval)
    processor = make_processor(dynamodb, sns, clock, of)
    records = make_records(*((key, data) for key, data, _ in sent))
    stored = rejected = 0
    position = 0  # as Lambda does, retry from the checkpoint
    for _ in range(200):
        clock.remaining = timeout_ms
        outcome = processor.process(records[position:], clock.remaining_ms)
        done = len(records) - outcome.failed
        if outcome.retry_from is not None:
            assert outcome.retry_from == records[done].sequence_number
        assert outcome.stored + outcome.rejected.total() == done - position
        for (_, data, readings), record in list(zip(sent, records, strict=True))[position:done]:
            if not readings:
                assert data in published(sns, record.sequence_number)
            for device, reading in readings:
                assert is_stored(dynamodb, device, reading)
        stored += outcome.stored
        rejected += outcome.rejected.total()
        position = done
        if position == len(records):
            break
    assert position == len(records), "no progress after the faults ended"

    garbage = sum(not readings for _, _, readings in sent)
    assert (stored, rejected) == (len(sent) - garbage, garbage)
    # Only garbage is published, and each distinct reading is stored exactly once.
    assert len(sns.reasons()) == garbage
    different = {(d, json.dumps(r, sort_keys=True)) for _, _, named in sent for d, r in named}
    series = group_by_device(dynamodb.items(SERIES))
    assert sum(map(len, series.values())) == len(different)
    for device, items in series.items():
        newest = max(Decimal(item["timestamp"]) for item in items)
        state = dynamodb.state(device)
        [stored_as] = [item for item in items if item["timestamp"] == state["timestamp"]]
        assert state["reading"] == stored_as["reading"]
        allowed_ms = 0 if interval is None else interval * 1000
        assert state["timestamp"] >= Context(prec=60).subtract(newest, Decimal(allowed_ms))


def published(sns: FakeSNS, sequence_number: str) -> list[bytes | None]:
    return [decode_payload(m) for m in sns.messages if m["sequenceNumber"] == sequence_number]


def is_stored(dynamodb: FakeDynamoDB, device: str, reading: dict[str, Any]) -> bool:
    sent = json.loads(json.dumps(reading), parse_float=Decimal)
    return any(
        item["deviceId"] == device and item["reading"] == sent for item in dynamodb.items(SERIES)
    )
