"""Mutants that no test can notice, because what is deployed stays the same, each with the reason."""

from __future__ import annotations

import re
from typing import Final

EQUIVALENT: Final[dict[str, str]] = {
    r"_alarms\.py \| create_alarm \| cloudwatch\.Alarm\(comparison_operator=\.\.\.\) left out": (
        "CDK's own default is GreaterThanOrEqualToThreshold as well"
    ),
    r".*\.metric\w*\(period=\.\.\.\) left out": "CDK's own default is 5 minutes as well",
}
"""Regular expression for the whole name -> reason."""


def reason_for(name: str) -> str:
    """Why a mutant is equivalent; nothing where it is not."""
    for pattern, reason in EQUIVALENT.items():
        if re.fullmatch(pattern, name):
            return reason
    return ""
