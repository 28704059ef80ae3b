"""Why a record can never be stored: every reason, in one table.

The ids are an interface: operators filter the dead-letter queue by them, so an id never changes its
meaning.
"""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """A stable id and the explanation that explains it."""

    explanation: str

    def __new__(cls, identifier: str, explanation: str) -> Reason:
        member = str.__new__(cls, identifier)
        member._value_ = identifier
        member.explanation = explanation
        return member

    NOT_UTF8 = ("not-utf8", "the payload is not valid UTF-8")
    NOT_JSON = ("not-json", "the payload is not JSON")
    NOT_FINITE = ("not-a-finite-number", "JSON has no NaN or Infinity and DynamoDB stores neither")
    NOT_AN_OBJECT = ("not-an-object", "the payload is JSON but not an object")
    DUPLICATE_MEMBER = ("duplicate-member", "a member occurs twice, so one value would be lost")
    EMPTY_NAME = ("empty-attribute-name", "DynamoDB refuses a member without a name")
    NO_TIMESTAMP = ("no-timestamp", "the payload has no member called timestamp")
    TIMESTAMP_NOT_A_NUMBER = ("timestamp-not-a-number", "the timestamp has to be a JSON number")
    TIMESTAMP_IN_THE_FUTURE = (
        "timestamp-in-the-future",
        "the timestamp is more than 24 hours after the arrival, and such a reading would stay the "
        "device's latest state for good",
    )
    TIMESTAMP_BEFORE_RETENTION = (
        "timestamp-older-than-retention",
        "the reading was older than the table's retention when it arrived, so TTL would delete it",
    )
    NUMBER_OUT_OF_RANGE = (
        "number-out-of-range",
        "DynamoDB numbers have at most 38 significant digits and lie between 1E-130 and 1E126",
    )
    LONE_SURROGATE = ("lone-surrogate", "a string holds half of a surrogate pair, so it is no text")
    TOO_DEEP = ("nested-too-deep", "DynamoDB stores at most 32 levels of nesting")
    TOO_LARGE = ("item-too-large", "the item would be larger than DynamoDB's 400 KB")
    REFUSED_BY_TABLE = ("refused-by-table", "DynamoDB refused the item as invalid")


class InvalidRecordError(Exception):
    """The record can never be stored. It goes to the dead-letter topic and is not retried."""

    def __init__(self, reason: Reason, context: str = "") -> None:
        self.reason = reason
        self.detail = f"{reason.explanation}: {context[:500]}" if context else reason.explanation
        super().__init__(self.detail)
