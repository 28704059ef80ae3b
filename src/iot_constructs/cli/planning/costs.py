"""The monthly cost by service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from iot_constructs.cli.planning import (
    DAY_SECONDS,
    GB,
    MB,
    MONTH_SECONDS,
    YEAR_SECONDS,
    prices,
)
from iot_constructs.cli.planning.assumptions import (
    ALARM_METRICS,
    AUTO_SCALING_ALARMS,
    COMPOSITE_ALARMS,
    CONSUMERS,
    CUSTOM_METRICS,
    DASHBOARDS,
    KEYS,
    LOG_BYTES,
    METRIC_LOG_BYTES,
)
from iot_constructs.cli.planning.prices import Price
from iot_constructs.cli.planning.usage import (
    FIREHOSE_STEP_BYTES,
    IOT_STEP_BYTES,
    LOG_STORED_SECONDS,
    PUT_UNIT_BYTES,
    STREAM_STEP_BYTES,
    TIME_SERIES,
    TableUsage,
    Usage,
    estimate_usage,
)
from iot_constructs.cli.planning.workload import Workload

IOT, KINESIS, LAMBDA, DYNAMODB = "IoT Core", "Kinesis", "Lambda", "DynamoDB"
FIREHOSE, S3, KMS, QUEUES = "Firehose", "S3", "KMS", "SNS, SQS"
CLOUDWATCH = "CloudWatch, X-Ray"
SERVICES = (IOT, KINESIS, LAMBDA, DYNAMODB, FIREHOSE, S3, KMS, QUEUES, CLOUDWATCH)

_EXTENDED_FROM, _EXTENDED_TO = DAY_SECONDS, 7 * DAY_SECONDS
_CHARGED_ROTATIONS = 2  # later ones are free (https://aws.amazon.com/kms/pricing/)
_HOURS = MONTH_SECONDS / 3600


@dataclass(frozen=True)
class Cost:
    """A line item of the cost."""

    service: str
    what: str
    quantity: float
    """In single units, such as messages, not millions of messages."""
    price: Price

    @property
    def dollars(self) -> float:
        """The monthly cost."""
        return self.price.dollars(self.quantity)


def total(costs: Iterable[Cost]) -> float:
    """Return the sum of the costs."""
    return sum(cost.dollars for cost in costs)


def by_service(costs: Sequence[Cost]) -> dict[str, float]:
    """Return the monthly cost by service."""
    return {
        service: total(cost for cost in costs if cost.service == service) for service in SERVICES
    }


def monthly_cost(workload: Workload) -> float:
    """Return the monthly cost of a workload."""
    return total(list_costs(estimate_usage(workload)))


def list_costs(usage: Usage) -> list[Cost]:
    """Return all line items."""
    return [
        *_iot(usage),
        *_stream(usage),
        *_function(usage),
        *_tables(usage),
        *_archive(usage),
        *_key(usage),
        Cost(QUEUES, "alerts", 0, prices.SNS_REQUESTS),
        Cost(QUEUES, "dead letters", 0, prices.SQS_REQUESTS),
        *_monitoring(usage),
    ]


def _iot(usage: Usage) -> Iterator[Cost]:
    metered = usage.messages * ceil(usage.workload.message_bytes / IOT_STEP_BYTES)
    minutes = usage.workload.devices * MONTH_SECONDS / 60
    yield Cost(IOT, "connections", minutes, prices.IOT_CONNECTION_MINUTES)
    # iot/latest/developerguide/iot-basic-ingest.html
    charged = 0 if usage.workload.basic_ingest else metered
    yield Cost(IOT, "messages", charged, prices.IOT_MESSAGES)
    yield Cost(IOT, "rule", metered, prices.IOT_RULES)
    yield Cost(IOT, "action", metered, prices.IOT_ACTIONS)


def _stream(usage: Usage) -> Iterator[Cost]:
    return _on_demand(usage) if usage.workload.shard_count is None else _provisioned(usage)


def _extended_retention(workload: Workload) -> tuple[float, float]:
    """Return the retention between 24 hours and 7 days, and beyond 7 days."""
    kept = workload.stream_retention_seconds
    return min(kept, _EXTENDED_TO) - _EXTENDED_FROM, max(kept - _EXTENDED_TO, 0)


def _on_demand(usage: Usage) -> Iterator[Cost]:
    steps = ceil(usage.workload.message_bytes / STREAM_STEP_BYTES)
    rate = usage.workload.messages_per_second * steps * STREAM_STEP_BYTES
    month = rate * MONTH_SECONDS / GB
    extended, long = _extended_retention(usage.workload)
    yield Cost(KINESIS, "stream", _HOURS, prices.STREAM_HOURS)
    yield Cost(KINESIS, "data in", month, prices.STREAM_GB_IN)
    yield Cost(KINESIS, "data out", month * CONSUMERS, prices.STREAM_GB_OUT)
    yield Cost(KINESIS, "retention", rate * extended / GB, prices.STREAM_GB_EXTENDED)
    if long:
        yield Cost(KINESIS, "long retention", rate * long / GB, prices.STREAM_GB_LONG)


def _provisioned(usage: Usage) -> Iterator[Cost]:
    extended, long = _extended_retention(usage.workload)
    hours = usage.shards * _HOURS
    units = usage.messages * ceil(usage.workload.message_bytes / PUT_UNIT_BYTES)
    yield Cost(KINESIS, "shards", hours, prices.SHARD_HOURS)
    yield Cost(KINESIS, "PUT units", units, prices.SHARD_PUT_UNITS)
    if extended:
        yield Cost(KINESIS, "retention", hours, prices.SHARD_HOURS_EXTENDED)
    if long:
        kept = usage.workload.messages_per_second * usage.workload.message_bytes * long
        yield Cost(KINESIS, "long retention", kept / GB, prices.STREAM_GB_LONG)


def _function(usage: Usage) -> Iterator[Cost]:
    invocations = usage.average.per_second * MONTH_SECONDS
    gigabytes = usage.workload.memory_mb * MB / GB
    seconds = invocations * usage.average.milliseconds / 1000
    yield Cost(LAMBDA, "requests", invocations, prices.LAMBDA_REQUESTS)
    yield Cost(LAMBDA, "duration", seconds * gigabytes, prices.LAMBDA_GB_SECONDS)


def _tables(usage: Usage) -> Iterator[Cost]:
    units = _table_capacity if usage.workload.provisioned_tables else _table_requests
    for table in usage.tables:
        yield from units(table)
    for name, stored in usage.stored_gb.items():
        is_rare = name == TIME_SERIES and usage.workload.infrequent_access
        yield Cost(
            DYNAMODB, f"{name} storage", stored, prices.IA_GB if is_rare else prices.TABLE_GB
        )
    recovery = sum(usage.stored_gb.values())
    yield Cost(DYNAMODB, "recovery", recovery, prices.TABLE_RECOVERY_GB)


def _table_requests(table: TableUsage) -> Iterator[Cost]:
    write, read = (
        (prices.IA_WRITE_UNITS, prices.IA_READ_UNITS)
        if table.infrequent_access
        else (prices.TABLE_WRITE_UNITS, prices.TABLE_READ_UNITS)
    )
    yield Cost(DYNAMODB, f"{table.name} writes", table.writes * MONTH_SECONDS, write)
    yield Cost(DYNAMODB, f"{table.name} reads", table.reads * MONTH_SECONDS, read)


def _table_capacity(table: TableUsage) -> Iterator[Cost]:
    write, read = (
        (prices.IA_WRITE_CAPACITY, prices.IA_READ_CAPACITY)
        if table.infrequent_access
        else (prices.WRITE_CAPACITY, prices.READ_CAPACITY)
    )
    yield Cost(DYNAMODB, f"{table.name} writes", table.write_capacity * _HOURS, write)
    yield Cost(DYNAMODB, f"{table.name} reads", table.read_capacity * _HOURS, read)


def _archive(usage: Usage) -> Iterator[Cost]:
    workload = usage.workload
    steps = ceil(workload.message_bytes / FIREHOSE_STEP_BYTES)
    ingested = usage.messages * steps * FIREHOSE_STEP_BYTES / GB
    standard, cold = usage.archive_gb
    objects = usage.objects * MONTH_SECONDS
    yield Cost(FIREHOSE, "data in", ingested, prices.FIREHOSE_GB)
    yield Cost(S3, "objects", objects, prices.S3_PUTS)
    yield Cost(S3, "storage", standard, prices.S3_GB)
    if cold:
        yield Cost(S3, "transitions", objects, prices.S3_COLD_TRANSITIONS)
        yield Cost(S3, "cold storage", cold, prices.S3_COLD_GB)


def _key(usage: Usage) -> Iterator[Cost]:
    rotations = min(usage.workload.age_seconds // YEAR_SECONDS, _CHARGED_ROTATIONS)
    yield Cost(KMS, "keys", KEYS, prices.KMS_KEYS)
    yield Cost(KMS, "rotations", KEYS * rotations, prices.KMS_ROTATIONS)
    yield Cost(KMS, "requests", usage.key_calls * MONTH_SECONDS, prices.KMS_REQUESTS)


def _monitoring(usage: Usage) -> Iterator[Cost]:
    workload = usage.workload
    logged = usage.average.per_second * (LOG_BYTES if workload.system_logs else METRIC_LOG_BYTES)
    # Charged only for the hours in which they are emitted (https://aws.amazon.com/cloudwatch/pricing/).
    emitted = CUSTOM_METRICS if usage.messages else 0
    scaling = 2 * AUTO_SCALING_ALARMS * len(usage.tables) if workload.provisioned_tables else 0
    yield Cost(CLOUDWATCH, "alarms", ALARM_METRICS + scaling, prices.ALARMS)
    yield Cost(CLOUDWATCH, "composite alarms", COMPOSITE_ALARMS, prices.COMPOSITE_ALARMS)
    yield Cost(CLOUDWATCH, "dashboards", DASHBOARDS, prices.DASHBOARDS)
    yield Cost(CLOUDWATCH, "custom metrics", emitted, prices.CUSTOM_METRICS)
    yield Cost(CLOUDWATCH, "logs", logged * MONTH_SECONDS / GB, prices.LOG_GB)
    yield Cost(CLOUDWATCH, "log storage", logged * LOG_STORED_SECONDS / GB, prices.LOG_STORED_GB)
    yield Cost(CLOUDWATCH, "traces", usage.traces * MONTH_SECONDS, prices.TRACES)
