"""IOT_01: names and the environment suffix."""

from __future__ import annotations

from typing import Any

import pytest

from iot_constructs.rules.check_names import contains_suffix
from iot_constructs.rules.graph import NAME_PROPERTIES
from tests.rules.compliant_pipeline import (
    ACCOUNT,
    REGION,
    att,
    check,
    compliant,
    found,
    places,
    ref,
    resource,
    stack_info,
    template,
)

JOINED = {"Fn::Join": ["-", ["iot-data", ACCOUNT, REGION]]}


def test_a_compliant_pipeline_has_no_finding() -> None:
    assert found(compliant()) == []


@pytest.mark.parametrize("type", sorted(NAME_PROPERTIES))
def test_a_literal_name_without_the_suffix(type: str) -> None:
    # Properties that the other rules look at are not the matter here.
    one = {"It": resource(type, **{NAME_PROPERTIES[type]: "iot-device-state"})}
    named = [it for it in check(template(one)) if it.rule_id == "IOT_01_ENVIRONMENT_SUFFIX"]
    assert places(named) == [("IOT_01", "It")]
    assert "'iot-device-state'" in named[0].detail
    assert "'dev'" in named[0].detail
    assert named[0].property_path == f"Properties/{NAME_PROPERTIES[type]}"


@pytest.mark.parametrize(
    "name",
    [
        JOINED,
        {"Fn::Sub": "iot-data-${AWS::AccountId}-${AWS::Region}"},
        {"Fn::Sub": ["${Stem}-${AWS::AccountId}", {"Stem": "iot-data"}]},
        {"Fn::Join": ["", ["iot-", {"Fn::Select": [1, ["a", "b"]]}]]},
        "iot-device",  # the suffix is a word, not the beginning of one
        "iot-dev2",
        "developer",
        {"Fn::If": ["IsProd", "iot-data", "iot-data"]},
    ],
)
def test_a_computed_name_without_the_suffix(name: Any) -> None:
    resources = {"It": resource("AWS::SQS::Queue", QueueName=name)}
    assert found(resources) == [("IOT_01", "It")]


@pytest.mark.parametrize(
    "name",
    [
        "iot-dev",
        "iot-dev.fifo",
        "iot_rule_dev",
        "/aws/lambda/iot-dev",
        "IotStateDev",
        "iot-DEV",
        "dev-iot",
        {"Fn::Join": ["", ["iot-", ACCOUNT, "-", REGION, "-dev"]]},
        {"Fn::Sub": "iot-${AWS::AccountId}-dev"},
        {"Fn::Sub": "iot-dev-${AWS::AccountId}-${AWS::Region}"},
        # what may hold the suffix
        ref("Environment"),
        {"Fn::Sub": "iot-state-${Environment}"},
        {"Fn::Join": ["-", ["iot", ref("Environment"), "queue"]]},
        {"Fn::FindInMap": ["Names", "Queue", "Name"]},
        {"Fn::ImportValue": "somewhere"},
        {"Fn::If": ["IsProd", "iot-data-prod", "iot-data-dev"]},
        {"Fn::If": ["Named", "iot-data", {"Ref": "AWS::NoValue"}]},
        "{{resolve:ssm:/iot/name}}",
        {"Fn::Sub": "iot-${AWS::StackId}"},
        # the stack's own name has it
        {"Fn::Sub": "${AWS::StackName}-queue"},
        # left to CloudFormation
        None,
        {"Ref": "AWS::NoValue"},
    ],
)
def test_a_name_that_carries_the_suffix_or_may_carry_it(name: Any) -> None:
    properties = {} if name is None else {"QueueName": name}
    assert found({"It": resource("AWS::SQS::Queue", **properties)}) == []


def test_a_log_group_named_after_a_function_is_left_to_the_function() -> None:
    name = {"Fn::Join": ["", ["/aws/lambda/", ref("Function")]]}
    resources = {
        "Function": resource("AWS::Lambda::Function", FunctionName="processor"),
        "Logs": resource("AWS::Logs::LogGroup", LogGroupName=name),
    }
    assert found(resources) == [("IOT_01", "Function")]


class TestNameMadeOfTheStacksName:
    """As AWS Solutions Constructs name their Firehose streams."""

    MADE = "KinesisFirehoseTelemetrydevchiveKinesisFirehoseToS3612E3482"

    def test_the_stack_decides(self) -> None:
        one = {"It": resource("AWS::SQS::Queue", QueueName=self.MADE)}
        assert found(one) == []
        other = self.MADE.replace("Telemetrydev", "Telemetry")
        one = {"It": resource("AWS::SQS::Queue", QueueName=other)}
        assert places(check(template(one, stack_info(name="Telemetry")))) == [("IOT_01", None)]

    def test_the_last_letters_of_the_stacks_name_are_enough(self) -> None:
        for stack, expected in (("metrydev", []), ("etrydev", [("IOT_01", "It")])):
            one = {"It": resource("AWS::SQS::Queue", QueueName=f"x-{stack}-Archive612E3482")}
            # CDK cuts names in front: of Telemetry-dev eight letters tell it from others.
            assert found(one, suffix="prod") == [*expected, ("IOT_01", None)]

    def test_without_a_manifest_there_is_no_stacks_name(self) -> None:
        alone = template({"It": resource("AWS::SQS::Queue", QueueName=self.MADE)})
        alone.stack = None
        assert places(check(alone)) == [("IOT_01", "It")]

    def test_a_hash_alone_or_the_stack_alone_is_not_enough(self) -> None:
        made = (
            "Archive612E3482",
            "Telemetrydevice-state",
            "telemetrydev20240101",
            "telemetrydevfacadeed",
        )
        for name in made:
            assert found({"It": resource("AWS::SQS::Queue", QueueName=name)}) == [("IOT_01", "It")]


def test_a_suffix_of_two_words() -> None:
    assert contains_suffix("iot_rule_pr_123", "pr-123")
    assert contains_suffix("iot-state-pr-123", "pr-123")
    assert not contains_suffix("iot-state-pr-12", "pr-123")
    assert not contains_suffix("iot-state-pr-1234", "pr-123")


def test_inline_policies_are_named_inside_their_role() -> None:
    policy = resource("AWS::IAM::Policy", PolicyName="ProcessorRoleDefaultPolicy51E6C1DA")
    assert found({"It": policy}) == []


class TestStackName:
    def test_of_another_environment(self) -> None:
        findings = check(
            template({"It": resource("AWS::SQS::Queue")}, stack_info(name="Telemetry"))
        )
        assert places(findings) == [("IOT_01", None)]
        assert "'Telemetry'" in findings[0].detail

    def test_is_one_finding_for_many_unnamed_resources(self) -> None:
        queues = {f"Queue{index}": resource("AWS::SQS::Queue") for index in range(3)}
        queues["Role"] = resource("AWS::IAM::Role")
        assert places(check(template(queues, stack_info(name="Telemetry")))) == [("IOT_01", None)]

    def test_may_have_the_suffix_anywhere(self) -> None:
        queue = {"It": resource("AWS::SQS::Queue")}
        assert check(template(queue, stack_info(name="Dev-Telemetry"))) == []
        assert check(template(queue, stack_info(name="TelemetryDev"))) == []

    def test_of_a_stack_with_nothing_to_name_is_not_looked_at(self) -> None:
        role = {"It": resource("AWS::IAM::Role"), "Call": resource("Custom::Thing")}
        assert check(template(role, stack_info(name="Roles"))) == []

    def test_is_not_known_without_a_manifest(self) -> None:
        alone = template({"It": resource("AWS::SQS::Queue")})
        alone.stack = None
        assert check(alone) == []


def test_a_stack_is_held_to_its_own_suffix() -> None:
    prod = template(
        {"It": resource("AWS::SQS::Queue", QueueName="iot-prod")}, stack_info(name="Telemetry-prod")
    )
    prod.suffix = "prod"
    assert check(prod, suffix="dev") == []
    prod.suffix = None
    assert places(check(prod, suffix="dev")) == [("IOT_01", "It"), ("IOT_01", None)]


class TestWithoutASuffix:
    @pytest.mark.parametrize("name", ["iot-device-state", "/iot/state", "IotDeviceState"])
    def test_a_wholly_literal_name_can_exist_only_once(self, name: str) -> None:
        findings = check(template({"It": resource("AWS::SQS::Queue", QueueName=name)}), suffix=None)
        assert places(findings) == [("IOT_01", "It")]

    @pytest.mark.parametrize(
        "name", [JOINED, ref("Name"), "iot-state-prod", "iot-pr-123", "qa7-iot"]
    )
    def test_any_other_name_is_given_the_benefit_of_the_doubt(self, name: Any) -> None:
        assert found({"It": resource("AWS::SQS::Queue", QueueName=name)}, suffix=None) == []

    def test_stack_names_are_not_looked_at(self) -> None:
        queue = {"It": resource("AWS::SQS::Queue", QueueName=att("Other", "Name"))}
        assert check(template(queue, stack_info(name="Telemetry")), suffix=None) == []

    def test_the_compliant_pipeline_has_no_finding(self) -> None:
        assert found(compliant(), suffix=None) == []
