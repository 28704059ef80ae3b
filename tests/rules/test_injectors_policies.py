"""Injected policies of buckets, queues and topics next to policies that the app creates itself."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from tests.rules.injected import (
    Cases,
    Difference,
    policy_of,
    with_injectors,
    without_policy,
)
from tests.synth_support import Json, fresh_app, one, resources, template_of

_ENCRYPTED_QUEUE = {"Queue/SqsManagedSseEnabled": True}
_BUCKET_SETTINGS = {
    "BucketEncryption/ServerSideEncryptionConfiguration",
    "PublicAccessBlockConfiguration/BlockPublicAcls",
    "PublicAccessBlockConfiguration/BlockPublicPolicy",
    "PublicAccessBlockConfiguration/IgnorePublicAcls",
    "PublicAccessBlockConfiguration/RestrictPublicBuckets",
    "VersioningConfiguration/Status",
}

case = Cases()


@pytest.fixture(scope="module")
def added() -> dict[str, Difference]:
    return case.differences()


def document(action: str, **said: Any) -> iam.PolicyDocument:
    statement = iam.PolicyStatement(
        actions=[action],
        principals=said.pop("principals", [iam.AccountPrincipal("111122223333")]),
        resources=["*"],
        **said,
    )
    return iam.PolicyDocument(statements=[statement])


# --- the app creates the policy of the resource ----------------------------------------------------------------------


@case
def queue_with_own_l2(stack: cdk.Stack) -> object:
    policy = sqs.QueuePolicy(stack, "Own", queues=[sqs.Queue(stack, "Queue")])
    policy.document.add_statements(
        iam.PolicyStatement(actions=["sqs:SendMessage"], principals=[iam.AccountRootPrincipal()])
    )
    return policy


@case
def queue_with_own_l2_that_is_named_like_the_injected(stack: cdk.Stack) -> object:
    policy = sqs.QueuePolicy(stack, "Policy", queues=[sqs.Queue(stack, "Queue")])
    policy.document.add_statements(
        iam.PolicyStatement(actions=["sqs:SendMessage"], principals=[iam.AccountRootPrincipal()])
    )
    return policy


@case
def queue_with_own_l1(stack: cdk.Stack) -> object:
    queue = sqs.Queue(stack, "Queue")
    return sqs.CfnQueuePolicy(
        stack,
        "Own",
        queues=["https://sqs.example.com/other", queue.queue_url],
        policy_document=document("sqs:SendMessage"),
    )


@case
def queue_with_own_l1_by_ref(stack: cdk.Stack) -> object:
    resource = sqs.Queue(stack, "Queue").node.default_child
    assert isinstance(resource, sqs.CfnQueue)
    return sqs.CfnQueuePolicy(
        stack, "Own", queues=[resource.ref], policy_document=document("sqs:SendMessage")
    )


@case
def queue_with_own_l1_by_attribute(stack: cdk.Stack) -> object:
    resource = sqs.Queue(stack, "Queue").node.default_child
    assert isinstance(resource, sqs.CfnQueue)
    return sqs.CfnQueuePolicy(
        stack, "Own", queues=[resource.attr_queue_url], policy_document=document("sqs:SendMessage")
    )


@case
def queue_with_own_l1_by_name(stack: cdk.Stack) -> object:
    name = sqs.Queue(stack, "Queue").queue_name
    url = f"https://sqs.{stack.region}.{stack.url_suffix}/{stack.account}/{name}"
    return sqs.CfnQueuePolicy(
        stack, "Own", queues=[url], policy_document=document("sqs:SendMessage")
    )


@case
def queue_with_inline_policy(stack: cdk.Stack) -> object:
    return sqs.CfnQueueInlinePolicy(
        stack,
        "Own",
        queue=sqs.Queue(stack, "Queue").queue_url,
        policy_document=document("sqs:SendMessage"),
    )


@case
def queue_with_policy_from_a_nested_stack(stack: cdk.Stack) -> object:
    queue = sqs.Queue(stack, "Queue")
    return sqs.CfnQueuePolicy(
        cdk.NestedStack(stack, "Nested"),
        "Own",
        queues=[queue.queue_url],
        policy_document=document("sqs:SendMessage"),
    )


@case
def topic_with_own_l2(stack: cdk.Stack) -> object:
    return sns.TopicPolicy(
        stack,
        "Own",
        topics=[sns.Topic(stack, "Topic")],
        policy_document=document("sns:Publish"),
    )


@case
def topic_with_own_l1(stack: cdk.Stack) -> object:
    return sns.CfnTopicPolicy(
        stack,
        "Own",
        topics=[sns.Topic(stack, "Topic").topic_arn],
        policy_document=document("sns:Publish"),
    )


@case
def topic_with_own_l1_by_ref(stack: cdk.Stack) -> object:
    resource = sns.Topic(stack, "Topic").node.default_child
    assert isinstance(resource, sns.CfnTopic)
    return sns.CfnTopicPolicy(
        stack, "Own", topics=[resource.ref], policy_document=document("sns:Publish")
    )


@case
def topic_with_own_l1_by_attribute(stack: cdk.Stack) -> object:
    resource = sns.Topic(stack, "Topic").node.default_child
    assert isinstance(resource, sns.CfnTopic)
    return sns.CfnTopicPolicy(
        stack, "Own", topics=[resource.attr_topic_arn], policy_document=document("sns:Publish")
    )


@case
def topic_with_own_l1_by_name(stack: cdk.Stack) -> object:
    arn = stack.format_arn(service="sns", resource=sns.Topic(stack, "Topic").topic_name)
    return sns.CfnTopicPolicy(stack, "Own", topics=[arn], policy_document=document("sns:Publish"))


@case
def topic_with_inline_policy(stack: cdk.Stack) -> object:
    return sns.CfnTopicInlinePolicy(
        stack,
        "Own",
        topic_arn=sns.Topic(stack, "Topic").topic_arn,
        policy_document=document("sns:Publish"),
    )


@case
def topic_first_in_first_out_with_own_l2(stack: cdk.Stack) -> object:
    topic = sns.Topic(stack, "Topic", fifo=True)
    return sns.TopicPolicy(stack, "Own", topics=[topic], policy_document=document("sns:Publish"))


class _TopicWithPolicy(sns.Topic):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        sns.TopicPolicy(self, "Own", topics=[self], policy_document=document("sns:Publish"))


@case
def topic_with_policy_of_its_class(stack: cdk.Stack) -> object:
    return _TopicWithPolicy(stack, "Topic")


_TOPICS = [
    topic_with_own_l2,
    topic_with_own_l1,
    topic_with_own_l1_by_ref,
    topic_with_own_l1_by_attribute,
    topic_with_own_l1_by_name,
    topic_with_inline_policy,
    topic_first_in_first_out_with_own_l2,
    topic_with_policy_of_its_class,
]
_QUEUES = [
    queue_with_own_l2,
    queue_with_own_l2_that_is_named_like_the_injected,
    queue_with_own_l1,
    queue_with_own_l1_by_ref,
    queue_with_own_l1_by_attribute,
    queue_with_own_l1_by_name,
    queue_with_inline_policy,
    queue_with_policy_from_a_nested_stack,
]


@pytest.mark.parametrize("name", _QUEUES)
def test_the_apps_policy_of_a_queue_is_the_only_one(
    added: dict[str, Difference], name: str
) -> None:
    # Of two policies on one queue the last wins: statements of the app would be lost.
    assert added[name] == _ENCRYPTED_QUEUE


@pytest.mark.parametrize("name", _TOPICS)
def test_the_apps_policy_of_a_topic_is_the_only_one(
    added: dict[str, Difference], name: str
) -> None:
    assert added[name] == {}


@case
def bucket_with_own_l2(stack: cdk.Stack) -> object:
    policy = s3.BucketPolicy(stack, "Own", bucket=s3.Bucket(stack, "Bucket"))
    policy.document.add_statements(
        iam.PolicyStatement(actions=["s3:GetObject"], principals=[iam.AccountRootPrincipal()])
    )
    return policy


@case
def bucket_with_own_l1(stack: cdk.Stack) -> object:
    return s3.CfnBucketPolicy(
        stack,
        "Own",
        bucket=s3.Bucket(stack, "Bucket").bucket_name,
        policy_document=document("s3:GetObject"),
    )


@case
def bucket_with_own_l1_by_ref(stack: cdk.Stack) -> object:
    resource = s3.Bucket(stack, "Bucket").node.default_child
    assert isinstance(resource, s3.CfnBucket)
    return s3.CfnBucketPolicy(
        stack, "Own", bucket=resource.ref, policy_document=document("s3:GetObject")
    )


@pytest.mark.parametrize(
    "name", [bucket_with_own_l2, bucket_with_own_l1, bucket_with_own_l1_by_ref]
)
def test_the_apps_policy_of_a_bucket_is_the_only_one(
    added: dict[str, Difference], name: str
) -> None:
    # S3 accepts one policy: a second one fails the deployment.
    assert added[name].keys() == {f"Bucket/{path}" for path in _BUCKET_SETTINGS}


def test_notifications_of_such_a_bucket_depend_on_resources_that_exist() -> None:
    """CDK lets them depend on the policy of the bucket, which is withdrawn."""
    stack = cdk.Stack(with_injectors(fresh_app()), "Stack")
    bucket = s3.Bucket(stack, "Bucket")
    queue = sqs.Queue(stack, "Queue")
    bucket.add_event_notification(s3.EventType.OBJECT_CREATED, notifications.SqsDestination(queue))
    s3.CfnBucketPolicy(
        stack, "Own", bucket=bucket.bucket_name, policy_document=document("s3:GetObject")
    )
    template = template_of(stack)
    assert list(resources(template, "AWS::S3::BucketPolicy")) == ["Own"]
    (bucket_id,) = resources(template, "AWS::S3::Bucket")
    (it,) = resources(template, "Custom::S3BucketNotifications").values()
    assert bucket_id in it["DependsOn"]
    for resource in template["Resources"].values():
        needed = resource.get("DependsOn", [])
        assert set([needed] if isinstance(needed, str) else needed) <= template["Resources"].keys()


def test_a_policy_in_another_stack_counts_and_one_of_a_namesake_does_not() -> None:
    app = with_injectors(fresh_app())
    first, second = cdk.Stack(app, "First"), cdk.Stack(app, "Second")
    # The same logical id in both stacks.
    judged, namesake = sns.Topic(first, "Topic"), sns.Topic(second, "Topic")
    sns.CfnTopicPolicy(
        second, "Own", topics=[judged.topic_arn], policy_document=document("sns:Publish")
    )
    assert not resources(template_of(first), "AWS::SNS::TopicPolicy")
    assert len(resources(template_of(second), "AWS::SNS::TopicPolicy")) == 2
    assert namesake.node.try_find_child("Policy") is not None


def test_each_stage_is_judged_by_itself() -> None:
    app = with_injectors(fresh_app())
    stacks = [cdk.Stack(cdk.Stage(app, id), "Stack") for id in ("Beta", "Prod")]
    topics = [sns.Topic(stack, "Topic") for stack in stacks]
    sns.TopicPolicy(stacks[0], "Own", topics=[topics[0]], policy_document=document("sns:Publish"))
    beta, prod = (one(template_of(stack), "AWS::SNS::TopicPolicy") for stack in stacks)
    assert [it["Action"] for it in statements(beta)] == ["sns:Publish"]
    assert [it["Effect"] for it in statements(prod)] == ["Deny", "Allow"]


def statements(policy: Json) -> list[Json]:
    found: list[Json] = policy["PolicyDocument"]["Statement"]
    return found


# --- the app adds statements to the policy of the L2 -----------------------------------------------------------------


@case
def queue_with_both(stack: cdk.Stack) -> object:
    queue = sqs.Queue(stack, "Queue")
    queue.grant_send_messages(iam.ServicePrincipal("iot.amazonaws.com"))
    return sqs.CfnQueuePolicy(
        stack, "Own", queues=[queue.queue_url], policy_document=document("sqs:SendMessage")
    )


def test_statements_of_the_app_stay(added: dict[str, Difference]) -> None:
    """Two policies of the app on one queue are its own mistake, and none of its statements is dropped."""
    found = added[queue_with_both]
    assert [it["Effect"] for it in policy_of(found, "Queue")] == ["Deny", "Allow"]
    assert without_policy(found, "Queue") == _ENCRYPTED_QUEUE


def test_a_resource_that_the_app_removes_is_not_missed() -> None:
    stack = cdk.Stack(with_injectors(fresh_app()), "Stack")
    for id, construct in (("Topic", sns.Topic), ("Queue", sqs.Queue), ("Bucket", s3.Bucket)):
        construct(stack, id)
        assert stack.node.try_remove_child(id)
    assert "Resources" not in template_of(stack)


def test_a_second_synth_changes_nothing() -> None:
    app = with_injectors(fresh_app())
    stack = cdk.Stack(app, "Stack")
    sns.Topic(stack, "Topic")
    first, second = (
        app.synth(force=True).get_stack_by_name(stack.stack_name).template for _ in range(2)
    )
    assert first == second


# --- a bucket that a policy makes public -----------------------------------------------------------------------------

_EVERYONE: dict[str, Any] = {"principals": [iam.AnyPrincipal()]}


@case
def public_by_statement(stack: cdk.Stack) -> object:
    bucket = s3.Bucket(stack, "Bucket")
    bucket.add_to_resource_policy(
        iam.PolicyStatement(actions=["s3:GetObject"], resources=["*"], **_EVERYONE)
    )
    return bucket


@case
def public_by_own_policy(stack: cdk.Stack) -> object:
    return s3.CfnBucketPolicy(
        stack,
        "Own",
        bucket=s3.Bucket(stack, "Bucket").bucket_name,
        policy_document=document("s3:GetObject", **_EVERYONE),
    )


@case
def public_by_own_json(stack: cdk.Stack) -> object:
    return s3.CfnBucketPolicy(
        stack,
        "Own",
        bucket=s3.Bucket(stack, "Bucket").bucket_name,
        policy_document={
            "Statement": {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": "*",
            }
        },
    )


@case
def public_with_settings_of_the_app(stack: cdk.Stack) -> object:
    bucket = s3.Bucket(stack, "Bucket", block_public_access=s3.BlockPublicAccess.BLOCK_ACLS_ONLY)
    bucket.add_to_resource_policy(
        iam.PolicyStatement(actions=["s3:GetObject"], resources=["*"], **_EVERYONE)
    )
    return bucket


@case
def public_without_tls(stack: cdk.Stack) -> object:
    bucket = s3.Bucket(stack, "Bucket", enforce_ssl=False)
    bucket.add_to_resource_policy(
        iam.PolicyStatement(actions=["s3:GetObject"], resources=["*"], **_EVERYONE)
    )
    return bucket


@case
def for_one_network(stack: cdk.Stack) -> object:
    bucket = s3.Bucket(stack, "Bucket")
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=["*"],
            conditions={"StringEquals": {"aws:SourceVpce": "vpce-1"}},
            **_EVERYONE,
        )
    )
    return bucket


@case
def denied_to_everyone(stack: cdk.Stack) -> object:
    bucket = s3.Bucket(stack, "Bucket")
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            effect=iam.Effect.DENY, actions=["s3:DeleteBucket"], resources=["*"], **_EVERYONE
        )
    )
    return bucket


def _blocks(found: Difference) -> bool:
    return any("PublicAccessBlockConfiguration" in path for path in found)


@pytest.mark.parametrize(
    "name",
    [
        public_by_statement,
        public_by_own_policy,
        public_by_own_json,
        public_with_settings_of_the_app,
        public_without_tls,
    ],
)
def test_a_bucket_that_a_policy_opens_to_everyone_stays_public(
    added: dict[str, Difference], name: str
) -> None:
    assert not _blocks(added[name])
    assert "Bucket/VersioningConfiguration/Status" in added[name]


@pytest.mark.parametrize("name", [for_one_network, denied_to_everyone])
def test_other_statements_about_everyone_keep_it_private(
    added: dict[str, Difference], name: str
) -> None:
    assert _blocks(added[name])
