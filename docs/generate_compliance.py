"""Writes COMPLIANCE.md from what the packs report: ``python docs/generate_compliance.py``."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # as pytest has it

from tests.packs import nag_suppressions
from tests.packs.apps import ALONE, EXAMPLES
from tests.packs.finding import Finding
from tests.packs.nag import NAG_PACKS
from tests.packs.results import Results, Run, results
from tests.packs.template_scanners import CFN_LINT, CHECKOV, checkov_version

COMPLIANCE_MD = Path(__file__).resolve().parent.parent / "COMPLIANCE.md"
PACKS = (*NAG_PACKS, CFN_LINT, CHECKOV)
_DECISIONS = {
    nag_suppressions.INLINE_POLICIES,
    nag_suppressions.NO_VPC,
    nag_suppressions.SINGLE_REGION,
    nag_suppressions.NO_OBJECT_LOCK,
}


class Fixed(NamedTuple):
    """Rules that plain CDK breaks and our constructs do not."""

    names: tuple[str, ...]
    where: str
    why: str


_SECURITY = "AmazonS3/latest/userguide/security-best-practices.html"
FIXED = (
    Fixed(
        ("S1", "S3BucketLoggingEnabled", "CKV_AWS_18"),
        "SecureDataBucket",
        "server access logs in a bucket of their own (AmazonS3/latest/userguide/ServerLogs.html)",
    ),
    Fixed(
        ("S10", "S3BucketSSLRequestsOnly"),
        "SecureDataBucket",
        f"TLS 1.2 or later only, which cannot be turned off ({_SECURITY})",
    ),
    Fixed(
        (
            "S3BucketPublicReadProhibited",
            "S3BucketPublicWriteProhibited",
            "CKV_AWS_53",
            "CKV_AWS_54",
            "CKV_AWS_55",
            "CKV_AWS_56",
        ),
        "SecureDataBucket",
        f"public access is blocked, which cannot be turned off ({_SECURITY})",
    ),
    Fixed(
        ("S3BucketVersioningEnabled", "CKV_AWS_21"),
        "SecureDataBucket",
        "versioned, as is its log bucket (AmazonS3/latest/userguide/Versioning.html)",
    ),
    Fixed(
        ("CloudWatchLogGroupEncrypted", "CKV_AWS_158"),
        "StreamProcessor, StreamArchive, SecureDataBucket",
        "each log group is encrypted with the stack's key, whose policy names it "
        "(AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html)",
    ),
    Fixed(
        ("L1", "LambdaLatestVersion"),
        "StreamProcessor",
        "Python 3.14 (lambda/latest/dg/lambda-runtimes.html)",
    ),
    Fixed(
        ("LambdaDefaultMemorySize", "LambdaDefaultTimeout"),
        "StreamProcessor",
        "memory for a batch, and time for its retries (lambda/latest/dg/configuration-memory.html)",
    ),
    Fixed(
        ("LambdaEventSourceMappingDestination",),
        "StreamProcessor",
        "the event source mapping has a failure destination "
        "(lambda/latest/dg/kinesis-on-failure-destination.html)",
    ),
    Fixed(
        ("LambdaTracing",),
        "StreamProcessor",
        "X-Ray tracing (lambda/latest/dg/services-xray.html)",
    ),
    Fixed(
        ("IAM4[Policy]",),
        "StreamProcessor",
        "a role of its own: AWSLambdaBasicExecutionRole may write to every log group "
        "(lambda/latest/dg/permissions-managed-policies.html)",
    ),
    Fixed(
        ("IAM5[Action]",),
        "StreamArchive",
        "a role of its own with what Firehose documents: CDK's may also delete "
        "(firehose/latest/dev/controlling-access.html)",
    ),
    Fixed(
        ("CKV_AWS_43",),
        "MonitoredStream",
        "encrypted with the stack's key (streams/latest/dev/server-side-encryption.html)",
    ),
    Fixed(
        ("CKV_AWS_165",),
        "TimeSeriesTable, DeviceStateTable",
        "point-in-time recovery (amazondynamodb/latest/developerguide/Point-in-time-recovery.html)",
    ),
    Fixed(
        ("W7001",),
        "StreamArchive",
        "the mapping that CDK adds for destinations in a VPC is removed: a bucket has no security group "
        "(firehose/latest/dev/controlling-access.html)",
    ),
)

_TEXT = """\
<!-- Written by docs/generate_compliance.py from what the packs report: run `make docs`. -->
# Findings of compliance packs

**{unanswered} unanswered findings, {total} acknowledgments.** {construct} of them are in the constructs, for findings
that are no fault wherever the construct is used: you need not repeat them. {decided} are decisions of an app, here in
[nag_suppressions.py](tests/packs/nag_suppressions.py) and [checkov.yaml](tests/packs/checkov.yaml): read those, decide,
and copy what holds for your app. One acknowledgment is one rule of one pack at one place.

The packs are the six of cdk-nag {nag}, cfn-lint {cfn_lint}, and checkov {checkov}. `make test` runs them (tests/packs)
on the example for `dev` and `prod`, and on each construct alone ({forms} forms) in a `SuffixedStack` of either kind and
in a plain `Stack`, each with and without the feature flags of `cdk init`: {runs} apps. cfn-lint and checkov, which see
only resources, skip four of these apps, whose resources are those of the others.

| Pack | Plain CDK | Example, dev | Example, prod | Unanswered |
|---|---|---|---|---|
{counts}

*Plain CDK* is the same pipeline with the fewest settings that work (tests/plain_pipeline.py). The columns of the
example count acknowledged findings; the example complies with every other rule.

## How findings are acknowledged

* cdk-nag: with CDK's own `Validations.of(...).acknowledge(...)`, which does not need cdk-nag and leaves templates as
  they are. The report of the synth, `validation-report.json`, lists each acknowledgment with its reason and place.
* checkov and cfn-lint read templates, so their acknowledgments are in the `Metadata` of the one resource that is
  meant. A list of checks to skip would hide the same fault in your own resources. Only what holds for all functions of
  the app is in a list: `checkov --directory cdk.out --config-file checkov.yaml`.
* A wildcard is acknowledged for one ARN. If you grant another one to the same role, it is reported. The ARN of a bucket
  in another stack is not known before synth: acknowledge that one yourself.
* The alarms of a `MonitoredStream` or `StreamArchive` without `PipelineAlarms` have no actions, which four packs report
  (CloudWatchAlarmAction). That is a fault: add an action.
* `StreamProcessor(on_failure=bucket)` uses the notifications of `s3.Bucket`, for which CDK adds a handler function to
  the stack. Its role has AWSLambdaBasicExecutionRole, which is acknowledged for that role.

## What no pack checks

* cdk-nag has no rule for `AWS::DynamoDB::GlobalTable`, the resource of the tables: tests/test_tables.py checks
  point-in-time recovery, encryption, and deletion protection. checkov has a rule for the recovery (CKV_AWS_165).
* No pack has a rule for `AWS::IoT::TopicRule`, `AWS::IoT::Policy`, or the retries of an event source mapping: see
  tests/test_ingestion.py and tests/test_processing.py.

## Every finding

*Fixed*: plain CDK has the finding, these constructs do not. Sources are pages of docs.aws.amazon.com. *Where* is a
construct, or a path in the example.

| Finding | Packs | Where | Answer | Why |
|---|---|---|---|---|
{rows}
"""


def compliance_md(found: Results) -> str:
    """The whole file."""
    by_construct = _acknowledged(found.ours.values(), decided=False)
    by_decision = _acknowledged(
        (run for name, run in found.ours.items() if name in EXAMPLES), decided=True
    )
    rows = [
        *_fixed_rows(found),
        *_acknowledged_rows(by_construct, "acknowledged"),
        *_acknowledged_rows(by_decision, "decided"),
    ]
    return _TEXT.format(
        unanswered=sum(len(run.unanswered) for run in found.ours.values()),
        total=len(by_construct) + len(by_decision),
        construct=len(by_construct),
        decided=len(by_decision),
        nag=version("cdk-nag"),
        cfn_lint=version("cfn-lint"),
        checkov=checkov_version(),
        forms=len(ALONE),
        runs=len(found.ours),
        counts="\n".join(_count_rows(found)),
        rows="\n".join(rows),
    )


class Acknowledgment(NamedTuple):
    """One rule of one pack at one place."""

    where: str
    reason: str
    name: str
    pack: str


def _acknowledged(runs: Iterable[Run], *, decided: bool) -> set[Acknowledgment]:
    """Each once, where its path is shortest: a SecureDataBucket inside another construct is like any other."""
    given = {
        Acknowledgment(finding.answered_at, finding.reason, finding.name, finding.pack)
        for run in runs
        for finding in run.findings
        if finding.answered and (finding.reason in _DECISIONS) is decided
    }
    shortest: dict[tuple[str, ...], Acknowledgment] = {}
    for each in sorted(given, key=lambda it: (it.where.count("/"), it)):
        last = each.where.rpartition("/")[2]
        kind = "AccessLogs" if last.endswith("AccessLogs") else last
        shortest.setdefault((kind, *each[1:]), each)
    return set(shortest.values())


def _acknowledged_rows(given: set[Acknowledgment], answer: str) -> Iterator[str]:
    grouped: dict[tuple[str, str], list[Acknowledgment]] = defaultdict(list)
    for each in given:
        grouped[each.where, each.reason].append(each)
    for (where, reason), same in sorted(grouped.items()):
        yield _row({e.name for e in same}, {e.pack for e in same}, where, answer, reason)


def _fixed_rows(found: Results) -> Iterator[str]:
    """Raises ValueError: FIXED does not explain a finding, or explains one that is not there."""
    ours = {finding.name for run in found.ours.values() for finding in run.findings}
    packs: dict[str, set[str]] = defaultdict(set)
    for finding in found.plain.findings:
        packs[finding.name].add(finding.pack)
    unexplained = packs.keys() - ours - {name for row in FIXED for name in row.names}
    idle = {name for row in FIXED for name in row.names} - packs.keys()
    if unexplained or idle:
        raise ValueError(f"FIXED lacks {sorted(unexplained)}, and {sorted(idle)} is not found")
    for row in FIXED:
        in_packs = set().union(*(packs[name] for name in row.names))
        yield _row(row.names, in_packs, row.where, "fixed", row.why)


def _count_rows(found: Results) -> Iterator[str]:
    example = {
        suffix: next(
            run for name, run in found.ours.items() if name.startswith(f"the example, {suffix}")
        )
        for suffix in ("dev", "prod")
    }
    columns = [found.plain.findings, example["dev"].findings, example["prod"].findings]
    left = [finding for run in found.ours.values() for finding in run.unanswered]
    for pack in PACKS:
        numbers = [_count(findings, pack) for findings in (*columns, left)]
        yield f"| {pack} | {' | '.join(map(str, numbers))} |"
    totals = [len(findings) for findings in (*columns, left)]
    yield f"| **Total** | {' | '.join(f'**{total}**' for total in totals)} |"


def _count(findings: Iterable[Finding], pack: str) -> int:
    return sum(finding.pack == pack for finding in findings)


def _row(names: Collection[str], packs: Collection[str], where: str, answer: str, why: str) -> str:
    listed = [", ".join(f"`{name}`" for name in sorted(names))]
    listed += [", ".join(pack for pack in PACKS if pack in packs), where, answer, why]
    return f"| {' | '.join(listed)} |"


if __name__ == "__main__":
    COMPLIANCE_MD.write_text(compliance_md(results()), encoding="utf-8")
