"""Selects the fault of each call from a table of rules, a seed, and the number of the call.

In each block of ``every`` calls of an operation, the seed selects one call, so each fault occurs
within a known number of calls, and a seed always selects the same calls. The records in these calls
can differ because the function processes batches concurrently.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class Fault(str, Enum):
    """A fault of a call."""

    TABLE_THROTTLED = "DynamoDB ProvisionedThroughputExceededException"
    REQUEST_THROTTLED = "DynamoDB ThrottlingException"
    SERVER_ERROR = "DynamoDB InternalServerError"
    PARTIAL_BATCH = "only some of a batch's items are written"
    TOPIC_THROTTLED = "SNS Throttling"
    SLOW = "no response within the function's read timeout"
    LOST_RESPONSE = "completed, but the connection closes before the response"
    CRASH = "the function's process is killed"
    FREEZE = "the function's process is stopped until its timeout"
    OUTAGE = "total outage"


@dataclass(frozen=True)
class Rule:
    """The frequency of a fault for an operation."""

    fault: Fault
    operation: str
    every: int
    """The fault occurs once in this number of calls."""
    consecutive: int = 1
    """The number of consecutive calls with the fault. The SDK makes two attempts."""


BATCH_WRITE, STATE_WRITE, PUBLISH = "BatchWriteItem", "BatchExecuteStatement", "PublishBatch"

RULES = (
    Rule(Fault.TABLE_THROTTLED, BATCH_WRITE, every=25, consecutive=3),
    Rule(Fault.REQUEST_THROTTLED, BATCH_WRITE, every=50, consecutive=2),
    Rule(Fault.SERVER_ERROR, BATCH_WRITE, every=50, consecutive=3),
    Rule(Fault.PARTIAL_BATCH, BATCH_WRITE, every=6),
    Rule(Fault.LOST_RESPONSE, BATCH_WRITE, every=40),
    Rule(Fault.SLOW, BATCH_WRITE, every=60),
    Rule(Fault.CRASH, BATCH_WRITE, every=60),
    Rule(Fault.FREEZE, BATCH_WRITE, every=1000),
    Rule(Fault.REQUEST_THROTTLED, STATE_WRITE, every=50, consecutive=2),
    Rule(Fault.SERVER_ERROR, STATE_WRITE, every=50, consecutive=3),
    Rule(Fault.PARTIAL_BATCH, STATE_WRITE, every=6),
    Rule(Fault.LOST_RESPONSE, STATE_WRITE, every=40),
    Rule(Fault.SLOW, STATE_WRITE, every=500),
    Rule(Fault.CRASH, STATE_WRITE, every=250),
    Rule(Fault.TOPIC_THROTTLED, PUBLISH, every=12, consecutive=2),
    Rule(Fault.LOST_RESPONSE, PUBLISH, every=25),
    Rule(Fault.CRASH, PUBLISH, every=100),
)
"""A slow response is rare because it takes seconds, and a frozen process because it takes the
function's timeout of a minute. The other faults take almost no time."""


class Faults:
    """Selects the fault of each call. Thread-safe."""

    def __init__(self, seed: int, rules: Sequence[Rule] = RULES) -> None:
        self._seed = seed
        self._rules = tuple(rules)
        self._calls: Counter[str] = Counter()
        self._due: dict[str, deque[Fault]] = {}
        self._injected: Counter[tuple[Fault, str]] = Counter()
        self._lock = threading.Lock()
        self._outage = False
        self._active = True

    @property
    def injected(self) -> Mapping[tuple[Fault, str], int]:
        """The number of faults by kind and operation."""
        with self._lock:
            return Counter(self._injected)

    def stop(self) -> None:
        """Inject no more faults."""
        self._active = False

    def start_outage(self) -> None:
        """Let every call fail."""
        self._outage = True

    def end_outage(self) -> None:
        """Return to the rules."""
        self._outage = False

    def next(
        self, operation: str, accepts: Callable[[Fault], bool] = lambda _: True
    ) -> Fault | None:
        """Return the fault of the next call. A fault that the call doesn't accept stays pending."""
        with self._lock:
            if not self._active:
                return None
            if self._outage:
                self._injected[Fault.OUTAGE, operation] += 1
                return Fault.OUTAGE
            number = self._calls[operation]
            self._calls[operation] += 1
            due = self._due.setdefault(operation, deque())
            for rule in self._rules:
                if rule.operation == operation and self._is_selected(rule, number):
                    due.extend([rule.fault] * rule.consecutive)
            fault = next((each for each in due if accepts(each)), None)
            if fault is not None:
                due.remove(fault)
                self._injected[fault, operation] += 1
            return fault

    def _is_selected(self, rule: Rule, number: int) -> bool:
        block, index = divmod(number, rule.every)
        # A string seed has the same effect in every process.
        generator = random.Random(f"{self._seed} {rule.fault.name} {rule.operation} {block}")
        return index == generator.randrange(rule.every)
