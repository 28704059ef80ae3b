"""The usage of each quota and limit at the peak, highest first, and its remediation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import MB, quotas
from iot_constructs.cli.planning.assumptions import TABLE_UTILIZATION
from iot_constructs.cli.planning.quotas import Quota
from iot_constructs.cli.planning.usage import (
    FULL_SHARE,
    TIMES_LAST_PEAK,
    Usage,
    provisioned_shards,
)

_SETTING = "a setting of the construct"
_FEWER_READINGS = "send less often"
_FEWER_MESSAGES = "combine readings: --readings-per-message"
_START_SLOWLY = f"add devices gradually, up to {TIMES_LAST_PEAK} times the last peak"


@dataclass(frozen=True)
class Limit:
    """A limit and its usage."""

    name: str
    used: float
    limit: float
    unit: str
    remediation: str
    """The construct argument to change, or the quota to increase."""
    source: str

    @property
    def share(self) -> float:
        """The usage as a fraction; 1 is the limit."""
        return self.used / self.limit

    @property
    def is_full(self) -> bool:
        """Whether the plan warns about it."""
        return self.share >= FULL_SHARE


def list_limits(usage: Usage) -> list[Limit]:
    """Return all limits, highest usage first."""
    every = (*_iot(usage), *_stream(usage), *_function(usage), *_tables(usage), *_others(usage))
    return sorted(every, key=lambda limit: -limit.share)


def _of(name: str, used: float, quota: Quota, remediation: str) -> Limit:
    if quota.name is not None:
        remediation = (
            f"request an increase of '{quota.name}'; {remediation}"
            if remediation
            else (f"request an increase of '{quota.name}'")
        )
    return Limit(name, used, quota.value, quota.unit, remediation, quota.source)


def _iot(usage: Usage) -> Iterator[Limit]:
    messages = usage.peak_messages_per_second
    of_device = _of_device(usage)
    yield _of("IoT Core: messages", messages, quotas.IOT_PUBLISHES, _FEWER_MESSAGES)
    yield _of("IoT Core: rule", messages, quotas.IOT_RULE_EVALUATIONS, _FEWER_MESSAGES)
    yield _of(
        "IoT Core: connections",
        usage.workload.devices,
        quotas.IOT_CONNECTIONS,
        "connect devices only to send",
    )
    yield _of("IoT Core: one device", of_device, quotas.IOT_CONNECTION_PUBLISHES, _FEWER_MESSAGES)


def _of_device(usage: Usage) -> float:
    return usage.workload.device_messages_per_second * usage.workload.peak


def _more_used(
    name: str, megabytes: float, records: float, of: tuple[Quota, Quota], remediation: str
) -> Limit:
    """Return the limit of a pair that is reached first."""
    by_bytes, by_records = (
        _of(name, megabytes, of[0], remediation),
        _of(name, records, of[1], remediation),
    )
    return by_bytes if by_bytes.share > by_records.share else by_records


def _stream(usage: Usage) -> Iterator[Limit]:
    workload = usage.workload
    records, volume = usage.peak_messages_per_second, usage.peak_mb_per_second
    of_shard = (quotas.SHARD_MB, quotas.SHARD_RECORDS)
    provision = f"MonitoredStream(shard_count={provisioned_shards(workload)})"
    of_device = _of_device(usage)
    yield _more_used(
        "Kinesis: one device's partition key",
        of_device * workload.record_bytes / MB,
        of_device,
        of_shard,
        "send less often: one device cannot use several shards",
    )
    if workload.shard_count is not None:
        share = records / workload.shard_count
        yield _more_used(
            "Kinesis: one shard", share * workload.record_bytes / MB, share, of_shard, provision
        )
        yield _of("Kinesis: shards", workload.shard_count, quotas.SHARDS, "")
        return
    yield _more_used(
        "Kinesis: a new on-demand stream",
        volume,
        records,
        (quotas.NEW_STREAM_MB, quotas.NEW_STREAM_RECORDS),
        f"{_START_SLOWLY}; or {provision}",
    )
    yield _of(
        "Kinesis: an on-demand stream",
        volume,
        quotas.STREAM_MB,
        f"request a quota increase, or {provision}",
    )


def _function(usage: Usage) -> Iterator[Limit]:
    peak = usage.peak
    measured = usage.workload.invocation_milliseconds is not None
    estimated = "" if measured else "; specify a measured duration with --invocation-ms"
    yield _of(
        "Lambda: concurrency during catch-up",
        usage.concurrent_batches,
        quotas.LAMBDA_CONCURRENCY,
        "until then, StreamProcessor(reserved_concurrent_executions=) keeps concurrency for other functions, "
        "and delays the stream",
    )
    yield Limit(
        "Lambda: busy concurrent batches",
        usage.busy_share,
        1,
        "s per second",
        "StreamProcessor(parallelization_factor=), then StreamProcessor(batch_size=)" + estimated,
        _SETTING,
    )
    yield Limit(
        "Lambda: duration of an invocation",
        peak.milliseconds / 1000,
        defaults.TIMEOUT_SECONDS,
        "s",
        "StreamProcessor(timeout=), or a smaller StreamProcessor(batch_size=)",
        _SETTING,
    )


def _tables(usage: Usage) -> Iterator[Limit]:
    provisioned = usage.workload.provisioned_tables
    used = {
        table.name: float(table.write_capacity) if provisioned else table.peak_writes
        for table in usage.tables
    }
    for name, units in used.items():
        yield _of(f"DynamoDB: {name} table", units, quotas.TABLE_WRITE_UNITS, _FEWER_READINGS)
    if provisioned:
        yield _of(
            "DynamoDB: all provisioned tables",
            sum(used.values()),
            quotas.ACCOUNT_WRITE_UNITS,
            _FEWER_READINGS,
        )
        yield Limit(
            "DynamoDB: provisioned capacity",
            max(table.peak_writes / table.write_capacity for table in usage.tables),
            1,
            "of capacity",
            f"min_capacity= of the peak divided by {TABLE_UTILIZATION}",
            _SETTING,
        )
    else:
        yield _of(
            "DynamoDB: a new table",
            max(used.values()),
            quotas.NEW_TABLE_WRITE_UNITS,
            f"{_START_SLOWLY}; or pre-warm it: aws dynamodb update-table --warm-throughput",
        )
    yield _of(
        "DynamoDB: one device's partition",
        usage.workload.peak / usage.workload.every_seconds * usage.item_units,
        quotas.PARTITION_WRITE_UNITS,
        "send less often, or smaller readings",
    )


def _others(usage: Usage) -> Iterator[Limit]:
    peak = usage.workload.peak
    yield _of("KMS: requests", usage.key_calls * peak, quotas.KMS_REQUESTS, "")
    yield _of(
        "S3: objects per prefix",
        usage.objects * peak,
        quotas.S3_PUTS,
        "StreamArchive(buffering_interval=)",
    )
