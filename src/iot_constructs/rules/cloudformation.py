"""The rules for templates and stacks: what could not be looked at, and termination protection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from iot_constructs.rules.not_judged import NESTED_STACK, RULE_ID
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import DOCS, Finding, Rule

_GUIDE: Final = f"{DOCS}/AWSCloudFormation/latest"


class NotJudgedRule(Rule):
    """Reports what the other rules could not look at."""

    id = RULE_ID
    level = "warning"
    info = "Every part of a template can be looked at."
    explanation = (
        "A macro, an included file, a module, a nested stack that is not a local file, or a loop over values that are "
        "known at deployment only can contain anything that the other rules report."
    )
    remediations: ClassVar = {
        "": Remediation(
            cdk="",
            cloudformation="# Check the template that CloudFormation deployed:\n"
            "# aws cloudformation get-template --stack-name NAME --template-stage Processed "
            "--query TemplateBody > processed.json",
        ),
        NESTED_STACK: Remediation(
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
        for mapping in pipeline.unjudged_mappings:
            yield self.finding(
                mapping,
                "its source is known at deployment only, and is taken for a DynamoDB stream by its name",
                "Properties/EventSourceArn",
            )

    def remediation_of(self, finding: Finding) -> Remediation:
        """Return how to get what can be looked at."""
        fix = self.remediations.get(finding.resource_type, self.remediations[""])
        return fix.of(finding.logical_id or "")


class TerminationProtection(Rule):
    """Reports stacks that do not set termination protection."""

    id = "IOT_05_TERMINATION_PROTECTION"
    info = "Every stack sets its termination protection explicitly."
    explanation = "It is off by default, and one command then deletes the pipeline with its stream."
    remediations: ClassVar = {"": Remediation("termination_protection=True", "")}
    source_url = f"{_GUIDE}/UserGuide/using-cfn-protect-stacks.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find stacks without explicit termination protection; requires the manifest.

        The manifest has False both for an explicit False and for the default, so a plain stack without protection is
        reported. A SuffixedStack always sets it.
        """
        for template in pipeline.graph.stacks:
            stack = template.stack
            if stack is None or stack.termination_protection or stack.suffixed:
                continue
            yield Finding(
                self.id,
                template.path,
                None,
                f"stack {stack.name!r} has no termination protection, or does not set it "
                "explicitly: the manifest does not distinguish the two",
            )


RULES: Final = (NotJudgedRule(), TerminationProtection())
