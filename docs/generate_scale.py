"""Writes docs/scale.md from the model of the plan: ``python -m docs.generate_scale``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from docs.render import cell, render
from iot_constructs import _defaults as defaults
from iot_constructs.cli import planning
from iot_constructs.cli.planning import costs, peers, prices, quotas
from iot_constructs.cli.planning.costs import SERVICES, by_service, list_costs, monthly_cost, total
from iot_constructs.cli.planning.levers import Step, optimize, rank_others
from iot_constructs.cli.planning.limits import list_limits
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
LEVER_RETENTION_DAYS = 30
DAY = planning.DAY_SECONDS

Rows = Iterator[tuple[str, ...]]
Bill = list[costs.Cost]

_USAGE: dict[str, Callable[[Usage], float]] = {
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


def scale_md() -> str:
    """Return the content of the file."""
    fleets = [_usage(devices) for devices in FLEETS]
    bills = [list_costs(usage) for usage in fleets]
    packed = [_usage(ONE_FLEET, readings_per_message=readings) for readings in PACKS]
    ephemeral = {"shard_count": 1, "stream_retention_seconds": DAY}
    idle = [_usage(0, age_seconds=30 * DAY, **each) for each in ({}, {"shard_count": 1}, ephemeral)]
    return render(
        "scale.md.jinja",
        bytes=READING_BYTES,
        every=EVERY_SECONDS,
        devices=f"{ONE_FLEET:,}",
        days=int(fleets[0].workload.retention_seconds // DAY),
        lever_days=LEVER_RETENTION_DAYS,
        full=f"{FULL_SHARE:.0%}",
        prices_read=prices.READ,
        quotas_read=quotas.READ,
        new_accounts=f"N{quotas.NEW_ACCOUNTS[1:]}",
        peers=(peers.__doc__ or "").partition("\n\n")[2].strip(),
        model=(planning.__doc__ or "").replace("`peak`", "`--peak`").replace("``", "`").strip(),
        fleets=("", *(f"{devices:,}" for devices in FLEETS)),
        usage=_numbers(_USAGE, fleets),
        costs=_bills(SERVICES, bills),
        per_device=[f"{total(bill) / n:.3f}" for bill, n in zip(bills, FLEETS, strict=True)],
        retentions=list(RETENTIONS),
        by_retention=_bills([costs.DYNAMODB], _each("retention_seconds", RETENTIONS, DAY)),
        months=list(MONTHS),
        by_age=_bills(
            [costs.DYNAMODB, costs.S3, costs.KMS],
            _each("age_seconds", MONTHS, planning.MONTH_SECONDS),
        ),
        **_levers(),
        idle=_bills(SERVICES, [list_costs(usage) for usage in idle], zero=False),
        shares=_shares(fleets),
        remediations=_remediations(fleets[-1]),
        packs=list(PACKS),
        packed=_packed(packed),
        prices=_prices(),
        quotas=_quotas(),
    )


def _usage(devices: int, **settings: Any) -> Usage:
    fleet = {"every_seconds": EVERY_SECONDS, "reading_bytes": READING_BYTES, **settings}
    return estimate_usage(Workload(devices=devices, **fleet))


def _each(setting: str, values: Sequence[float], unit: float) -> list[Bill]:
    return [list_costs(_usage(ONE_FLEET, **{setting: value * unit})) for value in values]


def _numbers(names: Sequence[str] | dict[str, Any], usages: Sequence[Usage]) -> Rows:
    for name in names:
        yield name, *(number(_USAGE[name](usage)) for usage in usages)


def _bills(
    services: Sequence[str], bills: Sequence[Bill], unit: str = "", *, zero: bool = True
) -> Rows:
    for service in services:
        if zero or by_service(bills[0]).get(service):
            yield f"{service}{unit}", *(dollars(by_service(bill)[service]) for bill in bills)
    yield f"**total**{unit}", *(f"**{dollars(total(bill))}**" for bill in bills)


def _shares(fleets: Sequence[Usage]) -> Rows:
    shares = [{limit.name: limit for limit in list_limits(usage)} for usage in fleets]
    for name in shares[-1]:  # in the order of the largest fleet
        limits = [of_fleet[name] for of_fleet in shares]
        texts = [(percent(limit.share), limit.is_full) for limit in limits]
        yield name, *(f"**{text}**" if full else text for text, full in texts)


def _remediations(usage: Usage) -> Rows:
    for limit in list_limits(usage):
        remediation = re.sub(r"(shard_count=)[^)]*", r"\1", limit.remediation)
        yield limit.name, f"{number(limit.limit)} {limit.unit}", cell(remediation)


def _packed(usages: Sequence[Usage]) -> Rows:
    names = ["messages/s", "write units/s, time series", "write units/s, device state"]
    yield from _numbers(names, usages)
    yield from _bills(SERVICES, [list_costs(usage) for usage in usages], ", $")
    full = (sum(limit.is_full for limit in list_limits(usage)) for usage in usages)
    yield f"limits used by {FULL_SHARE:.0%} or more", *map(str, full)


def _levers() -> dict[str, Any]:
    kept = {"retention_seconds": LEVER_RETENTION_DAYS * DAY, "archive_retention_seconds": 365 * DAY}
    workload = _usage(ONE_FLEET, **kept).workload
    steps = optimize(workload)
    optimized, cost = steps[-1].workload, steps[-1].cost
    days = defaults.TIME_SERIES_RETENTION_DAYS
    bills = {
        "optimized": cost,
        "the other defaults": monthly_cost(workload),
        f"all defaults, {days} days by key": monthly_cost(_usage(ONE_FLEET).workload),
        "a year by key": monthly_cost(replace(workload, retention_seconds=365 * DAY)),
        **{peer.name: total(peers.peer_costs(peer, workload)) for peer in peers.PEERS},
    }
    return {
        "levers": ("lever", "saves $", "bill $", "arguments", "gives up"),
        "planned": dollars(monthly_cost(workload)),
        "chosen": map(_lever, steps),
        "others": map(_lever, rank_others(optimized)),
        "bills": [(name, dollars(bill), f"{cost / bill:.2f}") for name, bill in bills.items()],
        "comparison": list(compare(workload, optimized)),
    }


def _lever(step: Step) -> tuple[str, ...]:
    lines = cell(" ".join(f"`{part}`" for part in step.line.splitlines()))
    return step.lever.name, dollars(step.saved), dollars(step.cost), lines, step.lever.gives_up


def _prices() -> Rows:
    for name, price in vars(prices).items():
        if isinstance(price, Price):
            tiers = (f"{each:.10f}".rstrip("0").rstrip(".") for _, each in price.tiers)
            page = f"[{price.source.removeprefix('https://')}]({price.source})"
            yield f"`{name}`", ", then ".join(tiers), price.label, f"{page}; {price.seen}"


def _quotas() -> Rows:
    for name, quota in vars(quotas).items():
        if isinstance(quota, Quota):
            page = quota.source.removeprefix("https://docs.aws.amazon.com/")
            yield f"`{name}`", f"{number(quota.value)} {quota.unit}", f"[{page}]({quota.source})"


if __name__ == "__main__":
    SCALE_MD.write_text(scale_md(), encoding="utf-8")
