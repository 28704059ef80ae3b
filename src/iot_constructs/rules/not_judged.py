"""What could not be looked at, and the rule that reports it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from iot_constructs.rules.rule import DOCS, Finding, Fix, Rule

if TYPE_CHECKING:
    from iot_constructs.rules.pipeline import Pipeline

RULE_ID: Final = "IOT_00_NOT_JUDGED"
NESTED_STACK: Final = "AWS::CloudFormation::Stack"

_GUIDE: Final = f"{DOCS}/AWSCloudFormation/latest"


@dataclass(frozen=True)
class NotJudged:
    """A part of a template that could not be looked at."""

    detail: str
    """What, and why; lower case, no full stop."""
    logical_id: str | None = None
    """None if it is not in one resource."""
    property_path: str = ""
    """The place in the resource, or in the template if ``logical_id`` is None."""


class NotJudgedRule(Rule):
    """Reports what the other rules could not look at."""

    id = RULE_ID
    level = "warning"
    info = "Every part of a template can be looked at."
    explanation = (
        "A macro, an included file, a module, a nested stack that is not a local file, or a loop over values that are "
        "known at deployment only can contain anything that the other rules report."
    )
    fixes: ClassVar = {
        "": Fix(
            cdk="",
            cloudformation="# Check the template that CloudFormation deployed:\n"
            "# aws cloudformation get-template --stack-name NAME --template-stage Processed "
            "--query TemplateBody > processed.json",
        ),
        NESTED_STACK: Fix(
            cdk="",
            cloudformation="<LogicalId>:\n  Properties:\n"
            "    TemplateURL: nested.yaml  # the local file, as before `aws cloudformation package`",
        ),
    }
    source_url = f"{_GUIDE}/APIReference/API_GetTemplate.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Return what the reader could not look at."""
        for template in pipeline.graph.templates:
            for each in template.not_judged:
                resource = template.resources.get(each.logical_id or "")
                yield Finding(
                    self.id,
                    template.path,
                    each.logical_id,
                    each.detail,
                    each.property_path,
                    "" if resource is None else resource.type,
                )

    def fix_of(self, finding: Finding) -> Fix:
        """Return how to get what can be looked at."""
        fix = self.fixes.get(finding.resource_type, self.fixes[""])
        return fix.of(finding.logical_id or "")


RULES: Final = (NotJudgedRule(),)
