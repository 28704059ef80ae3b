"""The accounting finds lost, duplicated, and misplaced records."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from iot_constructs.cli.dead_letter_messages import InlineRecords, Source, StreamRange
from iot_constructs.cli.kinesis_records import Record, build_event
from iot_constructs.local import accounting
from iot_constructs.local.accounting import (
    RULE_ERROR,
    Account,
    Accountant,
    BucketReader,
    DeadLetter,
    DeadLetters,
    Finder,
    QueueReader,
    Run,
    StoredReading,
    account,
    dead_letters,
    find_stale_states,
    print_result,
    stored_readings,
    superseded,
)
from iot_constructs.local.discovery import Places, TelemetryTables
from iot_constructs.local.plan import (
    Fate,
    Kind,
    Message,
    make_plan,
    newest_timestamps,
)

PLAN = make_plan(devices=3, readings=40, seed=3, now_ms=1_790_000_000_000)
FIRST = {message.identity: message for message in reversed(PLAN)}
READINGS = [
    StoredReading(each.identity, each.device_id, Decimal(each.timestamp or 0) + Decimal("0.5"))
    for each in FIRST.values()
    if each.expected is Fate.STORED
]
LETTERS = [
    DeadLetter(each.identity, each.device_id, "not-json")
    for each in FIRST.values()
    if each.expected is Fate.DEAD_LETTERED
]
STATES = {device: Decimal(newest) for device, newest in newest_timestamps(PLAN).items()}


def count(
    readings: list[StoredReading] = READINGS,
    letters: list[DeadLetter] = LETTERS,
    states: dict[str, Decimal] = STATES,
    unrecognized: tuple[str, ...] = (),
) -> Account:
    return account(PLAN, readings, DeadLetters(tuple(letters), unrecognized), states)


def test_complete_account() -> None:
    result = count()
    assert result.problems == []
    assert result.exit_code == 0
    assert json.loads(result.summary()) == {
        "sent": 120,
        "stored": len(READINGS),
        "dead_lettered": len(LETTERS),
        "lost": 0,
    }
    assert result.messages == len(PLAN) > result.sent


def test_missing_reading_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    result = count(readings=READINGS[1:])
    assert result.lost == (READINGS[0].identity,)
    assert print_result(result) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["lost"] == 1


def test_missing_dead_letter_is_lost() -> None:
    result = count(letters=LETTERS[1:])
    assert result.lost == (LETTERS[0].identity,)
    assert result.exit_code == 1


def test_record_in_both_places_is_an_error() -> None:
    letter = DeadLetter(READINGS[0].identity, READINGS[0].device_id, "?")
    result = count(letters=[*LETTERS, letter])
    assert result.in_both == (READINGS[0].identity,)
    assert result.exit_code == 1
    assert not result.is_complete


def test_duplicate_stored_twice_is_an_error() -> None:
    again = replace(READINGS[0], timestamp=Decimal(1))
    result = count(readings=[*READINGS, again])
    assert result.stored_more_than_once == (READINGS[0].identity,)
    assert result.exit_code == 1


def test_dead_letter_twice_is_allowed() -> None:
    result = count(letters=[*LETTERS, LETTERS[0]])
    assert result.dead_lettered_more_than_once == (LETTERS[0].identity,)
    assert result.exit_code == 0


@pytest.mark.parametrize("device", ["sensor-002", "unknown-sensor"])
def test_reading_of_another_device_is_an_error(device: str) -> None:
    moved = next(each for each in READINGS if each.device_id == "sensor-001")
    others = [each for each in READINGS if each is not moved]
    result = count(readings=[*others, replace(moved, device_id=device)])
    assert result.wrong_device == (moved.identity,)
    assert result.exit_code == 1


def test_invalid_record_in_the_table_is_an_error() -> None:
    invalid = StoredReading(LETTERS[0].identity, LETTERS[0].device_id or "", Decimal(1))
    result = count(readings=[*READINGS, invalid], letters=LETTERS[1:])
    assert result.unexpected == (LETTERS[0].identity,)
    assert result.exit_code == 1


def test_unknown_record_is_an_error() -> None:
    stranger = StoredReading("rec-ffffff-999999", "sensor-001", Decimal(1))
    result = count(readings=[*READINGS, stranger], unrecognized=("a batch failed",))
    assert len(result.unknown) == 2
    assert result.exit_code == 1


def test_stale_state_is_an_error() -> None:
    states = {**STATES, "sensor-001": STATES["sensor-001"] - 1}
    del states["sensor-002"]
    result = count(states=states)
    assert set(result.stale_state) == {"sensor-001", "sensor-002"}
    assert result.exit_code == 1


def test_an_app_without_a_table_of_states_has_no_stale_one() -> None:
    letters = DeadLetters(tuple(LETTERS))
    assert account(PLAN, READINGS, letters, None).exit_code == 0
    assert account(PLAN, READINGS, letters, {}).exit_code == 1


def test_a_table_without_history_has_replaced_older_readings() -> None:
    newest = [each for each in READINGS if int(each.timestamp or 0) == STATES[each.device_id or ""]]
    assert newest
    older = superseded(PLAN, newest, STATES, "states")
    assert {each.identity for each in [*newest, *older]} == {each.identity for each in READINGS}
    letters = DeadLetters(tuple(LETTERS))
    assert account(PLAN, [*newest, *older], letters, STATES).exit_code == 0
    found = account(PLAN, [*newest, *older], letters, STATES).by_place
    assert found["states, replaced by a newer reading"] == len(older)
    # What is on the queue was not in the table.
    dead = DeadLetter(older[0].identity, None, "rejected-by-transform")
    assert dead.identity not in {
        each.identity for each in superseded(PLAN, [*newest, dead], STATES, "states")
    }
    # A reading that is newer than the state is not in the table.
    earlier = {**STATES, "sensor-001": STATES["sensor-001"] - 1}
    result = account(PLAN, superseded(PLAN, [], earlier, "states"), letters, earlier)
    assert (
        [FIRST[each].device_id for each in result.lost] == ["sensor-001"] * len(result.lost) != []
    )


def test_fraction_of_the_state_timestamp_is_ignored() -> None:
    states = {device: newest + Decimal("0.899") for device, newest in STATES.items()}
    assert count(states=states).exit_code == 0


def test_each_kind_is_counted() -> None:
    result = count()
    for kind, each in result.by_kind.items():
        messages = [message for message in PLAN if message.kind is kind]
        assert each.messages == len(messages)
        assert each.stored + each.dead_lettered == len(messages)
    assert result.by_kind[Kind.NOT_JSON].reasons["not-json"] > 0


PAYLOAD = b'{"messageId": "rec-abcdef-000001"'
STREAM_ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
REJECTED = {
    "kind": "rejected-record",
    "reason": "not-json",
    "detail": "Expecting value",
    "partitionKey": "a",
    "streamArn": STREAM_ARN,
    "shardId": "shardId-000000000000",
    "sequenceNumber": "7",
}
BATCH = {
    "requestContext": {"condition": "RetryAttemptsExhausted"},
    "KinesisBatchInfo": {
        "shardId": "shardId-000000000000",
        "startSequenceNumber": "7",
        "endSequenceNumber": "7",
        "batchSize": 1,
        "streamArn": STREAM_ARN,
    },
}
FINDER = Finder(PLAN)


def on_stream(source: Source) -> Sequence[Record]:
    """The record that the stream has at sequence number 7."""
    if isinstance(source, InlineRecords):
        return source.records
    if isinstance(source, StreamRange) and source.first == source.last == "7":
        return [Record("a", PAYLOAD)]
    return []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {
                **REJECTED,
                "payloadEncoding": "base64",
                "payload": base64.b64encode(PAYLOAD).decode(),
            },
            ("a", "not-json"),
        ),
        (
            {
                **REJECTED,
                "payloadEncoding": "gzip+base64",
                "payload": base64.b64encode(gzip.compress(PAYLOAD)).decode(),
            },
            ("a", "not-json"),
        ),
        ({**REJECTED, "payloadEncoding": "none", "payload": None}, ("a", "not-json")),
        ({**REJECTED, "payloadEncoding": "base64", "payload": "no base64!"}, None),
        (
            {
                "ruleName": "r",
                "topic": "device/b/telemetry",
                "base64OriginalPayload": base64.b64encode(PAYLOAD).decode(),
            },
            ("b", RULE_ERROR),
        ),
        (BATCH, ("a", "RetryAttemptsExhausted")),
        ({"KinesisBatchInfo": {"shardId": "shardId-000000000000"}}, None),
        ({"event": {"data": base64.b64encode(PAYLOAD).decode()}}, (None, "")),
        ({"text": "failed for rec-abcdef-000001"}, (None, "")),
    ],
)
@pytest.mark.parametrize("enveloped", [True, False])
def test_dead_letters_of_every_format(
    message: dict[str, Any], expected: tuple[str | None, str] | None, enveloped: bool
) -> None:
    body = json.dumps(message)
    if enveloped:
        body = json.dumps({"Type": "Notification", "Message": body})
    found = dead_letters(body, FINDER, on_stream, "dlq")
    letter = [] if expected is None else [DeadLetter("rec-abcdef-000001", *expected, "dlq")]
    assert found == letter


def test_text_without_a_record_is_not_recognized() -> None:
    assert dead_letters("neither JSON nor a record", FINDER, on_stream, "dlq") == []


def test_stored_item() -> None:
    item = {
        "deviceId": {"S": "a"},
        "timestamp": {"N": "1790000000000.25"},
        "reading": {"M": {"messageId": {"S": "rec-abcdef-000001"}}},
    }
    expected = StoredReading("rec-abcdef-000001", "a", Decimal("1790000000000.25"), "t")
    assert stored_readings(item, FINDER, "t") == [expected]
    assert stored_readings({**item, "reading": {"M": {}}}, FINDER, "t") == []


@pytest.mark.parametrize(
    "value",
    [
        {"S": "rec-abcdef-000001"},
        {"S": json.dumps({"raw": base64.b64encode(PAYLOAD).decode()})},
        {"B": PAYLOAD},
        {"B": gzip.compress(PAYLOAD)},
        {"L": [{"M": {"id": {"S": "rec-abcdef-000001"}}}]},
        {"SS": ["other", "rec-abcdef-000001"]},
    ],
)
def test_a_record_is_found_in_every_attribute_of_any_table(value: dict[str, Any]) -> None:
    found = stored_readings({"id": {"S": "x"}, "any": value}, FINDER, "t")
    assert found == [StoredReading("rec-abcdef-000001", None, None, "t")]


def test_a_line_without_an_id_is_found_by_exactly_its_bytes() -> None:
    line = Message("line 2", "sensor-001", Kind.PAYLOAD, b"21.5;55", None)
    finder = Finder([line])
    assert finder.find({"raw": {"B": b"21.5;55"}}) == ["line 2"]
    assert finder.find({"raw": {"S": "21.5;55"}}) == ["line 2"]
    assert finder.find(b"20.1;54\n21.5;55\n") == ["line 2"]
    assert finder.find({"raw": {"S": "1;21.5;55"}}) == []
    letter = DeadLetter("line 2", None, "not-an-object", "dlq")
    result = account([line, line], [], DeadLetters((letter, letter)), None, known_fates=False)
    kind = result.by_kind[Kind.PAYLOAD]
    assert (kind.messages, kind.dead_lettered, kind.reasons) == (2, 1, {"not-an-object": 1})


class FakeS3:
    """A bucket that counts how often each object is read."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.reads: list[str] = []

    def get_paginator(self, operation: str) -> FakeS3:
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": key, "ETag": "1"} for key in self.objects]}]

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.reads.append(request["Key"])
        return {"Body": BytesIO(self.objects[request["Key"]])}


def test_objects_count_unless_firehose_wrote_them() -> None:
    record = Record("a", b"rec-abcdef-000002", STREAM_ARN, "shardId-000000000000", "7")
    event = build_event([record])
    s3 = FakeS3(
        {
            "telemetry/x": b"rec-abcdef-000000",
            "out/x": gzip.compress(b"rec-abcdef-000001"),
            "aws/lambda/x": json.dumps({**BATCH, "payload": json.dumps(event)}).encode(),
        }
    )
    reader = BucketReader(s3, "b", ["b/telemetry/", "c/"], FINDER)
    expected = [
        StoredReading("rec-abcdef-000001", None, None, "s3://b"),
        DeadLetter("rec-abcdef-000002", "a", "stored-batch", "s3://b"),
    ]
    assert reader.read() == expected
    assert reader.read() == expected
    assert sorted(s3.reads) == ["aws/lambda/x", "out/x"]


def test_with_unknown_fates_only_a_lost_record_is_an_error() -> None:
    stored = {each.identity for each in READINGS}
    moved = [replace(each, device_id=None, timestamp=None) for each in READINGS[1:]]
    both = [*LETTERS, DeadLetter(READINGS[1].identity, None, "?")]
    letters = DeadLetters(tuple(both), ("an unrelated message",))
    result = account(PLAN, [*moved, *moved], letters, {}, known_fates=False)
    assert result.problems == [f"1 lost: {READINGS[0].identity}"]
    assert result.exit_code == 1
    moved.append(replace(READINGS[0], device_id="another"))
    result = account(PLAN, moved, letters, {}, known_fates=False)
    assert result.stored == stored
    assert (result.problems, result.exit_code) == ([], 0)


def test_every_object_of_an_array_counts() -> None:
    array = b'[{"messageId": "rec-abcdef-000001"}, {"messageId": "rec-abcdef-000002"}]'
    plan = [Message("rec-abcdef-000001", "sensor-001", Kind.PAYLOAD, array, None)]
    reading = StoredReading("rec-abcdef-000001", None, None, "t")
    result = account(plan, [reading], DeadLetters(), {}, known_fates=False)
    assert (result.sent, result.messages, result.lost) == (2, 1, ("rec-abcdef-000002",))
    assert result.by_place == {"t": 1}
    assert (result.by_kind[Kind.PAYLOAD].stored, result.by_kind[Kind.PAYLOAD].lost) == (1, 1)


@pytest.mark.parametrize("payload", [None, "payload.jsonl"])
def test_a_saved_run_is_the_same(tmp_path: Path, payload: str | None) -> None:
    places = Places(
        tables=("t",),
        queues=("https://q",),
        archives=("b/p",),
        telemetry=(TelemetryTables("t", None),),
        known_fates=True,
    )
    run = Run(1, 2, 3, 4, "https://e", "ca.pem", places, payload)
    run.save(tmp_path / "out" / "run.json")
    assert Run.load(tmp_path / "out" / "run.json") == run
    assert run.known_fates is (payload is None)


class FakeQueue:
    """A queue whose messages are immediately visible again."""

    def __init__(self, bodies: list[str]) -> None:
        self.messages = [
            {"MessageId": str(number), "Body": body} for number, body in enumerate(bodies)
        ]

    def receive_message(self, **request: Any) -> dict[str, Any]:
        taken = self.messages[: request["MaxNumberOfMessages"]]
        self.messages = self.messages[len(taken) :] + taken
        return {"Messages": taken} if taken else {}


@pytest.mark.parametrize("number", [0, 1, 10, 11, 95])
def test_reader_finds_all_messages_and_ends(number: int) -> None:
    bodies = [json.dumps({"messageId": f"rec-abcdef-{at:06d}"}) for at in range(number)]
    reader = QueueReader(FakeQueue(bodies), "url", visibility_timeout=20)
    assert sorted(reader.read()) == sorted(bodies)
    assert sorted(reader.read()) == sorted(bodies)


class SlowQueue:
    """A queue with one call per second. Messages that become visible again precede the others."""

    def __init__(self, bodies: list[str]) -> None:
        self.visible_at = {number: (0, body) for number, body in enumerate(bodies)}
        self.now = 0

    def receive_message(self, **request: Any) -> dict[str, Any]:
        self.now += 1
        free = [n for n, (since, _) in self.visible_at.items() if since <= self.now]
        taken = free[: request["MaxNumberOfMessages"]]
        for n in taken:
            self.visible_at[n] = (self.now + request["VisibilityTimeout"], self.visible_at[n][1])
        return {"Messages": [{"MessageId": str(n), "Body": self.visible_at[n][1]} for n in taken]}


@pytest.mark.parametrize(("visibility_timeout", "complete"), [(5, False), (100, True)])
def test_a_slow_queue_is_read_completely_within_the_visibility_timeout(
    visibility_timeout: int, complete: bool
) -> None:
    bodies = [json.dumps({"messageId": f"rec-abcdef-{at:06d}"}) for at in range(400)]
    reader = QueueReader(SlowQueue(bodies), "url", visibility_timeout=visibility_timeout)
    assert (len(reader.read()) == len(bodies)) is complete


class Services:
    """DynamoDB with two tables, and one queue. The first count finds the tables empty."""

    def __init__(self, series: list[Message], states: list[Message]) -> None:
        self.tables = {"series": series, "states": states}
        self.counts = 0

    def get_paginator(self, operation: str) -> Services:
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.counts += 1
        there = self.tables[request["TableName"]] if self.counts > 2 else []
        yield {
            "Items": [
                {
                    "deviceId": {"S": each.device_id},
                    "timestamp": {"N": f"{each.timestamp}.5"},
                    "reading": {"S": each.payload.decode()},
                }
                for each in there
            ]
        }

    def receive_message(self, **request: Any) -> dict[str, Any]:
        letters = [each for each in FIRST.values() if each.expected is Fate.DEAD_LETTERED]
        found = [
            {"MessageId": each.identity, "Body": f"not-json: {each.identity}"} for each in letters
        ]
        return {"Messages": found}


def settled(
    monkeypatch: pytest.MonkeyPatch,
    series: list[Message],
    states: list[Message],
    tables: TelemetryTables,
    *,
    known_fates: bool,
) -> tuple[Account, list[int]]:
    """The account, and the numbers of found records that were reported as progress."""
    services = Services(series, states)
    monkeypatch.setattr(
        accounting, "Endpoint", lambda *of: SimpleNamespace(client=lambda name: services)
    )
    existing = tuple(each for each in (tables.time_series, tables.state) if each is not None)
    places = Places(existing, ("http://queue",), telemetry=(tables,), known_fates=known_fates)
    run = Run(3, 40, 3, 1_790_000_000_000, "http://e", "ca", places)
    progress: list[int] = []
    result = Accountant(run).count_until_settled(
        patience=0.2, pause=0, on_progress=lambda each: progress.append(each.sent - len(each.lost))
    )
    return result, progress


STORED = [each for each in FIRST.values() if each.expected is Fate.STORED]
NEWEST = [each for each in STORED if each.timestamp == STATES[each.device_id]]
OLDEST = [
    min((each for each in STORED if each.device_id == name), key=lambda each: each.timestamp or 0)
    for name in STATES
]


@pytest.mark.parametrize("known_fates", [True, False])
@pytest.mark.parametrize(
    "tables",
    [
        TelemetryTables("series", "states"),
        TelemetryTables("series", None),
        TelemetryTables(None, "states"),
    ],
)
def test_it_counts_until_every_record_is_there(
    monkeypatch: pytest.MonkeyPatch, tables: TelemetryTables, known_fates: bool
) -> None:
    result, progress = settled(monkeypatch, STORED, NEWEST, tables, known_fates=known_fates)
    assert (result.exit_code, result.lost, result.problems) == (0, (), [])
    assert (len(result.stored), len(result.dead_lettered)) == (len(READINGS), len(LETTERS))
    assert (progress[0], progress[-1]) == (len(LETTERS), result.sent)


@pytest.mark.parametrize("known_fates", [True, False])
def test_a_state_that_stays_old_is_an_error(
    monkeypatch: pytest.MonkeyPatch, known_fates: bool
) -> None:
    tables = TelemetryTables("series", "states")
    result, _ = settled(monkeypatch, STORED, OLDEST, tables, known_fates=known_fates)
    assert (result.exit_code, result.lost) == (1, ())
    assert result.stale_state.keys() == STATES.keys()


SPAN = int(max(STATES[each.device_id] - (each.timestamp or 0) for each in OLDEST))


@pytest.mark.parametrize(("missing", "stale"), [(0, False), (1, True)])
def test_with_an_interval_a_state_may_be_older_by_that_and_no_more(
    monkeypatch: pytest.MonkeyPatch, missing: int, stale: bool
) -> None:
    tables = TelemetryTables("series", "states", SPAN - missing)
    result, _ = settled(monkeypatch, STORED, OLDEST, tables, known_fates=False)
    assert (result.exit_code == 1, bool(result.stale_state)) == (stale, stale)
    # Without a time series, nothing else shows that the newer readings were processed.
    tables = TelemetryTables(None, "states", SPAN - missing)
    result, _ = settled(monkeypatch, [], OLDEST, tables, known_fates=False)
    assert bool(result.lost) is stale


def test_the_interval_is_exact_and_a_state_is_no_newer_than_its_readings() -> None:
    newest = Decimal("1790000000000.000000000000000001")
    stored = [StoredReading("a", "d", newest)]
    for state, is_stale in {
        newest: False,
        Decimal("1789999999000.000000000000000001"): False,
        Decimal("1789999999000.000000000000000000"): True,
        Decimal("1790000000000.000000000000000002"): True,
    }.items():
        assert bool(find_stale_states(stored, {"d": state}, 1000)) is is_stale
    assert find_stale_states(stored, {}, 1000)
    assert find_stale_states([], {"d": newest}, 1000)
