"""A pipeline whose devices use Basic Ingest."""

from __future__ import annotations

import aws_cdk as cdk

from iot_constructs import (
    DevicePolicy,
    DeviceStateTable,
    MonitoredStream,
    SuffixedStack,
    TelemetryProcessor,
    TelemetryRule,
    TimeSeriesTable,
)

app = cdk.App()
stack = SuffixedStack(app, "BasicIngest")
stream = MonitoredStream(stack, "Stream")
series = TimeSeriesTable(stack, "Series")
processor = TelemetryProcessor(
    stack,
    "Processor",
    stream=stream,
    time_series_table=series,
    device_state_table=DeviceStateTable(stack, "State"),
    max_batching_window=cdk.Duration.seconds(0),
)
rule = TelemetryRule(stack, "Rule", stream=stream, dlq_topic=processor.dlq_topic, basic_ingest=True)
if app.node.try_get_context("withoutFrom"):
    rule.rule.add_property_override("TopicRulePayload.Sql", "SELECT *")
assert processor.dlq_queue is not None
outputs = {
    "Function": processor.function.function_name,
    "Policy": DevicePolicy(stack, "Devices", rule=rule).policy_name,
    "Queue": processor.dlq_queue.queue_url,
    "RuleName": rule.rule_name,
    "SeriesName": series.table_name,
    "Topic": rule.publish_topic,
}
for name, value in outputs.items():
    cdk.CfnOutput(stack, name, value=value)
app.synth()
