"""Stand-ins for the services and the stacks that ``verify`` looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from iot_constructs.cli.progress import Progress
from iot_constructs.cli.verification import parts
from iot_constructs.cli.verification.findings import Finding, Status
from iot_constructs.cli.verification.messages import Archive, MarkedMessages, Route
from iot_constructs.cli.verification.stacks import Deployed, Resource, Stack

from .aws_fakes import ACCOUNT, NOW, QUEUE_URL, Calls, Clock, FakeSQS, OnShard, rejected

REGION = "eu-central-1"
DEVICE = "iot-constructs-verify-0123456789ab"
BAD = f"{DEVICE}/not-a-reading".encode()
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"


class Service:
    """A client whose calls return the given responses, or raise the given errors."""

    def __init__(self, **responses: Any) -> None:
        self.responses = responses
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.meta = self
        self.region_name = REGION
        self.endpoint_url = "https://127.0.0.1"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self.calls.append((name, request))
            response = self.responses[name]
            response = response(**request) if callable(response) else response
            if isinstance(response, BaseException):
                raise response
            return response

        return call

    def get_paginator(self, name: str) -> Any:
        service = self

        class Paginator:
            def paginate(self, **request: Any) -> Iterator[Any]:
                yield getattr(service, name)(**request)

        return Paginator()

    def made(self, name: str) -> list[dict[str, Any]]:
        return [request for called, request in self.calls if called == name]


class Clients:
    def __init__(self, **services: Any) -> None:
        self.services = services
        self.endpoints: list[tuple[str, str | None]] = []

    def create(self, service: str, endpoint_url: str | None = None) -> Any:
        self.endpoints.append((service, endpoint_url))
        return self.services[service.replace("-", "_").replace("lambda", "lambda_")]


def deployed(
    *resources: Resource, protected: bool = False, status: str = "CREATE_COMPLETE"
) -> Deployed:
    return Deployed((Stack("Telemetry-prod", status, protected, resources),), REGION)


def check(part: str, stacks: Deployed, **services: Any) -> list[Finding]:
    (found,) = (each for each in parts.PARTS if each.name == part)
    return list(found.verify(stacks, Clients(**services)))


def statuses(findings: list[Finding]) -> list[tuple[str, Status]]:
    return [(each.check, each.status) for each in findings]


def cloudformation(templates: dict[str, Any], exports: dict[str, str] | None = None) -> Service:
    """Return a CloudFormation whose stacks have these templates; physical ids are the logical ones in lower case."""
    types = {
        "Topic": "arn:aws:sns:eu-central-1:123456789012:topic",
        "Nested": "arn:aws:…:stack/Inner/1",
    }

    def stack(StackName: str) -> Any:  # noqa: N803
        arn = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{StackName}/1"
        return {
            "Stacks": [{"StackId": arn, "StackName": StackName, "StackStatus": "CREATE_COMPLETE"}]
        }

    def resources(StackName: str) -> Any:  # noqa: N803
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": types.get(name, name.lower()),
                    "ResourceStatus": each.get("Status", "CREATE_COMPLETE"),
                }
                for name, each in templates[StackName]["Resources"].items()
            ]
        }

    return Service(
        describe_stacks=stack,
        get_template=lambda **request: {"TemplateBody": templates[request["StackName"]]},
        list_stack_resources=resources,
        list_exports={"Exports": [{"Name": n, "Value": v} for n, v in (exports or {}).items()]},
    )


STREAM = Resource(parts.STREAM, "readings", {"RetentionPeriodHours": 168})


def table(protection: bool) -> Resource:
    replica = {"Region": REGION, "DeletionProtectionEnabled": protection}
    other = {"Region": "eu-west-1", "DeletionProtectionEnabled": not protection}
    keys = [{"AttributeName": name} for name in parts.TIME_SERIES_KEYS]
    return Resource(parts.TABLES[0], "metrics", {"KeySchema": keys, "Replicas": [other, replica]})


ALERTS = Resource(parts.TOPIC, TOPIC, {})
ALARM = Resource(
    parts.ALARM,
    "errors",
    {
        "Threshold": 1,
        "AlarmActions": [ALERTS.reference],
        "Metrics": [{"Id": "m", "Expression": "a/b"}],
    },
)


def alarm(**changes: Any) -> dict[str, Any]:
    found = {"AlarmName": "errors", "StateValue": "OK", "ActionsEnabled": True, "Threshold": 1.0}
    metrics = [{"Id": "m", "Expression": "a/b", "ReturnData": True}]
    return {"MetricAlarms": [{**found, "AlarmActions": [TOPIC], "Metrics": metrics, **changes}]}


ROUTE = Route(
    rule="telemetry",
    topic=f"device/{DEVICE}/telemetry",
    stream="readings",
    key_is_device_id=True,
    mapping="m",
    time_series="metrics",
    device_state="state",
    queue_url=QUEUE_URL,
    archive=Archive("delivery", "archive", "telemetry/", 300, None),
)


class Table:
    """A table with the items of one key attribute."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def query(self, **request: Any) -> dict[str, Any]:
        device = request["ExpressionAttributeValues"][":device"]
        assert request["KeyConditionExpression"] == "deviceId = :device"
        return {"Items": [each for each in self.items if each["deviceId"] == device]}


class World:
    """What a run of messages needs, with the messages already where they go."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sqs = FakeSQS(Calls(self.clock))
        self.tables = {"metrics": Table(), "state": Table()}
        self.published: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.dynamodb = Service(
            query=lambda **request: self.tables[request["TableName"]].query(**request),
            delete_item=self._delete,
        )
        self.iot_data = Service(publish=self._publish)
        self.kinesis = Service(
            list_shards={"Shards": shards(2)},
            get_shard_iterator=lambda **request: {"ShardIterator": request["ShardId"]},
            get_records=lambda **request: {
                "Records": self.records,
                "NextShardIterator": request["ShardIterator"],
            },
        )
        self.lambda_ = Service(get_event_source_mapping={"LastProcessingResult": "OK"})

    def _publish(self, **request: Any) -> dict[str, Any]:
        self.published.append(request)
        number = str(len(self.published))
        self.records.append({"Data": request["payload"], "SequenceNumber": number})
        return {}

    def _delete(self, TableName: str, Key: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        items = self.tables[TableName].items
        items[:] = [each for each in items if any(each[name] != Key[name] for name in Key)]
        return {}

    def process(self, device: str = DEVICE) -> None:
        """Store three readings and dead-letter the bad message."""
        name = {"deviceId": {"S": device}}
        self.tables["metrics"].items += [{**name, "timestamp": {"N": str(n)}} for n in range(3)]
        self.tables["state"].items.append(name)
        self.sqs.add(
            rejected(OnShard("4", device, BAD.replace(DEVICE.encode(), device.encode()), NOW))
        )

    def run(self, extra: dict[str, Any] | None = None, **changes: Any) -> MarkedMessages:
        clients = Clients(
            sqs=self.sqs,
            dynamodb=self.dynamodb,
            iot_data=self.iot_data,
            kinesis=self.kinesis,
            lambda_=self.lambda_,
        )
        route = replace(ROUTE, archive=None, **changes)
        return MarkedMessages(
            clients, route, DEVICE, extra or {}, clock=self.clock, sleep=self.clock.sleep
        )


def shards(count: int) -> list[dict[str, Any]]:
    size = 2**128 // count
    return [
        {
            "ShardId": f"shard-{n}",
            "HashKeyRange": {
                "StartingHashKey": str(n * size),
                "EndingHashKey": str((n + 1) * size - 1),
            },
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }
        for n in range(count)
    ]


class Quiet:
    def write(self, text: str, /) -> None:
        pass

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def progress() -> Progress:
    return Progress(Quiet(), 0)
