"""The code of a TelemetryProcessor's function: stores readings and publishes invalid records to the DLQ topic.

TelemetryProcessor puts this folder, as it is, into the function's asset. There it is the package `processor`, so its
modules import each other relatively. The code needs only what Lambda's Python runtime has: the standard library and
botocore. It does not import the CDK.

- `handler`: the Lambda handler
- `settings`: the environment variables
- `records`: a Kinesis record
- `payloads`: decodes a record to JSON values (`kpl`)
- `transform`: the user's own step
- `readings`: validates them as readings (`timestamps`, `attribute_values`, `rejections`)
- `time_series`: writes readings to the time-series table
- `device_state`: writes the latest reading of each device to the device-state table
- `dead_letters`: publishes invalid records to the SNS topic
- `batches`: processes one batch and determines the checkpoint
- `retries`: bounds retries by attempts and time
"""

NAMESPACE = "IotConstructs"
"""The CloudWatch namespace of the metrics. Their only dimension is FunctionName."""
DEVICE_ID_MISMATCHES = "DeviceIdMismatches"
