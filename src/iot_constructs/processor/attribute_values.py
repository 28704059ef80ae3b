"""Converts JSON values to DynamoDB attribute values and computes their size.

Replaces boto3's TypeSerializer, which does not reject everything that DynamoDB can't store, and takes longer.
"""

from __future__ import annotations

import json
from decimal import (
    Context,
    Decimal,
    DecimalException,
    Inexact,
    InvalidOperation,
    Overflow,
    Subnormal,
)
from typing import Any

from .rejections import InvalidRecordError, Reason

AttributeValue = dict[str, Any]

# dynamodb/latest/developerguide/Constraints.html: "supports nested attributes up to 32 levels
# deep". The attribute itself is level 1, and a scalar inside it counts as a level.
MAX_LEVELS = 32
# 38 significant digits, magnitudes from 1E-130 to 9.99...E+125. The traps reject every operation
# that changes the value; removing trailing zeros is exact.
_NUMBERS = Context(
    prec=38,
    Emin=-130,
    Emax=125,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[Inexact, InvalidOperation, Overflow, Subnormal],
)
# Built once: json.dumps would build it for every text.
_quoted = json.JSONEncoder(ensure_ascii=False).encode


def number(text: str) -> Decimal:
    """Parse an exact number without trailing zeros. DynamoDB treats 1, 1.0, and 1e0 as equal.

    Decimal, because boto3 rejects float: boto3/latest/reference/customizations/dynamodb.html.
    """
    try:
        return _NUMBERS.normalize(Decimal(text))
    except DecimalException:
        raise InvalidRecordError(Reason.NUMBER_OUT_OF_RANGE, text[:60]) from None


def exact(value: int | float | Decimal) -> Decimal:
    """Return the number that `value` shows: 0.1 for the float 0.1, not its binary value."""
    decimal = Decimal(float.__repr__(value) if isinstance(value, float) else value)
    if not decimal.is_finite():
        raise InvalidRecordError(Reason.NOT_FINITE, str(value))
    try:
        return _NUMBERS.normalize(decimal)
    except DecimalException:
        raise InvalidRecordError(Reason.NUMBER_OUT_OF_RANGE, f"{decimal:.6E}") from None


def utf8_size(text: str) -> int:
    """Return the size in bytes. Raises `InvalidRecordError` for text that has no UTF-8."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidRecordError(Reason.LONE_SURROGATE) from None


def stored_number_size(value: Decimal) -> int:
    """Return the approximate size: one byte per two digits, one more, and one for a minus sign.

    The pairs of digits start at the decimal point. The documentation calls the formula approximate:
    the table rejects an item that is still too large, and it then goes to the dead-letter topic.
    """
    if not value:
        return 1
    sign, digits, exponent = _NUMBERS.normalize(value).as_tuple()
    return (len(digits) + int(exponent) % 2 + 1) // 2 + 1 + sign


def to_attribute_value(value: Any) -> tuple[AttributeValue, bytes]:
    """Return the attribute value of a parsed JSON value, and its canonical JSON.

    The canonical JSON is the same for values that DynamoDB stores as equal, and not shorter than `stored_size`.

    Raises `InvalidRecordError` for what is nested too deep, and for text that has no UTF-8.
    """
    canonical: list[str] = []
    result = _convert(value, 1, canonical)
    try:
        return result, "".join(canonical).encode()
    except UnicodeEncodeError:
        raise InvalidRecordError(Reason.LONE_SURROGATE) from None


def _convert(value: Any, level: int, canonical: list[str]) -> AttributeValue:
    """Return the attribute value, and append its JSON to `canonical`."""
    if level > MAX_LEVELS:
        raise InvalidRecordError(Reason.TOO_DEEP)
    if isinstance(value, str):
        canonical.append(f'{{"S":{_quoted(value)}}}')
        return {"S": value}
    if isinstance(value, Decimal):
        digits = str(value) if value else "0"
        canonical.append(f'{{"N":"{digits}"}}')
        return {"N": digits}
    separator = ""
    if isinstance(value, dict):
        members = {}
        canonical.append('{"M":{')
        for name in sorted(value):
            canonical.append(f"{separator}{_quoted(name)}:")
            members[name] = _convert(value[name], level + 1, canonical)
            separator = ","
        canonical.append("}}")
        return {"M": members}
    if isinstance(value, list):
        elements = []
        canonical.append('{"L":[')
        for element in value:
            canonical.append(separator)
            elements.append(_convert(element, level + 1, canonical))
            separator = ","
        canonical.append("]}")
        return {"L": elements}
    if value is None:
        canonical.append('{"NULL":true}')
        return {"NULL": True}
    if isinstance(value, bool):
        canonical.append('{"BOOL":true}' if value else '{"BOOL":false}')
        return {"BOOL": value}
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def stored_size(value: AttributeValue) -> int:
    """Return the size in the table: dynamodb/latest/developerguide/CapacityUnitCalculations.html."""
    [(kind, content)] = value.items()
    if kind == "S":
        return utf8_size(content)
    if kind == "N":
        return stored_number_size(Decimal(content))
    # A list or map has an overhead, and one byte per element.
    if kind == "L":
        return 3 + sum(stored_size(member) + 1 for member in content)
    if kind == "M":
        return 3 + sum(utf8_size(n) + stored_size(member) + 1 for n, member in content.items())
    return 1
