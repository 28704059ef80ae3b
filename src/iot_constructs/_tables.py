"""What both tables have in common."""

from __future__ import annotations

from functools import cache
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._encryption import key_for
from iot_constructs._grants import grant_key
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._table_metrics import metric_read_throttles, metric_write_throttles
from iot_constructs._validate import check_not_switched_off, check_whole_number, is_token
from iot_constructs.environment import EnvironmentSuffix, data_removal_policy


class DeviceTable(PipelineConstruct):
    """A TableV2 keyed by device: on-demand, under a customer managed key, restorable, protected where it is retained.

    Raises:
        ValueError: recovery was switched off, a number is out of range, data would be destroyed with a stack that
            is not ephemeral, or the name breaks DynamoDB's rules or is taken.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        environment_suffix: str | EnvironmentSuffix | None,
        sort_key: dynamodb.Attribute | None,
        ttl_attribute: str | None,
        key: kms.IKey | None,
        removal_policy: cdk.RemovalPolicy | None,
        deletion_protection: bool | None,
        point_in_time_recovery: bool | None,
        recovery_period_in_days: int | None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        check_not_switched_off(
            "point_in_time_recovery",
            point_in_time_recovery,
            "a table of telemetry can always be restored (correction 2)",
        )
        days = (
            recovery_period_in_days
            if recovery_period_in_days is not None
            else defaults.PITR_RECOVERY_PERIOD_DAYS
        )
        if is_token(days):
            raise ValueError(
                "recovery_period_in_days is a token, which CDK does not accept there; pass a literal number, 1 to 35"
            )
        check_whole_number("recovery_period_in_days", days, 1, 35, "FACTS 9")
        policy = data_removal_policy(self, removal_policy)
        protected = (
            deletion_protection
            if deletion_protection is not None
            else policy != cdk.RemovalPolicy.DESTROY
        )
        table_key = key_for(self, key, policy)
        table = _Table(
            self,
            "Table",
            table_name=naming.physical_name(self, naming.TABLE, name, self._suffix),
            partition_key=dynamodb.Attribute(
                name=defaults.PARTITION_KEY, type=dynamodb.AttributeType.STRING
            ),
            sort_key=sort_key,
            billing=_on_demand(),
            encryption=_under(table_key),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True, recovery_period_in_days=days
            ),
            time_to_live_attribute=ttl_attribute,
            deletion_protection=protected,
            contributor_insights_specification=dynamodb.ContributorInsightsSpecification(
                enabled=True, mode=dynamodb.ContributorInsightsMode.THROTTLED_KEYS
            ),
            removal_policy=policy,
        )
        asked.key_of.know(table, table_key)
        if is_token(self._place.region):
            table.render_replica_without_region(
                {
                    "region": self._place.region,
                    "contributorInsightsSpecification": {"enabled": True, "mode": "THROTTLED_KEYS"},
                    "deletionProtectionEnabled": protected,
                    "pointInTimeRecoverySpecification": {
                        "pointInTimeRecoveryEnabled": True,
                        "recoveryPeriodInDays": days,
                    },
                    "sseSpecification": {"kmsMasterKeyId": asked.key_arn(table_key)},
                }
            )
        self.table: dynamodb.TableV2 = table
        """The table."""

    @property
    def table_name(self) -> str:
        """The physical name."""
        return asked.table_name(self.table)

    @property
    def table_arn(self) -> str:
        """The ARN."""
        return self.table.table_arn

    def grant(self, identity: iam.IGrantable, *actions: str) -> iam.Grant:
        """As ``TableV2.grant``: just these actions, and to open the table's key, without which none of them works.

        DynamoDB opens the table's own key with this one, on behalf of whoever calls it.
        """
        grant_key(asked.key_of(self.table), identity, "kms:Decrypt")
        return self.table.grant(identity, *actions)

    def grant_read_data(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``TableV2.grant_read_data``, the key included."""
        return self.table.grant_read_data(identity)

    def grant_write_data(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``TableV2.grant_write_data``, the key included."""
        return self.table.grant_write_data(identity)

    def metric_write_throttles(self) -> cloudwatch.Metric:
        """Writes that DynamoDB throttled, as a sum."""
        return metric_write_throttles(self.table)

    def metric_read_throttles(self) -> cloudwatch.Metric:
        """Reads that DynamoDB throttled, as a sum."""
        return metric_read_throttles(self.table)


class _Table(dynamodb.TableV2):
    """A TableV2 that also works under a customer managed key in a stack without a region.

    TableV2 refuses that ("cannot be rendered in a region agnostic stack"), since it could not tell the replicas' keys
    apart. With a single replica there is nothing to tell apart, and a stack without a region is what ``cdk init``
    gives everybody. So its one replica is written here, with the region left to CloudFormation.
    """

    _replica: dict[str, Any] | None = None

    def render_replica_without_region(self, settings: dict[str, Any]) -> None:
        """Write the replica; its tags are those at synth."""
        tags = cdk.TagManager.of(self)
        self._replica = {**settings, "tags": tags.rendered_tags if tags is not None else None}
        self._set_replica()

    def add_to_resource_policy(
        self, statement: iam.PolicyStatement
    ) -> iam.AddToResourcePolicyResult:
        """As ``TableV2.add_to_resource_policy``, which grants to other accounts call."""
        result = super().add_to_resource_policy(statement)
        self._take_resource_policy()
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        """A resource policy may also be assigned as a whole."""
        super().__setattr__(name, value)
        if name == "resource_policy":
            self._take_resource_policy()

    def _take_resource_policy(self) -> None:
        if self._replica is None:
            return
        policy = self.resource_policy
        self._replica["resourcePolicy"] = {"policyDocument": policy} if policy is not None else None
        self._set_replica()

    def _set_replica(self) -> None:
        resource = self.node.default_child
        if not isinstance(resource, dynamodb.CfnGlobalTable):
            raise TypeError("TableV2 of this aws-cdk-lib is not an AWS::DynamoDB::GlobalTable")
        resource.replicas = [cdk.Token.as_any(self._replica)]


@cache
def _on_demand() -> dynamodb.Billing:
    return dynamodb.Billing.on_demand()


@asked.Question
def _under(key: kms.IKey) -> dynamodb.TableEncryptionV2:
    return dynamodb.TableEncryptionV2.customer_managed_key(key)
