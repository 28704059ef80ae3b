"""Simulates DynamoDB: the writes of the processor, with the limits and the partial failures of batches.

Behavior: amazondynamodb/latest/APIReference, API_BatchWriteItem (25 puts, no two with the same key, UnprocessedItems),
API_PutItem (replaces an item with the same key), API_BatchExecuteStatement (25 statements, each with its own result, in
their order), and API_BatchStatementError (the codes). A comparison with a missing attribute is false, and an UPDATE of
a missing item fails its condition (developerguide/ql-reference.update.html). Each call takes effect at one moment.
"""

# ruff: noqa: N803  # the parameters have the names of the API

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

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
            raise aws_error("ValidationException", f"missing the key {missing}") from None


def _key_value(value: Mapping[str, Any]) -> str | Decimal:
    return Decimal(value["N"]) if "N" in value else str(value["S"])


class DynamoDB:
    """The tables of a Region."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.on_write: Callable[[str, Item | None, Item], None] = lambda table, old, new: None
        """Called with each write: the table, the old item, and the new one."""
        self.refuses: Callable[[str, Item], bool] = lambda table, item: False
        """Whether an item is not valid for a reason of the table."""
        self.keep: Callable[[Item], Item] = lambda item: item
        """What the table keeps of an item, for a test that measures memory."""
        self.throttles: Callable[[str, Item], bool] = lambda table, item: False
        """Whether the partition of an item gets more writes than it can take."""

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
            (name, self._table(name), each)
            for name, entries in RequestItems.items()
            for each in entries
        ]
        if not 1 <= len(writes) <= _MAX_ENTRIES:
            raise aws_error("ValidationException", "1 to 25 requests")
        keys = [(name, table.key(each["PutRequest"]["Item"])) for name, table, each in writes]
        if len(set(keys)) < len(keys):
            raise aws_error("ValidationException", "Provided list of item keys contains duplicates")
        if any(self.refuses(name, each["PutRequest"]["Item"]) for name, _, each in writes):
            raise aws_error("ValidationException", "an item is not valid")
        unprocessed: dict[str, list[Any]] = {}
        for index, (name, table, each) in enumerate(writes):
            item = each["PutRequest"]["Item"]
            if self.throttles(name, item) or (fails is not None and fails(index) is not None):
                unprocessed.setdefault(name, []).append(each)
            else:
                self._put(name, table, item)
        # "If none of the items can be processed due to insufficient provisioned throughput on all of the tables",
        # BatchWriteItem throws the exception instead.
        if sum(map(len, unprocessed.values())) == len(writes):
            raise aws_error("ProvisionedThroughputExceededException", "no item was processed")
        return {"UnprocessedItems": unprocessed}

    def put_item(self, *, TableName: str, Item: Item) -> dict[str, Any]:
        """PutItem, without a condition."""
        table = self._table(TableName)
        table.key(Item)
        if self.refuses(TableName, Item):
            raise aws_error("ValidationException", "the item is not valid")
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
            raise aws_error("ValidationException", "1 to 25 statements")
        responses = []
        for index, statement in enumerate(Statements):
            code = fails(index) if fails is not None else None
            if code is not None:
                responses.append({"Error": {"Code": code, "Message": "injected"}})
            else:
                responses.append(self._execute(statement))
        return {"Responses": responses}

    def _execute(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        text, parameters = statement["Statement"], list(statement["Parameters"])
        insert = _INSERT.fullmatch(text)
        if insert is not None:
            item = dict(zip(_MEMBER.findall(insert[2]), parameters, strict=True))
            return self._insert(insert[1], item)
        update = _UPDATE.fullmatch(text)
        if update is None:
            raise aws_error("ValidationException", f"not a supported statement: {text}")
        return self._update(update, parameters, statement)

    def _insert(self, name: str, item: Item) -> dict[str, Any]:
        table = self._table(name)
        if self.refuses(name, item):
            return {"Error": {"Code": "ValidationError", "Message": "the item is not valid"}}
        if self.throttles(name, item):
            return {"Error": {"Code": "ThrottlingError", "Message": "a hot partition"}}
        if table.key(item) in table.items:
            return {"Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists"}}
        self._put(name, table, item)
        return {"TableName": name}

    def _update(
        self, parsed: re.Match[str], parameters: list[Any], statement: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, assignments, key_name, compared = parsed.groups()
        table = self._table(name)
        members = _SET.findall(assignments)
        new = dict(zip(members, parameters, strict=False))
        key_value, limit = parameters[len(members) :]
        new[key_name] = key_value
        if self.refuses(name, new):
            return {"Error": {"Code": "ValidationError", "Message": "the item is not valid"}}
        if self.throttles(name, new):
            return {"Error": {"Code": "ThrottlingError", "Message": "a hot partition"}}
        old = table.items.get(table.key({key_name: key_value}))
        if old is None or not Decimal(old[compared]["N"]) < Decimal(limit["N"]):
            error: dict[str, Any] = {"Code": "ConditionalCheckFailed"}
            if old is not None and (
                statement.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            ):
                error["Item"] = old
            return {"Error": error}
        self._put(name, table, {**old, **new})
        return {"TableName": name}

    def _put(self, name: str, table: Table, item: Item) -> None:
        key = table.key(item)
        self.on_write(name, table.items.get(key), item)
        table.items[key] = self.keep(item)

    def _table(self, name: str) -> Table:
        try:
            return self.tables[name]
        except KeyError:
            raise aws_error("ResourceNotFoundException", f"no table {name}") from None
