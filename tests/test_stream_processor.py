"""StreamProcessor: the function, its mapping, its permissions, and where failures go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from iot_constructs import MonitoredStream, SecureDataBucket, StreamProcessor
from tests.synth_support import (
    Json,
    fresh_stack,
    one,
    one_resource,
    resources,
    template_of,
)
from tests.test_whole_pipeline import as_list, inline_code, permissions, the_id

_FUNCTION = "AWS::Lambda::Function"
_MAPPING = "AWS::Lambda::EventSourceMapping"
_ASYNC = "AWS::Lambda::EventInvokeConfig"
_TOPIC = "AWS::SNS::Topic"
_QUEUE = "AWS::SQS::Queue"
_LOGS = "AWS::Logs::LogGroup"
_KEY = "AWS::KMS::Key"
_STREAM = "AWS::Kinesis::Stream"

_READ_STREAM = {
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
}


def _processor(
    stack: cdk.Stack, stream: MonitoredStream | kinesis.IStream | None = None, **settings: Any
) -> StreamProcessor:
    return StreamProcessor(
        stack,
        "Processor",
        stream=stream if stream is not None else MonitoredStream(stack, "Stream"),
        code=settings.pop("code", None) or inline_code(),
        handler=settings.pop("handler", "index.handler"),
        **settings,
    )


def _template(suffix: str = "qa7", **settings: Any) -> Json:
    stack = fresh_stack(suffix)
    _processor(stack, **settings)
    return template_of(stack)


@pytest.fixture(scope="module")
def template() -> Json:
    return _template()


def _ref(template: Json, type: str) -> Json:
    return {"Ref": the_id(template, type)}


def _arn(template: Json, type: str) -> Json:
    return {"Fn::GetAtt": [the_id(template, type), "Arn"]}


# --- the function ---------------------------------------------------------------------------------

_FUNCTION_DEFAULTS: dict[str, Any] = {
    "FunctionName": "iot-stream-processor-qa7",
    "Runtime": "python3.14",
    "Architectures": ["arm64"],
    "MemorySize": 512,
    "Timeout": 60,
    "TracingConfig": {"Mode": "Active"},
    "Handler": "index.handler",
}


@pytest.mark.parametrize("name", list(_FUNCTION_DEFAULTS))
def test_defaults_of_the_function(template: Json, name: str) -> None:
    assert one(template, _FUNCTION)[name] == _FUNCTION_DEFAULTS[name]


def test_it_reserves_no_concurrency_and_has_no_layers(template: Json) -> None:
    function = one(template, _FUNCTION)
    assert {"ReservedConcurrentExecutions", "Layers", "DeadLetterConfig"} & set(function) == set()


def test_it_says_what_it_is_for(template: Json) -> None:
    assert "DLQ" in one(template, _FUNCTION)["Description"]
    assert one(template, "AWS::IAM::Role")["Description"] == "Stream processor"


def test_the_handler_is_handler_in_handler_py(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("def handler(event, context): ...\n", encoding="utf-8")
    stack = fresh_stack()
    StreamProcessor(
        stack,
        "Processor",
        stream=MonitoredStream(stack, "Stream"),
        code=lambda_.Code.from_asset(str(tmp_path)),
    )
    assert one(template_of(stack), _FUNCTION)["Handler"] == "handler.handler"


def test_it_knows_the_dlq_topic(template: Json) -> None:
    assert one(template, _FUNCTION)["Environment"]["Variables"] == {
        "DLQ_TOPIC_ARN": _ref(template, _TOPIC)
    }


@pytest.mark.parametrize("dlq", ["own", "given"])
def test_its_environment_is_encrypted_with_a_key_that_it_may_use(dlq: str) -> None:
    stack = fresh_stack("qa7")
    own = kms.Key(stack, "Own")
    # With a topic of the caller, no other permission has this key in it.
    given = sns.Topic(stack, "Given") if dlq == "given" else None
    _processor(stack, encryption_key=own, dlq_topic=given)
    key = str(stack.get_logical_id(cast(cdk.CfnElement, own.node.default_child)))
    template = template_of(stack)
    assert one(template, _FUNCTION)["KmsKeyArn"] == {"Fn::GetAtt": [key, "Arn"]}
    role = {"Fn::GetAtt": [the_id(template, "AWS::IAM::Role"), "Arn"]}
    assert ("kms:Decrypt", f"${{{key}.Arn}}") in permissions(template, role)


def test_it_logs_json_to_its_own_log_group(template: Json) -> None:
    assert one(template, _FUNCTION)["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": _ref(template, _LOGS),
    }


def test_the_log_group_is_named_encrypted_and_has_an_end(template: Json) -> None:
    group = one(template, _LOGS)
    assert group["LogGroupName"] == "/aws/lambda/iot-stream-processor-qa7"
    assert group["RetentionInDays"] == 90
    assert group["KmsKeyId"] == _arn(template, _KEY)


def test_the_log_service_may_use_the_key_for_this_group_only(template: Json) -> None:
    (statement,) = [
        s
        for s in one(template, _KEY)["KeyPolicy"]["Statement"]
        if "ArnEquals" in s.get("Condition", {})
    ]
    assert set(statement["Action"]) == {
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:DescribeKey",
    }
    (context,) = statement["Condition"]["ArnEquals"].items()
    assert context[0] == "kms:EncryptionContext:aws:logs:arn"
    assert context[1]["Fn::Join"][1][-1] == ":log-group:/aws/lambda/iot-stream-processor-qa7"


# --- permissions ----------------------------------------------------------------------------------


def _allowed(template: Json) -> set[tuple[str, str]]:
    return permissions(template, one(template, _FUNCTION)["Role"])


def _minimum(template: Json) -> set[tuple[str, str]]:
    """All that the role needs while failures go to the topic."""
    group, topic, key, stream = (the_id(template, type) for type in (_LOGS, _TOPIC, _KEY, _STREAM))
    return {
        ("logs:CreateLogStream", f"${{{group}.Arn}}"),
        ("logs:PutLogEvents", f"${{{group}.Arn}}"),
        ("sns:Publish", f"${{{topic}}}"),
        ("kms:Decrypt", f"${{{key}.Arn}}"),
        ("kms:GenerateDataKey", f"${{{key}.Arn}}"),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
        *((action, f"${{{stream}.Arn}}") for action in _READ_STREAM),
    }


def test_its_role_has_no_managed_policy(template: Json) -> None:
    role = one(template, "AWS::IAM::Role")
    assert "ManagedPolicyArns" not in role
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_its_role_may_do_what_it_needs_and_nothing_else(template: Json) -> None:
    assert _allowed(template) == _minimum(template)


def test_the_mapping_waits_for_the_permissions(template: Json) -> None:
    awaited = one_resource(template, _MAPPING)["DependsOn"]
    statements = [
        action
        for key, policy in resources(template, "AWS::IAM::Policy").items()
        if key in awaited
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
    ]
    assert {"kinesis:GetRecords", "sns:Publish"} <= set(statements)


# --- the mapping ----------------------------------------------------------------------------------

_MAPPING_DEFAULTS: dict[str, Any] = {
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 5,
    "BisectBatchOnFunctionError": True,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "StartingPosition": "TRIM_HORIZON",
    "MaximumRetryAttempts": 10,
    "MaximumRecordAgeInSeconds": 362_880,
    "ParallelizationFactor": 1,
    "MetricsConfig": {"Metrics": ["EventCount"]},
}


@pytest.mark.parametrize("name", list(_MAPPING_DEFAULTS))
def test_defaults_of_the_mapping(template: Json, name: str) -> None:
    assert one(template, _MAPPING)[name] == _MAPPING_DEFAULTS[name]


def test_it_reads_the_stream_into_the_function(template: Json) -> None:
    mapping = one(template, _MAPPING)
    assert mapping["EventSourceArn"] == _arn(template, _STREAM)
    assert mapping["FunctionName"] == _ref(template, _FUNCTION)


def test_what_keeps_failing_goes_to_the_dlq_topic(template: Json) -> None:
    assert one(template, _MAPPING)["DestinationConfig"] == {
        "OnFailure": {"Destination": _ref(template, _TOPIC)}
    }


@pytest.mark.parametrize(
    ("retention_hours", "record_age"),
    [
        (24, 51_840),
        (168, 362_880),
        (8760, 604_800),  # no longer than the API allows
    ],
)
def test_a_record_is_given_up_while_the_stream_still_has_it(
    retention_hours: int, record_age: int
) -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream", retention_period=cdk.Duration.hours(retention_hours))
    _processor(stack, stream)
    template = template_of(stack)
    assert one(template, _MAPPING)["MaximumRecordAgeInSeconds"] == record_age
    assert record_age < retention_hours * 3600
    # The alarm on iterator age comes first: a person is called before records are given up.
    alarm = one(template, "AWS::CloudWatch::Alarm", MetricName="GetRecords.IteratorAgeMilliseconds")
    assert retention_hours > 168 or alarm["Threshold"] < record_age * 1000


# --- asynchronous invocations (correction 6) ------------------------------------------------------


def test_asynchronous_invocations_are_bounded_and_end_on_the_dlq_topic(template: Json) -> None:
    assert one(template, _ASYNC) == {
        "DestinationConfig": {"OnFailure": {"Destination": _ref(template, _TOPIC)}},
        "FunctionName": _ref(template, _FUNCTION),
        "MaximumEventAgeInSeconds": 21_600,
        "MaximumRetryAttempts": 2,
        "Qualifier": "$LATEST",
    }


# --- the dead-letter path -------------------------------------------------------------------------


def test_the_dlq_topic_is_named_encrypted_and_tls_only(template: Json) -> None:
    topic = one(template, _TOPIC)
    assert topic["TopicName"] == "iot-pipeline-dlq-qa7"
    assert topic["KmsMasterKeyId"] == _arn(template, _KEY)
    assert "FifoTopic" not in topic
    policy = one(template, "AWS::SNS::TopicPolicy")
    assert policy["Topics"] == [_ref(template, _TOPIC)]
    assert _denied(policy) == [("sns:Publish", {"Bool": {"aws:SecureTransport": "false"}})]


def _denied(policy: Json) -> list[tuple[str, Json]]:
    statements = policy["PolicyDocument"]["Statement"]
    return [(s["Action"], s["Condition"]) for s in statements if s["Effect"] == "Deny"]


def test_the_dlq_queue_keeps_messages_for_14_days_encrypted(template: Json) -> None:
    queue = one(template, _QUEUE)
    assert queue["QueueName"] == "iot-pipeline-dlq-qa7"
    assert queue["MessageRetentionPeriod"] == 1_209_600
    assert queue["VisibilityTimeout"] == 300
    assert queue["KmsMasterKeyId"] == _arn(template, _KEY)


def test_the_queue_answers_over_tls_only(template: Json) -> None:
    policy = one(template, "AWS::SQS::QueuePolicy")
    assert policy["Queues"] == [_ref(template, _QUEUE)]
    assert _denied(policy) == [("sqs:*", {"Bool": {"aws:SecureTransport": "false"}})]


def test_the_queue_is_subscribed_and_lets_this_topic_send(template: Json) -> None:
    assert one(template, "AWS::SNS::Subscription") == {
        "Protocol": "sqs",
        "TopicArn": _ref(template, _TOPIC),
        "Endpoint": _arn(template, _QUEUE),
    }
    statements = one(template, "AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    assert [s for s in statements if s["Effect"] == "Allow"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": _arn(template, _QUEUE),
            "Condition": {"ArnEquals": {"aws:SourceArn": _ref(template, _TOPIC)}},
        }
    ]


def test_sns_may_use_the_key_for_this_account(template: Json) -> None:
    statements = one(template, _KEY)["KeyPolicy"]["Statement"]
    assert [s for s in statements if s["Principal"].get("Service") == "sns.amazonaws.com"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
        }
    ]


@pytest.mark.parametrize(
    ("suffix", "policy"), [("qa7", "Delete"), ("prod", "Retain"), ("live", "Retain")]
)
def test_logs_and_dead_letters_go_with_a_short_lived_stack_only(suffix: str, policy: str) -> None:
    template = _template(suffix)
    kept = {one_resource(template, type)["DeletionPolicy"] for type in (_LOGS, _QUEUE)}
    assert kept == {policy}


def test_dead_letters_that_are_kept_keep_their_key() -> None:
    stack = fresh_stack("qa7")
    existing = kinesis.Stream(stack, "Stream")
    _processor(stack, existing, removal_policy=cdk.RemovalPolicy.RETAIN)
    assert one_resource(template_of(stack), _KEY)["DeletionPolicy"] == "Retain"


@pytest.mark.parametrize(
    ("suffix", "policy", "window"), [("qa7", "Delete", 7), ("prod", "Retain", None)]
)
def test_the_key_goes_with_a_short_lived_stack_only(
    suffix: str, policy: str, window: int | None
) -> None:
    key = one_resource(_template(suffix), _KEY)
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == (policy, policy)
    assert key["Properties"].get("PendingWindowInDays") == window
    assert key["Properties"]["Description"] == "Telemetry pipeline of Test"


def test_ids_below_it_are_kept() -> None:
    """An id is API: a resource under another one is a new resource, and the old one's data is gone."""
    processor = _processor(fresh_stack())
    assert {child.node.id for child in processor.node.children} == {
        "DlqTopic",
        "DlqQueue",
        "DlqSubscription",
        "Logs",
        "Role",
        "Tracing",
        "Function",
        "FailureTopic",
        "Mapping",
    }


# --- custom values --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def custom() -> Json:
    stack = fresh_stack("qa7")
    layer_arn = "arn:aws:lambda:eu-central-1:123456789012:layer:own:1"
    _processor(
        stack,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="main.run",
        environment={"A": "1", "DLQ_TOPIC_ARN": "mine"},
        layers=[lambda_.LayerVersion.from_layer_version_arn(stack, "Layer", layer_arn)],
        function_name="lorries",
        memory_size=128,
        timeout=cdk.Duration.seconds(900),
        reserved_concurrent_executions=0,
        batch_size=1,
        max_batching_window=cdk.Duration.seconds(0),
        parallelization_factor=10,
        bisect_batch_on_error=False,
        report_batch_item_failures=False,
        retry_attempts=0,
        max_record_age=cdk.Duration.seconds(60),
        max_event_age=cdk.Duration.seconds(60),
        async_retry_attempts=0,
        dlq_name="lost-lorries",
        log_retention=logs.RetentionDays.ONE_DAY,
        removal_policy=cdk.RemovalPolicy.RETAIN,
        environment_suffix="green",
    )
    return template_of(stack)


def test_the_function_of_the_caller(custom: Json) -> None:
    function = one(custom, _FUNCTION)
    assert {name: function[name] for name in (*_FUNCTION_DEFAULTS, "Layers")} == {
        "FunctionName": "lorries-green",
        "Runtime": "python3.13",
        "Architectures": ["arm64"],
        "MemorySize": 128,
        "Timeout": 900,
        "TracingConfig": {"Mode": "Active"},
        "Handler": "main.run",
        "Layers": ["arn:aws:lambda:eu-central-1:123456789012:layer:own:1"],
    }
    assert function["ReservedConcurrentExecutions"] == 0  # "do not run" is a value
    assert function["Environment"]["Variables"] == {"A": "1", "DLQ_TOPIC_ARN": "mine"}


def test_the_mapping_of_the_caller_with_its_zeros(custom: Json) -> None:
    mapping = one(custom, _MAPPING)
    assert mapping["BatchSize"] == 1
    assert mapping["MaximumBatchingWindowInSeconds"] == 0
    assert mapping["ParallelizationFactor"] == 10
    assert mapping["BisectBatchOnFunctionError"] is False
    assert "FunctionResponseTypes" not in mapping
    assert mapping["MaximumRetryAttempts"] == 0
    assert mapping["MaximumRecordAgeInSeconds"] == 60


def test_the_rest_of_the_caller(custom: Json) -> None:
    asynchronous = one(custom, _ASYNC)
    assert asynchronous["MaximumEventAgeInSeconds"] == 60
    assert asynchronous["MaximumRetryAttempts"] == 0
    group = one_resource(custom, _LOGS)
    assert group["Properties"]["LogGroupName"] == "/aws/lambda/lorries-green"
    assert group["Properties"]["RetentionInDays"] == 1
    assert group["DeletionPolicy"] == one_resource(custom, _QUEUE)["DeletionPolicy"] == "Retain"
    assert one(custom, _TOPIC)["TopicName"] == "lost-lorries-green"
    assert one(custom, _QUEUE)["QueueName"] == "lost-lorries-green"


def test_the_largest_values() -> None:
    template = _template(
        memory_size=10_240,
        timeout=cdk.Duration.seconds(1),
        batch_size=10_000,
        max_batching_window=cdk.Duration.seconds(300),
        retry_attempts=10_000,
        max_event_age=cdk.Duration.hours(6),
        parallelization_factor=1,
    )
    mapping = one(template, _MAPPING)
    assert mapping["BatchSize"] == mapping["MaximumRetryAttempts"] == 10_000
    assert mapping["MaximumBatchingWindowInSeconds"] == 300
    assert one(template, _FUNCTION)["MemorySize"] == 10_240
    assert one(template, _FUNCTION)["Timeout"] == 1


def test_a_key_of_the_caller_for_logs_and_dead_letters() -> None:
    stack = fresh_stack()
    key = kms.Key(stack, "Own")
    _processor(stack, MonitoredStream(stack, "Stream", encryption_key=key), encryption_key=key)
    template = template_of(stack)
    arn = _arn(template, _KEY)  # the only key
    assert the_id(template, _KEY).startswith("Own")
    assert one(template, _LOGS)["KmsKeyId"] == arn
    assert one(template, _QUEUE)["KmsMasterKeyId"] == one(template, _TOPIC)["KmsMasterKeyId"] == arn


def test_what_an_imported_key_must_allow_is_said() -> None:
    stack = fresh_stack()
    arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
    _processor(stack, encryption_key=kms.Key.from_key_arn(stack, "Own", arn))
    said = [
        str(entry.entry.data)
        for entry in assertions.Annotations.from_stack(stack).find_warning(
            "*", assertions.Match.any_value()
        )
    ]
    assert len(said) == 2
    assert all("[ack: iot-constructs:keyPolicyNotChanged]" in warning for warning in said)
    assert any("sns.amazonaws.com kms:Decrypt, kms:GenerateDataKey*" in w for w in said)


def test_a_dlq_topic_of_the_caller() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Own")
    processor = _processor(stack, dlq_topic=topic)
    assert processor.dlq_topic is topic
    assert processor.dlq_queue is None
    template = template_of(stack)
    assert resources(template, _QUEUE) == {}
    destination = {"OnFailure": {"Destination": _ref(template, _TOPIC)}}
    assert one(template, _MAPPING)["DestinationConfig"] == destination
    assert one(template, _ASYNC)["DestinationConfig"] == destination
    assert ("sns:Publish", f"${{{the_id(template, _TOPIC)}}}") in _allowed(template)


# --- any stream -----------------------------------------------------------------------------------


def test_an_imported_stream_with_a_token_for_an_arn() -> None:
    stack = fresh_stack()
    arn = cdk.Fn.import_value("stream-arn")
    _processor(
        stack,
        kinesis.Stream.from_stream_arn(stack, "Stream", arn),
        max_record_age=cdk.Duration.days(7),  # how long that stream keeps records is not known
    )
    template = template_of(stack)
    mapping = one(template, _MAPPING)
    assert mapping["EventSourceArn"] == {"Fn::ImportValue": "stream-arn"}
    assert mapping["MaximumRecordAgeInSeconds"] == 604_800
    assert ("kinesis:GetRecords", '{"Fn::ImportValue": "stream-arn"}') in _allowed(template)


@pytest.mark.parametrize("watched", [True, False])
def test_a_stream_we_did_not_make_is_assumed_to_keep_records_for_a_day(watched: bool) -> None:
    stack = fresh_stack()
    stream: Any = kinesis.Stream(stack, "Existing")
    if watched:
        stream = MonitoredStream(stack, "Stream", stream=stream)
    _processor(stack, stream)
    assert one(template_of(stack), _MAPPING)["MaximumRecordAgeInSeconds"] == 51_840


def test_a_watched_stream_of_unknown_retention_takes_any_record_age() -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream", stream=kinesis.Stream(stack, "Existing"))
    _processor(stack, stream, max_record_age=cdk.Duration.days(7))
    assert one(template_of(stack), _MAPPING)["MaximumRecordAgeInSeconds"] == 604_800


# --- whole failed batches -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_bucket() -> Json:
    stack = fresh_stack("prod")
    _processor(stack, failed_batches=SecureDataBucket(stack, "Failed"))
    return template_of(stack)


def test_failed_batches_go_to_the_bucket(with_bucket: Json) -> None:
    bucket = _data_bucket(with_bucket)
    assert one(with_bucket, _MAPPING)["DestinationConfig"] == {
        "OnFailure": {"Destination": {"Fn::GetAtt": [bucket, "Arn"]}}
    }
    assert one(with_bucket, _ASYNC)["DestinationConfig"] == {
        "OnFailure": {"Destination": _ref(with_bucket, _TOPIC)}
    }


def _data_bucket(template: Json) -> str:
    (bucket,) = [b for b in resources(template, "AWS::S3::Bucket") if "AccessLogs" not in b]
    return bucket


def test_the_bucket_announces_failed_batches_on_the_dlq_topic(with_bucket: Json) -> None:
    """test_failed_batches.py holds the details."""
    bucket = with_bucket["Resources"][_data_bucket(with_bucket)]["Properties"]
    (announced,) = bucket["NotificationConfiguration"]["TopicConfigurations"]
    assert announced["Topic"] == _ref(with_bucket, _TOPIC)
    assert announced["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "aws/lambda/"}]


def test_the_bucket_adds_the_least_that_lambda_needs(with_bucket: Json) -> None:
    """CDK's own S3OnFailureDestination would let the function read and delete every object (FACTS 2)."""
    bucket = _data_bucket(with_bucket)
    assert _allowed(with_bucket) == _minimum(with_bucket) | {
        ("s3:PutObject", f"${{{bucket}.Arn}}/aws/lambda/*"),
        ("s3:ListBucket", f"${{{bucket}.Arn}}"),
    }


def test_a_bucket_under_a_key_of_its_own_needs_that_one_too() -> None:
    stack = fresh_stack("prod")
    own = kms.Key(stack, "Own")
    _processor(stack, failed_batches=SecureDataBucket(stack, "Failed", encryption_key=own))
    template = template_of(stack)
    (key,) = [key for key in resources(template, _KEY) if key.startswith("Own")]
    of_key = {action for action, resource in _allowed(template) if resource == f"${{{key}.Arn}}"}
    assert of_key == {"kms:GenerateDataKey"}


def test_any_bucket_will_do_also_one_without_a_key() -> None:
    stack = fresh_stack()
    bucket = s3.Bucket.from_bucket_arn(stack, "Own", cdk.Fn.import_value("bucket-arn"))
    _processor(stack, failed_batches=bucket)
    template = template_of(stack)
    assert one(template, _MAPPING)["DestinationConfig"] == {
        "OnFailure": {"Destination": {"Fn::ImportValue": "bucket-arn"}}
    }
    extra = {action for action, _ in _allowed(template) - _minimum(template)}
    assert extra == {"s3:PutObject", "s3:ListBucket"}
    (warning,) = assertions.Annotations.from_stack(stack).find_warning(
        "*", assertions.Match.any_value()
    )
    said = str(warning.entry.data)
    assert "[ack: iot-constructs:failedBatchesNotAnnounced]" in said
    assert "'Test/Own' are not announced on the DLQ topic: pass a SecureDataBucket" in said


# --- refusals -------------------------------------------------------------------------------------


def _seconds(number: float) -> cdk.Duration:
    return cdk.Duration.seconds(number)


_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"max_batching_window": _seconds(301)},
        "max_batching_window=301 seconds is not between 0 seconds and 5 minutes",
        "pass for example max_batching_window=Duration.seconds(300)",
    ),
    ({"retry_attempts": -1}, "retry_attempts=-1", "from 0 to 10000 (-1 is for ever"),
    ({"retry_attempts": 10_001}, "retry_attempts=10001", "from 0 to 10000"),
    ({"batch_size": 0}, "batch_size=0", "from 1 to 10000"),
    ({"batch_size": 10_001}, "batch_size=10001", "from 1 to 10000"),
    ({"batch_size": 1.5}, "batch_size=1.5", "whole number"),
    ({"parallelization_factor": 0}, "parallelization_factor=0", "from 1 to 10"),
    ({"parallelization_factor": 11}, "parallelization_factor=11", "from 1 to 10"),
    ({"memory_size": 127}, "memory_size=127", "from 128 to 10240"),
    ({"memory_size": 10_241}, "memory_size=10241", "from 128 to 10240"),
    ({"timeout": _seconds(0)}, "timeout=0 seconds", "timeout=Duration.seconds(1)"),
    ({"timeout": _seconds(901)}, "timeout=901 seconds", "timeout=Duration.seconds(900)"),
    ({"max_event_age": _seconds(59)}, "max_event_age=59 seconds", "Duration.seconds(60)"),
    ({"max_event_age": _seconds(21_601)}, "max_event_age=21601 seconds", "6 hours"),
    ({"async_retry_attempts": 3}, "async_retry_attempts=3", "from 0 to 2"),
    ({"async_retry_attempts": -1}, "async_retry_attempts=-1", "from 0 to 2"),
    ({"max_record_age": _seconds(59)}, "max_record_age=59 seconds", "Duration.seconds(60)"),
    (
        {"max_record_age": _seconds(604_801)},
        "max_record_age=604801 seconds",
        "max_record_age=Duration.seconds(604800)",
    ),
    ({"function_name": ""}, "stem is empty", "leave the argument out"),
    ({"function_name": "a.b"}, "'a.b' has '.'", "AWS allows a-zA-Z0-9_-"),
    ({"function_name": "x" * 61}, "65 characters and AWS allows 64", "by 1"),
    ({"dlq_name": ""}, "SNS topic name stem is empty", "leave the argument out"),
    ({"dlq_name": "a.b"}, "'a.b' has '.'", "AWS allows a-zA-Z0-9_-"),
    ({"dlq_name": "x" * 77}, "81 characters and AWS allows 80", "by 1"),
]


@pytest.mark.parametrize(("arguments", "value", "fix"), _REFUSED)
def test_what_it_refuses_names_the_value_and_the_fix(
    arguments: dict[str, Any], value: str, fix: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(value)) as refusal:
        _processor(fresh_stack("qa7"), **arguments)
    assert fix in str(refusal.value)


@pytest.mark.parametrize(("age_hours", "retention_hours"), [(48, 48), (72, 48)])
def test_a_record_age_that_the_stream_does_not_outlast_is_refused(
    age_hours: int, retention_hours: int
) -> None:
    stack = fresh_stack()
    retention = cdk.Duration.hours(retention_hours)
    stream = MonitoredStream(stack, "Stream", retention_period=retention)
    with pytest.raises(ValueError, match="shorten max_record_age or raise") as refusal:
        _processor(stack, stream, max_record_age=cdk.Duration.hours(age_hours))
    assert f"max_record_age of {age_hours * 3600} s" in str(refusal.value)
    assert f"retention of {retention_hours * 3600} s" in str(refusal.value)


def test_a_record_age_just_below_the_retention_is_the_callers_choice() -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream", retention_period=cdk.Duration.hours(48))
    _processor(stack, stream, max_record_age=_seconds(48 * 3600 - 1))
    assert one(template_of(stack), _MAPPING)["MaximumRecordAgeInSeconds"] == 48 * 3600 - 1


def test_a_fifo_dlq_topic_is_refused() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Queueing", fifo=True)
    with pytest.raises(ValueError, match="pass a topic without fifo=True") as refusal:
        _processor(stack, dlq_topic=topic)
    assert "dlq_topic='Test/Queueing' is a FIFO topic" in str(refusal.value)


def test_a_dlq_topic_and_a_name_for_it_are_refused() -> None:
    stack = fresh_stack()
    with pytest.raises(
        ValueError, match=r"^dlq_topic was given .*dlq_name='lost'.*leave dlq_name out"
    ):
        _processor(stack, dlq_topic=sns.Topic(stack, "Own"), dlq_name="lost")


def test_destroying_the_data_of_a_protected_stack_is_refused() -> None:
    with pytest.raises(ValueError, match=r"removal_policy=.*DESTROY.*ephemeral=True"):
        _processor(fresh_stack("prod"), removal_policy=cdk.RemovalPolicy.DESTROY)


def test_two_processors_under_one_name_are_refused() -> None:
    stack = fresh_stack()
    _processor(stack)
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        StreamProcessor(
            stack, "Other", stream=kinesis.Stream(stack, "S"), code=inline_code(), dlq_name="b"
        )
    assert "Lambda function name 'iot-stream-processor-dev'" in str(refusal.value)


# --- tokens ---------------------------------------------------------------------------------------


def _number(stack: cdk.Stack, id: str) -> int:
    return cast(int, cdk.CfnParameter(stack, id, type="Number").value_as_number)


def test_numbers_that_are_only_known_at_deploy_time_pass() -> None:
    stack = fresh_stack()
    _processor(
        stack,
        batch_size=_number(stack, "Batch"),
        max_batching_window=_seconds(_number(stack, "Window")),
        parallelization_factor=_number(stack, "Factor"),
        retry_attempts=_number(stack, "Retries"),
        memory_size=_number(stack, "Memory"),
        timeout=_seconds(_number(stack, "Timeout")),
        reserved_concurrent_executions=_number(stack, "Reserved"),
        max_event_age=_seconds(_number(stack, "EventAge")),
        async_retry_attempts=_number(stack, "AsyncRetries"),
    )
    template = template_of(stack)
    mapping, function = one(template, _MAPPING), one(template, _FUNCTION)
    asynchronous = one(template, _ASYNC)
    assert {
        "Batch": mapping["BatchSize"],
        "Window": mapping["MaximumBatchingWindowInSeconds"],
        "Factor": mapping["ParallelizationFactor"],
        "Retries": mapping["MaximumRetryAttempts"],
        "Memory": function["MemorySize"],
        "Timeout": function["Timeout"],
        "Reserved": function["ReservedConcurrentExecutions"],
        "EventAge": asynchronous["MaximumEventAgeInSeconds"],
        "AsyncRetries": asynchronous["MaximumRetryAttempts"],
    } == {id: {"Ref": id} for id in template["Parameters"] if id != "BootstrapVersion"}


def test_a_record_age_that_is_a_token_is_refused_by_cdk() -> None:
    stack = fresh_stack()
    with pytest.raises(RuntimeError, match="maxRecordAge must be between"):
        _processor(stack, max_record_age=_seconds(_number(stack, "Age")))


def test_the_record_age_of_a_stream_whose_retention_is_a_token() -> None:
    stack = fresh_stack()
    retention = cdk.Duration.hours(_number(stack, "Hours"))
    _processor(stack, MonitoredStream(stack, "Stream", retention_period=retention))
    assert one(template_of(stack), _MAPPING)["MaximumRecordAgeInSeconds"] == 51_840


def test_a_record_age_is_not_held_against_a_retention_that_is_a_token() -> None:
    stack = fresh_stack()
    retention = cdk.Duration.hours(_number(stack, "Hours"))
    stream = MonitoredStream(stack, "Stream", retention_period=retention)
    _processor(stack, stream, max_record_age=cdk.Duration.days(2))
    assert one(template_of(stack), _MAPPING)["MaximumRecordAgeInSeconds"] == 172_800


# --- what it offers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def offered() -> Json:
    stack = fresh_stack()
    processor = _processor(stack)
    role = iam.Role(stack, "Operator", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    processor.grant_invoke(role)
    cdk.CfnOutput(stack, "Name", value=processor.function_name)
    cdk.CfnOutput(stack, "Arn", value=processor.function_arn)
    return template_of(stack)


def test_name_arn_and_the_right_to_invoke(offered: Json) -> None:
    assert offered["Outputs"]["Name"]["Value"] == _ref(offered, _FUNCTION)
    assert offered["Outputs"]["Arn"]["Value"] == _arn(offered, _FUNCTION)
    (operator,) = [r for r in resources(offered, "AWS::IAM::Role") if r.startswith("Operator")]
    allowed = permissions(offered, {"Fn::GetAtt": [operator, "Arn"]})
    assert ("lambda:InvokeFunction", f"${{{the_id(offered, _FUNCTION)}.Arn}}") in allowed


@pytest.mark.parametrize(
    ("method", "metric", "statistic", "dimension"),
    [
        ("metric_errors", "Errors", "Sum", "FunctionName"),
        ("metric_throttles", "Throttles", "Sum", "FunctionName"),
        ("metric_duration", "Duration", "Maximum", "FunctionName"),
        ("metric_iterator_age", "IteratorAge", "Maximum", "FunctionName"),
        (
            "metric_destination_delivery_failures",
            "DestinationDeliveryFailures",
            "Sum",
            "FunctionName",
        ),
        ("metric_async_events_dropped", "AsyncEventsDropped", "Sum", "FunctionName"),
        ("metric_failed_events", "FailedInvokeEventCount", "Sum", "EventSourceMappingUUID"),
        (
            "metric_failed_batches",
            "OnFailureDestinationDeliveredEventCount",
            "Sum",
            "EventSourceMappingUUID",
        ),
        ("metric_dropped_events", "DroppedEventCount", "Sum", "EventSourceMappingUUID"),
    ],
)
def test_metrics(
    one_processor: StreamProcessor, method: str, metric: str, statistic: str, dimension: str
) -> None:
    found = getattr(one_processor, method)()
    assert (found.namespace, found.metric_name) == ("AWS/Lambda", metric)
    assert (found.statistic, found.period.to_seconds()) == (statistic, 300)
    assert list(found.dimensions) == [dimension]


@pytest.fixture(scope="module")
def one_processor() -> StreamProcessor:
    return _processor(fresh_stack())
