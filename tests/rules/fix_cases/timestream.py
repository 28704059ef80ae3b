"""Cases of the rule for Timestream for LiveAnalytics."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

_RULE: Final = "IOT_08_NO_TIMESTREAM"

CASES: Final = (
    FixCase(
        _RULE,
        "AWS::Timestream::Database",
        '<fix>timestream.CfnDatabase(self, "Database")</fix>',
        "Database: {Type: AWS::Timestream::Database}",
    ),
    FixCase(
        _RULE,
        "AWS::Timestream::Table",
        '<fix>timestream.CfnTable(self, "Table", database_name="telemetry")</fix>',
        "Table: {Type: AWS::Timestream::Table, Properties: {DatabaseName: telemetry}}",
    ),
    FixCase(
        _RULE,
        "AWS::Timestream::ScheduledQuery",
        """
<fix>timestream.CfnScheduledQuery(
    self,
    "Query",
    error_report_configuration={"s3Configuration": {"bucketName": "errors"}},
    notification_configuration={"snsConfiguration": {"topicArn": "arn:aws:sns:eu-west-1:1:query"}},
    query_string="SELECT 1",
    schedule_configuration={"scheduleExpression": "rate(1 hour)"},
    scheduled_query_execution_role_arn="arn:aws:iam::1:role/query",
)</fix>
""",
        "Query: {Type: AWS::Timestream::ScheduledQuery, Properties: {QueryString: SELECT 1}}",
    ),
)
