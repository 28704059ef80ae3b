"""cdk-nag: its six packs, run on an app as a user runs them, as validation plugins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk_nag

from tests.packs.finding import Finding, below_the_stack

_CHECKS = (
    cdk_nag.AwsSolutionsChecks,
    cdk_nag.HIPAASecurityChecks,
    cdk_nag.NIST80053R4Checks,
    cdk_nag.NIST80053R5Checks,
    cdk_nag.PCIDSS321Checks,
    cdk_nag.ServerlessChecks,
)
NAG_PACKS = (
    "AwsSolutions",
    "HIPAA.Security",
    "NIST.800.53.R4",
    "NIST.800.53.R5",
    "PCI.DSS.321",
    "Serverless",
)
_ACKNOWLEDGED = "aws:cdk:acknowledged-rules"


def synthesize(app: cdk.App) -> tuple[list[Finding], list[tuple[str, str]]]:
    """Synthesize the app under all six packs.

    Returns:
        what they found, and every acknowledgement of the app: (id, construct path below the stack).
    """
    cdk.Validations.of(app).add_plugins(*(checks() for checks in _CHECKS))
    try:
        app.synth()
    except (
        RuntimeError
    ) as error:  # a finding without an answer fails the synth: the report names it
        if "ValidationFailed" not in str(error):
            raise
    folder = Path(app.outdir)
    report = json.loads((folder / "validation-report.json").read_text(encoding="utf-8"))
    reports = {pack["pluginName"]: pack for pack in report["pluginReports"]}
    packs = [reports[name] for name in NAG_PACKS]
    broken = [
        p["pluginName"] for p in packs if p["conclusion"] != "success" and not p["violations"]
    ]
    assert broken == []
    findings = [found for pack in packs for found in _findings(pack)]
    return findings, sorted(_acknowledgements(folder))


def _findings(pack: dict[str, Any]) -> Iterator[Finding]:
    for violation in pack["violations"]:
        for construct in violation["violatingConstructs"]:
            yield Finding(
                pack["pluginName"],
                violation["ruleName"],
                below_the_stack(construct["constructPath"]),
            )
    for violation in pack.get("suppressedViolations", ()):
        for construct in violation["violatingConstructs"]:
            yield Finding(
                pack["pluginName"],
                violation["ruleName"],
                below_the_stack(construct["constructPath"]),
                below_the_stack(violation["acknowledgedAt"]) or "the stack",
                violation["reason"],
            )


def _acknowledgements(folder: Path) -> Iterator[tuple[str, str]]:
    for file in folder.glob("*.metadata.json"):
        for path, entries in json.loads(file.read_text(encoding="utf-8")).items():
            for entry in entries:
                if entry["type"] == _ACKNOWLEDGED:
                    for id in entry["data"]:
                        yield id, below_the_stack(path.removeprefix("/")) or "the stack"
