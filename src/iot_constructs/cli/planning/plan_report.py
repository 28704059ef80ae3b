"""The report of a plan, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from iot_constructs.cli.planning import prices, quotas
from iot_constructs.cli.planning.costs import (
    FULL_SHARE,
    SERVICES,
    Cost,
    StreamMode,
    list_costs,
    list_stream_modes,
    total,
)
from iot_constructs.cli.planning.limits import Limit, list_limits
from iot_constructs.cli.planning.usage import Usage

NOT_KNOWN = "price unknown"
_ROUNDED_FROM = 100
_THOUSANDTH = 0.001


def as_text(usage: Usage) -> Iterator[str]:
    """Return the lines of the report."""
    costs, limits = list_costs(usage), list_limits(usage)
    yield from _head(usage)
    yield ""
    yield from _table([("monthly cost", "quantity", "unit", "USD"), *_cost_rows(costs)])
    yield ""
    yield from _modes(list_stream_modes(usage))
    yield ""
    yield from _table(
        [
            ("quota at peak", "used", "limit", "unit", "usage"),
            *(_limit_row(each) for each in limits),
        ]
    )
    yield ""
    yield from format_warnings(limits)
    yield "note:"
    yield f"- {quotas.NEW_ACCOUNTS}"


def format_warnings(limits: Sequence[Limit]) -> Iterator[str]:
    """Return the limits that are reached first, and their remediation."""
    full = [limit for limit in limits if limit.is_full]
    if not full:
        first = limits[0]
        yield f"no limit is used by {FULL_SHARE:.0%} or more; the highest is {first.name} ({percent(first.share)})"
        return
    yield f"limits that are used by {FULL_SHARE:.0%} or more, highest first:"
    for limit in full:
        yield f"- {limit.name} ({percent(limit.share)}): {limit.remediation}"


def as_json(usage: Usage) -> dict[str, Any]:
    """Return all values of the report, and their sources."""
    costs, workload = list_costs(usage), usage.workload
    return {
        "region": prices.REGION,
        "prices_read": prices.READ,
        "workload": asdict(workload),
        "messages_per_second": workload.messages_per_second,
        "item_bytes": workload.item_bytes,
        "stream": {
            "mode": "on-demand" if workload.shard_count is None else "provisioned",
            "shards": usage.shards,
            "peak_mb_per_second": usage.peak_mb_per_second,
        },
        "function": {
            "concurrent_batches": usage.concurrent_batches,
            "records_per_batch": usage.average.records,
            "devices_per_batch": usage.average.devices,
            "invocations_per_second": usage.average.per_second,
            "milliseconds": usage.average.milliseconds,
            "calls_per_batch": asdict(usage.average.calls),
        },
        "tables": {
            "time_series_write_units_per_second": usage.time_series_units,
            "device_state_write_units_per_second": usage.device_state_units,
        },
        "objects_per_second": usage.objects,
        "archived_gb_per_year": usage.archived_gb_per_year,
        "kms_requests_per_second": usage.key_calls,
        "costs": [_cost_as_json(cost) for cost in costs],
        "dollars_by_service": by_service(costs),
        "dollars": total(costs),
        "stream_modes": [
            {"mode": mode.name, "dollars": mode.dollars, "complete": mode.complete}
            for mode in list_stream_modes(usage)
        ],
        "limits": [
            {**asdict(limit), "share": limit.share, "full": limit.is_full}
            for limit in list_limits(usage)
        ],
        "notes": [quotas.NEW_ACCOUNTS],
    }


def by_service(costs: Sequence[Cost]) -> dict[str, float]:
    """Return the monthly cost by service."""
    return {
        service: total(cost for cost in costs if cost.service == service) for service in SERVICES
    }


def number(value: float) -> str:
    """Format with three significant digits, and all digits before the decimal point."""
    if value == int(value) or abs(value) >= _ROUNDED_FROM:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= _THOUSANDTH else f"<{_THOUSANDTH}"


def percent(share: float) -> str:
    """Format a usage."""
    return f"{share:,.0%}" if share >= _ONE_PERCENT else "under 1%"


_ONE_PERCENT = 0.01


def dollars(amount: float | None) -> str:
    """Format an amount; without cents from 100 USD."""
    if amount is None:
        return NOT_KNOWN
    return f"{amount:,.0f}" if amount >= _ROUNDED_FROM else f"{amount:,.2f}"


def _head(usage: Usage) -> Iterator[str]:
    workload, batch = usage.workload, usage.average
    mode = "on-demand, about" if workload.shard_count is None else "provisioned,"
    rows = [
        ("devices", f"{workload.devices:,}, {number(workload.messages_per_second)} messages/s"),
        (
            "message",
            f"{workload.message_bytes:,} bytes, stored as an item of {workload.item_bytes:,} bytes",
        ),
        (
            "stream",
            f"{mode} {usage.shards:,} shards; {number(usage.peak_mb_per_second)} MB/s at peak",
        ),
        (
            "function",
            f"{number(batch.per_second)} invocations/s of {_pluralize(batch.records, 'record')}, "
            f"{batch.milliseconds:.0f} ms each; {number(batch.per_second * batch.milliseconds / 1000)} concurrent "
            f"of at most {usage.concurrent_batches:,}",
        ),
        (
            "calls",
            f"{batch.calls.total} per batch: {batch.calls.time_series} to the time-series table, "
            f"{batch.calls.device_state} for the state of {_pluralize(batch.devices, 'device')}",
        ),
        (
            "writes",
            f"{number(usage.time_series_units)} units/s time series, "
            f"{number(usage.device_state_units)} units/s device state",
        ),
        (
            "archive",
            f"{_pluralize(usage.objects * 3600, 'object')} per hour; nothing expires: "
            f"{number(usage.archived_gb_per_year)} GB more each year (--years {workload.years})",
        ),
        ("KMS", f"{number(usage.key_calls * 3600)} requests per hour"),
        ("prices", f"{prices.REGION}, list prices without free tiers, as of {prices.READ}"),
    ]
    for name, text in rows:
        yield f"{name:<10} {text}"


def _pluralize(value: float, noun: str) -> str:
    return f"{number(value)} {noun}" if number(value) == "1" else f"{number(value)} {noun}s"


def _cost_rows(costs: Sequence[Cost]) -> Iterator[tuple[str, ...]]:
    sums = by_service(costs)
    for service in SERVICES:
        yield service, "", "", dollars(sums[service])
        for cost in costs:
            if cost.service == service:
                yield (
                    f"  {cost.what}",
                    number(cost.quantity / cost.price.per),
                    cost.price.unit,
                    dollars(cost.dollars),
                )
    yield "total", "", "", dollars(total(costs))


def _modes(modes: Sequence[StreamMode]) -> Iterator[str]:
    yield "capacity modes of the stream:"
    planned = modes[0]
    for mode in modes:
        note = "" if mode.complete else f", without retention ({NOT_KNOWN})"
        word = (
            "planned"
            if mode is planned
            else ("cheaper" if mode.dollars < planned.dollars else "more expensive")
        )
        yield f"- {mode.name}: ${dollars(mode.dollars)} per month{note} ({word})"


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
        "per": cost.price.per,
        "dollars": cost.dollars,
        "source": cost.price.source,
        "seen": cost.price.seen,
    }


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Align columns; numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = [_is_number(row) for row in zip(*rows[1:], strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _is_number(column: Sequence[str]) -> bool:
    return all(
        not cell or cell[0].isdigit() or cell.startswith(("<", "under", NOT_KNOWN))
        for cell in column
    )
