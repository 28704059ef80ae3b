"""``iot-constructs plan``: estimates usage, cost and quotas of a fleet, and finds the cheapest configuration."""

from __future__ import annotations

import argparse
import json
import math
import re
from dataclasses import fields

from iot_constructs.cli.exit_codes import DONE, ExitCodes
from iot_constructs.cli.planning import DAY_SECONDS
from iot_constructs.cli.planning.plan_report import as_json, as_optimized_text, as_text
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.cli.planning.workload import Workload

HELP = "estimate usage, monthly cost and quotas of a fleet, and lower the cost"
DESCRIPTION = """\
Estimates shards, invocations, DynamoDB calls and units, S3 objects, the monthly
cost by service, and the usage of each service quota for a pipeline of these
constructs. Ranks what lowers the cost. The command makes no AWS calls; each
price and quota has its source.

The model uses averages. If devices send at the same time, set --peak. Prices
are for us-east-1."""
EXIT_CODES = ExitCodes(done="estimated, with any quota usage")
EPILOG = """\
durations: 500ms, 60s, 5m, 1h, 30d, 1y (365 days)

--optimize prints the cheapest configuration and its program, app.py. It keeps
all data as long as before and changes nothing on the devices but their topic
(Basic Ingest). No limit is used by 80% or more that is not before. Levers that
change the devices or the data are listed with their savings.

For the model, its assumptions and estimates from 10^3 to 10^8 devices, see
docs/scale.md."""

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS, "y": 365 * DAY_SECONDS}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|y)", re.ASCII)


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number; specify for example 1.5")
    return number


def _count(value: str) -> int:
    number = _number(value)
    if number != int(number):
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a whole number; specify for example 1000 or 1e6"
        )
    return int(number)


def _duration(value: str) -> float:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a duration; specify a number and a unit, for example 60s, 5m, 1h or 30d"
        )
    return float(match[1]) * _SECONDS[match[2]]


_KINDS = {_count: "N", _number: "NUMBER", _duration: "DURATION"}
_REQUIRED = (
    ("--devices", "devices", _count, "number of devices, for example 1e6; 0 is idle"),
    ("--every", "every_seconds", _duration, "between two readings of a device"),
    ("--bytes", "reading_bytes", _count, "size of a reading as it is sent"),
)
_SETTINGS = (
    (
        "--readings-per-message",
        "readings_per_message",
        _count,
        "readings in a message, an array of which each is stored",
    ),
    ("--peak", "peak", _number, "peak rate as a multiple of the average"),
    ("--batch-size", "batch_size", _count, "of StreamProcessor"),
    ("--batching-window", "batching_window_seconds", _duration, "of StreamProcessor"),
    ("--parallelization-factor", "parallelization_factor", _count, "of StreamProcessor"),
    (
        "--memory-size",
        "memory_mb",
        _count,
        "of StreamProcessor, in MB; does not change the estimated duration",
    ),
    (
        "--invocation-ms",
        "invocation_milliseconds",
        _number,
        "average duration of an invocation, from the metric Duration, instead of the estimate",
    ),
    (
        "--shard-count",
        "shard_count",
        _count,
        "of MonitoredStream, instead of on-demand mode",
    ),
    ("--stream-retention", "stream_retention_seconds", _duration, "of MonitoredStream"),
    ("--retention", "retention_seconds", _duration, "of TimeSeriesTable"),
    (
        "--device-state-interval",
        "device_state_interval_seconds",
        _duration,
        "of TelemetryProcessor, instead of a write with each batch",
    ),
    (
        "--archive-retention",
        "archive_retention_seconds",
        _duration,
        "of StreamArchive; without it, nothing expires",
    ),
    (
        "--archive-transition",
        "archive_transition_seconds",
        _duration,
        "age at which records move to S3 Glacier Instant Retrieval",
    ),
    ("--buffering-interval", "buffering_interval_seconds", _duration, "of StreamArchive"),
    (
        "--age",
        "age_seconds",
        _duration,
        "of the pipeline, which stores more until data expires; default: 1y",
    ),
    (
        "--queries-per-day",
        "queries_per_day",
        _number,
        "for a day's readings of a device, for each device",
    ),
    (
        "--dashboard-refresh",
        "dashboard_seconds",
        _duration,
        "between reads of the states of 1,000 devices",
    ),
    (
        "--stored-bytes",
        "stored_bytes",
        _count,
        "size of an item in the time-series table, instead of the estimate",
    ),
)
_SWITCHES = (
    (
        "--basic-ingest",
        "basic_ingest",
        True,
        "devices publish to the rule itself: basic_ingest of TelemetryRule",
    ),
    ("--provisioned-tables", "provisioned_tables", True, "billing of the tables"),
    ("--infrequent-access", "infrequent_access", True, "table_class of TimeSeriesTable"),
    ("--no-device-state", "device_state", False, "there is no device-state table"),
    ("--no-tracing", "tracing", False, "tracing of StreamProcessor is disabled"),
    ("--no-system-logs", "system_logs", False, "system_log_level_v2 is WARN"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    for option, name, kind, text in _REQUIRED:
        parser.add_argument(
            option, dest=name, required=True, type=kind, metavar=_KINDS[kind], help=text
        )
    for option, name, kind, text in _SETTINGS:
        default = getattr(Workload, name)
        known = default is not None and "default:" not in text
        shown = f"; default: {_format_default(default, kind is _duration)}" if known else ""
        parser.add_argument(option, dest=name, type=kind, metavar=_KINDS[kind], help=text + shown)
    for option, name, value, text in _SWITCHES:
        parser.add_argument(option, dest=name, action="store_const", const=value, help=text)
    parser.add_argument(
        "--ephemeral",
        action="store_true",
        help="the stream of an ephemeral stack: one shard, 24 hours of retention",
    )
    parser.add_argument(
        "--optimize", action="store_true", help="print the cheapest configuration (see below)"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="compare the cost by service with that of other pipelines",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON document with all of it")


def _format_default(value: float, is_duration: bool) -> str:
    if not is_duration:
        return f"{value:g}"
    unit = next(unit for unit in ("d", "h", "m", "s") if value % _SECONDS[unit] == 0)
    return f"{value / _SECONDS[unit]:g}{unit}"


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    given = {
        field.name: value
        for field in fields(Workload)
        if (value := getattr(arguments, field.name)) is not None
    }
    if arguments.ephemeral:
        given = {"shard_count": 1, "stream_retention_seconds": float(DAY_SECONDS), **given}
    try:
        workload = Workload(**given)
    except ValueError as error:
        arguments.usage_error(str(error))
    if arguments.json:
        print(json.dumps(as_json(workload), indent=2))
        return DONE
    lines = (
        as_optimized_text(workload)
        if arguments.optimize
        else as_text(estimate_usage(workload), compare=arguments.compare)
    )
    for line in lines:
        print(line)
    return DONE
