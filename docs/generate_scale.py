"""Writes docs/scale.md from the planner: ``python -m docs.generate_scale``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from docs import api_defaults, api_text
from iot_constructs.cli import planning
from iot_constructs.cli.planning import assumptions, prices, quotas
from iot_constructs.cli.planning.costs import (
    ADVANTAGE_LEAST_MB,
    DYNAMODB,
    FULL_SHARE,
    S3,
    SERVICES,
    StreamMode,
    costs_of,
    stream_modes_of,
    total,
)
from iot_constructs.cli.planning.limits import limits_of
from iot_constructs.cli.planning.plan_report import (
    NOT_KNOWN,
    by_service,
    dollars,
    number,
    percent,
)
from iot_constructs.cli.planning.prices import Price
from iot_constructs.cli.planning.quotas import Quota
from iot_constructs.cli.planning.usage import Usage, usage_of
from iot_constructs.cli.planning.workload import Workload

SCALE_MD = Path(__file__).parent / "scale.md"
EVERY_SECONDS, READING_BYTES = 60, 400
FLEETS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
ONE_FLEET = 10**6
PACKS = (1, 5, 10, 20)
RETENTIONS = (7, 30, 90, 365)

_INTRODUCTION = """\
<!-- Written by docs/generate_scale.py from src/iot_constructs/cli/planning: change that, then run `make docs`. -->
# From a thousand devices to a hundred million

```
iot-constructs plan --devices 1e6 --every 60s --bytes 400
```

says for a fleet and settings of your own what this page says for devices that send {bytes} bytes every {every} seconds,
with every default of the constructs and the processor of [the example](../examples/iot_pipeline/README.md): what the
pipeline takes, what it costs a month, how full each limit of AWS is, and which argument answers it. It needs no
credentials, no Node and no network; `--json` prints everything with its source. Which settings make cost:
[the guide](guide/cost-and-scale.md).

The calls and write units of a batch are held to the processor's own code within 5 % by
`tests/cli/test_plan_processor.py`, which runs it and counts. Dollars are held to bills worked out by hand, not to a
bill of AWS: nobody has run this pipeline there."""
_COSTS = """\
## Dollars a month

List prices of us-east-1 without free tiers, read {read}. Storage is counted as it is after one retention, {days} days:
until then it is less."""
_RETENTION = """\
What `TimeSeriesTable(retention=)` does to the bill of {devices} devices, the archive counted for the same time:"""
_MODES = """\
The stream is on-demand unless you say otherwise. A steady fleet pays less for shards, which somebody then has to count:
`MonitoredStream(shard_count=)`. On-demand Advantage is a setting of the account, with {least} MB/s billed at the least;
here without its retention, whose price was not found."""
_LIMITS = """\
## How full each limit is

At an even load; `--peak 3` is for the busiest seconds. Bold is {full} or more, where `plan` warns. Defaults of
us-east-1, read {read}; most can be raised, but not on the day of the launch. The time of an invocation, and with it
that of a lane, is an estimate until you give a measured one: `--invocation-ms`."""
_PACKED = """\
## Several readings in a message

The same readings of {devices} devices, gathered on the device and sent together. The processor stores one message as
one item, under one timestamp: what reads the table looks into it, and the newest state is that of the last message."""
_BASIC_INGEST = """\
The price of a message to IoT Core is what
[Basic Ingest](https://docs.aws.amazon.com/iot/latest/developerguide/iot-basic-ingest.html) saves. It needs topics that
begin with `$aws/rules/`, which `DevicePolicy` does not allow, so it is not counted."""
_SOURCES = """\
## Prices

The pages of aws.amazon.com fill in their tables in the browser; a price was read in a stored copy, which the last
column names."""


def scale_md() -> str:
    """The whole file."""
    return "\n\n".join(_parts()) + "\n"


def _parts() -> Iterator[str]:
    fleets = [_usage(devices) for devices in FLEETS]
    heading = ("", *(f"{devices:,}" for devices in FLEETS))
    yield _INTRODUCTION.format(bytes=READING_BYTES, every=EVERY_SECONDS)
    yield "## What it takes"
    yield api_text.table(heading, _taken(fleets))
    days = int(fleets[0].workload.retention_seconds // planning.DAY_SECONDS)
    yield _COSTS.format(read=prices.READ, days=days)
    yield api_text.table(heading, _costs(fleets))
    yield _RETENTION.format(devices=f"{ONE_FLEET:,}")
    yield api_text.table(("days", *map(str, RETENTIONS)), _retentions())
    yield _MODES.format(least=ADVANTAGE_LEAST_MB)
    yield api_text.table(heading, _modes(fleets))
    yield _BASIC_INGEST
    yield _LIMITS.format(read=quotas.READ, full=f"{FULL_SHARE:.0%}")
    yield api_text.table(heading, _full(fleets))
    yield api_text.table(("limit", "value", "answer"), _answers(fleets[-1]))
    yield _PACKED.format(devices=f"{ONE_FLEET:,}")
    yield api_text.table(("readings in a message", *map(str, PACKS)), _packed())
    yield "## The model"
    yield (
        planning.__doc__.replace("`peak`", "`--peak`").replace("``", "`")
        if planning.__doc__
        else ""
    )
    yield api_text.table(("assumed or counted", "value", "what it is"), _assumed())
    yield _SOURCES
    yield api_text.table(("price", "$", "for", "page, copy"), _prices())
    yield "## Quotas"
    yield api_text.table(("quota", "value", "page"), _quotas())


def _usage(devices: int, **settings: Any) -> Usage:
    fleet = {"devices": devices, "every_seconds": EVERY_SECONDS, "reading_bytes": READING_BYTES}
    return usage_of(Workload(**fleet, **settings))


_TAKEN: dict[str, Callable[[Usage], float]] = {
    "messages/s": lambda usage: usage.workload.messages_per_second,
    "MB/s on the stream": lambda usage: usage.peak_mb_per_second,
    "shards, about": lambda usage: usage.shards,
    "records in a batch": lambda usage: usage.average.records,
    "invocations/s": lambda usage: usage.average.per_second,
    "at a time": lambda usage: usage.average.per_second * usage.average.milliseconds / 1000,
    "DynamoDB calls a batch": lambda usage: usage.average.calls.total,
    "write units/s, time series": lambda usage: usage.time_series_units,
    "write units/s, device state": lambda usage: usage.device_state_units,
    "archived objects an hour": lambda usage: usage.objects * 3600,
    "KMS requests an hour": lambda usage: usage.key_calls * 3600,
}


def _taken(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    for name, of in _TAKEN.items():
        yield name, *(number(of(usage)) for usage in fleets)


def _costs(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    bills = [costs_of(usage) for usage in fleets]
    for service in SERVICES:
        yield service, *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**in all**", *(f"**{dollars(total(bill))}**" for bill in bills)
    each = (total(bill) / devices for bill, devices in zip(bills, FLEETS, strict=True))
    yield "a device", *(f"{amount:.3f}" for amount in each)


def _modes(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    by_fleet = [stream_modes_of(usage) for usage in fleets]
    names = ("on-demand", "provisioned", "On-demand Advantage")
    for name, modes in zip(names, zip(*by_fleet, strict=True), strict=True):
        yield name, *(_mode(mode) for mode in modes)


def _mode(mode: StreamMode) -> str:
    shards = mode.name.partition(", ")[2]
    return f"{dollars(mode.dollars)} ({shards})" if shards else dollars(mode.dollars)


def _full(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    shares = [{limit.name: limit for limit in limits_of(usage)} for usage in fleets]
    for name in shares[-1]:  # as full as they are in the largest fleet
        yield (
            name,
            *(
                f"**{percent(limit.share)}**" if limit.is_full else percent(limit.share)
                for limit in (of_fleet[name] for of_fleet in shares)
            ),
        )


def _answers(usage: Usage) -> Iterator[tuple[str, ...]]:
    for limit in limits_of(usage):
        answer = limit.answer.replace(f"shard_count={_count_in(limit.answer)}", "shard_count=")
        yield limit.name, f"{number(limit.limit)} {limit.unit}", api_text.cell(answer)


def _count_in(answer: str) -> str:
    return answer.partition("shard_count=")[2].partition(")")[0]


def _retentions() -> Iterator[tuple[str, ...]]:
    bills = [
        costs_of(_usage(ONE_FLEET, retention_seconds=days * planning.DAY_SECONDS))
        for days in RETENTIONS
    ]
    for service in (DYNAMODB, S3):
        yield service, *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**in all**", *(f"**{dollars(total(bill))}**" for bill in bills)


def _packed() -> Iterator[tuple[str, ...]]:
    usages = [_usage(ONE_FLEET, readings_per_message=readings) for readings in PACKS]
    for name in ("messages/s", "write units/s, time series", "write units/s, device state"):
        yield name, *(number(_TAKEN[name](usage)) for usage in usages)
    bills = [costs_of(usage) for usage in usages]
    for service in SERVICES:
        yield f"{service}, $", *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**in all**, $", *(f"**{dollars(total(bill))}**" for bill in bills)
    full = (sum(limit.is_full for limit in limits_of(usage)) for usage in usages)
    yield f"limits that are {FULL_SHARE:.0%} full", *map(str, full)


def _assumed() -> Iterator[tuple[str, ...]]:
    for row in api_defaults.read(Path(assumptions.__file__)).values():
        yield api_text.code(row.name), str(row.value), api_text.cell(row.reason)


def _prices() -> Iterator[tuple[str, ...]]:
    for name, price in vars(prices).items():
        if isinstance(price, Price):
            steps = ", then ".join(
                f"{each:.10f}".rstrip("0").rstrip(".") for _, each in price.steps
            )
            page = f"[{price.source.removeprefix('https://')}]({price.source})"
            yield (
                api_text.code(name),
                steps if steps else NOT_KNOWN,
                price.unit,
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
