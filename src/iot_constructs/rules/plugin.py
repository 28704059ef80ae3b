"""The validation plugin that runs all rules of this library on the templates of a CDK app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import aws_cdk as cdk
import jsii
from constructs import IConstruct

from iot_constructs._defaults import MANAGED_BY
from iot_constructs.environment import EnvironmentSuffix, SuffixedStack
from iot_constructs.rules import catalogue
from iot_constructs.rules.catalogue import RULE_BY_ID, RULES
from iot_constructs.rules.rule import PLUGIN_NAME, Finding
from iot_constructs.rules.template import Template, load_templates


class _Deployed(NamedTuple):
    """A template, nested or not, and the construct path of the stack that deploys it."""

    template: Template
    stack_path: str


@jsii.implements(cdk.IPolicyValidationPlugin)
class IotPipelineChecks:
    """A CDK validation plugin that checks the templates of any app for mistakes in IoT telemetry pipelines.

    Add it to the app, or to a stage to check only its stacks. It runs at every synth and checks nested stacks as well.
    RULES.md describes every rule with its reason and its remediation; ``RULES`` has the same as data.

    To accept a finding, acknowledge it for one construct or for everything below it, as with any validation of CDK::

        Validations.of(event_source).acknowledge(
            Acknowledgment(
                id="IotPipelineChecks::IOT_13_TRIM_HORIZON", reason="starts with the next record"
            )
        )

    Args:
        suffix: the environment suffix that physical names must contain. None uses the suffix of each stack
            (``EnvironmentSuffix.of``). A SuffixedStack is always checked against its own suffix.
        strict: True reports each finding at the level of its rule, and an error fails the synth. False reports all
            findings as warnings.

    Raises:
        ValueError: the suffix is not legal.

    Example::

        import aws_cdk as cdk
        from iot_constructs.rules import IotPipelineChecks

        app = cdk.App()
        cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev"))
        cdk.Stack(app, "Telemetry-dev", termination_protection=True)
        app.synth()
    """

    def __init__(
        self, *, suffix: str | EnvironmentSuffix | None = None, strict: bool = True
    ) -> None:
        if suffix is not None and not isinstance(suffix, EnvironmentSuffix):
            suffix = EnvironmentSuffix(suffix)
        self._suffix = suffix
        self._strict = strict

    @property
    def name(self) -> str:
        """The name in CDK's report and the first part of acknowledgement ids."""
        return PLUGIN_NAME

    @property
    def version(self) -> str | None:
        """The version of this library."""
        try:
            return version("iot-constructs")
        except PackageNotFoundError:  # run from a copy of the sources
            return None

    @property
    def rule_ids(self) -> list[str]:
        """The ids of all rules."""
        return [rule.id for rule in RULES]

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Run all rules; CDK calls this at synth."""
        stacks = context.stack_templates
        construct_paths = {
            Path(stack.template_path): stack.stack_construct_path for stack in stacks
        }
        templates = load_templates(construct_paths)
        app = context.app_construct
        for template in templates:
            _add_construct_data(template, app, construct_paths[template.path], self._suffix)
        findings = catalogue.check(templates, None)
        return self._report(findings, _deployed(templates, construct_paths))

    def _report(
        self, findings: Sequence[Finding], deployed: Mapping[Path, _Deployed]
    ) -> cdk.PolicyValidationPluginReport:
        # One violation of CDK has one text and one fix for all its resources.
        grouped: dict[tuple[str, str, str], list[Finding]] = {}
        for finding in sorted(findings, key=lambda it: it.rule_id):
            grouped.setdefault((finding.rule_id, finding.detail, _fix(finding)), []).append(finding)
        return cdk.PolicyValidationPluginReport(
            success=all(self._severity(finding.rule_id) != "error" for finding in findings),
            violations=[
                cdk.PolicyViolation(
                    rule_name=rule_id,
                    description=f"{detail} [{RULE_BY_ID[rule_id].acknowledgement}]",
                    fix=fix,
                    severity=self._severity(rule_id),
                    violating_resources=[
                        _violating_resource(finding, deployed[finding.template])
                        for finding in found
                    ],
                )
                for (rule_id, detail, fix), found in grouped.items()
            ],
        )

    def _severity(self, rule_id: str) -> str:
        return RULE_BY_ID[rule_id].level if self._strict else "warning"


def _fix(finding: Finding) -> str:
    rule = RULE_BY_ID[finding.rule_id]
    fix = rule.remediation_of(finding)
    # What is declared in no construct, such as the cause of IOT_00, has a fix for its template only.
    code = fix.cdk or fix.cloudformation
    return f"{code} ({rule.source_url})" if "\n" not in code else f"\n{code}\n({rule.source_url})"


def _violating_resource(finding: Finding, deployed: _Deployed) -> cdk.PolicyViolatingResource:
    # The construct is that of the resource which SAM generates others from.
    author = None if finding.logical_id is None else deployed.template.author(finding.logical_id)
    return cdk.PolicyViolatingResource(
        template_path=str(finding.template),
        resource_logical_id=author,
        construct_path=deployed.stack_path if author is None else None,
        locations=[finding.property_path.replace("/", ".")] if finding.property_path else [],
    )


def _deployed(
    templates: Sequence[Template], construct_paths: Mapping[Path, str]
) -> dict[Path, _Deployed]:
    return {
        each.path: _Deployed(each, construct_paths[template.path])
        for template in templates
        for each in template.walk()
    }


def _add_construct_data(
    template: Template,
    app: IConstruct,
    construct_path: str,
    explicit: EnvironmentSuffix | None,
) -> None:
    """Add what the construct tree knows about the stack and the manifest does not always contain."""
    stack = _construct_at(app, construct_path)
    template.suffix = str(EnvironmentSuffix.of(stack if stack is not None else app, explicit))
    if isinstance(stack, SuffixedStack) and template.stack is not None:
        # With the feature flag explicitStackTags, which new apps have, the manifest has none of its tags.
        template.suffix = str(stack.environment_suffix)
        tags = {"ManagedBy": MANAGED_BY, "Environment": template.suffix}
        template.stack = replace(template.stack, tags={**template.stack.tags, **tags})


def _construct_at(app: IConstruct, path: str) -> IConstruct | None:
    construct: IConstruct | None = app
    for id in path.split("/"):
        if construct is None:
            return None
        construct = construct.node.try_find_child(id)
    return construct
