"""The whole pipeline, one construct after the other: remove what you do not need."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk.aws_sns_subscriptions import EmailSubscription
from constructs import Construct

from iot_constructs import (
    DeviceStateTable,
    EnvironmentSuffix,
    MonitoredStream,
    PipelineAlarms,
    SecureDataBucket,
    StreamArchive,
    SuffixedStack,
    TelemetryProcessor,
    TelemetryRule,
    TimeSeriesTable,
)


class IotPipelineStack(SuffixedStack):
    """Stores device telemetry in tables and an archive without losing a record, with alarms on every part."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment_suffix: str | EnvironmentSuffix | None = None,
        env: cdk.Environment | None = None,
        alarm_email: str | None = None,
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
        self.processor = TelemetryProcessor(
            self,
            "Processor",
            stream=self.stream,
            time_series_table=self.time_series,
            device_state_table=self.device_state,
        )
        dlq_topic = self.processor.dlq_topic
        self.rule = TelemetryRule(self, "Telemetry", stream=self.stream, dlq_topic=dlq_topic)
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
            subscriptions=[EmailSubscription(alarm_email)] if alarm_email is not None else [],
        )
        if self.ephemeral:
            # Without an address, synth warns that no alarm reaches anybody. In a development environment that is fine.
            cdk.Annotations.of(self.alarms).acknowledge_warning("iot-constructs:noSubscription")
        self._create_outputs()

    def _create_outputs(self) -> None:
        queue = self.processor.dlq_queue
        outputs = {
            "StreamName": self.stream.stream_name,
            "FunctionName": self.processor.function.function_name,
            "DeviceStateTableName": self.device_state.table_name,
            "TimeSeriesTableName": self.time_series.table_name,
            "DlqTopicArn": self.processor.dlq_topic.topic_arn,
            "DlqQueueUrl": queue.queue_url if queue is not None else "",
            "AlarmTopicArn": self.alarms.alarm_topic.topic_arn,
            "BucketName": self.data.bucket_name,
            "TelemetryRuleName": self.rule.rule_name,
            "DashboardName": self.alarms.dashboard.dashboard_name,
        }
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)
