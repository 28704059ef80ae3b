"""Each invariant is violated by a mistake, so that none of them is always true.

tests/simulation/bugs.py has more mistakes, of which some violate the same invariants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from iot_constructs.cli.dead_letter_queue import DeadLetterQueue
from iot_constructs.cli.redrive import Redrive
from iot_constructs.cli.report import Report
from iot_constructs.cli.stream_records import RangeRead
from iot_constructs.local import shard_batches
from iot_constructs.local.mapping_decisions import UNLIMITED, Decision, Outcome, Rules, decide
from iot_constructs.local.mapping_loop import MappingLoop
from iot_constructs.local.mapping_records import Batch
from iot_constructs.local.shard_batches import BatchWorker
from iot_constructs.processor import batches, handler
from iot_constructs.processor.batches import Processor
from iot_constructs.processor.payloads import Room
from iot_constructs.testing.sns_sqs import SNS
from tests.simulation import pipeline
from tests.simulation.configuration import Configuration, configuration
from tests.simulation.pipeline import Options, Result, simulate

PIPELINE = replace(
    configuration(1),
    rules=Rules(100, 5.0, 2, maximum_retry_attempts=2, bisect=True, report_item_failures=True),
    devices=20,
    shards=1,
    timeout_seconds=60.0,
    concurrency=1000,
    to_bucket=False,
    use_latest=False,
    reshards=0,
    restarts=0,
    updates=0,
    outages=0,
    redrives=0,
    hot_device=False,
    poison=False,
    minutes=1.0,
    reconfigurations=0,
    replays=0,
    refusing="",
    transform=False,
    rule_errors=False,
    expires=False,
    heavy=False,
    slow=False,
)
"""One shard with two workers, to which nothing happens."""


@pytest.fixture(autouse=True)
def _short_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with a mistake does not come to rest."""
    monkeypatch.setattr(pipeline, "SETTLE_SECONDS", 600.0)


def _run(seed: int = 1, *, records: int = 100, **changes: Any) -> Result:
    """Run without faults: only what `changes` adds to the pipeline happens."""
    of: Configuration = replace(PIPELINE, **changes)
    return simulate(Options(seed, records=records, rates=(), configuration=of))


def _invariants(result: Result) -> set[str]:
    return {violation.partition(":")[0] for violation in result.violations}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"heavy": True},
        {"poison": True},
        {"hot_device": True},
        {"transform": True},
        {"refusing": "both"},
        {"slow": True, "timeout_seconds": 3.0},
        {"rule_errors": True},
        {"rule_errors": True, "redrives": 2},
        {"poison": True, "expires": True},
        {"poison": True, "to_bucket": True},
        {"replays": 5, "transform": True},
        {"reshards": 3, "restarts": 2, "reconfigurations": 2},
    ],
)
def test_no_invariant_is_violated_without_faults(changes: dict[str, Any]) -> None:
    for seed in range(1, 4):
        assert not _run(seed, **changes).violations


def test_memory_a_slice_without_a_common_limit() -> None:
    with patch.object(batches, "Room", lambda *_: Room()):
        assert "bounded memory" in _invariants(_run(heavy=True))


def test_progress_an_invocation_that_stops_after_its_first_record() -> None:
    process = Processor.process

    def stop(self: Processor, records: Sequence[Any], remaining_ms: Callable[[], int]) -> Any:
        outcome = process(self, records[:1], remaining_ms)
        if len(records) > 1:
            outcome.retry_from, outcome.failed = records[1].sequence_number, len(records) - 1
        return outcome

    with patch.object(Processor, "process", stop):
        assert _invariants(_run()) == {"progress"}


def test_progress_an_invocation_that_acknowledges_nothing() -> None:
    def give_up(self: Processor, records: Sequence[Any], remaining_ms: Any) -> Any:
        number = records[0].sequence_number
        return batches.Outcome(retry_from=number, failed=len(records))

    with patch.object(Processor, "process", give_up):
        assert "progress" in _invariants(_run(records=5))


def test_progress_an_invocation_that_raises() -> None:
    def fail(self: Processor, records: Sequence[Any], remaining_ms: Any) -> Any:
        raise LookupError

    with patch.object(Processor, "process", fail):
        assert "progress" in _invariants(_run(records=5))


@pytest.mark.parametrize(
    "name", ["RecordsStored", "RecordsRejected", "RecordsFailed", "DeviceIdMismatches"]
)
def test_counters_a_number_that_is_one_too_high(name: str) -> None:
    publish = handler._publish_metrics

    def publish_more(function: str, counts: dict[str, int], properties: dict[str, Any]) -> None:
        publish(function, {**counts, name: counts[name] + 1}, properties)

    with patch.object(handler, "_publish_metrics", publish_more):
        assert "counters" in _invariants(_run())


def test_counters_a_record_that_counts_as_rejected_instead_of_stored() -> None:
    publish = handler._publish_metrics

    def exchange(function: str, counts: dict[str, int], properties: dict[str, Any]) -> None:
        stored, rejected = counts["RecordsStored"], counts["RecordsRejected"]
        counts = {**counts, "RecordsStored": rejected, "RecordsRejected": stored}
        publish(function, counts, properties)

    with patch.object(handler, "_publish_metrics", exchange):
        assert _invariants(_run()) == {"counters"}


def test_counters_no_line() -> None:
    with patch.object(handler, "_publish_metrics", lambda *args: None):
        assert "counters" in _invariants(_run())


def test_delay_a_worker_that_waits_for_another_one() -> None:
    """While one worker of a shard waits after a failure, the others do as well."""
    run_worker = MappingLoop._run_worker

    def wait_for_all(self: Any, shard: Any, worker: BatchWorker) -> list[float]:
        ends = [each._not_before for each in shard.batches.workers]
        if max(ends) > self._clock():
            return [max(ends)]
        return run_worker(self, shard, worker)

    rules = replace(PIPELINE.rules, maximum_retry_attempts=8)
    with patch.object(MappingLoop, "_run_worker", wait_for_all):
        result = _run(poison=True, minutes=6.0, rules=rules, records=300)
    assert _invariants(result) == {"bounded delay"}


def test_delay_a_record_that_is_retried_more_often_than_the_rules_say() -> None:
    def retry(batch: Batch, outcome: Outcome, rules: Rules) -> Decision:
        return decide(batch, outcome, replace(rules, maximum_retry_attempts=UNLIMITED))

    rules = replace(PIPELINE.rules, batch_size=10)
    with patch.object(shard_batches, "decide", retry):
        assert "bounded delay" in _invariants(_run(poison=True, minutes=10.0, rules=rules))


def test_order_a_batch_in_the_wrong_order() -> None:
    take = BatchWorker._take_batch

    def reverse(self: BatchWorker) -> Batch:
        batch = take(self)
        return replace(batch, records=batch.records[::-1])

    with patch.object(BatchWorker, "_take_batch", reverse):
        assert "order per device" in _invariants(_run())


def test_lost_a_failure_record_that_nobody_gets() -> None:
    with patch.object(SNS, "publish", lambda *args, **request: {}):
        result = _run(poison=True)
    assert any("discarded records are in no message" in text for text in result.violations)


def test_report_a_failed_redrive_with_the_exit_code_of_a_success() -> None:
    # Without a stream, the records of a rule error cannot be put.
    with patch.object(Report, "exit_code", 0), patch.object(pipeline, "_RULE_ERRORS", 0.5):
        result = _run(rule_errors=True, redrives=5)
    assert _invariants(result) == {"report"}


def test_report_a_message_that_is_reported_as_deleted() -> None:
    with patch.object(DeadLetterQueue, "delete", lambda self, messages: {}):
        result = _run(poison=True)
    assert "report" in _invariants(result)


def test_deleted_too_early_expired_records_that_count_as_delivered() -> None:
    complete = RangeRead(())
    with patch("iot_constructs.cli.stream_records.StreamReader.read", lambda *args: complete):
        result = _run(poison=True, expires=True)
    assert _invariants(result) == {"deleted too early", "lost"}


def test_report_expired_records_that_are_kept_without_a_reason() -> None:
    deliver = Redrive._deliver

    def forget_problems(self: Redrive, work: Any) -> None:
        deliver(self, work)
        for each in work:
            each.row.problem = None

    with patch.object(Redrive, "_deliver", forget_problems):
        assert _invariants(_run(poison=True, expires=True)) == {"report"}


def test_a_run_is_the_same_twice() -> None:
    first, second = (simulate(Options(7, records=100)) for _ in range(2))
    assert first.history.fingerprint() == second.history.fingerprint()
    assert (first.faults, first.events) == (second.faults, second.events)
