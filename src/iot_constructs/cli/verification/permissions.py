"""The IAM policy of a run."""

from __future__ import annotations

import json

from iot_constructs.cli.verification.messages import DEVICE_PREFIX

READ = (
    "cloudformation:DescribeStacks",
    "cloudformation:GetTemplate",
    "cloudformation:ListExports",
    "cloudformation:ListStackResources",
    "cloudwatch:DescribeAlarms",
    "dynamodb:DescribeContinuousBackups",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "firehose:DescribeDeliveryStream",
    "iot:DescribeEndpoint",
    "iot:GetTopicRule",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
    "kms:DescribeKey",
    "kms:GetKeyRotationStatus",
    "lambda:GetEventSourceMapping",
    "lambda:GetFunctionConfiguration",
    "logs:DescribeLogGroups",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetObject",
    "s3:ListBucket",
    "sns:GetTopicAttributes",
    "sns:ListSubscriptionsByTopic",
    "sqs:GetQueueAttributes",
)
"""What a run looks at."""

DECRYPT = ("kms:Decrypt",)
"""To read the records of the stream, the items of the tables, the dead letters and the objects of the archive."""

PUBLISH = ("iot:Publish",)
ITEMS = ("dynamodb:DeleteItem", "dynamodb:Query")
DEAD_LETTERS = ("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage")
PAGE_ALARM = ("cloudwatch:SetAlarmState", "sns:Subscribe", "sns:Unsubscribe")
PAGE_QUEUE = (
    "sqs:CreateQueue",
    "sqs:DeleteQueue",
    "sqs:ReceiveMessage",
    "sqs:SetQueueAttributes",
)


def policy(*, page: bool) -> str:
    """Return the IAM policy of a run as JSON.

    It allows publishing only as a device of a run, and reading and deleting only items of such a device
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html).

    Args:
        page: with the permissions of ``--page``.
    """
    own_items = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{DEVICE_PREFIX}*"]}}
    services = ["dynamodb", "kinesis", "s3", "sqs"]
    statements = [
        _allow("Look", READ),
        _allow(
            "Decrypt",
            DECRYPT,
            condition={"StringLike": {"kms:ViaService": [f"{each}.*" for each in services]}},
        ),
        _allow("Publish", PUBLISH, f"arn:aws:iot:*:*:topic/*{DEVICE_PREFIX}*"),
        _allow("OwnItems", ITEMS, "arn:aws:dynamodb:*:*:table/*", own_items),
        _allow("DeadLetters", DEAD_LETTERS, "arn:aws:sqs:*:*:*"),
    ]
    if page:
        statements += [
            _allow("PageAlarm", PAGE_ALARM),
            _allow("PageQueue", PAGE_QUEUE, f"arn:aws:sqs:*:*:{DEVICE_PREFIX}*"),
        ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _allow(
    sid: str,
    actions: tuple[str, ...],
    resource: str = "*",
    condition: dict[str, dict[str, list[str]]] | None = None,
) -> dict[str, object]:
    statement: dict[str, object] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resource,
    }
    return statement if condition is None else {**statement, "Condition": condition}
