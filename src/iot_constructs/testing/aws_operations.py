"""Reads requests and responses of AWS APIs: what a call wrote where, and which entries of a batch failed.

Each operation's page in the API reference of its service has the shapes. A batch that fails partially names the failed
entries in one of three ways: with the unprocessed requests (dynamodb, API_BatchWriteItem), with the failed IDs (sns,
API_PublishBatch; sqs, API_SendMessageBatch), or with an error code at their position (kinesis, API_PutRecords;
firehose, API_PutRecordBatch; eventbridge, API_PutEvents).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Request = Mapping[str, Any]
Response = Mapping[str, Any]
KeyNames = Callable[[str], Sequence[str]]
"""Name of a table -> the names of its key attributes."""

_READS = re.compile(
    r"(Get|List|Describe|Query|Scan|Head|BatchGet|TransactGet|Select|Receive|Search|Assume|Decrypt)"
)
_APPENDS = {
    "SendMessage": "QueueUrl",
    "Publish": "TopicArn",
    "PutRecord": "StreamName",
    "PutEvents": "EventBusName",
    "Invoke": "FunctionName",
    "StartExecution": "stateMachineArn",
}
"""Operation -> the member that names the target. Each call adds something, even if it repeats another one."""
_TARGET_MEMBERS = (
    *("TableName", "Bucket", "QueueUrl", "TopicArn", "StreamName", "StreamARN"),
    *("DeliveryStreamName", "EventBusName", "FunctionName", "stateMachineArn", "TargetArn"),
)
_DEDUPLICATION = "MessageDeduplicationId"


@dataclass(frozen=True)
class Write:
    """A write of one item, message, or object."""

    target: str
    """The name of the table, queue, topic, stream, or bucket."""
    key: str | None
    """Repeating a write with the same key changes nothing. None: each write adds something."""
    content: str
    """The request as text, in which the records are found."""


@dataclass(frozen=True)
class Batch:
    """The request and response of a batch operation whose failed entries are in the response."""

    entries: str
    """The member of the request with the entries."""
    results: str
    """The member of the response with the results, or with the failed entries."""
    by_id: bool = False
    codes: tuple[str, ...] = ("InternalFailure",)
    """What the service answers for a failed entry."""

    def remove(self, request: Request, failed: Collection[int]) -> dict[str, Any]:
        """Return the request without the failed entries."""
        kept = [each for index, each in enumerate(request[self.entries]) if index not in failed]
        return {**request, self.entries: kept}

    def add_failures(
        self, request: Request, response: Response, failed: Collection[int], code: str
    ) -> dict[str, Any]:
        """Return the response to the whole request."""
        if self.by_id:
            entries = [request[self.entries][index] for index in sorted(failed)]
            added = [{"Id": each["Id"], "Code": code, "SenderFault": False} for each in entries]
            return {**response, self.results: [*response.get(self.results, ()), *added]}
        results = iter(response[self.results])
        error = {"ErrorCode": code, "ErrorMessage": "injected"}
        combined = [
            error if index in failed else next(results)
            for index in range(len(request[self.entries]))
        ]
        counts = {
            name: response[name] + len(failed)
            for name in ("FailedRecordCount", "FailedPutCount", "FailedEntryCount")
            if name in response
        }
        return {**response, self.results: combined, **counts}

    def failed(self, request: Request, response: Response) -> set[int]:
        """Return the positions of the failed entries."""
        results = response.get(self.results, ())
        if self.by_id:
            ids = {each["Id"] for each in results}
            return {n for n, each in enumerate(request[self.entries]) if each["Id"] in ids}
        return {n for n, each in enumerate(results) if each.get("ErrorCode")}


class _BatchWrite(Batch):
    """BatchWriteItem, whose entries belong to tables."""

    def remove(self, request: Request, failed: Collection[int]) -> dict[str, Any]:
        return {**request, self.entries: _by_table(request, lambda index: index not in failed)}

    def add_failures(
        self, request: Request, response: Response, failed: Collection[int], code: str
    ) -> dict[str, Any]:
        return {**response, self.results: _by_table(request, lambda index: index in failed)}

    def failed(self, request: Request, response: Response) -> set[int]:
        unprocessed = [
            (table, each) for table, rows in response[self.results].items() for each in rows
        ]
        return {n for n, entry in enumerate(_table_entries(request)) if entry in unprocessed}


def _table_entries(request: Request) -> list[tuple[str, Any]]:
    return [(table, each) for table, rows in request["RequestItems"].items() for each in rows]


def _by_table(request: Request, selects: Callable[[int], bool]) -> dict[str, list[Any]]:
    selected: dict[str, list[Any]] = {}
    for index, (table, entry) in enumerate(_table_entries(request)):
        if selects(index):
            selected.setdefault(table, []).append(entry)
    return selected


BATCHES = {
    "dynamodb.BatchWriteItem": _BatchWrite("RequestItems", "UnprocessedItems"),
    "sqs.SendMessageBatch": Batch("Entries", "Failed", by_id=True, codes=("InternalError",)),
    "sns.PublishBatch": Batch(
        "PublishBatchRequestEntries", "Failed", by_id=True, codes=("InternalError",)
    ),
    "kinesis.PutRecords": Batch(
        "Records", "Records", codes=("ProvisionedThroughputExceededException", "InternalFailure")
    ),
    "firehose.PutRecordBatch": Batch(
        "Records", "RequestResponses", codes=("ServiceUnavailableException",)
    ),
    "eventbridge.PutEvents": Batch(
        "Entries", "Entries", codes=("ThrottlingException", "InternalFailure")
    ),
}
"""Service and operation -> how a partial failure looks."""


def entry_count(name: str, request: Request) -> int:
    """Return how many entries a batch request has: 0 if it is not one."""
    batch = BATCHES.get(name)
    if batch is None:
        return 0
    if isinstance(batch, _BatchWrite):
        return sum(len(entries) for entries in request.get(batch.entries, {}).values())
    return len(request.get(batch.entries, ()))


def writes(name: str, request: Request, key_names: KeyNames) -> list[Write]:
    """Return what a request writes, in the order of its entries. Reads and deletions write nothing."""
    operation = name.partition(".")[2]
    if name == "dynamodb.BatchWriteItem":
        return [
            _put(table, entry["PutRequest"]["Item"], key_names)
            if "PutRequest" in entry
            else Write(table, "", "")
            for table, entry in _table_entries(request)
        ]
    if name == "dynamodb.TransactWriteItems":
        return list(_transaction(request, key_names))
    if name == "dynamodb.PutItem":
        return [_put(request["TableName"], request["Item"], key_names)]
    if name == "dynamodb.UpdateItem":
        return [_update(request)]
    if _READS.match(operation) or operation.startswith(("Delete", "Change")):
        return []
    target = target_name(request)
    if name in BATCHES:
        entries = request[BATCHES[name].entries]
        return [_entry(target, each, appends=True) for each in entries]
    if name == "s3.PutObject":
        return [Write(target, str(request["Key"]), as_text(request))]
    return [_entry(target, request, appends=operation in _APPENDS)]


def target_name(request: Request) -> str:
    """Return the name of the resource that a request addresses, without its ARN or URL."""
    for member in _TARGET_MEMBERS:
        if member in request:
            return re.split(r"[:/]", str(request[member]))[-1]
    return ""


def as_text(value: Any) -> str:
    """Return a request as text, in which a record's ID is readable."""
    return json.dumps(value, default=_readable, ensure_ascii=False)


def _readable(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if hasattr(value, "read") and hasattr(value, "seek"):
        place = value.tell()
        content = value.read()
        value.seek(place)
        return _readable(content) if isinstance(content, bytes) else content
    return str(value)


def _entry(target: str, entry: Request, *, appends: bool) -> Write:
    content = as_text(entry)
    if not appends:
        return Write(target, content, content)
    return Write(target, entry.get(_DEDUPLICATION), content)


def _put(table: str, item: Request, key_names: KeyNames) -> Write:
    key = {name: item.get(name) for name in key_names(table)}
    return Write(table, as_text(key), as_text(item))


def _update(request: Request) -> Write:
    content = as_text(request)
    key = None if _accumulates(request) else as_text(request["Key"])
    return Write(request["TableName"], key, content)


def _transaction(request: Request, key_names: KeyNames) -> Iterator[Write]:
    for entry in request["TransactItems"]:
        if "Put" in entry:
            yield _put(entry["Put"]["TableName"], entry["Put"]["Item"], key_names)
        elif "Update" in entry:
            yield _update(entry["Update"])


def _accumulates(request: Request) -> bool:
    """Whether repeating an UpdateItem changes the item again: a sum, a list that grows, a counter.

    Adding to a set does not: it has each element once
    (amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html).
    """
    expression = request.get("UpdateExpression", "")
    if re.search(r"[+-]|\blist_append\b", expression):
        return True
    values = request.get("ExpressionAttributeValues", {})
    for clause in re.findall(r"\bADD\b(.*?)(?=\b(?:SET|REMOVE|DELETE)\b|$)", expression, re.S):
        if any("N" in values.get(name, {}) for name in re.findall(r":\w+", clause)):
            return True
    legacy = request.get("AttributeUpdates", {}).values()
    return any(each.get("Action") == "ADD" and "N" in each.get("Value", {}) for each in legacy)
