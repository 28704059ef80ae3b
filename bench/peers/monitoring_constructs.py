"""The peer "cdk-monitoring-constructs": the same L2s, watched by its facade, with the names its users give."""

from __future__ import annotations

import aws_cdk as cdk
import cdk_monitoring_constructs as monitoring
from aws_cdk import aws_sns as sns

from bench.peers.l2_pipeline import L2Pipeline

app = cdk.App()
stack = L2Pipeline(app, "MonitoredPipeline")
facade = monitoring.MonitoringFacade(
    stack,
    "IotPipeline",
    alarm_factory_defaults=monitoring.AlarmFactoryDefaults(
        alarm_name_prefix="IotPipeline",
        actions_enabled=True,
        action=monitoring.SnsAlarmActionStrategy(on_alarm_topic=sns.Topic(stack, "Alerts")),
    ),
)
throttled = monitoring.RecordsThrottledThreshold(max_records_throttled_threshold=0)
facade.monitor_kinesis_data_stream(
    stream_name=stack.stream.stream_name,
    human_readable_name="Telemetry stream",
    alarm_friendly_name="TelemetryStream",
    add_iterator_max_age_alarm={
        "Warning": monitoring.MaxIteratorAgeThreshold(max_age_in_millis=60_000)
    },
    add_read_provisioned_throughput_exceeded_alarm={"Warning": throttled},
    add_write_provisioned_throughput_exceeded_alarm={"Warning": throttled},
)
none_at_all = monitoring.ErrorCountThreshold(max_error_count=0)
facade.monitor_lambda_function(
    lambda_function=stack.processor,
    human_readable_name="Telemetry processor",
    alarm_friendly_name="TelemetryProcessor",
    add_fault_count_alarm={"Critical": none_at_all},
    add_throttles_count_alarm={"Warning": none_at_all},
)
events = monitoring.ThrottledEventsThreshold(max_throttled_events_threshold=0)
for table, name in ((stack.state, "DeviceState"), (stack.metrics, "Metrics")):
    facade.monitor_dynamo_table(
        table=table,
        human_readable_name=f"{name} table",
        alarm_friendly_name=f"{name}Table",
        add_read_throttled_events_count_alarm={"Warning": events},
        add_write_throttled_events_count_alarm={"Warning": events},
    )
# On the dashboard only. The alarms that it has for a delivery stream watch limits of direct puts, which this one
# gets none of; it has none for freshness (cdk-monitoring-constructs #52).
facade.monitor_kinesis_firehose(
    delivery_stream_name=stack.archive.delivery_stream_name,
    human_readable_name="Telemetry archive",
    alarm_friendly_name="TelemetryArchive",
)
app.synth()
