"""IOT_04, IOT_24 and IOT_25: buckets are private and TLS-only, with versioning and access logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from iot_constructs.rules.graph import UNKNOWN, Graph, Reference, physical_name_in
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.policies import Statement, statements
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Resource

PRIVATE_TLS = "IOT_04_PRIVATE_TLS_BUCKET"
VERSIONING = "IOT_24_BUCKET_VERSIONING"
ACCESS_LOGS = "IOT_25_BUCKET_ACCESS_LOGS"

BUCKET: Final = "AWS::S3::Bucket"
_FLAGS: Final = (
    "BlockPublicAcls",
    "BlockPublicPolicy",
    "IgnorePublicAcls",
    "RestrictPublicBuckets",
)
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


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find buckets with public or plain HTTP access, or without versioning or access logs."""
    graph = pipeline.graph
    buckets = graph.of_type(BUCKET)
    policies, open_policies = _policies(graph)
    log_buckets = _log_buckets(graph, buckets, policies)
    for bucket in buckets:
        missing = _missing_blocks(graph, bucket)
        if missing:
            yield _finding(
                PRIVATE_TLS,
                bucket,
                f"public access is not blocked: {', '.join(missing)} not true",
                "Properties/PublicAccessBlockConfiguration",
            )
        if not open_policies and (gap := _tls_gap(graph, bucket, policies.get(bucket, []))):
            yield _finding(PRIVATE_TLS, bucket, gap)
        if bucket in log_buckets:
            continue
        if not _versioned(graph, bucket):
            yield _finding(
                VERSIONING,
                bucket,
                "versioning is not enabled: an overwritten or deleted object cannot be restored",
                "Properties/VersioningConfiguration",
            )
        if all(it is None for it in graph.at(bucket.properties, "LoggingConfiguration")):
            yield _finding(
                ACCESS_LOGS,
                bucket,
                "server access logging is not enabled",
                "Properties/LoggingConfiguration",
            )


def _finding(rule: str, bucket: Resource, detail: str, property_path: str = "") -> Finding:
    return Finding(rule, bucket.template.path, bucket.logical_id, detail, property_path)


def _missing_blocks(graph: Graph, bucket: Resource) -> list[str]:
    return [
        flag
        for flag in _FLAGS
        if all(
            graph.flag(value, bucket.template) is False
            for value in graph.at(bucket.properties, "PublicAccessBlockConfiguration", flag)
        )
    ]


def _versioned(graph: Graph, bucket: Resource) -> bool:
    if graph.flag(bucket.properties.get("ObjectLockEnabled"), bucket.template) is not False:
        return True  # Object Lock enables versioning
    return any(
        value is not None and graph.text(value, bucket.template) in (None, "Enabled")
        for value in graph.at(bucket.properties, "VersioningConfiguration", "Status")
    )


def _policies(graph: Graph) -> tuple[dict[Resource, list[Statement]], bool]:
    """Return the policy statements by bucket, and whether a policy exists whose bucket is unknown."""
    found: dict[Resource, list[Statement]] = {}
    unknown_bucket = False
    for policy in graph.of_type("AWS::S3::BucketPolicy"):
        bucket = graph.target(policy.properties.get("Bucket"), policy.template, BUCKET)
        unknown_bucket = unknown_bucket or bucket is UNKNOWN
        if isinstance(bucket, Resource):
            document = policy.properties.get("PolicyDocument")
            found.setdefault(bucket, []).extend(statements(graph, document, policy.template))
    return found, unknown_bucket


def _log_buckets(
    graph: Graph, buckets: list[Resource], policies: Mapping[Resource, list[Statement]]
) -> set[Resource]:
    found = set()
    for bucket in buckets:
        for value in graph.at(bucket.properties, "LoggingConfiguration", "DestinationBucketName"):
            target = graph.target(value, bucket.template, BUCKET)
            if isinstance(target, Resource) and target is not bucket:
                found.add(target)
        if bucket.properties.get("AccessControl") == "LogDeliveryWrite" or any(
            it.effect == "Allow" and it.services & _LOG_WRITERS for it in policies.get(bucket, [])
        ):
            found.add(bucket)
    return found


def _tls_gap(graph: Graph, bucket: Resource, policy: list[Statement]) -> str | None:
    if any(statement.unknown and statement.may_deny for statement in policy):
        return None
    whole = objects = False
    for statement in policy:
        if not (
            statement.effect == "Deny"
            and statement.any_principal
            and _denies_plain_http(graph, statement)
        ):
            continue
        if not statement.actions & {"s3:*", "*"}:
            continue
        for resource in statement.resources:
            covered = _covers(graph, bucket, resource, statement)
            whole, objects = whole or covered[0], objects or covered[1]
    if whole and objects:
        return None
    if whole or objects:
        part = "the bucket, but not its objects" if whole else "the objects, but not the bucket"
        return f"the policy denies plain HTTP for {part} (aws:SecureTransport)"
    return "no policy denies plain HTTP (aws:SecureTransport false) on the bucket and its objects"


def _denies_plain_http(graph: Graph, statement: Statement) -> bool:
    for operator, tests in statement.conditions.items():
        if not operator.startswith("Bool") or not isinstance(tests, Mapping):
            continue
        for key, value in tests.items():
            if key.lower() == "aws:securetransport" and any(
                graph.flag(it, statement.template) is not True for it in graph.items(value)
            ):
                return True
    return False


def _covers(
    graph: Graph, bucket: Resource, resource: Any, statement: Statement
) -> tuple[bool, bool]:
    """Return whether a policy's ``resource`` covers the bucket itself, and whether it covers all its objects."""
    parts = graph.parts(resource, statement.template)
    if UNKNOWN in parts or parts == ("*",):
        return True, True
    end = parts[-1] if parts and isinstance(parts[-1], str) else ""
    if any(isinstance(part, Reference) for part in parts):
        ours = any(isinstance(part, Reference) and part.resource is bucket for part in parts)
    else:
        name = physical_name_in("".join(str(part) for part in parts)).removesuffix("*")
        ours = graph.target(name, statement.template, BUCKET) is bucket
    if not ours:
        return False, False
    if end.endswith("/*"):
        return False, True
    return (True, True) if end.endswith("*") else (True, False)
