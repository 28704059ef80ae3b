"""What `simulate` does with a handler's code, its clients, its time, and its arguments."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
import botocore.session
import pytest
from aws_cdk import assertions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.handlers import BUILTIN_HANDLERS

from iot_constructs.local.mapping_configuration import UnsupportedMappingError
from iot_constructs.testing import Effects, Kind, Rate, Report, simulate
from iot_constructs.testing.scheduler import START
from iot_constructs.testing.template import read_template
from tests.synth_support import unvalidated_app

HANDLERS = Path(__file__).with_name("handlers")
ROOT = Path(__file__).resolve().parents[2]
SERIES = {"readings": ("deviceId", "timestamp")}
REDELIVERED = Rate("mapping.invoke", Kind.NO_RESPONSE, 0.5)


def readings(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for record in event["Records"]:
        yield json.loads(base64.b64decode(record["kinesis"]["data"]))


def swallows(**settings: Any) -> Report:
    return simulate(
        "swallows.handler",
        code=HANDLERS,
        environment={"TABLE": "readings"},
        tables=SERIES,
        **settings,
    )


# --- the same history


_FINGERPRINT = """
from tests.testing.test_simulate import swallows
print(swallows(seed=3, records=40).runs[0].history.fingerprint())
"""


def test_a_seed_is_the_same_history_in_two_processes() -> None:
    def fingerprint(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", _FINGERPRINT],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
        ).stdout.strip()

    first = fingerprint("1")
    assert first == fingerprint("2")
    assert first == swallows(seed=3, records=40).runs[0].history.fingerprint()
    assert first != swallows(seed=4, records=40).runs[0].history.fingerprint()


# --- the handler's code


def folder_with(path: Path, text: str) -> Path:
    (path / "app.py").write_text(textwrap.dedent(text))
    return path


def test_each_environment_has_its_own_modules(tmp_path: Path) -> None:
    (tmp_path / "counter.py").write_text("calls = 0\n")
    folder_with(
        tmp_path,
        """
        import counter

        def handler(event, context):
            import boto3, counter as again
            assert again is counter  # after other environments ran
            counter.calls += 1
            boto3.client("dynamodb").put_item(
                TableName="t", Item={"pk": {"S": context.aws_request_id}, "n": {"N": str(counter.calls)}}
            )
            assert again is counter
        """,
    )
    run = simulate(
        "app.handler",
        code=tmp_path,
        tables={"t": "pk"},
        faults=[Rate("function.put_item", Kind.CRASH_AFTER, 0.2)],
        shards=4,
        seed=1,
    ).runs[0]
    assert run.error == ""
    assert run.cold_starts > 2
    assert run.cold_starts == sum(item["n"] == 1 for item in run.items["t"])
    assert max(item["n"] for item in run.items["t"]) > 1
    assert "app" not in sys.modules
    assert "counter" not in sys.modules
    assert str(tmp_path) not in sys.path


def test_the_modules_of_the_caller_are_restored(tmp_path: Path) -> None:
    folder_with(tmp_path, "def handler(event, context): pass")
    mine = sys.modules["app"] = type(sys)("app")
    try:
        simulate("app.handler", code=tmp_path, records=1)
        assert sys.modules["app"] is mine
    finally:
        del sys.modules["app"]


def test_a_wrong_handler_is_an_error_of_the_caller(tmp_path: Path) -> None:
    folder_with(tmp_path, "import nothing_like_this")
    with pytest.raises(ModuleNotFoundError, match="nothing_like_this"):
        simulate("app.handler", code=tmp_path)
    with pytest.raises(ValueError, match=r"module\.function"):
        simulate("handler", code=tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        simulate("app.handler", code=tmp_path / "none")


def test_a_response_that_is_not_json_is_a_function_error(tmp_path: Path) -> None:
    folder_with(tmp_path, "def handler(event, context): return {1, 2}")
    report = simulate("app.handler", code=tmp_path, records=3, faults=())
    assert len(report.stuck) == 3
    assert "not JSON serializable" in report.runs[0].error


def test_the_context_is_that_of_lambda() -> None:
    seen: dict[str, Any] = {}

    def handler(event: Any, context: Any) -> None:
        before = context.get_remaining_time_in_millis()
        time.sleep(0.5)
        seen.update(
            name=context.function_name,
            arn=context.invoked_function_arn,
            memory=context.memory_limit_in_mb,
            request=context.aws_request_id,
            passed=before - context.get_remaining_time_in_millis(),
            limit=before,
        )

    simulate(handler, records=1, faults=(), timeout=2)
    assert seen["arn"].endswith(f":function:{seen['name']}")
    assert seen["passed"] == 500
    assert 1000 < seen["limit"] <= 2000
    assert (seen["memory"], seen["request"]) == ("128", "request-000001")


# --- time


def test_time_is_virtual_for_the_handler_and_real_afterwards() -> None:
    seen: list[float] = []

    def handler(event: Any, context: Any) -> None:
        arrival = event["Records"][0]["kinesis"]["approximateArrivalTimestamp"]
        now = datetime.now(tz=timezone.utc).timestamp()
        before = time.time()
        time.sleep(1.5)
        seen.extend([before - arrival, now - before, time.time() - before])

    sleep = time.sleep
    simulate(handler, records=1, faults=())
    assert 0 <= seen[0] < 10
    assert seen[1] == pytest.approx(0, abs=0.001)
    assert seen[2] == pytest.approx(1.5)
    assert time.sleep is sleep
    assert time.time() < START or time.time() > START + 86_400


def test_a_handler_that_sleeps_too_long_times_out() -> None:
    report = simulate(lambda event, context: time.sleep(4), records=2, faults=(), timeout=3)
    assert len(report.stuck) == 2
    assert any("timed out" in line for line in report.stuck[0].history)


def test_random_numbers_are_those_of_the_seed() -> None:
    seen: list[float] = []
    state = random.getstate()
    for _ in range(2):
        simulate(lambda event, context: seen.append(random.random()), records=1, faults=())
    assert seen[0] == seen[1]
    assert random.getstate() == state


# --- clients


def test_clients_of_every_session_are_simulated() -> None:
    sessions = {
        "default": lambda: boto3.client("dynamodb"),
        "boto3": lambda: boto3.Session().client("dynamodb"),
        "botocore": lambda: botocore.session.get_session().create_client("dynamodb"),
    }
    for create in sessions.values():

        def handler(event: Any, context: Any, create: Any = create) -> None:
            for reading in readings(event):
                with pytest.raises(ClientError, match="injected"):
                    create().put_item(TableName="t", Item={"pk": {"S": reading["id"]}})

        always = [Rate("function.put_item", Kind.ERROR, 1.0)]
        report = simulate(handler, records=1, faults=always, tables={"t": "pk"})
        assert len(report.lost) == 1
        assert report.runs[0].items == {"t": []}


def test_the_process_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    environment, handlers, default = dict(os.environ), list(BUILTIN_HANDLERS), boto3.DEFAULT_SESSION
    seen: dict[str, str] = {}
    simulate(lambda event, context: seen.update(os.environ), records=1, environment={"MINE": "1"})
    assert seen["MINE"] == "1"
    assert "AWS_PROFILE" not in seen
    assert dict(os.environ) == environment
    assert [each for each in BUILTIN_HANDLERS if each not in handlers] == []
    assert boto3.DEFAULT_SESSION is default


def test_a_modeled_exception_can_be_caught() -> None:
    caught: list[str] = []

    def handler(event: Any, context: Any) -> None:
        client = boto3.client("kinesis")
        try:
            client.put_record(StreamName="s", Data=b"x", PartitionKey="p")
        except client.exceptions.ProvisionedThroughputExceededException as error:
            caught.append(error.response["Error"]["Code"])

    code = ("ProvisionedThroughputExceededException",)
    simulate(handler, records=1, faults=[Rate("function.*", Kind.ERROR, 1.0, code)])
    assert caught == list(code)


@pytest.mark.parametrize("kind", [Kind.NO_REQUEST, Kind.NO_RESPONSE])
def test_a_lost_message_takes_the_read_timeout_of_the_client(kind: Kind) -> None:
    waited: list[float] = []

    def handler(event: Any, context: Any) -> None:
        client = boto3.client("dynamodb", config=Config(read_timeout=1.5))
        before = time.time()
        with pytest.raises(ReadTimeoutError):
            client.put_item(TableName="t", Item={"pk": {"S": "a"}})
        waited.append(time.time() - before)

    report = simulate(
        handler, records=1, faults=[Rate("function.*", kind, 1.0)], tables={"t": "pk"}
    )
    assert len(report.runs[0].items["t"]) == (kind is Kind.NO_RESPONSE)
    [seconds] = waited
    assert seconds == pytest.approx(1.5, abs=0.1)


def test_calls_from_threads_take_effect_without_faults() -> None:
    def handler(event: Any, context: Any) -> None:
        client = boto3.client("dynamodb")

        def store(reading: dict[str, Any]) -> None:
            client.put_item(TableName="t", Item={"pk": {"S": reading["id"]}})

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(store, readings(event)))

    report = simulate(
        handler, records=10, faults=[Rate("function.*", Kind.ERROR, 1.0)], tables={"t": "pk"}
    )
    assert report.findings() == []
    assert len(report.runs[0].items["t"]) == 10


PARTIAL = [Rate("function.*", Kind.PARTIAL, 0.5)]


def send_sqs(entries: list[dict[str, Any]]) -> list[str]:
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/target"
    body = [{"Id": each["id"], "MessageBody": each["id"]} for each in entries]
    response = boto3.client("sqs").send_message_batch(QueueUrl=url, Entries=body)
    return [each["Id"] for each in response.get("Failed", [])]


def send_sns(entries: list[dict[str, Any]]) -> list[str]:
    arn = "arn:aws:sns:us-east-1:123456789012:target"
    body = [{"Id": each["id"], "Message": each["id"]} for each in entries]
    response = boto3.client("sns").publish_batch(TopicArn=arn, PublishBatchRequestEntries=body)
    return [each["Id"] for each in response.get("Failed", [])]


def send_kinesis(entries: list[dict[str, Any]]) -> list[str]:
    body = [{"Data": each["id"].encode(), "PartitionKey": "p"} for each in entries]
    response = boto3.client("kinesis").put_records(StreamName="target", Records=body)
    failed = [
        entry["id"]
        for entry, result in zip(entries, response["Records"], strict=True)
        if "ErrorCode" in result
    ]
    assert response["FailedRecordCount"] == len(failed)
    return failed


def send_events(entries: list[dict[str, Any]]) -> list[str]:
    body = [
        {"Source": "s", "DetailType": "d", "Detail": json.dumps(each), "EventBusName": "default"}
        for each in entries
    ]
    response = boto3.client("events").put_events(Entries=body)
    results = zip(entries, response["Entries"], strict=True)
    return [entry["id"] for entry, result in results if result.get("ErrorCode")]


def send_items(entries: list[dict[str, Any]]) -> list[str]:
    table = boto3.resource("dynamodb").Table("target")
    body = [{"PutRequest": {"Item": {"pk": each["id"]}}} for each in entries]
    response = table.meta.client.batch_write_item(RequestItems={"target": body})
    return [
        each["PutRequest"]["Item"]["pk"] for each in response["UnprocessedItems"].get("target", [])
    ]


def read_sqs(session: boto3.Session) -> Iterator[str]:
    client = session.client("sqs")
    url = client.get_queue_url(QueueName="target")["QueueUrl"]
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        yield from (each["Body"] for each in messages)


def read_kinesis(session: boto3.Session) -> Iterator[str]:
    client = session.client("kinesis")
    iterator = client.get_shard_iterator(
        StreamName="target", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    for each in client.get_records(ShardIterator=iterator)["Records"]:
        yield each["Data"].decode()


def read_items(session: boto3.Session) -> Iterator[str]:
    for each in session.resource("dynamodb").Table("target").scan()["Items"]:
        yield str(each["pk"])


@pytest.mark.parametrize(
    ("send", "read"),
    [
        (send_sqs, None),
        (send_sqs, read_sqs),
        (send_sns, None),
        (send_kinesis, None),
        (send_kinesis, read_kinesis),
        (send_events, None),
        (send_items, None),
        (send_items, read_items),
    ],
)
def test_a_partial_failure_is_in_the_response_and_only_the_others_take_effect(
    send: Any, read: Any
) -> None:
    failed: list[str] = []

    def handler(event: Any, context: Any) -> None:
        entries = list(readings(event))
        for start in range(0, len(entries), 10):
            failed.extend(send(entries[start : start + 10]))

    report = simulate(
        handler,
        records=60,
        faults=PARTIAL,
        queues=["target"],
        topics=["target"],
        tables={"target": "pk"},
        setup=lambda session: session.client("kinesis").create_stream(
            StreamName="target", ShardCount=1
        ),
        stored=read,
    )
    assert report.runs[0].error == ""
    assert len(failed) > 2
    assert {f"reading-{each.record.number:06d}" for each in report.lost} == set(failed)
    assert report.doubled == []


def test_an_s3_object_is_written_once_under_the_same_key() -> None:
    def handler(event: Any, context: Any) -> None:
        client = boto3.client("s3")
        for reading in readings(event):
            body = json.dumps({**reading, "at": context.aws_request_id}).encode()
            client.put_object(Bucket="once", Key=reading["id"], Body=body)
            client.put_object(
                Bucket="twice-each", Key=f"{context.aws_request_id}/{reading['id']}", Body=b""
            )

    report = simulate(handler, records=10, faults=[REDELIVERED], buckets=["once", "twice-each"])
    assert report.lost == []
    assert report.doubled
    assert not [each for each in report.doubled if "in once" in each.reason]


def test_reading_a_record_is_not_an_effect() -> None:
    def handler(event: Any, context: Any) -> None:
        for reading in readings(event):
            boto3.client("dynamodb").get_item(TableName="t", Key={"pk": {"S": reading["id"]}})

    assert len(simulate(handler, records=3, faults=(), tables={"t": "pk"}).lost) == 3


def test_a_record_is_recognized_by_its_sequence_number() -> None:
    effects = Effects()

    def handler(event: Any, context: Any) -> None:
        for record in event["Records"]:
            effects.append({"failed": record["kinesis"]["sequenceNumber"]})

    assert simulate(handler, records=3, faults=()).findings() == []


def test_a_record_that_a_condition_rejects_is_not_lost() -> None:
    def handler(event: Any, context: Any) -> None:
        client = boto3.client("dynamodb")
        for reading in readings(event):
            item = {"pk": {"S": "first"}, "id": {"S": reading["id"]}}
            with suppress(client.exceptions.ConditionalCheckFailedException):
                client.put_item(
                    TableName="t", Item=item, ConditionExpression="attribute_not_exists(pk)"
                )

    report = simulate(handler, records=3, faults=(), tables={"t": "pk"})
    assert report.findings() == []
    assert [item["id"] for item in report.runs[0].items["t"]] == ["reading-000000"]


# --- effects


def test_effects_are_a_store_that_fails_as_a_service_does() -> None:
    effects = Effects()

    def appends(event: Any, context: Any) -> None:
        for reading in readings(event):
            effects.append(reading)

    def sets(event: Any, context: Any) -> None:
        for reading in readings(event):
            effects[reading["id"]] = reading

    appended = simulate(appends, seeds=range(3))
    assert {each.kind for each in appended.findings()} == {"doubled"}
    assert len(effects.values) == 100 + sum(
        reason_count(each.reason) - 1 for each in appended.runs[-1].findings
    )
    with pytest.raises(AssertionError, match="its globals survive crashes"):
        appended.assert_nothing_doubled()
    kept = simulate(sets, seeds=range(3))
    assert kept.findings() == []
    assert (len(effects.items), effects.values) == (100, [])
    simulate(sets, records=10)
    assert len(effects.items) == 10


def reason_count(reason: str) -> int:
    return int(reason.split()[1])


def test_effects_outside_a_simulation_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="by the handler of a simulation"):
        Effects().append(1)


# --- records


def test_own_records() -> None:
    effects = Effects()

    def handler(event: Any, context: Any) -> None:
        for record in event["Records"]:
            effects.append(base64.b64decode(record["kinesis"]["data"]).decode())

    report = simulate(
        handler,
        records=[("a", "first;1"), ("a", b"second;2"), ("b", "-")],
        record_id=lambda data: data.decode().partition(";")[2] or None,
        faults=(),
    )
    assert report.findings() == []
    assert sorted(effects.values) == ["-", "first;1", "second;2"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([("a", "no JSON")], "pass record_id="),
        ([("a", {"id": 1}), ("b", {"id": 1})], "the same id"),
    ],
)
def test_records_that_cannot_be_told_apart(records: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(lambda event, context: None, records=records)


def test_stored_replaces_the_observation_of_writes() -> None:
    def stored(session: boto3.Session) -> list[str]:
        return ["reading-000000", "reading-000001", "reading-000001", "unknown"]

    report = simulate(lambda event, context: None, records=3, faults=(), stored=stored)
    assert [each.record.number for each in report.lost] == [2]
    assert [each.record.number for each in report.doubled] == [1]


# --- the mapping


def test_an_unknown_or_unsupported_property_is_an_error() -> None:
    with pytest.raises(ValueError, match="no property BatchSiz"):
        simulate(lambda event, context: None, event_source_mapping={"BatchSiz": 1})
    with pytest.raises(UnsupportedMappingError, match="TumblingWindow"):
        simulate(lambda event, context: None, event_source_mapping={"TumblingWindowInSeconds": 10})


def test_the_settings_come_from_a_template(tmp_path: Path) -> None:
    stack = cdk.Stack(unvalidated_app(), "Stack")
    table = dynamodb.TableV2(
        stack,
        "Readings",
        partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name="n", type=dynamodb.AttributeType.NUMBER),
    )
    queue, topic = sqs.Queue(stack, "Queue"), sns.Topic(stack, "Topic", topic_name="named")
    bucket = s3.Bucket(stack, "Bucket")
    function = lambda_.Function(
        stack,
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="app.handler",
        code=lambda_.Code.from_inline("-"),
        timeout=cdk.Duration.seconds(7),
        environment={
            "TABLE": table.table_name,
            "QUEUE": queue.queue_url,
            "TOPIC": topic.topic_arn,
            "BUCKET": bucket.bucket_name,
        },
    )
    function.add_event_source(
        sources.KinesisEventSource(
            kinesis.Stream(stack, "Stream"),
            starting_position=lambda_.StartingPosition.LATEST,
            batch_size=4,
            report_batch_item_failures=True,
            on_failure=sources.SqsDlq(queue),
        )
    )
    folder_with(
        tmp_path,
        """
        import base64, json, os
        import boto3

        def handler(event, context):
            assert context.get_remaining_time_in_millis() > 6000
            assert len(event["Records"]) <= 4
            for record in event["Records"]:
                text = base64.b64decode(record["kinesis"]["data"]).decode()
                number = str(int(json.loads(text)["id"].rpartition("-")[2]))
                item = {"deviceId": {"S": "d"}, "n": {"N": number}, "text": {"S": text}}
                boto3.client("dynamodb").put_item(TableName=os.environ["TABLE"], Item=item)
                boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=text)
                boto3.client("sns").publish(TopicArn=os.environ["TOPIC"], Message=text)
                boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=number, Body=text.encode())
        """,
    )
    template = assertions.Template.from_stack(stack)
    report = simulate("app.handler", code=tmp_path, template=template, records=12, faults=())
    assert report.runs[0].error == ""
    assert report.findings() == []
    assert report.runs[0].invocations >= 3
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template.to_json()))
    given = simulate("app.handler", code=tmp_path, template=path, records=12, faults=(), timeout=5)
    assert "assert context" in given.runs[0].error


def test_the_handler_selects_the_function_of_a_template() -> None:
    resources: dict[str, Any] = {}
    for name, timeout in (("one", 4), ("two", 8)):
        resources[f"F{name}"] = {
            "Type": "AWS::Lambda::Function",
            "Properties": {"Handler": f"{name}.handler", "Timeout": timeout},
        }
        resources[f"M{name}"] = {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "FunctionName": {"Ref": f"F{name}"},
                "StartingPosition": "LATEST",
                "BatchSize": timeout,
            },
        }
    read = read_template({"Resources": resources}, "two.handler")
    assert (read.timeout, read.mapping["BatchSize"]) == (8, 8)
    with pytest.raises(ValueError, match="0 functions"):
        read_template({"Resources": resources}, "three.handler")


def test_a_template_without_a_mapping_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 functions"):
        simulate("app.handler", template={"Resources": {}})
