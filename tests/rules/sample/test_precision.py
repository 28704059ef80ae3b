"""Precision and recall are counted as the guide states them."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.rules.catalogue import RULE_BY_ID
from tests.rules.sample import precision

TABLE = "Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n"


def label(text: str, *expected: list[str | int], not_judged: bool = False) -> dict[str, Any]:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    place = {"repository": "owner/name", "path": "t.yaml", "sha256": sha256}
    return {**place, "not_judged": not_judged, "expected": expected}


def run(tmp_path: Path, text: str, *templates: dict[str, Any]) -> int:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "t.yaml").write_text(text)
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"templates": templates}))
    return precision.main(tmp_path / "repository", labels)


def test_a_template_is_checked_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = label(TABLE, ["IOT_02_POINT_IN_TIME_RECOVERY", "T"], ["NO_SUCH_RULE", "T"])
    assert run(tmp_path, TABLE, expected) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "owner/name t.yaml: miss: NO_SUCH_RULE T" in lines
    assert "owner/name t.yaml: extra: IOT_28_DATA_RETENTION T" in lines
    assert lines[-1] == "recall 50.0% (1 of 2)"


def test_a_file_that_the_command_cannot_read_has_no_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{TABLE}    Type: AWS::DynamoDB::Table\n"
    assert run(tmp_path, text, label(text, ["A", "T"])) == 0
    lines = [f"owner/name t.yaml: {each}" for each in ("miss: A T", "not judged")]
    assert capsys.readouterr().out.splitlines() == [
        *lines,
        "precision (none)",
        "recall 0.0% (0 of 1)",
    ]


@pytest.mark.parametrize(
    ("text", "command", "problem"),
    [
        ("other", "pass", "not in the folder"),
        (TABLE, "raise ValueError", "not checked: "),
        (TABLE, "print('[]'); exit(1)", "exit code 1 with 0 entries"),
    ],
)
def test_a_template_that_is_not_checked_is_a_failure(
    tmp_path: Path,
    text: str,
    command: str,
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "CHECK", (sys.executable, "-c", command))
    assert run(tmp_path, text, label(TABLE)) == 1
    out = capsys.readouterr().out
    assert f"owner/name t.yaml: {problem}" in out
    assert out.endswith("precision (none)\nrecall (none)\n")


def test_a_label_with_a_number_expects_so_many_findings() -> None:
    one = label(TABLE, ["A", "T"], ["B", "T"], ["C", "T", 2], ["D", "T", 1])
    found = precision.Findings({("A", "T"): 3, ("C", "T"): 1, ("D", "T"): 2, ("E", "T"): 1})
    assert list(precision.differences(one, found)) == [
        *("miss: B T", "miss: C T"),
        *("extra: D T", "extra: E T"),
    ]


def test_what_is_not_judged_is_compared_and_is_no_finding() -> None:
    found = precision.Findings({("IOT_00_NOT_JUDGED", ""): 1})
    assert list(precision.differences(label(TABLE, not_judged=True), found)) == []
    assert list(precision.differences(label(TABLE), found)) == ["not judged"]
    nothing = list(precision.differences(label(TABLE, not_judged=True), precision.Findings()))
    assert nothing == ["judged, although a part cannot be"]


def test_the_labels_name_rules_of_the_catalogue_and_as_many_findings_as_the_guide() -> None:
    templates = json.loads(precision.LABELS.read_text())["templates"]
    expected = [each for template in templates for each in template["expected"]]
    assert {rule for rule, *_ in expected} <= RULE_BY_ID.keys()
    total = sum(number[0] if number else 1 for _, _, *number in expected)
    guide = (Path(__file__).parents[3] / "docs" / "guide" / "check.md").read_text()
    assert f"{len(templates)} public templates" in guide
    assert f"the {total} findings" in guide
