"""Injectors of plain buckets and tables."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from iot_constructs import _defaults as defaults
from tests.rules.injected import (
    ABSENT,
    Cases,
    Difference,
    differences_of_deprecated,
    policy_of,
    without_policy,
)
from tests.synth_support import REGION

_ID = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
_NOT_PUBLIC = {
    f"Bucket/PublicAccessBlockConfiguration/{door}": True
    for door in (
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    )
}
_VERSIONED = {"Bucket/VersioningConfiguration/Status": "Enabled"}
_SSE_S3 = {
    "Bucket/BucketEncryption/ServerSideEncryptionConfiguration": [
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    ]
}
_RECOVERY = {
    "PointInTimeRecoveryEnabled": True,
    "RecoveryPeriodInDays": defaults.PITR_RECOVERY_PERIOD_DAYS,
}
_TABLE_RECOVERY = {
    f"Table/PointInTimeRecoverySpecification/{name}": value for name, value in _RECOVERY.items()
}
_TABLE_PROTECTED = {"Table/DeletionProtectionEnabled": True}
_TABLE_ON_DEMAND = {
    "Table/BillingMode": "PAY_PER_REQUEST",
    "Table/ProvisionedThroughput/ReadCapacityUnits": ABSENT,
    "Table/ProvisionedThroughput/WriteCapacityUnits": ABSENT,
}

case = Cases()
deprecated_case = Cases()


@pytest.fixture(scope="module")
def added() -> dict[str, Difference]:
    return {**case.differences(), **differences_of_deprecated(__name__, "deprecated_case")}


# --- buckets ------------------------------------------------------------------------------------------------------


@case
def bucket(stack: cdk.Stack) -> object:
    return s3.Bucket(stack, "Bucket")


def test_a_bucket_is_private_encrypted_and_versioned(added: dict[str, Difference]) -> None:
    found = without_policy(added[bucket], "Bucket")
    # The bucket had no property at all, nor a policy.
    assert found == _NOT_PUBLIC | _SSE_S3 | _VERSIONED


def test_a_bucket_refuses_plain_http_and_old_tls(added: dict[str, Difference]) -> None:
    http, old = policy_of(added[bucket], "Bucket")
    assert http["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert old["Condition"] == {
        "NumericLessThan": {"s3:TlsVersion": defaults.BUCKET_MINIMUM_TLS_VERSION}
    }
    for statement in (http, old):
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert len(statement["Resource"]) == 2  # bucket and objects


@deprecated_case
def bucket_says_no(stack: cdk.Stack) -> object:
    return s3.Bucket(
        stack,
        "Bucket",
        block_public_access=s3.BlockPublicAccess(block_public_acls=False),
        enforce_ssl=False,
        encryption=s3.BucketEncryption.UNENCRYPTED,
        versioned=False,
    )


@case
def bucket_says_everything(stack: cdk.Stack) -> object:
    """Dates, durations, references, enum values and tokens all the way through the injector and back."""
    number = cdk.CfnParameter(stack, "Number", type="Number")
    text = cdk.CfnParameter(stack, "Text")
    return s3.Bucket(
        stack,
        "Bucket",
        bucket_name=cdk.Fn.join("-", ["data", text.value_as_string]),
        block_public_access=s3.BlockPublicAccess.BLOCK_ACLS_ONLY,
        enforce_ssl=True,
        minimum_tls_version=1.3,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=kms.Key(stack, "Key"),
        bucket_key_enabled=False,
        versioned=True,
        object_ownership=s3.ObjectOwnership.OBJECT_WRITER,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="Rule",
                enabled=False,
                expiration_date=datetime(2030, 1, 1, tzinfo=timezone.utc),
                noncurrent_version_expiration=cdk.Duration.days(7),
                noncurrent_versions_to_retain=number.value_as_number,
                object_size_greater_than=0,
                tag_filters={"kind": text.value_as_string},
            )
        ],
        cors=[s3.CorsRule(allowed_methods=[s3.HttpMethods.GET], allowed_origins=["*"])],
        removal_policy=cdk.RemovalPolicy.DESTROY,
        auto_delete_objects=True,
        notifications_skip_destination_validation=False,
    )


@case
def bucket_under_a_key(stack: cdk.Stack) -> object:
    return s3.Bucket(
        stack,
        "Bucket",
        encryption_key=kms.Key(stack, "Key"),
        enforce_ssl=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        versioned=True,
    )


def test_key_and_tls_settings_of_a_bucket_are_completed_not_changed(
    added: dict[str, Difference],
) -> None:
    # The key implies KMS in CDK; TLS is on, so only its version is missing.
    found = added[bucket_under_a_key]
    assert without_policy(found, "Bucket") == {}
    assert [it["Condition"] for it in policy_of(found, "Bucket")] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": defaults.BUCKET_MINIMUM_TLS_VERSION}},
    ]


@case
def bucket_of_a_website(stack: cdk.Stack) -> object:
    return s3.Bucket(stack, "Bucket", website_index_document="index.html")


@case
def bucket_that_sends_elsewhere(stack: cdk.Stack) -> object:
    return s3.Bucket(
        stack, "Bucket", website_redirect=s3.RedirectTarget(host_name="www.example.org")
    )


@case
def bucket_with_routes(stack: cdk.Stack) -> object:
    route = s3.RoutingRule(host_name="www.example.org")
    return s3.Bucket(stack, "Bucket", website_routing_rules=[route])


@case
def bucket_for_public_reading(stack: cdk.Stack) -> object:
    return s3.Bucket(
        stack,
        "Bucket",
        public_read_access=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ACLS_ONLY,
    )


@case
def bucket_with_a_public_acl(stack: cdk.Stack) -> object:
    return s3.Bucket(stack, "Bucket", access_control=s3.BucketAccessControl.PUBLIC_READ)


@case
def bucket_with_an_open_acl(stack: cdk.Stack) -> object:
    return s3.Bucket(stack, "Bucket", access_control=s3.BucketAccessControl.PUBLIC_READ_WRITE)


@case
def bucket_for_every_account(stack: cdk.Stack) -> object:
    return s3.Bucket(stack, "Bucket", access_control=s3.BucketAccessControl.AUTHENTICATED_READ)


@pytest.mark.parametrize(
    "name",
    [
        bucket_of_a_website,
        bucket_that_sends_elsewhere,
        bucket_with_routes,
        bucket_for_public_reading,
        bucket_with_a_public_acl,
        bucket_with_an_open_acl,
        bucket_for_every_account,
    ],
)
def test_a_public_bucket_stays_reachable(added: dict[str, Difference], name: str) -> None:
    assert added[name] == _SSE_S3 | _VERSIONED


@case
def bucket_not_public(stack: cdk.Stack) -> object:
    return s3.Bucket(stack, "Bucket", public_read_access=False)


def test_a_bucket_that_is_explicitly_not_public_is_private(added: dict[str, Difference]) -> None:
    assert added[bucket_not_public] == added[bucket]


@case
def bucket_that_expires(stack: cdk.Stack) -> object:
    rule = s3.LifecycleRule(expiration=cdk.Duration.days(30))
    return s3.Bucket(stack, "Bucket", lifecycle_rules=[rule])


@case
def bucket_that_expires_on_a_day(stack: cdk.Stack) -> object:
    rule = s3.LifecycleRule(expiration_date=datetime(2030, 1, 1, tzinfo=timezone.utc))
    return s3.Bucket(stack, "Bucket", lifecycle_rules=[rule])


@case
def bucket_that_expires_by_a_later_rule(stack: cdk.Stack) -> object:
    made = s3.Bucket(stack, "Bucket")
    made.add_lifecycle_rule(expiration=cdk.Duration.days(30))
    return made


@case
def bucket_that_expires_but_is_versioned(stack: cdk.Stack) -> object:
    rule = s3.LifecycleRule(expiration=cdk.Duration.days(30))
    return s3.Bucket(
        stack,
        "Bucket",
        versioned=True,
        lifecycle_rules=[rule],
        enforce_ssl=False,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
    )


@case
def bucket_that_expires_versions(stack: cdk.Stack) -> object:
    rule = s3.LifecycleRule(noncurrent_version_expiration=cdk.Duration.days(30))
    return s3.Bucket(stack, "Bucket", lifecycle_rules=[rule])


def test_objects_that_are_to_go_are_not_kept_as_versions(added: dict[str, Difference]) -> None:
    for name in (
        bucket_that_expires,
        bucket_that_expires_on_a_day,
        bucket_that_expires_by_a_later_rule,
    ):
        assert without_policy(added[name], "Bucket") == _NOT_PUBLIC | _SSE_S3
    found = without_policy(added[bucket_that_expires_versions], "Bucket")
    assert found == _NOT_PUBLIC | _SSE_S3 | _VERSIONED


@case
def bucket_for_logs(stack: cdk.Stack) -> object:
    return s3.Bucket(stack, "Data", server_access_logs_bucket=s3.Bucket(stack, "Bucket"))


def test_a_log_bucket_can_take_logs(added: dict[str, Difference]) -> None:
    found = added[bucket_for_logs]
    assert _SSE_S3.items() <= found.items()  # S3 delivers no access logs to a bucket with SSE-KMS
    assert not [path for path in found if "LoggingConfiguration" in path or "Ownership" in path]


# --- tables -------------------------------------------------------------------------------------------------------


@case
def table(stack: cdk.Stack) -> object:
    return dynamodb.Table(stack, "Table", partition_key=_ID)


def test_a_table_can_be_restored_and_is_protected_and_on_demand(
    added: dict[str, Difference],
) -> None:
    assert added[table] == _TABLE_RECOVERY | _TABLE_PROTECTED | _TABLE_ON_DEMAND


@case
def table_says_no(stack: cdk.Stack) -> object:
    return dynamodb.Table(
        stack,
        "Table",
        partition_key=_ID,
        billing_mode=dynamodb.BillingMode.PROVISIONED,
        deletion_protection=False,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=False
        ),
    )


@case
def table_says_recovery_only(stack: cdk.Stack) -> object:
    return dynamodb.Table(
        stack,
        "Table",
        partition_key=_ID,
        read_capacity=cdk.CfnParameter(stack, "Units", type="Number").value_as_number,
        deletion_protection=False,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True, recovery_period_in_days=3
        ),
    )


@deprecated_case
def table_says_it_the_old_way(stack: cdk.Stack) -> object:
    return dynamodb.Table(
        stack, "Table", partition_key=_ID, point_in_time_recovery=False, write_capacity=1
    )


def test_the_deprecated_recovery_property_counts(added: dict[str, Difference]) -> None:
    assert added[table_says_it_the_old_way] == _TABLE_PROTECTED


@case
def table_destroyed(stack: cdk.Stack) -> object:
    return dynamodb.Table(
        stack, "Table", partition_key=_ID, removal_policy=cdk.RemovalPolicy.DESTROY
    )


@case
def table_destroyed_later(stack: cdk.Stack) -> object:
    made = dynamodb.Table(stack, "Table", partition_key=_ID)
    made.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
    return made


@case
def table_destroyed_with_all_others(stack: cdk.Stack) -> object:
    made = dynamodb.Table(stack, "Table", partition_key=_ID)
    cdk.RemovalPolicies.of(stack).destroy()
    return made


@case
def ephemeral_table(stack: cdk.Stack) -> object:
    return dynamodb.Table(stack, "Table", partition_key=_ID)


@pytest.mark.parametrize(
    "name",
    [table_destroyed, table_destroyed_later, table_destroyed_with_all_others, ephemeral_table],
)
def test_a_table_that_goes_with_its_stack_is_not_protected(
    added: dict[str, Difference], name: str
) -> None:
    assert added[name] == _TABLE_RECOVERY | _TABLE_ON_DEMAND


@case
def table_kept_in_the_end(stack: cdk.Stack) -> object:
    return dynamodb.Table(
        stack,
        "Table",
        partition_key=_ID,
        removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    )


@case
def ephemeral_table_says_retain(stack: cdk.Stack) -> object:
    return dynamodb.Table(
        stack, "Table", partition_key=_ID, removal_policy=cdk.RemovalPolicy.RETAIN
    )


@pytest.mark.parametrize("name", [table_kept_in_the_end, ephemeral_table_says_retain])
def test_a_retained_table_is_protected(added: dict[str, Difference], name: str) -> None:
    assert added[name] == _TABLE_RECOVERY | _TABLE_PROTECTED | _TABLE_ON_DEMAND


# --- capacity of tables -------------------------------------------------------------------------------------------


def indexed_table(stack: cdk.Stack, **capacity: Any) -> dynamodb.Table:
    made = dynamodb.Table(stack, "Table", partition_key=_ID)
    for name in ("first", "second"):
        made.add_global_secondary_index(index_name=name, partition_key=_ID, **capacity)
    return made


@case
def table_with_indexes(stack: cdk.Stack) -> object:
    return indexed_table(stack)


def test_indexes_are_on_demand_with_their_table(added: dict[str, Difference]) -> None:
    found = dict(added[table_with_indexes])
    indexes = found.pop("Table/GlobalSecondaryIndexes")
    assert [it["IndexName"] for it in indexes] == ["first", "second"]
    assert not [it for it in indexes if "ProvisionedThroughput" in it]
    assert found == _TABLE_RECOVERY | _TABLE_PROTECTED | _TABLE_ON_DEMAND


@case
def table_with_index_capacity(stack: cdk.Stack) -> object:
    return indexed_table(stack, read_capacity=7, write_capacity=7)


@case
def table_with_scaling(stack: cdk.Stack) -> object:
    made = dynamodb.Table(stack, "Table", partition_key=_ID)
    scaling = made.auto_scale_write_capacity(min_capacity=1, max_capacity=3)
    scaling.scale_on_utilization(target_utilization_percent=70)
    return made


@case
def table_with_index_scaling(stack: cdk.Stack) -> object:
    made = indexed_table(stack)
    made.auto_scale_global_secondary_index_read_capacity("first", min_capacity=1, max_capacity=3)
    return made


def scalable(stack: cdk.Stack, table: str) -> autoscaling.CfnScalableTarget:
    return autoscaling.CfnScalableTarget(
        stack,
        "Target",
        service_namespace="dynamodb",
        resource_id=f"table/{table}",
        scalable_dimension="dynamodb:table:ReadCapacityUnits",
        min_capacity=1,
        max_capacity=3,
    )


@case
def table_with_own_scaling(stack: cdk.Stack) -> object:
    return scalable(stack, dynamodb.Table(stack, "Table", partition_key=_ID).table_name)


@case
def table_with_own_scaling_by_ref(stack: cdk.Stack) -> object:
    resource = dynamodb.Table(stack, "Table", partition_key=_ID).node.default_child
    assert isinstance(resource, dynamodb.CfnTable)
    return scalable(stack, resource.ref)


@case
def table_without_scaling(stack: cdk.Stack) -> object:
    scalable(stack, dynamodb.Table(stack, "Other", partition_key=_ID, read_capacity=1).table_name)
    return dynamodb.Table(stack, "Table", partition_key=_ID)


def test_the_scaling_of_another_table_does_not_count(added: dict[str, Difference]) -> None:
    assert _TABLE_ON_DEMAND.items() <= added[table_without_scaling].items()


@case
def table_with_an_escape_hatch(stack: cdk.Stack) -> object:
    made = dynamodb.Table(stack, "Table", partition_key=_ID)
    resource = made.node.default_child
    assert isinstance(resource, dynamodb.CfnTable)
    resource.provisioned_throughput = dynamodb.CfnTable.ProvisionedThroughputProperty(
        read_capacity_units=1, write_capacity_units=1
    )
    return made


@case
def table_with_a_mode_by_escape_hatch(stack: cdk.Stack) -> object:
    made = dynamodb.Table(stack, "Table", partition_key=_ID)
    resource = made.node.default_child
    assert isinstance(resource, dynamodb.CfnTable)
    resource.billing_mode = "PROVISIONED"
    return made


@pytest.mark.parametrize(
    "name",
    [
        table_with_a_mode_by_escape_hatch,
        table_with_index_capacity,
        table_with_scaling,
        table_with_index_scaling,
        table_with_own_scaling,
        table_with_own_scaling_by_ref,
        table_with_an_escape_hatch,
    ],
)
def test_a_table_with_capacity_of_the_app_keeps_it(added: dict[str, Difference], name: str) -> None:
    """CDK and DynamoDB reject scaling, and capacity of an index, of an on-demand table."""
    assert added[name] == _TABLE_RECOVERY | _TABLE_PROTECTED


@case
def table_v2(stack: cdk.Stack) -> object:
    return dynamodb.TableV2(stack, "Table", partition_key=_ID)


def test_a_table_v2_can_be_restored_and_is_protected(added: dict[str, Difference]) -> None:
    assert added[table_v2] == {
        "Table/Replicas": [
            {
                "Region": {"Ref": "AWS::Region"},
                "DeletionProtectionEnabled": True,
                "PointInTimeRecoverySpecification": _RECOVERY,
            }
        ]
    }


@case
def table_v2_says_no(stack: cdk.Stack) -> object:
    return dynamodb.TableV2(
        stack,
        "Table",
        partition_key=_ID,
        billing=dynamodb.Billing.provisioned(
            read_capacity=dynamodb.Capacity.fixed(1),
            write_capacity=dynamodb.Capacity.autoscaled(max_capacity=2),
        ),
        deletion_protection=False,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=False
        ),
    )


@case
def ephemeral_table_v2(stack: cdk.Stack) -> object:
    return dynamodb.TableV2(stack, "Table", partition_key=_ID)


def test_an_ephemeral_table_v2_is_not_protected(added: dict[str, Difference]) -> None:
    (replica,) = added[ephemeral_table_v2]["Table/Replicas"]
    assert replica["PointInTimeRecoverySpecification"] == _RECOVERY
    assert "DeletionProtectionEnabled" not in replica


@case
def table_v2_with_replicas(stack: cdk.Stack) -> object:
    off = dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=False)
    return dynamodb.TableV2(
        stack,
        "Table",
        partition_key=_ID,
        replicas=[
            dynamodb.ReplicaTableProps(region="eu-west-1"),
            dynamodb.ReplicaTableProps(
                region="eu-west-2",
                deletion_protection=False,
                point_in_time_recovery_specification=off,
            ),
        ],
    )


@deprecated_case
def table_v2_with_replicas_of_old(stack: cdk.Stack) -> object:
    old = dynamodb.ReplicaTableProps(region="eu-west-1", point_in_time_recovery=False)
    return dynamodb.TableV2(stack, "Table", partition_key=_ID, replicas=[old])


def test_replicas_get_the_same_unless_they_say_otherwise(added: dict[str, Difference]) -> None:
    replicas = {it["Region"]: it for it in added[table_v2_with_replicas]["Table/Replicas"]}
    for region in (REGION, "eu-west-1"):
        assert replicas[region]["DeletionProtectionEnabled"] is True
        assert replicas[region]["PointInTimeRecoverySpecification"] == _RECOVERY
    said = replicas["eu-west-2"]
    assert said["DeletionProtectionEnabled"] is False
    assert said["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": False}


def test_the_deprecated_property_of_a_replica_is_not_overridden(
    added: dict[str, Difference],
) -> None:
    replicas = {it["Region"]: it for it in added[table_v2_with_replicas_of_old]["Table/Replicas"]}
    said = replicas["eu-west-1"]["PointInTimeRecoverySpecification"]
    assert said == {"PointInTimeRecoveryEnabled": False}
    assert "PointInTimeRecoverySpecification" not in replicas[REGION]
    assert all(it["DeletionProtectionEnabled"] is True for it in replicas.values())


# --- properties of the caller take precedence ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        bucket_says_no,
        bucket_says_everything,
        bucket_that_expires_but_is_versioned,
        table_says_no,
        table_says_recovery_only,
        table_v2_says_no,
    ],
)
def test_properties_of_the_caller_take_precedence(added: dict[str, Difference], name: str) -> None:
    assert added[name] == {}
