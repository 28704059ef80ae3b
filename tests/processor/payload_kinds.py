"""What devices send: each kind of payload with what becomes of it. docs/guide/payloads.md has the same table."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iot_constructs.processor.rejections import Reason

from .aws_fakes import DAY, NOW, RETENTION

DEVICE = "pump-1"
"""The partition key of every record."""


@dataclass(frozen=True)
class Stored:
    """A reading as it has to be in the tables."""

    reading: Mapping[str, Any]
    milliseconds: int | None = NOW
    """None: the arrival of the record."""
    device_id: str = DEVICE


@dataclass(frozen=True)
class PayloadKind:
    """A row of the table."""

    name: str
    data: bytes
    result: Reason | tuple[Stored, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of TelemetryProcessor."""
    remark: str = ""

    def row(self) -> str:
        """The row of the table in docs/guide/payloads.md."""
        settings = ", ".join(f"`{name}={_literal(value)}`" for name, value in self.settings.items())
        if isinstance(self.result, Reason):
            result = f"rejected: `{self.result.value}`"
        else:
            result = "stored" if len(self.result) == 1 else f"stored as {len(self.result)} readings"
        return f"| {self.name} | {settings} | {result}{self.remark} |"


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def dump(*values: object, between: str = "\n") -> bytes:
    return between.join(json.dumps(value) for value in values).encode()


def kpl_aggregate(*user_records: tuple[str, bytes], extra: bytes = b"") -> bytes:
    """As the KPL writes it, with each partition key once; `extra` is added to the message."""
    keys = list(dict.fromkeys(key for key, _ in user_records))
    message = b"".join(_field(1, key.encode()) for key in keys)
    message += _field(2, b"340282366920938463463374607431768211455")  # an explicit hash key
    for key, data in user_records:
        tag = _field(1, b"tag") + _field(2, b"value")
        record = _number(1, keys.index(key)) + _number(2, 0) + _field(3, data) + _field(4, tag)
        message += _field(3, record)
    return seal(message + extra)


def seal(message: bytes) -> bytes:
    return b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message, usedforsecurity=False).digest()


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes((low | 0x80,)) + _varint(rest) if rest else bytes((low,))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def at(timestamp: object) -> dict[str, object]:
    return {"timestamp": timestamp, "celsius": 21}


def at_text(text: str) -> bytes:
    return f'{{"timestamp": {text}, "celsius": 21}}'.encode()


def value_of(text: str) -> bytes:
    return f'{{"timestamp": {NOW}, "value": {text}}}'.encode()


ONE = at(NOW)
THREE = [{"timestamp": NOW + n, "celsius": n} for n in range(3)]
AS_THREE = tuple(Stored(reading, NOW + n) for n, reading in enumerate(THREE))
OTHERS = [{"timestamp": NOW, "deviceId": f"valve-{n}"} for n in range(2)]
AS_OTHERS = tuple(Stored(reading, device_id=str(reading["deviceId"])) for reading in OTHERS)
UNDATED = [{"celsius": n} for n in range(3)]
ARRIVED: Mapping[str, Any] = {"use_arrival_time": True}
BY_MEMBER: Mapping[str, Any] = {"device_id_field": "deviceId"}
NAMED = {"timestamp": NOW, "deviceId": "valve-0"}
LOG_LINE = {"@timestamp": "2023-11-14T22:13:20.000000000Z", "host": "gateway-7", "celsius": 21}
SENML = [{"bn": "urn:dev:mac:0024befffe804ff1/", "n": "temperature", "u": "Cel", "v": 21}]
CLOUDWATCH = {"messageType": "DATA_MESSAGE", "logGroup": "a", "logEvents": [{"timestamp": NOW}]}

KINDS: tuple[PayloadKind, ...] = (
    # --- how a record is built
    PayloadKind("a JSON object", dump(ONE), (Stored(ONE),)),
    PayloadKind(
        "a JSON object over several lines, with a line break at its end",
        json.dumps(ONE, indent=2).encode() + b"\r\n",
        (Stored(ONE),),
    ),
    PayloadKind(
        "a JSON object after a byte order mark", b"\xef\xbb\xbf" + dump(ONE), (Stored(ONE),)
    ),
    PayloadKind("an array of JSON objects", dump(THREE), AS_THREE),
    PayloadKind("one JSON object on each line", dump(*THREE) + b"\n", AS_THREE),
    PayloadKind("JSON objects one after another", dump(*THREE, between=""), AS_THREE),
    PayloadKind("an array on each line", dump(THREE[:2], THREE[2:]), AS_THREE),
    PayloadKind("the same object twice", dump(ONE, ONE), (Stored(ONE),), remark=" once"),
    PayloadKind("gzip of a JSON object", gzip.compress(dump(ONE)), (Stored(ONE),)),
    PayloadKind("gzip of an array", gzip.compress(dump(THREE)), AS_THREE),
    PayloadKind("gzip of one object on each line", gzip.compress(dump(*THREE)), AS_THREE),
    PayloadKind(
        "gzip files one after another", b"".join(gzip.compress(dump(r)) for r in THREE), AS_THREE
    ),
    PayloadKind(
        "a KPL aggregate: each user record has its own partition key",
        kpl_aggregate(("valve-0", dump(OTHERS[0])), ("valve-1", dump(OTHERS[1]))),
        AS_OTHERS,
    ),
    PayloadKind(
        "a KPL aggregate of gzip and arrays",
        kpl_aggregate((DEVICE, gzip.compress(dump(THREE[0]))), (DEVICE, dump(THREE[1:]))),
        AS_THREE,
    ),
    # --- timestamps
    PayloadKind("epoch seconds", dump(at(NOW // 1000)), (Stored(at(NOW // 1000)),)),
    PayloadKind(
        "epoch seconds with a fraction",
        at_text("1700000000.25"),
        (Stored(at(1700000000.25), NOW + 250),),
    ),
    PayloadKind("epoch milliseconds", dump(at(NOW + 1)), (Stored(at(NOW + 1), NOW + 1),)),
    PayloadKind(
        "epoch microseconds", dump(at(NOW * 1000 + 1500)), (Stored(at(NOW * 1000 + 1500), NOW + 1),)
    ),
    PayloadKind(
        "epoch nanoseconds", dump(at(NOW * 10**6 + 999_999)), (Stored(at(NOW * 10**6 + 999_999)),)
    ),
    PayloadKind(
        "a number in exponent notation: `1.7e9`", at_text("1.7e9"), (Stored(at(1700000000)),)
    ),
    *(
        PayloadKind(f'`"{text}"`', dump(at(text)), (Stored(at(text), NOW + after),))
        for text, after in (
            ("2023-11-14T22:13:20Z", 0),
            ("2023-11-14T22:13:20.5Z", 500),
            ("2023-11-14T22:13:20.123456789Z", 123),
            ("2023-11-14T23:13:20+01:00", 0),
            ("2023-11-14T16:43:20-0530", 0),
            ("2023-11-14 22:13:20+00", 0),
            ("2023-11-14T22:13Z", -20_000),
            ("2023-11-14T22:12:60Z", -20_000),
        )
    ),
    PayloadKind("no timestamp", dump({"celsius": 21}), Reason.NO_TIMESTAMP),
    PayloadKind("no timestamp", dump({"celsius": 21}), (Stored({"celsius": 21}, None),), ARRIVED),
    PayloadKind("`null` as the timestamp", dump(at(None)), Reason.NO_TIMESTAMP),
    PayloadKind("`null` as the timestamp", dump(at(None)), (Stored(at(None), None),), ARRIVED),
    PayloadKind(
        "an array of objects without timestamps",
        dump(UNDATED),
        tuple(Stored(r, None) for r in UNDATED),
        ARRIVED,
    ),
    PayloadKind("an empty object", b"{}", Reason.NO_TIMESTAMP),
    PayloadKind("an empty object", b"{}", (Stored({}, None),), ARRIVED),
    PayloadKind("the timestamp in another member", dump({"time": NOW}), Reason.NO_TIMESTAMP),
    PayloadKind(
        "the timestamp in another member",
        dump({"time": NOW}),
        (Stored({"time": NOW}),),
        {"timestamp_field": "time"},
    ),
    PayloadKind(
        '`"2023-11-14T22:13:20"`', dump(at("2023-11-14T22:13:20")), Reason.TIMESTAMP_WITHOUT_ZONE
    ),
    PayloadKind('`"2023-11-14"`', dump(at("2023-11-14")), Reason.TIMESTAMP_NOT_VALID),
    PayloadKind(
        '`"2023-02-30T00:00:00Z"`', dump(at("2023-02-30T00:00:00Z")), Reason.TIMESTAMP_NOT_VALID
    ),
    PayloadKind(
        '`"Tue, 14 Nov 2023 22:13:20 GMT"`',
        dump(at("Tue, 14 Nov 2023 22:13:20 GMT")),
        Reason.TIMESTAMP_NOT_VALID,
    ),
    PayloadKind(
        'digits in a string: `"1700000000"`', dump(at("1700000000")), Reason.TIMESTAMP_NOT_VALID
    ),
    PayloadKind("`true` as the timestamp", dump(at(True)), Reason.TIMESTAMP_NOT_VALID),
    PayloadKind(
        "a clock that is two days fast",
        dump(at(NOW + 2 * DAY * 1000)),
        Reason.TIMESTAMP_IN_THE_FUTURE,
    ),
    PayloadKind("a clock that starts in 1970", dump(at(3600)), Reason.TIMESTAMP_BEFORE_RETENTION),
    PayloadKind(
        "older than the table's retention",
        dump(at(NOW - RETENTION * 1000 - 1)),
        Reason.TIMESTAMP_BEFORE_RETENTION,
    ),
    # --- device ids
    PayloadKind(
        "a `deviceId` other than the partition key",
        dump(NAMED),
        (Stored(NAMED),),
        remark=" under the partition key, and counted in `DeviceIdMismatches`",
    ),
    PayloadKind("a `deviceId`", dump(NAMED), (Stored(NAMED, device_id="valve-0"),), BY_MEMBER),
    PayloadKind(
        "a whole number as `deviceId`",
        dump({"timestamp": NOW, "deviceId": 1200}),
        (Stored({"timestamp": NOW, "deviceId": 1200}, device_id="1200"),),
        BY_MEMBER,
    ),
    PayloadKind("an array of objects of several devices", dump(OTHERS), AS_OTHERS, BY_MEMBER),
    PayloadKind(
        "a KPL aggregate with random partition keys",
        kpl_aggregate(("5f3a", dump(OTHERS[0])), ("91bc", dump(OTHERS[1]))),
        AS_OTHERS,
        BY_MEMBER,
    ),
    PayloadKind(
        "a record of Fluent Bit with `time_key @timestamp`",
        dump(LOG_LINE) + b"\n",
        (Stored(LOG_LINE, device_id="gateway-7"),),
        {"timestamp_field": "@timestamp", "device_id_field": "host"},
    ),
    PayloadKind("no `deviceId`, or `null`", dump(ONE), Reason.NO_DEVICE_ID, BY_MEMBER),
    *(
        PayloadKind(name, dump({**ONE, "deviceId": value}), Reason.DEVICE_ID_NOT_VALID, BY_MEMBER)
        for name, value in (
            ("an empty `deviceId`", ""),
            ("a `deviceId` of more than 2,048 bytes", "ü" * 1025),
            ("a `deviceId` with a fraction: `1.5`", 1.5),
            ("an object as `deviceId`", {"id": "pump-1"}),
        )
    ),
    # --- content
    PayloadKind(
        "text in any script, with escapes",
        b'{"timestamp": 1700000000000, "name": "\xc3\xbc \\u00fc \\ud83d\\ude80"}',
        (Stored({"timestamp": NOW, "name": "ü ü \U0001f680"}),),
    ),
    PayloadKind(
        "members `ttl`, `reading` or `deviceId`",
        dump({"timestamp": NOW, "ttl": 1, "reading": 2, "deviceId": DEVICE}),
        (Stored({"timestamp": NOW, "ttl": 1, "reading": 2, "deviceId": DEVICE}),),
    ),
    PayloadKind(
        "a number of 38 digits",
        value_of("1" * 38),
        (Stored({"timestamp": NOW, "value": int("1" * 38)}),),
        remark=" exactly",
    ),
    PayloadKind("a number of more than 38 digits", value_of("1" * 39), Reason.NUMBER_OUT_OF_RANGE),
    PayloadKind("a number beyond 9.99E+125", value_of("1e126"), Reason.NUMBER_OUT_OF_RANGE),
    PayloadKind("`NaN`, `Infinity` or `-Infinity`", value_of("NaN"), Reason.NOT_FINITE),
    PayloadKind("`nan` or `inf`, as printf writes them", value_of("-nan"), Reason.NOT_FINITE),
    PayloadKind("a member twice", b'{"timestamp": 1, "v": 1, "v": 2}', Reason.DUPLICATE_MEMBER),
    PayloadKind("a member without a name", dump({**ONE, "": 1}), Reason.EMPTY_NAME),
    PayloadKind(
        'half of a surrogate pair: `"\\ud800"`', value_of('"\\ud800"'), Reason.LONE_SURROGATE
    ),
    PayloadKind("more than 32 levels of nesting", value_of("[" * 32 + "]" * 32), Reason.TOO_DEEP),
    PayloadKind("a reading of more than 400 KB", value_of(f'"{"x" * 409_600}"'), Reason.TOO_LARGE),
    # --- what is not a reading
    PayloadKind("nothing", b"", Reason.EMPTY_PAYLOAD),
    PayloadKind("white space", b" \r\n", Reason.EMPTY_PAYLOAD),
    PayloadKind("gzip of nothing", gzip.compress(b""), Reason.EMPTY_PAYLOAD),
    PayloadKind("an empty array", b"[]", Reason.EMPTY_ARRAY),
    PayloadKind("a number", b"21.5", Reason.NOT_AN_OBJECT),
    PayloadKind("`null`", b"null", Reason.NOT_AN_OBJECT),
    PayloadKind("JSON in a JSON string", dump(json.dumps(ONE)), Reason.NOT_AN_OBJECT),
    PayloadKind("an array of arrays", dump([THREE]), Reason.NOT_AN_OBJECT),
    PayloadKind(
        "an array with a reading that is not valid",
        dump([*THREE, at("?")]),
        Reason.TIMESTAMP_NOT_VALID,
    ),
    PayloadKind(
        "an array with a number between the readings", dump([ONE, 1]), Reason.NOT_AN_OBJECT
    ),
    PayloadKind("lines of which the last one is cut off", dump(*THREE)[:-1], Reason.NOT_JSON),
    PayloadKind("an array that is cut off", dump(THREE)[:-1], Reason.NOT_JSON),
    PayloadKind(
        "objects with commas between them, but no brackets",
        dump(*THREE, between=","),
        Reason.NOT_JSON,
    ),
    PayloadKind("JSON with single quotes", b"{'timestamp': 1700000000000}", Reason.NOT_JSON),
    PayloadKind("JSON with a comma at its end", b'{"timestamp": 1700000000000,}', Reason.NOT_JSON),
    PayloadKind("JSON with comments", b'{"timestamp": 1700000000000} // now', Reason.NOT_JSON),
    PayloadKind(
        "a raw line break in a string", b'{"timestamp": 1700000000000, "a": "\n"}', Reason.NOT_JSON
    ),
    PayloadKind("comma-separated values", b"pump-1,2023-11-14T22:13:20Z,21.5", Reason.NOT_JSON),
    PayloadKind(
        "InfluxDB line protocol", b"room,id=7 celsius=21.5 1700000000000000000", Reason.NOT_JSON
    ),
    PayloadKind("XML", b"<reading celsius='21.5'/>", Reason.NOT_JSON),
    PayloadKind("base64 of JSON", base64.b64encode(dump(ONE)), Reason.NOT_JSON),
    PayloadKind(
        "JSON and the NUL at the end of a C string", dump(ONE) + b"\0", Reason.TRAILING_NUL
    ),
    PayloadKind(
        "JSON in a buffer that is filled up with NUL", dump(ONE) + bytes(200), Reason.TRAILING_NUL
    ),
    PayloadKind("JSON in UTF-16", json.dumps(ONE).encode("utf-16"), Reason.NOT_UTF8),
    PayloadKind(
        "JSON in UTF-16 without a byte order mark",
        json.dumps(ONE).encode("utf-16-le"),
        Reason.NOT_UTF8,
    ),
    PayloadKind("JSON in Latin-1", '{"name": "Grün"}'.encode("latin-1"), Reason.NOT_UTF8),
    PayloadKind("gzip that is cut off", gzip.compress(dump(THREE))[:-9], Reason.GZIP_NOT_VALID),
    PayloadKind(
        "gzip with a wrong checksum",
        gzip.compress(dump(ONE))[:-8] + bytes(8),
        Reason.GZIP_NOT_VALID,
    ),
    PayloadKind(
        "gzip with other data after it", gzip.compress(dump(ONE)) + b"x", Reason.GZIP_NOT_VALID
    ),
    PayloadKind(
        "gzip of more than 10 MiB",
        gzip.compress(bytes(10 * 2**20 + 1)),
        Reason.DECOMPRESSED_TOO_LARGE,
    ),
    PayloadKind(
        "zlib (`compress()`), without gzip's header",
        zlib.compress(dump(ONE)),
        Reason.UNSUPPORTED_COMPRESSION,
    ),
    PayloadKind("Zstandard", b"\x28\xb5\x2f\xfd\x04\x00\x11", Reason.UNSUPPORTED_COMPRESSION),
    PayloadKind("LZ4", b"\x04\x22\x4d\x18\x64\x40\xa7", Reason.UNSUPPORTED_COMPRESSION),
    PayloadKind(
        "Snappy with its frame format",
        b"\xff\x06\x00\x00sNaPpY\x01",
        Reason.UNSUPPORTED_COMPRESSION,
    ),
    PayloadKind("bzip2", bz2.compress(dump(ONE)), Reason.UNSUPPORTED_COMPRESSION),
    PayloadKind("xz", lzma.compress(dump(ONE)), Reason.UNSUPPORTED_COMPRESSION),
    PayloadKind(
        "a ZIP archive", b"PK\x03\x04\x14\x00\x00\x00\x08\x00", Reason.UNSUPPORTED_COMPRESSION
    ),
    PayloadKind("CBOR", b"\xa1\x67celsius\x15", Reason.BINARY_FORMAT),
    PayloadKind("MessagePack", b"\x81\xa7celsius\x15", Reason.BINARY_FORMAT),
    PayloadKind(
        "Protocol Buffers with a number in field 1, such as Sparkplug B",
        b"\x08\x80\xd0\x95",
        Reason.BINARY_FORMAT,
    ),
    PayloadKind("an Avro file", b"Obj\x01\x04\x14avro.codec", Reason.BINARY_FORMAT),
    PayloadKind("Amazon Ion", b"\xe0\x01\x00\xea\xee\x8f\x81\x83", Reason.BINARY_FORMAT),
    PayloadKind("any other bytes that are not UTF-8", b"\xff\xfe\xfd\xfc\xfb", Reason.NOT_UTF8),
    PayloadKind(
        "a KPL aggregate with a wrong checksum",
        kpl_aggregate((DEVICE, dump(ONE)))[:-1] + b"x",
        Reason.KPL_NOT_VALID,
    ),
    PayloadKind("a KPL aggregate without user records", seal(b""), Reason.EMPTY_PAYLOAD),
    PayloadKind(
        "a KPL aggregate of which one user record is not JSON",
        kpl_aggregate((DEVICE, dump(ONE)), (DEVICE, b"?")),
        Reason.NOT_JSON,
    ),
    PayloadKind(
        "more than 5,000 readings", b'{"timestamp":1700000000000}' * 5_001, Reason.TOO_MANY_READINGS
    ),
    PayloadKind(
        "more than 250,000 commas, brackets, and braces, and so values",
        value_of(f"[{'0,' * 250_000}0]"),
        Reason.TOO_MANY_VALUES,
    ),
    PayloadKind("SenML (RFC 8428)", dump(SENML), Reason.NO_TIMESTAMP),
    PayloadKind(
        "SenML (RFC 8428)",
        dump(SENML),
        (Stored(SENML[0], None),),
        ARRIVED,
        remark=": each entry as it is",
    ),
    PayloadKind(
        "a log subscription of CloudWatch Logs",
        gzip.compress(dump(CLOUDWATCH)),
        Reason.NO_TIMESTAMP,
    ),
)
