"""quick_start: the same templates, from an engine that is started otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
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
NodeProgram = Callable[..., str]
VALIDATOR = """
exports.CloudFormationValidatePlugin = class {
  static _singletonInstance() { process.stdout.write("made "); }
};
"""


def engine(validator: str) -> str:
    """A program that, like jsii's, loads aws-cdk-lib for one request and then waits for the next."""
    return f"""
const fs = require("fs"), path = require("path");
const core = path.join(__dirname, "aws-cdk-lib", "core", "lib", "validation");
fs.mkdirSync(core, {{ recursive: true }});
fs.writeFileSync(path.join(__dirname, "aws-cdk-lib", "index.js"), "");
fs.writeFileSync(path.join(core, "cloudformation-validate-plugin.js"), {json.dumps(validator)});
setImmediate(() => {{
  require("./aws-cdk-lib/index.js");
  process.stdout.write("loaded ");
  setImmediate(() => setImmediate(() => process.stdout.write("next request ")));
}});
"""


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


def names_below(folder: Path) -> set[str]:
    return {str(it) for it in folder.rglob("*") if it.is_file()}


# --- what it does to an app -------------------------------------------------------------------------------------


def test_the_assembly_is_the_same_to_the_byte_and_was_validated(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    plain, first, second = (tmp_path / name for name in ("plain", "first", "second"))
    caches = {"XDG_CACHE_HOME": str(tmp_path / "caches")}

    assert run(sys.executable, app, CDK_OUTDIR=str(plain)).returncode == 0
    kept = []
    for assembly in (first, second):
        completed = quick(app, CDK_OUTDIR=str(assembly), **caches)
        assert completed.returncode == 0, completed.stderr
        kept.append(names_below(tmp_path / "caches" / "iot-constructs"))

    assert files(first) == files(second) == files(plain)
    assert "validation-report.json" in files(plain)
    # Hundreds of modules, and all of them found again: a second start keeps nothing more.
    assert len(kept[0]) > 100
    assert kept[1] == kept[0]


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


@pytest.fixture
def node_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeProgram:
    folder = tmp_path / 'a "quoted" folder'  # of somebody who likes spaces
    folder.mkdir()
    preloaded = folder / "engine.cjs"
    preloaded.write_bytes(quick_start._PRELOADED.read_bytes())
    monkeypatch.setattr(quick_start, "_PRELOADED", preloaded)

    def start(script: str, text: str, **variables: str) -> str:
        program = tmp_path / script
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        settings = quick_start.quick_environment({})
        completed = run(os.environ["JSII_NODE"], program, **settings, **variables)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    return start


def test_the_launcher_of_jsii_passes_flags_on_to_the_engine(node_program: NodeProgram) -> None:
    passed_on = json.loads(node_program("bin/jsii-runtime.js", PRINTS_ITS_ARGUMENTS))
    assert passed_on[0] == "--single-threaded-gc"
    # V8 knows them all: it says so of any that it does not.
    known = run(os.environ["JSII_NODE"], *passed_on, "--eval", PRINTS_ITS_ARGUMENTS)
    assert (known.returncode, known.stderr) == (0, "")


@pytest.mark.parametrize("script", ["jsii-runtime.js", "bin/other.js", "lib/program.js"])
def test_no_other_process_gets_flags(node_program: NodeProgram, script: str) -> None:
    assert json.loads(node_program(script, PRINTS_ITS_ARGUMENTS)) == []


def test_the_validator_is_made_while_the_engine_waits(node_program: NodeProgram) -> None:
    assert node_program("lib/program.js", engine(VALIDATOR)) == "loaded made next request "


@pytest.mark.parametrize(
    "validator", ["exports.Another = class {}", "throw new Error('not for everybody')"]
)
def test_a_validator_that_is_made_otherwise_is_left_to_cdk(
    node_program: NodeProgram, validator: str
) -> None:
    assert node_program("lib/program.js", engine(validator)) == "loaded next request "


def test_no_validator_is_made_where_none_is_wanted(node_program: NodeProgram) -> None:
    said = node_program("lib/program.js", engine(VALIDATOR), CDK_VALIDATION="false")
    assert said == "loaded next request "


def test_what_the_user_set_for_node_stays() -> None:
    made = quick_start.quick_environment({"NODE_OPTIONS": "--trace-warnings"})
    assert made["NODE_OPTIONS"].startswith("--trace-warnings --require ")


def test_twice_is_once() -> None:
    once = quick_start.quick_environment({})
    assert quick_start.quick_environment(once) == once


def require_a_package(kernel: Path) -> str:
    """A program that, like jsii's, requires a package of its own folder, which requires another one."""
    return f"console.log(require({json.dumps(str(kernel / 'node_modules' / 'one'))}))"


def start_linked(
    node_program: NodeProgram, kernel: Path, packages: Path, before: str = "", **variables: str
) -> str:
    """What the program says with links to both: only by them do they stand beside each other, as jsii's do."""
    for name in ("one", "@scope/two"):
        link = kernel / "node_modules" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(packages / name)
    program = before + require_a_package(kernel)
    return node_program("lib/program.js", program, NODE_PRESERVE_SYMLINKS="1", **variables)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Two packages: the one says where it is and whom it found beside it."""
    for name, text in (
        ("one", "module.exports = `${__filename} ${require('@scope/two')}`"),
        ("@scope/two", "module.exports = __filename"),
    ):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "index.js").write_text(text)
    return tmp_path / "packages"


def test_a_package_is_compiled_under_a_name_that_stays(
    node_program: NodeProgram, packages: Path, tmp_path: Path
) -> None:
    known = []
    for kernel in (tmp_path / "jsii-kernel-a1B2c3", tmp_path / "jsii-kernel-d4E5f6"):
        caches = str(tmp_path / "caches")
        said = start_linked(node_program, kernel, packages, XDG_CACHE_HOME=caches)
        one, two = (Path(it) for it in said.split())
        assert one.resolve() == packages / "one" / "index.js"
        assert two.resolve() == packages / "@scope" / "two" / "index.js"
        # By this CDK tells its own frames from the user's.
        assert "/node_modules/one/" in str(one)
        assert "/node_modules/@scope/two/" in str(two)
        known.append(names_below(tmp_path / "caches" / "iot-constructs" / "node"))
    # The two packages, and not once more for the other folder.
    assert len(known[0]) == 2
    assert known[1] == known[0]


def test_nothing_is_kept_of_packages_that_are_no_links(
    node_program: NodeProgram, packages: Path, tmp_path: Path
) -> None:
    """jsii without its package cache unpacks them into a new folder each time."""
    kernel = tmp_path / "jsii-kernel-a1B2c3"
    kernel.mkdir()
    packages.rename(kernel / "node_modules")
    said = node_program(
        "lib/program.js", require_a_package(kernel), XDG_CACHE_HOME=str(tmp_path / "caches")
    )
    assert said.startswith(str(kernel / "node_modules" / "one"))
    assert not (tmp_path / "caches").exists()


@pytest.mark.parametrize("no_cache", ["a file", "no home"])
def test_without_a_folder_to_write_to_the_app_runs_as_well(
    node_program: NodeProgram, packages: Path, tmp_path: Path, no_cache: str
) -> None:
    kernel = tmp_path / "jsii-kernel-a1B2c3"
    (tmp_path / "a file").write_text("")
    # As for a user id that the container knows no home of.
    homeless = 'require("os").homedir = () => { throw new Error("no home"); };'
    cache = str(tmp_path / no_cache) if no_cache == "a file" else ""
    said = start_linked(node_program, kernel, packages, homeless, XDG_CACHE_HOME=cache)
    assert said.startswith(str(kernel / "node_modules" / "one"))


def test_the_cache_is_the_users(node_program: NodeProgram, packages: Path, tmp_path: Path) -> None:
    kernel, home = tmp_path / "jsii-kernel-a1B2c3", str(tmp_path / "home")
    start_linked(node_program, kernel, packages, XDG_CACHE_HOME="", HOME=home)
    assert names_below(tmp_path / "home" / ".cache" / "iot-constructs" / "node")
