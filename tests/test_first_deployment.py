"""Each resource of the example fails once on a model of CloudFormation; the page's steps repair the deployment."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
from botocore.exceptions import ClientError

from tests.cloudformation_model import BUCKET, KEY, TABLE, Model
from tests.documented_steps import ASSET_BUCKET, DeploymentError, commands
from tests.first_deployment import (
    AFTER_ROLLBACK,
    CONTINUE,
    PAGE,
    START_OVER,
    FirstDeployment,
    example,
)
from tests.synth_support import Json, physical_names, resources, the_id

PROD, DEV = example("prod"), example("dev")
ALL = list(PROD["Resources"])
LAST = the_id(PROD, "AWS::CloudWatch::Dashboard")  # nothing needs it
BUCKETS = [physical_names(PROD)[one] for one in resources(PROD, BUCKET)]


def account() -> Model:
    model = Model()
    model.create_bucket(Bucket=ASSET_BUCKET)
    return model


def check_complete(model: Model, attempt: FirstDeployment, status: str = "CREATE_COMPLETE") -> None:
    assert attempt.cdk.status() == status
    assert [one.physical_id for one in model.outside_stacks()] == [ASSET_BUCKET]
    created = Counter(one.type for one in model.resources if one.state == "ACTIVE")
    assert created - Counter([BUCKET]) == Counter(
        body["Type"] for body in attempt.template["Resources"].values()
    )


# --- prod ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("logical_id", ALL)
def test_the_second_attempt_works_after_a_rollback(logical_id: str) -> None:
    model = account()
    attempt = FirstDeployment(model, PROD, "prod")
    attempt.fail(logical_id, rollback=True)
    assert attempt.cdk.status() == "ROLLBACK_COMPLETE"
    # No key is scheduled for deletion while there is something under it.
    assert all(key.state == "ACTIVE" for one in model.resources for key in one.needs.values())
    attempt.follow(AFTER_ROLLBACK)
    assert {type for type, _ in attempt.left} <= {TABLE, KEY}
    check_complete(model, attempt)


@pytest.mark.parametrize("logical_id", ALL)
def test_the_second_attempt_continues_without_a_rollback(logical_id: str) -> None:
    model = account()
    attempt = FirstDeployment(model, PROD, "prod")
    attempt.fail(logical_id, rollback=False)
    before = list(model.resources)
    attempt.follow(CONTINUE)
    check_complete(model, attempt, "UPDATE_COMPLETE")
    assert model.resources[: len(before)] == before


@pytest.mark.parametrize("logical_id", ALL)
def test_the_second_attempt_starts_over(logical_id: str) -> None:
    model = account()
    attempt = FirstDeployment(model, PROD, "prod")
    attempt.fail(logical_id, rollback=False)
    before = list(model.resources)
    attempt.follow(START_OVER)
    check_complete(model, attempt)
    kept = [one for one in model.resources if one in before and one.state == "ACTIVE"]
    assert [one.physical_id for one in kept] == [ASSET_BUCKET]


@pytest.mark.parametrize("with_objects", [BUCKETS, BUCKETS[:1], BUCKETS[1:]])
def test_the_second_attempt_works_after_a_rollback_that_stops_at_a_bucket(
    with_objects: list[str],
) -> None:
    model = account()
    attempt = FirstDeployment(model, PROD, "prod")
    attempt.fail(LAST, rollback=False)
    attempt.put_objects(with_objects)
    model.rollback_stack(StackName="IotPipeline-prod")
    assert attempt.cdk.status() == "ROLLBACK_FAILED"
    attempt.follow(AFTER_ROLLBACK)
    assert {type for type, _ in attempt.left} == {TABLE, KEY, BUCKET}
    check_complete(model, attempt)


def test_without_the_steps_there_is_no_second_attempt() -> None:
    model = account()
    attempt = FirstDeployment(model, PROD, "prod")
    attempt.fail(LAST, rollback=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        attempt.cdk.deploy()
    model.update_termination_protection(
        StackName="IotPipeline-prod", EnableTerminationProtection=False
    )
    with pytest.raises(DeploymentError, match="ROLLBACK_COMPLETE"):
        attempt.cdk.deploy()
    events = model.describe_stack_events(StackName="IotPipeline-prod")["StackEvents"]
    taken = {one["ResourceType"] for one in events if one["ResourceStatus"] == "CREATE_FAILED"}
    assert taken == {TABLE}


# --- what the run can find -----------------------------------------------------------------------


def retained_everywhere(template: Json) -> Json:
    template = copy.deepcopy(template)
    for body in template["Resources"].values():
        if body.get("DeletionPolicy") == "RetainExceptOnCreate":
            body["DeletionPolicy"] = "Retain"
    return template


def test_with_retain_everywhere_the_second_attempt_ends_in_names_that_are_taken() -> None:
    template = retained_everywhere(PROD)
    recovered, taken = [], set()
    for logical_id in ALL:
        model = account()
        attempt = FirstDeployment(model, template, "prod")
        attempt.fail(logical_id, rollback=True)
        try:
            attempt.follow(AFTER_ROLLBACK)
        except DeploymentError:
            events = model.describe_stack_events(StackName="IotPipeline-prod")["StackEvents"]
            failed = [one for one in events if one["ResourceStatus"] == "CREATE_FAILED"]
            taken |= {one["ResourceType"] for one in failed}
        else:
            recovered.append(template["Resources"][logical_id]["Type"])
    # Everything else needs the key, and without a key there is little to retain.
    assert recovered == [KEY]
    assert taken == {"AWS::Kinesis::Stream", "AWS::SQS::Queue", "AWS::Logs::LogGroup"}


def test_with_protected_tables_that_the_rollback_deletes_it_fails() -> None:
    template = copy.deepcopy(PROD)
    for body in resources(template, TABLE).values():
        body["DeletionPolicy"] = "RetainExceptOnCreate"
    attempt = FirstDeployment(account(), template, "prod")
    attempt.fail(LAST, rollback=True)
    assert attempt.cdk.status() == "ROLLBACK_FAILED"


STEPS = [
    (heading, line)
    for heading in (CONTINUE, START_OVER, AFTER_ROLLBACK)
    for block in commands(PAGE, heading)
    for line in block
]


@pytest.mark.parametrize(("heading", "line"), STEPS)
def test_no_step_of_the_page_can_be_left_out(heading: str, line: str) -> None:
    """A page that loses a step turns the tests above red."""
    model = account()
    attempt = FirstDeployment(model, PROD, "prod")
    attempt.fail(LAST, rollback=False)
    if heading == AFTER_ROLLBACK:
        attempt.put_objects(BUCKETS)
        model.rollback_stack(StackName="IotPipeline-prod")
    try:
        attempt.follow(heading, without=line)
        check_complete(
            model, attempt, "UPDATE_COMPLETE" if heading == CONTINUE else "CREATE_COMPLETE"
        )
    except (AssertionError, ClientError, DeploymentError, KeyError):
        return  # KeyError: a variable that was not set
    pytest.fail(f"nothing needs {line}")


# --- dev -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("logical_id", DEV["Resources"])
def test_an_ephemeral_environment_leaves_nothing_and_needs_no_steps(logical_id: str) -> None:
    model = account()
    attempt = FirstDeployment(model, DEV, "dev")
    attempt.fail(logical_id, rollback=True)
    assert attempt.cdk.status() == "ROLLBACK_COMPLETE"
    assert [one.physical_id for one in model.outside_stacks()] == [ASSET_BUCKET]
    attempt.cdk.deploy()
    check_complete(model, attempt)


def test_the_buckets_of_an_ephemeral_environment_may_hold_objects() -> None:
    model = account()
    attempt = FirstDeployment(model, DEV, "dev")
    attempt.fail(list(DEV["Resources"])[-1], rollback=False)
    attempt.put_objects(physical_names(DEV)[one] for one in resources(DEV, BUCKET))
    attempt.cdk.rollback()
    attempt.cdk.deploy()
    check_complete(model, attempt)
