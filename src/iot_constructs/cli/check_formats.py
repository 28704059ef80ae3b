"""The output formats of ``iot-constructs check``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import indent, wrap
from typing import Any
from urllib.parse import quote

from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.reader import Location
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import Finding, Rule

_WIDTH = 80


@dataclass(frozen=True)
class Row:
    """A finding, and where its author finds it."""

    finding: Finding
    file: str
    """Relative to the current directory, if it is below."""
    location: Location
    resource: str | None
    """The resource as the author wrote it; None if the finding is about the template or stack."""
    property_path: str
    """Its path in that resource; empty if it is not about a property."""
    fix: Remediation
    remediation_of_any: str
    """The fix to print, with a placeholder for the logical ID: what several findings have in common."""
    from_cdk: bool
    """Whether the template was written by a CDK app, whose code is the place to fix it."""

    @property
    def printed_fix(self) -> str:
        """The fix in terms of what was checked."""
        return printed(self.fix, from_cdk=self.from_cdk)

    @property
    def rule(self) -> Rule:
        """The rule that the finding violates."""
        return RULE_BY_ID[self.finding.rule_id]


def text(rows: Sequence[Row], summary: str) -> str:
    """For people, at 80 columns: the rule, its findings, and one fix for the findings of a resource type."""
    lines: list[str] = []
    for _, of_rule in groupby(rows, key=lambda row: row.rule.id):
        found = list(of_rule)
        lines += _heading(found[0].rule)
        by_fix: dict[str, list[Row]] = {}
        for row in found:
            by_fix.setdefault(row.remediation_of_any, []).append(row)
        for alike in by_fix.values():
            lines += _findings_with_fix(alike)
        lines.append("")
    return "\n".join([*lines, *wrap(summary, _WIDTH), ""])


def _heading(rule: Rule) -> Iterator[str]:
    yield f"{rule.id} ({rule.cfn_lint_id})"
    yield from _wrapped(f"{rule.info} {rule.explanation}", 2)
    yield f"  {rule.source_url}"


def _findings_with_fix(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        finding = row.finding
        names = f"{row.resource or '(the stack)'} {row.property_path}".rstrip()
        yield printable(f"  {row.file}:{row.location.line}:{row.location.column} {names}")
        yield from _wrapped(printable(finding.detail), 4)
    fix = rows[0].printed_fix if len(rows) == 1 else rows[0].remediation_of_any
    if fix:
        yield "    fix:"
        yield indent("\n".join(printable(line) for line in fix.splitlines()), " " * 6)


def _wrapped(sentence: str, spaces: int) -> Iterator[str]:
    for line in wrap(sentence, _WIDTH - spaces, break_long_words=False, break_on_hyphens=False):
        yield " " * spaces + line


def printed(fix: Remediation, *, from_cdk: bool) -> str:
    """The fix for one kind of author; the other one if there is none, as for a cause outside of an app."""
    return (fix.cdk if from_cdk else fix.cloudformation) or fix.cdk or fix.cloudformation


def printable(line: str) -> str:
    """Return text that may have values of a template from elsewhere, without control characters for the terminal."""
    return "".join(character if character.isprintable() else "?" for character in line)


def as_json(rows: Sequence[Row], summary: str) -> str:
    """A JSON array with every text of the rule."""
    return json.dumps([_as_object(row) for row in rows], indent=2) + "\n"


def _as_object(row: Row) -> dict[str, Any]:
    rule, finding = row.rule, row.finding
    return {
        "rule": rule.id,
        "cfn_lint": rule.cfn_lint_id,
        "template": row.file,
        "line": row.location.line,
        "column": row.location.column,
        "resource": row.resource,
        "property": row.property_path,
        "detail": finding.detail,
        "level": rule.level,
        "info": rule.info,
        "explanation": rule.explanation,
        "remediation": {"cdk": row.fix.cdk, "cloudformation": row.fix.cloudformation},
        "source_url": rule.source_url,
        "acknowledge": rule.acknowledgement,
    }


def github(rows: Sequence[Row], summary: str) -> str:
    """Annotations of GitHub Actions, which shows ten of each level for a step; the log has all of them."""
    lines = [
        f"::{row.rule.level} file={_property(row.file)},line={row.location.line},col={row.location.column},"
        f"title={_property(row.rule.id)}::{_escaped(_message(row))}"
        for row in rows
    ]
    return "\n".join([*lines, printable(summary), ""])


def _message(row: Row) -> str:
    fix = row.printed_fix
    lines = [_sentence(row), *(["fix:", *fix.splitlines()] if fix else [])]
    return "\n".join(printable(line) for line in lines)


def _sentence(row: Row) -> str:
    return f"{row.resource or 'the stack'}: {row.finding.detail}"


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _escaped(printable(value)).replace(":", "%3A").replace(",", "%2C")


def _of_cfn_lint(name: str) -> Callable[[Sequence[Row], str], str]:
    """Return a format of cfn-lint, whose import takes half a second."""

    def write(rows: Sequence[Row], summary: str) -> str:
        # ruff: noqa: PLC0415
        from cfnlint import formatters
        from cfnlint.match import Match
        from cfnlint.rules import Rules

        rules = Rules.create_from_module("iot_constructs.rules.cfn_lint")
        rules.used_rules.update(rules.data)  # JUnit: a rule without findings has passed
        matches = [
            Match.create(
                message=printable(_sentence(row)),
                filename=printable(row.file),
                rule=rules[row.rule.cfn_lint_id],
                linenumber=row.location.line,
                columnnumber=row.location.column,
                linenumberend=row.location.end_line,
                columnnumberend=row.location.end_column,
            )
            for row in rows
        ]
        return getattr(formatters, name)().print_matches(matches, rules, config=None) or ""

    return write


def sarif(rows: Sequence[Row], summary: str) -> str:
    """cfn-lint's SARIF in our name: GitHub replaces the results of a tool by the next ones of the same name."""
    log = json.loads(_of_cfn_lint("SARIFFormatter")(rows, summary))
    driver = log["runs"][0]["tool"]["driver"]
    rules = sorted(driver["rules"], key=lambda rule: rule["id"])
    log["runs"][0]["tool"]["driver"] = {"name": "iot-constructs", "rules": rules}
    for result in log["runs"][0]["results"]:
        for location in result["locations"]:
            artifact = location["physicalLocation"]["artifactLocation"]
            artifact["uri"] = quote(artifact["uri"])  # a name of a file can have spaces
    return json.dumps(log, indent=2) + "\n"


FORMATS: dict[str, Callable[[Sequence[Row], str], str]] = {
    "text": text,
    "json": as_json,
    "github": github,
    "sarif": sarif,
    "junit": _of_cfn_lint("JUnitFormatter"),
    "parseable": _of_cfn_lint("ParseableFormatter"),
}
"""Format -> function of the rows, sorted by rule, and the summary; returns the whole output."""
