"""A run of the ``verify`` command: the parts, then the messages, then the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from iot_constructs.cli.aws_errors import AWS_ERRORS, error_code, format_error
from iot_constructs.cli.progress import Progress
from iot_constructs.cli.verification import arrivals, paging, parts
from iot_constructs.cli.verification.findings import Finding, Report, Status
from iot_constructs.cli.verification.messages import MarkedMessages, NoTopicError, Route
from iot_constructs.cli.verification.route import NoRouteError, find_route
from iot_constructs.cli.verification.stacks import Clients, Deployed, read_stacks

_CARRYING = {part.name for part in parts.PARTS if part.carries_messages}


class Verification:
    """Fills the report of one run."""

    def __init__(
        self,
        clients: Clients,
        report: Report,
        progress: Progress,
        *,
        rule: str | None,
        reading: Mapping[str, Any],
        seconds: float,
        with_page: bool,
    ) -> None:
        self._clients = clients
        self._report = report
        self._progress = progress
        self._rule = rule
        self._reading = reading
        self._seconds = seconds
        self._with_page = with_page

    def run(self) -> None:
        """Run every check.

        Raises:
            StackError: a stack cannot be read.
        """
        try:
            deployed = read_stacks(self._clients.create("cloudformation"), self._report.stacks)
            self._add(self._parts(deployed))
            self._add(self._messages(deployed))
            if self._with_page:
                name = self._report.device_id
                self._add(paging.page(self._clients, deployed, name, self._seconds))
        finally:
            self._progress.close()

    def _add(self, findings: Iterator[Finding]) -> None:
        # One by one, so that an interrupted run reports what it has found.
        for finding in findings:
            self._report.findings.append(finding)

    def _parts(self, deployed: Deployed) -> Iterator[Finding]:
        for number, part in enumerate(parts.PARTS):
            self._progress.show(
                number, len(parts.PARTS), f"{number} of {len(parts.PARTS)} parts compared"
            )
            yield from part.verify(deployed, self._clients)

    def _messages(self, deployed: Deployed) -> Iterator[Finding]:
        missing = blocking(self._report.findings)
        if missing:
            # Messages into an incomplete pipeline would be retried and stored after this run has cleaned up.
            yield from arrivals.not_published(
                None, f"{missing[0].part} {missing[0].resource} fails"
            )
            return
        route: Route | None = None
        try:
            route = find_route(self._clients, deployed, self._report.device_id, self._rule)
            messages = MarkedMessages(self._clients, route, self._report.device_id, self._reading)
            try:
                messages.publish()
                messages.wait(self._seconds, self._progress)
            finally:
                self._report.notes += messages.remove()
            yield from arrivals.judge(route, messages.seen, messages.bad, self._seconds)
        except (NoRouteError, NoTopicError) as error:
            yield from arrivals.not_published(None, str(error))
        except AWS_ERRORS as error:
            if error_code(error) not in parts.DENIED:
                raise
            reason = f"your credentials do not allow it (see --permissions): {format_error(error)}"
            yield from arrivals.not_published(route, reason)


def blocking(findings: Sequence[Finding]) -> list[Finding]:
    """Return the FAILs without whose repair no message arrives: parts that are missing or not active."""
    return [
        finding
        for finding in findings
        if finding.status is Status.FAIL
        and finding.part in _CARRYING
        and finding.check in (parts.EXISTS, parts.STATE)
    ]
