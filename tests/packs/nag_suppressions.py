"""Findings of compliance packs that the example accepts. Review each reason for your own app.

The constructs acknowledge the findings that are the same for every app; COMPLIANCE.md lists both. If a
cdk-nag pack is active, `cdk synth` reports these findings as acknowledged. Without cdk-nag, this
module has no effect.
"""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

INLINE_POLICIES: Final = (
    "CDK's grants create inline policies: each belongs to one role and has its lifecycle "
    "(IAM/latest/UserGuide/access_policies_managed-vs-inline.html)"
)
NO_VPC: Final = (
    "the function calls only public AWS APIs, over TLS and with its role, and accepts no inbound connections "
    "(lambda/latest/dg/configuration-vpc.html)"
)
SINGLE_REGION: Final = (
    "S3 stores each object in three Availability Zones (AmazonS3/latest/userguide/DataDurability.html), versioning "
    "protects against deletion, and there is no requirement for a second region"
)
NO_OBJECT_LOCK: Final = (
    "there is no requirement for write-once storage, Object Lock is irreversible, and a log bucket must not have it "
    "(AmazonS3/latest/userguide/enable-server-access-logging.html)"
)
_CONFIG_PACKS = ("HIPAA.Security", "NIST.800.53.R4", "NIST.800.53.R5", "PCI.DSS.321")
"""The packs based on the conformance packs of AWS Config."""


def suppress_inline_policies(stack: cdk.Stack) -> None:
    """Acknowledge the inline policies of a stack."""
    _acknowledge(stack, _for_config_packs("IAMNoInlinePolicy", INLINE_POLICIES))


def suppress_vpc(function: IConstruct) -> None:
    """Acknowledge that a function is not in a VPC. For checkov (CKV_AWS_117), see checkov.yaml."""
    _acknowledge(function, _for_config_packs("LambdaInsideVPC", NO_VPC))


def suppress_bucket_rules(buckets: IConstruct) -> None:
    """Acknowledge that the buckets of a SecureDataBucket have no replication and no Object Lock."""
    _acknowledge(
        buckets,
        {
            **_for_config_packs("S3BucketReplicationEnabled", SINGLE_REGION),
            "NIST.800.53.R4-S3BucketDefaultLockEnabled": NO_OBJECT_LOCK,
        },
    )


def _for_config_packs(rule: str, reason: str) -> dict[str, str]:
    return {f"{pack}-{rule}": reason for pack in _CONFIG_PACKS}


def _acknowledge(scope: IConstruct, reasons: dict[str, str]) -> None:
    cdk.Validations.of(scope).acknowledge(
        *(
            cdk.Acknowledgment(id=f"{id.split('-')[0]}::{id}", reason=reason)
            for id, reason in reasons.items()
        )
    )
