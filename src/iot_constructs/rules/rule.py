"""What a rule is, and what it reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from iot_constructs.rules.overrides import overrides

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
            ``<LogicalId>`` in it makes the id of a construct unique.
        cloudformation: YAML to merge into ``Resources`` of the template; ``<LogicalId>`` stands for the resource.
        l1: the same as ``cdk`` for a resource that is declared with its L1 construct, where it differs. By default,
            overrides of the properties in ``cloudformation``, if it does nothing else.
    """

    cdk: str
    cloudformation: str
    l1: str = ""

    def of(self, logical_id: str) -> Fix:
        """Return the fix of one resource."""
        texts = (self.cdk, self.cloudformation, self.l1)
        return Fix(*(text.replace(_LOGICAL_ID, logical_id) for text in texts))

    def of_l1(self, type: str) -> Fix:
        """Return the fix of a resource of ``type`` that is declared with its L1 construct."""
        return replace(self, cdk=self.l1 or overrides(self.cloudformation, type) or self.cdk)


def set_properties(cdk: str, properties: str) -> Fix:
    """Return a fix that sets properties of the resource: keyword arguments for CDK, and YAML."""
    return Fix(cdk, f"{_LOGICAL_ID}:\n  Properties:\n{indent(properties, ' ' * 4)}")


FAILURE_BUCKET: Final = (
    'self.node.try_find_child("Failures") or '
    'SecureDataBucket(self, "Failures", bucket_name=f"failures-{self.node.addr[-8:]}")'
)
"""A bucket for failed records, for the code of a fix: one for all of a stack, with a name that no other stack has."""


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
            _construct_path(resource),
        )

    def fix_of(self, finding: Finding) -> Fix:
        """Return the code that ends ``finding``."""
        fix = self.variant(finding).of(finding.logical_id or "")
        if finding.of_l1:
            return fix.of_l1(finding.resource_type)
        if finding.of_l2:  # for example of an alpha module: the fix is that of the L1
            override = ".add_property_override("
            return replace(fix, cdk=fix.cdk.replace(override, f".node.default_child{override}"))
        return fix

    def variant(self, finding: Finding) -> Fix:
        """Return the fix for what is special about ``finding``."""
        return self.fixes[finding.resource_type]

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
