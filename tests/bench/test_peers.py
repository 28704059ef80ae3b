"""The peers' apps: the rules find every gap that was read off their templates by hand, and nothing else."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from bench.peers import ROOT, environments
from bench.peers.environments import PEERS, process_environment, synthesize
from bench.peers.findings import OURS, check, findings_of_all, synthesize_example, table

STACK: Final = "-"
"""In place of a logical id: the stack as a whole."""
PEER_FOLDER: Final = ROOT / "bench" / "peers"
with Path(__file__).with_name("known_gaps.tsv").open(encoding="utf-8") as file:
    GAPS: Final = list(csv.DictReader(file, delimiter="\t"))
Resources = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("findings")


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    return findings_of_all(folder)


def places(peer: str, rule: str = "") -> set[tuple[str, str]]:
    rows = [row for row in GAPS if row["peer"] == peer and row["rule"].startswith(rule)]
    return {(row["rule"], place) for row in rows for place in row["resources"].split()}


def resources_of(folder: Path, peer: str) -> Resources:
    [template] = (folder / peer).glob("*.template.json")
    resources: Resources = json.loads(template.read_text())["Resources"]
    return resources


def of_type(resources: Resources, *types: str) -> dict[str, Mapping[str, Any]]:
    return {id: it.get("Properties", {}) for id, it in resources.items() if it["Type"] in types}


@pytest.mark.parametrize("peer", PEERS)
def test_every_known_gap_is_found_and_nothing_else(peer: str, found: Any) -> None:
    assert {(each["rule"], each["resource"] or STACK) for each in found[peer]} == places(peer)


def test_every_gap_has_a_reason() -> None:
    assert {row["peer"] for row in GAPS} == set(PEERS)
    assert [row for row in GAPS if not row["why"]] == []


def test_our_example_wants_an_address_for_its_alarms(found: Any, tmp_path: Path) -> None:
    assert [each["rule"] for each in found[OURS]] == ["IOT_27_ALARM_TOPIC_SUBSCRIBER"]
    synthesize_example(tmp_path, alarmEmail="on-call@example.com")
    assert check(tmp_path) == []


def test_the_comparison_has_the_table_of_this_run(found: Any) -> None:
    assert table(found) in ROOT.joinpath("docs", "comparison.md").read_text("utf-8")


@pytest.mark.parametrize("peer", PEERS)
def test_the_same_pipeline(peer: str, found: Any, folder: Path) -> None:
    resources = resources_of(folder, peer)
    [mapping] = of_type(resources, "AWS::Lambda::EventSourceMapping").values()
    [archive] = of_type(resources, "AWS::KinesisFirehose::DeliveryStream").values()
    [stream] = of_type(resources, "AWS::Kinesis::Stream")
    [rule] = of_type(resources, "AWS::IoT::TopicRule").values()
    [action] = rule["TopicRulePayload"]["Actions"]
    tables = of_type(resources, "AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable").values()
    arn = {"Fn::GetAtt": [stream, "Arn"]}
    assert action["Kinesis"]["StreamName"] == {"Ref": stream}
    assert mapping["EventSourceArn"] == arn
    assert archive["KinesisStreamSourceConfiguration"]["KinesisStreamARN"] == arn
    assert sorted(len(table["KeySchema"]) for table in tables) == [1, 2]


@pytest.mark.parametrize("peer", PEERS)
def test_known_alarms_without_dimensions(peer: str, found: Any, folder: Path) -> None:
    alarms = of_type(resources_of(folder, peer), "AWS::CloudWatch::Alarm")
    bare = {id for id, it in alarms.items() if "Metrics" not in it and "Dimensions" not in it}
    assert {place for _, place in places(peer, "IOT_09")} == bare


@pytest.mark.parametrize("peer", PEERS)
def test_known_literal_names(peer: str, found: Any, folder: Path) -> None:
    # A policy's name is its role's affair: two stacks may use one.
    names = re.compile(r"(Alarm|Dashboard|DeliveryStream|Bucket|Table|Function|Queue|Topic)?Name")
    named = {
        id
        for id, resource in resources_of(folder, peer).items()
        for key, value in resource.get("Properties", {}).items()
        # One that is made of the stack's name is another wherever the stack's is.
        if names.fullmatch(key) and isinstance(value, str) and "SolutionsPipeline" not in value
    }
    assert {place for _, place in places(peer, "IOT_01")} == {STACK, *named}


def test_the_plain_l2s_can_have_as_many_resources(found: Any, folder: Path, tmp_path: Path) -> None:
    ours, theirs = (len(resources_of(folder, it)) for it in (OURS, "plain_l2"))
    assert len(synthesize("plain_l2", tmp_path, 1, ours - theirs)) == ours


def test_requirements_are_pins_and_nothing_else() -> None:
    # No registry address and no path: the reader's own registry has the packages.
    allowed = re.compile(r"# [^/]*|-c \.\./\.\./constraints\.txt|[\w-]+==[\w.]+( ; [^/]+)?")
    texts = [file.read_text() for file in PEER_FOLDER.glob("requirements-*.txt")]
    assert len(texts) == len(PEERS)
    lines = [line for text in texts for line in text.splitlines()]
    # aws-cdk-lib as the constraints have it.
    assert [line for line in lines if not allowed.fullmatch(line)] == ["aws-cdk-lib"]


def test_all_processes_are_started_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("JSII_NODE", raising=False)
    monkeypatch.delenv("CDK_VALIDATION", raising=False)
    variables = process_environment(CDK_OUTDIR="here")
    python = {name: value for name, value in variables.items() if name.startswith("PYTHON")}
    assert python == {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    assert Path(variables["JSII_NODE"]) == ROOT / ".venv" / "cdk" / "bin" / "node"
    assert variables["CDK_OUTDIR"] == "here"
    assert "CDK_VALIDATION" not in variables


def test_an_environment_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    python = environments.python_of("plain_l2")
    assert python == ROOT / ".venv-peers" / "plain_l2" / "bin" / "python"
    install = ["--quiet", "pip", "install", "--python", str(python), "-r"]
    assert commands[1][1:] == [*install, str(PEER_FOLDER / "requirements-plain-l2.txt")]
