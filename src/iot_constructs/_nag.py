"""Acknowledges rules of cdk-nag, checkov and cfn-lint that do not apply to a construct, next to the construct.

Rules whose result depends on your app (a VPC, a second Region) are not acknowledged: COMPLIANCE.md lists both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct

from iot_constructs._stack import StackContext


def acknowledge_rules(scope: IConstruct, reasons: Mapping[str, str]) -> None:
    """Acknowledge rules of cdk-nag for ``scope`` and everything below it.

    CDK keeps the record, so this needs no cdk-nag and leaves the template as it is. CDK's validation report lists each
    rule with its reason.

    Args:
        scope: the narrowest construct; before it has children, since CDK visits all of them for each rule.
        reasons: the reason for each rule id as cdk-nag reports it: ``AwsSolutions-SQS3``.
    """
    cdk.Validations.of(scope).acknowledge(
        *(
            cdk.Acknowledgment(id=f"{id.split('-')[0]}::{id}", reason=reason)
            for id, reason in reasons.items()
        )
    )


def wildcard_rule(scope: IConstruct, arn: str) -> str:
    """The id of cdk-nag's rule about one ARN with a wildcard, and about no other.

    cdk-nag names it after the ARN in the template. The ARN of a resource in another stack is not known before synth,
    so that one stays reported.
    """
    return f"AwsSolutions-IAM5[Resource::{_in_template(scope, arn)}]"


def managed_policy_rule(scope: IConstruct, arn: str) -> str:
    """The id of cdk-nag's rule about one AWS managed policy."""
    return f"AwsSolutions-IAM4[Policy::{_in_template(scope, arn)}]"


def acknowledge_in_template(
    resource: cdk.CfnResource, *, checkov: Mapping[str, str], cfn_lint: tuple[str, ...] = ()
) -> None:
    """Acknowledge rules of checkov and cfn-lint, which read the template, in the metadata of one resource.

    Args:
        resource: the resource that the rules report.
        checkov: the reason for each rule.
        cfn_lint: rules; cfn-lint keeps no reason, so it stands as a comment at the call.
    """
    skipped = [{"id": check, "comment": reason} for check, reason in checkov.items()]
    if skipped:
        resource.add_metadata("checkov", {"skip": skipped})
    if cfn_lint:
        resource.add_metadata("cfn-lint", {"config": {"ignore_checks": list(cfn_lint)}})


def _in_template(scope: IConstruct, arn: str) -> str:
    return _flat(StackContext.of(scope).stack.resolve(arn))


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
