"""Rules for DynamoDB tables: recovery, TTL, deletion protection and retention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from iot_constructs.rules.pipeline import TABLES, Pipeline
from iot_constructs.rules.rule import DOCS, Finding, Rule, set_properties
from iot_constructs.rules.template import Resource

TABLE: Final = "AWS::DynamoDB::Table"
GLOBAL_TABLE: Final = "AWS::DynamoDB::GlobalTable"

_GUIDE: Final = f"{DOCS}/amazondynamodb/latest/developerguide"


class PointInTimeRecovery(Rule):
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
    fixes: ClassVar = {
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


def _settings(pipeline: Pipeline) -> Iterator[tuple[Resource, str, Any]]:
    """Return where the settings of each table stand: its properties, or each replica of a global table."""
    for table in pipeline.graph.of_type(*TABLES):
        if table.type == TABLE:
            yield table, "Properties", table.properties
            continue
        for index, replica in enumerate(pipeline.graph.items(table.properties.get("Replicas"))):
            yield table, f"Properties/Replicas/{index}", replica


RULES: Final = (PointInTimeRecovery(),)
