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
from iot_constructs.processor.readings import Reading
from iot_constructs.processor.recent_states import RecentStates
from iot_constructs.processor.retries import CALL_RESERVE_MS, Deadline
from iot_constructs.processor.time_series import (
    TimeSeriesWriter,
    WriteReport,
    device_state_item,
    write_concurrently,
)

Patch = AbstractContextManager[Any]
Call = Callable[..., Any]


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


def _around(owner: Any, name: str) -> Callable[[Call], Callable[[], Patch]]:
    """Let the decorated function run instead of a function or a method, which is its first argument."""

    def decorate(function: Call) -> Callable[[], Patch]:
        def apply() -> Patch:
            original = getattr(owner, name)

            def with_bug(*args: Any, **options: Any) -> Any:
                return function(original, *args, **options)

            return patch.object(owner, name, with_bug)

        apply.__doc__ = function.__doc__
        return apply

    return decorate


def _around_call(owner: Any, operation: str) -> Callable[[Call], Callable[[], Patch]]:
    """Let the decorated function run instead of an operation of a class's client."""

    def decorate(function: Call) -> Callable[[], Patch]:
        def apply() -> Patch:
            return _with_client(owner, **{operation: function})

        apply.__doc__ = function.__doc__
        return apply

    return decorate


class _Client:
    """A client of which some operations have a bug: a function of the operation and of its request."""

    def __init__(self, client: Any, wrappers: dict[str, Call]) -> None:
        self._client = client
        self._wrappers = wrappers

    def __getattr__(self, operation: str) -> Call:
        call: Call = getattr(self._client, operation)
        wrapper = self._wrappers.get(operation)
        return call if wrapper is None else partial(wrapper, call)


def _with_client(owner: Any, **wrappers: Call) -> Patch:
    """Wrap the client, which is the first argument of a class."""
    create = owner.__init__

    def create_with_bug(self: Any, client: Any, *args: Any, **options: Any) -> None:
        create(self, _Client(client, wrappers), *args, **options)

    return patch.object(owner, "__init__", create_with_bug)


# --- the processor: time series


@_bug("swallowed put", "time series", "lost", seed=2)
@_around(TimeSeriesWriter, "store")
def _swallowed_put(store: Call, *args: Any, **options: Any) -> WriteReport:
    """The writer ignores every error."""
    store(*args, **options)
    return WriteReport()


@_bug("unprocessed items ignored", "time series", "lost", seed=2)
@_around_call(TimeSeriesWriter, "batch_write_item")
def _unprocessed_items(write: Call, **request: Any) -> Any:
    """UnprocessedItems in a successful response of BatchWriteItem count as stored."""
    return {**write(**request), "UnprocessedItems": {}}


@_bug("timeout taken as success", "time series", "lost", seed=2)
@_around_call(TimeSeriesWriter, "batch_write_item")
def _timeout(write: Call, **request: Any) -> Any:
    """A call without a response counts as stored."""
    try:
        return write(**request)
    except ReadTimeoutError:
        return {"UnprocessedItems": {}}


@_bug("cache filled before the write", "time series", "lost")
@_around(TimeSeriesWriter, "store")
def _cache(store: Call, self: Any, readings: Iterable[Reading], *args: Any, **options: Any) -> Any:
    """A warm environment skips the readings that it has tried to write before."""
    seen = self.__dict__.setdefault("seen", set())
    new = [reading for reading in readings if reading.key not in seen]
    seen.update(reading.key for reading in new)
    return store(self, new, *args, **options)


@_bug("key from a counter", "time series", "stored twice")
def _counter() -> Patch:
    """The sort key has another number for each attempt, so a retry is not idempotent."""
    numbers = itertools.count(1)

    def compute(milliseconds: int, content: object) -> Decimal:
        return Decimal(milliseconds) + Decimal(next(numbers)).scaleb(-9)

    return patch.object(readings, "compute_sort_key", compute)


@_bug("key from the sequence number", "time series", "stored twice")
@_around(batches, "parse_readings")
def _sequence_number(parse: Call, record: Any, *args: Any, **options: Any) -> list[Reading]:
    """The sort key has the sequence number, which is another one after a redrive."""
    number = int(record.sequence_number) % 10**9
    return [
        replace(
            reading,
            sort_key=reading.sort_key.to_integral_value(ROUND_FLOOR)
            + Decimal(number * 10**4 + position).scaleb(-14),
        )
        for position, reading in enumerate(parse(record, *args, **options))
    ]


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
@_around(device_state, "latest_per_device")
def _last(latest: Call, readings: Iterable[Reading]) -> list[Reading]:
    """The state gets the last reading of a slice, which can be older than another one."""
    return list({reading.device_id: reading for reading in readings}.values())


@_bug("statement error ignored", "device state", "stale state")
@_around_call(DeviceStateWriter, "batch_execute_statement")
def _statement_error(execute: Call, **request: Any) -> Any:
    """A throttled statement in a successful response of BatchExecuteStatement counts as done."""
    responses = execute(**request)["Responses"]
    return {"Responses": [each if _is_condition(each) else {} for each in responses]}


@_bug("exception in a thread swallowed", "device state", "stale state")
def _thread() -> Patch:
    """Nobody reads the results of the threads, so an exception in one of them is lost."""

    class UnexpectedError(BaseException):
        pass

    def execute(call: Call, **request: Any) -> Any:
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
@_around(RecentStates, "_is_recent")
def _interval(is_recent: Call, self: Any, states: Any, reading: Reading) -> bool:
    """A state counts as recent if the reading is newer by more than the interval, so an old state remains."""
    state = (states or {}).get(reading.device_id)
    interval = self._interval_ms
    return None not in (state, interval) and state <= reading.sort_key - interval


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
@_around(Processor, "__init__")
def _state_first(create: Call, self: Any, *args: Any, **options: Any) -> None:
    """The state is written first, and shows a reading that the time series does not have."""
    create(self, *args, **options)
    self._writers = dict(reversed(self._writers.items()))


# --- the processor: checkpoint and dead letters


@_bug("checkpoint after the failed record", "processor", "lost")
@_around(Processor, "process")
def _checkpoint(process: Call, self: Any, records: Any, remaining_ms: Any) -> Any:
    """The reported sequence number is that of the record after the first failed one."""
    outcome = process(self, records, remaining_ms)
    numbers = [record.sequence_number for record in records]
    if outcome.retry_from is not None:
        position = numbers.index(outcome.retry_from) + 1
        outcome.retry_from = numbers[position] if position < len(numbers) else None
    return outcome


@_bug("wrong order of two slices", "processor", "lost")
@_around(Processor, "process")
def _slices(process: Call, self: Any, records: Any, remaining_ms: Any) -> Any:
    """The second half of a batch is processed first, and its failure is the checkpoint."""
    middle = len(records) // 2
    outcome = process(self, records[middle:], remaining_ms)
    if outcome.retry_from is not None or not middle:
        return outcome
    return process(self, records[:middle], remaining_ms)


@_bug("failed messages ignored", "dead letters", "lost", seed=10)
@_around_call(DeadLetterTopic, "publish_batch")
def _failed_messages(publish: Call, **request: Any) -> Any:
    """Failed entries in a successful response of PublishBatch count as published."""
    return {**publish(**request), "Failed": []}


@_bug("invalid record dropped", "dead letters", "lost", seed=2)
@_around(DeadLetterTopic, "publish")
def _dropped(publish: Call, *args: Any, **options: Any) -> dict[int, str]:
    """An invalid record counts as completed if the topic cannot be reached."""
    publish(*args, **options)
    return {}


@_bug("reserve for a long timeout", "processor", "progress", seed=18)
@_around(Deadline, "__init__")
def _reserve(create: Call, self: Any, remaining_ms: Callable[[], int]) -> None:
    """The reserve for the last call leaves nothing of a timeout of three or ten seconds."""
    create(self, remaining_ms)
    self._invocation.reserve_ms = min(CALL_RESERVE_MS, remaining_ms() * 97 // 100)


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
@_around(Processor, "process")
def _counted(process: Call, *args: Any, **options: Any) -> Any:
    """RecordsStored has the records that Lambda retries, which are counted again then."""
    outcome = process(*args, **options)
    outcome.stored += outcome.failed
    return outcome


# --- the event source mapping


@_bug("last record of a bisected batch skipped", "mapping", "lost", seed=1)
@_around(shard_batches, "decide")
def _bisect(decide: Call, *args: Any) -> Decision:
    """The second half of a bisected batch ends one record too early."""
    decision: Decision = decide(*args)
    if len(decision.retries) < 2:
        return decision
    first, second = decision.retries
    shorter = (second.part(0, -1),) if len(second) > 1 else ()
    return replace(decision, retries=(first, *shorter), acknowledged=second.records[-1:])


@_bug("halves in the wrong order", "mapping", "order per device")
@_around(shard_batches, "decide")
def _halves(decide: Call, *args: Any) -> Decision:
    """The second half of a bisected batch is invoked before the first one."""
    decision: Decision = decide(*args)
    return replace(decision, retries=decision.retries[::-1])


@_bug("discarded without a message", "mapping", "lost", seed=2)
@_around(shard_batches, "decide")
def _discarded(decide: Call, *args: Any) -> Decision:
    """A batch whose retries are exhausted is acknowledged, and never sent to the destination."""
    decision: Decision = decide(*args)
    if decision.discarded is None:
        return decision
    records = (*decision.acknowledged, *decision.discarded.batch.records)
    return replace(decision, acknowledged=records, discarded=None)


@_bug("poison record blocks the shard", "mapping", "bounded delay", seed=132)
@_around(shard_batches, "decide")
def _poison(decide: Call, batch: Batch, outcome: Outcome, rules: Rules) -> Any:
    """A failed batch is neither bisected nor discarded, but retried until its records expire."""
    if isinstance(outcome, Failed):
        rules = replace(rules, bisect=False, maximum_retry_attempts=UNLIMITED)
    return decide(batch, outcome, rules)


@_bug("item failures ignored", "mapping", "lost")
@_around(Invoker, "__init__")
def _item_failures(create: Call, *args: Any, report_item_failures: bool) -> None:
    """ReportBatchItemFailures is not set, so every response without an error is a success."""
    create(*args, report_item_failures=False)


@_bug("checkpoint over incomplete records", "mapping", "lost", seed=6)
@_around(ShardBatches, "complete")
def _over_incomplete(complete: Call, self: Any, records: Iterable[Record]) -> None:
    """The checkpoint is the last completed record, although another batch of the shard still runs."""
    records = list(records)
    complete(self, records)
    numbers = [record.sequence_number for record in records]
    if self.checkpoint is not None:
        numbers.append(self.checkpoint)
    self.checkpoint = max(numbers, key=int, default=None)


@_bug("restart after the last read", "mapping", "lost")
def _last_read() -> Patch:
    """A restarted poller continues after what it read, not after what it completed."""

    def checkpoints(self: Any) -> dict[str, str]:
        read = {id: shard.last_read for id, shard in self._shards.known.items()}
        return {**self._checkpoints, **{id: at for id, at in read.items() if at is not None}}

    return patch.object(MappingLoop, "checkpoints", property(checkpoints))


@_bug("child shard read too early", "mapping", "order per device", seed=4)
@_around(Shards, "readable")
def _child(readable: Call, self: Shards) -> list[Any]:
    """The shards after a reshard are read before their parents are completed."""
    return [shard for shard in self.known.values() if not shard.ended]


# --- the redrive


@_bug("message deleted before the put", "redrive", "deleted too early", seed=2)
@_around(Redrive, "_deliver")
def _deleted_first(deliver: Call, self: Any, work: Any) -> None:
    """The message is deleted first: its records are lost if the put fails or the run is killed."""
    delete = self._queue.delete
    problems = delete([each.message for each in work if each.found.problem is None])
    with patch.object(DeadLetterQueue, "delete", lambda queue, messages: problems):
        deliver(self, work)


@_bug("failed put ignored", "redrive", "deleted too early", "lost", seed=3)
@_around(StreamDestination, "__init__")
def _failed_put(create: Call, self: Any, client_in: Any, *args: Any, **options: Any) -> None:
    """Failed entries in a successful response of PutRecords count as accepted."""

    def put(call: Call, **request: Any) -> Any:
        return {"Records": [{} for _ in call(**request)["Records"]]}

    def wrapped(region: str | None) -> _Client:
        return _Client(client_in(region), {"put_records": put})

    create(self, wrapped, *args, **options)


@_bug("failed deletion reported as done", "redrive", "report", seed=11)
@_around_call(DeadLetterQueue, "delete_message_batch")
def _failed_deletion(delete: Call, **request: Any) -> Any:
    """Failed entries in a successful response of DeleteMessageBatch count as deleted."""
    return {**delete(**request), "Failed": []}


@_bug("last record of the range left out", "redrive", "deleted too early", seed=2)
@_around(StreamReader, "read")
def _range(read: Call, *arguments: Any) -> Any:
    """The range of sequence numbers of a failed batch is read without its end."""
    found = read(*arguments)
    return replace(found, records=found.records[:-1])


@_bug("overlapping ranges delivered whole", "redrive", "redriven once", seed=2)
@_around(AcceptedRanges, "add")
def _overlaps(add: Call, self: Any, accepted: Any) -> None:
    """A redrive delivers the whole range of each failed batch, so records of parallel batches up to ten times."""


@_bug("last record of the object left out", "redrive", "deleted too early", seed=4)
@_around(recovery, "parse_stored_batch")
def _object(parse: Call, body: Any) -> Any:
    """The last record of a failed batch in the bucket is skipped."""
    return parse(body)[:-1]


@_bug("item failures of the function ignored", "redrive", "deleted too early", seed=12)
@_around(destinations, "_failures")
def _function_failures(failures: Call, function_error: str | None, payload: bytes) -> Any:
    """The redrive to the function does not read batchItemFailures."""
    return failures(function_error, payload if function_error is not None else b"")


@_bug("function error ignored", "redrive", "deleted too early", "lost", seed=12)
@_around(destinations, "_failures")
def _function_error(failures: Call, function_error: str | None, payload: bytes) -> Any:
    """The redrive to the function takes the status 200 as a success."""
    return failures(None, payload)


def _is_condition(response: Any) -> bool:
    code = response.get("Error", {}).get("Code")
    return code in ("ConditionalCheckFailed", "DuplicateItem")


@contextmanager
def _together(*patches: Patch) -> Iterator[None]:
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield
