"""Parses and validates the readings of a stream record."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from .attribute_values import (
    AttributeValue,
    stored_number_size,
    stored_size,
    to_attribute_value,
    utf8_size,
)
from .payloads import Room, decode_payloads
from .records import StreamRecord
from .rejections import InvalidRecordError, Reason
from .settings import Settings
from .timestamps import to_milliseconds
from .transform import transform_reading

# 5,000 readings take 200 calls of BatchWriteItem, so that one record fits into an invocation.
MAX_READINGS = 5_000
# A timestamp far in the future would block all later updates of the device's state.
MAX_CLOCK_SKEW_MS = 24 * 60 * 60 * 1000
MAX_ITEM_BYTES = 400 * 1024  # dynamodb/latest/developerguide/Constraints.html
MAX_DEVICE_ID_BYTES = 2048  # of a partition key, on the same page
FRACTION_DIGITS = 18

_ATTRIBUTE_NAME_BYTES = len("deviceId" + "timestamp" + "ttl" + "reading")
# The rest of an item's JSON besides the device ID and the content: names, numbers, and the put around it.
_ITEM_OVERHEAD_BYTES = 200
# Enough precision for the sort key.
_EXACT = Context(prec=60)

ReadingKey = tuple[str, Decimal]


@dataclass(slots=True)
class Reading:
    """A valid reading, ready to be stored."""

    device_id: str
    sort_key: Decimal
    """Epoch milliseconds plus a fraction derived from the content; see `compute_sort_key`."""
    expires_at: int | None
    """The `ttl` attribute, in epoch seconds (amazondynamodb/latest/developerguide/TTL.html), if there is one."""
    content: AttributeValue
    """The payload as one map attribute, so that a member such as `ttl` can't overwrite the item's
    own attribute."""
    request_bytes: int
    """About what it takes in a request. Not less than its size in the table."""
    device_id_mismatch: bool
    """Whether the member `deviceId` differs from the partition key, which is the device ID. The number 7 does not
    differ from "7". Always false if the device ID is from the payload."""

    @property
    def key(self) -> ReadingKey:
        """The key of its item in the time-series table."""
        return self.device_id, self.sort_key


def parse_readings(
    record: StreamRecord, settings: Settings, room: Room | None = None
) -> list[Reading]:
    """Return the readings in `record`, of which there is at least one.

    Args:
        record: the record.
        settings: the function's settings.
        room: what other records left, if they are in memory together.

    Raises `InvalidRecordError` if one of them can't be stored; its detail names the position of a reading other than
    the first.
    """
    # Relative to the arrival, not to the current time, so that a retry has the same result.
    arrival = math.floor(record.arrival * 1000)
    readings: list[Reading] = []
    try:
        for partition_key, payload in decode_payloads(record, room if room is not None else Room()):
            if len(readings) == MAX_READINGS:
                raise InvalidRecordError(Reason.TOO_MANY_READINGS)
            if not isinstance(payload, dict):
                raise InvalidRecordError(Reason.NOT_AN_OBJECT)
            reading = transform_reading(payload, partition_key, record)
            readings.append(_parse_reading(partition_key, reading, arrival, settings))
    except InvalidRecordError as rejection:
        if not readings:
            raise
        context = f"reading {len(readings) + 1}"
        if rejection.context:
            context = f"{context}: {rejection.context}"
        raise InvalidRecordError(rejection.reason, context) from None
    return readings


def _parse_reading(
    partition_key: str, payload: dict[str, Any], arrival: int, settings: Settings
) -> Reading:
    retention_seconds = settings.retention_seconds
    device_id, mismatch = partition_key, False
    if settings.device_id_field is not None:
        device_id = _parse_device_id(payload.get(settings.device_id_field))
    elif payload.get("deviceId") not in (None, partition_key):
        mismatch = _device_id(payload["deviceId"]) != partition_key
    timestamp = payload.get(settings.timestamp_field)
    if timestamp is not None:
        milliseconds = to_milliseconds(timestamp)
    elif settings.use_arrival_time:
        milliseconds = arrival
    else:
        raise InvalidRecordError(Reason.NO_TIMESTAMP, f"no member {settings.timestamp_field!r}")
    if milliseconds > arrival + MAX_CLOCK_SKEW_MS:
        raise InvalidRecordError(
            Reason.TIMESTAMP_IN_THE_FUTURE, _format_offset(milliseconds - arrival, "after")
        )
    if retention_seconds is not None and milliseconds < arrival - retention_seconds * 1000:
        raise InvalidRecordError(
            Reason.TIMESTAMP_BEFORE_RETENTION, _format_offset(arrival - milliseconds, "before")
        )
    content, canonical = to_attribute_value(payload)
    sort_key = compute_sort_key(milliseconds, canonical)
    expires_at = None if retention_seconds is None else milliseconds // 1000 + retention_seconds
    request_bytes = _ITEM_OVERHEAD_BYTES + utf8_size(device_id) + len(canonical)
    if request_bytes > MAX_ITEM_BYTES:
        _check_size(device_id, sort_key, expires_at, content)
    return Reading(
        device_id=device_id,
        sort_key=sort_key,
        expires_at=expires_at,
        content=content,
        request_bytes=request_bytes,
        device_id_mismatch=mismatch,
    )


def _check_size(
    device_id: str, sort_key: Decimal, expires_at: int | None, content: AttributeValue
) -> None:
    """Raise `InvalidRecordError` if the item is too large for the table."""
    size = _ATTRIBUTE_NAME_BYTES + utf8_size(device_id) + stored_size(content)
    size += stored_number_size(sort_key)
    if expires_at is not None:
        size += stored_number_size(Decimal(expires_at))
    if size > MAX_ITEM_BYTES:
        raise InvalidRecordError(Reason.TOO_LARGE, f"{size} bytes")


def _parse_device_id(value: object) -> str:
    if value is None:
        raise InvalidRecordError(Reason.NO_DEVICE_ID)
    device_id = _device_id(value)
    if device_id is None:
        raise InvalidRecordError(Reason.DEVICE_ID_NOT_VALID)
    return device_id


def _device_id(value: object) -> str | None:
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    if isinstance(value, str) and 1 <= utf8_size(value) <= MAX_DEVICE_ID_BYTES:
        return value
    return None


def compute_sort_key(milliseconds: int, canonical: bytes) -> Decimal:
    """Return epoch milliseconds plus a fraction in (0, 0.9) derived from a hash of the content's canonical JSON.

    A duplicate gets the same key and is stored once. Two different readings of one device in the
    same millisecond get different keys, and both are stored; the probability of a collision is 1 in
    9e17. Readings are equal if DynamoDB stores equal items: the order of members and the notation of
    a number (1, 1.0, 1e0) don't matter, but 1, "1", and true differ.

    The fraction is never 0, so `BETWEEN start AND end` in milliseconds includes `start` and excludes
    `end`. It is less than 0.9, so `int(timestamp)` is the millisecond even after a conversion to
    float. The 31 digits fit into DynamoDB's 38.
    """
    digest = int.from_bytes(hashlib.sha256(canonical).digest(), "big")
    fraction = 1 + digest % (9 * 10 ** (FRACTION_DIGITS - 1) - 1)
    return _EXACT.add(Decimal(milliseconds), Decimal(fraction).scaleb(-FRACTION_DIGITS))


def _format_offset(milliseconds: int, relation: str) -> str:
    seconds = milliseconds // 1000
    amount = f"{seconds} s" if seconds < 10**12 else "more than 1e12 s"
    return f"{amount} {relation} the arrival"
