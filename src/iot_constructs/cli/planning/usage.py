"""The resource usage of a workload."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import GB, KB, MB, MONTH_SECONDS, YEAR_SECONDS, quotas
from iot_constructs.cli.planning.assumptions import (
    CALL_MILLISECONDS,
    EVENT_RECORD_BYTES,
    GZIP_SHARE,
    INVOCATION_MILLISECONDS,
    KEY_USERS,
    RECORD_MILLISECONDS,
)
from iot_constructs.cli.planning.batches import (
    Calls,
    calls_per_batch,
    estimate_state_bytes,
    states_per_batch,
    write_units,
)
from iot_constructs.cli.planning.workload import Workload
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
LOG_STORED_SECONDS: Final = {"THREE_MONTHS": 90 * 86_400}[defaults.LOG_RETENTION]


@dataclass(frozen=True)
class Batch:
    """The average batch at a certain rate."""

    records: float
    devices: float
    states: float
    calls: Calls
    milliseconds: float
    per_second: float
    """The number of batches per second over all shards."""


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
    item_units: int
    state_units: int
    state_bytes: int

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
    def time_series_units(self) -> float:
        """Write units of the time-series table."""
        return self.workload.messages_per_second * self.item_units

    @property
    def device_state_units(self) -> float:
        """Write units of the device-state table."""
        return self.average.per_second * self.average.states * self.state_units

    @property
    def peak_units(self) -> dict[str, float]:
        """Write units at peak, by table."""
        return {
            "time-series": self.peak_messages_per_second * self.item_units,
            "device-state": self.peak.per_second * self.peak.states * self.state_units,
        }

    @property
    def objects(self) -> float:
        """Objects that the archive writes."""
        rate = self.workload.messages_per_second
        in_time = min(rate, 1 / defaults.BUFFERING_INTERVAL_SECONDS)
        return max(in_time, rate * self.workload.message_bytes / (defaults.BUFFERING_SIZE_MIB * MB))

    @property
    def archived_gb_per_year(self) -> float:
        """Data that the archive's bucket receives in a year, and keeps."""
        lines = self.workload.messages_per_second * (self.workload.message_bytes + 1)  # a newline
        return lines * GZIP_SHARE * YEAR_SECONDS / GB

    @property
    def key_calls(self) -> float:
        """KMS requests."""
        return KEY_USERS / KEY_CALL_SECONDS + self.objects

    @property
    def traces(self) -> float:
        """Traces that X-Ray records."""
        rate = self.average.per_second
        first = min(rate, TRACED_PER_SECOND)
        return first + TRACED_SHARE_OF_REST * (rate - first)


def estimate_usage(workload: Workload) -> Usage:
    """Estimate the resource usage of ``workload``."""
    rate = workload.messages_per_second
    shards = (
        workload.shard_count
        if workload.shard_count is not None
        else required_shards(workload, 1 / TIMES_LAST_PEAK, _NEW_STREAM_SHARDS)
    )
    concurrent = shards * workload.parallelization_factor
    active = max(min(concurrent, workload.devices), 1)
    state_bytes = estimate_state_bytes(workload.item_bytes)
    return Usage(
        workload=workload,
        shards=shards,
        concurrent_batches=concurrent,
        active_batches=active,
        average=_batch(workload, rate, active),
        peak=_batch(workload, rate * workload.peak, active),
        item_units=write_units(workload.item_bytes),
        state_units=write_units(state_bytes),
        state_bytes=state_bytes,
    )


_NEW_STREAM_SHARDS = int(quotas.NEW_STREAM_MB.value / quotas.SHARD_MB.value)


def required_shards(workload: Workload, share: float, least: int = 1) -> int:
    """Return the number of shards for the peak if only ``share`` of each is used."""
    records = workload.messages_per_second * workload.peak
    needed = max(
        records / quotas.SHARD_RECORDS.value,
        records * workload.record_bytes / MB / quotas.SHARD_MB.value,
    )
    return max(least, ceil(needed / share))


def _batch(workload: Workload, rate: float, concurrent: int) -> Batch:
    rate_per_batch = rate / concurrent
    # Without a window, a batch has the records since the last poll.
    wait = max(workload.batching_window_seconds, 1 / quotas.LAMBDA_POLLS.value)
    records = min(max(rate_per_batch * wait, 1), _largest_batch(workload))
    devices = workload.devices / concurrent
    states = states_per_batch(records, devices)
    return Batch(
        records=records,
        devices=min(records, devices),
        states=states,
        calls=calls_per_batch(ceil(records), ceil(min(records, devices)), workload.item_bytes),
        milliseconds=_milliseconds(workload, records, states),
        per_second=rate / records,
    )


def _largest_batch(workload: Workload) -> int:
    """Return the maximum number of records: Lambda also limits a batch to 6 MB."""
    record = ceil(workload.message_bytes / 3) * 4 + EVENT_RECORD_BYTES
    return min(workload.batch_size, max(int(quotas.LAMBDA_EVENT_BYTES.value // record), 1))


def _milliseconds(workload: Workload, records: float, states: float) -> float:
    if workload.invocation_milliseconds is not None:
        return workload.invocation_milliseconds
    in_turn = max(records / MAX_WRITES_PER_CALL, 1) + max(
        states / MAX_WRITES_PER_CALL / WRITE_THREADS, 1
    )
    return INVOCATION_MILLISECONDS + RECORD_MILLISECONDS * records + CALL_MILLISECONDS * in_turn
