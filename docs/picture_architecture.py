"""The architecture, drawn from the template: places and routes are laid out here, what there is comes from there.

A resource or an edge that the layout does not know, or that the template no longer has, is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from docs import picture_svg as svg
from docs.picture_template import ALARMS, DEVICES, Edge, Json, Parts, physical_name

Route = list[tuple[float, float]]

_WIDTH, _HEIGHT = 1172, 628
BOX_WIDTH, BOX_HEIGHT = 174, 74
_MAIN = 171  # top of the row through which the data runs


class Position(NamedTuple):
    """Where a resource is drawn, and what kind of thing it is."""

    x: int
    y: int
    title: str


class Way(NamedTuple):
    """How an edge is drawn."""

    colour: str
    points: Route
    label: str = ""
    label_at: tuple[float, float] = (0, 0)
    label_classes: str = ""


POSITIONS: Mapping[str, Position] = {
    DEVICES: Position(16, _MAIN, "devices"),
    "TelemetryRule": Position(134, _MAIN, "IoT rule"),
    "Stream": Position(346, _MAIN, "Kinesis stream"),
    "ArchiveDeliveryStream": Position(558, 24, "Firehose"),
    "Data": Position(770, 24, "S3 bucket"),
    "DataAccessLogs": Position(982, 24, "S3 access logs"),
    "ProcessorMapping": Position(558, _MAIN, "Lambda mapping"),
    "ProcessorFunction": Position(770, _MAIN, "Lambda function"),
    "TimeSeries": Position(982, 126, "DynamoDB table"),
    "DeviceState": Position(982, 216, "DynamoDB table"),
    "ProcessorDlqTopic": Position(770, 350, "DLQ topic (SNS)"),
    "ProcessorDlqQueue": Position(982, 350, "DLQ queue (SQS)"),
    "AlarmsDashboard": Position(134, 470, "dashboard"),
    ALARMS: Position(346, 470, "metric alarms"),
    "AlarmsHealth": Position(558, 470, "composite alarm"),
    "AlarmsAlarmTopic": Position(770, 470, "alarm topic (SNS)"),
}

WAYS: Mapping[Edge, Way] = {
    Edge(DEVICES, "TelemetryRule", "SQL"): Way("flow", [(88, 208), (134, 208)], "MQTT"),
    Edge("TelemetryRule", "Stream", "action"): Way("flow", [(308, 208), (346, 208)], "puts"),
    Edge("Stream", "ProcessorMapping", "mapping"): Way("flow", [(520, 208), (558, 208)]),
    Edge("ProcessorMapping", "ProcessorFunction", "mapping"): Way(
        "flow", [(732, 208), (770, 208)], "calls"
    ),
    Edge("ProcessorFunction", "TimeSeries", "grant"): Way(
        "flow",
        [(944, 198), (963, 198), (963, 163), (982, 163)],
        "every reading",
        (978, 154),
        "end",
    ),
    Edge("ProcessorFunction", "DeviceState", "grant"): Way(
        "flow", [(944, 218), (963, 218), (963, 253), (982, 253)], "newest", (978, 268), "end"
    ),
    Edge("Stream", "ArchiveDeliveryStream", "delivery"): Way(
        "flow", [(429, 171), (429, 61), (558, 61)], "every raw record", (436, 54)
    ),
    Edge("ArchiveDeliveryStream", "Data", "delivery"): Way("flow", [(732, 61), (770, 61)]),
    Edge("Data", "DataAccessLogs", "access logs"): Way("watch", [(944, 61), (982, 61)]),
    Edge("TelemetryRule", "ProcessorDlqTopic", "error action"): Way(
        "fail",
        [(217, 245), (217, 404), (770, 404)],
        "error action: what the stream did not take",
        (225, 397),
    ),
    Edge("ProcessorMapping", "ProcessorDlqTopic", "on failure"): Way(
        "fail",
        [(641, 245), (641, 372), (770, 372)],
        "on failure: batches given up",
        (633, 366),
        "end",
    ),
    Edge("ProcessorFunction", "ProcessorDlqTopic", "on failure"): Way(
        "fail",
        [(810, 245), (810, 350)],
        "on failure: asynchronous calls",
        (803, 300),
        "end",
    ),
    Edge("ProcessorFunction", "ProcessorDlqTopic", "grant"): Way(
        "fail",
        [(872, 245), (872, 350)],
        "publishes what can never be stored",
        (880, 322),
    ),
    Edge("ProcessorDlqTopic", "ProcessorDlqQueue", "subscription"): Way(
        "fail", [(944, 387), (982, 387)]
    ),
    Edge(ALARMS, "AlarmsDashboard", "dashboard body"): Way("watch", [(346, 507), (308, 507)]),
    Edge(ALARMS, "AlarmsHealth", "alarm rule"): Way("watch", [(520, 507), (558, 507)], "any"),
    Edge("AlarmsHealth", "AlarmsAlarmTopic", "alarm action"): Way(
        "watch", [(732, 507), (770, 507)]
    ),
    Edge(ALARMS, "AlarmsAlarmTopic", "alarm action"): Way(
        "watch", [(429, 544), (429, 564), (853, 564), (853, 544)], "each one", (437, 559)
    ),
}

AS_EDGES = {
    "AWS::SNS::Subscription": "an arrow from topic to queue",
    "AWS::Lambda::EventInvokeConfig": "the function's arrow on failure",
    "AWS::CloudWatch::Alarm": "counted at what it watches",
}
DETAILS = {
    "AWS::KMS::Key": "key that encrypts all of it",
    "AWS::IAM::Role": "roles",
    "AWS::IAM::Policy": "policies of roles",
    "AWS::SNS::TopicPolicy": "topic policies",
    "AWS::SQS::QueuePolicy": "queue policy",
    "AWS::S3::BucketPolicy": "bucket policies",
    "AWS::Logs::LogGroup": "log groups",
    "AWS::Logs::LogStream": "log stream",
    "Custom::S3AutoDeleteObjects": "custom resources that empty a bucket",
}
DETAIL_RESOURCES = {
    "CustomS3AutoDeleteObjectsCustomResourceProviderHandler": "function that does so"
}


def draw(parts: Parts) -> str:
    """The picture.

    Raises:
        ValueError: the layout and the template differ.
    """
    check(parts)
    return svg.document(
        _WIDTH,
        _HEIGHT,
        "Architecture of the example",
        "Devices publish to an IoT rule, which puts what they send on a Kinesis stream. A Lambda function stores it in "
        "two DynamoDB tables, Firehose archives it in an S3 bucket. What cannot be stored goes to a dead-letter topic "
        "and its queue. Alarms watch all of it and publish to an alert topic.",
        [*_edges(), *_boxes(parts), *_footer(parts)],
    )


def check(parts: Parts) -> None:
    """Raise ValueError, naming each difference, when the layout is not that of the template."""
    declared = {*AS_EDGES, *DETAILS}
    shown = {
        name
        for name, each in parts.resources.items()
        if each["Type"] not in declared and name not in DETAIL_RESOURCES
    }
    laid_out = POSITIONS.keys() - {DEVICES, ALARMS}
    types = {each["Type"] for each in parts.resources.values()}
    problems: list[tuple[str, Collection[str] | Collection[Edge]]] = [
        ("neither drawn nor declared a detail", shown - laid_out),
        ("drawn, but not in the template", laid_out - shown),
        ("an edge of the template that is not drawn", parts.edges - WAYS.keys()),
        ("an edge that is drawn, but not in the template", WAYS.keys() - parts.edges),
        ("alarms watch what is not drawn", parts.alarms_of.keys() - POSITIONS.keys()),
        ("declared, but not in the template", declared - types),
        ("declared, but not in the template", DETAIL_RESOURCES.keys() - parts.resources.keys()),
    ]
    found = [f"{text}: {sorted(map(str, each))}" for text, each in problems if each]
    if found:
        raise ValueError("docs/picture_architecture.py: " + "; ".join(found))


def _boxes(parts: Parts) -> Iterator[str]:
    for name, position in POSITIONS.items():
        if name == DEVICES:
            yield from _devices(position)
            continue
        lines = _alarms(parts) if name == ALARMS else _facts(parts.resources[name])
        x, y = position.x, position.y
        yield svg.rect(x, y, BOX_WIDTH, BOX_HEIGHT, classes="card", radius=6)
        yield svg.text(x + 10, y + 16, _construct(parts, name), "soft small")
        yield svg.text(x + 10, y + 33, position.title, "ink bold", 13)
        yield svg.text(x + 10, y + 49, lines[0], "mono ink")
        yield svg.text(x + 10, y + 64, lines[1], "soft small")
        if parts.alarms_of.get(name):
            yield from _badge(x + BOX_WIDTH, y, parts.alarms_of[name])


def _devices(position: Position) -> Iterator[str]:
    for offset in (8, 4, 0):  # more than one
        yield svg.rect(
            position.x + offset, position.y + 20 + offset, 64, 30, classes="card", radius=15
        )
    yield svg.text(position.x + 32, position.y + 39, position.title, "ink bold middle")


def _badge(right: float, y: float, count: int) -> Iterator[str]:
    label = f"{count} alarm{'s' if count > 1 else ''}"
    yield svg.rect(right - 60, y - 9, 54, 18, classes="badge", radius=9)
    yield svg.text(right - 33, y + 4, label, "badge-ink small middle")


def _edges() -> Iterator[str]:
    for edge, way in WAYS.items():
        yield f"<!-- {edge.source} to {edge.target}: {edge.by} -->"
        yield from svg.arrow(way.points, way.colour, dashed=way.colour != "flow")
        if not way.label:
            continue
        classes = f"{'bad' if way.colour == 'fail' else 'soft'} small {way.label_classes}".strip()
        if way.label_at == (0, 0):  # a short one, over the middle of a straight arrow
            (x, y), (end, _) = way.points
            yield svg.text((x + end) / 2 - 2, y - 6, way.label, f"{classes} middle")
        else:
            yield svg.text(*way.label_at, way.label, classes)


def _footer(parts: Parts) -> Iterator[str]:
    counts = Counter(
        DETAILS[each["Type"]] for each in parts.resources.values() if each["Type"] in DETAILS
    )
    counts.update(DETAIL_RESOURCES.values())
    named = [f"{counts[text]} {text}" for text in [*DETAILS.values(), *DETAIL_RESOURCES.values()]]
    half = (len(named) + 1) // 2
    total = f"{len(parts.resources)} resources in a short-lived environment. Not drawn: "
    yield svg.text(134, 592, total + ", ".join(named[:half]) + ",", "soft")
    yield svg.text(134, 610, ", ".join(named[half:]) + ".", "soft")


def _construct(parts: Parts, name: str) -> str:
    composite = next(iter(parts.of_type("AWS::CloudWatch::CompositeAlarm")))
    return parts.constructs[composite if name == ALARMS else name]


def _alarms(parts: Parts) -> tuple[str, str]:
    return f"{sum(parts.alarms_of.values())}, counted above", "on AWS's own metrics"


def _facts(resource: Json) -> tuple[str, str]:
    """The name that AWS gets, and what is worth knowing, both as the template has them."""
    properties = resource["Properties"]
    if resource["Type"] == "AWS::Lambda::EventSourceMapping":
        return _mapping(properties)
    name, fact = _FACTS[resource["Type"]]
    return physical_name(properties[name]), fact(properties)


def _mapping(properties: Json) -> tuple[str, str]:
    window = properties["MaximumBatchingWindowInSeconds"]
    bisects = "; bisects" if properties["BisectBatchOnFunctionError"] else ""
    return (
        f"batches of {properties['BatchSize']} or {window} s",
        f"{properties['MaximumRetryAttempts']} retries{bisects}",
    )


def _table(properties: Json) -> str:
    keys = ", ".join(each["AttributeName"] for each in properties["KeySchema"])
    recovery = properties["Replicas"][0]["PointInTimeRecoverySpecification"]
    return f"{keys}; PITR {recovery['RecoveryPeriodInDays']} d"


def _archive(properties: Json) -> str:
    target = properties["ExtendedS3DestinationConfiguration"]
    hints = target["BufferingHints"]
    size, seconds = hints["SizeInMBs"], hints["IntervalInSeconds"]
    return f"{target['CompressionFormat']}; {size} MB or {seconds} s"


def _rule(properties: Json) -> str:
    return str(properties["TopicRulePayload"]["Sql"]).split("FROM ")[1].strip("'")


def _stream(properties: Json) -> str:
    mode = properties["StreamModeDetails"]["StreamMode"].lower().replace("_", " ")
    return f"{mode}; {properties['RetentionPeriodHours'] // 24} days"


def _bucket(properties: Json) -> str:
    versions = properties["VersioningConfiguration"]["Status"] == "Enabled"
    private = all(properties["PublicAccessBlockConfiguration"].values())
    return f"{'private' if private else 'PUBLIC'}, {'versions' if versions else 'no versions'}"


_FACTS: Mapping[str, tuple[str, Callable[[Json], str]]] = {
    "AWS::IoT::TopicRule": ("RuleName", _rule),
    "AWS::Kinesis::Stream": ("Name", _stream),
    "AWS::KinesisFirehose::DeliveryStream": ("DeliveryStreamName", _archive),
    "AWS::S3::Bucket": ("BucketName", _bucket),
    "AWS::Lambda::Function": (
        "FunctionName",
        lambda each: f"{each['Runtime']}; {each['MemorySize']} MB; {each['Timeout']} s",
    ),
    "AWS::DynamoDB::GlobalTable": ("TableName", _table),
    "AWS::SNS::Topic": (
        "TopicName",
        lambda each: "encrypted" if "KmsMasterKeyId" in each else "not encrypted",
    ),
    "AWS::SQS::Queue": (
        "QueueName",
        lambda each: f"keeps messages {each['MessageRetentionPeriod'] // 86400} days",
    ),
    "AWS::CloudWatch::CompositeAlarm": ("AlarmName", lambda _: "any of the alarms"),
    "AWS::CloudWatch::Dashboard": ("DashboardName", lambda _: "every alarm's metric"),
}
