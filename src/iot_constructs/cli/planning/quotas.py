"""AWS quotas: NAME = value, unit, source, name.

The values are the defaults in us-east-1; some are lower in other Regions. A quota with a ``name`` can be increased
under this name in Service Quotas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iot_constructs.cli.planning import KB, MB

READ: Final = "2026-11"
"""The month in which copies of the pages were read."""

_DOCS = "https://docs.aws.amazon.com/"
_IOT = f"{_DOCS}general/latest/gr/iot-core.html"
_KINESIS = f"{_DOCS}streams/latest/dev/service-sizes-and-limits.html"
_KINESIS_MODES = f"{_DOCS}streams/latest/dev/how-do-i-size-a-stream.html"
_LAMBDA = f"{_DOCS}lambda/latest/dg/gettingstarted-limits.html"
_LAMBDA_KINESIS = f"{_DOCS}lambda/latest/dg/with-kinesis.html"
_DYNAMODB = f"{_DOCS}amazondynamodb/latest/developerguide/ServiceQuotas.html"
_DYNAMODB_ON_DEMAND = f"{_DOCS}amazondynamodb/latest/developerguide/on-demand-capacity-mode.html"
_DYNAMODB_PARTITIONS = f"{_DOCS}amazondynamodb/latest/developerguide/bp-partition-key-design.html"
_KMS = f"{_DOCS}kms/latest/developerguide/requests-per-second.html"
_S3 = f"{_DOCS}AmazonS3/latest/userguide/optimizing-performance.html"


@dataclass(frozen=True)
class Quota:
    """An AWS quota."""

    value: float
    unit: str
    source: str
    name: str | None = None
    """The name in Service Quotas; None if it cannot be increased there."""


IOT_MESSAGE_BYTES: Final = Quota(128 * KB, "bytes per message", _IOT)
IOT_PUBLISHES: Final = Quota(
    20_000, "messages/s", _IOT, "Inbound publish requests per second per account"
)
IOT_RULE_EVALUATIONS: Final = Quota(
    20_000, "messages/s", _IOT, "Rule evaluations per second per AWS account"
)
IOT_CONNECTIONS: Final = Quota(
    500_000, "devices", _IOT, "Maximum concurrent client connections per account"
)
IOT_CONNECTION_PUBLISHES: Final = Quota(100, "messages/s", _IOT)

SHARD_MB: Final = Quota(1, "MB/s", _KINESIS)  # also per partition key
SHARD_RECORDS: Final = Quota(1000, "records/s", _KINESIS)  # also per partition key
SHARDS: Final = Quota(20_000, "shards", _KINESIS, "shard quota")
NEW_STREAM_MB: Final = Quota(4, "MB/s", _KINESIS)
NEW_STREAM_RECORDS: Final = Quota(4000, "records/s", _KINESIS_MODES)
STREAM_MB: Final = Quota(10 * 1024, "MB/s", _KINESIS)  # 200 MB/s in most regions

LAMBDA_CONCURRENCY: Final = Quota(1000, "invocations", _LAMBDA, "Concurrent executions")
NEW_ACCOUNTS: Final = (
    "new AWS accounts have lower Lambda quotas for concurrency and memory, and then any "
    "reserved_concurrent_executions= fails: check with aws lambda get-account-settings"
)
"""Said without a value: AWS documents none (lambda/latest/dg/gettingstarted-limits.html)."""
LAMBDA_EVENT_BYTES: Final = Quota(6 * MB, "bytes per event", _LAMBDA)
LAMBDA_POLLS: Final = Quota(1, "poll/s per shard", _LAMBDA_KINESIS)

NEW_TABLE_WRITE_UNITS: Final = Quota(4000, "write units/s", _DYNAMODB_ON_DEMAND)
TABLE_WRITE_UNITS: Final = Quota(
    40_000, "write units/s", _DYNAMODB, "Table-level write throughput limit"
)
ACCOUNT_WRITE_UNITS: Final = Quota(
    80_000,
    "write units/s",
    _DYNAMODB,
    "Account-level write throughput limit (Provisioned mode)",
)
PARTITION_WRITE_UNITS: Final = Quota(1000, "write units/s", _DYNAMODB_PARTITIONS)

KMS_REQUESTS: Final = Quota(
    100_000, "requests/s", _KMS, "Cryptographic operations (symmetric) request rate"
)
S3_PUTS: Final = Quota(3500, "objects/s", _S3)
