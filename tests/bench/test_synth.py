"""The synth bench: what it runs, counts and reports; how long something takes is left to `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import report, synth
from bench.figure import Figure
from bench.peers.environments import app, synthesize
from bench.profile import by_part, profile, round_trips
from bench.report import write_report
from bench.synth import Run

NAMES = ("example", "solutions_constructs", "monitoring_constructs", "plain_l2", "one_bucket")
RATIO = "synth.example_by_solutions_constructs"
GROWTH = "synth.one_more_pipeline_by_plain_l2s"


def seconds_of(command: list[str]) -> float:
    """A second a peer, less for the example and one bucket; 30 ms for one more pipeline, 20 for as many L2s."""
    module, *arguments = command[2:]
    name = module.rpartition(".")[2]
    more = {"example": 0.03, "plain_l2": 0.02}.get(name, 0)
    one = {"one_bucket": 0.5, "example": 0.9}.get(name, 1.0)
    return one + more * (int(arguments[0]) - 1 if arguments else 0)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    def run(commands: list[list[str]]) -> list[Run]:
        return [Run(seconds_of(it), 2 * seconds_of(it)) for it in commands]

    monkeypatch.setattr(synth, "_run", run)
    monkeypatch.setattr(synth, "app", lambda name, *args: ["python", "-m", f"b.{name}", *args])
    monkeypatch.setattr(synth, "synthesize", lambda name, _: dict.fromkeys(name))
    monkeypatch.setattr(synth, "import_ms", lambda: 61.0)
    monkeypatch.setattr(synth, "profile", lambda command: {"validator": len(command)})
    monkeypatch.setattr(synth, "round_trips", lambda command: 400 + len(command))
    found = list(synth.measure(rounds=2, growth=(10, 2)))
    by_name = {figure.figure: figure for figure in found}
    assert len(by_name) == len(found)
    return by_name


def test_a_run_is_a_synth_of_its_own() -> None:
    [found] = synth.in_turn({"one": app("one_bucket")}, 1)["one"]
    assert found.cpu > 0
    assert found.wall > 0


def test_an_app_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="no_such_app"):
        synth.in_turn({"none": app("no_such_app")}, 1)


def test_our_constructs_take_few_round_trips_for_a_resource(tmp_path: Path) -> None:
    """Each of them is about 0.2 ms. An attribute of CDK that is read for every alarm shows here."""
    resources = synthesize("example", tmp_path)
    floor = round_trips(app("one_bucket"))
    assert 0 < floor < 20
    assert round_trips(app("example")) - floor < 20 * len(resources)


def test_a_real_profile_is_of_the_engine() -> None:
    assert min(profile(app("one_bucket"))[part] for part in ("validator", "loading modules")) > 0


def test_an_import_takes_time() -> None:
    assert synth.import_ms() > 0


def test_the_first_round_warms_up_and_the_others_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    def run(commands: list[list[str]]) -> list[Run]:
        order.extend(command[0] for command in commands)
        return [Run(len(order) - 1 + place, 1) for place in range(2)]

    monkeypatch.setattr(synth, "_run", run)
    found = synth.in_turn({"a": ["a"], "b": ["b"]}, 2)
    # The other way round in every second round.
    assert "".join(order) == "baabba"
    assert found == {"a": [Run(3, 1), Run(6, 1)], "b": [Run(4, 1), Run(5, 1)]}


def test_a_ratio_is_of_neighbors() -> None:
    # Everything became slower; one neighbor was disturbed.
    ours, theirs = [Run(1, 1), Run(10, 1), Run(100, 1)], [Run(2, 1), Run(20, 1), Run(100, 4)]
    assert synth.ratio_of(zip(ours, theirs, strict=True)) == Run(0.5, 1)


def test_the_targets_are_those_of_the_walls(figures: dict[str, Figure]) -> None:
    assert {f"synth.{name}" for name in NAMES} < figures.keys()
    assert (figures[RATIO].value, figures[RATIO].target, figures[RATIO].met) == (0.9, 1.0, True)
    assert (figures[GROWTH].value, figures[GROWTH].target, figures[GROWTH].met) == (1.5, 1.1, False)
    assert figures["synth.import"].met is False


def test_a_missed_ratio_has_a_profile_of_both_sides(figures: dict[str, Figure]) -> None:
    profiles = {name: it.detail for name, it in figures.items() if ".profile." in name}
    assert profiles.keys() == {f"{GROWTH}.profile.{it}" for it in ("example", "plain_l2")}
    assert set(profiles[f"{GROWTH}.profile.example"].values()) == {4, 404}


def test_the_page_has_what_was_measured_and_why_a_target_is_missed(
    figures: dict[str, Figure], tmp_path: Path
) -> None:
    write_report(list(figures.values()), tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| our example | 0.90 | 1.80 |" in page
    assert f"| `{RATIO}` | 0.9 ratio | at most 1 | yes |" in page
    assert f"| `{GROWTH}` | 1.5 ratio | at most 1.1 | **no** |" in page
    unmet = page[page.index(f"## Unmet: `{GROWTH}`") :]
    assert report._REASONS[GROWTH] in unmet
    assert "| validator | 4 | 5 |" in unmet
    assert f"Unmet: `{RATIO}`" not in page


def test_a_missed_target_is_no_failure_of_the_command(
    figures: dict[str, Figure], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def measure(rounds: int) -> list[Figure]:
        asked.append(rounds)
        return list(figures.values())

    monkeypatch.setattr(synth, "measure", measure)
    assert bench.main(["--only", "synth", "--rounds", "3"]) == 0
    assert asked == [3]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["figure"] for line in lines] == list(figures)
    assert {line["met"] for line in lines} == {True, False, None}


def test_a_profile_is_told_by_what_called_what() -> None:
    def frame(id: int, name: str, url: str, *children: int) -> dict[str, object]:
        called = {"functionName": name, "url": url}
        return {"id": id, "callFrame": called, "children": list(children)}

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
        "timeDeltas": [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 1000],
    }
    assert by_part(taken) == {
        "validator": 4,
        "loading modules": 4,
        "waiting for Python": 8,
        "CDK": 9,
        "jsii and Node": 12,
    }
