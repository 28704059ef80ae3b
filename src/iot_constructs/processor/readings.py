"""Parses and validates a stream record."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, NoReturn

from .attribute_values import (
    AttributeValue,
    number,
    stored_number_size,
    to_attribute_value,
    utf8_size,
)
from .records import StreamRecord
from .rejections import InvalidRecordError, Reason
from .transform import transform_reading

# A smaller timestamp is in seconds: 1e11 ms is in 1973, 1e11 s in 5138.
FIRST_MILLISECOND_TIMESTAMP = 100_000_000_000
# A timestamp far in the future would block all later updates of the device's state.
MAX_CLOCK_SKEW_MS = 24 * 60 * 60 * 1000
MAX_ITEM_BYTES = 400 * 1024  # dynamodb/latest/developerguide/Constraints.html
FRACTION_DIGITS = 18

_ATTRIBUTE_NAME_BYTES = len("deviceId" + "timestamp" + "ttl" + "reading")
# Enough precision for a 38-digit number times 1000, and for the sort key.
_EXACT = Context(prec=60)

ReadingKey = tuple[str, Decimal]


@dataclass(frozen=True)
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
    stored_bytes: int
    device_id_mismatch: bool
    """Whether the device ID in the payload differs from the record's partition key."""

    @property
    def key(self) -> ReadingKey:
        """The key of its item in the time-series table."""
        return self.device_id, self.sort_key


def parse_reading(record: StreamRecord, retention_seconds: int | None) -> Reading:
    """Return the reading in `record`. Raises `InvalidRecordError` if it can't be stored."""
    payload = transform_reading(_parse_payload(record.data), record.device_id, record)
    milliseconds = _parse_timestamp(payload)
    # Relative to the arrival, not to the current time, so that a retry has the same result.
    arrival = math.floor(record.arrival * 1000)
    if milliseconds > arrival + MAX_CLOCK_SKEW_MS:
        raise InvalidRecordError(
            Reason.TIMESTAMP_IN_THE_FUTURE, _format_offset(milliseconds - arrival, "after")
        )
    if retention_seconds is not None and milliseconds < arrival - retention_seconds * 1000:
        raise InvalidRecordError(
            Reason.TIMESTAMP_BEFORE_RETENTION, _format_offset(arrival - milliseconds, "before")
        )
    content, content_bytes = to_attribute_value(payload)
    sort_key = compute_sort_key(milliseconds, content)
    expires_at = None if retention_seconds is None else milliseconds // 1000 + retention_seconds
    stored_bytes = _ATTRIBUTE_NAME_BYTES + utf8_size(record.device_id) + content_bytes
    stored_bytes += stored_number_size(sort_key)
    if expires_at is not None:
        stored_bytes += stored_number_size(Decimal(expires_at))
    if stored_bytes > MAX_ITEM_BYTES:
        raise InvalidRecordError(Reason.TOO_LARGE, f"{stored_bytes} bytes")
    return Reading(
        device_id=record.device_id,
        sort_key=sort_key,
        expires_at=expires_at,
        content=content,
        stored_bytes=stored_bytes,
        device_id_mismatch="deviceId" in payload and payload["deviceId"] != record.device_id,
    )


def compute_sort_key(milliseconds: int, content: AttributeValue) -> Decimal:
    """Return epoch milliseconds plus a fraction in (0, 0.9) derived from a hash of the content.

    A duplicate gets the same key and is stored once. Two different readings of one device in the
    same millisecond get different keys, and both are stored; the probability of a collision is 1 in
    9e17. Readings are equal if DynamoDB stores equal items: the order of members and the notation of
    a number (1, 1.0, 1e0) don't matter, but 1, "1", and true differ.

    The fraction is never 0, so `BETWEEN start AND end` in milliseconds includes `start` and excludes
    `end`. It is less than 0.9, so `int(timestamp)` is the millisecond even after a conversion to
    float. The 31 digits fit into DynamoDB's 38.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = int.from_bytes(hashlib.sha256(canonical.encode()).digest(), "big")
    fraction = 1 + digest % (9 * 10 ** (FRACTION_DIGITS - 1) - 1)
    return _EXACT.add(Decimal(milliseconds), Decimal(fraction).scaleb(-FRACTION_DIGITS))


def _parse_payload(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRecordError(Reason.NOT_UTF8, f"byte {error.start}") from None
    try:
        # Integers become Decimal too, which avoids Python's limit on the digits of an int.
        payload = json.loads(
            text,
            parse_float=number,
            parse_int=number,
            parse_constant=_reject_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise InvalidRecordError(Reason.NOT_JSON, f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise InvalidRecordError(Reason.TOO_DEEP) from None
    if not isinstance(payload, dict):
        raise InvalidRecordError(Reason.NOT_AN_OBJECT)
    return payload


def _reject_constant(constant: str) -> NoReturn:
    raise InvalidRecordError(Reason.NOT_FINITE, constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidRecordError(Reason.DUPLICATE_MEMBER)
    if "" in members:
        raise InvalidRecordError(Reason.EMPTY_NAME)
    return members


def _parse_timestamp(payload: dict[str, Any]) -> int:
    if "timestamp" not in payload:
        raise InvalidRecordError(Reason.NO_TIMESTAMP)
    timestamp = payload["timestamp"]
    if not isinstance(timestamp, Decimal):  # every JSON number is a Decimal, true is not
        raise InvalidRecordError(Reason.TIMESTAMP_NOT_A_NUMBER)
    if timestamp < FIRST_MILLISECOND_TIMESTAMP:
        timestamp = timestamp.scaleb(3, _EXACT)
    # The content, and therefore the hash, keeps fractions of a millisecond.
    return math.floor(timestamp)


def _format_offset(milliseconds: int, relation: str) -> str:
    seconds = milliseconds // 1000
    amount = f"{seconds} s" if seconds < 10**12 else "more than 1e12 s"
    return f"{amount} {relation} the arrival"
