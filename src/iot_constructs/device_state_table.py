"""DeviceStateTable: the latest reading of every device."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._tables import DeviceTable
from iot_constructs.environment import EnvironmentSuffix


class DeviceStateTable(DeviceTable):
    """A DynamoDB table with one item per device: its latest reading.

    Key: ``deviceId`` (String). The writer puts conditionally on a newer ``timestamp``, since records are delivered
    more than once and out of order; an unconditional put lets late data overwrite the state.

    On-demand; encrypted with the stack's key; restorable to any second of the last 35 days (correction 2);
    Contributor Insights on throttled keys; deletion protection wherever data is retained. No TTL: a device that
    has fallen silent still has a last state.

    Args:
        table_name: stem; the table is called ``stem-suffix``.
        encryption_key: None takes the key that the stack shares.
        removal_policy: None retains, except in an ephemeral stack.
        deletion_protection: whether the table refuses to be deleted; None means wherever data is retained.
        recovery_period_in_days: how far back the table can be restored, 1 to 35; None means 35.
        environment_suffix: None takes it from the surroundings.
        point_in_time_recovery: here only to refuse False: the table can always be restored.

    Raises:
        ValueError: recovery switched off; a value out of range; DESTROY in a stack that is not ephemeral; a name
            that breaks DynamoDB's rules or is taken.

    Example::

        from iot_constructs import DeviceStateTable

        state = DeviceStateTable(stack, "State")
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        table_name: str = defaults.DEVICE_STATE_TABLE_NAME,
        encryption_key: kms.IKey | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        deletion_protection: bool | None = None,
        recovery_period_in_days: int | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        point_in_time_recovery: bool | None = None,
    ) -> None:
        super().__init__(
            scope,
            id,
            name=table_name,
            environment_suffix=environment_suffix,
            sort_key=None,
            ttl_attribute=None,
            key=encryption_key,
            removal_policy=removal_policy,
            deletion_protection=deletion_protection,
            point_in_time_recovery=point_in_time_recovery,
            recovery_period_in_days=recovery_period_in_days,
        )
