"""The rule for Timestream for LiveAnalytics; Timestream for InfluxDB is another service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import DOCS, Finding, Rule

_TYPES: Final = (
    "AWS::Timestream::Database",
    "AWS::Timestream::Table",
    "AWS::Timestream::ScheduledQuery",
)


class NoTimestream(Rule):
    """Reports resources of a service that is closed to new customers."""

    id = "IOT_08_NO_TIMESTREAM"
    info = "The app has no resources of Timestream for LiveAnalytics."
    explanation = (
        "The service is closed to new customers since June 20, 2025, so the stack cannot be "
        "deployed to most accounts."
    )
    # Both replace the resource.
    _FIX: Final = Remediation(
        # Once for the database and its tables.
        'self.node.try_find_child("Readings") or TimeSeriesTable(self, "Readings")',
        """<LogicalId>: null  # delete it
Readings:
  Type: AWS::DynamoDB::Table
  DeletionPolicy: Retain
  UpdateReplacePolicy: Retain
  Properties:
    BillingMode: PAY_PER_REQUEST
    KeySchema:
      - AttributeName: deviceId
        KeyType: HASH
      - AttributeName: timestamp
        KeyType: RANGE
    AttributeDefinitions:
      - AttributeName: deviceId
        AttributeType: S
      - AttributeName: timestamp
        AttributeType: N
    TimeToLiveSpecification:
      AttributeName: ttl
      Enabled: true
    PointInTimeRecoverySpecification:
      PointInTimeRecoveryEnabled: true
    DeletionProtectionEnabled: true""",
    )
    remediations: ClassVar = dict.fromkeys(_TYPES, _FIX)
    source_url = (
        f"{DOCS}/timestream/latest/developerguide/"
        "AmazonTimestreamForLiveAnalytics-availability-change.html"
    )

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find all of its resources."""
        for resource in pipeline.graph.of_type(*_TYPES):
            yield self.finding(
                resource, "Timestream for LiveAnalytics is closed to new customers", "Type"
            )


RULES: Final = (NoTimestream(),)
