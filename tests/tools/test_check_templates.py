"""The harness over a folder of templates, with a command that answers what the test wants."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.check_templates.__main__ import main
from tools.check_templates.measure import find_templates

ROOT = Path(__file__).parents[2]
TABLE = "Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n"

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the harness over ``templates`` with ``command``, the body of a Python script."""

    def run(templates: dict[str, str], command: str, *options: str) -> tuple[int, str]:
        script = tmp_path / "command.py"
        script.write_text(f"import json, os, sys, time\nfile = sys.argv[1]\n{command}\n")
        folder = tmp_path / "templates"
        for name, text in templates.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        code = main([str(folder), "--command", f"{sys.executable} {script}", *options])
        return code, capsys.readouterr().out

    return run


def answer(*findings: tuple[str, str | None], code: int = 1) -> str:
    entries = [{"rule": rule, "resource": resource} for rule, resource in findings]
    return f"print(json.dumps({entries!r})); sys.exit({code})"


def labels(folder: Path, *templates: dict[str, Any]) -> str:
    file = folder / "labels.json"
    file.write_text(json.dumps({"templates": templates}))
    return str(file)


def label(text: str, *expected: list[str | int], not_judged: bool = False) -> dict[str, Any]:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    place = {"repository": "owner/name", "path": "t.yaml", "sha256": sha256}
    return {**place, "not_judged": not_judged, "expected": expected}


def test_templates_are_found_by_their_resources_in_every_folder(tmp_path: Path) -> None:
    for name, text in {
        "a.yaml": TABLE,
        "b/c.json": '\ufeff{"Resources": {}}',
        "b/d.template": f"Parameters: {{}}\n{TABLE}",
        "package.json": '{"name": "x"}',
        "Resources.md": TABLE,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    names = [str(each.relative_to(tmp_path)) for each in find_templates(tmp_path)]
    assert names == ["a.yaml", "b/c.json", "b/d.template"]


def test_a_folder_without_templates_is_an_error(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 2


def test_findings_and_not_judged_entries_are_counted_apart(check: Check) -> None:
    found = answer(("IOT_02_X", "T"), ("IOT_28_Y", "T"), ("IOT_00_NOT_JUDGED", None))
    code, out = check({"t.yaml": TABLE}, found)
    assert code == 0
    assert re.search(r"^ +\S+ +\d+ +2 +1 +1  \S+t\.yaml$", out, re.MULTILINE)
    assert "1 templates, 2 findings" in out
    assert "with not-judged entries: 1" in out
    assert "clean: 0" in out


def test_findings_of_a_nested_stack_are_those_of_the_child(check: Check) -> None:
    command = """\
entries = [{"rule": "R", "resource": "A", "template": name} for name in (file, "child.yaml")]
print(json.dumps(entries)); sys.exit(1)"""
    assert "1 templates, 1 findings" in check({"t.yaml": TABLE}, command)[1]


def test_the_time_and_the_memory_of_the_largest_run(tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text("""\
import sys
if "big" in sys.argv[1]:
    kept = bytearray(b"x") * 200_000_000
print("[]")""")
    for name in ("big", "other", "small"):
        (tmp_path / f"{name}.yaml").write_text(TABLE)
    # A process of its own: until it starts its program, a child has the memory of its parent, here pytest.
    command = [sys.executable, "-m", "tools.check_templates", str(tmp_path)]
    command += ["--command", f"{sys.executable} {script}"]
    out = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT).stdout
    memory = re.search(r"most memory: (\d+) MiB, \S*big\.yaml", out)
    assert memory
    assert 190 < int(memory[1]) < 400
    seconds = re.findall(r"^ *(\S+) +\d+ .*yaml$", out, re.MULTILINE)
    assert len(seconds) == 3
    assert f"longest: {max(seconds, key=float)} s, " in out
    # The memory is of each run, not the largest of all runs so far.
    assert int(re.findall(r"^ *\S+ +(\d+) .*small\.yaml$", out, re.MULTILINE)[0]) < 190


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("raise ValueError('x')", "traceback"),
        ("print('no JSON')", "the output is no list of findings"),
        ("print('[]'); sys.exit(1)", "exit code 1 with 0 entries"),
        (answer(("A", "T"), code=0), "exit code 0 with 1 entries"),
        ("print('null')", "the output is no list of findings"),
        ("print('[{}]')", "the output is no list of findings"),
        ("pass", "the output is no list of findings"),
        ("print('[]'); sys.exit(3)", "exit code 3 with 0 entries"),
        ("print('[]', flush=True); os.abort()", "exit code -6 with 0 entries"),
        ("print('error: not YAML', file=sys.stderr); sys.exit(2)", ""),
    ],
)
def test_a_run_that_does_not_answer_is_a_problem(check: Check, command: str, problem: str) -> None:
    code, out = check({"t.yaml": TABLE}, command)
    assert code == int(bool(problem))
    assert f"problems: {int(bool(problem))}" in out
    assert (f"t.yaml: {problem}" in out) == bool(problem)


def test_a_run_that_takes_too_long_is_stopped(check: Check) -> None:
    code, out = check({"t.yaml": TABLE}, "time.sleep(600)", "--timeout", "1")
    assert code == 1
    assert "t.yaml: not done in 1 s" in out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TABLE, ""),
        (f"Transform: AWS::Serverless-2016-10-31\n{TABLE}", ""),
        (f"Transform: [AWS::LanguageExtensions]\n{TABLE}", ""),
        (f"Transform: Explode\n{TABLE}", "clean, but not judged: Transform: E"),
        (f"{TABLE}    Fn::Transform: {{Name: X}}\n", "clean, but not judged: Fn::Transform"),
        (f"{TABLE}      TemplateURL: ./child.yaml\n", ""),
        (f"{TABLE}      TemplateURL: https://x/y.yaml\n", "clean, but not judged: TemplateURL:"),
        (f"{TABLE}      TemplateURL: !Sub x${{Y}}\n", "clean, but not judged: TemplateURL:"),
        ("Resources:\n  T:\n    Kind: x\n", "clean, but nothing was examined"),
    ],
)
def test_clean_is_a_problem_if_something_was_not_examined(
    check: Check, text: str, problem: str
) -> None:
    code, out = check({"t.yaml": text}, answer(code=0))
    assert code == int(bool(problem))
    assert f"clean: {int(not problem)}" in out
    assert f"  ({problem})" in out if problem else "(" not in out


def test_a_finding_or_a_not_judged_entry_ends_the_doubt(check: Check) -> None:
    text = f"Transform: Explode\n{TABLE}"
    code, out = check({"t.yaml": text}, answer(("IOT_00_NOT_JUDGED", None), code=2))
    assert code == 0
    assert "problems: 0" in out


def test_precision_recall_and_every_difference(check: Check, tmp_path: Path) -> None:
    expected = label(TABLE, ["A", "T"], ["B", "T"], ["C", "T", 2], ["D", "T", 1])
    found = answer(*[("A", "T")] * 3, ("C", "T"), ("D", "T"), ("D", "T"), ("E", "T"))
    code, out = check({"t.yaml": TABLE}, found, "--labels", labels(tmp_path, expected))
    assert code == 0
    lines = out.splitlines()
    where = "owner/name t.yaml"
    assert [line for line in lines if line.startswith(("miss", "extra"))] == [
        f"miss: {where}: B T",
        f"miss: {where}: C T",
        f"extra: {where}: D T",
        f"extra: {where}: E T",
    ]
    assert lines[-2:] == ["precision 60.0% (3 of 5)", "recall 60.0% (3 of 5)"]


def test_a_template_without_findings_has_neither(check: Check, tmp_path: Path) -> None:
    options = ("--labels", labels(tmp_path, label(TABLE)))
    out = check({"t.yaml": TABLE}, answer(code=0), *options)[1]
    assert out.splitlines()[-2:] == ["precision (none)", "recall (none)"]


def test_labels_say_what_cannot_be_judged(check: Check, tmp_path: Path) -> None:
    other = f"{TABLE}# other\n"
    file = labels(tmp_path, label(TABLE, not_judged=True), label(other))
    command = f"""\
if "a" in os.path.basename(file): {answer(code=0)}
{answer(("W9300", None), code=2)}"""
    out = check({"a.yml": TABLE, "b.yml": other}, command, "--labels", file)[1]
    assert "not judged is expected: owner/name t.yaml" in out
    assert "not judged is reported, but can be judged: owner/name t.yaml" in out


def test_a_labelled_template_that_is_not_there_is_said(check: Check, tmp_path: Path) -> None:
    options = ("--labels", labels(tmp_path, label("other", ["A", "T"])))
    out = check({"t.yaml": TABLE}, answer(("A", "T")), *options)[1]
    assert "not in the folder: owner/name t.yaml" in out
    assert out.splitlines()[-2:] == ["precision (none)", "recall (none)"]


def test_the_lines_keep_their_order_with_several_jobs(check: Check) -> None:
    command = f"time.sleep(0.2 if 'a' in os.path.basename(file) else 0)\n{answer(code=0)}"
    out = check({f"{each}.yml": TABLE for each in "abcd"}, command, "--jobs", "4")[1]
    assert re.findall(r"(\w)\.yml$", out, re.MULTILINE)[:4] == ["a", "b", "c", "d"]
