"""The rules that need more than one resource, evaluated on all templates of an app."""

from __future__ import annotations

from collections.abc import Sequence

from iot_constructs.rules import (
    check_alarm_actions,
    check_alarm_metrics,
    check_failure_paths,
    check_missing_alarms,
    check_names,
    check_termination_protection,
)
from iot_constructs.rules.catalogue import CLASSES
from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template

_CHECKS = (
    check_termination_protection.check,
    check_missing_alarms.check,
    check_alarm_metrics.check,
    check_alarm_actions.check,
    check_failure_paths.check,
)


def run(templates: Sequence[Template], suffix: str | None) -> list[Finding]:
    """Return the findings of the Python rules, sorted by rule id, then by template.

    Args:
        templates: all stacks of an app, from `load_templates` or `load_assembly`, with their nested stacks. References
            between them are resolved.
        suffix: the environment suffix; None if unknown. A stack with its own suffix (`Template.suffix`) is checked
            against that one.
    """
    pipeline = Pipeline(Graph(templates))
    found = list(check_names.check(pipeline, suffix))
    for check in _CHECKS:
        found += check(pipeline)
    for rule in CLASSES:
        found += rule.check(pipeline)
    # Nested stacks with the same content share one file, and their findings.
    return sorted(dict.fromkeys(found), key=lambda finding: finding.rule_id)
