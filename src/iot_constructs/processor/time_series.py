"""Writes readings to the time-series table, and defines what both writers share.

A write succeeds, is refused (ValidationException, which a retry can't change), or fails. A failed
reading is never discarded here: throttling and outages end, and an operator can restore a missing
permission or table. The processor reports its record, and Lambda retries it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from .attribute_values import AttributeValue
from .chunks import split_chunks
from .readings import Reading, ReadingKey
from .retries import NO_TIME, Deadline, RetryPolicy, error_code, error_message

# BatchWriteItem accepts 25 puts and 16 MB, BatchExecuteStatement 25 statements (amazondynamodb/latest/APIReference).
# A quarter of the 16 MB: the request is in memory, and the slowest call has to end in time.
MAX_WRITES_PER_CALL = 25
MAX_REQUEST_BYTES_PER_CALL = 4_000_000
# A slice of a batch needs up to 20 calls to each table. DynamoDB does not document whether it runs the statements of
# one call concurrently.
WRITE_THREADS = 8

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class DynamoDBClient(Protocol):
    """The part of a boto3 DynamoDB client that the writers use."""

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        """BatchWriteItem."""

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        """BatchExecuteStatement."""

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        """BatchGetItem."""

    def put_item(self, **request: Any) -> dict[str, Any]:
        """PutItem."""


class Executor(Protocol):
    """The part of `concurrent.futures.Executor` that the writers use."""

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item], /
    ) -> Iterator[_Result]:
        """Call `function` for each item, concurrently if it can, with the next items. Returns the results in order."""


ExecutorFactory = Callable[[], AbstractContextManager[Executor]]


def create_threads() -> ThreadPoolExecutor:
    """Return the executor of the Lambda function."""
    return ThreadPoolExecutor(WRITE_THREADS)


@dataclass
class WriteReport:
    """The readings that were not stored, with the error."""

    refused: dict[ReadingKey, str] = field(default_factory=dict)
    failed: dict[ReadingKey, str] = field(default_factory=dict)

    def has_stored(self, reading: Reading) -> bool:
        """Whether it is in neither of them."""
        return reading.key not in self.refused and reading.key not in self.failed

    def add(self, reading: Reading, error: Exception) -> None:
        """Add the error of a call for one reading."""
        if error_code(error) == "ValidationException":
            self.refused[reading.key] = error_message(error)
        else:
            self.failed[reading.key] = error_code(error)


class TimeSeriesWriter:
    """Writes readings to the time-series table.

    Writes are idempotent: the key is derived from the content, and a put replaces an item with the
    same key (amazondynamodb/latest/APIReference/API_PutItem.html).
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        retries: RetryPolicy,
        executor: ExecutorFactory = create_threads,
    ) -> None:
        self._client = client
        self._table = table
        self._retries = retries
        self._executor = executor

    def store(
        self,
        readings: Iterable[Reading],
        deadline: Deadline,
        first: Sequence[Reading] = (),
        calls_after: int | Callable[[], int] = 0,
    ) -> WriteReport:
        """Store `readings`. The keys must be unique: BatchWriteItem rejects duplicates.

        Continues after a failure to store as many readings as possible, in case Lambda discards
        the batch.
        """
        report = WriteReport()
        keys = {reading.key for reading in first}

        def deadline_of(chunk: Sequence[Reading]) -> Deadline:
            required = any(reading.key in keys for reading in chunk)
            return deadline if required else deadline.leaving(calls_after)

        def write(chunk: Sequence[Reading]) -> None:
            self._write_chunk(chunk, deadline_of, report)

        write_concurrently(write, readings, self._executor)
        return report

    def _write_chunk(
        self,
        chunk: Sequence[Reading],
        deadline_of: Callable[[Sequence[Reading]], Deadline],
        report: WriteReport,
    ) -> None:
        pending = {reading.key: reading for reading in chunk}
        deadline = deadline_of(chunk)
        for _ in self._retries.attempts(deadline):
            puts = [{"PutRequest": {"Item": time_series_item(r)}} for r in pending.values()]
            try:
                with deadline.call():
                    response = self._client.batch_write_item(RequestItems={self._table: puts})
            except Exception as error:
                if error_code(error) == "ValidationException":
                    self._write_one_by_one(list(pending.values()), deadline_of, report)
                else:
                    for reading in pending.values():
                        report.add(reading, error)
                return
            unprocessed = response.get("UnprocessedItems", {}).get(self._table, [])
            keys = [_item_key(request["PutRequest"]["Item"]) for request in unprocessed]
            pending = {key: pending[key] for key in keys}
            if not pending:
                return
        report.failed.update(dict.fromkeys(pending, self._retries.exhausted(deadline)))

    def _write_one_by_one(
        self,
        readings: Sequence[Reading],
        deadline_of: Callable[[Sequence[Reading]], Deadline],
        report: WriteReport,
    ) -> None:
        """Find the invalid item that made DynamoDB reject the whole call, and store the others."""
        for reading in readings:
            deadline = deadline_of([reading])
            if not deadline.has_time():
                report.failed[reading.key] = NO_TIME
                continue
            try:
                with deadline.call():
                    self._client.put_item(TableName=self._table, Item=time_series_item(reading))
            except Exception as error:
                report.add(reading, error)


def time_series_item(reading: Reading) -> dict[str, AttributeValue]:
    """Return the item of a reading."""
    return {**device_state_item(reading), "ttl": {"N": str(reading.expires_at)}}


def device_state_item(reading: Reading) -> dict[str, AttributeValue]:
    """Return the state item. Its timestamp is the sort key, which is a deterministic total order."""
    return {
        "deviceId": {"S": reading.device_id},
        "timestamp": {"N": str(reading.sort_key)},
        "reading": reading.content,
    }


def _item_key(item: dict[str, AttributeValue]) -> ReadingKey:
    return item["deviceId"]["S"], Decimal(item["timestamp"]["N"])


def write_concurrently(
    write: Callable[[Sequence[Reading]], None],
    readings: Iterable[Reading],
    create_executor: ExecutorFactory,
) -> None:
    """Call `write` with the readings of one call at a time, as soon as `readings` yields them.

    Raises an exception of any of them.
    """
    readings = iter(readings)
    head = list(islice(readings, MAX_WRITES_PER_CALL + 1))
    chunks = split_chunks(
        chain(head, readings),
        lambda reading: reading.request_bytes,
        max_items=MAX_WRITES_PER_CALL,
        max_bytes=MAX_REQUEST_BYTES_PER_CALL,
    )
    first = next(chunks, [])
    if len(first) < len(head):
        with create_executor() as executor:
            list(executor.map(write, chain([first], chunks)))  # list() re-raises an exception
    elif first:
        write(first)
