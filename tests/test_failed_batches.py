"""Whole failed batches in a bucket, and the message on the DLQ topic that says so."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match

from iot_constructs import MonitoredStream, SecureDataBucket, StreamProcessor
from tests.synth_support import Json, fresh_stack, one, resources, template_of
from tests.test_whole_pipeline import plain

_ACCOUNT = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def _processor(stack: cdk.Stack, **settings: Any) -> StreamProcessor:
    code = lambda_.Code.from_inline("def handler(event, context): pass")
    stream = MonitoredStream(stack, "Stream")
    return StreamProcessor(
        stack, "Processor", stream=stream, code=code, handler="index.handler", **settings
    )


def _data_bucket(template: Json) -> tuple[str, Json]:
    (found,) = [
        (id, bucket)
        for id, bucket in resources(template, "AWS::S3::Bucket").items()
        if "LoggingConfiguration" in bucket["Properties"]
    ]
    return found


@pytest.fixture(scope="module")
def template() -> Json:
    stack = fresh_stack("prod")
    _processor(stack, failed_batches=SecureDataBucket(stack, "Failed"))
    return template_of(stack)


def test_the_bucket_announces_on_the_dlq_topic_what_lambda_puts_into_it(template: Json) -> None:
    (topic,) = resources(template, "AWS::SNS::Topic")
    _, bucket = _data_bucket(template)
    assert bucket["Properties"]["NotificationConfiguration"] == {
        "TopicConfigurations": [
            {
                "Event": "s3:ObjectCreated:*",
                "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "aws/lambda/"}]}},
                "Topic": {"Ref": topic},
            }
        ]
    }


def test_s3_may_publish_for_this_bucket_only(template: Json) -> None:
    statements = one(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (allowed,) = [s for s in statements if s["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Action"] == "sns:Publish"
    assert {"StringEquals": allowed["Condition"]["StringEquals"]} == _ACCOUNT
    _, bucket = _data_bucket(template)
    (source,) = allowed["Condition"]["ArnLike"].items()
    assert source[0] == "aws:SourceArn"
    name = plain(bucket["Properties"]["BucketName"])
    assert plain(source[1]) == f"arn:${{AWS::Partition}}:s3:::{name}"


def test_two_buckets_may_announce_on_one_topic() -> None:
    """Each in a statement of its own, and a statement's id must not come twice in a policy."""
    stack = fresh_stack("prod")
    topic = sns.Topic(stack, "Topic")
    for name in ("one", "other"):
        SecureDataBucket(stack, name.title(), bucket_name=name).announce_new_objects(
            topic, prefix="a/"
        )
    statements = one(template_of(stack), "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert len(statements) == 2
    ids = [statement["Sid"] for statement in statements if "Sid" in statement]
    assert len(ids) == len(set(ids))


def test_s3_may_use_the_key_of_the_topic_for_this_account_only(template: Json) -> None:
    statements = one(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (allowed,) = [s for s in statements if s["Principal"].get("Service") == "s3.amazonaws.com"]
    assert allowed["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert allowed["Condition"] == _ACCOUNT


def test_the_bucket_waits_for_the_policy_that_s3_checks(template: Json) -> None:
    (policy,) = resources(template, "AWS::SNS::TopicPolicy")
    _, bucket = _data_bucket(template)
    assert policy in bucket["DependsOn"]


def test_no_function_of_cdk_changes_notifications_at_deploy_time(template: Json) -> None:
    assert resources(template, "Custom::S3BucketNotifications") == {}
    assert len(resources(template, "AWS::Lambda::Function")) == 1


def test_announcements_add_up() -> None:
    stack = fresh_stack("prod")
    bucket = SecureDataBucket(stack, "Data")
    first, second = sns.Topic(stack, "First"), sns.Topic(stack, "Second")
    bucket.announce_new_objects(first, prefix="a/")
    bucket.announce_new_objects(second, prefix="b/")
    _, resource = _data_bucket(template_of(stack))
    configurations = resource["Properties"]["NotificationConfiguration"]["TopicConfigurations"]
    prefixes = [c["Filter"]["S3Key"]["Rules"][0]["Value"] for c in configurations]
    assert prefixes == ["a/", "b/"]


def test_a_fifo_topic_is_refused() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Fifo", fifo=True)
    with pytest.raises(ValueError, match=r"topic='Test/Fifo' is a FIFO topic.*without fifo=True"):
        SecureDataBucket(stack, "Data").announce_new_objects(topic, prefix="a/")


def test_a_bucket_that_cannot_announce_is_warned_about() -> None:
    stack = fresh_stack()
    _processor(stack, failed_batches=s3.Bucket(stack, "Own"))
    _warned(stack, "iot-constructs:failedBatchesNotAnnounced")


def test_an_imported_topic_that_s3_may_not_publish_to_is_warned_about() -> None:
    stack = fresh_stack()
    topic = sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:eu-central-1:123456789012:own")
    SecureDataBucket(stack, "Data").announce_new_objects(topic, prefix="a/")
    _warned(stack, "iot-constructs:topicPolicyNotChanged")


def _warned(stack: cdk.Stack, warning_id: str) -> None:
    found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    assert [entry for entry in found if warning_id in str(entry.entry.data)]
