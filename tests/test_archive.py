"""StreamArchive and QueryableArchive: what lies in the bucket, who may write and read it, and where Athena looks.

No emulator runs Athena's partition projection, so ``_folders`` computes it after AWS's page
(athena/latest/ug/partition-projection-supported-types.html), and the tests compare it with what Firehose writes after
its own (firehose/latest/dev/s3-prefixes.html).
"""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs import MonitoredStream, QueryableArchive, SecureDataBucket, StreamArchive
from iot_constructs import _defaults as defaults
from iot_constructs._props import DeliveryProps
from tests.synth_support import (
    Json,
    fresh_app,
    fresh_stack,
    inline_code,
    one,
    one_resource,
    permissions,
    plain,
    resources,
    template_of,
    the_id,
)

_DELIVERY = "AWS::KinesisFirehose::DeliveryStream"
_ALARM = "AWS::CloudWatch::Alarm"
_LOGS = "AWS::Logs::LogGroup"
_LOG_STREAM = "AWS::Logs::LogStream"
_KEY = "AWS::KMS::Key"
_BUCKET = "AWS::S3::Bucket"
_ROLE = "AWS::IAM::Role"
_DATABASE = "AWS::Glue::Database"
_TABLE = "AWS::Glue::Table"
_WORKGROUP = "AWS::Athena::WorkGroup"
_QUERY = "AWS::Athena::NamedQuery"

_GENERATED = cdk.PhysicalName.GENERATE_IF_NEEDED
_COLUMNS = {"deviceId": "string", "temperature": "double"}


@pytest.fixture(scope="module")
def template() -> Json:
    """Stream, archive, bucket, table."""
    stack = fresh_stack("prod")
    bucket = SecureDataBucket(stack, "Data")
    StreamArchive(stack, "Archive", stream=MonitoredStream(stack, "Stream"), bucket=bucket)
    QueryableArchive(stack, "Queries", bucket=bucket, columns=_COLUMNS)
    return template_of(stack)


def _archive(stack: cdk.Stack, **settings: Any) -> StreamArchive:
    """Between plain resources, which are quicker to create."""
    stream = settings.pop("stream", None) or kinesis.Stream(stack, "Stream")
    bucket = settings.pop("bucket", None) or s3.Bucket(stack, "Data")
    return StreamArchive(stack, "Archive", stream=stream, bucket=bucket, **settings)


def _queries(stack: cdk.Stack, **settings: Any) -> QueryableArchive:
    """Without buckets of its own, where they do not matter: they take time."""
    return QueryableArchive(
        stack,
        "Queries",
        **{
            "bucket": s3.Bucket.from_bucket_name(stack, "GivenData", "data"),
            "results_bucket": s3.Bucket.from_bucket_name(stack, "GivenResults", "results"),
            **settings,
        },
    )


def _destination(template: Json) -> Json:
    return cast(Json, one(template, _DELIVERY)["ExtendedS3DestinationConfiguration"])


def _freshness(template: Json) -> Json:
    return one(template, _ALARM, MetricName="DeliveryToS3.DataFreshness")


def _id(template: Json, type: str, path: str) -> str:
    """The logical id of a resource by the ids above it, which CDK puts before a hash."""
    (found,) = [
        key for key in resources(template, type) if re.fullmatch(f"{path}[0-9A-F]{{8}}", key)
    ]
    return found


def _arn(logical_id: str) -> Json:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def _number(stack: cdk.Stack, id: str) -> int:
    return cast(int, cdk.CfnParameter(stack, id, type="Number").value_as_number)


# --- StreamArchive: what it creates


def test_records_go_from_the_stream_to_the_bucket_and_are_easy_to_query(template: Json) -> None:
    delivery = one_resource(template, _DELIVERY)
    role = _arn(_id(template, _ROLE, "ArchiveRole"))
    name = f"{defaults.NAME_PREFIX}-{defaults.ARCHIVE_NAME}-prod"
    assert delivery["Properties"] == {
        "DeliveryStreamName": name,
        "DeliveryStreamType": "KinesisStreamAsSource",
        "KinesisStreamSourceConfiguration": {
            "KinesisStreamARN": _arn(the_id(template, "AWS::Kinesis::Stream")),
            "RoleARN": role,
        },
        "ExtendedS3DestinationConfiguration": {
            "BucketARN": _arn(_id(template, _BUCKET, "Data")),
            "RoleARN": role,
            "CompressionFormat": "GZIP",
            "ProcessingConfiguration": {
                "Enabled": True,
                "Processors": [{"Type": "AppendDelimiterToRecord", "Parameters": []}],
            },
            "Prefix": defaults.DATA_PREFIX,
            "ErrorOutputPrefix": defaults.ERROR_PREFIX,
            "BufferingHints": {
                "IntervalInSeconds": defaults.BUFFERING_INTERVAL_SECONDS,
                "SizeInMBs": defaults.BUFFERING_SIZE_MIB,
            },
            "EncryptionConfiguration": {
                "KMSEncryptionConfig": {"AWSKMSKeyARN": _arn(the_id(template, _KEY))}
            },
            "CloudWatchLoggingOptions": {
                "Enabled": True,
                "LogGroupName": {"Ref": the_id(template, _LOGS)},
                "LogStreamName": {"Ref": the_id(template, _LOG_STREAM)},
            },
        },
        "Tags": delivery["Properties"]["Tags"],
    }
    # Firehose checks at creation whether it may read the stream.
    assert _id(template, "AWS::IAM::Policy", "ArchiveRoleDefaultPolicy") in delivery["DependsOn"]


def _lifecycle(template: Json, id: str = "Data") -> dict[str, Json]:
    """The lifecycle rules of a bucket by their ids."""
    bucket = resources(template, "AWS::S3::Bucket")[_id(template, "AWS::S3::Bucket", id)]
    rules = bucket["Properties"].get("LifecycleConfiguration", {}).get("Rules", [])
    assert len({rule["Id"] for rule in rules}) == len(rules)  # S3 rejects two rules of one id
    return {rule["Id"]: rule for rule in rules}


_COLDER = {
    "storage_class": s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
    "transition_after": cdk.Duration.days(90),
}
_COLDER_RULE = {"StorageClass": "GLACIER_IR", "TransitionInDays": 90}


@pytest.mark.parametrize("as_dict", [False, True])
def test_objects_of_the_archive_move_and_expire_and_no_others(as_dict: bool) -> None:
    stack = fresh_stack()
    bucket = SecureDataBucket(stack, "Data")
    _archive(
        stack,
        bucket=bucket,
        retention=cdk.Duration.days(730),
        transitions=[_COLDER if as_dict else s3.Transition(**_COLDER)],  # type: ignore[arg-type]
    )
    template = template_of(stack)
    rules = _lifecycle(template)
    [added] = rules.keys() - {"ExpireOldVersions", "AbortIncompleteUploads"}
    assert len(rules) == 3
    assert rules[added] == {
        "ExpirationInDays": 730,
        "Id": added,
        "NoncurrentVersionExpiration": {"NoncurrentDays": defaults.ARCHIVE_NONCURRENT_VERSION_DAYS},
        "Prefix": "telemetry/",
        "Status": "Enabled",
        "Transitions": [_COLDER_RULE],
    }
    assert _destination(template)["Prefix"].startswith(rules[added]["Prefix"])
    assert not _destination(template)["ErrorOutputPrefix"].startswith(rules[added]["Prefix"])


def test_transitions_alone_delete_nothing() -> None:
    stack = fresh_stack()
    _archive(stack, transitions=[s3.Transition(**_COLDER)])  # type: ignore[arg-type]
    [rule] = _lifecycle(template_of(stack)).values()
    assert rule.keys() == {"Id", "Prefix", "Status", "Transitions"}


def test_without_them_there_is_no_rule() -> None:
    stack = fresh_stack()
    _archive(stack, transitions=[])
    assert _lifecycle(template_of(stack)) == {}


def test_two_archives_in_one_bucket_of_another_stack_have_a_rule_each() -> None:
    app = fresh_app()
    data, compute = fresh_stack(app=app, id="Data"), fresh_stack(app=app, id="Compute")
    bucket = s3.Bucket(data, "Data")
    for site in ("north", "south"):
        StreamArchive(
            Construct(compute, site),
            "Archive",
            stream=kinesis.Stream(compute, f"{site}Stream"),
            bucket=bucket,
            name_prefix=site,
            data_output_prefix=f"{site}/!{{timestamp:yyyy}}/",
            error_output_prefix="errors/!{firehose:error-output-type}/",
            retention=cdk.Duration.days(30),
        )
    rules = _lifecycle(template_of(data))
    assert sorted(rule["Prefix"] for rule in rules.values()) == ["north/", "south/"]


def test_days_that_are_known_at_deployment() -> None:
    stack = fresh_stack()
    kept, moved = (cdk.Duration.days(_number(stack, id)) for id in ("Kept", "Moved"))
    colder = s3.Transition(storage_class=s3.StorageClass.GLACIER, transition_after=moved)
    _archive(stack, retention=kept, transitions=[colder])
    [rule] = _lifecycle(template_of(stack)).values()
    assert rule["ExpirationInDays"] == {"Ref": "Kept"}
    assert rule["Transitions"][0]["TransitionInDays"] == {"Ref": "Moved"}


@pytest.mark.parametrize("keyword", ["retention", "transitions"])
def test_a_token_that_is_not_in_days(keyword: str) -> None:
    stack = fresh_stack("fix")
    hours = cdk.Duration.hours(_number(stack, "Hours"))
    colder = s3.Transition(storage_class=s3.StorageClass.GLACIER, transition_after=hours)
    with pytest.raises(ValueError, match=r"Duration\.days\(\)"):
        _archive(stack, **{keyword: hours if keyword == "retention" else [colder]})


def test_a_prefix_without_expressions_is_that_of_the_rule() -> None:
    stack = fresh_stack()
    _archive(stack, data_output_prefix="raw/pumps-", retention=cdk.Duration.days(30))
    [rule] = _lifecycle(template_of(stack)).values()
    assert rule["Prefix"] == "raw/pumps-"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"retention": cdk.Duration.hours(36)},
            r"retention=.*multiple of 24 hours.*AmazonS3/latest",
        ),
        ({"retention": cdk.Duration.days(0)}, "retention=.*must be from 24 hours to 36500 days"),
        (
            {"retention": cdk.Duration.days(90), "transitions": [s3.Transition(**_COLDER)]},  # type: ignore[arg-type]
            "GLACIER_IR after 90 days is not before the retention of 90 days ends; raise retention",
        ),
        (
            {
                "transitions": [
                    s3.Transition(
                        storage_class=s3.StorageClass.GLACIER,
                        transition_after=cdk.Duration.hours(36),
                    )
                ]
            },
            "transitions: a transition needs transition_after in whole days; pass for example",
        ),
        (
            {
                "transitions": [
                    s3.Transition(
                        storage_class=s3.StorageClass.GLACIER,
                        transition_date=dt.datetime(2030, 1, 1, tzinfo=dt.timezone.utc),
                    )
                ]
            },
            "transitions: a transition needs transition_after in whole days",
        ),
        *(
            (
                {
                    "retention": cdk.Duration.days(1),
                    "data_output_prefix": prefix,
                    "error_output_prefix": "errors/!{firehose:error-output-type}/",
                },
                "retention: data_output_prefix=.*does not begin with the name of a folder",
            )
            for prefix in ("!{timestamp:yyyy}/", "x-!{timestamp:yyyy}/", "", cdk.Aws.REGION)
        ),
    ],
)
def test_a_lifecycle_that_s3_rejects_or_that_is_for_other_objects(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _archive(fresh_stack("fix"), **arguments)


@pytest.mark.parametrize("keyword", ["retention", "transitions"])
def test_the_lifecycle_of_an_imported_bucket(keyword: str) -> None:
    stack = fresh_stack("fix")
    value = cdk.Duration.days(1) if keyword == "retention" else [s3.Transition(**_COLDER)]  # type: ignore[arg-type]
    bucket = s3.Bucket.from_bucket_name(stack, "Data", "data")
    with pytest.raises(
        ValueError, match=f"^{keyword}: the bucket 'Test/Data' is imported, .*there"
    ):
        _archive(stack, bucket=bucket, **{keyword: value})


def test_its_log_group_is_encrypted_and_expires(template: Json) -> None:
    group = one(template, _LOGS)
    name = f"/aws/kinesisfirehose/{defaults.NAME_PREFIX}-{defaults.ARCHIVE_NAME}-prod"
    assert group["LogGroupName"] == name
    stack = fresh_stack()
    logs.LogGroup(stack, "Logs", retention=logs.RetentionDays[defaults.LOG_RETENTION])
    assert group["RetentionInDays"] == one(template_of(stack), _LOGS)["RetentionInDays"]
    assert group["KmsKeyId"] == _arn(the_id(template, _KEY))
    (statement,) = [
        each
        for each in one(template, _KEY)["KeyPolicy"]["Statement"]
        if "ArnEquals" in each.get("Condition", {})
    ]
    (arn,) = statement["Condition"]["ArnEquals"].values()
    assert plain(arn).endswith(f":log-group:{name}")


@pytest.mark.parametrize(
    ("suffix", "given", "policy"),
    [
        ("qa7", None, "Delete"),
        ("prod", None, "RetainExceptOnCreate"),
        ("qa7", cdk.RemovalPolicy.RETAIN, "Retain"),
        ("prod", cdk.RemovalPolicy.DESTROY, "Delete"),
    ],
)
def test_logs_are_deleted_with_an_ephemeral_stack_only(
    suffix: str, given: cdk.RemovalPolicy | None, policy: str
) -> None:
    stack = fresh_stack(suffix)
    _archive(stack, removal_policy=given)
    template = template_of(stack)
    replaced = "Delete" if policy == "Delete" else "Retain"
    for type in (_LOGS, _LOG_STREAM):
        body = one_resource(template, type)
        assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == (policy, replaced), type
    if policy != "Delete":  # else nobody reads them
        assert one_resource(template, _KEY)["DeletionPolicy"] == policy


def test_its_role_may_do_what_firehose_documents_and_nothing_else() -> None:
    """CDK's role may delete what is archived (firehose/latest/dev/controlling-access.html#using-iam-s3)."""
    stack = fresh_stack("prod")
    bucket = s3.Bucket(stack, "Data", encryption_key=kms.Key(stack, "OfBucket"))
    _archive(stack, stream=MonitoredStream(stack, "Stream"), bucket=bucket)
    template = template_of(stack)
    (statement,) = one(template, _ROLE)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "firehose.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": {"Ref": "AWS::AccountId"}}}
    assert "ManagedPolicyArns" not in one(template, _ROLE)
    data = f"${{{the_id(template, _BUCKET)}.Arn}}"
    key = f"${{{_id(template, _KEY, 'OfBucket')}.Arn}}"
    source = f"${{{the_id(template, 'AWS::Kinesis::Stream')}.Arn}}"
    assert permissions(template, _arn(the_id(template, _ROLE))) == {
        ("kinesis:DescribeStream", source),
        ("kinesis:GetRecords", source),
        ("kinesis:GetShardIterator", source),
        ("kinesis:ListShards", source),
        ("kms:Decrypt", f"${{{_id(template, _KEY, 'IotConstructsKey')}.Arn}}"),
        ("kms:Decrypt", key),
        ("kms:GenerateDataKey", key),
        ("logs:PutLogEvents", f"${{{the_id(template, _LOGS)}.Arn}}"),
        ("s3:AbortMultipartUpload", f"{data}/*"),
        ("s3:GetBucketLocation", data),
        ("s3:GetObject", f"{data}/*"),
        ("s3:ListBucket", data),
        ("s3:ListBucketMultipartUploads", data),
        ("s3:PutObject", f"{data}/*"),
    }


_INTERVALS, _PERIOD = defaults.FRESHNESS_INTERVALS, defaults.ALARM_PERIOD_MINUTES * 60


@pytest.mark.parametrize("interval", [900, 120, _PERIOD // _INTERVALS, 60, 0])
def test_the_alarm_is_above_what_buffering_causes(interval: int) -> None:
    stack = fresh_stack()
    archive = _archive(stack, buffering_interval=cdk.Duration.seconds(interval))
    assert archive.alarms == [archive.freshness_alarm]
    template = template_of(stack)
    alarm = _freshness(template)
    assert alarm["Threshold"] == max(interval * _INTERVALS, _PERIOD)
    assert f" Fires at {alarm['Threshold']} s ({_INTERVALS} buffering" in alarm["AlarmDescription"]
    assert alarm["Dimensions"] == [
        {"Name": "DeliveryStreamName", "Value": {"Ref": the_id(template, _DELIVERY)}}
    ]


# --- StreamArchive: properties of the caller

_GLUE_DATABASE, _BAD_PREFIX = "metrics", "bad/!{firehose:error-output-type}/"


def _lambda_processor(stack: cdk.Stack) -> list[firehose.LambdaFunctionProcessor]:
    function = lambda_.Function(
        stack,
        "Function",
        code=inline_code(),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    return [firehose.LambdaFunctionProcessor(function)]


def _parquet(stack: cdk.Stack) -> firehose.DataFormatConversionProps:
    table = glue.CfnTable(
        stack,
        "Schema",
        catalog_id=stack.account,
        database_name=_GLUE_DATABASE,
        table_input=glue.CfnTable.TableInputProperty(name="readings"),
    )
    return firehose.DataFormatConversionProps(
        schema_configuration=firehose.SchemaConfiguration.from_cfn_table(table),
        input_format=firehose.InputFormat.OPENX_JSON,
        output_format=firehose.OutputFormat.PARQUET,
    )


def _own_role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Own", assumed_by=iam.ServicePrincipal("firehose.amazonaws.com"))


def _own_logs(stack: cdk.Stack) -> firehose.ILoggingConfig:
    return firehose.EnableLogging(logs.LogGroup(stack, "Own"))


def _backup(stack: cdk.Stack) -> firehose.DestinationS3BackupProps:
    return firehose.DestinationS3BackupProps(bucket=s3.Bucket(stack, "Own"))


_SCHEMA = "DataFormatConversionConfiguration.SchemaConfiguration.DatabaseName"
_KEY_ARN = "EncryptionConfiguration.KMSEncryptionConfig.AWSKMSKeyARN"
_PARTITIONING = firehose.DynamicPartitioningProps(enabled=False)
# A property of firehose.S3Bucket -> a value, or what creates one in a stack; where it is in the template, and as what;
# an action that Firehose needs for it.
_PROPERTIES: dict[str, tuple[Any, str, Any, str]] = {
    "buffering_interval": (cdk.Duration.seconds(61), "BufferingHints.IntervalInSeconds", 61, ""),
    "buffering_size": (cdk.Size.mebibytes(5), "BufferingHints.SizeInMBs", 5, ""),
    "compression": (firehose.Compression.SNAPPY, "CompressionFormat", "Snappy", ""),
    "data_format_conversion": (_parquet, _SCHEMA, _GLUE_DATABASE, "glue:GetTableVersions"),
    "data_output_prefix": ("raw/", "Prefix", "raw/", ""),
    "dynamic_partitioning": (_PARTITIONING, "DynamicPartitioningConfiguration.Enabled", False, ""),
    "encryption_key": (lambda s: kms.Key(s, "Own"), _KEY_ARN, "Own", "kms:GenerateDataKey"),
    "error_output_prefix": (_BAD_PREFIX, "ErrorOutputPrefix", _BAD_PREFIX, ""),
    "file_extension": (".jsonl.gz", "FileExtension", ".jsonl.gz", ""),
    "logging_config": (
        *(_own_logs, "CloudWatchLoggingOptions.LogGroupName", "Own"),
        "logs:PutLogEvents",
    ),
    "processors": (
        *(_lambda_processor, "ProcessingConfiguration.Processors.0.Type", "Lambda"),
        "lambda:InvokeFunction",
    ),
    "role": (_own_role, "RoleARN", "Own", "kinesis:GetRecords"),
    "s3_backup": (_backup, "S3BackupConfiguration.BucketARN", "Own", "s3:PutObject"),
    "time_zone": (cdk.TimeZone.EUROPE_BERLIN, "CustomTimeZone", "Europe/Berlin", ""),
}


def test_every_property_has_a_row() -> None:
    # CDK deprecates `processor` in favor of `processors`.
    assert set(_PROPERTIES) == set(DeliveryProps.__annotations__) - {"processor"}


@pytest.mark.parametrize("keyword", _PROPERTIES)
def test_a_property_of_the_destination_arrives_and_may_be_used(keyword: str) -> None:
    value, path, expected, action = _PROPERTIES[keyword]
    stack = fresh_stack()
    archive = _archive(stack, **{keyword: value(stack) if callable(value) else value})
    template = template_of(stack)
    found: Any = _destination(template)
    for step in path.split("."):
        found = found[int(step) if step.isdigit() else step]
    if isinstance(found, dict):  # a reference to what is called Own
        assert plain(found).startswith(f"${{{expected}")
    else:
        assert found == expected
    targets = [
        target
        for name, target in permissions(template, stack.resolve(archive.role.role_arn))
        if action and re.fullmatch(rf"{action}\*?", name)
    ]
    assert bool(targets) is bool(action)
    if expected == "Own" and keyword != "role":
        assert [target for target in targets if target.startswith("${Own")]
    assert len(resources(template, _ROLE)) == (2 if keyword == "processors" else 1)
    assert len(resources(template, _LOGS)) == (2 if keyword == "s3_backup" else 1)


def test_a_format_has_no_delimiter_and_no_second_compression() -> None:
    stack = fresh_stack()
    _archive(stack, data_format_conversion=_parquet(stack))
    destination = _destination(template_of(stack))
    assert {"ProcessingConfiguration", "CompressionFormat"}.isdisjoint(destination)


def test_settings_of_the_log_group() -> None:
    stack = fresh_stack("prod")
    key = kms.Key(stack, "Own")
    retention = logs.RetentionDays.ONE_DAY
    _archive(stack, log_encryption_key=key, log_retention=retention)
    template = template_of(stack)
    group = one(template, _LOGS)
    assert (group["KmsKeyId"], group["RetentionInDays"]) == (stack.resolve(key.key_arn), 1)
    assert "EncryptionConfiguration" not in _destination(template)


def test_resources_with_tokens_for_arns() -> None:
    stack = fresh_stack()
    name = cdk.Fn.import_value
    _archive(
        stack,
        stream=kinesis.Stream.from_stream_arn(stack, "Stream", name("stream-arn")),
        bucket=s3.Bucket.from_bucket_arn(stack, "Data", name("bucket-arn")),
        buffering_interval=cdk.Duration.seconds(_number(stack, "Interval")),
        buffering_size=cdk.Size.mebibytes(_number(stack, "Size")),
    )
    template = template_of(stack)
    source = one(template, _DELIVERY)["KinesisStreamSourceConfiguration"]
    assert source["KinesisStreamARN"] == {"Fn::ImportValue": "stream-arn"}
    destination = _destination(template)
    assert destination["BucketARN"] == {"Fn::ImportValue": "bucket-arn"}
    hints = destination["BufferingHints"]
    assert hints == {"IntervalInSeconds": {"Ref": "Interval"}, "SizeInMBs": {"Ref": "Size"}}
    longest = defaults.LONGEST_BUFFERING_INTERVAL_SECONDS
    assert _freshness(template)["Threshold"] == longest * _INTERVALS


@pytest.mark.parametrize("is_token", [True, False])
def test_a_freshness_threshold_of_the_caller(is_token: bool) -> None:
    stack = fresh_stack()
    interval, freshness = (
        (defaults.BUFFERING_INTERVAL_SECONDS, _number(stack, "Freshness"))
        if is_token
        else (_number(stack, "Interval"), 1)  # with which nothing compares it
    )
    _archive(
        stack,
        buffering_interval=cdk.Duration.seconds(interval),
        freshness_threshold=cdk.Duration.seconds(freshness),
    )
    alarm = _freshness(template_of(stack))
    assert alarm["Threshold"] == ({"Ref": "Freshness"} if is_token else 1)
    fires = "the threshold set at deployment" if is_token else "1 s"
    assert f" Fires at {fires}. " in alarm["AlarmDescription"]


@pytest.mark.parametrize(("before", "count"), [(True, 1), (False, 1), (None, 0)])
def test_the_mapping_that_cdk_adds_stays_only_for_others(before: bool | None, count: int) -> None:
    """It has addresses for destinations in a VPC, and cfn-lint reports it as unused."""
    stack = fresh_stack()
    own = firehose.S3Bucket(s3.Bucket(stack, "OwnBucket"))
    if before is True:
        firehose.DeliveryStream(stack, "Own", destination=own)
    _archive(stack)
    if before is False:
        firehose.DeliveryStream(stack, "Own", destination=own)
    assert len(template_of(stack).get("Mappings", {})) == count


def test_it_is_a_grantee() -> None:
    stack = fresh_stack()
    archive = _archive(stack)
    other = s3.Bucket(stack, "Other")
    other.grant_read(archive)
    template = template_of(stack)
    granted = permissions(template, stack.resolve(archive.role.role_arn))
    assert ("s3:GetObject*", plain(stack.resolve(other.bucket_arn))) in granted


# --- names of both


def _both(stack: cdk.Stack, id: str, **settings: Any) -> tuple[StreamArchive, QueryableArchive]:
    bucket = s3.Bucket.from_bucket_name(stack, f"{id}Data", "data")
    stream = kinesis.Stream.from_stream_arn(
        stack, f"{id}Stream", "arn:aws:kinesis:eu-central-1:123456789012:stream/given"
    )
    names = ("delivery_stream_name", "database_name", "table_name", "workgroup_name")
    own = {name: settings.pop(name) for name in names if name in settings}
    delivery = own.pop("delivery_stream_name", None)
    archive = StreamArchive(
        stack,
        f"{id}Archive",
        stream=stream,
        bucket=bucket,
        delivery_stream_name=delivery,
        **settings,
    )
    queries = QueryableArchive(
        stack, f"{id}Queries", bucket=bucket, results_bucket=bucket, **own, **settings
    )
    return archive, queries


def _names(template: Json) -> dict[str, list[Any]]:
    """The names of what both create, by type."""
    places = {
        _DELIVERY: ("DeliveryStreamName",),
        _LOGS: ("LogGroupName",),
        _DATABASE: ("DatabaseInput", "Name"),
        _TABLE: ("TableInput", "Name"),
        **dict.fromkeys((_WORKGROUP, _QUERY), ("Name",)),
        _ALARM: ("AlarmName",),
    }
    found: dict[str, list[Any]] = {type: [] for type in places}
    for type, place in places.items():
        for body in resources(template, type).values():
            properties = body["Properties"]
            for step in place[:-1]:
                properties = properties[step]
            found[type].append(properties.get(place[-1]))
    return found


def test_base_names_of_the_caller() -> None:
    stack = fresh_stack("prod")
    _, queries = _both(
        stack,
        "",
        environment_suffix="pr-7",
        name_prefix="north",
        delivery_stream_name="trucks",
        database_name="fleet",
        table_name="raw",
        workgroup_name="Fleet.x",
    )
    assert _names(template_of(stack)) == {
        _DELIVERY: ["trucks-pr-7"],
        _LOGS: ["/aws/kinesisfirehose/trucks-pr-7"],
        _DATABASE: ["fleet_pr_7"],
        _TABLE: ["raw_pr_7"],
        _WORKGROUP: ["Fleet.x-pr-7"],
        _QUERY: ["Fleet.x-last-day-pr-7"],
        _ALARM: ["north-firehose-freshness-pr-7"],
    }
    assert queries.table_reference == '"fleet_pr_7"."raw_pr_7"'


def test_generated_names_and_two_archives_in_one_stack() -> None:
    """Athena takes no hyphen in a database or table, so CDK generates those names and not CloudFormation."""
    stack = fresh_stack("prod")
    for id in ("A", "B"):
        names = ("delivery_stream_name", "database_name", "table_name", "workgroup_name")
        _both(stack, id, name_prefix=id.lower(), **dict.fromkeys(names, _GENERATED))
    found = _names(template_of(stack))
    assert found[_DELIVERY] == found[_LOGS] == [None, None]
    for kind in (_DATABASE, _TABLE, _WORKGROUP, _QUERY):
        assert len(set(found[kind])) == 2, found[kind]
    for name in (*found[_DATABASE], *found[_TABLE]):
        assert re.fullmatch(r"[a-z0-9_]{1,255}", name)
    for name in found[_WORKGROUP]:
        assert re.fullmatch(r"[a-zA-Z0-9._-]{1,128}", name)


def test_two_archives_differ_by_their_prefix() -> None:
    stack = fresh_stack()
    _both(stack, "A")
    stream, bucket = kinesis.Stream(stack, "S"), s3.Bucket.from_bucket_name(stack, "D", "data")
    with pytest.raises(ValueError, match=r"delivery_stream_name: .*'Test/AArchive' already"):
        StreamArchive(stack, "C", stream=stream, bucket=bucket)
    with pytest.raises(ValueError, match=r"database_name: .*'Test/AQueries' already"):
        QueryableArchive(stack, "D2", bucket=bucket, results_bucket=bucket)
    _both(stack, "B", name_prefix="south")
    assert len(set(_names(template_of(stack))[_DATABASE])) == 2


# --- where the archive writes, and where the table looks


def _table(template: Json) -> Json:
    return cast(Json, one(template, _TABLE)["TableInput"])


# How Java's DateTimeFormatter writes what a prefix may hold, in Python.
_JAVA = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H"}


def _firehose_prefix(template: Json, arrival: dt.datetime) -> str:
    return re.sub(
        r"!\{timestamp:(\w+)\}",
        lambda match: arrival.strftime(_JAVA[match[1]]),
        _destination(template)["Prefix"],
    )


def _values(properties: dict[str, str], column: str, now: dt.datetime) -> list[str]:
    """What a column is projected to."""

    def of(name: str) -> str:
        return properties[f"projection.{column}.{name}"]

    first, last = of("range").split(",")
    if of("type") == "integer":
        width = int(of("digits"))
        return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
    assert (of("type"), last) == ("date", "NOW")
    # AWS has no default for an interval of years (same page).
    assert (of("format"), of("interval"), of("interval.unit")) == ("yyyy", "1", "YEARS")
    return [str(year) for year in range(int(first), now.year + 1)]


def _folders(table: Json, now: dt.datetime, **where: str) -> Iterator[tuple[dict[str, str], str]]:
    """Every partition that a query with these conditions reads, with its folder."""
    properties = table["Parameters"]
    assert properties["projection.enabled"] == "true"
    columns = [key["Name"] for key in table["PartitionKeys"]]
    choices = [
        [value for value in _values(properties, column, now) if where.get(column, value) == value]
        for column in columns
    ]
    for values in itertools.product(*choices):
        partition = dict(zip(columns, values, strict=True))
        folder = plain(properties["storage.location.template"])
        for column, value in partition.items():
            folder = folder.replace(f"${{{column}}}", value)
        yield partition, folder


def _hour(moment: dt.datetime) -> dict[str, str]:
    names = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H"}
    return {name: moment.strftime(form) for name, form in names.items()}


_FIRST = dt.datetime(defaults.ARCHIVE_FIRST_YEAR, 1, 1)
_MOMENTS = st.datetimes(_FIRST, dt.datetime(2049, 12, 31, 23, 59))


@settings(deadline=None)
@given(arrival=_MOMENTS, later=st.timedeltas(dt.timedelta(0), dt.timedelta(days=900)))
def test_every_record_is_in_the_folder_of_its_hour_and_in_no_other(
    template: Json, arrival: dt.datetime, later: dt.timedelta
) -> None:
    bucket = _id(template, _BUCKET, "Data")
    written = f"s3://${{{bucket}}}/{_firehose_prefix(template, arrival)}"
    table = _table(template)
    assert list(_folders(table, arrival + later, **_hour(arrival))) == [(_hour(arrival), written)]
    assert written.startswith(plain(table["StorageDescriptor"]["Location"]))


def test_no_two_partitions_share_a_folder_and_no_future_one_is_read(template: Json) -> None:
    now = dt.datetime(_FIRST.year + 1, 6, 15, 12)
    folders = [folder for _, folder in _folders(_table(template), now)]
    assert len(set(folders)) == len(folders) == 2 * 12 * 31 * 24
    assert {re.findall(r"year=(\d+)", each)[0] for each in folders} == {
        str(now.year - 1),
        str(now.year),
    }


def test_objects_as_firehose_writes_them_are_found_and_read(template: Json, tmp_path: Path) -> None:
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
        for path in folder.glob("*.gz"):  # a folder that does not exist has no rows
            for line in gzip.decompress(path.read_bytes()).decode().splitlines():
                try:
                    members = {name.lower(): value for name, value in json.loads(line).items()}
                except ValueError:
                    members = {}  # ignore.malformed.json
                rows.append([members.get(name) for name in columns] + [partition["hour"]])
    assert rows == [["d0", 0.5, "23"], [None, None, "23"], ["d1", 1.5, "00"], [None, None, "00"]]


@pytest.mark.parametrize("year", [1970, 9999])
def test_the_first_year_of_the_caller(year: int) -> None:
    stack = fresh_stack()
    _queries(stack, first_year=year)
    properties = _table(template_of(stack))["Parameters"]
    assert properties["projection.year.range"] == f"{year},NOW"


# --- the table


def test_database_and_table(template: Json) -> None:
    prefix, type = defaults.NAME_PREFIX, defaults.PARTITION_COLUMN_TYPE
    database, table = one(template, _DATABASE), one(template, _TABLE)
    assert database["DatabaseInput"]["Name"] == f"{prefix}_{defaults.DATABASE_NAME}_prod"
    assert table["DatabaseName"] == {"Ref": the_id(template, _DATABASE)}
    assert database["CatalogId"] == table["CatalogId"] == {"Ref": "AWS::AccountId"}
    settings = table["TableInput"]
    assert settings["Name"] == f"{defaults.ARCHIVE_TABLE_NAME}_prod"
    assert settings["TableType"] == "EXTERNAL_TABLE"
    assert settings["PartitionKeys"] == [{"Name": name, "Type": type} for name in _hour(_FIRST)]


def _assert_is_text(storage: Json) -> None:
    assert storage["InputFormat"] == "org.apache.hadoop.mapred.TextInputFormat"
    assert storage["OutputFormat"] == "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"


def test_columns_are_members_of_the_payload_in_lower_case(template: Json) -> None:
    storage = _table(template)["StorageDescriptor"]
    columns = {column["Name"]: column["Type"] for column in storage["Columns"]}
    assert columns == {name.lower(): type for name, type in _COLUMNS.items()}
    assert storage["SerdeInfo"] == {
        "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
        "Parameters": {"case.insensitive": "TRUE", "ignore.malformed.json": "TRUE"},
    }
    _assert_is_text(storage)


def test_without_columns_there_is_one_with_the_whole_line() -> None:
    stack = fresh_stack()
    _queries(stack)
    storage = _table(template_of(stack))["StorageDescriptor"]
    assert storage["Columns"] == [{"Name": defaults.PAYLOAD_COLUMN, "Type": "string"}]
    serde = storage["SerdeInfo"]
    assert serde["SerializationLibrary"] == "org.apache.hadoop.hive.serde2.RegexSerDe"
    assert list(serde["Parameters"]) == ["input.regex"]
    pattern = serde["Parameters"]["input.regex"]
    assert pattern.startswith("(?s)")  # Java's dot leaves out more than Python's
    for line in ('{"temperature": 1}', "not json", "", "a\u2028b\u0085c", "\x01"):
        match = re.fullmatch(pattern, line)
        assert match is not None
        assert match.groups() == (line,)
    _assert_is_text(storage)


def test_types_of_the_catalog_pass() -> None:
    types = [
        *("string", "boolean", "tinyint", "smallint", "int", "bigint", "float", "double"),
        *("date", "timestamp", "decimal(38,3)", "decimal(38, 3)", "varchar(10)", "char(2)"),
        *("array<double>", "map<string,double>", "struct<a:int,b:array<string>>"),
    ]
    stack = fresh_stack()
    _queries(stack, columns={f"_a{number}": type for number, type in enumerate(types)})
    columns = _table(template_of(stack))["StorageDescriptor"]["Columns"]
    assert [column["Type"] for column in columns] == types


# --- the workgroup and its results


def _workgroup(template: Json) -> Json:
    return cast(Json, one(template, _WORKGROUP)["WorkGroupConfiguration"])


def test_the_settings_of_the_workgroup_are_enforced(template: Json) -> None:
    configuration = _workgroup(template)
    name = f"{defaults.NAME_PREFIX}-{defaults.WORKGROUP_NAME}-prod"
    assert one(template, _WORKGROUP)["Name"] == name
    assert configuration["EnforceWorkGroupConfiguration"] is defaults.ENFORCE_WORKGROUP
    assert configuration["PublishCloudWatchMetricsEnabled"] is defaults.PUBLISH_QUERY_METRICS
    cutoff = defaults.QUERY_BYTES_SCANNED_CUTOFF_GIB * 1024**3
    assert configuration["BytesScannedCutoffPerQuery"] == cutoff


def test_results_are_encrypted_in_a_secure_bucket_and_expire(template: Json) -> None:
    results = _id(template, _BUCKET, "QueriesResults")
    prefix = defaults.QUERY_RESULTS_PREFIX
    assert _workgroup(template)["ResultConfiguration"] == {
        "OutputLocation": {"Fn::Join": ["", ["s3://", {"Ref": results}, f"/{prefix}"]]},
        "EncryptionConfiguration": {
            "EncryptionOption": "SSE_KMS",
            "KmsKey": _arn(the_id(template, _KEY)),
        },
    }
    bucket = resources(template, _BUCKET)[results]["Properties"]
    beginning = f"{defaults.NAME_PREFIX}-{defaults.QUERY_RESULTS_BUCKET_NAME}-"
    assert plain(bucket["BucketName"]).startswith(beginning)
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = [r for r in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in r]
    assert rule["ExpirationInDays"] == defaults.QUERY_RESULTS_DAYS
    noncurrent = {"NoncurrentDays": defaults.QUERY_RESULTS_NONCURRENT_DAYS}
    assert rule["NoncurrentVersionExpiration"] == noncurrent
    # Never in a folder of the table, even when they go to the archive's bucket: a query would read them as records.
    folder = plain(_table(template)["StorageDescriptor"]["Location"]).split("/", 3)[3]
    assert not prefix.startswith(folder)
    assert not folder.startswith(prefix)


@pytest.mark.parametrize(
    ("suffix", "given", "policy"),
    [
        ("qa7", None, "Delete"),
        ("prod", None, "RetainExceptOnCreate"),
        ("qa7", cdk.RemovalPolicy.RETAIN, "Retain"),
    ],
)
def test_what_people_create_is_deleted_with_an_ephemeral_stack_only(
    suffix: str, given: cdk.RemovalPolicy | None, policy: str
) -> None:
    stack = fresh_stack(suffix)
    _queries(stack, results_bucket=None, removal_policy=given)
    template = template_of(stack)
    workgroup = one_resource(template, _WORKGROUP)
    replaced = "Delete" if policy == "Delete" else "Retain"
    assert (workgroup["DeletionPolicy"], workgroup["UpdateReplacePolicy"]) == (policy, replaced)
    assert workgroup["Properties"]["RecursiveDeleteOption"] is (policy == "Delete")
    kept = [*resources(template, _BUCKET).values(), one_resource(template, _KEY)]
    assert {body["DeletionPolicy"] for body in kept} == {policy}
    for type in (_DATABASE, _TABLE, _QUERY):  # definitions: the next deployment creates them again
        assert "DeletionPolicy" not in one_resource(template, type)


def test_a_results_bucket_with_settings_of_the_caller() -> None:
    stack = fresh_stack("prod")
    key = kms.Key(stack, "Own")
    _queries(
        stack,
        results_bucket=None,
        results_bucket_name="answers",
        results_expiration=cdk.Duration.days(_number(stack, "Days")),
        bytes_scanned_cutoff=cdk.Size.bytes(_number(stack, "Cutoff")),
        encryption_key=key,
    )
    template = template_of(stack)
    own = stack.resolve(key.key_arn)
    bucket = resources(template, _BUCKET)[_id(template, _BUCKET, "QueriesResults")]["Properties"]
    assert plain(bucket["BucketName"]).startswith("answers-")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == own
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert {"Ref": "Days"} in [rule.get("ExpirationInDays") for rule in rules]
    configuration = _workgroup(template)
    assert configuration["BytesScannedCutoffPerQuery"] == {"Ref": "Cutoff"}
    encryption = configuration["ResultConfiguration"]["EncryptionConfiguration"]
    assert encryption == {"EncryptionOption": "SSE_KMS", "KmsKey": own}


@pytest.mark.parametrize(
    ("keyed", "own_key", "expected"),
    [(True, False, "OfBucket"), (True, True, "Own"), (False, False, "IotConstructsKey")],
)
def test_the_key_of_results_in_a_given_bucket(keyed: bool, own_key: bool, expected: str) -> None:
    stack = fresh_stack("prod")
    bucket = (
        s3.Bucket(stack, "B", encryption_key=kms.Key(stack, "OfBucket"))
        if keyed
        else s3.Bucket.from_bucket_name(stack, "B", "given")
    )
    key = {"encryption_key": kms.Key(stack, "Own")} if own_key else {}
    archive = _queries(stack, results_bucket=bucket, **key)
    assert archive.results_bucket is bucket
    template = template_of(stack)
    configuration = _workgroup(template)["ResultConfiguration"]
    name = plain(stack.resolve(bucket.bucket_name))
    location = f"s3://{name}/{defaults.QUERY_RESULTS_PREFIX}"
    assert plain(configuration["OutputLocation"]) == location
    key_arn = configuration["EncryptionConfiguration"]["KmsKey"]["Fn::GetAtt"][0]
    assert key_arn.startswith(expected)
    assert len(resources(template, _BUCKET)) == (1 if keyed else 0)  # none is created


@pytest.mark.parametrize("cutoff", [defaults.SMALLEST_BYTES_SCANNED_CUTOFF, 3 * 1024**4])
def test_a_cutoff_of_the_caller(cutoff: int) -> None:
    stack = fresh_stack()
    _queries(stack, bytes_scanned_cutoff=cdk.Size.bytes(cutoff))
    assert _workgroup(template_of(stack))["BytesScannedCutoffPerQuery"] == cutoff


# --- saved queries


def _moment(expression: str, now: dt.datetime) -> str:
    """What one ``date_format`` of Athena returns at that moment."""
    match = re.fullmatch(
        r"date_format\(current_timestamp AT TIME ZONE 'UTC'(?: - INTERVAL '(\d+)' SECOND)?, '([%YmdH]+)'\)",
        expression,
    )
    assert match is not None, expression
    return (now - dt.timedelta(seconds=int(match[1] or 0))).strftime(match[2])


def _admits(condition: str, now: dt.datetime, arrival: dt.datetime) -> bool:
    """Whether a query that runs ``now`` reads the folder of ``arrival``."""
    call = r"date_format\([^()]*\)"
    partition = _hour(arrival)
    lists = re.findall(rf"(\w+) IN \(({call}(?:, {call})*)\)", condition)
    assert [column for column, _ in lists] == ["year", "month", "day"]
    for column, calls in lists:
        if partition[column] not in {_moment(each, now) for each in re.findall(call, calls)}:
            return False
    bound = re.search(rf"year \|\| month \|\| day \|\| hour >= ({call})", condition)
    assert bound is not None
    return "".join(partition.values()) >= _moment(bound[1], now)


_LAST_DAY = f"{defaults.NAME_PREFIX}-{defaults.WORKGROUP_NAME}-last-day"


@pytest.fixture(scope="module")
def queries() -> QueryableArchive:
    return _queries(fresh_stack())


def test_the_query_of_the_last_day(template: Json) -> None:
    query = one(template, _QUERY)
    assert query["Name"] == f"{_LAST_DAY}-prod"
    assert query["Database"] == {"Ref": the_id(template, _DATABASE)}
    assert query["WorkGroup"] == {"Ref": the_id(template, _WORKGROUP)}
    sql = query["QueryString"]
    database = f"{defaults.NAME_PREFIX}_{defaults.DATABASE_NAME}_prod"
    table = f'"{database}"."{defaults.ARCHIVE_TABLE_NAME}_prod"'
    assert sql.startswith(f"SELECT *\nFROM {table}\nWHERE year IN (")
    assert sql.endswith("\nLIMIT 100")
    assert _admits(sql, dt.datetime(2026, 3, 1, 12), dt.datetime(2026, 2, 28, 12))
    assert not _admits(sql, dt.datetime(2026, 3, 1, 12), dt.datetime(2026, 2, 28, 10))


def test_queries_of_the_caller() -> None:
    stack = fresh_stack("pr-7")
    archive = _queries(stack)
    shortest = {"sql": "x", "description": "?"}
    longest = {"sql": "x" * defaults.LONGEST_QUERY_BYTES}
    longest["description"] = "y" * defaults.LONGEST_QUERY_DESCRIPTION
    for name, texts in {"mine, really": {"sql": "1"}, "s": shortest, "l": longest}.items():
        archive.add_saved_query(f"Query-{name[0]}", query_name=name, **texts)
    template = template_of(stack)
    for name, texts in {"mine, really": {"sql": "1"}, "s": shortest, "l": longest}.items():
        query = one(template, _QUERY, Name=f"{name}-pr-7")
        assert query["QueryString"] == texts["sql"]
        assert query.get("Description") == texts.get("description")
        assert query["WorkGroup"] == {"Ref": the_id(template, _WORKGROUP)}


@settings(deadline=None)
@given(
    now=_MOMENTS,
    span=st.integers(60, defaults.LONGEST_QUERIED_DAYS * 86_400),
    ago=st.floats(0, 1.2, allow_nan=False),
    buffered=st.integers(0, defaults.LONGEST_BUFFERING_INTERVAL_SECONDS),
)
def test_the_last_hours_have_all_that_arrived_in_them_and_little_more(
    queries: QueryableArchive, now: dt.datetime, span: int, ago: float, buffered: int
) -> None:
    condition = queries.arrived_in_last(cdk.Duration.seconds(span))
    # A record lies in the folder of the oldest one of its object, which waited for the buffer.
    arrival = now - dt.timedelta(seconds=int(span * ago))
    longest = defaults.LONGEST_BUFFERING_INTERVAL_SECONDS
    if arrival >= now - dt.timedelta(seconds=span):
        assert _admits(condition, now, arrival - dt.timedelta(seconds=buffered))
    elif arrival < now - dt.timedelta(seconds=span + longest + 3600):
        assert not _admits(condition, now, arrival)


@pytest.mark.parametrize("days", [1, defaults.LONGEST_QUERIED_DAYS])
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
    """Each is a folder to list and to pay; the time in the buffer belongs to the span."""
    condition = queries.arrived_in_last(cdk.Duration.hours(hours))
    (named,) = re.findall(r"day IN \((.*)\)", condition)
    assert named.count("'%d'") == days


def test_a_span_out_of_range(queries: QueryableArchive) -> None:
    longest = defaults.LONGEST_QUERIED_DAYS * 86_400
    for seconds in (59, longest + 1):
        with pytest.raises(ValueError, match=rf"duration=.*Duration.seconds\((60|{longest})\)"):
            queries.arrived_in_last(duration=cdk.Duration.seconds(seconds))
    token = cdk.Duration.seconds(_number(fresh_stack(), "Span"))
    with pytest.raises(ValueError, match=r"duration is a token.*Duration.hours\(6\)"):
        queries.arrived_in_last(token)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sql": ""}, "sql has a length of 0, and Athena allows 1 to 262144"),
        ({"sql": "ü" * (defaults.LONGEST_QUERY_BYTES // 2 + 1)}, "sql has a length of 262146"),
        ({"sql": "x" * (defaults.LONGEST_QUERY_BYTES + 1)}, "sql has .*shorten it"),
        ({"description": ""}, "description"),
        ({"description": "x" * (defaults.LONGEST_QUERY_DESCRIPTION + 1)}, "description"),
        ({"query_name": "x" * 125}, "query_name=.*AWS allows 128"),
        ({"query_name": "ü"}, "query_name='ü': 'ü' is not allowed"),
        ({"query_name": _LAST_DAY}, "query_name: .*already"),
    ],
)
def test_a_saved_query_that_athena_rejects(
    queries: QueryableArchive, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        queries.add_saved_query("Wrong", **{"query_name": "wrong", "sql": "SELECT 1", **arguments})
    assert queries.node.try_find_child("Wrong") is None


def test_two_archives_cannot_have_a_query_of_one_name(queries: QueryableArchive) -> None:
    data = s3.Bucket.from_bucket_name(queries, "OtherData", "data")
    other = QueryableArchive(
        cdk.Stack.of(queries), "Other", bucket=data, results_bucket=data, name_prefix="b"
    )
    queries.add_saved_query("Same", query_name="same", sql="SELECT 1")
    with pytest.raises(ValueError, match=r"query_name: .*already"):
        other.add_saved_query("Same", query_name="same", sql="SELECT 1")


# --- permissions to query


def test_who_may_query_may_do_that_on_this_table_and_nothing_else() -> None:
    stack = fresh_stack("qa7")
    data = s3.Bucket(stack, "Data", encryption_key=kms.Key(stack, "DataKey"))
    results = s3.Bucket(stack, "Results")
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    key = kms.Key(stack, "ResultsKey")
    archive = _queries(stack, bucket=data, results_bucket=results, encryption_key=key)
    assert archive.grant_query(role).success is True
    template = template_of(stack)

    def arn(construct: s3.Bucket | kms.Key) -> str:
        return plain(
            stack.resolve(
                construct.key_arn if isinstance(construct, kms.Key) else construct.bucket_arn
            )
        )

    place = "${AWS::Region}:${AWS::AccountId}"
    workgroup = f"arn:${{AWS::Partition}}:athena:{place}:workgroup/{archive.workgroup_name}"
    database, table = archive.database_name, archive.table_name
    catalog = ("catalog", "database/default", f"database/{database}", f"table/{database}/{table}")
    folder = f"{arn(data)}/{defaults.DATA_PREFIX.split('/')[0]}/*"
    written = f"{arn(results)}/{defaults.QUERY_RESULTS_PREFIX}*"
    assert permissions(template, stack.resolve(role.role_arn)) == {
        ("athena:BatchGetNamedQuery", workgroup),
        ("athena:GetNamedQuery", workgroup),
        ("athena:GetQueryExecution", workgroup),
        ("athena:GetQueryResults", workgroup),
        ("athena:GetWorkGroup", workgroup),
        ("athena:ListNamedQueries", workgroup),
        ("athena:StartQueryExecution", workgroup),
        ("athena:StopQueryExecution", workgroup),
        *(
            (action, f"arn:${{AWS::Partition}}:glue:{place}:{part}")
            for action in ("glue:GetDatabase", "glue:GetTable")
            for part in catalog
        ),
        ("s3:GetBucketLocation", arn(data)),
        ("s3:ListBucket", arn(data)),
        ("s3:GetObject", folder),
        ("s3:GetBucketLocation", arn(results)),
        ("s3:ListBucket", arn(results)),
        ("s3:ListBucketMultipartUploads", arn(results)),
        ("s3:AbortMultipartUpload", written),
        ("s3:GetObject", written),
        ("s3:ListMultipartUploadParts", written),
        ("s3:PutObject", written),
        ("kms:Decrypt", arn(cast(kms.Key, data.encryption_key))),
        ("kms:Decrypt", arn(key)),
        ("kms:GenerateDataKey", arn(key)),
    }


# --- ids and wrong values


def test_ids_are_kept() -> None:
    """A resource under another id is another resource, and the data of the old one is gone."""
    stack = fresh_stack()
    archive, queries = _archive(stack), _queries(stack, results_bucket=None)
    assert {child.node.id for child in archive.node.children} == {
        *("Logs", "Role", "DeliveryStream", "FreshnessAlarm"),
        "ImmutableRoleRole",  # CDK's view of the role, no resource
    }
    assert {child.node.id for child in queries.node.children} >= {
        *("Results", "Database", "Table", "WorkGroup", "LastDay")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"buffering_interval": cdk.Duration.seconds(901)}, r"buffering_interval=.*seconds\(900\)"),
        ({"buffering_size": cdk.Size.mebibytes(129)}, "buffering_size=129 MiB.*from 1 to 128"),
        ({"buffering_size": cdk.Size.mebibytes(0)}, "buffering_size=0 MiB.*from 1 to 128"),
        ({"buffering_size": cdk.Size.kibibytes(1536)}, "buffering_size=1.5 MiB: must be whole"),
        (
            {"freshness_threshold": cdk.Duration.seconds(defaults.BUFFERING_INTERVAL_SECONDS)},
            "freshness_threshold of .* is not above the buffering_interval",
        ),
        ({"delivery_stream_name": ""}, "delivery_stream_name=''"),
        ({"delivery_stream_name": "a b"}, "delivery_stream_name='a b': ' ' is not allowed"),
        ({"delivery_stream_name": "x" * 61}, "delivery_stream_name=.*AWS allows 64.*by 1"),
        (
            {
                "logging_config": firehose.DisableLogging(),
                "log_retention": logs.RetentionDays.ONE_DAY,
            },
            "logging_config excludes log_retention=",
        ),
    ],
)
def test_wrong_values_of_an_archive(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _archive(fresh_stack("fix"), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": {}}, "columns={} has no column; leave columns out"),
        ({"columns": {"temp-c": "double"}}, r"columns has 'temp-c'.*json_extract\(payload"),
        ({"columns": {"1st": "double"}}, "columns has '1st'"),
        ({"columns": {"": "double"}}, "columns has ''"),
        ({"columns": {"Hour": "string"}}, "'Hour', and 'hour' is a folder of the archive"),
        (
            {"columns": {"deviceId": "string", "deviceID": "string"}},
            "'deviceID', and 'deviceid' is the column of 'deviceId' already.*lower case",
        ),
        ({"columns": {"a": "number"}}, "'a' of type 'number'.*'string', 'double' or 'bigint'"),
        ({"columns": {"a": "integer"}}, "'a' of type 'integer'"),
        ({"columns": {"a": ""}}, "'a' of type ''"),
        ({"first_year": 1969}, "first_year=1969.*from 1,970 to 9,999"),
        ({"first_year": 10_000}, "first_year=10000"),
        ({"first_year": 2025.5}, "first_year=2025.5"),
        ({"bytes_scanned_cutoff": cdk.Size.bytes(9_999_999)}, "bytes_scanned_cutoff of 9,999,999"),
        ({"bytes_scanned_cutoff": cdk.Size.tebibytes(2**23)}, r"bytes_scanned_cutoff .*2\^63"),
        (
            {"results_expiration": cdk.Duration.hours(36), "results_bucket": None},
            "results_expiration=36 hours.*multiple of 24 hours",
        ),
        (
            {"results_expiration": cdk.Duration.days(0), "results_bucket": None},
            "results_expiration=0 seconds",
        ),
        ({"results_bucket_name": "x"}, "results_bucket excludes results_bucket_name='x'"),
        ({"results_expiration": cdk.Duration.days(3)}, "excludes results_expiration="),
        ({"database_name": ""}, "database_name=''"),
        ({"database_name": "iot-archive"}, "database_name='iot-archive': '-' is not allowed"),
        ({"database_name": "Archive"}, "database_name='Archive': 'A' is not allowed"),
        ({"table_name": "a b"}, "table_name='a b': ' ' is not allowed"),
        ({"workgroup_name": "a b"}, "workgroup_name='a b': ' ' is not allowed"),
        ({"workgroup_name": "x" * 125}, "workgroup_name=.*AWS allows 128.*by 1"),
    ],
)
def test_wrong_values_of_a_queryable_archive(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _queries(fresh_stack("fix"), **arguments)
