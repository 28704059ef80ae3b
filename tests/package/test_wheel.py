"""The wheel, in somebody else's environment: what is in it, that it runs, and that it type-checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = str(Path(sys.executable).parent / "uv")
LARGEST_BYTES = 600_000
PROJECTS = {"iot_pipeline", "one_construct", "existing_app"}

# An app that has nothing to do with this library, in whose environment it is installed.
UNRELATED = """
import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

app = cdk.App()
s3.Bucket(cdk.Stack(app, "Unrelated"), "Bucket")
app.synth()
"""
CONSUMER = """
import aws_cdk as cdk
from aws_cdk import aws_kinesis as kinesis

from iot_constructs import AlarmThresholds, MonitoredStream, PipelineAlarms, SuffixedStack, TimeSeriesTable

stack = SuffixedStack(cdk.App(), "Telemetry", environment_suffix="dev")
stream: kinesis.IStream = MonitoredStream(stack, "Stream", shard_count=2)
table = TimeSeriesTable(stack, "Readings", retention=cdk.Duration.days(90))
PipelineAlarms(stack, "Alarms", stream=stream, thresholds=AlarmThresholds(processor_errors=5))
name: str = table.table_name
"""
MISTAKE = CONSUMER.replace("retention=", "retension=")
# Of aws-cdk-lib the root only: reading all of its services takes minutes, and changes nothing here.
MYPY = """
[mypy]
strict = True
[mypy-aws_cdk.*]
follow_imports = skip
[mypy-aws_cdk]
follow_imports = normal
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    constraints = str(ROOT / "constraints.txt")
    run(
        *[UV, "build", "--quiet", "--build-constraint", constraints],
        *["--out-dir", str(folder), str(ROOT)],
    )
    return folder


@pytest.fixture(scope="module")
def consumer(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with an unrelated app's packages, and then the wheel."""
    folder = tmp_path_factory.mktemp("consumer")
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    install = [UV, "pip", "install", "--quiet", "--python", str(python)]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    run(*install, *constraints, "aws-cdk-lib", "constructs")
    run(*install, *constraints, wheel_in(dist))
    return python


def run(
    *command: str | Path, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def wheel_in(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def test_the_wheel_is_small_and_has_the_package_only(dist: Path) -> None:
    with zipfile.ZipFile(wheel_in(dist)) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"iot_constructs"}
    assert {
        "iot_constructs/py.typed",
        "iot_constructs/processor/handler.py",
        "iot_constructs/local/emulator.py",
        *(
            f"iot_constructs/cli/projects/{project}/{file}"
            for project in PROJECTS
            for file in ("app.py", "stack.py", "cdk.json", ".gitignore", "tests/test_stack.py")
        ),
    } <= set(names)
    assert [name for name in names if "cdk.out" in name or "__pycache__" in name] == []
    assert wheel_in(dist).stat().st_size < LARGEST_BYTES
    assert "Requires-Dist: boto3" in text
    assert "extra == 'ops'" in text
    assert "extra == 'local'" in text


def test_every_link_of_the_description_is_absolute(dist: Path) -> None:
    """PyPI shows README.md, which has no folder there: a link leads to the tag of the version."""
    with zipfile.ZipFile(wheel_in(dist)) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
    [repository] = re.findall(r"^Project-URL: Source, (.*)$", text, re.MULTILINE)
    [version] = re.findall(r"^Version: (.*)$", text, re.MULTILINE)
    links = re.findall(r"\]\(([^)]*)\)", text.partition("\n\n")[2])
    assert [link for link in links if not link.startswith("https://")] == []
    ours = [link.removeprefix(f"{repository}/") for link in links if link.startswith(repository)]
    assert ours
    for link in ours:
        view, tag, path = link.partition("#")[0].split("/", 2)
        assert view == ("raw" if path.endswith(".svg") else "blob")
        assert tag == f"v{version}"
        assert (ROOT / path).exists(), path


def test_the_sdist_has_what_git_has(dist: Path) -> None:
    """`uv build` makes the wheel of the sdist."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = [item for item in archive.getmembers() if item.isfile()]
    found = {item.name.split("/", 1)[1] for item in members} - {"PKG-INFO"}
    tracked = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    assert set(filter(None, tracked)) <= found


def test_only_the_extra_brings_boto3(consumer: Path) -> None:
    done = run(UV, "pip", "list", "--python", consumer)
    assert "iot-constructs" in done.stdout
    assert "boto" not in done.stdout


def test_every_name_can_be_imported(consumer: Path, tmp_path: Path) -> None:
    code = "import iot_constructs as i; print(len([getattr(i, name) for name in i.__all__]))"
    count = int(run(consumer, "-c", code, cwd=tmp_path).stdout)
    assert count >= 13


def test_the_ten_lines_of_the_readme_synthesize_beside_another_app(
    consumer: Path, tmp_path: Path
) -> None:
    readme = ROOT.joinpath("README.md").read_text(encoding="utf-8")
    example = readme.split("```python\n")[1].split("```")[0]
    for name, code in {"unrelated": UNRELATED, "ours": example}.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        run(consumer, f"{name}.py", cwd=tmp_path, CDK_OUTDIR=str(tmp_path / name))
    assert (tmp_path / "unrelated" / "Unrelated.template.json").is_file()
    template = (tmp_path / "ours" / "Telemetry.template.json").read_text(encoding="utf-8")
    assert '"iot-stream-processor-dev"' in template


def test_the_commands_are_on_the_path(consumer: Path, tmp_path: Path) -> None:
    done = run(consumer.parent / "iot-constructs", "--help", cwd=tmp_path)
    assert "redrive" in done.stdout
    assert "check" in done.stdout
    shown = run(consumer.parent / "iot-constructs", "--version", cwd=tmp_path).stdout
    printed = run(consumer, "-c", "import iot_constructs as i; print(i.__version__)", cwd=tmp_path)
    assert shown == f"iot-constructs {printed.stdout}"


def test_a_consumer_type_checks_strictly_and_a_misspelt_argument_does_not(
    consumer: Path, tmp_path: Path
) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER, encoding="utf-8")
    (tmp_path / "mistake.py").write_text(MISTAKE, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(MYPY, encoding="utf-8")
    done = subprocess.run(
        [
            *[sys.executable, "-m", "mypy", "--python-executable", str(consumer)],
            *["consumer.py", "mistake.py"],
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert errors[0].startswith("mistake.py")
    assert 'Unexpected keyword argument "retension"' in errors[0]


def test_a_project_written_from_the_wheel_runs(consumer: Path, tmp_path: Path) -> None:
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    run(UV, "pip", "install", "--quiet", "--python", consumer, *constraints, "pytest")
    # The folder of CDK's command line, and its Node.
    paths = [
        consumer.parent,
        *(Path(sys.prefix, "cdk", part) for part in ("bin", "node_modules/.bin")),
    ]
    path = os.pathsep.join([*map(str, paths), os.environ["PATH"]])
    printed = run(consumer.parent / "iot-constructs", "init", "my-pipeline", cwd=tmp_path)
    assert "cd my-pipeline" in printed.stdout

    project = tmp_path / "my-pipeline"
    assert "class MyPipelineStack(" in (project / "stack.py").read_text(encoding="utf-8")
    # The wheel meets the project's requirements, so nothing is downloaded.
    requirements = ["--offline", "--requirement", "requirements.txt"]
    run(UV, "pip", "install", "--python", consumer, *requirements, cwd=project)
    assert " passed" in run(consumer, "-m", "pytest", "-q", cwd=project, PATH=path).stdout
    synth = run("cdk", "synth", "--quiet", cwd=project, PATH=path)
    assert synth.stdout + synth.stderr == ""
    template = (project / "cdk.out" / "MyPipeline.template.json").read_text(encoding="utf-8")
    assert '"iot-stream-processor-dev"' in template
