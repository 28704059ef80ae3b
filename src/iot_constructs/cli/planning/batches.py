"""The DynamoDB calls, units and item sizes of the processor for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist, fmean

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import KB
from iot_constructs.cli.planning.assumptions import CONTENT_SHARE, DEVICE_ID_BYTES
from iot_constructs.processor.batches import SLICE_READINGS
from iot_constructs.processor.recent_states import MAX_KEYS_PER_CALL
from iot_constructs.processor.time_series import MAX_REQUEST_BYTES_PER_CALL, MAX_WRITES_PER_CALL

_SORT_KEY_BYTES = 17  # 31 digits: milliseconds and a fraction from a hash of the content
_TTL_BYTES = len(defaults.TTL_ATTRIBUTE) + 6  # 10 digits
_MAP_BYTES = 3
_ITEM_BYTES = (
    len(defaults.PARTITION_KEY)
    + DEVICE_ID_BYTES
    + len(defaults.SORT_KEY)
    + _SORT_KEY_BYTES
    + len("reading")
    + _MAP_BYTES
)


@dataclass(frozen=True)
class Calls:
    """The number of DynamoDB calls for one batch without failures, or its average."""

    time_series: float
    device_state: float
    state_reads: float = 0

    @property
    def total(self) -> float:
        """The calls to both tables."""
        return self.time_series + self.device_state + self.state_reads


def average_calls(batches: Iterable[Calls]) -> Calls:
    """Return the average of the calls of several batches."""
    several = list(batches)
    return Calls(
        fmean(calls.time_series for calls in several),
        fmean(calls.device_state for calls in several),
        fmean(calls.state_reads for calls in several),
    )


def _slices(records: float, readings: int) -> Iterator[float]:
    """Yield the records of each slice of a batch, if each has so many readings."""
    size = ceil(SLICE_READINGS / readings)
    while records > 0:
        yield min(size, records)
        records -= size


def calls_per_batch(
    records: int,
    devices: int,
    item_bytes: int,
    readings: int = 1,
    written: float = 1,
    *,
    reads_states: bool = False,
) -> Calls:
    """Return the calls for a batch of ``records`` messages from ``devices`` devices.

    Args:
        records: of the batch.
        devices: of these records.
        item_bytes: of a reading.
        readings: of each record.
        written: the share of the devices whose state is written; 0 is without a device-state table.
        reads_states: whether the states are read first, for their interval.
    """
    per_call = min(MAX_WRITES_PER_CALL, max(MAX_REQUEST_BYTES_PER_CALL // item_bytes, 1))
    slices = [ceil(part) for part in _slices(records, readings)]
    states = [min(part, devices) for part in slices]
    return Calls(
        time_series=sum(ceil(part * readings / per_call) for part in slices),
        device_state=sum(_calls_for_some(count, written, per_call) for count in states),
        state_reads=sum(ceil(count / MAX_KEYS_PER_CALL) for count in states) if reads_states else 0,
    )


def _calls_for_some(count: int, written: float, per_call: int) -> float:
    """Return the average calls if each of ``count`` states is written with the probability ``written``."""
    if written in (0, 1):
        return ceil(count * written / per_call)
    writes = NormalDist(count * written, sqrt(count * written * (1 - written)))
    further = range(per_call, count, per_call)
    return 1 - (1 - written) ** count + sum(1 - writes.cdf(more + 0.5) for more in further)


def states_per_batch(records: float, devices: float, readings: int = 1) -> float:
    """Return the number of device states of a batch: one per device and slice."""
    return sum(min(part, devices) for part in _slices(records, readings))


def estimate_item_bytes(reading_bytes: int) -> int:
    """Return the size of a time-series item, as DynamoDB calculates it."""
    return _ITEM_BYTES + _TTL_BYTES + round(CONTENT_SHARE * reading_bytes)


def estimate_state_bytes(item_bytes: int) -> int:
    """Return the size of the device-state item of the same reading, which has no ``ttl``."""
    return max(item_bytes - _TTL_BYTES, 1)


def write_units(item_bytes: int) -> int:
    """Return the write units of one write, one per KB, also if its condition fails."""
    return ceil(item_bytes / KB)


def read_units(read_bytes: float) -> float:
    """Return the read units of an eventually consistent read of an item, or of what a query returns: half per 4 KB.

    (amazondynamodb/latest/developerguide/read-write-operations.html)
    """
    return ceil(read_bytes / (4 * KB)) / 2
