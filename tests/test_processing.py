"""StreamProcessor: the function, its permissions, the event source mapping, and where failures go."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_lambda_destinations import SqsDestination

from iot_constructs import (
    EnvironmentSuffix,
    MonitoredStream,
    SecureDataBucket,
    StreamProcessor,
    SuffixedStack,
)
from iot_constructs import _defaults as defaults
from iot_constructs import _warnings as warnings
from iot_constructs.processing import MAPPING_PROPS
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    as_list,
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
    warnings_of,
)

_FUNCTION = "AWS::Lambda::Function"
_MAPPING = "AWS::Lambda::EventSourceMapping"
# Of the stream of each template here, which is in an ephemeral stack.
_RETENTION_SECONDS = defaults.EPHEMERAL_STREAM_RETENTION_HOURS * 3600
_ASYNC = "AWS::Lambda::EventInvokeConfig"
_POLICY = "AWS::IAM::Policy"
_TOPIC = "AWS::SNS::Topic"
_QUEUE = "AWS::SQS::Queue"
_LOGS = "AWS::Logs::LogGroup"
_KEY = "AWS::KMS::Key"
_STREAM = "AWS::Kinesis::Stream"
_THIS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def _processor(
    stack: cdk.Stack, stream: Any = None, id: str = "Processor", **props: Any
) -> StreamProcessor:
    if "function" not in props:
        props.setdefault("code", inline_code())
    if stream is None:
        stream = stack.node.try_find_child("Stream") or MonitoredStream(stack, "Stream")
    return StreamProcessor(stack, id, stream=stream, **props)


def _function(stack: cdk.Stack, **props: Any) -> lambda_.Function:
    runtime = lambda_.Runtime.PYTHON_3_13
    return lambda_.Function(
        stack, "Own", code=inline_code(), handler="index.handler", runtime=runtime, **props
    )


def _role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "OwnRole", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def _imported(stack: cdk.Stack, region: str = REGION, account: str = ACCOUNT) -> lambda_.IFunction:
    arn = f"arn:aws:lambda:{region}:{account}:function:theirs"
    return lambda_.Function.from_function_arn(stack, "Theirs", arn)


def _other(stack: cdk.Stack) -> SuffixedStack:
    """Another stack of the same app and environment."""
    app = stack.node.root
    assert isinstance(app, cdk.App)
    suffix = f"{EnvironmentSuffix.of(stack)}-b"
    return fresh_stack(suffix, id=f"{stack.node.id}-other", app=app, env=ENV)


# Each entry is a stack of one app, which is synthesized once.
_BUILDERS: dict[str, Callable[[SuffixedStack], StreamProcessor]] = {}


def _builder(
    build: Callable[[SuffixedStack], StreamProcessor],
) -> Callable[[SuffixedStack], StreamProcessor]:
    _BUILDERS[build.__name__] = build
    return build


@pytest.fixture(scope="module")
def processors() -> Mapping[str, StreamProcessor]:
    app = fresh_app()
    return {
        name: build(fresh_stack(f"qa{number}", id=name, app=app, env=ENV))
        for number, (name, build) in enumerate(_BUILDERS.items())
    }


@pytest.fixture(scope="module")
def template(processors: Mapping[str, StreamProcessor]) -> Callable[[str], Json]:
    def synthesized(name: str) -> Json:
        return template_of(cdk.Stack.of(processors[name]))

    return synthesized


def _ref(template: Json, type: str) -> Json:
    return {"Ref": the_id(template, type)}


def _arn(template: Json, type: str) -> Json:
    return {"Fn::GetAtt": [the_id(template, type), "Arn"]}


@_builder
def default(stack: SuffixedStack) -> StreamProcessor:
    processor = _processor(stack)
    cdk.CfnOutput(stack, "Metrics", value=processor.event_source_mapping.event_source_mapping_id)
    return processor


def test_function_defaults(template: Callable[[str], Json]) -> None:
    synthesized = template("default")
    function = one(synthesized, _FUNCTION)
    assert {k: v for k, v in function.items() if k not in ("Code", "Description", "Tags")} == {
        "FunctionName": f"{defaults.NAME_PREFIX}-{defaults.FUNCTION_NAME}-qa0",
        "Handler": defaults.HANDLER,
        "Runtime": lambda_.Runtime.PYTHON_3_14.name,
        "Architectures": [lambda_.Architecture.ARM_64.name],
        "MemorySize": defaults.MEMORY_MB,
        "Timeout": defaults.TIMEOUT_SECONDS,
        "TracingConfig": {"Mode": "Active"},
        "LoggingConfig": {"LogFormat": "JSON", "LogGroup": _ref(synthesized, _LOGS)},
        "KmsKeyArn": _arn(synthesized, _KEY),
        "Environment": {"Variables": {"DLQ_TOPIC_ARN": _ref(synthesized, _TOPIC)}},
        "Role": _arn(synthesized, "AWS::IAM::Role"),
    }
    assert "DLQ" in function["Description"]


def test_log_group_is_named_after_the_function_encrypted_and_expires(
    template: Callable[[str], Json],
) -> None:
    synthesized = template("default")
    group = one(synthesized, _LOGS)
    name = f"/aws/lambda/{one(synthesized, _FUNCTION)['FunctionName']}"
    days = template("custom_logs")
    assert group["LogGroupName"] == name
    assert group["KmsKeyId"] == _arn(synthesized, _KEY)
    # The number of days is that of CDK's enum: another group shows it.
    assert group["RetentionInDays"] == one(days, _LOGS, LogGroupName="Same")["RetentionInDays"]
    assert one(days, _LOGS, LogGroupName=f"{name[:-1]}1")["RetentionInDays"] == 1
    (encrypts,) = [
        statement
        for statement in one(synthesized, _KEY)["KeyPolicy"]["Statement"]
        if statement["Principal"].get("Service") == f"logs.{REGION}.amazonaws.com"
    ]
    (context,) = encrypts["Condition"]["ArnEquals"].values()
    assert plain(context).endswith(f":{REGION}:{ACCOUNT}:log-group:{name}")


@_builder
def custom_logs(stack: SuffixedStack) -> StreamProcessor:
    retention = logs.RetentionDays[defaults.LOG_RETENTION]
    logs.LogGroup(stack, "Same", log_group_name="Same", retention=retention)
    return _processor(stack, log_retention=logs.RetentionDays.ONE_DAY)


def test_mapping_defaults(template: Callable[[str], Json]) -> None:
    synthesized = template("default")
    mapping = one(synthesized, _MAPPING)
    assert {k: v for k, v in mapping.items() if k != "Tags"} == {
        "EventSourceArn": _arn(synthesized, _STREAM),
        "FunctionName": _ref(synthesized, _FUNCTION),
        "BatchSize": defaults.BATCH_SIZE,
        "MaximumBatchingWindowInSeconds": defaults.MAX_BATCHING_WINDOW_SECONDS,
        "BisectBatchOnFunctionError": defaults.BISECT_BATCH_ON_ERROR,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "StartingPosition": "TRIM_HORIZON",
        "MaximumRetryAttempts": defaults.RETRY_ATTEMPTS,
        "MaximumRecordAgeInSeconds": int(
            _RETENTION_SECONDS * defaults.RECORD_AGE_SHARE_OF_RETENTION
        ),
        "ParallelizationFactor": defaults.PARALLELIZATION_FACTOR,
        "MetricsConfig": {"Metrics": ["EventCount"]},
        "DestinationConfig": {"OnFailure": {"Destination": _ref(synthesized, _TOPIC)}},
    }


def test_asynchronous_invocations_are_limited_and_fail_to_the_dlq_topic(
    template: Callable[[str], Json],
) -> None:
    synthesized = template("default")
    assert one(synthesized, _ASYNC) == {
        "DestinationConfig": {"OnFailure": {"Destination": _ref(synthesized, _TOPIC)}},
        "FunctionName": _ref(synthesized, _FUNCTION),
        "MaximumEventAgeInSeconds": defaults.MAX_EVENT_AGE_SECONDS,
        "MaximumRetryAttempts": defaults.ASYNC_RETRY_ATTEMPTS,
        "Qualifier": "$LATEST",
    }


# --- the dead-letter queue


def test_dlq_topic_and_queue(template: Callable[[str], Json]) -> None:
    synthesized = template("default")
    name, key = f"{defaults.NAME_PREFIX}-{defaults.DLQ_NAME}-qa0", _arn(synthesized, _KEY)
    topic, queue = one(synthesized, _TOPIC), one(synthesized, _QUEUE)
    assert (topic["TopicName"], queue["QueueName"]) == (name, name)
    assert (topic["KmsMasterKeyId"], queue["KmsMasterKeyId"]) == (key, key)
    assert "FifoTopic" not in topic
    assert queue["MessageRetentionPeriod"] == defaults.DLQ_RETENTION_DAYS * 86_400
    assert queue["VisibilityTimeout"] == defaults.DLQ_VISIBILITY_TIMEOUT_SECONDS
    assert one(synthesized, "AWS::SNS::Subscription") == {
        "Protocol": "sqs",
        "TopicArn": _ref(synthesized, _TOPIC),
        "Endpoint": _arn(synthesized, _QUEUE),
    }


def test_only_the_dlq_topic_sends_to_the_queue_and_both_deny_plain_http(
    template: Callable[[str], Json],
) -> None:
    synthesized = template("default")
    plain_http = {"Bool": {"aws:SecureTransport": "false"}}
    queue = one(synthesized, "AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    topic = one(synthesized, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert [(s["Effect"], s["Action"], s["Condition"]) for s in (*topic, *queue)] == [
        ("Deny", "sns:Publish", plain_http),
        ("Deny", "sqs:*", plain_http),
        (
            "Allow",
            "sqs:SendMessage",
            {"ArnEquals": {"aws:SourceArn": _ref(synthesized, _TOPIC)}},
        ),
    ]
    assert queue[1]["Principal"] == {"Service": "sns.amazonaws.com"}


def test_sns_uses_the_key_for_the_dlq_topic_only(template: Callable[[str], Json]) -> None:
    statement = _of_service(template("default"), "sns.amazonaws.com")
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    # Composed of the name: the topic is encrypted with the key, and a reference would make a cycle.
    name = one(template("default"), _TOPIC)["TopicName"]
    (source,) = statement["Condition"].pop("ArnLike").values()
    assert plain(source) == f"arn:${{AWS::Partition}}:sns:{REGION}:{ACCOUNT}:{name}"
    assert statement["Condition"] == {}


def _of_service(template: Json, service: str) -> Json:
    """The only statement of the key's policy for a service."""
    statements = one(template, _KEY)["KeyPolicy"]["Statement"]
    (found,) = [s for s in statements if s["Principal"].get("Service") == service]
    statement: Json = found
    return statement


@pytest.mark.parametrize(
    ("ephemeral", "policy"), [(True, "Delete"), (False, "RetainExceptOnCreate")]
)
def test_logs_and_dead_letters_are_deleted_with_an_ephemeral_stack_only(
    ephemeral: bool, policy: str
) -> None:
    stack = fresh_stack("staging", ephemeral=ephemeral)
    _processor(stack, kinesis.Stream(stack, "Plain"))
    synthesized = template_of(stack)
    kept = {one_resource(synthesized, type)["DeletionPolicy"] for type in (_LOGS, _QUEUE, _KEY)}
    assert kept == {policy}


@_builder
def retained(stack: SuffixedStack) -> StreamProcessor:
    stream = kinesis.Stream(stack, "Plain")
    return _processor(stack, stream, removal_policy=cdk.RemovalPolicy.RETAIN)


def test_key_is_retained_with_its_data(template: Callable[[str], Json]) -> None:
    for type in (_LOGS, _QUEUE, _KEY):
        assert one_resource(template("retained"), type)["DeletionPolicy"] == "Retain"


# --- permissions


def _allowed(template: Json) -> set[tuple[str, str]]:
    return permissions(template, one(template, _FUNCTION)["Role"])


def _minimum(template: Json) -> set[tuple[str, str]]:
    group, topic, key, stream = (the_id(template, type) for type in (_LOGS, _TOPIC, _KEY, _STREAM))
    return {
        ("logs:CreateLogStream", f"${{{group}.Arn}}"),
        ("logs:PutLogEvents", f"${{{group}.Arn}}"),
        ("sns:Publish", f"${{{topic}}}"),
        ("kms:Decrypt", f"${{{key}.Arn}}"),
        ("kms:GenerateDataKey", f"${{{key}.Arn}}"),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
        ("kinesis:DescribeStream", f"${{{stream}.Arn}}"),
        ("kinesis:DescribeStreamSummary", f"${{{stream}.Arn}}"),
        ("kinesis:GetRecords", f"${{{stream}.Arn}}"),
        ("kinesis:GetShardIterator", f"${{{stream}.Arn}}"),
        ("kinesis:ListShards", f"${{{stream}.Arn}}"),
    }


def test_role_has_what_the_function_needs_and_no_more(template: Callable[[str], Json]) -> None:
    synthesized = template("default")
    assert _allowed(synthesized) == _minimum(synthesized)
    role = one(synthesized, "AWS::IAM::Role")
    assert "ManagedPolicyArns" not in role
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert trust["Condition"] == _THIS_ACCOUNT


@_builder
def own_resources(stack: SuffixedStack) -> StreamProcessor:
    """Role, log group, DLQ topic and keys of the caller; two processors share the role."""
    topic = sns.Topic(stack, "OwnTopic", master_key=kms.Key(stack, "TopicKey"))
    role = _role(stack)
    own: dict[str, Any] = {
        "role": role,
        "log_group": logs.LogGroup(stack, "OwnLogs"),
        "dlq_topic": topic,
        "environment_encryption": kms.Key(stack, "EnvironmentKey"),
        "encryption_key": kms.Key(stack, "OwnKey"),
    }
    _processor(
        stack, id="Second", role=role, function_name="second", dlq_topic=topic, **_no_tracing()
    )
    return _processor(stack, **own)


def _no_tracing() -> dict[str, Any]:
    return {"tracing": lambda_.Tracing.DISABLED}


def test_own_resources_are_used_and_the_role_may_use_them(
    template: Callable[[str], Json], processors: Mapping[str, StreamProcessor]
) -> None:
    synthesized, processor = template("own_resources"), processors["own_resources"]
    assert processor.dlq_queue is None
    assert processor.log_group is None
    assert resources(synthesized, _QUEUE) == {}
    assert len(resources(synthesized, "AWS::IAM::Role")) == 1
    ids = {id.rstrip("0123456789ABCDEF"): id for id in synthesized["Resources"]}
    function = synthesized["Resources"][ids["ProcessorFunction"]]["Properties"]
    assert function["LoggingConfig"]["LogGroup"] == {"Ref": ids["OwnLogs"]}
    assert function["KmsKeyArn"] == {"Fn::GetAtt": [ids["EnvironmentKey"], "Arn"]}
    topic = {"OnFailure": {"Destination": {"Ref": ids["OwnTopic"]}}}
    for type in (_MAPPING, _ASYNC):
        for resource in resources(synthesized, type).values():
            assert resource["Properties"]["DestinationConfig"] == topic
    assert {
        ("logs:PutLogEvents", f"${{{ids['OwnLogs']}.Arn}}"),
        ("kms:Decrypt", f"${{{ids['EnvironmentKey']}.Arn}}"),
        ("sns:Publish", f"${{{ids['OwnTopic']}}}"),
        ("kms:GenerateDataKey", f"${{{ids['TopicKey']}.Arn}}"),
        ("xray:PutTraceSegments", "*"),
    } <= permissions(synthesized, function["Role"])


@_builder
def own_key(stack: SuffixedStack) -> StreamProcessor:
    key = kms.Key(stack, "OwnKey")
    return _processor(
        stack, MonitoredStream(stack, "Stream", encryption_key=key), encryption_key=key
    )


def test_own_key_encrypts_logs_dlq_and_environment(template: Callable[[str], Json]) -> None:
    synthesized = template("own_key")
    key = _arn(synthesized, _KEY)  # the only one
    assert one(synthesized, _LOGS)["KmsKeyId"] == one(synthesized, _FUNCTION)["KmsKeyArn"] == key
    assert one(synthesized, _QUEUE)["KmsMasterKeyId"] == key
    assert one(synthesized, _TOPIC)["KmsMasterKeyId"] == key


@_builder
def imported_role(stack: SuffixedStack) -> StreamProcessor:
    arn = f"arn:aws:iam::{ACCOUNT}:role/theirs"
    return _processor(stack, role=iam.Role.from_role_arn(stack, "Theirs", arn))


@_builder
def role_of_another_stack(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, role=_role(_other(stack)))


@pytest.mark.parametrize(
    "name", ["default", "own_resources", "in_vpc", "imported_role", "role_of_another_stack"]
)
def test_function_waits_for_every_policy_of_its_role(
    name: str, template: Callable[[str], Json]
) -> None:
    """Lambda checks at creation that the role may trace and create network interfaces."""
    synthesized = template(name)
    policies = {id for id in resources(synthesized, _POLICY) if "CustomS3" not in id}
    granted = [
        action
        for id in policies
        for statement in resources(synthesized, _POLICY)[id]["Properties"]["PolicyDocument"][
            "Statement"
        ]
        for action in as_list(statement["Action"])
    ]
    assert {"sns:Publish", "kinesis:GetRecords", "xray:PutTraceSegments"} <= set(granted)
    (function,) = [
        resource
        for id, resource in resources(synthesized, _FUNCTION).items()
        if id.startswith("ProcessorFunction")
    ]
    mapping = resources(synthesized, _MAPPING)
    waits = policies if name != "own_resources" else {id for id in policies if "Second" not in id}
    assert waits <= set(function["DependsOn"])
    (reads,) = {id for id in policies if "Policy" in id}
    assert all(reads in resource["DependsOn"] for resource in mapping.values())


@_builder
def granted(stack: SuffixedStack) -> StreamProcessor:
    processor = _processor(stack, **_no_tracing())
    s3.Bucket(stack, "Bucket").grant_read(processor)
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    dynamodb.TableV2(stack, "Table", partition_key=key).grant_read_data(processor)
    return processor


def test_processor_is_a_grantee(
    template: Callable[[str], Json], processors: Mapping[str, StreamProcessor]
) -> None:
    actions = {action for action, _ in _allowed(template("granted"))}
    assert {"s3:GetObject*", "dynamodb:GetItem"} <= actions
    processor = processors["granted"]
    assert processor.role is processor.function.role


# --- properties of the L2s


def test_mapping_props_are_those_of_the_event_source_mapping() -> None:
    keywords = set(inspect.signature(lambda_.EventSourceMapping.__init__).parameters)
    ours = {"self", "scope", "id", "target", "event_source_arn", "on_failure"}
    assert keywords - ours == MAPPING_PROPS


def _seconds(number: float) -> cdk.Duration:
    return cdk.Duration.seconds(number)


_FILTER = {"data": {"kind": lambda_.FilterRule.is_equal("reading")}}
_PROPS: list[tuple[str, Any, str, str, Any]] = [
    ("handler", "main.run", _FUNCTION, "Handler", "main.run"),
    ("runtime", lambda_.Runtime.PYTHON_3_13, _FUNCTION, "Runtime", "python3.13"),
    ("description", "Mine", _FUNCTION, "Description", "Mine"),
    ("memory_size", 128, _FUNCTION, "MemorySize", 128),
    ("timeout", _seconds(900), _FUNCTION, "Timeout", 900),
    ("function_name", "trucks", _FUNCTION, "FunctionName", "trucks-green"),
    (
        "ephemeral_storage_size",
        cdk.Size.gibibytes(1),
        _FUNCTION,
        "EphemeralStorage",
        {"Size": 1024},
    ),
    ("tracing", lambda_.Tracing.PASS_THROUGH, _FUNCTION, "TracingConfig", {"Mode": "PassThrough"}),
    # 0 and False are values, not "not given".
    ("reserved_concurrent_executions", 0, _FUNCTION, "ReservedConcurrentExecutions", 0),
    ("batch_size", 1, _MAPPING, "BatchSize", 1),
    ("max_batching_window", _seconds(0), _MAPPING, "MaximumBatchingWindowInSeconds", 0),
    ("parallelization_factor", 10, _MAPPING, "ParallelizationFactor", 10),
    ("bisect_batch_on_error", False, _MAPPING, "BisectBatchOnFunctionError", False),
    ("report_batch_item_failures", False, _MAPPING, "FunctionResponseTypes", None),
    ("retry_attempts", 0, _MAPPING, "MaximumRetryAttempts", 0),
    ("max_record_age", _seconds(60), _MAPPING, "MaximumRecordAgeInSeconds", 60),
    ("enabled", False, _MAPPING, "Enabled", False),
    ("tumbling_window", _seconds(30), _MAPPING, "TumblingWindowInSeconds", 30),
    (
        "starting_position",
        lambda_.StartingPosition.AT_TIMESTAMP,
        _MAPPING,
        "StartingPosition",
        "AT_TIMESTAMP",
    ),
    ("starting_position_timestamp", 1.7e9, _MAPPING, "StartingPositionTimestamp", 1.7e9),
    (
        "filters",
        [lambda_.FilterCriteria.filter(_FILTER)],
        _MAPPING,
        "FilterCriteria",
        {"Filters": [{"Pattern": '{"data":{"kind":["reading"]}}'}]},
    ),
    ("max_event_age", _seconds(60), _ASYNC, "MaximumEventAgeInSeconds", 60),
    ("async_retry_attempts", 0, _ASYNC, "MaximumRetryAttempts", 0),
    ("dlq_name", "lost", _TOPIC, "TopicName", "lost-green"),
    ("dlq_name", "lost", _QUEUE, "QueueName", "lost-green"),
]


@_builder
def with_props(stack: SuffixedStack) -> StreamProcessor:
    props = {keyword: value for keyword, value, *_ in _PROPS}
    return _processor(
        stack,
        environment_suffix="green",
        environment={"MODE": "1", "DLQ_TOPIC_ARN": "mine"},
        async_on_failure=SqsDestination(sqs.Queue(stack, "Async", queue_name="Async")),
        **props,
    )


@pytest.mark.parametrize(
    ("type", "name", "value"),
    [row[2:] for row in _PROPS],
    ids=[f"{row[0]}-{row[3]}" for row in _PROPS],
)
def test_property_arrives(
    type: str, name: str, value: Any, template: Callable[[str], Json]
) -> None:
    of_type = resources(template("with_props"), type)
    (resource,) = [found for id, found in of_type.items() if id.startswith("Processor")]
    assert resource["Properties"].get(name) == value


def test_own_environment_and_asynchronous_destination_win(template: Callable[[str], Json]) -> None:
    synthesized = template("with_props")
    variables = one(synthesized, _FUNCTION)["Environment"]["Variables"]
    assert variables == {"MODE": "1", "DLQ_TOPIC_ARN": "mine"}
    (own,) = [id for id in resources(synthesized, _QUEUE) if id.startswith("Async")]
    destination = one(synthesized, _ASYNC)["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == {"Fn::GetAtt": [own, "Arn"]}
    assert one(synthesized, _MAPPING)["DestinationConfig"] != destination


@_builder
def in_vpc(stack: SuffixedStack) -> StreamProcessor:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1, restrict_default_security_group=False)
    return _processor(
        stack,
        vpc=vpc,
        architecture=lambda_.Architecture.X86_64,
        snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS,
        logging_format=lambda_.LoggingFormat.TEXT,
    )


def test_in_a_vpc_on_x86_with_snap_start(template: Callable[[str], Json]) -> None:
    synthesized = template("in_vpc")
    function = one(synthesized, _FUNCTION)
    assert function["VpcConfig"]["SubnetIds"]
    assert function["Architectures"] == ["x86_64"]
    assert function["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert function["LoggingConfig"]["LogFormat"] == "Text"
    # As AWSLambdaVPCAccessExecutionRole has them, without its access to every log group.
    assert {action for action, _ in _allowed(synthesized) if action.startswith("ec2:")} == {
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    }


def test_tracing_disabled_needs_no_permission(template: Callable[[str], Json]) -> None:
    synthesized = template("granted")
    assert "TracingConfig" not in one(synthesized, _FUNCTION)
    assert not [action for action, _ in _allowed(synthesized) if action.startswith("xray:")]
    passed_through = {action for action, _ in _allowed(template("with_props"))}
    assert "xray:PutTraceSegments" in passed_through


@_builder
def generated_name(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, function_name=cdk.PhysicalName.GENERATE_IF_NEEDED)


def test_generated_function_name(template: Callable[[str], Json]) -> None:
    synthesized = template("generated_name")
    assert "FunctionName" not in one(synthesized, _FUNCTION)
    assert "LogGroupName" not in one(synthesized, _LOGS)
    logs_key = _of_service(synthesized, f"logs.{REGION}.amazonaws.com")
    (context,) = logs_key["Condition"]["ArnLike"].values()
    assert plain(context).endswith(f":{REGION}:{ACCOUNT}:log-group:*")


_NUMBERS = [
    ("batch_size", _MAPPING, "BatchSize"),
    ("max_batching_window", _MAPPING, "MaximumBatchingWindowInSeconds"),
    ("retry_attempts", _MAPPING, "MaximumRetryAttempts"),
    ("timeout", _FUNCTION, "Timeout"),
    ("memory_size", _FUNCTION, "MemorySize"),
    ("max_event_age", _ASYNC, "MaximumEventAgeInSeconds"),
    ("async_retry_attempts", _ASYNC, "MaximumRetryAttempts"),
]


@_builder
def tokens(stack: SuffixedStack) -> StreamProcessor:
    props: dict[str, Any] = {}
    for keyword, *_ in _NUMBERS:
        number = cdk.CfnParameter(stack, keyword.replace("_", ""), type="Number").value_as_number
        props[keyword] = _seconds(number) if keyword in defaults.DURATION_LIMITS else number
    return _processor(stack, **props)


@pytest.mark.parametrize(("keyword", "type", "name"), _NUMBERS)
def test_number_that_is_known_at_deployment_passes(
    keyword: str, type: str, name: str, template: Callable[[str], Json]
) -> None:
    assert one(template("tokens"), type)[name] == {"Ref": keyword.replace("_", "")}


# --- function=


@_builder
def own_function(stack: SuffixedStack) -> StreamProcessor:
    function = _function(stack)
    # AWS allows one asynchronous configuration of a function.
    _processor(stack, id="Second", function=function, dlq_name="second")
    return _processor(stack, function=function, async_retry_attempts=None)


@_builder
def alias(stack: SuffixedStack) -> StreamProcessor:
    version = _function(stack).current_version
    live = lambda_.Alias(
        stack, "Live", alias_name="live", version=version, provisioned_concurrent_executions=2
    )
    return _processor(stack, function=live, max_event_age=_seconds(60), async_retry_attempts=0)


@_builder
def version(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, function=_function(stack).current_version)


@_builder
def configured(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, function=_function(stack, retry_attempts=1))


@_builder
def imported(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, function=_imported(stack))


@_builder
def function_of_another_stack(stack: SuffixedStack) -> StreamProcessor:
    return _processor(
        stack, function=_function(_other(stack)), on_failure=SecureDataBucket(stack, "Failed")
    )


def test_docker_image_function(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    stack = fresh_stack()
    code = lambda_.DockerImageCode.from_image_asset(str(tmp_path))
    processor = _processor(stack, function=lambda_.DockerImageFunction(stack, "Image", code=code))
    assert processor.timeout is None
    synthesized = template_of(stack)
    assert one(synthesized, _FUNCTION)["PackageType"] == "Image"
    assert one(synthesized, _MAPPING)["FunctionName"] == _ref(synthesized, _FUNCTION)
    assert one(synthesized, _ASYNC)["FunctionName"] == _ref(synthesized, _FUNCTION)


def test_own_function_is_invoked_and_granted_what_the_mapping_needs(
    template: Callable[[str], Json], processors: Mapping[str, StreamProcessor]
) -> None:
    synthesized = template("own_function")
    assert processors["own_function"].log_group is None
    for mapping in resources(synthesized, _MAPPING).values():
        assert mapping["Properties"]["FunctionName"] == _ref(synthesized, _FUNCTION)
    stream, key = the_id(synthesized, _STREAM), the_id(synthesized, _KEY)
    topics = {("sns:Publish", f"${{{id}}}") for id in resources(synthesized, _TOPIC)}
    reads = {("kinesis:GetRecords", f"${{{stream}.Arn}}"), ("kms:Decrypt", f"${{{key}.Arn}}")}
    assert topics | reads <= _allowed(synthesized)
    assert one(synthesized, _ASYNC)["MaximumRetryAttempts"] == defaults.ASYNC_RETRY_ATTEMPTS


def test_alias_is_invoked_and_configured_by_its_name(template: Callable[[str], Json]) -> None:
    synthesized = template("alias")
    assert plain(one(synthesized, _MAPPING)["FunctionName"]).endswith(":live")
    concurrency = one(synthesized, "AWS::Lambda::Alias")["ProvisionedConcurrencyConfig"]
    assert concurrency == {"ProvisionedConcurrentExecutions": 2}
    asynchronous = one(synthesized, _ASYNC)
    assert asynchronous["Qualifier"] == "live"
    assert asynchronous["FunctionName"] == _ref(synthesized, _FUNCTION)
    ages = (asynchronous["MaximumEventAgeInSeconds"], asynchronous["MaximumRetryAttempts"])
    assert ages == (60, 0)


def test_version_is_invoked_and_configured_by_its_number(template: Callable[[str], Json]) -> None:
    synthesized = template("version")
    number = {"Fn::GetAtt": [the_id(synthesized, "AWS::Lambda::Version"), "Version"]}
    assert one(synthesized, _ASYNC)["Qualifier"] == number
    assert plain(one(synthesized, _MAPPING)["FunctionName"]).endswith(plain(number))


def test_function_keeps_its_own_asynchronous_configuration(
    template: Callable[[str], Json],
) -> None:
    asynchronous = one(template("configured"), _ASYNC)
    assert asynchronous["MaximumRetryAttempts"] == 1
    assert "MaximumEventAgeInSeconds" not in asynchronous


def test_imported_function_without_its_role(
    template: Callable[[str], Json], processors: Mapping[str, StreamProcessor]
) -> None:
    synthesized, processor = template("imported"), processors["imported"]
    assert one(synthesized, _MAPPING)["FunctionName"] == "theirs"
    assert processor.role is None
    assert resources(synthesized, _ASYNC) == resources(synthesized, _POLICY) == {}
    (warning,) = warnings_of(cdk.Stack.of(processor))
    assert warnings.FUNCTION_ROLE_UNKNOWN in warning
    assert "from_function_attributes(role=...)" in warning


def test_function_of_another_stack(template: Callable[[str], Json]) -> None:
    """Its role gets policies in the processor's stack: in its own they would make a cyclic reference."""
    synthesized = template("function_of_another_stack")
    (id,) = [id for id in resources(synthesized, _POLICY) if id.startswith("Processor")]
    policy = resources(synthesized, _POLICY)[id]["Properties"]
    (role,) = policy["Roles"]
    assert "Fn::ImportValue" in role
    actions = [as_list(s["Action"])[0] for s in policy["PolicyDocument"]["Statement"]]
    assert {"sns:Publish", "s3:PutObject", "kinesis:DescribeStream"} <= set(actions)
    for type in (_MAPPING, _ASYNC):
        assert id in one_resource(synthesized, type)["DependsOn"]


# --- stream=


@_builder
def consumer(stack: SuffixedStack) -> StreamProcessor:
    stream = MonitoredStream(stack, "Stream")
    fan_out = kinesis.StreamConsumer(stack, "Fast", stream=stream, stream_consumer_name="fast")
    return _processor(stack, fan_out)


def test_stream_consumer(template: Callable[[str], Json]) -> None:
    synthesized = template("consumer")
    consumer = the_id(synthesized, "AWS::Kinesis::StreamConsumer")
    mapping = one(synthesized, _MAPPING)
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [consumer, "ConsumerARN"]}
    age = _RETENTION_SECONDS * defaults.RECORD_AGE_SHARE_OF_RETENTION
    assert mapping["MaximumRecordAgeInSeconds"] == int(age)
    read = {("kinesis:SubscribeToShard", f"${{{consumer}.ConsumerARN}}")}
    assert read | {("kms:Decrypt", f"${{{the_id(synthesized, _KEY)}.Arn}}")} <= _allowed(
        synthesized
    )


@_builder
def imported_stream(stack: SuffixedStack) -> StreamProcessor:
    arn = cdk.Fn.import_value("stream-arn")
    return _processor(stack, kinesis.Stream.from_stream_arn(stack, "Theirs", arn))


def test_imported_stream(
    template: Callable[[str], Json], processors: Mapping[str, StreamProcessor]
) -> None:
    synthesized, processor = template("imported_stream"), processors["imported_stream"]
    mapping = one(synthesized, _MAPPING)
    assert mapping["EventSourceArn"] == {"Fn::ImportValue": "stream-arn"}
    assert mapping["MaximumRecordAgeInSeconds"] == defaults.LONGEST_RECORD_AGE_SECONDS
    assert processor.max_record_age.to_seconds() == defaults.LONGEST_RECORD_AGE_SECONDS
    assert ("kinesis:GetRecords", '{"Fn::ImportValue": "stream-arn"}') in _allowed(synthesized)
    (warning,) = warnings_of(cdk.Stack.of(processor))
    assert warnings.RETENTION_UNKNOWN in warning
    assert "max_record_age=" in warning


def _hours(stack: cdk.Stack, hours: float | None) -> cdk.Duration:
    token = cdk.CfnParameter(stack, "Hours", type="Number").value_as_number
    return cdk.Duration.hours(hours if hours is not None else token)


@pytest.mark.parametrize(
    ("monitored", "hours", "age"),
    [
        (True, 24, 24 * 3600 * defaults.RECORD_AGE_SHARE_OF_RETENTION),
        (True, 8760, defaults.LONGEST_RECORD_AGE_SECONDS),
        (True, None, defaults.LONGEST_RECORD_AGE_SECONDS),
        # One that may be full already keeps most of what it holds.
        (False, 48, 48 * 3600 * defaults.EXISTING_RECORD_AGE_SHARE),
        (False, None, defaults.LONGEST_RECORD_AGE_SECONDS),
    ],
)
def test_record_age_by_the_retention_of_the_stream(
    monitored: bool, hours: float | None, age: float
) -> None:
    stack = fresh_stack()
    stream = (MonitoredStream if monitored else kinesis.Stream)(
        stack, "Some", retention_period=_hours(stack, hours)
    )
    processor = _processor(stack, stream)
    assert processor.max_record_age.to_seconds() == int(age)
    warned = [w for w in warnings_of(stack) if warnings.RETENTION_UNKNOWN in w]
    assert len(warned) == (1 if hours is None else 0)


@pytest.mark.parametrize(("hours", "accepted"), [(48, True), (None, True), (47, False)])
def test_record_age_is_below_the_retention(hours: float | None, accepted: bool) -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Some", retention_period=_hours(stack, hours))
    age = _seconds(47 * 3600)
    if accepted:
        assert _processor(stack, stream, max_record_age=age).max_record_age is age
        return
    with pytest.raises(ValueError, match=r"max_record_age of 169200 s .* retention of 169200 s"):
        _processor(stack, stream, max_record_age=age)


# --- on_failure=


@_builder
def to_topic(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, on_failure=sns.Topic(stack, "Failed", master_key=_failed_key(stack)))


@_builder
def to_queue(stack: SuffixedStack) -> StreamProcessor:
    return _processor(
        stack, on_failure=sqs.Queue(stack, "Failed", encryption_master_key=_failed_key(stack))
    )


@_builder
def to_queue_of_cdk(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, on_failure=sources.SqsDlq(sqs.Queue(stack, "Failed")))


@_builder
def to_secure_bucket(stack: SuffixedStack) -> StreamProcessor:
    bucket = SecureDataBucket(stack, "Failed", encryption_key=_failed_key(stack))
    return _processor(stack, on_failure=bucket)


@_builder
def to_plain_bucket(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, on_failure=s3.Bucket(stack, "Failed"))


@_builder
def to_imported_bucket(stack: SuffixedStack) -> StreamProcessor:
    """And a DLQ topic whose policy the library cannot change."""
    bucket = s3.Bucket.from_bucket_arn(stack, "Failed", cdk.Fn.import_value("bucket-arn"))
    arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:theirs"
    topic = sns.Topic.from_topic_arn(stack, "Theirs", arn)
    return _processor(stack, on_failure=bucket, dlq_topic=topic)


@_builder
def to_bucket_of_another_stack(stack: SuffixedStack) -> StreamProcessor:
    return _processor(stack, on_failure=s3.Bucket(_other(stack), "Failed"))


@_builder
def to_bucket_beside_its_topic(stack: SuffixedStack) -> StreamProcessor:
    other = _other(stack)
    topic = sns.Topic(other, "Topic")
    return _processor(stack, dlq_topic=topic, on_failure=s3.Bucket(other, "Failed"))


@_builder
def to_bucket_with_topic_of_another_stack(stack: SuffixedStack) -> StreamProcessor:
    """The topic's policy has the bucket's name: a reference would make a cycle."""
    topic = sns.Topic(_other(stack), "Topic")
    bucket = s3.Bucket(stack, "Failed", bucket_name="failed")
    return _processor(stack, dlq_topic=topic, on_failure=bucket)


def _failed_key(stack: cdk.Stack) -> kms.Key:
    return kms.Key(stack, "FailedKey")


_BUCKET_ACTIONS = {"s3:PutObject", "s3:ListBucket"}


@pytest.mark.parametrize(
    ("name", "actions", "of_key"),
    [
        ("to_topic", {"sns:Publish"}, {"kms:Decrypt", "kms:GenerateDataKey"}),
        ("to_queue", {"sqs:SendMessage"}, {"kms:Decrypt", "kms:GenerateDataKey*"}),
        ("to_queue_of_cdk", {"sqs:SendMessage"}, set()),
        # CDK's S3OnFailureDestination grants read, write and delete.
        ("to_secure_bucket", _BUCKET_ACTIONS, {"kms:GenerateDataKey"}),
        ("to_plain_bucket", _BUCKET_ACTIONS, set()),
    ],
)
def test_failed_batches_go_where_the_role_may_put_them(
    name: str, actions: set[str], of_key: set[str], template: Callable[[str], Json]
) -> None:
    synthesized = template(name)
    destination = plain(one(synthesized, _MAPPING)["DestinationConfig"]["OnFailure"]["Destination"])
    assert destination.startswith("${Failed")
    (role,) = [id for id in resources(synthesized, "AWS::IAM::Role") if id.startswith("Processor")]
    granted = permissions(synthesized, {"Fn::GetAtt": [role, "Arn"]})
    assert actions <= {action for action, on in granted if on.startswith(destination)}
    assert {action for action, on in granted if on.startswith("${FailedKey")} >= of_key
    # Asynchronous invocations still fail to the DLQ topic.
    dlq = plain(one(synthesized, _ASYNC)["DestinationConfig"]["OnFailure"]["Destination"])
    assert dlq.startswith("${ProcessorDlqTopic")
    if actions >= _BUCKET_ACTIONS:
        assert {a for a, on in granted if a.startswith("s3:")} == _BUCKET_ACTIONS
        assert ("s3:PutObject", f"{destination}/aws/lambda/*") in granted


@pytest.mark.parametrize(
    "name", ["to_secure_bucket", "to_plain_bucket", "to_bucket_of_another_stack"]
)
def test_bucket_notifies_the_dlq_of_failed_batches(
    name: str, template: Callable[[str], Json]
) -> None:
    synthesized = template(name)
    notifications = one_resource(synthesized, "Custom::S3BucketNotifications")
    configuration = notifications["Properties"]["NotificationConfiguration"]
    (sent,) = configuration["TopicConfigurations"]
    (topic,) = [id for id in resources(synthesized, _TOPIC) if "FailedBatches" in id]
    assert sent["TopicArn"] == {"Ref": topic}
    assert sent["Filter"]["Key"]["FilterRules"] == [{"Name": "prefix", "Value": "aws/lambda/"}]
    policies = resources(synthesized, "AWS::SNS::TopicPolicy")
    (policy_id,) = [id for id in policies if "FailedBatches" in id]
    assert policy_id in notifications["DependsOn"]  # S3 checks that it may publish
    statements = policies[policy_id]["Properties"]["PolicyDocument"]["Statement"]
    (allowed,) = [s for s in statements if s["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert (allowed["Action"], allowed["Resource"]) == ("sns:Publish", {"Ref": topic})
    destination = one(synthesized, _MAPPING)["DestinationConfig"]["OnFailure"]["Destination"]
    assert allowed["Condition"] == {"ArnLike": {"aws:SourceArn": destination}, **_THIS_ACCOUNT}
    # The queue gets no s3:TestEvent, which has a member Event, and everything else without a filter.
    filters = {
        subscription["Properties"]["TopicArn"]["Ref"]: (
            subscription["Properties"].get("FilterPolicy"),
            subscription["Properties"].get("FilterPolicyScope"),
        )
        for subscription in resources(synthesized, "AWS::SNS::Subscription").values()
    }
    no_test_event = ({"Event": [{"exists": False}]}, "MessageBody")
    (dlq,) = resources(synthesized, _TOPIC).keys() - {topic}
    assert filters == {topic: no_test_event, dlq: (None, None)}
    keys = resources(synthesized, _KEY)
    (policy,) = [key for id, key in keys.items() if id.startswith("IotConstructs")]
    statements = policy["Properties"]["KeyPolicy"]["Statement"]
    (uses,) = [s for s in statements if s["Principal"].get("Service") == "s3.amazonaws.com"]
    assert uses["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert uses["Condition"] == _THIS_ACCOUNT


@pytest.mark.parametrize(
    ("name", "bucket"),
    [
        ("to_bucket_beside_its_topic", r"\$\{Failed\w+\.Arn\}"),
        ("to_bucket_with_topic_of_another_stack", r"arn:\$\{AWS::Partition\}:s3:::failed"),
    ],
)
def test_topic_of_another_stack_names_the_bucket(
    name: str,
    bucket: str,
    template: Callable[[str], Json],
    processors: Mapping[str, StreamProcessor],
) -> None:
    assert one(template(name), "Custom::S3BucketNotifications")
    other = template_of(cdk.Stack.of(processors[name].dlq_topic))
    (allowed,) = one(other, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert allowed["Condition"].keys() == {"ArnLike", "StringEquals"}
    assert re.fullmatch(bucket, plain(allowed["Condition"]["ArnLike"]["aws:SourceArn"]))


def test_imported_topic_that_s3_may_not_publish_to(
    template: Callable[[str], Json], processors: Mapping[str, StreamProcessor]
) -> None:
    mapping = one(template("to_imported_bucket"), _MAPPING)
    assert mapping["DestinationConfig"]["OnFailure"] == {
        "Destination": {"Fn::ImportValue": "bucket-arn"}
    }
    found = warnings_of(cdk.Stack.of(processors["to_imported_bucket"]))
    assert [w for w in found if warnings.TOPIC_POLICY_NOT_CHANGED in w]


# --- errors


def _layer(stack: cdk.Stack, *architectures: lambda_.Architecture) -> lambda_.LayerVersion:
    code = lambda_.Code.from_bucket(s3.Bucket.from_bucket_name(stack, "Code", "code"), "layer.zip")
    return lambda_.LayerVersion(
        stack, "Layer", code=code, compatible_architectures=list(architectures) or None
    )


_ARM, _X86 = lambda_.Architecture.ARM_64, lambda_.Architecture.X86_64


@pytest.mark.parametrize("architectures", [(), (_ARM,), (_X86, _ARM)])
def test_layer_for_the_architecture_of_the_function(
    architectures: tuple[lambda_.Architecture, ...],
) -> None:
    stack = fresh_stack()
    _processor(stack, layers=[_layer(stack, *architectures)])
    synthesized = template_of(stack)
    layers = one(synthesized, _FUNCTION)["Layers"]
    assert layers == [_ref(synthesized, "AWS::Lambda::LayerVersion")]


_REFUSED: list[tuple[Callable[[cdk.Stack], dict[str, Any]], str]] = [
    (lambda s: {"layers": [_layer(s, _X86)]}, r"layers: 'Test/Layer' is for x86_64 .* arm64"),
    (lambda s: {"function": _function(s), "code": inline_code()}, "function excludes code="),
    (lambda s: {"function": _function(s), "memory_size": 256}, "function excludes memory_size=256"),
    (
        lambda s: {"function": _function(s), "log_retention": logs.RetentionDays.ONE_DAY},
        "function excludes log_retention=",
    ),
    (
        lambda s: {"function": _function(s, retry_attempts=1), "async_retry_attempts": 1},
        r"function excludes async_retry_attempts=1: 'Test/Own' .* change it there",
    ),
    (
        lambda s: {"function": _imported(s), "max_event_age": _seconds(60)},
        "function excludes max_event_age=",
    ),
    (
        lambda s: {
            "log_group": logs.LogGroup(s, "Logs"),
            "log_retention": logs.RetentionDays.ONE_DAY,
        },
        "log_group excludes log_retention=",
    ),
    (
        lambda s: {"dlq_topic": sns.Topic(s, "Topic"), "dlq_name": "lost"},
        "dlq_topic excludes dlq_name='lost'.*remove dlq_name",
    ),
    (
        lambda s: {"dlq_topic": sns.Topic(s, "Fifo", fifo=True)},
        "dlq_topic='Test/Fifo'.*without fifo=True",
    ),
    (
        lambda s: {"on_failure": sns.Topic(s, "Fifo", fifo=True)},
        "on_failure='Test/Fifo'.*without fifo=True",
    ),
    (
        lambda s: {"on_failure": sqs.Queue(s, "Fifo", fifo=True)},
        "on_failure='Test/Fifo'.*a standard queue",
    ),
    (
        lambda s: {
            "dlq_topic": sns.Topic(_other(s), "Topic"),
            "on_failure": s3.Bucket(s, "Failed"),
        },
        r"StreamProcessor\(on_failure='Test/Failed'\): 'Test-other/Topic' in the stack 'Test-other' would refer to the "
        r"stack 'Test', which refers to it already by StreamProcessor\(dlq_topic='Test-other/Topic'\); create",
    ),
    (lambda _: {"kafka_topic": "x"}, "kafka_topic='x' is not for a Kinesis stream"),
    (lambda _: {"function_name": "a.b"}, "function_name='a.b'"),
    (lambda _: {"dlq_name": ""}, "''.*the name is empty"),
]


@pytest.mark.parametrize(("props", "message"), _REFUSED)
def test_contradiction_is_refused(
    props: Callable[[cdk.Stack], dict[str, Any]], message: str
) -> None:
    stack = fresh_stack(env=ENV)
    with pytest.raises(ValueError, match=message):
        _processor(stack, **props(stack))


_KEYWORDS = ["batch_size", "parallelization_factor", "retry_attempts", "async_retry_attempts"]
_DURATIONS = ["timeout", "max_batching_window", "max_record_age", "max_event_age"]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        (keyword, value)
        for keyword in _KEYWORDS
        for limit in [defaults.NUMBER_LIMITS[keyword]]
        for value in (limit.low - 1, limit.high + 1)
    ]
    + [
        (keyword, _seconds(value))
        for keyword in _DURATIONS
        for limit in [defaults.DURATION_LIMITS[keyword]]
        for value in (limit.low - 1, limit.high + 1)
        if value >= 0
    ],
)
def test_value_out_of_range_is_refused(keyword: str, value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"StreamProcessor({keyword}=")):
        _processor(fresh_stack(), **{keyword: value})


def test_code_or_function_is_required() -> None:
    stack = fresh_stack()
    with pytest.raises(TypeError, match="needs code= or function="):
        StreamProcessor(stack, "Processor", stream=MonitoredStream(stack, "Stream"))


def test_log_group_of_the_l1_is_refused() -> None:
    stack = fresh_stack()
    with pytest.raises(TypeError, match=r"log_group='Test/Logs'.*pass a logs.LogGroup"):
        _processor(stack, log_group=logs.CfnLogGroup(stack, "Logs"))


@pytest.mark.parametrize("keyword", ["function_name", "dlq_name"])
def test_two_processors_need_two_names(keyword: str) -> None:
    stack = fresh_stack()
    _processor(stack)
    names = {"function_name": "second", "dlq_name": "second"}
    _processor(stack, id="Second", **names)
    del names[keyword]
    names = dict.fromkeys(names, "third")
    with pytest.raises(ValueError, match=f"{keyword}: .* of 'Test/Third' is that of"):
        _processor(stack, id="Third", **names)


# --- metrics


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("metric_failed_events", "FailedInvokeEventCount"),
        ("metric_failed_batches", "OnFailureDestinationDeliveredEventCount"),
        ("metric_dropped_events", "DroppedEventCount"),
    ],
)
def test_metrics_of_the_mapping(
    method: str, name: str, processors: Mapping[str, StreamProcessor]
) -> None:
    processor = processors["default"]
    metric = getattr(processor, method)()
    assert (metric.namespace, metric.metric_name, metric.statistic) == ("AWS/Lambda", name, "Sum")
    assert metric.period.to_minutes() == defaults.ALARM_PERIOD_MINUTES
    id = processor.event_source_mapping.event_source_mapping_id
    assert metric.dimensions == {"EventSourceMappingUUID": id}


_CONSUMER = f"arn:aws:kinesis:{ENV.region}:{ENV.account}:stream/given/consumer/fast:1"


@pytest.mark.parametrize("source", ["stream", "consumer"])
def test_unprocessed_records_are_those_of_the_stream_that_the_mapping_reads(source: str) -> None:
    stack = fresh_stack()
    stream = kinesis.Stream(stack, "Source")
    consumer = kinesis.StreamConsumer.from_stream_consumer_arn(stack, "Given", _CONSUMER)
    name = stream.stream_name if source == "stream" else "given"
    processor = _processor(stack, stream=stream if source == "stream" else consumer)
    metric = processor.metric_unprocessed_records()
    assert metric.period.to_minutes() == defaults.UNPROCESSED_PERIOD_MINUTES
    used: Mapping[str, Any] = metric.using_metrics
    id = processor.event_source_mapping.event_source_mapping_id
    assert {
        each: (m.namespace, m.metric_name, m.statistic, m.dimensions) for each, m in used.items()
    } == {
        "arrived": ("AWS/Kinesis", "IncomingRecords", "Sum", {"StreamName": name}),
        "invoked": ("AWS/Lambda", "InvokedEventCount", "Sum", {"EventSourceMappingUUID": id}),
        "filtered": ("AWS/Lambda", "FilteredOutEventCount", "Sum", {"EventSourceMappingUUID": id}),
    }


@pytest.mark.parametrize(
    ("settings", "emits"),
    [
        ({}, True),
        ({"metrics_config": None}, True),
        ({"metrics_config": {"metrics": [lambda_.MetricType.EVENT_COUNT]}}, True),
        ({"metrics_config": lambda_.MetricsConfig(metrics=[])}, False),
        ({"metrics_config": {"metrics": [lambda_.MetricType.ERROR_COUNT]}}, False),
    ],
)
def test_whether_the_mapping_emits_event_counts(settings: dict[str, Any], emits: bool) -> None:
    stack = fresh_stack()
    assert _processor(stack, **settings).emits_event_counts is emits
    metrics = one(template_of(stack), _MAPPING)["MetricsConfig"]["Metrics"]
    assert ("EventCount" in metrics) is emits
