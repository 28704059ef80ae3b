"""Parsing and validation of payloads."""

from __future__ import annotations

import json
import math
import string
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs.processor.attribute_values import (
    number,
    stored_number_size,
    stored_size,
    to_attribute_value,
)
from iot_constructs.processor.readings import Reading, compute_sort_key, parse_readings
from iot_constructs.processor.rejections import InvalidRecordError, Reason
from iot_constructs.processor.settings import Settings
from iot_constructs.processor.time_series import time_series_item

from .aws_fakes import ARRIVAL, DAY, NOW, RETENTION, SETTINGS, make_records, plain

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=150)


def read(payload: object, device_id: str = "d1", arrival: float = ARRIVAL) -> Reading:
    [record] = make_records((device_id, payload), arrival=arrival)
    [reading] = parse_readings(record, SETTINGS)
    return reading


def timestamped(text: str) -> bytes:
    return f'{{"timestamp": {NOW}, "value": {text}}}'.encode()


def nested(levels: int) -> bytes:
    """A payload whose innermost value is `levels` below the payload's attribute."""
    return timestamped("[" * (levels - 1) + "1" + "]" * (levels - 1))


def payload_of_item_size(size: int) -> dict[str, object]:
    """A payload whose time-series item DynamoDB counts as `size` bytes, if the device is d1."""
    full_length = 17  # bytes of a sort key, unless it ends in zeros, which DynamoDB removes
    names = len("deviceId" + "d1" + "timestamp" + "ttl" + "reading")
    expires = stored_number_size(Decimal(read({"timestamp": NOW}).expires_at or 0))
    empty = stored_size(to_attribute_value({"timestamp": Decimal(NOW), "text": ""})[0])
    for filler in string.ascii_lowercase:
        text = filler * (size - names - full_length - expires - empty)
        _, canonical = to_attribute_value({"timestamp": Decimal(NOW), "text": text})
        if stored_number_size(compute_sort_key(NOW, canonical)) == full_length:
            return {"timestamp": NOW, "text": text}
    raise AssertionError("every sort key ends in zeros")


# Besides those of payload_kinds.py.
REJECTED: list[tuple[str, object, Reason]] = [
    ("cut off", b'{"timestamp": 17', Reason.NOT_JSON),
    ("control character", timestamped('"\x01"'), Reason.NOT_JSON),
    ("NUL between values", b'{"timestamp": 1700000000000}\x00{}', Reason.NOT_JSON),
    ("array closed twice", b"[{}]]", Reason.NO_TIMESTAMP),
    ("bracket alone", b"[", Reason.NOT_JSON),
    ("comma and nothing", b'[{"timestamp": 1700000000000},', Reason.NOT_JSON),
    ("element without a comma", b'[{"timestamp": 1700000000000} {}]', Reason.NOT_JSON),
    (
        "element after another sign",
        b'[{"timestamp": 1700000000};{"timestamp": 1700000000}]',
        Reason.NOT_JSON,
    ),
    ("empty array later", b'{"timestamp": 1700000000000} []', Reason.EMPTY_ARRAY),
    ("inner Infinity", timestamped("[Infinity]"), Reason.NOT_FINITE),
    ("-Infinity as timestamp", b'{"timestamp": -Infinity}', Reason.NOT_FINITE),
    ("inner member twice", timestamped('{"v": 1, "v": 1}'), Reason.DUPLICATE_MEMBER),
    ("inner empty name", {"timestamp": NOW, "v": [{"": 1}]}, Reason.EMPTY_NAME),
    ("clock ahead", {"timestamp": NOW + DAY * 1000 + 1}, Reason.TIMESTAMP_IN_THE_FUTURE),
    ("absurd clock", b'{"timestamp": 1e125}', Reason.TIMESTAMP_IN_THE_FUTURE),
    ("zero", {"timestamp": 0}, Reason.TIMESTAMP_BEFORE_RETENTION),
    ("negative", {"timestamp": -1e12}, Reason.TIMESTAMP_BEFORE_RETENTION),
    ("39 digits, fraction", timestamped("0." + "1" * 39), Reason.NUMBER_OUT_OF_RANGE),
    ("5000 digits", timestamped("1" * 5000), Reason.NUMBER_OUT_OF_RANGE),
    ("too small", timestamped("-1e-131"), Reason.NUMBER_OUT_OF_RANGE),
    ("no exponent at all", timestamped("1e" + "9" * 30), Reason.NUMBER_OUT_OF_RANGE),
    ("lone surrogate in a name", timestamped('{"\\udc00": 1}'), Reason.LONE_SURROGATE),
    ("33 levels", nested(33 - 1), Reason.TOO_DEEP),
    ("100000 levels", nested(100_000), Reason.TOO_DEEP),
    ("100000 arrays", b"[" * 100_000, Reason.TOO_DEEP),
]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [pytest.param(payload, reason, id=name) for name, payload, reason in REJECTED],
)
def test_invalid_payload_is_rejected(payload: object, reason: Reason) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        read(payload)
    assert caught.value.reason is reason
    assert caught.value.detail.startswith(reason.explanation)
    assert len(caught.value.detail) < 1000


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ("1" * 38, "1" * 38),
        ("1" + "0" * 60, "1E+60"),
        ("-9.9999999999999999999999999999999999999e125",) * 2,
        ("1e-130", "1E-130"),
        ("-0.0", "0"),
        ("0e500", "0"),
    ],
)
def test_numbers_are_stored_exactly(text: str, stored: str) -> None:
    value = read(timestamped(text)).content["M"]["value"]
    assert value == {"N": stored} or Decimal(value["N"]) == Decimal(stored)
    assert Decimal(value["N"]) == Decimal(text)


def test_every_json_type_survives() -> None:
    payload = {
        "timestamp": NOW,
        "text": "Grüße \U0001f680\u0000",
        "empty": "",
        "yes": True,
        "no": False,
        "nothing": None,
        "list": [1, [], {}, "a", [None]],
        "map": {"inner": {"value": -2.5}},
    }
    item = plain(time_series_item(read(payload)))
    assert item["reading"] == json.loads(json.dumps(payload), parse_float=Decimal)


def test_members_of_the_payload_cannot_overwrite_the_items_own_attributes() -> None:
    reading = read({"timestamp": NOW, "ttl": 1, "deviceId": "someone-else", "reading": 2})
    item = plain(time_series_item(reading))
    assert set(item) == {"deviceId", "timestamp", "ttl", "reading"}
    assert item["deviceId"] == "d1"
    assert item["ttl"] == ARRIVAL + RETENTION
    assert item["reading"]["ttl"] == 1
    assert item["reading"]["deviceId"] == "someone-else"


@pytest.mark.parametrize(
    ("members", "mismatch"),
    [
        ({}, False),
        ({"deviceId": None}, False),
        ({"deviceId": "1200"}, False),
        ({"deviceId": 1200}, False),
        ({"deviceId": "d2"}, True),
        ({"deviceId": 1200.5}, True),
        ({"deviceId": ""}, True),
        ({"deviceId": ["1200"]}, True),
    ],
)
def test_device_id_in_the_payload_is_compared_with_the_partition_key(
    members: dict[str, Any], mismatch: bool
) -> None:
    assert read({"timestamp": NOW, **members}, "1200").device_id_mismatch is mismatch


@pytest.mark.parametrize(
    "timestamp", [b"-1e30", b"-1.2345678901234567890123456789012345678e50", b"-9e125"]
)
def test_an_absurd_time_in_the_past_is_rejected_without_a_retention_too(timestamp: bytes) -> None:
    [record] = make_records(("d1", b'{"timestamp": ' + timestamp + b"}"))
    with pytest.raises(InvalidRecordError) as caught:
        parse_readings(record, Settings(dlq_topic_arn="arn", device_state_table="states"))
    assert caught.value.reason is Reason.TIMESTAMP_NOT_VALID


def test_32_levels_are_accepted() -> None:
    assert read(nested(31)).content["M"]["value"]["L"]


def test_an_item_of_exactly_400_kb_is_accepted() -> None:
    assert read(payload_of_item_size(409_600)).request_bytes > 409_600
    with pytest.raises(InvalidRecordError, match="409601 bytes"):
        read(payload_of_item_size(409_601))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (timestamped("1"), timestamped("1.0")),
        (timestamped("1"), timestamped("10e-1")),
        (timestamped("0"), timestamped("-0.0")),
        (timestamped('"\u00e9"'), timestamped('"\\u00e9"')),
        (b'{"timestamp": 1700000000000, "a": 1, "b": {"c": 2, "d": 3}}',) * 2,
        (
            b'{"timestamp": 1700000000000, "a": 1, "b": {"c": 2, "d": 3}}',
            b'{ "b": {"d": 3, "c": 2}, "timestamp": 1.7e12, "a": 1}',
        ),
    ],
)
def test_equal_readings_have_the_same_key(one: bytes, other: bytes) -> None:
    assert read(one).key == read(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (timestamped("1"), timestamped("2")),
        (timestamped("1"), timestamped('"1"')),
        (timestamped("1"), timestamped("true")),
        (timestamped("[1, 2]"), timestamped("[2, 1]")),
        (timestamped("null"), timestamped("false")),
        (b'{"timestamp": 1700000000000.25}', b'{"timestamp": 1700000000000.5}'),
        (b'{"timestamp": 1700000000000}', b'{"timestamp": 1700000000}'),
    ],
)
def test_different_readings_of_one_millisecond_have_different_keys(
    one: bytes, other: bytes
) -> None:
    assert int(read(one).sort_key) == int(read(other).sort_key) == NOW
    assert read(one).key != read(other).key


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100).filter(
        lambda value: value == 0 or abs(value) > 1e-100
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc\u00e9", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@PROPERTY
@given(JSON_VALUES, st.randoms(use_true_random=False))
def test_the_key_does_not_depend_on_the_order_of_members(value: object, shuffle: Any) -> None:
    def shuffled(value: object) -> object:
        if isinstance(value, list):
            return [shuffled(member) for member in value]
        if isinstance(value, dict):
            names = list(value)
            shuffle.shuffle(names)
            return {name: shuffled(value[name]) for name in names}
        return value

    one = read({"timestamp": NOW, "value": value})
    other = read(shuffled({"timestamp": NOW, "value": value}))
    assert one.key == other.key
    # Within DynamoDB's 38 digits, never an integer, and exact to the millisecond as a float.
    assert len(one.sort_key.as_tuple().digits) <= 38
    assert NOW < one.sort_key < NOW + Decimal("0.9")
    assert math.floor(float(one.sort_key)) == NOW


@PROPERTY
@given(JSON_VALUES)
def test_stored_content_equals_the_payload(value: object) -> None:
    reading = read({"timestamp": NOW, "value": value})
    sent = json.loads(json.dumps(value), parse_float=Decimal)
    assert plain(time_series_item(reading))["reading"]["value"] == sent
    payload = json.dumps({"timestamp": NOW, "value": value})
    content, canonical = to_attribute_value(
        json.loads(payload, parse_float=number, parse_int=number)
    )
    assert content == reading.content
    as_json = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert canonical == as_json.encode()
    # The limit of an item relies on the first, and that of a call on the second.
    assert stored_size(reading.content) <= len(canonical)
    put = {"PutRequest": {"Item": time_series_item(reading)}}
    sent = json.dumps(put, ensure_ascii=False, separators=(",", ":"))
    assert len(sent.encode()) <= reading.request_bytes


@PROPERTY
@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-1e15, max_value=1e15)
)
def test_equal_numbers_have_the_same_attribute_value(value: Decimal) -> None:
    numbers = {number(text) for text in (str(value), f"{value:e}", f"{value:.30f}")}
    assert len({str(to_attribute_value(each)) for each in numbers}) == 1
