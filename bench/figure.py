"""One measured number, and the target that it is held against."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A number with a name; without a target it is only reported."""

    figure: str
    value: float
    target: float | None = None
    at_most: bool = True
    """The value may not be above the target; otherwise not below it."""
    unit: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def line(self) -> str:
        """One line of JSON."""
        known = {
            "figure": self.figure,
            "value": self.value,
            "target": self.target,
            "met": self.met,
            "unit": self.unit,
        }
        return json.dumps(known | self.detail)
