"""Everything that the packs say about everything, found once for all tests and for COMPLIANCE.md."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import aws_cdk as cdk

from tests.packs import apps, nag_suppressions
from tests.packs.finding import Finding, below_the_stack
from tests.packs.nag import synthesize
from tests.packs.template_scanners import (
    CFN_LINT,
    CHECKOV,
    CHECKOV_CONFIG,
    Hit,
    run_cfn_lint,
    run_checkov,
)
from tests.synth_support import Json

_AS_IS, _BARE = "as-is", "bare"
_CONFIGURED = CHECKOV_CONFIG.name
CFN_LINT_REASON = (
    "CDK makes a resource depend on what it refers to already, which changes nothing "
    "(AWSCloudFormation/latest/TemplateReference/aws-attribute-dependson.html)"
)
"""Of the one rule that is ignored: cfn-lint keeps no reason beside it."""


@dataclass(frozen=True)
class Run:
    """One app and everything found in it."""

    findings: tuple[Finding, ...]
    acknowledgements: tuple[tuple[str, str], ...]
    """Of cdk-nag's packs: (id, construct path below the stack), needed or not."""

    @property
    def unanswered(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.answered]


@dataclass(frozen=True)
class Results:
    ours: Mapping[str, Run]
    plain: Run


@lru_cache(maxsize=1)
def results() -> Results:
    """Run everything. Takes half a minute; a second call in one process takes nothing."""
    ours = {name: _synthesized(app) for name, app in apps.our_apps().items()}
    plain = _synthesized(apps.plain_pipeline())
    hits = _scan({**ours, "plain": plain})
    return Results({name: _run(app, hits) for name, app in ours.items()}, _run(plain, hits))


@dataclass(frozen=True)
class _Synthesized:
    findings: tuple[Finding, ...]
    acknowledgements: tuple[tuple[str, str], ...]
    templates: Mapping[str, Json]
    """By a digest of what is in them: the same template in two apps is scanned once."""


def _synthesized(app: cdk.App) -> _Synthesized:
    findings, acknowledgements = synthesize(app)
    templates = {}
    for file in sorted(Path(app.outdir).glob("*.template.json")):
        template = json.loads(file.read_text(encoding="utf-8"))
        text = json.dumps(template, sort_keys=True)
        templates[hashlib.sha256(text.encode()).hexdigest()[:16]] = template
    return _Synthesized(tuple(findings), tuple(acknowledgements), templates)


def _scan(synthesized: Mapping[str, _Synthesized]) -> dict[str, set[Hit]]:
    """What each scanner says about each template as it is, and without the answers in it.

    That a scanner heeds an answer is seen on the example. For the rest it is enough to know what asks for one.
    """
    with tempfile.TemporaryDirectory(prefix="iot-constructs-packs-") as name:
        folder = Path(name)
        (folder / _AS_IS).mkdir()
        (folder / _BARE).mkdir()
        for app, made in synthesized.items():
            for digest, template in made.templates.items():
                if app not in apps.NOT_SCANNED:
                    _write(folder / _BARE / f"{digest}.json", _without_answers(template))
                if app in apps.EXAMPLES:
                    _write(folder / _AS_IS / f"{digest}.json", template)
        with ThreadPoolExecutor(max_workers=2) as processes:
            lint, checkov = (
                processes.submit(run_cfn_lint, folder),
                processes.submit(run_checkov, folder),
            )
            return {CFN_LINT: lint.result(), CHECKOV: checkov.result()}


def _write(file: Path, template: Json) -> None:
    file.write_text(json.dumps(template, indent=1), encoding="utf-8")


def _without_answers(template: Json) -> Json:
    bare = deepcopy(template)
    for resource in bare["Resources"].values():
        for scanner in (CFN_LINT, CHECKOV):
            resource.get("Metadata", {}).pop(scanner, None)
    return bare


def _run(app: _Synthesized, hits: Mapping[str, set[Hit]]) -> Run:
    found = [
        finding
        for digest, template in app.templates.items()
        for scanner in (CFN_LINT, CHECKOV)
        for finding in _findings(scanner, f"{digest}.json", template, hits[scanner])
    ]
    return Run(tuple(sorted((*app.findings, *found))), app.acknowledgements)


def _findings(scanner: str, file: str, template: Json, hits: set[Hit]) -> Iterator[Finding]:
    for folder, name, rule, logical_id in sorted(hits):
        if name != file:
            continue
        resource = template["Resources"].get(logical_id, {})
        where = below_the_stack(resource.get("Metadata", {}).get("aws:cdk:path", f"/{logical_id}"))
        answered_at, reason = _answer(scanner, rule, resource, where)
        if folder == _BARE:
            yield Finding(scanner, rule, where, answered_at, reason)
        elif answered_at != _CONFIGURED:
            yield Finding(scanner, rule, where)  # answered in vain, or nowhere


def _answer(scanner: str, rule: str, resource: Json, where: str) -> tuple[str, str]:
    answers = resource.get("Metadata", {}).get(scanner, {})
    if scanner == CFN_LINT and rule in answers.get("config", {}).get("ignore_checks", ()):
        return where, CFN_LINT_REASON
    for skip in answers.get("skip", ()):
        if skip["id"] == rule:
            return where, skip["comment"]
    if scanner == CHECKOV and rule in _skipped_by_configuration():
        return _CONFIGURED, nag_suppressions.NO_VPC
    return "", ""


@lru_cache(maxsize=1)
def _skipped_by_configuration() -> set[str]:
    text = CHECKOV_CONFIG.read_text(encoding="utf-8")
    return set(re.findall(r"^  - (CKV\w+)$", text, re.MULTILINE))
