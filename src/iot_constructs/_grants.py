"""Permissions that name what is called, where CDK's grant methods allow more.

CDK's ``Stream.grant_read`` also allows to list every stream and to use enhanced fan-out, which no stream's ARN can
allow (both have another resource type, or none: service-authorization list_amazonkinesisdatastreams), and
``Topic.grant_publish`` allows ``kms:GenerateDataKey*``, of which a publisher needs ``kms:GenerateDataKey`` (FACTS 6;
lambda/latest/dg/kinesis-on-failure-destination.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from aws_cdk import aws_iam as iam

from iot_constructs import _asked_once as asked

if TYPE_CHECKING:  # a construct loads only the modules that it uses
    from aws_cdk import aws_kinesis as kinesis
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_sns as sns


def grant_read_stream(stream: kinesis.IStream, role: iam.IRole, *actions: str) -> iam.Grant:
    """Let the role read the stream by shard iterators, and open its records.

    Returns:
        The grant, whose ``apply_before`` has a construct wait for the role's policy. Not for the role as well, as
        ``add_dependency(role)`` would have it: who names a role waits for it anyhow (cfn-lint W3005).
    """
    grant_key(asked.key_of(stream), role, "kms:Decrypt")
    return stream.grant(
        role,
        "kinesis:DescribeStream",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        *actions,
    )


def grant_publish(topic: sns.ITopic, role: iam.IRole) -> None:
    """Let the role publish to the topic, and use its key as SNS asks of a publisher."""
    iam.Grant.add_to_principal_or_resource(
        grantee=role,
        actions=["sns:Publish"],
        resource_arns=[asked.topic_arn(topic)],
        resource=topic,
    )
    grant_key(asked.key_of_topic(topic), role, "kms:Decrypt", "kms:GenerateDataKey")


def grant_key(key: kms.IKey | None, identity: iam.IGrantable, *actions: str) -> None:
    """Let the identity use the key, if there is one, as far as it may not do so already.

    A role reads the stream, the tables and its own settings under one key: what is granted for one holds for all.
    """
    if key is None:
        return
    granted = _GRANTED.setdefault(identity, WeakKeyDictionary()).setdefault(key, set())
    missing = [action for action in actions if action not in granted]
    if missing:
        key.grant(identity, *missing)
        granted.update(missing)


_GRANTED: WeakKeyDictionary[iam.IGrantable, WeakKeyDictionary[kms.IKey, set[str]]] = (
    WeakKeyDictionary()
)
