"""Property tests of the concurrent batches of a shard in simulated time.

`Simulation` is a shard, a function, and a clock. The tests check its log against the documented rules.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs.local.mapping_decisions import (
    UNLIMITED,
    Condition,
    Discard,
    Failed,
    NotInvoked,
    Outcome,
    PartiallyFailed,
    Rules,
    Succeeded,
)
from iot_constructs.local.mapping_records import MAX_PAYLOAD_BYTES, Batch, Record, Response
from iot_constructs.local.shard_batches import (
    Backoff,
    BatchWorker,
    Invoke,
    ShardBatches,
    Wait,
)

RETURNED = Response("request")
RAISED = Response("request", function_error="Unhandled")
MB = 1024 * 1024

# How a record fails, and in how many of the invocations that contain it.
Behavior = tuple[str, int]
ALWAYS = 10**9


@dataclass
class Call:
    numbers: list[int]
    keys: set[str]
    began: float
    outcome: Outcome
    ended: float = float("inf")
    processed: list[int] = field(default_factory=list)
    """The records that the function processed successfully in this call."""


class Simulation:
    """Processes a shard from its first to its last record."""

    def __init__(
        self,
        rules: Rules,
        records: Sequence[Record],
        behavior: dict[int, Behavior],
        *,
        throttled: Callable[[], bool] = lambda: False,
        seed: int = 0,
        duration: float = 0.5,
    ) -> None:
        self.rules, self.records, self.behavior = rules, records, behavior
        self.throttled = throttled
        self.chance = random.Random(seed)
        self.duration = duration
        self.backoff = Backoff(first=0.5, longest=8.0)
        self.shard = ShardBatches(rules, self.backoff)
        self.now = 0.0
        self.calls: list[Call] = []
        self.discards: list[tuple[Discard, float]] = []
        self.checkpoints: list[int] = []
        self.at_once: list[list[set[str]]] = []
        self.added: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        self._open: list[tuple[float, BatchWorker, Call | None]] = []

    def run(self, *, limit: int = 5_000) -> Simulation:
        waiting = list(self.records)
        for _ in range(limit):
            arrived = [each for each in waiting if each.arrival <= self.now]
            waiting = waiting[len(arrived) :]
            self.shard.add(arrived, self.now)
            self.added.update((each.position, self.now) for each in arrived)
            if not waiting:
                self.shard.close()
            wakes = [each.arrival for each in waiting[:1]] + self._begin()
            if self.shard.is_empty and not waiting:
                assert all(worker.is_empty for worker in self.shard.workers)
                return self
            self._end(wakes)
        raise AssertionError("the simulation does not end")

    def _begin(self) -> list[float]:
        wakes = []
        workers = list(self.shard.workers)
        self.chance.shuffle(workers)
        for worker in workers:
            action = worker.next_action(self.now)
            if isinstance(action, Wait):
                wakes += [] if action.until is None else [action.until]
                continue
            end = self.now + self.duration * (1 + self.chance.random())
            if isinstance(action, Invoke):
                call = self._call(action.batch)
                self.calls.append(call)
                self._open.append((end, worker, call))
                self.at_once.append([each[2].keys for each in self._open if each[2] is not None])
            else:
                self.discards.append((action, self.now))
                self._open.append((end, worker, None))
            assert worker.next_action(self.now) == Wait(), "a worker must do one thing at a time"
        return wakes

    def _end(self, wakes: list[float]) -> None:
        self._open.sort(key=lambda each: each[0])
        following = min([*wakes, *(each[0] for each in self._open[:1])])
        # Otherwise, the loop would be a busy wait.
        assert following > self.now
        self.now = following
        while self._open and self._open[0][0] <= self.now:
            _, worker, call = self._open.pop(0)
            if call is None:
                self.shard.complete(worker.complete_discard())
            else:
                call.ended = self.now
                self.shard.complete(worker.complete_invocation(call.outcome, self.now).acknowledged)
            if self.shard.checkpoint is not None:
                self.checkpoints.append(int(self.shard.checkpoint))
                self._check_checkpoint()

    def _call(self, batch: Batch) -> Call:
        numbers = [each.position for each in batch.records]
        keys = {each.partition_key for each in batch.records}
        if self.throttled():
            return Call(numbers, keys, self.now, NotInvoked("busy", throttled=True))
        bad: dict[int, str] = {}
        for index, number in enumerate(numbers):
            kind, times = self.behavior.get(number, ("ok", 0))
            if self._seen.get(number, 0) < times:
                bad[index] = kind
            self._seen[number] = self._seen.get(number, 0) + 1
        if "raise" in bad.values():
            return Call(numbers, keys, self.now, Failed(RAISED))
        if "malformed" in bad.values():
            return Call(numbers, keys, self.now, Failed(RETURNED))
        if bad:
            first = min(bad)
            outcome = PartiallyFailed(RETURNED, str(numbers[first]))
            return Call(numbers, keys, self.now, outcome, processed=numbers[:first])
        return Call(numbers, keys, self.now, Succeeded(RETURNED), processed=numbers)

    def _check_checkpoint(self) -> None:
        done = self.processed() | self.discarded()
        passed = {each for each in self.added if each <= self.checkpoints[-1]}
        assert passed <= done, "the checkpoint passed an incomplete record"

    def processed(self) -> set[int]:
        return {each for call in self.calls for each in call.processed}

    def discarded(self, condition: Condition | None = None) -> set[int]:
        return {
            record.position
            for discard, _ in self.discards
            for record in discard.batch.records
            if condition in (None, discard.condition)
        }

    @property
    def executed(self) -> list[Call]:
        return [call for call in self.calls if not isinstance(call.outcome, NotInvoked)]


def make_records(gaps: Sequence[float], keys: Sequence[int], sizes: Sequence[int]) -> list[Record]:
    now, made = 0.0, []
    for index, gap in enumerate(gaps):
        now += gap
        key = f"key-{keys[index % len(keys)]}"
        made.append(Record(str(100 + index), key, now, {}, sizes[index % len(sizes)]))
    return made


streams = st.builds(
    make_records,
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 30.0]), min_size=1, max_size=25),
    st.lists(st.integers(0, 6), min_size=1, max_size=9),
    st.lists(st.sampled_from([100, 100, MB, 4 * MB, 7 * MB]), min_size=1, max_size=5),
)
behaviors = st.dictionaries(
    st.integers(100, 124),
    st.tuples(
        st.sampled_from(["raise", "report", "malformed"]), st.sampled_from([1, 2, 4, ALWAYS])
    ),
    max_size=6,
)
rules_ = st.builds(
    Rules,
    batch_size=st.sampled_from([1, 2, 3, 7, 100]),
    batching_window=st.sampled_from([0.0, 1.0, 20.0]),
    parallelization_factor=st.sampled_from([1, 2, 10]),
    maximum_retry_attempts=st.integers(0, 4),
    maximum_record_age=st.sampled_from([UNLIMITED, 60.0]),
    bisect=st.booleans(),
    report_item_failures=st.just(True),
)
seeds = st.integers(0, 2**32)


def some_throttles(share: float, seed: int) -> Callable[[], bool]:
    chance = random.Random(seed)
    return lambda: chance.random() < share


@given(
    rules_,
    streams,
    behaviors,
    st.sampled_from([0.0, 0.3, 0.8]),
    st.sampled_from([0.5, 25.0]),  # 25 s is long enough for records to expire between attempts
    seeds,
)
@settings(max_examples=400, deadline=None)
def test_documented_rules(
    rules: Rules,
    records: list[Record],
    behavior: dict[int, Behavior],
    throttles: float,
    duration: float,
    seed: int,
) -> None:
    throttled = some_throttles(throttles, seed)
    simulation = Simulation(
        rules, records, behavior, throttled=throttled, seed=seed, duration=duration
    ).run()
    everything = {each.position for each in records}

    # Each record is either processed or discarded.
    in_failure_records = [
        each.position for discard, _ in simulation.discards for each in discard.batch.records
    ]
    assert len(in_failure_records) == len(set(in_failure_records))
    assert simulation.processed() | set(in_failure_records) == everything
    assert not simulation.processed() & set(in_failure_records)

    # The records of a partition key are processed exactly once and in order.
    for key in {each.partition_key for each in records}:
        of_key = {each.position for each in records if each.partition_key == key}
        order = [n for call in simulation.calls for n in call.processed if n in of_key]
        assert order == sorted(set(order))

    # No two concurrent batches have the same partition key, and their number is limited.
    for at_once in simulation.at_once:
        assert len(at_once) <= rules.parallelization_factor
        assert len(set().union(*at_once)) == sum(len(keys) for keys in at_once)

    # The checkpoint never decreases and ends at the last record.
    assert simulation.checkpoints == sorted(simulation.checkpoints)
    assert simulation.checkpoints[-1] == max(everything)

    # The size of batches is limited.
    size = {each.position: each.size for each in records}
    for call in simulation.calls:
        assert len(call.numbers) <= rules.batch_size
        bytes_ = sum(size[n] for n in call.numbers)
        assert bytes_ <= MAX_PAYLOAD_BYTES or len(call.numbers) == 1

    # Only expired records are discarded because of their age, and no expired record is invoked.
    arrival = {each.position: each.arrival for each in records}
    for call in simulation.calls:
        for number in call.numbers:
            age = call.began - arrival[number]
            assert rules.maximum_record_age == UNLIMITED or age <= rules.maximum_record_age
    for discard, when in simulation.discards:
        if discard.condition is Condition.RECORD_AGE_EXCEEDED:
            assert rules.maximum_record_age != UNLIMITED
            assert all(
                when - each.arrival > rules.maximum_record_age for each in discard.batch.records
            )

    # Failed invocations of the same records: the first attempt and the retries.
    failing: dict[tuple[int, ...], int] = {}
    for call in simulation.executed:
        if not call.processed:
            failing[tuple(call.numbers)] = failing.get(tuple(call.numbers), 0) + 1
    assert max(failing.values(), default=0) <= rules.maximum_retry_attempts + 1

    # The number of invocations is bounded.
    per_record = rules.maximum_retry_attempts + 3
    assert len(simulation.executed) <= per_record * len(records)


@given(streams, st.sampled_from([2, 3, 100]), st.sampled_from([0.0, 1.0, 20.0]), behaviors)
@settings(max_examples=100, deadline=None)
def test_batches_are_full_or_their_window_has_ended(
    records: list[Record], batch_size: int, window: float, behavior: dict[int, Behavior]
) -> None:
    small = [Record(r.sequence_number, r.partition_key, r.arrival, {}, 100) for r in records]
    rules = Rules(batch_size, window, 2, 2, UNLIMITED)
    simulation = Simulation(rules, small, behavior).run()
    seen: set[int] = set()
    for call in simulation.calls:
        is_new = call.numbers[0] not in seen
        seen.update(call.numbers)
        if is_new and call.began < small[-1].arrival:  # the shard ends with the last record
            is_full = len(call.numbers) == batch_size
            assert is_full or call.began >= simulation.added[call.numbers[0]] + window


@given(rules_, streams, behaviors, seeds)
@settings(max_examples=150, deadline=None)
def test_throttling_only_delays(
    rules: Rules, records: list[Record], behavior: dict[int, Behavior], seed: int
) -> None:
    # All records arrive at once and one worker processes them, so that only throttling differs.
    same = Rules(**{**vars(rules), "maximum_record_age": UNLIMITED, "parallelization_factor": 1})
    at_once = [Record(r.sequence_number, r.partition_key, 0.0, {}, r.size) for r in records]
    calm = Simulation(same, at_once, behavior).run()
    busy = Simulation(same, at_once, behavior, throttled=some_throttles(0.7, seed)).run()
    assert [call.numbers for call in busy.executed] == [call.numbers for call in calm.executed]
    discarded = [
        [[each.position for each in discard.batch.records] for discard, _ in run.discards]
        for run in (calm, busy)
    ]
    assert discarded[0] == discarded[1]
    counts = [[discard.batch.invocations for discard, _ in run.discards] for run in (calm, busy)]
    assert counts[0] == counts[1]


@given(streams, st.sampled_from([1, 3, 100]), st.sampled_from([1, 3]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_throttled_records_are_discarded_at_the_maximum_age(
    records: list[Record], batch_size: int, factor: int, bisect: bool
) -> None:
    rules = Rules(batch_size, 1.0, factor, 0, 60.0, bisect, report_item_failures=True)
    simulation = Simulation(rules, records, {}, throttled=lambda: True).run()
    assert simulation.discarded(Condition.RECORD_AGE_EXCEEDED) == {r.position for r in records}
    assert simulation.executed == []
    for discard, when in simulation.discards:
        # A batch waits for the previous batches of its worker, which expire first.
        oldest = discard.batch.records[0].arrival
        assert when - oldest <= 60.0 + 2 * (simulation.backoff.longest + 2 * simulation.duration)


@given(
    st.integers(1, 60),
    st.sets(st.integers(100, 159), max_size=3),
    st.integers(0, 3),
    st.sampled_from([1, 4, 100]),
)
@settings(deadline=None)
def test_bisecting_isolates_poison_records(
    count: int, poison: set[int], limit: int, batch_size: int
) -> None:
    records = make_records([0.0] * count, [0, 1], [100])
    poison &= {each.position for each in records}
    rules = Rules(batch_size, 0.0, 1, limit, UNLIMITED, bisect=True)
    bad = dict.fromkeys(poison, ("raise", ALWAYS))
    simulation = Simulation(rules, records, bad).run()
    assert simulation.discarded() == poison
    assert all(len(discard.batch) == 1 for discard, _ in simulation.discards)
    for number in poison:
        alone = [call for call in simulation.calls if call.numbers == [number]]
        assert len(alone) == limit + 1


@given(st.integers(1, 40), st.integers(0, 4), st.booleans())
@settings(deadline=None)
def test_number_of_invocations_of_a_function_that_always_fails(
    count: int, limit: int, bisect: bool
) -> None:
    records = make_records([0.0] * count, [0], [100])
    rules = Rules(100, 0.0, 1, limit, UNLIMITED, bisect)
    bad = {each.position: ("raise", ALWAYS) for each in records}
    simulation = Simulation(rules, records, bad).run()
    assert simulation.processed() == set()
    # Bisecting a batch of n records takes n - 1 invocations and no retries.
    expected = (count - 1) + count * (limit + 1) if bisect else limit + 1
    assert len(simulation.calls) == expected
    assert len(simulation.discards) == (count if bisect else 1)


def test_a_worker_that_retries_does_not_block_the_others() -> None:
    records = make_records([0.0] * 20, [0, 1, 2, 3, 4, 5], [100])
    rules = Rules(1, 0.0, 10, 4, UNLIMITED)
    bad = {100: ("raise", ALWAYS)}
    simulation = Simulation(rules, records, bad).run()
    discarded = simulation.discards[0][1]
    others = [n for call in simulation.calls if call.ended < discarded for n in call.processed]
    assert {each.position for each in records if each.partition_key == "key-1"} <= set(others)


# Batches


def new_worker(size: int = 3, window: float = 0.0) -> BatchWorker:
    return BatchWorker(Rules(size, window), Backoff())


def record(number: int, size: int = 100) -> Record:
    return Record(str(number), "key", 0.0, {}, size)


def taken(action: object) -> list[int]:
    assert isinstance(action, Invoke)
    return [each.position for each in action.batch.records]


def test_without_a_window_a_single_record_is_invoked_immediately() -> None:
    subject = new_worker()
    subject.add([record(1)], 10.0)
    assert taken(subject.next_action(10.0)) == [1]


def test_a_window_starts_with_the_first_record() -> None:
    subject = new_worker(window=5.0)
    assert subject.next_action(9.0) == Wait()
    subject.add([record(1)], 10.0)
    subject.add([record(2)], 14.0)
    assert subject.next_action(14.9) == Wait(15.0)
    assert taken(subject.next_action(15.0)) == [1, 2]


def test_a_full_batch_does_not_wait_for_the_window() -> None:
    subject = new_worker(window=5.0)
    subject.add([record(number) for number in range(4)], 10.0)
    assert taken(subject.next_action(10.0)) == [0, 1, 2]
    subject.complete_invocation(Succeeded(RETURNED), 11.0)
    assert subject.next_action(11.0) == Wait(15.0)


def test_a_batch_ends_at_the_payload_quota() -> None:
    subject = new_worker(size=100, window=5.0)
    subject.add([record(1, 3 * MB), record(2, 2 * MB), record(3, 2 * MB)], 10.0)
    assert taken(subject.next_action(10.0)) == [1, 2]


def test_expired_records_are_discarded_and_the_rest_is_invoked() -> None:
    subject = BatchWorker(Rules(10, 0.0, maximum_record_age=60.0), Backoff())
    old, young = Record("1", "key", 0.0, {}, 1), Record("2", "key", 50.0, {}, 1)
    subject.add([old, young], 61.0)
    action = subject.next_action(61.0)
    assert isinstance(action, Discard)
    assert action.batch.records == (old,)
    assert action.condition is Condition.RECORD_AGE_EXCEEDED
    assert subject.next_action(61.0) == Wait()
    assert subject.complete_discard() == (old,)
    assert taken(subject.next_action(61.0)) == [2]


def test_records_that_expire_between_two_attempts_are_not_invoked_again() -> None:
    subject = BatchWorker(Rules(10, 0.0, maximum_record_age=60.0), Backoff(first=5.0, longest=5.0))
    subject.add([record(1)], 0.0)
    assert taken(subject.next_action(58.0)) == [1]
    subject.complete_invocation(Failed(RAISED), 59.0)
    action = subject.next_action(64.0)
    assert isinstance(action, Discard)
    assert action.condition is Condition.RECORD_AGE_EXCEEDED
    assert action.batch.invocations == 1


def test_the_end_of_the_shard_completes_the_batch() -> None:
    subject = new_worker(window=5.0)
    subject.add([record(1)], 10.0)
    subject.close()
    assert taken(subject.next_action(10.0)) == [1]


def test_success_resets_the_exponential_backoff() -> None:
    backoff = Backoff(first=1.0, longest=5.0)
    subject = BatchWorker(Rules(10, 0.0), backoff)
    subject.add([record(1), record(2)], 0.0)
    now, waits = 0.0, []
    for _ in range(5):
        assert taken(subject.next_action(now)) == [1, 2]
        subject.complete_invocation(Failed(RAISED), now)
        action = subject.next_action(now)
        assert isinstance(action, Wait)
        assert action.until is not None
        waits.append(action.until - now)
        now = action.until
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert taken(subject.next_action(now)) == [1, 2]
    subject.complete_invocation(PartiallyFailed(RETURNED, "2"), now)
    assert subject.next_action(now) == Wait(now + 1.0)


def test_the_backoff_does_not_overflow() -> None:
    assert Backoff(first=1.0, longest=5.0).seconds(10**6) == 5.0


def test_the_worker_of_a_key_is_the_same_in_every_process() -> None:
    shard = ShardBatches(Rules(100, 0.0, 10), Backoff())
    shard.add([Record(str(n), f"key-{n % 7}", 0.0, {}, 1) for n in range(70)], 0.0)
    found = []
    for each in shard.workers:
        action = each.next_action(0.0)
        records = action.batch.records if isinstance(action, Invoke) else ()
        found.append(sorted({int(each.partition_key[-1]) for each in records}))
    # Fixed values fail for a hash that differs between processes.
    assert found == [[0, 2], [], [], [], [], [4, 5], [], [], [1, 3], [6]]


def test_unexpected_results_are_errors() -> None:
    subject = new_worker()
    with pytest.raises(AssertionError):
        subject.complete_invocation(Succeeded(RETURNED), 0.0)
    with pytest.raises(AssertionError):
        subject.complete_discard()
