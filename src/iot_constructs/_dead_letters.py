"""The dead-letter path: a topic, the queue that keeps what it gets, and the subscription between them.

A topic delivers only to the subscribers it has at that moment; a DLQ topic without a queue drops every failure
(FACTS 6). So the two are made together.
"""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._durations import of_days, of_seconds
from iot_constructs._encryption import allow_service
from iot_constructs.environment import EnvironmentSuffix

_TOPIC_ID = "DlqTopic"
_QUEUE_ID = "DlqQueue"
_SNS = "sns.amazonaws.com"
_END = "this is the dead-letter queue: its messages wait for a person, and no consumer can fail on them (FACTS 6)"
DEAD_LETTERS_END_HERE: Final = {
    "AwsSolutions-SQS3": _END,
    "Serverless-SQSRedrivePolicy": _END,
    "Serverless-SNSRedrivePolicy": "it ends in the dead-letter queue already; SNS tries a queue for 23 days, and "
    "PipelineAlarms tells of messages that it could not deliver (FACTS 17)",
}
"""What whoever makes dead letters answers to scanners."""


def create_dead_letters(
    scope: Construct,
    *,
    name: str,
    suffix: EnvironmentSuffix,
    key: kms.IKey,
    removal_policy: cdk.RemovalPolicy,
) -> tuple[sns.Topic, sqs.Queue]:
    """Make topic, queue and subscription below ``scope``, all encrypted with ``key`` and TLS-only."""
    topic = create_topic(scope, _TOPIC_ID, name=name, suffix=suffix, key=key)
    queue = sqs.Queue(
        scope,
        _QUEUE_ID,
        queue_name=naming.physical_name(scope, naming.QUEUE, name, suffix),
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=of_days(defaults.DLQ_RETENTION_DAYS),
        visibility_timeout=of_seconds(defaults.DLQ_VISIBILITY_TIMEOUT_SECONDS),
        removal_policy=removal_policy,
    )
    _subscribe(scope, topic, queue, key)
    return topic, queue


def create_topic(
    scope: Construct, id: str, *, name: str, suffix: EnvironmentSuffix, key: kms.IKey
) -> sns.Topic:
    """An encrypted, TLS-only standard topic."""
    topic = sns.Topic(
        scope,
        id,
        topic_name=naming.physical_name(scope, naming.TOPIC, name, suffix),
        master_key=key,
        enforce_ssl=True,
    )
    asked.key_of_topic.know(topic, key)
    asked.is_fifo.know(topic, False)
    return topic


def check_standard_topic(name: str, topic: sns.ITopic) -> None:
    """Raise ValueError for a FIFO topic: neither Lambda nor CloudWatch delivers to one."""
    if asked.is_fifo(topic):
        raise ValueError(
            f"{name}={topic.node.path!r} is a FIFO topic and Lambda, IoT and CloudWatch publish to standard topics "
            "only (FACTS 2); pass a topic without fifo=True"
        )


def _subscribe(scope: Construct, topic: sns.Topic, queue: sqs.Queue, key: kms.IKey) -> None:
    # Not SqsSubscription: under the recommended feature flags it puts the topic's ARN into the key's policy, and a
    # topic that is encrypted with the same key then waits for itself.
    from_topic = {"ArnEquals": {"aws:SourceArn": asked.topic_arn(topic)}}
    queue.grant(iam.ServicePrincipal(_SNS, conditions=from_topic), "sqs:SendMessage")
    allow_service(scope, key, _SNS)
    sns.Subscription(
        scope,
        "DlqSubscription",
        topic=topic,
        protocol=sns.SubscriptionProtocol.SQS,
        endpoint=queue.queue_arn,
    )
