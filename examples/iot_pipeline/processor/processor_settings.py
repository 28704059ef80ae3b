"""The function's settings, read from its environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    device_state_table: str
    time_series_table: str
    retention_seconds: int
    """How long the time-series table keeps a reading. Sets the `ttl` attribute."""
    dlq_topic_arn: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        def value(name: str) -> str:
            if not environ.get(name):
                raise ValueError(f"environment variable {name} is not set; set it on the function")
            return environ[name]

        retention = value("TIME_SERIES_RETENTION_SECONDS")
        if not retention.isdecimal() or int(retention) == 0:
            raise ValueError(
                f"TIME_SERIES_RETENTION_SECONDS is {retention!r}; set a positive whole number"
            )
        # Powertools requires it too, but raises only after the batch is stored.
        value("POWERTOOLS_METRICS_NAMESPACE")
        return cls(
            device_state_table=value("DEVICE_STATE_TABLE_NAME"),
            time_series_table=value("TIME_SERIES_TABLE_NAME"),
            retention_seconds=int(retention),
            dlq_topic_arn=value("DLQ_TOPIC_ARN"),
        )
