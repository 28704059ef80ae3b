"""Converts JSON values to DynamoDB attribute values and computes their size.

Replaces boto3's TypeSerializer because one traversal has to return the attribute value and its size,
and reject what DynamoDB can't store.
"""

from __future__ import annotations

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


def to_attribute_value(value: Any, level: int = 1) -> tuple[AttributeValue, int]:
    """Return the attribute value of a parsed JSON value and its size in bytes.

    Sizes: dynamodb/latest/developerguide/CapacityUnitCalculations.html.
    """
    if level > MAX_LEVELS:
        raise InvalidRecordError(Reason.TOO_DEEP)
    if isinstance(value, str):
        return {"S": value}, utf8_size(value)
    if isinstance(value, Decimal):
        return {"N": str(value) if value else "0"}, stored_number_size(value)
    if value is None:
        return {"NULL": True}, 1
    if isinstance(value, bool):
        return {"BOOL": value}, 1
    size = 3  # the overhead of a list or map, plus one byte per element
    if isinstance(value, list):
        elements = []
        for member in value:
            element, element_size = to_attribute_value(member, level + 1)
            elements.append(element)
            size += element_size + 1
        return {"L": elements}, size
    if isinstance(value, dict):
        members = {}
        for name, member in value.items():
            members[name], member_size = to_attribute_value(member, level + 1)
            size += utf8_size(name) + member_size + 1
        return {"M": members}, size
    raise TypeError(f"{type(value).__name__} is not a JSON type")
