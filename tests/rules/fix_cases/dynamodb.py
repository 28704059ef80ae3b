"""Cases of the rules for DynamoDB tables."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

TABLE: Final = "AWS::DynamoDB::Table"
GLOBAL_TABLE: Final = "AWS::DynamoDB::GlobalTable"

_KEYED_BY_TIME: Final = """\
    KeySchema:
      - {AttributeName: deviceId, KeyType: HASH}
      - {AttributeName: timestamp, KeyType: RANGE}
    AttributeDefinitions:
      - {AttributeName: deviceId, AttributeType: S}
      - {AttributeName: timestamp, AttributeType: N}
    BillingMode: PAY_PER_REQUEST"""

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
    FixCase(
        "IOT_21_TIME_SERIES_TTL",
        TABLE,
        """
table = dynamodb.Table(
    self,
    "Readings",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
    sort_key=dynamodb.Attribute(name="timestamp", type=dynamodb.AttributeType.NUMBER),
    <fix></fix>
)
""",
        f"""
Readings:
  Type: AWS::DynamoDB::Table
  DeletionPolicy: Delete
  Properties:
{_KEYED_BY_TIME}
""",
    ),
    FixCase(
        "IOT_21_TIME_SERIES_TTL",
        GLOBAL_TABLE,
        """
table = dynamodb.TableV2(
    self,
    "Readings",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
    sort_key=dynamodb.Attribute(name="timestamp", type=dynamodb.AttributeType.NUMBER),
    <fix></fix>
)
""",
        f"""
Readings:
  Type: AWS::DynamoDB::GlobalTable
  DeletionPolicy: Delete
  Properties:
{_KEYED_BY_TIME}
    Replicas: [{{Region: eu-central-1}}]
""",
    ),
    FixCase(
        "IOT_22_DELETION_PROTECTION",
        TABLE,
        """
table = dynamodb.Table(
    self,
    "State",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
    removal_policy=RemovalPolicy.RETAIN,
    <fix></fix>
)
""",
        """
State:
  Type: AWS::DynamoDB::Table
  DeletionPolicy: Retain
  Properties:
    KeySchema: [{AttributeName: deviceId, KeyType: HASH}]
    AttributeDefinitions: [{AttributeName: deviceId, AttributeType: S}]
    BillingMode: PAY_PER_REQUEST
""",
    ),
    FixCase(
        "IOT_22_DELETION_PROTECTION",
        GLOBAL_TABLE,
        """
regional = cdk.Stack(app, "Regional-dev", termination_protection=True, env={"region": "eu-west-1"})
table = dynamodb.TableV2(
    regional,
    "State",
    partition_key=dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING),
    replicas=[dynamodb.ReplicaTableProps(region="eu-central-1")],
    <fix></fix>
)
""",
        """
State:
  Type: AWS::DynamoDB::GlobalTable
  DeletionPolicy: Retain
  Properties:
    KeySchema: [{AttributeName: deviceId, KeyType: HASH}]
    AttributeDefinitions: [{AttributeName: deviceId, AttributeType: S}]
    BillingMode: PAY_PER_REQUEST
    Replicas: [{Region: eu-central-1}]
""",
    ),
    FixCase(
        "IOT_28_DATA_RETENTION",
        TABLE,
        """
table = dynamodb.CfnTable(
    self,
    "State",
    key_schema=[{"attributeName": "deviceId", "keyType": "HASH"}],
    attribute_definitions=[{"attributeName": "deviceId", "attributeType": "S"}],
    billing_mode="PAY_PER_REQUEST",
)
<fix></fix>
""",
        """
State:
  Type: AWS::DynamoDB::Table
  Properties:
    KeySchema: [{AttributeName: deviceId, KeyType: HASH}]
    AttributeDefinitions: [{AttributeName: deviceId, AttributeType: S}]
    BillingMode: PAY_PER_REQUEST
""",
    ),
    FixCase(
        "IOT_28_DATA_RETENTION",
        GLOBAL_TABLE,
        """
table = dynamodb.CfnGlobalTable(
    self,
    "State",
    key_schema=[{"attributeName": "deviceId", "keyType": "HASH"}],
    attribute_definitions=[{"attributeName": "deviceId", "attributeType": "S"}],
    billing_mode="PAY_PER_REQUEST",
    replicas=[{"region": "eu-central-1"}, {"region": "eu-west-1"}],
)
<fix></fix>
""",
        """
State:
  Type: AWS::DynamoDB::GlobalTable
  Properties:
    KeySchema: [{AttributeName: deviceId, KeyType: HASH}]
    AttributeDefinitions: [{AttributeName: deviceId, AttributeType: S}]
    BillingMode: PAY_PER_REQUEST
    Replicas: [{Region: eu-central-1}, {Region: eu-west-1}]
""",
    ),
)
