"""Two environments of one pipeline in one account: a stage each, and no name in common."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import (
    EnvironmentSuffix,
    MonitoredStream,
    PipelineAlarms,
    StreamProcessor,
    SuffixedStack,
    TimeSeriesTable,
)


class TelemetryStage(cdk.Stage):
    """Everything of one environment. Whatever is made in it takes the suffix from it."""

    def __init__(self, scope: Construct, id: str, *, suffix: str) -> None:
        super().__init__(scope, id)
        EnvironmentSuffix(suffix).attach_to(self)

        stack = SuffixedStack(self, "Telemetry")
        stream = MonitoredStream(stack, "Stream")
        readings = TimeSeriesTable(stack, "Readings")
        processor = StreamProcessor(
            stack,
            "Processor",
            stream=stream,
            code=lambda_.Code.from_inline(
                "def handler(event, context): return {'batchItemFailures': []}"
            ),
            handler="index.handler",
            environment={"TABLE_NAME": readings.table_name},
        )
        readings.grant(processor, "dynamodb:PutItem")
        PipelineAlarms(
            stack, "Alarms", stream=stream, processor=processor, time_series_table=readings
        )


if __name__ == "__main__":
    app = cdk.App()
    TelemetryStage(app, "Dev", suffix="dev")
    TelemetryStage(app, "Staging", suffix="staging")
    app.synth()
