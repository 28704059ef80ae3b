"""``iot-constructs plan``: estimates the resource usage, the monthly cost and the quota usage of a fleet."""

from __future__ import annotations

import argparse
import json
import math
import re

from iot_constructs import _defaults as defaults
from iot_constructs.cli.exit_codes import DONE, ExitCodes
from iot_constructs.cli.planning.plan_report import as_json, as_text
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.cli.planning.workload import Workload

HELP = "estimate resource usage, monthly cost and quota usage of a fleet"
DESCRIPTION = """\
Estimates shards, invocations, DynamoDB calls and write units, S3 objects, the monthly cost by service, and the usage of
each service quota for a pipeline of these constructs. The command makes no AWS calls; each price and quota has its
source.

The model uses averages. If devices send at the same time, set --peak. Prices are for us-east-1."""
EXIT_CODES = ExitCodes(done="estimated, whatever the quota usage")
EPILOG = """\
durations: 500ms, 60s, 5m, 1h, 30d
--readings-per-message N: a device collects N readings of --bytes each and sends them as one message. The processor
stores a message as one item with one timestamp, so queries must read the values within the item.

For the model, its assumptions and estimates from 10^3 to 10^8 devices, see docs/scale.md."""

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--devices",
        required=True,
        type=_count,
        metavar="N",
        help="number of devices, for example 1e6; 0 is an idle environment",
    )
    parser.add_argument(
        "--every",
        required=True,
        type=_duration,
        metavar="DURATION",
        help="interval between the readings of a device, for example 60s",
    )
    parser.add_argument(
        "--bytes", required=True, type=_count, metavar="N", help="size of a reading as it is sent"
    )
    parser.add_argument(
        "--readings-per-message",
        type=_count,
        metavar="N",
        default=Workload.readings_per_message,
        help="readings that a device collects before it sends (see below); default: 1",
    )
    parser.add_argument(
        "--basic-ingest",
        action="store_true",
        help="devices publish to the rule itself, without messaging cost: basic_ingest of TelemetryRule",
    )
    parser.add_argument(
        "--peak",
        type=_number,
        metavar="FACTOR",
        default=Workload.peak,
        help="peak rate as a multiple of the average, for the quota usage; default: 1",
    )
    parser.add_argument(
        "--batch-size",
        type=_count,
        metavar="N",
        default=defaults.BATCH_SIZE,
        help="batch_size of StreamProcessor; default: %(default)s",
    )
    parser.add_argument(
        "--batching-window",
        type=_duration,
        metavar="DURATION",
        default=float(defaults.MAX_BATCHING_WINDOW_SECONDS),
        help=f"max_batching_window of StreamProcessor; default: {defaults.MAX_BATCHING_WINDOW_SECONDS}s",
    )
    parser.add_argument(
        "--parallelization-factor",
        type=_count,
        metavar="N",
        default=defaults.PARALLELIZATION_FACTOR,
        help="parallelization_factor of StreamProcessor; default: %(default)s",
    )
    parser.add_argument(
        "--memory-size",
        type=_count,
        metavar="MB",
        default=defaults.MEMORY_MB,
        help="memory_size of StreamProcessor; default: %(default)s. It does not change the estimated duration",
    )
    parser.add_argument(
        "--invocation-ms",
        type=_number,
        metavar="N",
        help="average duration of an invocation, from the metric Duration; default: an estimate",
    )
    parser.add_argument(
        "--shard-count",
        type=_count,
        metavar="N",
        help="shard_count of MonitoredStream; default: on-demand",
    )
    parser.add_argument(
        "--stream-retention",
        type=_duration,
        metavar="DURATION",
        default=Workload.stream_retention_seconds,
        help=f"retention_period of MonitoredStream; default: {defaults.STREAM_RETENTION_HOURS // 24}d",
    )
    parser.add_argument(
        "--retention",
        type=_duration,
        metavar="DURATION",
        default=Workload.retention_seconds,
        help=f"retention of TimeSeriesTable; default: {defaults.TIME_SERIES_RETENTION_DAYS}d. Its storage is estimated "
        "for the time after that period",
    )
    parser.add_argument(
        "--years",
        type=_count,
        metavar="N",
        default=Workload.years,
        help="age of the pipeline, for the storage of the archive, which keeps all records, and the rotations of the "
        "key; default: %(default)s",
    )
    parser.add_argument(
        "--stored-bytes",
        type=_count,
        metavar="N",
        help="size of an item in the time-series table; default: an estimate from the message",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    try:
        workload = Workload(
            devices=arguments.devices,
            every_seconds=arguments.every,
            reading_bytes=arguments.bytes,
            readings_per_message=arguments.readings_per_message,
            basic_ingest=arguments.basic_ingest,
            peak=arguments.peak,
            batch_size=arguments.batch_size,
            batching_window_seconds=arguments.batching_window,
            parallelization_factor=arguments.parallelization_factor,
            memory_mb=arguments.memory_size,
            shard_count=arguments.shard_count,
            stream_retention_seconds=arguments.stream_retention,
            retention_seconds=arguments.retention,
            years=arguments.years,
            stored_bytes=arguments.stored_bytes,
            invocation_milliseconds=arguments.invocation_ms,
        )
    except ValueError as error:
        arguments.usage_error(str(error))
    usage = estimate_usage(workload)
    if arguments.json:
        print(json.dumps(as_json(usage), indent=2))
    else:
        for line in as_text(usage):
            print(line)
    return DONE


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
