"""PipelineAlarms: everything that can go wrong with the pipeline, said to a person (correction 7)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.aws_cloudwatch_actions import SnsAction
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import (
    MAXIMUM,
    MINUTES_OF_MILLISECONDS,
    SECONDS_OF_MILLISECONDS,
    SUM,
    Scale,
    create_alarm,
    period,
)
from iot_constructs._dead_letters import check_standard_topic, create_topic
from iot_constructs._durations import seconds_of
from iot_constructs._encryption import allow_service, key_for
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._principals import service_of_account
from iot_constructs._table_metrics import metric_read_throttles, metric_write_throttles
from iot_constructs._validate import check_alone, is_token
from iot_constructs._warnings import TOPIC_POLICY_NOT_CHANGED, warn
from iot_constructs.device_state_table import DeviceStateTable
from iot_constructs.environment import EnvironmentSuffix
from iot_constructs.monitored_stream import MonitoredStream
from iot_constructs.stream_archive import StreamArchive
from iot_constructs.stream_processor import StreamProcessor
from iot_constructs.telemetry_rule import TelemetryRule
from iot_constructs.time_series_table import TimeSeriesTable

_CLOUDWATCH = "cloudwatch.amazonaws.com"
_CONVERTED = ("processor_duration_share", "processing_delay_minutes")  # into milliseconds


@dataclass(frozen=True)
class AlarmThresholds:
    """When PipelineAlarms fires. Counts are sums over 5 minutes; ``None`` means: no such alarm."""

    processor_errors: int | None = 1
    """Invocations that raised or timed out."""
    processor_throttles: int | None = 1
    """Invocations refused for lack of concurrency."""
    processor_duration_share: float | None = defaults.DURATION_SHARE_OF_TIMEOUT
    """The slowest invocation, as a share of the timeout."""
    processing_delay_minutes: float | None = defaults.PROCESSING_DELAY_MINUTES
    """How old a record is when it is processed, in minutes. Must be below the processor's max_record_age; where the
    default is not, half of that is taken."""
    failed_events: int | None = 1
    """Records that failed, three periods in a row: retries did not mend it."""
    failed_batches: int | None = 1
    """Records given up and sent to the failure destination."""
    dropped_events: int | None = 1
    """Records given up that did not even reach the failure destination."""
    destination_delivery_failures: int | None = 1
    """Failure records that Lambda could not deliver."""
    async_events_dropped: int | None = 1
    """Asynchronous invocations (an operator's redrive) given up."""
    dlq_messages: int | None = 1
    """Messages waiting on the dead-letter queue."""
    dlq_delivery_failures: int | None = 1
    """Messages that the DLQ topic could not hand to its queue."""
    table_write_throttles: int | None = 1
    """Throttled writes, per table."""
    table_read_throttles: int | None = 1
    """Throttled reads, per table."""
    rule_throttles: int | None = 1
    """Messages dropped by the IoT rules engine because of the account's limit."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None:
                continue
            if is_token(value):
                if name in _CONVERTED:
                    raise ValueError(f"{name} is a token, and it is converted here; pass a number")
                continue
            if isinstance(value, bool) or value <= 0:
                raise ValueError(f"{name}={value!r} would always fire; pass None for no such alarm")
            if not math.isfinite(value):
                raise ValueError(f"{name}={value!r} would never fire; pass None for no such alarm")
        share = self.processor_duration_share
        if share is not None and share > 1:
            raise ValueError(
                f"processor_duration_share={share!r} is above 1: no invocation outlives its timeout"
            )


class PipelineAlarms(PipelineConstruct):
    """Every alarm that fits the constructs you have, one alarm over all of them, an alert topic and a dashboard.

    * Each alarm is on a metric and dimensions that AWS emits (a test holds them to AWS's tables): ``UserErrors`` of
      DynamoDB, for one, never counts throttling (FACTS 4).
    * The alarms of MonitoredStream and StreamArchive are taken in, not made again.
    * The alert topic lets CloudWatch publish, in its policy and in its key's: under ``alias/aws/sns``, or with a
      TLS-only policy alone, no alarm would ever arrive (FACTS 6). Subscribe to it: ``alarms.alert_topic``.
    * Every description says what happened, what it costs, at which threshold it fires and what to do first.

    It belongs into the stack of what it watches; in another stack, pass an ``alert_topic`` of theirs, or the key that
    they share and the alarms would wait for each other.

    Args:
        stream: MonitoredStream, or any stream, which then gets the same alarms.
        processor: the function and its dead-letter path.
        time_series_table: TimeSeriesTable or any table.
        device_state_table: DeviceStateTable or any table.
        archive: the archive.
        rule: the IoT rule.
        thresholds: when to fire; None in a field means no such alarm.
        alert_topic: an existing standard topic; None makes one.
        alert_topic_name: stem of that topic; None means ``iot-pipeline-alerts``.
        alarm_name_prefix: alarms are called ``prefix-service-what-suffix``; give those of a second pipeline of one
            environment another one.
        composite_alarm_name: stem of the one alarm over all.
        dashboard_name: stem of the dashboard.
        encryption_key: for the alert topic; None takes the key that the stack shares.
        environment_suffix: None takes it from the surroundings.

    Raises:
        ValueError: nothing to watch; a delay that is never reached; a FIFO topic; ``alert_topic`` and
            ``alert_topic_name`` both; a name that is not allowed or is taken.

    Example::

        from iot_constructs import AlarmThresholds, PipelineAlarms

        limits = AlarmThresholds(processor_errors=5)
        alarms = PipelineAlarms(stack, "Alarms", stream=stream, processor=processor, thresholds=limits)
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: MonitoredStream | kinesis.IStream | None = None,
        processor: StreamProcessor | None = None,
        time_series_table: TimeSeriesTable | dynamodb.ITable | None = None,
        device_state_table: DeviceStateTable | dynamodb.ITable | None = None,
        archive: StreamArchive | None = None,
        rule: TelemetryRule | None = None,
        thresholds: AlarmThresholds | None = None,
        alert_topic: sns.ITopic | None = None,
        alert_topic_name: str | None = None,
        alarm_name_prefix: str = defaults.ALARM_NAME_PREFIX,
        composite_alarm_name: str = defaults.COMPOSITE_ALARM_NAME,
        dashboard_name: str = defaults.DASHBOARD_NAME,
        encryption_key: kms.IKey | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        self._prefix = alarm_name_prefix
        self.thresholds = thresholds if thresholds is not None else AlarmThresholds()
        """When the alarms fire."""
        self._sections: list[tuple[str, list[cloudwatch.Alarm]]] = []

        self.alert_topic = self._resolve_alert_topic(alert_topic, alert_topic_name, encryption_key)
        """Where every alarm publishes, made here or given: subscribe to it."""
        self._watch_stream(stream)
        self._watch_processor(processor)
        self._watch_dead_letters(processor)
        self._watch_table("metrics", "Time series table", _table(time_series_table))
        self._watch_table("state", "Device state table", _table(device_state_table))
        self._watch_rule(rule)
        self._watch_archive(archive)
        if not self.alarms:
            raise ValueError(
                "there is nothing to watch: pass at least one of stream, processor, a table, archive, rule"
            )
        self.composite_alarm = self._create_composite_alarm(composite_alarm_name)
        """The one alarm to page on: any of the others."""
        self._publish_to_alert_topic()
        self.dashboard = self._create_dashboard(dashboard_name)
        """Every alarm's metric with its threshold drawn."""

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """All alarms but the composite one."""
        return [alarm for _, alarms in self._sections for alarm in alarms]

    def _resolve_alert_topic(
        self, topic: sns.ITopic | None, name: str | None, key: kms.IKey | None
    ) -> sns.ITopic:
        if topic is not None:
            check_alone(
                "alert_topic",
                (("alert_topic_name", name), ("encryption_key", key)),
                "an existing topic has its name and key; leave them out",
            )
            check_standard_topic("alert_topic", topic)
            self._allow_cloudwatch(topic)
            master_key = asked.key_of_topic(topic)
            if master_key is not None:
                allow_service(self, master_key, _CLOUDWATCH)
            return topic
        topic_key = key_for(self, key)
        created = create_topic(
            self,
            "AlertTopic",
            name=name if name is not None else defaults.ALERT_TOPIC_NAME,
            suffix=self._suffix,
            key=topic_key,
        )
        allow_service(self, topic_key, _CLOUDWATCH)
        self._allow_cloudwatch(created)
        return created

    def _allow_cloudwatch(self, topic: sns.ITopic) -> None:
        added = topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AllowAlarmsToPublish",
                principals=[service_of_account(_CLOUDWATCH, self._place.account)],
                actions=["sns:Publish"],
                resources=[asked.topic_arn(topic)],
            )
        )
        if not added.statement_added:
            warn(
                self,
                TOPIC_POLICY_NOT_CHANGED,
                f"the policy of the imported alert topic cannot be changed here: see that it allows {_CLOUDWATCH} "
                "sns:Publish, and its key kms:Decrypt and kms:GenerateDataKey* (FACTS 6)",
            )

    def _watch_stream(self, stream: MonitoredStream | kinesis.IStream | None) -> None:
        if stream is None:
            return
        watched = (
            stream
            if isinstance(stream, MonitoredStream)
            else MonitoredStream(
                self,
                "Stream",
                stream=stream,
                alarm_name_prefix=self._prefix,
                environment_suffix=self._suffix,
            )
        )
        self._sections.append(("Stream", watched.alarms))

    def _watch_processor(self, processor: StreamProcessor | None) -> None:
        if processor is None:
            return
        limits = self.thresholds
        share = limits.processor_duration_share
        delay, delay_from = _processing_delay(processor, limits.processing_delay_minutes)
        self._sections.append(
            (
                "Processor",
                [
                    *self._alarm(
                        "ProcessorErrors",
                        "lambda-errors",
                        processor.metric_errors,
                        limits.processor_errors,
                        what="The processor raised or timed out.",
                        cost="Its batch is retried and delays its shard.",
                        first="read the last ERROR in the function's log group.",
                    ),
                    *self._alarm(
                        "ProcessorThrottles",
                        "lambda-throttles",
                        processor.metric_throttles,
                        limits.processor_throttles,
                        what="The processor was refused concurrency.",
                        cost="Records wait; throttles do not count as retries, so only the record age ends it.",
                        first="compare the account's concurrency limit with its use; reserve some for this function.",
                    ),
                    *self._alarm(
                        "ProcessorDuration",
                        "lambda-duration",
                        processor.metric_duration,
                        _slow_milliseconds(processor, share) if share is not None else None,
                        what="An invocation came close to its timeout.",
                        cost="The next slower one times out and its whole batch is retried.",
                        first="look for throttling of the tables; else lower batch_size, raise memory_size or timeout.",
                        scale=SECONDS_OF_MILLISECONDS,
                        derived_from=f"{share} of the timeout",
                    ),
                    *self._alarm(
                        "ProcessingDelay",
                        "lambda-iterator-age",
                        processor.metric_iterator_age,
                        delay * 60_000 if delay is not None else None,
                        what="Records are too old when they are processed.",
                        cost="Latest states and readings are that far behind.",
                        first="look for failing or throttled invocations; else raise parallelization_factor.",
                        scale=MINUTES_OF_MILLISECONDS,
                        derived_from=delay_from,
                    ),
                    *self._alarm(
                        "FailedEvents",
                        "lambda-failed-events",
                        processor.metric_failed_events,
                        limits.failed_events,
                        what="Records keep failing: retries did not mend it.",
                        cost="When their retries are used up they go to the DLQ.",
                        first="read the WARNING lines in the function's log group: they name the exception.",
                        periods=defaults.FAILED_RECORD_PERIODS,
                    ),
                    *self._alarm(
                        "FailedBatches",
                        "lambda-failed-batches",
                        processor.metric_failed_batches,
                        limits.failed_batches,
                        what="Records were given up and sent to the failure destination.",
                        cost="They are in no table. The stream keeps their payload until its retention ends.",
                        first="mend the cause, then redrive them before then.",
                    ),
                    *self._alarm(
                        "DroppedEvents",
                        "lambda-dropped-events",
                        processor.metric_dropped_events,
                        limits.dropped_events,
                        what="Records were given up without a trace on the DLQ.",
                        cost="Only stream and archive still have them.",
                        first="see why the failure destination refused them (role, key), then replay from the stream.",
                    ),
                    *self._alarm(
                        "DestinationDeliveryFailures",
                        "lambda-destination-failures",
                        processor.metric_destination_delivery_failures,
                        limits.destination_delivery_failures,
                        what="Lambda could not deliver a failure record.",
                        cost="The failure is in no queue.",
                        first="check that the function's role may publish to the DLQ topic and use its key.",
                    ),
                    *self._alarm(
                        "AsyncEventsDropped",
                        "lambda-async-events-dropped",
                        processor.metric_async_events_dropped,
                        limits.async_events_dropped,
                        what="An asynchronous invocation, such as a redrive, was given up.",
                        cost="Its event is on the DLQ if delivery worked.",
                        first="look at the DLQ, then at the function's errors.",
                    ),
                ],
            )
        )

    def _watch_dead_letters(self, processor: StreamProcessor | None) -> None:
        if processor is None:
            return
        limits = self.thresholds
        topic, queue = processor.dlq_topic, processor.dlq_queue
        waits, gone = (
            (
                "waits on the dead-letter queue",
                f", and gone after {defaults.DLQ_RETENTION_DAYS} days",
            )
            if queue is not None
            else ("was published to the DLQ topic", "")
        )

        def messages() -> cloudwatch.Metric:
            if queue is None:  # an existing topic: what is behind it is not known here
                return topic.metric_number_of_messages_published(statistic=SUM, period=period())
            return queue.metric_approximate_number_of_messages_visible(
                statistic=MAXIMUM, period=period()
            )

        self._sections.append(
            (
                "Dead letters",
                [
                    *self._alarm(
                        "DlqMessages",
                        "lambda-dlq-messages",
                        messages,
                        limits.dlq_messages,
                        what=f"Something could not be stored and {waits}.",
                        cost=f"It is in no table{gone}.",
                        first="read a message: its kind and reason say whose fault it is; mend it, then redrive.",
                    ),
                    *self._alarm(
                        "DlqDeliveryFailures",
                        "sns-dlq-delivery-failures",
                        lambda: topic.metric_number_of_notifications_failed(
                            statistic=SUM, period=period()
                        ),
                        limits.dlq_delivery_failures,
                        what="The DLQ topic could not hand a message to its queue.",
                        cost="That failure is lost.",
                        first="check the queue's policy and that sns.amazonaws.com may use its key.",
                    ),
                ],
            )
        )

    def _watch_table(self, label: str, title: str, table: dynamodb.ITable | None) -> None:
        if table is None:
            return
        role = title.title().replace(" ", "")
        self._sections.append(
            (
                title,
                [
                    *self._alarm(
                        f"{role}WriteThrottles",
                        f"dynamodb-{label}-throttling",
                        lambda: metric_write_throttles(table),
                        self.thresholds.table_write_throttles,
                        what="DynamoDB throttled writes.",
                        cost="Batches are retried and the processor falls behind.",
                        first="look in Contributor Insights for one device with over 1000 writes/s; else at the "
                        "account's table limit.",
                    ),
                    *self._alarm(
                        f"{role}ReadThrottles",
                        f"dynamodb-{label}-read-throttling",
                        lambda: metric_read_throttles(table),
                        self.thresholds.table_read_throttles,
                        what="DynamoDB throttled reads.",
                        cost="Readers see errors or delays; writes go on.",
                        first="look in Contributor Insights for one device with over 3000 reads/s, or a scan.",
                    ),
                ],
            )
        )

    def _watch_rule(self, rule: TelemetryRule | None) -> None:
        if rule is None:
            return
        alarms = self._alarm(
            "RuleThrottles",
            "rule-throttling",
            rule.metric_throttled,
            self.thresholds.rule_throttles,
            what="The IoT rules engine dropped messages.",
            cost="They reached neither the stream nor the DLQ.",
            first="ask for a higher limit of rule evaluations per second, or send less often.",
        )
        self._sections.append(("IoT rule", alarms))

    def _watch_archive(self, archive: StreamArchive | None) -> None:
        if archive is not None:
            self._sections.append(("Archive", archive.alarms))

    def _alarm(
        self,
        id: str,
        name: str,
        metric: Callable[[], cloudwatch.IMetric],
        threshold: float | None,
        *,
        what: str,
        cost: str,
        first: str,
        scale: Scale | None = None,
        derived_from: str | None = None,
        periods: int = 1,
    ) -> list[cloudwatch.Alarm]:
        """One alarm, or none where its threshold is None."""
        if threshold is None:
            return []
        return [
            create_alarm(
                self,
                id,
                name=f"{self._prefix}-{name}",
                suffix=self._suffix,
                metric=metric(),
                threshold=threshold,
                what=what,
                cost=cost,
                first=first,
                scale=scale,
                derived_from=derived_from,
                periods=periods,
            )
        ]

    def _create_composite_alarm(self, stem: str) -> cloudwatch.CompositeAlarm:
        return cloudwatch.CompositeAlarm(
            self,
            "Health",
            composite_alarm_name=naming.physical_name(self, naming.ALARM, stem, self._suffix),
            alarm_description="Something is wrong with the telemetry pipeline. It may be losing time or, later, data. "
            "First: open the dashboard and see which of its alarms is red.",
            alarm_rule=cloudwatch.AlarmRule.any_of(*self.alarms),
        )

    def _publish_to_alert_topic(self) -> None:
        action = SnsAction(self.alert_topic)
        for alarm in self.alarms:
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)
        self.composite_alarm.add_alarm_action(action)
        self.composite_alarm.add_ok_action(action)

    def _create_dashboard(self, stem: str) -> cloudwatch.Dashboard:
        """A row per part of the pipeline: each alarm's metric with its threshold drawn."""
        rows: list[list[cloudwatch.IWidget]] = [
            [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=self.alarms, width=24, height=4)]
        ]
        for title, alarms in self._sections:
            rows.append([cloudwatch.TextWidget(markdown=f"## {title}", width=24, height=1)])
            rows.append(
                [cloudwatch.AlarmWidget(alarm=alarm, width=8, height=5) for alarm in alarms]
            )
        return cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=naming.physical_name(self, naming.DASHBOARD, stem, self._suffix),
            widgets=rows,
        )


def _slow_milliseconds(processor: StreamProcessor, share: float) -> float:
    seconds = seconds_of(processor.timeout)
    if seconds is None:
        raise ValueError(
            "the processor's timeout is a token, so a share of it is not known here; pass "
            "thresholds=AlarmThresholds(processor_duration_share=None)"
        )
    return seconds * 1000 * share


def _processing_delay(
    processor: StreamProcessor, minutes: float | None
) -> tuple[float | None, str | None]:
    """The delay at which a person is told, and where it comes from: older records than max_record_age reach nobody."""
    age = seconds_of(processor.max_record_age)
    if minutes is None or age is None or minutes * 60 < age:
        return minutes, None
    if minutes != defaults.PROCESSING_DELAY_MINUTES:
        raise ValueError(
            f"processing_delay_minutes={minutes!r} is never reached: the processor gives records up at a "
            f"max_record_age of {age / 60:g} minutes; pass less, or None for no such alarm"
        )
    share = defaults.DELAY_SHARE_OF_RECORD_AGE
    return age / 60 * share, f"{share:g} of max_record_age"


def _table(
    table: TimeSeriesTable | DeviceStateTable | dynamodb.ITable | None,
) -> dynamodb.ITable | None:
    return table.table if isinstance(table, (TimeSeriesTable, DeviceStateTable)) else table
