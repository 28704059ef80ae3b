"""Records with several readings: decoding, limits, and what one of them means for the others."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs.processor import kpl
from iot_constructs.processor.batches import SLICE_READINGS
from iot_constructs.processor.payloads import MAX_DECOMPRESSED_BYTES, MAX_VALUES
from iot_constructs.processor.readings import MAX_READINGS, Reading, parse_readings
from iot_constructs.processor.records import StreamRecord
from iot_constructs.processor.rejections import InvalidRecordError, Reason

from .aws_fakes import (
    NOW,
    SETTINGS,
    Clock,
    FakeDynamoDB,
    FakeSNS,
    Fault,
    aws_error,
    make_processor,
    make_records,
    sequence,
)
from .payload_kinds import KINDS, dump, kpl_aggregate, seal, value_of

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=300)
ONE = dump({"timestamp": NOW})


def read(data: bytes, **changes: Any) -> list[Reading]:
    [record] = make_records(("d1", data))
    return parse_readings(record, replace(SETTINGS, **changes))


def rejection(data: bytes, **changes: Any) -> InvalidRecordError:
    with pytest.raises(InvalidRecordError) as caught:
        read(data, **changes)
    return caught.value


def lines(count: int) -> bytes:
    return dump(*({"timestamp": NOW + n} for n in range(count)))


@pytest.mark.parametrize(
    ("data", "context"),
    [
        (dump([{"timestamp": "?"}]), "expected"),
        (dump([{"timestamp": NOW}, {"timestamp": "?"}]), "reading 2: expected"),
        (dump({"timestamp": NOW}, {"timestamp": NOW}, {"timestamp": "?"}), "reading 3: expected"),
        (lines(3) + b"\n{", "reading 4: Expecting property name"),
        (lines(3) + b'\n{"timestamp": NaN}', "reading 4: NaN"),
        (kpl_aggregate(("a", lines(2)), ("b", b"?")), "reading 3: Expecting value"),
        (lines(2) + b" 1", "reading 3"),
    ],
)
def test_the_detail_has_the_position_of_a_later_reading(data: bytes, context: str) -> None:
    rejected = rejection(data)
    assert rejected.context.startswith(context)
    assert rejected.detail == f"{rejected.reason.explanation}: {rejected.context}"


def test_a_record_can_have_5000_readings() -> None:
    assert MAX_READINGS == 5_000
    assert len(read(lines(MAX_READINGS))) == MAX_READINGS
    assert rejection(lines(MAX_READINGS + 1)).reason is Reason.TOO_MANY_READINGS
    # Also if the rest is not JSON: the limit ends the work.
    assert rejection(lines(MAX_READINGS + 1) + b"?").reason is Reason.TOO_MANY_READINGS
    users = [("a", lines(MAX_READINGS // 2)), ("b", lines(MAX_READINGS // 2))]
    assert len(read(kpl_aggregate(*users))) == MAX_READINGS
    assert rejection(kpl_aggregate(*users, ("c", lines(1)))).reason is Reason.TOO_MANY_READINGS


def test_a_record_can_decompress_to_10_mib() -> None:
    assert MAX_DECOMPRESSED_BYTES == 10 * 2**20
    half = gzip.compress(ONE.rjust(MAX_DECOMPRESSED_BYTES // 2))
    assert len(read(half + half)) == 2
    assert len(read(kpl_aggregate(("a", half), ("b", half)))) == 2
    one_more = gzip.compress(b" ")
    for data in (half + half + one_more, kpl_aggregate(("a", half), ("b", half), ("c", one_more))):
        assert rejection(data).reason is Reason.DECOMPRESSED_TOO_LARGE


def test_a_record_can_have_250000_values() -> None:
    assert MAX_VALUES == 250_000
    numbers = b'{"timestamp": 1, "v": [%s0]}'
    assert rejection(numbers % (b"0," * (MAX_VALUES - 3))).reason is not Reason.TOO_MANY_VALUES
    assert rejection(numbers % (b"0," * (MAX_VALUES - 2))).reason is Reason.TOO_MANY_VALUES
    nested = rejection(numbers % ((b"[" * 30 + b"]" * 30 + b",") * (MAX_VALUES // 30)))
    assert nested.reason is Reason.TOO_MANY_VALUES
    half = gzip.compress(numbers.replace(b"1", b"1700000000000") % (b"0," * 60_000))
    parts = [("a", half)] * 5
    assert rejection(kpl_aggregate(*parts)).reason is Reason.TOO_MANY_VALUES
    assert len(read(kpl_aggregate(*parts[:4]))) == 4


@pytest.mark.parametrize(
    ("message", "readings"),
    [
        # A field that the format does not have is skipped.
        (kpl_aggregate(("a", ONE), extra=b"\x20\x01\x2a\x01x"), 1),
        (b"\x0a\x01a" + b"\x1a\x03" + b"\x1a\x01x", None),  # no index of a partition key
        (b"\x0a\x01a" + b"\x1a\x02" + b"\x08\x00", None),  # no data
        (b"\x0a\x01a" + b"\x1a\x05" + b"\x08\x01\x1a\x01x", None),  # there is no second key
        (b"\x0a\x01a" + b"\x1a\x04" + b"\x08\x00\x18\x01", None),  # the data is a number
        (b"\x0a\x01a" + b"\x1a\x06" + b"\x0a\x01x\x1a\x01x", None),  # the index is a string
        (b"\x0a\x00" + b"\x1a\x05" + b"\x08\x00\x1a\x01x", None),  # an empty key
        (b"\x0a\x81\x02" + b"a" * 257 + b"\x1a\x05" + b"\x08\x00\x1a\x01x", None),  # a long one
        (b"\x0a\x01\xff" + b"\x1a\x05" + b"\x08\x00\x1a\x01x", None),  # not UTF-8
        (b"\x0a\x01a" + b"\x1a\x05" + b"\x08\x00\x1a\x02x", None),  # longer than the record
        (b"\x0a\x05a", None),  # longer than the message
        (b"\x0a", None),  # no length
        (b"\x0d\x00\x00\x00\x00", None),  # a fixed 32-bit number
    ],
)
def test_the_message_of_an_aggregate(message: bytes, readings: int | None) -> None:
    if readings is not None:
        assert len(read(message)) == readings
    else:
        assert rejection(seal(message)).reason is Reason.KPL_NOT_VALID


def test_a_number_of_an_aggregate_has_up_to_64_bits() -> None:
    endless = seal(b"\x0a" + b"\xff" * 10 + b"\x01")
    assert "more than 64 bits" in rejection(endless).detail


@pytest.mark.parametrize("length", range(20))
def test_an_aggregate_that_is_cut_off(length: int) -> None:
    data = kpl_aggregate(("a", ONE))
    assert rejection(data[: len(kpl.MAGIC) + length]).reason is Reason.KPL_NOT_VALID


@PROPERTY
@given(st.data())
def test_bytes_of_any_kind_are_read_or_rejected(draw: Any) -> None:
    """Nothing but InvalidRecordError: any other exception would hold up the shard."""
    data = bytearray(draw.draw(st.sampled_from([k.data for k in KINDS if len(k.data) < 2000])))
    for position, byte in draw.draw(
        st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4)
    ):
        if position < len(data):
            data[position] = byte
    start = draw.draw(st.sampled_from([b"", b"\x1f\x8b\x08", kpl.MAGIC, b"[", b'{"a":']))
    whole = start + bytes(data)
    if start == kpl.MAGIC:
        whole = seal(bytes(data))
    with suppress(InvalidRecordError):
        assert read(whole, use_arrival_time=True)


def test_the_device_id_is_the_user_records_and_a_mismatch_counts_once_for_a_record() -> None:
    dynamodb = FakeDynamoDB()
    named = [{"timestamp": NOW + n, "deviceId": "d2", "serial": "s1"} for n in range(2)]
    sent = [
        ("x", kpl_aggregate(("d2", dump(*named)), ("d1", dump(*named)))),
        ("d2", dump(*named)),
        ("d3", dump(*named)),
    ]
    outcome = make_processor(dynamodb).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.device_id_mismatches == ["d1", "d3"]
    by_member = make_processor(FakeDynamoDB(), settings=replace(SETTINGS, device_id_field="serial"))
    outcome = by_member.process(make_records(*sent), Clock().remaining_ms)
    assert outcome.device_id_mismatches == []
    # 8 readings of one device, of which 2 differ
    assert (outcome.stored, outcome.duplicates) == (3, 6)


def test_a_record_is_retried_if_one_of_its_readings_fails() -> None:
    hot = Fault(error=aws_error("AccessDenied"))
    dynamodb = FakeDynamoDB(lambda called: hot if called == "statement d2" else None)
    named = [{"timestamp": NOW, "deviceId": f"d{n}"} for n in range(4)]
    sent = [("a", dump(named[0])), ("b", dump(named[1:])), ("c", b"?")]
    processor = make_processor(dynamodb, settings=replace(SETTINGS, device_id_field="deviceId"))
    outcome = processor.process(make_records(*sent), Clock().remaining_ms)
    assert (outcome.retry_from, outcome.stored, outcome.failed) == (sequence(1), 1, 2)


class Watched(StreamRecord):
    """Notes when it is decoded."""

    decoded: list[str]

    @property
    def data(self) -> bytes:
        Watched.decoded.append(self.sequence_number)
        return super().data


def slices(sent: Sequence[tuple[str, object]]) -> list[int]:
    """How many records each slice has; fails if one is decoded before the slice before it is stored."""
    Watched.decoded = []
    seen: list[int] = []

    class Sns(FakeSNS):
        def publish_batch(self, **request: Any) -> dict[str, Any]:
            seen.append(len(Watched.decoded))
            return super().publish_batch(**request)

    # Each slice publishes once, since a record in it is rejected.
    records = [Watched(**vars(record)) for record in make_records(*sent)]
    outcome = make_processor(FakeDynamoDB(), Sns()).process(records, Clock().remaining_ms)
    assert outcome.retry_from is None
    return [after - before for before, after in zip([0, *seen], seen, strict=False)]


BAD = ("bad", b"?")


def test_a_slice_has_up_to_500_readings() -> None:
    assert SLICE_READINGS == 500
    hundred = ("d1", lines(100))
    assert slices([BAD, *[hundred] * 4, ("d2", lines(99)), BAD, hundred]) == [6, 2]


@pytest.mark.parametrize(
    "large",
    [
        value_of(f"[{'0,' * 100_000}0]"),
        value_of(f"[{'[],' * 50_000}0]"),
        gzip.compress(b" " * 5_000_000 + dump({"timestamp": NOW})),
    ],
    ids=["commas", "brackets", "decompressed"],
)
def test_a_slice_takes_no_more_than_a_record_may(large: bytes) -> None:
    """The third of them does not fit, so it is read again for the next slice."""
    assert slices([BAD, *[("d1", large)] * 4, BAD]) == [1 + 2 + 1, 2 + 1]


def test_a_rejected_record_takes_no_room() -> None:
    too_many = gzip.compress(b"0," * (MAX_VALUES + 1))
    sns = FakeSNS()
    records = make_records(*[("d1", too_many)] * 8, ("d1", ONE), BAD)
    outcome = make_processor(FakeDynamoDB(), sns).process(records, Clock().remaining_ms)
    assert (outcome.stored, outcome.rejected.total(), sns.calls) == (1, 9, [9])
