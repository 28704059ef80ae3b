"""How much of each service a workload uses."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import KB, MB, MONTH_SECONDS, quotas
from iot_constructs.cli.planning.assumptions import (
    CALL_MILLISECONDS,
    EVENT_RECORD_BYTES,
    INVOCATION_MILLISECONDS,
    KEY_USERS,
    RECORD_MILLISECONDS,
)
from iot_constructs.cli.planning.batches import (
    PUTS_PER_CALL,
    STATE_CALLS_AT_A_TIME,
    STATES_PER_CALL,
    Calls,
    calls_of_batch,
    state_bytes_of,
    states_of_batch,
    write_units_of,
)
from iot_constructs.cli.planning.workload import Workload

# What AWS documents. https://aws.amazon.com/iot-core/pricing/additional-details/
IOT_STEP_BYTES: Final = 5 * KB
# https://aws.amazon.com/firehose/pricing/: with a stream as the source, too
FIREHOSE_STEP_BYTES: Final = 5 * KB
# https://aws.amazon.com/kinesis/data-streams/pricing/
STREAM_STEP_BYTES: Final = KB
PUT_UNIT_BYTES: Final = 25 * KB
# of what is stored: amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
ITEM_OVERHEAD_BYTES: Final = 100
# on demand, a stream and a table: streams/latest/dev/how-do-i-size-a-stream.html
TIMES_LAST_PEAK: Final = 2
# lambda/latest/dg/services-xray.html
TRACED_PER_SECOND, TRACED_SHARE_OF_REST = 1, 0.05
# how long a data key is used: streams/latest/dev/costs-performance.html
KEY_CALL_SECONDS: Final = 300
LOG_STORED_SECONDS: Final = {"THREE_MONTHS": 90 * 86_400}[defaults.LOG_RETENTION]


@dataclass(frozen=True)
class Batch:
    """What an invocation gets at a certain rate, on average."""

    records: float
    devices: float
    states: float
    calls: Calls
    milliseconds: float
    per_second: float
    """How many there are of them, over all shards."""


@dataclass(frozen=True)
class Usage:
    """Averages a second unless a name says otherwise."""

    workload: Workload
    shards: int
    lanes: int
    """Batches that can be under way at a time: shards times parallelization factor."""
    busy_lanes: int
    """Those that have a device."""
    average: Batch
    peak: Batch
    item_units: int
    state_units: int
    state_bytes: int

    @property
    def messages(self) -> float:
        """Messages a month."""
        return self.workload.messages_per_second * MONTH_SECONDS

    @property
    def peak_messages_per_second(self) -> float:
        """Messages in the busiest seconds."""
        return self.workload.messages_per_second * self.workload.peak

    @property
    def peak_mb_per_second(self) -> float:
        """What the stream takes then."""
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
        """The same at the peak, by table."""
        return {
            "time-series": self.peak_messages_per_second * self.item_units,
            "device-state": self.peak.per_second * self.peak.states * self.state_units,
        }

    @property
    def objects(self) -> float:
        """Objects in the archive."""
        rate = self.workload.messages_per_second
        in_time = min(rate, 1 / defaults.BUFFERING_INTERVAL_SECONDS)
        return max(in_time, rate * self.workload.message_bytes / (defaults.BUFFERING_SIZE_MIB * MB))

    @property
    def key_calls(self) -> float:
        """Calls of KMS."""
        return KEY_USERS / KEY_CALL_SECONDS + self.objects

    @property
    def traces(self) -> float:
        """Traces that X-Ray records."""
        rate = self.average.per_second
        first = min(rate, TRACED_PER_SECOND)
        return first + TRACED_SHARE_OF_REST * (rate - first)


def usage_of(workload: Workload) -> Usage:
    """Work out what ``workload`` uses."""
    rate = workload.messages_per_second
    shards = (
        workload.shard_count
        if workload.shard_count is not None
        else shards_for(workload, 1 / TIMES_LAST_PEAK, _NEW_STREAM_SHARDS)
    )
    lanes = shards * workload.parallelization_factor
    busy = min(lanes, workload.devices)
    state_bytes = state_bytes_of(workload.item_bytes)
    return Usage(
        workload=workload,
        shards=shards,
        lanes=lanes,
        busy_lanes=busy,
        average=_batch(workload, rate, busy),
        peak=_batch(workload, rate * workload.peak, busy),
        item_units=write_units_of(workload.item_bytes),
        state_units=write_units_of(state_bytes),
        state_bytes=state_bytes,
    )


_NEW_STREAM_SHARDS = int(quotas.NEW_STREAM_MB.value / quotas.SHARD_MB.value)


def shards_for(workload: Workload, share: float, least: int = 1) -> int:
    """How many shards carry the peak while only ``share`` of each is used."""
    records = workload.messages_per_second * workload.peak
    needed = max(
        records / quotas.SHARD_RECORDS.value,
        records * workload.record_bytes / MB / quotas.SHARD_MB.value,
    )
    return max(least, ceil(needed / share))


def _batch(workload: Workload, rate: float, lanes: int) -> Batch:
    in_lane = rate / lanes
    # Without a window a batch is what has come since the last poll.
    wait = max(workload.batching_window_seconds, 1 / quotas.LAMBDA_POLLS.value)
    records = min(max(in_lane * wait, 1), _largest_batch(workload))
    devices = workload.devices / lanes
    states = states_of_batch(records, devices)
    return Batch(
        records=records,
        devices=min(records, devices),
        states=states,
        calls=calls_of_batch(ceil(records), ceil(min(records, devices)), workload.item_bytes),
        milliseconds=_milliseconds(workload, records, states),
        per_second=rate / records,
    )


def _largest_batch(workload: Workload) -> int:
    """Lambda ends a batch at 6 MB of event as well."""
    record = ceil(workload.message_bytes / 3) * 4 + EVENT_RECORD_BYTES
    return min(workload.batch_size, max(int(quotas.LAMBDA_EVENT_BYTES.value // record), 1))


def _milliseconds(workload: Workload, records: float, states: float) -> float:
    if workload.invocation_milliseconds is not None:
        return workload.invocation_milliseconds
    in_turn = max(records / PUTS_PER_CALL, 1) + max(
        states / STATES_PER_CALL / STATE_CALLS_AT_A_TIME, 1
    )
    return INVOCATION_MILLISECONDS + RECORD_MILLISECONDS * records + CALL_MILLISECONDS * in_turn
