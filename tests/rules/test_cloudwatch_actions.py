"""IOT_11 and IOT_12: CloudWatch can publish to the topics of alarms, and failure topics have a listener."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from iot_constructs.rules.cloudwatch_actions import AlarmActionReachable
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template
from tests.rules import compliant_pipeline as pipeline
from tests.rules.compliant_pipeline import (
    Json,
    alarm,
    att,
    compliant,
    key,
    places,
    ref,
    resource,
    template,
)
from tests.rules.fix_cases import merged

OWN = ("IOT_11", "IOT_12")


def check(*templates: Template) -> list[Finding]:
    """The findings of these rules."""
    return [it for it in pipeline.check(*templates) if it.rule_id[:6] in OWN]


def found(resources: dict[str, Json]) -> list[tuple[str, str | None]]:
    return places(check(template(resources)))


REACHABLE: list[tuple[str, str | None]] = []
UNREACHABLE = [("IOT_11", "AlertTopic")]


def with_key(value: Any) -> dict[str, Json]:
    resources = compliant()
    resources["AlertTopic"]["Properties"]["KmsMasterKeyId"] = value
    return resources


def with_statements(*statements: Json) -> dict[str, Json]:
    resources = compliant()
    document = resources["AlertTopicPolicy"]["Properties"]["PolicyDocument"]
    document["Statement"] = list(statements)
    return resources


def allow(principal: Any, action: Any = "sns:Publish", **more: Any) -> Json:
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": action,
        "Resource": ref("AlertTopic"),
        **more,
    }


TLS_DENY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "sns:Publish",
    "Resource": ref("AlertTopic"),
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


class TestKey:
    @pytest.mark.parametrize(
        "value",
        [
            "alias/aws/sns",
            {
                "Fn::Join": [
                    "",
                    ["arn:aws:kms:", {"Ref": "AWS::Region"}, ":1:alias/aws/sns"],
                ]
            },
            {"Fn::Sub": "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:alias/aws/sns"},
        ],
    )
    def test_the_managed_one(self, value: Any) -> None:
        findings = check(template(with_key(value)))
        assert [(it.rule_id, it.logical_id) for it in findings] == [
            ("IOT_11_ALARM_ACTION_REACHABLE", "AlertTopic")
        ]
        assert findings[0].property_path == "Properties/KmsMasterKeyId"
        # one finding for the topic, whatever the number of alarms
        assert "and 5 more" in findings[0].detail

    @pytest.mark.parametrize(
        "value",
        [
            ref("KeyParameter"),
            "alias/mine",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            {"Fn::ImportValue": "key"},
        ],
    )
    def test_one_that_is_not_of_this_app(self, value: Any) -> None:
        assert found(with_key(value)) == REACHABLE

    def test_none(self) -> None:
        resources = compliant()
        del resources["AlertTopic"]["Properties"]["KmsMasterKeyId"]
        assert found(resources) == REACHABLE

    def test_one_that_does_not_know_cloudwatch(self) -> None:
        resources = compliant()
        resources["Key"] = key("sns.amazonaws.com")
        assert found(resources) == UNREACHABLE

    def test_one_with_the_default_policy(self) -> None:
        resources = compliant()
        del resources["Key"]["Properties"]["KeyPolicy"]
        assert found(resources) == UNREACHABLE

    @pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey*"])
    def test_one_that_allows_half_of_it(self, action: str) -> None:
        resources = compliant()
        resources["Key"]["Properties"]["KeyPolicy"]["Statement"][1]["Action"] = action
        assert found(resources) == UNREACHABLE

    @pytest.mark.parametrize("action", ["kms:*", ["kms:Decrypt", "kms:GenerateDataKey"], "*"])
    def test_other_ways_to_allow_it(self, action: Any) -> None:
        resources = compliant()
        resources["Key"]["Properties"]["KeyPolicy"]["Statement"][1]["Action"] = action
        assert found(resources) == REACHABLE

    def test_in_two_statements(self) -> None:
        resources = compliant()
        statements = resources["Key"]["Properties"]["KeyPolicy"]["Statement"]
        statements[1]["Action"] = "kms:Decrypt"
        statements.append({**statements[1], "Action": "kms:GenerateDataKey*"})
        assert found(resources) == REACHABLE

    def test_a_policy_that_only_the_deployment_knows(self) -> None:
        resources = compliant()
        resources["Key"]["Properties"]["KeyPolicy"] = ref("Policy")
        assert found(resources) == REACHABLE

    @pytest.mark.parametrize("value", [ref("Alias"), "alias/iot-dev"])
    def test_behind_an_alias(self, value: Any) -> None:
        resources = with_key(value)
        resources["Alias"] = resource(
            "AWS::KMS::Alias", AliasName="alias/iot-dev", TargetKeyId=att("Key")
        )
        assert found(resources) == REACHABLE
        resources["Key"] = key("sns.amazonaws.com")
        assert found(resources) == UNREACHABLE

    def test_an_unknown_principal_can_use_it(self) -> None:
        resources = compliant()
        statement = resources["Key"]["Properties"]["KeyPolicy"]["Statement"][1]
        statement["Principal"] = {"Service": ref("Service")}
        assert found(resources) == REACHABLE
        # An account or a role is not CloudWatch, whichever it is.
        statement["Principal"] = {"AWS": ref("Role")}
        assert found(resources) == UNREACHABLE

    def test_one_that_everybody_may_use(self) -> None:
        resources = compliant()
        statement = resources["Key"]["Properties"]["KeyPolicy"]["Statement"][1]
        statement["Principal"] = {"AWS": "*"}
        assert found(resources) == REACHABLE

    def test_a_deny_that_cannot_be_judged_allows_nothing(self) -> None:
        resources = compliant()
        resources["Key"] = key("sns.amazonaws.com")
        resources["Key"]["Properties"]["KeyPolicy"]["Statement"].append(
            {"Effect": "Deny", "NotPrincipal": {"AWS": "x"}, "Action": "kms:*", "Resource": "*"}
        )
        assert found(resources) == UNREACHABLE

    @pytest.mark.parametrize(
        ("service", "expected"),
        [("cloudwatch.amazonaws.com", REACHABLE), ("sns.amazonaws.com", UNREACHABLE)],
    )
    def test_the_copy_of_a_key_of_another_region(
        self, service: str, expected: list[tuple[str, str | None]]
    ) -> None:
        resources = with_key(att("Copy"))
        resources["Copy"] = {**key(service), "Type": "AWS::KMS::ReplicaKey"}
        assert found(resources) == expected


class TestPolicy:
    def test_a_tls_deny_alone(self) -> None:
        findings = check(template(with_statements(TLS_DENY)))
        assert [(it.rule_id[:6], it.logical_id) for it in findings] == UNREACHABLE
        assert "cloudwatch.amazonaws.com" in findings[0].detail

    @pytest.mark.parametrize(
        "statement",
        [
            allow({"Service": "events.amazonaws.com"}),
            allow({"Service": "cloudwatch.amazonaws.com"}, "sns:Subscribe"),
            {**allow({"Service": "cloudwatch.amazonaws.com"}), "Effect": "Deny"},
            allow({"Service": "cloudwatch.amazonaws.com"}, "sns:S*"),
            allow({"Service": "cloudwatch.amazonaws.com"}, "sns:Publis"),
        ],
    )
    def test_one_that_allows_something_else(self, statement: Json) -> None:
        assert found(with_statements(TLS_DENY, statement)) == UNREACHABLE

    @pytest.mark.parametrize(
        "statement",
        [
            allow({"Service": ["s3.amazonaws.com", "cloudwatch.amazonaws.com"]}),
            allow({"Service": "cloudwatch.amazonaws.com"}, ["SNS:Publish"]),
            allow({"Service": "cloudwatch.amazonaws.com"}, "sns:*"),
            # the default policy
            allow(
                {"AWS": "*"},
                ["SNS:GetTopicAttributes", "SNS:Publish"],
                Condition={"StringEquals": {"AWS:SourceOwner": {"Ref": "AWS::AccountId"}}},
            ),
            allow({"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}}),
            allow({"Service": ref("Service")}),
            {"Effect": "Allow", "NotPrincipal": {"AWS": "x"}, "Action": "sns:Publish"},
            allow({"Service": "cloudwatch.amazonaws.com"}, ref("Action")),
            {**allow({"Service": "cloudwatch.amazonaws.com"}), "Effect": ref("Effect")},
            ref("Statement"),
        ],
    )
    def test_one_that_lets_cloudwatch_in_or_may(self, statement: Json) -> None:
        assert found(with_statements(TLS_DENY, statement)) == REACHABLE

    def test_none(self) -> None:
        resources = compliant()
        del resources["AlertTopicPolicy"]
        assert found(resources) == REACHABLE

    def test_of_another_topic(self) -> None:
        resources = with_statements(TLS_DENY)
        resources["AlertTopicPolicy"]["Properties"]["Topics"] = [ref("DlqTopic")]
        assert found(resources) == REACHABLE

    def test_a_second_policy(self) -> None:
        resources = with_statements(TLS_DENY)
        resources["Second"] = resource(
            "AWS::SNS::TopicInlinePolicy",
            TopicArn=ref("AlertTopic"),
            PolicyDocument={"Statement": allow({"Service": "cloudwatch.amazonaws.com"})},
        )
        assert found(resources) == REACHABLE


class TestAction:
    def test_a_topic_that_no_alarm_names(self) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::SNS::Topic", KmsMasterKeyId="alias/aws/sns")
        assert found(resources) == REACHABLE

    @pytest.mark.parametrize("name", ["OKActions", "InsufficientDataActions", "AlarmActions"])
    def test_every_kind_of_action(self, name: str) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::SNS::Topic", KmsMasterKeyId="alias/aws/sns")
        resources["Errors"]["Properties"][name] = [ref("Other")]
        assert found(resources) == [("IOT_11", "Other")]

    @pytest.mark.parametrize(
        ("alarms", "said"),
        [
            (["Errors"], "action of Errors: "),
            (["Errors", "StreamAge"], "action of StreamAge and 1 more: "),
        ],
    )
    def test_the_finding_names_one_alarm_and_counts_the_others(
        self, alarms: list[str], said: str
    ) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::SNS::Topic", KmsMasterKeyId="alias/aws/sns")
        for name in alarms:
            resources[name]["Properties"]["OKActions"] = [ref("Other")]
        (finding,) = check(template(resources))
        assert finding.detail.startswith(said)

    def test_of_a_composite_alarm(self) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::SNS::Topic", KmsMasterKeyId="alias/aws/sns")
        resources["Health"] = resource(
            "AWS::CloudWatch::CompositeAlarm", AlarmRule="x", AlarmActions=[ref("Other")]
        )
        assert found(resources) == [("IOT_11", "Other")]

    def test_by_the_topics_arn_as_text(self) -> None:
        resources = compliant()
        resources["Other"] = resource(
            "AWS::SNS::Topic", TopicName="other-dev", KmsMasterKeyId="alias/aws/sns"
        )
        resources["Errors"]["Properties"]["AlarmActions"] = [
            {"Fn::Sub": "arn:aws:sns:${AWS::Region}:${AWS::AccountId}:other-dev"}
        ]
        assert found(resources) == [("IOT_11", "Other")]

    @pytest.mark.parametrize(
        "action",
        [
            "arn:aws:sns:eu-west-1:123456789012:somewhere",
            ref("TopicArn"),
            {"Fn::Sub": "arn:aws:automate:${AWS::Region}:ec2:recover"},
            att("Processor"),
            att("DlqQueue"),
        ],
    )
    def test_that_is_not_a_topic_of_this_app(self, action: Any) -> None:
        resources = compliant()
        # What a topic under this key would be reported for.
        resources["DlqQueue"]["Properties"]["KmsMasterKeyId"] = "alias/aws/sns"
        resources["Errors"]["Properties"]["AlarmActions"] = [action]
        assert found(resources) == REACHABLE


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


class TestFix:
    def test_of_a_policy_leaves_the_key(self) -> None:
        [finding] = check(template(with_statements(TLS_DENY)))
        fix = AlarmActionReachable().remediation_of(finding)
        assert "kms" not in fix.cdk
        assert "Kms" not in fix.cloudformation
        resources = merged(with_statements(TLS_DENY), yaml.safe_load(fix.cloudformation))
        assert pipeline.found(resources) == []

    def test_of_a_key_of_the_app_keeps_it(self) -> None:
        resources = compliant()
        resources["Key"] = key("lambda.amazonaws.com")
        [finding] = check(template(resources))
        fix = AlarmActionReachable().remediation_of(finding)
        assert "topic.master_key.grant_encrypt_decrypt(" in fix.cdk
        assert "kms.Key(" not in fix.cdk
        fixed = merged(resources, yaml.safe_load(fix.cloudformation))
        assert pipeline.found(fixed) == []
