"""Runs the suite with the lowest and the newest aws-cdk-lib on every Python it finds: ``python -m tools.matrix``.

The lowest versions are the lower bounds in pyproject.toml, installed exactly; the newest are those that the registry
has on that day. Everything else is pinned by constraints.txt. The lowest run on the oldest Python there is and on the
running one; the newest on every Python. A Python that is not here and that uv cannot bring is said to be missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final

from tools.matrix_environment import Environment, NotInstalledError
from tools.matrix_pythons import Found, Missing, find, running, supported
from tools.matrix_report import Outcome, json_lines, problem_of, read_counts, table
from tools.matrix_versions import LEVELS, ROOT, Level, differences, environment_name, minor, wanted

FOLDER: Final = ROOT / "build" / "matrix"

LEFT_OUT: Final = {
    "tests/e2e": "the example's deployment into the emulator, which brings its own packages",
    "tests/local": "the same, in parts",
    "tests/bench": "compares with peers, whose versions are pinned",
    "tests/docs": "the documents of the repository",
    "tests/packs": "scanners of templates, whose versions are pinned",
    "tests/tools": "the tools of the repository",
    "tests/test_keywords.py": "lints templates with cfn-lint, whose version is pinned",
    "tests/test_project_files.py": "the files that describe the project",
}
"""What the suite leaves out: it depends on no version that a user of the library has."""

Combination = tuple[Found, Level]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    pythons = sorted(options.python or supported(), key=minor)
    answers = [find(python, FOLDER / "pythons") for python in pythons]
    found = [it for it in answers if isinstance(it, Found)]
    missing = [it for it in answers if isinstance(it, Missing)]
    for gap in missing:
        print(gap, flush=True)
    levels = [options.cdk] if options.cdk else LEVELS
    combinations = plan(found, levels, running())
    print(f"{len(combinations)} combinations, {options.jobs} at a time", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        running_ones = [pool.submit(_run, *it, options.tests) for it in combinations]
        for number, done in enumerate(as_completed(running_ones), 1):
            print(f"[{number}/{len(combinations)}] {_in_a_line(done.result())}", flush=True)
    outcomes = [it.result() for it in running_ones]
    print(f"\n{table(outcomes, missing)}\n\n{json_lines(outcomes, missing)}")
    return verdict(outcomes, missing, strict=options.strict)


def plan(found: Sequence[Found], levels: Sequence[Level], running: str) -> list[Combination]:
    """The combinations to run: the newest versions on each Python, the lowest on the oldest and on the running one."""
    oldest = {it.wanted for it in found[:1]}
    here = {it.wanted for it in found if it.wanted == running}
    of_level = {"lowest": oldest | here, "newest": {it.wanted for it in found}}
    return [(it, level) for level in levels for it in found if it.wanted in of_level[level]]


def verdict(outcomes: Sequence[Outcome], missing: Sequence[Missing], *, strict: bool) -> int:
    """The exit code: 0 if all that ran passed and something ran, and with ``strict`` nothing was missing."""
    return int(not outcomes or not all(it.ok for it in outcomes) or (strict and bool(missing)))


def _run(python: Found, level: Level, tests: Sequence[str]) -> Outcome:
    started = time.monotonic()
    name = environment_name(python.wanted, level)
    wishes = wanted(level)
    environment = Environment(FOLDER / name)
    try:
        versions = environment.make(python, wishes)
    except NotInstalledError as error:
        print(error, file=sys.stderr)
        return Outcome(python.version, level, problem="could not be installed, see above")
    wrong = differences(level, wishes.requirements, versions)
    if wrong:
        return Outcome(python.version, level, versions, problem=wrong)
    log, report = FOLDER / f"{name}.log", FOLDER / f"{name}.xml"
    report.unlink(missing_ok=True)
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [environment.python, "-m", "pytest", "-q", f"--junitxml={report}", *_suite(tests)],
            cwd=ROOT,
            env=environment.variables(),
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    seconds = time.monotonic() - started
    if not report.is_file():
        problem = f"pytest wrote no report, see {log.relative_to(ROOT)}"
        return Outcome(python.version, level, versions, seconds=seconds, problem=problem)
    counts = read_counts(report)
    problem = problem_of(done.returncode, counts, log.read_text(encoding="utf-8"))
    if problem:
        problem = f"{problem}; see {log.relative_to(ROOT)}"
    return Outcome(python.version, level, versions, counts, seconds, problem)


def _suite(tests: Sequence[str]) -> list[str]:
    # Without the cache: the next `pytest --last-failed` is about .venv.
    options = ["-p", "no:cacheprovider", *(f"--ignore={path}" for path in LEFT_OUT)]
    return [*options, *(tests or ["tests"])]


def _in_a_line(outcome: Outcome) -> str:
    cdk = outcome.versions.get("aws-cdk-lib", "-")
    what = f"python {outcome.python}, {outcome.level} aws-cdk-lib {cdk}"
    said = f"{what}: {outcome.counts} in {outcome.seconds:.0f} s"
    return said if outcome.ok else f"{said}; {outcome.problem}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument(
        "--python", action="append", metavar="3.X", help="only this version; may be repeated"
    )
    parser.add_argument("--cdk", choices=LEVELS, help="only this end of the supported versions")
    parser.add_argument(
        "--strict", action="store_true", help="a Python that is missing is a failure"
    )
    parser.add_argument(
        "tests", nargs="*", help="only these tests, in place of the library's suite"
    )
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="combinations at a time"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
