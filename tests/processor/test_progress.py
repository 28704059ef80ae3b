"""Each invocation with time for the calls of one record moves the checkpoint, whatever the timeout and the latency."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from typing import Any, TypeVar

import pytest

from iot_constructs.processor.batches import Processor
from iot_constructs.processor.records import StreamRecord
from iot_constructs.processor.retries import CALL_RESERVE_MS, Deadline, RetryPolicy
from iot_constructs.processor.settings import Settings
from iot_constructs.processor.time_series import WRITE_THREADS

from .aws_fakes import NOW, SERIES, SETTINGS, FakeDynamoDB, FakeSNS, make_records
from .payload_kinds import dump

RECORDS = {1: 60, 3: 60, 30: 6}
"""By how many readings each of them has. All are in one slice."""
CALLS = (
    "batch_write_item",
    "put_item",
    "batch_execute_statement",
    "batch_get_item",
    "publish_batch",
)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Invocation:
    """The time of an invocation. Each call takes `call_ms`, and calls in an executor overlap."""

    def __init__(self, timeout_ms: int, call_ms: int, *, decodes_slowly: bool = False) -> None:
        """Let decoding take no time, or as long as the calls that start meanwhile."""
        self._timeout_ms, self._call_ms, self._decodes_slowly = timeout_ms, call_ms, decodes_slowly
        self.now = 0

    def start(self) -> None:
        self.now = 0

    def remaining_ms(self) -> int:
        return self._timeout_ms - self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1000)

    def take(self, called: str) -> None:
        """A fault plan without faults."""
        if called in CALLS:
            self.now += self._call_ms

    @contextmanager
    def executor(self) -> Iterator[Invocation]:
        yield self

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        """Each item starts when one of the threads is free; the end is that of the last one."""
        free = [self.now] * WRITE_THREADS
        results = []
        for item in items if self._decodes_slowly else list(items):
            thread = free.index(min(free))
            self.now = free[thread]
            results.append(function(item))
            free[thread] = self.now
        self.now = max(free)
        return iter(results)


def sent(kind: str, devices: int, per_record: int) -> list[tuple[str, bytes, int]]:
    """Return the device, the data, and how many readings are valid, of each record."""
    records = []
    for number in range(RECORDS[per_record]):
        rejected = kind == "rejected" or (kind in ("mixed", "decoded slowly") and number % 3 == 0)
        times = [NOW + number * per_record + reading for reading in range(per_record)]
        data = b"not JSON" if rejected else dump([{"timestamp": time} for time in times])
        records.append((f"d{number % devices}", data, 0 if rejected else per_record))
    return records


def usable_ms(timeout_ms: int) -> int:
    return timeout_ms - min(CALL_RESERVE_MS, timeout_ms // 2)


def grid() -> Iterator[tuple[int, int, int]]:
    """Yield timeout, latency, and readings per record: the calls of one record fit."""
    for per_record in (1, 3, 30):
        # The last call of the record only has to start in time.
        others = ceil(per_record / 25) + 3
        for timeout_ms in (1_000, 3_000, 60_000, 900_000):
            longest = (usable_ms(timeout_ms) - 1) // others
            for call_ms in (10, 80, 2_500, 10_000, longest):
                if call_ms <= min(longest, CALL_RESERVE_MS):
                    yield timeout_ms, call_ms, per_record


@pytest.mark.parametrize("interval", [None, 1])
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("devices", [1, 60])
@pytest.mark.parametrize("kind", ["valid", "rejected", "mixed", "decoded slowly"])
def test_each_invocation_moves_the_checkpoint(
    kind: str, devices: int, known: bool, interval: int | None
) -> None:
    settings = replace(SETTINGS, device_state_interval_seconds=interval)
    allowed_ms = interval * 1000 if interval is not None else 0
    for timeout_ms, call_ms, per_record in sorted(set(grid())):
        case = f"{timeout_ms} ms, {call_ms} ms a call, {per_record} readings"
        invocation = Invocation(timeout_ms, call_ms, decodes_slowly=kind == "decoded slowly")
        dynamodb, sns = FakeDynamoDB(invocation.take), FakeSNS(invocation.take)
        processor = Processor(
            dynamodb, sns, settings, RetryPolicy(invocation.sleep), invocation.executor
        )
        records = sent(kind, devices, per_record)
        batch = make_records(*((device, data) for device, data, _ in records))
        if known:
            older = ((device, {"timestamp": NOW - 1000}) for device, _, _ in records[:devices])
            lasting = Processor(dynamodb, sns, SETTINGS)
            lasting.process(make_records(*older), lambda: 10**9)
        before = len(dynamodb.items(SERIES))
        done = 0
        while done < len(batch):
            invocation.start()
            outcome = processor.process(batch[done:], invocation.remaining_ms)
            assert outcome.failed < len(batch) - done, f"{case}: no progress at record {done}"
            assert invocation.remaining_ms() >= 0, f"{case}: timed out"
            for number in range(done, len(batch) - outcome.failed):
                device, _, valid = records[number]
                last = NOW + (number + 1) * per_record - 1
                assert not valid or dynamodb.state(device)["timestamp"] > last - allowed_ms, case
            done = len(batch) - outcome.failed
        assert len(dynamodb.items(SERIES)) - before == sum(valid for _, _, valid in records), case
        assert len(sns.reasons()) == sum(not valid for _, _, valid in records), case


def test_what_the_time_did_not_suffice_for_continues_in_the_same_invocation() -> None:
    """The time series leaves the time of three calls per state, but a known device needs only one."""
    invocation = Invocation(timeout_ms=3_000, call_ms=150)
    dynamodb, sns = FakeDynamoDB(invocation.take), FakeSNS()
    processor = Processor(dynamodb, sns, SETTINGS, RetryPolicy(), invocation.executor)
    older, newer = (
        make_records(*((f"d{n}", {"timestamp": NOW + late}) for n in range(500))) for late in (0, 1)
    )
    processor.process(older, lambda: 10**9)
    dynamodb.calls.clear()
    invocation.start()
    outcome = processor.process(newer, invocation.remaining_ms)
    series = [operation == "batch_write_item" for operation, _ in dynamodb.calls]
    # 1.5 s are reserved. Of the other 1.5 s, 500 states could take three times three calls, so 0.15 s are left for the
    # time series: 8 calls side by side. Their states take 0.15 s. The other 1.2 s suffice for the other 300 readings:
    # two times eight calls at most, and as many times three for their states.
    assert series == [True] * 8 + [False] * 8 + [True] * 12 + [False] * 12
    assert (outcome.stored, outcome.retry_from) == (500, None)


class Batch(list[StreamRecord]):
    """Knows how many of its records were taken."""

    taken = 0

    def __getitem__(self, position: Any) -> Any:
        self.taken = position + 1
        return super().__getitem__(position)


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, device_state_table=None)])
def test_the_first_readings_are_written_while_the_others_are_decoded(settings: Settings) -> None:
    invocation = Invocation(60_000, 0, decodes_slowly=True)
    batch = Batch(make_records(*((f"d{n % 3}", {"timestamp": NOW + n}) for n in range(60))))
    taken = []

    def take(called: str) -> None:
        if called in CALLS:
            taken.append(batch.taken)

    dynamodb = FakeDynamoDB(take)
    processor = Processor(dynamodb, FakeSNS(), settings, RetryPolicy(), invocation.executor)
    assert processor.process(batch, invocation.remaining_ms).stored == 60
    # The reading that no longer fits into a call ends it. The states need all readings.
    assert taken[:3] == [26, 51, 60]
    assert set(taken[3:]) <= {60}
    assert len(dynamodb.items(SERIES)) == 60


def test_a_deadline_leaves_calls_that_are_counted_meanwhile() -> None:
    invocation = Invocation(60_000, 1_000)
    deadline = Deadline(invocation.remaining_ms)
    with deadline.call():
        invocation.take("put_item")
    calls = 48
    left = deadline.leaving(lambda: calls)
    assert left.has_time()  # of 59 s, 10 are reserved
    calls = 49
    assert not left.has_time()


def test_states_that_do_not_fit_into_one_invocation() -> None:
    """At most eight of 20 calls with states run at the same time."""
    longest = (usable_ms(60_000) - 1) // 4
    invocation = Invocation(60_000, longest)
    processor = Processor(
        FakeDynamoDB(invocation.take),
        FakeSNS(invocation.take),
        SETTINGS,
        RetryPolicy(invocation.sleep),
        invocation.executor,
    )
    batch = make_records(*((f"d{n}", {"timestamp": NOW}) for n in range(500)))
    done = 0
    while done < len(batch):
        invocation.start()
        outcome = processor.process(batch[done:], invocation.remaining_ms)
        assert outcome.stored > 0
        done += outcome.stored
