"""MonitoredStream: the Kinesis stream between devices and consumers, with the alarms that say it is in trouble."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import HOURS_OF_MILLISECONDS, MAXIMUM, SUM, create_alarm, period
from iot_constructs._durations import of_seconds, seconds_of
from iot_constructs._encryption import key_for
from iot_constructs._findings import acknowledge
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._validate import check_alone, check_duration, check_whole_number
from iot_constructs.environment import EnvironmentSuffix, data_removal_policy

SHORTEST_RETENTION_SECONDS = defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600  # what any stream has

_KEY_OF_OUR_OWN = {
    "AwsSolutions-KDS3": "encrypted with a customer managed key, whose policy says who reads the records; that of "
    "aws/kinesis cannot be changed (FACTS 17)"
}


class MonitoredStream(PipelineConstruct):
    """An encrypted on-demand stream that keeps records for 7 days and says when a consumer falls behind.

    * On-demand: CDK's default of one shard throttles at 1 MB/s (FACTS 8).
    * 7 days of retention: a Lambda failure record names sequence numbers only, and what retention has dropped by
      then cannot be brought back (FACTS 2).
    * Alarms: iterator age at half of the retention, write throttling, read throttling. They publish once
      PipelineAlarms, or you, add an action.

    Args:
        stream: an existing stream to watch instead of making one; then no setting of the stream may be given.
        stream_name: stem; the stream is called ``stem-suffix``. None means ``iot-sensor-data-stream``.
        retention_period: how long records are kept, 24 hours to 365 days; None means 7 days. It must
            exceed the processor's record age.
        shard_count: None means on-demand; a number, 1 to 10000, makes a provisioned stream.
        encryption_key: None takes the key that the stack shares.
        removal_policy: None retains, except in an ephemeral stack.
        iterator_age_threshold: how far behind a consumer may be before the alarm, 1 second to 365 days. None means half
            of the retention; of an existing stream, half of the 24 hours that every stream has.
        throttles_threshold: throttled calls in 5 minutes that raise the alarm, 1 or more.
        alarm_name_prefix: alarms are called ``prefix-kinesis-what-suffix``; give a second stream of one environment
            another one.
        environment_suffix: None takes it from the surroundings.
        encryption: MANAGED for the AWS managed key, whose policy cannot be changed (FACTS 17); None encrypts with
            ``encryption_key``. UNENCRYPTED is refused.

    Raises:
        ValueError: ``stream`` together with its settings; a value out of range; encryption switched off;
            DESTROY in a stack that is not ephemeral; a name that breaks Kinesis's rules or is taken.

    Example::

        from iot_constructs import MonitoredStream

        stream = MonitoredStream(stack, "Stream")
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: kinesis.IStream | None = None,
        stream_name: str | None = None,
        retention_period: cdk.Duration | None = None,
        shard_count: int | None = None,
        encryption_key: kms.IKey | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        iterator_age_threshold: cdk.Duration | None = None,
        throttles_threshold: int = defaults.STREAM_THROTTLES,
        alarm_name_prefix: str = defaults.ALARM_NAME_PREFIX,
        environment_suffix: str | EnvironmentSuffix | None = None,
        encryption: kinesis.StreamEncryption | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        if stream is not None:
            check_alone(
                "stream",
                (
                    ("stream_name", stream_name),
                    ("retention_period", retention_period),
                    ("shard_count", shard_count),
                    ("encryption_key", encryption_key),
                    ("removal_policy", removal_policy),
                    ("encryption", encryption),
                ),
                "an existing stream has its settings already; leave one of the two out",
            )
        _check_encryption(encryption, encryption_key)
        _check_numbers(retention_period, shard_count, throttles_threshold, iterator_age_threshold)
        self._alarm_prefix = alarm_name_prefix
        self.retention_period: cdk.Duration | None = _retention(stream, retention_period)
        """How long records are kept; None for an existing stream, whose retention is not known here."""

        self.stream: kinesis.IStream = (
            stream
            if stream is not None
            else self._create_stream(
                stream_name, shard_count, encryption, encryption_key, removal_policy
            )
        )
        """The stream, made here or given."""
        self.iterator_age_alarm = self._create_iterator_age_alarm(iterator_age_threshold)
        """A consumer is too far behind."""
        self.write_throttle_alarm = self._create_write_throttle_alarm(throttles_threshold)
        """The stream refused records."""
        self.read_throttle_alarm = self._create_read_throttle_alarm(throttles_threshold)
        """The stream refused reads."""

    def _create_stream(
        self,
        stem: str | None,
        shard_count: int | None,
        encryption: kinesis.StreamEncryption | None,
        key: kms.IKey | None,
        removal_policy: cdk.RemovalPolicy | None,
    ) -> kinesis.Stream:
        on_demand = shard_count is None
        policy = data_removal_policy(self, removal_policy)
        aws_managed = encryption == kinesis.StreamEncryption.MANAGED
        stream_key = None if aws_managed else key_for(self, key, policy)
        stream = kinesis.Stream(
            self,
            "Stream",
            stream_name=naming.physical_name(
                self,
                naming.STREAM,
                stem if stem is not None else defaults.STREAM_NAME,
                self._suffix,
            ),
            stream_mode=kinesis.StreamMode.ON_DEMAND
            if on_demand
            else kinesis.StreamMode.PROVISIONED,
            shard_count=shard_count,
            retention_period=self.retention_period,
            encryption=encryption if aws_managed else kinesis.StreamEncryption.KMS,
            encryption_key=stream_key,
            removal_policy=policy,
        )
        if not aws_managed:
            asked.key_of.know(stream, stream_key)
            acknowledge(stream, _KEY_OF_OUR_OWN)
        return stream

    def _create_iterator_age_alarm(self, threshold: cdk.Duration | None) -> cloudwatch.Alarm:
        if threshold is None:
            known = known_retention_seconds(self)
            retention = known if known is not None else SHORTEST_RETENTION_SECONDS
            milliseconds = retention * 1000 * defaults.ITERATOR_AGE_SHARE_OF_RETENTION
            of = "the retention" if known is not None else "the shortest retention there is"
            derived_from = f"{defaults.ITERATOR_AGE_SHARE_OF_RETENTION:g} of {of}"
        else:
            milliseconds, derived_from = threshold.to_milliseconds(), None
        return create_alarm(
            self,
            "IteratorAgeAlarm",
            name=f"{self._alarm_prefix}-kinesis-iterator-age",
            suffix=self._suffix,
            metric=self.metric_iterator_age(),
            threshold=milliseconds,
            what="A consumer of the stream is far behind.",
            cost="What it has not read when retention ends is lost.",
            first="see whether the processor fails or is throttled; raise its parallelization_factor, "
            "or the stream's retention to gain time.",
            scale=HOURS_OF_MILLISECONDS,
            derived_from=derived_from,
        )

    def _create_write_throttle_alarm(self, threshold: int) -> cloudwatch.Alarm:
        return create_alarm(
            self,
            "WriteThrottleAlarm",
            name=f"{self._alarm_prefix}-kinesis-write-throttling",
            suffix=self._suffix,
            metric=self.metric_write_throttles(),
            threshold=threshold,
            what="The stream refused records.",
            cost="The IoT rule retries and then sends the message to the DLQ.",
            first="look for one device that sends over 1 MB/s or 1000 records/s; else ask for a higher stream limit.",
        )

    def _create_read_throttle_alarm(self, threshold: int) -> cloudwatch.Alarm:
        return create_alarm(
            self,
            "ReadThrottleAlarm",
            name=f"{self._alarm_prefix}-kinesis-read-throttling",
            suffix=self._suffix,
            metric=self.metric_read_throttles(),
            threshold=threshold,
            what="The stream refused reads.",
            cost="Consumers fall behind.",
            first="count the consumers: more than two of the shared kind want enhanced fan-out.",
        )

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """The alarms of this stream."""
        return [self.iterator_age_alarm, self.write_throttle_alarm, self.read_throttle_alarm]

    @property
    def stream_name(self) -> str:
        """The physical name."""
        return asked.stream_name(self.stream)

    @property
    def stream_arn(self) -> str:
        """The ARN."""
        return asked.stream_arn(self.stream)

    def grant_read(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``Stream.grant_read``, the key included."""
        return self.stream.grant_read(identity)

    def grant_write(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``Stream.grant_write``, the key included."""
        return self.stream.grant_write(identity)

    def metric_iterator_age(self) -> cloudwatch.Metric:
        """Age of the last record read, in milliseconds, maximum over all consumers."""
        return self.stream.metric_get_records_iterator_age_milliseconds(
            statistic=MAXIMUM, period=period()
        )

    def metric_write_throttles(self) -> cloudwatch.Metric:
        """Records refused by the stream, as a sum (CDK's default statistic is the average)."""
        return self.stream.metric_write_provisioned_throughput_exceeded(
            statistic=SUM, period=period()
        )

    def metric_read_throttles(self) -> cloudwatch.Metric:
        """GetRecords calls refused by the stream, as a sum."""
        return self.stream.metric_read_provisioned_throughput_exceeded(
            statistic=SUM, period=period()
        )


def known_retention_seconds(stream: MonitoredStream) -> float | None:
    """The retention, where it is known: not that of an existing stream, nor one that is a token."""
    return seconds_of(stream.retention_period) if stream.retention_period is not None else None


def _retention(
    stream: kinesis.IStream | None, requested: cdk.Duration | None
) -> cdk.Duration | None:
    if stream is not None:
        return None
    return (
        requested if requested is not None else of_seconds(defaults.STREAM_RETENTION_HOURS * 3600)
    )


def _check_encryption(encryption: kinesis.StreamEncryption | None, key: kms.IKey | None) -> None:
    if encryption == kinesis.StreamEncryption.UNENCRYPTED:
        raise ValueError(
            f"encryption={encryption}: telemetry is always encrypted; leave encryption out"
        )
    if encryption == kinesis.StreamEncryption.MANAGED and key is not None:
        raise ValueError(
            f"encryption_key was given together with encryption={encryption}; leave one out"
        )


def _check_numbers(
    retention: cdk.Duration | None,
    shard_count: int | None,
    throttles_threshold: int,
    iterator_age_threshold: cdk.Duration | None,
) -> None:
    if retention is not None:
        check_duration(
            "retention_period",
            retention,
            defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600,
            defaults.STREAM_MAXIMUM_RETENTION_HOURS * 3600,
            "FACTS 8",
        )
    if shard_count is not None:
        check_whole_number("shard_count", shard_count, 1, 10_000, "FACTS 8")
    check_whole_number(
        "throttles_threshold", throttles_threshold, 1, 10**9, "an alarm on 0 would always fire"
    )
    if iterator_age_threshold is not None:
        check_duration(
            "iterator_age_threshold",
            iterator_age_threshold,
            1,
            defaults.STREAM_MAXIMUM_RETENTION_HOURS * 3600,
            "FACTS 8",
        )
