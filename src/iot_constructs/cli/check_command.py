"""``iot-constructs check``: runs the rules on existing CloudFormation templates."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from iot_constructs._words import environment_suffix
from iot_constructs.cli.check_formats import FORMATS, Row, printable, printed
from iot_constructs.cli.check_ignores import CfnLintConfig, Ignore, accepted
from iot_constructs.cli.exit_codes import DONE, FAILED, NEGATIVE, ExitCodes, print_error
from iot_constructs.rules import catalogue
from iot_constructs.rules.catalogue import RULE_BY_ID
from iot_constructs.rules.not_judged import RULE_ID as NOT_JUDGED
from iot_constructs.rules.reader import Location
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.sam_fix import in_file
from iot_constructs.rules.template import Template, load

HELP = "check CloudFormation templates of an IoT telemetry pipeline"
DESCRIPTION = """\
Runs every rule of RULES.md on CloudFormation and SAM templates in YAML or JSON. All templates are treated as one app
and references between them are resolved, so include the stack with the alarms and the stack that they monitor.

A folder includes all its templates; of the output of a CDK app (cdk.out), the command also reads the stack names and
the termination protection from the manifest. `-` reads a template from the standard input.

A finding is accepted by --ignore, or as cfn-lint accepts it: by the metadata of its template or resource
(cfn-lint: config: ignore_checks: [E9313]), or in .cfnlintrc. RULES.md has each rule's ID in cfn-lint."""
EXIT_CODES = ExitCodes(
    done="no findings",
    negative="findings",
    failed="something could not be read, or judged (IOT_00) without another finding",
)
EPILOG = """\
Needs neither Node.js nor AWS credentials. Requires the extra: pip install 'iot-constructs[check]'
In a CDK app, the validation plugin iot_constructs.rules.IotPipelineChecks runs the same rules at every synth. Within
cfn-lint: cfn-lint --append-rules iot_constructs.rules.cfn_lint -- TEMPLATE"""

_WITH_SUMMARY = ("text", "github")
"""The other formats are for programs; their summary goes to stderr."""
_NO_SUFFIX_NOTE = "Without --suffix, only literal names were checked for an environment suffix."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("templates", nargs="+", metavar="TEMPLATE", help="files, folders, or -")
    parser.add_argument(
        "--suffix",
        metavar="NAME",
        help="the environment suffix that physical names must contain; overrides the tags of a stack",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        type=Ignore.parse,
        metavar="RULE[:LOGICAL_ID]",
        help="accept a rule (IOT_13 or E9313), or its finding about one resource; can be repeated",
    )
    parser.add_argument(
        "--format",
        default="text",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", help="short for --format json"
    )
    parser.add_argument(
        "--skip-others",
        action="store_true",
        help="skip files that are not templates, such as the other YAML files that pre-commit passes",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    try:
        config = CfnLintConfig()
        given = arguments.suffix if arguments.suffix is not None else config.suffix
        suffix = None if given is None else environment_suffix(given)
    except ValueError as error:
        arguments.usage_error(str(error))
    if "" in arguments.templates:  # an unset variable of a script; Path("") is the directory
        arguments.usage_error("an argument is empty")
    try:
        stacks = load(map(Path, arguments.templates), skip_others=arguments.skip_others)
    except (OSError, ValueError) as error:
        return _fail(_format_error(error))
    findings = catalogue.check(stacks, suffix)
    templates = {each.path: each for stack in stacks for each in stack.walk()}
    kept = [
        finding
        for finding in findings
        if not accepted(finding, templates[finding.template], arguments.ignore, config)
    ]
    order = {path: index for index, path in enumerate(templates)}
    from_cdk = {path: _is_from_cdk(template) for path, template in templates.items()}
    rows = [
        _row(finding, templates[finding.template], from_cdk=from_cdk[finding.template])
        for finding in kept
    ]
    rows.sort(key=lambda row: (row.rule.id, order[row.finding.template], row.location))
    summary = _summary(rows, len(findings) - len(rows), len(templates), suffix)
    print(FORMATS[arguments.format](rows, summary).rstrip("\n"))
    if arguments.format not in _WITH_SUMMARY:
        print(summary, file=sys.stderr)
    return _exit_code(rows)


def _row(finding: Finding, template: Template, *, from_cdk: bool) -> Row:
    location = template.location(finding.logical_id, finding.property_path)
    author = template.author(finding.logical_id) if finding.logical_id is not None else None
    path = template.path_in_file(finding.logical_id, finding.property_path)
    fix = _fix(finding, finding.logical_id, template)
    any_resource = replace(finding, logical_id="<LogicalId>") if author is not None else finding
    return Row(
        finding,
        _display_path(template.path),
        location if location is not None else Location(1, 1, 1, 1),
        resource=author,
        # A resource that SAM generates is one of its author's properties.
        property_path="/".join(map(str, path[2:]))
        if author != finding.logical_id
        else finding.property_path,
        fix=fix,
        remediation_of_any=printed(
            _fix(any_resource, finding.logical_id, template), from_cdk=from_cdk
        ),
        from_cdk=from_cdk,
    )


def _fix(finding: Finding, generated: str | None, template: Template) -> Remediation:
    fix = RULE_BY_ID[finding.rule_id].remediation_of(finding)
    if finding.logical_id is None or generated is None:
        return fix
    path = template.path_in_file(generated)
    return replace(fix, cloudformation=in_file(fix.cloudformation, finding.logical_id, path))


def _is_from_cdk(template: Template) -> bool:
    return template.root.stack is not None or any(
        "aws:cdk:path" in metadata
        for resource in template.resources.values()
        if isinstance(metadata := resource.body.get("Metadata"), Mapping)
    )


def _exit_code(rows: Sequence[Row]) -> int:
    rules = {row.rule.id for row in rows}
    if rules == {NOT_JUDGED}:
        return FAILED
    return NEGATIVE if rules else DONE


def _summary(rows: Sequence[Row], accepted: int, templates: int, suffix: str | None) -> str:
    if not templates:
        return "no template was given."
    found = [row.rule.id for row in rows if row.rule.id != NOT_JUDGED]
    parts = [
        f"{_pluralize(len(found), 'finding')} of {_pluralize(len(set(found)), 'rule')}"
        if found
        else "no findings",
    ]
    if len(rows) > len(found):
        parts.append(f"{_pluralize(len(rows) - len(found), 'part')} not judged")
    if accepted:
        parts.append(f"{accepted} accepted")
    sentence = f"{', '.join(parts)} in {_pluralize(templates, 'template')}."
    return sentence if suffix is not None else f"{sentence} {_NO_SUFFIX_NOTE}"


def _display_path(path: Path) -> str:
    """Return the path relative to the current directory, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _format_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{_display_path(Path(error.filename))}: {error.strerror}"
    return str(error)


def _fail(message: str) -> int:
    print_error(printable(f"error: {message}"))
    return FAILED
