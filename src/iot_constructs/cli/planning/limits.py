"""How full each limit is at the peak, the fullest first, and what answers it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import MB, quotas
from iot_constructs.cli.planning.costs import FULL_SHARE
from iot_constructs.cli.planning.quotas import Quota
from iot_constructs.cli.planning.usage import TIMES_LAST_PEAK, Usage, shards_for

_SETTING = "a setting, not a quota"
_FEWER_MESSAGES = "gather readings: --readings-per-message"
_START_SLOWLY = f"let the devices join by and by: {TIMES_LAST_PEAK} times the last peak fits"


@dataclass(frozen=True)
class Limit:
    """A limit and what the plan takes of it."""

    name: str
    used: float
    limit: float
    unit: str
    answer: str
    """The construct's argument, or what to ask AWS for."""
    source: str

    @property
    def share(self) -> float:
        """1 is full."""
        return self.used / self.limit

    @property
    def is_full(self) -> bool:
        """Whether the plan warns."""
        return self.share >= FULL_SHARE


def limits_of(usage: Usage) -> list[Limit]:
    """Every limit, the fullest first."""
    every = (*_iot(usage), *_stream(usage), *_function(usage), *_tables(usage), *_others(usage))
    return sorted(every, key=lambda limit: -limit.share)


def _of(name: str, used: float, quota: Quota, answer: str) -> Limit:
    if quota.name is not None:
        answer = (
            f"ask AWS to raise '{quota.name}'; {answer}"
            if answer
            else (f"ask AWS to raise '{quota.name}'")
        )
    return Limit(name, used, quota.value, quota.unit, answer, quota.source)


def _iot(usage: Usage) -> Iterator[Limit]:
    messages = usage.peak_messages_per_second
    of_device = _of_device(usage)
    yield _of("IoT Core: messages", messages, quotas.IOT_PUBLISHES, _FEWER_MESSAGES)
    yield _of("IoT Core: rule", messages, quotas.IOT_RULE_EVALUATIONS, _FEWER_MESSAGES)
    yield _of(
        "IoT Core: connections",
        usage.workload.devices,
        quotas.IOT_CONNECTIONS,
        "let devices connect to send",
    )
    yield _of("IoT Core: one device", of_device, quotas.IOT_CONNECTION_PUBLISHES, _FEWER_MESSAGES)


def _of_device(usage: Usage) -> float:
    return usage.workload.device_messages_per_second * usage.workload.peak


def _fuller(
    name: str, megabytes: float, records: float, of: tuple[Quota, Quota], answer: str
) -> Limit:
    """Of a pair of limits, the one that is reached first."""
    by_bytes, by_records = _of(name, megabytes, of[0], answer), _of(name, records, of[1], answer)
    return by_bytes if by_bytes.share > by_records.share else by_records


def _stream(usage: Usage) -> Iterator[Limit]:
    workload = usage.workload
    records, volume = usage.peak_messages_per_second, usage.peak_mb_per_second
    of_shard = (quotas.SHARD_MB, quotas.SHARD_RECORDS)
    enough = shards_for(workload, FULL_SHARE)
    provision = f"MonitoredStream(shard_count={enough})"
    of_device = _of_device(usage)
    yield _fuller(
        "Kinesis: one device's partition key",
        of_device * workload.record_bytes / MB,
        of_device,
        of_shard,
        "one device cannot be spread over shards: send less often",
    )
    if workload.shard_count is not None:
        share = records / workload.shard_count
        yield _fuller(
            "Kinesis: a shard", share * workload.record_bytes / MB, share, of_shard, provision
        )
        yield _of("Kinesis: shards", workload.shard_count, quotas.SHARDS, "")
        return
    yield _fuller(
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
        f"ask AWS for more, or {provision}",
    )


def _function(usage: Usage) -> Iterator[Limit]:
    peak = usage.peak
    measured = usage.workload.invocation_milliseconds is not None
    estimated = "" if measured else "; the time is estimated, --invocation-ms takes a measured one"
    yield _of(
        "Lambda: concurrency, when catching up",
        usage.lanes,
        quotas.LAMBDA_CONCURRENCY,
        "until then StreamProcessor(reserved_concurrent_executions=) leaves the account's other functions some, "
        "and the stream waits",
    )
    yield Limit(
        "Lambda: time of a lane",
        peak.per_second / usage.busy_lanes * peak.milliseconds / 1000,
        1,
        "of each second",
        "StreamProcessor(parallelization_factor=), then StreamProcessor(batch_size=)" + estimated,
        _SETTING,
    )
    yield Limit(
        "Lambda: time of an invocation",
        peak.milliseconds / 1000,
        defaults.TIMEOUT_SECONDS,
        "s",
        "StreamProcessor(timeout=), or a smaller StreamProcessor(batch_size=)",
        _SETTING,
    )


def _tables(usage: Usage) -> Iterator[Limit]:
    fullest = max(usage.peak_units.values())
    for table, units in usage.peak_units.items():
        yield _of(f"DynamoDB: {table} table", units, quotas.TABLE_WRITE_UNITS, _FEWER_MESSAGES)
    yield _of(
        "DynamoDB: a new table",
        fullest,
        quotas.NEW_TABLE_WRITE_UNITS,
        f"{_START_SLOWLY}; or warm it: aws dynamodb update-table --warm-throughput",
    )
    yield _of(
        "DynamoDB: one device's partition",
        _of_device(usage) * usage.item_units,
        quotas.PARTITION_WRITE_UNITS,
        "send less often, or less",
    )


def _others(usage: Usage) -> Iterator[Limit]:
    peak = usage.workload.peak
    yield _of("KMS: requests", usage.key_calls * peak, quotas.KMS_REQUESTS, "")
    yield _of(
        "S3: objects of an hour",
        usage.objects * peak,
        quotas.S3_PUTS,
        "StreamArchive(buffering_size=), StreamArchive(buffering_interval=)",
    )
