"""One way to make an alarm: named, checked, described, and quiet while there is no data."""

from __future__ import annotations

from typing import Final, NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._durations import of_seconds
from iot_constructs._validate import is_token
from iot_constructs.environment import EnvironmentSuffix

SUM = "Sum"
MAXIMUM = "Maximum"


class Scale(NamedTuple):
    """How a person reads a threshold: 48000 of a metric's milliseconds are 48 s."""

    unit: str
    worth: int
    """How many of the metric's own units it is."""


SECONDS: Final = Scale("s", 1)
SECONDS_OF_MILLISECONDS: Final = Scale("s", 1000)
MINUTES_OF_MILLISECONDS: Final = Scale("minutes", 60_000)
HOURS_OF_MILLISECONDS: Final = Scale("h", 3_600_000)


def period() -> cdk.Duration:
    """Over which alarms look at their metric."""
    return of_seconds(defaults.ALARM_PERIOD_MINUTES * 60)


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
    scale: Scale | None = None,
    derived_from: str | None = None,
    periods: int = 1,
) -> cloudwatch.Alarm:
    """An alarm that fires when ``metric`` reaches ``threshold`` in ``periods`` periods in a row.

    The description says what happened, what it costs, at which threshold it fires and what to do first: ``scale`` is
    how a person reads the threshold (None: it is a count), ``derived_from`` where it comes from.

    No data is not breaching: these metrics are only emitted when there is something to count. DynamoDB's above all
    have to be told so: an alarm on them otherwise stays red while there is no data (C alarms-and-missing-data.html).
    """
    fires = _fires_at(threshold, scale, derived_from, periods)
    return cloudwatch.Alarm(
        scope,
        id,
        alarm_name=naming.physical_name(scope, naming.ALARM, name, suffix),
        alarm_description=f"{what} {cost} {fires} First: {first}",
        metric=metric,
        threshold=threshold,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        evaluation_periods=periods,
        datapoints_to_alarm=periods,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )


def _fires_at(threshold: float, scale: Scale | None, derived_from: str | None, periods: int) -> str:
    text = "Fires at "
    if is_token(threshold):
        text += "the threshold set at deployment"
    elif scale is None:
        text += f"{threshold:.15g}"
    else:
        text += f"{threshold / scale.worth:.10g} {scale.unit}"
    if derived_from is not None:
        text += f" ({derived_from})"
    if scale is None:
        text += f" in {defaults.ALARM_PERIOD_MINUTES} minutes"
    if periods > 1:
        text += f", {periods} times in a row"
    return text + "."
