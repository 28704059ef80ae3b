"""QueryableArchive: the table looks where the archive writes, the workgroup's settings hold, the grant is a query wide.

No emulator runs Athena's partition projection, so ``_folders`` works it out after AWS's page
(athena/latest/ug/partition-projection-supported-types.html), and the tests compare it with what Firehose writes after
its own (firehose/latest/dev/s3-prefixes.html).
"""

from __future__ import annotations

import datetime as dt
import gzip
import inspect
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs import MonitoredStream, QueryableArchive, SecureDataBucket, StreamArchive
from iot_constructs import _defaults as defaults
from tests.synth_support import Json, fresh_stack, one, one_resource, resources, template_of
from tests.test_whole_pipeline import permissions, plain, the_id

_DATABASE = "AWS::Glue::Database"
_TABLE = "AWS::Glue::Table"
_WORKGROUP = "AWS::Athena::WorkGroup"
_QUERY = "AWS::Athena::NamedQuery"
_BUCKET = "AWS::S3::Bucket"
_KEY = "AWS::KMS::Key"
_ROLE = "AWS::IAM::Role"
_DELIVERY = "AWS::KinesisFirehose::DeliveryStream"

_COLUMNS = {"deviceId": "string", "temperature": "double"}


def _archive(
    stack: cdk.Stack, bucket: SecureDataBucket | s3.IBucket | None = None, **settings: Any
) -> QueryableArchive:
    given = bucket if bucket is not None else SecureDataBucket(stack, "Data")
    return QueryableArchive(stack, "Queries", bucket=given, **settings)


def _small(stack: cdk.Stack, **settings: Any) -> QueryableArchive:
    """Without buckets of its own, where they do not matter: they take time."""
    results = s3.Bucket.from_bucket_name(stack, "GivenResults", "results")
    return _archive(
        stack,
        s3.Bucket.from_bucket_name(stack, "GivenData", "data"),
        **{"results_bucket": results, **settings},
    )


def _template(suffix: str = "prod", **settings: Any) -> Json:
    stack = fresh_stack(suffix)
    _small(stack, **settings)
    return template_of(stack)


@pytest.fixture(scope="module")
def template() -> Json:
    """The whole of it: stream, archive, bucket, table."""
    stack = fresh_stack("prod")
    bucket = SecureDataBucket(stack, "Data")
    StreamArchive(stack, "Archive", stream=MonitoredStream(stack, "Stream"), bucket=bucket)
    _archive(stack, bucket, columns=_COLUMNS)
    return template_of(stack)


def _table(template: Json) -> Json:
    table: Json = one(template, _TABLE)["TableInput"]
    return table


def _workgroup(template: Json) -> Json:
    configuration: Json = one(template, _WORKGROUP)["WorkGroupConfiguration"]
    return configuration


def _bucket_id(template: Json, beginning: str) -> str:
    (found,) = [key for key in resources(template, _BUCKET) if key.startswith(beginning)]
    return found


# --- where the archive writes, and where the table looks ------------------------------------------

# How Java's DateTimeFormatter spells what a prefix may hold, in Python.
_JAVA = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H"}


def _firehose_prefix(template: Json, arrival: dt.datetime) -> str:
    prefix: str = one(template, _DELIVERY)["ExtendedS3DestinationConfiguration"]["Prefix"]
    return re.sub(r"!\{timestamp:(\w+)\}", lambda match: arrival.strftime(_JAVA[match[1]]), prefix)


def _values(properties: dict[str, str], column: str, now: dt.datetime) -> list[str]:
    """What a column is projected to."""

    def said(name: str) -> str:
        return properties[f"projection.{column}.{name}"]

    first, last = said("range").split(",")
    if said("type") == "integer":
        width = int(said("digits"))
        return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
    assert (said("type"), last) == ("date", "NOW")
    # AWS has no default for an interval of years (same page).
    assert (said("format"), said("interval"), said("interval.unit")) == ("yyyy", "1", "YEARS")
    return [str(year) for year in range(int(first), now.year + 1)]


def _folders(table: Json, now: dt.datetime, **asked: str) -> Iterator[tuple[dict[str, str], str]]:
    """Every partition that a query looks into, with its folder; ``asked`` are its conditions."""
    properties = table["Parameters"]
    assert properties["projection.enabled"] == "true"
    columns = [key["Name"] for key in table["PartitionKeys"]]
    choices = [
        [value for value in _values(properties, column, now) if asked.get(column, value) == value]
        for column in columns
    ]
    for values in itertools.product(*choices):
        partition = dict(zip(columns, values, strict=True))
        folder = plain(properties["storage.location.template"])
        for column, value in partition.items():
            folder = folder.replace(f"${{{column}}}", value)
        yield partition, folder


def _hour(moment: dt.datetime) -> dict[str, str]:
    return {
        "year": moment.strftime("%Y"),
        "month": moment.strftime("%m"),
        "day": moment.strftime("%d"),
        "hour": moment.strftime("%H"),
    }


_SINCE_2025 = st.datetimes(dt.datetime(2025, 1, 1), dt.datetime(2049, 12, 31, 23, 59))


@settings(deadline=None)
@given(arrival=_SINCE_2025, later=st.timedeltas(dt.timedelta(0), dt.timedelta(days=900)))
def test_every_record_is_in_the_folder_of_its_hour_and_in_no_other(
    template: Json, arrival: dt.datetime, later: dt.timedelta
) -> None:
    written = (
        f"s3://${{{_bucket_id(template, 'DataBucket')}}}/{_firehose_prefix(template, arrival)}"
    )
    looked_at = list(_folders(_table(template), arrival + later, **_hour(arrival)))
    assert looked_at == [(_hour(arrival), written)]
    assert written.startswith(plain(_table(template)["StorageDescriptor"]["Location"]))


def test_no_two_partitions_share_a_folder_and_the_future_is_not_looked_for(template: Json) -> None:
    now = dt.datetime(2026, 6, 15, 12)
    folders = [folder for _, folder in _folders(_table(template), now)]
    assert len(set(folders)) == len(folders) == 2 * 12 * 31 * 24
    assert not [folder for folder in folders if "year=2027" in folder or "year=2024" in folder]


def test_objects_as_firehose_lays_them_down_are_found_and_read(
    template: Json, tmp_path: Path
) -> None:
    """Gzip, a record a line; what is not JSON is a line as well."""
    arrivals = [dt.datetime(2026, 1, 30, 23, 59), dt.datetime(2026, 1, 31, 0, 1)]
    for number, arrival in enumerate(arrivals):
        folder = tmp_path / _firehose_prefix(template, arrival)
        folder.mkdir(parents=True)
        record = {"deviceId": f"d{number}", "temperature": number + 0.5, "more": {"a": 1}}
        lines = f"{json.dumps(record)}\nnot json\n".encode()
        (folder / f"iot-sensor-archive-prod-1-{number}.gz").write_bytes(gzip.compress(lines))

    table = _table(template)
    columns = [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
    rows = []
    for partition, location in _folders(table, arrivals[1], year="2026", month="01"):
        folder = tmp_path / location.split("/", 3)[3]
        for path in folder.glob("*.gz"):  # a folder that is not there has no rows
            for line in gzip.decompress(path.read_bytes()).decode().splitlines():
                try:
                    members = {name.lower(): value for name, value in json.loads(line).items()}
                except ValueError:
                    members = {}  # ignore.malformed.json
                rows.append([members.get(name) for name in columns] + [partition["hour"]])
    assert rows == [["d0", 0.5, "23"], [None, None, "23"], ["d1", 1.5, "00"], [None, None, "00"]]


def test_the_partition_columns_are_strings(template: Json) -> None:
    """Leading zeros are part of a value, as in the folder's name."""
    assert _table(template)["PartitionKeys"] == [
        {"Name": name, "Type": "string"} for name in ("year", "month", "day", "hour")
    ]


def test_the_first_year_of_the_caller() -> None:
    for year in (1970, 2019, 9999):
        properties = _table(_template(first_year=year))["Parameters"]
        assert properties["projection.year.range"] == f"{year},NOW"


# --- the table ------------------------------------------------------------------------------------


def test_database_and_table_are_named_and_in_the_accounts_catalog(template: Json) -> None:
    database = one(template, _DATABASE)
    assert database["DatabaseInput"]["Name"] == "iot_archive_prod"
    assert one(template, _TABLE)["DatabaseName"] == {"Ref": the_id(template, _DATABASE)}
    table = _table(template)
    assert (table["Name"], table["TableType"]) == ("telemetry_prod", "EXTERNAL_TABLE")
    for body in (database, one(template, _TABLE)):
        assert body["CatalogId"] == {"Ref": "AWS::AccountId"}


def test_columns_are_members_of_the_payload_in_lower_case(template: Json) -> None:
    storage = _table(template)["StorageDescriptor"]
    assert storage["Columns"] == [
        {"Name": "deviceid", "Type": "string"},
        {"Name": "temperature", "Type": "double"},
    ]
    assert storage["SerdeInfo"] == {
        "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
        "Parameters": {"case.insensitive": "TRUE", "ignore.malformed.json": "TRUE"},
    }
    _is_text(storage)


def test_without_columns_there_is_one_with_the_whole_line() -> None:
    storage = _table(_template())["StorageDescriptor"]
    assert storage["Columns"] == [{"Name": "payload", "Type": "string"}]
    serde = storage["SerdeInfo"]
    assert serde["SerializationLibrary"] == "org.apache.hadoop.hive.serde2.RegexSerDe"
    (pattern,) = serde["Parameters"].values()
    assert list(serde["Parameters"]) == ["input.regex"]
    assert pattern.startswith("(?s)")  # Java's dot leaves out more than Python's
    for line in ('{"temperature": 1}', "not json", "", "a\u2028b\u0085c", "\x01"):
        match = re.fullmatch(pattern, line)
        assert match is not None
        assert match.groups() == (line,)
    _is_text(storage)


def _is_text(storage: Json) -> None:
    assert storage["InputFormat"] == "org.apache.hadoop.mapred.TextInputFormat"
    assert storage["OutputFormat"] == "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"


@pytest.mark.parametrize(
    "type",
    [
        *("string", "boolean", "tinyint", "smallint", "int", "bigint", "float", "double"),
        *("date", "timestamp", "decimal(38,3)", "decimal(38, 3)", "varchar(10)", "char(2)"),
        *("array<double>", "map<string,double>", "struct<a:int,b:array<string>>"),
    ],
)
def test_types_of_the_catalog_pass(type: str) -> None:
    archive = _small(fresh_stack(), columns={"_a1": type})
    assert archive.table is not None


# --- the workgroup --------------------------------------------------------------------------------


def test_its_settings_hold_for_every_client(template: Json) -> None:
    configuration = _workgroup(template)
    assert one(template, _WORKGROUP)["Name"] == "iot-archive-prod"
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["PublishCloudWatchMetricsEnabled"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 100 * 1024**3


def test_results_are_encrypted_in_a_bucket_of_their_own(template: Json) -> None:
    results = _bucket_id(template, "QueriesResultsBucket")
    assert _workgroup(template)["ResultConfiguration"] == {
        "OutputLocation": {"Fn::Join": ["", ["s3://", {"Ref": results}, "/query-results/"]]},
        "EncryptionConfiguration": {
            "EncryptionOption": "SSE_KMS",
            "KmsKey": {"Fn::GetAtt": [the_id(template, _KEY), "Arn"]},
        },
    }
    bucket = resources(template, _BUCKET)[results]["Properties"]
    assert plain(bucket["BucketName"]) == "iot-queries-${AWS::AccountId}-${AWS::Region}-prod"
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules["ExpireResults"] == {
        "Id": "ExpireResults",
        "ExpirationInDays": 30,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "Status": "Enabled",
    }
    assert "AbortIncompleteUploads" in rules  # Athena writes results in parts


def test_results_are_never_in_a_folder_of_the_table(template: Json) -> None:
    """Even when they go to the bucket of the archive: a query would read them as records."""
    location = plain(_table(template)["StorageDescriptor"]["Location"]).split("/", 3)[3]
    assert not defaults.QUERY_RESULTS_PREFIX.startswith(location)
    assert not location.startswith(defaults.QUERY_RESULTS_PREFIX)


@pytest.mark.parametrize(
    ("suffix", "policy", "recursive"), [("qa7", "Delete", True), ("prod", "Retain", False)]
)
def test_what_people_made_goes_with_a_short_lived_stack_only(
    suffix: str, policy: str, recursive: bool
) -> None:
    stack = fresh_stack(suffix)
    _archive(stack)
    template = template_of(stack)
    workgroup = one_resource(template, _WORKGROUP)
    assert (workgroup["DeletionPolicy"], workgroup["UpdateReplacePolicy"]) == (policy, policy)
    assert workgroup["Properties"]["RecursiveDeleteOption"] is recursive
    buckets = {body["DeletionPolicy"] for body in resources(template, _BUCKET).values()}
    keys = {body["DeletionPolicy"] for body in resources(template, _KEY).values()}
    assert buckets == keys == {policy}
    for type in (_DATABASE, _TABLE, _QUERY):  # definitions: the next deployment makes them again
        assert "DeletionPolicy" not in one_resource(template, type)


def test_a_removal_policy_of_the_caller() -> None:
    stack = fresh_stack("qa7")
    data = s3.Bucket.from_bucket_name(stack, "GivenData", "data")
    _archive(stack, data, removal_policy=cdk.RemovalPolicy.RETAIN)
    template = template_of(stack)
    assert one_resource(template, _WORKGROUP)["DeletionPolicy"] == "Retain"
    assert one(template, _WORKGROUP)["RecursiveDeleteOption"] is False
    assert {b["DeletionPolicy"] for b in resources(template, _BUCKET).values()} == {"Retain"}
    assert one_resource(template, _KEY)["DeletionPolicy"] == "Retain"  # else nobody reads them


# --- saved queries --------------------------------------------------------------------------------


def test_one_query_is_saved_and_shows_the_last_day(template: Json) -> None:
    query = one(template, _QUERY)
    assert query["Name"] == "iot-archive-last-day-prod"
    assert query["Database"] == {"Ref": the_id(template, _DATABASE)}
    assert query["WorkGroup"] == {"Ref": the_id(template, _WORKGROUP)}
    assert query["Description"] == "Up to 100 of the records that arrived in the last 24 hours"
    sql = query["QueryString"]
    assert sql.startswith('SELECT *\nFROM "iot_archive_prod"."telemetry_prod"\nWHERE year IN (')
    assert sql.endswith("\nLIMIT 100")
    assert _admits(sql, dt.datetime(2026, 3, 1, 12), dt.datetime(2026, 2, 28, 12))
    assert not _admits(sql, dt.datetime(2026, 3, 1, 12), dt.datetime(2026, 2, 28, 10))


def test_a_query_of_the_caller() -> None:
    stack = fresh_stack("pr-7")
    archive = _small(stack)
    made = archive.add_saved_query("Mine", query_name="mine, really", sql="SELECT 1")
    template = template_of(stack)
    query = one(template, _QUERY, Name="mine, really-pr-7")
    assert query["QueryString"] == "SELECT 1"
    assert "Description" not in query
    assert query["WorkGroup"] == {"Ref": the_id(template, _WORKGROUP)}
    assert stack.resolve(made.ref) == {"Ref": stack.get_logical_id(made)}
    archive.add_saved_query("Long", query_name="l", sql="x" * 262_144, description="y" * 1024)


def _moment(expression: str, now: dt.datetime) -> str:
    """What one ``date_format`` of Athena gives at that moment."""
    match = re.fullmatch(
        r"date_format\(current_timestamp AT TIME ZONE 'UTC'(?: - INTERVAL '(\d+)' SECOND)?, '([%YmdH]+)'\)",
        expression,
    )
    assert match is not None, expression
    return (now - dt.timedelta(seconds=int(match[1] or 0))).strftime(match[2])


def _admits(condition: str, now: dt.datetime, arrival: dt.datetime) -> bool:
    """Whether a query that runs ``now`` looks into the folder of ``arrival``."""
    call = r"date_format\([^()]*\)"
    partition = _hour(arrival)
    lists = re.findall(rf"(\w+) IN \(({call}(?:, {call})*)\)", condition)
    assert [column for column, _ in lists] == ["year", "month", "day"]
    for column, calls in lists:
        values = {_moment(each, now) for each in re.findall(call, calls)}
        if partition[column] not in values:
            return False
    bound = re.search(rf"year \|\| month \|\| day \|\| hour >= ({call})", condition)
    assert bound is not None
    return "".join(partition.values()) >= _moment(bound[1], now)


@pytest.fixture(scope="module")
def queries() -> QueryableArchive:
    return _small(fresh_stack())


@settings(deadline=None)
@given(
    now=_SINCE_2025,
    asked=st.integers(60, 7 * 86_400),
    ago=st.floats(0, 1.2, allow_nan=False),
    buffered=st.integers(0, 900),
)
def test_the_last_hours_hold_all_that_arrived_in_them_and_little_more(
    queries: QueryableArchive, now: dt.datetime, asked: int, ago: float, buffered: int
) -> None:
    condition = queries.arrived_in_last(cdk.Duration.seconds(asked))
    # A record lies in the folder of the oldest one of its object, which waited up to 15 minutes.
    arrival = now - dt.timedelta(seconds=int(asked * ago))
    folder = arrival - dt.timedelta(seconds=buffered)
    if arrival >= now - dt.timedelta(seconds=asked):
        assert _admits(condition, now, folder)
    elif arrival < now - dt.timedelta(seconds=asked + 900 + 3600):
        assert not _admits(condition, now, arrival)


@pytest.mark.parametrize("days", [1, 7])
def test_the_last_days_name_every_day_between(queries: QueryableArchive, days: int) -> None:
    """Around the end of February, of a year, and of a month with 31 days."""
    condition = queries.arrived_in_last(cdk.Duration.days(days))
    for now in (dt.datetime(2028, 3, 1), dt.datetime(2027, 1, 3, 5), dt.datetime(2026, 8, 4, 23)):
        for hours in range(days * 24 + 1):
            assert _admits(condition, now, now - dt.timedelta(hours=hours))
        assert not _admits(condition, now, now - dt.timedelta(days=days, hours=2))


@pytest.mark.parametrize(("hours", "days"), [(1, 2), (23, 2), (24, 3), (7 * 24, 9)])
def test_no_more_days_are_named_than_such_a_span_can_touch(
    queries: QueryableArchive, hours: int, days: int
) -> None:
    """Each is a folder that is paid for; 15 minutes of buffering belong to the span."""
    condition = queries.arrived_in_last(cdk.Duration.hours(hours))
    (named,) = re.findall(r"day IN \((.*)\)", condition)
    assert named.count("'%d'") == days


@pytest.mark.parametrize("seconds", [59, 7 * 86_400 + 1])
def test_a_span_out_of_range_is_refused(queries: QueryableArchive, seconds: int) -> None:
    with pytest.raises(ValueError, match="is not between 60 seconds and 7 days") as refusal:
        queries.arrived_in_last(cdk.Duration.seconds(seconds))
    assert "pass for example duration=Duration.seconds(" in str(refusal.value)


def test_a_span_that_is_a_token_is_refused() -> None:
    stack = fresh_stack()
    with pytest.raises(ValueError, match="duration is a token") as refusal:
        _small(stack).arrived_in_last(cdk.Duration.seconds(_number(stack, "Span")))
    assert "pass for example Duration.hours(6)" in str(refusal.value)


# --- permissions ----------------------------------------------------------------------------------


def test_who_may_query_may_do_that_on_this_table_and_nothing_else() -> None:
    stack = fresh_stack("qa7")
    data = SecureDataBucket(stack, "Data", encryption_key=kms.Key(stack, "DataKey"))
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    archive = _archive(stack, data, encryption_key=kms.Key(stack, "ResultsKey"))
    grant = archive.grant_query(role)
    assert grant.success is True
    template = template_of(stack)
    keys = {key[:4]: f"${{{key}.Arn}}" for key in resources(template, _KEY)}
    archived = f"${{{_bucket_id(template, 'DataBucket')}.Arn}}"
    results = f"${{{_bucket_id(template, 'QueriesResultsBucket')}.Arn}}"
    (role_id,) = [key for key in resources(template, _ROLE) if key.startswith("Role")]
    place = "${AWS::Region}:${AWS::AccountId}"
    workgroup = f"arn:${{AWS::Partition}}:athena:{place}:workgroup/iot-archive-qa7"
    glue = f"arn:${{AWS::Partition}}:glue:{place}:"
    catalog = [
        "catalog",
        "database/default",
        "database/iot_archive_qa7",
        "table/iot_archive_qa7/telemetry_qa7",
    ]
    assert permissions(template, {"Fn::GetAtt": [role_id, "Arn"]}) == {
        ("athena:BatchGetNamedQuery", workgroup),
        ("athena:GetNamedQuery", workgroup),
        ("athena:GetQueryExecution", workgroup),
        ("athena:GetQueryResults", workgroup),
        ("athena:GetWorkGroup", workgroup),
        ("athena:ListNamedQueries", workgroup),
        ("athena:StartQueryExecution", workgroup),
        ("athena:StopQueryExecution", workgroup),
        *(
            (action, glue + it)
            for action in ("glue:GetDatabase", "glue:GetTable")
            for it in catalog
        ),
        ("s3:GetBucketLocation", archived),
        ("s3:ListBucket", archived),
        ("s3:GetObject", f"{archived}/telemetry/*"),
        ("s3:GetBucketLocation", results),
        ("s3:ListBucket", results),
        ("s3:ListBucketMultipartUploads", results),
        ("s3:AbortMultipartUpload", f"{results}/query-results/*"),
        ("s3:GetObject", f"{results}/query-results/*"),
        ("s3:ListMultipartUploadParts", f"{results}/query-results/*"),
        ("s3:PutObject", f"{results}/query-results/*"),
        ("kms:Decrypt", keys["Data"]),
        ("kms:Decrypt", keys["Resu"]),
        ("kms:GenerateDataKey", keys["Resu"]),
    }


def test_without_a_grant_nobody_may_do_anything(template: Json) -> None:
    for policy in resources(template, "AWS::IAM::Policy").values():
        assert "athena:" not in json.dumps(policy)
        assert "glue:" not in json.dumps(policy)


# --- custom values --------------------------------------------------------------------------------


def test_names_of_the_caller() -> None:
    template = _template(
        "pr-7", database_name="lorries", table_name="raw", workgroup_name="Lorries.x"
    )
    assert one(template, _DATABASE)["DatabaseInput"]["Name"] == "lorries_pr_7"
    assert _table(template)["Name"] == "raw_pr_7"
    assert one(template, _WORKGROUP)["Name"] == "Lorries.x-pr-7"
    assert one(template, _QUERY)["Name"] == "Lorries.x-last-day-pr-7"


def test_an_environment_of_the_caller() -> None:
    stack = fresh_stack("prod")
    data = s3.Bucket.from_bucket_name(stack, "GivenData", "data")
    _archive(stack, data, environment_suffix="green")
    template = template_of(stack)
    assert one(template, _WORKGROUP)["Name"] == "iot-archive-green"
    for bucket in resources(template, _BUCKET).values():
        assert plain(bucket["Properties"]["BucketName"]).endswith("-green")


def test_a_results_bucket_of_its_own_as_the_caller_wants_it() -> None:
    stack = fresh_stack("prod")
    _archive(
        stack,
        s3.Bucket.from_bucket_name(stack, "GivenData", "data"),
        results_bucket_name="answers",
        results_expiration=cdk.Duration.days(1),
        encryption_key=kms.Key(stack, "Own"),
    )
    template = template_of(stack)
    (key,) = resources(template, _KEY)
    own = {"Fn::GetAtt": [key, "Arn"]}
    bucket = resources(template, _BUCKET)[_bucket_id(template, "QueriesResultsBucket")][
        "Properties"
    ]
    assert plain(bucket["BucketName"]).startswith("answers-")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == own
    lifetimes = [r.get("ExpirationInDays") for r in bucket["LifecycleConfiguration"]["Rules"]]
    assert 1 in lifetimes
    encryption = _workgroup(template)["ResultConfiguration"]["EncryptionConfiguration"]
    assert encryption == {"EncryptionOption": "SSE_KMS", "KmsKey": own}


def _results_key(make: Any, **settings: Any) -> tuple[Json, str]:
    stack = fresh_stack("prod")
    _small(stack, results_bucket=make(stack), **{k: v(stack) for k, v in settings.items()})
    template = template_of(stack)
    configuration = _workgroup(template)["ResultConfiguration"]
    return template, configuration["EncryptionConfiguration"]["KmsKey"]["Fn::GetAtt"][0]


def test_results_in_a_given_bucket_take_its_key_or_the_callers_or_the_stacks() -> None:
    def keyed(stack: cdk.Stack) -> s3.Bucket:
        return s3.Bucket(stack, "B", encryption_key=kms.Key(stack, "OfBucket"))

    def keyless(stack: cdk.Stack) -> s3.IBucket:
        return s3.Bucket.from_bucket_name(stack, "B", "given")

    template, key = _results_key(keyed)
    assert key.startswith("OfBucket")
    assert list(resources(template, _BUCKET)) == [_bucket_id(template, "B")]  # none is made
    assert _results_key(keyed, encryption_key=lambda s: kms.Key(s, "Own"))[1].startswith("Own")
    assert _results_key(keyless)[1].startswith("IotConstructsKey")


def test_the_shared_key_is_kept_where_results_are() -> None:
    template = _template("qa7", removal_policy=cdk.RemovalPolicy.RETAIN)
    assert one_resource(template, _KEY)["DeletionPolicy"] == "Retain"


def test_results_in_a_secure_data_bucket_of_the_caller() -> None:
    stack = fresh_stack()
    data = SecureDataBucket(stack, "Data")
    archive = _archive(stack, data, results_bucket=data)
    assert archive.results_bucket is data.bucket
    template = template_of(stack)
    location = plain(_workgroup(template)["ResultConfiguration"]["OutputLocation"])
    assert location == f"s3://${{{_bucket_id(template, 'DataBucket')}}}/query-results/"


def test_a_cutoff_of_the_caller() -> None:
    smallest = _template(bytes_scanned_cutoff=cdk.Size.bytes(10_000_000))
    assert _workgroup(smallest)["BytesScannedCutoffPerQuery"] == 10_000_000
    large = _template(bytes_scanned_cutoff=cdk.Size.tebibytes(3))
    assert _workgroup(large)["BytesScannedCutoffPerQuery"] == 3 * 1024**4


def test_ids_below_it_are_kept() -> None:
    """An id is API: a resource under another one is a new resource, and the old one's data is gone."""
    archive = _archive(fresh_stack())
    assert {child.node.id for child in archive.node.children} == {
        "Results",
        "Database",
        "Table",
        "WorkGroup",
        "LastDay",
    }


def test_what_it_made_is_at_hand() -> None:
    archive = _small(fresh_stack("qa7"))
    assert (archive.database_name, archive.table_name) == ("iot_archive_qa7", "telemetry_qa7")
    assert archive.workgroup_name == "iot-archive-qa7"
    assert archive.table_reference == '"iot_archive_qa7"."telemetry_qa7"'
    for made in (archive.database, archive.table, archive.workgroup, archive.last_day_query):
        assert isinstance(made, cdk.CfnResource)


# --- refusals -------------------------------------------------------------------------------------

_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"columns": {}}, "columns={} has no column", "leave columns out"),
    ({"columns": {"temp-c": "double"}}, "columns has 'temp-c'", "json_extract(payload"),
    ({"columns": {"1st": "double"}}, "columns has '1st'", "json_extract(payload"),
    ({"columns": {"": "double"}}, "columns has ''", "json_extract(payload"),
    (
        {"columns": {"Hour": "string"}},
        "columns has 'Hour', and 'hour' is a folder of the archive already",
        "json_extract(payload",
    ),
    (
        {"columns": {"deviceId": "string", "deviceID": "string"}},
        "columns has 'deviceID', and 'deviceid' is the column of 'deviceId' already",
        "in lower case",
    ),
    ({"columns": {"a": "number"}}, "'a' of type 'number'", "'string', 'double' or 'bigint'"),
    ({"columns": {"a": "integer"}}, "'a' of type 'integer'", "'string', 'double' or 'bigint'"),
    ({"columns": {"a": ""}}, "'a' of type ''", "'string', 'double' or 'bigint'"),
    ({"first_year": 1969}, "first_year=1969", "from 1970 to 9999"),
    ({"first_year": 0}, "first_year=0", "from 1970 to 9999"),
    ({"first_year": 10_000}, "first_year=10000", "from 1970 to 9999"),
    ({"first_year": 2025.5}, "first_year=2025.5", "from 1970 to 9999"),
    (
        {"bytes_scanned_cutoff": cdk.Size.bytes(9_999_999)},
        "bytes_scanned_cutoff in bytes=9999999",
        "from 10000000",
    ),
    (
        {"bytes_scanned_cutoff": cdk.Size.tebibytes(2**23)},
        "bytes_scanned_cutoff in bytes=9223372036854776000",  # 2^63, as CDK writes it
        "to 9223372036854775807",
    ),
    (
        {"bytes_scanned_cutoff": cdk.Size.bytes(0)},
        "bytes_scanned_cutoff in bytes=0",
        "from 10000000",
    ),
    (
        {"results_expiration": cdk.Duration.hours(36), "results_bucket": None},
        "results_expiration of 129600 s is not a number of whole days",
        "results_expiration=Duration.days(2)",
    ),
    (
        {"results_expiration": cdk.Duration.days(0), "results_bucket": None},
        "results_expiration of 0 s",
        "results_expiration=Duration.days(1)",
    ),
    (
        {"results_bucket_name": "answers"},
        "results_bucket was given together with results_bucket_name='answers'",
        "leave them out",
    ),
    (
        {"results_expiration": cdk.Duration.days(3)},
        "results_bucket was given together with results_expiration",
        "leave them out",
    ),
    ({"database_name": ""}, "stem is empty", "leave the argument out"),
    ({"database_name": "iot-archive"}, "'iot-archive' has '-'", "AWS allows a-z0-9_"),
    ({"database_name": "Archive"}, "'Archive' has 'A'", "AWS allows a-z0-9_"),
    ({"table_name": "a b"}, "'a b' has ' '", "AWS allows a-z0-9_"),
    ({"workgroup_name": "a b"}, "'a b' has ' '", "AWS allows a-zA-Z0-9._-"),
    ({"workgroup_name": "x" * 125}, "129 characters and AWS allows 128", "by 1"),
    ({"removal_policy": cdk.RemovalPolicy.DESTROY}, "DESTROY", "ephemeral=True"),
]


@pytest.mark.parametrize(("arguments", "value", "fix"), _REFUSED)
def test_what_it_refuses_names_the_value_and_the_fix(
    arguments: dict[str, Any], value: str, fix: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(value)) as refusal:
        _small(fresh_stack("fix"), **arguments)
    assert fix in str(refusal.value)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"sql": ""}, "sql has a length of 0, and Athena allows 1 to 262144"),
        ({"sql": "ü" * 131_073}, "sql has a length of 262146"),
        ({"sql": "x" * 262_145}, "shorten it"),
        ({"description": ""}, "description has a length of 0, and Athena allows 1 to 1024"),
        ({"description": "x" * 1025}, "description has a length of 1025"),
        ({"query_name": "x" * 125}, "Athena saved query name"),
        ({"query_name": "ü"}, "'ü' has 'ü'"),
        ({"query_name": "iot-archive-last-day"}, "give one of them another name stem"),
    ],
)
def test_a_saved_query_that_athena_would_refuse(
    queries: QueryableArchive, arguments: dict[str, Any], value: str
) -> None:
    given = {"query_name": "refused", "sql": "SELECT 1", **arguments}
    with pytest.raises(ValueError, match=re.escape(value)):
        queries.add_saved_query("Refused", **given)
    assert queries.node.try_find_child("Refused") is None


def test_a_saved_query_of_one_character_is_one() -> None:
    stack = fresh_stack()
    _archive(stack).add_saved_query("Short", query_name="short", sql="x", description="?")
    saved = one(template_of(stack), "AWS::Athena::NamedQuery", Name="short-dev")
    assert (saved["QueryString"], saved["Description"]) == ("x", "?")


def test_two_tables_under_one_name_are_refused() -> None:
    stack = fresh_stack()
    bucket = s3.Bucket.from_bucket_name(stack, "B", "given")
    QueryableArchive(stack, "One", bucket=bucket, results_bucket=bucket)
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        QueryableArchive(stack, "Two", bucket=bucket, results_bucket=bucket)
    assert "Glue database name 'iot_archive_dev'" in str(refusal.value)


def test_two_archives_of_one_environment() -> None:
    stack = fresh_stack()
    bucket = s3.Bucket.from_bucket_name(stack, "B", "given")
    QueryableArchive(stack, "One", bucket=bucket, results_bucket=bucket)
    QueryableArchive(
        stack,
        "Two",
        bucket=bucket,
        results_bucket=bucket,
        database_name="other",
        table_name="other",
        workgroup_name="other",
    )
    assert len(resources(template_of(stack), _TABLE)) == 2


# --- tokens ---------------------------------------------------------------------------------------


def _number(stack: cdk.Stack, id: str) -> int:
    return cast(int, cdk.CfnParameter(stack, id, type="Number").value_as_number)


def test_values_that_are_only_known_at_deploy_time_pass() -> None:
    stack = fresh_stack()
    _archive(
        stack,
        s3.Bucket.from_bucket_arn(stack, "Given", cdk.Fn.import_value("bucket-arn")),
        bytes_scanned_cutoff=cdk.Size.bytes(_number(stack, "Cutoff")),
        results_expiration=cdk.Duration.days(_number(stack, "Days")),
    )
    template = template_of(stack)
    assert _workgroup(template)["BytesScannedCutoffPerQuery"] == {"Ref": "Cutoff"}
    bucket = resources(template, _BUCKET)[_bucket_id(template, "QueriesResultsBucket")]
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {"Ref": "Days"} in [rule.get("ExpirationInDays") for rule in rules]
    assert "bucket-arn" in json.dumps(_table(template)["StorageDescriptor"]["Location"])


# --- the docstring --------------------------------------------------------------------------------


def test_the_example_of_the_docstring_runs() -> None:
    code = (inspect.getdoc(QueryableArchive) or "").split("Example::")[1]
    stack = fresh_stack("pr-9")
    exec(
        compile(inspect.cleandoc(code), "docstring", "exec"),
        {"stack": stack, "stream": kinesis.Stream(stack, "Stream")},
    )
    sql = one(template_of(stack), _QUERY, Name="warmest-of-the-last-hours-pr-9")["QueryString"]
    assert sql.startswith('SELECT max(temperature) FROM "iot_archive_pr_9"."telemetry_pr_9" WHERE')
