"""`iot-constructs init`: the projects that it writes, run as a user runs them, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from iot_constructs.cli.main import main
from tests.synth_support import Json, recommended_flags

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = {"pipeline": "iot_pipeline", "one": "one_construct", "existing": "existing_app"}
EVERY_PROJECT = pytest.mark.parametrize("construct", PROJECTS)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each project, in a name of the user's."""
    folder = tmp_path_factory.mktemp("projects")
    written = {construct: folder / f"Green_house-{construct}" for construct in PROJECTS}
    for construct, target in written.items():
        assert main(["init", str(target), "--construct", construct]) == 0
    return written


def files(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


# --- what is written --------------------------------------------------------------------------------------------------


@EVERY_PROJECT
def test_the_project_is_the_example_as_it_is(construct: str, tmp_path: Path) -> None:
    example = f"examples/{PROJECTS[construct]}"
    target = tmp_path / PROJECTS[construct].replace("_", "-")
    assert main(["init", str(target), "--construct", construct]) == 0
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", example],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert files(target) == {
        path.removeprefix(f"{example}/"): (ROOT / path).read_text(encoding="utf-8")
        for path in listed
    }
    assert {"app.py", "stack.py", "cdk.json", ".gitignore", "tests/test_stack.py"} < set(
        files(target)
    )


@EVERY_PROJECT
def test_a_project_in_another_name_has_no_trace_of_the_example(
    construct: str, projects: dict[str, Path]
) -> None:
    texts = files(projects[construct])
    trace = re.compile(PROJECTS[construct].replace("_", "[-_ ]?"), re.IGNORECASE)
    assert [name for name, text in texts.items() if trace.search(name + text)] == []
    id = f"GreenHouse{construct.capitalize()}"
    assert f"class {id}Stack(" in texts["stack.py"]
    assert f'"{id}"' in texts["app.py"]
    assert texts["README.md"].startswith(f"# green-house-{construct}\n")


def test_only_whole_words_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = tmp_path / "examples" / "iot_pipeline"
    example.mkdir(parents=True)
    (example / ".gitignore").write_text("cdk.out\n*.swp\n", encoding="utf-8")
    names = "IotPipeline IotPipelineStack IotPipeline-dev IotPipelineChecks iot-pipeline iot-pipeline-dlq-dev"
    (example / "stack.py").write_text(names, encoding="utf-8")
    for left_over in ("cdk.out/manifest.json", "stack.py.swp"):
        (example / left_over).parent.mkdir(exist_ok=True)
        (example / left_over).touch()
    monkeypatch.setattr("iot_constructs.cli.init_command._CHECKOUT", example.parent)
    assert main(["init", str(tmp_path / "farm")]) == 0
    assert files(tmp_path / "farm") == {
        ".gitignore": "cdk.out\n*.swp\n",
        "stack.py": "Farm FarmStack Farm-dev IotPipelineChecks farm iot-pipeline-dlq-dev",
    }


@EVERY_PROJECT
def test_the_context_has_the_flags_of_cdk_init(construct: str, projects: dict[str, Path]) -> None:
    cdk_json = json.loads((projects[construct] / "cdk.json").read_text(encoding="utf-8"))
    assert cdk_json["context"] == recommended_flags()


def test_what_the_projects_have_in_common_is_the_same(projects: dict[str, Path]) -> None:
    for name in ("cdk.json", ".gitignore", "requirements.txt", "requirements-dev.txt"):
        assert len({files(project)[name] for project in projects.values()}) == 1, name


def test_it_goes_into_an_empty_folder_and_into_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "farm").mkdir()
    monkeypatch.chdir(tmp_path / "farm")
    assert main(["init", "."]) == 0
    assert "FarmStack" in Path("stack.py").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "cd " not in printed

    assert main(["init", "../my farm"]) == 0
    printed = capsys.readouterr().out
    assert "  cd '../my farm'\n" in printed
    assert "MyFarmStack" in Path("../my farm/stack.py").read_text(encoding="utf-8")
    assert "iot-constructs local" in printed
    assert "cdk deploy" in printed


@EVERY_PROJECT
def test_the_next_steps_name_the_messages_of_the_project(
    construct: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "farm"), "--construct", construct]) == 0
    printed = capsys.readouterr().out
    readme = (tmp_path / "farm" / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^iot-constructs local.*$", readme, re.MULTILINE)
    assert f"  {command}  # run it" in printed
    assert ("--payload" in command) == (tmp_path / "farm" / "messages.jsonl").is_file()


def test_it_needs_neither_cdk_nor_boto3_nor_node(tmp_path: Path) -> None:
    missing = ("aws_cdk", "constructs", "jsii", "boto3", "botocore")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
        "from iot_constructs.cli.main import main; sys.exit(main(['init', 'farm']))"
    )
    environment = {**os.environ, "PATH": "", "JSII_NODE": ""}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "farm" / "app.py").is_file()


# --- as a user runs them ----------------------------------------------------------------------------------------------


def start(command: list[str], cwd: Path, **variables: str) -> subprocess.Popen[str]:
    paths = [Path(sys.prefix) / part for part in ("bin", "cdk/bin", "cdk/node_modules/.bin")]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("CDK_", "AWS_"))},
        "PATH": os.pathsep.join([*map(str, paths), os.environ["PATH"]]),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "true",
        **variables,
    }
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def synths(projects: dict[str, Path]) -> dict[str, tuple[Path, str]]:
    """The assembly and the output of each ``cdk synth``."""
    outputs = {name: project.parent / f"out {name}" for name, project in projects.items()}
    started = {
        name: start(["cdk", "synth", "--quiet", "--output", str(outputs[name])], project)
        for name, project in projects.items()
    }
    return {name: (outputs[name], process.communicate()[0]) for name, process in started.items()}


def test_a_synth_prints_no_warning(synths: dict[str, tuple[Path, str]]) -> None:
    assert {name: printed for name, (_, printed) in synths.items() if printed} == {}
    assert [
        output for output, _ in synths.values() if not list(output.glob("*.template.json"))
    ] == []


def test_the_stack_and_the_tags_have_the_name(synths: dict[str, tuple[Path, str]]) -> None:
    folder = synths["pipeline"][0]
    manifest: Json = json.loads((folder / "manifest.json").read_text("utf-8"))
    stack = manifest["artifacts"]["GreenHousePipeline"]["properties"]
    assert stack["stackName"] == "GreenHousePipeline-dev"
    assert stack["tags"]["Project"] == "green-house-pipeline"


@EVERY_PROJECT
def test_the_tests_of_the_project_pass(construct: str, projects: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "pytest", "-q"]
    process = start(command, projects[construct], CDK_VALIDATION="false")
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert re.search(r"^[2-9] passed", printed, re.MULTILINE), printed


@EVERY_PROJECT
def test_the_project_is_typed_strictly(construct: str, projects: dict[str, Path]) -> None:
    # With the settings of this repository, strict too, which leave out what is not imported of aws-cdk-lib.
    process = subprocess.run(
        [
            *[sys.executable, "-m", "mypy", "--strict", f"--config-file={ROOT / 'pyproject.toml'}"],
            *[f"--cache-dir={ROOT / '.mypy_cache'}", "."],
        ],
        cwd=projects[construct],
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("full", "'full' is not empty; name a new folder, for example: iot-constructs init full-2"),
        ("file", "'file' is a file; name a new folder, for example: iot-constructs init file-2"),
        ("no/farm", "the folder no does not exist; create it: mkdir -p no"),
        ("2nd-farm", "'2nd-farm' is not a valid stack name"),
        ("fermé", "'fermé' is not a valid stack name"),
        ("farm-", "'farm-' is not a valid stack name"),
        ("/", "'' is not a valid stack name"),
        ("f" * 101, "at most 100 characters"),
        # stack.py imports it.
        ("suffixed", "choose a different name, for example: iot-constructs init my-suffixed"),
        ("/proc/farm", "cannot write to '/proc/farm'"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_type(
    directory: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full", "stack.py").write_text("mine", encoding="utf-8")
    Path("file").write_text("mine", encoding="utf-8")
    before = files(tmp_path)
    assert main(["init", directory]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert expected in printed.err
    assert re.search(r"iot-constructs init |mkdir ", printed.err)
    assert files(tmp_path) == before


@pytest.mark.parametrize("arguments", [["init"], ["init", "farm", "--construct", "two"]])
def test_a_missing_folder_and_an_unknown_kind_are_usage_errors(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("operation", ["write_text", "rename"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_in_the_middle_leaves_nothing(
    exists: bool,
    operation: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if exists:
        (tmp_path / "farm").mkdir()
    works = getattr(Path, operation)
    done: list[str] = []

    def full_disk(self: Path, *arguments: str, **options: str) -> object:
        if len(done) == 7:  # of the 8 entries of the project and its 10 files
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done.append(self.name)
        return works(self, *arguments, **options)

    monkeypatch.setattr(Path, operation, full_disk)
    assert main(["init", str(tmp_path / "farm")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert len(done) == 7
    assert [path.name for path in tmp_path.rglob("*")] == (["farm"] if exists else [])
