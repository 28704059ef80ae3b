"""What plain topics and queues get where their author said nothing."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs.rules.injectors_policies import TlsPolicies

_KEY_SETTINGS = {"encryptionMasterKey", "dataKeyReuse"}


def topic_defaults(
    tls: TlsPolicies, said: dict[str, Any], scope: Construct, id: str
) -> dict[str, Any]:
    """TLS only. No key: CloudWatch cannot use the one AWS manages, and one of its own costs money (FACTS 6)."""
    return {} if "enforceSSL" in said else tls.inject_into_topic(scope, id)


def queue_defaults(
    tls: TlsPolicies, said: dict[str, Any], scope: Construct, id: str
) -> dict[str, Any]:
    """TLS only, and the encryption that needs no grants of whoever sends to the queue."""
    added = {} if "enforceSSL" in said else tls.inject(scope, id)
    if not _KEY_SETTINGS & said.keys():
        added["encryption"] = sqs.QueueEncryption.SQS_MANAGED
    return added
