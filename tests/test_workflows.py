"""What the workflows may do: the least that each job needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = sorted((Path(__file__).parent.parent / ".github" / "workflows").glob("*.yml"))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_job_has_rights_that_it_does_not_state(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert [name for name, job in workflow["jobs"].items() if "permissions" not in job] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert used
    # The version behind it is what Dependabot reads.
    assert [it for it in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", it)] == []


def test_only_the_upload_may_publish_and_it_runs_no_code_of_the_repository() -> None:
    jobs = {
        (path.name, name): job for path in WORKFLOWS for name, job in load(path)["jobs"].items()
    }
    able = {key for key, job in jobs.items() if "id-token" in job["permissions"]}
    assert able == {("release.yml", "publish")}
    publish = jobs["release.yml", "publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    used = [step.get("uses", "a command").partition("@")[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]
    assert jobs["release.yml", "build"]["permissions"] == {"contents": "read"}
