"""Durations whose length is known without asking Node: those of the defaults, and those that were asked before."""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakKeyDictionary

import aws_cdk as cdk

_SECONDS: WeakKeyDictionary[cdk.Duration, float] = WeakKeyDictionary()


@lru_cache
def of_seconds(seconds: int) -> cdk.Duration:
    """A duration, the same for the same length: CDK's durations do not change."""
    duration = cdk.Duration.seconds(seconds)
    _SECONDS[duration] = seconds
    return duration


def of_days(days: int) -> cdk.Duration:
    """A duration of whole days, the same for the same length."""
    return of_seconds(days * 86_400)


def seconds_of(duration: cdk.Duration) -> float | None:
    """The duration in seconds, or None when it is a token."""
    known = _SECONDS.get(duration)
    if known is None and not duration.is_unresolved():
        known = _SECONDS[duration] = duration.to_milliseconds() / 1000
    return known
