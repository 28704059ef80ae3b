"""Writing readings to the time-series table, and what both tables' writers have in common.

A write ends in one of three ways: done; refused, which no retry can change (ValidationException);
or failed, which is everything else. Throttles and outages pass, and a missing permission or table
is something an operator can mend, so a failed reading is never given up here: its record is
reported for a retry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from dynamodb_values import AttributeValue
from retry_policy import Deadline, RetryPolicy, error_code, error_message
from telemetry_reading import Reading, ReadingKey

# dynamodb APIReference API_BatchWriteItem: 25 puts and 16 MB on the wire in one call; 25 statements
# in an API_BatchExecuteStatement. A byte of stored size takes at most 11 on the wire ('{"S": ""}, '
# for an empty string in a list).
MAX_WRITES_PER_CALL = 25
MAX_STORED_BYTES_PER_CALL = 1_400_000

EXHAUSTED = "no attempts or time left"


class DynamoDBClient(Protocol):
    def batch_write_item(self, **request: Any) -> dict[str, Any]: ...

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]: ...

    def put_item(self, **request: Any) -> dict[str, Any]: ...


@dataclass
class WriteReport:
    """The readings that were not stored; every other one was."""

    refused: dict[ReadingKey, str] = field(default_factory=dict)
    failed: dict[ReadingKey, str] = field(default_factory=dict)

    def add(self, reading: Reading, error: Exception) -> None:
        if error_code(error) == "ValidationException":
            self.refused[reading.key] = error_message(error)
        else:
            self.failed[reading.key] = error_code(error)


class TimeSeriesWriter:
    """Stores readings in the time-series table.

    PutItem replaces an item of the same key (FACTS 9), and the key depends on the content alone, so
    writing a reading again changes nothing.
    """

    def __init__(self, client: DynamoDBClient, table: str, retries: RetryPolicy) -> None:
        self._client = client
        self._table = table
        self._retries = retries

    def store(self, readings: Sequence[Reading], deadline: Deadline) -> WriteReport:
        """Stores `readings`, whose keys have to differ: BatchWriteItem refuses duplicates.

        Goes on after a failure, so that a batch that is given up at last has lost as few readings
        as possible.
        """
        report = WriteReport()
        for chunk in chunks(readings):
            self._write_chunk(chunk, deadline, report)
        return report

    def _write_chunk(
        self, chunk: Sequence[Reading], deadline: Deadline, report: WriteReport
    ) -> None:
        pending = {reading.key: reading for reading in chunk}
        for _ in self._retries.attempts(deadline):
            puts = [{"PutRequest": {"Item": time_series_item(r)}} for r in pending.values()]
            try:
                response = self._client.batch_write_item(RequestItems={self._table: puts})
            except Exception as error:
                if error_code(error) == "ValidationException":
                    self._write_one_by_one(list(pending.values()), deadline, report)
                else:
                    for reading in pending.values():
                        report.add(reading, error)
                return
            unprocessed = response.get("UnprocessedItems", {}).get(self._table, [])
            keys = [_item_key(request["PutRequest"]["Item"]) for request in unprocessed]
            pending = {key: pending[key] for key in keys}
            if not pending:
                return
        report.failed.update(dict.fromkeys(pending, EXHAUSTED))

    def _write_one_by_one(
        self, readings: Sequence[Reading], deadline: Deadline, report: WriteReport
    ) -> None:
        """One invalid item makes DynamoDB refuse the whole call: find it, store the others."""
        for reading in readings:
            if not deadline.has_time():
                report.failed[reading.key] = EXHAUSTED
                continue
            try:
                self._client.put_item(TableName=self._table, Item=time_series_item(reading))
            except Exception as error:
                report.add(reading, error)


def time_series_item(reading: Reading) -> dict[str, AttributeValue]:
    return {**device_state_item(reading), "ttl": {"N": str(reading.expires_at)}}


def device_state_item(reading: Reading) -> dict[str, AttributeValue]:
    """The state has the sort key as its timestamp: a total order, the same on every delivery."""
    return {
        "deviceId": {"S": reading.device_id},
        "timestamp": {"N": str(reading.sort_key)},
        "reading": reading.content,
    }


def _item_key(item: dict[str, AttributeValue]) -> ReadingKey:
    return item["deviceId"]["S"], Decimal(item["timestamp"]["N"])


def chunks(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    chunk: list[Reading] = []
    size = 0
    for reading in readings:
        full = len(chunk) == MAX_WRITES_PER_CALL
        if chunk and (full or size + reading.stored_bytes > MAX_STORED_BYTES_PER_CALL):
            yield chunk
            chunk, size = [], 0
        chunk.append(reading)
        size += reading.stored_bytes
    if chunk:
        yield chunk
