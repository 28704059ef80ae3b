"""SNS, SQS, S3, and Lambda, as the pipeline and a redrive use them: the models and the emulator agree."""

from __future__ import annotations

import json
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from .conftest import Models, Services


def receive(
    services: Services, count: int = 10, hidden: int = 300, wait: int = 0
) -> list[dict[str, Any]]:
    response = services.sqs.receive_message(
        QueueUrl=services.queue_url,
        MaxNumberOfMessages=count,
        VisibilityTimeout=hidden,
        WaitTimeSeconds=wait,
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    return list(response.get("Messages", []))


def receive_all(services: Services, count: int) -> list[dict[str, Any]]:
    """Receive `count` messages, in as many calls as it takes."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        received = receive(services, wait=1)
        assert received, f"{len(found)} of {count} messages"
        found += received
    return found


def send(services: Services, *bodies: str) -> list[str]:
    """Return the ids of the messages."""
    sqs = services.sqs
    return [
        sqs.send_message(QueueUrl=services.queue_url, MessageBody=body)["MessageId"]
        for body in bodies
    ]


def entries(messages: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    return [
        {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"], **more}
        for n, message in enumerate(messages)
    ]


def delete(services: Services, messages: list[dict[str, Any]]) -> dict[str, Any]:
    response: dict[str, Any] = services.sqs.delete_message_batch(
        QueueUrl=services.queue_url, Entries=entries(messages)
    )
    return response


def hide(services: Services, messages: list[dict[str, Any]], seconds: int) -> dict[str, Any]:
    response: dict[str, Any] = services.sqs.change_message_visibility_batch(
        QueueUrl=services.queue_url, Entries=entries(messages, VisibilityTimeout=seconds)
    )
    return response


def counts(services: Services) -> tuple[int, int]:
    """Return the approximate numbers of visible and of in-flight messages."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    response = services.sqs.get_queue_attributes(QueueUrl=services.queue_url, AttributeNames=names)
    visible, in_flight = (int(response["Attributes"][name]) for name in names)
    return visible, in_flight


def refused(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**request)
    code: str = raised.value.response["Error"]["Code"]
    return code


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return sorted(message["Body"] for message in messages)


# --- SQS


def test_a_message_is_received_with_what_a_redrive_reads(services: Services) -> None:
    [id] = send(services, "bödy")
    [message] = receive(services)
    assert (message["MessageId"], message["Body"]) == (id, "bödy")
    now = services.scheduler.now if isinstance(services, Models) else time.time()
    assert abs(int(message["Attributes"]["SentTimestamp"]) / 1000 - now) < 60
    assert message["ReceiptHandle"]
    hide(services, [message], 0)
    # A system attribute is only in the response if the call asks for it.
    [bare] = services.sqs.receive_message(QueueUrl=services.queue_url)["Messages"]
    assert "SentTimestamp" not in bare.get("Attributes", {})


def test_a_call_receives_up_to_10_messages_and_hides_them(services: Services) -> None:
    sent = [f"message {n}" for n in range(12)]
    send(services, *sent)
    assert counts(services) == (12, 0)
    first = receive(services)
    assert 1 <= len(first) <= 10
    assert counts(services) == (12 - len(first), len(first))
    others = receive_all(services, 12 - len(first))
    assert bodies(first + others) == sorted(sent)
    assert receive(services) == []
    assert counts(services) == (0, 12)
    assert len(receive(services, 1)) == 0
    hide(services, first[:2], 0)
    assert len(receive(services, 1)) == 1


@pytest.mark.parametrize("count", [0, 11])
def test_the_number_of_messages_of_a_receive(services: Services, count: int) -> None:
    send(services, "x")
    with pytest.raises((ClientError, ParamValidationError)):
        receive(services, count)
    assert counts(services) == (1, 0)


def test_a_message_whose_visibility_timeout_is_set_to_0_is_received_again(
    services: Services,
) -> None:
    send(services, "x")
    [first] = receive(services)
    assert successful(hide(services, [first], 0)) == ["0"]
    [second] = receive(services)
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]


def successful(response: dict[str, Any]) -> list[str]:
    """Return the ids of the entries of a response without a failure."""
    assert not response.get("Failed")
    return [each["Id"] for each in response["Successful"]]


def test_a_deleted_message_is_gone(services: Services) -> None:
    send(services, "a", "b")
    messages = receive_all(services, 2)
    assert successful(delete(services, messages)) == ["0", "1"]
    assert counts(services) == (0, 0)
    hide(services, messages, 0)
    assert receive(services) == []


def test_an_old_receipt_handle_is_a_success_that_changes_nothing(models: Models) -> None:
    """API_DeleteMessage: "the request will succeed, but the message might not be deleted".

    The emulator fails the entry, with ReceiptHandleIsInvalid.
    """
    send(models, "x")
    [first] = receive(models)
    hide(models, [first], 0)
    [second] = receive(models)
    assert successful(delete(models, [first])) == ["0"]
    [failure] = hide(models, [first], 0)["Failed"]
    assert failure["Code"] == "MessageNotInflight"
    assert counts(models) == (0, 1)
    assert successful(delete(models, [second])) == successful(delete(models, [second])) == ["0"]
    assert counts(models) == (0, 0)


def test_the_visibility_of_a_message_that_is_not_in_flight_cannot_be_changed(
    models: Models,
) -> None:
    """API_ChangeMessageVisibility: MessageNotInflight. The emulator changes it."""
    send(models, "x")
    [message] = receive(models, hidden=60)
    models.scheduler.now += 60
    [failure] = hide(models, [message], 60)["Failed"]
    assert (failure["Code"], failure["SenderFault"]) == ("MessageNotInflight", True)
    assert counts(models) == (1, 0)


def test_a_message_that_became_visible_can_be_deleted_by_its_last_handle(
    services: Services,
) -> None:
    send(services, "x")
    [message] = receive(services)
    hide(services, [message], 0)
    assert successful(delete(services, [message])) == ["0"]
    assert counts(services) == (0, 0)


@pytest.mark.parametrize("call", [delete, partial(hide, seconds=0)])
def test_a_handle_that_the_queue_did_not_make_fails_alone(services: Services, call: Any) -> None:
    send(services, "x")
    [message] = receive(services)
    response = call(services, [{"ReceiptHandle": "made-up"}, message])
    assert response["Successful"] == [{"Id": "1"}]
    [failure] = response["Failed"]
    assert (failure["Id"], failure["Code"], failure["SenderFault"]) == (
        "0",
        "ReceiptHandleIsInvalid",
        True,
    )


def test_the_visibility_of_a_deleted_message_cannot_be_changed(services: Services) -> None:
    send(services, "x")
    messages = receive(services)
    delete(services, messages)
    [failure] = hide(services, messages, 60)["Failed"]
    assert failure["SenderFault"] is True


@pytest.mark.parametrize("operation", ["delete_message_batch", "change_message_visibility_batch"])
def test_the_entries_of_a_batch(services: Services, operation: str) -> None:
    more = {"VisibilityTimeout": 60} if operation == "change_message_visibility_batch" else {}
    send(services, "x")
    [message] = receive(services)
    call, url = getattr(services.sqs, operation), services.queue_url
    prefix = "AWS.SimpleQueueService."
    eleven = entries([message] * 11, **more)
    assert refused(call, QueueUrl=url, Entries=eleven) == prefix + "TooManyEntriesInBatchRequest"
    same = [{**each, "Id": "0"} for each in eleven[:2]]
    assert refused(call, QueueUrl=url, Entries=same) == prefix + "BatchEntryIdsNotDistinct"
    assert refused(call, QueueUrl=url, Entries=[]) == prefix + "EmptyBatchRequest"
    assert counts(services) == (0, 1)


def test_a_queue_that_does_not_exist(services: Services) -> None:
    send(services, "x")
    missing = services.queue_url + "-2"
    code = "AWS.SimpleQueueService.NonExistentQueue"
    sqs = services.sqs
    assert refused(sqs.receive_message, QueueUrl=missing) == code
    assert refused(sqs.get_queue_attributes, QueueUrl=missing) == code
    assert refused(sqs.send_message, QueueUrl=missing, MessageBody="x") == code


def test_a_response_has_the_time_of_the_service(services: Services) -> None:
    services.sqs  # noqa: B018  # creates the queue
    response = services.sqs.get_queue_attributes(
        QueueUrl=services.queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    date = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    now = services.scheduler.now if isinstance(services, Models) else time.time()
    assert abs(date.timestamp() - now) < 60


def test_a_message_has_up_to_1_mib(services: Services) -> None:
    """SQSDeveloperGuide/quotas-messages.html"""
    [message] = send_and_receive(services, "x" * 2**20)
    assert len(message["Body"]) == 2**20
    with pytest.raises(ClientError):
        send(services, "x" * (2**20 + 1))
    with pytest.raises((ClientError, ParamValidationError)):
        send(services, "")
    assert counts(services) == (0, 1)


def send_and_receive(services: Services, body: str) -> list[dict[str, Any]]:
    send(services, body)
    return receive(services)


# --- SQS, only the model: virtual time


def test_a_message_is_visible_again_after_its_timeout(models: Models) -> None:
    """SQSDeveloperGuide/sqs-visibility-timeout.html"""
    send(models, "x")
    [message] = receive(models, hidden=60)
    models.scheduler.now += 59
    assert receive(models) == []
    hide(models, [message], 60)
    models.scheduler.now += 59
    assert receive(models) == []
    models.scheduler.now += 1
    [again] = receive(models)
    assert again["ReceiptHandle"] != message["ReceiptHandle"]
    models.sqs.receive_message(QueueUrl=models.queue_url)
    models.scheduler.now += 300
    # "The default visibility timeout for a queue is 30 seconds."
    models.sqs.receive_message(QueueUrl=models.queue_url)
    models.scheduler.now += 29
    assert receive(models) == []
    models.scheduler.now += 1
    assert len(receive(models)) == 1


def test_a_message_is_hidden_for_up_to_12_hours_from_its_receipt(models: Models) -> None:
    """SQSDeveloperGuide/sqs-visibility-timeout.html: an extension does not reset the 12 hours."""
    send(models, "x")
    [message] = receive(models, hidden=43_200)
    models.scheduler.now += 100
    [failure] = hide(models, [message], 43_101)["Failed"]
    assert (failure["Code"], failure["SenderFault"]) == ("InvalidParameterValue", True)
    assert successful(hide(models, [message], 43_100)) == ["0"]
    models.scheduler.now += 43_099
    assert receive(models) == []
    models.scheduler.now += 1
    assert len(receive(models)) == 1
    call = models.sqs.receive_message
    code = refused(call, QueueUrl=models.queue_url, VisibilityTimeout=43_201)
    assert code == "InvalidParameterValue"


def test_long_polling_waits_for_up_to_20_seconds(models: Models) -> None:
    """SQSDeveloperGuide/quotas-queues.html"""
    assert receive(models, wait=20) == []
    call = models.sqs.receive_message
    code = refused(call, QueueUrl=models.queue_url, WaitTimeSeconds=21)
    assert code == "InvalidParameterValue"


def test_in_flight_messages_above_the_quota(models: Models) -> None:
    """SQSDeveloperGuide/quotas-queues.html: OverLimit with short polling, and no error with long polling."""
    models.sqs.max_in_flight = 12
    send(models, *map(str, range(20)))
    held = receive(models)
    assert len(held + receive(models)) == 12
    assert receive(models, wait=1) == []
    code = refused(models.sqs.receive_message, QueueUrl=models.queue_url)
    assert code == "OverLimit"
    delete(models, held[:1])
    assert len(receive(models)) == 1


def test_a_message_is_delivered_at_least_once(models: Models) -> None:
    """SQSDeveloperGuide/standard-queues-at-least-once-delivery.html"""
    models.sqs.duplicates = 1.0
    [first] = send_and_receive(models, "x")
    [second] = receive(models)
    assert (second["MessageId"], models.sqs.delivered_twice) == (first["MessageId"], 2)


def test_failed_entries_of_a_batch(models: Models) -> None:
    send(models, "a", "b")
    messages = receive(models)
    response = models.sqs.delete_message_batch(
        QueueUrl=models.queue_url,
        Entries=entries(messages),
        fails=lambda index: "InternalError" if index == 0 else None,
    )
    assert response["Successful"] == [{"Id": "1"}]
    [failure] = response["Failed"]
    assert (failure["Id"], failure["Code"], failure["SenderFault"]) == ("0", "InternalError", False)
    assert counts(models) == (0, 1)


# --- SNS


def publish(services: Services, *messages: str, **more: Any) -> dict[str, Any]:
    response: dict[str, Any] = services.sns.publish_batch(
        TopicArn=services.topic_arn,
        PublishBatchRequestEntries=[
            {"Id": str(n), "Message": message, **more} for n, message in enumerate(messages)
        ],
    )
    return response


def test_a_published_message_is_on_the_queue_in_an_envelope(services: Services) -> None:
    """sns/latest/dg/sns-sqs-as-subscriber.html"""
    sent = services.sns.publish(TopicArn=services.topic_arn, Message='{"ä": 1}')
    [message] = receive_all(services, 1)
    envelope = json.loads(message["Body"])
    assert envelope["Type"] == "Notification"
    assert envelope["TopicArn"] == services.topic_arn
    assert envelope["Message"] == '{"ä": 1}'
    assert envelope["MessageId"] == sent["MessageId"]
    datetime.strptime(envelope["Timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_batch_publishes_each_message_with_its_attributes(services: Services) -> None:
    reason = {"reason": {"DataType": "String", "StringValue": "not-json"}}
    response = publish(services, "a", "b", "c", MessageAttributes=reason)
    assert [each["Id"] for each in response["Successful"]] == ["0", "1", "2"]
    assert response["Failed"] == []
    envelopes = [json.loads(message["Body"]) for message in receive_all(services, 3)]
    assert sorted(each["Message"] for each in envelopes) == ["a", "b", "c"]
    ids = {each["MessageId"] for each in response["Successful"]}
    assert {each["MessageId"] for each in envelopes} == ids
    assert len(ids) == 3
    assert envelopes[0]["MessageAttributes"] == {"reason": {"Type": "String", "Value": "not-json"}}


def test_the_entries_of_a_published_batch(services: Services) -> None:
    call, topic = services.sns.publish_batch, services.topic_arn

    def code(batch: list[dict[str, str]]) -> str:
        return refused(call, TopicArn=topic, PublishBatchRequestEntries=batch)

    some = [{"Id": str(n), "Message": "x"} for n in range(11)]
    assert code(some) == "TooManyEntriesInBatchRequest"
    assert code([{"Id": "0", "Message": "x"}] * 2) == "BatchEntryIdsNotDistinct"
    # The emulator has another code for an empty batch, and publishes with any id.
    if isinstance(services, Models):
        assert code([]) == "EmptyBatchRequest"
        assert code([{"Id": "a.b", "Message": "x"}]) == "InvalidBatchEntryId"
        assert code([{"Id": "a" * 81, "Message": "x"}]) == "InvalidBatchEntryId"
    assert counts(services) == (0, 0)
    publish(services, *["x"] * 10)
    assert len(receive_all(services, 10)) == 10


def test_a_published_message_has_up_to_256_kib(services: Services) -> None:
    services.sns.publish(TopicArn=services.topic_arn, Message="x" * 262_144)
    assert len(receive_all(services, 1)) == 1
    code = refused(services.sns.publish, TopicArn=services.topic_arn, Message="x" * 262_145)
    assert code == "InvalidParameter"
    assert receive(services) == []


def test_published_messages_have_up_to_256_kib_together(models: Models) -> None:
    """API_PublishBatch, and API_MessageAttributeValue: with the names, types, and values of attributes.

    The emulator publishes batches of any size.
    """
    reason = {"reason": {"DataType": "String", "StringValue": "not-json"}}
    half = 131_072 - len("reasonStringnot-json")
    with pytest.raises(ClientError) as raised:
        publish(models, "x" * half, "x" * (half + 1), MessageAttributes=reason)
    assert raised.value.response["Error"]["Code"] == "BatchRequestTooLong"
    publish(models, "x" * half, "x" * half, MessageAttributes=reason)
    assert len(receive(models)) == 2


def test_a_topic_that_does_not_exist(services: Services) -> None:
    missing = services.topic_arn + "-2"
    sns = services.sns
    assert refused(sns.publish, TopicArn=missing, Message="x") == "NotFound"
    batch = [{"Id": "0", "Message": "x"}]
    code = refused(sns.publish_batch, TopicArn=missing, PublishBatchRequestEntries=batch)
    assert code == "NotFound"


def test_a_failed_message_is_in_the_response_and_the_others_are_published(models: Models) -> None:
    """API_PublishBatch: "The result of publishing each message is reported individually" """
    response = models.sns.publish_batch(
        TopicArn=models.topic_arn,
        PublishBatchRequestEntries=[{"Id": str(n), "Message": str(n)} for n in range(2)],
        fails=lambda index: "InternalError" if index == 0 else None,
    )
    [failure] = response["Failed"]
    assert (failure["Id"], failure["Code"], failure["SenderFault"]) == ("0", "InternalError", False)
    assert [json.loads(message["Body"])["Message"] for message in receive(models)] == ["1"]


def test_a_published_message_is_delivered_at_least_once(models: Models) -> None:
    """sns/latest/dg/sns-message-delivery-retries.html"""
    models.sns.duplicates = 1.0
    publish(models, "x")
    first, second = receive(models)
    assert first["Body"] == second["Body"]
    assert first["MessageId"] != second["MessageId"]
    assert models.sns.delivered_twice == 1


# --- S3


def test_an_object_is_read_as_it_was_put(services: Services) -> None:
    services.s3.put_object(Bucket=services.name, Key="aws/lambda/a", Body=b"\x00\xff")
    services.s3.put_object(Bucket=services.name, Key="aws/lambda/a", Body=b"new")
    body = services.s3.get_object(Bucket=services.name, Key="aws/lambda/a")["Body"].read()
    assert body == b"new"


def test_what_is_not_in_s3(services: Services) -> None:
    s3 = services.s3
    assert refused(s3.get_object, Bucket=services.name, Key="missing") == "NoSuchKey"
    missing = services.name + "-2"
    assert refused(s3.get_object, Bucket=missing, Key="missing") == "NoSuchBucket"
    assert refused(s3.put_object, Bucket=missing, Key="x", Body=b"") == "NoSuchBucket"
    s3.head_bucket(Bucket=services.name)
    # The response to HEAD has no body, so the code is the status.
    assert refused(s3.head_bucket, Bucket=missing) == "404"


def test_a_new_object_is_notified_with_its_key_encoded(services: Services) -> None:
    """AmazonS3/latest/userguide/notification-content-structure.html"""
    services.s3.put_object(Bucket=services.name, Key="aws/lambda/a b+c/ä:1", Body=b"12345")
    [message] = [
        json.loads(each["Body"])
        for each in receive_all(services, 1)
        if "s3:Test" not in each["Body"]
    ]
    [record] = message["Records"]
    assert record["eventSource"] == "aws:s3"
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == services.name
    assert record["s3"]["object"]["key"] == "aws/lambda/a+b%2Bc/%C3%A4%3A1"
    assert record["s3"]["object"]["size"] == 5


# --- Lambda


def invoke(services: Services, event: object, **more: Any) -> tuple[dict[str, Any], Any]:
    """Return the response and its payload."""
    response: dict[str, Any] = services.function.invoke(
        FunctionName=services.name, Payload=json.dumps(event).encode(), **more
    )
    return response, json.loads(response["Payload"].read())


def test_the_response_of_a_function(services: Services) -> None:
    response, payload = invoke(services, {"a": ["ä", None]})
    assert response["StatusCode"] == 200
    assert response["ExecutedVersion"] == "$LATEST"
    assert response["ResponseMetadata"]["RequestId"]
    assert "FunctionError" not in response
    assert payload["event"] == {"a": ["ä", None]}
    assert 0 < payload["ms"] <= 1000


def test_an_exception_is_a_function_error_of_a_successful_call(services: Services) -> None:
    """lambda/latest/dg/python-exceptions.html"""
    response, payload = invoke(services, {"raise": "told to"})
    assert (response["StatusCode"], response["FunctionError"]) == (200, "Unhandled")
    assert payload["errorMessage"] == "told to"
    # The emulator has Runtime.HandlerError.
    if isinstance(services, Models):
        assert payload["errorType"] == "ValueError"
    response, _ = invoke(services, {})
    assert "FunctionError" not in response


def test_a_timeout_is_a_function_error_of_a_successful_call(services: Services) -> None:
    """lambda/latest/dg/troubleshooting-invocation.html: "Task timed out after 1.00 seconds" """
    response, payload = invoke(services, {"sleep": 30})
    assert (response["StatusCode"], response["FunctionError"]) == (200, "Unhandled")
    assert "Task timed out after 1.00 seconds" in payload["errorMessage"]
    response, _ = invoke(services, {})
    assert "FunctionError" not in response


def test_a_payload_has_up_to_6_mb(models: Models) -> None:
    """API_Invoke: RequestTooLargeException, with the status 413. The emulator takes any size."""
    invoke(models, {"x": "x" * (6 * 2**20 - len('{"x": ""}'))})
    with pytest.raises(ClientError) as raised:
        invoke(models, {"x": "x" * (6 * 2**20)})
    assert raised.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_a_function_that_does_not_exist(services: Services) -> None:
    invoke = services.function.invoke
    code = refused(invoke, FunctionName=services.name + "-2", Payload=b"{}")
    assert code == "ResourceNotFoundException"


def test_the_arn_of_a_function_is_a_name(services: Services) -> None:
    function = services.name
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function}"
    assert services.function.invoke(FunctionName=arn, Payload=b"{}")["StatusCode"] == 200


def test_an_invocation_above_the_concurrency_is_throttled(models: Models) -> None:
    """lambda/latest/dg/lambda-concurrency.html"""
    models.lambda_function.concurrency = 0
    with pytest.raises(ClientError) as raised:
        invoke(models, {})
    assert raised.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert models.lambda_function.invocations == 0
