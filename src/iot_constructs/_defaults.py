"""Every default of the library, each with its reason.

One row is ``NAME = value  # reason (source)``. Constructs read their defaults from here and nowhere else,
so this file is the place to review a default and the place to change it. Values are plain numbers and
strings with the unit in the name: importing this module must not start the jsii engine.

Sources are pages of docs.aws.amazon.com: L = lambda/latest/dg, K = streams/latest/dev, F = firehose/latest/dev,
D = amazondynamodb/latest/developerguide, N = sns/latest/dg, S3 = AmazonS3/latest/userguide,
I = iot/latest/developerguide, C = AmazonCloudWatch/latest/monitoring. "FACTS n" is the numbered list of AWS
facts that this project's design rests on.
"""

from typing import Final

# --- environment -----------------------------------------------------------------------------------------------
ENVIRONMENT_SUFFIX: Final = (
    "dev"  # what an app says that has never heard of environments; ephemeral, so mistakes are cheap
)
ENVIRONMENT_SUFFIX_CONTEXT_KEY: Final = (
    "environmentSuffix"  # `cdk deploy -c environmentSuffix=prod`
)
ENVIRONMENT_SUFFIX_MAX_LENGTH: Final = (
    19  # a bucket of the longest region must still fit in 63 (FACTS 7)
)
EPHEMERAL_WORDS: Final = (
    "dev",
    "test",
    "qa",
    "ci",
    "pr",
    "tmp",
    "sandbox",
)  # any other suffix is protected: fail safe
LONGEST_ACCOUNT: Final = 12  # digits of an account id, assumed while the account is a token
LONGEST_REGION: Final = (
    14  # ap-southeast-1, assumed while the region is a token (us-isof-south-1: 15; say env there)
)
MANAGED_BY: Final = "iot-constructs"  # value of the tag ManagedBy

# --- name stems; the suffix is added by the library (correction 1) ------------------------------------------------
BUCKET_NAME: Final = "iot-sensor-data"  # followed by account and region: bucket names are global (S3 bucketnamingrules)
STREAM_NAME: Final = "iot-sensor-data-stream"  # correction 1
FUNCTION_NAME: Final = "iot-stream-processor"  # correction 1
DLQ_NAME: Final = "iot-pipeline-dlq"  # topic and queue; correction 1
TIME_SERIES_TABLE_NAME: Final = "iot-sensor-metrics"  # correction 1
DEVICE_STATE_TABLE_NAME: Final = "iot-device-state"  # correction 1
RULE_NAME: Final = "iot_telemetry"  # IoT rule names take no hyphen (FACTS 11)
DEVICE_POLICY_NAME: Final = "iot-telemetry-device"  # one policy for all devices (FACTS 12)
ARCHIVE_NAME: Final = "iot-sensor-archive"  # delivery stream and its log group
DATABASE_NAME: Final = "iot_archive"  # Athena's names take no hyphen (FACTS 11)
ARCHIVE_TABLE_NAME: Final = "telemetry"  # as the archive's folder
WORKGROUP_NAME: Final = "iot-archive"  # people choose it by this name in the console
QUERY_RESULTS_BUCKET_NAME: Final = (
    "iot-queries"  # short: account, region and a long suffix must fit behind it (FACTS 7)
)
ALARM_NAME_PREFIX: Final = (
    "iot"  # followed by service and what is wrong: iot-lambda-dlq-messages (correction 7)
)
ALERT_TOPIC_NAME: Final = "iot-pipeline-alerts"  # where every alarm publishes
DASHBOARD_NAME: Final = "iot-pipeline"  # one dashboard per pipeline
COMPOSITE_ALARM_NAME: Final = "iot-pipeline-health"  # the one alarm to page on

# --- encryption key ----------------------------------------------------------------------------------------------
KEY_ROTATION: Final = True  # yearly rotation costs nothing to use and is asked for by every audit
KEY_PENDING_WINDOW_DAYS: Final = (
    7  # the shortest KMS allows, only used where the key is destroyed with its stack
)

# --- SecureDataBucket ----------------------------------------------------------------------------------------------
BUCKET_VERSIONED: Final = (
    True  # an overwritten or deleted object can be brought back (S3 Versioning)
)
BUCKET_MINIMUM_TLS_VERSION: Final = (
    1.2  # with enforce_ssl: two Denies, plain HTTP and TLS 1.0/1.1 (FACTS 7)
)
BUCKET_ABORT_MULTIPART_DAYS: Final = (
    7  # parts of a broken upload are billed and invisible until aborted
)
BUCKET_NONCURRENT_VERSION_DAYS: Final = 90  # versioning without an end doubles the bill for ever
ACCESS_LOG_EXPIRATION_DAYS: Final = 365  # a year answers "who read this?"; longer is a decision
ACCESS_LOG_NAME_ENDING: Final = "-logs"  # added to the data bucket's stem

# --- MonitoredStream -----------------------------------------------------------------------------------------------
STREAM_RETENTION_HOURS: Final = (
    168  # a failure record names sequence numbers only: what retention dropped is gone (FACTS 2, 8)
)
STREAM_MINIMUM_RETENTION_HOURS: Final = (
    24  # what Kinesis gives at the least, assumed for a stream we did not make (FACTS 8)
)
STREAM_MAXIMUM_RETENTION_HOURS: Final = 8760  # 365 days (FACTS 8)
ITERATOR_AGE_SHARE_OF_RETENTION: Final = (
    0.5  # past half of retention a consumer risks losing records (FACTS 8)
)
STREAM_THROTTLES: Final = (
    1  # on-demand streams throttle only past their limits: one is news (FACTS 8)
)

# --- StreamProcessor -----------------------------------------------------------------------------------------------
HANDLER: Final = "handler.handler"  # handler.py, function handler
MEMORY_MB: Final = (
    512  # a batch of 100 readings is CPU-bound on the client side; CPU comes with memory
)
TIMEOUT_SECONDS: Final = 60  # room for the in-invocation retries of a throttled batch write
LOG_RETENTION: Final = "THREE_MONTHS"  # the default of CloudWatch is to keep and bill for ever
BATCH_SIZE: Final = 100  # records an invocation; see MAX_BATCHING_WINDOW_SECONDS
MAX_BATCH_SIZE: Final = 10_000  # the API's limit (FACTS 3)
MAX_BATCHING_WINDOW_SECONDS: Final = (
    5  # correction 3: MaximumBatchingWindowInSeconds, 5 s of waiting buys full batches
)
LONGEST_BATCHING_WINDOW_SECONDS: Final = 300  # the API's limit (FACTS 3)
BISECT_BATCH_ON_ERROR: Final = (
    True  # halves isolate the one record that fails; does not use up retries (FACTS 3)
)
REPORT_BATCH_ITEM_FAILURES: Final = True  # only what failed is retried, not the 99 others (FACTS 3)
RETRY_ATTEMPTS: Final = (
    10  # AWS's default is for ever: one poison record then blocks its shard (FACTS 3)
)
MAX_RETRY_ATTEMPTS: Final = 10_000  # the API's limit (FACTS 3)
RECORD_AGE_SHARE_OF_RETENTION: Final = (
    0.6  # past the iterator-age alarm (0.5), and 0.4 of retention is left to redrive
)
SHORTEST_RECORD_AGE_SECONDS: Final = 60  # the API's limit (FACTS 3)
LONGEST_RECORD_AGE_SECONDS: Final = 604_800  # the API's limit, 7 days (FACTS 3)
PARALLELIZATION_FACTOR: Final = (
    1  # 1..10 concurrent batches a shard; order within a partition key is kept (FACTS 3)
)
MAX_PARALLELIZATION_FACTOR: Final = 10  # the API's limit (FACTS 3)
MAX_EVENT_AGE_SECONDS: Final = (
    21_600  # correction 6: an asynchronous invocation is given up after 6 h
)
ASYNC_RETRY_ATTEMPTS: Final = 2  # correction 6: the API's maximum (FACTS 1)
DLQ_RETENTION_DAYS: Final = (
    14  # the longest SQS keeps a message: a long weekend must not lose one (FACTS 2)
)
DLQ_VISIBILITY_TIMEOUT_SECONDS: Final = (
    300  # time for a redrive to finish with a message before it is shown again
)

# --- tables --------------------------------------------------------------------------------------------------------
PARTITION_KEY: Final = "deviceId"  # correction 8
SORT_KEY: Final = "timestamp"  # correction 8: a Number, epoch milliseconds
TTL_ATTRIBUTE: Final = "ttl"  # correction 8: a Number, epoch seconds (FACTS 9)
TIME_SERIES_RETENTION_DAYS: Final = 365  # from which the processor computes `ttl`
PITR_RECOVERY_PERIOD_DAYS: Final = (
    35  # correction 2: the longest; price does not depend on it (FACTS 9)
)

# --- TelemetryRule -------------------------------------------------------------------------------------------------
SQL_VERSION: Final = "2016-03-23"  # unset means 2015-10-08 (FACTS 12)
TOPIC_FILTER: Final = "device/+/telemetry"  # one level for the device id
PARTITION_KEY_TEMPLATE: Final = (
    "${topic(2)}"  # the topic is checked by the device's policy, the payload by nobody (FACTS 12)
)

# --- DevicePolicy --------------------------------------------------------------------------------------------------
DEVICE_POLICY_MAX_LENGTH: Final = (
    2048  # characters of the document without white space (CreatePolicy API)
)
LONGEST_PARTITION: Final = 10  # aws-us-gov, assumed while the partition is a token

# --- StreamArchive -------------------------------------------------------------------------------------------------
BUFFERING_SIZE_MIB: Final = (
    128  # large objects: S3 tiers skip those under 128 KB, queries read few (FACTS 7, 14)
)
BUFFERING_INTERVAL_SECONDS: Final = (
    300  # the age of the newest archived record at the most, plus delivery
)
LONGEST_BUFFERING_INTERVAL_SECONDS: Final = 900  # the API's limit (FACTS 14)
LARGEST_BUFFERING_MIB: Final = 128  # the API's limit (FACTS 14)
DATA_PREFIX: Final = (
    "telemetry/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
    "hour=!{timestamp:HH}/"
)  # Hive style, UTC: Athena reads only the hours it is asked for (FACTS 14)
ERROR_PREFIX: Final = (
    "errors/!{firehose:error-output-type}/"
    "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
)  # needed as soon as DATA_PREFIX has expressions (FACTS 14)
FRESHNESS_INTERVALS: Final = (
    3  # alarm when the oldest undelivered record is three buffer intervals old (FACTS 14)
)

# --- QueryableArchive ----------------------------------------------------------------------------------------------
PAYLOAD_COLUMN: Final = "payload"  # a record as it came: its shape is the device's affair
PARTITION_COLUMN_TYPE: Final = (
    "string"  # as in the folder's name, leading zeros included, for all four alike
)
ARCHIVE_FIRST_YEAR: Final = (
    2025  # no archive of this library is older; each year more is 8928 folders to look for
)
QUERY_BYTES_SCANNED_CUTOFF_GIB: Final = (
    100  # half a dollar where a terabyte costs 5: a forgotten WHERE ends here
)
SMALLEST_BYTES_SCANNED_CUTOFF: Final = 10_000_000  # the API's limit, 10 MB
ENFORCE_WORKGROUP: Final = True  # else a client may name another, unencrypted place for its results
PUBLISH_QUERY_METRICS: Final = True  # bytes scanned are the bill: see them in CloudWatch
QUERY_RESULTS_PREFIX: Final = "query-results/"  # beside telemetry/, never in a folder of the table
QUERY_RESULTS_DAYS: Final = 30  # a result is a copy of the data, and one query away
QUERY_RESULTS_NONCURRENT_DAYS: Final = 1  # so there is nothing to bring back either
LONGEST_QUERIED_DAYS: Final = 7  # spans two months at the most; a longer one names its months
LONGEST_QUERY_BYTES: Final = 262_144  # the API's limit
LONGEST_QUERY_DESCRIPTION: Final = 1024  # the API's limit

# --- PipelineAlarms ------------------------------------------------------------------------------------------------
ALARM_PERIOD_MINUTES: Final = 5  # counts are summed over this; ages are the maximum in it
PROCESSING_DELAY_MINUTES: Final = (
    15  # how far behind the processor may fall before a person should know
)
DELAY_SHARE_OF_RECORD_AGE: Final = (
    0.5  # in its place where records are given up before that: it would never fire (FACTS 3)
)
DURATION_SHARE_OF_TIMEOUT: Final = (
    0.8  # a slower invocation soon ends in timeouts, which retry whole batches
)
FAILED_RECORD_PERIODS: Final = 3  # a failure that retries mend within 10 minutes needs nobody
