"""The table of rules. RULES.md and the texts of all findings are generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from iot_constructs.rules.rule import PLUGIN_NAME, Finding, Fix

_DOCS: Final = "https://docs.aws.amazon.com"
_CLOUDFORMATION: Final = f"{_DOCS}/AWSCloudFormation/latest/UserGuide"
_CLOUDWATCH: Final = f"{_DOCS}/AmazonCloudWatch/latest/monitoring"
_IOT: Final = f"{_DOCS}/iot/latest/developerguide"
_KINESIS: Final = f"{_DOCS}/streams/latest/dev"
_LAMBDA: Final = f"{_DOCS}/lambda/latest/dg"
_SNS: Final = f"{_DOCS}/sns/latest/dg"


@dataclass(frozen=True, kw_only=True)
class TableRule:
    """One rule that is not yet a class."""

    id: str
    info: str
    """What a compliant template looks like; one sentence."""
    explanation: str
    """Why the rule exists; one sentence."""
    remediation: str
    """The code that fixes a finding in a CDK app in Python, in backticks; lower case, no full stop."""
    source_url: str
    """The AWS documentation behind the rule."""
    engine: Literal["guard", "python"]
    """``guard``: in iot_pipeline.guard. ``python``: needs more than one resource, or the manifest."""
    level: Literal["error", "warning"] = "error"
    """The severity of a finding; ``IotPipelineChecks(strict=False)`` reports warnings only."""

    @property
    def acknowledgement(self) -> str:
        """The id for CDK's ``Validations.of(scope).acknowledge()``."""
        return f"{PLUGIN_NAME}::{self.id}"

    @property
    def cfn_lint_id(self) -> str:
        """The id in cfn-lint."""
        return f"{self.level[0].upper()}93{self.id[4:6]}"

    def fix_of(self, finding: Finding) -> Fix:
        """Return the code that ends ``finding``."""
        return Fix(self.remediation, "")


TABLE_RULES: tuple[TableRule, ...] = (
    TableRule(
        id="IOT_01_ENVIRONMENT_SUFFIX",
        info="Every physical name contains the environment suffix, and the stack's name does if CloudFormation "
        "generates the resource names.",
        explanation="A fixed name can exist only once in an account, so a second environment fails to deploy or "
        "changes the first one.",
        remediation="`stream_name=f'iot-sensor-data-stream-{suffix}'`, or no name and a `SuffixedStack`",
        source_url=f"{_CLOUDFORMATION}/aws-properties-name.html",
        engine="python",
    ),
    TableRule(
        id="IOT_05_TERMINATION_PROTECTION",
        info="Every stack sets its termination protection explicitly.",
        explanation="It is off by default, and one command then deletes the pipeline with its stream.",
        remediation="`termination_protection=True`, or `SuffixedStack`, which sets it by environment",
        source_url=f"{_CLOUDFORMATION}/using-cfn-protect-stacks.html",
        engine="python",
    ),
    TableRule(
        id="IOT_07_PIPELINE_ALARMS",
        info="Alarms monitor the iterator age of each consumed stream, the errors of its function, the messages in "
        "each dead-letter queue, the throttling of each table and the data freshness of each Firehose stream.",
        explanation="Without alarms, a delayed, failing or throttled pipeline goes unnoticed until data is lost.",
        remediation="`PipelineAlarms(self, 'Alarms', ...)`, or `resource.metric_...().create_alarm(...)` for the "
        "missing alarm",
        source_url=f"{_CLOUDWATCH}/Best_Practice_Recommended_Alarms_AWS_Services.html",
        engine="python",
    ),
    TableRule(
        id="IOT_09_ALARM_DIMENSIONS",
        info="Every alarm on an AWS metric has dimensions that identify the resource.",
        explanation="AWS does not emit the metric without dimensions, so the alarm never receives data.",
        remediation="`dimensions_map={'StreamName': stream.stream_name}`, or the metric of the resource itself, "
        "`stream.metric_...()`",
        source_url=f"{_CLOUDWATCH}/cloudwatch_concepts.html",
        engine="python",
    ),
    TableRule(
        id="IOT_10_EMITTED_METRIC",
        info="Every alarm on an AWS metric uses a metric and dimensions that AWS emits.",
        explanation="An alarm on a metric that does not exist, such as UserErrors of one table, never receives data.",
        remediation="a metric of the resource itself, such as `function.metric_errors()`; for the throttling of a "
        "table, `ReadThrottleEvents` and `WriteThrottleEvents` with `TableName`",
        source_url=f"{_CLOUDWATCH}/aws-services-cloudwatch-metrics.html",
        engine="python",
    ),
    TableRule(
        id="IOT_11_ALARM_ACTION_REACHABLE",
        info="CloudWatch can publish to every topic in an alarm's actions, and use the topic's key.",
        explanation="Otherwise, the alarm fires without a notification: the key alias/aws/sns, or a topic policy "
        "without an Allow statement, denies CloudWatch access.",
        remediation="`topic.grant_publish(iam.ServicePrincipal('cloudwatch.amazonaws.com'))`, and "
        "`master_key=kms.Key(...)` if the topic is encrypted",
        source_url=f"{_SNS}/sns-key-management.html",
        engine="python",
    ),
    TableRule(
        id="IOT_12_DLQ_SUBSCRIBER",
        info="Every topic that receives failures has a subscription in the app.",
        explanation="A topic does not store messages, so without a subscription the failed records are lost.",
        remediation="`topic.add_subscription(subscriptions.SqsSubscription(queue))`",
        source_url=f"{_SNS}/sns-create-subscribe-endpoint-to-topic.html",
        engine="python",
    ),
)
"""All rules, in the order of their ids.

Each rule has an ``id``; ``info``, the requirement; ``explanation``, the reason; ``remediation``, the code to use in a
CDK app in Python; ``source_url``, the AWS documentation; ``level``, ``"error"`` or ``"warning"``; ``engine``,
``"guard"`` or ``"python"``; and ``acknowledgement``, the id to acknowledge a finding with.
"""
