"""`make matrix`: what it installs, which combinations it runs, and when it says that all is well."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import matrix, matrix_pythons, matrix_versions
from tools.matrix_environment import Environment
from tools.matrix_pythons import Found, Missing, find
from tools.matrix_report import Counts, Outcome, json_lines, problem_of, read_counts, table
from tools.matrix_versions import Level, differences, floor_of, wanted

ROOT = Path(__file__).parent.parent.parent


def python(wanted: str) -> Found:
    return Found(wanted, f"{wanted}.1", Path(f"python{wanted}"))


# --- what is installed ----------------------------------------------------------------------------


def test_the_lowest_are_the_lower_bounds_of_the_project_and_nothing_else() -> None:
    lines = re.search(r"^dependencies = \[(.*?)^\]", read("pyproject.toml"), re.M | re.S)
    assert lines
    floors = re.findall(r'"([\w-]+)>=([\d.]+),', lines[1])
    assert {name for name, _ in floors} == {"aws-cdk-lib", "constructs", "jsii"}
    asked = wanted("lowest").requirements
    assert [f"{name}=={floor}" for name, floor in floors] == [*asked[:3]]


def test_the_newest_are_bound_by_the_project_alone() -> None:
    of = {Requirement(line).name: Requirement(line) for line in wanted("newest").requirements}
    assert "99" not in of["aws-cdk-lib"].specifier
    assert "2.9999.0" in of["aws-cdk-lib"].specifier


@pytest.mark.parametrize("level", matrix_versions.LEVELS)
def test_no_pin_holds_back_what_a_combination_is_about_and_all_others_stay(level: Level) -> None:
    free = {"aws-cdk-lib", "constructs", "jsii", "boto3"}
    free |= {name for name in pins(read("constraints.txt")) if name.startswith("aws-cdk-")}
    assert pins(read("constraints.txt")) - pins("\n".join(wanted(level).constraints)) == free


def test_the_tools_that_want_a_newer_jsii_are_left_out() -> None:
    names = {Requirement(line).name for line in wanted("lowest").requirements}
    assert "pytest" in names
    assert names & {"projen", "cdk-nag"} == set()


def test_a_requirement_without_a_floor_is_refused() -> None:
    assert floor_of(Requirement("jsii<2,>=1.140.0")) == "1.140.0"
    with pytest.raises(ValueError, match="jsii<2 has no lower bound"):
        floor_of(Requirement("jsii<2"))


def test_what_is_installed_is_compared_with_what_was_asked_for() -> None:
    asked = ["aws-cdk-lib==2.271.0", "pytest"]
    assert differences("lowest", asked, {"aws-cdk-lib": "2.271.0", "pytest": "9.2.0"}) == ""
    other = differences("lowest", asked, {"aws-cdk-lib": "2.275.0"})
    assert other == (
        "not the lowest versions: aws-cdk-lib==2.271.0 (installed: 2.275.0), pytest (installed: None)"
    )


# --- which Pythons --------------------------------------------------------------------------------


def test_every_claimed_python_is_tried_and_the_running_one() -> None:
    claimed = matrix_versions.claimed_pythons()
    assert f'requires-python = ">={claimed[0]}"' in read("pyproject.toml")
    tried = matrix_pythons.supported()
    assert {*claimed, matrix_pythons.running()} <= {*tried}
    assert tried == sorted(tried, key=lambda it: int(it.split(".")[1]))


def test_the_running_python_is_found(tmp_path: Path) -> None:
    found = find(matrix_pythons.running(), tmp_path)
    assert isinstance(found, Found)
    assert found.version == ".".join(map(str, sys.version_info[:3]))


def test_one_that_pyenv_has_is_found_though_its_shim_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "versions" / "3.99.4" / "bin" / "python3.99"
    script(program, "echo 3.99.4")
    script(tmp_path / "shims" / "python3.99", "exit 127")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}{os.pathsep}{os.environ['PATH']}")
    assert find("3.99", tmp_path / "pythons") == Found("3.99", "3.99.4", program)


def test_one_that_does_not_start_is_missing_with_the_last_thing_that_uv_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv"
    script(
        uv,
        "printf 'error: request failed\\n  cause: dns error\\n  cause: no such host\\n' >&2; exit 2",
    )
    monkeypatch.setattr(matrix_pythons, "UV", uv)
    script(tmp_path / "versions" / "3.99.4" / "bin" / "python3.99", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}{os.pathsep}{os.environ['PATH']}")
    answer = find("3.99", tmp_path / "pythons")
    assert str(answer) == "python 3.99: not here (uv could not bring it: no such host)"


def test_one_that_uv_brings_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = tmp_path / "pythons" / "cpython-3.99.7-linux" / "bin" / "python3.99"
    script(brought, "echo 3.99.7")
    script(tmp_path / "uv", '[ "$2" = install ]')
    monkeypatch.setattr(matrix_pythons, "UV", tmp_path / "uv")
    assert find("3.99", tmp_path / "pythons") == Found("3.99", "3.99.7", brought)


# --- which combinations, and the verdict ----------------------------------------------------------


def test_the_newest_run_everywhere_the_lowest_on_the_oldest_and_the_running_python() -> None:
    planned = matrix.plan(
        [python("3.10"), python("3.11"), python("3.12")], ("lowest", "newest"), "3.11"
    )
    assert [(it.wanted, level) for it, level in planned] == [
        ("3.10", "lowest"),
        ("3.11", "lowest"),
        ("3.10", "newest"),
        ("3.11", "newest"),
        ("3.12", "newest"),
    ]


GOOD = Outcome("3.11.7", "lowest", {"aws-cdk-lib": "2.271.0"}, Counts(5, skipped=1), 12.4)
BAD = Outcome("3.12.1", "newest", {}, Counts(4, failed=1), 10, "tests/test_x.py::test_y")
GAP = Missing("3.14", "no such host")


@pytest.mark.parametrize(
    ("outcomes", "missing", "strict", "code"),
    [
        ([GOOD], [], False, 0),
        ([GOOD], [GAP], False, 0),
        ([GOOD], [GAP], True, 1),
        ([GOOD], [], True, 0),
        ([GOOD, BAD], [], False, 1),
        ([], [GAP], False, 1),
    ],
)
def test_the_exit_code(
    outcomes: list[Outcome], missing: list[Missing], strict: bool, code: int
) -> None:
    assert matrix.verdict(outcomes, missing, strict=strict) == code


def test_a_run_is_a_pass_only_if_something_ran_and_nothing_failed() -> None:
    assert problem_of(0, Counts(5), "") == ""
    assert problem_of(5, Counts(), "") == "pytest ended with 5"
    assert problem_of(0, Counts(skipped=3), "") == "no test ran"
    assert problem_of(3, Counts(5), "") == "pytest ended with 3"
    log = "".join(f"FAILED tests/test_{name}.py::test - because\n" for name in "abcd")
    assert problem_of(1, Counts(5, failed=4), log).startswith("tests/test_a.py::test, ")
    assert problem_of(1, Counts(5, failed=4), log).endswith("tests/test_c.py::test and 1 more")
    assert problem_of(1, Counts(5, errors=1), "ERROR tests/test_a.py\n") == "tests/test_a.py"


def test_counts_come_from_the_report_of_pytest(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite tests="9" failures="2" errors="1" skipped="3"/></testsuites>'
    )
    assert read_counts(report) == Counts(passed=3, failed=2, errors=1, skipped=3)


def test_the_table_and_the_json_name_every_combination_and_every_gap() -> None:
    shown = table([GOOD, BAD], [GAP]).splitlines()
    assert re.fullmatch(r"3\.11\.7 +2\.271\.0 .* lowest +5 passed, 1 skipped +12 +passed", shown[1])
    assert shown[2].endswith("FAILED")
    assert shown[3] == "python 3.14: not here (no such host)"
    lines = [json.loads(line) for line in json_lines([GOOD, BAD], [GAP]).splitlines()]
    assert [line.get("ok") for line in lines] == [True, False, None]
    assert lines[0]["aws-cdk-lib"] == "2.271.0"
    assert lines[1]["problem"] == "tests/test_x.py::test_y"
    assert lines[2] == {"python": "3.14", "missing": "no such host"}


def test_what_the_suite_leaves_out_is_there_and_the_library_s_tests_are_not_in_it() -> None:
    assert all((ROOT / path).exists() for path in matrix.LEFT_OUT)
    for kept in ("rules", "processor", "cli", "package"):
        assert not [path for path in matrix.LEFT_OUT if f"tests/{kept}".startswith(path)]


# --- the environment ------------------------------------------------------------------------------


def test_a_test_s_programs_see_the_packages_of_the_combination_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    environment = Environment(tmp_path / "one")
    variables = environment.variables()
    assert "PYTHONPATH" not in variables
    assert "VIRTUAL_ENV" not in variables
    assert variables["PATH"].split(os.pathsep)[0] == str(tmp_path / "one" / "bin")


def test_the_pinned_version_is_within_the_bounds() -> None:
    [cdk] = [it for it in wanted("newest").requirements if it.startswith("aws-cdk-lib")]
    assert version("aws-cdk-lib") in Requirement(cdk).specifier


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins(constraints: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", constraints, re.M))


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
