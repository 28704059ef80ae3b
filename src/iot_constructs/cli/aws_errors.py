"""Formatting, classification and retries of the errors of AWS calls."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from iot_constructs.processor.retries import error_code

__all__ = [
    "AWS_ERRORS",
    "MAX_ATTEMPTS",
    "RetryPolicy",
    "error_code",
    "format_error",
    "is_retryable",
]

AWS_ERRORS = (ClientError, BotoCoreError)
"""The errors that a call raises because of AWS, the network or the credentials."""

_SERVER_ERROR = 500
_RETRYABLE = {
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

# GetRecords can be throttled for 5 s after a large response (kinesis APIReference API_GetRecords): all backoff times
# together are longer.
MAX_ATTEMPTS = 8
_INITIAL_BACKOFF_SECONDS = 0.2
_MAX_BACKOFF_SECONDS = 5.0


def format_error(error: BaseException) -> str:
    """Return the error code and message of AWS."""
    response = getattr(error, "response", None)
    found = response.get("Error", {}).get("Message") if isinstance(response, dict) else str(error)
    return f"{error_code(error)}: {found}" if found else error_code(error)


def is_retryable(error: BaseException) -> bool:
    """Return whether the same call can succeed later: after throttling, a timeout or a connection error."""
    if isinstance(error, HTTPClientError):
        return True
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    return error_code(error) in _RETRYABLE or metadata.get("HTTPStatusCode", 0) >= _SERVER_ERROR


class RetryPolicy:
    """A limited number of attempts with exponential backoff and jitter."""

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._jitter = jitter

    def __iter__(self) -> Iterator[int]:
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                backoff = min(_MAX_BACKOFF_SECONDS, _INITIAL_BACKOFF_SECONDS * 2**attempt)
                self._sleep(backoff * (0.5 + self._jitter() / 2))
            yield attempt

    def call(
        self, function: Callable[..., dict[str, object]], **request: object
    ) -> dict[str, object]:
        """Return the response of a call, and repeat it while its error is retryable."""
        for attempt in self:
            try:
                return function(**request)
            except AWS_ERRORS as error:
                if attempt == MAX_ATTEMPTS - 1 or not is_retryable(error):
                    raise
        raise AssertionError("the last attempt returns or raises")
