"""The rules for encryption at rest and TLS of streams, queues and topics: IOT_29, IOT_30."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.rule import Finding
from tests.rules import compliant_pipeline
from tests.rules.compliant_pipeline import (
    Json,
    att,
    compliant,
    deny_plain_http,
    places,
    ref,
    resource,
    template,
)

NO_VALUE = ref("AWS::NoValue")
TOPIC_ARN = {"Fn::Sub": "arn:aws:sns:${AWS::Region}:${AWS::AccountId}:alerts-dev"}


def check(resources: dict[str, Json], *rules: str) -> list[Finding]:
    findings = compliant_pipeline.check(template(resources))
    return [it for it in findings if it.rule_id.startswith(rules)]


def test_a_compliant_pipeline() -> None:
    assert check(compliant(), "IOT_29", "IOT_30") == []


def allow(*services: Any, action: str = "sns:Publish", effect: str = "Allow") -> Json:
    return {
        "Effect": effect,
        "Action": action,
        "Principal": {"Service": list(services)},
        "Resource": ref("It"),
    }


class TestEncryptionAtRest:
    @pytest.mark.parametrize(
        ("policy", "services"),
        [
            ([], ["cloudwatch"]),
            ([allow("cloudwatch.amazonaws.com")], ["cloudwatch"]),
            (
                [allow("s3.amazonaws.com"), allow("events.amazonaws.com", action="sns:*")],
                ["cloudwatch", "events", "s3"],
            ),
            ([allow("s3.amazonaws.com", action="sns:Subscribe")], ["cloudwatch"]),
            ([allow("s3.amazonaws.com", effect="Deny")], ["cloudwatch"]),
            ([allow(ref("Parameter"), "s3.amazonaws.com")], ["cloudwatch", "s3"]),
        ],
    )
    def test_the_key_allows_all_services_that_publish(
        self, policy: list[Json], services: list[str]
    ) -> None:
        document = {"Statement": policy}
        resources = {
            "It": resource("AWS::SNS::Topic"),
            "Policy": resource(
                "AWS::SNS::TopicPolicy", Topics=[ref("It")], PolicyDocument=document
            ),
        }
        [finding] = check(resources, "IOT_29")
        fix = RULE_BY_ID[finding.rule_id].remediation_of(finding)
        key = yaml.safe_load(fix.cloudformation)["ItKey"]["Properties"]["KeyPolicy"]
        [principal] = [
            it["Principal"]["Service"] for it in key["Statement"] if "Service" in it["Principal"]
        ]
        assert principal == [f"{it}.amazonaws.com" for it in services]
        assert all(f'iam.ServicePrincipal("{it}.amazonaws.com")' in fix.cdk for it in services)

    def judge(self, type: str, **properties: Any) -> list[Finding]:
        return check({"It": resource(type, **properties)}, "IOT_29")

    @pytest.mark.parametrize(
        ("type", "properties"),
        [
            ("AWS::Kinesis::Stream", {}),
            ("AWS::Kinesis::Stream", {"StreamEncryption": NO_VALUE}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": False}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": "false", "KmsMasterKeyId": ""}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": {"Fn::If": ["A", False, "false"]}}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": False, "FifoQueue": True}),
            ("AWS::SNS::Topic", {}),
            ("AWS::SNS::Topic", {"KmsMasterKeyId": ""}),
            ("AWS::SNS::Topic", {"KmsMasterKeyId": NO_VALUE}),
            ("AWS::SNS::Topic", {"FifoTopic": True}),
        ],
    )
    def test_not_encrypted(self, type: str, properties: Json) -> None:
        [finding] = self.judge(type, **properties)
        assert finding.detail.startswith("not encrypted at rest")

    @pytest.mark.parametrize(
        ("type", "properties"),
        [
            (
                "AWS::Kinesis::Stream",
                {"StreamEncryption": {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}},
            ),
            # As CDK writes it for Regions without encryption.
            (
                "AWS::Kinesis::Stream",
                {"StreamEncryption": {"Fn::If": ["Unsupported", NO_VALUE, {"KeyId": "k"}]}},
            ),
            ("AWS::Kinesis::Stream", {"StreamEncryption": ref("Parameter")}),
            # SQS encrypts a queue by default.
            ("AWS::SQS::Queue", {}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": True}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": ref("Parameter")}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": {"Fn::If": ["A", False, NO_VALUE]}}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": False, "KmsMasterKeyId": "alias/k"}),
            ("AWS::SQS::Queue", {"SqsManagedSseEnabled": False, "KmsMasterKeyId": ref("Key")}),
            ("AWS::SNS::Topic", {"KmsMasterKeyId": "alias/aws/sns"}),
            ("AWS::SNS::Topic", {"KmsMasterKeyId": ref("Parameter")}),
            ("AWS::SNS::Topic", {"KmsMasterKeyId": {"Fn::If": ["A", "alias/k", NO_VALUE]}}),
            # Firehose encrypts what it buffers from a stream with the key of the stream.
            ("AWS::KinesisFirehose::DeliveryStream", {}),
        ],
    )
    def test_encrypted_or_maybe(self, type: str, properties: Json) -> None:
        assert self.judge(type, **properties) == []


def queue_policy(*statements: Any, queue: Any = None, type: str = "QueuePolicy") -> Json:
    attached = {"Queues": [queue or ref("It")]} if type == "QueuePolicy" else {"Queue": ref("It")}
    document = {"Statement": list(statements)}
    return resource(f"AWS::SQS::{type}", PolicyDocument=document, **attached)


def topic_policy(*statements: Any, topic: Any = None, type: str = "TopicPolicy") -> Json:
    attached = (
        {"Topics": [topic or ref("It")]} if type == "TopicPolicy" else {"TopicArn": ref("It")}
    )
    document = {"Statement": list(statements)}
    return resource(f"AWS::SNS::{type}", PolicyDocument=document, **attached)


QUEUE_DENY = deny_plain_http("sqs:*", att("It"))
TOPIC_DENY = deny_plain_http("sns:Publish", ref("It"))
ALLOW = {
    "Effect": "Allow",
    "Principal": {"Service": "sns.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": att("It"),
}


class TestTlsOfQueues:
    def judge(self, *policies: Json, **properties: Any) -> list[Finding]:
        resources = {"It": resource("AWS::SQS::Queue", **properties)}
        resources |= {f"Policy{index}": policy for index, policy in enumerate(policies)}
        return check(resources, "IOT_30")

    def test_no_policy(self) -> None:
        [finding] = self.judge()
        assert "sqs:SendMessage and sqs:ReceiveMessage" in finding.detail

    def test_a_fifo_queue(self) -> None:
        assert places(self.judge(FifoQueue=True)) == [("IOT_30", "It")]

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"Action": "*"},
            {"Action": "SQS:*"},
            {"Action": ["sqs:SendMessage", "sqs:ReceiveMessage"]},
            {"Action": ["sqs:Send*", "sqs:Receive*"]},
            {"Principal": {"AWS": "*"}},
            {"Resource": "*"},
            {"Resource": {"Fn::Sub": "${It.Arn}"}},
            {"Resource": {"Fn::Sub": "arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:*"}},
            {"Condition": {"BoolIfExists": {"AWS:SecureTransport": False}}},
            # what can deny it
            {"Condition": {"Bool": {"aws:SecureTransport": ref("Parameter")}}},
            {"Resource": ref("SomeArn")},
            {"Principal": ref("Principal")},
            {"Action": ref("Actions")},
            {"Effect": ref("Effect")},
        ],
    )
    def test_a_policy_that_denies_it_or_can(self, change: Json) -> None:
        assert self.judge(queue_policy({**QUEUE_DENY, **change})) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"Effect": "Allow"},
            {"Action": "sqs:DeleteMessage"},
            {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
            {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
            {"Condition": {}},
            {"Resource": "arn:aws:sqs:eu-west-1:123456789012:other"},
        ],
    )
    def test_a_policy_that_does_not_deny_it(self, change: Json) -> None:
        policy = queue_policy({**QUEUE_DENY, **change})
        assert places(self.judge(policy)) == [("IOT_30", "It")]

    @pytest.mark.parametrize(
        ("denied", "open_action"),
        [("sqs:SendMessage", "sqs:ReceiveMessage"), ("sqs:ReceiveMessage", "sqs:SendMessage")],
    )
    def test_only_one_direction(self, denied: str, open_action: str) -> None:
        [finding] = self.judge(queue_policy(deny_plain_http(denied, att("It"))))
        assert f"no policy denies {open_action} over" in finding.detail

    def test_two_statements(self) -> None:
        policy = queue_policy(
            deny_plain_http("sqs:SendMessage", att("It")),
            deny_plain_http("sqs:ReceiveMessage", att("It")),
        )
        assert self.judge(policy) == []

    def test_several_policies(self) -> None:
        assert self.judge(queue_policy(ALLOW), queue_policy(QUEUE_DENY)) == []
        assert places(self.judge(queue_policy(ALLOW), queue_policy(ALLOW))) == [("IOT_30", "It")]

    def test_an_inline_policy(self) -> None:
        assert self.judge(queue_policy(QUEUE_DENY, type="QueueInlinePolicy")) == []
        assert self.judge(queue_policy(ALLOW, type="QueueInlinePolicy")) != []

    @pytest.mark.parametrize(
        "queue",
        [
            att("It", "QueueUrl"),
            "https://sqs.eu-west-1.amazonaws.com/123456789012/iot-dlq-dev",
            {"Fn::If": ["A", ref("It"), NO_VALUE]},
            ref("Parameter"),
        ],
    )
    def test_other_references_to_the_queue(self, queue: Any) -> None:
        policy = queue_policy(QUEUE_DENY, queue=queue)
        assert self.judge(policy, QueueName="iot-dlq-dev") == []

    def test_the_policy_of_another_queue(self) -> None:
        other = "https://sqs.eu-west-1.amazonaws.com/123456789012/other"
        policy = queue_policy({**QUEUE_DENY, "Resource": "*"}, queue=other)
        assert places(self.judge(policy)) == [("IOT_30", "It")]

    def test_a_statement_by_name(self) -> None:
        arn = "arn:aws:sqs:eu-west-1:123456789012:iot-dlq-dev"
        policy = queue_policy(deny_plain_http("sqs:*", arn))
        assert self.judge(policy, QueueName="iot-dlq-dev") == []
        assert self.judge(policy, QueueName="iot-other-dev") != []

    def test_a_statement_by_condition(self) -> None:
        policy = queue_policy(ALLOW, {"Fn::If": ["A", QUEUE_DENY, NO_VALUE]})
        assert self.judge(policy) == []

    def test_a_statement_or_document_that_cannot_be_read(self) -> None:
        assert self.judge(queue_policy(ALLOW, ref("Statement"))) == []
        assert self.judge({**resource("AWS::SQS::QueuePolicy", Queues=[ref("It")])}) != []
        unknown = resource("AWS::SQS::QueuePolicy", Queues=[ref("It")], PolicyDocument=ref("D"))
        assert self.judge(unknown) == []

    def test_one_policy_of_two_queues(self) -> None:
        denied = deny_plain_http("sqs:*", att("One"))
        resources = {
            "One": resource("AWS::SQS::Queue"),
            "Two": resource("AWS::SQS::Queue"),
            "Policy": resource(
                "AWS::SQS::QueuePolicy",
                Queues=[ref("One"), ref("Two")],
                PolicyDocument={"Statement": denied},
            ),
        }
        assert places(check(resources, "IOT_30")) == [("IOT_30", "Two")]
        denied["Resource"].append(att("Two"))
        assert check(resources, "IOT_30") == []


class TestTlsOfTopics:
    def judge(self, *policies: Json, **properties: Any) -> list[Finding]:
        resources = {"It": resource("AWS::SNS::Topic", **properties)}
        resources |= {f"Policy{index}": policy for index, policy in enumerate(policies)}
        return check(resources, "IOT_30")

    def test_no_policy(self) -> None:
        [finding] = self.judge()
        assert "no policy denies sns:Publish over plain HTTP" in finding.detail

    def test_a_fifo_topic(self) -> None:
        assert places(self.judge(FifoTopic=True)) == [("IOT_30", "It")]

    @pytest.mark.parametrize("action", ["sns:Publish", "SNS:Publish", "sns:*", "*", "sns:Pub*"])
    def test_actions(self, action: str) -> None:
        assert self.judge(topic_policy({**TOPIC_DENY, "Action": action})) == []

    def test_another_action(self) -> None:
        assert self.judge(topic_policy({**TOPIC_DENY, "Action": "sns:Subscribe"})) != []

    def test_an_inline_policy(self) -> None:
        assert self.judge(topic_policy(TOPIC_DENY, type="TopicInlinePolicy")) == []

    def test_the_policy_of_a_topic_by_name(self) -> None:
        policy = topic_policy({**TOPIC_DENY, "Resource": TOPIC_ARN}, topic=TOPIC_ARN)
        assert self.judge(policy, TopicName="alerts-dev") == []
        assert self.judge(policy, TopicName="other-dev") != []

    def test_a_policy_of_unknown_topics(self) -> None:
        policy = resource(
            "AWS::SNS::TopicPolicy",
            Topics=ref("TopicArns"),
            PolicyDocument={"Statement": [TOPIC_DENY]},
        )
        assert self.judge(policy) == []

    def test_a_queue_policy_is_not_that_of_a_topic(self) -> None:
        policy = queue_policy({**TOPIC_DENY, "Resource": "*", "Action": "*"})
        assert self.judge(policy) != []
