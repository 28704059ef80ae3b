"""The files that describe the project agree with what they are made from."""

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it
from packaging.requirements import Requirement

from tools.matrix_versions import floor_of

if TYPE_CHECKING:
    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_kinesis as kinesis
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_s3 as s3
    from aws_cdk import aws_sns as sns
    from aws_cdk import aws_sqs as sqs

    def mypy_knows_what_an_l2_has(
        *,
        bucket: s3.IBucket,
        function: lambda_.IFunction,
        queue: sqs.IQueue,
        stream: kinesis.IStream,
        table: dynamodb.ITableV2,
        topic: sns.ITopic,
    ) -> None:
        """Never runs. If one of these became Any, mypy would report its comment as unused."""
        bucket.no_such()  # type: ignore[attr-defined]
        function.no_such()  # type: ignore[attr-defined]
        queue.no_such()  # type: ignore[attr-defined]
        stream.no_such()  # type: ignore[attr-defined]
        table.no_such()  # type: ignore[attr-defined]
        topic.no_such()  # type: ignore[attr-defined]


ROOT = Path(__file__).parent.parent
MANIFEST = Path(".projen/files.json")


def relative_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with .projenrc.py and what it writes, and nothing else."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / ".projenrc.py", folder)
    subprocess.run([sys.executable, ".projenrc.py"], cwd=folder, check=True)
    return folder


def test_generated_files_are_those_that_projenrc_writes(regenerated: Path) -> None:
    written = relative_files(regenerated) - {".projenrc.py"}
    assert written == set(json.loads((ROOT / MANIFEST).read_text())["files"])
    changed = [name for name in sorted(written) if not same_bytes(ROOT / name, regenerated / name)]
    assert not changed, f"edited by hand, or `make projen` was not run: {changed}"


def same_bytes(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()


def test_every_lint_exception_states_its_reason() -> None:
    text = (ROOT / "ruff.toml").read_text()
    exceptions = re.findall(r'^(?:ignore|"[^"]+") = \[\n(.*?)^\]', text, re.MULTILINE | re.DOTALL)
    lines = [line for block in exceptions for line in block.splitlines()]
    assert lines
    assert [line for line in lines if not re.fullmatch(r' +"\w+", +# .{10,}', line)] == []


def normalized(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_constraints_pin_every_dependency() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = stated["project"]["optional-dependencies"]
    groups = [*stated["dependency-groups"].values(), *extras.values()]
    wanted = {normalized(it) for group in groups for it in group}
    wanted |= {normalized(it) for it in stated["project"]["dependencies"]}
    assert wanted
    assert wanted - {normalized(name) for name in pinned} == set(), "run `make constraints`"


def test_constraints_name_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    # A pin, or a comment that says who needs it: no registry address, no path.
    allowed = re.compile(r"[\w.-]+==[\w.+!]+( ; [^/]+)?|\s*#[^/]*")
    assert [line for line in lines if not allowed.fullmatch(line)] == []


def runtime_dependencies() -> list[Requirement]:
    stated = [Requirement(line) for line in requires("iot-constructs") or []]
    return [requirement for requirement in stated if requirement.marker is None]


def test_the_package_goes_into_an_environment_with_the_solutions_constructs() -> None:
    text = (ROOT / "bench" / "peers" / "requirements-solutions-constructs.txt").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    wanted = runtime_dependencies()
    assert {it.name for it in wanted} <= pinned.keys()
    assert [it for it in wanted if pinned[it.name] not in it.specifier] == []


@pytest.mark.parametrize("document", ["README.md", "docs/guide/adopt.md"])
def test_documents_name_the_lowest_aws_cdk_lib(document: str) -> None:
    [floor] = [floor_of(it) for it in runtime_dependencies() if it.name == "aws-cdk-lib"]
    named = re.findall(r"`aws-cdk-lib`\s(\d+\.\d+)", (ROOT / document).read_text())
    assert {f"{version}.0" for version in named} == {floor}


def aws_cdk_modules(source: str) -> set[str]:
    """The aws_cdk modules that a Python source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "aws_cdk":
            # Modules are in lower case, classes are not.
            found |= {f"aws_cdk.{alias.name}" for alias in node.names if alias.name.islower()}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] == "aws_cdk"}


def test_mypy_reads_every_aws_cdk_module_that_is_imported() -> None:
    tops = ("src", "tests", "examples", "bench", "tools")
    sources = [path for top in tops for path in (ROOT / top).rglob("*.py")]
    imported = set().union(*(aws_cdk_modules(path.read_text()) for path in sources))
    assert imported
    pyproject = (ROOT / "pyproject.toml").read_text()
    unread = {name for name in imported if f'"{name}"' not in pyproject}
    assert unread == set(), "add them to AWS_SERVICES in .projenrc.py, then run `make projen`"
