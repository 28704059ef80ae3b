"""One measured number with its target, and the runs that a ratio is made of."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Run = dict[str, float]
"""What one run took, by name."""


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
        own = {
            name: value for name, value in vars(self).items() if name not in ("at_most", "detail")
        }
        return json.dumps({**own, "met": self.met, **self.detail})


def in_turn(
    contenders: Mapping[str, Callable[[], Run]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[Run]]:
    """Run each in turn, so that what else the machine does meets all; every second round is the other way round.

    ``warm_up`` is a round before them that does not count.
    """
    found: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(-1 if warm_up else 0, rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            run = contenders[name]()
            if number >= 0:
                found[name].append(run)
    return found


def ratio(what: str, ones: Iterable[Run], others: Iterable[Run]) -> float:
    """The median of the ratios of neighboring runs."""
    pairs = zip(ones, others, strict=True)
    return round(statistics.median(one[what] / other[what] for one, other in pairs), 3)


def median(what: str, runs: Iterable[Run]) -> float:
    """The median of the runs."""
    return statistics.median(run[what] for run in runs)
