"""What a chaos run found: its tables, its last line, and its exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iot_constructs.local.accounting import Account
from iot_constructs.local.plan import Kind, Message
from iot_constructs.local.screen import Screen
from tests.chaos.fault_proxy import CAN_CRASH, FaultProxy
from tests.chaos.faults import Fault, Faults


@dataclass(frozen=True)
class Result:
    """The result of a run."""

    account: Account
    stale_state: Mapping[str, str]
    undelivered: int
    """Failure records that could not be delivered."""

    @property
    def duplicated(self) -> int:
        """The number of records stored with more than one key."""
        return len(self.account.stored_more_than_once)

    @property
    def problems(self) -> list[str]:
        """The errors, one line each."""
        found = list(self.account.problems)
        known = self.account.stale_state
        stale = {key: text for key, text in self.stale_state.items() if key not in known}
        if stale:
            found.append(f"{len(stale)} devices with a stale state: {stale}")
        if self.undelivered:
            found.append(f"{self.undelivered} failure records not delivered")
        return found

    def summary(self) -> str:
        """Return the last line of the output."""
        account = self.account
        numbers = {
            "sent": account.sent,
            "stored": len(account.stored),
            "dead_lettered": len(account.dead_lettered),
            "lost": len(account.lost),
            "duplicated": self.duplicated,
            "stale_state": len(self.stale_state),
        }
        return json.dumps(numbers, separators=(",", ":"))

    @property
    def exit_code(self) -> int:
        """0 if the run found no errors, else 1."""
        return int(bool(self.problems or self.stale_state or not self.account.is_complete))


def show_faults(screen: Screen, faults: Faults, proxy: FaultProxy) -> None:
    """Print how often each fault was injected."""
    screen.heading("Faults")
    injected = faults.injected
    rows = [
        (fault.value, operation, str(injected[fault, operation]))
        for fault, operation in sorted(injected, key=lambda each: (each[0].name, each[1]))
    ]
    screen.table(["fault", "calls of", "times"], rows)
    missing = [each.value for each in Fault if each not in {fault for fault, _ in injected}]
    if missing:
        screen.print(f"never injected: {', '.join(missing)}")
    if not CAN_CRASH:
        screen.print("no process was killed or stopped: this requires Linux")
    elif proxy.not_found:
        screen.print(f"{proxy.not_found} processes to kill or stop were not found")


def show_records(
    screen: Screen,
    account: Account,
    messages: Sequence[Message],
    discarded: int,
    redriven: Mapping[str, Any],
) -> None:
    """Print where the records are. `redriven` is the report of the redrive."""
    screen.heading("Records")
    duplicates = sum(message.kind is Kind.DUPLICATE for message in messages)
    repeated = len(account.dead_lettered_more_than_once)
    rows = [
        ("sent, distinct", account.sent, f"{duplicates} of them twice"),
        ("stored", len(account.stored), ""),
        ("dead-lettered", len(account.dead_lettered), f"{repeated} of them more than once"),
        ("discarded by the mapping", discarded, "records, sent to the failure destination"),
        ("batches on the DLQ queue", redriven["messages"], "messages, redriven"),
        ("redriven", redriven["records_put"], "records, put on the stream"),
        ("messages kept", len(redriven["kept"]), ""),
    ]
    screen.table(["records", "number", "note"], [(a, str(b), c) for a, b, c in rows])
