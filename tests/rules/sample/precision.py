"""Precision and recall of `iot-constructs check` on the templates of labels.json, which were read by hand.

    python -m tests.rules.sample.precision FOLDER

FOLDER has the repositories of labels.json, each at its commit, in any layout: a template is found by its SHA-256.
Precision is the part of the reported findings that is expected, recall the part of the expected findings that is
reported. Each difference has a line. The exit code is 1 if a template is missing or its check fails.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

LABELS = Path(__file__).with_name("labels.json")
CHECK = (sys.executable, "-m", "iot_constructs.cli", "check", "--format", "json")
NOT_JUDGED = ("IOT_00_NOT_JUDGED", "W9300")
TIMEOUT_SECONDS = 60

Findings = Counter[tuple[str, str]]
"""(rule, logical id) -> number."""


class CheckError(Exception):
    """A template is not there, or was not checked."""


def main(folder: Path, labels: Path = LABELS) -> int:
    """Check the templates, print the differences and the result, and return the exit code."""
    files = {hash_of(path): path for path in folder.rglob("*") if path.is_file()}
    expected = json.loads(labels.read_text(encoding="utf-8"))["templates"]
    right = reported = wanted = problems = 0
    with ThreadPoolExecutor(2) as pool:
        checks = [pool.submit(check, files.get(label["sha256"])) for label in expected]
        for label, future in zip(expected, checks, strict=True):
            name = f"{label['repository']} {label['path']}"
            try:
                found = future.result()
            except CheckError as error:
                problems += 1
                print(f"{name}: {error}")
                continue
            for line in differences(label, found):
                print(f"{name}: {line}")
            want, got = findings(label, found)
            right += (want & got).total()
            reported += got.total()
            wanted += want.total()
    print(f"precision {percent(right, reported)}", f"recall {percent(right, wanted)}", sep="\n")
    return int(bool(problems))


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(template: Path | None) -> Findings:
    """Return what the command reports for one template itself, and not for its nested stacks."""
    if template is None:
        raise CheckError("not in the folder")
    try:
        done = subprocess.run(
            [*CHECK, template], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        if done.returncode == 2 and not done.stdout:  # not a template that it can read
            return Findings({(NOT_JUDGED[0], ""): 1})
        entries = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise CheckError(f"not checked: {error}") from error
    # 2: something was not judged.
    if done.returncode != 2 and done.returncode != min(len(entries), 1):
        raise CheckError(f"exit code {done.returncode} with {len(entries)} entries")
    own = [each for each in entries if Path(each.get("template") or template).samefile(template)]
    return Counter((each["rule"], each.get("resource") or "") for each in own)


def findings(label: Mapping[str, Any], found: Findings) -> tuple[Findings, Findings]:
    """Return the expected and the reported findings. A label without a number expects at least one."""
    expected = Findings()
    reported = Findings({key: n for key, n in found.items() if key[0] not in NOT_JUDGED})
    for rule, resource, *number in label["expected"]:
        expected[rule, resource] = number[0] if number else 1
        if not number and reported[rule, resource]:
            reported[rule, resource] = 1
    return expected, reported


def differences(label: Mapping[str, Any], found: Findings) -> Iterator[str]:
    """Yield a line for each difference."""
    expected, reported = findings(label, found)
    for title, some in (("miss", expected - reported), ("extra", reported - expected)):
        yield from (f"{title}: {rule} {resource}" for rule, resource in some.elements())
    if label["not_judged"] != any(rule in NOT_JUDGED for rule, _ in found):
        yield "not judged" if not label["not_judged"] else "judged, although a part cannot be"


def percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part} of {whole})" if whole else "(none)"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
