"""Injectors of plain topics and queues, where injectors reach, and what they leave to a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import jsii
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs import _defaults as defaults
from iot_constructs.rules.injectors import property_injectors
from tests.rules.injected import (
    Cases,
    Difference,
    policy_of,
    with_injectors,
    without_policy,
)
from tests.synth_support import Json, fresh_app, one, resources, template_of

_EXAMPLE_FLAGS = json.loads(
    (Path(__file__).parents[2] / "examples" / "iot_pipeline" / "cdk.json").read_text("utf-8")
)["context"]
_SQS_MANAGED = {"Queue/SqsManagedSseEnabled": True}


case = Cases()


@pytest.fixture(scope="module")
def added() -> dict[str, Difference]:
    return case.differences()


# --- topics and queues --------------------------------------------------------------------------------------------


@case
def topic(stack: cdk.Stack) -> object:
    return sns.Topic(stack, "Topic")


def test_a_topic_refuses_http_and_keeps_its_publishers(added: dict[str, Difference]) -> None:
    """A Deny alone would replace the default policy, and no alarm could publish any more (FACTS.md 6)."""
    found = added[topic]
    deny, allow = policy_of(found, "Topic")
    assert (deny["Effect"], deny["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
    assert (allow["Effect"], allow["Action"], allow["Principal"]) == (
        "Allow",
        "sns:Publish",
        {"AWS": "*"},
    )
    owner = {"StringEquals": {"AWS:SourceOwner": {"Ref": "AWS::AccountId"}}}
    assert allow["Condition"] == owner
    assert deny["Resource"] == allow["Resource"]
    assert without_policy(found, "Topic") == {}


@case
def topics_in_a_crowd(stack: cdk.Stack) -> object:
    return [sns.Topic(stack, f"Topic{letter}") for letter in "AB"]


def test_every_topic_of_a_stack_keeps_its_publishers(added: dict[str, Difference]) -> None:
    for name in ("TopicA", "TopicB"):
        assert [it["Effect"] for it in policy_of(added[topics_in_a_crowd], name)] == [
            "Deny",
            "Allow",
        ]


@case
def topic_with_a_policy(stack: cdk.Stack) -> object:
    made = sns.Topic(stack, "Topic")
    made.grant_publish(iam.ServicePrincipal("s3.amazonaws.com"))
    return made


def test_a_topic_with_a_policy_gets_the_deny_only(added: dict[str, Difference]) -> None:
    found = added[topic_with_a_policy]
    (path,) = found
    assert [it["Effect"] for it in found[path]] == ["Deny", "Allow"]
    assert found[path][1]["Principal"] == {"Service": "s3.amazonaws.com"}


@case
def topic_says_no(stack: cdk.Stack) -> object:
    return sns.Topic(stack, "Topic", enforce_ssl=False, fifo=True)


@case
def topic_says_yes(stack: cdk.Stack) -> object:
    return sns.Topic(stack, "Topic", enforce_ssl=True)


@case
def queue(stack: cdk.Stack) -> object:
    return sqs.Queue(stack, "Queue")


def test_a_queue_refuses_http_and_is_encrypted(added: dict[str, Difference]) -> None:
    found = added[queue]
    (deny,) = policy_of(found, "Queue")
    assert (deny["Effect"], deny["Action"]) == ("Deny", "sqs:*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert without_policy(found, "Queue") == _SQS_MANAGED


@case
def queue_says_no(stack: cdk.Stack) -> object:
    return sqs.Queue(
        stack,
        "Queue",
        enforce_ssl=False,
        encryption=sqs.QueueEncryption.UNENCRYPTED,
        delivery_delay=cdk.Duration.seconds(0),
    )


@case
def queue_under_a_key(stack: cdk.Stack) -> object:
    return sqs.Queue(stack, "Queue", enforce_ssl=True, encryption_master_key=kms.Key(stack, "Key"))


@case
def queue_that_names_its_encryption(stack: cdk.Stack) -> object:
    return sqs.Queue(stack, "Queue", enforce_ssl=False, encryption=sqs.QueueEncryption.KMS_MANAGED)


@case
def queue_with_key_reuse(stack: cdk.Stack) -> object:
    return sqs.Queue(stack, "Queue", enforce_ssl=False, data_key_reuse=cdk.Duration.hours(1))


# --- properties of the caller take precedence ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        topic_says_no,
        topic_says_yes,
        queue_says_no,
        queue_under_a_key,
        queue_that_names_its_encryption,
        queue_with_key_reuse,
    ],
)
def test_properties_of_the_caller_take_precedence(added: dict[str, Difference], name: str) -> None:
    assert added[name] == {}


# --- where they reach -----------------------------------------------------------------------------------------------


def _retention(stack: cdk.Stack) -> list[int]:
    found = resources(template_of(stack), "AWS::Kinesis::Stream")
    return [it["Properties"]["RetentionPeriodHours"] for it in found.values()]


def test_an_app_takes_them_as_an_argument_and_they_reach_stages_and_nested_stacks() -> None:
    app = cdk.App(property_injectors=property_injectors(), analytics_reporting=False)
    parent = cdk.Stack(cdk.Stage(app, "Stage"), "Stack")
    nested = cdk.NestedStack(parent, "Nested")
    kinesis.Stream(nested, "Stream")
    assert _retention(nested) == [defaults.STREAM_RETENTION_HOURS]


def test_a_stack_can_have_them_alone() -> None:
    app = fresh_app()
    with_them = cdk.Stack(app, "With", property_injectors=property_injectors())
    without = cdk.Stack(app, "Without")
    for stack in (with_them, without):
        kinesis.Stream(stack, "Stream")
    assert _retention(with_them) == [defaults.STREAM_RETENTION_HOURS]
    assert _retention(without) == [24]


def test_a_construct_made_without_properties_is_reached() -> None:
    """TypeScript libraries can make one; what arrives is then None, not an empty dict."""
    stack = cdk.Stack(fresh_app(), "Stack")
    by_id = {it.construct_unique_id: it for it in property_injectors()}
    injector = by_id[kinesis.Stream.PROPERTY_INJECTION_ID]
    found = injector.inject(None, scope=stack, id="Stream")
    assert found.keys() == {"retentionPeriod", "streamMode"}


def test_a_property_that_is_none_is_not_set() -> None:
    stack = cdk.Stack(fresh_app(), "Stack")
    by_id = {it.construct_unique_id: it for it in property_injectors()}
    injector = by_id[kinesis.Stream.PROPERTY_INJECTION_ID]
    found = injector.inject({"streamName": "it", "shardCount": None}, scope=stack, id="Stream")
    assert found.keys() == {"retentionPeriod", "streamMode", "streamName"}


@jsii.implements(cdk.IPropertyInjector)
class _TwoDays:
    @property
    def construct_unique_id(self) -> str:
        return kinesis.Stream.PROPERTY_INJECTION_ID

    def inject(self, original_props: Any, *, scope: Construct, id: str) -> Any:
        return {**original_props, "retentionPeriod": cdk.Duration.hours(48)}


def test_the_injector_of_a_nearer_scope_wins() -> None:
    stack = cdk.Stack(with_injectors(fresh_app()), "Stack", property_injectors=[_TwoDays()])
    kinesis.Stream(stack, "Stream")
    sqs.Queue(stack, "Queue")
    assert _retention(stack) == [48]
    # The others are called as before.
    assert len(resources(template_of(stack), "AWS::SQS::QueuePolicy")) == 1


class _ReadingsBucket(s3.Bucket):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.kind = "readings"


def test_derived_classes_are_reached_and_stay_what_they_are() -> None:
    stack = cdk.Stack(with_injectors(fresh_app()), "Stack")
    made = _ReadingsBucket(stack, "Bucket")
    assert stack.node.find_child("Bucket") is made
    assert one(template_of(stack), "AWS::S3::Bucket")["VersioningConfiguration"]


def test_the_constructs_of_this_library_have_nothing_left_to_inject() -> None:
    def template(app: cdk.App) -> Json:
        return template_of(IotPipelineStack(app, "Pipeline", environment_suffix="prod"))

    plain, injected = (fresh_app(_EXAMPLE_FLAGS) for _ in range(2))
    assert template(with_injectors(injected)) == template(plain)
