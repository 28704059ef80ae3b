"""Writes the latest reading of each device: 25 devices per call, each with its own condition.

BatchWriteItem does not support conditions, and a transaction doubles the write units and fails as a
whole. In a PartiQL batch, each statement has its own condition and its own result
(amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html). PartiQL has no upsert: the
writer updates first, because most devices exist, and inserts the items that it did not find. A new
device costs one additional write unit, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from math import ceil
from typing import Any

from .readings import Reading, ReadingKey
from .recent_states import RecentStates
from .retries import NO_TIME, Deadline, RetryPolicy, error_code
from .time_series import (
    MAX_WRITES_PER_CALL,
    WRITE_THREADS,
    DynamoDBClient,
    ExecutorFactory,
    WriteReport,
    create_threads,
    device_state_item,
    write_concurrently,
)

# UPDATE, INSERT, and the second UPDATE.
MAX_CALLS_PER_CHUNK = 3

# Codes of API_BatchStatementError that only Lambda's retries, minutes later, can resolve.
_NOT_RETRYABLE = {"AccessDenied", "ResourceNotFound", "ItemCollectionSizeLimitExceeded"}


class DeviceStateWriter:
    """Writes the latest reading of each device. A late reading never replaces a newer one."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        retries: RetryPolicy,
        executor: ExecutorFactory = create_threads,
        interval_seconds: int | None = None,
    ) -> None:
        self._client = client
        self._recent_states = RecentStates(client, table, interval_seconds)
        self._retries = retries
        self._executor = executor
        # "If the WHERE clause of the UPDATE statement does not evaluate to true for any item",
        # nothing is written (dynamodb/latest/developerguide/ql-reference.update.html).
        self._update = (
            f'UPDATE "{table}" SET "timestamp"=? SET "reading"=? '
            'WHERE "deviceId"=? AND "timestamp"<?'
        )
        self._insert = f"INSERT INTO \"{table}\" VALUE {{'deviceId':?,'timestamp':?,'reading':?}}"

    def store(
        self,
        readings: Iterable[Reading],
        deadline: Deadline,
        first: Sequence[Reading] = (),
        calls_after: int | Callable[[], int] = 0,
    ) -> WriteReport:
        """Store the newest of `readings` of each device that the table does not refuse.

        A reading that is neither in `failed` nor in `refused` is the device's state, or older than it, or newer by at
        most the interval.
        """
        report = WriteReport()
        readings = list(readings)
        calls_after = calls_after() if callable(calls_after) else calls_after
        required = {reading.device_id for reading in first}
        newest = latest_per_device(readings)
        all_writes = deadline.leaving(calls_after + max_calls(len(newest)))
        tried = self._recent_states.leave_out(newest, all_writes)
        self._write(tried, deadline, required, calls_after, report)
        others = _others(readings, [r for r in tried if not report.has_stored(r)])
        while others:
            for reading in tried:
                queue = others.get(reading.device_id, [])
                if reading.key in report.failed:
                    report.failed.update((r.key, report.failed[reading.key]) for r in queue)
                    queue.clear()
                elif reading.key not in report.refused:
                    queue[:] = [r for r in queue if r.sort_key > reading.sort_key]
            others = {device: queue for device, queue in others.items() if queue}
            tried = [queue.pop(0) for queue in others.values()]
            # Each of them can be refused, which needs a dead letter.
            self._write(tried, deadline, set(), max(calls_after, 1), report)
        return report

    def _write(
        self,
        readings: Sequence[Reading],
        deadline: Deadline,
        required: Set[str],
        calls_after: int,
        report: WriteReport,
    ) -> None:
        """Write one reading of each device."""

        def write(chunk: Sequence[Reading]) -> None:
            if any(reading.device_id in required for reading in chunk):
                self._write_chunk(chunk, deadline, report)
            elif deadline.leaving(calls_after + MAX_CALLS_PER_CHUNK - 1).has_time():
                self._write_chunk(chunk, deadline.leaving(calls_after), report)
            else:
                report.failed.update(dict.fromkeys((r.key for r in chunk), NO_TIME))

        write_concurrently(write, readings, self._executor)

    def _write_chunk(
        self, chunk: Sequence[Reading], deadline: Deadline, report: WriteReport
    ) -> None:
        failed = dict.fromkeys((reading.key for reading in chunk), NO_TIME)
        for _ in self._retries.attempts(deadline):
            pending = [reading for reading in chunk if reading.key in failed]
            failed = self._attempt(pending, deadline, report)
            if not failed:
                return
        report.failed.update(failed)

    def _attempt(
        self, readings: Sequence[Reading], deadline: Deadline, report: WriteReport
    ) -> dict[ReadingKey, str]:
        """Return the readings to retry, with the error."""
        failed: dict[ReadingKey, str] = {}
        # The second UPDATE covers a device that another invocation inserted after the first one.
        for statement in (self._update, self._insert, self._update):
            if not deadline.has_time():
                failed.update(dict.fromkeys((reading.key for reading in readings), NO_TIME))
                break
            readings = self._execute(statement, readings, deadline, report, failed)
            if not readings:
                break
        return failed

    def _execute(
        self,
        statement: str,
        readings: Sequence[Reading],
        deadline: Deadline,
        report: WriteReport,
        failed: dict[ReadingKey, str],
    ) -> list[Reading]:
        """Return the readings that need the other statement."""
        try:
            with deadline.call():
                response = self._client.batch_execute_statement(
                    Statements=[self._request(statement, reading) for reading in readings]
                )
        except Exception as error:
            if error_code(error) == "ValidationException" and len(readings) > 1:
                # In case DynamoDB rejects the whole call: find the invalid item, store the others.
                for reading in readings:
                    self._write_chunk([reading], deadline, report)
                return []
            for reading in readings:
                report.add(reading, error)
            return []
        others = []
        # "ordered according to the ordering of the request statements"
        for reading, result in zip(readings, response["Responses"], strict=True):
            failure = result.get("Error", {})
            code = failure.get("Code")
            if code == "DuplicateItem":
                others.append(reading)
            elif code == "ConditionalCheckFailed":
                # With an item, the table already has this reading or a newer one. Without an item,
                # the device is new.
                if "Item" not in failure:
                    others.append(reading)
            elif code == "ValidationError":
                report.refused[reading.key] = failure.get("Message", "")
            elif code in _NOT_RETRYABLE:
                report.failed[reading.key] = code
            elif failure:
                failed[reading.key] = code if code is not None else "an error without a code"
        return others

    def _request(self, statement: str, reading: Reading) -> dict[str, Any]:
        device_id, timestamp, content = device_state_item(reading).values()
        if statement is self._insert:
            return {"Statement": statement, "Parameters": [device_id, timestamp, content]}
        return {
            "Statement": statement,
            "Parameters": [timestamp, content, device_id, timestamp],
            # Distinguishes a newer state from a missing one; "no read capacity units are consumed".
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


def max_calls(devices: int) -> int:
    """Return how many calls, one after another, the writes of the states take at most, without retries."""
    return ceil(devices / MAX_WRITES_PER_CALL / WRITE_THREADS) * MAX_CALLS_PER_CHUNK


def latest_per_device(readings: Iterable[Reading]) -> list[Reading]:
    """Return the newest reading of each device."""
    newest: dict[str, Reading] = {}
    for reading in readings:
        known = newest.get(reading.device_id)
        if known is None or known.sort_key < reading.sort_key:
            newest[reading.device_id] = reading
    return list(newest.values())


def _others(readings: Sequence[Reading], not_stored: Sequence[Reading]) -> dict[str, list[Reading]]:
    """Return the other readings of the devices of `not_stored`, in the order in which to try them.

    The second-newest one first, because usually a single reading is refused. Then in the order of the records, so that
    the first ones are completed if the time does not suffice for all.
    """
    newest = {reading.device_id: reading for reading in not_stored}
    others: dict[str, list[Reading]] = {device: [] for device in newest}
    for reading in readings:
        if reading.device_id in newest and reading is not newest[reading.device_id]:
            others[reading.device_id].append(reading)
    for device, queue in others.items():
        for second in latest_per_device(queue):
            others[device] = [second, *(reading for reading in queue if reading is not second)]
    return others
