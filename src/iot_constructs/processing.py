"""AWS Lambda: the function that reads the stream, and its failure handling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakSet

import aws_cdk as cdk
import jsii
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IDependable

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import period
from iot_constructs._dlq import (
    DLQ_WITHOUT_REDRIVE_POLICY,
    create_dlq,
    create_topic,
    subscribe_queue,
    validate_standard_topic,
)
from iot_constructs._iam import (
    grant_key,
    grant_publish,
    grant_read_stream,
    role_for_grants,
    scoped_service_principal,
)
from iot_constructs._kms import get_or_create_key, grant_log_group, grant_service_principal
from iot_constructs._layout import add_reader, known_name, other_account, refer
from iot_constructs._nag import (
    acknowledge_in_template,
    acknowledge_rules,
    managed_policy_rule,
    wildcard_rule,
)
from iot_constructs._naming import Named
from iot_constructs._stack import StackContext
from iot_constructs._validation import (
    implements,
    seconds,
    validate_mutually_exclusive,
    validated,
)
from iot_constructs._warnings import (
    FUNCTION_ROLE_UNKNOWN,
    RETENTION_UNKNOWN,
    TOPIC_POLICY_NOT_CHANGED,
    warn,
)
from iot_constructs.environment import (
    EnvironmentSuffix,
    NamePrefix,
    data_removal_policy,
    names_for,
)
from iot_constructs.streams import MonitoredStream, known_retention_seconds

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from iot_constructs._props import StreamProcessorProps

_S3: Final = "s3.amazonaws.com"
_FAILED_BATCHES_PREFIX: Final = "aws/lambda/"  # where Lambda puts them
_DESTINATIONS: Final = "docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html"
_HAS_FAILURE_DESTINATIONS: Final = (
    "failures go to the DLQ topic: those of the stream by the mapping's failure destination, those of asynchronous "
    f"invocations by the function's; a DeadLetterConfig covers only the latter ({_DESTINATIONS})"
)
_LIMITED_BY_SHARDS: Final = (
    "a stream invokes its function at most once at a time per shard and parallelization factor; a limit below that "
    "makes the stream wait (docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html)"
)
_NOTIFICATIONS_HANDLER: Final = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"
_BASIC_EXECUTION: Final = "service-role/AWSLambdaBasicExecutionRole"
_CALLED_BY_CLOUDFORMATION: Final = (
    "CloudFormation invokes this handler of CDK's once for a change, waits for its response, and reports a failure "
    "(docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html)"
)
_WRITES_ITS_LOG: Final = (
    "CDK's handler writes its log with it and has no other use for it; what else it may do is set the notifications of "
    "one bucket (docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaBasicExecutionRole.html)"
)
_VPC_ACTIONS: Final = (  # lambda/latest/dg/configuration-vpc.html
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)

_VARIABLE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")

FailureDestination: TypeAlias = (
    sns.ITopic | sns.Topic | sqs.IQueue | s3.IBucket | lambda_.IEventSourceDlq
)

MAPPING_PROPS: Final = frozenset(
    {
        "batch_size",
        "bisect_batch_on_error",
        "enabled",
        "filter_encryption",
        "filters",
        "kafka_bootstrap_servers",
        "kafka_consumer_group_id",
        "kafka_topic",
        "log_level",
        "max_batching_window",
        "max_concurrency",
        "max_record_age",
        "metrics_config",
        "parallelization_factor",
        "provisioned_poller_config",
        "report_batch_item_failures",
        "retry_attempts",
        "schema_registry_config",
        "source_access_configurations",
        "starting_position",
        "starting_position_timestamp",
        "support_s3_on_failure_destination",
        "tumbling_window",
    }
)
"""Which of the properties belong to the event source mapping; the others belong to the function."""


_NOT_FOR_KINESIS: Final = frozenset(
    {
        "kafka_bootstrap_servers",
        "kafka_consumer_group_id",
        "kafka_topic",
        "max_concurrency",
        "provisioned_poller_config",
        "schema_registry_config",
        "source_access_configurations",
    }
)


@jsii.implements(iam.IGrantable)
class StreamProcessor(Named, Construct):
    """Bundles a Lambda function on a Kinesis stream with its failure handling, so that no record is lost.

    * A batch that keeps failing goes to the DLQ topic by the failure destination of the **event source mapping**: the
      function's asynchronous configuration does not cover Kinesis
      (https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html). That one is set as well, for asynchronous
      invocations by an operator.
    * The DLQ topic delivers to an encrypted queue that keeps messages for 14 days: a topic without a subscription drops
      them.
    * Retries and record age are limited: by default AWS retries until the record expires, and one poison record blocks
      its shard. A failing batch is bisected, and only the records that the function reports are retried.
    * Reading starts at TRIM_HORIZON: with LATEST records can be missed while the mapping is created or updated
      (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html).
    * The function runs Python 3.14 on arm64 with JSON logs, X-Ray tracing, a log group that expires, and a role that
      may write to that log group only.

    Your function returns ``{"batchItemFailures": [{"itemIdentifier": <sequence number>}]}`` for what is to be retried
    (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html).

    Takes every property of :class:`aws_cdk.aws_lambda.Function` and of :class:`aws_cdk.aws_lambda.EventSourceMapping`.
    If both have a property, the name means that of the mapping, and that of the function begins with ``async_``.

    Args:
        stream: the stream to read: a MonitoredStream, any other stream, or a ``kinesis.StreamConsumer`` for enhanced
            fan-out.
        function: your function, also an alias, a DockerImageFunction or a PythonFunction, instead of
            ``code`` and the other properties of a function. It must be in the account and region of the stack. Give it
            ``processor.dlq_topic.topic_arn`` if it publishes rejected records itself.
        on_failure: where failed batches go: a topic, a queue (both get sequence numbers only), or a bucket (gets the
            whole batch; the DLQ gets a message with its object, and your topic also ``s3:TestEvent`` once);
            by default the DLQ topic.
        dlq_topic: your topic for failures; by default a topic with its queue is created.
        dlq_name: the base name of that topic and queue.
        async_on_failure: the destination of failed asynchronous invocations; by default the DLQ topic.
        async_retry_attempts: retries of a failed asynchronous invocation, 0 to 2; by default 2.
        log_retention: how long log lines are kept; by default three months.
        encryption_key: for log group, DLQ and environment variables; by default that of the stack.
        removal_policy: of the log group and the DLQ queue; by default DESTROY in an ephemeral stack and
            RETAIN_ON_UPDATE_OR_DELETE elsewhere.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.
        **props: of ``lambda_.Function``: ``code`` is required without ``function``; ``handler`` is
            ``handler.handler``; ``function_name`` is the base name: the function is called ``name-suffix``; with a
            ``role`` of yours the construct adds its grants to it. Of ``lambda_.EventSourceMapping``: ``batch_size``
            100; ``max_batching_window`` 5 s; ``retry_attempts`` 10; ``max_record_age`` 0.6 of the retention of a
            MonitoredStream, and as much as the stream may hold already for another stream.

    Raises:
        ValueError: a value is out of range; the record age is not below the stream's retention; a FIFO topic or queue;
            a function of another account or region, or together with properties of a function; a layer for another
            architecture; the name is taken or not valid.
        TypeError: a value has the wrong type.

    Example::

        from aws_cdk import aws_lambda as lambda_
        from iot_constructs import MonitoredStream, StreamProcessor

        stream = MonitoredStream(stack, "Stream")
        code = lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")
        processor = StreamProcessor(stack, "Processor", stream=stream, code=code, handler="index.handler")
    """

    @validated(
        lambda_.EventSourceMapping,
        lambda_.Function,
        rename={"async_retry_attempts": "retry_attempts", "async_on_failure": "on_failure"},
    )
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: kinesis.IStream | kinesis.IStreamConsumer,
        function: lambda_.IFunction | None = None,
        on_failure: FailureDestination | None = None,
        dlq_topic: sns.ITopic | sns.Topic | None = None,
        dlq_name: str | None = None,
        async_on_failure: lambda_.IDestination | None = None,
        async_retry_attempts: float | None = None,
        log_retention: logs.RetentionDays | None = None,
        encryption_key: kms.IKey | kms.Key | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
        **props: Unpack[StreamProcessorProps],
    ) -> None:
        super().__init__(scope, id)
        mapping_props = {k: v for k, v in props.items() if k in MAPPING_PROPS}
        function_props = {k: v for k, v in props.items() if k not in MAPPING_PROPS}
        asynchronous = {
            "on_failure": async_on_failure,
            "retry_attempts": async_retry_attempts,
            "max_event_age": function_props.pop("max_event_age", None),
        }
        self._validate_function(function, {**function_props, "log_retention": log_retention})
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        self._policy = data_removal_policy(self, id, removal_policy)
        self._key = get_or_create_key(self, encryption_key, self._policy)
        self._acknowledge_rules(function_props, own_dlq=dlq_topic is not None)
        self._dlq_name = dlq_name

        topic, queue = self._resolve_dlq(dlq_topic, dlq_name)
        self.dlq_topic: sns.ITopic = topic
        """The topic for what cannot be processed."""
        self.dlq_queue: sqs.Queue | None = queue
        """The queue of that topic; None for your topic."""
        self.log_group: logs.ILogGroup | None = None
        """The log group of the function; None for your function or log group."""
        self.timeout: cdk.Duration | None = None
        """How long one invocation may take; None for your function."""
        self._grantee: iam.IRole | None
        self.function: lambda_.IFunction = (
            self._use_function(function, asynchronous)
            if function is not None
            else self._create_function(function_props, asynchronous, log_retention)
        )
        """The function."""
        self.event_source_mapping: lambda_.EventSourceMapping = self._create_mapping(
            stream, on_failure, mapping_props
        )
        """Polls the stream and invokes the function."""
        self._mapping_id = self.event_source_mapping.event_source_mapping_id

    # --- function

    def _create_function(
        self,
        props: dict[str, Any],
        asynchronous: dict[str, Any],
        log_retention: logs.RetentionDays | None,
    ) -> lambda_.Function:
        props["function_name"] = self._names.physical_name(
            naming.FUNCTION, props.get("function_name"), defaults.FUNCTION_NAME
        )
        if "role" not in props:
            props["role"] = self._create_role()
        self._grantee = role_for_grants(self, props["role"])
        if "log_group" in props:
            if not implements(props["log_group"], logs.ILogGroup):
                raise TypeError(
                    f"log_group={props['log_group'].node.path!r}: Lambda's L2 takes an ILogGroup; pass a logs.LogGroup"
                )
            validate_mutually_exclusive(
                "log_group",
                {"log_retention": log_retention},
                "your log group has its retention; remove log_retention",
            )
        else:
            self.log_group = self._create_log_group(props["function_name"], log_retention)
            props["log_group"] = self.log_group
        props.setdefault("environment_encryption", self._key)
        policies = self._grant_function(props)
        tracing = props.pop("tracing", lambda_.Tracing.ACTIVE)
        settings = {
            "description": "Stores telemetry; sends what it cannot store to the DLQ topic",
            "handler": defaults.HANDLER,
            "runtime": lambda_.Runtime.PYTHON_3_14,
            "architecture": lambda_.Architecture.ARM_64,
            "memory_size": defaults.MEMORY_MB,
            "timeout": cdk.Duration.seconds(defaults.TIMEOUT_SECONDS),
            **({} if _sets_log_format(props) else {"logging_format": lambda_.LoggingFormat.JSON}),
            **props,
            **self._async_settings(asynchronous),
            "environment": {
                "DLQ_TOPIC_ARN": self.dlq_topic.topic_arn,
                **props.get("environment", {}),
            },
        }
        _validate_layers(settings)
        _validate_environment(settings["environment"])
        self.timeout = settings["timeout"]
        function = lambda_.Function(self, "Function", **settings)
        resource = function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        # Lambda checks some of them when it creates the function.
        resource.node.add_dependency(self._grantee, *policies)
        if tracing != lambda_.Tracing.DISABLED:
            # Function(tracing=...) would add its permission to the role's other ones: see _allow.
            resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(
                mode="Active" if tracing == lambda_.Tracing.ACTIVE else "PassThrough"
            )
        checkov = {"CKV_AWS_116": _HAS_FAILURE_DESTINATIONS}
        if "reserved_concurrent_executions" not in props:
            checkov["CKV_AWS_115"] = _LIMITED_BY_SHARDS
        # W3005: CDK makes every function depend on its role, and name the role as well.
        acknowledge_in_template(resource, checkov=checkov, cfn_lint=("W3005",))
        return function

    def _create_role(self) -> iam.Role:
        # Not CDK's role, which has AWSLambdaBasicExecutionRole, which may write to every log group of the account.
        return iam.Role(
            self,
            "Role",
            description="Stream processor",
            # Not aws:SourceArn: its value while a mapping reads the stream is not documented
            # (lambda/latest/dg/permissions-managed-policies.html).
            assumed_by=scoped_service_principal(
                "lambda.amazonaws.com", StackContext.of(self).account
            ),
        )

    def _grant_function(self, props: Mapping[str, Any]) -> list[iam.Policy]:
        """What the function itself needs; returns the policies that are not the role's own."""
        assert self._grantee is not None
        props["log_group"].grant_write(self._grantee)
        grant_publish(self, "StreamProcessor.dlq_topic", self.dlq_topic, self._grantee)
        grant_key(props["environment_encryption"], self._grantee, "kms:Decrypt")
        actions = {
            "Tracing": ()
            if props.get("tracing") == lambda_.Tracing.DISABLED
            else ("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
            "Vpc": _VPC_ACTIONS if "vpc" in props else (),
        }
        return [self._allow(id, allowed) for id, allowed in actions.items() if allowed]

    def _allow(self, id: str, actions: tuple[str, ...]) -> iam.Policy:
        """Allow actions on every resource, in a separate policy: its acknowledgment covers nothing else."""
        assert self._grantee is not None
        statement = iam.PolicyStatement(actions=list(actions), resources=["*"])
        policy = iam.Policy(self, id, roles=[self._grantee], statements=[statement])
        acknowledge_rules(
            policy,
            {
                "AwsSolutions-IAM5[Resource::*]": "these actions do not support resource-level permissions "
                "(docs.aws.amazon.com/service-authorization/latest/reference/)"
            },
        )
        return policy

    def _create_log_group(
        self, function_name: str, retention: logs.RetentionDays | None
    ) -> logs.LogGroup:
        generated = naming.is_generated(function_name)
        name = None if generated else f"/aws/lambda/{function_name}"
        grant_log_group(self, self._key, name if name is not None else "*")
        return logs.LogGroup(
            self,
            "Logs",
            log_group_name=name,
            encryption_key=self._key,
            retention=retention
            if retention is not None
            else logs.RetentionDays[defaults.LOG_RETENTION],
            removal_policy=self._policy,
        )

    def _use_function(
        self, function: lambda_.IFunction, asynchronous: dict[str, Any]
    ) -> lambda_.IFunction:
        self._grantee = role_for_grants(self, function.role) if function.role is not None else None
        if self._grantee is None:
            warn(
                self,
                FUNCTION_ROLE_UNKNOWN,
                f"the role of {function.node.path!r} is not known; let it read the stream and publish to the DLQ "
                "topic, or import the function with from_function_attributes(role=...)",
            )
        else:
            grant_publish(self, "StreamProcessor.dlq_topic", self.dlq_topic, self._grantee)
        self._configure_async_invoke(function, asynchronous)
        return function

    def _configure_async_invoke(
        self, function: lambda_.IFunction, asynchronous: dict[str, Any]
    ) -> None:
        """In the processor's stack: the function's may be one that the processor's refers to.

        A function that has a configuration keeps it, and an imported one may have one.
        """
        qualifier, target = None, function
        if isinstance(function, lambda_.Alias):
            qualifier, target = function.alias_name, function.lambda_
        elif isinstance(function, lambda_.Version):
            qualifier, target = function.version, function.lambda_
        if (
            not isinstance(target, lambda_.Function)
            or function in _CONFIGURED
            or function.node.try_find_child("EventInvokeConfig") is not None
        ):
            validate_mutually_exclusive(
                "function",
                {
                    keyword if keyword == "max_event_age" else f"async_{keyword}": value
                    for keyword, value in asynchronous.items()
                },
                f"{function.node.path!r} is imported or has a configuration for asynchronous invocations already; "
                "change it there",
            )
            return
        _CONFIGURED.add(function)
        config = lambda_.EventInvokeConfig(
            self,
            "EventInvokeConfig",
            function=target,
            qualifier=qualifier,
            **self._async_settings(asynchronous),
        )
        assert self._grantee is not None
        config.node.add_dependency(self._grantee)

    def _async_settings(self, asynchronous: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "on_failure": _AsyncDestination(self.dlq_topic.topic_arn),
            "retry_attempts": defaults.ASYNC_RETRY_ATTEMPTS,
            "max_event_age": cdk.Duration.seconds(defaults.MAX_EVENT_AGE_SECONDS),
            **{k: v for k, v in asynchronous.items() if v is not None},
        }

    def _validate_function(
        self, function: lambda_.IFunction | None, props: Mapping[str, Any]
    ) -> None:
        if function is None:
            if "code" not in props:
                raise TypeError(
                    "StreamProcessor() needs code= or function=: pass code=lambda_.Code.from_asset('folder')"
                )
            return
        validate_mutually_exclusive(
            "function",
            props,
            "your function has its properties already; remove one of the two",
        )

    # --- failures

    def _resolve_dlq(
        self, topic: sns.ITopic | None, name: str | None
    ) -> tuple[sns.ITopic, sqs.Queue | None]:
        if topic is None:
            return create_dlq(
                self, names=self._names, name=name, key=self._key, removal_policy=self._policy
            )
        validate_mutually_exclusive(
            "dlq_topic", {"dlq_name": name}, "your topic has its name; remove dlq_name"
        )
        validate_standard_topic("dlq_topic", topic)
        return topic, None

    def _failure_destination(
        self,
        on_failure: FailureDestination | None,
    ) -> lambda_.IEventSourceDlq:
        if on_failure is None:  # the role may publish to it already
            return _MappingDestination(self.dlq_topic.topic_arn)
        if implements(on_failure, sns.ITopic):
            topic: sns.ITopic = on_failure  # type: ignore[assignment]
            validate_standard_topic("on_failure", topic)
            if self._grantee is not None:
                grant_publish(self, "StreamProcessor.on_failure", topic, self._grantee)
            return _MappingDestination(topic.topic_arn)
        if implements(on_failure, sqs.IQueue):
            queue: sqs.IQueue = on_failure  # type: ignore[assignment]
            if queue.fifo:
                raise ValueError(
                    f"on_failure={queue.node.path!r} is a FIFO queue, which Lambda does not support; pass a standard "
                    f"queue ({_DESTINATIONS})"
                )
            if self._grantee is not None:
                queue.grant_send_messages(self._grantee)
            return _MappingDestination(queue.queue_arn)
        if implements(on_failure, s3.IBucket):
            return self._bucket_destination(on_failure)  # type: ignore[arg-type]
        return on_failure  # type: ignore[return-value]

    def _bucket_destination(self, bucket: s3.IBucket) -> lambda_.IEventSourceDlq:
        self._notify_dlq(bucket)
        if self._grantee is not None:
            # CDK's S3OnFailureDestination grants read, write and delete on everything.
            objects = bucket.arn_for_objects(f"{_FAILED_BATCHES_PREFIX}*")
            for action, resource in (
                ("s3:PutObject", objects),
                ("s3:ListBucket", bucket.bucket_arn),
            ):
                self._grantee.add_to_principal_policy(
                    iam.PolicyStatement(actions=[action], resources=[resource])
                )
            reason = (
                f"Lambda generates the names of the objects under this prefix ({_DESTINATIONS})"
            )
            acknowledge_rules(self._grantee, {wildcard_rule(self, objects): reason})
            grant_key(bucket.encryption_key, self._grantee, "kms:GenerateDataKey")
        return _MappingDestination(bucket.bucket_arn)

    def _notify_dlq(self, bucket: s3.IBucket) -> None:
        """No alarm fires for an object in a bucket; one does for a message on the DLQ."""
        topic = self._failed_batches_topic()
        stack = StackContext.of(self)
        topic_is_here = StackContext.of(topic) is stack
        arn = bucket.bucket_arn
        if not topic_is_here:
            name = known_name(bucket)
            if name is not None:
                arn = f"arn:{stack.partition}:s3:::{name}"
            else:
                refer(topic, "StreamProcessor.on_failure", bucket)
        added = topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[
                    iam.ServicePrincipal(
                        _S3,
                        conditions={
                            "ArnLike": {"aws:SourceArn": arn},
                            "StringEquals": {"aws:SourceAccount": stack.account},
                        },
                    )
                ],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
            )
        )
        if not added.statement_added:
            warn(
                self,
                TOPIC_POLICY_NOT_CHANGED,
                f"cannot change the policy of the imported dlq_topic={topic.node.path!r}; make sure that it allows "
                f"{_S3} sns:Publish",
            )
        if topic.master_key is not None:  # userguide/grant-destinations-permissions-to-s3.html
            grant_service_principal(
                self, topic.master_key, _S3, ("kms:Decrypt", "kms:GenerateDataKey")
            )
        if StackContext.of(bucket) is not stack:
            # Its stack may not refer to the topic, since the mapping refers to the bucket.
            bucket = s3.Bucket.from_bucket_arn(self, "FailedBatches", bucket.bucket_arn)
        allowed = added.policy_dependable if topic_is_here else None
        bucket.add_object_created_notification(
            _NotificationDestination(topic.topic_arn, allowed),  # type: ignore[arg-type]
            s3.NotificationKeyFilter(prefix=_FAILED_BATCHES_PREFIX),
        )
        _acknowledge_notifications(bucket)

    def _failed_batches_topic(self) -> sns.ITopic:
        """A topic that leaves out ``s3:TestEvent``, which S3 sends when a notification is configured.

        The DLQ's own subscription has no filter: a filter drops every message that is not JSON
        (sns/latest/dg/message-filtering.html).
        """
        if self.dlq_queue is None:
            return self.dlq_topic
        generated = naming.is_generated(self._dlq_name)
        name = self._names.physical_name(
            naming.TOPIC,
            f"{self._dlq_name}-batches"
            if self._dlq_name is not None and not generated
            else self._dlq_name,
            defaults.FAILED_BATCHES_NAME,
            "dlq_name",
        )
        topic = create_topic(self, "FailedBatchesTopic", name=name, key=self._key)
        no_test_event = {
            "Event": sns.FilterOrPolicy.filter(sns.SubscriptionFilter.not_exists_filter())
        }
        subscribe_queue(
            self,
            "FailedBatchesSubscription",
            topic,
            self.dlq_queue,
            self._key,
            message_filter=no_test_event,
        )
        return topic

    def _acknowledge_rules(self, props: Mapping[str, Any], *, own_dlq: bool) -> None:
        packs = ("HIPAA.Security", "NIST.800.53.R5")
        rules = dict.fromkeys(
            (*(f"{pack}-LambdaDLQ" for pack in packs), "Serverless-LambdaDLQ"),
            _HAS_FAILURE_DESTINATIONS,
        )
        if not own_dlq:
            rules.update(DLQ_WITHOUT_REDRIVE_POLICY)
        if "reserved_concurrent_executions" not in props:
            rules.update(
                dict.fromkeys((f"{pack}-LambdaConcurrency" for pack in packs), _LIMITED_BY_SHARDS)
            )
        acknowledge_rules(self, rules)

    # --- event source mapping

    def _create_mapping(
        self,
        source: kinesis.IStream | kinesis.IStreamConsumer,
        on_failure: FailureDestination | None,
        props: dict[str, Any],
    ) -> lambda_.EventSourceMapping:
        wrong = sorted(_NOT_FOR_KINESIS & props.keys())
        if wrong:
            raise ValueError(
                f"{wrong[0]}={props[wrong[0]]!r} is not for a Kinesis stream; remove {wrong[0]}"
            )
        if props.get("filters") == []:
            raise ValueError("filters=[]: pass at least one filter, or remove filters")
        self.stream: kinesis.IStream
        """The stream that it reads."""
        arn, self.stream = self._grant_source(source)
        self.max_record_age: cdk.Duration = self._record_age(
            self.stream, props.get("max_record_age")
        )
        """The age at which Lambda discards a record and sends it to the failure destination."""
        settings = {
            "starting_position": lambda_.StartingPosition.TRIM_HORIZON,
            "batch_size": defaults.BATCH_SIZE,
            "max_batching_window": cdk.Duration.seconds(defaults.MAX_BATCHING_WINDOW_SECONDS),
            "parallelization_factor": defaults.PARALLELIZATION_FACTOR,
            "bisect_batch_on_error": defaults.BISECT_BATCH_ON_ERROR,
            "report_batch_item_failures": defaults.REPORT_BATCH_ITEM_FAILURES,
            "retry_attempts": defaults.RETRY_ATTEMPTS,
            "metrics_config": lambda_.MetricsConfig(metrics=[lambda_.MetricType.EVENT_COUNT]),
            **props,
            "max_record_age": self.max_record_age,
            "on_failure": self._failure_destination(on_failure),
        }
        self.emits_event_counts: bool = (
            lambda_.MetricType.EVENT_COUNT in settings["metrics_config"].metrics
        )
        """Whether the event source mapping emits metrics, which ``metrics_config`` can turn off."""
        mapping = lambda_.EventSourceMapping(
            self, "Mapping", target=self.function, event_source_arn=arn, **settings
        )
        if self._grantee is not None:
            # Lambda checks at creation that the role may read the stream and reach the destination.
            mapping.node.add_dependency(self._grantee)
        add_reader(self.stream, mapping)
        return mapping

    def _grant_source(
        self, source: kinesis.IStream | kinesis.IStreamConsumer
    ) -> tuple[str, kinesis.IStream]:
        """The ARN to read from and the stream behind it, with the grants for both."""
        role = self._grantee
        if implements(source, kinesis.IStreamConsumer):
            consumer: kinesis.IStreamConsumer = source  # type: ignore[assignment]
            if role is not None:
                consumer.grant_read(role)
            return consumer.stream_consumer_arn, consumer.stream
        stream: kinesis.IStream = source  # type: ignore[assignment]
        if role is not None:
            grant_read_stream(stream, role, "kinesis:DescribeStreamSummary")
        return stream.stream_arn, stream

    def _record_age(self, stream: kinesis.IStream, requested: cdk.Duration | None) -> cdk.Duration:
        """Below the retention, so that a record reaches the failure destination before it expires."""
        retention = known_retention_seconds(stream)
        if requested is not None:
            age = seconds(requested)
            if retention is not None and age is not None and age >= retention:
                raise ValueError(
                    f"max_record_age of {age:g} s is not below the stream's retention of {retention:g} s, so a record "
                    "expires before it reaches the DLQ; lower max_record_age or raise the stream's retention_period"
                )
            return requested
        if isinstance(stream, MonitoredStream) and retention is not None:
            age = retention * defaults.RECORD_AGE_SHARE_OF_RETENTION
        elif retention is not None:
            age = retention * defaults.EXISTING_RECORD_AGE_SHARE
        else:
            age = defaults.LONGEST_RECORD_AGE_SECONDS
            warn(
                self,
                RETENTION_UNKNOWN,
                f"the retention of the stream {stream.node.path!r} is not known; pass max_record_age= below it, "
                "so that failing records reach the DLQ before they expire",
            )
        return cdk.Duration.seconds(min(int(age), defaults.LONGEST_RECORD_AGE_SECONDS))

    # --- what others use

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        """The function's principal: grant to the processor what its code does."""
        return self.function.grant_principal

    @property
    def role(self) -> iam.IRole | None:
        """The function's role; None for an imported function without one."""
        return self.function.role

    def metric_failed_events(self) -> cloudwatch.Metric:
        """Records whose invocation failed or that the function reported as failed, as a sum."""
        return self._mapping_metric("FailedInvokeEventCount")

    def metric_failed_batches(self) -> cloudwatch.Metric:
        """Records that Lambda sent to the failure destination, as a sum."""
        return self._mapping_metric("OnFailureDestinationDeliveredEventCount")

    def metric_dropped_events(self) -> cloudwatch.Metric:
        """Records that Lambda discarded without a message to the failure destination, as a sum."""
        return self._mapping_metric("DroppedEventCount")

    def metric_unprocessed_records(self) -> cloudwatch.MathExpression:
        """Records that arrived on the stream in 15 minutes in which none was invoked or filtered out; otherwise 0.

        A period alone means little: what arrives at its end is processed in the next one
        (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html).
        """
        account = other_account(self, self.stream)
        return cloudwatch.MathExpression(
            # Arithmetic takes missing values as 0, which FILL may not do for a metric that has no data at all, such as
            # those of a disabled mapping; records that arrived are there whenever this has to be above 0
            # (AmazonCloudWatch/latest/monitoring/using-metric-math.html).
            expression="IF(0 * arrived + invoked + filtered > 0, 0, arrived)",
            using_metrics={
                "arrived": self.stream.metric("IncomingRecords", statistic="Sum", account=account),
                "invoked": self._mapping_metric("InvokedEventCount"),
                "filtered": self._mapping_metric("FilteredOutEventCount"),
            },
            label="Unprocessed records",
            period=cdk.Duration.minutes(defaults.UNPROCESSED_PERIOD_MINUTES),
        )

    def _mapping_metric(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name=name,
            dimensions_map={"EventSourceMappingUUID": self._mapping_id},
            statistic="Sum",
            period=period(),
        )


# CDK's destinations grant more than Lambda needs, and fail for an imported function without a role. The construct
# grants the permissions, so these have nothing but the ARN.
@jsii.implements(lambda_.IEventSourceDlq)
class _MappingDestination:
    def __init__(self, arn: str) -> None:
        self._arn = arn

    def bind(
        self, target: lambda_.IEventSourceMapping, target_handler: lambda_.IFunction
    ) -> lambda_.DlqDestinationConfig:
        return lambda_.DlqDestinationConfig(destination=self._arn)


@jsii.implements(s3.IBucketNotificationDestination)
class _NotificationDestination:
    """CDK's SnsDestination names the bucket in the topic's policy by a reference."""

    def __init__(self, arn: str, allowed: IDependable | None) -> None:
        self._arn = arn
        self._allowed = allowed

    def bind(self, scope: Construct, bucket: s3.IBucket) -> s3.BucketNotificationDestinationConfig:
        return s3.BucketNotificationDestinationConfig(
            arn=self._arn,
            type=s3.BucketNotificationDestinationType.TOPIC,
            dependencies=[self._allowed] if self._allowed is not None else None,
        )


@jsii.implements(lambda_.IDestination)
class _AsyncDestination:
    def __init__(self, arn: str) -> None:
        self._arn = arn

    def bind(
        self,
        scope: Construct,
        fn: lambda_.IFunction,
        *,
        type: lambda_.DestinationType,
    ) -> lambda_.DestinationConfig:
        return lambda_.DestinationConfig(destination=self._arn)


_CONFIGURED: Final[WeakSet[lambda_.IFunction]] = WeakSet()
"""Functions, versions and aliases with an EventInvokeConfig of this library: AWS allows one each."""


def _acknowledge_notifications(bucket: s3.IBucket) -> None:
    """For the handler that CDK adds to the stack of a bucket that has notifications."""
    notifications = bucket.node.find_child("Notifications")
    handler = StackContext.of(notifications).node.try_find_child(_NOTIFICATIONS_HANDLER)
    if handler is None:
        return
    function = handler.node.default_child
    assert isinstance(function, cdk.CfnResource)
    checkov = dict.fromkeys(("CKV_AWS_115", "CKV_AWS_116"), _CALLED_BY_CLOUDFORMATION)
    acknowledge_in_template(function, checkov=checkov, cfn_lint=("W3005",))
    role = handler.node.try_find_child("Role")
    if role is not None:
        policy = iam.ManagedPolicy.from_aws_managed_policy_name(_BASIC_EXECUTION)
        rule = managed_policy_rule(role, policy.managed_policy_arn)
        acknowledge_rules(role, {rule: _WRITES_ITS_LOG})


def _sets_log_format(props: Mapping[str, Any]) -> bool:
    return "log_format" in props or "logging_format" in props


def _validate_environment(environment: Mapping[str, str]) -> None:
    wrong = [name for name in environment if not _VARIABLE.fullmatch(name)]
    if wrong:
        raise ValueError(
            f"environment: {wrong[0]!r} is not the name of an environment variable; begin it with a letter, and pass "
            "at least two letters, digits and underscores "
            "(https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html)"
        )


def _validate_layers(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for a layer that is declared for other architectures than the function's."""
    layers = settings.get("layers", ())
    architecture = settings["architecture"].name if layers else None
    for layer in layers:
        resource = layer.node.default_child
        if not isinstance(resource, lambda_.CfnLayerVersion):
            continue
        compatible = resource.compatible_architectures
        if compatible and architecture not in compatible:
            raise ValueError(
                f"layers: {layer.node.path!r} is for {', '.join(compatible)} and the function runs on {architecture}; "
                "pass architecture=lambda_.Architecture.X86_64, or a layer for both"
            )
