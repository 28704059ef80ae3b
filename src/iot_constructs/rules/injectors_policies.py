"""Keeps the default publishers of topics with an injected TLS policy, and rejects a second resource policy."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

_TOPIC_POLICIES_ID = "TlsTopicPolicies"
_POLICY_ID = "Policy"  # the id of the policy that a bucket, queue or topic creates in CDK


class TlsPolicies:
    """The buckets, queues and topics with an injected TLS policy."""

    def __init__(self) -> None:
        # Paths, not objects: jsii returns a different Python object for a construct at each call during its creation.
        self._injected: set[str] = set()

    def inject(self, scope: Construct, id: str) -> dict[str, Any]:
        """Return the property that makes CDK create the policy, and record the resource."""
        self._injected.add(f"{scope.node.path}/{id}")
        return {"enforceSSL": True}

    def inject_into_topic(self, scope: Construct, id: str) -> dict[str, Any]:
        """Like ``inject``, and keep the publishers of the topic."""
        stack = cdk.Stack.of(scope)
        topic_policies = stack.node.try_find_child(_TOPIC_POLICIES_ID)
        if not isinstance(topic_policies, _TopicPolicies):
            topic_policies = _TopicPolicies(stack, _TOPIC_POLICIES_ID)
        topic_policies.topics.append((scope, id))
        return self.inject(scope, id)

    def reject_second_policy(
        self, props: dict[str, Any], scope: Construct, id: str
    ) -> dict[str, Any]:
        """Reject a policy for a resource that has an injected TLS policy; inject nothing into other policies.

        With two policies on a queue or topic, only the one that CloudFormation creates last applies, and a bucket
        rejects the second one. Statements would be lost, or the deployment fails.

        Raises:
            ValueError: the policy is for a resource with an injected TLS policy.
        """
        for resource in (props.get("bucket"), *props.get("queues", ()), *props.get("topics", ())):
            path = resource.node.path if resource is not None else None
            # For the injected policy itself, CDK calls this before the policy is in the tree.
            if path in self._injected and resource.node.try_find_child(_POLICY_ID) is not None:
                raise ValueError(
                    f"{path!r} already has a policy from the injected enforce_ssl=True, and can have only one; "
                    "use add_to_resource_policy(...) instead of your own policy resource, or set enforce_ssl=False "
                    "and deny aws:SecureTransport=false in your policy"
                )
        return {}


class _TopicPolicies(Construct):
    """The topics of a stack; an aspect on this construct is called once per stack, not for every construct."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.topics: list[tuple[Construct, str]] = []
        cdk.Aspects.of(self).add(_RestoreOwnerPublish())


@jsii.implements(cdk.IAspect)
class _RestoreOwnerPublish:
    """Adds the publish statement of SNS's default policy if the injected Deny is the only statement.

    The default policy of a topic allows publishers of the topic's own account, such as CloudWatch alarms. Any policy
    replaces it, so a Deny alone would block every alarm. If the topic has other statements, nothing is added.
    See https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html.
    """

    def visit(self, node: IConstruct) -> None:
        if not isinstance(node, _TopicPolicies):
            return
        for scope, topic_id in node.topics:
            topic = scope.node.try_find_child(topic_id)
            policy = topic.node.try_find_child(_POLICY_ID) if topic is not None else None
            if (
                isinstance(topic, sns.Topic)
                and isinstance(policy, sns.TopicPolicy)
                and policy.document.statement_count == 1
            ):
                policy.document.add_statements(_allow_owner_publish(topic))


def _allow_owner_publish(topic: sns.Topic) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="AllowOwnerPublish",
        principals=[iam.AnyPrincipal()],
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        conditions={"StringEquals": {"AWS:SourceOwner": cdk.Stack.of(topic).account}},
    )
