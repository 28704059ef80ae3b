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
        id="IOT_04_PRIVATE_TLS_BUCKET",
        info="Every bucket blocks all public access and denies requests without TLS to itself and its objects.",
        explanation="One wrong policy or ACL makes the data public, and plain HTTP exposes it in transit.",
        remediation="`block_public_access=s3.BlockPublicAccess.BLOCK_ALL, enforce_ssl=True`",
        source_url=f"{_S3}/security-best-practices.html",
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
