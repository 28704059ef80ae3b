"""The diagram has the kinds of resources of the example, and a picture fetches nothing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from docs.generate_pictures import PICTURES, demo
from examples.iot_pipeline.stack import IotPipelineStack
from tests.synth_support import fresh_app, template_of

_DIAGRAM = (PICTURES / "architecture.mmd").read_text(encoding="utf-8")
_NODES = {
    "AWS::CloudWatch::Alarm": "alarms",
    "AWS::CloudWatch::CompositeAlarm": "health",
    "AWS::CloudWatch::Dashboard": "dashboard",
    "AWS::DynamoDB::GlobalTable": "readings states",
    "AWS::IoT::TopicRule": "rule",
    "AWS::Kinesis::Stream": "stream",
    "AWS::KinesisFirehose::DeliveryStream": "firehose",
    "AWS::Lambda::EventSourceMapping": "mapping",
    "AWS::Lambda::Function": "function",
    "AWS::S3::Bucket": "data logs",
    "AWS::SNS::Topic": "dlqTopic alarmTopic",
    "AWS::SQS::Queue": "dlqQueue",
}
_EDGES = {"AWS::SNS::Subscription", "AWS::Lambda::EventInvokeConfig"}
_DETAILS = re.compile(r"AWS::(IAM|KMS|Logs)::|::\w+Policy$|Custom::|AWS::CDK::")


def test_the_diagram_has_the_kinds_of_resources_of_the_example() -> None:
    template = template_of(IotPipelineStack(fresh_app(), "Drawn", environment_suffix="dev"))
    types = {each["Type"] for each in template["Resources"].values()}
    assert {each for each in types - _EDGES if not _DETAILS.search(each)} == _NODES.keys()
    nodes = set(re.findall(r'\b(\w+)[\[(]+"', _DIAGRAM))
    assert nodes == {"devices", *" ".join(_NODES.values()).split()}


def test_the_picture_is_the_diagram() -> None:
    drawn = (PICTURES / "architecture.svg").read_text(encoding="utf-8")
    texts = "".join(ElementTree.fromstring(drawn).itertext())
    labels = re.findall(r'"([^"]+)"|\|([^|]+)\|', re.sub(r"^%%.*", "", _DIAGRAM, flags=re.M))
    assert len(labels) >= 20
    assert [label for pair in labels for label in pair if label not in texts] == []


def test_the_run_is_drawn_from_its_text() -> None:
    assert (PICTURES / "demo.svg").read_text(encoding="utf-8") == demo()


@pytest.mark.parametrize("name", ["architecture.svg", "demo.svg"])
def test_a_picture_fetches_nothing(name: str) -> None:
    drawn = (PICTURES / name).read_text(encoding="utf-8")
    assert re.findall(r"@import|@font-face|url\(h|href", drawn) == []
