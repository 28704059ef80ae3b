"""Writes RULES.md from the catalogue of rules: ``python -m docs.generate_rules``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from docs.render import cell, render
from iot_constructs.rules.catalogue import RULES
from iot_constructs.rules.remediations import Remediation

RULES_MD = Path(__file__).parent.parent / "RULES.md"
_MOST_BLOCKS = 10
"""More fixes of one rule are a table, with a row for each resource type."""


def rules_md() -> str:
    """Return the whole file."""
    return render(
        "rules.md.jinja",
        index=[(f"[{r.id}](#{r.id.lower()})", r.cfn_lint_id, r.info) for r in RULES],
        rules=[(rule, *_fixes(rule.remediations)) for rule in RULES],
    )


def _fixes(
    remediations: Mapping[str, Remediation],
) -> tuple[list[tuple[str, Remediation]], list[tuple[str, ...]]]:
    """Return the fixes as blocks, or the rows of a table."""
    types: dict[Remediation, list[str]] = {}
    for resource_type, fix in remediations.items():
        types.setdefault(fix, []).append(_named(resource_type))
    if len(types) <= _MOST_BLOCKS:
        return [(", ".join(alike), fix) for fix, alike in types.items()], []
    return [], [
        (_named(each), _lines(fix.cdk), _lines(_properties(fix.cloudformation)))
        for each, fix in sorted(remediations.items())
    ]


def _properties(yaml: str) -> str:
    """Return the properties alone, if the fix does nothing but set some."""
    found = re.fullmatch(r"<LogicalId>:\n  Properties:\n((?: {4}.*(?:\n|$))+)", yaml)
    return re.sub(r"^ {4}", "", found[1], flags=re.MULTILINE) if found else yaml


def _lines(code: str) -> str:
    # A cell has no lines of its own; the indent of YAML has to stay visible.
    lines = [cell(line).replace("  ", "\u00a0\u00a0") for line in code.splitlines()]
    return "<br>".join(f"`{line}`" for line in lines)


def _named(resource_type: str) -> str:
    return f"`{resource_type}`" if resource_type else "The stack"


if __name__ == "__main__":
    RULES_MD.write_text(rules_md(), encoding="utf-8")
