"""The agreement of injectors and rules: what injectors set, a rule reports if it is missing, and the reverse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_lambda_event_sources import KinesisEventSource, SqsDlq

from iot_constructs.rules import (
    RULES,
    IotPipelineChecks,
    property_injectors,
)
from tests.plain_pipeline import PlainPipelineStack
from tests.rules.test_plugin import OURS, synth, violations
from tests.synth_support import Json, fresh_app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "injectors.md"
IDS = {rule.id for rule in RULES}

# --- the agreement ---------------------------------------------------------------------------------------------------

# Rule -> the properties that the injectors set, and whose absence the rule reports.
SET = {
    "IOT_02_POINT_IN_TIME_RECOVERY": {
        "AWS::DynamoDB::Table PointInTimeRecoverySpecification",
        "AWS::DynamoDB::GlobalTable Replicas",
    },
    "IOT_03_BATCHING_WINDOW": {"AWS::Lambda::EventSourceMapping MaximumBatchingWindowInSeconds"},
    "IOT_04_PRIVATE_TLS_BUCKET": {
        "AWS::S3::Bucket PublicAccessBlockConfiguration",
        "AWS::S3::BucketPolicy PolicyDocument",
    },
    "IOT_14_BOUNDED_RETRIES": {
        "AWS::Lambda::EventSourceMapping MaximumRetryAttempts",
        "AWS::Lambda::EventSourceMapping MaximumRecordAgeInSeconds",
    },
    "IOT_16_BISECT": {"AWS::Lambda::EventSourceMapping BisectBatchOnFunctionError"},
    "IOT_22_DELETION_PROTECTION": {
        "AWS::DynamoDB::Table DeletionProtectionEnabled",
        "AWS::DynamoDB::GlobalTable Replicas",
    },
    "IOT_24_BUCKET_VERSIONING": {"AWS::S3::Bucket VersioningConfiguration"},
    "IOT_30_TLS_ONLY_MESSAGING": {
        "AWS::SQS::QueuePolicy PolicyDocument",
        "AWS::SNS::TopicPolicy PolicyDocument",
    },
}
# Property that the injectors set -> why no rule reports its absence.
WITHOUT_RULE = {
    "AWS::S3::Bucket BucketEncryption": "S3 encrypts every object",
    "AWS::S3::BucketPolicy Bucket": "the bucket of the TLS policy",
    "AWS::SQS::Queue SqsManagedSseEnabled": "SQS encrypts every queue that does not disable it; false is IOT_29",
    "AWS::SQS::QueuePolicy Queues": "the queue of the TLS policy",
    "AWS::SNS::TopicPolicy Topics": "the topic of the TLS policy",
    "AWS::DynamoDB::Table BillingMode": "capacity is a decision about cost",
    "AWS::DynamoDB::Table ProvisionedThroughput": "removed with the billing mode",
    "AWS::Kinesis::Stream StreamModeDetails": "capacity is a decision about cost",
    "AWS::Kinesis::Stream ShardCount": "removed with the mode",
    "AWS::Kinesis::Stream RetentionPeriodHours": "IOT_17 compares it with the record age; alone, 24 h are no mistake",
    "AWS::Lambda::Function TracingConfig": "a help in investigations, not a mistake",
    "AWS::IAM::Policy PolicyDocument": "the role can write traces",
}
# Rule -> why the injectors leave its properties.
LEFT = {
    "IOT_01_ENVIRONMENT_SUFFIX": "names belong to the stack",
    "IOT_05_TERMINATION_PROTECTION": "belongs to the stack",
    "IOT_06_STREAM_FAILURE_DESTINATION": "needs a queue or topic with a consumer",
    "IOT_07_PIPELINE_ALARMS": "an alarm needs a threshold and a recipient",
    "IOT_08_NO_TIMESTREAM": "no property, but a resource",
    "IOT_09_ALARM_DIMENSIONS": "the metric is a decision",
    "IOT_10_EMITTED_METRIC": "the metric is a decision",
    "IOT_11_ALARM_ACTION_REACHABLE": "the injected topic policy keeps CloudWatch's access; others are the app's",
    "IOT_12_DLQ_SUBSCRIBER": "a subscription needs an endpoint",
    "IOT_13_TRIM_HORIZON": "a required property, so the app sets it",
    "IOT_15_PARTIAL_BATCHES": "the code of the function must support them",
    "IOT_17_RETENTION_ABOVE_AGE": "the injected values comply; others are the app's",
    "IOT_18_RULE_ERROR_ACTION": "IoT rules have no L2",
    "IOT_19_RULE_SQL_VERSION": "IoT rules have no L2",
    "IOT_20_RULE_PARTITION_KEY": "IoT rules have no L2",
    "IOT_21_TIME_SERIES_TTL": "the attribute belongs to the application",
    "IOT_23_ASYNC_FAILURE_PATH": "needs a queue or topic with a consumer",
    "IOT_25_BUCKET_ACCESS_LOGS": "needs a second bucket",
    "IOT_26_ALARM_ACTION": "an alarm needs a recipient",
    "IOT_27_ALARM_TOPIC_SUBSCRIBER": "a subscription needs an endpoint",
    "IOT_28_DATA_RETENTION": "the tables of the CDK have a DeletionPolicy",
    "IOT_29_ENCRYPTION_AT_REST": "streams and queues are encrypted by default; CloudWatch cannot use the AWS "
    "managed key of a topic, and a customer managed key incurs cost",
}
TO_COME = {"IOT_26_ALARM_ACTION", "IOT_27_ALARM_TOPIC_SUBSCRIBER"}  # remove with these rules


def test_the_agreement_has_every_rule_once() -> None:
    assert not SET.keys() & LEFT.keys()
    assert (SET.keys() | LEFT.keys()) - TO_COME <= IDS
    # IOT_00 is about what could not be examined.
    assert {id for id in IDS if not id.startswith("IOT_00")} <= SET.keys() | LEFT.keys()


# --- one resource each -----------------------------------------------------------------------------------------------

_ID = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)


class Case(NamedTuple):
    """Findings of one stack: those that the injectors resolve, and those that stay."""

    build: Callable[[cdk.Stack], object]
    resolved: set[str]
    left: set[str]


def reader(stack: cdk.Stack, *, dead_letters: bool = False, window: int | None = None) -> None:
    function = lambda_.Function(
        stack,
        "Function",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    source = KinesisEventSource(
        kinesis.Stream(stack, "Stream"),
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        on_failure=SqsDlq(sqs.Queue(stack, "DeadLetters")) if dead_letters else None,
        tumbling_window=cdk.Duration.seconds(window) if window is not None else None,
    )
    function.add_event_source(source)


def unencrypted_queue(stack: cdk.Stack) -> object:
    unencrypted = sqs.QueueEncryption.UNENCRYPTED
    return sqs.Queue(stack, "Queue", encryption=unencrypted, enforce_ssl=False)


def topic_with_own_policy(stack: cdk.Stack) -> object:
    statement = iam.PolicyStatement(
        actions=["sns:Publish"], principals=[iam.AccountRootPrincipal()], resources=["*"]
    )
    return sns.TopicPolicy(
        stack,
        "Own",
        topics=[sns.Topic(stack, "Topic")],
        policy_document=iam.PolicyDocument(statements=[statement]),
    )


def expiring_bucket(stack: cdk.Stack) -> object:
    rule = s3.LifecycleRule(expiration=cdk.Duration.days(30))
    return s3.Bucket(stack, "Bucket", lifecycle_rules=[rule])


def public_bucket(stack: cdk.Stack) -> object:
    bucket = s3.Bucket(stack, "Bucket")
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            principals=[iam.AnyPrincipal()],
            resources=[bucket.arn_for_objects("*")],
        )
    )
    return bucket


def unencrypted_stream(stack: cdk.Stack) -> object:
    return kinesis.Stream(stack, "Stream", encryption=kinesis.StreamEncryption.UNENCRYPTED)


def table(stack: cdk.Stack) -> object:
    return dynamodb.Table(stack, "Table", partition_key=_ID)


def destroyed_table(stack: cdk.Stack) -> object:
    destroy = cdk.RemovalPolicy.DESTROY
    return dynamodb.Table(stack, "Table", partition_key=_ID, removal_policy=destroy)


_READER_LEFT = {"IOT_07_PIPELINE_ALARMS", "IOT_15_PARTIAL_BATCHES", "IOT_23_ASYNC_FAILURE_PATH"}
_ALARMS = {"IOT_07_PIPELINE_ALARMS"}  # the other cases make the app a pipeline
_NO_DESTINATION = {"IOT_06_STREAM_FAILURE_DESTINATION", "IOT_14_BOUNDED_RETRIES"}
_PACE = {"IOT_03_BATCHING_WINDOW", "IOT_16_BISECT"}

CASES = {
    "Queue": Case(lambda stack: sqs.Queue(stack, "Queue"), {"IOT_30_TLS_ONLY_MESSAGING"}, set()),
    "UnencryptedQueue": Case(
        unencrypted_queue, set(), {"IOT_29_ENCRYPTION_AT_REST", "IOT_30_TLS_ONLY_MESSAGING"}
    ),
    "Topic": Case(
        lambda stack: sns.Topic(stack, "Topic"),
        {"IOT_30_TLS_ONLY_MESSAGING"},
        {"IOT_29_ENCRYPTION_AT_REST"},
    ),
    "TopicWithOwnPolicy": Case(
        topic_with_own_policy, set(), {"IOT_29_ENCRYPTION_AT_REST", "IOT_30_TLS_ONLY_MESSAGING"}
    ),
    "Bucket": Case(
        lambda stack: s3.Bucket(stack, "Bucket"),
        {"IOT_04_PRIVATE_TLS_BUCKET", "IOT_24_BUCKET_VERSIONING"},
        {"IOT_25_BUCKET_ACCESS_LOGS"},
    ),
    "ExpiringBucket": Case(
        expiring_bucket, {"IOT_04_PRIVATE_TLS_BUCKET"}, {"IOT_25_BUCKET_ACCESS_LOGS"}
    ),
    "WebsiteBucket": Case(
        lambda stack: s3.Bucket(stack, "Bucket", website_index_document="index.html"),
        {"IOT_24_BUCKET_VERSIONING"},
        {"IOT_25_BUCKET_ACCESS_LOGS"},
    ),
    "PublicBucket": Case(
        public_bucket, {"IOT_24_BUCKET_VERSIONING"}, {"IOT_25_BUCKET_ACCESS_LOGS"}
    ),
    "Table": Case(table, {"IOT_02_POINT_IN_TIME_RECOVERY", "IOT_22_DELETION_PROTECTION"}, _ALARMS),
    "DestroyedTable": Case(destroyed_table, {"IOT_02_POINT_IN_TIME_RECOVERY"}, _ALARMS),
    "TableV2": Case(
        lambda stack: dynamodb.TableV2(stack, "Table", partition_key=_ID),
        {"IOT_02_POINT_IN_TIME_RECOVERY", "IOT_22_DELETION_PROTECTION"},
        _ALARMS,
    ),
    # Encrypted by the CDK, except where the Region does not support it.
    "Stream": Case(lambda stack: kinesis.Stream(stack, "Stream"), set(), set()),
    "UnencryptedStream": Case(unencrypted_stream, set(), {"IOT_29_ENCRYPTION_AT_REST"}),
    "Reader": Case(reader, _PACE, _READER_LEFT | _NO_DESTINATION),
    "ReaderWithDestination": Case(
        lambda stack: reader(stack, dead_letters=True),
        _PACE | {"IOT_14_BOUNDED_RETRIES", "IOT_30_TLS_ONLY_MESSAGING"},
        _READER_LEFT,
    ),
    "ReaderWithTumblingWindow": Case(
        lambda stack: reader(stack, window=60), set(), _READER_LEFT | _NO_DESTINATION
    ),
}


class Found(NamedTuple):
    """Findings by stack, and templates by stack."""

    rules: dict[str, set[str]]
    templates: dict[str, Json]


def _synth_cases(*, injected: bool) -> Found:
    app = fresh_app()
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev", strict=False))
    for name, it in CASES.items():
        injectors = property_injectors() if injected else []
        stack = cdk.Stack(
            app, f"{name}-dev", termination_protection=True, property_injectors=injectors
        )
        it.build(stack)
    assert synth(app) is None
    rules: dict[str, set[str]] = {name: set() for name in CASES}
    for found in violations(app):
        if found.plugin == OURS:
            rules[found.construct.partition("-dev/")[0]].add(found.rule)
    assembly = app.synth()
    return Found(
        rules, {name: assembly.get_stack_by_name(f"{name}-dev").template for name in CASES}
    )


@pytest.fixture(scope="module")
def plain() -> Found:
    return _synth_cases(injected=False)


@pytest.fixture(scope="module")
def injected() -> Found:
    return _synth_cases(injected=True)


@pytest.mark.parametrize("name", CASES)
def test_rules_report_what_injectors_set_and_accept_what_they_leave(
    plain: Found, injected: Found, name: str
) -> None:
    resolved, left = CASES[name].resolved & IDS, CASES[name].left & IDS
    assert plain.rules[name] == resolved | left
    assert injected.rules[name] == left


def test_the_agreement_has_every_injected_property(plain: Found, injected: Found) -> None:
    """In both directions: nothing is injected that is not in the tables, and all of that is injected."""
    found: set[str] = set()
    for name in CASES:
        before = plain.templates[name]["Resources"]
        for id, resource in injected.templates[name]["Resources"].items():
            old, new = before.get(id, {}).get("Properties", {}), resource.get("Properties", {})
            changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
            found |= {f"{resource['Type']} {key}" for key in changed}
    assert found == set().union(*SET.values()) | WITHOUT_RULE.keys()


# --- a pipeline, as on the page --------------------------------------------------------------------------------------


def findings(*, with_injectors: bool) -> Counter[str]:
    app = fresh_app()
    stack_injectors = property_injectors() if with_injectors else []
    cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev", strict=False))
    PlainPipelineStack(app, "Plain", property_injectors=stack_injectors)
    assert synth(app) is None
    return Counter(found.rule for found in violations(app) if found.plugin == OURS)


@pytest.fixture(scope="module")
def before() -> Counter[str]:
    return findings(with_injectors=False)


@pytest.fixture(scope="module")
def after() -> Counter[str]:
    return findings(with_injectors=True)


def test_the_injectors_resolve_some_rules_and_add_no_findings(
    before: Counter[str], after: Counter[str]
) -> None:
    # The pipeline has no on-failure destination, and so no limits; it has no queue or topic either.
    absent = {"IOT_14_BOUNDED_RETRIES", "IOT_30_TLS_ONLY_MESSAGING"}
    assert set(before) - set(after) == SET.keys() - absent
    assert set(after) <= set(before)
    assert all(after[rule] == before[rule] for rule in after)


def test_the_page_shows_both_lists(before: Counter[str], after: Counter[str]) -> None:
    rows = [
        f"| `{rule.id}` | {before[rule.id]} | {after[rule.id]} |"
        for rule in RULES
        if before[rule.id]
    ]
    rows.append(f"| total | {before.total()} | {after.total()} |")
    assert "\n".join(rows) in PAGE.read_text(encoding="utf-8"), "\n".join(rows)
