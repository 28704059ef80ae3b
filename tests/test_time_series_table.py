"""TimeSeriesTable: what it does not share with DeviceStateTable, whose tests take both tables."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest

from iot_constructs import TimeSeriesTable
from tests.synth_support import (
    ENV,
    Json,
    fresh_stack,
    one,
    recommended_flags,
    resources,
    template_of,
)

TABLE = "AWS::DynamoDB::GlobalTable"
YEAR = 365 * 86_400


@pytest.fixture(
    scope="module",
    params=[(None, False), (ENV, False), (None, True)],
    ids=["agnostic", "with-region", "recommended-flags"],
)
def prod(request: pytest.FixtureRequest) -> Json:
    """The table with nothing but defaults."""
    env, flags = request.param
    stack = fresh_stack("prod", env=env, context=recommended_flags() if flags else None)
    TimeSeriesTable(stack, "Readings")
    return template_of(stack)


def retention_of(**arguments: Any) -> cdk.Duration:
    return TimeSeriesTable(fresh_stack(), "Readings", **arguments).retention


def test_readings_are_kept_by_device_and_time(prod: Json) -> None:
    table = one(prod, TABLE)
    assert table["KeySchema"] == [
        {"AttributeName": "deviceId", "KeyType": "HASH"},
        {"AttributeName": "timestamp", "KeyType": "RANGE"},
    ]
    assert table["AttributeDefinitions"] == [
        {"AttributeName": "deviceId", "AttributeType": "S"},
        {"AttributeName": "timestamp", "AttributeType": "N"},
    ]


def test_readings_expire_by_ttl(prod: Json) -> None:
    assert one(prod, TABLE)["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


def test_there_is_no_index_that_could_throttle_writes(prod: Json) -> None:
    assert "GlobalSecondaryIndexes" not in one(prod, TABLE)
    assert "LocalSecondaryIndexes" not in one(prod, TABLE)


def test_it_is_dynamodb_and_not_timestream(prod: Json) -> None:
    assert len(resources(prod, TABLE)) == 1
    assert not any("Timestream" in value["Type"] for value in prod["Resources"].values())


def test_the_name_is_stem_and_suffix(prod: Json) -> None:
    assert one(prod, TABLE)["TableName"] == "iot-sensor-metrics-prod"


# --- retention ---------------------------------------------------------------------------------------------------


def test_a_reading_is_kept_for_a_year() -> None:
    assert retention_of().to_seconds() == YEAR


@pytest.mark.parametrize("seconds", [86_400, 90 * 86_400, 100 * YEAR])
def test_a_given_retention_wins(seconds: int) -> None:
    assert retention_of(retention=cdk.Duration.seconds(seconds)).to_seconds() == seconds


@pytest.mark.parametrize(
    ("retention", "words", "fix"),
    [
        (cdk.Duration.seconds(86_399), "86399 seconds", 86_400),
        (cdk.Duration.hours(23), "23 hours", 86_400),
        (cdk.Duration.days(0), "0 seconds", 86_400),
        (cdk.Duration.days(36_501), "36501 days", 100 * YEAR),
    ],
)
def test_a_retention_out_of_range_is_refused_and_not_replaced(
    retention: cdk.Duration, words: str, fix: int
) -> None:
    with pytest.raises(ValueError) as failure:
        retention_of(retention=retention)
    assert f"retention={words} is not between 24 hours and 36500 days" in str(failure.value)
    assert f"pass for example retention=Duration.seconds({fix})" in str(failure.value)


def test_a_retention_token_passes_unharmed() -> None:
    stack = fresh_stack()
    seconds = cdk.CfnParameter(stack, "Seconds", type="Number").value_as_number
    readings = TimeSeriesTable(stack, "Readings", retention=cdk.Duration.seconds(seconds))
    assert stack.resolve(readings.retention.to_seconds()) == {"Ref": "Seconds"}
