"""The rules that need more than one resource at a time, over all templates of an app."""

from __future__ import annotations

from collections.abc import Sequence

from iot_constructs.rules import (
    check_alarm_actions,
    check_alarm_metrics,
    check_buckets,
    check_failure_paths,
    check_missing_alarms,
    check_names,
    check_retention,
    check_termination_protection,
)
from iot_constructs.rules.finding import Finding
from iot_constructs.rules.pipeline_parts import Pipeline
from iot_constructs.rules.references import App
from iot_constructs.rules.template import Template

_CHECKS = (
    check_buckets.check,
    check_termination_protection.check,
    check_missing_alarms.check,
    check_alarm_metrics.check,
    check_alarm_actions.check,
    check_failure_paths.check,
    check_retention.check,
)


def run(templates: Sequence[Template], suffix: str | None) -> list[Finding]:
    """Everything the Python rules find, in the order of the rules' ids, then of the templates.

    Args:
        templates: the stacks of one app, as `load_templates` or `load_assembly` give them; each brings its nested
            stacks. References are followed from one to the other, so leave none out.
        suffix: the environment; None where it is not known. A stack that knows its own (`Template.suffix`) is held
            to that.
    """
    pipeline = Pipeline(App(templates))
    found = list(check_names.check(pipeline, suffix))
    for check in _CHECKS:
        found += check(pipeline)
    # Two nested stacks of one content share one file; what is found in both is one finding.
    return sorted(dict.fromkeys(found), key=lambda finding: finding.rule_id)
