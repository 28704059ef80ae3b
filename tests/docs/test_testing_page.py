"""docs/guide/testing-your-handler.md: its tests run, and find what it shows."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from iot_constructs.testing import Kind, Report, simulate

_ROOT = Path(__file__).resolve().parents[2]
_PATH = _ROOT / "docs" / "guide" / "testing-your-handler.md"
_PAGE = _PATH.read_text(encoding="utf-8")
_FILES = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', _PAGE, re.M | re.S))
_OUTPUTS = dict(re.findall(r'^``` title="output of ([^"]+)"\n(.*?)^```$', _PAGE, re.M | re.S))
_TESTS = [name for name in _FILES if name.startswith("test_")]


def output_of(name: str, folder: Path) -> str | None:
    """Run a test of the page, and return the text of its AssertionError, if it fails."""
    (folder / "function").mkdir()
    for path, text in _FILES.items():
        (folder / path).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", name],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        return None
    error = textwrap.dedent("\n".join(re.findall(r"^E((?: .*?)?) *$", done.stdout, re.M)))
    return error.removeprefix("AssertionError: ") + "\n"


@pytest.mark.parametrize("name", _TESTS)
def test_a_test_of_the_page_has_the_output_of_the_page(name: str, tmp_path: Path) -> None:
    assert output_of(name, tmp_path) == _OUTPUTS.get(name)


def test_three_tests_of_the_page_find_something() -> None:
    assert len(_OUTPUTS) == 3
    assert _OUTPUTS.keys() < set(_TESTS)


def test_the_page_has_every_argument_finding_and_assertion() -> None:
    arguments = set(inspect.signature(simulate).parameters)
    assert {name for name in arguments if f"`{name}" not in _PAGE} <= {"environment"}
    assertions = {name for name in vars(Report) if name.startswith("assert_")}
    assert assertions == set(re.findall(r"(assert_\w+)\(\)", _PAGE))
    assert len(Kind) == 7  # the kinds that the row of `faults` lists
