"""Permissions that name what is called, where CDK's grant methods allow more.

CDK's ``Stream.grant_read`` also allows to list every stream and to use enhanced fan-out, which no stream's ARN can
allow (both have another resource type, or none: service-authorization list_amazonkinesisdatastreams), and
``Topic.grant_publish`` allows ``kms:GenerateDataKey*``, of which a publisher needs ``kms:GenerateDataKey`` (FACTS 6;
lambda/latest/dg/kinesis-on-failure-destination.html).
"""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_sns as sns
from constructs import IConstruct


def grant_read_stream(stream: kinesis.IStream, role: iam.IRole, *actions: str) -> None:
    """Let the role read the stream by shard iterators, and open its records."""
    stream.grant(
        role,
        "kinesis:DescribeStream",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        *actions,
    )
    key = stream.encryption_key
    if key is not None:
        key.grant(role, "kms:Decrypt")


def grant_publish(topic: sns.ITopic, role: iam.IRole) -> None:
    """Let the role publish to the topic, and use its key as SNS asks of a publisher."""
    iam.Grant.add_to_principal_or_resource(
        grantee=role, actions=["sns:Publish"], resource_arns=[topic.topic_arn], resource=topic
    )
    key = topic.master_key
    if key is not None:
        key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")


def wait_for_permissions(construct: IConstruct, role: iam.Role) -> None:
    """Have the construct be made after the role's permissions.

    Not after the role itself, as ``add_dependency(role)`` would have it too: who names a role waits for it anyhow
    (cfn-lint W3005).
    """
    construct.node.add_dependency(role.node.find_child("DefaultPolicy"))
