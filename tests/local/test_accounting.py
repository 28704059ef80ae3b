"""The accounting finds lost, duplicated, and misplaced records."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from iot_constructs.local.accounting import (
    RULE_ERROR,
    Account,
    DeadLetter,
    DeadLetterReader,
    DeadLetters,
    StoredReading,
    account,
    dead_letter,
    print_result,
    stored_reading,
)
from iot_constructs.local.plan import Fate, Kind, make_plan, newest_timestamps

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
    again = replace(READINGS[0], timestamp=READINGS[0].timestamp + 1)
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
REJECTED = {"kind": "rejected-record", "reason": "not-json", "partitionKey": "a"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {
                **REJECTED,
                "payloadEncoding": "base64",
                "payload": base64.b64encode(PAYLOAD).decode(),
            },
            DeadLetter("rec-abcdef-000001", "a", "not-json"),
        ),
        (
            {
                **REJECTED,
                "payloadEncoding": "gzip+base64",
                "payload": base64.b64encode(gzip.compress(PAYLOAD)).decode(),
            },
            DeadLetter("rec-abcdef-000001", "a", "not-json"),
        ),
        ({**REJECTED, "payloadEncoding": "none", "payload": None}, None),
        ({**REJECTED, "payloadEncoding": "base64", "payload": "no base64!"}, None),
        (
            {
                "ruleName": "r",
                "topic": "device/b/telemetry",
                "base64OriginalPayload": base64.b64encode(PAYLOAD).decode(),
            },
            DeadLetter("rec-abcdef-000001", "b", RULE_ERROR),
        ),
        ({"KinesisBatchInfo": {"shardId": "shardId-000000000000"}}, None),
    ],
)
@pytest.mark.parametrize("enveloped", [True, False])
def test_dead_letters_of_every_format(
    message: dict[str, Any], expected: DeadLetter | None, enveloped: bool
) -> None:
    body = json.dumps(message)
    if enveloped:
        body = json.dumps({"Type": "Notification", "Message": body})
    assert dead_letter(body) == expected


def test_text_without_a_record_is_not_recognized() -> None:
    assert dead_letter("neither JSON nor a record") is None


def test_stored_item() -> None:
    item = {
        "deviceId": {"S": "a"},
        "timestamp": {"N": "1790000000000.25"},
        "reading": {"M": {"messageId": {"S": "rec-abcdef-000001"}}},
    }
    expected = StoredReading("rec-abcdef-000001", "a", Decimal("1790000000000.25"))
    assert stored_reading(item) == expected
    assert stored_reading({**item, "reading": {"M": {}}}) is None


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
    reader = DeadLetterReader(FakeQueue(bodies), "url", visibility_timeout=20)
    assert len(reader.read().letters) == number
    assert len(reader.read().letters) == number


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
    reader = DeadLetterReader(SlowQueue(bodies), "url", visibility_timeout=visibility_timeout)
    assert (len(reader.read().letters) == len(bodies)) is complete
