"""The main loop of a mapping: reads shards, invokes the function, and sends failure records.

One thread makes all decisions (`MappingLoop.step`). Only invocations and deliveries of failure
records run in other threads, and the next step processes their results from a queue. Tests inject
the clock and the executor, which makes a step deterministic.
"""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.local import mapping_metrics as names
from iot_constructs.local.mapping_configuration import Configuration
from iot_constructs.local.mapping_decisions import (
    Discard,
    NotInvoked,
    Outcome,
    Succeeded,
)
from iot_constructs.local.mapping_failures import Destination, Failure
from iot_constructs.local.mapping_metrics import Metrics
from iot_constructs.local.mapping_records import Batch
from iot_constructs.local.mapping_stream import (
    FROM_TRIM_HORIZON,
    ListedShard,
    OpenShard,
    Read,
    Shards,
    StartPosition,
)
from iot_constructs.local.shard_batches import (
    Backoff,
    BatchWorker,
    Invoke,
    ShardBatches,
    Wait,
)

LOG = logging.getLogger(__name__)

# Limits of reading ahead of a worker that retries. Without reading ahead, records would be lost
# when the emulator reshards.
READ_AHEAD_RECORDS = 10_000
READ_AHEAD_BYTES = 64 * 1024 * 1024
PROBLEMS_KEPT = 100

Call = Callable[[], None]


class Reader(Protocol):
    """The interface of `mapping_stream.StreamReader`."""

    def shards(self) -> list[ListedShard]:
        """Return all shards."""

    def read(self, shard_id: str, after: str | None, start: StartPosition) -> Read:
        """Return the next records of a shard."""


@dataclass(frozen=True)
class Intervals:
    """Polling intervals in seconds."""

    read: float = 0.25
    """Lambda polls a shard once per second (lambda/latest/dg/with-kinesis.html)."""
    shards: float = 1.0
    metrics: float = 2.0
    """Lambda publishes metrics every minute."""


class MappingLoop:
    """Runs a mapping, one step at a time."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        reader: Reader,
        invoke: Callable[[Batch], Outcome],
        destination: Destination | None,
        metrics: Metrics,
        cloudwatch: Any,
        start: StartPosition,
        run: Callable[[Call], None],
        clock: Callable[[], float],
        checkpoints: Mapping[str, str] | None = None,
        undelivered: Iterable[Failure] = (),
        backoff: Backoff | None = None,
        intervals: Intervals | None = None,
    ) -> None:
        self._configuration = configuration
        self._reader = reader
        self._invoke = invoke
        self._destination = destination
        self._metrics = metrics
        self._cloudwatch = cloudwatch
        self._start = start
        self._run = run
        self._clock = clock
        self._checkpoints = dict(checkpoints if checkpoints is not None else {})
        self._backoff = backoff if backoff is not None else Backoff()
        self._intervals = intervals if intervals is not None else Intervals()
        self._shards = Shards()
        self._results: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._listed_at: float | None = None
        self._next_listing = self._next_publishing = clock()
        self.under_way = 0
        """The number of calls in other threads."""
        self.idle_since: float | None = None
        """The start of the idle period. Every record in the stream at this time is completed."""
        self.undelivered: list[Failure] = list(undelivered)
        """Failure records that could not be delivered. On AWS, their records are lost."""
        self.problems: deque[str] = deque(maxlen=PROBLEMS_KEPT)
        """The last failed calls that are retried."""

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """The checkpoint of each shard."""
        return {**self._checkpoints, **self._shards.checkpoints()}

    def step(self) -> float:
        """Do what can be done now. Returns the number of seconds until the next step."""
        self.take_results()
        self._list_shards()
        wakes = [self._next_listing, self._next_publishing]
        for shard in self._shards.readable():
            self._read(shard)
            wakes.append(shard.next_read)
        for shard in self._shards.known.values():
            if shard.batches.is_empty:
                continue  # most steps only read, and no worker of the shard has something to do
            for worker in shard.batches.workers:
                wakes.extend(self._run_worker(shard, worker))
        self._update_idle_since()
        now = self._clock()
        if now >= self._next_publishing:
            self.publish_metrics()
            self._next_publishing = wakes[1] = now + self._intervals.metrics
        return max(0.0, min(wakes) - self._clock())

    def take_results(self) -> None:
        """Process the results of completed calls."""
        while True:
            try:
                result = self._results.get_nowait()
            except queue.Empty:
                return
            self.under_way -= 1
            result()

    def publish_metrics(self) -> None:
        """Publish the metrics now."""
        try:
            self._metrics.publish(self._cloudwatch, self._clock())
        except (ClientError, BotoCoreError) as error:
            self._problem("PutMetricData", error)

    def _list_shards(self) -> None:
        now = self._clock()
        if now < self._next_listing:
            return
        self._next_listing = now + self._intervals.shards
        try:
            listed = self._reader.shards()
        except (ClientError, BotoCoreError) as error:
            self._problem("ListShards", error)
            return
        # Later shards contain only records that arrived after the start, so read all of them.
        start = self._start if self._listed_at is None else FROM_TRIM_HORIZON
        self._listed_at = now
        self._shards.update(listed)
        for each in self._shards.unknown(listed):
            checkpoint = self._checkpoints.get(each.shard_id)
            batches = ShardBatches(self._configuration.rules, self._backoff, checkpoint)
            self._shards.add(
                OpenShard(
                    each.shard_id,
                    each.parents,
                    each.first_sequence_number,
                    start,
                    batches,
                    last_read=checkpoint,
                    next_read=now,
                )
            )

    def _read(self, shard: OpenShard) -> None:
        now = self._clock()
        if now < shard.next_read:
            return
        shard.next_read = now + self._intervals.read
        if len(shard.batches) >= READ_AHEAD_RECORDS or shard.batches.bytes >= READ_AHEAD_BYTES:
            return
        try:
            read = self._reader.read(shard.shard_id, shard.last_read, shard.start)
        except (ClientError, BotoCoreError) as error:
            shard.empty_since = None
            self._problem(f"reading {shard.shard_id}", error)
            return
        self._metrics.add(names.POLLED, len(read.records))
        shard.add_read(read, now)
        shard.empty_since = None if read.records else now
        if read.behind:
            shard.next_read = now

    def _run_worker(self, shard: OpenShard, worker: BatchWorker) -> list[float]:
        """Start the next action of a worker. Returns when to check the worker again."""
        now = self._clock()
        action = worker.next_action(now)
        if isinstance(action, Wait):
            return [] if action.until is None else [action.until]
        if isinstance(action, Invoke):
            self._start_invocation(shard, worker, action.batch, now)
        else:
            self._start_discard(shard, worker, action, now)
        return []

    def _start_invocation(
        self, shard: OpenShard, worker: BatchWorker, batch: Batch, now: float
    ) -> None:
        age = max(0.0, now - batch.records[-1].arrival)

        def call() -> None:
            outcome = self._invoke(batch)
            ended = self._clock()
            self._results.put(
                lambda: self._complete_invocation(shard, worker, batch, outcome, ended - now)
            )

        self._metrics.add(names.INVOKED, len(batch))
        self._metrics.add(names.ITERATOR_AGE, round(1000 * age))
        self._start_call(call)

    def _complete_invocation(
        self, shard: OpenShard, worker: BatchWorker, batch: Batch, outcome: Outcome, seconds: float
    ) -> None:
        decision = worker.complete_invocation(outcome, self._clock())
        shard.batches.complete(decision.acknowledged)
        if isinstance(outcome, NotInvoked):
            self._metrics.add(names.THROTTLES, 1 if outcome.throttled else 0)
            self._metrics.add(names.FAILED_INVOKE, len(batch))
            self._problem("Invoke", outcome.reason)
            return
        self._metrics.add(names.INVOCATIONS, 1)
        self._metrics.add(names.DURATION, round(1000 * seconds))
        has_error = not isinstance(outcome, Succeeded) and outcome.response.function_error
        self._metrics.add(names.ERRORS, 1 if has_error else 0)
        self._metrics.add(names.FAILED_INVOKE, len(batch) - len(decision.acknowledged))

    def _start_discard(
        self, shard: OpenShard, worker: BatchWorker, discard: Discard, now: float
    ) -> None:
        of = self._configuration
        failure = Failure(of.uuid, of.function_arn, of.stream_arn, shard.shard_id, discard, now)

        def call() -> None:
            error: Exception | None = None
            try:
                if self._destination is not None:
                    self._destination(failure)
            except Exception as reason:  # is reported, and the shard continues
                error = reason
            self._results.put(lambda: self._complete_discard(shard, worker, failure, error))

        self._start_call(call)

    def _complete_discard(
        self, shard: OpenShard, worker: BatchWorker, failure: Failure, error: Exception | None
    ) -> None:
        records = worker.complete_discard()
        shard.batches.complete(records)
        if self._destination is not None and error is None:
            self._metrics.add(names.DELIVERED, len(records))
            return
        # lambda/latest/dg/monitoring-metrics-types.html: a failed delivery counts as one delivery
        # failure, and its events as dropped. The guide does not mention a retry.
        if error is not None:
            self._metrics.add(names.DELIVERY_FAILURES, 1)
            self._problem(f"the failure destination ({failure.document()})", error)
        self._metrics.add(names.DROPPED, len(records))
        self.undelivered.append(failure)

    def _start_call(self, call: Call) -> None:
        def run() -> None:
            try:
                call()
            except BaseException as error:  # a bug must end the loop, not leave a worker waiting
                self._results.put(partial(_raise, error))

        self.under_way += 1
        self._run(run)

    def _update_idle_since(self) -> None:
        shards = list(self._shards.known.values())
        moments = [shard.empty_since for shard in shards if not shard.ended]
        busy = any(not shard.batches.is_empty for shard in shards) or None in moments
        if busy or self._listed_at is None:
            self.idle_since = None
        else:
            self.idle_since = min([self._listed_at, *(each for each in moments if each)])

    def _problem(self, call: str, error: object) -> None:
        text = f"{call}: {error}"
        self.problems.append(text)
        LOG.warning("%s", text)


def _raise(error: BaseException) -> None:
    raise error
