"""Bills worked out by hand from the tables of prices and quotas, and what holds for every bill."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs.cli.planning import prices
from iot_constructs.cli.planning.batches import calls_per_batch
from iot_constructs.cli.planning.costs import Cost, list_costs, total
from iot_constructs.cli.planning.prices import Price
from iot_constructs.cli.planning.usage import estimate_usage, provisioned_shards
from tests.cli.workloads import SETTINGS, build_workload


def bill(**workload: Any) -> dict[tuple[str, str], Cost]:
    settings = {"devices": 1000, "every_seconds": 60, "reading_bytes": 400, **workload}
    return {
        (cost.service, cost.what): cost
        for cost in list_costs(estimate_usage(build_workload(**settings)))
    }


def test_basic_ingest_costs_no_messages_and_changes_nothing_else() -> None:
    usual, basic = bill(), bill(basic_ingest=True)
    assert basic["IoT Core", "messages"].dollars == 0
    assert {**basic, ("IoT Core", "messages"): usual["IoT Core", "messages"]} == usual


def dollars(**workload: Any) -> float:
    return total(bill(**workload).values())


# 1000 devices, 400 bytes a minute each. A second: 1000 / 60 = 16.6667 messages. A month of 730 h = 2,628,000 s = 43,800
# minutes: 43.8 million messages.
BY_HAND = {
    # 1000 * 43,800 = 43.8 million minutes * $0.08
    ("IoT Core", "connections"): 3.504,
    # 400 bytes are one step of 5 KB: 43.8 million * $1.00, * $0.15, * $0.15
    ("IoT Core", "messages"): 43.80,
    ("IoT Core", "rule"): 6.57,
    ("IoT Core", "action"): 6.57,
    # 730 h * $0.04
    ("Kinesis", "stream"): 29.20,
    # 400 bytes are billed as 1 KB: 43.8e6 * 1024 / 2^30 = 41.771 GB * $0.08; twice that * $0.04
    ("Kinesis", "data in"): 3.3417,
    ("Kinesis", "data out"): 3.3417,
    # 7 days, 6 of them beyond the first: 16.6667 * 1024 * 518,400 s / 2^30 = 8.2398 GB * $0.10
    ("Kinesis", "retention"): 0.82398,
    # 4 shards are 4 concurrent batches of 4.16667 records/s. 1 / (1 - e^-4.16667) = 1.01575 polls find the first one,
    # and the window is 5 s: 25.0656 records, so 0.664922 invocations/s or 1,747,415 a month, at $0.20 for a million
    ("Lambda", "requests"): 0.349483,
    # 5 + 0.5 * 25.0656 + 10 * (1 + 1) = 37.5328 ms; * 1,747,415 * 0.5 GB = 32,792.7 GB-s * $0.0000133334
    ("Lambda", "duration"): 0.437238,
    # 8 + 16 + 9 + 17 + 7 + 3 + (3 + 6) + 0.78 * 400 = 381 bytes are one unit; 43.8 million * $0.625
    ("DynamoDB", "time-series writes"): 27.375,
    # no device is twice in a window: as many
    ("DynamoDB", "device-state writes"): 27.375,
    # a query a day for 1,440 items of 381 bytes, 134 times 4 KB or 67 units: 1000 * 67 * 30.4167 days = 2.03792 million
    # * $0.125
    ("DynamoDB", "time-series reads"): 0.25474,
    # 1000 states a minute, half a unit each: 43,800 * 500 = 21.9 million * $0.125
    ("DynamoDB", "device-state reads"): 2.7375,
    # 16.6667 * 31,536,000 s * (381 + 100) = 252.814e9 bytes = 235.451 GB * $0.25; 1000 * (372 + 100) = 0.00043958 GB
    ("DynamoDB", "time-series storage"): 58.8625,
    ("DynamoDB", "device-state storage"): 0.00010990,
    # the sum * $0.20
    ("DynamoDB", "recovery"): 47.0901,
    # 43.8e6 * 5 KB = 208.855 GB * $0.029
    ("Firehose", "data in"): 6.0568,
    # one each 300 s after its first record, 0.06 s: 8758.25 * $0.005 / 1000
    ("S3", "objects"): 0.0437912,
    # 16.6667 * 401 * 0.2 * 31,536,000 s = 39.258 GB * $0.023
    ("S3", "storage"): 0.90294,
    ("KMS", "keys"): 1.00,
    # after one year, the key has rotated once
    ("KMS", "rotations"): 1.00,
    # 5 / 300 s * 2,628,000 s = 43,800 and the 8758.25 objects * $0.03 / 10,000
    ("KMS", "requests"): 0.157675,
    ("SNS, SQS", "alerts"): 0.0,
    ("SNS, SQS", "dead letters"): 0.0,
    # 25 * $0.10, 1 * $0.50, 1 * $3, 5 * $0.30
    ("CloudWatch, X-Ray", "alarms"): 2.50,
    ("CloudWatch, X-Ray", "composite alarms"): 0.50,
    ("CloudWatch, X-Ray", "dashboards"): 3.00,
    ("CloudWatch, X-Ray", "custom metrics"): 1.50,
    # 1,747,415 * 2048 bytes = 3.33294 GB * $0.50
    ("CloudWatch, X-Ray", "logs"): 1.66647,
    # 0.664922 * 2048 * 7,776,000 s (90 days) = 9.86186 GB * $0.03
    ("CloudWatch, X-Ray", "log storage"): 0.295856,
    # fewer than one a second: all 1,747,415 are traced, $5 a million
    ("CloudWatch, X-Ray", "traces"): 8.737075,
}


def test_a_thousand_devices_by_hand() -> None:
    worked_out = {line: cost.dollars for line, cost in bill().items()}
    assert worked_out == {
        line: pytest.approx(by_hand, rel=1e-4) for line, by_hand in BY_HAND.items()
    }


def test_an_idle_environment_by_hand() -> None:
    """Without devices: the stream, the key, the alarms and the dashboard, and the cents of the key's users."""
    idle = {
        line: cost.dollars for line, cost in bill(devices=0, age_seconds=0).items() if cost.dollars
    }
    assert idle == {
        ("Kinesis", "stream"): pytest.approx(29.20),
        ("KMS", "keys"): pytest.approx(1.00),
        # 5 / 300 s * 2,628,000 s = 43,800 * $0.03 / 10,000
        ("KMS", "requests"): pytest.approx(0.1314),
        ("CloudWatch, X-Ray", "alarms"): pytest.approx(2.50),
        ("CloudWatch, X-Ray", "composite alarms"): pytest.approx(0.50),
        ("CloudWatch, X-Ray", "dashboards"): pytest.approx(3.00),
    }
    for shards in (None, 1):
        estimate = bill(devices=0, shard_count=shards, stream_retention_seconds=86_400)
        assert not [cost for cost in estimate.values() if not 0 <= cost.quantity < inf]
    # 730 h * $0.015
    assert estimate["Kinesis", "shards"].dollars == pytest.approx(10.95)
    assert ("Kinesis", "retention") not in estimate


@pytest.mark.parametrize(
    ("years", "rotations", "archive"),
    # one year of the archive is $0.90294, as above
    [(0, 0, 0), (1, 1, 0.90294), (2, 2, 1.80588), (3, 2, 2.70882), (10, 2, 9.0294)],
)
def test_the_archive_grows_each_year_and_two_rotations_are_charged(
    years: int, rotations: float, archive: float
) -> None:
    lines = bill(age_seconds=years * 365 * 86_400, retention_seconds=7 * 86_400)
    assert lines["KMS", "rotations"].dollars == pytest.approx(rotations)
    assert lines["S3", "storage"].dollars == pytest.approx(archive, rel=1e-4)
    week = bill(retention_seconds=7 * 86_400)["DynamoDB", "time-series storage"].dollars
    assert lines["DynamoDB", "time-series storage"].dollars == (week if years else 0)


def test_the_tables_grow_until_the_retention_ends() -> None:
    """A year of retention: after 73 days, a fifth of the 235.451 GB."""
    fifth = bill(age_seconds=73 * 86_400)
    assert fifth["DynamoDB", "time-series storage"].quantity == pytest.approx(47.090, rel=1e-4)
    assert fifth["DynamoDB", "device-state storage"].quantity == pytest.approx(0.00043958, rel=1e-3)


def test_five_readings_in_a_message_by_hand() -> None:
    """2006 bytes each 300 s, with brackets and commas: a fifth of the messages, and as many items as before."""
    packed, usual = bill(readings_per_message=5), bill()
    # 43.8e6 / 5 = 8.76 million messages, each one step of 5 KB
    assert packed["IoT Core", "messages"].dollars == pytest.approx(8.76)
    # 2 KB each: 8.76e6 * 2048 / 2^30 = 16.708 GB * $0.08
    assert packed["Kinesis", "data in"].dollars == pytest.approx(1.33667, rel=1e-4)
    # 8.76e6 * 5 KB = 41.771 GB * $0.029
    assert packed["Firehose", "data in"].dollars == pytest.approx(1.21136, rel=1e-4)
    for same in ("time-series writes", "time-series reads", "time-series storage"):
        assert packed["DynamoDB", same] == usual["DynamoDB", same]
    # each message is one write of the state: 8.76 million * $0.625
    assert packed["DynamoDB", "device-state writes"].dollars == pytest.approx(5.475)
    # 4 concurrent batches, 0.83333 messages/s each: 1 / (1 - e^-0.83333) = 1.76866 polls and 5 s have 5.64055 messages
    # of 28.2027 readings, so 0.590959 invocations/s or 1,553,041 a month
    # 5 + 0.5 * 28.2027 + 10 * (1 + 1) = 39.1014 ms; * 0.5 GB = 30,363 GB-s * $0.0000133334
    assert packed["Lambda", "duration"].dollars == pytest.approx(0.404842, rel=1e-4)


def test_provisioned_tables_by_hand() -> None:
    lines = bill(provisioned_tables=True)
    # 16.6667 units/s / 0.7 = 23.8, so 24 * 730 h * $0.00065
    for table in ("time-series", "device-state"):
        assert lines["DynamoDB", f"{table} writes"].dollars == pytest.approx(11.388)
    # 1000 * 67 / 86,400 s = 0.775 / 0.7, so 2; 1000 / 60 s * 0.5 = 8.33 / 0.7, so 12; * 730 h * $0.00013
    assert lines["DynamoDB", "time-series reads"].dollars == pytest.approx(0.1898)
    assert lines["DynamoDB", "device-state reads"].dollars == pytest.approx(1.1388)
    # 4 alarms for the reads and 4 for the writes of 2 tables, and the 25 others
    assert lines["CloudWatch, X-Ray", "alarms"].dollars == pytest.approx(4.10)
    # the peak decides: 50 / 0.7 = 71.4
    assert bill(provisioned_tables=True, peak=3)["DynamoDB", "time-series writes"].quantity == (
        pytest.approx(72 * 730)
    )
    # at least one of each
    assert (
        bill(provisioned_tables=True, devices=0)["DynamoDB", "device-state reads"].quantity == 730
    )


def test_the_class_infrequent_access_by_hand() -> None:
    rare = bill(infrequent_access=True)
    # 43.8 million * $0.78; 2.03792 million * $0.155; 235.451 GB * $0.10
    assert rare["DynamoDB", "time-series writes"].dollars == pytest.approx(34.164)
    assert rare["DynamoDB", "time-series reads"].dollars == pytest.approx(0.31588, rel=1e-4)
    assert rare["DynamoDB", "time-series storage"].dollars == pytest.approx(23.5451, rel=1e-4)
    both = bill(infrequent_access=True, provisioned_tables=True)
    # 24 * 730 h * $0.00081; 2 * 730 h * $0.00016
    assert both["DynamoDB", "time-series writes"].dollars == pytest.approx(14.1912)
    assert both["DynamoDB", "time-series reads"].dollars == pytest.approx(0.2336)
    usual = bill()
    for same in ("device-state writes", "device-state reads", "device-state storage", "recovery"):
        assert rare["DynamoDB", same] == usual["DynamoDB", same]


def test_an_interval_of_the_device_state_by_hand() -> None:
    """Every 60 s, at most each 620 s: a state is written when it is 660 s old, every 11th time."""
    lines = bill(device_state_interval_seconds=620)
    # 43.8 million / 11 * $0.625
    assert lines["DynamoDB", "device-state writes"].dollars == pytest.approx(2.48864, rel=1e-4)
    # half a unit for each of the 43.8 million, and the dashboard's 21.9 million: 43.8 million * $0.125
    assert lines["DynamoDB", "device-state reads"].dollars == pytest.approx(5.475)
    # one more call: 10 ms more than 37.5328
    assert lines["Lambda", "duration"].dollars == pytest.approx(
        0.437238 * 47.5328 / 37.5328, rel=1e-4
    )
    # a device is in a batch once each 6 s, however often it sends: at 7 s, the second time
    usage = estimate_usage(
        build_workload(
            devices=40, every_seconds=1, reading_bytes=400, device_state_interval_seconds=7
        )
    )
    assert usage.written_states == 1 / 2
    # 600 s: when it is 600 s or 660 s old
    even = build_workload(
        devices=1000, every_seconds=60, reading_bytes=400, device_state_interval_seconds=600
    )
    assert estimate_usage(even).written_states == pytest.approx(1 / 10.5)


def test_calls_for_the_states_that_are_not_recent() -> None:
    """Of 20 states each with a probability of 1/11: none at all in (10/11)^20 = 14.86 % of the batches."""
    calls = calls_per_batch(20, 20, 400, written=1 / 11, reads_states=True)
    assert (calls.time_series, calls.state_reads) == (1, 1)
    assert calls.device_state == pytest.approx(0.8514, abs=1e-4)
    # of 200 states, 100 on average: 4 calls for up to 100 of them, 5 for more
    half = calls_per_batch(200, 200, 400, written=0.5, reads_states=True)
    assert half.device_state == pytest.approx(4.5, abs=0.05)
    assert half.state_reads == 2
    assert calls_per_batch(200, 200, 400, written=0).device_state == 0


def test_without_a_device_state_table() -> None:
    lines, usual = bill(device_state=False), bill()
    assert not [what for _, what in lines if what.startswith("device-state")]
    # the dashboard's 21.9 million units read the newest readings
    assert lines["DynamoDB", "time-series reads"].quantity == pytest.approx(
        usual["DynamoDB", "time-series reads"].quantity + 21.9e6
    )
    # one call less: 10 ms less than 37.5328
    assert lines["Lambda", "duration"].dollars == pytest.approx(
        0.437238 * 27.5328 / 37.5328, rel=1e-4
    )
    # 4 / 300 s * 2,628,000 s = 35,040 and the 8758.25 objects
    assert lines["KMS", "requests"].quantity == pytest.approx(43_798.25)


def test_the_archive_in_glacier_by_hand() -> None:
    """A million devices: objects of 26 MB, a month in S3 Standard and eleven in Glacier Instant Retrieval."""
    lines = bill(devices=10**6, archive_transition_seconds=30 * 86_400)
    # 39,258 GB a year: 30 / 365 * $0.023, and 335 / 365 * $0.004
    assert lines["S3", "storage"].dollars == pytest.approx(74.214, rel=1e-4)
    assert lines["S3", "cold storage"].dollars == pytest.approx(144.126, rel=1e-4)
    # 0.04967 objects/s * 2,628,000 s = 130,534 * $0.02 / 1000
    assert lines["S3", "transitions"].dollars == pytest.approx(2.6107, rel=1e-3)
    # 1000 devices: 16.6667 * 401 * 0.2 * 300 s = 401 KB, which move; 100 devices: 40 KB, which S3 leaves
    assert ("S3", "cold storage") in bill(archive_transition_seconds=30 * 86_400)
    small = bill(devices=100, archive_transition_seconds=30 * 86_400)
    assert small["S3", "storage"] == bill(devices=100)["S3", "storage"]
    assert ("S3", "cold storage") not in small


def test_the_archive_ends_with_its_retention() -> None:
    quarter = bill(archive_retention_seconds=73 * 86_400, age_seconds=10 * 365 * 86_400)
    # a fifth of the 39.258 GB of a year
    assert quarter["S3", "storage"].quantity == pytest.approx(7.8516, rel=1e-4)


def test_fewer_traces_logs_and_objects() -> None:
    lines, usual = (
        bill(tracing=False, system_logs=False, buffering_interval_seconds=900),
        bill(),
    )
    assert lines["CloudWatch, X-Ray", "traces"].quantity == 0
    # 560 of 2048 bytes
    for what in ("logs", "log storage"):
        assert lines["CloudWatch, X-Ray", what].quantity == pytest.approx(
            usual["CloudWatch, X-Ray", what].quantity * 560 / 2048
        )
    # one each 900.06 s
    assert lines["S3", "objects"].quantity == pytest.approx(2919.81, rel=1e-5)


def test_steps_of_5_kb_and_of_1_kb() -> None:
    """5121 bytes are two messages, 6 KB on the stream, 10 KB for Firehose."""
    larger = bill(reading_bytes=5 * 1024 + 1)
    assert larger["IoT Core", "rule"].quantity == pytest.approx(2 * 43.8e6)
    assert larger["Kinesis", "data in"].quantity == pytest.approx(43.8e6 * 6 / 2**20)
    assert larger["Firehose", "data in"].quantity == pytest.approx(43.8e6 * 10 / 2**20)
    assert bill(reading_bytes=5 * 1024)["IoT Core", "rule"].quantity == pytest.approx(43.8e6)


def test_put_units_of_25_kb() -> None:
    assert bill(shard_count=2, reading_bytes=25 * 1024)["Kinesis", "PUT units"].quantity == (
        pytest.approx(43.8e6)
    )
    assert bill(shard_count=2, reading_bytes=25 * 1024 + 1)["Kinesis", "PUT units"].quantity == (
        pytest.approx(2 * 43.8e6)
    )


def test_a_device_that_is_often_in_a_batch_writes_its_state_once() -> None:
    """10 devices in each concurrent batch, each every second: 60 records in 6 polls, of 10 devices."""
    usage = estimate_usage(build_workload(devices=40, every_seconds=1, reading_bytes=400))
    assert usage.average.records == pytest.approx(60, rel=1e-4)
    assert usage.average.devices == 10
    series, state = usage.tables
    # 4 batches each 6 s, 10 states each
    assert state.writes == pytest.approx(6.6667, rel=1e-4)
    assert series.writes == pytest.approx(40)


def test_provisioned_shards_by_hand() -> None:
    """The same 1000 devices on two shards, with 8 days of retention."""
    lines = bill(shard_count=2, stream_retention_seconds=8 * 86_400)
    # 2 * 730 h * $0.015; 43.8 million PUT units * $0.014; 1460 h * $0.02
    assert lines["Kinesis", "shards"].dollars == pytest.approx(21.90)
    assert lines["Kinesis", "PUT units"].dollars == pytest.approx(0.6132)
    assert lines["Kinesis", "retention"].dollars == pytest.approx(29.20)
    # 16.6667 * 400 * 86,400 s / 2^30 = 0.53644 GB * $0.023
    assert lines["Kinesis", "long retention"].dollars == pytest.approx(0.012338, rel=1e-4)
    day = bill(shard_count=2, stream_retention_seconds=86_400)
    assert ("Kinesis", "retention") not in day


def test_a_million_devices_on_provisioned_shards() -> None:
    usage = estimate_usage(
        build_workload(devices=1_000_000, every_seconds=60, reading_bytes=400, shard_count=21)
    )
    # 21 * 730 * ($0.015 + $0.02) + 43,800 * $0.014
    assert total(c for c in list_costs(usage) if c.service == "Kinesis") == pytest.approx(1149.75)


@pytest.mark.parametrize(
    ("devices", "shards"),
    # records/s / 1000 / 0.8: 20.8; 0.99; exactly 1, of which 80 % are used; none
    [(1_000_000, 21), (47_999, 1), (48_000, 2), (0, 1)],
)
def test_provisioned_shards_are_used_by_less_than_80_percent(devices: int, shards: int) -> None:
    fleet = build_workload(devices=devices, every_seconds=60, reading_bytes=400)
    assert provisioned_shards(fleet) == shards


@pytest.mark.parametrize(
    ("price", "quantity", "by_hand"),
    [
        # 1000 * $1 + 4000 * $0.80 + 1000 * $0.70
        (prices.IOT_MESSAGES, 6e9, 4900),
        # 500 TB * $0.029 + 500 TB * $0.025, in GB
        (prices.FIREHOSE_GB, 1000 * 1024, 27_648),
        # 7.5e9 * 0.0000133334 + 2.5e9 * 0.0000120001
        (prices.LAMBDA_GB_SECONDS, 10e9, 130_000.75),
        # 10 TB * $0.50 + 20 TB * $0.25 + 20 TB * $0.10 + 10 TB * $0.05
        (prices.LOG_GB, 60 * 1024, 12_800),
        (prices.KMS_REQUESTS, 20_000, 0.06),
        (prices.S3_PUTS, 0, 0),
    ],
)
def test_steps(price: Price, quantity: float, by_hand: float) -> None:
    assert price.dollars(quantity) == pytest.approx(by_hand)


def test_every_price_has_a_unit_a_source_of_aws_and_steps_in_order() -> None:
    every = {name: each for name, each in vars(prices).items() if isinstance(each, Price)}
    assert len(every) > 25
    for name, price in every.items():
        assert price.source.startswith("https://aws.amazon.com/"), name
        assert price.unit, name
        assert price.seen, name
        ends = [end for end, _ in price.tiers]
        assert ends == sorted(ends), name
        assert ends[-1] == inf, name


def test_the_smallest_and_the_largest_fleet() -> None:
    one = bill(devices=1, every_seconds=3600)
    # 730 messages; only one concurrent batch has a device, and each message is a batch but for one in 655, which comes
    # within the 5.5 s of another
    assert one["Lambda", "requests"].quantity == pytest.approx(730 / 1.001528, rel=1e-5)
    # 2,628,000 s / (300 + 3600) s, as if messages came at random
    assert one["S3", "objects"].quantity == pytest.approx(673.846)
    assert one["DynamoDB", "device-state writes"].quantity == pytest.approx(730, rel=2e-3)
    # 5 + 0.5 + 10 * (1 + 1) ms, at half a GB
    assert one["Lambda", "duration"].quantity == pytest.approx(730 * 0.0255 / 2, rel=2e-3)
    usage = estimate_usage(build_workload(devices=10**8, every_seconds=60, reading_bytes=400))
    # 1,666,667 records/s, twice 1000 a shard
    assert usage.shards == 3334
    # 100 a batch, full: 499.9 records/s in each concurrent batch
    assert usage.average.records == 100
    assert usage.average.per_second == pytest.approx(16_666.67)
    # of 1,666,667 * 400 bytes in buffers of 128 MiB
    assert usage.objects == pytest.approx(4.967, rel=1e-3)
    # 1 + 5 % of the rest
    assert usage.traces == pytest.approx(834.3, rel=1e-3)


def test_calls_of_batches_whose_sizes_vary() -> None:
    """25.07 records on average: some batches have up to 25, one call, and the others two."""
    usage = estimate_usage(build_workload(devices=1000, every_seconds=60, reading_bytes=400))
    assert 1.4 < usage.average.calls.time_series < 1.6
    assert usage.average.calls.device_state == usage.average.calls.time_series
    full = estimate_usage(
        build_workload(devices=1000, every_seconds=60, reading_bytes=400, batch_size=20)
    )
    assert full.average.calls.time_series == 1


def test_what_limits_a_batch() -> None:
    def records(**workload: Any) -> float:
        settings = {"devices": 10**6, "every_seconds": 60, "reading_bytes": 400, **workload}
        return estimate_usage(build_workload(**settings)).average.records

    assert records() == SETTINGS["batch_size"]
    assert records(batch_size=7) == 7
    # 34 concurrent batches of 490.2 records/s; without a window, those of one poll
    assert records(batch_size=10_000, batching_window_seconds=0) == pytest.approx(490.2, rel=1e-3)
    assert records(batch_size=10_000, batching_window_seconds=2) == pytest.approx(1470.6, rel=1e-3)
    # ten batches of a shard at a time
    assert records(batch_size=10_000, parallelization_factor=10) == pytest.approx(294.1, rel=1e-3)
    # 100,000 bytes are 133,336 in base64, and 600: 46 of them in 6 MB
    assert records(reading_bytes=100_000, shard_count=100) == 46


fleets = st.integers(0, 10**8)


@st.composite
def workloads(draw: st.DrawFn) -> dict[str, Any]:
    """Any settings under which a device sends at most once in a window."""
    window = draw(st.floats(0, 300))
    return {
        "every_seconds": draw(st.floats(max(window, 1), 86_400)),
        "batching_window_seconds": window,
        "reading_bytes": draw(st.integers(1, 2000)),
        "readings_per_message": draw(st.integers(1, 20)),
        "batch_size": draw(st.integers(1, 10_000)),
        "parallelization_factor": draw(st.integers(1, 10)),
        "shard_count": draw(st.none() | st.integers(1, 1000)),
        "peak": draw(st.floats(1, 10)),
        "retention_seconds": draw(st.floats(86_400, 10 * 365 * 86_400)),
        "age_seconds": draw(st.floats(0, 30 * 365 * 86_400)),
        "provisioned_tables": draw(st.booleans()),
        "infrequent_access": draw(st.booleans()),
        "device_state_interval_seconds": draw(st.none() | st.floats(1, 86_400)),
        "archive_retention_seconds": draw(st.none() | st.floats(120 * 86_400, 3650 * 86_400)),
        "archive_transition_seconds": draw(st.none() | st.just(30 * 86_400)),
        "stream_retention_seconds": draw(st.floats(86_400, 365 * 86_400)),
    }


def _not_cheaper(more: float, fewer: float) -> None:
    assert more >= fewer * (1 - 1e-9)


@settings(max_examples=300, deadline=None)
@given(workload=workloads(), fleet=fleets, more=fleets)
def test_more_devices_are_never_cheaper(workload: dict[str, Any], fleet: int, more: int) -> None:
    fewer, more = sorted((fleet, more))
    _not_cheaper(dollars(devices=more, **workload), dollars(devices=fewer, **workload))


@settings(max_examples=200, deadline=None)
@given(
    workload=workloads(),
    devices=fleets,
    larger=st.sampled_from(
        [
            "reading_bytes",
            "retention_seconds",
            "stream_retention_seconds",
            "memory_mb",
            "age_seconds",
        ]
    ),
    factor=st.floats(1, 3),
)
def test_more_of_anything_is_never_cheaper(
    workload: dict[str, Any], devices: int, larger: str, factor: float
) -> None:
    few = {**workload, "memory_mb": 512}
    most = {"stream_retention_seconds": 365 * 86_400}
    value = min(few[larger] * factor, most.get(larger, inf))
    many = {**few, larger: type(few[larger])(value)}
    _not_cheaper(dollars(devices=devices, **many), dollars(devices=devices, **few))


@settings(max_examples=200, deadline=None)
@given(workload=workloads(), devices=fleets)
def test_every_figure_is_finite_and_no_bill_negative(
    workload: dict[str, Any], devices: int
) -> None:
    usage = estimate_usage(build_workload(devices=devices, **workload))
    for cost in list_costs(usage):
        assert 0 <= cost.quantity < inf, cost
        assert cost.dollars >= 0, cost
    assert usage.average.devices <= usage.average.records <= usage.workload.batch_size
    series, state = usage.tables
    assert state.writes <= series.writes * (1 + 1e-9)
