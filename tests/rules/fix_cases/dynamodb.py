"""Cases of the rules for DynamoDB tables."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

TABLE: Final = "AWS::DynamoDB::Table"
GLOBAL_TABLE: Final = "AWS::DynamoDB::GlobalTable"

CASES: Final = (
    FixCase(
        "IOT_02_POINT_IN_TIME_RECOVERY",
        TABLE,
        """
table = dynamodb.Table(
    self,
    "State",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
    <fix></fix>
)
""",
        """
State:
  Type: AWS::DynamoDB::Table
  DeletionPolicy: Delete
  Properties:
    KeySchema: [{AttributeName: deviceId, KeyType: HASH}]
    AttributeDefinitions: [{AttributeName: deviceId, AttributeType: S}]
    BillingMode: PAY_PER_REQUEST
""",
    ),
    FixCase(
        "IOT_02_POINT_IN_TIME_RECOVERY",
        GLOBAL_TABLE,
        """
table = dynamodb.TableV2(
    self,
    "State",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
    <fix></fix>
)
""",
        """
State:
  Type: AWS::DynamoDB::GlobalTable
  DeletionPolicy: Delete
  Properties:
    KeySchema: [{AttributeName: deviceId, KeyType: HASH}]
    AttributeDefinitions: [{AttributeName: deviceId, AttributeType: S}]
    BillingMode: PAY_PER_REQUEST
    Replicas: [{Region: eu-central-1}]
""",
    ),
)
