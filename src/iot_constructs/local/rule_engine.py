"""Simulates the Kinesis action of AWS IoT rules.

AWS IoT evaluates a rule's SQL for each matching message and runs its actions. If all attempts of an
action fail, it runs the error action. The emulator evaluates the rule but ignores a Kinesis action.
This simulation reads the deployed rule (GetTopicRule), subscribes to its topic filter, and puts each
message on the stream with the rule's partition key. An unsupported rule is an error.

The broker gives a message of Basic Ingest (``$aws/rules/<rule>/…``) to the rule and to no subscriber, as AWS does. To
get these messages as well, the simulation makes the emulator's rule republish what it selects to a topic of the
simulation, in place of its Kinesis action, until the end of the block. So the emulator decides which messages reach
the rule: it drops those for a rule that is disabled or does not exist, and removes the prefix of the topic.

The simulation has the permissions of the rule's role, so missing permissions cause the same failures
as on AWS. It assumes a copy of the role, because the role trusts only AWS IoT. Unlike on AWS, the error
document has no client ID without Basic Ingest: an MQTT subscriber does not receive it.
"""

from __future__ import annotations

import base64
import json
import queue
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from iot_constructs.local.emulator import ACCOUNT, Emulator
from iot_constructs.local.mqtt import broker_tls, connected_client

SQL_VERSION = "2016-03-23"
SUBSCRIBE_SECONDS = 60.0
ATTEMPTS = 4

_SQL = re.compile(r"\s*SELECT\s+\*(?:\s+FROM\s+'([^']+)')?\s*", re.IGNORECASE)
_TEMPLATE = re.compile(r"\$\{([^}]*)\}")
TOPIC_CALL = re.compile(r"topic\(\s*([0-9]*)\s*\)", re.IGNORECASE)
_UUID_CALL = re.compile(r"newuuid\(\s*\)", re.IGNORECASE)
# encode() leaves a payload that is not JSON or not text as it is.
_REPUBLISHED = "encode(*, 'base64') AS payload, topic() AS topic, clientid() AS clientId"
_REPLACEABLE = ("sql", "description", "actions", "ruleDisabled", "awsIotSqlVersion", "errorAction")


class UnsupportedRuleError(ValueError):
    """The deployed rule has a setting that the simulation does not support."""


class KinesisClient(Protocol):
    """The part of a boto3 Kinesis client that this module uses."""

    def put_record(self, **request: Any) -> dict[str, Any]:
        """PutRecord."""


class SnsClient(Protocol):
    """The part of a boto3 SNS client that this module uses."""

    def publish(self, **request: Any) -> dict[str, Any]:
        """Publish."""


@dataclass(frozen=True)
class KinesisRule:
    """The settings of a deployed rule with one Kinesis action."""

    name: str
    topic_filter: str | None
    """None: the statement has no FROM, so only messages of Basic Ingest reach the rule."""
    stream_name: str
    partition_key: str
    role_arn: str
    error_topic_arn: str | None
    error_role_arn: str | None
    disabled: bool

    def matches(self, topic: str) -> bool:
        """Whether the rule applies to a topic."""
        return self.topic_filter is not None and topic_matches(self.topic_filter, topic)


def read_rule(name: str, rule: dict[str, Any]) -> KinesisRule:
    """Read the rule in the response of GetTopicRule.

    Raises:
        UnsupportedRuleError: a setting is unsupported.
    """
    version = rule.get("awsIotSqlVersion")
    if version != SQL_VERSION:
        # The default is 2015-10-08 (iot/latest/developerguide/iot-rule-sql-version.html).
        raise UnsupportedRuleError(
            f"rule {name} has SQL version {version!r}; only {SQL_VERSION!r} is supported"
        )
    actions = rule.get("actions", [])
    if len(actions) != 1 or "kinesis" not in actions[0]:
        kinds = [kind for action in actions for kind in action]
        raise UnsupportedRuleError(
            f"rule {name} has actions {kinds}; only one Kinesis action is supported"
        )
    kinesis = actions[0]["kinesis"]
    if not kinesis.get("partitionKey"):
        raise UnsupportedRuleError(f"rule {name} has no partition key")
    check_template(kinesis["partitionKey"])
    error_action = _sns_action(name, rule.get("errorAction"))
    return KinesisRule(
        name=name,
        topic_filter=parse_topic_filter(rule["sql"]),
        stream_name=kinesis["streamName"],
        partition_key=kinesis["partitionKey"],
        role_arn=kinesis["roleArn"],
        error_topic_arn=error_action.get("targetArn"),
        error_role_arn=error_action.get("roleArn"),
        disabled=bool(rule.get("ruleDisabled", False)),
    )


def parse_topic_filter(sql: str) -> str | None:
    """Return the topic filter of a ``SELECT *`` statement. Other statements are not supported.

    None: the statement has no FROM, which is optional for Basic Ingest
    (iot/latest/developerguide/iot-sql-reference.html).

    Only ``SELECT *`` passes the payload unchanged, even if it is not JSON
    (iot/latest/developerguide/binary-payloads.html).
    """
    statement = _SQL.fullmatch(sql)
    if statement is None:
        raise UnsupportedRuleError(f"only \"SELECT * FROM '<filter>'\" is supported, not {sql!r}")
    if statement[1] is None:
        return None
    levels = statement[1].split("/")
    for position, level in enumerate(levels):
        wrong_hash = "#" in level and (level != "#" or position != len(levels) - 1)
        if wrong_hash or ("+" in level and level != "+"):
            raise UnsupportedRuleError(f"invalid topic filter {statement[1]!r}")
    return statement[1]


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic matches a filter: ``+`` is one level, ``#`` at the end is one or more."""
    pattern, levels = topic_filter.split("/"), topic.split("/")
    # MQTT 3.1.1, section 4.7.2: a leading wildcard does not match reserved topics.
    if topic.startswith("$") and pattern[0] in ("+", "#"):
        return False
    if pattern[-1] == "#":
        # Unlike MQTT, AWS IoT does not match the parent level
        # (iot/latest/developerguide/topics.html).
        pattern = pattern[:-1]
        if len(levels) <= len(pattern):
            return False
        levels = levels[: len(pattern)]
    return len(pattern) == len(levels) and all(
        part in ("+", level) for part, level in zip(pattern, levels, strict=True)
    )


def check_template(template: str) -> None:
    """Check that a substitution template has only supported expressions."""
    for expression in _TEMPLATE.findall(template):
        text = expression.strip()
        if not (TOPIC_CALL.fullmatch(text) or _UUID_CALL.fullmatch(text)):
            raise UnsupportedRuleError(
                f"${{{expression}}} is not supported; use topic(), topic(n), or newuuid()"
            )


def substitute(template: str, topic: str) -> str:
    """Resolve a substitution template for a topic.

    Raises:
        ValueError: the topic has no such level, or the result is not a valid partition key.
    """
    check_template(template)

    def value(match: re.Match[str]) -> str:
        call = TOPIC_CALL.fullmatch(match[1].strip())
        if call is None:
            return str(uuid.uuid4())
        if not call[1]:
            return topic
        levels = topic.split("/")
        if not 1 <= int(call[1]) <= len(levels):
            raise ValueError(f"{topic!r} has no level {call[1]}")
        return levels[int(call[1]) - 1]

    key = _TEMPLATE.sub(value, template)
    if not 1 <= len(key) <= 256:
        raise ValueError(f"a partition key must have 1 to 256 characters, not {len(key)}")
    return key


@dataclass(frozen=True)
class Received:
    """A message that the rule selects."""

    topic: str
    """Without the prefix of Basic Ingest."""
    payload: bytes
    client_id: str = "N/A"

    @classmethod
    def from_republished(cls, message: bytes) -> Received:
        """Read what the emulator's rule republishes."""
        document = json.loads(message)
        # A message over HTTPS has no client ID.
        client_id = document.get("clientId", "N/A")
        return cls(document["topic"], base64.b64decode(document["payload"]), client_id)


def error_document(rule: KinesisRule, message: Received, failure: str) -> dict[str, Any]:
    """Return the message of an error action (iot/latest/developerguide/rule-error-handling.html).

    Whether its topic has the prefix of Basic Ingest is not documented. Here, it is the topic that the rule sees.
    """
    return {
        "ruleName": rule.name,
        "topic": message.topic,
        "cloudwatchTraceId": str(uuid.uuid4()),
        "clientId": message.client_id,
        "base64OriginalPayload": base64.b64encode(message.payload).decode("ascii"),
        "failures": [
            {
                "failedAction": "KinesisAction",
                "failedResource": rule.stream_name,
                "errorMessage": failure,
            }
        ],
    }


class Delivery:
    """Puts messages into the rule's stream, and what cannot be put there to its error action."""

    def __init__(
        self,
        rule: KinesisRule,
        kinesis: KinesisClient,
        sns: SnsClient,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rule = rule
        self._kinesis = kinesis
        self._sns = sns
        self._sleep = sleep
        self.put = 0
        self.failed = 0
        self.dropped: list[str] = []
        """Messages that neither the stream nor the error action accepted. On AWS, they are lost."""

    def deliver(self, message: Received) -> None:
        """Deliver one message."""
        try:
            self._put(message.payload, substitute(self._rule.partition_key, message.topic))
        except Exception as error:  # the message must reach the error action
            self._fail(message, f"{type(error).__name__}: {error}")

    def _put(self, payload: bytes, key: str) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                # PutRecord, because the role requires only its permission
                # (iot/latest/developerguide/kinesis-rule-action.html).
                self._kinesis.put_record(
                    StreamName=self._rule.stream_name, Data=payload, PartitionKey=key
                )
            except Exception:
                if attempt == ATTEMPTS:
                    raise
                self._sleep(0.05 * 2**attempt)
            else:
                self.put += 1
                return

    def _fail(self, message: Received, failure: str) -> None:
        self.failed += 1
        if self._rule.error_topic_arn is None:
            self.dropped.append(f"{message.topic}: {failure} (the rule has no error action)")
            return
        document = json.dumps(error_document(self._rule, message, failure))
        try:
            self._sns.publish(TopicArn=self._rule.error_topic_arn, Message=document)
        except Exception as error:  # reported in `dropped`
            self.dropped.append(f"{message.topic}: {failure}; error action: {error}")


class RoleCopies:
    """Creates copies of roles with the same permissions that the root user can assume."""

    def __init__(self, emulator: Emulator) -> None:
        self._iam = emulator.client("iam")
        self._sts = emulator.client("sts")
        self._copies: dict[str, str] = {}

    def credentials(self, role_arn: str) -> Mapping[str, str]:
        """Return credentials with the permissions of a role."""
        if role_arn not in self._copies:
            self._copies[role_arn] = self._copy(role_arn.rsplit("/", 1)[-1])
        assumed = self._sts.assume_role(
            RoleArn=self._copies[role_arn], RoleSessionName="rule-engine"
        )
        credentials: Mapping[str, str] = assumed["Credentials"]
        return credentials

    def delete(self) -> None:
        """Delete the copies."""
        for copy_arn in self._copies.values():
            name = copy_arn.rsplit("/", 1)[-1]
            for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
                self._iam.delete_role_policy(RoleName=name, PolicyName=policy)
            for policy_arn in self._managed_policies(name):
                self._iam.detach_role_policy(RoleName=name, PolicyArn=policy_arn)
            self._iam.delete_role(RoleName=name)
        self._copies.clear()

    def _copy(self, role: str) -> str:
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ACCOUNT}}
        copy = self._iam.create_role(
            RoleName=f"rule-engine-{uuid.uuid4().hex[:12]}",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]
        for name in self._iam.list_role_policies(RoleName=role)["PolicyNames"]:
            policy = self._iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            document = policy if isinstance(policy, str) else json.dumps(policy)
            self._iam.put_role_policy(
                RoleName=copy["RoleName"], PolicyName=name, PolicyDocument=document
            )
        for policy_arn in self._managed_policies(role):
            self._iam.attach_role_policy(RoleName=copy["RoleName"], PolicyArn=policy_arn)
        return str(copy["Arn"])

    def _managed_policies(self, role: str) -> list[str]:
        attached = self._iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        return [each["PolicyArn"] for each in attached]


class RuleEngine:
    """Runs a deployed rule for the duration of a ``with`` block.

    Args:
        emulator: where the rule is deployed.
        rule: its settings.
        basic_ingest: whether devices publish to the rule itself. Then the emulator's rule is another one during the
            block (see above).
    """

    def __init__(
        self, emulator: Emulator, rule: KinesisRule, *, basic_ingest: bool = False
    ) -> None:
        self.rule = rule
        self._basic_ingest = basic_ingest
        self._deployed: dict[str, Any] | None = None
        self._roles = RoleCopies(emulator)
        error_role_arn = rule.error_role_arn if rule.error_role_arn is not None else rule.role_arn
        self.delivery = Delivery(
            rule,
            emulator.client("kinesis", self._roles.credentials(rule.role_arn)),
            emulator.client("sns", self._roles.credentials(error_role_arn)),
        )
        self._emulator = emulator
        self._messages: queue.Queue[Received | None] = queue.Queue()
        self._received = 0
        self._worker = threading.Thread(target=self._work, name="rule-engine", daemon=True)
        self._client: mqtt.Client | None = None

    @classmethod
    def from_deployed_rule(
        cls, emulator: Emulator, name: str, *, basic_ingest: bool = False
    ) -> RuleEngine:
        """Create the engine for a deployed rule."""
        deployed = emulator.client("iot").get_topic_rule(ruleName=name)["rule"]
        return cls(emulator, read_rule(name, deployed), basic_ingest=basic_ingest)

    @property
    def is_idle(self) -> bool:
        """Whether every message that was received is delivered, or can't be."""
        return self._received == self.delivery.put + self.delivery.failed

    def __enter__(self) -> RuleEngine:
        self._worker.start()
        if self.rule.disabled:
            return self
        if self._basic_ingest:
            topic = f"rule-engine/{uuid.uuid4().hex}"
            self._client = self._subscribed_client(topic, self._on_republished)
            self._republish_to(topic)
        elif self.rule.topic_filter is not None:
            self._client = self._subscribed_client(self.rule.topic_filter, self._on_message)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._deployed is not None:
            self._replace_rule(self._deployed)
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
        self._messages.put(None)
        # After an interrupt, do not deliver the backlog.
        if error is None:
            self._worker.join()
            self._roles.delete()

    def _republish_to(self, topic: str) -> None:
        """Change the emulator's rule, for the duration of the block."""
        iot = self._emulator.client("iot")
        rule = iot.get_topic_rule(ruleName=self.rule.name)["rule"]
        deployed = {name: rule[name] for name in _REPLACEABLE if name in rule}
        republish = {"topic": topic, "roleArn": self.rule.role_arn, "qos": 1}
        # A rule may not republish to its own filter, such as '#'. Without FROM, it gets only messages of Basic Ingest.
        own = self.rule.topic_filter is None or self.rule.matches(topic)
        source = "" if own else f" FROM '{self.rule.topic_filter}'"
        self._replace_rule(
            {
                **deployed,
                "sql": f"SELECT {_REPUBLISHED}{source}",
                "actions": [{"republish": republish}],
            }
        )
        self._deployed = deployed

    def _replace_rule(self, payload: dict[str, Any]) -> None:
        self._emulator.client("iot").replace_topic_rule(
            ruleName=self.rule.name, topicRulePayload=payload
        )

    def _on_message(self, client: mqtt.Client, data: object, message: mqtt.MQTTMessage) -> None:
        # Rules ignore retained messages.
        if not message.retain and self.rule.matches(message.topic):
            self._take(Received(message.topic, bytes(message.payload)))

    def _on_republished(self, client: mqtt.Client, data: object, message: mqtt.MQTTMessage) -> None:
        self._take(Received.from_republished(bytes(message.payload)))

    def _take(self, message: Received) -> None:
        self._received += 1
        self._messages.put(message)

    def _subscribed_client(
        self, topic_filter: str, on_message: mqtt.CallbackOnMessage
    ) -> mqtt.Client:
        client_id = f"rule-{self.rule.name}-{uuid.uuid4().hex[:8]}"
        client = connected_client(self._emulator, client_id, broker_tls(self._emulator))
        subscribed = threading.Event()
        refusals: list[str] = []

        def on_subscribe(
            client: mqtt.Client,
            data: object,
            message_id: int,
            reasons: list[ReasonCode],
            properties: object,
        ) -> None:
            refusals.extend(str(reason) for reason in reasons if reason.is_failure)
            subscribed.set()

        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.subscribe(topic_filter, qos=1)
        if not subscribed.wait(SUBSCRIBE_SECONDS) or refusals:
            client.loop_stop()
            self._emulator.check()
            raise UnsupportedRuleError(
                f"the broker refused {topic_filter!r}: {refusals or 'no response'}"
            )
        return client

    def _work(self) -> None:
        # A single thread keeps the order of a device's messages.
        while (message := self._messages.get()) is not None:
            self.delivery.deliver(message)


def _sns_action(name: str, action: dict[str, Any] | None) -> dict[str, Any]:
    if not action:
        return {}
    if list(action) != ["sns"]:
        raise UnsupportedRuleError(
            f"rule {name} has error action {list(action)}; only SNS is supported"
        )
    return dict(action["sns"])
