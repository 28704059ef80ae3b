"""Each peer gets an environment of its own, made once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers import environments


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The environments that were made, in a folder of the test's own and without installing anything."""
    folders: list[Path] = []

    def make(folder: Path, python: Path, pins: Path) -> None:
        assert not folder.exists()
        python.parent.mkdir(parents=True)
        folders.append(folder)

    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(environments, "_make", make)
    return folders


@pytest.mark.parametrize("peer", environments.PEERS)
def test_requirements_are_pins_and_nothing_else(peer: str) -> None:
    lines = environments.requirements(peer).read_text().splitlines()
    # No registry address and no path: the reader's own registry has the packages.
    allowed = re.compile(r"# [^/]*|[\w-]+==[\w.]+( ; [^/]+)?")
    assert [line for line in lines if not allowed.fullmatch(line)] == []
    assert any(line.startswith("aws-cdk-lib==") for line in lines)


def test_an_environment_is_made_once(made: list[Path]) -> None:
    python = environments.python_of("plain_l2")
    assert environments.python_of("plain_l2") == python
    assert made == [environments.ENVIRONMENTS / "plain_l2"]


def test_it_is_made_again_when_the_requirements_change(
    made: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environments.python_of("plain_l2")
    changed = tmp_path / "requirements.txt"
    changed.write_text("aws-cdk-lib==2.276.0\n")
    monkeypatch.setattr(environments, "requirements", lambda peer: changed)
    environments.python_of("plain_l2")
    assert len(made) == 2


def test_what_broke_off_is_made_again(
    made: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def break_off(folder: Path, python: Path, pins: Path) -> None:
        folder.mkdir()
        raise subprocess.CalledProcessError(1, "install")

    with monkeypatch.context() as broken:
        broken.setattr(environments, "_make", break_off)
        with pytest.raises(subprocess.CalledProcessError):
            environments.python_of("plain_l2")
    environments.python_of("plain_l2")
    assert len(made) == 1


def test_an_unknown_peer_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError) as caught:
        environments.python_of("terraform")
    assert "'terraform'" in str(caught.value)
    assert "plain_l2" in str(caught.value)


def test_a_peer_runs_on_its_own_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("JSII_NODE", "/a/node")
    variables = environments.process_environment(CDK_VALIDATION="false")
    assert "PYTHONPATH" not in variables
    assert variables["JSII_NODE"] == "/a/node"
    assert variables["CDK_VALIDATION"] == "false"


def test_the_node_of_the_repository_is_used_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JSII_NODE", raising=False)
    node = Path(environments.process_environment()["JSII_NODE"])
    assert node == Path(sys.prefix) / "cdk" / "bin" / "node"
