"""The models of SQS, Kinesis and S3 with faults, and a stand-in for Lambda that answers as told."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from botocore.exceptions import ClientError

from iot_constructs.testing import processes
from iot_constructs.testing.kinesis import Kinesis, StoredRecord
from iot_constructs.testing.s3 import S3
from iot_constructs.testing.sns_sqs import SQS

ACCOUNT = "123456789012"
STREAM = "iot-sensor-data-stream-dev"
REGION = "eu-central-1"


def stream_arn(region: str) -> str:
    return f"arn:aws:kinesis:{region}:{ACCOUNT}:stream/{STREAM}"


STREAM_ARN = stream_arn(REGION)
QUEUE_URL = f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/iot-pipeline-dlq-dev"
NOW = 1_800_000_000.0
SHARD = "shardId-000000000000"
BUCKET = "iot-failed-batches"


def aws_error(code: str, message: str = "no reason given", status: int = 400) -> ClientError:
    return processes.aws_error(code, message, status)


class InOrder(random.Random):
    """Of what a service leaves open, the simplest."""

    def random(self) -> float:
        return 0.0


class Clock:
    """Time passes when somebody waits, and a little with every call."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.random: random.Random = InOrder(1)
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Calls:
    """Counts the calls of all services, and lets one of them fail."""

    clock: Clock
    latency: float = 0.01
    names: list[str] = field(default_factory=list)
    fail_at: int | None = None
    after: bool = False
    error: Callable[[], BaseException] = KeyboardInterrupt

    def made(self, name: str, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        number = len(self.names)
        self.names.append(name)
        self.clock.now += self.latency
        if number == self.fail_at and not self.after:
            raise self.error()
        answer = action()
        if number == self.fail_at:
            raise self.error()
        return answer

    def count(self, name: str) -> int:
        return self.names.count(name)


class FakeSQS(SQS):
    """The model with faults. Messages are received in the order in which they became visible."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls.clock, QUEUE_URL)
        self.calls = calls
        self.refuses_delete: Callable[[str], str | None] = lambda id: None
        self.change_failures: list[str] = []

    def add(self, body: object, id: str | None = None) -> str:
        return self.send(body if isinstance(body, str) else json.dumps(body), id).id

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        get = super().get_queue_attributes
        return self.calls.made("get_queue_attributes", lambda: get(**request))

    def receive_message(self, **request: Any) -> dict[str, Any]:
        assert request["WaitTimeSeconds"] > 0, "an empty response would not mean an empty queue"
        receive = super().receive_message

        def poll() -> dict[str, Any]:
            response = receive(**request)
            self.calls.clock.now += 0 if response else request["WaitTimeSeconds"]
            return response

        return self.calls.made("receive_message", poll)

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        change, failures = super().change_message_visibility_batch, self.change_failures
        return self.calls.made(
            "change_message_visibility_batch",
            lambda: change(**request, fails=lambda index: failures.pop() if failures else None),
        )

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        delete = super().delete_message_batch

        def fails(index: int) -> str | None:
            return self.refuses_delete(request["Entries"][index]["ReceiptHandle"].split("#")[0])

        return self.calls.made("delete_message_batch", lambda: delete(**request, fails=fails))


@dataclass
class OnShard:
    sequence_number: str
    partition_key: str
    data: bytes
    arrival: float


class FakeKinesis(Kinesis):
    """The model with faults. Each second read is empty, and the others return up to three records."""

    def __init__(self, calls: Calls, region: str = REGION) -> None:
        super().__init__(calls.clock, stream_arn(region), retention_seconds=math.inf)
        self.calls = calls
        self.reads_nothing = cycle([True, False]).__next__
        self.records_per_read = 3
        self.trimmed_is_an_error = False
        self.throttled_reads = 0
        self.refuses: Callable[[dict[str, Any]], str | None] = lambda entry: None
        self.put: list[tuple[str, bytes]] = []
        self.put_counts: Counter[tuple[str, bytes]] = Counter()
        self.put_sizes: list[int] = []
        self.targets: list[str] = []
        self.put_errors: list[BaseException] = []

    def accept(self, partition_key: str, data: bytes) -> OnShard:
        return on_shard(self._accept(partition_key, data)[1])

    def on_shards(self) -> dict[str, list[OnShard]]:
        return {id: [on_shard(each) for each in of.records] for id, of in self.shards.items()}

    def reshard(self, shard: str = SHARD) -> str:
        """Replace a shard by one child."""
        parent = self.shards[shard]
        self._close(parent)
        return self._add_shard(parent.first, parent.end, parent).id

    def trim(self, shard: str, records: int) -> None:
        del self.shards[shard].records[:records]
        self.shards[shard].trimmed += records

    def counts(self) -> Counter[tuple[str, bytes]]:
        return self.put_counts

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("get_shard_iterator", lambda: self._find(request))

    def _find(self, request: dict[str, Any]) -> dict[str, Any]:
        found = super().get_shard_iterator(**request)
        records, start = self.shards[request["ShardId"]].records, request["StartingSequenceNumber"]
        if self.trimmed_is_an_error and (not records or int(start) < records[0].sequence_number):
            raise aws_error("InvalidArgumentException", "the sequence number is not of this stream")
        return found

    def get_records(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("get_records", lambda: self._read(request))

    def _read(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.throttled_reads:
            self.throttled_reads -= 1
            raise aws_error("ProvisionedThroughputExceededException")
        return super().get_records(**request)

    def put_records(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("put_records", lambda: self._put(request))

    def _put(self, request: dict[str, Any]) -> dict[str, Any]:
        entries = request["Records"]
        self.put_sizes.append(len(entries))
        self.targets.append(request.get("StreamARN") or request["StreamName"])
        if self.put_errors:
            raise self.put_errors.pop(0)
        size = sum(len(entry["Data"]) + len(entry["PartitionKey"].encode()) for entry in entries)
        if size > 5 * 2**20 and len(entries) > 1:
            raise aws_error("InvalidArgumentException", "over 5 MiB, as it was until 2025")
        codes = [self.refuses(entry) for entry in entries]
        if "InvalidArgumentException" in codes:
            raise aws_error("InvalidArgumentException", "a record is too large for this stream")
        response = super().put_records(**request, fails=codes.__getitem__)
        accepted = [
            (entry["PartitionKey"], entry["Data"])
            for entry, code in zip(entries, codes, strict=True)
            if code is None
        ]
        self.put += accepted
        self.put_counts.update(accepted)
        return response


def on_shard(record: StoredRecord) -> OnShard:
    return OnShard(str(record.sequence_number), record.partition_key, record.data, record.arrival)


class FakeS3(S3):
    """The model with faults, which notifies nobody."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(BUCKET, lambda body: None)
        self.calls = calls

    def get_object(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("get_object", lambda: self._get(request))

    def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        return super().get_object(**request)


class FakeLambda:
    """A function that stores its records and fails on request."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.events: list[Any] = []
        self.stored: list[tuple[str, bytes]] = []
        self.stored_counts: Counter[tuple[str, bytes]] = Counter()
        self.errors: list[BaseException] = []
        self.answer: Callable[[Any], tuple[str | None, bytes]] | None = None
        self.fails_on: set[bytes] = set()

    def counts(self) -> Counter[tuple[str, bytes]]:
        return self.stored_counts

    def invoke(self, **request: Any) -> dict[str, Any]:
        assert request["InvocationType"] == "RequestResponse"
        assert len(request["Payload"]) <= 6 * 2**20
        return self.calls.made("invoke", lambda: self._invoke(json.loads(request["Payload"])))

    def _invoke(self, event: Any) -> dict[str, Any]:
        self.events.append(event)
        if self.errors:
            raise self.errors.pop(0)
        error, answer = self.answer(event) if self.answer is not None else self._store(event)
        function_error = {"FunctionError": error} if error is not None else {}
        return {"StatusCode": 200, "Payload": io.BytesIO(answer), **function_error}

    def _store(self, event: Any) -> tuple[str | None, bytes]:
        """As the example's handler: everything from the first failure on is tried again."""
        for record in event["Records"]:
            kinesis = record["kinesis"]
            data = base64.b64decode(kinesis["data"])
            if data in self.fails_on:
                failures = [{"itemIdentifier": kinesis["sequenceNumber"]}]
                return None, json.dumps({"batchItemFailures": failures}).encode()
            self.stored.append((kinesis["partitionKey"], data))
            self.stored_counts[kinesis["partitionKey"], data] += 1
        return None, b'{"batchItemFailures": []}'


# --- what is on the queue ------------------------------------------------------------------------


def in_envelope(message: object) -> dict[str, Any]:
    return {
        "Type": "Notification",
        "MessageId": "5b2c0c1e-0000-0000-0000-000000000000",
        "TopicArn": f"arn:aws:sns:eu-central-1:{ACCOUNT}:iot-pipeline-dlq-dev",
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2027-01-15T08:00:00.000Z",
    }


def event_record(record: OnShard, shard: str = SHARD) -> dict[str, Any]:
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence_number,
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrival,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record.sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/processor",
        "awsRegion": "eu-central-1",
        "eventSourceARN": STREAM_ARN,
    }


def kinesis_event(*records: OnShard) -> dict[str, Any]:
    return {"Records": [event_record(record) for record in records]}


def failed_batch(
    first: str, last: str, size: int, shard: str = SHARD, arn: str = STREAM_ARN
) -> dict[str, Any]:
    """lambda/latest/dg/kinesis-on-failure-destination.html"""
    return {
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn": f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:iot-stream-processor",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 11,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "KinesisBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": first,
            "endSequenceNumber": last,
            "approximateArrivalOfFirstRecord": "2027-01-15T07:00:00.000Z",
            "approximateArrivalOfLastRecord": "2027-01-15T07:00:01.000Z",
            "batchSize": size,
            "streamArn": arn,
        },
    }


def stored_batch(*records: OnShard) -> dict[str, Any]:
    batch = failed_batch(records[0].sequence_number, records[-1].sequence_number, len(records))
    return {**batch, "payload": json.dumps(kinesis_event(*records))}


def object_created(key: str, bucket: str = BUCKET) -> dict[str, Any]:
    """AmazonS3/latest/userguide/notification-content-structure.html"""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                    "object": {"key": key, "size": 1024, "eTag": "0", "sequencer": "0"},
                },
            }
        ]
    }


TEST_EVENT = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}


def rule_error(topic: str, payload: bytes) -> dict[str, Any]:
    """iot/latest/developerguide/rule-error-handling.html"""
    return {
        "ruleName": "iot_telemetry_dev",
        "topic": topic,
        "cloudwatchTraceId": "7e146a2c-95b5-6caf-98b9-50e3969734c7",
        "clientId": "device-1",
        "base64OriginalPayload": base64.b64encode(payload).decode(),
        "failures": [
            {
                "failedAction": "KinesisAction",
                "failedResource": STREAM,
                "errorMessage": "Failed to put the record. The error received was throttling.",
            }
        ],
    }


def async_failure(event: object) -> dict[str, Any]:
    """lambda/latest/dg/invocation-async-retain-records.html"""
    return {
        "version": "1.0",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:f:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        "responsePayload": {"errorType": "BatchProcessingError", "errorMessage": "1 of 1 records"},
    }


def rejected(record: OnShard, encoding: str = "base64", shard: str = SHARD) -> dict[str, Any]:
    payload = base64.b64encode(record.data).decode() if encoding == "base64" else None
    return {
        "kind": "rejected-record",
        "reason": "not-json",
        "detail": "expecting value at 0",
        "partitionKey": record.partition_key,
        "streamArn": STREAM_ARN,
        "shardId": shard,
        "sequenceNumber": record.sequence_number,
        "approximateArrivalTimestamp": record.arrival,
        "payloadEncoding": encoding,
        "payload": payload,
        "payloadLocation": None if payload else "too large for a message",
    }


def random_bytes(name: str, size: int = 40) -> bytes:
    """The same for the same name."""
    return hashlib.shake_128(name.encode()).digest(size)
