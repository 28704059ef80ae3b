"""Findings that a project accepts: ``--ignore``, and what cfn-lint reads from metadata and from .cfnlintrc."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iot_constructs.rules.catalogue import RULE_BY_ID, RULES
from iot_constructs.rules.reader import extra
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Template

SUFFIX_RULE = "IOT_01_ENVIRONMENT_SUFFIX"
_CONFIG_FILES = (".cfnlintrc", ".cfnlintrc.yaml", ".cfnlintrc.yml")
_BY_NAME = {
    name.lower(): rule.id for rule in RULES for name in (rule.id, rule.id[:6], rule.cfn_lint_id)
}


@dataclass(frozen=True)
class Ignore:
    """An accepted rule, in all templates or for one resource."""

    rule_id: str
    logical_id: str | None = None

    @classmethod
    def parse(cls, text: str) -> Ignore:
        """The type of ``--ignore``, for argparse."""
        name, colon, logical_id = text.partition(":")
        rule_id = _BY_NAME.get(name.lower())
        if rule_id is None:
            raise argparse.ArgumentTypeError(
                f"unknown rule {name!r}: pass an ID of RULES.md, such as IOT_13 or E9313"
            )
        if colon and not logical_id:
            raise argparse.ArgumentTypeError(f"{text!r}: no logical ID after the colon")
        return cls(rule_id, logical_id or None)

    def accepts(self, finding: Finding, author: str | None) -> bool:
        """Whether the finding is accepted; ``author`` is the resource as its author wrote it."""
        return finding.rule_id == self.rule_id and self.logical_id in {
            None,
            finding.logical_id,
            author,
        }


class CfnLintConfig:
    """The settings of cfn-lint that also apply here: ``ignore_checks``, and the suffix of E9301.

    Like cfn-lint, reads .cfnlintrc in the home and in the current directory.

    Raises:
        ValueError: a file cannot be read or is not valid YAML, or PyYAML is not installed.
    """

    def __init__(self) -> None:
        self.ignored: list[str] = []
        self.suffix: str | None = None
        for folder in (_home(), Path.cwd()):
            settings = _read_config(folder) if folder is not None else {}
            self.ignored += _ignored(settings)
            suffix = _at(settings, "configure_rules", RULE_BY_ID[SUFFIX_RULE].cfn_lint_id, "suffix")
            self.suffix = str(suffix) if suffix is not None else self.suffix


def accepted(
    finding: Finding, template: Template, ignores: Iterable[Ignore], config: CfnLintConfig
) -> bool:
    """Whether the finding is accepted by an option, the config file, or the metadata of its template or resource."""
    cfn_lint_id = RULE_BY_ID[finding.rule_id].cfn_lint_id
    author = template.author(finding.logical_id) if finding.logical_id is not None else None
    body = template.body if template.document is None else template.document.body
    # As in cfn-lint: prefixes for a template, whole ids for a resource.
    prefixes = [*config.ignored, *_ignored(_at(body, "Metadata", "cfn-lint", "config"))]
    return (
        any(ignore.accepts(finding, author) for ignore in ignores)
        or any(cfn_lint_id.startswith(prefix) for prefix in prefixes)
        or cfn_lint_id in _of_resource(finding, template)
    )


def _of_resource(finding: Finding, template: Template) -> Sequence[str]:
    # What SAM generates has the metadata of the resource that its author wrote.
    resource = template.resources.get(finding.logical_id or "")
    return _ignored(_at(resource.body, "Metadata", "cfn-lint", "config")) if resource else []


def _ignored(settings: Any) -> list[str]:
    found = _at(settings, "ignore_checks")
    # An empty prefix would accept everything.
    return [each for each in found if isinstance(each, str) and each] if _is_list(found) else []


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a container's user without a home
        return None


def _read_config(folder: Path) -> Any:
    path = next((folder / name for name in _CONFIG_FILES if (folder / name).is_file()), None)
    if path is None:
        return {}
    yaml = extra("yaml")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
