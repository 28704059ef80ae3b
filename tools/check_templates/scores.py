"""The findings of the labelled templates, compared with the labels."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.check_templates.measure import Outcome


def compare(labels: Path, outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Each difference in a line, then precision and recall."""
    by_hash = {hashlib.sha256(each.template.read_bytes()).hexdigest(): each for each in outcomes}
    agreeing = missed = extra = 0
    for label in json.loads(labels.read_text(encoding="utf-8"))["templates"]:
        name = f"{label['repository']} {label['path']}"
        outcome = by_hash.get(label["sha256"])
        if outcome is None:
            yield f"not in the folder: {name}"
            continue
        reported, expected = Counter(outcome.findings), Counter[tuple[str, str]]()
        for rule, resource, *number in label["expected"]:
            finding = (rule, resource)
            expected[finding] = number[0] if number else 1
            if not number:  # at least one
                reported[finding] = min(reported[finding], 1)
        agreeing += (reported & expected).total()
        for title, difference in (("miss", expected - reported), ("extra", reported - expected)):
            yield from (f"{title}: {name}: {' '.join(each)}" for each in difference.elements())
        missed += (expected - reported).total()
        extra += (reported - expected).total()
        if label["not_judged"] != bool(outcome.not_judged):
            how = "is expected" if label["not_judged"] else "is reported, but can be judged"
            yield f"not judged {how}: {name}"
    yield f"precision {_percent(agreeing, agreeing + extra)}"
    yield f"recall {_percent(agreeing, agreeing + missed)}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part} of {whole})" if whole else "(none)"
