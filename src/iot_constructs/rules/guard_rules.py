"""The rules in iot_pipeline.guard, evaluated by CDK's validation engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import aws_cdk as cdk

from iot_constructs.rules.rule import Finding
from iot_constructs.rules.rule_table import TABLE_RULES
from iot_constructs.rules.template import Template
from iot_constructs.rules.validation_context import TemplatesContext

GUARD_FILE = Path(__file__).with_name("iot_pipeline.guard")
_INFO = {rule.id: rule.info for rule in TABLE_RULES if rule.engine == "guard"}
# Before 2.274, CDK reports all violations of a rule with the message of the first one.
_ONE_MESSAGE_PER_RULE = tuple(map(int, version("aws-cdk-lib").split(".")[:2])) < (2, 274)


def run(templates: Sequence[Template]) -> list[Finding]:
    """Return the findings of the Guard rules in ``templates`` and their nested stacks."""
    stacks = [
        cdk.PolicyValidationStack(
            stack_construct_path=each.path.name,
            template_path=str(each.path),
            account_id=template.stack.account if template.stack is not None else None,
            region=template.stack.region if template.stack is not None else None,
        )
        for template in templates
        for each in template.walk()
    ]
    return guard_findings(_engine().validate(TemplatesContext(stacks)).violations)


@cache
def _engine() -> cdk.CloudFormationValidatePlugin:
    """Return the engine of this process: loading it takes a second, and a test suite synthesizes many apps.

    It is used directly, not registered with the app: CDK allows an app one such plugin, and its default one, or that of
    the user, stays in place.
    """
    rules = cdk.ValidationRuleSource(
        name=GUARD_FILE.name, content=GUARD_FILE.read_text(encoding="utf-8")
    )
    return cdk.CloudFormationValidatePlugin(guard_rules=[rules], include_default_rules=False)


def guard_findings(violations: Iterable[cdk.PolicyViolation]) -> list[Finding]:
    """Convert violations of the Guard rules to findings."""
    return [
        finding
        for violation in violations
        if violation.rule_name in _INFO  # and not one of the engine itself
        for finding in _collect_findings(violation)
    ]


def _collect_findings(violation: cdk.PolicyViolation) -> Iterator[Finding]:
    resources = violation.violating_resources
    # The engine prefixes the message with the location of the first resource: "Replicas.0: message".
    where = next((location for it in resources[:1] for location in it.locations), "")
    detail = violation.description.removeprefix(f"{where.removeprefix('Properties.')}: ")
    if _ONE_MESSAGE_PER_RULE and len(resources) > 1:
        detail += f" (or another violation of: {_INFO[violation.rule_name]})"
    for resource in resources:
        if resource.resource_logical_id is None or resource.template_path is None:
            continue  # about the template: a Guard filter that selects nothing
        yield Finding(
            rule_id=violation.rule_name,
            template=Path(resource.template_path),
            logical_id=resource.resource_logical_id,
            detail=detail,
            property_path=next(iter(resource.locations), "").replace(".", "/"),
        )
