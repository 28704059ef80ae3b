"""The command: what it prints, what it refuses, and that it needs nothing but Python."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest

import iot_constructs.cli
from iot_constructs import _defaults as defaults
from iot_constructs.cli import planning
from iot_constructs.cli.main import main
from iot_constructs.cli.planning.plan_report import dollars, number, percent
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.cli.planning.workload import Workload
from tests.cli.workloads import ARGUMENTS

FLEET = ["plan", "--devices", "1e6", "--every", "60s", "--bytes", "400"]
MILLION = [*FLEET, *ARGUMENTS]


EVERY_OUTPUT = [
    [],
    ["--compare"],
    ["--optimize"],
    ["--ephemeral", "--devices", "0", "--age", "30d"],
    ["--devices", "1e12", "--every", "500ms", "--bytes", "100000", "--peak", "9", "--compare"],
    ["--devices", "1e8", "--optimize"],
    ["--devices", "7", "--every", "1h", "--readings-per-message", "20", "--compare"],
    ["--device-state-interval", "10m", "--archive-retention", "1y", "--provisioned-tables"],
]


def as_json(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main([*MILLION, *options, "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def as_text(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main([*MILLION, *options]) == 0
    return capsys.readouterr().out


def test_the_text_has_usage_cost_levers_growth_comparison_and_limits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = as_text(capsys)
    for said in (
        "1,000,000, 16,667 messages/s",
        "on-demand, about 34 shards; 6.61 MB/s at peak",
        "167 invocations/s of 100 records, 75 ms each; 12.5 concurrent of at",
        "each reading is stored as an item of 381 bytes",
        "179 objects per hour; nothing expires",
        "235,451 GB of readings and 39,258 GB in the archive after 365 days",
        "239 requests per hour",
        "messages                  43,800  million messages              31,360",
        "8 per batch: 4 to the time-series table, 4 for the state of 100",
        "us-east-1, list prices without free tiers, as of 2026-11",
        "TelemetryRule(basic_ingest=True)\n    gives up: subscribers of the topic",
        "not part of --optimize",
        "monthly cost by age in months ",
        "the same data, per month: as planned $",
        "- IoT Core: connections (200%)",
        "MonitoredStream(shard_count=21)",
        "note: new AWS accounts have lower Lambda quotas",
    ):
        assert said in text, said


@pytest.mark.parametrize("options", EVERY_OUTPUT, ids=" ".join)
def test_every_output_has_80_columns(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = as_text(capsys, *options).splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if line != line.rstrip()] == []
    assert len(lines) > 30


def test_the_help_has_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert "--archive-retention DURATION" in "\n".join(lines)


def test_the_text_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split() for line in as_text(capsys).splitlines()]
    printed, growth = [row[-1] for row in rows if row[:1] == ["total"]]
    said = as_json(capsys)
    cost = said["dollars_per_month"]
    assert float(printed.replace(",", "")) == pytest.approx(cost, abs=1)
    assert float(growth.replace(",", "")) == pytest.approx(
        said["growth"][-1]["dollars_per_month"], abs=1
    )
    assert sum(said["dollars_per_month_by_service"].values()) == pytest.approx(cost)
    assert sum(line["dollars_per_month"] for line in said["costs"]) == pytest.approx(cost)
    saved = sum(lever["saved_dollars_per_month"] for lever in said["optimized"]["levers"])
    assert cost - saved == pytest.approx(said["optimized"]["dollars_per_month"])


def test_json_has_the_sources(capsys: pytest.CaptureFixture[str]) -> None:
    said = as_json(capsys)
    assert (said["region"], said["prices_read"]) == ("us-east-1", "2026-11")
    assert said["stream"] == {
        "mode": "on-demand",
        "shards": 34,
        "peak_mb_per_second": pytest.approx(6.612, rel=1e-3),
    }
    calls = {"time_series": 4, "device_state": 4, "state_reads": 0}
    assert said["function"]["calls_per_batch"] == calls
    assert all(cost["source"].startswith("https://") and cost["seen"] for cost in said["costs"])
    shares = [limit["share"] for limit in said["limits"]]
    assert shares == sorted(shares, reverse=True)
    assert "reserved_concurrent_executions= fails" in said["notes"][0]
    assert [limit["full"] for limit in said["limits"]] == [share >= 0.8 for share in shares]


def test_json_counts_in_the_unit_that_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    """A million devices send 43.8 billion messages a month: the unit is a message, not a million."""
    costs = {(cost["service"], cost["what"]): cost for cost in as_json(capsys)["costs"]}
    messages = costs["IoT Core", "messages"]
    assert (messages["quantity"], messages["unit"]) == (pytest.approx(43.8e9), "messages")
    assert costs["KMS", "requests"]["unit"] == "requests"
    assert not [
        cost["unit"] for cost in costs.values() if re.search(r"million|\d,\d", cost["unit"])
    ]
    assert {key for cost in costs.values() for key in cost} == {
        *("service", "what", "quantity", "unit", "dollars_per_month", "source", "seen")
    }


@pytest.mark.parametrize("options", EVERY_OUTPUT, ids=" ".join)
def test_json_has_the_schema_of_the_package(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    schema = json.loads((Path(planning.__file__).parent / "plan.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    said = as_json(capsys, *[option for option in options if option != "--optimize"])
    validator.validate(said)
    assert not validator.is_valid({**said, "more": 1})
    assert not validator.is_valid({name: said[name] for name in said if name != "growth"})
    said["costs"][0]["quantity"] = "43,800"
    assert not validator.is_valid(said)


def test_growth_is_what_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    growth = {
        each["month"]: each["dollars_per_month"]
        for each in as_json(capsys, "--retention", "730d", "--archive-retention", "1y")["growth"]
    }
    # 235,451 GB of readings more in the second year, $0.25 + $0.20 each, and the second rotation of the key
    assert growth[24] - growth[12] == pytest.approx(105_953 + 1, abs=1)
    # the readings expire, and so do the records
    assert growth[36] == growth[24]
    # eleven of the twelve months before, and the archive's: 39,258 GB a year * $0.023
    assert growth[12] - growth[1] == pytest.approx(11 / 12 * (105_953 + 903) + 1, rel=1e-3)


def test_an_ephemeral_stack_has_one_shard_for_24_hours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    idle = ["--devices", "0", "--age", "30d", "--ephemeral"]
    assert main(["plan", *FLEET[1:], *idle, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    # 730 h * $0.015; the key $1, its requests 43,800 * $0.03 / 10,000; 25 * $0.10 + $0.50 + $3
    assert said["dollars_per_month"] == pytest.approx(10.95 + 1.1314 + 6.00)
    assert main(["plan", *FLEET[1:], *idle, "--shard-count", "2", "--json"]) == 0
    workload = json.loads(capsys.readouterr().out)["workload"]
    assert (workload["shard_count"], workload["stream_retention_seconds"]) == (2, 86_400)


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
        "--device-state-interval": ("10m", "device_state_interval_seconds", 600),
        "--archive-retention": ("1y", "archive_retention_seconds", 31_536_000),
        "--archive-transition": ("60d", "archive_transition_seconds", 5_184_000),
        "--buffering-interval": ("15m", "buffering_interval_seconds", 900),
        "--age": ("3y", "age_seconds", 94_608_000),
        "--queries-per-day": ("2.5", "queries_per_day", 2.5),
        "--dashboard-refresh": ("10s", "dashboard_seconds", 10),
        "--stored-bytes": ("1500", "stored_bytes", 1500),
    }
    switches = {
        "--basic-ingest": ("basic_ingest", True),
        "--provisioned-tables": ("provisioned_tables", True),
        "--infrequent-access": ("infrequent_access", True),
        "--no-tracing": ("tracing", False),
        "--no-system-logs": ("system_logs", False),
    }
    given = [part for option, (text, _, _) in options.items() for part in (option, text)]
    said = as_json(capsys, *given, *switches)["workload"]
    expected = {name: value for _, name, value in options.values()} | dict(switches.values())
    fleet = {"devices": 10**6, "every_seconds": 60, "reading_bytes": 400}
    assert said == {**expected, **fleet, "device_state": True}
    assert as_json(capsys, "--no-device-state")["workload"]["device_state"] is False


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
    assert said["age_seconds"] == 365 * 86_400
    assert estimate_usage(Workload(devices=10**6, every_seconds=60, reading_bytes=400)).shards == 34


def test_stored_bytes_in_place_of_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    series, state = as_json(capsys, "--stored-bytes", "1025")["tables"]
    assert series["write_units_per_second"] == pytest.approx(2 * 16_666.67)
    assert state["write_units_per_second"] == pytest.approx(16_666.67)


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
            ["--bytes", "1000", "--readings-per-message", "131"],
            "make a message of 131132 bytes, and AWS IoT accepts 131072; specify --readings-per-message 130 or less",
        ),
        (["--batch-size", "10001"], "--batch-size 10001 is out of range; specify 1 to 10,000"),
        (["--batching-window", "301s"], "--batching-window 301 is out of range; specify 0 to 300"),
        (["--parallelization-factor", "11"], "specify 1 to 10"),
        (["--memory-size", "64"], "specify 128 to 10,240"),
        (["--shard-count", "0"], "--shard-count 0 is out of range"),
        (["--stream-retention", "23h"], "specify 86,400 to 31,536,000"),
        (["--retention", "1h"], "--retention 3600 is out of range"),
        (["--age", "101y"], "--age 3.18514e+09 is out of range; specify 0 to 3,153,600,000"),
        (["--device-state-interval", "25h"], "specify 1 to 86,400"),
        (
            ["--device-state-interval", "10m", "--no-device-state"],
            "--device-state-interval needs the device-state table; remove --no-device-state",
        ),
        (
            ["--archive-retention", "119d", "--archive-transition", "30d"],
            "specify an --archive-retention that is 90 days longer, or remove --archive-transition",
        ),
        (["--buffering-interval", "901s"], "specify 1 to 900"),
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
        (percent(416.7), "417x"),
        (percent(1e9), ">999x"),
        (number(3.1e11), "3.10e+11"),
        (dollars(2.5e10), "2.500e+10"),
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
from iot_constructs.cli import planning
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
    assert "--readings-per-message" in run.stdout or json.loads(run.stdout)["dollars_per_month"] > 0
