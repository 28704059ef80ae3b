"""Decides what Lambda does with a batch after an invocation. Pure functions without I/O or state.

The rules come from the Lambda developer guide:

- services-kinesis-batchfailurereporting.html: the lowest reported sequence number is the checkpoint.
  With BisectBatchOnFunctionError, the batch "is bisected at the returned sequence number and Lambda
  retries only the remaining records". A failed invocation is bisected regardless of
  ReportBatchItemFailures.
- kinesis-on-failure-destination.html: Lambda retries a throttled invocation until the records
  expire or exceed the maximum age, and a function error also until the retry quota is used.
  "Splitting batches doesn't consume the retry quota."

Where the guide is not specific, the simulation chooses the behavior that is worse for the user:

- A retry after a partial failure without a split (bisecting is disabled, or the first record is
  reported) uses one retry, and Lambda discards the remaining records as a whole.
- A malformed response is not a function error: Lambda retries the batch but never bisects it.
- The parts of a bisected batch keep the retry count of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from iot_constructs.local.mapping_records import Batch, Record, Response

UNLIMITED = -1


class Condition(Enum):
    """The condition in a failure record.

    The guide documents only the first. AWS sends the second for a record that exceeds the maximum
    age (localstack/localstack, test_lambda_integration_kinesis.snapshot.json, recorded on AWS on
    2025-04-13).
    """

    RETRY_ATTEMPTS_EXHAUSTED = "RetryAttemptsExhausted"
    RECORD_AGE_EXCEEDED = "RecordAgeExceeded"


@dataclass(frozen=True)
class Rules:
    """The settings that determine batching, retries, and discarding."""

    batch_size: int
    batching_window: float
    """Seconds."""
    parallelization_factor: int = 1
    maximum_retry_attempts: int = UNLIMITED
    maximum_record_age: float = UNLIMITED
    """Seconds."""
    bisect: bool = False
    report_item_failures: bool = False


@dataclass(frozen=True)
class Succeeded:
    """The function processed the whole batch."""

    response: Response


@dataclass(frozen=True)
class PartiallyFailed:
    """The function processed the records before one of them."""

    response: Response
    checkpoint: str
    """The lowest reported sequence number. It is in the batch."""


@dataclass(frozen=True)
class Failed:
    """The whole batch failed: a function error or a malformed response."""

    response: Response

    @property
    def is_function_error(self) -> bool:
        """Whether the function raised an exception or timed out."""
        return self.response.function_error is not None


@dataclass(frozen=True)
class NotInvoked:
    """The invocation failed: the function did not run, or the result is unknown."""

    reason: str
    throttled: bool = False


Outcome = Succeeded | PartiallyFailed | Failed | NotInvoked


@dataclass(frozen=True)
class Discard:
    """Records to discard."""

    batch: Batch
    condition: Condition


@dataclass(frozen=True)
class Decision:
    """The next step. Each record of the batch is in exactly one of the first three attributes."""

    acknowledged: tuple[Record, ...] = ()
    retries: tuple[Batch, ...] = ()
    """The batches to invoke next, in order."""
    discarded: Discard | None = None
    backoff: bool = False
    """Whether to wait before the first of `retries`."""


def decide(batch: Batch, outcome: Outcome, rules: Rules) -> Decision:
    """Decide what happens after one attempt to invoke the function."""
    if isinstance(outcome, NotInvoked):
        return Decision(retries=(batch,), backoff=True)
    tried = replace(batch, invocations=batch.invocations + 1, response=outcome.response)
    if isinstance(outcome, Succeeded):
        return Decision(acknowledged=batch.records)
    if isinstance(outcome, PartiallyFailed):
        numbers = [record.sequence_number for record in batch.records]
        start = numbers.index(outcome.checkpoint)
        rest = tried.part(start)
        done = batch.records[:start]
        if rules.bisect and start > 0:
            return Decision(acknowledged=done, retries=(rest,), backoff=True)
        return replace(_retry(rest, rules), acknowledged=done)
    if outcome.is_function_error and rules.bisect and len(batch) > 1:
        middle = len(batch) // 2
        return Decision(retries=(tried.part(0, middle), tried.part(middle)))
    return _retry(tried, rules)


def split_by_age(batch: Batch, now: float, maximum_age: float) -> tuple[Batch, Batch, Batch]:
    """Split a batch into expired records, fresh records, and the rest.

    The rest starts with the next expired record. Lambda discards only expired records and invokes
    the function with the others.
    """
    if maximum_age == UNLIMITED:
        return batch.part(0, 0), batch, batch.part(len(batch))
    old = [now - record.arrival > maximum_age for record in batch.records]
    expired = next((i for i, is_old in enumerate(old) if not is_old), len(old))
    fresh = next((i for i in range(expired, len(old)) if old[i]), len(old))
    return batch.part(0, expired), batch.part(expired, fresh), batch.part(fresh)


def _retry(batch: Batch, rules: Rules) -> Decision:
    limit = rules.maximum_retry_attempts
    if limit != UNLIMITED and batch.retries >= limit:
        return Decision(discarded=Discard(batch, Condition.RETRY_ATTEMPTS_EXHAUSTED))
    return Decision(retries=(replace(batch, retries=batch.retries + 1),), backoff=True)
