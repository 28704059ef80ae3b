"""StreamArchive: every raw record of the stream, as compressed lines in the bucket."""

from __future__ import annotations

from functools import cache

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import MAXIMUM, SECONDS, create_alarm, period
from iot_constructs._durations import of_seconds, seconds_of
from iot_constructs._encryption import allow_logs, key_for
from iot_constructs._findings import acknowledge, wildcard
from iot_constructs._grants import grant_key, grant_read_stream
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._principals import service_where
from iot_constructs._sizes import mebibytes_of, of_mebibytes
from iot_constructs._validate import check_duration, check_whole_number
from iot_constructs.environment import EnvironmentSuffix, data_removal_policy
from iot_constructs.monitored_stream import MonitoredStream
from iot_constructs.secure_data_bucket import SecureDataBucket

_LOG_GROUP_PREFIX = "/aws/kinesisfirehose/"  # where the console looks for it
_UNUSED_MAPPING = "@aws-cdk--aws-kinesisfirehose.CidrBlocks"
_S3_BUCKET_ACTIONS = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads")
_S3_OBJECT_ACTIONS = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")

_SOURCE_IS_ENCRYPTED = {
    "AwsSolutions-KDF1": "Firehose stores nothing of a stream that it reads from Kinesis and refuses encryption of its "
    "own for it; the source is encrypted (FACTS 17)"
}
_OBJECTS_OF_ONE_BUCKET = (
    "the objects of one bucket: their names hold the time at which they are made (FACTS 14)"
)


class StreamArchive(PipelineConstruct):
    """A Firehose stream that keeps what came, as it came: gzip, one record a line, a prefix per hour.

    * Compression is none by default and records run together without newlines: both are set (FACTS 14).
    * Prefixes are Hive-style (``year=/month=/day=/hour=``, UTC), so that Athena reads only the hours it needs;
      what Firehose could not deliver goes under ``errors/`` and its reason.
    * Large buffers: objects under 128 KB are not moved to cheaper storage and are slow to query (FACTS 7).
    * An alarm when the oldest undelivered record is older than three buffer intervals.
    * Its own log group, with an end to its retention.
    * Its own role, with what Firehose documents: CDK's may also delete what is archived.

    Args:
        stream: what to archive.
        bucket: where to; SecureDataBucket or any bucket.
        archive_name: stem; Firehose stream and log group are called ``stem-suffix``.
        buffering_interval: how long Firehose gathers an object, 0 to 900 seconds; None means 300 seconds.
        buffering_size: how much it gathers at the most, before compression, 1 to 128 MiB; None means 128 MiB.
        freshness_threshold: how old the oldest undelivered record may be before the alarm, more than the buffering
            interval; None means three times the buffering interval, at least 5 minutes.
        alarm_name_prefix: the alarm is called ``prefix-firehose-freshness-suffix``; give a second archive of one
            environment another one.
        log_retention: how long log lines are kept; None means three months.
        encryption_key: for the log group; None takes the key that the stack shares.
        removal_policy: of the log group; None retains, except in an ephemeral stack.
        environment_suffix: None takes it from the surroundings.

    Raises:
        ValueError: a value out of range; a freshness threshold that normal buffering would breach; DESTROY in a
            stack that is not ephemeral; a name that breaks Firehose's rules or is taken.

    Example::

        from iot_constructs import SecureDataBucket, StreamArchive

        archive = StreamArchive(stack, "Archive", stream=stream, bucket=SecureDataBucket(stack, "Data"))
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: MonitoredStream | kinesis.IStream,
        bucket: SecureDataBucket | s3.IBucket,
        archive_name: str = defaults.ARCHIVE_NAME,
        buffering_interval: cdk.Duration | None = None,
        buffering_size: cdk.Size | None = None,
        freshness_threshold: cdk.Duration | None = None,
        alarm_name_prefix: str = defaults.ALARM_NAME_PREFIX,
        log_retention: logs.RetentionDays | None = None,
        encryption_key: kms.IKey | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        source = stream.stream if isinstance(stream, MonitoredStream) else stream
        target = bucket.bucket if isinstance(bucket, SecureDataBucket) else bucket
        objects = target.arn_for_objects("*")
        acknowledge(self, {**_SOURCE_IS_ENCRYPTED, wildcard(self, objects): _OBJECTS_OF_ONE_BUCKET})
        interval = (
            buffering_interval
            if buffering_interval is not None
            else of_seconds(defaults.BUFFERING_INTERVAL_SECONDS)
        )
        check_duration(
            "buffering_interval",
            interval,
            0,
            defaults.LONGEST_BUFFERING_INTERVAL_SECONDS,
            "FACTS 14",
        )
        size = (
            buffering_size
            if buffering_size is not None
            else of_mebibytes(defaults.BUFFERING_SIZE_MIB)
        )
        check_whole_number(
            "buffering_size in MiB",
            mebibytes_of(size),
            1,
            defaults.LARGEST_BUFFERING_MIB,
            "FACTS 14",
        )
        freshness = _freshness_seconds(interval, freshness_threshold)

        name = naming.physical_name(self, naming.DELIVERY_STREAM, archive_name, self._suffix)
        policy = data_removal_policy(self, removal_policy)
        self.log_group = self._create_log_group(
            name, key_for(self, encryption_key, policy), log_retention, policy
        )
        """What Firehose says of deliveries that fail."""
        self.role = self._create_role()
        """What Firehose works with; grant to it, not to ``delivery_stream``, what a key of yours asks for."""
        may_read = self._grant(source, target, objects)
        self.delivery_stream = self._create_delivery_stream(name, source, target, interval, size)
        """The Firehose stream."""
        # Firehose tries at creation whether it may read the stream.
        may_read.apply_before(self.delivery_stream)
        self._apply_to_log_streams(policy)
        self.freshness_alarm = self._create_freshness_alarm(
            alarm_name_prefix, name, freshness, derived=freshness_threshold is None
        )
        """A record waits too long for the archive."""

    def _create_log_group(
        self,
        name: str,
        key: kms.IKey,
        retention: logs.RetentionDays | None,
        policy: cdk.RemovalPolicy,
    ) -> logs.LogGroup:
        log_group_name = f"{_LOG_GROUP_PREFIX}{name}"
        allow_logs(self, key, log_group_name)
        return logs.LogGroup(
            self,
            "Logs",
            log_group_name=log_group_name,
            encryption_key=key,
            retention=retention
            if retention is not None
            else logs.RetentionDays[defaults.LOG_RETENTION],
            removal_policy=policy,
        )

    def _create_role(self) -> iam.Role:
        return iam.Role(
            self,
            "Role",
            description="Stream archive",
            # Firehose sends the account as external id (AmazonCloudWatch/latest/logs/CreateFirehoseStream.html); of
            # aws:SourceArn and aws:SourceAccount its guide says nothing.
            assumed_by=service_where(
                "firehose.amazonaws.com", "sts:ExternalId", self._place.account
            ),
        )

    def _grant(self, source: kinesis.IStream, target: s3.IBucket, objects: str) -> iam.Grant:
        """What Firehose documents (F controlling-access.html#using-iam-s3); returns the last of the grants."""
        grant_key(asked.key_of(target), self.role, "kms:Decrypt", "kms:GenerateDataKey")
        for actions, resource in (
            (_S3_BUCKET_ACTIONS, target.bucket_arn),
            (_S3_OBJECT_ACTIONS, objects),
            (("logs:PutLogEvents",), self.log_group.log_group_arn),
        ):
            iam.Grant.add_to_principal(
                grantee=self.role, actions=list(actions), resource_arns=[resource]
            )
        return grant_read_stream(source, self.role)

    def _create_delivery_stream(
        self,
        name: str,
        source: kinesis.IStream,
        target: s3.IBucket,
        interval: cdk.Duration,
        size: cdk.Size,
    ) -> firehose.DeliveryStream:
        # CDK would let its own roles delete and list everything in the bucket, and more.
        role = self.role.without_policy_updates()
        stack_node = self._place.node
        had_mapping = stack_node.try_find_child(_UNUSED_MAPPING) is not None
        delivery_stream = firehose.DeliveryStream(
            self,
            "DeliveryStream",
            delivery_stream_name=name,
            role=role,
            source=firehose.KinesisStreamSource(source),
            destination=firehose.S3Bucket(
                target,
                role=role,
                buffering_interval=interval,
                buffering_size=size,
                compression=_gzip(),
                data_output_prefix=defaults.DATA_PREFIX,
                error_output_prefix=defaults.ERROR_PREFIX,
                processors=[_lines()],
                encryption_key=asked.key_of(target),
                logging_config=firehose.EnableLogging(self.log_group),
            ),
        )
        if not had_mapping:
            # Addresses of Firehose in every region, for destinations in a VPC: CDK adds them to any stack with a
            # delivery stream, and its own validation then warns that nobody uses them (W7001). Nobody can here: a
            # bucket has no security group to open.
            stack_node.try_remove_child(_UNUSED_MAPPING)
        return delivery_stream

    def _apply_to_log_streams(self, policy: cdk.RemovalPolicy) -> None:
        """CDK retains the log stream it makes for Firehose, whatever becomes of its group."""
        for child in self.log_group.node.children:
            if isinstance(child, logs.LogStream):
                child.apply_removal_policy(policy)

    def _create_freshness_alarm(
        self, prefix: str, name: str, seconds: float, *, derived: bool
    ) -> cloudwatch.Alarm:
        derived_from = f"{defaults.FRESHNESS_INTERVALS} buffering intervals, or one alarm period"
        return create_alarm(
            self,
            "FreshnessAlarm",
            name=f"{prefix}-firehose-freshness",
            suffix=self._suffix,
            metric=self.metric_data_freshness(),
            threshold=seconds,
            what="The oldest record that is not yet in the archive is too old.",
            cost="What Firehose has not read when the stream's retention ends is missing from the archive.",
            first=f"read the log group {_LOG_GROUP_PREFIX}{name}; look for access denied on bucket or key.",
            scale=SECONDS,
            derived_from=derived_from if derived else None,
        )

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """The alarms of this archive."""
        return [self.freshness_alarm]

    @property
    def delivery_stream_name(self) -> str:
        """The physical name."""
        return self.delivery_stream.delivery_stream_name

    @property
    def delivery_stream_arn(self) -> str:
        """The ARN."""
        return self.delivery_stream.delivery_stream_arn

    def grant(self, identity: iam.IGrantable, *actions: str) -> iam.Grant:
        """As ``DeliveryStream.grant``."""
        return self.delivery_stream.grant(identity, *actions)

    def metric_data_freshness(self) -> cloudwatch.Metric:
        """Age of the oldest record that is not delivered yet, in seconds."""
        return self.delivery_stream.metric(
            "DeliveryToS3.DataFreshness", statistic=MAXIMUM, period=period()
        )


@cache
def _gzip() -> firehose.Compression:
    return firehose.Compression.GZIP


@cache
def _lines() -> firehose.IDataProcessor:
    return firehose.AppendDelimiterToRecordProcessor()


def _freshness_seconds(interval: cdk.Duration, requested: cdk.Duration | None) -> float:
    """The alarm's threshold, above the buffering interval: a buffer that fills for its time is no incident."""
    buffered = seconds_of(interval)
    if requested is not None:
        age = seconds_of(requested)
        if age is None:
            return requested.to_seconds()
        if buffered is not None and age <= buffered:
            raise ValueError(
                f"freshness_threshold of {age:g} s is not above the buffering interval of {buffered:g} s, so the alarm "
                "would fire in normal operation; raise it or leave it out"
            )
        return age
    longest = buffered if buffered is not None else defaults.LONGEST_BUFFERING_INTERVAL_SECONDS
    shortest = defaults.ALARM_PERIOD_MINUTES * 60  # an interval of 0 must not make a threshold of 0
    return max(longest * defaults.FRESHNESS_INTERVALS, shortest)
