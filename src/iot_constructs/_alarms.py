"""The alarm table: one row per alarm, and the function that creates an alarm from a row.

A metric comes from the resource's own ``metric_*`` method, so its dimensions are those that AWS emits.

Clients retry a throttled request, so throttling alarms only if it continues (``evaluation_periods``): the delay that it
causes, and the records that Lambda discards in the end, have separate alarms. Loss alarms immediately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._layout import other_account
from iot_constructs._naming import Names
from iot_constructs._validation import is_token


class Severity(Enum):
    """What an alarm means for the data, by which PipelineAlarms can choose a topic."""

    CRITICAL = "critical"
    """Data is lost, or is about to be lost."""
    WARNING = "warning"
    """Data is late or close to a limit; the pipeline still works."""


class Unit(NamedTuple):
    """How a person reads a threshold: 48000 milliseconds are 48 s."""

    name: str
    size: int
    """In the metric's own unit."""


SECONDS: Final = Unit("s", 1)
SECONDS_OF_MILLISECONDS: Final = Unit("s", 1000)
MINUTES_OF_MILLISECONDS: Final = Unit("minutes", 60_000)
HOURS_OF_MILLISECONDS: Final = Unit("h", 3_600_000)

AlarmMetric: TypeAlias = cloudwatch.Metric | cloudwatch.MathExpression


@dataclass(frozen=True)
class AlarmSpec:
    """One row of the table."""

    id: str
    """Of the construct."""
    name: str
    """The alarm is called ``prefix-name-suffix``."""
    metric: Callable[[Any], AlarmMetric]
    """The metric of the watched resource."""
    description: str
    impact: str
    runbook: str
    """What to do first."""
    severity: Severity
    threshold: str = ""
    """The field of AlarmThresholds that sets it."""
    unit: Unit | None = None
    """None: the threshold is a count."""
    period_minutes: float | None = None
    """Of the metric; None: that of every other alarm."""
    evaluation_periods: int = 1
    datapoints_to_alarm: int | None = None
    """None: all of the evaluation periods."""


class AlarmRow(NamedTuple):
    """An alarm of a resource that has its own thresholds, such as a stream."""

    spec: AlarmSpec
    threshold: float
    """In the metric's own unit."""
    derived_from: str | None = None
    """Where the threshold comes from, if not from an argument."""


def _sum(name: str) -> Callable[[Any], AlarmMetric]:
    """``resource.metric(name)`` as a sum; CDK's default statistic is the average."""
    return lambda resource: resource.metric(name, statistic="Sum", period=period())


def _maximum(name: str) -> Callable[[Any], AlarmMetric]:
    return lambda resource: resource.metric(name, statistic="Maximum", period=period())


def _sum_or_zero(name: str) -> Callable[[Any], AlarmMetric]:
    """The sum, and 0 where the resource emits nothing.

    According to PutMetricAlarm, alarms on AWS/DynamoDB ignore missing data with any setting: such an alarm
    stays in ALARM after its last throttled request. Filled in, no data is missing. That the latest minute may not have
    its data yet, of which the guide warns, does not matter in a longer period
    (AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html, monitoring/using-metric-math.html).
    """
    return lambda resource: cloudwatch.MathExpression(
        expression="FILL(m1, 0)",
        using_metrics={"m1": resource.metric(name, statistic="Sum")},
        label=name,
        period=period(),
    )


ITERATOR_AGE: Final = AlarmSpec(
    "IteratorAgeAlarm",
    "kinesis-iterator-age",
    _maximum("GetRecords.IteratorAgeMilliseconds"),
    description="A consumer of the stream is far behind.",
    impact="Records that it does not read before the retention ends are lost.",
    runbook="check whether the processor fails or is throttled; raise its parallelization_factor, or raise the "
    "stream's retention_period to gain time.",
    severity=Severity.CRITICAL,
    unit=HOURS_OF_MILLISECONDS,
)
WRITE_THROTTLES: Final = AlarmSpec(
    "WriteThrottleAlarm",
    "kinesis-write-throttling",
    _sum("WriteProvisionedThroughputExceeded"),
    description="The stream keeps rejecting records.",
    impact="The IoT rule retries and then sends the message to the DLQ.",
    runbook="look for one device that sends over 1 MB/s or 1000 records/s; otherwise request a higher stream limit.",
    severity=Severity.WARNING,
    evaluation_periods=defaults.THROTTLING_PERIODS,
)
READ_THROTTLES: Final = AlarmSpec(
    "ReadThrottleAlarm",
    "kinesis-read-throttling",
    _sum("ReadProvisionedThroughputExceeded"),
    description="The stream keeps rejecting reads.",
    impact="Consumers fall behind. Two consumers that catch up after an interruption throttle each other for a "
    "while, without harm.",
    runbook="count the consumers: more than two with shared throughput need enhanced fan-out.",
    severity=Severity.WARNING,
    evaluation_periods=defaults.READ_THROTTLING_PERIODS,
)
FRESHNESS: Final = AlarmSpec(
    "FreshnessAlarm",
    "firehose-freshness",
    _maximum("DeliveryToS3.DataFreshness"),
    description="Firehose is late: the oldest record that is not in the archive yet is too old.",
    impact="Records that Firehose does not read before the stream's retention ends are missing from the archive.",
    runbook="read the log group of the Firehose stream; look for denied access to the bucket or the key.",
    severity=Severity.WARNING,
    unit=SECONDS,
)

FUNCTION_ALARMS: Final = (
    AlarmSpec(
        "ProcessorErrors",
        "lambda-errors",
        _sum("Errors"),
        description="The processor raised an exception or timed out.",
        impact="Lambda retries the batch, which delays its shard.",
        runbook="read the last ERROR in the function's log group.",
        severity=Severity.WARNING,
        threshold="processor_errors",
    ),
    AlarmSpec(
        "ProcessorThrottles",
        "lambda-throttles",
        _sum("Throttles"),
        description="Lambda keeps throttling the processor.",
        impact="Records wait. Throttles do not count as retries, so only the maximum record age ends the wait.",
        runbook="compare the account's concurrency quota with its use; reserve concurrency for this function.",
        severity=Severity.WARNING,
        threshold="processor_throttles",
        evaluation_periods=defaults.THROTTLING_PERIODS,
    ),
    AlarmSpec(
        "ProcessorDuration",
        "lambda-duration",
        _maximum("Duration"),
        description="An invocation came close to its timeout.",
        impact="A slower one times out, and Lambda retries its whole batch.",
        runbook="look for throttling of the tables; otherwise lower batch_size, or raise memory_size or timeout.",
        severity=Severity.WARNING,
        threshold="processor_duration_share",
        unit=SECONDS_OF_MILLISECONDS,
    ),
    AlarmSpec(
        "ProcessingDelay",
        "lambda-iterator-age",
        _maximum("IteratorAge"),
        description="Records are too old when they are processed.",
        impact="Readings and device states are late by this age.",
        runbook="look for failing or throttled invocations; otherwise raise parallelization_factor.",
        severity=Severity.WARNING,
        threshold="processing_delay",
        unit=MINUTES_OF_MILLISECONDS,
    ),
    AlarmSpec(
        "DestinationDeliveryFailures",
        "lambda-destination-failures",
        _sum("DestinationDeliveryFailures"),
        description="Lambda could not deliver a failure record.",
        impact="The failed records are on no queue.",
        runbook="check that the function's role may publish to the DLQ topic and use its key.",
        severity=Severity.CRITICAL,
        threshold="destination_delivery_failures",
    ),
    AlarmSpec(
        "AsyncEventsDropped",
        "lambda-async-events-dropped",
        _sum("AsyncEventsDropped"),
        description="Lambda dropped an asynchronous invocation, such as a redrive.",
        impact="Its event is on the DLQ if the delivery worked.",
        runbook="look at the DLQ, then at the function's errors.",
        severity=Severity.WARNING,
        threshold="async_events_dropped",
    ),
)
MAPPING_ALARMS: Final = (
    AlarmSpec(
        "UnprocessedRecords",
        "lambda-unprocessed-records",
        lambda processor: processor.metric_unprocessed_records(),
        description="Records arrive on the stream and none reaches the processor.",
        impact="Nothing fails, so no other alarm fires. The stream drops the records when its retention ends.",
        runbook="check the State and LastProcessingResult of the event source mapping; then check that the function's "
        "role may read the stream and use its key.",
        severity=Severity.CRITICAL,
        threshold="unprocessed_records",
        period_minutes=defaults.UNPROCESSED_PERIOD_MINUTES,
        evaluation_periods=defaults.UNPROCESSED_PERIODS,
    ),
    AlarmSpec(
        "FailedEvents",
        "lambda-failed-events",
        lambda processor: processor.metric_failed_events(),
        description="Records are still failing after three retry periods.",
        impact="After their last retry they go to the DLQ.",
        runbook="read the WARNING lines in the function's log group: they name the exception.",
        severity=Severity.WARNING,
        threshold="failed_events",
        evaluation_periods=defaults.FAILED_RECORD_PERIODS,
    ),
    AlarmSpec(
        "FailedBatches",
        "lambda-failed-batches",
        lambda processor: processor.metric_failed_batches(),
        description="Lambda discarded records and sent them to the failure destination.",
        impact="No table has them. The stream has their payload until its retention ends.",
        runbook="fix the cause, then redrive the records before the retention ends.",
        severity=Severity.CRITICAL,
        threshold="failed_batches",
    ),
    AlarmSpec(
        "DroppedEvents",
        "lambda-dropped-events",
        lambda processor: processor.metric_dropped_events(),
        description="Lambda discarded records without a failure record.",
        impact="Only the stream and the archive still have them.",
        runbook="check why the failure destination rejected them (role, key), then replay them from the stream.",
        severity=Severity.CRITICAL,
        threshold="dropped_events",
    ),
)
DEVICE_ID_MISMATCHES: Final = AlarmSpec(
    "DeviceIdMismatches",
    "lambda-device-id-mismatches",
    lambda processor: processor.metric_device_id_mismatches(),
    description="The device ID in the payload of readings differs from the partition key of their record.",
    impact="The readings are stored under the partition key. Either a device claims to be another one, or the producer "
    "chooses the partition key.",
    runbook="look for 'device ID mismatch' in the function's log group, which has the partition keys. If the producer "
    "is not the IoT rule, set device_id_field of the TelemetryProcessor.",
    severity=Severity.WARNING,
    threshold="device_id_mismatches",
)
DLQ_MESSAGES: Final = AlarmSpec(
    "DlqMessages",
    "lambda-dlq-messages",
    _maximum("ApproximateNumberOfMessagesVisible"),
    description="Messages wait on the dead-letter queue.",
    impact=f"No table has their records. SQS deletes them after {defaults.DLQ_RETENTION_DAYS} days.",
    runbook="read the kind and reason of a message, fix the cause, then redrive the messages.",
    severity=Severity.CRITICAL,
    threshold="dlq_messages",
)
DLQ_MESSAGES_PUBLISHED: Final = AlarmSpec(  # for the user's topic, with unknown subscriptions
    DLQ_MESSAGES.id,
    DLQ_MESSAGES.name,
    _sum("NumberOfMessagesPublished"),
    description="Messages were published to the DLQ topic.",
    impact="No table has their records.",
    runbook=DLQ_MESSAGES.runbook,
    severity=DLQ_MESSAGES.severity,
    threshold=DLQ_MESSAGES.threshold,
)
DLQ_DELIVERY_FAILURES: Final = AlarmSpec(
    "DlqDeliveryFailures",
    "sns-dlq-delivery-failures",
    _sum("NumberOfNotificationsFailed"),
    description="The DLQ topic could not deliver a message to its queue.",
    impact="The message is lost.",
    runbook="check the queue's policy, and that sns.amazonaws.com may use its key.",
    severity=Severity.CRITICAL,
    threshold="dlq_delivery_failures",
)
RULE_THROTTLES: Final = AlarmSpec(
    "RuleThrottles",
    "rule-throttling",
    lambda rule: rule.metric_throttled(),
    description="The IoT rules engine dropped messages at the account's quota.",
    impact="They reached neither the stream nor the DLQ.",
    runbook="request a higher quota of rule evaluations per second, or send less often.",
    severity=Severity.CRITICAL,
    threshold="rule_throttles",
)


RULE_ERROR_ACTION_FAILURES: Final = AlarmSpec(
    "RuleErrorActionFailures",
    "rule-error-action-failures",
    lambda rule: rule.metric_error_action_failures(),
    description="An action of the IoT rule failed, and so did its error action.",
    impact="Messages that did not reach the stream are lost.",
    runbook="check that the role of the rule's error action may publish to the DLQ topic and use its key; then look at "
    "the stream, whose rejection came first.",
    severity=Severity.CRITICAL,
    threshold="rule_error_action_failures",
)
RULE_ALARMS: Final = (RULE_THROTTLES, RULE_ERROR_ACTION_FAILURES)


def table_alarms(role: str, label: str) -> tuple[AlarmSpec, AlarmSpec]:
    """The alarms of a table: ``TimeSeriesTable`` and ``metrics``, or ``DeviceStateTable`` and ``state``.

    UserErrors counts no throttling and has no TableName, ThrottledRequests needs an Operation; these two take
    TableName alone (amazondynamodb/latest/developerguide/metrics-dimensions.html).
    """
    return (
        AlarmSpec(
            f"{role}WriteThrottles",
            f"dynamodb-{label}-throttling",
            _sum_or_zero("WriteThrottleEvents"),
            description="DynamoDB keeps throttling writes.",
            impact="Lambda retries batches, and the processor falls behind.",
            runbook="look in Contributor Insights for one device with over 1000 writes/s; otherwise check the "
            "account's table quota.",
            severity=Severity.WARNING,
            threshold="table_write_throttles",
            evaluation_periods=defaults.THROTTLING_PERIODS,
        ),
        AlarmSpec(
            f"{role}ReadThrottles",
            f"dynamodb-{label}-read-throttling",
            _sum_or_zero("ReadThrottleEvents"),
            description="DynamoDB keeps throttling reads.",
            impact="Readers get errors or delays. Writes are not affected.",
            runbook="look in Contributor Insights for one device with over 3000 reads/s, or for a scan.",
            severity=Severity.WARNING,
            threshold="table_read_throttles",
            evaluation_periods=defaults.THROTTLING_PERIODS,
        ),
    )


@cache
def period() -> cdk.Duration:
    """The period of every alarm but that on unprocessed records."""
    return cdk.Duration.minutes(defaults.ALARM_PERIOD_MINUTES)


def create_alarm(
    scope: Construct,
    spec: AlarmSpec,
    names: Names,
    resource: Any,
    threshold: float,
    *,
    derived_from: str | None = None,
    named: bool = True,
) -> cloudwatch.Alarm:
    """Create the alarm of a row, on the metric of ``resource``.

    Its description has the event, the impact, the threshold, and the first step. Missing data is
    not breaching: AWS emits these metrics only when there is something to count.

    Args:
        scope: the construct that the alarm belongs to.
        spec: the row.
        names: creates the alarm's name.
        resource: what ``spec.metric`` is called with.
        threshold: in the metric's own unit; the alarm fires when it is reached.
        derived_from: where the threshold comes from, if not from an argument.
        named: whether the alarm has the name of the row, or one that CloudFormation generates.
    """
    metric = spec.metric(resource)
    account = other_account(scope, resource)
    if account is not None:
        metric = _in_account(metric, account)
    fires = _fires_at(spec, threshold, derived_from)
    return cloudwatch.Alarm(
        scope,
        spec.id,
        alarm_name=names.physical_name(naming.ALARM, None, spec.name) if named else None,
        alarm_description=f"{spec.description} {spec.impact} {fires} First: {spec.runbook}",
        metric=metric,
        threshold=threshold,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluation_periods=spec.evaluation_periods,
        datapoints_to_alarm=spec.datapoints_to_alarm or spec.evaluation_periods,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )


def _in_account(metric: AlarmMetric, account: str) -> AlarmMetric:
    """The metric of a resource of another account (AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html).

    A query reads every account that shares its metrics, so it names the one
    (AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-alarms.html).
    """
    if isinstance(metric, cloudwatch.Metric):
        return metric.with_(account=account)
    inputs = {
        id: each.with_(account=account)
        for id, each in metric.using_metrics.items()
        if isinstance(each, cloudwatch.Metric)
    }
    expression = metric.expression
    if not inputs:
        expression += f" AND AWS.AccountId = '{account}'"
    return cloudwatch.MathExpression(
        expression=expression, using_metrics=inputs, label=metric.label, period=metric.period
    )


def _fires_at(spec: AlarmSpec, threshold: float, derived_from: str | None) -> str:
    text = "Fires at "
    if is_token(threshold):
        text += "the threshold set at deployment"
    elif spec.unit is None:
        text += f"{threshold:.15g}"
    else:
        text += f"{threshold / spec.unit.size:.10g} {spec.unit.name}"
    if derived_from is not None:
        text += f" ({derived_from})"
    if spec.unit is None:
        text += f" in {spec.period_minutes or defaults.ALARM_PERIOD_MINUTES:g} minutes"
    if spec.evaluation_periods > 1:
        text += f", {spec.evaluation_periods} times in a row"
    return text + "."
