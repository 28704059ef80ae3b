"""The synth bench: what it runs, counts and reports; how long something takes is left to `make bench`."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import report, synth
from bench.figure import Figure, Run, in_turn
from bench.peers.environments import app, synthesize
from bench.profile import by_part, profile, requests_to_node

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
    def run(command: list[str]) -> Run:
        return {"wall": seconds_of(command), "cpu": 2 * seconds_of(command)}

    monkeypatch.setattr(synth, "run", run)
    monkeypatch.setattr(synth, "app", lambda name, *args: ["python", "-m", f"b.{name}", *args])
    monkeypatch.setattr(synth, "synthesize", lambda name, _: dict.fromkeys(name))
    monkeypatch.setattr(synth, "import_ms", lambda: 61.0)
    monkeypatch.setattr(synth, "profile", lambda command: {"validator": len(command)})
    monkeypatch.setattr(synth, "requests_to_node", lambda command: 400 + len(command))
    found = list(synth.figures(2, pipelines=10))
    by_name = {figure.figure: figure for figure in found}
    assert len(by_name) == len(found)
    return by_name


def test_a_run_is_a_synth_of_its_own() -> None:
    assert min(synth.run(app("one_bucket")).values()) > 0


def test_an_app_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="no_such_app"):
        synth.run(app("no_such_app"))


def test_our_constructs_take_few_requests_for_a_resource(tmp_path: Path) -> None:
    """Each of them is about 0.2 ms. An attribute of CDK that is read for every alarm shows here."""
    resources = synthesize("example", tmp_path)
    floor = requests_to_node(app("one_bucket"))
    assert 0 < floor < 20
    assert requests_to_node(app("example")) - floor < 10 * len(resources)


def test_a_real_profile_is_of_the_engine() -> None:
    assert min(profile(app("one_bucket"))[part] for part in ("validator", "loading modules")) > 0


def test_an_import_takes_time() -> None:
    assert synth.import_ms() > 0


def test_the_first_round_warms_up_and_the_others_take_turns() -> None:
    order: list[str] = []

    def run(name: str) -> Run:
        order.append(name)
        return {"number": len(order)}

    found = in_turn({name: functools.partial(run, name) for name in "ab"}, 2)
    # The other way round in every second round.
    assert "".join(order) == "baabba"
    assert found == {"a": [{"number": 3}, {"number": 6}], "b": [{"number": 4}, {"number": 5}]}


def test_the_targets_are_those_of_the_walls(figures: dict[str, Figure]) -> None:
    assert {f"synth.{name}" for name in synth.APPS} < figures.keys()
    assert (figures[RATIO].value, figures[RATIO].target, figures[RATIO].met) == (0.9, 1.0, True)
    assert (figures[GROWTH].value, figures[GROWTH].target, figures[GROWTH].met) == (1.5, 1.1, False)
    assert figures["synth.import"].met is False


def test_a_missed_ratio_has_a_profile_of_both_sides(figures: dict[str, Figure]) -> None:
    profiles = {name: it.detail for name, it in figures.items() if ".profile." in name}
    assert profiles.keys() == {f"{GROWTH}.profile.{it}" for it in ("example", "plain_l2")}
    assert set(profiles[f"{GROWTH}.profile.example"].values()) == {4, 404}


def test_the_page_has_what_was_measured_and_why_a_target_is_missed(
    figures: dict[str, Figure],
) -> None:
    page = report.page(list(figures.values()))
    assert "| our example | 0.90 | 1.80 |" in page
    assert f"| `{RATIO}` | 0.9 ratio | at most 1 | yes |" in page
    assert f"| `{GROWTH}` | 1.5 ratio | at most 1.1 | **no** |" in page
    unmet = page[page.index(f"## Unmet: `{GROWTH}`") :]
    assert report._REASONS[GROWTH] in unmet
    assert "| our example | 4 | 404 |\n| plain L2s | 5 | 405 |\n" in unmet
    assert f"Unmet: `{RATIO}`" not in page


def test_a_missed_target_is_no_failure_of_the_command(
    figures: dict[str, Figure], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def all_of_them(rounds: int) -> list[Figure]:
        asked.append(rounds)
        return list(figures.values())

    monkeypatch.setattr(synth, "figures", all_of_them)
    assert bench.main(["--only", "synth", "--runs", "3"]) == 0
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
            frame(9, "readSync", "node:fs", 10),
            frame(10, "read", ""),
        ],
        "samples": [2, 3, 4, 5, 6, 7, 8, 10, 4],
        "timeDeltas": [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 1000],
    }
    assert by_part(taken) == {
        "validator": 4,
        "loading modules": 4,
        "waiting for Python": 8,
        "CDK": 9,
        "jsii and Node": 12,
    }
