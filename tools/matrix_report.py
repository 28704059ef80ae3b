"""What a run of a combination came to, and the tables and lines that say so."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tools.matrix_pythons import Missing
from tools.matrix_versions import SHOWN, Level


@dataclass(frozen=True)
class Counts:
    """How many tests went how."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in asdict(self).items() if n or name == "passed")


@dataclass(frozen=True)
class Outcome:
    """One combination that was tried."""

    python: str
    level: Level
    versions: dict[str, str] = field(default_factory=dict)
    counts: Counts = Counts()
    seconds: float = 0
    problem: str = ""
    """Why it did not pass, in one line; empty if it did."""

    @property
    def ok(self) -> bool:
        """Whether everything that ran passed, and something ran."""
        return not self.problem

    def as_json(self) -> dict[str, Any]:
        """What the JSON line of it has."""
        shown = {name: self.versions.get(name) for name in SHOWN}
        measured = {"seconds": round(self.seconds), "ok": self.ok, "problem": self.problem or None}
        return {
            "python": self.python,
            "cdk": self.level,
            **shown,
            **asdict(self.counts),
            **measured,
        }


def read_counts(report: Path) -> Counts:
    """The counts of a JUnit report of pytest."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    if suite is None:
        raise ValueError(f"{report}: is no report of pytest")
    of = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    passed = of["tests"] - of["failures"] - of["errors"] - of["skipped"]
    return Counts(passed, of["failures"], of["errors"], of["skipped"])


def problem_of(returncode: int, counts: Counts, log: str) -> str:
    """Why a run of pytest is no pass; empty if it is one."""
    if counts.failed or counts.errors:
        names = re.findall(r"^(?:FAILED|ERROR) (\S+)", log, re.MULTILINE)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{', '.join(names[:3])}{more}"
    if returncode != 0:
        return f"pytest ended with {returncode}"
    return "" if counts.passed else "no test ran"


def table(outcomes: Sequence[Outcome], missing: Sequence[Missing]) -> str:
    """The summary, for people."""
    rows: list[tuple[str, ...]] = [("python", *SHOWN, "", "tests", "seconds", "")]
    for it in outcomes:
        shown = [it.versions.get(name, "-") for name in SHOWN]
        verdict = "passed" if it.ok else "FAILED"
        rows.append((it.python, *shown, it.level, str(it.counts), f"{it.seconds:.0f}", verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *map(str, missing)])


def json_lines(outcomes: Sequence[Outcome], missing: Sequence[Missing]) -> str:
    """The same for programs: one line a combination, and one a Python that is missing."""
    lines = [it.as_json() for it in outcomes]
    return "\n".join(
        json.dumps(line)
        for line in [*lines, *({"python": it.wanted, "missing": it.why} for it in missing)]
    )
