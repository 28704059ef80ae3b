"""``iot-constructs verify`` on the deployed example: whole, and with each part broken in turn.

The emulator's CloudFormation leaves out some properties, which `complete_deployment` sets. The emulator delivers from
the stream to the function and the archive itself; only the rule's action is simulated (`rule_engine`).

The command runs as a user with the policy that it prints, so a missing permission shows up as SKIPPED.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from iot_constructs import _defaults as defaults
from iot_constructs.cli.main import main
from iot_constructs.cli.verification.permissions import policy
from iot_constructs.local.deployment import Deployer, Deployment, templates
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.rule_engine import RuleEngine
from tests.e2e.complete_deployment import complete, encrypt_bucket, encrypt_topic, set_table
from tests.e2e.programs import EXAMPLE

_TIMEOUT = 30
_STRANGER = json.dumps({"kind": "unknown", "note": "a dead letter of somebody else"})
# AWS requires the permission of the single-message call (AWSSimpleQueueService sqs-api-permissions-reference.html),
# and the one that is named like the call of Lambda (service-authorization/latest/reference/list_awslambda.html).
_ASKED_BY_EMULATOR = [
    "lambda:ListEventSourceMappings",
    "sqs:ChangeMessageVisibilityBatch",
    "sqs:DeleteMessageBatch",
]
_ACTIONS = {  # where the name of the IAM action is not that of the API call
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:ListObjectsV2": "s3:ListBucket",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
}
_PREFIXES = {"iotdata": "iot", "monitoring": "cloudwatch"}

Key = tuple[str, str, str]
"""Part, resource, and check of a finding."""


@dataclass
class Pipeline:
    """The deployed example."""

    emulator: Emulator
    deployment: Deployment
    key: str
    engine: RuleEngine

    def client(self, service: str) -> Any:
        return self.emulator.client(service)

    def output(self, name: str) -> str:
        return self.deployment.output(name)


@dataclass
class Run:
    """The result of a run of the command."""

    code: int
    document: dict[str, Any]
    actions: set[str] = field(default_factory=set)
    """The IAM actions of the calls that were made."""

    def findings(self) -> dict[Key, str]:
        """Return the status of each check. A check that passes in one respect can be SKIPPED in another."""
        found: dict[Key, str] = {}
        for each in self.document["findings"]:
            key = (each["part"], each["resource"], each["check"])
            found[key] = "+".join(filter(None, [found.get(key), each["status"]]))
        return found

    def failed(self) -> dict[str, list[dict[str, Any]]]:
        """Return the FAILs by part."""
        parts: dict[str, list[dict[str, Any]]] = {}
        for each in self.document["findings"]:
            if each["status"] == "FAIL":
                parts.setdefault(each["part"], []).append(each)
        return parts


@pytest.fixture(scope="module")
def pipeline(emulator: Emulator) -> Iterator[Pipeline]:
    deployer = Deployer(emulator, app_directory=EXAMPLE)
    assembly = deployer.prepare("prod")
    _shorten_batching_window(assembly)
    deployment = deployer.deploy(assembly)
    key = complete(emulator, deployment)
    sns, sqs = emulator.client("sns"), emulator.client("sqs")
    sns.subscribe(
        TopicArn=deployment.output("AlarmTopicArn"), Protocol="email", Endpoint="ops@example.com"
    )
    sqs.send_message(QueueUrl=deployment.output("DlqQueueUrl"), MessageBody=_STRANGER)
    with RuleEngine.from_deployed_rule(emulator, deployment.output("TelemetryRuleName")) as engine:
        yield Pipeline(emulator, deployment, key, engine)


def _shorten_batching_window(assembly: Path) -> None:
    """Deploy a mapping that does not wait for more records, so that a run takes seconds."""
    (file,) = templates(assembly).values()
    template = json.loads(file.read_text("utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            resource["Properties"]["MaximumBatchingWindowInSeconds"] = 0
    file.write_text(json.dumps(template), "utf-8")


@pytest.fixture(scope="module")
def credentials(emulator: Emulator) -> dict[str, str]:
    """The credentials of a user who has the permissions that the command lists."""
    iam = emulator.client("iam")
    iam.create_user(UserName="operator")
    document = json.loads(policy(page=True))
    document["Statement"].append({"Effect": "Allow", "Action": _ASKED_BY_EMULATOR, "Resource": "*"})
    iam.put_user_policy(
        UserName="operator", PolicyName="verify", PolicyDocument=json.dumps(document)
    )
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    return {
        **emulator.environment(),
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


class Verifier:
    """Runs the command in this process and records its calls."""

    def __init__(self, pipeline: Pipeline, credentials: dict[str, str]) -> None:
        self._pipeline = pipeline
        self._credentials = credentials
        self._actions: set[str] = set()
        with pytest.MonkeyPatch.context() as patch:
            self._set_environment(patch)
            # One session for all runs: it reads the models of the services once.
            self._session = boto3.Session()
        self._session.events.register("before-call", self._record)

    def _set_environment(self, patch: pytest.MonkeyPatch) -> None:
        for name, value in self._credentials.items():
            patch.setenv(name, value)

    def _record(self, model: Any, **_: Any) -> None:
        prefix = model.service_model.signing_name
        action = f"{_PREFIXES.get(prefix, prefix)}:{model.name}"
        self._actions.add(_ACTIONS.get(action, action))

    def __call__(self, *options: str, timeout: int = _TIMEOUT) -> Run:
        (stack,) = self._pipeline.deployment.stacks
        output = io.StringIO()
        self._actions = set()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
            self._set_environment(patch)
            patch.setattr(boto3, "Session", lambda **settings: self._session)
            code = main(["verify", stack, "--json", "--timeout", str(timeout), *options])
        return Run(code, json.loads(output.getvalue()), self._actions)


@pytest.fixture(scope="module")
def verify(pipeline: Pipeline, credentials: dict[str, str]) -> Verifier:
    return Verifier(pipeline, credentials)


@pytest.fixture(scope="module")
def whole(verify: Verifier) -> Run:
    """The run on the whole pipeline."""
    return verify()


def test_the_whole_pipeline_passes(whole: Run) -> None:
    assert whole.failed() == {}
    assert (whole.code, whole.document["error"]) == (0, None)
    skipped = {
        (each["part"], each["check"], each["text"])
        for each in whole.document["findings"]
        if each["status"] == "SKIPPED"
    }
    # The emulator does not report these settings, and its services publish no metrics.
    no_data = "no data when the state last changed; a metric of failures has none before the first"
    assert skipped == {
        ("event source mapping", "settings", "cannot be compared: MetricsConfig"),
        ("time series table", "settings", "cannot be compared: RecoveryPeriodInDays"),
        ("device state table", "settings", "cannot be compared: RecoveryPeriodInDays"),
        ("alarm", "data", no_data),
    }


def test_every_part_of_the_example_is_found(whole: Run) -> None:
    assert {each["part"] for each in whole.document["findings"] if each["status"] == "PASS"} == {
        *("stack", "key", "rule", "stream", "event source mapping", "function"),
        *("time series table", "device state table", "DLQ topic", "subscription", "queue"),
        *("archive", "bucket", "log group", "alarm topic", "alarm"),
    }


def test_messages_pass_every_part(whole: Run) -> None:
    passed = {key[0]: status for key, status in whole.findings().items() if key[2] == "messages"}
    parts = ["rule", "event source mapping", "time series table", "device state table", "queue"]
    assert passed == dict.fromkeys([*parts, "archive"], "PASS")


def test_it_makes_no_call_that_its_policy_does_not_list(verify: Verifier) -> None:
    listed = {
        action
        for statement in json.loads(policy(page=True))["Statement"]
        for action in statement["Action"]
    }
    run = verify("--page")
    assert run.code == 0
    # Creating a queue with attributes needs SetQueueAttributes as well, exports are read only for references between
    # stacks, and KMS is called by the services.
    not_called = {"cloudformation:ListExports", "kms:Decrypt", "sqs:SetQueueAttributes"}
    # The emulator's endpoint is configured, so it is not asked for.
    not_called.add("iot:DescribeEndpoint")
    assert run.actions == listed - not_called


def test_it_removes_what_it_wrote_and_nothing_else(pipeline: Pipeline, verify: Verifier) -> None:
    dynamodb, sqs = pipeline.client("dynamodb"), pipeline.client("sqs")
    other = {"deviceId": {"S": "pump-1"}, "timestamp": {"N": "1"}}
    tables = [pipeline.output("TimeSeriesTableName"), pipeline.output("DeviceStateTableName")]
    for table in tables:
        dynamodb.put_item(TableName=table, Item=other)
    run = verify()
    assert run.document["notes"][0].endswith("items 4, dead letters 1.")
    for table in tables:
        assert dynamodb.scan(TableName=table)["Items"] == [other]
        dynamodb.delete_item(
            TableName=table,
            Key=other if table == tables[0] else {"deviceId": other["deviceId"]},
        )
    received = sqs.receive_message(
        QueueUrl=pipeline.output("DlqQueueUrl"), MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    assert [each["Body"] for each in received["Messages"]] == [_STRANGER]


def test_page_follows_the_message_of_an_alarm(pipeline: Pipeline, verify: Verifier) -> None:
    cloudwatch = pipeline.client("cloudwatch")
    run = verify("--page")
    (page,) = (each for each in run.document["findings"] if each["part"] == "page")
    assert page["status"] == "PASS"
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[page["resource"]])["MetricAlarms"]
    assert alarm["StateValue"] == "INSUFFICIENT_DATA"
    (subscription,) = pipeline.client("sns").list_subscriptions_by_topic(
        TopicArn=pipeline.output("AlarmTopicArn")
    )["Subscriptions"]
    assert subscription["Protocol"] == "email"
    queues = pipeline.client("sqs").list_queues()["QueueUrls"]
    assert queues == [pipeline.output("DlqQueueUrl")]


@dataclass(frozen=True)
class Break:
    """A way to break one part, which returns how to restore it."""

    part: str
    check: str
    apply: Callable[[Pipeline], Callable[[], object]]
    publishes: bool = True
    """Whether messages are still published: the part exists and is active."""
    timeout: int = _TIMEOUT
    """Shorter where a message does not arrive, so that the run waits for it."""
    resource: str | None = None
    """A part of the name of the failing resource, if the part has several."""


def _disable_rule(p: Pipeline) -> Callable[[], object]:
    iot, name = p.client("iot"), p.output("TelemetryRuleName")
    iot.disable_topic_rule(ruleName=name)
    return lambda: iot.enable_topic_rule(ruleName=name)


def _delete_rule(p: Pipeline) -> Callable[[], object]:
    iot, name = p.client("iot"), p.output("TelemetryRuleName")
    rule = iot.get_topic_rule(ruleName=name)["rule"]
    members = ("sql", "description", "actions", "ruleDisabled", "awsIotSqlVersion", "errorAction")
    payload = {member: rule[member] for member in members}
    iot.delete_topic_rule(ruleName=name)
    return lambda: iot.create_topic_rule(ruleName=name, topicRulePayload=payload)


def _remove_error_action(p: Pipeline) -> Callable[[], object]:
    iot, name = p.client("iot"), p.output("TelemetryRuleName")
    rule = iot.get_topic_rule(ruleName=name)["rule"]
    members = ("sql", "description", "actions", "ruleDisabled", "awsIotSqlVersion")
    payload = {member: rule[member] for member in members}
    iot.replace_topic_rule(ruleName=name, topicRulePayload=payload)
    whole = {**payload, "errorAction": rule["errorAction"]}
    return lambda: iot.replace_topic_rule(ruleName=name, topicRulePayload=whole)


def _deliver_nothing(p: Pipeline) -> Callable[[], object]:
    """The rule's action is without effect, as with a role that must not put records."""
    client, topic_filter = p.engine._client, p.engine.rule.topic_filter
    assert client is not None
    assert topic_filter is not None
    client.unsubscribe(topic_filter)
    return lambda: client.subscribe(topic_filter, qos=1)


def _shorten_retention(p: Pipeline) -> Callable[[], object]:
    kinesis, name = p.client("kinesis"), p.output("StreamName")
    kinesis.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=24)
    return lambda: kinesis.increase_stream_retention_period(
        StreamName=name, RetentionPeriodHours=defaults.STREAM_RETENTION_HOURS
    )


def _stop_stream_encryption(p: Pipeline) -> Callable[[], object]:
    kinesis, name = p.client("kinesis"), p.output("StreamName")
    kinesis.stop_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=p.key)
    return lambda: kinesis.start_stream_encryption(
        StreamName=name, EncryptionType="KMS", KeyId=p.key
    )


def _set_mapping(before: dict[str, Any], after: dict[str, Any]) -> Callable[..., Any]:
    def apply(p: Pipeline) -> Callable[[], object]:
        client = p.client("lambda")
        (mapping,) = client.list_event_source_mappings(FunctionName=p.output("FunctionName"))[
            "EventSourceMappings"
        ]
        client.update_event_source_mapping(UUID=mapping["UUID"], **before)
        return lambda: client.update_event_source_mapping(UUID=mapping["UUID"], **after)

    return apply


def _shorten_timeout(p: Pipeline) -> Callable[[], object]:
    client, name = p.client("lambda"), p.output("FunctionName")

    def update(seconds: int) -> None:
        client.update_function_configuration(FunctionName=name, Timeout=seconds)
        for waiter in ("function_updated_v2", "function_active_v2"):
            client.get_waiter(waiter).wait(FunctionName=name)

    update(30)
    return lambda: update(defaults.TIMEOUT_SECONDS)


def _deny_state_writes(p: Pipeline) -> Callable[[], object]:
    iam = p.client("iam")
    role = (
        p.client("lambda")
        .get_function_configuration(FunctionName=p.output("FunctionName"))["Role"]
        .rsplit("/", 1)[-1]
    )
    statement = {"Effect": "Deny", "Action": "dynamodb:BatchExecuteStatement", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="deny", PolicyDocument=document)
    return lambda: iam.delete_role_policy(RoleName=role, PolicyName="deny")


def _end_recovery(p: Pipeline) -> Callable[[], object]:
    dynamodb, name = p.client("dynamodb"), p.output("TimeSeriesTableName")
    off = {"PointInTimeRecoveryEnabled": False}
    dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=off)
    return lambda: set_table(p.emulator, name, p.key)


def _end_table_protection(p: Pipeline) -> Callable[[], object]:
    dynamodb, name = p.client("dynamodb"), p.output("DeviceStateTableName")
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    return lambda: set_table(p.emulator, name, p.key)


def _end_expiry(p: Pipeline) -> Callable[[], object]:
    dynamodb, name = p.client("dynamodb"), p.output("TimeSeriesTableName")

    def expire(enabled: bool) -> None:
        setting = {"Enabled": enabled, "AttributeName": "ttl"}
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=setting)

    expire(False)
    return lambda: expire(True)


def _delete_table(p: Pipeline) -> Callable[[], object]:
    dynamodb, name = p.client("dynamodb"), p.output("DeviceStateTableName")
    table = dynamodb.describe_table(TableName=name)["Table"]
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=name)

    def restore() -> None:
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            **{key: table[key] for key in ("AttributeDefinitions", "KeySchema")},
        )
        set_table(p.emulator, name, p.key)

    return restore


def _unsubscribe_queue(p: Pipeline) -> Callable[[], object]:
    sns, topic = p.client("sns"), p.output("DlqTopicArn")
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    return lambda: sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=subscription["Endpoint"])


def _unencrypt_topic(p: Pipeline) -> Callable[[], object]:
    topic = p.output("DlqTopicArn")
    encrypt_topic(p.emulator, topic, "")
    return lambda: encrypt_topic(p.emulator, topic, p.key)


def _set_queue(attribute: str, value: str) -> Callable[..., Any]:
    def apply(p: Pipeline) -> Callable[[], object]:
        sqs, url = p.client("sqs"), p.output("DlqQueueUrl")
        before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])["Attributes"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={attribute: value})
        return lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes=before)

    return apply


def _delete_log_group(p: Pipeline) -> Callable[[], object]:
    logs, name = p.client("logs"), f"/aws/lambda/{p.output('FunctionName')}"
    (before,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    logs.delete_log_group(logGroupName=name)

    def restore() -> None:
        # The function writes its logs there, and the emulator then creates it without the key.
        with suppress(logs.exceptions.ResourceNotFoundException):
            logs.delete_log_group(logGroupName=name)
        logs.create_log_group(logGroupName=name, kmsKeyId=p.key)
        logs.put_retention_policy(logGroupName=name, retentionInDays=before["retentionInDays"])

    return restore


def _shorten_log_retention(p: Pipeline) -> Callable[[], object]:
    logs, name = p.client("logs"), f"/aws/lambda/{p.output('FunctionName')}"
    (before,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    days = before["retentionInDays"]
    logs.put_retention_policy(logGroupName=name, retentionInDays=1)
    return lambda: logs.put_retention_policy(logGroupName=name, retentionInDays=days)


_ALARM = "iot-lambda-errors-prod"


def _alarm_request(p: Pipeline) -> dict[str, Any]:
    (alarm,) = p.client("cloudwatch").describe_alarms(AlarmNames=[_ALARM])["MetricAlarms"]
    return _request(alarm)


def _request(alarm: dict[str, Any]) -> dict[str, Any]:
    """Return the request that creates an alarm again."""
    times = {name for name in alarm if name.endswith("Timestamp")}
    read_only = {"AlarmArn", "StateReason", "StateReasonData", "StateValue", *times}
    return {name: value for name, value in alarm.items() if name not in read_only}


def _delete_alarm(p: Pipeline) -> Callable[[], object]:
    cloudwatch, request = p.client("cloudwatch"), _alarm_request(p)
    # The emulator does not delete an alarm of a composite alarm. It is not in the deployed template.
    (composite,) = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    cloudwatch.delete_alarms(AlarmNames=[composite["AlarmName"]])
    cloudwatch.delete_alarms(AlarmNames=[_ALARM])

    def restore() -> None:
        cloudwatch.put_metric_alarm(**request)
        cloudwatch.put_composite_alarm(**_request(composite))

    return restore


def _raise_threshold(p: Pipeline) -> Callable[[], object]:
    cloudwatch, request = p.client("cloudwatch"), _alarm_request(p)
    cloudwatch.put_metric_alarm(**{**request, "Threshold": 1000.0})
    return lambda: cloudwatch.put_metric_alarm(**request)


def _disable_actions(p: Pipeline) -> Callable[[], object]:
    cloudwatch = p.client("cloudwatch")
    cloudwatch.disable_alarm_actions(AlarmNames=[_ALARM])
    return lambda: cloudwatch.enable_alarm_actions(AlarmNames=[_ALARM])


def _delete_alarm_topic(p: Pipeline) -> Callable[[], object]:
    sns, topic = p.client("sns"), p.output("AlarmTopicArn")
    sns.delete_topic(TopicArn=topic)

    def restore() -> None:
        sns.create_topic(Name=topic.rsplit(":", 1)[-1])
        encrypt_topic(p.emulator, topic, p.key)
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")

    return restore


def _unsubscribe_everybody(p: Pipeline) -> Callable[[], object]:
    sns, topic = p.client("sns"), p.output("AlarmTopicArn")
    for each in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
        sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])
    return lambda: sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")


def _end_termination_protection(p: Pipeline) -> Callable[[], object]:
    cloudformation, (stack,) = p.client("cloudformation"), p.deployment.stacks

    def protect(enabled: bool) -> None:
        cloudformation.update_termination_protection(
            StackName=stack, EnableTerminationProtection=enabled
        )

    protect(False)
    return lambda: protect(True)


def _weaken_bucket_encryption(p: Pipeline) -> Callable[[], object]:
    s3, bucket = p.client("s3"), p.output("BucketName")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return lambda: encrypt_bucket(p.emulator, bucket, p.key)


def _open_bucket(p: Pipeline) -> Callable[[], object]:
    s3, bucket = p.client("s3"), p.output("BucketName")
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    s3.delete_public_access_block(Bucket=bucket)
    return lambda: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)


def _delete_delivery_stream(p: Pipeline) -> Callable[[], object]:
    firehose, name = p.client("firehose"), "iot-sensor-archive-prod"
    found = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    source = found["Source"]["KinesisStreamSourceDescription"]
    (destination,) = found["Destinations"]
    firehose.delete_delivery_stream(DeliveryStreamName=name)
    return lambda: firehose.create_delivery_stream(
        DeliveryStreamName=name,
        DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={
            key: source[key] for key in ("KinesisStreamARN", "RoleARN")
        },
        ExtendedS3DestinationConfiguration={
            key: value
            for key, value in destination["ExtendedS3DestinationDescription"].items()
            if key != "S3BackupMode"
        },
    )


def _disable_key(p: Pipeline) -> Callable[[], object]:
    kms = p.client("kms")
    kms.disable_key(KeyId=p.key)
    return lambda: kms.enable_key(KeyId=p.key)


def _end_key_rotation(p: Pipeline) -> Callable[[], object]:
    kms = p.client("kms")
    kms.disable_key_rotation(KeyId=p.key)
    return lambda: kms.enable_key_rotation(KeyId=p.key)


# Each run is of breaks of different parts, which leave the others alone.
BREAKS = {
    "one of each part": [
        Break("stack", "protection", _end_termination_protection),
        Break("key", "settings", _end_key_rotation),
        Break("rule", "settings", _remove_error_action),
        Break("stream", "settings", _shorten_retention),
        Break(
            "event source mapping",
            "settings",
            _set_mapping(
                {"MaximumRetryAttempts": 1}, {"MaximumRetryAttempts": defaults.RETRY_ATTEMPTS}
            ),
        ),
        Break("function", "settings", _shorten_timeout),
        Break("time series table", "settings", _end_recovery),
        Break("device state table", "settings", _end_table_protection),
        Break("DLQ topic", "settings", _unencrypt_topic),
        Break("queue", "settings", _set_queue("MessageRetentionPeriod", "3600")),
        Break("bucket", "settings", _weaken_bucket_encryption),
        Break("log group", "settings", _shorten_log_retention),
        Break("alarm", "settings", _raise_threshold, resource=_ALARM),
        Break("alarm topic", "subscription", _unsubscribe_everybody),
    ],
    "others": [
        Break("stream", "settings", _stop_stream_encryption),
        Break("time series table", "settings", _end_expiry),
        Break("archive", "exists", _delete_delivery_stream),
        Break("bucket", "settings", _open_bucket),
        Break("log group", "exists", _delete_log_group),
        Break("alarm", "settings", _disable_actions, resource=_ALARM),
        Break("alarm topic", "exists", _delete_alarm_topic),
    ],
    "key-disabled": [Break("key", "state", _disable_key, publishes=False)],
    "rule-disabled": [Break("rule", "state", _disable_rule, publishes=False)],
    "rule-deleted": [Break("rule", "exists", _delete_rule, publishes=False)],
    "rule-action": [Break("rule", "messages", _deliver_nothing, timeout=2)],
    "mapping-disabled": [
        Break(
            "event source mapping",
            "state",
            _set_mapping({"Enabled": False}, {"Enabled": True}),
            publishes=False,
        )
    ],
    "table-deleted": [Break("device state table", "exists", _delete_table, publishes=False)],
    "table-permission": [Break("device state table", "messages", _deny_state_writes, timeout=12)],
    "dlq-subscription": [Break("subscription", "exists", _unsubscribe_queue, publishes=False)],
    "queue-policy": [Break("queue", "messages", _set_queue("Policy", ""), timeout=12)],
    "alarm-deleted": [Break("alarm", "exists", _delete_alarm, resource=_ALARM)],
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_only_the_broken_parts_fail(
    pipeline: Pipeline, whole: Run, verify: Verifier, broken: list[Break]
) -> None:
    with ExitStack() as repairs:
        for each in broken:
            repairs.callback(each.apply(pipeline))
        run = verify(timeout=min(each.timeout for each in broken))
    assert run.code == 1
    failed = run.failed()
    parts = {each.part for each in broken}
    assert set(failed) == parts, failed
    for each in broken:
        assert len(failed[each.part]) == 1, failed
        (finding,) = failed[each.part]
        assert finding["check"] == each.check
        assert each.resource is None or each.resource == finding["resource"]
        assert finding["cause"]
        assert finding["page"].startswith("https://docs.aws.amazon.com/")
    before, after = whole.findings(), run.findings()
    others = {key for key in before if key[0] not in parts and key[2] != "messages"}
    assert {key: after[key] for key in others} == {key: before[key] for key in others}
    # Messages either pass the other parts, or did not get there.
    gone = {each.part for each in broken if each.check != "settings"}
    messages = {after[key] for key in after if key[2] == "messages" and key[0] not in gone}
    assert messages <= {"PASS", "SKIPPED"}
    if not all(each.publishes for each in broken):
        assert messages == {"SKIPPED"}
    elif "messages" not in {each.check for each in broken}:
        assert messages == {"PASS"}


def test_after_all_repairs_the_pipeline_is_as_before(whole: Run, verify: Verifier) -> None:
    assert verify().findings() == whole.findings()
