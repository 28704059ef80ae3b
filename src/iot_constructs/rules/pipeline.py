"""The event source mappings and failure destinations of a pipeline, for the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from iot_constructs.rules.alarm_metrics import Alarms
from iot_constructs.rules.graph import UNKNOWN, Graph, Unknown
from iot_constructs.rules.template import Resource, Template

STREAM: Final = "AWS::Kinesis::Stream"
FUNCTION: Final = "AWS::Lambda::Function"
TOPIC: Final = "AWS::SNS::Topic"
QUEUE: Final = "AWS::SQS::Queue"
TABLES: Final = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")

_MAPPING: Final = "AWS::Lambda::EventSourceMapping"
_RULE: Final = "AWS::IoT::TopicRule"


@dataclass(frozen=True)
class StreamMapping:
    """An event source mapping of a Kinesis stream.

    Attributes:
        resource: the mapping.
        stream: None if the stream is not in this app.
        function: None if the function is not in this app.
    """

    resource: Resource
    stream: Resource | Unknown | None
    function: Resource | Unknown | None


@dataclass(frozen=True)
class FailurePath:
    """The failure destination of a resource.

    Attributes:
        source: the resource.
        value: the destination as in the template.
        description: what arrives there, for messages.
    """

    source: Resource
    value: Any
    description: str


class Pipeline:
    """The pipeline resources of an app; each property is evaluated once."""

    def __init__(self, graph: Graph, suffix: str | None = None) -> None:
        self.graph = graph
        self._suffix = suffix

    def suffix_of(self, template: Template) -> str | None:
        """Return the environment suffix of a stack: the given one, or its own; None if unknown."""
        return self._suffix if self._suffix is not None else template.root.suffix

    @cached_property
    def mappings(self) -> list[StreamMapping]:
        """All event source mappings that certainly read a Kinesis stream."""
        found = []
        for resource in self.graph.of_type(_MAPPING):
            source = resource.properties.get("EventSourceArn")
            stream = self.stream(source, resource)
            if isinstance(stream, Resource):
                if stream.type != STREAM:
                    continue  # a queue or a DynamoDB stream
            elif not self._is_kinesis_arn(source, resource):
                continue
            function = self.function(resource.properties.get("FunctionName"), resource)
            found.append(StreamMapping(resource, stream, function))
        return found

    @cached_property
    def stream_functions(self) -> list[Resource]:
        """The functions of the app that consume a Kinesis stream."""
        found = [it.function for it in self.mappings if isinstance(it.function, Resource)]
        return list(dict.fromkeys(it for it in found if it.type == FUNCTION))

    @cached_property
    def failure_paths(self) -> list[FailurePath]:
        """All dead-letter queues, on-failure destinations and error actions."""
        return list(self._failure_paths())

    @cached_property
    def failure_topics(self) -> dict[Resource, FailurePath]:
        """The topics of the app that receive failures, each with one source."""
        return self._failure_targets(TOPIC)

    @cached_property
    def failure_queues(self) -> dict[Resource, FailurePath]:
        """The queues of the app that receive failures, directly or through a topic."""
        found = self._failure_targets(QUEUE)
        for topic, endpoint in self._subscriptions:
            if isinstance(endpoint, Resource) and endpoint.type == QUEUE:
                for failing, path in self.failure_topics.items():
                    if topic in (failing, UNKNOWN):
                        found.setdefault(endpoint, path)
        return found

    @cached_property
    def subscribed_topics(self) -> set[Resource]:
        """The topics of the app that have a subscription, or can have one."""
        named = {topic for topic, _ in self._subscriptions}
        return {it for it in self.graph.of_type(TOPIC) if it in named or UNKNOWN in named}

    @cached_property
    def alarms(self) -> Alarms:
        """The alarms of the app."""
        return Alarms(self.graph)

    def source_topics(self, queue: Resource) -> set[Resource | Unknown | None]:
        """Return the topics that ``queue`` is subscribed to, in this app or not."""
        return {topic for topic, endpoint in self._subscriptions if endpoint is queue}

    def target(
        self, resource: Resource, property_name: str, *types: str
    ) -> Resource | Unknown | None:
        """Return the resource that a property of ``resource`` refers to."""
        value = resource.properties.get(property_name)
        return self.graph.target(value, resource.template, *types)

    def stream(self, value: Any, at: Resource) -> Resource | Unknown | None:
        """Return the stream of an ARN, also for the ARN of one of its consumers."""
        found = self.graph.target(value, at.template, STREAM)
        if isinstance(found, Resource) and found.type == "AWS::Kinesis::StreamConsumer":
            return self.target(found, "StreamARN", STREAM)
        return found

    def function(self, value: Any, at: Resource) -> Resource | Unknown | None:
        """Return the function of a name or ARN, also for an alias or a version."""
        found = self.graph.target(value, at.template, FUNCTION)
        if isinstance(found, Resource) and found.type in (
            "AWS::Lambda::Alias",
            "AWS::Lambda::Version",
        ):
            return self.target(found, "FunctionName", FUNCTION)
        return found

    @cached_property
    def _subscriptions(
        self,
    ) -> list[tuple[Resource | Unknown | None, Resource | Unknown | None]]:
        """Topic and endpoint of every subscription, including those in the topic's properties."""
        found = [
            (self.target(it, "TopicArn", TOPIC), self.target(it, "Endpoint", QUEUE, FUNCTION))
            for it in self.graph.of_type("AWS::SNS::Subscription")
        ]
        for topic in self.graph.of_type(TOPIC):
            for written in self.graph.items(topic.properties.get("Subscription")):
                for endpoint in self.graph.at(written, "Endpoint"):
                    known = None if endpoint is UNKNOWN else endpoint
                    found.append((topic, self.graph.target(known, topic.template, QUEUE, FUNCTION)))
        return found

    def _is_kinesis_arn(self, source: Any, at: Resource) -> bool:
        parts = self.graph.parts(source, at.template)
        return any(isinstance(part, str) and ":kinesis:" in part for part in parts)

    def _failure_targets(self, type: str) -> dict[Resource, FailurePath]:
        found: dict[Resource, FailurePath] = {}
        for path in self.failure_paths:
            target = self.graph.target(path.value, path.source.template, type)
            if isinstance(target, Resource) and target.type == type:
                found.setdefault(target, path)
        return found

    def _failure_paths(self) -> Iterator[FailurePath]:
        on_failure = ("DestinationConfig", "OnFailure", "Destination")
        redrive = ("RedrivePolicy", "deadLetterTargetArn")
        error_action = ("TopicRulePayload", "ErrorAction")
        for type, what, path in (
            (_MAPPING, "discarded batches of an event source mapping", on_failure),
            ("AWS::Lambda::EventInvokeConfig", "failed asynchronous invocations", on_failure),
            (FUNCTION, "failed asynchronous invocations", ("DeadLetterConfig", "TargetArn")),
            (_RULE, "failed messages of an IoT rule", (*error_action, "Sns", "TargetArn")),
            (_RULE, "failed messages of an IoT rule", (*error_action, "Sqs", "QueueUrl")),
            (QUEUE, "messages that exceed the receive count of a queue", redrive),
            ("AWS::SNS::Subscription", "undelivered messages of a topic", redrive),
        ):
            for resource in self.graph.of_type(type):
                for value in self.graph.at(resource.properties, *path):
                    yield FailurePath(resource, value, what)
