"""The parts of a pipeline: what is compared with the template, and the AWS page of each.

`PARTS` is the table of contents. A part that carries messages is one without which a message cannot arrive: while such
a part is missing or not active, `messages` publishes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iot_constructs.cli.aws_errors import AWS_ERRORS, error_code, format_error
from iot_constructs.cli.verification.findings import Finding, Status
from iot_constructs.cli.verification.settings import compare
from iot_constructs.cli.verification.stacks import Clients, Deployed, Reference, Resource

RULE = "AWS::IoT::TopicRule"
STREAM = "AWS::Kinesis::Stream"
MAPPING = "AWS::Lambda::EventSourceMapping"
FUNCTION = "AWS::Lambda::Function"
INVOKE_CONFIG = "AWS::Lambda::EventInvokeConfig"
TABLES = ("AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table")
TOPIC = "AWS::SNS::Topic"
SUBSCRIPTION = "AWS::SNS::Subscription"
QUEUE = "AWS::SQS::Queue"
DELIVERY_STREAM = "AWS::KinesisFirehose::DeliveryStream"
BUCKET = "AWS::S3::Bucket"
LOG_GROUP = "AWS::Logs::LogGroup"
ALARM = "AWS::CloudWatch::Alarm"
COMPOSITE_ALARM = "AWS::CloudWatch::CompositeAlarm"
KEY = "AWS::KMS::Key"
TIME_SERIES_KEYS = ("deviceId", "timestamp")
DEVICE_STATE_KEYS = ("deviceId",)

EXISTS, STATE, SETTINGS = "exists", "state", "settings"
_DEPLOYED = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "IMPORT_COMPLETE",
}
PENDING = "PendingConfirmation"

DOCS = "https://docs.aws.amazon.com/"
_DRIFT_PAGE = f"{DOCS}AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html"
_CHANGED = "it was changed outside of CloudFormation, or the last deployment failed; deploy the stack again"
_DELETED = (
    "it was deleted outside of CloudFormation; restore it with the name of the template, or delete the stack and "
    "deploy again"
)

_NOT_FOUND = {
    "AWS.SimpleQueueService.NonExistentQueue",
    "NoSuchBucket",
    "NotFound",
    "NotFoundException",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
}
DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "ForbiddenException",
    "KMSAccessDeniedException",
}
_UNSUPPORTED = {
    "InvalidAction",
    "NotImplemented",
    "UnknownOperationException",
    "UnsupportedOperation",
}


@dataclass(frozen=True)
class Look:
    """One resource of a part, and what its checks need."""

    part: Part
    resource: Resource
    deployed: Deployed
    clients: Clients

    @property
    def wanted(self) -> Mapping[str, Any]:
        """The properties in the template."""
        return self.resource.properties

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        return self.clients.create(service)

    def passed(self, check: str, text: str) -> Finding:
        """Return a PASS."""
        return Finding(self.part.name, self.resource.name, check, Status.PASS, text)

    def skipped(self, check: str, text: str) -> Finding:
        """Return a SKIPPED with its reason."""
        return Finding(self.part.name, self.resource.name, check, Status.SKIPPED, text)

    def failed(self, check: str, text: str, cause: str, page: str | None = None) -> Finding:
        """Return a FAIL with its likely cause and page."""
        page = page if page is not None else self.part.page
        return Finding(self.part.name, self.resource.name, check, Status.FAIL, text, cause, page)

    def state(self, found: object, wanted: str, cause: str) -> Finding:
        """Return whether a resource is in the state in which it works."""
        if found == wanted:
            return self.passed(STATE, str(found))
        return self.failed(STATE, f"{found} in place of {wanted}", cause)

    def settings(self, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Finding]:
        """Compare settings with the template."""
        result = compare(wanted, found)
        if result.different:
            yield self.failed(SETTINGS, "; ".join(result.different), _CHANGED, _DRIFT_PAGE)
        elif result.equal:
            yield self.passed(SETTINGS, f"{len(result.equal)} as in the template")
        if result.unknown:
            yield self.skipped(SETTINGS, f"cannot be compared: {', '.join(result.unknown)}")

    def failed_call(self, error: BaseException) -> Finding:
        """Return the finding of a call that failed. Raises the errors that say nothing about the resource."""
        code = error_code(error)
        if code in _NOT_FOUND:
            return self.failed(EXISTS, "does not exist", _DELETED)
        if code in DENIED:
            return self.skipped(
                EXISTS,
                f"your credentials do not allow it (see --permissions): {format_error(error)}",
            )
        if code in _UNSUPPORTED:
            return self.skipped(
                EXISTS, f"the endpoint does not support the call: {format_error(error)}"
            )
        raise error


@dataclass(frozen=True)
class Part:
    """A part of the pipeline."""

    name: str
    find: Callable[[Deployed], Sequence[Resource]]
    check: Callable[[Look], Iterator[Finding]]
    page: str
    carries_messages: bool = False

    def verify(self, deployed: Deployed, clients: Clients) -> Iterator[Finding]:
        """Check every resource of the part."""
        resources = self.find(deployed)
        if not resources:
            yield Finding(self.name, "", EXISTS, Status.SKIPPED, "the stacks have none")
        for resource in resources:
            look = Look(self, resource, deployed, clients)
            try:
                yield from self.check(look)
            except AWS_ERRORS as error:
                yield look.failed_call(error)


def _of(*types: str) -> Callable[[Deployed], list[Resource]]:
    return lambda deployed: deployed.of(*types)


# --- stack and key -----------------------------------------------------------------------------------------------


def _stacks(deployed: Deployed) -> list[Resource]:
    return [
        Resource(
            "", stack.name, {"Status": stack.status, "Protected": stack.termination_protection}
        )
        for stack in deployed.stacks
    ]


def _check_stack(look: Look) -> Iterator[Finding]:
    status = str(look.wanted["Status"])
    page = f"{DOCS}AWSCloudFormation/latest/UserGuide/troubleshooting.html"
    if status in _DEPLOYED:
        yield look.passed(STATE, status)
    else:
        yield look.failed(
            STATE,
            status,
            "the last deployment did not complete; look at the events of the stack",
            page,
        )
    # The template does not state it (CDK sets it in the call), but protected tables belong to a protected stack.
    if look.wanted["Protected"]:
        yield look.passed("protection", "termination protection is on")
    elif _has_protected_table(look.deployed):
        cause = "it was turned off by hand, or the app sets termination_protection=False; deploy the stack again"
        yield look.failed(
            "protection", "termination protection is off, although the tables are protected", cause
        )
    else:
        yield look.skipped(
            "protection", "termination protection is off, and no table of the stacks is protected"
        )


def _has_protected_table(deployed: Deployed) -> bool:
    tables = deployed.of(*TABLES)
    return any(_replica(each, deployed.region).get("DeletionProtectionEnabled") for each in tables)


def _check_key(look: Look) -> Iterator[Finding]:
    client = look.client("kms")
    found = client.describe_key(KeyId=look.resource.physical_id)["KeyMetadata"]
    cause = "a disabled key, or one that is pending deletion, stops every service that uses it; enable it again"
    yield look.state(found["KeyState"], "Enabled", cause)
    if found["KeyState"] == "Enabled":
        rotation = client.get_key_rotation_status(KeyId=look.resource.physical_id)
        yield from look.settings(
            {"EnableKeyRotation": look.wanted.get("EnableKeyRotation")},
            {"EnableKeyRotation": rotation["KeyRotationEnabled"]},
        )


# --- from the device to the tables -------------------------------------------------------------------------------


def _check_rule(look: Look) -> Iterator[Finding]:
    try:
        found = look.client("iot").get_topic_rule(ruleName=look.resource.physical_id)["rule"]
    except AWS_ERRORS as error:
        if error_code(error) != "UnauthorizedException":
            raise
        # This is how AWS IoT answers for a rule that does not exist.
        cause = f"{_DELETED}; or your credentials lack iot:GetTopicRule"
        yield look.failed(EXISTS, f"does not exist ({format_error(error)})", cause)
        return
    wanted = look.wanted["TopicRulePayload"]
    disabled = bool(found.get("ruleDisabled"))
    if disabled and not wanted.get("RuleDisabled"):
        cause = "it was disabled outside of CloudFormation; messages are discarded meanwhile"
        yield look.failed(STATE, "disabled", cause)
    else:
        yield look.passed(STATE, "disabled, as in the template" if disabled else "enabled")
    yield from look.settings(
        {
            "Sql": wanted.get("Sql"),
            "AwsIotSqlVersion": wanted.get("AwsIotSqlVersion"),
            "Actions": [_camel_case(action) for action in wanted.get("Actions", [])],
            "ErrorAction": _camel_case(wanted.get("ErrorAction")),
        },
        {
            "Sql": found.get("sql"),
            "AwsIotSqlVersion": found.get("awsIotSqlVersion"),
            "Actions": found.get("actions"),
            "ErrorAction": found.get("errorAction"),
        },
    )


def _camel_case(value: Any) -> Any:
    """Return a property of CloudFormation with the member names of the AWS IoT API."""
    if isinstance(value, Mapping):
        return {name[:1].lower() + name[1:]: _camel_case(each) for name, each in value.items()}
    return value


def _check_stream(look: Look) -> Iterator[Finding]:
    response = look.client("kinesis").describe_stream_summary(StreamName=look.resource.physical_id)
    found = response["StreamDescriptionSummary"]
    yield look.state(
        found["StreamStatus"], "ACTIVE", "the stream is being created, updated or deleted; wait"
    )
    encryption = look.wanted.get("StreamEncryption") or {}
    yield from look.settings(
        {
            "RetentionPeriodHours": look.wanted.get("RetentionPeriodHours"),
            "StreamMode": (look.wanted.get("StreamModeDetails") or {}).get("StreamMode"),
            "EncryptionType": encryption.get("EncryptionType"),
            "KeyId": encryption.get("KeyId"),
        },
        {
            "RetentionPeriodHours": found.get("RetentionPeriodHours"),
            "StreamMode": found.get("StreamModeDetails", {}).get("StreamMode"),
            "EncryptionType": found.get("EncryptionType"),
            "KeyId": found.get("KeyId"),
        },
    )


def _check_mapping(look: Look) -> Iterator[Finding]:
    found = look.client("lambda").get_event_source_mapping(UUID=look.resource.physical_id)
    cause = f"it was disabled, or Lambda is still changing it: {found.get('StateTransitionReason', 'no reason given')}"
    is_disabled = look.wanted.get("Enabled") is False
    yield look.state(found["State"], "Disabled" if is_disabled else "Enabled", cause)
    ignored = {"Enabled", "FunctionName", "Tags"}
    wanted = {name: value for name, value in look.wanted.items() if name not in ignored}
    # The API has the property names of CloudFormation.
    yield from look.settings(wanted, found)


def _processors(deployed: Deployed) -> list[Resource]:
    """Return the functions of event source mappings; those of custom resources are none."""
    named = [mapping.properties.get("FunctionName") for mapping in deployed.of(MAPPING)]
    functions = [deployed.find(each, FUNCTION) for each in named]
    return list({each.physical_id: each for each in functions if each is not None}.values())


def _check_function(look: Look) -> Iterator[Finding]:
    name = look.resource.physical_id
    found = look.client("lambda").get_function_configuration(FunctionName=name)
    state = found.get("State", "Active")
    if state == "Inactive":
        yield look.passed(STATE, "Inactive, which ends with the next invocation")
    else:
        yield look.state(state, "Active", str(found.get("StateReason", "no reason given")))
    if found.get("LastUpdateStatus") == "Failed":
        yield look.failed(STATE, "the last update failed", str(found.get("LastUpdateStatusReason")))
    same = ("Handler", "LoggingConfig", "MemorySize", "Runtime", "Timeout", "TracingConfig")
    yield from look.settings(
        {
            **{name: look.wanted.get(name) for name in same},
            "KmsKeyArn": look.wanted.get("KmsKeyArn"),
        },
        {**{name: found.get(name) for name in same}, "KmsKeyArn": found.get("KMSKeyArn")},
    )


def tables_with_keys(deployed: Deployed, keys: Sequence[str]) -> list[Resource]:
    """Return the tables with a key schema of these attributes, in order."""
    return [
        table
        for table in deployed.of(*TABLES)
        if [key["AttributeName"] for key in table.properties["KeySchema"]] == list(keys)
    ]


def _tables(keys: Sequence[str]) -> Callable[[Deployed], list[Resource]]:
    return lambda deployed: tables_with_keys(deployed, keys)


def _replica(table: Resource, region: str) -> Mapping[str, Any]:
    """Return the settings that a global table has per Region."""
    for replica in table.properties.get("Replicas") or []:
        if replica.get("Region") == region:
            return dict(replica)
    return table.properties


def _check_table(look: Look) -> Iterator[Finding]:
    client, name = look.client("dynamodb"), look.resource.physical_id
    found = client.describe_table(TableName=name)["Table"]
    yield look.state(
        found["TableStatus"], "ACTIVE", "the table is being created, updated or deleted; wait"
    )
    replica = _replica(look.resource, look.deployed.region)
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    expiry = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    wanted_recovery = replica.get("PointInTimeRecoverySpecification") or {}
    wanted_expiry = look.wanted.get("TimeToLiveSpecification") or {}
    encryption = {
        **(look.wanted.get("SSESpecification") or {}),
        **(replica.get("SSESpecification") or {}),
    }
    reported = {
        "DeletionProtectionEnabled": found.get("DeletionProtectionEnabled"),
        "PointInTimeRecoveryEnabled": recovery.get("PointInTimeRecoveryStatus") == "ENABLED",
        "TimeToLive": expiry.get("AttributeName")
        if expiry.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
        else None,
        "SSEEnabled": found.get("SSEDescription", {}).get("Status") == "ENABLED",
        "KMSMasterKeyId": found.get("SSEDescription", {}).get("KMSMasterKeyArn"),
    }
    if "RecoveryPeriodInDays" in recovery or not reported["PointInTimeRecoveryEnabled"]:
        reported["RecoveryPeriodInDays"] = recovery.get("RecoveryPeriodInDays")
    yield from look.settings(
        {
            "DeletionProtectionEnabled": replica.get("DeletionProtectionEnabled"),
            "PointInTimeRecoveryEnabled": wanted_recovery.get("PointInTimeRecoveryEnabled"),
            "RecoveryPeriodInDays": wanted_recovery.get("RecoveryPeriodInDays"),
            "TimeToLive": wanted_expiry.get("AttributeName")
            if wanted_expiry.get("Enabled")
            else None,
            "SSEEnabled": encryption.get("SSEEnabled"),
            "KMSMasterKeyId": encryption.get("KMSMasterKeyId"),
        },
        reported,
    )


# --- dead letters ------------------------------------------------------------------------------------------------


def _dlq_topics(deployed: Deployed) -> list[Resource]:
    """Return the topics that the rules and the functions publish failures to."""
    targets = [
        (rule.properties["TopicRulePayload"].get("ErrorAction") or {})
        .get("Sns", {})
        .get("TargetArn")
        for rule in deployed.of(RULE)
    ]
    for each in deployed.of(MAPPING, INVOKE_CONFIG):
        destination = (each.properties.get("DestinationConfig") or {}).get("OnFailure") or {}
        targets.append(destination.get("Destination"))
    topics = [deployed.find(target, TOPIC) for target in targets if target is not None]
    return list({topic.physical_id: topic for topic in topics if topic is not None}.values())


def _check_topic(look: Look) -> Iterator[Finding]:
    response = look.client("sns").get_topic_attributes(TopicArn=look.resource.physical_id)
    yield look.passed(EXISTS, "exists")
    yield from look.settings(
        {"KmsMasterKeyId": look.wanted.get("KmsMasterKeyId")},
        {"KmsMasterKeyId": response["Attributes"].get("KmsMasterKeyId")},
    )


def _check_subscription(look: Look) -> Iterator[Finding]:
    topic = look.wanted.get("TopicArn")
    known = look.deployed.find(topic, TOPIC)
    arn = known.physical_id if known is not None else topic
    if not isinstance(arn, str):
        yield look.skipped(EXISTS, "its topic is not in the stacks")
        return
    endpoint, protocol = look.wanted.get("Endpoint"), look.wanted.get("Protocol")
    try:
        subscriptions = _subscriptions(look, arn)
    except AWS_ERRORS as error:
        if error_code(error) not in _NOT_FOUND:
            raise
        yield look.skipped(EXISTS, "its topic does not exist")
        return
    for each in subscriptions:
        same = (
            endpoint.matches(each["Endpoint"])
            if isinstance(endpoint, Reference)
            else endpoint == each["Endpoint"]
        )
        if same and each["Protocol"] == protocol:
            yield _confirmation(look, each, f"{protocol} {each['Endpoint']}")
            return
    cause = (
        "it was deleted, or its recipient has unsubscribed; deploy it under another construct ID"
    )
    # Without the one of the queue no dead letter arrives; without an e-mail, messages still do.
    check = EXISTS if protocol == "sqs" else "subscription"
    yield look.failed(check, f"the topic has no such subscription ({protocol})", cause)


def _subscriptions(look: Look, topic_arn: str) -> list[Mapping[str, Any]]:
    pages = (
        look.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
    )
    return [each for page in pages for each in page["Subscriptions"]]


def _confirmation(look: Look, subscription: Mapping[str, Any], name: str) -> Finding:
    if subscription["SubscriptionArn"] == PENDING:
        page = f"{DOCS}sns/latest/dg/sns-create-subscribe-endpoint-to-topic.html"
        cause = "confirm the email that AWS sent to the address, or the request at the endpoint"
        return look.failed("subscription", f"{name} is not confirmed", cause, page)
    return look.passed("subscription", f"{name} is confirmed")


def _check_queue(look: Look) -> Iterator[Finding]:
    response = look.client("sqs").get_queue_attributes(
        QueueUrl=look.resource.physical_id, AttributeNames=["All"]
    )
    found = response["Attributes"]
    yield look.passed(EXISTS, f"exists, about {found['ApproximateNumberOfMessages']} messages")
    names = ("KmsMasterKeyId", "MessageRetentionPeriod", "VisibilityTimeout")
    yield from look.settings(
        {name: look.wanted.get(name) for name in names}, {name: found.get(name) for name in names}
    )


# --- archive and logs --------------------------------------------------------------------------------------------


def _check_delivery_stream(look: Look) -> Iterator[Finding]:
    response = look.client("firehose").describe_delivery_stream(
        DeliveryStreamName=look.resource.physical_id
    )
    found = response["DeliveryStreamDescription"]
    yield look.state(
        found["DeliveryStreamStatus"],
        "ACTIVE",
        str(found.get("FailureDescription", "wait and run again")),
    )
    settings = look.wanted.get("ExtendedS3DestinationConfiguration") or {}
    names = (
        "BucketARN",
        "BufferingHints",
        "CompressionFormat",
        "EncryptionConfiguration",
        "ErrorOutputPrefix",
        "Prefix",
    )
    destinations = found.get("Destinations") or [{}]
    yield from look.settings(
        {name: settings.get(name) for name in names},
        destinations[0].get("ExtendedS3DestinationDescription", {}),
    )


def _check_bucket(look: Look) -> Iterator[Finding]:
    client, name = look.client("s3"), look.resource.physical_id
    encryption = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    try:
        access = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    except AWS_ERRORS as error:
        if error_code(error) != "NoSuchPublicAccessBlockConfiguration":
            raise
        access = None
    yield look.passed(EXISTS, "exists")
    wanted = (look.wanted.get("BucketEncryption") or {}).get(
        "ServerSideEncryptionConfiguration"
    ) or [{}]
    by_default = wanted[0].get("ServerSideEncryptionByDefault") or {}
    deployed = encryption[0].get("ApplyServerSideEncryptionByDefault", {}) if encryption else {}
    names = ("SSEAlgorithm", "KMSMasterKeyID")
    yield from look.settings(
        {
            **{each: by_default.get(each) for each in names},
            "PublicAccessBlock": look.wanted.get("PublicAccessBlockConfiguration"),
            "Versioning": (look.wanted.get("VersioningConfiguration") or {}).get("Status"),
        },
        {
            **{each: deployed.get(each) for each in names},
            "PublicAccessBlock": access,
            "Versioning": client.get_bucket_versioning(Bucket=name).get("Status"),
        },
    )


def _check_log_group(look: Look) -> Iterator[Finding]:
    name = look.resource.physical_id
    pages = (
        look.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    )
    found = next(
        (each for page in pages for each in page["logGroups"] if each["logGroupName"] == name), None
    )
    if found is None:
        yield look.failed(EXISTS, "does not exist", _DELETED)
        return
    yield look.passed(EXISTS, "exists")
    yield from look.settings(
        {
            "RetentionInDays": look.wanted.get("RetentionInDays"),
            "KmsKeyId": look.wanted.get("KmsKeyId"),
        },
        {"RetentionInDays": found.get("retentionInDays"), "KmsKeyId": found.get("kmsKeyId")},
    )


# --- alarms ------------------------------------------------------------------------------------------------------


def _check_alarm(look: Look) -> Iterator[Finding]:
    name = look.resource.physical_id.rpartition(":alarm:")[2]
    response = look.client("cloudwatch").describe_alarms(
        AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    alarms = [*response.get("MetricAlarms", []), *response.get("CompositeAlarms", [])]
    if not alarms:
        yield look.failed(EXISTS, "does not exist", _DELETED)
        return
    (found,) = alarms
    yield look.passed(STATE, found["StateValue"])
    if "AlarmRule" not in found:
        yield _data(look, found)
    # The rule of a composite alarm has ARNs within a text, which only CloudFormation resolves.
    ignored = {"AlarmName", "AlarmRule", "Tags"}
    wanted = {name: value for name, value in look.wanted.items() if name not in ignored}
    yield from look.settings({"ActionsEnabled": True, **wanted}, {**dict.fromkeys(wanted), **found})


def _data(look: Look, alarm: Mapping[str, Any]) -> Finding:
    """Return whether the alarm has ever had data, which only a message of its own metric shows."""
    try:
        points = json.loads(alarm.get("StateReasonData") or "{}").get("recentDatapoints")
    except ValueError:
        points = None
    if points:
        return look.passed("data", "its metric had data when the state last changed")
    return look.skipped(
        "data",
        "no data when the state last changed; a metric of failures has none before the first",
    )


def _alarm_topics(deployed: Deployed) -> list[Resource]:
    """Return the topics that the alarms notify. Those outside of the stacks have no properties."""
    topics: dict[str, Resource] = {}
    for alarm in deployed.of(ALARM, COMPOSITE_ALARM):
        for kind in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            for action in alarm.properties.get(kind) or []:
                topic = deployed.find(action, TOPIC)
                if topic is None and isinstance(action, str) and ":sns:" in action:
                    topic = Resource(TOPIC, action, {})
                if topic is not None:
                    topics[topic.physical_id] = topic
    return list(topics.values())


def _check_alarm_topic(look: Look) -> Iterator[Finding]:
    arn = look.resource.physical_id
    if arn.split(":")[3] != look.deployed.region:
        yield look.skipped(EXISTS, f"the topic is in another Region ({arn.split(':')[3]})")
        return
    yield from _check_topic(look)
    templates = look.deployed.of(SUBSCRIPTION)
    if any(
        look.deployed.find(each.properties.get("TopicArn"), TOPIC) == look.resource
        for each in templates
    ):
        return  # each of them is a part of its own
    subscriptions = _subscriptions(look, arn)
    confirmed = [each for each in subscriptions if each["SubscriptionArn"] != PENDING]
    if subscriptions:
        first = (confirmed or subscriptions)[0]
        yield _confirmation(look, first, f"{first['Protocol']} {first['Endpoint']}")
    else:
        cause = "no one is notified; add a subscription (PipelineAlarms(subscriptions=[...])) and deploy"
        page = f"{DOCS}sns/latest/dg/sns-create-subscribe-endpoint-to-topic.html"
        yield look.failed("subscription", "the topic has no subscription", cause, page)


_ALARM_PAGE = f"{DOCS}AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html"
_TABLE_PAGE = f"{DOCS}amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html"

PARTS = (
    Part(
        "stack",
        _stacks,
        _check_stack,
        f"{DOCS}AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html",
    ),
    Part(
        "key",
        _of(KEY),
        _check_key,
        f"{DOCS}kms/latest/developerguide/key-state.html",
        carries_messages=True,
    ),
    Part(
        "rule",
        _of(RULE),
        _check_rule,
        f"{DOCS}iot/latest/developerguide/iot-rules.html",
        carries_messages=True,
    ),
    Part(
        "stream",
        _of(STREAM),
        _check_stream,
        f"{DOCS}streams/latest/dev/working-with-streams.html",
        carries_messages=True,
    ),
    Part(
        "event source mapping",
        _of(MAPPING),
        _check_mapping,
        f"{DOCS}lambda/latest/dg/with-kinesis.html",
        carries_messages=True,
    ),
    Part(
        "function",
        _processors,
        _check_function,
        f"{DOCS}lambda/latest/dg/functions-states.html",
        carries_messages=True,
    ),
    Part(
        "time series table",
        _tables(TIME_SERIES_KEYS),
        _check_table,
        _TABLE_PAGE,
        carries_messages=True,
    ),
    Part(
        "device state table",
        _tables(DEVICE_STATE_KEYS),
        _check_table,
        _TABLE_PAGE,
        carries_messages=True,
    ),
    Part(
        "DLQ topic",
        _dlq_topics,
        _check_topic,
        f"{DOCS}sns/latest/dg/sns-getting-started.html",
        carries_messages=True,
    ),
    Part(
        "subscription",
        _of(SUBSCRIPTION),
        _check_subscription,
        f"{DOCS}sns/latest/dg/sns-create-subscribe-endpoint-to-topic.html",
        carries_messages=True,
    ),
    Part(
        "queue",
        _of(QUEUE),
        _check_queue,
        f"{DOCS}AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue.html",
        carries_messages=True,
    ),
    Part(
        "archive",
        _of(DELIVERY_STREAM),
        _check_delivery_stream,
        f"{DOCS}firehose/latest/dev/troubleshooting.html",
    ),
    Part(
        "bucket",
        _of(BUCKET),
        _check_bucket,
        f"{DOCS}AmazonS3/latest/userguide/default-bucket-encryption.html",
    ),
    Part(
        "log group",
        _of(LOG_GROUP),
        _check_log_group,
        f"{DOCS}AmazonCloudWatch/latest/logs/Working-with-log-groups-and-streams.html",
    ),
    Part("alarm topic", _alarm_topics, _check_alarm_topic, _ALARM_PAGE),
    Part("alarm", _of(ALARM, COMPOSITE_ALARM), _check_alarm, _ALARM_PAGE),
)
