"""A step of your own in the processor: readings are converted and enriched before they are stored."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from constructs import Construct

from iot_constructs import (
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    SuffixedStack,
    TelemetryProcessor,
    TimeSeriesTable,
)


class OverheatingStack(SuffixedStack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        stream = MonitoredStream(self, "Stream")
        readings = TimeSeriesTable(self, "Readings")
        machines = DeviceStateTable(self, "Machines")
        processor = TelemetryProcessor(
            self,
            "Processor",
            stream=stream,
            time_series_table=readings,
            device_state_table=machines,
            transform=str(Path(__file__).with_name("step.py")),
            environment={"HOTTEST": "85"},
        )
        PipelineAlarms(
            self,
            "Alarms",
            stream=stream,
            processor=processor,
            time_series_table=readings,
            device_state_table=machines,
        )


if __name__ == "__main__":
    app = cdk.App()
    OverheatingStack(app, "Overheating")
    app.synth()
