"""Service principals and permissions that are narrower than CDK's.

CDK's ``Stream.grant_read`` also allows listing every stream and enhanced fan-out, which the ARN of a stream cannot
allow (service-authorization/latest/reference/list_amazonkinesisdatastreams.html), and ``Topic.grant_publish`` allows
``kms:GenerateDataKey*``, of which a publisher needs ``kms:GenerateDataKey``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from constructs import Construct

from iot_constructs._layout import can_refer, is_created, topic_arn
from iot_constructs._stack import StackContext

if TYPE_CHECKING:  # a construct loads only the modules of aws_cdk that it uses
    from aws_cdk import aws_kinesis as kinesis
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_sns as sns


def scoped_service_principal(service: str, account: str) -> iam.ServicePrincipal:
    """A service while it acts for this account only."""
    return iam.ServicePrincipal(
        service, conditions={"StringEquals": {"aws:SourceAccount": account}}
    )


def role_for_grants(scope: Construct, role: iam.IRole, id: str = "RoleReference") -> iam.IRole:
    """The role, or for a role of another stack a reference to it.

    The policies are then in the stack of what they allow; in the other stack they would make a cyclic reference.
    """
    if StackContext.of(role) is StackContext.of(scope):
        return role
    return iam.Role.from_role_name(scope, id, role.role_name)


def grant_read_stream(stream: kinesis.IStream, grantee: iam.IGrantable, *actions: str) -> iam.Grant:
    """Let the grantee read the stream by shard iterators and decrypt its records."""
    grant_key(stream.encryption_key, grantee, "kms:Decrypt")
    return grant_stream(
        stream,
        grantee,
        "kinesis:DescribeStream",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        *actions,
    )


def grant_stream(stream: kinesis.IStream, grantee: iam.IGrantable, *actions: str) -> iam.Grant:
    """Grant actions on the stream.

    Returns:
        The grant, whose ``apply_before`` makes a construct depend on the role's policy. ``add_dependency(role)`` would
        depend on the role as well, which whoever names a role does anyhow (cfn-lint W3005).
    """
    granted = stream.grant(grantee, *actions)
    if is_created(stream):
        return granted
    # This Grant has no policy to depend on if the stream is imported by a token.
    return iam.Grant.add_to_principal(
        grantee=grantee, actions=list(actions), resource_arns=[stream.stream_arn]
    )


def grant_publish(
    user: Construct, argument: str, topic: sns.ITopic, grantee: iam.IRole
) -> iam.Grant:
    """Let a role publish to the topic, and use its key as SNS requires of a publisher.

    Args:
        user: the construct whose role it is.
        argument: what the topic comes from, such as ``"TelemetryRule.dlq_topic"``.
        topic: the topic, of any stack.
        grantee: the role.
    """
    grant = iam.Grant.add_to_principal_or_resource(
        grantee=grantee,
        actions=["sns:Publish"],
        resource_arns=[topic_arn(user, argument, topic)],
        resource=topic,
    )
    key, actions = topic.master_key, ("kms:Decrypt", "kms:GenerateDataKey")
    if key is None or can_refer(user, key):
        grant_key(key, grantee, *actions)
    else:  # its stack refers to this one, so the key's policy names the role
        statement = iam.PolicyStatement(
            principals=[iam.ArnPrincipal(grantee.role_arn)], actions=list(actions), resources=["*"]
        )
        key.add_to_resource_policy(statement)
    return grant


def grant_key(key: kms.IKey | None, grantee: iam.IGrantable, *actions: str) -> None:
    """Let the grantee use the key, if there is one."""
    if key is not None:
        key.grant(grantee, *actions)
