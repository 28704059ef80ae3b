"""Default properties of topics and queues."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs.rules.injectors.policies import inject_queue_tls, inject_topic_tls

_KEY_SETTINGS = {"encryptionMasterKey", "dataKeyReuse"}


def topic_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """TLS only. No key: CloudWatch cannot use the AWS managed key, and a customer managed key incurs cost.

    See https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html.
    """
    return {} if "enforceSSL" in props else inject_topic_tls(scope, id)


def queue_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """TLS only, and SSE-SQS, which requires no grants for senders."""
    added = {} if "enforceSSL" in props else inject_queue_tls(scope, id)
    if not _KEY_SETTINGS & props.keys():
        added["encryption"] = sqs.QueueEncryption.SQS_MANAGED
    return added
