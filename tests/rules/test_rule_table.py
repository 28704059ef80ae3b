"""The table of rules is complete and well formed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from iot_constructs import rules
from iot_constructs.rules.catalogue import RULES
from iot_constructs.rules.rule import PLUGIN_NAME, Rule


def test_the_rules_are_numbered_in_order() -> None:
    assert [rule.id[:7] for rule in RULES] == [f"IOT_{number:02}_" for number in range(31)]


def test_the_acknowledgement_is_what_cdk_makes_of_the_names() -> None:
    assert " " not in PLUGIN_NAME  # CDK would replace it by a hyphen
    assert RULES[13].acknowledgement == "IotPipelineChecks::IOT_13_TRIM_HORIZON"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_text_is_one_sentence(rule: Rule) -> None:
    for sentence in (rule.info, rule.explanation):
        assert re.fullmatch(r"[A-Z].*[^.]\.", sentence)
        assert ". " not in sentence


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_links_to_a_page_of_the_aws_documentation(rule: Rule) -> None:
    page = r"https://docs\.aws\.amazon\.com/[A-Za-z0-9]+/latest/[A-Za-z]+/[\w.-]+\.html(#[\w.]+)?"
    assert re.fullmatch(page, rule.source_url)


def test_the_table_needs_no_cdk() -> None:
    program = (
        "import sys; from iot_constructs.rules import RULES; "
        "assert RULES; assert 'aws_cdk' not in sys.modules, 'CDK was started'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_package_exports_its_public_names() -> None:
    assert rules.RULES is RULES
    assert set(rules.__all__) <= set(dir(rules))
    assert all(getattr(rules, name) for name in rules.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        rules.no_such_name  # noqa: B018 - the access is the test
