"""Decides which call of a simulation fails, and how."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Kind(str, Enum):
    """How a call can fail."""

    ERROR = "error"
    """The service rejects the call with an error code, without an effect."""
    PARTIAL = "partial failure"
    """Only some entries of a batch call take effect, and the response names the others."""
    NO_RESPONSE = "lost response"
    """The call takes effect, but the response never arrives."""
    NO_REQUEST = "lost request"
    """The call has no effect, and no response arrives."""
    CRASH_BEFORE = "crash before the call"
    """The caller's process ends before the call."""
    CRASH_AFTER = "crash after the call"
    """The caller's process ends after the call took effect."""
    SLOW = "slow call"
    """The call takes seconds."""


@dataclass(frozen=True)
class Fault:
    """One fault of one call."""

    kind: Kind
    code: str = ""
    """The error code, of the call or of its failed entries."""
    seconds: float = 0.0
    """How long a slow call takes."""
    share: float = 0.0
    """The share of a batch call's entries that fail."""
    seed: int = 0
    """Selects the failed entries."""

    def fails(self, entry: int) -> bool:
        """Whether an entry of a batch call fails, by its index."""
        return random.Random(self.seed * 1000 + entry).random() < self.share


@dataclass(frozen=True)
class Rate:
    """The probability of a fault in each call of an operation."""

    operation: str
    """The caller and the boto3 method, such as ``function.batch_write_item``, or ``function.*`` for all methods."""
    kind: Kind
    probability: float
    codes: Sequence[str] = ("",)
    """The error code is one of these."""


@dataclass
class FaultPlan:
    """Draws the fault of each call from a seed, the operation, and the number of the call of this operation.

    The draw of a call does not depend on the calls of other operations or on earlier faults, so a plan without some of
    the faults (`disabled`) keeps the others: a failing history is shortened this way.
    """

    seed: object
    rates: Sequence[Rate]
    disabled: Collection[str] = ()
    """The ids of faults that are left out, as in `injected_ids`."""
    active: bool = True
    outages: dict[str, str] = field(default_factory=dict)
    """Operation -> error code of all of its calls."""

    def __post_init__(self) -> None:
        self._numbers: Counter[str] = Counter()
        self._rates: dict[str, list[Rate]] = {}
        for rate in self.rates:
            self._rates.setdefault(rate.operation, []).append(rate)
        self._draws: dict[str, random.Random] = {}
        self.injected: Counter[tuple[str, str]] = Counter()
        """(operation, kind with error code) -> number of faults."""
        self.injected_ids: list[str] = []

    def next(self, operation: str) -> Fault | None:
        """Return the fault of the next call of an operation."""
        if operation in self.outages:
            code = self.outages[operation]
            self.injected[operation, f"outage ({code})"] += 1
            return Fault(Kind.ERROR, code)
        every = f"{operation.partition('.')[0]}.*"
        rates = [*self._rates.get(operation, ()), *self._rates.get(every, ())]
        if not rates:
            return None
        number = self._numbers[operation]
        self._numbers[operation] += 1
        # As many numbers for each call, whether it fails or not.
        if operation not in self._draws:
            self._draws[operation] = random.Random(f"faults {self.seed} {operation}")
        draw = self._draws[operation].random
        value, choice, seconds, share, entries = draw(), draw(), draw(), draw(), draw()
        if not self.active:
            return None
        for rate in rates:
            if value < rate.probability:
                break
            value -= rate.probability
        else:
            return None
        id = f"{operation}#{number}"
        if id in self.disabled:
            return None
        fault = Fault(
            rate.kind,
            _choose(rate.codes, choice),
            seconds=_choose((2.0, 5.0, 30.0, 100.0), seconds),
            share=_choose((0.1, 0.5, 1.0), share),
            seed=int(entries * 2**32),
        )
        name = f"{rate.kind.value} ({fault.code})" if fault.code else rate.kind.value
        self.injected[operation, name] += 1
        self.injected_ids.append(id)
        return fault


def _choose(values: Sequence[T], draw: float) -> T:
    return values[int(draw * len(values))]
