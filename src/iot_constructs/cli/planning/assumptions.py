"""Values that AWS does not document: measured in the example, or assumed. NAME = value  # reason."""

from typing import Final

# --- measured in the example by a test --------------------------------------------------------------------------------
ALARM_METRICS: Final = 25  # one for each alarm, three for that on unprocessed records
COMPOSITE_ALARMS: Final = 1  # iot-pipeline-health
DASHBOARDS: Final = 1  # iot-pipeline
KEYS: Final = 1  # the key of the stack
CUSTOM_METRICS: Final = (
    5  # emitted by the function: stored, rejected, failed, duplicates, device ID mismatches
)
METRIC_LOG_BYTES: Final = 560  # of the line with these metrics

# --- counted by a test with the contenders of bench/processor ---------------------------------------------------------
SOLUTIONS_PUTS: Final = 2  # PutItem calls for a record of the contender two_puts: reading and state
USUAL_PUTS: Final = (
    3  # PutItem calls for a record of the contender three_puts: state and two metrics
)

# --- assumed ----------------------------------------------------------------------------------------------------------
DEVICE_ID_BYTES: Final = 16  # sensor-000000042
CONTENT_SHARE: Final = (
    0.78  # DynamoDB size of a JSON object with numbers: no quotes, two digits per byte
)
GZIP_SHARE: Final = 0.2  # compressed size of such JSON: names repeat, numbers do not
CONSUMERS: Final = 2  # of the stream: the function and the archive
KEY_USERS: Final = 5  # that request data keys: rule, function, archive and the two tables
EVENT_RECORD_BYTES: Final = 600  # of a record in a Lambda event, without its base64 data
CALL_MILLISECONDS: Final = 10  # latency of a DynamoDB call
READING_MILLISECONDS: Final = 0.5  # to decode and validate one reading at 512 MB
INVOCATION_MILLISECONDS: Final = 5  # remaining time of an invocation
LOG_BYTES: Final = 2048  # per invocation: three lines of Lambda and one with metrics
TABLE_UTILIZATION: Final = (
    0.7  # of provisioned capacity at peak: the default target of DynamoDB auto scaling
)
AUTO_SCALING_ALARMS: Final = (
    4  # that auto scaling creates for the reads, and for the writes, of each table
)
QUERIES_PER_DAY: Final = 1  # for a day's readings of a device: --queries-per-day
DASHBOARD_DEVICES: Final = 1000  # whose states a dashboard reads
DASHBOARD_SECONDS: Final = 60  # between its reads: --dashboard-refresh
PEER_MEMORY_MB: Final = (
    128  # CDK's default, which the peers have; their duration is estimated as at 512 MB
)
