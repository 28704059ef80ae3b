"""docs/comparison.md: the example and the same pipeline in plain L2 constructs, from their templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Resources = Mapping[str, Mapping[str, Any]]


def comparison_table(ours: Resources, plain: Resources) -> str:
    """Return the Markdown table of the page."""
    lines = ["| | Plain L2 constructs | iot-constructs |", "|---|---|---|"]
    lines += [f"| {label} | {read(plain)} | {read(ours)} |" for label, read in _ROWS]
    return "\n".join(lines)


def _all(resources: Resources, resource_type: str) -> list[Mapping[str, Any]]:
    return [r.get("Properties", {}) for r in resources.values() if r["Type"] == resource_type]


def _yes(condition: bool) -> str:
    return "yes" if condition else "no"


def _mapping(resources: Resources) -> Mapping[str, Any]:
    return _all(resources, "AWS::Lambda::EventSourceMapping")[0]


def _replicas(resources: Resources) -> list[Mapping[str, Any]]:
    return [t["Replicas"][0] for t in _all(resources, "AWS::DynamoDB::GlobalTable")]


def _recovery(resources: Resources) -> str:
    enabled = [
        r.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled", False)
        for r in _replicas(resources)
    ]
    return _yes(all(enabled))


def _bounded(resources: Resources) -> str:
    mapping = _mapping(resources)
    retries = mapping.get("MaximumRetryAttempts", -1)
    age = mapping.get("MaximumRecordAgeInSeconds", -1)
    return f"{retries} retries, {age} s" if retries >= 0 and age >= 0 else "no"


def _suffixed(resources: Resources) -> str:
    names = [t.get("TableName", "") for t in _all(resources, "AWS::DynamoDB::GlobalTable")]
    names += [s.get("Name", "") for s in _all(resources, "AWS::Kinesis::Stream")]
    return _yes(all(name.endswith("-prod") for name in names))


def _denies(resources: Resources) -> str:
    statements = [
        statement
        for policy in _all(resources, "AWS::S3::BucketPolicy")
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    return _yes(any(s["Effect"] == "Deny" for s in statements))


def _bucket(resources: Resources, key: str) -> str:
    return _yes(any(key in bucket for bucket in _all(resources, "AWS::S3::Bucket")))


_ROWS: list[tuple[str, Callable[[Resources], str]]] = [
    ("Resources", lambda r: str(len(r))),
    ("Environment suffix in the names of the stream and tables", _suffixed),
    ("Point-in-time recovery of every table", _recovery),
    (
        "Deletion protection of every table",
        lambda r: _yes(all(replica.get("DeletionProtectionEnabled") for replica in _replicas(r))),
    ),
    ("Batching window", lambda r: f"{_mapping(r).get('MaximumBatchingWindowInSeconds', 0)} s"),
    (
        "Partial batch responses and bisecting",
        lambda r: _yes(
            "FunctionResponseTypes" in _mapping(r) and "BisectBatchOnFunctionError" in _mapping(r)
        ),
    ),
    ("Bounded retries and record age", _bounded),
    ("Failure destination of the stream", lambda r: _yes("DestinationConfig" in _mapping(r))),
    (
        "Failure destination of asynchronous invocations",
        lambda r: _yes(bool(_all(r, "AWS::Lambda::EventInvokeConfig"))),
    ),
    (
        "Error action of the IoT rule",
        lambda r: _yes("ErrorAction" in _all(r, "AWS::IoT::TopicRule")[0]["TopicRulePayload"]),
    ),
    ("Block Public Access of the bucket", lambda r: _bucket(r, "PublicAccessBlockConfiguration")),
    ("TLS required by the bucket", _denies),
    ("Versioning of the bucket", lambda r: _bucket(r, "VersioningConfiguration")),
    ("Access logging of the bucket", lambda r: _bucket(r, "LoggingConfiguration")),
    ("Alarms", lambda r: str(len(_all(r, "AWS::CloudWatch::Alarm")))),
]
