"""A batch: records are stored, dead-lettered, or retried from the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import NoReturn

import pytest

from iot_constructs.processor import batches
from iot_constructs.processor.batches import SLICE_READINGS, Processor
from iot_constructs.processor.dead_letters import decode_payload
from iot_constructs.processor.payloads import Room
from iot_constructs.processor.readings import Reading, parse_readings
from iot_constructs.processor.records import StreamRecord
from iot_constructs.processor.retries import Deadline, RetryPolicy
from iot_constructs.processor.settings import Settings

from .aws_fakes import (
    FIRST_SEQUENCE,
    NOW,
    SERIES,
    SETTINGS,
    STATE,
    Clock,
    FakeDynamoDB,
    FakeSNS,
    Fault,
    Item,
    always,
    aws_error,
    group_by_device,
    make_processor,
    make_readings,
    make_records,
    once,
    sequence,
)

THROTTLED = aws_error("ProvisionedThroughputExceededException")
BAD = ("bad", b"not json")


def test_every_reading_is_stored_and_the_newest_is_the_state() -> None:
    dynamodb = FakeDynamoDB()
    sent = [*make_readings("d1", range(30)), *make_readings("d2", range(5))]
    outcome = make_processor(dynamodb).process(make_records(*sent), Clock().remaining_ms)
    assert (outcome.retry_from, outcome.stored, outcome.failed) == (None, 35, 0)
    series = group_by_device(dynamodb.items(SERIES))
    assert {item["reading"]["value"] for item in series["d1"]} == set(range(30))
    assert {item["reading"]["value"] for item in series["d2"]} == set(range(5))
    assert dynamodb.state("d1")["reading"]["value"] == 29
    assert dynamodb.state("d2")["reading"]["value"] == 4
    assert set(dynamodb.state("d1")) == {"deviceId", "timestamp", "reading"}
    # One call per 25 readings, and one per 25 devices plus one because the devices are new.
    assert dynamodb.calls.count(("batch_write_item", 25)) == 1
    assert len(dynamodb.calls) == 2 + 2


def test_a_reading_delivered_twice_is_stored_once() -> None:
    dynamodb = FakeDynamoDB()
    reading = ("d1", {"timestamp": NOW, "value": 1})
    processor = make_processor(dynamodb)
    outcome = processor.process(make_records(reading, reading), Clock().remaining_ms)
    assert (outcome.retry_from, outcome.stored, outcome.duplicates) == (None, 2, 1)
    assert dynamodb.calls[0] == ("batch_write_item", 1)  # it rejects two puts of one item
    processor.process(make_records(reading), Clock().remaining_ms)
    assert len(dynamodb.items(SERIES)) == 1


def test_different_readings_of_one_millisecond_all_survive() -> None:
    dynamodb = FakeDynamoDB()
    sent = [("d1", {"timestamp": NOW, "value": value}) for value in range(60)]
    assert make_processor(dynamodb).process(make_records(*sent), Clock().remaining_ms).stored == 60
    assert {item["reading"]["value"] for item in dynamodb.items(SERIES)} == set(range(60))


def test_a_retried_batch_changes_nothing() -> None:
    dynamodb = FakeDynamoDB()
    processor = make_processor(dynamodb)
    records = make_records(*make_readings("d1", range(40)), *make_readings("d2", "abc"))
    processor.process(records, Clock().remaining_ms)
    before = (dynamodb.items(SERIES), dynamodb.items(STATE))
    assert processor.process(records, Clock().remaining_ms).retry_from is None
    assert (dynamodb.items(SERIES), dynamodb.items(STATE)) == before


@pytest.mark.parametrize("later", [1, 1000, 3_600_000])
def test_late_data_never_overwrites_the_state(later: int) -> None:
    dynamodb = FakeDynamoDB()
    processor = make_processor(dynamodb)
    late = ("d1", {"timestamp": NOW, "value": "late"})
    newest = ("d1", {"timestamp": NOW + later, "value": "newest"})
    processor.process(make_records(newest, late), Clock().remaining_ms)
    assert dynamodb.state("d1")["reading"]["value"] == "newest"
    outcome = processor.process(make_records(late), Clock().remaining_ms)
    assert outcome.retry_from is None
    assert dynamodb.state("d1")["reading"]["value"] == "newest"
    assert len(dynamodb.items(SERIES)) == 2


def test_within_a_millisecond_the_state_does_not_depend_on_the_order_of_arrival() -> None:
    sent = [("d1", {"timestamp": NOW, "value": value}) for value in range(8)]
    states = []
    for order in (sent, sent[::-1]):
        dynamodb = FakeDynamoDB()
        for one in order:
            make_processor(dynamodb).process(make_records(one), Clock().remaining_ms)
        states.append(dynamodb.state("d1"))
    assert states[0] == states[1]
    assert states[0]["timestamp"] == max(item["timestamp"] for item in dynamodb.items(SERIES))


def test_a_device_id_mismatch_is_counted_and_stored_under_the_partition_key() -> None:
    dynamodb = FakeDynamoDB()
    sent = ("d1", {"timestamp": NOW, "deviceId": "d2"})
    outcome = make_processor(dynamodb).process(make_records(sent), Clock().remaining_ms)
    assert (outcome.stored, outcome.device_id_mismatches) == (1, ["d1"])
    [item] = dynamodb.items(SERIES)
    assert item["deviceId"] == "d1"
    assert item["reading"]["deviceId"] == "d2"
    assert [state["deviceId"] for state in dynamodb.items(STATE)] == ["d1"]


def test_invalid_records_are_published_and_do_not_block_the_others() -> None:
    dynamodb, sns = FakeDynamoDB(), FakeSNS()
    sent = [*make_readings("d1", [1]), BAD, *make_readings("d2", [2]), ("d3", {"value": 1})]
    outcome = make_processor(dynamodb, sns).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.retry_from is None
    assert outcome.stored == len(dynamodb.items(SERIES)) == 2
    assert outcome.rejected == {"not-json": 1, "no-timestamp": 1}
    assert sns.reasons() == {sequence(1): "not-json", sequence(3): "no-timestamp"}
    assert decode_payload(sns.messages[0]) == b"not json"


def test_unprocessed_items_are_retried_with_exponential_backoff() -> None:
    leave_odd = Fault(leaves=lambda index: index % 2 == 1)
    dynamodb = FakeDynamoDB(once("batch_write_item", leave_odd, leave_odd, leave_odd))
    clock = Clock()
    records = make_records(*make_readings("d1", range(25)))
    outcome = make_processor(dynamodb, clock=clock).process(records, clock.remaining_ms)
    assert outcome.retry_from is None
    assert len(dynamodb.items(SERIES)) == 25
    batches = [size for operation, size in dynamodb.calls if operation == "batch_write_item"]
    assert batches == [25, 12, 6, 3]
    assert clock.slept == sorted(clock.slept)
    assert len(set(clock.slept)) == 3


def test_pauses_are_bounded() -> None:
    dynamodb = FakeDynamoDB(always("batch_write_item", Fault(leaves=lambda index: True)))
    clock = Clock()
    make_processor(dynamodb, clock=clock).process(
        make_records(*make_readings("d", "a")), clock.remaining_ms
    )
    assert max(clock.slept) <= 1.0
    assert sum(clock.slept) < 5


def test_pauses_are_jittered() -> None:
    pauses: list[float] = []
    retries = RetryPolicy(sleep=pauses.append, jitter=iter([0.5, 0.25, 1.0, 0.0, 0.5]).__next__)
    assert len(list(retries.attempts(Deadline(Clock().remaining_ms)))) == 6
    assert pauses == [0.05, 0.05, 0.4, 0.0, 0.5]


def test_when_retries_run_out_the_lowest_sequence_number_is_reported() -> None:
    # The fourth and the fifth item stay unprocessed.
    def hot(called: str) -> Fault | None:
        wanted = called == "batch_write_item"
        return (
            Fault(leaves=lambda index: index >= 3 if len(sizes()) == 1 else True)
            if wanted
            else None
        )

    def sizes() -> list[int]:
        return [size for operation, size in dynamodb.calls if operation == "batch_write_item"]

    dynamodb, sns = FakeDynamoDB(hot), FakeSNS()
    sent = [BAD, *make_readings("d1", range(4)), BAD]
    outcome = make_processor(dynamodb, sns).process(make_records(*sent), Clock().remaining_ms)
    # Position 0 is rejected, 1 to 3 are stored, and 4 fails.
    assert outcome.retry_from == sequence(4)
    assert (outcome.stored, outcome.failed, outcome.rejected.total()) == (3, 2, 1)
    assert dynamodb.state("d1")["reading"]["value"] == 2
    # Lambda retries the record after the failure, so publishing it now would duplicate it.
    assert list(sns.reasons()) == [sequence(0)]
    assert len(sizes()) == 6


@pytest.mark.parametrize(
    "error",
    [
        THROTTLED,
        aws_error("ThrottlingException"),
        aws_error("InternalServerError"),
        aws_error("AccessDeniedException"),
        aws_error("ResourceNotFoundException"),
        aws_error("KMSThrottlingException"),
        TimeoutError(),
        ConnectionError(),
        KeyError("a bug"),
    ],
)
def test_a_failed_call_is_reported_and_the_other_calls_continue(error: Exception) -> None:
    dynamodb, sns = FakeDynamoDB(once("batch_write_item", Fault(error=error))), FakeSNS()
    sent = [BAD, *make_readings("d1", range(26)), BAD]
    outcome = make_processor(dynamodb, sns).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.retry_from == sequence(1)
    assert (outcome.stored, outcome.failed) == (0, 27)
    assert [item["reading"]["value"] for item in dynamodb.items(SERIES)] == [25]
    assert list(sns.reasons()) == [sequence(0)]


def test_a_failed_state_write_is_reported() -> None:
    dynamodb = FakeDynamoDB(
        always("statement d2", Fault(error=aws_error("ProvisionedThroughputExceeded")))
    )
    sent = [*make_readings("d1", [1]), *make_readings("d2", [2]), *make_readings("d3", [3])]
    outcome = make_processor(dynamodb).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.retry_from == sequence(1)
    assert outcome.errors == {"device state: ProvisionedThroughputExceeded": 1}
    assert {state["deviceId"] for state in dynamodb.items(STATE)} == {"d1", "d3"}
    assert len(dynamodb.items(SERIES)) == 3


def test_the_state_never_shows_a_reading_that_the_time_series_lacks() -> None:
    leaves_last = Fault(leaves=lambda index: index == 1)
    keeps_failing = Fault(leaves=lambda index: True)
    faults = once("batch_write_item", leaves_last, *[keeps_failing] * 10)
    dynamodb = FakeDynamoDB(faults)
    records = make_records(*make_readings("d1", ["stored", "not stored"]))
    assert make_processor(dynamodb).process(records, Clock().remaining_ms).retry_from == sequence(1)
    assert dynamodb.state("d1")["reading"]["value"] == "stored"


def test_only_the_item_that_dynamodb_refuses_is_dead_lettered() -> None:
    dynamodb = FakeDynamoDB(refuses=lambda item: item["reading"]["M"]["value"] == {"N": "7"})
    sns = FakeSNS()
    records = make_records(*make_readings("d1", range(30)))
    outcome = make_processor(dynamodb, sns).process(records, Clock().remaining_ms)
    assert outcome.retry_from is None
    assert (outcome.stored, outcome.rejected) == (29, {"refused-by-table": 1})
    assert {item["reading"]["value"] for item in dynamodb.items(SERIES)} == set(range(30)) - {7}
    [message] = sns.messages
    assert message["sequenceNumber"] == sequence(7)
    assert "time series: the item is invalid" in message["detail"]


def test_a_failure_while_searching_for_the_refused_item_is_reported() -> None:
    fault = once("put_item", Fault(error=THROTTLED))
    dynamodb = FakeDynamoDB(fault, refuses=lambda item: item["reading"]["M"]["value"] == {"N": "3"})
    sns = FakeSNS()
    records = make_records(*make_readings("d1", range(5)))
    outcome = make_processor(dynamodb, sns).process(records, Clock().remaining_ms)
    assert outcome.retry_from == sequence(0)
    assert sns.messages == []
    assert {item["reading"]["value"] for item in dynamodb.items(SERIES)} == {1, 2, 4}


def test_the_search_for_the_refused_item_stops_before_the_timeout() -> None:
    clock = Clock(33_000)

    def slow(called: str) -> None:
        clock.remaining -= 3_000 if " " not in called else 0

    dynamodb = FakeDynamoDB(slow, refuses=lambda item: item["reading"]["M"]["value"] == {"N": "9"})
    records = make_records(*make_readings("d1", range(10)))
    outcome = make_processor(dynamodb, clock=clock).process(records, clock.remaining_ms)
    assert clock.remaining > 0
    # The others leave the time to write the newest of these as the state, which takes two calls of a new device.
    assert len(dynamodb.items(SERIES)) == 4
    assert dynamodb.state("d1")["reading"]["value"] == 3
    assert outcome.retry_from == sequence(4)
    assert outcome.errors == {"time series: no time left": 6}


def test_a_reading_that_only_the_state_table_refuses_is_dead_lettered() -> None:
    # Only the time-series item has a ttl.
    dynamodb, sns = FakeDynamoDB(refuses=lambda item: "ttl" not in item), FakeSNS()
    outcome = make_processor(dynamodb, sns).process(
        make_records(*make_readings("d1", [1])), Clock().remaining_ms
    )
    assert outcome.retry_from is None
    assert "device state: the item is invalid" in sns.messages[0]["detail"]


@pytest.mark.parametrize(
    "fault", [Fault(error=aws_error("AuthorizationError")), Fault(leaves=lambda index: True)]
)
def test_a_failed_publication_is_reported(fault: Fault) -> None:
    dynamodb, sns = FakeDynamoDB(), FakeSNS(always("publish_batch", fault))
    sent = [*make_readings("d1", [1]), BAD, *make_readings("d2", [2])]
    outcome = make_processor(dynamodb, sns).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.retry_from == sequence(1)
    assert (outcome.stored, outcome.rejected.total(), outcome.failed) == (1, 0, 2)
    assert sns.messages == []


def test_only_failed_messages_are_published_again() -> None:
    dynamodb = FakeDynamoDB()
    sns = FakeSNS(once("publish_batch", Fault(leaves=lambda index: index in (2, 5))))
    outcome = make_processor(dynamodb, sns).process(make_records(*[BAD] * 12), Clock().remaining_ms)
    assert outcome.retry_from is None
    assert sns.calls == [10, 2, 2]
    assert len(sns.messages) == len(sns.reasons()) == 12


def test_after_a_failed_publication_nothing_more_is_published() -> None:
    sns = FakeSNS(once("publish_batch", Fault(), Fault(error=THROTTLED)))
    outcome = make_processor(FakeDynamoDB(), sns).process(
        make_records(*[BAD] * 35), Clock().remaining_ms
    )
    assert outcome.retry_from == sequence(10)
    assert (len(sns.messages), outcome.rejected.total(), outcome.failed) == (10, 10, 25)


@pytest.mark.parametrize("rejected", [0, 1, 30])
@pytest.mark.parametrize("stored", [0, 1, 25])
def test_a_single_call_to_each_table_needs_no_executor(stored: int, rejected: int) -> None:
    def fail() -> NoReturn:
        raise AssertionError("not needed")

    processor = Processor(FakeDynamoDB(), FakeSNS(), SETTINGS, executor=fail)
    records = make_records(*make_readings("d1", range(stored)), *[BAD] * rejected)
    outcome = processor.process(records, Clock().remaining_ms)
    assert (outcome.stored, outcome.rejected.total()) == (stored, rejected)


def test_large_readings_are_spread_over_several_calls() -> None:
    dynamodb = FakeDynamoDB()
    large = make_readings("d1", [f"{index}" + "x" * 390_000 for index in range(24)])
    assert make_processor(dynamodb).process(make_records(*large), Clock().remaining_ms).stored == 24
    batches = [size for operation, size in dynamodb.calls if operation == "batch_write_item"]
    assert sorted(batches) == [4, 10, 10]  # of which ten are just below 4 MB


def test_the_checkpoint_is_returned_before_the_timeout() -> None:
    clock = Clock(30_000)

    def slow(called: str) -> None:
        clock.remaining -= 9_000 if " " not in called else 0

    dynamodb, sns = FakeDynamoDB(slow), FakeSNS()
    records = make_records(*make_readings("d1", range(100)), BAD)
    outcome = make_processor(dynamodb, sns, clock).process(records, clock.remaining_ms)
    # Three calls of 9 s leave 3 s. A fourth call could exceed the timeout.
    assert clock.remaining > 0
    assert len(dynamodb.calls) == 3
    assert (outcome.retry_from, outcome.stored) == (sequence(25), 25)
    assert sns.messages == []


def test_the_time_series_leaves_time_for_the_state_and_the_dead_letters() -> None:
    clock = Clock(30_000)

    def slow(called: str) -> None:
        clock.remaining -= 3_000 if " " not in called else 0

    dynamodb, sns = FakeDynamoDB(slow), FakeSNS()
    records = make_records(BAD, *make_readings("d1", range(100)))
    outcome = make_processor(dynamodb, sns, clock).process(records, clock.remaining_ms)
    assert [operation for operation, _ in dynamodb.calls] == [
        *["batch_write_item"] * 3,
        *["batch_execute_statement"] * 2,
    ]
    assert list(sns.reasons()) == [sequence(0)]
    assert outcome.retry_from == sequence(76)
    assert dynamodb.state("d1")["reading"]["value"] == 74


def test_records_for_which_no_time_is_left_are_an_error_of_their_own() -> None:
    clock, sns = Clock(3_000), FakeSNS()

    def remaining_ms() -> int:
        return clock.remaining if not sns.messages else 0

    records = make_records(*[BAD] * (SLICE_READINGS + 1))
    outcome = make_processor(FakeDynamoDB(), sns, clock).process(
        make_records(*make_readings("d1", range(SLICE_READINGS - 1)), BAD, BAD), remaining_ms
    )
    assert outcome.retry_from == records[SLICE_READINGS].sequence_number
    assert outcome.errors == {"no time left": 1}


def test_a_record_is_done_when_the_state_of_its_devices_is_written() -> None:
    """The newest reading of d2 is on the last record. If Lambda discards that one, d2 would lose the second one."""
    dynamodb = FakeDynamoDB(always("statement d2", Fault(error=THROTTLED)))
    sent = [*make_readings("d1", [1]), *make_readings("d2", [2]), *make_readings("d3", [3])]
    sent += [("d2", {"timestamp": NOW + 9, "value": 9})]
    outcome = make_processor(dynamodb).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.retry_from == sequence(1)
    assert outcome.errors == {"device state: ProvisionedThroughputExceededException": 2}
    assert len(dynamodb.items(SERIES)) == 4


@pytest.mark.parametrize("refused", [{9}, {9, 8}, {9, 8, 7}, {9, 0}, {9, 8, 3}, set(range(10))])
def test_the_state_is_the_newest_reading_that_its_table_does_not_refuse(refused: set[int]) -> None:
    def refuses(item: Item) -> bool:  # only the time-series item has a ttl
        return "ttl" not in item and int(item["reading"]["M"]["value"]["N"]) in refused

    dynamodb, sns = FakeDynamoDB(refuses=refuses), FakeSNS()
    sent = make_readings("d1", range(10))
    outcome = make_processor(dynamodb, sns).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.retry_from is None
    accepted = set(range(10)) - refused
    states = [state["reading"]["value"] for state in dynamodb.items(STATE)]
    assert states == ([max(accepted)] if accepted else [])
    # A refused reading that is older than the state is not tried.
    tried = {number for number in refused if number > max(accepted, default=-1)}
    assert tried <= {int(key) - FIRST_SEQUENCE for key in sns.reasons()} <= refused


def test_a_failure_after_a_refused_state_fails_the_other_records_of_the_device() -> None:
    def refuses(item: Item) -> bool:
        return "ttl" not in item and item["reading"]["M"]["value"] == {"N": "9"}

    plan = iter([None])  # the first statement is refused, and the others fail

    def faults(called: str) -> Fault | None:
        return next(plan, Fault(error=THROTTLED)) if called == "statement d1" else None

    dynamodb, sns = FakeDynamoDB(faults, refuses), FakeSNS()
    sent = [BAD, *make_readings("d1", range(10))]
    outcome = make_processor(dynamodb, sns).process(make_records(*sent), Clock().remaining_ms)
    assert outcome.retry_from == sequence(1)
    assert list(sns.reasons()) == [sequence(0)]
    assert dynamodb.items(STATE) == []


def test_a_short_timeout_leaves_time_to_process() -> None:
    clock = Clock(3_000)
    records = make_records(*make_readings("d1", range(3)), BAD)
    outcome = make_processor(FakeDynamoDB(), FakeSNS(), clock).process(records, clock.remaining_ms)
    assert outcome.retry_from is None


def test_a_large_batch_finishes_slice_by_slice() -> None:
    clock = Clock(60_000)
    dynamodb, sns = FakeDynamoDB(), FakeSNS()
    sent = [
        *make_readings("d1", range(SLICE_READINGS - 1)),
        BAD,
        *make_readings("d2", range(40)),
        BAD,
    ]

    def remaining_ms() -> int:
        # The time runs out after the first slice.
        return clock.remaining if not sns.messages else 0

    outcome = make_processor(dynamodb, sns, clock).process(make_records(*sent), remaining_ms)
    assert outcome.retry_from == sequence(SLICE_READINGS)
    assert (outcome.stored, outcome.failed) == (SLICE_READINGS - 1, 41)
    assert dynamodb.state("d1")["reading"]["value"] == SLICE_READINGS - 2
    assert list(sns.reasons()) == [sequence(SLICE_READINGS - 1)]


def test_records_that_take_long_to_decode_do_not_use_up_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kilobyte of gzip can take a second to decode. Without a checkpoint, the next invocation would start over."""
    clock, sns = Clock(60_000), FakeSNS()

    def slow(record: StreamRecord, settings: Settings, room: Room) -> list[Reading]:
        clock.remaining -= 2_000
        return parse_readings(record, settings, room)

    monkeypatch.setattr(batches, "parse_readings", slow)
    process = make_processor(FakeDynamoDB(), sns, clock).process
    outcome = process(make_records(*[BAD] * 100), clock.remaining_ms)
    assert clock.remaining > 0
    assert outcome.rejected.total() == len(sns.messages) >= 15
    assert outcome.retry_from == sequence(len(sns.messages))


def test_a_record_that_makes_the_parser_crash_is_retried() -> None:
    broken = make_records(*make_readings("d1", [1, 2]))
    broken[1] = replace(broken[1], data_base64="no base64, not even padded")
    outcome = make_processor(FakeDynamoDB()).process(broken, Clock().remaining_ms)
    assert outcome.retry_from == sequence(1)
    assert outcome.errors == {"reading: Error": 1}


def test_an_empty_batch_succeeds() -> None:
    assert make_processor(FakeDynamoDB()).process([], Clock().remaining_ms).retry_from is None


def test_queries_by_milliseconds_include_the_start_and_exclude_the_end() -> None:
    dynamodb = FakeDynamoDB()
    records = make_records(*make_readings("d1", range(10)))
    make_processor(dynamodb).process(records, Clock().remaining_ms)
    start, end = Decimal(NOW + 2), Decimal(NOW + 5)
    between = [i for i in dynamodb.items(SERIES) if start <= i["timestamp"] <= end]
    assert sorted(item["reading"]["value"] for item in between) == [2, 3, 4]
    [first] = parse_readings(records[0], SETTINGS)
    assert first.sort_key == min(item["timestamp"] for item in dynamodb.items(SERIES))
