"""Decodes the data of a Kinesis record to JSON values, one for each reading.

In this order, without a setting: a KPL aggregate is split into its user records; gzip is decompressed; the bytes are
UTF-8; the text is JSON values one after another, with or without a line break between them. The elements of an array
are values of their own.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json.decoder import JSONDecodeError
from typing import Any, NoReturn

from . import kpl
from .attribute_values import number
from .records import StreamRecord
from .rejections import InvalidRecordError, Reason

# The size of the largest record of a stream (streams/latest/dev/large-records.html) is also the limit of what a record
# decompresses to, so that a small one can't exhaust the function's memory.
MAX_DECOMPRESSED_BYTES = 10 * 1024 * 1024
# A value takes up to 700 bytes as Python objects, whatever it takes in the payload.
MAX_VALUES = 250_000

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"
_skip_whitespace: Callable[[str, int], Any] = re.compile(r"[ \t\n\r]*").match
# What printf makes of a number that is not finite; json.loads itself knows NaN and Infinity only.
_NOT_FINITE = re.compile(r"[-+]?(nan|inf)", re.IGNORECASE)
# How data begins that some devices send instead of JSON. Only consulted for data that is not JSON.
_SIGNATURES = (
    (b"\x28\xb5\x2f\xfd", Reason.UNSUPPORTED_COMPRESSION, "Zstandard"),
    (b"\x04\x22\x4d\x18", Reason.UNSUPPORTED_COMPRESSION, "LZ4"),
    (b"\xff\x06\x00\x00sNaPpY", Reason.UNSUPPORTED_COMPRESSION, "Snappy"),
    (b"BZh", Reason.UNSUPPORTED_COMPRESSION, "bzip2"),
    (b"\xfd7zXZ\x00", Reason.UNSUPPORTED_COMPRESSION, "xz"),
    (b"PK\x03\x04", Reason.UNSUPPORTED_COMPRESSION, "a ZIP archive"),
    *(
        (bytes((0x78, flags)), Reason.UNSUPPORTED_COMPRESSION, "zlib")
        for flags in b"\x01\x5e\x9c\xda"
    ),
    (b"\xd9\xd9\xf7", Reason.BINARY_FORMAT, "CBOR"),
    *((bytes((first,)), Reason.BINARY_FORMAT, "CBOR") for first in range(0xA0, 0xC0)),
    *((bytes((first,)), Reason.BINARY_FORMAT, "MessagePack") for first in range(0x80, 0x90)),
    (b"\xde\x00", Reason.BINARY_FORMAT, "MessagePack"),
    (b"\x08", Reason.BINARY_FORMAT, "Protocol Buffers"),
    (b"Obj\x01", Reason.BINARY_FORMAT, "Avro"),
    (b"\xe0\x01\x00\xea", Reason.BINARY_FORMAT, "Amazon Ion"),
    (b"eyJ", Reason.NOT_JSON, "base64"),
    (b"W3si", Reason.NOT_JSON, "base64"),
    (b"<", Reason.NOT_JSON, "XML"),
)


@dataclass(slots=True)
class Room:
    """What can still be decoded, of one record or of several that are in memory together."""

    decompressed_bytes: int = MAX_DECOMPRESSED_BYTES
    values: int = MAX_VALUES

    def take_text(self, text: str) -> None:
        """Take the values of `text`, before they are decoded.

        Raises `InvalidRecordError` if there is not enough room. Counts what begins a value, so also what looks like it
        in a string.
        """
        self.values -= text.count(",") + text.count("[") + text.count("{")
        if self.values < 0:
            raise InvalidRecordError(Reason.TOO_MANY_VALUES)


def decode_payloads(record: StreamRecord, room: Room) -> Iterator[tuple[str, Any]]:
    """Yield the partition key and the JSON value of each reading. Numbers are `Decimal`.

    Raises `InvalidRecordError` when it comes to what can't be decoded, or what exceeds `room`.
    """
    data = record.data
    if data.startswith(kpl.MAGIC):
        parts: Iterator[tuple[str, bytes]] = kpl.user_records(data)
    else:
        parts = iter(((record.partition_key, data),))
    for key, part in parts:
        content = part
        if part.startswith(_GZIP_MAGIC):
            content = _decompress(part, room.decompressed_bytes)
            room.decompressed_bytes -= len(content)
        text = _decode_utf8(content)
        room.take_text(text)
        for value in _json_values(text, content):
            yield key, value


def _decompress(data: bytes, limit: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidRecordError(Reason.GZIP_NOT_VALID, str(error)) from None
    if len(content) > limit:
        raise InvalidRecordError(Reason.DECOMPRESSED_TOO_LARGE)
    return content


def _decode_utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        position = f"byte {error.start}"
        raise _explain(data, InvalidRecordError(Reason.NOT_UTF8, position)) from None


def _json_values(text: str, data: bytes) -> Iterator[Any]:
    """Yield the values in `text` one after another, and the elements of an array one by one."""
    position = _skip_whitespace(text, text.startswith(_BYTE_ORDER_MARK)).end()
    if position == len(text):
        raise InvalidRecordError(Reason.EMPTY_PAYLOAD)
    in_array = False
    try:
        while position < len(text):
            if not in_array and text[position] == "[":
                in_array = True
                position = _skip_whitespace(text, position + 1).end()
                if text.startswith("]", position):
                    raise InvalidRecordError(Reason.EMPTY_ARRAY)
            value, position = _DECODER.raw_decode(text, position)
            yield value
            position = _skip_whitespace(text, position).end()
            if in_array:
                if text.startswith("]", position):
                    in_array = False
                elif not text.startswith(",", position):
                    raise JSONDecodeError("Expecting ',' delimiter", text, position)
                position = _skip_whitespace(text, position + 1).end()
        if in_array:
            raise JSONDecodeError("Expecting value", text, position)
    except JSONDecodeError as error:
        raise _explain_json(text, data, error) from None
    except RecursionError:
        raise InvalidRecordError(Reason.TOO_DEEP) from None


def _explain_json(text: str, data: bytes, error: JSONDecodeError) -> InvalidRecordError:
    """Return the rejection for text that is not JSON from `error` on."""
    rest = text[error.pos :]
    if rest and not rest.strip("\0"):
        return InvalidRecordError(Reason.TRAILING_NUL)
    if _NOT_FINITE.match(rest):
        return InvalidRecordError(Reason.NOT_FINITE, f"character {error.pos}")
    position = f"{error.msg} at character {error.pos}"
    return _explain(data, InvalidRecordError(Reason.NOT_JSON, position))


def _explain(data: bytes, otherwise: InvalidRecordError) -> InvalidRecordError:
    """Return what `data` looks like if it begins like another format."""
    for prefix, reason, name in _SIGNATURES:
        if data.startswith(prefix):
            return InvalidRecordError(reason, f"it looks like {name}")
    encoding = json.detect_encoding(data)
    if not encoding.startswith("utf-8"):
        return InvalidRecordError(Reason.NOT_UTF8, f"it looks like {encoding.upper()}")
    return otherwise


def _reject_constant(constant: str) -> NoReturn:
    raise InvalidRecordError(Reason.NOT_FINITE, constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidRecordError(Reason.DUPLICATE_MEMBER)
    if "" in members:
        raise InvalidRecordError(Reason.EMPTY_NAME)
    return members


_DECODER = json.JSONDecoder(
    parse_float=number,
    # Integers become Decimal too, which avoids Python's limit on the digits of an int.
    parse_int=number,
    parse_constant=_reject_constant,
    object_pairs_hook=_object,
)
