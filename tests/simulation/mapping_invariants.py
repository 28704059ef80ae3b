"""What has to be true of the event source mapping: order per device, bounded delay, and that it completes every record.

Shards, records, and invocations are followed here from the calls, not from the state of the mapping.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iot_constructs.local.mapping_decisions import (
    UNLIMITED,
    Failed,
    NotInvoked,
    Outcome,
    PartiallyFailed,
    Rules,
    Succeeded,
)
from iot_constructs.local.mapping_failures import Failure
from iot_constructs.local.mapping_records import Batch, Record
from iot_constructs.testing.event_source_mapping import BACKOFF, INTERVALS
from iot_constructs.testing.kinesis import Shard, StoredRecord
from iot_constructs.testing.processes import Process

if TYPE_CHECKING:
    from tests.simulation.pipeline import Pipeline

Violated = Callable[[str, str], None]

_READ_TIMEOUT_SECONDS = 3.0
# Calls, and steps of the mapping that something else has to precede.
_SLACK_SECONDS = 5.0
_MAPPING = "mapping"


@dataclass
class _Lane:
    """The records of one partition key in one shard."""

    numbers: list[int] = field(default_factory=list)
    delivered: int = 0
    """How many of them have been in an invocation, or were discarded before."""
    completed: int = 0
    """How many of them are acknowledged or discarded."""

    def position(self, number: int) -> int:
        return bisect_left(self.numbers, number)


@dataclass
class _Worker:
    """The records of a shard that the mapping processes one batch after another."""

    since: float
    """When it last completed a record, or got one to complete."""
    incomplete: int = 0
    failures: int = 0
    """Invocations since then that failed."""
    not_invoked: int = 0
    """Attempts since then to invoke the function."""
    busy: float = 0.0
    """The seconds of all invocations since then."""
    faults: int = 0
    """How many faults the calls of the mapping had before."""

    def restart(self, now: float, faults: int, failures: int = 0) -> None:
        self.since, self.faults, self.failures = now, faults, failures
        self.not_invoked, self.busy = 0, 0.0


class MappingInvariants:
    """Follows the records through one mapping.

    Order per device: the first delivery of a record never precedes that of an earlier one of its partition key and
    shard, nor the completion of one of an ancestor shard. Records are completed in this order as well.

    Bounded delay: a worker (a share of a shard's partition keys) with records to complete does so within the time for
    a batch (its window, one read of the shard, and one listing of the shards), plus for its own attempts that fail,
    each at most one timeout and one backoff. So a poison record or a hot device delays only its own worker, and also
    this one only by as many attempts as there are retries and halves of a batch: after them the record is discarded.
    Attempts to invoke the function that are throttled or get no response, and faults in reading, extend the time by
    one backoff, or by one interval.

    Nothing lost: in the end every record that the stream accepted is acknowledged or discarded.
    """

    def __init__(self, pipeline: Pipeline, violated: Violated) -> None:
        self._pipeline = pipeline
        self._violated = violated
        self._rules = pipeline.configuration.rules
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._workers: dict[tuple[str, int], _Worker] = {}
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._completed_at: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self.discarded: set[tuple[str, int]] = set()
        """The shard and the sequence number of each discarded record."""
        pipeline.mapping.on_outcome = self._end_attempt
        pipeline.mapping.on_discard = self._discard
        pipeline.mapping.on_start = self._start

    def accept(self, shard: Shard, record: StoredRecord) -> None:
        """The stream accepts a record."""
        if shard.id not in self._ancestors:
            self._ancestors[shard.id] = self._find_ancestors(shard)
        lane = self._lanes.setdefault((shard.id, record.partition_key), _Lane())
        lane.numbers.append(record.sequence_number)
        worker = self._worker(shard.id, record.partition_key)
        if not worker.incomplete:
            # It can still retry a batch that it got again after a restart: those attempts count.
            worker.since, worker.faults = self._now, self._faults()
        worker.incomplete += 1

    def begin(self, process: Process, event: Mapping[str, Any]) -> None:
        """An invocation begins."""
        if process.caller is None or process.caller.role != _MAPPING:
            return
        self._began[process.name] = self._now
        for raw in event["Records"]:
            kinesis = raw["kinesis"]
            shard, key, number = _shard(raw), kinesis["partitionKey"], kinesis["sequenceNumber"]
            lane = self._lanes[shard, key]
            position = lane.position(int(number))
            if position < lane.delivered:
                continue
            if position > lane.delivered:
                self._violated("order per device", f"{key}: {number} is delivered too early")
            for ancestor in self._ancestors[shard]:
                before = self._lanes.get((ancestor, key))
                if before is not None and before.completed < len(before.numbers):
                    text = f"{key}: {shard} is delivered before {ancestor} is completed"
                    self._violated("order per device", text)
            lane.delivered = position + 1

    def end(self, process: Process, event: Mapping[str, Any]) -> None:
        """An invocation ends."""
        began = self._began.pop(process.name, None)
        if began is not None:
            first = event["Records"][0]
            worker = self._worker(_shard(first), first["kinesis"]["partitionKey"])
            worker.busy += self._now - began

    def check_end(self) -> None:
        """Every record is completed."""
        for (shard, key), lane in self._lanes.items():
            left = len(lane.numbers) - lane.completed
            if left:
                text = f"{left} records of {key} in {shard} are neither acknowledged nor discarded"
                self._violated("lost", text)

    def _start(self, rules: Rules) -> None:
        self._rules = rules
        self._workers.clear()
        for (shard, key), lane in self._lanes.items():
            self._worker(shard, key).incomplete += len(lane.numbers) - lane.completed

    def _end_attempt(self, batch: Batch, outcome: Outcome) -> None:
        first = batch.records[0]
        worker = self._worker(_shard(first.event), first.partition_key)
        if isinstance(outcome, NotInvoked):
            worker.not_invoked += 1
            return
        if isinstance(outcome, Succeeded):
            self._complete(worker, batch.records)
            return
        if isinstance(outcome, PartiallyFailed):
            numbers = [record.sequence_number for record in batch.records]
            done = batch.records[: numbers.index(outcome.checkpoint)]
            if done:
                self._complete(worker, done, failures=1)
                return
        assert isinstance(outcome, PartiallyFailed | Failed)
        worker.failures += 1
        most = self._rules.maximum_retry_attempts
        halves = math.ceil(math.log2(self._rules.batch_size)) + 1
        if most != UNLIMITED and worker.failures > most + 1 + halves:
            text = f"{first.partition_key}: {worker.failures} attempts without progress"
            self._violated("bounded delay", text)

    def _discard(self, failure: Failure) -> None:
        records = failure.discard.batch.records
        for record in records:
            lane = self._lanes[failure.shard_id, record.partition_key]
            lane.delivered = max(lane.delivered, lane.position(record.position) + 1)
            self.discarded.add((failure.shard_id, record.position))
        self._complete(self._worker(failure.shard_id, records[0].partition_key), records)

    def _complete(self, worker: _Worker, records: Iterable[Record], failures: int = 0) -> None:
        shard = ""
        for record in records:
            shard = _shard(record.event)
            lane = self._lanes[shard, record.partition_key]
            position = lane.position(record.position)
            if position < lane.completed:
                continue  # delivered again after a restart
            if position > lane.completed:
                text = f"{record.partition_key}: {record.sequence_number} is completed too early"
                self._violated("order per device", text)
            worker.incomplete -= position + 1 - lane.completed
            lane.completed = position + 1
        self._check_delay(worker, shard)
        worker.restart(self._now, self._faults(), failures)
        self._completed_at[shard] = self._now

    def _check_delay(self, worker: _Worker, shard: str) -> None:
        ancestors = self._ancestors[shard]
        since = max([worker.since, *(self._completed_at.get(each, 0.0) for each in ancestors)])
        attempts = worker.failures + worker.not_invoked
        allowed = (
            self._rules.batching_window
            + INTERVALS.read * (1 + len(ancestors))
            + INTERVALS.shards
            + worker.busy
            + sum(BACKOFF.seconds(attempt) for attempt in range(1, attempts + 1))
            + _READ_TIMEOUT_SECONDS * worker.not_invoked
            + INTERVALS.shards * (self._faults() - worker.faults)
            + _SLACK_SECONDS
        )
        if self._now - since > allowed:
            text = f"{shard}: {self._now - since:.1f} s without progress, {allowed:.1f} s allowed"
            self._violated("bounded delay", text)

    def _worker(self, shard: str, key: str) -> _Worker:
        index = zlib.crc32(key.encode()) % self._rules.parallelization_factor
        worker = self._workers.get((shard, index))
        if worker is None:
            worker = self._workers[shard, index] = _Worker(self._now, faults=self._faults())
        return worker

    def _find_ancestors(self, shard: Shard) -> tuple[str, ...]:
        found: list[str] = []
        for parent_id in shard.parents:
            parent = self._pipeline.kinesis.shards.get(parent_id)
            if parent is not None:
                found += [parent_id, *self._find_ancestors(parent)]
        return tuple(found)

    def _faults(self) -> int:
        injected = self._pipeline.faults.injected.items()
        return sum(number for (operation, _), number in injected if operation.startswith(_MAPPING))

    @property
    def _now(self) -> float:
        return self._pipeline.scheduler.now


def _shard(raw: Mapping[str, Any]) -> str:
    return str(raw["eventID"]).partition(":")[0]
