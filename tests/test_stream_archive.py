"""StreamArchive: how records are laid down, what watches it, and what it leaves alone."""

from __future__ import annotations

import re
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

from iot_constructs import MonitoredStream, SecureDataBucket, StreamArchive
from tests.synth_support import Json, fresh_stack, one, one_resource, resources, template_of
from tests.test_whole_pipeline import permissions, plain, the_id

_DELIVERY = "AWS::KinesisFirehose::DeliveryStream"
_ALARM = "AWS::CloudWatch::Alarm"
_LOGS = "AWS::Logs::LogGroup"
_LOG_STREAM = "AWS::Logs::LogStream"
_KEY = "AWS::KMS::Key"
_BUCKET = "AWS::S3::Bucket"
_STREAM = "AWS::Kinesis::Stream"
_ROLE = "AWS::IAM::Role"


def _archive(
    stack: cdk.Stack,
    stream: MonitoredStream | kinesis.IStream | None = None,
    bucket: SecureDataBucket | s3.IBucket | None = None,
    **settings: Any,
) -> StreamArchive:
    return StreamArchive(
        stack,
        "Archive",
        stream=stream if stream is not None else MonitoredStream(stack, "Stream"),
        bucket=bucket if bucket is not None else SecureDataBucket(stack, "Data"),
        **settings,
    )


def _template(suffix: str = "prod", **settings: Any) -> Json:
    stack = fresh_stack(suffix)
    _archive(stack, **settings)
    return template_of(stack)


@pytest.fixture(scope="module")
def template() -> Json:
    return _template()


def _destination(template: Json) -> Json:
    destination: Json = one(template, _DELIVERY)["ExtendedS3DestinationConfiguration"]
    return destination


def _freshness(template: Json) -> Json:
    return one(template, _ALARM, MetricName="DeliveryToS3.DataFreshness")


def _data_bucket(template: Json) -> str:
    (bucket,) = [key for key in resources(template, _BUCKET) if "AccessLogs" not in key]
    return bucket


# --- defaults -------------------------------------------------------------------------------------


def test_it_reads_the_stream_and_writes_the_bucket(template: Json) -> None:
    delivery = one(template, _DELIVERY)
    assert delivery["DeliveryStreamType"] == "KinesisStreamAsSource"
    assert delivery["KinesisStreamSourceConfiguration"]["KinesisStreamARN"] == {
        "Fn::GetAtt": [the_id(template, _STREAM), "Arn"]
    }
    assert _destination(template)["BucketARN"] == {"Fn::GetAtt": [_data_bucket(template), "Arn"]}


def test_its_name_is_the_stem_and_the_suffix(template: Json) -> None:
    assert one(template, _DELIVERY)["DeliveryStreamName"] == "iot-sensor-archive-prod"


def test_objects_are_compressed(template: Json) -> None:
    assert _destination(template)["CompressionFormat"] == "GZIP"


def test_every_record_is_a_line(template: Json) -> None:
    processing = _destination(template)["ProcessingConfiguration"]
    assert processing["Enabled"] is True
    assert [processor["Type"] for processor in processing["Processors"]] == [
        "AppendDelimiterToRecord"
    ]


def test_objects_lie_under_their_hour_and_errors_under_their_reason(template: Json) -> None:
    destination = _destination(template)
    assert destination["Prefix"] == (
        "telemetry/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
    )
    assert destination["ErrorOutputPrefix"] == (
        "errors/!{firehose:error-output-type}/"
        "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/"
    )


def test_buffers_are_large(template: Json) -> None:
    assert _destination(template)["BufferingHints"] == {
        "IntervalInSeconds": 300,
        "SizeInMBs": 128,
    }


def test_objects_are_encrypted_with_the_key_of_the_bucket(template: Json) -> None:
    assert _destination(template)["EncryptionConfiguration"] == {
        "KMSEncryptionConfig": {"AWSKMSKeyARN": {"Fn::GetAtt": [the_id(template, _KEY), "Arn"]}}
    }


def test_it_logs_to_its_own_group_which_is_named_encrypted_and_has_an_end(template: Json) -> None:
    assert _destination(template)["CloudWatchLoggingOptions"] == {
        "Enabled": True,
        "LogGroupName": {"Ref": the_id(template, _LOGS)},
        "LogStreamName": {"Ref": the_id(template, _LOG_STREAM)},
    }
    group = one(template, _LOGS)
    assert group["LogGroupName"] == "/aws/kinesisfirehose/iot-sensor-archive-prod"
    assert group["RetentionInDays"] == 90
    assert group["KmsKeyId"] == {"Fn::GetAtt": [the_id(template, _KEY), "Arn"]}


def test_the_log_service_may_use_the_key_for_this_group(template: Json) -> None:
    (statement,) = [
        s
        for s in one(template, _KEY)["KeyPolicy"]["Statement"]
        if "ArnEquals" in s.get("Condition", {})
    ]
    (arn,) = statement["Condition"]["ArnEquals"].values()
    assert plain(arn).endswith(":log-group:/aws/kinesisfirehose/iot-sensor-archive-prod")


@pytest.mark.parametrize(
    ("suffix", "policy"), [("qa7", "Delete"), ("prod", "Retain"), ("live", "Retain")]
)
def test_log_group_and_log_stream_go_with_a_short_lived_stack_only(
    suffix: str, policy: str
) -> None:
    stack = fresh_stack(suffix)
    # a bucket without CDK's auto-delete function, which has a log group as well
    _archive(stack, bucket=s3.Bucket(stack, "Own"))
    template = template_of(stack)
    for type in (_LOGS, _LOG_STREAM):
        body = one_resource(template, type)
        assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == (policy, policy), type


# --- permissions ----------------------------------------------------------------------------------


def test_its_role_is_for_this_account(template: Json) -> None:
    (statement,) = one(template, _ROLE)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "firehose.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": {"Ref": "AWS::AccountId"}}}


def test_its_role_may_do_what_firehose_documents_and_nothing_else() -> None:
    """CDK's roles for it may delete what is archived (F controlling-access.html#using-iam-s3)."""
    stack = fresh_stack("prod")
    own = kms.Key(stack, "Own")
    _archive(stack, bucket=SecureDataBucket(stack, "Data", encryption_key=own))
    template = template_of(stack)
    (of_bucket,) = [key for key in resources(template, _KEY) if key.startswith("Own")]
    (of_stream,) = [key for key in resources(template, _KEY) if not key.startswith("Own")]
    stream, group, bucket = (
        the_id(template, _STREAM),
        the_id(template, _LOGS),
        _data_bucket(template),
    )
    assert permissions(template, {"Fn::GetAtt": [the_id(template, _ROLE), "Arn"]}) == {
        ("kinesis:DescribeStream", f"${{{stream}.Arn}}"),
        ("kinesis:GetRecords", f"${{{stream}.Arn}}"),
        ("kinesis:GetShardIterator", f"${{{stream}.Arn}}"),
        ("kinesis:ListShards", f"${{{stream}.Arn}}"),
        ("kms:Decrypt", f"${{{of_stream}.Arn}}"),
        ("kms:Decrypt", f"${{{of_bucket}.Arn}}"),
        ("kms:GenerateDataKey", f"${{{of_bucket}.Arn}}"),
        ("logs:PutLogEvents", f"${{{group}.Arn}}"),
        ("s3:AbortMultipartUpload", f"${{{bucket}.Arn}}/*"),
        ("s3:GetBucketLocation", f"${{{bucket}.Arn}}"),
        ("s3:GetObject", f"${{{bucket}.Arn}}/*"),
        ("s3:ListBucket", f"${{{bucket}.Arn}}"),
        ("s3:ListBucketMultipartUploads", f"${{{bucket}.Arn}}"),
        ("s3:PutObject", f"${{{bucket}.Arn}}/*"),
    }
    assert "ManagedPolicyArns" not in one(template, _ROLE)


def test_source_and_destination_use_that_role_and_wait_for_its_permissions(template: Json) -> None:
    delivery = one_resource(template, _DELIVERY)
    role = {"Fn::GetAtt": [the_id(template, _ROLE), "Arn"]}
    properties = delivery["Properties"]
    assert properties["KinesisStreamSourceConfiguration"]["RoleARN"] == role
    assert properties["ExtendedS3DestinationConfiguration"]["RoleARN"] == role
    assert the_id(template, "AWS::IAM::Policy") in delivery["DependsOn"]


# --- the alarm ------------------------------------------------------------------------------------


def test_it_has_one_alarm_on_the_age_of_what_is_not_delivered(template: Json) -> None:
    alarm = _freshness(template)
    assert alarm["AlarmName"] == "iot-firehose-freshness-prod"
    assert (alarm["Namespace"], alarm["Statistic"]) == ("AWS/Firehose", "Maximum")
    assert (alarm["Period"], alarm["Threshold"]) == (300, 900)
    assert alarm["Dimensions"] == [
        {"Name": "DeliveryStreamName", "Value": {"Ref": the_id(template, _DELIVERY)}}
    ]
    assert (
        " First: read the log group /aws/kinesisfirehose/iot-sensor-archive-prod;"
        in (alarm["AlarmDescription"])
    )
    archive = _archive(fresh_stack())
    assert archive.alarms == [archive.freshness_alarm]


@pytest.mark.parametrize(
    ("interval", "threshold"),
    [(900, 2700), (300, 900), (120, 360), (99, 300), (60, 300), (0, 300)],
)
def test_the_alarm_is_above_what_buffering_makes(interval: int, threshold: int) -> None:
    template = _template(buffering_interval=cdk.Duration.seconds(interval))
    assert _destination(template)["BufferingHints"]["IntervalInSeconds"] == interval
    assert _freshness(template)["Threshold"] == threshold
    assert f" Fires at {threshold} s (" in _freshness(template)["AlarmDescription"]


def test_ids_below_it_are_kept() -> None:
    """An id is API: a resource under another one is a new resource, and the old one's data is gone."""
    archive = _archive(fresh_stack())
    assert {child.node.id for child in archive.node.children} == {
        "Logs",
        "Role",
        "ImmutableRoleRole",  # CDK's view of it, no resource
        "DeliveryStream",
        "FreshnessAlarm",
    }


# --- custom values --------------------------------------------------------------------------------


def test_values_of_the_caller() -> None:
    template = _template(
        archive_name="lorries",
        buffering_interval=cdk.Duration.seconds(60),
        buffering_size=cdk.Size.mebibytes(1),
        freshness_threshold=cdk.Duration.seconds(61),
        alarm_name_prefix="fleet",
        log_retention=logs.RetentionDays.ONE_DAY,
        environment_suffix="green",
    )
    assert one(template, _DELIVERY)["DeliveryStreamName"] == "lorries-green"
    assert _destination(template)["BufferingHints"] == {"IntervalInSeconds": 60, "SizeInMBs": 1}
    group = one(template, _LOGS)
    assert group["LogGroupName"] == "/aws/kinesisfirehose/lorries-green"
    assert group["RetentionInDays"] == 1
    alarm = _freshness(template)
    assert (alarm["AlarmName"], alarm["Threshold"]) == ("fleet-firehose-freshness-green", 61)


def test_a_key_of_the_caller_is_for_the_logs() -> None:
    stack = fresh_stack("prod")
    _archive(stack, encryption_key=kms.Key(stack, "Own"))
    template = template_of(stack)
    (own,) = [key for key in resources(template, _KEY) if key.startswith("Own")]
    assert one(template, _LOGS)["KmsKeyId"] == {"Fn::GetAtt": [own, "Arn"]}
    encryption = _destination(template)["EncryptionConfiguration"]["KMSEncryptionConfig"]
    assert encryption["AWSKMSKeyARN"] != {"Fn::GetAtt": [own, "Arn"]}


def test_a_removal_policy_of_the_caller() -> None:
    stack = fresh_stack("qa7")
    retain = cdk.RemovalPolicy.RETAIN
    _archive(stack, bucket=s3.Bucket(stack, "Own"), removal_policy=retain)
    template = template_of(stack)
    assert one_resource(template, _LOGS)["DeletionPolicy"] == "Retain"
    assert one_resource(template, _LOG_STREAM)["DeletionPolicy"] == "Retain"
    keys = [key["DeletionPolicy"] for key in resources(template, _KEY).values()]
    assert keys == ["Retain"]  # else the logs could not be read


def test_an_imported_stream_and_bucket_with_tokens_for_arns() -> None:
    stack = fresh_stack()
    _archive(
        stack,
        kinesis.Stream.from_stream_arn(stack, "Stream", cdk.Fn.import_value("stream-arn")),
        s3.Bucket.from_bucket_arn(stack, "Data", cdk.Fn.import_value("bucket-arn")),
    )
    template = template_of(stack)
    source = one(template, _DELIVERY)["KinesisStreamSourceConfiguration"]
    assert source["KinesisStreamARN"] == {"Fn::ImportValue": "stream-arn"}
    destination = _destination(template)
    assert destination["BucketARN"] == {"Fn::ImportValue": "bucket-arn"}
    assert "EncryptionConfiguration" not in destination


# --- what it leaves alone -------------------------------------------------------------------------

_CDK_MAPPING = "awscdkawskinesisfirehoseCidrBlocks"


def test_it_leaves_no_unused_mapping(template: Json) -> None:
    assert "Mappings" not in template


def _delivery_of_the_user(stack: cdk.Stack) -> firehose.DeliveryStream:
    destination = firehose.S3Bucket(s3.Bucket(stack, "OwnBucket"))
    return firehose.DeliveryStream(stack, "Own", destination=destination)


def test_a_delivery_stream_of_the_user_that_was_there_before_keeps_its_mapping() -> None:
    stack = fresh_stack()
    _delivery_of_the_user(stack)
    _archive(stack)
    template = template_of(stack)
    assert list(template["Mappings"]) == [_CDK_MAPPING]
    assert len(resources(template, _DELIVERY)) == 2


def test_one_that_comes_later_gets_its_mapping() -> None:
    stack = fresh_stack()
    _archive(stack)
    _delivery_of_the_user(stack)
    assert list(template_of(stack)["Mappings"]) == [_CDK_MAPPING]


def test_two_archives_in_one_stack() -> None:
    stack = fresh_stack()
    stream, bucket = MonitoredStream(stack, "Stream"), SecureDataBucket(stack, "Data")
    _archive(stack, stream, bucket)
    StreamArchive(
        stack, "Other", stream=stream, bucket=bucket, archive_name="b", alarm_name_prefix="b"
    )
    template = template_of(stack)
    assert len(resources(template, _DELIVERY)) == 2
    assert "Mappings" not in template


# --- refusals -------------------------------------------------------------------------------------

_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"buffering_interval": cdk.Duration.seconds(901)},
        "buffering_interval=901 seconds",
        "pass for example buffering_interval=Duration.seconds(900)",
    ),
    (
        {"buffering_size": cdk.Size.mebibytes(129)},
        "buffering_size in MiB=129",
        "from 1 to 128",
    ),
    ({"buffering_size": cdk.Size.mebibytes(0)}, "buffering_size in MiB=0", "from 1 to 128"),
    (
        {"freshness_threshold": cdk.Duration.seconds(300)},
        "freshness_threshold of 300 s is not above the buffering interval of 300 s",
        "raise it or leave it out",
    ),
    (
        {
            "freshness_threshold": cdk.Duration.seconds(60),
            "buffering_interval": cdk.Duration.seconds(120),
        },
        "freshness_threshold of 60 s is not above the buffering interval of 120 s",
        "raise it or leave it out",
    ),
    ({"archive_name": ""}, "stem is empty", "leave the argument out"),
    ({"archive_name": "a b"}, "'a b' has ' '", "AWS allows a-zA-Z0-9_.-"),
    ({"archive_name": "x" * 61}, "65 characters and AWS allows 64", "by 1"),
    ({"removal_policy": cdk.RemovalPolicy.DESTROY}, "DESTROY", "ephemeral=True"),
]


@pytest.mark.parametrize(("arguments", "value", "fix"), _REFUSED)
def test_what_it_refuses_names_the_value_and_the_fix(
    arguments: dict[str, Any], value: str, fix: str
) -> None:
    stack = fresh_stack("fix")
    with pytest.raises(ValueError, match=re.escape(value)) as refusal:
        _archive(stack, kinesis.Stream(stack, "S"), s3.Bucket(stack, "B"), **arguments)
    assert fix in str(refusal.value)


def test_two_archives_under_one_name_are_refused() -> None:
    stack = fresh_stack()
    stream, bucket = kinesis.Stream(stack, "S"), s3.Bucket(stack, "B")
    _archive(stack, stream, bucket)
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        StreamArchive(stack, "Other", stream=stream, bucket=bucket)
    assert "Firehose stream name 'iot-sensor-archive-dev'" in str(refusal.value)


# --- tokens ---------------------------------------------------------------------------------------


def _number(stack: cdk.Stack, id: str) -> int:
    return cast(int, cdk.CfnParameter(stack, id, type="Number").value_as_number)


def test_a_buffer_that_is_only_known_at_deploy_time_passes() -> None:
    stack = fresh_stack()
    _archive(
        stack,
        buffering_interval=cdk.Duration.seconds(_number(stack, "Interval")),
        buffering_size=cdk.Size.mebibytes(_number(stack, "Size")),
    )
    template = template_of(stack)
    assert _destination(template)["BufferingHints"] == {
        "IntervalInSeconds": {"Ref": "Interval"},
        "SizeInMBs": {"Ref": "Size"},
    }
    assert _freshness(template)["Threshold"] == 2700  # three times the longest interval


def test_a_threshold_is_not_held_against_an_interval_that_is_a_token() -> None:
    stack = fresh_stack()
    _archive(
        stack,
        buffering_interval=cdk.Duration.seconds(_number(stack, "Interval")),
        freshness_threshold=cdk.Duration.seconds(1),
    )
    assert _freshness(template_of(stack))["Threshold"] == 1


def test_a_freshness_threshold_that_is_a_token_passes() -> None:
    stack = fresh_stack()
    _archive(stack, freshness_threshold=cdk.Duration.seconds(_number(stack, "Freshness")))
    alarm = _freshness(template_of(stack))
    assert alarm["Threshold"] == {"Ref": "Freshness"}
    assert " Fires at the threshold set at deployment. " in alarm["AlarmDescription"]


# --- what it offers -------------------------------------------------------------------------------


def test_name_arn_grant_and_metric() -> None:
    stack = fresh_stack()
    archive = _archive(stack)
    role = iam.Role(stack, "Writer", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    archive.grant(role, "firehose:PutRecord")
    cdk.CfnOutput(stack, "Name", value=archive.delivery_stream_name)
    cdk.CfnOutput(stack, "Arn", value=archive.delivery_stream_arn)
    metric = archive.metric_data_freshness()
    assert (metric.namespace, metric.statistic, metric.period.to_seconds()) == (
        "AWS/Firehose",
        "Maximum",
        300,
    )
    template = template_of(stack)
    delivery = the_id(template, _DELIVERY)
    assert template["Outputs"]["Name"]["Value"] == {"Ref": delivery}
    assert template["Outputs"]["Arn"]["Value"] == {"Fn::GetAtt": [delivery, "Arn"]}
    (writer,) = [key for key in resources(template, "AWS::IAM::Role") if key.startswith("Writer")]
    assert permissions(template, {"Fn::GetAtt": [writer, "Arn"]}) == {
        ("firehose:PutRecord", f"${{{delivery}.Arn}}")
    }
