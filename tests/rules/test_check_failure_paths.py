"""IOT_12 and IOT_23: failure topics with a listener, stream functions with an asynchronous failure path."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.compliant_pipeline import (
    Json,
    alarm,
    att,
    check,
    compliant,
    found,
    ref,
    resource,
    template,
)

PUBLISHED = alarm("AWS/SNS", "NumberOfMessagesPublished", {"TopicName": att("Other", "TopicName")})


def with_other_topic() -> dict[str, Json]:
    """A second topic, which is watched, so that only its subscription is missing."""
    resources = compliant()
    resources["Other"] = resource("AWS::SNS::Topic", TopicName="other-dev")
    resources["OtherPublished"] = {**PUBLISHED}
    return resources


class TestSubscriber:
    @pytest.mark.parametrize("by", ["mapping", "invoke", "function", "rule", "other mapping"])
    def test_a_failure_topic_without_a_subscription(self, by: str) -> None:
        resources = with_other_topic()
        if by == "mapping":
            failure = resources["Mapping"]["Properties"]["DestinationConfig"]["OnFailure"]
            failure["Destination"] = ref("Other")
        elif by == "invoke":
            failure = resources["InvokeConfig"]["Properties"]["DestinationConfig"]["OnFailure"]
            failure["Destination"] = ref("Other")
        elif by == "function":
            resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": ref("Other")}
        elif by == "rule":
            payload = resources["Rule"]["Properties"]["TopicRulePayload"]
            payload["ErrorAction"]["Sns"]["TargetArn"] = ref("Other")
        else:  # of a table's stream
            resources["Second"] = resource(
                "AWS::Lambda::EventSourceMapping",
                EventSourceArn=att("Metrics", "StreamArn"),
                FunctionName=ref("Processor"),
                DestinationConfig={"OnFailure": {"Destination": ref("Other")}},
            )
        findings = check(template(resources))
        assert [(it.rule_id, it.logical_id) for it in findings] == [
            ("IOT_12_DLQ_SUBSCRIBER", "Other")
        ]

    @pytest.mark.parametrize(
        "topic",
        [
            ref("Other"),
            {"Fn::Sub": "arn:aws:sns:${AWS::Region}:${AWS::AccountId}:other-dev"},
            ref("SomeTopic"),
        ],
    )
    def test_a_subscription_of_any_protocol(self, topic: Json) -> None:
        resources = with_other_topic()
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": ref("Other")}
        resources["Mail"] = resource(
            "AWS::SNS::Subscription", TopicArn=topic, Protocol="email", Endpoint="a@example.org"
        )
        assert found(resources) == []

    def test_a_subscription_inside_the_topic(self) -> None:
        resources = with_other_topic()
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": ref("Other")}
        resources["Other"]["Properties"]["Subscription"] = [
            {"Protocol": "email", "Endpoint": "a@example.org"}
        ]
        assert found(resources) == []

    def test_a_subscription_of_another_topic(self) -> None:
        resources = with_other_topic()
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": ref("Other")}
        resources["Mail"] = resource(
            "AWS::SNS::Subscription", TopicArn=ref("AlertTopic"), Protocol="email", Endpoint="a@b.c"
        )
        assert found(resources) == [("IOT_12", "Other")]

    def test_a_topic_for_something_else(self) -> None:
        assert found(with_other_topic()) == []

    @pytest.mark.parametrize(
        "destination", ["arn:aws:sns:eu-west-1:123456789012:elsewhere", ref("TopicArn")]
    )
    def test_a_topic_of_another_app(self, destination: Any) -> None:
        resources = compliant()
        failure = resources["Mapping"]["Properties"]["DestinationConfig"]["OnFailure"]
        failure["Destination"] = destination
        assert found(resources) == []

    def test_a_bucket_needs_no_subscriber(self) -> None:
        resources = compliant()
        failure = resources["Mapping"]["Properties"]["DestinationConfig"]["OnFailure"]
        failure["Destination"] = att("Data")
        assert found(resources) == []


class TestAsyncPath:
    def test_none(self) -> None:
        resources = compliant()
        del resources["InvokeConfig"]
        findings = check(template(resources))
        assert [(it.rule_id, it.logical_id) for it in findings] == [
            ("IOT_23_ASYNC_FAILURE_PATH", "Processor")
        ]

    @pytest.mark.parametrize(
        "config", [None, {"OnSuccess": {"Destination": att("DlqQueue")}}, {"OnFailure": {}}]
    )
    def test_a_config_without_a_destination(self, config: Json | None) -> None:
        resources = compliant()
        properties = resources["InvokeConfig"]["Properties"]
        del properties["DestinationConfig"]
        if config is not None:
            properties["DestinationConfig"] = config
        assert found(resources) == [("IOT_23", "Processor")]

    def test_a_config_of_another_function(self) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::Lambda::Function")
        resources["InvokeConfig"]["Properties"]["FunctionName"] = ref("Other")
        assert found(resources) == [("IOT_23", "Processor")]

    def test_a_config_of_a_function_that_only_the_deployment_knows(self) -> None:
        resources = compliant()
        resources["InvokeConfig"]["Properties"]["FunctionName"] = ref("Name")
        assert found(resources) == []

    def test_the_functions_own_dead_letter_queue(self) -> None:
        resources = compliant()
        del resources["InvokeConfig"]
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": att("DlqQueue")}
        assert found(resources) == []

    def test_in_some_environments_only(self) -> None:
        resources = compliant()
        config = resources["InvokeConfig"]["Properties"]
        config["DestinationConfig"] = {
            "Fn::If": ["IsProd", config["DestinationConfig"], ref("AWS::NoValue")]
        }
        assert found(resources) == []
        del resources["InvokeConfig"]
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {
            "Fn::If": ["IsProd", {"TargetArn": att("DlqQueue")}, ref("AWS::NoValue")]
        }
        assert found(resources) == []

    def test_a_function_of_sam_has_it_in_its_own_properties(self) -> None:
        resources = compliant()
        resources["Processor"] = resource("AWS::Serverless::Function", CodeUri="s3://bucket/key")
        del resources["InvokeConfig"]
        assert found(resources) == []

    @pytest.mark.parametrize("kind", ["Alias", "Version"])
    def test_a_config_of_an_alias_or_version(self, kind: str) -> None:
        resources = compliant()
        resources["It"] = resource(f"AWS::Lambda::{kind}", FunctionName=ref("Processor"))
        resources["InvokeConfig"]["Properties"]["FunctionName"] = ref("It")
        assert found(resources) == []

    def test_functions_that_read_no_stream_are_left_alone(self) -> None:
        resources = compliant()
        resources["Helper"] = resource("AWS::Lambda::Function", Handler="index.handler")
        assert found(resources) == []
