"""Small AWS CDK constructs for IoT telemetry pipelines whose defaults are the corrected ones."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iot_constructs.device_policy import DevicePolicy
    from iot_constructs.device_state_table import DeviceStateTable
    from iot_constructs.environment import EnvironmentSuffix, SuffixedStack
    from iot_constructs.monitored_stream import MonitoredStream
    from iot_constructs.pipeline_alarms import AlarmThresholds, PipelineAlarms
    from iot_constructs.queryable_archive import QueryableArchive
    from iot_constructs.secure_data_bucket import SecureDataBucket
    from iot_constructs.stream_archive import StreamArchive
    from iot_constructs.stream_processor import StreamProcessor
    from iot_constructs.telemetry_rule import TelemetryRule
    from iot_constructs.time_series_table import TimeSeriesTable

__all__ = [
    "AlarmThresholds",
    "DevicePolicy",
    "DeviceStateTable",
    "EnvironmentSuffix",
    "MonitoredStream",
    "PipelineAlarms",
    "QueryableArchive",
    "SecureDataBucket",
    "StreamArchive",
    "StreamProcessor",
    "SuffixedStack",
    "TelemetryRule",
    "TimeSeriesTable",
]

_MODULES = {
    "AlarmThresholds": "pipeline_alarms",
    "DevicePolicy": "device_policy",
    "DeviceStateTable": "device_state_table",
    "EnvironmentSuffix": "environment",
    "MonitoredStream": "monitored_stream",
    "PipelineAlarms": "pipeline_alarms",
    "QueryableArchive": "queryable_archive",
    "SecureDataBucket": "secure_data_bucket",
    "StreamArchive": "stream_archive",
    "StreamProcessor": "stream_processor",
    "SuffixedStack": "environment",
    "TelemetryRule": "telemetry_rule",
    "TimeSeriesTable": "time_series_table",
}


def __getattr__(name: str) -> Any:
    """Load a name when it is asked for.

    Each construct then costs only the aws_cdk modules that it uses, and the operators' command line, which is in this
    package as well, needs neither aws_cdk nor Node.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
