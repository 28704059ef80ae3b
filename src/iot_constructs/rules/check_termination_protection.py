"""IOT_05: termination protection is said (correction 5)."""

from __future__ import annotations

from collections.abc import Iterator

from iot_constructs.rules.finding import Finding
from iot_constructs.rules.pipeline_parts import Pipeline

RULE = "IOT_05_TERMINATION_PROTECTION"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Stacks whose protection was left to a default. Without a manifest nothing is known, and nothing reported.

    CDK writes False into the manifest for a stack that says False and for one that says nothing, so a plain stack
    without protection counts as unsaid. A SuffixedStack always says it.
    """
    for template in pipeline.app.stacks:
        facts = template.stack
        if facts is None or facts.termination_protection or facts.suffixed:
            continue
        yield Finding(
            RULE,
            template.path,
            None,
            f"stack {facts.name!r} has no termination protection, or does not say so on purpose: "
            "the manifest cannot tell which",
        )
