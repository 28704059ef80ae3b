"""What could not be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RULE_ID: Final = "IOT_00_NOT_JUDGED"
NESTED_STACK: Final = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class NotJudged:
    """A part of a template that could not be looked at."""

    detail: str
    """What, and why; lower case, no full stop."""
    logical_id: str | None = None
    """None if it is not in one resource."""
    property_path: str = ""
    """The place in the resource, or in the template if ``logical_id`` is None."""
