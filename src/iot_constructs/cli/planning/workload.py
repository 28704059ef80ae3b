"""The input of a plan: the data of the devices and the settings of the constructs."""

from __future__ import annotations

from dataclasses import dataclass

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import DAY_SECONDS, quotas
from iot_constructs.cli.planning.assumptions import DEVICE_ID_BYTES
from iot_constructs.cli.planning.batches import estimate_item_bytes

_HOUR = 3600
_SMALLEST_MEMORY_MB, _LARGEST_MEMORY_MB = 128, 10_240  # Lambda quotas
_LARGEST_FLEET = 10**12
_LARGEST_ITEM_BYTES = 400 * 1024  # amazondynamodb/latest/developerguide/ServiceQuotas.html
_SHORTEST_EVERY, _LONGEST_EVERY = 0.001, 366 * DAY_SECONDS
_LARGEST_PEAK = 1000
_MOST_READINGS = 10_000
_MOST_YEARS = 100
_LONGEST_READINGS_RETENTION = _MOST_YEARS * 365 * DAY_SECONDS
_MOST_SHARDS = 10_000  # as in MonitoredStream


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A fleet and the settings of the constructs, with their defaults.

    Raises:
        ValueError: a value is out of the range of the constructs or of AWS.
    """

    devices: int
    """0 is an idle environment."""
    every_seconds: float
    """The interval between two readings of a device."""
    reading_bytes: int
    """The size of a reading as it is sent, without the topic."""
    readings_per_message: int = 1
    """The number of readings that a device sends in one message."""
    basic_ingest: bool = False
    """Whether devices publish to the rule itself, without messaging cost: basic_ingest of TelemetryRule."""
    peak: float = 1
    """The peak rate as a multiple of the average."""
    batch_size: int = defaults.BATCH_SIZE
    batching_window_seconds: float = defaults.MAX_BATCHING_WINDOW_SECONDS
    parallelization_factor: int = defaults.PARALLELIZATION_FACTOR
    memory_mb: int = defaults.MEMORY_MB
    shard_count: int | None = None
    """None is on-demand mode."""
    stream_retention_seconds: float = defaults.STREAM_RETENTION_HOURS * _HOUR
    retention_seconds: float = defaults.TIME_SERIES_RETENTION_DAYS * DAY_SECONDS
    """The retention of the time-series table."""
    years: int = 1
    """The age of the pipeline: the archive keeps all data, and the key rotates once a year."""
    stored_bytes: int | None = None
    """The size of an item in the time-series table; None estimates it from the message."""
    invocation_milliseconds: float | None = None
    """The measured average duration; None estimates it."""

    def __post_init__(self) -> None:
        limits: tuple[tuple[str, float | None, float, float], ...] = (
            ("--devices", self.devices, 0, _LARGEST_FLEET),
            ("--every", self.every_seconds, _SHORTEST_EVERY, _LONGEST_EVERY),
            ("--bytes", self.reading_bytes, 1, quotas.IOT_MESSAGE_BYTES.value),
            ("--readings-per-message", self.readings_per_message, 1, _MOST_READINGS),
            ("--peak", self.peak, 1, _LARGEST_PEAK),
            ("--batch-size", self.batch_size, 1, defaults.MAX_BATCH_SIZE),
            (
                "--batching-window",
                self.batching_window_seconds,
                0,
                defaults.LONGEST_BATCHING_WINDOW_SECONDS,
            ),
            (
                "--parallelization-factor",
                self.parallelization_factor,
                1,
                defaults.MAX_PARALLELIZATION_FACTOR,
            ),
            ("--memory-size", self.memory_mb, _SMALLEST_MEMORY_MB, _LARGEST_MEMORY_MB),
            ("--shard-count", self.shard_count, 1, _MOST_SHARDS),
            (
                "--stream-retention",
                self.stream_retention_seconds,
                defaults.STREAM_MINIMUM_RETENTION_HOURS * _HOUR,
                defaults.STREAM_MAXIMUM_RETENTION_HOURS * _HOUR,
            ),
            ("--retention", self.retention_seconds, DAY_SECONDS, _LONGEST_READINGS_RETENTION),
            ("--years", self.years, 0, _MOST_YEARS),
            ("--stored-bytes", self.stored_bytes, 1, _LARGEST_ITEM_BYTES),
            ("--invocation-ms", self.invocation_milliseconds, 1, 900_000),
        )
        for option, value, least, most in limits:
            if value is not None and not least <= value <= most:
                raise ValueError(
                    f"{option} {value:g} is out of range; specify {_format_number(least)} to {_format_number(most)}"
                )
        largest = int(quotas.IOT_MESSAGE_BYTES.value)
        if self.message_bytes > largest:
            raise ValueError(
                f"{self.readings_per_message} readings of {self.reading_bytes} bytes make a message of "
                f"{self.message_bytes} bytes, and AWS IoT accepts {largest}; "
                f"specify --readings-per-message {largest // self.reading_bytes} or less"
            )

    @property
    def message_bytes(self) -> int:
        """The size of a message."""
        return self.reading_bytes * self.readings_per_message

    @property
    def record_bytes(self) -> int:
        """The size of a record with its partition key, which counts towards the limits of the stream."""
        return self.message_bytes + DEVICE_ID_BYTES

    @property
    def device_messages_per_second(self) -> float:
        """The average message rate of one device."""
        return 1 / (self.every_seconds * self.readings_per_message)

    @property
    def messages_per_second(self) -> float:
        """The average message rate of all devices."""
        return self.devices * self.device_messages_per_second

    @property
    def item_bytes(self) -> int:
        """The size of an item in the time-series table."""
        return (
            self.stored_bytes
            if self.stored_bytes is not None
            else estimate_item_bytes(self.message_bytes)
        )


def _format_number(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"
