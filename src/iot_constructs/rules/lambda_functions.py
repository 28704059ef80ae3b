"""Rules for Lambda functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from iot_constructs.rules.graph import UNKNOWN, Target
from iot_constructs.rules.pipeline import FUNCTION, Pipeline
from iot_constructs.rules.remediations import FAILURE_BUCKET, Remediation, email_topic
from iot_constructs.rules.rule import DOCS, Finding, Rule


class AsyncFailurePath(Rule):
    """Reports stream functions whose failed asynchronous invocations are lost."""

    id = "IOT_23_ASYNC_FAILURE_PATH"
    info = (
        "A function that consumes a stream also has an on-failure destination or a dead-letter queue "
        "for asynchronous invocations."
    )
    explanation = (
        "Operators invoke it asynchronously to redrive records, and a failed invocation is lost "
        "otherwise."
    )
    remediations: ClassVar = {
        FUNCTION: Remediation(
            f"on_failure=destinations.S3Destination({FAILURE_BUCKET})",
            """\
# The role of the function must allow sns:Publish on this topic.
<LogicalId>InvokeConfig:
  Type: AWS::Lambda::EventInvokeConfig
  Properties:
    FunctionName: {Ref: <LogicalId>}
    Qualifier: $LATEST
    DestinationConfig:
      OnFailure: {Destination: {Ref: <LogicalId>FailedInvocations}}
"""
            + email_topic("<LogicalId>FailedInvocations"),
            f"""\
failures = {FAILURE_BUCKET}
lambda_.CfnEventInvokeConfig(
    function,
    "InvokeConfig",
    function_name=function.ref,
    qualifier="$LATEST",
    destination_config={{"onFailure": {{"destination": failures.bucket_arn}}}},
)
failures.grant_read_write(iam.Role.from_role_arn(function, "OwnRole", function.role))""",
        )
    }
    source_url = f"{DOCS}/lambda/latest/dg/invocation-async-retain-records.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find stream functions with neither a destination nor a dead-letter queue."""
        configured = _configured(pipeline)
        for function in pipeline.stream_functions:
            values = pipeline.graph.at(function.properties, "DeadLetterConfig", "TargetArn")
            if all(it is None for it in values) and not configured & {function, UNKNOWN}:
                yield self.finding(
                    function,
                    "a failed asynchronous invocation of this stream function (an operator's "
                    "redrive) is lost: neither EventInvokeConfig with OnFailure nor "
                    "DeadLetterConfig is set",
                )


def _configured(pipeline: Pipeline) -> set[Target]:
    """Return the functions with an on-failure destination."""
    found = set()
    for config in pipeline.graph.of_type("AWS::Lambda::EventInvokeConfig"):
        on_failure = ("DestinationConfig", "OnFailure", "Destination")
        if any(it is not None for it in pipeline.graph.at(config.properties, *on_failure)):
            found.add(pipeline.function(config.properties.get("FunctionName"), config))
    return found


RULES: Final = (AsyncFailurePath(),)
