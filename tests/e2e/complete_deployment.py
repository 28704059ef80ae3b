"""Sets what the emulator's CloudFormation leaves out, so that the deployment is that of the template.

It creates the resources without these properties (ministack 1.5.33), but the APIs of its services have them: encryption
of streams, global tables, topics and buckets; protection, recovery and expiry of global tables; the key of a function.
"""

from __future__ import annotations

from iot_constructs._defaults import PITR_RECOVERY_PERIOD_DAYS
from iot_constructs.local.deployment import Deployment
from iot_constructs.local.emulator import ACCOUNT, REGION, Emulator


def complete(emulator: Emulator, deployment: Deployment) -> str:
    """Set the properties of the template. Returns the ARN of the key."""
    (stack,) = deployment.stacks
    cloudformation = emulator.client("cloudformation")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    (key_id,) = (
        each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == "AWS::KMS::Key"
    )
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"
    emulator.client("kinesis").start_stream_encryption(
        StreamName=deployment.output("StreamName"), EncryptionType="KMS", KeyId=key
    )
    for output in ("TimeSeriesTableName", "DeviceStateTableName"):
        set_table(emulator, deployment.output(output), key)
    emulator.client("dynamodb").update_time_to_live(
        TableName=deployment.output("TimeSeriesTableName"),
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"},
    )
    for output in ("AlarmTopicArn", "DlqTopicArn"):
        encrypt_topic(emulator, deployment.output(output), key)
    encrypt_bucket(emulator, deployment.output("BucketName"), key)
    emulator.client("lambda").update_function_configuration(
        FunctionName=deployment.output("FunctionName"), KMSKeyArn=key
    )
    return key


def set_table(emulator: Emulator, table: str, key: str) -> None:
    """Set encryption, protection and recovery of a table."""
    client = emulator.client("dynamodb")
    client.update_table(
        TableName=table,
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key},
        DeletionProtectionEnabled=True,
    )
    client.update_continuous_backups(
        TableName=table,
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": True,
            "RecoveryPeriodInDays": PITR_RECOVERY_PERIOD_DAYS,
        },
    )


def encrypt_topic(emulator: Emulator, topic: str, key: str) -> None:
    """Encrypt a topic; an empty key ends the encryption."""
    emulator.client("sns").set_topic_attributes(
        TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=key
    )


def encrypt_bucket(emulator: Emulator, bucket: str, key: str) -> None:
    """Encrypt a bucket with a key."""
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    emulator.client("s3").put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": True}]
        },
    )
