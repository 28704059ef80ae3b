"""The key that the constructs of a stack share, and the statements that let AWS services use it."""

from __future__ import annotations

from collections.abc import Callable

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import DeviceStateTable, SecureDataBucket, TimeSeriesTable
from iot_constructs import _defaults as defaults
from iot_constructs._kms import get_or_create_key, grant_log_group, grant_service_principal
from iot_constructs._warnings import KEY_POLICY_NOT_CHANGED
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    fresh_app,
    fresh_stack,
    one,
    one_resource,
    resources,
    template_of,
    warnings_of,
)

KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
LOG_GROUP = "/aws/lambda/f-prod"
LOG_ACTIONS = [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncrypt*",
    "kms:GenerateDataKey*",
    "kms:DescribeKey",
]
DESTROY, RETAIN = cdk.RemovalPolicy.DESTROY, cdk.RemovalPolicy.RETAIN
EXCEPT_ON_CREATE = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


# --- one key per stack -------------------------------------------------------------------------------------------


def test_constructs_of_a_stack_share_one_key() -> None:
    app = fresh_app()
    stack = fresh_stack(app=app)
    first = get_or_create_key(Construct(stack, "A"), None)
    assert get_or_create_key(Construct(stack, "B"), None) is first
    assert get_or_create_key(fresh_stack(app=app, id="Other"), None) is not first
    key = one(template_of(stack), "AWS::KMS::Key")
    assert key["EnableKeyRotation"] is defaults.KEY_ROTATION
    assert key["Description"] == "Telemetry pipeline of Test"
    (statement,) = key["KeyPolicy"]["Statement"]
    assert list(statement["Principal"]) == ["AWS"]  # the account, so that IAM decides: no service


def test_a_key_of_your_own_is_left_as_it_is_and_no_other_is_created() -> None:
    stack = fresh_stack()
    own = kms.Key(stack, "Own", removal_policy=DESTROY)
    assert get_or_create_key(stack, own, RETAIN) is own
    template = template_of(stack)
    assert one_resource(template, "AWS::KMS::Key")["DeletionPolicy"] == "Delete"


@pytest.mark.parametrize(
    ("suffix", "data_policies", "expected"),
    [
        ("dev", [], "Delete"),
        ("dev", [DESTROY, None], "Delete"),
        ("dev", [RETAIN, DESTROY], "Retain"),
        ("dev", [DESTROY, RETAIN], "Retain"),
        ("dev", [EXCEPT_ON_CREATE, DESTROY], "RetainExceptOnCreate"),
        ("dev", [RETAIN, EXCEPT_ON_CREATE], "Retain"),
        ("dev", [EXCEPT_ON_CREATE, RETAIN], "Retain"),
        ("prod", [DESTROY], "RetainExceptOnCreate"),
        ("prod", [RETAIN, EXCEPT_ON_CREATE, DESTROY, None], "Retain"),
        (None, [], "RetainExceptOnCreate"),
    ],
)
def test_a_key_is_kept_as_long_as_the_data_that_is_kept_longest(
    suffix: str | None, data_policies: list[cdk.RemovalPolicy | None], expected: str
) -> None:
    stack = fresh_stack(suffix) if suffix is not None else cdk.Stack(fresh_app(), "Plain")
    for policy in data_policies or [None]:
        get_or_create_key(stack, None, policy)
    key = one_resource(template_of(stack), "AWS::KMS::Key")
    assert key["DeletionPolicy"] == expected
    ephemeral = suffix == "dev"  # elsewhere KMS keeps its own, longer window
    days = defaults.KEY_PENDING_WINDOW_DAYS if ephemeral else None
    assert key["Properties"].get("PendingWindowInDays") == days


@pytest.mark.parametrize("data", [SecureDataBucket, TimeSeriesTable, DeviceStateTable])
def test_retained_data_retains_the_key(data: Callable[..., Construct]) -> None:
    stack = fresh_stack("dev")
    data(stack, "Data", removal_policy=RETAIN)
    key = one_resource(template_of(stack), "AWS::KMS::Key")
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")


# --- who may use it ----------------------------------------------------------------------------------------------


def in_this_stack(stack: cdk.Stack) -> kms.IKey:
    return kms.Key(stack, "Own")


def in_another_stack(stack: cdk.Stack) -> kms.IKey:
    return kms.Key(cdk.Stack(cdk.App.of(stack), "Other", env=ENV), "Own")


def in_another_region(stack: cdk.Stack) -> kms.IKey:
    env = cdk.Environment(account="210987654321", region="us-east-1")
    return kms.Key(cdk.Stack(cdk.App.of(stack), "Other", env=env), "Own")


def by_its_alias(stack: cdk.Stack) -> kms.IKey:
    return kms.Alias(stack, "Alias", alias_name="own", target_key=kms.Key(stack, "Own"))


def by_its_resource(stack: cdk.Stack) -> kms.IKey:
    resource = kms.CfnKey(stack, "Own", key_policy={"Version": "2012-10-17", "Statement": []})
    return kms.Key.from_cfn_key(resource)


def service_statements(stack: cdk.Stack) -> list[Json]:
    """The statements for services of the one key in the stack's app."""
    assembly = cdk.App.of(stack).synth()  # type: ignore[union-attr]  # it has one
    (key,) = [
        key for it in assembly.stacks for key in resources(it.template, "AWS::KMS::Key").values()
    ]
    statements = key["Properties"]["KeyPolicy"]["Statement"]
    return [statement for statement in statements if "Service" in statement["Principal"]]


@pytest.mark.parametrize(
    "create", [in_this_stack, in_another_stack, in_another_region, by_its_alias, by_its_resource]
)
def test_a_key_of_the_app_gets_the_statements_wherever_it_is(
    create: Callable[[cdk.Stack], kms.IKey],
) -> None:
    stack = fresh_stack("prod", env=ENV)
    key = create(stack)
    grant_service_principal(stack, key, "sns.amazonaws.com")
    grant_service_principal(stack, key, "iot.amazonaws.com", ["kms:GenerateDataKey"])
    grant_log_group(stack, key, LOG_GROUP)
    cdk.CfnOutput(stack, "Out", value="a stack needs something in it")
    assert warnings_of(stack) == []
    common = {"Effect": "Allow", "Resource": "*"}
    acts_for_account = {"Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}
    sns, iot, logs = service_statements(stack)
    assert sns == {
        **common,
        **acts_for_account,
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
    }
    assert iot == {
        **common,
        **acts_for_account,
        "Principal": {"Service": "iot.amazonaws.com"},
        "Action": "kms:GenerateDataKey",
    }
    arn = stack.resolve(f"arn:{stack.partition}:logs:{REGION}:{ACCOUNT}:log-group:{LOG_GROUP}")
    assert logs == {
        **common,
        "Principal": {"Service": f"logs.{REGION}.amazonaws.com"},
        "Action": LOG_ACTIONS,
        "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arn}},
    }


def test_in_an_agnostic_stack_account_and_region_are_left_to_cloudformation() -> None:
    stack = fresh_stack()
    key = get_or_create_key(stack, None)
    grant_service_principal(stack, key, "sns.amazonaws.com")
    grant_log_group(stack, key, "any-*")
    sns, logs = service_statements(stack)
    account, region = {"Ref": "AWS::AccountId"}, {"Ref": "AWS::Region"}
    assert sns["Condition"] == {"StringEquals": {"aws:SourceAccount": account}}
    assert logs["Principal"]["Service"] == {"Fn::Join": ["", ["logs.", region, ".amazonaws.com"]]}
    assert list(logs["Condition"]) == ["ArnLike"]


# --- a key whose policy cannot be changed ------------------------------------------------------------------------


@pytest.mark.parametrize(("env", "region"), [(None, "<region>"), (ENV, REGION)])
def test_an_imported_key_warns_of_what_its_policy_must_allow(
    env: cdk.Environment | None, region: str
) -> None:
    stack = fresh_stack(env=env)
    imported = kms.Key.from_key_arn(stack, "Imported", KEY_ARN)
    grant_service_principal(stack, imported, "sns.amazonaws.com")
    grant_log_group(stack, imported, LOG_GROUP)
    sns, logs = warnings_of(stack)
    assert "allows sns.amazonaws.com kms:Decrypt, kms:GenerateDataKey*" in sns
    assert f"allows logs.{region}.amazonaws.com {', '.join(LOG_ACTIONS)}" in logs
    assert all(f"[ack: {KEY_POLICY_NOT_CHANGED}]" in warning for warning in (sns, logs))
