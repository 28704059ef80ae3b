"""How long and how often the processor tries: never so long that it cannot report any more."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

# A call that hangs until its last timeout takes 9 s with the client configuration in handler.py.
# An invocation that times out reports nothing, and the whole batch is delivered again.
CALL_RESERVE_MS = 10_000
ATTEMPTS = 6
BASE_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 1.0


class Deadline:
    """Says whether there is time for one more call before the function has to report."""

    def __init__(self, remaining_ms: Callable[[], int]) -> None:
        self._remaining_ms = remaining_ms
        # Half of a short timeout, or a function with a timeout of a few seconds would never begin.
        self._reserve_ms = min(CALL_RESERVE_MS, remaining_ms() // 2)

    def has_time(self) -> bool:
        return self._remaining_ms() > self._reserve_ms


class RetryPolicy:
    """A bounded number of attempts with exponential pauses and full jitter between them."""

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter

    def attempts(self, deadline: Deadline) -> Iterator[int]:
        """Yields while there are attempts and time left; running dry means giving up."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(
                    self._jitter() * min(MAX_PAUSE_SECONDS, BASE_PAUSE_SECONDS * 2**attempt)
                )
            if not deadline.has_time():
                return
            yield attempt


def error_code(error: Exception) -> str:
    """The AWS error code, or the exception's class: never its message, which can hold data."""
    return _aws_error(error).get("Code") or type(error).__name__


def error_message(error: Exception) -> str:
    return _aws_error(error).get("Message", "")


def _aws_error(error: Exception) -> dict[str, str]:
    response = getattr(error, "response", None)
    found = response.get("Error") if isinstance(response, dict) else None
    return found if isinstance(found, dict) else {}
