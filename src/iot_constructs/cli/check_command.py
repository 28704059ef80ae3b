"""``iot-constructs check``: the rules of the corrected defaults over templates that exist already."""

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

from iot_constructs.rules.rule_table import RULE_BY_ID
from iot_constructs.rules.template import (
    MANIFEST,
    Template,
    load_assembly,
    load_templates,
)

if TYPE_CHECKING:
    from iot_constructs.rules.finding import Finding

HELP = "check CloudFormation templates for the mistakes that this library corrects"
DESCRIPTION = """\
Runs every rule of RULES.md over templates in JSON, whoever wrote them. All that are named are taken for one app:
references are followed from one to the other, so name the stack with the alarms together with the one they watch.

A directory stands for the templates in it. That of a CDK app (cdk.out) is read by its manifest, which also knows the
stacks' names and whether they are protected."""
EPILOG = """\
exit code: 0 nothing was found; 1 there are findings; 2 wrong usage, or something could not be read

In a CDK app, the validation plugin iot_constructs.rules.IotPipelineChecks runs the same rules at every synth, and
findings can be acknowledged there.
Needs Node, as every CDK app does: some of the rules run in CDK's own validation engine."""

FOUND = 1
UNREADABLE = 2
_WITHOUT_SUFFIX = (
    "without --suffix only names that are literal all through were checked for an environment"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument(
        "templates",
        nargs="+",
        type=Path,
        metavar="TEMPLATE.JSON",
        help="templates, or a directory of them",
    )
    parser.add_argument(
        "--suffix", metavar="NAME", help="the environment that physical names have to carry"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array, no text")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the answer is the exit code."""
    try:
        templates = _load(arguments.templates)
    except (OSError, ValueError) as error:
        return _failed(_described(error))
    if shutil.which(os.environ.get("JSII_NODE", "node")) is None:
        return _failed(
            "Node was not found, and CDK's validation engine runs in it; "
            "install Node 22 or newer, or say where it is in JSII_NODE"
        )
    # Here and not at the top: --help must not start CDK.
    from iot_constructs.environment import EnvironmentSuffix  # noqa: PLC0415

    try:
        suffix = None if arguments.suffix is None else str(EnvironmentSuffix(arguments.suffix))
    except ValueError as error:
        arguments.usage_error(str(error))
    try:
        findings = _findings(templates, suffix)
    except (RuntimeError, ValueError) as error:
        # A ValueError is what jsii makes of an engine that throws a text.
        return _failed(f"CDK's validation engine could not evaluate these templates: {error}")
    _show(findings, len(templates), suffix, arguments.json)
    return FOUND if findings else 0


def _load(paths: Sequence[Path]) -> list[Template]:
    """Every template that ``paths`` name, once."""
    files: list[Path] = []
    templates: list[Template] = []
    for path in paths:
        absolute = path.absolute()
        if (absolute / MANIFEST).is_file():
            templates += load_assembly(absolute)
        elif absolute.is_dir():
            found = sorted(absolute.glob("*.template.json"))
            if not found:
                raise ValueError(f"{path}: has neither a {MANIFEST} nor any *.template.json")
            files += found
        else:
            _refuse_yaml(path)
            files.append(absolute)
    known = {each.path for template in templates for each in template.walk()}
    templates += load_templates(file for file in dict.fromkeys(files) if file not in known)
    for template in templates:
        if "Resources" not in template.body:
            raise ValueError(
                f"{_shown(template.path)}: no Resources: not a CloudFormation template"
            )
    return list({template.path: template for template in templates}.values())


def _refuse_yaml(path: Path) -> None:
    if path.suffix.lower() in (".yaml", ".yml"):
        raise ValueError(
            f"{path}: is YAML, and this command reads JSON; convert it, for example with "
            f"`cfn-flip {path.name} > {path.stem}.json`"
        )


def _findings(templates: Sequence[Template], suffix: str | None) -> list[Finding]:
    """Return the findings of all rules, sorted by rule, then by template."""
    from iot_constructs.rules import guard_rules, python_checks  # noqa: PLC0415

    found = [*guard_rules.run(templates), *python_checks.run(templates, suffix)]
    paths = [each.path for template in templates for each in template.walk()]
    order = {path: index for index, path in enumerate(paths)}
    return sorted(found, key=lambda finding: (finding.rule_id, order[finding.template]))


def _show(findings: Sequence[Finding], templates: int, suffix: str | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_as_json(finding) for finding in findings], indent=2))
        if suffix is None:
            print(_WITHOUT_SUFFIX, file=sys.stderr)
        return
    for line in _as_text(findings):
        print(line)
    rules = len({finding.rule_id for finding in findings})
    print(
        f"{_counted(len(findings), 'finding')} of {_counted(rules, 'rule')} "
        f"in {_counted(templates, 'stack')}"
        if findings
        else f"nothing found in {_counted(templates, 'stack')}"
    )
    if suffix is None:
        print(_WITHOUT_SUFFIX)


def _as_text(findings: Sequence[Finding]) -> Iterator[str]:
    for rule_id, found in groupby(findings, key=lambda finding: finding.rule_id):
        rule = RULE_BY_ID[rule_id]
        yield f"{rule.id}: {rule.info}"
        yield f"  explanation: {rule.explanation}"
        yield f"  remediation: {rule.remediation}"
        yield f"  source: {rule.source_url}"
        for finding in found:
            yield f"  - {_where(finding)}"
            yield f"    {_printable(finding.detail)}"
        yield ""


def _where(finding: Finding) -> str:
    words = [_shown(finding.template), finding.logical_id or "(the stack)", finding.property_path]
    return _printable(" ".join(filter(None, words)))


def _as_json(finding: Finding) -> dict[str, str | None]:
    rule = RULE_BY_ID[finding.rule_id]
    return {
        "rule": rule.id,
        "template": _shown(finding.template),
        "resource": finding.logical_id,
        "property": finding.property_path,
        "detail": finding.detail,
        "level": rule.level,
        "info": rule.info,
        "explanation": rule.explanation,
        "remediation": rule.remediation,
        "source_url": rule.source_url,
        "acknowledge": rule.acknowledgement,
    }


def _shown(path: Path) -> str:
    """As short as it can be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _printable(text: str) -> str:
    # Values of a foreign template are in it: a control character must not get to a terminal.
    return "".join(character if character.isprintable() else "?" for character in text)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _described(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{_shown(Path(error.filename))}: {error.strerror}"
    return str(error)


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return UNREADABLE
