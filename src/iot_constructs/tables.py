"""DynamoDB tables: every reading, and the latest state of each device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._kms import get_or_create_key
from iot_constructs._naming import Named
from iot_constructs._stack import StackContext
from iot_constructs._validation import is_token, validate_cannot_disable, validated
from iot_constructs.environment import (
    EnvironmentSuffix,
    NamePrefix,
    data_removal_policy,
    in_ephemeral_stack,
    names_for,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from iot_constructs._props import TableProps


class _DeviceTable(Named, dynamodb.TableV2):
    """What the two tables share. Its constructor is not validated: those of the subclasses are."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        default_name: str,
        replica_key_arns: Mapping[str, str] | None,
        environment_suffix: str | EnvironmentSuffix | None,
        name_prefix: str | NamePrefix | None,
        props: dict[str, Any],
    ) -> None:
        _validate_recovery(props)
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        settings = _settings(scope, id, props, replica_key_arns)
        settings["table_name"] = self._names.physical_name(
            naming.TABLE, props.get("table_name"), default_name
        )
        key: kms.IKey | None = settings.pop("encryption_key", None)
        self._encryption_key: kms.IKey | None = (
            key if key is not None else settings["encryption"].table_key
        )
        without_region = self._encryption_key is not None and is_token(
            StackContext.of(scope).region
        )
        if without_region:
            # TableV2 cannot render a customer managed key in a stack without a region, as it cannot tell the keys of
            # the replicas apart. Without a region there is one replica: its key is set below.
            settings["encryption"] = dynamodb.TableEncryptionV2.aws_managed_key()
        elif key is not None:
            settings["encryption"] = dynamodb.TableEncryptionV2.customer_managed_key(
                key, dict(replica_key_arns or {})
            )
        super().__init__(scope, id, **settings)
        if without_region and self._encryption_key is not None:
            resource = self.node.default_child
            assert isinstance(resource, cdk.CfnResource)
            resource.add_property_override(
                "Replicas.0.SSESpecification.KMSMasterKeyId", self._encryption_key.key_arn
            )

    @property
    def encryption_key(self) -> kms.IKey | None:
        """The customer managed key of the table, which grants include; overrides the L2's for the case above."""
        return self._encryption_key


class TimeSeriesTable(_DeviceTable):
    """A DynamoDB table of every reading: ``deviceId`` (String) and ``timestamp`` (Number, epoch milliseconds).

    It is a :class:`aws_cdk.aws_dynamodb.TableV2` and takes every property of it. Defaults:

    * On-demand; encrypted with the customer managed key of the stack; point-in-time recovery of 35 days, which cannot
      be turned off.
    * Readings expire by the attribute ``ttl`` (Number, epoch seconds), which the writer sets from ``retention``.
      DynamoDB deletes an expired item up to days late, so readers filter
      (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html).
    * Contributor Insights for throttled keys, except in an ephemeral stack: CloudWatch charges for its rules, $0.50 a
      month each (https://aws.amazon.com/cloudwatch/pricing/). Deletion protection unless the removal policy is DESTROY.
    * Removal policy DESTROY in an ephemeral stack. Elsewhere RETAIN, because a rollback cannot delete a protected
      table; without deletion protection, RETAIN_ON_UPDATE_OR_DELETE.

    Two readings with one key overwrite each other. For readings of the same millisecond, add a fraction to the number,
    as TelemetryProcessor does; ``BETWEEN`` still works.

    Args:
        retention: how long a reading is kept, 1 day to 100 years; by default 90 days.
        replica_key_arns: the ARN of a customer managed key for the region of each replica,
            ``{"eu-central-1": "arn:aws:kms:..."}``. The region of the stack has the table's own key.
        encryption_key: the customer managed key; by default that of the stack. ``encryption`` takes any other kind.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.
        **props: of ``dynamodb.TableV2``. ``table_name`` is the base name: the table is called ``name-suffix``.

    Raises:
        ValueError: recovery is turned off, a replica has no key, a value is out of range, or the name is taken or not
            valid.
        TypeError: a value has the wrong type.

    Example::

        import aws_cdk as cdk
        from iot_constructs import TimeSeriesTable

        readings = TimeSeriesTable(stack, "Readings", retention=cdk.Duration.days(90))
    """

    @validated(dynamodb.TableV2)
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        retention: cdk.Duration | None = None,
        encryption_key: kms.IKey | kms.Key | None = None,
        replica_key_arns: dict[str, str] | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
        **props: Unpack[TableProps],
    ) -> None:
        self.retention: cdk.Duration = (
            retention
            if retention is not None
            else cdk.Duration.days(defaults.TIME_SERIES_RETENTION_DAYS)
        )
        """How long a reading is kept: the writer adds it to the reading's time to get ``ttl``."""
        super().__init__(
            scope,
            id,
            default_name=defaults.TIME_SERIES_TABLE_NAME,
            replica_key_arns=replica_key_arns,
            environment_suffix=environment_suffix,
            name_prefix=name_prefix,
            props={
                "sort_key": dynamodb.Attribute(
                    name=defaults.SORT_KEY, type=dynamodb.AttributeType.NUMBER
                ),
                "time_to_live_attribute": defaults.TTL_ATTRIBUTE,
                "encryption_key": encryption_key,
                **props,
            },
        )


class DeviceStateTable(_DeviceTable):
    """A DynamoDB table with one item per device, its latest reading: ``deviceId`` (String).

    The writer puts on the condition that ``timestamp`` is newer, since records arrive more than once and out of order.

    It is a :class:`aws_cdk.aws_dynamodb.TableV2` and takes every property of it. Defaults: on-demand; encrypted with
    the customer managed key of the stack; point-in-time recovery of 35 days, which cannot be turned off; Contributor
    Insights, removal policy and deletion protection as in :class:`TimeSeriesTable`. It has no TTL: a device that
    stopped sending still has a latest state.

    Args:
        replica_key_arns: the ARN of a customer managed key for the region of each replica,
            ``{"eu-central-1": "arn:aws:kms:..."}``. The region of the stack has the table's own key.
        encryption_key: the customer managed key; by default that of the stack. ``encryption`` takes any other kind.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.
        **props: of ``dynamodb.TableV2``. ``table_name`` is the base name: the table is called ``name-suffix``.

    Raises:
        ValueError: recovery is turned off, a replica has no key, a value is out of range, or the name is taken or not
            valid.
        TypeError: a value has the wrong type.

    Example::

        from iot_constructs import DeviceStateTable

        state = DeviceStateTable(stack, "State")
    """

    @validated(dynamodb.TableV2)
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        encryption_key: kms.IKey | kms.Key | None = None,
        replica_key_arns: dict[str, str] | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
        **props: Unpack[TableProps],
    ) -> None:
        super().__init__(
            scope,
            id,
            default_name=defaults.DEVICE_STATE_TABLE_NAME,
            replica_key_arns=replica_key_arns,
            environment_suffix=environment_suffix,
            name_prefix=name_prefix,
            props={"encryption_key": encryption_key, **props},
        )


def _settings(
    scope: Construct,
    id: str,
    props: dict[str, Any],
    replica_key_arns: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The properties of the L2: your values, and the defaults of this library."""
    policy = data_removal_policy(scope, id, props.get("removal_policy"))
    settings: dict[str, Any] = {
        "partition_key": dynamodb.Attribute(
            name=defaults.PARTITION_KEY, type=dynamodb.AttributeType.STRING
        ),
        "billing": dynamodb.Billing.on_demand(),
        "point_in_time_recovery_specification": dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True,
            recovery_period_in_days=defaults.PITR_RECOVERY_PERIOD_DAYS,
        ),
        "deletion_protection": policy != cdk.RemovalPolicy.DESTROY,
        **props,
    }
    kept = policy != cdk.RemovalPolicy.DESTROY
    if props.get("removal_policy") is None and kept and settings["deletion_protection"]:
        # A rollback cannot delete a protected table: with RETAIN_ON_UPDATE_OR_DELETE it would end in ROLLBACK_FAILED.
        # The key is retained as well; a table is archived when its key is gone for a week
        # (amazondynamodb/latest/APIReference/API_SSEDescription.html).
        policy = cdk.RemovalPolicy.RETAIN
    settings["removal_policy"] = policy
    settings.pop("point_in_time_recovery", None)  # True is what the specification has
    # The L2 takes one of the two.
    if "contributor_insights" not in props and not in_ephemeral_stack(scope):
        settings.setdefault(
            "contributor_insights_specification",
            dynamodb.ContributorInsightsSpecification(
                enabled=True, mode=dynamodb.ContributorInsightsMode.THROTTLED_KEYS
            ),
        )
    key = settings.pop("encryption_key")
    if "encryption" in props and (key is not None or replica_key_arns is not None):
        raise ValueError(
            "encryption excludes encryption_key and replica_key_arns; pass encryption="
            "TableEncryptionV2.customer_managed_key(key, replica_key_arns), or remove encryption"
        )
    if "encryption" not in props:
        _validate_replica_keys(scope, props, replica_key_arns)
        settings["encryption_key"] = get_or_create_key(scope, key, policy)
    return settings


def _validate_recovery(props: dict[str, Any]) -> None:
    reason = "a table of telemetry can always be restored"
    validate_cannot_disable("point_in_time_recovery", props.get("point_in_time_recovery"), reason)
    specification = props.get("point_in_time_recovery_specification")
    enabled = (
        specification.get("point_in_time_recovery_enabled")
        if isinstance(specification, dict)
        else getattr(specification, "point_in_time_recovery_enabled", None)
    )
    validate_cannot_disable(
        "point_in_time_recovery_specification.point_in_time_recovery_enabled", enabled, reason
    )


def _validate_replica_keys(
    scope: Construct, props: dict[str, Any], replica_key_arns: Mapping[str, str] | None
) -> None:
    """A customer managed key is of one region, so each replica needs its own."""
    own_region = StackContext.of(scope).region
    if own_region in (replica_key_arns or {}):
        raise ValueError(
            f"replica_key_arns: {own_region!r} is the region of the stack, whose key is encryption_key; remove it from "
            "replica_key_arns"
        )
    for replica in props.get("replicas", ()):
        region = replica.get("region") if isinstance(replica, dict) else replica.region
        if region is not None and region not in (replica_key_arns or {}):
            raise ValueError(
                f"replicas: the replica in {region!r} has no customer managed key; pass replica_key_arns="
                f"{{{region!r}: 'arn:aws:kms:{region}:...'}}, or encryption=TableEncryptionV2.aws_managed_key() "
                "(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html)"
            )
