"""IOT_12: failure topics have a listener."""

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
