"""What CDK hands to a validation plugin, made here: with nested stacks, or for templates without any app."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
import jsii
from constructs import IConstruct


@jsii.implements(cdk.IPolicyValidationContext)
class TemplatesContext:
    """A context of these templates."""

    def __init__(
        self, stacks: Sequence[cdk.PolicyValidationStack], app: IConstruct | None = None
    ) -> None:
        self._stacks = list(stacks)
        self._app = app

    @property
    def template_paths(self) -> list[str]:
        """Absolute paths."""
        return [stack.template_path for stack in self._stacks]

    @property
    def stack_templates(self) -> list[cdk.PolicyValidationStack]:
        """The same with what is known of each stack."""
        return self._stacks

    @property
    def app_construct(self) -> IConstruct:
        """The app; CDK's own engine never asks."""
        if self._app is None:
            raise RuntimeError("these templates come without an app")
        return self._app

    @property
    def account_id(self) -> str | None:
        """Deprecated by CDK: in stack_templates."""
        return None

    @property
    def region(self) -> str | None:
        """Deprecated by CDK: in stack_templates."""
        return None
