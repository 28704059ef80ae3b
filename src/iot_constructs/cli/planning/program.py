"""The Python program of a pipeline with the settings of a workload."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import DAY_SECONDS
from iot_constructs.cli.planning.assumptions import TABLE_UTILIZATION
from iot_constructs.cli.planning.quotas import TABLE_WRITE_UNITS
from iot_constructs.cli.planning.usage import DEVICE_STATE, TIME_SERIES, TableUsage, estimate_usage
from iot_constructs.cli.planning.workload import Workload

_MODULES = {
    "dynamodb": "aws_dynamodb as dynamodb",
    "lambda_": "aws_lambda as lambda_",
    "s3": "aws_s3 as s3",
}
_GROWTH = 2  # of the capacity, up to which auto scaling may go


def write_program(workload: Workload) -> list[str]:
    """Return the lines of an ``app.py``. Arguments that are the defaults of the constructs are left out."""
    body = list(_constructs(workload))
    text = "\n".join(body)
    constructs = {"SuffixedStack", *re.findall(r"(\w+)\(\s*stack\b", text)}
    return [
        "import aws_cdk as cdk",
        *(
            f"from aws_cdk import {module}"
            for name, module in _MODULES.items()
            if f"{name}." in text
        ),
        "",
        "from iot_constructs import (",
        *(f"    {name}," for name in sorted(constructs)),
        ")",
        "",
        "app = cdk.App()",
        'stack = SuffixedStack(app, "Pipeline", environment_suffix="prod")',
        *body,
        "app.synth()",
    ]


def _constructs(workload: Workload) -> Iterator[str]:
    tables = {table.name: table for table in estimate_usage(workload).tables}
    yield from _call("stream = MonitoredStream", "Stream", _stream(workload))
    series = [*_retention(workload), *_billing(workload, tables[TIME_SERIES])]
    yield from _call("readings = TimeSeriesTable", "TimeSeries", series)
    if workload.device_state:
        state = list(_billing(workload, tables[DEVICE_STATE]))
        yield from _call("states = DeviceStateTable", "DeviceState", state)
    yield from _call("processor = TelemetryProcessor", "Processor", list(_processor(workload)))
    rule = ["stream=stream,", "dlq_topic=processor.dlq_topic,"]
    rule += ["basic_ingest=True,"] if workload.basic_ingest else []
    yield from _call("rule = TelemetryRule", "Telemetry", rule)
    yield from _call("DevicePolicy", "Devices", ["rule=rule,"])
    yield from _call("bucket = SecureDataBucket", "Data", [])
    yield from _call("archive = StreamArchive", "Archive", list(_archive(workload)))
    watched = ["stream=stream,", "processor=processor,", "time_series_table=readings,"]
    watched += ["device_state_table=states,"] if workload.device_state else []
    yield from _call("PipelineAlarms", "Alarms", [*watched, "archive=archive,", "rule=rule,"])


def _call(target: str, id: str, arguments: list[str]) -> Iterator[str]:
    if not arguments:
        yield f'{target}(stack, "{id}")'
        return
    yield f"{target}("
    for line in ("stack,", f'"{id}",', *arguments):
        yield f"    {line}"
    yield ")"


def _duration(seconds: float) -> str:
    for unit, size in (("days", DAY_SECONDS), ("hours", 3600), ("minutes", 60), ("seconds", 1)):
        if seconds % size == 0:
            return f"cdk.Duration.{unit}({seconds / size:.0f})"
    return f"cdk.Duration.millis({seconds * 1000:.0f})"


def _stream(workload: Workload) -> list[str]:
    lines = [f"shard_count={workload.shard_count},"] if workload.shard_count is not None else []
    if workload.stream_retention_seconds != Workload.stream_retention_seconds:
        lines.append(f"retention_period={_duration(workload.stream_retention_seconds)},")
    return lines


def _retention(workload: Workload) -> Iterator[str]:
    if workload.retention_seconds != Workload.retention_seconds:
        yield f"retention={_duration(workload.retention_seconds)},"


def _billing(workload: Workload, table: TableUsage) -> Iterator[str]:
    if table.infrequent_access:
        yield "table_class=dynamodb.TableClass.STANDARD_INFREQUENT_ACCESS,"
    if not workload.provisioned_tables:
        return
    yield "billing=dynamodb.Billing.provisioned("
    for kind, capacity in (("read", table.read_capacity), ("write", table.write_capacity)):
        yield f"    {kind}_capacity=dynamodb.Capacity.autoscaled("
        yield f"        min_capacity={capacity},"
        yield f"        max_capacity={_max_capacity(capacity)},"
        yield f"        target_utilization_percent={TABLE_UTILIZATION * 100:.0f},"
        yield "    ),"
    yield "),"


def _max_capacity(capacity: int) -> int:
    """Return twice the capacity, but no more than a table may have without a higher quota."""
    return max(capacity, min(capacity * _GROWTH, int(TABLE_WRITE_UNITS.value)))


def _processor(workload: Workload) -> Iterator[str]:
    yield "stream=stream,"
    yield "time_series_table=readings,"
    if workload.device_state:
        yield "device_state_table=states,"
    if workload.device_state_interval_seconds is not None:
        yield f"device_state_interval={_duration(workload.device_state_interval_seconds)},"
    for name, value, default in (
        ("batch_size", workload.batch_size, defaults.BATCH_SIZE),
        (
            "parallelization_factor",
            workload.parallelization_factor,
            defaults.PARALLELIZATION_FACTOR,
        ),
        ("memory_size", workload.memory_mb, defaults.MEMORY_MB),
    ):
        if value != default:
            yield f"{name}={value},"
    if workload.batching_window_seconds != defaults.MAX_BATCHING_WINDOW_SECONDS:
        yield f"max_batching_window={_duration(workload.batching_window_seconds)},"
    if not workload.tracing:
        yield "tracing=lambda_.Tracing.DISABLED,"
    if not workload.system_logs:
        yield "system_log_level_v2=lambda_.SystemLogLevel.WARN,"


def _archive(workload: Workload) -> Iterator[str]:
    yield "stream=stream,"
    yield "bucket=bucket,"
    if workload.buffering_interval_seconds != defaults.BUFFERING_INTERVAL_SECONDS:
        yield f"buffering_interval={_duration(workload.buffering_interval_seconds)},"
    if workload.archive_retention_seconds is not None:
        yield f"retention={_duration(workload.archive_retention_seconds)},"
    if workload.archive_transition_seconds is not None:
        yield "transitions=["
        yield "    s3.Transition("
        yield "        storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,"
        yield f"        transition_after={_duration(workload.archive_transition_seconds)},"
        yield "    ),"
        yield "],"
