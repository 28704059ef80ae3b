"""Stand-ins for SQS, Kinesis, S3 and Lambda that keep AWS's rules as far as a redrive meets them."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any

from botocore.exceptions import ClientError

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
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "none",
                "HostId": "none",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "Operation",
    )


class Clock:
    """Time passes when somebody waits, and a little with every call."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
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


@dataclass
class Stored:
    id: str
    body: str
    sent: float
    visible_at: float = 0.0
    handle: str | None = None
    receives: int = 0
    received_at: float = 0.0
    number: int = 0


class FakeSQS:
    """A standard queue. Each call takes a time that does not depend on the length of the queue."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.clock = calls.clock
        self.messages: dict[str, Stored] = {}
        self.deleted: list[str] = []
        self.before_delete: Callable[[str], None] = lambda id: None
        self.refuses_delete: Callable[[str], dict[str, Any] | None] = lambda id: None
        self.skew = 0.0
        # SQSDeveloperGuide/quotas-queues.html: with long polling, a receive beyond it is empty, without an error.
        self.max_in_flight = 120_000
        self.change_failures: list[dict[str, Any]] = []
        self._number = 0
        self._ready: list[tuple[int, str]] = []
        self._hidden: list[tuple[float, str]] = []

    def send(self, body: object, id: str | None = None) -> str:
        self._number += 1
        id = id if id is not None else f"message-{self._number:04d}"
        text = body if isinstance(body, str) else json.dumps(body)
        self.messages[id] = Stored(id, text, self.clock.now + self.skew, number=self._number)
        heapq.heappush(self._ready, (self._number, id))
        return id

    def visible(self) -> list[str]:
        return [m.id for m in self.messages.values() if m.visible_at <= self.clock.now]

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        assert request["QueueUrl"] == QUEUE_URL
        return self.calls.made("get_queue_attributes", self._attributes)

    def _attributes(self) -> dict[str, Any]:
        visible = len(self.visible())
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(visible),
                "ApproximateNumberOfMessagesNotVisible": str(len(self.messages) - visible),
            },
            "ResponseMetadata": {
                "HTTPHeaders": {"date": formatdate(self.clock.now + self.skew, usegmt=True)}
            },
        }

    def receive_message(self, **request: Any) -> dict[str, Any]:
        assert request["QueueUrl"] == QUEUE_URL
        assert 1 <= request["MaxNumberOfMessages"] <= 10
        assert 0 < request["WaitTimeSeconds"] <= 20
        assert "SentTimestamp" in request["MessageSystemAttributeNames"]
        return self.calls.made("receive_message", lambda: self._receive(request))

    def _receive(self, request: dict[str, Any]) -> dict[str, Any]:
        assert 0 <= request["VisibilityTimeout"] <= 43_200
        received = self._take(request["MaxNumberOfMessages"])
        if not received:
            self.clock.now += request["WaitTimeSeconds"]
            return {}
        for message in received:
            message.receives += 1
            message.handle = f"{message.id}#{message.receives}"
            message.received_at = self.clock.now
            self._hide(message, request["VisibilityTimeout"])
        return {
            "Messages": [
                {
                    "MessageId": message.id,
                    "Body": message.body,
                    "ReceiptHandle": message.handle,
                    "Attributes": {"SentTimestamp": str(int(message.sent * 1000))},
                }
                for message in received
            ]
        }

    def _take(self, at_most: int) -> list[Stored]:
        """Return the oldest visible messages."""
        while self._hidden and self._hidden[0][0] <= self.clock.now:
            message = self.messages.get(heapq.heappop(self._hidden)[1])
            if message is not None:
                heapq.heappush(self._ready, (message.number, message.id))
        taken: dict[str, Stored] = {}
        while self._ready and len(taken) < min(at_most, self.max_in_flight - self._in_flight()):
            message = self.messages.get(heapq.heappop(self._ready)[1])
            if message is None or message.id in taken:
                continue
            if message.visible_at <= self.clock.now:
                taken[message.id] = message
            else:  # hidden since, or for longer
                heapq.heappush(self._hidden, (message.visible_at, message.id))
        return list(taken.values())

    def _in_flight(self) -> int:
        if len(self.messages) <= self.max_in_flight:
            return 0
        return len(self.messages) - len(self.visible())

    def _hide(self, message: Stored, seconds: float) -> None:
        message.visible_at = self.clock.now + seconds
        heapq.heappush(self._hidden, (message.visible_at, message.id))

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        return self.calls.made(
            "change_message_visibility_batch",
            lambda: self._each(request, self._change_visibility, self._refuses_change),
        )

    def _change_visibility(self, message: Stored, entry: dict[str, Any]) -> None:
        self._hide(message, entry["VisibilityTimeout"])

    def _refuses_change(self, id: str) -> dict[str, Any] | None:
        return self.change_failures.pop() if self.change_failures else None

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        return self.calls.made(
            "delete_message_batch", lambda: self._each(request, self._delete, self.refuses_delete)
        )

    def _delete(self, message: Stored, entry: dict[str, Any]) -> None:
        self.before_delete(message.id)
        del self.messages[message.id]
        self.deleted.append(message.id)

    def _beyond_12_hours(self, message: Stored, entry: dict[str, Any]) -> bool:
        """SQSDeveloperGuide/sqs-visibility-timeout.html: 12 hours from the receipt, whatever is changed since."""
        ends = self.clock.now + float(entry.get("VisibilityTimeout", 0))
        return ends - message.received_at > 43_200

    def _each(
        self,
        request: dict[str, Any],
        action: Callable[[Stored, dict[str, Any]], None],
        refuses: Callable[[str], dict[str, Any] | None] = lambda id: None,
    ) -> dict[str, Any]:
        assert request["QueueUrl"] == QUEUE_URL
        entries = request["Entries"]
        if not 1 <= len(entries) <= 10:
            raise aws_error("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        assert len({entry["Id"] for entry in entries}) == len(entries)
        done, failed = [], []
        for entry in entries:
            message = self.messages.get(entry["ReceiptHandle"].partition("#")[0])
            refused = refuses(message.id) if message is not None else None
            if message is None or message.handle != entry["ReceiptHandle"]:
                failed.append(
                    {"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": True}
                )
            elif refused is not None:
                failed.append({"Id": entry["Id"], **refused})
            elif self._beyond_12_hours(message, entry):
                failed.append(
                    {"Id": entry["Id"], "Code": "InvalidParameterValue", "SenderFault": True}
                )
            else:
                action(message, entry)
                done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}


@dataclass
class OnShard:
    sequence_number: str
    partition_key: str
    data: bytes
    arrival: float


class FakeKinesis:
    """Kinesis in a Region, with one stream. Records are in the shard that is open when they come."""

    def __init__(self, calls: Calls, region: str = REGION) -> None:
        self.calls = calls
        self.arn = stream_arn(region)
        self.shards: dict[str, list[OnShard]] = {SHARD: []}
        self.closed: set[str] = set()
        self.trimmed_is_an_error = False
        self.most_per_read = 3
        self.throttled_reads = 0
        self.refuses: Callable[[dict[str, Any]], str | None] = lambda entry: None
        self.put: list[tuple[str, bytes]] = []
        self.put_counts: Counter[tuple[str, bytes]] = Counter()
        self.put_sizes: list[int] = []
        self.targets: list[str] = []
        self.put_errors: list[BaseException] = []
        self._sequence = 49_590_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
        self._gaps = 0

    def accept(self, partition_key: str, data: bytes, shard: str = SHARD) -> OnShard:
        self._sequence += 7
        record = OnShard(str(self._sequence), partition_key, data, self.calls.clock.now)
        self.shards[shard].append(record)
        return record

    def reshard(self, shard: str = SHARD) -> str:
        child = f"shardId-{len(self.shards):012d}"
        self.closed.add(shard)
        self.shards[child] = []
        return child

    def trim(self, shard: str, records: int) -> None:
        del self.shards[shard][:records]

    def counts(self) -> Counter[tuple[str, bytes]]:
        return self.put_counts

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("get_shard_iterator", lambda: self._iterator(request))

    def _iterator(self, request: dict[str, Any]) -> dict[str, Any]:
        assert request["ShardIteratorType"] == "AT_SEQUENCE_NUMBER"
        if request["StreamARN"] != self.arn:
            raise aws_error("ResourceNotFoundException", "no such stream")
        shard = self.shards.get(request["ShardId"])
        if shard is None:
            raise aws_error("ResourceNotFoundException", f"no shard {request['ShardId']}")
        start = int(request["StartingSequenceNumber"])
        if self.trimmed_is_an_error and (not shard or start < int(shard[0].sequence_number)):
            raise aws_error("InvalidArgumentException", "the sequence number is not of this stream")
        position = bisect_left(shard, start, key=lambda record: int(record.sequence_number))
        return {"ShardIterator": f"{request['ShardId']}/{position}"}

    def get_records(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("get_records", lambda: self._read(request))

    def _read(self, request: dict[str, Any]) -> dict[str, Any]:
        assert 1 <= request["Limit"] <= 10_000
        if self.throttled_reads:
            self.throttled_reads -= 1
            raise aws_error("ProvisionedThroughputExceededException")
        name, _, place = request["ShardIterator"].partition("/")
        position, shard = int(place), self.shards[name]
        self._gaps += 1
        if self._gaps % 2 and position < len(shard):  # "it might take multiple calls"
            return {"Records": [], "NextShardIterator": f"{name}/{place}", "MillisBehindLatest": 9}
        found = shard[position : position + min(request["Limit"], self.most_per_read)]
        position += len(found)
        at_end = position >= len(shard)
        return {
            "Records": [
                {
                    "SequenceNumber": record.sequence_number,
                    "PartitionKey": record.partition_key,
                    "Data": record.data,
                    "ApproximateArrivalTimestamp": datetime.fromtimestamp(
                        record.arrival, timezone.utc
                    ),
                }
                for record in found
            ],
            "NextShardIterator": None if at_end and name in self.closed else f"{name}/{position}",
            "MillisBehindLatest": 0 if at_end else 1000,
        }

    def put_records(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("put_records", lambda: self._put(request))

    def _put(self, request: dict[str, Any]) -> dict[str, Any]:
        entries = request["Records"]
        self.put_sizes.append(len(entries))
        self.targets.append(request.get("StreamARN") or request["StreamName"])
        if request.get("StreamARN", self.arn) != self.arn:
            raise aws_error("ResourceNotFoundException", "no such stream")
        if self.put_errors:
            raise self.put_errors.pop(0)
        sizes = [len(entry["Data"]) + len(entry["PartitionKey"].encode()) for entry in entries]
        if not 1 <= len(entries) <= 500 or sum(sizes) > 10 * 2**20:
            raise aws_error("InvalidArgumentException", "too many or too large")
        if sum(sizes) > 5 * 2**20 and len(entries) > 1:
            raise aws_error("InvalidArgumentException", "over 5 MiB, as it was until 2025")
        results: list[dict[str, Any]] = []
        for entry in entries:
            assert 1 <= len(entry["PartitionKey"]) <= 256
            code = self.refuses(entry)
            if code == "InvalidArgumentException":
                raise aws_error(code, "a record is too large for this stream")
            if code is not None:
                results.append({"ErrorCode": code, "ErrorMessage": "later"})
                continue
            self.put.append((entry["PartitionKey"], entry["Data"]))
            self.put_counts[entry["PartitionKey"], entry["Data"]] += 1
            open_shard = next(name for name in self.shards if name not in self.closed)
            accepted = self.accept(entry["PartitionKey"], entry["Data"], open_shard)
            results.append({"SequenceNumber": accepted.sequence_number, "ShardId": open_shard})
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedRecordCount": failed, "Records": results}


class FakeS3:
    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.objects: dict[tuple[str, str], bytes] = {}

    def get_object(self, **request: Any) -> dict[str, Any]:
        return self.calls.made("get_object", lambda: self._get(request))

    def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        body = self.objects.get((request["Bucket"], request["Key"]))
        if body is None:
            raise aws_error("NoSuchKey", "The specified key does not exist.", 404)
        return {"Body": io.BytesIO(body)}


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
