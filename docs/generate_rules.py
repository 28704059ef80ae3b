"""Generates RULES.md from the classes of rules: ``python docs/generate_rules.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from iot_constructs.rules.catalogue import RULES
from iot_constructs.rules.rule import Rule

RULES_MD = Path(__file__).parent.parent / "RULES.md"

_INTRODUCTION = """\
<!-- Written by docs/generate_rules.py from the classes in src/iot_constructs/rules: edit those. -->
# Rules

Checks for IoT telemetry pipelines in any CDK app or CloudFormation template. In a CDK app, add the validation plugin:

```python
import aws_cdk as cdk
from iot_constructs.rules import IotPipelineChecks

cdk.Validations.of(app).add_plugins(IotPipelineChecks(suffix="dev"))
```

A finding fails the synth; with `strict=False` it is a warning. To accept a finding, acknowledge the id at the end of
its message, for one construct or for everything below it:

```python
cdk.Validations.of(source).acknowledge(
    cdk.Acknowledgment(id="IotPipelineChecks::IOT_13_TRIM_HORIZON", reason="...")
)
```

To check existing templates, run `iot-constructs check cdk.out --suffix dev`. A value that is known only at deployment
is never reported.
"""


def rules_md() -> str:
    """The whole file."""
    lines = [_INTRODUCTION, "| Rule | Requirement |", "|---|---|"]
    lines += [f"| [{rule.id}](#{rule.id.lower()}) | {rule.info} |" for rule in RULES]
    for rule in RULES:
        lines += _section(rule)
    return "\n".join(lines) + "\n"


def _section(rule: Rule) -> Iterator[str]:
    yield ""
    yield f"## {rule.id}"
    yield ""
    yield rule.info
    yield ""
    yield f"* **Explanation:** {rule.explanation}"
    yield f"* **Source:** <{rule.source_url}>"
    yield f"* **Acknowledgement:** `{rule.acknowledgement}`"


if __name__ == "__main__":
    RULES_MD.write_text(rules_md(), encoding="utf-8")
