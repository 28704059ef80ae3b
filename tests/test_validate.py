"""Checks of arguments: exact at their bounds, and blind to what only CloudFormation will know."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs._durations import seconds_of
from iot_constructs._validate import (
    check_alone,
    check_duration,
    check_not_switched_off,
    check_whole_number,
    is_token,
)
from tests.synth_support import fresh_app


def number_tokens() -> list[float]:
    stack = cdk.Stack(fresh_app())
    parameter = cdk.CfnParameter(stack, "Number", type="Number")
    return [parameter.value_as_number, cdk.Token.as_number(cdk.Fn.ref("Elsewhere"))]


# --- what a token is ---------------------------------------------------------------------------------------------


def test_tokens_are_recognized_in_every_disguise() -> None:
    for number in number_tokens():
        assert is_token(number)
    assert is_token(cdk.Aws.REGION)
    assert is_token(f"prefix-{cdk.Aws.ACCOUNT_ID}-suffix")
    assert is_token(cdk.Token.as_any({"Ref": "X"}))
    assert is_token(cdk.Aws.NOTIFICATION_ARNS)


@pytest.mark.parametrize(
    "value", [0, 1, -1, False, True, 1.5, -1e200, "", "dev", "${topic(2)}", None]
)
def test_ordinary_values_are_no_tokens(value: object) -> None:
    assert is_token(value) is False


# --- whole numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 35, 35.0])
def test_whole_numbers_at_the_bounds_pass(value: float) -> None:
    check_whole_number("days", value, 1, 35, "FACTS 9")


@pytest.mark.parametrize("value", [0, 36, -1, 1.5, True, False, -1e200])
def test_other_numbers_are_refused_with_name_value_bounds_and_source(value: float) -> None:
    with pytest.raises(ValueError) as failure:
        check_whole_number("days", value, 1, 35, "FACTS 9")
    assert str(failure.value) == f"days={value!r} is not a whole number from 1 to 35 (FACTS 9)"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "thirty"])
def test_what_is_no_number_is_refused_in_the_same_words(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^days=.* is not a whole number from 1 to 35"):
        check_whole_number("days", value, 1, 35, "FACTS 9")


def test_number_tokens_pass() -> None:
    for token in number_tokens():
        check_whole_number("days", token, 1, 35, "FACTS 9")


@settings(deadline=None)
@given(st.integers(), st.integers(0, 50), st.integers(0, 50))
def test_a_whole_number_passes_exactly_between_its_bounds(value: int, low: int, more: int) -> None:
    if low <= value <= low + more:
        check_whole_number("n", value, low, low + more, "source")
    else:
        with pytest.raises(ValueError, match=rf"^n={value} is not a whole number"):
            check_whole_number("n", value, low, low + more, "source")


# --- durations ---------------------------------------------------------------------------------------------------


def test_durations_at_the_bounds_pass() -> None:
    check_duration("window", cdk.Duration.seconds(0), 0, 300, "FACTS 3")
    check_duration("window", cdk.Duration.minutes(5), 0, 300, "FACTS 3")


@pytest.mark.parametrize(
    ("value", "words", "fix"),
    [
        (cdk.Duration.seconds(301), "301 seconds", 300),
        (cdk.Duration.seconds(59), "59 seconds", 60),
        (cdk.Duration.seconds(0), "0 seconds", 60),
        (cdk.Duration.millis(59_500), "59.5 seconds", 60),
        (cdk.Duration.minutes(90), "90 minutes", 300),
        (cdk.Duration.hours(25), "25 hours", 300),
        (cdk.Duration.hours(24), "24 hours", 300),
        (cdk.Duration.hours(2), "2 hours", 300),
        (cdk.Duration.days(2), "2 days", 300),
        (cdk.Duration.days(7), "7 days", 300),
    ],
)
def test_other_durations_are_refused_in_words_with_the_nearest_that_is_allowed(
    value: cdk.Duration, words: str, fix: int
) -> None:
    with pytest.raises(ValueError) as failure:
        check_duration("window", value, 60, 300, "FACTS 3")
    assert str(failure.value) == (
        f"window={words} is not between 60 seconds and 5 minutes (FACTS 3); "
        f"pass for example window=Duration.seconds({fix})"
    )


def test_duration_tokens_pass_and_have_no_length() -> None:
    for token in number_tokens():
        duration = cdk.Duration.seconds(token)
        check_duration("window", duration, 0, 300, "FACTS 3")
        assert seconds_of(duration) is None


def test_seconds_of_a_duration_keep_their_fraction() -> None:
    assert seconds_of(cdk.Duration.hours(2)) == 7200
    assert seconds_of(cdk.Duration.millis(1500)) == 1.5
    assert seconds_of(cdk.Duration.seconds(0)) == 0


# --- switches and contradictions ---------------------------------------------------------------------------------


def test_switching_a_correction_off_is_refused_with_the_reason_and_the_fix() -> None:
    with pytest.raises(ValueError) as failure:
        check_not_switched_off("enforce_ssl", False, "TLS only")
    assert str(failure.value) == "enforce_ssl=False: TLS only; leave enforce_ssl out"


@pytest.mark.parametrize("value", [None, True, object()])
def test_leaving_a_correction_on_passes(value: object) -> None:
    check_not_switched_off("enforce_ssl", value, "TLS only")


def test_settings_beside_what_excludes_them_are_all_named() -> None:
    with pytest.raises(ValueError) as failure:
        check_alone(
            "stream",
            (("stream_name", "x"), ("encryption", None), ("shard_count", 2)),
            "leave one out",
        )
    assert str(failure.value) == (
        "stream was given together with stream_name='x', shard_count=2: leave one out"
    )


@pytest.mark.parametrize("value", [0, False, ""])
def test_zero_false_and_empty_are_settings(value: object) -> None:
    with pytest.raises(ValueError, match="stream was given together with setting="):
        check_alone("stream", (("setting", value),), "leave one out")


def test_nothing_set_beside_it_passes() -> None:
    check_alone("stream", (("stream_name", None), ("encryption", None)), "leave one out")
