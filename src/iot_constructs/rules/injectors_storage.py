"""What plain buckets and tables get where their author said nothing."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs.environment import data_removal_policy
from iot_constructs.rules.injectors_policies import TlsPolicies

# Properties arrive under CDK's own names and enum values, not under those of Python.
_WEBSITE = {"websiteIndexDocument", "websiteRedirect", "websiteRoutingRules"}
_PUBLIC_ACLS = {"PublicRead", "PublicReadWrite", "AuthenticatedRead"}


def bucket_defaults(
    tls: TlsPolicies, said: dict[str, Any], scope: Construct, id: str
) -> dict[str, Any]:
    """Correction 4, versioning and encryption."""
    added: dict[str, Any] = {}
    if not _meant_for_the_public(said):
        added["blockPublicAccess"] = s3.BlockPublicAccess.BLOCK_ALL
        if "enforceSSL" not in said:
            added |= tls.inject(scope, id)
    if said.get("enforceSSL", added.get("enforceSSL")):
        added["minimumTLSVersion"] = defaults.BUCKET_MINIMUM_TLS_VERSION
    if "encryptionKey" not in said:
        # Not under a key: S3 delivers access logs to no such bucket (FACTS 7), and which bucket will be given to
        # another as its log target is not known here.
        added["encryption"] = s3.BucketEncryption.S3_MANAGED
    if not _deletes_objects(said):
        added["versioned"] = defaults.BUCKET_VERSIONED
    return added


def _meant_for_the_public(said: dict[str, Any]) -> bool:
    """Whether its author opens it: website endpoints have no TLS, and readers may have come over plain HTTP so far."""
    return bool(
        _WEBSITE & said.keys()
        or said.get("publicReadAccess")
        or said.get("accessControl") in _PUBLIC_ACLS
    )


def _deletes_objects(said: dict[str, Any]) -> bool:
    """Whether a lifecycle rule says when objects are gone: with versions they would stay, hidden and billed."""
    return any(
        {"expiration", "expirationDate"} & rule.keys() for rule in said.get("lifecycleRules", ())
    )


def table_defaults(said: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Corrections 2 and 8 for the older kind of table, whose default is 5 provisioned units."""
    added = _recovery(said) | _deletion_protection(said, scope, id)
    if not {"readCapacity", "writeCapacity"} & said.keys():
        added["billingMode"] = dynamodb.BillingMode.PAY_PER_REQUEST
    return added


def table_v2_defaults(said: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Correction 2, also for the replicas; TableV2 is on-demand by itself."""
    added = _deletion_protection(said, scope, id)
    # A replica that speaks for itself in the deprecated way would be overruled by the table's specification.
    if not any("pointInTimeRecovery" in replica for replica in said.get("replicas", ())):
        added |= _recovery(said)
    return added


def _recovery(said: dict[str, Any]) -> dict[str, Any]:
    # Not a word beside the deprecated property either: CDK refuses both.
    if "pointInTimeRecovery" in said:
        return {}
    return {
        "pointInTimeRecoverySpecification": {
            "pointInTimeRecoveryEnabled": True,
            "recoveryPeriodInDays": defaults.PITR_RECOVERY_PERIOD_DAYS,
        }
    }


def _deletion_protection(said: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    # An ephemeral stack is to go without leaving anything; that it does not say so here is the author's to mend.
    if (
        "removalPolicy" not in said
        and data_removal_policy(scope, None) == cdk.RemovalPolicy.DESTROY
    ):
        return {}
    return {"deletionProtection": cdk.Lazy.uncached_any(_WhileRetained(scope, id))}


@jsii.implements(cdk.IAnyProducer)
class _WhileRetained:
    """True where the table is retained in the end.

    ``apply_removal_policy(DESTROY)`` and ``RemovalPolicies.of(stack).destroy()`` come after the table is made; a
    protected table would then fail the deletion of its stack.
    """

    def __init__(self, scope: Construct, id: str) -> None:
        self._scope = scope
        self._id = id

    def produce(self, context: cdk.IResolveContext) -> bool | None:
        table = self._scope.node.try_find_child(self._id)
        resource = table.node.default_child if table is not None else None
        if not isinstance(resource, cdk.CfnResource):
            return None
        retained = (
            cdk.CfnDeletionPolicy.RETAIN,
            cdk.CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE,
        )
        return True if resource.cfn_options.deletion_policy in retained else None
