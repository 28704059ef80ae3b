"""Reviews injected defaults at synth, when it is known what the app does with the resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import aws_cdk as cdk
import jsii
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

_ID = "IotConstructsInjectors"
_Policy: TypeAlias = (
    s3.CfnBucketPolicy
    | sqs.CfnQueuePolicy
    | sqs.CfnQueueInlinePolicy
    | sns.CfnTopicPolicy
    | sns.CfnTopicInlinePolicy
)


class ResourcePolicy(NamedTuple):
    """The policy of a bucket, queue or topic."""

    path: str
    targets: str
    document: Any


class StageContents:
    """What the stage of a resource contains at synth; read once, and only if a review needs it."""

    def __init__(self, stage: IConstruct) -> None:
        self._stage = stage

    @cached_property
    def _constructs(self) -> list[IConstruct]:
        return self._stage.node.find_all()

    @cached_property
    def _policies(self) -> list[ResourcePolicy]:
        # L1 constructs only, because every L2 contains one.
        return [
            ResourcePolicy(node.node.path, _targets(node), node.policy_document)
            for node in self._constructs
            if isinstance(node, _Policy)
        ]

    @cached_property
    def _scaled_resources(self) -> list[str]:
        targets = (it for it in self._constructs if isinstance(it, autoscaling.CfnScalableTarget))
        return [target.resource_id for target in targets]

    def policies(self, resource: Construct, references: Iterable[str]) -> list[ResourcePolicy]:
        """Return the policies of a resource that are not part of its L2.

        Args:
            resource: the L2 construct.
            references: the tokens by which a policy can refer to it.
        """
        inside = f"{resource.node.path}/Policy/"
        return [
            policy
            for policy in self._policies
            if _refers(policy.targets, references) and not policy.path.startswith(inside)
        ]

    def scales(self, references: Iterable[str]) -> bool:
        """Return whether Application Auto Scaling changes the capacity of a table or of its indexes."""
        return any(_refers(resource_id, references) for resource_id in self._scaled_resources)


def _targets(policy: _Policy) -> str:
    if isinstance(policy, s3.CfnBucketPolicy):
        return policy.bucket
    if isinstance(policy, sqs.CfnQueueInlinePolicy):
        return policy.queue
    if isinstance(policy, sns.CfnTopicInlinePolicy):
        return policy.topic_arn
    return " ".join(policy.queues if isinstance(policy, sqs.CfnQueuePolicy) else policy.topics)


def _refers(text: str, references: Iterable[str]) -> bool:
    # A token of CDK is unique in the app, so a text that contains it refers to this resource, also from other stacks.
    return any(token in text for token in references)


Review = Callable[[Construct, StageContents], None]


def review_at_synth(scope: Construct, id: str, review: Review) -> None:
    """Call ``review`` at synth with the construct that is about to be created."""
    stage = cdk.Stage.of(scope)
    assert stage is not None, "the root of a CDK app is a stage"
    reviews = stage.node.try_find_child(_ID)
    if not isinstance(reviews, _Reviews):
        reviews = _Reviews(stage, _ID)
    reviews.pending.append((scope, id, review))


class _Reviews(Construct):
    """The reviews of a stage; an aspect on this construct is called once per stage, not for every construct."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.pending: list[tuple[Construct, str, Review]] = []
        cdk.Aspects.of(self).add(_RunReviews(scope))


@jsii.implements(cdk.IAspect)
class _RunReviews:
    def __init__(self, stage: Construct) -> None:
        self._stage = stage

    def visit(self, node: IConstruct) -> None:
        if not isinstance(node, _Reviews):
            return
        contents = StageContents(self._stage)
        for scope, id, review in node.pending:
            resource = scope.node.try_find_child(id)
            if isinstance(resource, Construct):  # the app can have removed it
                review(resource, contents)
