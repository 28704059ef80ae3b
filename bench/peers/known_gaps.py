"""What is wrong with each peer's app: read off its template by hand, to hold the findings of the rules against.

The templates are those of ``synthesize.py``, checked for the environment ``dev``. A rule that is not named for an app
has nothing to find there, nor has a named one anywhere but where it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STACK: Final = None
"""In place of a logical id: the stack as a whole."""


@dataclass(frozen=True)
class Gap:
    """One rule's findings in one app."""

    rule_id: str
    where: tuple[str | None, ...]
    """Logical ids of what is to be mended, or STACK; each is found at least once."""
    why: str


_STATE, _METRICS, _STREAM = "DeviceState03394A42", "Metrics6DBDA108", "Stream790BDEE4"
_FUNCTION, _RULE, _BUCKET, _ARCHIVE = "Processor60228016", "Rule", "Data666C94C7", "ArchiveDA4CB258"
_ALERTS = "Alerts91F83244"


_UNPROTECTED = Gap(
    "IOT_05_TERMINATION_PROTECTION", (STACK,), "left unsaid, which the manifest shows as false"
)


def _l2_pipeline(mapping: str) -> tuple[Gap, ...]:
    """What the apps of plain_l2 and monitoring_constructs share: `l2_pipeline` says as little as CDK allows."""
    return (
        Gap(
            "IOT_02_POINT_IN_TIME_RECOVERY",
            (_STATE, _METRICS),
            "TableV2: the one replica has no PointInTimeRecoverySpecification",
        ),
        Gap("IOT_03_BATCHING_WINDOW", (mapping,), "not set, so 0 s"),
        Gap(
            "IOT_04_PRIVATE_TLS_BUCKET",
            (_BUCKET,),
            "the bucket has no properties at all, and there is no bucket policy",
        ),
        Gap("IOT_06_STREAM_FAILURE_DESTINATION", (mapping,), "no DestinationConfig"),
        Gap("IOT_13_TRIM_HORIZON", (mapping,), "StartingPosition LATEST"),
        Gap(
            "IOT_14_BOUNDED_RETRIES",
            (mapping,),
            "neither retries nor record age are set: both -1, for ever",
        ),
        Gap("IOT_15_PARTIAL_BATCHES", (mapping,), "no FunctionResponseTypes"),
        Gap("IOT_16_BISECT", (mapping,), "not set, so false"),
        Gap("IOT_18_RULE_ERROR_ACTION", (_RULE,), "no ErrorAction"),
        Gap("IOT_19_RULE_SQL_VERSION", (_RULE,), "not set, so 2015-10-08"),
        Gap("IOT_20_RULE_PARTITION_KEY", (_RULE,), "${deviceId} is a field of the payload"),
        Gap(
            "IOT_21_TIME_SERIES_TTL",
            (_METRICS,),
            "sort key timestamp (N), no TimeToLiveSpecification; the state table has no sort key",
        ),
        Gap(
            "IOT_22_DELETION_PROTECTION",
            (_STATE, _METRICS),
            "Retain, but the replica has no DeletionProtectionEnabled",
        ),
        Gap("IOT_23_ASYNC_FAILURE_PATH", (_FUNCTION,), "no EventInvokeConfig, no DeadLetterConfig"),
        Gap("IOT_24_BUCKET_VERSIONING", (_BUCKET,), "no VersioningConfiguration"),
        Gap("IOT_25_BUCKET_ACCESS_LOGS", (_BUCKET,), "no LoggingConfiguration"),
        Gap("IOT_27_ALARM_TOPIC_SUBSCRIBER", (_ALERTS,), "no address was given: no subscription"),
        Gap("IOT_29_ENCRYPTION_AT_REST", (_ALERTS,), "the topic has no KmsMasterKeyId"),
        Gap("IOT_30_TLS_ONLY_MESSAGING", (_ALERTS,), "the topic has no policy"),
    )


_UNNAMED = (
    "every name is left to CloudFormation, but the stack's own would be that of every environment"
)

PLAIN_L2 = (
    Gap("IOT_01_ENVIRONMENT_SUFFIX", (STACK,), _UNNAMED),
    _UNPROTECTED,
    Gap(
        "IOT_07_PIPELINE_ALARMS",
        (_STATE, _METRICS, _ARCHIVE),
        "the three alarms watch the stream's iterator age and the function's Errors and Throttles;"
        " nobody watches the tables' throttling and the archive's freshness",
    ),
    *_l2_pipeline("ProcessorKinesisEventSourcePlainPipelineStreamAB5A7128623FF882"),
)

_WATCHED = "IotPipelineIotPipeline"

MONITORING_CONSTRUCTS = (
    Gap(
        "IOT_01_ENVIRONMENT_SUFFIX",
        (
            STACK,
            f"{_WATCHED}DashboardsDashboardDA806FD1",
            f"{_WATCHED}TelemetryStreamIteratorAgeMaxWarningD031E9A2",
            f"{_WATCHED}TelemetryStreamReadThroughputExceededWarning04E4C63A",
            f"{_WATCHED}TelemetryStreamWriteThroughputExceededWarning8C5F5417",
            f"{_WATCHED}TelemetryProcessorFaultCountCritical73201A00",
            f"{_WATCHED}TelemetryProcessorThrottledCountWarningFE2FA818",
            f"{_WATCHED}DeviceStateTableReadThrottledEventsWarning48736566",
            f"{_WATCHED}DeviceStateTableWriteThrottledEventsWarning266FCDD4",
            f"{_WATCHED}MetricsTableReadThrottledEventsWarning1A82CC7C",
            f"{_WATCHED}MetricsTableWriteThrottledEventsWarning12744F9F",
        ),
        "ten literal names, of the dashboard and the nine alarms; the pipeline's own names are left to"
        " CloudFormation, but the stack's is that of every environment",
    ),
    _UNPROTECTED,
    Gap(
        "IOT_07_PIPELINE_ALARMS",
        (_ARCHIVE,),
        "it has no alarm for a delivery stream's freshness; iterator age, Errors and both tables'"
        " throttling (as FILL(...) expressions) are watched",
    ),
    *_l2_pipeline("ProcessorKinesisEventSourceMonitoredPipelineStream0B60BC44DAD7FD7C"),
)

_SC_STREAM, _SC_RULE = "IngestKinesisStreamB35C45A3", "IngestIotTopic18AD30DE"
_SC_FUNCTION, _SC_DLQ = "ProcessLambdaFunctionDE914765", "ProcessSqsDlqQueue80E8A0CB"
_SC_STATE, _SC_METRICS = "DeviceStateDynamoTable708BEBD0", "MetricsDynamoTableF20F9F82"
_SC_ARCHIVE = "ArchiveKinesisFirehoseToS3KinesisFirehoseB405A20E"
_SC_MAPPING = (
    "ProcessLambdaFunctionKinesisEventSourceSolutionsPipelineIngestKinesisStream00E79101651202C0"
)

_SC_ALARMS = (
    "IngestKinesisStreamGetRecordsIteratorAgeAlarm1B198400",
    "IngestKinesisStreamReadProvisionedThroughputExceededAlarmD57A603A",
    "ProcessKinesisStreamGetRecordsIteratorAgeAlarmBF3278BF",
    "ProcessKinesisStreamReadProvisionedThroughputExceededAlarmF6ACEB1E",
    "ArchiveKinesisStreamGetRecordsIteratorAgeAlarm33BFBCCB",
    "ArchiveKinesisStreamReadProvisionedThroughputExceededAlarmA3902919",
)

SOLUTIONS_CONSTRUCTS = (
    Gap(
        "IOT_01_ENVIRONMENT_SUFFIX",
        (STACK,),
        "names are left to CloudFormation or made of the stack's (the delivery stream's), and the stack's"
        " is that of every environment",
    ),
    _UNPROTECTED,
    Gap("IOT_03_BATCHING_WINDOW", (_SC_MAPPING,), "not set, so 0 s"),
    Gap(
        "IOT_07_PIPELINE_ALARMS",
        (_SC_STREAM, _SC_FUNCTION, _SC_DLQ, _SC_STATE, _SC_METRICS, _SC_ARCHIVE),
        "nothing is watched: the only alarms are the six of IOT_09",
    ),
    Gap(
        "IOT_09_ALARM_DIMENSIONS",
        _SC_ALARMS,
        "each of the three patterns with a stream makes the same two alarms in AWS/Kinesis, no dimensions",
    ),
    Gap("IOT_15_PARTIAL_BATCHES", (_SC_MAPPING,), "no FunctionResponseTypes"),
    Gap(
        "IOT_17_RETENTION_ABOVE_AGE",
        (_SC_STREAM,),
        "kept for 24 h, and the mapping gives a record up after 86400 s, which is when it is gone",
    ),
    Gap("IOT_18_RULE_ERROR_ACTION", (_SC_RULE,), "no ErrorAction"),
    Gap("IOT_19_RULE_SQL_VERSION", (_SC_RULE,), "not set, so 2015-10-08"),
    Gap(
        "IOT_21_TIME_SERIES_TTL",
        (_SC_METRICS,),
        "sort key timestamp (N), no TimeToLiveSpecification",
    ),
    Gap(
        "IOT_22_DELETION_PROTECTION",
        (_SC_STATE, _SC_METRICS),
        "Retain, but no DeletionProtectionEnabled",
    ),
    Gap("IOT_23_ASYNC_FAILURE_PATH", (_SC_FUNCTION,), "no EventInvokeConfig, no DeadLetterConfig"),
    Gap("IOT_26_ALARM_ACTION", _SC_ALARMS, "no AlarmActions"),
)

KNOWN_GAPS: Mapping[str, tuple[Gap, ...]] = {
    "plain_l2": PLAIN_L2,
    "solutions_constructs": SOLUTIONS_CONSTRUCTS,
    "monitoring_constructs": MONITORING_CONSTRUCTS,
}
