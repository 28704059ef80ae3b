"""The ranked levers, the cheapest configuration, and its program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import aws_cdk as cdk
import pytest

from iot_constructs.cli.planning.costs import monthly_cost, total
from iot_constructs.cli.planning.levers import (
    LEAST_SAVING,
    OPTIMIZED,
    OTHERS,
    Lever,
    optimize,
    rank_others,
)
from iot_constructs.cli.planning.limits import list_limits
from iot_constructs.cli.planning.peers import USUAL, peer_costs
from iot_constructs.cli.planning.program import write_program
from iot_constructs.cli.planning.quotas import TABLE_WRITE_UNITS
from iot_constructs.cli.planning.usage import estimate_usage
from iot_constructs.cli.planning.workload import Workload
from tests.constructor_keywords import keywords
from tests.synth_support import fresh_app

DAY = 86_400
FLEETS: list[dict[str, Any]] = [
    {"devices": 0},
    {"devices": 10},
    {"devices": 1000},
    {"devices": 100_000, "every_seconds": 10},
    {"devices": 10**6},
    {"devices": 10**6, "peak": 3, "reading_bytes": 3000},
    {"devices": 10**6, "retention_seconds": 30 * DAY, "archive_retention_seconds": 365 * DAY},
    {"devices": 10**7, "readings_per_message": 5},
    {"devices": 5000, "every_seconds": 1, "shard_count": 30, "parallelization_factor": 4},
    # a lever that saves most at first, and nothing beside the others
    {"devices": 127, "every_seconds": 5.6, "reading_bytes": 200, "peak": 3},
]
SENT = {"devices", "every_seconds", "reading_bytes", "readings_per_message"}
KEPT = {
    *("stream_retention_seconds", "retention_seconds", "archive_retention_seconds"),
    *("device_state", "age_seconds", "stored_bytes", "queries_per_day", "dashboard_seconds"),
}


def fleet(settings: Mapping[str, Any]) -> Workload:
    return Workload(**{"every_seconds": 60, "reading_bytes": 400, **settings})


def arguments(lever: Lever, workload: Workload) -> list[tuple[str, str]]:
    return re.findall(r"\b([A-Z]\w+)\((\w+)=", lever.line(workload))


def exists(lever: Lever) -> bool:
    """Whether the constructs have the arguments of a lever."""
    line = arguments(lever, fleet({"devices": 10**6, "shard_count": 21}))
    return all(is_known(construct, argument) for construct, argument in line)


def is_known(construct: str, argument: str) -> bool:
    inherited = keywords("StreamProcessor") if construct == "TelemetryProcessor" else []
    return argument in (*keywords(construct), *inherited)


def full(workload: Workload) -> set[str]:
    return {limit.name for limit in list_limits(estimate_usage(workload)) if limit.is_full}


@pytest.mark.parametrize("settings", FLEETS, ids=str)
def test_the_cheapest_configuration_keeps_data_devices_and_limits(
    settings: dict[str, Any],
) -> None:
    workload = fleet(settings)
    steps = optimize(workload)
    optimized = steps[-1].workload if steps else workload
    for name in SENT | KEPT:
        assert getattr(optimized, name) == getattr(workload, name), name
    assert full(optimized) <= full(workload)
    assert monthly_cost(optimized) <= monthly_cost(workload)
    # neither one more nor one less is cheaper by the least saving
    names = [step.lever.name for step in steps]
    for lever in OPTIMIZED:
        some = [each for each in OPTIMIZED if (each.name in names) != (each is lever)]
        other = apply(workload, some)
        if full(other) <= full(workload):
            change = LEAST_SAVING if lever.name in names else -LEAST_SAVING
            assert monthly_cost(other) + 1e-6 >= monthly_cost(optimized) + change, lever.name


def apply(workload: Workload, levers: Sequence[Lever]) -> Workload:
    for lever in levers:
        try:
            workload = lever.apply(workload)
        except ValueError:
            continue
    return workload


@pytest.mark.parametrize("settings", [FLEETS[2], FLEETS[6], FLEETS[9]], ids=str)
def test_no_other_choice_is_cheaper(settings: dict[str, Any]) -> None:
    workload = fleet(settings)
    allowed, found = full(workload), optimize(workload)
    for count in range(len(OPTIMIZED) + 1):
        for some in combinations(OPTIMIZED, count):
            other = apply(workload, some)
            cost = monthly_cost(other) + LEAST_SAVING * count
            assert (
                cost + 1e-6 >= found[-1].cost + LEAST_SAVING * len(found)
                or not full(other) <= allowed
            ), some


@pytest.mark.parametrize("settings", FLEETS, ids=str)
def test_each_bill_is_after_the_lever_and_all_before_it(settings: dict[str, Any]) -> None:
    workload = fleet(settings)
    steps = optimize(workload)
    others = rank_others(steps[-1].workload if steps else workload)
    before, names = monthly_cost(workload), list[str]()
    for step in (*steps, *others):
        assert step.cost == pytest.approx(monthly_cost(step.workload))
        assert step.saved == pytest.approx(before - step.cost)
        before = step.cost
        names.append(step.lever.name)
    assert len(names) == len(set(names))
    # at each step, no other lever that is still to come saves more
    for chosen, start in ((steps, workload), (others, steps[-1].workload if steps else workload)):
        for position, step in enumerate(chosen):
            of = OPTIMIZED if chosen is steps else OTHERS
            done = [each.lever.name for each in chosen[:position]]
            for later in chosen[position + 1 :]:
                some = [each for each in of if each.name in (*done, later.lever.name)]
                assert monthly_cost(apply(start, some)) >= step.cost - 1e-6
    assert all(step.saved >= LEAST_SAVING for step in others)


def test_a_lever_that_fills_a_limit_is_not_chosen() -> None:
    """60 % of the quota of a table: provisioned with 70 % utilization it would be 86 %."""
    near = fleet({"devices": 10**6, "every_seconds": 1 / 0.024, "stored_bytes": 500})
    assert estimate_usage(near).tables[0].peak_writes == pytest.approx(24_000)
    assert "provisioned tables" not in [step.lever.name for step in optimize(near)]
    below = fleet({"devices": 10**6})
    assert "provisioned tables" in [step.lever.name for step in optimize(below)]


def test_provisioned_shards_come_with_the_parallelization_that_keeps_up() -> None:
    """21 shards with one batch of 100 each at a time would be busy 2.4 times as long as there is; three, 79 %."""
    few = fleet({"devices": 10**6, "shard_count": 21, "batch_size": 100})
    assert estimate_usage(few).busy_share == pytest.approx(166.667 / 21 * 0.075, rel=1e-3)
    slow = fleet({"devices": 10**6, "invocation_milliseconds": 300})
    chosen = {step.lever.name: step for step in optimize(slow)}["provisioned stream"]
    assert (chosen.workload.shard_count, chosen.workload.parallelization_factor) == (21, 3)
    assert "parallelization_factor=3" in chosen.line


def test_the_targets_for_a_million_devices() -> None:
    """30 days of readings by key, and a year of records in the archive."""
    today = fleet({"devices": 10**6, "retention_seconds": 365 * DAY})
    same = fleet(FLEETS[6])
    optimized = optimize(same)[-1].cost
    assert optimized / monthly_cost(same) <= 0.45
    assert optimized / total(peer_costs(USUAL, same)) <= 0.3
    assert optimized / monthly_cost(today) <= 0.25


def test_the_lines_have_arguments_of_the_constructs() -> None:
    workload = fleet({"devices": 10**6, "shard_count": 21})
    named = {lever.name: arguments(lever, workload) for lever in (*OPTIMIZED, *OTHERS)}
    without = {name for name, found in named.items() if not found}
    assert without == {"5 readings per message", "no device-state table"}
    found = {each for arguments in named.values() for each in arguments}
    unknown = {each for each in found if not is_known(*each)}
    assert unknown <= {
        ("TelemetryProcessor", "device_state_interval"),
        ("StreamArchive", "transitions"),
        ("StreamArchive", "retention"),
    }
    assert len(found - unknown) >= 10


@pytest.mark.parametrize("settings", FLEETS, ids=str)
def test_the_program_of_the_cheapest_configuration_is_an_app(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the levers whose arguments the constructs have."""
    if "retention" not in keywords("StreamArchive"):
        settings = {**settings, "archive_retention_seconds": None}
    workload = fleet(settings)
    steps = optimize(workload, [lever for lever in OPTIMIZED if exists(lever)])
    optimized = steps[-1].workload if steps else workload
    template = synthesize("\n".join(write_program(optimized)), monkeypatch)
    resources: dict[str, list[dict[str, Any]]] = {}
    for resource in template["Resources"].values():
        resources.setdefault(resource["Type"], []).append(resource["Properties"])
    [stream] = resources["AWS::Kinesis::Stream"]
    assert stream.get("ShardCount") == optimized.shard_count
    assert stream["RetentionPeriodHours"] == optimized.stream_retention_seconds / 3600
    [mapping] = resources["AWS::Lambda::EventSourceMapping"]
    assert mapping["BatchSize"] == optimized.batch_size
    assert mapping["ParallelizationFactor"] == optimized.parallelization_factor
    assert mapping["MaximumBatchingWindowInSeconds"] == optimized.batching_window_seconds
    tables = resources["AWS::DynamoDB::GlobalTable"]
    modes = {"PROVISIONED" if optimized.provisioned_tables else "PAY_PER_REQUEST"}
    assert {table["BillingMode"] for table in tables} == modes
    if optimized.provisioned_tables:
        capacity = {
            table["WriteProvisionedThroughputSettings"]["WriteCapacityAutoScalingSettings"][
                "MinCapacity"
            ]
            for table in tables
        }
        assert capacity == {table.write_capacity for table in estimate_usage(optimized).tables}
    classes = {table["Replicas"][0].get("TableClass") for table in tables}
    assert ("STANDARD_INFREQUENT_ACCESS" in classes) == optimized.infrequent_access
    functions = [f for f in resources["AWS::Lambda::Function"] if "TracingConfig" in f]
    assert bool(functions) == optimized.tracing
    levels = [
        f.get("LoggingConfig", {}).get("SystemLogLevel") for f in resources["AWS::Lambda::Function"]
    ]
    assert ("WARN" in levels) == (not optimized.system_logs)
    [delivery] = resources["AWS::KinesisFirehose::DeliveryStream"]
    hints = delivery["ExtendedS3DestinationConfiguration"]["BufferingHints"]
    assert hints["IntervalInSeconds"] == optimized.buffering_interval_seconds


def synthesize(program: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the program, and return the template of its stack."""
    app = fresh_app()
    monkeypatch.setattr(cdk, "App", lambda: app)
    exec(compile(program, "app.py", "exec"), {"__name__": "__main__"})
    template: dict[str, Any] = app.synth().stacks[0].template
    return template


def test_the_program_has_every_setting_that_is_not_a_default() -> None:
    workload = Workload(
        devices=10**6,
        every_seconds=60,
        reading_bytes=400,
        basic_ingest=True,
        batch_size=200,
        batching_window_seconds=0.5,
        parallelization_factor=4,
        memory_mb=1024,
        tracing=False,
        system_logs=False,
        shard_count=50,
        stream_retention_seconds=36 * 3600,
        retention_seconds=30 * DAY,
        provisioned_tables=True,
        infrequent_access=True,
        device_state_interval_seconds=600,
        archive_retention_seconds=365 * DAY,
        archive_transition_seconds=60 * DAY,
        buffering_interval_seconds=900,
    )
    program = "\n".join(write_program(workload))
    for line in (
        "shard_count=50,",
        "retention_period=cdk.Duration.hours(36),",
        "retention=cdk.Duration.days(30),",
        "retention=cdk.Duration.days(365),",
        "device_state_interval=cdk.Duration.minutes(10),",
        "batch_size=200,",
        "parallelization_factor=4,",
        "memory_size=1024,",
        "max_batching_window=cdk.Duration.millis(500),",
        "transition_after=cdk.Duration.days(60),",
        "buffering_interval=cdk.Duration.minutes(15),",
        "basic_ingest=True,",
    ):
        assert f"    {line}\n" in program, line
    plain = "\n".join(write_program(fleet({"devices": 1})))
    assert "Duration" not in plain
    assert "dynamodb" not in plain
    without = "\n".join(write_program(replace(fleet({"devices": 1}), device_state=False)))
    assert "DeviceStateTable" in plain
    assert "DeviceStateTable" not in without
    assert "device_state_table" not in without


def test_the_program_scales_no_table_beyond_the_quota_of_a_table() -> None:
    """With an item of 1 KB, a table takes a write unit for each message a second."""
    highest = {}
    for devices in (10_000, 1_500_000, 3_000_000):
        workload = replace(fleet({"devices": devices}), provisioned_tables=True)
        [(least, most), *_] = re.findall(
            r"write_capacity=.*\n +min_capacity=(\d+),\n +max_capacity=(\d+),",
            "\n".join(write_program(workload)),
        )
        highest[int(least)] = int(most)
    small, near, above = sorted(highest)
    assert highest[small] == 2 * small
    assert near < TABLE_WRITE_UNITS.value < 2 * near
    assert highest[near] == TABLE_WRITE_UNITS.value
    assert highest[above] == above > TABLE_WRITE_UNITS.value
