"""The counts of ``make mutants`` in COMPLIANCE.md."""

from __future__ import annotations

import json
from pathlib import Path

from docs.compliance_mutants import mutants_section


def test_the_section_has_every_count_and_names_what_survived(tmp_path: Path) -> None:
    families = ("defaults", "constructs", "rules", "guard", "injectors")
    counted = {
        "total": 200,
        "killed": 191,
        "survived": ["stream_processor.py | _create | left out"],
        "families": {
            name: {"total": 40 + index, "killed": 30 + index} for index, name in enumerate(families)
        },
        "corrections": {"total": 17, "killed": 16, "of": {"6": {"total": 9, "killed": 8}}},
        "equivalent": {"one": "reason", "other": "reason"},
    }
    path = tmp_path / "mutants.json"
    path.write_text(json.dumps(counted))
    text = " ".join(mutants_section(path).split())
    assert "notice 191 of 200 such mutants (95.5%), and 16 of the 17 that undo" in text
    assert "stays the same: 2, each with its reason" in text
    for index in range(len(families)):
        assert f"| {40 + index} | {30 + index} |" in text
    assert "| 6 | 9 | 8 |" in text
    assert "* `stream_processor.py | _create | left out`" in text


def test_before_the_first_complete_run_there_is_none(tmp_path: Path) -> None:
    assert mutants_section(tmp_path / "mutants.json") == ""
