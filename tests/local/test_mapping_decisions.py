"""Each documented retry rule, and all rules compared with a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_constructs.local.mapping_decisions import (
    UNLIMITED,
    Condition,
    Decision,
    Discard,
    Failed,
    NotInvoked,
    Outcome,
    PartiallyFailed,
    Rules,
    Succeeded,
    decide,
    split_by_age,
)
from iot_constructs.local.mapping_records import Batch, Record, Response
from iot_constructs.local.mapping_responses import parse_response

RETURNED = Response("request")
RAISED = Response("request", function_error="Unhandled")


def record(number: int, *, arrival: float = 0.0) -> Record:
    return Record(str(number), f"key-{number}", arrival, {"number": number}, 100)


def batch(*numbers: int, retries: int = 0) -> Batch:
    return Batch(tuple(record(number) for number in numbers), retries)


def numbers(records: Sequence[Record]) -> list[int]:
    return [each.position for each in records]


def rules(**changes: Any) -> Rules:
    return Rules(**{"batch_size": 100, "batching_window": 0, **changes})


def parsed(response: Any, *, report: bool = True) -> Outcome:
    payload = response if isinstance(response, bytes) else json.dumps(response).encode()
    return parse_response(batch(1, 2, 3), RETURNED, payload, report_item_failures=report)


def failures(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": each} for each in identifiers]}


# lambda/latest/dg/services-kinesis-batchfailurereporting.html, "Success and failure conditions"


@pytest.mark.parametrize(
    "response",
    [
        None,
        {},
        "",
        [],
        b"",
        {"batchItemFailures": []},
        {"batchItemFailures": None},
        {"statusCode": 200},
    ],
)
def test_a_response_without_failures_is_a_success(response: Any) -> None:
    assert parsed(response) == Succeeded(RETURNED)


@pytest.mark.parametrize(
    "response",
    [
        failures(""),
        failures(None),
        failures(2),
        failures("4"),
        failures("2", "4"),
        failures("2", ""),
        {"batchItemFailures": [{"sequenceNumber": "2"}]},
        {"batchItemFailures": [{}]},
        {"batchItemFailures": ["2"]},
        {"batchItemFailures": {"itemIdentifier": "2"}},
        {"batchItemFailures": "2"},
        [1],
        "ok",
        7,
        b"{",
        b"\xff",
    ],
)
def test_a_malformed_response_fails_the_whole_batch(response: Any) -> None:
    assert parsed(response) == Failed(RETURNED)


@pytest.mark.parametrize(
    ("reported", "lowest"), [(["2"], "2"), (["3", "2"], "2"), (["3"], "3"), (["1", "3"], "1")]
)
def test_the_lowest_reported_number_is_the_checkpoint(reported: list[str], lowest: str) -> None:
    assert parsed(failures(*reported)) == PartiallyFailed(RETURNED, lowest)


def test_sequence_numbers_are_compared_as_numbers() -> None:
    outcome = parse_response(
        batch(9, 10),
        RETURNED,
        json.dumps(failures("10", "9")).encode(),
        report_item_failures=True,
    )
    assert outcome == PartiallyFailed(RETURNED, "9")


def test_responses_are_ignored_without_report_batch_item_failures() -> None:
    assert parsed(failures("2"), report=False) == Succeeded(RETURNED)
    assert parsed("nonsense", report=False) == Succeeded(RETURNED)


def test_an_error_is_a_failure_regardless_of_the_response() -> None:
    payload = json.dumps(failures("2")).encode()
    for report in (True, False):
        outcome = parse_response(batch(1, 2), RAISED, payload, report_item_failures=report)
        assert outcome == Failed(RAISED)


# Decisions


def test_success_acknowledges_all_records() -> None:
    assert decide(batch(1, 2), Succeeded(RETURNED), rules()) == Decision(batch(1, 2).records)


@pytest.mark.parametrize("outcome", [NotInvoked("down"), NotInvoked("busy", throttled=True)])
def test_a_failed_invocation_uses_no_retry(outcome: Outcome) -> None:
    tried = batch(1, 2, retries=3)
    decision = decide(tried, outcome, rules(maximum_retry_attempts=3, bisect=True))
    assert decision == Decision(retries=(tried,), backoff=True)


@pytest.mark.parametrize(
    ("size", "halves"),
    [(2, ([0], [1])), (3, ([0], [1, 2])), (10, ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9]))],
)
@pytest.mark.parametrize("retries", [0, 2])
def test_an_error_bisects_the_batch_and_uses_no_retry(
    size: int, halves: tuple[list[int], list[int]], retries: int
) -> None:
    settings = rules(bisect=True, maximum_retry_attempts=2)
    decision = decide(batch(*range(size), retries=retries), Failed(RAISED), settings)
    assert [numbers(part.records) for part in decision.retries] == list(halves)
    assert {part.retries for part in decision.retries} == {retries}
    assert not decision.discarded
    assert not decision.acknowledged


@pytest.mark.parametrize(
    ("tried", "outcome", "bisect"),
    [
        (batch(1, 2), Failed(RAISED), False),
        (batch(1), Failed(RAISED), True),
        (batch(1, 2), Failed(RETURNED), True),  # a malformed response is not a function error
        (batch(1, 2), PartiallyFailed(RETURNED, "1"), False),
        (batch(1, 2), PartiallyFailed(RETURNED, "1"), True),  # the first record: no split
    ],
)
def test_a_batch_is_discarded_after_its_retries(
    tried: Batch, outcome: Outcome, bisect: bool
) -> None:
    settings = rules(maximum_retry_attempts=2, bisect=bisect)
    for used in (1, 2):
        decision = decide(tried, outcome, settings)
        assert decision.backoff
        (retry,) = decision.retries
        assert retry.records == tried.records
        assert retry.retries == used
        tried = retry
    decision = decide(tried, outcome, settings)
    assert decision.retries == ()
    assert decision.discarded is not None
    assert decision.discarded.condition is Condition.RETRY_ATTEMPTS_EXHAUSTED
    assert decision.discarded.batch.records == tried.records
    assert decision.discarded.batch.invocations == 3


def test_zero_retries() -> None:
    decision = decide(batch(1), Failed(RAISED), rules(maximum_retry_attempts=0))
    assert isinstance(decision.discarded, Discard)


def test_unlimited_retries() -> None:
    decision = decide(batch(1, retries=10**6), Failed(RAISED), rules())
    assert decision.discarded is None
    assert decision.retries


@pytest.mark.parametrize(("bisect", "used"), [(True, 1), (False, 2)])
def test_a_partial_failure_retries_from_the_checkpoint(bisect: bool, used: int) -> None:
    settings = rules(bisect=bisect, maximum_retry_attempts=5)
    decision = decide(batch(1, 2, 3, 4, retries=1), PartiallyFailed(RETURNED, "3"), settings)
    assert numbers(decision.acknowledged) == [1, 2]
    (retry,) = decision.retries
    assert numbers(retry.records) == [3, 4]
    assert retry.retries == used
    assert decision.backoff


def test_the_last_partial_failure_discards_only_unprocessed_records() -> None:
    settings = rules(maximum_retry_attempts=1)
    decision = decide(batch(1, 2, 3, retries=1), PartiallyFailed(RETURNED, "2"), settings)
    assert numbers(decision.acknowledged) == [1]
    assert decision.discarded is not None
    assert numbers(decision.discarded.batch.records) == [2, 3]


@pytest.mark.parametrize(
    ("arrivals", "parts"),
    [
        ([100, 101], ([], [100, 101], [])),
        ([39, 40, 41], ([39], [40, 41], [])),  # exactly 60 s does not exceed 60 s
        ([1, 2], ([1, 2], [], [])),
        ([100, 1, 101], ([], [100], [1, 101])),
        ([1, 100, 2, 101], ([1], [100], [2, 101])),
    ],
)
def test_only_expired_records_are_split_off(
    arrivals: list[int], parts: tuple[list[int], list[int], list[int]]
) -> None:
    whole = Batch(tuple(record(i, arrival=at) for i, at in enumerate(arrivals)), retries=1)
    split = split_by_age(whole, 100.0, 60)
    assert tuple([each.arrival for each in part.records] for part in split) == parts
    assert {part.retries for part in split} == {1}


def test_without_a_maximum_age_no_record_expires() -> None:
    assert split_by_age(batch(1, 2), 1e12, UNLIMITED) == (batch(), batch(1, 2), batch())


# The model: the guide's rules as a recursion, without queues or workers.

Function = Callable[[Sequence[int]], int | str | None]
"""None for success, "raise", "malformed", or the index of the first record that failed."""


class Model:
    def __init__(self, function: Function, limit: int, bisect: bool) -> None:
        self.function, self.limit, self.bisect = function, limit, bisect
        self.calls: list[list[int]] = []
        self.acknowledged: list[int] = []
        self.discarded: list[list[int]] = []

    def run(self, records: Sequence[int], retries: int = 0) -> None:
        self.calls.append(list(records))
        result = self.function(records)
        if result is None:
            self.acknowledged += records
        elif result == "raise" and self.bisect and len(records) > 1:
            self.run(records[: len(records) // 2], retries)
            self.run(records[len(records) // 2 :], retries)
        elif isinstance(result, int):
            self.acknowledged += records[:result]
            split = self.bisect and result > 0
            self.retry(records[result:], retries, free=split)
        else:
            self.retry(records, retries, free=False)

    def retry(self, records: Sequence[int], retries: int, *, free: bool) -> None:
        if free:
            self.run(records, retries)
        elif retries < self.limit:
            self.run(records, retries + 1)
        else:
            self.discarded.append(list(records))


def unreliable(behavior: Sequence[tuple[str, int]]) -> Function:
    """Record i fails with `behavior[i]` in a number of the invocations that contain it."""
    seen = [0] * len(behavior)

    def function(records: Sequence[int]) -> int | str | None:
        bad: dict[int, str] = {}
        for index, number in enumerate(records):
            what, times = behavior[number]
            if what != "ok" and seen[number] < times:
                bad[index] = what
            seen[number] += 1
        for whole in ("raise", "malformed"):
            if whole in bad.values():
                return whole
        return min(bad, default=None)

    return function


def outcome_for(tried: Batch, result: int | str | None) -> Outcome:
    if result is None:
        return Succeeded(RETURNED)
    if isinstance(result, int):
        return PartiallyFailed(RETURNED, tried.records[result].sequence_number)
    return Failed(RAISED if result == "raise" else RETURNED)


behaviors = st.lists(
    st.tuples(
        st.sampled_from(["ok", "ok", "ok", "raise", "report", "malformed"]),
        st.sampled_from([1, 2, 3, 5, 10**9]),
    ),
    min_size=1,
    max_size=14,
)


@given(behaviors, st.integers(0, 4), st.booleans())
def test_decisions_equal_those_of_the_model(
    behavior: list[tuple[str, int]], limit: int, bisect: bool
) -> None:
    model = Model(unreliable(behavior), limit, bisect)
    model.run(range(len(behavior)))

    function = unreliable(behavior)
    settings = rules(maximum_retry_attempts=limit, bisect=bisect)
    calls: list[list[int]] = []
    acknowledged: list[int] = []
    discarded: list[list[int]] = []
    todo = [batch(*range(len(behavior)))]
    while todo:
        assert len(calls) <= len(model.calls), "more invocations than the model"
        tried = todo.pop(0)
        calls.append(numbers(tried.records))
        decision = decide(tried, outcome_for(tried, function(calls[-1])), settings)
        acknowledged += numbers(decision.acknowledged)
        if decision.discarded:
            discarded.append(numbers(decision.discarded.batch.records))
        todo = [*decision.retries, *todo]

    assert calls == model.calls
    assert acknowledged == model.acknowledged
    assert discarded == model.discarded
