"""StackContext: the account, region and partition of the stack that a construct belongs to."""

from __future__ import annotations

import aws_cdk as cdk
import pytest
from constructs import Construct

from iot_constructs._stack import StackContext
from tests.synth_support import ACCOUNT, ENV, REGION, fresh_app, fresh_stack


def test_each_stack_of_an_app_has_its_own_context() -> None:
    app = fresh_app()
    known, agnostic = fresh_stack(app=app, id="A", env=ENV), fresh_stack(app=app, id="B")
    here, there = StackContext.of(Construct(known, "Part")), StackContext.of(agnostic)
    assert (here.account, here.region) == (ACCOUNT, REGION)
    assert cdk.Token.is_unresolved(there.account)
    assert cdk.Token.is_unresolved(there.region)
    assert (here.stack, there.stack) == (known, agnostic)
    assert (here.node.path, there.node.path) == ("A", "B")
    assert here.root is there.root is app


def test_all_constructs_of_a_stack_share_its_context() -> None:
    stack = fresh_stack()
    part = Construct(stack, "Part")
    assert StackContext.of(part) is StackContext.of(part) is StackContext.of(stack)


def test_a_nested_stack_has_its_own_context() -> None:
    stack = fresh_stack()
    nested = StackContext.of(cdk.NestedStack(stack, "Nested"))
    assert nested is not StackContext.of(stack)
    assert nested.root is StackContext.of(stack).root


def test_a_construct_outside_a_stack_raises_the_error_of_cdk() -> None:
    with pytest.raises(RuntimeError, match="should be created in the scope of a Stack"):
        StackContext.of(fresh_app())


def test_an_arn_is_in_the_account_and_region_of_the_stack() -> None:
    known, agnostic = fresh_stack(env=ENV), fresh_stack()
    arn = StackContext.of(known).arn("iot", "rule/r")
    assert arn == f"arn:{known.partition}:iot:{REGION}:{ACCOUNT}:rule/r"
    assert agnostic.resolve(StackContext.of(agnostic).arn("iot", "rule/r")) == agnostic.resolve(
        agnostic.format_arn(service="iot", resource="rule", resource_name="r")
    )
