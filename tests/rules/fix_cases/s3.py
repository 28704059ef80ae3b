"""Cases of the rules for buckets."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

BUCKET: Final = "AWS::S3::Bucket"
_CDK: Final = """
bucket = s3.Bucket(
    self,
    "Data",
    removal_policy=RemovalPolicy.RETAIN,
    <fix></fix>
)
"""
_CLOUDFORMATION: Final = "Data: {Type: AWS::S3::Bucket}"

CASES: Final = tuple(
    FixCase(rule_id, BUCKET, _CDK, _CLOUDFORMATION)
    for rule_id in (
        "IOT_04_PRIVATE_TLS_BUCKET",
        "IOT_24_BUCKET_VERSIONING",
        "IOT_25_BUCKET_ACCESS_LOGS",
    )
)
