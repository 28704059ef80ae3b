"""``iot-constructs plan``: what a fleet takes, what it costs a month, and what breaks first."""

from __future__ import annotations

import argparse
import json
import math
import re

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning.plan_report import as_json, as_text
from iot_constructs.cli.planning.usage import usage_of
from iot_constructs.cli.planning.workload import Workload

HELP = "say what a fleet takes, what it costs a month, and what breaks first"
DESCRIPTION = """\
Works out, for a pipeline of these constructs with the processor of the example: shards, invocations, calls and write
units, objects, dollars a month by service, and how full each limit of AWS is. Asks AWS nothing; every price and quota
is in a table with its source.

It is arithmetic on averages: devices that all send in the same second need --peak. Prices are those of us-east-1."""
EPILOG = """\
exit code: 0, however full a limit is; 2 wrong usage

durations: 500ms, 60s, 5m, 1h, 30d
--readings-per-message N: a device gathers N readings of --bytes each and sends them as one message, N times less often.
The processor stores a message as one item, under one timestamp: what reads the table has to look into it.

The model, its assumptions and a table from 10^3 to 10^8 devices: docs/scale.md"""

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument(
        "--devices", required=True, type=_count, metavar="N", help="how many, for example 1e6"
    )
    parser.add_argument(
        "--every",
        required=True,
        type=_duration,
        metavar="DURATION",
        help="how often each takes a reading, for example 60s",
    )
    parser.add_argument(
        "--bytes", required=True, type=_count, metavar="N", help="of a reading as it is sent"
    )
    parser.add_argument(
        "--readings-per-message",
        type=_count,
        metavar="N",
        default=Workload.readings_per_message,
        help="readings that a device gathers before it sends (see below); default: 1",
    )
    parser.add_argument(
        "--peak",
        type=_number,
        metavar="FACTOR",
        default=Workload.peak,
        help="the busiest seconds as a multiple of the average, for the limits; default: 1",
    )
    parser.add_argument(
        "--batch-size",
        type=_count,
        metavar="N",
        default=defaults.BATCH_SIZE,
        help="as StreamProcessor's; default: %(default)s",
    )
    parser.add_argument(
        "--batching-window",
        type=_duration,
        metavar="DURATION",
        default=float(defaults.MAX_BATCHING_WINDOW_SECONDS),
        help=f"StreamProcessor's max_batching_window; default: {defaults.MAX_BATCHING_WINDOW_SECONDS}s",
    )
    parser.add_argument(
        "--parallelization-factor",
        type=_count,
        metavar="N",
        default=defaults.PARALLELIZATION_FACTOR,
        help="as StreamProcessor's; default: %(default)s",
    )
    parser.add_argument(
        "--memory-size",
        type=_count,
        metavar="MB",
        default=defaults.MEMORY_MB,
        help="as StreamProcessor's; default: %(default)s. The time of an invocation is not adjusted to it",
    )
    parser.add_argument(
        "--invocation-ms",
        type=_number,
        metavar="N",
        help="what an invocation takes on average, from the metric Duration; default: an estimate",
    )
    parser.add_argument(
        "--shard-count", type=_count, metavar="N", help="as MonitoredStream's; default: on-demand"
    )
    parser.add_argument(
        "--stream-retention",
        type=_duration,
        metavar="DURATION",
        default=Workload.stream_retention_seconds,
        help=f"MonitoredStream's retention_period; default: {defaults.STREAM_RETENTION_HOURS // 24}d",
    )
    parser.add_argument(
        "--retention",
        type=_duration,
        metavar="DURATION",
        default=Workload.retention_seconds,
        help=f"TimeSeriesTable's retention; default: {defaults.TIME_SERIES_RETENTION_DAYS}d. Storage is counted as it "
        "is after that time",
    )
    parser.add_argument(
        "--stored-bytes",
        type=_count,
        metavar="N",
        help="of an item in the time-series table; default: an estimate from the message",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document, no table")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the answer is the exit code."""
    try:
        workload = Workload(
            devices=arguments.devices,
            every_seconds=arguments.every,
            reading_bytes=arguments.bytes,
            readings_per_message=arguments.readings_per_message,
            peak=arguments.peak,
            batch_size=arguments.batch_size,
            batching_window_seconds=arguments.batching_window,
            parallelization_factor=arguments.parallelization_factor,
            memory_mb=arguments.memory_size,
            shard_count=arguments.shard_count,
            stream_retention_seconds=arguments.stream_retention,
            retention_seconds=arguments.retention,
            stored_bytes=arguments.stored_bytes,
            invocation_milliseconds=arguments.invocation_ms,
        )
    except ValueError as error:
        arguments.usage_error(str(error))
    usage = usage_of(workload)
    if arguments.json:
        print(json.dumps(as_json(usage), indent=2))
    else:
        for line in as_text(usage):
            print(line)
    return 0


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number; type for example 1.5")
    return number


def _count(value: str) -> int:
    number = _number(value)
    if number != int(number):
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a whole number; type for example 1000 or 1e6"
        )
    return int(number)


def _duration(value: str) -> float:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a duration; type a number and a unit, for example 60s, 5m, 1h or 30d"
        )
    return float(match[1]) * _SECONDS[match[2]]
