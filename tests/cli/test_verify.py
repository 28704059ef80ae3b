"""The decisions of ``verify``: what is compared, what a message that did not arrive means, what is removed.

tests/e2e/test_verify.py runs the command on the emulator.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest

from iot_constructs.cli.dead_letter_messages import parse_dead_letter
from iot_constructs.cli.main import main
from iot_constructs.cli.progress import Progress
from iot_constructs.cli.verification import arrivals, messages, paging, parts
from iot_constructs.cli.verification.archived import ArchiveReader, prefixes
from iot_constructs.cli.verification.findings import Finding, Report, Status
from iot_constructs.cli.verification.messages import (
    Archive,
    MarkedMessages,
    NoTopicError,
    Route,
    Seen,
    topic_of,
)
from iot_constructs.cli.verification.permissions import policy
from iot_constructs.cli.verification.route import NoRouteError, find_route
from iot_constructs.cli.verification.run import Verification, blocking
from iot_constructs.cli.verification.settings import compare, is_equal
from iot_constructs.cli.verification.stacks import (
    UNRESOLVED,
    Deployed,
    Reference,
    Resource,
    Stack,
    StackError,
    read_stacks,
)

from .aws_fakes import (
    ACCOUNT,
    NOW,
    QUEUE_URL,
    Calls,
    Clock,
    FakeSQS,
    OnShard,
    async_failure,
    aws_error,
    failed_batch,
    kinesis_event,
    rejected,
    rule_error,
)

REGION = "eu-central-1"
DEVICE = "iot-constructs-verify-0123456789ab"
BAD = f"{DEVICE}/not-a-reading".encode()
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"


class Service:
    """A client whose calls return the given responses, or raise the given errors."""

    def __init__(self, **responses: Any) -> None:
        self.responses = responses
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.meta = self
        self.region_name = REGION
        self.endpoint_url = "https://127.0.0.1"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            self.calls.append((name, request))
            response = self.responses[name]
            response = response(**request) if callable(response) else response
            if isinstance(response, BaseException):
                raise response
            return response

        return call

    def get_paginator(self, name: str) -> Any:
        service = self

        class Paginator:
            def paginate(self, **request: Any) -> Iterator[Any]:
                yield getattr(service, name)(**request)

        return Paginator()

    def made(self, name: str) -> list[dict[str, Any]]:
        return [request for called, request in self.calls if called == name]


class Clients:
    def __init__(self, **services: Any) -> None:
        self.services = services
        self.endpoints: list[tuple[str, str | None]] = []

    def create(self, service: str, endpoint_url: str | None = None) -> Any:
        self.endpoints.append((service, endpoint_url))
        return self.services[service.replace("-", "_").replace("lambda", "lambda_")]


def deployed(
    *resources: Resource, protected: bool = False, status: str = "CREATE_COMPLETE"
) -> Deployed:
    return Deployed((Stack("Telemetry-prod", status, protected, resources),), REGION)


def check(part: str, stacks: Deployed, **services: Any) -> list[Finding]:
    (found,) = (each for each in parts.PARTS if each.name == part)
    return list(found.verify(stacks, Clients(**services)))


def statuses(findings: list[Finding]) -> list[tuple[str, Status]]:
    return [(each.check, each.status) for each in findings]


# --- stacks ------------------------------------------------------------------------------------------------------


def cloudformation(templates: dict[str, Any], exports: dict[str, str] | None = None) -> Service:
    """Return a CloudFormation whose stacks have these templates; physical ids are the logical ones in lower case."""
    types = {
        "Topic": "arn:aws:sns:eu-central-1:123456789012:topic",
        "Nested": "arn:aws:…:stack/Inner/1",
    }

    def stack(StackName: str) -> Any:  # noqa: N803
        arn = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{StackName}/1"
        return {
            "Stacks": [{"StackId": arn, "StackName": StackName, "StackStatus": "CREATE_COMPLETE"}]
        }

    def resources(StackName: str) -> Any:  # noqa: N803
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": types.get(name, name.lower()),
                    "ResourceStatus": each.get("Status", "CREATE_COMPLETE"),
                }
                for name, each in templates[StackName]["Resources"].items()
            ]
        }

    return Service(
        describe_stacks=stack,
        get_template=lambda **request: {"TemplateBody": templates[request["StackName"]]},
        list_stack_resources=resources,
        list_exports={"Exports": [{"Name": n, "Value": v} for n, v in (exports or {}).items()]},
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


# --- settings ----------------------------------------------------------------------------------------------------


def test_settings_are_equal_different_or_not_reported() -> None:
    wanted = {"A": 1, "B": [2, 3], "C": None, "D": 4, "E": UNRESOLVED, "F": Reference("k"), "G": 7}
    found = {"A": 1.0, "B": [3, 2], "C": 9, "D": 5, "E": 6, "F": "arn:key/k"}
    result = compare(wanted, found)
    assert result.equal == ("A", "B", "F")
    assert result.different == ("D is 5, in the template 4",)
    assert result.unreported == ("E", "G")


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
    ],
)
def test_a_deployed_value_can_have_more_members_and_another_type(
    wanted: Any, found: Any, expected: bool
) -> None:
    assert is_equal(wanted, found) is expected


# --- parts -------------------------------------------------------------------------------------------------------

STREAM = Resource(parts.STREAM, "readings", {"RetentionPeriodHours": 168})


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


def table(protection: bool) -> Resource:
    replica = {"Region": REGION, "DeletionProtectionEnabled": protection}
    other = {"Region": "eu-west-1", "DeletionProtectionEnabled": not protection}
    keys = [{"AttributeName": name} for name in parts.TIME_SERIES_KEYS]
    return Resource(parts.TABLES[0], "metrics", {"KeySchema": keys, "Replicas": [other, replica]})


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


ALERTS = Resource(parts.TOPIC, TOPIC, {})
ALARM = Resource(
    parts.ALARM,
    "errors",
    {
        "Threshold": 1,
        "AlarmActions": [ALERTS.reference],
        "Metrics": [{"Id": "m", "Expression": "a/b"}],
    },
)


def alarm(**changes: Any) -> dict[str, Any]:
    found = {"AlarmName": "errors", "StateValue": "OK", "ActionsEnabled": True, "Threshold": 1.0}
    metrics = [{"Id": "m", "Expression": "a/b", "ReturnData": True}]
    return {"MetricAlarms": [{**found, "AlarmActions": [TOPIC], "Metrics": metrics, **changes}]}


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
        assert "confirm the e-mail" in findings[1].cause


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


# --- topics and routes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic_filter", "key", "expected"),
    [
        ("device/+/telemetry", "${topic(2)}", "device/me/telemetry"),
        ("device/+/telemetry", "${newuuid()}", "device/me/telemetry"),
        ("plant/+/device/+", "${topic(4)}", "plant/verify/device/me"),
        ("device/#", "${topic(2)}", "device/me"),
    ],
)
def test_the_device_id_is_where_the_rule_takes_it_from(
    topic_filter: str, key: str, expected: str
) -> None:
    assert topic_of(f"SELECT * FROM '{topic_filter}' WHERE true", key, "me") == expected


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        ("SELECT * FROM 'device/pump-1/telemetry'", "${topic(2)}"),
        ("SELECT * FROM 'device/+/telemetry'", "${topic(3)}"),
        ("SELECT * FROM 'device/+'", "${topic(4)}"),
        ("SELECT * FROM 'device/pump-1'", "${newuuid()}"),
        ("SELECT 1", "${topic(2)}"),
    ],
)
def test_it_never_publishes_as_an_existing_device(sql: str, key: str) -> None:
    with pytest.raises(NoTopicError):
        topic_of(sql, key, "me")


RULE = Resource(parts.RULE, "telemetry", {})
QUEUE = Resource(parts.QUEUE, QUEUE_URL, {})
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE_URL.rsplit('/', 1)[-1]}"
KINESIS_RULE = {
    "sql": "SELECT * FROM 'device/+/telemetry'",
    "actions": [{"kinesis": {"streamName": "readings", "partitionKey": "${topic(2)}"}}],
    "errorAction": {"sns": {"targetArn": TOPIC}},
}


def route_of(
    *resources: Resource,
    rule: str | None = None,
    mapping_state: str = "Enabled",
    rule_disabled: bool = False,
) -> Route:
    deployed_rule = {**KINESIS_RULE, "ruleDisabled": rule_disabled}
    subscription = {"Protocol": "sqs", "Endpoint": QUEUE_ARN}
    mapping = {
        "UUID": "m",
        "EventSourceArn": "arn:stream/readings",
        "FunctionArn": "arn:function:f",
        "State": mapping_state,
    }
    clients = Clients(
        iot=Service(get_topic_rule={"rule": deployed_rule}),
        lambda_=Service(get_event_source_mapping=mapping),
        sns=Service(list_subscriptions_by_topic={"Subscriptions": [subscription]}),
    )
    return find_route(clients, deployed(*resources), DEVICE, rule)


def with_keys(name: str) -> Resource:
    return replace(table(False), physical_id=name)


def test_the_route_is_read_from_the_deployed_rule() -> None:
    bucket = Resource(parts.BUCKET, "archive", {})
    delivery = {
        "KinesisStreamSourceConfiguration": {"KinesisStreamARN": Reference("readings")},
        "ExtendedS3DestinationConfiguration": {
            "BucketARN": Reference("archive"),
            "Prefix": "telemetry/",
        },
    }
    archive = Resource(parts.DELIVERY_STREAM, "delivery", delivery)
    mapping = Resource(parts.MAPPING, "m", {})
    found = route_of(RULE, QUEUE, STREAM, bucket, archive, mapping, table(False))
    assert found == Route(
        rule="telemetry",
        topic=f"device/{DEVICE}/telemetry",
        stream="readings",
        key_is_device_id=True,
        mapping="m",
        time_series="metrics",
        device_state=None,
        queue_url=QUEUE_URL,
        archive=Archive("delivery", "archive", "telemetry/", 300, None),
    )


def test_of_several_rules_one_is_chosen() -> None:
    other = Resource(parts.RULE, "other", {})
    with pytest.raises(NoRouteError, match="telemetry, other; choose one with --rule"):
        route_of(RULE, other)
    assert route_of(RULE, other, rule="other").rule == "other"
    with pytest.raises(NoRouteError, match="no rule nope"):
        route_of(RULE, rule="nope")
    with pytest.raises(NoRouteError, match="no rule"):
        route_of()


def test_of_several_tables_the_one_of_the_function_is_taken() -> None:
    variables = {"TABLE": Reference("second")}
    function = Resource(parts.FUNCTION, "f", {"Environment": {"Variables": variables}})
    two = [with_keys("first"), with_keys("second")]
    mapping = Resource(parts.MAPPING, "m", {})
    assert route_of(RULE, mapping, function, *two).time_series == "second"
    assert route_of(RULE, mapping, *two).time_series is None


def test_a_part_that_the_template_disables_takes_no_messages() -> None:
    with pytest.raises(NoRouteError, match="rule telemetry is disabled"):
        route_of(RULE, rule_disabled=True)
    with pytest.raises(NoRouteError, match="mapping is disabled"):
        route_of(RULE, Resource(parts.MAPPING, "m", {}), mapping_state="Disabled")


@pytest.mark.parametrize(
    ("enabled", "state", "expected"),
    [
        (None, "Enabled", Status.PASS),
        (True, "Disabled", Status.FAIL),
        (None, "Updating", Status.FAIL),
        (False, "Disabled", Status.PASS),
    ],
)
def test_a_mapping_is_enabled_unless_the_template_says_otherwise(
    enabled: bool | None, state: str, expected: Status
) -> None:
    mapping = Resource(parts.MAPPING, "m", {"Enabled": enabled})
    client = Service(get_event_source_mapping={"State": state})
    found = check("event source mapping", deployed(mapping), lambda_=client)
    assert statuses(found) == [("state", expected)]


def test_a_queue_that_counts_receives_is_left_alone() -> None:
    counted = replace(QUEUE, properties={"RedrivePolicy": {"maxReceiveCount": 3}})
    assert route_of(RULE, counted).queue_url is None


# --- arrivals ----------------------------------------------------------------------------------------------------

ROUTE = Route(
    rule="telemetry",
    topic=f"device/{DEVICE}/telemetry",
    stream="readings",
    key_is_device_id=True,
    mapping="m",
    time_series="metrics",
    device_state="state",
    queue_url=QUEUE_URL,
    archive=Archive("delivery", "archive", "telemetry/", 300, None),
)
MARKS = {b"1", b"2", b"3", BAD}


def letter(body: object) -> Any:
    return parse_dead_letter(json.dumps(body))


def bad_letter(data: bytes = BAD + b" is not JSON") -> Any:
    return letter(rejected(OnShard("7", DEVICE, data, NOW)))


def arrived(**changes: Any) -> Seen:
    seen = Seen(set(MARKS), 3, True, [bad_letter()], dict.fromkeys(MARKS, "telemetry/1"))
    return replace(seen, **changes)


def judged(seen: Seen, route: Route = ROUTE, seconds: float = 1000) -> dict[str, Finding]:
    return {each.part: each for each in arrivals.judge(route, seen, BAD, seconds)}


def failing(findings: dict[str, Finding]) -> list[str]:
    return [part for part, each in findings.items() if each.status is Status.FAIL]


def test_when_everything_arrived_every_part_passes() -> None:
    assert {each.status for each in judged(arrived()).values()} == {Status.PASS}


@pytest.mark.parametrize(
    ("seen", "part", "skipped"),
    [
        (
            {"on_stream": set(), "stored": 0, "has_state": False, "letters": [], "archived": {}},
            "rule",
            5,
        ),
        ({"stored": 0, "has_state": False, "letters": []}, "event source mapping", 3),
        ({"stored": 0, "has_state": False, "letters": [bad_letter()]}, "time series table", 1),
        ({"stored": 2}, "time series table", 0),
        ({"has_state": False, "letters": []}, "device state table", 1),
        ({"letters": []}, "queue", 0),
        ({"archived": {}}, "archive", 0),
    ],
)
def test_the_first_part_that_a_message_did_not_pass_fails(
    seen: dict[str, Any], part: str, skipped: int
) -> None:
    findings = judged(arrived(**seen))
    assert failing(findings) == [part]
    assert findings[part].cause
    assert findings[part].page.startswith("https://docs.aws.amazon.com/")
    assert sum(each.status is Status.SKIPPED for each in findings.values()) == skipped


def test_the_archive_reads_the_stream_by_itself() -> None:
    seen = arrived(stored=0, has_state=False, letters=[], archived={})
    assert failing(judged(seen)) == ["event source mapping", "archive"]


def test_an_error_of_the_rule_is_no_sign_of_the_function() -> None:
    error = letter(rule_error(ROUTE.topic, BAD))
    seen = arrived(stored=0, has_state=False, letters=[error])
    assert failing(judged(seen)) == ["event source mapping"]


def test_the_causes_have_what_the_messages_say() -> None:
    error = letter(rule_error(f"device/{DEVICE}/telemetry", BAD))
    seen = arrived(on_stream=set(), stored=0, has_state=False, letters=[error], archived={})
    assert "the rule's error action reports: " in judged(seen)["rule"].cause
    late = arrived(stored=0, has_state=False, letters=[], processing_result="PROBLEM: Throttled")
    assert "PROBLEM: Throttled" in judged(late)["event source mapping"].cause
    reading = bad_letter(b'{"verify": "1"}')
    wrong = arrived(stored=0, has_state=False, letters=[reading, bad_letter()])
    assert "--reading" in judged(wrong)["time series table"].cause
    assert "--reading" not in judged(arrived(stored=0))["time series table"].cause


def test_the_bad_message_of_a_function_that_only_fails_arrives_without_its_payload() -> None:
    batch = letter(failed_batch("7", "7", 1))
    assert "position on the stream" in judged(arrived(letters=[batch]))["queue"].text
    # A dead letter of a reading is not the bad message.
    assert failing(judged(arrived(letters=[bad_letter(b"{}")]))) == ["queue"]


def test_what_the_stacks_do_not_have_is_skipped() -> None:
    route = replace(ROUTE, mapping=None, time_series=None, device_state=None)
    route = replace(route, queue_url=None, archive=None)
    findings = judged(Seen(on_stream=set(MARKS)), route)
    assert findings.pop("rule").status is Status.PASS
    assert {each.status for each in findings.values()} == {Status.SKIPPED}


def test_the_archive_is_not_judged_before_its_buffering_interval() -> None:
    early = judged(arrived(archived={}), seconds=120)["archive"]
    assert early.status is Status.SKIPPED
    assert "the buffering interval is 300 s; run again with --timeout 420" in early.text
    assert judged(arrived(), seconds=120)["archive"].status is Status.PASS
    assert judged(arrived(archived={}), seconds=420)["archive"].status is Status.FAIL
    archive = Archive("delivery", "archive", "", 60, "its objects are in a column format")
    columns = judged(arrived(archived={}), replace(ROUTE, archive=archive))["archive"]
    assert (columns.status, "column format" in columns.text) == (Status.SKIPPED, True)


def test_a_long_queue_is_skipped() -> None:
    found = judged(arrived(letters=[], queue_too_long=True))["queue"]
    assert (found.status, "redrive them first" in found.text) == (Status.SKIPPED, True)


# --- messages ----------------------------------------------------------------------------------------------------


class Table:
    """A table with the items of one key attribute."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def query(self, **request: Any) -> dict[str, Any]:
        device = request["ExpressionAttributeValues"][":device"]
        assert request["KeyConditionExpression"] == "deviceId = :device"
        return {"Items": [each for each in self.items if each["deviceId"] == device]}


class World:
    """What a run of messages needs, with the messages already where they go."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sqs = FakeSQS(Calls(self.clock))
        self.tables = {"metrics": Table(), "state": Table()}
        self.published: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.dynamodb = Service(
            query=lambda **request: self.tables[request["TableName"]].query(**request),
            delete_item=self._delete,
        )
        self.iot_data = Service(publish=self._publish)
        self.kinesis = Service(
            list_shards={"Shards": shards(2)},
            get_shard_iterator=lambda **request: {"ShardIterator": request["ShardId"]},
            get_records=lambda **request: {
                "Records": self.records,
                "NextShardIterator": request["ShardIterator"],
            },
        )
        self.lambda_ = Service(get_event_source_mapping={"LastProcessingResult": "OK"})

    def _publish(self, **request: Any) -> dict[str, Any]:
        self.published.append(request)
        number = str(len(self.published))
        self.records.append({"Data": request["payload"], "SequenceNumber": number})
        return {}

    def _delete(self, TableName: str, Key: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        items = self.tables[TableName].items
        items[:] = [each for each in items if any(each[name] != Key[name] for name in Key)]
        return {}

    def process(self, device: str = DEVICE) -> None:
        """Store three readings and dead-letter the bad message."""
        name = {"deviceId": {"S": device}}
        self.tables["metrics"].items += [{**name, "timestamp": {"N": str(n)}} for n in range(3)]
        self.tables["state"].items.append(name)
        self.sqs.send(
            rejected(OnShard("4", device, BAD.replace(DEVICE.encode(), device.encode()), NOW))
        )

    def run(self, **changes: Any) -> MarkedMessages:
        clients = Clients(
            sqs=self.sqs,
            dynamodb=self.dynamodb,
            iot_data=self.iot_data,
            kinesis=self.kinesis,
            lambda_=self.lambda_,
        )
        route = replace(ROUTE, archive=None, **changes)
        return MarkedMessages(
            clients, route, DEVICE, {"temperature": 21}, clock=self.clock, sleep=self.clock.sleep
        )


def shards(count: int) -> list[dict[str, Any]]:
    size = 2**128 // count
    return [
        {
            "ShardId": f"shard-{n}",
            "HashKeyRange": {
                "StartingHashKey": str(n * size),
                "EndingHashKey": str((n + 1) * size - 1),
            },
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }
        for n in range(count)
    ]


class Quiet:
    def write(self, text: str, /) -> None:
        pass

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def progress() -> Progress:
    return Progress(Quiet(), 0)


def test_readings_are_marked_and_the_bad_message_is_not_json() -> None:
    world = World()
    world.run().publish()
    assert {each["topic"] for each in world.published} == {ROUTE.topic}
    *readings, bad = [each["payload"] for each in world.published]
    documents = [json.loads(reading) for reading in readings]
    assert [each["deviceId"] for each in documents] == [DEVICE] * 3
    assert [each["temperature"] for each in documents] == [21] * 3
    assert [each["timestamp"] for each in documents] == [int(NOW * 1000) + n for n in range(3)]
    with pytest.raises(ValueError):
        json.loads(bad)
    assert bad.startswith(BAD)


def test_everything_is_seen_and_the_own_items_and_letters_are_removed() -> None:
    world = World()
    run = world.run()
    stranger = world.sqs.send({"kind": "unknown"}, "stranger")
    world.process("pump-1")
    others = [list(each.items) for each in world.tables.values()]
    run.publish()
    world.process()
    run.wait(60, progress())
    assert run.seen == Seen(set(run.marks), 3, True, run.seen.letters, {}, "OK")
    assert len(run.seen.letters) == 1
    assert run.remove()[0] == f"removed of {DEVICE}: items 4, dead letters 1."
    assert [each.items for each in world.tables.values()] == others
    # The other messages are visible, and were deleted by nobody.
    assert set(world.sqs.visible()) == {stranger, "message-0002"}
    assert world.sqs.deleted == ["message-0003"]


def test_the_wait_ends_with_the_last_arrival_or_the_timeout() -> None:
    world = World()
    run = world.run()
    run.publish()
    began = world.clock.now
    run.wait(30, progress())
    assert 30 <= world.clock.now - began < 40
    world.process()
    began = world.clock.now
    run.wait(30, progress())
    assert world.clock.now - began < 10


def test_a_batch_is_removed_only_if_it_is_the_record_of_the_run() -> None:
    world = World()
    run = world.run()
    run.publish()
    world.sqs.send(failed_batch("4", "4", 1), "own")
    world.sqs.send(failed_batch("3", "4", 2), "with-neighbors")
    world.sqs.send(failed_batch("99", "99", 1), "other")
    run.wait(5, progress())
    assert world.sqs.deleted == ["own"]


def test_a_letter_with_another_record_is_not_removed() -> None:
    world = World()
    run = world.run()
    own, other = OnShard("4", DEVICE, BAD, NOW), OnShard("5", "pump-1", b"of another device", NOW)
    world.sqs.send(async_failure(kinesis_event(own)), "own")
    world.sqs.send(async_failure(kinesis_event(own, other)), "both")
    world.sqs.send(async_failure(kinesis_event(other)), "other")
    run.wait(5, progress())
    assert world.sqs.deleted == ["own"]
    assert len(run.seen.letters) == 1


def test_late_letters_are_removed_at_the_end_and_later_ones_are_announced() -> None:
    world = World()
    run = world.run()
    run.publish()
    run.wait(3, progress())
    assert run.seen.letters == []
    world.process()
    notes = run.remove()
    assert notes[0].endswith("items 4, dead letters 1.")
    assert any("later" in note for note in notes)


def test_a_long_queue_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_DEAD_LETTERS", 20)
    world = World()
    for _ in range(50):
        world.sqs.send({"kind": "unknown"})
    run = world.run()
    run.wait(0, progress())
    assert run.seen.queue_too_long
    assert sum(each.receives for each in world.sqs.messages.values()) == 20
    assert len(world.sqs.visible()) == 50


def test_only_the_shard_of_the_device_is_read() -> None:
    world = World()
    world.run().publish()
    (one,) = world.kinesis.made("get_shard_iterator")
    assert one["ShardIteratorType"] == "LATEST"
    # md5(DEVICE) is in the half of the key space that starts with this digit.
    digest = hashlib.md5(DEVICE.encode()).hexdigest()
    assert one["ShardId"] == ("shard-0" if digest[0] in "01234567" else "shard-1")
    world.kinesis.calls.clear()
    world.run(key_is_device_id=False).publish()
    assert len(world.kinesis.made("get_shard_iterator")) == 2


def test_closed_shards_are_not_read() -> None:
    world = World()
    for shard in world.kinesis.responses["list_shards"]["Shards"]:
        shard["SequenceNumberRange"]["EndingSequenceNumber"] = "2"
    world.run().publish()
    assert world.kinesis.made("get_shard_iterator") == []


def test_it_publishes_at_the_endpoint_of_the_account() -> None:
    world = World()
    run = world.run()
    world.iot_data.endpoint_url = f"https://data-ats.iot.{REGION}.amazonaws.com"
    clients = run._clients
    assert isinstance(clients, Clients)
    address = {"endpointAddress": "abc-ats.iot.eu-central-1.amazonaws.com"}
    clients.services["iot"] = Service(describe_endpoint=address)
    run.publish()
    assert ("iot-data", f"https://{address['endpointAddress']}") in clients.endpoints
    assert clients.services["iot"].made("describe_endpoint") == [{"endpointType": "iot:Data-ATS"}]


# --- archive -----------------------------------------------------------------------------------------------------

NOON = datetime(2026, 5, 1, 11, 59, tzinfo=timezone.utc)


def test_prefixes_are_those_of_each_hour_and_end_at_unknown_expressions() -> None:
    template = "telemetry/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
    found = prefixes(template, NOON, NOON + timedelta(minutes=2))
    day = "telemetry/year=2026/month=05/day=01/"
    assert found[:2] == [f"{day}hour=11/", f"{day}hour=12/"]
    assert prefixes("raw/!{firehose:random-string}/x", NOON, NOON) == ["raw/"]
    assert prefixes("raw/!{timestamp:yyyy-MM}/", NOON, NOON) == ["raw/"]
    assert prefixes("", NOON, NOON) == [""]


def test_marks_are_found_in_new_objects_only_and_each_object_is_read_once() -> None:
    objects = {
        "old": (NOON - timedelta(hours=1), b"mark-1"),
        "plain": (NOON, b"a mark-1 b"),
        "gzip": (NOON, gzip.compress(b"mark-2")),
    }
    s3 = Service(
        list_objects_v2={
            "Contents": [{"Key": key, "LastModified": time} for key, (time, _) in objects.items()]
        },
        get_object=lambda **request: {"Body": io.BytesIO(objects[request["Key"]][1])},
    )
    reader = ArchiveReader(s3, "archive", "raw/")
    found = dict(reader.find([b"mark-1", b"mark-2", b"mark-3"], NOON, NOON))
    assert found == {b"mark-1": "plain", b"mark-2": "gzip"}
    assert dict(reader.find([b"mark-1"], NOON, NOON)) == {}
    assert {each["Key"] for each in s3.made("get_object")} == {"plain", "gzip"}


# --- page --------------------------------------------------------------------------------------------------------


def paged(bodies: list[str], state: str = "OK") -> tuple[list[Finding], Clients]:
    clock = Clock()
    found = {**alarm(StateValue=state)["MetricAlarms"][0]}

    def receive(**request: Any) -> dict[str, Any]:
        clock.now += request["WaitTimeSeconds"]
        return {"Messages": [{"Body": body} for body in bodies]}

    clients = Clients(
        cloudwatch=Service(describe_alarms={"MetricAlarms": [found]}, set_alarm_state={}),
        sns=Service(subscribe={"SubscriptionArn": "s"}, unsubscribe={}),
        sqs=Service(create_queue={"QueueUrl": "q"}, receive_message=receive, delete_queue={}),
    )
    findings = list(paging.page(clients, deployed(ALERTS, ALARM), "temporary", 30, clock=clock))
    return findings, clients


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [(['{"AlarmName": "errors"}'], Status.PASS), ([], Status.FAIL), (["other"], Status.FAIL)],
)
def test_a_page_passes_with_its_message_and_cleans_up(bodies: list[str], expected: Status) -> None:
    (finding,), clients = paged(bodies)
    assert finding.status is expected
    states = [each["StateValue"] for each in clients.services["cloudwatch"].made("set_alarm_state")]
    assert states == ["ALARM", "OK"]
    assert clients.services["sns"].made("unsubscribe") == [{"SubscriptionArn": "s"}]
    assert clients.services["sqs"].made("delete_queue") == [{"QueueUrl": "q"}]


def test_an_alarm_that_is_in_alarm_is_left_alone() -> None:
    (finding,), clients = paged([], state="ALARM")
    assert finding.status is Status.SKIPPED
    assert clients.services["cloudwatch"].made("set_alarm_state") == []


# --- the command -------------------------------------------------------------------------------------------------


def finding(status: Status, part: str = "stream", text: str = "text") -> Finding:
    return Finding(
        part, "readings", "state", status, text, "because", "https://docs.aws.amazon.com/x"
    )


def test_the_exit_code_is_1_only_with_a_fail_or_an_error() -> None:
    report = Report(["S"], DEVICE, [finding(Status.PASS), finding(Status.SKIPPED)])
    assert report.exit_code == 0
    assert replace(report, error="no").exit_code == 1
    assert replace(report, findings=[*report.findings, finding(Status.FAIL)]).exit_code == 1


def test_the_table_groups_equal_rows_and_explains_each_fail() -> None:
    passed = finding(Status.PASS, "alarm")
    findings = [passed, replace(passed, resource="b"), replace(passed, resource="c")]
    findings.append(finding(Status.FAIL, text="bad\x1b[31m"))
    lines = list(Report(["S"], DEVICE, findings, ["a note."]).as_table())
    assert lines[0].split() == ["PASS", "alarm", "readings", "and", "2", "more", "state", "text"]
    assert "FAIL stream readings: bad?[31m" in lines
    assert "  cause: because" in lines
    assert "  page:  https://docs.aws.amazon.com/x" in lines
    assert lines[-2:] == ["3 PASS, 1 FAIL, 0 SKIPPED", "a note."]


def test_the_json_document_has_every_finding() -> None:
    document = json.loads(Report(["S"], DEVICE, [finding(Status.FAIL)]).as_json())
    assert (document["passed"], document["failed"], document["skipped"]) == (0, 1, 0)
    assert document["findings"][0]["status"] == "FAIL"


def command(monkeypatch: pytest.MonkeyPatch, work: Callable[[Verification], None]) -> None:
    monkeypatch.setattr(boto3, "Session", lambda **settings: None)
    monkeypatch.setattr(Verification, "run", work)


def test_an_error_of_aws_or_of_a_stack_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (aws_error("ValidationError", "Stack S does not exist"), StackError("not JSON")):

        def fail(self: Verification, error: Exception = error) -> None:
            raise error

        command(monkeypatch, fail)
        assert main(["verify", "S"]) == 1
        assert "error: " in capsys.readouterr().err


def test_an_interrupted_run_reports_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: Verification) -> None:
        self._report.findings.append(finding(Status.PASS))
        raise KeyboardInterrupt

    command(monkeypatch, stop)
    assert main(["verify", "S", "--json"]) == 130
    document = json.loads(capsys.readouterr().out)
    assert (document["interrupted"], document["passed"]) == (True, 1)


def verification(report: Report, services: Clients) -> Verification:
    return Verification(
        services, report, progress(), rule=None, reading={}, seconds=5, with_page=False
    )


def test_an_interrupt_while_waiting_removes_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()

    def interrupted(self: MarkedMessages, seconds: float, progress: Progress) -> None:
        world.process()
        raise KeyboardInterrupt

    monkeypatch.setattr(MarkedMessages, "wait", interrupted)
    monkeypatch.setattr(
        "iot_constructs.cli.verification.run.find_route", lambda *_: replace(ROUTE, archive=None)
    )
    services = world.run()._clients
    assert isinstance(services, Clients)
    report = Report([], DEVICE)
    services.services["cloudformation"] = cloudformation({})
    with pytest.raises(KeyboardInterrupt):
        verification(report, services).run()
    assert [each.items for each in world.tables.values()] == [[], []]
    assert world.sqs.messages == {}


def test_without_the_rights_for_messages_they_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> Route:
        raise aws_error("AccessDeniedException", "not authorized to perform: iot:GetTopicRule")

    monkeypatch.setattr("iot_constructs.cli.verification.run.find_route", denied)
    report = Report([], DEVICE)
    verification(report, Clients(cloudformation=cloudformation({}))).run()
    skipped = [each for each in report.findings if each.check == "messages"]
    assert {each.status for each in skipped} == {Status.SKIPPED}
    assert all("iot:GetTopicRule" in each.text for each in skipped)
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name at least one STACK"),
        (["S", "--timeout", "0"], "not a positive integer"),
        (["S", "--reading", "[]"], "not a JSON object"),
        (["S", "--reading", "{"], "is not JSON"),
    ],
)
def test_usage_errors(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["verify", *arguments])
    assert exit.value.code == 2
    assert expected in capsys.readouterr().err


def test_permissions_are_limited_to_the_devices_of_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--permissions"]) == 0
    statements = {each["Sid"]: each for each in json.loads(capsys.readouterr().out)["Statement"]}
    assert "PageAlarm" not in statements
    assert statements["Publish"]["Resource"].endswith("topic/*iot-constructs-verify-*")
    assert statements["OwnItems"]["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["iot-constructs-verify-*"]}
    }
    writes = ("Delete", "Put", "Update", "Create", "Publish", "Set")
    assert not [
        each for each in statements["Look"]["Action"] if each.split(":")[1].startswith(writes)
    ]
    assert "PageAlarm" in policy(page=True)


def test_the_help_needs_no_boto3() -> None:
    program = (
        "import sys; sys.modules.update(boto3=None, botocore=None)\n"
        "from iot_constructs.cli.main import main\n"
        "main(sys.argv[1:])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, "verify", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option in ("--timeout", "--page", "--permissions", "--json", "exit code: 0 no FAIL"):
        assert option in shown
