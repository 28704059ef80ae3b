"""A stream, a table, and the processor that stores what is on the stream in the table."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from iot_constructs import MonitoredStream, SuffixedStack, TelemetryProcessor, TimeSeriesTable


class OneConstructStack(SuffixedStack):
    """Stores the JSON objects that devices put on a stream. The partition key of a record is the device id."""

    def __init__(self, scope: Construct, id: str, *, environment_suffix: str | None = None) -> None:
        super().__init__(scope, id, environment_suffix=environment_suffix, project="one-construct")
        self.stream = MonitoredStream(self, "Stream")
        self.readings = TimeSeriesTable(self, "Readings")
        self.processor = TelemetryProcessor(
            self, "Processor", stream=self.stream, time_series_table=self.readings
        )
        cdk.CfnOutput(self, "StreamName", value=self.stream.stream_name)
        cdk.CfnOutput(self, "TimeSeriesTableName", value=self.readings.table_name)
