"""Cases of the rules for stream readers, streams, stream functions and IoT rules."""

from __future__ import annotations

from typing import Final

from tests.rules.fix_cases import FixCase

MAPPING: Final = "AWS::Lambda::EventSourceMapping"
PIPE: Final = "AWS::Pipes::Pipe"
STREAM: Final = "AWS::Kinesis::Stream"
FUNCTION: Final = "AWS::Lambda::Function"
TOPIC_RULE: Final = "AWS::IoT::TopicRule"

_STREAM_CDK: Final = """
stream = kinesis.Stream(self, "Stream")
"""
_FUNCTION_CDK: Final = """
function = lambda_.Function(
    self,
    "Function",
    code=lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}"),
    handler="index.handler",
    runtime=lambda_.Runtime.PYTHON_3_13,
    <function>
)
"""
_START: Final = "starting_position=lambda_.StartingPosition.LATEST"

_STREAM_YAML: Final = """
Stream:
  Type: AWS::Kinesis::Stream
"""
_FUNCTION_YAML: Final = """
Function:
  Type: AWS::Lambda::Function
  Properties:
    Handler: index.handler
    Runtime: python3.13
    Role: arn:aws:iam::123456789012:role/processor
    Code: {ZipFile: "def handler(event, context): return {'batchItemFailures': []}"}
"""
_MAPPING_YAML: Final = """
Mapping:
  Type: AWS::Lambda::EventSourceMapping
  Properties:
    EventSourceArn: {Fn::GetAtt: [Stream, Arn]}
    FunctionName: {Ref: Function}
    StartingPosition: LATEST
"""
_PIPE_YAML: Final = """
Pipe:
  Type: AWS::Pipes::Pipe
  Properties:
    RoleArn: arn:aws:iam::123456789012:role/pipe
    Source: {Fn::GetAtt: [Stream, Arn]}
    Target: {Fn::GetAtt: [Function, Arn]}
    SourceParameters:
      KinesisStreamParameters: {StartingPosition: LATEST}
"""


def _function(marker: str = "") -> str:
    return _FUNCTION_CDK.replace("<function>", marker)


def _mapping(rule_id: str, broken: str = "") -> FixCase:
    """The event source of a function; ``lambda_.EventSourceMapping`` has the same arguments."""
    start = "" if broken else f"{_START},"
    source = f"""
function.add_event_source(
    lambda_event_sources.KinesisEventSource(
        stream,
        {start}
        <fix>{broken}</fix>
    )
)
"""
    yaml = _STREAM_YAML + _FUNCTION_YAML + _MAPPING_YAML
    return FixCase(rule_id, MAPPING, _STREAM_CDK + _function() + source, yaml)


def _pipe(rule_id: str) -> FixCase:
    source = """
pipe_role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("pipes.amazonaws.com"))
pipe = pipes.CfnPipe(
    self,
    "Pipe",
    role_arn=pipe_role.role_arn,
    source=stream.stream_arn,
    target=function.function_arn,
    source_parameters=pipes.CfnPipe.PipeSourceParametersProperty(
        kinesis_stream_parameters=pipes.CfnPipe.PipeSourceKinesisStreamParametersProperty(
            starting_position="LATEST"
        )
    ),
)
<fix></fix>
"""
    yaml = _STREAM_YAML + _FUNCTION_YAML + _PIPE_YAML
    return FixCase(rule_id, PIPE, _STREAM_CDK + _function() + source, yaml)


def _topic_rule(rule_id: str) -> FixCase:
    return FixCase(
        rule_id,
        TOPIC_RULE,
        """
rule_role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("iot.amazonaws.com"))
rule = iot.CfnTopicRule(
    self,
    "Rule",
    topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
        sql="SELECT * FROM 'device/+/telemetry'",
        actions=[
            iot.CfnTopicRule.ActionProperty(
                s3=iot.CfnTopicRule.S3ActionProperty(
                    bucket_name="raw", key="${topic()}", role_arn=rule_role.role_arn
                )
            ),
            iot.CfnTopicRule.ActionProperty(
                kinesis=iot.CfnTopicRule.KinesisActionProperty(
                    stream_name="readings",
                    partition_key="${deviceId}",
                    role_arn=rule_role.role_arn,
                )
            ),
        ],
    ),
)
<fix></fix>
""",
        """
Rule:
  Type: AWS::IoT::TopicRule
  Properties:
    TopicRulePayload:
      Sql: SELECT * FROM 'device/+/telemetry'
      Actions:
        - S3:
            BucketName: raw
            Key: ${topic()}
            RoleArn: arn:aws:iam::123456789012:role/rule
        - Kinesis:
            StreamName: readings
            PartitionKey: ${deviceId}
            RoleArn: arn:aws:iam::123456789012:role/rule
""",
    )


CASES: Final = (
    _mapping("IOT_03_BATCHING_WINDOW"),
    _mapping("IOT_06_STREAM_FAILURE_DESTINATION"),
    _mapping("IOT_13_TRIM_HORIZON", broken=_START),
    _mapping("IOT_14_BOUNDED_RETRIES"),
    _mapping("IOT_15_PARTIAL_BATCHES"),
    _mapping("IOT_16_BISECT"),
    _pipe("IOT_03_BATCHING_WINDOW"),
    _pipe("IOT_06_STREAM_FAILURE_DESTINATION"),
    _pipe("IOT_13_TRIM_HORIZON"),
    _pipe("IOT_14_BOUNDED_RETRIES"),
    _pipe("IOT_16_BISECT"),
    _topic_rule("IOT_18_RULE_ERROR_ACTION"),
    _topic_rule("IOT_19_RULE_SQL_VERSION"),
    _topic_rule("IOT_20_RULE_PARTITION_KEY"),
    FixCase(
        "IOT_17_RETENTION_ABOVE_AGE",
        STREAM,
        """
stream = kinesis.Stream(self, "Stream", <fix></fix>)
"""
        + _function()
        + """
function.add_event_source(
    lambda_event_sources.KinesisEventSource(
        stream,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        max_record_age=Duration.days(7),
    )
)
""",
        _STREAM_YAML + _FUNCTION_YAML + _MAPPING_YAML + "    MaximumRecordAgeInSeconds: 604800\n",
    ),
    FixCase(
        "IOT_23_ASYNC_FAILURE_PATH",
        FUNCTION,
        _STREAM_CDK
        + _function("<fix></fix>")
        + """
function.add_event_source(
    lambda_event_sources.KinesisEventSource(
        stream, starting_position=lambda_.StartingPosition.TRIM_HORIZON
    )
)
""",
        _STREAM_YAML + _FUNCTION_YAML + _MAPPING_YAML,
    ),
)
