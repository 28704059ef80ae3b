"""Simulates DynamoDB: the calls of the processor, with the limits and the partial failures of batches.

Pages, in amazondynamodb/latest:

- APIReference/API_BatchWriteItem.html: 25 puts, 16 MB, no two with the same key, "the entire batch" is rejected for an
  invalid entry; failed entries are in UnprocessedItems; an exception if it "cannot process any items due to
  throttling".
- APIReference/API_BatchGetItem.html: 100 keys, no two equal; keys that are not read are in UnprocessedKeys; an
  exception if none can be read; an item that does not exist is not in the response. developerguide/ReservedWords.html:
  a name such as timestamp needs a placeholder. Each read returns the newest item, as an eventually consistent one may.
- APIReference/API_PutItem.html: a put replaces the whole item with the same key.
- APIReference/API_BatchExecuteStatement.html and API_BatchStatementError.html: 25 statements, each with its own result,
  in their order; the codes; the item of a failed condition with ALL_OLD.
- developerguide/ql-reference.insert.html: an INSERT fails if the item exists. ql-reference.update.html: an UPDATE
  writes only what its WHERE clause selects. A comparison with a missing attribute is false.
- developerguide/Constraints.html: an item has up to 400 KB (CapacityUnitCalculations.html) and 32 levels, a number 38
  digits, a partition key 2048 bytes. An attribute of a key must not be empty (HowItWorks.NamingRulesDataTypes.html).

No page tells the result of two statements for one item in a call: the model rejects it, so no code relies on one.
Throughput is not simulated: throttling is a fault. Each call takes effect at one moment.
"""

# ruff: noqa: N803  # the parameters have the names of the API

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from iot_constructs.testing.processes import aws_error

Item = dict[str, Any]
Key = tuple[str | Decimal, ...]
Fails = Callable[[int], "str | None"]
"""Index of an entry of a batch -> its error code, or None if it takes effect."""

_UPDATE = re.compile(r'UPDATE "([^"]+)"((?: SET "\w+"=\?)+) WHERE "(\w+)"=\? AND "(\w+)"<\?')
_SET = re.compile(r'SET "(\w+)"=\?')
_INSERT = re.compile(r"INSERT INTO \"([^\"]+)\" VALUE \{((?:'\w+':\?,?)+)\}")
_MEMBER = re.compile(r"'(\w+)':\?")
_MAX_ENTRIES = 25
_MAX_KEYS = 100
_RESERVED = frozenset({"TIMESTAMP", "TTL"})
"""Of the names that the processor uses."""
_MAX_REQUEST_BYTES = 16 * 2**20
_MAX_ITEM_BYTES = 400 * 2**10
_MAX_PARTITION_KEY_BYTES = 2048
_MAX_LEVELS = 32
_MAX_DIGITS = 38
# Most numbers: without an exponent, they are in the range.
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_LARGEST_NUMBER = Decimal("9.9999999999999999999999999999999999999E+125")
_SMALLEST_NUMBER = Decimal("1E-130")
INTERNAL_ERROR = "InternalServerError"
"""The code of a failed entry that was not throttled."""
_STATEMENT_CODES = {
    "ValidationException": "ValidationError",
    "ResourceNotFoundException": "ResourceNotFound",
}
_MOST_BYTES_AS_JSON = 6  # a character of one byte as \\u0000


@dataclass
class Table:
    """A table with its items."""

    partition_key: str
    sort_key: str | None = None
    items: dict[Key, Item] = field(default_factory=dict)

    def key(self, item: Mapping[str, Any]) -> Key:
        """Return the key of an item."""
        names = [self.partition_key, *([self.sort_key] if self.sort_key is not None else [])]
        try:
            return tuple(_key_value(item[name]) for name in names)
        except KeyError as missing:
            raise _invalid(f"missing the key {missing}") from None


def _key_value(value: Mapping[str, Any]) -> str | Decimal:
    if "N" in value:
        return _number(value["N"])
    if not 1 <= len(value["S"].encode()) <= _MAX_PARTITION_KEY_BYTES:
        raise _invalid("a key is empty or too long")
    return str(value["S"])


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if len(text) <= _MAX_DIGITS and _PLAIN_NUMBER.fullmatch(text):
        return number
    if len(_digits(text)) > _MAX_DIGITS or (
        number and not _SMALLEST_NUMBER <= abs(number) <= _LARGEST_NUMBER
    ):
        raise _invalid("a number has more than 38 digits or is out of range")
    return number


def _digits(text: str) -> str:
    mantissa = text.upper().partition("E")[0]
    return mantissa.lstrip("+-").replace(".", "").strip("0")


def item_bytes(item: Mapping[str, Any]) -> int:
    """Return the size of an item.

    Raises:
        ClientError: it is larger than 400 KB, or has too many levels or an invalid number.
    """
    size = sum(len(name.encode()) + _value_bytes(value, 1) for name, value in item.items())
    if size > _MAX_ITEM_BYTES:
        raise _invalid("Item size has exceeded the maximum allowed size")
    return size


def _value_bytes(value: Mapping[str, Any], level: int) -> int:
    if level > _MAX_LEVELS:
        raise _invalid("Nesting Levels have exceeded supported limits")
    [(kind, content)] = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        _number(content)
        return (len(_digits(content)) + 1) // 2 + 1
    if kind == "L":
        return 3 + sum(1 + _value_bytes(each, level + 1) for each in content)
    if kind == "M":
        return 3 + sum(
            1 + len(name.encode()) + _value_bytes(each, level + 1) for name, each in content.items()
        )
    return len(content) if kind == "B" else 1


@dataclass(frozen=True)
class _Statement:
    """One of the two statements of the processor."""

    table: str
    item: Item
    """The attributes that it writes, with the key."""
    compared: str | None = None
    """The attribute that has to be below the limit, for an UPDATE."""
    limit: Decimal = Decimal(0)
    returns_old: bool = False


def _parse(statement: Mapping[str, Any]) -> _Statement:
    text, parameters = statement["Statement"], statement["Parameters"]
    insert, update = _INSERT.fullmatch(text), _UPDATE.fullmatch(text)
    if insert is not None:
        return _Statement(insert[1], dict(zip(_MEMBER.findall(insert[2]), parameters, strict=True)))
    if update is None:
        raise NotImplementedError(f"the model does not have the statement {text}")
    table, assignments, key, compared = update.groups()
    *values, limit = parameters
    item = dict(zip([*_SET.findall(assignments), key], values, strict=True))
    returns_old = statement.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    return _Statement(table, item, compared, Decimal(limit["N"]), returns_old)


def _projected(request: Mapping[str, Any]) -> list[str]:
    """Return the attributes of a projection expression."""
    placeholders = request.get("ExpressionAttributeNames", {})
    attributes = []
    for word in map(str.strip, request["ProjectionExpression"].split(",")):
        if word.upper() in _RESERVED:
            raise _invalid(f"Invalid ProjectionExpression: reserved keyword {word}")
        attributes.append(placeholders[word] if word.startswith("#") else word)
    return attributes


def _invalid(message: str) -> Exception:
    error: Exception = aws_error("ValidationException", message)
    return error


class DynamoDB:
    """The tables of a Region."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.on_write: Callable[[str, Item | None, Item], None] = lambda table, old, new: None
        """Called with each write: the table, the old item, and the new one."""
        self.refuses: Callable[[str, Item], bool] = lambda table, item: False
        """Whether an item is not valid for a reason of the table."""
        self.throttles: Callable[[str, Item], bool] = lambda table, item: False
        """Whether the partition of an item is over its throughput."""

    def create_table(self, name: str, partition_key: str, sort_key: str | None = None) -> Table:
        """Create a table."""
        self.tables[name] = Table(partition_key, sort_key)
        return self.tables[name]

    def batch_write_item(
        self,
        *,
        RequestItems: Mapping[str, Sequence[Any]],
        fails: Fails | None = None,
    ) -> dict[str, Any]:
        """BatchWriteItem, with puts only."""
        writes = [
            (name, self._table(name), entry)
            for name, entries in RequestItems.items()
            for entry in entries
        ]
        if not 1 <= len(writes) <= _MAX_ENTRIES:
            raise _invalid("1 to 25 requests")
        keys, sizes = [], []
        for name, table, entry in writes:
            key, size = self._check(name, table, entry["PutRequest"]["Item"])
            keys.append((name, key))
            sizes.append(size)
        if len(set(keys)) < len(keys):
            raise _invalid("Provided list of item keys contains duplicates")
        may_be_too_large = sum(sizes) * _MOST_BYTES_AS_JSON > _MAX_REQUEST_BYTES
        if may_be_too_large and len(json.dumps(RequestItems)) > _MAX_REQUEST_BYTES:
            raise _invalid("the request is larger than 16 MB")
        codes = [fails(index) if fails is not None else None for index in range(len(writes))]
        for index, (name, _, entry) in enumerate(writes):
            if self.throttles(name, entry["PutRequest"]["Item"]):
                codes[index] = "ThrottlingError"
        if None not in codes and INTERNAL_ERROR not in codes:
            raise aws_error("ProvisionedThroughputExceededException", "no item was processed")
        unprocessed: dict[str, list[Any]] = {}
        for (name, table, entry), code in zip(writes, codes, strict=True):
            if code is not None:
                unprocessed.setdefault(name, []).append(entry)
            else:
                self._put(name, table, entry["PutRequest"]["Item"])
        return {"UnprocessedItems": unprocessed}

    def batch_get_item(
        self,
        *,
        RequestItems: Mapping[str, Mapping[str, Any]],
        fails: Fails | None = None,
    ) -> dict[str, Any]:
        """BatchGetItem of one table, with a projection expression of whole attributes."""
        [(name, request)] = RequestItems.items()
        table, keys = self._table(name), request["Keys"]
        attributes = _projected(request)
        if not 1 <= len(keys) <= _MAX_KEYS:
            raise _invalid("1 to 100 keys")
        if len({table.key(key) for key in keys}) < len(keys):
            raise _invalid("Provided list of item keys contains duplicates")
        codes = [fails(index) if fails is not None else None for index in range(len(keys))]
        if None not in codes and INTERNAL_ERROR not in codes:
            raise aws_error("ProvisionedThroughputExceededException", "no item was read")
        found, unprocessed = [], []
        for key, code in zip(keys, codes, strict=True):
            item = table.items.get(table.key(key))
            if code is not None:
                unprocessed.append(key)
            elif item is not None:
                found.append({each: item[each] for each in attributes if each in item})
        left = {name: {**request, "Keys": unprocessed}} if unprocessed else {}
        return {"Responses": {name: found}, "UnprocessedKeys": left}

    def put_item(self, *, TableName: str, Item: Item) -> dict[str, Any]:
        """PutItem, without a condition."""
        table = self._table(TableName)
        self._check(TableName, table, Item)
        if self.throttles(TableName, Item):
            raise aws_error("ProvisionedThroughputExceededException", "a hot partition")
        self._put(TableName, table, Item)
        return {}

    def batch_execute_statement(
        self,
        *,
        Statements: Sequence[Mapping[str, Any]],
        fails: Fails | None = None,
    ) -> dict[str, Any]:
        """BatchExecuteStatement, with the two statements of the processor."""
        if not 1 <= len(Statements) <= _MAX_ENTRIES:
            raise _invalid("1 to 25 statements")
        parsed = [_parse(each) for each in Statements]
        items = [
            (each.table, self.tables[each.table].key(each.item))
            for each in parsed
            if each.table in self.tables
        ]
        if len(set(items)) < len(items):
            raise _invalid("several statements for one item")
        responses = []
        for index, statement in enumerate(parsed):
            code = fails(index) if fails is not None else None
            error = {"Code": code, "Message": "injected"} if code else self._execute(statement)
            responses.append({"Error": error} if error else {"TableName": statement.table})
        return {"Responses": responses}

    def _execute(self, statement: _Statement) -> dict[str, Any] | None:
        """Execute a statement. Returns its error."""
        name, item = statement.table, statement.item
        try:
            table = self._table(name)
            old = table.items.get(self._check(name, table, item)[0])
        except ClientError as error:
            details = error.response["Error"]
            return {"Code": _STATEMENT_CODES[details["Code"]], "Message": details["Message"]}
        if self.throttles(name, item):
            return {"Code": "ThrottlingError", "Message": "a hot partition"}
        if statement.compared is None:
            if old is not None:
                return {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}
            self._put(name, table, item)
            return None
        compared = (old or {}).get(statement.compared)
        if old is None or compared is None or not Decimal(compared["N"]) < statement.limit:
            shown = {"Item": old} if old is not None and statement.returns_old else {}
            return {"Code": "ConditionalCheckFailed", "Message": "The condition failed", **shown}
        self._put(name, table, {**old, **item})
        return None

    def _check(self, name: str, table: Table, item: Item) -> tuple[Key, int]:
        """Return the key and the size of an item if the item is valid."""
        key, size = table.key(item), item_bytes(item)
        if self.refuses(name, item):
            raise _invalid("the item is invalid")
        return key, size

    def _put(self, name: str, table: Table, item: Item) -> None:
        key = table.key(item)
        self.on_write(name, table.items.get(key), item)
        table.items[key] = item

    def _table(self, name: str) -> Table:
        try:
            return self.tables[name]
        except KeyError:
            raise aws_error("ResourceNotFoundException", f"no table {name}") from None
