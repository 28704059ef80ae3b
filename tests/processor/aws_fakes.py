"""Fakes of DynamoDB and SNS that enforce the limits of AWS and inject faults.

test_against_emulator.py runs the same code against the emulator.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer  # type: ignore[import-untyped,unused-ignore]
from botocore.exceptions import ClientError  # type: ignore[import-untyped,unused-ignore]

from iot_constructs.processor.batches import Processor
from iot_constructs.processor.records import StreamRecord
from iot_constructs.processor.retries import RetryPolicy
from iot_constructs.processor.settings import Settings

SERIES = "iot-sensor-metrics-test"
STATE = "iot-device-state-test"
TOPIC = "arn:aws:sns:eu-central-1:111122223333:iot-pipeline-dlq-test"
STREAM = "arn:aws:kinesis:eu-central-1:111122223333:stream/iot-sensor-data-stream-test"
SHARD = "shardId-000000000000"
DAY = 24 * 60 * 60
RETENTION = 365 * DAY
SETTINGS = Settings(
    device_state_table=STATE,
    time_series_table=SERIES,
    retention_seconds=RETENTION,
    dlq_topic_arn=TOPIC,
)
ARRIVAL = 1_700_000_000  # epoch seconds
NOW = ARRIVAL * 1000  # the same as a device's timestamp
FIRST_SEQUENCE = 49590338271490256608559692538361571095921575989136588898

UPDATE = f'UPDATE "{STATE}" SET "timestamp"=? SET "reading"=? WHERE "deviceId"=? AND "timestamp"<?'
INSERT = f"INSERT INTO \"{STATE}\" VALUE {{'deviceId':?,'timestamp':?,'reading':?}}"

Item = dict[str, Any]


def kinesis_event(*sent: tuple[str, object], arrival: float = ARRIVAL) -> dict[str, Any]:
    """A Kinesis event from (device id, payload) pairs; payloads are bytes or JSON values."""
    records = []
    for position, (device_id, payload) in enumerate(sent):
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sequence_number = str(FIRST_SEQUENCE + position)
        records.append(
            {
                "eventID": f"{SHARD}:{sequence_number}",
                "eventSource": "aws:kinesis",
                "eventSourceARN": STREAM,
                "kinesis": {
                    "partitionKey": device_id,
                    "sequenceNumber": sequence_number,
                    "data": base64.b64encode(data).decode(),
                    "approximateArrivalTimestamp": arrival,
                },
            }
        )
    return {"Records": records}


def make_records(*sent: tuple[str, object], arrival: float = ARRIVAL) -> list[StreamRecord]:
    return [
        StreamRecord.from_event(raw) for raw in kinesis_event(*sent, arrival=arrival)["Records"]
    ]


def sequence(position: int) -> str:
    return str(FIRST_SEQUENCE + position)


def plain(item: Item) -> dict[str, Any]:
    """An item as Python values."""
    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}


def aws_error(code: str, message: str = "") -> Exception:
    error: Exception = ClientError({"Error": {"Code": code, "Message": message}}, "Operation")
    return error


@dataclass(frozen=True)
class Fault:
    error: Exception | None = None
    after: bool = False
    """The call takes effect and only its response is lost."""
    leaves: Callable[[int], bool] | None = None
    """Returns whether an entry of a batch call, by its index, is not processed."""


Faults = Callable[[str], "Fault | None"]
"""Called with the operation of each call (`batch_write_item`, `put_item`, `batch_execute_statement`,
or `publish_batch`) and with `statement <device>` for each statement."""


def no_faults(operation: str) -> None:
    return None


def always(operation: str, fault: Fault) -> Faults:
    return lambda called: fault if called.startswith(operation) else None


def once(operation: str, *faults: Fault) -> Faults:
    """Inject `faults` into the next calls of `operation`, one each."""
    pending = list(faults)
    return lambda called: pending.pop(0) if pending and called.startswith(operation) else None


class FakeDynamoDB:
    def __init__(
        self, faults: Faults = no_faults, refuses: Callable[[Item], bool] = lambda item: False
    ) -> None:
        self._faults = faults
        self._refuses = refuses
        self._lock = threading.Lock()
        self._tables: dict[str, dict[tuple[object, ...], Item]] = {SERIES: {}, STATE: {}}
        self.calls: list[tuple[str, int]] = []

    def items(self, table: str) -> list[dict[str, Any]]:
        return [plain(item) for item in self._tables[table].values()]

    def without_faults(self) -> FakeDynamoDB:
        """The same tables, as they work after somebody fixed them."""
        self._faults, self._refuses = no_faults, lambda item: False
        return self

    def state(self, device_id: str) -> dict[str, Any]:
        return plain(self._tables[STATE][(device_id,)])

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        [(table, requests)] = request["RequestItems"].items()
        items = [entry["PutRequest"]["Item"] for entry in requests]
        if not 1 <= len(items) <= 25:
            raise aws_error("ValidationException", "1 to 25 requests")
        with self._lock:
            self.calls.append(("batch_write_item", len(items)))
            keys = [self._key(table, item) for item in items]
            if len(set(keys)) < len(keys):
                raise aws_error("ValidationException", "item keys contain duplicates")
            if any(self._refuses(item) for item in items):
                raise aws_error("ValidationException", "an item is invalid")
            fault = self._faults("batch_write_item") or Fault()
            if fault.error is not None and not fault.after:
                raise fault.error
            unprocessed = []
            for index, (key, item) in enumerate(zip(keys, items, strict=True)):
                if fault.leaves is not None and fault.leaves(index):
                    unprocessed.append(requests[index])
                else:
                    self._tables[table][key] = item
            if fault.error is not None:
                raise fault.error
            return {"UnprocessedItems": {table: unprocessed} if unprocessed else {}}

    def put_item(self, **request: Any) -> dict[str, Any]:
        table, item = request["TableName"], request["Item"]
        with self._lock:
            self.calls.append(("put_item", 1))
            key = self._key(table, item)
            if self._refuses(item):
                raise aws_error("ValidationException", "the item is invalid")
            fault = self._faults("put_item") or Fault()
            if fault.error is not None and not fault.after:
                raise fault.error
            self._tables[table][key] = item
            if fault.error is not None:
                raise fault.error
            return {}

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        statements = request["Statements"]
        if not 1 <= len(statements) <= 25:
            raise aws_error("ValidationException", "1 to 25 statements")
        with self._lock:
            self.calls.append(("batch_execute_statement", len(statements)))
            fault = self._faults("batch_execute_statement") or Fault()
            if fault.error is not None and not fault.after:
                raise fault.error
            responses = [self._execute(**statement) for statement in statements]
            if fault.error is not None:
                raise fault.error
            return {"Responses": responses}

    def _execute(
        self,
        Statement: str,  # noqa: N803  # the API's names
        Parameters: list[Any],  # noqa: N803
        ReturnValuesOnConditionCheckFailure: str = "NONE",  # noqa: N803
    ) -> dict[str, Any]:
        """Run one of the two statements that the processor uses."""
        items = self._tables[STATE]
        if Statement == UPDATE:
            timestamp, content, device_id, than = Parameters
        else:
            assert Statement == INSERT, Statement
            device_id, timestamp, content = Parameters
        item = {"deviceId": device_id, "timestamp": timestamp, "reading": content}
        key = self._key(STATE, item)
        found = items.get(key)
        fault = self._faults(f"statement {device_id['S']}") or Fault()
        if fault.error is not None and not fault.after:
            return _statement_error(fault.error)
        if self._refuses(item):
            return {"Error": {"Code": "ValidationError", "Message": "the item is invalid"}}
        if Statement == INSERT and found is not None:
            return {"Error": {"Code": "DuplicateItem"}, "TableName": STATE}
        # A comparison with a missing attribute is false.
        if Statement == UPDATE and (
            found is None or not Decimal(found["timestamp"]["N"]) < Decimal(than["N"])
        ):
            error: dict[str, Any] = {"Code": "ConditionalCheckFailed"}
            if found is not None and ReturnValuesOnConditionCheckFailure == "ALL_OLD":
                error["Item"] = found
            return {"Error": error, "TableName": STATE}
        items[key] = {**(found or {}), **item}
        if fault.error is not None:
            return _statement_error(fault.error)
        return {"TableName": STATE}

    @staticmethod
    def _key(table: str, item: Item) -> tuple[object, ...]:
        device_id, timestamp = item["deviceId"]["S"], Decimal(item["timestamp"]["N"])
        if not device_id or len(timestamp.as_tuple().digits) > 38:
            raise aws_error("ValidationException", "the key is invalid")
        return (device_id, timestamp) if table == SERIES else (device_id,)


def _statement_error(error: Exception) -> dict[str, Any]:
    assert isinstance(error, ClientError), (
        "a statement fails with a code of API_BatchStatementError"
    )
    return {"Error": dict(error.response["Error"])}


class FakeSNS:
    def __init__(self, faults: Faults = no_faults) -> None:
        self._faults = faults
        self.messages: list[dict[str, Any]] = []
        self.attributes: list[dict[str, str]] = []
        self.calls: list[int] = []

    def reasons(self) -> dict[str, str]:
        """Sequence number -> reason of what was published."""
        return {message["sequenceNumber"]: message["reason"] for message in self.messages}

    def publish_batch(self, **request: Any) -> dict[str, Any]:
        assert request["TopicArn"] == TOPIC
        entries = request["PublishBatchRequestEntries"]
        self.calls.append(len(entries))
        if not 1 <= len(entries) <= 10:
            raise aws_error("TooManyEntriesInBatchRequest")
        if len({entry["Id"] for entry in entries}) < len(entries):
            raise aws_error("BatchEntryIdsNotDistinct")
        if sum(_message_bytes(entry) for entry in entries) > 262_144:
            raise aws_error("BatchRequestTooLong")
        fault = self._faults("publish_batch") or Fault()
        if fault.error is not None and not fault.after:
            raise fault.error
        failed = []
        for index, entry in enumerate(entries):
            if fault.leaves is not None and fault.leaves(index):
                failed.append({"Id": entry["Id"], "Code": "InternalError", "SenderFault": False})
                continue
            attributes = entry["MessageAttributes"]
            assert {value["DataType"] for value in attributes.values()} == {"String"}
            self.attributes.append({k: v["StringValue"] for k, v in attributes.items()})
            self.messages.append(json.loads(entry["Message"]))
        if fault.error is not None:
            raise fault.error
        return {"Successful": [], "Failed": failed}


def _message_bytes(entry: dict[str, Any]) -> int:
    attributes = entry["MessageAttributes"].items()
    return len(entry["Message"].encode()) + sum(
        len((name + value["DataType"] + value["StringValue"]).encode())
        for name, value in attributes
    )


class Clock:
    """The invocation's remaining time. It advances only by `sleep` and by assignment."""

    def __init__(self, remaining_ms: int = 60_000) -> None:
        self.remaining = remaining_ms
        self.slept: list[float] = []

    def remaining_ms(self) -> int:
        return self.remaining

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.remaining -= int(seconds * 1000)


def make_processor(
    dynamodb: FakeDynamoDB,
    sns: FakeSNS | None = None,
    clock: Clock | None = None,
    settings: Settings = SETTINGS,
) -> Processor:
    clock = clock if clock is not None else Clock()
    return Processor(
        dynamodb,
        sns if sns is not None else FakeSNS(),
        settings,
        RetryPolicy(sleep=clock.sleep, jitter=lambda: 1.0),
    )


def make_readings(device_id: str, values: Iterable[object]) -> list[tuple[str, object]]:
    """Return one reading per millisecond."""
    return [
        (device_id, {"timestamp": NOW + offset, "value": value})
        for offset, value in enumerate(values)
    ]


def group_by_device(items: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        found[item["deviceId"]].append(item)
    return found
