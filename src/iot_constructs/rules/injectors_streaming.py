"""What plain streams, functions and their Kinesis mappings get where their author said nothing."""

from __future__ import annotations

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._validate import is_token

_STREAM_ARNS = ("Arn", "ConsumerARN")  # attributes of a stream and of a registered consumer
_EDGE_FUNCTION = "aws-cdk-lib.aws_cloudfront.experimental.EdgeFunction"
_EDGE_STACK = "edge-lambda-stack-"  # where EdgeFunction puts it when its own stack is elsewhere
_PROVIDER = "aws-cdk-lib.custom_resources.Provider"


def stream_defaults(said: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """7 days and on-demand (FACTS 8). Encryption is CDK's default already, where the region has it."""
    added: dict[str, Any] = {"retentionPeriod": cdk.Duration.hours(defaults.STREAM_RETENTION_HOURS)}
    if "shardCount" not in said:
        added["streamMode"] = kinesis.StreamMode.ON_DEMAND
    return added


def function_defaults(said: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Tracing, where it is sure that the role may write traces and that this is a function of the author's.

    Lambda refuses tracing to a role that may not write traces. CDK adds that right to the role it makes; a role that
    was given may be imported, or have a policy that somebody looks after.
    """
    if "role" in said or _is_machinery(said, scope):
        return {}
    return {"tracing": lambda_.Tracing.ACTIVE}


def _is_machinery(said: dict[str, Any], scope: Construct) -> bool:
    """Whether CDK makes the function for a purpose of its own, or for Lambda@Edge, which has no tracing."""
    if "uuid" in said:  # a SingletonFunction, behind custom resources such as BucketDeployment
        return True
    if getattr(type(scope), "__jsii_type__", None) in (_PROVIDER, _EDGE_FUNCTION):
        return True
    return bool(scope.node.id.startswith(_EDGE_STACK))


def mapping_defaults(said: dict[str, Any], scope: Construct, id: str) -> dict[str, Any]:
    """Correction 3 and bisecting; bounds only where what is given up has a place to go (FACTS 3).

    Nothing that needs the function's code to take part: with partial batch responses an empty answer is success, so a
    function that does not know of them would lose what it fails on.
    """
    if not _reads_kinesis(said, scope):
        return {}
    added: dict[str, Any] = {}
    if "tumblingWindow" not in said:  # which sets the pace itself, and keeps state between batches
        added["maxBatchingWindow"] = cdk.Duration.seconds(defaults.MAX_BATCHING_WINDOW_SECONDS)
        added["bisectBatchOnError"] = defaults.BISECT_BATCH_ON_ERROR
    if "onFailure" in said:
        added["retryAttempts"] = defaults.RETRY_ATTEMPTS
        # Of the shortest retention there is: that of this stream is not known here, and age must stay below it.
        shortest = defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600
        added["maxRecordAge"] = cdk.Duration.seconds(
            int(shortest * defaults.RECORD_AGE_SHARE_OF_RETENTION)
        )
    return added


def _reads_kinesis(said: dict[str, Any], scope: Construct) -> bool:
    """Whether the source is a Kinesis stream; False where that cannot be told."""
    arn = said.get("eventSourceArn")
    if "startingPosition" not in said or "kafkaTopic" in said or not isinstance(arn, str):
        return False
    if not is_token(arn):
        return ":kinesis:" in arn
    resolved = cdk.Stack.of(scope).resolve(arn)
    attribute = resolved.get("Fn::GetAtt") if isinstance(resolved, dict) else None
    if attribute is not None:
        return attribute[-1] in _STREAM_ARNS
    return ":kinesis:" in json.dumps(resolved)
