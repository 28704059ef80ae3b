"""Writes RULES.md from the table of rules: ``python docs/generate_rules.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from iot_constructs.rules.rule_table import RULES, Rule

RULES_MD = Path(__file__).parent.parent / "RULES.md"

_INTRODUCTION = """\
<!-- Written by docs/generate_rules.py from src/iot_constructs/rules/rule_table.py: edit that. -->
# The rules of the corrected defaults

What this library's constructs do by themselves, as rules for any app. In a CDK app, at every synth:

```python
CorrectedDefaults.add_to(app, suffix="dev")  # from iot_constructs.rules
```

A finding fails the synth; with `strict=False` it is a warning. One that is meant to be is acknowledged with the id that
ends its message, for a construct or for everything below it:

```python
Validations.of(source).acknowledge(
    Acknowledgment(id="Corrected-Defaults::IOT_13_TRIM_HORIZON", reason="...")
)
```

Templates that are there already, of whatever origin: `iot-constructs check cdk.out --suffix dev`. The rules marked
*Guard* are in one file that `cfn-guard` runs alone,
[iot_pipeline.guard](src/iot_constructs/rules/iot_pipeline.guard); those marked *Python* look
at more than one resource. A value that only the deployment knows is never reported.
"""


def rules_md() -> str:
    """The whole file."""
    lines = [_INTRODUCTION, "| Rule | Compliant | |", "|---|---|---|"]
    lines += [
        f"| [{rule.id}](#{rule.id.lower()}) | {rule.compliant} | {rule.engine.title()} |"
        for rule in RULES
    ]
    for rule in RULES:
        lines += _section(rule)
    return "\n".join(lines) + "\n"


def _section(rule: Rule) -> Iterator[str]:
    yield ""
    yield f"## {rule.id}"
    yield ""
    yield rule.compliant
    yield ""
    yield f"* **Why:** {rule.why}"
    yield f"* **Fix:** {rule.fix}."
    yield f"* **Evidence:** {rule.facts} in [docs/FACTS.md](docs/FACTS.md)"
    yield f"* **Acknowledge:** `{rule.acknowledgement}`"


if __name__ == "__main__":
    RULES_MD.write_text(rules_md(), encoding="utf-8")
