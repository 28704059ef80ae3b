"""The processor bench in short: what it counts, not how long it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.figure import Figure
from bench.processor import cold_start, emulator, measure
from bench.processor.calls import Calls, item_size
from bench.processor.measure import (
    Measured,
    compared,
    figures_of,
    init_figures,
    planner_figures,
)
from bench.processor.tables import Found, Tables, compare, made_tables
from bench.processor.workload import Reading, Shape, fleet, kinesis_event, readings

SHAPE = Shape(records=60, devices=30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with emulator.plain_emulator() as running:
        yield running


@pytest.fixture(scope="module")
def measured(url: str) -> dict[str, Measured]:
    return compared(url, SHAPE, ("ours", "usual", "powertools"), records=120, rounds=2)


# --- each contender, against the emulator ---------------------------------------------------------


def test_ours_writes_readings_and_states_25_at_a_time(measured: dict[str, Measured]) -> None:
    ours = measured["ours"]
    assert (ours.records, ours.batches) == (120, 2)
    # 60 readings are 3 calls, 30 devices are 2.
    assert ours.operations == {"BatchWriteItem": 2 * 3, "BatchExecuteStatement": 2 * 2}
    assert ours.write_units == 2 * (60 + 30)
    assert {(each.rows_lost, each.wrong_states) for each in ours.found} == {(0, 0)}


@pytest.mark.parametrize("contender", ["usual", "powertools"])
def test_the_others_make_three_puts_a_record(measured: dict[str, Measured], contender: str) -> None:
    other = measured[contender]
    assert other.operations == {"PutItem": 3 * 120}
    assert other.write_units == 3 * 120
    # The second metric has replaced the first, in the batch that warms up too.
    assert [each.rows_lost for each in other.found] == [120, 120]
    assert [each.wrong_states for each in other.found] == [0, 0]


def test_all_items_fit_into_one_write_unit(measured: dict[str, Measured]) -> None:
    sizes = {name: each.largest_item_bytes for name, each in measured.items()}
    assert all(100 < size <= 1024 for size in sizes.values()), sizes


def test_a_device_that_is_new_costs_one_more_write_unit(url: str) -> None:
    ours = compared(url, SHAPE, ("ours",), records=60, known_devices=False)["ours"]
    assert ours.write_units == 60 + 2 * 30
    assert ours.operations == {"BatchWriteItem": 3, "BatchExecuteStatement": 2 * 2}


def test_the_planner_predicts_what_is_counted(measured: dict[str, Measured]) -> None:
    figures = planner_figures(measured["ours"])
    assert [figure.figure for figure in figures] == [
        "processor.plan_deviation.calls",
        "processor.plan_deviation.write_units",
    ]
    assert [figure.met for figure in figures] == [True, True]


def test_a_plan_that_is_off_is_no_plan(measured: dict[str, Measured]) -> None:
    other = replace(measured["ours"], shape=Shape(records=60, devices=60))
    assert [figure.met for figure in planner_figures(other)] == [False, False]


def test_a_contender_that_fails_says_why(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "asdict", lambda _: {"records": 1, "devices": 2})
    with pytest.raises(RuntimeError, match=r"usual failed:(.|\n)*2 devices in 1 records"):
        compared(url, SHAPE, ("usual",), records=60)


# --- what is in the tables ------------------------------------------------------------------------


def test_a_missing_row_is_no_measurement(url: str) -> None:
    [batch] = readings(SHAPE, 1)
    with made_tables(url) as tables, pytest.raises(RuntimeError, match="60 of 60 readings"):
        compare(tables, batch, rows_per_reading=1)


def test_rows_and_states_are_compared_with_what_was_sent(url: str) -> None:
    [first, second] = [Reading("sensor-0001", _payload(at)) for at in (1, 2)]
    dynamodb = emulator.client("dynamodb", url)
    with made_tables(url) as tables:
        for reading in (first, second):
            key = {
                "deviceId": {"S": "sensor-0001"},
                "timestamp": {"N": f"{reading_time(reading)}.5"},
            }
            dynamodb.put_item(TableName=tables.series, Item=key)
        assert compare(tables, [first, second], rows_per_reading=2) == Found(2, 4, 1)
        state = {"timestamp": {"N": "1"}, "metrics": {"M": _metrics("20.5")}}
        item = {"deviceId": {"S": "sensor-0001"}, "reading": {"M": state}}
        dynamodb.put_item(TableName=tables.states, Item=item)
        assert compare(tables, [first, second], rows_per_reading=1) == Found(2, 2, 1)
        state["timestamp"] = {"N": "2"}
        dynamodb.put_item(TableName=tables.states, Item=item)
        assert compare(tables, [first, second], rows_per_reading=1) == Found(2, 2, 0)
        state["metrics"] = {"M": _metrics("20.6")}
        dynamodb.put_item(TableName=tables.states, Item=item)
        assert compare(tables, [first, second], rows_per_reading=1) == Found(2, 2, 1)


def _payload(timestamp: int) -> dict[str, Any]:
    return {"timestamp": timestamp, "metrics": {"temperature": 20.5, "humidity": 20.5}}


def _metrics(value: str) -> dict[str, Any]:
    return {"temperature": {"N": value}, "humidity": {"N": "20.5"}}


def reading_time(reading: Reading) -> int:
    timestamp: int = reading.payload["timestamp"]
    return timestamp


# --- write units ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0, 1])
def test_sizes_are_those_for_which_the_emulator_charges(url: str, spare: int) -> None:
    item: dict[str, Any] = {
        "deviceId": {"S": "gr\u00fcn"},
        "timestamp": {"N": "1760000000001"},
        "reading": {
            "M": {
                "list": {"L": [{"N": "-15"}, {"BOOL": True}, {"NULL": True}, {"L": []}]},
                "text": {"S": ""},
            }
        },
    }
    item["reading"]["M"]["text"]["S"] = "x" * (1024 - item_size(item) + spare)
    assert item_size(item) == 1024 + spare
    with made_tables(url) as tables:
        answer = emulator.client("dynamodb", url).put_item(
            TableName=tables.series, Item=item, ReturnConsumedCapacity="TOTAL"
        )
    assert answer["ConsumedCapacity"]["CapacityUnits"] == 1 + spare


def test_an_unknown_type_has_no_size() -> None:
    with pytest.raises(ValueError, match="'B'"):
        item_size({"deviceId": {"B": b""}})


STATE = {"deviceId": {"S": "d"}, "timestamp": {"N": "1"}, "reading": {"S": "x" * 1000}}
ITEM, LARGE = {"a": {"S": "b"}}, {"a": {"S": "b" * 1024}}


@pytest.mark.parametrize(
    ("operation", "body", "units"),
    [
        ("PutItem", {"Item": LARGE}, 2),
        (
            "BatchWriteItem",
            {"RequestItems": {"t": [{"PutRequest": {"Item": i}} for i in (ITEM, LARGE)]}},
            3,
        ),
        (
            "BatchExecuteStatement",
            {
                "Statements": [
                    {"Statement": "INSERT INTO", "Parameters": list(STATE.values())},
                    {
                        "Statement": "UPDATE",
                        "Parameters": [{"N": "1"}, LARGE["a"], *[ITEM["a"]] * 2],
                    },
                ]
            },
            4,
        ),
        ("PublishBatch", {}, 0),
    ],
)
def test_each_item_is_rounded_up_by_itself(
    operation: str, body: dict[str, Any], units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("bench.processor.calls.time.sleep", slept.append)
    counted = Calls(latency_ms=4)

    class Request:
        pass

    request: Any = Request()
    request.body = json.dumps(body).encode()
    counted._count(request, f"before-send.dynamodb.{operation}")
    assert counted.operations == {operation: 1}
    assert counted.write_units == units
    assert slept == [0.004]
    counted.reset()
    assert (counted.operations, counted.write_units) == ({}, 0)


# --- the workload ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [measure.MAIN, *measure.OTHERS.values()])
def test_batches_have_the_shape_that_they_say(shape: Shape) -> None:
    batches = list(readings(shape, 4))
    assert batches == list(readings(shape, 4))
    sent = [reading for batch in batches for reading in batch]
    assert [len(batch) for batch in batches] == [shape.records] * 4
    assert [len({r.device_id for r in batch}) for batch in batches] == [shape.devices] * 4
    assert {reading.device_id for reading in sent} <= set(fleet())
    times = [reading_time(reading) for reading in sent]
    assert times == sorted(set(times))
    assert all(200 <= len(reading.data) <= 400 for reading in sent)


def test_another_seed_makes_other_readings() -> None:
    assert list(readings(SHAPE, 1, seed=1)) != list(readings(SHAPE, 1, seed=2))


@pytest.mark.parametrize(("records", "devices"), [(10, 11), (500, 201), (10, 0)])
def test_a_shape_that_cannot_be(records: int, devices: int) -> None:
    with pytest.raises(ValueError, match=f"{devices} devices in {records} records"):
        Shape(records, devices)


def test_sequence_numbers_go_on_from_batch_to_batch() -> None:
    [batch] = readings(SHAPE, 1)
    numbers = [each["kinesis"]["sequenceNumber"] for each in kinesis_event(batch, 1000)["Records"]]
    assert numbers == [str(1000 + position) for position in range(60)]


# --- the figures ----------------------------------------------------------------------------------


def made(units: int, operations: dict[str, int], seconds: list[float]) -> Measured:
    shape = Shape(records=100, devices=50)
    return Measured(shape, [100 / seconds[0]], seconds, 0.5, Counter(operations), units, 300)


def test_figures_hold_ours_against_each_of_the_others() -> None:
    ours = made(300, {"BatchWriteItem": 8, "BatchExecuteStatement": 4}, [0.1, 0.3])
    usual = made(600, {"PutItem": 600}, [1.0, 3.0])
    found = {f.figure: f for f in figures_of({"ours": ours, "usual": usual}, ".shape")}
    assert found["processor.calls_per_1000_records.shape"].value == 60
    assert found["processor.usual.calls_per_1000_records.shape"].value == 3000
    calls_ratio = found["processor.calls_ratio.shape"]
    assert (calls_ratio.value, calls_ratio.target, calls_ratio.met) == (50, 10, True)
    units_ratio = found["processor.write_units_ratio.shape"]
    assert (units_ratio.value, units_ratio.target, units_ratio.met) == (0.5, 0.5, True)
    speed = found["processor.records_per_second_ratio.shape"]
    assert (speed.value, speed.target, speed.met) == (10, 5, True)
    assert found["processor.batch_p50_ms.shape"].value == 100
    assert found["processor.usual.batch_p99_ms.shape"].value == 3000
    assert found["processor.cpu_ms_per_1000_records.shape"].value == 2500
    detail = found["processor.calls_per_1000_records.shape"].detail
    assert (detail["calls_per_batch"], detail["write_units_per_batch"]) == (6, 150)
    assert (detail["records_per_batch"], detail["distinct_devices_per_batch"]) == (100, 50)


@pytest.mark.parametrize(("ours", "met"), [(150.0, True), (151.0, False)])
def test_a_cold_start_is_held_against_the_bare_one(ours: float, met: bool) -> None:
    starts = {"ours": cold_start.Start(200, ours), "bare": cold_start.Start(100, 100)}
    ratio = init_figures(starts)[-1]
    assert (ratio.figure, ratio.value, ratio.met) == ("processor.init_ratio", ours / 100, met)
    assert ratio.detail == {"wall_ratio": 2.0}


def test_a_run_reports_every_shape_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def instead(
        _url: str, shape: Shape, contenders: tuple[str, ...], *, records: int, **options: Any
    ) -> dict[str, Measured]:
        asked.append((shape, records, options.get("latency_ms", 0)))
        return {each: made(300, {"PutItem": 600}, [1.0]) for each in contenders}

    monkeypatch.setattr(measure, "compared", instead)
    starts = {each: cold_start.Start(1, 1) for each in cold_start.STARTS}
    monkeypatch.setattr(cold_start, "measure", lambda rounds: starts)
    found = measure.run(1000, rounds=1, cold_starts=1, latency_ms=2)
    names = [figure.figure for figure in found]
    assert sorted(set(names)) == sorted(names)
    assert all(name.startswith("processor.") and name == name.lower() for name in names)
    assert asked == [
        (Shape(100, 100), 100, 0),
        *[(shape, 200, 2) for shape in measure.OTHERS.values()],
        (measure.MAIN, 100, measure.LATENCY_MS),
        (measure.MAIN, 1000, 2),
    ]
    with_target = [figure.figure for figure in found if figure.target is not None]
    assert len(with_target) == 4 * 2 + 3 * 2 + 3 * 3 + 1


def test_the_line_of_a_figure() -> None:
    line = json.loads(Figure("processor.x", 3, 2, at_most=False, unit="s", detail={"n": 1}).line())
    assert line == {
        **{"figure": "processor.x", "value": 3, "target": 2},
        **{"met": True, "unit": "s", "n": 1},
    }
    assert Figure("processor.x", 3, 2).met is False
    assert Figure("processor.x", 3).met is None


# --- the cold start -------------------------------------------------------------------------------


def test_each_start_reaches_its_handler() -> None:
    starts = cold_start.measure(rounds=1)
    assert list(starts) == ["ours", "bare", "usual", "powertools"]
    assert all(each.cpu_ms > 0 for each in starts.values())


def test_ours_starts_without_boto3_and_without_sns(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(cold_start.ROOT / "src" / "iot_constructs")!r})
import botocore.session
made = []
create = botocore.session.Session.create_client
botocore.session.Session.create_client = lambda *a, **o: made.append(a[1]) or create(*a, **o)
{cold_start.STARTS["ours"]}
print("boto3" in sys.modules, made)
"""
    with_tables = Tables("", "cold").environment()
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        env={**emulator.environment("http://127.0.0.1:9"), **with_tables},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False ['dynamodb']\n"
