"""The context in which CDK's validation engine evaluates templates without an app."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
import jsii
from constructs import IConstruct


@jsii.implements(cdk.IPolicyValidationContext)
class TemplatesContext:
    """A validation context that consists of templates only."""

    def __init__(self, stacks: Sequence[cdk.PolicyValidationStack]) -> None:
        self._stacks = list(stacks)

    @property
    def template_paths(self) -> list[str]:
        """Absolute paths."""
        return [stack.template_path for stack in self._stacks]

    @property
    def stack_templates(self) -> list[cdk.PolicyValidationStack]:
        """The templates with the account and region of each, if known."""
        return self._stacks

    @property
    def app_construct(self) -> IConstruct:
        """Not available; the engine does not use it."""
        raise RuntimeError("these templates are validated without an app")

    @property
    def account_id(self) -> str | None:
        """Deprecated by CDK in favor of ``stack_templates``."""
        return None

    @property
    def region(self) -> str | None:
        """Deprecated by CDK in favor of ``stack_templates``."""
        return None
