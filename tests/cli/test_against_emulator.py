"""The command against another implementation of SQS, SNS, Kinesis, S3 and Lambda, on 127.0.0.1."""

from __future__ import annotations

import io
import json
import re
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.cli.main import main
from iot_constructs.local.emulator import ACCOUNT, Emulator, running_emulator

from .aws_fakes import (
    OnShard,
    async_failure,
    event_record,
    failed_batch,
    rejected,
    rule_error,
    stored_batch,
)

SHARD = "shardId-000000000000"
# AWS requires the permission of the single-message call (AWSSimpleQueueService sqs-api-permissions-reference.html).
ASKED_BY_EMULATOR = ["sqs:DeleteMessageBatch", "sqs:ChangeMessageVisibilityBatch"]
RUNBOOK = Path(__file__).parents[2] / "docs" / "redrive.md"
# It stores its records in the bucket, and fails on request.
FUNCTION = """
import base64, json, os, uuid
import boto3

s3 = boto3.client("s3")

def handler(event, context):
    failures = []
    for record in event.get("Records", []):
        data = base64.b64decode(record["kinesis"]["data"])
        if data == b"fails":
            failures.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
            break
        key = "stored/" + str(uuid.uuid4())
        s3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=data)
    if event.get("crash"):
        raise RuntimeError("told to")
    return {"batchItemFailures": failures}
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running


def statement(**fields: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **fields}]})


def allowing(service: str, action: str, resource: str) -> str:
    principal = {"Service": f"{service}.amazonaws.com"}
    return statement(Principal=principal, Action=action, Resource=resource)


@dataclass
class Pipeline:
    """A stream, a bucket, and a DLQ topic with its queue; all that a redrive needs."""

    emulator: Emulator
    name: str
    topic: str = ""
    queue_url: str = ""
    behind: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = self.emulator.client
        self.kinesis, self.s3, self.sns = client("kinesis"), client("s3"), client("sns")
        self.sqs, self.function = client("sqs"), client("lambda")
        self.kinesis.create_stream(StreamName=self.name, ShardCount=1)
        self.s3.create_bucket(Bucket=self.name)
        self.topic = self.sns.create_topic(Name=self.name)["TopicArn"]
        self.queue_url = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        queue = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])
        queue_arn = queue["Attributes"]["QueueArn"]
        self.sqs.set_queue_attributes(
            QueueUrl=self.queue_url,
            Attributes={"Policy": allowing("sns", "sqs:SendMessage", queue_arn)},
        )
        self.sns.set_topic_attributes(
            TopicArn=self.topic,
            AttributeName="Policy",
            AttributeValue=allowing("s3", "sns:Publish", self.topic),
        )
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue_arn)
        self.stream_arn = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{self.name}"

    def accept(self, *contents: tuple[str, bytes]) -> list[OnShard]:
        """Records that the stream took and the processor did not store."""
        self.behind += contents
        accepted = []
        for key, data in contents:
            answer = self.kinesis.put_record(StreamName=self.name, PartitionKey=key, Data=data)
            accepted.append(OnShard(answer["SequenceNumber"], key, data, time.time()))
        return accepted

    def publish(self, message: dict[str, Any]) -> None:
        text = json.dumps(message).replace(
            "arn:aws:kinesis:eu-central-1:123456789012:stream/iot-sensor-data-stream-dev",
            self.stream_arn,
        )
        self.sns.publish(TopicArn=self.topic, Message=text)

    def on_stream(self) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        for shard in self.kinesis.list_shards(StreamName=self.name)["Shards"]:
            iterator = self.kinesis.get_shard_iterator(
                StreamName=self.name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            records = self.kinesis.get_records(ShardIterator=iterator)["Records"]
            found += [(record["PartitionKey"], record["Data"]) for record in records]
        return found

    def stored(self) -> list[bytes]:
        listed = self.s3.list_objects_v2(Bucket=self.name, Prefix="stored/")
        return [
            self.s3.get_object(Bucket=self.name, Key=each["Key"])["Body"].read()
            for each in listed.get("Contents", [])
        ]

    def waiting(self) -> int:
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])

    def wait_for_messages(self, count: int) -> None:
        give_up = time.monotonic() + 20
        while self.waiting() < count:
            assert time.monotonic() < give_up, f"{self.waiting()} of {count} messages came"
            time.sleep(0.05)

    def create_function(self) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("handler.py", FUNCTION)
        role = self.emulator.client("iam").create_role(
            RoleName=self.name, AssumeRolePolicyDocument="{}"
        )["Role"]["Arn"]
        self.emulator.client("iam").put_role_policy(
            RoleName=self.name,
            PolicyName="store",
            PolicyDocument=statement(
                Action="s3:PutObject", Resource=f"arn:aws:s3:::{self.name}/stored/*"
            ),
        )
        self.function.create_function(
            FunctionName=self.name,
            Runtime="python3.13",
            Role=role,
            Handler="handler.handler",
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": {"BUCKET": self.name}},
        )


@pytest.fixture
def pipeline(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return Pipeline(emulator, f"redrive-{uuid.uuid4().hex[:8]}")


Command = Callable[..., tuple[int, Any]]


def documented_permissions() -> list[str]:
    """The permissions in docs/redrive.md."""
    table = RUNBOOK.read_text().partition("## Permissions")[2]
    return sorted(set(re.findall(r"`((?:sqs|kinesis|s3|lambda|kms):[A-Za-z]+)`", table)))


@pytest.fixture
def redrive(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command, by an operator who has the documented permissions and no others."""
    iam = pipeline.emulator.client("iam")
    operator = f"operator-{pipeline.name}"
    iam.create_user(UserName=operator)
    iam.put_user_policy(
        UserName=operator,
        PolicyName="redrive",
        PolicyDocument=statement(Action=documented_permissions() + ASKED_BY_EMULATOR, Resource="*"),
    )
    key = iam.create_access_key(UserName=operator)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    def run(*options: str) -> tuple[int, Any]:
        capsys.readouterr()
        where = ["--queue-url", pipeline.queue_url, "--region", "us-east-1"]
        endpoint = ["--endpoint-url", pipeline.emulator.endpoint.url]
        code = main(["redrive", *where, *endpoint, "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def leave_one_of_each_kind(pipeline: Pipeline) -> int:
    """Fill the queue as the pipeline does; return the number of messages."""
    [refused] = pipeline.accept(("d1", b"\xff not JSON"))
    pipeline.publish(rejected(refused))
    [large] = pipeline.accept(("d2", b"large" * 1000))
    pipeline.publish(rejected(large, "none"))
    batch = pipeline.accept(*((f"d{n}", b"batch %d" % n) for n in range(12)))
    pipeline.publish(failed_batch(batch[0].sequence_number, batch[-1].sequence_number, 12))
    given_up = pipeline.accept(("d3", b"given up"), ("d3", b"given up too"))
    event = {"Records": [event_record(record) for record in given_up], "raiseOnFailure": True}
    pipeline.publish(async_failure(event))
    pipeline.behind.append(("d7", b"from the rule"))
    pipeline.publish(rule_error("device/d7/telemetry", b"from the rule"))

    # S3 sends the notification of the failed batch, and a test event when notifications are configured.
    pipeline.s3.put_bucket_notification_configuration(
        Bucket=pipeline.name,
        NotificationConfiguration={
            "TopicConfigurations": [
                {
                    "TopicArn": pipeline.topic,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "aws/"}]}},
                }
            ]
        },
    )
    stored = pipeline.accept(*((f"d{n}", b"stored %d" % n) for n in range(5)))
    day = datetime.now(timezone.utc).strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S")
    body = json.dumps(stored_batch(*stored)).replace(
        "arn:aws:kinesis:eu-central-1:123456789012:stream/iot-sensor-data-stream-dev",
        pipeline.stream_arn,
    )
    pipeline.s3.put_object(
        Bucket=pipeline.name, Key=f"aws/lambda/a+b c/{SHARD}/{day}-{uuid.uuid4()}", Body=body
    )
    pipeline.wait_for_messages(6)
    return pipeline.waiting()


def test_every_kind_comes_back_on_the_stream(pipeline: Pipeline, redrive: Command) -> None:
    messages = leave_one_of_each_kind(pipeline)
    before = Counter(pipeline.on_stream())

    code, said = redrive()
    assert code == 0
    assert said["messages"] == messages
    assert said["records_found"] == len(pipeline.behind) == 22
    assert [kept["kind"] for kept in said["kept"]] == ["rule-error"]  # without --stream
    assert pipeline.waiting() == messages
    assert Counter(pipeline.on_stream()) == before

    code, said = redrive("--stream", pipeline.name, "--execute")
    assert (code, said["kept"]) == (0, [])
    assert (said["records_found"], said["records_put"]) == (22, 22)
    assert said["messages_deleted"] == messages
    assert Counter(pipeline.on_stream()) - before == Counter(pipeline.behind)
    code, said = redrive("--stream", pipeline.stream_arn, "--execute")
    assert (code, said["messages"]) == (0, 0)
    assert Counter(pipeline.on_stream()) - before == Counter(pipeline.behind)


def test_every_kind_is_redriven_through_the_function(pipeline: Pipeline, redrive: Command) -> None:
    pipeline.create_function()
    messages = leave_one_of_each_kind(pipeline)
    pipeline.publish(async_failure({"hello": 1}))
    pipeline.publish(async_failure({"crash": True}))
    [fails] = pipeline.accept(("d9", b"fails"))
    pipeline.publish(rejected(fails))
    pipeline.publish({"some": "other message"})
    pipeline.wait_for_messages(messages + 4)

    code, said = redrive("--function", pipeline.name, "--execute")
    assert code == 1
    assert sorted(kept["kind"] for kept in said["kept"]) == [
        "async-failure",
        "rejected-record",
        "unknown",
    ]
    reasons = " ".join(kept["reason"] for kept in said["kept"])
    assert "told to" in reasons
    assert "the function reported 1 batch item failures" in reasons
    assert said["messages_deleted"] == messages + 1
    assert pipeline.waiting() == 3
    expected = Counter(data for _, data in pipeline.behind)
    assert Counter(pipeline.stored()) == expected - Counter([b"fails"])


def test_what_the_stream_no_longer_has_is_kept(pipeline: Pipeline, redrive: Command) -> None:
    [first, last] = pipeline.accept(("d1", b"1"), ("d2", b"2"))
    missing = str(int(first.sequence_number) - 1).zfill(len(first.sequence_number))
    pipeline.publish(failed_batch(missing, last.sequence_number, 3))
    gone = failed_batch(first.sequence_number, last.sequence_number, 2, "shardId-000000000009")
    pipeline.publish(gone)
    pipeline.wait_for_messages(2)
    code, said = redrive("--execute")
    assert code == 1
    # Of the second message it is not known: its shard was not read.
    assert (said["out_of_retention"], said["records_put"]) == (1, 2)
    assert len(said["kept"]) == pipeline.waiting() == 2
    assert sum("could not read" in kept["reason"] for kept in said["kept"]) == 1
