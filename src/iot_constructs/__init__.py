"""Small AWS CDK constructs for IoT telemetry pipelines whose defaults are the corrected ones."""

from iot_constructs.device_state_table import DeviceStateTable
from iot_constructs.environment import EnvironmentSuffix, SuffixedStack
from iot_constructs.monitored_stream import MonitoredStream
from iot_constructs.pipeline_alarms import AlarmThresholds, PipelineAlarms
from iot_constructs.secure_data_bucket import SecureDataBucket
from iot_constructs.stream_archive import StreamArchive
from iot_constructs.stream_processor import StreamProcessor
from iot_constructs.telemetry_rule import TelemetryRule
from iot_constructs.time_series_table import TimeSeriesTable

__all__ = [
    "AlarmThresholds",
    "DeviceStateTable",
    "EnvironmentSuffix",
    "MonitoredStream",
    "PipelineAlarms",
    "SecureDataBucket",
    "StreamArchive",
    "StreamProcessor",
    "SuffixedStack",
    "TelemetryRule",
    "TimeSeriesTable",
]
