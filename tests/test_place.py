"""Place and durations: asked once, and right for each stack of an app."""

from __future__ import annotations

import aws_cdk as cdk
import pytest

from iot_constructs import MonitoredStream
from iot_constructs._durations import of_seconds, seconds_of
from iot_constructs._place import Place
from tests.round_trips import counted
from tests.synth_support import ACCOUNT, ENV, REGION, fresh_app, fresh_stack


def test_each_stack_of_an_app_is_a_place_of_its_own() -> None:
    app = fresh_app()
    here = Place.of(MonitoredStream(fresh_stack(app=app, id="Here", env=ENV), "Stream"))
    there = Place.of(MonitoredStream(fresh_stack("qa", app=app, id="There"), "Stream"))

    assert (here.account, here.region) == (ACCOUNT, REGION)
    assert cdk.Token.is_unresolved(there.account)
    assert cdk.Token.is_unresolved(there.region)
    assert here.root is there.root is app
    assert here.stack.node.id == "Here"
    assert there.stack.node.id == "There"


def test_all_constructs_of_a_stack_share_its_place() -> None:
    stack = fresh_stack()
    assert Place.of(MonitoredStream(stack, "Stream")) is Place.of(stack)


def test_a_nested_stack_is_a_place_of_its_own() -> None:
    stack = fresh_stack()
    nested = cdk.NestedStack(stack, "Nested")
    assert Place.of(nested) is not Place.of(stack)
    assert Place.of(nested).root is Place.of(stack).root


def test_what_is_in_no_stack_has_no_place() -> None:
    with pytest.raises(RuntimeError, match="Stack"):
        Place.of(fresh_app())


def test_a_place_is_asked_for_once() -> None:
    stream = MonitoredStream(fresh_stack(), "Stream")
    with counted() as sent:
        for _ in range(5):
            place = Place.of(stream)
            assert place.account
            assert place.region
    assert sent() == 0


def test_a_duration_of_ours_is_known_without_asking() -> None:
    made = of_seconds(417)
    with counted() as sent:
        assert seconds_of(made) == 417
        assert of_seconds(417) is made
    assert sent() == 0
    assert made.to_seconds() == 417


def test_a_duration_of_the_users_is_asked_once() -> None:
    duration = cdk.Duration.minutes(7)
    assert seconds_of(duration) == 420
    with counted() as sent:
        assert seconds_of(duration) == 420
    assert sent() == 0
