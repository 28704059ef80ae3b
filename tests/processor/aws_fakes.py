"""The models of DynamoDB and SNS with faults.

tests/simulation holds the models to the emulator, and test_against_emulator.py runs the processor on it.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from boto3.dynamodb.types import TypeDeserializer  # type: ignore[import-untyped,unused-ignore]
from botocore.exceptions import ClientError  # type: ignore[import-untyped,unused-ignore]

from iot_constructs.processor.batches import Processor
from iot_constructs.processor.records import StreamRecord
from iot_constructs.processor.retries import RetryPolicy
from iot_constructs.processor.settings import Settings
from iot_constructs.testing.dynamodb import DynamoDB
from iot_constructs.testing.scheduler import Scheduler
from iot_constructs.testing.sns_sqs import SNS, SQS

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
`batch_get_item`, or `publish_batch`) and with `statement <device>` for each statement."""


def no_faults(operation: str) -> None:
    return None


def always(operation: str, fault: Fault) -> Faults:
    return lambda called: fault if called.startswith(operation) else None


def once(operation: str, *faults: Fault) -> Faults:
    """Inject `faults` into the next calls of `operation`, one each."""
    pending = list(faults)
    return lambda called: pending.pop(0) if pending and called.startswith(operation) else None


class FakeDynamoDB(DynamoDB):
    """The model with faults, for threads."""

    def __init__(
        self, faults: Faults = no_faults, refuses: Callable[[Item], bool] = lambda item: False
    ) -> None:
        super().__init__()
        self.create_table(SERIES, "deviceId", "timestamp")
        self.create_table(STATE, "deviceId")
        self.refuses = lambda table, item: refuses(item)
        self.calls: list[tuple[str, int]] = []
        self._faults = faults
        self._lock = threading.Lock()

    def items(self, table: str) -> list[dict[str, Any]]:
        return [plain(item) for item in self.tables[table].items.values()]

    def without_faults(self) -> FakeDynamoDB:
        """The same tables, as they work after somebody fixed them."""
        self._faults, self.refuses = no_faults, lambda table, item: False
        return self

    def state(self, device_id: str) -> dict[str, Any]:
        return plain(self.tables[STATE].items[device_id,])

    def batch_write_item(self, **request: Any) -> dict[str, Any]:
        [entries] = request["RequestItems"].values()
        with self._lock:
            self.calls.append(("batch_write_item", len(entries)))
            call = partial(super().batch_write_item, **request)
            return call_with_fault(self._faults("batch_write_item"), call, "InternalServerError")

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        [table] = request["RequestItems"].values()
        with self._lock:
            self.calls.append(("batch_get_item", len(table["Keys"])))
            call = partial(super().batch_get_item, **request)
            return call_with_fault(self._faults("batch_get_item"), call, "InternalServerError")

    def put_item(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            self.calls.append(("put_item", 1))
            return call_with_fault(self._faults("put_item"), partial(super().put_item, **request))

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        statements = request["Statements"]
        with self._lock:
            self.calls.append(("batch_execute_statement", len(statements)))
            fault = self._faults("batch_execute_statement")
            execute = super().batch_execute_statement
            return call_with_fault(fault, lambda: self._execute_each(execute, statements))

    def _execute_each(
        self, execute: Callable[..., dict[str, Any]], statements: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        """Inject a fault before or after the effect of a statement."""
        afterwards: dict[int, Any] = {}

        def fails(index: int) -> str | None:
            [device_id] = [each["S"] for each in statements[index]["Parameters"] if "S" in each]
            fault = self._faults(f"statement {device_id}")
            if fault is None or fault.error is None:
                return None
            assert isinstance(fault.error, ClientError), "a statement fails with a code"
            error = fault.error.response["Error"]
            if not fault.after:
                return str(error["Code"])
            afterwards[index] = {"Error": dict(error)}
            return None

        response = execute(Statements=statements, fails=fails)
        for index, result in afterwards.items():
            if "Error" not in response["Responses"][index]:
                response["Responses"][index] = result
        return response


def call_with_fault(
    fault: Fault | None, call: Callable[..., dict[str, Any]], code: str = ""
) -> dict[str, Any]:
    """Call a batch operation. `code` is the error of the entries that are left."""
    fault = fault if fault is not None else Fault()
    if fault.error is not None and not fault.after:
        raise fault.error
    left = fault.leaves
    response = call(fails=lambda index: code if left(index) else None) if left else call()
    if fault.error is not None:
        raise fault.error
    return response


class FakeSNS(SNS):
    """The model with faults, and a queue that nobody reads."""

    def __init__(self, faults: Faults = no_faults) -> None:
        self._faults = faults
        self._sqs = SQS(Scheduler(1), "")
        super().__init__(Scheduler(1), TOPIC, self._sqs)
        self.calls: list[int] = []

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The published messages."""
        return [json.loads(envelope["Message"]) for envelope in self._envelopes()]

    @property
    def attributes(self) -> list[dict[str, str]]:
        """The attributes of each message."""
        found = [envelope["MessageAttributes"] for envelope in self._envelopes()]
        assert {value["Type"] for each in found for value in each.values()} <= {"String"}
        return [{name: value["Value"] for name, value in each.items()} for each in found]

    def _envelopes(self) -> list[dict[str, Any]]:
        return [json.loads(message.body) for message in self._sqs.messages.values()]

    def reasons(self) -> dict[str, str]:
        """Sequence number -> reason of what was published."""
        return {message["sequenceNumber"]: message["reason"] for message in self.messages}

    def publish_batch(self, **request: Any) -> dict[str, Any]:
        self.calls.append(len(request["PublishBatchRequestEntries"]))
        call = partial(super().publish_batch, **request)
        return call_with_fault(self._faults("publish_batch"), call, "InternalError")


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
