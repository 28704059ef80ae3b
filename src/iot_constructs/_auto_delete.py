"""CDK's helper function that empties a bucket before it is deleted, made to leave no log group behind."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct

_PROVIDER_ID = "Custom::S3AutoDeleteObjectsCustomResourceProvider"
_LOG_GROUP_ID = "AutoDeleteObjectsLogs"


def keep_no_logs_of_auto_delete(scope: Construct) -> None:
    """Give the stack's auto-delete function a log group that goes with the stack.

    Lambda makes a log group on a function's first log line, outside of any stack; a torn-down environment would
    leave it behind, with no end to its retention.
    """
    stack = cdk.Stack.of(scope)
    if stack.node.try_find_child(_LOG_GROUP_ID) is not None:
        return
    provider = stack.node.find_child(_PROVIDER_ID)
    handler = provider.node.find_child("Handler")
    if not isinstance(handler, cdk.CfnResource):
        raise TypeError(
            f"{_PROVIDER_ID} of this aws-cdk-lib has no function to give a log group to"
        )
    log_group = logs.LogGroup(
        stack,
        _LOG_GROUP_ID,
        retention=logs.RetentionDays.ONE_WEEK,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    handler.add_property_override("LoggingConfig", {"LogGroup": log_group.log_group_name})
