"""The simulated mapping with the emulator and a function that fails in every documented way.

The function runs locally and writes its events to a file that the test reads.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.local.emulator import ACCOUNT, REGION, Emulator, running_emulator
from iot_constructs.local.event_source_mapping import (
    Backoff,
    Intervals,
    LocalEventSourceMapping,
    UnsupportedMappingError,
)

PATIENCE = 90.0
QUICK: dict[str, Any] = {
    "backoff": Backoff(first=0.01, longest=0.05),
    "intervals": Intervals(0.1, 0.3, 0.5),
}
EVENT_COUNT = {"MetricsConfig": {"Metrics": ["EventCount"]}}

FUNCTION = """
import base64, json, os, sys, time

def handler(event, context):
    stream = event["Records"][0]["eventSourceARN"].split("/")[-1]
    calls = os.path.join(os.environ["CALLS"], stream)
    data = [base64.b64decode(each["kinesis"]["data"]).decode() for each in event["Records"]]
    with open(calls, "a") as file:
        file.write(json.dumps({"data": data, "event": event}) + "\\n")
    for record, text in zip(event["Records"], data):
        number = record["kinesis"]["sequenceNumber"]
        if text.startswith("poison"):
            raise ValueError(text)
        if text.startswith("crash"):
            os._exit(3)
        if text.startswith("hang"):
            time.sleep(30)
        if text.startswith("unknown"):
            return {"batchItemFailures": [{"itemIdentifier": "1"}]}
        if text.startswith("report"):
            return {"batchItemFailures": [{"itemIdentifier": number}]}
        if text.startswith("once") and not os.path.exists(calls + text):
            open(calls + text, "w").close()
            return {"batchItemFailures": [{"itemIdentifier": number}]}
    return {"batchItemFailures": []}
"""


Client = Callable[[str], Any]


@dataclass
class Sandbox:
    """The resources of a test."""

    emulator: Emulator
    client: Client
    name: str
    """The name of the stream, topic, queue, and bucket."""
    function: str
    """The name of the function and of its role."""
    calls_file: Path
    stream_arn: str
    queue_url: str
    topic_arn: str
    queue_arn: str

    def create_mapping(self, **settings: Any) -> str:
        lambda_ = self.client("lambda")
        mapping = lambda_.create_event_source_mapping(
            FunctionName=self.function,
            EventSourceArn=self.stream_arn,
            **{
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 100,
                "MaximumBatchingWindowInSeconds": 0,
                "MaximumRetryAttempts": 1,
                "BisectBatchOnFunctionError": True,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "DestinationConfig": {"OnFailure": {"Destination": self.topic_arn}},
                **settings,
            },
        )
        return str(mapping["UUID"])

    def mapping(self, uuid: str, **arguments: Any) -> LocalEventSourceMapping:
        return LocalEventSourceMapping(
            self.emulator, mapping_uuid=uuid, **{"template_only": {}, **QUICK, **arguments}
        )

    def put(self, *data: str, key: str | None = None) -> None:
        kinesis = self.client("kinesis")
        for start in range(0, len(data), 500):
            kinesis.put_records(
                StreamARN=self.stream_arn,
                Records=[
                    {"Data": each.encode(), "PartitionKey": each if key is None else key}
                    for each in data[start : start + 500]
                ],
            )

    def calls(self) -> list[dict[str, Any]]:
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def batches(self) -> list[list[str]]:
        return [call["data"] for call in self.calls()]

    def messages(self, *, through_topic: bool = True) -> list[dict[str, Any]]:
        sqs = self.client("sqs")
        found = []
        while batch := sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in batch:
                body = json.loads(message["Body"])
                found.append(json.loads(body["Message"]) if through_topic else body)
                sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def records_of(self, info: dict[str, Any]) -> list[str]:
        """Read the records of a failure record from the stream."""
        kinesis = self.client("kinesis")
        iterator = kinesis.get_shard_iterator(
            StreamARN=info["streamArn"],
            ShardId=info["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=info["startSequenceNumber"],
        )["ShardIterator"]
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        last = int(info["endSequenceNumber"])
        return [r["Data"].decode() for r in records if int(r["SequenceNumber"]) <= last]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Client:
    return functools.cache(emulator.client)


@pytest.fixture(scope="module")
def shared_function(client: Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A function that stays warm between tests."""
    calls = tmp_path_factory.mktemp("calls")
    _create_function(client, "esm-shared", calls, names="esm-*")
    return "esm-shared", calls


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"esm-{zlib.crc32(request.node.nodeid.encode())}"


@pytest.fixture
def sandbox(
    emulator: Emulator, client: Client, shared_function: tuple[str, Path], name: str
) -> Sandbox:
    function, calls = shared_function
    return _create_sandbox(emulator, client, name, function, calls)


@pytest.fixture
def sandbox_with_own_function(
    emulator: Emulator, client: Client, tmp_path: Path, name: str
) -> Sandbox:
    _create_function(client, name, tmp_path, names=name)
    return _create_sandbox(emulator, client, name, name, tmp_path)


def _create_sandbox(
    emulator: Emulator, client: Client, name: str, function: str, calls: Path
) -> Sandbox:
    topic_arn = client("sns").create_topic(Name=name)["TopicArn"]
    sqs = client("sqs")
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    may_send = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
    }
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": _policy(may_send)})
    client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)
    client("s3").create_bucket(Bucket=name)
    client("kinesis").create_stream(StreamName=name, ShardCount=1)
    stream_arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"
    return Sandbox(
        emulator, client, name, function, calls / name, stream_arn, queue_url, topic_arn, queue_arn
    )


def _create_function(client: Client, name: str, calls: Path, *, names: str) -> None:
    """Create a function and a role with the documented permissions."""
    iam = client("iam")
    principal = {"Service": "lambda.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]
    statements = [
        _allow(
            f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{names}",
            "kinesis:ListShards",
            "kinesis:GetShardIterator",
            "kinesis:GetRecords",
        ),
        _allow(f"arn:aws:sns:{REGION}:{ACCOUNT}:{names}", "sns:Publish"),
        _allow(f"arn:aws:sqs:{REGION}:{ACCOUNT}:{names}", "sqs:SendMessage"),
        _allow(f"arn:aws:s3:::{names}", "s3:ListBucket"),
        _allow(f"arn:aws:s3:::{names}/aws/lambda/*", "s3:PutObject"),
    ]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=_policy(*statements))
    client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="index.handler",
        Role=role["Arn"],
        Timeout=5,
        Code={"ZipFile": _zipped(FUNCTION)},
        Environment={"Variables": {"CALLS": str(calls)}},
    )


def _allow(resource: str, *actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _zipped(code: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", code)
    return buffer.getvalue()


def eventually(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_every_record_is_processed_or_on_the_failure_destination(
    sandbox_with_own_function: Sandbox,
) -> None:
    sandbox = sandbox_with_own_function
    uuid = sandbox.create_mapping(ParallelizationFactor=2)
    good = [f"good-{n}" for n in range(60)]
    bad = ["poison-1", "crash-1", "report-1"]
    with sandbox.mapping(uuid, template_only=EVENT_COUNT) as mapping:
        sandbox.put(*good[:20], "poison-1", *good[20:40], "once-1", "crash-1", *good[40:])
        assert mapping.wait_until_idle(PATIENCE)
        sandbox.put("report-1", key="alone")
        assert mapping.wait_until_idle(PATIENCE)
        assert mapping.undelivered == []
        totals = mapping.totals
    messages = sandbox.messages()
    for message in messages:
        assert message["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert message["requestContext"]["functionArn"].endswith(sandbox.name)
        assert message["KinesisBatchInfo"]["batchSize"] == 1
    failed = [text for each in messages for text in sandbox.records_of(each["KinesisBatchInfo"])]
    assert sorted(failed) == sorted(bad)

    # After a partial failure, the records from the checkpoint on are not processed.
    processed = []
    for batch in sandbox.batches():
        stopped = [i for i, text in enumerate(batch) if not text.startswith(("good", "once"))]
        processed += batch if not stopped else []
    assert set(good) | {"once-1"} <= set(processed)

    errors = {m["KinesisBatchInfo"]["startSequenceNumber"]: m["responseContext"] for m in messages}
    assert sorted(str(each["functionError"]) for each in errors.values()) == [
        "None",
        "Unhandled",
        "Unhandled",
    ]
    assert totals["PolledEventCount"] == 64
    assert totals["OnFailureDestinationDeliveredEventCount"] == 3
    assert _sum(sandbox, "OnFailureDestinationDeliveredEventCount", uuid=uuid) == 3
    assert _sum(sandbox, "PolledEventCount", uuid=uuid) == 64
    assert _sum(sandbox, "FailedInvokeEventCount", uuid=uuid) == totals["FailedInvokeEventCount"]
    assert _sum(sandbox, "IteratorAge") == totals["IteratorAge"]
    # Only the emulator publishes these metrics.
    assert _sum(sandbox, "Invocations") == totals["Invocations"] == len(sandbox.batches())
    assert _sum(sandbox, "Errors") == totals["Errors"]


def _sum(sandbox: Sandbox, name: str, uuid: str | None = None) -> float:
    dimension = (
        {"Name": "FunctionName", "Value": sandbox.name}
        if uuid is None
        else {"Name": "EventSourceMappingUUID", "Value": uuid}
    )
    points = sandbox.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=name,
        Dimensions=[dimension],
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


def test_a_bucket_receives_the_records(sandbox: Sandbox) -> None:
    uuid = sandbox.create_mapping(
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{sandbox.name}"}}
    )
    with sandbox.mapping(uuid) as mapping:
        sandbox.put("good-1", "poison-1", "good-2", key="one")
        assert mapping.wait_until_idle(PATIENCE)
        assert mapping.undelivered == []
    s3 = sandbox.client("s3")
    (listed,) = s3.list_objects_v2(Bucket=sandbox.name)["Contents"]
    body = json.load(s3.get_object(Bucket=sandbox.name, Key=listed["Key"])["Body"])
    info = body["KinesisBatchInfo"]
    assert listed["Key"].startswith(f"aws/lambda/{uuid}/{info['shardId']}/")
    (record,) = json.loads(body["payload"])["Records"]
    assert base64.b64decode(record["kinesis"]["data"]) == b"poison-1"
    (delivered,) = [
        each
        for call in sandbox.calls()
        for each in call["event"]["Records"][:1]
        if call["data"] == ["poison-1"]
    ][:1]
    assert record == delivered
    assert _sum(sandbox, "OnFailureDestinationDeliveredEventCount", uuid=uuid) == 0


def test_a_queue_receives_the_failure_record_without_an_envelope(sandbox: Sandbox) -> None:
    uuid = sandbox.create_mapping(
        MaximumRetryAttempts=0,
        BisectBatchOnFunctionError=False,
        DestinationConfig={"OnFailure": {"Destination": sandbox.queue_arn}},
    )
    with sandbox.mapping(uuid) as mapping:
        sandbox.put("good-1", "unknown-1", "good-2", key="one")
        assert mapping.wait_until_idle(PATIENCE)
    (message,) = sandbox.messages(through_topic=False)
    # An unknown identifier fails the whole batch.
    assert sandbox.records_of(message["KinesisBatchInfo"]) == ["good-1", "unknown-1", "good-2"]
    assert message["requestContext"]["approximateInvokeCount"] == 1


def test_a_timeout_is_a_function_error(sandbox: Sandbox) -> None:
    uuid = sandbox.create_mapping(MaximumRetryAttempts=0)
    with sandbox.mapping(uuid) as mapping:
        sandbox.put("hang-1", key="one")
        assert mapping.wait_until_idle(PATIENCE)
        assert mapping.totals["Errors"] == 1
    (message,) = sandbox.messages()
    assert message["responseContext"]["functionError"] == "Unhandled"


def test_throttling_uses_no_retries(
    sandbox_with_own_function: Sandbox,
) -> None:
    sandbox = sandbox_with_own_function
    uuid = sandbox.create_mapping(MaximumRetryAttempts=0)
    lambda_ = sandbox.client("lambda")
    lambda_.put_function_concurrency(FunctionName=sandbox.name, ReservedConcurrentExecutions=0)
    with sandbox.mapping(uuid) as mapping:
        sandbox.put("good-1")
        assert eventually(lambda: mapping.totals.get("Throttles", 0) >= 3)
        assert sandbox.batches() == []
        lambda_.delete_function_concurrency(FunctionName=sandbox.name)
        assert mapping.wait_until_idle(PATIENCE)
    assert sandbox.batches() == [["good-1"]]
    assert sandbox.messages() == []


def test_a_delivery_failure_because_of_missing_permissions_is_counted_and_kept(
    sandbox_with_own_function: Sandbox,
) -> None:
    sandbox = sandbox_with_own_function
    uuid = sandbox.create_mapping(MaximumRetryAttempts=0)
    iam = sandbox.client("iam")
    policy = _policy(_allow(sandbox.stream_arn, "kinesis:*"))
    iam.put_role_policy(RoleName=sandbox.function, PolicyName="p", PolicyDocument=policy)
    with sandbox.mapping(uuid, template_only=EVENT_COUNT) as mapping:
        sandbox.put("poison-1")
        assert mapping.wait_until_idle(PATIENCE)
        assert mapping.totals["DestinationDeliveryFailures"] == 1
        assert mapping.totals["DroppedEventCount"] == 1
        (failure,) = mapping.undelivered
    assert sandbox.records_of(failure.document()["KinesisBatchInfo"]) == ["poison-1"]
    assert sandbox.messages() == []
    assert _sum(sandbox, "DestinationDeliveryFailures") == 1


def test_the_emulator_is_paused_and_can_be_resumed(sandbox: Sandbox) -> None:
    uuid = sandbox.create_mapping()
    lambda_ = sandbox.client("lambda")

    def state() -> str:
        return str(lambda_.get_event_source_mapping(UUID=uuid)["State"])

    with sandbox.mapping(uuid) as mapping:
        assert state() == "Disabled"
        sandbox.put(*(f"good-{n}" for n in range(10)))
        assert mapping.wait_until_idle(PATIENCE)
    assert state() == "Disabled"
    # An active poller of the emulator would have delivered the records twice.
    delivered = [text for batch in sandbox.batches() for text in batch]
    assert sorted(delivered) == sorted(f"good-{n}" for n in range(10))
    assert lambda_.get_event_source_mapping(UUID=uuid)["LastProcessingResult"].startswith("No ")

    with pytest.raises(UnsupportedMappingError):
        sandbox.mapping(uuid).start()
    with sandbox.mapping(
        uuid, allow_disabled=True, resume_emulator=True, checkpoints=mapping.checkpoints
    ) as following:
        assert following.wait_until_idle(PATIENCE)
        assert following.totals["PolledEventCount"] == 0
    assert state() == "Enabled"


def test_a_stopped_mapping_continues_from_its_checkpoints(sandbox: Sandbox) -> None:
    uuid = sandbox.create_mapping()
    mapping = sandbox.mapping(uuid)
    for round_ in range(2):
        mapping.start()
        with pytest.raises(RuntimeError):
            mapping.start()
        sandbox.put(f"good-{round_}", key="one")
        assert mapping.wait_until_idle(PATIENCE)
        mapping.stop()
        mapping.stop()
        sandbox.put(f"between-{round_}", key="one")
    with mapping:
        assert mapping.wait_until_idle(PATIENCE)
    texts = [text for batch in sandbox.batches() for text in batch]
    assert texts == ["good-0", "between-0", "good-1", "between-1"]


def test_children_of_a_split_shard_are_read(sandbox: Sandbox) -> None:
    uuid = sandbox.create_mapping()
    kinesis = sandbox.client("kinesis")
    with sandbox.mapping(uuid) as mapping:
        sandbox.put(*(f"good-{n}" for n in range(20)))
        assert mapping.wait_until_idle(PATIENCE)  # the emulator deletes a parent with its records
        shard = kinesis.list_shards(StreamARN=sandbox.stream_arn)["Shards"][0]
        edges = shard["HashKeyRange"]
        middle = (int(edges["StartingHashKey"]) + int(edges["EndingHashKey"])) // 2
        kinesis.split_shard(
            StreamARN=sandbox.stream_arn,
            ShardToSplit=shard["ShardId"],
            NewStartingHashKey=str(middle),
        )
        sandbox.put(*(f"good-{n}" for n in range(20, 60)))
        assert mapping.wait_until_idle(PATIENCE)
        kinesis.update_shard_count(
            StreamARN=sandbox.stream_arn, TargetShardCount=2, ScalingType="UNIFORM_SCALING"
        )
        sandbox.put(*(f"good-{n}" for n in range(60, 90)))
        assert mapping.wait_until_idle(PATIENCE)
    delivered = [text for batch in sandbox.batches() for text in batch]
    assert sorted(delivered) == sorted(f"good-{n}" for n in range(90))


def test_settings_that_the_api_omits_come_from_the_stack(
    sandbox_with_own_function: Sandbox,
) -> None:
    sandbox = sandbox_with_own_function
    template = {
        "Resources": {
            "Mapping": {
                "Type": "AWS::Lambda::EventSourceMapping",
                "Properties": {
                    "FunctionName": sandbox.name,
                    "EventSourceArn": sandbox.stream_arn,
                    "StartingPosition": "TRIM_HORIZON",
                    "MaximumRetryAttempts": 3,
                    "BisectBatchOnFunctionError": True,
                    "MetricsConfig": {"Metrics": ["EventCount"]},
                },
            }
        }
    }
    cloudformation = sandbox.client("cloudformation")
    cloudformation.create_stack(StackName=sandbox.name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=sandbox.name, WaiterConfig={"Delay": 1}
    )
    with LocalEventSourceMapping(sandbox.emulator, function_name=sandbox.name, **QUICK) as mapping:
        assert mapping.configuration.event_count_metrics
        assert mapping.configuration.rules.maximum_retry_attempts == 3
        assert mapping.configuration.rules.bisect


def test_latest_starts_with_new_records(sandbox: Sandbox) -> None:
    sandbox.put("old", key="one")
    time.sleep(0.01)
    uuid = sandbox.create_mapping(StartingPosition="LATEST")
    with sandbox.mapping(uuid) as mapping:
        sandbox.put("good-1", key="one")
        assert mapping.wait_until_idle(PATIENCE)
    assert sandbox.batches() == [["good-1"]]


def test_a_mapping_must_be_specified(emulator: Emulator) -> None:
    with pytest.raises(ValueError):
        LocalEventSourceMapping(emulator)
    with pytest.raises(ValueError):
        LocalEventSourceMapping(emulator, function_name="f", mapping_uuid="m")
