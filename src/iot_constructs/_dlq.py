"""The dead-letter path: a topic, the queue that keeps its messages, and the subscription between them.

A topic delivers only to the subscriptions that it has at that moment, so a DLQ topic without a queue drops every
failure. The two are created together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._kms import grant_service_principal
from iot_constructs._layout import add_reader, known_name
from iot_constructs._naming import Names
from iot_constructs._stack import StackContext

_SNS: Final = "sns.amazonaws.com"
_IS_THE_DLQ: Final = (
    "this is the dead-letter queue: messages wait for an operator and no consumer can fail on them "
    "(docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html)"
)
DLQ_WITHOUT_REDRIVE_POLICY: Final = {
    "AwsSolutions-SQS3": _IS_THE_DLQ,
    "Serverless-SQSRedrivePolicy": _IS_THE_DLQ,
    "Serverless-SNSRedrivePolicy": "the topic delivers to the dead-letter queue; SNS retries a queue for 23 days, and "
    "PipelineAlarms alarms on failed deliveries (docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html)",
}
"""cdk-nag rules that the creator of a DLQ acknowledges."""


def create_dlq(
    scope: Construct,
    *,
    names: Names,
    name: str | None,
    key: kms.IKey,
    removal_policy: cdk.RemovalPolicy,
) -> tuple[sns.Topic, sqs.Queue]:
    """Create topic, queue and subscription in ``scope``, encrypted with ``key`` and TLS-only."""
    topic_name = names.physical_name(naming.TOPIC, name, defaults.DLQ_NAME, "dlq_name")
    topic = create_topic(scope, "DlqTopic", name=topic_name, key=key)
    queue = sqs.Queue(
        scope,
        "DlqQueue",
        queue_name=names.physical_name(naming.QUEUE, name, defaults.DLQ_NAME),
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=cdk.Duration.days(defaults.DLQ_RETENTION_DAYS),
        visibility_timeout=cdk.Duration.seconds(defaults.DLQ_VISIBILITY_TIMEOUT_SECONDS),
        removal_policy=removal_policy,
    )
    subscribe_queue(scope, "DlqSubscription", topic, queue, key)
    return topic, queue


def create_topic(scope: Construct, id: str, *, name: str, key: kms.IKey) -> sns.Topic:
    """An encrypted, TLS-only standard topic."""
    return sns.Topic(scope, id, topic_name=name, master_key=key, enforce_ssl=True)


def validate_standard_topic(keyword: str, topic: sns.ITopic) -> None:
    """Raise ValueError for a FIFO topic."""
    if topic.fifo:
        raise ValueError(
            f"{keyword}={topic.node.path!r}: Lambda, IoT and CloudWatch do not publish to a FIFO topic; pass a topic "
            "without fifo=True (https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html)"
        )


def subscribe_queue(
    scope: Construct,
    id: str,
    topic: sns.Topic,
    queue: sqs.Queue,
    key: kms.IKey,
    *,
    message_filter: Mapping[str, sns.FilterOrPolicy] | None = None,
) -> None:
    """Subscribe a queue that is encrypted with ``key``; whoever publishes to the topic is created after that."""
    # Not SqsSubscription: under the recommended feature flags it puts the topic's ARN into the key's policy, and a
    # topic that is encrypted with the same key then depends on itself.
    from_topic = {"ArnEquals": {"aws:SourceArn": topic.topic_arn}}
    granted = queue.grant(iam.ServicePrincipal(_SNS, conditions=from_topic), "sqs:SendMessage")
    name = known_name(topic)
    arn = StackContext.of(topic).arn("sns", name if name is not None else "*")
    grant_service_principal(scope, key, _SNS, source_arn=arn)
    subscription = sns.Subscription(
        scope,
        id,
        topic=topic,
        protocol=sns.SubscriptionProtocol.SQS,
        endpoint=queue.queue_arn,
        filter_policy_with_message_body=message_filter,
    )
    granted.apply_before(subscription)
    add_reader(topic, subscription)
