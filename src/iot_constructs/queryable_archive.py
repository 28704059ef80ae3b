"""QueryableArchive: what a StreamArchive lays down, as a table for Athena, without a crawler."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._durations import seconds_of
from iot_constructs._encryption import key_for
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._validate import check_alone, check_duration, check_whole_number
from iot_constructs.environment import EnvironmentSuffix, data_removal_policy
from iot_constructs.secure_data_bucket import SecureDataBucket

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


class QueryableArchive(PipelineConstruct):
    """A table over the archive that Athena can query from the first record on, and a workgroup to query it in.

    * Partition projection: year, month, day and hour are worked out from the archive's prefix, so there is no crawler
      to pay for and to wait for, and a query reads only the hours it names
      (athena/latest/ug/partition-projection-supported-types.html). The four are strings with leading zeros, in UTC:
      ``WHERE year = '2026' AND month = '01' AND day = '30'``; :meth:`arrived_in_last` writes it for the last hours.
    * Without ``columns`` the table has one, ``payload``: each record as it came, whatever its shape, JSON or not. Read
      a member with ``json_extract_scalar(payload, '$.temperature')``.
    * The workgroup's settings hold for whoever uses it: results go to an encrypted bucket of their own, and a query is
      cancelled once it has scanned 100 GiB, so that one without a condition costs cents
      (athena/latest/ug/workgroups-setting-control-limits-cloudwatch.html).
    * A saved query shows the records of the last day. :meth:`add_saved_query` adds yours.

    A record is in the folder of the hour in which the oldest record of its object arrived, up to 15 minutes before its
    own (firehose/latest/dev/s3-prefixes.html): ask for one hour more, and for your timestamp. A payload of several
    lines is several rows. The device id of the topic is not in the archive; one in the payload is what the device
    claims (FACTS 12).

    Args:
        bucket: the bucket that the StreamArchive writes to.
        columns: the members of the payload that become columns, with their types, for example
            ``{"deviceId": "string", "temperature": "double"}``. Athena knows them in lower case (``deviceid``). A line
            that is not JSON is a row of NULLs; a member that does not fit its type fails the query. None gives one
            column ``payload`` with the line as it is.
        first_year: of the archive, UTC; None means 2025. Older folders are not looked for.
        database_name: stem; the database is called ``stem_suffix`` (Athena takes no hyphen, so the suffix gets
            underscores).
        table_name: stem; the table is called ``stem_suffix``.
        workgroup_name: stem; the workgroup is called ``stem-suffix``.
        bytes_scanned_cutoff: what one query may scan, 10 MB or more; None means 100 GiB.
        results_bucket: where query results go, under ``query-results/``; None makes a SecureDataBucket.
        results_bucket_name: stem of that bucket; None means ``iot-queries``.
        results_expiration: how long results are kept, in whole days; None means 30 days.
        encryption_key: for the results; None takes that of ``results_bucket``, or the key that the stack shares.
        removal_policy: of results and workgroup; None retains, except in an ephemeral stack, where results, saved
            queries and their history are deleted as well.
        environment_suffix: None takes it from the surroundings.

    Raises:
        ValueError: a column that Athena cannot have, or that the folders have already; a value out of range;
            ``results_bucket`` together with its settings; DESTROY in a stack that is not ephemeral; a name that is not
            allowed or is taken.

    Example::

        import aws_cdk as cdk
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

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: SecureDataBucket | s3.IBucket,
        columns: Mapping[str, str] | None = None,
        first_year: int | None = None,
        database_name: str = defaults.DATABASE_NAME,
        table_name: str = defaults.ARCHIVE_TABLE_NAME,
        workgroup_name: str = defaults.WORKGROUP_NAME,
        bytes_scanned_cutoff: cdk.Size | None = None,
        results_bucket: SecureDataBucket | s3.IBucket | None = None,
        results_bucket_name: str | None = None,
        results_expiration: cdk.Duration | None = None,
        encryption_key: kms.IKey | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        policy = data_removal_policy(self, removal_policy)
        _check_columns(columns)
        year = first_year if first_year is not None else defaults.ARCHIVE_FIRST_YEAR
        check_whole_number("first_year", year, 1970, 9999, "a year of four digits")
        self._data = bucket.bucket if isinstance(bucket, SecureDataBucket) else bucket

        self.database_name = naming.physical_name(
            self, naming.DATABASE, database_name, self._suffix
        )
        """The physical name."""
        self.table_name = naming.physical_name(self, naming.GLUE_TABLE, table_name, self._suffix)
        """The physical name."""
        self.workgroup_name = naming.physical_name(
            self, naming.WORKGROUP, workgroup_name, self._suffix
        )
        """The physical name."""

        self.results_bucket = self._resolve_results_bucket(
            results_bucket, results_bucket_name, results_expiration, encryption_key, policy
        )
        """Where query results go."""
        self._results_key = self._resolve_results_key(encryption_key, policy)
        self.database = self._create_database()
        """The Glue database."""
        self.table = self._create_table(columns, year)
        """The Glue table."""
        self.workgroup = self._create_workgroup(bytes_scanned_cutoff, policy)
        """The Athena workgroup."""
        self.last_day_query = self.add_saved_query(
            "LastDay",
            query_name=f"{workgroup_name}-last-day",
            sql=f"SELECT *\nFROM {self.table_reference}\n"
            f"WHERE {self.arrived_in_last(cdk.Duration.days(1))}\nLIMIT 100",
            description="Up to 100 of the records that arrived in the last 24 hours",
        )
        """The saved query of the last day's records."""

    def _resolve_results_bucket(
        self,
        given: SecureDataBucket | s3.IBucket | None,
        name: str | None,
        expiration: cdk.Duration | None,
        key: kms.IKey | None,
        policy: cdk.RemovalPolicy,
    ) -> s3.IBucket:
        if given is not None:
            check_alone(
                "results_bucket",
                (("results_bucket_name", name), ("results_expiration", expiration)),
                "an existing bucket has its name and lifecycle; leave them out",
            )
            return given.bucket if isinstance(given, SecureDataBucket) else given
        lifetime = (
            expiration if expiration is not None else cdk.Duration.days(defaults.QUERY_RESULTS_DAYS)
        )
        _check_whole_days("results_expiration", lifetime)
        return SecureDataBucket(
            self,
            "Results",
            bucket_name=name if name is not None else defaults.QUERY_RESULTS_BUCKET_NAME,
            encryption_key=key,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="ExpireResults",
                    expiration=lifetime,
                    noncurrent_version_expiration=cdk.Duration.days(
                        defaults.QUERY_RESULTS_NONCURRENT_DAYS
                    ),
                )
            ],
            removal_policy=policy,
            environment_suffix=self._suffix,
        ).bucket

    def _resolve_results_key(self, given: kms.IKey | None, policy: cdk.RemovalPolicy) -> kms.IKey:
        of_bucket = asked.key_of(self.results_bucket)
        if given is None and of_bucket is not None:
            return of_bucket
        return key_for(self, given, policy)

    def _create_database(self) -> glue.CfnDatabase:
        # Named here: the name that Glue would make up has a hyphen, which Athena does not take (FACTS 11).
        return glue.CfnDatabase(
            self,
            "Database",
            catalog_id=self._place.account,
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
            catalog_id=self._place.account,
            database_name=self.database.ref,
            table_input=glue.CfnTable.TableInputProperty(
                name=self.table_name,
                description="Every record that the archive has, by the hour of its arrival (UTC)",
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
        check_whole_number(
            "bytes_scanned_cutoff in bytes",
            limit,
            defaults.SMALLEST_BYTES_SCANNED_CUTOFF,
            2**63 - 1,
            "WorkGroupConfiguration API",
        )
        workgroup = athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=self.workgroup_name,
            description="Queries of the telemetry archive",
            # It cannot be deleted while it has saved queries or a history, which every use leaves behind.
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
        """Database and table as they stand in SQL: ``"iot_archive_dev"."telemetry_dev"``."""
        return f'"{self.database_name}"."{self.table_name}"'

    def arrived_in_last(self, duration: cdk.Duration) -> str:
        """A condition for WHERE: the folders of what arrived in the last hours, seen from when the query runs.

        It takes in whole hours, and the 15 minutes by which a record may lie in an earlier folder. Year, month and day
        are named one by one, because Athena leaves out folders only by conditions on single columns.

        Args:
            duration: 1 minute to 7 days; for a longer span name year and month.

        Raises:
            ValueError: the duration is out of range or a token.
        """
        check_duration(
            "duration", duration, 60, defaults.LONGEST_QUERIED_DAYS * _DAY_SECONDS, "see above"
        )
        length = seconds_of(duration)
        if length is None:
            raise ValueError(
                "duration is a token, but the condition is text; pass for example Duration.hours(6)"
            )
        seconds = math.ceil(length) + defaults.LONGEST_BUFFERING_INTERVAL_SECONDS
        days = range(seconds // _DAY_SECONDS + 2)
        first, now = _ago(seconds), _ago(0)
        return (
            f"year IN ({_formatted('%Y', first, now)})\n"
            f"  AND month IN ({_formatted('%m', first, now)})\n"
            f"  AND day IN ({_formatted('%d', *(_ago(day * _DAY_SECONDS) for day in days))})\n"
            f"  AND year || month || day || hour >= {_formatted('%Y%m%d%H', first)}"
        )

    def add_saved_query(
        self, id: str, *, query_name: str, sql: str, description: str | None = None
    ) -> athena.CfnNamedQuery:
        """Save a query in the workgroup, where everybody who uses it finds it.

        Args:
            id: of the resource below this construct.
            query_name: stem; the query is called ``stem-suffix``.
            sql: 1 to 262144 bytes (athena/latest/ug/service-limits.html); ``table_reference`` is the table's name.
            description: 1 to 1024 characters; None says nothing.

        Raises:
            ValueError: SQL or description are empty or too long; the name is not allowed or is taken.
        """
        _check_length("sql", len(sql.encode()), defaults.LONGEST_QUERY_BYTES)
        if description is not None:
            _check_length("description", len(description), defaults.LONGEST_QUERY_DESCRIPTION)
        return athena.CfnNamedQuery(
            self,
            id,
            name=naming.physical_name(self, naming.SAVED_QUERY, query_name, self._suffix),
            database=self.database.ref,
            work_group=self.workgroup.ref,
            query_string=sql,
            description=description,
        )

    def grant_query(self, identity: iam.IGrantable) -> iam.Grant:
        """Let somebody run queries and the saved queries in this workgroup, on this table and on nothing else.

        That takes the workgroup, the table's definition, the archived objects, the results, and the keys of both
        buckets (athena/latest/ug/access.html). Partitions are projected, so nobody looks them up in the catalog
        (athena/latest/ug/partition-projection.html). The key of an imported bucket is not known here: grant it
        yourself.

        Args:
            identity: a role, a user, or what has one, for example a function.
        """
        place = self._place
        here = f"{place.region}:{place.account}"
        glue_arn, results = f"arn:{place.partition}:glue:{here}:", self.results_bucket
        statements: list[tuple[tuple[str, ...], list[str]]] = [
            (
                _WORKGROUP_ACTIONS,
                [f"arn:{place.partition}:athena:{here}:workgroup/{self.workgroup_name}"],
            ),
            (
                ("glue:GetDatabase", "glue:GetTable"),
                [
                    f"{glue_arn}catalog",
                    # Athena asks for it as well: fine-grained-access-to-glue-resources.html
                    f"{glue_arn}database/default",
                    f"{glue_arn}database/{self.database_name}",
                    f"{glue_arn}table/{self.database_name}/{self.table_name}",
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
        grant = self._results_key.grant(identity, "kms:Decrypt", "kms:GenerateDataKey")
        data_key = asked.key_of(self._data)
        if data_key is not None:
            grant = grant.combine(data_key.grant(identity, "kms:Decrypt"))
        for actions, arns in statements:
            grant = grant.combine(
                iam.Grant.add_to_principal(
                    grantee=identity, actions=list(actions), resource_arns=arns
                )
            )
        return grant


def _projection(bucket_name: str, first_year: int) -> dict[str, str]:
    """The table's properties that say which folders there are."""
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
            # The one type that knows NOW: years to come would be looked for in vain, and S3 bills each look.
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


def _check_columns(columns: Mapping[str, str] | None) -> None:
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
                f"columns has {name!r}, and {name.lower()!r} is {taken[name.lower()]} already: Athena knows columns in "
                "lower case; leave columns out and read it with json_extract(payload, ...)"
            )
        if not _COLUMN_TYPE.fullmatch(type):
            raise ValueError(
                f"columns has {name!r} of type {type!r}, which Athena's catalog does not know "
                "(athena/latest/ug/data-types.html); type for example 'string', 'double' or 'bigint'"
            )
        taken[name.lower()] = f"the column of {name!r}"


def _check_whole_days(name: str, value: cdk.Duration) -> None:
    seconds = seconds_of(value)
    if seconds is not None and (seconds < _DAY_SECONDS or seconds % _DAY_SECONDS):
        raise ValueError(
            f"{name} of {seconds:g} s is not a number of whole days, which S3 counts in; "
            f"pass for example {name}=Duration.days({max(1, math.ceil(seconds / _DAY_SECONDS))})"
        )


def _check_length(name: str, length: int, longest: int) -> None:
    if not 1 <= length <= longest:
        raise ValueError(
            f"{name} has a length of {length}, and Athena allows 1 to {longest} (CreateNamedQuery API); "
            f"{'shorten it' if length else 'say something'}"
        )
