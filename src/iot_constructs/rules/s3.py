"""Rules for S3 buckets: access, versioning and access logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from iot_constructs.rules.graph import UNKNOWN, Graph
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.policies import BUCKET, ResourcePolicies, Statement
from iot_constructs.rules.remediations import Remediation, deny_plain_http, set_properties
from iot_constructs.rules.rule import DOCS, Finding, Rule
from iot_constructs.rules.template import Resource

_GUIDE: Final = f"{DOCS}/AmazonS3/latest/userguide"
_FLAGS: Final = (
    "BlockPublicAcls",
    "BlockPublicPolicy",
    "IgnorePublicAcls",
    "RestrictPublicBuckets",
)
_PUBLIC_ACLS: Final = frozenset({"PublicRead", "PublicReadWrite", "AuthenticatedRead"})
# Services that write logs to a bucket: logs are not overwritten, and access logs of a log bucket create more logs.
_LOG_WRITERS: Final = frozenset(
    {
        "cloudtrail.amazonaws.com",
        "config.amazonaws.com",
        "delivery.logs.amazonaws.com",
        "logdelivery.elasticloadbalancing.amazonaws.com",
        "logging.s3.amazonaws.com",
    }
)
# One for all buckets of a stack.
_LOG_BUCKET: Final = """self.node.try_find_child("AccessLogs") or s3.Bucket(
    self,
    "AccessLogs",
    block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
    encryption=s3.BucketEncryption.S3_MANAGED,
    enforce_ssl=True,
)"""
_BLOCK_ALL: Final = """PublicAccessBlockConfiguration:
      BlockPublicAcls: true
      BlockPublicPolicy: true
      IgnorePublicAcls: true
      RestrictPublicBuckets: true"""


def _tls_only(bucket: str) -> str:
    whole, objects = f"{{'Fn::GetAtt': [{bucket}, Arn]}}", f"{{'Fn::Sub': '${{{bucket}.Arn}}/*'}}"
    return deny_plain_http("s3:*", whole, objects)


class PrivateTlsBucket(Rule):
    """Reports buckets with public access or plain HTTP."""

    id = "IOT_04_PRIVATE_TLS_BUCKET"
    info = (
        "Every bucket blocks all public access and denies requests without TLS to itself and its "
        "objects, unless it is public on purpose: by website hosting, a public ACL, or a policy "
        "that lets everybody read its objects."
    )
    explanation = (
        "One wrong policy or ACL makes the data public, and plain HTTP exposes it in transit."
    )
    remediations: ClassVar = {
        BUCKET: Remediation(
            "block_public_access=s3.BlockPublicAccess.BLOCK_ALL, enforce_ssl=True",
            f"""<LogicalId>:
  Properties:
    {_BLOCK_ALL}
<LogicalId>Policy:  # a bucket has one policy: if there is one already, add the statement to it
  Type: AWS::S3::BucketPolicy
  Properties:
    Bucket:
      Ref: <LogicalId>
    PolicyDocument:
      Version: "2012-10-17"
      Statement:
{_tls_only("<LogicalId>")}""",
            """bucket.public_access_block_configuration = {
    "blockPublicAcls": True,
    "blockPublicPolicy": True,
    "ignorePublicAcls": True,
    "restrictPublicBuckets": True,
}
own = s3.Bucket.from_cfn_bucket(bucket)  # with a policy already: add the statement to that
own.add_to_resource_policy(
    iam.PolicyStatement(
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["s3:*"],
        resources=[own.bucket_arn, own.arn_for_objects("*")],
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )
)""",
        )
    }
    source_url = f"{_GUIDE}/security-best-practices.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find buckets with public access or plain HTTP that are not public on purpose."""
        graph = pipeline.graph
        policies = ResourcePolicies(graph, BUCKET)
        for bucket in graph.of_type(BUCKET):
            if _is_public(graph, bucket, policies.of(bucket)):
                continue
            missing = _missing_blocks(graph, bucket)
            if missing:
                yield self.finding(
                    bucket,
                    f"public access is not blocked: {', '.join(missing)} not true",
                    "Properties/PublicAccessBlockConfiguration",
                )
            if gap := _tls_gap(graph, bucket, policies):
                yield self.finding(bucket, gap)


class BucketVersioning(Rule):
    """Reports buckets without versioning."""

    id = "IOT_24_BUCKET_VERSIONING"
    info = (
        "Every bucket that neither stores logs nor expires its objects by a lifecycle rule has "
        "versioning enabled."
    )
    explanation = "Without versioning, an overwritten or deleted object cannot be restored."
    remediations: ClassVar = {
        BUCKET: set_properties("versioned=True", "VersioningConfiguration:\n  Status: Enabled")
    }
    source_url = f"{_GUIDE}/Versioning.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find buckets without versioning that keep their objects."""
        graph = pipeline.graph
        for bucket in _data_buckets(graph):
            if not _versioned(graph, bucket) and not _expires_objects(graph, bucket):
                yield self.finding(
                    bucket,
                    "versioning is not enabled: an overwritten or deleted object cannot be restored",
                    "Properties/VersioningConfiguration",
                )


class BucketAccessLogs(Rule):
    """Reports buckets without server access logs."""

    id = "IOT_25_BUCKET_ACCESS_LOGS"
    info = "Every bucket that does not store logs has server access logging enabled."
    explanation = "Without access logs, an audit cannot show who read the data."
    remediations: ClassVar = {
        BUCKET: Remediation(
            f"server_access_logs_bucket={_LOG_BUCKET}",
            f"""<LogicalId>:
  Properties:
    LoggingConfiguration:
      DestinationBucketName:
        Ref: <LogicalId>AccessLogs
<LogicalId>AccessLogs:
  Type: AWS::S3::Bucket
  DeletionPolicy: Retain
  UpdateReplacePolicy: Retain
  Properties:
    {_BLOCK_ALL}
<LogicalId>AccessLogsPolicy:
  Type: AWS::S3::BucketPolicy
  Properties:
    Bucket:
      Ref: <LogicalId>AccessLogs
    PolicyDocument:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal:
            Service: logging.s3.amazonaws.com
          Action: s3:PutObject
          Resource:
            Fn::Sub: ${{<LogicalId>AccessLogs.Arn}}/*
          Condition:
            StringEquals:
              aws:SourceAccount:
                Ref: AWS::AccountId
{_tls_only("<LogicalId>AccessLogs")}""",
            f"""logs_bucket = {_LOG_BUCKET}
logs_bucket.add_to_resource_policy(
    iam.PolicyStatement(
        principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
        actions=["s3:PutObject"],
        resources=[logs_bucket.arn_for_objects("*")],
        conditions={{"StringEquals": {{"aws:SourceAccount": self.account}}}},
    )
)
bucket.logging_configuration = {{"destinationBucketName": logs_bucket.bucket_name}}""",
        )
    }
    source_url = f"{_GUIDE}/ServerLogs.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find buckets without access logs."""
        for bucket in _data_buckets(pipeline.graph):
            if all(
                it is None for it in pipeline.graph.at(bucket.properties, "LoggingConfiguration")
            ):
                yield self.finding(
                    bucket,
                    "server access logging is not enabled",
                    "Properties/LoggingConfiguration",
                )


def _is_public(graph: Graph, bucket: Resource, policy: list[Statement]) -> bool:
    """Return whether it is public on purpose: its clients use a website endpoint, which has no TLS, or plain HTTP.

    The injectors leave the same buckets alone; ``public_read_access=True`` is such a policy.
    """
    websites = graph.at(bucket.properties, "WebsiteConfiguration")
    acls = graph.at(bucket.properties, "AccessControl")
    return (
        any(it is not None for it in websites)
        or any(graph.text(it, bucket.template) in _PUBLIC_ACLS for it in acls)
        or any(
            it.any_principal and not it.conditions and it.allows("s3:GetObject") for it in policy
        )
    )


def _missing_blocks(graph: Graph, bucket: Resource) -> list[str]:
    return [
        flag
        for flag in _FLAGS
        if graph.none_true(
            graph.at(bucket.properties, "PublicAccessBlockConfiguration", flag), bucket.template
        )
    ]


def _tls_gap(graph: Graph, bucket: Resource, policies: ResourcePolicies) -> str | None:
    denials = policies.denials_of_plain_http(bucket)
    if denials is None:
        return None
    whole = objects = False
    for statement in denials:
        if not {action.lower() for action in statement.actions} & {"s3:*", "*"}:
            continue
        for resource in statement.resources:
            if policies.covers(bucket, resource, statement):
                covered = _parts_of_bucket(graph, resource, statement)
                whole, objects = whole or covered[0], objects or covered[1]
    if whole and objects:
        return None
    if whole or objects:
        part = "the bucket, but not its objects" if whole else "the objects, but not the bucket"
        return f"the policy denies plain HTTP for {part} (aws:SecureTransport)"
    return "no policy denies plain HTTP (aws:SecureTransport false) on the bucket and its objects"


def _parts_of_bucket(graph: Graph, resource: Any, statement: Statement) -> tuple[bool, bool]:
    """Return whether a policy's ``resource`` is the bucket itself, and whether it is all its objects."""
    parts = graph.parts(resource, statement.template)
    if UNKNOWN in parts:
        return True, True
    end = parts[-1] if isinstance(parts[-1], str) else ""
    return not end.endswith("/*"), end.endswith("*")


def _data_buckets(graph: Graph) -> Iterator[Resource]:
    """Return the buckets that do not store logs, as far as the app shows."""
    policies = ResourcePolicies(graph, BUCKET)
    targets = {
        graph.target(value, bucket.template, BUCKET)
        for bucket in graph.of_type(BUCKET)
        for value in graph.at(bucket.properties, "LoggingConfiguration", "DestinationBucketName")
        # A bucket that logs into itself stores other objects as well.
        if graph.target(value, bucket.template, BUCKET) is not bucket
    }
    for bucket in graph.of_type(BUCKET):
        acls = graph.at(bucket.properties, "AccessControl")
        if (
            bucket not in targets
            and all(graph.text(it, bucket.template) != "LogDeliveryWrite" for it in acls)
            and not any(
                it.effect == "Allow" and it.services & _LOG_WRITERS for it in policies.of(bucket)
            )
        ):
            yield bucket


def _versioned(graph: Graph, bucket: Resource) -> bool:
    if not graph.none_true(graph.at(bucket.properties, "ObjectLockEnabled"), bucket.template):
        return True  # Object Lock enables versioning
    return any(
        value is not None and graph.text(value, bucket.template) in (None, "Enabled")
        for value in graph.at(bucket.properties, "VersioningConfiguration", "Status")
    )


def _expires_objects(graph: Graph, bucket: Resource) -> bool:
    """Return whether a lifecycle rule expires, or can expire, objects.

    With versioning, they would remain as noncurrent versions; the injectors leave the same buckets alone.
    """
    return any(
        value is not None
        for rules in graph.at(bucket.properties, "LifecycleConfiguration", "Rules")
        for rule in graph.items(rules)
        if graph.at(rule, "Status") != ["Disabled"]
        for name in ("ExpirationInDays", "ExpirationDate")
        for value in graph.at(rule, name)
    )


RULES: Final = (PrivateTlsBucket(), BucketVersioning(), BucketAccessLogs())
