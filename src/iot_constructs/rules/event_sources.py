"""Rules for the readers of a stream: event source mappings of Lambda and EventBridge pipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import MAPPING, PIPE, Pipeline, StreamReader
from iot_constructs.rules.remediations import (
    FAILURE_BUCKET,
    Remediation,
    email_topic,
    set_properties,
)
from iot_constructs.rules.rule import DOCS, Finding, Rule

_LAMBDA: Final = f"{DOCS}/lambda/latest/dg"
_WITH_KINESIS: Final = f"{_LAMBDA}/with-kinesis.html"


def _set_in_pipe(**settings: str | int) -> Remediation:
    """Return a fix that sets parameters of the pipe's source; aws-cdk-lib has no L2 construct of a pipe."""
    path = "SourceParameters.KinesisStreamParameters"
    return set_properties(
        "\n".join(
            f'pipe.add_property_override("{path}.{name}", {value!r})'.replace("'", '"')
            for name, value in settings.items()
        ),
        "SourceParameters:\n  KinesisStreamParameters:\n"
        + "\n".join(f"    {name}: {value}" for name, value in settings.items()),
    )


class _ReaderRule(Rule):
    """A rule for each reader of a stream."""

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find readers whose settings do not comply."""
        for reader in pipeline.stream_readers:
            yield from self.check_reader(pipeline.graph, reader)

    def check_reader(self, graph: Graph, reader: StreamReader) -> Iterator[Finding]:
        """Find what does not comply in ``reader``."""
        raise NotImplementedError

    def found(self, reader: StreamReader, detail: str, *path: str) -> Finding:
        """Return a finding about the setting at ``path`` of ``reader``."""
        return self.finding(
            reader.resource, detail, "/".join(("Properties", *reader.settings, *path))
        )


class BatchingWindow(_ReaderRule):
    """Reports readers without a batching window."""

    id = "IOT_03_BATCHING_WINDOW"
    info = (
        "Every event source mapping or pipe that reads a Kinesis stream has a batching window of at "
        "least one second, unless it has a tumbling window or a batch size of 1."
    )
    explanation = (
        "Without a window, the function or target is invoked for every few records, which costs "
        "more."
    )
    remediations: ClassVar = {
        MAPPING: set_properties(
            "max_batching_window=Duration.seconds(5)", "MaximumBatchingWindowInSeconds: 5"
        ),
        PIPE: _set_in_pipe(MaximumBatchingWindowInSeconds=5),
    }
    source_url = f"{_LAMBDA}/services-kinesis-parameters.html"
    _NAME: Final = "MaximumBatchingWindowInSeconds"

    def check_reader(self, graph: Graph, reader: StreamReader) -> Iterator[Finding]:
        """Find a window that is not set or zero."""
        values = _at(graph, reader, self._NAME)
        exempt = _has_tumbling_window(graph, reader) or _has_single_records(graph, reader)
        if exempt or not _all_in(graph, reader, values, None, 0):
            return
        state = "is 0" if None not in values else "is not set and defaults to 0"
        yield self.found(reader, f"no batching window: {self._NAME} {state}", self._NAME)


class FailureDestination(_ReaderRule):
    """Reports readers whose discarded records are lost."""

    id = "IOT_06_STREAM_FAILURE_DESTINATION"
    info = (
        "Every event source mapping or pipe that reads a Kinesis stream has its own on-failure "
        "destination or dead-letter queue."
    )
    explanation = (
        "Lambda invokes the function synchronously, so the function's dead-letter queue and "
        "asynchronous configuration never receive a discarded record, and it is lost."
    )
    remediations: ClassVar = {
        MAPPING: Remediation(
            f"on_failure=lambda_event_sources.S3OnFailureDestination({FAILURE_BUCKET})",
            """\
# The role of the function must allow sns:Publish on this topic.
<LogicalId>:
  Properties:
    DestinationConfig:
      OnFailure: {Destination: {Ref: <LogicalId>FailedBatches}}
"""
            + email_topic("<LogicalId>FailedBatches"),
            f"""\
failures = {FAILURE_BUCKET}
mapping.add_property_override("DestinationConfig.OnFailure.Destination", failures.bucket_arn)
# The role of the function has to be allowed: failures.grant_read_write(role)""",
        ),
        PIPE: Remediation(
            """\
failed_batches = sns.Topic(
    pipe,
    "FailedBatches",
    enforce_ssl=True,
    master_key=kms.Alias.from_alias_name(pipe, "SnsKey", "alias/aws/sns"),
)
failed_batches.add_subscription(subscriptions.EmailSubscription("ops@example.com"))
failed_batches.grant_publish(iam.Role.from_role_arn(pipe, "PipeRole", pipe.role_arn))
pipe.add_property_override(
    "SourceParameters.KinesisStreamParameters.DeadLetterConfig.Arn", failed_batches.topic_arn
)""",
            """\
# The role of the pipe must allow sns:Publish on this topic.
<LogicalId>:
  Properties:
    SourceParameters:
      KinesisStreamParameters:
        DeadLetterConfig: {Arn: {Ref: <LogicalId>FailedBatches}}
"""
            + email_topic("<LogicalId>FailedBatches"),
        ),
    }
    source_url = f"{_LAMBDA}/kinesis-on-failure-destination.html"

    def check_reader(self, graph: Graph, reader: StreamReader) -> Iterator[Finding]:
        """Find readers without a destination."""
        if reader.resource.type == PIPE:
            path: tuple[str, ...] = ("DeadLetterConfig", "Arn")
            lost = "discarded records are lost"
        else:
            path = ("DestinationConfig", "OnFailure", "Destination")
            lost = (
                "discarded records are lost; the function's dead-letter queue and "
                "EventInvokeConfig apply to asynchronous invocations and never receive a Kinesis "
                f"record ({_WITH_KINESIS})"
            )
        if _all_in(graph, reader, _at(graph, reader, *path), None):
            yield self.found(reader, f"no {'.'.join(path)}: {lost}", *path)


class TrimHorizon(_ReaderRule):
    """Reports readers that start at LATEST."""

    id = "IOT_13_TRIM_HORIZON"
    info = (
        "Every event source mapping or pipe that reads a Kinesis stream starts at TRIM_HORIZON or "
        "at a timestamp."
    )
    explanation = "LATEST can miss records while the mapping or pipe is created or updated."
    remediations: ClassVar = {
        MAPPING: set_properties(
            "starting_position=lambda_.StartingPosition.TRIM_HORIZON",
            "StartingPosition: TRIM_HORIZON",
        ),
        PIPE: _set_in_pipe(StartingPosition="TRIM_HORIZON"),
    }
    source_url = f"{_LAMBDA}/services-kinesis-parameters.html"

    def check_reader(self, graph: Graph, reader: StreamReader) -> Iterator[Finding]:
        """Find readers whose only starting position is LATEST."""
        name = "StartingPosition"
        if _all_in(graph, reader, _at(graph, reader, name), "LATEST"):
            kind = "pipe" if reader.resource.type == PIPE else "mapping"
            yield self.found(
                reader,
                f"{name} is LATEST, which can miss records while the {kind} is created or updated",
                name,
            )


class BoundedRetries(_ReaderRule):
    """Reports readers that retry a failing record until it expires."""

    id = "IOT_14_BOUNDED_RETRIES"
    info = (
        "Every event source mapping or pipe that reads a Kinesis stream limits the retry attempts "
        "and the record age."
    )
    explanation = (
        "By default, a failing record is retried until it expires, which blocks the shard; "
        "throttled invocations do not count as retries, so the record age needs a limit as well."
    )
    # 12 hours are less than the default retention period of a stream (IOT_17).
    remediations: ClassVar = {
        MAPPING: set_properties(
            "retry_attempts=10, max_record_age=Duration.hours(12)",
            "MaximumRetryAttempts: 10\nMaximumRecordAgeInSeconds: 43200",
        ),
        PIPE: _set_in_pipe(MaximumRetryAttempts=10, MaximumRecordAgeInSeconds=43200),
    }
    source_url = f"{_LAMBDA}/services-kinesis-parameters.html"

    def check_reader(self, graph: Graph, reader: StreamReader) -> Iterator[Finding]:
        """Find each limit that is not set or infinite."""
        for name, what in (
            ("MaximumRetryAttempts", "retries"),
            ("MaximumRecordAgeInSeconds", "record age"),
        ):
            values = _at(graph, reader, name)
            if _all_in(graph, reader, values, None, -1):
                state = "is -1" if None not in values else "is not set and defaults to -1"
                yield self.found(reader, f"unlimited {what}: {name} {state}", name)


class PartialBatches(_ReaderRule):
    """Reports mappings that retry a whole batch for one record."""

    id = "IOT_15_PARTIAL_BATCHES"
    info = (
        "Every event source mapping of a Kinesis stream reports batch item failures, unless its batch "
        "size is 1."
    )
    explanation = (
        "Unless the function returns the records that failed as batchItemFailures, one of them causes "
        "a retry of its whole batch."
    )
    remediations: ClassVar = {
        MAPPING: set_properties(
            "report_batch_item_failures=True", "FunctionResponseTypes: [ReportBatchItemFailures]"
        ),
    }
    source_url = f"{_LAMBDA}/services-kinesis-batchfailurereporting.html"

    def check_reader(self, graph: Graph, reader: StreamReader) -> Iterator[Finding]:
        """Find mappings whose response types do not contain it."""
        if reader.resource.type != MAPPING or _has_single_records(graph, reader):
            return
        name = "FunctionResponseTypes"
        texts = [
            graph.text(it, reader.resource.template)
            for it in graph.items(reader.resource.properties.get(name))
        ]
        if None not in texts and "ReportBatchItemFailures" not in texts:
            yield self.found(
                reader,
                "one failing record causes a retry of its whole batch: "
                f"{name} does not contain ReportBatchItemFailures, with which the function returns the "
                "failed records as batchItemFailures",
                name,
            )


class Bisect(_ReaderRule):
    """Reports readers that do not split a failed batch."""

    id = "IOT_16_BISECT"
    info = (
        "Every event source mapping or pipe that reads a Kinesis stream splits a failed batch, "
        "unless it has a tumbling window or a batch size of 1."
    )
    explanation = (
        "A function or target that fails does not identify the record, so the whole batch is "
        "discarded with it."
    )
    remediations: ClassVar = {
        MAPPING: set_properties("bisect_batch_on_error=True", "BisectBatchOnFunctionError: true"),
        PIPE: _set_in_pipe(OnPartialBatchItemFailure="AUTOMATIC_BISECT"),
    }
    source_url = f"{_LAMBDA}/services-kinesis-parameters.html"

    def check_reader(self, graph: Graph, reader: StreamReader) -> Iterator[Finding]:
        """Find readers that discard whole batches."""
        if reader.resource.type == PIPE:
            name, value = "OnPartialBatchItemFailure", "AUTOMATIC_BISECT"
            values = _at(graph, reader, name)
            complies = any(
                it is not None and graph.text(it, reader.resource.template) in (None, value)
                for it in values
            )
        else:
            name, value = "BisectBatchOnFunctionError", "true"
            complies = _has_tumbling_window(graph, reader) or not graph.none_true(
                _at(graph, reader, name), reader.resource.template
            )
        if not complies and not _has_single_records(graph, reader):
            yield self.found(reader, f"a failed batch is not split: {name} is not {value}", name)


def _at(graph: Graph, reader: StreamReader, *path: str) -> list[Any]:
    """Return all possible values of a setting of ``reader``."""
    return graph.at(reader.resource.properties, *reader.settings, *path)


def _all_in(
    graph: Graph, reader: StreamReader, values: list[Any], *invalid: str | int | None
) -> bool:
    """Return whether all possible values are certainly among ``invalid``; None is a value that is not set."""
    texts = [str(it) for it in invalid if it is not None]
    return all(
        None in invalid if it is None else graph.text(it, reader.resource.template) in texts
        for it in values
    )


def _has_tumbling_window(graph: Graph, reader: StreamReader) -> bool:
    """Return whether ``reader`` can have one: it is the window, and keeps its state between batches."""
    values = graph.at(reader.resource.properties, "TumblingWindowInSeconds")
    return not _all_in(graph, reader, values, None, 0)


def _has_single_records(graph: Graph, reader: StreamReader) -> bool:
    """Return whether a batch of ``reader`` can be one record by its settings: nothing to wait for or to split."""
    values = _at(graph, reader, "BatchSize")
    return any(it is not None and graph.text(it, reader.resource.template) == "1" for it in values)


RULES: Final = (
    BatchingWindow(),
    FailureDestination(),
    TrimHorizon(),
    BoundedRetries(),
    PartialBatches(),
    Bisect(),
)
