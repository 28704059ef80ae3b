"""Batched conditional writes of the latest state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from iot_constructs.processor.device_state import DeviceStateWriter
from iot_constructs.processor.readings import Reading, parse_readings
from iot_constructs.processor.retries import Deadline, RetryPolicy
from iot_constructs.processor.time_series import WriteReport

from .aws_fakes import (
    NOW,
    SETTINGS,
    STATE,
    Clock,
    FakeDynamoDB,
    Fault,
    always,
    aws_error,
    make_records,
    once,
)

CALL, STATEMENTS = "batch_execute_statement", "statement"


def reading(device: str, value: object = 1, later: int = 0) -> Reading:
    [record] = make_records((device, {"timestamp": NOW + later, "value": value}))
    [parsed] = parse_readings(record, SETTINGS)
    return parsed


def store(dynamodb: Any, *readings: Reading, clock: Clock | None = None) -> WriteReport:
    clock = clock if clock is not None else Clock()
    writer = DeviceStateWriter(dynamodb, STATE, RetryPolicy(sleep=clock.sleep, jitter=lambda: 1.0))
    return writer.store(readings, Deadline(clock.remaining_ms))


def known(devices: int, faults: Callable[[str], Fault | None] = lambda _: None) -> FakeDynamoDB:
    """A table with an older state of each device."""
    quiet = [True]
    dynamodb = FakeDynamoDB(lambda called: None if quiet else faults(called))
    store(dynamodb, *[reading(f"d{number}", "old") for number in range(devices)])
    quiet.clear()
    dynamodb.calls.clear()
    return dynamodb


def test_a_hundred_known_devices_take_four_calls() -> None:
    dynamodb = known(100)
    report = store(dynamodb, *[reading(f"d{number}", "new", 1) for number in range(100)])
    assert (report.refused, report.failed) == ({}, {})
    assert dynamodb.calls == [(CALL, 25)] * 4
    assert {state["reading"]["value"] for state in dynamodb.items(STATE)} == {"new"}
    assert len(dynamodb.items(STATE)) == 100


def test_only_new_devices_are_inserted() -> None:
    dynamodb = known(2)
    store(dynamodb, *[reading(f"d{number}", "new", 1) for number in range(5)])
    assert dynamodb.calls == [(CALL, 5), (CALL, 3)]
    assert {state["reading"]["value"] for state in dynamodb.items(STATE)} == {"new"}


def test_a_late_reading_changes_nothing_and_needs_no_second_call() -> None:
    dynamodb = known(3)
    store(dynamodb, reading("d1", "newest", 10))
    dynamodb.calls.clear()
    late = [reading("d0", "new", 5), reading("d1", "late", 5), reading("d2", "new", 5)]
    report = store(dynamodb, *late)
    assert (report.refused, report.failed) == ({}, {})
    assert dynamodb.state("d1")["reading"]["value"] == "newest"
    assert dynamodb.calls == [(CALL, 3)]


def test_a_duplicate_reading_succeeds() -> None:
    dynamodb = known(1)
    again = reading("d0", "old")
    assert store(dynamodb, again).failed == {}
    assert dynamodb.calls == [(CALL, 1)]


def test_no_devices_need_no_call() -> None:
    dynamodb = FakeDynamoDB()
    store(dynamodb)
    assert dynamodb.calls == []


@pytest.mark.parametrize("theirs", [0, 10], ids=["older", "newer"])
def test_a_device_that_another_invocation_inserts_at_the_same_time(theirs: int) -> None:
    """The race between the UPDATE, which finds no item, and the INSERT."""
    dynamodb = FakeDynamoDB()
    real = dynamodb.batch_execute_statement
    other = reading("d1", "theirs", theirs)

    def racing(**request: Any) -> dict[str, Any]:
        if request["Statements"][0]["Statement"].startswith("INSERT") and not dynamodb.items(STATE):
            dynamodb.batch_execute_statement = real  # type: ignore[method-assign]
            assert store(dynamodb, other).failed == {}
        return real(**request)

    dynamodb.batch_execute_statement = racing  # type: ignore[method-assign]
    report = store(dynamodb, reading("d1", "ours", 5))
    assert (report.refused, report.failed) == ({}, {})
    assert dynamodb.state("d1")["reading"]["value"] == ("ours" if theirs < 5 else "theirs")


def test_late_data_is_recognized_without_the_old_item_in_the_response() -> None:
    """The INSERT then fails with DuplicateItem."""
    dynamodb = known(1)
    real = dynamodb.batch_execute_statement

    def silent(**request: Any) -> dict[str, Any]:
        answer = real(**request)
        for each in answer["Responses"]:
            each.get("Error", {}).pop("Item", None)
        return answer

    dynamodb.batch_execute_statement = silent  # type: ignore[method-assign]
    report = store(dynamodb, reading("d0", "late", -5))
    assert (report.refused, report.failed) == ({}, {})
    assert dynamodb.state("d0")["reading"]["value"] == "old"


@pytest.mark.parametrize(
    "code",
    [
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "InternalServerError",
        "TransactionConflict",
        "SomethingNew",
    ],
)
def test_only_the_failed_statement_is_retried(code: str) -> None:
    fault = Fault(error=aws_error(code))
    dynamodb, clock = known(25, once(f"{STATEMENTS} d7", fault, fault)), Clock()
    updates = [reading(f"d{number}", "new", 1) for number in range(25)]
    assert store(dynamodb, *updates, clock=clock).failed == {}
    assert dynamodb.calls == [(CALL, 25), (CALL, 1), (CALL, 1)]
    assert clock.slept == [0.1, 0.2]
    assert dynamodb.state("d7")["reading"]["value"] == "new"


def test_only_the_statement_that_keeps_failing_is_reported() -> None:
    fault = Fault(error=aws_error("ThrottlingError"))
    dynamodb = known(3, always(f"{STATEMENTS} d1", fault))
    updates = [reading(f"d{number}", "new", 1) for number in range(3)]
    assert store(dynamodb, *updates).failed == {updates[1].key: "ThrottlingError"}
    assert dynamodb.calls == [(CALL, 3)] + [(CALL, 1)] * 5
    assert dynamodb.state("d2")["reading"]["value"] == "new"


@pytest.mark.parametrize(
    "code", ["AccessDenied", "ResourceNotFound", "ItemCollectionSizeLimitExceeded"]
)
def test_an_error_that_is_not_retryable_is_reported_immediately(code: str) -> None:
    dynamodb = known(2, always(f"{STATEMENTS} d1", Fault(error=aws_error(code))))
    updates = [reading("d0", "new", 1), reading("d1", "new", 1)]
    report = store(dynamodb, *updates)
    assert (report.failed, report.refused) == ({updates[1].key: code}, {})
    assert dynamodb.calls == [(CALL, 2)]


def test_an_error_without_a_code_is_a_failure() -> None:
    dynamodb = known(1)
    dynamodb.batch_execute_statement = lambda **_: {  # type: ignore[method-assign]
        "Responses": [{"Error": {"Message": "?"}}]
    }
    update = reading("d0", "new", 1)
    assert store(dynamodb, update).failed == {update.key: "an error without a code"}


def test_a_response_with_missing_statements_is_a_failure() -> None:
    dynamodb = known(2)
    dynamodb.batch_execute_statement = lambda **_: {"Responses": [{}]}  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="shorter"):
        store(dynamodb, reading("d0", "new", 1), reading("d1", "new", 1))


def test_only_the_refused_statement_is_reported_as_refused() -> None:
    dynamodb = FakeDynamoDB(refuses=lambda item: item["deviceId"]["S"] == "d1")
    updates = [reading(f"d{number}") for number in range(3)]
    report = store(dynamodb, *updates)
    assert (report.refused, report.failed) == ({updates[1].key: "the item is invalid"}, {})
    assert {state["deviceId"] for state in dynamodb.items(STATE)} == {"d0", "d2"}


def test_a_refused_call_is_repeated_for_each_device() -> None:
    refused = Fault(error=aws_error("ValidationException", "one of them"))
    dynamodb = known(3, once(CALL, refused, Fault(), refused))
    updates = [reading(f"d{number}", "new", 1) for number in range(3)]
    report = store(dynamodb, *updates)
    assert (report.refused, report.failed) == ({updates[1].key: "one of them"}, {})
    assert dynamodb.calls == [(CALL, 3)] + [(CALL, 1)] * 3
    assert dynamodb.state("d2")["reading"]["value"] == "new"


def test_a_failed_call_does_not_affect_the_other_calls() -> None:
    dynamodb = known(60, once(CALL, Fault(error=ConnectionError())))
    updates = [reading(f"d{number}", "new", 1) for number in range(60)]
    report = store(dynamodb, *updates)
    assert set(report.failed.values()) == {"ConnectionError"}
    assert len(report.failed) in {25, 10}  # whichever thread came first
    stored = [s for s in dynamodb.items(STATE) if s["reading"]["value"] == "new"]
    assert len(stored) == 60 - len(report.failed)


def test_no_call_starts_without_enough_time() -> None:
    clock = Clock(30_000)

    def slow(called: str) -> None:
        if called == CALL:
            clock.remaining -= 21_000

    dynamodb = FakeDynamoDB(slow)
    report = store(dynamodb, reading("d1"), clock=clock)
    # The UPDATE finds no item, and an INSERT could exceed the function's timeout.
    assert dynamodb.calls == [(CALL, 1)]
    assert report.failed == {reading("d1").key: "no time left"}


def test_calls_are_concurrent() -> None:
    both = threading.Barrier(2, timeout=30)
    dynamodb = known(50)
    real = dynamodb.batch_execute_statement

    def wait_for_the_other(**request: Any) -> dict[str, Any]:
        both.wait()
        return real(**request)

    dynamodb.batch_execute_statement = wait_for_the_other  # type: ignore[method-assign]
    updates = [reading(f"d{number}", "new", 1) for number in range(50)]
    assert store(dynamodb, *updates).failed == {}


def test_large_states_are_split_into_several_calls() -> None:
    dynamodb = known(15)
    store(dynamodb, *[reading(f"d{number}", "x" * 390_000, 1) for number in range(15)])
    assert sorted(dynamodb.calls) == [(CALL, 5), (CALL, 10)]  # of which ten are just below 4 MB
