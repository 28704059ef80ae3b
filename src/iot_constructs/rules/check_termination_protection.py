"""IOT_05: stacks set their termination protection explicitly."""

from __future__ import annotations

from collections.abc import Iterator

from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding

RULE = "IOT_05_TERMINATION_PROTECTION"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find stacks without explicit termination protection; requires the manifest.

    The manifest has False both for an explicit False and for the default, so a plain stack without protection is
    reported. A SuffixedStack always sets it.
    """
    for template in pipeline.graph.stacks:
        stack = template.stack
        if stack is None or stack.termination_protection or stack.suffixed:
            continue
        yield Finding(
            RULE,
            template.path,
            None,
            f"stack {stack.name!r} has no termination protection, or does not set it explicitly: "
            "the manifest does not distinguish the two",
        )
