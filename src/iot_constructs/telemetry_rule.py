"""TelemetryRule: from the MQTT topic of every device into the stream."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_sns as sns
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._alarms import SUM, period
from iot_constructs._dead_letters import check_standard_topic
from iot_constructs._grants import grant_key, grant_publish
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._validate import is_token
from iot_constructs.environment import EnvironmentSuffix
from iot_constructs.monitored_stream import MonitoredStream


class TelemetryRule(PipelineConstruct):
    """An IoT rule that puts every telemetry message on the stream, or on the DLQ topic when that fails.

    * SQL version 2016-03-23: unset means 2015-10-08, which parses nested arrays differently (FACTS 12).
    * ``SELECT *`` passes the payload on as it came, also where it is not JSON: the processor sorts it out.
    * Partition key ``${topic(2)}``: the device id in the topic is held by the device's policy; one in the payload is
      whatever the device claims (FACTS 12).
    * The error action is not optional: without it, a message whose action failed every attempt is gone.
    * Its role may put records on this stream and publish to this topic, for rules of this account only.

    Args:
        stream: where the messages go.
        dlq_topic: where a message goes that could not be put on the stream; StreamProcessor has one.
        rule_name: stem; the rule is called ``stem_suffix`` (rule names take no hyphen, so the suffix gets underscores).
        topic_filter: which MQTT topics; the level that ``partition_key`` names must be the device id.
        partition_key: an IoT substitution template over the topic, by which the stream tells devices apart:
            ``${topic(2)}`` is the second level.
        environment_suffix: None takes it from the surroundings.

    Raises:
        ValueError: the partition key is taken from the payload; the topic is FIFO; the name breaks IoT's rules or
            is taken.

    Example::

        from iot_constructs import TelemetryRule

        rule = TelemetryRule(stack, "Rule", stream=stream, dlq_topic=processor.dlq_topic)
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: MonitoredStream | kinesis.IStream,
        dlq_topic: sns.ITopic,
        rule_name: str = defaults.RULE_NAME,
        topic_filter: str = defaults.TOPIC_FILTER,
        partition_key: str = defaults.PARTITION_KEY_TEMPLATE,
        environment_suffix: str | EnvironmentSuffix | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        check_standard_topic("dlq_topic", dlq_topic)
        _check_partition_key(partition_key)
        _check_topic_filter(topic_filter)
        self.rule_name = naming.physical_name(self, naming.RULE, rule_name, self._suffix)
        """The physical name."""
        target = stream.stream if isinstance(stream, MonitoredStream) else stream

        self.role = self._create_role()
        """What the rule puts records and publishes with."""
        may_put = self._grant(target, dlq_topic)
        self.rule = self._create_rule(target, dlq_topic, topic_filter, partition_key)
        """The IoT rule."""
        # The rule works from its first second: not before its role may put a record.
        may_put.apply_before(self.rule)

    def _create_role(self) -> iam.Role:
        place = self._place
        arn = f"arn:{place.partition}:iot:{place.region}:{place.account}:rule/{self.rule_name}"
        return iam.Role(
            self,
            "Role",
            description=f"IoT rule {self.rule_name}",
            assumed_by=iam.ServicePrincipal(
                "iot.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnEquals": {"aws:SourceArn": arn},
                },
            ),
        )

    def _grant(self, stream: kinesis.IStream, topic: sns.ITopic) -> iam.Grant:
        grant_publish(topic, self.role)
        grant_key(asked.key_of(stream), self.role, "kms:GenerateDataKey")
        return stream.grant(self.role, "kinesis:PutRecord")

    def _create_rule(
        self, stream: kinesis.IStream, topic: sns.ITopic, topic_filter: str, partition_key: str
    ) -> iot.CfnTopicRule:
        role_arn = self.role.role_arn
        return iot.CfnTopicRule(
            self,
            "Rule",
            rule_name=self.rule_name,
            topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
                aws_iot_sql_version=defaults.SQL_VERSION,
                sql=f"SELECT * FROM '{topic_filter}'",
                description=f"Puts what arrives on {topic_filter} on the telemetry stream",
                rule_disabled=False,
                actions=[
                    iot.CfnTopicRule.ActionProperty(
                        kinesis=iot.CfnTopicRule.KinesisActionProperty(
                            stream_name=asked.stream_name(stream),
                            partition_key=partition_key,
                            role_arn=role_arn,
                        )
                    )
                ],
                error_action=iot.CfnTopicRule.ActionProperty(
                    sns=iot.CfnTopicRule.SnsActionProperty(
                        target_arn=asked.topic_arn(topic),
                        role_arn=role_arn,
                        message_format="RAW",
                    )
                ),
            ),
        )

    @property
    def rule_arn(self) -> str:
        """The ARN."""
        return self.rule.attr_arn

    def metric_throttled(self) -> cloudwatch.Metric:
        """Messages the rules engine dropped because the account's rule limit was reached, as a sum."""
        return self._metric("RuleMessageThrottled")

    def metric_matched(self) -> cloudwatch.Metric:
        """Messages that arrived on the topic filter, as a sum."""
        return self._metric("TopicMatch")

    def _metric(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/IoT",
            metric_name=name,
            dimensions_map={"RuleName": self.rule_name},
            statistic=SUM,
            period=period(),
        )


def _check_partition_key(template: str) -> None:
    if is_token(template) or not template.startswith("${topic("):
        raise ValueError(
            f"partition_key={template!r} is not taken from the topic: a payload field is what the device claims, and "
            "a constant sends everything to one shard (FACTS 12); pass for example partition_key='${topic(2)}'"
        )


def _check_topic_filter(topic_filter: str) -> None:
    if "'" in topic_filter or not topic_filter:
        raise ValueError(
            f"topic_filter={topic_filter!r} is not an MQTT topic filter; pass for example 'device/+/telemetry'"
        )
