"""Rules for DynamoDB tables: recovery, TTL, deletion protection and retention."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Final

from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import TABLES, Pipeline
from iot_constructs.rules.remediations import Remediation, set_properties
from iot_constructs.rules.rule import DOCS, Finding, Rule
from iot_constructs.rules.template import Resource

TABLE: Final = "AWS::DynamoDB::Table"
GLOBAL_TABLE: Final = "AWS::DynamoDB::GlobalTable"

_GUIDE: Final = f"{DOCS}/amazondynamodb/latest/developerguide"
_RETAINED: Final = frozenset({"Retain", "RetainExceptOnCreate"})
# Other numeric sort keys, such as a version or a line number, do not grow without limit.
_TIME: Final = re.compile(
    r"[Tt]ime|TIME|[Ee]poch|[Ss]tamp|[Mm]oment|^[Dd]ate|[a-z]Date|_date|^(t|ts|at|when)$|[_.-](ts|at)$"
    r"|[a-z](At|Ts|TS)$"
)


class _ReplicaRule(Rule):
    """A rule for tables and for each replica of a global table."""

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix, in CloudFormation for the replica of the finding: the ones before it stay as they are."""
        fix = super().variant(finding)
        index = finding.property_path.rpartition("/Replicas/")[2]
        before = "      - {}\n" * int(index) if index.isdigit() else ""
        yaml = fix.cloudformation.replace("Replicas:\n", f"Replicas:\n{before}")
        return replace(fix, cloudformation=yaml)


class PointInTimeRecovery(_ReplicaRule):
    """Reports tables, and replicas of global tables, without point-in-time recovery."""

    id = "IOT_02_POINT_IN_TIME_RECOVERY"
    info = (
        "Every DynamoDB table, and every replica of a global table, has point-in-time recovery "
        "enabled."
    )
    explanation = "Without it, an accidental write or delete cannot be undone."
    _CDK: Final = (
        "point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification("
        "point_in_time_recovery_enabled=True)"
    )
    remediations: ClassVar = {
        TABLE: set_properties(
            _CDK, "PointInTimeRecoverySpecification:\n  PointInTimeRecoveryEnabled: true"
        ),
        GLOBAL_TABLE: set_properties(
            _CDK,
            "Replicas:\n  - PointInTimeRecoverySpecification:\n      PointInTimeRecoveryEnabled: true",
        ),
    }
    source_url = f"{_GUIDE}/Point-in-time-recovery.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find tables and replicas without recovery."""
        for table, path, settings in _settings(pipeline):
            values = pipeline.graph.at(
                settings, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"
            )
            if pipeline.graph.none_true(values, table.template):
                yield self.finding(
                    table,
                    "no point-in-time recovery: "
                    "PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled is not true",
                    path,
                )


class TimeSeriesTtl(Rule):
    """Reports tables with time-series data that never expires."""

    id = "IOT_21_TIME_SERIES_TTL"
    info = (
        "A DynamoDB table with time-series data (a sort key of type number that is named like a "
        "time) has a TTL."
    )
    explanation = (
        "Without a TTL attribute, which the writer sets to an expiry time in epoch seconds, the "
        "table and its cost grow without limit."
    )
    _FIX: Final = set_properties(
        'time_to_live_attribute="ttl"',
        "TimeToLiveSpecification:\n  AttributeName: ttl\n  Enabled: true",
    )
    remediations: ClassVar = {TABLE: _FIX, GLOBAL_TABLE: _FIX}
    source_url = f"{_GUIDE}/TTL.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find tables that are keyed by time and have no TTL."""
        graph = pipeline.graph
        for table in graph.of_type(*TABLES):
            values = graph.at(table.properties, "TimeToLiveSpecification", "Enabled")
            if _keyed_by_time(graph, table) and graph.none_true(values, table.template):
                yield self.finding(
                    table,
                    "time-series data without a TTL: TimeToLiveSpecification.Enabled is not true",
                    "Properties",
                )


class DeletionProtection(_ReplicaRule):
    """Reports retained tables that another caller can delete."""

    id = "IOT_22_DELETION_PROTECTION"
    info = (
        "A DynamoDB table with the removal policy RETAIN, and each replica of it, has deletion "
        "protection."
    )
    explanation = (
        "RETAIN applies only to CloudFormation: another caller of DeleteTable can still delete the "
        "data."
    )
    _CDK: Final = "deletion_protection=True"
    remediations: ClassVar = {
        TABLE: set_properties(_CDK, "DeletionProtectionEnabled: true"),
        GLOBAL_TABLE: set_properties(_CDK, "Replicas:\n  - DeletionProtectionEnabled: true"),
    }
    source_url = (
        f"{_GUIDE}/WorkingWithTables.Basics.html#WorkingWithTables.Basics.DeletionProtection"
    )

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find retained tables and replicas without deletion protection."""
        graph = pipeline.graph
        for table, path, settings in _settings(pipeline):
            policies = graph.at(table.body, "DeletionPolicy")
            if all(graph.text(it, table.template) in _RETAINED for it in policies) and (
                not _may_be_protected(graph, table, settings)
            ):
                what = "" if table.type == TABLE else "this replica is "
                yield self.finding(
                    table,
                    f"retained by CloudFormation, but {what}not protected against DeleteTable: "
                    "DeletionProtectionEnabled is not true",
                    path,
                )


_RETAIN_YAML: Final = "<LogicalId>:\n  DeletionPolicy: Retain\n  UpdateReplacePolicy: Retain\n"


def _retain_replicas(number: int) -> Remediation:
    overrides = (
        f'table.add_property_override("Replicas.{index}.DeletionProtectionEnabled", True)'
        for index in range(number)
    )
    items = "\n      - DeletionProtectionEnabled: true" * number
    return Remediation(
        "\n".join(("table.apply_removal_policy(RemovalPolicy.RETAIN)", *overrides)),
        f"{_RETAIN_YAML}  Properties:\n    Replicas:{items or ' []'}",
    )


class DataRetention(Rule):
    """Reports tables whose data goes with the stack although nobody decided so."""

    id = "IOT_28_DATA_RETENTION"
    info = (
        "Every DynamoDB table has a DeletionPolicy, also if it is Delete, or deletion protection."
    )
    explanation = (
        "Without either, CloudFormation deletes the table with its data when the stack is deleted "
        "or the table is removed from the template."
    )
    # The L2 constructs always set a policy, so that these are the L1 constructs.
    remediations: ClassVar = {
        TABLE: Remediation(
            "table.apply_removal_policy(RemovalPolicy.RETAIN)\n"
            "table.deletion_protection_enabled = True",
            f"{_RETAIN_YAML}  Properties:\n    DeletionProtectionEnabled: true",
        ),
        GLOBAL_TABLE: _retain_replicas(1),
    }
    source_url = f"{DOCS}/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find tables without a DeletionPolicy that are not protected."""
        graph = pipeline.graph
        protected: dict[Resource, bool] = {}
        for table, _, settings in _settings(pipeline):
            protected[table] = protected.get(table, True) and _may_be_protected(
                graph, table, settings
            )
        for table in graph.of_type(*TABLES):
            unset = all(it is None for it in graph.at(table.body, "DeletionPolicy"))
            if unset and not protected.get(table, False):
                yield self.finding(
                    table,
                    "the data is deleted with the stack: no DeletionPolicy, and "
                    "DeletionProtectionEnabled is not true",
                    value=str(len(graph.items(table.properties.get("Replicas")))),
                )

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix for each replica that the table has."""
        if finding.resource_type == GLOBAL_TABLE:
            return _retain_replicas(int(finding.value))
        return super().variant(finding)


def _keyed_by_time(graph: Graph, table: Resource) -> bool:
    """Return whether the sort key is a number that is named like a time, in all branches."""
    numbers = {
        graph.text(name, table.template)
        for definition in graph.items(table.properties.get("AttributeDefinitions"))
        for name in graph.at(definition, "AttributeName")
        if graph.at(definition, "AttributeType") == ["N"]
    }
    return all(
        any(
            name in numbers and _TIME.search(name)
            for key in graph.items(schema)
            if graph.at(key, "KeyType") == ["RANGE"]
            for name in graph.at(key, "AttributeName")
            if isinstance(name, str)
        )
        for schema in graph.branches(table.properties.get("KeySchema"))
    )


def _may_be_protected(graph: Graph, table: Resource, settings: Any) -> bool:
    values = graph.at(settings, "DeletionProtectionEnabled")
    return not graph.none_true(values, table.template)


def _settings(pipeline: Pipeline) -> Iterator[tuple[Resource, str, Any]]:
    """Return where the settings of each table stand: its properties, or each replica of a global table."""
    for table in pipeline.graph.of_type(*TABLES):
        if table.type == TABLE:
            yield table, "Properties", table.properties
            continue
        for index, replica in enumerate(pipeline.graph.items(table.properties.get("Replicas"))):
            yield table, f"Properties/Replicas/{index}", replica


RULES: Final = (PointInTimeRecovery(), TimeSeriesTtl(), DeletionProtection(), DataRetention())
