"""IOT_09 and IOT_10: alarms on metrics that AWS emits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aws_cdk as cdk
import pytest
import yaml

from iot_constructs.rules import catalogue
from iot_constructs.rules.alarm_metrics import AlarmMetric
from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template, load_assembly
from tests.rules import compliant_pipeline as pipeline
from tests.rules.compliant_pipeline import (
    Json,
    alarm,
    places,
    ref,
    resource,
    template,
)
from tests.rules.fix_cases import NAMES, merged
from tests.synth_support import fresh_app

# What the code of a fix refers to.
VARIABLES = {
    "bucket": SimpleNamespace(bucket_name="b"),
    "delivery_stream": SimpleNamespace(delivery_stream_name="d"),
    "function": SimpleNamespace(function_name="f"),
    "mapping": SimpleNamespace(event_source_mapping_id="m"),
    "queue": SimpleNamespace(queue_name="q"),
    "rule": SimpleNamespace(ref="r"),
    "stream": SimpleNamespace(stream_name="s"),
    "table": SimpleNamespace(table_name="t"),
    "topic": SimpleNamespace(topic_name="t"),
}
OWN = ("IOT_09", "IOT_10")


def check(*templates: Template) -> list[Finding]:
    """The findings of these rules."""
    return [it for it in pipeline.check(*templates) if it.rule_id[:6] in OWN]


def found(resources: dict[str, Json]) -> list[tuple[str, str | None]]:
    return places(check(template(resources)))


TABLE = {"TableName": "some-table"}


def alone(namespace: Any, metric: Any, dimensions: Json | None = None) -> Json:
    it = alarm(namespace, metric, dimensions)
    del it["Properties"]["AlarmActions"]
    return {"It": it}


WITHOUT_DIMENSIONS = [
    ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds"),
    ("AWS/DynamoDB", "WriteThrottleEvents"),
    ("AWS/DynamoDB", "ThrottledRequests"),
    ("AWS/Firehose", "DeliveryToS3.DataFreshness"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    ("AWS/SNS", "NumberOfMessagesPublished"),
    ("AWS/IoT", "RuleMessageThrottled"),
    ("AWS/S3", "4xxErrors"),
    ("AWS/Lambda", "FailedInvokeEventCount"),
]


@pytest.mark.parametrize(("namespace", "metric"), WITHOUT_DIMENSIONS)
def test_without_dimensions(namespace: str, metric: str) -> None:
    findings = check(template(alone(namespace, metric)))
    assert [(it.rule_id, it.logical_id) for it in findings] == [("IOT_09_ALARM_DIMENSIONS", "It")]
    assert metric in findings[0].detail
    assert findings[0].property_path == "Properties/Dimensions"


@pytest.mark.parametrize(
    ("namespace", "metric"),
    [
        ("AWS/Lambda", "Errors"),  # over all functions
        ("AWS/DynamoDB", "UserErrors"),
        ("AWS/SNS", "SMSMonthToDateSpentUSD"),
        ("AWS/EC2", "CPUUtilization"),  # not in the catalogue
        ("AWS/Billing", "EstimatedCharges"),
        ("Mine", "Orders"),
        (ref("Namespace"), "Errors"),
        ("AWS/SQS", ref("Metric")),
    ],
)
def test_without_dimensions_where_that_is_right_or_not_known(namespace: Any, metric: Any) -> None:
    assert found(alone(namespace, metric)) == []


NOT_EMITTED = [
    ("AWS/DynamoDB", "UserErrors", TABLE),
    ("AWS/DynamoDB", "ThrottledRequests", TABLE),
    ("AWS/DynamoDB", "SystemErrors", TABLE),
    ("AWS/DynamoDB", "WriteThrottleEvents", {**TABLE, "Operation": "PutItem"}),
    ("AWS/DynamoDB", "ThrottledWrites", TABLE),
    ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", {"Stream": "x"}),
    ("AWS/Kinesis", "IteratorAge", {"StreamName": "x"}),
    ("AWS/Lambda", "Error", {"FunctionName": "x"}),
    ("AWS/Lambda", "errors", {"FunctionName": "x"}),
    ("AWS/Lambda", "DroppedEventCount", {"FunctionName": "x"}),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueUrl": "x"}),
    ("AWS/SNS", "NumberOfNotificationsFailed", {"TopicArn": "x"}),
    ("AWS/Firehose", "DeliveryToS3.DataFreshnes", {"DeliveryStreamName": "x"}),
    ("AWS/S3", "4xxErrors", {"BucketName": "x"}),
]


@pytest.mark.parametrize(("namespace", "metric", "dimensions"), NOT_EMITTED)
def test_a_metric_that_aws_does_not_emit(namespace: str, metric: str, dimensions: Json) -> None:
    findings = check(template(alone(namespace, metric, dimensions)))
    assert [(it.rule_id, it.logical_id) for it in findings] == [("IOT_10_EMITTED_METRIC", "It")]
    assert metric in findings[0].detail


@pytest.mark.parametrize(
    ("namespace", "metric", "dimensions"),
    [
        ("AWS/DynamoDB", "WriteThrottleEvents", TABLE),
        ("AWS/DynamoDB", "WriteThrottleEvents", {**TABLE, "GlobalSecondaryIndexName": "x"}),
        ("AWS/DynamoDB", "ThrottledRequests", {**TABLE, "Operation": "PutItem"}),
        ("AWS/Lambda", "Errors", {"FunctionName": "x", "Resource": "x:live"}),
        ("AWS/Lambda", "SomethingNewOfNextYear", {"FunctionName": "x"}),
        ("AWS/IoT", "Failure", {"RuleName": "x", "ActionType": "Kinesis"}),
        ("AWS/Firehose", "DeliveryToSnowflake.Success", {"DeliveryStreamName": "x"}),
        ("AWS/ECS", "CPUUtilization", {"ClusterName": "x"}),
        ("Mine", "Errors", {"Anything": "x"}),
        ("AWS/SQS", ref("Metric"), {"QueueUrl": "x"}),
    ],
)
def test_a_metric_that_aws_emits_or_that_is_not_known(
    namespace: str, metric: str, dimensions: Json
) -> None:
    assert found(alone(namespace, metric, dimensions)) == []


@pytest.mark.parametrize(
    "dimensions",
    [
        ref("Dimensions"),
        [{"Name": ref("Name"), "Value": "x"}],
        {"Fn::If": ["A", [{"Name": "QueueName", "Value": "x"}], {"Ref": "AWS::NoValue"}]},
        {"Fn::If": ["A", {"Ref": "AWS::NoValue"}, [{"Name": "QueueName", "Value": "x"}]]},
    ],
)
def test_dimensions_that_only_the_deployment_knows(dimensions: Any) -> None:
    resources = alone("AWS/SQS", "NumberOfMessagesSent")
    resources["It"]["Properties"]["Dimensions"] = dimensions
    assert found(resources) == []


def test_each_metric_of_metric_math() -> None:
    def query(id: str, namespace: str, metric: str, **dimensions: str) -> Json:
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        found = {"Namespace": namespace, "MetricName": metric, "Dimensions": named}
        return {"Id": id, "MetricStat": {"Metric": found, "Period": 60, "Stat": "Sum"}}

    math = resource(
        "AWS::CloudWatch::Alarm",
        Metrics=[
            {"Id": "sum", "Expression": "a + b + c"},
            query("a", "AWS/DynamoDB", "WriteThrottleEvents", TableName="x"),
            query("b", "AWS/DynamoDB", "UserErrors", TableName="x"),
            query("c", "AWS/Kinesis", "IncomingBytes"),
        ],
    )
    findings = check(template({"It": math}))
    assert [(it.rule_id[:6], it.property_path) for it in findings] == [
        ("IOT_09", "Properties/Metrics/3/MetricStat/Metric/Dimensions"),
        ("IOT_10", "Properties/Metrics/2/MetricStat/Metric"),
    ]


@pytest.mark.parametrize(
    ("names", "dimensions", "rules"),
    [
        (("WriteThrottleEvents", "UserErrors"), TABLE, []),
        (("UserErrors", "WriteThrottleEvents"), TABLE, []),
        (("UserErrors", ref("Parameter")), TABLE, []),
        (("UserErrors", "SystemErrors"), TABLE, ["IOT_10"]),
        (("WriteThrottleEvents", "UserErrors"), {}, []),  # UserErrors is one of the account
        (("UserErrors", "WriteThrottleEvents"), {}, []),
        (("WriteThrottleEvents", "ThrottledRequests"), {}, ["IOT_09"]),
    ],
)
def test_branches_of_a_name(names: tuple[Any, Any], dimensions: Json, rules: list[str]) -> None:
    resources = alone("AWS/DynamoDB", {"Fn::If": ["Condition", *names]}, dimensions)
    assert [rule for rule, _ in found(resources)] == rules


def test_a_misspelled_name_has_a_suggestion() -> None:
    findings = check(template(alone("AWS/Lambda", "Error", {"FunctionName": "x"})))
    assert "did you mean Errors?" in findings[0].detail


def test_the_finding_has_the_emitted_dimensions_and_their_page() -> None:
    findings = check(template(alone("AWS/DynamoDB", "ThrottledRequests", TABLE)))
    assert "by Operation, TableName" in findings[0].detail
    assert "docs.aws.amazon.com" in findings[0].detail
    dimensionless = check(template(alone("AWS/DynamoDB", "UserErrors", TABLE)))
    assert "without dimensions" in dimensionless[0].detail


def test_a_metric_of_which_nothing_is_known_may_get_data() -> None:
    of = template(alone("Mine", "Orders")).resources["It"]
    assert AlarmMetric(of, "Mine", "Orders", {}, "Properties").can_receive_data()
    assert not AlarmMetric(
        of, "AWS/SQS", "NumberOfMessagesSent", {}, "Properties"
    ).can_receive_data()


def test_a_composite_alarm_has_no_metric() -> None:
    assert found({"It": resource("AWS::CloudWatch::CompositeAlarm", AlarmRule="ALARM(x)")}) == []


class TestFix:
    @pytest.mark.parametrize(
        ("namespace", "metric", "dimensions"),
        [*((*it, {}) for it in WITHOUT_DIMENSIONS), *NOT_EMITTED],
    )
    def test_of_each(self, namespace: str, metric: str, dimensions: Json) -> None:
        resources = alone(namespace, metric, dimensions)
        [finding] = check(template(resources))
        fix = RULE_BY_ID[finding.rule_id].remediation_of(finding)
        assert found(merged(resources, yaml.safe_load(fix.cloudformation))) == []
        app = fresh_app()
        names = {**NAMES, **VARIABLES, "self": cdk.Stack(app, "Stack")}
        code = f'cloudwatch.Alarm(self, "It", threshold=1, evaluation_periods=1, {fix.cdk})'
        exec(compile(code, "fix", "exec"), names)
        assert [
            it.rule_id
            for it in catalogue.check(load_assembly(Path(app.synth().directory)), None)
            if it.rule_id[:6] in OWN
        ] == []

    def test_of_amazon_location(self) -> None:
        [finding] = check(template(alone("AWS/Location", "RequestCount")))
        assert finding.rule_id[:6] == "IOT_10"
        assert RULE_BY_ID[finding.rule_id].remediation_of(finding).cdk == (
            'metric=cloudwatch.Metric(namespace="AWS/Location", metric_name="CallCount", '
            'dimensions_map={"OperationName": "BatchUpdateDevicePosition"})'
        )

    def test_keeps_the_metric(self) -> None:
        [finding] = check(template(alone("AWS/SQS", "NumberOfMessagesSent")))
        assert RULE_BY_ID[finding.rule_id].remediation_of(finding).cdk == (
            'metric=cloudwatch.Metric(namespace="AWS/SQS", metric_name="NumberOfMessagesSent", '
            'dimensions_map={"QueueName": queue.queue_name})'
        )

    def test_of_metric_math_leaves_the_other_queries(self) -> None:
        def query(id: str, metric: str) -> Json:
            stat = {"Namespace": "AWS/SQS", "MetricName": metric}
            return {"Id": id, "MetricStat": {"Metric": stat, "Period": 60, "Stat": "Sum"}}

        queries = [{"Id": "sum", "Expression": "a + b"}, query("a", "NumberOfMessagesSent")]
        resources = {"It": resource("AWS::CloudWatch::Alarm", Metrics=queries)}
        [finding] = check(template(resources))
        fix = RULE_BY_ID[finding.rule_id].remediation_of(finding)
        fixed = merged(resources, yaml.safe_load(fix.cloudformation))
        assert found(fixed) == []
        assert fixed["It"]["Properties"]["Metrics"][0] == queries[0]
        assert fixed["It"]["Properties"]["Metrics"][1]["Id"] == "a"
        assert "MetricName" not in fixed["It"]["Properties"]
