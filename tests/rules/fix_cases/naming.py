"""Cases of the rule for names; test_naming.py types the CloudFormation fix of every other type."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

RULE_ID: Final = "IOT_01_ENVIRONMENT_SUFFIX"

CASES: Final = (
    FixCase(
        RULE_ID,
        "",
        """
class Readings(cdk.Stack):
    def __init__(self, scope, id, **props):
        super().__init__(scope, id, termination_protection=True, **props, <fix></fix>)
        cdk.CfnResource(self, "It", type="AWS::SSM::Parameter")

Readings(app, "Readings")
""",
    ),
    FixCase(
        RULE_ID,
        "AWS::Kinesis::Stream",
        'kinesis.Stream(self, "It", <fix>stream_name="SoilHumidityRule"</fix>)',
        "It: {Type: AWS::Kinesis::Stream, Properties: {Name: SoilHumidityRule}}",
    ),
    FixCase(
        RULE_ID,
        "AWS::DynamoDB::Table",
        """
key = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
dynamodb.Table(self, "It", partition_key=key, <fix>table_name="state"</fix>)
""",
        "It: {Type: AWS::DynamoDB::Table, Properties: {TableName: state}}",
    ),
    FixCase(
        RULE_ID,
        "AWS::Lambda::Function",
        """
lambda_.Function(
    self,
    "It",
    runtime=lambda_.Runtime.PYTHON_3_13,
    handler="index.handler",
    code=lambda_.Code.from_inline("pass"),
    <fix>function_name="processor"</fix>
)
""",
        "It: {Type: AWS::Lambda::Function, Properties: {FunctionName: processor}}",
    ),
    FixCase(
        RULE_ID,
        "AWS::IoT::Thing",
        'iot.CfnThing(self, "It", <fix>thing_name="gateway"</fix>)',
        "It: {Type: AWS::IoT::Thing, Properties: {ThingName: gateway}}",
    ),
    FixCase(
        RULE_ID,
        "AWS::IoT::TopicRule",
        """
payload = iot.CfnTopicRule.TopicRulePayloadProperty(sql="SELECT * FROM 'a'", actions=[])
iot.CfnTopicRule(self, "It", topic_rule_payload=payload, <fix>rule_name="telemetry"</fix>)
""",
        "It: {Type: AWS::IoT::TopicRule, Properties: {RuleName: telemetry}}",
    ),
    FixCase(
        RULE_ID,
        "AWS::S3::Bucket",
        's3.Bucket(self, "It", <fix>bucket_name=f"data-{cdk.Aws.ACCOUNT_ID}"</fix>)',
        'It: {Type: AWS::S3::Bucket, Properties: {BucketName: {"Fn::Sub": "data-${AWS::AccountId}"}}}',
    ),
    FixCase(
        RULE_ID,
        "AWS::KMS::Alias",
        """
key = kms.Key(self, "Key")
kms.Alias(self, "It", target_key=key, <fix>alias_name="alias/telemetry"</fix>)
""",
        "It: {Type: AWS::KMS::Alias, Properties: {AliasName: alias/telemetry}}",
    ),
)
