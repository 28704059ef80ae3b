"""The monthly cost by service, and the cost of the stream in other capacity modes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from iot_constructs.cli.planning import DAY_SECONDS, GB, MB, MONTH_SECONDS, prices
from iot_constructs.cli.planning.assumptions import (
    ALARM_METRICS,
    COMPOSITE_ALARMS,
    CONSUMERS,
    CUSTOM_METRICS,
    DASHBOARDS,
    KEYS,
    LOG_BYTES,
)
from iot_constructs.cli.planning.prices import Price
from iot_constructs.cli.planning.usage import (
    FIREHOSE_STEP_BYTES,
    IOT_STEP_BYTES,
    ITEM_OVERHEAD_BYTES,
    LOG_STORED_SECONDS,
    PUT_UNIT_BYTES,
    STREAM_STEP_BYTES,
    Usage,
    required_shards,
)
from iot_constructs.cli.planning.workload import Workload

IOT, KINESIS, LAMBDA, DYNAMODB = "IoT Core", "Kinesis", "Lambda", "DynamoDB"
FIREHOSE, S3, KMS, QUEUES = "Firehose", "S3", "KMS", "SNS, SQS"
CLOUDWATCH = "CloudWatch, X-Ray"
SERVICES = (IOT, KINESIS, LAMBDA, DYNAMODB, FIREHOSE, S3, KMS, QUEUES, CLOUDWATCH)

FULL_SHARE = 0.8  # of a quota, from which the plan warns, and to which it fills provisioned shards
_EXTENDED_FROM, _EXTENDED_TO = DAY_SECONDS, 7 * DAY_SECONDS
_CHARGED_ROTATIONS = 2  # later ones are free (https://aws.amazon.com/kms/pricing/)
_HOURS = MONTH_SECONDS / 3600
ADVANTAGE_MINIMUM_MB = 25  # per second in each direction: the minimum (https://aws.amazon.com/kinesis/data-streams/pricing/)


@dataclass(frozen=True)
class Cost:
    """A line item of the cost."""

    service: str
    what: str
    quantity: float
    """In single units, such as messages, not millions of messages."""
    price: Price

    @property
    def dollars(self) -> float | None:
        """The monthly cost; None if the price is unknown."""
        return self.price.dollars(self.quantity)


@dataclass(frozen=True)
class StreamMode:
    """The cost of the stream in one capacity mode."""

    name: str
    costs: tuple[Cost, ...]

    @property
    def dollars(self) -> float:
        """The monthly cost, without items whose price is unknown."""
        return total(self.costs)

    @property
    def complete(self) -> bool:
        """Whether all prices are known."""
        return all(cost.dollars is not None for cost in self.costs)


def total(costs: Iterable[Cost]) -> float:
    """Return the sum of the known costs."""
    return sum(cost.dollars or 0 for cost in costs)


def list_costs(usage: Usage) -> list[Cost]:
    """Return all line items."""
    workload = usage.workload
    lines = list(_iot(usage))
    lines += list_stream_modes(usage)[0].costs
    lines += _function(usage)
    lines += _tables(usage)
    lines += _archive(usage, workload)
    lines += [
        Cost(KMS, "keys", KEYS, prices.KMS_KEYS),
        Cost(
            KMS, "rotations", KEYS * min(workload.years, _CHARGED_ROTATIONS), prices.KMS_ROTATIONS
        ),
        Cost(KMS, "requests", usage.key_calls * MONTH_SECONDS, prices.KMS_REQUESTS),
        Cost(QUEUES, "alerts", 0, prices.SNS_REQUESTS),
        Cost(QUEUES, "dead letters", 0, prices.SQS_REQUESTS),
    ]
    lines += _monitoring(usage)
    return lines


def list_stream_modes(usage: Usage) -> list[StreamMode]:
    """Return the planned mode, followed by the others."""
    count = usage.workload.shard_count
    on_demand = StreamMode("on-demand", tuple(_on_demand(usage)))
    advantage = StreamMode("On-demand Advantage", tuple(_advantage(usage)))
    if count is not None:
        return [_provisioned_mode(usage, count), on_demand, advantage]
    return [
        on_demand,
        _provisioned_mode(usage, required_shards(usage.workload, FULL_SHARE)),
        advantage,
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


def _stream_bytes(usage: Usage) -> float:
    """Return the bytes per second that an on-demand stream meters."""
    steps = ceil(usage.workload.message_bytes / STREAM_STEP_BYTES)
    return usage.workload.messages_per_second * steps * STREAM_STEP_BYTES


def _extended_retention(workload: Workload) -> tuple[float, float]:
    """Return the retention between 24 hours and 7 days, and beyond 7 days."""
    kept = workload.stream_retention_seconds
    return min(kept, _EXTENDED_TO) - _EXTENDED_FROM, max(kept - _EXTENDED_TO, 0)


def _on_demand(usage: Usage) -> Iterator[Cost]:
    rate = _stream_bytes(usage)
    month = rate * MONTH_SECONDS / GB
    extended, long = _extended_retention(usage.workload)
    yield Cost(KINESIS, "stream", _HOURS, prices.STREAM_HOURS)
    yield Cost(KINESIS, "data in", month, prices.STREAM_GB_IN)
    yield Cost(KINESIS, "data out", month * CONSUMERS, prices.STREAM_GB_OUT)
    yield Cost(KINESIS, "retention", rate * extended / GB, prices.STREAM_GB_EXTENDED)
    if long:
        yield Cost(KINESIS, "long retention", rate * long / GB, prices.STREAM_GB_LONG)


def _provisioned_mode(usage: Usage, shards: int) -> StreamMode:
    return StreamMode(
        f"provisioned, {_pluralize_shards(shards)}", tuple(_provisioned(usage, shards))
    )


def _pluralize_shards(shards: int) -> str:
    return f"{shards:,} shards" if shards != 1 else "1 shard"


def _provisioned(usage: Usage, shards: int) -> Iterator[Cost]:
    extended, long = _extended_retention(usage.workload)
    hours = shards * _HOURS
    units = usage.messages * ceil(usage.workload.message_bytes / PUT_UNIT_BYTES)
    yield Cost(KINESIS, "shards", hours, prices.SHARD_HOURS)
    yield Cost(KINESIS, "PUT units", units, prices.SHARD_PUT_UNITS)
    if extended:
        yield Cost(KINESIS, "retention", hours, prices.SHARD_HOURS_EXTENDED)
    if long:
        kept = usage.workload.messages_per_second * usage.workload.message_bytes * long
        yield Cost(KINESIS, "long retention", kept / GB, prices.STREAM_GB_LONG)


def _advantage(usage: Usage) -> Iterator[Cost]:
    rate = _stream_bytes(usage)
    into, out = (max(each, ADVANTAGE_MINIMUM_MB * MB) for each in (rate, rate * CONSUMERS))
    extended, long = _extended_retention(usage.workload)
    yield Cost(KINESIS, "data in", into * MONTH_SECONDS / GB, prices.ADVANTAGE_GB_IN)
    yield Cost(KINESIS, "data out", out * MONTH_SECONDS / GB, prices.ADVANTAGE_GB_OUT)
    if extended:
        kept = rate * (extended + long) / GB
        yield Cost(KINESIS, "retention", kept, prices.ADVANTAGE_GB_EXTENDED)


def _function(usage: Usage) -> Iterator[Cost]:
    invocations = usage.average.per_second * MONTH_SECONDS
    gigabytes = usage.workload.memory_mb * MB / GB
    seconds = invocations * usage.average.milliseconds / 1000
    yield Cost(LAMBDA, "requests", invocations, prices.LAMBDA_REQUESTS)
    yield Cost(LAMBDA, "duration", seconds * gigabytes, prices.LAMBDA_GB_SECONDS)


def _tables(usage: Usage) -> Iterator[Cost]:
    workload = usage.workload
    readings = workload.messages_per_second * workload.retention_seconds
    stored = (
        readings * (workload.item_bytes + ITEM_OVERHEAD_BYTES)
        + workload.devices * (usage.state_bytes + ITEM_OVERHEAD_BYTES)
    ) / GB
    for table, units in (
        ("time-series", usage.time_series_units),
        ("device-state", usage.device_state_units),
    ):
        yield Cost(DYNAMODB, f"{table} writes", units * MONTH_SECONDS, prices.TABLE_WRITE_UNITS)
    yield Cost(DYNAMODB, "storage", stored, prices.TABLE_GB)
    yield Cost(DYNAMODB, "point-in-time recovery", stored, prices.TABLE_RECOVERY_GB)


def _archive(usage: Usage, workload: Workload) -> Iterator[Cost]:
    steps = ceil(workload.message_bytes / FIREHOSE_STEP_BYTES)
    ingested = usage.messages * steps * FIREHOSE_STEP_BYTES / GB
    stored = usage.archived_gb_per_year * workload.years
    yield Cost(FIREHOSE, "data in", ingested, prices.FIREHOSE_GB)
    yield Cost(S3, "objects", usage.objects * MONTH_SECONDS, prices.S3_PUTS)
    yield Cost(S3, "storage", stored, prices.S3_GB)


def _monitoring(usage: Usage) -> Iterator[Cost]:
    logged = usage.average.per_second * LOG_BYTES / GB
    # Charged only for the hours in which they are emitted (https://aws.amazon.com/cloudwatch/pricing/).
    emitted = CUSTOM_METRICS if usage.messages else 0
    yield Cost(CLOUDWATCH, "alarms", ALARM_METRICS, prices.ALARMS)
    yield Cost(CLOUDWATCH, "composite alarms", COMPOSITE_ALARMS, prices.COMPOSITE_ALARMS)
    yield Cost(CLOUDWATCH, "dashboards", DASHBOARDS, prices.DASHBOARDS)
    yield Cost(CLOUDWATCH, "custom metrics", emitted, prices.CUSTOM_METRICS)
    yield Cost(CLOUDWATCH, "logs", logged * MONTH_SECONDS, prices.LOG_GB)
    yield Cost(CLOUDWATCH, "log storage", logged * LOG_STORED_SECONDS, prices.LOG_STORED_GB)
    yield Cost(CLOUDWATCH, "traces", usage.traces * MONTH_SECONDS, prices.TRACES)
