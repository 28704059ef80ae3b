"""The stream readers and failure destinations of a pipeline, for the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from iot_constructs.rules.alarm_metrics import Alarms
from iot_constructs.rules.graph import UNKNOWN, Graph, Target, Unknown
from iot_constructs.rules.template import Json, Resource, Template, text_of

STREAM: Final = "AWS::Kinesis::Stream"
FUNCTION: Final = "AWS::Lambda::Function"
TOPIC: Final = "AWS::SNS::Topic"
QUEUE: Final = "AWS::SQS::Queue"
TABLES: Final = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")

MAPPING: Final = "AWS::Lambda::EventSourceMapping"
PIPE: Final = "AWS::Pipes::Pipe"
TOPIC_RULE: Final = "AWS::IoT::TopicRule"

# They subscribe themselves to their topics.
_CHATS: Final = (
    "AWS::Chatbot::MicrosoftTeamsChannelConfiguration",
    "AWS::Chatbot::SlackChannelConfiguration",
)
_CONSUMER: Final = "AWS::Kinesis::StreamConsumer"
_PIPE_SETTINGS: Final = ("SourceParameters", "KinesisStreamParameters")
_PIPE_TABLE_SETTINGS: Final = ("SourceParameters", "DynamoDBStreamParameters")
# The properties of mappings whose source is neither a Kinesis nor a DynamoDB stream.
_OTHER_SOURCES: Final = (
    "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "Queues",
    "SelfManagedEventSource",
    "Topics",
)
# A name that says that a value from elsewhere is the stream of a table. CDK writes the attribute after the eight digits
# that end a logical id: ...Table1A2B3C4DStreamArn.
_TABLE_STREAM = re.compile(r"[Dd]ynamo|DYNAMO|[0-9A-F]{8}StreamArn")


@dataclass(frozen=True)
class StreamReader:
    """An event source mapping or an EventBridge pipe that reads a stream.

    Attributes:
        resource: the mapping or the pipe.
        certain: True if this is certainly a Kinesis stream. False if the source is known only at deployment, and can be
            a DynamoDB stream as well.
        stream: None if the stream is not in this app.
        function: the function of a mapping; None if it is not in this app, and for a pipe.
    """

    resource: Resource
    certain: bool
    stream: Target
    function: Target = None

    @property
    def settings(self) -> tuple[str, ...]:
        """The path of the settings for the stream, below ``Properties``."""
        return _PIPE_SETTINGS if self.resource.type == PIPE else ()


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
    def stream_readers(self) -> list[StreamReader]:
        """All event source mappings and pipes that read a Kinesis stream, or that may."""
        return [*self._mappings(), *self._pipes()]

    @cached_property
    def unjudged_mappings(self) -> list[Resource]:
        """The mappings whose source is known at deployment only, and is taken for a DynamoDB stream by its name."""
        return [
            mapping
            for mapping in self.graph.of_type(MAPPING)
            for source in [mapping.properties.get("EventSourceArn")]
            if _can_read_a_stream(mapping.properties)
            and mapping.template.event_type(mapping.logical_id) is None
            and self.graph.target(source, mapping.template, STREAM) is UNKNOWN
            and self._is_kinesis_arn(source, mapping) is UNKNOWN
            and self._is_named_like_a_table_stream(source)
        ]

    @property
    def mappings(self) -> list[StreamReader]:
        """All event source mappings that certainly read a Kinesis stream."""
        return [it for it in self.stream_readers if it.certain and it.resource.type == MAPPING]

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
        first = next(iter(self.failure_topics.values()), None)
        for topic, endpoint in self._subscriptions:
            path = first if topic is UNKNOWN else None
            if isinstance(topic, Resource):
                path = self.failure_topics.get(topic)
            if path is not None and isinstance(endpoint, Resource) and endpoint.type == QUEUE:
                found.setdefault(endpoint, path)
        return found

    @cached_property
    def subscribed_topics(self) -> set[Resource]:
        """The topics of the app that have a subscription, or can have one."""
        named = {topic for topic, _ in self._subscriptions}
        topics = set(self.graph.of_type(TOPIC))
        return topics if UNKNOWN in named else topics & named

    @cached_property
    def alarms(self) -> Alarms:
        """The alarms of the app."""
        return Alarms(self.graph)

    def source_topics(self, queue: Resource) -> set[Target]:
        """Return the topics that ``queue`` is subscribed to, in this app or not."""
        return self._topics_by_endpoint.get(queue, set())

    def target(self, resource: Resource, property_name: str, *types: str) -> Target:
        """Return the resource that a property of ``resource`` refers to."""
        value = resource.properties.get(property_name)
        return self.graph.target(value, resource.template, *types)

    def stream(self, value: Any, at: Resource) -> Target:
        """Return the stream of an ARN, also for the ARN of one of its consumers."""
        found = {self._stream(branch, at) for branch in self.graph.branches(value)}
        return found.pop() if len(found) == 1 else UNKNOWN

    def function(self, value: Any, at: Resource) -> Target:
        """Return the function of a name or ARN, also for an alias or a version."""
        found = self.graph.target(value, at.template, FUNCTION)
        text = self.graph.text(value, at.template) if found is None and value is not None else None
        if text is not None and ":" in text:  # name:alias, or account:function:name
            name = text.split(":function:")[-1].split(":")[0]
            found = self.graph.target(name, at.template, FUNCTION)
        if isinstance(found, Resource) and found.type in (
            "AWS::Lambda::Alias",
            "AWS::Lambda::Version",
        ):
            return self.target(found, "FunctionName", FUNCTION)
        return found

    @cached_property
    def _subscriptions(
        self,
    ) -> list[tuple[Target, Target]]:
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
        for chat in self.graph.of_type(*_CHATS):
            for value in self.graph.items(chat.properties.get("SnsTopicArns")):
                found.append((self.graph.target(value, chat.template, TOPIC), None))
        return found

    @cached_property
    def _topics_by_endpoint(
        self,
    ) -> dict[Target, set[Target]]:
        found: dict[Target, set[Target]] = {}
        for topic, endpoint in self._subscriptions:
            found.setdefault(endpoint, set()).add(topic)
        return found

    def _stream(self, value: Any, at: Resource) -> Target:
        found = self.graph.target(value, at.template, STREAM)
        if isinstance(found, Resource) and found.type == _CONSUMER:
            found = self.target(found, "StreamARN", STREAM)
        return None if isinstance(found, Resource) and found.type != STREAM else found

    def _mappings(self) -> Iterator[StreamReader]:
        for resource in self.graph.of_type(MAPPING):
            properties = resource.properties
            source = properties.get("EventSourceArn")
            reads = self._reads_kinesis(source, resource)
            event_type = resource.template.event_type(resource.logical_id)
            if event_type is not None:  # SAM's author says it
                reads = event_type == "Kinesis"
            if reads is UNKNOWN:
                if not _can_read_a_stream(properties):
                    continue
            elif not reads:
                continue
            function = self.function(properties.get("FunctionName"), resource)
            yield StreamReader(resource, reads is True, self.stream(source, resource), function)

    def _pipes(self) -> Iterator[StreamReader]:
        for resource in self.graph.of_type(PIPE):
            source = resource.properties.get("Source")
            settings = self.graph.at(resource.properties, *_PIPE_SETTINGS)
            if self._reads_kinesis(source, resource) is True or any(
                it is not None for it in settings
            ):
                yield StreamReader(resource, True, self.stream(source, resource))

    def _reads_kinesis(self, source: Any, at: Resource) -> bool | Unknown:
        """Return whether an ARN is certainly that of a Kinesis stream or consumer."""
        found = {
            self._is_kinesis(branch, at)
            for branch in self.graph.branches(source)
            if branch is not None
        }
        if not found or False in found:
            return False
        return UNKNOWN if UNKNOWN in found else True

    def _is_kinesis(self, value: Any, at: Resource) -> bool | Unknown:
        target = self.graph.target(value, at.template, STREAM)
        if isinstance(target, Resource):
            return target.type in (STREAM, _CONSUMER)
        known = self._is_kinesis_arn(value, at)
        if known is UNKNOWN and self._is_named_like_a_table_stream(value):
            return False
        return known

    def _is_kinesis_arn(self, value: Any, at: Resource) -> bool | Unknown:
        texts = [it for it in self.graph.parts(value, at.template) if isinstance(it, str)]
        if any(":kinesis:" in text for text in texts):
            return True
        return False if texts and re.match(r"arn:[^:]*:[^:]+:", texts[0]) else UNKNOWN

    def _is_named_like_a_table_stream(self, value: Any) -> bool:
        return _TABLE_STREAM.search(text_of(value)) is not None

    def _failure_targets(self, type: str) -> dict[Resource, FailurePath]:
        found: dict[Resource, FailurePath] = {}
        for path in self.failure_paths:
            target = self.graph.target(path.value, path.source.template, type)
            if isinstance(target, Resource) and target.type == type:
                found.setdefault(target, path)
        return found

    def _failure_paths(self) -> Iterator[FailurePath]:
        on_failure = ("DestinationConfig", "OnFailure", "Destination")
        dead_letters = ("DeadLetterConfig", "Arn")
        redrive = ("RedrivePolicy", "deadLetterTargetArn")
        error_action = ("TopicRulePayload", "ErrorAction")
        for type, what, path in (
            (MAPPING, "discarded batches of an event source mapping", on_failure),
            (PIPE, "discarded batches of a pipe", (*_PIPE_SETTINGS, *dead_letters)),
            (PIPE, "discarded batches of a pipe", (*_PIPE_TABLE_SETTINGS, *dead_letters)),
            ("AWS::Lambda::EventInvokeConfig", "failed asynchronous invocations", on_failure),
            (FUNCTION, "failed asynchronous invocations", ("DeadLetterConfig", "TargetArn")),
            (TOPIC_RULE, "failed messages of an IoT rule", (*error_action, "Sns", "TargetArn")),
            (TOPIC_RULE, "failed messages of an IoT rule", (*error_action, "Sqs", "QueueUrl")),
            (QUEUE, "messages that exceed the receive count of a queue", redrive),
            ("AWS::SNS::Subscription", "undelivered messages of a topic", redrive),
        ):
            for resource in self.graph.of_type(type):
                for value in self.graph.at(resource.properties, *path):
                    yield FailurePath(resource, value, what)


def _can_read_a_stream(properties: Json) -> bool:
    """Return whether a mapping of an unknown source reads a Kinesis or DynamoDB stream."""
    return "StartingPosition" in properties and not any(
        name in properties for name in _OTHER_SOURCES
    )
