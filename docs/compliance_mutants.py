"""What the last complete run of ``make mutants`` counted, as a section of COMPLIANCE.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MUTANTS_JSON = Path(__file__).with_name("mutants.json")

_FAMILIES = {
    "defaults": "rows of `_defaults.py`, each with another value",
    "constructs": "decisions in the constructs",
    "rules": "decisions in the rules that are written in Python",
    "guard": "rules and clauses of `iot_pipeline.guard`",
    "injectors": "decisions in the property injectors",
}
_TEXT = """
## What the tests notice

`make mutants` breaks the library in one place at a time (another default, an argument left out, a condition reversed, a
rule or a clause of one removed) and runs the tests that concern the place. **The tests notice {killed} of {total} such
mutants ({share}), and {corrected} of the {corrections} that undo one of the eight corrections.** Not counted are those
with which what is deployed and reported stays the same: {equivalent}, each with its reason in docs/mutants.json.

| What is broken | Mutants | Noticed |
|---|---|---|
{families}

| Correction | Mutants | Noticed |
|---|---|---|
{of_corrections}

{survivors}"""


def mutants_section(counted: Path = MUTANTS_JSON) -> str:
    """The section; nothing before the first complete run."""
    if not counted.is_file():
        return ""
    found = json.loads(counted.read_text(encoding="utf-8"))
    return _TEXT.format(
        killed=found["killed"],
        total=found["total"],
        share=f"{found['killed'] / found['total']:.1%}",
        corrected=found["corrections"]["killed"],
        corrections=found["corrections"]["total"],
        equivalent=len(found["equivalent"]),
        families="\n".join(_rows(_FAMILIES, found["families"])),
        of_corrections="\n".join(
            _rows(
                {number: number for number in found["corrections"]["of"]},
                found["corrections"]["of"],
            )
        ),
        survivors=_survivors(found["survived"]),
    )


def _rows(names: Mapping[str, str], counts: Mapping[str, Any]) -> Iterator[str]:
    for key, name in names.items():
        yield f"| {name} | {counts[key]['total']} | {counts[key]['killed']} |"


def _survivors(names: list[str]) -> str:
    if not names:
        return "None survives.\n"
    lines = "\n".join(f"* `{name}`" for name in names)
    return f"These survive:\n\n{lines}\n"
