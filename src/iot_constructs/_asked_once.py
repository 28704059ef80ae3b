"""Questions to CDK whose answer never changes, so that each is asked once of each object.

Every question is a round trip to Node, about 0.2 ms, and a pipeline used to ask a hundred of these again and again:
what a topic's ARN is, under which key a stream is. What our constructs made themselves they know without asking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:  # a construct loads only the modules that it uses
    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_kinesis as kinesis
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_s3 as s3
    from aws_cdk import aws_sns as sns

Of = TypeVar("Of")
Answer = TypeVar("Answer")


class Question(Generic[Of, Answer]):
    """A question that is called with the object it is about."""

    def __init__(self, ask: Callable[[Of], Answer]) -> None:
        self._ask = ask
        self._answers: WeakKeyDictionary[Of, Answer] = WeakKeyDictionary()

    def __call__(self, of: Of) -> Answer:
        """The answer."""
        if of not in self._answers:
            self._answers[of] = self._ask(of)
        return self._answers[of]

    def know(self, of: Of, answer: Answer) -> None:
        """Take the answer from whoever made the object."""
        self._answers[of] = answer


key_arn: Question[kms.IKey, str] = Question(lambda key: key.key_arn)
key_of: Question[kinesis.IStream | s3.IBucket | dynamodb.ITable, kms.IKey | None] = Question(
    lambda resource: resource.encryption_key
)
key_of_topic: Question[sns.ITopic, kms.IKey | None] = Question(lambda topic: topic.master_key)
is_fifo: Question[sns.ITopic, bool] = Question(lambda topic: topic.fifo)
topic_arn: Question[sns.ITopic, str] = Question(lambda topic: topic.topic_arn)
stream_arn: Question[kinesis.IStream, str] = Question(lambda stream: stream.stream_arn)
stream_name: Question[kinesis.IStream, str] = Question(lambda stream: stream.stream_name)
table_name: Question[dynamodb.ITable, str] = Question(lambda table: table.table_name)
function_name: Question[lambda_.IFunction, str] = Question(lambda function: function.function_name)
mapping_id: Question[lambda_.IEventSourceMapping, str] = Question(
    lambda mapping: mapping.event_source_mapping_id
)
