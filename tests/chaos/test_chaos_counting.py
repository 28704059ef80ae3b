"""The order of the messages, the result, and the exit code of a chaos run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from iot_constructs.local.accounting import (
    Account,
    DeadLetter,
    DeadLetters,
    StoredReading,
    account,
    find_stale_states,
)
from iot_constructs.local.plan import Fate, Message, make_plan
from tests.chaos.__main__ import parse
from tests.chaos.result import Result
from tests.chaos.run import CONCURRENT_DEVICES, SHUFFLE_WINDOW, shuffled

NOW_MS = 1_760_000_000_000


def plan(devices: int = 5, readings: int = 60) -> list[Message]:
    return make_plan(devices=devices, readings=readings, seed=3, now_ms=NOW_MS)


def perfect(messages: list[Message]) -> tuple[Account, list[StoredReading], dict[str, Decimal]]:
    """The account of a run without errors."""
    by_identity = {message.identity: message for message in messages}
    readings, letters = [], []
    states: dict[str, Decimal] = {}
    for number, message in enumerate(by_identity.values()):
        if message.expected is Fate.STORED:
            assert message.timestamp is not None
            timestamp = message.timestamp + Decimal(number) / 10_000
            readings.append(StoredReading(message.identity, message.device_id, timestamp))
            before = states.get(message.device_id, timestamp)
            states[message.device_id] = max(timestamp, before)
        else:
            letters.append(DeadLetter(message.identity, message.device_id, "reason"))
    return account(messages, readings, DeadLetters(tuple(letters)), states), readings, states


def numbers_of(result: Result) -> Mapping[str, int]:
    numbers: dict[str, int] = json.loads(result.summary())
    return numbers


def test_shuffled_keeps_every_message_and_changes_the_order_per_device() -> None:
    messages = plan()
    order = shuffled(messages, seed=1)
    assert sorted(order, key=id) == sorted(messages, key=id)
    assert order == shuffled(messages, seed=1) != shuffled(messages, seed=2)
    device = messages[0].device_id
    assert [m for m in order if m.device_id == device] != [
        m for m in messages if m.device_id == device
    ]


def test_shuffled_limits_the_concurrent_devices() -> None:
    order = shuffled(plan(devices=3 * CONCURRENT_DEVICES, readings=400), seed=1)
    parts = [order[at : at + SHUFFLE_WINDOW] for at in range(0, len(order), SHUFFLE_WINDOW)]
    for part in parts:
        # A window can span two groups.
        assert len({message.device_id for message in part}) <= 2 * CONCURRENT_DEVICES
    assert len({message.device_id for message in parts[0]}) == CONCURRENT_DEVICES


def test_a_run_without_errors_ends_with_three_zeros() -> None:
    found, readings, states = perfect(plan())
    result = Result(found, find_stale_states(readings, states), undelivered=0)
    assert result.exit_code == 0
    assert result.problems == []
    stored, dead = len(found.stored), len(found.dead_lettered)
    assert result.summary() == (
        f'{{"sent":{found.sent},"stored":{stored},"dead_lettered":{dead},'
        '"lost":0,"duplicated":0,"stale_state":0}'
    )


def test_a_lost_record_is_counted() -> None:
    found, _, _ = perfect(plan())
    stored = sorted(found.stored)
    lost = replace(found, stored=frozenset(stored[1:]), lost=(stored[0],))
    result = Result(lost, {}, undelivered=0)
    assert numbers_of(result)["lost"] == 1
    assert result.exit_code == 1


def test_a_record_with_two_keys_is_counted() -> None:
    messages = plan()
    _, readings, states = perfect(messages)
    again = replace(readings[0], timestamp=Decimal(1))
    dead = [
        DeadLetter(message.identity, message.device_id, "reason")
        for message in messages
        if message.expected is not Fate.STORED
    ]
    found = account(messages, [*readings, again], DeadLetters(tuple(dead)), states)
    result = Result(found, {}, undelivered=0)
    assert numbers_of(result)["duplicated"] == 1
    assert result.exit_code == 1


@pytest.mark.parametrize("change", [Decimal("-0.0001"), Decimal(-1), Decimal(5)])
def test_a_stale_state_is_counted(change: Decimal) -> None:
    found, readings, states = perfect(plan())
    device = min(states)
    states[device] += change
    result = Result(found, find_stale_states(readings, states), undelivered=0)
    assert list(result.stale_state) == [device]
    assert numbers_of(result)["stale_state"] == 1
    assert result.problems
    assert result.exit_code == 1


def test_a_missing_state_and_a_state_without_readings_are_stale() -> None:
    readings = [StoredReading("rec", "a", Decimal(1))]
    assert find_stale_states(readings, {"b": Decimal(1)}) == {
        "a": "no state instead of 1",
        "b": "1 instead of none",
    }


def test_an_undelivered_failure_record_fails_the_run() -> None:
    found, _, _ = perfect(plan())
    result = Result(found, {}, undelivered=1)
    assert result.exit_code == 1
    assert "1 failure records not delivered" in result.problems


def test_seed_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "7")
    assert parse([]).seed == 7
    assert parse(["--seed", "8"]).seed == 8
    monkeypatch.setenv("SEED", "")
    assert parse([]).seed == 1


def test_the_number_of_records_is_rounded_up() -> None:
    for records, devices in ((50_000, 200), (2000, 40), (7, 3), (1, 5)):
        options = parse(["--records", str(records), "--devices", str(devices)])
        assert records <= options.readings * options.devices < records + devices


@pytest.mark.parametrize("arguments", [["--records", "0"], ["--devices", "x"], ["--seed", "y"]])
def test_invalid_arguments_are_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        parse(arguments)
    assert error.value.code == 2
