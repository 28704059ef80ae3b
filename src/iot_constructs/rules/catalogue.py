"""All rules, and their run over the templates of an app."""

from __future__ import annotations

from typing import Final

from iot_constructs.rules import (
    dynamodb,
    event_sources,
    iot,
    kinesis,
    lambda_functions,
    not_judged,
    s3,
    sns_sqs,
    timestream,
)
from iot_constructs.rules.rule import Rule
from iot_constructs.rules.rule_table import TABLE_RULES, TableRule

CLASSES: Final[tuple[Rule, ...]] = (
    *dynamodb.RULES,
    *event_sources.RULES,
    *iot.RULES,
    *kinesis.RULES,
    *lambda_functions.RULES,
    *not_judged.RULES,
    *s3.RULES,
    *sns_sqs.RULES,
    *timestream.RULES,
)
RULES: Final[tuple[Rule | TableRule, ...]] = tuple(
    sorted((*CLASSES, *TABLE_RULES), key=lambda rule: rule.id)
)
"""All rules, in the order of their ids.

Each rule has an ``id``; ``info``, the requirement; ``explanation``, the reason; ``fixes``, the code to use by resource
type, for CDK and for CloudFormation; ``source_url``, the AWS documentation; ``level``, ``"error"`` or ``"warning"``;
``acknowledgement``, the id to acknowledge a finding with in CDK; and ``cfn_lint_id``.
"""

RULE_BY_ID: Final = {rule.id: rule for rule in RULES}
