"""The plan of a run is reproducible and complete."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from iot_constructs.local.plan import (
    EXPECTED,
    IDENTITY,
    SPAN_MS,
    Fate,
    Kind,
    Message,
    make_plan,
    newest_timestamps,
)

NOW = 1_790_000_000_000


def plan(devices: int = 4, readings: int = 45, seed: int = 7) -> list[Message]:
    return make_plan(devices=devices, readings=readings, seed=seed, now_ms=NOW)


def test_plan_depends_only_on_its_seed() -> None:
    assert plan() == plan()
    assert plan() != plan(seed=8)


@pytest.mark.parametrize(("devices", "readings"), [(1, 1), (1, 60), (20, 60), (3, 7)])
def test_number_of_distinct_records(devices: int, readings: int) -> None:
    messages = plan(devices, readings)
    assert len({message.identity for message in messages}) == devices * readings


@pytest.mark.parametrize(("devices", "readings"), [(0, 1), (1, 0)])
def test_an_empty_plan_is_an_error(devices: int, readings: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan(devices, readings)


def test_every_kind_occurs() -> None:
    assert set(Counter(message.kind for message in plan())) == set(EXPECTED)


def test_identity_is_in_every_payload() -> None:
    for message in plan():
        if message.kind is not Kind.NOT_JSON or b"messageId" not in message.payload:
            assert message.identity.encode() in message.payload
        assert IDENTITY.findall(message.payload) == [message.identity.encode()]


def test_timestamps_are_before_now_and_recent() -> None:
    for message in plan():
        if message.timestamp is not None:
            assert NOW - 2 * SPAN_MS < message.timestamp <= NOW


def test_invalid_messages_are_invalid() -> None:
    for message in plan():
        if message.kind is Kind.NOT_JSON:
            with pytest.raises(ValueError, match=r".*"):
                json.loads(message.payload)
        elif message.kind is Kind.NO_TIMESTAMP:
            assert "timestamp" not in json.loads(message.payload)
        elif message.kind is Kind.NOT_A_NUMBER:
            assert b"NaN" in message.payload or b"Infinity" in message.payload
        if message.expected is Fate.DEAD_LETTERED:
            assert message.timestamp is None


def test_mismatched_messages_have_the_id_of_another_device() -> None:
    messages = [message for message in plan() if message.kind is Kind.DEVICE_ID_MISMATCH]
    assert all(json.loads(each.payload)["deviceId"] != each.device_id for each in messages)


def test_duplicates_follow_their_original() -> None:
    messages = plan()
    for at, message in enumerate(messages):
        if message.kind is Kind.DUPLICATE:
            original = next(each for each in messages if each.identity == message.identity)
            assert original.kind is Kind.READING
            assert original.payload == message.payload
            assert messages.index(original) < at


def test_late_messages_are_older_than_previous_ones() -> None:
    newest: dict[str, int] = {}
    for message in plan():
        if message.timestamp is None:
            continue
        before = newest.get(message.device_id, 0)
        if message.kind is Kind.LATE:
            assert message.timestamp < before
        if message.kind is Kind.SAME_TIMESTAMP:
            assert message.timestamp == before
        newest[message.device_id] = max(before, message.timestamp)
    assert newest == newest_timestamps(plan())
