"""Every kind of payload comes back unchanged on both routes, and the processor then stores it once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iot_constructs.processor.dead_letters import decode_payload
from iot_constructs.processor.rejections import Reason
from tests.processor.aws_fakes import (
    ARRIVAL,
    SERIES,
    FakeDynamoDB,
    Fault,
    always,
    aws_error,
)
from tests.processor.payload_kinds import DEVICE, KINDS, PayloadKind, Stored, at, dump
from tests.processor.test_payload_kinds import Deployed

from .aws_fakes import (
    Clock,
    OnShard,
    async_failure,
    failed_batch,
    in_envelope,
    kinesis_event,
    object_created,
    rule_error,
    stored_batch,
)
from .world import World

ROUTES = pytest.mark.parametrize("to_function", [False, True], ids=["stream", "function"])
STORED = [kind for kind in KINDS if not isinstance(kind.result, Reason)]
REJECTED = [kind for kind in KINDS if isinstance(kind.result, Reason)]
# Rejected with the defaults, and stored with the arguments that the guide names.
FIXED = [
    (kind, fixed)
    for kind in REJECTED
    for fixed in STORED
    if kind.data == fixed.data and not kind.settings
]


def make_world() -> World:
    return World(Clock(float(ARRIVAL)))


def accept(world: World, data: bytes) -> OnShard:
    return world.kinesis.accept(DEVICE, data)


def deliver(world: World, deployed: Deployed, *, to_function: bool) -> float:
    """Redrive the queue into the function; return the arrival that its event had."""
    before = {name: len(records) for name, records in world.kinesis.on_shards().items()}

    def invoke(event: Any) -> tuple[str | None, bytes]:
        response = deployed.invoke(event)
        assert response == {"batchItemFailures": []}
        return world.function._store(event)

    world.function.answer = invoke
    report = world.redrive(to_function=to_function)
    assert report.exit_code == 0, report
    assert not world.sqs.messages
    assert world.accepted() == world.expected()
    if to_function:
        [event] = world.function.events
    else:
        put = [
            r
            for name, records in world.kinesis.on_shards().items()
            for r in records[before[name] :]
        ]
        event = kinesis_event(*put)
        assert deployed.invoke(event) == {"batchItemFailures": []}
    [record] = event["Records"]
    return float(record["kinesis"]["approximateArrivalTimestamp"])


def dead_letters(world: World, deployed: Deployed, record: OnShard) -> None:
    """Let the processor reject the record, and put its message on the queue."""
    assert deployed.invoke(kinesis_event(record)) == {"batchItemFailures": []}
    [message] = deployed.sns.messages
    world.add(in_envelope(message), (DEVICE, record.data))


@ROUTES
@pytest.mark.parametrize("kind", REJECTED, ids=PayloadKind.row)
def test_a_rejected_record_comes_back_unchanged(
    kind: PayloadKind, to_function: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, deployed = make_world(), Deployed(monkeypatch, kind.settings)
    dead_letters(world, deployed, accept(world, kind.data))
    deliver(world, deployed, to_function=to_function)
    first, again = deployed.sns.messages
    assert again["reason"] == first["reason"]
    assert decode_payload(again) == kind.data
    deployed.assert_stored(())


@ROUTES
@pytest.mark.parametrize(("kind", "fixed"), FIXED, ids=lambda kind: kind.row())
def test_a_rejected_record_is_stored_after_the_setting_is_fixed(
    kind: PayloadKind, fixed: PayloadKind, to_function: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    record = accept(world, kind.data)
    dead_letters(world, Deployed(monkeypatch, {}), record)
    world.clock.now += 3600
    deployed = Deployed(monkeypatch, fixed.settings)
    arrival = deliver(world, deployed, to_function=to_function)
    assert (arrival == record.arrival) is to_function
    assert isinstance(fixed.result, tuple)
    deployed.assert_stored(fixed.result, arrival)
    assert deployed.sns.messages == []


@ROUTES
@pytest.mark.parametrize("source", ["stream", "bucket", "message"])
@pytest.mark.parametrize("kind", STORED, ids=PayloadKind.row)
def test_a_failed_batch_is_stored_once_after_the_table_is_fixed(
    kind: PayloadKind, source: str, to_function: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    record = accept(world, kind.data)
    number, content = record.sequence_number, (DEVICE, kind.data)
    assert isinstance(kind.result, tuple)
    # The time series already has readings with a timestamp of their own. The others get another arrival.
    dated = all(one.milliseconds is not None for one in kind.result)
    fault = always("statement" if dated else "batch_write", Fault(error=aws_error("AccessDenied")))
    failing = Deployed(monkeypatch, kind.settings, FakeDynamoDB(fault))
    response = failing.invoke(kinesis_event(record))
    assert response == {"batchItemFailures": [{"itemIdentifier": number}]}

    if source == "stream":
        world.add(in_envelope(failed_batch(number, number, 1)), content)
    elif source == "bucket":
        world.s3.objects["batch"] = json.dumps(stored_batch(record)).encode()
        world.add(in_envelope(object_created("batch")), content)
    else:
        world.add(in_envelope(async_failure(kinesis_event(record))), content)
    deployed = Deployed(monkeypatch, kind.settings, failing.dynamodb.without_faults())
    arrival = deliver(world, deployed, to_function=to_function)
    deployed.assert_stored(kind.result, arrival)
    assert deployed.sns.messages == []


@ROUTES
def test_a_record_of_which_the_table_refused_one_reading_is_stored_once(
    to_function: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    readings = [at(ARRIVAL + n) for n in range(3)]
    record = accept(world, dump(*readings))
    refusing = FakeDynamoDB(
        refuses=lambda item: item["timestamp"]["N"].startswith(f"{ARRIVAL + 1}")
    )
    rejecting = Deployed(monkeypatch, {}, refusing)
    dead_letters(world, rejecting, record)
    [message] = rejecting.sns.messages
    assert message["reason"] == "refused-by-table"
    assert "time series, reading 2: " in message["detail"]
    assert len(refusing.items(SERIES)) == 2
    deployed = Deployed(monkeypatch, {}, refusing.without_faults())
    deliver(world, deployed, to_function=to_function)
    deployed.assert_stored(
        tuple(Stored(reading, (ARRIVAL + n) * 1000) for n, reading in enumerate(readings))
    )


@ROUTES
def test_a_message_that_never_reached_the_stream_arrives_with_its_rule_error(
    to_function: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    data = dump({"celsius": 21})
    world.add(rule_error(f"device/{DEVICE}/telemetry", data), (DEVICE, data))
    sent = world.clock.now
    world.clock.now += 3600
    deployed = Deployed(monkeypatch, {"use_arrival_time": True})
    arrival = deliver(world, deployed, to_function=to_function)
    assert (arrival == sent) is to_function
    deployed.assert_stored((Stored({"celsius": 21}, None),), arrival)
