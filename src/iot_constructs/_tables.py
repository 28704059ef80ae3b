"""What both tables have in common."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._encryption import key_for
from iot_constructs._place import Place
from iot_constructs._table_metrics import metric_read_throttles, metric_write_throttles
from iot_constructs._validate import check_not_switched_off, check_whole_number, is_token
from iot_constructs.environment import EnvironmentSuffix, data_removal_policy


class DeviceTable(Construct):
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
        super().__init__(scope, id)
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
        suffix = EnvironmentSuffix.of(self, environment_suffix)
        table_key = key_for(self, key, policy)
        self.table = dynamodb.TableV2(
            self,
            "Table",
            table_name=naming.physical_name(self, naming.TABLE, name, suffix),
            partition_key=dynamodb.Attribute(
                name=defaults.PARTITION_KEY, type=dynamodb.AttributeType.STRING
            ),
            sort_key=sort_key,
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.customer_managed_key(table_key),
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
        """The table."""
        if is_token(Place.of(self).region):
            _render_replica_without_region(self.table, table_key, protected, days)

    @property
    def table_name(self) -> str:
        """The physical name."""
        return self.table.table_name

    @property
    def table_arn(self) -> str:
        """The ARN."""
        return self.table.table_arn

    def grant(self, identity: iam.IGrantable, *actions: str) -> iam.Grant:
        """As ``TableV2.grant``: just these actions, the key not included."""
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


def _render_replica_without_region(
    table: dynamodb.TableV2, key: kms.IKey, protected: bool, recovery_period_in_days: int
) -> None:
    """Write the table's one replica ourselves, with the region left to CloudFormation.

    TableV2 refuses a customer managed key in a stack without a region ("cannot be rendered in a region agnostic
    stack"), since it could not tell the replicas' keys apart. With a single replica there is nothing to tell apart,
    and a stack without a region is what ``cdk init`` gives everybody.
    """
    resource = table.node.default_child
    if not isinstance(resource, dynamodb.CfnGlobalTable):
        raise TypeError("TableV2 of this aws-cdk-lib is not an AWS::DynamoDB::GlobalTable")
    resource.replicas = [
        cdk.Lazy.any(
            _Replica(
                table,
                {
                    "region": cdk.Aws.REGION,
                    "contributorInsightsSpecification": {"enabled": True, "mode": "THROTTLED_KEYS"},
                    "deletionProtectionEnabled": protected,
                    "pointInTimeRecoverySpecification": {
                        "pointInTimeRecoveryEnabled": True,
                        "recoveryPeriodInDays": recovery_period_in_days,
                    },
                    "sseSpecification": {"kmsMasterKeyId": key.key_arn},
                },
            )
        )
    ]


@jsii.implements(cdk.IStableAnyProducer)
class _Replica:
    """The replica as it is at synth, when tags and grants to other accounts are complete."""

    def __init__(self, table: dynamodb.TableV2, settings: dict[str, Any]) -> None:
        self._table = table
        self._settings = settings

    def produce(self) -> dict[str, Any]:
        tags = cdk.TagManager.of(self._table)
        policy = self._table.resource_policy
        return {
            **self._settings,
            "tags": tags.rendered_tags if tags is not None else None,
            "resourcePolicy": {"policyDocument": policy} if policy is not None else None,
        }
