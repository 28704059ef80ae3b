"""What CDK is asked once: answers that never change, principals and sizes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from iot_constructs import (
    DeviceStateTable,
    EnvironmentSuffix,
    MonitoredStream,
    SecureDataBucket,
    TimeSeriesTable,
)
from iot_constructs import _asked_once as asked
from iot_constructs._dead_letters import create_topic
from iot_constructs._principals import service_of_account, service_where
from iot_constructs._sizes import mebibytes_of, of_mebibytes
from tests.round_trips import counted
from tests.synth_support import ACCOUNT, fresh_stack

# --- a question --------------------------------------------------------------------------------------------------


class Thing:
    """What a question can be about."""


class Asking:
    """A question whose answers are given one after the other, and which remembers what it was about."""

    def __init__(self, *answers: Any) -> None:
        self.about: list[Thing] = []
        self._answers = list(answers)
        self.question: asked.Question[Thing, Any] = asked.Question(self._ask)

    def _ask(self, of: Thing) -> Any:
        self.about.append(of)
        return self._answers.pop(0)


def test_a_question_is_asked_once_of_each_object() -> None:
    asking, one, other = Asking("one's", "other's"), Thing(), Thing()
    for _ in range(3):
        assert asking.question(one) == "one's"
        assert asking.question(other) == "other's"
    assert asking.about == [one, other]


def test_none_is_an_answer_as_any_other() -> None:
    asking, thing = Asking(None), Thing()
    assert asking.question(thing) is None
    assert asking.question(thing) is None
    assert asking.about == [thing]


@pytest.mark.parametrize("answer", ["known", None])
def test_what_is_known_is_not_asked(answer: str | None) -> None:
    asking, thing, other = Asking("asked"), Thing(), Thing()
    asking.question.know(thing, answer)
    assert asking.question(thing) == answer
    assert asking.about == []
    assert asking.question(other) == "asked"


def test_what_is_known_wins_over_what_was_asked() -> None:
    asking, thing = Asking("asked"), Thing()
    assert asking.question(thing) == "asked"
    asking.question.know(thing, "known")
    assert asking.question(thing) == "known"


def test_two_questions_about_one_object_have_an_answer_each() -> None:
    first, second, thing = Asking("first"), Asking("second"), Thing()
    assert (first.question(thing), second.question(thing)) == ("first", "second")


def test_a_question_that_fails_is_asked_again() -> None:
    thing, answers = Thing(), iter([0, 1])
    question: asked.Question[Thing, float] = asked.Question(lambda _: 1 / next(answers))
    with pytest.raises(ZeroDivisionError):
        question(thing)
    assert question(thing) == 1


def test_an_object_goes_although_it_was_asked_about() -> None:
    asking, thing = Asking("answer"), Thing()
    asking.question(thing)
    asking.about.clear()
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


# --- the questions -----------------------------------------------------------------------------------------------


def a_mapping(stack: cdk.Stack) -> lambda_.EventSourceMapping:
    return lambda_.EventSourceMapping(
        stack, "It", target=a_function(stack), event_source_arn="arn:aws:kinesis:x:1:stream/s"
    )


def a_function(stack: cdk.Stack) -> lambda_.Function:
    return lambda_.Function(
        stack,
        "Function",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_14,
    )


def a_table(stack: cdk.Stack) -> dynamodb.TableV2:
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    return dynamodb.TableV2(stack, "It", partition_key=key)


@pytest.mark.parametrize(
    ("question", "make", "answer"),
    [
        (asked.key_arn, lambda stack: kms.Key(stack, "It"), lambda it: it.key_arn),
        (asked.topic_arn, lambda stack: sns.Topic(stack, "It"), lambda it: it.topic_arn),
        (asked.is_fifo, lambda stack: sns.Topic(stack, "It"), lambda it: it.fifo),
        (asked.is_fifo, lambda stack: sns.Topic(stack, "It", fifo=True), lambda it: it.fifo),
        (asked.stream_arn, lambda stack: kinesis.Stream(stack, "It"), lambda it: it.stream_arn),
        (asked.stream_name, lambda stack: kinesis.Stream(stack, "It"), lambda it: it.stream_name),
        (asked.table_name, a_table, lambda it: it.table_name),
        (asked.function_name, a_function, lambda it: it.function_name),
        (asked.mapping_id, a_mapping, lambda it: it.event_source_mapping_id),
    ],
)
def test_the_answer_is_that_of_cdk_and_comes_at_once_the_second_time(
    question: Callable[[Any], Any],
    make: Callable[[cdk.Stack], Any],
    answer: Callable[[Any], Any],
) -> None:
    it = make(fresh_stack())
    assert question(it) == answer(it)
    with counted() as sent:
        assert question(it) is question(it)
    assert sent() == 0


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_key_of_what_a_user_made_is_that_of_cdk(encrypted: bool) -> None:
    stack = fresh_stack()
    key = kms.Key(stack, "Key") if encrypted else None
    keys = [
        asked.key_of(kinesis.Stream(stack, "Stream", encryption_key=key)),
        asked.key_of(s3.Bucket(stack, "Bucket", encryption_key=key)),
        asked.key_of_topic(sns.Topic(stack, "Topic", master_key=key)),
    ]
    # Where there is no key of the user's, a stream is under Kinesis's own.
    assert keys == [key, key, key]


def test_what_ours_made_itself_is_known_without_asking() -> None:
    stack = fresh_stack("prod")
    key = kms.Key(stack, "Key")
    bucket = SecureDataBucket(stack, "Bucket", encryption_key=key)
    stream = MonitoredStream(stack, "Stream", encryption_key=key)
    tables = [
        DeviceStateTable(stack, "State", encryption_key=key),
        TimeSeriesTable(stack, "Readings", encryption_key=key),
    ]
    topic = create_topic(stack, "Topic", name="topic", suffix=EnvironmentSuffix("qa"), key=key)
    logs = bucket.access_logs_bucket
    with counted() as sent:
        assert asked.key_of(bucket.bucket) is key
        assert asked.key_of(logs) is None
        assert asked.key_of(stream.stream) is key
        assert [asked.key_of(table.table) for table in tables] == [key, key]
        assert asked.key_of_topic(topic) is key
        assert asked.is_fifo(topic) is False
    assert sent() == 0
    # And it is true.
    assert logs.encryption_key is None
    assert bucket.bucket.encryption_key is stream.stream.encryption_key is key
    assert [table.table.encryption_key for table in tables] == [key, key]
    assert topic.master_key is key
    assert topic.fifo is False


# --- principals and sizes ----------------------------------------------------------------------------------------


def conditions(principal: Any) -> dict[str, Any]:
    found: dict[str, Any] = principal.policy_fragment.conditions
    return found


def test_a_service_that_works_for_an_account_is_one_principal() -> None:
    made = service_of_account("lambda.amazonaws.com", ACCOUNT)
    assert service_of_account("lambda.amazonaws.com", ACCOUNT) is made
    assert made.service == "lambda.amazonaws.com"
    assert conditions(made) == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_services_and_their_conditions_are_kept_apart() -> None:
    one = service_where("sns.amazonaws.com", "sts:ExternalId", "1")
    another_value = service_where("sns.amazonaws.com", "sts:ExternalId", "2")
    another_service = service_where("s3.amazonaws.com", "sts:ExternalId", "1")
    assert conditions(one) == conditions(another_service)
    assert conditions(one) == {"StringEquals": {"sts:ExternalId": "1"}}
    assert conditions(another_value) == {"StringEquals": {"sts:ExternalId": "2"}}
    assert [it.service for it in (one, another_value, another_service)] == [
        "sns.amazonaws.com",
        "sns.amazonaws.com",
        "s3.amazonaws.com",
    ]


def test_a_size_of_ours_is_known_without_asking() -> None:
    made = of_mebibytes(417)
    with counted() as sent:
        assert mebibytes_of(made) == 417
        assert of_mebibytes(417) is made
    assert sent() == 0
    assert made.to_mebibytes() == 417


def test_a_size_of_the_users_is_asked_once() -> None:
    size = cdk.Size.gibibytes(2)
    assert mebibytes_of(size) == 2048
    with counted() as sent:
        assert mebibytes_of(size) == 2048
    assert sent() == 0
