"""Default properties of streams, functions and event source mappings of Kinesis streams."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import _defaults as defaults

_STREAM_ARNS = ("Arn", "ConsumerARN")  # attributes of a stream and of its consumer
_EDGE_FUNCTION = "aws-cdk-lib.aws_cloudfront.experimental.EdgeFunction"
_EDGE_STACK = "edge-lambda-stack-"  # the stack that EdgeFunction creates in us-east-1
_PROVIDER = "aws-cdk-lib.custom_resources.Provider"


def stream_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """7 days of retention and on-demand mode. CDK encrypts by default where the Region supports it."""
    added: dict[str, Any] = {"retentionPeriod": cdk.Duration.hours(defaults.STREAM_RETENTION_HOURS)}
    if "shardCount" not in props:
        added["streamMode"] = kinesis.StreamMode.ON_DEMAND
    return added


def function_defaults(props: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Tracing, if the role can write traces and the function is not internal to CDK.

    Lambda rejects tracing if the role does not allow it. CDK adds the permission to the role that it creates; a role
    that is given can be imported or have a managed policy.
    """
    if "role" in props or _is_cdk_internal(props, scope):
        return {}
    return {"tracing": lambda_.Tracing.ACTIVE}


def _is_cdk_internal(props: dict[str, Any], scope: Construct) -> bool:
    """Return whether CDK creates the function for its own use, or for Lambda@Edge, which has no tracing."""
    if "uuid" in props:  # a SingletonFunction, behind custom resources such as BucketDeployment
        return True
    if getattr(type(scope), "__jsii_type__", None) in (_PROVIDER, _EDGE_FUNCTION):
        return True
    return bool(scope.node.id.startswith(_EDGE_STACK))


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
