"""The library's tests with the lowest and the newest aws-cdk-lib that it supports, on each Python: `make matrix`."""

import re
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
# aws-cdk-lib, constructs and jsii: what a user's app shares with the library.
DEPENDENCIES: list[str] = PYPROJECT["project"]["dependencies"]
# They ask for a newer jsii than the lowest, and only tests of the repository's own tools need them.
LEFT_OUT = {"projen", "cdk-nag"}
DEVELOPMENT = [
    name for name in nox.project.dependency_groups(PYPROJECT, "dev") if name not in LEFT_OUT
]
EXTRAS = ",".join(PYPROJECT["project"]["optional-dependencies"])
# The tests that depend on no version that a user has: what they run is pinned, or is part of the repository.
IGNORED = [
    *("tests/bench", "tests/chaos", "tests/docs", "tests/e2e", "tests/local", "tests/packs"),
    *("tests/tools", "tests/test_keywords.py", "tests/test_project_files.py"),
    "tests/test_workflows.py",
]

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.envdir = "build/nox"


@nox.session(python=PYTHONS)
@nox.parametrize("cdk", ["lowest", "newest"])
def tests(session: nox.Session, cdk: str) -> None:
    """Run the library's tests, or those behind `--`."""
    # Exactly the lower bounds: nothing else that is installed may ask for more.
    lowest = [re.sub(r">=([\d.]+).*", r"==\1", requirement) for requirement in DEPENDENCIES]
    session.install(
        *["--constraint", constraints(session), "--build-constraint", "constraints.txt"],
        *["--editable", f".[{EXTRAS}]", *(DEPENDENCIES if cdk == "newest" else lowest)],
        *DEVELOPMENT,
    )
    arguments = session.posargs or ["tests", *(f"--ignore={path}" for path in IGNORED)]
    # Without the cache: the next `pytest --last-failed` is about .venv.
    session.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


def constraints(session: nox.Session) -> str:
    """Write constraints.txt without the dependencies and what belongs to a version of aws-cdk-lib."""
    free = ("aws-cdk-", *(re.sub(r">=.*", "==", requirement) for requirement in DEPENDENCIES))
    lines = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
    path = Path(session.create_tmp(), "constraints.txt")
    path.write_text(
        "\n".join(line for line in lines if not line.startswith(free)), encoding="utf-8"
    )
    return str(path)
