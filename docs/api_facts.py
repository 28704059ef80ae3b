"""The pages of AWS that docs/FACTS.md names, by the fact's number."""

from __future__ import annotations

import re
from pathlib import Path

_FACT = re.compile(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", re.M | re.S)
_LINK = re.compile(r"\[([^\]]+)\]\((https://docs\.aws\.amazon\.com/[^)]+)\)")
_CITED = re.compile(r"\bFACTS (\d+(?:, \d+)*)")


def pages(facts_md: Path) -> dict[int, list[str]]:
    """Links in Markdown, by number; a fact without a page has none."""
    text = facts_md.read_text(encoding="utf-8")
    return {
        int(fact[1]): [f"[{page[1]}]({page[2]})" for page in _LINK.finditer(fact[2])]
        for fact in _FACT.finditer(text)
    }


def cited(text: str) -> list[int]:
    """The numbers that a text cites, in order, each once."""
    return sorted({int(number) for each in _CITED.findall(text) for number in each.split(", ")})


def sources(text: str, known: dict[int, list[str]]) -> str:
    """One line with the pages behind what ``text`` cites; empty if it cites none."""
    missing = set(cited(text)) - set(known)
    if missing:
        raise ValueError(f"docs/FACTS.md has no number {missing}, which is cited in: {text[:200]}")
    named = [
        f"[FACTS {number}](docs/FACTS.md): {', '.join(known[number])}"
        for number in cited(text)
        if known[number]
    ]
    return f"AWS sources: {'; '.join(named)}." if named else ""
