"""Which call gets which fault: a table, a seed, and a count of the calls.

What a call contains has no influence. Of every ``every`` calls of an operation one is chosen by
the seed, so a kind of fault is certain to come once there were that many calls, and the same seed
chooses the same calls of a run again (which records those calls carry can differ, because the
function runs several batches at once).
"""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class Fault(str, Enum):
    """What can happen to a call of the function."""

    TABLE_THROTTLED = "DynamoDB ProvisionedThroughputExceededException"
    REQUEST_THROTTLED = "DynamoDB ThrottlingException"
    SERVER_ERROR = "DynamoDB InternalServerError"
    PARTIAL_BATCH = "only some of a batch's items are written"
    TOPIC_THROTTLED = "SNS Throttling"
    SLOW = "no answer within the function's read timeout"
    LOST_RESPONSE = "done, but the connection breaks before the answer"
    CRASH = "the function's process is killed"
    FREEZE = "the function's process stops until its timeout"
    OUTAGE = "total outage"


@dataclass(frozen=True)
class Rule:
    """How often one fault happens to one operation."""

    fault: Fault
    operation: str
    every: int
    """One in so many calls begins it."""
    consecutive: int = 1
    """So many calls one after the other get it. The SDK makes two attempts by itself."""


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
"""A slow answer is rare because it costs seconds, and a frozen process because it costs the function's
timeout of a minute; every other fault costs next to nothing."""


class Faults:
    """Tells of each call what happens to it. May be asked from many threads."""

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
        """How often each fault happened to each operation."""
        with self._lock:
            return Counter(self._injected)

    def stop(self) -> None:
        """From now on nothing happens to any call."""
        self._active = False

    def start_outage(self) -> None:
        """From now on no call gets through."""
        self._outage = True

    def end_outage(self) -> None:
        """Go on as the rules say."""
        self._outage = False

    def next(
        self, operation: str, accepts: Callable[[Fault], bool] = lambda _: True
    ) -> Fault | None:
        """What happens to the next call of an operation. What does not fit it waits for another."""
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
        block, place = divmod(number, rule.every)
        # A text, because its hash as a seed is the same in every process.
        chosen = random.Random(f"{self._seed} {rule.fault.name} {rule.operation} {block}")
        return place == chosen.randrange(rule.every)
