"""Place, suffix and durations: asked once, and right for each stack of an app."""

from __future__ import annotations

import aws_cdk as cdk
import pytest
from constructs import Construct

from iot_constructs import DevicePolicy, EnvironmentSuffix, MonitoredStream
from iot_constructs._durations import of_days, of_seconds, seconds_of
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._place import Place
from iot_constructs.environment import suffix_below
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


def test_a_stack_is_its_own_place_and_knows_its_node() -> None:
    stack = fresh_stack(env=ENV)
    place = Place.of(stack)
    assert place.stack is stack
    assert place.node.path == "Test"
    with counted() as sent:
        assert Place.of(stack) is place
        assert place.node is place.node
    assert sent() == 0


def test_a_stack_need_not_be_asked_which_stack_it_is_in() -> None:
    stack = cdk.Stack(fresh_app(), "Plain")
    with counted() as sent:
        Place.of(stack)
    assert sent() == 0


# --- what a construct takes from its scope -----------------------------------------------------------------------


def test_a_construct_of_ours_costs_one_question_when_its_scope_is_known() -> None:
    stack = fresh_stack(env=ENV)
    PipelineConstruct(stack, "First", None)
    with counted() as sent:
        second = PipelineConstruct(stack, "Second", None)
        assert Place.of(second) is Place.of(stack)
    assert sent() == 1  # to be made


def test_a_construct_has_the_place_and_the_suffix_of_its_scope() -> None:
    stack = fresh_stack("qa7", env=ENV)
    part = Construct(stack, "Part")
    nested = cdk.NestedStack(part, "Nested")
    for scope, expected in ((part, stack), (nested, nested), (Construct(nested, "In"), nested)):
        made = PipelineConstruct(scope, "It", None)
        assert made._place is Place.of(made) is Place.of(expected)
        assert made._place.stack is expected
        assert made._suffix == EnvironmentSuffix("qa7")


def test_a_construct_in_no_stack_is_refused_in_the_words_of_cdk() -> None:
    with pytest.raises(RuntimeError, match="should be created in the scope of a Stack"):
        PipelineConstruct(fresh_app(), "It", None)


@pytest.mark.parametrize("illegal", ["", "my_env"])
def test_a_construct_with_an_illegal_suffix_is_refused(illegal: str) -> None:
    with pytest.raises(ValueError, match=f"environment suffix '{illegal}'"):
        PipelineConstruct(fresh_stack(), "It", illegal)


def policy_in(scope: Construct, id: str = "Policy", **settings: str) -> str:
    """The physical name of a construct in ``scope``; it ends in the suffix."""
    return DevicePolicy(scope, id, **settings).policy_name


def test_the_suffix_is_asked_for_once_in_each_scope() -> None:
    stack = fresh_stack("qa7")
    first, other = Construct(stack, "First"), Construct(stack, "Other")
    found = [suffix_below(scope, None) for scope in (first, other)]
    with counted() as sent:
        assert [suffix_below(scope, None) for scope in (first, other)] == found
    assert sent() == 0
    assert found == [EnvironmentSuffix("qa7")] * 2


def test_who_was_given_a_suffix_is_not_asked_for_it() -> None:
    stack = fresh_stack("qa7")
    plain = cdk.Stack(fresh_app(), "Plain")
    EnvironmentSuffix("qa8").attach_to(plain)
    with counted() as sent:
        found = [suffix_below(scope, None).value for scope in (stack, plain)]
    assert sent() == 0
    assert found == ["qa7", "qa8"]


def test_the_suffix_attached_last_holds() -> None:
    stack = fresh_stack("qa7")
    EnvironmentSuffix("qa8").attach_to(stack)
    assert suffix_below(stack, None) == EnvironmentSuffix.of(stack) == EnvironmentSuffix("qa8")


def test_two_scopes_with_two_suffixes_stay_apart() -> None:
    stack = fresh_stack("prod")
    parts = [Construct(stack, id) for id in ("Blue", "Green", "Plain")]
    EnvironmentSuffix("blue").attach_to(parts[0])
    EnvironmentSuffix("green").attach_to(parts[1])
    for _ in range(2):
        found = [suffix_below(part, None).value for part in parts]
        assert found == ["blue", "green", "prod"]
    assert [policy_in(part) for part in parts] == [
        "iot-telemetry-device-blue",
        "iot-telemetry-device-green",
        "iot-telemetry-device-prod",
    ]
    app = fresh_app()
    names = [policy_in(fresh_stack(id, app=app, id=id)) for id in ("qa1", "qa2")]
    assert names == ["iot-telemetry-device-qa1", "iot-telemetry-device-qa2"]


@pytest.mark.parametrize("explicit_first", [False, True])
def test_an_explicit_suffix_is_that_of_one_construct_alone(explicit_first: bool) -> None:
    stack = fresh_stack("prod")
    given: dict[str, dict[str, str]] = {"Plain": {}, "Explicit": {"environment_suffix": "QA9"}}
    order = sorted(given, reverse=not explicit_first)
    names = {id: policy_in(stack, id, **given[id]) for id in order}
    assert names == {"Plain": "iot-telemetry-device-prod", "Explicit": "iot-telemetry-device-qa9"}
    assert policy_in(stack, "After", policy_name="after") == "after-prod"


@pytest.mark.parametrize("carrier", ["Stage", "Stack", "Part"])
def test_a_suffix_that_comes_before_the_children_holds_also_if_it_was_asked_before(
    carrier: str,
) -> None:
    scope: Construct = fresh_app()
    for make in (cdk.Stage, cdk.Stack, Construct):
        id = "Part" if make is Construct else make.__name__
        scope = make(scope, id)
        EnvironmentSuffix.of(scope)  # as a SuffixedStack asks of the scope that it is made in
        if id == carrier:
            EnvironmentSuffix("late").attach_to(scope)
    assert policy_in(scope) == "iot-telemetry-device-late"
    assert policy_in(scope, "Again", policy_name="again") == "again-late"


# --- durations ---------------------------------------------------------------------------------------------------


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


def test_a_duration_of_days_is_that_of_as_many_seconds() -> None:
    made = of_days(7)
    assert made is of_seconds(604_800)
    assert made.to_days() == 7
