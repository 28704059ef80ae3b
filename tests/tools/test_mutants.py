"""The driver of `make mutants`, on a library and a test made for the purpose."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tools import mutant_runner
from tools.call_targets import CallTargets
from tools.mutant import Job, Mutant
from tools.mutant_dependencies import Dependencies
from tools.mutant_results import KeptResults, Result
from tools.mutate_python import mutate_python
from tools.working_copy import ROOT

TEST = "tests/test_toy.py"
TOY = """
from iot_constructs.numbers import TWO

def double(number):
    return TWO * number

def triple(number):
    return 3 * number
"""
FILES = {
    "src/iot_constructs/__init__.py": "",
    "tests/__init__.py": "",
    "src/iot_constructs/numbers.py": "TWO = 2\n",
    "src/iot_constructs/toy.py": TOY,
    TEST: """
from iot_constructs.toy import double

def test_double():
    assert double(2) == 4
""",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    shutil.copytree(ROOT / "tools", root / "tools", ignore=shutil.ignore_patterns("release"))
    return root


def job(was: str, becomes: str) -> Job:
    assert was in TOY
    mutant = Mutant("src/iot_constructs/toy.py", "toy", f"{was} -> {becomes}", 0, 0, "")
    return Job(mutant, TOY.replace(was, becomes), (TEST,))


KILLED = job("TWO * number", "TWO + number + 1")
SURVIVOR = job("3 * number", "4 * number")
BREAKS_THE_IMPORT = job("iot_constructs.numbers", "iot_constructs.nothing")
NEVER_ENDS = job("return TWO * number", "while True: pass")


def run(repository: Path, *jobs: Job) -> dict[Job, tuple[str, str]]:
    reported: list[Result] = []
    kept = KeptResults(repository / "build", Dependencies(repository))
    results = mutant_runner.run(jobs, 1, repository, kept, reported.append, time_limit=10)
    assert sorted(it.name for it in reported) == sorted(results)
    return {
        it: (results[it.mutant.name].verdict, results[it.mutant.name].by)
        for it in jobs
        if it.mutant.name in results
    }


def test_every_kind_of_end(repository: Path) -> None:
    # The one that never ends is not the last: the next one needs a new process.
    results = run(repository, KILLED, BREAKS_THE_IMPORT, NEVER_ENDS, SURVIVOR)
    assert results == {
        KILLED: ("killed", f"{TEST}::test_double"),
        BREAKS_THE_IMPORT: ("killed", TEST),
        NEVER_ENDS: ("killed", "time limit"),
        SURVIVOR: ("survived", ""),
    }
    assert (repository / "src/iot_constructs/toy.py").read_text() == TOY


def test_what_is_known_is_not_run_again(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(repository, KILLED, SURVIVOR)
    asked = []
    ask = mutant_runner._Worker._ask

    def counted(self: Any, *arguments: Any) -> Any:
        asked.append(arguments)
        return ask(self, *arguments)

    monkeypatch.setattr(mutant_runner._Worker, "_ask", counted)
    assert run(repository, KILLED, SURVIVOR) == first
    assert asked == []
    # A test more: a survivor may be noticed now.
    test = repository / TEST
    more = (
        "from iot_constructs.toy import triple\n\ndef test_triple():\n    assert triple(2) == 6\n"
    )
    test.write_text(f"{test.read_text()}\n{more}")
    assert run(repository, KILLED, SURVIVOR) == {
        KILLED: first[KILLED],
        SURVIVOR: ("killed", f"{TEST}::test_triple"),
    }
    # With no mutant at all, each of the two, and once more with none.
    assert len(asked) == 4


def test_tests_that_fail_without_any_mutant_prove_nothing(repository: Path) -> None:
    (repository / "src/iot_constructs/numbers.py").write_text("TWO = 3\n")
    with pytest.raises(mutant_runner.BrokenTestsError, match="fails with no mutant in it"):
        run(repository, KILLED)


@pytest.mark.parametrize(
    ("file", "text", "matters"),
    [
        ("src/iot_constructs/numbers.py", "TWO = 1 + 1\n", True),
        (TEST, "def test_nothing(): pass\n", True),
        ("tests/conftest.py", "", True),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", True),
        ("src/iot_constructs/other.py", "", False),
        ("tests/test_other.py", "", False),
        ("src/iot_constructs/toy.py", f"{TOY}\n", False),  # the mutant's text is what counts
    ],
)
def test_a_verdict_holds_until_something_changes_that_it_depends_on(
    repository: Path, file: str, text: str, matters: bool
) -> None:
    def key() -> str:
        return Dependencies(repository).key(KILLED.mutant.file, KILLED.text, KILLED.tests)

    before = key()
    assert key() == before
    (repository / file).write_text(text)
    assert (key() != before) is matters
    assert Dependencies(repository).key(SURVIVOR.mutant.file, SURVIVOR.text, (TEST,)) != key()


def test_a_name_that_a_package_loads_when_asked_leads_to_its_module(repository: Path) -> None:
    lazy = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from iot_constructs.{0} import {0}\n"
    package = repository / "src/iot_constructs"
    (package / "__init__.py").write_text(
        lazy.format("asked") + "    from iot_constructs.not_asked import x\n"
    )
    (repository / TEST).write_text("from iot_constructs import asked\n")
    keys: list[str] = []
    for name in ("asked", "not_asked", "asked"):
        (package / f"{name}.py").write_text(f"# {len(keys)}\n")
        keys.append(Dependencies(repository).key("x.py", "", (TEST,)))
    assert keys[0] == keys[1] != keys[2]


def test_answers_to_scanners_are_not_mutated() -> None:
    source = """
REASON = "why"
ANSWERS = {"AwsSolutions-SQS3": REASON, "Serverless-SQSRedrivePolicy": REASON}
MORE = dict.fromkeys(("HIPAA.Security-LambdaDLQ", "NIST.800.53.R5-LambdaDLQ"), REASON)
OTHERS = {"Project": REASON}

class Construct:
    def __init__(self, limit):
        self._answer_scanners(limited=limit is not None)
        self.check(limit)
        skipped = {"CKV_AWS_116": REASON}
        if limit is None:
            skipped["CKV_AWS_115"] = REASON
        acknowledge(self, ANSWERS)
"""
    mutants = mutate_python("src/iot_constructs/toy.py", source, CallTargets(ModuleType("toy")))
    assert [it.change for it in mutants] == [
        "OTHERS = {'Project': REASON}: without 'Project'",
        "left out: self.check(limit)",
    ]
