"""The key that a stack shares, and the statements that let AWS services use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import DeviceStateTable, TimeSeriesTable
from iot_constructs._encryption import allow_logs, allow_service, key_for
from iot_constructs._warnings import (
    FAILED_BATCHES_NOT_ANNOUNCED,
    KEY_POLICY_NOT_CHANGED,
    TOPIC_POLICY_NOT_CHANGED,
)
from tests.synth_support import (
    ACCOUNT,
    ENV,
    Json,
    fresh_app,
    fresh_stack,
    one,
    one_resource,
    resources,
    template_of,
)

KEY_ARN = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"


def statement_for(key: Json, service: Any) -> Json:
    """The one statement of the key's policy for a service principal."""
    found: list[Json] = [
        statement
        for statement in key["KeyPolicy"]["Statement"]
        if statement["Principal"].get("Service") == service
    ]
    assert len(found) == 1, found
    return found[0]


# --- one key per stack -------------------------------------------------------------------------------------------


def test_constructs_of_a_stack_share_one_key_that_rotates() -> None:
    stack = fresh_stack("prod")
    first = key_for(Construct(stack, "A"), None)
    assert key_for(Construct(stack, "B"), None).node.path == first.node.path
    key = one(template_of(stack), "AWS::KMS::Key")
    assert key["EnableKeyRotation"] is True
    assert key["Description"] == "Telemetry pipeline of Test"


def test_no_service_may_use_the_key_until_a_construct_needs_it() -> None:
    stack = fresh_stack("prod")
    key_for(stack, None)
    (statement,) = one(template_of(stack), "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    assert list(statement["Principal"]) == ["AWS"]  # the account itself: IAM decides


def test_each_stack_has_a_key_of_its_own() -> None:
    app = fresh_app()
    one_stack, other_stack = fresh_stack(app=app, id="A"), fresh_stack(app=app, id="B")
    assert key_for(one_stack, None).node.path != key_for(other_stack, None).node.path


def test_a_given_key_wins_and_no_shared_key_is_made() -> None:
    stack = fresh_stack("prod")
    own = kms.Key(stack, "Own")
    assert key_for(stack, own) is own
    TimeSeriesTable(stack, "Readings", encryption_key=own)
    DeviceStateTable(stack, "State", encryption_key=own)
    template = template_of(stack)
    arn = {"Fn::GetAtt": [next(iter(resources(template, "AWS::KMS::Key"))), "Arn"]}
    assert len(resources(template, "AWS::KMS::Key")) == 1
    for table in resources(template, "AWS::DynamoDB::GlobalTable").values():
        assert table["Properties"]["Replicas"][0]["SSESpecification"] == {"KMSMasterKeyId": arn}


@pytest.mark.parametrize("suffix", ["prod", "live"])
def test_a_lasting_key_is_retained_and_kms_keeps_its_own_waiting_time(suffix: str) -> None:
    stack = fresh_stack(suffix)
    key_for(stack, None)
    key = one_resource(template_of(stack), "AWS::KMS::Key")
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert "PendingWindowInDays" not in key["Properties"]


def test_a_short_lived_key_goes_with_its_stack_after_7_days() -> None:
    stack = fresh_stack("qa7")
    key_for(stack, None)
    key = one_resource(template_of(stack), "AWS::KMS::Key")
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Delete", "Delete")
    assert key["Properties"]["PendingWindowInDays"] == 7


@pytest.mark.parametrize(
    ("data_policy", "expected"),
    [
        (cdk.RemovalPolicy.DESTROY, "Delete"),
        (None, "Delete"),
        (cdk.RemovalPolicy.RETAIN, "Retain"),
        (cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE, "RetainExceptOnCreate"),
    ],
)
def test_a_short_lived_key_stays_where_data_under_it_stays(
    data_policy: cdk.RemovalPolicy | None, expected: str
) -> None:
    stack = fresh_stack("qa7")
    key_for(stack, None, data_policy)
    key_for(stack, None, cdk.RemovalPolicy.DESTROY)
    assert one_resource(template_of(stack), "AWS::KMS::Key")["DeletionPolicy"] == expected


def test_a_lasting_key_does_not_go_with_data_that_goes() -> None:
    stack = fresh_stack("prod")
    key_for(stack, None, cdk.RemovalPolicy.DESTROY)
    assert one_resource(template_of(stack), "AWS::KMS::Key")["DeletionPolicy"] == "Retain"


def test_a_given_key_is_left_as_it_is() -> None:
    stack = fresh_stack("qa7")
    own = kms.Key(stack, "Own", removal_policy=cdk.RemovalPolicy.DESTROY)
    key_for(stack, own, cdk.RemovalPolicy.RETAIN)
    assert one_resource(template_of(stack), "AWS::KMS::Key")["DeletionPolicy"] == "Delete"


def test_the_key_of_a_plain_stack_is_retained() -> None:
    stack = cdk.Stack(fresh_app(), "Plain")
    key_for(stack, None)
    assert one_resource(template_of(stack), "AWS::KMS::Key")["DeletionPolicy"] == "Retain"


# --- who may use it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("env", "account"), [(ENV, ACCOUNT), (None, {"Ref": "AWS::AccountId"})])
def test_a_service_may_use_the_key_on_behalf_of_this_account_only(
    env: cdk.Environment | None, account: Any
) -> None:
    stack = fresh_stack("prod", env=env)
    allow_service(stack, key_for(stack, None), "cloudwatch.amazonaws.com")
    statement = statement_for(one(template_of(stack), "AWS::KMS::Key"), "cloudwatch.amazonaws.com")
    assert statement["Effect"] == "Allow"
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert statement["Resource"] == "*"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": account}}


def test_a_service_gets_just_the_actions_it_is_given() -> None:
    stack = fresh_stack("prod")
    allow_service(stack, key_for(stack, None), "iot.amazonaws.com", ["kms:GenerateDataKey"])
    statement = statement_for(one(template_of(stack), "AWS::KMS::Key"), "iot.amazonaws.com")
    assert statement["Action"] == "kms:GenerateDataKey"


def test_the_log_service_may_use_the_key_for_one_log_group_only() -> None:
    stack = fresh_stack("prod", env=ENV)
    allow_logs(stack, key_for(stack, None), "/aws/lambda/f-prod")
    statement = statement_for(
        one(template_of(stack), "AWS::KMS::Key"), "logs.eu-central-1.amazonaws.com"
    )
    assert statement["Effect"] == "Allow"
    assert statement["Action"] == [
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:DescribeKey",
    ]
    group = {
        "Fn::Join": [
            "",
            [
                "arn:",
                {"Ref": "AWS::Partition"},
                f":logs:eu-central-1:{ACCOUNT}:log-group:/aws/lambda/f-prod",
            ],
        ]
    }
    assert statement["Condition"] == {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group}}


def test_the_log_service_of_an_unknown_region_is_left_to_cloudformation() -> None:
    stack = fresh_stack("prod")
    allow_logs(stack, key_for(stack, None), "/aws/lambda/f-prod")
    principal = {"Fn::Join": ["", ["logs.", {"Ref": "AWS::Region"}, ".amazonaws.com"]]}
    assert statement_for(one(template_of(stack), "AWS::KMS::Key"), principal)


def in_this_stack(stack: cdk.Stack) -> kms.IKey:
    return kms.Key(stack, "Own")


def in_another_stack(stack: cdk.Stack) -> kms.IKey:
    app = cdk.App.of(stack)
    assert app is not None
    return kms.Key(cdk.Stack(app, "Other", env=ENV), "Own")


def in_another_region(stack: cdk.Stack) -> kms.IKey:
    app = cdk.App.of(stack)
    assert app is not None
    env = cdk.Environment(account="210987654321", region="us-east-1")
    return kms.Key(cdk.Stack(app, "Other", env=env), "Own")


def by_its_alias(stack: cdk.Stack) -> kms.IKey:
    return kms.Alias(stack, "Alias", alias_name="own", target_key=kms.Key(stack, "Own"))


def by_its_resource(stack: cdk.Stack) -> kms.IKey:
    resource = kms.CfnKey(stack, "Own", key_policy={"Version": "2012-10-17", "Statement": []})
    return kms.Key.from_cfn_key(resource)


def key_policy(stack: cdk.Stack) -> list[Json]:
    """The statements of the one key of the app, but for the account's own; ``stack`` refers to it."""
    app = cdk.App.of(stack)
    assert isinstance(app, cdk.App)
    stacks = [it for it in app.node.find_all() if isinstance(it, cdk.Stack)]
    (key,) = [key for it in stacks for key in resources(template_of(it), "AWS::KMS::Key").values()]
    return [
        it for it in key["Properties"]["KeyPolicy"]["Statement"] if "AWS" not in it["Principal"]
    ]


@pytest.mark.parametrize(
    "made",
    [in_this_stack, in_another_stack, in_another_region, by_its_alias, by_its_resource],
)
def test_a_key_of_the_app_gets_the_same_statements_wherever_it_is(
    made: Callable[[cdk.Stack], kms.IKey],
) -> None:
    stack = fresh_stack("prod", env=ENV)
    key = made(stack)
    allow_service(stack, key, "sns.amazonaws.com")
    allow_service(stack, key, "iot.amazonaws.com", ["kms:GenerateDataKey"])
    allow_logs(stack, key, "/aws/lambda/f-prod")
    cdk.CfnOutput(stack, "Out", value="a stack with nothing in it has no template")
    condition = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert warnings_of(stack) == []
    sns, iot, logs = key_policy(stack)
    assert sns == {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
        "Condition": condition,
    }
    assert iot == {
        "Effect": "Allow",
        "Principal": {"Service": "iot.amazonaws.com"},
        "Action": "kms:GenerateDataKey",
        "Resource": "*",
        "Condition": condition,
    }
    assert logs["Effect"] == "Allow"
    assert logs["Principal"] == {"Service": "logs.eu-central-1.amazonaws.com"}
    assert logs["Resource"] == "*"
    assert list(logs["Condition"]["ArnEquals"]) == ["kms:EncryptionContext:aws:logs:arn"]


def test_the_principal_that_two_stacks_share_is_right_in_both() -> None:
    accounts = {}
    for id, env in (("A", None), ("B", None), ("C", ENV)):
        stack = fresh_stack("prod", id=id, env=env)
        allow_service(stack, key_for(stack, None), "sns.amazonaws.com")
        (statement,) = key_policy(stack)
        accounts[id] = statement["Condition"]["StringEquals"]["aws:SourceAccount"]
    anybody = {"Ref": "AWS::AccountId"}
    assert accounts == {"A": anybody, "B": anybody, "C": ACCOUNT}


# --- a key whose policy is out of reach --------------------------------------------------------------------------


def warnings_of(stack: cdk.Stack) -> list[str]:
    any_value = assertions.Match.any_value()
    found = assertions.Annotations.from_stack(stack).find_warning("*", any_value)
    return [str(message.entry.data) for message in found]


def test_an_imported_key_warns_and_says_what_its_policy_must_allow() -> None:
    stack = fresh_stack("prod")
    imported = kms.Key.from_key_arn(stack, "Imported", KEY_ARN)
    allow_service(stack, imported, "cloudwatch.amazonaws.com")
    (warning,) = warnings_of(stack)
    assert "the policy of the imported key cannot be changed here" in warning
    assert "allows cloudwatch.amazonaws.com kms:Decrypt, kms:GenerateDataKey*" in warning
    assert "[ack: iot-constructs:keyPolicyNotChanged]" in warning


def test_the_log_service_of_an_imported_key_is_named_so_that_a_person_can_read_it() -> None:
    stack = fresh_stack("prod")
    allow_logs(stack, kms.Key.from_key_arn(stack, "Imported", KEY_ARN), "/aws/lambda/f-prod")
    (warning,) = warnings_of(stack)
    assert (
        "allows logs.<region>.amazonaws.com kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, "
        "kms:GenerateDataKey*, kms:DescribeKey" in warning
    )
    known = fresh_stack("prod", env=ENV)
    allow_logs(known, kms.Key.from_key_arn(known, "Imported", KEY_ARN), "/aws/lambda/f-prod")
    (warning,) = warnings_of(known)
    assert "allows logs.eu-central-1.amazonaws.com kms:Encrypt" in warning


def test_the_warning_can_be_acknowledged_by_its_id() -> None:
    stack = fresh_stack("prod")
    imported = kms.Key.from_key_arn(stack, "Imported", KEY_ARN)
    allow_service(stack, imported, "cloudwatch.amazonaws.com")
    cdk.Annotations.of(stack).acknowledge_warning(KEY_POLICY_NOT_CHANGED)
    assert warnings_of(stack) == []


def test_a_key_of_the_stack_warns_of_nothing() -> None:
    stack = fresh_stack("prod")
    allow_service(stack, key_for(stack, None), "cloudwatch.amazonaws.com")
    assert warnings_of(stack) == []


def test_warning_ids_are_stable() -> None:
    assert KEY_POLICY_NOT_CHANGED == "iot-constructs:keyPolicyNotChanged"
    assert FAILED_BATCHES_NOT_ANNOUNCED == "iot-constructs:failedBatchesNotAnnounced"
    assert TOPIC_POLICY_NOT_CHANGED == "iot-constructs:topicPolicyNotChanged"
