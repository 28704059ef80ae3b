"""What `simulate` finds in handlers that people write, and that it finds nothing in correct ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.testing import Kind, Report, simulate

HANDLERS = Path(__file__).with_name("handlers")
SERIES = {"readings": ("deviceId", "timestamp")}
STATE = {"readings": "deviceId"}
REPORT_FAILURES = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


def run(
    name: str,
    *,
    seeds: Iterable[int] = range(4),
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Report:
    return simulate(
        f"{name}.handler",
        code=HANDLERS,
        environment={"TABLE": "readings", **(environment or {})},
        seeds=seeds,
        **settings,
    )


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings()}


def test_a_swallowed_exception_loses_records() -> None:
    report = run("swallows", tables=SERIES)
    assert kinds(report) == {"lost"}
    lost = report.lost[0]
    [run_] = [each for each in report.runs if each.seed == lost.seed]
    stored = {item["id"] for item in run_.items["readings"]}
    assert f"reading-{lost.record.number:06d}" not in stored
    assert len(stored) + sum(each.seed == lost.seed for each in report.lost) == run_.records
    assert ["put_item: error" in line for line in lost.history if "put_item" in line] == [True]
    assert lost.history[-1].endswith("returns a success")
    with pytest.raises(AssertionError, match=rf"record {lost.record.number} of .* is lost"):
        report.assert_all_stored()
    with pytest.raises(AssertionError, match=f"pass seed={lost.seed} "):
        report.assert_nothing_lost()
    report.assert_nothing_doubled()
    report.assert_order_kept()


def test_without_faults_it_stores_every_record() -> None:
    report = run("swallows", tables=SERIES, faults=())
    assert report.findings() == []
    assert [len(each.items["readings"]) for each in report.runs] == [100] * 4


def test_a_random_key_stores_a_record_again_when_it_is_delivered_again() -> None:
    report = run("random_keys", tables={"readings": "pk"})
    assert kinds(report) == {"doubled"}
    for each in report.runs:
        doubled = [finding for finding in each.findings if finding.kind == "doubled"]
        assert len(each.items["readings"]) >= each.records + len(doubled)
    with pytest.raises(AssertionError, match="times in readings"):
        report.assert_nothing_doubled()
    report.assert_all_stored()


def test_a_sum_counts_a_record_again_when_it_is_delivered_again() -> None:
    report = run("sums", tables=STATE, seeds=range(2))
    assert kinds(report) == {"doubled"}
    counted = sum(item["readings"] for item in report.runs[0].items["readings"])
    assert counted > report.runs[0].records


def test_an_unconditional_put_takes_the_state_back() -> None:
    report = run("latest", tables=STATE)
    assert kinds(report) == {"reordered"}
    with pytest.raises(AssertionError, match=r"after record .*, a newer one"):
        report.assert_order_kept()


def test_a_bad_record_blocks_its_shard() -> None:
    report = run("latest", tables=SERIES, malformed=1, seeds=range(1))
    assert kinds(report) == {"stuck"}
    with pytest.raises(AssertionError, match="is not processed in time") as raised:
        report.assert_nothing_lost()
    assert "JSONDecodeError" in str(raised.value)
    assert str(HANDLERS / "latest.py") in str(raised.value)


def test_bisecting_isolates_a_bad_record() -> None:
    mapping = {
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 3,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:0:dlq"}},
    }
    report = run("latest", tables=SERIES, malformed=1, event_source_mapping=mapping, faults=())
    report.assert_all_stored()


def test_what_is_in_the_failure_destination_is_not_lost() -> None:
    mapping = {
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:0:dlq"}},
    }
    report = run("latest", tables=SERIES, malformed=1, event_source_mapping=mapping, faults=())
    assert kinds(report) == {"failed"}
    report.assert_nothing_lost()
    with pytest.raises(AssertionError, match="is in the failure destination"):
        report.assert_all_stored()
    without = run(
        "latest",
        tables=SERIES,
        malformed=1,
        event_source_mapping={"MaximumRetryAttempts": 0},
        faults=(),
    )
    assert kinds(without) == {"lost"}


def test_each_failed_record_is_reported() -> None:
    run("reports", tables=SERIES, event_source_mapping=REPORT_FAILURES).assert_all_stored()


def test_to_report_only_the_last_failed_record_loses_others() -> None:
    report = run(
        "reports",
        tables=SERIES,
        event_source_mapping=REPORT_FAILURES,
        environment={"ONLY_LAST": "1"},
        seeds=range(4, 8),
    )
    assert kinds(report) == {"lost"}


def test_a_report_is_ignored_unless_the_mapping_asks_for_it() -> None:
    assert kinds(run("reports", tables=SERIES)) == {"lost"}


def test_the_batch_processor_of_powertools_loses_nothing() -> None:
    report = run("powertools", tables=SERIES, event_source_mapping=REPORT_FAILURES)
    assert report.findings() == []


def test_a_correct_handler_passes_every_seed(full: bool) -> None:
    report = run(
        "correct",
        records=20,
        malformed=1,
        environment={"READINGS": "readings", "DEVICES": "devices"},
        tables={**SERIES, "devices": "deviceId"},
        event_source_mapping=REPORT_FAILURES,
        targets=("readings", "devices"),
        seeds=range(50 if full else 15),
    )
    report.assert_all_stored()
    report.assert_nothing_doubled()
    report.assert_order_kept()
    injected = {kind.partition(" (")[0] for each in report.runs for _, kind in each.faults}
    assert injected >= {kind.value for kind in Kind if kind is not Kind.PARTIAL}


def test_a_target_that_a_record_does_not_reach() -> None:
    report = run(
        "latest",
        tables={**SERIES, "devices": "deviceId"},
        seeds=[0],
        faults=(),
        targets=("devices",),
    )
    assert len(report.lost) == report.runs[0].records
