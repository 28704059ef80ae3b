"""Writing each device's latest reading: 25 devices in one call, each under its own condition.

BatchWriteItem takes no conditions, and a transaction costs twice the write units and fails as a
whole. A PartiQL batch does neither: each statement has its condition, succeeds or fails by itself
and says how it ended (dynamodb APIReference API_BatchExecuteStatement, API_BatchStatementError).
There is no statement for "insert or update". Most devices are known, so UPDATE comes first; one
that is not there is inserted, at the price of one more write unit once in a device's life.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from retry_policy import Deadline, RetryPolicy, error_code
from table_writes import EXHAUSTED, DynamoDBClient, WriteReport, chunks, device_state_item
from telemetry_reading import Reading, ReadingKey

# A slice of a batch has up to 20 calls, and nothing says that AWS works on the statements of one
# call side by side.
STATE_WRITE_THREADS = 8

# Codes of API_BatchStatementError. No pause mends these; the mapping's retries are for them.
_NOT_RETRYABLE = {"AccessDenied", "ResourceNotFound", "ItemCollectionSizeLimitExceeded"}


class DeviceStateWriter:
    """Stores the latest reading of a device; a reading that arrives late never replaces it."""

    def __init__(self, client: DynamoDBClient, table: str, retries: RetryPolicy) -> None:
        self._client = client
        self._retries = retries
        # "If the WHERE clause of the UPDATE statement does not evaluate to true for any item",
        # nothing is written (dynamodb/latest/developerguide/ql-reference.update.html).
        self._update = (
            f'UPDATE "{table}" SET "timestamp"=? SET "reading"=? '
            'WHERE "deviceId"=? AND "timestamp"<?'
        )
        self._insert = f"INSERT INTO \"{table}\" VALUE {{'deviceId':?,'timestamp':?,'reading':?}}"

    def store(self, readings: Sequence[Reading], deadline: Deadline) -> WriteReport:
        """Stores `readings`, no two of one device."""
        report = WriteReport()

        def write(chunk: Sequence[Reading]) -> None:
            self._write_chunk(chunk, deadline, report)

        with ThreadPoolExecutor(STATE_WRITE_THREADS) as threads:
            list(threads.map(write, chunks(readings)))  # list: raises what a thread has raised
        return report

    def _write_chunk(
        self, chunk: Sequence[Reading], deadline: Deadline, report: WriteReport
    ) -> None:
        left = dict.fromkeys((reading.key for reading in chunk), EXHAUSTED)
        for _ in self._retries.attempts(deadline):
            pending = [reading for reading in chunk if reading.key in left]
            left = self._attempt(pending, deadline, report)
            if not left:
                return
        report.failed.update(left)

    def _attempt(
        self, readings: Sequence[Reading], deadline: Deadline, report: WriteReport
    ) -> dict[ReadingKey, str]:
        """Returns what is worth another attempt, with the reason why it failed."""
        failed: dict[ReadingKey, str] = {}
        # The second UPDATE: another invocation inserted the device after the first. What it does
        # not change either is done, because the item is there and not older.
        for statement in (self._update, self._insert, self._update):
            if not deadline.has_time():
                failed.update(dict.fromkeys((reading.key for reading in readings), EXHAUSTED))
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
        """Returns the readings that need the other statement."""
        try:
            response = self._client.batch_execute_statement(
                Statements=[self._request(statement, reading) for reading in readings]
            )
        except Exception as error:
            if error_code(error) == "ValidationException" and len(readings) > 1:
                # Should DynamoDB refuse a whole call for one item: find it, store the others.
                for reading in readings:
                    self._write_chunk([reading], deadline, report)
                return []
            for reading in readings:
                report.add(reading, error)
            return []
        others = []
        # "ordered according to the ordering of the request statements"
        for reading, answer in zip(readings, response["Responses"], strict=True):
            refusal = answer.get("Error", {})
            code = refusal.get("Code")
            if code == "DuplicateItem":
                others.append(reading)
            elif code == "ConditionalCheckFailed":
                # With an item: the table holds this reading or a newer one, which is all that is
                # wanted. Without one the device is new.
                if "Item" not in refusal:
                    others.append(reading)
            elif code == "ValidationError":
                report.refused[reading.key] = refusal.get("Message", "")
            elif code in _NOT_RETRYABLE:
                report.failed[reading.key] = code
            elif refusal:
                failed[reading.key] = code or "an error without a code"
        return others

    def _request(self, statement: str, reading: Reading) -> dict[str, Any]:
        device_id, timestamp, content = device_state_item(reading).values()
        if statement is self._insert:
            return {"Statement": statement, "Parameters": [device_id, timestamp, content]}
        return {
            "Statement": statement,
            "Parameters": [timestamp, content, device_id, timestamp],
            # Tells a newer state from none at all; "no read capacity units are consumed".
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
