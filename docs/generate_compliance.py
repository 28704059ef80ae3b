"""Writes COMPLIANCE.md from what the packs report: ``python -m docs.generate_compliance``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import yaml

from docs.render import render
from tests.packs import nag_suppressions
from tests.packs.apps import ALONE, EXAMPLES
from tests.packs.nag import NAG_PACKS
from tests.packs.results import Results, Run, results
from tests.packs.template_scanners import CFN_LINT, CHECKOV, checkov_version

COMPLIANCE_MD = Path(__file__).parent.parent / "COMPLIANCE.md"
PACKS = (*NAG_PACKS, CFN_LINT, CHECKOV)
_FIXED = Path(__file__).parent / "templates" / "fixed.yaml"
_PAGE = re.compile(r"\((?:docs\.aws\.amazon\.com/)?([\w-]+(?:/[\w-]+)*/latest/[\w/.#-]*)\)")
_DECISIONS = {
    nag_suppressions.INLINE_POLICIES,
    nag_suppressions.NO_VPC,
    nag_suppressions.SINGLE_REGION,
    nag_suppressions.NO_OBJECT_LOCK,
}

Rows = Iterator[tuple[str, ...]]


class Acknowledgment(NamedTuple):
    """One rule of one pack at one place."""

    where: str
    reason: str
    name: str
    pack: str


def compliance_md(found: Results) -> str:
    """Return the whole file."""
    by_construct = _acknowledged(found.ours.values(), decided=False)
    by_decision = _acknowledged((found.ours[name] for name in EXAMPLES), decided=True)
    return render(
        "compliance.md.jinja",
        unanswered=sum(len(run.unanswered) for run in found.ours.values()),
        total=len(by_construct) + len(by_decision),
        construct=len(by_construct),
        decided=len(by_decision),
        nag=version("cdk-nag"),
        cfn_lint=version("cfn-lint"),
        checkov=checkov_version(),
        forms=len(ALONE),
        runs=len(found.ours),
        counts=_counts(found),
        columns=("Finding", "Packs", "Where", "Why"),
        fixed_rows=_fixed(found),
        acknowledged_rows=_grouped(by_construct),
        decided_rows=_grouped(by_decision),
    )


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


def _grouped(given: set[Acknowledgment]) -> Rows:
    grouped: dict[tuple[str, str], list[Acknowledgment]] = defaultdict(list)
    for each in given:
        grouped[each.where, each.reason].append(each)
    for (where, reason), same in sorted(grouped.items()):
        yield _row({e.name for e in same}, {e.pack for e in same}, where, reason)


def _fixed(found: Results) -> Rows:
    """Raises ValueError: fixed.yaml does not explain a finding, or explains one that is not there."""
    fixed = yaml.safe_load(_FIXED.read_text(encoding="utf-8"))
    explained = {name for row in fixed for name in row["names"]}
    ours = {finding.name for run in found.ours.values() for finding in run.findings}
    packs: dict[str, set[str]] = defaultdict(set)
    for finding in found.plain.findings:
        packs[finding.name].add(finding.pack)
    lacking, idle = packs.keys() - ours - explained, explained - packs.keys()
    if lacking or idle:
        raise ValueError(f"fixed.yaml lacks {sorted(lacking)}, and {sorted(idle)} is not found")
    for row in fixed:
        in_packs = set().union(*(packs[name] for name in row["names"]))
        yield _row(row["names"], in_packs, row["where"], row["why"])


def _counts(found: Results) -> Rows:
    dev, prod = (
        next(run for name, run in found.ours.items() if name.startswith(f"the example, {suffix}"))
        for suffix in ("dev", "prod")
    )
    left = [finding for run in found.ours.values() for finding in run.unanswered]
    columns = (found.plain.findings, dev.findings, prod.findings, left)
    for pack in PACKS:
        yield pack, *(str(sum(each.pack == pack for each in column)) for column in columns)
    yield "**Total**", *(f"**{len(column)}**" for column in columns)


def _row(names: Collection[str], packs: Collection[str], where: str, why: str) -> tuple[str, ...]:
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    where = re.sub("Custom::|CustomResourceProvider|[0-9a-f]{32}", "", where)  # in names of CDK
    why = _PAGE.sub(r"([AWS](https://docs.aws.amazon.com/\1))", why)
    return listed, ", ".join(pack for pack in PACKS if pack in packs), where, why


if __name__ == "__main__":
    COMPLIANCE_MD.write_text(compliance_md(results()), encoding="utf-8")
