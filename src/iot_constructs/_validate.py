"""Checks of arguments that leave tokens alone: a value that is only known at deploy time cannot be judged at synth."""

from __future__ import annotations

import math
from collections.abc import Iterable

import aws_cdk as cdk

from iot_constructs._durations import seconds_of

# Number tokens are encoded as huge negative floats and string tokens hold this marker. Testing for these first
# keeps ordinary values off the wire to the jsii engine, which answers one question at a time.
_NUMBER_TOKEN_CEILING = -1e100
_STRING_TOKEN_MARKER = "${Token["


def is_token(value: object) -> bool:
    """Whether ``value`` stands for something CloudFormation only knows at deploy time."""
    if isinstance(value, str):
        return _STRING_TOKEN_MARKER in value
    if isinstance(value, (int, float)):
        if not math.isfinite(value):  # no token, and jsii's engine ends when it is sent one
            return False
        return value < _NUMBER_TOKEN_CEILING and bool(cdk.Token.is_unresolved(value))
    return bool(cdk.Token.is_unresolved(value))


def check_whole_number(name: str, value: object, low: int, high: int, source: str) -> None:
    """Raise ValueError unless ``value`` is a token or a whole number in ``low..high``."""
    if is_token(value):
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        whole = value % 1 == 0 and low <= value <= high
    else:
        whole = False
    if not whole:
        raise ValueError(f"{name}={value!r} is not a whole number from {low} to {high} ({source})")


def check_duration(
    name: str, value: cdk.Duration, low_seconds: int, high_seconds: int, source: str
) -> None:
    """Raise ValueError unless ``value`` is a token or between the two bounds, in seconds, inclusive."""
    seconds = seconds_of(value)
    if seconds is None or low_seconds <= seconds <= high_seconds:
        return
    raise ValueError(
        f"{name}={_words(seconds)} is not between {_words(low_seconds)} and {_words(high_seconds)} ({source}); "
        f"pass for example {name}=Duration.seconds({high_seconds if seconds > high_seconds else low_seconds})"
    )


def check_not_switched_off(name: str, value: object, reason: str) -> None:
    """Raise ValueError when ``value`` is False: the correction is what the construct exists for."""
    if value is False:
        raise ValueError(f"{name}=False: {reason}; leave {name} out")


def check_alone(name: str, settings: Iterable[tuple[str, object]], fix: str) -> None:
    """Raise ValueError when something was set that only makes sense without ``name``."""
    given = [f"{setting}={value!r}" for setting, value in settings if value is not None]
    if given:
        raise ValueError(f"{name} was given together with {', '.join(given)}: {fix}")


def _words(seconds: float) -> str:
    """Seconds as a person writes them: 7 days, 25 hours, 301 seconds."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} seconds"
