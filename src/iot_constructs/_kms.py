"""One customer managed key per stack, and the statements that let AWS services use it.

CloudWatch cannot publish to a topic under ``alias/aws/sns``, because the policy of an AWS managed key cannot be
changed. One customer managed key serves the whole stack; each construct adds the statements that it needs, so the
policy has none that are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from weakref import WeakKeyDictionary

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, IConstruct

from iot_constructs import _defaults as defaults
from iot_constructs._iam import scoped_service_principal
from iot_constructs._stack import StackContext
from iot_constructs._validation import is_token
from iot_constructs._warnings import KEY_POLICY_NOT_CHANGED, warn
from iot_constructs.environment import data_removal_policy

_SHARED_KEY_ID = "IotConstructsKey"

_BY_TIME_KEPT = (
    cdk.RemovalPolicy.DESTROY,
    cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    cdk.RemovalPolicy.RETAIN,
)
_DELETION_POLICIES = (
    cdk.CfnDeletionPolicy.DELETE,
    cdk.CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE,
    cdk.CfnDeletionPolicy.RETAIN,
)
"""The same as the template states them, in the same order."""


def get_or_create_key(
    scope: Construct, given: kms.IKey | None, data_policy: cdk.RemovalPolicy | None = None
) -> kms.IKey:
    """The key of an argument, or the one that all constructs of the stack share, created on first use.

    Args:
        scope: the construct that needs a key, or the scope that it is created in.
        given: the key of an argument, which wins.
        data_policy: the removal policy of the data under the key, which the key is kept at least as long as.
    """
    if given is not None:
        return given
    stack = StackContext.of(scope)
    key = _SHARED_KEYS.get(stack)
    if key is None:
        key = _SHARED_KEYS[stack] = _create_shared_key(stack)
    if data_policy is not None and data_policy != cdk.RemovalPolicy.DESTROY:
        _keep_as_long_as(key, data_policy)
    return key


_SHARED_KEYS: WeakKeyDictionary[StackContext, kms.Key] = WeakKeyDictionary()


def grant_service_principal(
    scope: IConstruct,
    key: kms.IKey,
    service: str,
    actions: Sequence[str] = ("kms:Decrypt", "kms:GenerateDataKey*"),
    *,
    source_arn: str | None = None,
) -> None:
    """Let an AWS service use the key on behalf of one resource, or else of this account only."""
    principal = (
        scoped_service_principal(service, StackContext.of(scope).account)
        if source_arn is None
        else iam.ServicePrincipal(service, conditions={"ArnLike": {"aws:SourceArn": source_arn}})
    )
    _grant(scope, key, service, principal, actions)


def grant_log_group(scope: IConstruct, key: kms.IKey, log_group_name: str) -> None:
    """Let CloudWatch Logs encrypt one log group with the key.

    CloudWatch Logs sends no aws:SourceAccount; the encryption context names the log group, which is narrower
    (AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html).
    """
    stack = StackContext.of(scope)
    service = f"logs.{stack.region}.amazonaws.com"
    context = "kms:EncryptionContext:aws:logs:arn"
    arn = stack.arn("logs", f"log-group:{log_group_name}")
    operator = "ArnLike" if "*" in log_group_name else "ArnEquals"
    principal = iam.ServicePrincipal(service, conditions={operator: {context: arn}})
    actions = (
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:DescribeKey",
    )
    _grant(scope, key, service, principal, actions)


def _create_shared_key(stack: StackContext) -> kms.Key:
    policy = data_removal_policy(stack.stack, _SHARED_KEY_ID, None)
    destroyed = policy == cdk.RemovalPolicy.DESTROY
    return kms.Key(
        stack.stack,
        _SHARED_KEY_ID,
        description=f"Telemetry pipeline of {stack.node.path}",
        enable_key_rotation=defaults.KEY_ROTATION,
        removal_policy=policy,
        pending_window=cdk.Duration.days(defaults.KEY_PENDING_WINDOW_DAYS) if destroyed else None,
    )


def _keep_as_long_as(key: kms.Key, data_policy: cdk.RemovalPolicy) -> None:
    resource = cast(kms.CfnKey, key.node.default_child)
    current = resource.cfn_options.deletion_policy
    kept = _DELETION_POLICIES.index(current) if current is not None else 0
    if _BY_TIME_KEPT.index(data_policy) > kept:
        key.apply_removal_policy(data_policy)


def _grant(
    scope: IConstruct,
    key: kms.IKey,
    service: str,
    principal: iam.IPrincipal,
    actions: Sequence[str],
) -> None:
    if isinstance(key, kms.Key):
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
            f"cannot change the policy of the imported key; make sure that it allows {readable} {', '.join(actions)}",
        )
