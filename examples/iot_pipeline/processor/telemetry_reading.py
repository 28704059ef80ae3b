"""From a stream record to a reading that both tables can hold, or the reason why not."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, NoReturn

from dynamodb_values import (
    AttributeValue,
    number,
    stored_number_size,
    to_attribute_value,
    utf8_size,
)
from invalid_records import InvalidRecordError, Reason
from stream_records import StreamRecord

# Below it a timestamp is in seconds: 1e11 ms is the year 1973, 1e11 s the year 5138.
FIRST_MILLISECOND_TIMESTAMP = 100_000_000_000
# A device with a wrong clock must not freeze its latest state: nothing later would ever be newer.
MAX_CLOCK_SKEW_MS = 24 * 60 * 60 * 1000
MAX_ITEM_BYTES = 400 * 1024  # dynamodb/latest/developerguide/Constraints.html
FRACTION_DIGITS = 18

_ATTRIBUTE_NAME_BYTES = len("deviceId" + "timestamp" + "ttl" + "reading")
# Wide enough for any 38-digit number times a thousand, and for the sort key.
_EXACT = Context(prec=60)

ReadingKey = tuple[str, Decimal]


@dataclass(frozen=True)
class Reading:
    device_id: str
    sort_key: Decimal
    """Epoch milliseconds plus a fraction that depends on the content; see `compute_sort_key`."""
    expires_at: int
    """Epoch seconds at which TTL may delete the reading (FACTS 9)."""
    content: AttributeValue
    """The payload as sent, as one map attribute: a member called `ttl` or `deviceId` stays inside
    it and cannot overwrite the item's own."""
    stored_bytes: int
    device_id_mismatch: bool
    """The payload claims another device id than the record's partition key."""

    @property
    def key(self) -> ReadingKey:
        return self.device_id, self.sort_key


def parse_reading(record: StreamRecord, retention_seconds: int) -> Reading:
    """The reading in `record`; raises `InvalidRecordError` if it can never be stored."""
    payload = _parse_payload(record.data)
    milliseconds = _parse_timestamp(payload)
    # Judged by the arrival and not by now, so that every delivery of a record ends the same way.
    arrival = math.floor(record.arrival * 1000)
    if milliseconds > arrival + MAX_CLOCK_SKEW_MS:
        raise InvalidRecordError(
            Reason.TIMESTAMP_IN_THE_FUTURE, _format_offset(milliseconds - arrival, "after")
        )
    if milliseconds < arrival - retention_seconds * 1000:
        raise InvalidRecordError(
            Reason.TIMESTAMP_BEFORE_RETENTION, _format_offset(arrival - milliseconds, "before")
        )
    content, content_bytes = to_attribute_value(payload)
    sort_key = compute_sort_key(milliseconds, content)
    expires_at = milliseconds // 1000 + retention_seconds
    stored_bytes = _ATTRIBUTE_NAME_BYTES + utf8_size(record.device_id) + content_bytes
    stored_bytes += stored_number_size(sort_key) + stored_number_size(Decimal(expires_at))
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
    """Epoch milliseconds plus a fraction between 0 and 0.9 made from a hash of the content.

    The same reading delivered twice gets the same key and is stored once; two different readings of
    one device at one millisecond get different keys and both survive. "The same" is what DynamoDB
    would store alike: neither the order of members nor the spelling of a number (1, 1.0, 1e0)
    matters, while 1, "1" and true differ. Two different readings of one device at one millisecond
    collide once in 9e17 pairs.

    The fraction is never 0, so `BETWEEN start AND end` in milliseconds takes in `start` and leaves
    out `end`. It stays below 0.9, so `int(timestamp)` is the millisecond even for a reader that
    turns the number into a float. 13 + 18 digits are well inside DynamoDB's 38.
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
        # FACTS 10. Integers become Decimal too: one type of number, and no limit on int digits.
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
    if not isinstance(timestamp, Decimal):  # every JSON number is a Decimal here, true is not
        raise InvalidRecordError(Reason.TIMESTAMP_NOT_A_NUMBER)
    if timestamp < FIRST_MILLISECOND_TIMESTAMP:
        timestamp = timestamp.scaleb(3, _EXACT)
    # A device may send fractions of a millisecond: the content, and with it the hash, keeps them.
    return math.floor(timestamp)


def _format_offset(milliseconds: int, relation: str) -> str:
    seconds = milliseconds // 1000
    amount = f"{seconds} s" if seconds < 10**12 else "more than 1e12 s"
    return f"{amount} {relation} the arrival"
