"""The rules as rules of cfn-lint: ``cfn-lint --append-rules iot_constructs.rules.cfn_lint -- TEMPLATE``.

cfn-lint makes a rule of each class in this module. It reads one file at a time: a template in the output of a CDK app
is judged together with all its stacks, any other one with the nested stacks that it names by path. Findings are about
the file that cfn-lint reads.

cfn-lint's own copy of the template is not used, because it is not expanded: of SAM, cfn-lint only merges the Globals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from iot_constructs.rules import catalogue, not_judged
from iot_constructs.rules.catalogue import RULES
from iot_constructs.rules.reader import STDIN
from iot_constructs.rules.rule import Finding, Rule
from iot_constructs.rules.template import MANIFEST, Template, load, load_assembly

_NAMES = "E9301"

# By cfn-lint's Template, of which it has one for each file that it reads.
_suffixes: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()
_matches: WeakKeyDictionary[Any, dict[str, list[RuleMatch]]] = WeakKeyDictionary()


class _Judged(NamedTuple):
    templates: Mapping[Path, Template]
    """By resolved path."""
    findings: Mapping[Path, Sequence[Finding]]
    """By the path of the template."""


class _PipelineRule(CloudFormationLintRule):  # type: ignore[misc]  # cfn-lint has no types
    """A rule of the catalogue. This class itself has no id, so cfn-lint leaves it out."""

    rule: ClassVar[Rule]

    def __init__(self) -> None:
        super().__init__()
        if self.id == _NAMES:
            self.config_definition = {"suffix": {"default": "", "type": "string"}}

    def initialize(self, cfn: Any) -> None:
        """Keep the suffix; cfn-lint initializes all rules before it asks the first one for matches."""
        super().initialize(cfn)
        if self.id == _NAMES:
            _suffixes[cfn] = self.config.get("suffix") or None

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the findings of this rule in the file that cfn-lint reads."""
        if cfn not in _matches:
            _matches[cfn] = _run(cfn)
        return _matches[cfn].get(self.rule.id, [])


def _classes() -> Iterator[type[_PipelineRule]]:
    for rule in RULES:
        texts = {
            "rule": rule,
            "id": rule.cfn_lint_id,
            "shortdesc": rule.id,
            "description": f"{rule.info} {rule.explanation}",
            "source_url": rule.source_url,
            "tags": ["iot-constructs"],
        }
        yield type(rule.id, (_PipelineRule,), texts)


# cfn-lint looks for classes among the names of this module.
globals().update({each.__name__: each for each in _classes()})


def _run(cfn: Any) -> dict[str, list[RuleMatch]]:
    path = Path(cfn.filename) if cfn.filename else STDIN
    try:
        template, judged = _judged(cfn, path, _suffixes.get(cfn))
    except (OSError, ValueError) as error:  # a template that only cfn-lint can read
        return {not_judged.RULE_ID: [RuleMatch([], str(error))]}
    matches: dict[str, list[RuleMatch]] = {}
    for finding in judged.findings.get(template.path, ()):
        matches.setdefault(finding.rule_id, []).append(_match(finding, template))
    return matches


def _judged(cfn: Any, path: Path, suffix: str | None) -> tuple[Template, _Judged]:
    """Return the template, and what was found in it and in the templates that belong to it."""
    if path == STDIN:
        # cfn-lint has read it, and it cannot be read a second time.
        template = Template(STDIN, cfn.template)
        return template, _judge([template], suffix)
    if (path.parent / MANIFEST).is_file():
        judged = _judge_assembly(path.parent.resolve(), suffix)
        found = judged.templates.get(path.resolve())
        if found is not None:
            return found, judged
    [template] = load([path])
    return template, _judge([template], suffix)


def _judge(stacks: Sequence[Template], suffix: str | None) -> _Judged:
    found: dict[Path, list[Finding]] = {}
    for finding in catalogue.check(stacks, suffix):
        found.setdefault(finding.template, []).append(finding)
    templates = {each.path.resolve(): each for stack in stacks for each in stack.walk()}
    return _Judged(templates, found)


@lru_cache(maxsize=1)
def _judge_assembly(folder: Path, suffix: str | None) -> _Judged:
    """Judge an assembly once for all its files, which cfn-lint reads one after the other."""
    try:
        stacks = load_assembly(folder)
    except ValueError:  # another kind of manifest
        stacks = []
    return _judge(stacks, suffix)


def _match(finding: Finding, template: Template) -> RuleMatch:
    path = template.path_in_file(finding.logical_id, finding.property_path)
    location = template.location(finding.logical_id, finding.property_path)
    # Without a location, cfn-lint looks the path up in its own copy.
    where = {} if location is None else {"location": tuple(number - 1 for number in location)}
    return RuleMatch(list(path), finding.detail, **where)
