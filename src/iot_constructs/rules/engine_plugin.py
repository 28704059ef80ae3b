"""CDK's own validation engine, with the Guard rules loaded into it.

One engine, because each one evaluates all of CDK's built-in rules again: a second one would double the time that
validation takes. It stays CDK's plugin in every respect: same name, same findings, same acknowledgements. What the
Guard rules find is taken out, for `findings_plugin` to report it under this library's name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import aws_cdk as cdk

from iot_constructs.rules.finding import Finding
from iot_constructs.rules.guard_rules import guard_findings, guard_rules, is_ours
from iot_constructs.rules.template import Template, load_templates
from iot_constructs.rules.validation_context import TemplatesContext

_FAILING = ("error", "fatal")


class EnginePlugin(cdk.CloudFormationValidatePlugin):
    """CDK's plugin with more rules; what those found is in `findings`, and not in its report."""

    def __init__(self) -> None:
        super().__init__(guard_rules=[guard_rules()])
        self.findings: list[Finding] = []
        self.templates: list[Template] = []

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Run all rules once over all templates, nested ones included."""
        self.findings, self.templates = [], []
        stacks = context.stack_templates
        self.templates = load_templates(Path(stack.template_path) for stack in stacks)
        nested = _nested_stacks(self.templates, stacks)
        report = super().validate(
            TemplatesContext([*stacks, *nested], context.app_construct) if nested else context
        )
        violations = report.violations
        self.findings = guard_findings(violations, self.templates)
        return _as_cdk_reports_it(violations, {stack.template_path for stack in nested})

    def evaluate(self, context: TemplatesContext) -> cdk.PolicyValidationPluginReport:
        """What the engine says about templates without an app: CDK's findings and ours, unsorted."""
        return super().validate(context)


@cache
def shared_engine() -> EnginePlugin:
    """One engine a process: it takes a second to load, and an app's tests make many apps."""
    return EnginePlugin()


def _nested_stacks(
    templates: Sequence[Template], stacks: Sequence[cdk.PolicyValidationStack]
) -> list[cdk.PolicyValidationStack]:
    """The nested stacks, which CDK does not validate, each with the surroundings of the stack above."""
    above = {stack.template_path: stack for stack in stacks}
    found = {}
    for template in templates:
        for nested in template.walk():
            if nested.parent is not None:
                stack = above[str(template.path)]
                found[str(nested.path)] = cdk.PolicyValidationStack(
                    stack_construct_path=stack.stack_construct_path,
                    template_path=str(nested.path),
                    account_id=stack.account_id,
                    region=stack.region,
                )
    return list(found.values())


def _as_cdk_reports_it(
    violations: Sequence[cdk.PolicyViolation], not_looked_at: set[str]
) -> cdk.PolicyValidationPluginReport:
    """The findings of CDK's own rules in the templates that CDK looks at."""
    kept = []
    # Who turned CDK's validation off gets none of it back by adding these rules.
    if os.environ.get("CDK_VALIDATION") != "false":
        for violation in violations:
            if is_ours(violation):
                continue
            if not_looked_at:
                here = [
                    resource
                    for resource in violation.violating_resources
                    if resource.template_path not in not_looked_at
                ]
                if not here:
                    continue
                violation = _with_resources(violation, here)  # noqa: PLW2901 - the same one, with less in it
            kept.append(violation)
    return cdk.PolicyValidationPluginReport(
        success=all(violation.severity not in _FAILING for violation in kept), violations=kept
    )


def _with_resources(
    violation: cdk.PolicyViolation, resources: Sequence[cdk.PolicyViolatingResource]
) -> cdk.PolicyViolation:
    return cdk.PolicyViolation(
        rule_name=violation.rule_name,
        description=violation.description,
        violating_resources=resources,
        fix=violation.fix,
        severity=violation.severity,
        rule_metadata=violation.rule_metadata,
    )
