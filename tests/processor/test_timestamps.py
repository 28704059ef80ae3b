"""The unit of a number, and ISO 8601."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs.processor.readings import parse_readings
from iot_constructs.processor.rejections import InvalidRecordError, Reason
from iot_constructs.processor.timestamps import to_milliseconds

from .aws_fakes import ARRIVAL, DAY, NOW, RETENTION, SETTINGS, make_records

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=200)


@pytest.mark.parametrize(
    ("number", "milliseconds"),
    [
        # Seconds below 1e11, which is the year 5138.
        ("1700000000", 1_700_000_000_000),
        ("1700000000.0009", 1_700_000_000_000),
        ("1700000000.125", 1_700_000_000_125),
        ("99999999999", 99_999_999_999_000),
        ("99999999999.99999999999999999999999999", 99_999_999_999_999),
        # Milliseconds from 1e11, which is in March 1973.
        ("100000000000", 100_000_000_000),
        ("1.7e12", 1_700_000_000_000),
        ("1700000000000.75", 1_700_000_000_000),
        ("99999999999999", 99_999_999_999_999),
        # Microseconds from 1e14.
        ("100000000000000", 100_000_000_000),
        ("1700000000000999", 1_700_000_000_000),
        ("99999999999999999", 99_999_999_999_999),
        # Nanoseconds from 1e17.
        ("100000000000000000", 100_000_000_000),
        ("1700000000000999999", 1_700_000_000_000),
        ("12345678901234567890123456789012345678", 12345678901234567890123456789012),
        # Before 1970.
        ("-0.5", -500),
        ("-1", -1000),
        ("-1700000000000", -1_700_000_000_000),
        ("-62135596800000", -62_135_596_800_000),
        ("0", 0),
    ],
)
def test_the_unit_of_a_number_follows_from_its_magnitude(number: str, milliseconds: int) -> None:
    assert to_milliseconds(Decimal(number)) == milliseconds


@PROPERTY
@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from("Tt "),
)
def test_a_string_is_the_instant_that_python_makes_of_it(
    local: datetime, offset: int, between: str
) -> None:
    moment = local.replace(tzinfo=timezone(timedelta(minutes=offset)))
    expected = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
    text = moment.isoformat(between)
    assert to_milliseconds(text) == expected
    assert to_milliseconds(text[:-3] + text[-2:]) == expected  # +0100
    assert to_milliseconds(text.replace(".", ",")) == expected
    if offset == 0:
        assert to_milliseconds(text.replace("+00:00", "Z")) == expected


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2023-11-14T22:13:20z", NOW),
        ("2023-11-14T22:13:20-00:00", NOW),
        ("2023-11-14T22:13:20.9999999999999999999999999999Z", NOW + 999),
        ("2023-11-14T22:13:20.05Z", NOW + 50),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_strings(text: str, milliseconds: int) -> None:
    assert to_milliseconds(text) == milliseconds


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2023-11-14T22:13:20", Reason.TIMESTAMP_WITHOUT_ZONE),
        ("2023-11-14 22:13", Reason.TIMESTAMP_WITHOUT_ZONE),
        *(
            (value, Reason.TIMESTAMP_NOT_VALID)
            for value in (
                "",
                "now",
                "1700000000",
                "2023-11-14",
                "20231114T221320Z",
                "2023-W46-2T22:13:20Z",
                "2023-11-14T22:13:20 Z",
                "2023-11-14T22:13:20Z\n",
                "2023-11-14T22:13:20.Z",
                "2023-11-14T22:13:61Z",
                "2023-11-14T22:60:00Z",
                "2023-11-14T24:00:00Z",
                "2023-11-31T22:13:20Z",
                "0000-01-01T00:00:00Z",
                "0001-01-01T00:00:00+01:00",
                "2023-11-14T22:13:20+24:00",
                "2023-11-14T22:13:20+01:60",
                "\uff12023-11-14T22:13:20Z",
                Decimal("-62135596800001"),
                Decimal("-1e30"),
                Decimal("-9.9e125"),
                True,
                [1700000000],
                {"seconds": 1700000000},
            )
        ),
    ],
)
def test_what_is_not_a_timestamp(value: object, reason: Reason) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        to_milliseconds(value)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        (ARRIVAL, NOW),
        (NOW, NOW),
        (NOW + DAY * 1000, NOW + DAY * 1000),
        (NOW - RETENTION * 1000, NOW - RETENTION * 1000),
    ],
)
def test_sort_key_and_ttl_are_of_the_timestamp(timestamp: int, milliseconds: int) -> None:
    [reading] = parse_readings(make_records(("d1", {"timestamp": timestamp}))[0], SETTINGS)
    assert int(reading.sort_key) == milliseconds
    assert reading.expires_at == milliseconds // 1000 + RETENTION
