"""The run of all rules over the templates of an app."""

from __future__ import annotations

from collections.abc import Sequence

from iot_constructs.rules.catalogue import CLASSES
from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template


def run(templates: Sequence[Template], suffix: str | None) -> list[Finding]:
    """Return the findings of all rules, sorted by rule id, then by template.

    Args:
        templates: all stacks of an app, from `load_templates` or `load_assembly`, with their nested stacks. References
            between them are resolved.
        suffix: the environment suffix of all stacks; None checks each stack against its own (`Template.suffix`), if it
            is known.
    """
    pipeline = Pipeline(Graph(templates), suffix)
    found: list[Finding] = []
    for rule in CLASSES:
        found += rule.check(pipeline)
    # Nested stacks with the same content share one file, and their findings.
    return sorted(dict.fromkeys(found), key=lambda finding: finding.rule_id)
