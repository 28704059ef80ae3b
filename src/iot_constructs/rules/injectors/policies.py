"""Policies of buckets, queues and topics: the policy that the app creates itself replaces the injected one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs.rules.injectors.review import StageContents, review_at_synth

_POLICY_ID = "Policy"  # the id of the policy that a bucket, queue or topic creates in CDK
_BUCKET_STATEMENTS = 2  # plain HTTP and old TLS


def inject_bucket_tls(scope: Construct, id: str) -> dict[str, Any]:
    """Plain HTTP and old TLS are denied, unless the app creates a policy of the bucket."""
    review_at_synth(scope, id, _review_bucket_tls)
    return {"enforceSSL": True}


def inject_queue_tls(scope: Construct, id: str) -> dict[str, Any]:
    """Plain HTTP is denied, unless the app creates a policy of the queue."""
    review_at_synth(scope, id, _review_queue_tls)
    return {"enforceSSL": True}


def inject_topic_tls(scope: Construct, id: str) -> dict[str, Any]:
    """Plain HTTP is denied, unless the app creates a policy of the topic."""
    review_at_synth(scope, id, _review_topic_tls)
    return {"enforceSSL": True}


def inject_block_public_access(scope: Construct, id: str) -> dict[str, Any]:
    """Block Public Access, unless a policy makes the bucket public."""
    review_at_synth(scope, id, _review_public_access)
    return {"blockPublicAccess": s3.BlockPublicAccess.BLOCK_ALL}


def _review_bucket_tls(bucket: Construct, contents: StageContents) -> None:
    if isinstance(bucket, s3.Bucket):
        _withdraw_second_policy(bucket, contents, _bucket_names(bucket), _BUCKET_STATEMENTS)


def _review_queue_tls(queue: Construct, contents: StageContents) -> None:
    resource = queue.node.default_child
    if isinstance(queue, sqs.Queue) and isinstance(resource, sqs.CfnQueue):
        names = (queue.queue_url, queue.queue_name, resource.ref, resource.attr_queue_url)
        _withdraw_second_policy(queue, contents, names)


def _review_topic_tls(topic: Construct, contents: StageContents) -> None:
    """Withdraw the injected policy, or keep the publishers that the default policy of the topic allows.

    The default policy of a topic allows publishers of the topic's own account, such as CloudWatch alarms. Any policy
    replaces it, so a Deny alone would block every alarm. If the topic has other statements, nothing is added.
    See https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html.
    """
    resource = topic.node.default_child
    if not isinstance(topic, sns.Topic) or not isinstance(resource, sns.CfnTopic):
        return
    names = (topic.topic_arn, topic.topic_name, resource.ref, resource.attr_topic_arn)
    if _withdraw_second_policy(topic, contents, names):
        return
    policy = topic.node.try_find_child(_POLICY_ID)
    if isinstance(policy, sns.TopicPolicy) and policy.document.statement_count == 1:
        policy.document.add_statements(_allow_owner_publish(topic))


def _withdraw_second_policy(
    resource: Construct, contents: StageContents, names: Iterable[str], injected_statements: int = 1
) -> bool:
    """Remove the injected policy if the app creates the policy of the resource itself.

    With two policies on a queue or topic, only the one that CloudFormation creates last applies, and a bucket
    rejects the second one. A policy with statements of the app is not removed: it is not injected.
    """
    policy = resource.node.try_find_child(_POLICY_ID)
    if not isinstance(policy, (s3.BucketPolicy, sqs.QueuePolicy, sns.TopicPolicy)):
        return False
    if policy.document.statement_count > injected_statements:
        return False
    if not contents.policies(resource, names):
        return False
    _depend_on(resource, instead_of=policy)
    resource.node.try_remove_child(_POLICY_ID)
    return True


def _depend_on(resource: Construct, *, instead_of: Construct) -> None:
    """Let what depends on the removed policy, such as the notifications of a bucket, depend on its resource."""
    remaining, removed = resource.node.default_child, instead_of.node.default_child
    if isinstance(remaining, cdk.CfnResource) and isinstance(removed, cdk.CfnResource):
        removed.override_logical_id(cdk.Stack.of(resource).resolve(remaining.logical_id))


def _review_public_access(bucket: Construct, contents: StageContents) -> None:
    """Withdraw Block Public Access if a policy makes the bucket public."""
    resource = bucket.node.default_child
    if not isinstance(bucket, s3.Bucket) or not isinstance(resource, s3.CfnBucket):
        return
    policy = bucket.node.try_find_child(_POLICY_ID)
    documents = [it.document for it in contents.policies(bucket, _bucket_names(bucket))]
    if isinstance(policy, s3.BucketPolicy):
        documents.append(policy.document)
    stack = cdk.Stack.of(bucket)
    if any(_allows_everyone(stack.resolve(document)) for document in documents):
        resource.public_access_block_configuration = None


def _bucket_names(bucket: s3.Bucket) -> tuple[str, ...]:
    resource = bucket.node.default_child
    refs = (resource.ref,) if isinstance(resource, s3.CfnBucket) else ()
    return (bucket.bucket_name, *refs)


def _allows_everyone(document: Any) -> bool:
    statements = document.get("Statement", []) if isinstance(document, dict) else []
    return any(
        it.get("Effect") == "Allow"
        and it.get("Principal") in ("*", {"AWS": "*"})
        and not it.get("Condition")
        for it in (statements if isinstance(statements, list) else [statements])
    )


def _allow_owner_publish(topic: sns.Topic) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="AllowOwnerPublish",
        principals=[iam.AnyPrincipal()],
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        conditions={"StringEquals": {"AWS:SourceOwner": cdk.Stack.of(topic).account}},
    )
