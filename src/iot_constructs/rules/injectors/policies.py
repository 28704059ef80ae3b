"""Policies of buckets, queues and topics: the policy that the app creates itself replaces the injected one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

from iot_constructs.rules.injectors.review import StageContents, review_at_synth

_POLICY_ID = "Policy"  # the id of the policy that a bucket, queue or topic creates in CDK
_BUCKET_TLS_STATEMENTS = 2  # plain HTTP and old TLS
_OwnPolicy: TypeAlias = s3.BucketPolicy | sqs.QueuePolicy | sns.TopicPolicy


def inject_bucket_access(
    scope: Construct, id: str, *, tls: bool, block_public_access: bool
) -> dict[str, Any]:
    """TLS, unless the app creates the policy itself; Block Public Access, unless a policy makes the bucket public."""
    review = partial(_review_bucket, tls=tls, block_public_access=block_public_access)
    review_at_synth(scope, id, review)
    added: dict[str, Any] = {"enforceSSL": True} if tls else {}
    if block_public_access:
        added["blockPublicAccess"] = s3.BlockPublicAccess.BLOCK_ALL
    return added


def inject_queue_tls(scope: Construct, id: str) -> dict[str, Any]:
    """TLS, unless the app creates the policy itself."""
    review_at_synth(scope, id, _review_queue)
    return {"enforceSSL": True}


def inject_topic_tls(scope: Construct, id: str) -> dict[str, Any]:
    """TLS, unless the app creates the policy itself."""
    review_at_synth(scope, id, _review_topic)
    return {"enforceSSL": True}


def _review_bucket(
    bucket: IConstruct, contents: StageContents, *, tls: bool, block_public_access: bool
) -> None:
    if not isinstance(bucket, s3.Bucket):
        return
    policy = bucket.node.try_find_child(_POLICY_ID)
    own = contents.policies(lambda: _references(bucket))
    documents = [it.policy_document for it in own]
    if isinstance(policy, s3.BucketPolicy):
        injected = _BUCKET_TLS_STATEMENTS if tls else 0
        if policy.document.statement_count > injected:
            documents.append(policy.document)
        elif own:
            _withdraw(policy, bucket)
    resource = bucket.node.default_child if documents and block_public_access else None
    if isinstance(resource, s3.CfnBucket):
        stack = cdk.Stack.of(bucket)
        if any(_allows_everyone(stack.resolve(document)) for document in documents):
            resource.public_access_block_configuration = None


def _review_queue(queue: IConstruct, contents: StageContents) -> None:
    if contents.policies(lambda: _references(queue)):
        policy = queue.node.try_find_child(_POLICY_ID)
        if isinstance(policy, sqs.QueuePolicy) and policy.document.statement_count == 1:
            _withdraw(policy, queue)


def _review_topic(topic: IConstruct, contents: StageContents) -> None:
    """Withdraw the injected policy, or keep the publishers that the default policy of the topic allows.

    The default policy of a topic allows publishers of the topic's own account, such as CloudWatch alarms. Any policy
    replaces it, so a Deny alone would block every alarm. If the topic has other statements, nothing is added.
    See https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html.
    """
    policy = topic.node.try_find_child(_POLICY_ID)
    if not isinstance(topic, sns.Topic) or not isinstance(policy, sns.TopicPolicy):
        return
    if policy.document.statement_count > 1:
        return
    if contents.policies(lambda: _references(topic)):
        _withdraw(policy, topic)
    else:
        policy.document.add_statements(_allow_owner_publish(topic))


def _withdraw(policy: _OwnPolicy, resource: IConstruct) -> None:
    """Remove an injected policy, because the app creates the policy of the resource itself.

    With two policies on a queue or topic, only the one that CloudFormation creates last applies, and a bucket
    rejects the second one.
    """
    remaining, removed = resource.node.default_child, policy.node.default_child
    if isinstance(remaining, cdk.CfnResource) and isinstance(removed, cdk.CfnResource):
        # What depends on the policy, such as the notifications of a bucket, then depends on its resource.
        removed.override_logical_id(cdk.Stack.of(resource).resolve(remaining.logical_id))
    resource.node.try_remove_child(_POLICY_ID)


def _references(construct: IConstruct) -> Iterator[str]:
    resource = construct.node.default_child
    if isinstance(resource, cdk.CfnResource):
        yield resource.ref
    if isinstance(construct, s3.Bucket):
        yield construct.bucket_name
    if isinstance(construct, sqs.Queue):
        yield from (construct.queue_url, construct.queue_name)
    if isinstance(resource, sqs.CfnQueue):
        yield resource.attr_queue_url
    if isinstance(construct, sns.Topic):
        yield from (construct.topic_arn, construct.topic_name)
    if isinstance(resource, sns.CfnTopic):
        yield resource.attr_topic_arn


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
