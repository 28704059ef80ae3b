"""The DynamoDB calls, write units and item sizes of the processor for a batch."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import KB
from iot_constructs.cli.planning.assumptions import CONTENT_SHARE, DEVICE_ID_BYTES
from iot_constructs.processor.batches import SLICE_READINGS
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
    """The number of DynamoDB calls for one batch without failures."""

    time_series: int
    device_state: int

    @property
    def total(self) -> int:
        """The calls to both tables."""
        return self.time_series + self.device_state


def calls_per_batch(records: int, devices: int, item_bytes: int) -> Calls:
    """Return the calls for a batch of ``records`` readings from ``devices`` devices."""
    per_call = min(MAX_WRITES_PER_CALL, max(MAX_REQUEST_BYTES_PER_CALL // item_bytes, 1))
    full, rest = divmod(records, SLICE_READINGS)
    slices = [SLICE_READINGS] * full + [rest] * (rest > 0)
    return Calls(
        time_series=sum(ceil(part / per_call) for part in slices),
        device_state=sum(ceil(min(part, devices) / per_call) for part in slices),
    )


def states_per_batch(records: float, devices: float) -> float:
    """Return the number of device-state writes of a batch: one per device and slice."""
    full, rest = divmod(records, SLICE_READINGS)
    return full * min(SLICE_READINGS, devices) + min(rest, devices)


def estimate_item_bytes(message_bytes: int) -> int:
    """Return the size of a time-series item, as DynamoDB calculates it."""
    return _ITEM_BYTES + _TTL_BYTES + round(CONTENT_SHARE * message_bytes)


def estimate_state_bytes(item_bytes: int) -> int:
    """Return the size of the device-state item of the same reading, which has no ``ttl``."""
    return max(item_bytes - _TTL_BYTES, 1)


def write_units(item_bytes: int) -> int:
    """Return the write units of one write, one per KB, also if its condition fails."""
    return ceil(item_bytes / KB)
