"""RULES.md has every rule, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from iot_constructs.rules.catalogue import RULES

ROOT = Path(__file__).parent.parent.parent
RULES_MD = (ROOT / "RULES.md").read_text(encoding="utf-8")


def test_every_rule_has_its_section_and_its_row() -> None:
    assert re.findall(r"^## (IOT_.+)$", RULES_MD, re.MULTILINE) == [rule.id for rule in RULES]
    assert re.findall(r"^\| \[(\w+)\]", RULES_MD, re.MULTILINE) == [rule.id for rule in RULES]


def test_its_links_lead_somewhere() -> None:
    links = set(re.findall(r"\]\(([^)#]+)\)", RULES_MD))
    assert links
    missing = [link for link in links if not (ROOT / link).is_file()]
    assert missing == ["https://github.com/aws-cloudformation/cfn-lint"]
