"""Default properties of buckets and tables."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from iot_constructs import _defaults as defaults
from iot_constructs.environment import in_ephemeral_stack
from iot_constructs.rules.injectors.policies import inject_bucket_access
from iot_constructs.rules.injectors.review import (
    StageContents,
    resolved_properties,
    review_at_synth,
)

# Properties have the names and enum values of CDK, not those of Python.
_WEBSITE = {"websiteIndexDocument", "websiteRedirect", "websiteRoutingRules"}
_DEFAULT_CAPACITY = {"readCapacityUnits": 5, "writeCapacityUnits": 5}
_PUBLIC_ACLS = {"PublicRead", "PublicReadWrite", "AuthenticatedRead"}


def bucket_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Block Public Access, TLS, encryption and versioning."""
    added: dict[str, Any] = {}
    tls, access = "enforceSSL" not in props, "blockPublicAccess" not in props
    if not _is_public(props) and (tls or access):
        added |= inject_bucket_access(scope, id, tls=tls, block_public_access=access)
    if props.get("enforceSSL", added.get("enforceSSL")):
        added["minimumTLSVersion"] = defaults.BUCKET_MINIMUM_TLS_VERSION
    if "encryptionKey" not in props:
        # Not SSE-KMS: S3 does not deliver access logs to such a bucket, and any bucket can become a log target.
        added["encryption"] = s3.BucketEncryption.S3_MANAGED
    if "versioned" not in props:
        review_at_synth(scope, id, _review_versioning)
        added["versioned"] = defaults.BUCKET_VERSIONED
    return added


def _is_public(props: dict[str, Any]) -> bool:
    """Return whether it is public: website endpoints have no TLS, and clients can use plain HTTP."""
    return bool(
        _WEBSITE & props.keys()
        or props.get("publicReadAccess")
        or props.get("accessControl") in _PUBLIC_ACLS
    )


def _review_versioning(bucket: IConstruct, contents: StageContents) -> None:
    """Withdraw it if a lifecycle rule expires objects, because they would remain as noncurrent versions.

    At synth, because ``add_lifecycle_rule`` can add the rule later.
    """
    resource = bucket.node.default_child
    if not isinstance(resource, s3.CfnBucket):
        return
    properties = resolved_properties(resource, "lifecycleConfiguration")
    rules = properties.get("lifecycleConfiguration", {}).get("rules", ())
    if any({"expirationInDays", "expirationDate"} & rule.keys() for rule in rules):
        resource.versioning_configuration = None


def table_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Recovery, deletion protection and on-demand capacity; the default of ``Table`` is 5 provisioned units."""
    if not {"billingMode", "readCapacity", "writeCapacity"} & props.keys():
        review_at_synth(scope, id, _review_capacity)
    return _recovery(props) | _deletion_protection(props, scope, id)


def _review_capacity(table: IConstruct, contents: StageContents) -> None:
    """Set on-demand capacity, if the table and its indexes have the default capacity and no auto scaling.

    Not a property of the table: CDK rejects the scaling, and the capacity of an index, of an on-demand table.
    """
    resource = table.node.default_child
    if not isinstance(table, dynamodb.Table) or not isinstance(resource, dynamodb.CfnTable):
        return
    properties = resolved_properties(
        resource, "billingMode", "provisionedThroughput", "globalSecondaryIndexes"
    )
    indexes = properties.get("globalSecondaryIndexes", [])
    throughputs = [it.get("provisionedThroughput") for it in (properties, *indexes)]
    if "billingMode" in properties or any(it != _DEFAULT_CAPACITY for it in throughputs):
        return
    if contents.scales(lambda: (table.table_name, resource.ref)):
        return
    resource.billing_mode = dynamodb.BillingMode.PAY_PER_REQUEST.value
    resource.provisioned_throughput = None
    for number in range(len(indexes)):
        resource.add_property_deletion_override(
            f"GlobalSecondaryIndexes.{number}.ProvisionedThroughput"
        )


def table_v2_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Recovery and deletion protection, also for replicas; ``TableV2`` is on-demand by default."""
    added = _deletion_protection(props, scope, id)
    # The specification of the table would override the deprecated property of a replica.
    if not any("pointInTimeRecovery" in replica for replica in props.get("replicas", ())):
        added |= _recovery(props)
    return added


def _recovery(props: dict[str, Any]) -> dict[str, Any]:
    # CDK rejects the specification together with the deprecated property.
    if "pointInTimeRecovery" in props:
        return {}
    return {
        "pointInTimeRecoverySpecification": {
            "pointInTimeRecoveryEnabled": True,
            "recoveryPeriodInDays": defaults.PITR_RECOVERY_PERIOD_DAYS,
        }
    }


def _deletion_protection(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    # The tables of an ephemeral stack must be deleted with it.
    if "removalPolicy" not in props and in_ephemeral_stack(scope):
        return {}
    return {"deletionProtection": cdk.Lazy.uncached_any(_IfRetained(scope, id))}


@jsii.implements(cdk.IAnyProducer)
class _IfRetained:
    """True if the table is retained at synth.

    ``apply_removal_policy(DESTROY)`` and ``RemovalPolicies.of(stack).destroy()`` are called after the creation of the
    table; deletion protection would then fail the deletion of its stack.
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
