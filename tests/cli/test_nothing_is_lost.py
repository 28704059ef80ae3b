"""A run that is cut off at any call, and then repeated: everything is accounted for, by counting."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from iot_constructs.cli.report import Report

from .aws_fakes import aws_error
from .world import World

ERRORS: dict[str, Callable[[], BaseException]] = {
    "Ctrl-C": KeyboardInterrupt,
    "refused": lambda: aws_error("AccessDeniedException"),
    "throttled": lambda: aws_error("ThrottlingException"),
    "no answer": lambda: ReadTimeoutError(endpoint_url="none"),
    "no connection": lambda: ConnectTimeoutError(endpoint_url="none"),
}


@pytest.mark.parametrize("to_function", [False, True], ids=["stream", "function"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_a_run_that_breaks_off_at_any_call_loses_nothing_and_puts_nothing_thrice(
    error: Callable[[], BaseException], after: bool, to_function: bool
) -> None:
    undisturbed = World().add_every_kind()
    undisturbed.redrive(to_function=to_function)
    calls = len(undisturbed.calls.names)
    assert calls > 20
    for number in range(calls):
        world = World().add_every_kind()
        world.calls.fail_at, world.calls.after, world.calls.error = number, after, error
        try:
            world.redrive(to_function=to_function)
        except (KeyboardInterrupt, type(error())):
            pass
        assert number < len(world.calls.names), "the fault never came"
        world.clock.now += 301
        assert sorted(world.sqs.visible()) == sorted(world.sqs.messages)

        world.redrive(to_function=to_function)
        assert sorted(world.sqs.messages) == sorted(world.hopeless)
        accepted = world.accepted()
        assert set(accepted) == set(world.expected())
        assert max(accepted.values()) <= 2, "put more than twice"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_dry_run_that_breaks_off_at_any_call_changes_nothing(after: bool) -> None:
    undisturbed = World().add_every_kind()
    undisturbed.redrive(execute=False)
    for number in range(len(undisturbed.calls.names)):
        world = World().add_every_kind()
        before = dict(world.sqs.messages)
        world.calls.fail_at, world.calls.after = number, after
        found = Report(executed=False, destination="")
        with suppress(KeyboardInterrupt):  # the call for the missing object fails before it
            world.redrive(execute=False, report=found)
        assert number < len(world.calls.names), "the fault never came"
        assert world.sqs.messages == before
        assert not world.accepted()
        world.clock.now += max(found.invisible_seconds, 301 if after else 0)
        assert sorted(world.sqs.visible()) == sorted(before)


def test_what_is_held_is_visible_at_once_after_an_interruption() -> None:
    for number in range(2, 20):
        world = World().add_every_kind()
        world.calls.fail_at = number
        with pytest.raises(KeyboardInterrupt):
            world.redrive()
        assert sorted(world.sqs.visible()) == sorted(world.sqs.messages)


def test_two_runs_at_once_never_work_on_one_message() -> None:
    world = World()
    world.add_rejected(40)
    received = world.sqs.receive_message
    nested = False

    def receive_with_a_second_operator(**request: object) -> dict[str, object]:
        nonlocal nested
        answer = received(**request)
        if not nested:
            nested = True
            world.redrive()  # all of it, while the first run holds ten messages
        return answer

    world.sqs.receive_message = receive_with_a_second_operator  # type: ignore[method-assign]
    world.redrive()
    assert world.accepted() == world.expected()
    assert not world.sqs.messages


def test_running_it_twice_puts_nothing_twice() -> None:
    world = World().add_every_kind()
    first, second = world.redrive(), world.redrive()
    assert world.accepted() == world.expected()
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert {row.message_id for row in second.rows} == set(world.hopeless)
