"""The page on checking templates: what it shows runs and prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "guide" / "check.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", _PAGE, re.M | re.S)
_SHELL = [block for language, block in _BLOCKS if not language]
_YAML = [yaml.safe_load(block) for language, block in _BLOCKS if language == "yaml"]
_WORKFLOWS = [block for block in _YAML if "jobs" in block]
_TABLE = """\
Resources:
  Readings:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Delete
    Properties:
      BillingMode: PAY_PER_REQUEST
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "table.yaml").write_text(_TABLE)
    return tmp_path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as a step of GitHub Actions does."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-e", "-c", command],
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": tools, "HOME": str(folder)},
        capture_output=True,
        text=True,
    )


def run_lines(workflow: Any) -> list[str]:
    return [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]


@pytest.mark.parametrize("workflow", _WORKFLOWS)
def test_the_steps_of_github_actions_run(workflow: Any, repository: Path) -> None:
    install, check = run_lines(workflow)
    extra = re.fullmatch(r"pip install 'iot-constructs\[(\w+)\]'", install)
    assert extra
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert extra[1] in project["optional-dependencies"]

    done = shell(check, repository)
    assert done.returncode == 1, done.stderr
    uploads = [
        step.get("with", {}).get("sarif_file") for step in workflow["jobs"]["check"]["steps"]
    ]
    if any(uploads):
        assert '"ruleId": "E9302"' in (repository / next(filter(None, uploads))).read_text()
    else:
        assert "::error file=templates/table.yaml,line=5," in done.stdout


def test_the_page_has_both_workflows() -> None:
    assert len(_WORKFLOWS) == 2


def test_the_command_prints_what_the_page_shows(repository: Path) -> None:
    _, command = _commands("pip install")
    [shown] = [block for block in _SHELL if block.startswith("IOT_")]
    assert shell(command, repository).stdout == shown


def test_the_commands_within_cfn_lint_find_the_same(repository: Path) -> None:
    [command] = _commands("cfn-lint")
    assert "E9302" in shell(command, repository).stdout
    [config] = [block for block in _YAML if "append_rules" in block]
    (repository / ".cfnlintrc").write_text(yaml.safe_dump(config))
    assert "E9302" in shell("cfn-lint templates/table.yaml", repository).stdout


def test_the_hook_of_the_page_is_the_one_of_the_repository() -> None:
    hooks = yaml.safe_load((_ROOT / ".pre-commit-hooks.yaml").read_text())
    shown = [hook for block in _YAML if "repos" in block for hook in block["repos"][0]["hooks"]]
    assert [hook["id"] for hook in shown] == [hook["id"] for hook in hooks]
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    [extra] = hooks[0]["additional_dependencies"]
    assert extra.strip(".[]") in project["optional-dependencies"]


def _commands(first_word: str) -> list[str]:
    """The lines of the one block that begins with ``first_word``."""
    [block] = [block for block in _SHELL if block.startswith(first_word)]
    return list(block.splitlines())
