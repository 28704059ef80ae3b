"""Any payload comes through every kind of message; no message at all makes the parser raise."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iot_constructs.cli.dead_letter_messages import (
    DeadLetter,
    InlineRecords,
    Kind,
    NoRecords,
    OpaqueEvent,
    S3Location,
    StoredObject,
    StreamRange,
    Unreadable,
    parse_dead_letter,
    parse_stored_batch,
)
from iot_constructs.cli.kinesis_records import (
    MalformedMessageError,
    Record,
    build_event,
    parse_event,
)
from iot_constructs.processor.dead_letters import DeadLetter as ProcessorsDeadLetter
from iot_constructs.processor.dead_letters import format_message
from iot_constructs.processor.records import StreamRecord
from iot_constructs.processor.rejections import InvalidRecordError, Reason

from .aws_fakes import (
    NOW,
    SHARD,
    STREAM_ARN,
    TEST_EVENT,
    OnShard,
    async_failure,
    event_record,
    failed_batch,
    in_envelope,
    kinesis_event,
    object_created,
    random_bytes,
    rejected,
    rule_error,
    stored_batch,
)

FAST = settings(deadline=None, derandomize=True, database=None, max_examples=100)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
RECORDS = st.builds(
    OnShard, st.integers(0, 10**56).map(str), KEYS, st.binary(max_size=300), st.just(NOW)
)
WRAPPERS: list[Callable[[Any], str]] = [json.dumps, lambda body: json.dumps(in_envelope(body))]


def records_in(letter: DeadLetter) -> tuple[Record, ...]:
    assert isinstance(letter.source, InlineRecords), letter
    return letter.source.records


def as_record(record: OnShard) -> Record:
    return Record(
        record.partition_key, record.data, STREAM_ARN, SHARD, record.sequence_number, record.arrival
    )


@pytest.mark.parametrize(
    "position",
    [
        {"streamArn": None, "shardId": None, "sequenceNumber": None},
        # What a function without this version of the processor copies from the event.
        {"streamArn": "none", "shardId": "shardId-none", "sequenceNumber": "1"},
    ],
    ids=["null", "copied"],
)
def test_a_rejected_record_that_was_never_on_a_stream(position: dict[str, Any]) -> None:
    message = {**rejected(OnShard("1", "d1", b"x", NOW)), **position}
    expected = Record("d1", b"x", arrival=NOW)
    assert records_in(parse_dead_letter(json.dumps(message))) == (expected,)
    without = {**message, "payloadEncoding": "none", "payload": None}
    source = parse_dead_letter(json.dumps(without)).source
    assert isinstance(source, Unreadable)
    assert "neither the payload nor its position" in source.problem


def test_the_event_of_a_record_that_was_never_on_a_stream_has_no_position_for_a_redrive() -> None:
    expected = (Record("d1", b"x", arrival=NOW), Record("d2", b"y", arrival=NOW))
    event = build_event(expected)
    assert parse_event(event) == expected
    assert records_in(parse_dead_letter(json.dumps(async_failure(event)))) == expected
    for raw in event["Records"]:
        letter = ProcessorsDeadLetter(
            StreamRecord.from_event(raw), InvalidRecordError(Reason.NOT_UTF8, "byte 0")
        )
        message = json.loads(format_message(letter))
        assert [message[name] for name in ("streamArn", "shardId", "sequenceNumber")] == [None] * 3


def test_a_payload_that_is_in_no_message_and_on_no_stream_is_not_looked_for_there() -> None:
    raw = build_event((Record("d1", random_bytes("large", 300_000), arrival=NOW),))["Records"][0]
    letter = ProcessorsDeadLetter(
        StreamRecord.from_event(raw), InvalidRecordError(Reason.NOT_UTF8, "byte 0")
    )
    assert "not on a stream" in json.loads(format_message(letter))["payloadLocation"]


@FAST
@given(RECORDS, st.sampled_from(WRAPPERS))
def test_a_rejected_record(record: OnShard, wrap: Callable[[Any], str]) -> None:
    letter = parse_dead_letter(wrap(rejected(record)))
    assert (letter.kind, records_in(letter)) == (Kind.REJECTED_RECORD, (as_record(record),))
    assert letter.reason == "not-json: expecting value at 0"
    left_out = parse_dead_letter(wrap(rejected(record, "none")))
    number = record.sequence_number
    assert left_out.source == StreamRange(STREAM_ARN, SHARD, number, number, 1)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\x00", b"a" * 400_000, random_bytes("incompressible", 1_000_000)],
    ids=["empty", "bytes", "compressed", "left out"],
)
def test_a_rejected_record_as_the_processor_writes_it(data: bytes) -> None:
    record = StreamRecord.from_event(event_record(OnShard("123", "d1", data, NOW)))
    message = format_message(
        ProcessorsDeadLetter(record, InvalidRecordError(Reason.NOT_UTF8, "byte 0"))
    )
    letter = parse_dead_letter(message)
    if len(data) == 1_000_000:
        assert letter.source == StreamRange(STREAM_ARN, SHARD, "123", "123", 1)
    else:
        assert records_in(letter) == (as_record(OnShard("123", "d1", data, NOW)),)


@FAST
@given(st.lists(RECORDS, min_size=1, max_size=4), st.sampled_from(WRAPPERS))
def test_events_in_messages_and_in_stored_batches(
    records: list[OnShard], wrap: Callable[[Any], str]
) -> None:
    expected = tuple(map(as_record, records))
    letter = parse_dead_letter(wrap(async_failure(kinesis_event(*records))))
    assert (letter.kind, records_in(letter)) == (Kind.ASYNC_FAILURE, expected)
    assert letter.reason == "RetriesExhausted: Unhandled"
    assert parse_stored_batch(json.dumps(stored_batch(*records))) == expected
    assert parse_event(build_event(expected)) == expected
    with_payload = {**failed_batch("1", "2", 2), "payload": json.dumps(kinesis_event(*records))}
    assert records_in(parse_dead_letter(wrap(with_payload))) == expected


# With Basic Ingest, AWS does not document whether the topic of a rule error has the prefix that topic(n) ignores.
TOPIC_PREFIXES = ["", "$aws/rules/iot_telemetry_dev/"]


@FAST
@given(st.binary(max_size=300), st.sampled_from(WRAPPERS), st.sampled_from(TOPIC_PREFIXES))
def test_a_rule_error(data: bytes, wrap: Callable[[Any], str], prefix: str) -> None:
    letter = parse_dead_letter(wrap(rule_error(f"{prefix}device/d7/telemetry", data)))
    assert (letter.kind, records_in(letter)) == (Kind.RULE_ERROR, (Record("d7", data),))
    assert letter.reason.startswith("KinesisAction: Failed to put the record")


@pytest.mark.parametrize("prefix", TOPIC_PREFIXES)
@pytest.mark.parametrize(
    ("topic", "level"),
    [("site/a/device/d7", 4), ("d7", 1), ("/rules/d7", 3), ("rules/d7/rules", 2)],
)
def test_the_topic_level_of_a_rule_error_is_an_option(topic: str, level: int, prefix: str) -> None:
    body = json.dumps(rule_error(prefix + topic, b"x"))
    assert records_in(parse_dead_letter(body, level))[0].partition_key == "d7"


@pytest.mark.parametrize("prefix", TOPIC_PREFIXES)
@pytest.mark.parametrize(
    ("level", "topic"), [(5, "site/a/device/d7"), (2, "device//telemetry"), (2, "device")]
)
def test_a_rule_error_without_the_level_is_kept(level: int, topic: str, prefix: str) -> None:
    source = parse_dead_letter(json.dumps(rule_error(prefix + topic, b"x")), level).source
    assert isinstance(source, Unreadable)
    assert f"has no level {level}" in source.problem
    assert "--topic-level" in source.problem


def test_a_failed_batch_has_the_position_of_its_records() -> None:
    letter = parse_dead_letter(json.dumps(in_envelope(failed_batch("100", "200", 7))))
    assert letter.kind is Kind.FAILED_BATCH
    assert letter.reason == "RetryAttemptsExhausted: Unhandled"
    assert letter.source == StreamRange(STREAM_ARN, SHARD, "100", "200", 7)


def test_a_consumers_arn_names_its_stream() -> None:
    body = failed_batch("100", "200", 7)
    body["KinesisBatchInfo"]["streamArn"] = f"{STREAM_ARN}/consumer/fast:1700000000"
    source = parse_dead_letter(json.dumps(body)).source
    assert source == StreamRange(STREAM_ARN, SHARD, "100", "200", 7)


def test_a_notification_of_s3_names_the_object_with_its_version() -> None:
    body = object_created("aws/lambda/a%2Bb/2027/01-15T08.00.00+x%C3%BC", "bucket-1")
    body["Records"][0]["s3"]["object"]["versionId"] = "v1"
    letter = parse_dead_letter(json.dumps(in_envelope(body)))
    assert letter.kind is Kind.STORED_BATCH
    expected = StoredObject("bucket-1", "aws/lambda/a+b/2027/01-15T08.00.00 xü", "v1")
    assert letter.source == S3Location((expected,))


def test_the_test_event_of_s3_has_nothing_behind_it() -> None:
    letter = parse_dead_letter(json.dumps(in_envelope(TEST_EVENT)))
    assert (letter.kind, letter.source) == (Kind.TEST_EVENT, NoRecords())


def test_an_asynchronous_event_that_is_not_from_a_stream_stays_as_it_is() -> None:
    letter = parse_dead_letter(json.dumps(async_failure({"Records": [], "x": 1})))
    assert letter.source == OpaqueEvent({"Records": [], "x": 1})


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", '"kind"', "NaN", "1" * 5000, "[" * 100_000, '{"kind": "other"}'],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_not_understood_is_unknown(body: str) -> None:
    letter = parse_dead_letter(body)
    assert letter.kind is Kind.UNKNOWN
    assert isinstance(letter.source, Unreadable)


VALID: list[dict[str, Any]] = [
    rejected(OnShard("1", "d1", b"x", NOW)),
    failed_batch("1", "2", 2),
    stored_batch(OnShard("1", "d1", b"x", NOW)),
    object_created("key"),
    rule_error("device/d1/telemetry", b"x"),
    async_failure(kinesis_event(OnShard("1", "d1", b"x", NOW))),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "none", "gzip+base64", "base64", "1", "AAAA", STREAM_ARN, "\ud800"])
    | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


def paths_of(value: Any) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [(k, *rest) for k, v in value.items() for rest in [(), *paths_of(v)]]
    if isinstance(value, list):
        return [(i, *rest) for i, v in enumerate(value) for rest in [(), *paths_of(v)]]
    return []


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


CHANGED = st.sampled_from(VALID).flatmap(
    lambda body: st.builds(changed, st.just(body), st.sampled_from(paths_of(body)), JSON)
)


@settings(FAST, max_examples=400)
@given(CHANGED | JSON, st.sampled_from(WRAPPERS))
@example({**VALID[0], "payloadEncoding": "gzip+base64"}, json.dumps)
@example({**VALID[0], "deviceId": "\ud800"}, json.dumps)
@example({**VALID[0], "deviceId": "d" * 257}, json.dumps)
@example({**VALID[0], "sequenceNumber": "-1"}, json.dumps)
@example({**VALID[0], "approximateArrivalTimestamp": 10**400}, json.dumps)
def test_the_parser_never_raises_and_never_makes_a_record_that_kinesis_would_refuse(
    body: Any, wrap: Callable[[Any], str]
) -> None:
    letter = parse_dead_letter(wrap(body))
    if isinstance(letter.source, InlineRecords):
        for record in letter.source.records:
            assert 1 <= len(record.partition_key) <= 256
            record.partition_key.encode()
            assert record.sequence_number is None or int(record.sequence_number) >= 0
    if isinstance(letter.source, StreamRange):
        assert int(letter.source.first) <= int(letter.source.last)
        assert letter.source.batch_size >= 1
    if letter.kind is Kind.UNKNOWN:
        assert isinstance(letter.source, Unreadable)


@settings(FAST, max_examples=300)
@given(st.text() | CHANGED.map(json.dumps) | JSON.map(json.dumps))
def test_an_object_that_is_not_a_failed_batch_is_an_error(body: str) -> None:
    with suppress(MalformedMessageError):
        assert parse_stored_batch(body)


def zipped(to: int | None = None, broken: bool = False) -> str:
    whole = gzip.compress(b"payload" * 100, mtime=0)
    return base64.b64encode(whole[:10] + b"\xff" * 20 if broken else whole[:to]).decode()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"payload": "not base64!"}, "payload is not base64"),
        ({"payload": None}, "payload is not a string"),
        ({"payloadEncoding": "zip"}, "payloadEncoding is 'zip'"),
        ({"payloadEncoding": "gzip+base64"}, "payload is not gzip"),
        ({"payloadEncoding": "gzip+base64", "payload": zipped(to=-10)}, "payload is not gzip"),
        ({"payloadEncoding": "gzip+base64", "payload": zipped(to=12)}, "payload is not gzip"),
        ({"payloadEncoding": "gzip+base64", "payload": zipped(broken=True)}, "payload is not gzip"),
        ({"streamArn": "stream"}, "streamArn is 'stream'"),
        ({"shardId": ""}, "shardId is ''"),
        ({"sequenceNumber": "12x"}, "sequenceNumber is '12x'"),
        ({"partitionKey": ""}, "the partition key is ''"),
    ],
)
def test_a_malformed_message_has_its_problem(change: Any, problem: str) -> None:
    letter = parse_dead_letter(json.dumps({**VALID[0], **change}))
    assert letter.kind is Kind.REJECTED_RECORD
    assert isinstance(letter.source, Unreadable)
    assert problem in letter.source.problem


def test_an_object_that_was_removed_is_no_batch() -> None:
    body = object_created("key")
    body["Records"][0]["eventName"] = "ObjectRemoved:Delete"
    source = parse_dead_letter(json.dumps(body)).source
    assert isinstance(source, Unreadable)
    assert "ObjectRemoved:Delete" in source.problem
