"""EnvironmentSuffix and SuffixedStack: what an environment is called, and whether it may be thrown away."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import jsii
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct, RootConstruct
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iot_constructs import (
    DeviceStateTable,
    EnvironmentSuffix,
    SecureDataBucket,
    SuffixedStack,
    TimeSeriesTable,
)
from iot_constructs.environment import data_removal_policy
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    fresh_app,
    fresh_stack,
    one,
    one_resource,
    recommended_flags,
    template_of,
)

LETTERS_AND_DIGITS = set(string.ascii_lowercase + string.digits)
EPHEMERAL_WORDS = ("dev", "test", "qa", "ci", "pr", "tmp", "sandbox")

WORD = st.text(alphabet=string.ascii_lowercase + string.digits, min_size=1, max_size=9)
LEGAL = st.lists(WORD, min_size=1, max_size=4).map("-".join).filter(lambda text: len(text) <= 19)


# --- the grammar of a suffix -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["dev", "prod", "pr-123", "7", "a-b-c", "a" * 19, "a" * 9 + "-" + "b" * 9]
)
def test_a_legal_suffix_is_kept(value: str) -> None:
    assert EnvironmentSuffix(value).value == value
    assert str(EnvironmentSuffix(value)) == value


def test_upper_case_is_lowered_not_refused() -> None:
    assert EnvironmentSuffix("PR-123").value == "pr-123"
    assert EnvironmentSuffix("Prod") == EnvironmentSuffix("prod")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-",
        "-dev",
        "dev-",
        "a--b",
        "a_b",
        "a.b",
        "a b",
        " dev",
        "dev\n",
        "ümlaut",
        "\N{KELVIN SIGN}ube",
        "${Token[AWS.Region.4]}",
    ],
)
def test_an_illegal_suffix_names_itself_the_rule_and_an_example(value: str) -> None:
    with pytest.raises(ValueError) as failure:
        EnvironmentSuffix(value)
    assert repr(value) in str(failure.value)
    assert "words of a-z and 0-9 joined by single hyphens" in str(failure.value)
    assert "pass for example 'dev', 'prod' or 'pr-123'" in str(failure.value)


def test_a_suffix_of_20_characters_is_refused_and_told_to_be_shortened() -> None:
    with pytest.raises(ValueError) as failure:
        EnvironmentSuffix("a" * 20)
    assert f"{'a' * 20!r} has 20 characters and at most 19 fit" in str(failure.value)
    assert "shorten it" in str(failure.value)


@pytest.mark.parametrize("value", [7, 0, False, None, 1.5, ["dev"]])
def test_a_suffix_that_is_no_string_is_refused(value: Any) -> None:
    with pytest.raises(ValueError) as failure:
        EnvironmentSuffix(value)
    assert f"{value!r} is not a string" in str(failure.value)
    assert "pass for example 'dev'" in str(failure.value)


def test_a_suffix_is_a_value_that_cannot_be_changed() -> None:
    suffix = EnvironmentSuffix("dev")
    assert {suffix, EnvironmentSuffix("DEV")} == {suffix}
    with pytest.raises(AttributeError):
        suffix.value = "prod"  # type: ignore[misc]


@settings(deadline=None)
@given(st.text(alphabet="abzABZ059-_. /é\n", max_size=22))
@example("a" * 19)
@example("a" * 20)
def test_exactly_the_documented_grammar_is_accepted(text: str) -> None:
    words = text.lower().split("-")
    legal = len(text) <= 19 and all(word and set(word) <= LETTERS_AND_DIGITS for word in words)
    if legal:
        assert EnvironmentSuffix(text).value == text.lower()
    else:
        with pytest.raises(ValueError, match="environment suffix"):
            EnvironmentSuffix(text)


# --- short-lived or not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [*EPHEMERAL_WORDS, "dev2", "qa7", "pr-123", "PR-9", "test-eu", "ci1-a-b", "sandbox-x", "tmp0"],
)
def test_these_names_say_that_the_environment_is_short_lived(value: str) -> None:
    assert EnvironmentSuffix(value).ephemeral is True


@pytest.mark.parametrize(
    "value",
    [
        *(
            "prod",
            "live",
            "staging",
            "stage",
            "preprod",
            "production",
            "device",
            "development",
            "developer",
        ),
        *(
            "q",
            "test1a",
            "devx",
            "prx",
            "pre",
            "mydev",
            "my-dev",
            "eu-qa",
            "7qa",
            "cic",
            "uat",
            "main",
            "7",
        ),
    ],
)
def test_every_other_name_is_protected(value: str) -> None:
    assert EnvironmentSuffix(value).ephemeral is False


@settings(deadline=None)
@given(LEGAL)
def test_only_the_first_word_less_its_digits_decides(value: str) -> None:
    first_word = value.split("-", maxsplit=1)[0].rstrip(string.digits)
    assert EnvironmentSuffix(value).ephemeral is (first_word in EPHEMERAL_WORDS)


@settings(deadline=None)
@given(
    st.sampled_from(EPHEMERAL_WORDS),
    st.text(alphabet=string.digits, max_size=3),
    st.one_of(st.just(""), WORD.map(lambda word: f"-{word}")),
)
def test_digits_and_a_dash_after_a_short_lived_word_keep_it_so(
    word: str, digits: str, tail: str
) -> None:
    assert EnvironmentSuffix(f"{word}{digits}{tail}"[:19].rstrip("-")).ephemeral is True


# --- which suffix holds ------------------------------------------------------------------------------------------


def test_without_anything_the_environment_is_dev() -> None:
    assert EnvironmentSuffix.of(cdk.Stack(fresh_app())).value == "dev"


def test_the_context_key_is_read() -> None:
    app = fresh_app({"environmentSuffix": "Live"})
    assert EnvironmentSuffix.of(app).value == "live"
    assert EnvironmentSuffix.of(cdk.Stack(app)).value == "live"
    assert SuffixedStack(app, "S").environment_suffix.value == "live"


@pytest.mark.parametrize("value", ["", 7, "no_such"])
def test_an_illegal_context_value_is_refused_and_not_replaced_by_dev(value: object) -> None:
    with pytest.raises(ValueError) as failure:
        EnvironmentSuffix.of(fresh_app({"environmentSuffix": value}))
    assert repr(value) in str(failure.value)
    assert "pass for example 'dev'" in str(failure.value)


def test_an_explicit_suffix_wins_over_what_the_stack_carries() -> None:
    stack = fresh_stack("prod")
    assert EnvironmentSuffix.of(stack, "Qa7").value == "qa7"
    given_suffix = EnvironmentSuffix("qa8")
    assert EnvironmentSuffix.of(stack, given_suffix) is given_suffix


def test_an_empty_explicit_suffix_is_refused_and_not_replaced() -> None:
    with pytest.raises(ValueError, match="environment suffix ''"):
        EnvironmentSuffix.of(fresh_stack("prod"), "")


def test_a_stack_carries_its_suffix_and_wins_over_context() -> None:
    stack = fresh_stack("prod", context={"environmentSuffix": "qa"})
    deep = Construct(cdk.NestedStack(Construct(stack, "Part"), "Nested"), "Deep")
    assert EnvironmentSuffix.of(stack).value == "prod"
    assert EnvironmentSuffix.of(deep).value == "prod"


def test_nearest_carrier_wins_app_stage_stack() -> None:
    app = fresh_app({"environmentSuffix": "context"})
    EnvironmentSuffix("app").attach_to(app)
    stage = cdk.Stage(app, "Stage")
    EnvironmentSuffix("stage").attach_to(stage)
    plain_stack = cdk.Stack(stage, "Plain")
    EnvironmentSuffix("plain").attach_to(plain_stack)
    own_stack = SuffixedStack(stage, "Own", environment_suffix="own")

    assert EnvironmentSuffix.of(cdk.Stack(app, "InApp")).value == "app"
    assert EnvironmentSuffix.of(cdk.Stack(stage, "InStage")).value == "stage"
    assert SuffixedStack(stage, "Inherits").environment_suffix.value == "stage"
    assert EnvironmentSuffix.of(Construct(plain_stack, "Part")).value == "plain"
    assert EnvironmentSuffix.of(Construct(own_stack, "Part")).value == "own"


def test_every_construct_takes_the_suffix_of_its_stage() -> None:
    stage = cdk.Stage(fresh_app(), "Stage")
    EnvironmentSuffix("stage7").attach_to(stage)
    stack = cdk.Stack(stage, "Stack")
    DeviceStateTable(stack, "State")
    assert (
        one(template_of(stack), "AWS::DynamoDB::GlobalTable")["TableName"]
        == "iot-device-state-stage7"
    )


# --- SuffixedStack: termination protection -----------------------------------------------------------------------


def manifest_of(stack: SuffixedStack) -> Json:
    """The stack's properties as the cloud assembly's manifest has them: what the CDK CLI reads."""
    stage = cdk.Stage.of(stack)
    assert stage is not None
    manifest = json.loads(
        (Path(stage.synth().directory) / "manifest.json").read_text(encoding="utf-8")
    )
    properties: Json = manifest["artifacts"][stack.artifact_id]["properties"]
    return properties


@pytest.mark.parametrize(
    ("suffix", "ephemeral", "termination_protection", "expected"),
    [
        ("prod", None, None, True),
        ("live", None, None, True),
        ("staging", None, None, True),
        ("qa7", None, None, False),
        ("dev", None, None, False),
        ("dev", False, None, True),
        ("prod", True, None, False),
        ("prod", None, False, False),
        ("dev", None, True, True),
        ("prod", True, True, True),
    ],
)
def test_the_manifest_always_states_termination_protection(
    suffix: str, ephemeral: bool | None, termination_protection: bool | None, expected: bool
) -> None:
    stack = SuffixedStack(
        fresh_app(),
        "S",
        environment_suffix=suffix,
        ephemeral=ephemeral,
        termination_protection=termination_protection,
    )
    assert stack.termination_protection is expected
    assert manifest_of(stack)["terminationProtection"] is expected  # also false is written down


# --- SuffixedStack: name -----------------------------------------------------------------------------------------


def test_the_stack_name_ends_in_the_suffix() -> None:
    stack = fresh_stack("qa7", id="Telemetry")
    assert stack.stack_name == "Telemetry-qa7"
    assert manifest_of(stack)["stackName"] == "Telemetry-qa7"


def test_a_suffix_that_the_id_ends_in_is_not_said_twice() -> None:
    assert fresh_stack("prod", id="Telemetry-prod").stack_name == "Telemetry-prod"
    assert fresh_stack("prod", id="Telemetry-PROD").stack_name == "Telemetry-PROD"


def test_the_names_of_stages_come_first() -> None:
    inner = cdk.Stage(cdk.Stage(fresh_app(), "Beta"), "Inner")
    part = Construct(inner, "Part")
    assert SuffixedStack(part, "T", environment_suffix="qa").stack_name == "Beta-Inner-T-qa"


def test_the_name_of_the_stage_comes_first_in_the_stage_itself() -> None:
    beta = cdk.Stage(fresh_app(), "Beta")
    assert SuffixedStack(beta, "T", environment_suffix="qa").stack_name == "Beta-T-qa"
    inner = cdk.Stage(beta, "Inner")
    assert SuffixedStack(inner, "T", environment_suffix="qa").stack_name == "Beta-Inner-T-qa"


def test_characters_that_a_stack_name_cannot_have_become_hyphens() -> None:
    assert fresh_stack("qa", id="my_stack").stack_name == "my-stack-qa"


def test_a_given_stack_name_wins() -> None:
    stack = SuffixedStack(fresh_app(), "S", environment_suffix="qa", stack_name="Mine")
    assert stack.stack_name == "Mine"


def test_without_an_app_the_name_has_no_stage() -> None:
    assert SuffixedStack(RootConstruct("Root"), "T").stack_name == "T-dev"


def test_an_app_and_an_id_are_made_when_left_out_as_in_cdk() -> None:
    assert SuffixedStack().stack_name == "Pipeline-dev"


def test_an_illegal_suffix_stops_the_stack() -> None:
    with pytest.raises(ValueError, match="environment suffix 'a_b'"):
        fresh_stack("a_b")
    with pytest.raises(ValueError, match="environment suffix ''"):
        fresh_stack("")


def test_two_stacks_with_one_name_are_an_error_that_names_both() -> None:
    app = fresh_app()
    SuffixedStack(Construct(app, "A"), "Telemetry")
    with pytest.raises(ValueError) as failure:
        SuffixedStack(Construct(app, "B"), "Telemetry")
    assert "stack name 'Telemetry-dev' is used by 'A/Telemetry' and by 'B/Telemetry'" in str(
        failure.value
    )
    assert "give one of them another name" in str(failure.value)
    with pytest.raises(ValueError, match="stack name 'Telemetry-dev' is used by 'A/Telemetry'"):
        SuffixedStack(app, "Other", stack_name="Telemetry-dev")


def test_a_stack_name_is_free_in_another_region_stage_or_environment() -> None:
    app = fresh_app()
    for region in ("eu-central-1", "us-east-1"):
        env = cdk.Environment(account=ACCOUNT, region=region)
        assert SuffixedStack(app, region, env=env, stack_name="Same").stack_name == "Same"
    names = [
        SuffixedStack(cdk.Stage(app, stage), "T", environment_suffix=suffix).stack_name
        for stage, suffix in (("Blue", "qa"), ("Green", "qa"), ("Red", "prod"))
    ]
    assert names == ["Blue-T-qa", "Green-T-qa", "Red-T-prod"]


# --- SuffixedStack: tags -----------------------------------------------------------------------------------------


def tags_of_a_queue(stack: cdk.Stack) -> dict[str, str]:
    sqs.Queue(stack, "Queue")
    return {tag["Key"]: tag["Value"] for tag in one(template_of(stack), "AWS::SQS::Queue")["Tags"]}


def test_everything_is_tagged() -> None:
    assert tags_of_a_queue(fresh_stack("qa7", id="Telemetry")) == {
        "Project": "Telemetry",
        "Environment": "qa7",
        "ManagedBy": "iot-constructs",
    }


def test_a_given_project_wins() -> None:
    stack = SuffixedStack(fresh_app(), "S", environment_suffix="Live", project="Weather")
    assert tags_of_a_queue(stack)["Project"] == "Weather"


def test_tags_reach_nested_stacks() -> None:
    nested = cdk.NestedStack(fresh_stack("qa7"), "Nested")
    assert tags_of_a_queue(nested)["Environment"] == "qa7"


# --- SuffixedStack: what is passed on to cdk.Stack ---------------------------------------------------------------


@pytest.mark.parametrize("flags", [False, True])
def test_the_stack_itself_has_the_tags_whatever_the_flags(flags: bool) -> None:
    context = recommended_flags() if flags else {}
    stack = SuffixedStack(fresh_app(context=context), "Telemetry", environment_suffix="qa7")
    sqs.Queue(stack, "Queue")  # to CDK's validation an empty template is an error
    assert manifest_of(stack)["tags"] == {
        "Project": "Telemetry",
        "Environment": "qa7",
        "ManagedBy": "iot-constructs",
    }


@jsii.implements(cdk.IPropertyInjector)
class _Injector:
    """Changes nothing; there to be found."""

    @property
    def construct_unique_id(self) -> str:
        return str(s3.Bucket.PROPERTY_INJECTION_ID)

    def inject(self, original_props: Any, *, scope: Construct, id: str) -> Any:
        return original_props


@pytest.fixture(scope="module")
def stack_with_everything() -> SuffixedStack:
    stack = SuffixedStack(
        fresh_app(),
        "S",
        environment_suffix="qa",
        env=ENV,
        description="what it is for",
        tags={"Team": "weather"},
        synthesizer=cdk.LegacyStackSynthesizer(),
        permissions_boundary=cdk.PermissionsBoundary.from_name("boundary"),
        notification_arns=[f"arn:aws:sns:{REGION}:{ACCOUNT}:events"],
        analytics_reporting=True,
        property_injectors=[_Injector()],
        suppress_template_indentation=True,
    )
    iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    return stack


def test_the_arguments_of_a_plain_stack_are_passed_on(stack_with_everything: SuffixedStack) -> None:
    stack = stack_with_everything
    manifest, template = manifest_of(stack), template_of(stack)
    stage = cdk.Stage.of(stack)
    assert stage is not None
    written = (Path(stage.synth().directory) / stack.template_file).read_text(encoding="utf-8")

    assert (stack.account, stack.region) == (ACCOUNT, REGION)
    assert template["Description"] == "what it is for"
    assert manifest["tags"]["Team"] == "weather"
    assert "BootstrapVersion" not in template.get("Parameters", {})  # LegacyStackSynthesizer
    assert "boundary" in json.dumps(one(template, "AWS::IAM::Role")["PermissionsBoundary"])
    assert manifest["notificationArns"] == [f"arn:aws:sns:{REGION}:{ACCOUNT}:events"]
    assert one(template, "AWS::CDK::Metadata")["Analytics"]
    assert "\n" not in written.strip()  # not indented
    assert cdk.PropertyInjectors.of(stack).supported_classes() == [s3.Bucket.PROPERTY_INJECTION_ID]


def test_cross_region_references_is_passed_on() -> None:
    app = fresh_app()
    there = cdk.Environment(account=ACCOUNT, region="us-east-1")
    producer = SuffixedStack(app, "P", env=there, cross_region_references=True)
    consumer = SuffixedStack(app, "C", env=ENV, cross_region_references=True)
    queue = sqs.Queue(producer, "Queue")
    cdk.CfnOutput(consumer, "Out", value=queue.queue_name)
    assert one(template_of(consumer), "Custom::CrossRegionExportReader")


# --- data goes or stays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "ephemeral", "expected"),
    [
        ("qa7", None, cdk.RemovalPolicy.DESTROY),
        ("prod", None, cdk.RemovalPolicy.RETAIN),
        ("live", None, cdk.RemovalPolicy.RETAIN),
        ("qa7", False, cdk.RemovalPolicy.RETAIN),
        ("prod", True, cdk.RemovalPolicy.DESTROY),
    ],
)
def test_the_stack_offers_its_removal_policy(
    suffix: str, ephemeral: bool | None, expected: cdk.RemovalPolicy
) -> None:
    stack = fresh_stack(suffix, ephemeral=ephemeral)
    assert stack.ephemeral is (expected == cdk.RemovalPolicy.DESTROY)
    assert stack.removal_policy == expected
    assert data_removal_policy(stack, None) == expected
    assert (
        data_removal_policy(Construct(cdk.NestedStack(stack, "Nested"), "Part"), None) == expected
    )


def test_a_plain_stack_is_never_ephemeral() -> None:
    app = fresh_app()
    EnvironmentSuffix("dev").attach_to(app)
    assert data_removal_policy(cdk.Stack(app, "Plain"), None) == cdk.RemovalPolicy.RETAIN


@pytest.mark.parametrize(
    "policy", [cdk.RemovalPolicy.RETAIN, cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE]
)
def test_a_policy_that_keeps_the_data_always_wins(policy: cdk.RemovalPolicy) -> None:
    assert data_removal_policy(fresh_stack("qa7"), policy) == policy
    assert data_removal_policy(fresh_stack("prod"), policy) == policy


def test_destroying_data_is_allowed_in_an_ephemeral_stack_only() -> None:
    destroy = cdk.RemovalPolicy.DESTROY
    assert data_removal_policy(fresh_stack("qa7"), destroy) == destroy
    for stack in (
        fresh_stack("prod"),
        fresh_stack("dev", ephemeral=False),
        cdk.Stack(fresh_app(), "Test"),
    ):
        with pytest.raises(ValueError) as failure:
            data_removal_policy(Construct(stack, "Data"), destroy)
        assert "removal_policy=RemovalPolicy.DESTROY for 'Test/Data'" in str(failure.value)
        assert "use SuffixedStack(..., ephemeral=True), or leave removal_policy out" in str(
            failure.value
        )


def test_a_snapshot_is_refused() -> None:
    with pytest.raises(ValueError) as failure:
        data_removal_policy(fresh_stack("qa7"), cdk.RemovalPolicy.SNAPSHOT)
    assert "removal_policy=RemovalPolicy.SNAPSHOT" in str(failure.value)
    assert "use RETAIN" in str(failure.value)


def environment_with_data(suffix: str) -> Json:
    stack = fresh_stack(suffix)
    SecureDataBucket(stack, "Bucket")
    TimeSeriesTable(stack, "Readings")
    DeviceStateTable(stack, "State")
    return template_of(stack)


def test_tearing_down_a_short_lived_environment_leaves_nothing() -> None:
    for logical_id, resource in environment_with_data("qa7")["Resources"].items():
        policies = {
            resource.get("DeletionPolicy", "Delete"),
            resource.get("UpdateReplacePolicy", "Delete"),
        }
        assert policies == {"Delete"}, logical_id


@pytest.mark.parametrize("suffix", ["prod", "live"])
def test_all_data_of_a_lasting_environment_is_retained(suffix: str) -> None:
    holders = ("AWS::S3::Bucket", "AWS::DynamoDB::GlobalTable", "AWS::KMS::Key")
    found = [
        resource
        for resource in environment_with_data(suffix)["Resources"].values()
        if resource["Type"] in holders
    ]
    assert len(found) == 2 + 2 + 1  # data and log bucket, two tables, one key
    assert {resource["DeletionPolicy"] for resource in found} == {"Retain"}
    assert {resource["UpdateReplacePolicy"] for resource in found} == {"Retain"}


@pytest.mark.parametrize("data", [SecureDataBucket, TimeSeriesTable, DeviceStateTable])
@pytest.mark.parametrize("retained_first", [True, False])
def test_the_key_stays_where_data_under_it_stays(
    data: type[SecureDataBucket] | type[TimeSeriesTable] | type[DeviceStateTable],
    retained_first: bool,
) -> None:
    stack = fresh_stack("qa7")
    if not retained_first:
        DeviceStateTable(stack, "Goes", table_name="goes")
    data(stack, "Stays", removal_policy=cdk.RemovalPolicy.RETAIN)
    if retained_first:
        DeviceStateTable(stack, "Goes", table_name="goes")
    key = one_resource(template_of(stack), "AWS::KMS::Key")
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
