"""A compliant pipeline in plain CloudFormation; each test changes one part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iot_constructs.rules import catalogue
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import StackInfo, Template

Json = dict[str, Any]

PATH = Path("Telemetry.template.json")
ACCOUNT = {"Ref": "AWS::AccountId"}
REGION = {"Ref": "AWS::Region"}


def ref(logical_id: str) -> Json:
    return {"Ref": logical_id}


def att(logical_id: str, attribute: str = "Arn") -> Json:
    return {"Fn::GetAtt": [logical_id, attribute]}


def resource(type: str, **properties: Any) -> Json:
    return {"Type": type, "Properties": properties}


def alarm(namespace: str, metric: str, dimensions: Json | None = None, **properties: Any) -> Json:
    """An alarm on one metric that tells the alert topic."""
    named = [{"Name": name, "Value": value} for name, value in (dimensions or {}).items()]
    return resource(
        "AWS::CloudWatch::Alarm",
        Namespace=namespace,
        MetricName=metric,
        **({"Dimensions": named} if named else {}),
        AlarmActions=[ref("AlertTopic")],
        **properties,
    )


def deny_plain_http(action: str, *resources: Any) -> Json:
    """The statement that CDK's ``enforce_ssl`` writes."""
    return {
        "Action": action,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        "Effect": "Deny",
        "Principal": "*",
        "Resource": list(resources),
    }


def topic_policy(topic: str) -> Json:
    """CloudWatch may publish, and nobody without TLS."""
    publish = {
        "Action": "sns:Publish",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Resource": ref(topic),
    }
    return resource(
        "AWS::SNS::TopicPolicy",
        Topics=[ref(topic)],
        PolicyDocument={"Statement": [publish, deny_plain_http("sns:Publish", ref(topic))]},
    )


def tls_only(bucket: str) -> Json:
    """The policy that CDK's ``enforce_ssl`` writes."""
    return resource(
        "AWS::S3::BucketPolicy",
        Bucket=ref(bucket),
        PolicyDocument={
            "Statement": [
                {
                    "Action": "s3:*",
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                    "Effect": "Deny",
                    "Principal": {"AWS": "*"},
                    "Resource": [
                        att(bucket),
                        {"Fn::Join": ["", [att(bucket), "/*"]]},
                    ],
                }
            ]
        },
    )


def bucket(name: str, **properties: Any) -> Json:
    return resource(
        "AWS::S3::Bucket",
        BucketName={"Fn::Join": ["", [f"{name}-", ACCOUNT, "-", REGION, "-dev"]]},
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        **properties,
    )


def key(*services: str) -> Json:
    """A customer managed key that these services may use."""
    return resource(
        "AWS::KMS::Key",
        KeyPolicy={
            "Statement": [
                {
                    "Action": "kms:*",
                    "Effect": "Allow",
                    "Principal": {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}},
                    "Resource": "*",
                },
                {
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                    "Effect": "Allow",
                    "Principal": {"Service": list(services)},
                    "Resource": "*",
                },
            ]
        },
    )


def compliant() -> dict[str, Json]:
    """Its resources, fresh for every test."""
    return {
        "Stream": resource(
            "AWS::Kinesis::Stream",
            Name="iot-stream-dev",
            RetentionPeriodHours=168,
            StreamEncryption={"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"},
        ),
        "Processor": resource("AWS::Lambda::Function", FunctionName="iot-processor-dev"),
        "Mapping": resource(
            "AWS::Lambda::EventSourceMapping",
            EventSourceArn=att("Stream"),
            FunctionName=ref("Processor"),
            StartingPosition="TRIM_HORIZON",
            MaximumBatchingWindowInSeconds=5,
            MaximumRetryAttempts=10,
            MaximumRecordAgeInSeconds=360000,
            BisectBatchOnFunctionError=True,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            DestinationConfig={"OnFailure": {"Destination": ref("DlqTopic")}},
        ),
        "InvokeConfig": resource(
            "AWS::Lambda::EventInvokeConfig",
            FunctionName=ref("Processor"),
            Qualifier="$LATEST",
            DestinationConfig={"OnFailure": {"Destination": ref("DlqTopic")}},
        ),
        "DlqTopic": resource("AWS::SNS::Topic", TopicName="iot-dlq-dev", KmsMasterKeyId=att("Key")),
        "DlqTopicPolicy": topic_policy("DlqTopic"),
        "DlqQueue": resource("AWS::SQS::Queue", QueueName="iot-dlq-dev", SqsManagedSseEnabled=True),
        "DlqQueuePolicy": resource(
            "AWS::SQS::QueuePolicy",
            Queues=[ref("DlqQueue")],
            PolicyDocument={"Statement": [deny_plain_http("sqs:*", att("DlqQueue"))]},
        ),
        "DlqSubscription": resource(
            "AWS::SNS::Subscription",
            TopicArn=ref("DlqTopic"),
            Endpoint=att("DlqQueue"),
            Protocol="sqs",
        ),
        "Metrics": {
            **resource(
                "AWS::DynamoDB::GlobalTable",
                TableName="iot-metrics-dev",
                KeySchema=[
                    {"AttributeName": "deviceId", "KeyType": "HASH"},
                    {"AttributeName": "timestamp", "KeyType": "RANGE"},
                ],
                AttributeDefinitions=[
                    {"AttributeName": "deviceId", "AttributeType": "S"},
                    {"AttributeName": "timestamp", "AttributeType": "N"},
                ],
                TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": True},
                Replicas=[
                    {
                        "Region": REGION,
                        "DeletionProtectionEnabled": True,
                        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
                    }
                ],
            ),
            "DeletionPolicy": "Retain",
        },
        "State": {
            **resource(
                "AWS::DynamoDB::Table",
                TableName="iot-state-dev",
                DeletionProtectionEnabled=True,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            ),
            "DeletionPolicy": "Retain",
        },
        "Rule": resource(
            "AWS::IoT::TopicRule",
            RuleName="iot_telemetry_dev",
            TopicRulePayload={
                "Actions": [
                    {"Kinesis": {"StreamName": ref("Stream"), "PartitionKey": "${topic(2)}"}}
                ],
                "AwsIotSqlVersion": "2016-03-23",
                "ErrorAction": {"Sns": {"TargetArn": ref("DlqTopic")}},
            },
        ),
        "Data": bucket(
            "iot-data",
            VersioningConfiguration={"Status": "Enabled"},
            LoggingConfiguration={"DestinationBucketName": ref("Logs")},
        ),
        "DataPolicy": tls_only("Data"),
        "Logs": bucket("iot-logs"),
        "LogsPolicy": tls_only("Logs"),
        "Archive": resource(
            "AWS::KinesisFirehose::DeliveryStream",
            DeliveryStreamName="iot-archive-dev",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": att("Stream")},
            ExtendedS3DestinationConfiguration={"BucketARN": att("Data")},
        ),
        "Key": key("cloudwatch.amazonaws.com"),
        "AlertTopic": resource(
            "AWS::SNS::Topic", TopicName="iot-alerts-dev", KmsMasterKeyId=att("Key")
        ),
        "AlertTopicPolicy": topic_policy("AlertTopic"),
        "AlertSubscription": resource(
            "AWS::SNS::Subscription",
            TopicArn=ref("AlertTopic"),
            Endpoint="ops@example.com",
            Protocol="email",
        ),
        "StreamAge": alarm(
            "AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", {"StreamName": ref("Stream")}
        ),
        "Errors": alarm("AWS/Lambda", "Errors", {"FunctionName": ref("Processor")}),
        "DlqMessages": alarm(
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            {"QueueName": att("DlqQueue", "QueueName")},
        ),
        "MetricsThrottles": alarm(
            "AWS/DynamoDB", "WriteThrottleEvents", {"TableName": ref("Metrics")}
        ),
        "StateThrottles": alarm("AWS/DynamoDB", "WriteThrottleEvents", {"TableName": ref("State")}),
        "Freshness": alarm(
            "AWS/Firehose", "DeliveryToS3.DataFreshness", {"DeliveryStreamName": ref("Archive")}
        ),
    }


def stack_info(**changes: Any) -> StackInfo:
    """The manifest data of a compliant stack."""
    return StackInfo(**{"name": "Telemetry-dev", "termination_protection": True, **changes})


def template(
    resources: dict[str, Json],
    stack: StackInfo | None = None,
    path: Path = PATH,
    **sections: Any,
) -> Template:
    """A stack in memory, as the manifest of a compliant one would have it."""
    body = {"Resources": resources, **sections}
    return Template(path, body, stack=stack if stack is not None else stack_info())


def check(*templates: Template, suffix: str | None = "dev") -> list[Finding]:
    """Every finding of every Python rule."""
    return catalogue.check(templates, suffix)


def found(resources: dict[str, Json], suffix: str | None = "dev") -> list[tuple[str, str | None]]:
    """Short rule id (``IOT_01``) and logical id of every finding in one stack."""
    return places(check(template(resources), suffix=suffix))


def places(findings: list[Finding]) -> list[tuple[str, str | None]]:
    return [(finding.rule_id[:6], finding.logical_id) for finding in findings]
