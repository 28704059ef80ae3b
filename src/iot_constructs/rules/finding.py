"""A violation of a rule by a resource or stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """The result of a check; `rule_table` has the texts of the rule."""

    rule_id: str
    template: Path
    logical_id: str | None
    """None if the finding is about the stack."""
    detail: str
    """The violation with the invalid value; lower case, no full stop."""
    property_path: str = ""
    """For example ``Properties/DestinationConfig``."""
