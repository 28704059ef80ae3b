"""Mutants that no test can notice, because what is deployed stays the same, each with the reason."""

from __future__ import annotations

import re
from typing import Final

EQUIVALENT: Final[dict[str, str]] = {
    r"_alarms\.py \| create_alarm \| cloudwatch\.Alarm\(comparison_operator=\.\.\.\) left out": (
        "CDK's own default is GreaterThanOrEqualToThreshold as well"
    ),
    r"_dead_letters\.py \| create_dead_letters \| sqs\.Queue\(encryption=\.\.\.\) left out": (
        "CDK takes KMS when it is given a key"
    ),
    r"_tables\.py \| DeviceTable\.__init__ \| dynamodb\.TableV2\(billing=\.\.\.\) left out": (
        "on-demand is TableV2's own default"
    ),
    r".*\.metric_(get_records_iterator_age_milliseconds|approximate_number_of_messages_visible)"
    r"\(statistic=\.\.\.\) left out": "Maximum is CDK's own default for these",
    r".*\.metric_number_of_(messages_published|notifications_failed)\(statistic=\.\.\.\) left out": (
        "Sum is CDK's own default for these"
    ),
    r".*\.(metric\w*|Metric)\(period=\.\.\.\) left out": "CDK's own default is 5 minutes as well",
    r".*\.function\.metric_(errors|throttles)\(statistic=\.\.\.\) left out": "Sum is CDK's own default for these",
}
"""Regular expression for the whole name -> reason."""


def reason_for(name: str) -> str:
    """Why a mutant is equivalent; nothing where it is not."""
    for pattern, reason in EQUIVALENT.items():
        if re.fullmatch(pattern, name):
            return reason
    return ""
