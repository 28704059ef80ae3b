"""All rules together: what holds for every one of them."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iot_constructs import rules
from iot_constructs.rules.catalogue import RULES
from iot_constructs.rules.rule import PLUGIN_NAME, Rule
from iot_constructs.rules.template import Template
from tests.rules.compliant_pipeline import (
    Json,
    att,
    check,
    compliant,
    found,
    ref,
    resource,
    stack_info,
    template,
)

Place = tuple[str | int, ...]


def places_in(value: Any, at: Place = ()) -> Iterator[Place]:
    yield at
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    for key, below in entries:
        yield from places_in(below, (*at, key))


def replaced(at: Place, value: Any) -> dict[str, Json]:
    """The compliant pipeline with one value replaced."""
    resources = copy.deepcopy(compliant())
    holder: Any = resources
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = value
    return resources


PROPERTIES = [at for at in places_in(compliant()) if len(at) > 2 and at[1] == "Properties"]
# A log bucket is recognized by a reference from a bucket of the same app.
LOG_TARGET: Place = ("Data", "Properties", "LoggingConfiguration")


def test_there_is_something_to_replace() -> None:
    assert len(PROPERTIES) > 200
    assert LOG_TARGET in PROPERTIES


def test_what_only_the_deployment_knows_is_never_a_finding() -> None:
    for at in PROPERTIES:
        if at[: len(LOG_TARGET)] != LOG_TARGET:
            assert found(replaced(at, {"Ref": "Parameter"})) == [], at


@pytest.mark.parametrize("junk", [None, [], {}, "", 7, {"Fn::If": ["A"]}, {"Fn::Sub": []}])
def test_no_template_makes_a_rule_raise(junk: Any) -> None:
    for at in places_in(compliant()):
        if at:
            check(template(replaced(at, junk)))


def test_findings_come_in_the_order_of_the_rules() -> None:
    resources = compliant()
    del resources["InvokeConfig"], resources["DataPolicy"], resources["Errors"]
    resources["State"]["Properties"]["TableName"] = "iot-state"
    ids = [it.rule_id[:6] for it in check(template(resources))]
    # The alarm of the table names it by reference, so it still watches it.
    assert ids == ["IOT_01", "IOT_04", "IOT_07", "IOT_23"]


def test_a_finding_names_the_template_it_is_in() -> None:
    group = {"Logs": resource("AWS::Logs::LogGroup", LogGroupName="logs")}
    one, other = (template(group, path=Path(name)) for name in ("a.json", "b.json"))
    assert [it.template for it in check(one, other)] == [Path("a.json"), Path("b.json")]


def test_two_nested_stacks_of_one_file_are_one_finding() -> None:
    outer = template({name: resource("AWS::CloudFormation::Stack") for name in ("One", "Two")})
    inside = {"Resources": {"Logs": resource("AWS::Logs::LogGroup", LogGroupName="logs")}}
    for name in ("One", "Two"):
        outer.nested[name] = Template(Path("n.json"), inside, parent=outer.resources[name])
    assert len(check(outer)) == 1


def test_no_template_no_finding() -> None:
    assert check() == []
    assert check(template({}, stack_info(name="Empty"))) == []


def one_of_each(number: int) -> dict[str, Json]:
    """Resources whose relations only the whole app shows, by references and by names of a parameter."""
    name = {"Fn::Sub": f"${{Environment}}-{number}"}
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Errors"}
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": att(f"Queue{number}"),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    resources = {
        "Stream": resource("AWS::Kinesis::Stream", Name=name),
        "Function": resource("AWS::Lambda::Function", FunctionName=name),
        "Mapping": resource(
            "AWS::Lambda::EventSourceMapping",
            EventSourceArn=att(f"Stream{number}"),
            FunctionName=name,
            DestinationConfig={"OnFailure": {"Destination": ref(f"Topic{number}")}},
        ),
        "Config": resource("AWS::Lambda::EventInvokeConfig", FunctionName=name),
        "Alarm": resource(
            "AWS::CloudWatch::Alarm",
            **metric,
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            AlarmActions=[ref(f"Topic{number}")],
        ),
        "Topic": resource("AWS::SNS::Topic", TopicName=name),
        "Queue": resource("AWS::SQS::Queue", QueueName=name),
        "Subscription": resource(
            "AWS::SNS::Subscription", TopicArn=ref("Parameter"), Endpoint=att(f"Queue{number}")
        ),
        "Policy": resource(
            "AWS::SQS::QueuePolicy",
            Queues=[ref("Parameter")],
            PolicyDocument={"Statement": [deny]},
        ),
    }
    return {f"{logical_id}{number}": each for logical_id, each in resources.items()}


def calls(number: int) -> int:
    """Count the function calls that checking so many resources of each kind takes."""
    app = template({key: it for index in range(number) for key, it in one_of_each(index).items()})
    events: Counter[str] = Counter()
    sys.setprofile(lambda _frame, event, _argument: events.update([event]))
    try:
        check(app)
    finally:
        sys.setprofile(None)
    return events["call"]


def test_ten_times_the_resources_take_ten_times_the_work() -> None:
    assert calls(100) < 12 * calls(10)


def test_the_rules_load_without_cdk_and_without_the_extra() -> None:
    """The rules run in a command line tool too, which must not wait for jsii."""
    slow = ("aws_cdk", "jsii", "boto3", "cfnlint", "samtranslator", "yaml")
    code = (
        "import sys\n"
        "from iot_constructs.rules import RULES\n"
        f"print(len(RULES), [it for it in {slow} if it in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{len(RULES)} []"


def test_the_rules_are_numbered_in_order() -> None:
    assert [rule.id[:7] for rule in RULES] == [f"IOT_{number:02}_" for number in range(31)]


def test_the_acknowledgement_is_what_cdk_makes_of_the_names() -> None:
    assert " " not in PLUGIN_NAME  # CDK would replace it by a hyphen
    assert RULES[13].acknowledgement == "IotPipelineChecks::IOT_13_TRIM_HORIZON"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_text_is_one_sentence(rule: Rule) -> None:
    for sentence in (rule.info, rule.explanation):
        assert re.fullmatch(r"[A-Z].*[^.]\.", sentence)
        assert ". " not in sentence


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_links_to_a_page_of_the_aws_documentation(rule: Rule) -> None:
    page = r"https://docs\.aws\.amazon\.com/[A-Za-z0-9]+/latest/[A-Za-z]+/[\w.-]+\.html(#[\w.]+)?"
    assert re.fullmatch(page, rule.source_url)


def test_the_package_exports_its_public_names() -> None:
    assert rules.RULES is RULES
    assert set(rules.__all__) <= set(dir(rules))
    assert all(getattr(rules, name) for name in rules.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        rules.no_such_name  # noqa: B018 - the access is the test
