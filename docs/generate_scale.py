"""Generates docs/scale.md from the model of the plan: ``python -m docs.generate_scale``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from docs import api_defaults, api_text
from iot_constructs.cli import planning
from iot_constructs.cli.planning import assumptions, prices, quotas
from iot_constructs.cli.planning.costs import (
    ADVANTAGE_MINIMUM_MB,
    DYNAMODB,
    FULL_SHARE,
    KMS,
    S3,
    SERVICES,
    StreamMode,
    list_costs,
    list_stream_modes,
    total,
)
from iot_constructs.cli.planning.limits import list_limits
from iot_constructs.cli.planning.plan_report import (
    NOT_KNOWN,
    by_service,
    dollars,
    number,
    percent,
)
from iot_constructs.cli.planning.prices import Price
from iot_constructs.cli.planning.quotas import Quota
from iot_constructs.cli.planning.usage import Usage, estimate_usage
from iot_constructs.cli.planning.workload import Workload

SCALE_MD = Path(__file__).parent / "scale.md"
EVERY_SECONDS, READING_BYTES = 60, 400
FLEETS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
ONE_FLEET = 10**6
PACKS = (1, 5, 10, 20)
RETENTIONS = (7, 30, 90, 365)
YEARS = (0, 1, 2, 3, 5, 10)

_INTRODUCTION = """\
<!-- Written by docs/generate_scale.py from src/iot_constructs/cli/planning: change that, then run `make docs`. -->
# Cost and service quotas

```
iot-constructs plan --devices 1e6 --every 60s --bytes 400
```

estimates the resource usage, the monthly cost and the quota usage for a fleet and settings of your own. This page has
the estimates for devices that send {bytes} bytes every {every} seconds, with the defaults of the constructs and the
processor of [the example](../examples/iot_pipeline/README.md). The command needs no credentials, Node.js or network;
`--json` prints all values with their sources. For the settings that affect the cost, see
[the guide](guide/cost-and-scale.md).

`tests/cli/test_plan_processor.py` runs the processor and compares its calls and write units with the model, within 5 %.
The costs are compared with manual calculations, not with an AWS bill."""
_COSTS = """\
## Monthly cost

In US dollars: list prices of us-east-1 without free tiers, as of {read}. The storage of the tables is estimated for the
time after one retention period of {days} days; before, it is lower. The archive is one year old."""
_RETENTION = """\
Monthly cost by `TimeSeriesTable(retention=)` for {devices} devices:"""
_GROWTH = """\
By default, no object of the archive expires, so its storage grows each year. The key rotates once a year; its first and
second rotation cost $1 a month each ([AWS KMS pricing](https://aws.amazon.com/kms/pricing/)). Monthly cost by age
(`--years`) for {devices} devices:"""
_IDLE = """\
## An idle environment

The monthly cost of an environment to which no device sends (`--devices 0 --years 0`): a forgotten `dev`, with the
defaults, with one provisioned shard, and with one shard that retains records for 24 hours."""
_MODES = """\
By default, the stream is in on-demand mode. For a constant load, provisioned mode costs less, but you have to set the
number of shards: `MonitoredStream(shard_count=)`. On-demand Advantage is a setting of the account, with a minimum of
{least} MB/s; the table does not include its retention, whose price is unknown."""
_LIMITS = """\
## Quota usage

For an even load; for peaks, use `--peak`. Bold is {full} or more, where `plan` warns. The quotas are the defaults of
us-east-1, as of {read}; most can be increased, which takes time. The duration of an invocation is an estimate unless
you specify a measured one with `--invocation-ms`.

{new_accounts}
([Lambda quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html))."""
_PACKED = """\
## Several readings per message

The same readings of {devices} devices, combined on the device. The processor stores a message as one item with one
timestamp, so queries must read the values within the item, and the latest state is that of the last message."""
_BASIC_INGEST = """\
[Basic Ingest](https://docs.aws.amazon.com/iot/latest/developerguide/iot-basic-ingest.html) saves the IoT Core price of
a message. The model does not include it: it requires topics that begin with `$aws/rules/`, which `DevicePolicy` does
not allow."""
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
    yield api_text.table(("years", *map(str, YEARS)), _growth())
    yield _MODES.format(least=ADVANTAGE_MINIMUM_MB)
    yield api_text.table(heading, _modes(fleets))
    yield _BASIC_INGEST
    yield _IDLE
    yield api_text.table(("", "default", "one shard", "one shard, 24 hours"), _idle())
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
    "write units/s, time series": lambda usage: usage.time_series_units,
    "write units/s, device state": lambda usage: usage.device_state_units,
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


def _modes(fleets: Sequence[Usage]) -> Iterator[tuple[str, ...]]:
    by_fleet = [list_stream_modes(usage) for usage in fleets]
    names = ("on-demand", "provisioned", "On-demand Advantage")
    for name, modes in zip(names, zip(*by_fleet, strict=True), strict=True):
        yield name, *(_mode(mode) for mode in modes)


def _mode(mode: StreamMode) -> str:
    shards = mode.name.partition(", ")[2]
    return f"{dollars(mode.dollars)} ({shards})" if shards else dollars(mode.dollars)


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
    bills = [list_costs(_usage(ONE_FLEET, years=years)) for years in YEARS]
    for service in (S3, KMS):
        yield service, *(dollars(by_service(bill)[service]) for bill in bills)
    yield "**total**", *(f"**{dollars(total(bill))}**" for bill in bills)


def _idle() -> Iterator[tuple[str, ...]]:
    day = {"shard_count": 1, "stream_retention_seconds": planning.DAY_SECONDS}
    bills = [
        list_costs(_usage(0, years=0, **settings)) for settings in ({}, {"shard_count": 1}, day)
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
                tiers if tiers else NOT_KNOWN,
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
