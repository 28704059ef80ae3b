"""Property injectors: the corrected defaults for the plain L2 constructs of any app."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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

from iot_constructs.rules.injectors_messaging import queue_defaults, topic_defaults
from iot_constructs.rules.injectors_policies import TlsPolicies
from iot_constructs.rules.injectors_storage import (
    bucket_defaults,
    table_defaults,
    table_v2_defaults,
)
from iot_constructs.rules.injectors_streaming import (
    function_defaults,
    mapping_defaults,
    stream_defaults,
)

__all__ = ["property_injectors"]

_Defaults = Callable[[dict[str, Any], Construct, str], dict[str, Any]]


def property_injectors() -> list[cdk.IPropertyInjector]:
    """Injectors that give plain L2 constructs the corrected defaults where their author said nothing.

    For ``App``, ``Stage`` or ``Stack(property_injectors=...)``, or ``PropertyInjectors.of(scope).add(...)``. What an
    author says stays as it is, ``False`` and 0 included.

    * ``s3.Bucket``: all public access blocked, TLS 1.2 at the least, SSE-S3, versioned. A bucket that is said to be
      public or a website keeps its access and its TLS; one whose lifecycle rules expire objects is not versioned,
      because its objects would stay.
    * ``dynamodb.Table``: point-in-time recovery over 35 days; deletion protection for as long as the table is retained,
      but not in an ephemeral SuffixedStack; on-demand where neither mode nor capacity is said.
    * ``dynamodb.TableV2``: recovery and protection as above, replicas included.
    * ``kinesis.Stream``: 7 days of retention; on-demand where neither mode nor shards are said.
    * ``lambda_.Function``: tracing, unless it is given a role. Functions that CDK makes for itself are left alone.
    * ``lambda_.EventSourceMapping`` of a Kinesis stream, which ``KinesisEventSource`` makes: a batching window of 5 s
      and bisecting, unless it has a tumbling window; 10 retries and a record age of 14.4 h, if it is given a failure
      destination.
    * ``sns.Topic``: TLS only; what may publish without a policy still may, CloudWatch alarms for instance.
    * ``sqs.Queue``: TLS only, encryption managed by SQS.

    Left to a person, because each needs something that only a person knows: names and their suffix; termination
    protection; failure destinations and the DLQ behind them, and retries without one, whose bound would lose records;
    partial batch responses, which the function's code has to answer; the starting position, which is always said;
    alarms; where access logs go and how long old versions stay; which attribute is the TTL; customer managed keys;
    removal policies; IoT rules, which have no L2.

    On an app that is deployed, each of these is an update in place: CloudFormation replaces a resource for none of the
    properties. Recovery, retention over 24 h, on-demand capacity, versions and traces are billed. A stream can change
    its mode twice in 24 h.

    * A table that gets scaling, or an index with capacity, after it was made must say ``billing_mode=PROVISIONED``:
      CDK refuses both on an on-demand table. What is said through an escape hatch is not seen here.
    * A function for Lambda@Edge that is not an ``EdgeFunction`` must say ``tracing=lambda_.Tracing.DISABLED``, and a
      permissions boundary must allow ``xray:PutTraceSegments``: Lambda refuses tracing otherwise.
    * A bucket, queue or topic has one policy: a ``BucketPolicy``, ``QueuePolicy`` or ``TopicPolicy`` of your own for
      one whose TLS policy was injected is an error that names the way out. The L1 classes are not seen here.
    * CDK asks one injector for a construct, that of the nearest scope which has one for its class: an injector of your
      own for ``s3.Bucket`` replaces this one below its scope. Derived classes, ``NodejsFunction`` for instance, are
      reached as well.

    Example::

        import aws_cdk as cdk
        from iot_constructs.rules import property_injectors

        app = cdk.App(property_injectors=property_injectors())
    """
    tls = TlsPolicies()
    corrected: tuple[tuple[str, _Defaults], ...] = (
        (s3.Bucket.PROPERTY_INJECTION_ID, partial(bucket_defaults, tls)),
        (dynamodb.Table.PROPERTY_INJECTION_ID, table_defaults),
        (dynamodb.TableV2.PROPERTY_INJECTION_ID, table_v2_defaults),
        (kinesis.Stream.PROPERTY_INJECTION_ID, stream_defaults),
        (lambda_.Function.PROPERTY_INJECTION_ID, function_defaults),
        (lambda_.EventSourceMapping.PROPERTY_INJECTION_ID, mapping_defaults),
        (sns.Topic.PROPERTY_INJECTION_ID, partial(topic_defaults, tls)),
        (sqs.Queue.PROPERTY_INJECTION_ID, partial(queue_defaults, tls)),
        (s3.BucketPolicy.PROPERTY_INJECTION_ID, tls.refuse_second),
        (sqs.QueuePolicy.PROPERTY_INJECTION_ID, tls.refuse_second),
        (sns.TopicPolicy.PROPERTY_INJECTION_ID, tls.refuse_second),
    )
    return [_Injector(unique_id, additions) for unique_id, additions in corrected]


@jsii.implements(cdk.IPropertyInjector)
class _Injector:
    """Adds to a construct's properties what its author did not say."""

    def __init__(self, construct_unique_id: str, additions: _Defaults) -> None:
        self._construct_unique_id = construct_unique_id
        self._additions = additions

    @property
    def construct_unique_id(self) -> str:
        return self._construct_unique_id

    def inject(self, original_props: Any, *, scope: Construct, id: str) -> Any:
        # A dict under CDK's own names, whatever the author wrote; L2 objects in it are the author's own.
        said = {name: value for name, value in (original_props or {}).items() if value is not None}
        return {**self._additions(said, scope, id), **said}  # in this order the author always wins
