"""``iot-constructs check``: runs the rules on existing CloudFormation templates."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.template import (
    MANIFEST,
    Template,
    load_assembly,
    load_templates,
)

if TYPE_CHECKING:
    from iot_constructs.rules.rule import Finding

HELP = "check CloudFormation templates of an IoT telemetry pipeline"
DESCRIPTION = """\
Runs every rule of RULES.md on CloudFormation templates in JSON. All templates are treated as one app and references
between them are resolved, so include the stack with the alarms and the stack that they monitor.

A directory includes all its templates (*.template.json). For the output of a CDK app (cdk.out), the command also reads
the stack names and the termination protection from the manifest."""
EPILOG = """\
exit code: 0 no findings; 1 findings; 2 usage error, or a template cannot be read

In a CDK app, the validation plugin iot_constructs.rules.IotPipelineChecks runs the same rules at every synth, and
findings can be acknowledged there.
Requires Node.js, as every CDK app does: some rules run in the validation engine of CDK."""

FOUND = 1
ERROR = 2
_NO_SUFFIX_NOTE = "without --suffix, only literal names were checked for an environment suffix"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "templates",
        nargs="+",
        type=Path,
        metavar="TEMPLATE.JSON",
        help="template files or directories",
    )
    parser.add_argument(
        "--suffix",
        metavar="NAME",
        help="the environment suffix that physical names must contain; overrides that of the stacks",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    try:
        templates = _load(arguments.templates)
    except (OSError, ValueError) as error:
        return _fail(_format_error(error))
    if shutil.which(os.environ.get("JSII_NODE", "node")) is None:
        return _fail(
            "Node.js not found, which the validation engine of CDK requires; "
            "install Node.js 22 or later, or set JSII_NODE to its path"
        )
    # Imported here so that --help does not start CDK.
    from iot_constructs.environment import EnvironmentSuffix  # noqa: PLC0415

    try:
        suffix = None if arguments.suffix is None else str(EnvironmentSuffix(arguments.suffix))
    except ValueError as error:
        arguments.usage_error(str(error))
    try:
        findings = _collect_findings(templates, suffix)
    except (RuntimeError, ValueError) as error:
        # jsii raises a ValueError if the engine throws a string.
        return _fail(f"the validation engine of CDK cannot evaluate these templates: {error}")
    _print_findings(findings, len(templates), suffix, arguments.json)
    return FOUND if findings else 0


def _load(paths: Sequence[Path]) -> list[Template]:
    """Load every template in ``paths`` once."""
    files: list[Path] = []
    templates: list[Template] = []
    for path in paths:
        absolute = path.absolute()
        if (absolute / MANIFEST).is_file():
            templates += load_assembly(absolute)
        elif absolute.is_dir():
            found = sorted(absolute.glob("*.template.json"))
            if not found:
                raise ValueError(f"{path}: no {MANIFEST} and no *.template.json found")
            files += found
        else:
            _reject_yaml(path)
            files.append(absolute)
    known = {each.path for template in templates for each in template.walk()}
    templates += load_templates(file for file in dict.fromkeys(files) if file not in known)
    for template in templates:
        if "Resources" not in template.body:
            raise ValueError(
                f"{_display_path(template.path)}: not a CloudFormation template: no Resources"
            )
    return list({template.path: template for template in templates}.values())


def _reject_yaml(path: Path) -> None:
    if path.suffix.lower() in (".yaml", ".yml"):
        raise ValueError(
            f"{path}: YAML is not supported; convert it to JSON, for example with "
            f"`cfn-flip {path.name} > {path.stem}.json`"
        )


def _collect_findings(templates: Sequence[Template], suffix: str | None) -> list[Finding]:
    """Return the findings of all rules, sorted by rule, then by template."""
    from iot_constructs.rules import python_checks  # noqa: PLC0415

    found = python_checks.run(templates, suffix)
    paths = [each.path for template in templates for each in template.walk()]
    order = {path: index for index, path in enumerate(paths)}
    return sorted(found, key=lambda finding: (finding.rule_id, order[finding.template]))


def _print_findings(
    findings: Sequence[Finding], templates: int, suffix: str | None, as_json: bool
) -> None:
    if as_json:
        print(json.dumps([_as_json(finding) for finding in findings], indent=2))
        if suffix is None:
            print(_NO_SUFFIX_NOTE, file=sys.stderr)
        return
    for line in _as_text(findings):
        print(line)
    rules = len({finding.rule_id for finding in findings})
    print(
        f"{_pluralize(len(findings), 'finding')} of {_pluralize(rules, 'rule')} "
        f"in {_pluralize(templates, 'stack')}"
        if findings
        else f"no findings in {_pluralize(templates, 'stack')}"
    )
    if suffix is None:
        print(_NO_SUFFIX_NOTE)


def _as_text(findings: Sequence[Finding]) -> Iterator[str]:
    for rule_id, found in groupby(findings, key=lambda finding: finding.rule_id):
        rule = RULE_BY_ID[rule_id]
        yield f"{rule.id}: {rule.info}"
        yield f"  explanation: {rule.explanation}"
        yield f"  source: {rule.source_url}"
        for finding in found:
            yield f"  - {_where(finding)}"
            yield f"    {_printable(finding.detail)}"
            yield f"    fix: {_printable(rule.fix_of(finding).cdk)}"
        yield ""


def _where(finding: Finding) -> str:
    words = [
        _display_path(finding.template),
        finding.logical_id or "(the stack)",
        finding.property_path,
    ]
    return _printable(" ".join(filter(None, words)))


def _as_json(finding: Finding) -> dict[str, str | None]:
    rule = RULE_BY_ID[finding.rule_id]
    return {
        "rule": rule.id,
        "template": _display_path(finding.template),
        "resource": finding.logical_id,
        "property": finding.property_path,
        "detail": finding.detail,
        "level": rule.level,
        "info": rule.info,
        "explanation": rule.explanation,
        "fix": rule.fix_of(finding).cdk,
        "source_url": rule.source_url,
        "acknowledge": rule.acknowledgement,
    }


def _display_path(path: Path) -> str:
    """Return the path relative to the current directory, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _printable(text: str) -> str:
    # The text has values of a template from elsewhere: control characters must not reach the terminal.
    return "".join(character if character.isprintable() else "?" for character in text)


def _pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _format_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{_display_path(Path(error.filename))}: {error.strerror}"
    return str(error)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return ERROR
