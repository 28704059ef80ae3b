"""Why nothing narrower is possible. What needs a permission, and who shows that AWS accepts it: docs/aws-evidence.md.

Pages are of docs.aws.amazon.com: N=sns/latest/dg/ SAR=service-authorization/latest/reference/
LOGS=AmazonCloudWatch/latest/logs/
"""

from __future__ import annotations

AUTO_DELETE = "Custom::S3AutoDeleteObjectsCustomResourceProvider/Role"
NOTIFICATIONS = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834/Role"

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

# (service, kind of policy) -> the conditions that keep other accounts from using it against us
CONFUSED_DEPUTY: dict[tuple[str, str], tuple[str | tuple[str, ...], ...]] = {
    ("cloudwatch.amazonaws.com", "key"): (_THIS_ACCOUNT,),
    ("cloudwatch.amazonaws.com", "resource"): (_THIS_ACCOUNT,),
    ("firehose.amazonaws.com", "trust"): ("StringEquals sts:ExternalId={account}",),
    ("iot.amazonaws.com", "trust"): (
        "ArnEquals aws:SourceArn=arn:{partition}:iot:{region}:{account}:rule/",
        _THIS_ACCOUNT,
    ),
    ("lambda.amazonaws.com", "trust"): (_THIS_ACCOUNT,),
    ("logging.s3.amazonaws.com", "resource"): ("ArnLike aws:SourceArn=Data", _THIS_ACCOUNT),
    # One group by its name, or by the beginning that CloudFormation gives to it.
    ("logs.{region}.amazonaws.com", "key"): (("ArnEquals " + _LOG_GROUP, "ArnLike " + _LOG_GROUP),),
    ("s3.amazonaws.com", "key"): (_THIS_ACCOUNT,),
    ("s3.amazonaws.com", "resource"): ("ArnLike aws:SourceArn=Data", _THIS_ACCOUNT),
    ("sns.amazonaws.com", "key"): (
        "ArnLike aws:SourceArn=arn:{partition}:sns:{region}:{account}:iot-pipeline-dlq-",
    ),
    ("sns.amazonaws.com", "resource"): (
        (
            "ArnEquals aws:SourceArn=Processor/DlqTopic",
            "ArnEquals aws:SourceArn=Processor/FailedBatchesTopic",
        ),
    ),
}
