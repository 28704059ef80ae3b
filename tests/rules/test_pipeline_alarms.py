"""IOT_07: the alarms that a pipeline needs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from iot_constructs.rules.pipeline_alarms import DELIVERY_STREAM, PipelineAlarmsExist
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template
from tests.rules import compliant_pipeline as pipeline
from tests.rules.compliant_pipeline import (
    Json,
    alarm,
    att,
    compliant,
    places,
    ref,
    resource,
    template,
)
from tests.rules.fix_cases import merged

OWN = ("IOT_07",)


def check(*templates: Template) -> list[Finding]:
    """The findings of these rules."""
    return [it for it in pipeline.check(*templates) if it.rule_id[:6] in OWN]


def found(resources: dict[str, Json]) -> list[tuple[str, str | None]]:
    return places(check(template(resources)))


def math(*metrics: Json) -> Json:
    """An alarm on an expression over these metrics, each an alarm of one metric."""
    queries: list[Json] = [{"Id": "e", "Expression": "SUM(METRICS())"}]
    for index, one in enumerate(metrics):
        metric = {
            name: one["Properties"][name]
            for name in ("Namespace", "MetricName", "Dimensions")
            if name in one["Properties"]
        }
        stat = {"Metric": metric, "Period": 300, "Stat": "Sum"}
        queries.append({"Id": f"m{index}", "MetricStat": stat, "ReturnData": False})
    return resource("AWS::CloudWatch::Alarm", Metrics=queries)


def expression(text: Any) -> Json:
    return resource("AWS::CloudWatch::Alarm", Metrics=[{"Id": "e", "Expression": text}])


@pytest.mark.parametrize(
    ("missing", "watched"),
    [
        ("StreamAge", "Stream"),
        ("Errors", "Processor"),
        ("DlqMessages", "DlqQueue"),
        ("MetricsThrottles", "Metrics"),
        ("StateThrottles", "State"),
        ("Freshness", "Archive"),
    ],
)
class TestEachAlarm:
    def test_missing(self, missing: str, watched: str) -> None:
        resources = compliant()
        del resources[missing]
        assert found(resources) == [("IOT_07", watched)]

    def test_of_another_resource(self, missing: str, watched: str) -> None:
        resources = compliant()
        dimensions = resources[missing]["Properties"]["Dimensions"]
        dimensions[0]["Value"] = "some-other-one"
        assert found(resources) == [("IOT_07", watched)]

    def test_of_another_metric(self, missing: str, watched: str) -> None:
        resources = compliant()
        properties = resources[missing]["Properties"]
        properties["MetricName"] = {
            "AWS/Kinesis": "IncomingBytes",
            "AWS/Lambda": "Invocations",
            "AWS/SQS": "NumberOfMessagesReceived",
            "AWS/DynamoDB": "ConsumedWriteCapacityUnits",
            "AWS/Firehose": "IncomingBytes",
        }[properties["Namespace"]]
        assert found(resources) == [("IOT_07", watched)]

    def test_of_another_namespace(self, missing: str, watched: str) -> None:
        resources = compliant()
        resources[missing]["Properties"]["Namespace"] = "Mine"
        assert found(resources) == [("IOT_07", watched)]

    def test_by_the_literal_name(self, missing: str, watched: str) -> None:
        resources = compliant()
        names = {
            "Stream": "iot-stream-dev",
            "Processor": "iot-processor-dev",
            "DlqQueue": "iot-dlq-dev",
            "Metrics": "iot-metrics-dev",
            "State": "iot-state-dev",
            "Archive": "iot-archive-dev",
        }
        resources[missing]["Properties"]["Dimensions"][0]["Value"] = names[watched]
        assert found(resources) == []

    def test_by_a_name_that_only_the_deployment_knows(self, missing: str, watched: str) -> None:
        resources = compliant()
        resources[missing]["Properties"]["Dimensions"][0]["Value"] = ref("Parameter")
        assert found(resources) == []

    @pytest.mark.parametrize("name", ["Dimensions", "MetricName", "Namespace"])
    def test_what_only_the_deployment_knows_may_be_it(
        self, missing: str, watched: str, name: str
    ) -> None:
        resources = compliant()
        resources[missing]["Properties"][name] = ref("Parameter")
        assert found(resources) == []

    def test_of_which_nothing_is_known_but_the_resource(self, missing: str, watched: str) -> None:
        resources = compliant()
        resources[missing]["Properties"].update(Namespace=ref("Space"), MetricName=ref("Metric"))
        assert found(resources) == [("IOT_07", watched)]

    def test_by_something_else_than_its_name(self, missing: str, watched: str) -> None:
        resources = compliant()
        resources[missing]["Properties"]["Namespace"] = ref("Space")
        resources[missing]["Properties"]["Dimensions"][0]["Name"] = "Service"
        assert found(resources) == [("IOT_07", watched)]

    def test_in_metric_math(self, missing: str, watched: str) -> None:
        resources = compliant()
        resources[missing] = math(resources[missing])
        assert found(resources) == []

    def test_in_metric_math_over_others(self, missing: str, watched: str) -> None:
        resources = compliant()
        other = alarm("AWS/SNS", "PublishSize", {"TopicName": "elsewhere"})
        resources[missing] = math(other, other)
        assert found(resources) == [("IOT_07", watched)]


class TestStream:
    @pytest.mark.parametrize(
        "other",
        [
            alarm("AWS/Lambda", "IteratorAge", {"FunctionName": ref("Processor")}),
            alarm(
                "AWS/Firehose", "KinesisMillisBehindLatest", {"DeliveryStreamName": ref("Archive")}
            ),
            alarm(
                "AWS/Kinesis",
                "SubscribeToShardEvent.MillisBehindLatest",
                {"StreamName": ref("Stream"), "ConsumerName": "consumer"},
            ),
        ],
    )
    def test_the_age_that_a_reader_sees_is_enough(self, other: Json) -> None:
        resources = compliant()
        resources["StreamAge"] = other
        assert found(resources) == []

    def test_an_alarm_without_dimensions_watches_nothing(self) -> None:
        resources = compliant()
        del resources["StreamAge"]["Properties"]["Dimensions"]
        assert found(resources) == [("IOT_07", "Stream")]

    def test_a_stream_without_consumers_in_this_app(self) -> None:
        stream = resource("AWS::Kinesis::Stream", Name="iot-stream-dev")
        assert found({"Stream": stream}) == []

    def test_a_stream_that_only_firehose_reads(self) -> None:
        resources = compliant()
        for name in ("Mapping", "InvokeConfig", "Errors", "Processor", "StreamAge"):
            del resources[name]
        assert found(resources) == [("IOT_07", "Stream")]

    def test_a_stream_that_only_a_function_reads(self) -> None:
        resources = compliant()
        for name in ("Archive", "Freshness", "StreamAge"):
            del resources[name]
        assert found(resources) == [("IOT_07", "Stream")]

    def test_the_age_that_one_of_two_readers_sees_is_enough(self) -> None:
        resources = compliant()
        resources["Second"] = {**resources["Archive"]}
        second = {**resources["Archive"]["Properties"], "DeliveryStreamName": "iot-second-dev"}
        resources["Second"]["Properties"] = second
        for metric, id in (("DeliveryToS3.DataFreshness", "A"), ("KinesisMillisBehindLatest", "B")):
            resources[id] = alarm("AWS/Firehose", metric, {"DeliveryStreamName": ref("Second")})
        del resources["StreamAge"]
        assert found(resources) == []


class TestFunction:
    def test_one_alarm_over_all_functions(self) -> None:
        resources = compliant()
        del resources["Errors"]["Properties"]["Dimensions"]
        assert found(resources) == []

    def test_an_error_rate(self) -> None:
        resources = compliant()
        resources["Errors"] = math(
            alarm("AWS/Lambda", "Invocations", {"FunctionName": ref("Processor")}),
            alarm("AWS/Lambda", "Errors", {"FunctionName": ref("Processor")}),
        )
        assert found(resources) == []

    def test_one_that_has_no_name_of_its_own(self) -> None:
        resources = compliant()
        del resources["Processor"]["Properties"]["FunctionName"]
        assert found(resources) == []
        del resources["Errors"]
        assert found(resources) == [("IOT_07", "Processor")]

    def test_a_function_that_reads_no_stream(self) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::Lambda::Function")
        resources["OtherMapping"] = resource(
            "AWS::Lambda::EventSourceMapping",
            EventSourceArn=att("DlqQueue"),
            FunctionName=ref("Other"),
        )
        assert found(resources) == []

    def test_behind_an_alias(self) -> None:
        resources = compliant()
        resources["Version"] = resource("AWS::Lambda::Version", FunctionName=ref("Processor"))
        resources["Alias"] = resource(
            "AWS::Lambda::Alias", FunctionName=ref("Processor"), Name="live"
        )
        resources["Mapping"]["Properties"]["FunctionName"] = ref("Alias")
        assert found(resources) == []
        del resources["Errors"]
        assert found(resources) == [("IOT_07", "Processor")]

    @pytest.mark.parametrize(
        "source",
        [
            {"Fn::Sub": "arn:aws:kinesis:${AWS::Region}:${AWS::AccountId}:stream/other"},
            {"Fn::Join": ["", ["arn:aws:kinesis:eu-west-1:1:stream/", ref("Parameter")]]},
        ],
    )
    def test_a_stream_of_another_app(self, source: Json) -> None:
        resources = compliant()
        resources["Mapping"]["Properties"]["EventSourceArn"] = source
        del resources["Errors"]
        assert found(resources) == [("IOT_07", "Processor")]

    @pytest.mark.parametrize(
        "source",
        [
            ref("SomeArn"),
            {"Fn::ImportValue": "some-arn"},
            att("Metrics", "StreamArn"),
            {"Fn::Sub": "arn:aws:dynamodb:${AWS::Region}:${AWS::AccountId}:table/t/stream/${Time}"},
        ],
    )
    def test_a_source_that_is_no_kinesis_stream_for_certain(self, source: Json) -> None:
        resources = compliant()
        resources["Mapping"]["Properties"]["EventSourceArn"] = source
        del resources["Errors"]
        assert found(resources) == []

    def test_a_function_of_another_app(self) -> None:
        resources = compliant()
        del resources["Processor"], resources["Errors"], resources["InvokeConfig"]
        resources["Mapping"]["Properties"]["FunctionName"] = "arn:aws:lambda:x:1:function:other"
        assert found(resources) == []


class TestDeadLetters:
    def test_messages_published_to_the_topic_before_the_queue(self) -> None:
        resources = compliant()
        resources["DlqMessages"] = alarm(
            "AWS/SNS", "NumberOfMessagesPublished", {"TopicName": att("DlqTopic", "TopicName")}
        )
        assert found(resources) == []

    def test_messages_published_to_a_topic_that_is_not_before_the_queue(self) -> None:
        resources = compliant()
        resources["DlqMessages"] = alarm(
            "AWS/SNS", "NumberOfMessagesPublished", {"TopicName": att("DlqTopic", "TopicName")}
        )
        resources["Other"] = resource("AWS::SQS::Queue", QueueName="other-dev")
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": att("Other")}
        assert found(resources) == [("IOT_07", "Other")]

    def test_the_age_of_what_waits_is_enough(self) -> None:
        resources = compliant()
        resources["DlqMessages"]["Properties"]["MetricName"] = "ApproximateAgeOfOldestMessage"
        assert found(resources) == []

    def test_a_watched_topic_without_a_subscription_lacks_only_that(self) -> None:
        resources = compliant()
        for name in ("DlqQueue", "DlqSubscription"):
            del resources[name]
        resources["DlqMessages"] = alarm(
            "AWS/SNS", "NumberOfMessagesPublished", {"TopicName": att("DlqTopic", "TopicName")}
        )
        assert found(resources) == []

    def test_a_queue_behind_a_topic_that_only_the_deployment_knows(self) -> None:
        resources = compliant()
        resources["DlqSubscription"]["Properties"]["TopicArn"] = ref("TopicArn")
        assert found(resources) == []
        del resources["DlqMessages"]
        assert found(resources) == [("IOT_07", "DlqQueue")]

    def test_a_queue_behind_a_topic_for_something_else(self) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::SQS::Queue", QueueName="other-dev")
        resources["Copy"] = resource(
            "AWS::SNS::Subscription",
            TopicArn=ref("AlertTopic"),
            Endpoint=att("Other"),
            Protocol="sqs",
        )
        assert found(resources) == []

    def test_a_topic_that_calls_a_function(self) -> None:
        resources = compliant()
        for name in ("DlqQueue", "DlqMessages"):
            del resources[name]
        resources["Helper"] = resource("AWS::Lambda::Function", FunctionName="helper-dev")
        resources["DlqSubscription"]["Properties"].update(Protocol="lambda", Endpoint=att("Helper"))
        assert found(resources) == []

    def test_messages_published_to_another_topic(self) -> None:
        resources = compliant()
        resources["DlqMessages"] = alarm(
            "AWS/SNS", "NumberOfMessagesPublished", {"TopicName": att("AlertTopic", "TopicName")}
        )
        assert found(resources) == [("IOT_07", "DlqQueue")]

    def test_a_topic_without_queue_or_other_subscriber(self) -> None:
        resources = compliant()
        for name in ("DlqQueue", "DlqSubscription", "DlqMessages"):
            del resources[name]
        assert found(resources) == [("IOT_07", "DlqTopic")]

    def test_a_topic_with_another_subscriber(self) -> None:
        resources = compliant()
        for name in ("DlqQueue", "DlqMessages"):
            del resources[name]
        resources["DlqSubscription"]["Properties"].update(
            Protocol="email", Endpoint="a@example.org"
        )
        assert found(resources) == []

    @pytest.mark.parametrize("by", ["mapping", "rule", "redrive", "subscription", "function"])
    def test_a_queue_that_gets_failures_directly(self, by: str) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::SQS::Queue", QueueName="other-dev")
        if by == "mapping":
            failure = resources["Mapping"]["Properties"]["DestinationConfig"]["OnFailure"]
            failure["Destination"] = att("Other")
        elif by == "rule":
            payload = resources["Rule"]["Properties"]["TopicRulePayload"]
            payload["ErrorAction"] = {"Sqs": {"QueueUrl": ref("Other")}}
        elif by == "redrive":
            resources["DlqQueue"]["Properties"]["RedrivePolicy"] = {
                "deadLetterTargetArn": att("Other"),
                "maxReceiveCount": 3,
            }
        elif by == "subscription":
            resources["DlqSubscription"]["Properties"]["RedrivePolicy"] = {
                "deadLetterTargetArn": att("Other")
            }
        else:
            resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": att("Other")}
        assert found(resources) == [("IOT_07", "Other")]

    def test_an_ordinary_queue(self) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::SQS::Queue", QueueName="other-dev")
        assert found(resources) == []

    def test_a_queue_subscribed_inside_the_topic(self) -> None:
        resources = compliant()
        del resources["DlqSubscription"], resources["DlqMessages"]
        resources["DlqTopic"]["Properties"]["Subscription"] = [
            {"Endpoint": att("DlqQueue"), "Protocol": "sqs"}
        ]
        assert found(resources) == [("IOT_07", "DlqQueue")]


class TestTable:
    @pytest.mark.parametrize(
        ("metric", "dimensions"),
        [
            ("ReadThrottleEvents", {"TableName": ref("State")}),
            ("WriteKeyRangeThroughputThrottleEvents", {"TableName": ref("State")}),
            ("ThrottledRequests", {"TableName": ref("State"), "Operation": "PutItem"}),
        ],
    )
    def test_any_kind_of_throttling(self, metric: str, dimensions: Json) -> None:
        resources = compliant()
        resources["StateThrottles"] = alarm("AWS/DynamoDB", metric, dimensions)
        assert found(resources) == []

    def test_of_an_index_alone(self) -> None:
        resources = compliant()
        resources["StateThrottles"] = alarm(
            "AWS/DynamoDB",
            "WriteThrottleEvents",
            {"TableName": ref("State"), "GlobalSecondaryIndexName": "by-status"},
        )
        assert found(resources) == [("IOT_07", "State")]

    def test_user_errors_count_no_throttling(self) -> None:
        resources = compliant()
        resources["StateThrottles"] = alarm(
            "AWS/DynamoDB", "UserErrors", {"TableName": ref("State")}
        )
        assert found(resources) == [("IOT_07", "State")]

    def test_throttled_requests_without_operation_get_no_data(self) -> None:
        resources = compliant()
        resources["StateThrottles"] = alarm(
            "AWS/DynamoDB", "ThrottledRequests", {"TableName": ref("State")}
        )
        assert found(resources) == [("IOT_07", "State")]

    @pytest.mark.parametrize("part", ["Mapping", "Rule"])
    def test_either_end_makes_a_pipeline(self, part: str) -> None:
        resources = compliant()
        only = {name: resources[name] for name in ("State", part)}
        if part == "Mapping":
            only["Mapping"]["Properties"]["EventSourceArn"] = "arn:aws:kinesis:x:1:stream/other"
        assert found(only) == [("IOT_07", "State")]

    def test_a_table_of_an_app_without_a_pipeline(self) -> None:
        table = resource("AWS::DynamoDB::Table", TableName="users-dev")
        assert found({"Table": table, "Function": resource("AWS::Lambda::Function")}) == []


class TestExpressions:
    def test_metrics_insights_over_all_tables(self) -> None:
        resources = compliant()
        del resources["StateThrottles"], resources["MetricsThrottles"]
        resources["Throttles"] = expression(
            'SELECT SUM(WriteThrottleEvents) FROM SCHEMA("AWS/DynamoDB", TableName)'
        )
        assert found(resources) == []

    def test_with_something_in_it_that_only_the_deployment_knows(self) -> None:
        resources = compliant()
        del resources["StateThrottles"]
        query = 'SELECT SUM(WriteThrottleEvents) FROM SCHEMA("AWS/DynamoDB", TableName) WHERE TableName = '
        resources["Throttles"] = expression({"Fn::Join": ["", [query, "'", ref("State"), "'"]]})
        assert found(resources) == []

    @pytest.mark.parametrize(
        "query",
        [
            'SELECT MAX(Duration) FROM "AWS/Lambda"',
            'SELECT SUM(ConsumedWriteCapacityUnits) FROM SCHEMA("AWS/DynamoDB", TableName)',
            'SELECT SUM(WriteThrottleEvents) FROM "Mine"',
        ],
    )
    def test_of_something_else(self, query: str) -> None:
        resources = compliant()
        del resources["StateThrottles"]
        resources["Throttles"] = expression(query)
        assert found(resources) == [("IOT_07", "State")]


def test_firehose_to_s3_as_it_was_first_written() -> None:
    resources = compliant()
    archive = resources["Archive"]["Properties"]
    archive["S3DestinationConfiguration"] = archive.pop("ExtendedS3DestinationConfiguration")
    assert found(resources) == []
    del resources["Freshness"]
    assert found(resources) == [("IOT_07", "Archive")]


DESTINATIONS = {
    "AmazonOpenSearchServerlessDestinationConfiguration": "AmazonOpenSearchServerless",
    "AmazonopensearchserviceDestinationConfiguration": "AmazonOpenSearchService",
    "ElasticsearchDestinationConfiguration": "AmazonOpenSearchService",
    "HttpEndpointDestinationConfiguration": "HttpEndpoint",
    "IcebergDestinationConfiguration": "Iceberg",
    "RedshiftDestinationConfiguration": "Redshift",
    "SnowflakeDestinationConfiguration": "Snowflake",
    "SplunkDestinationConfiguration": "Splunk",
}


def delivery_to(configuration: str) -> Json:
    return {
        "Delivery": resource(
            DELIVERY_STREAM, **{configuration: {"RoleARN": "arn:aws:iam::1:role/r"}}
        )
    }


def freshness(metric: str) -> Json:
    return alarm("AWS/Firehose", metric, {"DeliveryStreamName": ref("Delivery")})


def test_a_branch_of_an_alarm_is_sufficient() -> None:
    for names in (["Errors", "Throttles"], ["Throttles", "Errors"]):
        resources = compliant()
        resources["Errors"]["Properties"]["MetricName"] = {"Fn::If": ["Condition", *names]}
        assert found(resources) == []
    resources["Errors"]["Properties"]["MetricName"] = {"Fn::If": ["C", "Throttles", "Duration"]}
    assert found(resources) == [("IOT_07", "Processor")]


class TestDeliveryStream:
    @pytest.mark.parametrize(("configuration", "name"), sorted(DESTINATIONS.items()))
    def test_each_destination_has_its_metric(self, configuration: str, name: str) -> None:
        resources = delivery_to(configuration)
        metric = f"DeliveryTo{name}.DataFreshness"
        [finding] = check(template(resources))
        assert (finding.logical_id, finding.detail) == (
            "Delivery",
            f"no alarm on {metric} of this stream",
        )
        # of the bucket for backup
        resources["Alarm"] = freshness("DeliveryToS3.DataFreshness")
        assert found(resources) == [("IOT_07", "Delivery")]
        resources["Alarm"] = freshness(metric)
        emitted = ("IOT_07", "IOT_09", "IOT_10")
        assert [it for it in pipeline.found(resources) if it[0] in emitted] == []

    @pytest.mark.parametrize(("configuration", "name"), sorted(DESTINATIONS.items()))
    def test_the_fix_has_the_metric(self, configuration: str, name: str) -> None:
        resources = delivery_to(configuration)
        [finding] = check(template(resources))
        fix = PipelineAlarmsExist().remediation_of(finding)
        fixed = merged(resources, yaml.safe_load(fix.cloudformation))
        assert found(fixed) == []
        assert f'"DeliveryTo{name}.DataFreshness"' in fix.cdk
        assert "DeliveryToS3" not in fix.cdk

    def test_a_destination_that_is_not_set(self) -> None:
        resources = delivery_to("SplunkDestinationConfiguration")
        resources["Delivery"]["Properties"]["S3DestinationConfiguration"] = ref("AWS::NoValue")
        resources["Alarm"] = freshness("DeliveryToS3.DataFreshness")
        assert found(resources) == [("IOT_07", "Delivery")]
        resources["Alarm"] = freshness("DeliveryToSplunk.DataFreshness")
        assert found(resources) == []

    def test_elasticsearch_has_the_metric_of_its_former_name_as_well(self) -> None:
        resources = delivery_to("ElasticsearchDestinationConfiguration")
        resources["Alarm"] = freshness("DeliveryToElasticsearch.DataFreshness")
        assert found(resources) == []

    @pytest.mark.parametrize("metric", ["DeliveryToS3", "DeliveryToSplunk"])
    def test_without_a_known_destination_any_will_do(self, metric: str) -> None:
        resources = delivery_to("LakeDestinationConfiguration")
        assert found(resources) == [("IOT_07", "Delivery")]
        resources["Alarm"] = freshness(f"{metric}.DataFreshness")
        assert found(resources) == []


TABLE = {"Table": resource("AWS::DynamoDB::Table", KeySchema=[])}


class TestPartsOfAPipeline:
    """Any of them makes the tables of the app a part of the pipeline."""

    @pytest.mark.parametrize(
        "part",
        [
            resource("AWS::Kinesis::Stream"),
            resource(DELIVERY_STREAM, RedshiftDestinationConfiguration={}),
            resource("AWS::IoT::TopicRule"),
            resource("AWS::Pipes::Pipe", Source="arn:aws:kinesis:eu-west-1:1:stream/other"),
            resource(
                "AWS::Lambda::EventSourceMapping",
                EventSourceArn="arn:aws:kinesis:eu-west-1:1:stream/other",
            ),
        ],
        ids=lambda part: part["Type"],
    )
    def test_each(self, part: Json) -> None:
        assert ("IOT_07", "Table") in found({**TABLE, "Part": part})

    @pytest.mark.parametrize(
        "part",
        [
            resource("AWS::Pipes::Pipe", Source="arn:aws:sqs:eu-west-1:1:queue"),
            resource(
                "AWS::Lambda::EventSourceMapping", EventSourceArn="arn:aws:sqs:eu-west-1:1:queue"
            ),
            resource("AWS::SQS::Queue"),
        ],
        ids=lambda part: part["Type"],
    )
    def test_no_part(self, part: Json) -> None:
        assert found({**TABLE, "Part": part}) == []

    def test_a_table_that_writes_its_changes_to_a_stream(self) -> None:
        table = resource(
            "AWS::DynamoDB::Table", KinesisStreamSpecification={"StreamArn": att("Stream")}
        )
        stream = resource("AWS::Kinesis::Stream", ShardCount=1)
        assert found({"Table": table, "Stream": stream}) == [("IOT_07", "Table")]


def test_a_stream_that_only_a_pipe_reads() -> None:
    pipe = resource("AWS::Pipes::Pipe", Source=att("Stream"))
    resources = {"Stream": resource("AWS::Kinesis::Stream"), "Pipe": pipe}
    assert found(resources) == [("IOT_07", "Stream")]
    resources["Age"] = alarm(
        "AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", {"StreamName": ref("Stream")}
    )
    assert found(resources) == []


def test_alarms_in_another_stack() -> None:
    resources = compliant()
    alarms = {
        name: resources.pop(name)
        for name in [name for name, it in resources.items() if it["Type"].endswith("::Alarm")]
    }
    for it in alarms.values():
        del it["Properties"]["AlarmActions"]
        dimension = it["Properties"]["Dimensions"][0]
        reference = dimension["Value"]
        logical_id = reference.get("Ref") or reference["Fn::GetAtt"][0]
        dimension["Value"] = {"Fn::ImportValue": f"Telemetry-dev:{logical_id}"}
    exports = {
        f"Output{name}": {"Value": ref(name), "Export": {"Name": f"Telemetry-dev:{name}"}}
        for name in ("Stream", "Processor", "DlqQueue", "Metrics", "State", "Archive")
    }
    exporting = template(resources, Outputs=exports)
    assert check(exporting, template(alarms)) == []
    del alarms["Errors"]
    only = check(exporting, template(alarms))
    assert [(it.rule_id, it.logical_id) for it in only] == [("IOT_07_PIPELINE_ALARMS", "Processor")]
