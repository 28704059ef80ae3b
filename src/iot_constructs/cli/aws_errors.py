"""What an AWS call can raise, in words, and whether another attempt may help."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

AWS_ERRORS = (ClientError, BotoCoreError)
"""Everything that a call raises because of AWS, the network or the credentials."""

_SERVER_ERROR = 500
_PASSING = {
    "InternalFailure",
    "InternalFailureException",
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestTimeout",
    "ServiceException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}

# GetRecords can be refused for 5 s after a large answer (kinesis APIReference API_GetRecords): the
# pauses of all attempts add up to more.
ATTEMPTS = 8
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


def code_of(error: BaseException) -> str:
    """The error code of AWS, or the name of the exception."""
    response = getattr(error, "response", None)
    found = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(found) if found else type(error).__name__


def described(error: BaseException) -> str:
    """Code and message, as AWS puts them."""
    response = getattr(error, "response", None)
    found = response.get("Error", {}).get("Message") if isinstance(response, dict) else str(error)
    return f"{code_of(error)}: {found}" if found else code_of(error)


def is_passing(error: BaseException) -> bool:
    """Whether the same call may work a little later: throttled, timed out, not reached."""
    if isinstance(error, HTTPClientError):
        return True
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    return code_of(error) in _PASSING or metadata.get("HTTPStatusCode", 0) >= _SERVER_ERROR


class Attempts:
    """A bounded number of attempts with exponential pauses and jitter between them."""

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter

    def __iter__(self) -> Iterator[int]:
        for attempt in range(ATTEMPTS):
            if attempt:
                longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**attempt)
                self._sleep(longest * (0.5 + self._jitter() / 2))
            yield attempt

    def call(
        self, function: Callable[..., dict[str, object]], **request: object
    ) -> dict[str, object]:
        """The answer of one call, repeated while what it raises may pass."""
        for attempt in self:
            try:
                return function(**request)
            except AWS_ERRORS as error:
                if attempt == ATTEMPTS - 1 or not is_passing(error):
                    raise
        raise AssertionError("the last attempt returns or raises")
