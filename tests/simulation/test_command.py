"""`python -m tests.simulation`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation import bugs
from tests.simulation.__main__ import main
from tests.simulation.bugs import BUGS
from tests.simulation.faults import RATES
from tests.simulation.report import Totals, format_catches
from tests.simulation.runs import Catch, run_seed

FEW = ("--seeds", "3", "--records", "25", "--jobs", "1")


@pytest.fixture(autouse=True)
def no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEED", raising=False)


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == code
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return parsed


def test_the_totals_are_the_sums_of_the_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--seed", "5", *FEW)
    seeds = [run_seed(seed, records=25) for seed in (5, 6, 7)]
    assert found["seeds"] == {"first": 5, "last": 7, "failed": []}
    assert found["records"]["sent"] == 75
    for name in ("accepted", "stored", "dead_lettered", "invocations"):
        assert found["records"][name] == sum(getattr(seed, name) for seed in seeds)
    faults = sum(sum(seed.faults.values()) for seed in seeds)
    assert sum(found["faultsByKind"].values()) == faults
    assert sum(found["faultsByCall"].values()) == faults
    assert found["violations"]["lost"] == 0
    assert found["violated"] == []


def test_processes_do_not_change_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    one = document(capsys, "--seeds", "3", "--records", "25", "--jobs", "1")
    two = document(capsys, "--seeds", "3", "--records", "25", "--jobs", "2")
    assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FEW) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["seeds", "1", "to", "3,", "0", "with", "violations"] in rows
    assert ["records", "sent", "75"] in rows
    assert ["stored", "twice", "0"] in rows


def test_the_environment_variable_is_one_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEED", "9")
    assert document(capsys, "--records", "25")["seeds"] == {"first": 9, "last": 9, "failed": []}


def test_a_violation_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = BUGS["last instead of newest"]
    assert main(["--seed", str(bug.seed), "--bug", bug.name]) == 1
    output = capsys.readouterr().out
    assert f"seed {bug.seed}: stale state: " in output
    assert (
        f"python -m tests.simulation --seed {bug.seed} --records {bugs.RECORDS} "
        f'--bug "{bug.name}"\n' in output
    )
    history = output.partition("The shortest history of ")[2].partition("\n\n")[0].splitlines()
    assert 2 < len(history) <= 41
    assert "VIOLATION" in history[-1]
    assert "1 with violations" in output


def test_each_invariant_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(
        capsys, "--seeds", "2", "--bug", "last instead of newest", "--jobs", "1", code=1
    )
    assert len(found["seeds"]["failed"]) == 2
    assert [each["violations"][0].partition(":")[0] for each in found["violated"]] == [
        "stale state"
    ]


def test_whole_history(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "1", "--history", "--records", "25"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["0.000", "mapping", "starts"]
    assert any("put_records: device-" in line for line in lines)
    assert any("the faults end" in line for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--history",),
        ("--history", "--seed", "1", "--seeds", "2"),
        ("--seed", "0"),
        ("--bug", "unknown"),
    ],
    ids=" ".join,
)
def test_usage_error(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m tests.simulation" in capsys.readouterr().err


def test_a_seed_in_the_environment_is_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEED", "x")
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "'x' is not a positive integer" in capsys.readouterr().err


def test_bugs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bug = BUGS["last instead of newest"]
    monkeypatch.setattr(bugs, "BUGS", {bug.name: bug})
    arguments = ["--bugs", "--seed", str(bug.seed), "--seeds", "1"]
    assert main(arguments) == 0
    heading, line, row = capsys.readouterr().out.splitlines()
    assert heading.startswith("| Component | Deliberate bug |")
    assert line == "|---|---|---|---|---|"
    cells = row.strip("| ").split(" | ")
    assert cells[:4] == [
        "device state",
        f"{bug.name}: {bug.description}",
        "stale state",
        str(bug.seed),
    ]
    assert cells[4].endswith(" lines")


def test_a_bug_that_is_not_found_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One record has no older reading beside it.
    bug = BUGS["last instead of newest"]
    monkeypatch.setattr(bugs, "BUGS", {bug.name: bug})
    assert main(["--bugs", "--seeds", "2", "--records", "1"]) == 1
    assert "not found" in capsys.readouterr().out


def test_a_catch_names_the_invariant_and_the_first_seed() -> None:
    table = format_catches(
        [Catch("swallowed put", 4, "lost: device-1/2", records=3, faults=1, lines=9)]
    )
    cells = table.splitlines()[-1].strip("| ").split(" | ")
    assert cells[0] == "time series"
    assert cells[2:] == ["lost", "4", "3 records, 1 fault, 9 lines"]


def test_faults_that_no_seed_had_are_reported() -> None:
    first, *others = RATES
    totals = Totals()
    faults = {(rate.operation, f"{rate.kind.value} (Code)"): 1 for rate in others}
    totals.add(replace(run_seed(1, records=1), faults=faults))
    assert totals.never_injected(RATES) == [f"{first.operation}: {first.kind.value}"]
