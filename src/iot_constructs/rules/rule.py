"""What a rule is, and what it reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from iot_constructs.rules.remediations import Remediation

if TYPE_CHECKING:
    from iot_constructs.rules.pipeline import Pipeline
    from iot_constructs.rules.template import Resource

PLUGIN_NAME: Final = "IotPipelineChecks"
"""The name of the validation plugin, which CDK prints after each finding."""

DOCS: Final = "https://docs.aws.amazon.com"


@dataclass(frozen=True)
class Finding:
    """A violation of a rule by a resource or stack; `catalogue.RULE_BY_ID` has the texts of the rule."""

    rule_id: str
    template: Path
    logical_id: str | None
    """None if the finding is about the stack."""
    detail: str
    """The violation with the invalid value; lower case, no full stop."""
    property_path: str = ""
    """For example ``Properties/DestinationConfig``."""
    resource_type: str = ""
    """The key of the rule's fix; empty if the finding is about the stack."""
    value: str = ""
    """What the rule's fix starts from, such as the name in the template."""
    construct_path: str = ""
    """Of the resource in the construct tree; empty without CDK, or without its metadata."""

    @property
    def of_l1(self) -> bool:
        """Whether the resource is known to be declared with its L1 construct: that of an L2 is called ``Resource``."""
        return self.construct_path != "" and not self.of_l2

    @property
    def of_l2(self) -> bool:
        """Whether the resource is known to be declared with its L2 construct."""
        return self.construct_path.endswith(("/Resource", "/Default"))


class Rule:
    """One rule: the texts of RULES.md, and the check.

    Derived classes stand in the module of their service and are listed in its ``RULES``.
    """

    id: ClassVar[str]
    info: ClassVar[str]
    """What a compliant template looks like; one sentence."""
    explanation: ClassVar[str]
    """Why the rule exists; one sentence."""
    remediations: ClassVar[Mapping[str, Remediation]]
    """The fix by resource type; the empty key is the fix of a stack."""
    source_url: ClassVar[str]
    """The AWS documentation behind the rule."""
    level: ClassVar[Literal["error", "warning"]] = "error"
    """The severity of a finding; ``IotPipelineChecks(strict=False)`` reports warnings only."""

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Return the violations in all templates of an app."""
        raise NotImplementedError

    def finding(
        self, resource: Resource, detail: str, property_path: str = "", value: str = ""
    ) -> Finding:
        """Return a finding about ``resource``."""
        return Finding(
            self.id,
            resource.template.path,
            resource.logical_id,
            detail,
            property_path,
            resource.type,
            value,
            _construct_path(resource),
        )

    def remediation_of(self, finding: Finding) -> Remediation:
        """Return the code that ends ``finding``."""
        fix = self.variant(finding).of(finding.logical_id or "")
        if finding.of_l1:
            return fix.of_l1(finding.resource_type)
        if finding.of_l2:  # for example of an alpha module: the fix is that of the L1
            override = ".add_property_override("
            return replace(fix, cdk=fix.cdk.replace(override, f".node.default_child{override}"))
        return fix

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix for what is special about ``finding``."""
        return self.remediations[finding.resource_type]

    @property
    def acknowledgement(self) -> str:
        """The id for CDK's ``Validations.of(scope).acknowledge()``."""
        return f"{PLUGIN_NAME}::{self.id}"

    @property
    def cfn_lint_id(self) -> str:
        """The id in cfn-lint, whose first letter is the level: ``E9313`` is IOT_13."""
        return f"{self.level[0].upper()}93{self.id[4:6]}"


def _construct_path(resource: Resource) -> str:
    metadata = resource.body.get("Metadata")
    found = metadata.get("aws:cdk:path") if isinstance(metadata, Mapping) else None
    return found if isinstance(found, str) else ""
