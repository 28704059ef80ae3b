"""Reads timestamps: numbers since the epoch in four units, and ISO 8601 strings with a time zone."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal

from .rejections import InvalidRecordError, Reason

# The unit follows from the magnitude. As seconds, milliseconds, or microseconds, a limit is in the year 5138; in the
# next smaller unit, it is in March 1973. So no time between these two is ambiguous.
LIMITS = (Decimal("1e11"), Decimal("1e14"), Decimal("1e17"))
_EXPONENTS = (3, 0, -3, -6)  # seconds, milliseconds, microseconds, nanoseconds -> milliseconds
# Enough precision for a 38-digit number times 1000.
_EXACT = Context(prec=60)

# 23:59:60 is the first second of the next day in epoch time.
LEAP_SECOND = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
# The first time that ISO 8601 has. Far before it, a sort key would have more digits than DynamoDB stores.
_YEAR_1 = -62_135_596_800_000
# datetime.fromisoformat reads neither `Z` nor a fraction of any length before Python 3.11.
_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"(?:([Zz])|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?",
    re.ASCII,
)
_EXPECTED = "expected a number since the epoch, or a string such as 2023-11-14T22:13:20.5Z"


def to_milliseconds(value: object) -> int:
    """Return the epoch milliseconds of a timestamp, rounded down.

    Raises `InvalidRecordError` for a value that is not a timestamp, a time before the year 1, and a string without a
    time zone.
    """
    if isinstance(value, Decimal):  # every JSON number is a Decimal, true is not
        exponent = _EXPONENTS[bisect_right(LIMITS, value.copy_abs())]
        milliseconds = math.floor(value.scaleb(exponent, _EXACT) if exponent else value)
        if milliseconds < _YEAR_1:
            raise InvalidRecordError(Reason.TIMESTAMP_NOT_VALID, "it is before the year 1")
        return milliseconds
    found = _ISO_8601.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidRecordError(Reason.TIMESTAMP_NOT_VALID, _EXPECTED)
    *date, second, fraction, utc, sign, hours, minutes = found.groups()
    if utc is None and sign is None:
        raise InvalidRecordError(Reason.TIMESTAMP_WITHOUT_ZONE, _EXPECTED)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        minute = datetime(*map(int, date), tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
        minute = minute + offset if sign == "-" else minute - offset
    except (ValueError, OverflowError) as error:
        raise InvalidRecordError(Reason.TIMESTAMP_NOT_VALID, str(error)) from None
    seconds = int(second or 0)
    if seconds > LEAP_SECOND:
        raise InvalidRecordError(Reason.TIMESTAMP_NOT_VALID, f"second {seconds}")
    milliseconds = int((fraction or "").ljust(3, "0")[:3])
    return (minute - _EPOCH) // _MILLISECOND + seconds * 1000 + milliseconds
