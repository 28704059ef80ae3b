"""The findings of a run as a table, as JSON and as an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum

from iot_constructs.cli.exit_codes import DONE, FAILED, NEGATIVE


class Status(str, Enum):
    """The result of a check."""

    PASS = "PASS"
    FAIL = "FAIL"
    SKIPPED = "SKIPPED"
    """The account could not answer the question, so it is neither a PASS nor a FAIL."""


@dataclass(frozen=True)
class Finding:
    """The result of one check of one resource."""

    part: str
    """The part of the pipeline, such as ``rule``."""
    resource: str
    """The name of the resource, or an empty string if the stacks have none."""
    check: str
    """What was checked: ``exists``, ``state``, ``settings``, ``messages`` and so on."""
    status: Status
    text: str
    cause: str = ""
    """The likely cause of a FAIL, and what to do."""
    page: str = ""
    """The AWS page of a FAIL."""


@dataclass
class Report:
    """The results of a run."""

    stacks: list[str]
    device_id: str
    """The device that the run published as; it belongs to this run only."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the run left behind."""
    interrupted: bool = False
    error: str | None = None

    def with_status(self, status: Status) -> list[Finding]:
        """Return the findings with a status."""
        return [finding for finding in self.findings if finding.status is status]

    @property
    def exit_code(self) -> int:
        """0 without a FAIL; 1 with one; 2 after an error, because the remaining checks did not run."""
        if self.error is not None:
            return FAILED
        return NEGATIVE if self.with_status(Status.FAIL) else DONE

    def as_json(self) -> str:
        """Return a JSON document."""
        return json.dumps(
            {
                "stacks": self.stacks,
                "device_id": self.device_id,
                "passed": len(self.with_status(Status.PASS)),
                "failed": len(self.with_status(Status.FAIL)),
                "skipped": len(self.with_status(Status.SKIPPED)),
                "findings": [asdict(finding) for finding in self.findings],
                "notes": self.notes,
                "interrupted": self.interrupted,
                "error": self.error,
            },
            indent=2,
        )

    def as_table(self) -> Iterator[str]:
        """Return the lines of the table, the causes of each FAIL, and the summary."""
        rows = [
            (same[0].status.value, same[0].part, _names(same), same[0].check, same[0].text)
            for same in _groups(self.findings)
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
            yield _printable("  ".join([*cells, row[-1]]).rstrip())
        for finding in self.with_status(Status.FAIL):
            yield ""
            yield _printable(f"FAIL {finding.part} {finding.resource}: {finding.text}")
            yield _printable(f"  cause: {finding.cause}")
            yield f"  page:  {finding.page}"
        yield ""
        yield ", ".join(f"{len(self.with_status(status))} {status.value}" for status in Status)
        yield from map(_printable, self.notes)
        if self.interrupted:
            yield "interrupted: the remaining checks did not run."


def _groups(findings: list[Finding]) -> Iterator[list[Finding]]:
    """Return the findings of a table row: those of a part that differ in their resource only, such as alarms."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for each in findings:
        same = (each.status.value, each.part, each.check, each.text)
        groups.setdefault(same, []).append(each)
    yield from groups.values()


def _names(findings: list[Finding]) -> str:
    first = findings[0].resource
    return first if len(findings) == 1 else f"{first} and {len(findings) - 1} more"


def _printable(text: str) -> str:
    # An error message can contain device data: control characters must not reach the terminal.
    return "".join(character if character.isprintable() else "?" for character in text)
