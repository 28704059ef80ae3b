"""Where values lead: intrinsic functions, nested stacks, exports, names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from iot_constructs.rules.graph import (
    UNKNOWN,
    Graph,
    Reference,
    Unknown,
    physical_name_in,
)
from iot_constructs.rules.template import Resource, StackInfo, Template
from tests.rules.compliant_pipeline import att, ref, resource, stack_info, template

TOPIC, QUEUE, BUCKET = "AWS::SNS::Topic", "AWS::SQS::Queue", "AWS::S3::Bucket"

ONE = template(
    {
        "Topic": resource(TOPIC, TopicName="alerts-dev"),
        "Queue": resource(QUEUE, QueueName="alerts-dev"),
        "Data": resource(
            BUCKET, BucketName={"Fn::Sub": "data-${AWS::AccountId}-${AWS::Region}-dev"}
        ),
        "Plain": resource(QUEUE),
        "Custom": resource("Custom::CrossRegionExportReader"),
        "Setting": resource("AWS::SSM::Parameter", Value="x"),
    }
)
GRAPH = Graph([ONE])


def target(value: Any, *types: str) -> str | Unknown | None:
    found = GRAPH.target(value, ONE, *(types or (TOPIC, QUEUE, BUCKET)))
    return found.logical_id if isinstance(found, Resource) else found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (5, "5"),
        (True, "true"),
        ({"Fn::Join": ["-", ["a", "b", 1]]}, "a-b-1"),
        ({"Fn::Sub": "a-${!Literal}"}, "a-${Literal}"),
        ({"Fn::Sub": ["a-${B}", {"B": {"Fn::Join": ["", ["b", "c"]]}}]}, "a-bc"),
        ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
        ({"Fn::Select": [1, {"Fn::Split": [":", "a:b"]}]}, "b"),
        (
            {
                "Fn::Select": [
                    5,
                    {"Fn::Split": [":", {"Fn::Sub": "arn:aws:sns:${AWS::Region}:1:x"}]},
                ]
            },
            "x",
        ),
        ({"Fn::If": ["A", "same", "same"]}, "same"),
        ({"Ref": "AWS::StackName"}, "Telemetry-dev"),
        ({"Ref": "AWS::Region"}, "<Region>"),
        ("", ""),
    ],
)
def test_text(value: Any, expected: str) -> None:
    assert GRAPH.text(value, ONE) == expected


@pytest.mark.parametrize(
    "value",
    [
        ref("Parameter"),
        ref("Queue"),
        {"Ref": "AWS::StackId"},
        {"Fn::If": ["A", "one", "other"]},
        {"Fn::If": ["A"]},
        {"Fn::FindInMap": ["A", "B", "C"]},
        {"Fn::ImportValue": "nowhere"},
        {"Fn::Join": ["-", {"Fn::Split": [".", "a.b"]}]},
        {"Fn::Select": [9, ["a"]]},
        {"Fn::Select": [ref("Index"), ["a"]]},
        {"Fn::Select": [9, {"Fn::Split": [":", "a"]}]},
        {"Fn::GetAtt": ["Gone", "Arn"]},
        {"Fn::GetAtt": []},
        {"Fn::Sub": [ref("Text"), {}]},
        {"Fn::Transform": {}},
        "{{resolve:ssm:/name}}",
        {"unheard": "of"},
        [],
        {"Ref": {"Fn::Sub": "x"}},
    ],
)
def test_what_is_no_text_before_the_deployment(value: Any) -> None:
    assert GRAPH.text(value, ONE) is None


def test_parts_join_neighbours_and_keep_references() -> None:
    value = {"Fn::Sub": "a-${AWS::Region}/${Queue.Arn}/${Queue}/z"}
    queue = ONE.resources["Queue"]
    assert GRAPH.parts(value, ONE) == (
        "a-<Region>/",
        Reference(queue, "Arn"),
        "/",
        Reference(queue, "Ref"),
        "/z",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ref("Topic"), "Topic"),
        (att("Queue"), "Queue"),
        ({"Fn::GetAtt": "Queue.Arn"}, "Queue"),
        ({"Fn::Sub": "${Queue.Arn}"}, "Queue"),
        ({"Fn::Join": [":", ["arn:aws:sqs:eu-west-1:1", att("Plain", "QueueName")]]}, "Plain"),
        ({"Fn::Select": [5, {"Fn::Split": [":", att("Queue")]}]}, "Queue"),
        ("arn:aws:sns:eu-west-1:123456789012:alerts-dev", "Topic"),
        ({"Fn::Sub": "arn:${AWS::Partition}:sns:${AWS::Region}:1:elsewhere"}, None),
        ({"Fn::Sub": "arn:aws:s3:::data-${AWS::AccountId}-${AWS::Region}-dev/*"}, "Data"),
        (
            {"Fn::Join": ["", ["data-", ref("AWS::AccountId"), "-", ref("AWS::Region"), "-dev"]]},
            "Data",
        ),
        ("elsewhere", None),
        (None, None),
        (ref("Parameter"), UNKNOWN),
        (att("Custom", "/cdk/exports/x"), UNKNOWN),
        (att("Setting", "Value"), UNKNOWN),
        ({"Fn::Sub": "${Topic}-${Queue}"}, UNKNOWN),
        ({"Fn::Sub": "arn:aws:sns:x:1:${Parameter}"}, UNKNOWN),
    ],
)
def test_target(value: Any, expected: Any) -> None:
    assert target(value) == expected


def test_a_name_is_looked_up_among_the_types_asked_for() -> None:
    assert target("alerts-dev", TOPIC) == "Topic"
    assert target("alerts-dev", QUEUE) == "Queue"
    assert target("alerts-dev", BUCKET) is None
    assert target("https://sqs.eu-west-1.amazonaws.com/123456789012/alerts-dev", QUEUE) == "Queue"


def test_resources_of_one_name_are_distinguished_by_stack() -> None:
    def stage(name: str) -> Template:
        return template(
            {"It": resource(QUEUE, QueueName="q-dev")}, path=Path(name) / "A.template.json"
        )

    one, other = stage("one"), stage("other")
    third = template({}, path=Path("one") / "B.template.json")
    fourth = template({}, path=Path("third") / "B.template.json")
    app = Graph([one, other, third, fourth])
    assert app.target("q-dev", one, QUEUE) is one.resources["It"]
    assert app.target("q-dev", other, QUEUE) is other.resources["It"]
    assert app.target("q-dev", third, QUEUE) is one.resources["It"]
    assert app.target("q-dev", fourth, QUEUE) is UNKNOWN


def test_account_and_region_of_the_manifest_are_filled_in() -> None:
    bound = template(
        {"Data": resource(BUCKET, BucketName={"Fn::Sub": "d-${AWS::AccountId}-${AWS::Region}"})},
        stack_info(account="123456789012", region="eu-west-1"),
    )
    app = Graph([bound])
    assert app.target("d-123456789012-eu-west-1", bound, BUCKET) is bound.resources["Data"]
    open_stack = Graph([template({})])
    assert open_stack.text(ref("AWS::Region"), open_stack.stacks[0]) == "<Region>"


class TestTheSameExpression:
    """A name that only the deployment knows is that of the resource with the same expression."""

    NAME: ClassVar = {"Fn::Sub": "${Prefix}-alerts"}

    def found(self, value: Any, **others: Any) -> Resource | Unknown | None:
        resources = {"It": resource(QUEUE, QueueName=self.NAME), **others}
        self.app = template(resources)
        return Graph([self.app]).target(value, self.app, QUEUE)

    def test_as_the_name_of_one(self) -> None:
        assert self.found({"Fn::Sub": "${Prefix}-alerts"}) is self.app.resources["It"]

    def test_of_another_type(self) -> None:
        topic = resource(TOPIC, TopicName=self.NAME)
        assert self.found(self.NAME, Topic=topic) is self.app.resources["It"]

    def test_of_two(self) -> None:
        assert self.found(self.NAME, Other=resource(QUEUE, QueueName=self.NAME)) is UNKNOWN

    def test_of_none(self) -> None:
        assert self.found({"Fn::Sub": "${Other}-alerts"}) is UNKNOWN

    def test_in_another_template_has_other_parameters(self) -> None:
        one = template({"It": resource(QUEUE, QueueName=self.NAME)})
        other = template({})
        assert Graph([one, other]).target(self.NAME, other, QUEUE) is UNKNOWN


class TestNestedStacks:
    """Parameters down, outputs up, and from one nested stack through the parent to the next."""

    def app(self) -> tuple[Graph, Template, Template, Template]:
        nested = "AWS::CloudFormation::Stack"
        outer = template(
            {
                "Queue": resource(QUEUE),
                "Producer": resource(nested),
                "Consumer": resource(
                    nested,
                    Parameters={
                        "QueueArn": att("Queue"),
                        "TopicArn": att("Producer", "Outputs.Topic"),
                        "Unset": ref("TopLevel"),
                    },
                ),
            }
        )
        inside = {
            "Resources": {"Topic": resource(TOPIC)},
            "Outputs": {"Topic": {"Value": ref("Topic")}},
        }
        producer = Template(Path("p.json"), inside, parent=outer.resources["Producer"])
        consumer = Template(Path("c.json"), {"Resources": {}}, parent=outer.resources["Consumer"])
        outer.nested.update(Producer=producer, Consumer=consumer)
        return Graph([outer]), outer, producer, consumer

    def test_a_parameter(self) -> None:
        app, outer, _, consumer = self.app()
        assert app.target(ref("QueueArn"), consumer, QUEUE) is outer.resources["Queue"]
        assert app.target({"Fn::Sub": "${QueueArn}"}, consumer, QUEUE) is outer.resources["Queue"]

    def test_an_output(self) -> None:
        app, outer, producer, _ = self.app()
        topic = producer.resources["Topic"]
        assert app.target(att("Producer", "Outputs.Topic"), outer, TOPIC) is topic
        assert app.target({"Fn::GetAtt": "Producer.Outputs.Topic"}, outer, TOPIC) is topic

    def test_from_one_to_the_next(self) -> None:
        app, _, producer, consumer = self.app()
        assert app.target(ref("TopicArn"), consumer, TOPIC) is producer.resources["Topic"]

    def test_what_is_not_known(self) -> None:
        app, outer, _, consumer = self.app()
        assert app.target(ref("Unset"), consumer, TOPIC) is UNKNOWN
        assert app.target(ref("NotGiven"), consumer, TOPIC) is UNKNOWN
        assert app.target(att("Producer", "Outputs.Other"), outer, TOPIC) is UNKNOWN
        assert app.target(att("Consumer", "Outputs.Other"), outer, TOPIC) is UNKNOWN
        # A nested stack's name is made up by CloudFormation.
        assert app.text({"Ref": "AWS::StackName"}, consumer) is None

    def test_resources_of_nested_stacks_are_indexed(self) -> None:
        app, *_ = self.app()
        assert [it.logical_id for it in app.of_type(TOPIC, QUEUE)] == ["Topic", "Queue"]


class TestSeveralStacks:
    def test_an_export(self) -> None:
        producer = template(
            {"Queue": resource(QUEUE)},
            Outputs={
                "Plain": {"Value": ref("Queue")},
                "Out": {
                    "Value": att("Queue"),
                    "Export": {"Name": {"Fn::Sub": "${AWS::StackName}:Q"}},
                },
            },
        )
        consumer = template({}, StackInfo("Other", True))
        app = Graph([producer, consumer])
        value = {"Fn::ImportValue": "Telemetry-dev:Q"}
        assert app.target(value, consumer, QUEUE) is producer.resources["Queue"]
        assert app.target({"Fn::ImportValue": "Telemetry-dev:R"}, consumer, QUEUE) is UNKNOWN
        assert app.target({"Fn::ImportValue": ref("Name")}, consumer, QUEUE) is UNKNOWN

    def test_a_weak_reference(self) -> None:
        producer = template({"Queue": resource(QUEUE)}, Outputs={"Q": {"Value": att("Queue")}})
        consumer = template({}, StackInfo("Other", True))
        app = Graph([producer, consumer])

        def output(stack: str, name: str) -> Any:
            value = {"Fn::GetStackOutput": {"StackName": stack, "OutputName": name}}
            return app.target(value, consumer, QUEUE)

        assert output("Telemetry-dev", "Q") is producer.resources["Queue"]
        assert output("Telemetry-dev", "R") is UNKNOWN
        assert output("Gone", "Q") is UNKNOWN


class TestLoops:
    def test_an_export_named_by_itself(self) -> None:
        value = {"Fn::ImportValue": "x"}
        loop = template({}, Outputs={"X": {"Value": "v", "Export": {"Name": value}}})
        assert Graph([loop]).text(value, loop) is None

    def test_an_export_of_itself(self) -> None:
        value = {"Fn::ImportValue": "x"}
        loop = template({}, Outputs={"X": {"Value": value, "Export": {"Name": "x"}}})
        assert Graph([loop]).text(value, loop) is None

    def test_a_parameter_of_itself(self) -> None:
        outer = template(
            {"N": resource("AWS::CloudFormation::Stack", Parameters={"P": att("N", "Outputs.O")})}
        )
        inside = {"Resources": {}, "Outputs": {"O": {"Value": ref("P")}}}
        inner = Template(Path("n.json"), inside, parent=outer.resources["N"])
        outer.nested["N"] = inner
        assert Graph([outer]).text(ref("P"), inner) is None


def test_flags() -> None:
    assert [GRAPH.flag(value, ONE) for value in (True, "true", "True", False, "false", None)] == [
        *[True] * 3,
        *[False] * 3,
    ]
    assert GRAPH.flag(ref("Parameter"), ONE) is UNKNOWN


def test_numbers() -> None:
    assert [GRAPH.number(value, ONE) for value in (24, "24", 1.5)] == [24, 24, 1.5]
    assert GRAPH.number(ref("Parameter"), ONE) is UNKNOWN
    assert GRAPH.number("many", ONE) is UNKNOWN


def test_at_looks_into_both_sides_of_a_condition() -> None:
    value = {"A": {"Fn::If": ["X", {"B": 1}, {"Ref": "AWS::NoValue"}]}}
    assert GRAPH.at(value, "A", "B") == [1, None]
    assert GRAPH.at({"A": ref("Parameter")}, "A", "B") == [UNKNOWN]
    assert GRAPH.at({}, "A", "B") == [None]


def test_items_of_lists_and_of_single_values() -> None:
    none = {"Ref": "AWS::NoValue"}
    assert GRAPH.items(["a", {"Fn::If": ["X", "b", none]}, none]) == ["a", "b"]
    assert GRAPH.items({"Fn::If": ["X", ["a"], ["b"]]}) == ["a", "b"]
    assert GRAPH.items("a") == ["a"]
    assert GRAPH.items(None) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("plain", "plain"),
        ("arn:aws:sns:eu-west-1:1:topic", "topic"),
        ("arn:aws:sqs:eu-west-1:1:queue", "queue"),
        ("arn:aws:kinesis:eu-west-1:1:stream/s", "s"),
        ("arn:aws:kinesis:eu-west-1:1:stream/s/consumer/c:1", "s"),
        ("arn:aws:lambda:eu-west-1:1:function:f", "f"),
        ("arn:aws:lambda:eu-west-1:1:function:f:live", "f"),
        ("arn:aws:dynamodb:eu-west-1:1:table/t", "t"),
        ("arn:aws:dynamodb:eu-west-1:1:table/t/index/i", "t"),
        ("arn:aws:firehose:eu-west-1:1:deliverystream/d", "d"),
        ("arn:aws:s3:::b", "b"),
        ("arn:aws:s3:::b/*", "b"),
        ("arn:aws:kms:eu-west-1:1:alias/iot/dev", "alias/iot/dev"),
        ("arn:aws:kms:eu-west-1:1:key/12", "12"),
        ("https://sqs.eu-west-1.amazonaws.com/1/queue", "queue"),
        ("arn:nonsense", "arn:nonsense"),
    ],
)
def test_the_name_in_an_arn(text: str, name: str) -> None:
    assert physical_name_in(text) == name


class TestManyConditions:
    """Conditions are judged one value at a time, never in combination."""

    def test_many_values_with_conditions(self) -> None:
        tags = [
            {"Fn::If": [f"C{i}", {"Key": str(i)}, {"Ref": "AWS::NoValue"}]} for i in range(5000)
        ]
        assert len(GRAPH.items({"Fn::If": ["A", tags, []]})) == 5000

    def test_nested_deeply(self) -> None:
        value: Any = "last"
        for index in range(5000):
            value = {"Fn::If": [f"C{index}", index, value]}
        found = GRAPH.at(value)
        assert (len(found), found[0], found[-1]) == (5001, 4999, "last")

    def test_combined_in_text(self) -> None:
        """2^5000 texts are possible."""
        choices = [{"Fn::If": [f"C{i}", "a", "b"]} for i in range(5000)]
        assert GRAPH.parts({"Fn::Join": ["", choices]}, ONE)[0] is UNKNOWN

    def test_nested_in_text(self) -> None:
        value: Any = "x"
        for index in range(5000):
            value = {"Fn::Join": ["", [value, {"Fn::If": [f"C{index}", value, "b"]}]]}
        assert UNKNOWN in GRAPH.parts(value, ONE)

    def test_below_each_other(self) -> None:
        value: Any = True
        for index in range(300):
            value = {"Fn::If": [f"C{index}", {"A": value}, {"Ref": "AWS::NoValue"}]}
        assert GRAPH.at(value, *(["A"] * 300)).count(True) == 1


def test_stacks_that_refer_to_each_other_in_many_ways() -> None:
    """Each parameter is twice the one above: 2^18 references."""
    above = template({"N": resource("AWS::CloudFormation::Stack", Parameters={"P": "x"})})
    for _ in range(18):
        twice = {"Fn::Sub": "${P}${P}"}
        body = {"Resources": {"N": resource("AWS::CloudFormation::Stack", Parameters={"P": twice})}}
        inner = Template(Path("n.json"), body, parent=above.resources["N"])
        above.nested["N"] = inner
        above = inner
    assert UNKNOWN in Graph([above.root]).parts({"Ref": "P"}, above)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Fn::Length": ["a", "b"]}, "2"),
        ({"Fn::Length": {"Ref": "List"}}, None),
        ({"Fn::ToJsonString": {"a": 1}}, None),
        ({"Fn::Base64": "a"}, None),
        ({"Fn::Select": ["9" * 5000, ["a"]]}, None),
        ({"Fn::Select": ["\u00b2", ["a", "b", "c"]]}, None),
    ],
    ids=range(6),
)
def test_other_functions(value: Any, expected: str | None) -> None:
    assert GRAPH.text(value, ONE) == expected


@pytest.mark.parametrize("argument", [[], 5, {}])
def test_there_is_always_a_value(argument: Any) -> None:
    """Only a template that is not valid has this function of ours."""
    assert GRAPH.at({"Fn::OneOf": argument}) == [{"Fn::OneOf": argument}]


def test_the_default_of_a_parameter_is_not_its_value() -> None:
    body = {"Parameters": {"P": {"Type": "String", "Default": "a"}}, "Resources": {}}
    one = Template(Path("t.json"), body)
    assert Graph([one]).text({"Ref": "P"}, one) is None
