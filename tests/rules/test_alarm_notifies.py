"""IOT_26 and IOT_27: every alarm notifies somebody."""

from __future__ import annotations

from typing import Any

import pytest

from iot_constructs.rules.cloudwatch_actions import AlarmNotifies
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

OWN = ("IOT_26", "IOT_27")
ACTION = "arn:aws:sns:eu-west-1:111122223333:ops"
SILENT = [("IOT_26", "It")]
NOVALUE = ref("AWS::NoValue")


def check(*templates: Template) -> list[Finding]:
    """The findings of these rules."""
    return [it for it in pipeline.check(*templates) if it.rule_id[:6] in OWN]


def found(resources: dict[str, Json]) -> list[tuple[str, str | None]]:
    return places(check(template(resources)))


def an_alarm(**properties: Any) -> Json:
    return resource(
        "AWS::CloudWatch::Alarm",
        Namespace="AWS/Lambda",
        MetricName="Errors",
        **properties,
    )


TARGET = {"Id": "Ops", "Arn": ACTION}


def event_rule(pattern: Json | None = None, **properties: Any) -> Json:
    """A rule for the state changes of all alarms, or of those of ``pattern``."""
    whole = {"detail-type": ["CloudWatch Alarm State Change"], **(pattern or {})}
    return resource("AWS::Events::Rule", EventPattern=whole, **{"Targets": [TARGET], **properties})


def test_the_compliant_pipeline_has_no_finding() -> None:
    assert found(compliant()) == []


class TestAction:
    @pytest.mark.parametrize(
        "actions",
        [
            {},
            {"AlarmActions": []},
            {"AlarmActions": NOVALUE},
            {"AlarmActions": [NOVALUE]},
            {"OKActions": [ACTION], "InsufficientDataActions": [ACTION]},
        ],
    )
    def test_none(self, actions: Json) -> None:
        findings = check(template({"It": an_alarm(**actions)}))
        assert places(findings) == SILENT
        assert findings[0].detail == "the alarm notifies no one: AlarmActions is not set"
        assert findings[0].property_path == "Properties/AlarmActions"

    @pytest.mark.parametrize("enabled", [False, "false", {"Fn::If": ["A", False, "false"]}])
    def test_disabled(self, enabled: Any) -> None:
        it = an_alarm(AlarmActions=[ACTION], ActionsEnabled=enabled)
        findings = check(template({"It": it}))
        assert places(findings) == SILENT
        assert findings[0].detail == "the alarm notifies no one: ActionsEnabled is false"
        fix = AlarmNotifies().remediation_of(findings[0])
        assert fix.cdk == "actions_enabled=True"
        assert "AlertTopic" not in fix.cloudformation

    @pytest.mark.parametrize(
        "properties",
        [
            {"AlarmActions": [ACTION]},
            {"AlarmActions": [ACTION], "ActionsEnabled": True},
            {"AlarmActions": ["arn:aws:automate:eu-west-1:ec2:recover"]},
            # what only the deployment knows
            {"AlarmActions": ref("Actions")},
            {"AlarmActions": [ref("Action")]},
            {"AlarmActions": {"Fn::Split": [",", ref("Actions")]}},
            {"AlarmActions": [ACTION], "ActionsEnabled": ref("Enabled")},
            # in one environment
            {"AlarmActions": {"Fn::If": ["IsProd", [ACTION], NOVALUE]}},
            {"AlarmActions": [{"Fn::If": ["IsProd", ACTION, NOVALUE]}]},
            {"AlarmActions": [ACTION], "ActionsEnabled": {"Fn::If": ["IsProd", True, False]}},
            {"AlarmActions": [ACTION], "ActionsEnabled": {"Fn::If": ["IsProd", NOVALUE, False]}},
        ],
    )
    def test_one(self, properties: Json) -> None:
        assert found({"It": an_alarm(**properties)}) == []

    def test_of_a_composite_alarm(self) -> None:
        it = resource("AWS::CloudWatch::CompositeAlarm", AlarmRule="ALARM(elsewhere)")
        assert found({"It": it}) == SILENT
        it["Properties"]["AlarmActions"] = [ACTION]
        assert found({"It": it}) == []


def composite(rule: Any, **properties: Any) -> Json:
    return resource(
        "AWS::CloudWatch::CompositeAlarm", AlarmRule=rule, AlarmActions=[ACTION], **properties
    )


ARN = "arn:aws:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:errors-dev"


class TestUse:
    """An alarm that something else uses needs no action of its own."""

    @pytest.mark.parametrize(
        "user",
        [
            composite({"Fn::Join": ["", ['ALARM("', att("It"), '")']]}),
            composite({"Fn::Join": ["", ["ALARM(", ref("It"), ")"]]}),
            composite({"Fn::Sub": 'OK(other) OR ALARM("${It}")'}),
            composite("NOT (OK(other) AND ALARM(errors-dev))"),
            composite("ALARM('errors-dev')"),
            composite({"Fn::Sub": f"ALARM({ARN})"}),
            composite({"Fn::Sub": "ALARM(${Name})"}),  # a parameter
            composite("ALARM(other)", ActionsSuppressor=ref("It")),
            resource(
                "AWS::CodeDeploy::DeploymentGroup",
                AlarmConfiguration={"Alarms": [{"Name": ref("It")}]},
            ),
            resource(
                "AWS::CodeDeploy::DeploymentGroup",
                AlarmConfiguration={"Alarms": [{"Name": "errors-dev"}]},
            ),
            resource(
                "AWS::ECS::Service",
                DeploymentConfiguration={
                    "Alarms": {"AlarmNames": {"Fn::If": ["A", [ref("It")], []]}}
                },
            ),
            resource("AWS::Route53::HealthCheck", HealthCheckConfig={"AlarmIdentifier": ref("It")}),
            event_rule(),
            event_rule(State="ENABLED"),
            event_rule(State=ref("State")),
            event_rule({"resources": [att("It")]}),
            event_rule({"detail": {"alarmName": ["errors-dev"]}}),
        ],
    )
    def test_by(self, user: Json) -> None:
        assert found({"It": an_alarm(AlarmName="errors-dev"), "User": user}) == []

    @pytest.mark.parametrize(
        "user",
        [
            composite("ALARM(other)"),
            composite("ALARM(errors-dev-2)"),
            composite({"Fn::Join": ["", ['ALARM("', att("Other"), '")']]}),
            # shown only
            resource("AWS::CloudWatch::Dashboard", DashboardBody={"Fn::Sub": "${It.Arn}"}),
            resource("AWS::Events::Rule", EventPattern={"source": ["aws.ec2"]}, Targets=[TARGET]),
            event_rule({"resources": [att("Other")]}),
            event_rule({"detail": {"alarmName": ["other"]}}),
            event_rule(State="DISABLED"),
            event_rule(Targets=[]),
            event_rule({"resources": [att("It")]}, Targets=[]),
            an_alarm(AlarmActions=[ACTION], AlarmDescription="errors-dev"),
        ],
    )
    def test_not_by(self, user: Json) -> None:
        resources = {"It": an_alarm(AlarmName="errors-dev"), "User": user}
        resources["Other"] = an_alarm(AlarmActions=[ACTION])
        assert found(resources) == SILENT

    def test_a_composite_alarm_does_not_use_itself(self) -> None:
        it = resource(
            "AWS::CloudWatch::CompositeAlarm", AlarmRule="ALARM(health)", AlarmName="health"
        )
        assert found({"It": it}) == SILENT

    def test_by_a_composite_alarm_of_another_stack(self) -> None:
        first = template(
            {"It": an_alarm()}, Outputs={"O": {"Value": att("It"), "Export": {"Name": "errors"}}}
        )
        rule = {"Fn::Join": ["", ['ALARM("', {"Fn::ImportValue": "errors"}, '")']]}
        assert places(check(first)) == SILENT
        assert check(first, template({"Health": composite(rule)})) == []


class TestTopic:
    def resources(self) -> dict[str, Json]:
        return {
            "It": alarm("AWS/Lambda", "Errors"),
            "AlertTopic": resource("AWS::SNS::Topic", TopicName="alerts-dev"),
        }

    def test_without_a_subscription(self) -> None:
        findings = check(template(self.resources()))
        assert places(findings) == [("IOT_27", "AlertTopic")]
        assert findings[0].detail == (
            "action of It: this topic has no subscription, so no one is notified"
        )

    def test_of_a_composite_alarm(self) -> None:
        resources = self.resources()
        resources["It"] = composite("ALARM(other)", OKActions=[ref("AlertTopic")])
        assert found(resources) == [("IOT_27", "AlertTopic")]

    @pytest.mark.parametrize(
        "subscriber",
        [
            resource("AWS::SNS::Subscription", TopicArn=ref("AlertTopic"), Protocol="email"),
            resource("AWS::SNS::Subscription", TopicArn=ref("Parameter"), Protocol="email"),
            resource(
                "AWS::SNS::Subscription",
                TopicArn={"Fn::Sub": "arn:aws:sns:${AWS::Region}:${AWS::AccountId}:alerts-dev"},
            ),
            resource("AWS::Chatbot::SlackChannelConfiguration", SnsTopicArns=[ref("AlertTopic")]),
        ],
    )
    def test_with_one(self, subscriber: Json) -> None:
        assert found({**self.resources(), "Subscriber": subscriber}) == []

    def test_with_one_in_its_properties(self) -> None:
        resources = self.resources()
        resources["AlertTopic"]["Properties"]["Subscription"] = [{"Protocol": "email"}]
        assert found(resources) == []

    def test_that_no_alarm_uses(self) -> None:
        assert found({"Topic": resource("AWS::SNS::Topic")}) == []

    def test_of_another_app(self) -> None:
        assert found({"It": an_alarm(AlarmActions=[ACTION])}) == []
