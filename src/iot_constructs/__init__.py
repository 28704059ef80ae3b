"""AWS CDK constructs for IoT telemetry pipelines with secure, production-ready defaults."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iot_constructs._alarms import Severity
    from iot_constructs.archive import QueryableArchive, StreamArchive
    from iot_constructs.environment import EnvironmentSuffix, NamePrefix, SuffixedStack
    from iot_constructs.ingestion import DevicePolicy, TelemetryRule
    from iot_constructs.monitoring import AlarmActions, AlarmThresholds, PipelineAlarms
    from iot_constructs.processing import StreamProcessor
    from iot_constructs.storage import SecureDataBucket
    from iot_constructs.streams import MonitoredStream
    from iot_constructs.tables import DeviceStateTable, TimeSeriesTable
    from iot_constructs.telemetry import TelemetryProcessor

    __version__: str

__all__ = [
    "AlarmActions",
    "AlarmThresholds",
    "DevicePolicy",
    "DeviceStateTable",
    "EnvironmentSuffix",
    "MonitoredStream",
    "NamePrefix",
    "PipelineAlarms",
    "QueryableArchive",
    "SecureDataBucket",
    "Severity",
    "StreamArchive",
    "StreamProcessor",
    "SuffixedStack",
    "TelemetryProcessor",
    "TelemetryRule",
    "TimeSeriesTable",
]

_MODULES = {
    "AlarmActions": "monitoring",
    "AlarmThresholds": "monitoring",
    "DevicePolicy": "ingestion",
    "DeviceStateTable": "tables",
    "EnvironmentSuffix": "environment",
    "MonitoredStream": "streams",
    "NamePrefix": "environment",
    "PipelineAlarms": "monitoring",
    "QueryableArchive": "archive",
    "SecureDataBucket": "storage",
    "Severity": "_alarms",
    "StreamArchive": "archive",
    "StreamProcessor": "processing",
    "SuffixedStack": "environment",
    "TelemetryProcessor": "telemetry",
    "TelemetryRule": "ingestion",
    "TimeSeriesTable": "tables",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use.

    Each construct then loads only the aws_cdk modules that it uses, and the command line needs neither aws_cdk nor
    Node.
    """
    if name == "__version__":
        return import_module("importlib.metadata").version("iot-constructs")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
