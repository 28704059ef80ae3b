"""Answers to what scanners report about our constructs although nothing is to be mended, each where it is reported.

Every user of a construct would get the same report, so the construct answers it. What depends on the user (a VPC, a
second region) is left to the user: COMPLIANCE.md has both, and everything that was mended instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct

from iot_constructs._place import Place


def acknowledge(scope: IConstruct, reasons: Mapping[str, str]) -> None:
    """Acknowledge findings of cdk-nag for ``scope`` and what is below it.

    This is CDK's own record and needs no cdk-nag; templates stay as they are. CDK's validation report lists each of
    them with its reason.

    Args:
        scope: as little as possible; and before it has children, for CDK goes through all of them for each id.
        reasons: the fact that makes it no fault, for each finding as reported, pack first: ``AwsSolutions-SQS3``.
    """
    cdk.Validations.of(scope).acknowledge(
        *(
            cdk.Acknowledgment(id=f"{id.split('-')[0]}::{id}", reason=reason)
            for id, reason in reasons.items()
        )
    )


def wildcard(scope: IConstruct, arn: str) -> str:
    """The finding about an ARN with a wildcard in a policy, which is about no other wildcard.

    cdk-nag names such a finding after the ARN as it stands in the template. That of a resource in another stack is not
    known before the synth: it stays reported.
    """
    return f"AwsSolutions-IAM5[Resource::{_flat(Place.of(scope).stack.resolve(arn))}]"


def acknowledge_in_template(
    resource: cdk.CfnResource, *, checkov: Mapping[str, str], cfn_lint: tuple[str, ...] = ()
) -> None:
    """Answer checkov and cfn-lint, which read the template, in the metadata of one resource.

    Args:
        resource: what the finding is about.
        checkov: the reason for each check.
        cfn_lint: rules; there is no place for a reason, so it stands where this is called.
    """
    skipped = [{"id": check, "comment": reason} for check, reason in checkov.items()]
    if skipped:
        resource.add_metadata("checkov", {"skip": skipped})
    if cfn_lint:
        resource.add_metadata("cfn-lint", {"config": {"ignore_checks": list(cfn_lint)}})


def _flat(value: Any) -> str:
    """A template value as cdk-nag writes it: ``<LogicalId.Arn>/*``."""
    if isinstance(value, str):
        return value
    if "Ref" in value:
        return f"<{value['Ref']}>"
    if "Fn::GetAtt" in value:
        return f"<{'.'.join(value['Fn::GetAtt'])}>"
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator.join(_flat(part) for part in parts))
    return str(value)
