"""All rules, and their run over the templates of an app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iot_constructs.rules import (
    cloudformation,
    cloudwatch,
    cloudwatch_actions,
    dynamodb,
    event_sources,
    iot,
    kinesis,
    lambda_functions,
    naming,
    pipeline_alarms,
    s3,
    sns_sqs,
    timestream,
)
from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding, Rule
from iot_constructs.rules.template import Template

RULES: Final[tuple[Rule, ...]] = tuple(
    sorted(
        (
            *cloudformation.RULES,
            *cloudwatch.RULES,
            *cloudwatch_actions.RULES,
            *dynamodb.RULES,
            *event_sources.RULES,
            *iot.RULES,
            *kinesis.RULES,
            *lambda_functions.RULES,
            *naming.RULES,
            *pipeline_alarms.RULES,
            *s3.RULES,
            *sns_sqs.RULES,
            *timestream.RULES,
        ),
        key=lambda rule: rule.id,
    )
)
"""All rules, in the order of their ids.

Each rule has an ``id``; ``info``, the requirement; ``explanation``, the reason; ``remediations``, the code to use by
resource type, for CDK and for CloudFormation; ``source_url``, the AWS documentation; ``level``, ``"error"`` or
``"warning"``; ``acknowledgement``, the id to acknowledge a finding with in CDK; and ``cfn_lint_id``.
"""

RULE_BY_ID: Final = {rule.id: rule for rule in RULES}


def check(templates: Sequence[Template], suffix: str | None) -> list[Finding]:
    """Return the findings of all rules, in the order of their ids.

    Args:
        templates: all stacks of an app, from `load_templates` or `load_assembly`, with their nested stacks. References
            between them are resolved.
        suffix: the environment suffix of all stacks; None checks each stack against its own (`Template.suffix`), if it
            is known.
    """
    pipeline = Pipeline(Graph(templates), suffix)
    # Nested stacks with the same content share one file, and their findings.
    return list(dict.fromkeys(finding for rule in RULES for finding in rule.check(pipeline)))
