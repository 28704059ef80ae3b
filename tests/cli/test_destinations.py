"""Putting on the stream and invoking the function: limits, partial failures, what counts as accepted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from iot_constructs._defaults import BATCH_SIZE
from iot_constructs.cli.aws_errors import MAX_ATTEMPTS, RetryPolicy
from iot_constructs.cli.destinations import (
    FunctionDestination,
    Outcome,
    RateLimit,
    StreamDestination,
)
from iot_constructs.cli.kinesis_records import Record
from iot_constructs.cli.recovery import Event, Recovered

from .aws_fakes import (
    NOW,
    SHARD,
    STREAM,
    STREAM_ARN,
    Calls,
    Clock,
    FakeKinesis,
    FakeLambda,
    aws_error,
)


def record(number: int, key: str = "d1", data: bytes = b"", shard: str = SHARD) -> Record:
    return Record(key, data or str(number).encode(), STREAM_ARN, shard, str(1000 + number))


def found(*records: Record) -> Recovered:
    return Recovered(records)


class Bench:
    def __init__(self, rate: int | None = None, stream: str | None = STREAM) -> None:
        self.clock = Clock()
        self.calls = Calls(self.clock)
        self.kinesis, self.function = FakeKinesis(self.calls), FakeLambda(self.calls)
        self.kept_alive = 0
        settings: dict[str, Any] = {
            "rate": RateLimit(rate, clock=self.clock, sleep=self.clock.sleep),
            "retry_policy": RetryPolicy(self.clock.sleep, lambda: 1.0),
            "keep_alive": self.keep_alive,
        }
        self.to_stream = StreamDestination(lambda region: self.kinesis, stream, **settings)
        self.to_function = FunctionDestination(self.function, "processor", **settings)

    def keep_alive(self) -> None:
        self.kept_alive += 1

    def put_data(self) -> list[bytes]:
        return [data for _, data in self.kinesis.put]


# --- the stream ----------------------------------------------------------------------------------


def test_records_of_several_messages_share_a_call_and_keep_their_partition_keys() -> None:
    bench = Bench()
    messages = [found(record(n, f"d{n}")) for n in range(5)]
    assert bench.to_stream.deliver(messages) == [Outcome(1)] * 5
    assert bench.kinesis.put == [(f"d{n}", str(n).encode()) for n in range(5)]
    assert bench.kinesis.put_sizes == [5]
    assert bench.kinesis.targets == [STREAM]


def test_a_call_takes_500_records_and_5_mib() -> None:
    bench = Bench()
    many = found(*(record(n) for n in range(1001)))
    assert bench.to_stream.deliver([many]) == [Outcome(1001)]
    assert bench.kinesis.put_sizes == [500, 500, 1]
    bench = Bench()
    large = found(*(record(n, data=bytes(2**20)) for n in range(11)))
    assert bench.to_stream.deliver([large]) == [Outcome(11)]
    assert bench.kinesis.put_sizes == [4, 4, 3]


def test_a_record_above_5_mib_goes_alone() -> None:
    bench = Bench()
    messages = found(record(1), record(2, data=bytes(6 * 2**20)), record(3))
    assert bench.to_stream.deliver([messages]) == [Outcome(3)]
    assert bench.kinesis.put_sizes == [1, 1, 1]


def test_records_go_in_the_order_in_which_the_stream_took_them() -> None:
    bench = Bench()
    without_a_place = Recovered((Record("d1", b"rule"),))
    bench.to_stream.deliver([without_a_place, found(record(3)), found(record(1), record(2))])
    assert bench.put_data() == [b"1", b"2", b"3", b"rule"]


def test_without_a_stream_each_record_goes_back_to_its_own() -> None:
    bench = Bench(stream=None)
    other = STREAM_ARN.replace("-dev", "-qa7")
    elsewhere = Record("d1", b"x", other, SHARD, "1")
    bench.to_stream.deliver([found(record(1)), found(elsewhere)])
    assert bench.kinesis.targets == [STREAM_ARN, other]
    objection = bench.to_stream.validate(Recovered((Record("d1", b"rule"),)))
    assert objection is not None
    assert "--stream" in objection
    assert bench.to_stream.validate(found(record(1))) is None


def test_what_was_refused_is_tried_again_in_order_before_anything_else_goes() -> None:
    bench = Bench()
    throttled = {b"2", b"4"}

    def refuses(entry: dict[str, Any]) -> str | None:
        if entry["Data"] in throttled and len(bench.kinesis.put_sizes) == 1:
            return "ProvisionedThroughputExceededException"
        return None

    bench.kinesis.refuses = refuses
    messages = [found(*(record(n) for n in range(500))), found(record(500), record(501))]
    assert bench.to_stream.deliver(messages) == [Outcome(500), Outcome(2)]
    assert bench.kinesis.put_sizes == [500, 2, 2]
    assert bench.put_data()[-4:] == [b"2", b"4", b"500", b"501"]
    assert len(bench.clock.slept) == 1


def test_a_record_that_is_refused_every_time_is_not_accepted_and_the_others_are() -> None:
    bench = Bench()
    bench.kinesis.refuses = lambda entry: "InternalFailure" if entry["Data"] == b"2" else None
    one, two = bench.to_stream.deliver([found(record(1)), found(record(2), record(3))])
    assert one == Outcome(1)
    assert two.accepted == 1
    assert two.problem is not None
    assert "InternalFailure" in two.problem
    assert bench.calls.count("put_records") == MAX_ATTEMPTS
    assert bench.kept_alive == MAX_ATTEMPTS


def test_a_call_that_fails_for_a_while_is_tried_again() -> None:
    bench = Bench()
    bench.kinesis.put_errors = [aws_error("InternalFailure", status=500)] * 3
    assert bench.to_stream.deliver([found(record(1))]) == [Outcome(1)]


def test_a_call_that_cannot_succeed_is_not_tried_again() -> None:
    bench = Bench()
    bench.kinesis.put_errors = [aws_error("ResourceNotFoundException", "no such stream")]
    [outcome] = bench.to_stream.deliver([found(record(1))])
    assert outcome.accepted == 0
    assert outcome.problem is not None
    assert "ResourceNotFoundException: no such stream" in outcome.problem
    assert bench.calls.count("put_records") == 1


def test_a_record_that_is_too_large_for_the_stream_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.kinesis.refuses = lambda entry: (
        "InvalidArgumentException" if entry["Data"] == b"5" else None
    )
    # The whole call is refused, so nothing of it may have been put.
    put = bench.kinesis._put

    def all_or_nothing(request: dict[str, Any]) -> dict[str, Any]:
        if any(entry["Data"] == b"5" for entry in request["Records"]):
            raise aws_error("InvalidArgumentException", "too large")
        return put(request)

    bench.kinesis._put = all_or_nothing  # type: ignore[method-assign]
    outcomes = bench.to_stream.deliver([found(record(n)) for n in range(10)])
    assert [outcome.accepted for outcome in outcomes] == [1, 1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert [outcome.problem is None for outcome in outcomes].index(False) == 5
    assert bench.put_data() == [str(n).encode() for n in range(10) if n != 5]


def test_no_more_than_the_rate_goes_in_any_second() -> None:
    for to_function in (False, True):
        bench = Bench(rate=10)
        started = bench.clock.now
        destination = bench.to_function if to_function else bench.to_stream
        assert destination.deliver([found(*(record(n) for n in range(95)))]) == [Outcome(95)]
        sizes = bench.kinesis.put_sizes or [len(e["Records"]) for e in bench.function.events]
        assert max(sizes) == 10
        # The first ten go at once, and ten more with every second.
        assert 8.5 < bench.clock.now - started < 10


# --- the function --------------------------------------------------------------------------------


def test_the_function_gets_events_as_lambda_makes_them() -> None:
    bench = Bench()
    one = Record("d1", b"x", STREAM_ARN, SHARD, "123", 1_800_000_000.5)
    assert bench.to_function.deliver([found(one)]) == [Outcome(1)]
    [event] = bench.function.events
    [raw] = event["Records"]
    assert raw["eventID"] == f"{SHARD}:123"
    assert raw["eventSourceARN"] == STREAM_ARN
    assert raw["awsRegion"] == "eu-central-1"
    assert raw["kinesis"]["approximateArrivalTimestamp"] == 1_800_000_000.5
    assert raw["kinesis"]["data"] == "eA=="


def test_records_without_a_stream_have_numbers_that_no_other_record_has() -> None:
    """A function can use them as a key; the next run has to give the same ones."""
    bench = Bench()
    records = [Record("d1", b"x", arrival=NOW), Record("d2", b"x", arrival=NOW)]
    records += [Record("d1", b"y", arrival=NOW), Record("d1", b"x", arrival=NOW + 1)]
    for _ in range(2):
        assert bench.to_function.deliver([found(each) for each in records]) == [Outcome(1)] * 4
    numbers = [event["Records"][0]["kinesis"]["sequenceNumber"] for event in bench.function.events]
    assert numbers[:4] == numbers[4:]
    assert len(set(numbers)) == 4
    # No sequence number of Kinesis looks like this: API_SequenceNumberRange.html.
    assert not any(re.fullmatch(r"0|([1-9]\d{0,128})", number) for number in numbers)
    assert all(number.isdigit() for number in numbers)


def test_of_equal_records_without_a_stream_the_first_is_the_one_that_failed() -> None:
    bench = Bench()
    bench.function.fails_on = {b"x"}
    equal = Record("d1", b"x", arrival=NOW)
    [outcome] = bench.to_function.deliver([found(Record("d1", b"y", arrival=NOW), equal, equal)])
    assert outcome.accepted == 1


def test_an_event_has_a_batch_of_one_shard_in_its_order() -> None:
    bench = Bench()
    records = [record(n, shard=f"shardId-{n % 2}") for n in reversed(range(250))]
    assert bench.to_function.deliver([found(*records)]) == [Outcome(250)]
    for event in bench.function.events:
        shards = {raw["eventID"].partition(":")[0] for raw in event["Records"]}
        order = [int(raw["kinesis"]["sequenceNumber"]) for raw in event["Records"]]
        assert len(shards) == 1
        assert order == sorted(order)
    sizes = sorted(len(event["Records"]) for event in bench.function.events)
    assert sizes == sorted([BATCH_SIZE, 125 - BATCH_SIZE] * 2)


def test_the_function_gets_no_record_without_a_time_of_arrival() -> None:
    """With use_arrival_time, TelemetryProcessor would store a made-up one."""
    known = replace(record(1), arrival=NOW)
    assert Bench().to_function.validate(found(known)) is None
    assert "use --stream" in (Bench().to_function.validate(found(known, record(2))) or "")


def test_an_event_stays_below_6_mb() -> None:
    bench = Bench()
    records = [record(n, data=bytes(2**20)) for n in range(10)]
    assert bench.to_function.deliver([found(*records)]) == [Outcome(10)]
    assert [len(event["Records"]) for event in bench.function.events] == [4, 4, 2]
    too_large = bench.to_function.validate(found(record(1, data=bytes(5 * 2**20))))
    assert too_large is not None
    assert "--stream" in too_large


def test_only_records_before_the_lowest_failure_count() -> None:
    bench = Bench()
    bench.function.answer = lambda event: (
        None,
        json.dumps(
            {"batchItemFailures": [{"itemIdentifier": "1007"}, {"itemIdentifier": "1003"}]}
        ).encode(),
    )
    [outcome] = bench.to_function.deliver([found(*(record(n) for n in range(10)))])
    assert outcome.accepted == 3
    assert outcome.problem is not None
    assert "reported 2 batch item failures" in outcome.problem


def test_records_behind_a_failed_one_are_not_sent() -> None:
    bench = Bench()
    bench.function.fails_on = {b"150"}
    [outcome] = bench.to_function.deliver([found(*(record(n) for n in range(300)))])
    assert outcome.accepted == 150
    assert len(bench.function.events) == 2


@pytest.mark.parametrize(
    "answer",
    [
        ("Unhandled", b'{"errorType": "BatchProcessingError", "errorMessage": "1 of 1 records"}'),
        ("Unhandled", b"null"),
        (None, b"Internal"),
        (None, b'"ok"'),
        (None, b'{"batchItemFailures": {}}'),
        (None, b'{"batchItemFailures": [{"itemIdentifier": ""}]}'),
        (None, b'{"batchItemFailures": [{"itemIdentifier": null}]}'),
        (None, b'{"batchItemFailures": [{"itemIdentifier": "1001"}, {"itemIdentifier": "9"}]}'),
        (None, b'{"batchItemFailures": ["1001"]}'),
    ],
)
def test_a_response_that_is_not_a_success_accepts_nothing(answer: tuple[str | None, bytes]) -> None:
    bench = Bench()
    bench.function.answer = lambda event: answer
    [outcome] = bench.to_function.deliver([found(record(0), record(1))])
    assert outcome.accepted == 0
    assert outcome.problem is not None


@pytest.mark.parametrize(
    "said", [b"null", b"{}", b"", b'{"batchItemFailures": []}', b'{"batchItemFailures": null}']
)
def test_an_empty_response_is_a_success(said: bytes) -> None:
    bench = Bench()
    bench.function.answer = lambda event: (None, said)
    assert bench.to_function.deliver([found(record(1))]) == [Outcome(1)]


def test_one_message_that_fails_keeps_no_other_one() -> None:
    bench = Bench()
    bench.function.fails_on = {b"1"}
    outcomes = bench.to_function.deliver([found(record(n)) for n in range(3)])
    assert [outcome.accepted for outcome in outcomes] == [1, 0, 1]


def test_a_throttled_invocation_is_tried_again_and_a_refused_one_is_not() -> None:
    bench = Bench()
    bench.function.errors = [aws_error("TooManyRequestsException", status=429)] * 2
    assert bench.to_function.deliver([found(record(1))]) == [Outcome(1)]
    bench = Bench()
    bench.function.errors = [aws_error("AccessDeniedException", "no InvokeFunction")]
    [outcome] = bench.to_function.deliver([found(record(1))])
    assert outcome.problem is not None
    assert "no InvokeFunction" in outcome.problem
    assert bench.calls.count("invoke") == 1


def test_an_event_that_is_not_from_the_stream_goes_to_the_function_only() -> None:
    bench = Bench()
    event = Recovered(event=Event({"hello": 1}))
    bench.function.answer = lambda event: (None, b"null")
    assert bench.to_function.validate(event) is None
    assert bench.to_function.deliver([event]) == [Outcome(1)]
    assert bench.function.events == [{"hello": 1}]
    bench.function.answer = lambda event: ("Unhandled", b"{}")
    assert bench.to_function.deliver([event])[0].accepted == 0
    objection = bench.to_stream.validate(event)
    assert objection is not None
    assert "--function" in objection
