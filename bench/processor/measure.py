"""All figures: what is measured, and the targets."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.figure import Figure
from bench.processor import emulator, latency
from bench.processor.runs import OURS, RECORDS_PER_RUN, Run, cold_starts, compared, ratio
from bench.processor.workload import Shape
from iot_constructs.cli.planning.batches import calls_per_batch

MAIN = Shape(records=100, devices=50)
# What a batch costs depends on how many devices are in it: none of these is left out.
OTHERS = {
    "devices_10": Shape(records=100, devices=10),
    "devices_100": Shape(records=100, devices=100),
    "records_500_devices_200": Shape(records=500, devices=200),
}
# A stand-in for the way to DynamoDB and back, of which the emulator has next to nothing.
LATENCY_MS = 4.0
RUNS = 7
BATCH_WRITER = "batch_writer"
FASTER, FASTER_ELSEWHERE, CPU_SHARE, CALLS_SHARE, INIT_RATIO = 2.5, 1.8, 0.18, 0.15, 1.25
PLAN_DEVIATION = 0.05
WINDOWS = (0, 1, 5)  # seconds


def figures(*, runs: int = RUNS) -> Iterator[Figure]:
    """Measure everything. Yields what is known already."""
    starts = cold_starts(runs)
    for name, each in starts.items():
        yield Figure(
            f"processor.init_ms.{name}", _median(each, "cpu_seconds") * 1000, unit="ms of CPU"
        )
    init = ratio(starts[OURS], starts["bare"], "cpu_seconds")
    yield Figure(
        "processor.init_ratio", _rounded(init), INIT_RATIO, unit="of a bare boto3 function"
    )
    with emulator.plain_emulator() as url:
        main = compared(url, MAIN, (BATCH_WRITER,), runs=runs)
        yield from absolute_figures(main)
        yield from ratio_figures(main, faster=FASTER, cpu=CPU_SHARE, calls=CALLS_SHARE)
        for suffix, shape in OTHERS.items():
            other = compared(url, shape, (BATCH_WRITER,), runs=runs)
            yield from ratio_figures(other, f".{suffix}", faster=FASTER_ELSEWHERE)
        slow = compared(url, MAIN, (BATCH_WRITER,), runs=runs, latency_ms=LATENCY_MS)
        yield from ratio_figures(slow, f".latency_{LATENCY_MS:g}_ms", faster=FASTER_ELSEWHERE)
        usual = compared(url, MAIN, ("powertools", "three_puts"), runs=max(2, runs // 5))
        yield from ratio_figures(usual)
    batch_seconds = _median(slow[OURS], "seconds") * MAIN.records / RECORDS_PER_RUN
    for window in WINDOWS:
        delays = latency.delays(window, batch_seconds)
        for percent in (50, 99):
            delay = statistics.quantiles(delays, n=100)[percent - 1]
            name = f"processor.accepted_to_stored_p{percent}.window_{window}_s"
            yield Figure(name, _rounded(delay), unit="s")


def ratio_figures(
    measured: dict[str, list[Run]],
    suffix: str = "",
    *,
    faster: float | None = None,
    cpu: float | None = None,
    calls: float | None = None,
) -> Iterator[Figure]:
    """Ours beside each of the others, with targets."""
    ours = measured[OURS]
    for name, other in measured.items():
        if name != OURS:
            of = f"ratio.{name}{suffix}"
            speed = _rounded(ratio(other, ours, "seconds"))
            yield Figure(f"processor.records_per_second_{of}", speed, faster, at_most=False)
            yield Figure(f"processor.cpu_{of}", _rounded(ratio(ours, other, "cpu_seconds")), cpu)
            yield Figure(f"processor.calls_{of}", _rounded(ratio(ours, other, "calls")), calls)


def absolute_figures(measured: dict[str, list[Run]]) -> Iterator[Figure]:
    """The numbers of each contender in the main shape, which are those of this machine, and the planner's."""
    per_1000 = 1000 / RECORDS_PER_RUN
    for name, each in measured.items():
        for kind, value, unit in (
            ("records_per_second", RECORDS_PER_RUN / _median(each, "seconds"), "1/s"),
            ("cpu_ms_per_1000_records", _median(each, "cpu_seconds") * 1000 * per_1000, "ms"),
            ("calls_per_1000_records", _median(each, "calls") * per_1000, "calls"),
            ("peak_memory", each[-1]["peak_mib"], "MiB"),
        ):
            yield Figure(f"processor.{kind}.{name}", _rounded(value), unit=unit)
    planned = calls_per_batch(MAIN.records, MAIN.devices, 1).total * 1000 / MAIN.records
    deviation = abs(planned / (_median(measured[OURS], "calls") * per_1000) - 1)
    yield Figure("processor.plan_deviation.calls", _rounded(deviation), PLAN_DEVIATION)


def _median(runs: list[Run], what: str) -> float:
    return statistics.median(run[what] for run in runs)


def _rounded(value: float) -> float:
    return round(value, 3)
