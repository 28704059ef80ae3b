"""What the alarms of by_hand.py say, by the alarm's name without `iot` and environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "kinesis-iterator-age": (
        "A consumer of the stream is far behind. What it has not read when retention ends is lost. Fires at "
        "84 h (0.5 of the retention). First: see whether the processor fails or is throttled; raise its "
        "parallelization_factor, or the stream's retention to gain time."
    ),
    "kinesis-write-throttling": (
        "The stream refused records. The IoT rule retries and then sends the message to the DLQ. Fires at 1 "
        "in 5 minutes. First: look for one device that sends over 1 MB/s or 1000 records/s; else ask for a "
        "higher stream limit."
    ),
    "kinesis-read-throttling": (
        "The stream refused reads. Consumers fall behind. Fires at 1 in 5 minutes. First: count the "
        "consumers: more than two of the shared kind want enhanced fan-out."
    ),
    "lambda-errors": (
        "The processor raised or timed out. Its batch is retried and delays its shard. Fires at 1 in 5 "
        "minutes. First: read the last ERROR in the function's log group."
    ),
    "lambda-throttles": (
        "The processor was refused concurrency. Records wait; throttles do not count as retries, so only the "
        "record age ends it. Fires at 1 in 5 minutes. First: compare the account's concurrency limit with its "
        "use; reserve some for this function."
    ),
    "lambda-duration": (
        "An invocation came close to its timeout. The next slower one times out and its whole batch is "
        "retried. Fires at 48 s (0.8 of the timeout). First: look for throttling of the tables; else lower "
        "batch_size, raise memory_size or timeout."
    ),
    "lambda-iterator-age": (
        "Records are too old when they are processed. Latest states and readings are that far behind. Fires "
        "at 15 minutes. First: look for failing or throttled invocations; else raise parallelization_factor."
    ),
    "lambda-failed-events": (
        "Records keep failing: retries did not mend it. When their retries are used up they go to the DLQ. "
        "Fires at 1 in 5 minutes, 3 times in a row. First: read the WARNING lines in the function's log "
        "group: they name the exception."
    ),
    "lambda-failed-batches": (
        "Records were given up and sent to the failure destination. They are in no table. The stream keeps "
        "their payload until its retention ends. Fires at 1 in 5 minutes. First: mend the cause, then redrive "
        "them before then."
    ),
    "lambda-dropped-events": (
        "Records were given up without a trace on the DLQ. Only stream and archive still have them. Fires at "
        "1 in 5 minutes. First: see why the failure destination refused them (role, key), then replay from "
        "the stream."
    ),
    "lambda-destination-failures": (
        "Lambda could not deliver a failure record. The failure is in no queue. Fires at 1 in 5 minutes. "
        "First: check that the function's role may publish to the DLQ topic and use its key."
    ),
    "lambda-async-events-dropped": (
        "An asynchronous invocation, such as a redrive, was given up. Its event is on the DLQ if delivery "
        "worked. Fires at 1 in 5 minutes. First: look at the DLQ, then at the function's errors."
    ),
    "lambda-dlq-messages": (
        "Something could not be stored and waits on the dead-letter queue. It is in no table, and gone after "
        "14 days. Fires at 1 in 5 minutes. First: read a message: its kind and reason say whose fault it is; "
        "mend it, then redrive."
    ),
    "sns-dlq-delivery-failures": (
        "The DLQ topic could not hand a message to its queue. That failure is lost. Fires at 1 in 5 minutes. "
        "First: check the queue's policy and that sns.amazonaws.com may use its key."
    ),
    "dynamodb-metrics-throttling": (
        "DynamoDB throttled writes. Batches are retried and the processor falls behind. Fires at 1 in 5 "
        "minutes. First: look in Contributor Insights for one device with over 1000 writes/s; else at the "
        "account's table limit."
    ),
    "dynamodb-metrics-read-throttling": (
        "DynamoDB throttled reads. Readers see errors or delays; writes go on. Fires at 1 in 5 minutes. "
        "First: look in Contributor Insights for one device with over 3000 reads/s, or a scan."
    ),
    "dynamodb-state-throttling": (
        "DynamoDB throttled writes. Batches are retried and the processor falls behind. Fires at 1 in 5 "
        "minutes. First: look in Contributor Insights for one device with over 1000 writes/s; else at the "
        "account's table limit."
    ),
    "dynamodb-state-read-throttling": (
        "DynamoDB throttled reads. Readers see errors or delays; writes go on. Fires at 1 in 5 minutes. "
        "First: look in Contributor Insights for one device with over 3000 reads/s, or a scan."
    ),
    "rule-throttling": (
        "The IoT rules engine dropped messages. They reached neither the stream nor the DLQ. Fires at 1 in 5 "
        "minutes. First: ask for a higher limit of rule evaluations per second, or send less often."
    ),
    "firehose-freshness": (
        "The oldest record that is not yet in the archive is too old. What Firehose has not read when the "
        "stream's retention ends is missing from the archive. Fires at 900 s (3 buffering intervals, or one "
        "alarm period). First: read the log group /aws/kinesisfirehose/iot-sensor-archive-dev; look for "
        "access denied on bucket or key."
    ),
    "pipeline-health": (
        "Something is wrong with the telemetry pipeline. It may be losing time or, later, data. First: open "
        "the dashboard and see which of its alarms is red."
    ),
}
