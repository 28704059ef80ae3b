"""Every default and limit of the library, each with its reason.

A row is ``NAME = value  # reason (source)``. Constructs read their defaults from here and nowhere else, so this file
is the place to review a default and the place to change it. Values are plain numbers and strings with the unit in the
name: importing this module does not start jsii's Node process.

"FACTS n" is a row of docs/FACTS.md, which cites the AWS page.
"""

from typing import Final, NamedTuple

# --- EnvironmentSuffix, SuffixedStack --------------------------------------------------------------------------
ENVIRONMENT_SUFFIX: Final = (
    "dev"  # for an app without an environment; ephemeral, so mistakes are cheap
)
ENVIRONMENT_SUFFIX_CONTEXT_KEY: Final = (
    "environmentSuffix"  # `cdk deploy -c environmentSuffix=prod`
)
ENVIRONMENT_SUFFIX_MAX_LENGTH: Final = (
    19  # the name of a bucket in the longest Region fits into 63 characters (FACTS 7)
)
EPHEMERAL_WORDS: Final = (
    "dev",
    "test",
    "qa",
    "ci",
    "pr",
    "tmp",
    "sandbox",
)  # any other suffix is protected
LONGEST_ACCOUNT: Final = 12  # digits of an account ID, assumed while the account is a token
LONGEST_REGION: Final = (
    14  # ap-southeast-1, assumed while the Region is a token (us-isof-south-1: 15; pass env there)
)
LONGEST_PARTITION: Final = 10  # aws-us-gov, assumed while the partition is a token
MANAGED_BY: Final = "iot-constructs"  # value of the tag ManagedBy

# --- base names; the library puts the name prefix before them and the environment suffix behind -----------------------
NAME_PREFIX: Final = "iot"  # first word of every default name
NAME_PREFIX_CONTEXT_KEY: Final = "namePrefix"  # `cdk deploy -c namePrefix=north`
NAME_PREFIX_MAX_LENGTH: Final = 20  # leaves a bucket 2 characters of suffix of its 63 (FACTS 7)
BUCKET_NAME: Final = (
    "sensor-data"  # followed by account and region: bucket names are global (S3 bucketnamingrules)
)
STREAM_NAME: Final = "sensor-data-stream"
FUNCTION_NAME: Final = "stream-processor"
DLQ_NAME: Final = "pipeline-dlq"  # topic and queue
FAILED_BATCHES_NAME: Final = "pipeline-dlq-batches"
TIME_SERIES_TABLE_NAME: Final = "sensor-metrics"
DEVICE_STATE_TABLE_NAME: Final = "device-state"
RULE_NAME: Final = "telemetry"  # IoT rule names take no hyphen (FACTS 11)
DEVICE_POLICY_NAME: Final = "telemetry-device"  # one policy for all devices (FACTS 12)
ARCHIVE_NAME: Final = "sensor-archive"  # delivery stream and its log group
DATABASE_NAME: Final = "archive"  # Athena's names take no hyphen (FACTS 11)
ARCHIVE_TABLE_NAME: Final = "telemetry"  # same as the archive's folder
WORKGROUP_NAME: Final = "archive"  # shown in the console
QUERY_RESULTS_BUCKET_NAME: Final = (
    "queries"  # short: account, Region and a long suffix follow it (FACTS 7)
)
ALARM_TOPIC_NAME: Final = "pipeline-alerts"  # where every alarm publishes
DASHBOARD_NAME: Final = "pipeline"  # one dashboard per pipeline and region
COMPOSITE_ALARM_NAME: Final = "pipeline-health"  # the alarm for paging

# --- encryption key ----------------------------------------------------------------------------------------------
KEY_ROTATION: Final = True  # yearly; every audit requires it
KEY_PENDING_WINDOW_DAYS: Final = (
    7  # the minimum of KMS; applies if the key is deleted with its stack
)

# --- SecureDataBucket ----------------------------------------------------------------------------------------------
BUCKET_VERSIONED: Final = True  # an overwritten or deleted object can be restored (S3 Versioning)
BUCKET_MINIMUM_TLS_VERSION: Final = (
    1.2  # with enforce_ssl: denies plain HTTP and TLS 1.0/1.1 (FACTS 7)
)
BUCKET_TLS_VERSIONS: Final = (1.2, 1.3)  # older ones are deprecated (S3 security best practices)
BUCKET_ABORT_MULTIPART_DAYS: Final = (
    7  # parts of a broken upload are billed and invisible until aborted
)
BUCKET_NONCURRENT_VERSION_DAYS: Final = 90  # old versions cost as much as current ones
ACCESS_LOG_EXPIRATION_DAYS: Final = 365  # one year for access audits
ACCESS_LOG_NAME_ENDING: Final = "-logs"  # added to the data bucket's base name

# --- MonitoredStream -----------------------------------------------------------------------------------------------
STREAM_RETENTION_HOURS: Final = (
    168  # a failure record has sequence numbers only, so an expired record is lost (FACTS 2, 8)
)
# Idle, a stream in on-demand mode costs $0.04 an hour, $29.20 a month, and a shard $0.015, $10.95; retention over 24 h
# costs another $0.02 per shard and hour, $14.60 (aws.amazon.com/kinesis/data-streams/pricing). An
# ephemeral environment is deleted with its data.
EPHEMERAL_STREAM_SHARDS: Final = 1  # 1 MB/s or 1,000 records/s, enough for development: see above
EPHEMERAL_STREAM_RETENTION_HOURS: Final = 24  # the minimum, without a charge: see above
STREAM_MINIMUM_RETENTION_HOURS: Final = 24  # of every Kinesis stream (FACTS 8)
STREAM_MAXIMUM_RETENTION_HOURS: Final = 8760  # 365 days (FACTS 8)
ITERATOR_AGE_SHARE_OF_RETENTION: Final = (
    0.5  # after half of the retention, a consumer can lose records (FACTS 8)
)
STREAM_THROTTLES: Final = 1  # in each period of the alarm: see THROTTLING_PERIODS

# --- StreamProcessor -----------------------------------------------------------------------------------------------
HANDLER: Final = "handler.handler"  # handler.py, function handler
MEMORY_MB: Final = 512  # a batch of 100 readings is CPU-bound; Lambda allocates CPU by memory
TIMEOUT_SECONDS: Final = 60  # time to retry a throttled batch write
LAMBDA_TIMEOUT_SECONDS: Final = 3  # of a function that sets none (CreateFunction API)
LOG_RETENTION: Final = "THREE_MONTHS"  # by default, CloudWatch keeps logs indefinitely
BATCH_SIZE: Final = 100  # records per invocation; see MAX_BATCHING_WINDOW_SECONDS
MAX_BATCH_SIZE: Final = 10_000  # the API's limit (FACTS 3)
MAX_BATCHING_WINDOW_SECONDS: Final = (
    5  # MaximumBatchingWindowInSeconds: larger batches, 5 s of delay
)
LONGEST_BATCHING_WINDOW_SECONDS: Final = 300  # the API's limit (FACTS 3)
BISECT_BATCH_ON_ERROR: Final = True  # isolates a failing record without using up retries (FACTS 3)
REPORT_BATCH_ITEM_FAILURES: Final = True  # only failed records are retried (FACTS 3)
RETRY_ATTEMPTS: Final = (
    10  # by default, a failing record blocks its shard until it expires (FACTS 3)
)
RECORD_AGE_SHARE_OF_RETENTION: Final = (
    0.6  # after the iterator-age alarm (0.5), with 0.4 of the retention to redrive
)
EXISTING_RECORD_AGE_SHARE: Final = (
    0.9  # of a stream that has records already: process them (aws-cdk #17214)
)
LONGEST_RECORD_AGE_SECONDS: Final = 604_800  # the API's limit, 7 days (FACTS 3)
PARALLELIZATION_FACTOR: Final = (
    1  # concurrent batches per shard; order within a partition key is kept (FACTS 3)
)
MAX_PARALLELIZATION_FACTOR: Final = 10  # the API's limit (FACTS 3)
MAX_EVENT_AGE_SECONDS: Final = 21_600  # the API's maximum for asynchronous invocations (FACTS 1)
ASYNC_RETRY_ATTEMPTS: Final = 2  # the API's maximum (FACTS 1)
DLQ_RETENTION_DAYS: Final = 14  # the maximum of SQS (FACTS 2)
DLQ_VISIBILITY_TIMEOUT_SECONDS: Final = 300  # time for a redrive to finish with a message

# --- TimeSeriesTable, DeviceStateTable ------------------------------------------------------------------------------
PARTITION_KEY: Final = "deviceId"  # a String
SORT_KEY: Final = "timestamp"  # a Number, epoch milliseconds
TTL_ATTRIBUTE: Final = "ttl"  # a Number, epoch seconds (FACTS 9)
TIME_SERIES_RETENTION_DAYS: Final = (
    90  # a year is 47 % of the bill of a large fleet; the archive has all records (docs/scale.md)
)
PITR_RECOVERY_PERIOD_DAYS: Final = 35  # the maximum; the price does not depend on it (FACTS 9)

# --- TelemetryRule -------------------------------------------------------------------------------------------------
SQL_VERSION: Final = "2016-03-23"  # unset means 2015-10-08 (FACTS 12)
TOPIC_FILTER: Final = "device/+/telemetry"  # one level for the device ID
PARTITION_KEY_TEMPLATE: Final = (
    "${topic(2)}"  # the device's policy restricts the topic, not the payload (FACTS 12)
)
LONGEST_TOPIC: Final = 256  # bytes of UTF-8 (AWS IoT Core message broker limits)
MOST_TOPIC_SLASHES: Final = 7  # in a topic or topic filter (AWS IoT Core message broker limits)

# --- DevicePolicy --------------------------------------------------------------------------------------------------
DEVICE_POLICY_MAX_LENGTH: Final = (
    2048  # characters of the document without white space (CreatePolicy API)
)

# --- StreamArchive -------------------------------------------------------------------------------------------------
BUFFERING_SIZE_MIB: Final = (
    128  # large objects: S3 does not move those under 128 KB, and queries read fewer (FACTS 7, 14)
)
BUFFERING_INTERVAL_SECONDS: Final = 300  # the delay of the archive, without the delivery
LONGEST_BUFFERING_INTERVAL_SECONDS: Final = 900  # the API's limit (FACTS 14)
LARGEST_BUFFERING_MIB: Final = 128  # the API's limit (FACTS 14)
DATA_PREFIX: Final = (  # Hive style, UTC: Athena reads only the hours of the query (FACTS 14)
    "telemetry/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
    "hour=!{timestamp:HH}/"
)
ERROR_PREFIX: Final = (  # required where the data prefix has expressions (FACTS 14)
    "errors/!{firehose:error-output-type}/"
    "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
)
ARCHIVE_NONCURRENT_VERSION_DAYS: Final = 7  # time to restore a deleted object
FRESHNESS_INTERVALS: Final = (
    3  # alarm when the oldest undelivered record is three buffer intervals old (FACTS 14)
)

# --- QueryableArchive ----------------------------------------------------------------------------------------------
PAYLOAD_COLUMN: Final = "payload"  # the raw record
PARTITION_COLUMN_TYPE: Final = "string"  # as in the folder's name, with leading zeros
ARCHIVE_FIRST_YEAR: Final = (
    2025  # no archive of this library is older; each year adds 8928 folders to list
)
QUERY_BYTES_SCANNED_CUTOFF_GIB: Final = 100  # $0.50 at $5 per TB: stops a query without WHERE
SMALLEST_BYTES_SCANNED_CUTOFF: Final = 10_000_000  # the API's limit, 10 MB
ENFORCE_WORKGROUP: Final = (
    True  # otherwise a client can choose an unencrypted location for its results
)
PUBLISH_QUERY_METRICS: Final = True  # the bytes scanned determine the bill
QUERY_RESULTS_PREFIX: Final = "query-results/"  # next to telemetry/, not in a folder of the table
QUERY_RESULTS_DAYS: Final = 30  # a result is a copy; the query can run again
QUERY_RESULTS_NONCURRENT_DAYS: Final = 1  # nothing to restore: run the query again
LONGEST_QUERIED_DAYS: Final = 7  # spans at most two months; a longer query names its months
LONGEST_QUERY_BYTES: Final = 262_144  # the API's limit
LONGEST_QUERY_DESCRIPTION: Final = 1024  # the API's limit

# --- PipelineAlarms ------------------------------------------------------------------------------------------------
ALARM_PERIOD_MINUTES: Final = 5  # counts are summed over this; ages are the maximum in it
PROCESSING_DELAY_MINUTES: Final = 15  # the acceptable delay of the processor
DELAY_SHARE_OF_RECORD_AGE: Final = (
    0.5  # instead, if Lambda discards records before that delay (FACTS 3)
)
DURATION_SHARE_OF_TIMEOUT: Final = 0.8  # timeouts, which retry whole batches, are near
FAILED_RECORD_PERIODS: Final = 3  # no alarm if retries succeed within 10 minutes
# Clients retry throttled calls, and on-demand streams and tables may throttle while they adapt to more than
# twice their peak (streams/latest/dev/how-do-i-size-a-stream.html,
# amazondynamodb/latest/developerguide/on-demand-capacity-mode.html). CloudWatch evaluates a window every minute, so n
# periods in a row are reached by throttling of n periods, and by none that lasts n - 2: 15 and 5 minutes.
THROTTLING_PERIODS: Final = 3  # clients retry throttled calls: see above
# 30 and 20 minutes. Two consumers share 2 MB/s and 5 calls/s of each shard
# (streams/latest/dev/service-sizes-and-limits.html). A stream that is written to at half of its capacity, as on-demand
# aims at, is caught up with in the time of the interruption; from PROCESSING_DELAY_MINUTES on that has an alarm anyway.
READ_THROTTLING_PERIODS: Final = 6  # consumers that catch up throttle each other: see above
# What arrives at the end of a period is processed at the start of the next, so one period shows nothing. The window
# that a mapping may collect a batch in is at most 5 minutes (lambda/latest/dg/services-kinesis-parameters.html).
UNPROCESSED_PERIOD_MINUTES: Final = 15  # longer than any batching window: see above
UNPROCESSED_PERIODS: Final = 2  # one period shows nothing: see above


# --- limits of AWS on arguments, by keyword; a violation is a ValueError at synth ----------------------------
class NumberLimit(NamedTuple):
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int
    source: str


class DurationLimit(NamedTuple):
    """Seconds from ``low`` to ``high``, in multiples of ``step``."""

    low: int
    high: int
    source: str
    step: int = 1


class TextLimit(NamedTuple):
    """A string that matches ``pattern``."""

    pattern: str
    description: str
    source: str
    literal: bool = False
    """Whether a token is refused."""


_DOCS: Final = "https://docs.aws.amazon.com"
_MAPPING: Final = f"{_DOCS}/lambda/latest/api/API_CreateEventSourceMapping.html"
_FUNCTION: Final = f"{_DOCS}/lambda/latest/api/API_CreateFunction.html"
_KINESIS: Final = f"{_DOCS}/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html"
_IOT_SQL: Final = f"{_DOCS}/iot/latest/developerguide/iot-sql-reference.html"
_DAY: Final = 86_400

NUMBER_LIMITS: Final[dict[str, NumberLimit]] = {
    "batch_size": NumberLimit(1, MAX_BATCH_SIZE, _MAPPING),
    "parallelization_factor": NumberLimit(1, MAX_PARALLELIZATION_FACTOR, _MAPPING),
    "retry_attempts": NumberLimit(
        0, 10_000, _MAPPING
    ),  # AWS has -1, until the record expires (FACTS 3)
    "max_concurrency": NumberLimit(2, 1000, _MAPPING),
    "starting_position_timestamp": NumberLimit(1, 2**40, _MAPPING),
    "async_retry_attempts": NumberLimit(
        0, 2, f"{_DOCS}/lambda/latest/api/API_PutFunctionEventInvokeConfig.html"
    ),
    "memory_size": NumberLimit(128, 10_240, _FUNCTION),
    "reserved_concurrent_executions": NumberLimit(
        0, 2**31 - 1, f"{_DOCS}/lambda/latest/api/API_PutFunctionConcurrency.html"
    ),
    "shard_count": NumberLimit(
        1, 10_000, f"{_DOCS}/kinesis/latest/APIReference/API_UpdateShardCount.html"
    ),
    "throttles_threshold": NumberLimit(1, 10**9, "an alarm on 0 always fires"),
    "first_year": NumberLimit(1970, 9999, "a year of four digits"),
}
ANY_DURATION: Final = DurationLimit(1, 100 * 365 * _DAY, "whole seconds")
DURATION_LIMITS: Final[dict[str, DurationLimit]] = {
    "timeout": DurationLimit(1, 900, _FUNCTION),
    "max_batching_window": DurationLimit(0, LONGEST_BATCHING_WINDOW_SECONDS, _MAPPING),
    "max_record_age": DurationLimit(60, LONGEST_RECORD_AGE_SECONDS, _MAPPING),
    "tumbling_window": DurationLimit(0, 900, _MAPPING),
    "max_event_age": DurationLimit(
        60,
        MAX_EVENT_AGE_SECONDS,
        f"{_DOCS}/lambda/latest/api/API_PutFunctionEventInvokeConfig.html",
    ),
    "retention_period": DurationLimit(
        STREAM_MINIMUM_RETENTION_HOURS * 3600,
        STREAM_MAXIMUM_RETENTION_HOURS * 3600,
        _KINESIS,
        step=3600,
    ),
    "retention": DurationLimit(
        _DAY,
        100 * 365 * _DAY,
        f"{_DOCS}/amazondynamodb/latest/developerguide/TTL.html, deleted up to days late",
    ),
    "device_state_interval": DurationLimit(1, _DAY, "a state of yesterday is not the latest one"),
    "StreamArchive.retention": DurationLimit(
        _DAY,
        100 * 365 * _DAY,
        f"{_DOCS}/AmazonS3/latest/userguide/object-lifecycle-mgmt.html",
        step=_DAY,
    ),
    "iterator_age_threshold": DurationLimit(1, STREAM_MAXIMUM_RETENTION_HOURS * 3600, _KINESIS),
    "buffering_interval": DurationLimit(
        0,
        LONGEST_BUFFERING_INTERVAL_SECONDS,
        f"{_DOCS}/firehose/latest/APIReference/API_BufferingHints.html",
    ),
    "results_expiration": DurationLimit(
        _DAY,
        100 * 365 * _DAY,
        f"{_DOCS}/AmazonS3/latest/userguide/object-lifecycle-mgmt.html",
        step=_DAY,
    ),
    "processing_delay": DurationLimit(1, LONGEST_RECORD_AGE_SECONDS, "records get no older"),
    "duration": DurationLimit(
        60, LONGEST_QUERIED_DAYS * _DAY, "a longer query names year and month"
    ),
}
TEXT_LIMITS: Final[dict[str, TextLimit]] = {
    "handler": TextLimit(
        r"\S{1,128}", "module.function, up to 128 characters without white space", _FUNCTION
    ),
    "description": TextLimit(r".{0,256}", "up to 256 characters", _FUNCTION),
    "SuffixedStack.description": TextLimit(
        r".{0,1024}",
        "up to 1024 characters",
        f"{_DOCS}/AWSCloudFormation/latest/UserGuide/template-description-structure.html",
        literal=True,
    ),
    "QueryableArchive.description": TextLimit(
        r".{1,1024}",
        "up to 1024 characters",
        f"{_DOCS}/athena/latest/APIReference/API_CreateNamedQuery.html",
    ),
    "project": TextLimit(
        r"[\w .:/=+@-]{0,256}",
        "up to 256 letters, digits, spaces and . : / = + @ - _",
        f"{_DOCS}/AWSCloudFormation/latest/TemplateReference/aws-properties-resource-tags.html",
    ),
    "log_format": TextLimit("Text|JSON", "Text or JSON", _FUNCTION),
    "application_log_level": TextLimit(
        "TRACE|DEBUG|INFO|WARN|ERROR|FATAL", "TRACE, DEBUG, INFO, WARN, ERROR or FATAL", _FUNCTION
    ),
    "system_log_level": TextLimit("DEBUG|INFO|WARN", "DEBUG, INFO or WARN", _FUNCTION),
    "select": TextLimit(r".*\S.*", "a SELECT clause, for example '*'", _IOT_SQL),
    "where": TextLimit(r".*\S.*", "a WHERE clause, for example 'temperature > 50'", _IOT_SQL),
    "time_to_live_attribute": TextLimit(
        r".{1,255}",
        "the name of an attribute, 1 to 255 characters",
        f"{_DOCS}/amazondynamodb/latest/APIReference/API_TimeToLiveSpecification.html",
    ),
}
