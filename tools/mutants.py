"""Breaks the library in one place at a time and counts how often a test notices: ``python -m tools.mutants``.

Five families: another value for every row of ``_defaults.py`` (mutate_defaults); every decision in the constructs, in
the rules and in the injectors (mutate_python); every rule and filter in Guard (mutate_guard).
Each mutant is made in a copy of the repository and runs against the tests that concern its module (mutant_tests), until
the first one fails. Verdicts are kept in build/mutants, and hold until something changes that they depend on: a run
that was ended goes on, and a change to one construct repeats the mutants that it may concern. A complete run writes its
counts to docs/mutants.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tools import mutant_tests
from tools.call_targets import CallTargets
from tools.mutant import Job, Mutant, numbered
from tools.mutant_corrections import corrections_of
from tools.mutant_dependencies import Dependencies
from tools.mutant_results import KeptResults, Result
from tools.mutant_runner import BrokenTestsError, run
from tools.mutants_equivalent import reason_for
from tools.mutate_defaults import mutate_defaults
from tools.mutate_guard import mutate_guard
from tools.mutate_python import mutate_python
from tools.working_copy import ROOT

REPORT: Final = ROOT / "docs" / "mutants.json"
KEPT: Final = ROOT / "build" / "mutants"
ENOUGH: Final = 0.95
_PACKAGE: Final = "src/iot_constructs"
_RULES: Final = f"{_PACKAGE}/rules"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    jobs = {
        family: [job for job in found if any(it in job.mutant.name for it in options.only or [""])]
        for family, found in all_jobs().items()
    }
    wanted = [job for found in jobs.values() for job in found]
    if options.list:
        for job in wanted:
            print(job.mutant.name)
        print(json.dumps({family: len(found) for family, found in jobs.items()}))
        return 0
    if options.fresh:
        shutil.rmtree(KEPT, ignore_errors=True)
    kept = KeptResults(KEPT, Dependencies(ROOT))
    equivalent = {job.mutant.name for job in wanted if reason_for(job.mutant.name)}
    judged = [job for job in wanted if job.mutant.name not in equivalent]
    if options.equivalent:
        judged = [job for job in wanted if job.mutant.name in equivalent]
    try:
        progress = _Progress(len(judged), options.json)
        results = run(judged, options.jobs, ROOT, kept, progress)
    except BrokenTestsError as error:
        print(error, file=sys.stderr)
        return 2
    report = _report(jobs, results)
    if not options.only and not options.equivalent:
        REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: report[key] for key in ("total", "killed", "survived", "corrections")}))
    share = report["killed"] / report["total"] if report["total"] else 1
    corrections = report["corrections"]
    return int(share < ENOUGH or corrections["killed"] < corrections["total"])


def all_jobs() -> dict[str, list[Job]]:
    """Every mutant of the repository, by family."""
    constructs = {module: _read(f"{_PACKAGE}/{module}") for module in mutant_tests.CONSTRUCTS}
    defaults = f"{_PACKAGE}/_defaults.py"
    tests = mutant_tests.tests_of_defaults(constructs)
    table = _read(defaults)
    rows = numbered(mutate_defaults(defaults, table))
    families = {"defaults": [_job(row, table, tests[row.place]) for row in rows]}
    families["constructs"] = [
        job
        for module, source in constructs.items()
        for job in _jobs(f"{_PACKAGE}/{module}", source, mutant_tests.tests_of_construct(module))
    ]
    for module in mutant_tests.RULES:
        file, checking = f"{_RULES}/{module}", mutant_tests.tests_of_rules(module)
        families.setdefault(_family(module), []).extend(_jobs(file, _read(file), checking))
    return families


def _family(module: str) -> str:
    if module.endswith(".guard"):
        return "guard"
    return "injectors" if module.startswith("injectors") else "rules"


def _jobs(file: str, source: str, tests: tuple[str, ...]) -> list[Job]:
    if file.endswith(".guard"):
        found = mutate_guard(file, source)
    else:
        name = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
        found = mutate_python(file, source, CallTargets(importlib.import_module(name)))
    return [_job(mutant, source, tests) for mutant in numbered(found)]


def _job(mutant: Mutant, source: str, tests: tuple[str, ...]) -> Job:
    return Job(mutant, mutant.apply(source), tests)


def _read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def _report(jobs: Mapping[str, Sequence[Job]], results: Mapping[str, Result]) -> dict[str, Any]:
    """The counts. No date, no times: the same code gives the same file."""
    killed = {name for name, result in results.items() if result.verdict == "killed"}
    survived = [name for name, result in results.items() if result.verdict == "survived"]
    corrections: dict[str, dict[str, int]] = {}
    corrected = set()
    for name in results:
        for number in corrections_of(name):
            corrected.add(name)
            row = corrections.setdefault(str(number), {"total": 0, "killed": 0})
            row["total"] += 1
            row["killed"] += name in killed
    names = {family: {job.mutant.name for job in found} for family, found in jobs.items()}
    return {
        "total": len(results),
        "killed": len(killed),
        "survived": sorted(survived),
        "families": {
            family: {"total": len(found & set(results)), "killed": len(found & killed)}
            for family, found in names.items()
        },
        "corrections": {
            "total": len(corrected),
            "killed": len(corrected & killed),
            "of": dict(sorted(corrections.items())),
        },
        "equivalent": {
            name: reason_for(name)
            for found in names.values()
            for name in sorted(found)
            if reason_for(name)
        },
    }


class _Progress:
    """A line for each mutant that survived, and now and then how far it is."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._done = 0
        self._began = time.monotonic()

    def __call__(self, result: Result) -> None:
        self._done += 1
        if self._quiet:
            return
        if result.verdict == "survived" or result.by == "time limit":
            print(f"{result.verdict} {result.by}: {result.name}", file=sys.stderr)
        if self._done % 20 == 0 or self._done == self._total:
            seconds = time.monotonic() - self._began
            print(f"{self._done} of {self._total} in {seconds:.0f} s", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument(
        "--only",
        action="append",
        metavar="SUBSTRING",
        help="names that contain this; may be repeated",
    )
    parser.add_argument("--fresh", action="store_true", help="forget the verdicts of earlier runs")
    parser.add_argument("--list", action="store_true", help="name the mutants and run none")
    parser.add_argument("--json", action="store_true", help="print the last line only")
    parser.add_argument(
        "--equivalent", action="store_true", help="run those that are listed as equivalent instead"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
