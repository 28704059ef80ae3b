"""IOT_03, 06, 13, 14, 15 and 16: event source mappings and pipes that read a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template
from tests.rules.compliant_pipeline import Json, att, check, ref, resource, template

KINESIS_ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
IF = {"Fn::If": ["Condition", ref("One"), ref("Other")]}
NO_VALUE = ref("AWS::NoValue")
IDS = ("IOT_03", "IOT_06", "IOT_13", "IOT_14", "IOT_15", "IOT_16")
EVERY_RULE = ["IOT_03", "IOT_06", "IOT_13", "IOT_14", "IOT_14", "IOT_15", "IOT_16"]
# What the references in this module refer to.
SOURCES = {
    "Stream": resource("AWS::Kinesis::Stream"),
    "FanOut": resource("AWS::Kinesis::StreamConsumer", StreamARN=att("Stream"), ConsumerName="c"),
    "Queue": resource("AWS::SQS::Queue"),
    "Table": resource("AWS::DynamoDB::Table"),
    "Cluster": resource("AWS::MSK::Cluster"),
    "Lookup": resource("Custom::Lookup"),
}


def either(one: Any, other: Any) -> Json:
    return {"Fn::If": ["Condition", one, other]}


def changed(properties: Json, changes: Json) -> Json:
    merged = {**properties, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def mapping(**changes: Any) -> Json:
    """A compliant mapping of a Kinesis stream, changed; None is not set."""
    compliant = {
        "EventSourceArn": KINESIS_ARN,
        "FunctionName": "processor",
        "StartingPosition": "TRIM_HORIZON",
        "MaximumBatchingWindowInSeconds": 5,
        "MaximumRetryAttempts": 10,
        "MaximumRecordAgeInSeconds": 3600,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": {"OnFailure": {"Destination": ref("Dlq")}},
    }
    return resource("AWS::Lambda::EventSourceMapping", **changed(compliant, changes))


def bad_mapping(source: Any, **more: Any) -> Json:
    """A mapping of ``source`` that breaks every rule, if they are about it."""
    properties = {"EventSourceArn": source, "FunctionName": "f", "StartingPosition": "LATEST"}
    return resource("AWS::Lambda::EventSourceMapping", **changed(properties, more))


def pipe(source: Any = KINESIS_ARN, **changes: Any) -> Json:
    """A compliant pipe, with its settings for the stream changed."""
    compliant = {
        "StartingPosition": "TRIM_HORIZON",
        "MaximumBatchingWindowInSeconds": 5,
        "MaximumRetryAttempts": 10,
        "MaximumRecordAgeInSeconds": 3600,
        "OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
        "DeadLetterConfig": {"Arn": ref("Dlq")},
    }
    return resource(
        "AWS::Pipes::Pipe",
        Source=source,
        SourceParameters={"KinesisStreamParameters": changed(compliant, changes)},
    )


def findings(*stacks: Template) -> list[Finding]:
    return [it for it in check(*stacks) if it.rule_id[:6] in IDS]


def found(reader: Json) -> list[str]:
    """The rules that report ``reader``."""
    reported = findings(template({**SOURCES, "Reader": reader}))
    assert {it.logical_id for it in reported} <= {"Reader"}
    return [it.rule_id[:6] for it in reported]


# -- which mappings and pipes ------------------------------------------------------------------------------------------

KINESIS = {
    "attribute": att("Stream"),
    "attribute in text": {"Fn::GetAtt": "Stream.Arn"},
    "arn": KINESIS_ARN,
    "join": {"Fn::Join": ["", ["arn:", ref("AWS::Partition"), ":kinesis:x:1:stream/y"]]},
    "join of names": {
        "Fn::Join": [":", ["arn", ref("AWS::Partition"), "kinesis", ref("R"), "1:stream/y"]]
    },
    "sub": {"Fn::Sub": "arn:aws:kinesis:${AWS::Region}:1:stream/${Name}"},
    "sub of an attribute": {"Fn::Sub": "${Stream.Arn}"},
    "sub with variables": {"Fn::Sub": ["${Arn}", {"Arn": att("Stream")}]},
    "consumer": att("FanOut", "ConsumerARN"),
    "consumer by reference": ref("FanOut"),
    "one of two": either(ref("FanOut"), att("Stream")),
    "one of two accounts": either(KINESIS_ARN, "arn:aws:kinesis:x:2:stream/other"),
}
# From elsewhere: a Kinesis stream or a DynamoDB stream.
UNKNOWN = {
    "parameter": ref("StreamArn"),
    "parameter that says Kinesis": ref("KinesisStreamArn"),
    "import": {"Fn::ImportValue": {"Fn::Sub": "${Core}-StreamArn"}},
    "import that says Kinesis": {"Fn::ImportValue": {"Fn::Sub": "${Core}-KinesisArn"}},
    "import of CDK": {"Fn::ImportValue": "S:ExportsOutputFnGetAttStream790BDEE4ArnB60CF6B6"},
    "parent": ref("referencetoSStream4F40C641Arn"),
    "custom resource": att("Lookup", "StreamArn"),
    "dynamic reference": "{{resolve:ssm:/core/stream}}",
    "map": {"Fn::FindInMap": ["Streams", ref("AWS::Region"), "Arn"]},
    "some of two": either(att("Stream"), ref("StreamArn")),
    "parameter or nothing": either(ref("StreamArn"), NO_VALUE),
}
OTHER = {
    "queue": att("Queue"),
    "table's stream": att("Table", "StreamArn"),
    "table's stream in text": {"Fn::GetAtt": "Table.StreamArn"},
    "table's stream in sub": {"Fn::Sub": "${Table.StreamArn}"},
    "table's arn": "arn:aws:dynamodb:eu-central-1:1:table/x/stream/y",
    "table's arn in sub": {"Fn::Sub": "arn:${AWS::Partition}:dynamodb:${R}:1:table/x/stream/y"},
    "table's stream of the parent": ref("referencetoSTableE9EB1E14StreamArn"),
    "table's stream of another stack": {
        "Fn::ImportValue": "S:ExportsOutputFnGetAttTableCD117FA1StreamArnB270E65B"
    },
    "broker": "arn:aws:mq:eu-central-1:1:broker:b",
    "parameter that says DynamoDB": ref("DynamoDBStreamArn"),
    "one of two": either(att("Stream"), att("Table", "StreamArn")),
    "nothing": NO_VALUE,
}


@pytest.mark.parametrize("source", [*KINESIS.values(), *UNKNOWN.values()], ids=str)
def test_mappings_of_a_stream(source: Any) -> None:
    assert found(bad_mapping(source)) == EVERY_RULE


@pytest.mark.parametrize("source", OTHER.values(), ids=OTHER)
def test_mappings_of_another_source(source: Any) -> None:
    assert found(bad_mapping(source)) == []


@pytest.mark.parametrize(
    "more",
    [
        {"StartingPosition": None},  # a queue
        {"Topics": ["readings"]},
        {"Queues": ["readings"]},
        {"SelfManagedEventSource": {"Endpoints": {"KafkaBootstrapServers": ["a:9092"]}}},
        {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}},
        {"DocumentDBEventSourceConfig": {"DatabaseName": "d"}},
    ],
    ids=str,
)
def test_mappings_of_an_unknown_source_that_is_no_stream(more: Json) -> None:
    assert found(bad_mapping(ref("Source"))) == EVERY_RULE
    assert found(bad_mapping(ref("Source"), **more)) == []


@pytest.mark.parametrize(
    "reader",
    [
        resource("AWS::Lambda::EventSourceMapping"),
        mapping(EventSourceArn=3),
        {"Type": "AWS::Pipes::Pipe"},
    ],
)
def test_a_reader_without_a_source(reader: Json) -> None:
    assert found(reader) == []


@pytest.mark.parametrize("source", [*KINESIS.values(), *UNKNOWN.values()], ids=str)
def test_pipes_of_a_stream(source: Any) -> None:
    reader = pipe(source)
    reader["Properties"]["SourceParameters"] = {
        "KinesisStreamParameters": {"StartingPosition": "LATEST"}
    }
    assert found(reader) == [rule for rule in EVERY_RULE if rule != "IOT_15"]


@pytest.mark.parametrize("source", OTHER.values(), ids=OTHER)
def test_pipes_of_another_source(source: Any) -> None:
    reader = pipe(source)
    reader["Properties"]["SourceParameters"] = {
        "DynamoDBStreamParameters": {"StartingPosition": "LATEST"}
    }
    assert found(reader) == []


def test_a_pipe_of_an_unknown_source_reads_what_it_has_parameters_for() -> None:
    reader = pipe(ref("Source"), StartingPosition="LATEST")
    assert found(reader) == ["IOT_13"]
    others: list[Json | None] = [{"SqsQueueParameters": {}}, None]
    for parameters in others:
        reader["Properties"]["SourceParameters"] = parameters
        assert found(reader) == []


@pytest.mark.parametrize("source", OTHER)
def test_a_source_that_is_judged_by_its_name_is_not_judged(source: str) -> None:
    reader = mapping(EventSourceArn=OTHER[source])
    skipped = [
        it.logical_id
        for it in check(template({**SOURCES, "Reader": reader}))
        if it.rule_id == "IOT_00_NOT_JUDGED"
    ]
    by_name = ("parameter that says", "table's stream of")
    assert skipped == (["Reader"] if source.startswith(by_name) else [])


def test_a_queue_by_parameter_is_not_a_table_stream() -> None:
    reader = mapping(EventSourceArn=ref("DynamoDBDlqArn"), StartingPosition=NO_VALUE)
    del reader["Properties"]["StartingPosition"]
    assert "IOT_00_NOT_JUDGED" not in {it.rule_id for it in check(template({"Reader": reader}))}


def test_a_pipe_of_a_stream_without_parameters() -> None:
    reader = resource("AWS::Pipes::Pipe", Source=att("Stream"), Target="t")
    assert found(reader) == ["IOT_03", "IOT_06", "IOT_14", "IOT_14", "IOT_16"]


def test_the_source_of_a_nested_stack_is_the_parents() -> None:
    for source, expected in ((att("Stream"), EVERY_RULE), (att("Table", "StreamArn"), [])):
        nested = resource("AWS::CloudFormation::Stack", Parameters={"Source": source})
        outer = template({**SOURCES, "Nested": nested})
        inside = {"Resources": {"Reader": bad_mapping(ref("Source"))}}
        parent = outer.resources["Nested"]
        outer.nested["Nested"] = Template(Path("n.json"), inside, parent=parent)
        assert [it.rule_id[:6] for it in findings(outer)] == expected


def test_the_source_of_an_import_is_the_exported_value() -> None:
    export = "S:ExportsOutputFnGetAttTableStreamArn0123ABCD"  # an L1 table's id ends in no digits
    reader = template({"Reader": bad_mapping({"Fn::ImportValue": export})})
    outputs = {"Arn": {"Value": att("Table", "StreamArn"), "Export": {"Name": export}}}
    exporter = template(dict(SOURCES), path=Path("S.json"), Outputs=outputs)
    assert [it.rule_id[:6] for it in findings(reader)] == EVERY_RULE
    assert findings(reader, exporter) == []


def test_the_mappings_of_a_pipeline_are_those_of_certain_streams() -> None:
    readers = {
        "Certain": mapping(),
        "Unknown": mapping(EventSourceArn=ref("StreamArn")),
        "Pipe": pipe(),
    }
    pipeline = Pipeline(Graph([template(readers)]))
    assert [it.resource.logical_id for it in pipeline.mappings] == ["Certain"]
    assert [it.resource.logical_id for it in pipeline.stream_readers] == list(readers)


# -- compliant readers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000},
        {
            "MaximumBatchingWindowInSeconds": "1",
            "MaximumRetryAttempts": "0",
            "MaximumRecordAgeInSeconds": "60",
            "BisectBatchOnFunctionError": "true",
        },
        {"BisectBatchOnFunctionError": "True"},
        {"MaximumRetryAttempts": 0},
        {
            "StartingPosition": ref("Parameter"),
            "MaximumBatchingWindowInSeconds": ref("Parameter"),
            "MaximumRetryAttempts": ref("Parameter"),
            "MaximumRecordAgeInSeconds": ref("Parameter"),
            "BisectBatchOnFunctionError": ref("Parameter"),
            "FunctionResponseTypes": [ref("Parameter")],
            "DestinationConfig": {"OnFailure": IF},
        },
        {"StartingPosition": IF, "FunctionResponseTypes": IF, "DestinationConfig": IF},
        {"FunctionResponseTypes": ref("Parameter")},
        {"StartingPosition": either("LATEST", NO_VALUE)},
        # One branch complies.
        {
            "StartingPosition": either("LATEST", "TRIM_HORIZON"),
            "MaximumBatchingWindowInSeconds": either(NO_VALUE, 5),
            "MaximumRetryAttempts": either(-1, 5),
            "MaximumRecordAgeInSeconds": either(NO_VALUE, ref("Parameter")),
            "BisectBatchOnFunctionError": either(False, True),
            "FunctionResponseTypes": either([], ["ReportBatchItemFailures"]),
            "DestinationConfig": either(NO_VALUE, {"OnFailure": {"Destination": ref("Dlq")}}),
        },
        {
            "TumblingWindowInSeconds": 60,
            "MaximumBatchingWindowInSeconds": None,
            "BisectBatchOnFunctionError": None,
        },
        {
            "TumblingWindowInSeconds": ref("Window"),
            "MaximumBatchingWindowInSeconds": 0,
            "BisectBatchOnFunctionError": False,
        },
    ],
    ids=str,
)
def test_a_compliant_mapping(changes: Json) -> None:
    assert found(mapping(**changes)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"StartingPosition": "AT_TIMESTAMP"},
        {"MaximumBatchingWindowInSeconds": either(NO_VALUE, "5")},
        {"OnPartialBatchItemFailure": either(NO_VALUE, "AUTOMATIC_BISECT")},
        {"OnPartialBatchItemFailure": ref("Parameter"), "DeadLetterConfig": ref("Parameter")},
        {"DeadLetterConfig": either(NO_VALUE, {"Arn": ref("Dlq")})},
    ],
    ids=str,
)
def test_a_compliant_pipe(changes: Json) -> None:
    assert found(pipe(**changes)) == []


# -- one thing wrong at a time -------------------------------------------------------------------------------------

NO_WINDOW = "no batching window: MaximumBatchingWindowInSeconds is "
BOTH: list[tuple[Json, str, str]] = [
    ({"MaximumBatchingWindowInSeconds": None}, "IOT_03", f"{NO_WINDOW}not set and defaults to 0"),
    ({"MaximumBatchingWindowInSeconds": 0}, "IOT_03", f"{NO_WINDOW}0"),
    ({"MaximumBatchingWindowInSeconds": "0"}, "IOT_03", f"{NO_WINDOW}0"),
    ({"MaximumBatchingWindowInSeconds": either(0, NO_VALUE)}, "IOT_03", "defaults to 0"),
    ({"StartingPosition": "LATEST"}, "IOT_13", "StartingPosition is LATEST"),
    ({"StartingPosition": either("LATEST", "LATEST")}, "IOT_13", "StartingPosition is LATEST"),
    ({"MaximumRetryAttempts": None}, "IOT_14", "MaximumRetryAttempts is not set and defaults"),
    ({"MaximumRetryAttempts": -1}, "IOT_14", "unlimited retries: MaximumRetryAttempts is -1"),
    ({"MaximumRetryAttempts": "-1"}, "IOT_14", "unlimited retries: MaximumRetryAttempts is -1"),
    ({"MaximumRecordAgeInSeconds": None}, "IOT_14", "unlimited record age"),
    ({"MaximumRecordAgeInSeconds": -1}, "IOT_14", "MaximumRecordAgeInSeconds is -1"),
    ({"MaximumRecordAgeInSeconds": "-1"}, "IOT_14", "MaximumRecordAgeInSeconds is -1"),
]
MAPPING_ONLY: list[tuple[Json, str, str]] = [
    ({"DestinationConfig": None}, "IOT_06", "EventInvokeConfig"),
    ({"DestinationConfig": {"OnFailure": {}}}, "IOT_06", "no DestinationConfig.OnFailure"),
    ({"DestinationConfig": either(NO_VALUE, {})}, "IOT_06", "lambda/latest/dg/with-kinesis.html"),
    ({"StartingPosition": "LATEST"}, "IOT_13", "while the mapping is created or updated"),
    ({"FunctionResponseTypes": None}, "IOT_15", "does not contain ReportBatchItemFailures"),
    ({"FunctionResponseTypes": []}, "IOT_15", "does not contain ReportBatchItemFailures"),
    ({"BisectBatchOnFunctionError": None}, "IOT_16", "BisectBatchOnFunctionError is not true"),
    ({"BisectBatchOnFunctionError": False}, "IOT_16", "BisectBatchOnFunctionError is not true"),
    ({"BisectBatchOnFunctionError": "false"}, "IOT_16", "BisectBatchOnFunctionError is not true"),
]
PIPE_ONLY: list[tuple[Json, str, str]] = [
    ({"DeadLetterConfig": None}, "IOT_06", "no DeadLetterConfig.Arn: discarded records are lost"),
    ({"DeadLetterConfig": {}}, "IOT_06", "no DeadLetterConfig.Arn: discarded records are lost"),
    ({"StartingPosition": "LATEST"}, "IOT_13", "while the pipe is created or updated"),
    ({"OnPartialBatchItemFailure": None}, "IOT_16", "is not AUTOMATIC_BISECT"),
    ({"OnPartialBatchItemFailure": "OTHER"}, "IOT_16", "is not AUTOMATIC_BISECT"),
]


@pytest.mark.parametrize(("changes", "rule_id", "detail"), [*BOTH, *MAPPING_ONLY], ids=str)
def test_a_mapping_with_one_mistake(changes: Json, rule_id: str, detail: str) -> None:
    [finding] = findings(template({"Reader": mapping(**changes)}))
    assert (finding.rule_id[:6], finding.logical_id) == (rule_id, "Reader")
    assert detail in finding.detail
    assert finding.property_path.startswith(f"Properties/{next(iter(changes))}")


@pytest.mark.parametrize(("changes", "rule_id", "detail"), [*BOTH, *PIPE_ONLY], ids=str)
def test_a_pipe_with_one_mistake(changes: Json, rule_id: str, detail: str) -> None:
    [finding] = findings(template({"Reader": pipe(**changes)}))
    assert (finding.rule_id[:6], finding.logical_id) == (rule_id, "Reader")
    assert detail in finding.detail
    path = f"Properties/SourceParameters/KinesisStreamParameters/{next(iter(changes))}"
    assert finding.property_path.startswith(path)


@pytest.mark.parametrize("window", [None, 0, "0", either(0, NO_VALUE)])
def test_a_tumbling_window_of_zero_is_none(window: Any) -> None:
    reader = mapping(
        TumblingWindowInSeconds=window,
        MaximumBatchingWindowInSeconds=None,
        BisectBatchOnFunctionError=None,
    )
    assert found(reader) == ["IOT_03", "IOT_16"]


@pytest.mark.parametrize("settings", ["KinesisStreamParameters", "DynamoDBStreamParameters"])
def test_the_dead_letter_queue_of_a_pipe_receives_failures(settings: str) -> None:
    reader = pipe(ref("Source"))
    dead_letters = {"DeadLetterConfig": {"Arn": att("Queue")}}
    reader["Properties"]["SourceParameters"] = {settings: dead_letters}
    missing = check(template({**SOURCES, "Reader": reader}))
    [alarm] = [it for it in missing if it.rule_id[:6] == "IOT_07" and it.logical_id == "Queue"]
    assert "discarded batches of a pipe" in alarm.detail


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, []),
        ("1", []),
        (either(1, 100), []),
        (either(1, ref("Parameter")), []),
        (2, ["IOT_03", "IOT_15", "IOT_16"]),
        (ref("Parameter"), ["IOT_03", "IOT_15", "IOT_16"]),
        (None, ["IOT_03", "IOT_15", "IOT_16"]),
    ],
)
def test_a_batch_of_one_record_is_not_split(size: Any, expected: list[str]) -> None:
    unset = dict.fromkeys(
        ("MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "BisectBatchOnFunctionError")
    )
    assert found(mapping(BatchSize=size, **unset)) == expected
    of_pipe = dict.fromkeys(("MaximumBatchingWindowInSeconds", "OnPartialBatchItemFailure"))
    in_pipe = [rule_id for rule_id in expected if rule_id != "IOT_15"]
    assert found(pipe(BatchSize=size, **of_pipe)) == in_pipe


def test_the_finding_says_what_the_function_has_to_return() -> None:
    reader = mapping(FunctionResponseTypes=None)
    [finding] = findings(template({**SOURCES, "Reader": reader}))
    assert "batchItemFailures" in finding.detail
