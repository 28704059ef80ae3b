"""The synth bench: what it runs, counts and reports; how long something takes is left to `make bench`."""

from __future__ import annotations

import json
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


def fake_run(app: apps.App) -> Run:
    """A second a peer, less for the example and one bucket, and 30 ms more for each of many pipelines."""
    count = app.name.removeprefix("pipelines_")
    more = 0.03 * int(count) if count.isdigit() else 0
    wall = {"one_bucket": 0.5, "example": 0.9}.get(app.name, 1) + more
    return Run(wall, 2 * wall, 400)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    monkeypatch.setattr(measure, "run", fake_run)
    monkeypatch.setattr(measure, "round_trips", lambda app: 400)
    monkeypatch.setattr(measure, "import_milliseconds", lambda _: 61.0)
    monkeypatch.setattr(measure, "profile", lambda app: dict.fromkeys(report._PARTS, len(app.name)))
    return list(measure.measure(rounds=2, growth=(1, 10, 50), growth_rounds=3))


# --- real runs ----------------------------------------------------------------------------------------------------


def test_a_run_is_a_synth_of_its_own() -> None:
    result = run(apps.one_bucket())
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
    one, two = (round_trips(apps.many(count)) for count in (1, 2))
    assert one > 100
    # Load and synth once, the stack twice.
    assert 1.5 * one < two < 2 * one


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


def test_a_ratio_is_of_neighbors() -> None:
    # Everything became slower; one neighbor was disturbed.
    assert median_ratio([1, 10, 100], [2, 20, 100]) == 0.5


def test_the_targets_are_those_of_the_walls(figures: list[Figure]) -> None:
    by_name = {figure.figure: figure for figure in figures}
    assert len(by_name) == len(figures)
    solutions = by_name["synth.example_by_solutions_constructs.wall"]
    assert (solutions.value, solutions.target, solutions.met) == (0.9, 0.85, False)
    assert by_name["synth.example_by_solutions_constructs.cpu"].target is None
    assert by_name["synth.import_beyond_aws_cdk"].met is False


def test_one_disturbed_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run of the most pipelines takes 5 s more."""
    taken: list[str] = []

    def disturbed(app: apps.App) -> Run:
        taken.append(app.name)
        found = fake_run(app)
        slower = 5.0 * (app.name == "pipelines_50" and taken.count(app.name) == 1)
        return replace(found, wall=found.wall + slower)

    monkeypatch.setattr(measure, "run", disturbed)
    wall, cpu = measure._growth((1, 10, 50), 3)
    assert (wall.figure, wall.value, wall.met) == ("synth.growth_late_by_early.wall", 1.0, True)
    assert cpu.detail == {"pipelines": {1: 2.06, 10: 2.6, 50: 5.0}}
    assert taken == ["pipelines_1", "pipelines_10", "pipelines_50"] * 3


def test_growth_above_the_first_pipelines_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    walls = {"pipelines_1": 1.0, "pipelines_10": 1.9, "pipelines_50": 9.9}
    monkeypatch.setattr(measure, "run", lambda app: Run(walls[app.name], 1 + walls[app.name], 400))
    wall, _ = measure._growth((1, 10, 50), 1)
    assert (wall.value, wall.met) == (2.0, False)


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
    assert "| our example | 0.90 | 1.80 | 400 | 400 |" in page
    assert "| plain L2s | 1.00 | 2.00 | 400 | 400 |" in page
    unmet = "| `synth.example_by_solutions_constructs.wall` | 0.9 ratio | at most 0.85 | **no** |"
    assert unmet in page
    assert "One bucket takes 50% of the time" in page
    assert "Of what is left ours takes 80%" in " ".join(page.split())
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
