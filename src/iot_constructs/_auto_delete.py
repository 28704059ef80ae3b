"""CDK's helper function that empties a bucket before it is deleted, made to leave no log group and to do no more."""

from __future__ import annotations

from functools import cache

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct, Node

from iot_constructs._encryption import allow_logs
from iot_constructs._findings import acknowledge_in_template
from iot_constructs._place import Place

_PROVIDER_ID = "Custom::S3AutoDeleteObjectsCustomResourceProvider"
_LOG_GROUP_ID = "AutoDeleteObjectsLogs"


def confine_auto_delete(scope: Construct, key: kms.IKey | None) -> None:
    """Give the stack's auto-delete function a log group that goes with the stack, and a role for that group only.

    Lambda makes a log group on a function's first log line, outside of any stack; a torn-down environment would
    leave it behind, with no end to its retention. The role that CDK makes may write to every log group of the
    account (AWSLambdaBasicExecutionRole).

    Args:
        scope: the construct of a bucket whose objects are deleted with it.
        key: for the log group; None leaves its encryption to the log service.
    """
    place = Place.of(scope)
    if place.auto_delete_confined:
        return
    place.auto_delete_confined = True
    provider = place.node.find_child(_PROVIDER_ID).node
    handler = _resource(provider, "Handler")
    role = _resource(provider, "Role")
    if key is not None:
        # CloudFormation makes the group's name, which begins like this.
        allow_logs(scope, key, f"{_stack_name()}-{_LOG_GROUP_ID}*")
    log_group = logs.LogGroup(
        place.stack,
        _LOG_GROUP_ID,
        encryption_key=key,
        retention=logs.RetentionDays.ONE_WEEK,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    handler.add_property_override("LoggingConfig", {"LogGroup": log_group.log_group_name})
    role.add_property_deletion_override("ManagedPolicyArns")
    role.add_property_override(
        "Policies",
        [
            {
                "PolicyName": "Logs",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                            "Resource": log_group.log_group_arn,
                        }
                    ],
                },
            }
        ],
    )
    role.add_property_override(
        "AssumeRolePolicyDocument.Statement.0.Condition",
        {"StringEquals": {"aws:SourceAccount": place.account}},
    )
    acknowledge_in_template(
        handler,
        checkov={
            "CKV_AWS_115": "CloudFormation calls it once, when the stack is deleted (FACTS 17)",
            "CKV_AWS_116": "CloudFormation waits for its answer and reports a failure (FACTS 17)",
        },
        cfn_lint=("W3005",),  # CDK has it wait for its role and name the role as well
    )


@cache
def _stack_name() -> str:
    return cdk.Aws.STACK_NAME


def _resource(provider: Node, id: str) -> cdk.CfnResource:
    found = provider.try_find_child(id)
    if not isinstance(found, cdk.CfnResource):
        raise TypeError(f"{_PROVIDER_ID} of this aws-cdk-lib has no {id} to change")
    return found
