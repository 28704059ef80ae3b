"""The stack a construct belongs to, with its account, region and partition read from CDK once.

Each property of a CDK object is a round trip to Node. A pipeline needs these three some two hundred times, and they
never change.
"""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary

import aws_cdk as cdk
from constructs import IConstruct, Node


class StackContext:
    """One stack."""

    def __init__(self, stack: cdk.Stack) -> None:
        self.stack = stack

    @cached_property
    def account(self) -> str:
        """The account id, or a token."""
        return self.stack.account

    @cached_property
    def region(self) -> str:
        """The region, or a token."""
        return self.stack.region

    @cached_property
    def partition(self) -> str:
        """The partition, or a token."""
        return self.stack.partition

    @cached_property
    def node(self) -> Node:
        """The stack's node in the construct tree."""
        return self.stack.node

    @cached_property
    def root(self) -> IConstruct:
        """The root of the construct tree: the app."""
        return self.node.root

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The paths of this stack and, for a nested stack, of the stacks around it, outermost first."""
        parent = self.stack.nested_stack_parent
        around = StackContext.of(parent).paths if parent is not None else ()
        return (*around, self.node.path)

    @cached_property
    def stage(self) -> str:
        """The path of the stage, which is empty for the app."""
        stage = cdk.Stage.of(self.stack)
        return stage.node.path if stage is not None else ""

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in this account and region: ``arn:aws:iot:eu-west-1:123456789012:rule/telemetry``."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    @classmethod
    def of(cls, scope: IConstruct) -> StackContext:
        """The stack of ``scope``.

        Raises:
            RuntimeError: ``scope`` is not in a stack (CDK's own error).
        """
        found = _CONTEXTS.get(scope)
        if found is None:
            stack = scope if isinstance(scope, cdk.Stack) else cdk.Stack.of(scope)
            found = _CONTEXTS[scope] = _CONTEXTS.setdefault(stack, cls(stack))
        return found


_CONTEXTS: WeakKeyDictionary[IConstruct, StackContext] = WeakKeyDictionary()
