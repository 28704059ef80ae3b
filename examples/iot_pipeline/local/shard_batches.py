"""Which records of a shard are invoked when. Pure: time is told, nothing is called.

A worker processes one batch at a time. A shard has as many workers as the mapping's parallelization
factor, and all records of a partition key go through the same worker: "When you increase the number
of concurrent batches per shard, Lambda still ensures in-order processing at the partition-key
level" (lambda/latest/dg/with-kinesis.html). While a worker retries, the others go on.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from examples.iot_pipeline.local.mapping_decisions import (
    Condition,
    Decision,
    Discard,
    Outcome,
    Rules,
    decide,
    split_by_age,
)
from examples.iot_pipeline.local.mapping_records import Batch, Record, batch_length


@dataclass(frozen=True)
class Backoff:
    """Exponential pauses between attempts. AWS says that it backs off and not for how long."""

    first: float = 0.2
    longest: float = 3.0

    def seconds(self, failures: int) -> float:
        """The pause after this many failures in a row."""
        # The exponent is bounded because 2.0 to the power of a long outage does not fit a float.
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 32))


@dataclass(frozen=True)
class Invoke:
    """Invoke the function with this batch, then call `BatchWorker.invoked`."""

    batch: Batch


@dataclass(frozen=True)
class Wait:
    """Nothing to do before this moment, or before something happens when there is none."""

    until: float | None = None


Action = Invoke | Discard | Wait


class BatchWorker:
    """The batches of some partition keys of a shard, one after the other."""

    def __init__(self, rules: Rules, backoff: Backoff) -> None:
        self._rules = rules
        self._backoff = backoff
        self._buffer: deque[tuple[Record, float]] = deque()
        self._batches: deque[Batch] = deque()
        self._invoking: Batch | None = None
        self._given_up: Discard | None = None
        self._delivering: Discard | None = None
        self._not_before = 0.0
        self._failures = 0
        self._closed = False

    @property
    def is_empty(self) -> bool:
        """Whether every record is done with."""
        waiting = self._buffer or self._batches
        working = self._invoking or self._given_up or self._delivering
        return not waiting and not working

    def add(self, records: Iterable[Record], now: float) -> None:
        """Take records that come after all that were added before."""
        self._buffer.extend((record, now) for record in records)

    def close(self) -> None:
        """Do not wait for more: the shard has ended."""
        self._closed = True

    def open(self) -> None:
        """Undo `close`."""
        self._closed = False

    def next_action(self, now: float) -> Action:
        """What to do now. After `Invoke` and `Discard` the worker waits for the result."""
        if self._invoking is not None or self._delivering is not None:
            return Wait()
        if self._given_up is not None:
            self._delivering, self._given_up = self._given_up, None
            return self._delivering
        if not self._batches:
            if not self._is_batch_complete(now):
                return Wait(self._window_end())
            self._batches.append(self._take_batch())
        batch = self._batches.popleft()
        expired, fresh, rest = split_by_age(batch, now, self._rules.maximum_record_age)
        if expired:
            if len(expired) < len(batch):
                self._batches.appendleft(batch.part(len(expired)))
            self._delivering = Discard(expired, Condition.RECORD_AGE_EXCEEDED)
            return self._delivering
        if now < self._not_before:
            self._batches.appendleft(batch)
            return Wait(self._not_before)
        if rest:
            self._batches.appendleft(rest)
        self._invoking = fresh
        return Invoke(fresh)

    def invoked(self, outcome: Outcome, now: float) -> Decision:
        """Go on after an attempt to invoke the function."""
        assert self._invoking is not None, "nothing is being invoked"
        decision = decide(self._invoking, outcome, self._rules)
        self._invoking = None
        self._batches.extendleft(reversed(decision.again))
        self._given_up = decision.discarded
        if decision.acknowledged:
            self._failures = 0
        if decision.pause:
            self._failures += 1
            self._not_before = now + self._backoff.seconds(self._failures)
        return decision

    def delivered(self) -> tuple[Record, ...]:
        """Go on after discarded records: their failure record is sent, or it cannot be sent."""
        assert self._delivering is not None, "nothing is being delivered"
        records = self._delivering.batch.records
        self._delivering = None
        self._failures, self._not_before = 0, 0.0
        return records

    def _is_batch_complete(self, now: float) -> bool:
        if not self._buffer:
            return False
        sizes = self._sizes()
        full = batch_length(sizes, self._rules.batch_size)
        is_full = full == self._rules.batch_size or full < len(sizes)
        end = self._window_end()
        return is_full or self._closed or (end is not None and now >= end)

    def _take_batch(self) -> Batch:
        count = batch_length(self._sizes(), self._rules.batch_size)
        return Batch(tuple(self._buffer.popleft()[0] for _ in range(count)))

    def _sizes(self) -> Sequence[int]:
        # One more than fits shows that a batch ends because of its bytes.
        count = min(len(self._buffer), self._rules.batch_size + 1)
        return [self._buffer[index][0].size for index in range(count)]

    def _window_end(self) -> float | None:
        """When the batch is invoked even if it is not full: the window opens with its first record."""
        return self._buffer[0][1] + self._rules.batching_window if self._buffer else None


class ShardBatches:
    """The workers of a shard, and how far all of them are together."""

    def __init__(self, rules: Rules, backoff: Backoff, checkpoint: str | None = None) -> None:
        self.workers = tuple(
            BatchWorker(rules, backoff) for _ in range(rules.parallelization_factor)
        )
        self.checkpoint = checkpoint
        """The sequence number up to which every record is done with."""
        self.bytes = 0
        """The size of the records that are not."""
        self._unfinished: deque[Record] = deque()
        self._finished: set[str] = set()

    def __len__(self) -> int:
        return len(self._unfinished)

    @property
    def is_empty(self) -> bool:
        """Whether every record is done with."""
        return not self._unfinished

    def add(self, records: Sequence[Record], now: float) -> None:
        """Take the next records of the shard."""
        self._unfinished.extend(records)
        self.bytes += sum(record.size for record in records)
        for record in records:
            self._worker_for(record.partition_key).add([record], now)

    def close(self) -> None:
        """The shard has ended."""
        for worker in self.workers:
            worker.close()

    def open(self) -> None:
        """The shard goes on after all."""
        for worker in self.workers:
            worker.open()

    def finished(self, records: Iterable[Record]) -> None:
        """Note that records are acknowledged or discarded, and move the checkpoint."""
        for record in records:
            self._finished.add(record.sequence_number)
            self.bytes -= record.size
        while self._unfinished and self._unfinished[0].sequence_number in self._finished:
            self.checkpoint = self._unfinished.popleft().sequence_number
            self._finished.remove(self.checkpoint)

    def _worker_for(self, partition_key: str) -> BatchWorker:
        # Not hash(): it differs from process to process, and a failed run should be repeatable.
        return self.workers[zlib.crc32(partition_key.encode()) % len(self.workers)]
