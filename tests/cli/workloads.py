"""Workloads with settings of their own, so that the figures of the tests do not follow the library's defaults."""

from __future__ import annotations

from typing import Any, Final

from iot_constructs.cli.planning.workload import Workload

SETTINGS: Final[dict[str, Any]] = {
    "batch_size": 100,
    "batching_window_seconds": 5,
    "parallelization_factor": 1,
    "memory_mb": 512,
    "stream_retention_seconds": 7 * 86_400,
    "retention_seconds": 365 * 86_400,
}
ARGUMENTS: Final = (
    *("--batch-size", "100", "--batching-window", "5s", "--parallelization-factor", "1"),
    *("--memory-size", "512", "--stream-retention", "7d", "--retention", "365d"),
)
"""The same settings for `iot-constructs plan`."""


def build_workload(**settings: Any) -> Workload:
    return Workload(**{**SETTINGS, **settings})
