"""Where a construct stands: what CDK says of its stack, asked once.

Each question to CDK is a round trip to Node, and these answers never change: a construct does not move to another
stack, nor a stack to another account. A pipeline asked them two hundred times.
"""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import IConstruct, Node


class Place:
    """One stack."""

    def __init__(self, stack: cdk.Stack) -> None:
        self.stack = stack
        self.shared_key: kms.Key | None = None
        """What `_encryption` made for all constructs of the stack."""
        self.auto_delete_confined = False
        """Whether `_auto_delete` has seen to the function that all buckets of the stack share."""

    @cached_property
    def account(self) -> str:
        """The account's number, or a token."""
        return self.stack.account

    @cached_property
    def region(self) -> str:
        """The region's name, or a token."""
        return self.stack.region

    @cached_property
    def partition(self) -> str:
        """The partition's name, or a token."""
        return self.stack.partition

    @cached_property
    def node(self) -> Node:
        """The stack's place in the tree."""
        return self.stack.node

    @cached_property
    def root(self) -> IConstruct:
        """The app."""
        return self.node.root

    @classmethod
    def of(cls, scope: IConstruct) -> Place:
        """The stack of ``scope``.

        Raises:
            RuntimeError: ``scope`` is in no stack (CDK's own message).
        """
        found = _PLACES.get(scope)
        if found is None:
            stack = scope if isinstance(scope, cdk.Stack) else cdk.Stack.of(scope)
            found = _PLACES[scope] = _PLACES.setdefault(stack, cls(stack))
        return found

    @classmethod
    def of_construct_in(cls, scope: IConstruct, construct: IConstruct) -> Place:
        """The stack of ``construct``, which is no stack and was made in ``scope``."""
        found = _PLACES[construct] = cls.of(scope)
        return found


_PLACES: WeakKeyDictionary[IConstruct, Place] = WeakKeyDictionary()
