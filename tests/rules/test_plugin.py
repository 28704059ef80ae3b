"""IotPipelineChecks in real synths: what fails, what CDK still reports, and what can be acknowledged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sam as sam
from aws_cdk import cloudformation_include as include
from constructs import Construct

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs import EnvironmentSuffix, SuffixedStack
from iot_constructs.rules import IotPipelineChecks
from iot_constructs.rules.catalogue import RULE_BY_ID
from tests.synth_support import ENV, fresh_app, recommended_flags

OURS = "IotPipelineChecks"
CDKS = "CloudFormation Validate"
RECOVERY = "IOT_02_POINT_IN_TIME_RECOVERY"
NOT_JUDGED = "IOT_00_NOT_JUDGED"


class Violation(NamedTuple):
    plugin: str
    rule: str
    severity: str
    construct: str
    message: str
    fix: str


def synth(app: cdk.App) -> str | None:
    """The error that the synth ended with; None if it did not."""
    try:
        app.synth()
    except RuntimeError as error:
        return str(error)
    return None


def violations(app: cdk.App) -> list[Violation]:
    """What is in the report of the last synth."""
    report: Any = json.loads((Path(app.outdir) / "validation-report.json").read_text())
    return [
        Violation(
            plugin["pluginName"],
            found["ruleName"],
            found["severity"],
            resource["constructPath"],
            found["description"],
            found.get("suggestedFix", ""),
        )
        for plugin in report["pluginReports"]
        for found in plugin["violations"]
        for resource in found["violatingConstructs"]
    ]


def of(app: cdk.App, rule: str) -> list[Violation]:
    return [found for found in violations(app) if found.rule == rule]


def table(scope: Construct, id: str = "Table") -> dynamodb.Table:
    return dynamodb.Table(
        scope,
        id,
        partition_key=dynamodb.Attribute(name="a", type=dynamodb.AttributeType.STRING),
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )


class Synthesized(NamedTuple):
    app: cdk.App
    error: str | None


def wrong_app(app: cdk.App) -> cdk.App:
    """A table in a stack, one in its nested stack, and one in a stage."""
    stack = cdk.Stack(app, "Plain")
    table(stack)
    table(cdk.NestedStack(stack, "Nested"))
    table(cdk.Stack(cdk.Stage(app, "Stage"), "Inner"))
    # CDK has a rule of its own about this one: a runtime that is gone.
    lambda_.CfnFunction(
        stack,
        "Old",
        role="arn:aws:iam::123456789012:role/x",
        runtime="python3.6",
        handler="index.handler",
        code=lambda_.CfnFunction.CodeProperty(zip_file="x"),
    )
    return app


def validated_app() -> cdk.App:
    """An app in which CDK's own validation runs as well."""
    return cdk.App(outdir=fresh_app().outdir, analytics_reporting=False)


@pytest.fixture(scope="module")
def strict() -> Synthesized:
    app = validated_app()
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev"))
    return Synthesized(app, synth(wrong_app(app)))


def test_a_finding_fails_the_synth(strict: Synthesized) -> None:
    assert strict.error is not None
    assert "ValidationFailed" in strict.error
    ours = [found for found in violations(strict.app) if found.plugin == OURS]
    assert ours
    assert {found.severity for found in ours} == {"error"}


def test_stacks_nested_stacks_and_stages_are_checked(strict: Synthesized) -> None:
    assert sorted(found.construct for found in of(strict.app, RECOVERY)) == [
        "Plain/Nested/Table/Resource",
        "Plain/Table/Resource",
        "Stage/Inner/Table/Resource",
    ]


def test_a_message_has_the_violation_the_fix_and_the_id(strict: Synthesized) -> None:
    found = of(strict.app, RECOVERY)[0]
    assert found.message.startswith("no point-in-time recovery")
    assert found.message.endswith(f"[IotPipelineChecks::{RECOVERY}]")
    assert found.fix == (
        "point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification("
        "point_in_time_recovery_enabled=True) (https://docs.aws.amazon.com/amazondynamodb/"
        "latest/developerguide/Point-in-time-recovery.html)"
    )


def test_rules_of_the_catalogue_are_reported_and_no_others(strict: Synthesized) -> None:
    rules = {found.rule for found in violations(strict.app) if found.plugin == OURS}
    assert {RECOVERY} <= rules <= set(RULE_BY_ID)


def test_a_finding_about_a_stack_is_at_the_stack(strict: Synthesized) -> None:
    found = of(strict.app, "IOT_05_TERMINATION_PROTECTION")
    assert [it.construct for it in found] == ["Plain", "Stage/Inner"]


def test_cdks_own_findings_are_those_that_it_has_without_us(strict: Synthesized) -> None:
    app = validated_app()
    assert synth(wrong_app(app)) is None
    alone = violations(app)
    assert alone
    assert [found for found in violations(strict.app) if found.plugin == CDKS] == alone
    assert {found.severity for found in alone} == {"warning"}


def test_not_strict_they_are_warnings() -> None:
    app = fresh_app()
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev", strict=False))
    assert synth(wrong_app(app)) is None
    ours = [found for found in violations(app) if found.plugin == OURS]
    assert {found.severity for found in ours} == {"warning"}
    assert RECOVERY in {found.rule for found in ours}


def test_a_finding_is_acknowledged_at_its_construct_or_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As a person would turn it off, and none of CDK's findings come back.
    monkeypatch.setenv("CDK_VALIDATION", "false")
    app = fresh_app()
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev", strict=False))
    stack = cdk.Stack(app, "Plain")
    meant = table(stack, "Meant")
    table(stack, "Mistaken")
    nested = cdk.NestedStack(stack, "Nested")
    table(nested, "Below")
    for scope in (meant, nested):
        cdk.Validations.of(scope).acknowledge(
            cdk.Acknowledgment(id=f"IotPipelineChecks::{RECOVERY}", reason="can be written again")
        )
    assert synth(app) is None
    assert [found.construct for found in of(app, RECOVERY)] == ["Plain/Mistaken/Resource"]
    assert {found.plugin for found in violations(app)} == {OURS}


class TestSuffix:
    def names(self, app: cdk.App) -> list[str]:
        return [found.construct for found in of(app, "IOT_01_ENVIRONMENT_SUFFIX")]

    def streams(self, stack: cdk.Stack, *names: str) -> None:
        for name in names:
            kinesis.CfnStream(stack, name.title().replace("-", ""), name=name, shard_count=1)

    def test_one_that_is_given_holds_for_plain_stacks_a_carried_one_for_its_own(self) -> None:
        app = fresh_app()
        cdk.Validations.of(app).add_plugins(
            IotPipelineChecks(suffix=EnvironmentSuffix("PROD"), strict=False)
        )
        self.streams(cdk.Stack(app, "Plain-prod"), "readings-dev", "readings-prod")
        self.streams(SuffixedStack(app, "Own", environment_suffix="dev"), "a-dev", "a-prod")
        app.synth()
        assert sorted(self.names(app)) == ["Own/AProd", "Plain-prod/ReadingsDev"]

    def test_without_one_each_stack_is_asked(self) -> None:
        app = fresh_app()
        cdk.Validations.of(app).add_plugins(IotPipelineChecks(strict=False))
        for environment in ("dev", "prod"):
            stage = cdk.Stage(app, environment.title())
            EnvironmentSuffix(environment).attach_to(stage)
            self.streams(cdk.Stack(stage, "Plain"), f"readings-{environment}", "readings-qa")
        app.synth()
        assert sorted(self.names(app)) == ["Dev/Plain/ReadingsQa", "Prod/Plain/ReadingsQa"]

    def test_an_illegal_one_is_refused(self) -> None:
        with pytest.raises(ValueError, match="environment_suffix='a b'"):
            IotPipelineChecks(suffix="a b")


def test_a_validate_plugin_of_the_users_stays() -> None:
    app = fresh_app()
    theirs = cdk.ValidationRuleSource(
        name="theirs.guard",
        content="rule NAMED { Resources.*[ Type == 'AWS::Kinesis::Stream' ].Properties.Name exists }",
    )
    cdk.Validations.of(app).add_plugins(
        cdk.CloudFormationValidatePlugin(guard_rules=[theirs]), IotPipelineChecks(strict=False)
    )
    stack = cdk.Stack(app, "Plain")
    kinesis.Stream(stack, "Stream")
    table(stack)
    assert synth(app) is None
    assert {found.plugin for found in of(app, "NAMED")} == {CDKS}
    assert {found.plugin for found in of(app, RECOVERY)} == {OURS}


def test_findings_of_an_included_template_and_of_sam_are_at_their_constructs(
    tmp_path: Path,
) -> None:
    included = tmp_path / "included.json"
    body = {"Resources": {"Old": {"Type": "AWS::DynamoDB::Table", "Properties": {"KeySchema": []}}}}
    included.write_text(json.dumps(body))
    app = fresh_app()
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(strict=False))
    stack = cdk.Stack(app, "Plain")
    include.CfnInclude(stack, "Included", template_file=str(included))
    function = sam.CfnFunction(
        stack, "Function", runtime="python3.13", handler="index.handler", inline_code="pass"
    )
    function.add_property_override(
        "Events",
        {
            "Readings": {
                "Type": "Kinesis",
                "Properties": {
                    "Stream": "arn:aws:kinesis:eu-central-1:123456789012:stream/readings",
                    "StartingPosition": "LATEST",
                },
            }
        },
    )
    sam.CfnSimpleTable(stack, "Simple")
    assert synth(app) is None
    assert [found.construct for found in of(app, RECOVERY)] == [
        "Plain/Included/Old",
        "Plain/Simple",
    ]
    # About the mapping that SAM generates.
    assert [it.construct for it in of(app, "IOT_13_TRIM_HORIZON")] == ["Plain/Function"]
    assert of(app, "IOT_00_NOT_JUDGED") == []


def test_what_is_not_judged_is_a_warning_and_can_be_acknowledged() -> None:
    def app_with_a_macro() -> tuple[cdk.App, cdk.Stack]:
        app = fresh_app()
        cdk.Validations.of(app).add_plugins(IotPipelineChecks())
        stack = cdk.Stack(app, "Plain-dev", termination_protection=True)
        stack.add_transform("OurOwnMacro")
        return app, stack

    app, _ = app_with_a_macro()
    assert synth(app) is None
    [found] = of(app, NOT_JUDGED)
    assert (found.severity, found.construct) == ("warning", "Plain-dev")
    assert "OurOwnMacro" in found.message
    assert found.fix.startswith("\n# Check the template that CloudFormation deployed")

    app, stack = app_with_a_macro()
    cdk.Validations.of(stack).acknowledge(
        cdk.Acknowledgment(id=f"IotPipelineChecks::{NOT_JUDGED}", reason="adds tags only")
    )
    assert synth(app) is None
    assert of(app, NOT_JUDGED) == []


def test_added_to_a_stage_it_checks_its_stacks_only() -> None:
    app = fresh_app()
    stage = cdk.Stage(app, "Stage")
    cdk.Validations.of(stage).add_plugins(IotPipelineChecks(strict=False))
    for scope in (app, stage):
        table(cdk.Stack(scope, "Plain"))
    assert synth(app) is None
    assert [found.construct for found in of(app, RECOVERY)] == ["Stage/Plain/Table/Resource"]


@pytest.mark.parametrize("suffix", ["dev", "prod"])
def test_the_example_has_no_finding_with_the_flags_of_a_new_app(suffix: str) -> None:
    app = fresh_app(recommended_flags())
    cdk.Validations.of(app).add_plugins(IotPipelineChecks())
    email = "ops@example.com"
    IotPipelineStack(app, "IotPipeline", environment_suffix=suffix, env=ENV, alarm_email=email)
    assert synth(app) is None
    assert [found for found in violations(app) if found.plugin == OURS] == []
