"""One customer managed key per stack, and the statements that let AWS services use it.

A key of our own is not a matter of taste: CloudWatch cannot publish to a topic under ``alias/aws/sns``, because that
key's policy cannot be changed (FACTS 6). One key serves the whole stack; each statement is added by the construct
that needs it, so the policy holds nothing that is not used.
"""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._durations import of_days
from iot_constructs._place import Place
from iot_constructs._principals import service_of_account
from iot_constructs._validate import is_token
from iot_constructs._warnings import KEY_POLICY_NOT_CHANGED, warn
from iot_constructs.environment import data_removal_policy

_SHARED_KEY_ID = "IotConstructsKey"


def key_for(
    scope: Construct, given: kms.IKey | None, data_policy: cdk.RemovalPolicy | None = None
) -> kms.IKey:
    """The key that was given, or the one that all constructs of the stack share, made on first use.

    Args:
        scope: the construct that needs a key.
        given: the user's key, which wins.
        data_policy: what becomes of the data under the key; where data is kept, so is the key that reads it.
    """
    if given is not None:
        return given
    place = Place.of(scope)
    if place.shared_key is None:
        place.shared_key = _create_shared_key(place)
    shared = place.shared_key
    if data_policy not in (None, cdk.RemovalPolicy.DESTROY):
        shared.apply_removal_policy(data_policy)
    return shared


def allow_service(
    scope: Construct,
    key: kms.IKey,
    service: str,
    actions: Sequence[str] = ("kms:Decrypt", "kms:GenerateDataKey*"),
) -> None:
    """Let an AWS service use the key on behalf of this account, and of no other (aws:SourceAccount)."""
    _allow(scope, key, service, service_of_account(service, Place.of(scope).account), actions)


def allow_logs(scope: Construct, key: kms.IKey, log_group_name: str) -> None:
    """Let CloudWatch Logs encrypt one log group with the key.

    The log service sends no aws:SourceAccount; the encryption context names the log group, which is narrower
    (AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html).
    """
    place = Place.of(scope)
    arn = f"arn:{place.partition}:logs:{place.region}:{place.account}:log-group:{log_group_name}"
    actions = (
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:DescribeKey",
    )
    service = f"logs.{place.region}.amazonaws.com"
    principal = iam.ServicePrincipal(
        service, conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arn}}
    )
    _allow(scope, key, service, principal, actions)


def _create_shared_key(place: Place) -> kms.Key:
    policy = data_removal_policy(place.stack, None)
    destroyed = policy == cdk.RemovalPolicy.DESTROY
    return kms.Key(
        place.stack,
        _SHARED_KEY_ID,
        description=f"Telemetry pipeline of {place.node.path}",
        enable_key_rotation=defaults.KEY_ROTATION,
        removal_policy=policy,
        pending_window=of_days(defaults.KEY_PENDING_WINDOW_DAYS) if destroyed else None,
    )


def _allow(
    scope: Construct,
    key: kms.IKey,
    service: str,
    principal: iam.IPrincipal,
    actions: Sequence[str],
) -> None:
    if isinstance(key, kms.Key):  # made in this app, so its policy takes the statement
        key.grant(principal, *actions)
        return
    statement = iam.PolicyStatement(
        principals=[principal],
        actions=list(actions),
        resources=["*"],  # in a key policy this means the key itself
    )
    if not key.add_to_resource_policy(statement, True).statement_added:
        # A token's text differs from run to run, and a person cannot read it.
        readable = "logs.<region>.amazonaws.com" if is_token(service) else service
        warn(
            scope,
            KEY_POLICY_NOT_CHANGED,
            f"the policy of the imported key cannot be changed here: see that it allows {readable} "
            f"{', '.join(actions)}",
        )
