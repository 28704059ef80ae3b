"""IOT_08: Timestream for LiveAnalytics."""

from __future__ import annotations

import pytest

from tests.rules.compliant_pipeline import found, resource


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("AWS::Timestream::Database", [("IOT_08", "It")]),
        ("AWS::Timestream::Table", [("IOT_08", "It")]),
        ("AWS::Timestream::ScheduledQuery", [("IOT_08", "It")]),
        # Another service.
        ("AWS::Timestream::InfluxDBInstance", []),
        ("AWS::Timestream::InfluxDBCluster", []),
    ],
)
def test_only_liveanalytics_is_reported(type: str, expected: list[tuple[str, str]]) -> None:
    assert [it for it in found({"It": resource(type)}) if it[0] == "IOT_08"] == expected


def test_without_properties() -> None:
    assert ("IOT_08", "It") in found({"It": {"Type": "AWS::Timestream::Database"}})
