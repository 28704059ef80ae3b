"""Every rule in one table: what is compliant, why, and the fix. RULES.md and all messages are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PLUGIN_NAME = "IotPipelineChecks"
"""As CDK prints it after each finding."""


@dataclass(frozen=True)
class Rule:
    """One rule, in one sentence each."""

    id: str
    compliant: str
    """What a template looks like that the rule says nothing about."""
    why: str
    """What happens otherwise."""
    fix: str
    """What to type in a CDK app in Python, code in backticks; lower case, no full stop."""
    facts: str
    """Where the evidence is: ``FACTS 3`` of docs/FACTS.md."""
    engine: Literal["guard", "python"]
    """Guard: in iot_pipeline.guard. Python: it needs more than one resource, or the manifest."""

    @property
    def acknowledgement(self) -> str:
        """The id to acknowledge a finding with, in CDK's ``Validations.of(scope).acknowledge()``."""
        return f"{PLUGIN_NAME}::{self.id}"


RULES: tuple[Rule, ...] = (
    Rule(
        id="IOT_01_ENVIRONMENT_SUFFIX",
        compliant="Every physical name carries the environment suffix, and where CloudFormation makes up the names "
        "the stack's own name does.",
        why="A name without it can exist once in an account, so a second environment fails at deploy or is the "
        "first one.",
        fix="`stream_name=f'iot-sensor-data-stream-{suffix}'`, or no name at all and `SuffixedStack` for the stack",
        facts="FACTS 7, 9, 11",
        engine="python",
    ),
    Rule(
        id="IOT_02_POINT_IN_TIME_RECOVERY",
        compliant="Every DynamoDB table, and every replica of a global one, has point-in-time recovery.",
        why="A bad write or a deleted item cannot be undone without it.",
        fix="`point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification("
        "point_in_time_recovery_enabled=True)`",
        facts="FACTS 9",
        engine="guard",
    ),
    Rule(
        id="IOT_03_BATCHING_WINDOW",
        compliant="Every mapping of a Kinesis stream waits at least one second for its batch to fill.",
        why="Without a window a few records at a time start an invocation of their own.",
        fix="`max_batching_window=Duration.seconds(5)`",
        facts="FACTS 3",
        engine="guard",
    ),
    Rule(
        id="IOT_04_PRIVATE_TLS_BUCKET",
        compliant="Every bucket blocks public access in all four ways and denies requests without TLS, for itself "
        "and its objects.",
        why="One wrong policy or ACL publishes the data, and plain HTTP shows it to everyone on the way.",
        fix="`block_public_access=s3.BlockPublicAccess.BLOCK_ALL, enforce_ssl=True`",
        facts="FACTS 7",
        engine="python",
    ),
    Rule(
        id="IOT_05_TERMINATION_PROTECTION",
        compliant="Every stack says whether it is protected against deletion.",
        why="Left unsaid it is off, and one command deletes the pipeline with its stream.",
        fix="`termination_protection=True`, or `SuffixedStack`, which decides by the environment",
        facts="FACTS 15",
        engine="python",
    ),
    Rule(
        id="IOT_06_STREAM_FAILURE_DESTINATION",
        compliant="Every mapping of a Kinesis stream has a failure destination of its own.",
        why="Lambda invokes synchronously from a stream, so the function's dead-letter queue and asynchronous "
        "configuration never see a record that was given up: it is lost.",
        fix="`on_failure=lambda_event_sources.SnsDlq(topic)` at the event source",
        facts="FACTS 1, 2",
        engine="guard",
    ),
    Rule(
        id="IOT_07_PIPELINE_ALARMS",
        compliant="An alarm watches the age and the errors of each consumed stream and its function, each "
        "dead-letter queue, the throttling of each table and the freshness of each delivery stream.",
        why="A pipeline that falls behind, fails or throttles says so nowhere else before data is lost.",
        fix="`PipelineAlarms(self, 'Alarms', ...)`, or `resource.metric_...().create_alarm(...)` for the one that is "
        "missing",
        facts="FACTS 4, 5, 8, 14",
        engine="python",
    ),
    Rule(
        id="IOT_08_NO_TIMESTREAM",
        compliant="Nothing is stored in Timestream for LiveAnalytics.",
        why="It takes no new customers, so the stack cannot be deployed to an account that does not use it yet.",
        fix="`TimeSeriesTable(self, 'Metrics')`: DynamoDB with deviceId, timestamp and a TTL",
        facts="FACTS 13",
        engine="guard",
    ),
    Rule(
        id="IOT_09_ALARM_DIMENSIONS",
        compliant="Every alarm on an AWS metric names the resource in its dimensions.",
        why="AWS emits no such metric without them: the alarm never gets data and never fires.",
        fix="`dimensions_map={'StreamName': stream.stream_name}`, or the metric of the resource itself, "
        "`stream.metric_...()`",
        facts="FACTS 4, 5",
        engine="python",
    ),
    Rule(
        id="IOT_10_EMITTED_METRIC",
        compliant="Every alarm on an AWS metric names a metric with the dimensions that AWS emits it with.",
        why="An alarm on a metric that does not exist, such as UserErrors of one table, never gets data.",
        fix="a metric of the resource itself, such as `function.metric_errors()`; for the throttling of a table "
        "`ReadThrottleEvents` and `WriteThrottleEvents` with `TableName`",
        facts="FACTS 4, 5",
        engine="python",
    ),
    Rule(
        id="IOT_11_ALARM_ACTION_REACHABLE",
        compliant="CloudWatch may publish to every topic that an alarm acts on, and use the topic's key.",
        why="The alarm fires and nobody is told: alias/aws/sns and a topic policy without an Allow keep CloudWatch "
        "out.",
        fix="`topic.grant_publish(iam.ServicePrincipal('cloudwatch.amazonaws.com'))`, and `master_key=kms.Key(...)` "
        "where the topic is encrypted",
        facts="FACTS 6",
        engine="python",
    ),
    Rule(
        id="IOT_12_DLQ_SUBSCRIBER",
        compliant="Every topic that takes failures has a subscriber in the app.",
        why="A topic delivers to the subscribers it has at that moment and keeps nothing: without one the failed "
        "records are dropped.",
        fix="`topic.add_subscription(subscriptions.SqsSubscription(queue))`",
        facts="FACTS 6",
        engine="python",
    ),
    Rule(
        id="IOT_13_TRIM_HORIZON",
        compliant="Every mapping of a Kinesis stream starts at TRIM_HORIZON or at a timestamp.",
        why="LATEST can miss records while the mapping is created or updated.",
        fix="`starting_position=lambda_.StartingPosition.TRIM_HORIZON`",
        facts="FACTS 3",
        engine="guard",
    ),
    Rule(
        id="IOT_14_BOUNDED_RETRIES",
        compliant="Every mapping of a Kinesis stream bounds both the retries and the age of a record.",
        why="The defaults are for ever, so one bad record blocks its shard until the stream drops what is behind it; "
        "throttles are no retries, so only the age bounds them.",
        fix="`retry_attempts=10, max_record_age=Duration.hours(24)`",
        facts="FACTS 3",
        engine="guard",
    ),
    Rule(
        id="IOT_15_PARTIAL_BATCHES",
        compliant="Every mapping of a Kinesis stream takes partial batch responses.",
        why="Without them one bad record brings back its whole batch, the records before it included.",
        fix="`report_batch_item_failures=True`, and a function that answers `batchItemFailures`",
        facts="FACTS 3",
        engine="guard",
    ),
    Rule(
        id="IOT_16_BISECT",
        compliant="Every mapping of a Kinesis stream halves a batch that failed.",
        why="A function that fails as a whole names no record, so the good ones share the fate of the bad one.",
        fix="`bisect_batch_on_error=True`",
        facts="FACTS 3",
        engine="guard",
    ),
    Rule(
        id="IOT_17_RETENTION_ABOVE_AGE",
        compliant="A stream keeps its records longer than its mappings retry them.",
        why="A failure record names positions on the stream: what retention dropped by then cannot be brought back.",
        fix="`retention_period=Duration.days(7)` for the stream, or a shorter `max_record_age` at the event source",
        facts="FACTS 2, 8",
        engine="python",
    ),
    Rule(
        id="IOT_18_RULE_ERROR_ACTION",
        compliant="Every IoT rule has an error action.",
        why="A message whose action failed every attempt is discarded without one.",
        fix="`error_action=iot.CfnTopicRule.ActionProperty(...)` in the rule's payload, or `TelemetryRule`",
        facts="FACTS 12",
        engine="guard",
    ),
    Rule(
        id="IOT_19_RULE_SQL_VERSION",
        compliant="Every IoT rule says a SQL version, and not that of 2015.",
        why="Left out it is 2015-10-08, which reads nested JSON and arrays differently.",
        fix="`aws_iot_sql_version='2016-03-23'` in the rule's payload",
        facts="FACTS 12",
        engine="guard",
    ),
    Rule(
        id="IOT_20_RULE_PARTITION_KEY",
        compliant="The partition key of an IoT rule's Kinesis action does not come from the payload.",
        why="A device can claim any name in its payload and be taken for another; the topic is checked by its policy.",
        fix="`partition_key='${topic(2)}'`",
        facts="FACTS 12",
        engine="guard",
    ),
    Rule(
        id="IOT_21_TIME_SERIES_TTL",
        compliant="A table with one item per moment (a numeric sort key that is called a time) has a TTL.",
        why="It grows, and costs, for ever.",
        fix="`time_to_live_attribute='ttl'`, and a writer that sets it in epoch seconds",
        facts="FACTS 9",
        engine="guard",
    ),
    Rule(
        id="IOT_22_DELETION_PROTECTION",
        compliant="A table that outlives its stack has deletion protection.",
        why="RETAIN only binds CloudFormation: any other caller of DeleteTable still takes the data.",
        fix="`deletion_protection=True`",
        facts="FACTS 9",
        engine="guard",
    ),
    Rule(
        id="IOT_23_ASYNC_FAILURE_PATH",
        compliant="The function behind a stream also has a failure destination for asynchronous invocations.",
        why="Operators invoke it asynchronously when they bring records back, and what fails then is dropped.",
        fix="`on_failure=lambda_destinations.SnsDestination(topic)` for the function",
        facts="FACTS 1",
        engine="python",
    ),
    Rule(
        id="IOT_24_BUCKET_VERSIONING",
        compliant="Every bucket that is not for logs keeps versions.",
        why="An overwritten or deleted object cannot be brought back.",
        fix="`versioned=True`",
        facts="FACTS 7",
        engine="python",
    ),
    Rule(
        id="IOT_25_BUCKET_ACCESS_LOGS",
        compliant="Every bucket that is not for logs has server access logs.",
        why="Who read the data cannot be answered afterwards.",
        fix="`server_access_logs_bucket=s3.Bucket(...)`, another bucket, with SSE-S3",
        facts="FACTS 7",
        engine="python",
    ),
)
"""Every rule, in the order of its id.

Each has ``id``; ``compliant``, what a template looks like that it says nothing about; ``why``, what happens otherwise;
``fix``, what to type in a CDK app in Python; ``facts``, the evidence; ``engine``, ``"guard"`` or ``"python"``; and
``acknowledgement``, the id to acknowledge a finding with. RULES.md is made from them.
"""

RULE_BY_ID = {rule.id: rule for rule in RULES}
