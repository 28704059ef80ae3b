"""MonitoredStream: a kinesis.Stream with the defaults of the library, its alarms, and what it refuses."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import ANY

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_lambda_event_sources import KinesisEventSource

from iot_constructs import MonitoredStream
from iot_constructs import _defaults as defaults
from iot_constructs._alarms import ITERATOR_AGE, READ_THROTTLES, WRITE_THROTTLES, AlarmSpec
from iot_constructs._warnings import DATA_DESTROYED_WITH_STACK
from iot_constructs.streams import known_retention_seconds
from tests.synth_support import (
    Json,
    fresh_app,
    fresh_stack,
    inline_code,
    one,
    one_resource,
    permissions,
    recommended_flags,
    resources,
    template_of,
    the_id,
    warnings_of,
)

STREAM = "AWS::Kinesis::Stream"
ALARM = "AWS::CloudWatch::Alarm"
KEY = "AWS::KMS::Key"
HALF_OF_RETENTION = (
    defaults.ITERATOR_AGE_SHARE_OF_RETENTION * defaults.STREAM_RETENTION_HOURS * 3_600_000
)
OF_NO_STREAM_LESS = (
    defaults.ITERATOR_AGE_SHARE_OF_RETENTION * defaults.STREAM_MINIMUM_RETENTION_HOURS * 3_600_000
)


def template_with(suffix: str = "prod", **props: Any) -> Json:
    stack = fresh_stack(suffix)
    MonitoredStream(stack, "Stream", **props)
    return template_of(stack)


def iterator_age(template: Json) -> Json:
    return one(template, ALARM, MetricName="GetRecords.IteratorAgeMilliseconds")


@pytest.fixture(scope="module", params=[False, True], ids=["no-flags", "recommended-flags"])
def prod(request: pytest.FixtureRequest) -> Json:
    """The stream with nothing but defaults."""
    stack = fresh_stack("prod", context=recommended_flags() if request.param else None)
    stream = MonitoredStream(stack, "Stream")
    assert isinstance(stream, kinesis.Stream)
    return template_of(stack)


def test_defaults(prod: Json) -> None:
    assert one(prod, STREAM) == {
        "Name": f"{defaults.NAME_PREFIX}-{defaults.STREAM_NAME}-prod",
        "RetentionPeriodHours": defaults.STREAM_RETENTION_HOURS,
        "StreamEncryption": {
            "EncryptionType": "KMS",
            "KeyId": {"Fn::GetAtt": [the_id(prod, KEY), "Arn"]},
        },
        "StreamModeDetails": {"StreamMode": "ON_DEMAND"},  # and no ShardCount
        "Tags": ANY,
    }


_ONE_SHARD = {"ShardCount": 1, "StreamModeDetails": {"StreamMode": "PROVISIONED"}}
_ONE_DAY = {"RetentionPeriodHours": defaults.EPHEMERAL_STREAM_RETENTION_HOURS}
_ON_DEMAND = {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}}
_A_WEEK = {"RetentionPeriodHours": defaults.STREAM_RETENTION_HOURS}


@pytest.mark.parametrize(
    ("props", "rendered"),
    [
        ({}, _ONE_SHARD | _ONE_DAY),
        ({"shard_count": 2}, _ONE_SHARD | _ONE_DAY | {"ShardCount": 2}),
        ({"stream_mode": kinesis.StreamMode.ON_DEMAND}, _ON_DEMAND | _ONE_DAY),
        ({"stream_mode": kinesis.StreamMode.PROVISIONED}, _ONE_SHARD | _ONE_DAY),
        ({"retention_period": cdk.Duration.days(7)}, _ONE_SHARD | _A_WEEK),
    ],
    ids=",".join,
)
def test_in_an_ephemeral_stack_it_costs_less_unless_the_app_says_otherwise(
    props: dict[str, Any], rendered: Json
) -> None:
    assert defaults.EPHEMERAL_STREAM_SHARDS == 1
    stack = fresh_stack("qa7")
    nested = cdk.NestedStack(stack, "Nested")
    MonitoredStream(stack, "Stream", **props)
    MonitoredStream(nested, "Stream", name_prefix="nested", **props)
    for each in (stack, nested):
        found = one(template_of(each), STREAM)
        assert found.items() >= rendered.items()
        assert ("ShardCount" in found) is ("ShardCount" in rendered)


def test_the_suffix_alone_does_not_make_a_stream_ephemeral() -> None:
    stack = cdk.Stack(fresh_app(), "Plain")
    MonitoredStream(stack, "Stream", environment_suffix="dev")
    kept = fresh_stack("dev", ephemeral=False)
    MonitoredStream(kept, "Stream")
    for each in (stack, kept):
        assert one(template_of(each), STREAM).items() >= (_ON_DEMAND | _A_WEEK).items()


@pytest.mark.parametrize(
    ("spec", "metric", "statistic", "threshold"),
    [
        (ITERATOR_AGE, "GetRecords.IteratorAgeMilliseconds", "Maximum", HALF_OF_RETENTION),
        (WRITE_THROTTLES, "WriteProvisionedThroughputExceeded", "Sum", defaults.STREAM_THROTTLES),
        (READ_THROTTLES, "ReadProvisionedThroughputExceeded", "Sum", defaults.STREAM_THROTTLES),
    ],
    ids=lambda value: value.id if isinstance(value, AlarmSpec) else "",
)
def test_alarms(prod: Json, spec: AlarmSpec, metric: str, statistic: str, threshold: float) -> None:
    name = f"{defaults.NAME_PREFIX}-{spec.name}-prod"
    assert one(prod, ALARM, AlarmName=name) == {
        "AlarmDescription": ANY,
        "AlarmName": name,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "DatapointsToAlarm": spec.evaluation_periods,
        "Dimensions": [{"Name": "StreamName", "Value": {"Ref": the_id(prod, STREAM)}}],
        "EvaluationPeriods": spec.evaluation_periods,
        "MetricName": metric,
        "Namespace": "AWS/Kinesis",
        "Period": defaults.ALARM_PERIOD_MINUTES * 60,
        "Statistic": statistic,
        "Tags": ANY,
        "Threshold": threshold,
        "TreatMissingData": "notBreaching",
    }


def test_alarm_list_and_construct_ids() -> None:
    """Ids are API: a resource under another id is a new resource, and the data of the old one is gone."""
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream")
    assert {child.node.id for child in stack.node.children} == {"Stream", "IotConstructsKey"}
    assert [child.node.id for child in stream.node.children] == [
        "Resource",
        *(alarm.node.id for alarm in stream.alarms),
    ]
    assert [alarm.node.id for alarm in stream.alarms] == [
        spec.id for spec in (ITERATOR_AGE, WRITE_THROTTLES, READ_THROTTLES)
    ]


@pytest.mark.parametrize(
    ("props", "rendered"),
    [
        ({"shard_count": 3}, {"ShardCount": 3, "StreamModeDetails": {"StreamMode": "PROVISIONED"}}),
        (
            {"stream_mode": kinesis.StreamMode.PROVISIONED},
            {"ShardCount": 1, "StreamModeDetails": {"StreamMode": "PROVISIONED"}},
        ),
        ({"retention_period": cdk.Duration.hours(24)}, {"RetentionPeriodHours": 24}),
        ({"retention_period": cdk.Duration.hours(8760)}, {"RetentionPeriodHours": 8760}),
        ({"stream_name": "trucks", "environment_suffix": "PR-7"}, {"Name": "trucks-pr-7"}),
        ({"name_prefix": "north"}, {"Name": f"north-{defaults.STREAM_NAME}-prod"}),
        ({"stream_name": cdk.PhysicalName.GENERATE_IF_NEEDED}, {"Name": None}),
        (
            {"encryption": kinesis.StreamEncryption.MANAGED},
            {"StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}},
        ),
        # which the library does not mention:
        (
            {"shard_level_metrics": [kinesis.ShardLevelMetrics.INCOMING_BYTES]},
            {"DesiredShardLevelMetrics": ["IncomingBytes"]},
        ),
    ],
    ids=",".join,
)
def test_given_values_win(props: dict[str, Any], rendered: Json) -> None:
    template = template_with(**props)
    stream = one(template, STREAM)
    assert {name: stream.get(name) for name in rendered} == rendered
    shared_key = props.get("encryption") != kinesis.StreamEncryption.MANAGED
    assert len(resources(template, KEY)) == shared_key


def test_a_given_key_wins() -> None:
    stack = fresh_stack()
    MonitoredStream(
        stack,
        "Stream",
        encryption=kinesis.StreamEncryption.KMS,
        encryption_key=kms.Key(stack, "Own"),
    )
    template = template_of(stack)
    assert the_id(template, KEY).startswith("Own")  # and no shared one beside it
    assert one(template, STREAM)["StreamEncryption"]["KeyId"] == {
        "Fn::GetAtt": [the_id(template, KEY), "Arn"]
    }


@pytest.mark.parametrize(
    ("suffix", "given", "policy", "of_the_key"),
    [
        ("qa7", None, "Delete", "Delete"),
        ("prod", None, "RetainExceptOnCreate", "RetainExceptOnCreate"),
        ("qa7", cdk.RemovalPolicy.RETAIN, "Retain", "Retain"),
        ("prod", cdk.RemovalPolicy.RETAIN, "Retain", "Retain"),
        ("prod", cdk.RemovalPolicy.DESTROY, "Delete", "RetainExceptOnCreate"),
    ],
)
def test_removal_policy(
    suffix: str, given: cdk.RemovalPolicy | None, policy: str, of_the_key: str
) -> None:
    stack = fresh_stack(suffix)
    MonitoredStream(stack, "Stream", removal_policy=given)
    template = template_of(stack)
    stream = one_resource(template, STREAM)
    replaced = "Retain" if policy == "RetainExceptOnCreate" else policy
    assert (stream["DeletionPolicy"], stream["UpdateReplacePolicy"]) == (policy, replaced)
    assert one_resource(template, KEY)["DeletionPolicy"] == of_the_key
    warned = [DATA_DESTROYED_WITH_STACK in text for text in warnings_of(stack)]
    assert warned == [True] * (policy != of_the_key)


@pytest.mark.parametrize("hours", [24, 48])
def test_the_iterator_age_alarm_follows_the_retention(hours: int) -> None:
    alarm = iterator_age(template_with(retention_period=cdk.Duration.hours(hours)))
    share = defaults.ITERATOR_AGE_SHARE_OF_RETENTION
    assert alarm["Threshold"] == share * hours * 3_600_000
    assert f"{share * hours:g} h ({share:g} of the retention)" in alarm["AlarmDescription"]


def test_given_thresholds_win() -> None:
    template = template_with(
        throttles_threshold=7.0, iterator_age_threshold=cdk.Duration.minutes(90)
    )
    assert iterator_age(template)["Threshold"] == 5_400_000
    for metric in ("WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"):
        assert one(template, ALARM, MetricName=metric)["Threshold"] == 7


def test_numbers_known_at_deployment_pass() -> None:
    stack = fresh_stack()
    shards, hours, throttles, age = (
        cdk.CfnParameter(stack, id, type="Number").value_as_number
        for id in ("Shards", "Hours", "Throttles", "Age")
    )
    MonitoredStream(
        stack,
        "One",
        shard_count=shards,
        retention_period=cdk.Duration.hours(hours),
        throttles_threshold=throttles,
    )
    threshold = cdk.Duration.millis(age)
    MonitoredStream(stack, "Other", name_prefix="other", iterator_age_threshold=threshold)
    template = template_of(stack)
    stream = one(template, STREAM, ShardCount={"Ref": "Shards"})
    assert stream["RetentionPeriodHours"] == {"Ref": "Hours"}
    alarms = [alarm["Properties"] for alarm in resources(template, ALARM).values()]
    # An alarm on no known retention does not claim one.
    assert "of the retention)" not in str([alarm["AlarmDescription"] for alarm in alarms[:3]])
    thresholds = {alarm["AlarmName"]: alarm["Threshold"] for alarm in alarms}
    prefix = defaults.NAME_PREFIX
    assert thresholds[f"{prefix}-{WRITE_THROTTLES.name}-dev"] == {"Ref": "Throttles"}
    assert thresholds[f"{prefix}-{ITERATOR_AGE.name}-dev"] == OF_NO_STREAM_LESS
    assert thresholds[f"other-{ITERATOR_AGE.name}-dev"] == {"Ref": "Age"}


def test_known_retention() -> None:
    stack = fresh_stack()
    hours = cdk.CfnParameter(stack, "Hours", type="Number").value_as_number
    token = cdk.Duration.hours(hours)
    two_days = cdk.Duration.hours(48)
    without = kinesis.Stream(stack, "Without")
    without.node.default_child.retention_period_hours = None  # type: ignore[union-attr]
    imported = kinesis.Stream.from_stream_arn(stack, "Imported", cdk.Fn.import_value("arn"))
    assert [
        known_retention_seconds(stream)
        for stream in (
            MonitoredStream(stack, "Ours", retention_period=two_days),
            MonitoredStream(stack, "OursToken", retention_period=token, name_prefix="token"),
            kinesis.Stream(stack, "Plain", retention_period=two_days),
            kinesis.Stream(stack, "PlainToken", retention_period=token),
            without,
            imported,
        )
    ] == [172_800, None, 172_800, None, defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600, None]


def test_as_an_event_source_of_a_function() -> None:
    stack = fresh_stack()
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    function = lambda_.Function(
        stack,
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=inline_code(),
        role=role,
    )
    function.add_event_source(
        KinesisEventSource(
            MonitoredStream(stack, "Stream"),
            starting_position=lambda_.StartingPosition.LATEST,
        )
    )
    template = template_of(stack)
    stream = the_id(template, STREAM)
    mapping = one(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [stream, "Arn"]}
    assert {
        ("kinesis:GetRecords", f"${{{stream}.Arn}}"),
        ("kms:Decrypt", f"${{{the_id(template, KEY)}.Arn}}"),
    } <= permissions(template, {"Fn::GetAtt": [the_id(template, "AWS::IAM::Role"), "Arn"]})


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"encryption": kinesis.StreamEncryption.UNENCRYPTED}, "UNENCRYPTED.*remove encryption"),
        ({"retention_period": cdk.Duration.hours(23)}, "retention_period=23 hours.*86400"),
        ({"retention_period": cdk.Duration.hours(8761)}, "retention_period=8761 hours.*31536000"),
        ({"retention_period": cdk.Duration.minutes(1501)}, "retention_period=1501 minutes.*93600"),
        ({"shard_count": 0}, "shard_count=0.*from 1 to 10,000"),
        ({"shard_count": 10_001}, "shard_count=10001.*from 1 to 10,000"),
        ({"shard_count": 1.5}, "shard_count=1.5.*whole number"),
        ({"shard_count": 2, "stream_mode": kinesis.StreamMode.ON_DEMAND}, "stream_mode=.*PROVISIO"),
        ({"throttles_threshold": 0}, "throttles_threshold=0.*from 1 to"),
        ({"iterator_age_threshold": cdk.Duration.millis(0)}, "age_threshold=0 seconds.*1 second"),
        ({"iterator_age_threshold": cdk.Duration.days(366)}, "age_threshold=366 days.*365 days"),
        ({"stream_name": ""}, "stream_name='': the name is empty"),
        ({"stream_name": "a b"}, re.escape("stream_name='a b': ' ' is not allowed")),
        ({"stream_name": "x" * 124}, "has 129 characters.*shorten stream_name.*by 1"),
        ({"stream_name": cdk.Aws.STACK_NAME}, "stream_name=.*a token.*pass a literal string"),
        ({"removal_policy": cdk.RemovalPolicy.SNAPSHOT}, "removal_policy=RemovalPolicy.SNAPSHOT"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_value_is_named_with_its_remedy(props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MonitoredStream(fresh_stack("prod"), "Stream", **props)


def test_a_key_that_would_not_be_used_is_an_error() -> None:
    stack = cdk.Stack(fresh_app(), "Plain")
    with pytest.raises(ValueError, match=r"encryption_key excludes encryption=.*MANAGED"):
        MonitoredStream(
            stack,
            "Stream",
            encryption=kinesis.StreamEncryption.MANAGED,
            encryption_key=kms.Key(stack, "Key"),
        )


@pytest.mark.parametrize(
    ("prefix", "taken"),
    # The alarms have no argument of their own: their names take the prefix.
    [("other", "stream_name: the Kinesis stream"), (None, "name_prefix: the CloudWatch alarm")],
)
def test_two_streams_of_one_name(prefix: str | None, taken: str) -> None:
    stack = fresh_stack()
    name = "same" if prefix else None
    MonitoredStream(stack, "A", stream_name=name)
    with pytest.raises(ValueError, match=f"^{taken} name .*'Test/B.* is that of 'Test/A"):
        MonitoredStream(stack, "B", stream_name=name or "b", name_prefix=prefix)
