"""A user's own step: what it gets, what it may return, and what happens to a record that it does not return."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.cli.kinesis_records import Record, build_event
from iot_constructs.processor import handler
from iot_constructs.processor.records import StreamRecord
from iot_constructs.processor.rejections import InvalidRecordError
from iot_constructs.processor.transform import load_transform, transform_reading

from .aws_fakes import (
    ARRIVAL,
    NOW,
    SERIES,
    SHARD,
    STREAM,
    FakeDynamoDB,
    FakeSNS,
    kinesis_event,
    make_processor,
    make_records,
    sequence,
)

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a file the function's transform; its name differs each time, because a module is imported once."""

    def write(code: str) -> None:
        name = f"step_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("TRANSFORM_MODULE", name)
        load_transform.cache_clear()

    return write


@pytest.fixture(autouse=True)
def _forget() -> Any:
    yield
    load_transform.cache_clear()


def _process(*sent: tuple[str, object]) -> tuple[FakeDynamoDB, FakeSNS, Any]:
    dynamodb, sns = FakeDynamoDB(), FakeSNS()
    outcome = make_processor(dynamodb, sns).process(make_records(*sent), lambda: 60_000)
    return dynamodb, sns, outcome


def test_a_reading_is_mapped_and_enriched_and_its_timestamp_set(install: Install) -> None:
    install(
        """
        def transform(reading, record):
            return {
                "timestamp": int(record["approximateArrivalTimestamp"] * 1000),
                "celsius": (reading["f"] - 32) / 2,
                "key": record["partitionKey"],
            }
        """
    )
    dynamodb, sns, outcome = _process(("d1", {"f": 50.1}))
    (item,) = dynamodb.items(SERIES)
    assert item["reading"] == {"timestamp": NOW, "celsius": Decimal("9.05"), "key": "d1"}
    assert int(item["timestamp"]) == NOW
    assert (outcome.stored, sns.messages) == (1, [])


def test_the_record_is_described_by_the_names_of_a_kinesis_event(install: Install) -> None:
    install("def transform(reading, record): return record")
    (record,) = make_records(("d1", {}))
    assert transform_reading({}, "key", record) == {
        "partitionKey": "key",
        "approximateArrivalTimestamp": ARRIVAL,
        "sequenceNumber": sequence(0),
        "shardId": SHARD,
        "streamArn": STREAM,
    }


def test_a_record_that_never_reached_the_stream_has_no_position(install: Install) -> None:
    install("def transform(reading, record): return record")
    event = build_event([Record("d1", b"{}", arrival=ARRIVAL)])
    described = transform_reading({}, "d1", StreamRecord.from_event(event["Records"][0]))
    assert {described[name] for name in ("sequenceNumber", "shardId", "streamArn")} == {None}


def _returned(install: Install, expression: str) -> Any:
    install(
        f"""
        from decimal import Decimal
        def transform(reading, record):
            loop = []
            loop.append(loop)
            return {expression}
        """
    )
    return transform_reading({"a": Decimal(1)}, "d1", make_records(("d1", {}))[0])


@pytest.mark.parametrize(
    ("expression", "stored"),
    [
        ("{'v': 0.1}", "0.1"),
        ("{'v': 1e22}", "1E+22"),
        ("{'v': 21.50}", "21.5"),
        ("{'v': 10**20}", "1E+20"),
        ("{'v': Decimal('2.50')}", "2.5"),
        ("{'v': reading['a'] / 3}", "0.3333333333333333333333333333"),
    ],
)
def test_a_number_is_stored_as_python_shows_it(
    install: Install, expression: str, stored: str
) -> None:
    value = _returned(install, expression)["v"]
    assert isinstance(value, Decimal)
    assert str(value) == stored


def test_nested_values_are_converted_and_booleans_are_no_numbers(install: Install) -> None:
    value = _returned(install, "{'l': (1, [2.5, None, True]), 'm': {'x': 'y', 'n': 7}}")
    assert value == {"l": [1, [Decimal("2.5"), None, True]], "m": {"x": "y", "n": 7}}
    assert value["l"][1][2] is True
    assert type(value["l"]) is list
    assert {type(value["l"][0]), type(value["m"]["n"])} == {Decimal}


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("None", "invalid-transform-result"),
        ("[reading]", "invalid-transform-result"),
        ("{'t': {1, 2}}", "invalid-transform-result"),
        ("{'t': b'x'}", "invalid-transform-result"),
        ("{'t': object()}", "invalid-transform-result"),
        ("{1: 2}", "invalid-transform-result"),
        ("{'a': {'': 2}}", "empty-attribute-name"),
        ("{'t': float('nan')}", "not-a-finite-number"),
        ("{'t': [float('-inf')]}", "not-a-finite-number"),
        ("{'t': Decimal('sNaN')}", "not-a-finite-number"),
        ("{'t': 10**39 + 1}", "number-out-of-range"),
        ("{'t': 10**5000}", "number-out-of-range"),
        ("{'t': 1e300}", "number-out-of-range"),
        ("{'t': loop}", "nested-too-deep"),
    ],
)
def test_a_result_that_cannot_be_stored_is_rejected(
    install: Install, expression: str, reason: str
) -> None:
    with pytest.raises(InvalidRecordError) as rejected:
        _returned(install, expression)
    assert rejected.value.reason.value == reason


def test_a_value_error_rejects_the_record_with_its_text(install: Install) -> None:
    install(
        """
        def transform(reading, record):
            if "unit" not in reading:
                raise ValueError("no unit")
            return reading
        """
    )
    dynamodb, sns, outcome = _process(
        ("d1", {"timestamp": NOW}), ("d2", {"timestamp": NOW, "unit": "C"})
    )
    (message,) = sns.messages
    assert message["reason"] == "rejected-by-transform"
    assert message["detail"] == "the transform rejected the reading: no unit"
    assert message["partitionKey"] == "d1"
    assert len(dynamodb.items(SERIES)) == 1
    assert (outcome.retry_from, dict(outcome.rejected)) == (None, {"rejected-by-transform": 1})


def test_a_reading_that_is_not_returned_is_on_the_dlq(install: Install) -> None:
    install("def transform(reading, record): reading['seen'] = True")
    _, sns, outcome = _process(("d1", {"timestamp": NOW}))
    (message,) = sns.messages
    assert message["reason"] == "invalid-transform-result"
    assert message["detail"].endswith(": it returned NoneType")
    assert outcome.rejected.total() == 1


def test_a_bug_in_it_is_retried_and_named_by_its_line_without_payload(install: Install) -> None:
    install(
        """
        import posixpath
        def transform(reading, record):
            return {**reading, "v": posixpath.join(reading["timestamp"])}
        """
    )
    dynamodb, sns, outcome = _process(("d1", {"timestamp": NOW}), ("d2", {"timestamp": NOW}))
    assert outcome.retry_from == sequence(0)
    (error,) = outcome.errors
    assert error.startswith("transform: TypeError at step_")
    assert error.endswith(".py:4")
    assert (dynamodb.items(SERIES), sns.messages) == ([], [])


def test_the_checks_of_the_processor_apply_to_what_it_returns(install: Install) -> None:
    install("def transform(reading, record): return {}")
    _, sns, _ = _process(("d1", {"timestamp": NOW}))
    assert [message["reason"] for message in sns.messages] == ["no-timestamp"]


def test_the_same_record_twice_is_one_item(install: Install) -> None:
    install(
        "def transform(reading, record): return {**reading, 'n': record['sequenceNumber'], 'x': 0.1}"
    )
    dynamodb, sns = FakeDynamoDB(), FakeSNS()
    for _ in range(2):
        make_processor(dynamodb, sns).process(
            make_records(("d1", {"timestamp": NOW})), lambda: 60_000
        )
    assert len(dynamodb.items(SERIES)) == 1


def test_a_file_that_cannot_be_imported_fails_the_invocation(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("import not_in_the_asset")
    handler._processor.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="not_in_the_asset"):
        handler.handler(kinesis_event(("d1", {"timestamp": NOW})), None)  # type: ignore[arg-type]


def test_it_is_imported_once(install: Install) -> None:
    install(
        """
        seen = []
        def transform(reading, record):
            seen.append(1)
            return {"timestamp": reading["timestamp"] + len(seen)}
        """
    )
    dynamodb, _, _ = _process(("d1", {"timestamp": NOW}), ("d1", {"timestamp": NOW}))
    assert sorted(int(item["timestamp"]) - NOW for item in dynamodb.items(SERIES)) == [1, 2]
