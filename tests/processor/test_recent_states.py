"""States that are recent enough are read instead of written."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from iot_constructs.processor.device_state import DeviceStateWriter
from iot_constructs.processor.readings import Reading
from iot_constructs.processor.retries import CALL_RESERVE_MS, Deadline, RetryPolicy
from iot_constructs.processor.time_series import WriteReport

from .aws_fakes import (
    NOW,
    SETTINGS,
    STATE,
    Clock,
    FakeDynamoDB,
    FakeSNS,
    Fault,
    always,
    aws_error,
    make_processor,
    make_records,
    once,
)
from .test_device_state import reading

INTERVAL = 60
INTERVAL_MS = INTERVAL * 1000
READ, WRITE = "batch_get_item", "batch_execute_statement"


def store(
    dynamodb: FakeDynamoDB,
    *readings: Reading,
    clock: Clock | None = None,
    calls_after: int = 0,
    first: tuple[Reading, ...] = (),
) -> WriteReport:
    clock = clock if clock is not None else Clock()
    writer = DeviceStateWriter(
        dynamodb, STATE, RetryPolicy(clock.sleep, lambda: 1.0), interval_seconds=INTERVAL
    )
    return writer.store(readings, Deadline(clock.remaining_ms), first, calls_after)


def with_states(*devices: str, faults: Any = lambda called: None) -> FakeDynamoDB:
    """A table with a state of each device."""
    quiet = [True]
    dynamodb = FakeDynamoDB(lambda called: None if quiet else faults(called))
    store(dynamodb, *[reading(device, "old") for device in devices])
    quiet.clear()
    dynamodb.calls.clear()
    return dynamodb


def later(state: str, milliseconds: int, value: object = "new") -> Reading:
    return reading(state, value, milliseconds)


def test_a_state_is_written_if_it_is_older_than_the_reading_by_more_than_the_interval() -> None:
    dynamodb = with_states("same", "recent", "late", "old")
    report = store(
        dynamodb,
        reading("same", "old"),
        later("recent", INTERVAL_MS - 1),
        later("late", -1),
        later("old", INTERVAL_MS + 1),
        reading("new"),
    )
    assert (report.refused, report.failed) == ({}, {})
    assert dynamodb.calls == [(READ, 5), (WRITE, 2), (WRITE, 1)]  # UPDATE old, new; INSERT new
    written = {item["deviceId"] for item in dynamodb.items(STATE)} - {
        item["deviceId"] for item in dynamodb.items(STATE) if item["reading"]["value"] == "old"
    }
    assert written == {"old", "new"}


@pytest.mark.parametrize(("last_digit", "operations"), [(1, [READ]), (0, [READ, WRITE])])
def test_the_interval_is_exact_to_the_last_digit_of_a_sort_key(
    last_digit: int, operations: list[str]
) -> None:
    dynamodb = with_states("d")
    fraction = "50000000000000000"
    dynamodb.tables[STATE].items["d",]["timestamp"] = {"N": f"{NOW}.{fraction}{last_digit}"}
    sort_key = Decimal(f"{NOW + INTERVAL_MS}.{fraction}1")
    store(dynamodb, replace(reading("d"), sort_key=sort_key))
    assert [operation for operation, _ in dynamodb.calls] == operations


def test_only_the_newest_reading_of_a_device_counts() -> None:
    dynamodb = with_states("d")
    store(dynamodb, later("d", 1), later("d", INTERVAL_MS + 1, "newest"), later("d", 2))
    assert dynamodb.state("d")["reading"]["value"] == "newest"


def test_a_hundred_states_are_read_by_one_call() -> None:
    dynamodb = with_states(*[f"d{number}" for number in range(150)])
    store(dynamodb, *[later(f"d{number}", 1) for number in range(150)])
    assert dynamodb.calls == [(READ, 100), (READ, 50)]


def test_without_an_interval_nothing_is_read() -> None:
    dynamodb = with_states("d")
    clock = Clock()
    writer = DeviceStateWriter(dynamodb, STATE, RetryPolicy(clock.sleep))
    writer.store([later("d", 1)], Deadline(clock.remaining_ms))
    assert dynamodb.calls == [(WRITE, 1)]


def test_an_item_without_a_timestamp_is_not_a_recent_state() -> None:
    dynamodb = FakeDynamoDB()
    dynamodb.put_item(TableName=STATE, Item={"deviceId": {"S": "d"}})
    dynamodb.put_item(TableName=STATE, Item={"deviceId": {"S": "e"}, "timestamp": {"S": "now"}})
    dynamodb.calls.clear()
    writes = [reading("d"), reading("e")]
    store(dynamodb, *writes)
    assert dynamodb.calls[:2] == [(READ, 2), (WRITE, 2)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(error=aws_error("ProvisionedThroughputExceededException")),
        Fault(error=aws_error("AccessDeniedException")),
        Fault(error=TimeoutError(), after=True),
        Fault(leaves=lambda index: True),
    ],
)
def test_what_cannot_be_read_is_written(fault: Fault) -> None:
    dynamodb = with_states("d", "e", faults=always(READ, fault))
    report = store(dynamodb, later("d", 1), later("e", 1))
    assert (report.refused, report.failed) == ({}, {})
    assert dynamodb.calls == [(READ, 2), (WRITE, 2)]
    assert dynamodb.state("d")["reading"]["value"] == "new"


def test_unprocessed_keys_are_written_and_the_others_are_not() -> None:
    dynamodb = with_states("d0", "d1", faults=once(READ, Fault(leaves=lambda index: index == 1)))
    store(dynamodb, later("d0", 1), later("d1", 1))
    assert dynamodb.calls == [(READ, 2), (WRITE, 1)]
    assert dynamodb.state("d1")["reading"]["value"] == "new"


def test_a_failed_read_is_logged_without_its_message_and_is_the_last_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    denied = Fault(error=aws_error("AccessDeniedException", "a secret"))
    dynamodb = with_states(faults=always(READ, denied))
    store(dynamodb, *[reading(f"d{number}") for number in range(300)])
    assert [call for call in dynamodb.calls if call[0] == READ] == [(READ, 100)]
    assert len(dynamodb.items(STATE)) == 300
    [record] = caplog.records
    assert (record.levelname, vars(record)["error"]) == ("WARNING", "AccessDeniedException")
    assert "secret" not in str(vars(record))


@pytest.mark.parametrize(("spare", "reads"), [(0, False), (1, True)])
@pytest.mark.parametrize(("devices", "calls_after", "rounds"), [(1, 0, 1), (1, 2, 1), (201, 0, 2)])
def test_the_read_leaves_the_time_of_all_writes(
    devices: int, calls_after: int, rounds: int, spare: int, reads: bool
) -> None:
    """Otherwise, a slow read would cost the first record its write."""
    dynamodb = with_states()
    call_ms = 1_000
    calls = rounds * 3 + calls_after
    clock = Clock(CALL_RESERVE_MS * 10)
    deadline = Deadline(clock.remaining_ms)
    with deadline.call():  # what the time series took
        clock.remaining -= call_ms
    clock.remaining = CALL_RESERVE_MS + calls * call_ms + spare
    writer = DeviceStateWriter(
        dynamodb, STATE, RetryPolicy(clock.sleep, lambda: 1.0), interval_seconds=INTERVAL
    )
    readings = [reading(f"d{number}") for number in range(devices)]
    writer.store(readings, deadline, readings[:1], calls_after)
    assert any(operation == READ for operation, _ in dynamodb.calls) is reads
    assert dynamodb.state("d0")["reading"]["value"] == 1


def test_the_other_readings_of_a_device_replace_one_that_the_table_refuses() -> None:
    dynamodb = with_states("d")
    dynamodb.refuses = lambda table, item: item["reading"]["M"]["value"] == {"S": "bad"}
    bad = later("d", INTERVAL_MS + 2, "bad")
    report = store(dynamodb, later("d", INTERVAL_MS + 1), bad)
    assert list(report.refused) == [bad.key]
    assert dynamodb.state("d")["reading"]["value"] == "new"


def test_the_time_series_has_the_readings_whose_states_are_left_out() -> None:
    settings = replace(SETTINGS, device_state_interval_seconds=INTERVAL)
    dynamodb, sns = FakeDynamoDB(), FakeSNS()
    processor = make_processor(dynamodb, sns, settings=settings)
    for second in (0, 1, 30, 61, 62):
        sent = ("d", {"timestamp": NOW + second * 1000, "second": second})
        outcome = processor.process(make_records(sent), lambda: 60_000)
        assert (outcome.stored, outcome.retry_from) == (1, None)
        # The state is the reading of second 0 until it would be older than the newest one by more than a minute.
        assert dynamodb.state("d")["reading"]["second"] == (0 if second < 61 else 61)
    assert len(dynamodb.items(SETTINGS.time_series_table or "")) == 5
    assert sns.messages == []
