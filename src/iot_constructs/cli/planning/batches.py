"""The DynamoDB calls, write units and item sizes of the example's processor for a batch.

The constants must match ``src/iot_constructs/processor``: a test runs that code and compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import KB
from iot_constructs.cli.planning.assumptions import CONTENT_SHARE, DEVICE_ID_BYTES

PUTS_PER_CALL: Final = 25  # table_writes.MAX_WRITES_PER_CALL
BYTES_PER_CALL: Final = 1_400_000  # table_writes.MAX_STORED_BYTES_PER_CALL
STATES_PER_CALL: Final = 25  # conditional statements
STATE_CALLS_AT_A_TIME: Final = 8  # state_writes.STATE_WRITE_THREADS
SLICE_RECORDS: Final = 500  # batch_processor.SLICE_RECORDS

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
    in_bytes = max(BYTES_PER_CALL // item_bytes, 1)
    puts, states = min(PUTS_PER_CALL, in_bytes), min(STATES_PER_CALL, in_bytes)
    full, rest = divmod(records, SLICE_RECORDS)
    slices = [SLICE_RECORDS] * full + [rest] * (rest > 0)
    return Calls(
        time_series=sum(ceil(part / puts) for part in slices),
        device_state=sum(ceil(min(part, devices) / states) for part in slices),
    )


def states_per_batch(records: float, devices: float) -> float:
    """Return the number of device-state writes of a batch: one per device and slice."""
    full, rest = divmod(records, SLICE_RECORDS)
    return full * min(SLICE_RECORDS, devices) + min(rest, devices)


def estimate_item_bytes(message_bytes: int) -> int:
    """Return the size of a time-series item, as DynamoDB calculates it."""
    return _ITEM_BYTES + _TTL_BYTES + round(CONTENT_SHARE * message_bytes)


def estimate_state_bytes(item_bytes: int) -> int:
    """Return the size of the device-state item of the same reading, which has no ``ttl``."""
    return max(item_bytes - _TTL_BYTES, 1)


def write_units(item_bytes: int) -> int:
    """Return the write units of one write, one per KB, also if its condition fails."""
    return ceil(item_bytes / KB)
