"""What Lambda does with a batch after an invocation. Pure: no clock, no calls, no state.

The rules are those of the Lambda developer guide:

- "Configuring partial batch response with Kinesis Data Streams and Lambda"
  (services-kinesis-batchfailurereporting.html): the lowest reported sequence number is the
  checkpoint; with BisectBatchOnFunctionError the batch "is bisected at the returned sequence number
  and Lambda retries only the remaining records"; a failed invocation is bisected whatever
  ReportBatchItemFailures says.
- "Retain discarded batch records for a Kinesis Data Streams event source in Lambda"
  (kinesis-on-failure-destination.html): a throttled or otherwise impossible invocation is retried
  until the records expire or are too old; an error of the function until then or until the retry
  quota is used up; "splitting batches doesn't consume the retry quota".

Where the guide leaves something open, the choice here is the one that is worse for the user, so
that a pipeline that survives here survives there:

- A retry after a partial failure that splits nothing off (bisecting is off, or the first record of
  the batch is reported) uses up a retry, and what is left of the batch is discarded as a whole.
- An answer that fails the whole batch because it is malformed is not a function error: it is
  retried, never bisected.
- The parts of a bisected batch have used up as many retries as the whole had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from examples.iot_pipeline.local.mapping_records import Batch, Record, Response

UNLIMITED = -1


class Condition(Enum):
    """Why records were discarded, as a failure record says it.

    The guide shows only the first. The second is what AWS sends for a record that got too old, seen
    in recordings of real failure records (localstack/localstack,
    test_lambda_integration_kinesis.snapshot.json, recorded on AWS on 2025-04-13).
    """

    RETRY_ATTEMPTS_EXHAUSTED = "RetryAttemptsExhausted"
    RECORD_AGE_EXCEEDED = "RecordAgeExceeded"


@dataclass(frozen=True)
class Rules:
    """Those settings of a mapping on which it depends what becomes of a record."""

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
    """The function failed with the whole batch: by an error, or by an answer that says nothing."""

    response: Response

    @property
    def is_function_error(self) -> bool:
        """Whether the function raised or timed out."""
        return self.response.function_error is not None


@dataclass(frozen=True)
class NotInvoked:
    """The function did not run, or nobody knows whether it did."""

    reason: str
    throttled: bool = False


Outcome = Succeeded | PartiallyFailed | Failed | NotInvoked


@dataclass(frozen=True)
class Discard:
    """Records that are given up."""

    batch: Batch
    condition: Condition


@dataclass(frozen=True)
class Decision:
    """What becomes of a batch. Each of its records is in exactly one of the three."""

    acknowledged: tuple[Record, ...] = ()
    again: tuple[Batch, ...] = ()
    """To invoke next, in this order."""
    discarded: Discard | None = None
    pause: bool = False
    """Whether to wait before the first of `again`."""


def decide(batch: Batch, outcome: Outcome, rules: Rules) -> Decision:
    """What Lambda does after one attempt to invoke the function with a batch."""
    if isinstance(outcome, NotInvoked):
        return Decision(again=(batch,), pause=True)
    tried = replace(batch, invocations=batch.invocations + 1, response=outcome.response)
    if isinstance(outcome, Succeeded):
        return Decision(acknowledged=batch.records)
    if isinstance(outcome, PartiallyFailed):
        numbers = [record.sequence_number for record in batch.records]
        start = numbers.index(outcome.checkpoint)
        rest = tried.part(start)
        done = batch.records[:start]
        if rules.bisect and start > 0:
            return Decision(acknowledged=done, again=(rest,), pause=True)
        return replace(_retry(rest, rules), acknowledged=done)
    if outcome.is_function_error and rules.bisect and len(batch) > 1:
        middle = len(batch) // 2
        return Decision(again=(tried.part(0, middle), tried.part(middle)))
    return _retry(tried, rules)


def split_by_age(batch: Batch, now: float, maximum_age: float) -> tuple[Batch, Batch, Batch]:
    """Split a batch into what is too old, what is not, and the rest.

    The first part is the records from the start that are too old, the second those after them that
    are not; the rest begins with one that is too old again. Only the records that are too old are
    discarded: the others are invoked without them.
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
    return Decision(again=(replace(batch, retries=batch.retries + 1),), pause=True)
