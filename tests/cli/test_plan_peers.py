"""The calls of other pipelines' functions are counted, and the plan uses these counts."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer

from bench.processor.workload import Shape, kinesis_event, readings
from iot_constructs.cli.planning import MONTH_SECONDS, assumptions
from iot_constructs.cli.planning.costs import by_service, list_costs, total
from iot_constructs.cli.planning.peers import PEERS, SOLUTIONS, USUAL, Peer, peer_costs, peer_usage
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.testing.dynamodb import DynamoDB, item_bytes
from tests.cli.workloads import build_workload
from tests.processor.aws_fakes import make_processor, make_records

SERIES, STATES = "series", "states"
HANDLERS = {USUAL.name: "three_puts", SOLUTIONS.name: "two_puts"}
MODULE = "bench.processor.contenders"
SHAPES = [Shape(100, 100), Shape(100, 10), Shape(7, 7)]


class CountingTables:
    """A resource of boto3 on the model of DynamoDB."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self._model = DynamoDB()
        self._model.create_table(SERIES, "deviceId", "timestamp")
        self._model.create_table(STATES, "deviceId")

    def items(self, table: str) -> int:
        return len(self._model.tables[table].items)

    def Table(self, name: str) -> _Table:  # noqa: N802  # as boto3 has it
        return _Table(self, name)

    def put(self, table: str, item: dict[str, Any]) -> None:
        self.calls[table] += 1
        self.units[table] += ceil(item_bytes(item) / 1024)
        self._model.put_item(TableName=table, Item=item)


class _Table:
    def __init__(self, tables: CountingTables, name: str) -> None:
        self._tables, self._name = tables, name

    def put_item(self, *, Item: dict[str, Any]) -> None:  # noqa: N803
        serialize = TypeSerializer().serialize
        self._tables.put(self._name, {name: serialize(value) for name, value in Item.items()})


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingTables]:
    """What the handlers write to. They are imported again for each test, and forgotten."""
    counting = CountingTables()
    monkeypatch.setattr(boto3, "resource", lambda service, config: counting)
    monkeypatch.setenv("DEVICE_STATE_TABLE_NAME", STATES)
    monkeypatch.setenv("TIME_SERIES_TABLE_NAME", SERIES)
    monkeypatch.setenv("TIME_SERIES_RETENTION_SECONDS", "2592000")
    sys.modules.pop(MODULE, None)
    yield counting
    sys.modules.pop(MODULE, None)


def run(peer: Peer, event: dict[str, Any]) -> None:
    getattr(importlib.import_module(MODULE), HANDLERS[peer.name])(event, None)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_calls_of_a_peer_are_those_of_the_plan(
    peer: Peer, shape: Shape, tables: CountingTables
) -> None:
    [batch] = readings(shape, 1)
    run(peer, kinesis_event(batch))
    assert tables.calls.total() == peer.puts * shape.records
    assert tables.calls[STATES] == shape.records
    # readings of less than 1 KB: a unit for each put
    assert tables.units.total() == peer.puts * shape.records
    assert tables.items(SERIES) == shape.records


def test_which_puts_of_a_peer_have_the_whole_reading(tables: CountingTables) -> None:
    """With a reading of 3 KB, these take 3 units and the others one."""
    [[reading]] = readings(Shape(1, 1), 1)
    reading.payload["note"] = "x" * 2500
    for peer in PEERS:
        tables.units.clear()
        run(peer, kinesis_event([reading]))
        small = peer.puts - peer.full_puts
        assert tables.units.total() == 3 * peer.full_puts + small
        assert tables.units[STATES] == 3


def test_the_puts_are_the_assumptions_of_the_page() -> None:
    assert (USUAL.puts, SOLUTIONS.puts) == (assumptions.USUAL_PUTS, assumptions.SOLUTIONS_PUTS)


def test_a_peer_takes_many_times_the_calls_of_the_processor() -> None:
    """For the same batch, counted below both."""

    class Client(DynamoDB):
        made = 0

        def batch_write_item(self, **request: Any) -> Any:
            Client.made += 1
            return super().batch_write_item(**request)

        def batch_execute_statement(self, **request: Any) -> Any:
            Client.made += 1
            return super().batch_execute_statement(**request)

    client = Client()
    client.create_table("iot-sensor-metrics-test", "deviceId", "timestamp")
    client.create_table("iot-device-state-test", "deviceId")
    [batch] = readings(Shape(100, 100), 1)
    for each in batch:  # the devices are there
        client.tables["iot-device-state-test"].items[each.device_id,] = {
            "deviceId": {"S": each.device_id},
            "timestamp": {"N": "1"},
        }
    processor = make_processor(client)  # type: ignore[arg-type]
    arrival = batch[0].payload["timestamp"] / 1000
    records = make_records(*((each.device_id, each.data) for each in batch), arrival=arrival)
    assert processor.process(records, lambda: 60_000).stored == 100
    plan = estimate_usage(build_workload(devices=10**6, every_seconds=60, reading_bytes=400))
    assert (plan.average.records, plan.average.calls.total) == (100, Client.made)
    for peer in PEERS:
        assert peer.puts * 100 >= 25 * Client.made


def test_the_usual_pipeline_by_hand() -> None:
    """A million devices, 30 days of readings and a year of records."""
    fleet = build_workload(
        devices=10**6,
        every_seconds=60,
        reading_bytes=400,
        retention_seconds=30 * 86_400,
        archive_retention_seconds=365 * 86_400,
    )
    costs = {(cost.service, cost.what): cost for cost in peer_costs(USUAL, fleet)}
    # 43.8 billion readings: two metrics and one state, a unit each, * $0.625 a million
    assert costs["DynamoDB", "time-series writes"].dollars == pytest.approx(54_750)
    assert costs["DynamoDB", "device-state writes"].dollars == pytest.approx(27_375)
    # 167 invocations/s of 5 + 100 * (0.5 + 30) ms at 128 MB: 1.3381e9 s * 0.125 GB * $0.0000166667
    assert costs["Lambda", "duration"].dollars == pytest.approx(2787.7, rel=1e-3)
    # the same data is kept for the same time
    ours = {(c.service, c.what): c for c in list_costs(estimate_usage(fleet))}
    for line in (("DynamoDB", "time-series storage"), ("S3", "storage"), ("IoT Core", "messages")):
        assert costs[line] == ours[line]
    assert ("KMS", "keys") not in costs
    assert ("CloudWatch, X-Ray", "alarms") not in costs
    # 34 shards have 34 batches at a time: 4.9 invocations/s of 3.055 s each
    assert peer_usage(USUAL, fleet).busy_share == pytest.approx(4.902 * 3.055, rel=1e-3)


def test_solutions_constructs_by_hand() -> None:
    fleet = build_workload(devices=10**6, every_seconds=60, reading_bytes=400)
    costs = {(cost.service, cost.what): cost for cost in peer_costs(SOLUTIONS, fleet)}
    for table in ("time-series", "device-state"):
        assert costs["DynamoDB", f"{table} writes"].dollars == pytest.approx(27_375)
    # 21 * 730 h * $0.015, without more than 24 hours
    assert costs["Kinesis", "shards"].dollars == pytest.approx(229.95)
    assert ("Kinesis", "retention") not in costs
    # 16,667 * 400 bytes in objects of 5 MB: 1.2716/s * 2,628,000 s * $0.005 / 1000
    assert costs["S3", "objects"].quantity == pytest.approx(1.27157 * MONTH_SECONDS, rel=1e-4)
    # 1 + 5 % of the other 165.7 invocations/s
    assert costs["CloudWatch, X-Ray", "traces"].quantity == pytest.approx(
        9.2833 * MONTH_SECONDS, rel=1e-3
    )


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_levers_of_our_pipeline_do_not_change_a_peer(peer: Peer) -> None:
    fleet = build_workload(devices=1000, every_seconds=60, reading_bytes=400)
    levers = replace(
        fleet,
        basic_ingest=True,
        provisioned_tables=True,
        infrequent_access=True,
        device_state_interval_seconds=900,
        batch_size=500,
        batching_window_seconds=30,
        memory_mb=1024,
        parallelization_factor=4,
        tracing=False,
        shard_count=7,
        archive_transition_seconds=30 * 86_400,
        buffering_interval_seconds=900,
        system_logs=False,
    )
    assert peer_costs(peer, levers) == peer_costs(peer, fleet)
    longer = replace(fleet, retention_seconds=2 * 365 * 86_400, age_seconds=2 * 365 * 86_400)
    more = by_service(peer_costs(peer, longer))["DynamoDB"]
    assert more > by_service(peer_costs(peer, fleet))["DynamoDB"]
    assert total(peer_costs(peer, fleet)) > 0
