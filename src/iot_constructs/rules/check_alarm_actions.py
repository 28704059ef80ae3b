"""IOT_11: CloudWatch can publish to the topics in alarm actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iot_constructs.rules.alarm_metrics import ALARM
from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import TOPIC, Pipeline
from iot_constructs.rules.policies import Statement, statements
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Resource

RULE = "IOT_11_ALARM_ACTION_REACHABLE"

_CLOUDWATCH: Final = "cloudwatch.amazonaws.com"
_ACTIONS: Final = ("AlarmActions", "OKActions", "InsufficientDataActions")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find topics in alarm actions that CloudWatch cannot publish to: one finding per topic, not per alarm."""
    graph = pipeline.graph
    policies = _topic_policies(graph)
    for topic, alarms in _alarm_topics(graph).items():
        used = f"action of {alarms[0].logical_id}" + (
            f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
        )
        key = _key_gap(graph, topic)
        if key is not None:
            yield _finding(topic, f"{used}: {key}", "Properties/KmsMasterKeyId")
        policy = policies.get(topic)
        if policy is not None and not any(map(_allows_cloudwatch_publish, policy)):
            yield _finding(
                topic,
                f"{used}: the topic's policy replaces the default policy and does not allow {_CLOUDWATCH} to publish",
            )


def _finding(topic: Resource, detail: str, property_path: str = "") -> Finding:
    return Finding(RULE, topic.template.path, topic.logical_id, detail, property_path)


def _alarm_topics(graph: Graph) -> dict[Resource, list[Resource]]:
    """Return the topics in alarm actions, with their alarms."""
    found: dict[Resource, list[Resource]] = {}
    for alarm in graph.of_type(ALARM, "AWS::CloudWatch::CompositeAlarm"):
        for name in _ACTIONS:
            for action in graph.items(alarm.properties.get(name)):
                topic = graph.target(action, alarm.template, TOPIC)
                if isinstance(topic, Resource) and topic.type == TOPIC:
                    alarms = found.setdefault(topic, [])
                    if alarm not in alarms:
                        alarms.append(alarm)
    return found


def _topic_policies(graph: Graph) -> dict[Resource, list[Statement]]:
    """Return the statements by topic; a topic without a policy has the default one, which is compliant."""
    found: dict[Resource, list[Statement]] = {}
    for policy in graph.of_type("AWS::SNS::TopicPolicy", "AWS::SNS::TopicInlinePolicy"):
        properties = policy.properties
        topics = graph.items(properties.get("Topics")) + graph.items(properties.get("TopicArn"))
        for value in topics:
            topic = graph.target(value, policy.template, TOPIC)
            if isinstance(topic, Resource):
                found.setdefault(topic, []).extend(
                    statements(graph, properties.get("PolicyDocument"), policy.template)
                )
    return found


def _allows_cloudwatch_publish(statement: Statement) -> bool:
    # The default policy has the account as principal, or any principal with a condition.
    named = statement.any_principal or statement.accounts or _CLOUDWATCH in statement.services
    return statement.allows("sns:Publish") and (named or statement.unknown)


def _key_gap(graph: Graph, topic: Resource) -> str | None:
    """Return why CloudWatch cannot use the topic's key; None if it can, or if it is unknown."""
    value = topic.properties.get("KmsMasterKeyId")
    if f":{graph.text(value, topic.template)}".endswith(":alias/aws/sns"):
        return f"{_CLOUDWATCH} cannot use the AWS managed key alias/aws/sns of the topic"
    key = graph.target(value, topic.template, "AWS::KMS::Alias")
    if isinstance(key, Resource) and key.type == "AWS::KMS::Alias":
        key = graph.target(key.properties.get("TargetKeyId"), key.template)
    if not isinstance(key, Resource):
        return None
    policy = key.properties.get("KeyPolicy")
    found = list(statements(graph, policy, key.template)) if policy is not None else []
    if any(it.unknown and it.may_allow for it in found):
        return None
    usable = [it for it in found if it.any_principal or _CLOUDWATCH in it.services]
    # The actions can be allowed by different statements.
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        if not any(it.allows(action) for it in usable):
            return f"the policy of the topic's key {key.logical_id} does not allow {_CLOUDWATCH} {action}"
    return None
