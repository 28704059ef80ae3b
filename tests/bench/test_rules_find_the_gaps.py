"""The rules find every gap of the peers' apps, nothing else, and in our own example that it wants an address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.peers.environments import PEERS
from bench.peers.findings import OURS, check, findings_of_all, synthesize_example, table
from bench.peers.known_gaps import KNOWN_GAPS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return findings_of_all(tmp_path_factory.mktemp("findings"))


@pytest.mark.parametrize("peer", PEERS)
def test_every_known_gap_is_found_and_nothing_else(peer: str, found: Any) -> None:
    known = {(gap.rule_id, place) for gap in KNOWN_GAPS[peer] for place in gap.where}
    assert {(each["rule"], each["resource"]) for each in found[peer]} == known


def test_our_example_wants_an_address_for_its_alarms(found: Any, tmp_path: Path) -> None:
    assert [each["rule"] for each in found[OURS]] == ["IOT_27_ALARM_TOPIC_SUBSCRIBER"]
    synthesize_example(tmp_path, alarmEmail="on-call@example.com")
    assert check(tmp_path) == []


def test_the_readme_has_the_table_of_this_run(found: Any) -> None:
    assert table(found) in ROOT.joinpath("README.md").read_text(encoding="utf-8")
