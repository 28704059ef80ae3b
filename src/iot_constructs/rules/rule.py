"""What a rule is, and what it reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, ClassVar, Final, Literal

if TYPE_CHECKING:
    from iot_constructs.rules.pipeline import Pipeline
    from iot_constructs.rules.template import Resource

PLUGIN_NAME: Final = "IotPipelineChecks"
"""The name of the validation plugin, which CDK prints after each finding."""

DOCS: Final = "https://docs.aws.amazon.com"

_LOGICAL_ID: Final = "<LogicalId>"


@dataclass(frozen=True)
class Fix:
    """The code that ends a finding, to be typed as it is.

    Attributes:
        cdk: Python for a CDK app: keyword arguments of the construct, or statements. Empty if there is none.
        cloudformation: YAML to merge into ``Resources`` of the template; ``<LogicalId>`` stands for the resource.
    """

    cdk: str
    cloudformation: str

    def of(self, logical_id: str) -> Fix:
        """Return the fix of one resource."""
        return replace(self, cloudformation=self.cloudformation.replace(_LOGICAL_ID, logical_id))


def set_properties(cdk: str, properties: str) -> Fix:
    """Return a fix that sets properties of the resource: keyword arguments for CDK, and YAML."""
    return Fix(cdk, f"{_LOGICAL_ID}:\n  Properties:\n{indent(properties, ' ' * 4)}")


def email_topic(id: str) -> str:
    """Return the YAML of a topic that notifies by email, which roles of the account can publish to without a key."""
    return f"""\
{id}:
  Type: AWS::SNS::Topic
  Properties:
    KmsMasterKeyId: alias/aws/sns
    Subscription: [{{Protocol: email, Endpoint: ops@example.com}}]
{id}Policy:
  Type: AWS::SNS::TopicPolicy
  Properties:
    Topics: [{{Ref: {id}}}]
    PolicyDocument:
      Version: "2012-10-17"
      Statement:
        - Effect: Deny
          Principal: "*"
          Action: sns:Publish
          Resource: {{Ref: {id}}}
          Condition: {{Bool: {{aws:SecureTransport: "false"}}}}"""


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


class Rule:
    """One rule: the texts of RULES.md, and the check.

    Derived classes stand in the module of their service and are listed in its ``RULES``.
    """

    id: ClassVar[str]
    info: ClassVar[str]
    """What a compliant template looks like; one sentence."""
    explanation: ClassVar[str]
    """Why the rule exists; one sentence."""
    fixes: ClassVar[Mapping[str, Fix]]
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
        )

    def fix_of(self, finding: Finding) -> Fix:
        """Return the code that ends ``finding``."""
        return self.fixes[finding.resource_type].of(finding.logical_id or "")

    @property
    def acknowledgement(self) -> str:
        """The id for CDK's ``Validations.of(scope).acknowledge()``."""
        return f"{PLUGIN_NAME}::{self.id}"

    @property
    def cfn_lint_id(self) -> str:
        """The id in cfn-lint, whose first letter is the level: ``E9313`` is IOT_13."""
        return f"{self.level[0].upper()}93{self.id[4:6]}"
