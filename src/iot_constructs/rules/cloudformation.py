"""The rule for stacks: termination protection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import DOCS, Finding, Fix, Rule


class TerminationProtection(Rule):
    """Reports stacks that do not set termination protection."""

    id = "IOT_05_TERMINATION_PROTECTION"
    info = "Every stack sets its termination protection explicitly."
    explanation = "It is off by default, and one command then deletes the pipeline with its stream."
    fixes: ClassVar = {"": Fix("termination_protection=True", "")}
    source_url = f"{DOCS}/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find stacks without explicit termination protection; requires the manifest.

        The manifest has False both for an explicit False and for the default, so a plain stack without protection is
        reported. A SuffixedStack always sets it.
        """
        for template in pipeline.graph.stacks:
            stack = template.stack
            if stack is None or stack.termination_protection or stack.suffixed:
                continue
            yield Finding(
                self.id,
                template.path,
                None,
                f"stack {stack.name!r} has no termination protection, or does not set it "
                "explicitly: the manifest does not distinguish the two",
            )


RULES: Final = (TerminationProtection(),)
