"""Reviews injected defaults at synth, when it is known what the app does with the resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import aws_cdk as cdk
import jsii
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

_ID = "IotConstructsInjectors"
Policy: TypeAlias = (
    s3.CfnBucketPolicy
    | sqs.CfnQueuePolicy
    | sqs.CfnQueueInlinePolicy
    | sns.CfnTopicPolicy
    | sns.CfnTopicInlinePolicy
)


class Injected(NamedTuple):
    """A construct with injected defaults. When they are injected, it does not exist yet."""

    scope: Construct
    id: str

    def construct(self) -> IConstruct | None:
        """Return the construct; None if the app removed it."""
        return self.scope.node.try_find_child(self.id)


class StageContents:
    """What a stage contains at synth; read only if a review needs it, because each property is a call to Node."""

    def __init__(self, stage: Construct, injected: Iterable[Injected]) -> None:
        self._stage = stage
        self._injected = list(injected)

    @cached_property
    def _constructs(self) -> list[IConstruct]:
        return self._stage.node.find_all()

    @cached_property
    def _policies(self) -> list[tuple[Policy, str]]:
        """Policies that are not part of a construct with injected defaults, and their targets."""
        paths = {scope: scope.node.path for scope in {it.scope for it in self._injected}}
        inside = {f"{paths[it.scope]}/{it.id}/Policy/Resource" for it in self._injected}
        # L1 constructs only, because every L2 contains one.
        return [
            (it, _targets(it))
            for it in self._constructs
            if isinstance(it, Policy) and it.node.path not in inside
        ]

    @cached_property
    def _scaled_resources(self) -> list[str]:
        targets = (it for it in self._constructs if isinstance(it, autoscaling.CfnScalableTarget))
        return [target.resource_id for target in targets]

    def policies(self, references: Callable[[], Iterable[str]]) -> list[Policy]:
        """Return the policies that the app creates itself for a bucket, queue or topic.

        Args:
            references: the tokens by which a policy can refer to the resource.
        """
        tokens = list(references()) if self._policies else []
        return [policy for policy, targets in self._policies if _refers(targets, tokens)]

    def scales(self, references: Callable[[], Iterable[str]]) -> bool:
        """Return whether Application Auto Scaling changes the capacity of a table or of its indexes."""
        tokens = list(references()) if self._scaled_resources else []
        return any(_refers(resource_id, tokens) for resource_id in self._scaled_resources)


def _targets(policy: Policy) -> str:
    if isinstance(policy, s3.CfnBucketPolicy):
        return policy.bucket
    if isinstance(policy, sqs.CfnQueueInlinePolicy):
        return policy.queue
    if isinstance(policy, sns.CfnTopicInlinePolicy):
        return policy.topic_arn
    return " ".join(policy.queues if isinstance(policy, sqs.CfnQueuePolicy) else policy.topics)


def _refers(text: str, tokens: Iterable[str]) -> bool:
    # A token of CDK is unique in the app, so a text that contains it refers to this resource, also from other stacks.
    return any(token in text for token in tokens)


def resolved_properties(resource: s3.CfnBucket | dynamodb.CfnTable, *names: str) -> dict[str, Any]:
    """Return those of the properties that are set, by their names in CDK, with all tokens resolved.

    Not by the attributes of the resource: jsii cannot read a structure whose value CDK renders at synth.
    """
    inspector = cdk.TreeInspector()
    resource.inspect(inspector)
    properties = inspector.attributes["aws:cdk:cloudformation:props"]
    resolved: dict[str, Any] = resource.stack.resolve(
        {name: properties[name] for name in names if name in properties}
    )
    return resolved


Review = Callable[[IConstruct, StageContents], None]


def review_at_synth(scope: Construct, id: str, review: Review) -> None:
    """Call ``review`` at synth with the construct that is about to be created."""
    stage = cdk.Stage.of(scope)
    assert stage is not None, "the root of a CDK app is a stage"
    reviews = stage.node.try_find_child(_ID)
    if not isinstance(reviews, _Reviews):
        reviews = _Reviews(stage, _ID)
    reviews.pending.append((Injected(scope, id), review))


class _Reviews(Construct):
    """The reviews of a stage; an aspect on this construct is called once per stage, not for every construct."""

    def __init__(self, stage: Construct, id: str) -> None:
        super().__init__(stage, id)
        self.stage = stage
        self.pending: list[tuple[Injected, Review]] = []
        cdk.Aspects.of(self).add(_RunReviews())


@jsii.implements(cdk.IAspect)
class _RunReviews:
    def visit(self, node: IConstruct) -> None:
        if not isinstance(node, _Reviews):
            return
        contents = StageContents(node.stage, (injected for injected, _ in node.pending))
        for injected, review in node.pending:
            construct = injected.construct()
            if construct is not None:
                review(construct, contents)
