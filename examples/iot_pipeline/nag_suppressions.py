"""What compliance packs ask for and this app decides against: read each reason, and decide for your own app.

The constructs answer what is no fault wherever they are used. These are decisions of an app: COMPLIANCE.md lists
both. With a pack of cdk-nag, `cdk synth` shows them as acknowledged; without cdk-nag they do nothing.
"""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

INLINE_POLICIES: Final = (
    "CDK's grants write them: each is for one role, and comes and goes with it "
    "(IAM/latest/UserGuide/access_policies_managed-vs-inline.html)"
)
NO_VPC: Final = (
    "the function calls public AWS APIs only, over TLS and with its role, and no network leads to it "
    "(lambda/latest/dg/configuration-vpc.html)"
)
SINGLE_REGION: Final = (
    "S3 keeps each object in three availability zones (AmazonS3/latest/userguide/DataDurability.html) and a deletion "
    "can be undone (versions); nobody asks for a second region"
)
NO_OBJECT_LOCK: Final = (
    "no law asks for telemetry that nobody can delete, a lock cannot be taken back, and a log bucket must not have one "
    "(AmazonS3/latest/userguide/enable-server-access-logging.html)"
)
_CONFIG_PACKS = ("HIPAA.Security", "NIST.800.53.R4", "NIST.800.53.R5", "PCI.DSS.321")
"""The packs that are made after the conformance packs of AWS Config."""


def suppress_inline_policies(stack: cdk.Stack) -> None:
    """Answer for every policy of the stack."""
    _acknowledge(stack, _in_packs("IAMNoInlinePolicy", INLINE_POLICIES))


def suppress_vpc(function: IConstruct) -> None:
    """Answer for one function; checkov's CKV_AWS_117 is in checkov.yaml."""
    _acknowledge(function, _in_packs("LambdaInsideVPC", NO_VPC))


def suppress_bucket_rules(buckets: IConstruct) -> None:
    """Answer for the buckets of a SecureDataBucket."""
    _acknowledge(
        buckets,
        {
            **_in_packs("S3BucketReplicationEnabled", SINGLE_REGION),
            "NIST.800.53.R4-S3BucketDefaultLockEnabled": NO_OBJECT_LOCK,
        },
    )


def _in_packs(rule: str, reason: str) -> dict[str, str]:
    return {f"{pack}-{rule}": reason for pack in _CONFIG_PACKS}


def _acknowledge(scope: IConstruct, reasons: dict[str, str]) -> None:
    cdk.Validations.of(scope).acknowledge(
        *(
            cdk.Acknowledgment(id=f"{id.split('-')[0]}::{id}", reason=reason)
            for id, reason in reasons.items()
        )
    )
