"""What an injected TLS policy needs beside itself: publishers that stay, and no second policy."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

_KEEPER_ID = "TlsTopicPolicies"
_POLICY_ID = "Policy"  # what CDK calls the policy that a bucket, queue or topic makes for itself


class TlsPolicies:
    """The buckets, queues and topics whose TLS policy was injected."""

    def __init__(self) -> None:
        # Paths, not objects: while a construct is being made, Python sees another object for it at every call.
        self._injected: set[str] = set()

    def inject(self, scope: Construct, id: str) -> dict[str, Any]:
        """The property that makes CDK write the policy, and a note that it was not the author's."""
        self._injected.add(f"{scope.node.path}/{id}")
        return {"enforceSSL": True}

    def inject_into_topic(self, scope: Construct, id: str) -> dict[str, Any]:
        """As ``inject``, for a topic, which must not lose its publishers by it."""
        stack = cdk.Stack.of(scope)
        keeper = stack.node.try_find_child(_KEEPER_ID)
        if not isinstance(keeper, _TopicPolicies):
            keeper = _TopicPolicies(stack, _KEEPER_ID)
        keeper.topics.append((scope, id))
        return self.inject(scope, id)

    def refuse_second(self, said: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
        """Nothing is injected into a policy; but where ours is there already, the author's must not meet it.

        Of two policies on one queue or topic the one that CloudFormation writes last is in force, and a bucket
        refuses the second: statements of the author would be lost, or the deployment fails.

        Raises:
            ValueError: the policy is for a resource whose TLS policy was injected.
        """
        for resource in (said.get("bucket"), *said.get("queues", ()), *said.get("topics", ())):
            path = resource.node.path if resource is not None else None
            # Ours is not there yet when CDK asks here for that one itself.
            if path in self._injected and resource.node.try_find_child(_POLICY_ID) is not None:
                raise ValueError(
                    f"{path!r} has a policy already, made by the injected enforce_ssl=True, and can have one "
                    "only: use its add_to_resource_policy(...) instead of a policy resource of your own, or say "
                    "enforce_ssl=False there and deny aws:SecureTransport=false in yours"
                )
        return {}


class _TopicPolicies(Construct):
    """Holds the topics of one stack; an aspect of this one node is one call at synth, not one for every construct."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.topics: list[tuple[Construct, str]] = []
        cdk.Aspects.of(self).add(_KeepPublishers())


@jsii.implements(cdk.IAspect)
class _KeepPublishers:
    """Restates what SNS's default policy says about publishing, where only our Deny has replaced that policy.

    A topic without a policy has a default one: whoever publishes for the topic's own account may, CloudWatch alarms
    for instance. Any policy replaces it, so a Deny alone would silence every alarm (FACTS 6). Where the author has
    statements of their own, the default is gone by their decision and nothing is added.
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
                policy.document.add_statements(_owner_may_publish(topic))


def _owner_may_publish(topic: sns.Topic) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="OwnerMayPublish",
        principals=[iam.AnyPrincipal()],
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        conditions={"StringEquals": {"AWS:SourceOwner": cdk.Stack.of(topic).account}},
    )
