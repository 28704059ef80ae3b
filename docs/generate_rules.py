"""Generates RULES.md from the catalogue of rules: ``python docs/generate_rules.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from iot_constructs.rules.catalogue import RULES
from iot_constructs.rules.remediations import Remediation
from iot_constructs.rules.rule import Rule

RULES_MD = Path(__file__).parent.parent / "RULES.md"

_INTRODUCTION = """\
<!-- Written by docs/generate_rules.py from the classes in src/iot_constructs/rules: edit those. -->
# Rules

Checks for IoT telemetry pipelines in any CDK app, CloudFormation template or SAM template.

## In a CDK app

```python
import aws_cdk as cdk
from iot_constructs.rules import IotPipelineChecks

cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev"))
```

A finding fails the synth; with `strict=False` it is a warning, as `IOT_00` always is. To accept a finding, acknowledge
the id at the end of its message, for one construct or for everything below it:

```python
cdk.Validations.of(source).acknowledge(
    cdk.Acknowledgment(id="IotPipelineChecks::IOT_13_TRIM_HORIZON", reason="...")
)
```

## On templates

```
pip install 'iot-constructs[check]'
iot-constructs check template.yaml cdk.out --suffix dev
```

`--format` writes text, JSON, SARIF, JUnit or GitHub annotations. All templates of one call are one app: pass the stack
with the alarms and the stack that they monitor together. The exit code is 0 without findings; 1 with findings; 2 if
the command is used wrongly, or if something could not be judged (`IOT_00`) and there is no other finding.

The same rules within [cfn-lint](https://github.com/aws-cloudformation/cfn-lint), beside its own:

```
cfn-lint --append-rules iot_constructs.rules.cfn_lint --configure-rule E9301:suffix=dev -- template.yaml
```

Both accept a finding by its id in cfn-lint: in `.cfnlintrc`, or in the metadata of the template or of the resource.
`iot-constructs check` also has `--ignore IOT_13:LogicalId`.

```yaml
Metadata:
  cfn-lint:
    config:
      ignore_checks: [E9313]
```

## What is judged

* A value that is known only at deployment, such as a parameter, a dynamic reference or an import from elsewhere, is
  never a finding.
* Of `Fn::If`, each branch is judged. It is a finding if no branch complies.
* SAM resources and `Fn::ForEach` are expanded; a finding is at the resource and line that you wrote. The type of a SAM
  event tells what its stream is.
* What cannot be looked at, such as a macro or a nested stack by URL, is reported as `IOT_00`.

Each fix is complete: typed as it is, it ends the finding and raises no other. CloudFormation fixes are merged into
`Resources`. For a resource inside a construct of somebody else, override the property of its L1 construct, with the
path of the CloudFormation fix:
`construct.node.find_child("Id").node.default_child.add_property_override("Property.Path", value)`.

## All rules
"""
_MOST_BLOCKS = 10
"""More fixes of one rule are a table, with a row for each resource type."""


def rules_md() -> str:
    """The whole file."""
    lines = [_INTRODUCTION, "| Rule | cfn-lint | Requirement |", "|---|---|---|"]
    lines += [
        f"| [{rule.id}](#{rule.id.lower()}) | {rule.cfn_lint_id} | {rule.info} |" for rule in RULES
    ]
    for rule in RULES:
        lines += _section(rule)
    return "\n".join(lines) + "\n"


def _section(rule: Rule) -> Iterator[str]:
    yield f"\n## {rule.id}\n"
    yield f"{rule.info}\n"
    yield f"* **Explanation:** {rule.explanation}"
    yield f"* **Source:** <{rule.source_url}>"
    yield f"* **Level:** {rule.level}"
    yield f"* **To accept it:** `{rule.acknowledgement}` in CDK, `{rule.cfn_lint_id}` in cfn-lint"
    # Several types can have the same fix.
    types: dict[Remediation, list[str]] = {}
    for resource_type, fix in rule.remediations.items():
        types.setdefault(fix, []).append(resource_type)
    if len(types) > _MOST_BLOCKS:
        yield from _table(rule.remediations)
    else:
        for fix, alike in types.items():
            yield from _blocks(fix, alike)


def _table(remediations: Mapping[str, Remediation]) -> Iterator[str]:
    yield "\n| Resource type | CDK | CloudFormation |\n|---|---|---|"
    for resource_type in sorted(remediations):
        fix = remediations[resource_type]
        code = f"{_cell(fix.cdk)} | {_cell(_properties(fix.cloudformation))}"
        yield f"| {_named(resource_type)} | {code} |"


def _properties(yaml: str) -> str:
    """Return the properties alone, if the fix does nothing but set some."""
    found = re.fullmatch(r"<LogicalId>:\n  Properties:\n((?: {4}.*(?:\n|$))+)", yaml)
    return re.sub(r"^ {4}", "", found[1], flags=re.MULTILINE) if found else yaml


def _cell(code: str) -> str:
    # A cell has no lines of its own; the indent of YAML has to stay visible.
    lines = [line.replace("|", "\\|").replace("  ", "\u00a0\u00a0") for line in code.splitlines()]
    return "<br>".join(f"`{line}`" for line in lines)


def _blocks(fix: Remediation, alike: list[str]) -> Iterator[str]:
    yield f"\n{', '.join(_named(it) for it in alike)}:"
    if fix.cdk:
        yield f"\n```python\n{fix.cdk}\n```"
    if fix.cloudformation:
        yield f"\n```yaml\n{fix.cloudformation.rstrip()}\n```"


def _named(resource_type: str) -> str:
    return f"`{resource_type}`" if resource_type else "The stack"


if __name__ == "__main__":
    RULES_MD.write_text(rules_md(), encoding="utf-8")
