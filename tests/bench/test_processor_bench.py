"""The processor bench in short: what it counts and checks, not how long it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.figure import Figure, Run, ratio
from bench.processor import emulator, latency, measure
from bench.processor.measure import compared
from bench.processor.tables import Tables, made_tables
from bench.processor.workload import Shape, fleet, kinesis_event, readings

SHAPE = Shape(records=100, devices=30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with emulator.plain_emulator() as running:
        yield running


@pytest.fixture(scope="module")
def measured(url: str) -> dict[str, list[Run]]:
    return compared(url, SHAPE, ("batch_writer", "powertools", "three_puts"), 1)


@pytest.mark.parametrize(
    ("contender", "calls_per_batch"),
    [
        ("ours", 4 + 2),  # 25 at a time: 100 readings and 30 states
        ("batch_writer", 4 + 30),
        ("powertools", 100 + 100),
        ("three_puts", 3 * 100),
    ],
)
def test_each_contender_makes_its_calls(
    measured: dict[str, list[Run]], contender: str, calls_per_batch: int
) -> None:
    [run] = measured[contender]
    assert run["calls"] == calls_per_batch * measure.RECORDS_PER_RUN / SHAPE.records
    assert 0 < run["cpu_seconds"] < run["seconds"] * 2
    assert run["peak_mib"] > 10


def test_a_contender_that_fails_ends_the_bench(url: str) -> None:
    with pytest.raises(subprocess.CalledProcessError, match="three_puts"):
        compared(url, Shape(records=1, devices=2), ("three_puts",), 1)


def test_wrong_tables_end_the_bench(url: str) -> None:
    [batch] = readings(SHAPE, 1)
    dynamodb = emulator.client("dynamodb", url)
    with made_tables(url) as tables:
        with pytest.raises(RuntimeError, match="0 rows are not the 100 readings"):
            tables.check(batch)
        for reading in batch:
            put(dynamodb, tables.series, reading.device_id, reading.payload["timestamp"])
        with pytest.raises(RuntimeError, match="states are not the newest"):
            tables.check(batch)
        for reading in batch:  # whose times ascend
            put(dynamodb, tables.states, reading.device_id, reading.payload["timestamp"])
        tables.check(batch)
        put(dynamodb, tables.states, batch[-1].device_id, batch[-1].payload["timestamp"] - 1)
        with pytest.raises(RuntimeError, match="states are not the newest"):
            tables.check(batch)


def put(dynamodb: Any, table: str, device_id: str, timestamp: int) -> None:
    key = {"deviceId": {"S": device_id}, "timestamp": {"N": str(timestamp)}}
    dynamodb.put_item(TableName=table, Item={**key, "reading": {"M": {}}})


@pytest.mark.parametrize("shape", [measure.MAIN, *measure.OTHERS.values()])
def test_batches_have_the_shape_that_they_say(shape: Shape) -> None:
    batches = list(readings(shape, 4))
    assert batches == list(readings(shape, 4))
    sent = [reading for batch in batches for reading in batch]
    assert [len(batch) for batch in batches] == [shape.records] * 4
    assert [len({r.device_id for r in batch}) for batch in batches] == [shape.devices] * 4
    assert {reading.device_id for reading in sent} <= set(fleet())
    times = [reading.payload["timestamp"] for reading in sent]
    assert times == sorted(set(times))
    assert all(200 <= len(reading.data) <= 400 for reading in sent)


def test_sequence_numbers_go_on_from_batch_to_batch() -> None:
    [batch] = readings(SHAPE, 1)
    numbers = [each["kinesis"]["sequenceNumber"] for each in kinesis_event(batch, 1000)["Records"]]
    assert numbers == [str(1000 + position) for position in range(100)]


def test_a_ratio_is_the_median_of_neighboring_runs() -> None:
    ones, others = ([{"x": value} for value in values] for values in ((1.0, 9, 4), (1.0, 3, 2)))
    assert ratio("x", ones, others) == 2


def test_a_run_reports_every_shape_with_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def instead(
        _url: str, shape: Shape, others: tuple[str, ...], runs: int, latency_ms: float = 0
    ) -> dict[str, list[Run]]:
        asked.append((shape, others, runs, latency_ms))
        slow = {"seconds": 2.0, "cpu_seconds": 2.0, "calls": 300.0, "peak_mib": 50.0}
        fast = {"seconds": 1.0, "cpu_seconds": 0.5, "calls": 30.0, "peak_mib": 40.0}
        return {"ours": [fast], **{name: [slow] for name in others}}

    starts = {
        "ours": {"cpu_seconds": 0.3},
        "bare": {"cpu_seconds": 0.2},
        "powertools": {"cpu_seconds": 1},
    }
    monkeypatch.setattr(measure, "compared", instead)
    monkeypatch.setattr(measure, "_start", starts.__getitem__)
    found = {figure.figure: figure for figure in measure.figures(10)}
    writer = ("batch_writer",)
    assert asked == [
        (measure.MAIN, writer, 10, 0),
        *[(shape, writer, 10, 0) for shape in measure.OTHERS.values()],
        (measure.MAIN, writer, 10, measure.LATENCY_MS),
        (measure.MAIN, ("powertools", "three_puts"), 2, 0),
    ]
    met = {name: figure.met for name, figure in found.items() if figure.target is not None}
    faster = "processor.records_per_second_ratio.batch_writer"
    assert met == {
        "processor.init_ratio": False,
        "processor.plan_deviation.calls": True,
        faster: False,
        **{f"{faster}.{name}": True for name in (*measure.OTHERS, "latency_4_ms")},
        "processor.cpu_ratio.batch_writer": False,
        "processor.calls_ratio.batch_writer": True,
    }
    assert found["processor.records_per_second.ours"].value == 500
    assert found["processor.cpu_ms_per_1000_records.ours"].value == 1000
    assert found["processor.calls_per_1000_records.ours"].value == 60


@pytest.mark.parametrize("window", [0, 5])
def test_a_record_waits_for_the_window_and_the_invocation(window: int) -> None:
    delays = latency.delays(window, 2.0)
    assert len(delays) == latency.RECORDS
    assert min(delays) >= 2.0
    # A record can wait for two reads, which are a second apart, and for the invocation before its own.
    assert window + 2.0 < max(delays) < window + 2 * 1.0 + 2 * 2.0 + 0.1


def test_the_line_of_a_figure() -> None:
    line = json.loads(Figure("processor.x", 3, 2, at_most=False, unit="s", detail={"n": 1}).line())
    assert line == {
        **{"figure": "processor.x", "value": 3, "target": 2},
        **{"met": True, "unit": "s", "n": 1},
    }
    assert Figure("processor.x", 3, 2).met is False
    assert Figure("processor.x", 3).met is None


def test_each_start_reaches_its_handler() -> None:
    assert all(measure._start(name)["cpu_seconds"] > 0 for name in measure.STARTS)


def test_ours_starts_without_boto3_and_without_sns(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(measure.OUR_FOLDER)!r})
import botocore.session
made = []
create = botocore.session.Session.create_client
botocore.session.Session.create_client = lambda *a, **o: made.append(a[1]) or create(*a, **o)
{measure.STARTS["ours"]}
print("boto3" in sys.modules, made)
"""
    with_tables = Tables("", "series", "states").environment()
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        env=emulator.environment("http://127.0.0.1:9") | with_tables,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False ['dynamodb']\n"
