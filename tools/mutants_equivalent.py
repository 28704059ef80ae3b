"""Mutants that no test can notice, because what is deployed stays the same, each with the reason."""

from __future__ import annotations

import re
from typing import Final

EQUIVALENT: Final[dict[str, str]] = {
    r"_alarms\.py \| create_alarm \| cloudwatch\.Alarm\(comparison_operator=\.\.\.\) left out": (
        "CDK's own default is GreaterThanOrEqualToThreshold as well"
    ),
    r"_dead_letters\.py \| create_dead_letters \| sqs\.Queue\(encryption=\.\.\.\) left out": (
        "CDK takes KMS when it is given a key"
    ),
    r"_tables\.py \| DeviceTable\.__init__ \| _Table\(billing=\.\.\.\) left out": (
        "on-demand is TableV2's own default"
    ),
    r"_validate\.py \| (module|is_token) \| (-1e\+100.*|.*_NUMBER_TOKEN_CEILING|.*without int)": (
        "ordinary numbers are only kept from CDK's engine, which says the same of them"
    ),
    r"pipeline_alarms\.py \| _processing_delay \| dropped of or: age is None": (
        "CDK refuses a max_record_age that is a token; for the type checker"
    ),
    r"queryable_archive\.py \| module \| defaults\.DATA_PREFIX\.split\(maxsplit=\.\.\.\).*": (
        "only the first piece is used"
    ),
    r"queryable_archive\.py \| .*_create_workgroup \| 2 \*\* 63 - 1: 1 -> 2": (
        "CDK's sizes are doubles, and there these are 1024 apart"
    ),
    r".*\.guard \| kinesis_mappings \| dropped: Type == 'AWS::Lambda::EventSourceMapping'": (
        "of the types that the file looks at, only a mapping has a StartingPosition"
    ),
    r".*\.guard \| (retained_)?global_tables \| dropped: Type == 'AWS::DynamoDB::GlobalTable'": (
        "of the types that the file looks at, only a global table has Replicas"
    ),
    r".*\.guard \| topic_rules \| dropped: Type == 'AWS::IoT::TopicRule'": (
        "of the types that the file looks at, only a topic rule has a TopicRulePayload"
    ),
    r".*\.guard \| keyed_tables \| dropped: Type in \['AWS::DynamoDB::Table', 'AWS::DynamoDB::GlobalTable'\]": (
        "of the types that the file looks at, only tables have a KeySchema"
    ),
    r".*\.metric_(get_records_iterator_age_milliseconds|approximate_number_of_messages_visible)"
    r"\(statistic=\.\.\.\) left out": "Maximum is CDK's own default for these",
    r".*\.metric_number_of_(messages_published|notifications_failed)\(statistic=\.\.\.\) left out": (
        "Sum is CDK's own default for these"
    ),
    r".*\.(metric\w*|Metric)\(period=\.\.\.\) left out": "CDK's own default is 5 minutes as well",
    r".*\.function\.metric_(errors|throttles)\(statistic=\.\.\.\) left out": "Sum is CDK's own default for these",
    r".*alarm_metrics\.py \| .* \| dropped of or: (self|metric)\.namespace is None": (
        "the catalogue of metrics answers for no namespace as for one that it does not have; for the type checker"
    ),
    r".*check_buckets\.py \| _log_buckets \| dropped of and: isinstance\(target, Resource\)": (
        "only buckets are looked up in the set; for the type checker"
    ),
    r".*policies\.py \| _unknown \| Statement\(template, \.\.\.\): False -> True( \(2\))?": (
        "of a statement that is unknown every rule asks for its effect alone"
    ),
    r".*policies\.py \| _statement \| dropped: if it is not None": (
        "a statement with an action that is not known is unknown as a whole; for the type checker"
    ),
    r".*injectors_policies\.py \| _RestoreOwnerPublish\.visit \| dropped of and: isinstance\((policy|topic), .*": (
        "a topic that is noted there has a policy, and without a topic there is none; for the type checker"
    ),
    r".*guard_rules\.py \| module \| dropped: if rule\.engine == 'guard'": (
        "the engine names no other rule of ours"
    ),
    r".*guard_rules\.py \| _has_other_source \| dropped of or: resource\.type != _MAPPING": (
        "no other resource that a rule is about has an EventSourceArn"
    ),
    r".*guard_rules\.py \| _has_other_source \| dropped of or: ''": (
        "every finding of Guard is about a resource; for the type checker"
    ),
    r".*read_text\(encoding=\.\.\.\) left out": (
        "the same on a machine whose own encoding is UTF-8, which the tests run on"
    ),
}
"""Regular expression for the whole name -> reason."""


def reason_for(name: str) -> str:
    """Why a mutant is equivalent; nothing where it is not."""
    for pattern, reason in EQUIVALENT.items():
        if re.fullmatch(pattern, name):
            return reason
    return ""
