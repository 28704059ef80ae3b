"""Schedules the concurrent batches of a shard. No I/O, and the caller passes the time.

A worker processes one batch at a time. A shard has as many workers as the mapping's parallelization
factor, and all records of a partition key go through the same worker: "When you increase the number
of concurrent batches per shard, Lambda still ensures in-order processing at the partition-key
level" (lambda/latest/dg/with-kinesis.html). While a worker retries, the others continue.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from iot_constructs.local.mapping_decisions import (
    Condition,
    Decision,
    Discard,
    Outcome,
    Rules,
    decide,
    split_by_age,
)
from iot_constructs.local.mapping_records import Batch, Record, batch_length


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff between attempts. AWS does not document the intervals."""

    first: float = 0.2
    longest: float = 3.0

    def seconds(self, failures: int) -> float:
        """Return the pause after a number of consecutive failures."""
        # The limit on the exponent avoids an overflow in a long outage.
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 32))


@dataclass(frozen=True)
class Invoke:
    """Invoke the function with this batch, then call `BatchWorker.complete_invocation`."""

    batch: Batch


@dataclass(frozen=True)
class Wait:
    """Nothing to do until this time, or until the next event if it is None."""

    until: float | None = None


Action = Invoke | Discard | Wait


class BatchWorker:
    """Processes the batches of some partition keys of a shard, one at a time."""

    def __init__(self, rules: Rules, backoff: Backoff) -> None:
        self._rules = rules
        self._backoff = backoff
        self._buffer: deque[tuple[Record, float]] = deque()
        self._batches: deque[Batch] = deque()
        self._invoking: Batch | None = None
        self._pending_discard: Discard | None = None
        self._delivering: Discard | None = None
        self._not_before = 0.0
        self._failures = 0
        self._closed = False

    @property
    def is_empty(self) -> bool:
        """Whether every record is completed."""
        waiting = self._buffer or self._batches
        working = self._invoking or self._pending_discard or self._delivering
        return not waiting and not working

    def add(self, records: Iterable[Record], now: float) -> None:
        """Append records."""
        self._buffer.extend((record, now) for record in records)

    def close(self) -> None:
        """Stop waiting for more records because the shard has ended."""
        self._closed = True

    def open(self) -> None:
        """Undo `close`."""
        self._closed = False

    def next_action(self, now: float) -> Action:
        """Return the next action. After `Invoke` or `Discard`, the worker waits for the result."""
        if self._invoking is not None or self._delivering is not None:
            return Wait()
        if self._pending_discard is not None:
            self._delivering, self._pending_discard = self._pending_discard, None
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

    def complete_invocation(self, outcome: Outcome, now: float) -> Decision:
        """Continue after an attempt to invoke the function."""
        assert self._invoking is not None, "no invocation in progress"
        decision = decide(self._invoking, outcome, self._rules)
        self._invoking = None
        self._batches.extendleft(reversed(decision.retries))
        self._pending_discard = decision.discarded
        if decision.acknowledged:
            self._failures = 0
        if decision.backoff:
            self._failures += 1
            self._not_before = now + self._backoff.seconds(self._failures)
        return decision

    def complete_discard(self) -> tuple[Record, ...]:
        """Continue after an attempt to send the failure record of discarded records."""
        assert self._delivering is not None, "no discard in progress"
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
        # One additional record shows whether the payload quota ends the batch.
        count = min(len(self._buffer), self._rules.batch_size + 1)
        return [self._buffer[index][0].size for index in range(count)]

    def _window_end(self) -> float | None:
        """Return when the batching window ends. It starts with the first record of the batch."""
        return self._buffer[0][1] + self._rules.batching_window if self._buffer else None


class ShardBatches:
    """The workers of a shard and their common checkpoint."""

    def __init__(self, rules: Rules, backoff: Backoff, checkpoint: str | None = None) -> None:
        self.workers = tuple(
            BatchWorker(rules, backoff) for _ in range(rules.parallelization_factor)
        )
        self.checkpoint = checkpoint
        """The sequence number up to which every record is completed."""
        self.bytes = 0
        """The size of the incomplete records."""
        self._incomplete: deque[Record] = deque()
        self._completed: set[str] = set()

    def __len__(self) -> int:
        return len(self._incomplete)

    @property
    def is_empty(self) -> bool:
        """Whether every record is completed."""
        return not self._incomplete

    def add(self, records: Sequence[Record], now: float) -> None:
        """Append the next records of the shard."""
        self._incomplete.extend(records)
        self.bytes += sum(record.size for record in records)
        for record in records:
            self._worker_for(record.partition_key).add([record], now)

    def close(self) -> None:
        """Stop waiting for more records because the shard has ended."""
        for worker in self.workers:
            worker.close()

    def open(self) -> None:
        """Undo `close`."""
        for worker in self.workers:
            worker.open()

    def complete(self, records: Iterable[Record]) -> None:
        """Mark records as acknowledged or discarded, and advance the checkpoint."""
        for record in records:
            self._completed.add(record.sequence_number)
            self.bytes -= record.size
        while self._incomplete and self._incomplete[0].sequence_number in self._completed:
            self.checkpoint = self._incomplete.popleft().sequence_number
            self._completed.remove(self.checkpoint)

    def _worker_for(self, partition_key: str) -> BatchWorker:
        # hash() differs between processes, so a failed run would not be reproducible.
        return self.workers[zlib.crc32(partition_key.encode()) % len(self.workers)]
