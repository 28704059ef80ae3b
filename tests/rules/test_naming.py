"""IOT_01: names and the environment suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from iot_constructs.rules.names import NAME_PROPERTIES
from iot_constructs.rules.naming import EnvironmentSuffixInNames, contains_suffix
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import StackInfo, Template
from tests.rules import compliant_pipeline as pipeline
from tests.rules.compliant_pipeline import (
    ACCOUNT,
    REGION,
    Json,
    att,
    compliant,
    places,
    ref,
    resource,
    stack_info,
    template,
)
from tests.rules.fix_cases import merged

JOINED = {"Fn::Join": ["-", ["iot-data", ACCOUNT, REGION]]}


def check(*templates: Template, suffix: str | None = "dev") -> list[Finding]:
    """The findings of this rule."""
    return [it for it in pipeline.check(*templates, suffix=suffix) if it.rule_id[:6] == "IOT_01"]


def found(resources: dict[str, Json], suffix: str | None = "dev") -> list[tuple[str, str | None]]:
    return places(check(template(resources), suffix=suffix))


def named(type: str, name: Any) -> Json:
    """A resource of ``type`` with this name."""
    for step in reversed(NAME_PROPERTIES[type].split("/")):
        name = {step: name}
    return resource(type, **name)


def test_a_compliant_pipeline_has_no_finding() -> None:
    assert found(compliant()) == []


@pytest.mark.parametrize("type", sorted(NAME_PROPERTIES))
class TestEachType:
    def test_a_literal_name_without_the_suffix(self, type: str) -> None:
        findings = check(template({"It": named(type, "iot-device-state")}))
        assert places(findings) == [("IOT_01", "It")]
        assert "'iot-device-state'" in findings[0].detail
        assert "'dev'" in findings[0].detail
        assert findings[0].property_path == f"Properties/{NAME_PROPERTIES[type]}"

    @pytest.mark.parametrize("suffix", ["dev", None])
    def test_the_cloudformation_fix(self, type: str, suffix: str | None) -> None:
        resources = {"It": named(type, "iot-device-state")}
        [finding] = check(template(resources), suffix=suffix)
        fix = EnvironmentSuffixInNames().remediation_of(finding)
        fixed = merged(resources, yaml.safe_load(fix.cloudformation))
        assert set(fixed) == {"It"}
        assert found(fixed, suffix) == []


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
        {"Fn::If": ["IsProd", "iot-data", {"Fn::If": ["IsTest", "iot-try", "iot-readings"]}]},
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
        {"Fn::If": ["Given", "iot-data", {"Ref": "Name"}]},
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

    def test_the_first_letters_of_the_stacks_name_are_enough(self) -> None:
        # AWS Solutions Constructs cut the middle.
        name = "KinesisFirehoseSolutionsPipelinechiveKinesisFirehoseToS395B85071"
        for stack, expected in (("SolutionsPipeline-dev", []), ("Other-dev", [("IOT_01", "It")])):
            one = {"It": resource("AWS::SQS::Queue", QueueName=name)}
            assert places(check(template(one, stack_info(name=stack)))) == expected

    def test_without_a_manifest_the_hash_of_cdk_is_enough(self) -> None:
        for name, expected in (
            (self.MADE, []),
            ("Archive612E3482", []),
            ("Third-T-F3E90E75.fifo", []),
            ("archive612e3482", [("IOT_01", "It")]),
            ("Archive20240101", [("IOT_01", "It")]),
            ("ArchiveFACADEED", [("IOT_01", "It")]),
        ):
            alone = template({"It": resource("AWS::SQS::Queue", QueueName=name)})
            alone.stack = None
            assert places(check(alone)) == expected, name

    def test_a_physical_name_that_cdk_generates(self) -> None:
        name = "telemetry-production-euproductioneudatac98f04895e6381773f33"
        assert found({"It": resource("AWS::S3::Bucket", BucketName=name)}) == []

    def test_a_name_with_the_region_around_the_generated_one(self) -> None:
        for name in (
            "${AWS::Region}TelemetryDevFn5922998C",
            "TelemetryDevCp1F24F426-${AWS::Region}",
        ):
            one = {"It": named("AWS::CloudFront::Function", {"Fn::Sub": name})}
            assert found(one, "prod") == [("IOT_01", None)]

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


def test_the_given_suffix_comes_before_that_of_the_stack() -> None:
    prod = template(
        {"It": resource("AWS::SQS::Queue", QueueName="iot-prod")}, stack_info(name="Telemetry-prod")
    )
    prod.suffix = "prod"
    assert places(check(prod, suffix="dev")) == [("IOT_01", "It"), ("IOT_01", None)]
    assert check(prod, suffix=None) == []
    prod.suffix = "dev"
    assert places(check(prod, suffix=None)) == [("IOT_01", "It"), ("IOT_01", None)]


def test_a_nested_stack_has_the_suffix_of_its_root() -> None:
    outer = template({"Nested": resource("AWS::CloudFormation::Stack")})
    outer.suffix = "dev"
    inside = {"Resources": {"It": resource("AWS::SQS::Queue", QueueName="iot-test")}}
    outer.nested["Nested"] = Template(Path("n.json"), inside, parent=outer.resources["Nested"])
    assert places(check(outer, suffix=None)) == [("IOT_01", "It")]


LITERAL = (
    *("iot-device-state", "/iot/state", "IotDeviceState", "gateway", "devices", "", "123"),
    # an environment's name that is something else here
    *("SoilHumidityTestRule", "SoilHumidityRule", "live-metrics", "production-line", "test-rig-3"),
    *("iot-dev-stream", "int-values", "stage-lights", "alias/telemetry", "/aws/lambda/telemetry"),
    *("telemetry-demo", "demo"),
)
OF_AN_ENVIRONMENT = (
    *("iot-state-prod", "iot-pr-123", "qa7-iot", "dev-iot", "iot_rule_dev", "IotStateDev"),
    *("iot-test", "iot-live", "iot-dev.fifo", "iot-dev2", "/dev/iot/state", "/aws/lambda/dev-iot"),
    *("alias/prod-key", "uat-iot", "e2e-iot", "iot-e2e", "iot-preprod"),
)


class TestWithoutASuffix:
    @pytest.mark.parametrize("name", LITERAL)
    def test_a_literal_name_can_exist_only_once(self, name: str) -> None:
        findings = check(template({"It": resource("AWS::SQS::Queue", QueueName=name)}), suffix=None)
        assert places(findings) == [("IOT_01", "It")]
        assert f"{name!r} is the same in every environment" in findings[0].detail

    @pytest.mark.parametrize("name", OF_AN_ENVIRONMENT)
    def test_a_name_of_an_environment(self, name: str) -> None:
        assert found({"It": resource("AWS::SQS::Queue", QueueName=name)}, suffix=None) == []

    @pytest.mark.parametrize(
        "name",
        [JOINED, ref("Name"), ref("AWS::StackName"), {"Fn::Sub": "${AWS::StackName}-rule"}],
    )
    def test_a_name_that_is_not_literal(self, name: Any) -> None:
        one = template({"It": named("AWS::SQS::Queue", name)}, stack_info(name="Telemetry"))
        assert check(one, suffix=None) == []

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Telemetry-queue", []),
            ("rule_Telemetry", []),
            ("Telemetryqueue", [("IOT_01", "It")]),
            ("telemetry-queue", [("IOT_01", "It")]),
        ],
    )
    def test_a_name_with_the_stacks_as_cdk_resolves_it(
        self, name: str, expected: list[tuple[str, str]]
    ) -> None:
        queue = {"It": resource("AWS::SQS::Queue", QueueName=name)}
        stack = stack_info(name="Telemetry")
        assert places(check(template(queue, stack), suffix=None)) == expected

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("iot-123456789012", []),
            ("iot_eu-central-1_rule", []),
            ("iot-1234567890123", [("IOT_01", "It")]),
            ("iot-us-east-1", [("IOT_01", "It")]),
        ],
    )
    def test_a_name_with_the_account_or_the_region_as_cdk_resolves_it(
        self, name: str, expected: list[tuple[str, str]]
    ) -> None:
        queue = {"It": resource("AWS::SQS::Queue", QueueName=name)}
        stack = StackInfo("Telemetry", True, account="123456789012", region="eu-central-1")
        assert places(check(template(queue, stack), suffix=None)) == expected

    def test_stack_names_are_not_looked_at(self) -> None:
        queue = {"It": resource("AWS::SQS::Queue", QueueName=att("Other", "Name"))}
        assert check(template(queue, stack_info(name="Telemetry")), suffix=None) == []

    def test_the_compliant_pipeline_has_no_finding(self) -> None:
        assert found(compliant(), suffix=None) == []


def test_a_name_after_the_stacks_is_the_stacks_finding() -> None:
    queue = {"It": named("AWS::SQS::Queue", {"Fn::Sub": "${AWS::StackName}-queue"})}
    assert places(check(template(queue, stack_info(name="Telemetry")))) == [("IOT_01", None)]


class TestFix:
    @pytest.mark.parametrize(
        ("type", "name", "cdk", "cloudformation"),
        [
            (
                "AWS::Kinesis::Stream",
                "SoilHumidityRule",
                'stream_name=f"SoilHumidityRule-{EnvironmentSuffix.of(self)}"',
                {"Name": {"Ref": "AWS::NoValue"}},
            ),
            (
                "AWS::DynamoDB::Table",
                "state",
                'table_name=f"state-{EnvironmentSuffix.of(self)}"',
                {"TableName": {"Ref": "AWS::NoValue"}},
            ),
            (
                "AWS::IoT::TopicRule",
                "telemetry",
                'rule_name=f"telemetry_{EnvironmentSuffix.of(self)}"',
                {"RuleName": {"Ref": "AWS::NoValue"}},
            ),
            (
                "AWS::SQS::Queue",
                "orders.fifo",
                'queue_name=f"orders-{EnvironmentSuffix.of(self)}.fifo"',
                {"QueueName": {"Ref": "AWS::NoValue"}},
            ),
            (
                "AWS::KMS::Alias",
                "alias/data",
                'alias_name=f"alias/data-{EnvironmentSuffix.of(self)}"',
                {"AliasName": {"Fn::Sub": "alias/data-${AWS::StackName}"}},
            ),
            (
                "AWS::Glue::Database",
                "telemetry",
                'database_name=f"telemetry-{EnvironmentSuffix.of(self)}"',
                {"DatabaseInput": {"Name": {"Ref": "AWS::NoValue"}}},
            ),
        ],
    )
    def test_keeps_the_name(self, type: str, name: str, cdk: str, cloudformation: Json) -> None:
        [finding] = check(template({"It": named(type, name)}))
        fix = EnvironmentSuffixInNames().remediation_of(finding)
        assert fix.cdk == cdk
        assert yaml.safe_load(fix.cloudformation) == {"It": {"Properties": cloudformation}}

    def test_keeps_account_and_region(self) -> None:
        [finding] = check(template({"It": named("AWS::S3::Bucket", JOINED)}))
        assert EnvironmentSuffixInNames().remediation_of(finding).cdk == (
            'bucket_name=f"iot-data-{cdk.Aws.ACCOUNT_ID}-{cdk.Aws.REGION}-'
            '{EnvironmentSuffix.of(self)}"'
        )

    def test_has_the_account_and_the_region_that_cdk_resolved_as_tokens(self) -> None:
        stack = StackInfo("Telemetry-dev", True, account="123456789012", region="eu-central-1")
        name = "iot-data-123456789012-eu-central-1"
        [finding] = check(template({"It": named("AWS::S3::Bucket", name)}, stack))
        assert EnvironmentSuffixInNames().remediation_of(finding).cdk == (
            'bucket_name=f"iot-data-{cdk.Aws.ACCOUNT_ID}-{cdk.Aws.REGION}-'
            '{EnvironmentSuffix.of(self)}"'
        )

    def test_of_a_stack(self) -> None:
        queue = {"It": resource("AWS::SQS::Queue")}
        [finding] = check(template(queue, stack_info(name="Readings")))
        fix = EnvironmentSuffixInNames().remediation_of(finding)
        assert fix.cdk.splitlines()[-1] == 'stack_name=f"Readings-{EnvironmentSuffix.of(scope)}"'
        assert fix.cloudformation == ""
