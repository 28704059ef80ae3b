"""The Guard rules as CDK's validation engine takes them, and its answers as findings of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import aws_cdk as cdk

from iot_constructs.corrected_defaults.finding import Finding
from iot_constructs.corrected_defaults.references import UNKNOWN, App
from iot_constructs.corrected_defaults.rule_table import RULES
from iot_constructs.corrected_defaults.template import Template

GUARD_FILE = Path(__file__).with_name("corrected_defaults.guard")
_IDS = frozenset(rule.id for rule in RULES if rule.engine == "guard")
_MAPPING = "AWS::Lambda::EventSourceMapping"


def guard_rules() -> cdk.ValidationRuleSource:
    """The Guard file, for ``CloudFormationValidatePlugin(guard_rules=[...])``."""
    return cdk.ValidationRuleSource(
        name=GUARD_FILE.name, content=GUARD_FILE.read_text(encoding="utf-8")
    )


def is_ours(violation: cdk.PolicyViolation) -> bool:
    """Whether this is from the Guard file."""
    return violation.rule_name in _IDS


def guard_findings(
    violations: Iterable[cdk.PolicyViolation], templates: Iterable[Template]
) -> list[Finding]:
    """What the Guard file found, less what the rest of the app shows to be none of its business."""
    app = App(list(templates))
    by_path = {template.path: template for template in app.templates}
    return [
        finding
        for violation in violations
        if is_ours(violation)
        for finding in _findings(violation)
        if not _about_another_source(finding, by_path[finding.template], app)
    ]


def _findings(violation: cdk.PolicyViolation) -> Iterator[Finding]:
    for resource in violation.violating_resources:
        if resource.resource_logical_id is None or resource.template_path is None:
            continue  # the template as such, when a filter of Guard finds nothing to look at
        location = next(iter(resource.locations), "")
        # The engine writes "Replicas.0: message".
        where = f"{location.removeprefix('Properties.')}: "
        yield Finding(
            rule_id=violation.rule_name,
            template=Path(resource.template_path),
            logical_id=resource.resource_logical_id,
            detail=violation.description.removeprefix(where),
            property_path=location.replace(".", "/"),
        )


def _about_another_source(finding: Finding, template: Template, app: App) -> bool:
    """Whether this is a mapping of something else than a Kinesis stream.

    Guard goes by the name of a parameter or export where the source is in another template; here it can be followed.
    """
    resource = template.resources.get(finding.logical_id or "")
    if resource is None or resource.type != _MAPPING:
        return False
    source = app.target(resource.properties.get("EventSourceArn"), template)
    return source is not None and source is not UNKNOWN and "::Kinesis::" not in source.type
