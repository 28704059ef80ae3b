"""All figures of a synth: the example beside its peers and the floor; then how it grows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench.figure import Figure
from bench.synth import apps
from bench.synth.import_time import import_milliseconds
from bench.synth.node_profile import profile
from bench.synth.runs import Run, interleaved, median_ratio, round_trips, run

ROUNDS = 9
GROWTH = (1, 50, 100)
GROWTH_ROUNDS = 3
SHARE_OF_SOLUTIONS = 0.85
MOST_IMPORT_MILLISECONDS = 60.0
LINEAR = 1.1
"""The last pipelines cost no more than this, each, in terms of the first ones."""


def measure(
    rounds: int = ROUNDS,
    growth: tuple[int, int, int] = GROWTH,
    growth_rounds: int = GROWTH_ROUNDS,
) -> Iterator[Figure]:
    """Every figure as soon as it is known."""
    yield from _one_app(rounds)
    yield Figure(
        "synth.import_beyond_aws_cdk",
        round(import_milliseconds(rounds), 1),
        MOST_IMPORT_MILLISECONDS,
        unit="ms",
    )
    yield from _growth(growth, growth_rounds)
    yield from _profiles()


def _one_app(rounds: int) -> Iterator[Figure]:
    # What is compared with a target runs beside each other.
    solutions = apps.peer("solutions_constructs")
    others = [apps.peer("monitoring_constructs"), apps.peer("plain_l2"), apps.one_bucket()]
    contenders = [apps.example(), solutions, *others]
    runs: dict[str, Callable[[], Run]] = {app.name: partial(run, app) for app in contenders}
    results = interleaved(runs, rounds)
    for name, found in results.items():
        yield from _medians(name, found)
    for app in contenders:
        yield Figure(f"synth.{app.name}.round_trips", round_trips(app), unit="round trips")
    for peer, target in (
        ("solutions_constructs", SHARE_OF_SOLUTIONS),
        ("monitoring_constructs", None),
        ("plain_l2", None),
    ):
        yield from _ratios(results, peer, target)


def _ratios(results: dict[str, list[Run]], peer: str, target: float | None) -> Iterator[Figure]:
    for measured in ("wall", "cpu"):
        ratio = median_ratio(
            [getattr(it, measured) for it in results["example"]],
            [getattr(it, measured) for it in results[peer]],
        )
        # The target is about what a person waits for.
        yield Figure(
            f"synth.example_by_{peer}.{measured}",
            round(ratio, 3),
            target if measured == "wall" else None,
            unit="ratio",
        )


def _medians(name: str, found: Sequence[Run]) -> Iterator[Figure]:
    for measured, unit in (("wall", "s"), ("cpu", "s"), ("memory", "MB")):
        value = statistics.median(getattr(it, measured) for it in found)
        yield Figure(f"synth.{name}.{measured}", round(value, 3), unit=unit)


def _growth(counts: tuple[int, int, int], rounds: int) -> Iterator[Figure]:
    """What a pipeline costs between the last two counts, in terms of what one costs between the first two."""
    found: dict[int, list[Run]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            found[count].append(run(apps.many(count)))
    few, some, most = counts
    for measured in ("wall", "cpu"):
        values = {at: [getattr(it, measured) for it in found[at]] for at in counts}
        late = statistics.median(_slopes(values, some, most))
        early = statistics.median(_slopes(values, few, some))
        yield Figure(
            f"synth.growth_late_by_early.{measured}",
            round(late / early, 3),
            LINEAR,
            unit="ratio",
            detail={"pipelines": {at: round(statistics.median(values[at]), 3) for at in counts}},
        )


def _slopes(values: dict[int, list[float]], start: int, end: int) -> list[float]:
    """What each pipeline between two counts took, by round."""
    pairs = zip(values[start], values[end], strict=True)
    return [(last - first) / (end - start) for first, last in pairs]


def _profiles() -> Iterator[Figure]:
    """Where the time of a synth goes, by Node's own profile: what is left to a library is what CDK itself leaves."""
    for app in (apps.one_bucket(), apps.example(), apps.peer("solutions_constructs")):
        for part, milliseconds in profile(app).items():
            yield Figure(f"synth.{app.name}.profile.{part}", round(milliseconds), unit="ms")
