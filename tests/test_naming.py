"""Physical names: they end in the suffix, AWS allows them, and nobody else in the app has them."""

from __future__ import annotations

import re
import string

import aws_cdk as cdk
import pytest
from constructs import Construct
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs import DeviceStateTable, EnvironmentSuffix, SecureDataBucket, TimeSeriesTable
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._naming import NameRule, bucket_name, bucket_stem_room, physical_name
from tests.synth_support import ACCOUNT, ENV, fresh_app, fresh_stack, one, template_of

LIMITS = [
    (naming.BUCKET, 3, 63),
    (naming.STREAM, 1, 128),
    (naming.FUNCTION, 1, 64),
    (naming.TABLE, 3, 255),
    (naming.TOPIC, 1, 256),
    (naming.QUEUE, 1, 80),
    (naming.RULE, 1, 128),
    (naming.DEVICE_POLICY, 1, 128),
    (naming.DELIVERY_STREAM, 1, 64),
    (naming.DATABASE, 1, 255),
    (naming.GLUE_TABLE, 1, 255),
    (naming.WORKGROUP, 1, 128),
    (naming.SAVED_QUERY, 1, 128),
    (naming.LOG_GROUP, 1, 512),
    (naming.ALARM, 1, 255),
    (naming.DASHBOARD, 1, 255),
]
CHARACTERS = [  # some that AWS allows, some that it does not
    (naming.BUCKET, "az09-", "A_./ "),
    (naming.STREAM, "azAZ09_.-", " /#"),
    (naming.FUNCTION, "azAZ09_-", " ./"),
    (naming.TABLE, "azAZ09_.-", " /#"),
    (naming.TOPIC, "azAZ09_-", " ./"),
    (naming.QUEUE, "azAZ09_-", " ./"),
    (naming.RULE, "azAZ09_", "-. "),
    (naming.DEVICE_POLICY, "azAZ09_+=,.@-", " /#"),
    (naming.DELIVERY_STREAM, "azAZ09_.-", " /#"),
    (naming.DATABASE, "az09_", "A-. "),
    (naming.GLUE_TABLE, "az09_", "A-. "),
    (naming.WORKGROUP, "azAZ09_.-", " /#"),
    (naming.SAVED_QUERY, "azAZ09 _.,~/#", "\n\u00fc"),
    (naming.LOG_GROUP, "azAZ09_/.#-", " :*"),
    (naming.ALARM, "azAZ09_.-", " /#"),
    (naming.DASHBOARD, "azAZ09_-", " ./"),
]
RULES = [rule for rule, _, _ in LIMITS]
IDS = [rule.resource for rule in RULES]
DEFAULT_STEMS = [
    (naming.STREAM, defaults.STREAM_NAME),
    (naming.FUNCTION, defaults.FUNCTION_NAME),
    (naming.TOPIC, defaults.DLQ_NAME),
    (naming.QUEUE, defaults.DLQ_NAME),
    (naming.TABLE, defaults.TIME_SERIES_TABLE_NAME),
    (naming.TABLE, defaults.DEVICE_STATE_TABLE_NAME),
    (naming.RULE, defaults.RULE_NAME),
    (naming.DEVICE_POLICY, defaults.DEVICE_POLICY_NAME),
    (naming.DELIVERY_STREAM, defaults.ARCHIVE_NAME),
    (naming.DATABASE, defaults.DATABASE_NAME),
    (naming.GLUE_TABLE, defaults.ARCHIVE_TABLE_NAME),
    (naming.WORKGROUP, defaults.WORKGROUP_NAME),
    (naming.TOPIC, defaults.ALERT_TOPIC_NAME),
    (naming.DASHBOARD, defaults.DASHBOARD_NAME),
    (naming.ALARM, defaults.COMPOSITE_ALARM_NAME),
]
DEV = EnvironmentSuffix("dev")
LONGEST_SUFFIX = EnvironmentSuffix("x" * 19)
WORD = st.text(alphabet=string.ascii_lowercase + string.digits, min_size=1, max_size=9)
SUFFIX = (
    st.lists(WORD, min_size=1, max_size=4)
    .map("-".join)
    .filter(lambda text: len(text) <= 19)
    .map(EnvironmentSuffix)
)


# --- AWS's limits, on every type of resource ---------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "shortest", "longest"), LIMITS, ids=IDS)
def test_lengths_at_the_limit_pass_and_beyond_it_do_not(
    rule: NameRule, shortest: int, longest: int
) -> None:
    with pytest.raises(ValueError, match=f"has {longest + 1} characters and AWS allows {longest}"):
        rule.check("n" * (longest + 1), longest + 1, "the-stem", DEV)
    rule.check("n" * longest, longest, "n" * (longest - 4), DEV)
    rule.check("n" * shortest, shortest, "n", DEV)
    with pytest.raises(ValueError) as failure:
        rule.check("n" * (longest + 2), longest + 2, "the-stem", DEV)
    assert f"{rule.resource} name '{'n' * (longest + 2)}' has {longest + 2} characters" in str(
        failure.value
    )
    assert f"AWS allows {longest} ({rule.source})" in str(failure.value)
    assert "shorten the stem 'the-stem' by 2 or the suffix 'dev'" in str(failure.value)
    with pytest.raises(ValueError, match=f"shorter than {shortest}"):
        rule.check("n" * (shortest - 1), shortest - 1, "n", DEV)


@pytest.mark.parametrize(("rule", "good", "bad"), CHARACTERS, ids=IDS)
def test_legal_characters_pass_and_others_are_named(rule: NameRule, good: str, bad: str) -> None:
    for character in good:
        rule.check(f"n{character}n", 3, f"n{character}n", DEV)
    for character in bad:
        with pytest.raises(ValueError) as failure:
            rule.check(f"n{character}n", 3, f"n{character}n", DEV)
        assert f"{rule.resource} name stem {f'n{character}n'!r} has {character!r}" in str(
            failure.value
        )
        assert f"AWS allows {rule.characters}" in str(failure.value)


@settings(deadline=None)
@given(st.sampled_from(RULES), st.text(min_size=1, max_size=300), SUFFIX)
def test_a_name_that_passes_is_one_that_aws_allows(
    rule: NameRule, stem: str, suffix: EnvironmentSuffix
) -> None:
    name = f"{stem}{rule.separator}{suffix.value.replace('-', rule.separator)}"
    try:
        rule.check(name, len(name), stem, suffix)
    except ValueError:
        return
    assert re.fullmatch(f"[{rule.characters}]{{{rule.shortest},{rule.longest}}}", name)


@settings(deadline=None)
@given(st.sampled_from(DEFAULT_STEMS), SUFFIX)
def test_every_default_stem_has_room_for_every_suffix(
    rule_and_stem: tuple[NameRule, str], suffix: EnvironmentSuffix
) -> None:
    rule, stem = rule_and_stem
    name = f"{stem}{rule.separator}{suffix.value.replace('-', rule.separator)}"
    rule.check(name, len(name), stem, suffix)


# --- stem and suffix ---------------------------------------------------------------------------------------------


def test_a_name_is_stem_and_suffix() -> None:
    assert (
        physical_name(fresh_stack(), naming.TABLE, "stem", EnvironmentSuffix("PR-7")) == "stem-pr-7"
    )


def test_a_rule_name_takes_underscores_for_the_hyphens_of_the_suffix() -> None:
    name = physical_name(fresh_stack(), naming.RULE, "iot_telemetry", EnvironmentSuffix("pr-7-b"))
    assert name == "iot_telemetry_pr_7_b"


def test_an_empty_stem_is_refused_and_not_replaced_by_the_default() -> None:
    with pytest.raises(ValueError) as failure:
        DeviceStateTable(fresh_stack(), "T", table_name="")
    assert "DynamoDB table name stem is empty" in str(failure.value)
    assert "leave the argument out for the default" in str(failure.value)


@pytest.mark.parametrize("stem", [cdk.Aws.REGION, f"iot-{cdk.Aws.ACCOUNT_ID}"])
def test_a_stem_that_is_a_token_is_refused(stem: str) -> None:
    with pytest.raises(ValueError) as failure:
        DeviceStateTable(fresh_stack(), "T", table_name=stem)
    assert f"DynamoDB table name stem {stem!r} is a token" in str(failure.value)
    assert "pass a literal string" in str(failure.value)
    with pytest.raises(ValueError, match="is a token and cannot be checked; pass a literal string"):
        bucket_name(fresh_stack(), stem, DEV)


def test_an_illegal_stem_is_refused_before_deploy() -> None:
    with pytest.raises(ValueError) as failure:
        TimeSeriesTable(fresh_stack(), "T", table_name="my table")
    assert "name stem 'my table' has ' '" in str(failure.value)
    assert "AWS allows a-zA-Z0-9_.-" in str(failure.value)


def test_a_stem_that_leaves_no_room_is_refused_and_one_shorter_fits() -> None:
    stack = fresh_stack("dev")
    DeviceStateTable(stack, "Fits", table_name="t" * 251)
    with pytest.raises(ValueError) as failure:
        DeviceStateTable(stack, "TooLong", table_name="t" * 252)
    assert "has 256 characters and AWS allows 255" in str(failure.value)
    assert f"shorten the stem '{'t' * 252}' by 1 or the suffix 'dev'" in str(failure.value)


# --- bucket names ------------------------------------------------------------------------------------------------


def test_a_bucket_name_has_account_region_and_suffix() -> None:
    assert bucket_name(fresh_stack(env=ENV), "stem", EnvironmentSuffix("qa7")) == (
        f"stem-{ACCOUNT}-eu-central-1-qa7"
    )


def test_a_bucket_name_in_an_agnostic_stack_leaves_account_and_region_to_cloudformation() -> None:
    stack = fresh_stack()
    resolved = stack.resolve(bucket_name(stack, "stem", DEV))
    assert resolved == {
        "Fn::Join": ["", ["stem-", {"Ref": "AWS::AccountId"}, "-", {"Ref": "AWS::Region"}, "-dev"]]
    }


def test_room_for_the_stem_assumes_the_longest_account_and_region() -> None:
    agnostic, known = fresh_stack(), fresh_stack(env=ENV)
    region_only = fresh_stack(env=cdk.Environment(region="eu-west-1"))
    assert bucket_stem_room(agnostic, LONGEST_SUFFIX) == 63 - 12 - 14 - 19 - 3 == 15
    assert bucket_stem_room(known, DEV) == 63 - 12 - len("eu-central-1") - 3 - 3
    assert bucket_stem_room(region_only, DEV) == 63 - 12 - len("eu-west-1") - 3 - 3


def test_a_bucket_name_of_63_characters_fits_and_one_more_does_not() -> None:
    stack = fresh_stack()
    bucket_name(stack, "s" * 15, LONGEST_SUFFIX)
    with pytest.raises(ValueError) as failure:
        bucket_name(stack, "s" * 16, LONGEST_SUFFIX)
    assert "has 64 characters and AWS allows 63" in str(failure.value)
    assert f"shorten the stem '{'s' * 16}' by 1 or the suffix '{'x' * 19}'" in str(failure.value)


def test_a_bucket_name_of_63_characters_fits_where_account_and_region_are_known() -> None:
    stack = fresh_stack(env=ENV)
    assert len(bucket_name(stack, "s" * 17, LONGEST_SUFFIX)) == 63
    with pytest.raises(ValueError, match="has 64 characters and AWS allows 63"):
        bucket_name(stack, "s" * 18, LONGEST_SUFFIX)


@pytest.mark.parametrize("stem", ["-data", "-"])
def test_a_bucket_name_begins_with_a_letter_or_digit(stem: str) -> None:
    with pytest.raises(ValueError, match=f"stem '{stem}' does not begin with a letter or digit"):
        bucket_name(fresh_stack(), stem, DEV)


@pytest.mark.parametrize("stem", ["xn--data", "sthree-data", "amzn-s3-demo-data"])
def test_a_bucket_name_does_not_begin_as_s3_reserves_it(stem: str) -> None:
    with pytest.raises(ValueError, match=f"stem '{stem}' begins as S3 does not allow it"):
        bucket_name(fresh_stack(), stem, DEV)


@pytest.mark.parametrize("suffix", ["s3alias", "a-s3alias"])
def test_a_bucket_name_does_not_end_as_s3_reserves_it(suffix: str) -> None:
    with pytest.raises(ValueError, match=f"choose another suffix than '{suffix}'"):
        bucket_name(fresh_stack(), "data", EnvironmentSuffix(suffix))


@pytest.mark.parametrize("stem", ["Data", "my_data", "my.data"])
def test_a_bucket_name_has_no_upper_case_underscore_or_dot(stem: str) -> None:
    with pytest.raises(ValueError) as failure:
        bucket_name(fresh_stack(), stem, DEV)
    assert f"S3 bucket name stem {stem!r} has" in str(failure.value)
    assert "AWS allows a-z0-9-" in str(failure.value)


def test_an_empty_bucket_stem_is_refused() -> None:
    with pytest.raises(ValueError, match="S3 bucket name stem is empty; leave the argument out"):
        bucket_name(fresh_stack(), "", DEV)


# --- one name, one resource --------------------------------------------------------------------------------------


def assert_taken(
    failure: pytest.ExceptionInfo[ValueError], name: str, first: str, second: str
) -> None:
    message = str(failure.value)
    assert f"name '{name}' is used by '{first}' and by '{second}'" in message
    assert "give one of them another name stem or environment suffix" in message


def test_two_resources_with_one_name_in_a_stack_are_an_error_that_names_both() -> None:
    stack = fresh_stack("dev")
    DeviceStateTable(Construct(stack, "One"), "State")
    with pytest.raises(ValueError) as failure:
        DeviceStateTable(Construct(stack, "Two"), "State")
    assert_taken(failure, "iot-device-state-dev", "Test/One/State", "Test/Two/State")


@pytest.mark.parametrize("env", [None, ENV], ids=["agnostic", "known"])
def test_two_resources_with_one_name_in_two_stacks_are_an_error_that_names_both(
    env: cdk.Environment | None,
) -> None:
    app = fresh_app()
    TimeSeriesTable(fresh_stack(app=app, id="A", env=env), "Readings")
    with pytest.raises(ValueError) as failure:
        TimeSeriesTable(fresh_stack(app=app, id="B", env=env), "Readings")
    assert_taken(failure, "iot-sensor-metrics-dev", "A/Readings", "B/Readings")


def test_two_regions_that_are_unknown_may_be_the_same() -> None:
    app = fresh_app()
    elsewhere = cdk.Environment(region=cdk.Fn.ref("Elsewhere"))
    DeviceStateTable(fresh_stack(app=app, id="A"), "State")
    with pytest.raises(ValueError) as failure:
        DeviceStateTable(fresh_stack(app=app, id="B", env=elsewhere), "State")
    assert_taken(failure, "iot-device-state-dev", "A/State", "B/State")


def test_a_nested_stack_shares_names_with_its_parent() -> None:
    stack = fresh_stack("dev")
    DeviceStateTable(stack, "State")
    with pytest.raises(ValueError) as failure:
        DeviceStateTable(cdk.NestedStack(stack, "Nested"), "State")
    assert_taken(failure, "iot-device-state-dev", "Test/State", "Test/Nested/State")


def test_stages_of_one_app_share_names() -> None:
    app = fresh_app()
    DeviceStateTable(cdk.Stack(cdk.Stage(app, "Blue"), "S"), "State")
    with pytest.raises(ValueError) as failure:
        DeviceStateTable(cdk.Stack(cdk.Stage(app, "Green"), "S"), "State")
    assert_taken(failure, "iot-device-state-dev", "Blue/S/State", "Green/S/State")


def test_two_buckets_with_one_stem_are_an_error() -> None:
    stack = fresh_stack()
    bucket_name(Construct(stack, "A"), "stem", DEV)
    with pytest.raises(ValueError, match=r"S3 bucket name .* is used by 'Test/A' and by 'Test/B'"):
        bucket_name(Construct(stack, "B"), "stem", DEV)


def test_a_name_is_free_in_another_suffix_region_account_app_and_type_of_resource() -> None:
    app = fresh_app()
    name = "stem"
    stack = fresh_stack(app=app, id="A", env=ENV)
    other_region = cdk.Environment(account=ACCOUNT, region="us-east-1")
    other_account = cdk.Environment(account="210987654321", region="eu-central-1")
    taken = physical_name(stack, naming.TABLE, name, DEV)
    for scope, rule, suffix in (
        (stack, naming.TABLE, EnvironmentSuffix("qa")),
        (stack, naming.TOPIC, DEV),
        (fresh_stack(app=app, id="B", env=other_region), naming.TABLE, DEV),
        (fresh_stack(app=app, id="C", env=other_account), naming.TABLE, DEV),
        (fresh_stack(env=ENV), naming.TABLE, DEV),
    ):
        assert physical_name(scope, rule, name, suffix) == f"stem-{suffix}"
    with pytest.raises(ValueError, match=f"name '{taken}' is used"):
        physical_name(stack, naming.TABLE, name, DEV)


def test_another_stem_or_suffix_is_the_fix_that_the_message_names() -> None:
    stack = fresh_stack("dev")
    DeviceStateTable(stack, "State")
    DeviceStateTable(stack, "OtherStem", table_name="other-state")
    DeviceStateTable(stack, "OtherSuffix", environment_suffix="qa")
    SecureDataBucket(stack, "Bucket")
    SecureDataBucket(stack, "OtherBucket", bucket_name="other-data")
    template = template_of(stack)
    for name in ("iot-device-state-dev", "other-state-dev", "iot-device-state-qa"):
        assert one(template, "AWS::DynamoDB::GlobalTable", TableName=name)
