"""The list of the peers' gaps fits the templates that the peers write today."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from bench.peers.environments import PEERS
from bench.peers.known_gaps import KNOWN_GAPS, STACK
from bench.peers.synthesize import synthesize_peer

Resources = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def resources_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The resources of a peer's template; each peer is synthesized once."""
    folder = tmp_path_factory.mktemp("peers")

    @lru_cache
    def read(peer: str) -> Resources:
        template: Path = synthesize_peer(peer, folder / peer, CDK_VALIDATION="false")
        resources: Resources = json.loads(template.read_text())["Resources"]
        return resources

    return read


def of_type(resources: Resources, type: str) -> dict[str, Mapping[str, Any]]:
    return {id: r.get("Properties", {}) for id, r in resources.items() if r["Type"] == type}


def where(peer: str, rule_id: str) -> set[str | None]:
    return {place for gap in KNOWN_GAPS[peer] if gap.rule_id == rule_id for place in gap.where}


def test_every_peer_has_a_list() -> None:
    assert set(KNOWN_GAPS) == set(PEERS)


@pytest.mark.parametrize("peer", PEERS)
def test_each_rule_is_named_once_with_a_reason(peer: str) -> None:
    ids = [gap.rule_id for gap in KNOWN_GAPS[peer]]
    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not re.fullmatch(r"IOT_\d\d(_[A-Z]+)+", id)] == []
    assert all(gap.why and gap.where for gap in KNOWN_GAPS[peer])


@pytest.mark.parametrize("peer", PEERS)
def test_what_has_a_gap_is_in_the_template(peer: str, resources_of: Any) -> None:
    places = {place for gap in KNOWN_GAPS[peer] for place in gap.where}
    assert places - set(resources_of(peer)) == {STACK}


@pytest.mark.parametrize(
    ("peer", "count"),
    [("plain_l2", 22), ("solutions_constructs", 28), ("monitoring_constructs", 29)],
)
def test_number_of_resources(peer: str, count: int, resources_of: Any) -> None:
    assert len(resources_of(peer)) == count


@pytest.mark.parametrize("peer", PEERS)
def test_the_same_pipeline(peer: str, resources_of: Any) -> None:
    resources = resources_of(peer)
    (mapping,) = of_type(resources, "AWS::Lambda::EventSourceMapping").values()
    (archive,) = of_type(resources, "AWS::KinesisFirehose::DeliveryStream").values()
    (stream,) = of_type(resources, "AWS::Kinesis::Stream")
    (rule,) = of_type(resources, "AWS::IoT::TopicRule").values()
    (action,) = rule["TopicRulePayload"]["Actions"]
    arn = {"Fn::GetAtt": [stream, "Arn"]}
    assert action["Kinesis"]["StreamName"] == {"Ref": stream}
    assert mapping["EventSourceArn"] == arn
    assert archive["KinesisStreamSourceConfiguration"]["KinesisStreamARN"] == arn
    assert sorted(len(table["KeySchema"]) for table in tables(resources)) == [1, 2]


def tables(resources: Resources) -> list[Mapping[str, Any]]:
    return [
        table
        for type in ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable")
        for table in of_type(resources, type).values()
    ]


@pytest.mark.parametrize("peer", PEERS)
def test_alarms_without_dimensions(peer: str, resources_of: Any) -> None:
    alarms = of_type(resources_of(peer), "AWS::CloudWatch::Alarm")
    bare = {
        id for id, alarm in alarms.items() if "Metrics" not in alarm and "Dimensions" not in alarm
    }
    assert where(peer, "IOT_09_ALARM_DIMENSIONS") == bare


@pytest.mark.parametrize("peer", PEERS)
def test_literal_names(peer: str, resources_of: Any) -> None:
    # A policy's name is its role's affair: two stacks may use one.
    names = re.compile(r"(Alarm|Dashboard|DeliveryStream|Bucket|Table|Function|Queue|Topic)?Name")
    named = {
        id
        for id, resource in resources_of(peer).items()
        for key, value in resource.get("Properties", {}).items()
        # One that is made of the stack's name is another wherever the stack's is.
        if names.fullmatch(key) and isinstance(value, str) and "SolutionsPipeline" not in value
    }
    assert where(peer, "IOT_01_ENVIRONMENT_SUFFIX") == {STACK, *named}
