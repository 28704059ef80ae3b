"""Every kind of message goes through the real processor, which rejects its record, and then once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.processor.aws_fakes import ARRIVAL
from tests.processor.payload_kinds import DEVICE, Stored
from tests.processor.test_payload_kinds import Deployed

from .aws_fakes import (
    SHARD,
    STREAM_ARN,
    Clock,
    OnShard,
    async_failure,
    event_record,
    failed_batch,
    in_envelope,
    kinesis_event,
    object_created,
    random_bytes,
    rule_error,
    stored_batch,
)
from .world import World

# Rejected, because it has no timestamp, until the processor stores records under their arrival.
SMALL: dict[str, Any] = {"celsius": 21}
COMPRESSED = {**SMALL, "text": "a" * 300_000}
LEFT_OUT = {**SMALL, "text": random_bytes("text", 170_000).hex()}
FIXED = {"use_arrival_time": True}


def dump(reading: dict[str, Any]) -> bytes:
    return json.dumps(reading).encode()


def rejected_by_the_processor(world: World, record: OnShard, deployed: Deployed) -> Any:
    assert deployed.invoke(kinesis_event(record)) == {"batchItemFailures": []}
    [message] = deployed.sns.messages
    return message


def on_stream(world: World, record: OnShard, deployed: Deployed) -> Any:
    return failed_batch(record.sequence_number, record.sequence_number, 1)


def in_bucket(world: World, record: OnShard, deployed: Deployed) -> Any:
    world.s3.objects["batch"] = json.dumps(stored_batch(record)).encode()
    return object_created("batch")


def in_event(world: World, record: OnShard, deployed: Deployed) -> Any:
    return async_failure(kinesis_event(record))


def in_rule_error(world: World, record: OnShard, deployed: Deployed) -> Any:
    world.kinesis.shards[SHARD].records.pop()  # it never reached the stream
    return rule_error(f"device/{DEVICE}/telemetry", record.data)


def in_basic_ingest_error(world: World, record: OnShard, deployed: Deployed) -> Any:
    world.kinesis.shards[SHARD].records.pop()
    return rule_error(f"$aws/rules/telemetry/device/{DEVICE}/telemetry", record.data)


Kind = Callable[[World, OnShard, Deployed], Any]
KINDS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "rejected-record, base64": (rejected_by_the_processor, SMALL),
    "rejected-record, gzip": (rejected_by_the_processor, COMPRESSED),
    "rejected-record, on the stream": (rejected_by_the_processor, LEFT_OUT),
    "failed-batch": (on_stream, SMALL),
    "stored-batch": (in_bucket, SMALL),
    "async-failure": (in_event, SMALL),
    "rule-error": (in_rule_error, SMALL),
    "rule-error, Basic Ingest": (in_basic_ingest_error, SMALL),
}
ENCODINGS = {
    "rejected-record, gzip": "gzip+base64",
    "rejected-record, on the stream": "none",
}


def invoke_real(world: World, deployed: Deployed) -> Callable[[Any], tuple[str | None, bytes]]:
    def invoke(event: Any) -> tuple[str | None, bytes]:
        try:
            response = deployed.invoke(event)
        except KeyError as error:
            return "Unhandled", json.dumps(
                {"errorType": "KeyError", "errorMessage": str(error)}
            ).encode()
        if response["batchItemFailures"]:
            return None, json.dumps(response).encode()
        return world.function._store(event)

    return invoke


def redrive(world: World, deployed: Deployed, *, to_function: bool) -> float | None:
    """Redrive the only message into the processor; return its arrival on the stream if it is put there."""
    before = {name: len(records) for name, records in world.kinesis.on_shards().items()}
    world.function.answer = invoke_real(world, deployed)
    report = world.redrive(to_function=to_function)
    assert (report.kept, report.exit_code) == ([], 0)
    assert not world.sqs.messages
    put = [
        (shard, record)
        for shard, records in world.kinesis.on_shards().items()
        for record in records[before[shard] :]
    ]
    if to_function:
        assert put == []
        return None
    [(shard, record)] = put
    assert deployed.invoke({"Records": [event_record(record, shard)]}) == {"batchItemFailures": []}
    return record.arrival


@pytest.mark.parametrize("second", ["stream", "function"])
@pytest.mark.parametrize("first", ["stream", "function"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_is_rejected_again_is_stored_once_by_the_next_redrive(
    kind: str, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_of, reading = KINDS[kind]
    world = World(Clock(float(ARRIVAL)))
    content = (DEVICE, dump(reading))
    record = world.kinesis.accept(*content)
    body = message_of(world, record, Deployed(monkeypatch, {}))
    assert body.get("payloadEncoding", "base64") == ENCODINGS.get(kind, "base64")
    world.add(in_envelope(body), content)

    world.clock.now += 3600
    rejecting = Deployed(monkeypatch, {})
    arrival = redrive(world, rejecting, to_function=first == "function") or float(ARRIVAL)
    rejecting.assert_stored(())
    [again] = rejecting.sns.messages
    assert (again["reason"], again["partitionKey"]) == ("no-timestamp", DEVICE)
    assert again["approximateArrivalTimestamp"] == arrival
    assert_no_made_up_position(world, again)
    world.add(in_envelope(again), content)

    world.clock.now += 3600
    deployed = Deployed(monkeypatch, FIXED)
    arrival = redrive(world, deployed, to_function=second == "function") or arrival
    deployed.assert_stored((Stored(reading, None),), arrival)
    assert deployed.sns.messages == []


def assert_no_made_up_position(world: World, message: dict[str, Any]) -> None:
    """The message has the position of a record on the stream with the same payload, or none."""
    position = message["streamArn"], message["shardId"], message["sequenceNumber"]
    if position == (None, None, None):
        assert message["payload"] is not None
        return
    assert position[0] == STREAM_ARN
    assert position[2] in {each.sequence_number for each in world.kinesis.on_shards()[position[1]]}


def test_a_record_without_a_stream_is_kept_until_the_stream_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Clock(float(ARRIVAL)))
    world.add(rule_error(f"device/{DEVICE}/telemetry", dump(SMALL)), (DEVICE, dump(SMALL)))
    rejecting = Deployed(monkeypatch, {})
    redrive(world, rejecting, to_function=True)
    world.add(in_envelope(rejecting.sns.messages[0]), (DEVICE, dump(SMALL)))
    [(_, problem)] = world.redrive(stream=None).kept
    assert "use --stream" in problem
    redrive(world, Deployed(monkeypatch, FIXED), to_function=False)


@pytest.mark.parametrize("to_function", [False, True], ids=["stream", "function"])
def test_an_event_that_is_not_of_a_stream_is_kept_when_the_processor_gets_it(
    to_function: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(Clock(float(ARRIVAL)))
    world.add_hopeless(in_envelope(async_failure({"celsius": 21})))
    deployed = Deployed(monkeypatch, FIXED)
    world.function.answer = invoke_real(world, deployed)
    for _ in range(2):
        [(_, problem)] = world.redrive(to_function=to_function).kept
        assert ("KeyError" if to_function else "use --function") in problem
    assert world.sqs.visible() == world.hopeless
    deployed.assert_stored(())
