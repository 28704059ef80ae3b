"""Every kind of payload through the real handler, and the page that lists them."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.processor import handler
from iot_constructs.processor.dead_letters import decode_payload
from iot_constructs.processor.rejections import Reason

from .aws_fakes import ARRIVAL, NOW, SERIES, STATE, FakeDynamoDB, FakeSNS, kinesis_event
from .payload_kinds import DEVICE, KINDS, PayloadKind, Stored
from .test_handler import CONTEXT, ENVIRONMENT

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "payloads.md"
NEIGHBORS = {"before", "after"}


class Deployed:
    """The handler with its environment variables, over fakes of DynamoDB and SNS."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        settings: Any,
        dynamodb: FakeDynamoDB | None = None,
    ) -> None:
        self.dynamodb = dynamodb if dynamodb is not None else FakeDynamoDB()
        self.sns = FakeSNS()
        clients = {"dynamodb": self.dynamodb, "sns": self.sns}
        monkeypatch.setattr(handler, "_client", clients.__getitem__)
        monkeypatch.setattr(handler, "_processor", lru_cache(handler._processor.__wrapped__))
        for name in ("timestamp_field", "use_arrival_time", "device_id_field"):
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in {**ENVIRONMENT, **settings}.items():
            text = str(value).lower() if isinstance(value, bool) else value
            monkeypatch.setenv(name.upper(), text)

    def invoke(self, event: Any) -> dict[str, Any]:
        return handler.handler(event, CONTEXT)

    def assert_stored(self, expected: tuple[Stored, ...], arrival: float = ARRIVAL) -> None:
        """Compare the readings of all devices but the neighbors."""
        found = [
            (item["deviceId"], int(item["timestamp"]), item["reading"])
            for item in self.dynamodb.items(SERIES)
            if item["deviceId"] not in NEIGHBORS
        ]
        for one in expected:
            at = one.milliseconds if one.milliseconds is not None else int(arrival * 1000)
            content = json.loads(json.dumps(one.reading), parse_float=Decimal)
            assert (one.device_id, at, content) in found
        assert len(found) == len(expected)


def neighbor(name: str, kind: PayloadKind) -> tuple[str, dict[str, object]]:
    """A valid record for the same settings."""
    reading: dict[str, object] = {str(kind.settings.get("timestamp_field", "timestamp")): NOW}
    if "device_id_field" in kind.settings:
        reading[kind.settings["device_id_field"]] = name
    return name, reading


@pytest.mark.parametrize("kind", KINDS, ids=PayloadKind.row)
def test_a_payload_is_stored_or_rejected_as_the_table_says(
    kind: PayloadKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployed(monkeypatch, kind.settings)
    event = kinesis_event(neighbor("before", kind), (DEVICE, kind.data), neighbor("after", kind))
    assert deployed.invoke(event) == {"batchItemFailures": []}
    states = {item["deviceId"] for item in deployed.dynamodb.items(STATE)}
    if isinstance(kind.result, Reason):
        deployed.assert_stored(())
        assert states == NEIGHBORS
        [message] = deployed.sns.messages
        assert message["reason"] == kind.result.value
        assert (message["partitionKey"], decode_payload(message)) == (DEVICE, kind.data)
    else:
        deployed.assert_stored(kind.result)
        assert states == NEIGHBORS | {one.device_id for one in kind.result}
        assert deployed.sns.messages == []


def test_the_page_has_the_table() -> None:
    assert len({kind.row() for kind in KINDS}) == len(KINDS) >= 40
    assert _table("| Payload | Arguments | Result |") == [kind.row() for kind in KINDS]


def test_the_page_has_every_reason_and_each_has_a_payload() -> None:
    rejected = {kind.result for kind in KINDS if isinstance(kind.result, Reason)}
    elsewhere = {
        Reason.REFUSED_BY_TABLE,
        Reason.REJECTED_BY_TRANSFORM,
        Reason.INVALID_TRANSFORM_RESULT,
    }
    assert rejected | elsewhere == set(Reason)
    assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", reason.value) for reason in Reason)
    rows = [f"| `{reason.value}` | {reason.explanation} |" for reason in Reason]
    assert _table("| Reason | Meaning |") == rows


def _table(heading: str) -> list[str]:
    lines = PAGE.read_text("utf-8").splitlines()
    start = lines.index(heading) + 2
    end = next(n for n in range(start, len(lines)) if not lines[n].startswith("|"))
    return lines[start:end]
