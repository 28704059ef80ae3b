"""Describes a call to a service in one line of a history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Request = Mapping[str, Any]
Response = Mapping[str, Any]

# A history of polling has little else.
_POLLING = {"get_queue_attributes", "get_shard_iterator", "head_bucket", "list_shards"}
# The function has an event of its own.
_INVOKE = "invoke"
_MAX_ENTRIES = 6
_MAX_ENTRY_CHARACTERS = 48


def is_described(operation: str, response: Response) -> bool:
    """Whether a history has a line for the call: not if it found nothing."""
    if operation == "get_records":
        return bool(response.get("Records"))
    if operation == "receive_message":
        return bool(response.get("Messages"))
    return operation not in _POLLING and operation != _INVOKE


def describe_call(operation: str, request: Request, response: Response) -> str:
    """Return the operation and the entries of a call, each with its error code if it failed."""
    entries = _ENTRIES.get(operation)
    return operation if entries is None else f"{operation}: {_join(entries(request, response))}"


def short_number(sequence_number: str) -> str:
    """Return the end of a sequence number, in which the numbers of a simulation differ."""
    return f"…{sequence_number[-5:]}"


def describe_records(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the shard and the range of a Kinesis event's records."""
    first, last = (records[n]["kinesis"]["sequenceNumber"] for n in (0, -1))
    shard = str(records[0]["eventID"]).partition(":")[0]
    numbers = short_number(first)
    if last != first:
        numbers += f" to {short_number(last)}"
    return f"{_count(len(records), 'record')} of {shard}, {numbers}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _join(entries: Sequence[str]) -> str:
    shown = [entry[:_MAX_ENTRY_CHARACTERS] for entry in entries[:_MAX_ENTRIES]]
    if len(entries) > len(shown):
        shown.append(f"and {len(entries) - len(shown)} more")
    return ", ".join(shown)


def _put_records(request: Request, response: Response) -> list[str]:
    return [
        f"{record['PartitionKey']} {result.get('ErrorCode') or short_number(result['SequenceNumber'])}"
        for record, result in zip(request["Records"], response["Records"], strict=True)
    ]


def _get_records(request: Request, response: Response) -> list[str]:
    numbers = [short_number(record["SequenceNumber"]) for record in response["Records"]]
    if len(numbers) == 1:
        return numbers
    return [f"{len(numbers)} records", f"{numbers[0]} to {numbers[-1]}"]


def _batch_write_item(request: Request, response: Response) -> list[str]:
    unprocessed = [put for puts in response.get("UnprocessedItems", {}).values() for put in puts]
    return [
        f"{_item(put['PutRequest']['Item'])}{' unprocessed' if put in unprocessed else ''}"
        for puts in request["RequestItems"].values()
        for put in puts
    ]


def _batch_get_item(request: Request, response: Response) -> list[str]:
    found = [f"{_item(item)} found" for items in response["Responses"].values() for item in items]
    left = [
        f"{_item(key)} unprocessed"
        for keys in response.get("UnprocessedKeys", {}).values()
        for key in keys["Keys"]
    ]
    return found + left


def _put_item(request: Request, response: Response) -> list[str]:
    return [_item(request["Item"])]


def _item(item: Mapping[str, Any]) -> str:
    return " ".join(_scalars(item.values()))


def _scalars(values: Any) -> list[str]:
    """Return the first two strings and numbers, without the fraction of a sort key."""
    found = [str(value.get("S") or value.get("N", "").partition(".")[0]) for value in values]
    return [value for value in found if value][:2]


def _batch_execute_statement(request: Request, response: Response) -> list[str]:
    described = []
    for statement, result in zip(request["Statements"], response["Responses"], strict=True):
        verb = statement["Statement"].partition(" ")[0]
        device = next(
            (value["S"] for value in statement["Parameters"] if "S" in value), "no string"
        )
        code = result.get("Error", {}).get("Code")
        described.append(f"{verb} {device}" if code is None else f"{verb} {device} {code}")
    return described


def _publish_batch(request: Request, response: Response) -> list[str]:
    codes = {failed["Id"]: failed["Code"] for failed in response.get("Failed", [])}
    ids = [entry["Id"] for entry in request["PublishBatchRequestEntries"]]
    return [f"message {id} {codes.get(id, 'published')}" for id in ids]


def _receive_message(request: Request, response: Response) -> list[str]:
    return [str(message["MessageId"]) for message in response.get("Messages", [])]


def _message_batch(request: Request, response: Response) -> list[str]:
    codes = {failed["Id"]: f" {failed['Code']}" for failed in response.get("Failed", [])}
    return [
        f"{entry['ReceiptHandle'].partition('#')[0]}{codes.get(entry['Id'], '')}"
        for entry in request["Entries"]
    ]


_ENTRIES: Mapping[str, Callable[[Request, Response], list[str]]] = {
    "put_records": _put_records,
    "get_records": _get_records,
    "batch_write_item": _batch_write_item,
    "batch_get_item": _batch_get_item,
    "put_item": _put_item,
    "batch_execute_statement": _batch_execute_statement,
    "publish_batch": _publish_batch,
    "receive_message": _receive_message,
    "delete_message_batch": _message_batch,
    "change_message_visibility_batch": _message_batch,
}
