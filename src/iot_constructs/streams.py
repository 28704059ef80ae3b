"""Kinesis Data Streams: the stream between devices and consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_kinesis as kinesis
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import (
    ITERATOR_AGE,
    READ_THROTTLES,
    WRITE_THROTTLES,
    AlarmRow,
    create_alarm,
)
from iot_constructs._kms import get_or_create_key
from iot_constructs._nag import acknowledge_rules
from iot_constructs._naming import Named
from iot_constructs._validation import is_token, seconds, validated
from iot_constructs.environment import (
    EnvironmentSuffix,
    NamePrefix,
    data_removal_policy,
    in_ephemeral_stack,
    names_for,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from iot_constructs._props import StreamProps

_CUSTOMER_MANAGED_KEY: Final = {
    "AwsSolutions-KDS3": "encrypted with a customer managed key, whose policy controls who reads the records; the "
    "policy of aws/kinesis cannot be changed (docs.aws.amazon.com/streams/latest/dev/server-side-encryption.html)"
}


class MonitoredStream(Named, kinesis.Stream):
    """A Kinesis stream: encrypted, on-demand, 7 days of retention, with alarms on consumers that fall behind.

    In an ephemeral SuffixedStack, it has one shard and 24 hours of retention, which costs less while no device sends.

    It is a :class:`aws_cdk.aws_kinesis.Stream` and takes every property of it. Defaults:

    * On-demand: CDK's default of one shard throttles at 1 MB/s
      (https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html).
    * 7 days of retention: a failure record of Lambda has sequence numbers only, so an expired record cannot be
      redriven (https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html).
    * In an ephemeral SuffixedStack one provisioned shard, unless ``stream_mode`` or ``shard_count`` is given, and 24
      hours: about $11 a month instead of $29 (https://aws.amazon.com/kinesis/data-streams/pricing/). A shard takes 1
      MB/s or 1,000 records/s, and a failed batch has to be redriven within a day.
    * Encryption with the customer managed key of the stack. Encryption cannot be turned off.
    * Alarms: iterator age at half of the retention; write throttling for 15 minutes and read throttling for 30, since a
      throttled call is retried. They have no action until PipelineAlarms, or you, add one.

    Args:
        iterator_age_threshold: the lag of a consumer that raises the alarm, 1 second to 365 days; by default half
            of the retention.
        throttles_threshold: throttled calls in each 5 minutes that raise the alarm, 1 or more.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.
        **props: of ``kinesis.Stream``. ``stream_name`` is the base name: the stream is called ``name-suffix``;
            ``shard_count`` makes it provisioned; ``encryption=StreamEncryption.MANAGED`` uses the AWS managed key.

    Raises:
        ValueError: encryption is turned off, a value is out of range, or the name is taken or not valid.
        TypeError: a value has the wrong type.

    Example::

        from iot_constructs import MonitoredStream

        stream = MonitoredStream(stack, "Stream")
    """

    @validated(kinesis.Stream)
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        iterator_age_threshold: cdk.Duration | None = None,
        throttles_threshold: float = defaults.STREAM_THROTTLES,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
        **props: Unpack[StreamProps],
    ) -> None:
        _validate_encryption(props)
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        settings = _settings(scope, id, dict(props))
        settings["stream_name"] = self._names.physical_name(
            naming.STREAM, props.get("stream_name"), defaults.STREAM_NAME
        )
        super().__init__(scope, id, **settings)
        if settings["encryption"] == kinesis.StreamEncryption.KMS:
            acknowledge_rules(self, _CUSTOMER_MANAGED_KEY)

        self.retention_period: cdk.Duration = settings["retention_period"]
        """How long records are kept."""
        self._alarm_rows = stream_alarm_rows(self, iterator_age_threshold, throttles_threshold)
        age, writes, reads = (
            create_alarm(
                self, row.spec, self._names, self, row.threshold, derived_from=row.derived_from
            )
            for row in self._alarm_rows
        )
        self.iterator_age_alarm: cloudwatch.Alarm = age
        """A consumer is too far behind."""
        self.write_throttle_alarm: cloudwatch.Alarm = writes
        """The stream rejected records."""
        self.read_throttle_alarm: cloudwatch.Alarm = reads
        """The stream rejected reads."""

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """The alarms of this stream."""
        return [self.iterator_age_alarm, self.write_throttle_alarm, self.read_throttle_alarm]


def stream_alarm_rows(
    stream: kinesis.IStream,
    iterator_age_threshold: cdk.Duration | None = None,
    throttles_threshold: float = defaults.STREAM_THROTTLES,
) -> list[AlarmRow]:
    """The alarms of a stream; by default the first is on consumers that are behind by half of its retention."""
    if iterator_age_threshold is not None:
        age = AlarmRow(ITERATOR_AGE, iterator_age_threshold.to_milliseconds())
    else:
        known = known_retention_seconds(stream)
        retention = known if known is not None else defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600
        share = defaults.ITERATOR_AGE_SHARE_OF_RETENTION
        whose = "the retention" if known is not None else "the shortest retention of any stream"
        age = AlarmRow(ITERATOR_AGE, retention * 1000 * share, f"{share:g} of {whose}")
    throttles = (AlarmRow(spec, throttles_threshold) for spec in (WRITE_THROTTLES, READ_THROTTLES))
    return [age, *throttles]


def known_retention_seconds(stream: kinesis.IStream) -> float | None:
    """The retention of a stream, unless it is imported or the retention is a token."""
    if isinstance(stream, MonitoredStream):
        return seconds(stream.retention_period)
    resource = stream.node.default_child
    if not isinstance(resource, kinesis.CfnStream):
        return None
    hours = resource.retention_period_hours
    if hours is None:
        return defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600
    return None if is_token(hours) else hours * 3600


def _settings(scope: Construct, id: str, props: dict[str, Any]) -> dict[str, Any]:
    """The properties of the L2: your values, and the defaults of this library."""
    policy = data_removal_policy(scope, id, props.get("removal_policy"))
    hours = defaults.STREAM_RETENTION_HOURS
    if in_ephemeral_stack(scope):
        hours = defaults.EPHEMERAL_STREAM_RETENTION_HOURS
        if "stream_mode" not in props:
            props = {"shard_count": defaults.EPHEMERAL_STREAM_SHARDS, **props}
    settings = {
        "retention_period": cdk.Duration.hours(hours),
        "encryption": kinesis.StreamEncryption.KMS,
        "stream_mode": kinesis.StreamMode.PROVISIONED
        if "shard_count" in props
        else kinesis.StreamMode.ON_DEMAND,
        **props,
        "removal_policy": policy,
    }
    if settings["encryption"] == kinesis.StreamEncryption.KMS:
        settings["encryption_key"] = get_or_create_key(scope, props.get("encryption_key"), policy)
    return settings


def _validate_encryption(props: StreamProps) -> None:
    encryption = props.get("encryption")
    if encryption == kinesis.StreamEncryption.UNENCRYPTED:
        raise ValueError(
            "encryption=StreamEncryption.UNENCRYPTED: telemetry is always encrypted; remove encryption"
        )
    if encryption == kinesis.StreamEncryption.MANAGED and props.get("encryption_key") is not None:
        raise ValueError(
            "encryption_key excludes encryption=StreamEncryption.MANAGED; remove one of the two"
        )
