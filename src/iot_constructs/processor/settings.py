"""The function's settings, read from its environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VARIABLES = frozenset(
    {
        "DEVICE_ID_FIELD",
        "DEVICE_STATE_INTERVAL_SECONDS",
        "DEVICE_STATE_TABLE_NAME",
        "DLQ_TOPIC_ARN",
        "TIMESTAMP_FIELD",
        "TIME_SERIES_RETENTION_SECONDS",
        "TIME_SERIES_TABLE_NAME",
        "TRANSFORM_MODULE",
        "USE_ARRIVAL_TIME",
    }
)
"""What the function reads. TelemetryProcessor sets them, and nothing else may."""


@dataclass(frozen=True)
class Settings:
    """What TelemetryProcessor sets; either table can be left out."""

    dlq_topic_arn: str
    time_series_table: str | None = None
    device_state_table: str | None = None
    retention_seconds: int | None = None
    """How long the time-series table keeps a reading. Sets the `ttl` attribute. None without that table."""
    timestamp_field: str = "timestamp"
    """The member of a reading with its timestamp."""
    use_arrival_time: bool = False
    """Whether a reading without a timestamp gets the arrival time of its record."""
    device_id_field: str | None = None
    """The member of a reading with its device ID. None: the device ID is the partition key."""
    device_state_interval_seconds: int | None = None
    """How much older the state of a device may be than its newest reading. None: it is the newest reading."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            ValueError: a variable is missing or not valid.
        """
        series, state = (
            environ.get(name) or None
            for name in ("TIME_SERIES_TABLE_NAME", "DEVICE_STATE_TABLE_NAME")
        )
        if series is None and state is None:
            raise ValueError(
                "neither TIME_SERIES_TABLE_NAME nor DEVICE_STATE_TABLE_NAME is set; set one of them on the function"
            )
        retention = None
        if series is not None:
            retention = _seconds(environ, "TIME_SERIES_RETENTION_SECONDS")
        interval = None
        if environ.get("DEVICE_STATE_INTERVAL_SECONDS"):
            interval = _seconds(environ, "DEVICE_STATE_INTERVAL_SECONDS")
        arrival = environ.get("USE_ARRIVAL_TIME", "false")
        if arrival not in ("true", "false"):
            raise ValueError(f"USE_ARRIVAL_TIME is {arrival!r}; set true or false")
        return cls(
            _value(environ, "DLQ_TOPIC_ARN"),
            series,
            state,
            retention,
            timestamp_field=environ.get("TIMESTAMP_FIELD") or cls.timestamp_field,
            use_arrival_time=arrival == "true",
            device_id_field=environ.get("DEVICE_ID_FIELD") or None,
            device_state_interval_seconds=interval,
        )


def _seconds(environ: Mapping[str, str], name: str) -> int:
    text = _value(environ, name)
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{name} is {text!r}; set a positive whole number")
    return int(text)


def _value(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise ValueError(f"environment variable {name} is not set; set it on the function")
    return environ[name]
