"""MonitoredStream: what the stream is, when it complains, and what it refuses."""

from __future__ import annotations

import re
from typing import Any, cast

import aws_cdk as cdk
import jsii
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms

from iot_constructs import MonitoredStream
from tests.synth_support import Json, fresh_stack, one, one_resource, resources, template_of
from tests.test_whole_pipeline import permissions, the_id

_STREAM = "AWS::Kinesis::Stream"
_ALARM = "AWS::CloudWatch::Alarm"
_KEY = "AWS::KMS::Key"


def _template(suffix: str = "qa7", **settings: Any) -> Json:
    stack = fresh_stack(suffix)
    MonitoredStream(stack, "Stream", **settings)
    return template_of(stack)


def _iterator_age(template: Json) -> Json:
    return one(template, _ALARM, MetricName="GetRecords.IteratorAgeMilliseconds")


@pytest.fixture(scope="module")
def template() -> Json:
    return _template()


# --- defaults -------------------------------------------------------------------------------------


def test_it_is_on_demand(template: Json) -> None:
    stream = one(template, _STREAM)
    assert stream["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert "ShardCount" not in stream


def test_it_keeps_records_for_seven_days(template: Json) -> None:
    assert one(template, _STREAM)["RetentionPeriodHours"] == 168


def test_it_is_encrypted_with_the_key_of_the_stack(template: Json) -> None:
    key = {"Fn::GetAtt": [the_id(template, _KEY), "Arn"]}
    assert one(template, _STREAM)["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": key}
    assert one(template, _KEY)["EnableKeyRotation"] is True


def test_its_name_is_the_stem_and_the_suffix(template: Json) -> None:
    assert one(template, _STREAM)["Name"] == "iot-sensor-data-stream-qa7"


@pytest.mark.parametrize(
    ("suffix", "policy"), [("qa7", "Delete"), ("prod", "Retain"), ("live", "Retain")]
)
def test_it_goes_with_a_short_lived_stack_only(suffix: str, policy: str) -> None:
    stream = one_resource(_template(suffix), _STREAM)
    assert (stream["DeletionPolicy"], stream["UpdateReplacePolicy"]) == (policy, policy)


# --- alarms ---------------------------------------------------------------------------------------

_ALARMS = [
    ("iot-kinesis-iterator-age-qa7", "GetRecords.IteratorAgeMilliseconds", "Maximum", 302_400_000),
    ("iot-kinesis-write-throttling-qa7", "WriteProvisionedThroughputExceeded", "Sum", 1),
    ("iot-kinesis-read-throttling-qa7", "ReadProvisionedThroughputExceeded", "Sum", 1),
]


def test_it_has_three_alarms(template: Json) -> None:
    alarms = resources(template, _ALARM).values()
    assert {a["Properties"]["AlarmName"] for a in alarms} == {name for name, *_ in _ALARMS}


@pytest.mark.parametrize(("name", "metric", "statistic", "threshold"), _ALARMS)
def test_what_each_alarm_looks_at(
    template: Json, name: str, metric: str, statistic: str, threshold: int
) -> None:
    alarm = one(template, _ALARM, AlarmName=name)
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Kinesis", metric)
    assert alarm["Statistic"] == statistic  # CDK's own default is the average
    assert alarm["Threshold"] == threshold
    assert alarm["Period"] == 300
    assert alarm["Dimensions"] == [
        {"Name": "StreamName", "Value": {"Ref": the_id(template, _STREAM)}}
    ]


def test_each_alarm_fires_at_its_threshold_at_once_and_not_for_want_of_data(template: Json) -> None:
    for alarm in resources(template, _ALARM).values():
        properties = alarm["Properties"]
        assert properties["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert properties["EvaluationPeriods"] == properties["DatapointsToAlarm"] == 1
        assert properties["TreatMissingData"] == "notBreaching"


def test_each_alarm_says_what_to_do_first(template: Json) -> None:
    for alarm in resources(template, _ALARM).values():
        before, after = alarm["Properties"]["AlarmDescription"].split(" First: ")
        assert before.count(".") >= 2, before  # what happened, what it costs
        assert len(after) > 20


def test_the_iterator_age_alarm_says_how_far_behind_that_is(template: Json) -> None:
    description = _iterator_age(template)["AlarmDescription"]
    assert " Fires at 84 h (0.5 of the retention). " in description


@pytest.mark.parametrize(("hours", "half_in_ms"), [(24, 43_200_000), (48, 86_400_000)])
def test_the_iterator_age_alarm_is_half_of_the_retention(hours: int, half_in_ms: int) -> None:
    template = _template(retention_period=cdk.Duration.hours(hours))
    assert _iterator_age(template)["Threshold"] == half_in_ms


def test_ids_below_it_are_kept() -> None:
    """An id is API: a resource under another one is a new resource, and the old one's data is gone."""
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream")
    assert {child.node.id for child in stream.node.children} == {
        "Stream",
        "IteratorAgeAlarm",
        "WriteThrottleAlarm",
        "ReadThrottleAlarm",
    }
    assert {child.node.id for child in stack.node.children} == {"Stream", "IotConstructsKey"}


def test_the_alarms_are_listed() -> None:
    stream = MonitoredStream(fresh_stack(), "Stream")
    assert stream.alarms == [
        stream.iterator_age_alarm,
        stream.write_throttle_alarm,
        stream.read_throttle_alarm,
    ]


# --- custom values --------------------------------------------------------------------------------


def test_a_provisioned_stream() -> None:
    stream = one(_template(shard_count=3), _STREAM)
    assert stream["ShardCount"] == 3
    assert stream["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}


def test_names_and_suffix_of_the_caller() -> None:
    template = _template(
        stream_name="lorries", alarm_name_prefix="fleet", environment_suffix="green"
    )
    assert one(template, _STREAM)["Name"] == "lorries-green"
    names = {a["Properties"]["AlarmName"] for a in resources(template, _ALARM).values()}
    assert names == {
        "fleet-kinesis-iterator-age-green",
        "fleet-kinesis-write-throttling-green",
        "fleet-kinesis-read-throttling-green",
    }


@pytest.mark.parametrize("hours", [24, 8760])
def test_the_shortest_and_the_longest_retention(hours: int) -> None:
    stream = one(_template(retention_period=cdk.Duration.hours(hours)), _STREAM)
    assert stream["RetentionPeriodHours"] == hours


def test_thresholds_of_the_caller() -> None:
    template = _template(throttles_threshold=7, iterator_age_threshold=cdk.Duration.minutes(90))
    assert _iterator_age(template)["Threshold"] == 5_400_000
    for metric in ("WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded"):
        assert one(template, _ALARM, MetricName=metric)["Threshold"] == 7


def test_a_whole_number_may_be_a_float() -> None:
    """CDK's own numbers are."""
    template = _template(throttles_threshold=2.0)
    assert one(template, _ALARM, MetricName="WriteProvisionedThroughputExceeded")["Threshold"] == 2


@pytest.mark.parametrize("seconds", [1, 8760 * 3600])
def test_the_shortest_and_the_longest_iterator_age_threshold(seconds: int) -> None:
    template = _template(iterator_age_threshold=cdk.Duration.seconds(seconds))
    assert _iterator_age(template)["Threshold"] == seconds * 1000


def test_a_key_of_the_caller() -> None:
    stack = fresh_stack()
    key = kms.Key(stack, "Own")
    MonitoredStream(stack, "Stream", encryption_key=key)
    template = template_of(stack)
    assert the_id(template, _KEY).startswith("Own")  # and no shared one beside it
    assert one(template, _STREAM)["StreamEncryption"]["KeyId"] == {
        "Fn::GetAtt": [the_id(template, _KEY), "Arn"]
    }


def test_the_aws_managed_key_makes_no_key() -> None:
    template = _template(encryption=kinesis.StreamEncryption.MANAGED)
    assert one(template, _STREAM)["StreamEncryption"] == {
        "EncryptionType": "KMS",
        "KeyId": "alias/aws/kinesis",
    }
    assert resources(template, _KEY) == {}


def test_asking_for_what_it_does_anyway_is_fine() -> None:
    template = _template(encryption=kinesis.StreamEncryption.KMS)
    assert "Fn::GetAtt" in one(template, _STREAM)["StreamEncryption"]["KeyId"]


def test_data_of_a_short_lived_stack_can_be_retained_and_the_key_with_it() -> None:
    template = _template(removal_policy=cdk.RemovalPolicy.RETAIN)
    assert one_resource(template, _STREAM)["DeletionPolicy"] == "Retain"
    assert one_resource(template, _KEY)["DeletionPolicy"] == "Retain"


# --- an existing stream ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_existing() -> Json:
    stack = fresh_stack()
    existing = kinesis.Stream.from_stream_arn(stack, "Existing", cdk.Fn.import_value("stream-arn"))
    watched = MonitoredStream(stack, "Stream", stream=existing)
    assert watched.stream is existing
    assert watched.retention_period is None
    return template_of(stack)


def test_an_existing_stream_is_watched_and_none_is_made(of_existing: Json) -> None:
    assert resources(of_existing, _STREAM) == {}
    assert resources(of_existing, _KEY) == {}
    alarms = resources(of_existing, _ALARM).values()
    assert len(alarms) == 3
    for alarm in alarms:
        (dimension,) = alarm["Properties"]["Dimensions"]
        assert dimension["Name"] == "StreamName"
        assert {"Fn::ImportValue": "stream-arn"} in _leaves(dimension["Value"])


def _leaves(value: Any) -> list[Any]:
    """Every dict inside a template value, itself included."""
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    if isinstance(value, dict):
        return [value, *(leaf for each in value.values() for leaf in _leaves(each))]
    return []


def test_an_existing_stream_is_assumed_to_keep_records_for_a_day(of_existing: Json) -> None:
    assert _iterator_age(of_existing)["Threshold"] == 43_200_000


def test_thresholds_names_and_suffix_go_with_an_existing_stream() -> None:
    stack = fresh_stack()
    existing = kinesis.Stream(stack, "Existing")
    MonitoredStream(
        stack,
        "Stream",
        stream=existing,
        throttles_threshold=9,
        iterator_age_threshold=cdk.Duration.hours(2),
        alarm_name_prefix="fleet",
        environment_suffix="green",
    )
    alarm = _iterator_age(template_of(stack))
    assert (alarm["AlarmName"], alarm["Threshold"]) == (
        "fleet-kinesis-iterator-age-green",
        7_200_000,
    )


_SETTINGS: dict[str, Any] = {
    "stream_name": "lorries",
    "retention_period": cdk.Duration.hours(48),
    "shard_count": 2,
    "removal_policy": cdk.RemovalPolicy.RETAIN,
    "encryption": kinesis.StreamEncryption.MANAGED,
}


@pytest.mark.parametrize("setting", [*_SETTINGS, "encryption_key"])
def test_an_existing_stream_takes_no_settings(setting: str) -> None:
    stack = fresh_stack()
    value = _SETTINGS[setting] if setting in _SETTINGS else kms.Key(stack, "Key")
    arguments: dict[str, Any] = {setting: value}
    with pytest.raises(ValueError, match="leave one of the two out") as refusal:
        MonitoredStream(stack, "Stream", stream=kinesis.Stream(stack, "Existing"), **arguments)
    assert f"stream was given together with {setting}={value!r}" in str(refusal.value)


# --- refusals -------------------------------------------------------------------------------------

_REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"encryption": kinesis.StreamEncryption.UNENCRYPTED},
        "UNENCRYPTED",
        "leave encryption out",
    ),
    (
        {"retention_period": cdk.Duration.hours(23)},
        "retention_period=23 hours",
        "pass for example retention_period=Duration.seconds(86400)",
    ),
    (
        {"retention_period": cdk.Duration.hours(8761)},
        "retention_period=8761 hours",
        "pass for example retention_period=Duration.seconds(31536000)",
    ),
    ({"shard_count": 0}, "shard_count=0", "from 1 to 10000"),
    ({"shard_count": 10_001}, "shard_count=10001", "from 1 to 10000"),
    ({"shard_count": 1.5}, "shard_count=1.5", "not a whole number"),
    ({"shard_count": True}, "shard_count=True", "not a whole number"),
    ({"throttles_threshold": 0}, "throttles_threshold=0", "from 1 to"),
    ({"throttles_threshold": -1}, "throttles_threshold=-1", "from 1 to"),
    ({"throttles_threshold": "5"}, "throttles_threshold='5'", "not a whole number"),
    ({"throttles_threshold": float("nan")}, "throttles_threshold=nan", "not a whole number"),
    ({"throttles_threshold": float("inf")}, "throttles_threshold=inf", "not a whole number"),
    ({"throttles_threshold": 10**9 + 1}, "throttles_threshold=1000000001", "from 1 to 1000000000"),
    (
        {"iterator_age_threshold": cdk.Duration.millis(0)},
        "iterator_age_threshold=0 seconds",
        "Duration.seconds(1)",
    ),
    (
        {"iterator_age_threshold": cdk.Duration.days(366)},
        "iterator_age_threshold=366 days",
        "365 days",
    ),
    ({"stream_name": ""}, "stem is empty", "leave the argument out"),
    ({"stream_name": "a b"}, "'a b'", "AWS allows a-zA-Z0-9_.-"),
    ({"stream_name": "x" * 126}, "130 characters", "by 2"),
    ({"stream_name": cdk.Aws.STACK_NAME}, "is a token", "pass a literal string"),
    ({"alarm_name_prefix": "a b"}, "'a b-kinesis-iterator-age'", "AWS allows"),
]


@pytest.mark.parametrize(("arguments", "value", "fix"), _REFUSED)
def test_what_it_refuses_names_the_value_and_the_fix(
    arguments: dict[str, Any], value: str, fix: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(value)) as refusal:
        MonitoredStream(fresh_stack("qa7"), "Stream", **arguments)
    assert fix in str(refusal.value)


def test_a_key_that_would_not_be_used_is_refused() -> None:
    stack = fresh_stack()
    with pytest.raises(ValueError, match=r"encryption_key was given .*MANAGED.*; leave one out"):
        MonitoredStream(
            stack,
            "Stream",
            encryption=kinesis.StreamEncryption.MANAGED,
            encryption_key=kms.Key(stack, "Key"),
        )


def test_destroying_the_data_of_a_protected_stack_is_refused() -> None:
    with pytest.raises(ValueError, match=r"removal_policy=.*DESTROY.*ephemeral=True"):
        MonitoredStream(fresh_stack("prod"), "S", removal_policy=cdk.RemovalPolicy.DESTROY)


@pytest.mark.parametrize(
    ("other", "taken"),
    [
        ({"alarm_name_prefix": "b"}, "Kinesis stream name 'iot-sensor-data-stream-dev'"),
        ({"stream_name": "b"}, "CloudWatch alarm name 'iot-kinesis-iterator-age-dev'"),
    ],
)
def test_two_streams_under_one_name_are_refused(other: dict[str, Any], taken: str) -> None:
    stack = fresh_stack()
    MonitoredStream(stack, "A")
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        MonitoredStream(stack, "B", **other)
    for part in (taken, "'Test/A", "'Test/B"):
        assert part in str(refusal.value)


# --- tokens ---------------------------------------------------------------------------------------


def _number(stack: cdk.Stack, id: str = "Number") -> int:
    return cast(int, cdk.CfnParameter(stack, id, type="Number").value_as_number)


def test_numbers_that_are_only_known_at_deploy_time_pass() -> None:
    stack = fresh_stack()
    MonitoredStream(
        stack,
        "Stream",
        shard_count=_number(stack, "Shards"),
        retention_period=cdk.Duration.hours(_number(stack, "Hours")),
        throttles_threshold=_number(stack, "Throttles"),
    )
    template = template_of(stack)
    stream = one(template, _STREAM)
    assert stream["ShardCount"] == {"Ref": "Shards"}
    assert stream["RetentionPeriodHours"] == {"Ref": "Hours"}
    assert one(template, _ALARM, MetricName="WriteProvisionedThroughputExceeded")["Threshold"] == {
        "Ref": "Throttles"
    }
    # Half of what Kinesis gives at the least: half of the token cannot be computed here.
    assert _iterator_age(template)["Threshold"] == 43_200_000


@jsii.implements(cdk.IStableNumberProducer)
class _Seven:
    def produce(self) -> float:
        return 7


def test_a_number_that_is_only_known_at_the_end_of_synthesis_passes() -> None:
    template = _template(
        shard_count=cdk.Lazy.number(_Seven()), throttles_threshold=cdk.Lazy.number(_Seven())
    )
    assert one(template, _STREAM)["ShardCount"] == 7
    assert one(template, _ALARM, MetricName="ReadProvisionedThroughputExceeded")["Threshold"] == 7


def test_an_iterator_age_threshold_that_is_a_token_passes() -> None:
    stack = fresh_stack()
    MonitoredStream(
        stack, "Stream", iterator_age_threshold=cdk.Duration.millis(_number(stack, "Age"))
    )
    alarm = _iterator_age(template_of(stack))
    assert alarm["Threshold"] == {"Ref": "Age"}
    assert " Fires at the threshold set at deployment. " in alarm["AlarmDescription"]


# --- what it offers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def granted() -> Json:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream")
    for id, grant in (("Reader", stream.grant_read), ("Writer", stream.grant_write)):
        grant(iam.Role(stack, id, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com")))
    cdk.CfnOutput(stack, "Name", value=stream.stream_name)
    cdk.CfnOutput(stack, "Arn", value=stream.stream_arn)
    return template_of(stack)


@pytest.mark.parametrize(
    ("role", "on_the_stream", "on_the_key"),
    [
        ("Reader", "kinesis:GetRecords", "kms:Decrypt"),
        ("Writer", "kinesis:PutRecord", "kms:GenerateDataKey*"),
    ],
)
def test_grants_include_the_key(
    granted: Json, role: str, on_the_stream: str, on_the_key: str
) -> None:
    (role_id,) = [key for key in resources(granted, "AWS::IAM::Role") if key.startswith(role)]
    allowed = permissions(granted, {"Fn::GetAtt": [role_id, "Arn"]})
    assert (on_the_stream, f"${{{the_id(granted, _STREAM)}.Arn}}") in allowed
    assert (on_the_key, f"${{{the_id(granted, _KEY)}.Arn}}") in allowed
    assert ("kinesis:PutRecord" in {action for action, _ in allowed}) == (role == "Writer")


def test_name_and_arn(granted: Json) -> None:
    stream = the_id(granted, _STREAM)
    assert granted["Outputs"]["Name"]["Value"] == {"Ref": stream}
    assert granted["Outputs"]["Arn"]["Value"] == {"Fn::GetAtt": [stream, "Arn"]}


def test_the_retention_can_be_read() -> None:
    stack = fresh_stack()
    retention = MonitoredStream(stack, "Stream").retention_period
    assert retention is not None
    assert retention.to_hours() == 168


def test_metrics_are_those_of_the_alarms() -> None:
    stream = MonitoredStream(fresh_stack(), "Stream")
    metrics: list[cloudwatch.Metric] = [
        stream.metric_iterator_age(),
        stream.metric_write_throttles(),
        stream.metric_read_throttles(),
    ]
    found = [(m.metric_name, m.statistic, m.period.to_seconds()) for m in metrics]
    assert found == [(metric, statistic, 300) for _, metric, statistic, _ in _ALARMS]
