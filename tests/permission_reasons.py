"""Why each permission of the example is there: the call or the AWS feature that needs it, and where AWS says so.

Pages are of docs.aws.amazon.com: L=lambda/latest/dg/ F=firehose/latest/dev/ N=sns/latest/dg/
I=iot/latest/developerguide/ S3=AmazonS3/latest/userguide/ SAR=service-authorization/latest/reference/
LOGS=AmazonCloudWatch/latest/logs/
"""

from __future__ import annotations

AUTO_DELETE = "Custom::S3AutoDeleteObjectsCustomResourceProvider/Role"
NOTIFICATIONS = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834/Role"

_READS_STREAM = "the mapping reads the stream by shard iterators (L services-kinesis-create.html)"
_READS_FOR_ARCHIVE = "Firehose reads its source (F controlling-access.html#using-iam-s3)"
_DELIVERS = "Firehose delivers to the bucket (F controlling-access.html#using-iam-s3)"
_WRITES_LOG = "Lambda writes the function's log (L monitoring-cloudwatchlogs.html)"
_TRACES = "active tracing (L services-xray.html)"
_ENCRYPTS_LOGS = "the log groups are encrypted with the key (LOGS encrypt-log-data-kms.html)"
_EMPTIES = "CDK's handler of Custom::S3AutoDeleteObjects empties the bucket before it is deleted"

_FAILED_BATCH = "Lambda puts a failed batch (L kinesis-on-failure-destination.html)"
_NOTIFIES = "S3 notifies the DLQ topic (S3 grant-destinations-permissions-to-s3.html)"
_WRITES_STATES = "state_writes.py, states (batch_execute_statement; D ql-iam.html)"

# (principal, action) -> what needs it
NEEDED_BY: dict[tuple[str, str], str] = {
    # --- the function ---
    ("Processor/Role", "dynamodb:BatchWriteItem"): "table_writes.py, readings (batch_write_item)",
    ("Processor/Role", "dynamodb:PartiQLInsert"): _WRITES_STATES,
    ("Processor/Role", "dynamodb:PartiQLUpdate"): _WRITES_STATES,
    ("Processor/Role", "dynamodb:PutItem"): "table_writes.py, single readings (put_item)",
    ("Processor/Role", "kinesis:DescribeStream"): _READS_STREAM,
    ("Processor/Role", "kinesis:DescribeStreamSummary"): _READS_STREAM,
    ("Processor/Role", "kinesis:GetRecords"): _READS_STREAM,
    ("Processor/Role", "kinesis:GetShardIterator"): _READS_STREAM,
    ("Processor/Role", "kinesis:ListShards"): _READS_STREAM,
    ("Processor/Role", "kms:Decrypt"): (
        "records of the stream (FACTS 8), the tables' own keys, the environment variables, and the DLQ topic "
        "(L kinesis-on-failure-destination.html)"
    ),
    ("Processor/Role", "kms:GenerateDataKey"): (
        "messages to the DLQ topic (L kinesis-on-failure-destination.html)"
    ),
    ("Processor/Role", "logs:CreateLogStream"): _WRITES_LOG,
    ("Processor/Role", "logs:PutLogEvents"): _WRITES_LOG,
    ("Processor/Role", "sns:Publish"): (
        "dead_letters.py (publish_batch), and the failure destinations of mapping and function "
        "(L kinesis-on-failure-destination.html, L invocation-async-retain-records.html)"
    ),
    ("Processor/Role", "xray:PutTelemetryRecords"): _TRACES,
    ("Processor/Role", "xray:PutTraceSegments"): _TRACES,
    # --- the IoT rule ---
    ("Telemetry/Role", "kinesis:PutRecord"): "the rule's action (I kinesis-rule-action.html)",
    ("Telemetry/Role", "kms:Decrypt"): "messages to the DLQ topic (N sns-key-management.html)",
    ("Telemetry/Role", "kms:GenerateDataKey"): (
        "records into the stream (I kinesis-rule-action.html), messages to the DLQ topic"
    ),
    ("Telemetry/Role", "sns:Publish"): "the rule's error action (I rule-error-handling.html)",
    # --- the archive ---
    ("Archive/Role", "kinesis:DescribeStream"): _READS_FOR_ARCHIVE,
    ("Archive/Role", "kinesis:GetRecords"): _READS_FOR_ARCHIVE,
    ("Archive/Role", "kinesis:GetShardIterator"): _READS_FOR_ARCHIVE,
    ("Archive/Role", "kinesis:ListShards"): _READS_FOR_ARCHIVE,
    ("Archive/Role", "kms:Decrypt"): f"records of the stream; {_DELIVERS}",
    ("Archive/Role", "kms:GenerateDataKey"): _DELIVERS,
    (
        "Archive/Role",
        "logs:PutLogEvents",
    ): "delivery errors (F controlling-access.html#using-iam-s3)",
    ("Archive/Role", "s3:AbortMultipartUpload"): _DELIVERS,
    ("Archive/Role", "s3:GetBucketLocation"): _DELIVERS,
    ("Archive/Role", "s3:GetObject"): _DELIVERS,
    ("Archive/Role", "s3:ListBucket"): _DELIVERS,
    ("Archive/Role", "s3:ListBucketMultipartUploads"): _DELIVERS,
    ("Archive/Role", "s3:PutObject"): _DELIVERS,
    # --- resource policies ---
    ("account", "kms:*"): (
        "the account's own policies say who administers and uses the key; without it nobody could "
        "(kms/latest/developerguide/key-policy-default.html)"
    ),
    (
        "cloudwatch.amazonaws.com",
        "kms:Decrypt",
    ): "alarms, encrypted topic (N sns-key-management.html)",
    ("cloudwatch.amazonaws.com", "kms:GenerateDataKey*"): "the same",
    ("cloudwatch.amazonaws.com", "sns:Publish"): "alarm actions (FACTS 6)",
    ("logging.s3.amazonaws.com", "s3:PutObject"): (
        "access logs of the data bucket (S3 enable-server-access-logging.html)"
    ),
    ("logs.{region}.amazonaws.com", "kms:Decrypt"): _ENCRYPTS_LOGS,
    ("logs.{region}.amazonaws.com", "kms:DescribeKey"): _ENCRYPTS_LOGS,
    ("logs.{region}.amazonaws.com", "kms:Encrypt"): _ENCRYPTS_LOGS,
    ("logs.{region}.amazonaws.com", "kms:GenerateDataKey*"): _ENCRYPTS_LOGS,
    ("logs.{region}.amazonaws.com", "kms:ReEncrypt*"): _ENCRYPTS_LOGS,
    ("sns.amazonaws.com", "kms:Decrypt"): (
        "the DLQ queue is encrypted (N sns-enable-encryption-for-topic-sqs-queue-subscriptions.html)"
    ),
    ("sns.amazonaws.com", "kms:GenerateDataKey*"): "the same",
    ("sns.amazonaws.com", "sqs:SendMessage"): (
        "the DLQ topic's subscription (N subscribe-sqs-queue-to-sns-topic.html)"
    ),
    # --- on_failure=bucket ---
    ("Processor/Role", "s3:ListBucket"): _FAILED_BATCH,
    ("Processor/Role", "s3:PutObject"): _FAILED_BATCH,
    ("s3.amazonaws.com", "kms:Decrypt"): _NOTIFIES,
    ("s3.amazonaws.com", "kms:GenerateDataKey"): _NOTIFIES,
    ("s3.amazonaws.com", "sns:Publish"): _NOTIFIES,
    (NOTIFICATIONS, "s3:PutBucketNotification"): (
        "CDK's handler of Custom::S3BucketNotifications (S3 how-to-enable-disable-notification-intro.html)"
    ),
    (NOTIFICATIONS, "logs:CreateLogGroup"): f"{_WRITES_LOG}; CDK gives its handler no log group",
    (NOTIFICATIONS, "logs:CreateLogStream"): _WRITES_LOG,
    (NOTIFICATIONS, "logs:PutLogEvents"): _WRITES_LOG,
    # --- trust ---
    ("firehose.amazonaws.com", "sts:AssumeRole"): "the archive (F controlling-access.html)",
    ("iot.amazonaws.com", "sts:AssumeRole"): "the rule (I iot-create-role.html)",
    (
        "lambda.amazonaws.com",
        "sts:AssumeRole",
    ): "every function (L lambda-intro-execution-role.html)",
    # --- CDK's helper, in short-lived environments only ---
    (AUTO_DELETE, "logs:CreateLogStream"): _WRITES_LOG,
    (AUTO_DELETE, "logs:PutLogEvents"): _WRITES_LOG,
    (AUTO_DELETE, "s3:DeleteObject*"): _EMPTIES,
    (AUTO_DELETE, "s3:GetBucket*"): f"{_EMPTIES}, if it is tagged for that",
    (AUTO_DELETE, "s3:List*"): _EMPTIES,
    (AUTO_DELETE, "s3:PutBucketPolicy"): f"{_EMPTIES} and lets nobody write to it from then on",
}

# (kind of policy, principal, action or "Resource") -> why nothing narrower is possible
WILDCARDS: dict[tuple[str, str, str], str] = {
    ("identity", "Processor/Role", "Resource of xray:PutTelemetryRecords"): (
        "the action has no resource type (SAR list_awsx-ray.html)"
    ),
    ("identity", "Processor/Role", "Resource of xray:PutTraceSegments"): (
        "the action has no resource type (SAR list_awsx-ray.html)"
    ),
    **{
        ("identity", NOTIFICATIONS, f"Resource of logs:{action}"): (
            "aws-cdk-lib, aws-s3 NotificationsResourceHandler: AWSLambdaBasicExecutionRole, out of reach"
        )
        for action in ("CreateLogGroup", "CreateLogStream", "PutLogEvents")
    },
    ("key", "account", "kms:*"): "kms/latest/developerguide/key-policy-default.html",
    ("key", "cloudwatch.amazonaws.com", "kms:GenerateDataKey*"): (
        "as AWS writes it (N sns-key-management.html#compatibility-with-aws-services)"
    ),
    ("key", "sns.amazonaws.com", "kms:GenerateDataKey*"): (
        "as AWS writes it (N sns-enable-encryption-for-topic-sqs-queue-subscriptions.html)"
    ),
    ("key", "logs.{region}.amazonaws.com", "kms:GenerateDataKey*"): (
        "as AWS writes it (LOGS encrypt-log-data-kms.html)"
    ),
    ("key", "logs.{region}.amazonaws.com", "kms:ReEncrypt*"): (
        "as AWS writes it (LOGS encrypt-log-data-kms.html)"
    ),
    # CDK writes them into the bucket's policy, out of reach; in short-lived environments only.
    ("resource", AUTO_DELETE, "s3:DeleteObject*"): "aws-cdk-lib, aws-s3 Bucket.autoDeleteObjects",
    ("resource", AUTO_DELETE, "s3:GetBucket*"): "aws-cdk-lib, aws-s3 Bucket.autoDeleteObjects",
    ("resource", AUTO_DELETE, "s3:List*"): "aws-cdk-lib, aws-s3 Bucket.autoDeleteObjects",
}

UNCONDITIONAL = {NOTIFICATIONS: "aws-cdk-lib, aws-s3 NotificationsResourceHandler, out of reach"}
"""Roles of CDK's own that a service assumes without a condition."""

_LOG_GROUP = "kms:EncryptionContext:aws:logs:arn=arn:{partition}:logs:{region}:{account}:log-group:"
_THIS_ACCOUNT = "StringEquals aws:SourceAccount={account}"

# (service, kind of policy) -> the conditions that keep other accounts from using it against us, and AWS's page
CONFUSED_DEPUTY: dict[tuple[str, str], tuple[tuple[str | tuple[str, ...], ...], str]] = {
    ("cloudwatch.amazonaws.com", "key"): (
        (_THIS_ACCOUNT,),
        "N sns-key-management.html#compatibility-with-aws-services",
    ),
    ("cloudwatch.amazonaws.com", "resource"): (
        (_THIS_ACCOUNT,),
        "N sns-access-policy-use-cases.html",
    ),
    ("firehose.amazonaws.com", "trust"): (
        ("StringEquals sts:ExternalId={account}",),
        "LOGS CreateFirehoseStream.html; F controlling-access.html names neither SourceAccount nor SourceArn",
    ),
    ("iot.amazonaws.com", "trust"): (
        (
            "ArnEquals aws:SourceArn=arn:{partition}:iot:{region}:{account}:rule/",
            _THIS_ACCOUNT,
        ),
        "I cross-service-confused-deputy-prevention.html",
    ),
    ("lambda.amazonaws.com", "trust"): (
        (_THIS_ACCOUNT,),
        "L permissions-managed-policies.html; what SourceArn is while a mapping reads is not documented",
    ),
    ("logging.s3.amazonaws.com", "resource"): (
        ("ArnLike aws:SourceArn=Data", _THIS_ACCOUNT),
        "S3 enable-server-access-logging.html",
    ),
    ("logs.{region}.amazonaws.com", "key"): (
        # One group by its name, or by the beginning that CloudFormation gives to it.
        (("ArnEquals " + _LOG_GROUP, "ArnLike " + _LOG_GROUP),),
        "LOGS encrypt-log-data-kms.html (no SourceAccount there)",
    ),
    ("s3.amazonaws.com", "key"): (
        (_THIS_ACCOUNT,),
        "S3 grant-destinations-permissions-to-s3.html",
    ),
    ("s3.amazonaws.com", "resource"): (
        ("ArnLike aws:SourceArn=Data",),  # as CDK writes it; the bucket's name has the account
        "S3 grant-destinations-permissions-to-s3.html",
    ),
    ("sns.amazonaws.com", "key"): (
        (_THIS_ACCOUNT,),
        "N sns-enable-encryption-for-topic-sqs-queue-subscriptions.html",
    ),
    ("sns.amazonaws.com", "resource"): (
        ("ArnEquals aws:SourceArn=Processor/DlqTopic",),
        "N subscribe-sqs-queue-to-sns-topic.html",
    ),
}
