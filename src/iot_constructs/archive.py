"""The raw archive: every record of the stream in S3, and a table over it for Athena."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import aws_cdk as cdk
import jsii
from aws_cdk import aws_athena as athena
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import FRESHNESS, AlarmRow, create_alarm
from iot_constructs._iam import grant_key, grant_read_stream
from iot_constructs._kms import get_or_create_key, grant_log_group
from iot_constructs._layout import add_reader, other_account
from iot_constructs._nag import acknowledge_rules, wildcard_rule
from iot_constructs._naming import Named
from iot_constructs._stack import StackContext
from iot_constructs._validation import (
    is_token,
    seconds,
    validate_mutually_exclusive,
    validated,
    validated_method,
)
from iot_constructs.environment import (
    EnvironmentSuffix,
    NamePrefix,
    data_removal_policy,
    names_for,
)
from iot_constructs.storage import SecureDataBucket

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from iot_constructs._props import DeliveryProps

_LOG_GROUP_PREFIX: Final = "/aws/kinesisfirehose/"  # where the console looks for it
_UNUSED_MAPPING: Final = "@aws-cdk--aws-kinesisfirehose.CidrBlocks"
_S3_BUCKET_ACTIONS: Final = (
    "s3:GetBucketLocation",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
)
_S3_OBJECT_ACTIONS: Final = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
_FIREHOSE_DOCS: Final = "docs.aws.amazon.com/firehose/latest/dev"
_SOURCE_IS_ENCRYPTED: Final = {
    "AwsSolutions-KDF1": "Firehose stores nothing of a stream that it reads from Kinesis and rejects an encryption "
    f"setting for it; the source is encrypted ({_FIREHOSE_DOCS}/encryption.html)"
}
# Properties that make Firehose use resources of yours, for which CDK grants the role what each of them needs.
_GRANTED_BY_CDK: Final = frozenset(
    {"data_format_conversion", "logging_config", "processor", "processors", "s3_backup"}
)
_OBJECTS_OF_ONE_BUCKET: Final = (
    "the objects of one bucket, whose names have the time of their delivery "
    f"({_FIREHOSE_DOCS}/s3-object-name.html)"
)


_DAY_SECONDS = 86_400
# From the archive's own prefix, so that the table looks where the archive writes: ("year", "yyyy"), ("month", "MM") ...
_PARTITIONS = tuple(re.findall(r"(\w+)=!\{timestamp:(\w+)\}", defaults.DATA_PREFIX))
_FOLDER = defaults.DATA_PREFIX.split("!", maxsplit=1)[0].rpartition("/")[0]
_RANGES = {"MM": "1,12", "dd": "1,31", "HH": "0,23"}

# docs.aws.amazon.com/athena/latest/ug/regex-serde.html. (?s): a line may hold what Java's dot leaves out (U+2028).
_WHOLE_LINES = ("org.apache.hadoop.hive.serde2.RegexSerDe", {"input.regex": "(?s)(.*)"})
# docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html. The archive holds what came, also what is not JSON.
_JSON_MEMBERS = (
    "org.openx.data.jsonserde.JsonSerDe",
    {"case.insensitive": "TRUE", "ignore.malformed.json": "TRUE"},
)
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# docs.aws.amazon.com/athena/latest/ug/data-types.html, as the catalog spells them.
_COLUMN_TYPE = re.compile(
    r"string|boolean|tinyint|smallint|int|bigint|float|double|date|timestamp|decimal\(\d+, ?\d+\)|"
    r"(varchar|char)\(\d+\)|(array|map|struct)<.+>"
)

_WORKGROUP_ACTIONS = (
    "athena:BatchGetNamedQuery",
    "athena:GetNamedQuery",
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:GetWorkGroup",
    "athena:ListNamedQueries",
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
)
_RESULTS_OBJECT_ACTIONS = (
    "s3:AbortMultipartUpload",
    "s3:GetObject",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
)


@jsii.implements(iam.IGrantable)
class StreamArchive(Named, Construct):
    """Archives raw records to S3 with Amazon Data Firehose: gzip, one record a line, a prefix per hour.

    * Firehose does not compress and does not separate records by default: both are set
      (https://docs.aws.amazon.com/firehose/latest/dev/create-destination.html).
    * Prefixes are Hive-style (``year=/month=/day=/hour=``, UTC), so that Athena reads only the hours of a query. What
      Firehose cannot deliver goes under ``errors/`` and its reason.
    * Large buffers: S3 does not move objects under 128 KB to cheaper storage, and small objects are slow to query.
    * An alarm when the oldest undelivered record is older than three buffering intervals.
    * Its own log group, which expires, and its own role with what Firehose documents: CDK's may also delete objects.
    * By default, no object expires. ``retention`` and ``transitions`` add a lifecycle rule to the bucket for the folder
      of the archive. What Firehose could not deliver, under ``errors/``, remains.

    Takes every property of :class:`aws_cdk.aws_kinesisfirehose.S3Bucket`, the destination.

    Args:
        stream: the stream to archive.
        bucket: the bucket for its records.
        delivery_stream_name: the base name; Firehose stream and log group are called ``name-suffix``.
        retention: how long an object is kept, in whole days from 1 to 36,500; its old versions are deleted 7 days
            later. By default, objects are kept.
        transitions: moves objects to cheaper storage, each after a number of days that is below ``retention``. S3 moves
            no object under 128 KB, and charges at least 30 days of storage in Standard-IA and One Zone-IA, 90 in
            Glacier Instant Retrieval and Flexible Retrieval, 180 in Deep Archive
            (https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html).
            Athena skips objects in Flexible Retrieval and Deep Archive
            (https://docs.aws.amazon.com/athena/latest/ug/querying-glacier.html), so a query of a QueryableArchive
            lacks their records without an error.
        freshness_threshold: how old the oldest undelivered record may be before the alarm, more than the buffering
            interval; by default three times that, at least 5 minutes.
        log_retention: how long log lines are kept; by default three months.
        log_encryption_key: for the log group; by default the key of the stack.
        removal_policy: of the log group; by default DESTROY in an ephemeral stack and RETAIN_ON_UPDATE_OR_DELETE
            elsewhere.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.
        **props: of ``firehose.S3Bucket``. ``buffering_interval`` is 300 s, ``buffering_size`` 128 MiB; with a ``role``
            of yours the construct adds its grants to it. ``processors`` of yours replace the one that ends each record
            with a newline (``AppendDelimiterToRecordProcessor``). With ``processors``, ``s3_backup``,
            ``data_format_conversion``, or ``logging_config``, the role also has CDK's grants.

    Raises:
        ValueError: a value is out of range; ``retention`` or ``transitions`` with a bucket of another app, or with a
            ``data_output_prefix`` that begins with an expression; a transition that is not before the retention ends;
            normal buffering exceeds the freshness threshold; the name is taken or
            not valid.
        TypeError: a value has the wrong type.

    Example::

        from iot_constructs import SecureDataBucket, StreamArchive

        archive = StreamArchive(stack, "Archive", stream=stream, bucket=SecureDataBucket(stack, "Data"))
    """

    @validated(firehose.S3Bucket)
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: kinesis.IStream,
        bucket: s3.IBucket,
        delivery_stream_name: str | None = None,
        retention: cdk.Duration | None = None,
        transitions: Sequence[s3.Transition | dict[str, Any]] | None = None,
        freshness_threshold: cdk.Duration | None = None,
        log_retention: logs.RetentionDays | None = None,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
        **props: Unpack[DeliveryProps],
    ) -> None:
        super().__init__(scope, id)
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        objects = bucket.arn_for_objects("*")
        acknowledge_rules(
            self, {**_SOURCE_IS_ENCRYPTED, wildcard_rule(self, objects): _OBJECTS_OF_ONE_BUCKET}
        )
        settings: dict[str, Any] = {
            "buffering_interval": cdk.Duration.seconds(defaults.BUFFERING_INTERVAL_SECONDS),
            "buffering_size": cdk.Size.mebibytes(defaults.BUFFERING_SIZE_MIB),
            **props,
        }
        _validate_size(settings["buffering_size"])
        if retention is not None or transitions:
            prefix = settings.get("data_output_prefix", defaults.DATA_PREFIX)
            _add_lifecycle_rule(self, bucket, prefix, retention, transitions)
        freshness = _freshness_seconds(settings["buffering_interval"], freshness_threshold)
        name = self._names.physical_name(
            naming.DELIVERY_STREAM, delivery_stream_name, defaults.ARCHIVE_NAME
        )
        policy = data_removal_policy(self, id, removal_policy)
        self.log_group: logs.LogGroup | None = None
        """The log group for deliveries that fail; None with a ``logging_config`` of yours."""
        if "logging_config" in settings:
            validate_mutually_exclusive(
                "logging_config",
                {"log_retention": log_retention, "log_encryption_key": log_encryption_key},
                "your log group has its retention and key; remove them",
            )
        else:
            self.log_group = self._create_log_group(name, log_encryption_key, log_retention, policy)
        self.role: iam.IRole = settings.pop("role", None) or self._create_role()
        """Firehose's role; grant to it, not to ``delivery_stream``, what a key of yours requires."""
        settings.setdefault("encryption_key", bucket.encryption_key)
        may_read = self._grant(stream, bucket, objects, settings["encryption_key"])
        self.delivery_stream: firehose.DeliveryStream = self._create_delivery_stream(
            name, stream, bucket, settings
        )
        """The Firehose stream."""
        # Firehose checks at creation whether it may read the stream. Only the resource waits: the policy refers to
        # what else CDK creates below the construct, such as the log group of a backup.
        resource = self.delivery_stream.node.default_child
        assert isinstance(resource, cdk.CfnResource)
        may_read.apply_before(resource)
        add_reader(stream, resource)
        _apply_to_log_streams(self.log_group, policy)
        row = AlarmRow(
            FRESHNESS,
            freshness,
            f"{defaults.FRESHNESS_INTERVALS} buffering intervals, or one alarm period"
            if freshness_threshold is None
            else None,
        )
        self.freshness_alarm: cloudwatch.Alarm = create_alarm(
            self,
            row.spec,
            self._names,
            self.delivery_stream,
            row.threshold,
            derived_from=row.derived_from,
        )
        """A record waits too long for the archive."""
        self._alarm_rows = [row]

    @property
    def alarms(self) -> list[cloudwatch.Alarm]:
        """The alarms of this archive."""
        return [self.freshness_alarm]

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        """Firehose's role."""
        return self.role.grant_principal

    def _create_log_group(
        self,
        name: str,
        key: kms.IKey | None,
        retention: logs.RetentionDays | None,
        policy: cdk.RemovalPolicy,
    ) -> logs.LogGroup:
        log_key = get_or_create_key(self, key, policy)
        log_group_name = None if naming.is_generated(name) else f"{_LOG_GROUP_PREFIX}{name}"
        grant_log_group(self, log_key, log_group_name if log_group_name is not None else "*")
        return logs.LogGroup(
            self,
            "Logs",
            log_group_name=log_group_name,
            encryption_key=log_key,
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
            # Firehose sends the account as external id (AmazonCloudWatch/latest/logs/CreateFirehoseStream.html); its
            # guide does not mention aws:SourceArn and aws:SourceAccount.
            assumed_by=iam.ServicePrincipal(
                "firehose.amazonaws.com",
                conditions={"StringEquals": {"sts:ExternalId": StackContext.of(self).account}},
            ),
        )

    def _grant(
        self, source: kinesis.IStream, target: s3.IBucket, objects: str, key: kms.IKey | None
    ) -> iam.Grant:
        """What firehose/latest/dev/controlling-access.html#using-iam-s3 lists; returns the last of the grants."""
        grant_key(key, self.role, "kms:Decrypt", "kms:GenerateDataKey")
        granted: list[tuple[tuple[str, ...], str]] = [
            (_S3_BUCKET_ACTIONS, target.bucket_arn),
            (_S3_OBJECT_ACTIONS, objects),
        ]
        if (
            other_account(self, target) is not None
        ):  # controlling-access.html#cross-account-delivery-s3
            granted.append((("s3:PutObjectAcl",), objects))
        if self.log_group is not None:
            granted.append((("logs:PutLogEvents",), self.log_group.log_group_arn))
        for actions, resource in granted:
            iam.Grant.add_to_principal(
                grantee=self.role, actions=list(actions), resource_arns=[resource]
            )
        return grant_read_stream(source, self.role)

    def _create_delivery_stream(
        self, name: str, source: kinesis.IStream, target: s3.IBucket, props: dict[str, Any]
    ) -> firehose.DeliveryStream:
        # CDK would let its own roles delete and list everything in the bucket, and more.
        role = self.role.without_policy_updates() if isinstance(self.role, iam.Role) else self.role
        settings = {
            "data_output_prefix": defaults.DATA_PREFIX,
            "error_output_prefix": defaults.ERROR_PREFIX,
            **({} if _has_own_format(props) else {"processors": [_one_record_a_line()]}),
            # A format has its own compression, and CDK rejects a second one.
            **(
                {}
                if "data_format_conversion" in props
                else {"compression": firehose.Compression.GZIP}
            ),
            **props,
        }
        if self.log_group is not None:
            settings["logging_config"] = firehose.EnableLogging(self.log_group)
        stack_node = StackContext.of(self).node
        had_mapping = stack_node.try_find_child(_UNUSED_MAPPING) is not None
        delivery_stream = firehose.DeliveryStream(
            self,
            "DeliveryStream",
            # CDK passes the marker of a generated name on to CloudFormation.
            delivery_stream_name=None if naming.is_generated(name) else name,
            role=role,
            source=firehose.KinesisStreamSource(source),
            destination=firehose.S3Bucket(
                target, role=role if _GRANTED_BY_CDK.isdisjoint(props) else self.role, **settings
            ),
        )
        if not had_mapping:
            # Addresses of Firehose in every region, for destinations in a VPC: CDK adds them to any stack with a
            # delivery stream, and its own validation then warns that they are unused (W7001). A bucket has no security
            # group that could use them.
            stack_node.try_remove_child(_UNUSED_MAPPING)
        return delivery_stream


def _add_lifecycle_rule(
    archive: Construct,
    bucket: s3.IBucket,
    prefix: str,
    retention: cdk.Duration | None,
    transitions: Sequence[Any] | None,
) -> None:
    """A rule for the objects of the archive only: the bucket can hold others."""
    given = "retention" if retention is not None else "transitions"
    if not isinstance(bucket, s3.Bucket):
        raise ValueError(
            f"{given}: the bucket {bucket.node.path!r} is imported, and its lifecycle belongs to the app that creates "
            f"it; remove {given}, and add a lifecycle rule to the bucket there"
        )
    literal, _, expression = prefix.partition("!{")
    folder = literal[: literal.rfind("/") + 1] if expression else literal
    if not folder or is_token(folder):
        raise ValueError(
            f"{given}: data_output_prefix={prefix!r} does not begin with the name of a folder, so the rule would be "
            f"for every object of the bucket; begin it with one, for example {_FOLDER + '/'!r}, or remove {given} and "
            "pass lifecycle_rules to the bucket"
        )
    if retention is not None:
        retention.to_days()  # raises now, and not at synth, for a token that is not in days
    for transition in transitions if transitions is not None else ():
        _validate_transition(transition, retention)
    old_versions = cdk.Duration.days(defaults.ARCHIVE_NONCURRENT_VERSION_DAYS)
    bucket.add_lifecycle_rule(
        id=cdk.Names.node_unique_id(archive.node),  # S3 rejects two rules of one id
        prefix=folder,
        transitions=transitions,
        expiration=retention,
        # Without it, an expired object remains as an old version.
        noncurrent_version_expiration=old_versions if retention is not None else None,
    )


def _validate_transition(transition: s3.Transition, retention: cdk.Duration | None) -> None:
    after, kept = transition.transition_after, seconds(retention) if retention is not None else None
    age = seconds(after) if after is not None else None
    if after is None or (age is not None and age % _DAY_SECONDS):
        raise ValueError(
            "transitions: a transition needs transition_after in whole days; pass for example s3.Transition("
            "storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transition_after=Duration.days(90))"
        )
    after.to_days()  # as above, for a token
    if age is not None and kept is not None and age >= kept:
        raise ValueError(
            f"transitions: {transition.storage_class.value} after {age / _DAY_SECONDS:g} days is not before the "
            f"retention of {kept / _DAY_SECONDS:g} days ends; raise retention or lower transition_after "
            "(https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html)"
        )


def _apply_to_log_streams(log_group: logs.LogGroup | None, policy: cdk.RemovalPolicy) -> None:
    """CDK retains the log stream that it creates for Firehose, with any policy of its group."""
    for child in log_group.node.children if log_group is not None else ():
        if isinstance(child, logs.LogStream):
            child.apply_removal_policy(policy)


def _one_record_a_line() -> firehose.IDataProcessor:
    return firehose.AppendDelimiterToRecordProcessor()


def _has_own_format(props: Mapping[str, Any]) -> bool:
    """Whether the properties have processors, or a format that no delimiter may be added to."""
    return not {"processor", "processors", "data_format_conversion"}.isdisjoint(props)


def _validate_size(size: cdk.Size) -> None:
    largest = defaults.LARGEST_BUFFERING_MIB
    if size.is_unresolved():
        return
    mebibytes = size.to_mebibytes(rounding=cdk.SizeRoundingBehavior.NONE)
    if mebibytes % 1 or not 1 <= mebibytes <= largest:
        raise ValueError(
            f"buffering_size={mebibytes:g} MiB: must be whole MiB from 1 to {largest}; pass for example "
            f"Size.mebibytes({largest}) (https://docs.aws.amazon.com/firehose/latest/APIReference/API_BufferingHints.html)"
        )


def _freshness_seconds(interval: cdk.Duration, requested: cdk.Duration | None) -> float:
    """The alarm's threshold, above the buffering interval: a buffer that fills for its time is not an incident."""
    buffered = seconds(interval)
    if requested is not None:
        age = seconds(requested)
        if age is None:
            return requested.to_seconds()
        if buffered is not None and age <= buffered:
            raise ValueError(
                f"freshness_threshold of {age:g} s is not above the buffering_interval of {buffered:g} s, so the alarm "
                "fires in normal operation; raise freshness_threshold or remove it"
            )
        return age
    longest = buffered if buffered is not None else defaults.LONGEST_BUFFERING_INTERVAL_SECONDS
    shortest = defaults.ALARM_PERIOD_MINUTES * 60  # an interval of 0 must not make a threshold of 0
    return max(longest * defaults.FRESHNESS_INTERVALS, shortest)


class QueryableArchive(Named, Construct):
    """An Athena table over the archive, without a crawler, and a workgroup to query it in.

    * Partition projection: Athena computes year, month, day and hour from the archive's prefix, so there is no crawler
      to pay and wait for, and a query reads only the hours that it names
      (https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html). The four are strings
      with leading zeros, in UTC: ``WHERE year = '2026' AND month = '01' AND day = '30'``; :meth:`arrived_in_last`
      writes the condition for the last hours.
    * Without ``columns`` the table has one, ``payload``: the raw record, JSON or not. Read a member with
      ``json_extract_scalar(payload, '$.temperature')``.
    * The workgroup enforces its settings: results go to an encrypted bucket, and Athena cancels a query that has
      scanned 100 GiB
      (https://docs.aws.amazon.com/athena/latest/ug/workgroups-setting-control-limits-cloudwatch.html).
    * A saved query shows the records of the last day. :meth:`add_saved_query` adds yours.

    A record is in the folder of the hour in which the oldest record of its object arrived, up to 15 minutes before its
    own (https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html): query one hour more, and compare your
    timestamp. A payload of several lines is several rows. The archive does not have the device ID of the topic; one in
    the payload is what the device wrote.

    Args:
        bucket: the bucket that the StreamArchive writes to.
        columns: the members of the payload that become columns, with their types, for example
            ``{"deviceId": "string", "temperature": "double"}``. Athena lowers their case (``deviceid``). A line that is
            not JSON is a row of NULLs; a member that does not fit its type fails the query. By default one column
            ``payload`` has the raw line.
        first_year: of the archive, UTC; by default 2025. Athena does not read older folders.
        database_name: the base name; the database is called ``name_suffix`` (Athena's names have no hyphen).
        table_name: the base name; the table is called ``name_suffix``.
        workgroup_name: the base name; the workgroup is called ``name-suffix``.
        bytes_scanned_cutoff: what one query may scan, 10 MB or more; by default 100 GiB.
        results_bucket: the bucket for query results, under ``query-results/``; by default a SecureDataBucket is
            created.
        results_bucket_name: the base name of that bucket.
        results_expiration: how long results are kept, in whole days; by default 30 days.
        encryption_key: for the results; by default that of ``results_bucket`` or of the stack.
        removal_policy: of results and workgroup; by default RETAIN_ON_UPDATE_OR_DELETE, and DESTROY in an ephemeral
            stack, where results, saved queries and their history are deleted as well.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.

    Raises:
        ValueError: a column that Athena does not support or that the folders have already; a value is out of range;
            ``results_bucket`` together with its settings; the name is taken or not valid.
        TypeError: a value has the wrong type.

    Example::

        import aws_cdk as cdk
        from iot_constructs import QueryableArchive, SecureDataBucket, StreamArchive

        data = SecureDataBucket(stack, "Data")
        StreamArchive(stack, "Archive", stream=stream, bucket=data)
        archive = QueryableArchive(stack, "Queries", bucket=data, columns={"temperature": "double"})
        archive.add_saved_query(
            "Warmest",
            query_name="warmest-of-the-last-hours",
            sql=f"SELECT max(temperature) FROM {archive.table_reference} "
            f"WHERE {archive.arrived_in_last(cdk.Duration.hours(6))}",
        )
    """

    @validated()
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: s3.IBucket,
        columns: Mapping[str, str] | None = None,
        first_year: float | None = None,
        database_name: str | None = None,
        table_name: str | None = None,
        workgroup_name: str | None = None,
        bytes_scanned_cutoff: cdk.Size | None = None,
        results_bucket: s3.IBucket | None = None,
        results_bucket_name: str | None = None,
        results_expiration: cdk.Duration | None = None,
        encryption_key: kms.IKey | kms.Key | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        policy = data_removal_policy(self, id, removal_policy)
        _validate_columns(columns)
        self._data = bucket
        self.database_name: str = self._create_name(
            naming.DATABASE, database_name, defaults.DATABASE_NAME
        )
        """The physical name."""
        self.table_name: str = self._create_table_name(table_name)
        """The physical name."""
        self.workgroup_name: str = self._create_name(
            naming.WORKGROUP, workgroup_name, defaults.WORKGROUP_NAME
        )
        """The physical name."""
        self.results_bucket: s3.IBucket = self._resolve_results_bucket(
            results_bucket, results_bucket_name, results_expiration, encryption_key, policy
        )
        """The bucket for query results."""
        of_bucket = self.results_bucket.encryption_key if encryption_key is None else None
        self._results_key = (
            of_bucket if of_bucket is not None else get_or_create_key(self, encryption_key, policy)
        )
        self.database: glue.CfnDatabase = self._create_database()
        """The Glue database."""
        year = first_year if first_year is not None else defaults.ARCHIVE_FIRST_YEAR
        self.table: glue.CfnTable = self._create_table(columns, int(year))
        """The Glue table."""
        self.workgroup: athena.CfnWorkGroup = self._create_workgroup(bytes_scanned_cutoff, policy)
        """The Athena workgroup."""
        self.last_day_query: athena.CfnNamedQuery = self.add_saved_query(
            "LastDay",
            query_name=f"{self._query_base_name(workgroup_name)}-last-day",
            sql=f"SELECT *\nFROM {self.table_reference}\n"
            f"WHERE {self.arrived_in_last(cdk.Duration.days(1))}\nLIMIT 100",
            description="Up to 100 of the records that arrived in the last 24 hours",
        )
        """The saved query of the last day's records."""

    def _create_name(self, type: naming.NameType, given: str | None, default: str) -> str:
        """Athena takes no name from CloudFormation, or none without a hyphen: CDK generates one instead."""
        if naming.is_generated(given):
            separator = type.separator
            name = cdk.Names.unique_resource_name(self, max_length=128, separator=separator)
            return f"{name}{separator}{default}".lower()
        return self._names.physical_name(type, given, default)

    def _create_table_name(self, given: str | None) -> str:
        """Without the prefix, which the database has: a table's name is unique in its database."""
        if naming.is_generated(given):
            return self._create_name(naming.GLUE_TABLE, given, defaults.ARCHIVE_TABLE_NAME)
        base_name = self._names.base_name(
            naming.GLUE_TABLE, given if given is not None else defaults.ARCHIVE_TABLE_NAME, ""
        )
        name = f"{base_name}_{self._names.suffix.value.replace('-', '_')}"
        naming.GLUE_TABLE.validate(name, base_name, self._names.suffix.value)
        return name

    def _query_base_name(self, workgroup_name: str | None) -> str:
        if workgroup_name is None or naming.is_generated(workgroup_name):
            return self._names.base_name(naming.WORKGROUP, None, defaults.WORKGROUP_NAME)
        return workgroup_name

    def _resolve_results_bucket(
        self,
        own: s3.IBucket | None,
        name: str | None,
        expiration: cdk.Duration | None,
        key: kms.IKey | None,
        policy: cdk.RemovalPolicy,
    ) -> s3.IBucket:
        if own is not None:
            validate_mutually_exclusive(
                "results_bucket",
                {"results_bucket_name": name, "results_expiration": expiration},
                "your bucket has its name and lifecycle; remove them",
            )
            return own
        if expiration is not None:
            expiration.to_days()  # raises now, and not at synth, for a token that is not in days
        default = defaults.QUERY_RESULTS_BUCKET_NAME
        if not naming.is_generated(name):
            type = replace(naming.BUCKET, keyword="results_bucket_name")
            self._names.validated_bucket_name(type, name, default)
        return SecureDataBucket(
            self,
            "Results",
            bucket_name=name
            if name is not None
            else self._names.base_name(naming.BUCKET, None, default),
            encryption_key=key,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="ExpireResults",
                    expiration=expiration
                    if expiration is not None
                    else cdk.Duration.days(defaults.QUERY_RESULTS_DAYS),
                    noncurrent_version_expiration=cdk.Duration.days(
                        defaults.QUERY_RESULTS_NONCURRENT_DAYS
                    ),
                )
            ],
            removal_policy=policy,
            environment_suffix=self._names.suffix,
            name_prefix=self._names.prefix,
        )

    def _create_database(self) -> glue.CfnDatabase:
        # Named here: the name that Glue generates has a hyphen, which Athena does not support.
        return glue.CfnDatabase(
            self,
            "Database",
            catalog_id=StackContext.of(self).account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=self.database_name, description="Archived telemetry"
            ),
        )

    def _create_table(self, columns: Mapping[str, str] | None, first_year: int) -> glue.CfnTable:
        string = defaults.PARTITION_COLUMN_TYPE
        library, parameters = _WHOLE_LINES if columns is None else _JSON_MEMBERS
        members = {defaults.PAYLOAD_COLUMN: "string"} if columns is None else columns
        return glue.CfnTable(
            self,
            "Table",
            catalog_id=StackContext.of(self).account,
            database_name=self.database.ref,
            table_input=glue.CfnTable.TableInputProperty(
                name=self.table_name,
                description="Archived records by the hour of their arrival (UTC)",
                table_type="EXTERNAL_TABLE",
                partition_keys=[
                    glue.CfnTable.ColumnProperty(name=name, type=string) for name, _ in _PARTITIONS
                ],
                parameters=_projection(self._data.bucket_name, first_year),
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=[
                        glue.CfnTable.ColumnProperty(name=name.lower(), type=type)
                        for name, type in members.items()
                    ],
                    location=f"s3://{self._data.bucket_name}/{_FOLDER}/",
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library=library, parameters=parameters
                    ),
                ),
            ),
        )

    def _create_workgroup(
        self, cutoff: cdk.Size | None, policy: cdk.RemovalPolicy
    ) -> athena.CfnWorkGroup:
        limit = (
            cutoff
            if cutoff is not None
            else cdk.Size.gibibytes(defaults.QUERY_BYTES_SCANNED_CUTOFF_GIB)
        ).to_bytes()
        if not is_token(limit) and not defaults.SMALLEST_BYTES_SCANNED_CUTOFF <= limit < 2**63:
            raise ValueError(
                f"bytes_scanned_cutoff of {limit:,} bytes: must be at least "
                f"{defaults.SMALLEST_BYTES_SCANNED_CUTOFF:,} and below 2^63; pass for example Size.gibibytes(100) "
                "(https://docs.aws.amazon.com/athena/latest/APIReference/API_WorkGroupConfiguration.html)"
            )
        workgroup = athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=self.workgroup_name,
            description="Queries of the telemetry archive",
            # Athena does not delete it while it has saved queries or a history.
            recursive_delete_option=policy == cdk.RemovalPolicy.DESTROY,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=defaults.ENFORCE_WORKGROUP,
                publish_cloud_watch_metrics_enabled=defaults.PUBLISH_QUERY_METRICS,
                bytes_scanned_cutoff_per_query=limit,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{self.results_bucket.bucket_name}/{defaults.QUERY_RESULTS_PREFIX}",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=self._results_key.key_arn
                    ),
                ),
            ),
        )
        workgroup.apply_removal_policy(policy)
        return workgroup

    @property
    def table_reference(self) -> str:
        """Database and table as written in SQL: ``"iot_archive_dev"."telemetry_dev"``."""
        return f'"{self.database_name}"."{self.table_name}"'

    @validated_method
    def arrived_in_last(self, duration: cdk.Duration) -> str:
        """A condition for WHERE: the folders of the records that arrived in the last hours, at the time of the query.

        It covers whole hours, and the 15 minutes by which a record may be in an earlier folder. It names year, month
        and day one by one, because Athena skips folders only by conditions on single columns.

        Args:
            duration: 1 minute to 7 days; for a longer span name year and month yourself.

        Raises:
            ValueError: the duration is out of range or a token.
        """
        length = seconds(duration)
        if length is None:
            raise ValueError(
                "duration is a token, but the condition is text; pass for example Duration.hours(6)"
            )
        span = math.ceil(length) + defaults.LONGEST_BUFFERING_INTERVAL_SECONDS
        days = range(span // _DAY_SECONDS + 2)
        first, now = _ago(span), _ago(0)
        return (
            f"year IN ({_formatted('%Y', first, now)})\n"
            f"  AND month IN ({_formatted('%m', first, now)})\n"
            f"  AND day IN ({_formatted('%d', *(_ago(day * _DAY_SECONDS) for day in days))})\n"
            f"  AND year || month || day || hour >= {_formatted('%Y%m%d%H', first)}"
        )

    @validated_method
    def add_saved_query(
        self, id: str, *, query_name: str, sql: str, description: str | None = None
    ) -> athena.CfnNamedQuery:
        """Save a query in the workgroup.

        Args:
            id: of the construct.
            query_name: the base name; the query is called ``name-suffix``.
            sql: 1 to 262144 bytes (https://docs.aws.amazon.com/athena/latest/ug/service-limits.html);
                ``table_reference`` is the table's name.
            description: 1 to 1024 characters.

        Raises:
            ValueError: SQL or description are empty or too long; the name is taken or not valid.
        """
        _validate_length("sql", len(sql.encode()), defaults.LONGEST_QUERY_BYTES)
        if description is not None:
            _validate_length("description", len(description), defaults.LONGEST_QUERY_DESCRIPTION)
        return athena.CfnNamedQuery(
            self,
            id,
            name=self._saved_query_name(id, query_name),
            database=self.database.ref,
            work_group=self.workgroup.ref,
            query_string=sql,
            description=description,
        )

    def _saved_query_name(self, id: str, query_name: str) -> str | None:
        # Two queries of one archive are not one.
        names = replace(self._names, scope=self, construct=id)
        name = names.physical_name(naming.SAVED_QUERY, query_name, "")
        return None if naming.is_generated(name) else name

    def grant_query(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let a grantee run queries and the saved queries in this workgroup, on this table only.

        That includes the workgroup, the table's definition, the archived objects, the results, and the keys of both
        buckets (https://docs.aws.amazon.com/athena/latest/ug/access.html). Partitions are projected, so Athena does not
        look them up in the catalog (https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html). The key of
        an imported bucket is not known here: grant it yourself.

        Args:
            grantee: a role, a user, or a function.
        """
        stack = StackContext.of(self)
        results = self.results_bucket
        statements: list[tuple[tuple[str, ...], list[str]]] = [
            (
                _WORKGROUP_ACTIONS,
                [stack.arn("athena", f"workgroup/{self.workgroup_name}")],
            ),
            (
                ("glue:GetDatabase", "glue:GetTable"),
                [
                    stack.arn("glue", "catalog"),
                    # Athena requires it as well: fine-grained-access-to-glue-resources.html
                    stack.arn("glue", "database/default"),
                    stack.arn("glue", f"database/{self.database_name}"),
                    stack.arn("glue", f"table/{self.database_name}/{self.table_name}"),
                ],
            ),
            (("s3:GetBucketLocation", "s3:ListBucket"), [self._data.bucket_arn]),
            (("s3:GetObject",), [self._data.arn_for_objects(f"{_FOLDER}/*")]),
            (
                ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
                [results.bucket_arn],
            ),
            (
                _RESULTS_OBJECT_ACTIONS,
                [results.arn_for_objects(f"{defaults.QUERY_RESULTS_PREFIX}*")],
            ),
        ]
        grant = self._results_key.grant(grantee, "kms:Decrypt", "kms:GenerateDataKey")
        data_key = self._data.encryption_key
        if data_key is not None:
            grant = grant.combine(data_key.grant(grantee, "kms:Decrypt"))
        for actions, arns in statements:
            grant = grant.combine(
                iam.Grant.add_to_principal(
                    grantee=grantee, actions=list(actions), resource_arns=arns
                )
            )
        return grant


def _projection(bucket_name: str, first_year: int) -> dict[str, str]:
    """The table's properties for the folders."""
    template = re.sub(
        r"(\w+)=!\{timestamp:\w+\}", lambda part: f"{part[1]}=${{{part[1]}}}", defaults.DATA_PREFIX
    )
    properties = {
        "projection.enabled": "true",
        "storage.location.template": f"s3://{bucket_name}/{template}",
    }
    for column, pattern in _PARTITIONS:
        projected = (
            {"type": "integer", "range": _RANGES[pattern], "digits": str(len(pattern))}
            if pattern in _RANGES
            # The only type with NOW: Athena would list the folders of years to come, and S3 bills each request.
            else {
                "type": "date",
                "format": pattern,
                "range": f"{first_year},NOW",
                "interval": "1",
                "interval.unit": "YEARS",
            }
        )
        properties |= {f"projection.{column}.{key}": value for key, value in projected.items()}
    return properties


def _ago(seconds: int) -> str:
    now = "current_timestamp AT TIME ZONE 'UTC'"
    return f"{now} - INTERVAL '{seconds}' SECOND" if seconds else now


def _formatted(pattern: str, *times: str) -> str:
    return ", ".join(f"date_format({time}, '{pattern}')" for time in times)


def _validate_columns(columns: Mapping[str, str] | None) -> None:
    if columns is None:
        return
    if not columns:
        raise ValueError(
            "columns={} has no column; leave columns out for one column with the whole payload"
        )
    taken = {name: "a folder of the archive" for name, _ in _PARTITIONS}
    for name, type in columns.items():
        if not _COLUMN_NAME.fullmatch(name):
            raise ValueError(
                f"columns has {name!r}, and Athena takes letters, digits and underscores "
                "(athena/latest/ug/tables-databases-columns-names.html); leave columns out and read it with "
                "json_extract(payload, ...)"
            )
        if name.lower() in taken:
            raise ValueError(
                f"columns has {name!r}, and {name.lower()!r} is {taken[name.lower()]} already: Athena has columns in "
                "lower case; leave columns out and read it with json_extract(payload, ...)"
            )
        if not _COLUMN_TYPE.fullmatch(type):
            raise ValueError(
                f"columns has {name!r} of type {type!r}, which Athena's catalog does not support "
                "(athena/latest/ug/data-types.html); type for example 'string', 'double' or 'bigint'"
            )
        taken[name.lower()] = f"the column of {name!r}"


def _validate_length(name: str, length: int, longest: int) -> None:
    if not 1 <= length <= longest:
        raise ValueError(
            f"{name} has a length of {length}, and Athena allows 1 to {longest}; "
            f"{'shorten it' if length else f'pass {name}='} "
            "(https://docs.aws.amazon.com/athena/latest/APIReference/API_CreateNamedQuery.html)"
        )
