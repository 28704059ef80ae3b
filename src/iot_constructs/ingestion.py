"""AWS IoT Core: the rule that puts device messages on the stream, and the policy of the devices."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any, Final

import jsii
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_sns as sns
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import period
from iot_constructs._dlq import validate_standard_topic
from iot_constructs._iam import grant_key, grant_publish, grant_stream, role_for_grants
from iot_constructs._layout import add_writer, refer, topic_arn
from iot_constructs._naming import Named
from iot_constructs._stack import StackContext
from iot_constructs._validation import is_token, validated
from iot_constructs.environment import EnvironmentSuffix, NamePrefix, names_for

_SQL: Final = "https://docs.aws.amazon.com/iot/latest/developerguide"
_TOPIC_LEVEL: Final = re.compile(r"\$\{topic\((\d*)\)\}")
_BASIC_INGEST: Final = f"{_SQL}/iot-basic-ingest.html"
_BASIC_INGEST_PREFIX: Final = "$aws/rules/"


@jsii.implements(iam.IGrantable)
class TelemetryRule(Named, Construct):
    """An IoT rule that puts every telemetry message on the stream, or on the DLQ topic if that fails.

    * SQL version 2016-03-23: unset means 2015-10-08, which parses nested arrays differently
      (https://docs.aws.amazon.com/iot/latest/developerguide/iot-rule-sql-version.html).
    * ``SELECT *`` passes the payload on unchanged, also if it is not JSON.
    * Partition key ``${topic(2)}``: the device's policy restricts the topic, while the device
      writes the payload.
    * An error action is mandatory: without one, IoT discards a message whose action failed every attempt
      (https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html).
    * Two roles, for this rule only: one may put records on this stream, the other publish to this topic. A problem of
      the first does not affect the error action.
    * The rule is created after the consumers of the stream and the subscription of the DLQ that are in its stack:
      Firehose reads only what arrives after its creation. Create the rule in the last stack that you deploy.

    With ``basic_ingest=True``, devices publish to the rule itself, on ``$aws/rules/<rule name>/device/+/telemetry``.
    AWS charges for the rule and its action then, but not for the messages
    (https://docs.aws.amazon.com/iot/latest/developerguide/iot-basic-ingest.html):

    * The message broker is not involved, so there are no subscribers and no retained messages, neither for devices nor
      for other rules. Devices publish messages for others to another topic.
    * The rule's name is a part of the topic, so devices get the topic (``publish_topic``) with their configuration. If
      you rename the rule, AWS IoT drops what they publish to the old name, and counts it in the metric
      ``RuleNotFound``. It drops what is sent to a disabled rule, too.
    * The prefix ``$aws/rules/<rule name>/`` does not count for ``topic(n)``, nor for the limits of the topic's length
      and slashes. The partition key is the same on both topics.
    * The rule takes messages on ``topic_filter`` as before, so devices can change one by one. A DevicePolicy with
      ``rule=`` allows only the topic of Basic Ingest.

    Args:
        stream: the stream for the messages.
        dlq_topic: the topic for a message that IoT could not put on the stream, such as that of a StreamProcessor.
        rule_name: the base name; the rule is called ``name_suffix`` (rule names have no hyphen).
        topic_filter: an MQTT topic filter. A level that ``partition_key`` names must be a wildcard: the device ID.
        partition_key: an IoT substitution template over the topic; ``${topic(2)}`` is the second level.
        select: the SELECT clause. Anything but ``*`` changes the payload, and requires JSON.
        where: the WHERE clause; by default every message.
        basic_ingest: whether devices publish to the rule itself, without messaging cost (see above).
        description: of the rule, up to 256 characters.
        rule_disabled: whether the rule is created disabled.
        actions: more actions in addition to that of the stream, with their roles.
        role: your role that puts records, which the construct adds its grants to; it must trust
            ``iot.amazonaws.com``.
        error_action_role: your role that publishes to ``dlq_topic``, likewise.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.

    Raises:
        ValueError: the topic filter breaks the rules of MQTT; the partition key is not taken from a wildcard level of
            the topic; Basic Ingest of a reserved topic, or with the whole topic as the key; the topic is FIFO; the name
            is taken or not valid.
        TypeError: a value has the wrong type.

    Example::

        from iot_constructs import TelemetryRule

        rule = TelemetryRule(stack, "Rule", stream=stream, dlq_topic=processor.dlq_topic)
    """

    @validated()
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: kinesis.IStream,
        dlq_topic: sns.ITopic | sns.Topic,
        rule_name: str | None = None,
        topic_filter: str = defaults.TOPIC_FILTER,
        partition_key: str = defaults.PARTITION_KEY_TEMPLATE,
        select: str = "*",
        where: str | None = None,
        basic_ingest: bool = False,
        description: str | None = None,
        rule_disabled: bool = False,
        actions: Sequence[iot.CfnTopicRule.ActionProperty] = (),
        role: iam.IRole | None = None,
        error_action_role: iam.IRole | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
    ) -> None:
        super().__init__(scope, id)
        validate_standard_topic("dlq_topic", dlq_topic)
        _validate_topic_filter(topic_filter)
        _validate_partition_key(partition_key, topic_filter)
        if basic_ingest:
            _validate_basic_ingest(topic_filter, partition_key)
        self._topic_filter = topic_filter
        self._basic_ingest = basic_ingest
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        name = self._names.physical_name(naming.RULE, rule_name, defaults.RULE_NAME)
        self.role: iam.IRole = role if role is not None else self._create_role("Role", name)
        """The role that puts records on the stream."""
        self.error_action_role: iam.IRole = (
            error_action_role
            if error_action_role is not None
            else self._create_role("ErrorActionRole", name)
        )
        """The role that publishes to the DLQ topic."""
        may_put = self._grant_put(stream)
        may_publish = self._grant_publish(dlq_topic)
        self.rule: iot.CfnTopicRule = iot.CfnTopicRule(
            self,
            "Rule",
            rule_name=None if naming.is_generated(name) else name,
            topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
                aws_iot_sql_version=defaults.SQL_VERSION,
                sql=f"SELECT {select} FROM '{topic_filter}'" + (f" WHERE {where}" if where else ""),
                description=description
                if description is not None
                else f"Puts messages on {topic_filter} on the telemetry stream"[:256],
                rule_disabled=rule_disabled,
                actions=[self._put_record(stream, partition_key), *actions],
                error_action=self._publish_to(dlq_topic),
            ),
        )
        """The IoT rule."""
        self._rule_name: str = self.rule.ref if naming.is_generated(name) else name
        # The rule works from its first second: not before its roles may put and publish, and all others read.
        may_put.apply_before(self.rule)
        may_publish.apply_before(self.rule)
        add_writer(stream, self.rule)
        add_writer(dlq_topic, self.rule)

    @property
    def rule_name(self) -> str:
        """The physical name."""
        return self._rule_name

    @property
    def rule_arn(self) -> str:
        """The ARN."""
        return self.rule.attr_arn

    @property
    def publish_topic(self) -> str:
        """Where devices publish, with ``+`` in place of the device ID: with Basic Ingest a topic of the rule itself."""
        return self._publish_topic(self.rule_name)

    def _publish_topic(self, rule_name: str) -> str:
        prefix = f"{_BASIC_INGEST_PREFIX}{rule_name}/" if self._basic_ingest else ""
        return prefix + self._topic_filter

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        """The role that puts records: grant to the rule what more actions need."""
        return self.role.grant_principal

    def metric_throttled(self) -> cloudwatch.Metric:
        """Messages that the rules engine dropped at the account's quota, as a sum."""
        return self._metric("RuleMessageThrottled")

    def metric_matched(self) -> cloudwatch.Metric:
        """Messages on the topic filter, as a sum."""
        return self._metric("TopicMatch")

    def metric_error_action_failures(self) -> cloudwatch.MathExpression:
        """Messages on which an action failed and the error action too, as a sum: neither stream nor DLQ has them.

        It is a Metrics Insights query over every action type. AWS IoT emits the metric by RuleName and ActionType, and
        the value of ActionType for an SNS action is not documented: a metric on a guessed one might never have data
        (https://docs.aws.amazon.com/iot/latest/developerguide/metrics_dimensions.html,
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Metrics_Insights_Alarm.html).
        """
        name = "ErrorActionFailure"
        return cloudwatch.MathExpression(
            expression=f"SELECT SUM({name}) FROM \"AWS/IoT\" WHERE RuleName = '{self.rule_name}'",
            label=name,
            period=period(),
        )

    def _metric(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/IoT",
            metric_name=name,
            dimensions_map={"RuleName": self.rule_name},
            statistic="Sum",
            period=period(),
        )

    def _create_role(self, id: str, rule_name: str) -> iam.Role:
        stack = StackContext.of(self)
        # The role exists before the rule, so a name that CloudFormation generates is not known here.
        generated = naming.is_generated(rule_name)
        arn = stack.arn("iot", f"rule/{'*' if generated else rule_name}")
        return iam.Role(
            self,
            id,
            description=f"{'Action' if id == 'Role' else 'Error action'} of the IoT rule "
            f"{'of a generated name' if generated else rule_name}",
            assumed_by=iam.ServicePrincipal(
                "iot.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike" if generated else "ArnEquals": {"aws:SourceArn": arn},
                },
            ),
        )

    def _grant_put(self, stream: kinesis.IStream) -> iam.Grant:
        role = role_for_grants(self, self.role)
        grant_key(stream.encryption_key, role, "kms:GenerateDataKey")
        return grant_stream(stream, role, "kinesis:PutRecord")

    def _grant_publish(self, topic: sns.ITopic) -> iam.Grant:
        role = role_for_grants(self, self.error_action_role, "ErrorActionRoleReference")
        return grant_publish(self, "TelemetryRule.dlq_topic", topic, role)

    def _put_record(
        self, stream: kinesis.IStream, partition_key: str
    ) -> iot.CfnTopicRule.ActionProperty:
        return iot.CfnTopicRule.ActionProperty(
            kinesis=iot.CfnTopicRule.KinesisActionProperty(
                stream_name=stream.stream_name,
                partition_key=partition_key,
                role_arn=self.role.role_arn,
            )
        )

    def _publish_to(self, topic: sns.ITopic) -> iot.CfnTopicRule.ActionProperty:
        return iot.CfnTopicRule.ActionProperty(
            sns=iot.CfnTopicRule.SnsActionProperty(
                target_arn=topic_arn(self, "TelemetryRule.dlq_topic", topic),
                role_arn=self.error_action_role.role_arn,
                message_format="RAW",
            )
        )


def _validate_topic_filter(topic_filter: str) -> None:
    """The rules of MQTT, and the limits of AWS IoT Core."""
    limits = "https://docs.aws.amazon.com/general/latest/gr/iot-core.html"
    example = f"pass for example {defaults.TOPIC_FILTER!r}"
    if is_token(topic_filter):
        raise ValueError(f"topic_filter={topic_filter!r}: a token cannot be validated; {example}")
    levels = topic_filter.split("/")
    wrong = None
    if not topic_filter:
        wrong = "it is empty"
    elif len(topic_filter.encode()) > defaults.LONGEST_TOPIC:
        wrong = f"it is longer than {defaults.LONGEST_TOPIC} bytes ({limits})"
    elif len(levels) - 1 > defaults.MOST_TOPIC_SLASHES and not topic_filter.startswith("$aws/"):
        wrong = f"it has more than {defaults.MOST_TOPIC_SLASHES} slashes ({limits})"
    elif topic_filter.startswith(_BASIC_INGEST_PREFIX):
        wrong = (
            f"rules cannot subscribe to topics of Basic Ingest ({_BASIC_INGEST}); pass basic_ingest=True, and what "
            "follows the rule's name as topic_filter"
        )
    elif "'" in topic_filter or not topic_filter.isprintable():
        wrong = "the SQL of a rule cannot contain quotation marks and control characters"
    elif any("#" in level for level in levels[:-1]) or levels[-1] not in (
        "#",
        levels[-1].replace("#", ""),
    ):
        wrong = "'#' must be the whole last level"
    elif any("+" in level and level != "+" for level in levels):
        wrong = "'+' must be a whole level"
    if wrong is not None:
        raise ValueError(f"topic_filter={topic_filter!r}: {wrong}; {example} ({_SQL}/topics.html)")


def _validate_partition_key(template: str, topic_filter: str) -> None:
    """A key that is the same for every device sends the whole fleet to one shard and one table key."""
    example = "pass for example partition_key='${topic(2)}'"
    numbers = [] if is_token(template) else _TOPIC_LEVEL.findall(template)
    if not numbers or "${" in _TOPIC_LEVEL.sub("", template):
        raise ValueError(
            f"partition_key={template!r}: take the key from the topic, which the device's policy restricts, and not "
            f"from the payload; {example} ({_SQL}/iot-sql-functions.html#iot-function-topic)"
        )
    levels = topic_filter.split("/")
    wildcards = {number for number, level in enumerate(levels, start=1) if level in ("+", "#")}
    for number in (int(text) for text in numbers if text):
        beyond = levels[-1] == "#" and number >= len(levels)
        if not 1 <= number <= len(levels) and not beyond:
            raise ValueError(
                f"partition_key={template!r}: topic_filter={topic_filter!r} has no level {number}; {example}"
            )
    from_wildcard = [
        text for text in numbers if not text or int(text) in wildcards or int(text) > len(levels)
    ]
    if not wildcards or not from_wildcard:
        raise ValueError(
            f"partition_key={template!r} is the same for every device, because no level of topic_filter="
            f"{topic_filter!r} that it names is a wildcard; name the level of the device ID, for example "
            f"topic_filter={defaults.TOPIC_FILTER!r} and partition_key={defaults.PARTITION_KEY_TEMPLATE!r}"
        )


def _validate_basic_ingest(topic_filter: str, partition_key: str) -> None:
    if topic_filter.startswith("$"):
        raise ValueError(
            f"basic_ingest=True: topic_filter={topic_filter!r} is a reserved topic, whose messages pass through the "
            f"message broker; remove basic_ingest, or pass for example {defaults.TOPIC_FILTER!r} ({_BASIC_INGEST})"
        )
    if "${topic()}" in partition_key:
        raise ValueError(
            f"basic_ingest=True: partition_key={partition_key!r} is the whole topic, and whether it begins with "
            f"{_BASIC_INGEST_PREFIX} then is documented for topic(n) only; name the level of the device ID, for "
            f"example partition_key={defaults.PARTITION_KEY_TEMPLATE!r} ({_BASIC_INGEST})"
        )


_THING: Final = "${iot:Connection.Thing.ThingName}"
_ATTACHED: Final = "iot:Connection.Thing.IsAttached"
# In a policy * and ? match anything, slashes included, ${ begins a variable, and + and # mean themselves
# (docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html).
_NOT_IN_A_LEVEL: Final = ("*", "?", "#", "+", "${")


class DevicePolicy(Named, Construct):
    """An IoT policy for all devices, which lets each one use the topics with its own thing name in them.

    A TelemetryRule takes the device ID from the topic, so without a policy like this any device can publish as any
    other.

    * Connect with the thing's name as client id only: a second device cannot take over a connection.
    * Publish to the topic of ``rule`` only, or to ``device/+/telemetry``, with the thing's name in place of the ``+``.
      Retained messages are not allowed.
    * Subscribe to nothing unless ``subscribe_topics`` names it. Subscribe is allowed on ``topicfilter/`` and Receive on
      ``topic/``, with the thing's name; a wildcard is rejected.
    * Each statement requires that the certificate is attached to the thing. A certificate that is attached to two
      things can be either, so attach it exclusively (``EXCLUSIVE_THING``).

    Attach it to certificates or to a thing group, by ``policy_name``. A changed policy takes up to 8 minutes to take
    effect, and a policy with targets cannot be deleted: detach it before you delete its stack. The thing's name is
    known on MQTT connections; publishing over HTTPS is denied.

    Args:
        policy_name: the base name; the policy is called ``name-suffix``.
        rule: the rule that devices publish to, on its ``publish_topic``: of Basic Ingest if the rule has it. Its topic
            filter has one level ``+``. The policy follows the name of the rule, also a generated one.
        publish_topics: where else a device may publish, or instead of ``rule``. Each has one level ``+``, which stands
            for the thing's name. While devices change to Basic Ingest, pass the topic filter of the rule.
        subscribe_topics: what a device may subscribe to and receive, in the same form, for example
            ``device/+/commands``.
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.

    Raises:
        ValueError: a topic has no level ``+``, more than one, or another wildcard; two topics are the same for two
            different things, also with and without the prefix of Basic Ingest; the policy is longer than AWS allows;
            the name is taken or not valid.
        TypeError: a value has the wrong type.

    Example::

        from iot_constructs import DevicePolicy, TelemetryRule

        rule = TelemetryRule(stack, "Rule", stream=stream, dlq_topic=processor.dlq_topic)
        policy = DevicePolicy(stack, "Devices", rule=rule, subscribe_topics=["device/+/commands"])
    """

    @validated()
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        policy_name: str | None = None,
        rule: TelemetryRule | None = None,
        publish_topics: Sequence[str] | None = None,
        subscribe_topics: Sequence[str] = (),
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
    ) -> None:
        super().__init__(scope, id)
        if publish_topics is None:
            publish_topics = () if rule is not None else (defaults.TOPIC_FILTER,)
        _validate_topics("publish_topics", publish_topics)
        _validate_topics("subscribe_topics", subscribe_topics)
        longest = publish_topics
        if rule is not None:
            _validate_topics("rule", [rule._topic_filter])
            generated = is_token(rule.rule_name)
            if generated:
                refer(self, "DevicePolicy.rule", rule)
            name = "x" * naming.RULE.longest if generated else rule.rule_name
            longest = [rule._publish_topic(name), *longest]
            publish_topics = [rule.publish_topic, *publish_topics]
        _validate_one_thing_per_topic([*longest, *subscribe_topics])
        # A rule does not see the prefix of Basic Ingest.
        _validate_one_thing_per_topic([_without_prefix(topic) for topic in longest])
        stack = StackContext.of(self)
        _validate_length(stack, longest, subscribe_topics)
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        name = self._names.physical_name(
            naming.DEVICE_POLICY, policy_name, defaults.DEVICE_POLICY_NAME
        )
        self.policy: iot.CfnPolicy = iot.CfnPolicy(
            self,
            "Policy",
            policy_name=None if naming.is_generated(name) else name,
            policy_document=_document(stack.arn("iot", ""), publish_topics, subscribe_topics),
        )
        """The IoT policy."""

    @property
    def policy_name(self) -> str:
        """The physical name."""
        return self.policy.policy_name if self.policy.policy_name is not None else self.policy.ref

    @property
    def policy_arn(self) -> str:
        """The ARN."""
        return self.policy.attr_arn


def _document(
    arn: str, publish_topics: Sequence[str], subscribe_topics: Sequence[str]
) -> dict[str, Any]:
    """The policy; every ARN in it begins with ``arn``."""
    granted = [
        ("iot:Connect", "client", ["+"]),
        ("iot:Publish", "topic", publish_topics),
        ("iot:Subscribe", "topicfilter", subscribe_topics),
        ("iot:Receive", "topic", subscribe_topics),
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": action,
                "Resource": [f"{arn}{kind}/{_topic_of(_THING, topic)}" for topic in topics],
                "Condition": {"Bool": {_ATTACHED: "true"}},
            }
            for action, kind, topics in granted
            if topics
        ],
    }


def _topic_of(thing: str, topic: str) -> str:
    """The topic with the name of a thing in its place."""
    return topic.replace("+", thing)


def _validate_topics(keyword: str, topics: Sequence[str]) -> None:
    for topic in topics:
        if is_token(topic):
            raise ValueError(
                f"{keyword} has {topic!r}, a token, which cannot be validated; pass a literal string"
            )
        others = [level for level in topic.split("/") if level != "+"]
        if len(others) != topic.count("/"):
            raise ValueError(
                f"{keyword} has {topic!r}, in which {topic.count('/') + 1 - len(others)} levels are '+'; pass exactly "
                "one, in place of the thing's name: for example 'device/+/telemetry'"
            )
        wrong = [sign for sign in _NOT_IN_A_LEVEL if any(sign in level for level in others)]
        if wrong:
            raise ValueError(
                f"{keyword} has {topic!r} with {wrong[0]!r} in a level, which would open the topics of other devices "
                "or none; name each topic, with one level '+' for the thing's name "
                "(https://docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html)"
            )
        if "+" not in _without_prefix(topic):
            raise ValueError(
                f"{keyword} has {topic!r} with '+' in place of the rule's name, so a thing could publish to the rule "
                f"of that name; pass rule=, or put the '+' after the name ({_BASIC_INGEST})"
            )


def _validate_one_thing_per_topic(topics: Sequence[str]) -> None:
    """``a/+/c`` and ``a/b/+`` are one topic for the things ``b`` and ``c``: one could publish as the other."""
    for one, other in itertools.combinations(topics, 2):
        levels, other_levels = one.split("/"), other.split("/")
        if len(levels) != len(other_levels):
            continue
        thing = other_levels[levels.index("+")]
        other_thing = levels[other_levels.index("+")]
        if thing != other_thing and _topic_of(thing, one) == _topic_of(other_thing, other):
            raise ValueError(
                f"publish_topics and subscribe_topics: {one!r} and {other!r} are both {_topic_of(thing, one)!r}, one "
                f"for the thing {thing!r} and one for the thing {other_thing!r}; put the '+' into the same level of "
                "both"
            )


def _without_prefix(topic: str) -> str:
    """The topic that a rule sees."""
    levels = topic.split("/")
    return "/".join(levels[3:] if topic.startswith(_BASIC_INGEST_PREFIX) else levels)


def _validate_length(
    stack: StackContext, publish_topics: Sequence[str], subscribe_topics: Sequence[str]
) -> None:
    """AWS does not count white space, and nothing else checks it before the deployment."""
    known = [
        length if is_token(value) else len(value)
        for value, length in (
            (stack.partition, defaults.LONGEST_PARTITION),
            (stack.region, defaults.LONGEST_REGION),
            (stack.account, defaults.LONGEST_ACCOUNT),
        )
    ]
    arn = "x" * (len("arn::iot:::") + sum(known))
    text = json.dumps(_document(arn, publish_topics, subscribe_topics), separators=(",", ":"))
    if len(text) > defaults.DEVICE_POLICY_MAX_LENGTH:
        raise ValueError(
            f"publish_topics={list(publish_topics)!r} and subscribe_topics={list(subscribe_topics)!r} need a policy of "
            f"up to {len(text)} characters and AWS allows {defaults.DEVICE_POLICY_MAX_LENGTH}; put some topics into a "
            "second DevicePolicy and attach both (https://docs.aws.amazon.com/iot/latest/apireference/API_CreatePolicy.html)"
        )
