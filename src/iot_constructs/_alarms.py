"""One way to make an alarm: named, checked, described, and quiet while there is no data."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs.environment import EnvironmentSuffix

SUM = "Sum"
MAXIMUM = "Maximum"


def period() -> cdk.Duration:
    """Over which alarms look at their metric."""
    return cdk.Duration.minutes(defaults.ALARM_PERIOD_MINUTES)


def create_alarm(
    scope: Construct,
    id: str,
    *,
    name: str,
    suffix: EnvironmentSuffix,
    metric: cloudwatch.IMetric,
    threshold: float,
    what: str,
    cost: str,
    first: str,
    periods: int = 1,
) -> cloudwatch.Alarm:
    """An alarm that fires when ``metric`` reaches ``threshold`` in ``periods`` periods in a row.

    The description says what happened, what it costs and what to do first. No data is not breaching: these metrics
    are only emitted when there is something to count.
    """
    return cloudwatch.Alarm(
        scope,
        id,
        alarm_name=naming.physical_name(scope, naming.ALARM, name, suffix),
        alarm_description=f"{what} {cost} First: {first}",
        metric=metric,
        threshold=threshold,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluation_periods=periods,
        datapoints_to_alarm=periods,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
