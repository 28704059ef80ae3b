"""Deliberate bugs: a simulation that does not find them proves nothing.

Each one patches the code under test the way a plausible mistake would, and names the invariants of which one has to
find it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from functools import partial
from typing import Any
from unittest.mock import patch

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from iot_constructs.cli import destinations, recovery
from iot_constructs.cli.accepted_ranges import AcceptedRanges
from iot_constructs.cli.dead_letter_messages import parse_stored_batch
from iot_constructs.cli.dead_letter_queue import DeadLetterQueue
from iot_constructs.cli.destinations import StreamDestination
from iot_constructs.cli.redrive import Redrive
from iot_constructs.cli.stream_records import StreamReader
from iot_constructs.local import shard_batches
from iot_constructs.local.mapping_decisions import (
    UNLIMITED,
    Decision,
    Failed,
    Outcome,
    Rules,
    decide,
)
from iot_constructs.local.mapping_invocation import Invoker
from iot_constructs.local.mapping_loop import MappingLoop
from iot_constructs.local.mapping_records import Batch, Record
from iot_constructs.local.mapping_stream import Shards
from iot_constructs.local.shard_batches import ShardBatches
from iot_constructs.processor import batches, device_state, readings
from iot_constructs.processor.batches import Processor
from iot_constructs.processor.dead_letters import DeadLetterTopic
from iot_constructs.processor.device_state import DeviceStateWriter, latest_per_device
from iot_constructs.processor.payloads import Room
from iot_constructs.processor.readings import Reading, parse_readings
from iot_constructs.processor.recent_states import RecentStates
from iot_constructs.processor.retries import CALL_RESERVE_MS, Deadline
from iot_constructs.processor.time_series import (
    TimeSeriesWriter,
    WriteReport,
    device_state_item,
    write_concurrently,
)

Patch = AbstractContextManager[Any]


@dataclass(frozen=True)
class Bug:
    """A mistake in one component."""

    name: str
    component: str
    description: str
    invariants: tuple[str, ...]
    """One of these has to be violated."""
    seed: int
    """A seed that finds it with `RECORDS` records: where a search begins, so that it is short."""
    apply: Callable[[], Patch]
    """Returns a context manager with the bug in it."""


RECORDS = 150
BUGS: dict[str, Bug] = {}


def _bug(
    name: str, component: str, *invariants: str, seed: int = 1
) -> Callable[[Callable[[], Patch]], Callable[[], Patch]]:
    """Add the decorated function, whose docstring describes the bug."""

    def add(function: Callable[[], Patch]) -> Callable[[], Patch]:
        assert function.__doc__ is not None
        BUGS[name] = Bug(name, component, function.__doc__, invariants, seed, function)
        return function

    return add


class _Client:
    """A client of which some operations have a bug: a function of the operation and of its request."""

    def __init__(self, client: Any, wrappers: dict[str, Callable[..., Any]]) -> None:
        self._client = client
        self._wrappers = wrappers

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        call: Callable[..., Any] = getattr(self._client, operation)
        wrapper = self._wrappers.get(operation)
        return call if wrapper is None else partial(wrapper, call)


def _with_client(owner: Any, **wrappers: Callable[..., Any]) -> Patch:
    """Wrap the client, which is the first argument of a class."""
    create = owner.__init__

    def create_with_bug(self: Any, client: Any, *args: Any, **options: Any) -> None:
        create(self, _Client(client, wrappers), *args, **options)

    return patch.object(owner, "__init__", create_with_bug)


# --- the processor: time series


@_bug("swallowed put", "time series", "lost", seed=2)
def _swallowed_put() -> Patch:
    """The writer ignores every error."""
    store = TimeSeriesWriter.store

    def ignore_errors(self: TimeSeriesWriter, *args: Any, **options: Any) -> WriteReport:
        store(self, *args, **options)
        return WriteReport()

    return patch.object(TimeSeriesWriter, "store", ignore_errors)


@_bug("unprocessed items ignored", "time series", "lost", seed=2)
def _unprocessed_items() -> Patch:
    """UnprocessedItems in a successful response of BatchWriteItem count as stored."""

    def write(call: Callable[..., Any], **request: Any) -> Any:
        return {**call(**request), "UnprocessedItems": {}}

    return _with_client(TimeSeriesWriter, batch_write_item=write)


@_bug("timeout taken as success", "time series", "lost", seed=2)
def _timeout() -> Patch:
    """A call without a response counts as stored."""

    def write(call: Callable[..., Any], **request: Any) -> Any:
        try:
            return call(**request)
        except ReadTimeoutError:
            return {"UnprocessedItems": {}}

    return _with_client(TimeSeriesWriter, batch_write_item=write)


@_bug("cache filled before the write", "time series", "lost")
def _cache() -> Patch:
    """A warm environment skips the readings that it has tried to write before."""
    store = TimeSeriesWriter.store

    def store_once(
        self: Any, readings: Iterable[Reading], *args: Any, **options: Any
    ) -> WriteReport:
        seen = self.__dict__.setdefault("seen", set())
        new = [reading for reading in readings if reading.key not in seen]
        seen.update(reading.key for reading in new)
        return store(self, new, *args, **options)

    return patch.object(TimeSeriesWriter, "store", store_once)


@_bug("key from a counter", "time series", "stored twice")
def _counter() -> Patch:
    """The sort key has another number for each attempt, so a retry is not idempotent."""
    numbers = itertools.count(1)

    def compute(milliseconds: int, content: object) -> Decimal:
        return Decimal(milliseconds) + Decimal(next(numbers)).scaleb(-9)

    return patch.object(readings, "compute_sort_key", compute)


@_bug("key from the sequence number", "time series", "stored twice")
def _sequence_number() -> Patch:
    """The sort key has the sequence number, which is another one after a redrive."""

    def parse_with_number(record: Any, *args: Any, **options: Any) -> list[Reading]:
        number = int(record.sequence_number) % 10**9
        return [
            replace(
                reading,
                sort_key=reading.sort_key.to_integral_value(ROUND_FLOOR)
                + Decimal(number * 10**4 + position).scaleb(-14),
            )
            for position, reading in enumerate(parse_readings(record, *args, **options))
        ]

    return patch.object(batches, "parse_readings", parse_with_number)


# --- the processor: device state


@_bug("unconditional state write", "device state", "state goes back")
def _unconditional() -> Patch:
    """The state is written by PutItem without a condition."""
    create = DeviceStateWriter.__init__

    def create_with_table(self: Any, client: Any, table: str, *args: Any, **options: Any) -> None:
        create(self, client, table, *args, **options)
        self.put = partial(client.put_item, TableName=table)

    def store(self: Any, readings: Iterable[Reading], *args: Any, **options: Any) -> WriteReport:
        report = WriteReport()
        for reading in device_state.latest_per_device(readings):
            try:
                self.put(Item=device_state_item(reading))
            except Exception as error:
                report.add(reading, error)
        return report

    return _together(
        patch.object(DeviceStateWriter, "__init__", create_with_table),
        patch.object(DeviceStateWriter, "store", store),
    )


@_bug("last instead of newest", "device state", "stale state")
def _last() -> Patch:
    """The state gets the last reading of a slice, which can be older than another one."""

    def last_per_device(readings: Iterable[Reading]) -> list[Reading]:
        return list({reading.device_id: reading for reading in readings}.values())

    return patch.object(device_state, "latest_per_device", last_per_device)


@_bug("statement error ignored", "device state", "stale state")
def _statement_error() -> Patch:
    """A throttled statement in a successful response of BatchExecuteStatement counts as done."""

    def execute(call: Callable[..., Any], **request: Any) -> Any:
        responses = call(**request)["Responses"]
        return {"Responses": [each if _is_condition(each) else {} for each in responses]}

    return _with_client(DeviceStateWriter, batch_execute_statement=execute)


@_bug("exception in a thread swallowed", "device state", "stale state")
def _thread() -> Patch:
    """Nobody reads the results of the threads, so an exception in one of them is lost."""

    class UnexpectedError(BaseException):
        pass

    def execute(call: Callable[..., Any], **request: Any) -> Any:
        try:
            return call(**request)
        except (ClientError, BotoCoreError) as error:
            raise UnexpectedError from error

    def write_and_forget(write: Callable[[Any], None], *args: Any) -> None:
        def forget(chunk: Any) -> None:
            with suppress(UnexpectedError):
                write(chunk)

        write_concurrently(forget, *args)

    return _together(
        _with_client(DeviceStateWriter, batch_execute_statement=execute),
        patch.object(device_state, "write_concurrently", write_and_forget),
    )


@_bug("interval with the wrong sign", "device state", "stale state", seed=5)
def _interval() -> Patch:
    """A state counts as recent if the reading is newer by more than the interval, so an old state remains."""

    def is_recent(self: Any, states: Any, reading: Reading) -> bool:
        state = (states or {}).get(reading.device_id)
        interval = self._interval_ms
        return None not in (state, interval) and state <= reading.sort_key - interval

    return patch.object(RecentStates, "_is_recent", is_recent)


@_bug("interval of an interval", "device state", "stale state", seed=5)
def _interval_twice() -> Patch:
    """The interval counts from the oldest reading of a device in the slice, and not from its newest one."""
    leave_out = RecentStates.leave_out
    oldest: dict[str, Decimal] = {}

    def oldest_per_device(readings: Iterable[Reading]) -> list[Reading]:
        oldest.clear()
        for reading in readings:
            known = oldest.get(reading.device_id, reading.sort_key)
            oldest[reading.device_id] = min(known, reading.sort_key)
        return latest_per_device(readings)

    def leave_out_more(self: Any, newest: Iterable[Reading], deadline: Deadline) -> list[Reading]:
        first = [replace(each, sort_key=oldest[each.device_id]) for each in newest]
        written = {each.device_id for each in leave_out(self, first, deadline)}
        return [each for each in newest if each.device_id in written]

    return _together(
        patch.object(device_state, "latest_per_device", oldest_per_device),
        patch.object(RecentStates, "leave_out", leave_out_more),
    )


@_bug("state before the time series", "processor", "order")
def _state_first() -> Patch:
    """The state is written first, and shows a reading that the time series does not have."""
    create = Processor.__init__

    def create_reversed(self: Any, *args: Any, **options: Any) -> None:
        create(self, *args, **options)
        self._writers = dict(reversed(self._writers.items()))

    return patch.object(Processor, "__init__", create_reversed)


# --- the processor: checkpoint and dead letters


@_bug("checkpoint after the failed record", "processor", "lost")
def _checkpoint() -> Patch:
    """The reported sequence number is that of the record after the first failed one."""
    process = Processor.process

    def process_off_by_one(self: Processor, records: Any, remaining_ms: Any) -> batches.Outcome:
        outcome = process(self, records, remaining_ms)
        numbers = [record.sequence_number for record in records]
        if outcome.retry_from is not None:
            position = numbers.index(outcome.retry_from) + 1
            outcome.retry_from = numbers[position] if position < len(numbers) else None
        return outcome

    return patch.object(Processor, "process", process_off_by_one)


@_bug("wrong order of two slices", "processor", "lost")
def _slices() -> Patch:
    """The second half of a batch is processed first, and its failure is the checkpoint."""
    process = Processor.process

    def process_halves(self: Processor, records: Any, remaining_ms: Any) -> batches.Outcome:
        middle = len(records) // 2
        outcome = process(self, records[middle:], remaining_ms)
        if outcome.retry_from is not None or not middle:
            return outcome
        return process(self, records[:middle], remaining_ms)

    return patch.object(Processor, "process", process_halves)


@_bug("failed messages ignored", "dead letters", "lost", seed=10)
def _failed_messages() -> Patch:
    """Failed entries in a successful response of PublishBatch count as published."""

    def publish(call: Callable[..., Any], **request: Any) -> Any:
        return {**call(**request), "Failed": []}

    return _with_client(DeadLetterTopic, publish_batch=publish)


@_bug("invalid record dropped", "dead letters", "lost", seed=2)
def _dropped() -> Patch:
    """An invalid record counts as completed if the topic cannot be reached."""
    publish = DeadLetterTopic.publish

    def publish_and_forget(self: DeadLetterTopic, *args: Any, **options: Any) -> dict[int, str]:
        publish(self, *args, **options)
        return {}

    return patch.object(DeadLetterTopic, "publish", publish_and_forget)


@_bug("reserve for a long timeout", "processor", "progress", seed=18)
def _reserve() -> Patch:
    """The reserve for the last call leaves nothing of a timeout of three or ten seconds."""
    create = Deadline.__init__

    def create_with_reserve(self: Deadline, remaining_ms: Callable[[], int]) -> None:
        create(self, remaining_ms)
        self._invocation.reserve_ms = min(CALL_RESERVE_MS, remaining_ms() * 97 // 100)

    return patch.object(Deadline, "__init__", create_with_reserve)


@_bug("unbounded slice", "processor", "bounded memory", seed=44)
def _slice() -> Patch:
    """A slice is a whole batch, however much its records decompress to."""
    parse = Processor._parse

    def parse_alone(self: Processor, record: Any, room: Room) -> Any:
        return parse(self, record, Room())

    return _together(
        patch.object(Processor, "_parse", parse_alone),
        patch.object(batches, "SLICE_READINGS", 10**9),
        patch.object(batches, "SLICE_TIME_SHARE", 1.0),
    )


@_bug("failed records counted as stored", "processor", "counters")
def _counted() -> Patch:
    """RecordsStored has the records that Lambda retries, which are counted again then."""
    process = Processor.process

    def process_and_count(self: Processor, *args: Any, **options: Any) -> batches.Outcome:
        outcome = process(self, *args, **options)
        outcome.stored += outcome.failed
        return outcome

    return patch.object(Processor, "process", process_and_count)


# --- the event source mapping


def _with_decision(change: Callable[[Batch, Outcome, Rules, Decision], Decision]) -> Patch:
    def decide_with_bug(batch: Batch, outcome: Outcome, rules: Rules) -> Decision:
        return change(batch, outcome, rules, decide(batch, outcome, rules))

    return patch.object(shard_batches, "decide", decide_with_bug)


@_bug("last record of a bisected batch skipped", "mapping", "lost", seed=1)
def _bisect() -> Patch:
    """The second half of a bisected batch ends one record too early."""

    def skip(batch: Batch, outcome: Outcome, rules: Rules, decision: Decision) -> Decision:
        if len(decision.retries) < 2:
            return decision
        first, second = decision.retries
        shorter = (second.part(0, -1),) if len(second) > 1 else ()
        return replace(decision, retries=(first, *shorter), acknowledged=second.records[-1:])

    return _with_decision(skip)


@_bug("halves in the wrong order", "mapping", "order per device")
def _halves() -> Patch:
    """The second half of a bisected batch is invoked before the first one."""

    def reverse(batch: Batch, outcome: Outcome, rules: Rules, decision: Decision) -> Decision:
        return replace(decision, retries=decision.retries[::-1])

    return _with_decision(reverse)


@_bug("discarded without a message", "mapping", "lost", seed=2)
def _discarded() -> Patch:
    """A batch whose retries are exhausted is acknowledged, and never sent to the destination."""

    def drop(batch: Batch, outcome: Outcome, rules: Rules, decision: Decision) -> Decision:
        if decision.discarded is None:
            return decision
        records = (*decision.acknowledged, *decision.discarded.batch.records)
        return replace(decision, acknowledged=records, discarded=None)

    return _with_decision(drop)


@_bug("poison record blocks the shard", "mapping", "bounded delay", seed=132)
def _poison() -> Patch:
    """A failed batch is neither bisected nor discarded, but retried until its records expire."""

    def retry(batch: Batch, outcome: Outcome, rules: Rules) -> Decision:
        if isinstance(outcome, Failed):
            rules = replace(rules, bisect=False, maximum_retry_attempts=UNLIMITED)
        return decide(batch, outcome, rules)

    return patch.object(shard_batches, "decide", retry)


@_bug("item failures ignored", "mapping", "lost")
def _item_failures() -> Patch:
    """ReportBatchItemFailures is not set, so every response without an error is a success."""
    create = Invoker.__init__

    def create_without(self: Invoker, *args: Any, report_item_failures: bool) -> None:
        create(self, *args, report_item_failures=False)

    return patch.object(Invoker, "__init__", create_without)


@_bug("checkpoint over incomplete records", "mapping", "lost", seed=6)
def _over_incomplete() -> Patch:
    """The checkpoint is the last completed record, although another batch of the shard still runs."""
    complete = ShardBatches.complete

    def complete_too_far(self: ShardBatches, records: Iterable[Record]) -> None:
        records = list(records)
        complete(self, records)
        numbers = [record.sequence_number for record in records]
        if self.checkpoint is not None:
            numbers.append(self.checkpoint)
        self.checkpoint = max(numbers, key=int, default=None)

    return patch.object(ShardBatches, "complete", complete_too_far)


@_bug("restart after the last read", "mapping", "lost")
def _last_read() -> Patch:
    """A restarted poller continues after what it read, not after what it completed."""

    def checkpoints(self: Any) -> dict[str, str]:
        read = {id: shard.last_read for id, shard in self._shards.known.items()}
        return {**self._checkpoints, **{id: at for id, at in read.items() if at is not None}}

    return patch.object(MappingLoop, "checkpoints", property(checkpoints))


@_bug("child shard read too early", "mapping", "order per device", seed=4)
def _child() -> Patch:
    """The shards after a reshard are read before their parents are completed."""

    def readable(self: Shards) -> list[Any]:
        return [shard for shard in self.known.values() if not shard.ended]

    return patch.object(Shards, "readable", readable)


# --- the redrive


@_bug("message deleted before the put", "redrive", "deleted too early", seed=2)
def _deleted_first() -> Patch:
    """The message is deleted first: its records are lost if the put fails or the run is killed."""
    deliver = Redrive._deliver

    def delete_first(self: Any, work: Any) -> None:
        delete = self._queue.delete
        problems = delete([each.message for each in work if each.found.problem is None])
        with patch.object(DeadLetterQueue, "delete", lambda queue, messages: problems):
            deliver(self, work)

    return patch.object(Redrive, "_deliver", delete_first)


@_bug("failed put ignored", "redrive", "deleted too early", "lost", seed=3)
def _failed_put() -> Patch:
    """Failed entries in a successful response of PutRecords count as accepted."""
    create = StreamDestination.__init__

    def put(call: Callable[..., Any], **request: Any) -> Any:
        return {"Records": [{} for _ in call(**request)["Records"]]}

    def create_with_client(self: Any, client_in: Any, *args: Any, **options: Any) -> None:
        def wrapped(region: str | None) -> _Client:
            return _Client(client_in(region), {"put_records": put})

        create(self, wrapped, *args, **options)

    return patch.object(StreamDestination, "__init__", create_with_client)


@_bug("failed deletion reported as done", "redrive", "report", seed=11)
def _failed_deletion() -> Patch:
    """Failed entries in a successful response of DeleteMessageBatch count as deleted."""

    def delete(call: Callable[..., Any], **request: Any) -> Any:
        return {**call(**request), "Failed": []}

    return _with_client(DeadLetterQueue, delete_message_batch=delete)


@_bug("last record of the range left out", "redrive", "deleted too early", seed=2)
def _range() -> Patch:
    """The range of sequence numbers of a failed batch is read without its end."""
    read = StreamReader.read

    def read_without_end(self: StreamReader, *arguments: Any) -> Any:
        found = read(self, *arguments)
        return replace(found, records=found.records[:-1])

    return patch.object(StreamReader, "read", read_without_end)


@_bug("overlapping ranges delivered whole", "redrive", "redriven once", seed=2)
def _overlaps() -> Patch:
    """A redrive delivers the whole range of each failed batch, so records of parallel batches up to ten times."""
    return patch.object(AcceptedRanges, "add", lambda self, accepted: None)


@_bug("last record of the object left out", "redrive", "deleted too early", seed=4)
def _object() -> Patch:
    """The last record of a failed batch in the bucket is skipped."""
    return patch.object(recovery, "parse_stored_batch", lambda body: parse_stored_batch(body)[:-1])


@_bug("item failures of the function ignored", "redrive", "deleted too early", seed=12)
def _function_failures() -> Patch:
    """The redrive to the function does not read batchItemFailures."""
    failures = destinations._failures

    def ignore(function_error: str | None, payload: bytes) -> Any:
        return failures(function_error, payload if function_error is not None else b"")

    return patch.object(destinations, "_failures", ignore)


@_bug("function error ignored", "redrive", "deleted too early", "lost", seed=12)
def _function_error() -> Patch:
    """The redrive to the function takes the status 200 as a success."""
    failures = destinations._failures

    def ignore(function_error: str | None, payload: bytes) -> Any:
        return failures(None, payload)

    return patch.object(destinations, "_failures", ignore)


def _is_condition(response: Any) -> bool:
    code = response.get("Error", {}).get("Code")
    return code in ("ConditionalCheckFailed", "DuplicateItem")


@contextmanager
def _together(*patches: Patch) -> Iterator[None]:
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield
