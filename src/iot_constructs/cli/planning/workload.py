"""The input of a plan: the data of the devices, the settings of the constructs, and who reads."""

from __future__ import annotations

from dataclasses import dataclass

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import DAY_SECONDS, YEAR_SECONDS, quotas
from iot_constructs.cli.planning.assumptions import (
    DASHBOARD_SECONDS,
    DEVICE_ID_BYTES,
    QUERIES_PER_DAY,
)
from iot_constructs.cli.planning.batches import estimate_item_bytes
from iot_constructs.processor.readings import MAX_READINGS

_HOUR = 3600
_SMALLEST_MEMORY_MB, _LARGEST_MEMORY_MB = 128, 10_240  # Lambda quotas
_LARGEST_FLEET = 10**12
_LARGEST_ITEM_BYTES = 400 * 1024  # amazondynamodb/latest/developerguide/ServiceQuotas.html
_SHORTEST_EVERY, _LONGEST_EVERY = 0.001, 366 * DAY_SECONDS
_LARGEST_PEAK = 1000
_LONGEST = 100 * YEAR_SECONDS
MOST_SHARDS = 10_000  # as in MonitoredStream
_MOST_QUERIES = 10**6
COLD_MINIMUM_SECONDS = 90 * DAY_SECONDS
"""What S3 Glacier Instant Retrieval bills at least (https://aws.amazon.com/s3/pricing/)."""


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
    """The number of readings that a device sends in one message, a JSON array."""
    basic_ingest: bool = False
    """Whether devices publish to the rule itself, without messaging cost: basic_ingest of TelemetryRule."""
    peak: float = 1
    """The peak rate as a multiple of the average."""
    batch_size: int = defaults.BATCH_SIZE
    batching_window_seconds: float = defaults.MAX_BATCHING_WINDOW_SECONDS
    parallelization_factor: int = defaults.PARALLELIZATION_FACTOR
    memory_mb: int = defaults.MEMORY_MB
    tracing: bool = True
    """Whether X-Ray traces invocations: tracing of StreamProcessor."""
    system_logs: bool = True
    """Whether Lambda logs the start and the end of each invocation: system_log_level_v2 of StreamProcessor."""
    shard_count: int | None = None
    """None is on-demand mode."""
    stream_retention_seconds: float = defaults.STREAM_RETENTION_HOURS * _HOUR
    retention_seconds: float = defaults.TIME_SERIES_RETENTION_DAYS * DAY_SECONDS
    """The retention of the time-series table."""
    provisioned_tables: bool = False
    """Whether the tables have provisioned capacity with auto scaling: billing."""
    infrequent_access: bool = False
    """Whether the time-series table has the class Standard-IA: table_class."""
    device_state: bool = True
    """Whether the processor writes a device-state table."""
    device_state_interval_seconds: float | None = None
    """The state of a device is written at most every so often; None is with every batch."""
    archive_retention_seconds: float | None = None
    """The retention of the archive; None keeps all records."""
    archive_transition_seconds: float | None = None
    """The age at which objects move to S3 Glacier Instant Retrieval; None is never."""
    buffering_interval_seconds: float = defaults.BUFFERING_INTERVAL_SECONDS
    age_seconds: float = YEAR_SECONDS
    """The age of the pipeline: what it stores grows until it expires, and the key rotates once a year."""
    queries_per_day: float = QUERIES_PER_DAY
    """Queries for the readings of one device and one day, by device and day."""
    dashboard_seconds: float = DASHBOARD_SECONDS
    """The interval at which a dashboard reads the states of devices."""
    stored_bytes: int | None = None
    """The size of an item in the time-series table; None estimates it from the reading."""
    invocation_milliseconds: float | None = None
    """The measured average duration; None estimates it."""

    def __post_init__(self) -> None:
        limits: tuple[tuple[str, float | None, float, float], ...] = (
            ("--devices", self.devices, 0, _LARGEST_FLEET),
            ("--every", self.every_seconds, _SHORTEST_EVERY, _LONGEST_EVERY),
            ("--bytes", self.reading_bytes, 1, quotas.IOT_MESSAGE_BYTES.value),
            ("--readings-per-message", self.readings_per_message, 1, MAX_READINGS),
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
            ("--shard-count", self.shard_count, 1, MOST_SHARDS),
            (
                "--stream-retention",
                self.stream_retention_seconds,
                defaults.STREAM_MINIMUM_RETENTION_HOURS * _HOUR,
                defaults.STREAM_MAXIMUM_RETENTION_HOURS * _HOUR,
            ),
            ("--retention", self.retention_seconds, DAY_SECONDS, _LONGEST),
            ("--device-state-interval", self.device_state_interval_seconds, 1, DAY_SECONDS),
            ("--archive-retention", self.archive_retention_seconds, DAY_SECONDS, _LONGEST),
            ("--archive-transition", self.archive_transition_seconds, DAY_SECONDS, _LONGEST),
            (
                "--buffering-interval",
                self.buffering_interval_seconds,
                1,
                defaults.LONGEST_BUFFERING_INTERVAL_SECONDS,
            ),
            ("--age", self.age_seconds, 0, _LONGEST),
            ("--queries-per-day", self.queries_per_day, 0, _MOST_QUERIES),
            ("--dashboard-refresh", self.dashboard_seconds, 1, _LONGEST),
            ("--stored-bytes", self.stored_bytes, 1, _LARGEST_ITEM_BYTES),
            ("--invocation-ms", self.invocation_milliseconds, 1, 900_000),
        )
        for option, value, least, most in limits:
            if value is not None and not least <= value <= most:
                raise ValueError(
                    f"{option} {value:g} is out of range; specify {_format_number(least)} to {_format_number(most)}"
                )
        self._validate_message()
        if self.device_state_interval_seconds is not None and not self.device_state:
            raise ValueError(
                "--device-state-interval needs the device-state table; remove --no-device-state"
            )
        kept, moved = self.archive_retention_seconds, self.archive_transition_seconds
        if kept is not None and moved is not None and kept < moved + COLD_MINIMUM_SECONDS:
            raise ValueError(
                "--archive-transition: S3 bills an object in Glacier Instant Retrieval for 90 days; "
                "specify an --archive-retention that is 90 days longer, or remove --archive-transition"
            )

    def _validate_message(self) -> None:
        largest = int(quotas.IOT_MESSAGE_BYTES.value)
        if self.message_bytes > largest:
            raise ValueError(
                f"{self.readings_per_message} readings of {self.reading_bytes} bytes make a message of "
                f"{self.message_bytes} bytes, and AWS IoT accepts {largest}; "
                f"specify --readings-per-message {(largest - 1) // (self.reading_bytes + 1)} or less"
            )

    @property
    def message_bytes(self) -> int:
        """The size of a message: of several readings, with brackets and commas."""
        count = self.readings_per_message
        return self.reading_bytes * count + (count + 1 if count > 1 else 0)

    @property
    def record_bytes(self) -> int:
        """The size of a record with its partition key, which counts towards the limits of the stream."""
        return self.message_bytes + DEVICE_ID_BYTES

    @property
    def message_seconds(self) -> float:
        """The interval between two messages of a device."""
        return self.every_seconds * self.readings_per_message

    @property
    def device_messages_per_second(self) -> float:
        """The average message rate of one device."""
        return 1 / self.message_seconds

    @property
    def messages_per_second(self) -> float:
        """The average message rate of all devices."""
        return self.devices * self.device_messages_per_second

    @property
    def readings_per_second(self) -> float:
        """The average rate of readings of all devices."""
        return self.devices / self.every_seconds

    @property
    def item_bytes(self) -> int:
        """The size of an item in the time-series table, which is one reading."""
        return (
            self.stored_bytes
            if self.stored_bytes is not None
            else estimate_item_bytes(self.reading_bytes)
        )


def _format_number(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"
