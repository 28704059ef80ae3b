"""The synth bench: what it runs, counts and reports; how long something takes is left to `make bench`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import report
from bench.figure import Figure
from bench.report import CHART, PAGE, write_report
from bench.synth import apps, measure
from bench.synth.import_time import import_milliseconds
from bench.synth.node_profile import by_part, profile
from bench.synth.runs import AppFailedError, Run, interleaved, median_ratio, round_trips, run


def fake_run(app: apps.App, *before: str) -> Run:
    """A second an app, half of it for one bucket, and what its pipelines cost: ours 30 ms, by hand 20."""
    if app.name == "one_bucket":
        return Run(0.5, 1, 300)
    kind, _, count = app.name.rpartition("_")
    each = {"ours": 0.03, "by_hand": 0.02}.get(kind, 0) if count.isdigit() else 0
    wall = 1 + each * int(count if count.isdigit() else 0) - 0.1 * bool(before)
    return Run(wall, 2 * wall, 400)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    monkeypatch.setattr(measure, "run", fake_run)
    monkeypatch.setattr(measure, "round_trips", lambda app: 300 if app.name == "by_hand" else 400)
    monkeypatch.setattr(measure, "import_milliseconds", lambda _: 61.0)
    monkeypatch.setattr(measure, "profile", lambda app: dict.fromkeys(report._PARTS, len(app.name)))
    return list(
        measure.measure(rounds=2, pair_rounds=2, growth=(1, 10, 50), growth_rounds=3, end_rounds=2)
    )


# --- real runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), apps.QUICK])
def test_a_run_is_a_synth_of_its_own(before: Sequence[str]) -> None:
    result = run(apps.one_bucket(), *before)
    assert result.cpu > 0
    assert result.wall > 0
    assert 50 < result.memory < 5000  # MB: an engine, and not in kilobytes


def test_an_app_that_fails_is_no_measurement(tmp_path: Path) -> None:
    broken = tmp_path / "app.py"
    broken.write_text("raise SystemExit('out of order')")
    with pytest.raises(AppFailedError, match="out of order"):
        run(replace(apps.one_bucket(), program=(str(broken),)))


def test_an_app_that_writes_nothing_is_no_measurement(tmp_path: Path) -> None:
    idle = tmp_path / "app.py"
    idle.write_text("")
    with pytest.raises(AppFailedError):
        run(replace(apps.one_bucket(), program=(str(idle),)))


def test_round_trips_are_counted_in_the_app() -> None:
    one, two = (round_trips(apps.many("by_hand", count)) for count in (1, 2))
    assert one > 100
    # Load and synth once, the stack twice.
    assert 2 * one - 20 < two < 2 * one


def test_an_import_takes_time() -> None:
    assert import_milliseconds(1) > 0


# --- what is made of them -----------------------------------------------------------------------------------------


def test_the_first_round_warms_up_and_the_others_take_turns() -> None:
    order: list[str] = []

    def contender(name: str) -> Run:
        order.append(name)
        return Run(len(order), 1, 1)

    found = interleaved({it: lambda it=it: contender(it) for it in "ab"}, 2)  # type: ignore[misc]
    # The other way round in every second round.
    assert "".join(order) == "baabba"
    assert [it.wall for it in found["a"]] == [3, 6]


def test_a_ratio_is_of_neighbours() -> None:
    # Everything became slower; one neighbour was disturbed.
    assert median_ratio([1, 10, 100], [2, 20, 100]) == 0.5


def test_the_targets_are_those_of_the_walls(figures: list[Figure]) -> None:
    by_name = {figure.figure: figure for figure in figures}
    assert len(by_name) == len(figures)
    by_hand = by_name["synth.example_plain_start_by_by_hand.wall"]
    assert (by_hand.value, by_hand.target, by_hand.met) == (1.0, 1.03, True)
    solutions = by_name["synth.example_by_solutions_constructs.wall"]
    assert (solutions.value, solutions.target, solutions.met) == (0.9, 0.85, False)
    assert by_name["synth.example_by_solutions_constructs.cpu"].target is None
    assert by_name["synth.import_beyond_aws_cdk"].met is False


def test_the_rounds_of_the_pairs_count_for_what_stands_beside_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the one whole round ours is disturbed; the two rounds of the pairs outvote it, and nothing else sees them."""
    taken: list[tuple[str, bool]] = []

    def disturbed(app: apps.App, *before: str) -> Run:
        taken.append((app.name, bool(before)))
        found = fake_run(app, *before)
        # The first run of each start warms up, the second one is the whole round's.
        second = app.name == "example" and taken.count(taken[-1]) == 2
        return replace(found, wall=found.wall + second)

    monkeypatch.setattr(measure, "run", disturbed)
    monkeypatch.setattr(measure, "round_trips", lambda _: 300)
    by_name = {figure.figure: figure.value for figure in measure._one_app(1, 2)}
    assert by_name["synth.example_plain_start_by_by_hand.wall"] == 1.0
    assert by_name["synth.example_by_by_hand_quick_start.wall"] == 1.0
    assert by_name["synth.example_plain_start_by_solutions_constructs.wall"] == 2.0
    assert by_name["synth.example_plain_start.wall"] == 2.0
    plain, quick = False, True
    pair = [("example", plain), ("by_hand", plain), ("example", quick), ("by_hand", quick)]
    assert taken[-8:] == [*pair, *reversed(pair)]


def test_one_more_is_the_slope_between_the_first_and_the_last(figures: list[Figure]) -> None:
    by_name = {figure.figure: figure for figure in figures}
    assert by_name["synth.one_more_ours.wall"].value == 30
    assert by_name["synth.one_more_by_hand.wall"].value == 20
    ratio = by_name["synth.one_more_ours_by_by_hand.wall"]
    assert (ratio.value, ratio.met) == (1.5, False)
    linear = by_name["synth.growth_late_by_early.wall"]
    assert (linear.value, linear.met) == (1.0, True)


def disturb_one_round(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first run of our fifty takes 5 s more; the names of the apps as they are run."""
    taken: list[str] = []

    def disturbed(app: apps.App, *before: str) -> Run:
        taken.append(app.name)
        slower = 5.0 if taken.count("ours_50") == 1 and app.name == "ours_50" else 0.0
        found = fake_run(app, *before)
        return replace(found, wall=found.wall + slower)

    monkeypatch.setattr(measure, "run", disturbed)
    return taken


def test_one_disturbed_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = disturb_one_round(monkeypatch)
    by_name = {figure.figure: figure.value for figure in measure._growth((1, 10, 50), 3, 2)}
    assert by_name["synth.one_more_ours.wall"] == 30
    assert by_name["synth.one_more_ours_by_by_hand.wall"] == 1.5
    assert by_name["synth.growth_late_by_early.wall"] == 1.0
    # In turn, and not always the same one first.
    assert taken[:2] == ["by_hand_1", "ours_1"]
    assert taken[6:8] == ["ours_1", "by_hand_1"]
    assert taken[18:22] == ["ours_1", "by_hand_1", "ours_50", "by_hand_50"]
    assert taken[22:] == ["by_hand_1", "ours_1", "by_hand_50", "ours_50"]


def test_the_rounds_of_the_ends_count_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one whole round and two of the ends, the whole one is disturbed: the other two outvote it."""
    disturb_one_round(monkeypatch)
    by_name = {figure.figure: figure.value for figure in measure._growth((1, 10, 50), 1, 2)}
    assert by_name["synth.one_more_ours_by_by_hand.wall"] == 1.5


def test_a_profile_is_told_by_what_called_what() -> None:
    def frame(id: int, name: str, url: str, *children: int) -> dict[str, object]:
        return {
            "id": id,
            "callFrame": {"functionName": name, "url": url},
            "children": list(children),
        }

    taken = {
        "nodes": [
            frame(1, "(root)", "", 2, 3, 6, 7, 8),
            frame(2, "(garbage collector)", ""),
            frame(3, "synth", "file:///x/aws-cdk-lib/core/lib/app.js", 4, 5),
            frame(4, "wasm-function[1]", "wasm://wasm/1"),
            frame(5, "require", "node:internal/modules/cjs/loader"),
            frame(6, "readLine", "file:///x/program.js", 9),
            frame(7, "process", "file:///x/program.js"),
            frame(8, "Construct", "file:///x/constructs/lib/construct.js"),
            frame(9, "readSync", "node:fs"),
        ],
        "samples": [2, 3, 4, 5, 6, 7, 8, 9, 4],
        "timeDeltas": [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 500],
    }
    assert by_part(taken) == {
        "validator": 3.5,
        "loading": 4,
        "waiting_for_python": 8,
        "garbage_collector": 1,
        "cdk": 9,
        "rest": 11,
    }


def test_a_real_profile_is_of_the_engine() -> None:
    found = profile(apps.one_bucket())
    assert set(found) == set(report._PARTS)
    assert min(found[part] for part in ("validator", "loading", "cdk")) > 0


def test_page_and_chart_show_what_was_measured(figures: list[Figure], tmp_path: Path) -> None:
    write_report(figures, tmp_path)
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "| our example | 1.00 | 2.00 | 0.90 | 1.80 | 400 | 400 |" in page
    assert "| plain L2s | 1.00 | 2.00 |  |  | 400 | 400 |" in page
    unmet = "| `synth.example_by_solutions_constructs.wall` | 0.9 ratio | at most 0.85 | **no** |"
    assert unmet in page
    assert "One bucket takes 50% of the time" in page
    assert "Of what is left ours takes 100%" in " ".join(page.split())
    assert "| loading modules | 10 | 7 | 20 |" in page
    assert (tmp_path / CHART).read_bytes().startswith(b"\x89PNG")


def test_the_command_fails_when_a_target_is_not_met(
    figures: list[Figure], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(rounds: int) -> list[Figure]:
        assert rounds == 3
        return figures

    monkeypatch.setattr(measure, "measure", asked)
    assert bench.main(["--only", "synth", "--rounds", "3"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["figure"] for line in lines] == [figure.figure for figure in figures]
    assert {line["met"] for line in lines} == {True, False, None}
    figures[:] = [figure for figure in figures if figure.met is not False]
    assert bench.main(["--only", "synth", "--rounds", "3"]) == 0
