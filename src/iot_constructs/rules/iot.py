"""Rules for the rules of AWS IoT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import TOPIC_RULE, Pipeline
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import DOCS, Finding, Rule
from iot_constructs.rules.template import Resource

_GUIDE: Final = f"{DOCS}/iot/latest/developerguide"
_OLD_VERSION: Final = "2015-10-08"
_TOPIC_FILTER = re.compile(r"\bfrom\s+['\"]([^'\"]+)", re.IGNORECASE)
_EXPRESSION = re.compile(r"\$\{([^}]*)\}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Neither a function, nor a variable (@name), nor below one of them.
_NAME = re.compile(r"(?<![@.\w])[A-Za-z_]\w*\b(?!\s*\()")
_WHOLE_PAYLOAD = re.compile(r"(^|\()\s*\*")
_TYPE = re.compile(r"\bas\s+\w+", re.IGNORECASE)  # cast(... as String)
_KEYWORDS: Final = frozenset(
    (
        "and",
        "case",
        "else",
        "end",
        "false",
        "in",
        "not",
        "null",
        "or",
        "then",
        "true",
        "undefined",
        "when",
    )
)


class _TopicRuleRule(Rule):
    """A rule for each IoT rule."""

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find IoT rules that do not comply."""
        for rule in pipeline.graph.of_type(TOPIC_RULE):
            payloads = pipeline.graph.at(rule.properties, "TopicRulePayload")
            if any(it is not None for it in payloads):
                yield from self.check_rule(pipeline, rule)

    def check_rule(self, pipeline: Pipeline, rule: Resource) -> Iterator[Finding]:
        """Find what does not comply in ``rule``."""
        raise NotImplementedError


class ErrorAction(_TopicRuleRule):
    """Reports IoT rules without an error action."""

    id = "IOT_18_RULE_ERROR_ACTION"
    info = "Every IoT rule has an error action."
    explanation = "Without one, AWS IoT discards a message if the rule's action fails."
    remediations: ClassVar = {
        TOPIC_RULE: Remediation(
            """\
errors = logs.LogGroup(rule, "Errors", retention=logs.RetentionDays.SIX_MONTHS)
role = iam.Role(rule, "ErrorsRole", assumed_by=iam.ServicePrincipal("iot.amazonaws.com"))
errors.grant(role, "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
rule.add_property_override(
    "TopicRulePayload.ErrorAction.CloudwatchLogs",
    {"LogGroupName": errors.log_group_name, "RoleArn": role.role_arn},
)""",
            """\
<LogicalId>:
  Properties:
    TopicRulePayload:
      ErrorAction:
        CloudwatchLogs:
          LogGroupName: {Ref: <LogicalId>Errors}
          RoleArn: {Fn::GetAtt: [<LogicalId>ErrorsRole, Arn]}
<LogicalId>Errors:
  Type: AWS::Logs::LogGroup
  Properties:
    RetentionInDays: 180
<LogicalId>ErrorsRole:
  Type: AWS::IAM::Role
  Properties:
    AssumeRolePolicyDocument:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal: {Service: iot.amazonaws.com}
          Action: sts:AssumeRole
    Policies:
      - PolicyName: log
        PolicyDocument:
          Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: [logs:CreateLogStream, logs:DescribeLogStreams, logs:PutLogEvents]
              Resource: {Fn::GetAtt: [<LogicalId>Errors, Arn]}
""",
        )
    }
    source_url = f"{_GUIDE}/rule-error-handling.html"

    def check_rule(self, pipeline: Pipeline, rule: Resource) -> Iterator[Finding]:
        """Find a payload without an error action, or with an empty one."""
        graph = pipeline.graph
        values = graph.at(rule.properties, "TopicRulePayload", "ErrorAction")
        if not any(_has_action(graph, it) for it in values):
            yield self.finding(
                rule,
                "no ErrorAction: a message is discarded if its action fails",
                "Properties/TopicRulePayload/ErrorAction",
            )


class SqlVersion(_TopicRuleRule):
    """Reports IoT rules with the oldest version of the SQL engine."""

    id = "IOT_19_RULE_SQL_VERSION"
    info = "Every IoT rule sets its SQL version, to one newer than 2015-10-08."
    explanation = "The default is 2015-10-08, which handles nested JSON and arrays differently."
    remediations: ClassVar = {
        TOPIC_RULE: Remediation(
            'rule.add_property_override("TopicRulePayload.AwsIotSqlVersion", "2016-03-23")',
            """\
<LogicalId>:
  Properties:
    TopicRulePayload:
      AwsIotSqlVersion: "2016-03-23"
""",
        )
    }
    source_url = f"{_GUIDE}/iot-rule-sql-version.html"

    def check_rule(self, pipeline: Pipeline, rule: Resource) -> Iterator[Finding]:
        """Find a version that is not set or the oldest one."""
        values = pipeline.graph.at(rule.properties, "TopicRulePayload", "AwsIotSqlVersion")
        if all(
            it is None or pipeline.graph.text(it, rule.template) == _OLD_VERSION for it in values
        ):
            state = "not set and defaults to 2015-10-08" if None in values else _OLD_VERSION
            yield self.finding(
                rule,
                f"AwsIotSqlVersion is {state}",
                "Properties/TopicRulePayload/AwsIotSqlVersion",
            )


class PartitionKey(_TopicRuleRule):
    """Reports IoT rules that take the partition key from the payload."""

    id = "IOT_20_RULE_PARTITION_KEY"
    info = (
        "The partition key in a Kinesis action of an IoT rule contains no field of the payload, and is "
        "not constant."
    )
    explanation = (
        "A device can send any ID in its payload, whereas the device's policy controls its topics; a "
        "constant key sends all messages to one shard, and a random or missing one does not keep the "
        "order of the messages of a device, as the topic or the client id does."
    )
    remediations: ClassVar = {
        TOPIC_RULE: Remediation(
            'rule.add_property_override("TopicRulePayload.Actions.0.Kinesis.PartitionKey", "${topic(2)}")',
            """\
<LogicalId>:
  Properties:
    TopicRulePayload:
      Actions:
        - Kinesis: {PartitionKey: "${topic(2)}"}
""",
        )
    }
    source_url = f"{_GUIDE}/kinesis-rule-action.html"

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix of the action that the finding is about, with the level of the device in its topic."""
        fix, index = super().variant(finding), int(finding.property_path.split("/")[3])
        before = "- {}\n        " * index
        return Remediation(
            fix.cdk.replace("Actions.0", f"Actions.{index}").replace("topic(2)", finding.value),
            fix.cloudformation.replace("- Kinesis", f"{before}- Kinesis").replace(
                "topic(2)", finding.value
            ),
        )

    def check_rule(self, pipeline: Pipeline, rule: Resource) -> Iterator[Finding]:
        """Find keys in which every possible value contains a payload field or is constant.

        AWS does not document what AWS IoT uses without a key, so that none is no finding.
        """
        graph = pipeline.graph
        for actions in graph.at(rule.properties, "TopicRulePayload", "Actions"):
            for index, action in enumerate(graph.items(actions)):
                keys = graph.at(action, "Kinesis", "PartitionKey")
                constants = [_constant(pipeline, key, rule) for key in keys]
                if None not in constants:
                    detail = (
                        f"the partition key {constants[0]!r} is constant, so that the messages of all "
                        "devices go to one shard"
                    )
                elif all(
                    constant is not None or _has_field(pipeline, key, rule)
                    for key, constant in zip(keys, constants, strict=True)
                ):
                    detail = "the partition key comes from the payload, in which a device can send any id"
                else:
                    continue
                yield self.finding(
                    rule,
                    detail,
                    f"Properties/TopicRulePayload/Actions/{index}/Kinesis/PartitionKey",
                    _device(pipeline, rule),
                )


def _has_action(graph: Graph, value: Any) -> bool:
    """Return whether an error action contains an action, or can."""
    if not isinstance(value, Mapping):
        return value is not None
    return any(it is not None for key in value for it in graph.at(value, key))


def _constant(pipeline: Pipeline, key: Any, rule: Resource) -> str | None:
    """Return the key, if it has no substitution template and is not known at deployment only."""
    parts = () if key is None else pipeline.graph.parts(key, rule.template)
    if not parts or not all(isinstance(part, str) for part in parts):
        return None
    text = "".join(str(part) for part in parts)
    return None if "${" in text else text


def _device(pipeline: Pipeline, rule: Resource) -> str:
    """Return the expression for the device: the first level of the topic filter that varies, or the client id."""
    [sql, *_] = pipeline.graph.at(rule.properties, "TopicRulePayload", "Sql")
    found = _TOPIC_FILTER.search(pipeline.graph.text(sql, rule.template) or "")
    levels = found[1].split("/") if found is not None else []
    return f"topic({levels.index('+') + 1})" if "+" in levels else "clientid()"


def _has_field(pipeline: Pipeline, key: Any, rule: Resource) -> bool:
    """Return whether a part of ``key`` certainly comes from the payload."""
    parts = pipeline.graph.parts(key, rule.template)
    return any(
        _is_field(_TYPE.sub("", _QUOTED.sub("", expression)))
        for part in parts
        if isinstance(part, str)
        for expression in _EXPRESSION.findall(part)
    )


def _is_field(expression: str) -> bool:
    names = {name.lower() for name in _NAME.findall(expression)}
    return bool(names - _KEYWORDS or _WHOLE_PAYLOAD.search(expression))


RULES: Final = (ErrorAction(), SqlVersion(), PartitionKey())
