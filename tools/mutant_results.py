"""Verdicts of earlier runs, one file each: a run repeats only what a change touched, or what was cut off."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tools.mutant import Job
from tools.mutant_dependencies import Dependencies

Verdict = Literal["killed", "survived"]


@dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    name: str
    verdict: Verdict
    by: str
    """The test that failed; nothing where none did."""


class KeptResults:
    """A folder of verdicts."""

    def __init__(self, folder: Path, dependencies: Dependencies) -> None:
        self._folder = folder
        self._dependencies = dependencies

    def of(self, job: Job) -> Result | None:
        """The verdict, if it still holds."""
        kept = self._read(job)
        if kept is None or kept["key"] != self._key(job, kept["by"]):
            return None
        return Result(job.mutant.name, "killed" if kept["by"] else "survived", kept["by"])

    def noticed_by(self, job: Job) -> str:
        """The test that noticed the mutant the last time: it is the likeliest to do so again."""
        kept = self._read(job)
        return kept["by"] if kept is not None else ""

    def keep(self, job: Job, result: Result) -> None:
        """Write a verdict down."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = {"key": self._key(job, result.by), "name": result.name, "by": result.by}
        self._path(job).write_text(json.dumps(kept), encoding="utf-8")

    def _key(self, job: Job, by: str) -> str:
        # A test that failed fails again, whatever the other files hold; a survivor may be noticed by any.
        file = by.split("::", maxsplit=1)[0]
        tests = (file,) if file in job.tests else job.tests
        return self._dependencies.key(job.mutant.file, job.text, tests)

    def _read(self, job: Job) -> dict[str, str] | None:
        try:
            kept: dict[str, str] = json.loads(self._path(job).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none, or a run was ended while it wrote
            return None
        return kept

    def _path(self, job: Job) -> Path:
        return self._folder / f"{hashlib.sha256(job.mutant.name.encode()).hexdigest()[:20]}.json"
