"""Amazon CloudWatch: the alarms of a pipeline, their topic, and the dashboard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_cloudwatch_actions import SnsAction
from constructs import Construct

from iot_constructs import _alarms as table
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import AlarmRow, AlarmSpec, Severity, create_alarm
from iot_constructs._dlq import create_topic, validate_standard_topic
from iot_constructs._iam import scoped_service_principal
from iot_constructs._kms import get_or_create_key, grant_service_principal
from iot_constructs._layout import can_refer, known_name, other_account, refer
from iot_constructs._naming import Named
from iot_constructs._stack import StackContext
from iot_constructs._validation import (
    is_token,
    seconds,
    validate_mutually_exclusive,
    validated,
    validated_method,
)
from iot_constructs._warnings import (
    EVENT_COUNTS_OFF,
    NO_SUBSCRIPTION,
    TOPIC_POLICY_NOT_CHANGED,
    warn,
)
from iot_constructs.archive import StreamArchive
from iot_constructs.environment import EnvironmentSuffix, NamePrefix, names_for
from iot_constructs.ingestion import TelemetryRule
from iot_constructs.processing import StreamProcessor
from iot_constructs.streams import MonitoredStream, stream_alarm_rows
from iot_constructs.telemetry import TelemetryProcessor

if TYPE_CHECKING:
    from aws_cdk import aws_sns_subscriptions as sns_subscriptions

    # The bind(_topic) of these three is not the interface's bind(topic), so pyright would reject them.
    TopicSubscription: TypeAlias = (
        sns.ITopicSubscription
        | sns_subscriptions.EmailSubscription
        | sns_subscriptions.SmsSubscription
        | sns_subscriptions.UrlSubscription
    )
else:
    TopicSubscription = sns.ITopicSubscription

_CLOUDWATCH: Final = "cloudwatch.amazonaws.com"


def _default_delay() -> cdk.Duration:
    return cdk.Duration.minutes(defaults.PROCESSING_DELAY_MINUTES)


@dataclass(frozen=True, kw_only=True)
class AlarmThresholds:
    """When the alarms of PipelineAlarms fire. Counts are sums over 5 minutes; ``None`` omits the alarm.

    Clients retry throttled calls, so throttling alarms only after three periods in a row.

    Raises:
        ValueError: a threshold always or never fires.
        TypeError: a value has the wrong type.
    """

    processor_errors: float | None = 1
    """Invocations that raised an exception or timed out."""
    processor_throttles: float | None = 1
    """Invocations that Lambda throttled."""
    processor_duration_share: float | None = defaults.DURATION_SHARE_OF_TIMEOUT
    """The slowest invocation, as a share of the timeout, above 0 to 1."""
    processing_delay: cdk.Duration | None = field(default_factory=_default_delay)
    """The age of a record when it is processed; by default 15 minutes. It must be below the processor's max_record_age;
    where the default is not, half of that applies."""
    failed_events: float | None = 1
    """Records that failed, in three periods in a row."""
    failed_batches: float | None = 1
    """Records that Lambda discarded and sent to the failure destination."""
    dropped_events: float | None = 1
    """Records that Lambda discarded without a message to the failure destination."""
    unprocessed_records: float | None = 1
    """Records that arrived on the stream in 15 minutes in which none was invoked or filtered out, twice in a row: a
    disabled mapping, or one that cannot read the stream."""
    device_id_mismatches: float | None = 1
    """Records of a TelemetryProcessor whose payload has another device ID than their partition key."""
    destination_delivery_failures: float | None = 1
    """Failure records that Lambda could not deliver."""
    async_events_dropped: float | None = 1
    """Asynchronous invocations, such as a redrive, that Lambda dropped."""
    dlq_messages: float | None = 1
    """Messages on the dead-letter queue."""
    dlq_delivery_failures: float | None = 1
    """Messages that the DLQ topic could not deliver to its queue."""
    table_write_throttles: float | None = 1
    """Throttled writes, per table."""
    table_read_throttles: float | None = 1
    """Throttled reads, per table."""
    rule_throttles: float | None = 1
    """Messages that the IoT rules engine dropped at the account's quota."""
    rule_error_action_failures: float | None = 1
    """Messages on which an action of the IoT rule failed and its error action too."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                _validate_threshold(name, value)


class AlarmActions(Enum):
    """Which alarms notify the alarm topic."""

    ALL = "all"
    """Every alarm and the composite alarm."""
    COMPOSITE_ONLY = "composite-only"
    """The composite alarm: one message for an incident, however many alarms it raises."""
    NONE = "none"
    """No alarm: you add actions yourself."""


class PipelineAlarms(Named, Construct):
    """Creates every alarm that fits your resources, a composite alarm over them, an alarm topic, and a dashboard.

    * Each metric and its dimensions are ones that AWS emits: DynamoDB's ``UserErrors``, for example, never counts
      throttling (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html).
    * No alarm stays in ALARM because data is missing: missing data is not breaching, and for DynamoDB, whose alarms
      ignore missing data, it is 0 (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html).
    * Includes the alarms of a MonitoredStream and a StreamArchive.
    * The alarm topic lets CloudWatch publish, in its policy and in the policy of its key: CloudWatch
      cannot use ``alias/aws/sns`` (https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html).
    * Every description has the event, the impact, the threshold, and the first step.

    It can be in another stack than the resources, and in another account if theirs shares its metrics with it. The
    alarms of a MonitoredStream and a StreamArchive of another stack then name the topic by its physical name. If the
    topic has none, or in another account, PipelineAlarms creates alarms of the same metrics.

    Args:
        stream: a MonitoredStream, or any other stream.
        processor: a StreamProcessor, or any Lambda function, which has no alarms of an event source mapping. An
            imported function and an alias have no alarm on the duration, because CDK has no timeout of them.
        dlq_queue: the dead-letter queue to monitor; by default that of the StreamProcessor.
        time_series_table: a TimeSeriesTable, or any other table.
        device_state_table: a DeviceStateTable, or any other table.
        archive: a StreamArchive.
        rule: a TelemetryRule.
        thresholds: when the alarms fire.
        alarm_topic: your standard topic; by default one is created.
        alarm_topic_name: the base name of that topic.
        subscriptions: who gets the alarms: for example ``subscriptions.EmailSubscription("ops@example.com")``.
        alarm_actions: which alarms notify the topic; by default all.
        severity_topics: a separate topic for the alarms of a severity, for example
            ``{Severity.CRITICAL: pager_topic}``; the others notify ``alarm_topic``.
        notify_ok: whether an alarm also notifies when it returns to OK.
        composite_alarm_name: the base name of the composite alarm.
        dashboard_name: the base name of the dashboard, which is called ``name-region-suffix``: an account has one
            dashboard of a name for all Regions.
        encryption_key: for the alarm topic; by default that of the stack.
        environment_suffix: by default that of the resources; they must agree.
        name_prefix: by default that of the resources; they must agree.

    Raises:
        ValueError: there is nothing to monitor; the resources are of different environments; a delay that is never
            reached; a FIFO topic; ``alarm_topic`` together with its settings; a name is taken or not valid.
        TypeError: a value has the wrong type.

    Example::

        from aws_cdk import aws_sns_subscriptions as subscriptions
        from iot_constructs import AlarmThresholds, PipelineAlarms

        alarms = PipelineAlarms(
            stack,
            "Alarms",
            stream=stream,
            processor=processor,
            thresholds=AlarmThresholds(processor_errors=5),
            subscriptions=[subscriptions.EmailSubscription("ops@example.com")],
        )
    """

    @validated()
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: kinesis.IStream | None = None,
        processor: StreamProcessor | lambda_.IFunction | None = None,
        dlq_queue: sqs.IQueue | None = None,
        time_series_table: dynamodb.ITable | None = None,
        device_state_table: dynamodb.ITable | None = None,
        archive: StreamArchive | None = None,
        rule: TelemetryRule | None = None,
        thresholds: AlarmThresholds | None = None,
        alarm_topic: sns.ITopic | sns.Topic | None = None,
        alarm_topic_name: str | None = None,
        subscriptions: Sequence[TopicSubscription] = (),
        alarm_actions: AlarmActions = AlarmActions.ALL,
        severity_topics: Mapping[Severity, sns.ITopic | sns.Topic] | None = None,
        notify_ok: bool = True,
        composite_alarm_name: str | None = None,
        dashboard_name: str | None = None,
        encryption_key: kms.IKey | kms.Key | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
    ) -> None:
        super().__init__(scope, id)
        watched = (stream, processor, time_series_table, device_state_table, archive, rule)
        self._names = names_for(
            scope,
            id,
            _common("environment_suffix", environment_suffix, watched),
            _common("name_prefix", name_prefix, watched),
        )
        self.thresholds: AlarmThresholds = (
            thresholds if thresholds is not None else AlarmThresholds()
        )
        """When the alarms fire."""
        self._alarm_actions = alarm_actions
        self._notify_ok = notify_ok
        self._actions: dict[tuple[Construct, sns.ITopic], SnsAction] = {}
        self._sections: dict[str, list[cloudwatch.Alarm]] = {}

        self.alarm_topic: sns.ITopic = self._resolve_topic(
            alarm_topic, alarm_topic_name, encryption_key, subscriptions
        )
        """The topic that the alarms notify."""
        self._severity_topics = dict(severity_topics) if severity_topics is not None else {}
        for topic in self._severity_topics.values():
            self._allow_cloudwatch("severity_topics", topic)

        self._watch_stream(stream)
        self._watch_processor(processor)
        self._watch_dlq(processor, dlq_queue)
        self._watch("Time series table", time_series_table, _TIME_SERIES_TABLE)
        self._watch("Device state table", device_state_table, _DEVICE_STATE_TABLE)
        _validate_known_name(self, "rule", rule, rule.rule if rule is not None else None)
        self._watch("IoT rule", rule, table.RULE_ALARMS)
        self._watch_archive(archive)
        if not self.alarms:
            raise ValueError(
                "PipelineAlarms has no resource to monitor; pass at least one of stream, processor, dlq_queue, "
                "time_series_table, device_state_table, archive, rule, with a threshold that is not None"
            )
        self.composite_alarm: cloudwatch.CompositeAlarm = self._create_composite_alarm(
            composite_alarm_name
        )
        """In ALARM while any of the alarms is."""
        self.dashboard: cloudwatch.Dashboard = self._create_dashboard(dashboard_name)
        """Every alarm's metric with its threshold."""
        self._last_heading: str | None = None  # of add_alarm

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """All alarms except the composite alarm."""
        return [alarm for alarms in self._sections.values() for alarm in alarms]

    @validated_method
    def add_alarm(
        self, alarm: cloudwatch.Alarm, *, severity: Severity = Severity.WARNING, title: str = "More"
    ) -> None:
        """Add your alarm to the composite alarm, the topic, and the dashboard.

        Args:
            alarm: any alarm.
            severity: which of ``severity_topics`` it notifies.
            title: its heading on the dashboard, below everything else.
        """
        self._add(title, alarm, severity, alarm)
        composite = self.composite_alarm.node.default_child
        assert isinstance(composite, cloudwatch.CfnCompositeAlarm)
        composite.alarm_rule = cloudwatch.AlarmRule.any_of(*self.alarms).render_alarm_rule()
        if title != self._last_heading:
            self.dashboard.add_widgets(_heading(title))
            self._last_heading = title
        self.dashboard.add_widgets(_widget(alarm))

    # --- topics

    def _resolve_topic(
        self,
        own: sns.ITopic | None,
        name: str | None,
        key: kms.IKey | None,
        subscriptions: Sequence[TopicSubscription],
    ) -> sns.ITopic:
        if own is not None:
            validate_mutually_exclusive(
                "alarm_topic",
                {"alarm_topic_name": name, "encryption_key": key},
                "your topic has its name and key; remove them",
            )
        topic = own if own is not None else self._create_topic(name, key)
        self._allow_cloudwatch("alarm_topic", topic)
        for subscription in subscriptions:
            topic.add_subscription(subscription)
        if own is None and not subscriptions and self._alarm_actions != AlarmActions.NONE:
            warn(
                self,
                NO_SUBSCRIPTION,
                "the alarm topic has no subscription, so no one receives the alarms; pass for example subscriptions="
                "[aws_sns_subscriptions.EmailSubscription('ops@example.com')], or acknowledge this warning if you "
                "subscribe in another way",
            )
        return topic

    def _create_topic(self, name: str | None, key: kms.IKey | None) -> sns.Topic:
        topic_name = self._names.physical_name(
            naming.TOPIC, name, defaults.ALARM_TOPIC_NAME, "alarm_topic_name"
        )
        topic_key = get_or_create_key(self, key)
        return create_topic(self, "AlarmTopic", name=topic_name, key=topic_key)

    def _allow_cloudwatch(self, keyword: str, topic: sns.ITopic) -> None:
        validate_standard_topic(keyword, topic)
        key = topic.master_key
        if key is not None:
            grant_service_principal(self, key, _CLOUDWATCH)
        added = topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AllowAlarmsToPublish",
                principals=[scoped_service_principal(_CLOUDWATCH, StackContext.of(self).account)],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
            )
        )
        if not added.statement_added:
            warn(
                self,
                TOPIC_POLICY_NOT_CHANGED,
                f"cannot change the policy of the imported {keyword}; make sure that it allows {_CLOUDWATCH} "
                "sns:Publish, and its key kms:Decrypt and kms:GenerateDataKey* "
                "(https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html)",
            )

    # --- alarms

    def _watch_stream(self, stream: kinesis.IStream | None) -> None:
        if isinstance(stream, MonitoredStream):
            self._include("Stream", stream, stream, stream.alarms, stream._alarm_rows)
        elif stream is not None:
            self._create_alarms("Stream", stream, stream_alarm_rows(stream))

    def _watch_archive(self, archive: StreamArchive | None) -> None:
        if archive is not None:
            delivery = archive.delivery_stream
            _validate_known_name(self, "archive", archive, delivery)
            self._include("Archive", archive, delivery, archive.alarms, archive._alarm_rows)

    def _include(
        self,
        title: str,
        owner: Construct,
        resource: Any,
        alarms: Sequence[cloudwatch.Alarm],
        rows: Sequence[AlarmRow],
    ) -> None:
        """The alarms that ``owner`` has, or, where they could not notify the topic, alarms of the same metrics."""
        foreign = other_account(self, owner) is not None
        topics = (self.alarm_topic, *self._severity_topics.values())
        if foreign or not all(
            can_refer(owner, one) or known_name(one) is not None for one in topics
        ):
            # A name of theirs is taken in their account.
            self._create_alarms(title, resource, rows, named=foreign)
            return
        for alarm, row in zip(alarms, rows, strict=True):
            self._add(title, alarm, row.spec.severity, owner)

    def _create_alarms(
        self, title: str, resource: Any, rows: Sequence[AlarmRow], *, named: bool = True
    ) -> None:
        scope = Construct(self, title)
        for spec, threshold, derived_from in rows:
            alarm = create_alarm(
                scope,
                spec,
                self._names,
                resource,
                threshold,
                derived_from=derived_from,
                named=named,
            )
            self._add(title, alarm, spec.severity)

    def _watch_processor(self, processor: StreamProcessor | lambda_.IFunction | None) -> None:
        if processor is None:
            return
        function = processor.function if isinstance(processor, StreamProcessor) else processor
        account = other_account(self, processor)
        if isinstance(processor, StreamProcessor) and account is not None:
            raise ValueError(
                f"PipelineAlarms(processor={processor.node.path!r}): it is in the account {account}, where "
                "CloudFormation generates the id of its event source mapping, which the alarms need; create a "
                "PipelineAlarms in that account"
            )
        delay, delay_from = _processing_delay(processor, self.thresholds.processing_delay)
        share = self.thresholds.processor_duration_share
        timeout = _timeout_seconds(function) if share is not None else None
        special: dict[str, tuple[float | None, str | None]] = {
            "processing_delay": (delay * 1000 if delay is not None else None, delay_from),
            "processor_duration_share": (
                (timeout * 1000 * share, f"{share} of the timeout")
                if timeout is not None and share is not None
                else (None, None)
            ),
        }
        self._watch("Processor", function, table.FUNCTION_ALARMS, special)
        if isinstance(processor, StreamProcessor):
            self._watch_mapping(processor)
        if isinstance(processor, TelemetryProcessor) and processor.counts_device_id_mismatches:
            self._watch("Processor", processor, (table.DEVICE_ID_MISMATCHES,))

    def _watch_mapping(self, processor: StreamProcessor) -> None:
        if processor.emits_event_counts:
            self._watch("Processor", processor, table.MAPPING_ALARMS)
            return
        warn(
            self,
            EVENT_COUNTS_OFF,
            f"the event source mapping of {processor.node.path!r} emits no metrics, so the alarms on records that "
            "fail, are dropped or are not processed are omitted; add MetricType.EVENT_COUNT to its metrics_config "
            "(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html)",
        )

    def _watch_dlq(
        self, processor: StreamProcessor | lambda_.IFunction | None, queue: sqs.IQueue | None
    ) -> None:
        ours = processor if isinstance(processor, StreamProcessor) else None
        if queue is None and ours is not None:
            queue = ours.dlq_queue
        if queue is not None:
            self._watch("Dead letters", queue, (table.DLQ_MESSAGES,))
        elif ours is not None:
            self._watch("Dead letters", ours.dlq_topic, (table.DLQ_MESSAGES_PUBLISHED,))
        if ours is not None:
            self._watch("Dead letters", ours.dlq_topic, (table.DLQ_DELIVERY_FAILURES,))

    def _watch(
        self,
        title: str,
        resource: object | None,
        specs: Sequence[AlarmSpec],
        special: Mapping[str, tuple[float | None, str | None]] | None = None,
    ) -> None:
        """Create the alarms of ``specs`` that have a threshold, which ``special`` has in the metric's unit."""
        if resource is None:
            return
        for spec in specs:
            threshold, derived_from = (special or {}).get(
                spec.threshold, (getattr(self.thresholds, spec.threshold), None)
            )
            if threshold is not None:
                alarm = create_alarm(
                    self, spec, self._names, resource, threshold, derived_from=derived_from
                )
                self._add(title, alarm, spec.severity)

    def _add(
        self,
        title: str,
        alarm: cloudwatch.Alarm,
        severity: Severity,
        owner: Construct | None = None,
    ) -> None:
        """Add an alarm of ``owner``, which is by default this construct."""
        self._sections.setdefault(title, []).append(alarm)
        if self._alarm_actions == AlarmActions.ALL:
            topic = self._severity_topics.get(severity, self.alarm_topic)
            self._notify(alarm, topic, owner if owner is not None else self)

    def _notify(self, alarm: cloudwatch.AlarmBase, topic: sns.ITopic, owner: Construct) -> None:
        if StackContext.of(owner) is StackContext.of(self):
            owner = self  # one action for all of them
        if (owner, topic) not in self._actions:
            self._actions[owner, topic] = SnsAction(self._topic_for(owner, topic))
        action = self._actions[owner, topic]
        alarm.add_alarm_action(action)
        if self._notify_ok:
            alarm.add_ok_action(action)

    def _topic_for(self, owner: Construct, topic: sns.ITopic) -> sns.ITopic:
        """The topic, or the same one by its ARN where a reference of the owner's alarms would make a cycle."""
        # The stack of somebody else's alarm was there before this one and does not depend on it.
        if owner is not self or not can_refer(owner, topic):
            name = known_name(topic)
            if name is not None:
                arn = StackContext.of(topic).arn("sns", name)
                return sns.Topic.from_topic_arn(self, f"TopicByName{len(self._actions)}", arn)
        refer(owner, "PipelineAlarms.alarm_topic", topic)
        return topic

    def _create_composite_alarm(self, name: str | None) -> cloudwatch.CompositeAlarm:
        composite = cloudwatch.CompositeAlarm(
            self,
            "Health",
            composite_alarm_name=self._names.physical_name(
                naming.ALARM, name, defaults.COMPOSITE_ALARM_NAME, "composite_alarm_name"
            ),
            alarm_description="At least one alarm of the telemetry pipeline is in ALARM. Data may be late or "
            "lost. First: open the dashboard and look for the alarm in ALARM.",
            alarm_rule=cloudwatch.AlarmRule.any_of(*self.alarms),
        )
        if self._alarm_actions != AlarmActions.NONE:
            self._notify(composite, self.alarm_topic, self)
        return composite

    def _create_dashboard(self, name: str | None) -> cloudwatch.Dashboard:
        """A row per part of the pipeline."""
        rows: list[list[cloudwatch.IWidget]] = [
            [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=self.alarms, width=24, height=4)]
        ]
        for title, alarms in self._sections.items():
            rows.append([_heading(title)])
            rows.append([_widget(alarm) for alarm in alarms])
        return cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self._names.dashboard_name(name, defaults.DASHBOARD_NAME),
            widgets=rows,
        )


_TIME_SERIES_TABLE: Final = table.table_alarms("TimeSeriesTable", "metrics")
_DEVICE_STATE_TABLE: Final = table.table_alarms("DeviceStateTable", "state")


def _heading(title: str) -> cloudwatch.TextWidget:
    return cloudwatch.TextWidget(markdown=f"## {title}", width=24, height=1)


def _widget(alarm: cloudwatch.Alarm) -> cloudwatch.AlarmWidget:
    return cloudwatch.AlarmWidget(alarm=alarm, width=8, height=5)


def _common(keyword: str, explicit: Any, watched: Sequence[object]) -> Any:
    """The suffix or prefix of an argument, or else the one that all watched constructs of this library have.

    Raises:
        ValueError: they have different ones.
    """
    if explicit is not None:
        return explicit
    theirs = {getattr(one, keyword): one for one in watched if isinstance(one, Named)}
    if len(theirs) > 1:
        found = ", ".join(
            f"{value.value!r} of {one.node.path!r}"  # type: ignore[attr-defined]
            for value, one in theirs.items()
        )
        raise ValueError(
            f"{keyword}: the resources have different ones ({found}); create a PipelineAlarms for each environment "
            f"and pipeline, or pass {keyword}="
        )
    return next(iter(theirs), None)


def _validate_known_name(
    scope: Construct, keyword: str, watched: Construct | None, resource: Any
) -> None:
    """Raise ValueError for a construct of another account whose name CloudFormation generates."""
    if watched is None or other_account(scope, watched) is None or known_name(resource) is not None:
        return
    raise ValueError(
        f"PipelineAlarms({keyword}={watched.node.path!r}): it is in another account, where CloudFormation generates "
        "its name, which the alarms need; give it a name, or create a PipelineAlarms in that account"
    )


def _timeout_seconds(function: lambda_.IFunction) -> float | None:
    """The timeout of a function, or None where it is not known: for an imported function and for an alias."""
    if not isinstance(function, lambda_.Function):
        return None
    timeout = function.timeout
    if timeout is None:
        return defaults.LAMBDA_TIMEOUT_SECONDS
    length = seconds(timeout)
    if length is None:
        raise ValueError(
            f"the timeout of {function.node.path!r} is a token, so its share cannot be computed; pass thresholds="
            "AlarmThresholds(processor_duration_share=None), or a literal timeout"
        )
    return length


def _processing_delay(
    processor: StreamProcessor | lambda_.IFunction, delay: cdk.Duration | None
) -> tuple[float | None, str | None]:
    """The delay in seconds, and where it comes from: records older than max_record_age are never processed."""
    length = seconds(delay) if delay is not None else None
    age = seconds(processor.max_record_age) if isinstance(processor, StreamProcessor) else None
    if length is None or age is None or length < age:
        return length, None
    if length != defaults.PROCESSING_DELAY_MINUTES * 60:
        raise ValueError(
            f"processing_delay of {length:g} s is never reached, since Lambda discards records at a "
            f"max_record_age of {age:g} s; pass a shorter one, or None to omit the alarm"
        )
    share = defaults.DELAY_SHARE_OF_RECORD_AGE
    return age * share, f"{share:g} of max_record_age"


def _validate_threshold(name: str, value: object) -> None:
    remedy = f"pass {name}=None to omit the alarm"
    if name == "processing_delay":
        if not isinstance(value, cdk.Duration):
            raise TypeError(
                f"AlarmThresholds({name}={value!r}): expected Duration, got {type(value).__name__}; pass for example "
                "Duration.minutes(15)"
            )
        if value.is_unresolved():
            raise ValueError(
                f"{name} is a token, which cannot be converted; pass a literal Duration"
            )
        value = value.to_milliseconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"AlarmThresholds({name}={value!r}): expected a number, got {type(value).__name__}; {remedy}"
        )
    if is_token(value):
        if name == "processor_duration_share":
            raise ValueError(f"{name} is a token, which cannot be converted; pass a number")
        return
    if not math.isfinite(value):
        raise ValueError(f"{name}={value!r} would never fire; {remedy}")
    if value <= 0:
        raise ValueError(f"{name}={value!r} would always fire; {remedy}")
    if name == "processor_duration_share" and value > 1:
        raise ValueError(
            f"{name}={value!r} is above 1: no invocation outlasts its timeout; {remedy}"
        )
