"""The validation plugin that reports what all rules of this library found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import aws_cdk as cdk
import jsii
from constructs import IConstruct

from iot_constructs._defaults import MANAGED_BY
from iot_constructs.environment import EnvironmentSuffix, SuffixedStack
from iot_constructs.rules import python_checks
from iot_constructs.rules.engine_plugin import EnginePlugin
from iot_constructs.rules.finding import Finding
from iot_constructs.rules.rule_table import PLUGIN_NAME, RULE_BY_ID, RULES
from iot_constructs.rules.template import Template, load_templates


@jsii.implements(cdk.IPolicyValidationPlugin)
class FindingsPlugin:
    """Reports under the name ``Corrected Defaults``.

    Args:
        engine: the plugin that ran before this one, and its Guard rules; None runs the Python rules only.
        suffix: the environment of all stacks; None asks each stack for its own.
        strict: whether a finding fails the synth, or is a warning.
    """

    def __init__(self, engine: EnginePlugin | None, suffix: str | None, strict: bool) -> None:
        self._engine = engine
        self._suffix = suffix
        self._strict = strict

    @property
    def name(self) -> str:
        """What acknowledgements begin with, blanks as hyphens."""
        return PLUGIN_NAME

    @property
    def version(self) -> str | None:
        """That of this library."""
        try:
            return version("iot-constructs")
        except PackageNotFoundError:  # run from a copy of the sources
            return None

    @property
    def rule_ids(self) -> list[str]:
        """Those that are run."""
        return [rule.id for rule in RULES if self._engine is not None or rule.engine == "python"]

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Everything that was found, an entry for each rule and detail."""
        stacks = context.stack_templates
        if self._engine is not None:
            templates, findings = self._engine.templates, list(self._engine.findings)
        else:
            templates = load_templates(Path(stack.template_path) for stack in stacks)
            findings = []
        construct_paths = {
            Path(stack.template_path): stack.stack_construct_path for stack in stacks
        }
        app = context.app_construct
        for template in templates:
            _tell_what_the_app_knows(template, app, construct_paths[template.path], self._suffix)
        suffix = self._suffix if self._suffix is not None else str(EnvironmentSuffix.of(app))
        findings += python_checks.run(templates, suffix)
        return self._report(findings, _stacks_above(templates, construct_paths))

    def _report(
        self, findings: Sequence[Finding], construct_paths: dict[Path, str]
    ) -> cdk.PolicyValidationPluginReport:
        grouped: dict[tuple[str, str], list[Finding]] = {}
        for finding in sorted(findings, key=lambda it: it.rule_id):
            grouped.setdefault((finding.rule_id, finding.detail), []).append(finding)
        return cdk.PolicyValidationPluginReport(
            success=not (findings and self._strict),
            violations=[
                cdk.PolicyViolation(
                    rule_name=rule_id,
                    description=f"{detail} [{RULE_BY_ID[rule_id].acknowledgement}]",
                    fix=f"{RULE_BY_ID[rule_id].fix} ({RULE_BY_ID[rule_id].facts})",
                    severity="error" if self._strict else "warning",
                    violating_resources=[
                        _violating_resource(finding, construct_paths[finding.template])
                        for finding in found
                    ],
                )
                for (rule_id, detail), found in grouped.items()
            ],
        )


def _violating_resource(finding: Finding, stack_path: str) -> cdk.PolicyViolatingResource:
    return cdk.PolicyViolatingResource(
        template_path=str(finding.template),
        resource_logical_id=finding.logical_id,
        construct_path=stack_path if finding.logical_id is None else None,
        locations=[finding.property_path.replace("/", ".")] if finding.property_path else [],
    )


def _stacks_above(
    templates: Sequence[Template], construct_paths: dict[Path, str]
) -> dict[Path, str]:
    """The construct path of the stack that each template, nested or not, is deployed with."""
    return {
        each.path: construct_paths[template.path]
        for template in templates
        for each in template.walk()
    }


def _tell_what_the_app_knows(
    template: Template, app: IConstruct, construct_path: str, explicit: str | None
) -> None:
    """Give ``template`` what is in the construct tree, and not always in the manifest."""
    stack = _construct_at(app, construct_path)
    if stack is None:
        return
    if isinstance(stack, SuffixedStack) and template.stack is not None:
        # With the feature flag explicitStackTags, which new apps have, the manifest shows none of its tags.
        template.suffix = str(stack.environment_suffix)
        tags = {"ManagedBy": MANAGED_BY, "Environment": template.suffix}
        template.stack = replace(template.stack, tags={**template.stack.tags, **tags})
    elif explicit is None:
        template.suffix = str(EnvironmentSuffix.of(stack))


def _construct_at(app: IConstruct, path: str) -> IConstruct | None:
    construct: IConstruct | None = app
    for id in path.split("/"):
        if construct is None:
            return None
        construct = construct.node.try_find_child(id)
    return construct
