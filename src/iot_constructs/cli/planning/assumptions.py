"""What no page of AWS says: counted in the example, or assumed. NAME = value  # reason."""

from typing import Final

# --- counted in the example, by a test --------------------------------------------------------------------------------
ALARM_METRICS: Final = 20  # every alarm looks at one
COMPOSITE_ALARMS: Final = 1  # iot-pipeline-health
DASHBOARDS: Final = 1  # iot-pipeline
KEYS: Final = 1  # the stack's
CUSTOM_METRICS: Final = 5  # what the function counts: stored, rejected, failed, duplicates, forged

# --- assumed ----------------------------------------------------------------------------------------------------------
DEVICE_ID_BYTES: Final = 16  # sensor-000000042
CONTENT_SHARE: Final = (
    0.78  # what DynamoDB counts of a JSON object of named numbers: no quotes, two digits a byte
)
GZIP_SHARE: Final = 0.2  # what is left of such JSON: names repeat, numbers do not
CONSUMERS: Final = 2  # of the stream: the function and the archive
KEY_USERS: Final = 5  # who asks KMS for a data key: rule, function and archive, the two tables
EVENT_RECORD_BYTES: Final = 600  # of a record in Lambda's event, beside its data in base64
CALL_MILLISECONDS: Final = 10  # until DynamoDB has answered a call
RECORD_MILLISECONDS: Final = 0.5  # to decode and check one record at 512 MB
INVOCATION_MILLISECONDS: Final = 5  # everything else in an invocation
LOG_BYTES: Final = 2048  # an invocation: Lambda's three lines and one of metrics
