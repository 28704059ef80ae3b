"""The report of a plan, as text of 80 columns and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from iot_constructs.cli.planning import MONTH_SECONDS, prices, quotas
from iot_constructs.cli.planning.costs import (
    DYNAMODB,
    KMS,
    S3,
    SERVICES,
    Cost,
    by_service,
    list_costs,
    monthly_cost,
    total,
)
from iot_constructs.cli.planning.levers import Step, optimize, rank_others
from iot_constructs.cli.planning.limits import Limit, list_limits
from iot_constructs.cli.planning.peers import PEERS, peer_costs, peer_usage
from iot_constructs.cli.planning.program import write_program
from iot_constructs.cli.planning.usage import FULL_SHARE, TIME_SERIES, Usage, estimate_usage
from iot_constructs.cli.planning.workload import Workload

WIDTH: Final = 80
MONTHS: Final = (1, 12, 24, 36)
_ROUNDED_FROM = 100
_THOUSANDTH = 0.001
_ONE_PERCENT = 0.01
_TIMES_FROM, _TIMES_TO = 100, 999
_SCIENTIFIC_FROM = 10**8
_OTHERS_HEADING = "not part of --optimize: they change the devices, or the data that is kept"


def as_text(usage: Usage, *, compare: bool) -> Iterator[str]:
    """Return the lines of the report."""
    costs, limits, workload = list_costs(usage), list_limits(usage), usage.workload
    steps = optimize(workload)
    yield from _head(usage)
    yield ""
    yield from _table([("monthly cost", "quantity", "unit", "USD"), *_cost_rows(costs)])
    yield ""
    yield from _levers(workload, steps)
    yield "For the program with the first list: --optimize"
    yield ""
    yield from _growth(workload)
    yield ""
    yield from _comparison(workload, steps, by_service=compare)
    yield ""
    yield from _table(
        [
            ("quota at peak", "used", "limit", "unit", "usage"),
            *(_limit_row(each) for each in limits),
        ]
    )
    yield ""
    yield from format_warnings(limits)
    yield from _wrap(f"note: {quotas.NEW_ACCOUNTS}")


def as_optimized_text(workload: Workload) -> Iterator[str]:
    """Return the cheapest configuration: its levers, its cost, its limits and its program."""
    steps = optimize(workload)
    optimized = _last(workload, steps)
    yield from _levers(workload, steps)
    yield ""
    yield from _growth(optimized)
    yield ""
    yield from _comparison(workload, steps)
    yield ""
    yield from format_warnings(list_limits(estimate_usage(optimized)))
    yield ""
    yield "app.py:"
    yield ""
    yield from write_program(optimized)


def format_warnings(limits: Sequence[Limit]) -> Iterator[str]:
    """Return the limits that are reached first, and their remediation."""
    full = [limit for limit in limits if limit.is_full]
    if not full:
        first = limits[0]
        yield f"no limit is used by {FULL_SHARE:.0%} or more; the highest is"
        yield f"{first.name} ({percent(first.share)})"
        return
    yield f"limits that are used by {FULL_SHARE:.0%} or more, highest first:"
    for limit in full:
        yield from _wrap(f"- {limit.name} ({percent(limit.share)}): {limit.remediation}", "  ")


def as_json(workload: Workload) -> dict[str, Any]:
    """Return all values of the report, and their sources. The package has its schema: ``plan.schema.json``."""
    usage = estimate_usage(workload)
    costs, steps = list_costs(usage), optimize(workload)
    optimized = _last(workload, steps)
    batch = usage.average
    return {
        "region": prices.REGION,
        "prices_read": prices.READ,
        "workload": asdict(workload),
        "messages_per_second": workload.messages_per_second,
        "readings_per_second": workload.readings_per_second,
        "item_bytes": workload.item_bytes,
        "stream": {
            "mode": "on-demand" if workload.shard_count is None else "provisioned",
            "shards": usage.shards,
            "peak_mb_per_second": usage.peak_mb_per_second,
        },
        "function": {
            "concurrent_batches": usage.concurrent_batches,
            "records_per_batch": batch.records,
            "devices_per_batch": batch.devices,
            "invocations_per_second": batch.per_second,
            "milliseconds": batch.milliseconds,
            "calls_per_batch": asdict(batch.calls),
        },
        "tables": [
            {
                "name": table.name,
                "write_units_per_second": table.writes,
                "read_units_per_second": table.reads,
                "stored_gb": usage.stored_gb[table.name],
            }
            for table in usage.tables
        ],
        "objects_per_second": usage.objects,
        "archived_bytes_per_second": usage.archived_bytes,
        "kms_requests_per_second": usage.key_calls,
        "costs": [_cost_as_json(cost) for cost in costs],
        "dollars_per_month_by_service": by_service(costs),
        "dollars_per_month": total(costs),
        "growth": [
            {"month": month, "dollars_per_month": monthly_cost(_aged(workload, month))}
            for month in MONTHS
        ],
        "optimized": {
            "levers": [_step_as_json(step) for step in steps],
            "workload": asdict(optimized),
            "dollars_per_month": monthly_cost(optimized),
            "program": "\n".join(write_program(optimized)) + "\n",
        },
        "other_levers": [_step_as_json(step) for step in rank_others(optimized)],
        "compared": [
            {
                "name": peer.name,
                "dollars_per_month_by_service": by_service(peer_costs(peer, workload)),
                "dollars_per_month": total(peer_costs(peer, workload)),
            }
            for peer in PEERS
        ],
        "limits": [
            {**asdict(limit), "share": limit.share, "full": limit.is_full}
            for limit in list_limits(usage)
        ],
        "notes": [quotas.NEW_ACCOUNTS],
    }


def number(value: float) -> str:
    """Format with three significant digits, and all digits before the decimal point of less than 100 million."""
    if abs(value) >= _SCIENTIFIC_FROM:
        return f"{value:.2e}"
    if value == int(value) or abs(value) >= _ROUNDED_FROM:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= _THOUSANDTH else f"<{_THOUSANDTH}"


def percent(share: float) -> str:
    """Format a usage; from 100 times the limit on, as a multiple of it."""
    if share >= _TIMES_FROM:
        return f"{share:.0f}x" if share < _TIMES_TO else f">{_TIMES_TO}x"
    return f"{share:,.0%}" if share >= _ONE_PERCENT else "under 1%"


def dollars(amount: float) -> str:
    """Format an amount; without cents from 100 USD."""
    if abs(amount) >= 10 * _SCIENTIFIC_FROM:
        return f"{amount:.3e}"
    return f"{amount:,.0f}" if abs(amount) >= _ROUNDED_FROM else f"{amount:,.2f}"


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _last(workload: Workload, steps: Sequence[Step]) -> Workload:
    return steps[-1].workload if steps else workload


def _aged(workload: Workload, months: int) -> Workload:
    return replace(workload, age_seconds=months * MONTH_SECONDS)


def _head(usage: Usage) -> Iterator[str]:
    workload, batch = usage.workload, usage.average
    mode = "on-demand, about" if workload.shard_count is None else "provisioned,"
    several = f" of {workload.readings_per_message} readings"
    calls = f"{number(batch.calls.time_series)} to the time-series table"
    if workload.device_state:
        calls += f", {number(batch.calls.device_state)} for the state of {_pluralize(batch.devices, 'device')}"
    if batch.calls.state_reads:
        calls += f", {number(batch.calls.state_reads)} to read states"
    units = (
        f"{number(table.writes)} write units/s and {number(table.reads)} read units/s {table.name}"
        for table in usage.tables
    )
    kept = "nothing expires"
    if workload.archive_retention_seconds is not None:
        kept = f"kept for {workload.archive_retention_seconds / 86_400:,.0f} days"
    rows = [
        ("devices", f"{workload.devices:,}, {number(workload.messages_per_second)} messages/s"),
        (
            "message",
            f"{workload.message_bytes:,} bytes{several if workload.readings_per_message > 1 else ''}; "
            f"each reading is stored as an item of {workload.item_bytes:,} bytes",
        ),
        (
            "stream",
            f"{mode} {_pluralize(usage.shards, 'shard')}; {number(usage.peak_mb_per_second)} MB/s at peak",
        ),
        (
            "function",
            f"{number(batch.per_second)} invocations/s of {_pluralize(batch.records, 'record')}, "
            f"{batch.milliseconds:.0f} ms each; {number(batch.per_second * batch.milliseconds / 1000)} concurrent "
            f"of at most {usage.concurrent_batches:,}",
        ),
        ("calls", f"{number(batch.calls.total)} per batch: {calls}"),
        ("tables", "; ".join(units)),
        (
            "storage",
            f"{number(usage.stored_gb[TIME_SERIES])} GB of readings and {number(sum(usage.archive_gb))} GB in the "
            f"archive after {workload.age_seconds / 86_400:,.0f} days (--age)",
        ),
        ("archive", f"{_pluralize(usage.objects * 3600, 'object')} per hour; {kept}"),
        ("KMS", f"{number(usage.key_calls * 3600)} requests per hour"),
        ("prices", f"{prices.REGION}, list prices without free tiers, as of {prices.READ}"),
    ]
    for name, text in rows:
        yield from _wrap(f"{name:<10} {text}", " " * 11)


def _pluralize(value: float, noun: str) -> str:
    return f"{number(value)} {noun}" if number(value) == "1" else f"{number(value)} {noun}s"


def _cost_rows(costs: Sequence[Cost]) -> Iterator[tuple[str, ...]]:
    sums = by_service(costs)
    for service in SERVICES:
        if sums[service]:
            yield service, "", "", dollars(sums[service])
        for cost in costs:
            if cost.service == service and cost.dollars:
                yield (
                    f"  {cost.what}",
                    number(cost.quantity / cost.price.per),
                    cost.price.label,
                    dollars(cost.dollars),
                )
    yield "total", "", "", dollars(total(costs))


def _levers(workload: Workload, steps: Sequence[Step]) -> Iterator[str]:
    yield f"{'levers, at each step the largest saving':<44}{'saves $/month':>17}{'bill after':>19}"
    yield f"{'as planned':<61}{dollars(monthly_cost(workload)):>19}"
    yield from _steps(steps, 1)
    if not steps:
        yield "(none saves a dollar)"
    others = rank_others(_last(workload, steps))
    if others:
        yield _OTHERS_HEADING
        yield from _steps(others, len(steps) + 1)


def _steps(steps: Sequence[Step], first: int) -> Iterator[str]:
    for position, step in enumerate(steps, first):
        name = f"{position:>2}. {step.lever.name}"
        yield f"{name:<44}{dollars(step.saved):>17}{dollars(step.cost):>19}"
        for line in step.line.splitlines():
            yield f"    {line}"
        yield from _wrap(f"    gives up: {step.lever.gives_up}", " " * 14)


def _growth(workload: Workload) -> Iterator[str]:
    bills = [by_service(list_costs(estimate_usage(_aged(workload, each)))) for each in MONTHS]
    rows = [("monthly cost by age in months", *map(str, MONTHS))]
    for name in (DYNAMODB, S3, KMS):
        rows.append((name, *(dollars(bill.pop(name)) for bill in bills)))
    rows.append(("all others", *(dollars(sum(bill.values())) for bill in bills)))
    rows.append(("total", *(dollars(monthly_cost(_aged(workload, each))) for each in MONTHS)))
    yield from _table(rows)


def _comparison(
    workload: Workload, steps: Sequence[Step], *, by_service: bool = False
) -> Iterator[str]:
    if by_service:
        yield from _table(list(compare(workload, _last(workload, steps))))
        return
    bills = [
        ("as planned", monthly_cost(workload)),
        ("optimized", monthly_cost(_last(workload, steps))),
        *((peer.name, total(peer_costs(peer, workload))) for peer in PEERS),
    ]
    parts = (f"{name} ${dollars(cost)}" for name, cost in bills)
    yield from _wrap(f"the same data, per month: {'; '.join(parts)} (--compare)", "  ")


def compare(workload: Workload, optimized: Workload) -> Iterator[tuple[str, ...]]:
    """Return the rows of a table with the planned, the optimized and the peers' cost, and whether they keep up."""
    usages = [estimate_usage(each) for each in (workload, optimized)]
    bills = [list_costs(usage) for usage in usages]
    usages += [peer_usage(peer, workload) for peer in PEERS]
    bills += [peer_costs(peer, workload) for peer in PEERS]
    sums = [by_service(costs) for costs in bills]
    yield "the same data, USD", "as planned", "optimized", "usual", "Solutions"
    for service in SERVICES:
        yield service, *(dollars(each[service]) for each in sums)
    yield "total", *(dollars(total(costs)) for costs in bills)
    yield "busy concurrent batches", *(percent(usage.busy_share) for usage in usages)


def _limit_row(limit: Limit) -> tuple[str, ...]:
    return (
        limit.name,
        number(limit.used),
        number(limit.limit),
        limit.unit,
        percent(limit.share),
    )


def _cost_as_json(cost: Cost) -> dict[str, Any]:
    return {
        "service": cost.service,
        "what": cost.what,
        "quantity": cost.quantity,
        "unit": cost.price.unit,
        "dollars_per_month": cost.dollars,
        "source": cost.price.source,
        "seen": cost.price.seen,
    }


def _step_as_json(step: Step) -> dict[str, Any]:
    return {
        "name": step.lever.name,
        "line": step.line,
        "gives_up": step.lever.gives_up,
        "saved_dollars_per_month": step.saved,
        "dollars_per_month": step.cost,
    }


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Align columns; numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = [_is_number(column) for column in zip(*rows[1:], strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _is_number(column: Sequence[str]) -> bool:
    return all(not cell or cell[0].isdigit() or cell.startswith(("<", "under")) for cell in column)
