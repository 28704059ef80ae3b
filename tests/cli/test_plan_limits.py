"""How full a limit is, in which order, and that what remediations it exists."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs.cli.planning import assumptions, quotas
from iot_constructs.cli.planning.limits import Limit, list_limits
from iot_constructs.cli.planning.plan_report import format_warnings
from iot_constructs.cli.planning.quotas import Quota
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.processor import handler
from iot_constructs.processor.batches import Outcome
from tests.cli.workloads import build_workload
from tests.constructor_keywords import keywords
from tests.synth_support import fresh_app, template_of


def limits(**workload: Any) -> dict[str, Limit]:
    settings = {"devices": 10**6, "every_seconds": 60, "reading_bytes": 400, **workload}
    return {limit.name: limit for limit in list_limits(estimate_usage(build_workload(**settings)))}


# A million devices, 400 bytes a minute: 16,666.7 messages/s of 416 bytes with their key.
SHARES_BY_HAND = {
    "IoT Core: messages": 16_666.7 / 20_000,
    "IoT Core: rule": 16_666.7 / 20_000,
    "IoT Core: connections": 2,
    "IoT Core: one device": 1 / 60 / 100,
    # by records: 6.6 MB/s are 1.65 of 4
    "Kinesis: a new on-demand stream": 16_666.7 / 4000,
    "Kinesis: an on-demand stream": 16_666.7 * 416 / 2**20 / 10_240,
    "Kinesis: one device's partition key": 1 / 60 / 1000,
    # 2 * 16,667 / 1000 = 33.3, so 34 shards
    "Lambda: concurrency during catch-up": 34 / 1000,
    # 166.67 invocations/s in 34 concurrent batches, of 5 + 50 + 10 * (1 + 1) = 75 ms: the calls to a table at a time
    "Lambda: busy concurrent batches": 166.667 / 34 * 0.075,
    "Lambda: duration of an invocation": 0.075 / 60,
    "DynamoDB: time-series table": 16_666.7 / 40_000,
    "DynamoDB: device-state table": 16_666.7 / 40_000,
    "DynamoDB: a new table": 16_666.7 / 4000,
    "DynamoDB: one device's partition": 1 / 60 / 1000,
    # 16,666.7 * 400 bytes in buffers of 128 MiB, and 5 / 300 s for the others
    "S3: objects per prefix": 16_666.7 * 400 / 2**27 / 3500,
    "KMS: requests": (16_666.7 * 400 / 2**27 + 5 / 300) / 100_000,
}


def test_a_million_devices_by_hand() -> None:
    assert {name: limit.share for name, limit in limits().items()} == {
        name: pytest.approx(share, rel=1e-4) for name, share in SHARES_BY_HAND.items()
    }


def test_the_highest_usage_is_first_and_a_peak_raises_all_but_the_connections() -> None:
    average, peak = limits(), limits(peak=3)
    for of in (average, peak):
        shares = [limit.share for limit in of.values()]
        assert shares == sorted(shares, reverse=True)
    assert peak["IoT Core: messages"].share == pytest.approx(2.5, rel=1e-4)
    assert peak["DynamoDB: a new table"].share == pytest.approx(12.5, rel=1e-4)
    assert peak["S3: objects per prefix"].share == pytest.approx(3 * 0.04967 / 3500, rel=1e-3)
    assert peak["KMS: requests"].used == pytest.approx(3 * (0.04967 + 5 / 300), rel=1e-3)
    assert peak["IoT Core: connections"].share == 2


def test_provisioned_shards_have_limits_of_their_own() -> None:
    tight = limits(shard_count=15)
    # 16,667 / 15 records/s of 1000
    assert tight["Kinesis: one shard"].share == pytest.approx(1.1111, rel=1e-4)
    assert "MonitoredStream(shard_count=21)" in tight["Kinesis: one shard"].remediation
    assert limits(shard_count=21)["Kinesis: one shard"].share < 0.8
    assert "Kinesis: a new on-demand stream" not in tight
    # by bytes: 16,667 * 5016 bytes are 79.7 MB/s
    by_bytes = limits(shard_count=100, reading_bytes=5000)["Kinesis: one shard"]
    assert by_bytes.unit == "MB/s"
    assert by_bytes.share == pytest.approx(0.7973, rel=1e-3)


def test_provisioned_tables_have_limits_of_their_own() -> None:
    of = limits(provisioned_tables=True)
    # 16,667 units/s / 0.7 = 23,809.5
    assert of["DynamoDB: time-series table"].used == 23_810
    assert of["DynamoDB: all provisioned tables"].share == pytest.approx(47_620 / 80_000)
    assert of["DynamoDB: provisioned capacity"].share == pytest.approx(0.7, rel=1e-3)
    assert "DynamoDB: a new table" not in of
    assert "DynamoDB: all provisioned tables" not in limits()


def test_a_longer_invocation_uses_more_time_per_batch_and_a_higher_factor_less() -> None:
    slow = limits(invocation_milliseconds=1000)["Lambda: busy concurrent batches"]
    assert slow.share == pytest.approx(166.667 / 34, rel=1e-4)
    wide = limits(invocation_milliseconds=1000, parallelization_factor=10)
    assert wide["Lambda: busy concurrent batches"].share == pytest.approx(166.667 / 340, rel=1e-4)
    assert wide["Lambda: concurrency during catch-up"].share == pytest.approx(0.34)


def test_one_device_that_sends_too_fast() -> None:
    hot = limits(devices=1, every_seconds=0.002, reading_bytes=3000)
    assert hot["IoT Core: one device"].share == 5
    # 500/s * 3016 bytes are 1.438 MB/s
    assert hot["Kinesis: one device's partition key"].share == pytest.approx(1.438, rel=1e-3)
    # 69 + 0.78 * 3000 = 2409 bytes are 3 units
    assert hot["DynamoDB: one device's partition"].share == pytest.approx(1.5)
    # 500 * 3 units a second; of the state, one write of 3 units for each 100
    assert hot["DynamoDB: time-series table"].used == pytest.approx(1500)
    assert hot["DynamoDB: device-state table"].used == pytest.approx(15)
    assert hot["DynamoDB: a new table"].used == pytest.approx(1500)


def test_warnings_begin_at_80_percent_with_the_highest_usage() -> None:
    full = list(format_warnings(list(limits().values())))
    assert full[0] == "limits that are used by 80% or more, highest first:"
    assert full[1].startswith("- Kinesis: a new on-demand stream (417%): ")
    assert sum(line.startswith("- ") for line in full) == 5
    # 800 records/s of the 4,000 that a new stream accepts
    calm = list(format_warnings(list(limits(devices=800, every_seconds=1).values())))
    assert calm[0] == "no limit is used by 80% or more; the highest is"
    assert calm[1] == "Kinesis: a new on-demand stream (20%)"
    at = 400_000  # of 500,000 connections, and everything else below
    only = "\n".join(format_warnings(list(limits(devices=at, every_seconds=3600).values())))
    assert only.count("\n- ") == 1
    assert "- IoT Core: connections (80%): request an increase of 'Maximum concurrent" in only
    below = "\n".join(format_warnings(list(limits(devices=at - 1, every_seconds=3600).values())))
    assert below.startswith("no limit is used by 80% or more")


@pytest.mark.parametrize("shards", [None, 20])
def test_the_arguments_in_remediations_exist(shards: int | None) -> None:
    remediations = [limit.remediation for limit in limits(shard_count=shards).values()]
    assert all(remediations)
    named = re.findall(r"\b([A-Z]\w+)\((\w+)=", " ".join(remediations))
    assert len(named) >= 5
    for construct, argument in named:
        assert argument in keywords(construct), f"{construct}({argument}=)"


def test_every_quota_has_a_page_of_aws() -> None:
    every = {name: each for name, each in vars(quotas).items() if isinstance(each, Quota)}
    assert len(every) > 15
    for name, quota in every.items():
        assert quota.source.startswith("https://docs.aws.amazon.com/"), name
        assert quota.unit, name


def test_the_example_has_what_the_plan_counts() -> None:
    resources = template_of(IotPipelineStack(fresh_app(), "Ours", environment_suffix="prod"))[
        "Resources"
    ]

    def of(kind: str) -> list[dict[str, Any]]:
        return [each["Properties"] for each in resources.values() if each["Type"] == kind]

    alarms = of("AWS::CloudWatch::Alarm")
    metrics = [
        sum("MetricStat" in each for each in alarm.get("Metrics", [])) or 1 for alarm in alarms
    ]
    assert sum(metrics) == assumptions.ALARM_METRICS
    assert len(of("AWS::CloudWatch::CompositeAlarm")) == assumptions.COMPOSITE_ALARMS
    assert len(of("AWS::CloudWatch::Dashboard")) == assumptions.DASHBOARDS
    assert len(of("AWS::KMS::Key")) == assumptions.KEYS
    consumers = of("AWS::Lambda::EventSourceMapping") + of("AWS::KinesisFirehose::DeliveryStream")
    assert len(consumers) == assumptions.CONSUMERS
    # the mapping and Firehose, the rule; and a table's key for each table
    assert (
        len(consumers) + len(of("AWS::IoT::TopicRule")) + len(of("AWS::DynamoDB::GlobalTable"))
        == assumptions.KEY_USERS
    )
    # Each object, table and record is under that key, and the bucket requests it periodically.
    [key_settings] = [
        bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        for bucket in of("AWS::S3::Bucket")
        if "KMS" in json.dumps(bucket["BucketEncryption"]).upper()
    ]
    assert key_settings["BucketKeyEnabled"] is True


def test_the_function_emits_as_many_metrics_as_the_plan_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    handler._report(Outcome(stored=100), 100, "iot-stream-processor-prod")
    printed = capsys.readouterr().out
    assert len(printed) == pytest.approx(assumptions.METRIC_LOG_BYTES, rel=0.05)
    lines = [json.loads(line) for line in printed.splitlines()]
    [emitted] = [line["_aws"]["CloudWatchMetrics"] for line in lines if "_aws" in line]
    assert sum(len(each["Metrics"]) for each in emitted) == assumptions.CUSTOM_METRICS
