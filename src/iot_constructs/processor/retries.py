"""Bounds the processor's retries so that it always has time to report the checkpoint."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# The slowest call takes 9 s with the client configuration in handler.py. An invocation that times
# out reports no checkpoint, so Lambda retries the whole batch.
CALL_RESERVE_MS = 10_000
ATTEMPTS = 6
BASE_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 1.0

NO_TIME = "no time left"
NO_ATTEMPTS = "no attempts left"


@dataclass(slots=True)
class _Invocation:
    remaining_ms: Callable[[], int]
    reserve_ms: int
    slowest_call_ms: int = 0


class Deadline:
    """Tracks whether another call fits before the function has to return."""

    def __init__(self, remaining_ms: Callable[[], int]) -> None:
        # At most half of the remaining time, so that a function with a short timeout still starts.
        self._invocation = _Invocation(remaining_ms, min(CALL_RESERVE_MS, remaining_ms() // 2))
        self._calls_after: Callable[[], int] = int

    def leaving(self, calls: int | Callable[[], int]) -> Deadline:
        """Return a deadline that leaves the time of `calls` calls, each as slow as the slowest so far.

        Args:
            calls: how many, or a function that returns how many it is by now.
        """
        other = copy.copy(self)  # both measure calls for the same invocation
        other._calls_after = calls if callable(calls) else lambda: calls
        return other

    def has_time(self) -> bool:
        """Whether another call fits."""
        now = self._invocation
        left = now.remaining_ms() - self._calls_after() * now.slowest_call_ms
        return left > now.reserve_ms

    @contextmanager
    def call(self) -> Iterator[None]:
        """Measure a call, also one that raises an exception."""
        now = self._invocation
        before = now.remaining_ms()
        try:
            yield
        finally:
            now.slowest_call_ms = max(now.slowest_call_ms, before - now.remaining_ms())


class RetryPolicy:
    """A bounded number of attempts with exponential backoff and full jitter."""

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter

    def attempts(self, deadline: Deadline) -> Iterator[int]:
        """Yield attempt numbers until the attempts or the time run out; `exhausted` tells which."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(
                    self._jitter() * min(MAX_PAUSE_SECONDS, BASE_PAUSE_SECONDS * 2**attempt)
                )
            if not deadline.has_time():
                return
            yield attempt

    @staticmethod
    def exhausted(deadline: Deadline) -> str:
        """Return the error of what is left after the last attempt."""
        return NO_ATTEMPTS if deadline.has_time() else NO_TIME


def error_code(error: BaseException) -> str:
    """Return the AWS error code or the exception class, but no message: it can contain payload."""
    return _aws_error(error).get("Code") or type(error).__name__


def error_message(error: Exception) -> str:
    """Return the AWS error message, which can contain payload."""
    return _aws_error(error).get("Message", "")


def _aws_error(error: BaseException) -> dict[str, str]:
    response = getattr(error, "response", None)
    found = response.get("Error") if isinstance(response, dict) else None
    return found if isinstance(found, dict) else {}
