"""What a role may do with a key: only what it lacks is granted."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns

from iot_constructs._grants import grant_key, grant_publish, grant_read_stream
from tests.synth_support import Json, fresh_app, fresh_stack, resources, template_of


@pytest.fixture
def granted() -> Iterator[list[tuple[str, str, tuple[str, ...]]]]:
    """Key, identity and actions of every grant: a statement that is granted twice is in the template once."""
    calls: list[tuple[str, str, tuple[str, ...]]] = []
    grant = kms.Key.grant

    def listed(key: kms.Key, grantee: iam.Role, *actions: str) -> iam.Grant:
        calls.append((key.node.id, grantee.node.id, actions))
        return grant(key, grantee, *actions)

    with mock.patch.object(kms.Key, "grant", listed):
        yield calls


Granted = list[tuple[str, str, tuple[str, ...]]]


def role(stack: cdk.Stack, id: str = "Role") -> iam.Role:
    return iam.Role(stack, id, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def key_statements(stack: cdk.Stack) -> dict[str, list[tuple[str, list[str]]]]:
    """First letters of the role -> (key, actions) of its statements about keys."""
    template = template_of(stack)
    keys = {logical_id: logical_id[:3] for logical_id in resources(template, "AWS::KMS::Key")}
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for policy in resources(template, "AWS::IAM::Policy").values():
        (ref,) = policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            key = keys.get(_named(statement["Resource"]))
            if key is not None:
                action = statement["Action"]
                actions = [action] if isinstance(action, str) else action
                found.setdefault(ref["Ref"][:4], []).append((key, actions))
    return found


def _named(resource: Json | str) -> str:
    return str(resource["Fn::GetAtt"][0]) if isinstance(resource, dict) else resource


def test_without_a_key_nothing_is_granted() -> None:
    stack = fresh_stack()
    grant_key(None, role(stack), "kms:Decrypt")
    assert resources(template_of(stack), "AWS::IAM::Policy") == {}


def test_a_role_is_granted_only_what_it_lacks(granted: Granted) -> None:
    stack = fresh_stack()
    key, reader = kms.Key(stack, "Key"), role(stack)
    grant_key(key, reader, "kms:Decrypt")
    grant_key(key, reader, "kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt")
    grant_key(key, reader, "kms:Encrypt", "kms:Decrypt")
    assert granted == [
        ("Key", "Role", ("kms:Decrypt",)),
        ("Key", "Role", ("kms:GenerateDataKey", "kms:Encrypt")),
    ]
    assert key_statements(stack) == {
        "Role": [("Key", ["kms:Decrypt"]), ("Key", ["kms:GenerateDataKey", "kms:Encrypt"])]
    }


def test_what_one_role_has_on_one_key_no_other_has_and_on_no_other(granted: Granted) -> None:
    stack = fresh_stack()
    keys = [kms.Key(stack, "One"), kms.Key(stack, "Two")]
    roles = [role(stack, "Aaaa"), role(stack, "Bbbb")]
    for grantee in roles:
        for key in keys:
            grant_key(key, grantee, "kms:Decrypt")
            grant_key(key, grantee, "kms:Decrypt")
    assert granted == [
        (key, grantee, ("kms:Decrypt",)) for grantee in ("Aaaa", "Bbbb") for key in ("One", "Two")
    ]
    both = [("One", ["kms:Decrypt"]), ("Two", ["kms:Decrypt"])]
    assert key_statements(stack) == {"Aaaa": both, "Bbbb": both}


def test_a_role_of_another_account_has_it_in_the_policy_of_the_key() -> None:
    app = fresh_app()
    stack = fresh_stack(app=app, env=cdk.Environment(account="111111111111", region="eu-west-1"))
    key = kms.Key(stack, "Key")
    foreign = iam.Role.from_role_arn(stack, "Foreign", "arn:aws:iam::222222222222:role/foreign")
    grant_key(key, foreign, "kms:Decrypt")
    grant_key(key, foreign, "kms:Decrypt", "kms:Encrypt")
    (found,) = resources(template_of(stack), "AWS::KMS::Key").values()
    statements = found["Properties"]["KeyPolicy"]["Statement"][1:]
    assert [it["Action"] for it in statements] == ["kms:Decrypt", "kms:Encrypt"]
    principal = {"AWS": "arn:aws:iam::222222222222:role/foreign"}
    assert [it["Principal"] for it in statements] == [principal, principal]


def test_publishing_and_reading_under_one_key_ask_for_it_once(granted: Granted) -> None:
    stack = fresh_stack()
    key, worker = kms.Key(stack, "Key"), role(stack)
    for id in ("One", "Two"):
        grant_publish(sns.Topic(stack, f"Topic{id}", master_key=key), worker)
        grant_read_stream(kinesis.Stream(stack, f"Stream{id}", encryption_key=key), worker)
    assert granted == [("Key", "Role", ("kms:Decrypt", "kms:GenerateDataKey"))]


def test_publishing_and_reading_without_a_key_ask_for_none(granted: Granted) -> None:
    stack = fresh_stack()
    worker = role(stack)
    grant_publish(sns.Topic(stack, "Topic"), worker)
    grant_read_stream(
        kinesis.Stream(stack, "Stream", encryption=kinesis.StreamEncryption.UNENCRYPTED), worker
    )
    assert granted == []
