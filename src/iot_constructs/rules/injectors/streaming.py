"""Default properties of streams, functions and event source mappings of Kinesis streams."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IConstruct

from iot_constructs import _defaults as defaults
from iot_constructs.environment import in_ephemeral_stack
from iot_constructs.rules.injectors.review import StageContents, review_at_synth

_STREAM_ARNS = ("Arn", "ConsumerARN")  # attributes of a stream and of its consumer
_EDGE_PRINCIPAL = "edgelambda.amazonaws.com"
_PERMISSIONS_BOUNDARY = "@aws-cdk/core:permissionsBoundary"  # in cdk.json
_PROVIDER = "aws-cdk-lib.custom_resources.Provider"


def stream_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """7 days of retention and on-demand mode, but not in an ephemeral SuffixedStack, as for a MonitoredStream.

    CDK's defaults are then one shard and 24 hours. It encrypts by default where the Region supports it.
    """
    if in_ephemeral_stack(scope):
        return {}
    added: dict[str, Any] = {"retentionPeriod": cdk.Duration.hours(defaults.STREAM_RETENTION_HOURS)}
    if "shardCount" not in props:
        added["streamMode"] = kinesis.StreamMode.ON_DEMAND
    return added


def function_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Tracing, if the role can write traces and the function is not internal to CDK.

    Lambda rejects tracing if the role does not allow it. CDK adds the permission to the role that it creates; a role
    that is given can be imported or have a managed policy, and a permissions boundary can forbid it.
    """
    if not {"tracing", "role"} & props.keys() and not _is_cdk_internal(props, scope):
        review_at_synth(scope, id, _review_tracing)
    return {}


def _is_cdk_internal(props: dict[str, Any], scope: Construct) -> bool:
    # A SingletonFunction, behind custom resources such as BucketDeployment, has a uuid.
    return "uuid" in props or getattr(type(scope), "__jsii_type__", None) == _PROVIDER


def _review_tracing(function: IConstruct, contents: StageContents) -> None:
    """Set tracing, unless the function is for Lambda@Edge.

    Not a property of the function, because its role would keep the permission. Lambda@Edge has no tracing, and the
    role of its functions must trust edgelambda.amazonaws.com, which CDK adds when a distribution uses a function. See
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html.
    """
    resource = function.node.default_child
    if not isinstance(function, lambda_.Function) or not isinstance(resource, lambda_.CfnFunction):
        return
    if resource.tracing_config is not None or not _can_trace(function):
        return
    resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode="Active")
    function.add_to_role_policy(
        iam.PolicyStatement(
            actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]
        )
    )


def _can_trace(function: lambda_.Function) -> bool:
    role = function.role
    # Without a resource, the role is one of iam.Role.customize_roles(), which a person creates.
    if not isinstance(role, iam.Role) or role.node.default_child is None:
        return False
    if function.node.try_get_context(_PERMISSIONS_BOUNDARY) is not None:
        return False
    return _EDGE_PRINCIPAL not in json.dumps(function.stack.resolve(role.assume_role_policy))


def mapping_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Batching window and bisecting; retry limits only with an on-failure destination.

    Partial batch responses are not enabled, because an empty response then means success: a function that does not
    support them would lose its failed records. See
    https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html.
    """
    if not _reads_kinesis(props, scope):
        return {}
    added: dict[str, Any] = {}
    if "tumblingWindow" not in props:  # which defines the window, and keeps state between batches
        added["maxBatchingWindow"] = cdk.Duration.seconds(defaults.MAX_BATCHING_WINDOW_SECONDS)
        added["bisectBatchOnError"] = defaults.BISECT_BATCH_ON_ERROR
    if "onFailure" in props:
        added["retryAttempts"] = defaults.RETRY_ATTEMPTS
        # From the shortest retention period: that of the stream is unknown here, and the age must be below it.
        shortest = defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600
        added["maxRecordAge"] = cdk.Duration.seconds(
            int(shortest * defaults.RECORD_AGE_SHARE_OF_RETENTION)
        )
    return added


def _reads_kinesis(props: dict[str, Any], scope: Construct) -> bool:
    """Return whether the source is a Kinesis stream; False if unknown."""
    arn = props.get("eventSourceArn")
    if "startingPosition" not in props or "kafkaTopic" in props or not isinstance(arn, str):
        return False
    if not cdk.Token.is_unresolved(arn):
        return ":kinesis:" in arn
    resolved = cdk.Stack.of(scope).resolve(arn)
    attribute = resolved.get("Fn::GetAtt") if isinstance(resolved, dict) else None
    if attribute is not None:
        return attribute[-1] in _STREAM_ARNS
    return ":kinesis:" in json.dumps(resolved)
