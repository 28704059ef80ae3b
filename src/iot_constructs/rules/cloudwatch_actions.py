"""Rules for the actions of alarms and the topics of failures: somebody is notified."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import indent
from typing import Any, ClassVar, Final

from iot_constructs.rules.alarm_metrics import ALARM
from iot_constructs.rules.graph import UNKNOWN, Graph, Reference, is_function
from iot_constructs.rules.pipeline import TOPIC, Pipeline
from iot_constructs.rules.policies import ResourcePolicies, Statement, statements
from iot_constructs.rules.remediations import CLOUDWATCH, Remediation, topic_key, topic_policy
from iot_constructs.rules.rule import DOCS, Finding, Rule
from iot_constructs.rules.template import Resource, text_of

COMPOSITE: Final = "AWS::CloudWatch::CompositeAlarm"
ALARMS: Final = (ALARM, COMPOSITE)
KEY: Final = "AWS::KMS::Key"

_PRINCIPAL: Final = f'iam.ServicePrincipal("{CLOUDWATCH}")'
_ACTIONS: Final = ("AlarmActions", "OKActions", "InsufficientDataActions")
_ALARM_IN_RULE: Final = re.compile(r"(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*([\"']?)(.+?)\1\s*\)")

_GRANT_PUBLISH: Final = f"topic.grant_publish({_PRINCIPAL})"
_GRANT_KEY: Final = f"""\
key = kms.Key(SCOPE, "AlertKey", enable_key_rotation=True)
key.grant_encrypt_decrypt({_PRINCIPAL})
"""
_KEY_YAML: Final = topic_key("AlertKey", CLOUDWATCH)


def _policy_yaml(topic: str) -> str:
    publish = f"""\
        - Effect: Allow
          Principal: {{Service: {CLOUDWATCH}}}
          Action: sns:Publish
          Resource: {{Ref: {topic}}}
"""
    return topic_policy(topic, publish)


ALERT_TOPIC_CDK: Final = """\
alerts = self.node.try_find_child("AlertTopic")
if alerts is None:
""" + indent(
    f"""\
{_GRANT_KEY.replace("SCOPE", "self")}alerts = sns.Topic(self, "AlertTopic", master_key=key, enforce_ssl=True)
alerts.grant_publish({_PRINCIPAL})
alerts.add_subscription(subscriptions.EmailSubscription("ops@example.com"))
""",
    " " * 4,
)
"""A topic ``alerts`` that CloudWatch can publish to, for the code of a fix: one for all alarms of a stack."""

ALERT_TOPIC_YAML: Final = f"""\
AlertTopic:
  Type: AWS::SNS::Topic
  Properties:
    KmsMasterKeyId: {{Ref: AlertKey}}
    Subscription: [{{Protocol: email, Endpoint: ops@example.com}}]
{_policy_yaml("AlertTopic")}{_KEY_YAML}"""
"""The same topic; its logical IDs are those of every fix, so that several fixes share one topic."""

EMAIL_SUBSCRIPTION: Final = Remediation(
    'topic.add_subscription(subscriptions.EmailSubscription("ops@example.com"))',
    """\
<LogicalId>Subscription:
  Type: AWS::SNS::Subscription
  Properties:
    TopicArn: {Ref: <LogicalId>}
    Protocol: email
    Endpoint: ops@example.com
""",
    'topic.subscription = [{"protocol": "email", "endpoint": "ops@example.com"}]',
)


class AlarmActionReachable(Rule):
    """Reports topics in alarm actions that CloudWatch cannot publish to: once per topic, not per alarm."""

    id = "IOT_11_ALARM_ACTION_REACHABLE"
    info = "CloudWatch can publish to every topic in an alarm's actions, and use the topic's key."
    explanation = (
        "Otherwise, the alarm fires without a notification: the key alias/aws/sns, or a topic policy "
        "without an Allow statement, denies CloudWatch access."
    )
    _POLICY: Final = Remediation(_GRANT_PUBLISH, _policy_yaml("<LogicalId>"))
    remediations: ClassVar = {
        TOPIC: Remediation(
            f"{_GRANT_KEY.replace('SCOPE', 'topic')}"
            f"topic.node.default_child.kms_master_key_id = key.key_arn\n{_GRANT_PUBLISH}",
            "# If other services publish to the topic, add them to the policy of the key.\n"
            "<LogicalId>:\n  Properties:\n    KmsMasterKeyId: {Ref: AlertKey}\n"
            f"{_KEY_YAML}{_policy_yaml('<LogicalId>')}",
        )
    }
    source_url = f"{DOCS}/sns/latest/dg/sns-key-management.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find topics whose key or policy does not allow CloudWatch to publish."""
        graph = pipeline.graph
        policies = ResourcePolicies(graph, TOPIC)
        for topic, alarms in _alarm_topics(graph).items():
            key, gap = _key_gap(graph, topic)
            if gap is not None:
                own = key.logical_id if key is not None else ""
                detail = f"{_used_by(alarms)}: {gap}"
                yield self.finding(topic, detail, "Properties/KmsMasterKeyId", own)
            # Without a policy, it has the default one, which is compliant.
            if policies.has_own(topic) and not any(
                map(_allows_cloudwatch_publish, policies.of(topic))
            ):
                yield self.finding(
                    topic,
                    f"{_used_by(alarms)}: the topic's policy replaces the default policy and does "
                    f"not allow {CLOUDWATCH} to publish",
                )

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix of the policy alone, of the topic's own key, or of both with a new key."""
        if not finding.property_path:
            return self._POLICY
        fix = super().variant(finding)
        if finding.value:
            grant = f"topic.master_key.grant_encrypt_decrypt({_PRINCIPAL})\n{_GRANT_PUBLISH}"
            return Remediation(grant, fix.cloudformation)
        return fix


class FailureTopicSubscriber(Rule):
    """Reports topics for failures without a subscription."""

    id = "IOT_12_DLQ_SUBSCRIBER"
    info = "Every topic that receives failures has a subscription in the app."
    explanation = (
        "A topic does not store messages, so without a subscription the failed records are lost."
    )
    remediations: ClassVar = {TOPIC: EMAIL_SUBSCRIPTION}
    source_url = f"{DOCS}/sns/latest/dg/sns-create-subscribe-endpoint-to-topic.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find failure topics that nothing is subscribed to."""
        for topic, path in pipeline.failure_topics.items():
            if topic not in pipeline.subscribed_topics:
                yield self.finding(
                    topic,
                    f"this topic receives {path.description} and has no subscription: its messages "
                    "are lost",
                )


class AlarmNotifies(Rule):
    """Reports alarms without an action that no other resource uses."""

    id = "IOT_26_ALARM_ACTION"
    info = (
        "Every alarm has an alarm action and its actions are enabled, unless a composite alarm, "
        "another resource that is not a dashboard, or an enabled EventBridge rule with a target uses it."
    )
    explanation = "An alarm without an action changes its state in the console and notifies no one."
    _ENABLE: Final = Remediation(
        "actions_enabled=True", "<LogicalId>:\n  Properties:\n    ActionsEnabled: true"
    )
    _FIX: Final = Remediation(
        f"{ALERT_TOPIC_CDK}alarm.add_alarm_action(cloudwatch_actions.SnsAction(alerts))",
        "<LogicalId>:\n  Properties:\n    AlarmActions: [{Ref: AlertTopic}]\n" + ALERT_TOPIC_YAML,
        f"{ALERT_TOPIC_CDK}alarm.alarm_actions = [alerts.topic_arn]",
    )
    remediations: ClassVar = {ALARM: _FIX, COMPOSITE: _FIX}
    source_url = f"{DOCS}/AmazonCloudWatch/latest/monitoring/alarm-actions.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find alarms that notify no one."""
        graph = pipeline.graph
        silent = [
            (alarm, detail, name)
            for alarm in graph.of_type(*ALARMS)
            if (found := _silence(graph, alarm)) is not None
            for detail, name in (found,)
        ]
        used = _used_alarms(graph) if silent else set()
        for alarm, detail, name in silent:
            if alarm not in used:
                yield self.finding(alarm, detail, f"Properties/{name}")

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix that enables the actions, or that adds one."""
        if finding.property_path.endswith("ActionsEnabled"):
            return self._ENABLE
        return super().variant(finding)


class AlarmTopicSubscriber(Rule):
    """Reports topics in alarm actions without a subscription."""

    id = "IOT_27_ALARM_TOPIC_SUBSCRIBER"
    info = "Every topic of the app in an alarm's actions has a subscription in the app."
    explanation = "Without a subscription, the topic discards the notification of the alarm."
    remediations: ClassVar = {TOPIC: EMAIL_SUBSCRIPTION}
    source_url = f"{DOCS}/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find topics for alarms that nothing is subscribed to."""
        for topic, alarms in _alarm_topics(pipeline.graph).items():
            if topic not in pipeline.subscribed_topics:
                yield self.finding(
                    topic,
                    f"{_used_by(alarms)}: this topic has no subscription, so no one is notified",
                )


def _used_by(alarms: list[Resource]) -> str:
    more = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
    return f"action of {alarms[0].logical_id}{more}"


def _alarm_topics(graph: Graph) -> dict[Resource, list[Resource]]:
    """Return the topics in alarm actions, with their alarms."""
    found: dict[Resource, list[Resource]] = {}
    for alarm in graph.of_type(*ALARMS):
        for name in _ACTIONS:
            for action in graph.items(alarm.properties.get(name)):
                topic = graph.target(action, alarm.template, TOPIC)
                if isinstance(topic, Resource) and topic.type == TOPIC:
                    alarms = found.setdefault(topic, [])
                    if alarm not in alarms[-1:]:
                        alarms.append(alarm)
    return found


def _allows_cloudwatch_publish(statement: Statement) -> bool:
    # The default policy has the account as principal, or any principal with a condition.
    named = statement.any_principal or statement.accounts or CLOUDWATCH in statement.services
    return statement.allows("sns:Publish") and (named or statement.unknown)


def _key_gap(graph: Graph, topic: Resource) -> tuple[Resource | None, str | None]:
    """Return the topic's own key, and why CloudWatch cannot use it; no reason if it can, or if it is unknown."""
    value = topic.properties.get("KmsMasterKeyId")
    if f":{graph.text(value, topic.template)}".endswith(":alias/aws/sns"):
        return None, f"{CLOUDWATCH} cannot use the AWS managed key alias/aws/sns of the topic"
    key = graph.target(value, topic.template, "AWS::KMS::Alias")
    if isinstance(key, Resource) and key.type == "AWS::KMS::Alias":
        key = graph.target(key.properties.get("TargetKeyId"), key.template)
    if not isinstance(key, Resource):
        return None, None
    policy = key.properties.get("KeyPolicy")
    found = list(statements(graph, policy, key.template)) if policy is not None else []
    if any(it.unknown and it.may_allow for it in found):
        return key, None
    usable = [it for it in found if it.any_principal or CLOUDWATCH in it.services]
    # The actions can be allowed by different statements.
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        if not any(it.allows(action) for it in usable):
            return key, (
                f"the policy of the topic's key {key.logical_id} does not allow {CLOUDWATCH} {action}"
            )
    return key, None


def _silence(graph: Graph, alarm: Resource) -> tuple[str, str] | None:
    """Return why the alarm has no effect, and the property; None if it has, or if it is unknown."""
    if not graph.items(alarm.properties.get("AlarmActions")):
        return "the alarm notifies no one: AlarmActions is not set", "AlarmActions"
    enabled = graph.at(alarm.properties, "ActionsEnabled")
    if all(it is not None and graph.flag(it, alarm.template) is False for it in enabled):
        return "the alarm notifies no one: ActionsEnabled is false", "ActionsEnabled"
    return None


def _used_alarms(graph: Graph) -> set[Resource]:
    """Return the alarms that other resources refer to: composite alarms, deployments, event rules ..."""
    found: set[Resource] = set()
    for template in graph.templates:
        for resource in template.resources.values():
            # A dashboard shows an alarm, but notifies no one.
            if resource.type == "AWS::CloudWatch::Dashboard":
                continue
            if resource.type == "AWS::Events::Rule" and not _is_delivered(graph, resource):
                continue
            if _takes_all_alarms(graph, resource):
                return set(graph.of_type(*ALARMS))
            found |= {it for it in _alarms_in(graph, resource) if it is not resource}
    return found


def _takes_all_alarms(graph: Graph, resource: Resource) -> bool:
    """Return whether ``resource`` is an event rule for alarms, or a composite alarm over unknown ones."""
    if resource.type == "AWS::Events::Rule":
        pattern = text_of(resource.properties.get("EventPattern"))
        # A pattern with resources or names takes those alarms only, which it refers to as any other resource does.
        return (
            "CloudWatch Alarm State Change" in pattern
            and not any(f'"{field}"' in pattern for field in ("resources", "alarmName"))
            and _is_delivered(graph, resource)
        )
    rule = resource.properties.get("AlarmRule")
    return resource.type == COMPOSITE and UNKNOWN in graph.parts(rule, resource.template)


def _is_delivered(graph: Graph, rule: Resource) -> bool:
    states = graph.at(rule.properties, "State")
    return bool(graph.items(rule.properties.get("Targets"))) and any(
        it in (None, UNKNOWN) or graph.text(it, rule.template) != "DISABLED" for it in states
    )


def _alarms_in(graph: Graph, resource: Resource) -> Iterator[Resource]:
    for value in _values(resource.properties):
        parts = graph.parts(value, resource.template)
        for part in parts:
            if isinstance(part, Reference) and part.resource.type in ALARMS:
                yield part.resource
        text = "".join(part for part in parts if isinstance(part, str))
        names = [text, *(name for _, name in _ALARM_IN_RULE.findall(text))]
        for name in names if resource.type not in (ALARM, TOPIC) else ():
            alarm = graph.target(name, resource.template, *ALARMS)
            if isinstance(alarm, Resource):
                yield alarm


def _values(value: Any) -> Iterator[Any]:
    """Return all texts and functions in ``value``."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) or is_function(each):
            yield each
        if isinstance(each, (Mapping, list)):
            waiting += each.values() if isinstance(each, Mapping) else each


RULES: Final = (
    AlarmActionReachable(),
    FailureTopicSubscriber(),
    AlarmNotifies(),
    AlarmTopicSubscriber(),
)
