"""How often which call fails. Codes: the error pages of the services' API references."""

from __future__ import annotations

from iot_constructs.testing.faults import Kind, Rate

_TABLE = ("ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError")
# Why BatchWriteItem leaves an item unprocessed: if all of them were throttled, it raises an exception instead.
_UNPROCESSED = ("ThrottlingError", "InternalServerError")
_STATEMENT = (
    "ThrottlingError",
    "InternalServerError",
    "TransactionConflict",
    "RequestLimitExceeded",
)
# "It might take multiple calls to get to a portion of the shard that contains records" (API_GetRecords).
EMPTY_READS = 0.05
_STREAM = ("ProvisionedThroughputExceededException", "InternalFailure")
_SERVICE = ("Throttling", "InternalFailure", "ServiceUnavailable")

RATES = (
    # The function: each write and each dead letter.
    Rate("function.batch_write_item", Kind.PARTIAL, 0.05, _UNPROCESSED),
    Rate("function.batch_write_item", Kind.ERROR, 0.03, _TABLE),
    Rate("function.batch_write_item", Kind.NO_RESPONSE, 0.01),
    Rate("function.batch_write_item", Kind.NO_REQUEST, 0.01),
    Rate("function.batch_write_item", Kind.SLOW, 0.005),
    Rate("function.batch_write_item", Kind.CRASH_BEFORE, 0.004),
    Rate("function.batch_write_item", Kind.CRASH_AFTER, 0.004),
    Rate("function.put_item", Kind.ERROR, 0.05, _TABLE),
    Rate("function.put_item", Kind.NO_RESPONSE, 0.02),
    Rate("function.batch_execute_statement", Kind.PARTIAL, 0.05, _STATEMENT),
    Rate("function.batch_execute_statement", Kind.ERROR, 0.03, _TABLE),
    Rate("function.batch_execute_statement", Kind.NO_RESPONSE, 0.01),
    Rate("function.batch_execute_statement", Kind.NO_REQUEST, 0.01),
    Rate("function.batch_execute_statement", Kind.SLOW, 0.005),
    Rate("function.batch_execute_statement", Kind.CRASH_BEFORE, 0.004),
    Rate("function.batch_execute_statement", Kind.CRASH_AFTER, 0.004),
    Rate("function.batch_get_item", Kind.PARTIAL, 0.1, _UNPROCESSED),
    Rate("function.batch_get_item", Kind.ERROR, 0.1, _TABLE),
    Rate("function.batch_get_item", Kind.NO_RESPONSE, 0.02),
    Rate("function.batch_get_item", Kind.SLOW, 0.01),
    Rate("function.batch_get_item", Kind.CRASH_AFTER, 0.01),
    Rate("function.publish_batch", Kind.PARTIAL, 0.05, ("InternalError", "ThrottledException")),
    Rate("function.publish_batch", Kind.ERROR, 0.04, ("Throttled", "InternalError")),
    Rate("function.publish_batch", Kind.NO_RESPONSE, 0.02),
    Rate("function.publish_batch", Kind.CRASH_BEFORE, 0.01),
    Rate("function.publish_batch", Kind.CRASH_AFTER, 0.01),
    # The mapping.
    Rate("mapping.invoke", Kind.ERROR, 0.03, ("TooManyRequestsException", "ServiceException")),
    Rate("mapping.invoke", Kind.NO_RESPONSE, 0.01),
    Rate("mapping.get_records", Kind.ERROR, 0.02, _STREAM),
    Rate("mapping.get_shard_iterator", Kind.ERROR, 0.02, _STREAM),
    Rate("mapping.list_shards", Kind.ERROR, 0.05, ("LimitExceededException",)),
    # The devices, by way of the IoT rule.
    Rate("producer.put_records", Kind.PARTIAL, 0.1, _STREAM),
    Rate("producer.put_records", Kind.NO_RESPONSE, 0.02),
    # The operator, whose redrive is killed and started again. There are few such calls in a run.
    Rate("operator.get_queue_attributes", Kind.ERROR, 0.05, _SERVICE),
    Rate("operator.receive_message", Kind.ERROR, 0.05, _SERVICE),
    Rate("operator.receive_message", Kind.NO_RESPONSE, 0.05),
    Rate("operator.receive_message", Kind.CRASH_AFTER, 0.025),
    Rate("operator.put_records", Kind.PARTIAL, 0.25, _STREAM),
    Rate("operator.put_records", Kind.ERROR, 0.075, _STREAM),
    Rate("operator.put_records", Kind.NO_RESPONSE, 0.075),
    Rate("operator.put_records", Kind.CRASH_BEFORE, 0.05),
    Rate("operator.put_records", Kind.CRASH_AFTER, 0.05),
    Rate("operator.invoke", Kind.ERROR, 0.125, ("TooManyRequestsException", "ServiceException")),
    Rate("operator.invoke", Kind.NO_RESPONSE, 0.075),
    Rate("operator.invoke", Kind.CRASH_AFTER, 0.05),
    Rate("operator.delete_message_batch", Kind.PARTIAL, 0.125, ("InternalError",)),
    Rate("operator.delete_message_batch", Kind.ERROR, 0.05, _SERVICE),
    Rate("operator.delete_message_batch", Kind.NO_RESPONSE, 0.05),
    Rate("operator.delete_message_batch", Kind.CRASH_BEFORE, 0.05),
    Rate("operator.delete_message_batch", Kind.CRASH_AFTER, 0.05),
    Rate("operator.change_message_visibility_batch", Kind.ERROR, 0.125, _SERVICE),
    Rate("operator.get_records", Kind.ERROR, 0.125, _STREAM),
    Rate("operator.get_records", Kind.CRASH_BEFORE, 0.05),
    Rate("operator.get_shard_iterator", Kind.ERROR, 0.125, _STREAM),
    Rate("operator.get_object", Kind.ERROR, 0.5, ("SlowDown", "InternalError")),
)
