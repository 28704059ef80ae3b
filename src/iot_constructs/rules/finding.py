"""One place in a template that breaks one rule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """What a check answers; the rule's own texts are in `rule_table`."""

    rule_id: str
    template: Path
    logical_id: str | None
    """None: the stack as a whole."""
    detail: str
    """What is wrong here, with the offending value; lower case, no full stop."""
    property_path: str = ""
    """Such as ``Properties/DestinationConfig``."""
