"""Minimal broken CDK code and templates, one case per rule and resource type, for test_fixes.py.

A module per service has ``CASES``; the rules' modules have the remediations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import aws_cdk
import yaml

import iot_constructs

_MODULES: Final[Mapping[str, str]] = {
    "cloudwatch": "cloudwatch",
    "cloudwatch_actions": "cloudwatch_actions",
    "destinations": "lambda_destinations",
    "dynamodb": "dynamodb",
    "firehose": "kinesisfirehose",
    "glue": "glue",
    "iam": "iam",
    "iot": "iot",
    "kinesis": "kinesis",
    "kms": "kms",
    "lambda_": "lambda",
    "lambda_event_sources": "lambda_event_sources",
    "logs": "logs",
    "pipes": "pipes",
    "s3": "s3",
    "sns": "sns",
    "sqs": "sqs",
    "subscriptions": "sns_subscriptions",
    "timestream": "timestream",
}
NAMES: Final[Mapping[str, Any]] = {
    **{name: getattr(iot_constructs, name) for name in iot_constructs.__all__},
    **{name: import_module(f"aws_cdk.aws_{module}") for name, module in _MODULES.items()},
    "cdk": aws_cdk,
    "Duration": aws_cdk.Duration,
    "RemovalPolicy": aws_cdk.RemovalPolicy,
}
"""The conventional names that a case and the CDK code of a fix use without an import."""

_FIX = re.compile(r"<fix>(.*?)</fix>", re.DOTALL)
_FUNCTIONS: Final = ("Ref", "Fn::")


@dataclass(frozen=True)
class FixCase:
    """One resource that breaks one rule.

    Attributes:
        rule_id: the rule.
        type: the resource type; empty for a finding about the stack.
        cdk: Python code that breaks the rule. ``self`` is a stack with termination protection, whose suffix is ``dev``,
            ``app`` the scope for other stacks. ``<fix>broken code</fix>`` is replaced by the CDK code of the fix;
            the broken code can be empty.
        cloudformation: the ``Resources`` of a template that breaks the rule, in YAML; empty if the fix has no YAML.
    """

    rule_id: str
    type: str
    cdk: str
    cloudformation: str = ""

    def code(self, fix: str | None = None) -> str:
        """Return the CDK code, with ``fix`` typed literally where it belongs."""
        assert len(_FIX.findall(self.cdk)) == 1, f"{self.rule_id}: one <fix></fix>"
        return _FIX.sub(lambda found: found.group(1) if fix is None else fix, self.cdk)

    def resources(self, fix: str | None = None) -> dict[str, Any]:
        """Return the resources of the template, with ``fix`` merged into them."""
        found: dict[str, Any] = yaml.safe_load(self.cloudformation)
        return found if fix is None else merged(found, yaml.safe_load(fix))


def merged(old: Any, new: Any) -> Any:
    """Merge ``new`` into ``old``: mappings by key, lists by index.

    An intrinsic function is replaced, not merged, and null removes what it replaces.
    """
    if isinstance(old, dict) and isinstance(new, dict) and not (_is_call(old) or _is_call(new)):
        found = {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
        return {key: value for key, value in found.items() if value is not None}
    if isinstance(old, list) and isinstance(new, list):
        pairs = [merged(one, other) for one, other in zip(old, new, strict=False)]
        return [*pairs, *old[len(new) :], *new[len(old) :]]
    return new


def _is_call(value: Mapping[str, Any]) -> bool:
    return any(str(key).startswith(_FUNCTIONS) for key in value)
