"""Reads the user records of a record that the Kinesis Producer Library (KPL) aggregated.

The format is public: 4 magic bytes, a Protocol Buffers message, and the MD5 checksum of the message
(https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md). Only two of the wire types of
Protocol Buffers occur in it, so it is read here instead of with a library that Lambda's runtime does not have
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .rejections import InvalidRecordError, Reason

MAGIC = b"\xf3\x89\x9a\xc2"
_CHECKSUM_BYTES = 16
# kinesis/latest/APIReference/API_PutRecordsRequestEntry.html
_MAX_KEY_CHARACTERS = 256

# In a byte of a varint: the upper bit says that another byte follows.
_CONTINUES = 0x80
_MAX_BITS = 64
# The fields of an AggregatedRecord and of a Record.
_PARTITION_KEY_TABLE, _RECORDS = 1, 3
_PARTITION_KEY_INDEX, _DATA = 1, 3
_VARINT, _LENGTH_DELIMITED = 0, 2


def user_records(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the partition key and the data of each user record in `data`, which begins with `MAGIC`.

    Raises `InvalidRecordError` for an aggregate that is damaged or empty.
    """
    message, checksum = data[len(MAGIC) : -_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if hashlib.md5(message, usedforsecurity=False).digest() != checksum:
        raise InvalidRecordError(Reason.KPL_NOT_VALID, "the checksum does not match")
    keys, records = [], []
    try:
        for field, value in _fields(message):
            if field == _PARTITION_KEY_TABLE and isinstance(value, bytes):
                keys.append(value.decode())
            elif field == _RECORDS and isinstance(value, bytes):
                records.append(value)
        if not records:
            raise InvalidRecordError(Reason.EMPTY_PAYLOAD, "an aggregate without user records")
        for record in records:
            fields = dict(_fields(record))
            key, content = keys[fields[_PARTITION_KEY_INDEX]], fields[_DATA]  # type: ignore[index]
            if not 1 <= len(key) <= _MAX_KEY_CHARACTERS or not isinstance(content, bytes):
                raise ValueError("a partition key or the data has the wrong length or type")
            yield key, content
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidRecordError(Reason.KPL_NOT_VALID, f"{type(error).__name__}: {error}") from None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field: an int, or bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        value, position = _varint(message, position)
        if tag & 7 == _VARINT:
            yield tag >> 3, value
        elif tag & 7 == _LENGTH_DELIMITED:
            end = position + value
            if end > len(message):
                raise ValueError("a field is cut off")
            yield tag >> 3, message[position:end]
            position = end
        else:
            raise ValueError(f"wire type {tag & 7} does not occur in the format")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position`, 7 bits per byte with the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte % _CONTINUES) << shift
        if byte < _CONTINUES:
            return value, position
        shift += 7
        if shift >= _MAX_BITS:
            raise ValueError("a number has more than 64 bits")
