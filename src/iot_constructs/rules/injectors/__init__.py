"""Property injectors that set safe defaults on the plain L2 constructs of any app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs.rules.injectors.messaging import queue_defaults, topic_defaults
from iot_constructs.rules.injectors.storage import (
    bucket_defaults,
    table_defaults,
    table_v2_defaults,
)
from iot_constructs.rules.injectors.streaming import (
    function_defaults,
    mapping_defaults,
    stream_defaults,
)

__all__ = ["property_injectors"]

_Defaults = Callable[[dict[str, Any], Construct, str], dict[str, Any]]


def property_injectors() -> list[cdk.IPropertyInjector]:
    """Return property injectors that set safe defaults on plain L2 constructs.

    Pass them to ``App``, ``Stage`` or ``Stack(property_injectors=...)``, or to
    ``PropertyInjectors.of(scope).add(...)``. Properties that your code sets always take precedence, including
    ``False`` and 0.

    * ``s3.Bucket``: Block Public Access, TLS 1.2, SSE-S3, versioning. A bucket that is public or a website keeps its
      access and TLS settings, and one that a policy opens to everyone keeps its access settings. A bucket whose
      lifecycle rules expire objects is not versioned, because its objects would remain as noncurrent versions.
    * ``dynamodb.Table``: point-in-time recovery over 35 days; deletion protection while the table is retained, but not
      in an ephemeral SuffixedStack; on-demand capacity if the table and its indexes have neither a mode, nor capacity,
      nor auto scaling.
    * ``dynamodb.TableV2``: recovery and protection as above, including replicas.
    * ``kinesis.Stream``: a retention period of 7 days; on-demand mode if neither mode nor shards are set. Neither in an
      ephemeral SuffixedStack. CDK encrypts streams by default, except in Regions that do not support it.
    * ``lambda_.Function``: tracing, unless a role is given, cdk.json sets a permissions boundary, or the function is
      for Lambda@Edge, which has no tracing. Functions that CDK creates for its own use are not changed.
    * ``lambda_.EventSourceMapping`` of a Kinesis stream, which ``KinesisEventSource`` creates: a batching window of 5 s
      and bisecting, unless it has a tumbling window; 10 retry attempts and a maximum record age of 14.4 h, if it has an
      on-failure destination.
    * ``sns.Topic``: TLS only. Publishers that the default policy allows, such as CloudWatch alarms, keep their access.
    * ``sqs.Queue``: TLS only, encryption managed by SQS.

    A bucket, queue or topic has one policy. If your app creates it, as an L2 such as ``TopicPolicy`` or as an L1 such
    as ``CfnTopicPolicy``, the injected policy is withdrawn: TLS is then up to your policy, and the rules report it if
    it is missing. Policies, versioning, capacity and tracing are settled at synth, so the order of creation does not
    matter.

    The injectors do not set what requires a decision: names and their suffix; termination protection; on-failure
    destinations and dead-letter queues, and retry limits without them, which would lose records; partial batch
    responses, which the function's code must support; the starting position, which is required; alarms; the target of
    access logs and the lifetime of noncurrent versions; the TTL attribute; customer managed keys; removal policies; IoT
    rules, which have no L2.

    In a deployed app, each of these is an update in place: none of the properties replaces a resource. Recovery,
    retention over 24 h, on-demand capacity, versions and traces incur cost. A stream can change its mode twice in 24 h.

    * Tracing is part of a function version. ``current_version`` gets a new logical ID once, as with each change of the
      code: Lambda publishes a version, aliases move to it, and CloudFormation then deletes the previous version unless
      its removal policy retains it. A ``Version`` that you create yourself stays as it is, without tracing.
      ``tracing=lambda_.Tracing.DISABLED`` keeps the version. No other injected property changes a logical ID.
    * A permissions boundary that an aspect applies must allow ``xray:PutTraceSegments``; otherwise, set
      ``tracing=lambda_.Tracing.DISABLED``.
    * ``bucket.grant_public_access()`` requires ``block_public_access`` in your code: CDK rejects it while public
      policies are blocked.
    * The injectors see neither L1 resources, apart from these policies, nor overrides (``add_property_override``).
    * CDK uses one injector for a construct, from the nearest scope that has one for its class: your own injector for
      ``s3.Bucket`` replaces this one below its scope. Derived classes, such as ``NodejsFunction``, are included.

    Example::

        import aws_cdk as cdk
        from iot_constructs.rules import property_injectors

        app = cdk.App(property_injectors=property_injectors())
    """
    injected: tuple[tuple[str, _Defaults], ...] = (
        (s3.Bucket.PROPERTY_INJECTION_ID, bucket_defaults),
        (dynamodb.Table.PROPERTY_INJECTION_ID, table_defaults),
        (dynamodb.TableV2.PROPERTY_INJECTION_ID, table_v2_defaults),
        (kinesis.Stream.PROPERTY_INJECTION_ID, stream_defaults),
        (lambda_.Function.PROPERTY_INJECTION_ID, function_defaults),
        (lambda_.EventSourceMapping.PROPERTY_INJECTION_ID, mapping_defaults),
        (sns.Topic.PROPERTY_INJECTION_ID, topic_defaults),
        (sqs.Queue.PROPERTY_INJECTION_ID, queue_defaults),
    )
    return [_Injector(unique_id, additions) for unique_id, additions in injected]


@jsii.implements(cdk.IPropertyInjector)
class _Injector:
    """Adds the properties of a construct that the caller did not set."""

    def __init__(self, construct_unique_id: str, additions: _Defaults) -> None:
        self._construct_unique_id = construct_unique_id
        self._additions = additions

    @property
    def construct_unique_id(self) -> str:
        return self._construct_unique_id

    def inject(self, original_props: Any, *, scope: Construct, id: str) -> Any:
        # A dict with the property names of CDK (camelCase); its L2 objects are those of the caller.
        props = {name: value for name, value in (original_props or {}).items() if value is not None}
        return {
            **self._additions(props, scope, id),
            **props,
        }  # in this order, the caller takes precedence
