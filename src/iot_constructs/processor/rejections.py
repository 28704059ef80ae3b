"""The reasons for which the processor rejects a record.

The IDs are an interface: operators filter the dead-letter queue by them, so an ID never changes its
meaning.
"""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """A stable ID and its explanation."""

    explanation: str

    def __new__(cls, identifier: str, explanation: str) -> Reason:
        """Make the ID the value, so that `Reason("not-json")` finds the member."""
        member = str.__new__(cls, identifier)
        member._value_ = identifier
        member.explanation = explanation
        return member

    EMPTY_PAYLOAD = ("empty-payload", "the payload is empty")
    EMPTY_ARRAY = ("empty-array", "the payload is an array without readings")
    KPL_NOT_VALID = ("kpl-not-valid", "the record begins like a KPL aggregate but is damaged")
    GZIP_NOT_VALID = ("gzip-not-valid", "the payload begins like gzip but can't be decompressed")
    DECOMPRESSED_TOO_LARGE = (
        "decompressed-too-large",
        "the gzip payload of the record decompresses to more than 10 MiB",
    )
    UNSUPPORTED_COMPRESSION = (
        "unsupported-compression",
        "of the compression formats, only gzip is supported",
    )
    BINARY_FORMAT = ("binary-format", "the payload must be JSON, not a binary format")
    NOT_UTF8 = ("not-utf8", "the payload is not text in UTF-8")
    TRAILING_NUL = ("trailing-nul", "the payload ends in a NUL byte, which is not part of JSON")
    NOT_JSON = ("not-json", "the payload is not JSON")
    NOT_FINITE = ("not-a-finite-number", "neither JSON nor DynamoDB supports NaN or Infinity")
    NOT_AN_OBJECT = ("not-an-object", "a reading must be a JSON object")
    TOO_MANY_READINGS = ("too-many-readings", "a record can have up to 5,000 readings")
    TOO_MANY_VALUES = (
        "too-many-values",
        "a record can have up to 250,000 commas, brackets, and braces",
    )
    DUPLICATE_MEMBER = ("duplicate-member", "a member occurs twice, and an item can have one value")
    EMPTY_NAME = ("empty-attribute-name", "DynamoDB does not support an empty attribute name")
    NO_DEVICE_ID = ("no-device-id", "the reading has no device ID, or it is null")
    DEVICE_ID_NOT_VALID = (
        "device-id-not-valid",
        "the device ID must be a whole number, or a string of 1 to 2,048 bytes in UTF-8",
    )
    NO_TIMESTAMP = ("no-timestamp", "the reading has no timestamp, or it is null")
    TIMESTAMP_NOT_VALID = ("timestamp-not-valid", "the timestamp is not in a supported format")
    TIMESTAMP_WITHOUT_ZONE = (
        "timestamp-without-zone",
        "the timestamp has neither Z nor an offset from UTC, so its instant is not known",
    )
    TIMESTAMP_IN_THE_FUTURE = (
        "timestamp-in-the-future",
        "the timestamp is more than 24 hours after the arrival, and such a reading blocks the "
        "device's state until then",
    )
    TIMESTAMP_BEFORE_RETENTION = (
        "timestamp-older-than-retention",
        "the reading was older than the table's retention on arrival, and TTL deletes such an item",
    )
    NUMBER_OUT_OF_RANGE = (
        "number-out-of-range",
        "DynamoDB supports up to 38 significant digits and magnitudes from 1E-130 to 9.99E+125",
    )
    LONE_SURROGATE = ("lone-surrogate", "a string contains an unpaired surrogate")
    TOO_DEEP = ("nested-too-deep", "DynamoDB supports up to 32 levels of nesting")
    TOO_LARGE = ("item-too-large", "the item exceeds DynamoDB's limit of 400 KB")
    REJECTED_BY_TRANSFORM = ("rejected-by-transform", "the transform rejected the reading")
    INVALID_TRANSFORM_RESULT = (
        "invalid-transform-result",
        "the transform must return a dict of JSON values, whose numbers are Decimal, int, or float",
    )
    REFUSED_BY_TABLE = ("refused-by-table", "DynamoDB rejected the item with a validation error")


class InvalidRecordError(Exception):
    """The record can't be stored. It goes to the dead-letter topic without a retry."""

    def __init__(self, reason: Reason, context: str = "") -> None:
        self.reason = reason
        self.context = context
        self.detail = f"{reason.explanation}: {context[:500]}" if context else reason.explanation
        super().__init__(self.detail)
