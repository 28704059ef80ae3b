"""All figures of a synth: ours beside the same by hand, the peers and the floor; then how they grow."""

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
PAIR_ROUNDS = 24
"""More rounds of ours and by hand alone, 3 % apart by their target: one round's ratio is off by 5 % either way."""
GROWTH = (1, 10, 50, 100)
GROWTH_ROUNDS = 3
END_ROUNDS = 4
"""More rounds of the first and the last count alone, whose ratio has a target: one round's is off by up to 7 %."""
SHARE_OF_BY_HAND = 1.03
SHARE_OF_SOLUTIONS = 0.85
ONE_MORE = 1.05
MOST_IMPORT_MILLISECONDS = 60.0
LINEAR = 1.1
"""The last pipelines cost no more than this, each, in terms of the first ones."""


def measure(
    rounds: int = ROUNDS,
    pair_rounds: int = PAIR_ROUNDS,
    growth: Sequence[int] = GROWTH,
    growth_rounds: int = GROWTH_ROUNDS,
    end_rounds: int = END_ROUNDS,
) -> Iterator[Figure]:
    """Every figure as soon as it is known."""
    yield from _one_app(rounds, pair_rounds)
    yield Figure(
        "synth.import_beyond_aws_cdk",
        round(import_milliseconds(rounds), 1),
        MOST_IMPORT_MILLISECONDS,
        unit="ms",
    )
    yield from _growth(growth, growth_rounds, end_rounds)
    yield from _profiles()


def _one_app(rounds: int, pair_rounds: int) -> Iterator[Figure]:
    ours, by_hand, floor = apps.example(), apps.by_hand(), apps.one_bucket()
    solutions = apps.peer("solutions_constructs")
    others = [apps.peer("monitoring_constructs"), apps.peer("plain_l2"), floor]
    # What is compared stands beside each other; ours starts as `python app.py` does, and as its cdk.json says.
    contenders: dict[str, Callable[[], Run]] = {
        "by_hand": partial(run, by_hand),
        "example_plain_start": partial(run, ours),
        "solutions_constructs": partial(run, solutions),
        "example": partial(run, ours, *apps.QUICK),
        "by_hand_quick_start": partial(run, by_hand, *apps.QUICK),
        "solutions_constructs_quick_start": partial(run, solutions, *apps.QUICK),
        **{app.name: partial(run, app) for app in others},
        "one_bucket_quick_start": partial(run, floor, *apps.QUICK),
    }
    results = interleaved(contenders, rounds)
    for name, found in results.items():
        yield from _medians(name, found)
    for app in (ours, by_hand, solutions, *others):
        yield Figure(f"synth.{app.name}.round_trips", round_trips(app), unit="round trips")
    # The constructs alone: both sides start alike.
    beside_by_hand = (("example_plain_start", "by_hand"), ("example", "by_hand_quick_start"))
    pairs = {name: contenders[name] for pair in beside_by_hand for name in pair}
    more = interleaved(pairs, pair_rounds, warm=False)
    paired = {name: results[name] + more[name] for name in pairs}
    for one, other in beside_by_hand:
        yield from _ratios(paired, one, other, SHARE_OF_BY_HAND)
    # As each is shipped; then what is left of it when both start alike.
    for one, other, target in (
        ("example", "solutions_constructs", SHARE_OF_SOLUTIONS),
        ("example_plain_start", "solutions_constructs", SHARE_OF_SOLUTIONS),
        ("example", "solutions_constructs_quick_start", SHARE_OF_SOLUTIONS),
        ("example", "monitoring_constructs", None),
        ("example", "plain_l2", None),
    ):
        yield from _ratios(results, one, other, target)


def _ratios(
    results: dict[str, list[Run]], one: str, other: str, target: float | None
) -> Iterator[Figure]:
    for measured in ("wall", "cpu"):
        ratio = median_ratio(
            [getattr(it, measured) for it in results[one]],
            [getattr(it, measured) for it in results[other]],
        )
        # The target is about what a person waits for.
        yield Figure(
            f"synth.{one}_by_{other}.{measured}",
            round(ratio, 3),
            target if measured == "wall" else None,
            unit="ratio",
        )


def _medians(name: str, found: Sequence[Run]) -> Iterator[Figure]:
    for measured, unit in (("wall", "s"), ("cpu", "s"), ("memory", "MB")):
        value = statistics.median(getattr(it, measured) for it in found)
        yield Figure(f"synth.{name}.{measured}", round(value, 3), unit=unit)


def _growth(counts: Sequence[int], rounds: int, end_rounds: int) -> Iterator[Figure]:
    """What one pipeline more costs: the slope between the first and the last count, in each round, and the medians."""
    ends = (counts[0], counts[-1])
    kinds = ("ours", "by_hand")
    found: dict[tuple[str, int], list[Run]] = {(kind, at): [] for kind in kinds for at in counts}
    for number in range(rounds + end_rounds):
        for at in counts if number < rounds else ends:
            # The other one first in the next round: whatever the first run leaves behind is not always for the same.
            for kind in kinds[:: 1 if number % 2 else -1]:
                found[kind, at].append(run(apps.many(kind, at)))
    for measured in ("wall", "cpu"):
        slopes: dict[str, list[float]] = {}
        for kind in kinds:
            values = {at: [getattr(it, measured) for it in found[kind, at]] for at in counts}
            slopes[kind] = _slopes(values, *ends)
            points = {at: round(statistics.median(those), 3) for at, those in values.items()}
            yield Figure(
                f"synth.one_more_{kind}.{measured}",
                round(statistics.median(slopes[kind]) * 1000, 1),
                unit="ms",
                detail={"pipelines": points},
            )
            if kind == "ours":
                whole = {at: those[:rounds] for at, those in values.items()}
                late = statistics.median(_slopes(whole, counts[-2], counts[-1]))
                early = statistics.median(_slopes(whole, counts[0], counts[-2]))
                yield Figure(
                    f"synth.growth_late_by_early.{measured}",
                    round(late / early, 3),
                    LINEAR,
                    unit="ratio",
                )
        ratio = median_ratio(slopes["ours"], slopes["by_hand"])
        yield Figure(
            f"synth.one_more_ours_by_by_hand.{measured}", round(ratio, 3), ONE_MORE, unit="ratio"
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
