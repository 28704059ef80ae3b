"""All rules, and their run over the templates of an app."""

from __future__ import annotations

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
    not_judged,
    pipeline_alarms,
    s3,
    sns_sqs,
    timestream,
)
from iot_constructs.rules.rule import Rule

CLASSES: Final[tuple[Rule, ...]] = (
    *cloudformation.RULES,
    *cloudwatch.RULES,
    *cloudwatch_actions.RULES,
    *dynamodb.RULES,
    *event_sources.RULES,
    *iot.RULES,
    *kinesis.RULES,
    *lambda_functions.RULES,
    *naming.RULES,
    *not_judged.RULES,
    *pipeline_alarms.RULES,
    *s3.RULES,
    *sns_sqs.RULES,
    *timestream.RULES,
)
RULES: Final[tuple[Rule, ...]] = tuple(sorted(CLASSES, key=lambda rule: rule.id))
"""All rules, in the order of their ids.

Each rule has an ``id``; ``info``, the requirement; ``explanation``, the reason; ``fixes``, the code to use by resource
type, for CDK and for CloudFormation; ``source_url``, the AWS documentation; ``level``, ``"error"`` or ``"warning"``;
``acknowledgement``, the id to acknowledge a finding with in CDK; and ``cfn_lint_id``.
"""

RULE_BY_ID: Final = {rule.id: rule for rule in RULES}
