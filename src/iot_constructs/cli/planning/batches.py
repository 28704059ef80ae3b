"""What the example's processor does with a batch: its calls, its write units, the bytes of its items.

The one place that follows ``examples/iot_pipeline/processor``; a test runs that code and counts. Whoever changes how it
writes changes the constants here.
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
STATES_PER_CALL: Final = 25  # the same, in statements with a condition each
STATE_CALLS_AT_A_TIME: Final = 8  # state_writes.STATE_WRITE_THREADS
SLICE_RECORDS: Final = 500  # batch_processor.SLICE_RECORDS

_SORT_KEY_BYTES = 17  # a number of 31 digits: milliseconds and the fraction from the content
_TTL_BYTES = len(defaults.TTL_ATTRIBUTE) + 6  # a number of 10 digits
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
    """How often the processor calls DynamoDB for one batch when nothing fails."""

    time_series: int
    device_state: int

    @property
    def total(self) -> int:
        """Both tables together."""
        return self.time_series + self.device_state


def calls_of_batch(records: int, devices: int, item_bytes: int) -> Calls:
    """The calls for a batch of ``records`` readings of ``devices`` devices."""
    in_bytes = max(BYTES_PER_CALL // item_bytes, 1)
    puts, states = min(PUTS_PER_CALL, in_bytes), min(STATES_PER_CALL, in_bytes)
    full, rest = divmod(records, SLICE_RECORDS)
    slices = [SLICE_RECORDS] * full + [rest] * (rest > 0)
    return Calls(
        time_series=sum(ceil(part / puts) for part in slices),
        device_state=sum(ceil(min(part, devices) / states) for part in slices),
    )


def states_of_batch(records: float, devices: float) -> float:
    """How many states a batch writes: one for each device in each slice."""
    full, rest = divmod(records, SLICE_RECORDS)
    return full * min(SLICE_RECORDS, devices) + min(rest, devices)


def item_bytes_of(message_bytes: int) -> int:
    """An item of the time-series table, as DynamoDB counts it."""
    return _ITEM_BYTES + _TTL_BYTES + round(CONTENT_SHARE * message_bytes)


def state_bytes_of(item_bytes: int) -> int:
    """The same reading in the device-state table, which has no ``ttl``."""
    return max(item_bytes - _TTL_BYTES, 1)


def write_units_of(item_bytes: int) -> int:
    """What one write of an item takes: a unit for every KB begun, whether a condition holds or not."""
    return ceil(item_bytes / KB)
