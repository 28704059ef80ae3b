"""TimeSeriesTable: every reading of every device, for as long as you say."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._durations import of_days
from iot_constructs._tables import DeviceTable
from iot_constructs._validate import check_duration
from iot_constructs.environment import EnvironmentSuffix


class TimeSeriesTable(DeviceTable):
    """A DynamoDB table of readings by device and time, in the place of Timestream (correction 8).

    Timestream for LiveAnalytics is closed to new customers since 2025-06-20 (FACTS 13). Key: ``deviceId`` (String)
    and ``timestamp`` (Number, epoch milliseconds). A reader asks for a span of time of one device.

    * Two readings under one key overwrite each other (FACTS 9). A writer that can get two in one millisecond
      tells them apart in the fraction of the number, as the example's processor does; ``BETWEEN`` still works.
    * On-demand; encrypted with the stack's key; restorable to any second of the last 35 days (correction 2).
    * Readings expire by the attribute ``ttl`` (Number, epoch seconds), which the writer sets from ``retention``.
      DynamoDB deletes up to days later: readers filter (FACTS 9).
    * Contributor Insights names the keys that are throttled; deletion protection is on wherever data is retained.

    Args:
        table_name: stem; the table is called ``stem-suffix``.
        retention: how long a reading is kept, 1 day to 100 years; None means 365 days.
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

        import aws_cdk as cdk
        from iot_constructs import TimeSeriesTable

        readings = TimeSeriesTable(stack, "Readings", retention=cdk.Duration.days(90))
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        table_name: str = defaults.TIME_SERIES_TABLE_NAME,
        retention: cdk.Duration | None = None,
        encryption_key: kms.IKey | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        deletion_protection: bool | None = None,
        recovery_period_in_days: int | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        point_in_time_recovery: bool | None = None,
    ) -> None:
        self.retention = (
            retention if retention is not None else of_days(defaults.TIME_SERIES_RETENTION_DAYS)
        )
        """How long a reading is kept: what the writer adds to a reading's time to get its ``ttl``."""
        check_duration(
            "retention",
            self.retention,
            86_400,
            100 * 365 * 86_400,
            "ttl is deleted up to days late, FACTS 9",
        )
        super().__init__(
            scope,
            id,
            name=table_name,
            environment_suffix=environment_suffix,
            sort_key=dynamodb.Attribute(name=defaults.SORT_KEY, type=dynamodb.AttributeType.NUMBER),
            ttl_attribute=defaults.TTL_ATTRIBUTE,
            key=encryption_key,
            removal_policy=removal_policy,
            deletion_protection=deletion_protection,
            point_in_time_recovery=point_in_time_recovery,
            recovery_period_in_days=recovery_period_in_days,
        )
