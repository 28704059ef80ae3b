"""Generates docs/scale.md from the model of the plan: ``python -m docs.generate_scale``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from docs import api_defaults, api_text
from iot_constructs import _defaults as defaults
from iot_constructs.cli import planning
from iot_constructs.cli.planning import assumptions, prices, quotas
from iot_constructs.cli.planning import peers as peer_pipelines
from iot_constructs.cli.planning.costs import (
    DYNAMODB,
    KMS,
    S3,
    SERVICES,
    by_service,
    list_costs,
    monthly_cost,
    total,
)
from iot_constructs.cli.planning.levers import Step, optimize, rank_others
from iot_constructs.cli.planning.limits import list_limits
from iot_constructs.cli.planning.peers import PEERS, peer_costs
from iot_constructs.cli.planning.plan_report import MONTHS, compare, dollars, number, percent
from iot_constructs.cli.planning.prices import Price
from iot_constructs.cli.planning.quotas import Quota
from iot_constructs.cli.planning.usage import FULL_SHARE, Usage, estimate_usage
from iot_constructs.cli.planning.workload import Workload

SCALE_MD = Path(__file__).parent / "scale.md"
EVERY_SECONDS, READING_BYTES = 60, 400
FLEETS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
ONE_FLEET = 10**6
PACKS = (1, 5, 10, 20)
RETENTIONS = (7, 30, 90, 365)
LEVER_RETENTION_DAYS, LEVER_ARCHIVE_DAYS = 30, 365

_INTRODUCTION = """\
<!-- Written by docs/generate_scale.py from src/iot_constructs/cli/planning: change that, then run `make docs`. -->
# Cost and service quotas

```
iot-constructs plan --devices 1e6 --every 60s --bytes 400
```

estimates the resource usage, the monthly cost and the quota usage for a fleet and settings of your own. This page has
the estimates for devices that send {bytes} bytes every {every} seconds, with the defaults of the constructs and the
processor of [the example](../examples/iot_pipeline/README.md). The command needs no credentials, Node.js or network;
`--optimize` prints the cheapest configuration and its program, `--compare` the cost of other pipelines, and `--json`
all values with their sources. For the settings that affect the cost, see [the guide](guide/cost-and-scale.md).

`tests/cli/test_plan_counts.py` runs the processor behind the models of Kinesis and Lambda, and compares the
invocations, calls, units, items and objects that it counts with the model, within 5 %. The costs are compared with
manual calculations, not with an AWS bill."""
_COSTS = """\
## Monthly cost

In US dollars: list prices of us-east-1 without free tiers, as of {read}. The storage of the tables is estimated for the
time after one retention period of {days} days; before, it is lower. The pipeline is one year old."""
_RETENTION = """\
Monthly cost by `TimeSeriesTable(retention=)` for {devices} devices:"""
_GROWTH = """\
What grows is what is stored: the tables until the retention ends, and the archive, of which nothing expires by default.
The key rotates once a year; its first and second rotation cost $1 a month each
([AWS KMS pricing](https://aws.amazon.com/kms/pricing/)). Monthly cost by age (`--age`) for {devices} devices:"""
_LEVERS = """\
## Levers

What lowers the cost of {devices} devices, and what it gives up, with {days} days of readings by key
(`--retention {days}d`) and a year of records in the archive (`--archive-retention 1y`). Each bill is after the lever
and all before it. `iot-constructs plan --optimize` chooses from the first table and prints the program. It keeps all
data as long as before, changes nothing on the devices but their topic (Basic Ingest), and uses no limit by {full} or
more that is not before."""
_OTHER_LEVERS = """\
What changes the devices, or what data is kept for how long, is not a part of `--optimize`:"""
_COMPARISON = """\
## Other pipelines

The same fleet, and the same data kept for the same time ({days} days by key, a year in the archive):"""
_IDLE = """\
## An idle environment

The monthly cost of an environment to which no device sends (`--devices 0 --age 30d`): with the stream in on-demand
mode, with one provisioned shard, and with that of an ephemeral stack (`--ephemeral`): one shard that retains records
for 24 hours."""
_LIMITS = """\
## Quota usage

For an even load; for peaks, use `--peak`. Bold is {full} or more, where `plan` warns. The quotas are the defaults of
us-east-1, as of {read}; most can be increased, which takes time. The duration of an invocation is an estimate unless
you specify a measured one with `--invocation-ms`.

{new_accounts}
([Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html))."""
_PACKED = """\
## Several readings per message

The same readings of {devices} devices, combined on the device to an array. The processor stores each reading as an
item; the state is that of the newest."""
_SOURCES = """\
## Prices

The price tables of aws.amazon.com are loaded by the browser. Each price was read from a copy, which the last column
names."""


def scale_md() -> str:
    """Return the content of the file."""
    return "\n\n".join(_parts()) + "\n"


def _parts() -> Iterator[str]:
    fleets = [_usage(devices) for devices in FLEETS]
    heading = ("", *(f"{devices:,}" for devices in FLEETS))
    yield _INTRODUCTION.format(bytes=READING_BYTES, every=EVERY_SECONDS)
    yield "## Resource usage"
    yield api_text.table(heading, _taken(fleets))
    days = int(fleets[0].workload.retention_seconds // planning.DAY_SECONDS)
    yield _COSTS.format(read=prices.READ, days=days)
    yield api_text.table(heading, _costs(fleets))
    yield _RETENTION.format(devices=f"{ONE_FLEET:,}")
    yield api_text.table(("days", *map(str, RETENTIONS)), _retentions())
    yield _GROWTH.format(devices=f"{ONE_FLEET:,}")
    yield api_text.table(("months", *map(str, MONTHS)), _growth())
    yield from _lever_parts()
    yield _IDLE
    yield api_text.table(("", "on-demand", "one shard", "ephemeral"), _idle())
    yield _LIMITS.format(
        read=quotas.READ,
        full=f"{FULL_SHARE:.0%}",
        new_accounts=f"N{quotas.NEW_ACCOUNTS[1:]}",
    )
    yield api_text.table(heading, _full(fleets))
    yield api_text.table(("limit", "value", "remediation"), _remediations(fleets[-1]))
    yield _PACKED.format(devices=f"{ONE_FLEET:,}")
    yield api_text.table(("readings in a message", *map(str, PACKS)), _packed())
    yield "## The model"
    yield (
        planning.__doc__.replace("`peak`", "`--peak`").replace("``", "`")
        if planning.__doc__
        else ""
    )
    yield api_text.table(("assumption", "value", "description"), _assumed())
    yield _SOURCES
    yield api_text.table(("price", "$", "unit", "page; copy"), _prices())
    yield "## Quotas"
    yield api_text.table(("quota", "value", "page"), _quotas())


def _usage(devices: int, **settings: Any) -> Usage:
    fleet: dict[str, Any] = {
        "devices": devices,
        "every_seconds": EVERY_SECONDS,
        "reading_bytes": READING_BYTES,
    }
    return estimate_usage(Workload(**fleet, **settings))


_TAKEN: dict[str, Callable[[Usage], float]] = {
    "messages/s": lambda usage: usage.workload.messages_per_second,
    "MB/s on the stream": lambda usage: usage.peak_mb_per_second,
    "shards, about": lambda usage: usage.shards,
    "records per batch": lambda usage: usage.average.records,
    "invocations/s": lambda usage: usage.average.per_second,
    "concurrent invocations": lambda usage: (
        usage.average.per_second * usage.average.milliseconds / 1000
    ),
    "DynamoDB calls per batch": lambda usage: usage.average.calls.total,
    "write units/s, time series": lambda usage: usage.tables[0].writes,
    "write units/s, device state": lambda usage: usage.tables[1].writes,
    "read units/s": lambda usage: sum(table.reads for table in usage.tables),
    "archived objects per hour": lambda usage: usage.objects * 3600,
    "KMS requests per hour": lambda usage: usage.key_calls * 3600,
}


def _taken(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    for name, of in _TAKEN.items():
        yield name, *(number(of(usage)) for usage in fleets)


def _costs(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    bills = [list_costs(usage) for usage in fleets]
    for service in SERVICES:
        yield service, *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**total**", *(f"**{dollars(total(bill))}**" for bill in bills)
    each = (total(bill) / devices for bill, devices in zip(bills, FLEETS, strict=True))
    yield "per device", *(f"{amount:.3f}" for amount in each)


def _full(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    shares = [{limit.name: limit for limit in list_limits(usage)} for usage in fleets]
    for name in shares[-1]:  # in the order of the largest fleet
        yield (
            name,
            *(
                f"**{percent(limit.share)}**" if limit.is_full else percent(limit.share)
                for limit in (of_fleet[name] for of_fleet in shares)
            ),
        )


def _remediations(usage: Usage) -> Iterator[tuple[str, ...]]:
    for limit in list_limits(usage):
        remediation = limit.remediation.replace(
            f"shard_count={_count_in(limit.remediation)}", "shard_count="
        )
        yield limit.name, f"{number(limit.limit)} {limit.unit}", api_text.cell(remediation)


def _count_in(remediation: str) -> str:
    return remediation.partition("shard_count=")[2].partition(")")[0]


def _retentions() -> Iterator[tuple[str, ...]]:
    bills = [
        list_costs(_usage(ONE_FLEET, retention_seconds=days * planning.DAY_SECONDS))
        for days in RETENTIONS
    ]
    yield DYNAMODB, *(dollars(by_service(bill)[DYNAMODB]) for bill in bills)
    yield "**total**", *(f"**{dollars(total(bill))}**" for bill in bills)


def _growth() -> Iterator[tuple[str, ...]]:
    bills = [
        list_costs(_usage(ONE_FLEET, age_seconds=months * planning.MONTH_SECONDS))
        for months in MONTHS
    ]
    for service in (DYNAMODB, S3, KMS):
        yield service, *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**total**", *(f"**{dollars(total(bill))}**" for bill in bills)


def _lever_parts() -> Iterator[str]:
    workload = _usage(
        ONE_FLEET,
        retention_seconds=LEVER_RETENTION_DAYS * planning.DAY_SECONDS,
        archive_retention_seconds=LEVER_ARCHIVE_DAYS * planning.DAY_SECONDS,
    ).workload
    steps = optimize(workload)
    optimized = steps[-1].workload
    heading = ("lever", "saves $", "bill $", "arguments", "gives up")
    yield _LEVERS.format(
        devices=f"{ONE_FLEET:,}", days=LEVER_RETENTION_DAYS, full=f"{FULL_SHARE:.0%}"
    )
    planned = ("as planned", "", dollars(monthly_cost(workload)), "", "")
    yield api_text.table(heading, [planned, *map(_lever_row, steps)])
    yield _OTHER_LEVERS
    yield api_text.table(heading, [_lever_row(step) for step in rank_others(optimized)])
    cost = steps[-1].cost
    bills = {
        "optimized": cost,
        "the other defaults": monthly_cost(workload),
        f"all defaults, {defaults.TIME_SERIES_RETENTION_DAYS} days by key": monthly_cost(
            _usage(ONE_FLEET).workload
        ),
        "a year by key": monthly_cost(
            replace(workload, retention_seconds=365 * planning.DAY_SECONDS)
        ),
        **{peer.name: total(peer_costs(peer, workload)) for peer in PEERS},
    }
    yield api_text.table(
        ("pipeline", "$ a month", "optimized / this"),
        ((name, dollars(bill), f"{cost / bill:.2f}") for name, bill in bills.items()),
    )
    yield _COMPARISON.format(days=LEVER_RETENTION_DAYS)
    first, *rows = compare(workload, optimized)
    yield api_text.table(first, rows)
    yield (peer_pipelines.__doc__ or "").partition("\n\n")[2].strip()


def _lever_row(step: Step) -> tuple[str, ...]:
    line = " ".join(f"`{part}`" for part in step.line.splitlines())
    return (
        step.lever.name,
        dollars(step.saved),
        dollars(step.cost),
        line.replace("|", r"\|"),
        step.lever.gives_up,
    )


def _idle() -> Iterator[tuple[str, ...]]:
    day = {"shard_count": 1, "stream_retention_seconds": planning.DAY_SECONDS}
    bills = [
        list_costs(_usage(0, age_seconds=30 * planning.DAY_SECONDS, **settings))
        for settings in ({}, {"shard_count": 1}, day)
    ]
    for service in SERVICES:
        if total(cost for cost in bills[0] if cost.service == service):
            yield service, *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**total**", *(f"**{dollars(total(bill))}**" for bill in bills)


def _packed() -> Iterator[tuple[str, ...]]:
    usages = [_usage(ONE_FLEET, readings_per_message=readings) for readings in PACKS]
    for name in ("messages/s", "write units/s, time series", "write units/s, device state"):
        yield name, *(number(_TAKEN[name](usage)) for usage in usages)
    bills = [list_costs(usage) for usage in usages]
    for service in SERVICES:
        yield f"{service}, $", *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**total**, $", *(f"**{dollars(total(bill))}**" for bill in bills)
    full = (sum(limit.is_full for limit in list_limits(usage)) for usage in usages)
    yield f"limits used by {FULL_SHARE:.0%} or more", *map(str, full)


def _assumed() -> Iterator[tuple[str, ...]]:
    for row in api_defaults.read(Path(assumptions.__file__)).values():
        yield api_text.code(row.name), str(row.value), api_text.cell(row.reason)


def _prices() -> Iterator[tuple[str, ...]]:
    for name, price in vars(prices).items():
        if isinstance(price, Price):
            tiers = ", then ".join(
                f"{each:.10f}".rstrip("0").rstrip(".") for _, each in price.tiers
            )
            page = f"[{price.source.removeprefix('https://')}]({price.source})"
            yield (
                api_text.code(name),
                tiers,
                price.label,
                f"{page}; {price.seen}",
            )


def _quotas() -> Iterator[tuple[str, ...]]:
    for name, quota in vars(quotas).items():
        if isinstance(quota, Quota):
            page = quota.source.removeprefix("https://docs.aws.amazon.com/")
            yield (
                api_text.code(name),
                f"{number(quota.value)} {quota.unit}",
                f"[{page}]({quota.source})",
            )


if __name__ == "__main__":
    SCALE_MD.write_text(scale_md(), encoding="utf-8")
