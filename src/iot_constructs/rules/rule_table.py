"""The table of rules. RULES.md and the texts of all findings are generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from iot_constructs.rules.rule import PLUGIN_NAME, Finding, Fix

_DOCS: Final = "https://docs.aws.amazon.com"
_CLOUDFORMATION: Final = f"{_DOCS}/AWSCloudFormation/latest/UserGuide"
_CLOUDWATCH: Final = f"{_DOCS}/AmazonCloudWatch/latest/monitoring"
_DYNAMODB: Final = f"{_DOCS}/amazondynamodb/latest/developerguide"
_IOT: Final = f"{_DOCS}/iot/latest/developerguide"
_KINESIS: Final = f"{_DOCS}/streams/latest/dev"
_LAMBDA: Final = f"{_DOCS}/lambda/latest/dg"
_S3: Final = f"{_DOCS}/AmazonS3/latest/userguide"
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
        id="IOT_03_BATCHING_WINDOW",
        info="Every event source mapping of a Kinesis stream has a batching window of at least one second.",
        explanation="Without a window, Lambda invokes the function for every few records, which costs more.",
        remediation="`max_batching_window=Duration.seconds(5)`",
        source_url=f"{_LAMBDA}/services-kinesis-parameters.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_04_PRIVATE_TLS_BUCKET",
        info="Every bucket blocks all public access and denies requests without TLS to itself and its objects.",
        explanation="One wrong policy or ACL makes the data public, and plain HTTP exposes it in transit.",
        remediation="`block_public_access=s3.BlockPublicAccess.BLOCK_ALL, enforce_ssl=True`",
        source_url=f"{_S3}/security-best-practices.html",
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
        id="IOT_06_STREAM_FAILURE_DESTINATION",
        info="Every event source mapping of a Kinesis stream has its own on-failure destination.",
        explanation="Lambda invokes the function synchronously, so the function's dead-letter queue and asynchronous "
        "configuration never receive a discarded record, and it is lost.",
        remediation="`on_failure=lambda_event_sources.SnsDlq(topic)` in the event source",
        source_url=f"{_LAMBDA}/kinesis-on-failure-destination.html",
        engine="guard",
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
        id="IOT_08_NO_TIMESTREAM",
        info="The app has no resources of Timestream for LiveAnalytics.",
        explanation="The service is closed to new customers, so the stack cannot be deployed to most accounts.",
        remediation="`TimeSeriesTable(self, 'Metrics')`, a DynamoDB table with deviceId, timestamp and a TTL",
        source_url=f"{_DOCS}/timestream/latest/developerguide/"
        "AmazonTimestreamForLiveAnalytics-availability-change.html",
        engine="guard",
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
    TableRule(
        id="IOT_13_TRIM_HORIZON",
        info="Every event source mapping of a Kinesis stream starts at TRIM_HORIZON or at a timestamp.",
        explanation="LATEST can miss records while the mapping is created or updated.",
        remediation="`starting_position=lambda_.StartingPosition.TRIM_HORIZON`",
        source_url=f"{_LAMBDA}/services-kinesis-parameters.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_14_BOUNDED_RETRIES",
        info="Every event source mapping of a Kinesis stream limits the retry attempts and the record age.",
        explanation="By default, Lambda retries a failing record until it expires, which blocks the shard; throttled "
        "invocations do not count as retries, so the record age needs a limit as well.",
        remediation="`retry_attempts=10, max_record_age=Duration.hours(24)`",
        source_url=f"{_LAMBDA}/services-kinesis-parameters.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_15_PARTIAL_BATCHES",
        info="Every event source mapping of a Kinesis stream reports batch item failures.",
        explanation="Without partial batch responses, one failing record causes a retry of its whole batch.",
        remediation="`report_batch_item_failures=True`, and a function that returns `batchItemFailures`",
        source_url=f"{_LAMBDA}/services-kinesis-batchfailurereporting.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_16_BISECT",
        info="Every event source mapping of a Kinesis stream splits a failed batch.",
        explanation="A function that fails does not identify the record, so the whole batch is discarded with it.",
        remediation="`bisect_batch_on_error=True`",
        source_url=f"{_LAMBDA}/services-kinesis-parameters.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_17_RETENTION_ABOVE_AGE",
        info="The retention period of a stream is longer than the maximum record age of its event source mappings.",
        explanation="A failure record contains only the position of the batch, so records that have expired cannot be "
        "redriven.",
        remediation="`retention_period=Duration.days(7)` for the stream, or a shorter `max_record_age` in the event "
        "source",
        source_url=f"{_KINESIS}/kinesis-extended-retention.html",
        engine="python",
    ),
    TableRule(
        id="IOT_18_RULE_ERROR_ACTION",
        info="Every IoT rule has an error action.",
        explanation="Without one, AWS IoT discards a message if the rule's action fails.",
        remediation="`error_action=iot.CfnTopicRule.ActionProperty(...)` in the rule's payload, or `TelemetryRule`",
        source_url=f"{_IOT}/rule-error-handling.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_19_RULE_SQL_VERSION",
        info="Every IoT rule sets its SQL version, to one newer than 2015-10-08.",
        explanation="The default is 2015-10-08, which handles nested JSON and arrays differently.",
        remediation="`aws_iot_sql_version='2016-03-23'` in the rule's payload",
        source_url=f"{_IOT}/iot-rule-sql-version.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_20_RULE_PARTITION_KEY",
        info="The partition key in a Kinesis action of an IoT rule does not come from the payload.",
        explanation="A device can send any id in its payload, whereas the device's policy controls its topics.",
        remediation="`partition_key='${topic(2)}'`",
        source_url=f"{_IOT}/iot-substitution-templates.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_21_TIME_SERIES_TTL",
        info="A table with time-series data (a numeric sort key that is named like a time) has a TTL.",
        explanation="Without a TTL, the table and its cost grow without limit.",
        remediation="`time_to_live_attribute='ttl'`, and a writer that sets it in epoch seconds",
        source_url=f"{_DYNAMODB}/TTL.html",
        engine="guard",
    ),
    TableRule(
        id="IOT_22_DELETION_PROTECTION",
        info="A table with the removal policy RETAIN has deletion protection.",
        explanation="RETAIN applies only to CloudFormation: another caller of DeleteTable can still delete the data.",
        remediation="`deletion_protection=True`",
        source_url=f"{_DYNAMODB}/WorkingWithTables.Basics.html#WorkingWithTables.Basics.DeletionProtection",
        engine="guard",
    ),
    TableRule(
        id="IOT_23_ASYNC_FAILURE_PATH",
        info="A function that consumes a stream also has an on-failure destination for asynchronous invocations.",
        explanation="Operators invoke it asynchronously to redrive records, and a failed invocation is lost otherwise.",
        remediation="`on_failure=lambda_destinations.SnsDestination(topic)` for the function",
        source_url=f"{_LAMBDA}/invocation-async-retain-records.html",
        engine="python",
    ),
    TableRule(
        id="IOT_24_BUCKET_VERSIONING",
        info="Every bucket that does not store logs has versioning enabled.",
        explanation="Without versioning, an overwritten or deleted object cannot be restored.",
        remediation="`versioned=True`",
        source_url=f"{_S3}/Versioning.html",
        engine="python",
    ),
    TableRule(
        id="IOT_25_BUCKET_ACCESS_LOGS",
        info="Every bucket that does not store logs has server access logging enabled.",
        explanation="Without access logs, an audit cannot show who read the data.",
        remediation="`server_access_logs_bucket=s3.Bucket(...)`, a separate bucket with SSE-S3",
        source_url=f"{_S3}/ServerLogs.html",
        engine="python",
    ),
)
"""All rules, in the order of their ids.

Each rule has an ``id``; ``info``, the requirement; ``explanation``, the reason; ``remediation``, the code to use in a
CDK app in Python; ``source_url``, the AWS documentation; ``level``, ``"error"`` or ``"warning"``; ``engine``,
``"guard"`` or ``"python"``; and ``acknowledgement``, the id to acknowledge a finding with.
"""
