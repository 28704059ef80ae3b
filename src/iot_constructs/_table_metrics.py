"""The throttle metrics of a table.

``UserErrors`` counts no throttling and has no TableName; ``ThrottledRequests`` needs an Operation. These two count
every throttled event of a table (its indexes excluded; the tables of this library have none) and take TableName
alone (FACTS 4).
"""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb

from iot_constructs._alarms import SUM, period


def metric_write_throttles(table: dynamodb.ITable) -> cloudwatch.Metric:
    """Writes that were throttled, as a sum."""
    return table.metric("WriteThrottleEvents", statistic=SUM, period=period())


def metric_read_throttles(table: dynamodb.ITable) -> cloudwatch.Metric:
    """Reads that were throttled, as a sum."""
    return table.metric("ReadThrottleEvents", statistic=SUM, period=period())
