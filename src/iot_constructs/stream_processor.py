"""StreamProcessor: the function that reads the stream, and everything that catches what it cannot store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property

import aws_cdk as cdk
import jsii
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import MAXIMUM, SUM, period
from iot_constructs._dead_letters import (
    DEAD_LETTERS_END_HERE,
    check_standard_topic,
    create_dead_letters,
)
from iot_constructs._durations import of_seconds, seconds_of
from iot_constructs._encryption import allow_logs, key_for
from iot_constructs._findings import acknowledge, acknowledge_in_template, wildcard
from iot_constructs._grants import grant_key, grant_publish, grant_read_stream
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._principals import service_of_account
from iot_constructs._validate import check_alone, check_duration, check_whole_number
from iot_constructs._warnings import FAILED_BATCHES_NOT_ANNOUNCED, warn
from iot_constructs.environment import EnvironmentSuffix, data_removal_policy
from iot_constructs.monitored_stream import (
    SHORTEST_RETENTION_SECONDS,
    MonitoredStream,
    known_retention_seconds,
)
from iot_constructs.secure_data_bucket import SecureDataBucket

_FAILED_BATCHES_PREFIX = "aws/lambda/"  # where Lambda puts them (FACTS 2)

_HAS_DLQ_REASON = (
    "failures go to the DLQ topic: those of the stream by the mapping's failure destination, those of asynchronous "
    "invocations by the function's; a DeadLetterConfig sees only the latter (FACTS 1)"
)
_HAS_DLQ = dict.fromkeys(
    ("HIPAA.Security-LambdaDLQ", "NIST.800.53.R5-LambdaDLQ", "Serverless-LambdaDLQ"),
    _HAS_DLQ_REASON,
)
_BOUNDED_REASON = (
    "a stream calls its function at the most once at a time for each shard and parallelization factor; a limit "
    "below that makes the stream wait (FACTS 3)"
)
_BOUNDED = dict.fromkeys(
    ("HIPAA.Security-LambdaConcurrency", "NIST.800.53.R5-LambdaConcurrency"), _BOUNDED_REASON
)


class StreamProcessor(PipelineConstruct):
    """A Lambda function on a Kinesis stream that loses no record it cannot process (corrections 3 and 6).

    * A batch that keeps failing goes to the DLQ topic through the **event source mapping's** own failure
      destination: the function's asynchronous configuration never sees a Kinesis record (FACTS 1). That one is set
      too, for the times an operator invokes the function asynchronously.
    * The topic has an encrypted queue behind it that keeps messages for 14 days: a topic alone drops them (FACTS 6).
    * Retries and record age are bounded (AWS's defaults are for ever: one poison record blocks its shard until
      retention ends); a failing batch is bisected; only the records that the function reports are retried.
    * Reading starts at TRIM_HORIZON: LATEST can miss records while the mapping is created or updated (FACTS 3).
    * Its log group has an end to its retention, its role may write to that group and nothing else.

    Your function returns ``{"batchItemFailures": [{"itemIdentifier": <sequence number>}]}`` for what is to be
    retried (Lambda: services-kinesis-batchfailurereporting).

    Args:
        stream: the stream to read.
        code: the function's code.
        handler: module and function of the code, as ``module.function``.
        runtime: of the function; None means Python 3.14.
        environment: environment variables; ``DLQ_TOPIC_ARN`` is added unless you set it.
        layers: Lambda layers with what the code imports.
        function_name: stem; the function is called ``stem-suffix``.
        memory_size: 128 to 10240 MB, and CPU in proportion; None means 512.
        timeout: how long one invocation may take, 1 to 900 seconds; None means 60.
        reserved_concurrent_executions: invocations at a time that the account keeps for this function, which
            are also the most it gets; None reserves nothing.
        batch_size: records an invocation at the most, 1 to 10000; None means 100.
        max_batching_window: how long to gather a batch, 0 to 300 seconds; None means 5 seconds.
        parallelization_factor: concurrent batches a shard, 1 to 10; None means 1.
        bisect_batch_on_error: split a failing batch in two; None means True.
        report_batch_item_failures: retry only what the function reports; None means True.
        retry_attempts: how often a failing batch is retried, 0 to 10000; None means 10.
        max_record_age: how old a failing record may get before it is given up, 60 seconds to 7 days, and less than the
            stream's retention; None means 0.6 of the retention, which of an existing stream is taken to be 24 hours.
        max_event_age: how old the event of an asynchronous invocation may get, 60 seconds to 6 hours; None means
            6 hours.
        async_retry_attempts: how often a failed asynchronous invocation is retried, 0 to 2; None means 2.
        dlq_topic: an existing topic for failures; None makes a topic with its queue.
        dlq_name: stem of that topic and queue; None means ``iot-pipeline-dlq``.
        failed_batches: a bucket that gets whole failed batches, payload included, in place of the topic, which gets
            their sequence numbers only. A SecureDataBucket announces them on the topic.
        log_retention: how long log lines are kept; None means three months.
        encryption_key: for the log group and the DLQ; None takes the key that the stack shares.
        removal_policy: of log group and DLQ queue; None retains, except in an ephemeral stack.
        environment_suffix: None takes it from the surroundings.

    Raises:
        ValueError: a value out of range; record age not below the stream's retention; a FIFO topic;
            ``dlq_topic`` and ``dlq_name`` both; DESTROY in a stack that is not ephemeral; a name that is not
            allowed or is taken.

    Example::

        from aws_cdk import aws_lambda as lambda_
        from iot_constructs import MonitoredStream, StreamProcessor

        stream = MonitoredStream(stack, "Stream")
        code = lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")
        processor = StreamProcessor(stack, "Processor", stream=stream, code=code, handler="index.handler")
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: MonitoredStream | kinesis.IStream,
        code: lambda_.Code,
        handler: str = defaults.HANDLER,
        runtime: lambda_.Runtime | None = None,
        environment: Mapping[str, str] | None = None,
        layers: Sequence[lambda_.ILayerVersion] | None = None,
        function_name: str = defaults.FUNCTION_NAME,
        memory_size: int | None = None,
        timeout: cdk.Duration | None = None,
        reserved_concurrent_executions: int | None = None,
        batch_size: int | None = None,
        max_batching_window: cdk.Duration | None = None,
        parallelization_factor: int | None = None,
        bisect_batch_on_error: bool | None = None,
        report_batch_item_failures: bool | None = None,
        retry_attempts: int | None = None,
        max_record_age: cdk.Duration | None = None,
        max_event_age: cdk.Duration | None = None,
        async_retry_attempts: int | None = None,
        dlq_topic: sns.ITopic | None = None,
        dlq_name: str | None = None,
        failed_batches: SecureDataBucket | s3.IBucket | None = None,
        log_retention: logs.RetentionDays | None = None,
        encryption_key: kms.IKey | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        self._answer_scanners(
            limited=reserved_concurrent_executions is not None, own_dlq=dlq_topic is not None
        )
        self._policy = data_removal_policy(self, removal_policy)
        self._key = key_for(self, encryption_key, self._policy)

        self.dlq_topic, self.dlq_queue = self._resolve_dead_letters(dlq_topic, dlq_name)
        """Where what cannot be processed goes, and the queue behind it: None for a topic of your own."""
        physical_name = naming.physical_name(self, naming.FUNCTION, function_name, self._suffix)
        self.log_group = self._create_log_group(physical_name, log_retention)
        """The function's log group."""
        self.role = self._create_role()
        """The function's role: grant to it what your code does, for example on the tables."""
        self.function = self._create_function(
            physical_name,
            code=code,
            handler=handler,
            runtime=runtime,
            environment=environment,
            layers=layers,
            memory_size=memory_size,
            timeout=timeout,
            reserved_concurrent_executions=reserved_concurrent_executions,
            max_event_age=max_event_age,
            async_retry_attempts=async_retry_attempts,
        )
        """The function."""
        self.event_source_mapping = self._map_stream(
            stream,
            failed_batches=failed_batches,
            batch_size=batch_size,
            max_batching_window=max_batching_window,
            parallelization_factor=parallelization_factor,
            bisect_batch_on_error=bisect_batch_on_error,
            report_batch_item_failures=report_batch_item_failures,
            retry_attempts=retry_attempts,
            max_record_age=max_record_age,
        )
        """What polls the stream and invokes the function."""

    def _answer_scanners(self, *, limited: bool, own_dlq: bool) -> None:
        acknowledge(
            self,
            {
                **_HAS_DLQ,
                **({} if own_dlq else DEAD_LETTERS_END_HERE),
                **({} if limited else _BOUNDED),
            },
        )

    def _resolve_dead_letters(
        self, topic: sns.ITopic | None, name: str | None
    ) -> tuple[sns.ITopic, sqs.Queue | None]:
        if topic is None:
            return create_dead_letters(
                self,
                name=name if name is not None else defaults.DLQ_NAME,
                suffix=self._suffix,
                key=self._key,
                removal_policy=self._policy,
            )
        check_alone(
            "dlq_topic", (("dlq_name", name),), "an existing topic has its name; leave dlq_name out"
        )
        check_standard_topic("dlq_topic", topic)
        return topic, None

    def _create_log_group(
        self, function_name: str, retention: logs.RetentionDays | None
    ) -> logs.LogGroup:
        name = f"/aws/lambda/{function_name}"
        allow_logs(self, self._key, name)
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

    def _create_role(self) -> iam.Role:
        # A role of our own: the one that CDK makes comes with AWSLambdaBasicExecutionRole, which may write to
        # every log group of the account.
        role = iam.Role(
            self,
            "Role",
            description="Stream processor",
            # Not aws:SourceArn: what it holds while a mapping reads the stream is not documented
            # (lambda/latest/dg/permissions-managed-policies.html).
            assumed_by=service_of_account("lambda.amazonaws.com", self._place.account),
        )
        self.log_group.grant_write(role)
        grant_publish(self.dlq_topic, role)
        grant_key(self._key, role, "kms:Decrypt")  # the environment variables
        self._allow_tracing(role)
        return role

    def _allow_tracing(self, role: iam.Role) -> None:
        # A policy of its own, so that the acknowledgement hides no other "*" that is granted to the role.
        policy = iam.Policy(
            self,
            "Tracing",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]
                )
            ],
        )
        acknowledge(
            policy,
            {
                "AwsSolutions-IAM5[Resource::*]": "AWS X-Ray knows no resources for these two actions (FACTS 17)"
            },
        )

    def _create_function(
        self,
        name: str,
        *,
        code: lambda_.Code,
        handler: str,
        runtime: lambda_.Runtime | None,
        environment: Mapping[str, str] | None,
        layers: Sequence[lambda_.ILayerVersion] | None,
        memory_size: int | None,
        timeout: cdk.Duration | None,
        reserved_concurrent_executions: int | None,
        max_event_age: cdk.Duration | None,
        async_retry_attempts: int | None,
    ) -> lambda_.Function:
        memory = memory_size if memory_size is not None else defaults.MEMORY_MB
        check_whole_number("memory_size", memory, 128, 10_240, "Lambda quotas")
        self.timeout = timeout if timeout is not None else of_seconds(defaults.TIMEOUT_SECONDS)
        """How long one invocation may take."""
        check_duration("timeout", self.timeout, 1, 900, "Lambda quotas")
        event_age = (
            max_event_age
            if max_event_age is not None
            else of_seconds(defaults.MAX_EVENT_AGE_SECONDS)
        )
        check_duration(
            "max_event_age", event_age, 60, defaults.MAX_EVENT_AGE_SECONDS, "correction 6"
        )
        retries = (
            async_retry_attempts
            if async_retry_attempts is not None
            else defaults.ASYNC_RETRY_ATTEMPTS
        )
        check_whole_number("async_retry_attempts", retries, 0, 2, "correction 6")
        function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            description="Stores telemetry; sends what can never be stored to the DLQ topic",
            code=code,
            handler=handler,
            runtime=runtime if runtime is not None else _python(),
            architecture=_arm(),
            memory_size=memory,
            timeout=self.timeout,
            environment={"DLQ_TOPIC_ARN": asked.topic_arn(self.dlq_topic), **(environment or {})},
            environment_encryption=self._key,
            layers=list(layers) if layers is not None else None,
            reserved_concurrent_executions=reserved_concurrent_executions,
            role=self.role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            max_event_age=event_age,
            retry_attempts=retries,
            on_failure=destinations.SnsDestination(self._failure_topic),
        )
        resource = function.node.default_child
        if not isinstance(resource, lambda_.CfnFunction):
            raise TypeError("Function of this aws-cdk-lib is not an AWS::Lambda::Function")
        # Function(tracing=...) would add its permission to the role's other ones: see _allow_tracing.
        resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode="Active")
        checkov = {"CKV_AWS_116": _HAS_DLQ_REASON}
        if reserved_concurrent_executions is None:
            checkov["CKV_AWS_115"] = _BOUNDED_REASON
        # W3005: CDK has every function wait for its role, and name the role as well.
        acknowledge_in_template(resource, checkov=checkov, cfn_lint=("W3005",))
        return function

    @cached_property
    def _failure_topic(self) -> sns.ITopic:
        """The DLQ topic without its key, for CDK's destinations would grant ``kms:GenerateDataKey*`` on that.

        What they grant on the topic is what the role has already, so it changes nothing.
        """
        return sns.Topic.from_topic_arn(self, "FailureTopic", asked.topic_arn(self.dlq_topic))

    def _map_stream(
        self,
        stream: MonitoredStream | kinesis.IStream,
        *,
        failed_batches: SecureDataBucket | s3.IBucket | None,
        batch_size: int | None,
        max_batching_window: cdk.Duration | None,
        parallelization_factor: int | None,
        bisect_batch_on_error: bool | None,
        report_batch_item_failures: bool | None,
        retry_attempts: int | None,
        max_record_age: cdk.Duration | None,
    ) -> lambda_.EventSourceMapping:
        size = batch_size if batch_size is not None else defaults.BATCH_SIZE
        check_whole_number("batch_size", size, 1, defaults.MAX_BATCH_SIZE, "FACTS 3")
        window = (
            max_batching_window
            if max_batching_window is not None
            else of_seconds(defaults.MAX_BATCHING_WINDOW_SECONDS)
        )
        check_duration(
            "max_batching_window",
            window,
            0,
            defaults.LONGEST_BATCHING_WINDOW_SECONDS,
            "correction 3, FACTS 3",
        )
        factor = (
            parallelization_factor
            if parallelization_factor is not None
            else defaults.PARALLELIZATION_FACTOR
        )
        check_whole_number(
            "parallelization_factor", factor, 1, defaults.MAX_PARALLELIZATION_FACTOR, "FACTS 3"
        )
        retries = retry_attempts if retry_attempts is not None else defaults.RETRY_ATTEMPTS
        check_whole_number(
            "retry_attempts", retries, 0, defaults.MAX_RETRY_ATTEMPTS, "-1 is for ever, FACTS 3"
        )
        self.max_record_age = _record_age(stream, max_record_age)
        """At which age a record is given up and sent to the failure destination."""
        source = stream.stream if isinstance(stream, MonitoredStream) else stream
        grant_read_stream(source, self.role, "kinesis:DescribeStreamSummary")
        mapping = lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self.function,
            event_source_arn=asked.stream_arn(source),
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=size,
            max_batching_window=window,
            parallelization_factor=factor,
            bisect_batch_on_error=(
                bisect_batch_on_error
                if bisect_batch_on_error is not None
                else defaults.BISECT_BATCH_ON_ERROR
            ),
            report_batch_item_failures=(
                report_batch_item_failures
                if report_batch_item_failures is not None
                else defaults.REPORT_BATCH_ITEM_FAILURES
            ),
            retry_attempts=retries,
            max_record_age=self.max_record_age,
            metrics_config=lambda_.MetricsConfig(metrics=[lambda_.MetricType.EVENT_COUNT]),
            on_failure=self._failure_destination(failed_batches),
        )
        # Lambda checks at creation that the role may read the stream and reach the destination.
        mapping.node.add_dependency(self.role)
        return mapping

    def _failure_destination(
        self, failed_batches: SecureDataBucket | s3.IBucket | None
    ) -> lambda_.IEventSourceDlq:
        if failed_batches is None:
            return sources.SnsDlq(self._failure_topic)
        bucket = self._announce(failed_batches)
        # Just what Lambda needs; CDK's S3OnFailureDestination grants read, write and delete on everything (FACTS 2).
        objects = bucket.arn_for_objects(f"{_FAILED_BATCHES_PREFIX}*")
        self.role.add_to_policy(iam.PolicyStatement(actions=["s3:PutObject"], resources=[objects]))
        self.role.add_to_policy(
            iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn])
        )
        acknowledge(
            self.role,
            {
                wildcard(
                    self, objects
                ): "Lambda makes the names of the objects under this prefix (FACTS 2)"
            },
        )
        grant_key(asked.key_of(bucket), self.role, "kms:GenerateDataKey")
        return _BucketDestination(bucket.bucket_arn)

    def _announce(self, failed_batches: SecureDataBucket | s3.IBucket) -> s3.IBucket:
        """Have the bucket say on the DLQ topic that it got a batch: an object in a bucket alarms nobody."""
        if isinstance(failed_batches, SecureDataBucket):
            failed_batches.announce_new_objects(self.dlq_topic, prefix=_FAILED_BATCHES_PREFIX)
            return failed_batches.bucket
        warn(
            self,
            FAILED_BATCHES_NOT_ANNOUNCED,
            f"failed batches in {failed_batches.node.path!r} are not announced on the DLQ topic: pass a "
            f"SecureDataBucket, or have the bucket notify the topic of new objects under {_FAILED_BATCHES_PREFIX!r}",
        )
        return failed_batches

    @property
    def function_name(self) -> str:
        """The physical name."""
        return asked.function_name(self.function)

    @property
    def function_arn(self) -> str:
        """The ARN."""
        return self.function.function_arn

    def grant_invoke(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``Function.grant_invoke``."""
        return self.function.grant_invoke(identity)

    def metric_errors(self) -> cloudwatch.Metric:
        """Invocations that raised or timed out, as a sum. Records reported as failed are not among them."""
        return self.function.metric_errors(statistic=SUM, period=period())

    def metric_throttles(self) -> cloudwatch.Metric:
        """Invocations refused for lack of concurrency, as a sum."""
        return self.function.metric_throttles(statistic=SUM, period=period())

    def metric_duration(self) -> cloudwatch.Metric:
        """The slowest invocation, in milliseconds."""
        return self.function.metric_duration(statistic=MAXIMUM, period=period())

    def metric_iterator_age(self) -> cloudwatch.Metric:
        """How old the last record of a batch was when it was processed, in milliseconds."""
        return self.function.metric("IteratorAge", statistic=MAXIMUM, period=period())

    def metric_destination_delivery_failures(self) -> cloudwatch.Metric:
        """Failure records that Lambda could not deliver, as a sum: the last chance to see them."""
        return self.function.metric("DestinationDeliveryFailures", statistic=SUM, period=period())

    def metric_async_events_dropped(self) -> cloudwatch.Metric:
        """Asynchronous invocations that Lambda gave up, as a sum."""
        return self.function.metric("AsyncEventsDropped", statistic=SUM, period=period())

    def metric_failed_events(self) -> cloudwatch.Metric:
        """Records whose invocation failed or that the function reported as failed, as a sum."""
        return self._mapping_metric("FailedInvokeEventCount")

    def metric_failed_batches(self) -> cloudwatch.Metric:
        """Records sent to the failure destination, as a sum."""
        return self._mapping_metric("OnFailureDestinationDeliveredEventCount")

    def metric_dropped_events(self) -> cloudwatch.Metric:
        """Records given up without reaching the failure destination, as a sum."""
        return self._mapping_metric("DroppedEventCount")

    def _mapping_metric(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name=name,
            dimensions_map={"EventSourceMappingUUID": asked.mapping_id(self.event_source_mapping)},
            statistic=SUM,
            period=period(),
        )


@cache
def _python() -> lambda_.Runtime:
    return lambda_.Runtime.PYTHON_3_14


@cache
def _arm() -> lambda_.Architecture:
    return lambda_.Architecture.ARM_64


@jsii.implements(lambda_.IEventSourceDlq)
class _BucketDestination:
    """A bucket's ARN as the mapping's failure destination; the permissions are granted by the construct."""

    def __init__(self, arn: str) -> None:
        self._arn = arn

    def bind(
        self, target: lambda_.IEventSourceMapping, target_handler: lambda_.IFunction
    ) -> lambda_.DlqDestinationConfig:
        return lambda_.DlqDestinationConfig(destination=self._arn)


def _record_age(
    stream: MonitoredStream | kinesis.IStream, requested: cdk.Duration | None
) -> cdk.Duration:
    """The age at which a record is given up: always before the stream drops it, so that it can be redriven."""
    known = known_retention_seconds(stream) if isinstance(stream, MonitoredStream) else None
    if requested is None:
        retention = known if known is not None else SHORTEST_RETENTION_SECONDS
        age = int(retention * defaults.RECORD_AGE_SHARE_OF_RETENTION)
        return of_seconds(min(age, defaults.LONGEST_RECORD_AGE_SECONDS))
    check_duration(
        "max_record_age",
        requested,
        defaults.SHORTEST_RECORD_AGE_SECONDS,
        defaults.LONGEST_RECORD_AGE_SECONDS,
        "FACTS 3",
    )
    seconds = seconds_of(requested)
    if known is not None and seconds is not None and seconds >= known:
        raise ValueError(
            f"max_record_age of {seconds:g} s is not below the stream's retention of {known:g} s: a record would "
            "be dropped before it is sent to the DLQ; shorten max_record_age or raise the stream's retention_period"
        )
    return requested
