"""The resource usage of a workload."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, expm1, floor, sqrt
from statistics import NormalDist
from typing import Final

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import DAY_SECONDS, GB, KB, MB, MONTH_SECONDS, quotas
from iot_constructs.cli.planning.assumptions import (
    CALL_MILLISECONDS,
    DASHBOARD_DEVICES,
    EVENT_RECORD_BYTES,
    GZIP_SHARE,
    INVOCATION_MILLISECONDS,
    KEY_USERS,
    READING_MILLISECONDS,
    TABLE_UTILIZATION,
)
from iot_constructs.cli.planning.batches import (
    Calls,
    average_calls,
    calls_per_batch,
    estimate_state_bytes,
    read_units,
    states_per_batch,
    write_units,
)
from iot_constructs.cli.planning.workload import Workload
from iot_constructs.processor.recent_states import MAX_KEYS_PER_CALL
from iot_constructs.processor.time_series import MAX_WRITES_PER_CALL, WRITE_THREADS

# https://aws.amazon.com/iot-core/pricing/additional-details/
IOT_STEP_BYTES: Final = 5 * KB
# https://aws.amazon.com/firehose/pricing/: also with a Kinesis stream as the source
FIREHOSE_STEP_BYTES: Final = 5 * KB
# https://aws.amazon.com/kinesis/data-streams/pricing/
STREAM_STEP_BYTES: Final = KB
PUT_UNIT_BYTES: Final = 25 * KB
# of stored items: amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
ITEM_OVERHEAD_BYTES: Final = 100
# on-demand streams and tables: streams/latest/dev/how-do-i-size-a-stream.html
TIMES_LAST_PEAK: Final = 2
# lambda/latest/dg/services-xray.html
TRACED_PER_SECOND, TRACED_SHARE_OF_REST = 1, 0.05
# lifetime of a data key: streams/latest/dev/costs-performance.html
KEY_CALL_SECONDS: Final = 300
# smaller objects stay: AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html
SMALLEST_MOVED_BYTES: Final = 128 * KB
LOG_STORED_SECONDS: Final = {"THREE_MONTHS": 90 * 86_400}[defaults.LOG_RETENTION]
FULL_SHARE: Final = 0.8  # of a quota, from which the plan warns
TIME_SERIES, DEVICE_STATE = "time-series", "device-state"
_SIZES = 50  # of a batch, that are equally likely


@dataclass(frozen=True)
class Batch:
    """The average batch at a certain rate."""

    records: float
    devices: float
    states: float
    """The devices by slice, whose states the processor writes, or reads first."""
    calls: Calls
    milliseconds: float
    per_second: float
    """The number of batches per second over all shards."""


@dataclass(frozen=True)
class TableUsage:
    """The units per second of a table."""

    name: str
    writes: float
    peak_writes: float
    reads: float
    peak_reads: float
    infrequent_access: bool

    @property
    def write_capacity(self) -> int:
        """The provisioned write units, of which the peak uses the target of auto scaling."""
        return max(ceil(self.peak_writes / TABLE_UTILIZATION), 1)

    @property
    def read_capacity(self) -> int:
        """The provisioned read units."""
        return max(ceil(self.peak_reads / TABLE_UTILIZATION), 1)


@dataclass(frozen=True)
class Usage:
    """Averages per second, unless the name has another unit."""

    workload: Workload
    shards: int
    concurrent_batches: int
    """The maximum number of concurrent batches: shards times parallelization factor."""
    active_batches: int
    """The concurrent batches that have at least one device."""
    average: Batch
    peak: Batch
    written_states: float
    """The share of the states of a batch that are written: with an interval, the others are recent enough."""

    @property
    def messages(self) -> float:
        """Messages per month."""
        return self.workload.messages_per_second * MONTH_SECONDS

    @property
    def peak_messages_per_second(self) -> float:
        """Messages per second at peak."""
        return self.workload.messages_per_second * self.workload.peak

    @property
    def peak_mb_per_second(self) -> float:
        """Data volume of the stream at peak."""
        return self.peak_messages_per_second * self.workload.record_bytes / MB

    @property
    def item_units(self) -> int:
        """Write units of a reading."""
        return write_units(self.workload.item_bytes)

    @property
    def state_bytes(self) -> int:
        """The size of an item in the device-state table."""
        return estimate_state_bytes(self.workload.item_bytes)

    @property
    def tables(self) -> list[TableUsage]:
        """The tables that the processor writes."""
        workload = self.workload
        queries = workload.devices * workload.queries_per_day / DAY_SECONDS
        of_day = DAY_SECONDS / workload.every_seconds * workload.item_bytes
        series_reads = queries * read_units(of_day)
        state_reads = min(workload.devices, DASHBOARD_DEVICES) / workload.dashboard_seconds
        state_reads *= read_units(self.state_bytes)
        if not workload.device_state:  # the newest reading in place of the state
            series_reads, state_reads = series_reads + state_reads, 0
        series = workload.readings_per_second * self.item_units
        average, peak = (
            batch.per_second * batch.states if workload.device_state else 0
            for batch in (self.average, self.peak)
        )
        write = self.written_states * write_units(self.state_bytes)
        read = (
            read_units(self.state_bytes)
            if workload.device_state_interval_seconds is not None
            else 0
        )
        found = [
            TableUsage(
                TIME_SERIES,
                series,
                series * workload.peak,
                series_reads,
                series_reads,
                workload.infrequent_access,
            )
        ]
        if workload.device_state:
            found.append(
                TableUsage(
                    DEVICE_STATE,
                    average * write,
                    peak * write,
                    average * read + state_reads,
                    peak * read + state_reads,
                    infrequent_access=False,
                )
            )
        return found

    @property
    def stored_gb(self) -> dict[str, float]:
        """The data in each table at the age of the pipeline."""
        workload = self.workload
        readings = workload.readings_per_second * min(
            workload.retention_seconds, workload.age_seconds
        )
        items = {TIME_SERIES: readings * (workload.item_bytes + ITEM_OVERHEAD_BYTES)}
        if workload.device_state:
            items[DEVICE_STATE] = workload.devices * (self.state_bytes + ITEM_OVERHEAD_BYTES)
        return {name: size / GB for name, size in items.items()}

    @property
    def objects(self) -> float:
        """Objects that the archive writes."""
        rate = self.workload.messages_per_second
        # The interval begins with the first record of the buffer.
        in_time = rate / (rate * self.workload.buffering_interval_seconds + 1)
        return max(in_time, rate * self.workload.message_bytes / (defaults.BUFFERING_SIZE_MIB * MB))

    @property
    def archived_bytes(self) -> float:
        """Compressed data that the archive's bucket receives."""
        return self.workload.messages_per_second * (self.workload.message_bytes + 1) * GZIP_SHARE

    @property
    def archive_gb(self) -> tuple[float, float]:
        """The archive's data in S3 Standard and in Glacier Instant Retrieval at the age of the pipeline."""
        workload = self.workload
        kept = workload.age_seconds
        if workload.archive_retention_seconds is not None:
            kept = min(kept, workload.archive_retention_seconds)
        moved_after = workload.archive_transition_seconds if self._moves_objects else None
        warm = kept if moved_after is None else min(kept, moved_after)
        rate = self.archived_bytes / GB
        return rate * warm, rate * (kept - warm)

    @property
    def _moves_objects(self) -> bool:
        """Whether S3 moves the objects of the archive: it leaves small ones where they are."""
        return self.archived_bytes >= self.objects * SMALLEST_MOVED_BYTES

    @property
    def key_calls(self) -> float:
        """KMS requests."""
        users = KEY_USERS - (not self.workload.device_state)
        return users / KEY_CALL_SECONDS + self.objects

    @property
    def traces(self) -> float:
        """Traces that X-Ray records."""
        if not self.workload.tracing:
            return 0
        rate = self.average.per_second
        first = min(rate, TRACED_PER_SECOND)
        return first + TRACED_SHARE_OF_REST * (rate - first)

    @property
    def busy_share(self) -> float:
        """How much of the time each concurrent batch is processed at peak; 1 is always."""
        return self.peak.per_second / self.active_batches * self.peak.milliseconds / 1000


@lru_cache(maxsize=1024)  # the search for the cheapest configuration comes back to the same ones
def estimate_usage(workload: Workload) -> Usage:
    """Estimate the resource usage of ``workload``."""
    rate = workload.messages_per_second
    shards = (
        workload.shard_count
        if workload.shard_count is not None
        else max(ceil(_shards_at_peak(workload) * TIMES_LAST_PEAK), _NEW_STREAM_SHARDS)
    )
    concurrent = shards * workload.parallelization_factor
    active = max(min(concurrent, workload.devices), 1)
    written = _written_states(workload, rate / active)
    return Usage(
        workload=workload,
        shards=shards,
        concurrent_batches=concurrent,
        active_batches=active,
        average=_batch(workload, rate, active, written),
        peak=_batch(workload, rate * workload.peak, active, written),
        written_states=written,
    )


_NEW_STREAM_SHARDS = int(quotas.NEW_STREAM_MB.value / quotas.SHARD_MB.value)


def provisioned_shards(workload: Workload) -> int:
    """Return the number of shards of which the peak uses less than `FULL_SHARE`."""
    return floor(_shards_at_peak(workload) / FULL_SHARE) + 1


def _shards_at_peak(workload: Workload) -> float:
    records = workload.messages_per_second * workload.peak
    return max(
        records / quotas.SHARD_RECORDS.value,
        records * workload.record_bytes / MB / quotas.SHARD_MB.value,
    )


def _written_states(workload: Workload, rate_per_batch: float) -> float:
    """Return the share of the states that are not recent enough when their batch is processed."""
    if not workload.device_state:
        return 0
    if workload.device_state_interval_seconds is None or not workload.devices:
        return 1
    # A device is in a batch at most once, however often it sends.
    between = max(workload.message_seconds, _records(workload, rate_per_batch) / rate_per_batch)
    times = workload.device_state_interval_seconds / between
    # A multiple of the device's interval: the milliseconds of two readings decide whether it is one more.
    return 1 / (times + 0.5 if times.is_integer() else ceil(times))


def _records(workload: Workload, rate: float) -> float:
    """Return the records of a batch at ``rate`` records per second: it is full, or its window ends.

    The window begins with the first poll that finds a record, so that a batch has the records of the window and of the
    polls before it.
    """
    if not rate:
        return 1
    poll = 1 / quotas.LAMBDA_POLLS.value
    until_found = poll / -expm1(-rate * poll)
    return min(rate * (workload.batching_window_seconds + until_found), _largest_batch(workload))


def _batch(workload: Workload, rate: float, concurrent: int, written: float) -> Batch:
    records = _records(workload, rate / concurrent)
    devices = workload.devices / concurrent
    readings = workload.readings_per_message
    states = states_per_batch(records, devices, readings)
    return Batch(
        records=records,
        devices=min(records, devices),
        states=states,
        calls=_calls(workload, records, devices, written, rate / concurrent),
        milliseconds=_milliseconds(workload, records * readings, states, written),
        per_second=rate / records,
    )


def _calls(
    workload: Workload, records: float, devices: float, written: float, rate: float
) -> Calls:
    """Return the average calls of batches whose sizes vary, unless they are full."""
    sizes = [records]
    if rate and records < _largest_batch(workload):
        # A device is in a batch with the share of its interval that the batch takes, and in one of the concurrent
        # batches by the hash of its ID.
        in_batch = records * max(1 - records / rate / workload.message_seconds, 0)
        in_shard = records**2 / devices * (1 - devices / workload.devices)
        if in_batch + in_shard:
            sizes = NormalDist(records, sqrt(in_batch + in_shard)).quantiles(_SIZES)
    counts = [max(round(size), 1) for size in sizes]
    return average_calls(
        calls_per_batch(
            count,
            ceil(min(count, devices)),
            workload.item_bytes,
            workload.readings_per_message,
            written,
            reads_states=workload.device_state_interval_seconds is not None,
        )
        for count in counts
    )


def _largest_batch(workload: Workload) -> int:
    """Return the maximum number of records: Lambda also limits a batch to 6 MB."""
    record = ceil(workload.message_bytes / 3) * 4 + EVENT_RECORD_BYTES
    return min(workload.batch_size, max(int(quotas.LAMBDA_EVENT_BYTES.value // record), 1))


def _milliseconds(workload: Workload, readings: float, states: float, written: float) -> float:
    if workload.invocation_milliseconds is not None:
        return workload.invocation_milliseconds
    at_once = MAX_WRITES_PER_CALL * WRITE_THREADS
    in_turn = max(readings / at_once, 1)
    if workload.device_state:
        in_turn += max(states * written / at_once, 1)
    if workload.device_state_interval_seconds is not None:
        in_turn += max(states / MAX_KEYS_PER_CALL, 1)
    return INVOCATION_MILLISECONDS + READING_MILLISECONDS * readings + CALL_MILLISECONDS * in_turn
