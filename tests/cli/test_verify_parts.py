"""What ``verify`` compares with the templates, and what it can conclude from the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iot_constructs.cli.verification import parts
from iot_constructs.cli.verification.findings import Status
from iot_constructs.cli.verification.run import blocking
from iot_constructs.cli.verification.settings import compare, is_equal
from iot_constructs.cli.verification.stacks import (
    UNRESOLVED,
    Deployed,
    Reference,
    Resource,
    StackError,
    read_stacks,
)

from .aws_fakes import ACCOUNT, aws_error
from .verify_world import (
    ALARM,
    ALERTS,
    REGION,
    STREAM,
    TOPIC,
    Service,
    alarm,
    check,
    cloudformation,
    deployed,
    statuses,
    table,
)


def resolved(value: Any, exports: dict[str, str] | None = None) -> Any:
    resources = {
        "Topic": {"Type": parts.TOPIC},
        "Alarm": {"Type": parts.ALARM, "Properties": {"AlarmActions": value}},
    }
    service = cloudformation({"Telemetry": {"Resources": resources}}, exports)
    (alarm,) = read_stacks(service, ["Telemetry"]).of(parts.ALARM)
    return alarm.properties["AlarmActions"]


def test_references_within_a_stack_and_between_stacks_are_resolved() -> None:
    assert resolved({"Ref": "Topic"}) == Reference("topic")
    assert resolved([{"Fn::GetAtt": ["Topic", "TopicName"]}]) == [Reference("topic")]
    assert resolved({"Fn::GetAtt": ["Topic", "SomethingElse"]}) is UNRESOLVED
    assert resolved({"Fn::Select": [0, []]}) is UNRESOLVED
    assert resolved({"Ref": "Parameter"}) is UNRESOLVED
    partition = ["arn:", {"Ref": "AWS::Partition"}, ":", {"Ref": "AWS::Region"}, ":"]
    assert resolved({"Fn::Join": ["", partition]}) == f"arn:aws:{REGION}:"
    assert resolved({"Fn::Join": ["", [{"Ref": "Topic"}, "/*"]]}) is UNRESOLVED
    assert resolved({"Fn::ImportValue": "Data:Topic"}, {"Data:Topic": TOPIC}) == TOPIC
    assert resolved({"Fn::ImportValue": "Data:Other"}, {}) is UNRESOLVED


def test_exports_are_read_only_for_a_reference_between_stacks() -> None:
    service = cloudformation({"Telemetry": {"Resources": {"Topic": {"Type": parts.TOPIC}}}})
    read_stacks(service, ["Telemetry"])
    assert service.made("list_exports") == []


def test_nested_stacks_are_read_and_deleted_resources_are_not() -> None:
    inner = "arn:aws:…:stack/Inner/1"
    templates = {
        "Outer": {"Resources": {"Nested": {"Type": "AWS::CloudFormation::Stack"}}},
        inner: {
            "Resources": {
                "Topic": {"Type": parts.TOPIC},
                "Old": {"Type": parts.TOPIC, "Status": "DELETE_COMPLETE"},
            }
        },
    }
    found = read_stacks(cloudformation(templates), ["Outer"])
    assert [each.name for each in found.of(parts.TOPIC)] == ["topic"]


def test_an_alarm_finds_its_topic_in_another_stack() -> None:
    alarm = {"Type": parts.ALARM, "Properties": {"AlarmActions": [{"Fn::ImportValue": "Topic"}]}}
    templates = {
        "Data": {"Resources": {"Topic": {"Type": parts.TOPIC}}},
        "Monitoring": {"Resources": {"Alarm": alarm}},
    }
    service = cloudformation(templates, {"Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"})
    both = read_stacks(service, ["Data", "Monitoring"])
    (part,) = (each for each in parts.PARTS if each.name == "alarm topic")
    assert list(part.find(both)) == both.of(parts.TOPIC)


def test_a_template_that_is_not_json_is_an_error() -> None:
    service = cloudformation({"Old": {"Resources": {}}})
    service.responses["get_template"] = {"TemplateBody": "Resources: {}"}
    with pytest.raises(StackError, match="the template of Old is not JSON"):
        read_stacks(service, ["Old"])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234", True),
        ("1234", True),
        (f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:1234:*", True),
        (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/51234", False),
        (None, False),
    ],
)
def test_a_reference_matches_ids_arns_and_urls(found: str | None, expected: bool) -> None:
    assert Reference("1234").matches(found) is expected


def test_settings_are_equal_different_or_unknown() -> None:
    wanted = {"A": 1, "B": [2, 3], "C": None, "D": 4, "E": UNRESOLVED, "F": Reference("k"), "G": 7}
    found = {"A": 1.0, "B": [3, 2], "C": 9, "D": 5, "E": 6, "F": "arn:key/k"}
    result = compare(wanted, found)
    assert result.equal == ("A", "B", "F")
    assert result.different == ("D is 5, in the template 4",)
    assert result.unknown == ("E", "G")


def test_a_missing_value_differs_from_a_wanted_one() -> None:
    result = compare({"Key": Reference("k")}, {"Key": None})
    assert result.different == ("Key is not set, in the template k",)


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ({"a": 1}, {"a": 1, "default": 2}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, None, False),
        ([1], [1, 2], False),
        ([{"Name": "n"}], [{"Name": "n", "Value": 1}], True),
        (300, "300", True),
        (True, 1, True),
        (True, False, False),
        ("1d", "1d", True),
        ("alias/aws/sqs", "arn:aws:kms:eu-central-1:123456789012:key/1234", True),
        ("alias/aws/sqs", None, False),
    ],
)
def test_a_deployed_value_can_have_more_members_and_another_type(
    wanted: Any, found: Any, expected: bool
) -> None:
    assert is_equal(wanted, found) is expected


def stream_summary(**changes: Any) -> dict[str, Any]:
    return {
        "StreamDescriptionSummary": {
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 168,
            **changes,
        }
    }


def kinesis(response: Any) -> dict[str, Any]:
    return {"kinesis": Service(describe_stream_summary=response)}


def test_a_part_passes_fails_or_is_not_in_the_stacks() -> None:
    stacks = deployed(STREAM)
    passed = check("stream", stacks, **kinesis(stream_summary()))
    assert statuses(passed) == [("state", Status.PASS), ("settings", Status.PASS)]
    failed = check("stream", stacks, **kinesis(stream_summary(RetentionPeriodHours=24)))
    assert statuses(failed) == [("state", Status.PASS), ("settings", Status.FAIL)]
    assert failed[1].text == "RetentionPeriodHours is 24, in the template 168"
    updating = check("stream", stacks, **kinesis(stream_summary(StreamStatus="UPDATING")))
    assert statuses(updating)[0] == ("state", Status.FAIL)
    assert statuses(check("stream", deployed())) == [("exists", Status.SKIPPED)]


def test_a_missing_resource_fails_and_what_may_not_be_seen_is_skipped() -> None:
    stacks = deployed(STREAM)
    (missing,) = check("stream", stacks, **kinesis(aws_error("ResourceNotFoundException")))
    assert (missing.check, missing.status) == ("exists", Status.FAIL)
    (denied,) = check("stream", stacks, **kinesis(aws_error("AccessDeniedException", "no")))
    assert denied.status is Status.SKIPPED
    assert "--permissions" in denied.text
    (unsupported,) = check("stream", stacks, **kinesis(aws_error("UnknownOperationException")))
    assert unsupported.status is Status.SKIPPED
    with pytest.raises(type(aws_error("x"))):
        check("stream", stacks, **kinesis(aws_error("InternalFailure")))


@pytest.mark.parametrize(
    ("protected", "tables_protected", "expected"),
    [
        (True, True, Status.PASS),
        (True, False, Status.PASS),
        (False, True, Status.FAIL),
        (False, False, Status.SKIPPED),
    ],
)
def test_the_stack_of_protected_tables_is_protected(
    protected: bool, tables_protected: bool, expected: Status
) -> None:
    findings = check("stack", deployed(table(tables_protected), protected=protected))
    assert statuses(findings) == [("state", Status.PASS), ("protection", expected)]


def test_a_failed_deployment_fails() -> None:
    findings = check("stack", deployed(protected=True, status="UPDATE_ROLLBACK_COMPLETE"))
    assert statuses(findings)[0] == ("state", Status.FAIL)


def test_recovery_without_a_reported_period_is_skipped_and_without_recovery_fails() -> None:
    keys = [{"AttributeName": name} for name in parts.DEVICE_STATE_KEYS]
    recovery = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 35}
    resource = Resource(
        parts.TABLES[1], "state", {"KeySchema": keys, "PointInTimeRecoverySpecification": recovery}
    )

    def run(**description: Any) -> list[tuple[str, Status]]:
        backups = {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": description}}
        client = Service(
            describe_table={"Table": {"TableStatus": "ACTIVE"}},
            describe_continuous_backups=backups,
            describe_time_to_live={"TimeToLiveDescription": {}},
        )
        return statuses(check("device state table", deployed(resource), dynamodb=client))[1:]

    on = {"PointInTimeRecoveryStatus": "ENABLED"}
    assert run(**on, RecoveryPeriodInDays=35) == [("settings", Status.PASS)]
    assert run(**on, RecoveryPeriodInDays=7) == [("settings", Status.FAIL)]
    assert run(**on) == [("settings", Status.PASS), ("settings", Status.SKIPPED)]
    assert run(PointInTimeRecoveryStatus="DISABLED") == [("settings", Status.FAIL)]


def cloudwatch(response: Any) -> dict[str, Any]:
    return {"cloudwatch": Service(describe_alarms=response)}


def test_an_alarm_with_an_expression_is_compared_like_the_others() -> None:
    data = json.dumps({"recentDatapoints": [0.5]})
    findings = check("alarm", deployed(ALERTS, ALARM), **cloudwatch(alarm(StateReasonData=data)))
    passed = [("state", Status.PASS), ("data", Status.PASS), ("settings", Status.PASS)]
    assert statuses(findings) == passed
    assert findings[0].text == "OK"


@pytest.mark.parametrize("data", [None, "{}", '{"recentDatapoints": []}', "not JSON"])
def test_an_alarm_without_data_says_so(data: str | None) -> None:
    response = alarm() if data is None else alarm(StateReasonData=data)
    findings = check("alarm", deployed(ALERTS, ALARM), **cloudwatch(response))
    assert statuses(findings)[1] == ("data", Status.SKIPPED)


@pytest.mark.parametrize(
    "changes",
    [
        {"ActionsEnabled": False},
        {"AlarmActions": []},
        {"Threshold": 2.0},
        {"Metrics": [{"Id": "m", "Expression": "a*b"}]},
    ],
)
def test_an_alarm_that_was_changed_fails(changes: dict[str, Any]) -> None:
    findings = check("alarm", deployed(ALERTS, ALARM), **cloudwatch(alarm(**changes)))
    assert statuses(findings)[-1] == ("settings", Status.FAIL)


def test_a_composite_alarm_is_found_by_the_name_in_its_arn() -> None:
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:health"
    resource = Resource(parts.COMPOSITE_ALARM, arn, {"AlarmRule": UNRESOLVED})
    found = {"StateValue": "OK", "ActionsEnabled": True, "AlarmRule": "ALARM(a)"}
    services = cloudwatch({"CompositeAlarms": [found]})
    findings = check("alarm", deployed(resource), **services)
    assert statuses(findings) == [("state", Status.PASS), ("settings", Status.PASS)]
    (request,) = services["cloudwatch"].made("describe_alarms")
    assert request == {"AlarmNames": ["health"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}


def sns(*subscriptions: tuple[str, str, str], missing: bool = False) -> dict[str, Any]:
    listed = [
        {"Protocol": protocol, "Endpoint": endpoint, "SubscriptionArn": arn}
        for protocol, endpoint, arn in subscriptions
    ]
    error = aws_error("NotFound")
    return {
        "sns": Service(
            get_topic_attributes=error if missing else {"Attributes": {}},
            list_subscriptions_by_topic=error if missing else {"Subscriptions": listed},
        )
    }


EMAIL = ("email", "ops@example.com", f"{TOPIC}:1")
PENDING = ("email", "new@example.com", "PendingConfirmation")


@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        ([], Status.FAIL),
        ([PENDING], Status.FAIL),
        ([EMAIL], Status.PASS),
        ([PENDING, EMAIL], Status.PASS),
    ],
)
def test_an_alarm_topic_needs_a_confirmed_subscription(
    subscriptions: list[tuple[str, str, str]], expected: Status
) -> None:
    findings = check("alarm topic", deployed(ALERTS, ALARM), **sns(*subscriptions))
    assert statuses(findings) == [("exists", Status.PASS), ("subscription", expected)]
    if subscriptions == [PENDING]:
        assert "confirm the email" in findings[1].cause


@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        ([("email", "ops@example.com", "x")], ("subscription", Status.PASS)),
        ([("email", "ops@example.com", "PendingConfirmation")], ("subscription", Status.FAIL)),
        ([("sms", "ops@example.com", "x")], ("subscription", Status.FAIL)),
        ([PENDING], ("subscription", Status.FAIL)),
    ],
)
def test_a_subscription_of_the_template_is_there_and_confirmed(
    subscriptions: list[tuple[str, str, str]], expected: tuple[str, Status]
) -> None:
    properties = {"TopicArn": ALERTS.reference, "Protocol": "email", "Endpoint": "ops@example.com"}
    stacks = deployed(
        ALERTS, ALARM, Resource(parts.SUBSCRIPTION, "PendingConfirmation", properties)
    )
    findings = check("subscription", stacks, **sns(*subscriptions))
    assert statuses(findings) == [expected]
    # Messages pass without an e-mail.
    assert blocking(findings) == []
    # The alarm topic does not report it a second time.
    assert statuses(check("alarm topic", stacks, **sns(*subscriptions))) == [
        ("exists", Status.PASS)
    ]


def test_a_missing_topic_is_not_reported_by_its_subscription() -> None:
    properties = {"TopicArn": ALERTS.reference, "Protocol": "sqs", "Endpoint": Reference("dlq")}
    stacks = deployed(ALERTS, Resource(parts.SUBSCRIPTION, "x", properties))
    assert statuses(check("subscription", stacks, **sns(missing=True))) == [
        ("exists", Status.SKIPPED)
    ]


def test_without_the_subscription_of_the_queue_nothing_is_published() -> None:
    properties = {"TopicArn": ALERTS.reference, "Protocol": "sqs", "Endpoint": Reference("dlq")}
    stacks = deployed(ALERTS, Resource(parts.SUBSCRIPTION, "x", properties))
    assert len(blocking(check("subscription", stacks, **sns()))) == 1
    found = sns(("sqs", f"arn:aws:sqs:{REGION}:{ACCOUNT}:dlq", "x"))
    assert statuses(check("subscription", stacks, **found)) == [("subscription", Status.PASS)]


def test_topics_of_alarms_outside_of_the_stacks_are_looked_at_in_their_region() -> None:
    def watching(topic: str) -> Deployed:
        return deployed(Resource(parts.ALARM, "errors", {"AlarmActions": [topic]}))

    assert statuses(check("alarm topic", watching(TOPIC), **sns(missing=True))) == [
        ("exists", Status.FAIL)
    ]
    elsewhere = TOPIC.replace(REGION, "us-east-1")
    assert statuses(check("alarm topic", watching(elsewhere))) == [("exists", Status.SKIPPED)]


def test_a_disabled_rule_fails_unless_the_template_says_so() -> None:
    def run(in_template: bool) -> list[tuple[str, Status]]:
        payload = {"Sql": "SELECT * FROM 'a'", "RuleDisabled": in_template}
        rule = Resource(parts.RULE, "telemetry", {"TopicRulePayload": payload})
        found = {"rule": {"sql": "SELECT * FROM 'a'", "ruleDisabled": True, "actions": []}}
        return statuses(check("rule", deployed(rule), iot=Service(get_topic_rule=found)))

    assert run(False) == [("state", Status.FAIL), ("settings", Status.PASS)]
    assert run(True) == [("state", Status.PASS), ("settings", Status.PASS)]


@pytest.mark.parametrize(
    ("state", "update", "expected"),
    [
        ("Active", "Successful", [Status.PASS]),
        ("Inactive", "Successful", [Status.PASS]),
        ("Pending", "Successful", [Status.FAIL]),
        ("Active", "Failed", [Status.PASS, Status.FAIL]),
    ],
)
def test_a_function_can_be_invoked(state: str, update: str, expected: list[Status]) -> None:
    mapping = Resource(parts.MAPPING, "m", {"FunctionName": Reference("processor")})
    function = Resource(parts.FUNCTION, "processor", {"Timeout": 60})
    provider = Resource(parts.FUNCTION, "custom-resource-provider", {})
    found = {"State": state, "LastUpdateStatus": update, "Timeout": 60}
    client = Service(get_function_configuration=found)
    findings = check("function", deployed(provider, mapping, function), lambda_=client)
    assert [each.status for each in findings if each.check == "state"] == expected
    assert {each.resource for each in findings} == {"processor"}


def test_every_fail_has_a_page_of_aws() -> None:
    assert all(part.page.startswith("https://docs.aws.amazon.com/") for part in parts.PARTS)
