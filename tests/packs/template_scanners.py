"""cfn-lint and checkov, which read templates: each run once, over a folder of all of them.

cfn-lint is in .venv. checkov pins what others have newer, so it has .venv-checkov to itself; the Makefile makes it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKOV_CONFIG = Path(__file__).with_name("checkov.yaml")
CFN_LINT, CHECKOV = "cfn-lint", "checkov"
_CHECKOV_PROGRAM = ROOT / ".venv-checkov" / "bin" / "checkov"


class Hit(NamedTuple):
    """A rule that a scanner reports for a resource of a template."""

    folder: str
    file: str
    rule: str
    logical_id: str


def run_cfn_lint(folder: Path) -> set[Hit]:
    """Every match of its default rules, warnings included, in the templates of the sub-folders."""
    templates = sorted(map(str, folder.glob("*/*.json")))
    matches = _json_of([str(Path(sys.prefix, "bin", CFN_LINT)), "--format=json", "--", *templates])
    return {
        _hit(match["Filename"], match["Rule"]["Id"], _resource(match["Location"]["Path"]))
        for match in matches
    }


def run_checkov(folder: Path) -> set[Hit]:
    """Every failed check of the templates in the sub-folders; it asks no network."""
    if not _CHECKOV_PROGRAM.is_file():
        raise FileNotFoundError(f"{_CHECKOV_PROGRAM} is missing; type: make setup")
    report = _json_of(
        [
            str(_CHECKOV_PROGRAM),
            f"--directory={folder}",
            "--framework=cloudformation",
            "--skip-download",
            "--soft-fail",
            "--quiet",
            "--compact",
            "--output=json",
        ]
    )
    assert report["summary"]["parsing_errors"] == 0, report["summary"]
    return {
        _hit(check["file_path"], check["check_id"], check["resource"].rpartition(".")[2])
        for check in report["results"]["failed_checks"]
    }


def _hit(file: str, rule: str, logical_id: str) -> Hit:
    path = Path(file)
    return Hit(path.parent.name, path.name, rule, logical_id)


def _resource(path: list[Any]) -> str:
    return str(path[1]) if path[:1] == ["Resources"] else "/".join(map(str, path[:2]))


def _json_of(command: list[str]) -> Any:
    # The status says that something was found; a run that broke off prints no JSON.
    done = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    return json.loads(done.stdout)


def checkov_version() -> str:
    """The version that is in .venv-checkov, as it is pinned."""
    pins = (Path(__file__).parent / "requirements-checkov.txt").read_text(encoding="utf-8")
    return pins.partition("\ncheckov==")[2].partition("\n")[0]
