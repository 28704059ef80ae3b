"""EnvironmentSuffix, NamePrefix and SuffixedStack."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
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
    MonitoredStream,
    NamePrefix,
    SuffixedStack,
)
from iot_constructs import _defaults as defaults
from iot_constructs._props import StackProps
from iot_constructs._warnings import DATA_DESTROYED_WITH_STACK
from iot_constructs.environment import data_removal_policy
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    fresh_app,
    fresh_stack,
    one,
    recommended_flags,
    template_of,
    warnings_of,
)

SUFFIX_LENGTH = defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH
PREFIX_LENGTH = defaults.NAME_PREFIX_MAX_LENGTH
BOTH = pytest.mark.parametrize(
    ("words", "keyword", "longest"),
    [
        (EnvironmentSuffix, "environment_suffix", SUFFIX_LENGTH),
        (NamePrefix, "name_prefix", PREFIX_LENGTH),
    ],
)
DESTROY, RETAIN = cdk.RemovalPolicy.DESTROY, cdk.RemovalPolicy.RETAIN
KEPT = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
WORD = st.text(alphabet=string.ascii_lowercase + string.digits, min_size=1, max_size=9)
SUFFIX = (
    st.lists(WORD, min_size=1, max_size=4).map("-".join).filter(lambda x: len(x) <= SUFFIX_LENGTH)
)


# --- the grammar of suffix and prefix ----------------------------------------------------------------------------


@BOTH
def test_words_are_lowered_and_compared_by_value(
    words: Callable[[Any], Any], keyword: str, longest: int
) -> None:
    for value in ("dev", "pr-123", "a-b-c", "a" * longest):
        assert words(value).value == str(words(value)) == value
    assert {words("PR-7"), words("pr-7")} == {words("pr-7")}
    with pytest.raises(AttributeError):
        words("dev").value = "prod"


@BOTH
@pytest.mark.parametrize(
    "value",
    [
        *("", "-", "-dev", "dev-", "a--b", "a_b", "a.b", "a b", " dev", "dev\n", "ümlaut"),
        "\N{KELVIN SIGN}ube",  # which lowers to an ordinary k
        cdk.Aws.REGION,
    ],
)
def test_other_characters_are_rejected_by_keyword_with_an_example(
    words: Callable[[Any], Any], keyword: str, longest: int, value: str
) -> None:
    with pytest.raises(ValueError) as failure:
        words(value)
    assert str(failure.value).startswith(f"{keyword}={value!r}: pass words of a-z and 0-9")
    assert "for example '" in str(failure.value)


@BOTH
@pytest.mark.parametrize("value", [7, 0, False, None, 1.5, ["dev"]])
def test_what_is_no_string_is_rejected_by_keyword(
    words: Callable[[Any], Any], keyword: str, longest: int, value: object
) -> None:
    with pytest.raises(ValueError) as failure:
        words(value)
    assert str(failure.value).startswith(f"{keyword}={value!r}: pass a string, for example '")


@BOTH
def test_too_many_characters_are_rejected_with_the_limit(
    words: Callable[[Any], Any], keyword: str, longest: int
) -> None:
    with pytest.raises(
        ValueError, match=rf"^{keyword}='a+': .* at most {longest}.*bucketnamingrules"
    ):
        words("a" * (longest + 1))


def test_a_prefix_begins_with_a_letter() -> None:
    """A Glue database, for example, must (athena/latest/ug/tables-databases-columns-names.html)."""
    with pytest.raises(ValueError, match=r"^name_prefix='7th': pass a letter first"):
        NamePrefix("7th")


@settings(deadline=None)
@given(st.text(alphabet="abzABZ059-_. /é\n", max_size=SUFFIX_LENGTH + 3))
@example("a" * SUFFIX_LENGTH)
@example("a" * (SUFFIX_LENGTH + 1))
def test_exactly_the_documented_grammar_is_accepted(text: str) -> None:
    legal = set(string.ascii_lowercase + string.digits)
    words = text.lower().split("-")
    if len(text) <= SUFFIX_LENGTH and all(word and set(word) <= legal for word in words):
        assert EnvironmentSuffix(text).value == text.lower()
    else:
        with pytest.raises(ValueError, match="environment_suffix="):
            EnvironmentSuffix(text)


# --- ephemeral or not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", defaults.EPHEMERAL_WORDS)
def test_an_ephemeral_word_may_have_digits_and_a_dash_behind(word: str) -> None:
    for value in (word, f"{word}7", f"{word}-eu", f"{word}12-a-b", word.upper()):
        assert EnvironmentSuffix(value).ephemeral is True, value
    for value in (f"{word}7a", f"{word}x", f"x{word}", f"my-{word}", f"7{word}"):
        assert EnvironmentSuffix(value).ephemeral is False, value


@settings(deadline=None)
@given(SUFFIX)
@example("prod")
@example("staging")
@example("development")
@example("device")
def test_every_other_suffix_is_protected(value: str) -> None:
    first_word = value.split("-", maxsplit=1)[0].rstrip(string.digits)
    assert EnvironmentSuffix(value).ephemeral is (first_word in defaults.EPHEMERAL_WORDS)


# --- which suffix and prefix apply -------------------------------------------------------------------------------

CARRIED = pytest.mark.parametrize(
    ("words", "key", "default"),
    [
        (
            EnvironmentSuffix,
            defaults.ENVIRONMENT_SUFFIX_CONTEXT_KEY,
            defaults.ENVIRONMENT_SUFFIX,
        ),
        (NamePrefix, defaults.NAME_PREFIX_CONTEXT_KEY, defaults.NAME_PREFIX),
    ],
)


@CARRIED
def test_argument_before_carrier_before_context_before_default(
    words: Any, key: str, default: str
) -> None:
    assert words.of(cdk.Stack(fresh_app())).value == default
    app = fresh_app({key: "Context"})
    stack = cdk.Stack(app)
    assert words.of(app).value == words.of(stack).value == "context"
    words("stack").attach_to(stack)
    deep = Construct(cdk.NestedStack(Construct(stack, "Part"), "Nested"), "Deep")
    assert words.of(deep).value == "stack"
    assert words.of(deep, "Own").value == "own"
    explicit = words("other")
    assert words.of(deep, explicit) is explicit


@CARRIED
def test_the_nearest_carrier_applies(words: Any, key: str, default: str) -> None:
    app = fresh_app()
    words("app").attach_to(app)
    stage = cdk.Stage(app, "Stage")
    assert words.of(stage).value == "app"  # asking does not fix it
    words("stage").attach_to(stage)
    stack = cdk.Stack(stage, "Stack")
    scopes = [Construct(stack, id) for id in ("Blue", "Green", "Plain")]
    words("blue").attach_to(scopes[0])
    words("green").attach_to(scopes[1])
    assert words.of(cdk.Stack(app, "InApp")).value == "app"
    assert [words.of(scope).value for scope in scopes] == ["blue", "green", "stage"]


@CARRIED
@pytest.mark.parametrize("value", ["", 7, "no_such"])
def test_an_illegal_value_of_context_or_argument_is_never_replaced_by_the_default(
    words: Any, key: str, default: str, value: object
) -> None:
    with pytest.raises(ValueError, match="for example"):
        words.of(fresh_app({key: value}))
    with pytest.raises(ValueError, match="for example"):
        words.of(fresh_app(), value)


def test_a_stack_carries_its_suffix_and_prefix_before_context() -> None:
    context = {
        defaults.ENVIRONMENT_SUFFIX_CONTEXT_KEY: "qa",
        defaults.NAME_PREFIX_CONTEXT_KEY: "south",
    }
    app = fresh_app(context)
    stack = SuffixedStack(app, "S", environment_suffix="prod", name_prefix="north")
    inherits = SuffixedStack(app, "Inherits")
    part = Construct(cdk.NestedStack(stack, "Nested"), "Part")
    assert EnvironmentSuffix.of(part) == stack.environment_suffix == EnvironmentSuffix("prod")
    assert NamePrefix.of(part) == stack.name_prefix == NamePrefix("north")
    assert inherits.environment_suffix == EnvironmentSuffix("qa")
    assert inherits.name_prefix == NamePrefix("south")
    in_stack, own = (
        DeviceStateTable(part, "State"),
        DeviceStateTable(part, "Own", environment_suffix="qa9", name_prefix="own"),
    )
    assert (in_stack.environment_suffix.value, in_stack.name_prefix.value) == ("prod", "north")
    assert (own.environment_suffix.value, own.name_prefix.value) == ("qa9", "own")


# --- SuffixedStack -----------------------------------------------------------------------------------------------


def manifest_of(stack: SuffixedStack) -> Json:
    """The stack's properties in the manifest of the cloud assembly, which the CDK CLI reads."""
    stage = cdk.Stage.of(stack)
    assert stage is not None
    path = Path(stage.synth().directory) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    properties: Json = manifest["artifacts"][stack.artifact_id]["properties"]
    return properties


@pytest.mark.parametrize(
    ("suffix", "settings", "protected", "ephemeral"),
    [
        ("prod", {}, True, False),
        ("staging", {}, True, False),
        ("qa7", {}, False, True),
        ("dev", {"ephemeral": False}, True, False),
        ("prod", {"ephemeral": True}, False, True),
        ("prod", {"termination_protection": False}, False, False),
        ("dev", {"termination_protection": True}, True, True),
        ("prod", {"ephemeral": True, "termination_protection": True}, True, True),
    ],
)
def test_termination_protection_is_always_stated_and_data_goes_with_an_ephemeral_stack(
    suffix: str, settings: dict[str, bool], protected: bool, ephemeral: bool
) -> None:
    stack = SuffixedStack(fresh_app(), "S", environment_suffix=suffix, **settings)  # type: ignore[arg-type]  # bool
    assert stack.termination_protection is protected
    assert manifest_of(stack)["terminationProtection"] is protected  # also False is written
    assert stack.ephemeral is ephemeral
    policy = DESTROY if ephemeral else KEPT
    part = Construct(cdk.NestedStack(stack, "Nested"), "Part")
    assert stack.removal_policy == data_removal_policy(part, "It", None) == policy


@pytest.mark.parametrize(
    ("id", "suffix", "expected"),
    [
        ("Telemetry", "qa7", "Telemetry-qa7"),
        ("Telemetry-prod", "prod", "Telemetry-prod"),
        ("Telemetry-PROD", "prod", "Telemetry-PROD"),
        ("my_stack", "qa", "my-stack-qa"),
    ],
)
def test_the_stack_name_ends_in_the_suffix(id: str, suffix: str, expected: str) -> None:
    assert fresh_stack(suffix, id=id).stack_name == expected


def test_the_names_of_stages_stand_before_that_of_the_stack() -> None:
    beta = cdk.Stage(fresh_app(), "Beta")
    part = Construct(cdk.Stage(beta, "Inner"), "Part")
    assert SuffixedStack(beta, "T", environment_suffix="qa").stack_name == "Beta-T-qa"
    assert SuffixedStack(part, "T", environment_suffix="qa").stack_name == "Beta-Inner-T-qa"
    by_default = defaults.ENVIRONMENT_SUFFIX
    assert SuffixedStack(RootConstruct("Root"), "T").stack_name == f"T-{by_default}"
    assert SuffixedStack().stack_name == f"Pipeline-{by_default}"  # CDK's scope is optional too


def test_two_stacks_of_one_name_are_an_error_that_names_both() -> None:
    app = fresh_app()
    name = SuffixedStack(Construct(app, "A"), "Telemetry").stack_name
    taken = f"name {name!r} of 'B/Telemetry' is that of 'A/Telemetry' already"
    with pytest.raises(ValueError, match=f"^stack_name: the CloudFormation stack {taken}"):
        SuffixedStack(Construct(app, "B"), "Telemetry")
    with pytest.raises(ValueError, match="pass another stack_name="):
        SuffixedStack(app, "Other", stack_name=name)
    for region in ("eu-central-1", "us-east-1"):
        env = cdk.Environment(account=ACCOUNT, region=region)
        assert SuffixedStack(app, region, env=env, stack_name="Same").stack_name == "Same"


@pytest.mark.parametrize("flags", [False, True])
def test_everything_and_the_stack_itself_have_the_tags(flags: bool) -> None:
    app = fresh_app(recommended_flags() if flags else {})
    stack = SuffixedStack(app, "Telemetry", environment_suffix="qa7", tags={"Team": "weather"})
    other = SuffixedStack(app, "Other", environment_suffix="qa8", project="Weather")
    nested = cdk.NestedStack(stack, "Nested")
    for scope in (nested, other):
        sqs.Queue(scope, "Queue")
    expected = {
        "Project": "Telemetry",
        "Environment": "qa7",
        "ManagedBy": defaults.MANAGED_BY,
    }
    assert manifest_of(stack)["tags"] == {**expected, "Team": "weather"}
    in_nested, in_other = (
        {tag["Key"]: tag["Value"] for tag in one(template_of(it), "AWS::SQS::Queue")["Tags"]}
        for it in (nested, other)
    )
    assert expected.items() <= in_nested.items()
    assert in_other["Project"] == "Weather"


@jsii.implements(cdk.IPropertyInjector)
class _Injector:
    """Changes nothing; there to be found."""

    @property
    def construct_unique_id(self) -> str:
        return str(s3.Bucket.PROPERTY_INJECTION_ID)

    def inject(self, original_props: Any, *, scope: Construct, id: str) -> Any:
        return original_props


def test_every_property_of_a_stack_arrives() -> None:
    props: StackProps = {
        "analytics_reporting": True,
        "cross_region_references": True,
        "description": "what it is for",
        "env": ENV,
        "notification_arns": [f"arn:aws:sns:{REGION}:{ACCOUNT}:events"],
        "permissions_boundary": cdk.PermissionsBoundary.from_name("boundary"),
        "property_injectors": [_Injector()],
        "stack_name": "Mine",
        "suppress_template_indentation": True,
        "synthesizer": cdk.LegacyStackSynthesizer(),
        "tags": {"Team": "weather"},
        "termination_protection": True,
    }
    assert props.keys() == StackProps.__annotations__.keys()
    app = fresh_app()
    stack = SuffixedStack(app, "S", environment_suffix="qa", **props)
    iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    there = cdk.Environment(account=ACCOUNT, region="us-east-1")
    producer = SuffixedStack(app, "Producer", env=there, cross_region_references=True)
    cdk.CfnOutput(stack, "Out", value=sqs.Queue(producer, "Queue").queue_name)

    manifest, template = manifest_of(stack), template_of(stack)
    written = (Path(app.synth().directory) / stack.template_file).read_text(encoding="utf-8")
    assert one(template, "AWS::CDK::Metadata")["Analytics"]
    assert one(template, "Custom::CrossRegionExportReader")
    assert template["Description"] == "what it is for"
    assert (stack.account, stack.region) == (ACCOUNT, REGION)
    assert manifest["notificationArns"] == [f"arn:aws:sns:{REGION}:{ACCOUNT}:events"]
    boundaries = [r["Properties"].get("PermissionsBoundary") for r in roles_of(template)]
    assert "boundary" in json.dumps(boundaries)
    assert cdk.PropertyInjectors.of(stack).supported_classes() == [s3.Bucket.PROPERTY_INJECTION_ID]
    assert (stack.stack_name, manifest["stackName"]) == ("Mine", "Mine")
    assert "\n" not in written.strip()  # not indented
    assert "BootstrapVersion" not in template.get("Parameters", {})  # LegacyStackSynthesizer
    assert manifest["tags"]["Team"] == "weather"
    assert manifest["terminationProtection"] is True


def roles_of(template: Json) -> list[Json]:
    return [r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Role"]


# --- the removal policy of data ----------------------------------------------------------------------------------


def test_a_plain_stack_retains_its_data_whatever_its_suffix() -> None:
    app = fresh_app()
    EnvironmentSuffix("dev").attach_to(app)
    stream = MonitoredStream(cdk.Stack(app, "Plain"), "Stream")
    assert data_removal_policy(stream, "It", None) == KEPT
    resources = template_of(cdk.Stack.of(stream))["Resources"].values()
    policies = {(r.get("DeletionPolicy"), r.get("UpdateReplacePolicy")) for r in resources}
    assert policies == {("RetainExceptOnCreate", "Retain"), (None, None)}


@pytest.mark.parametrize("suffix", ["dev", "prod"])
@pytest.mark.parametrize("policy", [DESTROY, RETAIN, KEPT])
def test_a_policy_of_your_own_applies_with_a_warning_where_it_deletes_protected_data(
    suffix: str, policy: cdk.RemovalPolicy
) -> None:
    stack = fresh_stack(suffix)
    assert data_removal_policy(stack, "It", policy) == policy
    cdk.CfnOutput(stack, "Out", value="a stack needs something in it")
    warnings = warnings_of(stack)
    if (suffix, policy) == ("prod", DESTROY):
        (warning,) = warnings
        assert warning.startswith("the data of 'It' is deleted with its stack")
        assert "remove removal_policy=DESTROY, or pass ephemeral=True" in warning
        assert f"[ack: {DATA_DESTROYED_WITH_STACK}]" in warning
    else:
        assert warnings == []


def test_a_snapshot_is_rejected() -> None:
    snapshot = cdk.RemovalPolicy.SNAPSHOT
    with pytest.raises(ValueError, match=r"removal_policy=RemovalPolicy.SNAPSHOT: .* pass Remov"):
        data_removal_policy(fresh_stack(), "It", snapshot)


@pytest.mark.parametrize("part", [EnvironmentSuffix, NamePrefix])
def test_the_context_of_a_scope_is_the_only_place_of_what_is_attached(
    part: type[EnvironmentSuffix] | type[NamePrefix],
) -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    part("first").attach_to(stack)
    key = "environmentSuffix" if part is EnvironmentSuffix else "namePrefix"
    stack.node.set_context(key, "second")
    assert part.of(stack) == part("second")
