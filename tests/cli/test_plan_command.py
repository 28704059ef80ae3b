"""The command: what it prints, what it refuses, and that it needs nothing but Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import iot_constructs.cli
from iot_constructs import _defaults as defaults
from iot_constructs.cli.main import main
from iot_constructs.cli.planning.plan_report import dollars, number, percent
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.cli.planning.workload import Workload
from tests.cli.workloads import ARGUMENTS

FLEET = ["plan", "--devices", "1e6", "--every", "60s", "--bytes", "400"]
MILLION = [*FLEET, *ARGUMENTS]


def as_json(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main([*MILLION, *options, "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_the_text_has_stream_calls_writes_cost_limits_and_remediations(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(MILLION) == 0
    text = capsys.readouterr().out
    for said in (
        "1,000,000, 16,667 messages/s",
        "on-demand, about 34 shards; 6.61 MB/s at peak",
        "167 invocations/s of 100 records, 105 ms each; 17.5 concurrent of at most 34",
        "179 objects per hour; nothing expires: 39,258 GB more each year (--years 1)",
        "239 requests per hour",
        "messages                    43,800  million messages                      31,360",
        "8 per batch: 4 to the time-series table, 4 for the state of 100 devices",
        "16,667 units/s time series, 16,667 units/s device state",
        "us-east-1, list prices without free tiers, as of 2026-11",
        "provisioned, 21 shards: $1,150 per month (cheaper)",
        "without retention (price unknown)",
        "IoT Core: connections",
        "MonitoredStream(shard_count=21)",
        "note:\n- new AWS accounts have lower Lambda quotas",
    ):
        assert said in text, said
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("- ")) < 120
    assert [line for line in lines if line != line.rstrip()] == []


def test_the_text_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    main(MILLION)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    [printed] = [row[-1] for row in rows if row[:1] == ["total"]]
    said = as_json(capsys)
    assert float(printed.replace(",", "")) == pytest.approx(said["dollars"], abs=1)
    assert sum(said["dollars_by_service"].values()) == pytest.approx(said["dollars"])
    assert sum(cost["dollars"] for cost in said["costs"]) == pytest.approx(said["dollars"])


def test_json_has_the_sources(capsys: pytest.CaptureFixture[str]) -> None:
    said = as_json(capsys)
    assert (said["region"], said["prices_read"]) == ("us-east-1", "2026-11")
    assert said["stream"] == {
        "mode": "on-demand",
        "shards": 34,
        "peak_mb_per_second": pytest.approx(6.612, rel=1e-3),
    }
    assert said["function"]["calls_per_batch"] == {"time_series": 4, "device_state": 4}
    assert all(cost["source"].startswith("https://") and cost["seen"] for cost in said["costs"])
    shares = [limit["share"] for limit in said["limits"]]
    assert shares == sorted(shares, reverse=True)
    assert "reserved_concurrent_executions= fails" in said["notes"][0]
    assert [limit["full"] for limit in said["limits"]] == [share >= 0.8 for share in shares]
    assert {mode["mode"]: mode["complete"] for mode in said["stream_modes"]} == {
        "on-demand": True,
        "provisioned, 21 shards": True,
        "On-demand Advantage": False,
    }


def test_every_option_reaches_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    options = {
        "--readings-per-message": ("3", "readings_per_message", 3),
        "--peak": ("2.5", "peak", 2.5),
        "--batch-size": ("200", "batch_size", 200),
        "--batching-window": ("500ms", "batching_window_seconds", 0.5),
        "--parallelization-factor": ("4", "parallelization_factor", 4),
        "--memory-size": ("1024", "memory_mb", 1024),
        "--invocation-ms": ("150", "invocation_milliseconds", 150),
        "--shard-count": ("50", "shard_count", 50),
        "--stream-retention": ("36h", "stream_retention_seconds", 129_600),
        "--retention": ("30d", "retention_seconds", 2_592_000),
        "--years": ("3", "years", 3),
        "--stored-bytes": ("1500", "stored_bytes", 1500),
    }
    given = [part for option, (text, _, _) in options.items() for part in (option, text)]
    said = as_json(capsys, *given, "--basic-ingest")["workload"]
    expected = {name: value for _, name, value in options.values()} | {"basic_ingest": True}
    assert said == {**expected, "devices": 10**6, "every_seconds": 60, "reading_bytes": 400}


def test_left_out_options_are_the_defaults_of_the_constructs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*FLEET, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["workload"]
    assert said["batch_size"] == defaults.BATCH_SIZE
    assert said["batching_window_seconds"] == defaults.MAX_BATCHING_WINDOW_SECONDS
    assert said["parallelization_factor"] == defaults.PARALLELIZATION_FACTOR
    assert said["memory_mb"] == defaults.MEMORY_MB
    assert said["stream_retention_seconds"] == defaults.STREAM_RETENTION_HOURS * 3600
    assert said["retention_seconds"] == defaults.TIME_SERIES_RETENTION_DAYS * 86_400
    assert (said["shard_count"], said["readings_per_message"], said["peak"]) == (None, 1, 1)
    assert said["years"] == 1
    assert estimate_usage(Workload(devices=10**6, every_seconds=60, reading_bytes=400)).shards == 34


def test_stored_bytes_in_place_of_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    tables = as_json(capsys, "--stored-bytes", "1025")["tables"]
    assert tables["time_series_write_units_per_second"] == pytest.approx(2 * 16_666.67)
    assert tables["device_state_write_units_per_second"] == pytest.approx(16_666.67)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--devices", "many"], "'many' is not a number; specify for example 1.5"),
        (["--devices", "1.5"], "'1.5' is not a whole number; specify for example 1000 or 1e6"),
        (["--devices", "-1"], "--devices -1 is out of range; specify 0 to 1,000,000,000,000"),
        (["--devices", "nan"], "'nan' is not a number"),
        (["--devices", "inf"], "'inf' is not a number"),
        (["--every", "60"], "'60' is not a duration; specify a number and a unit, for example 60s"),
        (["--every", "1 h"], "'1 h' is not a duration"),
        (["--every", "0s"], "--every 0 is out of range; specify 0.001 to 31,622,400"),
        (["--bytes", "0"], "--bytes 0 is out of range"),
        (["--bytes", "200000"], "--bytes 200000 is out of range; specify 1 to 131,072"),
        (
            ["--bytes", "1000", "--readings-per-message", "132"],
            "make a message of 132000 bytes, and AWS IoT accepts 131072; specify --readings-per-message 131",
        ),
        (["--batch-size", "10001"], "--batch-size 10001 is out of range; specify 1 to 10,000"),
        (["--batching-window", "301s"], "--batching-window 301 is out of range; specify 0 to 300"),
        (["--parallelization-factor", "11"], "specify 1 to 10"),
        (["--memory-size", "64"], "specify 128 to 10,240"),
        (["--shard-count", "0"], "--shard-count 0 is out of range"),
        (["--stream-retention", "23h"], "specify 86,400 to 31,536,000"),
        (["--retention", "1h"], "--retention 3600 is out of range"),
        (["--years", "101"], "--years 101 is out of range; specify 0 to 100"),
        (["--peak", "0.5"], "--peak 0.5 is out of range; specify 1 to 1,000"),
        (["--invocation-ms", "0"], "--invocation-ms 0 is out of range"),
        (["--stored-bytes", "500000"], "specify 1 to 409,600"),
    ],
)
def test_an_invalid_value_is_a_usage_error_with_the_valid_ones(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*MILLION, *options])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (number(0), "0"),
        (number(0.00099), "<0.001"),
        (number(0.001), "0.001"),
        (number(99.96), "100"),
        (number(1.234), "1.23"),
        (number(100.6), "101"),
        (number(1234567.8), "1,234,568"),
        (percent(0.0099), "under 1%"),
        (percent(0.01), "1%"),
        (percent(12.5), "1,250%"),
        (dollars(None), "price unknown"),
        (dollars(99.994), "99.99"),
        (dollars(150.4), "150"),
        (dollars(1500), "1,500"),
    ],
)
def test_numbers_are_short(shown: str, text: str) -> None:
    assert shown == text


@pytest.mark.parametrize("missing", ["--devices", "--every", "--bytes"])
def test_three_options_are_required(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    at = MILLION.index(missing)
    with pytest.raises(SystemExit) as stopped:
        main(MILLION[:at] + MILLION[at + 2 :])
    assert stopped.value.code == 2
    assert missing in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("60s", 60), ("1.5m", 90), ("2h", 7200), ("1d", 86_400)]
)
def test_durations(text: str, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "--every", text)["workload"]["every_seconds"] == seconds


_BARE = """
import sys, types
package = types.ModuleType("iot_constructs")
package.__path__ = [{folder!r}]
sys.modules["iot_constructs"] = package
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("aws_cdk", "boto3", "botocore", "constructs", "jsii"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
from iot_constructs.cli.main import main
from tests.cli.workloads import ARGUMENTS
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("options", [["plan", "--help"], [*MILLION, "--json"]])
def test_it_needs_neither_aws_cdk_nor_boto3_nor_node(options: list[str]) -> None:
    folder = str(Path(iot_constructs.cli.__file__).parents[1])
    asked = [sys.executable, "-c", _BARE.format(folder=folder), *options]
    run = subprocess.run(asked, capture_output=True, text=True, check=False, env={"PATH": ""})
    assert run.returncode == 0, run.stderr
    assert "--readings-per-message" in run.stdout or json.loads(run.stdout)["dollars"] > 0
