"""The services that a contract test calls: the models of the simulation, and the emulator with boto3."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import pytest

from iot_constructs.local.emulator import ACCOUNT, REGION, Emulator, running_emulator
from iot_constructs.testing.dynamodb import DynamoDB
from iot_constructs.testing.faults import FaultPlan
from iot_constructs.testing.history import History
from iot_constructs.testing.kinesis import Kinesis
from iot_constructs.testing.lambda_functions import Environment, Function, Handler
from iot_constructs.testing.processes import World
from iot_constructs.testing.s3 import S3
from iot_constructs.testing.scheduler import Scheduler
from iot_constructs.testing.sns_sqs import SNS, SQS

# Returns the event, raises, or waits.
FUNCTION = """
import time

def handler(event, context):
    if "raise" in event:
        raise ValueError(event["raise"])
    time.sleep(event.get("sleep", 0))
    return {"event": event, "ms": context.get_remaining_time_in_millis()}
"""
TIMEOUT_SECONDS = 1
TRUST = '{"Version": "2012-10-17", "Statement": []}'


class Services:
    """Clients with the methods of boto3, and the names of what exists."""

    def __init__(self) -> None:
        self.name = f"contract-{uuid.uuid4().hex[:8]}"
        self.series = f"{self.name}-series"
        """A table with the partition key deviceId and the sort key timestamp."""
        self.state = f"{self.name}-state"
        """A table with the partition key deviceId."""
        self.stream_arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{self.name}"
        self.topic_arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:{self.name}"
        self.queue_url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{self.name}"
        self.dynamodb: Any
        self.kinesis: Any
        """A stream with one shard."""
        self.sqs: Any
        """An empty queue."""
        self.sns: Any
        """A topic, to which the queue is subscribed."""
        self.s3: Any
        """A bucket that notifies the queue."""
        self.function: Any

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return the items of a table."""
        raise NotImplementedError


class Models(Services):
    """The models of the simulation. Time passes only if a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(1)
        self.dynamodb = DynamoDB()
        self.dynamodb.create_table(self.series, "deviceId", "timestamp")
        self.dynamodb.create_table(self.state, "deviceId")
        self.kinesis = Kinesis(self.scheduler, self.stream_arn)
        self.sqs = SQS(self.scheduler, self.queue_url)
        self.sns = SNS(self.scheduler, self.topic_arn, self.sqs)
        self.s3 = S3(self.name, self.sqs.send)
        world = World(self.scheduler, FaultPlan(1, ()), History())
        self.lambda_function = Function(
            world, self.name, create_handler, timeout_seconds=TIMEOUT_SECONDS
        )
        self.function = SimpleNamespace(invoke=self._invoke)

    def _invoke(self, **request: Any) -> dict[str, Any]:
        return self.scheduler.run(lambda: self.lambda_function.invoke(**request))

    def items(self, table: str) -> list[dict[str, Any]]:
        return list(self.dynamodb.tables[table].items.values())


def create_handler(environment: Environment) -> Handler:
    """Return the handler of FUNCTION, for which only virtual time passes."""
    module: dict[str, Any] = {}
    exec(FUNCTION, module)
    module["time"] = SimpleNamespace(sleep=environment.sleep)
    handler: Handler = module["handler"]
    return handler


class EmulatedServices(Services):
    """The emulator. What a test needs is created when the test uses it."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        super().__init__()
        self._client = client

    @cached_property
    def dynamodb(self) -> Any:
        dynamodb = self._client("dynamodb")
        keys = {"deviceId": ("HASH", "S"), "timestamp": ("RANGE", "N")}
        for table, names in ((self.series, list(keys)), (self.state, ["deviceId"])):
            dynamodb.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": n, "KeyType": keys[n][0]} for n in names],
                AttributeDefinitions=[
                    {"AttributeName": n, "AttributeType": keys[n][1]} for n in names
                ],
            )
        return dynamodb

    def items(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.dynamodb.scan(TableName=table)["Items"]
        return found

    @cached_property
    def kinesis(self) -> Any:
        kinesis = self._client("kinesis")
        kinesis.create_stream(StreamName=self.name, ShardCount=1)
        return kinesis

    @cached_property
    def sqs(self) -> Any:
        sqs = self._client("sqs")
        self.queue_url = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        return sqs

    @cached_property
    def _queue_arn(self) -> str:
        self.sqs.set_queue_attributes(
            QueueUrl=self.queue_url,
            Attributes={
                "Policy": '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
                '"Principal": {"Service": ["sns.amazonaws.com", "s3.amazonaws.com"]}, '
                '"Action": "sqs:SendMessage", "Resource": "*"}]}'
            },
        )
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"

    @cached_property
    def sns(self) -> Any:
        sns = self._client("sns")
        sns.create_topic(Name=self.name)
        sns.subscribe(TopicArn=self.topic_arn, Protocol="sqs", Endpoint=self._queue_arn)
        return sns

    @cached_property
    def s3(self) -> Any:
        s3 = self._client("s3")
        s3.create_bucket(Bucket=self.name)
        to_queue = {"QueueArn": self._queue_arn, "Events": ["s3:ObjectCreated:*"]}
        s3.put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration={"QueueConfigurations": [to_queue]}
        )
        return s3

    @cached_property
    def function(self) -> Any:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("function.py", FUNCTION)
        role = self._client("iam").create_role(RoleName=self.name, AssumeRolePolicyDocument=TRUST)
        lambda_ = self._client("lambda")
        lambda_.create_function(
            FunctionName=self.name,
            Runtime="python3.13",
            Role=role["Role"]["Arn"],
            Handler="function.handler",
            Timeout=TIMEOUT_SECONDS,
            Code={"ZipFile": archive.getvalue()},
        )
        return lambda_


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture(params=["model", "emulator"])
def services(request: pytest.FixtureRequest) -> Services:
    if request.param == "model":
        return Models()
    running: Emulator = request.getfixturevalue("emulator")
    return EmulatedServices(running.client)
