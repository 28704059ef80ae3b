"""The whole pipeline, one construct after the other: copy this file and take out what you do not need."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import (
    DeviceStateTable,
    EnvironmentSuffix,
    MonitoredStream,
    PipelineAlarms,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    SuffixedStack,
    TelemetryRule,
    TimeSeriesTable,
)

if __package__:
    from .function_asset import function_asset
else:  # copied to a folder of its own, which is then on the path
    from function_asset import function_asset  # type: ignore[import-not-found,no-redef]


class IotPipelineStack(SuffixedStack):
    """Device telemetry into tables and an archive, with nothing lost on the way and alarms on all of it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment_suffix: str | EnvironmentSuffix | None = None,
        env: cdk.Environment | None = None,
    ) -> None:
        super().__init__(
            scope,
            id,
            environment_suffix=environment_suffix,
            env=env,
            project="iot-pipeline",
            description="IoT telemetry pipeline built from iot-constructs",
        )
        self.stream = MonitoredStream(self, "Stream")
        self.time_series = TimeSeriesTable(self, "TimeSeries")
        self.device_state = DeviceStateTable(self, "DeviceState")
        self.processor = self._create_processor()
        self.rule = TelemetryRule(
            self, "Telemetry", stream=self.stream, dlq_topic=self.processor.dlq_topic
        )
        self.data = SecureDataBucket(self, "Data")
        self.archive = StreamArchive(self, "Archive", stream=self.stream, bucket=self.data)
        self.alarms = PipelineAlarms(
            self,
            "Alarms",
            stream=self.stream,
            processor=self.processor,
            time_series_table=self.time_series,
            device_state_table=self.device_state,
            archive=self.archive,
            rule=self.rule,
        )
        self._create_outputs()

    def _create_processor(self) -> StreamProcessor:
        processor = StreamProcessor(
            self,
            "Processor",
            stream=self.stream,
            code=lambda_.Code.from_asset(str(function_asset())),
            environment={
                "TIME_SERIES_TABLE_NAME": self.time_series.table_name,
                "TIME_SERIES_RETENTION_SECONDS": str(self.time_series.retention.to_seconds()),
                "DEVICE_STATE_TABLE_NAME": self.device_state.table_name,
                "POWERTOOLS_SERVICE_NAME": "iot-stream-processor",
                "POWERTOOLS_METRICS_NAMESPACE": "IotPipeline",
            },
        )
        # What the code does, and no more: grant_write_data would also allow to delete.
        self.time_series.grant(processor.role, "dynamodb:BatchWriteItem", "dynamodb:PutItem")
        # A PartiQL statement has permissions of its own (D ql-iam.html).
        self.device_state.grant(processor.role, "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate")
        return processor

    def _create_outputs(self) -> None:
        queue = self.processor.dlq_queue
        outputs = {
            "StreamName": self.stream.stream_name,
            "FunctionName": self.processor.function_name,
            "DeviceStateTableName": self.device_state.table_name,
            "TimeSeriesTableName": self.time_series.table_name,
            "DlqTopicArn": self.processor.dlq_topic.topic_arn,
            "DlqQueueUrl": queue.queue_url if queue is not None else "",
            "AlertTopicArn": self.alarms.alert_topic.topic_arn,
            "BucketName": self.data.bucket_name,
            "TelemetryRuleName": self.rule.rule_name,
            "DashboardName": self.alarms.dashboard.dashboard_name,
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)
