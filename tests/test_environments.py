"""Region and account of every resource that a construct takes: own and imported, argument by argument.

A resource that AWS cannot reach is a ValueError; one of another account that AWS can reach works, with a warning if its
owner has to allow it. The keywords come from the constructors, so a new one without a row fails.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_codeguruprofiler as profiler
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

import iot_constructs as iot
from iot_constructs import Severity
from iot_constructs._warnings import OTHER_ACCOUNT
from tests.constructor_keywords import L2S, SET_BY_US
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    fresh_app,
    fresh_stack,
    inline_code,
    one,
    permissions,
    plain,
    resources,
    template_of,
    warnings_of,
)

OTHER_REGION, OTHER_ACCOUNT_ID = "us-east-1", "210987654321"

# --- resources of another place: created by a stack of this app, and imported

_OWN: dict[str, Callable[[cdk.Stack], Any]] = {
    "key": lambda s: kms.Key(s, "Theirs"),
    "stream": lambda s: kinesis.Stream(s, "Theirs", stream_name="theirs"),
    "bucket": lambda s: s3.Bucket(s, "Theirs", bucket_name="theirs"),
    "topic": lambda s: sns.Topic(s, "Theirs", topic_name="theirs"),
    "queue": lambda s: sqs.Queue(s, "Theirs", queue_name="theirs"),
    "function": lambda s: lambda_.Function(
        s,
        "Theirs",
        function_name="theirs",
        runtime=lambda_.Runtime.PYTHON_3_13,
        code=inline_code(),
        handler="index.handler",
    ),
    "table": lambda s: dynamodb.TableV2(
        s,
        "Theirs",
        table_name="theirs",
        partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
    ),
    "role": lambda s: iam.Role(s, "Theirs", assumed_by=iam.ServicePrincipal("iot.amazonaws.com")),
    "log_group": lambda s: logs.LogGroup(s, "Theirs"),
    "vpc": lambda s: ec2.Vpc(s, "Theirs"),
    "security_group": lambda s: ec2.SecurityGroup(s, "Theirs", vpc=ec2.Vpc(s, "Vpc")),
    "layer": lambda s: lambda_.LayerVersion(s, "Theirs", code=_zip(s)),
    "code_signing": lambda s: lambda_.CodeSigningConfig(s, "Theirs", signing_profiles=[]),
    "profiling_group": lambda s: profiler.ProfilingGroup(s, "Theirs"),
    "archive": lambda s: iot.StreamArchive(
        s, "Theirs", stream=iot.MonitoredStream(s, "S"), bucket=iot.SecureDataBucket(s, "D")
    ),
    "rule": lambda s: iot.TelemetryRule(
        s, "Theirs", stream=iot.MonitoredStream(s, "S"), dlq_topic=sns.Topic(s, "T")
    ),
}


def _zip(scope: Construct) -> lambda_.Code:
    return lambda_.Code.from_bucket(s3.Bucket.from_bucket_name(scope, "Code", "code"), "layer.zip")


_IMPORTED: dict[str, Callable[[Construct, str, str], Any]] = {
    "key": lambda s, region, account: kms.Key.from_key_arn(
        s, "Theirs", f"arn:aws:kms:{region}:{account}:key/1234"
    ),
    "stream": lambda s, region, account: kinesis.Stream.from_stream_arn(
        s, "Theirs", f"arn:aws:kinesis:{region}:{account}:stream/theirs"
    ),
    "bucket": lambda s, region, account: s3.Bucket.from_bucket_attributes(
        s, "Theirs", bucket_name="theirs", region=region, account=account
    ),
    "topic": lambda s, region, account: sns.Topic.from_topic_arn(
        s, "Theirs", f"arn:aws:sns:{region}:{account}:theirs"
    ),
    "queue": lambda s, region, account: sqs.Queue.from_queue_arn(
        s, "Theirs", f"arn:aws:sqs:{region}:{account}:theirs"
    ),
    "function": lambda s, region, account: lambda_.Function.from_function_attributes(
        s,
        "Theirs",
        function_arn=f"arn:aws:lambda:{region}:{account}:function:theirs",
        role=iam.Role.from_role_name(s, "TheirRole", "theirs"),
    ),
    "table": lambda s, region, account: dynamodb.TableV2.from_table_arn(
        s, "Theirs", f"arn:aws:dynamodb:{region}:{account}:table/theirs"
    ),
    "role": lambda s, region, account: iam.Role.from_role_arn(
        s, "Theirs", f"arn:aws:iam::{account}:role/theirs"
    ),
    "log_group": lambda s, region, account: logs.LogGroup.from_log_group_arn(
        s, "Theirs", f"arn:aws:logs:{region}:{account}:log-group:theirs:*"
    ),
}
"""The others cannot be imported with a region or an account: CDK takes those of the stack."""

# --- which argument takes what

_ARGUMENTS: dict[str, dict[str, str]] = {
    "SecureDataBucket": {
        "encryption_key": "key",
        "notifications_handler_role": "role",
        "replication_role": "role",
        "server_access_logs_bucket": "bucket",
    },
    "MonitoredStream": {"encryption_key": "key"},
    "TimeSeriesTable": {"encryption_key": "key", "encryption": "key", "kinesis_stream": "stream"},
    "DeviceStateTable": {"encryption_key": "key", "encryption": "key", "kinesis_stream": "stream"},
    "StreamProcessor": {
        "stream": "stream",
        "function": "function",
        "on_failure": "bucket",
        "dlq_topic": "topic",
        "encryption_key": "key",
        "code_signing_config": "code_signing",
        "dead_letter_queue": "queue",
        "dead_letter_topic": "topic",
        "environment_encryption": "key",
        "layers": "layer",
        "log_group": "log_group",
        "log_retention_role": "role",
        "profiling_group": "profiling_group",
        "role": "role",
        "security_groups": "security_group",
        "vpc": "vpc",
        "filter_encryption": "key",
    },
    "TelemetryProcessor": {
        "stream": "stream",
        "time_series_table": "table",
        "device_state_table": "table",
    },
    "TelemetryRule": {
        "stream": "stream",
        "dlq_topic": "topic",
        "role": "role",
        "error_action_role": "role",
    },
    "DevicePolicy": {"rule": "rule"},
    "StreamArchive": {
        "stream": "stream",
        "bucket": "bucket",
        "log_encryption_key": "key",
        "encryption_key": "key",
        "role": "role",
    },
    "QueryableArchive": {"bucket": "bucket", "results_bucket": "bucket", "encryption_key": "key"},
    "PipelineAlarms": {
        "stream": "stream",
        "processor": "function",
        "dlq_queue": "queue",
        "time_series_table": "table",
        "device_state_table": "table",
        "archive": "archive",
        "rule": "rule",
        "alarm_topic": "topic",
        "severity_topics": "topic",
        "encryption_key": "key",
    },
}
_WRAPPED = {
    "async_on_failure",
    "events",
    "logging_config",
    "on_success",
    "processor",
    "processors",
    "property_injectors",
    "schema_registry_config",
    "subscriptions",
    "synthesizer",
}
"""Objects of CDK that are no resources, and do not show the resource that they hold."""
_LISTS = {"layers", "security_groups"}

# --- what AWS allows

_WORKS = {f"PipelineAlarms.{keyword}" for keyword in _ARGUMENTS["PipelineAlarms"]} - {
    "PipelineAlarms.encryption_key"
}
"""In another account: the alarms name what they watch and notify."""
_WORKS_IF_ALLOWED = {
    "SecureDataBucket.encryption_key",
    "MonitoredStream.encryption_key",
    "StreamProcessor.stream",
    "StreamProcessor.on_failure",
    "StreamProcessor.dlq_topic",
    "TelemetryProcessor.stream",
    "StreamArchive.bucket",
    "QueryableArchive.bucket",
    "TelemetryRule.dlq_topic",
    *_WORKS,
}
"""In another account, imported: its owner has to allow it, as a warning says."""
_CELLS = [
    (construct, keyword, origin, what)
    for construct, arguments in _ARGUMENTS.items()
    for keyword, kind in arguments.items()
    for origin, what in itertools.product(("own", "imported"), ("region", "account"))
    if origin == "own" or kind in _IMPORTED
]


def _arguments(construct: str, stack: cdk.Stack) -> dict[str, Any]:
    """What the construct needs besides."""
    if construct == "StreamProcessor":
        return {"stream": kinesis.Stream(stack, "Plain"), "code": inline_code()}
    if construct == "TelemetryProcessor":
        series = iot.TimeSeriesTable(stack, "Series")
        return {"stream": kinesis.Stream(stack, "Plain"), "time_series_table": series}
    if construct == "TelemetryRule":
        return {"stream": kinesis.Stream(stack, "Plain"), "dlq_topic": sns.Topic(stack, "Dlq")}
    if construct == "StreamArchive":
        return {"stream": kinesis.Stream(stack, "Plain"), "bucket": s3.Bucket(stack, "Bucket")}
    if construct == "QueryableArchive":
        return {"bucket": s3.Bucket(stack, "Bucket")}
    if construct == "PipelineAlarms":
        return {"stream": kinesis.Stream(stack, "Plain")}
    return {}


def _create(construct: str, keyword: str, origin: str, what: str) -> cdk.Stack:
    app = fresh_app()
    stack = fresh_stack(app=app, env=ENV)
    region = OTHER_REGION if what == "region" else REGION
    account = OTHER_ACCOUNT_ID if what == "account" else ACCOUNT
    other = cdk.Stack(app, "Other", env=cdk.Environment(account=account, region=region))
    kind = _ARGUMENTS[construct][keyword]
    resource = _OWN[kind](other) if origin == "own" else _IMPORTED[kind](stack, region, account)
    value: Any = [resource] if keyword in _LISTS else resource
    if keyword == "severity_topics":
        value = {Severity.CRITICAL: resource}
    if keyword == "encryption":
        value = dynamodb.TableEncryptionV2.customer_managed_key(resource)
    arguments = {**_arguments(construct, stack), keyword: value}
    if keyword == "replication_role":
        copies = s3.Bucket.from_bucket_name(stack, "Copies", "copies")
        arguments["replication_rules"] = [s3.ReplicationRule(destination=copies)]
    if keyword == "function":
        del arguments["code"]
    getattr(iot, construct)(stack, "Ours", **arguments)
    return stack


@pytest.mark.parametrize(("construct", "keyword", "origin", "what"), _CELLS)
def test_resource_of_another_region_or_account(
    construct: str, keyword: str, origin: str, what: str
) -> None:
    argument = f"{construct}.{keyword}"
    if what == "account" and argument in _WORKS_IF_ALLOWED:
        if origin == "own" and argument not in _WORKS:
            with pytest.raises(
                ValueError, match="create both in one account, or import it by its ARN"
            ):
                _create(construct, keyword, origin, what)
            return
        stack = _create(construct, keyword, origin, what)
        template_of(stack)
        warned = [w for w in warnings_of(stack) if OTHER_ACCOUNT in w]
        assert bool(warned) == (origin == "imported")
        return
    if what == "region" and (
        origin == "imported" and (keyword.endswith("role") or argument == "StreamArchive.bucket")
    ):
        template_of(_create(construct, keyword, origin, what))  # IAM has no regions
        return
    here, there = (REGION, OTHER_REGION) if what == "region" else (ACCOUNT, OTHER_ACCOUNT_ID)
    path = r"(Other|Test)/Theirs"
    message = (
        rf"^{construct}\({keyword}='{path}'\): it is in the {what} {there} and 'Test/Ours' in {here}; "
        rf"create both in one {what}"
    )
    with pytest.raises(ValueError, match=message):
        _create(construct, keyword, origin, what)


def test_class_that_extends_a_construct() -> None:
    class Alarms(iot.PipelineAlarms):
        pass

    stack = fresh_stack(env=ENV)
    table = _IMPORTED["table"](stack, REGION, OTHER_ACCOUNT_ID)
    Alarms(stack, "Alarms", time_series_table=table)
    assert [w for w in warnings_of(stack) if OTHER_ACCOUNT in w]


def test_every_argument_that_takes_a_resource_has_a_row() -> None:
    found = {
        f"{construct}.{parameter.name}"
        for construct, l2s in L2S.items()
        for source in (getattr(iot, construct).__init__, *(l2.__dict__["__init__"] for l2 in l2s))
        for parameter in inspect.signature(source).parameters.values()
        if (
            re.search(
                r"\bI[A-Z][a-z]\w+|StreamArchive|TelemetryRule|FailureDestination|TableEncryptionV2",
                str(parameter.annotation),
            )
            and parameter.name not in _WRAPPED | SET_BY_US
        )
        or (construct, parameter.name) == ("PipelineAlarms", "processor")
    }
    table = {f"{one}.{keyword}" for one, row in _ARGUMENTS.items() for keyword in row}
    assert found == table


def test_alarms_name_the_account_of_the_metric() -> None:
    app = fresh_app()
    theirs = fresh_stack(
        "dev", id="Theirs", app=app, env=cdk.Environment(account=OTHER_ACCOUNT_ID, region=REGION)
    )
    stack = fresh_stack("dev", app=app, env=ENV)
    stream = iot.MonitoredStream(theirs, "Stream")
    table = iot.TimeSeriesTable(theirs, "Series")
    rule = iot.TelemetryRule(theirs, "Rule", stream=stream, dlq_topic=sns.Topic(theirs, "Dlq"))
    iot.PipelineAlarms(stack, "Alarms", stream=stream, time_series_table=table, rule=rule)
    alarms = resources(template_of(stack), "AWS::CloudWatch::Alarm")
    assert len(alarms) == len(stream.alarms) + 2 + 2
    queries = []
    for alarm in alarms.values():
        metrics = alarm["Properties"]["Metrics"]
        accounts = {one["AccountId"] for one in metrics if "MetricStat" in one}
        if accounts:
            assert accounts == {OTHER_ACCOUNT_ID}
        else:
            queries += [one["Expression"] for one in metrics]
    (query,) = queries
    assert query.endswith(f"' AND AWS.AccountId = '{OTHER_ACCOUNT_ID}'")


def test_what_cloudformation_names_in_another_account_has_no_alarms_here() -> None:
    app = fresh_app()
    env = cdk.Environment(account=OTHER_ACCOUNT_ID, region=REGION)
    theirs = fresh_stack("dev", id="Theirs", app=app, env=env)
    stack = fresh_stack("dev", app=app, env=ENV)
    generated = cdk.PhysicalName.GENERATE_IF_NEEDED
    stream = iot.MonitoredStream(theirs, "Stream")
    bucket = iot.SecureDataBucket(theirs, "Data")
    processor = iot.StreamProcessor(theirs, "Processor", stream=stream, code=inline_code())
    topic = processor.dlq_topic
    watched: dict[str, Any] = {
        "processor": processor,
        "rule": iot.TelemetryRule(
            theirs, "Rule", stream=stream, dlq_topic=topic, rule_name=generated
        ),
        "archive": iot.StreamArchive(
            theirs, "Archive", stream=stream, bucket=bucket, delivery_stream_name=generated
        ),
    }
    for number, (keyword, construct) in enumerate(watched.items()):
        message = rf"^PipelineAlarms\({keyword}='Theirs/\w+'\): .* create a PipelineAlarms in that account"
        with pytest.raises(ValueError, match=message):
            iot.PipelineAlarms(
                stack, f"Alarms{number}", name_prefix=f"n{number}", **{keyword: construct}
            )


def test_archive_in_another_account_hands_its_objects_over() -> None:
    stack = fresh_stack(env=ENV)
    bucket = _IMPORTED["bucket"](stack, REGION, OTHER_ACCOUNT_ID)
    archive = iot.StreamArchive(stack, "Archive", stream=kinesis.Stream(stack, "S"), bucket=bucket)
    granted = permissions(template_of(stack), stack.resolve(archive.role.role_arn))
    assert "s3:PutObjectAcl" in {action for action, _ in granted}


def test_topic_of_another_account_takes_the_alarms_of_this_one() -> None:
    app = fresh_app()
    env = cdk.Environment(account=OTHER_ACCOUNT_ID, region=REGION)
    theirs = fresh_stack("dev", id="Theirs", app=app, env=env)
    topic = sns.Topic(theirs, "Topic", topic_name="alerts", master_key=kms.Key(theirs, "Key"))
    stack = fresh_stack("dev", app=app, env=ENV)
    table = iot.TimeSeriesTable(stack, "Series")
    iot.PipelineAlarms(stack, "Alarms", time_series_table=table, alarm_topic=topic)
    template = template_of(theirs)
    (allowed,) = one(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    key_policy = one(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (of_alarms,) = [it for it in key_policy if "Service" in it["Principal"]]
    assert of_alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert of_alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    alarms = resources(template_of(stack), "AWS::CloudWatch::Alarm").values()
    actions = [plain(action) for it in alarms for action in it["Properties"]["AlarmActions"]]
    arn = f"arn:${{AWS::Partition}}:sns:{REGION}:{OTHER_ACCOUNT_ID}:alerts"
    assert actions == [arn] * len(alarms)
