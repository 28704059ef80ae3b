"""quick_start: the same templates, from an engine that is started otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iot_constructs import quick_start

APP = """
import aws_cdk as cdk
from iot_constructs import SecureDataBucket, SuffixedStack

app = cdk.App()
SecureDataBucket(SuffixedStack(app, "Quick", environment_suffix="dev"), "Data")
app.synth()
"""
PRINTS_ITS_ARGUMENTS = "console.log(JSON.stringify(process.execArgv))"
PRINTS_WHERE_IT_IS = (
    "import json, os, sys\n"
    "print(json.dumps([__name__, sys.argv, sys.path[0], os.environ['NODE_OPTIONS']]))"
)


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(it) for it in command],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def quick(program: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "iot_constructs.quick_start", program, *arguments, **variables)


def files(folder: Path) -> dict[str, bytes]:
    return {it.name: it.read_bytes() for it in folder.iterdir() if it.is_file()}


# --- what it does to an app -------------------------------------------------------------------------------------


def test_the_assembly_is_the_same_to_the_byte_and_was_validated(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    plain, fast = tmp_path / "plain", tmp_path / "fast"

    for completed in (
        run(sys.executable, app, CDK_OUTDIR=str(plain)),
        quick(app, CDK_OUTDIR=str(fast), NODE_COMPILE_CACHE=str(tmp_path / "cache")),
    ):
        assert completed.returncode == 0, completed.stderr

    assert files(fast) == files(plain)
    assert "validation-report.json" in files(fast)
    assert list((tmp_path / "cache").iterdir()), "Node kept nothing"


def test_the_program_runs_as_it_would_without(tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(PRINTS_WHERE_IT_IS)

    completed = quick(program, "one", "--two")

    name, argv, first_path, options = json.loads(completed.stdout)
    assert name == "__main__"
    assert argv == [str(program), "one", "--two"]
    assert first_path == str(tmp_path.resolve())
    assert "_quick_engine.cjs" in options


def test_the_exit_code_is_the_programs(tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text("import sys; sys.exit(7)")
    assert quick(program).returncode == 7


@pytest.mark.parametrize("arguments", [[], ["nowhere.py"], ["--help"]])
def test_without_a_program_it_says_what_to_type(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_start.main(arguments) == quick_start.WRONG_USAGE
    assert "type python3 -m iot_constructs.quick_start app.py" in capsys.readouterr().err


def test_it_is_of_no_use_when_the_engine_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "app.py"
    program.write_text("")
    monkeypatch.setitem(sys.modules, "aws_cdk", sys)
    with pytest.raises(RuntimeError, match="has to come before aws_cdk"):
        quick_start.main([str(program)])


# --- what it does to Node ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "passed_on"), [("jsii-runtime.js", ["--single-threaded"]), ("other.js", [])]
)
def test_the_launcher_of_jsii_and_no_other_program_passes_the_flag_on(
    tmp_path: Path, script: str, passed_on: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'a "quoted" folder'  # of somebody who likes spaces
    folder.mkdir()
    preloaded = folder / "engine.cjs"
    preloaded.write_bytes(quick_start._PRELOADED.read_bytes())
    monkeypatch.setattr(quick_start, "_PRELOADED", preloaded)
    (tmp_path / script).write_text(PRINTS_ITS_ARGUMENTS)

    completed = run(os.environ["JSII_NODE"], tmp_path / script, **quick_start.quick_environment({}))

    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout) == passed_on


def test_what_the_user_set_for_node_stays() -> None:
    current = {"NODE_OPTIONS": "--trace-warnings", "NODE_COMPILE_CACHE": "mine"}
    made = quick_start.quick_environment(current)
    assert made["NODE_OPTIONS"].startswith("--trace-warnings --require ")
    assert made["NODE_COMPILE_CACHE"] == "mine"


def test_twice_is_once() -> None:
    once = quick_start.quick_environment({})
    assert quick_start.quick_environment(once) == once


def test_the_cache_is_where_the_users_caches_are(tmp_path: Path) -> None:
    made = quick_start.quick_environment({"XDG_CACHE_HOME": str(tmp_path)})
    assert made["NODE_COMPILE_CACHE"] == str(tmp_path / "iot-constructs" / "node")
    without = quick_start.quick_environment({"XDG_CACHE_HOME": ""})
    assert without["NODE_COMPILE_CACHE"] == str(Path.home() / ".cache" / "iot-constructs" / "node")
